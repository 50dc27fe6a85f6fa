/* SPDX-License-Identifier: Apache-2.0 */
/* POST /revoke (RFC 7009): a client gives back an access or a refresh token, and with either the
 * whole grant. Only its own (T14). What is no token of this client's gets the same 200 as one that
 * was: nothing is told about it. */

#include "oauth.h"

#include <http_log.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* The grant that an access token of any resource of this host belongs to. */
static int open_access_token(request_rec *r, const mcp_oauth_conf_t *conf, const char *token,
                             mcp_access_token_t *out)
{
    for (int i = 0; i < conf->shared->resources->nelts; i++) {
        const mcp_resource_t *resource = &APR_ARRAY_IDX(conf->shared->resources, i, mcp_resource_t);
        apr_status_t rv =
            mcp_access_token_open(r->pool, conf->ring, token, apr_time_now(), resource->hash, out);

        if (rv == APR_SUCCESS) {
            return 1;
        }
        if (rv != APR_EMISMATCH) {
            return 0;
        }
    }
    return 0;
}

static apr_status_t take_back(request_rec *r, const mcp_oauth_conf_t *conf, const char *text,
                              const mcp_client_t *client)
{
    mcp_access_token_t access;
    mcp_refresh_t refresh;
    mcp_grant_t grant;
    apr_status_t rv;

    if (mcp_refresh_open(r->pool, conf, text, &refresh) == APR_SUCCESS) {
        return strcmp(refresh.grant.client_key, client->key)
                   ? APR_SUCCESS
                   : mcp_session_revoke(r, conf, refresh.grant.id,
                                        "its client gave the refresh token back");
    }
    if (!open_access_token(r, conf, text, &access)) {
        return APR_SUCCESS;
    }
    rv = mcp_grant_get(conf->store, access.grant_id, &grant, r->pool);
    if (rv
        != APR_SUCCESS) { /* whose it was cannot be known any more, and it does not work any more */
        return rv == MCP_EDOWN ? rv : APR_SUCCESS;
    }
    if ((grant.flags & MCP_GRANT_REVOKED) || strcmp(grant.client_key, client->key)) {
        return APR_SUCCESS;
    }
    return mcp_session_revoke(r, conf, access.grant_id, "its client gave the access token back");
}

int mcp_revoke_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    apr_array_header_t *form;
    mcp_result_t res = { 0 };
    mcp_client_t client;
    const char *token;

    if (mcp_machine_form(r, "POST, OPTIONS", &form) != OK) {
        return OK;
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_TOKEN, NULL)) {
        return mcp_send_oauth_error(r, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                                    "too many requests; try again later");
    }
    if (mcp_client_authenticate(r, conf, form, &client, &res) != OK) {
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    token = mcp_form_get(form, "token");
    if (!token || !*token) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "token is missing");
    }
    /* token_type_hint is not needed: the prefix of a token tells what it is. */
    if (take_back(r, conf, token, &client) == MCP_EDOWN) {
        return mcp_send_store_down(r);
    }
    r->status = HTTP_OK;
    ap_set_content_length(r, 0);
    return OK;
}
