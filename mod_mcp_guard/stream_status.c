/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams in mod_status: a page for people, and lines for machines with ?auto. */

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "mcp_metrics.h"
#include "stream_impl.h"

static void for_machines(request_rec *r, const mcp_stream_totals_t *t, apr_int64_t oldest)
{
    int i;

    ap_rprintf(r, "MCPStreamsOpen: %u\n", t->open);
    ap_rprintf(r, "MCPStreamsRelayed: %u\n", t->parked);
    ap_rprintf(r, "MCPStreamsOpened: %" APR_UINT64_T_FMT "\n", t->opened);
    ap_rprintf(r, "MCPStreamsBytes: %" APR_UINT64_T_FMT "\n", t->bytes);
    ap_rprintf(r, "MCPStreamsOldest: %" APR_INT64_T_FMT "\n", oldest);
    ap_rprintf(r, "MCPStreamsLimit: %u\n", t->limit);
    for (i = MCP_END_NONE + 1; i < MCP_END_COUNT; i++) {
        ap_rprintf(r, "MCPStreamsEnded-%s: %" APR_UINT64_T_FMT "\n", mcp_end_name((mcp_end_e)i), t->ended[i]);
    }
    for (i = MCP_CAP_NONE + 1; i < MCP_CAP_COUNT; i++) {
        ap_rprintf(r, "MCPStreamsRefused-%s: %" APR_UINT64_T_FMT "\n", mcp_cap_name((mcp_cap_e)i), t->refused[i]);
    }
}

static void row(request_rec *r, const char *name, apr_uint64_t n)
{
    ap_rprintf(r, "<tr><td>%s</td><td>%" APR_UINT64_T_FMT "</td></tr>\n", name, n);
}

static void for_people(request_rec *r, const mcp_stream_totals_t *t, apr_int64_t oldest)
{
    int i;

    ap_rputs("<hr />\n<h2>MCP event streams</h2>\n<table border=\"0\">\n", r);
    row(r, "open", t->open);
    row(r, "of these relayed, without a worker", t->parked);
    row(r, "age of the oldest, seconds", (apr_uint64_t)oldest);
    row(r, "most at a time (MCPStreamLimit server)", t->limit);
    row(r, "opened since start", t->opened);
    row(r, "bytes from backends", t->bytes);
    for (i = MCP_END_NONE + 1; i < MCP_END_COUNT; i++) {
        if (t->ended[i]) {
            row(r, apr_pstrcat(r->pool, "ended: ", mcp_end_name((mcp_end_e)i), NULL), t->ended[i]);
        }
    }
    for (i = MCP_CAP_NONE + 1; i < MCP_CAP_COUNT; i++) {
        if (t->refused[i]) {
            row(r, apr_pstrcat(r->pool, "refused by the limit of the ", mcp_cap_name((mcp_cap_e)i), NULL),
                t->refused[i]);
        }
    }
    ap_rputs("</table>\n", r);
}

/* Age of the oldest stream in seconds. */
static apr_int64_t oldest_age(const mcp_stream_totals_t *t)
{
    return t->oldest ? apr_time_sec(apr_time_now() - t->oldest) : 0;
}

static void metric(request_rec *r, const char *name, const char *type, const char *help, apr_uint64_t n)
{
    mcp_metrics_head(r, name, type, help);
    ap_rprintf(r, "%s %" APR_UINT64_T_FMT "\n", name, n);
}

void mcp_stream_metrics(request_rec *r)
{
    mcp_stream_totals_t t;

    if (!mcp_table_totals(&t)) {
        return;
    }
    metric(r, "mcp_streams_open", "gauge", "Open event streams.", t.open);
    metric(r, "mcp_streams_relayed", "gauge", "Open event streams that hold no worker.", t.parked);
    metric(r, "mcp_streams_limit", "gauge", "Most open event streams (MCPStreamLimit server).", t.limit);
    metric(r, "mcp_streams_opened_total", "counter", "Event streams opened since start.", t.opened);
    metric(r, "mcp_stream_bytes_total", "counter", "Bytes of event streams from backends.", t.bytes);
    metric(r, "mcp_streams_oldest_seconds", "gauge", "Age of the oldest open event stream.",
           (apr_uint64_t)oldest_age(&t));
    mcp_metrics_head(r, "mcp_streams_ended_total", "counter", "Event streams that ended, by reason.");
    for (int i = MCP_END_NONE + 1; i < MCP_END_COUNT; i++) {
        ap_rprintf(r, "mcp_streams_ended_total{reason=\"%s\"} %" APR_UINT64_T_FMT "\n", mcp_end_name((mcp_end_e)i),
                   t.ended[i]);
    }
    mcp_metrics_head(r, "mcp_streams_refused_total", "counter", "Event streams refused, by limit.");
    for (int i = MCP_CAP_NONE + 1; i < MCP_CAP_COUNT; i++) {
        ap_rprintf(r, "mcp_streams_refused_total{limit=\"%s\"} %" APR_UINT64_T_FMT "\n", mcp_cap_name((mcp_cap_e)i),
                   t.refused[i]);
    }
}

static int stream_status(request_rec *r, int flags)
{
    mcp_stream_totals_t totals;

    if (!mcp_table_totals(&totals)) {
        return DECLINED;
    }
    if (flags & AP_STATUS_SHORT) {
        for_machines(r, &totals, oldest_age(&totals));
    }
    else {
        for_people(r, &totals, oldest_age(&totals));
    }
    return OK;
}

void mcp_stream_status_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(ap, status_hook, stream_status, NULL, NULL, APR_HOOK_MIDDLE);
}
