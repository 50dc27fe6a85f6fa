/* SPDX-License-Identifier: Apache-2.0 */
/* Answers to tools/list and its kin, cut down to what the caller may use, by the rules that calls are held against (T22).
 *
 * A JSON answer is kept until it is complete. In an event stream one event is kept at a time until its blank line, which
 * is when a client would act on it, so nothing waits; comments are not kept, nor is what is larger than the limit and no
 * list. Lists are known by their shape, not by the request that they answer: on the stream of the legacy transport,
 * answers come to requests that went elsewhere. */

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "guard.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "policy.h"
#include "sse.h"

APLOG_USE_MODULE(mcp_guard);

#define ROOM_KEPT 65536 /* a larger buffer is given back after its event */
#define TAIL 32         /* of an event that is too large: longer than what tells of a list */

/* The present event of a stream. */
typedef enum {
    EVENT_HELD,   /* until it is complete */
    EVENT_PASSED, /* larger than the limit, and no list so far: it goes on as it comes */
    EVENT_LEFT_OUT
} event_e;

typedef struct {
    request_rec *r;
    apr_size_t max;
    int is_stream;
    event_e event;
    char *held; /* malloc: the answer, or the present event; of one that is passed its last bytes */
    apr_size_t len;
    apr_size_t room;
    int line_begun; /* the present line is not empty */
    int has_fields; /* the present event is more than comments */
    int skip_lf;    /* the last byte was a CR that ended a line */
    int is_too_large;
    mcp_list_cut_t *cut;
    apr_pool_t *scratch; /* for one event */
} filter_t;

/* Two names for one filter: rules that may wait must not be asked in the relay's thread (stream_relay.c). */
static ap_filter_rec_t *quick_handle;
static ap_filter_rec_t *slow_handle;

/* ---- what is held ---- */

static apr_status_t forget(void *data)
{
    filter_t *filter = data;

    free(filter->held);
    filter->held = NULL;
    return APR_SUCCESS;
}

static int append(filter_t *filter, const char *data, apr_size_t len)
{
    if (!filter->held || filter->len + len + 1 > filter->room) {
        apr_size_t room = (filter->len + len + 1) * 2;
        char *larger = realloc(filter->held, room);

        if (!larger) {
            return 0;
        }
        filter->held = larger;
        filter->room = room;
    }
    memcpy(filter->held + filter->len, data, len);
    filter->len += len;
    filter->held[filter->len] = '\0';
    return 1;
}

static int hold(filter_t *filter, const char *data, apr_size_t len)
{
    if (len > filter->max - filter->len) {
        filter->is_too_large = 1;
        return 0;
    }
    return append(filter, data, len);
}

static void release(filter_t *filter, apr_bucket_brigade *out)
{
    if (filter->len && filter->event == EVENT_HELD) {
        apr_brigade_write(out, NULL, NULL, filter->held, filter->len);
    }
    filter->len = 0;
    filter->has_fields = 0;
    filter->event = EVENT_HELD;
    if (filter->room > ROOM_KEPT) {
        forget(filter);
        filter->room = 0;
    }
    apr_pool_clear(filter->scratch);
}

/* ---- event streams ---- */

/* A blank line: the event is complete. Returns 0 when it must not pass. */
static int end_event(filter_t *filter, apr_bucket_brigade *out)
{
    if (filter->event != EVENT_HELD) {
        release(filter, out);
        return 1;
    }
    if (memchr(filter->held, '\0', filter->len)) {
        return 0; /* no JSON */
    }
    if (mcp_list_possible(filter->held)) {
        const char *data = mcp_sse_data(filter->scratch, filter->held, filter->len);
        const char *cut = data ? mcp_list_cut(filter->cut, data, strlen(data), filter->scratch) : NULL;

        if (data && !cut) {
            return 0;
        }
        if (cut != data) {
            mcp_sse_write(filter->held, filter->len, cut, out);
            filter->len = 0;
        }
    }
    release(filter, out);
    return 1;
}

/* The event goes no further. A client that has its beginning sees that it is no JSON. */
static int leave_out(filter_t *filter, const char *said, apr_bucket_brigade *out)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, filter->r,
                  MCP_LOG(0467) "an event that may hold a list is left out: it is larger than MCPListLimit");
    filter->is_too_large = 0;
    filter->len = 0;
    filter->event = EVENT_LEFT_OUT;
    return apr_brigade_puts(out, NULL, NULL, said) == APR_SUCCESS;
}

static int may_hold_list(const filter_t *filter)
{
    return memchr(filter->held, '\0', filter->len) || mcp_list_possible(filter->held);
}

/* These bytes go on, which stand in filter->held too; what may be half a name there is kept. */
static int pass_on(filter_t *filter, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    apr_status_t rv = apr_brigade_write(out, NULL, NULL, data, len);

    if (filter->len > TAIL) {
        memmove(filter->held, filter->held + filter->len - TAIL, TAIL + 1);
        filter->len = TAIL;
    }
    return rv == APR_SUCCESS;
}

/* More of the present event. Returns 0 when the stream must end.
 *
 * An event that is too large is most likely the result of a call. A list begins with its name, so as long as none was
 * seen there is nothing in it to filter. */
static int take(filter_t *filter, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    if (filter->event == EVENT_LEFT_OUT || (filter->event == EVENT_HELD && hold(filter, data, len))) {
        return 1;
    }
    if ((filter->event == EVENT_HELD && !filter->is_too_large) || !append(filter, data, len)) {
        return 0; /* no memory */
    }
    if (filter->event == EVENT_PASSED) {
        return may_hold_list(filter) ? leave_out(filter, "\n\n", out) : pass_on(filter, data, len, out);
    }
    if (!may_hold_list(filter)) {
        filter->is_too_large = 0;
        filter->event = EVENT_PASSED;
        return pass_on(filter, filter->held, filter->len, out);
    }
    /* On a stream that listens, other calls wait for their answers. */
    return filter->r->method_number == M_GET
           && leave_out(filter, ": an event was larger than the gateway can filter\n\n", out);
}

/* Takes @a len bytes of a stream. Returns 0 when the stream must end. */
static int feed(filter_t *filter, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    while (len) {
        apr_size_t n;

        if (filter->skip_lf && *data == '\n') {
            filter->skip_lf = 0;
            if (filter->len ? !take(filter, data, 1, out) : apr_brigade_write(out, NULL, NULL, data, 1) != APR_SUCCESS) {
                return 0;
            }
            data++;
            len--;
            continue;
        }
        filter->skip_lf = 0;
        n = mcp_sse_line(data, len);
        if (n && !filter->line_begun) {
            filter->line_begun = 1;
            filter->has_fields |= *data != ':';
        }
        if (!take(filter, data, n < len ? n + 1 : n, out)) {
            return 0;
        }
        if (n < len) {
            filter->skip_lf = data[n] == '\r';
            if (!filter->has_fields) {
                release(filter, out);
            }
            else if (!filter->line_begun && !end_event(filter, out)) {
                return 0;
            }
            filter->line_begun = 0;
            n++;
        }
        data += n;
        len -= n;
    }
    return 1;
}

/* ---- the filter ---- */

/* An event that is too large on a stream that answers a call takes the place of its answer: the client is told so, and
 * the stream ends as it would have behind the answer. On a stream that listens nobody knows which call it answers. */
static int tell_instead(request_rec *r, apr_bucket_brigade *bb)
{
    const mcp_rpc_t *rpc = mcp_rpc_of(r);
    const json_t *id = rpc && rpc->count == 1 && !rpc->batch && rpc->messages[0].kind == MCP_RPC_REQUEST
                           ? rpc->messages[0].id
                           : NULL;
    json_t *error;

    if (!id) {
        return 0;
    }
    error = json_pack("{s:s, s:O, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", id, "error", "code", MCP_RPC_INTERNAL_ERROR,
                      "message", "The answer is too large for the gateway to filter");
    apr_brigade_puts(bb, NULL, NULL, "event: message\ndata: ");
    apr_brigade_puts(bb, NULL, NULL, mcp_json_text(r->pool, mcp_json_own(r->pool, error)));
    apr_brigade_puts(bb, NULL, NULL, "\n\n");
    return 1;
}

/* What cannot be read cannot be filtered: none of it goes on, but for what stands before it in @a out. */
static apr_status_t cut_off(ap_filter_t *f, apr_bucket_brigade *bb, apr_bucket_brigade *out, const char *why)
{
    const filter_t *filter = f->ctx;
    request_rec *r = f->r;

    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0466) "an answer that may hold a list is refused: %s", why);
    apr_brigade_cleanup(bb);
    if (out && filter->is_stream) {
        APR_BRIGADE_CONCAT(bb, out);
    }
    if (!filter || !filter->is_stream || !filter->is_too_large || !tell_instead(r, bb)) {
        APR_BRIGADE_INSERT_TAIL(bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, f->c->bucket_alloc));
    }
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    r->connection->keepalive = AP_CONN_CLOSE;
    ap_remove_output_filter(f);
    ap_pass_brigade(f->next, bb);
    return APR_ECONNABORTED;
}

/* Begin with an answer whose headers are known. NULL: nothing in it is a list. */
static filter_t *begin(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);
    int is_stream = r->content_type && ap_strcasestr(r->content_type, "event-stream") != NULL;
    filter_t *filter;

    if (r->header_only || r->status == HTTP_NO_CONTENT || ap_is_HTTP_REDIRECT(r->status)
        || (!is_stream && !(r->content_type && ap_strcasestr(r->content_type, "json")))) {
        return NULL;
    }
    filter = apr_pcalloc(r->pool, sizeof(*filter));
    filter->r = r;
    filter->is_stream = is_stream;
    filter->max = mcp_policy_list_max(&req->dir->policy);
    filter->cut = mcp_list_cut_make(r, &req->dir->policy);
    apr_pool_create(&filter->scratch, r->pool);
    apr_pool_cleanup_register(r->pool, filter, forget, apr_pool_cleanup_null);
    apr_table_unset(r->headers_out, "Content-Length");
    apr_table_unset(r->headers_out, "ETag");
    return filter;
}

static int is_encoded(request_rec *r)
{
    const char *encoding = apr_table_get(r->headers_out, "Content-Encoding");

    return encoding && ap_cstr_casecmp(encoding, "identity");
}

/* The whole JSON answer is there. Returns 0 when it must not pass. */
static int end_answer(filter_t *filter, apr_bucket_brigade *out)
{
    const char *text;

    if (!filter->len) {
        return 1;
    }
    text = memchr(filter->held, '\0', filter->len)
               ? NULL
               : mcp_list_cut(filter->cut, filter->held, filter->len, filter->scratch);
    if (!text) {
        return 0;
    }
    if (text != filter->held) {
        apr_brigade_puts(out, NULL, NULL, text);
        filter->len = 0;
    }
    release(filter, out);
    return 1;
}

/* Move @a bb through. NULL, or why the answer is refused. */
static const char *pass(filter_t *filter, apr_bucket_brigade *bb, apr_bucket_brigade *out)
{
    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_METADATA(b)) {
            if (APR_BUCKET_IS_EOS(b) && !filter->is_stream && !end_answer(filter, out)) {
                return "it is no JSON";
            }
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(out, b);
            continue;
        }
        if (apr_bucket_read(b, &data, &len, APR_BLOCK_READ) != APR_SUCCESS) {
            return "it cannot be read";
        }
        if (filter->is_stream ? !feed(filter, data, len, out) : !hold(filter, data, len)) {
            return "it is no JSON, or larger than MCPListLimit";
        }
        apr_bucket_delete(b);
    }
    return NULL;
}

static apr_status_t lists_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    apr_bucket_brigade *out;
    apr_status_t rv;
    const char *why;

    if (!f->ctx) {
        if (APR_BRIGADE_EMPTY(bb)) {
            return APR_SUCCESS;
        }
        f->ctx = begin(f->r);
        if (!f->ctx) {
            ap_remove_output_filter(f);
            return ap_pass_brigade(f->next, bb);
        }
        if (is_encoded(f->r)) {
            return cut_off(f, bb, NULL, "it is encoded; switch compression off at the backend");
        }
    }
    out = apr_brigade_create(f->r->pool, f->c->bucket_alloc);
    why = pass(f->ctx, bb, out);
    if (why) {
        rv = cut_off(f, bb, out, why);
        apr_brigade_destroy(out);
        return rv;
    }
    rv = APR_BRIGADE_EMPTY(out) ? APR_SUCCESS : ap_pass_brigade(f->next, out);
    apr_brigade_destroy(out);
    return rv;
}

/* ---- where ---- */

/* May this request be answered with a list? On a GET's stream anything may come. */
static int may_list(const request_rec *r, const mcp_rpc_t *rpc)
{
    int i;

    if (r->method_number == M_GET) {
        return 1;
    }
    for (i = 0; i < rpc->count; i++) {
        const char *method = rpc->messages[i].method;
        apr_size_t len = method ? strlen(method) : 0;

        if (len > 5 && !ap_cstr_casecmp(method + len - 5, "/list")) {
            return 1;
        }
    }
    return 0;
}

void mcp_lists_insert(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    if (req && req->session && req->rpc && req->dir->policy.hides && may_list(r, req->rpc)) {
        ap_add_output_filter_handle(req->dir->policy.slow ? slow_handle : quick_handle, NULL, r, r->connection);
    }
}

void mcp_lists_register(apr_pool_t *p)
{
    quick_handle = ap_register_output_filter("MCP_LISTS", lists_filter, NULL, AP_FTYPE_RESOURCE);
    slow_handle = ap_register_output_filter("MCP_LISTS_SLOW", lists_filter, NULL, AP_FTYPE_RESOURCE);
}
