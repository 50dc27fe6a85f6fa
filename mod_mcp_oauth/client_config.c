/* SPDX-License-Identifier: Apache-2.0 */
/* Directives about clients: metadata documents, clients known beforehand, and who may register. */

#include "oauth.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_core.h>

#include "mcp_json.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

#define CA_MAX (1024 * 1024)

static mcp_clients_conf_t *conf_of(cmd_parms *cmd)
{
    mcp_oauth_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_oauth_module);

    return conf->clients;
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
    if (!*name || *name == '.'
        || strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") != strlen(name)) {
        return apr_psprintf(cmd->pool, "%s: \"%s\" is neither a host name nor *. and one",
                            cmd->cmd->name, arg);
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
    const char *err = path ? mcp_read_file(cmd->pool, path, CA_MAX, &text, NULL) : "is no path";

    conf_of(cmd)->metadata_ca_file = path;
    conf_of(cmd)->metadata_ca_pem = err ? NULL : text;
    return err ? apr_pstrcat(cmd->pool, "MCPOAuthClientMetadataCAFile: ", err, NULL) : NULL;
}

const char *mcp_set_metadata_proxy(cmd_parms *cmd, void *dummy, const char *arg)
{
    mcp_url_t url;

    if (mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || strcmp(url.scheme, "http")
        || url.query || url.fragment) {
        return "MCPOAuthClientMetadataProxy takes http://HOST:PORT";
    }
    conf_of(cmd)->metadata_proxy = arg;
    return NULL;
}

const char *mcp_set_metadata_logos(cmd_parms *cmd, void *dummy, int on)
{
    conf_of(cmd)->metadata_logos = on;
    return NULL;
}

const char *mcp_set_metadata_file(cmd_parms *cmd, void *dummy, const char *url, const char *file)
{
    mcp_clients_conf_t *conf = conf_of(cmd);
    const char *path = ap_server_root_relative(cmd->pool, file), *err, *id;
    mcp_pinned_t pin = { .url = url };
    json_t *doc;
    char *text = NULL;

    err = path ? mcp_read_file(cmd->pool, path, MCP_METADATA_MAX, &text, NULL) : "is no path";
    if (err || !text) {
        return apr_pstrcat(cmd->pool, "MCPOAuthClientMetadataFile: ", err, NULL);
    }
    doc = mcp_json_parse(cmd->temp_pool, text, strlen(text), MCP_METADATA_MAX);
    id = doc ? mcp_json_str(doc, "client_id") : NULL;
    if (!id || strcmp(id, url)) {
        return apr_psprintf(cmd->pool,
                            "MCPOAuthClientMetadataFile: %s is not the metadata document of %s",
                            path, url);
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
        return "<MCPOAuthClient ID> takes a client_id without blanks, colons and bars, not "
               "beginning with mcp or https";
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
    return err ? err : mcp_client_check(cmd->pool, client);
}

static mcp_client_t *section_of(cmd_parms *cmd, const char **err)
{
    mcp_client_t *client = conf_of(cmd)->section;

    *err = client ? NULL
                  : apr_pstrcat(cmd->pool, cmd->cmd->name,
                                " belongs into a <MCPOAuthClient> section", NULL);
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

const char *mcp_set_client_logo(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *err, *path;
    mcp_client_t *client = section_of(cmd, &err);

    if (!client) {
        return err;
    }
    path = ap_server_root_relative(cmd->pool, arg);
    err = path ? mcp_client_logo_read(cmd->pool, path, &client->logo) : "is no path";
    return err ? apr_pstrcat(cmd->pool, "MCPOAuthClientLogo: ", err, NULL) : NULL;
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
    if (strlen(hash) != 2 * MCP_SHA256_LEN
        || strspn(hash, "0123456789abcdef") != 2 * MCP_SHA256_LEN) {
        return "MCPOAuthClientSecretHash takes 64 hex digits: make a secret with  openssl rand "
               "-hex 32  and hash it with  printf %s SECRET | sha256sum";
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
    err = path ? mcp_read_file(cmd->pool, path, MCP_CLIENT_JWKS_MAX, &text, NULL) : "is no path";
    if (!err && text && !mcp_jwks_parse(cmd->temp_pool, text, strlen(text), &err)) {
        err = apr_pstrcat(cmd->pool, path, " ", err, NULL);
    }
    else if (!err) {
        client->jwks = text;
    }
    return err ? apr_pstrcat(cmd->pool, "MCPOAuthClientJWKS: ", err, NULL) : NULL;
}

/* ---- setters: registration ---- */

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
        return "MCPOAuthRegistration takes open, off, or token and where it is: file:, env: or "
               "exec:";
    }
    conf->registration = strcasecmp(mode, "off") ? MCP_REGISTRATION_OPEN : MCP_REGISTRATION_OFF;
    return NULL;
}
