/* SPDX-License-Identifier: Apache-2.0 */
/* Verification of id_tokens (OpenID Connect Core 1.0 section 3.1.3.7, RFC 8725). */

#include "jwks.h"

#include <stdlib.h>
#include <string.h>

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/err.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define TRIES_MAX 16           /* keys that a token without kid is tried with */
#define YEAR_9999 253402300799 /* times beyond it are nonsense, and far from any overflow (T49) */

/* The three parts of a compact JWS. */
typedef struct {
    const mcp_alg_t *alg;
    const char *kid;
    apr_size_t sig_len;
} header_t;

static apr_status_t release_jws(void *jws)
{
    cjose_jws_release(jws);
    return APR_SUCCESS;
}

/* A type that says that the token is something else (RFC 8725 3.11): "at+jwt", "logout+jwt", ... */
static int is_other_type(const char *typ, const mcp_id_token_expected_t *expected)
{
    apr_size_t len = strlen(typ);

    if ((expected->assertion && !apr_cstr_casecmp(typ, "client-authentication+jwt"))
        || (expected->logout && !apr_cstr_casecmp(typ, "logout+jwt"))) {
        return 0;
    }
    return len >= 4 && !apr_cstr_casecmp(typ + len - 4, "+jwt");
}

/*
 * The header, read strictly: what cjose takes leniently, such as a member that occurs twice, is refused here.
 * NULL or why not.
 */
static const char *read_header(apr_pool_t *p, const char *token,
                               const mcp_id_token_expected_t *expected, header_t *header)
{
    const char *dot = strchr(token, '.'), *second = dot ? strchr(dot + 1, '.') : NULL, *name;
    unsigned char *text, *sig;
    apr_size_t len;
    const json_t *json;

    if (!second || strchr(second + 1, '.')) {
        return "the token is not a compact JWS"; /* five parts: an encrypted one */
    }
    if (mcp_b64url_decode(p, token, (apr_size_t)(dot - token), &text, &len) != APR_SUCCESS
        || !(json = mcp_json_parse(p, (const char *)text, len, MCP_ID_TOKEN_MAX))) {
        return "the token's header is malformed";
    }
    if (json_object_get(json, "crit")) { /* RFC 7515 4.1.11: we understand no extension */
        return "the token's header has crit";
    }
    name = mcp_json_str(json, "typ");
    if (name && is_other_type(name, expected)) {
        return apr_psprintf(p, "the token is no %s, but of type \"%s\"",
                            expected->logout ? "logout token" : "id_token", mcp_log_text(p, name));
    }
    name = mcp_json_str(json, "alg");
    header->alg = mcp_alg_find(name);
    if (!header->alg) {
        return apr_psprintf(p, "the token's alg is not accepted: \"%s\"", name ? mcp_log_text(p, name) : "");
    }
    header->kid = mcp_json_str(json, "kid");
    if (json_object_get(json, "kid") && !header->kid) {
        return "the token's kid is malformed";
    }
    /* Also for cjose's sake, of which old releases end the process over base64 like "AAAAA===". */
    if (mcp_b64url_decode(p, dot + 1, (apr_size_t)(second - dot - 1), &text, &len) != APR_SUCCESS) {
        return "the token's claims are malformed";
    }
    if (mcp_b64url_decode(p, second + 1, strlen(second + 1), &sig, &header->sig_len) != APR_SUCCESS
        || !header->sig_len || (header->alg->sig_len && header->sig_len != header->alg->sig_len)) {
        return "the token's signature is malformed";
    }
    return NULL;
}

/* APR_SUCCESS with the signed text, APR_NOTFOUND without a fitting key, APR_EINVAL for a wrong signature. */
static apr_status_t verify_signature(apr_pool_t *p, const char *token, const header_t *header,
                                     const mcp_jwks_t *keys, const char **text, apr_size_t *len,
                                     const mcp_jwk_t **key, const char **why)
{
    cjose_err err;
    cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
    int tried = 0;

    if (!jws) {
        *why = "the token is not a JWS";
        return APR_EINVAL;
    }
    apr_pool_cleanup_register(p, jws, release_jws, apr_pool_cleanup_null);
    for (int i = 0; i < keys->count; i++) {
        uint8_t *plain;
        size_t size;

        if (!mcp_jwk_fits(&keys->keys[i], header->alg, header->kid)) {
            continue;
        }
        if (++tried > TRIES_MAX) {
            break;
        }
        if (cjose_jws_verify(jws, keys->keys[i].jwk, &err)
            && cjose_jws_get_plaintext(jws, &plain, &size, &err)) {
            *key = &keys->keys[i];
            *text = (const char *)plain;
            *len = size;
            return APR_SUCCESS;
        }
        ERR_clear_error(); /* what is left there would be read as that of the thread's next TLS connection */
    }
    if (!tried || !header->kid) {
        *why = apr_psprintf(p, "no key of the provider fits the token (alg %s, kid \"%s\")", header->alg->name,
                            header->kid ? mcp_log_text(p, header->kid) : "");
        return APR_NOTFOUND;
    }
    *why = "the token's signature is wrong";
    return APR_EINVAL;
}

/* A NumericDate (RFC 7519 section 2): a JSON number. 1, 0 when absent, -1 when it is none. */
static int read_time(const json_t *claims, const char *name, json_int_t *out)
{
    const json_t *value = json_object_get(claims, name);

    if (!value) {
        return 0;
    }
    *out = json_is_number(value) ? mcp_json_int(claims, name, -1) : -1;
    return *out >= 0 && *out <= YEAR_9999 ? 1 : -1;
}

static const char *check_times(apr_pool_t *p, const json_t *claims, apr_time_t now_us, int assertion)
{
    json_int_t now = apr_time_sec(now_us), exp = 0, iat = 0, nbf = 0;
    int has_nbf;

    if (read_time(claims, "exp", &exp) != 1) {
        return "exp is missing or malformed";
    }
    if (read_time(claims, "iat", &iat) != 1 && (!assertion || json_object_get(claims, "iat"))) {
        return "iat is missing or malformed";
    }
    has_nbf = read_time(claims, "nbf", &nbf);
    if (has_nbf < 0) {
        return "nbf is malformed";
    }
    if (exp <= now - MCP_ID_TOKEN_SKEW) {
        return apr_psprintf(p, "expired %" APR_INT64_T_FMT " s ago; do the clocks agree?", (apr_int64_t)(now - exp));
    }
    if (iat > now + MCP_ID_TOKEN_SKEW || (has_nbf && nbf > now + MCP_ID_TOKEN_SKEW)) {
        return "issued in the future; do the clocks agree?";
    }
    return NULL;
}

static const char *check_audience(const json_t *claims, const char *client_id)
{
    const json_t *aud = json_object_get(claims, "aud"), *azp = json_object_get(claims, "azp");
    size_t size = json_array_size(aud);
    int found = 0;

    if (json_is_string(aud)) {
        found = !strcmp(json_string_value(aud), client_id);
        size = 1;
    }
    for (size_t i = 0; i < json_array_size(aud); i++) {
        const char *one = json_string_value(json_array_get(aud, i));

        if (!one) {
            return "aud is malformed";
        }
        found |= !strcmp(one, client_id);
    }
    if (!found) {
        return "aud does not name this gateway's client_id";
    }
    if (!azp) {
        return size > 1 ? "aud has several values, and there is no azp" : NULL;
    }
    return json_is_string(azp) && !strcmp(json_string_value(azp), client_id)
               ? NULL
               : "azp is not this gateway's client_id";
}

/* What makes a logout token (OpenID Connect Back-Channel Logout 1.0 sections 2.4 and 2.6), beside what
 * every token has. A nonce would make it an id_token. */
static const char *check_logout(const json_t *claims, apr_time_t now)
{
    const char *jti = mcp_json_str(claims, "jti");

    if (!json_is_object(json_object_get(json_object_get(claims, "events"), MCP_LOGOUT_EVENT))) {
        return "events does not name a back-channel logout";
    }
    if (json_object_get(claims, "nonce")) {
        return "it has a nonce";
    }
    if (!jti || strlen(jti) > 255) {
        return "jti is missing or malformed";
    }
    if (mcp_json_int(claims, "iat", 0) < apr_time_sec(now) - MCP_LOGOUT_AGE) {
        return "issued too long ago";
    }
    if (!json_object_get(claims, "sub") && !json_object_get(claims, "sid")) {
        return "it has neither sub nor sid";
    }
    if (json_object_get(claims, "sid") && !mcp_json_str(claims, "sid")) {
        return "sid is malformed";
    }
    return NULL;
}

int mcp_is_guid(const char *text)
{
    static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    apr_size_t i;

    for (i = 0; form[i]; i++) {
        if (form[i] == 'x' ? !apr_isxdigit(text[i]) : text[i] != '-') {
            return 0;
        }
    }
    return !text[i];
}

const char *mcp_tenant_issuer(apr_pool_t *p, const char *template, const char *tid)
{
    const char *mark = strstr(template, MCP_TENANT_MARK);

    if (!mark) {
        return template;
    }
    return tid && mcp_is_guid(tid)
               ? apr_pstrcat(p, apr_pstrmemdup(p, template, (apr_size_t)(mark - template)), tid,
                             mark + strlen(MCP_TENANT_MARK), NULL)
               : NULL;
}

/* Whose tokens the key may sign (E1): a key of one tenant, or of one kind of account, is no key for the others. */
static const char *check_key(apr_pool_t *p, const mcp_jwk_t *key, const json_t *claims)
{
    const char *issuer = key->issuer ? mcp_tenant_issuer(p, key->issuer, mcp_json_str(claims, "tid")) : NULL;

    return !key->issuer || (issuer && !strcmp(issuer, mcp_json_str(claims, "iss")))
               ? NULL
               : "the key is not one for tokens of this issuer";
}

static const char *check_claims(apr_pool_t *p, const json_t *claims, const mcp_id_token_expected_t *expected)
{
    const char *iss = mcp_json_str(claims, "iss"), *sub = mcp_json_str(claims, "sub"), *why;
    const char *issuer = mcp_tenant_issuer(p, expected->issuer, mcp_json_str(claims, "tid"));

    if (!issuer) {
        return "tid is missing or no GUID";
    }
    if (!iss || strcmp(iss, issuer)) {
        return apr_psprintf(p, "iss is not the provider's issuer: \"%s\"", iss ? mcp_log_text(p, iss) : "");
    }
    why = check_audience(claims, expected->client_id);
    if (!why) {
        why = check_times(p, claims, expected->now, expected->assertion);
    }
    if (why) {
        return why;
    }
    if (expected->nonce && !mcp_secret_equal(mcp_json_str(claims, "nonce"), expected->nonce)) {
        return "nonce is not that of the request";
    }
    if (expected->logout) {
        why = check_logout(claims, expected->now);
        if (why || !json_object_get(claims, "sub")) {
            return why;
        }
    }
    if (!sub || strlen(sub) > 255) {
        return "sub is missing or malformed";
    }
    return expected->subject && strcmp(sub, expected->subject) ? "sub is another person's" : NULL;
}

apr_status_t mcp_id_token_verify(apr_pool_t *p, const char *token, const mcp_jwks_t *keys,
                                 const mcp_id_token_expected_t *expected, json_t **claims, const char **why)
{
    header_t header = { 0 };
    const mcp_jwk_t *key = NULL;
    const char *text = NULL;
    apr_size_t len = 0;
    apr_status_t rv;
    json_t *json;

    if (strnlen(token, MCP_ID_TOKEN_MAX + 1) > MCP_ID_TOKEN_MAX) {
        *why = "the token is too large";
        return APR_EINVAL;
    }
    *why = read_header(p, token, expected, &header);
    if (*why || !header.alg) {
        return APR_EINVAL;
    }
    rv = verify_signature(p, token, &header, keys, &text, &len, &key, why);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json = mcp_json_parse(p, text, len, MCP_ID_TOKEN_MAX);
    *why = json ? check_claims(p, json, expected) : "the token's claims are malformed";
    if (!*why && expected->key_issuers) {
        *why = check_key(p, key, json);
    }
    if (*why) {
        return APR_EINVAL;
    }
    *claims = json;
    return APR_SUCCESS;
}

const char *mcp_jwt_claimed_subject(apr_pool_t *p, const char *token)
{
    const char *dot = strchr(token, '.'), *second = dot ? strchr(dot + 1, '.') : NULL;
    unsigned char *text;
    json_t *claims;
    apr_size_t len;

    if (!second || mcp_b64url_decode(p, dot + 1, (apr_size_t)(second - dot - 1), &text, &len) != APR_SUCCESS) {
        return NULL;
    }
    claims = mcp_json_parse(p, (const char *)text, len, MCP_ID_TOKEN_MAX);
    return claims ? mcp_json_str(claims, "sub") : NULL;
}
