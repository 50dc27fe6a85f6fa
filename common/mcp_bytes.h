/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers and times in our binary records: big endian, in so many bytes. */

#ifndef MCP_BYTES_H
#define MCP_BYTES_H

#include <apr_time.h>

/** Write @a v into @a bytes bytes. @return what follows them */
static inline unsigned char *mcp_put_number(unsigned char *at, apr_uint64_t v, int bytes)
{
    for (int i = bytes - 1; i >= 0; i--, v >>= 8) {
        at[i] = (unsigned char)v;
    }
    return at + bytes;
}

static inline apr_uint64_t mcp_get_number(const unsigned char *at, int bytes)
{
    apr_uint64_t v = 0;

    for (int i = 0; i < bytes; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

#define MCP_SECONDS APR_USEC_PER_SEC
#define MCP_MILLISECONDS ((apr_int64_t)1000)

/** Write a time, in units of @a unit microseconds, into eight bytes. @return what follows them */
static inline unsigned char *mcp_put_time(unsigned char *at, apr_time_t t, apr_int64_t unit)
{
    return mcp_put_number(at, t > 0 ? (apr_uint64_t)(t / unit) : 0, 8);
}

/** What does not fit apr_time_t cannot have been written by us: it reads as the end of time. */
static inline apr_time_t mcp_get_time(const unsigned char *at, apr_int64_t unit)
{
    apr_uint64_t v = mcp_get_number(at, 8), max = (apr_uint64_t)(APR_INT64_MAX / unit);

    return (apr_time_t)(v < max ? v : max) * unit;
}

#endif
