/* SPDX-License-Identifier: Apache-2.0 */
/* Limits: a call is counted once, and one too many is answered 429 (limit.h).
 *
 * What is counted by address alone is counted before anybody is authenticated, so that it holds for
 * guessed tokens too; everything else between authentication and Require, so that it holds for what
 * Require refuses. What is counted by tool is so as soon as the body is read (rpc.c), before
 * Require as well.
 */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mpm_common.h>

#include "guard.h"
#include "mcp_log.h"

APLOG_USE_MODULE(mcp_guard);

#define TOO_MANY (-32000)

/* When a rule counts; the bits of mcp_guard_request_t.counted */
typedef enum {
    BY_ADDRESS = 1, /* before authentication */
    BY_CALL = 2,    /* after it */
    BY_MESSAGE = 4  /* once the body is read */
} moment_e;

/* ---- processes ---- */

static int deaths; /* in the parent: children died, and the places of calls are to be looked over */

static int open_tables(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    const mcp_guard_server_t *conf = ap_get_module_config(s->module_config, &mcp_guard_module);

    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG) {
        return OK;
    }
    return mcp_limit_tables_open(s, pconf, mcp_store_timeout(conf->shared)) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    return mcp_limit_config_check(s, ptemp);
}

static void child_init(apr_pool_t *pchild, server_rec *s)
{
    mcp_limit_child_init(s, pchild);
}

static void child_status(server_rec *s, pid_t pid, ap_generation_t gen, int slot,
                         mpm_child_status status)
{
    if (status == MPM_CHILD_EXITED) {
        mcp_limit_child_gone(pid);
        deaths = 3;
    }
}

static int monitor(apr_pool_t *p, server_rec *s)
{
    if (deaths > 0 && mcp_limit_audit() == 0) {
        deaths--; /* a few quiet rounds more, for a child may die while others are busy */
    }
    return DECLINED;
}

/* ---- keys ---- */

/* Everything in front of authentication knows the address and nothing else. */
static moment_e moment_of(const mcp_limit_rule_t *rule)
{
    if (rule->tools || (rule->keys & MCP_LIMIT_TOOL)) {
        return BY_MESSAGE;
    }
    return rule->keys == MCP_LIMIT_ADDRESS && !rule->key_expr && !rule->when ? BY_ADDRESS : BY_CALL;
}

static const char *key_of(request_rec *r, const mcp_guard_request_t *req,
                          const mcp_limit_rule_t *rule, const mcp_rpc_message_t *message)
{
    const char *key = "";

    if (rule->key_expr) {
        const char *err = NULL;

        key = ap_expr_str_exec(r, rule->key_expr, &err);
        if (err) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                          MCP_LOG(0491) "%s %s: key=expr: fails (%s); counted as the empty key",
                          rule->directive, rule->name, err);
        }
        return err || !key ? "" : key;
    }
    /* "\n" is in none of them but the last. */
    if (rule->keys & MCP_LIMIT_PERSON) {
        key = apr_pstrcat(r->pool, key, "p", req->session->subject, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_CLIENT) {
        key = apr_pstrcat(r->pool, key, "c", req->session->client, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_SESSION) {
        /* Ids belong to one person and client; without a session all of its calls count together.
         */
        const char *session = apr_table_get(r->subprocess_env, "MCP_SESSION");

        key = apr_pstrcat(r->pool, key, "s", session ? session : req->session->grant, "\n", NULL);
    }
    if (rule->keys & MCP_LIMIT_ADDRESS) {
        key = apr_pstrcat(r->pool, key, "a", mcp_limit_address_key(r->pool, r->useragent_ip), "\n",
                          NULL);
    }
    if ((rule->keys & MCP_LIMIT_TOOL) && message) {
        char *tool =
            apr_pstrdup(r->pool, message->name); /* careless backends take any letter case */

        ap_str_tolower(tool);
        key = apr_pstrcat(r->pool, key, "t", tool, NULL);
    }
    return key;
}

static int names_tool(const mcp_limit_rule_t *rule, const char *tool)
{
    int i;

    for (i = 0; rule->tools && i < rule->tools->nelts; i++) {
        if (mcp_name_matches(APR_ARRAY_IDX(rule->tools, i, const char *), tool, 1)) {
            return 1;
        }
    }
    return !rule->tools;
}

static int applies(request_rec *r, const mcp_limit_rule_t *rule, moment_e moment,
                   const mcp_rpc_message_t *message)
{
    const char *err = NULL;
    int rc;

    if (rule->off || moment_of(rule) != moment || (message && !names_tool(rule, message->name))) {
        return 0;
    }
    /* What listens is no call, and may last for days: streams have caps of their own
     * (MCPStreamLimit). */
    if (rule->kind == MCP_LIMIT_AT_ONCE && r->method_number == M_GET) {
        return 0;
    }
    if (!rule->when) {
        return 1;
    }
    rc = ap_expr_exec(r, rule->when, &err);
    if (rc < 0) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0492) "%s %s: if= fails (%s); it counts",
                      rule->directive, rule->name, err ? err : "unknown error");
    }
    return rc != 0;
}

/* ---- counting ---- */

static apr_int64_t seconds_up(apr_interval_time_t t)
{
    return apr_time_sec(t + APR_USEC_PER_SEC - 1);
}

/* draft-ietf-httpapi-ratelimit-headers: how much is left of each policy, and when all of it is
 * there again. Calls at once have no window, so nothing is told of them. */
static void tell(request_rec *r, const mcp_limit_rule_t *rule, const mcp_limit_state_t *state,
                 int allowed)
{
    apr_int64_t t = seconds_up(allowed ? state->reset : state->retry);

    if (!state->window) {
        return;
    }
    apr_table_mergen(r->err_headers_out, "RateLimit-Policy",
                     apr_psprintf(r->pool, "\"%s\";q=%u;w=%" APR_INT64_T_FMT, rule->name,
                                  state->quota, seconds_up(state->window)));
    apr_table_mergen(r->err_headers_out, "RateLimit",
                     apr_psprintf(r->pool, "\"%s\";r=%u;t=%" APR_INT64_T_FMT, rule->name,
                                  allowed ? state->remaining : 0, t));
}

/* What is said, and with which status: too many calls of everybody together are no fault of the
 * client's. */
static const char *reason(request_rec *r, const mcp_limit_rule_t *rule, mcp_count_e found,
                          int *status)
{
    *status = HTTP_TOO_MANY_REQUESTS;
    if (found == MCP_COUNT_REFUSED && rule->kind != MCP_LIMIT_AT_ONCE) {
        return apr_psprintf(r->pool, "Too many calls: limit %s is %s", rule->name, rule->text);
    }
    if (found == MCP_COUNT_REFUSED) {
        if (!rule->keys && !rule->key_expr) {
            *status = HTTP_SERVICE_UNAVAILABLE;
        }
        return apr_psprintf(r->pool, "Too many calls at once: limit %s is %s", rule->name,
                            rule->text);
    }
    *status = HTTP_SERVICE_UNAVAILABLE;
    return found == MCP_COUNT_FULL ? "Too many calls are under way"
                                   : "Calls cannot be counted at present";
}

static int refuse(request_rec *r, const mcp_limit_rule_t *rule, const mcp_limit_state_t *state,
                  mcp_count_e found)
{
    apr_int64_t wait =
        found == MCP_COUNT_DOWN ? apr_atoi64(MCP_STORE_RETRY_AFTER) : seconds_up(state->retry);
    const char *text;
    int status;

    if (wait < 1) {
        wait = 1;
    }
    text = apr_psprintf(r->pool, "%s; try again in %" APR_INT64_T_FMT " s",
                        reason(r, rule, found, &status), wait);
    mcp_guard_note_error(r, found == MCP_COUNT_DOWN ? "limit_store_down" : "rate_limited");
    apr_table_setn(r->subprocess_env, "MCP_LIMIT", rule->name);
    apr_table_setn(r->err_headers_out, "Retry-After",
                   apr_psprintf(r->pool, "%" APR_INT64_T_FMT, wait));
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0493) "%s %s (%s): refused for %" APR_INT64_T_FMT " s more",
                  rule->directive, rule->name, rule->text, wait);
    return mcp_rpc_answer(r, status, TOO_MANY, text,
                          json_pack("{s:s, s:I}", "limit", rule->name, "retryAfter",
                                    (json_int_t)wait));
}

/* Was this request, or the one that it came from, counted? Each is, once. */
static int counted_before(const request_rec *r, moment_e moment)
{
    const request_rec *from;

    for (from = r; from; from = mcp_guard_came_from(from)) {
        const mcp_guard_request_t *req =
            ap_get_module_config(from->request_config, &mcp_guard_module);

        if (req && (req->counted & moment)) {
            return 1;
        }
    }
    return 0;
}

static int count_by(request_rec *r, mcp_guard_request_t *req, const mcp_limit_rule_t *rule,
                    int headers, const mcp_rpc_message_t *message)
{
    mcp_limit_state_t state;
    mcp_count_e found = mcp_limit_count(r, rule, key_of(r, req, rule, message), &state);
    int allowed = found == MCP_COUNT_ALLOWED;

    if (headers && (allowed || found == MCP_COUNT_REFUSED)
        && !(allowed && message && req->rpc->batch)) {
        tell(r, rule, &state, allowed);
    }
    return allowed ? OK : refuse(r, rule, &state, found);
}

/* Count by all rules of this moment. OK, or what the hook returns. */
static int count(request_rec *r, mcp_guard_request_t *req, const mcp_guard_dir_t *dir,
                 moment_e moment, const mcp_rpc_message_t *message)
{
    const apr_array_header_t *rules = dir->limits.rules;
    int kind, i;

    for (kind = 0; kind < MCP_LIMIT_KINDS; kind++) {
        for (i = 0; i < rules->nelts; i++) {
            const mcp_limit_rule_t *rule = APR_ARRAY_IDX(rules, i, mcp_limit_rule_t *);
            int status = OK;

            if ((int)rule->kind == kind && applies(r, rule, moment, message)) {
                status = count_by(r, req, rule, dir->limits.headers, message);
            }
            if (status != OK) {
                return status;
            }
        }
    }
    return OK;
}

static int count_once(request_rec *r, mcp_guard_request_t *req, const mcp_guard_dir_t *dir,
                      moment_e moment)
{
    if (!dir->limits.rules || counted_before(r, moment)) {
        return OK;
    }
    req->counted |= moment;
    return count(r, req, dir, moment, NULL);
}

int mcp_limit_messages(request_rec *r, mcp_guard_request_t *req)
{
    int status = OK;
    int i;

    if (!req->dir->limits.rules || !req->rpc || counted_before(r, BY_MESSAGE)) {
        return OK;
    }
    req->counted |= BY_MESSAGE;
    for (i = 0; status == OK && i < req->rpc->count; i++) {
        const mcp_rpc_message_t *message = &req->rpc->messages[i];

        if (message->target == MCP_TARGET_TOOL) {
            status = count(r, req, req->dir, BY_MESSAGE, message);
        }
    }
    return status;
}

/* ---- hooks ---- */

static int before_authentication(request_rec *r)
{
    const mcp_guard_dir_t *dir = mcp_guard_guarded(r);
    int status;

    if (!dir || !dir->limits.rules || mcp_guard_is_public(r)) {
        return DECLINED;
    }
    status = count_once(r, mcp_guard_request(r), dir, BY_ADDRESS);
    return status == OK ? DECLINED : status;
}

static int after_authentication(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    int status;

    if (!req || !req->session || req->deciding || !req->dir) {
        return DECLINED;
    }
    status = count_once(r, req, req->dir, BY_CALL);
    return status == OK ? DECLINED : status;
}

void mcp_limit_register_hooks(apr_pool_t *p)
{
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_post_config(open_tables, NULL, NULL, APR_HOOK_LAST);
    ap_hook_child_init(child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_status(child_status, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(monitor, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_check_access(before_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST,
                         AP_AUTH_INTERNAL_PER_CONF);
    /* Before all of Require (authz.c), and again for whoever came past access control (Satisfy
     * any). */
    ap_hook_check_authz(after_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST - 1,
                        AP_AUTH_INTERNAL_PER_CONF);
    ap_hook_fixups(after_authentication, NULL, NULL, APR_HOOK_REALLY_FIRST + 1);
}
