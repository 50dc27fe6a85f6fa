/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms in shared memory, and their text for Prometheus. */

#include <stdint.h>
#include <string.h>

#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_audit.h"
#include "mcp_health.h"
#include "mcp_log.h"
#include "mcp_metrics.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define METRICS_USERDATA "mcp-metrics/2"
#define HANDLER "mcp-metrics"

#define SLOTS 1024      /* a power of two */
#define FREE_VALUES 200 /* of a family whose labels strangers choose */
#define PROBES 32       /* slots that a set of labels may be in */
#define LABEL_MAX 64
#define BUCKETS 12

/* Upper bounds in microseconds; the last is infinity. */
static const apr_int64_t bounds[BUCKETS - 1] = { 50, 100, 250, 500, 1000, 5000,
                                                 25000, 100000, 500000, 2500000, 10000000 };
static const char *const bound_names[BUCKETS] = { "0.00005", "0.0001", "0.00025", "0.0005", "0.001", "0.005",
                                                  "0.025", "0.1", "0.5", "2.5", "10", "+Inf" };

static const struct {
    const char *name;
    const char *first;
    const char *second;
    const char *help;
    int open; /* label values come from outside */
} families[MCP_METRIC_COUNT] = {
    [MCP_METRIC_EVENTS] = { "mcp_events_total", "event", "outcome", "What the gateway did, as in the audit log.", 0 },
    [MCP_METRIC_REQUESTS] = { "mcp_requests_total", "outcome", NULL, "Calls to guarded locations by outcome.", 0 },
    [MCP_METRIC_METHODS] = { "mcp_messages_total", "method", NULL,
                             "Messages by method, where the location reads messages.", 1 },
    [MCP_METRIC_TOOLS] = { "mcp_tool_calls_total", "tool", "outcome",
                           "Calls of tools, where the location reads messages.", 1 },
    [MCP_METRIC_SPANS] = { "mcp_trace_spans_total", "outcome", NULL,
                           "Requests whose spans went to the exporter, or were dropped.", 0 },
};

static const struct {
    const char *name;
    const char *help;
} durations[MCP_TIME_COUNT] = {
    [MCP_TIME_GUARD] = { "mcp_guard_seconds", "What the guard takes of a call before the backend is asked." },
    [MCP_TIME_CALL] = { "mcp_call_seconds", "Whole calls, event streams excepted." },
    [MCP_TIME_STORE] = { "mcp_store_seconds", "Single calls of the store." },
    [MCP_TIME_PROVIDER] = { "mcp_provider_seconds", "Single calls of an identity provider." },
};

typedef enum { SLOT_FREE,
               SLOT_CLAIMED,
               SLOT_READY } slot_state_e;

typedef struct {
    uint32_t state; /* slot_state_e */
    uint32_t family;
    uint64_t hash;
    uint64_t count;
    char first[LABEL_MAX];
    char second[LABEL_MAX];
} slot_t;

typedef struct {
    uint64_t bucket[BUCKETS];
    uint64_t sum; /* microseconds */
} histogram_t;

typedef struct {
    apr_time_t started;
    uint32_t values[MCP_METRIC_COUNT]; /* slots that a family has */
    histogram_t times[MCP_TIME_COUNT];
    slot_t slots[SLOTS];
} table_t;

/* Each module has a copy of this library of its own. Set before the fork. */
static table_t *table;

apr_status_t mcp_metrics_open(server_rec *s, apr_pool_t *pconf)
{
    void *found = NULL;
    apr_shm_t *shm;
    apr_status_t rv;

    apr_pool_userdata_get(&found, METRICS_USERDATA, pconf);
    if (!found) {
        rv = apr_shm_create(&shm, sizeof(*table), NULL, pconf);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0165) "no shared memory for metrics");
            return rv;
        }
        found = apr_shm_baseaddr_get(shm);
        memset(found, 0, sizeof(*table));
        ((table_t *)found)->started = apr_time_now();
        apr_pool_userdata_setn(found, METRICS_USERDATA, NULL, pconf);
    }
    table = found;
    return APR_SUCCESS;
}

/* FNV-1a: of a bounded table, whose families that strangers fill are bounded too, so nobody gains by collisions. */
static uint64_t hash_of(mcp_metric_e family, const char *first, const char *second)
{
    uint64_t hash = 14695981039346656037u ^ (uint64_t)family;

    for (int i = 0; i < LABEL_MAX - 1 && first[i]; i++) {
        hash = (hash ^ (unsigned char)first[i]) * 1099511628211u;
    }
    hash = (hash ^ 0xff) * 1099511628211u;
    for (int i = 0; i < LABEL_MAX - 1 && second[i]; i++) {
        hash = (hash ^ (unsigned char)second[i]) * 1099511628211u;
    }
    return hash ^ hash >> 29;
}

static int is_slot(const slot_t *slot, mcp_metric_e family, uint64_t hash, const char *first, const char *second)
{
    return slot->hash == hash && slot->family == (uint32_t)family && !strncmp(slot->first, first, LABEL_MAX - 1)
           && !strncmp(slot->second, second, LABEL_MAX - 1);
}

/* The slot of these labels, made if there is room. NULL: there is none. */
static slot_t *slot_of(mcp_metric_e family, const char *first, const char *second, int make)
{
    uint64_t hash = hash_of(family, first, second);

    for (unsigned int i = 0; i < PROBES; i++) {
        slot_t *slot = &table->slots[(hash + i) & (SLOTS - 1)];
        uint32_t state = __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);

        if (state == SLOT_READY && is_slot(slot, family, hash, first, second)) {
            return slot;
        }
        if (state != SLOT_FREE || !make) {
            if (state == SLOT_FREE) {
                return NULL;
            }
            continue; /* one that is just being claimed: two slots of the same labels are added up when read */
        }
        if (!__atomic_compare_exchange_n(&slot->state, &state, SLOT_CLAIMED, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
            i--; /* look at it again */
            continue;
        }
        slot->family = (uint32_t)family;
        slot->hash = hash;
        apr_cpystrn(slot->first, first, LABEL_MAX);
        apr_cpystrn(slot->second, second, LABEL_MAX);
        __atomic_add_fetch(&table->values[family], 1, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->state, SLOT_READY, __ATOMIC_RELEASE);
        return slot;
    }
    return NULL;
}

void mcp_metric(mcp_metric_e family, const char *first, const char *second)
{
    slot_t *slot;

    if (!table) {
        return;
    }
    if (!first || !*first) {
        first = "none";
    }
    if (!second) {
        second = "";
    }
    slot = slot_of(family, first, second,
                   !families[family].open
                       || __atomic_load_n(&table->values[family], __ATOMIC_RELAXED) < FREE_VALUES);
    if (!slot) {
        slot = slot_of(family, "other", second, 1);
    }
    if (slot) {
        __atomic_add_fetch(&slot->count, 1, __ATOMIC_RELAXED);
    }
}

void mcp_metric_time(mcp_time_e what, apr_interval_time_t duration)
{
    int i = 0;

    if (!table || duration < 0) {
        return;
    }
    while (i < BUCKETS - 1 && duration > bounds[i]) {
        i++;
    }
    __atomic_add_fetch(&table->times[what].bucket[i], 1, __ATOMIC_RELAXED);
    __atomic_add_fetch(&table->times[what].sum, (uint64_t)duration, __ATOMIC_RELAXED);
}

/* ---- the text ---- */

void mcp_metrics_head(request_rec *r, const char *name, const char *type, const char *help)
{
    ap_rvputs(r, "# HELP ", name, " ", help, "\n# TYPE ", name, " ", type, "\n", NULL);
}

/* A label's value: printable text, with what the format reserves escaped. */
static const char *label(apr_pool_t *p, const char *text)
{
    char *out = apr_palloc(p, 2 * strlen(text) + 1), *o = out;
    int utf8 = mcp_is_utf8(text);

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\') {
            *o++ = '\\';
        }
        *o++ = c < 0x20 || c == 0x7f || (c >= 0x80 && !utf8) ? '?' : (char)c;
    }
    *o = '\0';
    return out;
}

static uint64_t count_of(const slot_t *slot)
{
    return __atomic_load_n(&slot->count, __ATOMIC_RELAXED);
}

static int is_ready(const slot_t *slot, mcp_metric_e family)
{
    return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE) == SLOT_READY && slot->family == (uint32_t)family;
}

void mcp_metrics_each(mcp_metric_e family, mcp_metrics_each_fn *each, void *baton)
{
    for (int i = 0; table && i < SLOTS; i++) {
        const slot_t *slot = &table->slots[i];
        uint64_t count;
        int first = 1;

        if (!is_ready(slot, family)) {
            continue;
        }
        count = count_of(slot);
        /* Two processes may have made a slot each, where these labels are looked for. */
        for (unsigned int n = 0; n < PROBES; n++) {
            int j = (int)((slot->hash + n) & (SLOTS - 1));
            const slot_t *twin = &table->slots[j];

            if (j != i && is_ready(twin, family) && is_slot(twin, family, slot->hash, slot->first, slot->second)) {
                first = first && j > i;
                count += count_of(twin);
            }
        }
        if (first) {
            each(baton, slot->first, slot->second, (apr_uint64_t)count);
        }
    }
}

typedef struct {
    request_rec *r;
    mcp_metric_e family;
} put_t;

static void put_one(void *baton, const char *first, const char *second, apr_uint64_t count)
{
    const put_t *put = baton;
    request_rec *r = put->r;

    ap_rvputs(r, families[put->family].name, "{", families[put->family].first, "=\"", label(r->pool, first), "\"", NULL);
    if (families[put->family].second) {
        ap_rvputs(r, ",", families[put->family].second, "=\"", label(r->pool, second), "\"", NULL);
    }
    ap_rprintf(r, "} %" APR_UINT64_T_FMT "\n", count);
}

static void put_family(request_rec *r, mcp_metric_e family)
{
    put_t put = { r, family };

    mcp_metrics_head(r, families[family].name, "counter", families[family].help);
    mcp_metrics_each(family, put_one, &put);
}

static void put_time(request_rec *r, int what)
{
    const histogram_t *h = &table->times[what];
    uint64_t total = 0;

    mcp_metrics_head(r, durations[what].name, "histogram", durations[what].help);
    for (int i = 0; i < BUCKETS; i++) {
        total += __atomic_load_n(&h->bucket[i], __ATOMIC_RELAXED);
        ap_rprintf(r, "%s_bucket{le=\"%s\"} %" APR_UINT64_T_FMT "\n", durations[what].name, bound_names[i],
                   (apr_uint64_t)total);
    }
    ap_rprintf(r, "%s_sum %.6f\n%s_count %" APR_UINT64_T_FMT "\n", durations[what].name,
               (double)__atomic_load_n(&h->sum, __ATOMIC_RELAXED) / 1e6, durations[what].name, (apr_uint64_t)total);
}

static void put_audit(request_rec *r)
{
    mcp_audit_state_t state;

    if (!mcp_audit_state(&state)) {
        return;
    }
    mcp_metrics_head(r, "mcp_audit_lines_total", "counter", "Lines of the audit log.");
    ap_rprintf(r, "mcp_audit_lines_total %" APR_UINT64_T_FMT "\n", state.written);
    mcp_metrics_head(r, "mcp_audit_lost_total", "counter", "Lines of the audit log that could not be written.");
    ap_rprintf(r, "mcp_audit_lost_total %" APR_UINT64_T_FMT "\n", state.lost);
    mcp_metrics_head(r, "mcp_audit_failing", "gauge", "1 while the audit log cannot be written.");
    ap_rprintf(r, "mcp_audit_failing %d\n", state.failing);
}

int mcp_metrics_handler(request_rec *r, mcp_metrics_more_fn *more)
{
    if (!r->handler || strcmp(r->handler, HANDLER) || !table) {
        return DECLINED;
    }
    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET");
        return HTTP_METHOD_NOT_ALLOWED;
    }
    ap_set_content_type(r, "text/plain; version=0.0.4; charset=utf-8");
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    for (int i = 0; i < MCP_METRIC_COUNT; i++) {
        put_family(r, (mcp_metric_e)i);
    }
    for (int i = 0; i < MCP_TIME_COUNT; i++) {
        put_time(r, i);
    }
    put_audit(r);
    mcp_health_metrics(r);
    mcp_metrics_head(r, "mcp_start_time_seconds", "gauge", "When this configuration was loaded.");
    ap_rprintf(r, "mcp_start_time_seconds %.3f\n", (double)table->started / 1e6);
    if (more) {
        more(r);
    }
    return OK;
}
