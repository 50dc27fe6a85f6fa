/* SPDX-License-Identifier: Apache-2.0 */
/* Dynamic client registration (RFC 7591). Nothing is stored: what is registered comes back sealed
 * as the client_id. */

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
        && mcp_registration_read(r, conf, body, &client, &res) == OK
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
        mcp_event(r, MCP_EVENT_REGISTRATION,
                  &(mcp_event_t){ .outcome = res.error, .detail = res.description });
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0213) "registered client=%s \"%s\"",
                  mcp_client_key(r->pool, id), mcp_log_text(r->pool, client.name));
    mcp_event(r, MCP_EVENT_REGISTRATION,
              &(mcp_event_t){ .outcome = "ok",
                              .client = mcp_client_key(r->pool, id),
                              .client_name = client.name,
                              .target = APR_ARRAY_IDX(client.redirect_uris, 0, const char *) });
    mcp_no_store(r);
    return mcp_send_json(r, HTTP_CREATED, answer(r, conf, body, &client, id));
}
