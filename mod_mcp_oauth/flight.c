/* SPDX-License-Identifier: Apache-2.0 */
/* Single flight within a process: of several threads that want the same done, one does it, and the others wait for it
 * without troubling the store. Those who wait hold a thread of httpd, so that their number is bounded. */

#include "upstream_tokens.h"

#include <ap_mpm.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#define FLIGHTS 64 /* of different grants; as many threads as may wait for providers at most (upstream/provider.c) */

static struct {
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *landed;
    unsigned char ids[FLIGHTS][MCP_ID_LEN];
    int count;
    int waiting;
    int may_wait;
} flights;

apr_status_t mcp_flight_init(apr_pool_t *p)
{
    int threads = 0;
    apr_status_t rv = apr_thread_mutex_create(&flights.lock, APR_THREAD_MUTEX_DEFAULT, p);

    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS) {
        threads = 1;
    }
    flights.count = flights.waiting = 0;
    flights.may_wait = threads < 4 ? 2 : threads / 2;
    return rv == APR_SUCCESS ? apr_thread_cond_create(&flights.landed, p) : rv;
}

static int find(const unsigned char id[MCP_ID_LEN])
{
    for (int i = 0; i < flights.count; i++) {
        if (!memcmp(flights.ids[i], id, MCP_ID_LEN)) {
            return i;
        }
    }
    return -1;
}

apr_status_t mcp_flight_board(const unsigned char id[MCP_ID_LEN], apr_interval_time_t wait)
{
    apr_time_t until = apr_time_now() + wait;
    apr_status_t rv = APR_SUCCESS;

    apr_thread_mutex_lock(flights.lock);
    if (find(id) < 0) {
        if (flights.count < FLIGHTS) {
            memcpy(flights.ids[flights.count++], id, MCP_ID_LEN);
        }
        else {
            rv = APR_TIMEUP;
        }
        apr_thread_mutex_unlock(flights.lock);
        return rv;
    }
    rv = wait > 0 && flights.waiting < flights.may_wait ? APR_EAGAIN : APR_TIMEUP;
    flights.waiting++;
    while (rv == APR_EAGAIN && find(id) >= 0) {
        apr_interval_time_t left = until - apr_time_now();

        if (left <= 0) {
            rv = APR_TIMEUP;
        }
        else {
            apr_thread_cond_timedwait(flights.landed, flights.lock, left);
        }
    }
    flights.waiting--;
    apr_thread_mutex_unlock(flights.lock);
    return rv;
}

void mcp_flight_land(const unsigned char id[MCP_ID_LEN])
{
    int at;

    apr_thread_mutex_lock(flights.lock);
    at = find(id);
    if (at >= 0) {
        memcpy(flights.ids[at], flights.ids[--flights.count], MCP_ID_LEN);
    }
    apr_thread_cond_broadcast(flights.landed);
    apr_thread_mutex_unlock(flights.lock);
}
