/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context: the caller's trace is continued, or one is begun, and the backend is told. */

#ifndef MCP_TRACE_H
#define MCP_TRACE_H

#include <httpd.h>

#define MCP_TRACE_ID_LEN 32 /* hex digits */
#define MCP_SPAN_ID_LEN 16

/* A part of a request that took time and is worth a span of its own. */
typedef struct {
    const char *name; /* lives as long as the program */
    apr_time_t begin;
    apr_time_t end;
    int failed;
} mcp_trace_part_t;

#define MCP_TRACE_PARTS 8 /* what a request does more often is not told part by part */

/* Of one request, whatever httpd makes of it inside; in the pool of the request that came. */
typedef struct {
    char id[MCP_TRACE_ID_LEN + 1];
    char parent[MCP_SPAN_ID_LEN + 1];  /* the caller's span; "": the trace begins here */
    char span[MCP_SPAN_ID_LEN + 1];    /* ours */
    char backend[MCP_SPAN_ID_LEN + 1]; /* of the call of the backend, which it is told as its parent */
    const char *state;                 /* tracestate that came; NULL: none */
    int sampled;                       /* as the caller wants it, or as it was drawn for a trace that begins here */
    int parts;
    mcp_trace_part_t *part; /* NULL: none are kept */
} mcp_trace_t;

/**
 * The trace of a request: of a well-formed traceparent that came, else one that is made now and kept.
 * From the first call on, the request's traceparent header names mcp_trace_t.backend as the parent, for the backend,
 * and the environment has MCP_TRACE_ID.
 */
mcp_trace_t *mcp_trace(request_rec *r);

/** Its id alone. */
const char *mcp_trace_id(request_rec *r);

/**
 * The trace that began here is the continuation of another after all: of what a message says in its _meta.
 * Nothing happens when a traceparent came by HTTP, or when this one is not well-formed.
 * @param state  tracestate beside it, or NULL
 */
void mcp_trace_adopt(request_rec *r, const char *traceparent, const char *state);

/** The trace of the request that @a p, or a pool above it, belongs to; NULL: none was begun. */
mcp_trace_t *mcp_trace_of_pool(apr_pool_t *p);

/**
 * Check a traceparent (W3C Trace Context section 3.2.2): version 00, or a later one that begins alike.
 * @param trace_id   room for 33 bytes; set when it is well-formed
 * @param parent_id  room for 17 bytes; likewise
 * @param sampled    set to the sampled flag
 * @return 1, or 0: it is to be ignored
 */
int mcp_trace_parse(const char *header, char trace_id[MCP_TRACE_ID_LEN + 1], char parent_id[MCP_SPAN_ID_LEN + 1],
                    int *sampled);

/**
 * What part of the traces that begin here are sampled: from 0 (none, as long as nobody exports them) to 1.
 * To be set before requests are served.
 */
void mcp_trace_set_ratio(double ratio);

/** Is a trace with these last hex digits of its id (W3C Trace Context 2: random) among those that are sampled? */
int mcp_trace_is_drawn(const char *digits, apr_size_t len);

#endif
