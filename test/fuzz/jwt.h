/* SPDX-License-Identifier: Apache-2.0 */
/* A key, the set that publishes it, and what it signs: for the fuzz targets that read JWTs. */

#ifndef MCP_FUZZ_JWT_H
#define MCP_FUZZ_JWT_H

#include "fuzz.h"

#include <cjose/cjose.h>

#include "upstream/id_token.h"

static inline cjose_jwk_t *fuzz_signing_key(void)
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
static inline const mcp_jwks_t *fuzz_published(apr_pool_t *p)
{
    static const char text[] =
        "{\"keys\":[{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4\","
        "\"y\":\"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM\",\"kid\":\"1\"}]}";
    const char *why;
    const mcp_jwks_t *keys = mcp_jwks_parse(p, text, strlen(text), &why);

    REQUIRE(keys);
    return keys;
}

static inline const char *fuzz_sign(apr_pool_t *p, const uint8_t *data, size_t size)
{
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);
    const char *token;
    cjose_jws_t *jws;

    cjose_header_set(header, CJOSE_HDR_ALG, "ES256", &err);
    jws = cjose_jws_sign(fuzz_signing_key(), header, data, size, &err);
    REQUIRE(jws && cjose_jws_export(jws, &token, &err));
    token = apr_pstrdup(p, token);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return token;
}

#endif
