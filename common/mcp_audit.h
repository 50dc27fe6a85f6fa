/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: where its lines go, one chain across all processes, and what happens when they cannot be written.
 *
 * Off unless MCPAuditLog names a target. What a line says is in mcp_event.h, how lines hang together in
 * mcp_audit_chain.h. One log a server; both modules share it, as they share the store.
 */

#ifndef MCP_AUDIT_H
#define MCP_AUDIT_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_keyring.h"

/* `MCPAuditLog TARGET [required] [calls]` */
typedef struct {
    const char *target; /* a file, "|program" or syslog (mcp_syslog.h); NULL: off */
    int required;       /* what cannot be audited is refused */
    int calls;          /* calls to MCP servers too, not only what the authorization server does */
} mcp_audit_conf_t;

/* For metrics and the status page. */
typedef struct {
    apr_uint64_t written; /* lines since start */
    apr_uint64_t lost;    /* lines that could not be written since start */
    int failing;          /* the last one could not */
} mcp_audit_state_t;

/** Parse the directive's words. NULL, or what is wrong. */
const char *mcp_audit_parse(cmd_parms *cmd, mcp_audit_conf_t *conf, int argc, char *const argv[]);

/** pre_config duty: registers the mutex type "mcp-audit". */
apr_status_t mcp_audit_pre_config(apr_pool_t *pconf);

/** post_config duty, as root: open the target, or find what the other module opened. Errors are logged. */
apr_status_t mcp_audit_open(const mcp_audit_conf_t *conf, const mcp_keyring_t *ring, server_rec *s, apr_pool_t *pconf);

/** child_init duty; calling it from both modules is fine. */
void mcp_audit_child_init(apr_pool_t *pchild);

/** Is there an audit log, and does it want calls to MCP servers? */
int mcp_audit_is_on(void);
int mcp_audit_wants_calls(void);

/**
 * Write one line.
 * @param fields  members of a JSON object, without braces
 * @return APR_SUCCESS, also when there is no audit log; else why it was lost, which is counted
 */
apr_status_t mcp_audit_write(const char *fields);

/**
 * May a request go on that has to be audited? Where the log is required and fails, no more than one request a second
 * tries to write, and all others are refused until that succeeds.
 */
int mcp_audit_is_ready(void);

/** 1 and *state filled in when there is an audit log. */
int mcp_audit_state(mcp_audit_state_t *state);

#endif
