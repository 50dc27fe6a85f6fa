/* SPDX-License-Identifier: Apache-2.0 */
/* The shared store: sealed records over ap_socache, with outages told apart from absence. */

#include <string.h>

#include <apr_atomic.h>
#include <apr_global_mutex.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>
#include <ap_mpm.h>
#include <ap_provider.h>
#include <ap_socache.h>
#include <util_mutex.h>

#include "mcp_breaker.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_store.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define STORE_USERDATA "mcp-store/1"
#define STORE_MUTEX "mcp-store"
#define STORE_TAG "mcp-store" /* prefix of the keys at memcache and redis; names the shmcb segment */

#define RECORD_VERSION 1
#define RECORD_HEADER (1 + 8)
#define DEFAULT_SHMCB_SIZE "16777216"
#define TYPICAL_RECORD 512 /* a sealed grant; decides how shmcb divides its segment (craft section 3.1) */

/* memcached reads more than 30 days as a date of 1970 (craft finding 4), and 0 or 1 s as never or never stored. */
#define BACKEND_TTL_MAX apr_time_from_sec(30 * 86400 - 60)
#define BACKEND_TTL_MIN apr_time_from_sec(2)

#define EPOCH_LEN 8
#define EPOCH_LIFE apr_time_from_sec(APR_INT64_C(3650) * 86400)
#define EPOCH_RENEW apr_time_from_sec(86400)

struct mcp_store_t {
    const ap_socache_provider_t *provider;
    ap_socache_instance_t *instance;
    server_rec *s;
    const mcp_keyring_t *ring;
    apr_interval_time_t timeout;
    int networked;               /* memcache, redis: may be down or silent; shared with other hosts */
    apr_global_mutex_t *mutex;   /* for providers that are not safe across processes (shmcb), else NULL */
    mcp_breaker_t *breaker;      /* networked backends, from child_init on */
    int child_ready;
    volatile apr_uint32_t *generation; /* in shared memory */
};

/* What each kind is called in the key, and how large its payload may be. A name must never change. */
static const struct {
    const char *name;
    apr_size_t max;
} kinds[MCP_KIND_COUNT] = {
    [MCP_KIND_GRANT] = {"grant", 6 * 1024},
    [MCP_KIND_UPSTREAM] = {"upstream", 32 * 1024},
    [MCP_KIND_CODE] = {"code", 40 * 1024},
    [MCP_KIND_TICKET] = {"ticket", 1024},
    [MCP_KIND_SUCCESSOR] = {"successor", 24 * 1024},
    [MCP_KIND_TRANSACTION] = {"transaction", 1024},
    [MCP_KIND_EPOCH] = {"epoch", 64},
    [MCP_KIND_PROBE] = {"probe", 64},
    [MCP_KIND_INDEX] = {"index", 32 * 1024},
    [MCP_KIND_UPSTREAM_LOCK] = {"upstream-lock", 64},
    [MCP_KIND_LIMIT] = {"limit", 256},
    [MCP_KIND_BLOCK] = {"block", 1024},
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

static void put_seconds(unsigned char at[8], apr_time_t t)
{
    apr_uint64_t v = (apr_uint64_t)apr_time_sec(t);
    int i;

    for (i = 7; i >= 0; i--, v >>= 8) {
        at[i] = (unsigned char)v;
    }
}

static apr_time_t get_seconds(const unsigned char at[8])
{
    apr_uint64_t v = 0;
    int i;

    for (i = 0; i < 8; i++) {
        v = (v << 8) | at[i];
    }
    return v > (apr_uint64_t)(APR_INT64_MAX / APR_USEC_PER_SEC) ? APR_INT64_MAX : apr_time_from_sec((apr_time_t)v);
}

/* ---- one call to the backend, guarded by mutex or breaker ---- */

static apr_status_t enter(mcp_store_t *store)
{
    if (store->mutex) {
        return apr_global_mutex_lock(store->mutex) == APR_SUCCESS ? APR_SUCCESS : MCP_EDOWN;
    }
    if (store->breaker && mcp_breaker_enter(store->breaker) != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, store->s,
                     MCP_LOG(0140) "the session store does not answer; requests that need it are refused until it does");
        return MCP_EDOWN;
    }
    return APR_SUCCESS;
}

static void leave(mcp_store_t *store)
{
    if (store->mutex) {
        apr_global_mutex_unlock(store->mutex);
    }
    else if (store->breaker) {
        mcp_breaker_leave(store->breaker);
    }
}

static apr_status_t backend_put(mcp_store_t *store, const unsigned char *key, apr_time_t expires,
                                unsigned char *data, apr_size_t len, apr_pool_t *p)
{
    apr_status_t rv = enter(store);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = store->provider->store(store->instance, store->s, key, MCP_SHA256_LEN, expires, data, (unsigned int)len, p);
    leave(store);
    return rv;
}

static apr_status_t backend_get(mcp_store_t *store, const unsigned char *key, unsigned char *buf,
                                unsigned int *len, apr_pool_t *p)
{
    apr_status_t rv = enter(store);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = store->provider->retrieve(store->instance, store->s, key, MCP_SHA256_LEN, buf, len, p);
    leave(store);
    return rv;
}

static apr_status_t backend_remove(mcp_store_t *store, const unsigned char *key, apr_pool_t *p)
{
    apr_status_t rv = enter(store);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = store->provider->remove(store->instance, store->s, key, MCP_SHA256_LEN, p);
    leave(store);
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

    make_key(MCP_KIND_PROBE, "up", 2, key, p);
    return backend_put(store, key, apr_time_now() + apr_time_from_sec(60), &mark, 1, p) == APR_SUCCESS ? APR_SUCCESS
                                                                                                       : MCP_EDOWN;
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
    if (backend_expires > now + BACKEND_TTL_MAX) {
        backend_expires = now + BACKEND_TTL_MAX;
    }
    if (backend_expires < now + BACKEND_TTL_MIN) {
        backend_expires = now + BACKEND_TTL_MIN;
    }

    plain = apr_palloc(p, RECORD_HEADER + len);
    plain[0] = RECORD_VERSION;
    put_seconds(plain + 1, expires);
    if (len) {
        memcpy(plain + RECORD_HEADER, data, len);
    }
    make_key(kind, id, id_len, key, p);
    mcp_seal_raw(p, store->ring, MCP_PURPOSE_STORE, key, sizeof(key), plain, RECORD_HEADER + len, &sealed,
                 &sealed_len);

    rv = backend_put(store, key, backend_expires, sealed, sealed_len, p);
    if (rv == APR_SUCCESS || rv == MCP_EDOWN) {
        return rv;
    }
    if (store->networked) {
        return MCP_EDOWN;
    }
    ap_log_error(APLOG_MARK, APLOG_ERR, rv, store->s,
                 MCP_LOG(0141) "the session store refused a %s record of %" APR_SIZE_T_FMT
                 " bytes: give MCPStore shmcb a larger segment", kinds[kind].name, sealed_len);
    return MCP_EDOWN;
}

/* Ask the backend, and where it says "not there", make sure that it was there to be asked. */
static apr_status_t get_sealed(mcp_store_t *store, const unsigned char *key, unsigned char *buf, unsigned int *len,
                               apr_pool_t *p)
{
    const unsigned int room = *len;
    apr_status_t rv = backend_get(store, key, buf, len, p);

    if (rv == APR_NOTFOUND && store->networked) {
        rv = probe(store, p);
        if (rv == APR_SUCCESS) {
            /* It may have come back between the two: only what is absent while it lives is absent. */
            *len = room;
            rv = backend_get(store, key, buf, len, p);
        }
    }
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
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
    rv = get_sealed(store, key, sealed, &sealed_len, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = mcp_unseal_raw(p, store->ring, MCP_PURPOSE_STORE, key, sizeof(key), sealed, sealed_len, &plain, &plain_len);
    if (rv != APR_SUCCESS || plain_len < RECORD_HEADER || plain[0] != RECORD_VERSION) {
        /* Not ours: another keyring's record, or one that somebody wrote who should not. */
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, store->s,
                     MCP_LOG(0142) "a %s record in the session store cannot be opened with this MCPKeyFile; "
                     "do all hosts have the same keys?", kinds[kind].name);
        return APR_NOTFOUND;
    }
    if (get_seconds(plain + 1) <= apr_time_now()) {
        return APR_NOTFOUND;
    }
    *data = plain + RECORD_HEADER;
    *len = plain_len - RECORD_HEADER;
    return APR_SUCCESS;
}

apr_status_t mcp_store_remove(mcp_store_t *store, mcp_kind_e kind, const void *id, apr_size_t id_len, apr_pool_t *p)
{
    unsigned char key[MCP_SHA256_LEN];
    apr_status_t rv;

    make_key(kind, id, id_len, key, p);
    rv = backend_remove(store, key, p);
    if (rv == APR_NOTFOUND && store->networked) {
        rv = probe(store, p);
        if (rv == APR_SUCCESS) {
            rv = backend_remove(store, key, p);
        }
    }
    if (rv != APR_SUCCESS && rv != APR_NOTFOUND) {
        rv = MCP_EDOWN;
    }
    return rv;
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

/* ---- epoch: | epoch[8] | written[8] seconds | ---- */

static apr_status_t write_epoch(mcp_store_t *store, const unsigned char epoch[EPOCH_LEN], apr_pool_t *p)
{
    unsigned char record[EPOCH_LEN + 8];
    apr_time_t now = apr_time_now();

    memcpy(record, epoch, EPOCH_LEN);
    put_seconds(record + EPOCH_LEN, now);
    return mcp_store_put(store, MCP_KIND_EPOCH, "epoch", 5, now + EPOCH_LIFE, record, sizeof(record), p);
}

/* Never cached: a stale epoch would call a lost grant revoked. It is asked for at sign-in and refresh only. */
apr_status_t mcp_store_epoch(mcp_store_t *store, unsigned char epoch[EPOCH_LEN], apr_pool_t *p)
{
    unsigned char *record;
    apr_size_t len;
    apr_status_t rv = mcp_store_get(store, MCP_KIND_EPOCH, "epoch", 5, &record, &len, p);

    if (rv == APR_NOTFOUND) {
        mcp_random(epoch, EPOCH_LEN);
        rv = write_epoch(store, epoch, p);
        if (rv == APR_SUCCESS) {
            /* Another node may have written its own in the same moment: the later one counts for both. */
            rv = mcp_store_get(store, MCP_KIND_EPOCH, "epoch", 5, &record, &len, p);
        }
    }
    if (rv != APR_SUCCESS || len != EPOCH_LEN + 8) {
        return MCP_EDOWN;
    }
    memcpy(epoch, record, EPOCH_LEN);
    if (get_seconds(record + EPOCH_LEN) + EPOCH_RENEW < apr_time_now()) {
        /* Keeps it ahead of the backend's 30 days; when this fails the next caller tries again. */
        write_epoch(store, epoch, p);
    }
    return APR_SUCCESS;
}

/* ---- configuration and life cycle ---- */

/* One server only: with several, apr_memcache silently asks the next when one is dead, and what it then does not find
 * would count as revoked. */
static const char *check_server(apr_pool_t *p, const char *provider, const char *arg)
{
    if (!arg || !*arg) {
        return apr_psprintf(p, "MCPStore: %s needs a server: %s:HOST:PORT%s", provider, provider,
                            strcmp(provider, "memcache") ? "" : " or memcache:/path/of/socket");
    }
    if (strchr(arg, ',')) {
        return "MCPStore: name one server; a list cannot tell a lost server from a revoked session";
    }
    if (*arg == '[') {
        return "MCPStore: IPv6 literals do not work here (apr_memcache); name a host that has an IPv4 address";
    }
    return NULL;
}

const char *mcp_store_parse(mcp_store_conf_t *conf, const char *value, cmd_parms *cmd)
{
    const char *colon = strchr(value, ':');
    const char *name = colon ? apr_pstrmemdup(cmd->pool, value, (apr_size_t)(colon - value)) : value;
    const char *arg = colon ? colon + 1 : NULL;
    const ap_socache_provider_t *provider;
    ap_socache_instance_t *instance;
    const char *err;

    if (strcmp(name, "shmcb") && strcmp(name, "memcache") && strcmp(name, "redis")) {
        return apr_psprintf(cmd->pool, "MCPStore: '%s' is not known; use shmcb, memcache or redis", name);
    }
    provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name, AP_SOCACHE_PROVIDER_VERSION);
    if (!provider) {
        return apr_psprintf(cmd->pool, "MCPStore: provider %s is not loaded; add  LoadModule socache_%s_module "
                                       "modules/mod_socache_%s.so  before this line", name, name, name);
    }
    if (strcmp(name, "shmcb")) {
        err = check_server(cmd->pool, name, arg);
        if (err) {
            return err;
        }
    }
    else if (!arg || !*arg) {
        arg = apr_pstrcat(cmd->pool, ap_runtime_dir_relative(cmd->pool, STORE_TAG), "(" DEFAULT_SHMCB_SIZE ")", NULL);
    }
    err = provider->create(&instance, arg, cmd->temp_pool, cmd->pool);
    if (err) {
        return apr_psprintf(cmd->pool, "MCPStore %s: %s", name, err);
    }
    conf->provider = name;
    conf->arg = arg;
    return NULL;
}

apr_status_t mcp_store_pre_config(apr_pool_t *pconf)
{
    return ap_mutex_register(pconf, STORE_MUTEX, NULL, APR_LOCK_DEFAULT, 0);
}

static apr_status_t create(mcp_store_t **out, const mcp_store_conf_t *conf, const mcp_keyring_t *ring,
                           server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    struct ap_socache_hints hints = {MCP_SHA256_LEN, TYPICAL_RECORD, apr_time_from_sec(60)};
    mcp_store_t *store = apr_pcalloc(pconf, sizeof(*store));
    apr_shm_t *shm;
    const char *err;
    apr_status_t rv;

    store->s = s;
    store->ring = ring;
    store->timeout = conf->timeout;
    store->provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, conf->provider, AP_SOCACHE_PROVIDER_VERSION);
    store->networked = strcmp(conf->provider, "shmcb") != 0;
    err = store->provider->create(&store->instance, conf->arg, ptemp, pconf);
    if (err) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, s, MCP_LOG(0143) "MCPStore %s: %s", conf->provider, err);
        return APR_EGENERAL;
    }
    if (store->provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE) {
        rv = ap_global_mutex_create(&store->mutex, NULL, STORE_MUTEX, NULL, s, pconf, 0);
        if (rv != APR_SUCCESS) {
            return rv; /* logged by ap_global_mutex_create */
        }
    }
    rv = store->provider->init(store->instance, STORE_TAG, &hints, s, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0144) "MCPStore %s:%s cannot be opened", conf->provider,
                     conf->arg);
        return rv;
    }
    rv = apr_shm_create(&shm, sizeof(*store->generation), NULL, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0145) "no shared memory for the invalidation counter");
        return rv;
    }
    store->generation = apr_shm_baseaddr_get(shm);
    apr_atomic_set32(store->generation, 1);
    *out = store;
    return APR_SUCCESS;
}

apr_status_t mcp_store_open(mcp_store_t **store, const mcp_store_conf_t *conf, const mcp_keyring_t *ring,
                            server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    void *found = NULL;
    apr_status_t rv;

    apr_pool_userdata_get(&found, STORE_USERDATA, pconf);
    if (found) {
        *store = found;
        return APR_SUCCESS;
    }
    rv = create(store, conf, ring, s, pconf, ptemp);
    if (rv == APR_SUCCESS) {
        apr_pool_userdata_setn(*store, STORE_USERDATA, NULL, pconf);
    }
    return rv;
}

void mcp_store_child_init(mcp_store_t *store, apr_pool_t *pchild)
{
    apr_status_t rv = APR_SUCCESS;

    /* The structure is this process's own copy since the fork; the two modules share it. */
    if (store->child_ready) {
        return;
    }
    store->child_ready = 1;
    if (store->mutex) {
        rv = apr_global_mutex_child_init(&store->mutex, apr_global_mutex_lockfile(store->mutex), pchild);
    }
    else {
        int threads = 1;

        ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
        rv = mcp_breaker_create(&store->breaker, threads / 4 > 2 ? threads / 4 : 2, store->timeout, pchild);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, store->s, MCP_LOG(0146) "the session store cannot be used in this child");
    }
}
