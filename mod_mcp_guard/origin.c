/* SPDX-License-Identifier: Apache-2.0 */
/* Browsers: Origin against the allow-list on every transport path (TR-1, T19), preflights, CORS
 * headers (W19). */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define ALLOW_METHODS "GET, POST, DELETE, OPTIONS"
#define REQUESTED_HEADERS_MAX 1024

static void add_origin(apr_array_header_t *origins, const char *origin)
{
    int i;

    for (i = 0; origin && i < origins->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(origins, i, const char *), origin)) {
            return;
        }
    }
    if (origin) {
        APR_ARRAY_PUSH(origins, const char *) = origin;
    }
}

/* The origin of one of our own URLs. On loopback its other names too: a page at
 * http://localhost:8080 comes from whoever serves that port, and people type either name. */
static void add_own(apr_pool_t *p, apr_array_header_t *origins, const char *uri)
{
    static const char *const names[] = { "localhost", "127.0.0.1", "[::1]" };
    mcp_url_t url;
    int i;

    if (!uri || mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return;
    }
    add_origin(origins, mcp_url_origin(p, &url));
    if (!mcp_url_is_loopback(&url)) {
        return;
    }
    for (i = 0; i < 3; i++) {
        mcp_url_t alias;
        const char *text = apr_psprintf(p, "%s://%s:%d", url.scheme, names[i], url.port);

        if (mcp_url_parse(p, text, &alias) == APR_SUCCESS) {
            add_origin(origins, mcp_url_origin(p, &alias));
        }
    }
}

void mcp_guard_collect_origins(apr_pool_t *p, mcp_guard_server_t *conf)
{
    const mcp_shared_conf_t *shared = conf->shared;
    int i;

    conf->any_origin = 0;
    conf->origins = apr_array_make(p, 8, sizeof(const char *));
    for (i = 0; shared->origins && i < shared->origins->nelts; i++) {
        const char *origin = APR_ARRAY_IDX(shared->origins, i, const char *);

        if (!strcmp(origin, "*")) {
            conf->any_origin = 1;
        }
        else {
            add_origin(conf->origins, origin);
        }
    }
    add_own(p, conf->origins, shared->issuer);
    for (i = 0; shared->resources && i < shared->resources->nelts; i++) {
        add_own(p, conf->origins, APR_ARRAY_IDX(shared->resources, i, mcp_resource_t).uri);
    }
}

/* Browsers send scheme and host in lower case and leave out the default port: a plain comparison
 * will do. "null" (a sandboxed or local page) is nobody: not even "*" lets it in (T19). */
static int is_allowed(const mcp_guard_server_t *conf, const char *origin)
{
    int i;

    for (i = 0; i < conf->origins->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(conf->origins, i, const char *), origin)) {
            return 1;
        }
    }
    return conf->any_origin && strcmp(origin, "null") && !strpbrk(origin, ", \t\"<>")
           && strstr(origin, "://");
}

/* Access-Control-Allow-Headers: what the browser wants to send if it is a plain list of names
 * (Mcp-Param-* cannot be known beforehand, TR-9; reserved names are scrubbed whoever sends them),
 * else the usual ones. */
static const char *allowed_headers(request_rec *r)
{
    const char *wanted = apr_table_get(r->headers_in, "Access-Control-Request-Headers");
    const char *c;

    if (!wanted || !*wanted || strlen(wanted) > REQUESTED_HEADERS_MAX) {
        return MCP_CORS_ALLOW_HEADERS;
    }
    for (c = wanted; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("-_, ", *c)) {
            return MCP_CORS_ALLOW_HEADERS;
        }
    }
    return wanted;
}

static int answer_preflight(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Methods", ALLOW_METHODS);
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Headers", allowed_headers(r));
    apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", "7200");
    return mcp_guard_no_content(r);
}

int mcp_guard_check_origin(request_rec *r)
{
    const mcp_guard_dir_t *dir = mcp_guard_guarded(r);
    const mcp_guard_server_t *conf;
    const char *origin;
    int duplicate = 0;

    /* Command line clients send none (TR-1). */
    if (!dir || !(origin = mcp_header_once(r, "Origin", &duplicate))) {
        return DECLINED;
    }
    if (mcp_guard_is_public(r)) {
        return DECLINED; /* metadata and mod_mcp_oauth's endpoints have a policy of their own */
    }
    conf = ap_get_module_config(r->server->module_config, &mcp_guard_module);
    /* httpd joins repeated headers with a comma, which no origin has. */
    if (duplicate || !conf->origins || !is_allowed(conf, origin)) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0410) "refused Origin %s; MCPAllowOrigin would let it in",
                      mcp_log_text(r->pool, origin));
        return mcp_guard_origin_refused(r);
    }
    mcp_guard_request(r)->cors_origin = origin;
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", origin);
    apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers", MCP_CORS_EXPOSE_HEADERS);
    apr_table_mergen(r->err_headers_out, "Vary", "Origin");
    /* A preflight never carries a token: the guard answers, and nothing reaches the backend. */
    if (r->method_number == M_OPTIONS
        && apr_table_get(r->headers_in, "Access-Control-Request-Method")) {
        return answer_preflight(r);
    }
    return DECLINED;
}

void mcp_guard_clean_cors(request_rec *r)
{
    const char *exposed = apr_table_get(r->headers_out, "Access-Control-Expose-Headers");

    /* Two Access-Control-Allow-Origin would make the browser refuse the answer. */
    if (exposed) {
        apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers",
                       apr_pstrcat(r->pool, MCP_CORS_EXPOSE_HEADERS ", ", exposed, NULL));
        apr_table_unset(r->headers_out, "Access-Control-Expose-Headers");
    }
    apr_table_unset(r->headers_out, "Access-Control-Allow-Origin");
    apr_table_unset(r->headers_out, "Access-Control-Allow-Credentials");
    apr_table_unset(r->headers_out, "Access-Control-Allow-Methods");
    apr_table_unset(r->headers_out, "Access-Control-Allow-Headers");
}
