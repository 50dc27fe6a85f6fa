/* SPDX-License-Identifier: Apache-2.0 */
/* Events as JSON for the audit log, and as counts. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <jansson.h>

#include "mcp_audit.h"
#include "mcp_event.h"
#include "mcp_json.h"
#include "mcp_metrics.h"
#include "mcp_trace.h"
#include "mcp_util.h"

#define FIELD_MAX 256 /* bytes of one text: all together stay below MCP_AUDIT_LINE_MAX, escapes included */
#define HASH_CHARS 16

static const char *const names[MCP_EVENT_COUNT] = {
    [MCP_EVENT_REGISTRATION] = "client.registration",
    [MCP_EVENT_CONSENT] = "consent",
    [MCP_EVENT_SIGN_IN] = "sign_in",
    [MCP_EVENT_TOKEN] = "token.issue",
    [MCP_EVENT_REFRESH] = "token.refresh",
    [MCP_EVENT_REUSE] = "token.reuse",
    [MCP_EVENT_REVOCATION] = "grant.revocation",
    [MCP_EVENT_CALL] = "mcp.call",
    [MCP_EVENT_LOGOUT] = "logout",
    [MCP_EVENT_ADMIN] = "admin",
};

/* A text of at most @a max bytes, cut between characters; what is no UTF-8 becomes "?". */
static json_t *text(apr_pool_t *p, const char *value, apr_size_t max)
{
    apr_size_t len = strlen(value);
    char *copy;

    if (len > max) {
        for (len = max; len && ((unsigned char)value[len] & 0xc0) == 0x80; len--) {
        }
    }
    copy = apr_pstrmemdup(p, value, len);
    if (!mcp_is_utf8(copy)) {
        for (char *c = copy; *c; c++) {
            *c = (unsigned char)*c >= 0x80 ? '?' : *c;
        }
    }
    return json_string(copy);
}

static void put(apr_pool_t *p, json_t *json, const char *name, const char *value)
{
    if (value && *value) {
        json_object_set_new(json, name, text(p, value, FIELD_MAX));
    }
}

const char *mcp_event_session(apr_pool_t *p, const char *session)
{
    return session && *session ? apr_pstrmemdup(p, mcp_sha256_b64url(p, session), HASH_CHARS) : NULL;
}

const char *mcp_event_fields(request_rec *r, mcp_event_e type, const mcp_event_t *event)
{
    apr_pool_t *p = r->pool;
    json_t *json = mcp_json_own(p, json_object());
    char *line;

    put(p, json, "event", names[type]);
    put(p, json, "outcome", event->outcome ? event->outcome : "error");
    put(p, json, "detail", event->detail);
    put(p, json, "trace_id", mcp_trace_id(r));
    put(p, json, "request", r->log_id);
    put(p, json, "server", r->server->server_hostname);
    put(p, json, "address", r->useragent_ip);
    put(p, json, "person", event->person);
    put(p, json, "username", event->username);
    put(p, json, "client", event->client);
    put(p, json, "client_name", event->client_name);
    if (event->grant) {
        put(p, json, "grant", mcp_b64url_encode(p, event->grant, MCP_ID_LEN));
    }
    put(p, json, "resource", event->resource);
    put(p, json, "scope", event->scope);
    put(p, json, "provider", event->provider);
    put(p, json, "method", event->method);
    put(p, json, "target", event->target);
    put(p, json, "session", mcp_event_session(p, event->session));
    put(p, json, "protocol", event->protocol);
    put(p, json, "agent", event->agent);
    if (event->status) {
        json_object_set_new(json, "status", json_integer(event->status));
    }
    if (event->duration) {
        json_object_set_new(json, "duration_us", json_integer(event->duration));
    }
    /* ASCII only: no control or direction character of a stranger reaches a terminal. */
    line = json_dumps(json, JSON_COMPACT | JSON_ENSURE_ASCII);
    if (!line) {
        return "\"event\":\"unwritable\"";
    }
    line[strlen(line) - 1] = '\0';
    {
        const char *fields = apr_pstrdup(p, line + 1);

        free(line);
        return fields;
    }
}

apr_status_t mcp_event(request_rec *r, mcp_event_e type, const mcp_event_t *event)
{
    if (type != MCP_EVENT_CALL) { /* calls have families of their own */
        mcp_metric(MCP_METRIC_EVENTS, names[type], event->outcome ? event->outcome : "error");
    }
    if (!mcp_audit_is_on() || (type == MCP_EVENT_CALL && !mcp_audit_wants_calls())) {
        return APR_SUCCESS;
    }
    return mcp_audit_write(mcp_event_fields(r, type, event));
}

apr_status_t mcp_event_grant(request_rec *r, mcp_event_e type, const char *outcome, const char *detail,
                             const mcp_grant_t *grant)
{
    mcp_event_t event = { .outcome = outcome ? outcome : "ok", .detail = detail };

    event.person = grant->subject;
    event.username = grant->username;
    event.client = grant->client_key;
    event.client_name = grant->client_name;
    event.grant = grant->id;
    event.resource = grant->resource;
    event.scope = grant->scope;
    return mcp_event(r, type, &event);
}
