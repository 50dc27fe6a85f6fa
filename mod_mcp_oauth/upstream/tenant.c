/* SPDX-License-Identifier: Apache-2.0 */
/* Providers that stand for many tenants, as Microsoft Entra ID: whose people may sign in, and what
 * a token endpoint that serves one resource at a time is asked for (E1-E3). */

#include "upstream_impl.h"

#include <apr_cstr.h>
#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "provider_config.h"

/* The tenant of all personal accounts. */
#define CONSUMERS "9188040d-6c67-4c5b-b112-36a304b66dad"
#define OPENID_SCOPES "openid profile email offline_access"
#define GRAPH "https://graph.microsoft.com"

/* ---- directives ---- */

const char *mcp_set_provider_allow_tenant(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    if (!provider->tenants) {
        provider->tenants = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    if (!strcmp(arg, "any")) {
        provider->any_tenant = 1;
    }
    else if (!strcmp(arg, "consumers")) {
        APR_ARRAY_PUSH(provider->tenants, const char *) = CONSUMERS;
    }
    else if (mcp_is_guid(arg)) {
        APR_ARRAY_PUSH(provider->tenants, const char *) = arg;
    }
    /* From the preset's argument: whose people these are has to be said by hand. */
    else if (strcmp(arg, "common") && strcmp(arg, "organizations") && !strchr(arg, '.')) {
        return apr_psprintf(cmd->pool,
                            "MCPProviderAllowTenant takes ids of tenants, as "
                            "6babcaad-604b-40ac-a9d7-9fd97c0b779f, consumers or any, "
                            "not \"%s\"",
                            arg);
    }
    return NULL;
}

const char *mcp_set_provider_token_scope(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        if (!*arg || strlen(arg) > 2048 || !mcp_scope_valid(arg)) {
            return "MCPProviderTokenScope takes none, one-resource, or scopes in quotes";
        }
        provider->token_scope = strcmp(arg, "none") ? arg : NULL;
    }
    return why;
}

const char *mcp_set_provider_response_mode(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        if (strcmp(arg, "query") && strcmp(arg, "form_post")) {
            return "MCPProviderResponseMode takes query or form_post";
        }
        provider->response_mode = arg;
    }
    return why;
}

/* ---- scopes ---- */

/* Whose a scope is: what stands before its last slash, Graph's when it has none; NULL for OpenID's
 * own. */
static const char *resource_of(apr_pool_t *p, const char *scope)
{
    const char *slash = strrchr(scope, '/');

    if (mcp_list_has(OPENID_SCOPES, scope)) {
        return NULL;
    }
    return slash ? apr_pstrmemdup(p, scope, (apr_size_t)(slash - scope)) : GRAPH;
}

static int is_default(const char *scope)
{
    const char *slash = strrchr(scope, '/');

    return slash && !strcmp(slash, "/.default");
}

/* Those scopes of OpenID and of the first resource that @a scope names; *mixed tells of .default
 * beside others. */
static const char *one_resource(apr_pool_t *p, const char *scope, int *mixed)
{
    char *list = apr_pstrdup(p, scope), *token, *last = NULL;
    const char *first = NULL, *kept = "";
    int named = 0, defaults = 0;

    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        const char *resource = resource_of(p, token);

        first = first ? first : resource;
        if (resource && strcmp(resource, first)) {
            continue;
        }
        named += resource != NULL;
        defaults += resource && is_default(token);
        kept = *kept ? apr_pstrcat(p, kept, " ", token, NULL) : token;
    }
    *mixed = defaults && named > 1;
    return kept;
}

const char *mcp_token_scope(apr_pool_t *p, const mcp_provider_t *provider)
{
    int mixed;

    return provider->token_scope && !strcmp(provider->token_scope, "one-resource")
               ? one_resource(p, provider->scope, &mixed)
               : provider->token_scope;
}

/* ---- tenants ---- */

/* Where in an issuer the tenant stands: the first segment of its path. */
static int tenant_at(const char *issuer, const char **begin, const char **end)
{
    const char *host = strstr(issuer, "://"), *slash = host ? strchr(host + 3, '/') : NULL;

    if (!slash) {
        return 0;
    }
    *begin = slash + 1;
    *end = *begin + strcspn(*begin, "/");
    return *end > *begin;
}

const char *mcp_tenants_check(apr_pool_t *p, const mcp_provider_t *provider)
{
    int mixed = 0;

    if (provider->tenants && !provider->any_tenant && !provider->tenants->nelts) {
        return "people of which tenants may sign in? Add MCPProviderAllowTenant with the ids of the tenants, or "
               "MCPProviderAllowTenant any";
    }
    if (provider->token_scope && !strcmp(provider->token_scope, "one-resource")) {
        one_resource(p, provider->scope, &mixed);
    }
    return mixed
               ? "MCPProviderScope has .default beside other scopes of the same resource, which Entra ID refuses "
                 "(AADSTS70011): leave one of them out"
               : NULL;
}

int mcp_tenant_allowed(const mcp_provider_t *provider, const char *tid)
{
    if (!provider->tenants || provider->any_tenant) {
        return 1;
    }
    for (int i = 0; tid && i < provider->tenants->nelts; i++) {
        if (!apr_cstr_casecmp(APR_ARRAY_IDX(provider->tenants, i, const char *), tid)) {
            return 1;
        }
    }
    return 0;
}

int mcp_tenant_issuer_ok(apr_pool_t *p, const mcp_provider_t *provider, const char *issuer)
{
    const char *ours, *ours_end, *theirs, *theirs_end, *tenant;

    if (!strcmp(issuer, provider->issuer)) {
        return 1;
    }
    if (!provider->tenants || !tenant_at(provider->issuer, &ours, &ours_end)
        || !tenant_at(issuer, &theirs, &theirs_end) || theirs - issuer != ours - provider->issuer
        || strncmp(issuer, provider->issuer, (apr_size_t)(ours - provider->issuer))
        || strcmp(theirs_end, ours_end)) {
        return 0;
    }
    if (mcp_is_guid(apr_pstrmemdup(p, ours, (apr_size_t)(ours_end - ours)))) {
        return 0; /* one tenant is configured, and this is another one */
    }
    tenant = apr_pstrmemdup(p, theirs, (apr_size_t)(theirs_end - theirs));
    return !strcmp(tenant, MCP_TENANT_MARK)
           || (mcp_is_guid(tenant) && mcp_tenant_allowed(provider, tenant));
}

int mcp_tenant_issuer_fits(apr_pool_t *p, const char *template, const char *issuer)
{
    const char *begin, *end, *expanded;

    if (!strstr(template, MCP_TENANT_MARK) || !tenant_at(issuer, &begin, &end)) {
        return !strcmp(template, issuer);
    }
    expanded = mcp_tenant_issuer(p, template, apr_pstrmemdup(p, begin, (apr_size_t)(end - begin)));
    return expanded && !strcmp(expanded, issuer);
}
