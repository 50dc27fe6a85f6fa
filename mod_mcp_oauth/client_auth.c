/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls the token and revocation endpoints: a public client by its client_id, a confidential
 * one by its secret (RFC 6749 section 2.3.1) or by an assertion signed with its key (RFC 7523). */

#include "oauth.h"

#include <apr_escape.h>
#include <apr_strings.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_lease.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define ASSERTION_LIFE apr_time_from_sec(600)
#define KEYS_AGAIN apr_time_from_sec(30)
#define LOCKS 16 /* of a client */
#define LOCK_WAIT apr_time_from_sec(3)

/* What a request says about its client, each at most once. */
typedef struct {
    const char *id;
    const char *secret;
    const char *assertion;
    int basic; /* id and secret came in the Authorization header */
} credentials_t;

static int refuse(mcp_result_t *res, const char *why, const char *log)
{
    return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client", why, log);
}

/* Both halves of Basic are form-encoded first (RFC 6749 section 2.3.1), which for most clients
 * changes nothing. */
static const char *form_decoded(apr_pool_t *p, const char *text)
{
    apr_array_header_t *form;
    const char *pair = apr_pstrcat(p, "v=", text, NULL);
    const char *value;

    if (strchr(text, '&') || mcp_form_parse(p, pair, strlen(pair), &form) != APR_SUCCESS) {
        return text;
    }
    value = mcp_form_get(form, "v");
    return value ? value : text;
}

static int read_credentials(request_rec *r, const apr_array_header_t *form, credentials_t *given,
                            mcp_result_t *res)
{
    const char *header = apr_table_get(r->headers_in, "Authorization"), *user, *password, *type;

    given->id = mcp_form_get(form, "client_id");
    given->secret = mcp_form_get(form, "client_secret");
    given->assertion = mcp_form_get(form, "client_assertion");
    if (header && !ap_cstr_casecmpn(header, "Basic ", 6)) {
        given->basic = 1;
        if (ap_get_basic_auth_components(r, &user, &password) != APR_SUCCESS) {
            return refuse(res, "the Authorization header is malformed", NULL);
        }
        user = form_decoded(r->pool, user);
        if (given->id && strcmp(given->id, user)) {
            return refuse(res, "the Authorization header and client_id name different clients",
                          NULL);
        }
        given->id = user;
        if (given->secret) { /* one method a request: RFC 6749 section 2.3 */
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                            "more than one client authentication", NULL);
        }
        given->secret = form_decoded(r->pool, password);
    }
    if (given->assertion) {
        type = mcp_form_get(form, "client_assertion_type");
        if (!type || strcmp(type, ASSERTION_TYPE)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                            "client_assertion_type is not " ASSERTION_TYPE, NULL);
        }
        if (given->secret) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                            "more than one client authentication", NULL);
        }
        if (!given->id) {
            given->id = mcp_jwt_claimed_subject(r->pool, given->assertion);
        }
    }
    return OK;
}

static int check_secret(request_rec *r, const mcp_client_t *client, const credentials_t *given,
                        mcp_result_t *res)
{
    unsigned char digest[MCP_SHA256_LEN];
    char text[2 * MCP_SHA256_LEN + 1];

    if (!given->secret) {
        return refuse(res, "the client must authenticate with its secret", NULL);
    }
    mcp_sha256(given->secret, strlen(given->secret), digest);
    apr_escape_hex(text, digest, sizeof(digest), 0, NULL);
    return mcp_secret_equal(text, client->secret_hash)
               ? OK
               : refuse(res, "the client's secret is wrong", NULL);
}

/* The client's keys; @a newer as for mcp_client_document(). NULL with @a res filled. */
static mcp_jwks_t *client_keys(request_rec *r, const mcp_oauth_conf_t *conf,
                               const mcp_client_t *client, apr_interval_time_t newer,
                               mcp_result_t *res)
{
    const char *text = client->jwks, *why = NULL;
    mcp_jwks_t *keys;

    if (!text
        && mcp_client_document(r->pool, conf, client->jwks_uri, MCP_CLIENT_JWKS_MAX, newer, &text,
                               res)
               != OK) {
        return NULL;
    }
    keys = mcp_jwks_parse(r->pool, text, strlen(text), &why);
    if (!keys) {
        refuse(res, "the client's keys cannot be used", why);
    }
    return keys;
}

/*
 * Note that an assertion was used. To look and to write are two things, and another process or host may look in between:
 * both are done under a lock. It is of one in LOCKS of the client's assertions, for a lock that is new takes a while and
 * one for all would be a queue.
 * @return APR_SUCCESS for one caller, APR_EEXIST for all others, or MCP_EDOWN
 */
static apr_status_t note_use(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_client_t *client, const char *jti)
{
    const char *id = apr_pstrcat(r->pool, "jti ", client->key, " ", jti, NULL), *lock;
    unsigned char digest[MCP_SHA256_LEN], *data;
    mcp_lease_t lease;
    apr_status_t rv;
    apr_size_t len;

    mcp_sha256(jti, strlen(jti), digest);
    lock = apr_psprintf(r->pool, "jti %s %d", client->key, digest[0] % LOCKS);
    rv = mcp_lease_take(conf->store, lock, strlen(lock), LOCK_WAIT, &lease, r->pool);
    if (rv != APR_SUCCESS) {
        return MCP_EDOWN;
    }
    rv = mcp_store_get(conf->store, MCP_KIND_TRANSACTION, id, strlen(id), &data, &len, r->pool);
    if (rv == APR_SUCCESS) {
        rv = APR_EEXIST;
    }
    else if (rv == APR_NOTFOUND) {
        rv = mcp_store_put(conf->store, MCP_KIND_TRANSACTION, id, strlen(id),
                           apr_time_now() + ASSERTION_LIFE + apr_time_from_sec(MCP_ID_TOKEN_SKEW),
                           "1", 1, r->pool);
        if (rv != APR_SUCCESS || !mcp_lease_holds(&lease)) {
            rv = MCP_EDOWN; /* or held up for so long that others may have looked meanwhile */
        }
    }
    mcp_lease_give(&lease, r->pool);
    return rv;
}

/* Does the request bring something that a person's sign-in once gave, a code or a token of ours? */
static int brings_ours(request_rec *r, const mcp_oauth_conf_t *conf, const apr_array_header_t *form)
{
    static const unsigned char no_resource[16] = { 0 };
    const char *code = mcp_form_get(form, "code"), *token = mcp_form_get(form, "token"),
               *refresh = mcp_form_get(form, "refresh_token");
    apr_time_t now = apr_time_now();
    mcp_access_token_t access;
    mcp_refresh_t opened;
    json_t *json;

    return (code
            && mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_CODE, code, now, &json) == APR_SUCCESS)
           || (refresh && mcp_refresh_open(r->pool, conf, refresh, &opened) == APR_SUCCESS)
           || (token
               && (mcp_refresh_open(r->pool, conf, token, &opened) == APR_SUCCESS
                   || mcp_access_token_open(r->pool, conf->ring, token, now, no_resource, &access)
                          == APR_EMISMATCH));
}

/* An assertion counts once. It is remembered only after its signature was found good; and as anybody can be a
 * client with a key, by a metadata document of her own, only beside what she cannot make herself (design principle
 * 1). Without that the request is refused in any case, and so is the same one when it comes again. */
static int used_before(request_rec *r, const mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                       const mcp_client_t *client, const json_t *claims, mcp_result_t *res)
{
    const char *jti = mcp_json_str(claims, "jti");
    apr_status_t rv;

    if (!jti) {
        return refuse(res, "the assertion has no jti", NULL);
    }
    if (!brings_ours(r, conf, form)) {
        return OK;
    }
    rv = note_use(r, conf, client, jti);
    if (rv == APR_EEXIST) {
        return refuse(res, "the assertion was used before", NULL);
    }
    return rv == APR_SUCCESS
               ? OK
               : mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                          "the session store cannot be reached; try again shortly", NULL);
}

static int check_assertion(request_rec *r, const mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                           const mcp_client_t *client, const credentials_t *given, mcp_result_t *res)
{
    mcp_id_token_expected_t expected = {
        .issuer = client->id, .subject = client->id, .now = apr_time_now(), .assertion = 1
    };
    const char *audiences[] = { conf->shared->issuer,
                                apr_pstrcat(r->pool, conf->base_url, "/token", NULL) };
    apr_status_t rv = APR_EINVAL;
    const char *why = NULL;
    json_t *claims = NULL;

    if (!given->assertion) {
        return refuse(res, "the client must authenticate with private_key_jwt", NULL);
    }
    for (int again = 0; again < 2; again++) {
        mcp_jwks_t *keys = client_keys(r, conf, client, again ? KEYS_AGAIN : 0, res);

        if (!keys) {
            return res->status;
        }
        /* Our issuer is the audience to name; the token endpoint is what older clients name. */
        for (int i = 0; i < 2; i++) {
            expected.client_id = audiences[i];
            rv = mcp_id_token_verify(r->pool, given->assertion, keys, &expected, &claims, &why);
            if (rv == APR_SUCCESS) {
                if (mcp_json_int(claims, "exp", 0)
                    > apr_time_sec(expected.now + ASSERTION_LIFE) + MCP_ID_TOKEN_SKEW) {
                    return refuse(res, "the assertion lives longer than ten minutes", NULL);
                }
                return used_before(r, conf, form, client, claims, res);
            }
        }
        if (rv != APR_NOTFOUND || client->jwks) {
            break;
        }
    }
    return refuse(res, "the client's assertion is not valid", why);
}

int mcp_client_authenticate(request_rec *r, const mcp_oauth_conf_t *conf,
                            const apr_array_header_t *form, mcp_client_t *client, mcp_result_t *res)
{
    credentials_t given = { 0 };
    int rc = read_credentials(r, form, &given, res);

    /* RFC 6749 section 5.2: a client that used the header is told so by the header. */
    if (given.basic) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate", "Basic realm=\"mcp\"");
    }
    if (rc == OK) {
        rc = mcp_client_open(r->pool, conf, given.id, client, res);
    }
    if (rc == OK && !strcmp(client->auth_method, "private_key_jwt")) {
        rc = check_assertion(r, conf, form, client, &given, res);
    }
    else if (rc == OK && client->secret_hash) {
        rc = check_secret(r, client, &given, res);
    }
    /* A public client's secret was not given by us, proves nothing, and is not looked at: what
     * counts is the sealed client_id, and PKCE or the refresh token. */
    if (rc == OK) {
        apr_table_unset(r->err_headers_out, "WWW-Authenticate");
    }
    return rc;
}
