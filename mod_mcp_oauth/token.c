/* SPDX-License-Identifier: Apache-2.0 */
/* POST /token: a code for tokens. Form body only, every answer no-store, errors in RFC 6749's
 * shape.
 *
 * All that can be checked on the sealed code itself (client, redirect URI, PKCE, resource) is
 * checked before the store is touched. Then removing the code's record decides the one winner
 * (design principle 5); an authentic and well-bound code without a record is a replay, and what it
 * gave is taken back (W2).
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define BODY_MAX 65536 /* a refresh token that carries a large one of the provider's fits */

typedef struct {
    unsigned char id[MCP_ID_LEN];
    unsigned char grant_id[MCP_ID_LEN];
    const char *resource;
} code_t;

int mcp_machine_form(request_rec *r, const char *methods, apr_array_header_t **form)
{
    apr_size_t len;
    char *body;
    int rc;

    mcp_no_store(r);
    if (mcp_cors_public(r, methods) == OK) {
        return DONE;
    }
    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", methods);
        mcp_send_oauth_error(r, HTTP_METHOD_NOT_ALLOWED, "invalid_request",
                             "this endpoint takes a POST");
        return DONE;
    }
    if (!mcp_content_type_is(r, "application/x-www-form-urlencoded")) {
        mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request",
                             "the body must be application/x-www-form-urlencoded");
        return DONE;
    }
    rc = mcp_read_body(r, BODY_MAX, &body, &len);
    if (rc != OK) {
        mcp_send_oauth_error(r, rc, "invalid_request",
                             rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? "the request is too large"
                                                                 : "the body could not be read");
        return DONE;
    }
    if (mcp_form_parse(r->pool, body, len, form) != APR_SUCCESS) {
        mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "the form is malformed");
        return DONE;
    }
    if (mcp_form_duplicate(*form)) { /* RFC 6749 section 3.2 (T28) */
        mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "a parameter occurs twice");
        return DONE;
    }
    return OK;
}

static int same(const json_t *json, const char *name, const char *value)
{
    return mcp_secret_equal(mcp_json_str(json, name), value);
}

/* code_verifier: 43 to 128 unreserved characters (RFC 7636 section 4.1) */
static int verifier_ok(apr_pool_t *p, const json_t *json, const char *verifier)
{
    apr_size_t len = verifier ? strlen(verifier) : 0;

    return len >= 43 && len <= 128 && strspn(verifier, MCP_PKCE_CHARS) == len
           && same(json, "cc", mcp_sha256_b64url(p, verifier));
}

/* Open the code and check all that it is bound to, without the store. */
static int check_code(request_rec *r, const mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                      const mcp_client_t *client, code_t *code, mcp_result_t *res)
{
    const char *text = mcp_form_get(form, "code"), *uri = mcp_form_get(form, "redirect_uri");
    const char *wanted = mcp_form_get(form, "resource");
    const mcp_resource_t *resource;
    apr_status_t rv;
    json_t *json;

    if (!text || !*text) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request", "code is missing", NULL);
    }
    rv = mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_CODE, text, apr_time_now(), &json);
    if (rv != APR_SUCCESS) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        APR_STATUS_IS_TIMEUP(rv) ? "the code has expired" : "the code is not valid",
                        NULL);
    }
    code->resource = mcp_json_str(json, "rs");
    if (!same(json, "i", conf->issuer_tag)
        || !mcp_b64url_read(r->pool, mcp_json_str(json, "c"), code->id, MCP_ID_LEN)
        || !mcp_b64url_read(r->pool, mcp_json_str(json, "g"), code->grant_id, MCP_ID_LEN)
        || !code->resource) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant", "the code is not valid",
                        "another server's code");
    }
    if (!same(json, "ck", client->key)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "the code was given to another client", NULL);
    }
    /* OAuth 2.1 has no redirect_uri here any more, PKCE having taken its place (its section 10.2);
     * when it comes, as from every client today, it must be the one of the authorization
     * request. */
    if (uri && !same(json, "rh", mcp_sha256_b64url(r->pool, uri))) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "redirect_uri differs from that of the authorization request", NULL);
    }
    if (!verifier_ok(r->pool, json, mcp_form_get(form, "code_verifier"))) { /* T13 */
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "code_verifier does not match the code_challenge", NULL);
    }
    if (wanted) {
        resource = mcp_oauth_resource(r->pool, conf, wanted);
        if (!resource || strcmp(resource->uri, code->resource)) { /* RFC 8707 section 2.2 (T4) */
            return mcp_oauth_fail_target(r->pool, res, "the code is for another resource", wanted);
        }
    }
    return OK;
}

/* The record of a code as the refresh token to issue. */
static int read_record(request_rec *r, const mcp_oauth_conf_t *conf, const unsigned char *data,
                       apr_size_t len, const code_t *code, const mcp_client_t *client,
                       mcp_refresh_t *token, mcp_identity_t *up)
{
    json_t *json = mcp_json_parse(r->pool, (const char *)data, len, len), *tokens;
    mcp_grant_t *grant = &token->grant;
    const char *text;

    memset(token, 0, sizeof(*token));
    memset(up, 0, sizeof(*up));
    grant->subject = json ? mcp_json_str(json, "sub") : NULL;
    if (!grant->subject) {
        return 0;
    }
    memcpy(grant->id, code->grant_id, MCP_ID_LEN);
    grant->generation = 1;
    grant->issued = apr_time_from_sec(mcp_json_int(json, "iat", 0))
                    + apr_time_from_msec(mcp_json_int(json, "ms", 0));
    grant->client_key = client->key;
    grant->client_name = (text = mcp_json_str(json, "cn")) ? text : "";
    grant->username = (text = mcp_json_str(json, "un")) ? text : "";
    grant->claims = (text = mcp_json_str(json, "cl")) ? text : "{}";
    /* AS-15. Only now, when the person has unticked what is optional: a broad scope that was
     * declined must not take the narrow ones that it implies with it. */
    text = mcp_json_str(json, "sc");
    grant->scope = text ? mcp_scope_reduce(r->pool, conf->shared, text) : "";
    grant->resource = code->resource;
    tokens = json_object_get(json, "up");
    up->access_token = mcp_json_str(tokens, "at");
    up->refresh_token = mcp_json_str(tokens, "rt");
    up->scope = mcp_json_str(tokens, "scope");
    up->expires = apr_time_from_sec(mcp_json_int(tokens, "exp", 0));
    up->obtained = apr_time_from_sec(mcp_json_int(tokens, "got", 0));
    token->upstream_refresh = up->refresh_token;
    token->sid = mcp_json_str(json, "sh");
    token->sub = mcp_json_str(json, "oh");
    token->client = client;
    return 1;
}

static int code_grant(request_rec *r, mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                      const mcp_client_t *client)
{
    mcp_result_t res = { 0 };
    mcp_refresh_t token;
    mcp_identity_t up;
    unsigned char *data;
    apr_status_t rv;
    apr_size_t len;
    json_t *answer;
    code_t code;

    if (check_code(r, conf, form, client, &code, &res) != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0261) "code of client=%s refused: %s",
                      client->key, mcp_detail(&res));
        mcp_event(r, MCP_EVENT_TOKEN,
                  &(mcp_event_t){ .outcome = res.error,
                                  .detail = res.description,
                                  .client = client->key,
                                  .client_name = client->name });
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    rv = mcp_store_take(conf->store, MCP_KIND_CODE, code.id, MCP_ID_LEN, &data, &len, r->pool);
    if (rv == MCP_EDOWN) {
        return mcp_send_store_down(r);
    }
    if (rv != APR_SUCCESS) {
        mcp_event(r, MCP_EVENT_REUSE,
                  &(mcp_event_t){ .outcome = "invalid_grant",
                                  .detail = "a code was presented again",
                                  .client = client->key,
                                  .client_name = client->name,
                                  .grant = code.grant_id });
        mcp_session_revoke(r, conf, code.grant_id, "its code was presented again");
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_grant",
                                    "the code was used already");
    }
    if (!read_record(r, conf, data, len, &code, client, &token, &up)) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_grant", "the code is not valid");
    }
    rv = mcp_session_issue(r, conf, &token, token.grant.scope, &up, &answer);
    if (rv == APR_EACCES) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_grant",
                                    "the code is not valid any more");
    }
    if (rv != APR_SUCCESS && rv != APR_EGENERAL) {
        /* Give the code back, if that can be, so that the client may try again. */
        mcp_store_put(conf->store, MCP_KIND_CODE, code.id, MCP_ID_LEN,
                      apr_time_now() + conf->code_lifetime, data, len, r->pool);
        return mcp_send_store_down(r);
    }
    /* APR_EGENERAL: the code came a second time at this very moment. One answer is given, as for a
     * replay that comes later, and what it holds is revoked already. */
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0262) "tokens for \"%s\" client=%s resource=%s scope=\"%s\"",
                  mcp_log_text(r->pool, token.grant.subject), client->key, token.grant.resource,
                  token.grant.scope);
    mcp_event_grant(r, MCP_EVENT_TOKEN, NULL, NULL, &token.grant);
    return mcp_send_json(r, HTTP_OK, json_incref(answer));
}

int mcp_token_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    apr_array_header_t *form;
    mcp_result_t res = { 0 };
    mcp_client_t client;
    const char *type;

    if (mcp_machine_form(r, "POST, OPTIONS", &form) != OK) {
        return OK;
    }
    type = mcp_form_get(form, "grant_type");
    if (!type || !*type) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                    "grant_type is missing");
    }
    if (strcmp(type, "authorization_code") && strcmp(type, "refresh_token")) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "unsupported_grant_type",
                                    "grant_type must be authorization_code or refresh_token");
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_TOKEN, NULL)) {
        return mcp_send_oauth_error(r, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                                    "too many requests; try again later");
    }
    if (mcp_client_authenticate(r, conf, form, &client, &res) != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0263) "token request refused: %s",
                      mcp_detail(&res));
        mcp_event(r, MCP_EVENT_TOKEN,
                  &(mcp_event_t){ .outcome = res.error, .detail = res.description });
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_TOKEN, client.key)) {
        return mcp_send_oauth_error(r, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                                    "too many requests; try again later");
    }
    return *type == 'a' ? code_grant(r, conf, form, &client)
                        : mcp_refresh_grant(r, conf, form, &client);
}
