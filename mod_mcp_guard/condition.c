/* SPDX-License-Identifier: Apache-2.0 */
/* Conditions on the arguments of a call: by JSON pointer and glob, or by httpd's expressions, which learn to see
 * arguments and claims. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <ap_expr.h>
#include <http_core.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "policy.h"

APLOG_USE_MODULE(mcp_guard);

struct mcp_condition_t {
    const char *pointer; /* RFC 6901, into params.arguments; NULL: an expression */
    const char *glob;
    int differs; /* != */
    ap_expr_info_t *expr;
};

/* ---- JSON pointers ---- */

typedef enum { FOUND,
               ABSENT,
               ODD } found_e;

/* One token of a pointer, with ~1 and ~0 made "/" and "~". */
static const char *token(apr_pool_t *p, const char **pointer)
{
    const char *at = *pointer + 1;
    apr_size_t len = strcspn(at, "/");
    char *text = apr_pstrmemdup(p, at, len);
    char *to = text;
    const char *from;

    *pointer = at + len;
    for (from = text; *from; from++) {
        if (*from == '~' && (from[1] == '0' || from[1] == '1')) {
            *to++ = *++from == '1' ? '/' : '~';
        }
        else {
            *to++ = *from;
        }
    }
    *to = '\0';
    return text;
}

/* A member that a careless backend would take for @a name. */
static int has_alike(json_t *object, const char *name)
{
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        if (strcmp(key, name) && mcp_rpc_alike(key, name)) {
            return 1;
        }
    }
    return 0;
}

static found_e resolve(apr_pool_t *p, json_t *json, const char *pointer, json_t **value)
{
    while (*pointer == '/') {
        const char *name = token(p, &pointer);

        if (json_is_array(json)) {
            apr_size_t digits = strspn(name, "0123456789");

            json = *name && !name[digits] && digits < 10 ? json_array_get(json, (size_t)apr_atoi64(name)) : NULL;
        }
        else {
            if (has_alike(json, name)) {
                return ODD;
            }
            json = json_object_get(json, name);
        }
        if (!json) {
            return ABSENT;
        }
    }
    *value = json;
    return FOUND;
}

static json_t *arguments_of(const mcp_rpc_message_t *message)
{
    return message ? mcp_rpc_arguments(message) : NULL;
}

/* ---- conditions ---- */

/* A scalar as text; NULL for arrays and objects. */
static const char *scalar_text(apr_pool_t *p, const json_t *value)
{
    if (json_is_string(value)) {
        return json_string_value(value);
    }
    if (json_is_integer(value)) {
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    if (json_is_real(value)) {
        return apr_psprintf(p, "%.17g", json_real_value(value));
    }
    return json_is_true(value) ? "true" : json_is_false(value) ? "false"
                                      : json_is_null(value)    ? "null"
                                                               : NULL;
}

/* How many of the value's scalars match, and how many there are; 0 when it holds more than scalars. */
static int count_matches(apr_pool_t *p, const char *glob, int blind, const json_t *value, size_t *of)
{
    const char *text = scalar_text(p, value);
    size_t n = json_is_array(value) ? json_array_size(value) : 1;
    size_t i;
    int matches = 0;

    *of = n;
    for (i = 0; i < n; i++) {
        if (json_is_array(value)) {
            text = scalar_text(p, json_array_get(value, i));
        }
        if (!text) {
            *of = 0;
            return 0;
        }
        matches += mcp_name_matches(glob, text, blind);
    }
    return matches;
}

int mcp_condition_holds(request_rec *r, const mcp_condition_t *condition, const mcp_rpc_message_t *message, int forbids)
{
    int blind = condition->differs ? !forbids : forbids;
    const char *err = NULL;
    json_t *value = NULL;
    size_t of = 0;
    int matches;

    if (message->listed) {
        return 1;
    }
    if (condition->expr) {
        int result = ap_expr_exec(r, condition->expr, &err);

        if (err) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r, MCP_LOG(0461) "condition of a rule cannot be evaluated: %s",
                          err);
        }
        return err ? forbids : result > 0;
    }
    switch (resolve(r->pool, arguments_of(message), condition->pointer, &value)) {
    case FOUND:
        matches = count_matches(r->pool, condition->glob, blind, value, &of);
        if (!of) {
            return forbids; /* nothing that a glob can be held against */
        }
        if (condition->differs) {
            return forbids ? (size_t)matches < of : !matches;
        }
        return forbids ? matches > 0 : (size_t)matches == of;
    case ABSENT:
        return condition->differs;
    default:
        return forbids;
    }
}

const char *mcp_condition_parse(cmd_parms *cmd, const char *text, const mcp_condition_t **parsed)
{
    mcp_condition_t *condition = apr_pcalloc(cmd->pool, sizeof(*condition));
    const char *err = NULL;
    char *equals;

    *parsed = condition;
    if (*text != '/') {
        condition->expr = ap_expr_parse_cmd(cmd, text + 5, 0, &err, NULL);
        return err ? apr_pstrcat(cmd->pool, "cannot parse expression: ", err, NULL) : NULL;
    }
    equals = strchr(text, '=');
    if (!equals) {
        return apr_pstrcat(cmd->pool, text, " is no condition: write /pointer=glob or /pointer!=glob", NULL);
    }
    condition->glob = equals + 1;
    condition->differs = equals[-1] == '!';
    condition->pointer = apr_pstrmemdup(cmd->pool, text, (apr_size_t)(equals - text - condition->differs));
    return NULL;
}

/* ---- in expressions ---- */

/* mcp_arg('/pointer'): an argument as text, "" when there is none. */
static const char *arg_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *arg)
{
    json_t *value = NULL;
    const char *text;

    if (!ctx->r || *arg != '/'
        || resolve(ctx->p, arguments_of(mcp_rpc_message(ctx->r)), arg, &value) != FOUND) {
        return "";
    }
    text = scalar_text(ctx->p, value);
    return text ? text : mcp_json_text(ctx->p, value);
}

static const char *claim_function(ap_expr_eval_ctx_t *ctx, const void *data, const char *arg)
{
    const mcp_guard_request_t *req = ctx->r ? mcp_guard_known(ctx->r) : NULL;
    const char *claims = req && req->session ? req->session->claims : "";
    const char *text;
    json_t *value;

    value = json_object_get(mcp_json_parse(ctx->p, claims, strlen(claims), MCP_CLAIMS_MAX), arg);
    text = scalar_text(ctx->p, value);
    return text ? text : value ? mcp_json_text(ctx->p, value)
                               : "";
}

typedef enum { VAR_METHOD,
               VAR_TOOL,
               VAR_RESOURCE,
               VAR_PROMPT } var_e;

static const char *variable(ap_expr_eval_ctx_t *ctx, const void *data)
{
    static const mcp_rpc_target_e targets[] = { MCP_TARGET_NONE, MCP_TARGET_TOOL, MCP_TARGET_RESOURCE,
                                                MCP_TARGET_PROMPT };
    const mcp_rpc_message_t *message = ctx->r ? mcp_rpc_message(ctx->r) : NULL;
    const var_e *which = data;

    if (!message) {
        return "";
    }
    if (*which == VAR_METHOD) {
        return message->method ? message->method : "";
    }
    return message->target == targets[*which] ? message->name : "";
}

static int lookup(ap_expr_lookup_parms *parms)
{
    static const struct {
        const char *name;
        var_e which;
    } variables[] = {
        { "MCP_METHOD", VAR_METHOD },
        { "MCP_TOOL", VAR_TOOL },
        { "MCP_RESOURCE", VAR_RESOURCE },
        { "MCP_PROMPT", VAR_PROMPT },
    };
    apr_size_t i;

    if (parms->type == AP_EXPR_FUNC_VAR) {
        for (i = 0; i < sizeof(variables) / sizeof(*variables); i++) {
            if (!ap_cstr_casecmp(parms->name, variables[i].name)) {
                *parms->func = (const void *)variable;
                *parms->data = &variables[i].which;
                return OK;
            }
        }
    }
    if (parms->type == AP_EXPR_FUNC_STRING) {
        if (!ap_cstr_casecmp(parms->name, "mcp_arg")) {
            *parms->func = (const void *)arg_function;
            return OK;
        }
        if (!ap_cstr_casecmp(parms->name, "mcp_claim")) {
            *parms->func = (const void *)claim_function;
            return OK;
        }
    }
    return DECLINED;
}

void mcp_condition_hooks(apr_pool_t *p)
{
    ap_hook_expr_lookup(lookup, NULL, NULL, APR_HOOK_MIDDLE);
}
