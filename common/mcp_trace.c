/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context. */

#include <stdint.h>
#include <string.h>

#include <apr_escape.h>
#include <apr_strings.h>

#include "mcp_http.h"
#include "mcp_trace.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define USERDATA "mcp-trace/1"
#define HEX "0123456789abcdef"
#define POOLS_UP 2      /* a subrequest has a pool of its own */
#define STATE_MAX 512   /* what must be passed on at least (section 3.3.1.5) */
#define DRAWN_DIGITS 14 /* 56 bits, that level 2 of the specification wants to be random */

/* Of 2^56: set before the fork. */
static uint64_t ratio;

static int is_hex(const char *text, apr_size_t len)
{
    return strspn(text, HEX) >= len;
}

static int is_zero(const char *text, apr_size_t len)
{
    return strspn(text, "0") >= len;
}

int mcp_trace_parse(const char *header, char trace_id[MCP_TRACE_ID_LEN + 1], char parent_id[MCP_SPAN_ID_LEN + 1],
                    int *sampled)
{
    apr_size_t len = strlen(header);

    /* version[2] - trace id[32] - parent id[16] - flags[2]; later versions may append */
    if (len < 55 || header[2] != '-' || header[35] != '-' || header[52] != '-' || !is_hex(header, 2)
        || !is_hex(header + 3, 32) || !is_hex(header + 36, 16) || !is_hex(header + 53, 2)
        || !strncmp(header, "ff", 2) || (!strncmp(header, "00", 2) && len != 55) || (len > 55 && header[55] != '-')
        || is_zero(header + 3, 32) || is_zero(header + 36, 16)) {
        return 0;
    }
    apr_cpystrn(trace_id, header + 3, MCP_TRACE_ID_LEN + 1);
    apr_cpystrn(parent_id, header + 36, MCP_SPAN_ID_LEN + 1);
    *sampled = (strchr(HEX, header[54]) - HEX) & 1;
    return 1;
}

void mcp_trace_set_ratio(double part)
{
    ratio = (uint64_t)(part * (double)((uint64_t)1 << (4 * DRAWN_DIGITS)));
}

int mcp_trace_is_drawn(const char *digits, apr_size_t len)
{
    uint64_t random = 0;

    for (apr_size_t i = len - DRAWN_DIGITS; i < len; i++) {
        random = random << 4 | (uint64_t)(strchr(HEX, digits[i]) - HEX);
    }
    return random < ratio;
}

mcp_trace_t *mcp_trace_of_pool(apr_pool_t *p)
{
    void *found = NULL;

    for (int i = 0; !found && p && i < POOLS_UP; i++) {
        apr_pool_userdata_get(&found, USERDATA, p);
        p = apr_pool_parent_get(p);
    }
    return found;
}

/* What the backend is told, and logs. */
static void tell(request_rec *r, const mcp_trace_t *trace)
{
    apr_table_setn(r->subprocess_env, "MCP_TRACE_ID", trace->id);
    apr_table_setn(r->headers_in, "traceparent",
                   apr_pstrcat(r->pool, "00-", trace->id, "-", trace->backend, trace->sampled ? "-01" : "-00", NULL));
}

static request_rec *that_came(request_rec *r)
{
    while (r->main || r->prev) { /* one hop, whatever httpd makes of it inside */
        r = r->main ? r->main : r->prev;
    }
    return r;
}

/* Ids that are not all zero (one in 2^64 is). */
static void draw(mcp_trace_t *trace)
{
    unsigned char random[16 + 8 + 8];

    mcp_random(random, sizeof(random));
    random[15] |= (unsigned char)!random[15];
    random[23] |= (unsigned char)!random[23];
    random[31] |= (unsigned char)!random[31];
    apr_escape_hex(trace->id, random, 16, 0, NULL);
    apr_escape_hex(trace->span, random + 16, 8, 0, NULL);
    apr_escape_hex(trace->backend, random + 24, 8, 0, NULL);
}

mcp_trace_t *mcp_trace(request_rec *r)
{
    mcp_trace_t *trace;
    const char *header;
    void *found = NULL;
    int twice = 0;

    r = that_came(r);
    apr_pool_userdata_get(&found, USERDATA, r->pool);
    if (found) {
        return found;
    }
    trace = apr_pcalloc(r->pool, sizeof(*trace));
    draw(trace);
    header = mcp_header_once(r, "traceparent", &twice);
    if (!twice && header && mcp_trace_parse(header, trace->id, trace->parent, &trace->sampled)) {
        trace->state = apr_table_get(r->headers_in, "tracestate");
    }
    else {
        trace->sampled = mcp_trace_is_drawn(trace->id, MCP_TRACE_ID_LEN);
        apr_table_unset(r->headers_in, "tracestate"); /* belongs to the traceparent that is ignored */
    }
    apr_pool_userdata_setn(trace, USERDATA, NULL, r->pool);
    tell(r, trace);
    return trace;
}

const char *mcp_trace_id(request_rec *r)
{
    return mcp_trace(r)->id;
}

void mcp_trace_adopt(request_rec *r, const char *traceparent, const char *state)
{
    mcp_trace_t *trace = mcp_trace(r);

    if (*trace->parent || !mcp_trace_parse(traceparent, trace->id, trace->parent, &trace->sampled)) {
        return;
    }
    r = that_came(r);
    if (state && strlen(state) <= STATE_MAX && mcp_is_header_safe(state)) {
        trace->state = state;
        apr_table_setn(r->headers_in, "tracestate", state);
    }
    tell(r, trace);
}
