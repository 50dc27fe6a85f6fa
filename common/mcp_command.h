/* SPDX-License-Identifier: Apache-2.0 */
/* What a command prints, with a limit of time and of size; also for a process that has threads. */

#ifndef MCP_COMMAND_H
#define MCP_COMMAND_H

#include <apr_time.h>

/**
 * Run `/bin/sh -c command` and read what it prints on its standard output. It gets /dev/null as
 * standard input, our environment, no signal that is blocked or ignored, no descriptor of ours but
 * 2, and a process group of its own, which is killed when it does not end in time.
 * @param text  @a max bytes and room for a NUL more
 * @return NULL, or what went wrong: words that follow "the command ..."
 */
const char *mcp_command_read(const char *command, char *text, apr_size_t max,
                             apr_interval_time_t timeout);

#endif
