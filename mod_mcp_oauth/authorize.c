/* SPDX-License-Identifier: Apache-2.0 */
/* GET /authorize: every check before any redirect (T12), then the consent page.
 *
 * Until the client and its redirect URI are known to be good, errors are pages for the person; from
 * then on they go to the client (RFC 6749 section 4.1.2.1), with iss (AS-10).
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define LOGIN_HINT_MAX 256

/* code_challenge: 43 to 128 unreserved characters (RFC 7636 section 4.2) */
static int is_challenge(const char *text)
{
    apr_size_t len = strlen(text);

    return len >= 43 && len <= 128 && strspn(text, MCP_PKCE_CHARS) == len;
}

/* A refused redirect URI for the log: without its query, and not at all when it is none, for a
 * mixed-up client may send anything there, also a token (T45). */
static const char *refused_uri(apr_pool_t *p, const char *uri)
{
    mcp_url_t url;

    if (!uri) {
        return "no redirect_uri";
    }
    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return "what is no URI";
    }
    return mcp_log_text(p, apr_psprintf(p, "%s://%s:%d%s", url.scheme, url.host, url.port, url.path));
}

/* Client and redirect URI. OK, or the page is sent and DONE returned. */
static int check_client(request_rec *r, const mcp_oauth_conf_t *conf,
                        const apr_array_header_t *form, mcp_client_t *client, mcp_authz_t *authz)
{
    const char *uri = mcp_form_get(form, "redirect_uri");
    mcp_result_t res = { 0 };

    if (mcp_client_open(r->pool, conf, mcp_form_get(form, "client_id"), client, &res) != OK) {
        if (res.status == HTTP_SERVICE_UNAVAILABLE) {
            mcp_page_error(r, conf, res.status, MCP_PAGE_CLIENT_DOCUMENT, mcp_detail(&res));
        }
        else {
            mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_UNKNOWN_CLIENT, mcp_detail(&res));
        }
        return DONE;
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_AUTHORIZE, client->key)) {
        mcp_page_error(r, conf, HTTP_TOO_MANY_REQUESTS, MCP_PAGE_TOO_MANY, "too many requests");
        return DONE;
    }
    /* It may be left out when there is only one (RFC 6749 section 3.1.2.3). */
    if (!uri && client->redirect_uris->nelts == 1) {
        uri = APR_ARRAY_IDX(client->redirect_uris, 0, const char *);
    }
    if (!uri || !mcp_client_redirect_ok(r->pool, conf, client, uri)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_REDIRECT,
                       apr_psprintf(r->pool, "client=%s asked for %s", client->key,
                                    refused_uri(r->pool, uri)));
        return DONE;
    }
    authz->client_key = client->key;
    authz->client_name = client->name;
    authz->client_source = client->source;
    authz->client_host = client->host;
    authz->client_uri = client->uri;
    authz->client_logo = client->logo_uri;
    authz->redirect_uri = uri;
    authz->remember = mcp_remember_client(r, conf, client, uri);
    return OK;
}

/* prompt (OpenID Connect Core section 3.1.2.1): consent is ours; what concerns the person's session
 * is the provider's, one value, since not every provider takes several; none is for both. What we do
 * not know asks for nothing that we could do. */
static int check_prompt(const char *prompt, mcp_authz_t *authz, int *ask, mcp_result_t *res)
{
    if (!prompt) {
        return OK;
    }
    if (mcp_list_has(prompt, "none") && strcmp(prompt, "none")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                        "prompt holds none and something else", NULL);
    }
    authz->prompt = mcp_list_has(prompt, "none")             ? "none"
                    : mcp_list_has(prompt, "login")          ? "login"
                    : mcp_list_has(prompt, "select_account") ? "select_account"
                                                             : NULL;
    *ask = mcp_list_has(prompt, "consent");
    return OK;
}

static int check_pkce(const apr_array_header_t *form, mcp_authz_t *authz, mcp_result_t *res)
{
    const char *method = mcp_form_get(form, "code_challenge_method");

    authz->challenge = mcp_form_get(form, "code_challenge");
    if (!authz->challenge || !*authz->challenge) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                        "code_challenge is required (PKCE)", NULL);
    }
    if (!method || strcmp(method, "S256")) { /* absent means plain (RFC 7636 section 4.3) */
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                        "code_challenge_method must be S256", NULL);
    }
    if (!is_challenge(authz->challenge)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request", "code_challenge is malformed",
                        NULL);
    }
    return OK;
}

static int check_target(request_rec *r, const mcp_oauth_conf_t *conf,
                        const apr_array_header_t *form, mcp_authz_t *authz, mcp_result_t *res)
{
    const char *scope = mcp_form_get(form, "scope");
    const char *wanted = mcp_form_get(form, "resource");
    const mcp_resource_t *resource = mcp_oauth_resource(r->pool, conf, wanted);

    if (!resource) {
        return mcp_oauth_fail_target(r->pool, res, "the resource is not protected by this server",
                                     wanted);
    }
    if (scope && !mcp_scope_valid(scope)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_scope", "scope is malformed", NULL);
    }
    authz->resource = resource->uri;
    authz->scope = mcp_oauth_narrow(r->pool, conf, resource, scope);
    return OK;
}

/* Everything that is answered to the client. */
static int check_request(request_rec *r, const mcp_oauth_conf_t *conf,
                         const apr_array_header_t *form, mcp_authz_t *authz, int *ask,
                         mcp_result_t *res)
{
    const char *type = mcp_form_get(form, "response_type"),
               *mode = mcp_form_get(form, "response_mode");
    const char *hint = mcp_form_get(form, "login_hint");

    if (mcp_form_get(form, "request")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "request_not_supported", NULL, NULL);
    }
    if (mcp_form_get(form, "request_uri")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "request_uri_not_supported", NULL, NULL);
    }
    if (!type || !*type) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request", "response_type is missing", NULL);
    }
    if (strcmp(type, "code")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "unsupported_response_type",
                        "response_type must be code", NULL);
    }
    if (mode && strcmp(mode, "query")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request", "response_mode must be query",
                        NULL);
    }
    if (check_pkce(form, authz, res) != OK || check_target(r, conf, form, authz, res) != OK) {
        return res->status;
    }
    if (hint && *hint && strlen(hint) <= LOGIN_HINT_MAX && !mcp_has_control(hint)) {
        authz->login_hint = hint;
    }
    return check_prompt(mcp_form_get(form, "prompt"), authz, ask, res);
}

/* The client's state: opaque, but bounded, because it travels in a cookie. */
static int check_state(const apr_array_header_t *form, mcp_authz_t *authz, mcp_result_t *res)
{
    const char *state = mcp_form_get(form, "state");

    if (!state || !*state) {
        return OK;
    }
    if (strlen(state) > MCP_STATE_MAX || mcp_has_control(state)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                        "state is too long or holds control characters", NULL);
    }
    authz->state = state;
    return OK;
}

static int check_size(request_rec *r, const mcp_oauth_conf_t *conf, mcp_authz_t *authz,
                      mcp_result_t *res)
{
    json_t *json = mcp_json_own(r->pool, mcp_authz_json(conf, authz));

    if (strlen(mcp_json_text(r->pool, json)) <= MCP_AUTHZ_MAX) {
        return OK;
    }
    authz->login_hint = NULL; /* what is only a convenience */
    authz->client_uri = NULL;
    authz->client_logo = NULL;
    json = mcp_json_own(r->pool, mcp_authz_json(conf, authz));
    return strlen(mcp_json_text(r->pool, json)) <= MCP_AUTHZ_MAX
               ? OK
               : mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request",
                          "state, scope and redirect_uri are too long together", NULL);
}

int mcp_authorize_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *twice;
    apr_array_header_t *form;
    mcp_authz_t authz = { 0 };
    mcp_result_t res = { 0 };
    mcp_client_t client;
    int ask = 0;

    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_AUTHORIZE, NULL)) {
        return mcp_page_error(r, conf, HTTP_TOO_MANY_REQUESTS, MCP_PAGE_TOO_MANY, "too many requests");
    }
    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the query is malformed");
    }
    mcp_page_locales(r, mcp_form_get(form, "ui_locales"));
    /* RFC 6749 section 3.1; several resources (RFC 8707 section 2) are not served, a token has one
     * audience. Which of two values is meant cannot be known, so not even the redirect URI is
     * trusted (T28). */
    twice = mcp_form_duplicate(form);
    if (twice) {
        return mcp_page_error(
            r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
            apr_pstrcat(r->pool, "parameter twice: ", mcp_log_text(r->pool, twice), NULL));
    }
    if (check_client(r, conf, form, &client, &authz) != OK) {
        return OK;
    }
    if (mcp_form_get(form, "ui_locales")) {
        authz.locale = mcp_page_language(r, conf)->id;
    }
    if (check_state(form, &authz, &res) != OK
        || check_request(r, conf, form, &authz, &ask, &res) != OK
        || check_size(r, conf, &authz, &res) != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0221) "authorization of client=%s refused: %s, %s", client.key,
                      res.error, mcp_detail(&res));
        return mcp_authz_error(r, conf, &authz, res.error, res.description);
    }
    authz.silent = !ask && mcp_remembered(r, conf, &authz);
    if (authz.silent) { /* who it was is seen when the person is known */
        return mcp_sign_in(r, conf, &authz);
    }
    if (mcp_authz_no_page(&authz)) {
        return mcp_authz_error(r, conf, &authz, "consent_required",
                               "the person has to be asked for consent");
    }
    return mcp_consent_page(r, conf, &client, &authz, NULL, NULL);
}
