/* SPDX-License-Identifier: Apache-2.0 */
/* mod_status: key in use, store, providers, audit log, what was decided. Event streams have a section of their own
 * (stream_status.c). */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <apr_optional_hooks.h>
#include <http_config.h>
#include <http_protocol.h>
#include <mod_status.h>

#include "mcp_audit.h"
#include "mcp_health.h"
#include "mcp_metrics.h"
#include "mcp_status.h"

#define TOLD "mcp-status" /* in r->notes: the other module has been here */

typedef struct {
    request_rec *r;
    int machines;
    const char *name; /* of the family: "MCPEvents" or "MCPCalls", and what people read */
    const char *title;
} page_t;

/* The name in a line for machines ends at the colon. */
static const char *key(apr_pool_t *p, const char *text)
{
    char *out = apr_pstrdup(p, text);

    for (char *c = out; *c; c++) {
        if (!apr_isalnum(*c) && !strchr("._-", *c)) {
            *c = '_';
        }
    }
    return out;
}

static void line(const page_t *page, const char *name, const char *title, const char *value)
{
    request_rec *r = page->r;

    if (page->machines) {
        ap_rvputs(r, key(r->pool, name), ": ", value, "\n", NULL);
    }
    else {
        ap_rvputs(r, "<tr><td>", ap_escape_html(r->pool, title), "</td><td>", ap_escape_html(r->pool, value),
                  "</td></tr>\n", NULL);
    }
}

static const char *number(const page_t *page, apr_uint64_t n)
{
    return apr_psprintf(page->r->pool, "%" APR_UINT64_T_FMT, n);
}

static void tell_part(const page_t *page, int part)
{
    apr_pool_t *p = page->r->pool;
    int store = part == MCP_HEALTH_STORE;
    const char *name, *title, *value;
    mcp_health_t health;

    mcp_health_get(part, &health);
    name = store ? "MCPStore" : apr_pstrcat(p, "MCPProvider-", health.name, NULL);
    title = store ? "session store" : apr_pstrcat(p, "identity provider ", health.name, NULL);
    value = mcp_health_word(health.is);
    if (!page->machines && health.since) {
        value = apr_psprintf(p, "%s for %" APR_TIME_T_FMT " s, %" APR_UINT64_T_FMT " failures", value,
                             apr_time_sec(apr_time_now() - health.since), health.failures);
    }
    line(page, name, title, value);
    if (page->machines) {
        line(page, apr_pstrcat(p, store ? "MCPStoreFailures" : "MCPProviderFailures-", store ? "" : health.name, NULL),
             "", number(page, health.failures));
    }
}

static void tell_audit(const page_t *page)
{
    mcp_audit_state_t audit;

    if (mcp_audit_state(&audit)) {
        line(page, "MCPAudit", "audit log", audit.failing ? "down" : "up");
        line(page, "MCPAuditLines", "lines of the audit log", number(page, audit.written));
        line(page, "MCPAuditLost", "lines of the audit log that are lost", number(page, audit.lost));
    }
}

static void tell_count(void *baton, const char *first, const char *second, apr_uint64_t count)
{
    const page_t *page = baton;
    apr_pool_t *p = page->r->pool;
    const char *both = *second ? apr_pstrcat(p, first, page->machines ? "-" : ": ", second, NULL) : first;

    line(page, apr_pstrcat(p, page->name, "-", both, NULL), apr_pstrcat(p, page->title, ", ", both, NULL),
         number(page, count));
}

static int gateway_status(request_rec *r, int flags)
{
    page_t page = { .r = r, .machines = (flags & AP_STATUS_SHORT) != 0 };

    if (!mcp_health_parts() || apr_table_get(r->notes, TOLD)) {
        return DECLINED;
    }
    apr_table_setn(r->notes, TOLD, "1");
    if (!page.machines) {
        ap_rputs("<hr />\n<h2>MCP gateway</h2>\n<table border=\"0\">\n", r);
    }
    line(&page, "MCPKey", "key that seals", mcp_health_kid());
    for (int i = MCP_HEALTH_STORE; i < mcp_health_parts(); i++) {
        tell_part(&page, i);
    }
    tell_audit(&page);
    page.name = "MCPEvents";
    page.title = "events";
    mcp_metrics_each(MCP_METRIC_EVENTS, tell_count, &page);
    page.name = "MCPCalls";
    page.title = "calls";
    mcp_metrics_each(MCP_METRIC_REQUESTS, tell_count, &page);
    if (!page.machines) {
        ap_rputs("</table>\n", r);
    }
    return OK;
}

void mcp_status_hook(void)
{
    APR_OPTIONAL_HOOK(ap, status_hook, gateway_status, NULL, NULL, APR_HOOK_MIDDLE);
}
