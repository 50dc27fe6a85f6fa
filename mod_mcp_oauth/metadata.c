/* SPDX-License-Identifier: Apache-2.0 */
/* Authorization server metadata (RFC 8414), in every place where clients look for it (AS-5,
 * field-lessons 11).
 *
 *   issuer https://h        /.well-known/oauth-authorization-server
 *   issuer https://h/t      /.well-known/oauth-authorization-server/t     inserted (RFC 8414 3.1)
 *                           /t/.well-known/oauth-authorization-server     appended, as in OpenID
 *                           /.well-known/oauth-authorization-server       path dropped (2025-03-26)
 *   resource https://h/mcp  /.well-known/oauth-authorization-server/mcp   the MCP server taken
 *                           /mcp/.well-known/oauth-authorization-server   for the issuer
 *
 * and the same with openid-configuration. One document for all, so all are consistent; it names
 * what works and nothing else. URLs come from MCPIssuer, never from Host (T18).
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_protocol.h>

#include "mcp_signing.h"
#include "mcp_http.h"
#include "mcp_json.h"

#define WELL_KNOWN "/.well-known/"

/* Is @a path, "" or one with a leading slash, the issuer's or a resource's? */
static int is_our_path(const mcp_oauth_conf_t *conf, const char *path, apr_size_t len)
{
    if (len && path[len - 1] == '/') {
        len--;
    }
    if (!len || (strlen(conf->base_path) == len && !memcmp(conf->base_path, path, len))) {
        return 1;
    }
    for (int i = 0; i < conf->shared->resources->nelts; i++) {
        const char *own = APR_ARRAY_IDX(conf->shared->resources, i, mcp_resource_t).path;
        if (strlen(own) == len && !memcmp(own, path, len)) {
            return 1;
        }
    }
    return 0;
}

int mcp_metadata_match(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *path, int *openid,
                       int *known)
{
    static const char *const names[] = { "oauth-authorization-server", "openid-configuration" };
    const char *at = strstr(path, WELL_KNOWN), *rest;

    if (!at) {
        return 0;
    }
    for (int i = 0; i < 2; i++) {
        apr_size_t len = strlen(names[i]);

        if (strncmp(at + strlen(WELL_KNOWN), names[i], len)) {
            continue;
        }
        rest = at + strlen(WELL_KNOWN) + len;
        if (*rest && *rest != '/') {
            continue;
        }
        if (!is_our_path(conf, path, (apr_size_t)(at - path))) {
            return 0; /* somebody else's */
        }
        *openid = i;
        *known =
            (at == path || !*rest || !strcmp(rest, "/")) && is_our_path(conf, rest, strlen(rest));
        return 1;
    }
    return 0;
}

static json_t *strings(const char *const *list)
{
    json_t *array = json_array();

    for (; *list; list++) {
        json_array_append_new(array, json_string(*list));
    }
    return array;
}

#define STRINGS(...) strings((const char *const[]){ __VA_ARGS__, NULL })

static void set_url(json_t *json, const char *name, const mcp_oauth_conf_t *conf, const char *path,
                    apr_pool_t *p)
{
    json_object_set_new(json, name, json_string(apr_pstrcat(p, conf->base_url, path, NULL)));
}

/* How clients may authenticate: each method that some client can have here, and no other. */
static void put_auth_methods(json_t *json, const mcp_clients_conf_t *clients)
{
    json_t *methods = json_array();
    int none = clients->registration != MCP_REGISTRATION_OFF || clients->metadata, secret = 0,
        assertion = clients->metadata;

    for (int i = 0; clients->configured && i < clients->configured->nelts; i++) {
        const mcp_client_t *client = APR_ARRAY_IDX(clients->configured, i, mcp_client_t *);

        none |= !strcmp(client->auth_method, "none");
        secret |= client->secret_hash != NULL;
        assertion |= !strcmp(client->auth_method, "private_key_jwt");
    }
    if (none) {
        json_array_append_new(methods, json_string("none"));
    }
    if (secret) {
        json_array_append_new(methods, json_string("client_secret_basic"));
        json_array_append_new(methods, json_string("client_secret_post"));
    }
    if (assertion) {
        json_t *algs = STRINGS("ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512");

        json_array_append_new(methods, json_string("private_key_jwt"));
        json_object_set(json, "token_endpoint_auth_signing_alg_values_supported", algs);
        json_object_set_new(json, "revocation_endpoint_auth_signing_alg_values_supported", algs);
    }
    json_object_set(json, "token_endpoint_auth_methods_supported", methods);
    json_object_set_new(json, "revocation_endpoint_auth_methods_supported", methods);
}

static json_t *document(apr_pool_t *p, const mcp_oauth_conf_t *conf, int openid)
{
    json_t *json = json_object(), *resources = json_array(), *scopes = json_array();
    char *list, *token, *last = NULL;

    json_object_set_new(json, "issuer", json_string(conf->shared->issuer));
    set_url(json, "authorization_endpoint", conf, "/authorize", p);
    set_url(json, "token_endpoint", conf, "/token", p);
    if (conf->clients->registration != MCP_REGISTRATION_OFF) {
        set_url(json, "registration_endpoint", conf, "/register", p);
    }
    set_url(json, "revocation_endpoint", conf, "/revoke", p);
    json_object_set_new(json, "response_types_supported", STRINGS("code"));
    json_object_set_new(json, "response_modes_supported", STRINGS("query"));
    json_object_set_new(json, "grant_types_supported",
                        STRINGS("authorization_code", "refresh_token"));
    put_auth_methods(json, conf->clients);
    if (conf->clients->metadata) {
        json_object_set_new(json, "client_id_metadata_document_supported", json_true());
    }
    json_object_set_new(json, "code_challenge_methods_supported", STRINGS("S256"));
    json_object_set_new(json, "authorization_response_iss_parameter_supported", json_true());
    /* Without offline_access: clients that see it ask for consent at every sign-in (AS-16). Refresh
     * tokens are given in any case. */
    list = apr_pstrdup(p, conf->scopes);
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        json_array_append_new(scopes, json_string(token));
    }
    json_object_set_new(json, "scopes_supported", scopes);
    for (int i = 0; i < conf->shared->resources->nelts; i++) {
        json_array_append_new(
            resources, json_string(APR_ARRAY_IDX(conf->shared->resources, i, mcp_resource_t).uri));
    }
    json_object_set_new(json, "protected_resources", resources); /* RFC 9728 section 4 */
    if (openid) {
        /* Members without which readers of OpenID discovery documents refuse the whole; true as
         * they stand: no id_token is issued, hence no algorithm and an empty key set. */
        set_url(json, "jwks_uri", conf, "/jwks", p);
        json_object_set_new(json, "subject_types_supported", STRINGS("public"));
        json_object_set_new(json, "id_token_signing_alg_values_supported", json_array());
    }
    return json;
}

/* GET, HEAD and preflight only; OK when the request is answered already. */
static int only_get(request_rec *r)
{
    if (mcp_cors_public(r, "GET, OPTIONS") == OK) {
        return OK;
    }
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD, OPTIONS");
        return mcp_send_oauth_error(r, HTTP_METHOD_NOT_ALLOWED, "invalid_request",
                                    "only GET is answered here");
    }
    return DECLINED;
}

int mcp_metadata_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    int openid = 0, known = 0;

    if (only_get(r) == OK) {
        return OK;
    }
    if (!mcp_metadata_match(r->pool, conf, r->uri, &openid, &known) || !known) {
        return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "not_found",
                                    "no such authorization server here");
    }
    apr_table_setn(r->headers_out, "Cache-Control", "public, max-age=300");
    return mcp_send_json(r, HTTP_OK, document(r->pool, conf, openid));
}

int mcp_jwks_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    json_t *json;

    if (only_get(r) == OK) {
        return OK;
    }
    json = mcp_signing_jwks(r->pool);
    apr_table_setn(r->headers_out, "Cache-Control", "public, max-age=300");
    return mcp_send_json(r, HTTP_OK, json);
}
