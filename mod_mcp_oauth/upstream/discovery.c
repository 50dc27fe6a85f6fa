/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's metadata (OpenID Connect Discovery 1.0), checked before any of it is used. */

#include "upstream_impl.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define DISCOVERY_MAX 131072

int mcp_upstream_url_ok(apr_pool_t *p, const char *url, int loopback)
{
    mcp_url_t parsed;

    if (mcp_url_parse(p, url, &parsed) != APR_SUCCESS || parsed.has_userinfo || parsed.fragment) {
        return 0;
    }
    return !strcmp(parsed.scheme, "https")
           || (loopback && !strcmp(parsed.scheme, "http") && mcp_url_is_loopback(&parsed));
}

/* Is the provider's issuer an http URL? MCPProviderIssuer takes those on loopback only. */
static int is_loopback(const mcp_provider_t *provider)
{
    return provider->issuer && !strncmp(provider->issuer, "http:", 5);
}

/* An endpoint's URL, or NULL with *why set. */
static const char *endpoint(apr_pool_t *p, const mcp_provider_t *provider, const json_t *json, const char *name,
                            const char **why)
{
    const char *url = mcp_json_str(json, name);

    if (!url) {
        *why = apr_pstrcat(p, "has no ", name, NULL);
        return NULL;
    }
    if (!mcp_upstream_url_ok(p, url, is_loopback(provider))) {
        *why = apr_psprintf(p, "%s is not an https URL: %s", name, mcp_log_text(p, url));
        return NULL;
    }
    return apr_pstrdup(p, url);
}

/* Is @a wanted in the array @a name? @a otherwise when there is no such array. */
static int offers(const json_t *json, const char *name, const char *wanted, int otherwise)
{
    const json_t *list = json_object_get(json, name);

    if (!json_is_array(list)) {
        return otherwise;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));

        if (item && !strcmp(item, wanted)) {
            return 1;
        }
    }
    return 0;
}

/* A URL that need not be there: NULL then, and when it is none for us. */
static const char *optional(apr_pool_t *p, const mcp_provider_t *provider, const json_t *json, const char *name)
{
    const char *why;

    return endpoint(p, provider, json, name, &why);
}

/* An array of words as a list, NULL when it is not there. */
static const char *word_list(apr_pool_t *p, const json_t *json, const char *name)
{
    const json_t *list = json_object_get(json, name);
    const char *scopes = "";

    if (!json_is_array(list) || json_array_size(list) > 200) {
        return NULL;
    }
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *scope = json_string_value(json_array_get(list, i));

        if (scope && *scope && !strchr(scope, ' ')) {
            scopes = apr_pstrcat(p, scopes, *scopes ? " " : "", scope, NULL);
        }
    }
    return scopes;
}

const void *mcp_discovery_parse(apr_pool_t *p, const mcp_provider_t *provider, const char *text, apr_size_t len,
                                const char **why)
{
    mcp_discovery_t *doc = apr_pcalloc(p, sizeof(*doc));
    const json_t *json = mcp_json_parse(p, text, len, DISCOVERY_MAX);
    const char *issuer = json ? mcp_json_str(json, "issuer") : NULL;
    const json_t *aliases;

    if (!issuer) {
        *why = json ? "has no issuer" : "is not a JSON object; check MCPProviderIssuer";
        return NULL;
    }
    if (!mcp_tenant_issuer_ok(p, provider, issuer)) { /* section 4.3: exactly, but for Entra's tenants */
        *why = apr_psprintf(p, "the provider calls itself \"%s\": set MCPProviderIssuer to that, if it is to be "
                               "trusted",
                            mcp_log_text(p, issuer));
        return NULL;
    }
    doc->issuer = apr_pstrdup(p, issuer);
    doc->authorization_endpoint = endpoint(p, provider, json, "authorization_endpoint", why);
    doc->token_endpoint = doc->authorization_endpoint ? endpoint(p, provider, json, "token_endpoint", why) : NULL;
    doc->jwks_uri = doc->token_endpoint ? endpoint(p, provider, json, "jwks_uri", why) : NULL;
    if (!doc->jwks_uri) {
        return NULL;
    }
    doc->end_session_endpoint = optional(p, provider, json, "end_session_endpoint");
    doc->scopes = word_list(p, json, "scopes_supported");
    doc->assertion_algs = word_list(p, json, "token_endpoint_auth_signing_alg_values_supported");
    doc->par_endpoint = optional(p, provider, json, "pushed_authorization_request_endpoint");
    doc->par_required = json_is_true(json_object_get(json, "require_pushed_authorization_requests"));
    aliases = json_object_get(json, "mtls_endpoint_aliases");
    doc->mtls_token_endpoint = optional(p, provider, aliases, "token_endpoint");
    doc->mtls_par_endpoint = optional(p, provider, aliases, "pushed_authorization_request_endpoint");
    if (!doc->mtls_token_endpoint) {
        doc->mtls_token_endpoint = doc->token_endpoint;
    }
    if (!doc->mtls_par_endpoint) {
        doc->mtls_par_endpoint = doc->par_endpoint;
    }
    doc->iss_parameter = json_is_true(json_object_get(json, "authorization_response_iss_parameter_supported"));
    doc->basic = offers(json, "token_endpoint_auth_methods_supported", "client_secret_basic", 1)
                 || !offers(json, "token_endpoint_auth_methods_supported", "client_secret_post", 0);
    return doc;
}

/* What would be discovered, of a provider without discovery. The secret goes into the form, as GitHub
 * documents it, unless MCPProviderAuthMethod says otherwise. */
static const mcp_discovery_t *written(apr_pool_t *p, const mcp_provider_t *provider)
{
    mcp_discovery_t *doc = apr_pcalloc(p, sizeof(*doc));

    doc->issuer = provider->issuer; /* NULL: it names none */
    doc->authorization_endpoint = provider->authorization_endpoint;
    doc->token_endpoint = provider->token_endpoint;
    return doc;
}

const char *mcp_discovery_url(apr_pool_t *p, const mcp_provider_t *provider)
{
    apr_size_t len = strlen(provider->issuer);

    if (len && provider->issuer[len - 1] == '/') { /* section 4.1 */
        len--;
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, provider->issuer, len), "/.well-known/openid-configuration", NULL);
}

int mcp_discover(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t **doc, mcp_result_t *res)
{
    const void *found;
    int rc;

    if (provider->kind == MCP_PROVIDER_OAUTH2) {
        *doc = written(r->pool, provider);
        return OK;
    }
    if (provider->kind == MCP_PROVIDER_HTTPD) { /* this server itself: it has no issuer, and nobody to be asked */
        return mcp_fail(res, HTTP_NOT_FOUND, "invalid_request", "there is no such place at the identity provider",
                        "MCPProviderType httpd asks no provider");
    }
    rc = mcp_cache_get(provider->state->discovery, provider, mcp_discovery_url(r->pool, provider), NULL, &found, res,
                       r->pool);
    if (rc == OK) {
        *doc = found;
    }
    return rc;
}

int mcp_discover_or_enter(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t **doc, mcp_result_t *res)
{
    int rc;

    if (provider->kind != MCP_PROVIDER_OIDC || mcp_cache_is_fresh(provider->state->discovery)) {
        return mcp_discover(r, provider, doc, res);
    }
    rc = mcp_upstream_enter(provider, res);
    if (rc == OK) {
        rc = mcp_discover(r, provider, doc, res);
        mcp_upstream_leave(provider);
    }
    return rc;
}
