/* SPDX-License-Identifier: Apache-2.0 */
/* POST /backchannel-logout/PROVIDER (OpenID Connect Back-Channel Logout 1.0): the provider says that a
 * person, or one session of hers, has signed out there. What she gave is taken back on all hosts.
 *
 * A logout token without sub ends the grants of that session (sid) alone, and codes of it count no more; with
 * sub it ends all of the person's, whichever session it names, because of what she gave in another browser or
 * device the provider may have no session any more that it could end.
 */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_event.h"
#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

APLOG_USE_MODULE(mcp_oauth);

/* A token cannot come again after it is too old. */
#define SEEN_LIFE apr_time_from_sec(MCP_LOGOUT_AGE + 2 * MCP_ID_TOKEN_SKEW)

/* 400 for whatever goes wrong (section 2.8), so that the provider may try again. */
static int refuse(request_rec *r, const char *provider, const char *error, const char *description,
                  const char *why)
{
    mcp_event(r, MCP_EVENT_LOGOUT,
              &(mcp_event_t){ .outcome = error, .detail = description, .provider = provider });
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                  MCP_LOG(0286) "back-channel logout of provider %s refused: %s", provider, why);
    return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, error, description);
}

static int store_down(request_rec *r, const mcp_provider_t *provider)
{
    apr_table_setn(r->err_headers_out, "Retry-After", MCP_STORE_RETRY_AFTER);
    return refuse(r, provider->name, "temporarily_unavailable", "try again later",
                  "the store is down");
}

/* The record that a token was honoured. It is written when all is done, so that a logout which failed
 * can be sent again. */
static const char *seen_id(apr_pool_t *p, const mcp_provider_t *provider,
                           const mcp_logout_t *logout)
{
    return apr_pstrcat(p, "logout\n", provider->name, "\n", logout->jti, NULL);
}

/* Whom does the token mean? APR_SUCCESS, APR_NOTFOUND: nobody whom we know; MCP_EDOWN. */
static apr_status_t find_subject(request_rec *r, const mcp_oauth_conf_t *conf,
                                 const mcp_provider_t *provider, const mcp_logout_t *logout,
                                 const char **subject)
{
    const char *kind = logout->sub ? "sub" : "sid";
    mcp_identity_t who = { .subject = "|", .sub = logout->sub, .sid = logout->sid };

    if (logout->subject) {
        *subject = logout->subject;
        return APR_SUCCESS;
    }
    return mcp_person_alias_get(conf->store, provider->name, kind,
                                logout->sub ? mcp_person_sub(r->pool, &who)
                                            : mcp_person_sid(r->pool, &who),
                                subject, r->pool);
}

/* The token is the provider's: do as it says. */
static apr_status_t sign_out(request_rec *r, const mcp_oauth_conf_t *conf,
                             const mcp_provider_t *provider, const mcp_logout_t *logout)
{
    unsigned char sid[MCP_SID_LEN];
    mcp_identity_t session = { .sid = logout->sid };
    const char *subject = NULL, *why;
    apr_status_t rv = logout->sub ? APR_SUCCESS
                                  : mcp_person_session_ended(r, conf, provider, mcp_person_sid(r->pool, &session));

    /* After the mark: whoever redeems a code now writes the index first and looks for the mark then. */
    if (rv == APR_SUCCESS) {
        rv = find_subject(r, conf, provider, logout, &subject);
    }
    if (rv == APR_NOTFOUND) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0287) "back-channel logout of provider %s: nobody here has this %s",
                      provider->name, logout->sub ? "sub" : "sid");
        return APR_SUCCESS;
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (!logout->sub) {
        mcp_sid_hash(logout->sid, sid);
    }
    why = logout->sub ? "the provider signed the person out" : "the provider ended the session";
    rv = mcp_person_revoke(r, conf, subject, NULL, logout->sub ? NULL : sid, 0, why, NULL);
    if (rv == APR_SUCCESS) {
        mcp_event(r, MCP_EVENT_LOGOUT,
                  &(mcp_event_t){ .outcome = "ok",
                                  .detail = why,
                                  .person = subject,
                                  .provider = provider->name });
    }
    return rv;
}

static int answer(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                  const char *token)
{
    mcp_result_t res = { 0 };
    mcp_logout_t logout;
    unsigned char *data;
    const char *id;
    apr_size_t len;
    apr_status_t rv;

    if (mcp_upstream_logout_token(r, provider, token, &logout, &res) != OK) {
        return refuse(r, provider->name, "invalid_request", "the logout token is not valid",
                      mcp_detail(&res));
    }
    id = seen_id(r->pool, provider, &logout);
    rv = mcp_store_get(conf->store, MCP_KIND_TRANSACTION, id, strlen(id), &data, &len, r->pool);
    if (rv == APR_SUCCESS) {
        return refuse(r, provider->name, "invalid_request", "the logout token was used already",
                      "its jti came before");
    }
    if (rv == MCP_EDOWN || sign_out(r, conf, provider, &logout) != APR_SUCCESS) {
        return store_down(r, provider);
    }
    mcp_store_put(conf->store, MCP_KIND_TRANSACTION, id, strlen(id), apr_time_now() + SEEN_LIFE,
                  "1", 1, r->pool);
    r->status = HTTP_OK;
    ap_set_content_length(r, 0);
    return OK;
}

int mcp_backchannel_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *name = r->uri + strlen(conf->base_path) + strlen(MCP_BACKCHANNEL_PATH), *token;
    const mcp_provider_t *provider = mcp_provider_by_name(conf, name);
    apr_array_header_t *form;

    /* One of another kind has no keys that a logout token could be signed with. */
    if (!provider || strcmp(provider->name, name) || provider->kind != MCP_PROVIDER_OIDC) {
        mcp_no_store(r);
        return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "invalid_request",
                                    "no such identity provider");
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_TOKEN, NULL)) {
        mcp_no_store(r);
        return mcp_send_oauth_error(r, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                                    "too many requests; try again later");
    }
    if (mcp_machine_form(r, "POST", &form) != OK) {
        return OK;
    }
    token = mcp_form_get(form, "logout_token");
    if (!token || !*token) {
        return refuse(r, provider->name, "invalid_request", "logout_token is missing",
                      "there is no logout_token");
    }
    return answer(r, conf, provider, token);
}
