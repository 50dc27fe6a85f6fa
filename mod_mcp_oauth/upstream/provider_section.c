/* SPDX-License-Identifier: Apache-2.0 */
/* The <MCPProvider> section: its name, its preset, and whether its directives fit together. */

#include "provider_config.h"

#include <apr_cstr.h>
#include <apr_strings.h>

#include "oauth.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define DEFAULT_SCOPE "openid profile email offline_access"
#define UNASKED_AGE apr_time_from_sec(30 * 86400)
#define CALL_TIMEOUT apr_time_from_sec(10)

static const char *const default_claims[] = { "name", "email", "preferred_username",
                                              "roles", "groups", "tid",
                                              "oid" };

static mcp_oauth_conf_t *conf_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, (module *)cmd->info);
}

mcp_provider_t *mcp_provider_of(cmd_parms *cmd, const char **why)
{
    mcp_provider_t *provider = conf_of(cmd)->section;

    *why = provider ? NULL
                    : apr_psprintf(cmd->pool, "%s belongs into a <MCPProvider NAME> section",
                                   cmd->cmd->name);
    return provider;
}

static int name_ok(const char *name)
{
    apr_size_t len = strlen(name);

    return len >= 1 && len <= 32
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")
                  == len;
}

/* What has to be there, and fits together. NULL or what to mend. */
static const char *check_section(apr_pool_t *p, const mcp_provider_t *provider)
{
    const char *what = NULL;

    if (provider->kind == MCP_PROVIDER_HTTPD) {
        if (provider->issuer || provider->client_id || provider->secret_ref || provider->auth_method
            || provider->scope_set || provider->claims || provider->subject_claims) {
            what = "MCPProviderType httpd asks no provider: it takes MCPProviderLabel, "
                   "MCPProviderUser, MCPProviderClaim, MCPProviderUsernameClaim, "
                   "MCPProviderDomains and MCPProviderMaxAge";
        }
    }
    else if (provider->user || provider->httpd_claims) {
        what = "MCPProviderUser and MCPProviderClaim need MCPProviderType httpd";
    }
    else if (provider->kind == MCP_PROVIDER_OAUTH2
             && (!provider->authorization_endpoint || !provider->token_endpoint
                 || !provider->userinfo_endpoint
                 || !(provider->subject_claims || provider->preset_subject))) {
        what = "MCPProviderType oauth2 needs MCPProviderAuthorizationEndpoint, "
               "MCPProviderTokenEndpoint, MCPProviderUserinfoEndpoint and MCPProviderSubjectClaim";
    }
    else if (provider->kind == MCP_PROVIDER_OIDC
             && (provider->authorization_endpoint || provider->token_endpoint
                 || provider->userinfo_endpoint)) {
        what = "endpoints are discovered; to name them by hand is for MCPProviderType oauth2";
    }
    else if (!provider->issuer && provider->kind == MCP_PROVIDER_OIDC) {
        what = "no issuer is set: add MCPProviderIssuer https://login.example.com";
    }
    else if (!provider->client_id) {
        what =
            "no client is set: add MCPProviderClientID with the id that this gateway is registered under";
    }
    else if (provider->kind == MCP_PROVIDER_OIDC && !mcp_list_has(provider->scope, "openid")) {
        what =
            "MCPProviderScope takes scopes with openid among them: it is what brings the person's identity";
    }
    else {
        what = mcp_tenants_check(p, provider);
        if (!what) {
            what = mcp_credential_check(p, provider);
        }
    }
    return what ? apr_psprintf(p, "<MCPProvider %s>: %s", provider->name, what) : NULL;
}

/* A domain leads to one provider. NULL or what to mend. */
static const char *check_domains(apr_pool_t *p, const apr_array_header_t *others,
                                 const mcp_provider_t *provider)
{
    for (int i = 0; provider->domains && i < provider->domains->nelts; i++) {
        const char *domain = APR_ARRAY_IDX(provider->domains, i, const char *);

        for (int k = 0; k < others->nelts; k++) {
            const mcp_provider_t *other = APR_ARRAY_IDX(others, k, mcp_provider_t *);

            for (int m = 0; other->domains && m < other->domains->nelts; m++) {
                if (!apr_cstr_casecmp(domain, APR_ARRAY_IDX(other->domains, m, const char *))) {
                    return apr_psprintf(p,
                                        "<MCPProvider %s>: MCPProviderDomains %s is <MCPProvider "
                                        "%s>'s already",
                                        provider->name, domain, other->name);
                }
            }
        }
    }
    return NULL;
}

/* The preset's directives, before those that were written, so that these prevail. NULL or what is
 * wrong. */
static const char *walk_preset(cmd_parms *cmd, mcp_provider_t *provider, ap_directive_t *children)
{
    ap_directive_t *lines = NULL;
    const char *err = NULL;

    for (ap_directive_t *child = children; child; child = child->next) {
        if (!apr_cstr_casecmp(child->directive, "MCPProviderPreset")) {
            err = mcp_preset_lines(cmd->pool, child, &lines);
            break;
        }
    }
    if (!err && lines) {
        err = ap_walk_config(lines, cmd, cmd->context);
    }
    /* A list that is written replaces the preset's instead of adding to it. */
    provider->preset_claims = provider->claims;
    provider->preset_subject = provider->subject_claims;
    provider->claims = provider->subject_claims = NULL;
    return err;
}

static void apply_defaults(apr_pool_t *p, mcp_provider_t *provider)
{
    mcp_url_t url;

    if (provider->max_age < 0) { /* nobody is asked at a refresh: see MCPProviderMaxAge */
        provider->max_age = provider->kind == MCP_PROVIDER_OIDC ? 0 : UNASKED_AGE;
    }
    if (provider->kind == MCP_PROVIDER_OAUTH2 && !provider->scope_set) {
        provider->scope = "";
    }
    if (provider->kind == MCP_PROVIDER_HTTPD) {
        provider->scope = "";
        provider->claims = apr_array_make(p, 4, sizeof(const char *));
        for (int i = 0; provider->httpd_claims && i < provider->httpd_claims->nelts; i++) {
            APR_ARRAY_PUSH(provider->claims, const char *) =
                APR_ARRAY_IDX(provider->httpd_claims, i, mcp_httpd_claim_t).name;
        }
    }
    if (!provider->claims) {
        provider->claims = provider->preset_claims;
    }
    if (!provider->subject_claims) {
        provider->subject_claims = provider->preset_subject;
    }
    if (!provider->claims) {
        provider->claims = apr_array_make(p, 8, sizeof(const char *));
        for (apr_size_t i = 0; i < sizeof(default_claims) / sizeof(*default_claims); i++) {
            APR_ARRAY_PUSH(provider->claims, const char *) = default_claims[i];
        }
    }
    if (!provider->label) {
        provider->label =
            provider->issuer && mcp_url_parse(p, provider->issuer, &url) == APR_SUCCESS
                ? url.host
                : provider->name;
    }
}

const char *mcp_provider_section(cmd_parms *cmd, void *dummy, const char *args)
{
    mcp_oauth_conf_t *conf = conf_of(cmd);
    mcp_provider_t *provider = apr_pcalloc(cmd->pool, sizeof(*provider));
    ap_directive_t *children = cmd->directive->first_child;
    const char *end = strrchr(args, '>'), *err = ap_check_cmd_context(cmd, NOT_IN_DIR_CONTEXT);

    if (err) {
        return err;
    }
    if (!end || end[1]) {
        return "<MCPProvider> lacks its closing \">\"";
    }
    args = apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args));
    provider->name = ap_getword_conf(cmd->pool, &args);
    if (!name_ok(provider->name) || *args) {
        return "<MCPProvider NAME> takes one name of 1 to 32 letters, digits, \"-\" and \"_\": it becomes part of "
               "every person's identity and must not change later";
    }
    if (!conf->providers) {
        conf->providers = apr_array_make(cmd->pool, 2, sizeof(mcp_provider_t *));
    }
    for (int i = 0; i < conf->providers->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *)->name, provider->name)) {
            return apr_psprintf(cmd->pool,
                                "<MCPProvider %s> is there twice: give one of them another name",
                                provider->name);
        }
    }
    provider->scope = DEFAULT_SCOPE;
    provider->auth_params = apr_table_make(cmd->pool, 4);
    provider->timeout = CALL_TIMEOUT;
    provider->max_age = -1;
    conf->section = provider;
    err = walk_preset(cmd, provider, children);
    if (!err) {
        err = ap_walk_config(children, cmd, cmd->context);
    }
    conf->section = NULL;
    if (!err) {
        err = check_section(cmd->pool, provider);
    }
    if (err) {
        return err;
    }
    apply_defaults(cmd->pool, provider);
    err = check_domains(cmd->pool, conf->providers, provider);
    if (err) {
        return err;
    }
    APR_ARRAY_PUSH(conf->providers, mcp_provider_t *) = provider;
    return NULL;
}
