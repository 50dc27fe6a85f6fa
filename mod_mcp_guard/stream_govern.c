/* SPDX-License-Identifier: Apache-2.0 */
/* The life of one stream: its place within the limits, taken before the backend is asked; its beginning; what ends it.
 * The two ways that its bytes can go (relay, worker) both ask mcp_stream_tick() what is due. */

#include <stdlib.h>

#include <httpd.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <mpm_common.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "mcp_http.h"
#include "mcp_log.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

#define STREAM_KEY "mcp-stream"
#define REFUSED_HANDLER "mcp-stream-refused"
#define BOUNDARY_GRACE apr_time_from_sec(2) /* how long a polite end waits for the end of an event */
#define JITTER_PART 10                      /* MCPStreamMaxAge: up to a tenth earlier */

const mcp_stream_conf_t *mcp_stream_governs(request_rec *r)
{
    void *dir = ap_get_module_config(r->per_dir_config, &mcp_guard_module);
    const mcp_stream_conf_t *conf = mcp_guard_stream_conf(dir);
    mcp_stream_holder_t holder;

    if (conf->relay >= 0 || mcp_guard_stream_holder(r, &holder)) {
        return conf;
    }
    return NULL;
}

mcp_stream_t *mcp_stream_known(request_rec *r)
{
    void *s = NULL;

    apr_pool_userdata_get(&s, STREAM_KEY, r->pool);
    return s;
}

/* r->pool goes: whatever happened, the claim is given back. */
static apr_status_t stream_cleanup(void *data)
{
    mcp_stream_t *s = data;

    mcp_relay_drop(s);
    mcp_stream_end(s, s->r->connection->aborted ? MCP_END_CLIENT : MCP_END_COMPLETE);
    return APR_SUCCESS;
}

mcp_stream_t *mcp_stream_make(request_rec *r, const mcp_stream_conf_t *conf)
{
    mcp_stream_t *s = mcp_stream_known(r);
    mcp_stream_holder_t holder;

    if (s) {
        return s;
    }
    s = apr_pcalloc(r->pool, sizeof(*s));
    s->r = r;
    s->conf = conf;
    s->claim = MCP_CLAIM_NONE;
    if (mcp_guard_stream_holder(r, &holder)) {
        memcpy(s->grant, holder.grant, MCP_ID_LEN);
        s->expires = holder.expires;
        s->has_grant = 1;
        s->sweep = mcp_warden_sweeps();
    }
    apr_pool_userdata_setn(s, STREAM_KEY, NULL, r->pool);
    apr_pool_cleanup_register(r->pool, s, stream_cleanup, apr_pool_cleanup_null);
    return s;
}

static void claim(mcp_stream_t *s)
{
    int client_limit = s->conf->client > 0 ? s->conf->client : 0;
    mcp_stream_holder_t holder;

    if (mcp_guard_stream_holder(s->r, &holder)) {
        s->person = holder.subject ? mcp_table_key("person", holder.subject) : 0;
        s->client = holder.client ? mcp_table_key("client", holder.client) : 0;
    }
    s->claim = mcp_table_claim(s->person, mcp_stream_limit_person(s->conf), s->client, client_limit,
                               s->has_grant ? s->grant : NULL, &s->refused);
}

/* ---- before the backend is asked ---- */

static int accepts_stream(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    return accept && ap_strcasestr(accept, "text/event-stream");
}

int mcp_stream_wanted(request_rec *r)
{
    const char *method = apr_table_get(r->headers_in, "Mcp-Method");

    return r->method_number == M_GET || (method && !strcmp(method, "subscriptions/listen"));
}

static int is_proxied(request_rec *r)
{
    return r->handler && (!strcmp(r->handler, "proxy-server") || !strncmp(r->handler, "proxy:", 6));
}

/* fixups, last: take the place within the limits now. Refusing an answer that the backend has worked for would lose
 * what a tool did. */
static int stream_fixups(request_rec *r)
{
    const mcp_stream_conf_t *conf;
    mcp_stream_t *s;

    if (r->main || r->prev || !is_proxied(r) || !accepts_stream(r)
        || (r->method_number != M_GET && r->method_number != M_POST) || (conf = mcp_stream_governs(r)) == NULL) {
        return DECLINED;
    }
    s = mcp_stream_make(r, conf);
    claim(s);
    if (s->refused == MCP_CAP_NONE && mcp_stream_wanted(r) && mcp_loop_running() && conf->relay != 0
        && mcp_table_parked_here() >= (apr_uint32_t)mcp_stream_global.child_cap) {
        mcp_table_release(s->claim, MCP_END_NONE);
        s->claim = MCP_CLAIM_NONE;
        s->refused = MCP_CAP_CHILD;
    }
    if (s->refused != MCP_CAP_NONE) {
        mcp_table_count_refused(s->refused);
        r->handler = REFUSED_HANDLER;
    }
    return DECLINED;
}

/* The refusal, in the handler phase. JSON-RPC error without an id, which Streamable HTTP allows as an error's body. */
static int refused_handler(request_rec *r)
{
    mcp_stream_t *s;
    const char *text;
    int person;

    if (!r->handler || strcmp(r->handler, REFUSED_HANDLER) || (s = mcp_stream_known(r)) == NULL) {
        return DECLINED;
    }
    person = s->refused == MCP_CAP_PERSON || s->refused == MCP_CAP_CLIENT;
    text = s->refused == MCP_CAP_PERSON   ? "too many open event streams for this person"
           : s->refused == MCP_CAP_CLIENT ? "too many open event streams for this client"
                                          : "the server holds as many event streams as it may";
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0520) "stream refused: limit of the %s",
                  mcp_cap_name(s->refused));
    apr_table_setn(r->notes, "mcp-stream-refused", mcp_cap_name(s->refused));
    apr_table_setn(r->err_headers_out, "Retry-After", person ? "10" : "5");
    mcp_no_store(r);
    return mcp_send_json(r, person ? HTTP_TOO_MANY_REQUESTS : HTTP_SERVICE_UNAVAILABLE,
                         json_pack("{s:s, s:n, s:{s:i, s:s}}", "jsonrpc", "2.0", "id", "error", "code", -32000,
                                   "message", text));
}

/* ---- the stream itself ---- */

/* What the client and everything on the way must know: nobody buffers, stores or packs this. */
static void set_headers(request_rec *r)
{
    const char *cache = apr_table_get(r->headers_out, "Cache-Control");

    if (!cache || !ap_strcasestr(cache, "no-store")) {
        apr_table_setn(r->headers_out, "Cache-Control",
                       cache ? apr_pstrcat(r->pool, cache, ", no-store", NULL) : "no-store");
    }
    apr_table_setn(r->headers_out, "X-Accel-Buffering", "no");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

void mcp_stream_begin(mcp_stream_t *s)
{
    request_rec *r = s->r;
    apr_time_t now = apr_time_now();
    const char *encoding = apr_table_get(r->headers_out, "Content-Encoding");

    set_headers(r);
    if (s->claim == MCP_CLAIM_NONE) {
        /* It did not look like one before: counted all the same, and not refused any more. */
        claim(s);
        s->refused = MCP_CAP_NONE;
    }
    s->open = 1;
    s->opened = s->heard = s->sent = now;
    s->may_ping = !encoding || !ap_cstr_casecmp(encoding, "identity");
    if (s->may_ping && mcp_stream_keepalive(s->conf) > 0) {
        /* With comments put in, the length is no longer the backend's. */
        apr_table_unset(r->headers_out, "Content-Length");
    }
    if (apr_table_get(r->headers_out, "Content-Length")) {
        s->may_ping = 0;
    }
    if (s->conf->max_age > 0) {
        apr_uint32_t random;

        mcp_random(&random, sizeof(random));
        s->end_at = now + s->conf->max_age - s->conf->max_age / JITTER_PART * (random % 1000) / 1000;
    }
    mcp_boundary_init(&s->at);
    mcp_table_begin(s->claim, now);
    if (s->has_grant) {
        mcp_warden_watch(s);
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r, MCP_LOG(0521) "stream begins");
}

void mcp_stream_pass(mcp_stream_t *s, const char *data, apr_size_t len, apr_time_t now)
{
    s->heard = s->sent = now;
    s->bytes += (apr_off_t)len;
    mcp_boundary_feed(&s->at, data, len);
    mcp_table_count_bytes(len);
}

int mcp_stream_stopping(int now)
{
    static int stopping; /* atomic */

    if (now) {
        __atomic_store_n(&stopping, 1, __ATOMIC_RELEASE);
    }
    return __atomic_load_n(&stopping, __ATOMIC_ACQUIRE);
}

/* The child drains: each stream gets its share of the time, so that clients do not come back all at once. */
static void begin_drain(mcp_stream_t *s, apr_time_t now)
{
    apr_uint32_t random;

    mcp_random(&random, sizeof(random));
    s->drain_at = now + mcp_stream_global.drain * (random % 1000) / 1000;
}

/* A polite end comes between two events; a backend that never ends its event does not keep the stream for that. */
static int may_end(const mcp_stream_t *s, apr_time_t since, apr_time_t now)
{
    return s->at.boundary || !s->may_ping || now - since > BOUNDARY_GRACE;
}

mcp_tick_e mcp_stream_tick(mcp_stream_t *s, apr_time_t now)
{
    apr_uint32_t verdict = __atomic_load_n(&s->verdict, __ATOMIC_ACQUIRE);
    apr_interval_time_t keepalive = mcp_stream_keepalive(s->conf);

    s->reason = MCP_END_NONE;
    if (mcp_stream_global.drain > 0 && s->drain_at == 0 && mcp_stream_stopping(0)) {
        begin_drain(s, now);
    }
    if (verdict != MCP_END_NONE) {
        s->reason = (mcp_end_e)verdict;
    }
    else if (mcp_table_killed(s->claim)) {
        s->reason = MCP_END_REVOKED; /* by children of a newer configuration, whose store we do not know */
    }
    else if (s->has_grant && !s->listed && now >= s->expires) {
        s->reason = MCP_END_EXPIRED; /* no warden runs that could ask whether the session was refreshed */
    }
    else if (s->end_at && now >= s->end_at && may_end(s, s->end_at, now)) {
        s->reason = MCP_END_MAX_AGE;
    }
    else if (s->drain_at && now >= s->drain_at && may_end(s, s->drain_at, now)) {
        s->reason = MCP_END_DRAINED;
    }
    else if (s->conf->idle > 0 && now - s->heard >= s->conf->idle) {
        s->reason = MCP_END_IDLE;
    }
    if (s->reason != MCP_END_NONE) {
        return MCP_TICK_END;
    }
    if (keepalive > 0 && s->may_ping && s->at.boundary && now - s->sent >= keepalive) {
        s->sent = now;
        return MCP_TICK_PING;
    }
    return MCP_TICK_ON;
}

static void earlier(apr_time_t *due, apr_time_t other)
{
    if (other < *due) {
        *due = other;
    }
}

apr_time_t mcp_stream_due(const mcp_stream_t *s)
{
    apr_interval_time_t keepalive = mcp_stream_keepalive(s->conf);
    apr_time_t due = APR_INT64_MAX;

    if (keepalive > 0 && s->may_ping) {
        earlier(&due, s->sent + keepalive);
    }
    if (s->conf->idle > 0) {
        earlier(&due, s->heard + s->conf->idle);
    }
    if (s->end_at) {
        earlier(&due, s->end_at);
    }
    if (s->drain_at) {
        earlier(&due, s->drain_at);
    }
    if (s->has_grant && !s->listed) {
        earlier(&due, s->expires);
    }
    return due;
}

void mcp_stream_end(mcp_stream_t *s, mcp_end_e reason)
{
    request_rec *r = s->r;

    if (s->listed) {
        mcp_warden_forget(s);
    }
    if (s->open) {
        s->open = 0;
        s->reason = reason;
        apr_table_setn(r->notes, "mcp-stream-end", mcp_end_name(reason));
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0522) "stream ended: %s, %" APR_OFF_T_FMT " bytes in %" APR_TIME_T_FMT " s",
                      mcp_end_name(reason), s->bytes, apr_time_sec(apr_time_now() - s->opened));
    }
    if (s->claim != MCP_CLAIM_NONE) {
        mcp_table_release(s->claim, reason);
        s->claim = MCP_CLAIM_NONE;
    }
}

/* ---- table and processes ---- */

static int deaths; /* in the parent: children died, and counts are to be looked over */

static int stream_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    if (!mcp_stream_global.relay_asked && !mcp_guard_in_use(s)) {
        return OK;
    }
    return mcp_table_open(s, ptemp) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static void stream_child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot, mpm_child_status status)
{
    if (status == MPM_CHILD_EXITED) {
        mcp_table_child_gone(pid);
        deaths = 3;
    }
}

static int stream_monitor(apr_pool_t *p, server_rec *s)
{
    if (deaths > 0 && mcp_table_audit(p) == 0) {
        deaths--; /* a few quiet rounds more, for a child may die while others are busy */
    }
    return DECLINED;
}

static void stream_child_init(apr_pool_t *pchild, server_rec *s)
{
    mcp_table_child_init();
    mcp_warden_child_init(pchild, s);
    mcp_loop_child_init(pchild, s);
}

void mcp_stream_govern_hooks(apr_pool_t *p)
{
    /* mod_proxy asks for the URL, not for r->handler: whoever comes first answers. */
    static const char *const before_proxy[] = { "mod_proxy.c", NULL };

    ap_hook_post_config(stream_post_config, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_init(stream_child_init, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_status(stream_child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(stream_monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_fixups(stream_fixups, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_handler(refused_handler, NULL, before_proxy, APR_HOOK_REALLY_FIRST);
}
