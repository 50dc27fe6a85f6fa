/* SPDX-License-Identifier: Apache-2.0 */
/* A lock among all processes and hosts of one store. */

#include <string.h>

#include "mcp_lease.h"

#define SAFETY apr_time_from_sec(1)   /* of MCP_LEASE_HOLD, what a last write may take */
#define SETTLE apr_time_from_msec(40) /* longer than two writes to the store take */
#define FREE_LIFE apr_time_from_sec(30 * 86400)

static void make_ids(mcp_lease_t *lease, const void *what, apr_size_t len)
{
    memcpy(lease->free, "free", 4);
    memcpy(lease->held, "held", 4);
    mcp_sha256(what, len, lease->free + 4);
    memcpy(lease->held + 4, lease->free + 4, MCP_SHA256_LEN);
}

static apr_status_t write_held(mcp_lease_t *lease, const unsigned char me[MCP_ID_LEN],
                               apr_pool_t *p)
{
    apr_time_t until = apr_time_now() + lease->hold;

    lease->until = until - SAFETY;
    return mcp_store_put(lease->store, MCP_KIND_UPSTREAM_LOCK, lease->held, sizeof(lease->held),
                         until, me, MCP_ID_LEN, p);
}

static apr_status_t read_held(const mcp_lease_t *lease, unsigned char **who, apr_pool_t *p)
{
    apr_size_t len;
    apr_status_t rv = mcp_store_get(lease->store, MCP_KIND_UPSTREAM_LOCK, lease->held,
                                    sizeof(lease->held), who, &len, p);

    return rv == APR_SUCCESS && len != MCP_ID_LEN ? APR_NOTFOUND : rv;
}

/* Neither record is there. Of several that find that, one is chosen by who writes last: nobody writes once a mark is
 * there, so after the writes have settled each of them reads the same one. APR_SUCCESS for the chosen one. */
static apr_status_t claim(mcp_lease_t *lease, const unsigned char me[MCP_ID_LEN], apr_pool_t *p)
{
    apr_status_t rv = write_held(lease, me, p);
    unsigned char *who;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    apr_sleep(SETTLE);
    rv = read_held(lease, &who, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (memcmp(who, me, MCP_ID_LEN) != 0) {
        return APR_NOTFOUND;
    }
    /* Where a holder was only slow, and has put the lock back meanwhile, it is ours and must be nobody else's. */
    rv =
        mcp_store_remove(lease->store, MCP_KIND_UPSTREAM_LOCK, lease->free, sizeof(lease->free), p);
    return rv == MCP_EDOWN ? rv : APR_SUCCESS;
}

apr_status_t mcp_lease_take(mcp_store_t *store, const void *what, apr_size_t len,
                            apr_interval_time_t wait, mcp_lease_t *lease, apr_pool_t *p)
{
    return mcp_lease_take_for(store, what, len, wait, MCP_LEASE_HOLD, lease, p);
}

apr_status_t mcp_lease_take_for(mcp_store_t *store, const void *what, apr_size_t len,
                                apr_interval_time_t wait, apr_interval_time_t hold,
                                mcp_lease_t *lease, apr_pool_t *p)
{
    apr_time_t until = apr_time_now() + wait;
    unsigned char me[MCP_ID_LEN];
    unsigned char *who;
    int bare = 0;

    memset(lease, 0, sizeof(*lease));
    lease->store = store;
    lease->hold = hold;
    make_ids(lease, what, len);
    mcp_random(me, sizeof(me));
    for (;;) {
        apr_status_t rv =
            mcp_store_remove(store, MCP_KIND_UPSTREAM_LOCK, lease->free, sizeof(lease->free), p);

        if (rv == APR_SUCCESS) {
            rv = write_held(lease, me, p);
        }
        else if (rv == APR_NOTFOUND) {
            rv = read_held(lease, &who, p);
            bare = rv == APR_NOTFOUND ? bare + 1 : 0;
            /* Not at the first look: a holder may be between two writes. */
            rv = bare > 1 ? claim(lease, me, p) : rv == MCP_EDOWN ? rv
                                                                  : APR_NOTFOUND;
        }
        if (rv == APR_SUCCESS || rv == MCP_EDOWN) {
            return rv;
        }
        if (apr_time_now() >= until) {
            return APR_TIMEUP;
        }
        /* Not all at the same beat. */
        apr_sleep(apr_time_from_msec(2) + (me[0] << 5));
        mcp_random(me, 1);
    }
}

int mcp_lease_holds(const mcp_lease_t *lease)
{
    return apr_time_now() < lease->until;
}

void mcp_lease_give(mcp_lease_t *lease, apr_pool_t *p)
{
    if (mcp_lease_holds(lease)) {
        mcp_store_put(lease->store, MCP_KIND_UPSTREAM_LOCK, lease->free, sizeof(lease->free),
                      apr_time_now() + FREE_LIFE, "1", 1, p);
    } /* else whoever claims it after us makes it anew */
}
