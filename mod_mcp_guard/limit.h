/* SPDX-License-Identifier: Apache-2.0 */
/* Limits of a guarded location: how many calls a person, client, session, address, tool, or what an
 * expression says, may make in a time (MCPLimit), in a day or month (MCPQuota), and at once
 * (MCPConcurrency) (G2, G3, T31).
 *
 *   limit_config.c  directives
 *   limit.c         when is counted, by what, and what is answered: 429, RateLimit headers
 *   limit_count.c   where is counted: on this host, or for all hosts together
 *
 * Counts live in shared memory, exact across the host's processes, and outlive graceful restarts
 * (mcp_limit.h, mcp_slots.h). Quotas live in a file mapped into memory (mcp_quota.h). What is
 * counted for all hosts together lies in memcached or redis (mcp_counter.h).
 */

#ifndef MCP_GUARD_LIMIT_H
#define MCP_GUARD_LIMIT_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>

#include "mcp_limit.h"
#include "mcp_quota.h"

/* By what a rule counts; several make a key of all of them. */
typedef enum {
    MCP_LIMIT_PERSON = 0x01,
    MCP_LIMIT_CLIENT = 0x02,
    MCP_LIMIT_SESSION = 0x04,
    MCP_LIMIT_ADDRESS = 0x08,
    MCP_LIMIT_TOOL = 0x10
} mcp_limit_key_e;

/* What is limited; in the order in which the rules of a request are asked. A call that is refused
 * should not have cost anything: places at once come back by themselves, rates soon, quotas last.
 */
typedef enum {
    MCP_LIMIT_AT_ONCE, /* MCPConcurrency */
    MCP_LIMIT_RATE,    /* MCPLimit */
    MCP_LIMIT_QUOTA,   /* MCPQuota */
    MCP_LIMIT_KINDS
} mcp_limit_kind_e;

/* `MCPLimit NAME RATE [key=...] [tool=...] [if=...] [cluster]` and its kin */
typedef struct {
    mcp_limit_kind_e kind;
    const char *directive;
    const char *name;
    int off;                         /* `MCPLimit NAME off`: none here */
    mcp_rate_t rate;                 /* of MCPConcurrency the count only */
    mcp_calendar_e calendar;         /* of MCPQuota, in the place of the rate's period */
    int cluster;                     /* counted for all hosts together */
    unsigned int keys;               /* mcp_limit_key_e; 0: one count for all, or key_expr's */
    const ap_expr_info_t *key_expr;  /* key=expr:..., NULL: none */
    const apr_array_header_t *tools; /* tool=..., const char *, names and globs; NULL: any */
    const ap_expr_info_t *when;      /* if=..., NULL: always */
    const char *text;                /* the rate as written, for messages */
} mcp_limit_rule_t;

/* Settings of a location. */
typedef struct {
    const apr_array_header_t *rules; /* mcp_limit_rule_t *; NULL: none */
    int headers;                     /* MCPLimitHeaders; -1 not set: On */
} mcp_limit_conf_t;

/* Settings of the whole server, and what its rules need; made anew for each reading of the
 * configuration. */
typedef struct {
    int used;                 /* 1 << mcp_limit_kind_e of all rules; a cluster's may count here too */
    int cluster;              /* some rule counts for all hosts together */
    const char *quota_file;   /* MCPQuotaFile; NULL: none */
    const char *file_wanted;  /* where the first rule stands that needs it; NULL: nowhere */
    const char *store;        /* MCPLimitStore; NULL: none */
    const char *store_wanted; /* where the first rule stands that needs it; NULL: nowhere */
    int closed;               /* `closed`: without that store no calls */
} mcp_limit_global_t;

extern mcp_limit_global_t mcp_limit_global;

#define MCP_LIMIT_COMMANDS \
    AP_INIT_TAKE_ARGV( \
        "MCPLimit", mcp_set_limit, (void *)MCP_LIMIT_RATE, ACCESS_CONF, \
        "a rate limit: NAME COUNT/PERIOD[/BURST]|off [key=...] [tool=...] [if=...] [cluster]"), \
        AP_INIT_TAKE_ARGV("MCPQuota", mcp_set_limit, (void *)MCP_LIMIT_QUOTA, ACCESS_CONF, \
                          "a quota: NAME COUNT/hour|day|week|month|off [key=...] [tool=...] " \
                          "[if=...] [cluster]"), \
        AP_INIT_TAKE_ARGV( \
            "MCPConcurrency", mcp_set_limit, (void *)MCP_LIMIT_AT_ONCE, ACCESS_CONF, \
            "calls under way at once: NAME COUNT|off [key=...] [tool=...] [if=...]"), \
        AP_INIT_FLAG("MCPLimitHeaders", mcp_set_limit_headers, NULL, ACCESS_CONF, \
                     "On (default) or Off: tell clients their limits in RateLimit and " \
                     "RateLimit-Policy headers"), \
        AP_INIT_TAKE1("MCPQuotaFile", mcp_set_quota_file, NULL, RSRC_CONF, \
                      "file in which the counts of MCPQuota outlive restarts"), \
        AP_INIT_TAKE12("MCPLimitStore", mcp_set_limit_store, NULL, RSRC_CONF, \
                       "memcache:HOST:PORT or redis:HOST:PORT, or :/socket, for limits with the " \
                       "word cluster, and local (default) or closed: what holds while it is away")

const char *mcp_set_limit(cmd_parms *cmd, void *dir, int argc, char *const argv[]);
const char *mcp_set_limit_headers(cmd_parms *cmd, void *dir, int flag);
const char *mcp_set_quota_file(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_limit_store(cmd_parms *cmd, void *dir, const char *arg, const char *when_down);

/** Nothing is set. */
void mcp_limit_conf_init(mcp_limit_conf_t *conf);

/** Add what @a base limits, unless a rule of @a conf has the same name. */
void mcp_limit_conf_inherit(apr_pool_t *p, mcp_limit_conf_t *conf, const mcp_limit_conf_t *base);

/** pre_config: forget what the last reading of the configuration said. */
void mcp_limit_config_begin(void);

/** check_config: have the rules what they count in? OK or an HTTP status; what is missing is
 * logged. */
int mcp_limit_config_check(server_rec *s, apr_pool_t *ptemp);

struct mcp_guard_request_t;

/* ---- limit.c ---- */

/**
 * Count the tools that a request calls, once its messages are read: each call of a batch counts.
 * @return OK, or what the hook returns: the refusal was sent
 */
int mcp_limit_messages(request_rec *r, struct mcp_guard_request_t *req);

/** register_hooks: all that limits need. */
void mcp_limit_register_hooks(apr_pool_t *p);

/* ---- limit_count.c ---- */

typedef enum {
    MCP_COUNT_ALLOWED,
    MCP_COUNT_REFUSED,
    MCP_COUNT_FULL, /* too many calls are under way to count one more */
    MCP_COUNT_DOWN  /* the store for all hosts cannot be asked, and `closed` was wanted */
} mcp_count_e;

/**
 * post_config: make or find what is counted in.
 * @return APR_SUCCESS, or an error that is logged
 */
apr_status_t mcp_limit_tables_open(server_rec *s, apr_pool_t *pconf, apr_interval_time_t timeout);

/** child_init: connections of this process. */
void mcp_limit_child_init(server_rec *s, apr_pool_t *pchild);

/** The parent: a child has ended, and what it had under way with it. */
void mcp_limit_child_gone(pid_t pid);

/** The parent, after a death: put right what a process left that died in the middle of a step.
 * Returns what is left to see. */
int mcp_limit_audit(void);

/**
 * Count one call. What is counted as under way is released when @a r ends.
 * @param state  filled in, but for MCP_COUNT_DOWN
 */
mcp_count_e mcp_limit_count(request_rec *r, const mcp_limit_rule_t *rule, const char *key,
                            mcp_limit_state_t *state);

#endif
