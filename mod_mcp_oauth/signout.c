/* SPDX-License-Identifier: Apache-2.0 */
/* The sign-out page: ends what this browser has of ours, then the person's session at the provider where that
 * has a place for it (OpenID Connect RP-Initiated Logout 1.0). GET asks, POST does (T29): nobody is
 * signed out by a link. What applications were given stays.
 *
 *   state at the provider (purpose mcpfa): { "k": "signed out", "exp": }
 */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_event.h"
#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"

APLOG_USE_MODULE(mcp_oauth);

#define PATH "/signout"

static int is_kind(const json_t *json, const char *wanted)
{
    const char *kind = mcp_json_str(json, "k");

    return kind && !strcmp(kind, wanted);
}

/* Did the provider send the person back from a sign-out of ours? */
static int came_back(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *state;
    apr_array_header_t *form;
    json_t *json;

    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS) {
        return 0;
    }
    mcp_page_locales(r, mcp_form_get(form, "ui_locales"));
    state = mcp_form_get(form, "state");
    return state
           && mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_ACTION, state, apr_time_now(), &json)
                  == APR_SUCCESS
           && is_kind(json, "signed out");
}

static int ask(request_rec *r, const mcp_oauth_conf_t *conf)
{
    json_t *model, *form;

    if (came_back(r, conf)) {
        return mcp_page_notice(r, conf, "signed_out_title", "signed_out_text");
    }
    form = mcp_json_own(r->pool, json_object());
    model = json_object();
    mcp_put(form, "k", "signout");
    mcp_put(model, "title", mcp_page_text(r, conf, "signout_title", NULL));
    mcp_put(model, "text", mcp_page_text(r, conf, "signout_text", NULL));
    mcp_put(model, "action", apr_pstrcat(r->pool, conf->base_url, PATH, NULL));
    mcp_put(model, "form", mcp_page_form_seal(r, conf, MCP_PURPOSE_ACTION, form));
    mcp_put(model, "button", mcp_page_text(r, conf, "sign_out", NULL));
    mcp_put(model, "link_url", apr_pstrcat(r->pool, conf->base_url, "/connections", NULL));
    mcp_put(model, "link_label", mcp_page_text(r, conf, "connections_title", NULL));
    return mcp_page_send(r, conf, HTTP_OK, MCP_VIEW_NOTICE, model);
}

/* The provider that this browser's person signed in at; where nobody is signed in, the only one. */
static const mcp_provider_t *provider_of(const mcp_oauth_conf_t *conf, const mcp_login_t *login)
{
    if (login->subject) { /* also when the store is down, or the session has ended */
        return mcp_provider_by_name(conf, login->subject);
    }
    return conf->providers->nelts == 1 ? APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *) : NULL;
}

static int sign_out(request_rec *r, const mcp_oauth_conf_t *conf)
{
    json_t *json, *state = mcp_json_own(r->pool, json_object());
    const mcp_provider_t *provider;
    apr_array_header_t *form;
    mcp_result_t res = { 0 };
    mcp_login_t login;
    const char *back;
    char *url;
    int rc;

    if (mcp_page_form_open(r, conf, MCP_PURPOSE_ACTION, "form to sign out", &form, &json) != OK) {
        return OK;
    }
    if (!is_kind(json, "signout")) {
        return mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_FORGED, "another page's form");
    }
    mcp_login_get(r, conf, &login);
    provider = provider_of(conf, &login);
    mcp_login_clear(r, conf);
    mcp_consent_forget(r, conf);
    back = apr_pstrcat(r->pool, conf->base_url, PATH, NULL);
    mcp_put(state, "k", "signed out");
    rc = provider
             ? mcp_upstream_end_session_url(r, provider, back,
                                            mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_ACTION,
                                                          state, apr_time_now() + MCP_TX_LIFETIME),
                                            &url, &res)
             : HTTP_NOT_FOUND;
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0288) "signed out in this browser%s%s",
                  rc == OK ? ", and on to provider " : "", rc == OK ? provider->name : "");
    mcp_event(r, MCP_EVENT_LOGOUT,
              &(mcp_event_t){ .outcome = "ok",
                              .detail = "in this browser, by the person",
                              .person = login.subject,
                              .username = login.username,
                              .provider = provider ? provider->name : NULL });
    if (rc == OK) {
        return mcp_page_redirect(r, url);
    }
    if (rc != HTTP_NOT_FOUND) { /* here it is done all the same */
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, MCP_LOG(0289) "sign-out at provider %s: %s",
                      provider->name, mcp_detail(&res));
    }
    return mcp_page_notice(r, conf, "signed_out_title", "signed_out_text");
}

int mcp_signout_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    switch (r->method_number) {
    case M_GET:
        return ask(r, conf);
    case M_POST:
        return sign_out(r, conf);
    default:
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD, POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
}
