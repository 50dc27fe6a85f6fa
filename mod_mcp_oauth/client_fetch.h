/* SPDX-License-Identifier: Apache-2.0 */
/* What is fetched from clients' hosts, documents (client_doc.c) and logos (client_logo.c): the call under
 * the rules for strangers' URLs, and a cache of a fixed number of places in the child. */

#ifndef MCP_CLIENT_FETCH_H
#define MCP_CLIENT_FETCH_H

#include "oauth.h"

#include "upstream/upstream_impl.h"

/* A copy of what was at a URL. */
typedef struct {
    const char *data; /* NUL-terminated after len bytes; NULL: it was known not to be there */
    apr_size_t len;
    const char *type; /* of a picture; else NULL */
    apr_time_t fetched;
    apr_time_t expires;
} mcp_client_copy_t;

typedef struct mcp_client_cache_t mcp_client_cache_t;

/**
 * A cache of @a places copies: the URL says which place, and a newer copy takes it.
 * @param calls  of this child at once to hosts for the sake of this cache
 */
mcp_client_cache_t *mcp_client_cache_create(int places, int calls, apr_pool_t *p);

/** What is cached of @a url, in @a p, also when it has expired. 1, or 0 when nothing is. */
int mcp_client_cache_get(mcp_client_cache_t *cache, apr_pool_t *p, const char *url,
                         mcp_client_copy_t *copy);

/** Keep a copy of @a copy. */
void mcp_client_cache_put(mcp_client_cache_t *cache, const char *url,
                          const mcp_client_copy_t *copy);

void mcp_client_cache_drop(mcp_client_cache_t *cache, const char *url);

/** How long an answer may be used by its Cache-Control (NULL: none), within our own bounds. */
apr_interval_time_t mcp_client_age(apr_pool_t *p, const char *cache_control);

/**
 * GET a client's https URL: public addresses only, unless the gateway itself is on loopback; no
 * redirects, no environment's proxy (AS-23, AS-25).
 * @param accept  media types
 * @param max     bytes; a longer answer fails the call
 * @param wait    for others that call for the same cache
 * @return OK when there is an answer, whatever its status; else 503 or 502 with @a res filled; 429 when nobody was asked,
 *         for too many others are being asked
 */
int mcp_client_fetch(apr_pool_t *p, const mcp_oauth_conf_t *conf, mcp_client_cache_t *cache,
                     const char *url, const char *accept, apr_size_t max, apr_interval_time_t wait,
                     mcp_fetched_t *got, mcp_result_t *res);

#endif
