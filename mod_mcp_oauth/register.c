/* SPDX-License-Identifier: Apache-2.0 */
/* Dynamic client registration (RFC 7591). Nothing is stored: what is registered comes back sealed
 * as the client_id.
 *
 * Decisions, where the RFC leaves them to the server (section 2: it may replace what a client asks
 * for):
 *  - Every client is public: token_endpoint_auth_method is "none" in the answer whatever was asked
 *    for, and no secret is ever made. A secret that anybody can fetch without authentication would
 *    prove nothing; PKCE and rotation protect codes and refresh tokens.
 *  - A redirect URI with a private-use scheme that is not allowed here is left out if others
 *    remain, since clients register URIs for several of their editions at once (field-lessons 2);
 *    the answer shows what was registered. Any other unacceptable URI (malformed, javascript: and
 *    kin, plain http to a host, fragment, dot segments) refuses the whole registration, for it is a
 *    mistake or an attack.
 *  - application_type is taken as said and not used to restrict redirect URIs (AS-13 is a MAY, and
 *    clients err on it).
 *  - grant_types always come back as both that we serve: clients that see no refresh_token there
 *    refuse to go on.
 *  - Unknown members are ignored.
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define BODY_MAX 16384
#define URI_MAX 512 /* bytes of client_uri */

/* A string member: NULL when absent, null or empty. *bad is set when it is something else or has
 * control bytes. */
static const char *text_member(const json_t *body, const char *name, int *bad)
{
    const json_t *value = json_object_get(body, name);

    if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value))) {
        return NULL;
    }
    if (!mcp_json_str(body, name)) {
        *bad = 1;
        return NULL;
    }
    return json_string_value(value);
}

/* Does the array member @a name, if it is there, hold @a wanted? 1 also when it is absent. */
static int offers(const json_t *body, const char *name, const char *wanted)
{
    const json_t *array = json_object_get(body, name), *item;
    size_t i;

    if (!array || json_is_null(array)) {
        return 1;
    }
    json_array_foreach (array, i, item) {
        if (json_is_string(item) && !strcmp(json_string_value(item), wanted)) {
            return 1;
        }
    }
    return json_is_array(array) && !json_array_size(array);
}

/* Is @a uri well-formed, with nothing wrong but a private-use scheme that the administrator did not
 * list? */
static int only_scheme_unlisted(apr_pool_t *p, const char *uri)
{
    apr_array_header_t *own = apr_array_make(p, 1, sizeof(const char *));
    mcp_url_t url;

    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return 0;
    }
    APR_ARRAY_PUSH(own, const char *) = url.scheme;
    return mcp_redirect_check(p, uri, own) == NULL;
}

static int take_redirects(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                          mcp_client_t *client, mcp_result_t *res)
{
    const json_t *uris = json_object_get(body, "redirect_uris"), *item;
    const char *why = NULL;
    size_t i;

    if (!json_is_array(uris) || !json_array_size(uris)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri",
                        "redirect_uris must be a list of URIs", NULL);
    }
    if (json_array_size(uris) > MCP_REDIRECTS_MAX) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", "too many redirect_uris",
                        NULL);
    }
    client->redirect_uris =
        apr_array_make(r->pool, (int)json_array_size(uris), sizeof(const char *));
    json_array_foreach (uris, i, item) {
        const char *uri = json_string_value(item);

        if (!uri || strlen(uri) != json_string_length(item)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri",
                            "a redirect URI is not a string", NULL);
        }
        why = mcp_redirect_admitted(r->pool, conf, uri);
        if (!why) {
            APR_ARRAY_PUSH(client->redirect_uris, const char *) = uri;
        }
        else if (!only_scheme_unlisted(r->pool, uri)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", why,
                            mcp_log_text(r->pool, uri));
        }
        else {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          MCP_LOG(0211) "left out, not in MCPOAuthRedirectSchemes: %s",
                          mcp_log_text(r->pool, uri));
        }
    }
    if (!client->redirect_uris->nelts) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", why,
                        "no redirect URI is left");
    }
    return OK;
}

/* URIs that a client tells about itself: web pages or nothing (T17). */
static int check_uris(apr_pool_t *p, const json_t *body, mcp_result_t *res)
{
    static const char *const names[] = { "client_uri", "logo_uri", "policy_uri", "tos_uri",
                                         "jwks_uri" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int bad = 0;
        const char *uri = text_member(body, names[i], &bad);
        mcp_url_t url;

        if (bad
            || (uri
                && (mcp_url_parse(p, uri, &url) != APR_SUCCESS
                    || (strcmp(url.scheme, "https") && strcmp(url.scheme, "http"))
                    || url.has_userinfo))) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                            apr_pstrcat(p, names[i], " must be an http or https URL", NULL), NULL);
        }
    }
    return OK;
}

/* The member that names the client: the plain one, else the English one, else the first in any
 * language (RFC 7591 section 2.2: "client_name#ja"). One is kept, since a client_id carries its
 * registration. */
static const char *name_member(const json_t *body)
{
    const char *key, *found = "client_name";
    json_t *value;

    if (json_object_get(body, found)) {
        return found;
    }
    json_object_foreach ((json_t *)body, key, value) {
        if (!strncmp(key, "client_name#en", 14)) {
            return key;
        }
        if (!strncmp(key, "client_name#", 12) && !strchr(found, '#')) {
            found = key;
        }
    }
    return found;
}

static int read_client(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                       mcp_client_t *client, mcp_result_t *res)
{
    const char *name, *uri;
    int bad = 0, rv;

    name = text_member(body, name_member(body), &bad);
    if (bad || (name && strlen(name) > 4 * MCP_CLIENT_NAME_MAX)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "client_name must be a short text without control characters", NULL);
    }
    client->name = name ? mcp_clean_text(r->pool, name, MCP_CLIENT_NAME_MAX) : "";
    if (!offers(body, "grant_types", "authorization_code")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "grant_types must hold authorization_code", NULL);
    }
    if (!offers(body, "response_types", "code")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "response_types must hold code", NULL);
    }
    rv = check_uris(r->pool, body, res);
    if (rv != OK) {
        return rv;
    }
    uri = mcp_json_str(body, "client_uri");
    client->uri = uri && strlen(uri) <= URI_MAX ? uri : NULL;
    return take_redirects(r, conf, body, client, res);
}

/* What of the requested scope exists at any resource; NULL when nothing does. For the client to
 * know: what it may have is decided at each authorization, not here. */
static const char *registered_scope(apr_pool_t *p, const mcp_oauth_conf_t *conf, const json_t *body)
{
    const char *wanted = mcp_json_str(body, "scope");
    const char *have =
        wanted && mcp_scope_valid(wanted) ? mcp_list_intersect(p, wanted, conf->scopes) : "";

    return *have ? have : NULL;
}

static json_t *answer(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                      const mcp_client_t *client, const char *id)
{
    const char *type = mcp_json_str(body, "application_type");
    const char *scope = registered_scope(r->pool, conf, body);
    json_t *uris = json_array();
    json_t *json = json_object();

    mcp_put(json, "client_id", id);
    json_object_set_new(json, "client_id_issued_at", json_integer(apr_time_sec(r->request_time)));
    mcp_put(json, "token_endpoint_auth_method", "none");
    json_object_set_new(json, "grant_types",
                        json_pack("[s,s]", "authorization_code", "refresh_token"));
    json_object_set_new(json, "response_types", json_pack("[s]", "code"));
    for (int i = 0; i < client->redirect_uris->nelts; i++) {
        json_array_append_new(uris,
                              json_string(APR_ARRAY_IDX(client->redirect_uris, i, const char *)));
    }
    json_object_set_new(json, "redirect_uris", uris);
    mcp_put(json, "client_name", *client->name ? client->name : NULL);
    mcp_put(json, "client_uri", client->uri);
    if (type && (!strcmp(type, "native") || !strcmp(type, "web"))) {
        mcp_put(json, "application_type", type);
    }
    mcp_put(json, "scope", scope);
    return json;
}

static int read_request(request_rec *r, json_t **body, mcp_result_t *res)
{
    apr_size_t len;
    char *text;
    int rc;

    if (apr_table_get(r->headers_in, "Content-Type")
        && !mcp_content_type_is(r, "application/json")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "the body must be application/json", NULL);
    }
    rc = mcp_read_body(r, BODY_MAX, &text, &len);
    if (rc != OK) {
        return mcp_fail(res, rc, "invalid_client_metadata",
                        rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? "the registration is too large"
                                                            : "the body could not be read",
                        NULL);
    }
    *body = mcp_json_parse(r->pool, text, len, BODY_MAX);
    return *body ? OK
                 : mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                            "the body is not a JSON object", NULL);
}

/* May the caller register? (RFC 7591 section 3: an initial access token is a bearer token.) */
static int check_caller(request_rec *r, const mcp_oauth_conf_t *conf, mcp_result_t *res)
{
    const char *header = apr_table_get(r->headers_in, "Authorization");

    if (conf->clients->registration == MCP_REGISTRATION_OFF) {
        return mcp_fail(res, HTTP_FORBIDDEN, "access_denied",
                        "clients cannot register themselves here", NULL);
    }
    if (conf->clients->registration == MCP_REGISTRATION_TOKEN
        && (!header || ap_cstr_casecmpn(header, "Bearer ", 7)
            || !mcp_secret_equal(header + 7, conf->clients->registration_token))) {
        apr_table_setn(r->err_headers_out, "WWW-Authenticate",
                       header ? "Bearer error=\"invalid_token\"" : "Bearer");
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_token",
                        "registration needs an initial access token from the administrator", NULL);
    }
    return mcp_clients_limit(r, conf, MCP_LIMIT_REGISTER, NULL)
               ? mcp_fail(res, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                          "too many registrations; try again later", NULL)
               : OK;
}

/* Many people register from behind one address, but each at the application that they use. */
static int check_rate(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_client_t *client,
                      mcp_result_t *res)
{
    const char *uri = APR_ARRAY_IDX(client->redirect_uris, 0, const char *);
    mcp_url_t url;

    if (mcp_url_parse(r->pool, uri, &url) == APR_SUCCESS
        && mcp_clients_limit(r, conf, MCP_LIMIT_REGISTER,
                             apr_pstrcat(r->pool, url.scheme, "://", url.host, url.path, NULL))) {
        return mcp_fail(res, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                        "too many registrations; try again later", NULL);
    }
    return OK;
}

int mcp_register_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    mcp_result_t res = { 0 };
    mcp_client_t client = { 0 };
    json_t *body = NULL;
    const char *id = NULL;

    if (mcp_cors_public(r, "POST, OPTIONS") == OK) {
        return OK;
    }
    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "POST, OPTIONS");
        return mcp_send_oauth_error(r, HTTP_METHOD_NOT_ALLOWED, "invalid_request",
                                    "registration is a POST");
    }
    if (check_caller(r, conf, &res) == OK && read_request(r, &body, &res) == OK
        && read_client(r, conf, body, &client, &res) == OK
        && check_rate(r, conf, &client, &res) == OK) {
        id = mcp_client_seal(r->pool, conf, &client);
        if (!id) {
            mcp_fail(&res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                     "the registration is too large", NULL);
        }
    }
    if (!id) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0212) "registration refused: %s (%s)",
                      res.description, res.log ? res.log : "-");
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0213) "registered client=%s \"%s\"",
                  mcp_client_key(r->pool, id), mcp_log_text(r->pool, client.name));
    mcp_no_store(r);
    return mcp_send_json(r, HTTP_CREATED, answer(r, conf, body, &client, id));
}
