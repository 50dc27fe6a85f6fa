/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of limits. */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "guard.h"

APLOG_USE_MODULE(mcp_guard);

#define NAME_MAX_LEN 32

static int used;

void mcp_limit_config_begin(void)
{
    used = 0;
}

int mcp_limit_in_use(void)
{
    return used;
}

void mcp_limit_conf_init(mcp_limit_conf_t *conf)
{
    conf->rules = NULL;
    conf->headers = -1;
}

static mcp_limit_rule_t *find_rule(const apr_array_header_t *rules, const char *name)
{
    int i;

    for (i = 0; rules && i < rules->nelts; i++) {
        mcp_limit_rule_t *rule = APR_ARRAY_IDX(rules, i, mcp_limit_rule_t *);

        if (!strcmp(rule->name, name)) {
            return rule;
        }
    }
    return NULL;
}

void mcp_limit_conf_inherit(apr_pool_t *p, mcp_limit_conf_t *conf, const mcp_limit_conf_t *base)
{
    apr_array_header_t *rules;
    int i;

    if (conf->headers < 0) {
        conf->headers = base->headers;
    }
    if (!base->rules) {
        return;
    }
    if (!conf->rules) {
        conf->rules = base->rules;
        return;
    }
    rules = apr_array_make(p, base->rules->nelts + conf->rules->nelts, sizeof(mcp_limit_rule_t *));
    for (i = 0; i < base->rules->nelts; i++) {
        mcp_limit_rule_t *rule = APR_ARRAY_IDX(base->rules, i, mcp_limit_rule_t *);

        if (!find_rule(conf->rules, rule->name)) {
            APR_ARRAY_PUSH(rules, mcp_limit_rule_t *) = rule;
        }
    }
    apr_array_cat(rules, conf->rules);
    conf->rules = rules;
}

static const char *parse_keys(cmd_parms *cmd, mcp_limit_rule_t *rule, const char *text)
{
    static const struct {
        const char *name;
        unsigned int bit;
    } known[] = {
        { "person", MCP_LIMIT_PERSON },
        { "client", MCP_LIMIT_CLIENT },
        { "session", MCP_LIMIT_SESSION },
        { "address", MCP_LIMIT_ADDRESS },
        { "tool", MCP_LIMIT_TOOL },
        { "all", 0 },
    };
    const char *err = NULL;
    char *last;
    char *word;

    rule->keys = 0;
    if (!strncmp(text, "expr:", 5)) {
        rule->key_expr = ap_expr_parse_cmd(cmd, text + 5, AP_EXPR_FLAG_STRING_RESULT, &err, NULL);
        return err ? apr_pstrcat(cmd->pool, "MCPLimit: key=", text, ": ", err, NULL) : NULL;
    }
    for (word = apr_strtok(apr_pstrdup(cmd->temp_pool, text), ",", &last); word; word = apr_strtok(NULL, ",", &last)) {
        apr_size_t i = 0;

        while (i < sizeof(known) / sizeof(*known) && strcmp(known[i].name, word)) {
            i++;
        }
        if (i == sizeof(known) / sizeof(*known)) {
            return apr_psprintf(cmd->pool, "MCPLimit counts by key=person, client, session, address, tool (several "
                                           "with commas), all, or expr:...; not by %s",
                                word);
        }
        rule->keys |= known[i].bit;
    }
    return NULL;
}

static void parse_tools(cmd_parms *cmd, mcp_limit_rule_t *rule, const char *text)
{
    apr_array_header_t *tools = apr_array_make(cmd->pool, 2, sizeof(const char *));
    char *last;
    char *word;

    for (word = apr_strtok(apr_pstrdup(cmd->pool, text), ",", &last); word; word = apr_strtok(NULL, ",", &last)) {
        APR_ARRAY_PUSH(tools, const char *) = word;
    }
    rule->tools = tools;
}

static const char *parse_option(cmd_parms *cmd, mcp_limit_rule_t *rule, const char *arg)
{
    const char *err = NULL;

    if (!strncmp(arg, "key=", 4)) {
        return parse_keys(cmd, rule, arg + 4);
    }
    if (!strncmp(arg, "tool=", 5)) {
        parse_tools(cmd, rule, arg + 5);
        return rule->tools->nelts ? NULL : "MCPLimit: tool= takes names or globs of tools, with commas between them";
    }
    if (!strncmp(arg, "if=", 3)) {
        rule->when = ap_expr_parse_cmd(cmd, arg + 3, 0, &err, NULL);
        return err ? apr_pstrcat(cmd->pool, "MCPLimit: ", arg, ": ", err, NULL) : NULL;
    }
    return apr_pstrcat(cmd->pool, "MCPLimit knows key=, tool= and if= after the rate, not ", arg, NULL);
}

/* The window of a policy is what a whole burst needs to come back: that is what a client can plan by. */
static const char *policy_of(apr_pool_t *p, const mcp_limit_rule_t *rule)
{
    apr_int64_t window = apr_time_sec(rule->rate.period / rule->rate.count * rule->rate.burst + APR_USEC_PER_SEC - 1);

    return apr_psprintf(p, "\"%s\";q=%u;w=%" APR_INT64_T_FMT, rule->name, rule->rate.burst, window);
}

const char *mcp_set_limit(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mcp_limit_conf_t *conf = &((mcp_guard_dir_t *)dir)->limits;
    mcp_limit_rule_t *rule = apr_pcalloc(cmd->pool, sizeof(*rule));
    apr_array_header_t *rules;
    const char *err;
    int i;

    if (argc < 2) {
        return "MCPLimit takes a name and a rate, such as: MCPLimit calls 60/min key=person";
    }
    for (i = 0; apr_isalnum(argv[0][i]) || (argv[0][i] && strchr("-_.", argv[0][i])); i++) {
        ;
    }
    if (argv[0][i] || i == 0 || i > NAME_MAX_LEN) {
        return apr_psprintf(cmd->pool, "MCPLimit takes a name of 1 to %d letters, digits, '-', '_' and '.' first, not %s",
                            NAME_MAX_LEN, argv[0]);
    }
    if (find_rule(conf->rules, argv[0])) {
        return apr_pstrcat(cmd->pool, "MCPLimit ", argv[0], " stands twice in this section", NULL);
    }
    rule->name = argv[0];
    rule->keys = MCP_LIMIT_PERSON;
    rule->off = !ap_cstr_casecmp(argv[1], "off");
    if (!rule->off && (err = mcp_rate_parse(argv[1], &rule->rate))) {
        return apr_pstrcat(cmd->pool, "MCPLimit ", argv[0], " ", err, NULL);
    }
    rule->rate_text = argv[1];
    for (i = 2; i < argc; i++) {
        if ((err = parse_option(cmd, rule, argv[i]))) {
            return err;
        }
    }
    if (rule->tools || (rule->keys & MCP_LIMIT_TOOL)) {
        mcp_rpc_want(cmd);
    }
    if (!rule->off) {
        rule->policy = policy_of(cmd->pool, rule);
    }
    if (!conf->rules) {
        conf->rules = apr_array_make(cmd->pool, 2, sizeof(mcp_limit_rule_t *));
    }
    rules = (apr_array_header_t *)conf->rules;
    APR_ARRAY_PUSH(rules, mcp_limit_rule_t *) = rule;
    used = 1;
    return NULL;
}

const char *mcp_set_limit_headers(cmd_parms *cmd, void *dir, int flag)
{
    (void)cmd;
    ((mcp_guard_dir_t *)dir)->limits.headers = flag;
    return NULL;
}
