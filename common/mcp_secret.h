/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets by reference: file:PATH, env:NAME, exec:COMMAND; never in the configuration itself. */

#ifndef MCP_SECRET_H
#define MCP_SECRET_H

#include <apr_pools.h>

#define MCP_SECRET_MAX 65536

/**
 * Check the form of a reference (and that a named file exists and is private) where its directive stands. NULL or why not.
 * What is behind it is read at start, and by configtest (mcp_is_config_test()).
 */
const char *mcp_secret_check(apr_pool_t *p, const char *ref);

/**
 * Read a secret: trailing line ends are cut, an empty one or one with control bytes is refused. exec: runs the
 * command by /bin/sh, 10 s at most, in the parent at start-up (as root when httpd starts as root).
 * @param value  set in @a p, wiped when @a p is cleared
 * @return NULL, or a message that names the reference, never the value
 */
const char *mcp_secret_load(apr_pool_t *p, const char *ref, const char **value);

/** The same for a secret in PEM form, which has several lines. */
const char *mcp_secret_load_pem(apr_pool_t *p, const char *ref, const char **value);

#endif
