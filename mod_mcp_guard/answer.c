/* SPDX-License-Identifier: Apache-2.0 */
/* What the guard answers itself. The answer is complete when these return DONE: no handler runs
 * after it, so not a byte of what is protected can follow (T35). In a subrequest only the status is
 * returned. */

#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>
#include <http_protocol.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

void mcp_guard_note_error(request_rec *r, const char *reason)
{
    apr_table_setn(r->subprocess_env, "MCP_ERROR", reason);
}

/* Administrators' `Header always set` applies to our answers as to httpd's own error pages. */
static void begin_answer(request_rec *r, int status)
{
    r->status = status;
    mcp_no_store(r);
    ap_run_insert_error_filter(r);
}

/* scope for the challenge: the resource's minimal set and what Require names here, each once (RS-4,
 * RS-5). */
static const char *wanted_scopes(request_rec *r, const mcp_guard_request_t *req)
{
    const char *base = req->resource ? req->resource->scopes : "";
    const char *more = req->dir && req->dir->scopes ? req->dir->scopes : "";
    const char *all = apr_pstrcat(r->pool, base, *base && *more ? " " : "", more, NULL);

    return mcp_list_intersect(r->pool, all, all);
}

int mcp_guard_challenge(request_rec *r, mcp_guard_request_t *req, int status, const char *error,
                        const char *description, const char *scopes)
{
    const char *value = "Bearer";
    const char *sep = " ";

    if (!scopes) {
        scopes = wanted_scopes(r, req);
    }
    /* Bearer comes first and alone, and neither "scope=" nor "error=" may occur in the text
     * (mcp-spec 6.1). */
    if (error) {
        value = apr_pstrcat(r->pool, value, " error=\"", error, "\", error_description=\"",
                            description, "\"", NULL);
        sep = ", ";
    }
    if (req->resource) {
        value = apr_pstrcat(r->pool, value, sep, "resource_metadata=\"",
                            mcp_prm_url(r->pool, req->resource), "\"", NULL);
        sep = ", ";
    }
    if (*scopes) {
        value = apr_pstrcat(r->pool, value, sep, "scope=\"", scopes, "\"", NULL);
        sep = ", ";
    }
    if (req->claims_challenge) {
        value = apr_pstrcat(r->pool, value, sep, "claims=\"", req->claims_challenge, "\"", NULL);
    }
    apr_table_setn(r->err_headers_out, "WWW-Authenticate", value);
    if (r->main) {
        return status;
    }
    begin_answer(r, status);
    mcp_send_oauth_error(r, status, error ? error : "unauthorized", description);
    return DONE;
}

int mcp_guard_store_down(request_rec *r)
{
    mcp_guard_note_error(r, "store_down");
    if (r->main) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    begin_answer(r, HTTP_SERVICE_UNAVAILABLE);
    mcp_send_store_down(r);
    return DONE;
}

int mcp_guard_unavailable(request_rec *r, const char *description)
{
    if (r->main) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    begin_answer(r, HTTP_SERVICE_UNAVAILABLE);
    mcp_send_unavailable(r, description);
    return DONE;
}

int mcp_guard_forbidden(request_rec *r)
{
    /* mod_authz_core may have noted a challenge for a user who could try again. */
    apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    if (r->main) {
        return HTTP_FORBIDDEN;
    }
    begin_answer(r, HTTP_FORBIDDEN);
    mcp_send_oauth_error(r, HTTP_FORBIDDEN, "access_denied", "Access is not allowed");
    return DONE;
}

int mcp_guard_send(request_rec *r, int status, json_t *json)
{
    if (r->main) {
        json_decref(json);
        return status;
    }
    begin_answer(r, status);
    mcp_send_json(r, status, json);
    return DONE;
}

int mcp_guard_origin_refused(request_rec *r)
{
    mcp_guard_note_error(r, "origin");
    begin_answer(r, HTTP_FORBIDDEN);
    mcp_send_json(r, HTTP_FORBIDDEN,
                  json_pack("{s:s, s:{s:i, s:s}}", "jsonrpc", "2.0", "error", "code", -32000,
                            "message", "Origin not allowed"));
    return DONE;
}

int mcp_guard_rpc_error(request_rec *r, int status, int code, const char *message, json_t *data)
{
    json_t *error;

    if (r->main) {
        json_decref(data);
        return status;
    }
    error = json_pack("{s:i, s:s}", "code", code, "message", message);
    if (data) {
        json_object_set_new(error, "data", data);
    }
    begin_answer(r, status);
    mcp_send_json(r, status, json_pack("{s:s, s:n, s:o}", "jsonrpc", "2.0", "id", "error", error));
    return DONE;
}

int mcp_guard_no_content(request_rec *r)
{
    begin_answer(r, HTTP_NO_CONTENT);
    if (ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    return DONE;
}
