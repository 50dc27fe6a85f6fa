/* SPDX-License-Identifier: Apache-2.0 */
/* A request's body, read once before Require is asked, checked, and put back for mod_proxy byte for byte (but for the
 * trace in it: calls.c). */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <util_filter.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define ALLOWED_METHODS "GET, HEAD, POST, DELETE, OPTIONS"

static ap_filter_rec_t *replay_handle;

/* ---- the body, put back ---- */

typedef struct {
    const mcp_rpc_t *rpc;
    apr_size_t sent;
} replay_t;

/* In the place of the body that was read: nothing below is asked any more, where the next request begins. */
static apr_status_t replay_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                  apr_off_t readbytes)
{
    replay_t *body = f->ctx;
    apr_size_t left = body->rpc->len - body->sent;
    apr_size_t n = left;

    if (mode != AP_MODE_READBYTES && mode != AP_MODE_SPECULATIVE && mode != AP_MODE_EXHAUSTIVE) {
        return APR_ENOTIMPL;
    }
    if (mode != AP_MODE_EXHAUSTIVE && readbytes >= 0 && (apr_off_t)n > readbytes) {
        n = (apr_size_t)readbytes;
    }
    if (n) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_pool_create(body->rpc->body + body->sent, n, f->r->pool, f->c->bucket_alloc));
    }
    if (mode != AP_MODE_SPECULATIVE) {
        body->sent += n;
    }
    if (n == left) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    }
    return APR_SUCCESS;
}

static void replay(request_rec *r, const mcp_rpc_t *rpc)
{
    replay_t *body = apr_palloc(r->pool, sizeof(*body));

    body->rpc = rpc;
    body->sent = 0;
    ap_add_input_filter_handle(replay_handle, body, r, r->connection);
}

void mcp_rpc_register_filter(apr_pool_t *p)
{
    /* Above HTTP_IN and below every filter that the configuration puts in later: those read what we read. */
    replay_handle = ap_register_input_filter("MCP_RPC_BODY", replay_filter, NULL, AP_FTYPE_PROTOCOL - 1);
}

/* ---- refusals ---- */

static json_t *error_object(int code, const char *message, const json_t *id, json_t *data)
{
    json_t *json = json_pack("{s:s, s:{s:i, s:s}}", "jsonrpc", "2.0", "error", "code", code, "message", message);

    if (json && id) {
        json_object_set(json, "id", (json_t *)id);
    }
    if (json && data) {
        json_object_set(json_object_get(json, "error"), "data", data);
    }
    return json;
}

int mcp_rpc_refuse(request_rec *r, int status, int code, const char *message, const json_t *id)
{
    return mcp_guard_send(r, status, error_object(code, message, id, NULL));
}

/* An error for each request of the messages: an array for a batch. NULL: there is none. */
static json_t *errors_for(const mcp_rpc_t *rpc, int code, const char *message, json_t *data)
{
    json_t *errors = json_array();
    json_t *only;
    int i;

    for (i = 0; rpc && i < rpc->count; i++) {
        if (rpc->messages[i].kind == MCP_RPC_REQUEST) {
            json_array_append_new(errors, error_object(code, message, rpc->messages[i].id, data));
        }
    }
    if (rpc && rpc->batch && json_array_size(errors)) {
        return errors;
    }
    only = json_incref(json_array_get(errors, 0));
    json_decref(errors);
    return only;
}

int mcp_rpc_answer(request_rec *r, int status, int code, const char *message, json_t *data)
{
    json_t *errors = errors_for(mcp_rpc_of(r), code, message, data);

    if (!errors) {
        return mcp_guard_rpc_error(r, status, code, message, data);
    }
    json_decref(data);
    return mcp_guard_send(r, status, errors);
}

/* Those who listen to Streamable HTTP say so (TR-4); they show an error with the id of a request. Clients of the
 * legacy transport do not read this body: to them only the status tells something. */
static int reads_answers(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    return accept && (ap_strcasestr(accept, "application/json") || ap_strcasestr(accept, "text/event-stream"));
}

int mcp_rpc_forbid(request_rec *r, int code, const char *message)
{
    json_t *errors = errors_for(mcp_rpc_of(r), code, message, NULL);

    if (!errors) {
        return mcp_rpc_refuse(r, HTTP_FORBIDDEN, code, message, NULL);
    }
    return mcp_guard_send(r, reads_answers(r) ? HTTP_OK : HTTP_FORBIDDEN, errors);
}

/* The request cannot be a message of MCP: say so, and remember why. */
static int refuse_body(request_rec *r, int status, int code, const char *message, const json_t *id)
{
    mcp_guard_note_error(r, code == MCP_RPC_HEADER_MISMATCH ? "header_mismatch" : "invalid_message");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0460) "message refused: %s", message);
    if (status == HTTP_REQUEST_ENTITY_TOO_LARGE || status == HTTP_REQUEST_TIME_OUT) {
        r->connection->keepalive = AP_CONN_CLOSE; /* what is left of it is not waited for */
    }
    return mcp_rpc_refuse(r, status, code, message, id);
}

/* ---- reading ---- */

/* JSON, in UTF-8, as it is: what a backend would decode first could say something else than what we read. */
static const char *bad_type(request_rec *r)
{
    const char *type = apr_table_get(r->headers_in, "Content-Type");
    const char *encoding = apr_table_get(r->headers_in, "Content-Encoding");
    const char *charset;

    if (!mcp_content_type_is(r, "application/json") || strchr(type, ',')) {
        return "send messages as application/json";
    }
    if (encoding && ap_cstr_casecmp(encoding, "identity")) {
        return "send messages without Content-Encoding";
    }
    charset = ap_strcasestr(type, "charset");
    if (charset) {
        charset += 7;
        charset += strspn(charset, " \t=\"");
        if ((ap_cstr_casecmpn(charset, "utf-8", 5) || (charset[5] && !strchr(" \t\";", charset[5])))
            || ap_strcasestr(charset, "charset")) {
            return "send messages in UTF-8";
        }
    }
    return NULL;
}

/* May there be a body? Of HTTP/2 only reading tells. */
static int may_have_body(request_rec *r)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return apr_table_get(r->headers_in, "Transfer-Encoding") || r->proto_num >= HTTP_VERSION(2, 0)
           || (length && strspn(length, "0") != strlen(length));
}

static int is_too_large(request_rec *r, apr_size_t max)
{
    const char *length = apr_table_get(r->headers_in, "Content-Length");

    return length && apr_atoi64(length) > (apr_int64_t)max;
}

/* A method other than POST carries no message: what has a body all the same is none of MCP. */
static int read_without(request_rec *r, mcp_rpc_t *rpc)
{
    apr_size_t len = 0;
    char *body;

    if (r->method_number != M_GET && r->method_number != M_DELETE && r->method_number != M_OPTIONS) {
        apr_table_setn(r->err_headers_out, "Allow", ALLOWED_METHODS);
        return refuse_body(r, HTTP_METHOD_NOT_ALLOWED, MCP_RPC_INVALID_REQUEST, "MCP has no such method of HTTP", NULL);
    }
    if (!may_have_body(r)) {
        return OK;
    }
    if (mcp_read_body(r, 1, &body, &len) != OK || len) {
        return refuse_body(r, HTTP_BAD_REQUEST, MCP_RPC_INVALID_REQUEST, "only POST has a body", NULL);
    }
    rpc->body = "";
    return OK;
}

static int read_message(request_rec *r, mcp_rpc_t *rpc, apr_size_t max)
{
    const char *bad = bad_type(r);
    mcp_rpc_error_t err;
    apr_size_t len = 0;
    char *body = NULL;
    int status;

    if (bad) {
        return refuse_body(r, HTTP_UNSUPPORTED_MEDIA_TYPE, MCP_RPC_INVALID_REQUEST, bad, NULL);
    }
    status = is_too_large(r, max) ? HTTP_REQUEST_ENTITY_TOO_LARGE : mcp_read_body(r, max, &body, &len);
    if (status != OK) {
        return refuse_body(r, status, MCP_RPC_INVALID_REQUEST,
                           status == HTTP_REQUEST_ENTITY_TOO_LARGE ? "the message is too large"
                                                                   : "the body cannot be read",
                           NULL);
    }
    if (!mcp_rpc_parse(r->pool, body, len, rpc, &err) || !mcp_rpc_headers_match(r, rpc, &err)) {
        return refuse_body(r, err.status, err.code, err.message, err.id);
    }
    return OK;
}

/* For LogFormat and expressions: %{MCP_METHOD}e, %{MCP_TOOL}e. */
static void publish(request_rec *r, const mcp_rpc_t *rpc)
{
    static const char *const names[] = { NULL, "MCP_TOOL", "MCP_RESOURCE", "MCP_PROMPT" };
    const mcp_rpc_message_t *message = rpc->messages;

    if (rpc->batch) {
        apr_table_setn(r->subprocess_env, "MCP_METHOD", "batch");
    }
    else if (rpc->count && message->method) {
        apr_table_setn(r->subprocess_env, "MCP_METHOD", message->method);
        if (message->target != MCP_TARGET_NONE) {
            apr_table_setn(r->subprocess_env, names[message->target], message->name);
        }
    }
}

/* A request that an internal redirect came from has read the body already. */
static const mcp_rpc_t *inherited(request_rec *r)
{
    const request_rec *from;

    for (from = r->prev; from; from = from->prev) {
        const mcp_guard_request_t *req =
            ap_get_module_config(from->request_config, &mcp_guard_module);

        if (req && req->rpc) {
            return req->rpc;
        }
    }
    return NULL;
}

int mcp_rpc_read(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    mcp_rpc_t *rpc;
    int status = OK;

    if (req->rpc) {
        return OK;
    }
    req->rpc = inherited(r);
    if (!req->rpc) {
        rpc = apr_pcalloc(r->pool, sizeof(*rpc));
        if (!r->main) { /* a subrequest has no body */
            status = r->method_number == M_POST ? read_message(r, rpc, mcp_policy_message_max(&req->dir->policy))
                                                : read_without(r, rpc);
        }
        if (status != OK) {
            return status;
        }
        req->rpc = rpc;
    }
    if (req->rpc->body) {
        replay(r, req->rpc);
    }
    publish(r, req->rpc);
    return OK;
}

const mcp_rpc_t *mcp_rpc_of(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    return req ? req->rpc : NULL;
}

void mcp_rpc_put_body(request_rec *r, const char *body)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    mcp_rpc_t *rpc = apr_pmemdup(r->pool, req->rpc, sizeof(*rpc));
    ap_filter_t *f;

    rpc->body = body;
    rpc->len = strlen(body);
    for (f = r->input_filters; f && f->frec != replay_handle; f = f->next) {
        ;
    }
    if (!f || ((replay_t *)f->ctx)->sent) {
        return;
    }
    ((replay_t *)f->ctx)->rpc = rpc;
    req->rpc = rpc;
    if (apr_table_get(r->headers_in, "Content-Length")) {
        apr_table_setn(r->headers_in, "Content-Length", apr_psprintf(r->pool, "%" APR_SIZE_T_FMT, rpc->len));
    }
}

const mcp_rpc_message_t *mcp_rpc_message(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    return req ? req->message : NULL;
}
