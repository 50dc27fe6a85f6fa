/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: so many calls in an hour, day, week or month of the calendar, counted in a file that is
 * mapped into memory.
 *
 * Windows are those of the calendar in UTC: a person can be told when a new one begins, every host
 * agrees on it, and one number is all there is to keep. (A window that slides over a month would
 * have to remember the month.)
 *
 * The counts are the pages of a file that all processes share: what one has counted is in the file
 * when that process, or all of httpd, is killed the moment after, and no process has to write
 * anything down. After a loss of power the kernel may not have written the last half minute; each
 * count is one aligned word, so none is half written. A head that is not ours, or another size,
 * makes a file be moved aside and started anew.
 *
 *   head[64]             magic[16] | secret[16] | buckets[4] | zero[12] | SHA-256 of these, its first 16
 *   words[8 x buckets]   tag[24] | hour of the window's end, modulo 2^16[16] | count[24]; 0 = free
 */

#ifndef MCP_QUOTA_H
#define MCP_QUOTA_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>

#include "mcp_limit.h"

#define MCP_QUOTA_MOST 10000000 /* the largest quota */

typedef enum {
    MCP_CALENDAR_HOUR,
    MCP_CALENDAR_DAY,
    MCP_CALENDAR_WEEK,
    MCP_CALENDAR_MONTH
} mcp_calendar_e;

typedef struct mcp_quota_table_t mcp_quota_table_t;

/** The window that @a now lies in, from *start to before *end. Weeks begin on Monday, and all of
 * them at midnight UTC. */
void mcp_calendar_window(mcp_calendar_e unit, apr_time_t now, apr_time_t *start, apr_time_t *end);

/**
 * Parse `COUNT/UNIT`, where UNIT is hour (h), day (d), week or month.
 * @return NULL, or what is wrong
 */
const char *mcp_quota_parse(const char *text, apr_uint32_t *count, mcp_calendar_e *unit);

typedef enum {
    MCP_QUOTA_FOUND, /* counts of before go on */
    MCP_QUOTA_NEW,   /* there was no file */
    MCP_QUOTA_BAD,   /* there was something else, which is now called PATH.bad */
    MCP_QUOTA_MEMORY /* no file can be had: counts last as long as this process's descendants */
} mcp_quota_origin_e;

/**
 * Open or make the file, in the parent of all processes that will count. Only one such parent at a
 * time has it.
 * @param path     NULL: memory only, without complaint
 * @param entries  how many keys it can tell apart, rounded up to a power of two; 8 bytes each
 * @param origin   what came of it
 * @param why      the error behind MCP_QUOTA_MEMORY; APR_EBUSY: another httpd has the file
 * @return APR_SUCCESS; an error only when not even memory can be had
 */
apr_status_t mcp_quota_open(mcp_quota_table_t **table, const char *path, apr_size_t entries,
                            mcp_quota_origin_e *origin, apr_status_t *why, apr_pool_t *p);

/**
 * Count one call of @a key under @a rule.
 * @return 1 when the call is allowed, 0 when it is one too many (and was not counted)
 */
int mcp_quota_check(mcp_quota_table_t *table, apr_uint32_t quota, mcp_calendar_e unit,
                    const char *rule, const char *key, apr_time_t now, mcp_limit_state_t *state);

/** How many counts of running windows had to make room for others since the table was opened. */
apr_uint32_t mcp_quota_displaced(const mcp_quota_table_t *table);

#endif
