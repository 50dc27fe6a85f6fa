/* SPDX-License-Identifier: Apache-2.0 */
/* The span of a call, as OpenTelemetry's conventions for HTTP servers and for MCP want it. Nothing in it is secret: no
 * token, no argument of a tool, no session id but as a hash. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>

#include "guard.h"
#include "mcp_event.h"
#include "mcp_json.h"
#include "mcp_span.h"

#define ID_TEXT 24 /* of an integer */

/* What a call is about, if it is about one message. */
static const mcp_rpc_message_t *only_message(const mcp_guard_request_t *req)
{
    return req->rpc && req->rpc->count == 1 && req->rpc->messages[0].method ? &req->rpc->messages[0] : NULL;
}

/* `{mcp.method.name} {target}`, or for what is no message `{method} {route}`. URIs of resources are too many. */
static const char *name_of(request_rec *r, const mcp_guard_request_t *req, const mcp_rpc_message_t *message)
{
    const char *name = message ? message->method : r->method;
    const char *what = !message                                 ? req->resource ? req->resource->path : NULL
                       : message->target != MCP_TARGET_RESOURCE ? message->name
                                                                : NULL;

    return what ? apr_pstrcat(r->pool, name, " ", what, NULL) : name;
}

static void put_id(mcp_span_line_t *line, const json_t *id)
{
    char text[ID_TEXT];

    if (json_is_integer(id)) {
        apr_snprintf(text, sizeof(text), "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(id));
        mcp_span_text(line, "jsonrpc.request.id", text);
    }
    else {
        mcp_span_text(line, "jsonrpc.request.id", json_string_value(id));
    }
}

static void put_message(mcp_span_line_t *line, request_rec *r, const mcp_rpc_message_t *message)
{
    const char *version = apr_table_get(r->headers_in, "MCP-Protocol-Version");

    mcp_span_text(line, "mcp.method.name", message->method);
    mcp_span_text(line, "mcp.protocol.version",
                  version ? version : mcp_json_str(message->params, "protocolVersion"));
    put_id(line, message->id);
    switch (message->target) {
    case MCP_TARGET_TOOL:
        mcp_span_text(line, "gen_ai.operation.name", "execute_tool");
        mcp_span_text(line, "gen_ai.tool.name", message->name);
        break;
    case MCP_TARGET_PROMPT:
        mcp_span_text(line, "gen_ai.prompt.name", message->name);
        break;
    case MCP_TARGET_RESOURCE:
        mcp_span_text(line, "mcp.resource.uri", message->name);
        break;
    default:
        break;
    }
}

/* The backend's host and port, from the URL that mod_proxy was given. NULL: a unix socket, or something else. */
static const char *backend_of(request_rec *r, int *port)
{
    const char *url = r->filename && !strncmp(r->filename, "proxy:http", 10) ? strstr(r->filename, "://") : NULL;
    char *host, *scope_id;
    apr_port_t number = 0;

    *port = 0;
    if (!url) {
        return NULL;
    }
    url += 3;
    if (apr_parse_addr_port(&host, &scope_id, &number, apr_pstrmemdup(r->pool, url, strcspn(url, "/?")), r->pool)
            != APR_SUCCESS
        || !host || strchr(host, '@')) {
        return NULL;
    }
    *port = number ? number : r->filename[10] == 's' ? 443
                                                     : 80;
    return host;
}

/* Was the backend called? The limit of streams refuses where the guard is through. */
static int has_called(request_rec *r, const mcp_guard_request_t *req)
{
    return req->guarded && r->proxyreq && !apr_table_get(r->subprocess_env, "MCP_ERROR")
           && !apr_table_get(r->notes, "mcp-stream-refused");
}

void mcp_guard_span(request_rec *r, const mcp_guard_request_t *req, const char *outcome)
{
    const mcp_trace_t *trace = mcp_trace(r);
    const mcp_rpc_message_t *message = only_message(req);
    const char *stream_end = apr_table_get(r->notes, "mcp-stream-end");
    int ok = !strcmp(outcome, "ok"), failed;
    mcp_span_line_t line;

    if (!mcp_span_is_wanted(trace, req->session != NULL)) {
        return;
    }
    /* What the client did wrong is no failure of a server (conventions for HTTP), unless MCP's own answer tells of it. */
    failed = r->status >= 500 || (!ok && r->status < 400);
    mcp_span_begin(&line, trace, name_of(r, req, message), r->request_time, failed);
    if (has_called(r, req)) {
        int port;
        const char *host = backend_of(r, &port);

        mcp_span_backend(&line, trace, r->method, r->request_time + req->guarded, host, port, r->status, r->status >= 500);
    }
    mcp_span_attributes(&line);
    if (message) {
        put_message(&line, r, message);
    }
    else if (req->rpc && req->rpc->count > 1) {
        mcp_span_number(&line, "mcp_gateway.messages", req->rpc->count);
    }
    mcp_span_text(&line, "mcp.session.id", mcp_event_session(r->pool, req->ids.shown));
    if (failed) {
        mcp_span_text(&line, "error.type", !strcmp(outcome, "backend_error") ? apr_itoa(r->pool, r->status) : outcome);
    }
    mcp_span_text(&line, "mcp_gateway.outcome", outcome);
    mcp_span_text(&line, "mcp_gateway.stream.end", stream_end);
    mcp_span_text(&line, "mcp_gateway.client", req->session ? req->session->client : NULL);
    mcp_span_http(&line, r, req->resource ? req->resource->path : NULL);
    mcp_span_send(&line);
}
