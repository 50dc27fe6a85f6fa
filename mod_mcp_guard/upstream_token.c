/* SPDX-License-Identifier: Apache-2.0 */
/* The person's own token at the identity provider for a backend that asks for one. Only where a
 * location says so (MCPGuardUpstreamToken) is that record of the session read; the token goes to
 * the backend alone, never to a client.
 *
 * One that has expired is not renewed here: the client hears 401, refreshes, and mod_mcp_oauth,
 * which alone knows the provider, renews the upstream token along with its own: once for all
 * processes and hosts. */

#include "guard.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

static mcp_store_t *store; /* set in post_config, inherited by the children */

void mcp_guard_upstream_init(mcp_store_t *shared_store)
{
    store = shared_store;
}

const char *mcp_guard_header_name(cmd_parms *cmd, const char *name)
{
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
    static const char *const taken[] = {
        "Host", "Connection", "Content-Length", "Transfer-Encoding",
        "Cookie", "Mcp-Session-Id", "Upgrade", "Expect",
        "TE", "Trailer"
    };

    if (!*name || strlen(name) > 64 || strspn(name, token) != strlen(name)) {
        return apr_psprintf(cmd->pool, "%s takes the name of a header, or Off: \"%s\" is none",
                            cmd->cmd->name, name);
    }
    for (apr_size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        if (!ap_cstr_casecmp(name, taken[i])) {
            return apr_psprintf(
                cmd->pool, "%s: %s has another meaning; use Authorization, or a name of your own",
                cmd->cmd->name, name);
        }
    }
    return NULL;
}

const char *mcp_set_guard_upstream_token(cmd_parms *cmd, void *config, const char *arg)
{
    ((mcp_guard_dir_t *)config)->upstream_header = ap_cstr_casecmp(arg, "off") ? arg : "";
    return mcp_guard_header_name(cmd, arg);
}

/* The client is to refresh, or to sign in again: mod_mcp_oauth renews what is missing here. */
static int ask_to_refresh(request_rec *r, mcp_guard_request_t *req, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0475) "upstream token of \"%s\": %s; the client is asked to "
                                "refresh",
                  mcp_log_text(r->pool, req->session->subject), why);
    mcp_guard_note_error(r, "upstream_token");
    return mcp_guard_challenge(r, req, HTTP_UNAUTHORIZED, "invalid_token",
                               "The sign-in at the identity provider has to be renewed", NULL);
}

int mcp_guard_upstream_token(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    unsigned char *data;
    const json_t *json;
    apr_status_t rv;
    json_int_t expires;
    apr_size_t len;

    if (!req || !req->session || !req->dir->upstream_header || !*req->dir->upstream_header) {
        return DECLINED;
    }
    rv = mcp_store_get(store, MCP_KIND_UPSTREAM, req->session->grant_id, MCP_ID_LEN, &data, &len,
                       r->pool);
    if (rv == MCP_EDOWN) {
        return mcp_guard_store_down(r);
    }
    json = rv == APR_SUCCESS ? mcp_json_parse(r->pool, (const char *)data, len, len) : NULL;
    if (!json) {
        return ask_to_refresh(r, req, "the store does not have it");
    }
    req->upstream_token = mcp_json_str(json, "at");
    expires = mcp_json_int(json, "exp", 0);
    if (!req->upstream_token || !mcp_is_header_safe(req->upstream_token)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            MCP_LOG(
                0476) "MCPGuardUpstreamToken: the provider's access token was too large for the store, "
                      "or is none for a header; refusing");
        req->upstream_token = NULL;
        return mcp_guard_unavailable(r, "The backend needs a token that is not available");
    }
    if (expires && apr_time_from_sec(expires) <= r->request_time) {
        req->upstream_token = NULL;
        return ask_to_refresh(r, req, "it has expired");
    }
    return DECLINED;
}
