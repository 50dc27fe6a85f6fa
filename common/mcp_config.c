/* SPDX-License-Identifier: Apache-2.0 */
/* The directives that both modules understand. */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>

#include "mcp_config.h"
#include "mcp_grant.h"
#include "mcp_health.h"
#include "mcp_signing.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define DEFAULT_STORE_TIMEOUT apr_time_from_msec(500)

mcp_shared_conf_t *mcp_shared_create(apr_pool_t *p)
{
    return apr_pcalloc(p, sizeof(mcp_shared_conf_t));
}

mcp_shared_conf_t *mcp_shared_merge(apr_pool_t *p, const mcp_shared_conf_t *base, const mcp_shared_conf_t *add)
{
    mcp_shared_conf_t *conf = apr_pmemdup(p, base, sizeof(*base));

    /* Key file and store are global: their setters refuse a virtual host. */
    if (add->issuer) {
        conf->issuer = add->issuer;
    }
    if (add->resources) {
        conf->resources = add->resources;
    }
    if (add->scope_texts) {
        conf->scope_texts = add->scope_texts;
    }
    if (add->origins) {
        conf->origins = add->origins;
    }
    return conf;
}

static mcp_shared_conf_t *shared_of(cmd_parms *cmd)
{
    mcp_server_conf_base_t *base = ap_get_module_config(cmd->server->module_config, (module *)cmd->info);

    return base->shared;
}

const char *mcp_set_signing_key(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err) {
        return err;
    }
    if (!conf->signing) {
        conf->signing = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->signing, const char *) = arg;
    err = mcp_signing_check(cmd->temp_pool, arg);
    return err ? apr_pstrcat(cmd->pool, "MCPSigningKey: ", err, NULL) : NULL;
}

const char *mcp_set_key_file(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    mcp_keyring_t *ring;
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err) {
        return err;
    }
    conf->key_file = ap_server_root_relative(cmd->pool, arg);
    if (!conf->key_file) {
        return apr_pstrcat(cmd->pool, "MCPKeyFile: invalid path ", arg, NULL);
    }
    /* Loaded for good in post_config; tried here so that configtest tells what is wrong with it. */
    err = mcp_keyring_load(&ring, conf->key_file, cmd->temp_pool);
    return err ? apr_pstrcat(cmd->pool, "MCPKeyFile: ", err, NULL) : NULL;
}

const char *mcp_set_store(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return err ? err : mcp_store_parse(&conf->store, arg, cmd);
}

const char *mcp_set_store_timeout(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err) {
        return err;
    }
    if (ap_timeout_parameter_parse(arg, &conf->store.timeout, "s") != APR_SUCCESS
        || conf->store.timeout < apr_time_from_msec(10) || conf->store.timeout > apr_time_from_sec(60)) {
        return "MCPStoreTimeout: a time between 10ms and 60s, such as 500ms";
    }
    return NULL;
}

apr_interval_time_t mcp_store_timeout(const mcp_shared_conf_t *global)
{
    return global->store.timeout > 0 ? global->store.timeout : DEFAULT_STORE_TIMEOUT;
}

const char *mcp_set_audit_log(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return err ? err : mcp_audit_parse(cmd, &conf->audit, argc, argv);
}

const char *mcp_set_health_ready(cmd_parms *cmd, void *dummy, const char *arg)
{
    static const struct {
        const char *name;
        int bit;
    } parts[] = { { "store", MCP_READY_STORE }, { "audit", MCP_READY_AUDIT }, { "provider", MCP_READY_PROVIDER } };
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    for (apr_size_t i = 0; !err && i < sizeof(parts) / sizeof(*parts); i++) {
        if (!strcmp(arg, parts[i].name)) {
            conf->ready |= parts[i].bit;
            return NULL;
        }
    }
    return err ? err : apr_psprintf(cmd->pool, "MCPHealthReady: '%s' is not one of store, audit and provider", arg);
}

const char *mcp_set_trace_export(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return err ? err : mcp_span_parse(cmd, &conf->spans, argc, argv);
}

/* Our own URLs are https, or http on loopback for trials (AS-6). */
static const char *check_own_url(apr_pool_t *p, const char *directive, const char *text, mcp_url_t *url)
{
    if (mcp_url_parse(p, text, url) != APR_SUCCESS || (strcmp(url->scheme, "https") && strcmp(url->scheme, "http"))) {
        return apr_psprintf(p, "%s: '%s' is not an absolute https URL", directive, text);
    }
    if (strcmp(url->scheme, "https") && !mcp_url_is_loopback(url)) {
        return apr_psprintf(p, "%s: '%s' must be https; http is allowed on loopback only", directive, text);
    }
    if (url->query || url->fragment || url->has_userinfo) {
        return apr_psprintf(p, "%s: '%s' must have no query, fragment or user information", directive, text);
    }
    if (mcp_url_has_dot_segments(url->path)) {
        return apr_psprintf(p, "%s: '%s' has dot segments or doubled slashes in its path", directive, text);
    }
    return NULL;
}

const char *mcp_set_issuer(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    mcp_url_t url;
    const char *err = check_own_url(cmd->pool, "MCPIssuer", arg, &url);

    if (err) {
        return err;
    }
    /* Clients compare it byte for byte and build well-known URLs from it (AS-3): no slash at the end. */
    if (*arg && arg[strlen(arg) - 1] == '/') {
        return apr_psprintf(cmd->pool, "MCPIssuer: write '%.*s' without the slash at the end", (int)strlen(arg) - 1,
                            arg);
    }
    conf->issuer = arg;
    return NULL;
}

/*
 * httpd takes quotation marks for such only at the beginning of a word: name="My tools" arrives as name="My and tools".
 * Put such words together again and drop the marks.
 */
const char *mcp_join_quoted(apr_pool_t *p, int argc, char *const argv[], apr_array_header_t **words)
{
    *words = apr_array_make(p, argc, sizeof(char *));
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        apr_size_t len = strspn(word, "abcdefghijklmnopqrstuvwxyz");

        if (len && word[len] == '=' && word[len + 1] == '"') {
            word = apr_pstrcat(p, apr_pstrmemdup(p, word, len + 1), word + len + 2, NULL);
            for (len = strlen(word); !len || word[len - 1] != '"'; len = strlen(word)) {
                if (++i == argc) {
                    return apr_psprintf(p, "a quotation mark is missing after %s", word);
                }
                word = apr_pstrcat(p, word, " ", argv[i], NULL);
            }
            word[len - 1] = '\0';
        }
        APR_ARRAY_PUSH(*words, char *) = word;
    }
    return NULL;
}

/* The value of NAME=VALUE if @a arg has that name, else NULL. */
static const char *option(const char *arg, const char *name)
{
    apr_size_t n = strlen(name);

    return strncmp(arg, name, n) == 0 && arg[n] == '=' ? arg + n + 1 : NULL;
}

const char *mcp_set_resource(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    mcp_resource_t resource = { 0 };
    mcp_url_t url;
    const char *err;
    apr_array_header_t *words;
    int i;

    err = mcp_join_quoted(cmd->pool, argc, argv, &words);
    if (err) {
        return apr_pstrcat(cmd->pool, "MCPResource: ", err, NULL);
    }
    argc = words->nelts;
    argv = (char *const *)words->elts;
    if (argc < 1) {
        return "MCPResource: takes the resource's URI, then name=\"...\" and scopes=\"...\"";
    }
    err = check_own_url(cmd->pool, "MCPResource", argv[0], &url);
    if (err) {
        return err;
    }
    resource.uri = mcp_resource_canonical(cmd->pool, argv[0]);
    if (!resource.uri) {
        return apr_psprintf(cmd->pool, "MCPResource: '%s' is not a resource identifier", argv[0]);
    }
    if (mcp_resource_by_uri(conf, resource.uri)) {
        return apr_psprintf(cmd->pool, "MCPResource: %s is there already", resource.uri);
    }
    if (strchr(url.path, '%')) {
        return "MCPResource: write the path without percent-encoding"; /* requests are compared decoded */
    }
    resource.path = *url.path ? url.path : "/";
    resource.name = resource.uri;
    resource.scopes = "";
    for (i = 1; i < argc; i++) {
        const char *value;

        if ((value = option(argv[i], "name"))) {
            if (!mcp_is_utf8(value)) {
                return "MCPResource: name= must be UTF-8"; /* it goes into JSON */
            }
            resource.name = value;
        }
        else if ((value = option(argv[i], "scopes"))) {
            if (!mcp_scope_valid(value)) {
                return "MCPResource: scopes= takes scope names separated by single spaces";
            }
            if (mcp_list_has(value, "offline_access")) {
                return "MCPResource: scopes= must not list offline_access, which is no scope of a resource";
            }
            resource.scopes = value;
        }
        else {
            return apr_psprintf(cmd->pool, "MCPResource: unknown option '%s'; known are name= and scopes=", argv[i]);
        }
    }
    mcp_resource_hash(resource.uri, resource.hash);
    if (!conf->resources) {
        conf->resources = apr_array_make(cmd->pool, 2, sizeof(mcp_resource_t));
    }
    APR_ARRAY_PUSH(conf->resources, mcp_resource_t) = resource;
    return NULL;
}

const char *mcp_set_scope(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    mcp_scope_t scope = { 0 };
    const char *err;
    apr_array_header_t *words;
    int i;

    err = mcp_join_quoted(cmd->pool, argc, argv, &words);
    if (err) {
        return apr_pstrcat(cmd->pool, "MCPScope: ", err, NULL);
    }
    argc = words->nelts;
    argv = (char *const *)words->elts;
    if (argc < 2) {
        return "MCPScope: takes a scope's name and its text for people, then implies=\"...\" and optional";
    }
    scope.name = argv[0];
    scope.text = argv[1];
    scope.implies = "";
    if (!mcp_is_utf8(scope.text)) {
        return "MCPScope: the text must be UTF-8";
    }
    if (!*scope.name || !mcp_scope_valid(scope.name) || strchr(scope.name, ' ')) {
        return apr_psprintf(cmd->pool, "MCPScope: '%s' is not a scope name", argv[0]);
    }
    for (i = 2; i < argc; i++) {
        const char *value = option(argv[i], "implies");

        if (value && mcp_scope_valid(value)) {
            scope.implies = value;
        }
        else if (strcmp(argv[i], "optional") == 0) {
            scope.optional = 1;
        }
        else {
            return apr_psprintf(cmd->pool, "MCPScope: unknown option '%s'; known are implies= and optional",
                                argv[i]);
        }
    }
    if (!conf->scope_texts) {
        conf->scope_texts = apr_array_make(cmd->pool, 4, sizeof(mcp_scope_t));
    }
    for (i = 0; i < conf->scope_texts->nelts; i++) {
        if (strcmp(APR_ARRAY_IDX(conf->scope_texts, i, mcp_scope_t).name, scope.name) == 0) {
            return apr_psprintf(cmd->pool, "MCPScope: %s is there already", scope.name);
        }
    }
    APR_ARRAY_PUSH(conf->scope_texts, mcp_scope_t) = scope;
    return NULL;
}

const char *mcp_set_allow_origin(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_shared_conf_t *conf = shared_of(cmd);
    mcp_url_t url;
    const char *origin = arg;

    if (strcmp(arg, "*") != 0) {
        if (mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || *url.path || url.query || url.fragment
            || !(origin = mcp_url_origin(cmd->pool, &url))) {
            return apr_psprintf(cmd->pool, "MCPAllowOrigin: '%s' is not an origin such as https://app.example.com, "
                                           "nor *",
                                arg);
        }
    }
    if (!conf->origins) {
        conf->origins = apr_array_make(cmd->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->origins, const char *) = origin;
    return NULL;
}
