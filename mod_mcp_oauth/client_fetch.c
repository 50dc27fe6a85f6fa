/* SPDX-License-Identifier: Apache-2.0 */
/* Calls to clients' hosts under the rules for strangers' URLs, and the cache of what they answered. */

#include "client_fetch.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "mcp_util.h"

#define AGE_MIN apr_time_from_sec(60)
#define AGE_MAX apr_time_from_sec(86400)
#define AGE_DEFAULT apr_time_from_sec(3600)
#define TIMEOUT apr_time_from_sec(5) /* hosted clients give us ten in all (field-lessons 22) */

typedef struct {
    apr_pool_t *pool; /* NULL: free */
    const char *url;
    mcp_client_copy_t copy;
} place_t;

struct mcp_client_cache_t {
    apr_thread_mutex_t *lock;
    mcp_gate_t *gate;
    int size;
    place_t places[];
};

mcp_client_cache_t *mcp_client_cache_create(int places, int calls, apr_pool_t *p)
{
    mcp_client_cache_t *cache =
        apr_pcalloc(p, sizeof(*cache) + (apr_size_t)places * sizeof(place_t));

    cache->size = places;
    apr_thread_mutex_create(&cache->lock, APR_THREAD_MUTEX_DEFAULT, p);
    mcp_gate_create(&cache->gate, calls, p);
    return cache;
}

static place_t *place_of(mcp_client_cache_t *cache, const char *url)
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(url, strlen(url), digest);
    return &cache->places[digest[0] % cache->size];
}

/* apr_pmemdup() with a NUL behind. */
static const char *copy_of(apr_pool_t *p, const char *data, apr_size_t len)
{
    char *copy = apr_palloc(p, len + 1);

    memcpy(copy, data, len);
    copy[len] = '\0';
    return copy;
}

static void duplicate(apr_pool_t *p, const mcp_client_copy_t *from, mcp_client_copy_t *to)
{
    *to = *from;
    to->data = from->data ? copy_of(p, from->data, from->len) : NULL;
    to->type = from->type ? apr_pstrdup(p, from->type) : NULL;
}

int mcp_client_cache_get(mcp_client_cache_t *cache, apr_pool_t *p, const char *url,
                         mcp_client_copy_t *copy)
{
    const place_t *place = place_of(cache, url);
    int found;

    apr_thread_mutex_lock(cache->lock);
    found = place->pool && !strcmp(place->url, url);
    if (found) {
        duplicate(p, &place->copy, copy);
    }
    apr_thread_mutex_unlock(cache->lock);
    return found;
}

void mcp_client_cache_put(mcp_client_cache_t *cache, const char *url,
                          const mcp_client_copy_t *copy)
{
    place_t *place = place_of(cache, url);
    apr_pool_t *pool, *old;

    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        return;
    }
    apr_thread_mutex_lock(cache->lock);
    old = place->pool;
    place->pool = pool;
    place->url = apr_pstrdup(pool, url);
    duplicate(pool, copy, &place->copy);
    apr_thread_mutex_unlock(cache->lock);
    if (old) {
        apr_pool_destroy(old); /* readers have copies */
    }
}

void mcp_client_cache_drop(mcp_client_cache_t *cache, const char *url)
{
    place_t *place = place_of(cache, url);
    apr_pool_t *old = NULL;

    apr_thread_mutex_lock(cache->lock);
    if (place->pool && !strcmp(place->url, url)) {
        old = place->pool;
        place->pool = NULL;
    }
    apr_thread_mutex_unlock(cache->lock);
    if (old) {
        apr_pool_destroy(old);
    }
}

apr_interval_time_t mcp_client_age(apr_pool_t *p, const char *cache_control)
{
    apr_interval_time_t age = AGE_DEFAULT;
    char *list, *token, *last = NULL;

    if (!cache_control) {
        return age;
    }
    list = apr_pstrdup(p, cache_control);
    for (token = apr_strtok(list, ", \t\r\n", &last); token;
         token = apr_strtok(NULL, ", \t\r\n", &last)) {
        if (!strcasecmp(token, "no-store") || !strcasecmp(token, "no-cache")) {
            return AGE_MIN;
        }
        if (!strncasecmp(token, "max-age=", 8)) {
            apr_int64_t seconds = apr_strtoi64(token + 8, NULL, 10);

            age = seconds > 0 && seconds < apr_time_sec(AGE_MAX) ? apr_time_from_sec(seconds)
                  : seconds > 0                                  ? AGE_MAX
                                                                 : AGE_MIN;
        }
    }
    return age < AGE_MIN ? AGE_MIN : age;
}

int mcp_client_fetch(apr_pool_t *p, const mcp_oauth_conf_t *conf, mcp_client_cache_t *cache,
                     const char *url, const char *accept, apr_size_t max, apr_interval_time_t wait,
                     mcp_fetched_t *got, mcp_result_t *res)
{
    const mcp_clients_conf_t *own = conf->clients;
    /* On a gateway that is itself on loopback, for trials, clients are there too (AS-25's
     * exception). */
    mcp_fetch_t ask = { .url = url,
                        .ca_pem = own->metadata_ca_pem,
                        .ca_file = own->metadata_ca_file,
                        .proxy = own->metadata_proxy,
                        .strangers = conf->secure,
                        .accept = accept,
                        .max = max,
                        .timeout = TIMEOUT };
    int rc;

    if (mcp_gate_enter(cache->gate, wait) != APR_SUCCESS) {
        return mcp_fail(res, HTTP_TOO_MANY_REQUESTS, "temporarily_unavailable",
                        "too many clients are being looked up; try again", "no call is free");
    }
    rc = mcp_fetch(p, &ask, got, res);
    mcp_gate_leave(cache->gate);
    return rc;
}
