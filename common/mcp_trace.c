/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context. */

#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "mcp_http.h"
#include "mcp_trace.h"
#include "mcp_util.h"

#define NOTE "mcp-trace-id"
#define HEX "0123456789abcdef"

static int is_hex(const char *text, apr_size_t len)
{
    return strspn(text, HEX) >= len;
}

static int is_zero(const char *text, apr_size_t len)
{
    return strspn(text, "0") >= len;
}

int mcp_trace_parse(const char *header, char trace_id[33], int *sampled)
{
    apr_size_t len = strlen(header);

    /* version[2] - trace id[32] - parent id[16] - flags[2]; later versions may append */
    if (len < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-' || !is_hex(header, 2)
        || !is_hex(header + 3, 32) || !is_hex(header + 36, 16) || !is_hex(header + 53, 2)
        || !strncmp(header, "ff", 2) || (!strncmp(header, "00", 2) && len != 55) || (len > 55 && header[55] != '-')
        || is_zero(header + 3, 32) || is_zero(header + 36, 16)) {
        return 0;
    }
    apr_cpystrn(trace_id, header + 3, 33);
    *sampled = (strchr(HEX, header[54]) - HEX) & 1;
    return 1;
}

static const char *random_hex(apr_pool_t *p, apr_size_t bytes)
{
    unsigned char random[16];

    mcp_random(random, bytes);
    return apr_pescape_hex(p, random, bytes, 0);
}

const char *mcp_trace_id(request_rec *r)
{
    const char *known, *header;
    char came[33];
    int twice = 0, sampled = 0;

    while (r->main || r->prev) { /* one hop, whatever httpd makes of it inside */
        r = r->main ? r->main : r->prev;
    }
    known = apr_table_get(r->notes, NOTE);
    if (known) {
        return known;
    }
    header = mcp_header_once(r, "traceparent", &twice);
    if (!twice && header && mcp_trace_parse(header, came, &sampled)) {
        known = apr_pstrdup(r->pool, came);
    }
    else {
        known = random_hex(r->pool, 16);
        sampled = 0;
        apr_table_unset(r->headers_in, "tracestate"); /* belongs to the traceparent that is ignored */
    }
    apr_table_setn(r->notes, NOTE, known);
    apr_table_setn(r->subprocess_env, "MCP_TRACE_ID", known);
    apr_table_setn(r->headers_in, "traceparent",
                   apr_pstrcat(r->pool, "00-", known, "-", random_hex(r->pool, 8), sampled ? "-01" : "-00", NULL));
    return known;
}
