/* SPDX-License-Identifier: Apache-2.0 */
/* The consent page and its answer: a person sees who asks, for what, and where the answer goes,
 * before anything else happens (CP-1 to CP-14). Nothing of the provider's sign-in exists before the
 * answer is yes (CP-12).
 *
 * The form carries the whole request, sealed for this browser:
 *   mcp_authz_t's members and { "b": browser tag, "u": client's home page, "exp": }
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define BODY_MAX 16384

/* ---- the page ---- */

static const mcp_scope_t *scope_text(const mcp_oauth_conf_t *conf, const char *name)
{
    for (int i = 0; conf->shared->scope_texts && i < conf->shared->scope_texts->nelts; i++) {
        const mcp_scope_t *scope = &APR_ARRAY_IDX(conf->shared->scope_texts, i, mcp_scope_t);
        if (!strcmp(scope->name, name)) {
            return scope;
        }
    }
    return NULL;
}

/* The scopes in words. Optional ones can be unticked; a field is named by its position, "s0". */
static void put_scopes(request_rec *r, const mcp_oauth_conf_t *conf, const char *scopes,
                       const char *resource)
{
    char *list = apr_pstrdup(r->pool, scopes), *token, *last = NULL;
    int i = 0;

    ap_rputs("<h2>What it may do</h2>\n<ul>\n", r);
    if (!*scopes) {
        ap_rvputs(r, "<li>Use ", mcp_html(r->pool, resource), " in your name</li>\n", NULL);
    }
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last), i++) {
        const mcp_scope_t *scope = scope_text(conf, token);
        const char *text =
            mcp_html(r->pool, scope && scope->text && *scope->text ? scope->text : token);

        if (scope && scope->optional) {
            ap_rprintf(r, "<li><label><input type=\"checkbox\" name=\"s%d\" value=\"1\" checked> ",
                       i);
            ap_rvputs(r, text, "</label></li>\n", NULL);
        }
        else {
            ap_rvputs(r, "<li>", text, "</li>\n", NULL);
        }
    }
    ap_rputs("</ul>\n", r);
}

/* Where the answer goes, prominently (CP-13), with the whole URI below (CP-6). */
static void put_destination(request_rec *r, const char *uri)
{
    mcp_url_t url = { 0 };

    ap_rputs("<h2>Where the answer goes</h2>\n", r);
    if (mcp_url_parse(r->pool, uri, &url) != APR_SUCCESS) {
        url.scheme = url.host = "";
    }
    if (!strcmp(url.scheme, "https")
        || (!strcmp(url.scheme, "http") && !mcp_url_is_loopback(&url))) {
        ap_rvputs(r, "<p class=\"host\">", mcp_html(r->pool, url.host), "</p>\n", NULL);
    }
    else if (!strcmp(url.scheme, "http")) {
        ap_rvputs(
            r, "<p class=\"host\">a program on this computer (", mcp_html(r->pool, url.host),
            ")</p>\n<p class=\"note\">Any program on this computer can pretend to be another. "
            "Allow this only if you have just asked an application here to connect.</p>\n",
            NULL);
    }
    else {
        ap_rvputs(r, "<p class=\"host\">the application on this device that opens ",
                  mcp_html(r->pool, url.scheme),
                  ": links</p>\n<p class=\"note\">Allow this only if you have just asked that "
                  "application to connect.</p>\n",
                  NULL);
    }
    ap_rvputs(r, "<p class=\"soft\">", mcp_html(r->pool, uri), "</p>\n", NULL);
}

/* The provider that the person goes to next, and what it will be asked for (CP-5). */
static void put_provider(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *);
    mcp_url_t url;

    if (mcp_url_parse(r->pool, provider->issuer, &url) == APR_SUCCESS) {
        ap_rvputs(
            r, "<p class=\"soft\">If you allow it, you sign in at ", mcp_html(r->pool, url.host),
            ", which is asked for: ",
            mcp_html(r->pool, provider->scope ? provider->scope : "your identity"),
            ". The application never sees your password, nor what that service tells us.</p>\n",
            NULL);
    }
}

static char *seal_form(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    json_t *json = mcp_json_own(r->pool, mcp_authz_json(conf, authz));

    mcp_put(json, "b", mcp_browser_tag(r->pool, mcp_browser_ensure(r, conf)));
    return mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_FORM, json,
                         apr_time_now() + MCP_CONSENT_LIFETIME);
}

/* Who says that the application is what it calls itself (CP-13, CP-14). */
static void put_origin(request_rec *r, const mcp_client_t *client)
{
    if (client->source == MCP_CLIENT_METADATA) {
        ap_rvputs(r, "<p class=\"note\">This application is described by <strong>",
                  mcp_html(r->pool, client->host), "</strong>. Its name is what that site calls it.</p>\n", NULL);
    }
    else if (client->source == MCP_CLIENT_REGISTERED) {
        ap_rputs("<p class=\"note\">This application registered itself. Its name is what it calls "
                 "itself and was not verified.</p>\n",
                 r);
    }
}

int mcp_consent_page(request_rec *r, mcp_oauth_conf_t *conf, const mcp_client_t *client,
                     const mcp_authz_t *authz)
{
    const mcp_resource_t *resource = mcp_resource_by_uri(conf->shared, authz->resource);
    const char *name = *client->name ? client->name : "An application without a name";
    const char *form = seal_form(r, conf, authz);

    mcp_page_begin(r, conf, HTTP_OK,
                   apr_psprintf(r->pool, "%s asks for access to %s", name, resource->name));
    put_origin(r, client);
    if (client->uri) {
        ap_rvputs(r, "<p class=\"soft\">It says that its home page is ",
                  mcp_html(r->pool, client->uri), "</p>\n", NULL);
    }
    put_destination(r, authz->redirect_uri);
    ap_rvputs(r, "<form method=\"post\" action=\"", mcp_html(r->pool, conf->base_url),
              "/consent\">\n<input type=\"hidden\" name=\"form\" value=\"", mcp_html(r->pool, form),
              "\">\n", NULL);
    put_scopes(r, conf, authz->scope, resource->name);
    put_provider(r, conf);
    /* Two equal buttons; the first one is what the Enter key presses, so it is the one that does no
     * harm. */
    ap_rputs("<div class=\"choice\">\n"
             "<button type=\"submit\" name=\"decision\" value=\"deny\">Deny</button>\n"
             "<button type=\"submit\" name=\"decision\" value=\"allow\">Allow</button>\n"
             "</div>\n</form>\n",
             r);
    return mcp_page_end(r);
}

/* ---- its answer ---- */

/*
 * Did a page of ours send this? Sec-Fetch-Site tells, where browsers send it; Origin only confirms,
 * and is "null" for forms of a page with Referrer-Policy: no-referrer, hence for ours. What really
 * protects is the sealed form and the SameSite cookie that it is bound to.
 */
static int is_same_origin(request_rec *r, const mcp_oauth_conf_t *conf, const char **why)
{
    int twice = 0;
    const char *site = mcp_header_once(r, "Sec-Fetch-Site", &twice);
    const char *origin = twice ? NULL : mcp_header_once(r, "Origin", &twice);

    *why = "Origin or Sec-Fetch-Site";
    if (twice || (site && strcmp(site, "same-origin") && strcmp(site, "none"))) {
        return 0;
    }
    return !origin || !strcmp(origin, "null") || !strcmp(origin, conf->origin);
}

/* Read, authenticate and open the form. OK, or the page is sent and DONE returned. */
static int read_form(request_rec *r, const mcp_oauth_conf_t *conf, apr_array_header_t **form,
                     json_t **json)
{
    const char *why, *browser = mcp_browser_get(r, conf), *tag;
    apr_status_t rv;
    apr_size_t len;
    char *body;
    int rc;

    if (!is_same_origin(r, conf, &why)) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_FORGED, why);
        return DONE;
    }
    rc = mcp_content_type_is(r, "application/x-www-form-urlencoded")
             ? mcp_read_body(r, BODY_MAX, &body, &len)
             : HTTP_BAD_REQUEST;
    if (rc != OK) {
        mcp_page_error(r, conf, rc,
                       rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? MCP_PAGE_TOO_LARGE
                                                           : MCP_PAGE_BAD_REQUEST,
                       "body of the consent form");
        return DONE;
    }
    if (mcp_form_parse(r->pool, body, len, form) != APR_SUCCESS
        || mcp_form_duplicate(*form, NULL)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                       "the consent form is malformed");
        return DONE;
    }
    rv = mcp_form_get(*form, "form")
             ? mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_FORM, mcp_form_get(*form, "form"),
                               apr_time_now(), json)
             : APR_EINVAL;
    if (APR_STATUS_IS_TIMEUP(rv)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED, "the consent form has expired");
        return DONE;
    }
    if (rv != APR_SUCCESS) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_FORGED, "the consent form does not open");
        return DONE;
    }
    tag = mcp_json_str(*json, "b");
    if (!browser || !mcp_secret_equal(tag, mcp_browser_tag(r->pool, browser))) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_WRONG_BROWSER,
                       browser ? "the consent form was made for another browser"
                               : "the browser's cookie is missing");
        return DONE;
    }
    return OK;
}

/* The scopes that stay: those that cannot be unticked, and the optional ones that are ticked. */
static const char *granted_scope(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *scopes,
                                 const apr_array_header_t *form)
{
    char *list = apr_pstrdup(p, scopes), *token, *last = NULL;
    const char *granted = "";
    int i = 0;

    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last), i++) {
        const mcp_scope_t *scope = scope_text(conf, token);

        if (!scope || !scope->optional || mcp_form_get(form, apr_psprintf(p, "s%d", i))) {
            granted = *granted ? apr_pstrcat(p, granted, " ", token, NULL) : token;
        }
    }
    return granted;
}

/* To the provider: a transaction of our own, bound to this browser by its cookie. */
static int start_sign_in(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *);
    mcp_upstream_request_t sent = { 0 };
    mcp_result_t res = { 0 };
    json_t *json = mcp_json_own(r->pool, mcp_authz_json(conf, authz));
    char *url;

    sent.redirect_uri = apr_pstrcat(r->pool, conf->base_url, "/oauth-callback", NULL);
    sent.state = mcp_random_b64url(r->pool, 16); /* ours, never the client's (W5) */
    sent.nonce = mcp_random_b64url(r->pool, 16);
    sent.code_verifier = mcp_random_b64url(r->pool, 32); /* 43 characters (W17) */
    sent.prompt = authz->prompt;
    sent.login_hint = authz->login_hint;
    if (mcp_upstream_authorize_url(r, provider, &sent, &url, &res) != OK) {
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
    if (!mcp_tx_set(r, conf, sent.state,
                    mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_TRANSACTION, json,
                                  apr_time_now() + MCP_TX_LIFETIME))) {
        return mcp_authz_error(r, conf, authz, "invalid_request",
                               "state and redirect_uri are too long together");
    }
    return mcp_page_redirect(r, url);
}

int mcp_consent_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    apr_array_header_t *form;
    const char *decision;
    mcp_authz_t authz;
    json_t *json;

    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (read_form(r, conf, &form, &json) != OK) {
        return OK;
    }
    decision = mcp_form_get(form, "decision");
    if (!mcp_authz_read(conf, json, &authz) || !mcp_resource_by_uri(conf->shared, authz.resource)) {
        return mcp_page_error(
            r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
            "the consent form is another server's, or the configuration has changed");
    }
    if (!decision || (strcmp(decision, "allow") && strcmp(decision, "deny"))) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "neither allowed nor denied");
    }
    authz.scope = granted_scope(r->pool, conf, authz.scope, form);
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0231) "consent %s client=%s resource=%s scope=\"%s\"",
        *decision == 'a' ? "given to" : "denied to", authz.client_key, authz.resource, authz.scope);
    if (*decision == 'd') {
        return mcp_authz_error(r, conf, &authz, "access_denied", "the person denied access");
    }
    return start_sign_in(r, conf, &authz);
}
