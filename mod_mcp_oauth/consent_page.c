/* SPDX-License-Identifier: Apache-2.0 */
/* The model of the consent page: a person sees who asks, for what, and where the answer goes
 * (CP-1 to CP-6, CP-13, CP-14). Its answer is read in consent.c.
 *
 * The form carries the whole request, sealed for this browser:
 *   mcp_authz_t's members and { "b": browser tag, "exp": }, and { "pk": id } where the person has
 *   signed in already (code.c)
 */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"

const mcp_scope_t *mcp_scope_text(const mcp_oauth_conf_t *conf, const char *name)
{
    for (int i = 0; conf->shared->scope_texts && i < conf->shared->scope_texts->nelts; i++) {
        const mcp_scope_t *scope = &APR_ARRAY_IDX(conf->shared->scope_texts, i, mcp_scope_t);
        if (!strcmp(scope->name, name)) {
            return scope;
        }
    }
    return NULL;
}

json_t *mcp_scopes_model(const mcp_oauth_conf_t *conf, apr_pool_t *p, const char *scopes)
{
    char *list = apr_pstrdup(p, scopes), *token, *last = NULL;
    json_t *rows = json_array();
    int i = 0;

    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last), i++) {
        const mcp_scope_t *scope = mcp_scope_text(conf, token);
        json_t *row = json_object();

        mcp_put(row, "text", scope && scope->text && *scope->text ? scope->text : token);
        mcp_put(row, "name", token);
        mcp_put(row, "field", apr_psprintf(p, "s%d", i));
        json_object_set_new(row, "optional", json_boolean(scope && scope->optional));
        json_array_append_new(rows, row);
    }
    return rows;
}

/* The scopes in words. Optional ones can be unticked; a field is named by its position, "s0". */
static void put_scopes(json_t *model, json_t *scopes)
{
    json_t *row;
    size_t i;

    json_object_set_new(model, "no_scopes", json_boolean(json_array_size(scopes) == 0));
    json_array_foreach (scopes, i, row) {
        if (json_is_true(json_object_get(row, "optional"))) {
            json_object_set_new(model, "any_optional", json_true());
        }
    }
    json_object_set_new(model, "scopes", scopes);
}

/* Where the answer goes, prominently (CP-13), with the whole URI below (CP-6). */
static void put_destination(json_t *model, apr_pool_t *p, const char *uri)
{
    mcp_url_t url = { 0 };

    mcp_put(model, "redirect", uri);
    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return;
    }
    if (!strcmp(url.scheme, "http") && mcp_url_is_loopback(&url)) {
        mcp_put(model, "to_loopback", url.host);
    }
    else if (!strcmp(url.scheme, "https") || !strcmp(url.scheme, "http")) {
        mcp_put(model, "to_host", url.host);
    }
    else {
        mcp_put(model, "to_scheme", url.scheme);
    }
}

/* Where the person goes next, and what each provider is asked for (CP-5). */
static void put_providers(request_rec *r, const mcp_oauth_conf_t *conf, json_t *model)
{
    json_t *rows = json_array();

    for (int i = 0; i < conf->providers->nelts; i++) {
        const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *);
        json_t *row = json_object();

        mcp_put(row, "label", mcp_provider_title(r->pool, provider));
        mcp_put(row, "scope",
                *provider->scope ? provider->scope : mcp_page_text(r, conf, "identity", NULL));
        json_array_append_new(rows, row);
    }
    if (json_array_size(rows) == 1) {
        json_t *row = json_array_get(rows, 0);

        json_object_set(model, "provider", json_object_get(row, "label"));
        json_object_set(model, "provider_scope", json_object_get(row, "scope"));
        json_decref(rows);
        return;
    }
    json_object_set_new(model, "several", json_true());
    json_object_set_new(model, "providers", rows);
}

int mcp_consent_page(request_rec *r, mcp_oauth_conf_t *conf, const mcp_client_t *client,
                     const mcp_authz_t *authz, const char *account, const char *parked)
{
    const mcp_resource_t *resource = mcp_resource_by_uri(conf->shared, authz->resource);
    json_t *model = json_object(), *form = mcp_json_own(r->pool, mcp_authz_json(conf, authz));

    mcp_put(model, "client",
            *client->name ? client->name : mcp_page_text(r, conf, "unnamed_client", NULL));
    mcp_put(model, "resource", resource->name);
    mcp_put(model, "title", mcp_page_text(r, conf, "consent_title", model));
    /* who says that the application is what it calls itself (CP-13, CP-14) */
    mcp_put(model, "verified_host", client->source == MCP_CLIENT_METADATA ? client->host : NULL);
    json_object_set_new(model, "unverified", json_boolean(client->source == MCP_CLIENT_REGISTERED));
    mcp_put(model, "client_url", client->uri);
    mcp_put(model, "client_logo",
            mcp_client_logo_url(r, conf, client->source, client->key, client->logo_uri));
    put_destination(model, r->pool, authz->redirect_uri);
    put_scopes(model, mcp_scopes_model(conf, r->pool, authz->scope));
    if (account) {
        mcp_put(model, "account", account);
    }
    else {
        put_providers(r, conf, model);
    }
    mcp_put(model, "action", apr_pstrcat(r->pool, conf->base_url, "/consent", NULL));
    mcp_put(form, "pk", parked);
    mcp_put(model, "form", mcp_page_form_seal(r, conf, MCP_PURPOSE_FORM, form));
    return mcp_page_send(r, conf, HTTP_OK, MCP_VIEW_CONSENT, model);
}
