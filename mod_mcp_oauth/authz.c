/* SPDX-License-Identifier: Apache-2.0 */
/* An authorization request after its checks: how it travels sealed from stage to stage, and how it is answered.
 *
 *   { "i": issuer tag, "ck": client key, "cn": client name, "ru": redirect URI, "st": state, "cc": code challenge,
 *     "rs": resource, "sc": scope, "pr": prompt, "lh": login hint }     absent members: not sent by the client
 */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

static void set(json_t *json, const char *name, const char *value)
{
    if (value) {
        json_object_set_new(json, name, json_string(value));
    }
}

json_t *mcp_authz_json(const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    json_t *json = json_object();

    set(json, "i", conf->issuer_tag);
    set(json, "ck", authz->client_key);
    set(json, "cn", authz->client_name);
    set(json, "ru", authz->redirect_uri);
    set(json, "st", authz->state);
    set(json, "cc", authz->challenge);
    set(json, "rs", authz->resource);
    set(json, "sc", authz->scope);
    set(json, "pr", authz->prompt);
    set(json, "lh", authz->login_hint);
    return json;
}

int mcp_authz_read(const mcp_oauth_conf_t *conf, const json_t *json, mcp_authz_t *authz)
{
    const char *tag = mcp_json_str(json, "i"), *name = mcp_json_str(json, "cn"), *scope = mcp_json_str(json, "sc");

    authz->client_key = mcp_json_str(json, "ck");
    authz->client_name = name ? name : "";
    authz->redirect_uri = mcp_json_str(json, "ru");
    authz->state = mcp_json_str(json, "st");
    authz->challenge = mcp_json_str(json, "cc");
    authz->resource = mcp_json_str(json, "rs");
    authz->scope = scope ? scope : "";
    authz->prompt = mcp_json_str(json, "pr");
    authz->login_hint = mcp_json_str(json, "lh");
    return tag && !strcmp(tag, conf->issuer_tag) && authz->client_key && authz->redirect_uri && authz->challenge
        && authz->resource;
}

static int answer(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz, apr_table_t *params)
{
    if (authz->state) {
        apr_table_setn(params, "state", authz->state);
    }
    apr_table_setn(params, "iss", conf->shared->issuer);
    return mcp_page_redirect(r, mcp_url_add_params(r->pool, authz->redirect_uri, params));
}

int mcp_authz_error(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz, const char *error,
                    const char *description)
{
    apr_table_t *params = apr_table_make(r->pool, 4);

    apr_table_setn(params, "error", error);
    if (description) {
        apr_table_setn(params, "error_description", description);
    }
    return answer(r, conf, authz, params);
}

int mcp_authz_code(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz, const char *code)
{
    apr_table_t *params = apr_table_make(r->pool, 4);

    apr_table_setn(params, "code", code);
    return answer(r, conf, authz, params);
}
