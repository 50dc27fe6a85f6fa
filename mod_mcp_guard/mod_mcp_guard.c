/* SPDX-License-Identifier: Apache-2.0 */
/* mod_mcp_guard: lets only holders of a sealed token through to an MCP server behind mod_proxy.
 * This file is the table of contents: which hook does what, and where (guard.h). */

#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>
#include <apr_optional_hooks.h>

#include "guard.h"
#include "mcp_health.h"
#include "mcp_http.h"
#include "mcp_lint.h"
#include "mcp_log.h"
#include "mcp_status.h"

/* mod_proxy's optional hook, declared here so that the guard neither builds nor loads with it. */
APR_DECLARE_EXTERNAL_HOOK(proxy, AP, int, fixups, (request_rec * r))

mcp_guard_request_t *mcp_guard_known(request_rec *r)
{
    return ap_get_module_config(r->request_config, &mcp_guard_module);
}

mcp_guard_request_t *mcp_guard_request(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);

    if (!req) {
        req = apr_pcalloc(r->pool, sizeof(*req));
        ap_set_module_config(r->request_config, &mcp_guard_module, req);
    }
    return req;
}

const request_rec *mcp_guard_came_from(const request_rec *r)
{
    return r->main ? r->main : r->prev;
}

static const mcp_shared_conf_t *shared_conf(server_rec *s)
{
    const mcp_guard_server_t *conf = ap_get_module_config(s->module_config, &mcp_guard_module);

    return conf->shared;
}

/* ---- start-up ---- */

static int pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp)
{
    mcp_guard_config_begin(pconf);
    return mcp_shared_pre_config(pconf) == APR_SUCCESS ? OK : HTTP_INTERNAL_SERVER_ERROR;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int status;

    mcp_pins_check_config(s, ptemp);
    status = mcp_guard_config_check(s, ptemp);
    return status == OK ? mcp_guard_config_test(s, pconf) : status;
}

/* As root, before the children exist. */
static int post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    mcp_keyring_t *ring = NULL;
    mcp_store_t *store = NULL;

    /* The first of two readings of the configuration at start-up is thrown away. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !mcp_guard_in_use(s)) {
        return OK;
    }
    if (mcp_shared_post_config(shared_conf(s), &ring, &store, s, pconf, ptemp) != APR_SUCCESS
        || mcp_guard_config_finish(s, pconf) != APR_SUCCESS || mcp_pins_open(pconf) != APR_SUCCESS) {
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    mcp_guard_upstream_init(store);
    mcp_guard_authn_init(ring, store);
    mcp_guard_streams_init(store);
    return OK;
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    mcp_guard_child_init(pchild);
}

/* At once: nobody gets an answer any more, and who waits for a silent store would wait for as long as it likes. */
static void child_stopping(apr_pool_t *pchild, int graceful)
{
    if (!graceful) {
        mcp_guard_store_hang_up();
    }
}

/* ---- protected resource metadata, answered by whichever of our modules is asked first ---- */

static int claim_metadata(request_rec *r)
{
    const mcp_resource_t *resource;
    mcp_guard_request_t *req;

    if (r->main || !mcp_prm_match(r, shared_conf(r->server), &resource)) {
        return DECLINED;
    }
    req = mcp_guard_request(r);
    req->own_handler = MCP_GUARD_PRM_HANDLER;
    req->metadata = resource;
    r->handler = MCP_GUARD_PRM_HANDLER;
    return OK;
}

/* No file lies behind it. */
static int no_storage(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    return req && req->own_handler ? OK : DECLINED;
}

static int answer_metadata(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    if (!req || !req->own_handler || strcmp(req->own_handler, MCP_GUARD_PRM_HANDLER)) {
        return DECLINED;
    }
    return mcp_prm_answer(r, shared_conf(r->server), req->metadata);
}

/* Where mod_mcp_oauth is in use it answers, since it can ask the identity providers. */
static int answer_health(request_rec *r)
{
    return mcp_health_handler(r, shared_conf(r->server)->ready, NULL);
}

static void register_hooks(apr_pool_t *p)
{
    static const char *const after_rewrite[] = { "mod_rewrite.c", NULL };
    static const char *const before_proxy[] = { "mod_proxy.c", NULL };
    static const char *const before_all[] = { "mod_proxy.c", "mod_rewrite.c", "mod_alias.c", NULL };

    ap_hook_pre_config(pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(child_stopping, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_translate_name(claim_metadata, NULL, before_all, APR_HOOK_FIRST);
    ap_hook_map_to_storage(no_storage, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_handler(answer_metadata, NULL, NULL, APR_HOOK_FIRST);

    ap_hook_header_parser(mcp_guard_check_host, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_header_parser(mcp_guard_check_origin, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_check_access_ex(mcp_guard_access_ex, NULL, NULL, APR_HOOK_REALLY_FIRST,
                            AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_force_authn(mcp_guard_force_authn, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_check_authn(mcp_guard_check_authn, NULL, NULL, APR_HOOK_MIDDLE,
                        AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_check_authz(mcp_guard_check_authz, NULL, NULL, APR_HOOK_REALLY_FIRST,
                        AP_AUTH_INTERNAL_PER_CONF);
    mcp_guard_register_authz(p);

    ap_hook_fixups(mcp_guard_assert_session, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_fixups(mcp_guard_scrub, after_rewrite, before_proxy, APR_HOOK_FIRST);
    ap_hook_fixups(mcp_guard_upstream_token, NULL, NULL, APR_HOOK_LAST);
    ap_hook_fixups(mcp_guard_assertion, NULL, NULL, APR_HOOK_LAST);
    ap_hook_fixups(mcp_guard_check_proxy, NULL, NULL, APR_HOOK_REALLY_LAST);
    APR_OPTIONAL_HOOK(proxy, fixups, mcp_guard_inject, NULL, NULL, APR_HOOK_LAST);

    ap_hook_handler(answer_health, NULL, NULL, APR_HOOK_LAST);
    mcp_lint_hook();
    mcp_status_hook();

    mcp_rpc_register_filter(p);
    mcp_condition_hooks(p);
    mcp_calls_register_hooks(p);
    mcp_lists_register(p);
    mcp_limit_register_hooks(p);
    mcp_guard_register_filter(p);
    ap_hook_insert_filter(mcp_guard_insert_filter, NULL, NULL, APR_HOOK_FIRST);
    mcp_stream_register_hooks(p);
}

module AP_MODULE_DECLARE_DATA mcp_guard_module = {
    STANDARD20_MODULE_STUFF,
    mcp_guard_create_dir,
    mcp_guard_merge_dir,
    mcp_guard_create_server,
    mcp_guard_merge_server,
    mcp_guard_commands,
    register_hooks,
};
