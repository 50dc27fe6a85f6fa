/* SPDX-License-Identifier: Apache-2.0 */
/* Keys, id_tokens and claims. Tokens are signed here by cjose; what a lenient signer would not write is put together by
 * hand around such a signature. */

#include "upstream.h"

#include <string.h>

#include <apr_strings.h>
#include <cjose/cjose.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

#define NOW 1800000000
#define ISSUER "https://login.example"
#define NONCE "AAAAAAAAAAAAAAAAAAAAAA"

static cjose_jwk_t *key(const char *kind)
{
    static cjose_jwk_t *rsa, *other, *small, *p256, *p384, *p521;
    cjose_err err;

    if (!rsa) {
        rsa = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &err);
        other = cjose_jwk_create_RSA_random(2048, (const uint8_t *)"\x01\x00\x01", 3, &err);
        small = cjose_jwk_create_RSA_random(1024, (const uint8_t *)"\x01\x00\x01", 3, &err);
        p256 = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_256, &err);
        p384 = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_384, &err);
        p521 = cjose_jwk_create_EC_random(CJOSE_JWK_EC_P_521, &err);
    }
    return !strcmp(kind, "rsa") ? rsa : !strcmp(kind, "other") ? other
                                    : !strcmp(kind, "small")   ? small
                                    : !strcmp(kind, "256")     ? p256
                                    : !strcmp(kind, "384")     ? p384
                                                               : p521;
}

/* A JWK with members added, such as "\"use\":\"sig\"". */
static const char *jwk(const char *kind, int private, const char *members)
{
    cjose_err err;
    char *text = cjose_jwk_to_json(key(kind), private, &err);
    const char *all = apr_pstrcat(pool, "{", members, *members ? "," : "", text + 1, NULL);

    free(text);
    return all;
}

static mcp_jwks_t *set(const char *list)
{
    const char *text = apr_pstrcat(pool, "{\"keys\":[", list, "]}", NULL), *why;

    return mcp_jwks_parse(pool, text, strlen(text), &why);
}

static mcp_jwks_t *one(const char *kind)
{
    return set(jwk(kind, 0, "\"kid\":\"k\""));
}

/* With one more member in the header, unless @a name is NULL. */
static const char *sign_with(const char *kind, const char *alg, const char *kid, const char *name, const char *value,
                             const char *claims)
{
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);
    const char *text = NULL;
    cjose_jws_t *jws;

    cjose_header_set(header, CJOSE_HDR_ALG, alg, &err);
    if (name) {
        ck_assert(*value == '[' ? cjose_header_set_raw(header, name, value, &err)
                                : cjose_header_set(header, name, value, &err));
    }
    if (kid) {
        cjose_header_set(header, CJOSE_HDR_KID, kid, &err);
    }
    jws = cjose_jws_sign(key(kind), header, (const uint8_t *)claims, strlen(claims), &err);
    ck_assert_ptr_nonnull(jws);
    ck_assert(cjose_jws_export(jws, &text, &err));
    text = apr_pstrdup(pool, text);
    cjose_jws_release(jws);
    cjose_header_release(header);
    return text;
}

static const char *sign(const char *kind, const char *alg, const char *kid, const char *claims)
{
    return sign_with(kind, alg, kid, NULL, NULL, claims);
}

/* Claims that are right, and more after them; later ones do not replace earlier ones but make the JSON invalid. */
#define RIGHT \
    "\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"pat\",\"nonce\":\"" NONCE "\"," \
    "\"exp\":1800000600,\"iat\":1800000000"

static apr_status_t verify(const char *token, const mcp_jwks_t *keys, json_t **claims, const char **why)
{
    const mcp_id_token_expected_t expected = { .issuer = ISSUER, .client_id = "abc", .nonce = NONCE, .now = apr_time_from_sec(NOW) };

    *why = NULL;
    *claims = NULL;
    return mcp_id_token_verify(pool, token, keys, &expected, claims, why);
}

static apr_status_t verify_claims(const char *claims)
{
    json_t *json;
    const char *why;
    apr_status_t rv = verify(sign("rsa", "RS256", "k", claims), one("rsa"), &json, &why);

    ck_assert_int_eq(rv == APR_SUCCESS, json != NULL);
    ck_assert_int_eq(rv != APR_SUCCESS, why != NULL);
    return rv;
}

/* ---- keys ---- */

START_TEST(keys_taken)
{
    ck_assert_int_eq(mcp_jwks_count(one("rsa")), 1);
    ck_assert_int_eq(mcp_jwks_count(one("256")), 1);
    ck_assert_int_eq(mcp_jwks_count(one("384")), 1);
    ck_assert_int_eq(mcp_jwks_count(one("521")), 1);
    ck_assert_int_eq(mcp_jwks_count(set(jwk("rsa", 1, ""))), 1); /* a private key by mistake: read as a public one */
    ck_assert_int_eq(mcp_jwks_count(set(jwk("rsa", 0, "\"use\":\"sig\",\"alg\":\"PS512\""))), 1);
    ck_assert_int_eq(mcp_jwks_count(set(jwk("rsa", 0, "\"key_ops\":[\"sign\",\"verify\"]"))), 1);
    ck_assert_int_eq(mcp_jwks_count(set(apr_pstrcat(pool, "1,null,\"x\",[],{},{\"kty\":\"oct\",\"k\":\"AAAA\"},",
                                                    jwk("small", 0, ""), ",", jwk("rsa", 0, ""), NULL))),
                     1);
}
END_TEST

START_TEST(keys_passed_over)
{
    const char *list[] = {
        "", jwk("small", 0, ""), jwk("rsa", 0, "\"use\":\"enc\""), jwk("rsa", 0, "\"use\":1"),
        jwk("rsa", 0, "\"key_ops\":[\"encrypt\"]"), jwk("rsa", 0, "\"key_ops\":\"verify\""),
        jwk("rsa", 0, "\"alg\":\"RSA-OAEP\""), jwk("rsa", 0, "\"alg\":\"HS256\""), jwk("rsa", 0, "\"alg\":\"none\""),
        jwk("rsa", 0, "\"alg\":7"),
        /* an exponent that makes each verification as slow as a signature */
        apr_pstrcat(pool, "{\"kty\":\"RSA\",\"e\":\"AQAAAAAAAAAAAAAAAAE\",", strstr(jwk("rsa", 0, ""), "\"n\":"), NULL),
        "{\"kty\":\"RSA\"}", "{\"kty\":\"RSA\",\"n\":\"\",\"e\":\"\"}",
        "{\"kty\":\"RSA\",\"n\":\"!!!!\",\"e\":\"AQAB\"}", "{\"kty\":\"RSA\",\"n\":{},\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AAAAA===\",\"e\":\"AQAB\"}",
        "{\"kty\":\"RSA\",\"n\":\"AAAA=AAAAAAA\",\"e\":\"A=AB\"}",
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AA\",\"y\":\"AA\"}", "{\"kty\":\"EC\",\"crv\":\"P-256\"}",
        "{\"kty\":\"EC\",\"crv\":\"secp256k1\",\"x\":\"AA\",\"y\":\"AA\"}",
        /* of the right length, but not on the curve */
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\","
        "\"y\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}",
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\"}"
    };

    for (unsigned i = 0; i < sizeof(list) / sizeof(*list); i++) {
        ck_assert_msg(!set(list[i]), "taken: %s", list[i]);
    }
}
END_TEST

START_TEST(no_sets)
{
    static const char *const bad[] = { "", "[]", "{}", "{\"keys\":{}}", "{\"keys\":\"x\"}", "{\"keys\":null}",
                                       "{\"keys\":[]}", "{\"keys\":[[[[" };
    const char *why, *many = jwk("256", 0, "");

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        why = NULL;
        ck_assert_ptr_null(mcp_jwks_parse(pool, bad[i], strlen(bad[i]), &why));
        ck_assert_ptr_nonnull(why);
    }
    for (int i = 1; i < MCP_JWKS_KEYS_MAX; i++) {
        many = apr_pstrcat(pool, many, ",{}", NULL);
    }
    ck_assert_ptr_nonnull(set(many));
    ck_assert_ptr_null(set(apr_pstrcat(pool, many, ",{}", NULL)));
}
END_TEST

Suite *suite_jwks(void)
{
    Suite *suite = suite_create("jwks");
    TCase *test = unit_case(suite, "jwks");

    key("rsa"); /* all keys, before the tests fork */
    tcase_add_test(test, keys_taken);
    tcase_add_test(test, keys_passed_over);
    tcase_add_test(test, no_sets);
    return suite;
}

/* ---- tokens ---- */

static const struct {
    const char *alg, *kind;
} algs[] = { { "RS256", "rsa" }, { "RS384", "rsa" }, { "RS512", "rsa" }, { "PS256", "rsa" }, { "PS384", "rsa" }, { "PS512", "rsa" }, { "ES256", "256" }, { "ES384", "384" }, { "ES512", "521" } };

START_TEST(believes)
{
    const char *token = sign(algs[_i].kind, algs[_i].alg, "k", "{" RIGHT "}"), *why;
    json_t *claims;

    ck_assert_int_eq(verify(token, one(algs[_i].kind), &claims, &why), APR_SUCCESS);
    ck_assert_str_eq(mcp_json_str(claims, "sub"), "pat");
    /* every bit of the signature counts */
    for (apr_size_t i = strlen(token) - 30; i < strlen(token); i += 7) {
        char *altered = apr_pstrdup(pool, token);

        altered[i] = altered[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(verify(altered, one(algs[_i].kind), &claims, &why), APR_EINVAL);
    }
}
END_TEST

START_TEST(chooses_keys)
{
    const char *token = sign("rsa", "RS256", NULL, "{" RIGHT "}"), *why;
    json_t *claims;
    mcp_jwks_t *both = set(apr_pstrcat(pool, jwk("other", 0, "\"kid\":\"o\""), ",", jwk("256", 0, ""), ",",
                                       jwk("rsa", 0, "\"kid\":\"k\""), NULL));

    ck_assert_int_eq(verify(token, both, &claims, &why), APR_SUCCESS);
    ck_assert_int_eq(verify(token, one("other"), &claims, &why), APR_NOTFOUND);
    ck_assert_int_eq(verify(token, one("256"), &claims, &why), APR_NOTFOUND);
    token = sign("rsa", "RS256", "k", "{" RIGHT "}");
    ck_assert_int_eq(verify(token, both, &claims, &why), APR_SUCCESS);
    ck_assert_int_eq(verify(token, one("other"), &claims, &why), APR_EINVAL); /* its kid, but not its key */
    ck_assert_int_eq(verify(token, set(jwk("rsa", 0, "")), &claims, &why), APR_NOTFOUND);
    ck_assert_int_eq(verify(token, set(jwk("rsa", 0, "\"kid\":\"K\"")), &claims, &why), APR_NOTFOUND);
    ck_assert_int_eq(verify(token, set(jwk("rsa", 0, "\"kid\":\"k\",\"alg\":\"RS512\"")), &claims, &why), APR_NOTFOUND);
    ck_assert_int_eq(verify(token, one("256"), &claims, &why), APR_NOTFOUND);
    token = sign("256", "ES256", "k", "{" RIGHT "}");
    ck_assert_int_eq(verify(token, one("384"), &claims, &why), APR_NOTFOUND);
    token = sign("384", "ES256", "k", "{" RIGHT "}"); /* cjose signs it; the curve is wrong (RFC 7518 3.4) */
    ck_assert_int_eq(verify(token, one("384"), &claims, &why), APR_EINVAL);
}
END_TEST

START_TEST(reads_headers)
{
    static const struct {
        int good;
        const char *name, *value;
    } cases[] = {
        { 1, "typ", "JWT" },
        { 1, "typ", "jwt" },
        { 1, "typ", "x" },
        { 1, "jku", "https://evil.example" },
        { 0, "typ", "at+jwt" },
        { 0, "typ", "application/AT+JWT" },
        { 0, "typ", "logout+jwt" },
        { 0, "typ", "client-authentication+jwt" },
        { 0, "crit", "[\"exp\"]" },
        { 0, "crit", "[]" },
        { 0, "crit", "x" },
    };
    json_t *claims;
    const char *why;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *token = sign_with("256", "ES256", "k", cases[i].name, cases[i].value, "{" RIGHT "}");

        ck_assert_msg((verify(token, one("256"), &claims, &why) == APR_SUCCESS) == cases[i].good, "%s %s",
                      cases[i].name, cases[i].value);
    }
}
END_TEST

START_TEST(no_tokens)
{
    static const char *const bad[] = {
        "", ".", "..", "...", "a.b.c", "e30.e30.e30", "eyJhbGciOiJub25lIn0.e30.", "eyJhbGciOiJub25lIn0.e30",
        "eyJhbGciOiJub25lIn0.e30.AAAA", "eyJhbGciOiJIUzI1NiJ9.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.",
        "eyJhbGciOiJSUzI1NiJ9..AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AAAA.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.A",
        "eyJhbGciOiJSUzI1NiJ9.e30.AAAA=", "eyJhbGciOiJSUzI1NiJ9.AAAAA===.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AAAAA===",
        "AAAAA===.e30.AAAA", "eyJhbGciOiJSUzI1NiJ9.e30.AA AA", "W10.e30.AAAA", "bnVsbA.e30.AAAA",
        "eyJhbGciOiJFUzI1NiJ9.e30.AAAA"
    };
    json_t *claims;
    const char *why;

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_int_ne(verify(bad[i], one("rsa"), &claims, &why), APR_SUCCESS);
        ck_assert_ptr_nonnull(why);
        ck_assert_ptr_null(claims);
    }
}
END_TEST

static const struct {
    int good;
    const char *claims;
} tokens[] = {
    { 1, "{" RIGHT "}" },
    { 1, "{" RIGHT ",\"nbf\":1800000300,\"azp\":\"abc\"}" },
    { 1, "{\"iss\":\"" ISSUER "\",\"aud\":[\"x\",\"abc\"],\"azp\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\","
         "\"exp\":1799999701,\"iat\":1800000300}" },
    { 1, "{\"iss\":\"" ISSUER "\",\"aud\":[\"abc\"],\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1.8e9,\"iat\":0}" },
    { 1, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":253402300799,\"iat\":0.5}" },
    /* times (T49) */
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1799999700,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1e300,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":-1,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":9223372036854775807,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":\"1800000600\",\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":true,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":1800000301}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":-5}" },
    { 0, "{" RIGHT ",\"nbf\":1800000301}" },
    { 0, "{" RIGHT ",\"nbf\":null}" },
    { 0, "{" RIGHT ",\"nbf\":-1e300}" },
    /* who, for whom, for what */
    { 0, "{" RIGHT ",\"azp\":\"x\"}" },
    { 0, "{" RIGHT ",\"azp\":null}" },
    { 0, "{" RIGHT ",\"sub\":\"admin\"}" },
    { 0, "{\"iss\":\"https://login.example.evil\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":[\"" ISSUER "\"],\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"ab\",\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":[\"abc\",\"x\"],\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":{\"abc\":1},\"sub\":\"p\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":\"\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"nonce\":[\"" NONCE "\"],\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"p\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"sub\":\"\",\"nonce\":\"" NONCE "\",\"exp\":1800000600,\"iat\":0}" },
    { 0, "{}" },
    { 0, "[]" },
    { 0, "x" },
    { 0, "{" RIGHT "} x" },
};

START_TEST(reads_claims)
{
    ck_assert_int_eq(verify_claims(tokens[_i].claims), tokens[_i].good ? APR_SUCCESS : APR_EINVAL);
}
END_TEST

/* OpenID Connect Back-Channel Logout 1.0 section 2.6 */
#define LOGOUT "\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"exp\":1800000120,\"iat\":1800000000,\"jti\":\"j\""
#define EVENT ",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":{}}"

static const struct {
    const char *claims;
    int right;
} logouts[] = {
    { LOGOUT EVENT ",\"sub\":\"pat\"", 1 },
    { LOGOUT EVENT ",\"sid\":\"s1\"", 1 },
    { LOGOUT EVENT ",\"sub\":\"pat\",\"sid\":\"s1\"", 1 },
    { LOGOUT EVENT, 0 },
    { LOGOUT EVENT ",\"sub\":7,\"sid\":\"s1\"", 0 },
    { LOGOUT EVENT ",\"sub\":\"pat\",\"sid\":[]", 0 },
    { LOGOUT EVENT ",\"sub\":\"pat\",\"nonce\":\"n\"", 0 },
    { LOGOUT EVENT ",\"sub\":\"pat\",\"nonce\":null", 0 },
    { LOGOUT ",\"sub\":\"pat\"", 0 },
    { LOGOUT ",\"sub\":\"pat\",\"events\":[\"http://schemas.openid.net/event/backchannel-logout\"]", 0 },
    { LOGOUT ",\"sub\":\"pat\",\"events\":{\"http://schemas.openid.net/event/backchannel-logout\":true}", 0 },
    { LOGOUT ",\"sub\":\"pat\",\"events\":{\"http://schemas.openid.net/event/other\":{}}", 0 },
    { "\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"exp\":1800000120,\"iat\":1800000000,\"sub\":\"pat\"" EVENT, 0 },               /* no jti */
    { "\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"iat\":1800000000,\"jti\":\"j\",\"sub\":\"pat\"" EVENT, 0 },                    /* no exp */
    { "\"iss\":\"" ISSUER "\",\"aud\":\"abc\",\"exp\":1800000120,\"iat\":1799990000,\"jti\":\"j\",\"sub\":\"pat\"" EVENT, 0 }, /* old */
    { "\"iss\":\"" ISSUER "\",\"aud\":\"abd\",\"exp\":1800000120,\"iat\":1800000000,\"jti\":\"j\",\"sub\":\"pat\"" EVENT, 0 },
    { "\"iss\":\"" ISSUER "/\",\"aud\":\"abc\",\"exp\":1800000120,\"iat\":1800000000,\"jti\":\"j\",\"sub\":\"pat\"" EVENT, 0 },
};

START_TEST(logout_tokens)
{
    const mcp_id_token_expected_t expected = {
        .issuer = ISSUER, .client_id = "abc", .logout = 1, .now = apr_time_from_sec(NOW)
    };
    const char *claims = apr_pstrcat(pool, "{", logouts[_i].claims, "}", NULL), *why = NULL, *token;
    static const char *const types[] = { NULL, "logout+jwt", "JWT", "at+jwt" };
    json_t *json;

    for (int i = 0; i < 4; i++) {
        apr_status_t rv;

        token = sign_with("rsa", "RS256", "k", types[i] ? "typ" : NULL, types[i], claims);
        rv = mcp_id_token_verify(pool, token, one("rsa"), &expected, &json, &why);
        ck_assert_msg((rv == APR_SUCCESS) == (logouts[_i].right && i < 3), "%s: %s", claims, why ? why : "believed");
        /* and never for an id_token, though the claims of one are there */
        ck_assert_int_eq(verify(token, one("rsa"), &json, &why), APR_EINVAL);
    }
    token = sign("rsa", "RS256", "k", "{" RIGHT "}"); /* an id_token is no logout token */
    ck_assert_int_eq(mcp_id_token_verify(pool, token, one("rsa"), &expected, &json, &why), APR_EINVAL);
}
END_TEST

START_TEST(refreshed)
{
    const char *token = sign("rsa", "RS256", "k", "{" RIGHT "}"), *why;
    mcp_id_token_expected_t expected = { .issuer = ISSUER, .client_id = "abc", .subject = "pat", .now = apr_time_from_sec(NOW) };
    json_t *claims;

    ck_assert_int_eq(mcp_id_token_verify(pool, token, one("rsa"), &expected, &claims, &why), APR_SUCCESS);
    expected.subject = "paul";
    ck_assert_int_eq(mcp_id_token_verify(pool, token, one("rsa"), &expected, &claims, &why), APR_EINVAL);
    expected.subject = "";
    ck_assert_int_eq(mcp_id_token_verify(pool, token, one("rsa"), &expected, &claims, &why), APR_EINVAL);
}
END_TEST

START_TEST(large)
{
    char *padding = apr_pcalloc(pool, MCP_ID_TOKEN_MAX + 1);
    json_t *claims;
    const char *why;

    memset(padding, 'A', MCP_ID_TOKEN_MAX);
    ck_assert_int_eq(verify(padding, one("rsa"), &claims, &why), APR_EINVAL);
    ck_assert_int_eq(verify_claims(apr_pstrcat(pool, "{" RIGHT ",\"x\":\"", padding, "\"}", NULL)), APR_EINVAL);
    padding[50000] = '\0'; /* the token is a third larger than its claims */
    ck_assert_int_eq(verify_claims(apr_pstrcat(pool, "{" RIGHT ",\"x\":\"", padding, "\"}", NULL)), APR_EINVAL);
    padding[40000] = '\0';
    ck_assert_int_eq(verify_claims(apr_pstrcat(pool, "{" RIGHT ",\"x\":\"", padding, "\"}", NULL)), APR_SUCCESS);
}
END_TEST

Suite *suite_id_token(void)
{
    Suite *suite = suite_create("id_token");
    TCase *test = unit_case(suite, "id_token");

    key("rsa");
    tcase_add_loop_test(test, believes, 0, sizeof(algs) / sizeof(*algs));
    tcase_add_test(test, chooses_keys);
    tcase_add_test(test, reads_headers);
    tcase_add_test(test, no_tokens);
    tcase_add_loop_test(test, reads_claims, 0, sizeof(tokens) / sizeof(*tokens));
    tcase_add_test(test, refreshed);
    tcase_add_loop_test(test, logout_tokens, 0, sizeof(logouts) / sizeof(*logouts));
    tcase_add_test(test, large);
    return suite;
}

/* ---- claims ---- */

static apr_array_header_t *names(const char *list)
{
    apr_array_header_t *array = apr_array_make(pool, 4, sizeof(const char *));
    char *copy = apr_pstrdup(pool, list), *last = NULL;

    for (char *name = apr_strtok(copy, " ", &last); name; name = apr_strtok(NULL, " ", &last)) {
        APR_ARRAY_PUSH(array, const char *) = name;
    }
    return array;
}

static const char *filter(const char *claims, const char *list)
{
    char *text = mcp_claims_filter(pool, mcp_json_parse(pool, claims, strlen(claims), 1000000), names(list), 300);

    ck_assert_int_le(strlen(text), 300);
    return text;
}

/* `groups` with @a count values of ten bytes */
static const char *groups(int count)
{
    const char *text = "{\"name\":\"Pat\",\"groups\":[";

    for (int i = 0; i < count; i++) {
        text = apr_psprintf(pool, "%s%s\"%07d\"", text, i ? "," : "", i);
    }
    return apr_pstrcat(pool, text, "],\"oid\":\"1-2\"}", NULL);
}

START_TEST(keeps_what_is_asked)
{
    ck_assert_str_eq(filter("{\"a\":1,\"b\":\"x\",\"c\":[\"y\",2],\"d\":true,\"e\":0.5}", "c a d e"),
                     "{\"c\":[\"y\",2],\"a\":1,\"d\":true,\"e\":0.5}");
    ck_assert_str_eq(filter("{\"a\":1}", "b"), "{}");
    ck_assert_str_eq(filter("{\"a\":1}", ""), "{}");
    ck_assert_str_eq(filter("{\"a\":{\"x\":1},\"b\":null,\"c\":[[1]],\"d\":[null],\"e\":[]}", "a b c d e"), "{\"e\":[]}");
    ck_assert_str_eq(filter("{\"a\":1,\"a b\":2}", "a"), "{\"a\":1}");
}
END_TEST

START_TEST(marks_what_is_left_out)
{
    const char *text = filter(groups(10), "name groups oid");

    ck_assert_ptr_nonnull(strstr(text, "0000009"));
    ck_assert_ptr_null(strstr(text, MCP_CLAIMS_OVERAGE));
    /* too many: the claim is missing as a whole, and named; the others stay */
    ck_assert_str_eq(filter(groups(100), "name groups oid"),
                     "{\"name\":\"Pat\",\"oid\":\"1-2\",\"" MCP_CLAIMS_OVERAGE "\":[\"groups\"]}");
    /* the provider left them out itself (E9) */
    ck_assert_str_eq(filter("{\"_claim_names\":{\"groups\":\"src1\"},\"oid\":\"1\"}", "groups oid"),
                     "{\"oid\":\"1\",\"" MCP_CLAIMS_OVERAGE "\":[\"groups\"]}");
    ck_assert_str_eq(filter("{\"hasgroups\":true}", "groups roles"), "{\"" MCP_CLAIMS_OVERAGE "\":[\"groups\"]}");
    /* and whatever part came all the same is not taken for the whole */
    ck_assert_str_eq(filter("{\"hasgroups\":true,\"groups\":[\"a\"]}", "groups"),
                     "{\"" MCP_CLAIMS_OVERAGE "\":[\"groups\"]}");
    ck_assert_str_eq(filter("{\"hasgroups\":true,\"roles\":[\"a\"]}", "roles"), "{\"roles\":[\"a\"]}");
    ck_assert_str_eq(filter("{\"hasgroups\":\"true\",\"groups\":[\"a\"]}", "groups"), "{\"groups\":[\"a\"]}");
    /* a token cannot write the mark itself */
    ck_assert_str_eq(filter("{\"" MCP_CLAIMS_OVERAGE "\":[\"x\"],\"a\":1}", "a " MCP_CLAIMS_OVERAGE), "{\"a\":1}");
}
END_TEST

START_TEST(always_fits)
{
    const char *list = "name groups oid roles email tid x y z";

    for (int i = 0; i < 60; i++) {
        const char *claims = groups(i);

        filter(claims, list);
        filter(apr_pstrcat(pool, "{\"roles\":[\"\\u0001\\u0002\\\"\\\\\",\"\xf0\x9f\x98\x80\"],\"x\":\"",
                           claims + strlen(claims) - i % 10, NULL),
               "roles x"); /* not JSON: no claims */
    }
}
END_TEST

START_TEST(usernames)
{
    static const struct {
        const char *claims, *expected;
    } cases[] = {
        { "{\"sub\":\"s\",\"name\":\"n\",\"email\":\"e\",\"preferred_username\":\"p\"}", "p" },
        { "{\"sub\":\"s\",\"name\":\"n\",\"email\":\"e\",\"preferred_username\":\"\"}", "e" },
        { "{\"sub\":\"s\",\"name\":\"n\",\"email\":\"e\\nx\"}", "n" },
        { "{\"sub\":\"s\",\"name\":7}", "s" },
        { "{}", "" },
    };
    char text[400];
    const char *name;

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        json_t *json = mcp_json_parse(pool, cases[i].claims, strlen(cases[i].claims), 1000);

        ck_assert_str_eq(mcp_claims_username(pool, json, NULL), cases[i].expected);
    }
    /* 255 letters and then a character of four bytes: not cut in the middle */
    memset(text, 'a', sizeof(text));
    memcpy(text, "{\"sub\":\"", 8);
    strcpy(text + 8 + 255, "\xf0\x9f\x98\x80xyz\"}");
    name = mcp_claims_username(pool, mcp_json_parse(pool, text, strlen(text), 1000), NULL);
    ck_assert_int_eq(strlen(name), 255);
}
END_TEST

Suite *suite_claims(void)
{
    Suite *suite = suite_create("claims");
    TCase *test = unit_case(suite, "claims");

    tcase_add_test(test, keeps_what_is_asked);
    tcase_add_test(test, marks_what_is_left_out);
    tcase_add_test(test, always_fits);
    tcase_add_test(test, usernames);
    return suite;
}
