/* SPDX-License-Identifier: Apache-2.0 */
/* Between the guard and its stream governor: who holds a stream, and whether the grant behind it still stands. */

#include <string.h>

#include "guard.h"
#include "mcp_not_before.h"
#include "stream.h"

static mcp_store_t *store; /* set in post_config, inherited by the children */

void mcp_guard_streams_init(mcp_store_t *shared_store)
{
    store = shared_store;
}

void mcp_guard_store_hang_up(void)
{
    if (store) {
        mcp_store_hang_up(store);
    }
}

mcp_stream_conf_t *mcp_guard_stream_conf(void *dir_conf)
{
    return &((mcp_guard_dir_t *)dir_conf)->stream;
}

int mcp_guard_stream_holder(request_rec *r, mcp_stream_holder_t *holder)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    if (!req || !req->session) {
        return 0;
    }
    holder->subject = req->session->subject;
    holder->client = req->session->client;
    holder->expires = req->session->expires;
    memcpy(holder->grant, req->session->grant_id, MCP_ID_LEN);
    return 1;
}

apr_status_t mcp_guard_grant_check(const unsigned char id[MCP_ID_LEN], apr_time_t now, apr_time_t *until,
                                   apr_pool_t *p)
{
    mcp_grant_t grant;
    apr_status_t rv = mcp_grant_standing(store, id, now, &grant, p);

    if (rv != APR_SUCCESS) {
        return rv == APR_EACCES ? APR_NOTFOUND : rv;
    }
    if (grant.expires <= now) {
        return APR_NOTFOUND;
    }
    *until = grant.access_expires && grant.access_expires < grant.expires ? grant.access_expires : grant.expires;
    return *until <= now ? APR_TIMEUP : APR_SUCCESS;
}

int mcp_guard_grant_revoked(const unsigned char id[MCP_ID_LEN], apr_pool_t *p)
{
    mcp_grant_t grant;

    return mcp_grant_standing(store, id, apr_time_now(), &grant, p) == APR_EACCES;
}

apr_status_t mcp_guard_revocations(int remote, apr_uint64_t *stamp, apr_pool_t *p)
{
    unsigned char mark[8];
    apr_status_t rv;

    *stamp = 0;
    if (!store) {
        return APR_SUCCESS;
    }
    if (!remote) {
        *stamp = mcp_store_generation(store);
        return APR_SUCCESS;
    }
    if (!mcp_store_is_shared(store)) {
        return APR_SUCCESS;
    }
    rv = mcp_revocation_last(store, mark, p);
    memcpy(stamp, mark, sizeof(*stamp));
    return rv;
}
