/* SPDX-License-Identifier: Apache-2.0 */
/* Documents at clients' URLs: metadata and keys, fetched under the rules for strangers' URLs,
 * cached in the child.
 *
 * What is cached was well-formed, and whoever finds that it is not good drops it: errors are
 * never cached (AS-23). While a document cannot be had, an old copy serves for a while, so that a
 * client's refresh does not fail because its web host has a bad hour.
 */

#include "client_fetch.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define PLACES 128
#define CALLS 4 /* of this child at once */
#define STALE_MAX apr_time_from_sec(86400)
#define WAIT apr_time_from_sec(2)
/* Where the gateway may not reach the internet this never gets better by itself. */
#define HINT \
    " (where this host cannot reach the web: MCPOAuthClientMetadataProxy, MCPOAuthClientMetadataFile, or " \
    "MCPOAuthClientMetadata Off so that clients register)"

static mcp_client_cache_t *cache;

void mcp_client_documents_child_init(apr_pool_t *pchild)
{
    cache = mcp_client_cache_create(PLACES, CALLS, pchild);
}

void mcp_client_document_drop(const char *url)
{
    mcp_client_cache_drop(cache, url);
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
    mcp_fetched_t got = { 0 };
    mcp_client_copy_t copy = { 0 };
    int rc = mcp_client_fetch(p, conf, cache, url, "application/json", max, WAIT, &got, res);

    if (rc == HTTP_SERVICE_UNAVAILABLE || rc == HTTP_TOO_MANY_REQUESTS) {
        return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                        "the client's document cannot be fetched now",
                        rc == HTTP_SERVICE_UNAVAILABLE ? apr_pstrcat(p, res->log, HINT, NULL) : res->log);
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
    *text = copy.data = got.body;
    copy.len = got.len;
    copy.fetched = apr_time_now();
    copy.expires = copy.fetched + mcp_client_age(p, got.cache_control);
    mcp_client_cache_put(cache, url, &copy);
    return OK;
}

int mcp_client_document(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *url,
                        apr_size_t max, apr_interval_time_t newer, const char **text,
                        mcp_result_t *res)
{
    apr_time_t now = apr_time_now();
    mcp_client_copy_t old = { 0 };
    int rc, known = mcp_client_cache_get(cache, p, url, &old);

    if (known && (newer ? old.fetched > now - newer : old.expires > now)) {
        *text = old.data;
        return OK;
    }
    rc = fetch(p, conf, url, max, text, res);
    if (rc == HTTP_SERVICE_UNAVAILABLE && known && old.expires + STALE_MAX > now) {
        *text = old.data;
        rc = OK;
    }
    return rc;
}
