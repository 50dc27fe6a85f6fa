/* SPDX-License-Identifier: Apache-2.0 */
/* The person behind an access token, asked at an endpoint: for providers that know no id_token. */

#include "upstream_impl.h"

#include <apr_strings.h>

#include "mcp_json.h"

#define ANSWER_MAX 262144

int mcp_userinfo(request_rec *r, const mcp_provider_t *provider, const char *access_token,
                 json_t **claims, mcp_result_t *res)
{
    mcp_fetch_t ask = {
        .url = provider->userinfo_endpoint,
        .provider = provider->name,
        .ca_pem = provider->ca_pem,
        .ca_file = provider->ca_file,
        .proxy = provider->proxy,
        .authorization = apr_pstrcat(r->pool, "Bearer ", access_token, NULL),
        .max = ANSWER_MAX,
        .timeout = provider->timeout,
    };
    mcp_fetched_t got = { 0 };
    int rc = mcp_fetch(r->pool, &ask, &got, res), later;

    if (rc != OK) {
        return rc;
    }
    if (got.status != HTTP_OK) {
        later = got.status >= 500 || got.status == HTTP_TOO_MANY_REQUESTS;
        return mcp_fail(res, later ? HTTP_SERVICE_UNAVAILABLE : HTTP_BAD_GATEWAY,
                        later ? "temporarily_unavailable" : "server_error",
                        "the identity provider does not tell who the person is",
                        apr_psprintf(r->pool, "%s answered %d", ask.url, got.status));
    }
    *claims = mcp_json_parse(r->pool, got.body, got.len, ANSWER_MAX);
    return *claims
               ? OK
               : mcp_fail(res, HTTP_BAD_GATEWAY, "server_error",
                          "the identity provider's answer is not usable",
                          apr_pstrcat(r->pool, ask.url, ": the answer is not a JSON object", NULL));
}
