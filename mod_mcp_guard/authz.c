/* SPDX-License-Identifier: Apache-2.0 */
/* What a caller may do: `Require mcp-scope`, answers that MCP clients understand, and the last
 * gate: nobody passes a guarded location without a session. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <ap_provider.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mod_auth.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

/* ---- Require mcp-scope a b: all of them ---- */

/* Lines of Require beside each other are alternatives, unless <RequireAll> says otherwise: with
 * `Require valid-user` beside it, a scope would not count. */
int mcp_require_is_optional(const ap_directive_t *require)
{
    const ap_directive_t *section = require ? require->parent : NULL;
    const ap_directive_t *d = section ? section->first_child : NULL;

    if (section && !ap_cstr_casecmp(section->directive, "<RequireAll")) {
        return 0;
    }
    for (; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, "Require")
            && (!ap_cstr_casecmpn(d->args, "valid-user", 10)
                || !ap_cstr_casecmpn(d->args, "all granted", 11))) {
            return 1;
        }
    }
    return 0;
}

static const char *parse_scopes(cmd_parms *cmd, const char *line, const void **parsed)
{
    const char *scopes = "";
    char *word;

    while (*(word = ap_getword_conf(cmd->temp_pool, &line))) {
        const char *rest = word; /* "a b" in quotes is two scopes */
        char *scope;

        while (*(scope = ap_getword_white(cmd->temp_pool, &rest))) {
            scopes = apr_pstrcat(cmd->pool, scopes, *scopes ? " " : "", scope, NULL);
        }
    }
    if (!*scopes || !mcp_scope_valid(scopes)) {
        return "Require mcp-scope takes one or more scope names, all of which are needed";
    }
    if (mcp_require_is_optional(cmd->directive)) {
        return "Require mcp-scope beside Require valid-user: httpd lets in whoever fulfils one of "
               "them, so the scope would not count. Remove Require valid-user (a scope needs a "
               "session anyway), or put both into <RequireAll>";
    }
    *parsed = scopes;
    mcp_guard_note_scopes(cmd, scopes);
    return NULL;
}

static int has_all(apr_pool_t *p, const char *have, const char *want)
{
    while (*want) {
        apr_size_t n = strcspn(want, " ");

        if (!mcp_list_has(have, apr_pstrmemdup(p, want, n))) {
            return 0;
        }
        want += n;
        want += strspn(want, " ");
    }
    return 1;
}

const char *mcp_guard_scopes(request_rec *r, mcp_guard_request_t *req)
{
    if (!req->scopes) {
        const mcp_guard_server_t *conf =
            ap_get_module_config(r->server->module_config, &mcp_guard_module);

        req->scopes = mcp_scope_expand(r->pool, conf->shared, req->session->scope);
    }
    return req->scopes;
}

static authz_status check_scopes(request_rec *r, const char *line, const void *parsed)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    const char *want = parsed;

    if (!req || !req->session) {
        return AUTHZ_DENIED_NO_USER;
    }
    if (has_all(r->pool, mcp_guard_scopes(r, req), want)) {
        return AUTHZ_GRANTED;
    }
    /* One challenge names all scopes that the operation wants, not only those that are missing
     * (RS-10). */
    req->refused_scopes =
        req->refused_scopes ? apr_pstrcat(r->pool, req->refused_scopes, " ", want, NULL) : want;
    return AUTHZ_DENIED;
}

static const authz_provider scope_provider = { check_scopes, parse_scopes };

void mcp_guard_register_authz(apr_pool_t *p)
{
    ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, "mcp-scope", AUTHZ_PROVIDER_VERSION,
                              &scope_provider, AP_AUTH_INTERNAL_PER_CONF);
    mcp_require_register(p);
}

/* ---- the phases ---- */

/* Our metadata must be readable, and mod_mcp_oauth's pages too, where all of a host is guarded.
 * Both were marked by exact path before any configuration could name a handler (T25). */
int mcp_guard_is_public(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);

    if (!req && r->handler && !strcmp(r->handler, MCP_GUARD_OAUTH_HANDLER)) {
        req = mcp_guard_request(r);
        req->own_handler = MCP_GUARD_OAUTH_HANDLER;
    }
    return req && req->own_handler;
}

int mcp_guard_access_ex(request_rec *r)
{
    return mcp_guard_guarded(r) && mcp_guard_is_public(r) ? OK : DECLINED;
}

int mcp_guard_force_authn(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    return mcp_guard_guarded(r) && !(req && req->own_handler) ? OK : DECLINED;
}

/* All of Require, in a nested run, and MCPToolScope, for the message that @a req holds. */
static int decide(request_rec *r, mcp_guard_request_t *req)
{
    const char *wanted;
    int status;

    req->deciding = 1;
    req->refused_scopes = NULL;
    req->refused_rule = NULL;
    status = ap_run_auth_checker(r);
    req->deciding = 0;
    if (status != OK && !(req->refused_scopes && (status == HTTP_UNAUTHORIZED || status == HTTP_FORBIDDEN))) {
        return status;
    }
    /* An entry of a list was held against its pin before (list_cut.c). */
    if (status == OK && req->message && !req->message->listed && !mcp_pins_allow(req->dir->policy.pins, req->message)) {
        req->refused_rule = "MCPToolPins";
        return HTTP_FORBIDDEN;
    }
    wanted = mcp_tool_scopes(r->pool, &req->dir->policy, req->message);
    if (*wanted && (req->refused_scopes || !has_all(r->pool, mcp_guard_scopes(r, req), wanted))) {
        req->refused_scopes =
            req->refused_scopes ? apr_pstrcat(r->pool, req->refused_scopes, " ", wanted, NULL) : wanted;
        return HTTP_FORBIDDEN;
    }
    return status;
}

/* All scopes of the operation: those that were asked for, and those that it needs and the caller has, since a client
 * may ask for nothing but what the challenge names (RS-10). */
static const char *challenge_scopes(request_rec *r, mcp_guard_request_t *req)
{
    const char *had =
        req->dir->scopes ? mcp_list_intersect(r->pool, req->dir->scopes, mcp_guard_scopes(r, req)) : "";
    const char *all = apr_pstrcat(r->pool, req->refused_scopes, *had ? " " : "", had, NULL);

    return mcp_list_intersect(r->pool, all, all);
}

/* mod_authz_core says 401 to a person who is known and may not, and a client would sign in again for nothing: RFC 6750
 * wants 403 and the scopes. A message that may not be sent is answered in its own language. */
static int refuse(request_rec *r, mcp_guard_request_t *req, int status)
{
    if (status != HTTP_UNAUTHORIZED && status != HTTP_FORBIDDEN) {
        return status;
    }
    if (req->refused_scopes) {
        const char *scopes = challenge_scopes(r, req);

        mcp_guard_note_error(r, "insufficient_scope");
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0430) "grant %s lacks scopes: wanted are '%s'", req->session->grant,
                      scopes);
        return mcp_guard_challenge(r, req, HTTP_FORBIDDEN, "insufficient_scope",
                                   "The access token does not allow this operation", scopes);
    }
    if (req->refused_rule && req->message) {
        mcp_guard_note_error(r, "forbidden_message");
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0432) "grant %s may not: %s %s (%s)", req->session->grant,
                      req->message->method ? req->message->method : "an answer",
                      req->message->name ? mcp_log_text(r->pool, req->message->name) : "", req->refused_rule);
        return mcp_rpc_forbid(r, MCP_RPC_FORBIDDEN,
                              req->message->target == MCP_TARGET_TOOL ? "You are not allowed to call this tool"
                                                                      : "You are not allowed to do this");
    }
    mcp_guard_note_error(r, "forbidden");
    return mcp_guard_forbidden(r);
}

/* Arguments are looked at when it is known that the caller may call: nobody else learns of schemas. */
static int check_arguments(request_rec *r, const mcp_guard_request_t *req)
{
    const char *bad = mcp_pins_bad_arguments(r->pool, req->dir->policy.pins, req->message);

    if (!bad) {
        return OK;
    }
    mcp_guard_note_error(r, "invalid_arguments");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0433) "grant %s: %s", req->session->grant,
                  mcp_log_text(r->pool, bad));
    return mcp_rpc_forbid(r, MCP_RPC_INVALID_PARAMS, bad);
}

/* Every message of a batch has to pass by itself: rules beside each other may allow one of them each. */
static int decide_all(request_rec *r, mcp_guard_request_t *req)
{
    int i = 0;
    int status;

    if (mcp_policy_reads(&req->dir->policy)) {
        status = mcp_rpc_read(r);
        if (status == OK) {
            status = mcp_limit_messages(r, req);
        }
        if (status != OK) {
            return status;
        }
    }
    do {
        req->message = req->rpc && req->rpc->count ? &req->rpc->messages[i] : NULL;
        status = decide(r, req);
        if (status != OK) {
            return refuse(r, req, status);
        }
        status = check_arguments(r, req);
        if (status != OK) {
            return status;
        }
    } while (req->rpc && ++i < req->rpc->count);
    req->decided = 1;
    return OK;
}

int mcp_guard_check_authz(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);

    return !req || !req->session || req->deciding ? DECLINED : decide_all(r, req);
}

mcp_visible_e mcp_guard_would_allow(request_rec *r, const mcp_rpc_message_t *message)
{
    static const struct ap_logconf quiet = { NULL, APLOG_EMERG };
    mcp_guard_request_t *req = mcp_guard_known(r);
    const mcp_rpc_message_t *kept = req->message;
    const struct ap_logconf *log = r->log;
    mcp_visible_e visible;

    /* mod_authz_core would report each entry that is left out of a list as an error. */
    r->log = &quiet;
    req->message = message;
    visible = decide(r, req) == OK ? MCP_VISIBLE : req->refused_scopes ? MCP_NEEDS_SCOPE
                                                                       : MCP_HIDDEN;
    req->message = kept;
    r->log = log;
    return visible;
}

/* In fixups, for a request that check_authz was not asked about. */
static int decide_late(request_rec *r, mcp_guard_request_t *req)
{
    int status = decide_all(r, req);

    return status == OK ? DECLINED : status == DECLINED ? HTTP_INTERNAL_SERVER_ERROR
                                                        : status;
}

int mcp_guard_assert_session(request_rec *r)
{
    const mcp_guard_dir_t *dir = mcp_guard_guarded(r);
    mcp_guard_request_t *req = mcp_guard_known(r);
    int status;

    if (req && req->own_handler) {
        /* SetHandler must not turn an exempt request into another one. */
        r->handler = req->own_handler;
        return DECLINED;
    }
    if (!dir) {
        return DECLINED;
    }
    if (!req) {
        req = mcp_guard_request(r);
    }
    req->dir = dir;
    if (req->session) {
        /* httpd takes a verdict over from the request that this one came from; Satisfy any goes around Require. What a
         * rule says about messages is not taken over. */
        return req->decided || !mcp_policy_reads(&dir->policy) ? DECLINED : decide_late(r, req);
    }
    /* httpd took over a verdict from the request that this one came from, or something (Satisfy
     * any) let it pass. */
    if (!mcp_guard_inherited(r, mcp_guard_resource(r, dir))) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0431) "%s passed access control without a session", r->uri);
    }
    status = mcp_guard_authenticate(r, req);
    if (status != OK) {
        return status;
    }
    return mcp_policy_reads(&dir->policy) ? decide_late(r, req) : DECLINED;
}
