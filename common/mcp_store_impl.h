/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of the store: what its operations (mcp_store.c) and its making (mcp_store_open.c) share. */

#ifndef MCP_STORE_IMPL_H
#define MCP_STORE_IMPL_H

#include <apr_global_mutex.h>
#include <httpd.h>
#include <ap_socache.h>

#include "mcp_breaker.h"
#include "mcp_store.h"

#define MCP_EPOCH_LEN 8

/* shmcb forgets its oldest records when it is full, however long they should live. So that large short-lived records
 * cannot push sessions out, they get a segment of their own, and MCPStore's size is shared between the two. */
enum {
    MCP_PART_SMALL,
    MCP_PART_LARGE,
    MCP_PARTS
};

struct mcp_store_t {
    const ap_socache_provider_t *provider;
    struct {
        ap_socache_instance_t *instance;
        apr_global_mutex_t *mutex; /* for providers that are not safe across processes (shmcb), else NULL */
    } parts[MCP_PARTS];            /* shmcb: both; memcache, redis: the first */
    const char *what;              /* the argument of MCPStore, for logs */
    server_rec *s;
    const mcp_keyring_t *ring;
    apr_interval_time_t timeout;
    int networked;          /* memcache, redis: may be down or silent; shared with other hosts */
    const char *path;       /* of the backend's socket, else NULL; networked backends, as the port */
    apr_port_t port;        /* 0: by a socket */
    mcp_breaker_t *breaker; /* networked backends, from child_init on */
    int child_ready;
    volatile apr_uint32_t complained;   /* second of the last complaint of this process about the backend */
    volatile apr_uint32_t *generation;  /* in shared memory */
    unsigned char epoch[MCP_EPOCH_LEN]; /* shmcb: it lives and dies with this structure */
    apr_time_t begun;                   /* as the epoch */
};

#endif
