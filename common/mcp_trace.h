/* SPDX-License-Identifier: Apache-2.0 */
/* W3C Trace Context: the caller's trace is continued, or one is begun, and the backend is told. */

#ifndef MCP_TRACE_H
#define MCP_TRACE_H

#include <httpd.h>

/**
 * The request's trace id: of a well-formed traceparent that came, else of one that is made now and kept. 32 hex digits.
 * From the first call on, the request's traceparent header names this hop as the parent, for the backend.
 */
const char *mcp_trace_id(request_rec *r);

/**
 * Check a traceparent (W3C Trace Context section 3.2.2): version 00, or a later one that begins alike.
 * @param trace_id  room for 33 bytes; set when it is well-formed
 * @param sampled   set to the sampled flag
 * @return 1, or 0: it is to be ignored
 */
int mcp_trace_parse(const char *header, char trace_id[33], int *sampled);

#endif
