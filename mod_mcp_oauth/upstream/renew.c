/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the provider while a session lives: the refresh, and access tokens for other resources (RFC 6749 section 6,
 * RFC 8693, and Entra ID's on-behalf-of). */

#include "upstream_impl.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define JWT_BEARER "urn:ietf:params:oauth:grant-type:jwt-bearer"
#define EXCHANGE "urn:ietf:params:oauth:grant-type:token-exchange"
#define TYPE "urn:ietf:params:oauth:token-type:"

int mcp_upstream_begin(request_rec *r, const mcp_provider_t *provider, mcp_result_t *res)
{
    int rc = mcp_upstream_enter(provider, res);
    const mcp_discovery_t *doc;

    if (rc == OK) {
        rc = mcp_discover(r, provider, &doc, res);
        if (rc != OK) {
            mcp_upstream_leave(provider);
        }
    }
    return rc;
}

void mcp_upstream_end(const mcp_provider_t *provider)
{
    mcp_upstream_leave(provider);
}

apr_interval_time_t mcp_upstream_longest_begin(const mcp_provider_t *provider)
{
    return 2 * MCP_UPSTREAM_ENTER_WAIT + provider->timeout; /* two gates, and the metadata */
}

apr_interval_time_t mcp_upstream_longest(const mcp_provider_t *provider)
{
    /* An assertion of somebody else's, the call, and one more where the first was throttled (mcp_client_post). */
    return 3 * provider->timeout + apr_time_from_sec(3);
}

static void put(apr_table_t *params, const char *name, const char *value)
{
    if (value) {
        apr_table_setn(params, name, value);
    }
}

/* invalid_target is what a provider says that does not want to give a token for this resource (RFC 8693 section 2.2.2,
 * RFC 8707 section 2): no failure of its own. */
static int refused(const mcp_token_answer_t *answer, int rc, mcp_result_t *res)
{
    if (rc == HTTP_BAD_GATEWAY && answer->refusal && !strcmp(answer->refusal, "invalid_target")) {
        res->error = "access_denied";
        rc = res->status = HTTP_UNAUTHORIZED;
    }
    return rc;
}

/* The id_token that came with a refresh: still the same person, who may still sign in? */
static int verify(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc, const char *id_token,
                  const char *subject, mcp_identity_t *identity, mcp_result_t *res)
{
    mcp_id_token_expected_t expected = {
        .client_id = provider->client_id,
        .now = apr_time_now(),
    };
    json_t *claims = NULL;
    int rc = mcp_upstream_verify(r, provider, doc, id_token, &expected, &claims, res);

    if (rc == OK) {
        return mcp_upstream_describe(r->pool, provider, claims, subject, identity, res);
    }
    if (rc == HTTP_FORBIDDEN) { /* the person's tenant may not sign in any more */
        res->error = "invalid_grant";
        return res->status = HTTP_UNAUTHORIZED;
    }
    if (rc == HTTP_SERVICE_UNAVAILABLE) {
        /* The provider has refreshed, and may have spent the old token: what it gave must not be lost because its keys
         * cannot be fetched just now. The claims stay as they were. */
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      MCP_LOG(0302) "provider %s: claims not renewed: %s", provider->name, res->log);
        memset(res, 0, sizeof(*res));
        return OK;
    }
    return rc;
}

static int keep_now(mcp_keep_fn *keep, void *baton, const mcp_identity_t *identity, int whole, mcp_result_t *res)
{
    mcp_identity_t kept = *identity;

    if (!whole) { /* nobody uses it before it is known whose it is */
        kept.access_token = NULL;
    }
    return keep(baton, &kept) == APR_SUCCESS
               ? OK
               : mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                          "The session store cannot be reached; try again shortly",
                          "the provider's new tokens cannot be stored");
}

int mcp_upstream_refresh(request_rec *r, const mcp_provider_t *provider, const char *refresh_token,
                         const char *subject, const mcp_token_want_t *want, mcp_keep_fn *keep, void *baton,
                         mcp_identity_t *identity, mcp_result_t *res)
{
    const char *const secrets[] = { refresh_token, NULL };
    apr_table_t *params = apr_table_make(r->pool, 6);
    mcp_token_answer_t answer = { 0 };
    const mcp_discovery_t *doc;
    int rc = mcp_discover(r, provider, &doc, res), verified;

    memset(identity, 0, sizeof(*identity));
    if (rc != OK) {
        return rc;
    }
    put(params, "grant_type", "refresh_token");
    put(params, "refresh_token", refresh_token);
    put(params, "scope", want ? want->scope : mcp_token_scope(r->pool, provider));
    put(params, "resource", want ? want->resource : NULL);
    /* A refresh token may be spent although its answer says 503: no second attempt. */
    rc = mcp_token_call(r, provider, doc, params, 0, secrets, &answer, res);
    identity->challenge = answer.challenge;
    if (want) {
        rc = refused(&answer, rc, res);
    }
    else if (rc == HTTP_UNAUTHORIZED) {
        res->error = "invalid_grant";
    }
    if (rc != OK) {
        return rc;
    }
    mcp_token_answer_keep(&answer, identity);
    if (!identity->refresh_token) { /* the old one goes on (RFC 6749 section 6, E10) */
        identity->refresh_token = refresh_token;
    }
    verified = provider->kind != MCP_PROVIDER_OIDC || !answer.id_token;
    rc = keep_now(keep, baton, identity, verified, res);
    if (rc == OK && !verified) {
        rc = verify(r, provider, doc, answer.id_token, subject, identity, res);
        if (rc == OK) {
            rc = keep_now(keep, baton, identity, 1, res);
        }
    }
    return rc;
}

int mcp_upstream_exchange(request_rec *r, const mcp_provider_t *provider, const char *token,
                          const mcp_token_want_t *want, mcp_identity_t *identity, mcp_result_t *res)
{
    const char *const secrets[] = { token, NULL };
    apr_table_t *params = apr_table_make(r->pool, 8);
    mcp_token_answer_t answer = { 0 };
    const mcp_discovery_t *doc;
    int rc = mcp_discover(r, provider, &doc, res);

    memset(identity, 0, sizeof(*identity));
    if (rc != OK) {
        return rc;
    }
    if (want->by == MCP_TOKEN_ON_BEHALF_OF) {
        put(params, "grant_type", JWT_BEARER);
        put(params, "requested_token_use", "on_behalf_of");
        put(params, "assertion", token);
    }
    else {
        put(params, "grant_type", EXCHANGE);
        put(params, "subject_token", token);
        put(params, "subject_token_type", TYPE "access_token");
        put(params, "requested_token_type", TYPE "access_token");
        put(params, "audience", want->audience);
        put(params, "resource", want->resource);
    }
    put(params, "scope", want->scope);
    rc = mcp_token_call(r, provider, doc, params, 1, secrets, &answer, res);
    identity->challenge = answer.challenge;
    if (rc != OK) {
        return refused(&answer, rc, res);
    }
    if (answer.issued_type && strcmp(answer.issued_type, TYPE "access_token")
        && strcmp(answer.issued_type, TYPE "jwt")) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                        apr_psprintf(r->pool, "the exchange brought a token of another type: \"%s\"",
                                     mcp_log_text(r->pool, answer.issued_type)));
    }
    mcp_token_answer_keep(&answer, identity);
    identity->refresh_token = NULL; /* the own one is enough */
    return OK;
}
