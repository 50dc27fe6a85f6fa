/* SPDX-License-Identifier: Apache-2.0 */
/* Lines to the syslog daemon of this host, with what syslog(3) does not tell: whether they were taken.
 *
 *   syslog[:FACILITY[:/SOCKET]]     authpriv and /dev/log where nothing else is said
 */

#ifndef MCP_SYSLOG_H
#define MCP_SYSLOG_H

#include <apr_errno.h>
#include <apr_pools.h>

/* By this name the daemon knows our lines. */
#define MCP_SYSLOG_TAG "mcp-audit"

typedef struct {
    int facility;     /* LOG_AUTHPRIV and its kin */
    const char *path; /* of the daemon's socket */
    int fd;           /* of this process; -1: not connected */
    int is_stream;
} mcp_syslog_t;

/**
 * Take a target apart; fd is -1 afterwards.
 * @param why  set where it is one of ours and wrong
 * @return 1, or 0 for another target or a wrong one
 */
int mcp_syslog_parse(apr_pool_t *p, const char *target, mcp_syslog_t *out, const char **why);

/**
 * Send one line, without its line end; connects where that has to be done. One thread of a process at a time.
 * @param wait_ms  for a daemon that is busy, in milliseconds, three times at most
 * @return APR_SUCCESS: it is in the daemon's queue; else why not
 */
apr_status_t mcp_syslog_send(mcp_syslog_t *log, const char *line, apr_size_t len, int wait_ms);

#endif
