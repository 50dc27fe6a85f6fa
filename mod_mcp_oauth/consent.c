/* SPDX-License-Identifier: Apache-2.0 */
/* POST /consent: the answer to the consent page (consent_page.c, which also draws its form). Nothing
 * of the provider's sign-in exists before the answer is yes (CP-7, CP-8, CP-12).
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
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define BODY_MAX 16384

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
        const mcp_scope_t *scope = mcp_scope_text(conf, token);

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
    mcp_page_locales(r, authz.locale);
    if (!decision || (strcmp(decision, "allow") && strcmp(decision, "deny"))) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "neither allowed nor denied");
    }
    authz.scope = granted_scope(r->pool, conf, authz.scope, form);
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0231) "consent %s client=%s resource=%s scope=\"%s\"",
        *decision == 'a' ? "given to" : "denied to", authz.client_key, authz.resource, authz.scope);
    mcp_event(r, MCP_EVENT_CONSENT,
              &(mcp_event_t){ .outcome = *decision == 'a' ? "ok" : "access_denied",
                              .client = authz.client_key,
                              .client_name = authz.client_name,
                              .resource = authz.resource,
                              .scope = authz.scope,
                              .target = authz.redirect_uri });
    if (*decision == 'd') {
        return mcp_authz_error(r, conf, &authz, "access_denied", "the person denied access");
    }
    return start_sign_in(r, conf, &authz);
}
