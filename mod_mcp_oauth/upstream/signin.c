/* SPDX-License-Identifier: Apache-2.0 */
/* A person's sign-in at the provider: the way there, and the code that comes back. What the provider says goes to the log; a
 * client or person hears in our own words what it means. */

#include "upstream_impl.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_grant.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* Our own default has offline_access in it, which some providers refuse by name (Google): then only what the metadata
 * offers is asked for. What an administrator wrote is asked for as it stands. */
static const char *scope_for(apr_pool_t *p, const mcp_provider_t *provider, const mcp_discovery_t *doc)
{
    const char *scope = provider->scope;

    if (!provider->scope_set && doc->scopes && mcp_list_has(doc->scopes, "openid")) {
        scope = mcp_list_intersect(p, scope, doc->scopes);
    }
    return scope;
}

int mcp_upstream_authorize_url(request_rec *r, const mcp_provider_t *provider, const mcp_upstream_request_t *in,
                               char **url, mcp_result_t *res)
{
    apr_table_t *params = apr_table_make(r->pool, 12);
    const mcp_discovery_t *doc = NULL;
    int rc = mcp_discover_or_enter(r, provider, &doc, res);

    if (rc != OK) {
        return rc;
    }
    /* Never the client's `resource`: it names something of ours, and Entra refuses it (E12). */
    apr_table_setn(params, "response_type", "code");
    apr_table_setn(params, "client_id", provider->client_id);
    apr_table_setn(params, "redirect_uri", in->redirect_uri);
    if (*provider->scope) {
        apr_table_setn(params, "scope", scope_for(r->pool, provider, doc));
    }
    apr_table_setn(params, "state", in->state);
    if (provider->kind == MCP_PROVIDER_OIDC) {
        apr_table_setn(params, "nonce", in->nonce);
    }
    apr_table_setn(params, "code_challenge", mcp_sha256_b64url(r->pool, in->code_verifier));
    apr_table_setn(params, "code_challenge_method", "S256");
    if (provider->response_mode) {
        apr_table_setn(params, "response_mode", provider->response_mode);
    }
    if (in->claims) {
        apr_table_setn(params, "claims", in->claims);
    }
    apr_table_overlap(params, provider->auth_params, APR_OVERLAP_TABLES_SET);
    if (in->prompt) {
        const char *always = apr_table_get(provider->auth_params, "prompt");

        apr_table_setn(params, "prompt",
                       always && !mcp_list_has(always, in->prompt)
                           ? apr_pstrcat(r->pool, in->prompt, " ", always, NULL)
                           : in->prompt);
    }
    if (in->login_hint) {
        apr_table_setn(params, "login_hint", in->login_hint);
    }
    if (mcp_pushes(provider, doc)) {
        rc = mcp_upstream_enter(provider, res);
        if (rc == OK) {
            rc = mcp_push_request(r, provider, doc, &params, res);
            mcp_upstream_leave(provider);
        }
    }
    if (rc == OK) {
        *url = mcp_url_add_params(r->pool, doc->authorization_endpoint, params);
    }
    return rc;
}

/* The keys, and the token verified by them; once more with newer keys when none of these fits. */
int mcp_upstream_verify(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc, const char *token,
                        const mcp_id_token_expected_t *wanted, json_t **claims, mcp_result_t *res)
{
    mcp_id_token_expected_t fitted = *wanted, *expected = &fitted;
    const void *keys = NULL, *newer;
    const char *why = NULL;
    apr_status_t rv;
    int rc = mcp_cache_get(provider->state->keys, provider, doc->jwks_uri, NULL, &keys, res, r->pool);

    expected->issuer = doc->issuer;
    expected->key_issuers = provider->tenants != NULL;
    if (rc != OK) {
        return rc;
    }
    rv = mcp_id_token_verify(r->pool, token, keys, expected, claims, &why);
    if (rv == APR_NOTFOUND) {
        rc = mcp_cache_get(provider->state->keys, provider, doc->jwks_uri, keys, &newer, res, r->pool);
        if (rc == OK) {
            rv = mcp_id_token_verify(r->pool, token, newer, expected, claims, &why);
        }
        else if (rc != HTTP_NOT_FOUND) {
            return rc;
        }
    }
    if (rv != APR_SUCCESS) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                        apr_pstrcat(r->pool, "token refused: ", why, NULL));
    }
    if (!mcp_tenant_allowed(provider, mcp_json_str(*claims, "tid"))) {
        const char *tid = mcp_json_str(*claims, "tid");

        return mcp_fail(res, HTTP_FORBIDDEN, "access_denied", "the person's organisation may not sign in here",
                        apr_psprintf(r->pool, "tenant %s is not among those of MCPProviderAllowTenant",
                                     tid ? mcp_log_text(r->pool, tid) : "-"));
    }
    return OK;
}

/* Who the claims speak of. @a subject: who it has to be, NULL at a sign-in. */
int mcp_upstream_describe(apr_pool_t *p, const mcp_provider_t *provider, const json_t *claims, const char *subject,
                          mcp_identity_t *identity, mcp_result_t *res)
{
    const char *why = "sub is another person's", *who = mcp_claims_subject(p, claims, provider->subject_claims, &why);

    identity->subject = who ? apr_pstrcat(p, provider->name, "|", who, NULL) : NULL;
    if (!who || (subject && strcmp(subject, identity->subject))) {
        identity->subject = NULL;
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                        apr_pstrcat(p, "identity refused: ", why, NULL));
    }
    identity->sub = mcp_json_str(claims, "sub");
    identity->sid = mcp_json_str(claims, "sid");
    identity->username = mcp_claims_username(p, claims, provider->username_claim);
    identity->claims = mcp_claims_filter(p, claims, provider->claims, MCP_CLAIMS_MAX);
    return OK;
}

/* RFC 9207 section 2.4: whose answer is this? An empty iss is a wrong one (T43). */
static int check_iss(apr_pool_t *p, const mcp_provider_t *provider, const mcp_discovery_t *doc, const char *iss,
                     mcp_result_t *res)
{
    if (!provider->issuer
        || (iss ? mcp_tenant_issuer_fits(p, doc->issuer, iss) : !doc->iss_parameter)) {
        return OK;
    }
    return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the answer is not the identity provider's",
                    iss ? apr_psprintf(p, "iss of the callback is another issuer: \"%s\"", mcp_log_text(p, iss))
                        : "the callback has no iss although the provider promises one (RFC 9207)");
}

static void add_scope(apr_pool_t *p, const mcp_provider_t *provider, apr_table_t *params)
{
    const char *scope = mcp_token_scope(p, provider);

    if (scope) {
        apr_table_setn(params, "scope", scope);
    }
}

static int redeem(request_rec *r, const mcp_provider_t *provider, const mcp_upstream_request_t *sent,
                  const char *code, const char *iss_param, mcp_identity_t *identity, mcp_result_t *res)
{
    const char *const secrets[] = { code, sent->code_verifier, NULL };
    mcp_id_token_expected_t expected = {
        .client_id = provider->client_id,
        .nonce = sent->nonce,
    };
    apr_table_t *params = apr_table_make(r->pool, 8);
    mcp_token_answer_t answer = { 0 };
    const mcp_discovery_t *doc;
    json_t *claims = NULL;
    int rc = mcp_discover(r, provider, &doc, res);

    if (rc == OK) {
        rc = check_iss(r->pool, provider, doc, iss_param, res);
    }
    if (rc != OK) {
        return rc;
    }
    apr_table_setn(params, "grant_type", "authorization_code");
    apr_table_setn(params, "code", code);
    apr_table_setn(params, "redirect_uri", sent->redirect_uri);
    apr_table_setn(params, "code_verifier", sent->code_verifier);
    add_scope(r->pool, provider, params);
    rc = mcp_token_call(r, provider, doc, params, 1, secrets, &answer, res);
    identity->challenge = answer.challenge;
    if (rc == HTTP_UNAUTHORIZED) {
        return res->status = strcmp(res->error, "invalid_grant") ? HTTP_FORBIDDEN : HTTP_BAD_REQUEST;
    }
    if (rc != OK) {
        return rc;
    }
    if (provider->kind == MCP_PROVIDER_OAUTH2) {
        rc = mcp_userinfo(r, provider, answer.access_token, &claims, res);
        if (rc == OK) {
            rc = mcp_upstream_describe(r->pool, provider, claims, NULL, identity, res);
        }
        if (rc == OK) {
            mcp_token_answer_keep(&answer, identity);
        }
        return rc;
    }
    if (!answer.id_token) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                        "no id_token came: MCPProviderScope must hold openid");
    }
    expected.now = apr_time_now();
    rc = mcp_upstream_verify(r, provider, doc, answer.id_token, &expected, &claims, res);
    if (rc == OK) {
        rc = mcp_upstream_describe(r->pool, provider, claims, NULL, identity, res);
    }
    if (rc == OK) {
        mcp_token_answer_keep(&answer, identity);
    }
    return rc;
}

int mcp_upstream_redeem(request_rec *r, const mcp_provider_t *provider, const mcp_upstream_request_t *sent,
                        const char *code, const char *iss_param, mcp_identity_t *identity, mcp_result_t *res)
{
    int rc = mcp_upstream_enter(provider, res);

    memset(identity, 0, sizeof(*identity));
    if (rc == OK) {
        rc = redeem(r, provider, sent, code, iss_param, identity, res);
        mcp_upstream_leave(provider);
    }
    return rc;
}
