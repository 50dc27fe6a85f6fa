/* SPDX-License-Identifier: Apache-2.0 */
/* Documents at clients' URLs: metadata and keys, fetched under the rules for strangers' URLs,
 * cached in the child.
 *
 * The cache is a fixed number of places; a document's URL says which, and a newer one takes the
 * place. What is cached was well-formed, and whoever finds that it is not good drops it: errors are
 * never cached (AS-23). While a document cannot be had, an old copy serves for a while, so that a
 * client's refresh does not fail because its web host has a bad hour.
 */

#include "oauth.h"

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "upstream/upstream_impl.h"

#define PLACES 128
#define AGE_MIN apr_time_from_sec(60)
#define AGE_MAX apr_time_from_sec(86400)
#define AGE_DEFAULT apr_time_from_sec(3600)
#define STALE_MAX apr_time_from_sec(86400)
#define TIMEOUT apr_time_from_sec(5) /* hosted clients give us ten in all (field-lessons 22) */
#define WAIT apr_time_from_sec(2)
#define CALLS 4 /* of this child at once */

typedef struct {
    apr_pool_t *pool; /* NULL: free */
    const char *url;
    const char *text;
    apr_time_t fetched;
    apr_time_t expires;
} place_t;

static struct {
    apr_thread_mutex_t *lock;
    mcp_gate_t *gate;
    place_t places[PLACES];
} cache;

void mcp_clients_child_init(apr_pool_t *pchild)
{
    apr_thread_mutex_create(&cache.lock, APR_THREAD_MUTEX_DEFAULT, pchild);
    mcp_gate_create(&cache.gate, CALLS, pchild);
}

static place_t *place_of(const char *url)
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(url, strlen(url), digest);
    return &cache.places[digest[0] % PLACES];
}

/* A copy of what is cached, and when it was fetched and expires; NULL when nothing is. */
static const char *look(apr_pool_t *p, const char *url, apr_time_t *fetched, apr_time_t *expires)
{
    const place_t *place = place_of(url);
    const char *text = NULL;

    apr_thread_mutex_lock(cache.lock);
    if (place->pool && !strcmp(place->url, url)) {
        text = apr_pstrdup(p, place->text);
        *fetched = place->fetched;
        *expires = place->expires;
    }
    apr_thread_mutex_unlock(cache.lock);
    return text;
}

static void keep(const char *url, const char *text, apr_time_t now, apr_interval_time_t age)
{
    place_t *place = place_of(url);
    apr_pool_t *pool, *old;

    if (apr_pool_create_unmanaged_ex(&pool, NULL, NULL) != APR_SUCCESS) {
        return;
    }
    apr_thread_mutex_lock(cache.lock);
    old = place->pool;
    place->pool = pool;
    place->url = apr_pstrdup(pool, url);
    place->text = apr_pstrdup(pool, text);
    place->fetched = now;
    place->expires = now + age;
    apr_thread_mutex_unlock(cache.lock);
    if (old) {
        apr_pool_destroy(old); /* readers have copies */
    }
}

void mcp_client_document_drop(const char *url)
{
    place_t *place = place_of(url);
    apr_pool_t *old = NULL;

    apr_thread_mutex_lock(cache.lock);
    if (place->pool && !strcmp(place->url, url)) {
        old = place->pool;
        place->pool = NULL;
    }
    apr_thread_mutex_unlock(cache.lock);
    if (old) {
        apr_pool_destroy(old);
    }
}

/* How long an answer may be used by its Cache-Control, within our own bounds. */
static apr_interval_time_t age_of(apr_pool_t *p, const char *control)
{
    apr_interval_time_t age = AGE_DEFAULT;
    char *list, *token, *last = NULL;

    if (!control) {
        return age;
    }
    list = apr_pstrdup(p, control);
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

/* application/json or application/SOMETHING+json (AS-23) */
static int is_json_type(apr_pool_t *p, const char *type)
{
    char *plain;
    apr_size_t len;

    if (!type) {
        return 0;
    }
    len = strcspn(type, "; \t");
    plain = apr_pstrmemdup(p, type, len);
    return !strcasecmp(plain, "application/json")
           || (!strncasecmp(plain, "application/", 12) && len > 17
               && !strcasecmp(plain + len - 5, "+json"));
}

static int fetch(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *url, apr_size_t max,
                 const char **text, mcp_result_t *res)
{
    const mcp_clients_conf_t *own = conf->clients;
    /* On a gateway that is itself on loopback, for trials, clients are there too (AS-25's
     * exception). */
    mcp_fetch_t ask = { .url = url,
                        .ca_pem = own->metadata_ca_pem,
                        .ca_file = own->metadata_ca_file,
                        .proxy = own->metadata_proxy,
                        .strangers = conf->secure,
                        .max = max,
                        .timeout = TIMEOUT };
    mcp_fetched_t got = { 0 };
    int rc;

    if (mcp_gate_enter(cache.gate, WAIT) != APR_SUCCESS) {
        return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                        "too many clients are being looked up; try again", NULL);
    }
    rc = mcp_fetch(p, &ask, &got, res);
    mcp_gate_leave(cache.gate);
    if (rc == HTTP_SERVICE_UNAVAILABLE) {
        return mcp_fail(res, rc, "temporarily_unavailable",
                        "the client's document cannot be fetched now", res->log);
    }
    if (rc != OK) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client",
                        "the client's document cannot be used", res->log);
    }
    if (got.status >= 500 || got.status == HTTP_TOO_MANY_REQUESTS) {
        return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                        "the client's document cannot be fetched now",
                        apr_psprintf(p, "%s answered %d", url, got.status));
    }
    if (got.status != HTTP_OK || !is_json_type(p, got.content_type)
        || !mcp_json_parse(p, got.body, got.len, max)) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client",
                        "the URL does not answer with a JSON document (status 200, no redirect)",
                        apr_psprintf(p, "%s answered %d, %s", url, got.status,
                                     got.content_type ? mcp_log_text(p, got.content_type)
                                                      : "no type"));
    }
    *text = got.body;
    keep(url, got.body, apr_time_now(), age_of(p, got.cache_control));
    return OK;
}

int mcp_client_document(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *url,
                        apr_size_t max, apr_interval_time_t newer, const char **text,
                        mcp_result_t *res)
{
    apr_time_t now = apr_time_now(), fetched = 0, expires = 0;
    const char *old = look(p, url, &fetched, &expires);
    int rc;

    if (old && (newer ? fetched > now - newer : expires > now)) {
        *text = old;
        return OK;
    }
    rc = fetch(p, conf, url, max, text, res);
    if (rc == HTTP_SERVICE_UNAVAILABLE && old && expires + STALE_MAX > now) {
        *text = old;
        rc = OK;
    }
    return rc;
}
