/* SPDX-License-Identifier: Apache-2.0 */
/* mod_mcp_oauth: an OAuth 2.1 authorization server for MCP clients that brokers the sign-in to an
 * OpenID provider. This file is the table of contents: which path is answered by which function,
 * and which hooks lead there. */

#include "oauth.h"

#include "connections.h"
#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "mcp_health.h"
#include "mcp_http.h"
#include "mcp_lint.h"
#include "mcp_metrics.h"
#include "mcp_span.h"
#include "mcp_status.h"

/* By this name mod_mcp_guard knows our endpoints, when they lie below a location that it guards, as
 * those of an MCP server at the root: they are for those who have no token yet. */
#define HANDLER "mcp-oauth"

typedef int handler_fn(request_rec *r, mcp_oauth_conf_t *conf);

/* Endpoints, below the issuer's path. Those of the reference gateway, so that an application that
 * is registered at the provider with its callback goes on working. */
static const struct {
    const char *path;
    handler_fn *answer;
} endpoints[] = {
    { "/authorize", mcp_authorize_handler },
    { "/consent", mcp_consent_handler },
    { "/signin", mcp_choice_handler },
    { "/oauth-callback", mcp_callback_handler },
    { "/oauth-callback/*", mcp_callback_handler },
    { "/token", mcp_token_handler },
    { "/register", mcp_register_handler },
    { "/revoke", mcp_revoke_handler },
    { "/jwks", mcp_jwks_handler },
    { "/connections", mcp_connections_handler },
    { "/signout", mcp_signout_handler },
    { MCP_CLIENT_LOGO_PATH "*", mcp_client_logo_handler },
    { MCP_BACKCHANNEL_PATH "*", mcp_backchannel_handler },
};

/* Where a request goes: made in translate_name, used in the handler. */
typedef struct {
    handler_fn *answer;
    const mcp_resource_t *resource; /* for its metadata; NULL there is an unknown one */
    const char *path;               /* as in the table above, for traces */
} route_t;

static int answer_prm(request_rec *r, mcp_oauth_conf_t *conf)
{
    const route_t *route = ap_get_module_config(r->request_config, &mcp_oauth_module);

    return mcp_prm_answer(r, conf->shared, route->resource);
}

/* A known path that ends with an asterisk stands for all that begin so and go on. */
static int path_is(const char *known, const char *path)
{
    apr_size_t len = strlen(known) - 1;

    return known[len] == '*' ? !strncmp(known, path, len) && path[len] : !strcmp(known, path);
}

/* Below "/signin/" only the names of providers are ours: a module that signs people in may have a
 * place of its own there. */
static int is_httpd_sign_in(const mcp_oauth_conf_t *conf, const char *path)
{
    static const char prefix[] = "/signin/";
    const mcp_provider_t *provider = NULL;

    if (!strncmp(path, prefix, sizeof(prefix) - 1)) {
        provider = mcp_provider_exactly(conf, path + sizeof(prefix) - 1);
    }
    return provider && provider->kind == MCP_PROVIDER_HTTPD;
}

static handler_fn *find(request_rec *r, const mcp_oauth_conf_t *conf,
                        const mcp_resource_t **resource, const char **path)
{
    apr_size_t len;
    int openid, known;

    if (!r->uri || *r->uri != '/') {
        return NULL;
    }
    *path = "/.well-known/*";
    if (conf->shared->issuer && mcp_prm_match(r, conf->shared, resource)) {
        return answer_prm;
    }
    if (!conf->enabled) {
        return NULL;
    }
    if (mcp_metadata_match(r->pool, conf, r->uri, &openid, &known)) {
        return mcp_metadata_handler;
    }
    len = strlen(conf->base_path);
    if (strncmp(r->uri, conf->base_path, len)) {
        return NULL;
    }
    for (apr_size_t i = 0; i < sizeof(endpoints) / sizeof(*endpoints); i++) {
        if (path_is(endpoints[i].path, r->uri + len)) {
            *path = endpoints[i].path;
            return endpoints[i].answer;
        }
    }
    *path = "/signin/*";
    return is_httpd_sign_in(conf, r->uri + len) ? mcp_httpd_sign_in_handler : NULL;
}

/* Before mod_proxy, mod_alias and mod_rewrite, so that no mapping of the MCP server can take an
 * endpoint away. */
static int translate_name(request_rec *r)
{
    const mcp_resource_t *resource = NULL;
    const char *path = NULL;
    handler_fn *answer = find(r, mcp_oauth_conf(r), &resource, &path);
    route_t *route;

    if (!answer) {
        return DECLINED;
    }
    route = apr_palloc(r->pool, sizeof(*route));
    route->answer = answer;
    route->resource = resource;
    route->path = path;
    ap_set_module_config(r->request_config, &mcp_oauth_module, route);
    r->handler = HANDLER;
    r->filename = apr_pstrdup(r->pool, r->uri); /* of no file: other modules want one to be set */
    return OK;
}

static int is_ours(request_rec *r)
{
    return ap_get_module_config(r->request_config, &mcp_oauth_module) != NULL;
}

/* No file, hence no directory walk and no MIME type. */
static int map_to_storage(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

static int type_checker(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

/* An audit log that has to be written and cannot (MCPAuditLog required): nothing is done that it would not tell. */
static int refuse_unaudited(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    if (accept && ap_strstr_c(accept, "text/html")) {
        return mcp_page_error(r, conf, HTTP_SERVICE_UNAVAILABLE, MCP_PAGE_UNAVAILABLE,
                              "the audit log cannot be written");
    }
    return mcp_send_unavailable(r, "the audit log cannot be written");
}

static int answer_metrics(request_rec *r)
{
    return mcp_metrics_handler(r, NULL);
}

static int answer_health(request_rec *r)
{
    return mcp_health_handler(r, mcp_oauth_conf(r)->shared->ready, mcp_upstream_probe);
}

/* Asks for the route and not for r->handler, which a SetHandler of an enclosing section may have
 * replaced. */
static int handler(request_rec *r)
{
    const route_t *route = ap_get_module_config(r->request_config, &mcp_oauth_module);

    if (!route) {
        return DECLINED;
    }
    if (mcp_span_is_on()) {
        mcp_span_watch(r);
    }
    return r->method_number == M_OPTIONS || route->resource || mcp_audit_is_ready()
               ? route->answer(r, mcp_oauth_conf(r))
               : refuse_unaudited(r, mcp_oauth_conf(r));
}

/* The span of a request to us. Who called is nobody that we know yet. */
static int export_span(request_rec *r)
{
    const route_t *route = ap_get_module_config(r->request_config, &mcp_oauth_module);
    const mcp_trace_t *trace;
    mcp_span_line_t line;

    if (!route || !mcp_span_is_on()) {
        return DECLINED;
    }
    trace = mcp_trace(r);
    if (!mcp_span_is_wanted(trace, 0)) {
        return DECLINED;
    }
    while (r->next) { /* an ErrorDocument */
        r = r->next;
    }
    mcp_span_begin(&line, trace, apr_pstrcat(r->pool, r->method, " ", route->path, NULL), r->request_time,
                   r->status >= 500);
    mcp_span_attributes(&line);
    if (r->status >= 500) {
        mcp_span_text(&line, "error.type", apr_itoa(r->pool, r->status));
    }
    mcp_span_http(&line, r, route->path);
    mcp_span_send(&line);
    return DECLINED;
}

static void register_hooks(apr_pool_t *p)
{
    mcp_tokens_register();
    ap_hook_pre_config(mcp_oauth_pre_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_config(mcp_oauth_check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(mcp_oauth_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(mcp_oauth_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_stopping(mcp_oauth_child_stopping, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_translate_name(translate_name, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(map_to_storage, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_type_checker(type_checker, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_handler(mcp_admin_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(answer_health, NULL, NULL, APR_HOOK_MIDDLE);
    mcp_lint_hook();
    mcp_status_hook();
    ap_hook_log_transaction(export_span, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(answer_metrics, NULL, NULL, APR_HOOK_LAST); /* mod_mcp_guard knows more */
}

module AP_MODULE_DECLARE_DATA mcp_oauth_module = {
    STANDARD20_MODULE_STUFF,
    NULL, /* per-directory configuration */
    NULL,
    mcp_oauth_create,
    mcp_oauth_merge,
    mcp_oauth_commands,
    register_hooks,
};
