/* SPDX-License-Identifier: Apache-2.0 */
/* Directives about clients: metadata documents, clients known beforehand, who may register, and limits. */

#include "oauth.h"

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_network_io.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

APLOG_USE_MODULE(mcp_oauth);

#define CA_MAX (1024 * 1024)
#define LIMIT_ENTRIES 65536
#define ADDRESS_FACTOR 10 /* how much more than for one purpose an address has in all */

static const char *const limit_names[MCP_LIMIT_COUNT] = { "register", "authorize", "token" };
static const char *const default_rates[MCP_LIMIT_COUNT] = { "300/min", "600/min", "600/min" };

/* One for all hosts; made in post_config, inherited by the children. */
static mcp_limit_table_t *limits;

static mcp_clients_conf_t *conf_of(cmd_parms *cmd)
{
    mcp_oauth_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_oauth_module);

    return conf->clients;
}

mcp_clients_conf_t *mcp_clients_create(apr_pool_t *p)
{
    mcp_clients_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->metadata = -1;
    conf->registration = -1;
    return conf;
}

mcp_clients_conf_t *mcp_clients_merge(apr_pool_t *p, const mcp_clients_conf_t *base, const mcp_clients_conf_t *add)
{
    mcp_clients_conf_t *conf = apr_pmemdup(p, base, sizeof(*base));

#define TAKE(member) \
    if (add->member) { \
        conf->member = add->member; \
    }
    if (add->metadata >= 0) {
        conf->metadata = add->metadata;
    }
    if (add->registration >= 0) {
        conf->registration = add->registration;
        conf->registration_ref = add->registration_ref;
    }
    TAKE(metadata_hosts)
    TAKE(metadata_ca_file)
    TAKE(metadata_proxy)
    TAKE(pinned)
    TAKE(configured)
    TAKE(redirect_hosts)
    TAKE(shared_ranges)
#undef TAKE
    for (int i = 0; i < MCP_LIMIT_COUNT; i++) {
        if (add->rate[i].count) {
            conf->rate[i] = add->rate[i];
        }
    }
    return conf;
}

static const char *check_configured(apr_pool_t *p, const mcp_client_t *client)
{
    if (!client->redirect_uris->nelts) {
        return apr_psprintf(p, "<MCPOAuthClient %s> has no MCPOAuthClientRedirectURI", client->id);
    }
    if (client->secret_hash && (client->jwks || client->jwks_uri)) {
        return apr_psprintf(p, "<MCPOAuthClient %s> has both a secret and keys: leave one out", client->id);
    }
    return NULL;
}

const char *mcp_clients_check(apr_pool_t *p, const mcp_clients_conf_t *conf)
{
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        const char *why = check_configured(p, APR_ARRAY_IDX(conf->configured, i, mcp_client_t *));

        if (why) {
            return why;
        }
    }
    if (conf->metadata_hosts && conf->metadata == 0) {
        return "MCPOAuthClientMetadataHosts has no effect while MCPOAuthClientMetadata is Off: leave one out";
    }
    return NULL;
}

static const char *read_file(apr_pool_t *p, const char *path, apr_size_t max, char **text)
{
    apr_file_t *file;
    apr_size_t len = 0;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "%s cannot be read: %pm", path, &rv);
    }
    *text = apr_palloc(p, max + 2);
    rv = apr_file_read_full(file, *text, max + 1, &len);
    apr_file_close(file);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return apr_psprintf(p, "%s cannot be read: %pm", path, &rv);
    }
    if (len > max) {
        return apr_psprintf(p, "%s is larger than %" APR_SIZE_T_FMT " bytes", path, max);
    }
    (*text)[len] = '\0';
    return NULL;
}

/* The module may stay loaded over a restart, which takes the table away. */
static apr_status_t forget_limits(void *dummy)
{
    limits = NULL;
    return APR_SUCCESS;
}

apr_status_t mcp_clients_post_config(mcp_clients_conf_t *conf, server_rec *s, apr_pool_t *pconf)
{
    const char *err = NULL;
    apr_status_t rv;

    for (int i = 0; i < MCP_LIMIT_COUNT; i++) {
        if (!conf->rate[i].count) {
            mcp_rate_parse(default_rates[i], &conf->rate[i]);
        }
    }
    if (conf->metadata < 0) {
        conf->metadata = 1;
    }
    if (conf->registration < 0) {
        conf->registration = MCP_REGISTRATION_OPEN;
    }
    if (conf->registration == MCP_REGISTRATION_TOKEN) {
        err = mcp_secret_load(pconf, conf->registration_ref, &conf->registration_token);
    }
    if (!err && conf->metadata_ca_file) {
        char *pem = NULL;

        err = read_file(pconf, conf->metadata_ca_file, CA_MAX, &pem);
        conf->metadata_ca_pem = err ? NULL : pem;
    }
    if (err) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, MCP_LOG(0290) "clients: %s", err);
        return APR_EGENERAL;
    }
    if (!limits) {
        rv = mcp_limit_create(&limits, LIMIT_ENTRIES, pconf);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0291) "no shared memory for the limits");
            return rv;
        }
        apr_pool_cleanup_register(pconf, NULL, forget_limits, apr_pool_cleanup_null);
    }
    return APR_SUCCESS;
}

static int in_shared_range(request_rec *r, const mcp_clients_conf_t *conf)
{
    for (int i = 0; conf->shared_ranges && i < conf->shared_ranges->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(conf->shared_ranges, i, apr_ipsubnet_t *), r->useragent_addr)) {
            return 1;
        }
    }
    return 0;
}

int mcp_clients_limit(request_rec *r, const mcp_oauth_conf_t *conf, mcp_limit_e which, const char *what)
{
    mcp_rate_t rate = conf->clients->rate[which];
    const char *address = mcp_limit_address_key(r->pool, r->useragent_ip);
    mcp_limit_state_t state;

    if (!rate.period || !limits || (!what && in_shared_range(r, conf->clients))) {
        return OK;
    }
    if (!what) {
        rate.count *= ADDRESS_FACTOR;
        rate.burst *= ADDRESS_FACTOR;
    }
    if (mcp_limit_check(limits, &rate, limit_names[which],
                        what ? apr_pstrcat(r->pool, address, " ", what, NULL) : address, apr_time_now(), &state)) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, MCP_LOG(0292) "limit for %s exceeded by %s", limit_names[which],
                  address);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, apr_time_sec(state.retry) + 1));
    return HTTP_TOO_MANY_REQUESTS;
}

/* ---- setters: metadata documents ---- */

const char *mcp_set_client_metadata(cmd_parms *cmd, void *dummy, int on)
{
    conf_of(cmd)->metadata = on;
    return NULL;
}

/* A host name, or "*." and one. */
static const char *push_host(cmd_parms *cmd, apr_array_header_t **list, const char *arg)
{
    char *host = apr_pstrdup(cmd->pool, arg);
    const char *name = strncmp(host, "*.", 2) ? host : host + 2;

    ap_str_tolower(host);
    if (!*name || *name == '.' || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(name)) {
        return apr_psprintf(cmd->pool, "%s: \"%s\" is neither a host name nor *. and one", cmd->cmd->name, arg);
    }
    if (!*list) {
        *list = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = host;
    return NULL;
}

const char *mcp_set_metadata_hosts(cmd_parms *cmd, void *dummy, const char *arg)
{
    return push_host(cmd, &conf_of(cmd)->metadata_hosts, arg);
}

const char *mcp_set_redirect_hosts(cmd_parms *cmd, void *dummy, const char *arg)
{
    return push_host(cmd, &conf_of(cmd)->redirect_hosts, arg);
}

const char *mcp_set_metadata_ca_file(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *path = ap_server_root_relative(cmd->pool, arg);
    char *text = NULL;
    const char *err = path ? read_file(cmd->pool, path, CA_MAX, &text) : "is no path";

    conf_of(cmd)->metadata_ca_file = path;
    return err ? apr_pstrcat(cmd->pool, "MCPOAuthClientMetadataCAFile: ", err, NULL) : NULL;
}

const char *mcp_set_metadata_proxy(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_url_t url;

    if (mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || strcmp(url.scheme, "http") || url.query || url.fragment) {
        return "MCPOAuthClientMetadataProxy takes http://HOST:PORT";
    }
    conf_of(cmd)->metadata_proxy = arg;
    return NULL;
}

const char *mcp_set_metadata_file(cmd_parms *cmd, void *dummy, const char *url, const char *file)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    const char *path = ap_server_root_relative(cmd->pool, file), *err, *id;
    mcp_pinned_t pin = { .url = url };
    json_t *doc;
    char *text = NULL;

    err = path ? read_file(cmd->pool, path, MCP_METADATA_MAX, &text) : "is no path";
    if (err || !text) {
        return apr_pstrcat(cmd->pool, "MCPOAuthClientMetadataFile: ", err, NULL);
    }
    doc = mcp_json_parse(cmd->temp_pool, text, strlen(text), MCP_METADATA_MAX);
    id = doc ? mcp_json_str(doc, "client_id") : NULL;
    if (!id || strcmp(id, url)) {
        return apr_psprintf(cmd->pool, "MCPOAuthClientMetadataFile: %s is not the metadata document of %s", path, url);
    }
    pin.text = text;
    if (!conf->pinned) {
        conf->pinned = apr_array_make(cmd->pool, 4, sizeof(mcp_pinned_t));
    }
    APR_ARRAY_PUSH(conf->pinned, mcp_pinned_t) = pin;
    return NULL;
}

/* ---- setters: clients known beforehand ---- */

const char *mcp_client_section(cmd_parms *cmd, void *dummy, const char *args)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    const char *end = strrchr(args, '>'), *err, *id;
    mcp_client_t *client;

    if (!end || end[1]) {
        return "<MCPOAuthClient ID> lacks its closing bracket";
    }
    args = apr_pstrmemdup(cmd->pool, args, (apr_size_t)(end - args));
    id = ap_getword_conf(cmd->pool, &args);
    if (!*id || *args || strlen(id) > 200 || strpbrk(id, " :|") || !strncmp(id, "mcp", 3)) {
        return "<MCPOAuthClient ID> takes a client_id without blanks, colons and bars, not beginning with mcp or https";
    }
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(conf->configured, i, mcp_client_t *)->id, id)) {
            return apr_psprintf(cmd->pool, "<MCPOAuthClient %s> is there already", id);
        }
    }
    client = apr_pcalloc(cmd->pool, sizeof(*client));
    client->source = MCP_CLIENT_CONFIGURED;
    client->id = id;
    client->key = mcp_client_key(cmd->pool, id);
    client->name = id;
    client->auth_method = "none";
    client->redirect_uris = apr_array_make(cmd->pool, 2, sizeof(const char *));
    conf->section = client;
    err = ap_walk_config(cmd->directive->first_child, cmd, cmd->context);
    conf->section = NULL;
    if (!conf->configured) {
        conf->configured = apr_array_make(cmd->pool, 2, sizeof(mcp_client_t *));
    }
    APR_ARRAY_PUSH(conf->configured, mcp_client_t *) = client;
    return err ? err : check_configured(cmd->pool, client);
}

static mcp_client_t *section_of(cmd_parms *cmd, const char **err)
{
    mcp_client_t *client = conf_of(cmd)->section;

    *err = client ? NULL : apr_pstrcat(cmd->pool, cmd->cmd->name, " belongs into a <MCPOAuthClient> section", NULL);
    return client;
}

const char *mcp_set_client_name(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err;
    mcp_client_t *client = section_of(cmd, &err);

    if (client) {
        client->name = mcp_clean_text(cmd->pool, arg, MCP_CLIENT_NAME_MAX);
    }
    return err;
}

const char *mcp_set_client_redirect(cmd_parms *cmd, void *dummy, const char *arg)
{
    apr_array_header_t *own = apr_array_make(cmd->temp_pool, 1, sizeof(const char *));
    const char *err;
    mcp_client_t *client = section_of(cmd, &err);
    mcp_url_t url;

    if (!client) {
        return err;
    }
    /* An administrator who writes a private-use scheme here admits it for this client. */
    if (mcp_url_parse(cmd->pool, arg, &url) == APR_SUCCESS) {
        APR_ARRAY_PUSH(own, const char *) = url.scheme;
    }
    err = mcp_redirect_check(cmd->pool, arg, own);
    if (err) {
        return apr_psprintf(cmd->pool, "MCPOAuthClientRedirectURI: %s: %s", arg, err);
    }
    APR_ARRAY_PUSH(client->redirect_uris, const char *) = arg;
    return NULL;
}

const char *mcp_set_client_secret_hash(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err;
    mcp_client_t *client = section_of(cmd, &err);
    char *hash = apr_pstrdup(cmd->pool, arg);

    if (!client) {
        return err;
    }
    ap_str_tolower(hash);
    if (strlen(hash) != 2 * MCP_SHA256_LEN || strspn(hash, "0123456789abcdef") != 2 * MCP_SHA256_LEN) {
        return "MCPOAuthClientSecretHash takes 64 hex digits: make a secret with  openssl rand -hex 32  and hash it "
               "with  printf %s SECRET | sha256sum";
    }
    client->secret_hash = hash;
    client->auth_method = "client_secret_basic";
    return NULL;
}

const char *mcp_set_client_jwks(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err, *path;
    mcp_client_t *client = section_of(cmd, &err);
    mcp_url_t url;
    char *text = NULL;

    if (!client) {
        return err;
    }
    client->auth_method = "private_key_jwt";
    if (mcp_url_parse(cmd->pool, arg, &url) == APR_SUCCESS && !strcmp(url.scheme, "https")) {
        client->jwks_uri = arg;
        return NULL;
    }
    path = ap_server_root_relative(cmd->pool, arg);
    err = path ? read_file(cmd->pool, path, MCP_CLIENT_JWKS_MAX, &text) : "is no path";
    if (!err && text && !mcp_jwks_parse(cmd->temp_pool, text, strlen(text), &err)) {
        err = apr_pstrcat(cmd->pool, path, " ", err, NULL);
    }
    else if (!err) {
        client->jwks = text;
    }
    return err ? apr_pstrcat(cmd->pool, "MCPOAuthClientJWKS: ", err, NULL) : NULL;
}

/* ---- setters: registration and limits ---- */

const char *mcp_set_registration(cmd_parms *cmd, void *dummy, const char *mode, const char *ref)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    const char *err;

    if (!strcasecmp(mode, "token") && ref) {
        err = mcp_secret_check(cmd->pool, ref);
        if (err) {
            return apr_pstrcat(cmd->pool, "MCPOAuthRegistration: ", err, NULL);
        }
        conf->registration = MCP_REGISTRATION_TOKEN;
        conf->registration_ref = ref;
        return NULL;
    }
    if (ref || (strcasecmp(mode, "open") && strcasecmp(mode, "off"))) {
        return "MCPOAuthRegistration takes open, off, or token and where it is: file:, env: or exec:";
    }
    conf->registration = strcasecmp(mode, "off") ? MCP_REGISTRATION_OPEN : MCP_REGISTRATION_OFF;
    return NULL;
}

const char *mcp_set_limit(cmd_parms *cmd, void *dummy, const char *which, const char *text)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    mcp_rate_t rate = { 1, 0, 1 };
    const char *err = strcasecmp(text, "none") ? mcp_rate_parse(text, &rate) : NULL;
    int known = 0;

    if (err) {
        return apr_psprintf(cmd->pool, "MCPOAuthLimit: \"%s\" %s", text, err);
    }
    for (int i = 0; i < MCP_LIMIT_COUNT; i++) {
        if (!strcasecmp(which, "all") || !strcasecmp(which, limit_names[i])) {
            conf->rate[i] = rate;
            known = 1;
        }
    }
    return known ? NULL : "MCPOAuthLimit takes register, authorize, token or all, and a rate such as 300/min, or none";
}

const char *mcp_set_limit_shared(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    char *address = apr_pstrdup(cmd->pool, arg), *mask = strchr(address, '/');
    apr_ipsubnet_t *range;

    if (mask) {
        *mask++ = '\0';
    }
    if (apr_ipsubnet_create(&range, address, mask, cmd->pool) != APR_SUCCESS) {
        return apr_psprintf(cmd->pool, "MCPOAuthLimitShared: \"%s\" is not an address range such as 160.79.104.0/21",
                            arg);
    }
    if (!conf->shared_ranges) {
        conf->shared_ranges = apr_array_make(cmd->pool, 4, sizeof(apr_ipsubnet_t *));
    }
    APR_ARRAY_PUSH(conf->shared_ranges, apr_ipsubnet_t *) = range;
    return NULL;
}
