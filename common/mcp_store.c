/* SPDX-License-Identifier: Apache-2.0 */
/* The shared store: sealed records over ap_socache, with outages told apart from absence. */

#include <errno.h>
#include <string.h>

#include <apr_atomic.h>
#include <httpd.h>
#include <http_log.h>

#include "mcp_bytes.h"
#include "mcp_health.h"
#include "mcp_log.h"
#include "mcp_metrics.h"
#include "mcp_seal.h"
#include "mcp_span.h"
#include "mcp_store_impl.h"
#include "mcp_util.h"

#define RECORD_VERSION 1
#define RECORD_HEADER (1 + 8)

/* memcached reads more than 30 days as a date of 1970 (craft finding 4), and 0 or 1 s as never or never stored. */
#define BACKEND_TTL_MAX apr_time_from_sec(30 * 86400 - 60)
#define BACKEND_TTL_MIN apr_time_from_sec(2)

/* apr_memcache and apr_redis leave a dead server alone for 5 s (ask_surely). */
#define DEAD_AT_LEAST apr_time_from_sec(4)

#define EPOCH_LIFE apr_time_from_sec(APR_INT64_C(3650) * 86400)
#define EPOCH_RENEW apr_time_from_sec(86400)

/* What each kind is called in the key, how large its payload may be, and where shmcb keeps it. A name must never
 * change. */
static const struct {
    const char *name;
    apr_size_t max;
    int part;
} kinds[MCP_KIND_COUNT] = {
    [MCP_KIND_GRANT] = { "grant", 6 * 1024 },
    [MCP_KIND_UPSTREAM] = { "upstream", 32 * 1024, MCP_PART_LARGE },
    [MCP_KIND_CODE] = { "code", 40 * 1024, MCP_PART_LARGE },
    [MCP_KIND_TICKET] = { "ticket", 1024 },
    [MCP_KIND_SUCCESSOR] = { "successor", 24 * 1024, MCP_PART_LARGE },
    [MCP_KIND_TRANSACTION] = { "transaction", 1024 },
    [MCP_KIND_EPOCH] = { "epoch", 64 },
    [MCP_KIND_PROBE] = { "probe", 64 },
    [MCP_KIND_INDEX] = { "index", 32 * 1024, MCP_PART_LARGE },
    [MCP_KIND_UPSTREAM_LOCK] = { "upstream-lock", 64 },
    [MCP_KIND_LIMIT] = { "limit", 256 },
    [MCP_KIND_BLOCK] = { "block", 1024 },
    [MCP_KIND_PARKED] = { "parked", 40 * 1024, MCP_PART_LARGE },
};

/* ---- keys and records ---- */

static void make_key(mcp_kind_e kind, const void *id, apr_size_t id_len, unsigned char key[MCP_SHA256_LEN],
                     apr_pool_t *p)
{
    apr_size_t n = strlen(kinds[kind].name) + 1;
    unsigned char small[128];
    unsigned char *text = n + id_len <= sizeof(small) ? small : apr_palloc(p, n + id_len);

    memcpy(text, kinds[kind].name, n);
    memcpy(text + n, id, id_len);
    mcp_sha256(text, n + id_len, key);
}

/* ---- one call to the backend, guarded by mutex or breaker ---- */

/* May this process complain now? Once a second, so that an outage does not drown the log. */
static int may_complain(mcp_store_t *store)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(apr_time_now());
    apr_uint32_t last = apr_atomic_read32(&store->complained);

    return now != last && apr_atomic_cas32(&store->complained, now, last) == last;
}

static apr_status_t enter(mcp_store_t *store, int part)
{
    if (store->parts[part].mutex) {
        apr_status_t rv;
        int tries = 0;

        /* Mutex file: (fcntl) is a process's, and so is the kernel's idea of a deadlock: two processes whose threads hold
         * one part each and want the other look like one, though none of ours ever holds both. */
        while ((rv = apr_global_mutex_lock(store->parts[part].mutex)) == EDEADLK && ++tries < 1000) {
            apr_sleep(1000);
        }
        return rv == APR_SUCCESS ? APR_SUCCESS : MCP_EDOWN;
    }
    if (store->breaker && mcp_breaker_enter(store->breaker) != APR_SUCCESS) {
        mcp_health_note(MCP_HEALTH_STORE, 0);
        if (may_complain(store)) {
            ap_log_error(APLOG_MARK, APLOG_ERR, 0, store->s,
                         MCP_LOG(0140) "the session store (MCPStore %s) does not answer; requests that need it are refused "
                                       "until it does",
                         store->what);
        }
        return MCP_EDOWN;
    }
    return APR_SUCCESS;
}

static void leave(mcp_store_t *store, int part)
{
    if (store->parts[part].mutex) {
        apr_global_mutex_unlock(store->parts[part].mutex);
    }
    else if (store->breaker) {
        mcp_breaker_leave(store->breaker);
    }
}

/* Where the backend keeps records of @a kind. */
static int part_of(const mcp_store_t *store, mcp_kind_e kind)
{
    return store->networked ? MCP_PART_SMALL : kinds[kind].part;
}

/* Inside, so that what a call waits for is seen as well. "Not there" is no sign of life (probe). */
static void measure(const char *what, apr_time_t begin, apr_status_t rv, apr_pool_t *p)
{
    mcp_metric_time(MCP_TIME_STORE, apr_time_now() - begin);
    if (rv == APR_SUCCESS) {
        mcp_health_note(MCP_HEALTH_STORE, 1);
    }
    if (mcp_span_is_on()) {
        mcp_span_part(p, what, begin, rv != APR_SUCCESS && rv != APR_NOTFOUND);
    }
}

static apr_status_t backend_put(mcp_store_t *store, mcp_kind_e kind, const unsigned char *key, apr_time_t expires,
                                unsigned char *data, apr_size_t len, apr_pool_t *p)
{
    int part = part_of(store, kind);
    apr_time_t begin = apr_time_now();
    apr_status_t rv = enter(store, part);

    if (rv == APR_SUCCESS) {
        rv = store->provider->store(store->parts[part].instance, store->s, key, MCP_SHA256_LEN, expires, data,
                                    (unsigned int)len, p);
        leave(store, part);
    }
    measure("store put", begin, rv, p);
    return rv;
}

static apr_status_t backend_get(mcp_store_t *store, mcp_kind_e kind, const unsigned char *key, unsigned char *buf,
                                unsigned int *len, apr_pool_t *p)
{
    int part = part_of(store, kind);
    apr_time_t begin = apr_time_now();
    apr_status_t rv = enter(store, part);

    if (rv == APR_SUCCESS) {
        rv = store->provider->retrieve(store->parts[part].instance, store->s, key, MCP_SHA256_LEN, buf, len, p);
        leave(store, part);
    }
    measure("store get", begin, rv, p);
    return rv;
}

static apr_status_t backend_remove(mcp_store_t *store, mcp_kind_e kind, const unsigned char *key, apr_pool_t *p)
{
    int part = part_of(store, kind);
    apr_time_t begin = apr_time_now();
    apr_status_t rv = enter(store, part);

    if (rv == APR_SUCCESS) {
        rv = store->provider->remove(store->parts[part].instance, store->s, key, MCP_SHA256_LEN, p);
        leave(store, part);
    }
    measure("store remove", begin, rv, p);
    return rv;
}

/**
 * A dead memcached reads as "not found" for seconds (craft finding 2). A write tells: it succeeds only on a live
 * server. The record goes under a key of its own, so that it can never overwrite what another node just stored.
 */
static apr_status_t probe(mcp_store_t *store, apr_pool_t *p)
{
    unsigned char key[MCP_SHA256_LEN];
    unsigned char mark = 1;
    apr_time_t expires = apr_time_now() + apr_time_from_sec(60);

    make_key(MCP_KIND_PROBE, "up", 2, key, p);
    if (backend_put(store, MCP_KIND_PROBE, key, expires, &mark, 1, p) == APR_SUCCESS) {
        return APR_SUCCESS;
    }
    mcp_health_note(MCP_HEALTH_STORE, 0);
    if (may_complain(store)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, store->s, MCP_LOG(0147) "the session store (MCPStore %s) cannot be reached",
                     store->what);
    }
    return MCP_EDOWN;
}

apr_status_t mcp_store_check(mcp_store_t *store, apr_pool_t *p)
{
    return probe(store, p);
}

/* ---- operations ---- */

apr_status_t mcp_store_put(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                           apr_time_t expires, const void *data, apr_size_t len, apr_pool_t *p)
{
    apr_time_t now = apr_time_now();
    apr_time_t backend_expires = expires;
    unsigned char key[MCP_SHA256_LEN];
    unsigned char *plain;
    unsigned char *sealed;
    apr_size_t sealed_len;
    apr_status_t rv;

    if (expires <= now || len > kinds[kind].max) {
        return APR_EINVAL;
    }
    if (store->networked) {
        /* They count whole seconds from now: the record must not vanish early. The time inside it is exact. */
        backend_expires += apr_time_from_sec(1);
    }
    if (backend_expires < now + BACKEND_TTL_MIN) {
        backend_expires = now + BACKEND_TTL_MIN;
    }
    if (backend_expires > now + BACKEND_TTL_MAX) {
        backend_expires = now + BACKEND_TTL_MAX;
    }

    plain = apr_palloc(p, RECORD_HEADER + len);
    plain[0] = RECORD_VERSION;
    mcp_put_time(plain + 1, expires, MCP_SECONDS);
    if (len) {
        memcpy(plain + RECORD_HEADER, data, len);
    }
    make_key(kind, id, id_len, key, p);
    mcp_seal_raw(p, store->ring, MCP_PURPOSE_STORE, key, sizeof(key), plain, RECORD_HEADER + len, &sealed,
                 &sealed_len);

    rv = backend_put(store, kind, key, backend_expires, sealed, sealed_len, p);
    if (rv != APR_SUCCESS && store->networked) {
        mcp_health_note(MCP_HEALTH_STORE, 0);
    }
    if (rv != APR_SUCCESS && rv != MCP_EDOWN && may_complain(store)) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, store->s,
                     MCP_LOG(0141) "the session store refused a %s record of %" APR_SIZE_T_FMT " bytes: it %s",
                     kinds[kind].name, sealed_len,
                     !store->networked ? "is too small; give MCPStore shmcb a larger size"
                                       : "is down or full, or apr-util an old release that takes 511 bytes for redis");
    }
    return rv == APR_SUCCESS ? rv : MCP_EDOWN;
}

/* One question to the backend: read into @a buf, or remove when @a buf is NULL. */
static apr_status_t ask(mcp_store_t *store, mcp_kind_e kind, const unsigned char *key, unsigned char *buf,
                        unsigned int *len, apr_pool_t *p)
{
    return buf ? backend_get(store, kind, key, buf, len, p) : backend_remove(store, kind, key, p);
}

/**
 * Ask, and where the answer is "not there", make sure that somebody was there to be asked. apr_memcache and apr_redis
 * take a server for dead from the first failure until a try 5 s later succeeds, so a server that lived before and
 * after a question that took less than that also answered it itself. One probe before is not enough: at a restart,
 * each stale connection in the pool can mark the server dead once more.
 */
static apr_status_t ask_surely(mcp_store_t *store, mcp_kind_e kind, const unsigned char *key, unsigned char *buf,
                               unsigned int *len, apr_pool_t *p)
{
    const unsigned int room = len ? *len : 0;
    apr_status_t rv = ask(store, kind, key, buf, len, p);
    apr_time_t begun;

    if (rv == APR_NOTFOUND && store->networked) {
        begun = apr_time_now();
        if (probe(store, p) != APR_SUCCESS) {
            return MCP_EDOWN;
        }
        if (len) {
            *len = room;
        }
        rv = ask(store, kind, key, buf, len, p);
        if (rv == APR_NOTFOUND
            && (probe(store, p) != APR_SUCCESS || apr_time_now() - begun > DEAD_AT_LEAST)) {
            return MCP_EDOWN;
        }
    }
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        mcp_health_note(MCP_HEALTH_STORE, 0);
        if (rv != MCP_EDOWN && may_complain(store)) {
            ap_log_error(APLOG_MARK, APLOG_ERR, rv, store->s, MCP_LOG(0148) "the session store (MCPStore %s) failed",
                         store->what);
        }
        rv = MCP_EDOWN;
    }
    return rv;
}

apr_status_t mcp_store_get(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                           unsigned char **data, apr_size_t *len, apr_pool_t *p)
{
    unsigned char small[8 * 1024];
    unsigned char key[MCP_SHA256_LEN];
    unsigned int sealed_len = (unsigned int)(kinds[kind].max + RECORD_HEADER + MCP_SEAL_RAW_OVERHEAD);
    unsigned char *sealed = sealed_len <= sizeof(small) ? small : apr_palloc(p, sealed_len);
    unsigned char *plain;
    apr_size_t plain_len;
    apr_status_t rv;

    make_key(kind, id, id_len, key, p);
    rv = ask_surely(store, kind, key, sealed, &sealed_len, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = mcp_unseal_raw(p, store->ring, MCP_PURPOSE_STORE, key, sizeof(key), sealed, sealed_len, &plain, &plain_len);
    if (rv != APR_SUCCESS || plain_len < RECORD_HEADER || plain[0] != RECORD_VERSION) {
        /* Not ours: another keyring's record, or one that somebody wrote who should not. */
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, store->s,
                     MCP_LOG(0142) "a %s record in the session store cannot be opened with this MCPKeyFile; "
                                   "do all hosts have the same keys?",
                     kinds[kind].name);
        return APR_NOTFOUND;
    }
    if (mcp_get_time(plain + 1, MCP_SECONDS) <= apr_time_now()) {
        return APR_NOTFOUND;
    }
    *data = plain + RECORD_HEADER;
    *len = plain_len - RECORD_HEADER;
    return APR_SUCCESS;
}

apr_status_t mcp_store_remove(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len, apr_pool_t *p)
{
    unsigned char key[MCP_SHA256_LEN];

    make_key(kind, id, id_len, key, p);
    return ask_surely(store, kind, key, NULL, NULL, p);
}

apr_status_t mcp_store_take(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len,
                            unsigned char **data, apr_size_t *len, apr_pool_t *p)
{
    apr_status_t rv = mcp_store_get(store, kind, id, id_len, data, len, p);

    return rv == APR_SUCCESS ? mcp_store_remove(store, kind, id, id_len, p) : rv;
}

apr_uint32_t mcp_store_generation(const mcp_store_t *store)
{
    return apr_atomic_read32((volatile apr_uint32_t *)store->generation);
}

void mcp_store_invalidate(mcp_store_t *store)
{
    apr_atomic_inc32(store->generation);
}

int mcp_store_is_shared(const mcp_store_t *store)
{
    return store->networked;
}

/* ---- epoch: | epoch[8] | written[8] seconds | begun[8] seconds | ---- */

#define EPOCH_RECORD (MCP_EPOCH_LEN + 8 + 8)

static apr_status_t write_epoch(mcp_store_t *store, const unsigned char epoch[MCP_EPOCH_LEN], apr_time_t begun,
                                apr_pool_t *p)
{
    unsigned char record[EPOCH_RECORD];
    apr_time_t now = apr_time_now();

    memcpy(record, epoch, MCP_EPOCH_LEN);
    mcp_put_time(record + MCP_EPOCH_LEN, now, MCP_SECONDS);
    mcp_put_time(record + MCP_EPOCH_LEN + 8, begun, MCP_SECONDS);
    return mcp_store_put(store, MCP_KIND_EPOCH, "epoch", 5, now + EPOCH_LIFE, record, sizeof(record), p);
}

/* Never cached: a stale epoch would call a lost grant revoked. It is asked for at sign-in and refresh only. */
static apr_status_t read_epoch(mcp_store_t *store, unsigned char epoch[MCP_EPOCH_LEN], apr_time_t *begun, apr_pool_t *p)
{
    unsigned char *record;
    apr_size_t len = 0;
    apr_status_t rv;

    if (!store->networked) {
        /* A record could be pushed out of a full segment, and would then call every revoked grant lost. */
        memcpy(epoch, store->epoch, MCP_EPOCH_LEN);
        *begun = store->begun;
        return APR_SUCCESS;
    }
    rv = mcp_store_get(store, MCP_KIND_EPOCH, "epoch", 5, &record, &len, p);
    if (rv == APR_NOTFOUND) {
        mcp_random(epoch, MCP_EPOCH_LEN);
        rv = write_epoch(store, epoch, apr_time_now(), p);
        if (rv == APR_SUCCESS) {
            /* Another node may have written its own in the same moment: the later one counts for both. */
            rv = mcp_store_get(store, MCP_KIND_EPOCH, "epoch", 5, &record, &len, p);
        }
    }
    if (rv != APR_SUCCESS || (len != EPOCH_RECORD && len != EPOCH_RECORD - 8)) {
        return MCP_EDOWN;
    }
    memcpy(epoch, record, MCP_EPOCH_LEN);
    *begun = len == EPOCH_RECORD ? mcp_get_time(record + MCP_EPOCH_LEN + 8, MCP_SECONDS) : 0;
    if (mcp_get_time(record + MCP_EPOCH_LEN, MCP_SECONDS) + EPOCH_RENEW < apr_time_now()) {
        /* Keeps it ahead of the backend's 30 days; when this fails the next caller tries again. */
        write_epoch(store, epoch, *begun, p);
    }
    return APR_SUCCESS;
}

apr_status_t mcp_store_epoch(mcp_store_t *store, unsigned char epoch[MCP_EPOCH_LEN], apr_pool_t *p)
{
    apr_time_t begun;

    return read_epoch(store, epoch, &begun, p);
}

apr_status_t mcp_store_since(mcp_store_t *store, apr_time_t *since, apr_pool_t *p)
{
    unsigned char epoch[MCP_EPOCH_LEN];

    return read_epoch(store, epoch, since, p);
}
