/* SPDX-License-Identifier: Apache-2.0 */
/* Where a sign-in ends: the provider's word that it did, and the way there for a person. */

#include "upstream_impl.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"

int mcp_upstream_logout_token(request_rec *r, const mcp_provider_t *provider, const char *token,
                              mcp_logout_t *out, mcp_result_t *res)
{
    mcp_id_token_expected_t expected = {
        .issuer = provider->issuer,
        .client_id = provider->client_id,
        .logout = 1,
        .now = apr_time_now(),
    };
    const mcp_discovery_t *doc;
    json_t *claims = NULL;
    const char *who, *why;
    int rc;

    memset(out, 0, sizeof(*out));
    rc = mcp_upstream_enter(provider, res);
    if (rc != OK) {
        return rc;
    }
    rc = mcp_discover(r, provider, &doc, res);
    if (rc == OK) {
        rc = mcp_upstream_verify(r, provider, doc, token, &expected, &claims, res);
    }
    mcp_upstream_leave(provider);
    if (rc != OK) {
        return rc;
    }
    out->sub = mcp_json_str(claims, "sub");
    out->sid = mcp_json_str(claims, "sid");
    out->jti = mcp_json_str(claims, "jti");
    who = out->sub ? mcp_claims_subject(r->pool, claims, provider->subject_claims, &why) : NULL;
    out->subject = who ? apr_pstrcat(r->pool, provider->name, "|", who, NULL) : NULL;
    return OK;
}

int mcp_upstream_end_session_url(request_rec *r, const mcp_provider_t *provider, const char *back,
                                 const char *state, char **url, mcp_result_t *res)
{
    apr_table_t *params = apr_table_make(r->pool, 3);
    const mcp_discovery_t *doc = NULL;
    int rc = mcp_discover_or_enter(r, provider, &doc, res);

    if (rc != OK) {
        return rc;
    }
    if (!doc->end_session_endpoint) {
        return HTTP_NOT_FOUND;
    }
    apr_table_setn(params, "client_id", provider->client_id);
    apr_table_setn(params, "post_logout_redirect_uri", back);
    apr_table_setn(params, "state", state);
    *url = mcp_url_add_params(r->pool, doc->end_session_endpoint, params);
    return OK;
}
