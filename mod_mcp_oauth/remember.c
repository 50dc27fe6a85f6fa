/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered consent: when a person is not asked again.
 *
 * The cookie (mcp_consent.h) is asked twice. At /authorize, where nobody is known yet, whether
 * anybody who used this browser has consented to the same: then the way leads straight to the
 * sign-in. At the callback, when the person is known, whether it was this one (W11): else the page
 * is shown there, in code.c.
 *
 * Whose consent is remembered at all: of a client that is known by where the answer goes, an https
 * URL, or by its own credentials. An application on the person's device is known by neither, since
 * any other one there can claim its loopback port or URI scheme: its requests are treated as if
 * nothing had been approved before (RFC 8252 section 8.6, OAuth 2.1 section 7.3.1), unless the
 * administrator says otherwise.
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_consent.h"
#include "mcp_cookie.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_not_before.h"
#include "mcp_url.h"

APLOG_USE_MODULE(mcp_oauth);

#define CONSENT_COOKIE "mcp-consent"

int mcp_remember_client(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_client_t *client,
                        const char *redirect_uri)
{
    mcp_url_t url;

    if (!conf->remember) {
        return 0;
    }
    return conf->remember_native || strcmp(client->auth_method, "none")
           || (mcp_url_parse(r->pool, redirect_uri, &url) == APR_SUCCESS
               && !strcmp(url.scheme, "https") && !mcp_url_is_loopback(&url));
}

static mcp_consent_target_t target_of(request_rec *r, const mcp_oauth_conf_t *conf,
                                      const mcp_authz_t *authz)
{
    mcp_consent_target_t target = {
        .issuer = conf->issuer_tag,
        .client_key = authz->client_key,
        .redirect_uri = mcp_redirect_key(r->pool, authz->redirect_uri),
        .resource = authz->resource,
    };

    return target;
}

/* What this browser brought; of two cookies of one name, neither. */
static mcp_consents_t *consents(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *header = apr_table_get(r->headers_in, "Cookie");
    const char *text = mcp_cookie_once(r->pool, header, CONSENT_COOKIE, conf->secure);

    return mcp_consents_open(r->pool, conf->ring, text, apr_time_now() - conf->remember);
}

static void send_consents(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_consents_t *list)
{
    const char *text = mcp_consents_seal(r->pool, conf->ring, list);

    mcp_browser_set_cookie(r, conf, CONSENT_COOKIE, text ? text : "",
                           text ? (int)apr_time_sec(conf->remember) : 0);
}

/*
 * Did the person come here by herself (T3)? Another site that leads her here, or a frame, or a page
 * that is fetched before anybody looks at it, must not get silently what she gave once. A browser
 * that does not say is asked anew: since 2023 all say it, to https and loopback alike.
 */
static int is_own_navigation(request_rec *r)
{
    int twice = 0;
    const char *site = mcp_header_once(r, "Sec-Fetch-Site", &twice);
    const char *mode = twice ? NULL : mcp_header_once(r, "Sec-Fetch-Mode", &twice);
    const char *dest = twice ? NULL : mcp_header_once(r, "Sec-Fetch-Dest", &twice);

    return !twice && !r->header_only && site
           && (!strcmp(site, "none") || !strcmp(site, "same-origin"))
           && mode && !strcmp(mode, "navigate") && dest && !strcmp(dest, "document")
           && !apr_table_get(r->headers_in, "Sec-Purpose")
           && !apr_table_get(r->headers_in, "Purpose");
}

int mcp_remembered(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    mcp_consent_target_t target = target_of(r, conf, authz);

    if (!authz->remember || !mcp_consents_find(consents(r, conf), &target, NULL, authz->scope)) {
        return 0;
    }
    if (!is_own_navigation(r)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0233) "client=%s is asked for again although consent is remembered: "
                                    "not a navigation of the person's own",
                      authz->client_key);
        return 0;
    }
    return 1;
}

int mcp_remembered_by(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                      const char *subject)
{
    mcp_consent_target_t target = target_of(r, conf, authz);

    apr_time_t given = authz->remember
                           ? mcp_consents_find(consents(r, conf), &target, subject, authz->scope)
                           : 0;
    apr_time_t mark;

    if (!given) {
        return 0;
    }
    /* What was taken back since counts no more; while that cannot be known, she is asked. */
    return mcp_not_before_get(conf->store, subject, authz->client_key, &mark, r->pool) == APR_SUCCESS
           && given > mark;
}

void mcp_remember(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                  const char *subject)
{
    mcp_consent_target_t target = target_of(r, conf, authz);
    mcp_consents_t *list;

    if (!authz->remember || !conf->remember) {
        return;
    }
    list = consents(r, conf);
    mcp_consents_add(list, &target, subject, authz->scope, apr_time_now());
    send_consents(r, conf, list);
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                  MCP_LOG(0234) "consent to client=%s is remembered, %d in all", authz->client_key,
                  mcp_consents_count(list));
}

void mcp_remember_denial(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz)
{
    mcp_consent_target_t target = target_of(r, conf, authz);
    mcp_consents_t *list = consents(r, conf);

    if (mcp_consents_drop(list, &target)) {
        send_consents(r, conf, list);
        ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, r,
                      MCP_LOG(0235) "remembered consent to client=%s is forgotten",
                      authz->client_key);
    }
}

void mcp_consent_forget(request_rec *r, const mcp_oauth_conf_t *conf)
{
    mcp_browser_set_cookie(r, conf, CONSENT_COOKIE, "", 0);
}
