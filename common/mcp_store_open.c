/* SPDX-License-Identifier: Apache-2.0 */
/* How the store comes to life: MCPStore's argument, the instance that both modules share, each child's part in it. */

#include <string.h>

#include <apr_atomic.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <ap_mpm.h>
#include <ap_provider.h>
#include <http_core.h>
#include <http_log.h>
#include <util_mutex.h>

#include "mcp_log.h"
#include "mcp_store_impl.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define STORE_USERDATA "mcp-store/2"
#define STORE_MUTEX "mcp-store"
#define STORE_TAG "mcp-store" /* prefix of the keys at memcache and redis; names the shmcb segment */

#define SHMCB_SIZE_DEFAULT (16 * 1024 * 1024)
#define SHMCB_SIZE_MIN (256 * 1024)
#define MEMCACHE_PORT 11211 /* where MCPStore names none: mod_socache_memcache's, mod_socache_redis's */
#define REDIS_PORT 6379
/* Mean sizes, which decide how shmcb divides a segment (craft section 3.1), and what a sign-in or refresh writes:
 * a grant and a ticket here, an answer and upstream tokens there. */
static const struct {
    const char *suffix;
    unsigned int record;
    unsigned int sign_in;
} parts[MCP_PARTS] = { { "", 384, 768 }, { "-large", 4096, 8192 } };

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

/* The arguments of shmcb's two parts, from `[path][(size)]`. NULL, or what is wrong. */
static const char *split_shmcb(apr_pool_t *p, const char *arg, const char *args[MCP_PARTS], apr_size_t *part_size)
{
    const char *open = arg ? strchr(arg, '(') : NULL;
    const char *path = !arg ? "" : (open ? apr_pstrmemdup(p, arg, (apr_size_t)(open - arg)) : arg);
    apr_int64_t size = SHMCB_SIZE_DEFAULT;
    char *end;

    if (!*path && !(path = ap_runtime_dir_relative(p, STORE_TAG))) {
        return "there is no runtime directory: name a path, as in shmcb:/path(16777216)";
    }
    if (open) {
        size = apr_strtoi64(open + 1, &end, 10);
        if (end == open + 1 || strcmp(end, ")") || size < SHMCB_SIZE_MIN || size > APR_INT32_MAX) {
            return apr_psprintf(p, "the size in parentheses is a number of bytes, %d at least", SHMCB_SIZE_MIN);
        }
    }
    *part_size = (apr_size_t)size / MCP_PARTS;
    for (int i = 0; i < MCP_PARTS; i++) {
        args[i] = apr_psprintf(p, "%s%s(%" APR_SIZE_T_FMT ")", path, parts[i].suffix, *part_size);
    }
    return NULL;
}

/* The arguments for the provider's create(), one for each part that is used. NULL, or what is wrong. */
static const char *provider_args(apr_pool_t *p, const char *provider, const char *arg, const char *args[MCP_PARTS],
                                 apr_size_t *part_size)
{
    *part_size = 0;
    args[MCP_PART_SMALL] = arg;
    args[MCP_PART_LARGE] = NULL;
    return strcmp(provider, "shmcb") ? check_server(p, provider, arg) : split_shmcb(p, arg, args, part_size);
}

/* What a shmcb of this size can hold, for the administrator. */
static const char *capacity(apr_pool_t *p, apr_size_t part_size)
{
    return apr_psprintf(p, "remembers about the last %" APR_SIZE_T_FMT " sign-ins and refreshes (the upstream tokens "
                           "of the last %" APR_SIZE_T_FMT "); a session that did not refresh since has to sign in again",
                        part_size / parts[MCP_PART_SMALL].sign_in, part_size / parts[MCP_PART_LARGE].sign_in);
}

/* `apachectl configtest` tells what the size means; once, though two modules read the line. */
static void tell_capacity(cmd_parms *cmd, apr_size_t part_size)
{
    void *told = NULL;

    if (!part_size || ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST) {
        return;
    }
    apr_pool_userdata_get(&told, STORE_USERDATA "-told", cmd->pool);
    if (!told) {
        apr_pool_userdata_setn("", STORE_USERDATA "-told", NULL, cmd->pool);
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, cmd->server, MCP_LOG(0149) "MCPStore shmcb %s",
                     capacity(cmd->pool, part_size));
    }
}

const char *mcp_store_parse(mcp_store_conf_t *conf, const char *value, cmd_parms *cmd)
{
    const char *colon = strchr(value, ':');
    const char *name = colon ? apr_pstrmemdup(cmd->pool, value, (apr_size_t)(colon - value)) : value;
    const char *arg = colon && colon[1] ? colon + 1 : NULL;
    const char *args[MCP_PARTS];
    apr_size_t part_size;
    const ap_socache_provider_t *provider;
    ap_socache_instance_t *instance;
    const char *err;

    if (strcmp(name, "shmcb") && strcmp(name, "memcache") && strcmp(name, "redis")) {
        return apr_psprintf(cmd->pool, "MCPStore: '%s' is not known; use shmcb, memcache or redis", name);
    }
    provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, name, AP_SOCACHE_PROVIDER_VERSION);
    if (!provider) {
        return apr_psprintf(cmd->pool, "MCPStore: provider %s is not loaded; add  LoadModule socache_%s_module "
                                       "modules/mod_socache_%s.so  before this line (Debian: a2enmod socache_%s)",
                            name, name, name, name);
    }
    err = provider_args(cmd->pool, name, arg, args, &part_size);
    for (int i = 0; !err && i < MCP_PARTS && args[i]; i++) {
        err = provider->create(&instance, args[i], cmd->temp_pool, cmd->temp_pool);
    }
    if (err) {
        return apr_psprintf(cmd->pool, "MCPStore %s: %s", name, err);
    }
    tell_capacity(cmd, part_size);
    conf->provider = name;
    conf->arg = arg;
    return NULL;
}

apr_status_t mcp_store_pre_config(apr_pool_t *pconf)
{
    return ap_mutex_register(pconf, STORE_MUTEX, NULL, APR_LOCK_DEFAULT, 0);
}

/* Create and initialise one part. Errors are logged. */
static apr_status_t open_part(mcp_store_t *store, int part, const char *arg, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    struct ap_socache_hints hints = { MCP_SHA256_LEN, parts[part].record, apr_time_from_sec(60) };
    const char *err = store->provider->create(&store->parts[part].instance, arg, ptemp, pconf);
    apr_status_t rv;

    if (err) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, 0, store->s, MCP_LOG(0143) "MCPStore %s: %s", arg, err);
        return APR_EGENERAL;
    }
    if (store->provider->flags & AP_SOCACHE_FLAG_NOTMPSAFE) {
        rv = ap_global_mutex_create(&store->parts[part].mutex, NULL, STORE_MUTEX, part ? parts[part].suffix + 1 : NULL,
                                    store->s, pconf, 0);
        if (rv != APR_SUCCESS) {
            return rv; /* logged by ap_global_mutex_create */
        }
    }
    rv = store->provider->init(store->parts[part].instance,
                               apr_pstrcat(pconf, STORE_TAG, parts[part].suffix, NULL), &hints, store->s, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, store->s, MCP_LOG(0144) "MCPStore %s cannot be opened", arg);
    }
    return rv;
}

/* Where the connections of a networked backend lead, by MCPStore's argument. */
static void find_peer(mcp_store_t *store, const char *provider, const char *arg)
{
    const char *colon = strrchr(arg, ':');

    if (*arg == '/') {
        store->path = arg;
    }
    else if (colon) {
        store->port = (apr_port_t)apr_atoi64(colon + 1);
    }
    else {
        store->port = strcmp(provider, "redis") ? MEMCACHE_PORT : REDIS_PORT;
    }
}

static apr_status_t create(mcp_store_t **out, const mcp_store_conf_t *conf, const mcp_keyring_t *ring,
                           server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp)
{
    mcp_store_t *store = apr_pcalloc(pconf, sizeof(*store));
    const char *args[MCP_PARTS];
    apr_size_t part_size;
    apr_shm_t *shm;
    apr_status_t rv = APR_SUCCESS;

    store->what = apr_pstrcat(pconf, conf->provider, conf->arg ? ":" : "", conf->arg ? conf->arg : "", NULL);
    store->s = s;
    store->ring = ring;
    store->timeout = conf->timeout;
    store->provider = ap_lookup_provider(AP_SOCACHE_PROVIDER_GROUP, conf->provider, AP_SOCACHE_PROVIDER_VERSION);
    store->networked = strcmp(conf->provider, "shmcb") != 0;
    if (store->networked && conf->arg) { /* which check_server() has asked for */
        find_peer(store, conf->provider, conf->arg);
    }
    mcp_random(store->epoch, sizeof(store->epoch));
    store->begun = apr_time_now();
    provider_args(pconf, conf->provider, conf->arg, args, &part_size); /* MCPStore was checked with it */
    for (int i = 0; rv == APR_SUCCESS && i < MCP_PARTS && args[i]; i++) {
        rv = open_part(store, i, args[i], pconf, ptemp);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = apr_shm_create(&shm, sizeof(*store->generation), NULL, pconf);
    if (APR_STATUS_IS_ENOTIMPL(rv)) {
        const char *path = ap_runtime_dir_relative(pconf, STORE_TAG "-generation");

        apr_shm_remove(path, pconf); /* of an unclean end before */
        rv = apr_shm_create(&shm, sizeof(*store->generation), path, pconf);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0145) "no shared memory for the invalidation counter");
        return rv;
    }
    store->generation = apr_shm_baseaddr_get(shm);
    apr_atomic_set32(store->generation, 1);
    if (part_size) {
        ap_log_error(APLOG_MARK, APLOG_INFO, 0, s, MCP_LOG(0150) "MCPStore shmcb %s", capacity(ptemp, part_size));
    }
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
    for (int i = 0; rv == APR_SUCCESS && i < MCP_PARTS; i++) {
        apr_global_mutex_t **mutex = &store->parts[i].mutex;

        if (*mutex) {
            rv = apr_global_mutex_child_init(mutex, apr_global_mutex_lockfile(*mutex), pchild);
        }
    }
    if (store->networked) {
        apr_pool_t *p;
        int threads = 1;

        ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
        /* In a pool that is never destroyed: whoever is stuck in the backend may come back when pchild is gone already. */
        rv = apr_pool_create_unmanaged_ex(&p, NULL, NULL);
        if (rv == APR_SUCCESS) {
            rv = mcp_breaker_create(&store->breaker, threads / 4 > 2 ? threads / 4 : 2, store->timeout, p);
        }
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, store->s, MCP_LOG(0146) "the session store cannot be used in this child");
    }
}
