/* SPDX-License-Identifier: Apache-2.0 */
/* Pushed authorization requests (RFC 9126): the parameters go to the provider directly, the browser
 * carries a name. */

#include "upstream_impl.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define ANSWER_MAX 65536
#define REQUEST_URI_MAX 1024

int mcp_pushes(const mcp_provider_t *provider, const mcp_discovery_t *doc)
{
    return provider->credential.par == MCP_PAR_ON
           || (provider->credential.par == MCP_PAR_REQUIRED && doc->par_required);
}

int mcp_push_request(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                     apr_table_t **params, mcp_result_t *res)
{
    mcp_endpoint_t endpoint = { doc->par_endpoint, doc->mtls_par_endpoint };
    const char *const secrets[] = { NULL };
    mcp_fetched_t got = { 0 };
    const char *proof = NULL, *uri;
    const json_t *json;
    int rc;

    if (!doc->par_endpoint) {
        return mcp_fail(
            res, HTTP_BAD_GATEWAY, "server_error",
            "the identity provider is not set up for the gateway",
            "authorization requests are to be pushed, but the provider's metadata has no "
            "pushed_authorization_request_endpoint; check MCPProviderPAR");
    }
    rc = mcp_client_post(r, provider, doc, endpoint, *params, ANSWER_MAX, 1, &got, &proof, res);
    if (rc != OK) {
        return rc;
    }
    json = mcp_json_parse(r->pool, got.body, got.len, ANSWER_MAX);
    if (got.status / 100 != 2 || (json && mcp_json_str(json, "error"))) {
        return mcp_provider_refusal(r->pool, endpoint.plain, &got, json, secrets, proof, res);
    }
    uri = json ? mcp_json_str(json, "request_uri") : NULL;
    if (!uri || strlen(uri) > REQUEST_URI_MAX || !mcp_is_header_safe(uri)) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error",
                        "the identity provider's answer is not usable",
                        apr_psprintf(r->pool, "%s: the answer has no usable request_uri",
                                     endpoint.plain));
    }
    *params = apr_table_make(r->pool, 2);
    apr_table_setn(*params, "client_id", provider->client_id);
    apr_table_setn(*params, "request_uri", apr_pstrdup(r->pool, uri));
    return OK;
}
