/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of a provider in the memory of a child: metadata and keys.
 *
 * What was parsed is never changed. A snapshot has a pool of its own, which nobody else allocates from, and goes when
 * the last of its readers does: a reader holds it by a cleanup of the request's pool. One thread fetches; others wait
 * only where there is nothing to go on with.
 *
 *      fetched         MCP_CACHE_FRESH                                      keep
 *         |------ used ------|--- used, and one request at a time tries for a new one ---|- not used: fails
 */

#include "upstream_impl.h"

#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define RETRY_AHEAD apr_time_from_sec(30)   /* between attempts while the old document serves */
#define TIMEOUT_AHEAD apr_time_from_sec(3)  /* of such an attempt, for which a person waits in vain */
#define RETRY_FIRST apr_time_from_msec(500) /* after the first failure without a document, then doubled up to... */
#define RETRY_MAX apr_time_from_sec(5)

typedef struct {
    mcp_cache_t *cache;
    apr_pool_t *pool; /* unmanaged: an allocator of its own, so that no lock is shared */
    const char *url;
    const void *doc;
    apr_time_t fetched;
    int refs; /* the cache's own included; guarded by the cache's lock */
} snapshot_t;

struct mcp_cache_t {
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *done;
    const char *what;
    mcp_parse_fn *parse;
    apr_size_t max;
    apr_interval_time_t keep;
    server_rec *server;
    snapshot_t *current;
    int fetching;
    apr_time_t next_attempt;   /* not before, after a failure */
    apr_time_t next_refetch;   /* not before, for the sake of an unknown key */
    apr_interval_time_t retry; /* how long the next failure is remembered */
    int failure;               /* status of the last attempt, and what it said */
    char log[300];
};

/* Give a reference back; the lock is held. */
static void release(snapshot_t *snapshot)
{
    if (snapshot && --snapshot->refs == 0) {
        apr_pool_destroy(snapshot->pool);
    }
}

static apr_status_t forget(void *data)
{
    release(((mcp_cache_t *)data)->current);
    return APR_SUCCESS;
}

apr_status_t mcp_cache_create(mcp_cache_t **out, const char *what, mcp_parse_fn *parse, apr_size_t max,
                              apr_interval_time_t keep, server_rec *s, apr_pool_t *p)
{
    mcp_cache_t *cache = apr_pcalloc(p, sizeof(*cache));
    apr_status_t rv = apr_thread_mutex_create(&cache->lock, APR_THREAD_MUTEX_DEFAULT, p);

    cache->what = what;
    cache->parse = parse;
    cache->max = max;
    cache->keep = keep;
    cache->server = s;
    cache->retry = RETRY_FIRST;
    apr_pool_cleanup_register(p, cache, forget, apr_pool_cleanup_null);
    *out = cache;
    return rv == APR_SUCCESS ? apr_thread_cond_create(&cache->done, p) : rv;
}

static apr_status_t reader_is_done(void *data)
{
    snapshot_t *snapshot = data;
    mcp_cache_t *cache = snapshot->cache;

    apr_thread_mutex_lock(cache->lock);
    release(snapshot);
    apr_thread_mutex_unlock(cache->lock);
    return APR_SUCCESS;
}

/* What a status other than 200 means, for the log. */
static const char *advice(int status)
{
    if (status / 100 == 3) {
        return "; redirects are not followed: set MCPProviderIssuer to where it leads";
    }
    return status == HTTP_NOT_FOUND ? "; check MCPProviderIssuer" : "";
}

/* Fetch and parse, without the lock. NULL with res filled. */
static snapshot_t *load(const mcp_cache_t *cache, const mcp_provider_t *provider, const char *url,
                        apr_interval_time_t timeout, mcp_result_t *res, apr_pool_t *p)
{
    mcp_fetch_t ask = {
        .url = url,
        .provider = provider->name,
        .ca_pem = provider->ca_pem,
        .ca_file = provider->ca_file,
        .proxy = provider->proxy,
        .max = cache->max,
        .timeout = timeout,
    };
    mcp_fetched_t got = { 0 };
    snapshot_t *snapshot;
    apr_pool_t *pool;
    const char *why = "is not usable";

    if (mcp_fetch(p, &ask, &got, res) != OK) {
        return NULL;
    }
    if (got.status != HTTP_OK) {
        int later = got.status >= 500 || got.status == HTTP_TOO_MANY_REQUESTS;

        mcp_fail(res, later ? HTTP_SERVICE_UNAVAILABLE : HTTP_BAD_GATEWAY,
                 later ? "temporarily_unavailable" : "server_error", "the identity provider cannot be reached",
                 apr_psprintf(p, "%s answered %d%s", url, got.status, advice(got.status)));
        return NULL;
    }
    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", "out of memory", "out of memory");
        return NULL;
    }
    snapshot = apr_pcalloc(pool, sizeof(*snapshot));
    snapshot->pool = pool;
    snapshot->url = apr_pstrdup(pool, url);
    snapshot->fetched = apr_time_now();
    snapshot->refs = 1;
    snapshot->doc = cache->parse(pool, provider, got.body, got.len, &why);
    if (!snapshot->doc) {
        mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                 apr_psprintf(p, "%s: %s", url, why));
        apr_pool_destroy(pool);
        return NULL;
    }
    return snapshot;
}

/* The caller's turn to fetch; the lock is held before and after, but not during the call. */
static void fetch(mcp_cache_t *cache, const mcp_provider_t *provider, const char *url, int usable, apr_pool_t *p)
{
    apr_interval_time_t timeout =
        usable && provider->timeout > TIMEOUT_AHEAD ? TIMEOUT_AHEAD : provider->timeout;
    mcp_result_t res = { 0 };
    snapshot_t *fresh;

    cache->fetching = 1;
    apr_thread_mutex_unlock(cache->lock);
    fresh = load(cache, provider, url, timeout, &res, p);
    if (!fresh && usable) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, cache->server,
                     MCP_LOG(0301) "provider %s: %s not renewed, the last one goes on serving: %s", provider->name,
                     cache->what, res.log);
    }
    apr_thread_mutex_lock(cache->lock);
    cache->fetching = 0;
    if (fresh) {
        fresh->cache = cache;
        release(cache->current);
        cache->current = fresh;
        cache->next_attempt = 0;
        cache->retry = RETRY_FIRST;
        cache->failure = 0;
    }
    else {
        cache->failure = res.status;
        apr_cpystrn(cache->log, res.log, sizeof(cache->log));
        cache->next_attempt = apr_time_now() + (usable ? RETRY_AHEAD : cache->retry);
        cache->retry = cache->retry * 2 < RETRY_MAX ? cache->retry * 2 : RETRY_MAX;
    }
    apr_thread_cond_broadcast(cache->done);
}

/* What was said by the attempt that failed; the lock is held. */
static int fail_as_before(const mcp_cache_t *cache, mcp_result_t *res, apr_pool_t *p)
{
    int later = cache->failure != HTTP_BAD_GATEWAY;

    return mcp_fail(res, later ? HTTP_SERVICE_UNAVAILABLE : HTTP_BAD_GATEWAY,
                    later ? "temporarily_unavailable" : "server_error", "the identity provider cannot be reached",
                    apr_psprintf(p, "%s: %s", cache->what, *cache->log ? cache->log : "not there in time"));
}

/* The current snapshot where it may still be used for @a url. */
static snapshot_t *usable_now(const mcp_cache_t *cache, const char *url, apr_time_t now)
{
    snapshot_t *current = cache->current;

    return current && !strcmp(current->url, url) && now - current->fetched < cache->keep ? current : NULL;
}

int mcp_cache_get(mcp_cache_t *cache, const mcp_provider_t *provider, const char *url, const void *seen,
                  const void **doc, mcp_result_t *res, apr_pool_t *p)
{
    apr_time_t deadline = apr_time_now() + provider->timeout;
    snapshot_t *found = NULL;
    int rc = OK, tried = 0;

    apr_thread_mutex_lock(cache->lock);
    while (!found && rc == OK) {
        apr_time_t now = apr_time_now();
        snapshot_t *current = usable_now(cache, url, now);
        int unwanted = current && current->doc == seen;

        if (current && !unwanted
            && (tried || cache->fetching || now < cache->next_attempt || now < current->fetched + MCP_CACHE_FRESH)) {
            found = current;
        }
        else if (cache->fetching) {
            if (now >= deadline) {
                rc = fail_as_before(cache, res, p);
            }
            else {
                apr_thread_cond_timedwait(cache->done, cache->lock, deadline - now);
            }
        }
        else if (unwanted && (tried || now < cache->next_refetch)) {
            rc = HTTP_NOT_FOUND;
        }
        else if (tried || now < cache->next_attempt) {
            rc = fail_as_before(cache, res, p);
        }
        else {
            cache->next_refetch = unwanted ? now + MCP_CACHE_REFETCH : cache->next_refetch;
            fetch(cache, provider, url, current != NULL, p);
            tried = 1;
        }
    }
    if (found) {
        found->refs++;
    }
    apr_thread_mutex_unlock(cache->lock);
    if (found) {
        apr_pool_cleanup_register(p, found, reader_is_done, apr_pool_cleanup_null);
        *doc = found->doc;
    }
    return rc;
}

int mcp_cache_is_fresh(mcp_cache_t *cache)
{
    int fresh;

    apr_thread_mutex_lock(cache->lock);
    fresh = cache->current && apr_time_now() < cache->current->fetched + MCP_CACHE_FRESH;
    apr_thread_mutex_unlock(cache->lock);
    return fresh;
}
