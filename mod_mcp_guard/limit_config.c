/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of limits. */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_counter.h"
#include "mcp_log.h"

APLOG_USE_MODULE(mcp_guard);

#define NAME_MAX_LEN 32
#define CALLS_MOST 60000

static const char *const examples[MCP_LIMIT_KINDS] = { "MCPConcurrency at-once 4 key=person",
                                                       "MCPLimit calls 60/min key=person",
                                                       "MCPQuota calls 1000/day key=person" };

mcp_limit_global_t mcp_limit_global;

void mcp_limit_config_begin(void)
{
    memset(&mcp_limit_global, 0, sizeof(mcp_limit_global));
}

void mcp_limit_conf_init(mcp_limit_conf_t *conf)
{
    conf->rules = NULL;
    conf->headers = -1;
}

static const char *place_of(const cmd_parms *cmd)
{
    return apr_psprintf(cmd->pool, "%s line %d", cmd->directive->filename,
                        cmd->directive->line_num);
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
        return err ? apr_pstrcat(cmd->pool, cmd->cmd->name, ": key=", text, ": ", err, NULL) : NULL;
    }
    for (word = apr_strtok(apr_pstrdup(cmd->temp_pool, text), ",", &last); word;
         word = apr_strtok(NULL, ",", &last)) {
        apr_size_t i = 0;

        while (i < sizeof(known) / sizeof(*known) && strcmp(known[i].name, word)) {
            i++;
        }
        if (i == sizeof(known) / sizeof(*known)) {
            return apr_psprintf(
                cmd->pool,
                "%s counts by key=person, client, session, address, tool (several with "
                "commas), all, or expr:...; not by %s",
                cmd->cmd->name, word);
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

    for (word = apr_strtok(apr_pstrdup(cmd->pool, text), ",", &last); word;
         word = apr_strtok(NULL, ",", &last)) {
        APR_ARRAY_PUSH(tools, const char *) = word;
    }
    rule->tools = tools;
}

static const char *parse_option(cmd_parms *cmd, mcp_limit_rule_t *rule, const char *arg)
{
    const char *name = cmd->cmd->name;
    const char *err = NULL;

    if (!strncmp(arg, "key=", 4)) {
        return parse_keys(cmd, rule, arg + 4);
    }
    if (!strncmp(arg, "tool=", 5)) {
        parse_tools(cmd, rule, arg + 5);
        return rule->tools->nelts
                   ? NULL
                   : apr_pstrcat(cmd->pool, name,
                                 ": tool= takes names or globs of tools, with commas between them",
                                 NULL);
    }
    if (!strncmp(arg, "if=", 3)) {
        rule->when = ap_expr_parse_cmd(cmd, arg + 3, 0, &err, NULL);
        return err ? apr_pstrcat(cmd->pool, name, ": ", arg, ": ", err, NULL) : NULL;
    }
    if (!strcmp(arg, "cluster") && rule->kind != MCP_LIMIT_AT_ONCE) {
        rule->cluster = 1;
        return NULL;
    }
    return apr_pstrcat(cmd->pool, name, " knows key=, tool=, if=",
                       rule->kind != MCP_LIMIT_AT_ONCE ? " and cluster" : "", " after the ",
                       rule->kind == MCP_LIMIT_AT_ONCE ? "count" : "rate", ", not ", arg, NULL);
}

/* The number that follows the name. NULL, or what is wrong. */
static const char *parse_rate(mcp_limit_rule_t *rule, const char *text)
{
    char *end;
    apr_int64_t n;

    switch (rule->kind) {
    case MCP_LIMIT_RATE:
        return mcp_rate_parse(text, &rule->rate);
    case MCP_LIMIT_QUOTA:
        return mcp_quota_parse(text, &rule->rate.count, &rule->calendar);
    default:
        n = apr_isdigit(*text) ? apr_strtoi64(text, &end, 10) : 0;
        if (n < 1 || n > CALLS_MOST || *end) {
            return "takes how many calls may be under way at once, from 1 to 60000";
        }
        rule->rate.count = (apr_uint32_t)n;
        return NULL;
    }
}

/* A cluster counts windows of the clock in seconds. */
static const char *check_cluster(const mcp_limit_rule_t *rule)
{
    if (!rule->cluster || rule->kind != MCP_LIMIT_RATE) {
        return NULL;
    }
    if (rule->rate.burst != rule->rate.count) {
        return "with the word cluster counts windows, in which all of COUNT may come at once: "
               "leave the burst out";
    }
    return rule->rate.period % APR_USEC_PER_SEC
               ? "with the word cluster takes a period of whole seconds"
               : NULL;
}

/* What the server needs for this rule. */
static void note_use(cmd_parms *cmd, const mcp_limit_rule_t *rule)
{
    int file = rule->kind == MCP_LIMIT_QUOTA && !rule->cluster;

    mcp_limit_global.used |= 1 << rule->kind;
    mcp_limit_global.cluster |= rule->cluster;
    if (file && !mcp_limit_global.file_wanted) {
        mcp_limit_global.file_wanted = place_of(cmd);
    }
    if (rule->cluster && !mcp_limit_global.store_wanted) {
        mcp_limit_global.store_wanted = place_of(cmd);
    }
    if (rule->tools || (rule->keys & MCP_LIMIT_TOOL)) {
        mcp_rpc_want(cmd);
    }
}

const char *mcp_set_limit(cmd_parms *cmd, void *dir, int argc, char *const argv[])
{
    mcp_limit_conf_t *conf = &((mcp_guard_dir_t *)dir)->limits;
    const char *name = cmd->cmd->name;
    mcp_limit_rule_t *rule = apr_pcalloc(cmd->pool, sizeof(*rule));
    apr_array_header_t *rules;
    const char *err = NULL;
    int i;

    rule->kind = (mcp_limit_kind_e)(apr_uintptr_t)cmd->info;
    if (argc < 2) {
        return apr_psprintf(cmd->pool, "%s takes a name and a %s, such as: %s", name,
                            rule->kind == MCP_LIMIT_AT_ONCE ? "count" : "rate",
                            examples[rule->kind]);
    }
    for (i = 0; apr_isalnum(argv[0][i]) || (argv[0][i] && strchr("-_.", argv[0][i])); i++) {
        ;
    }
    if (argv[0][i] || i == 0 || i > NAME_MAX_LEN) {
        return apr_psprintf(
            cmd->pool, "%s takes a name of 1 to %d letters, digits, '-', '_' and '.' first, not %s",
            name, NAME_MAX_LEN, argv[0]);
    }
    if (find_rule(conf->rules, argv[0])) {
        return apr_pstrcat(cmd->pool, name, " ", argv[0],
                           ": a limit of this name stands twice in this section", NULL);
    }
    rule->directive = name;
    rule->name = argv[0];
    rule->keys = MCP_LIMIT_PERSON;
    rule->text = argv[1];
    rule->off = !ap_cstr_casecmp(argv[1], "off");
    if (!rule->off) {
        err = parse_rate(rule, argv[1]);
    }
    for (i = 2; !err && i < argc; i++) {
        if ((err = parse_option(cmd, rule, argv[i]))) {
            return err;
        }
    }
    if (!err && !rule->off) {
        err = check_cluster(rule);
    }
    if (err) {
        return apr_pstrcat(cmd->pool, name, " ", argv[0], " ", err, NULL);
    }
    if (!rule->off) {
        note_use(cmd, rule);
    }
    if (!conf->rules) {
        conf->rules = apr_array_make(cmd->pool, 2, sizeof(mcp_limit_rule_t *));
    }
    rules = (apr_array_header_t *)conf->rules;
    APR_ARRAY_PUSH(rules, mcp_limit_rule_t *) = rule;
    return NULL;
}

const char *mcp_set_limit_headers(cmd_parms *cmd, void *dir, int flag)
{
    ((mcp_guard_dir_t *)dir)->limits.headers = flag;
    return NULL;
}

const char *mcp_set_quota_file(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    mcp_limit_global.quota_file = ap_server_root_relative(cmd->pool, arg);
    if (!err && !mcp_limit_global.quota_file) {
        err = apr_pstrcat(cmd->pool, cmd->cmd->name, " takes the path of a file, not ", arg, NULL);
    }
    return err;
}

const char *mcp_set_limit_store(cmd_parms *cmd, void *dir, const char *arg, const char *when_down)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    if (err) {
        return err;
    }
    err = mcp_counter_check(cmd->temp_pool, arg);
    if (!err && when_down && ap_cstr_casecmp(when_down, "local")
        && ap_cstr_casecmp(when_down, "closed")) {
        err = "takes local or closed last: whether each host counts by itself while the store is "
              "away, or refuses calls";
    }
    if (err) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " ", err, NULL);
    }
    mcp_limit_global.store = arg;
    mcp_limit_global.closed = when_down && !ap_cstr_casecmp(when_down, "closed");
    return NULL;
}

int mcp_limit_config_check(server_rec *s, apr_pool_t *ptemp)
{
    const mcp_limit_global_t *global = &mcp_limit_global;
    const char *dir = global->quota_file ? ap_make_dirstr_parent(ptemp, global->quota_file) : NULL;
    apr_finfo_t info;

    if (global->store_wanted && !global->store) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     MCP_LOG(0499) "%s: a limit with the word cluster needs a store that all hosts "
                                   "share. Add to the main "
                                   "server: MCPLimitStore memcache:HOST:PORT, or redis:HOST:PORT",
                     global->store_wanted);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (global->file_wanted && !global->quota_file) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     MCP_LOG(0488) "%s: MCPQuota needs a file in which counts outlive restarts. "
                                   "Add to the main server: "
                                   "MCPQuotaFile /var/lib/mcp/quotas (make the directory with: "
                                   "install -d -m 700 "
                                   "/var/lib/mcp), or the word cluster to the quota",
                     global->file_wanted);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (dir
        && (apr_stat(&info, dir, APR_FINFO_TYPE, ptemp) != APR_SUCCESS
            || info.filetype != APR_DIR)) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s,
                     MCP_LOG(0489) "MCPQuotaFile %s: there is no such directory. Make it with: "
                                   "install -d -m 700 %s",
                     global->quota_file, dir);
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    return OK;
}
