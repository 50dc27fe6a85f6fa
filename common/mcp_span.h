/* SPDX-License-Identifier: Apache-2.0 */
/* Spans, for whoever exports traces: one line of JSON each, to a program that httpd feeds (mcp-otlp). */

#ifndef MCP_SPAN_H
#define MCP_SPAN_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_trace.h"

#define MCP_SPAN_LINE_MAX 4096 /* PIPE_BUF: a pipe takes it in one piece or not at all */

/* `MCPTraceExport "|PROGRAM ARGUMENTS" [sample=RATIO]` */
typedef struct {
    const char *program; /* with the "|"; NULL: off */
    double ratio;        /* of the traces that begin here */
} mcp_span_conf_t;

/* Of OTLP, trace.proto. */
typedef enum {
    MCP_SPAN_INTERNAL = 1,
    MCP_SPAN_SERVER = 2,
    MCP_SPAN_CLIENT = 3
} mcp_span_kind_e;

/* A line that is being written. What does not fit is left out. */
typedef struct {
    char text[MCP_SPAN_LINE_MAX];
    apr_size_t len;
    int first; /* the next member needs no comma */
} mcp_span_line_t;

/** Parse the directive's words. NULL, or what is wrong. */
const char *mcp_span_parse(cmd_parms *cmd, mcp_span_conf_t *conf, int argc, char *const argv[]);

/** post_config duty, as root: start the program, or find what the other module started. Errors are logged. */
apr_status_t mcp_span_open(const mcp_span_conf_t *conf, server_rec *s, apr_pool_t *pconf);

/** Are traces exported? If not, none of what follows needs to be called. */
int mcp_span_is_on(void);

/** Begin the trace of a request whose spans may be exported, so that its parts are kept. */
void mcp_span_watch(request_rec *r);

/** What began at @a begin is over: a part of the request that @a p belongs to. @a name must be a literal. */
void mcp_span_part(apr_pool_t *p, const char *name, apr_time_t begin, int failed);

/**
 * Will the request's spans be exported? The caller's wish counts only of callers who are known: everybody else could
 * have all of what they do exported.
 */
int mcp_span_is_wanted(const mcp_trace_t *trace, int known);

/** Begin the line of a request's own span, which is over; its parts are written. */
void mcp_span_begin(mcp_span_line_t *line, const mcp_trace_t *trace, const char *name, apr_time_t begin, int failed);

/**
 * Add the call of the backend as a part; between mcp_span_begin() and mcp_span_attributes().
 * @param address  host of the backend, or NULL
 */
void mcp_span_backend(mcp_span_line_t *line, const mcp_trace_t *trace, const char *name, apr_time_t begin,
                      const char *address, int port, int status, int failed);

/** Begin the attributes of the request's span. */
void mcp_span_attributes(mcp_span_line_t *line);

/** An attribute. NULL and "" add nothing; texts of strangers are cut, and what is no UTF-8 becomes "?". */
void mcp_span_text(mcp_span_line_t *line, const char *name, const char *value);
void mcp_span_number(mcp_span_line_t *line, const char *name, apr_int64_t value);

/** Attributes of HTTP servers (semantic conventions), of the whole request. @a route NULL: none is known. */
void mcp_span_http(mcp_span_line_t *line, request_rec *r, const char *route);

/** End the line: it is a whole JSON object, and a line feed. @return its length; 0: it became too long */
apr_size_t mcp_span_end(mcp_span_line_t *line);

/** End and send it. Never waits: where the program does not keep up, the span is dropped and counted. */
void mcp_span_send(mcp_span_line_t *line);

#endif
