/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits in shared memory: GCRA with one compare-and-swap. */

#include <arpa/inet.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <apr_lib.h>
#include <apr_shm.h>
#include <apr_strings.h>

#include "mcp_limit.h"
#include "mcp_util.h"

#define WAYS 8
#define UNIT APR_INT64_C(125) /* microseconds */
#define TIME_BITS 40
#define TIME_MASK ((UINT64_C(1) << TIME_BITS) - 1)
#define SECRET_LEN MCP_LIMIT_SECRET_LEN
#define PERIOD_MAX apr_time_from_sec(30 * 86400)

struct mcp_limit_table_t {
    uint64_t *words;  /* in shared memory */
    uint64_t buckets; /* a power of two */
    apr_time_t since;
    unsigned char secret[SECRET_LEN];
};

apr_status_t mcp_limit_create(mcp_limit_table_t **out, apr_size_t entries, apr_pool_t *p)
{
    mcp_limit_table_t *table = apr_pcalloc(p, sizeof(*table));
    apr_shm_t *shm;
    apr_size_t size;
    apr_status_t rv;

    table->buckets = 1;
    while (table->buckets * WAYS < entries) {
        table->buckets *= 2;
    }
    size = (apr_size_t)table->buckets * WAYS * sizeof(uint64_t);
    rv = apr_shm_create(&shm, size, NULL, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    table->words = apr_shm_baseaddr_get(shm);
    memset(table->words, 0, size);
    table->since = apr_time_now();
    mcp_random(table->secret, sizeof(table->secret));
    *out = table;
    return APR_SUCCESS;
}

/* A whole number at *at, which moves behind it; 0 when there is none or it is out of range. */
static apr_uint32_t parse_count(const char **at)
{
    char *end;
    apr_int64_t n;

    if (!apr_isdigit(**at)) {
        return 0;
    }
    n = apr_strtoi64(*at, &end, 10);
    *at = end;
    return n > 0 && n <= 1000000 ? (apr_uint32_t)n : 0;
}

/* A time with its unit, the number being 1 when left out; 0 when it is none or out of range. */
static apr_interval_time_t parse_period(const char **at)
{
    static const struct {
        const char *name;
        apr_interval_time_t length;
    } units[] = {
        { "ms", apr_time_from_msec(1) },
        { "s", apr_time_from_sec(1) },
        { "min", apr_time_from_sec(60) },
        { "h", apr_time_from_sec(3600) },
        { "d", apr_time_from_sec(86400) },
        { "day", apr_time_from_sec(86400) },
    };
    apr_uint32_t n = apr_isdigit(**at) ? parse_count(at) : 1;
    apr_size_t len = strcspn(*at, "/");
    apr_size_t i;

    for (i = 0; i < sizeof(units) / sizeof(*units); i++) {
        if (strlen(units[i].name) == len && memcmp(*at, units[i].name, len) == 0) {
            apr_interval_time_t period = n * units[i].length;

            *at += len;
            return period <= PERIOD_MAX ? period : 0;
        }
    }
    return 0;
}

const char *mcp_rate_parse(const char *text, mcp_rate_t *rate)
{
    static const char shape[] = "takes COUNT/PERIOD[/BURST], such as 100/60s";
    const char *at = text;

    rate->count = parse_count(&at);
    if (!rate->count || *at++ != '/') {
        return shape;
    }
    rate->period = parse_period(&at);
    if (!rate->period) {
        return shape;
    }
    rate->burst = rate->count;
    if (*at == '/') {
        at++;
        rate->burst = parse_count(&at);
    }
    if (!rate->burst || *at) {
        return shape;
    }
    /* An interval below the table's unit could not be told from none. */
    if (rate->period / rate->count < UNIT) {
        return "allows more than 8000 calls a second, which is no limit";
    }
    return NULL;
}

apr_uint64_t mcp_limit_hash(const unsigned char secret[MCP_LIMIT_SECRET_LEN], const char *rule, const char *key)
{
    unsigned char text[SECRET_LEN + 512];
    unsigned char digest[MCP_SHA256_LEN];
    apr_size_t rule_len = strlen(rule);
    apr_size_t key_len = strlen(key);
    apr_size_t room = sizeof(text) - SECRET_LEN - 1;
    apr_uint64_t hash;

    if (rule_len > 64) {
        rule_len = 64;
    }
    memcpy(text, secret, SECRET_LEN);
    memcpy(text + SECRET_LEN, rule, rule_len);
    text[SECRET_LEN + rule_len] = '\0';
    if (key_len > room - rule_len) {
        /* A long key stands by its own hash, so that none is cut off. */
        mcp_sha256(key, key_len, digest);
        key = (const char *)digest;
        key_len = sizeof(digest);
    }
    memcpy(text + SECRET_LEN + rule_len + 1, key, key_len);
    mcp_sha256(text, SECRET_LEN + rule_len + 1 + key_len, digest);
    memcpy(&hash, digest, sizeof(hash));
    return hash;
}

/* The word of @a tag, or the one to replace: a free one, else the one whose time is the oldest. */
static uint64_t *find_word(uint64_t *bucket, uint64_t tag, uint64_t *seen)
{
    uint64_t *best = NULL;
    int i;

    for (i = 0; i < WAYS; i++) {
        uint64_t word = __atomic_load_n(&bucket[i], __ATOMIC_RELAXED);

        if (word && word >> TIME_BITS == tag) {
            *seen = word;
            return &bucket[i];
        }
        if (!best || (word & TIME_MASK) < (*seen & TIME_MASK)) {
            best = &bucket[i];
            *seen = word;
        }
    }
    return best;
}

static void fill_state(mcp_limit_state_t *state, const mcp_rate_t *rate, int64_t ahead, int64_t tolerance, int64_t interval,
                       int allowed)
{
    int64_t left = tolerance - ahead;

    /* The window of a policy is what a whole burst needs to come back: that is what a client can plan by. */
    state->quota = rate->burst;
    state->window = rate->period / rate->count * rate->burst;
    state->remaining = left >= 0 ? (apr_uint32_t)(left / interval) + 1 : 0;
    state->retry = allowed ? 0 : (ahead - tolerance) * UNIT;
    state->reset = ahead > 0 ? ahead * UNIT : 0;
}

int mcp_limit_check(mcp_limit_table_t *table, const mcp_rate_t *rate, const char *rule, const char *key,
                    apr_time_t now, mcp_limit_state_t *state)
{
    uint64_t hash = mcp_limit_hash(table->secret, rule, key);
    uint64_t *bucket = table->words + (hash & (table->buckets - 1)) * WAYS;
    uint64_t tag = hash >> TIME_BITS;
    int64_t interval = rate->period / rate->count / UNIT;
    int64_t tolerance = interval * (int64_t)(rate->burst - 1);
    int64_t time = (now - table->since) / UNIT + 1; /* never 0, which marks a free word */
    int allowed;

    if (time < 1) {
        time = 1; /* the clock was set back */
    }
    for (;;) {
        uint64_t seen = 0;
        uint64_t *word = find_word(bucket, tag, &seen);
        int64_t arrival = time;
        uint64_t next;

        if (seen && seen >> TIME_BITS == tag && (int64_t)(seen & TIME_MASK) > time) {
            arrival = (int64_t)(seen & TIME_MASK);
        }
        allowed = arrival - time <= tolerance;
        if (!allowed) {
            if (state) {
                fill_state(state, rate, arrival - time, tolerance, interval, 0);
            }
            return 0;
        }
        next = tag << TIME_BITS | ((uint64_t)(arrival + interval) & TIME_MASK);
        if (__atomic_compare_exchange_n(word, &seen, next, 0, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
            if (state) {
                fill_state(state, rate, arrival + interval - time, tolerance, interval, 1);
            }
            return 1;
        }
    }
}

const char *mcp_limit_address_key(apr_pool_t *p, const char *address)
{
    static const unsigned char mapped[12] = { 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff };
    unsigned char bytes[16];
    char text[INET6_ADDRSTRLEN];

    if (!address || inet_pton(AF_INET6, address, bytes) != 1) {
        return address ? address : "";
    }
    if (memcmp(bytes, mapped, sizeof(mapped)) == 0) {
        return apr_psprintf(p, "%d.%d.%d.%d", bytes[12], bytes[13], bytes[14], bytes[15]);
    }
    memset(bytes + 8, 0, 8);
    inet_ntop(AF_INET6, bytes, text, sizeof(text));
    return apr_pstrcat(p, text, "/64", NULL);
}
