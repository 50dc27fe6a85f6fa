/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of mod_mcp_oauth: what the administrator writes, checked where it is written. */

#include "oauth.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>

#include "mcp_url.h"
#include "mcp_util.h"
#include "upstream/provider_config.h"

/* Private-use schemes that MCP clients in use register (field-lessons 2). PKCE protects a code that
 * another application on the device might catch; an administrator narrows the list with
 * MCPOAuthRedirectSchemes. */
static const char *const known_schemes[] = { "cursor", "vscode", "vscode-insiders", "windsurf",
                                             "claude" };

static mcp_oauth_conf_t *conf_of(cmd_parms *cmd)
{
    return ap_get_module_config(cmd->server->module_config, &mcp_oauth_module);
}

void *mcp_oauth_create(apr_pool_t *p, server_rec *s)
{
    mcp_oauth_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->shared = mcp_shared_create(p);
    conf->clients = mcp_clients_create(p);
    conf->page = mcp_page_conf_create(p);
    conf->enabled = -1;
    conf->restore = -1;
    conf->access_lifetime = -1;
    conf->refresh_lifetime = -1;
    conf->code_lifetime = -1;
    conf->grace = -1;
    conf->remember = -1;
    return conf;
}

void *mcp_oauth_merge(apr_pool_t *p, void *base_, void *add_)
{
    const mcp_oauth_conf_t *base = base_, *add = add_;
    mcp_oauth_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->shared = mcp_shared_merge(p, base->shared, add->shared);
    conf->clients = mcp_clients_merge(p, base->clients, add->clients);
    conf->page = mcp_page_conf_merge(p, base->page, add->page);
    conf->enabled = add->enabled >= 0 ? add->enabled : base->enabled;
    conf->restore = add->restore >= 0 ? add->restore : base->restore;
    conf->providers = add->providers ? add->providers : base->providers;
    conf->schemes = add->schemes ? add->schemes : base->schemes;
    conf->blocked = add->blocked ? add->blocked : base->blocked;
    conf->access_lifetime =
        add->access_lifetime >= 0 ? add->access_lifetime : base->access_lifetime;
    conf->refresh_lifetime =
        add->refresh_lifetime >= 0 ? add->refresh_lifetime : base->refresh_lifetime;
    conf->code_lifetime = add->code_lifetime >= 0 ? add->code_lifetime : base->code_lifetime;
    conf->grace = add->grace >= 0 ? add->grace : base->grace;
    conf->remember = add->remember >= 0 ? add->remember : base->remember;
    conf->remember_native = add->remember >= 0 ? add->remember_native : base->remember_native;
    conf->name = add->name ? add->name : base->name;
    return conf;
}

mcp_oauth_conf_t *mcp_oauth_conf(request_rec *r)
{
    return ap_get_module_config(r->server->module_config, &mcp_oauth_module);
}

/* Every scope of every resource, each once. */
static const char *all_scopes(apr_pool_t *p, const mcp_shared_conf_t *shared)
{
    const char *all = "";

    for (int i = 0; i < shared->resources->nelts; i++) {
        const char *scopes = APR_ARRAY_IDX(shared->resources, i, mcp_resource_t).scopes;
        if (scopes && *scopes) {
            all = *all ? apr_pstrcat(p, all, " ", scopes, NULL) : scopes;
        }
    }
    return mcp_list_intersect(p, all, all);
}

static void apply_defaults(apr_pool_t *p, mcp_oauth_conf_t *conf)
{
    if (conf->enabled < 0) {
        conf->enabled = 0;
    }
    if (conf->restore < 0) {
        conf->restore = 1;
    }
    if (conf->access_lifetime < 0) {
        conf->access_lifetime = apr_time_from_sec(3600);
    }
    if (conf->refresh_lifetime < 0) {
        conf->refresh_lifetime = apr_time_from_sec(30 * 86400);
    }
    if (conf->code_lifetime < 0) {
        conf->code_lifetime = apr_time_from_sec(60);
    }
    if (conf->grace < 0) {
        conf->grace = apr_time_from_sec(30);
    }
    if (conf->remember < 0) {
        conf->remember = apr_time_from_sec(30 * 86400); /* no longer than marks of revocation live */
    }
    if (!conf->schemes) {
        conf->schemes = apr_array_make(p, 8, sizeof(const char *));
        for (apr_size_t i = 0; i < sizeof(known_schemes) / sizeof(*known_schemes); i++) {
            APR_ARRAY_PUSH(conf->schemes, const char *) = known_schemes[i];
        }
    }
}

const char *mcp_oauth_finish(apr_pool_t *p, mcp_oauth_conf_t *conf)
{
    const char *why;
    mcp_url_t url;
    apr_size_t len;

    apply_defaults(p, conf);
    if (!conf->enabled) {
        return NULL;
    }
    if (!conf->shared->issuer) {
        return "MCPOAuth is On, but no issuer is set: add MCPIssuer https://this.host";
    }
    if (!conf->shared->resources || !conf->shared->resources->nelts) {
        return "MCPOAuth is On, but there is nothing to protect: add MCPResource "
               "https://this.host/mcp";
    }
    if (!conf->providers || !conf->providers->nelts) {
        return "MCPOAuth is On, but nobody can sign in: add a <MCPProvider> section";
    }
    if (conf->refresh_lifetime < conf->access_lifetime) {
        return "MCPOAuthRefreshLifetime is shorter than MCPOAuthAccessLifetime: make it longer";
    }
    if (mcp_url_parse(p, conf->shared->issuer, &url) != APR_SUCCESS || url.query || url.fragment
        || url.has_userinfo) {
        return "MCPIssuer must be an https URL without query and fragment";
    }
    why = mcp_clients_check(p, conf->clients);
    if (why) {
        return why;
    }
    conf->secure = !strcmp(url.scheme, "https");
    conf->origin = mcp_url_origin(p, &url);
    len = strlen(url.path);
    while (len && url.path[len - 1] == '/') {
        len--;
    }
    conf->base_path = apr_pstrmemdup(p, url.path, len);
    conf->base_url = apr_pstrcat(p, conf->origin, conf->base_path, NULL);
    conf->issuer_tag = apr_pstrmemdup(p, mcp_sha256_b64url(p, conf->shared->issuer), 11);
    conf->scopes = all_scopes(p, conf->shared);
    if (!conf->name) {
        conf->name = url.host;
    }
    return mcp_pages_build(p, conf, &conf->pages);
}

const mcp_provider_t *mcp_provider_by_name(const mcp_oauth_conf_t *conf, const char *name)
{
    for (int i = 0; i < conf->providers->nelts; i++) {
        const mcp_provider_t *provider = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *);
        apr_size_t len = strlen(provider->name);

        if (!strncmp(provider->name, name, len) && (name[len] == '\0' || name[len] == '|')) {
            return provider;
        }
    }
    return NULL;
}

const mcp_provider_t *mcp_provider_exactly(const mcp_oauth_conf_t *conf, const char *name)
{
    const mcp_provider_t *provider = name ? mcp_provider_by_name(conf, name) : NULL;

    return provider && !strcmp(provider->name, name) ? provider : NULL;
}

static int differ(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") != 0;
}

const char *mcp_oauth_same_names(apr_pool_t *p, const mcp_oauth_conf_t *a,
                                 const mcp_oauth_conf_t *b)
{
    for (int i = 0; i < a->providers->nelts; i++) {
        const mcp_provider_t *one = APR_ARRAY_IDX(a->providers, i, mcp_provider_t *);
        const mcp_provider_t *other = mcp_provider_exactly(b, one->name);

        if (other && other != one
            && (one->kind != other->kind || differ(one->issuer, other->issuer)
                || differ(one->token_endpoint, other->token_endpoint))) {
            return apr_psprintf(p,
                                "<MCPProvider %s> is another provider in another virtual host: "
                                "their people would be taken for each other; give one of them "
                                "another name",
                                one->name);
        }
    }
    return NULL;
}

const mcp_resource_t *mcp_oauth_resource(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                         const char *uri)
{
    const mcp_shared_conf_t *shared = conf->shared;
    const mcp_resource_t *resource;
    const char *canonical, *origin;
    mcp_url_t url, own;

    if (!uri) {
        return &APR_ARRAY_IDX(shared->resources, 0, mcp_resource_t);
    }
    canonical = mcp_resource_canonical(p, uri);
    if (!canonical) {
        return NULL;
    }
    resource = mcp_resource_by_uri(shared, canonical);
    if (resource) {
        return resource;
    }
    if (mcp_url_parse(p, canonical, &url) != APR_SUCCESS || url.query || url.has_userinfo
        || mcp_url_has_dot_segments(url.path)) {
        return NULL;
    }
    /* A path below a resource, such as the /mcp/sse that a client was told to connect to. What is
     * issued names the resource itself. */
    origin = mcp_url_origin(p, &url);
    resource = mcp_resource_for_path(shared, *url.path ? url.path : "/");
    if (resource && mcp_url_parse(p, resource->uri, &own) == APR_SUCCESS
        && !strcmp(mcp_url_origin(p, &own), origin)) {
        return resource;
    }
    /* Only the origin (field-lessons 10): the first resource there. */
    if (*url.path && strcmp(url.path, "/")) {
        return NULL;
    }
    for (int i = 0; i < shared->resources->nelts; i++) {
        resource = &APR_ARRAY_IDX(shared->resources, i, mcp_resource_t);
        if (mcp_url_parse(p, resource->uri, &own) == APR_SUCCESS
            && !strcmp(mcp_url_origin(p, &own), origin)) {
            return resource;
        }
    }
    return NULL;
}

int mcp_oauth_fail_target(apr_pool_t *p, mcp_result_t *res, const char *description, const char *uri)
{
    return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_target", description,
                    apr_psprintf(p, "%s: \"%s\"", description, mcp_log_text(p, uri)));
}

/* May @a scope, one token, be granted at @a resource? */
static int scope_known(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_resource_t *resource,
                       const char *scope)
{
    const mcp_shared_conf_t *shared = conf->shared;

    if (mcp_list_has(resource->scopes, scope)) {
        return 1;
    }
    /* Scopes that exist beyond the minimal set of a resource are asked for by a step-up (RS-10);
     * they are those with a text for people, unless they belong to another resource. */
    for (int i = 0; i < shared->resources->nelts; i++) {
        if (mcp_list_has(APR_ARRAY_IDX(shared->resources, i, mcp_resource_t).scopes, scope)) {
            return mcp_list_has(mcp_scope_expand(p, shared, resource->scopes), scope);
        }
    }
    for (int i = 0; shared->scope_texts && i < shared->scope_texts->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(shared->scope_texts, i, mcp_scope_t).name, scope)) {
            return 1;
        }
    }
    return 0;
}

const char *mcp_oauth_narrow(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                             const mcp_resource_t *resource, const char *requested)
{
    const char *known = "";
    char *list, *token, *last = NULL;

    if (!requested || !*requested) {
        return resource->scopes;
    }
    list = apr_pstrdup(p, requested);
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        if (!mcp_list_has(known, token) && scope_known(p, conf, resource, token)) {
            known = *known ? apr_pstrcat(p, known, " ", token, NULL) : token;
        }
    }
    return *known ? known : resource->scopes;
}

/* ---- setters ---- */

static const char *set_enabled(cmd_parms *cmd, void *dummy, int on)
{
    conf_of(cmd)->enabled = on;
    return NULL;
}

static const char *set_restore(cmd_parms *cmd, void *dummy, int on)
{
    conf_of(cmd)->restore = on;
    return NULL;
}

static const char *set_name(cmd_parms *cmd, void *dummy, const char *arg)
{
    if (!*arg || strlen(arg) > 100) {
        return "MCPOAuthName takes a name of 1 to 100 bytes";
    }
    conf_of(cmd)->name = arg;
    return NULL;
}

/* A duration between @a least and @a most seconds. */
static const char *duration(cmd_parms *cmd, const char *arg, int least, int most,
                            apr_interval_time_t *out)
{
    if (ap_timeout_parameter_parse(arg, out, "s") != APR_SUCCESS || *out < apr_time_from_sec(least)
        || *out > apr_time_from_sec(most)) {
        return apr_psprintf(cmd->pool, "%s takes a duration from %ds to %ds, such as 10min",
                            cmd->cmd->name, least, most);
    }
    return NULL;
}

static const char *set_access_lifetime(cmd_parms *cmd, void *dummy, const char *arg)
{
    return duration(cmd, arg, 2, 30 * 86400, &conf_of(cmd)->access_lifetime);
}

static const char *set_refresh_lifetime(cmd_parms *cmd, void *dummy, const char *arg)
{
    return duration(cmd, arg, 2, 366 * 86400, &conf_of(cmd)->refresh_lifetime);
}

static const char *set_code_lifetime(cmd_parms *cmd, void *dummy, const char *arg)
{
    return duration(cmd, arg, 2, 600, &conf_of(cmd)->code_lifetime);
}

static const char *set_grace(cmd_parms *cmd, void *dummy, const char *arg)
{
    apr_interval_time_t *grace = &conf_of(cmd)->grace;
    const char *err;

    if (!strcmp(arg, "0") || !strcmp(arg, "0s")) {
        *grace = 0;
        return NULL;
    }
    err = duration(cmd, arg, 2, 600, grace);
    return err ? apr_pstrcat(cmd->pool, err, "; 0 switches it off", NULL) : NULL;
}

static const char *set_remember(cmd_parms *cmd, void *dummy, const char *arg, const char *more)
{
    mcp_oauth_conf_t *conf = conf_of(cmd);
    const char *err;

    if (more && ap_cstr_casecmp(more, "native")) {
        return "MCPConsentRemember takes Off, or a duration, and after that native at most";
    }
    conf->remember_native = more != NULL;
    if (!ap_cstr_casecmp(arg, "off") && !more) {
        conf->remember = 0;
        return NULL;
    }
    err = duration(cmd, arg, 2, 366 * 86400, &conf->remember);
    return err ? apr_pstrcat(cmd->pool, err, "; Off asks each time", NULL) : NULL;
}

static const char *set_schemes(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_oauth_conf_t *conf = conf_of(cmd);
    char *scheme = apr_pstrdup(cmd->pool, arg);
    const char *why;

    if (!conf->schemes) {
        conf->schemes = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    ap_str_tolower(scheme);
    if (!strcmp(scheme, "none")) {
        return NULL;
    }
    APR_ARRAY_PUSH(conf->schemes, const char *) = scheme;
    why = mcp_redirect_check(cmd->pool, apr_pstrcat(cmd->pool, scheme, "://x/y", NULL),
                             conf->schemes);
    if (why) {
        return apr_psprintf(cmd->pool, "MCPOAuthRedirectSchemes: \"%s\" is refused: %s", arg, why);
    }
    return NULL;
}

static const char *set_blocked(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_oauth_conf_t *conf = conf_of(cmd);

    if (!conf->blocked) {
        conf->blocked = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    if (strlen(arg) != 22) {
        return "MCPOAuthBlockClient takes a client's key, the 22 characters that the log shows as "
               "client=";
    }
    APR_ARRAY_PUSH(conf->blocked, const char *) = arg;
    return NULL;
}

const command_rec mcp_oauth_commands[] = {
    MCP_SHARED_COMMANDS(&mcp_oauth_module),
    MCP_PROVIDER_COMMANDS(&mcp_oauth_module),
    MCP_CREDENTIAL_COMMANDS(&mcp_oauth_module),
    MCP_CLIENT_COMMANDS,
    MCP_PAGE_COMMANDS,
    AP_INIT_FLAG("MCPOAuth", set_enabled, NULL, RSRC_CONF,
                 "On makes this host an authorization server for MCP clients"),
    AP_INIT_TAKE1("MCPOAuthName", set_name, NULL, RSRC_CONF,
                  "name of the organisation on the pages that people see"),
    AP_INIT_TAKE1("MCPOAuthAccessLifetime", set_access_lifetime, NULL, RSRC_CONF,
                  "lifetime of an access token, default 1h"),
    AP_INIT_TAKE1("MCPOAuthRefreshLifetime", set_refresh_lifetime, NULL, RSRC_CONF,
                  "lifetime of a refresh token since its last use, default 720h"),
    AP_INIT_TAKE1("MCPOAuthCodeLifetime", set_code_lifetime, NULL, RSRC_CONF,
                  "lifetime of an authorization code, default 60s"),
    AP_INIT_TAKE1(
        "MCPOAuthRefreshGrace", set_grace, NULL, RSRC_CONF,
        "how long a used refresh token still gets the same answer, default 30s, 0 = not at all"),
    AP_INIT_FLAG("MCPOAuthRestore", set_restore, NULL, RSRC_CONF,
                 "Off: refresh tokens do not outlive the loss of the store"),
    AP_INIT_TAKE12("MCPConsentRemember", set_remember, NULL, RSRC_CONF,
                   "Off, or how long a person's consent is remembered, and native for applications "
                   "on her device, too"),
    AP_INIT_ITERATE("MCPOAuthRedirectSchemes", set_schemes, NULL, RSRC_CONF,
                    "private-use schemes that redirect URIs may have, or none"),
    AP_INIT_ITERATE("MCPOAuthBlockClient", set_blocked, NULL, RSRC_CONF,
                    "keys of clients that are refused"),
    { NULL }
};
