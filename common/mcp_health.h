/* SPDX-License-Identifier: Apache-2.0 */
/* What this host knows of the health of the store and of the identity providers, for all its processes, and the locations
 * that load balancers and orchestrators ask.
 *
 *   SetHandler mcp-live     does this server answer at all? Asks nobody.
 *   SetHandler mcp-ready    may traffic come here? 200, or 503; one word, so that it may be public
 *   SetHandler mcp-health   the same with the reasons
 *
 * What is known comes first of all from the calls that are made anyway. Only where there were none for a while does a
 * question for readiness ask by itself, one process at a time (FRESH_ and RETRY_ in the .c file), so that health checks,
 * however many, put no load on anybody.
 */

#ifndef MCP_HEALTH_H
#define MCP_HEALTH_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_store.h"

/* What has to be up for mcp-ready to say so (MCPHealthReady). */
#define MCP_READY_STORE 1
#define MCP_READY_AUDIT 2
#define MCP_READY_PROVIDER 4
#define MCP_READY_DEFAULT (MCP_READY_STORE | MCP_READY_AUDIT)

typedef enum {
    MCP_HEALTH_UNKNOWN, /* nobody asked yet */
    MCP_HEALTH_UP,
    MCP_HEALTH_DOWN
} mcp_health_e;

#define MCP_HEALTH_STORE 0 /* providers come after it */
#define MCP_HEALTH_PARTS 33

typedef struct {
    const char *name; /* of a provider; "store" */
    mcp_health_e is;
    apr_time_t since;      /* when that began; 0 while unknown */
    apr_uint64_t failures; /* since start */
} mcp_health_t;

/** post_config duty: the table, made or found. @a kid is the key that seals, @a store is what is asked. */
apr_status_t mcp_health_open(mcp_store_t *store, const char *kid, server_rec *s, apr_pool_t *pconf);

/** post_config duty: a provider of this name, which several sections may stand for. */
void mcp_health_add_provider(const char *name);

/** The number of parts, the store included; 0 before mcp_health_open(). */
int mcp_health_parts(void);

/** The part that the provider called @a name is, or -1. */
int mcp_health_of_provider(const char *name);

/** Something was asked of it, and there was an answer or none. Does nothing for a part below 0. */
void mcp_health_note(int part, int up);

/** What is known of it. */
void mcp_health_get(int part, mcp_health_t *health);

/** child_init duty of each module, since each has a copy of this library of its own. */
void mcp_health_child_init(apr_pool_t *pchild);

/** The key that seals. */
const char *mcp_health_kid(void);

/** What a state is called. */
const char *mcp_health_word(mcp_health_e is);

/** Ask a provider whether it is there, and mcp_health_note() it. @a part is one that mcp_health_of_provider() gave. */
typedef void mcp_health_probe_fn(request_rec *r, int part);

/**
 * Answer for the three handlers.
 * @param ready  what MCPHealthReady says: MCP_READY_*, 0 where it says nothing
 * @param probe  asks a provider, NULL where the caller knows of none
 * @return OK, or DECLINED for another handler
 */
int mcp_health_handler(request_rec *r, int ready, mcp_health_probe_fn *probe);

/** Families for Prometheus. */
void mcp_health_metrics(request_rec *r);

#endif
