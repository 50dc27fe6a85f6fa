/* SPDX-License-Identifier: Apache-2.0 */
/* Health of store and providers: a small table in shared memory, who may ask next, and the answers. */

#include <pthread.h>
#include <string.h>

#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <jansson.h>

#include "mcp_audit.h"
#include "mcp_health.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_metrics.h"

/* The name carries the layout's version: both modules must be of one release. */
#define HEALTH_USERDATA "mcp-health/1"
#define NAME_LEN 33 /* of a provider: 32 characters (provider_section.c), which no format has to escape */

/* What was seen holds for so long, then the next question for readiness asks anew. The store is this site's own and
 * quick; a provider is somebody else's. */
#define FRESH_STORE apr_time_from_sec(1)
#define FRESH_PROVIDER apr_time_from_sec(30)
#define RETRY_PROVIDER apr_time_from_sec(10)
/* An asker that has not come back by then is stuck: the store takes it and says nothing. */
#define STUCK_STORE apr_time_from_msec(500)
#define GIVE_UP apr_time_from_sec(2) /* how long the end of a child waits for a check */
#define LOST_ASKER apr_time_from_sec(10)
/* Successes are told by each call of the store: one in so long is enough, and keeps the cache line quiet. */
#define NOTE_EVERY apr_time_from_msec(250)

typedef struct {
    char name[NAME_LEN];
    apr_uint64_t failures;
    apr_uint64_t since;  /* apr_time_t, as all times here */
    apr_uint64_t seen;   /* the last evidence */
    apr_uint64_t asking; /* when a question began that has not come back; 0: none is under way */
    apr_uint32_t is;     /* mcp_health_e */
} part_t;

typedef struct {
    int parts;
    char kid[MCP_KID_MAX + 1];
    part_t part[MCP_HEALTH_PARTS];
} table_t;

/* Each module has a copy of this library of its own. Set before the fork. */
static table_t *table;
static mcp_store_t *store;

apr_status_t mcp_health_open(mcp_store_t *shared_store, const char *kid, server_rec *s, apr_pool_t *pconf)
{
    void *found = NULL;
    apr_shm_t *shm;
    apr_status_t rv;

    apr_pool_userdata_get(&found, HEALTH_USERDATA, pconf);
    if (!found) {
        table_t *made;

        rv = apr_shm_create(&shm, sizeof(*made), NULL, pconf);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0166) "no shared memory for health");
            return rv;
        }
        found = made = apr_shm_baseaddr_get(shm);
        memset(made, 0, sizeof(*made));
        made->parts = 1;
        apr_cpystrn(made->part[MCP_HEALTH_STORE].name, "store", NAME_LEN);
        apr_cpystrn(made->kid, kid, sizeof(made->kid));
        apr_pool_userdata_setn(found, HEALTH_USERDATA, NULL, pconf);
    }
    table = found;
    store = shared_store;
    return APR_SUCCESS;
}

void mcp_health_add_provider(const char *name)
{
    if (table && mcp_health_of_provider(name) < 0 && table->parts < MCP_HEALTH_PARTS) {
        apr_cpystrn(table->part[table->parts++].name, name, NAME_LEN);
    }
}

int mcp_health_parts(void)
{
    return table ? table->parts : 0;
}

int mcp_health_of_provider(const char *name)
{
    for (int i = MCP_HEALTH_STORE + 1; table && i < table->parts; i++) {
        if (!strcmp(table->part[i].name, name)) {
            return i;
        }
    }
    return -1;
}

static apr_time_t get(const apr_uint64_t *time)
{
    return (apr_time_t)__atomic_load_n(time, __ATOMIC_RELAXED);
}

static void set(apr_uint64_t *time, apr_time_t value)
{
    __atomic_store_n(time, (apr_uint64_t)value, __ATOMIC_RELAXED);
}

void mcp_health_note(int part, int up)
{
    apr_uint32_t is = up ? MCP_HEALTH_UP : MCP_HEALTH_DOWN;
    apr_time_t now = apr_time_now();
    part_t *p;

    if (!table || part < 0) {
        return;
    }
    p = &table->part[part];
    if (!up) {
        __atomic_add_fetch(&p->failures, 1, __ATOMIC_RELAXED);
    }
    else if (__atomic_load_n(&p->is, __ATOMIC_RELAXED) == is && now - get(&p->seen) < NOTE_EVERY) {
        return;
    }
    if (__atomic_exchange_n(&p->is, is, __ATOMIC_RELAXED) != is) {
        set(&p->since, now);
    }
    set(&p->seen, now);
}

void mcp_health_get(int part, mcp_health_t *health)
{
    const part_t *p = &table->part[part];

    health->name = p->name;
    health->is = (mcp_health_e)__atomic_load_n(&p->is, __ATOMIC_RELAXED);
    health->since = get(&p->since);
    health->failures = __atomic_load_n(&p->failures, __ATOMIC_RELAXED);
}

const char *mcp_health_kid(void)
{
    return table ? table->kid : NULL;
}

const char *mcp_health_word(mcp_health_e is)
{
    return is == MCP_HEALTH_UP ? "up" : is == MCP_HEALTH_DOWN ? "down"
                                                              : "unknown";
}

/* ---- who asks ---- */

/* May this thread ask now? Then set_asked() must follow. */
static int may_ask(part_t *p, apr_interval_time_t fresh)
{
    apr_uint64_t before = __atomic_load_n(&p->asking, __ATOMIC_RELAXED);
    apr_time_t now = apr_time_now();

    return now - get(&p->seen) >= fresh && (!before || now - (apr_time_t)before >= LOST_ASKER)
           && __atomic_compare_exchange_n(&p->asking, &before, (apr_uint64_t)now, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

static void set_asked(part_t *p)
{
    set(&p->asking, 0);
}

/* Is such a thread of this process at it? Each LOST_ASKER another one would be lost to a store that stays silent. */
static int checking;

/* In a thread of its own: a store that took the question and says nothing keeps it for as long as it likes, since neither
 * apr_memcache nor apr_redis has a time limit. */
static void *check_store(void *dummy)
{
    apr_pool_t *p;

    if (apr_pool_create_unmanaged_ex(&p, NULL, NULL) == APR_SUCCESS) {
        mcp_store_check(store, p); /* notes what it sees */
        apr_pool_destroy(p);
    }
    set_asked(&table->part[MCP_HEALTH_STORE]);
    __atomic_store_n(&checking, 0, __ATOMIC_RELEASE); /* last: nobody waits for this thread after it */
    return NULL;
}

/* The child ends: such a thread must not go on in the libraries while exit() takes them down. One that is stuck comes back
 * when its connection is broken off. */
static apr_status_t end_check(void *dummy)
{
    apr_time_t begin = apr_time_now(), now = begin;

    while (__atomic_load_n(&checking, __ATOMIC_ACQUIRE) && now < begin + GIVE_UP) {
        if (now >= begin + MCP_STORE_PATIENCE) {
            mcp_store_hang_up(store);
        }
        apr_sleep(apr_time_from_msec(5));
        now = apr_time_now();
    }
    return APR_SUCCESS;
}

void mcp_health_child_init(apr_pool_t *pchild)
{
    apr_pool_pre_cleanup_register(pchild, NULL, end_check);
}

static int start_check(void)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc;

    if (__atomic_exchange_n(&checking, 1, __ATOMIC_RELAXED)) {
        return 0;
    }
    rc = pthread_attr_init(&attr);
    if (!rc) {
        pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
        rc = pthread_create(&thread, &attr, check_store, NULL);
        pthread_attr_destroy(&attr);
    }
    if (rc) {
        __atomic_store_n(&checking, 0, __ATOMIC_RELAXED);
    }
    return rc == 0;
}

/* Returns when something is known, and within STUCK_STORE. */
static void ask_store(void)
{
    part_t *p = &table->part[MCP_HEALTH_STORE];
    apr_interval_time_t nap = apr_time_from_msec(1) / 4;
    apr_time_t asking;

    if (may_ask(p, FRESH_STORE) && !start_check()) {
        set_asked(p);
        return;
    }
    while ((asking = get(&p->asking)) && get(&p->seen) < asking) {
        apr_time_t now = apr_time_now();

        if (now - asking > STUCK_STORE) {
            mcp_health_note(MCP_HEALTH_STORE, 0);
            return;
        }
        apr_sleep(nap);
        nap = nap < apr_time_from_msec(10) ? nap * 2 : nap;
    }
}

/* All providers that are due. @a first: those of which nothing is known at all, for whom an answer has to wait. */
static void ask_providers(request_rec *r, mcp_health_probe_fn *probe, int first)
{
    for (int i = MCP_HEALTH_STORE + 1; i < table->parts; i++) {
        part_t *p = &table->part[i];
        mcp_health_t known;

        mcp_health_get(i, &known);
        if (first != (known.is == MCP_HEALTH_UNKNOWN)) {
            continue;
        }
        if (may_ask(p, known.is == MCP_HEALTH_DOWN ? RETRY_PROVIDER : FRESH_PROVIDER)) {
            probe(r, i);
            set_asked(p);
        }
    }
}

/* ---- the answers ---- */

static void put(json_t *json, const char *name, const char *value)
{
    json_object_set_new(json, name, json_string(value));
}

static json_t *part_json(const mcp_health_t *health)
{
    json_t *json = json_object();

    put(json, "status", mcp_health_word(health->is));
    if (health->since) {
        json_object_set_new(json, "since", json_integer(apr_time_sec(health->since)));
    }
    json_object_set_new(json, "failures", json_integer((json_int_t)health->failures));
    return json;
}

static json_t *audit_json(const mcp_audit_state_t *audit)
{
    json_t *json = json_object();

    put(json, "status", audit->failing ? "down" : "up");
    json_object_set_new(json, "lost", json_integer((json_int_t)audit->lost));
    return json;
}

/* What is known, into @a json; returns what is down for good: MCP_READY_*, and in *some whether anything is. */
static int look(json_t *json, int *some)
{
    json_t *checks = json_object(), *providers = json_object(), *keys = json_object();
    int down = 0, with_state = 0, lost = 0;
    mcp_audit_state_t audit;
    mcp_health_t health;

    mcp_health_get(MCP_HEALTH_STORE, &health);
    down |= health.is == MCP_HEALTH_DOWN ? MCP_READY_STORE : 0;
    json_object_set_new(checks, "store", part_json(&health));
    put(keys, "status", "up"); /* without them the server does not start */
    put(keys, "kid", table->kid);
    json_object_set_new(checks, "keys", keys);
    if (mcp_audit_state(&audit)) {
        down |= audit.failing ? MCP_READY_AUDIT : 0;
        json_object_set_new(checks, "audit", audit_json(&audit));
    }
    for (int i = MCP_HEALTH_STORE + 1; i < table->parts; i++) {
        mcp_health_get(i, &health);
        with_state++;
        lost += health.is == MCP_HEALTH_DOWN;
        json_object_set_new(providers, health.name, part_json(&health));
    }
    if (with_state) {
        json_object_set_new(checks, "providers", providers);
    }
    else {
        json_decref(providers);
    }
    down |= with_state && lost == with_state ? MCP_READY_PROVIDER : 0;
    *some = down || lost;
    json_object_set_new(json, "checks", checks);
    return down;
}

static int answer(request_rec *r, int ready, mcp_health_probe_fn *probe, int detail)
{
    json_t *json = json_object();
    int down, some, rc;

    ask_store();
    if (probe) {
        ask_providers(r, probe, 1);
    }
    down = look(json, &some);
    if (!detail) {
        json_object_clear(json);
    }
    put(json, "status", down & ready ? "unready" : some ? "degraded"
                                                        : "ready");
    rc = mcp_send_json(r, down & ready ? HTTP_SERVICE_UNAVAILABLE : HTTP_OK, json);
    if (probe && ap_rflush(r) >= 0) {
        /* Whoever asked has the whole answer: what is asked now is for the next one. */
        ask_providers(r, probe, 0);
    }
    return rc;
}

int mcp_health_handler(request_rec *r, int ready, mcp_health_probe_fn *probe)
{
    int live = r->handler && !strcmp(r->handler, "mcp-live");
    int detail = r->handler && !strcmp(r->handler, "mcp-health");

    if (!live && !detail && (!r->handler || strcmp(r->handler, "mcp-ready"))) {
        return DECLINED;
    }
    if (!table) {
        return DECLINED;
    }
    mcp_no_store(r);
    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD");
        return mcp_send_json(r, HTTP_METHOD_NOT_ALLOWED, json_pack("{s:s}", "error", "invalid_request"));
    }
    return live ? mcp_send_json(r, HTTP_OK, json_pack("{s:s}", "status", "live"))
                : answer(r, ready ? ready : MCP_READY_DEFAULT, probe, detail);
}

void mcp_health_metrics(request_rec *r)
{
    mcp_health_t health;

    if (!table) {
        return;
    }
    mcp_metrics_head(r, "mcp_key_info", "gauge", "The key that seals, by its name.");
    ap_rprintf(r, "mcp_key_info{kid=\"%s\"} 1\n", table->kid);
    mcp_health_get(MCP_HEALTH_STORE, &health);
    if (health.is != MCP_HEALTH_UNKNOWN) {
        mcp_metrics_head(r, "mcp_store_up", "gauge", "1 while the store answers, 0 while it does not.");
        ap_rprintf(r, "mcp_store_up %d\n", health.is == MCP_HEALTH_UP);
    }
    mcp_metrics_head(r, "mcp_store_failures_total", "counter", "Calls of the store that failed.");
    ap_rprintf(r, "mcp_store_failures_total %" APR_UINT64_T_FMT "\n", health.failures);
    if (table->parts == MCP_HEALTH_STORE + 1) {
        return;
    }
    mcp_metrics_head(r, "mcp_provider_up", "gauge", "1 while an identity provider answers, 0 while it does not.");
    for (int i = MCP_HEALTH_STORE + 1; i < table->parts; i++) {
        mcp_health_get(i, &health);
        if (health.is != MCP_HEALTH_UNKNOWN) {
            ap_rprintf(r, "mcp_provider_up{provider=\"%s\"} %d\n", health.name, health.is == MCP_HEALTH_UP);
        }
    }
    mcp_metrics_head(r, "mcp_provider_failures_total", "counter", "Calls of an identity provider that failed.");
    for (int i = MCP_HEALTH_STORE + 1; i < table->parts; i++) {
        mcp_health_get(i, &health);
        ap_rprintf(r, "mcp_provider_failures_total{provider=\"%s\"} %" APR_UINT64_T_FMT "\n", health.name,
                   health.failures);
    }
}
