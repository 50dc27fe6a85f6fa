/* SPDX-License-Identifier: Apache-2.0 */
/* Not-before marks. */

#include "mcp_not_before.h"

#include <string.h>

#include <apr_strings.h>

#define MARK_LEN 8

/* Strings of different fields cannot run into each other: neither subjects nor client keys have a line break. */
static const char *mark_id(apr_pool_t *p, const char *subject, const char *client_key)
{
    return apr_pstrcat(p, "nb\n", subject ? "p" : "", client_key ? "c" : "", "\n",
                       subject ? subject : "", "\n", client_key ? client_key : "", NULL);
}

static apr_status_t read_mark(mcp_store_t *store, const char *id, apr_time_t *when, apr_pool_t *p)
{
    apr_uint64_t v = 0;
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv = mcp_store_get(store, MCP_KIND_BLOCK, id, strlen(id), &data, &len, p);

    *when = 0;
    if (rv != APR_SUCCESS || len != MARK_LEN) {
        return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
    }
    for (int i = 0; i < MARK_LEN; i++) {
        v = (v << 8) | data[i];
    }
    *when = v > (apr_uint64_t)(APR_INT64_MAX / 1000) ? APR_INT64_MAX : (apr_time_t)v * 1000;
    return APR_SUCCESS;
}

apr_status_t mcp_not_before_set(mcp_store_t *store, const char *subject, const char *client_key,
                                apr_time_t when, apr_time_t until, apr_pool_t *p)
{
    const char *id = mark_id(p, subject, client_key);
    unsigned char mark[MARK_LEN];
    apr_uint64_t v = (apr_uint64_t)apr_time_as_msec(when);
    apr_time_t old;
    apr_status_t rv;

    if ((!subject && !client_key) || when <= 0) {
        return APR_EINVAL;
    }
    rv = read_mark(store, id, &old, p);
    if (rv != APR_SUCCESS || old >= when) {
        return rv;
    }
    for (int i = MARK_LEN - 1; i >= 0; i--, v >>= 8) {
        mark[i] = (unsigned char)v;
    }
    return mcp_store_put(store, MCP_KIND_BLOCK, id, strlen(id), until, mark, sizeof(mark), p);
}

apr_status_t mcp_not_before_get(mcp_store_t *store, const char *subject, const char *client_key,
                                apr_time_t *when, apr_pool_t *p)
{
    const char *const ids[] = {
        mark_id(p, subject, NULL),
        mark_id(p, NULL, client_key),
        mark_id(p, subject, client_key),
    };

    *when = 0;
    for (int i = 0; i < 3; i++) {
        apr_time_t one;
        apr_status_t rv = read_mark(store, ids[i], &one, p);

        if (rv != APR_SUCCESS) {
            return rv;
        }
        *when = one > *when ? one : *when;
    }
    return APR_SUCCESS;
}
