/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of the guard. */

#include <string.h>

#include <apr_strings.h>
#include <apr_lib.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

#include "guard.h"
#include "mcp_log.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define CACHE_AGE_MAX apr_time_from_sec(300)

mcp_guard_collected_t mcp_guard_collected;

void mcp_guard_config_begin(apr_pool_t *pconf)
{
    mcp_guard_collected.keys = apr_array_make(pconf, 4, sizeof(mcp_backend_key_t *));
    mcp_guard_collected.resources = apr_array_make(pconf, 4, sizeof(mcp_resource_ref_t *));
    mcp_guard_collected.guarded = apr_array_make(pconf, 4, sizeof(mcp_guarded_place_t));
    mcp_guard_collected.headers = apr_array_make(pconf, 4, sizeof(mcp_guarded_place_t));
    mcp_guard_collected.odd_balancers = 0;
    mcp_limit_config_begin();
    mcp_stream_config_begin();
    mcp_pins_begin(pconf);
}

void *mcp_guard_create_dir(apr_pool_t *p, char *path)
{
    mcp_guard_dir_t *dir = apr_pcalloc(p, sizeof(*dir));

    dir->guarded = MCP_GUARDED_UNSET;
    dir->identity = -1;
    mcp_session_id_conf_init(&dir->ids);
    mcp_limit_conf_init(&dir->limits);
    mcp_stream_conf_init(&dir->stream);
    mcp_policy_conf_init(&dir->policy);
    return dir;
}

void *mcp_guard_merge_dir(apr_pool_t *p, void *base, void *add)
{
    const mcp_guard_dir_t *b = base;
    const mcp_guard_dir_t *a = add;
    mcp_guard_dir_t *dir = apr_pmemdup(p, a, sizeof(*a));

    if (a->guarded == MCP_GUARDED_UNSET) {
        dir->guarded = b->guarded;
    }
    if (!a->resource) {
        dir->resource = b->resource;
    }
    if (!a->key) {
        dir->key = b->key;
    }
    if (!a->backend_path) {
        dir->backend_path = b->backend_path;
        dir->backend_location = b->backend_location;
    }
    if (!a->scopes) {
        dir->scopes = b->scopes;
    }
    if (!a->upstream_header) {
        dir->upstream_header = b->upstream_header;
        dir->upstream_want = b->upstream_want;
    }
    if (!a->assertion_header) {
        dir->assertion_header = b->assertion_header;
        dir->assertion_audience = b->assertion_audience;
    }
    dir->header_clash = mcp_guard_header_clash(dir) != NULL;
    if (a->identity < 0) {
        dir->identity = b->identity;
    }
    mcp_session_id_conf_inherit(&dir->ids, &b->ids);
    mcp_limit_conf_inherit(p, &dir->limits, &b->limits);
    mcp_stream_conf_inherit(&dir->stream, &b->stream);
    mcp_policy_conf_inherit(p, &dir->policy, &b->policy);
    return dir;
}

void *mcp_guard_create_server(apr_pool_t *p, server_rec *s)
{
    mcp_guard_server_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->shared = mcp_shared_create(p);
    conf->cache_age = -1;
    return conf;
}

void *mcp_guard_merge_server(apr_pool_t *p, void *base, void *add)
{
    const mcp_guard_server_t *b = base;
    const mcp_guard_server_t *a = add;
    mcp_guard_server_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->shared = mcp_shared_merge(p, b->shared, a->shared);
    conf->cache_age = a->cache_age >= 0 ? a->cache_age : b->cache_age;
    conf->hosts = a->hosts ? a->hosts : b->hosts;
    return conf;
}

static const char *where(cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s line %d",
                        cmd->directive && cmd->directive->filename ? cmd->directive->filename : "?",
                        cmd->directive ? cmd->directive->line_num : 0);
}

/* Lines of .htaccess files are read while requests run: nothing may be collected then. */
static int in_htaccess(cmd_parms *cmd)
{
    return cmd->pool == cmd->temp_pool;
}

/* What httpd prints under "Syntax error on line ...": it does not name the directive itself. */
static const char *bad(cmd_parms *cmd, const char *why)
{
    return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", why, NULL);
}

/* The path of a <Location> that is no pattern, else NULL. */
static const char *literal_path(cmd_parms *cmd)
{
    const ap_directive_t *section = cmd->directive ? cmd->directive->parent : NULL;

    return section && !ap_cstr_casecmp(section->directive, "<Location") && cmd->path
                   && cmd->path[0] == '/'
               ? cmd->path
               : NULL;
}

/* Is there a Require beside this directive? */
static int has_require(const ap_directive_t *directive)
{
    const ap_directive_t *d =
        directive && directive->parent ? directive->parent->first_child : NULL;

    for (; d; d = d->next) {
        if (!ap_cstr_casecmpn(d->directive, "Require", 7)
            || !ap_cstr_casecmpn(d->directive, "<Require", 8)) {
            return 1;
        }
    }
    return 0;
}

static void note_place(cmd_parms *cmd, const mcp_guard_dir_t *dir, apr_array_header_t *places)
{
    mcp_guarded_place_t *entry = apr_array_push(places);

    entry->server = cmd->server;
    entry->path = literal_path(cmd);
    entry->where = where(cmd);
    entry->dir = dir;
}

void mcp_guard_note_header(cmd_parms *cmd, const mcp_guard_dir_t *dir)
{
    const mcp_guarded_place_t *known = (const mcp_guarded_place_t *)mcp_guard_collected.headers->elts;

    for (int i = 0; i < mcp_guard_collected.headers->nelts; i++) {
        if (known[i].dir == dir) {
            return;
        }
    }
    note_place(cmd, dir, mcp_guard_collected.headers);
}

static void note_guarded(cmd_parms *cmd, const mcp_guard_dir_t *dir)
{
    note_place(cmd, dir, mcp_guard_collected.guarded);
    if (!has_require(cmd->directive)
        && ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        /* not of cmd->server: a virtual host that is being read has no level yet, which drops the line */
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, NULL,
                     MCP_LOG(0401) "%s: AuthType MCP without Require in the same section; unless "
                                   "an outer section has one, httpd answers every request there with 500. Add: "
                                   "Require valid-user",
                     where(cmd));
    }
}

/* AuthType is httpd's; each module that names a directive gets its lines too, and so the guard
 * learns at start-up what it will guard, and need not evaluate AuthType for each request. */
static const char *see_auth_type(cmd_parms *cmd, void *config, const char *arg)
{
    mcp_guard_dir_t *dir = config;

    if (!ap_find_linked_module("mod_authn_core.c")) {
        return bad(cmd, "needs mod_authn_core (LoadModule authn_core_module)");
    }
    if (strstr(arg, "%{")) {
        dir->guarded = MCP_GUARDED_ASK;
        return NULL;
    }
    dir->guarded = ap_cstr_casecmp(arg, "MCP") ? MCP_GUARDED_NO : MCP_GUARDED_YES;
    if (dir->guarded == MCP_GUARDED_YES && !in_htaccess(cmd)) {
        note_guarded(cmd, dir);
    }
    return NULL;
}

/* Identity and key are set by a hook that mod_proxy runs for http only. The members of a balancer
 * are not known yet when a request is checked, so remember whether any of them speaks something
 * else. */
static const char *see_balancer_member(cmd_parms *cmd, void *config, const char *args)
{
    char *word;

    if (!ap_find_linked_module("mod_proxy.c")) {
        return bad(cmd, "needs mod_proxy (LoadModule proxy_module)");
    }
    while (*(word = ap_getword_conf(cmd->temp_pool, &args))) {
        const char *bar = !ap_cstr_casecmpn(word, "unix:", 5) ? strchr(word, '|') : NULL;
        const char *url = bar ? bar + 1 : word;

        if (strstr(url, "://") && ap_cstr_casecmpn(url, "http://", 7)
            && ap_cstr_casecmpn(url, "https://", 8) && ap_cstr_casecmpn(url, "balancer://", 11)) {
            mcp_guard_collected.odd_balancers = 1;
        }
    }
    return NULL;
}

static const char *set_resource(cmd_parms *cmd, void *config, const char *arg)
{
    mcp_guard_dir_t *dir = config;
    mcp_resource_ref_t *ref = apr_pcalloc(cmd->pool, sizeof(*ref));

    ref->uri = mcp_resource_canonical(cmd->pool, arg);
    if (!ref->uri) {
        return bad(cmd, apr_pstrcat(cmd->pool, "takes an http(s) URL without a fragment, not ", arg,
                                    NULL));
    }
    ref->server = cmd->server;
    ref->path = literal_path(cmd);
    ref->where = where(cmd);
    dir->resource = ref;
    APR_ARRAY_PUSH(mcp_guard_collected.resources, mcp_resource_ref_t *) = ref;
    return NULL;
}

/* Headers that mod_proxy or HTTP itself own. */
static int header_is_taken(const char *name)
{
    static const char *const taken[] = {
        "Host", "Connection", "Content-Length", "Content-Type", "Transfer-Encoding", "TE",
        "Expect", "Upgrade", "Keep-Alive", "Trailer", "Via", "Origin",
        "Accept", "Cookie", "Accept-Encoding", NULL
    };
    int i;

    for (i = 0; taken[i]; i++) {
        if (!ap_cstr_casecmp(name, taken[i])) {
            return 1;
        }
    }
    return !ap_cstr_casecmpn(name, "X-MCP-", 6) || !ap_cstr_casecmpn(name, "Mcp-", 4);
}

static const char *set_backend_key(cmd_parms *cmd, void *config, const char *header,
                                   const char *ref)
{
    mcp_guard_dir_t *dir = config;
    mcp_backend_key_t *key;
    const char *err;
    const char *c;

    for (c = header; *c; c++) {
        if (!apr_isalnum(*c) && *c != '-' && *c != '_') {
            return bad(cmd, "takes a header name first; write for example: "
                            "MCPGuardBackendKey x-functions-key file:/etc/mcp/function-key");
        }
    }
    if (header_is_taken(header)) {
        return bad(cmd,
                   apr_pstrcat(cmd->pool, "cannot use the header ", header, " for a key", NULL));
    }
    err = mcp_secret_check(cmd->pool, ref);
    if (err) {
        return bad(cmd, err);
    }
    key = apr_pcalloc(cmd->pool, sizeof(*key));
    key->header = header;
    key->ref = ref;
    dir->key = key;
    mcp_guard_note_header(cmd, dir);
    APR_ARRAY_PUSH(mcp_guard_collected.keys, mcp_backend_key_t *) = key;
    return NULL;
}

static const char *set_backend_path(cmd_parms *cmd, void *config, const char *arg)
{
    mcp_guard_dir_t *dir = config;

    if (arg[0] != '/' || mcp_url_has_dot_segments(arg) || strpbrk(arg, "?#")) {
        return bad(cmd, "takes a path, such as /runtime/webhooks/mcp");
    }
    if (!literal_path(cmd)) {
        return bad(cmd, "belongs into a <Location> with a plain path, since it says what that path "
                        "is at the backend");
    }
    dir->backend_path = arg;
    dir->backend_location = cmd->path;
    return NULL;
}

static const char *set_identity(cmd_parms *cmd, void *config, int flag)
{
    ((mcp_guard_dir_t *)config)->identity = flag;
    return NULL;
}

static const char *set_cache_age(cmd_parms *cmd, void *config, const char *arg)
{
    mcp_guard_server_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_guard_module);
    apr_interval_time_t age;

    if (ap_timeout_parameter_parse(arg, &age, "s") != APR_SUCCESS || age < 0
        || age > CACHE_AGE_MAX) {
        return bad(cmd, "takes a time from 0 (off) to 300s, such as 1s or 500ms: so long may a "
                        "revocation on another host go unnoticed");
    }
    conf->cache_age = age;
    return NULL;
}

const command_rec mcp_guard_commands[] = {
    MCP_SHARED_COMMANDS(&mcp_guard_module),
    AP_INIT_TAKE1("AuthType", see_auth_type, NULL, OR_AUTHCFG,
                  "MCP: sealed tokens of mod_mcp_oauth"),
    AP_INIT_RAW_ARGS("BalancerMember", see_balancer_member, NULL, RSRC_CONF | ACCESS_CONF,
                     "(mod_proxy's; noted to refuse backends that no identity can be given to)"),
    AP_INIT_TAKE1("MCPGuardResource", set_resource, NULL, ACCESS_CONF,
                  "URI of the MCPResource that this location is; by default the one with the "
                  "longest matching path"),
    AP_INIT_TAKE2("MCPGuardBackendKey", set_backend_key, NULL, ACCESS_CONF,
                  "header, and file:, env: or exec: reference of the key that the backend demands"),
    AP_INIT_TAKE1("MCPGuardBackendPath", set_backend_path, NULL, ACCESS_CONF,
                  "what this location's path is at the backend, for the legacy endpoint event"),
    AP_INIT_TAKE_ARGV("MCPGuardUpstreamToken", mcp_set_guard_upstream_token, NULL, ACCESS_CONF,
                      "header in which the backend gets an access token of the identity provider for "
                      "the person, then by=, scope=, resource=, audience=; or Off"),
    AP_INIT_TAKE12("MCPGuardAssertion", mcp_set_guard_assertion, NULL, ACCESS_CONF,
                   "header in which the backend gets a signed JWT about the caller, and its audience; "
                   "or Off"),
    AP_INIT_FLAG("MCPGuardIdentityHeaders", set_identity, NULL, ACCESS_CONF,
                 "On (default) or Off: tell the backend who calls, in X-MCP-* headers"),
    AP_INIT_TAKE1("MCPSessionCache", set_cache_age, NULL, RSRC_CONF,
                  "how long a process may reuse a verified session, 0 is off (default 1s)"),
    MCP_SESSION_ID_COMMANDS,
    MCP_LIMIT_COMMANDS,
    AP_INIT_ITERATE("MCPAllowHost", mcp_set_allow_host, NULL, RSRC_CONF,
                    "further names by which guarded locations may be called, or *"),
    MCP_STREAM_COMMANDS,
    MCP_POLICY_COMMANDS,
    { NULL }
};

void mcp_guard_note_scopes(cmd_parms *cmd, const char *scopes)
{
    /* A Require may come before any directive of ours has made our part of the section's
     * configuration. */
    mcp_guard_dir_t *dir =
        ap_set_config_vectors(cmd->server, cmd->context, cmd->path, &mcp_guard_module, cmd->pool);
    const char *more = scopes;
    char *scope;

    if (!dir->scopes) {
        dir->scopes = "";
    }
    while (*(scope = ap_getword_white(cmd->temp_pool, &more))) {
        if (!mcp_list_has(dir->scopes, scope)) {
            dir->scopes = apr_pstrcat(cmd->pool, dir->scopes, *dir->scopes ? " " : "", scope, NULL);
        }
    }
}

const mcp_guard_dir_t *mcp_guard_guarded(request_rec *r)
{
    const mcp_guard_dir_t *dir = ap_get_module_config(r->per_dir_config, &mcp_guard_module);

    if (dir->guarded == MCP_GUARDED_YES) {
        return dir;
    }
    if (dir->guarded == MCP_GUARDED_ASK) {
        const char *type = ap_auth_type(r);

        return type && !ap_cstr_casecmp(type, "MCP") ? dir : NULL;
    }
    return NULL;
}
