/* SPDX-License-Identifier: Apache-2.0 */
/* The shared store: sealed records over ap_socache (shmcb, memcache, redis), one instance a server.
 *
 * Keys are SHA-256(kind 0x00 id), so no secret and no attacker's bytes reach the backend, and shmcb spreads them
 * (craft finding 5). Values are sealed with their key bound, and carry version and absolute expiry inside:
 *
 *   sealed( version[1]=1 | expires[8], seconds, big endian | payload )
 *
 * Both modules share one instance: the first to reach post_config makes it and leaves it in pconf's userdata.
 */

#ifndef MCP_STORE_H
#define MCP_STORE_H

#include <httpd.h>
#include <http_config.h>
#include <apr_time.h>

#include "mcp_keyring.h"

/* The store could not be asked. Never to be read as "not there" (craft finding 2): answer 503 + Retry-After. */
#define MCP_EDOWN (APR_OS_START_USERERR + 7101)

/* Seconds for Retry-After when the store is down. */
#define MCP_STORE_RETRY_AFTER "5"

typedef enum {
    MCP_KIND_GRANT,         /* what the guard reads: one small record a grant */
    MCP_KIND_UPSTREAM,      /* a grant's tokens at the identity provider, up to 20 KB */
    MCP_KIND_CODE,          /* authorization codes not redeemed yet */
    MCP_KIND_TICKET,        /* the right to use one generation of a refresh token */
    MCP_KIND_SUCCESSOR,     /* what a refresh answered, for the grace window */
    MCP_KIND_TRANSACTION,   /* transactions that came back from the provider already */
    MCP_KIND_EPOCH,         /* the store's epoch */
    MCP_KIND_PROBE,         /* health probes */
    MCP_KIND_INDEX,         /* lists by person or client (connections, revocation) */
    MCP_KIND_UPSTREAM_LOCK, /* single flight of upstream refreshes */
    MCP_KIND_LIMIT,         /* quotas */
    MCP_KIND_BLOCK,         /* blocked clients and people, not-before marks */
    MCP_KIND_PARKED,        /* people who have signed in and are asked for consent now */
    MCP_KIND_COUNT
} mcp_kind_e;

typedef struct mcp_store_t mcp_store_t;

typedef struct {
    const char *provider;        /* "shmcb", "memcache", "redis" */
    const char *arg;             /* what follows the colon, or NULL */
    apr_interval_time_t timeout; /* MCPStoreTimeout: after this long without an answer the breaker opens */
} mcp_store_conf_t;

/**
 * Parse `MCPStore provider[:argument]` and prove that the provider is loaded and takes the argument.
 * @return NULL, or a message for configtest that names the mend (such as the LoadModule line)
 */
const char *mcp_store_parse(mcp_store_conf_t *conf, const char *value, cmd_parms *cmd);

/** pre_config duty of each module that uses the store: registers the mutex type "mcp-store". */
apr_status_t mcp_store_pre_config(apr_pool_t *pconf);

/**
 * post_config duty: find the instance that the other module made, or make it.
 * @param ring  keyring for the records; must live as long as @a pconf
 * @return APR_SUCCESS and *store, or an error that is logged already
 */
apr_status_t mcp_store_open(mcp_store_t **store, const mcp_store_conf_t *conf, const mcp_keyring_t *ring,
                            server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp);

/** child_init duty; calling it from both modules is fine. */
void mcp_store_child_init(mcp_store_t *store, apr_pool_t *pchild);

/**
 * Break off this process's calls to a networked backend: they fail as if it had closed the connection. For a process that
 * ends, which would have to wait for as long as a silent backend likes. Takes no locks and no memory, so that it may be
 * called beside threads that use the store, and in a signal handler. A call that is about to connect escapes: repeat it
 * where somebody waits.
 */
void mcp_store_hang_up(const mcp_store_t *store);

/** How long who ends without haste lets a call go on before that. */
#define MCP_STORE_PATIENCE apr_time_from_msec(250)

/**
 * Write a record.
 * @param expires  absolute time; values beyond the backend's reach (30 days, craft finding 4) are kept exact inside
 *                 the record and cut at the backend
 * @return APR_SUCCESS, APR_EINVAL (expired already or too large) or MCP_EDOWN
 */
apr_status_t mcp_store_put(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                           apr_time_t expires, const void *data, apr_size_t len, apr_pool_t *p);

/**
 * Read a record. *data is in @a p and NUL-terminated after *len bytes.
 * @return APR_SUCCESS, APR_NOTFOUND (the backend answered, and it is not there or expired), MCP_EDOWN
 */
apr_status_t mcp_store_get(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                           unsigned char **data, apr_size_t *len, apr_pool_t *p);

/** Remove a record. APR_SUCCESS for exactly one of several concurrent callers, else APR_NOTFOUND, or MCP_EDOWN. */
apr_status_t mcp_store_remove(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                              apr_pool_t *p);

/** Read and remove; APR_SUCCESS only for the one caller whose remove succeeded (design principle 5). */
apr_status_t mcp_store_take(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                            unsigned char **data, apr_size_t *len, apr_pool_t *p);

/** This host's invalidation counter: a cached session taken under another value must be looked up again. */
apr_uint32_t mcp_store_generation(const mcp_store_t *store);

/** Make every process of this host look its cached sessions up again. Called after each revocation. */
void mcp_store_invalidate(mcp_store_t *store);

/**
 * The store's epoch: eight random bytes that live in the store and are made anew when they are missing, so a
 * changed epoch tells that the store was lost (design principle 4).
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_store_epoch(mcp_store_t *store, unsigned char epoch[8], apr_pool_t *p);

/**
 * Since when the store holds what is written to it: when the present epoch began. 0 where an older release began it.
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_store_since(mcp_store_t *store, apr_time_t *since, apr_pool_t *p);

/** Is the store there? By one write, which only a live one takes; mcp_health knows the answer too. MCP_EDOWN if not. */
apr_status_t mcp_store_check(mcp_store_t *store, apr_pool_t *p);

/** True for a backend that other hosts can share and that outlives httpd (memcache, redis). */
int mcp_store_is_shared(const mcp_store_t *store);

#endif
