/* SPDX-License-Identifier: Apache-2.0 */
/* Client ID Metadata Documents (AS-21 to AS-24): the input is the document of one URL, or after "u" a client_id and a
 * blank and the document of that. What is taken is for that URL, and has no secret. */

#include "clients.h"

#define URL "https://app.example/c"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    char *text = fuzz_string(p, data, size), *blank = NULL;
    const char *id = URL;
    mcp_client_t client;
    mcp_result_t res = { 0 };
    mcp_oauth_conf_t *conf;
    int rc;

    if (*text == 'u' && (blank = strchr(text, ' '))) {
        id = apr_pstrmemdup(p, text + 1, (apr_size_t)(blank - text) - 1);
        text = blank + 1;
    }
    conf = fuzz_conf(p, id, text);
    rc = mcp_client_open(p, conf, id, &client, &res);
    if (rc == OK) {
        const json_t *doc = mcp_json_parse(p, text, strlen(text), MCP_METADATA_MAX);

        REQUIRE(client.source == MCP_CLIENT_METADATA && !client.secret_hash);
        REQUIRE(doc && !strcmp(mcp_json_str(doc, "client_id"), id) && !json_object_get(doc, "client_secret"));
        REQUIRE(!strncmp(id, "https://", 8) && strchr(id + 8, '/') && !strchr(id, '#') && !strstr(id, "/../"));
        REQUIRE(*client.host && !strpbrk(client.host, "/@?#"));
        REQUIRE(!strcmp(client.auth_method, "none")
                || (!strcmp(client.auth_method, "private_key_jwt") && (client.jwks || client.jwks_uri)));
        fuzz_check_client(p, conf, &client);
    }
    else {
        REQUIRE(rc == res.status && res.error && res.description);
    }
    apr_pool_destroy(p);
    return 0;
}
