/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits in shared memory: GCRA, one 64-bit compare-and-swap a request, exact across threads
 * and processes.
 *
 * The table is bounded. When a bucket is full, the entry whose limit has recovered the longest
 * gives way: that only forgives somebody.
 *
 *   a word:  tag[24] | theoretical arrival time[40], in units of 125 us since the table was made; 0
 * = free a key's hash picks a bucket of 8 words and gives the tag; it is keyed by a random secret,
 * so that nobody can aim at somebody else's word
 */

#ifndef MCP_LIMIT_H
#define MCP_LIMIT_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>

typedef struct mcp_limit_table_t mcp_limit_table_t;

/* So many calls in a period; up to `burst` of them at once. */
typedef struct {
    apr_uint32_t count;
    apr_interval_time_t period;
    apr_uint32_t burst;
} mcp_rate_t;

/* What a check found, for RateLimit and Retry-After headers. */
typedef struct {
    apr_uint32_t remaining;     /* calls that would be allowed at this very moment */
    apr_interval_time_t retry;  /* how long to wait for the next allowed one; 0 when allowed */
    apr_interval_time_t reset;  /* until the whole burst is there again */
    apr_uint32_t quota;         /* so many calls ... */
    apr_interval_time_t window; /* ... in so long a time, for RateLimit-Policy; 0: at once */
} mcp_limit_state_t;

/**
 * Make a table in anonymous shared memory; in post_config, before the fork.
 * @param entries  how many keys it can tell apart, rounded up to a power of two; 8 bytes each
 */
apr_status_t mcp_limit_create(mcp_limit_table_t **table, apr_size_t entries, apr_pool_t *p);

/**
 * Parse `COUNT/PERIOD` with an optional burst, such as 100/60s or 10/s; the burst is the count
 * unless given as third part: 600/60s/20. PERIOD is a number of ms, s, min, h or d, at most 30 d;
 * the number 1 may be left out.
 * @return NULL, or what is wrong
 */
const char *mcp_rate_parse(const char *text, mcp_rate_t *rate);

/**
 * Count one call of @a key under @a rule (a name that keeps the keys of different limits apart).
 * @param state  filled in when not NULL
 * @return 1 when the call is allowed, 0 when it is one too many (and was not counted)
 */
int mcp_limit_check(mcp_limit_table_t *table, const mcp_rate_t *rate, const char *rule,
                    const char *key, apr_time_t now, mcp_limit_state_t *state);

#define MCP_LIMIT_SECRET_LEN 16

/** What a table files a rule and a key under: 64 bits that nobody can aim at who does not know the
 * table's secret. */
apr_uint64_t mcp_limit_hash(const unsigned char secret[MCP_LIMIT_SECRET_LEN], const char *rule,
                            const char *key);

/**
 * The key under which an address is limited (T31): an IPv4 address as it is, v4-mapped ones the
 * same, IPv6 by its /64.
 * @param address  as httpd prints it (r->useragent_ip)
 */
const char *mcp_limit_address_key(apr_pool_t *p, const char *address);

#endif
