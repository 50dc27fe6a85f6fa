/* SPDX-License-Identifier: Apache-2.0 */
/* What both modules do at start-up with the directives that they share. */

#include <httpd.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_config.h"
#include "mcp_crypto.h"
#include "mcp_health.h"
#include "mcp_log.h"
#include "mcp_metrics.h"
#include "mcp_signing.h"

/* The name carries the layout's version: both modules must be of one release. */
#define KEYRING_USERDATA "mcp-keyring/1"

apr_status_t mcp_shared_pre_config(apr_pool_t *pconf)
{
    apr_status_t rv = mcp_store_pre_config(pconf);

    return rv == APR_SUCCESS ? mcp_audit_pre_config(pconf) : rv;
}

void mcp_shared_child_init(mcp_store_t *store, apr_pool_t *pchild)
{
    mcp_crypto_child_init();
    mcp_store_child_init(store, pchild);
    mcp_audit_child_init(pchild);
    mcp_health_child_init(pchild);
}

int mcp_is_config_test(void)
{
    return ap_state_query(AP_SQ_RUN_MODE) == AP_SQ_RM_CONFIG_TEST;
}

apr_status_t mcp_shared_post_config(const mcp_shared_conf_t *global, mcp_keyring_t **ring, mcp_store_t **store,
                                    server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    mcp_store_conf_t store_conf = global->store;
    void *found = NULL;
    apr_status_t rv;

    if (!global->key_file) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     MCP_LOG(0130) "MCPKeyFile is missing: make one with  "
                                   "(umask 077; echo \"k1 $(openssl rand -base64 32)\" > FILE)  and name it in the main server");
        return APR_EGENERAL;
    }
    if (!store_conf.provider) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s,
                     MCP_LOG(0131) "MCPStore is missing: MCPStore shmcb for one host, MCPStore memcache:HOST:PORT "
                                   "or redis:HOST:PORT for several");
        return APR_EGENERAL;
    }
    store_conf.timeout = mcp_store_timeout(global);

    apr_pool_userdata_get(&found, KEYRING_USERDATA, pconf);
    if (!found) {
        const char *err = mcp_keyring_load((mcp_keyring_t **)&found, global->key_file, pconf);

        if (err) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, MCP_LOG(0132) "MCPKeyFile: %s", err);
            return APR_EGENERAL;
        }
        apr_pool_userdata_setn(found, KEYRING_USERDATA, NULL, pconf);
    }
    *ring = found;
    rv = mcp_store_open(store, &store_conf, *ring, s, pconf, ptemp);
    if (rv == APR_SUCCESS) {
        rv = mcp_signing_open(global->signing, s, pconf);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_metrics_open(s, pconf);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_health_open(*store, mcp_keyring_active_kid(*ring), s, pconf);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_span_open(&global->spans, s, pconf);
    }
    return rv == APR_SUCCESS ? mcp_audit_open(&global->audit, *ring, s, pconf) : rv;
}
