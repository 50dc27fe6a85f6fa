/* SPDX-License-Identifier: Apache-2.0 */
/* A program that httpd starts, watches and feeds by a pipe, as it does for its own logs. */

#ifndef MCP_PIPE_H
#define MCP_PIPE_H

#include <httpd.h>

/**
 * Start the program of @a target, "|PROGRAM ARGUMENTS", for as long as @a pconf lives; httpd starts it again when it
 * dies. A graceful restart ends it by SIGTERM while children of before may still write: it should read to the end.
 * @param fd  set to the pipe, which does not block: PIPE_BUF bytes are taken in one piece or not at all
 */
apr_status_t mcp_pipe_open(const char *target, apr_pool_t *pconf, int *fd);

/** The program of "|PROGRAM ARGUMENTS", without the blanks before it; NULL: none is named. */
const char *mcp_pipe_program(const char *target);

#endif
