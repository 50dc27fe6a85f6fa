/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of each call: a line of the audit log, counts and times for metrics, the trace for the backend. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "guard.h"
#include "mcp_event.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_metrics.h"
#include "mcp_span.h"
#include "mcp_trace.h"

APLOG_USE_MODULE(mcp_guard);

/* Of 2026-07-28, where each request introduces its client. */
#define META_CLIENT_INFO "io.modelcontextprotocol/clientInfo"

/* An audit log that has to be written and cannot: nothing goes on that it would not tell (MCPAuditLog required). */
static int refuse_unaudited(request_rec *r)
{
    if (mcp_audit_is_ready()) {
        return DECLINED;
    }
    mcp_guard_note_error(r, "audit_down");
    return mcp_guard_unavailable(r, "the audit log cannot be written");
}

/* Before the token is looked at, so that not even the attempt goes untold. */
static int before_authentication(request_rec *r)
{
    if (r->main || !mcp_guard_guarded(r) || mcp_guard_is_public(r)) {
        return DECLINED;
    }
    if (mcp_span_is_on()) {
        mcp_span_watch(r);
    }
    return refuse_unaudited(r);
}

/* Does the message name a trace that is not that of @a ours? */
static int is_another(const char *ours, const json_t *said)
{
    return said && (!json_is_string(said) || strncmp(ours, json_string_value(said), 3 + MCP_TRACE_ID_LEN));
}

/* A message may carry the trace itself (semantic conventions for MCP), for where its client has no say in headers. Its
 * server looks there first, and a server behind a bridge nowhere else, so our call of the backend is named there, too;
 * but another trace that the client wrote there is its own affair. */
static void continue_trace(request_rec *r, const mcp_rpc_t *rpc)
{
    const json_t *meta = rpc && rpc->count == 1 ? json_object_get(rpc->messages[0].params, "_meta") : NULL;
    const char *traceparent = mcp_json_str(meta, "traceparent"), *ours, *body;
    const mcp_trace_t *trace = mcp_trace(r);

    if (traceparent) {
        mcp_trace_adopt(r, traceparent, mcp_json_str(meta, "tracestate"));
    }
    ours = apr_table_get(r->headers_in, "traceparent");
    if (!rpc || !mcp_span_is_on() || !trace->sampled || !ours || is_another(ours, json_object_get(meta, "traceparent"))) {
        return;
    }
    body = mcp_rpc_with_trace(r->pool, rpc, ours);
    if (body) {
        mcp_rpc_put_body(r, body);
    }
}

/* All that the guard decides is decided: what follows is the backend's time. */
static int before_backend(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);

    if (req && req->session && !r->main) {
        req->guarded = apr_time_now() - r->request_time;
        if (mcp_audit_wants_calls() || mcp_span_is_on()) {
            mcp_trace(r); /* sets what the backend is told */
            continue_trace(r, req->rpc);
        }
    }
    return DECLINED;
}

/* name/version, as the client calls itself. */
static const char *agent_of(apr_pool_t *p, const json_t *params)
{
    const json_t *info = json_object_get(params, "clientInfo");
    const char *name, *version;

    if (!info) {
        info = json_object_get(json_object_get(params, "_meta"), META_CLIENT_INFO);
    }
    name = mcp_json_str(info, "name");
    version = mcp_json_str(info, "version");
    return name ? apr_pstrcat(p, name, version ? "/" : "", version ? version : "", NULL) : NULL;
}

/* One word for how the call ended: why we refused it, else by the status. */
static const char *outcome_of(request_rec *r)
{
    const char *error = apr_table_get(r->subprocess_env, "MCP_ERROR");

    return error                    ? error
           : r->status >= 500       ? "backend_error"
           : r->status >= 400       ? "client_error"
           : r->connection->aborted ? "aborted"
                                    : "ok";
}

static void tell_message(request_rec *r, mcp_event_t *event, const mcp_rpc_message_t *message)
{
    event->method = message->method ? message->method : "response";
    event->target = message->name;
    event->agent = agent_of(r->pool, message->params);
    mcp_metric(MCP_METRIC_METHODS, event->method, NULL);
    if (message->target == MCP_TARGET_TOOL) {
        mcp_metric(MCP_METRIC_TOOLS, message->name, event->outcome);
    }
    if (mcp_audit_wants_calls()) {
        mcp_event(r, MCP_EVENT_CALL, event);
    }
}

/* A 401 that is not ours reaches the client as if its token were bad: it signs in anew, for nothing, and says so to nobody. */
static void complain_of_backend(request_rec *r, const mcp_guard_request_t *req)
{
    if (r->status == HTTP_UNAUTHORIZED && req->guarded && !apr_table_get(r->subprocess_env, "MCP_ERROR")) {
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      MCP_LOG(0442) "the MCP server answered 401 to a call with a session; its client will sign in anew and fail "
                                    "again. What the location gives the server (MCPGuardBackendKey, MCPGuardUpstreamToken) is not "
                                    "what it demands");
    }
}

/* Of a whole request, once, also when an internal redirect answered it. */
static int log_call(request_rec *r)
{
    const mcp_guard_request_t *req;
    mcp_event_t event = { 0 };

    while (r->next) {
        r = r->next;
    }
    req = mcp_guard_known(r);
    if (!req || !req->dir) {
        return DECLINED;
    }
    complain_of_backend(r, req);
    event.outcome = outcome_of(r);
    event.status = r->status;
    event.duration = apr_time_now() - r->request_time;
    mcp_metric(MCP_METRIC_REQUESTS, event.outcome, NULL);
    if (req->guarded) {
        mcp_metric_time(MCP_TIME_GUARD, req->guarded);
        if (!r->content_type || ap_cstr_casecmpn(r->content_type, "text/event-stream", 17)) {
            mcp_metric_time(MCP_TIME_CALL, event.duration);
        }
    }
    if (mcp_span_is_on()) {
        mcp_guard_span(r, req, event.outcome);
    }
    if (!req->rpc && !mcp_audit_wants_calls()) {
        return DECLINED;
    }
    event.resource = req->resource ? req->resource->uri : NULL;
    event.session = req->ids.shown;
    event.protocol = apr_table_get(r->headers_in, "MCP-Protocol-Version");
    if (req->session) {
        event.person = req->session->subject;
        event.username = req->session->username;
        event.client = req->session->client;
        event.client_name = req->session->client_name;
        event.grant = req->session->grant_id;
    }
    if (!req->rpc || !req->rpc->count) {
        event.method = r->method;
        mcp_event(r, MCP_EVENT_CALL, &event);
    }
    for (int i = 0; req->rpc && i < req->rpc->count; i++) {
        tell_message(r, &event, &req->rpc->messages[i]);
    }
    return DECLINED;
}

static int answer_metrics(request_rec *r)
{
    return mcp_metrics_handler(r, mcp_stream_metrics);
}

void mcp_calls_register_hooks(apr_pool_t *p)
{
    ap_hook_check_access(before_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST - 1, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_fixups(before_backend, NULL, NULL, APR_HOOK_REALLY_LAST);
    ap_hook_log_transaction(log_call, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(answer_metrics, NULL, NULL, APR_HOOK_MIDDLE);
}
