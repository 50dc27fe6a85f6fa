/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the connections that the relay holds: as little as they need, and, when it is through with one, when it may
 * go and that the system gets it back. In the relay thread only. */

#ifdef __linux__

#include <malloc.h>
#include <string.h>

#include <httpd.h>
#include <apr_allocator.h>
#include <http_config.h>
#include <mpm_common.h>

#include "stream_loop.h"

#define SWEEP_GUARD apr_time_from_sec(1)
#define SPARE_MAX 16   /* blocks given back at once */
#define SPARE_LOOK 64  /* bytes of a block that was never used are all zero */
#define TRIM_AFTER 256 /* connections buried before memory is given back to the system */

static mcp_park_t *gone; /* to be buried */
static unsigned buried;  /* since memory was given back */

/* A request's headers and its answer's went through blocks of 8 KB each, which the allocator keeps for the connection's
 * next request. It gives back only what is freed into it under another limit: so take them out, and free them so. */
void mcp_memory_spare(mcp_park_t *park)
{
    static const char zero[SPARE_LOOK];
    apr_allocator_t *allocator = apr_pool_allocator_get(park->c->pool);
    apr_memnode_t *taken = NULL;
    int fresh = 0;
    int i;

    if (!allocator || apr_allocator_owner_get(allocator) != park->c->pool) {
        return; /* others use it too */
    }
    for (i = 0; i < SPARE_MAX && !fresh; i++) {
        apr_memnode_t *node = apr_allocator_alloc(allocator, 1);

        if (!node) {
            break;
        }
        fresh = !memcmp(node->first_avail, zero, sizeof(zero)); /* from the system: the store is empty */
        node->next = taken;
        taken = node;
    }
    if (taken) {
        apr_allocator_max_free_set(allocator, 1);
        apr_allocator_free(allocator, taken);
        apr_allocator_max_free_set(allocator, ap_max_mem_free);
    }
    park->swollen = 0;
}

void mcp_memory_bury(mcp_park_t *park)
{
    if (park->phase == MCP_PARK_GONE) {
        return;
    }
    park->phase = MCP_PARK_GONE;
    mcp_loop_arm(park);
    mcp_loop_unlist(park);
    park->link = gone;
    gone = park;
}

/* May the connection's memory go? The MPM's worker set c->sbh to NULL and its own private mark after our
 * suspend_connection hook (H7). Its next step is to change its entry in the scoreboard, where the hook had left
 * SERVER_BUSY_LOG: any other value proves that it is out of process_socket(). Only the listener writes there too, when
 * the child is told to go gracefully, so with that value a second must have passed. */
static int may_bury(mcp_park_t *park, apr_time_t now)
{
    unsigned char status;

    if (!park->score) {
        return 1;
    }
    if (__atomic_load_n(&park->c->sbh, __ATOMIC_ACQUIRE) != NULL) {
        return 0;
    }
    status = __atomic_load_n(&park->score->status, __ATOMIC_ACQUIRE);
    if (status == SERVER_BUSY_LOG || (status == SERVER_GRACEFUL && now < park->parked + SWEEP_GUARD)) {
        return 0;
    }
    park->score = NULL;
    return 1;
}

void mcp_memory_free(int by_force)
{
    mcp_park_t **at = &gone;
    apr_time_t now = mcp_loop_now();

    while (*at) {
        mcp_park_t *park = *at;

        if (!by_force && !may_bury(park, now)) {
            at = &park->link;
            continue;
        }
        *at = park->link;
        buried++;
        apr_pool_destroy(park->c->pool); /* H6; park goes with it */
    }
}

/* Connections' memory comes from many arenas: freed, it stays with the process until it is asked for. */
void mcp_memory_trim(void)
{
    static unsigned before;

    if (buried >= TRIM_AFTER && buried == before) {
        buried = 0;
        malloc_trim(0);
    }
    before = buried;
}

int mcp_memory_pending(void)
{
    return gone != NULL || buried >= TRIM_AFTER;
}

#endif
