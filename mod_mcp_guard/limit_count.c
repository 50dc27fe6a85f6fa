/* SPDX-License-Identifier: Apache-2.0 */
/* Where limits count: in this host's memory and file, or, with the word `cluster`, in a store that
 * all hosts share.
 *
 * A cluster counts by windows of the clock, which the hosts' clocks must agree on. Quotas have
 * windows anyway. A rate has two: what counts is the present one and of the one before as much as
 * still lies within a period from now, as if its calls had been spread evenly. So never more than
 * COUNT calls pass in a window, and after a burst at the end of one not another at the beginning of
 * the next.
 */

#include <string.h>
#include <unistd.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_counter.h"
#include "mcp_log.h"
#include "mcp_slots.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

/* Names under which the tables live as long as the server's first process; another layout gets
 * another one. */
#define RATES_KEY "mcp-limits-1"
#define QUOTAS_KEY "mcp-quotas-1:" /* and the path */
#define SLOTS_KEY "mcp-slots-1"

#define RATE_ENTRIES 131072  /* 1 MB; beyond so many whoever was idle the longest is forgiven */
#define QUOTA_ENTRIES 131072 /* 1 MB; beyond so many keys the smallest counts give way */
#define PLACES 65536         /* 1.5 MB; calls under way that are counted */
#define KEPT_AFTER 3600      /* seconds that a shared count outlives its window: clocks may differ */
#define COMPLAIN_EVERY 10    /* seconds */

static mcp_limit_table_t *rates;
static mcp_quota_table_t *quotas;
static mcp_slots_t *slots;
static mcp_counter_t *counter;  /* NULL: none */
static apr_uint32_t complained; /* second of this process's last complaint about it */

/* ---- the tables ---- */

static void *known(const char *key, apr_pool_t *p)
{
    void *found = NULL;

    apr_pool_userdata_get(&found, key, p);
    return found;
}

/* Not _setn: the key's text lies in this DSO, which is unloaded before the pool is asked again. */
static void remember(const char *key, const void *table, apr_pool_t *p)
{
    apr_pool_userdata_set(table, key, NULL, p);
}

/* The file is found again by its path: another MCPQuotaFile is another table. */
static apr_status_t open_quotas(server_rec *s, apr_pool_t *p)
{
    const char *path = mcp_limit_global.quota_file;
    const char *name = apr_pstrcat(p, QUOTAS_KEY, path, NULL);
    mcp_quota_origin_e origin;
    apr_status_t why;
    apr_status_t rv;

    quotas = known(name, p);
    if (quotas) {
        return APR_SUCCESS;
    }
    rv = mcp_quota_open(&quotas, path, QUOTA_ENTRIES, &origin, &why, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    remember(name, quotas, p);
    if (origin == MCP_QUOTA_BAD) {
        ap_log_error(APLOG_MARK, APLOG_ERR, 0, s,
                     MCP_LOG(0494) "MCPQuotaFile %s is no file of quotas, or is damaged: it is "
                                   "%s.bad now, and all quotas "
                                   "begin anew",
                     path, path);
    }
    else if (path && origin == MCP_QUOTA_MEMORY) {
        ap_log_error(APLOG_MARK, APLOG_ERR, why, s,
                     MCP_LOG(0495) "MCPQuotaFile %s cannot be used%s: until httpd is stopped and "
                                   "started, quotas count in "
                                   "memory, and are forgotten then",
                     path, why == APR_EBUSY ? ", another httpd has it" : "");
    }
    else if (origin == MCP_QUOTA_NEW) {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s, MCP_LOG(0496) "MCPQuotaFile %s is new", path);
    }
    return APR_SUCCESS;
}

apr_status_t mcp_limit_tables_open(server_rec *s, apr_pool_t *pconf, apr_interval_time_t timeout)
{
    apr_pool_t *p = s->process->pool; /* a graceful restart must not forgive anybody */
    int used = mcp_limit_global.used;
    apr_status_t rv = APR_SUCCESS;
    const char *err = NULL;

    rates = known(RATES_KEY, p);
    slots = known(SLOTS_KEY, p);
    counter = NULL;
    if ((used & 1 << MCP_LIMIT_RATE) && !rates
        && (rv = mcp_limit_create(&rates, RATE_ENTRIES, p)) == APR_SUCCESS) {
        remember(RATES_KEY, rates, p);
    }
    if ((used & 1 << MCP_LIMIT_QUOTA) && rv == APR_SUCCESS) {
        rv = open_quotas(s, p);
    }
    if ((used & 1 << MCP_LIMIT_AT_ONCE) && !slots && rv == APR_SUCCESS
        && (rv = mcp_slots_create(&slots, PLACES, p)) == APR_SUCCESS) {
        remember(SLOTS_KEY, slots, p);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     MCP_LOG(0490) "no shared memory for the counts of limits");
        return rv;
    }
    if (mcp_limit_global.cluster) {
        err = mcp_counter_create(&counter, mcp_limit_global.store, timeout, pconf);
    }
    if (err) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, 0, s, MCP_LOG(0497) "MCPLimitStore %s %s",
                     mcp_limit_global.store, err);
        return APR_EGENERAL;
    }
    return APR_SUCCESS;
}

void mcp_limit_child_init(server_rec *s, apr_pool_t *pchild)
{
    if (counter) {
        mcp_counter_child_init(counter, pchild);
    }
}

void mcp_limit_child_gone(pid_t pid)
{
    if (slots) {
        mcp_slots_gone(slots, pid);
    }
}

int mcp_limit_audit(void)
{
    return slots ? mcp_slots_audit(slots) : 0;
}

/* ---- at once ---- */

static apr_status_t give_back(void *data)
{
    mcp_slots_give(slots, *(const apr_int32_t *)data);
    return APR_SUCCESS;
}

static mcp_count_e count_at_once(request_rec *r, const mcp_limit_rule_t *rule, const char *key,
                                 mcp_limit_state_t *state)
{
    apr_uint32_t taken;
    apr_int32_t place = mcp_slots_take(slots, rule->rate.count, rule->name, key, getpid(), &taken);

    state->quota = rule->rate.count;
    state->window = 0;
    state->remaining = rule->rate.count - taken;
    state->reset = state->retry = apr_time_from_sec(1); /* nobody knows; soon, as calls go */
    if (place < 0) {
        return place == MCP_SLOT_FULL ? MCP_COUNT_FULL : MCP_COUNT_REFUSED;
    }
    /* The pool of a request ends with it, whatever ends it: also behind an internal redirect, and
     * of a stream that the relay has taken over. */
    apr_pool_cleanup_register(r->pool, apr_pmemdup(r->pool, &place, sizeof(place)), give_back,
                              apr_pool_cleanup_null);
    return MCP_COUNT_ALLOWED;
}

/* ---- all hosts together ---- */

/* The counter of a rule, key and window: nothing of a person's name leaves. */
static const char *counter_key(apr_pool_t *p, const char *rule, const char *key, apr_time_t start)
{
    unsigned char digest[MCP_SHA256_LEN];
    const char *whole =
        apr_psprintf(p, "mcp-limit\n%s\n%" APR_TIME_T_FMT "\n%s", rule, apr_time_sec(start), key);

    mcp_sha256(whole, strlen(whole), digest);
    return apr_pstrcat(p, "mcpl:", apr_pescape_hex(p, digest, 16, 0), NULL);
}

/* How long until one more call fits, when @a mine passed in this window and @a before in the one
 * before it. */
static apr_interval_time_t wait_for_room(apr_int64_t quota, apr_int64_t mine, apr_int64_t before,
                                         apr_interval_time_t period, apr_interval_time_t left)
{
    if (mine < quota && before > 0) {
        apr_interval_time_t enough =
            period * (quota - mine - 1) / before; /* of the period may be left then */

        return left > enough ? left - enough : APR_USEC_PER_SEC;
    }
    return left + period / (quota > 0 ? quota : 1);
}

static mcp_count_e count_in_cluster(request_rec *r, const mcp_limit_rule_t *rule, const char *key,
                                    apr_time_t now, mcp_limit_state_t *state)
{
    apr_int64_t quota = rule->rate.count;
    apr_interval_time_t period = rule->rate.period;
    apr_time_t start, end;
    apr_int64_t count, before;
    apr_int64_t carried = 0;
    const char *name;
    int is_rate = rule->kind == MCP_LIMIT_RATE;

    if (is_rate) {
        start = now - now % period;
        end = start + period;
    }
    else {
        mcp_calendar_window(rule->calendar, now, &start, &end);
        period = end - start;
    }
    name = counter_key(r->pool, rule->name, key, start);
    /* A rate's window is read for one more period. */
    if (mcp_counter_add(counter, name, apr_time_sec(end + (is_rate ? period : 0)) + KEPT_AFTER,
                        is_rate ? counter_key(r->pool, rule->name, key, start - period) : NULL,
                        &count, &before)
        != APR_SUCCESS) {
        return MCP_COUNT_DOWN;
    }
    if (is_rate) {
        before = before > quota ? quota : before < 0 ? 0
                                                     : before;
        carried = (before * (end - now) + period - 1) / period;
    }
    state->quota = rule->rate.count;
    state->window = period;
    state->reset = end - now + (is_rate ? period : 0);
    if (count + carried > quota) {
        mcp_counter_undo(counter, name);
        state->remaining = 0;
        state->retry =
            is_rate ? wait_for_room(quota, count - 1, before, period, end - now) : end - now;
        return MCP_COUNT_REFUSED;
    }
    state->remaining = (apr_uint32_t)(quota - carried - count);
    state->retry = 0;
    return MCP_COUNT_ALLOWED;
}

/* Once in a while, for each process: a store that is away is asked for often. */
static void complain(request_rec *r)
{
    apr_uint32_t now = (apr_uint32_t)apr_time_sec(r->request_time);
    apr_uint32_t last = __atomic_load_n(&complained, __ATOMIC_RELAXED);

    if (now - last >= COMPLAIN_EVERY
        && __atomic_compare_exchange_n(&complained, &last, now, 0, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED)) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0498) "MCPLimitStore %s does not answer: %s", mcp_limit_global.store,
                      mcp_limit_global.closed ? "calls that it should count are refused"
                                              : "each host counts by itself");
    }
}

mcp_count_e mcp_limit_count(request_rec *r, const mcp_limit_rule_t *rule, const char *key,
                            mcp_limit_state_t *state)
{
    apr_time_t now = apr_time_now();
    int allowed;

    if (rule->kind == MCP_LIMIT_AT_ONCE) {
        return count_at_once(r, rule, key, state);
    }
    if (rule->cluster) {
        mcp_count_e found = count_in_cluster(r, rule, key, now, state);

        if (found == MCP_COUNT_DOWN) {
            complain(r);
        }
        if (found != MCP_COUNT_DOWN || mcp_limit_global.closed) {
            return found;
        }
    }
    allowed = rule->kind == MCP_LIMIT_RATE
                  ? mcp_limit_check(rates, &rule->rate, rule->name, key, now, state)
                  : mcp_quota_check(quotas, rule->rate.count, rule->calendar, rule->name, key, now,
                                    state);
    return allowed ? MCP_COUNT_ALLOWED : MCP_COUNT_REFUSED;
}
