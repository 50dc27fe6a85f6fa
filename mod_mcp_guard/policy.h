/* SPDX-License-Identifier: Apache-2.0 */
/* Rules about what is called: their settings in a location, and what the policy's files share.
 *
 *   policy_config.c  directives                  require.c   Require mcp-claim, mcp-client, mcp-method, mcp-tool...
 *   rpc*.c           the messages (rpc.h)        condition.c conditions on arguments, expressions
 *   tool_scope.c     MCPToolScope                lists.c     answers to tools/list and its kin, filtered
 *   pins.c           MCPToolPins                 list_cut.c  one message with such a list
 */

#ifndef MCP_POLICY_H
#define MCP_POLICY_H

#include <httpd.h>
#include <http_config.h>

#include "rpc.h"

typedef struct mcp_pins_t mcp_pins_t;

/* Settings of a location. */
typedef struct {
    int wanted;                      /* something here asks for messages */
    int validate;                    /* MCPValidate; -1 not set */
    int hides;                       /* rules here may take entries out of lists */
    int slow;                        /* a Require here may wait for others: not to be asked in the relay's thread */
    int step_up;                     /* MCPListStepUp; -1 not set */
    apr_size_t message_max;          /* MCPMessageLimit; 0 not set */
    apr_size_t list_max;             /* MCPListLimit; 0 not set */
    apr_array_header_t *tool_scopes; /* MCPToolScope: mcp_tool_scope_t; NULL none */
    mcp_pins_t *pins;                /* MCPToolPins; NULL none */
} mcp_policy_conf_t;

/* A line of MCPToolScope. */
typedef struct {
    const char *tool;   /* name or glob */
    const char *scopes; /* all of them are needed */
} mcp_tool_scope_t;

/* ---- policy_config.c ---- */

void mcp_policy_conf_init(mcp_policy_conf_t *conf);

/** Take from @a base what is not set in @a conf. */
void mcp_policy_conf_inherit(apr_pool_t *p, mcp_policy_conf_t *conf, const mcp_policy_conf_t *base);

/** Are messages of this location read? */
int mcp_policy_reads(const mcp_policy_conf_t *conf);

apr_size_t mcp_policy_message_max(const mcp_policy_conf_t *conf);
apr_size_t mcp_policy_list_max(const mcp_policy_conf_t *conf);

/** The settings of the section of a directive that is being read. */
mcp_policy_conf_t *mcp_policy_conf_of(cmd_parms *cmd);

/** For directive setters: requests to the section of @a cmd must have their messages read. */
void mcp_rpc_want(cmd_parms *cmd);

/* The command table entries. */
#define MCP_POLICY_COMMANDS \
    AP_INIT_FLAG("MCPValidate", mcp_set_validate, NULL, ACCESS_CONF, \
                 "On: read and check JSON-RPC messages also where no rule needs them"), \
        AP_INIT_TAKE1("MCPMessageLimit", mcp_set_message_limit, NULL, ACCESS_CONF, \
                      "largest body of JSON-RPC messages, such as 1m (default) or 64k"), \
        AP_INIT_TAKE1("MCPListLimit", mcp_set_list_limit, NULL, ACCESS_CONF, \
                      "largest answer, or event of a stream, in which lists are filtered (default 4m)"), \
        AP_INIT_FLAG("MCPListStepUp", mcp_set_list_step_up, NULL, ACCESS_CONF, \
                     "On: lists show tools that only need more scopes, which a client may then ask for"), \
        AP_INIT_ITERATE2("MCPToolScope", mcp_set_tool_scope, NULL, ACCESS_CONF, \
                         "a tool (or glob) and the scopes that calling it needs"), \
        AP_INIT_TAKE123("MCPToolPins", mcp_set_tool_pins, NULL, ACCESS_CONF, \
                        "file with the tools as tools/list answered them, report (default) or enforce, and " \
                        "arguments: hold calls against the input schemas in it"), \
        AP_INIT_RAW_ARGS("Require", mcp_see_require, NULL, OR_AUTHCFG, \
                         "(mod_authz_core's; noted to know what may be asked while a stream flows)")

const char *mcp_set_validate(cmd_parms *cmd, void *dir, int flag);
const char *mcp_set_message_limit(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_list_limit(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_list_step_up(cmd_parms *cmd, void *dir, int flag);
const char *mcp_set_tool_scope(cmd_parms *cmd, void *dir, const char *tool, const char *scope);
const char *mcp_see_require(cmd_parms *cmd, void *dir, const char *args);

/* ---- tool_scope.c ---- */

/** All scopes that MCPToolScope wants for the message, "" when none. */
const char *mcp_tool_scopes(apr_pool_t *p, const mcp_policy_conf_t *conf, const mcp_rpc_message_t *message);

/* ---- pins.c ---- */

const char *mcp_set_tool_pins(cmd_parms *cmd, void *dir, const char *arg, const char *mode, const char *more);

/** pre_config: forget the last reading of the configuration. */
void mcp_pins_begin(apr_pool_t *pconf);

/** post_config: shared memory for what is found out. */
apr_status_t mcp_pins_open(apr_pool_t *pconf);

/** An entry of a list of tools goes by: report what changed. Returns 0 when it must not be shown. */
int mcp_pins_see(request_rec *r, const mcp_pins_t *pins, const json_t *entry);

/** check_config: tell what of the pinned input schemas is not checked. */
void mcp_pins_check_config(server_rec *s, apr_pool_t *ptemp);

/** What is wrong with a call's arguments by the pinned schema, for its sender; NULL: nothing, or it is not checked. */
const char *mcp_pins_bad_arguments(apr_pool_t *p, const mcp_pins_t *pins, const mcp_rpc_message_t *message);

/** May the tool of this message be called, as far as pins go? NULL for @a pins: yes. */
int mcp_pins_allow(const mcp_pins_t *pins, const mcp_rpc_message_t *message);

/* ---- require.c ---- */

/** Providers of Require. */
void mcp_require_register(apr_pool_t *p);

/** Does @a name match a name or glob? @a blind: as a careless backend compares, whatever the case. */
int mcp_name_matches(const char *pattern, const char *name, int blind);

/* ---- condition.c ---- */

typedef struct mcp_condition_t mcp_condition_t;

/**
 * "/pointer=glob", "/pointer!=glob" or "expr=...".
 * @return NULL, or what is wrong
 */
const char *mcp_condition_parse(cmd_parms *cmd, const char *text, const mcp_condition_t **condition);

/**
 * Does it hold for the message? Entries of lists, that have no arguments yet, fulfil every condition.
 * @param forbids  the rule refuses what it matches: in doubt the condition holds; else in doubt it does not
 */
int mcp_condition_holds(request_rec *r, const mcp_condition_t *condition, const mcp_rpc_message_t *message,
                        int forbids);

/** Functions and variables for httpd's expressions: mcp_arg('/pointer'), MCP_TOOL... */
void mcp_condition_hooks(apr_pool_t *p);

/* ---- list_cut.c ---- */

typedef struct mcp_list_cut_t mcp_list_cut_t;

/** For one answer or stream of a location with these settings. */
mcp_list_cut_t *mcp_list_cut_make(request_rec *r, const mcp_policy_conf_t *conf);

/** Could there be a list in this text? Letters may be written as \u00XX. */
int mcp_list_possible(const char *text);

/**
 * A message, or a batch of them, with its lists cut down; NUL-terminated.
 * @return @a text itself when nothing was hidden, else text in @a scratch; NULL when it cannot be read
 */
const char *mcp_list_cut(mcp_list_cut_t *cutter, const char *text, apr_size_t len, apr_pool_t *scratch);

/* ---- lists.c ---- */

void mcp_lists_register(apr_pool_t *p);

/** insert_filter: where an answer may hold a list that rules cut down. */
void mcp_lists_insert(request_rec *r);

#endif
