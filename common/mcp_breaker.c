/* SPDX-License-Identifier: Apache-2.0 */
/* A circuit breaker that closes by itself: stuck calls hold their places, and the first that returns gives one back.
 *
 * apr_memcache and apr_redis wait without limit for a server that is connected but silent (craft finding 3), and offer
 * no way to set a time limit. So we bound what that can cost: `limit` threads of each process, and `timeout` for the
 * callers who come while it is not yet known. A server that is only slow, or a machine that is only busy, turns nobody
 * away: while calls come back, callers wait for their turn.
 */

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "mcp_breaker.h"

struct mcp_breaker_t {
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *freed;
    int limit;
    int busy;
    apr_interval_time_t timeout;
    apr_time_t progress; /* when a call last went in or came back */
};

apr_status_t mcp_breaker_create(mcp_breaker_t **out, int limit, apr_interval_time_t timeout, apr_pool_t *p)
{
    mcp_breaker_t *breaker = apr_pcalloc(p, sizeof(*breaker));
    apr_status_t rv = apr_thread_mutex_create(&breaker->lock, APR_THREAD_MUTEX_DEFAULT, p);

    if (rv == APR_SUCCESS) {
        rv = apr_thread_cond_create(&breaker->freed, p);
    }
    breaker->limit = limit > 0 ? limit : 1;
    breaker->timeout = timeout;
    *out = breaker;
    return rv;
}

apr_status_t mcp_breaker_enter(mcp_breaker_t *breaker)
{
    apr_status_t rv = APR_SUCCESS;

    apr_thread_mutex_lock(breaker->lock);
    while (breaker->busy >= breaker->limit) {
        apr_interval_time_t left = breaker->progress + breaker->timeout - apr_time_now();

        if (left <= 0) {
            rv = APR_TIMEUP;
            break;
        }
        apr_thread_cond_timedwait(breaker->freed, breaker->lock, left);
    }
    if (rv == APR_SUCCESS) {
        breaker->busy++;
        breaker->progress = apr_time_now();
    }
    apr_thread_mutex_unlock(breaker->lock);
    return rv;
}

void mcp_breaker_leave(mcp_breaker_t *breaker)
{
    apr_thread_mutex_lock(breaker->lock);
    breaker->busy--;
    breaker->progress = apr_time_now();
    apr_thread_cond_signal(breaker->freed);
    apr_thread_mutex_unlock(breaker->lock);
}
