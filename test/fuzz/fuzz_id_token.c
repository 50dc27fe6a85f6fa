/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider sends: "k" and a JWK set, "t" and a token, or "c" and claims, which are signed here. Who has no key
 * makes no token that is believed, and what is believed is for us, from the issuer, and fits. */

#include "jwt.h"

#include "mcp_json.h"

#define NOW apr_time_from_sec(1800000000)
#define CLAIMS_MAX 2048

static void check(apr_pool_t *p, const json_t *claims)
{
    static const char *const names[] = { "name", "email", "preferred_username", "roles", "groups", "tid", "oid", "" };
    apr_array_header_t *list = apr_array_make(p, 8, sizeof(const char *));
    char *text;

    REQUIRE(!strcmp(mcp_json_str(claims, "iss"), "https://a"));
    REQUIRE(mcp_json_str(claims, "sub") && !strcmp(mcp_json_str(claims, "nonce"), "n"));
    REQUIRE(mcp_json_int(claims, "exp", -1) > 1800000000 - MCP_ID_TOKEN_SKEW);
    REQUIRE(strlen(mcp_claims_username(p, claims, NULL)) <= 256);
    for (unsigned i = 0; i < sizeof(names) / sizeof(*names); i++) {
        APR_ARRAY_PUSH(list, const char *) = names[i];
    }
    text = mcp_claims_filter(p, claims, list, CLAIMS_MAX);
    REQUIRE(strlen(text) <= CLAIMS_MAX && mcp_json_parse(p, text, strlen(text), CLAIMS_MAX));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const mcp_id_token_expected_t expected = { .issuer = "https://a", .client_id = "c", .nonce = "n", .now = NOW };
    apr_pool_t *p = fuzz_pool();
    json_t *claims = NULL;
    const char *why = NULL;
    mcp_jwks_t *keys;

    if (size && *data == 'k') {
        keys = mcp_jwks_parse(p, (const char *)data + 1, size - 1, &why);
        REQUIRE(keys ? mcp_jwks_count(keys) > 0 : why != NULL);
    }
    else if (size && *data == 't') {
        REQUIRE(mcp_id_token_verify(p, fuzz_string(p, data + 1, size - 1), fuzz_published(p), &expected, &claims, &why)
                    != APR_SUCCESS
                && why && !claims);
    }
    else if (size > 1) {
        if (mcp_id_token_verify(p, fuzz_sign(p, data + 1, size - 1), fuzz_published(p), &expected, &claims, &why)
            == APR_SUCCESS) {
            check(p, claims);
        }
        else {
            REQUIRE(why && !claims);
        }
    }
    apr_pool_destroy(p);
    return 0;
}
