/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that several hosts share: in memcached or redis, which add one and tell the sum in a
 * single step.
 *
 * ap_socache cannot add, and of the clients in APR-util neither bounds how long it waits nor can
 * give a redis counter an end. So this speaks the few lines of either protocol that counting needs,
 * one round trip a count, over connections that a process keeps. A server that does not answer in
 * time is left alone for a second, by all but one caller after it.
 */

#ifndef MCP_COUNTER_H
#define MCP_COUNTER_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>

typedef struct mcp_counter_t mcp_counter_t;

/** The server cannot be asked. */
#define MCP_COUNTER_DOWN APR_EGENERAL

/**
 * Read `memcache:HOST:PORT`, `redis:HOST:PORT`, or either with a `/path/of/socket`.
 * @return NULL, or what is wrong
 */
const char *mcp_counter_check(apr_pool_t *p, const char *where);

/**
 * Find the server's address, once for all children; connects to nothing.
 * @param timeout  for one count, connecting included
 * @return NULL, or what is wrong
 */
const char *mcp_counter_create(mcp_counter_t **counter, const char *where,
                               apr_interval_time_t timeout, apr_pool_t *p);

/** child_init: this process's connections. */
void mcp_counter_child_init(mcp_counter_t *counter, apr_pool_t *pchild);

/**
 * Add one to @a key, which is made when it is not there. Keys are at most 64 letters, digits and colons.
 * @param until   when the server may forget the key: seconds since 1970
 * @param before  another key to read, or NULL
 * @param count   the sum
 * @param earlier the value of @a before, 0 when it is not there
 * @return APR_SUCCESS or MCP_COUNTER_DOWN: nothing is known
 */
apr_status_t mcp_counter_add(mcp_counter_t *counter, const char *key, apr_int64_t until,
                             const char *before, apr_int64_t *count, apr_int64_t *earlier);

/** Take the one back, of a call that was refused. */
void mcp_counter_undo(mcp_counter_t *counter, const char *key);

#endif
