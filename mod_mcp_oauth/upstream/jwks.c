/* SPDX-License-Identifier: Apache-2.0 */
/* A provider's signing keys, imported by cjose once, and the choice of those that may verify a token. */

#include "jwks.h"

#include <string.h>

#include <apr_strings.h>
#include <cjose/cjose.h>
#include <openssl/err.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define JWKS_MAX 1048576
#define RSA_BITS_MIN 2048 /* RFC 7518 section 3.3 */
/* Whoever publishes keys must not be able to make verification expensive: */
#define RSA_BITS_MAX 8192
#define RSA_E_MAX 11 /* characters of the public exponent: 64 bits */

static const mcp_alg_t algs[] = {
    { "RS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "RS384", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "RS512", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "PS256", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "PS384", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "PS512", CJOSE_JWK_KTY_RSA, CJOSE_JWK_EC_INVALID, 0 },
    { "ES256", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_256, 64 },
    { "ES384", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_384, 96 },
    { "ES512", CJOSE_JWK_KTY_EC, CJOSE_JWK_EC_P_521, 132 },
};

const mcp_alg_t *mcp_alg_find(const char *name)
{
    for (apr_size_t i = 0; name && i < sizeof(algs) / sizeof(*algs); i++) {
        if (!strcmp(algs[i].name, name)) {
            return &algs[i];
        }
    }
    return NULL;
}

static apr_status_t release_key(void *jwk)
{
    cjose_jwk_release(jwk);
    return APR_SUCCESS;
}

/* May a key be used to verify signatures, as far as it says what it is for (RFC 7517 4.2, 4.3)? */
static int is_for_signatures(const json_t *json)
{
    const json_t *use = json_object_get(json, "use"), *ops = json_object_get(json, "key_ops");

    if (use && (!json_is_string(use) || strcmp(json_string_value(use), "sig"))) {
        return 0;
    }
    if (!ops) {
        return 1;
    }
    for (size_t i = 0; i < json_array_size(ops); i++) {
        const char *op = json_string_value(json_array_get(ops, i));

        if (op && !strcmp(op, "verify")) {
            return 1;
        }
    }
    return 0;
}

/* Is this strict base64url? cjose before 0.6.2.2 does not refuse "AAAAA===" but ends the process. */
static int is_base64url(apr_pool_t *p, const char *text)
{
    unsigned char *bytes;
    apr_size_t len;

    return mcp_b64url_decode(p, text, strlen(text), &bytes, &len) == APR_SUCCESS;
}

/* May cjose see this member's value? */
static int is_sane(apr_pool_t *p, const char *name, const json_t *value)
{
    const char *text = json_string_value(value);

    if (!text || !strcmp(name, "crv")) {
        return text != NULL;
    }
    return is_base64url(p, text) && (strcmp(name, "e") || strlen(text) <= RSA_E_MAX);
}

/* Only the public members that @a kty has, so that nothing else is ever read. */
static json_t *public_part(apr_pool_t *p, const json_t *json, const char *kty)
{
    static const char *const rsa[] = { "n", "e", NULL }, *const ec[] = { "crv", "x", "y", NULL };
    json_t *part = json_object();

    json_object_set_new(part, "kty", json_string(kty));
    for (const char *const *name = strcmp(kty, "RSA") ? ec : rsa; *name; name++) {
        json_t *value = json_object_get(json, *name);

        if (!is_sane(p, *name, value)) {
            json_decref(part);
            return NULL;
        }
        json_object_set(part, *name, value);
    }
    return part;
}

static cjose_jwk_t *import(apr_pool_t *p, const json_t *json, const char *kty)
{
    json_t *part = public_part(p, json, kty);
    cjose_jwk_t *jwk = NULL;
    cjose_err err;

    if (part) {
        char *text = mcp_json_text(p, part);

        jwk = cjose_jwk_import(text, strlen(text), &err);
        ERR_clear_error(); /* what is left there would be read as that of the thread's next TLS connection */
        json_decref(part);
    }
    if (jwk) {
        apr_pool_cleanup_register(p, jwk, release_key, apr_pool_cleanup_null);
    }
    return jwk;
}

/* Take a key if it is one for us. */
static int take_key(apr_pool_t *p, const json_t *json, mcp_jwk_t *key)
{
    const char *kty = mcp_json_str(json, "kty"), *alg = mcp_json_str(json, "alg"), *kid = mcp_json_str(json, "kid");
    size_t bits;
    cjose_err err;

    if (!kty || (strcmp(kty, "RSA") && strcmp(kty, "EC")) || !is_for_signatures(json)) {
        return 0;
    }
    if (json_object_get(json, "alg") && !mcp_alg_find(alg)) {
        return 0; /* for an algorithm that we do not accept, such as RSA-OAEP */
    }
    key->jwk = import(p, json, kty);
    if (!key->jwk) {
        return 0;
    }
    key->kty = cjose_jwk_get_kty(key->jwk, &err);
    key->curve = CJOSE_JWK_EC_INVALID;
    if (key->kty == CJOSE_JWK_KTY_EC) {
        key->curve = cjose_jwk_EC_get_curve(key->jwk, &err);
    }
    else {
        bits = cjose_jwk_get_keysize(key->jwk, &err);
        if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
            return 0;
        }
    }
    key->kid = kid ? apr_pstrdup(p, kid) : NULL;
    key->alg = alg ? mcp_alg_find(alg)->name : NULL;
    key->issuer = apr_pstrdup(p, mcp_json_str(json, "issuer"));
    return 1;
}

mcp_jwks_t *mcp_jwks_parse(apr_pool_t *p, const char *text, apr_size_t len, const char **why)
{
    mcp_jwks_t *jwks = apr_pcalloc(p, sizeof(*jwks));
    const json_t *list = json_object_get(mcp_json_parse(p, text, len, JWKS_MAX), "keys");
    size_t size = json_array_size(list);

    if (!json_is_array(list) || size > MCP_JWKS_KEYS_MAX) {
        *why = list ? "keys is not a list of a sane size" : "is not a JWK set";
        return NULL;
    }
    jwks->keys = apr_pcalloc(p, sizeof(*jwks->keys) * (size + 1));
    for (size_t i = 0; i < size; i++) {
        if (take_key(p, json_array_get(list, i), &jwks->keys[jwks->count])) {
            jwks->count++;
        }
    }
    if (!jwks->count) {
        *why = "holds no key that could verify a signature (RSA of 2048 bits or more, or EC)";
        return NULL;
    }
    return jwks;
}

int mcp_jwks_count(const mcp_jwks_t *keys)
{
    return keys->count;
}

int mcp_jwk_fits(const mcp_jwk_t *key, const mcp_alg_t *alg, const char *kid)
{
    if (kid && (!key->kid || strcmp(key->kid, kid))) {
        return 0;
    }
    /* Entra's keys have no alg (E1): then the type decides. */
    return (int)key->kty == alg->kty && key->curve == alg->curve && (!key->alg || !strcmp(key->alg, alg->name));
}
