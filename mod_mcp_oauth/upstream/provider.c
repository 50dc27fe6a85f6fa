/* SPDX-License-Identifier: Apache-2.0 */
/* <MCPProvider> sections, and what a child needs to work with them. */

#include "upstream_impl.h"

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "oauth.h"

APLOG_USE_MODULE(mcp_oauth);

#define DEFAULT_SCOPE "openid profile email offline_access"
#define CALL_TIMEOUT apr_time_from_sec(10)
#define CA_MAX (4 * 1024 * 1024)
#define ENTER_WAIT apr_time_from_sec(2)
#define DISCOVERY_MAX 131072
#define JWKS_MAX 1048576
#define KEYS_KEPT apr_time_from_sec(24 * 3600) /* a key that was withdrawn must not serve for ever */
#define DISCOVERY_KEPT apr_time_from_sec(30 * 24 * 3600)

static const char *const default_claims[] = { "name", "email", "preferred_username", "roles",
                                              "groups", "tid", "oid" };

/* All sections of the configuration, for child_init: mcp_provider_t *. In pconf, hence gone with it. */
static apr_array_header_t *all_providers;

/* ---- directives ---- */

static mcp_oauth_conf_t *conf_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, (module *)cmd->info);
}

/* The section that the directive stands in, or NULL with *why set. */
static mcp_provider_t *section_of(cmd_parms *cmd, const char **why)
{
    mcp_provider_t *provider = conf_of(cmd)->section;

    *why = provider ? NULL : apr_psprintf(cmd->pool, "%s belongs into a <MCPProvider NAME> section", cmd->cmd->name);
    return provider;
}

static int name_ok(const char *name)
{
    apr_size_t len = strlen(name);

    return len >= 1 && len <= 32
           && strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-") == len;
}

/* What has to be there, and fits together. NULL or what to mend. */
static const char *check_section(apr_pool_t *p, const mcp_provider_t *provider)
{
    const char *what = NULL;

    if (!provider->issuer) {
        what = "no issuer is set: add MCPProviderIssuer https://login.example.com";
    }
    else if (!provider->client_id) {
        what = "no client is set: add MCPProviderClientID with the id that this gateway is registered under";
    }
    else if (provider->auth_method && strcmp(provider->auth_method, "none") && !provider->secret_ref) {
        what = "MCPProviderAuthMethod needs a secret: add MCPProviderClientSecret file:/path, or set "
               "MCPProviderAuthMethod none";
    }
    else if (provider->auth_method && !strcmp(provider->auth_method, "none") && provider->secret_ref) {
        what = "MCPProviderAuthMethod none uses no secret: remove MCPProviderClientSecret or the method";
    }
    return what ? apr_psprintf(p, "<MCPProvider %s>: %s", provider->name, what) : NULL;
}

const char *mcp_provider_section(cmd_parms *cmd, void *dummy, const char *args)
{
    mcp_oauth_conf_t *conf = conf_of(cmd);
    mcp_provider_t *provider = apr_pcalloc(cmd->pool, sizeof(*provider));
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
            return apr_psprintf(cmd->pool, "<MCPProvider %s> is there twice: give one of them another name",
                                provider->name);
        }
    }
    provider->scope = DEFAULT_SCOPE;
    provider->timeout = CALL_TIMEOUT;
    conf->section = provider;
    err = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    conf->section = NULL;
    if (!err) {
        err = check_section(cmd->pool, provider);
    }
    if (err) {
        return err;
    }
    if (!provider->claims) {
        provider->claims = apr_array_make(cmd->pool, 8, sizeof(const char *));
        for (apr_size_t i = 0; i < sizeof(default_claims) / sizeof(*default_claims); i++) {
            APR_ARRAY_PUSH(provider->claims, const char *) = default_claims[i];
        }
    }
    APR_ARRAY_PUSH(conf->providers, mcp_provider_t *) = provider;
    return NULL;
}

const char *mcp_set_provider_issuer(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);
    mcp_url_t url;

    if (!provider) {
        return why;
    }
    if (!mcp_upstream_url_ok(cmd->pool, arg, 1) || mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || url.query) {
        return apr_psprintf(cmd->pool, "MCPProviderIssuer takes the provider's issuer, an https URL without query and "
                                       "fragment (http only on loopback): \"%s\" is none",
                            arg);
    }
    if (strstr(arg, "/.well-known/")) {
        return apr_psprintf(cmd->pool, "MCPProviderIssuer takes the issuer, not the address of its metadata: write "
                                       "%.*s",
                            (int)(strstr(arg, "/.well-known/") - arg), arg);
    }
    provider->issuer = arg;
    return NULL;
}

/* A value that goes into headers and forms: visible ASCII, bounded. */
static const char *plain_text(cmd_parms *cmd, const char *arg, apr_size_t max)
{
    if (!*arg || strlen(arg) > max || !mcp_is_header_safe(arg)) {
        return apr_psprintf(cmd->pool, "%s takes 1 to %" APR_SIZE_T_FMT " visible ASCII characters", cmd->cmd->name,
                            max);
    }
    return NULL;
}

const char *mcp_set_provider_client_id(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (provider) {
        why = plain_text(cmd, arg, 512);
        provider->client_id = arg;
    }
    return why;
}

const char *mcp_set_provider_client_secret(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (provider) {
        why = mcp_secret_check(cmd->pool, arg);
        provider->secret_ref = arg;
        if (why) { /* never the argument itself: it may be the secret */
            why = apr_pstrcat(cmd->pool, "MCPProviderClientSecret: ", why, NULL);
        }
    }
    return why;
}

const char *mcp_set_provider_auth_method(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (provider && strcmp(arg, "client_secret_basic") && strcmp(arg, "client_secret_post") && strcmp(arg, "none")) {
        return "MCPProviderAuthMethod takes client_secret_basic, client_secret_post or none";
    }
    if (provider) {
        provider->auth_method = arg;
    }
    return why;
}

const char *mcp_set_provider_scope(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (!provider) {
        return why;
    }
    if (!mcp_scope_valid(arg) || !mcp_list_has(arg, "openid")) {
        return "MCPProviderScope takes scopes separated by single spaces, in quotation marks, openid among them: it "
               "is what brings the person's identity";
    }
    provider->scope = arg;
    provider->scope_set = 1;
    return NULL;
}

const char *mcp_set_provider_claims(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (!provider) {
        return why;
    }
    why = plain_text(cmd, arg, 128);
    if (why || strpbrk(arg, "\"\\") || !strcmp(arg, MCP_CLAIMS_OVERAGE)) {
        return apr_psprintf(cmd->pool, "MCPProviderClaims takes names of claims; \"%s\" is none", arg);
    }
    if (!provider->claims) {
        provider->claims = apr_array_make(cmd->pool, 8, sizeof(const char *));
    }
    APR_ARRAY_PUSH(provider->claims, const char *) = arg;
    if (mcp_claims_names_size(provider->claims) > MCP_CLAIM_NAMES_MAX) {
        return apr_psprintf(cmd->pool, "MCPProviderClaims names too many claims: %d bytes of names at most",
                            MCP_CLAIM_NAMES_MAX);
    }
    return NULL;
}

/* The PEM text of a CA file. NULL or why not. */
static const char *read_ca(apr_pool_t *p, const char *path, const char **pem)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len;
    char reason[120], *text;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);

    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE, file);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "MCPProviderCAFile: cannot read %s: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    if (info.size > CA_MAX) {
        return apr_psprintf(p, "MCPProviderCAFile: %s is larger than %d bytes", path, CA_MAX);
    }
    text = apr_palloc(p, (apr_size_t)info.size + 1);
    rv = apr_file_read_full(file, text, (apr_size_t)info.size, &len);
    apr_file_close(file);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return apr_psprintf(p, "MCPProviderCAFile: cannot read %s: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    text[len] = '\0';
    if (!strstr(text, "-----BEGIN CERTIFICATE-----")) {
        return apr_psprintf(p, "MCPProviderCAFile: %s holds no certificate in PEM form", path);
    }
    *pem = text;
    return NULL;
}

const char *mcp_set_provider_ca_file(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why, *pem;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (!provider) {
        return why;
    }
    provider->ca_file = ap_server_root_relative(cmd->pool, arg);
    if (!provider->ca_file) {
        return apr_psprintf(cmd->pool, "MCPProviderCAFile: \"%s\" is not a path", arg);
    }
    return read_ca(cmd->pool, provider->ca_file, &pem);
}

const char *mcp_set_provider_timeout(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = section_of(cmd, &why);

    if (provider
        && (ap_timeout_parameter_parse(arg, &provider->timeout, "s") != APR_SUCCESS
            || provider->timeout < apr_time_from_sec(1) || provider->timeout > apr_time_from_sec(60))) {
        return "MCPProviderTimeout takes a duration from 1s to 60s";
    }
    return why;
}

/* ---- processes ---- */

static apr_status_t forget_providers(void *dummy)
{
    all_providers = NULL;
    return APR_SUCCESS;
}

static apr_status_t complain(server_rec *s, const mcp_provider_t *provider, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, 0, s, MCP_LOG(0303) "<MCPProvider %s>: %s", provider->name,
                 why);
    return APR_EGENERAL;
}

apr_status_t mcp_upstream_post_config(apr_array_header_t *providers, server_rec *s, apr_pool_t *pconf)
{
    if (!all_providers) {
        apr_status_t rv = mcp_fetch_global_init(pconf);

        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, rv, s, MCP_LOG(0304) "libcurl does not start");
            return rv;
        }
        all_providers = apr_array_make(pconf, 4, sizeof(mcp_provider_t *));
        apr_pool_cleanup_register(pconf, NULL, forget_providers, apr_pool_cleanup_null);
    }
    for (int i = 0; i < providers->nelts; i++) {
        mcp_provider_t *provider = APR_ARRAY_IDX(providers, i, mcp_provider_t *);
        const char *why = NULL;
        int known = 0;

        for (int k = 0; k < all_providers->nelts; k++) {
            known |= APR_ARRAY_IDX(all_providers, k, mcp_provider_t *) == provider;
        }
        if (known) {
            continue;
        }
        if (provider->secret_ref) {
            why = mcp_secret_load(pconf, provider->secret_ref, &provider->secret);
        }
        if (!why && provider->ca_file) {
            why = read_ca(pconf, provider->ca_file, &provider->ca_pem);
        }
        if (why) {
            return complain(s, provider, why);
        }
        APR_ARRAY_PUSH(all_providers, mcp_provider_t *) = provider;
    }
    return APR_SUCCESS;
}

static const void *parse_keys(apr_pool_t *p, const mcp_provider_t *provider, const char *text, apr_size_t len,
                              const char **why)
{
    return mcp_jwks_parse(p, text, len, why);
}

static int between(int low, int value, int high)
{
    return value < low ? low : (value > high ? high : value);
}

static apr_status_t make_state(mcp_provider_t *provider, mcp_gate_t *all, int limit, server_rec *s, apr_pool_t *p)
{
    mcp_provider_state_t *state = apr_pcalloc(p, sizeof(*state));
    apr_status_t rv = mcp_gate_create(&state->gate, limit, p);

    state->all = all;
    if (rv == APR_SUCCESS) {
        rv = mcp_cache_create(&state->discovery, "metadata", mcp_discovery_parse, DISCOVERY_MAX, DISCOVERY_KEPT, s,
                              p);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_cache_create(&state->keys, "keys", parse_keys, JWKS_MAX, KEYS_KEPT, s, p);
    }
    provider->state = state;
    return rv;
}

void mcp_upstream_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threads = 0, limit, total;
    mcp_gate_t *all = NULL;
    apr_status_t rv;
    apr_pool_t *p;

    /* A pool that is never destroyed: a child that is ended by force destroys its own under the feet of its threads. */
    rv = apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 1) {
        threads = 1;
    }
    /* Of the threads of a child, one provider holds a quarter at most and all of them a half. */
    limit = between(2, threads / 4, 32);
    total = between(2, threads / 2, 64);
    if (rv == APR_SUCCESS) {
        rv = mcp_fetch_child_init(p, total);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_gate_create(&all, total, p);
    }
    for (int i = 0; rv == APR_SUCCESS && all_providers && i < all_providers->nelts; i++) {
        rv = make_state(APR_ARRAY_IDX(all_providers, i, mcp_provider_t *), all, limit, s, p);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, MCP_LOG(0305) "the upstream side cannot start");
        exit(APEXIT_CHILDSICK);
    }
}

static int full(const mcp_provider_t *provider, mcp_result_t *res)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", "the identity provider is too slow",
                    "too many calls to the provider are under way: it is slow or does not answer");
}

int mcp_upstream_enter(const mcp_provider_t *provider, mcp_result_t *res)
{
    if (mcp_gate_enter(provider->state->gate, ENTER_WAIT) != APR_SUCCESS) {
        return full(provider, res);
    }
    if (mcp_gate_enter(provider->state->all, ENTER_WAIT) != APR_SUCCESS) {
        mcp_gate_leave(provider->state->gate);
        return full(provider, res);
    }
    return OK;
}

void mcp_upstream_leave(const mcp_provider_t *provider)
{
    mcp_gate_leave(provider->state->all);
    mcp_gate_leave(provider->state->gate);
}
