/* SPDX-License-Identifier: Apache-2.0 */
/* An event of text/event-stream that is held as a whole, by lines and fields as clients read it (WHATWG HTML
 * section 9.2.6). How a stream is cut into events is each filter's own affair: lists.c, endpoint_scan.c. */

#ifndef MCP_SSE_H
#define MCP_SSE_H

#include <apr_buckets.h>
#include <apr_pools.h>

/** Length of the line that begins at @a text, without its end (CR LF, LF or CR). */
apr_size_t mcp_sse_line(const char *text, apr_size_t len);

/** The value of a line if it is field @a name: behind the colon and one space. NULL: another field. */
const char *mcp_sse_field(const char *line, apr_size_t len, const char *name, apr_size_t *value_len);

/** All data lines of an event, as a client joins them; NUL-terminated, in @a p. NULL when there is none. */
char *mcp_sse_data(apr_pool_t *p, const char *event, apr_size_t len);

/** Put out an event with @a data, of one line, in the place of its first data line; the others are left out. */
void mcp_sse_write(const char *event, apr_size_t len, const char *data, apr_bucket_brigade *out);

#endif
