/* SPDX-License-Identifier: Apache-2.0 */
/* Spans as lines of JSON, and the pipe that they go through. mcp-otlp.8 describes the lines. */

#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_log.h"
#include "mcp_metrics.h"
#include "mcp_pipe.h"
#include "mcp_span.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define SPAN_USERDATA "mcp-span/1"
#define TEXT_MAX 256      /* bytes of one attribute */
#define TAIL 32           /* what ends a line */
#define PIPE_SIZE 1048576 /* what an unprivileged process may ask for; the rest is for bursts */

_Static_assert(MCP_SPAN_LINE_MAX <= PIPE_BUF, "a line must go through a pipe in one piece");

typedef struct {
    int fd;
} exporter_t;

/* This module's view of it: each module has a copy of this library of its own. Set before the fork. */
static const exporter_t *exporter;

/* ---- configuration and start-up ---- */

static const char *check_program(cmd_parms *cmd, const char *target)
{
    const char *rest = mcp_pipe_program(target);
    char *program;

    if (!rest || strchr("|$", *rest)) {
        return "MCPTraceExport takes \"|PROGRAM ARGUMENTS\", such as "
               "\"|/usr/libexec/mcp-otlp --endpoint https://collector.example.com:4318/v1/traces\"";
    }
    /* what begins otherwise, with quotes, is httpd's to understand */
    program = apr_pstrmemdup(cmd->temp_pool, rest, strcspn(rest, " \t"));
    if (*program == '/' && access(program, X_OK) != 0) {
        return apr_pstrcat(cmd->pool, "MCPTraceExport: ", program, " is no program that can be started", NULL);
    }
    return NULL;
}

const char *mcp_span_parse(cmd_parms *cmd, mcp_span_conf_t *conf, int argc, char *const argv[])
{
    const char *err = check_program(cmd, argc > 0 ? argv[0] : "");

    if (err) {
        return err;
    }
    conf->program = argv[0];
    conf->ratio = 1;
    for (int i = 1; i < argc; i++) {
        char *end = NULL;

        conf->ratio = !strncmp(argv[i], "sample=", 7) ? strtod(argv[i] + 7, &end) : -1;
        if (!end || end == argv[i] + 7 || *end || !(conf->ratio >= 0 && conf->ratio <= 1)) {
            return apr_psprintf(cmd->pool, "MCPTraceExport: unknown option '%s'; known is sample=RATIO, from 0 to 1",
                                argv[i]);
        }
    }
    return NULL;
}

apr_status_t mcp_span_open(const mcp_span_conf_t *conf, server_rec *s, apr_pool_t *pconf)
{
    void *found = NULL;
    apr_status_t rv;
    exporter_t *e;

    exporter = NULL;
    mcp_trace_set_ratio(conf->program ? conf->ratio : 0);
    if (!conf->program) {
        return APR_SUCCESS;
    }
    apr_pool_userdata_get(&found, SPAN_USERDATA, pconf);
    if (!found) {
        found = e = apr_pcalloc(pconf, sizeof(*e));
        rv = mcp_pipe_open(conf->program, pconf, &e->fd);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0170) "MCPTraceExport %s cannot be started",
                         conf->program);
            return rv;
        }
#ifdef F_SETPIPE_SZ
        (void)fcntl(e->fd, F_SETPIPE_SZ, PIPE_SIZE); /* the usual size must do where this is not granted */
#endif
        apr_pool_userdata_setn(e, SPAN_USERDATA, NULL, pconf);
    }
    exporter = found;
    return APR_SUCCESS;
}

int mcp_span_is_on(void)
{
    return exporter != NULL;
}

/* ---- what a request consists of ---- */

void mcp_span_watch(request_rec *r)
{
    mcp_trace_t *trace;

    if (!exporter) {
        return;
    }
    trace = mcp_trace(r);
    if (trace->sampled && !trace->part) {
        while (r->main || r->prev) {
            r = r->main ? r->main : r->prev;
        }
        trace->part = apr_palloc(r->pool, MCP_TRACE_PARTS * sizeof(*trace->part));
    }
}

void mcp_span_part(apr_pool_t *p, const char *name, apr_time_t begin, int failed)
{
    mcp_trace_t *trace = exporter ? mcp_trace_of_pool(p) : NULL;

    if (trace && trace->part && trace->parts < MCP_TRACE_PARTS) {
        trace->part[trace->parts++] =
            (mcp_trace_part_t){ .name = name, .begin = begin, .end = apr_time_now(), .failed = failed };
    }
}

int mcp_span_is_wanted(const mcp_trace_t *trace, int known)
{
    /* Of a stranger's trace our own random numbers decide, for he chose the others. */
    return exporter && trace->sampled
           && (known || !*trace->parent || mcp_trace_is_drawn(trace->span, MCP_SPAN_ID_LEN));
}

/* ---- a line ---- */

static void put(mcp_span_line_t *line, const char *text, apr_size_t len)
{
    if (line->len + len <= sizeof(line->text) - TAIL) {
        memcpy(line->text + line->len, text, len);
        line->len += len;
    }
    else {
        line->len = sizeof(line->text); /* full: whoever began this member takes it back */
    }
}

static void put_plain(mcp_span_line_t *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Without printf(): a span has ten of them. */
static void put_number(mcp_span_line_t *line, apr_int64_t value)
{
    char text[24], *at = text + sizeof(text);
    uint64_t rest = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;

    do {
        *--at = (char)('0' + rest % 10);
        rest /= 10;
    } while (rest);
    if (value < 0) {
        *--at = '-';
    }
    put(line, at, (apr_size_t)(text + sizeof(text) - at));
}

/* A string of JSON: of @a max bytes at most, cut between characters. */
static void put_string(mcp_span_line_t *line, const char *value, apr_size_t max)
{
    char text[2 * TEXT_MAX + 2], *out = text;
    int utf8 = -1; /* not looked at yet: most are ASCII */

    *out++ = '"';
    for (apr_size_t i = 0; i < max && value[i]; i++) {
        unsigned char c = (unsigned char)value[i];

        if (c >= 0x80) {
            apr_size_t more = c >= 0xf0 ? 3 : c >= 0xe0 ? 2
                                          : c >= 0xc0   ? 1
                                                        : 0;

            utf8 = utf8 < 0 ? mcp_is_utf8(value) : utf8;
            if (utf8 && i + more >= max) {
                break; /* no part of a character */
            }
            c = utf8 ? c : '?';
        }
        else if (c == '"' || c == '\\') {
            *out++ = '\\';
        }
        else if (c < 0x20 || c == 0x7f) {
            c = '?';
        }
        *out++ = (char)c;
    }
    *out++ = '"';
    put(line, text, (apr_size_t)(out - text));
}

/* `"name":`, after a comma where one is needed. */
static void put_name(mcp_span_line_t *line, const char *name)
{
    put_plain(line, line->first ? "\"" : ",\"");
    put_plain(line, name);
    put_plain(line, "\":");
    line->first = 0;
}

static void put_member(mcp_span_line_t *line, const char *name, const char *value)
{
    apr_size_t before = line->len;
    int first = line->first;

    if (!value || !*value || before == sizeof(line->text)) {
        return;
    }
    put_name(line, name);
    put_string(line, value, TEXT_MAX);
    if (line->len == sizeof(line->text)) {
        line->len = before;
        line->first = first;
    }
}

static void put_integer(mcp_span_line_t *line, const char *name, apr_int64_t value)
{
    apr_size_t before = line->len;
    int first = line->first;

    put_name(line, name);
    put_number(line, value);
    if (line->len == sizeof(line->text)) {
        line->len = before;
        line->first = first;
    }
}

static void put_span(mcp_span_line_t *line, const char *name, mcp_span_kind_e kind, apr_time_t begin, apr_time_t end,
                     int failed)
{
    put_member(line, "name", name);
    put_integer(line, "kind", kind);
    put_integer(line, "begin", begin);
    put_integer(line, "end", end < begin ? begin : end);
    if (failed) {
        put_plain(line, ",\"failed\":true");
    }
}

/* Ids that differ from each other and, but for an accident in 2^64, from all others of the trace. */
static const char *part_id(const mcp_trace_t *trace, int n, char id[MCP_SPAN_ID_LEN + 1])
{
    uint64_t number = strtoull(trace->span, NULL, 16) + (uint64_t)n + 1;

    apr_snprintf(id, MCP_SPAN_ID_LEN + 1, "%016" APR_UINT64_T_HEX_FMT, (apr_uint64_t)(number ? number : 1));
    return id;
}

void mcp_span_begin(mcp_span_line_t *line, const mcp_trace_t *trace, const char *name, apr_time_t begin, int failed)
{
    char id[MCP_SPAN_ID_LEN + 1];

    line->len = 0;
    line->first = 1;
    put_plain(line, "{");
    put_member(line, "trace", trace->id);
    put_member(line, "span", trace->span);
    put_member(line, "parent", trace->parent);
    if (trace->state && strlen(trace->state) <= TEXT_MAX) {
        put_member(line, "state", trace->state); /* half of it would be another one */
    }
    put_span(line, name, MCP_SPAN_SERVER, begin, apr_time_now(), failed);
    put_plain(line, ",\"parts\":[");
    line->first = 1;
    for (int i = 0; i < trace->parts; i++) {
        const mcp_trace_part_t *part = &trace->part[i];

        put_plain(line, i ? ",{" : "{");
        line->first = 1;
        put_member(line, "span", part_id(trace, i, id));
        put_span(line, part->name, MCP_SPAN_CLIENT, part->begin, part->end, part->failed);
        put_plain(line, "}");
    }
    line->first = !trace->parts;
}

void mcp_span_backend(mcp_span_line_t *line, const mcp_trace_t *trace, const char *name, apr_time_t begin,
                      const char *address, int port, int status, int failed)
{
    put_plain(line, line->first ? "{" : ",{");
    line->first = 1;
    put_member(line, "span", trace->backend);
    put_span(line, name, MCP_SPAN_CLIENT, begin, apr_time_now(), failed);
    put_plain(line, ",\"attributes\":{");
    line->first = 1;
    put_member(line, "http.request.method", name);
    put_member(line, "server.address", address);
    if (port) {
        put_integer(line, "server.port", port);
    }
    put_integer(line, "http.response.status_code", status);
    put_plain(line, "}}");
    line->first = 0;
}

void mcp_span_attributes(mcp_span_line_t *line)
{
    put_plain(line, "],\"attributes\":{");
    line->first = 1;
}

void mcp_span_text(mcp_span_line_t *line, const char *name, const char *value)
{
    put_member(line, name, value);
}

void mcp_span_number(mcp_span_line_t *line, const char *name, apr_int64_t value)
{
    if (line->len != sizeof(line->text)) {
        put_integer(line, name, value);
    }
}

void mcp_span_http(mcp_span_line_t *line, request_rec *r, const char *route)
{
    const char *version = strchr(r->protocol ? r->protocol : "", '/');

    mcp_span_text(line, "http.request.method", r->method);
    mcp_span_number(line, "http.response.status_code", r->status);
    mcp_span_text(line, "http.route", route);
    mcp_span_text(line, "url.scheme", ap_http_scheme(r));
    mcp_span_text(line, "url.path", r->uri); /* never the query: it carries codes and sessions */
    mcp_span_text(line, "server.address", r->server->server_hostname);
    mcp_span_number(line, "server.port", r->server->port ? r->server->port : ap_default_port(r));
    mcp_span_text(line, "network.transport", "tcp");
    mcp_span_text(line, "network.protocol.name", "http");
    mcp_span_text(line, "network.protocol.version",
                  version ? !strcmp(version, "/2.0") ? "2" : version + 1 : NULL);
    mcp_span_text(line, "client.address", r->useragent_ip);
    mcp_span_text(line, "user_agent.original", apr_table_get(r->headers_in, "User-Agent"));
}

apr_size_t mcp_span_end(mcp_span_line_t *line)
{
    static const char tail[] = "}}\n"; /* always has room */

    if (line->len == sizeof(line->text)) {
        return 0;
    }
    memcpy(line->text + line->len, tail, sizeof(tail) - 1);
    line->len += sizeof(tail) - 1;
    return line->len;
}

void mcp_span_send(mcp_span_line_t *line)
{
    apr_size_t len = mcp_span_end(line);

    mcp_metric(MCP_METRIC_SPANS,
               exporter && len && write(exporter->fd, line->text, len) == (ssize_t)len ? "sent" : "dropped", NULL);
}
