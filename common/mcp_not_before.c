/* SPDX-License-Identifier: Apache-2.0 */
/* Not-before marks. */

#include "mcp_not_before.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_bytes.h"

#define MARK_LEN 8

/* Strings of different fields cannot run into each other: neither subjects nor client keys have a line break. */
static const char *mark_id(apr_pool_t *p, const char *subject, const char *client_key)
{
    return apr_pstrcat(p, "nb\n", subject ? "p" : "", client_key ? "c" : "", "\n",
                       subject ? subject : "", "\n", client_key ? client_key : "", NULL);
}

static apr_status_t read_mark(mcp_store_t *store, const char *id, apr_time_t *when, apr_pool_t *p)
{
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv = mcp_store_get(store, MCP_KIND_BLOCK, id, strlen(id), &data, &len, p);

    *when = 0;
    if (rv != APR_SUCCESS || len != MARK_LEN) {
        return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
    }
    *when = mcp_get_time(data, MCP_MILLISECONDS);
    return APR_SUCCESS;
}

/* When was the latest mark of all? */
#define LATEST "nb*"
#define LATEST_AGE APR_USEC_PER_SEC
#define CLOCKS apr_time_from_sec(60) /* more than those of two hosts may differ by */

/* A mark that is later already stays. */
static apr_status_t put_later(mcp_store_t *store, const char *id, apr_time_t when, apr_time_t until, apr_pool_t *p)
{
    unsigned char mark[MARK_LEN];
    apr_time_t old;
    apr_status_t rv = read_mark(store, id, &old, p);

    if (rv != APR_SUCCESS || old >= when) {
        return rv;
    }
    mcp_put_time(mark, when, MCP_MILLISECONDS);
    return mcp_store_put(store, MCP_KIND_BLOCK, id, strlen(id), until, mark, sizeof(mark), p);
}

apr_status_t mcp_not_before_set(mcp_store_t *store, const char *subject, const char *client_key,
                                apr_time_t when, apr_time_t until, apr_pool_t *p)
{
    const char *id = mark_id(p, subject, client_key);
    apr_time_t soon = apr_time_now() + CLOCKS;
    apr_status_t rv;

    if ((!subject && !client_key) || when <= 0) {
        return APR_EINVAL;
    }
    /* First the one that makes guards look for the other. Where that lies ahead, as of a client that is blocked, nothing
     * is granted that it concerns any more: guards need not look at all others' grants as long as it lives. */
    rv = put_later(store, LATEST, when < soon ? when : soon, until, p);
    rv = rv == APR_SUCCESS ? put_later(store, id, when, until, p) : rv;
    if (rv == APR_SUCCESS) {
        mcp_store_invalidate(store);
        rv = mcp_revocation_note(store, p);
    }
    return rv;
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

/* As mark_id(): "s" is the letter of nothing else, and neither string has a line break. */
static const char *session_id(apr_pool_t *p, const char *provider, const char *sid)
{
    return apr_pstrcat(p, "nb\ns\n", provider, "\n", sid, NULL);
}

apr_status_t mcp_not_before_set_session(mcp_store_t *store, const char *provider, const char *sid, apr_time_t when,
                                        apr_time_t until, apr_pool_t *p)
{
    return put_later(store, session_id(p, provider, sid), when, until, p);
}

apr_status_t mcp_not_before_get_session(mcp_store_t *store, const char *provider, const char *sid, apr_time_t *when,
                                        apr_pool_t *p)
{
    return read_mark(store, session_id(p, provider, sid), when, p);
}

apr_status_t mcp_not_before_bars(mcp_store_t *store, const mcp_grant_t *grant, apr_time_t now, apr_pool_t *p)
{
    /* This process's memory of LATEST, good for a second; threads may ask twice, and read one or the other. */
    static apr_uint64_t latest, asked;
    static apr_uint32_t seen; /* this host's generation then: what is taken back here is felt at once */
    apr_uint32_t generation = mcp_store_generation(store);
    apr_time_t mark = (apr_time_t)__atomic_load_n(&latest, __ATOMIC_ACQUIRE);
    apr_time_t last = (apr_time_t)__atomic_load_n(&asked, __ATOMIC_ACQUIRE);
    apr_status_t rv;

    if (now - last >= LATEST_AGE || now < last || __atomic_load_n(&seen, __ATOMIC_ACQUIRE) != generation) {
        rv = read_mark(store, LATEST, &mark, p);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        __atomic_store_n(&latest, (apr_uint64_t)mark, __ATOMIC_RELEASE);
        __atomic_store_n(&asked, (apr_uint64_t)now, __ATOMIC_RELEASE);
        __atomic_store_n(&seen, generation, __ATOMIC_RELEASE);
    }
    if (grant->issued > mark) {
        return APR_SUCCESS;
    }
    rv = mcp_not_before_get(store, grant->subject, grant->client_key, &mark, p);
    return rv != APR_SUCCESS ? rv : mark && grant->issued <= mark ? APR_EACCES
                                                                  : APR_SUCCESS;
}

apr_status_t mcp_grant_standing(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], apr_time_t now,
                                mcp_grant_t *grant, apr_pool_t *p)
{
    apr_status_t rv = mcp_grant_get(store, id, grant, p);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    return (grant->flags & MCP_GRANT_REVOKED) ? APR_EACCES : mcp_not_before_bars(store, grant, now, p);
}
