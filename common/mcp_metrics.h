/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and histograms of all processes of a server, in shared memory, for Prometheus.
 *
 *   counters    slots of (family, label values, number), found by hash; the table is bounded, and so is the number of
 *               values that a stranger can add to a family: what comes later is counted as "other"
 *   histograms  one fixed array of buckets each
 */

#ifndef MCP_METRICS_H
#define MCP_METRICS_H

#include <httpd.h>
#include <http_config.h>

typedef enum {
    MCP_METRIC_EVENTS,   /* mcp_events_total{event,outcome} */
    MCP_METRIC_REQUESTS, /* mcp_requests_total{outcome}: calls to guarded locations */
    MCP_METRIC_METHODS,  /* mcp_messages_total{method} */
    MCP_METRIC_TOOLS,    /* mcp_tool_calls_total{tool,outcome} */
    MCP_METRIC_SPANS,    /* mcp_trace_spans_total{outcome}: requests that were to be exported as spans */
    MCP_METRIC_COUNT
} mcp_metric_e;

typedef enum {
    MCP_TIME_GUARD,    /* what the guard itself took of a call, before the backend is asked */
    MCP_TIME_CALL,     /* a whole call, streams excepted */
    MCP_TIME_STORE,    /* one call of the store */
    MCP_TIME_PROVIDER, /* one call of an identity provider */
    MCP_TIME_COUNT
} mcp_time_e;

/** post_config duty: make the tables, or find those that the other module made. */
apr_status_t mcp_metrics_open(server_rec *s, apr_pool_t *pconf);

/** Count one. @a second is NULL for a family with one label. Does nothing before mcp_metrics_open(). */
void mcp_metric(mcp_metric_e family, const char *first, const char *second);

/** One observation, in microseconds. */
void mcp_metric_time(mcp_time_e what, apr_interval_time_t duration);

/** Writes more families, in Prometheus' text format, with ap_rprintf() and the like. */
typedef void mcp_metrics_more_fn(request_rec *r);

/**
 * Answer with all of it: the handler "mcp-metrics", which either module can be asked for.
 * @param more  what the module that answers knows besides, or NULL
 * @return OK, or DECLINED for another handler
 */
int mcp_metrics_handler(request_rec *r, mcp_metrics_more_fn *more);

/** What a family has counted: one set of labels. @a second is "" for a family with one label. */
typedef void mcp_metrics_each_fn(void *baton, const char *first, const char *second, apr_uint64_t count);

/** Call @a each for all sets of labels of a family. Those of tools and methods are what strangers sent. */
void mcp_metrics_each(mcp_metric_e family, mcp_metrics_each_fn *each, void *baton);

/** HELP and TYPE of a family. */
void mcp_metrics_head(request_rec *r, const char *name, const char *type, const char *help);

#endif
