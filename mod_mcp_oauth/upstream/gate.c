/* SPDX-License-Identifier: Apache-2.0 */
/* A gate for calls to a provider: a slow one must not take all threads of a process (craft 3.4). Those who wait hold a
 * thread as well, so their number is bounded like that of the callers. */

#include "upstream_impl.h"

#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

struct mcp_gate_t {
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *freed;
    int limit;
    int inside;
    int waiting;
};

apr_status_t mcp_gate_create(mcp_gate_t **out, int limit, apr_pool_t *p)
{
    mcp_gate_t *gate = apr_pcalloc(p, sizeof(*gate));
    apr_status_t rv = apr_thread_mutex_create(&gate->lock, APR_THREAD_MUTEX_DEFAULT, p);

    gate->limit = limit;
    *out = gate;
    return rv == APR_SUCCESS ? apr_thread_cond_create(&gate->freed, p) : rv;
}

apr_status_t mcp_gate_enter(mcp_gate_t *gate, apr_interval_time_t wait)
{
    apr_time_t deadline = apr_time_now() + wait;
    apr_status_t rv = APR_SUCCESS;

    apr_thread_mutex_lock(gate->lock);
    if (gate->inside >= gate->limit && gate->waiting >= gate->limit) {
        rv = APR_TIMEUP;
    }
    gate->waiting++;
    while (rv == APR_SUCCESS && gate->inside >= gate->limit) {
        apr_interval_time_t left = deadline - apr_time_now();

        if (left <= 0) {
            rv = APR_TIMEUP;
        }
        else {
            apr_thread_cond_timedwait(gate->freed, gate->lock, left);
        }
    }
    gate->waiting--;
    if (rv == APR_SUCCESS) {
        gate->inside++;
    }
    apr_thread_mutex_unlock(gate->lock);
    return rv;
}

void mcp_gate_leave(mcp_gate_t *gate)
{
    apr_thread_mutex_lock(gate->lock);
    gate->inside--;
    apr_thread_cond_signal(gate->freed);
    apr_thread_mutex_unlock(gate->lock);
}
