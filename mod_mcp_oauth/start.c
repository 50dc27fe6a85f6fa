/* SPDX-License-Identifier: Apache-2.0 */
/* Start-up: what of all virtual hosts is checked, read and opened before the first request; and the end. */

#include "oauth.h"

#include "upstream_tokens.h"

#include <http_core.h>
#include <http_log.h>
#include <http_main.h>

#include "mcp_log.h"
#include "mcp_signing.h"

APLOG_USE_MODULE(mcp_oauth);

int mcp_oauth_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    return mcp_shared_pre_config(pconf) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

/* What start-up would stumble over: on a graceful restart that ends the server, so configtest has to find it. */
static int test_secrets(server_rec *main_server, const apr_array_header_t *signing, apr_pool_t *pconf)
{
    for (server_rec *s = main_server; s; s = s->next) {
        mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);

        if (conf->enabled
            && (mcp_clients_read_secrets(conf->clients, s, pconf) != APR_SUCCESS
                || mcp_upstream_read_secrets(conf->providers, s, pconf) != APR_SUCCESS
                || mcp_signing_open(signing, s, pconf) != APR_SUCCESS)) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

int mcp_oauth_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                           server_rec *main_server)
{
    const mcp_oauth_conf_t *global = ap_get_module_config(main_server->module_config, &mcp_oauth_module);
    const mcp_provider_t *provider = NULL;
    int enabled = 0;

    for (server_rec *s = main_server; s; s = s->next) {
        mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);
        const char *why = mcp_oauth_finish(pconf, conf);

        enabled |= conf->enabled;
        if (conf->providers && conf->providers->nelts) {
            provider = APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *);
        }

        for (server_rec *other = main_server; !why && conf->enabled && other != s; other = other->next) {
            const mcp_oauth_conf_t *before =
                ap_get_module_config(other->module_config, &mcp_oauth_module);

            why = before->enabled ? mcp_oauth_same_names(pconf, conf, before) : NULL;
        }
        if (why) {
            ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, 0, s, MCP_LOG(0202) "%s: %s",
                         s->server_hostname ? s->server_hostname : "server", why);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (provider && !enabled) {
        ap_log_error(APLOG_MARK, APLOG_WARNING | APLOG_STARTUP, 0, main_server,
                     MCP_LOG(0203) "<MCPProvider %s>: no host has MCPOAuth On, so that nobody can sign in. Add it to "
                                   "the host of MCPIssuer",
                     provider->name);
    }
    return mcp_is_config_test() ? test_secrets(main_server, global->shared->signing, pconf) : OK;
}

int mcp_oauth_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp,
                          server_rec *main_server)
{
    mcp_oauth_conf_t *global = ap_get_module_config(main_server->module_config, &mcp_oauth_module);
    apr_array_header_t *done = NULL;
    mcp_keyring_t *ring = NULL;
    mcp_store_t *store = NULL;

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK; /* the first of the two passes at start-up: thrown away */
    }
    for (server_rec *s = main_server; s; s = s->next) {
        mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);

        if (!conf->enabled) {
            continue;
        }
        if (!store
            && mcp_shared_post_config(global->shared, &ring, &store, main_server, pconf, ptemp)
                   != APR_SUCCESS) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        conf->ring = ring;
        conf->store = store;
        if (mcp_clients_post_config(conf->clients, s, pconf) != APR_SUCCESS) {
            return HTTP_INTERNAL_SERVER_ERROR;
        }
        if (conf->providers != done) { /* virtual hosts inherit the same sections */
            if (mcp_upstream_post_config(conf->providers, s, pconf) != APR_SUCCESS) {
                return HTTP_INTERNAL_SERVER_ERROR;
            }
            done = conf->providers;
        }
    }
    return OK;
}

void mcp_oauth_child_init(apr_pool_t *pchild, server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);

        if (conf->store) {
            mcp_shared_child_init(conf->store, pchild);
            mcp_upstream_child_init(pchild, main_server);
            mcp_clients_child_init(pchild);
            mcp_tokens_child_init(main_server);
            return;
        }
    }
}

/* At once: nobody gets an answer any more, and who waits for a silent store would wait for as long as it likes. */
void mcp_oauth_child_stopping(apr_pool_t *pchild, int graceful)
{
    for (server_rec *s = graceful ? NULL : ap_server_conf; s; s = s->next) {
        const mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);

        if (conf->store) {
            mcp_store_hang_up(conf->store);
            return;
        }
    }
}
