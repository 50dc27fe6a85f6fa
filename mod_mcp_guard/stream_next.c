/* SPDX-License-Identifier: Apache-2.0 */
/* Requests that come on a connection after its stream: served by workers of the MPM that the relay asks for by timed
 * callbacks. A stream among them comes back to the relay. */

#ifdef __linux__

#include <unistd.h>

#include <httpd.h>
#include <ap_mpm.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_log.h"
#include "stream_loop.h"

APLOG_USE_MODULE(mcp_guard);

/* In the relay thread. */
static mcp_park_t *queue, *queue_end; /* waiting for a worker */
static int working, working_max;      /* with workers */

static void *find_score(int *child, int *thread)
{
    int daemons = 0, threads = 0, i, j;
    apr_os_thread_t me = apr_os_thread_current();

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    for (i = 0; i < daemons; i++) {
        if (ap_scoreboard_image->servers[i][0].pid != getpid()) {
            continue;
        }
        for (j = 0; j < threads; j++) {
            worker_score *score = &ap_scoreboard_image->servers[i][j];

            if (score->tid == me) {
                *child = i;
                *thread = j;
                return score;
            }
        }
    }
    return NULL;
}

/* Show the worker as busy in mod_status while it serves a request for us. */
static void show_busy(mcp_park_t *park)
{
    static __thread int child, thread, known;

    if (!known) {
        known = find_score(&child, &thread) ? 1 : -1;
    }
    if (known < 0) {
        return;
    }
    if (park->sbh) {
        ap_update_sb_handle(park->sbh, child, thread);
    }
    else {
        ap_create_sb_handle(&park->sbh, park->c->pool, child, thread);
    }
    park->c->sbh = park->sbh;
}

/* In a worker of the MPM: the next request of the connection. */
static void work(void *baton)
{
    mcp_park_t *park = baton;
    conn_rec *c = park->c;
    int rc;

#if AP_HAS_THREAD_LOCAL
    c->current_thread = ap_thread_current();
#endif
    show_busy(park);
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    rc = ap_run_process_connection(c); /* H8 */
    park->state = rc == OK || rc == DONE ? (int)c->cs->state : CONN_STATE_LINGER;
    c->sbh = NULL;
    c->cs->state = CONN_STATE_SUSPENDED;
    if (park->state == CONN_STATE_SUSPENDED && !park->s) {
        /* Some other module suspended it and is its owner now; the MPM would have forgotten it likewise. */
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c, MCP_LOG(0560) "connection suspended by another module");
        park->state = MCP_STATE_FOREIGN;
    }
    mcp_loop_admit(park);
}

void mcp_next_run(void)
{
    while (queue && working < working_max) {
        mcp_park_t *park = queue;

        queue = park->link;
        working++;
        if (ap_mpm_register_timed_callback(0, work, park) != APR_SUCCESS) {
            park->state = CONN_STATE_LINGER; /* as a worker brings one back that is to be closed */
            mcp_loop_admit(park);
        }
    }
}

void mcp_next_request(mcp_park_t *park)
{
    park->phase = MCP_PARK_WORK;
    mcp_loop_arm(park);
    park->link = NULL;
    if (queue) {
        queue_end->link = park;
    }
    else {
        queue = park;
    }
    queue_end = park;
    mcp_next_run();
}

void mcp_next_back(void)
{
    working--;
}

void mcp_next_child_init(int threads)
{
    /* The MPM does not count a worker that runs a callback as busy: leave it most of them. */
    working_max = threads > 4 ? threads / 2 : 2;
}

#endif
