/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies of registrations (RFC 7591): what is taken is admitted, and comes back from the client_id as it was. */

#include "clients.h"

#include "stub_httpd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    mcp_oauth_conf_t *conf = fuzz_conf(p, "https://app.example/c", "");
    json_t *body = mcp_json_parse(p, (const char *)data, size, 16384);
    mcp_client_t client = { 0 }, again;
    mcp_result_t res = { 0 };
    const char *id;

    if (!body) {
        apr_pool_destroy(p);
        return 0;
    }
    if (mcp_registration_read(stub_request(p), conf, body, &client, &res) == OK) {
        fuzz_check_client(p, conf, &client);
        REQUIRE(!client.uri || !strpbrk(client.uri, "\r\n\t"));
        id = mcp_client_seal(p, conf, &client);
        if (id) {
            REQUIRE(strlen(id) <= MCP_CLIENT_ID_MAX && mcp_client_open(p, conf, id, &again, &res) == OK);
            REQUIRE(again.source == MCP_CLIENT_REGISTERED && !strcmp(again.auth_method, "none"));
            REQUIRE(!strcmp(again.name, client.name) && again.redirect_uris->nelts == client.redirect_uris->nelts);
            for (int i = 0; i < again.redirect_uris->nelts; i++) {
                REQUIRE(!strcmp(APR_ARRAY_IDX(again.redirect_uris, i, const char *),
                                APR_ARRAY_IDX(client.redirect_uris, i, const char *)));
            }
        }
    }
    else {
        REQUIRE(res.status == HTTP_BAD_REQUEST && !strncmp(res.error, "invalid_", 8) && res.description);
    }
    apr_pool_destroy(p);
    return 0;
}
