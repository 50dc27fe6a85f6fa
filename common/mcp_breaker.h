/* SPDX-License-Identifier: Apache-2.0 */
/* A circuit breaker for calls that may never return: at most so many of a process's threads wait in them at once. */

#ifndef MCP_BREAKER_H
#define MCP_BREAKER_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>

typedef struct mcp_breaker_t mcp_breaker_t;

/**
 * @param limit    calls under way at once, at least 1
 * @param timeout  how long all places must have been stuck before callers, those who wait included, are turned away
 */
apr_status_t mcp_breaker_create(mcp_breaker_t **breaker, int limit, apr_interval_time_t timeout, apr_pool_t *p);

/**
 * Ask for a place. Each APR_SUCCESS must be followed by mcp_breaker_leave().
 * @return APR_SUCCESS, or APR_TIMEUP: all places are taken by calls that do not come back
 */
apr_status_t mcp_breaker_enter(mcp_breaker_t *breaker);

/** Give the place back; wakes one waiter. */
void mcp_breaker_leave(mcp_breaker_t *breaker);

#endif
