/* SPDX-License-Identifier: Apache-2.0 */
/* A lock among all processes and hosts of one store, for records that are read, changed and written back.
 *
 * ap_socache has no compare-and-swap. What it has is a remove that exactly one of several callers wins (design
 * principle 5), so the right to write is a record that is removed by whoever takes it and put back afterwards:
 *
 *   free   MCP_KIND_UPSTREAM_LOCK "free" | SHA-256(what)   there: nobody writes
 *   held   MCP_KIND_UPSTREAM_LOCK "held" | SHA-256(what)   who took it last, for as long as it may be held; only looked at
 *                                                          while free is missing
 *
 * Neither there: never used before, lost with the store, or its holder died. Then the one that writes held last has it.
 */

#ifndef MCP_LEASE_H
#define MCP_LEASE_H

#include "mcp_store.h"
#include "mcp_util.h"

#define MCP_LEASE_ID_LEN (4 + MCP_SHA256_LEN)

typedef struct {
    mcp_store_t *store;
    unsigned char free[MCP_LEASE_ID_LEN];
    unsigned char held[MCP_LEASE_ID_LEN];
    apr_interval_time_t hold; /* a holder that needs longer is taken for dead */
    apr_time_t until;         /* when others may take it for granted that this holder died */
} mcp_lease_t;

#define MCP_LEASE_HOLD apr_time_from_sec(3) /* for a change to a record */

/**
 * Take the lock on @a what, waiting for @a wait at most.
 * @return APR_SUCCESS (mcp_lease_give() must follow), APR_TIMEUP, or MCP_EDOWN
 */
apr_status_t mcp_lease_take(mcp_store_t *store, const void *what, apr_size_t len,
                            apr_interval_time_t wait, mcp_lease_t *lease, apr_pool_t *p);

/** The same for work that takes as long as @a hold: if the holder dies, nobody gets the lock for that long. */
apr_status_t mcp_lease_take_for(mcp_store_t *store, const void *what, apr_size_t len,
                                apr_interval_time_t wait, apr_interval_time_t hold,
                                mcp_lease_t *lease, apr_pool_t *p);

/** Is there still time to write? A holder that was held up too long must not: somebody else may be writing. */
int mcp_lease_holds(const mcp_lease_t *lease);

void mcp_lease_give(mcp_lease_t *lease, apr_pool_t *p);

#endif
