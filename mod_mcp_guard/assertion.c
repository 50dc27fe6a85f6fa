/* SPDX-License-Identifier: Apache-2.0 */
/* A JWT of our own for backends that verify who calls, instead of trusting headers
 * (MCPGuardAssertion): signed with MCPSigningKey, whose public part mod_mcp_oauth publishes at
 * /jwks.
 *
 *   { "iss": MCPIssuer, "aud":, "sub": "provider|id", "client_id": client key, "scope":,
 *     "preferred_username":, "resource":, "iat":, "nbf":, "exp": a minute later, "jti": }
 */

#include "guard.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_signing.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define LIFETIME 60 /* seconds */

const char *mcp_set_guard_assertion(cmd_parms *cmd, void *config, const char *header,
                                    const char *audience)
{
    mcp_guard_dir_t *dir = config;
    const char *why = mcp_guard_header_name(cmd, header);

    if (why) {
        return why;
    }
    if (audience && (!*audience || strlen(audience) > 512 || !mcp_is_header_safe(audience))) {
        return "MCPGuardAssertion takes a header and, if it is not the MCPResource's URI, an audience";
    }
    dir->assertion_header = ap_cstr_casecmp(header, "off") ? header : "";
    dir->assertion_audience = audience;
    mcp_guard_note_header(cmd, dir);
    return NULL;
}

static void put(json_t *json, const char *name, const char *value)
{
    if (value && *value) {
        json_object_set_new(json, name, json_string(value));
    }
}

static const char *sign(request_rec *r, mcp_guard_request_t *req, const mcp_signer_t *signer)
{
    const mcp_guard_server_t *conf =
        ap_get_module_config(r->server->module_config, &mcp_guard_module);
    const mcp_session_t *session = req->session;
    json_t *claims = mcp_json_own(r->pool, json_object());
    json_int_t now = apr_time_sec(apr_time_now());

    put(claims, "iss", conf->shared->issuer);
    put(claims, "aud",
        req->dir->assertion_audience ? req->dir->assertion_audience : req->resource->uri);
    put(claims, "sub", session->subject);
    put(claims, "client_id", session->client);
    put(claims, "scope", mcp_guard_scopes(r, req));
    put(claims, "preferred_username", session->username);
    put(claims, "resource", req->resource->uri);
    put(claims, "jti", mcp_random_b64url(r->pool, 16));
    json_object_set_new(claims, "iat", json_integer(now));
    json_object_set_new(claims, "nbf", json_integer(now));
    json_object_set_new(claims, "exp", json_integer(now + LIFETIME));
    return mcp_signer_sign(r->pool, signer, NULL, mcp_signer_thumbprint(signer), 0, claims);
}

int mcp_guard_assertion(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    const mcp_signer_t *signer = mcp_signing_key();

    if (!req || !req->session || !req->dir->assertion_header || !*req->dir->assertion_header) {
        return DECLINED;
    }
    req->assertion = signer ? sign(r, req, signer) : NULL;
    if (!req->assertion) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0477) "MCPGuardAssertion: %s; refusing",
                      signer ? "the library does not sign"
                             : "there is no MCPSigningKey to sign with");
        return mcp_guard_unavailable(r, "The backend needs an assertion that cannot be made");
    }
    return DECLINED;
}
