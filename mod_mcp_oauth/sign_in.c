/* SPDX-License-Identifier: Apache-2.0 */
/* The way to a provider, after the person said yes: which one, by the domain of the login hint or
 * by a page to choose on, and the transaction that only this browser can finish.
 *
 * The page's form carries the whole request, sealed for this browser under a purpose of its own:
 *   mcp_authz_t's members and { "b": browser tag, "exp": }
 */

#include "oauth.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <http_log.h>

#include "mcp_cookie.h"
#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define LAST_COOKIE "mcp_provider" /* the provider chosen last, for as long as browsers keep it */
#define LAST_LIFETIME (400 * 86400)

const char *mcp_provider_title(apr_pool_t *p, const mcp_provider_t *provider)
{
    mcp_url_t url;

    if (!provider->issuer || mcp_url_parse(p, provider->issuer, &url) != APR_SUCCESS
        || !strcmp(provider->label, url.host)) {
        return provider->label;
    }
    return apr_psprintf(p, "%s (%s)", provider->label, url.host);
}

const char *mcp_provider_callback(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                  const mcp_provider_t *provider)
{
    if (provider->kind == MCP_PROVIDER_HTTPD) {
        return apr_pstrcat(p, "/signin/", provider->name, NULL);
    }
    for (int i = 0; i < conf->providers->nelts; i++) {
        const mcp_provider_t *first = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *);

        if (first->kind != MCP_PROVIDER_HTTPD) {
            return first == provider ? "/oauth-callback"
                                     : apr_pstrcat(p, "/oauth-callback/", provider->name, NULL);
        }
    }
    return "/oauth-callback";
}

/* ---- one provider ---- */

/* To the provider: a transaction of our own, bound to this browser by its cookie. */
static int start(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                 const mcp_authz_t *authz, const char *claims)
{
    mcp_upstream_request_t sent = { 0 };
    mcp_result_t res = { 0 };
    json_t *json = mcp_json_own(r->pool, mcp_authz_json(conf, authz));
    char *url;

    sent.redirect_uri =
        apr_pstrcat(r->pool, conf->base_url, mcp_provider_callback(r->pool, conf, provider), NULL);
    sent.state = mcp_random_b64url(r->pool, 16); /* ours, never the client's (W5) */
    sent.nonce = mcp_random_b64url(r->pool, 16);
    sent.code_verifier = mcp_random_b64url(r->pool, 32); /* 43 characters (W17) */
    sent.prompt = authz->prompt;
    sent.login_hint = authz->login_hint;
    sent.claims = claims;
    if (provider->kind == MCP_PROVIDER_HTTPD && authz->prompt && !strcmp(authz->prompt, "none")) {
        return mcp_authz_error(r, conf, authz, "login_required",
                               "the person has to be asked to sign in");
    }
    if (provider->kind == MCP_PROVIDER_HTTPD) {
        url = apr_pstrcat(r->pool, sent.redirect_uri, "?state=", sent.state, NULL);
    }
    else if (mcp_upstream_authorize_url(r, provider, &sent, &url, &res) != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0232) "sign-in at %s cannot begin: %s",
                      provider->name, mcp_detail(&res));
        return mcp_authz_error(r, conf, authz,
                               res.status == HTTP_SERVICE_UNAVAILABLE ? "temporarily_unavailable"
                                                                      : "server_error",
                               "the identity provider cannot be reached");
    }
    mcp_put(json, "s", sent.state);
    mcp_put(json, "n", sent.nonce);
    mcp_put(json, "v", sent.code_verifier);
    mcp_put(json, "p", provider->name);
    json_object_set_new(json, "again", json_boolean(claims != NULL));
    if (!mcp_tx_set(r, conf, sent.state,
                    mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_TRANSACTION, json,
                                  apr_time_now() + MCP_TX_LIFETIME))) {
        return mcp_authz_error(r, conf, authz, "invalid_request",
                               "state and redirect_uri are too long together");
    }
    return mcp_page_redirect(r, url);
}

/* ---- several ---- */

/* Is @a domain the one that is configured, or below it where that begins with "*." (T39)? */
static int domain_fits(const char *domain, const char *configured)
{
    apr_size_t len = strlen(domain), tail;

    if (strncmp(configured, "*.", 2)) {
        return !apr_cstr_casecmp(domain, configured);
    }
    configured++;
    tail = strlen(configured);
    return len > tail && !apr_cstr_casecmp(domain + len - tail, configured);
}

/* The provider whose domain the hint's address is of. One "@" and no more (T26). */
static const mcp_provider_t *by_hint(const mcp_oauth_conf_t *conf, const char *hint)
{
    const char *at = hint ? strchr(hint, '@') : NULL;

    if (!at || at == hint || strchr(at + 1, '@')) {
        return NULL;
    }
    for (int i = 0; i < conf->providers->nelts; i++) {
        const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *);

        for (int k = 0; provider->domains && k < provider->domains->nelts; k++) {
            if (domain_fits(at + 1, APR_ARRAY_IDX(provider->domains, k, const char *))) {
                return provider;
            }
        }
    }
    return NULL;
}

static const mcp_provider_t *chosen_last(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *header = apr_table_get(r->headers_in, "Cookie");

    return header ? mcp_provider_exactly(conf,
                                         mcp_cookie_get(r->pool, header, LAST_COOKIE, conf->secure))
                  : NULL;
}

static void put_choice(request_rec *r, json_t *rows, const mcp_provider_t *provider, int last)
{
    json_t *row = json_object();

    mcp_put(row, "name", provider->name);
    mcp_put(row, "label", mcp_provider_title(r->pool, provider));
    json_object_set_new(row, "last", json_boolean(last));
    json_array_append_new(rows, row);
}

/* The one that was chosen last comes first, and says so. */
static int choice_page(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    const mcp_resource_t *resource = mcp_resource_by_uri(conf->shared, authz->resource);
    const mcp_provider_t *last = chosen_last(r, conf);
    json_t *model = json_object(), *rows = json_array();

    if (last) {
        put_choice(r, rows, last, 1);
    }
    for (int i = 0; i < conf->providers->nelts; i++) {
        const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *);

        if (provider != last) {
            put_choice(r, rows, provider, 0);
        }
    }
    mcp_put(model, "title", mcp_page_text(r, conf, "chooser_title", NULL));
    mcp_put(model, "client",
            authz->client_name && *authz->client_name
                ? authz->client_name
                : mcp_page_text(r, conf, "unnamed_client", NULL));
    mcp_put(model, "resource", resource->name);
    json_object_set_new(model, "providers", rows);
    mcp_put(model, "action", apr_pstrcat(r->pool, conf->base_url, "/signin", NULL));
    mcp_put(model, "form",
            mcp_page_form_seal(r, conf, MCP_PURPOSE_CHOICE,
                               mcp_json_own(r->pool, mcp_authz_json(conf, authz))));
    return mcp_page_send(r, conf, HTTP_OK, MCP_VIEW_CHOOSER, model);
}

int mcp_sign_in(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    const mcp_provider_t *provider = conf->providers->nelts == 1
                                         ? APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *)
                                         : by_hint(conf, authz->login_hint);

    if (!provider && mcp_authz_no_page(authz)) {
        provider = chosen_last(r, conf);
        if (!provider) {
            return mcp_authz_error(r, conf, authz, "interaction_required",
                                   "the person has to choose where to sign in");
        }
    }
    return provider ? start(r, conf, provider, authz, NULL) : choice_page(r, conf, authz);
}

int mcp_sign_in_again(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                      const mcp_authz_t *authz, const char *claims)
{
    return start(r, conf, provider, authz, claims);
}

int mcp_choice_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const mcp_provider_t *provider;
    apr_array_header_t *form;
    const char *cookie;
    mcp_authz_t authz;
    json_t *json;

    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (mcp_page_form_open(r, conf, MCP_PURPOSE_CHOICE, "choice of a provider", &form, &json)
        != OK) {
        return OK;
    }
    provider = mcp_provider_exactly(conf, mcp_form_get(form, "provider"));
    if (!provider || !mcp_authz_read(conf, json, &authz)
        || !mcp_resource_by_uri(conf->shared, authz.resource)) {
        return mcp_page_error(
            r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
            provider ? "the choice is another server's, or the configuration has changed"
                     : "no such provider");
    }
    mcp_page_locales(r, authz.locale);
    cookie = mcp_cookie_set(r->pool, LAST_COOKIE, provider->name, LAST_LIFETIME, conf->secure);
    if (cookie) {
        apr_table_addn(r->err_headers_out, "Set-Cookie", cookie);
    }
    return start(r, conf, provider, &authz, NULL);
}
