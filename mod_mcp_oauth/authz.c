/* SPDX-License-Identifier: Apache-2.0 */
/* An authorization request after its checks: how it travels sealed from stage to stage, and how it
 * is answered.
 *
 *   { "i": issuer tag, "ck": client key, "cn": client name, "ru": redirect URI, "st": state,
 *     "cc": code challenge, "rs": resource, "sc": scope, "pr": prompt, "lh": login hint,
 *     "lg": language of our pages, "cs": source of the client, "ch": host that vouches for it,
 *     "cu": its home page, "cg": its document's logo_uri, "rm": 1 (consent may be remembered),
 *     "si": 1 (no consent page was shown) }
 *   A member that is absent was not sent by the client.
 */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

json_t *mcp_authz_json(const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    json_t *json = json_object();

    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "ck", authz->client_key);
    mcp_put(json, "cn", authz->client_name);
    mcp_put(json, "ru", authz->redirect_uri);
    mcp_put(json, "st", authz->state);
    mcp_put(json, "cc", authz->challenge);
    mcp_put(json, "rs", authz->resource);
    mcp_put(json, "sc", authz->scope);
    mcp_put(json, "pr", authz->prompt);
    mcp_put(json, "lh", authz->login_hint);
    if (authz->page) {
        json_object_set_new(json, "pg", json_integer(1));
    }
    mcp_put(json, "lg", authz->locale);
    json_object_set_new(json, "cs", json_integer(authz->client_source));
    mcp_put(json, "ch", authz->client_host);
    mcp_put(json, "cu", authz->client_uri);
    mcp_put(json, "cg", authz->client_logo);
    if (authz->remember) {
        json_object_set_new(json, "rm", json_integer(1));
    }
    if (authz->silent) {
        json_object_set_new(json, "si", json_integer(1));
    }
    return json;
}

int mcp_authz_read(const mcp_oauth_conf_t *conf, const json_t *json, mcp_authz_t *authz)
{
    const char *tag = mcp_json_str(json, "i"), *name = mcp_json_str(json, "cn"),
               *scope = mcp_json_str(json, "sc");

    authz->client_key = mcp_json_str(json, "ck");
    authz->client_name = name ? name : "";
    authz->redirect_uri = mcp_json_str(json, "ru");
    authz->state = mcp_json_str(json, "st");
    authz->challenge = mcp_json_str(json, "cc");
    authz->resource = mcp_json_str(json, "rs");
    authz->scope = scope ? scope : "";
    authz->prompt = mcp_json_str(json, "pr");
    authz->login_hint = mcp_json_str(json, "lh");
    authz->page = mcp_json_int(json, "pg", 0) == 1;
    authz->locale = mcp_json_str(json, "lg");
    authz->client_source = (int)mcp_json_int(json, "cs", MCP_CLIENT_REGISTERED);
    authz->client_host = mcp_json_str(json, "ch");
    authz->client_uri = mcp_json_str(json, "cu");
    authz->client_logo = mcp_json_str(json, "cg");
    authz->remember = mcp_json_int(json, "rm", 0) == 1;
    authz->silent = mcp_json_int(json, "si", 0) == 1;
    return tag && !strcmp(tag, conf->issuer_tag) && authz->client_key && authz->redirect_uri
           && authz->challenge && authz->resource;
}

static int answer(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                  apr_table_t *params)
{
    if (authz->state) {
        apr_table_setn(params, "state", authz->state);
    }
    apr_table_setn(params, "iss", conf->shared->issuer);
    return mcp_page_redirect(r, mcp_url_add_params(r->pool, authz->redirect_uri, params));
}

int mcp_authz_error(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                    const char *error, const char *description)
{
    apr_table_t *params = apr_table_make(r->pool, 4);

    apr_table_setn(params, "error", error);
    if (description) {
        apr_table_setn(params, "error_description", description);
    }
    return answer(r, conf, authz, params);
}

int mcp_authz_code(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                   const char *code)
{
    apr_table_t *params = apr_table_make(r->pool, 4);

    apr_table_setn(params, "code", code);
    return answer(r, conf, authz, params);
}
