/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of the endpoints that anybody may call, counted in shared memory (field-lessons 22, T31).
 */

#include "oauth.h"

#include <apr_network_io.h>
#include <apr_strings.h>
#include <http_log.h>

#include "mcp_log.h"

APLOG_USE_MODULE(mcp_oauth);

#define LIMIT_ENTRIES 65536
#define ADDRESS_FACTOR 10 /* how much more than for one purpose an address has in all */

static const char *const names[MCP_LIMIT_COUNT] = { "register", "authorize", "token" };
static const char *const default_rates[MCP_LIMIT_COUNT] = { "300/min", "600/min", "600/min" };

/* One for all hosts; made in post_config, inherited by the children. */
static mcp_limit_table_t *limits;

/* The module may stay loaded over a restart, which takes the table away. */
static apr_status_t forget_limits(void *dummy)
{
    limits = NULL;
    return APR_SUCCESS;
}

apr_status_t mcp_clients_limit_post_config(mcp_clients_conf_t *conf, server_rec *s,
                                           apr_pool_t *pconf)
{
    apr_status_t rv;

    for (int i = 0; i < MCP_LIMIT_COUNT; i++) {
        if (!conf->rate[i].count) {
            mcp_rate_parse(default_rates[i], &conf->rate[i]);
        }
    }
    if (!limits) {
        rv = mcp_limit_create(&limits, LIMIT_ENTRIES, pconf);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s,
                         MCP_LOG(0291) "no shared memory for the limits");
            return rv;
        }
        apr_pool_cleanup_register(pconf, NULL, forget_limits, apr_pool_cleanup_null);
    }
    return APR_SUCCESS;
}

static int in_shared_range(request_rec *r, const mcp_clients_conf_t *conf)
{
    for (int i = 0; conf->shared_ranges && i < conf->shared_ranges->nelts; i++) {
        if (apr_ipsubnet_test(APR_ARRAY_IDX(conf->shared_ranges, i, apr_ipsubnet_t *),
                              r->useragent_addr)) {
            return 1;
        }
    }
    return 0;
}

int mcp_clients_limit(request_rec *r, const mcp_oauth_conf_t *conf, mcp_limit_e which,
                      const char *what)
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
    if (mcp_limit_check(limits, &rate, names[which],
                        what ? apr_pstrcat(r->pool, address, " ", what, NULL) : address,
                        apr_time_now(), &state)) {
        return OK;
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, MCP_LOG(0292) "limit for %s exceeded by %s",
                  names[which], address);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_TIME_T_FMT, apr_time_sec(state.retry) + 1));
    return HTTP_TOO_MANY_REQUESTS;
}

/* ---- setters ---- */

static mcp_clients_conf_t *conf_of(cmd_parms *cmd)
{
    mcp_oauth_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_oauth_module);

    return conf->clients;
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
        if (!strcasecmp(which, "all") || !strcasecmp(which, names[i])) {
            conf->rate[i] = rate;
            known = 1;
        }
    }
    return known ? NULL
                 : "MCPOAuthLimit takes register, authorize, token or all, and a rate such as "
                   "300/min, or none";
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
        return apr_psprintf(
            cmd->pool,
            "MCPOAuthLimitShared: \"%s\" is not an address range such as 160.79.104.0/21", arg);
    }
    if (!conf->shared_ranges) {
        conf->shared_ranges = apr_array_make(cmd->pool, 4, sizeof(apr_ipsubnet_t *));
    }
    APR_ARRAY_PUSH(conf->shared_ranges, apr_ipsubnet_t *) = range;
    return NULL;
}
