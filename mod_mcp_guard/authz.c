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
static int is_optional(const ap_directive_t *require)
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
    if (is_optional(cmd->directive)) {
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

static authz_status check_scopes(request_rec *r, const char *line, const void *parsed)
{
    const mcp_guard_server_t *conf =
        ap_get_module_config(r->server->module_config, &mcp_guard_module);
    mcp_guard_request_t *req = mcp_guard_known(r);
    const char *want = parsed;

    (void)line;
    if (!req || !req->session) {
        return AUTHZ_DENIED_NO_USER;
    }
    if (has_all(r->pool, mcp_scope_expand(r->pool, conf->shared, req->session->scope), want)) {
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

/* mod_authz_core says 401 to a person who is known and may not, and a client would sign in again
 * for nothing: RFC 6750 wants 403 and the scopes. So let all of Require decide in a nested run, and
 * only change how a refusal is said. */
int mcp_guard_check_authz(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    int status;

    if (!req || !req->session || req->deciding) {
        return DECLINED;
    }
    req->deciding = 1;
    req->refused_scopes = NULL;
    status = ap_run_auth_checker(r);
    req->deciding = 0;
    if (status != HTTP_UNAUTHORIZED && status != HTTP_FORBIDDEN) {
        return status;
    }
    if (req->refused_scopes) {
        const char *scopes = mcp_list_intersect(r->pool, req->refused_scopes, req->refused_scopes);

        mcp_guard_note_error(r, "insufficient_scope");
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0430) "grant %s lacks scopes: wanted are '%s'", req->session->grant,
                      scopes);
        return mcp_guard_challenge(r, req, HTTP_FORBIDDEN, "insufficient_scope",
                                   "The access token does not allow this operation", scopes);
    }
    mcp_guard_note_error(r, "forbidden");
    return mcp_guard_forbidden(r);
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
        return DECLINED;
    }
    /* httpd took over a verdict from the request that this one came from, or something (Satisfy
     * any) let it pass. */
    if (!mcp_guard_inherited(r, mcp_guard_resource(r, dir))) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0431) "%s passed access control without a session", r->uri);
    }
    status = mcp_guard_authenticate(r, req);
    return status == OK ? DECLINED : status;
}
