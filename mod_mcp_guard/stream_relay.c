/* SPDX-License-Identifier: Apache-2.0 */
/* Handing a stream over to the relay thread, from stock mod_proxy and the event MPM.
 *
 * mod_proxy_http does everything up to the point where it would block for more of the body. A filter above its own
 * HTTP_IN then takes the backend's connection and says APR_EOF. The undocumented behaviour that this stands on (H1 to
 * H4) is in docs/streams-internals.md, with the tests that guard it. */

#include <httpd.h>
#include <ap_mpm.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "mcp_log.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

/* mod_proxy's optional hooks, declared here so that the guard neither builds nor loads with it. */
APR_DECLARE_EXTERNAL_HOOK(proxy, AP, int, create_req, (request_rec * r, request_rec *pr))
APR_DECLARE_EXTERNAL_HOOK(proxy, AP, int, request_status, (int *status, request_rec *r))

#define READ_SIZE 16384
#define PATIENCE apr_time_from_msec(250) /* how long an ordinary POST's answer may stay with its worker */

static ap_filter_rec_t *take_handle;
static apr_uint32_t patient_now; /* atomic: workers that wait with such an answer */
static int patient_max;

/* Output filters that never sleep: in the relay thread, a filter that does would stop all streams. Others' names are not
 * known to us, so their streams stay with a worker. */
static const char *const good_filters[] = {
    "mcp_guard",
    "mcp_lists",
    "mcp_relay",
    "old_write",
    "http_header",
    "http_outerror",
    "byterange",
    "content_length",
    "chunk",
    "core",
    "reqtimeout",
    "deflate",
    "inflate",
    "brotli_compress",
    "substitute",
    "sed",
    "buffer",
    "fixup_headers_out",
    "fixup_headers_err",
    "mod_expires",
    "mod_session_out",
    "logio_ttfb_out",
    "ssl/tls filter",
    "ssl/tls coalescing filter",
    "dumpio_out",
};

static int filters_are_good(request_rec *r)
{
    const ap_filter_t *f;

    for (f = r->output_filters; f; f = f->next) {
        const char *name = f->frec->name;
        apr_size_t i;

        if (!ap_cstr_casecmpn(name, "bytype:", 7)) {
            name += 7; /* AddOutputFilterByType: mod_filter's harness around the named filter */
        }
        for (i = 0; i < sizeof(good_filters) / sizeof(*good_filters); i++) {
            if (!ap_cstr_casecmp(name, good_filters[i])) {
                break;
            }
        }
        if (i == sizeof(good_filters) / sizeof(*good_filters)) {
            ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                          MCP_LOG(0550) "stream stays with its worker: output filter %s might sleep", name);
            return 0;
        }
    }
    return 1;
}

/* How the backend delimits the body; false when we do not know it. */
static int body_kind(mcp_body_t *body, request_rec *rp)
{
    const char *te = apr_table_get(rp->headers_in, "Transfer-Encoding");
    const char *cl = apr_table_get(rp->headers_in, "Content-Length");
    char *end;
    apr_int64_t n;

    if (te) {
        mcp_body_init(body, MCP_BODY_CHUNKED, 0);
        return !ap_cstr_casecmp(te, "chunked");
    }
    if (!cl) {
        mcp_body_init(body, MCP_BODY_CLOSE, 0);
        return 1;
    }
    n = apr_strtoi64(cl, &end, 10);
    mcp_body_init(body, MCP_BODY_LENGTH, (apr_uint64_t)n);
    return n > 0 && !*end;
}

static mcp_park_t *park_make(conn_rec *c)
{
    mcp_park_t *park = ap_get_module_config(c->conn_config, &mcp_guard_module);

    if (!park) {
        park = apr_pcalloc(c->pool, sizeof(*park));
        park->c = c;
        park->backend.fd = -1;
        ap_set_module_config(c->conn_config, &mcp_guard_module, park);
    }
    return park;
}

void mcp_relay_drop(mcp_stream_t *s)
{
    mcp_park_t *park = s->taken ? ap_get_module_config(s->r->connection->conn_config, &mcp_guard_module) : NULL;

    if (park && park->s == s) {
        mcp_backend_close(&park->backend);
        park->s = NULL;
    }
}

static int is_stream(const request_rec *r)
{
    return r->status == HTTP_OK && !r->header_only && r->content_type
           && !ap_cstr_casecmpn(r->content_type, "text/event-stream", 17)
           && (r->content_type[17] == '\0' || r->content_type[17] == ';' || r->content_type[17] == ' ');
}

static int can_relay(const mcp_stream_t *s, request_rec *rp)
{
    request_rec *r = s->r;
    conn_rec *c = r->connection;

    return mcp_loop_running() && s->conf->relay != 0 && c->cs && !c->master && !c->clogging_input_filters && !r->main
           && !r->prev && mcp_backend_takeable(rp->connection) && filters_are_good(r);
}

/* The answer's headers are in r, nothing was sent yet, and the body is about to be read. */
static void look(mcp_stream_t *s, request_rec *rp)
{
    mcp_body_t body;

    s->checked = 1;
    if (!is_stream(s->r)) {
        /* No stream came of it: the place is free again. */
        mcp_stream_end(s, MCP_END_NONE);
        return;
    }
    mcp_stream_begin(s);
    if (can_relay(s, rp) && body_kind(&body, rp)) {
        mcp_park_t *park = park_make(s->r->connection);

        park->body = body;
        s->relay = 1;
        mcp_out_prepare(park, s->r);
    }
}

/* An answer that is likely to be over soon is not worth a hand-over, as long as few workers wait like that. */
static int wait_patiently(mcp_stream_t *s, conn_rec *origin, mcp_wait_e *outcome)
{
    if (s->patient || mcp_stream_wanted(s->r)) {
        return 0;
    }
    s->patient = 1;
    if (__atomic_add_fetch(&patient_now, 1, __ATOMIC_ACQ_REL) <= (apr_uint32_t)patient_max) {
        *outcome = mcp_wait_backend(s->r, s, origin, s->opened + PATIENCE);
    }
    else {
        *outcome = MCP_WAIT_TIMEOUT;
    }
    __atomic_sub_fetch(&patient_now, 1, __ATOMIC_ACQ_REL);
    if (*outcome == MCP_WAIT_READABLE) {
        s->patient = apr_time_now() >= s->opened + PATIENCE;
    }
    return *outcome != MCP_WAIT_TIMEOUT;
}

/* Nothing to read, and mod_proxy wants to block: wait in the worker, or take the connection. APR_SUCCESS: read again. */
static apr_status_t must_wait(mcp_stream_t *s, conn_rec *origin)
{
    mcp_park_t *park = park_make(s->r->connection);
    mcp_wait_e outcome;

    if (!s->stays && !wait_patiently(s, origin, &outcome)) {
        if (mcp_table_parked_here() < (apr_uint32_t)mcp_stream_global.child_cap
            && mcp_backend_take(&park->backend, origin) == APR_SUCCESS) {
            park->s = s;
            s->taken = 1;
            return APR_EOF; /* H1 */
        }
        s->stays = 1;
    }
    if (s->stays) {
        outcome = mcp_wait_backend(s->r, s, origin, 0);
    }
    if (outcome == MCP_WAIT_READABLE) {
        return APR_SUCCESS;
    }
    mcp_stream_end(s, outcome == MCP_WAIT_END ? s->reason : MCP_END_CLIENT);
    origin->keepalive = AP_CONN_CLOSE;
    return APR_EOF;
}

/* What the backend's end of file means for the body. */
static apr_status_t at_eof(mcp_stream_t *s, mcp_body_t *body, apr_bucket_brigade *bb)
{
    if (!mcp_body_complete(body)) {
        mcp_stream_end(s, MCP_END_BROKEN);
        return APR_INCOMPLETE;
    }
    mcp_stream_end(s, MCP_END_COMPLETE);
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    return APR_SUCCESS;
}

/* Read and decode what is there, below HTTP_IN: from here on the framing is ours, so that the relay can go on with it.
 * APR_EAGAIN when nothing came but framing. */
static apr_status_t read_raw(mcp_stream_t *s, conn_rec *origin, apr_bucket_brigade *bb)
{
    mcp_body_t *body = &park_make(s->r->connection)->body;
    apr_bucket_brigade *raw = apr_brigade_create(s->r->pool, origin->bucket_alloc);
    apr_status_t rv;
    apr_size_t n = 0;
    char *buf;

    rv = ap_get_brigade(origin->input_filters, raw, AP_MODE_READBYTES, APR_NONBLOCK_READ, READ_SIZE);
    if (rv == APR_SUCCESS && APR_BRIGADE_EMPTY(raw)) {
        rv = APR_EAGAIN;
    }
    if (rv == APR_SUCCESS) {
        apr_size_t len = READ_SIZE;

        buf = apr_bucket_alloc(READ_SIZE, origin->bucket_alloc);
        rv = apr_brigade_flatten(raw, buf, &len);
        n = rv == APR_SUCCESS ? mcp_body_decode(body, buf, len) : 0;
        if (n) {
            mcp_stream_pass(s, buf, n, apr_time_now());
            APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_heap_create(buf, n, apr_bucket_free, origin->bucket_alloc));
        }
        else {
            apr_bucket_free(buf);
        }
    }
    apr_brigade_destroy(raw);
    if (APR_STATUS_IS_EOF(rv)) {
        return at_eof(s, body, bb);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (body->state == MCP_BODY_BAD) {
        mcp_stream_end(s, MCP_END_BROKEN);
        return APR_EGENERAL;
    }
    if (body->state == MCP_BODY_DONE) {
        if (body->excess) {
            origin->keepalive = AP_CONN_CLOSE;
        }
        return at_eof(s, body, bb);
    }
    return n ? APR_SUCCESS : APR_EAGAIN;
}

static apr_status_t read_for_relay(mcp_stream_t *s, conn_rec *origin, apr_bucket_brigade *bb, apr_read_type_e block)
{
    apr_status_t rv;

    for (;;) {
        rv = read_raw(s, origin, bb);
        if (!APR_STATUS_IS_EAGAIN(rv)) {
            break;
        }
        if (block == APR_NONBLOCK_READ) {
            return APR_EAGAIN; /* mod_proxy_http flushes, then comes back to block */
        }
        rv = must_wait(s, origin);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    if (rv != APR_SUCCESS && s->open) {
        mcp_stream_end(s, MCP_END_BROKEN);
    }
    return rv;
}

/* A stream that keeps its worker: HTTP_IN reads, we look on. */
static apr_status_t read_for_worker(mcp_stream_t *s, ap_filter_t *f, apr_bucket_brigade *bb, apr_read_type_e block,
                                    apr_off_t readbytes)
{
    apr_status_t rv = ap_get_brigade(f->next, bb, AP_MODE_READBYTES, block, readbytes);
    apr_time_t now = apr_time_now();
    apr_bucket *b;

    if (APR_STATUS_IS_EAGAIN(rv)) {
        return rv;
    }
    if (rv != APR_SUCCESS) {
        if (s->reason != MCP_END_NONE || s->r->connection->aborted) {
            /* The rules or the client ended it: to mod_proxy that is the end of the answer, not a broken backend. */
            mcp_stream_end(s, s->reason != MCP_END_NONE ? s->reason : MCP_END_CLIENT);
            f->c->keepalive = AP_CONN_CLOSE;
            return APR_EOF;
        }
        mcp_stream_end(s, MCP_END_BROKEN);
        return rv;
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;

        if (APR_BUCKET_IS_EOS(b)) {
            mcp_stream_end(s, MCP_END_COMPLETE);
        }
        else if (!APR_BUCKET_IS_METADATA(b) && apr_bucket_read(b, &data, &len, APR_BLOCK_READ) == APR_SUCCESS && len) {
            mcp_stream_pass(s, data, len, now);
        }
    }
    return APR_SUCCESS;
}

/* On the backend's fake request, above HTTP_IN. */
static apr_status_t take_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                apr_off_t readbytes)
{
    mcp_stream_t *s = f->ctx;

    if (mode != AP_MODE_READBYTES) {
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    if (!s->checked) {
        look(s, f->r);
    }
    if (!s->open) {
        ap_filter_t *next = f->next;

        ap_remove_input_filter(f);
        return ap_get_brigade(next, bb, mode, block, readbytes);
    }
    return s->relay ? read_for_relay(s, f->c, bb, block) : read_for_worker(s, f, bb, block, readbytes);
}

/* ---- hooks of mod_proxy and the MPM ---- */

static int relay_create_req(request_rec *r, request_rec *rp)
{
    const mcp_stream_conf_t *conf = mcp_stream_governs(r);
    mcp_stream_t *s;

    if (!conf || r->main) {
        return OK;
    }
    mcp_wait_attach(r, rp); /* H4 */
    s = mcp_stream_make(r, conf);
    s->checked = s->relay = 0; /* a balancer may come here again for the next member */
    ap_add_input_filter_handle(take_handle, s, rp, rp->connection);
    return OK;
}

static int relay_request_status(int *status, request_rec *r)
{
    mcp_stream_t *s = mcp_stream_known(r);

    if (s && s->taken && s->open && *status == OK && !r->connection->aborted) {
        *status = SUSPENDED; /* H2 */
    }
    return OK;
}

static void relay_suspend(conn_rec *c, request_rec *r)
{
    mcp_park_t *park = ap_get_module_config(c->conn_config, &mcp_guard_module);

    if (c->outgoing || !park || park->phase != MCP_PARK_NEW || !r || !park->s || park->s->r != r || !park->s->taken
        || !c->cs || c->cs->state != CONN_STATE_SUSPENDED) {
        return;
    }
    /* The worker is still in the MPM's code. Its entry in the scoreboard tells when it is done with the connection:
     * its next step there is to show itself ready (H7; stream_memory.c). */
    park->score = ap_get_scoreboard_worker(c->sbh);
    ap_update_child_status(c->sbh, SERVER_BUSY_LOG, NULL);
    mcp_loop_admit(park); /* H3 */
}

/* An ungraceful stop comes to the relay by its pool's cleanup at once, and to workers that wait in their next slice. */
static void relay_stopping(apr_pool_t *pchild, int graceful)
{
    mcp_stream_stopping(1);
    mcp_loop_kick();
    if (!graceful) {
        mcp_wait_stop();
    }
}

static int relay_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int threads = 0;

    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    patient_max = threads / 4;
    return OK;
}

static void relay_hooks(void)
{
    take_handle = ap_register_input_filter("MCP_STREAM_TAKE", take_filter, NULL, AP_FTYPE_RESOURCE);
    mcp_out_register_filter();
    APR_OPTIONAL_HOOK(proxy, create_req, relay_create_req, NULL, NULL, APR_HOOK_LAST);
    APR_OPTIONAL_HOOK(proxy, request_status, relay_request_status, NULL, NULL, APR_HOOK_LAST);
    ap_hook_post_config(relay_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_suspend_connection(relay_suspend, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_stopping(relay_stopping, NULL, NULL, APR_HOOK_MIDDLE);
}

void mcp_stream_register_hooks(apr_pool_t *p)
{
    mcp_stream_config_hooks(p);
    mcp_stream_govern_hooks(p);
    mcp_backend_hooks(p);
    mcp_wait_hooks(p);
    relay_hooks();
    mcp_stream_status_hooks(p);
}
