/* SPDX-License-Identifier: Apache-2.0 */
/* grant_type=refresh_token: rotation that bears repetition, tells reuse, and survives the loss of
 * the store.
 *
 * Each generation of a refresh token has a ticket in the store. Who removes it is the one that
 * rotates:
 *
 *     remove TICKET(n) --won--> SUCCESSOR(n) = pending
 *         |                     ask the provider, when its own access token has run out
 *         |                     TICKET(n+1), GRANT(n+1)
 *         |                     SUCCESSOR(n) = the answer, for the grace time
 *        lost
 *         |-- SUCCESSOR(n) is an answer   the same again (T27, hosted clients refresh twice)
 *         |-- SUCCESSOR(n) is pending     wait for it, 3 s at most, then 503
 *         |-- none, GRANT newer           an old token used again: all is revoked (AS-9)
 *         |-- none, GRANT missing         same store epoch: it was revoked; another epoch: the
 *         |                               store was lost, and the token restores the grant
 *         `-- none, GRANT not newer       the winner died: one of the waiting takes its place
 */

#include "refresh_turn.h"
#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define POLL apr_time_from_msec(20)
#define AHEAD apr_time_from_sec(60) /* the provider's token is renewed this long before it expires */
#define WAIT_MAX apr_time_from_sec(3)
#define STORE_ALONE apr_time_from_sec(5) /* a rotation for which no provider is asked */

static int invalid_grant(const mcp_turn_t *x, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r, MCP_LOG(0271) "refresh of client=%s refused: %s",
                  x->token.grant.client_key, why);
    mcp_event_grant(x->r, MCP_EVENT_REFRESH, "invalid_grant", why, &x->token.grant);
    return mcp_send_oauth_error(x->r, HTTP_BAD_REQUEST, "invalid_grant",
                                "the refresh token is not valid any more");
}

/* ---- the provider ---- */

/*
 * Does the provider still stand by this person? It is asked when its own access token has run out
 * (W27), or is about to, and always when a grant is restored. *now is what is stored of its tokens
 * then, with the claims of the last refresh that brought some.
 * @return OK, HTTP_UNAUTHORIZED: no more; else it cannot say now
 */
static int ask_provider(const mcp_turn_t *x, int must, mcp_identity_t *now)
{
    const mcp_provider_t *provider = mcp_provider_by_name(x->conf, x->token.grant.subject);
    mcp_tokens_t tokens = {
        .r = x->r,
        .conf = x->conf,
        .provider = provider,
        .id = x->token.grant.id,
        .subject = x->token.grant.subject,
        .refresh_token = x->token.upstream_refresh,
        .until = apr_time_now() + x->conf->refresh_lifetime,
        .wait = WAIT_MAX,
    };
    mcp_result_t res = { 0 };
    int rc;

    if (!provider) { /* not configured any more: nobody vouches for the person */
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                      MCP_LOG(0276) "\"%s\" signed in at a provider that is not configured any "
                                    "more: there is no <MCPProvider> of that name",
                      mcp_log_text(x->r->pool, x->token.grant.subject));
        return HTTP_UNAUTHORIZED;
    }
    if (provider->max_age && x->token.grant.issued + provider->max_age < apr_time_now()) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                      MCP_LOG(0277) "\"%s\" has to sign in again: MCPProviderMaxAge of %s",
                      mcp_log_text(x->r->pool, x->token.grant.subject), provider->name);
        return HTTP_UNAUTHORIZED;
    }
    rc = mcp_tokens_renew(&tokens, must ? MCP_TOKEN_ASK : apr_time_now() + AHEAD, now, &res);
    if (rc == OK) {
        if (!now->access_token && !now->refresh_token && !tokens.refresh_token
            && provider->kind != MCP_PROVIDER_HTTPD) {
            mcp_tokens_note_none(&tokens);
        }
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                  MCP_LOG(0272) "provider %s did not refresh \"%s\": %s", provider->name,
                  mcp_log_text(x->r->pool, x->token.grant.subject), mcp_detail(&res));
    if (rc == HTTP_UNAUTHORIZED) {
        if (now->challenge) {
            mcp_challenge_note(x->r, x->conf, x->token.grant.subject, now->challenge);
        }
        return rc;
    }
    /* Out of reach. A running grant goes on, for the provider did not withdraw it, and is asked
     * about again at the next refresh; one that is to be restored waits. */
    return must ? HTTP_SERVICE_UNAVAILABLE : OK;
}

/* ---- rotation ---- */

static int give_back(const mcp_turn_t *x)
{
    mcp_turn_give_back(x);
    return mcp_send_store_down(x->r);
}

/* How long the answer may take: what the provider may, whose time the configuration bounds. */
static apr_interval_time_t longest(const mcp_turn_t *x)
{
    const mcp_provider_t *provider = mcp_provider_by_name(x->conf, x->token.grant.subject);

    return STORE_ALONE + (provider ? mcp_tokens_longest(provider, WAIT_MAX) : 0);
}

/* The caller is the only one that may answer for this generation. */
static int rotate(mcp_turn_t *x, int restoring)
{
    mcp_grant_t *grant = &x->token.grant;
    mcp_identity_t tokens = { 0 };
    json_t *answer = NULL;
    apr_time_t expires = grant->expires;
    mcp_grant_t current;
    apr_status_t rv;
    int rc;

    if (mcp_turn_begin(x, longest(x)) != APR_SUCCESS) {
        return give_back(x);
    }
    rv = mcp_grant_get(x->conf->store, grant->id, &current, x->r->pool);
    if (rv == MCP_EDOWN) {
        return give_back(x);
    }
    if (rv == APR_SUCCESS && (current.flags & MCP_GRANT_REVOKED)) {
        mcp_turn_end(x, NULL);
        return invalid_grant(x, "the grant was revoked");
    }
    rc = ask_provider(x, restoring, &tokens);
    if (rc == HTTP_UNAUTHORIZED) {
        mcp_turn_end(x, NULL);
        mcp_session_revoke(x->r, x->conf, grant->id, "the identity provider honours it no more");
        return invalid_grant(x, "the identity provider honours the person no more");
    }
    if (rc != OK || !mcp_turn_holds(x)) { /* a store that stood still takes longer than all providers */
        return give_back(x);
    }
    if (tokens.refresh_token) {
        x->token.upstream_refresh = tokens.refresh_token;
    }
    grant->claims = tokens.claims ? tokens.claims : grant->claims;
    grant->username = tokens.username ? tokens.username : grant->username;
    grant->generation++;
    /* What nothing renews is written again: it has to last as long as the grant does. All else was
     * written by whoever renewed it, and by nobody without the grant's lock. */
    rv = mcp_session_issue(x->r, x->conf, &x->token, x->scope,
                           tokens.refresh_token ? NULL : &tokens, &answer);
    if (rv == APR_EGENERAL || rv == APR_EACCES) {
        mcp_turn_end(x, NULL);
        return invalid_grant(x, "the grant was revoked meanwhile");
    }
    if (rv != APR_SUCCESS) {
        grant->expires = expires;
        return give_back(x);
    }
    mcp_turn_end(x, answer);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, x->r,
                  MCP_LOG(0273) "refreshed \"%s\" client=%s resource=%s%s",
                  mcp_log_text(x->r->pool, grant->subject), grant->client_key, grant->resource,
                  restoring ? ", restored after a loss of the store" : "");
    mcp_event_grant(x->r, MCP_EVENT_REFRESH, NULL,
                    restoring ? "restored after a loss of the store" : NULL, grant);
    return mcp_send_json(x->r, HTTP_OK, json_incref(answer));
}

/* Nobody has answered for this generation yet. DECLINED to wait on, until *until at most. */
static int without_successor(mcp_turn_t *x, int polls, int waited_out, apr_time_t *until)
{
    switch (mcp_turn_judge(x, waited_out)) {
    case MCP_VERDICT_DOWN:
        return mcp_send_store_down(x->r);
    case MCP_VERDICT_REVOKED:
        return invalid_grant(x, "the grant was revoked");
    case MCP_VERDICT_REUSE:
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, x->r,
                      MCP_LOG(0274) "a used refresh token of client=%s \"%s\" was presented again",
                      x->token.grant.client_key, mcp_log_text(x->r->pool, x->token.grant.subject));
        mcp_event_grant(x->r, MCP_EVENT_REUSE, "invalid_grant",
                        "a used refresh token was presented again", &x->token.grant);
        mcp_session_revoke(x->r, x->conf, x->token.grant.id,
                           "a used refresh token was presented again");
        return invalid_grant(x, "it was used before");
    case MCP_VERDICT_LOST:
        if (!x->conf->restore) {
            return invalid_grant(x, "the store was lost and MCPOAuthRestore is Off");
        }
        /* Not at the first look: a winner may be between two writes. */
        return polls && mcp_turn_claim(x) ? rotate(x, 1) : DECLINED;
    case MCP_VERDICT_DEAD_WINNER:
        if (mcp_turn_claim(x)) {
            return rotate(x, 0);
        }
        *until += WAIT_MAX; /* somebody else was chosen: wait for that one */
        return DECLINED;
    case MCP_VERDICT_WAIT:
        break;
    }
    return DECLINED;
}

/* The answer that another call got, unless all of it was taken back since. */
static int same_answer(const mcp_turn_t *x, json_t *answer)
{
    mcp_grant_t current;
    apr_status_t rv = mcp_grant_get(x->conf->store, x->token.grant.id, &current, x->r->pool);

    if (rv == MCP_EDOWN) {
        return mcp_send_store_down(x->r);
    }
    if (rv != APR_SUCCESS || (current.flags & MCP_GRANT_REVOKED)) {
        return invalid_grant(x, "the grant was revoked");
    }
    return mcp_send_json(x->r, HTTP_OK, json_incref(answer));
}

/* The ticket was gone. */
static int late(mcp_turn_t *x)
{
    apr_time_t until = apr_time_now() + WAIT_MAX, at_last = until + WAIT_MAX;

    for (int polls = 0;; polls++) {
        apr_time_t now = apr_time_now();
        json_t *answer;
        int rc;

        switch (mcp_turn_successor(x, &answer)) {
        case MCP_SUCCESSOR_READY:
            return same_answer(x, answer);
        case MCP_SUCCESSOR_DOWN:
            return mcp_send_store_down(x->r);
        case MCP_SUCCESSOR_PENDING:
            if (now >= until) {
                return mcp_send_store_down(x->r);
            }
            break;
        case MCP_SUCCESSOR_NONE:
            rc = without_successor(x, polls, now >= until, &until);
            if (rc != DECLINED) {
                return rc;
            }
            break;
        }
        if (now >= at_last) {
            return mcp_send_store_down(x->r);
        }
        apr_sleep(POLL);
    }
}

/* ---- the request ---- */

/* Scopes that clients add for a provider of OpenID and that mean nothing here. */
static int means_nothing(const char *scope)
{
    return mcp_list_has("offline_access openid profile email", scope);
}

/* Scope of the new access token: what was granted, or the part of it that is asked for. More than
 * was granted is refused (RFC 6749 section 6). */
static int narrow(const mcp_turn_t *x, const char *wanted, const char **scope, mcp_result_t *res)
{
    const char *granted = x->token.grant.scope;
    const char *all = mcp_scope_expand(x->r->pool, x->conf->shared, granted), *kept = "";
    char *list, *token, *last = NULL;

    *scope = granted;
    if (!wanted || !*wanted) {
        return OK;
    }
    if (!mcp_scope_valid(wanted)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_scope", "scope is malformed", NULL);
    }
    list = apr_pstrdup(x->r->pool, wanted);
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        if (mcp_list_has(all, token)) {
            kept = *kept ? apr_pstrcat(x->r->pool, kept, " ", token, NULL) : token;
        }
        else if (!means_nothing(token)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_scope",
                            "more is asked for than was granted", NULL);
        }
    }
    if (*kept) {
        *scope = mcp_scope_reduce(x->r->pool, x->conf->shared, kept);
    }
    return OK;
}

/* Everything that needs no store. */
static int check(mcp_turn_t *x, const apr_array_header_t *form, const mcp_client_t *client,
                 mcp_result_t *res)
{
    const char *text = mcp_form_get(form, "refresh_token"),
               *wanted = mcp_form_get(form, "resource");
    const mcp_resource_t *resource, *asked;

    if (!text || !*text) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_request", "refresh_token is missing", NULL);
    }
    if (mcp_refresh_open(x->r->pool, x->conf, text, &x->token) != APR_SUCCESS) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "the refresh token is not valid any more",
                        "it does not open, or has expired");
    }
    if (strcmp(x->token.grant.client_key, client->key)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "the refresh token was given to another client", NULL);
    }
    resource = mcp_resource_by_uri(x->conf->shared, x->token.grant.resource);
    if (!resource) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_grant",
                        "the refresh token is not valid any more",
                        "its resource is not configured any more");
    }
    if (wanted) {
        asked = mcp_oauth_resource(x->r->pool, x->conf, wanted);
        if (asked != resource) {
            return mcp_oauth_fail_target(x->r->pool, res,
                                         "the refresh token is for another resource", wanted);
        }
    }
    return narrow(x, mcp_form_get(form, "scope"), &x->scope, res);
}

int mcp_refresh_grant(request_rec *r, mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                      const mcp_client_t *client)
{
    mcp_turn_t x = { .r = r, .conf = conf };
    mcp_result_t res = { 0 };
    apr_status_t rv;

    if (check(&x, form, client, &res) != OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0275) "refresh of client=%s refused: %s", client->key,
                      mcp_detail(&res));
        mcp_event(r, MCP_EVENT_REFRESH,
                  &(mcp_event_t){ .outcome = res.error,
                                  .detail = res.description,
                                  .client = client->key,
                                  .client_name = client->name });
        return mcp_send_oauth_error(r, res.status, res.error, res.description);
    }
    x.token.client = client;
    mcp_ticket_id(x.token.grant.id, x.token.grant.generation, x.ticket);
    rv = mcp_store_remove(conf->store, MCP_KIND_TICKET, x.ticket, sizeof(x.ticket), r->pool);
    if (rv == APR_SUCCESS) {
        return rotate(&x, 0);
    }
    return rv == MCP_EDOWN ? mcp_send_store_down(r) : late(&x);
}
