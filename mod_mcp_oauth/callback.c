/* SPDX-License-Identifier: Apache-2.0 */
/* GET /oauth-callback: the person comes back from the provider. Only the browser that consented may
 * go on (T2, CP-11); what the provider answered, good or bad, reaches the client (W9).
 */

#include "oauth.h"

#include "connections.h"
#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* Did the provider say that somebody said no, or has to be asked first? */
static int is_denial(const char *error)
{
    static const char *const denials[] = { "access_denied", "consent_required", "login_required",
                                           "interaction_required", "account_selection_required" };

    for (apr_size_t i = 0; i < sizeof(denials) / sizeof(*denials); i++) {
        if (!strcmp(error, denials[i])) {
            return 1;
        }
    }
    return 0;
}

/* There is no client to tell: the person is. What the provider answered, if that was no code, says more to
 * her than that its answer belongs to nothing here. */
static int lost(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_transaction_t *tx, int status,
                mcp_page_e page, const char *log)
{
    if (tx->error) {
        page = is_denial(tx->error) ? MCP_PAGE_DENIED : MCP_PAGE_PROVIDER;
        log = apr_psprintf(r->pool, "%s; the provider had answered %s", log,
                           mcp_log_text(r->pool, tx->error));
    }
    mcp_page_error(r, conf, status, page, log);
    return DONE;
}

int mcp_transaction_find(request_rec *r, const mcp_oauth_conf_t *conf, const char *state,
                         mcp_transaction_t *tx)
{
    const char *cookie = state ? mcp_tx_get(r, conf, state) : NULL, *provider, *callback;
    unsigned char *used;
    apr_status_t rv;
    apr_size_t len;
    json_t *json;

    if (!cookie) {
        return lost(r, conf, tx, HTTP_FORBIDDEN, MCP_PAGE_WRONG_BROWSER,
                    state ? "callback without the transaction's cookie" : "callback without state");
    }
    rv = mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_TRANSACTION, cookie, apr_time_now(),
                         &json);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(rv)) {
        return lost(r, conf, tx, HTTP_FORBIDDEN, MCP_PAGE_WRONG_BROWSER,
                    "the transaction's cookie does not open");
    }
    if (!mcp_secret_equal(mcp_json_str(json, "s"), state)) {
        return lost(r, conf, tx, HTTP_FORBIDDEN, MCP_PAGE_WRONG_BROWSER,
                    "state and cookie disagree");
    }
    mcp_tx_clear(r, conf, state); /* single use: whatever happens now, the cookie goes */
    if (rv != APR_SUCCESS) {
        return lost(r, conf, tx, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED, "the transaction has expired");
    }
    provider = mcp_json_str(json, "p");
    tx->provider = provider ? mcp_provider_by_name(conf, provider) : NULL;
    tx->sent.state = state;
    tx->again = json_is_true(json_object_get(json, "again"));
    tx->sent.nonce = mcp_json_str(json, "n");
    tx->sent.code_verifier = mcp_json_str(json, "v");
    mcp_page_locales(r, mcp_json_str(json, "lg"));
    if (!mcp_authz_read(conf, json, &tx->authz) || !tx->provider || !tx->sent.nonce
        || !tx->sent.code_verifier || !mcp_resource_by_uri(conf->shared, tx->authz.resource)) {
        return lost(r, conf, tx, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
                    "the transaction is another server's, or the configuration has changed");
    }
    callback = mcp_provider_callback(r->pool, conf, tx->provider);
    if (strcmp(r->uri + strlen(conf->base_path), callback)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                       apr_psprintf(r->pool, "an answer for the sign-in at %s came to %s (mix-up)",
                                    tx->provider->name, mcp_log_text(r->pool, r->uri)));
        return DONE;
    }
    tx->sent.redirect_uri = apr_pstrcat(r->pool, conf->base_url, callback, NULL);
    /* Came back already? The mark is written when the person is known, so that nobody else can fill
     * the store; until then the provider itself honours its code only once. */
    rv = mcp_store_get(conf->store, MCP_KIND_TRANSACTION, state, strlen(state), &used, &len,
                       r->pool);
    if (rv == APR_SUCCESS) {
        return lost(r, conf, tx, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
                    "the transaction was used already");
    }
    if (rv == MCP_EDOWN) { /* before the provider's code is spent in vain */
        mcp_authz_error(r, conf, &tx->authz, "temporarily_unavailable",
                        "the session store is not available");
        return DONE;
    }
    return OK;
}

/* How a sign-in at the provider ended. @a who: NULL, nobody signed in. */
static void tell(request_rec *r, const mcp_transaction_t *tx, const char *outcome, const char *detail,
                 const mcp_identity_t *who)
{
    mcp_event(r, MCP_EVENT_SIGN_IN,
              &(mcp_event_t){ .outcome = outcome,
                              .detail = detail,
                              .provider = tx->provider->name,
                              .person = who ? who->subject : NULL,
                              .username = who ? who->username : NULL,
                              .client = tx->authz.client_key,
                              .client_name = tx->authz.client_name,
                              .resource = tx->authz.resource });
}

/* The provider's error in the client's terms (RFC 6749 section 4.1.2.1). Where no page may be shown
 * (prompt=none, OpenID Connect Core section 3.1.2.6), the client hears what would have been. */
static int relay_error(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_transaction_t *tx,
                       const char *error, const char *description)
{
    const char *relayed = "server_error", *why = "the identity provider reported an error";

    if (is_denial(error)) {
        relayed = mcp_authz_no_page(&tx->authz) ? error : "access_denied";
        why = strcmp(relayed, "access_denied") ? "the identity provider has to ask the person"
                                               : "the sign-in was declined at the identity provider";
    }
    else if (!strcmp(error, "temporarily_unavailable")) {
        relayed = error;
    }
    ap_log_rerror(APLOG_MARK, !strcmp(relayed, "server_error") ? APLOG_ERR : APLOG_INFO, 0, r,
                  MCP_LOG(0241) "provider %s refused the sign-in for client=%s: %s (%s)",
                  tx->provider->name, tx->authz.client_key, mcp_log_text(r->pool, error),
                  description ? mcp_log_text(r->pool, description) : "-");
    tell(r, tx, relayed, "refused by the provider", NULL);
    return mcp_authz_error(r, conf, &tx->authz, relayed, why);
}

int mcp_signed_in(request_rec *r, mcp_oauth_conf_t *conf, const mcp_transaction_t *tx,
                  const mcp_identity_t *who)
{
    apr_status_t rv;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0244) "\"%s\" signed in for client=%s resource=%s",
                  mcp_log_text(r->pool, who->subject), tx->authz.client_key, tx->authz.resource);
    tell(r, tx, "ok", NULL, who);
    rv = mcp_store_put(conf->store, MCP_KIND_TRANSACTION, tx->sent.state, strlen(tx->sent.state),
                       apr_time_now() + MCP_TX_LIFETIME, "1", 1, r->pool);
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                      MCP_LOG(0238) "the sign-in for client=%s cannot be marked as done",
                      tx->authz.client_key);
        return mcp_authz_error(r, conf, &tx->authz,
                               rv == MCP_EDOWN ? "temporarily_unavailable" : "server_error",
                               "the sign-in cannot be completed just now");
    }
    if (tx->authz.page) {
        return mcp_login_done(r, conf, &tx->authz, who);
    }
    return mcp_sign_in_done(r, conf, &tx->authz, who);
}

/* The provider did not give what its code promised. @a challenge: what it wants of the person first, or NULL. */
static int not_redeemed(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_transaction_t *tx,
                        const mcp_result_t *res, const char *challenge)
{
    ap_log_rerror(APLOG_MARK, res->status >= 500 ? APLOG_ERR : APLOG_WARNING, 0, r,
                  MCP_LOG(0243) "sign-in at %s failed for client=%s: %s", tx->provider->name,
                  tx->authz.client_key, mcp_detail(res));
    tell(r, tx, res->error ? res->error : "server_error", res->description, NULL);
    if (challenge && !tx->again && strlen(challenge) <= MCP_CHALLENGE_MAX) {
        return mcp_sign_in_again(r, conf, tx->provider, &tx->authz, challenge);
    }
    return mcp_authz_error(r, conf, &tx->authz,
                           res->status == HTTP_SERVICE_UNAVAILABLE              ? "temporarily_unavailable"
                           : res->error && !strcmp(res->error, "access_denied") ? "access_denied"
                                                                                : "server_error",
                           "the identity provider did not complete the sign-in");
}

int mcp_callback_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *code, *due;
    mcp_identity_t who = { 0 };
    mcp_transaction_t tx = { 0 };
    apr_array_header_t *form;
    mcp_result_t res = { 0 };

    if (r->method_number == M_POST) {
        return mcp_callback_post(r, conf);
    }
    if (r->method_number != M_GET || r->header_only) {
        apr_table_setn(r->headers_out, "Allow", "GET");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    /* Each one makes a call to the provider: whoever has a cookie of a sign-in that was begun could have it asked
     * without end about codes that it never gave. */
    if (mcp_clients_limit(r, conf, MCP_LIMIT_AUTHORIZE, NULL)) {
        return mcp_page_error(r, conf, HTTP_TOO_MANY_REQUESTS, MCP_PAGE_TOO_MANY, "too many requests");
    }
    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS
        || mcp_form_duplicate(form)) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the callback's query is malformed");
    }
    if (mcp_form_get(form, "form_post")) { /* and nothing else of this query counts */
        query = mcp_callback_query(r, conf, mcp_form_get(form, "form_post"));
        if (!query || mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS) {
            return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
                                  "the callback's sealed form does not open, or is too old");
        }
    }
    tx.error = mcp_form_get(form, "error");
    if (mcp_transaction_find(r, conf, mcp_form_get(form, "state"), &tx) != OK) {
        return OK;
    }
    if (tx.error) {
        return relay_error(r, conf, &tx, tx.error, mcp_form_get(form, "error_description"));
    }
    code = mcp_form_get(form, "code");
    if (!code || !*code) {
        return relay_error(r, conf, &tx, "server_error", "neither code nor error in the callback");
    }
    if (mcp_upstream_redeem(r, tx.provider, &tx.sent, code, mcp_form_get(form, "iss"), &who, &res)
        != OK) {
        return not_redeemed(r, conf, &tx, &res, who.challenge);
    }
    /* While a session of hers lived, the provider asked for more than this sign-in has brought. */
    due = tx.again ? NULL : mcp_challenge_due(r, conf, who.subject);
    return due ? mcp_sign_in_again(r, conf, tx.provider, &tx.authz, due)
               : mcp_signed_in(r, conf, &tx, &who);
}
