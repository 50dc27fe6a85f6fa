/* SPDX-License-Identifier: Apache-2.0 */
/* What a provider sends: "k" and a JWK set, "t" and a token, or "c" and claims, which are signed here. Who has no key
 * makes no token that is believed, and what is believed is for us, from the issuer, and fits. */

#include "fuzz.h"

#include <cjose/cjose.h>

#include "mcp_json.h"
#include "upstream/id_token.h"

#define NOW apr_time_from_sec(1800000000)
#define CLAIMS_MAX 2048

static cjose_jwk_t *signing_key(void)
{
    static const char text[] =
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
        "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\","
        "\"d\":\"870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE\"}"; /* RFC 7517 appendix A.2 */
    static cjose_jwk_t *key;
    cjose_err err;

    if (!key) {
        key = cjose_jwk_import(text, strlen(text), &err);
        REQUIRE(key);
    }
    return key;
}

/* Made anew each time: what a pool holds for ever looks like a leak, since APR's memory is not searched for pointers. */
static const mcp_jwks_t *published(apr_pool_t *p)
{
    static const char text[] =
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
        "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"kid\":\"1\"}]}";
    const char *why;
    const mcp_jwks_t *keys = mcp_jwks_parse(p, text, strlen(text), &why);

    REQUIRE(keys);
    return keys;
}

static const char *sign(apr_pool_t *p, const uint8_t *data, size_t size)
{
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);
    const char *token;
    cjose_jws_t *jws;

    cjose_header_set(header, CJOSE_HDR_ALG, "ES256", &err);
    jws = cjose_jws_sign(signing_key(), header, data, size, &err);
    REQUIRE(jws && cjose_jws_export(jws, &token, &err));
    token = apr_pstrdup(p, token);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
}

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
        REQUIRE(mcp_id_token_verify(p, fuzz_string(p, data + 1, size - 1), published(p), &expected, &claims, &why)
                    != APR_SUCCESS
                && why && !claims);
    }
    else if (size > 1) {
        if (mcp_id_token_verify(p, sign(p, data + 1, size - 1), published(p), &expected, &claims, &why)
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
