/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a guarded location: how many calls a person, client, session, address, tool, or what an expression says, may make
 * (G2, G3, T31).
 *
 *   limit_config.c  MCPLimit, MCPLimitHeaders     limit.c  counting, 429, RateLimit headers
 *
 * Counts live in shared memory (mcp_limit.h), exact across the host's processes. They outlive graceful restarts and are
 * forgotten when httpd stops.
 */

#ifndef MCP_GUARD_LIMIT_H
#define MCP_GUARD_LIMIT_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>

#include "mcp_limit.h"

/* By what a rule counts; several make a key of all of them. */
typedef enum {
    MCP_LIMIT_PERSON = 0x01,
    MCP_LIMIT_CLIENT = 0x02,
    MCP_LIMIT_SESSION = 0x04,
    MCP_LIMIT_ADDRESS = 0x08,
    MCP_LIMIT_TOOL = 0x10
} mcp_limit_key_e;

/* `MCPLimit NAME RATE [key=...] [tool=...] [if=...]` */
typedef struct {
    const char *name;
    int off;                        /* `MCPLimit NAME off`: none here */
    mcp_rate_t rate;
    unsigned int keys;              /* mcp_limit_key_e; 0: one count for all, or key_expr's */
    const ap_expr_info_t *key_expr; /* key=expr:..., NULL: none */
    const apr_array_header_t *tools; /* tool=..., const char *, names and globs; NULL: any */
    const ap_expr_info_t *when;     /* if=..., NULL: always */
    const char *policy;             /* its item in RateLimit-Policy */
    const char *rate_text;          /* as written, for messages */
} mcp_limit_rule_t;

/* Settings of a location. */
typedef struct {
    const apr_array_header_t *rules; /* mcp_limit_rule_t *; NULL: none */
    int headers;                     /* MCPLimitHeaders; -1 not set: On */
} mcp_limit_conf_t;

#define MCP_LIMIT_COMMANDS                                                                                      \
    AP_INIT_TAKE_ARGV("MCPLimit", mcp_set_limit, NULL, ACCESS_CONF,                                             \
                      "a rate limit: NAME COUNT/PERIOD[/BURST]|off [key=...] [tool=...] [if=...]"),                        \
    AP_INIT_FLAG("MCPLimitHeaders", mcp_set_limit_headers, NULL, ACCESS_CONF,                                   \
                 "On (default) or Off: tell clients their limits in RateLimit and RateLimit-Policy headers")

const char *mcp_set_limit(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *mcp_set_limit_headers(cmd_parms *cmd, void *dir, int flag);

/** Nothing is set. */
void mcp_limit_conf_init(mcp_limit_conf_t *conf);

/** Add what @a base limits, unless a rule of @a conf has the same name. */
void mcp_limit_conf_inherit(apr_pool_t *p, mcp_limit_conf_t *conf, const mcp_limit_conf_t *base);

/** pre_config: forget what the last reading of the configuration said. */
void mcp_limit_config_begin(void);

/** Was there any MCPLimit? */
int mcp_limit_in_use(void);

struct mcp_guard_request_t;

/**
 * Count the tools that a request calls, once its messages are read: each call of a batch counts.
 * @return OK, or what the hook returns: the refusal was sent
 */
int mcp_limit_messages(request_rec *r, struct mcp_guard_request_t *req);

/** register_hooks: all that limits need. */
void mcp_limit_register_hooks(apr_pool_t *p);

#endif
