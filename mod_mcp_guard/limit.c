/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: a call is counted once, and one too many is answered 429 (limit.h).
 *
 * What is counted by address alone is counted before anybody is authenticated, so that it holds for guessed tokens too;
 * everything else between authentication and Require, so that it holds for what Require refuses.
 */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>

#include "guard.h"
#include "mcp_log.h"

APLOG_USE_MODULE(mcp_guard);

#define TABLE_KEY "mcp-limits-1" /* another layout of mcp_limit_table_t gets another name */
#define TABLE_ENTRIES 131072     /* 1 MB; beyond so many keys whoever was idle the longest is forgiven */
#define TOO_MANY (-32000)

static mcp_limit_table_t *table;

/* ---- the table ---- */

/* It lives as long as the server's first process: a graceful restart must not forgive anybody. */
static int open_table(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    apr_pool_t *p = s->process->pool;
    void *found = NULL;
    apr_status_t rv;

    (void)pconf;
    (void)plog;
    (void)ptemp;
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG || !mcp_limit_in_use()) {
        return OK;
    }
    apr_pool_userdata_get(&found, TABLE_KEY, p);
    table = found;
    if (table) {
        return OK;
    }
    rv = mcp_limit_create(&table, TABLE_ENTRIES, p);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, MCP_LOG(0490) "no shared memory for the counts of MCPLimit");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    /* Not _setn: the key's text lies in this DSO, which is unloaded before the pool is asked again. */
    apr_pool_userdata_set(table, TABLE_KEY, NULL, p);
    return OK;
}

/* ---- keys ---- */

/* Everything in front of authentication knows the address and nothing else. */
static int is_early(const mcp_limit_rule_t *rule)
{
    return rule->keys == MCP_LIMIT_ADDRESS && !rule->key_expr && !rule->when;
}

static const char *key_of(request_rec *r, const mcp_guard_request_t *req, const mcp_limit_rule_t *rule)
{
    const char *key = "";

    if (rule->key_expr) {
        const char *err = NULL;

        key = ap_expr_str_exec(r, rule->key_expr, &err);
        if (err) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          MCP_LOG(0491) "MCPLimit %s: key=expr: fails (%s); counted as the empty key", rule->name, err);
        }
        return err || !key ? "" : key;
    }
    /* "\n" is in none of them. */
    if (rule->keys & MCP_LIMIT_PERSON) {
        key = apr_pstrcat(r->pool, key, "p", req->session->subject, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_CLIENT) {
        key = apr_pstrcat(r->pool, key, "c", req->session->client, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_SESSION) {
        /* Ids belong to one person and client; without a session all of its calls count together. */
        const char *session = apr_table_get(r->subprocess_env, "MCP_SESSION");

        key = apr_pstrcat(r->pool, key, "s", session ? session : req->session->grant, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_ADDRESS) {
        key = apr_pstrcat(r->pool, key, "a", mcp_limit_address_key(r->pool, r->useragent_ip), "\n", NULL);
    }
    return key;
}

static int applies(request_rec *r, const mcp_limit_rule_t *rule, int early)
{
    const char *err = NULL;
    int rc;

    if (rule->off || is_early(rule) != early) {
        return 0;
    }
    if (!rule->when) {
        return 1;
    }
    rc = ap_expr_exec(r, rule->when, &err);
    if (rc < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0492) "MCPLimit %s: if= fails (%s); it counts", rule->name,
                      err ? err : "unknown error");
    }
    return rc != 0;
}

/* ---- counting ---- */

static apr_int64_t seconds_up(apr_interval_time_t t)
{
    return apr_time_sec(t + APR_USEC_PER_SEC - 1);
}

/* draft-ietf-httpapi-ratelimit-headers: how much is left of each policy, and when all of it is there again. */
static void tell(request_rec *r, const mcp_limit_rule_t *rule, const mcp_limit_state_t *state, int allowed)
{
    apr_int64_t t = seconds_up(allowed ? state->reset : state->retry);

    apr_table_mergen(r->err_headers_out, "RateLimit-Policy", rule->policy);
    apr_table_mergen(r->err_headers_out, "RateLimit",
                     apr_psprintf(r->pool, "\"%s\";r=%u;t=%" APR_INT64_T_FMT, rule->name,
                                  allowed ? state->remaining : 0, t));
}

static int refuse(request_rec *r, const mcp_limit_rule_t *rule, const mcp_limit_state_t *state)
{
    apr_int64_t wait = seconds_up(state->retry);
    const char *text;

    if (wait < 1) {
        wait = 1;
    }
    text = apr_psprintf(r->pool, "Too many calls: limit %s is %s; try again in %" APR_INT64_T_FMT " s", rule->name,
                        rule->rate_text, wait);
    mcp_guard_note_error(r, "rate_limited");
    apr_table_setn(r->subprocess_env, "MCP_LIMIT", rule->name);
    apr_table_setn(r->err_headers_out, "Retry-After", apr_psprintf(r->pool, "%" APR_INT64_T_FMT, wait));
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0493) "over MCPLimit %s (%s) for %" APR_INT64_T_FMT " s more",
                  rule->name, rule->rate_text, wait);
    return mcp_guard_rpc_error(r, HTTP_TOO_MANY_REQUESTS, TOO_MANY, text,
                               json_pack("{s:s, s:I}", "limit", rule->name, "retryAfter", (json_int_t)wait));
}

/* Was the request that this one came from counted? */
static int counted_before(const request_rec *r, int early)
{
    const request_rec *from;

    for (from = r->main ? r->main : r->prev; from; from = from->main ? from->main : from->prev) {
        const mcp_guard_request_t *req = ap_get_module_config(from->request_config, &mcp_guard_module);

        if (req && (req->counted & (early ? 1 : 2))) {
            return 1;
        }
    }
    return 0;
}

/* Count the request by all rules of this moment. OK, or what the hook returns. */
static int count(request_rec *r, mcp_guard_request_t *req, const mcp_guard_dir_t *dir, int early)
{
    const apr_array_header_t *rules = dir->limits.rules;
    apr_time_t now = apr_time_now();
    int i;

    if (!rules || !table || (req->counted & (early ? 1 : 2))) {
        return OK;
    }
    req->counted |= early ? 1 : 2;
    if (counted_before(r, early)) {
        return OK;
    }
    for (i = 0; i < rules->nelts; i++) {
        const mcp_limit_rule_t *rule = APR_ARRAY_IDX(rules, i, mcp_limit_rule_t *);
        mcp_limit_state_t state;
        int allowed;

        if (!applies(r, rule, early)) {
            continue;
        }
        allowed = mcp_limit_check(table, &rule->rate, rule->name, key_of(r, req, rule), now, &state);
        if (dir->limits.headers) {
            tell(r, rule, &state, allowed);
        }
        if (!allowed) {
            return refuse(r, rule, &state);
        }
    }
    return OK;
}

/* ---- hooks ---- */

static int before_authentication(request_rec *r)
{
    const mcp_guard_dir_t *dir = mcp_guard_guarded(r);
    int status;

    if (!dir || !dir->limits.rules || mcp_guard_is_public(r)) {
        return DECLINED;
    }
    status = count(r, mcp_guard_request(r), dir, 1);
    return status == OK ? DECLINED : status;
}

static int after_authentication(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    int status;

    if (!req || !req->session || req->deciding || !req->dir) {
        return DECLINED;
    }
    status = count(r, req, req->dir, 0);
    return status == OK ? DECLINED : status;
}

void mcp_limit_register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_post_config(open_table, NULL, NULL, APR_HOOK_LAST);
    ap_hook_check_access(before_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST, AP_AUTH_INTERNAL_PER_CONF);
    /* Before all of Require (authz.c), and again for whoever came past access control (Satisfy any). */
    ap_hook_check_authz(after_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST - 1, AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_fixups(after_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST + 1);
}
