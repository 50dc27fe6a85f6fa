/* SPDX-License-Identifier: Apache-2.0 */
/* Providers of Require about who calls (mcp-claim, mcp-client) and what is called (mcp-method, mcp-tool, mcp-resource,
 * mcp-prompt).
 *
 * A rule about tools has nothing to say of a request that calls none, and lets it pass: a Require alone in a section
 * must let a session begin. With `not` before it, it refuses what it matches and again says nothing of the rest. */

#include <string.h>

#include <apr_fnmatch.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <ap_provider.h>
#include <http_core.h>
#include <http_log.h>
#include <http_request.h>
#include <mod_auth.h>

#include "guard.h"
#include "mcp_json.h"
#include "policy.h"

APLOG_USE_MODULE(mcp_guard);

/* ---- names ---- */

int mcp_name_matches(const char *pattern, const char *name, int blind)
{
    if (!apr_fnmatch_test(pattern)) {
        return blind ? !ap_cstr_casecmp(pattern, name) : !strcmp(pattern, name);
    }
    return apr_fnmatch(pattern, name, blind ? APR_FNM_CASE_BLIND : 0) == APR_SUCCESS;
}

/* Names that two programs might not read alike: with spaces at the ends, control characters, or beyond ASCII. */
static int is_odd(const char *name)
{
    for (; *name; name++) {
        if ((unsigned char)*name <= ' ' || (unsigned char)*name >= 0x7f) {
            return 1;
        }
    }
    return 0;
}

static int any_matches(const apr_array_header_t *patterns, const char *name, int blind)
{
    int i;

    for (i = 0; i < patterns->nelts; i++) {
        if (mcp_name_matches(APR_ARRAY_IDX(patterns, i, const char *), name, blind)) {
            return 1;
        }
    }
    return 0;
}

/* ---- what all lines have in common ---- */

/* `Require not ...`: httpd turns the answer around and does not tell the provider. Of a line inside an alias we only
 * see that it is no Require: taken as it stands. */
static int is_negated(const cmd_parms *cmd)
{
    const char *args = cmd->directive ? cmd->directive->args : "";

    return cmd->directive && !ap_cstr_casecmp(cmd->directive->directive, "Require")
           && !ap_cstr_casecmpn(args, "not", 3) && apr_isspace(args[3]);
}

/* Would this line count for nothing? */
static const char *useless(cmd_parms *cmd, const char *provider)
{
    if (is_negated(cmd) || !mcp_require_is_optional(cmd->directive)) {
        return NULL;
    }
    return apr_pstrcat(cmd->pool, "Require ", provider,
                       " beside Require valid-user: httpd lets in whoever fulfils one of them, so the rule would not "
                       "count. Remove Require valid-user (a rule needs a session anyway), or put both into "
                       "<RequireAll>",
                       NULL);
}

/* ---- Require mcp-client ---- */

static const char *parse_clients(cmd_parms *cmd, const char *line, const void **parsed)
{
    apr_array_header_t *clients = apr_array_make(cmd->pool, 4, sizeof(const char *));
    char *word;

    /* The session knows the client by its key only, which is a hash of its id. */
    while (*(word = ap_getword_conf(cmd->pool, &line))) {
        APR_ARRAY_PUSH(clients, const char *) = word;
        APR_ARRAY_PUSH(clients, const char *) = mcp_client_key(cmd->pool, word);
    }
    *parsed = clients;
    return clients->nelts ? useless(cmd, "mcp-client")
                          : "Require mcp-client takes one or more client ids, or keys as MCP_CLIENT shows them";
}

static authz_status check_client(request_rec *r, const char *line, const void *parsed)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);
    const apr_array_header_t *clients = parsed;
    int i;

    if (!req || !req->session) {
        return AUTHZ_DENIED_NO_USER;
    }
    for (i = 0; i < clients->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(clients, i, const char *), req->session->client)) {
            return AUTHZ_GRANTED;
        }
    }
    return AUTHZ_DENIED;
}

static const authz_provider client_provider = { check_client, parse_clients };

/* ---- Require mcp-claim name:value ---- */

typedef struct {
    const char *name;
    const char *value; /* NULL: any that is not false, null or empty */
    ap_regex_t *regex; /* name~regex */
} claim_t;

typedef struct {
    apr_array_header_t *claims; /* claim_t */
    int forbids;                /* whom the line matches is kept out: Require not, <RequireNone> */
} claim_rule_t;

/* Does httpd turn the answer around, here or in a section around this line? */
static int forbids(const cmd_parms *cmd)
{
    int odd = is_negated(cmd);

    for (const ap_directive_t *outer = cmd->directive ? cmd->directive->parent : NULL; outer; outer = outer->parent) {
        odd ^= !ap_cstr_casecmp(outer->directive, "<RequireNone");
    }
    return odd;
}

/* Was this claim left out although the person has one (MCP_CLAIMS_OVERAGE)? */
static int is_left_out(const json_t *known, const char *name)
{
    const json_t *names = json_object_get(known, MCP_CLAIMS_OVERAGE);

    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *one = json_string_value(json_array_get(names, i));

        if (one && !strcmp(one, name)) {
            return 1;
        }
    }
    return 0;
}

static const char *parse_claims(cmd_parms *cmd, const char *line, const void **parsed)
{
    claim_rule_t *rule = apr_pcalloc(cmd->pool, sizeof(*rule));
    apr_array_header_t *claims = apr_array_make(cmd->pool, 2, sizeof(claim_t));
    char *word;

    rule->claims = claims;
    rule->forbids = forbids(cmd);
    while (*(word = ap_getword_conf(cmd->pool, &line))) {
        claim_t *claim = apr_array_push(claims);
        apr_size_t n = strcspn(word, ":~");

        claim->name = apr_pstrmemdup(cmd->pool, word, n);
        claim->value = word[n] == ':' ? word + n + 1 : NULL;
        claim->regex = word[n] == '~' ? ap_pregcomp(cmd->pool, word + n + 1, 0) : NULL;
        if (!n || (word[n] == '~' && !claim->regex)) {
            return apr_pstrcat(cmd->pool, "Require mcp-claim takes name:value or name~regex, not ", word, NULL);
        }
    }
    *parsed = rule;
    return claims->nelts ? useless(cmd, "mcp-claim") : "Require mcp-claim takes one or more of name:value, name~regex";
}

static int claim_matches(apr_pool_t *p, const claim_t *claim, const json_t *value)
{
    const char *text = json_string_value(value);
    size_t i;

    if (json_is_array(value)) {
        for (i = 0; i < json_array_size(value); i++) {
            const json_t *item = json_array_get(value, i);

            if (!json_is_array(item) && claim_matches(p, claim, item)) {
                return 1;
            }
        }
        return 0;
    }
    if (json_is_integer(value)) {
        text = apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    else if (json_is_boolean(value)) {
        text = json_is_true(value) ? "true" : "false";
    }
    if (!text || !*text) {
        return 0;
    }
    if (claim->regex) {
        return !ap_regexec(claim->regex, text, 0, NULL, 0);
    }
    return claim->value ? !strcmp(claim->value, text) : !json_is_false(value);
}

static authz_status check_claims(request_rec *r, const char *line, const void *parsed)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);
    const claim_rule_t *rule = parsed;
    const char *text;
    json_t *known;
    int i;

    if (!req || !req->session) {
        return AUTHZ_DENIED_NO_USER;
    }
    text = req->session->claims;
    known = mcp_json_parse(r->pool, text, strlen(text), MCP_CLAIMS_MAX);
    for (i = 0; known && i < rule->claims->nelts; i++) {
        const claim_t *claim = &APR_ARRAY_IDX(rule->claims, i, claim_t);

        /* A claim that was left out may have any value: no rule lets in for it, and one that keeps out does (E9). */
        if (claim_matches(r->pool, claim, json_object_get(known, claim->name))
            || (rule->forbids && is_left_out(known, claim->name))) {
            return AUTHZ_GRANTED;
        }
    }
    return known || !rule->forbids ? AUTHZ_DENIED : AUTHZ_GRANTED;
}

static const authz_provider claim_provider = { check_claims, parse_claims };

/* ---- Require mcp-method, mcp-tool, mcp-resource, mcp-prompt ---- */

typedef struct {
    const char *provider;
    mcp_rpc_target_e target; /* NONE: methods */
    int negated;
    apr_array_header_t *names;      /* names and globs, const char *; none: all */
    apr_array_header_t *conditions; /* const mcp_condition_t *: all have to hold */
} rule_t;

static const char *parse_rule(cmd_parms *cmd, const char *provider, mcp_rpc_target_e target, const char *line,
                              const void **parsed)
{
    rule_t *rule = apr_pcalloc(cmd->pool, sizeof(*rule));
    mcp_policy_conf_t *conf = mcp_policy_conf_of(cmd);
    char *word;

    rule->provider = provider;
    rule->target = target;
    rule->negated = is_negated(cmd);
    rule->names = apr_array_make(cmd->pool, 4, sizeof(const char *));
    rule->conditions = apr_array_make(cmd->pool, 2, sizeof(const mcp_condition_t *));
    while (*(word = ap_getword_conf(cmd->pool, &line))) {
        const char *err;

        if (*word != '/' && ap_cstr_casecmpn(word, "expr=", 5)) {
            APR_ARRAY_PUSH(rule->names, const char *) = word;
            continue;
        }
        err = mcp_condition_parse(cmd, word,
                                  (const mcp_condition_t **)apr_array_push(rule->conditions));
        if (err) {
            return apr_pstrcat(cmd->pool, "Require ", provider, ": ", err, NULL);
        }
    }
    if (!rule->names->nelts) {
        return apr_pstrcat(cmd->pool, "Require ", provider, " takes one or more names or globs", NULL);
    }
    conf->wanted = 1;
    conf->hides = 1;
    *parsed = rule;
    return useless(cmd, provider);
}

static const char *parse_methods(cmd_parms *cmd, const char *line, const void **parsed)
{
    return parse_rule(cmd, "mcp-method", MCP_TARGET_NONE, line, parsed);
}

static const char *parse_tools(cmd_parms *cmd, const char *line, const void **parsed)
{
    return parse_rule(cmd, "mcp-tool", MCP_TARGET_TOOL, line, parsed);
}

static const char *parse_resources(cmd_parms *cmd, const char *line, const void **parsed)
{
    return parse_rule(cmd, "mcp-resource", MCP_TARGET_RESOURCE, line, parsed);
}

static const char *parse_prompts(cmd_parms *cmd, const char *line, const void **parsed)
{
    return parse_rule(cmd, "mcp-prompt", MCP_TARGET_PROMPT, line, parsed);
}

/* No session works without these: a list of methods need not name them. */
static int is_lifecycle(const char *method)
{
    return !strcmp(method, "initialize") || !strcmp(method, "ping") || !strcmp(method, "server/discover")
           || !strncmp(method, "notifications/", 14);
}

/* What the rule is about, in this message. NULL: nothing. */
static const char *subject(const rule_t *rule, const mcp_rpc_message_t *message)
{
    if (!message || message->kind == MCP_RPC_RESPONSE) {
        return NULL;
    }
    if (rule->target == MCP_TARGET_NONE) {
        return rule->negated || !is_lifecycle(message->method) ? message->method : NULL;
    }
    return message->target == rule->target ? message->name : NULL;
}

static int conditions_hold(request_rec *r, const rule_t *rule, const mcp_rpc_message_t *message)
{
    int i;

    for (i = 0; i < rule->conditions->nelts; i++) {
        if (!mcp_condition_holds(r, APR_ARRAY_IDX(rule->conditions, i, const mcp_condition_t *), message,
                                 rule->negated)) {
            return 0;
        }
    }
    return 1;
}

static authz_status check_rule(request_rec *r, const char *line, const void *parsed)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    const rule_t *rule = parsed;
    const char *name;
    int matches;

    if (!req || !req->session || !req->rpc) {
        return AUTHZ_DENIED_NO_USER;
    }
    name = subject(rule, req->message);
    if (!name) {
        return rule->negated ? AUTHZ_DENIED : AUTHZ_GRANTED;
    }
    /* What a rule forbids, it forbids in every spelling; what it allows, in this one only. */
    matches = any_matches(rule->names, name, rule->negated) || (rule->negated && is_odd(name));
    if (matches && req->message->listed && rule->negated && rule->conditions->nelts) {
        matches = 0; /* only some calls of it are forbidden: it is listed */
    }
    else if (matches) {
        matches = conditions_hold(r, rule, req->message);
    }
    if (matches == rule->negated) {
        req->refused_rule = rule->provider;
    }
    return matches ? AUTHZ_GRANTED : AUTHZ_DENIED;
}

static const authz_provider method_provider = { check_rule, parse_methods };
static const authz_provider tool_provider = { check_rule, parse_tools };
static const authz_provider resource_provider = { check_rule, parse_resources };
static const authz_provider prompt_provider = { check_rule, parse_prompts };

void mcp_require_register(apr_pool_t *p)
{
    static const struct {
        const char *name;
        const authz_provider *provider;
    } providers[] = {
        { "mcp-client", &client_provider },
        { "mcp-claim", &claim_provider },
        { "mcp-method", &method_provider },
        { "mcp-tool", &tool_provider },
        { "mcp-resource", &resource_provider },
        { "mcp-prompt", &prompt_provider },
    };
    apr_size_t i;

    for (i = 0; i < sizeof(providers) / sizeof(*providers); i++) {
        ap_register_auth_provider(p, AUTHZ_PROVIDER_GROUP, providers[i].name, AUTHZ_PROVIDER_VERSION,
                                  providers[i].provider, AP_AUTH_INTERNAL_PER_CONF);
    }
}
