/* SPDX-License-Identifier: Apache-2.0 */
/* What is configured about clients, as a whole: defaults, inheritance, checks, and what post_config
 * has to do. */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_secret.h"

APLOG_USE_MODULE(mcp_oauth);

mcp_clients_conf_t *mcp_clients_create(apr_pool_t *p)
{
    mcp_clients_conf_t *conf = apr_pcalloc(p, sizeof(*conf));

    conf->metadata = -1;
    conf->metadata_logos = -1;
    conf->registration = -1;
    return conf;
}

mcp_clients_conf_t *mcp_clients_merge(apr_pool_t *p, const mcp_clients_conf_t *base,
                                      const mcp_clients_conf_t *add)
{
    mcp_clients_conf_t *conf = apr_pmemdup(p, base, sizeof(*base));

#define TAKE(member) \
    if (add->member) { \
        conf->member = add->member; \
    }
    if (add->metadata >= 0) {
        conf->metadata = add->metadata;
    }
    if (add->metadata_logos >= 0) {
        conf->metadata_logos = add->metadata_logos;
    }
    if (add->registration >= 0) {
        conf->registration = add->registration;
        conf->registration_ref = add->registration_ref;
    }
    TAKE(metadata_hosts)
    TAKE(metadata_ca_file)
    TAKE(metadata_ca_pem)
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

const char *mcp_client_check(apr_pool_t *p, const mcp_client_t *client)
{
    if (!client->redirect_uris->nelts) {
        return apr_psprintf(p, "<MCPOAuthClient %s> has no MCPOAuthClientRedirectURI", client->id);
    }
    if (client->secret_hash && (client->jwks || client->jwks_uri)) {
        return apr_psprintf(p, "<MCPOAuthClient %s> has both a secret and keys: leave one out",
                            client->id);
    }
    return NULL;
}

const char *mcp_clients_check(apr_pool_t *p, const mcp_clients_conf_t *conf)
{
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        const char *why = mcp_client_check(p, APR_ARRAY_IDX(conf->configured, i, mcp_client_t *));

        if (why) {
            return why;
        }
    }
    if (conf->metadata_hosts && conf->metadata == 0) {
        return "MCPOAuthClientMetadataHosts has no effect while MCPOAuthClientMetadata is Off: "
               "leave one out";
    }
    if (conf->metadata_logos == 1 && conf->metadata == 0 && !conf->pinned) {
        return "MCPOAuthClientMetadataLogos has no effect while MCPOAuthClientMetadata is Off: "
               "leave one out";
    }
    return NULL;
}

void mcp_clients_child_init(apr_pool_t *pchild)
{
    mcp_client_documents_child_init(pchild);
    mcp_client_logos_child_init(pchild);
}

apr_status_t mcp_clients_read_secrets(mcp_clients_conf_t *conf, server_rec *s, apr_pool_t *pconf)
{
    if (conf->registration == MCP_REGISTRATION_TOKEN && !conf->registration_token) {
        const char *err = mcp_secret_load(pconf, conf->registration_ref, &conf->registration_token);

        if (err) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, MCP_LOG(0290) "MCPOAuthRegistration: %s", err);
            return APR_EGENERAL;
        }
    }
    return APR_SUCCESS;
}

apr_status_t mcp_clients_post_config(mcp_clients_conf_t *conf, server_rec *s, apr_pool_t *pconf)
{
    if (conf->metadata < 0) {
        conf->metadata = 1;
    }
    if (conf->registration < 0) {
        conf->registration = MCP_REGISTRATION_OPEN;
    }
    if (mcp_clients_read_secrets(conf, s, pconf) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    return mcp_clients_limit_post_config(conf, s, pconf);
}
