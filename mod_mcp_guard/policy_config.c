/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of the policy on messages. */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>

#include "guard.h"
#include "mcp_span.h"
#include "mcp_util.h"

#define MESSAGE_MAX_DEFAULT (1024 * 1024)
#define LIST_MAX_DEFAULT (4 * 1024 * 1024)
#define SIZE_LEAST 1024
#define SIZE_MOST (256 * 1024 * 1024)

void mcp_policy_conf_init(mcp_policy_conf_t *conf)
{
    conf->validate = -1;
    conf->step_up = -1;
}

void mcp_policy_conf_inherit(apr_pool_t *p, mcp_policy_conf_t *conf, const mcp_policy_conf_t *base)
{
    /* Rules of outer sections may be merged with those here (AuthMerging): what they need is done. */
    conf->wanted |= base->wanted;
    conf->hides |= base->hides;
    conf->slow |= base->slow;
    if (!conf->pins) {
        conf->pins = base->pins;
    }
    if (conf->validate < 0) {
        conf->validate = base->validate;
    }
    if (conf->step_up < 0) {
        conf->step_up = base->step_up;
    }
    if (!conf->message_max) {
        conf->message_max = base->message_max;
    }
    if (!conf->list_max) {
        conf->list_max = base->list_max;
    }
    if (base->tool_scopes) {
        /* Scopes add up: an inner section cannot take away what an outer one asks for. */
        conf->tool_scopes = conf->tool_scopes ? apr_array_append(p, base->tool_scopes, conf->tool_scopes)
                                              : base->tool_scopes;
    }
}

int mcp_policy_reads(const mcp_policy_conf_t *conf)
{
    return conf->wanted || conf->validate > 0 || (conf->validate < 0 && (mcp_audit_wants_calls() || mcp_span_is_on()));
}

apr_size_t mcp_policy_message_max(const mcp_policy_conf_t *conf)
{
    return conf->message_max ? conf->message_max : MESSAGE_MAX_DEFAULT;
}

apr_size_t mcp_policy_list_max(const mcp_policy_conf_t *conf)
{
    return conf->list_max ? conf->list_max : LIST_MAX_DEFAULT;
}

mcp_policy_conf_t *mcp_policy_conf_of(cmd_parms *cmd)
{
    /* A Require may come before any directive of ours has made our part of the section's configuration. */
    mcp_guard_dir_t *dir =
        ap_set_config_vectors(cmd->server, cmd->context, cmd->path, &mcp_guard_module, cmd->pool);

    return &dir->policy;
}

void mcp_rpc_want(cmd_parms *cmd)
{
    mcp_policy_conf_of(cmd)->wanted = 1;
}

const char *mcp_set_validate(cmd_parms *cmd, void *dir, int flag)
{
    ((mcp_guard_dir_t *)dir)->policy.validate = flag;
    return NULL;
}

/* A number of bytes, or with k or m. 0: none. */
static apr_size_t parse_size(const char *text)
{
    char *end;
    apr_int64_t n = apr_isdigit(*text) ? apr_strtoi64(text, &end, 10) : 0;
    int shift;

    if (n <= 0 || n > SIZE_MOST) {
        return 0;
    }
    shift = apr_tolower(*end) == 'k' ? 10 : apr_tolower(*end) == 'm' ? 20
                                                                     : 0;
    if (end[shift ? 1 : 0]) {
        return 0;
    }
    n <<= shift;
    return n >= SIZE_LEAST && n <= SIZE_MOST ? (apr_size_t)n : 0;
}

static const char *set_size(cmd_parms *cmd, apr_size_t *size, const char *arg)
{
    *size = parse_size(arg);
    return *size ? NULL : apr_pstrcat(cmd->pool, cmd->cmd->name, " takes a size from 1k to 256m, such as 1m", NULL);
}

const char *mcp_set_message_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_size(cmd, &((mcp_guard_dir_t *)dir)->policy.message_max, arg);
}

const char *mcp_set_list_limit(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_size(cmd, &((mcp_guard_dir_t *)dir)->policy.list_max, arg);
}

const char *mcp_set_list_step_up(cmd_parms *cmd, void *dir, int flag)
{
    ((mcp_guard_dir_t *)dir)->policy.step_up = flag;
    return NULL;
}

const char *mcp_set_tool_scope(cmd_parms *cmd, void *dir, const char *tool, const char *scope)
{
    mcp_policy_conf_t *conf = &((mcp_guard_dir_t *)dir)->policy;
    mcp_tool_scope_t *entry;

    if (!mcp_scope_valid(scope) || !*scope) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes a tool and the scopes that calling it needs, not ", scope,
                           NULL);
    }
    if (!conf->tool_scopes) {
        conf->tool_scopes = apr_array_make(cmd->pool, 4, sizeof(mcp_tool_scope_t));
    }
    entry = apr_array_push(conf->tool_scopes);
    entry->tool = tool;
    entry->scopes = scope;
    conf->wanted = conf->hides = 1;
    return NULL;
}

/* What a Require may ask for without waiting for a disk, a network or a lock: memory only. */
const char *mcp_see_require(cmd_parms *cmd, void *dir, const char *args)
{
    static const char *const fast[] = { "all", "env", "ip", "mcp-claim", "mcp-client", "mcp-method", "mcp-prompt",
                                        "mcp-resource", "mcp-scope", "mcp-tool", "method", "user", "valid-user" };
    const char *name = ap_getword_conf(cmd->temp_pool, &args);
    apr_size_t i;

    if (!ap_cstr_casecmp(name, "not")) {
        name = ap_getword_conf(cmd->temp_pool, &args);
    }
    for (i = 0; i < sizeof(fast) / sizeof(*fast); i++) {
        if (!ap_cstr_casecmp(name, fast[i])) {
            return NULL;
        }
    }
    ((mcp_guard_dir_t *)dir)->policy.slow = 1;
    return NULL;
}
