/* SPDX-License-Identifier: Apache-2.0 */
/* The sign-in of our own pages. To the flow, such a page is a client of ours that asks for nothing:
 * the person goes to the provider as for any other, and comes back here instead of getting a code.
 *
 *   cookie mcp-login (purpose mcpls), for a quarter of an hour
 *   { "i": issuer tag, "sub":, "un": user name, "b": browser tag, "at": signed in at, milliseconds, "exp": }
 */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_cookie.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define LOGIN_COOKIE "mcp-login"
#define LOGIN_LIFETIME apr_time_from_sec(15 * 60)
#define NOBODY "-" /* client key and challenge: no client has them */

static void set_cookie(request_rec *r, const mcp_oauth_conf_t *conf, const char *value, int age)
{
    const char *cookie = mcp_cookie_set(r->pool, LOGIN_COOKIE, value, age, conf->secure);

    if (cookie) {
        apr_table_addn(r->err_headers_out, "Set-Cookie", cookie);
    }
}

void mcp_login_set(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login)
{
    json_t *json = mcp_json_own(r->pool, json_object());
    apr_time_t expires = apr_time_now() + LOGIN_LIFETIME;

    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "sub", login->subject);
    mcp_put(json, "un", login->username);
    mcp_put(json, "b", mcp_browser_tag(r->pool, mcp_browser_ensure(r, conf)));
    json_object_set_new(json, "at", json_integer(apr_time_as_msec(login->at)));
    set_cookie(r, conf, mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_LOGIN, json, expires),
               (int)apr_time_sec(LOGIN_LIFETIME));
}

void mcp_login_clear(request_rec *r, const mcp_oauth_conf_t *conf)
{
    set_cookie(r, conf, "", 0);
}

apr_status_t mcp_login_get(request_rec *r, const mcp_oauth_conf_t *conf, mcp_login_t *login)
{
    const char *header = apr_table_get(r->headers_in, "Cookie");
    const char *browser = mcp_browser_get(r, conf), *text, *tag;
    apr_time_t mark;
    apr_status_t rv;
    json_t *json;

    memset(login, 0, sizeof(*login));
    text = header ? mcp_cookie_get(r->pool, header, LOGIN_COOKIE, conf->secure) : NULL;
    if (!text || !browser
        || mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_LOGIN, text, apr_time_now(), &json)
               != APR_SUCCESS) {
        return APR_NOTFOUND;
    }
    tag = mcp_json_str(json, "i");
    login->subject = mcp_json_str(json, "sub");
    login->username = mcp_json_str(json, "un");
    login->at = apr_time_from_msec(mcp_json_int(json, "at", 0));
    if (!tag || strcmp(tag, conf->issuer_tag) || !login->subject
        || !mcp_provider_by_name(conf, login->subject)
        || !mcp_secret_equal(mcp_json_str(json, "b"), mcp_browser_tag(r->pool, browser))) {
        login->subject = NULL;
        return APR_NOTFOUND;
    }
    /* A provider's logout, or an administrator, ends this session as it ends the others. */
    rv = mcp_not_before_get(conf->store, login->subject, NOBODY, &mark, r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return mark && login->at <= mark ? APR_NOTFOUND : APR_SUCCESS;
}

int mcp_login_begin(request_rec *r, mcp_oauth_conf_t *conf, const char *path)
{
    mcp_authz_t authz = {
        .client_key = NOBODY,
        .client_name = conf->name,
        .redirect_uri = apr_pstrcat(r->pool, conf->base_url, path, NULL),
        .challenge = NOBODY,
        .resource = APR_ARRAY_IDX(conf->shared->resources, 0, mcp_resource_t).uri,
        .scope = "",
        .page = 1,
    };

    mcp_browser_ensure(r, conf);
    return mcp_sign_in(r, conf, &authz);
}

int mcp_login_done(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                   const mcp_identity_t *who)
{
    mcp_login_t login = { .subject = who->subject,
                          .username = who->username,
                          .at = apr_time_now() };

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0285) "\"%s\" signed in to see what applications have access",
                  mcp_log_text(r->pool, who->subject));
    mcp_login_set(r, conf, &login);
    return mcp_page_redirect(r, authz->redirect_uri);
}
