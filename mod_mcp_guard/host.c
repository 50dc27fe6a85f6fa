/* SPDX-License-Identifier: Apache-2.0 */
/* Host against an allow-list: a page that makes its own name point to this machine (DNS rebinding) is at home in the
 * browser's eyes and need not send an Origin, but it cannot name another host than its own (T19). */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_log.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

const char *mcp_set_allow_host(cmd_parms *cmd, void *dir, const char *arg)
{
    mcp_guard_server_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_guard_module);

    if (!*arg || strpbrk(arg, "/:@ ") || (arg[0] == '*' && arg[1])) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes names of hosts, without scheme and port, or *, not ", arg,
                           NULL);
    }
    if (!conf->hosts) {
        conf->hosts = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(conf->hosts, const char *) = arg;
    return NULL;
}

static void add(apr_array_header_t *hosts, const char *name)
{
    if (name && *name) {
        APR_ARRAY_PUSH(hosts, const char *) = name;
    }
}

/* Names that ServerName and ServerAlias give this virtual host. */
static void add_server_names(apr_array_header_t *hosts, const server_rec *s)
{
    int i;

    add(hosts, s->server_hostname);
    for (i = 0; s->names && i < s->names->nelts; i++) {
        add(hosts, APR_ARRAY_IDX(s->names, i, const char *));
    }
}

void mcp_guard_collect_hosts(apr_pool_t *p, mcp_guard_server_t *conf, const server_rec *s)
{
    const mcp_shared_conf_t *shared = conf->shared;
    apr_array_header_t *own = apr_array_make(p, 8, sizeof(const char *));
    mcp_url_t url;
    int local = 1;
    int i;

    if (shared->issuer && mcp_url_parse(p, shared->issuer, &url) == APR_SUCCESS) {
        local = mcp_url_is_loopback(&url);
        add(own, url.host);
    }
    for (i = 0; shared->resources && i < shared->resources->nelts; i++) {
        if (mcp_url_parse(p, APR_ARRAY_IDX(shared->resources, i, mcp_resource_t).uri, &url) == APR_SUCCESS) {
            local = local && mcp_url_is_loopback(&url);
            add(own, url.host);
        }
    }
    /* Before a public name there may be a proxy that calls us by another one: checked only when asked for. */
    if (!conf->hosts && !(local && own->nelts)) {
        return;
    }
    if (local) {
        add(own, "localhost");
        add(own, "127.0.0.1");
        add(own, "[::1]");
        add(own, "::1");
    }
    add_server_names(own, s);
    conf->hosts = conf->hosts ? apr_array_append(p, own, conf->hosts) : own;
}

static int is_allowed(const mcp_guard_server_t *conf, const char *host)
{
    int i;

    for (i = 0; host && i < conf->hosts->nelts; i++) {
        const char *name = APR_ARRAY_IDX(conf->hosts, i, const char *);

        if (!ap_cstr_casecmp(name, host) || !strcmp(name, "*")) {
            return 1;
        }
    }
    return 0;
}

int mcp_guard_check_host(request_rec *r)
{
    const mcp_guard_server_t *conf =
        ap_get_module_config(r->server->module_config, &mcp_guard_module);

    if (!conf->hosts || r->main || !mcp_guard_guarded(r) || mcp_guard_is_public(r) || is_allowed(conf, r->hostname)) {
        return DECLINED;
    }
    mcp_guard_note_error(r, "host");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0411) "refused Host %s; MCPAllowHost would let it in",
                  r->hostname ? mcp_log_text(r->pool, r->hostname) : "(none)");
    return mcp_rpc_refuse(r, HTTP_FORBIDDEN, -32000, "Host not allowed", NULL);
}
