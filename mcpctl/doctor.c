/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: does to a live gateway what MCP clients do until they are signed in, and says in plain words what would fail. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_strings.h>

#include "doctor.h"
#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define JSON_MAX (1024 * 1024)

const char doctor_initialize[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                                 "\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"mcpctl doctor\","
                                 "\"version\":\"1\"}}}";

void doctor_found(doctor_t *d, doctor_mark_e mark, const char *what, const char *format, ...)
{
    static const char *const marks[] = { "ok  ", "note", "FAIL" };
    static const char *const names[] = { "ok", "note", "fail" };
    va_list args;
    const char *text;

    va_start(args, format);
    text = apr_pvsprintf(d->pool, format, args);
    va_end(args);
    d->counts[mark]++;
    if (d->ctl->json) {
        json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s}", "result", names[mark], "check", what, "text",
                                                     mcp_is_utf8(text) ? text : "(not UTF-8)"));
    }
    else {
        printf("%s  %s: %s\n", marks[mark], what, text);
    }
}

int doctor_ask(doctor_t *d, const char *method, const char *url, const char *body, const char *const *headers,
               mcpctl_answer_t *answer)
{
    mcpctl_ask_t what = { .method = method, .url = url, .body = body, .headers = headers };

    return !mcpctl_http(d->pool, &d->way, &what, answer);
}

const char *doctor_header(const mcpctl_answer_t *answer, const char *name)
{
    const char *value = apr_table_get(answer->headers, name);

    return value ? value : "";
}

const json_t *doctor_json(doctor_t *d, const mcpctl_answer_t *answer)
{
    return strncmp(doctor_header(answer, "Content-Type"), "application/json", 16)
               ? NULL
               : mcp_json_parse(d->pool, answer->body, answer->len, JSON_MAX);
}

static const char *read_token(const mcpctl_t *ctl, const char *path)
{
    char line[4096];
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;

    if (!file || !fgets(line, sizeof(line), file)) {
        if (file && file != stdin) {
            fclose(file);
        }
        return NULL;
    }
    if (file != stdin) {
        fclose(file);
    }
    line[strcspn(line, "\r\n")] = '\0';
    return apr_pstrdup(ctl->pool, line);
}

int mcpctl_doctor(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    doctor_t d = { .ctl = ctl, .pool = ctl->pool };
    mcp_url_t url;
    int n;

    for (; argc && !strncmp(*argv, "--", 2); argc -= n, argv += n) {
        n = mcpctl_way_option(&d.way, argc, argv);
        if (!n && !strcmp(*argv, "--no-register")) {
            d.no_register = n = 1;
        }
        else if (!n && !strcmp(*argv, "--no-document")) {
            d.no_document = n = 1;
        }
        else if (!n && !strcmp(*argv, "--document") && argc > 1) {
            n = 2;
            d.document = argv[1];
            if (mcp_url_parse(ctl->pool, d.document, &url) != APR_SUCCESS || strcmp(url.scheme, "https")) {
                return mcpctl_complain("%s: no https URL", d.document);
            }
        }
        else if (!n && !strcmp(*argv, "--token-file") && argc > 1) {
            n = 2;
            d.token = read_token(ctl, argv[1]);
            if (!d.token || !mcp_is_header_safe(d.token)) {
                return mcpctl_complain("%s: no token in it", argv[1]);
            }
        }
        if (!n) {
            return mcpctl_complain("doctor does not know %s", *argv);
        }
    }
    if (argc != 1 || mcp_url_parse(ctl->pool, argv[0], &url) != APR_SUCCESS) {
        return mcpctl_complain("doctor takes the URL that people give to their MCP client");
    }
    d.url = argv[0];
    d.findings = json_array();
    if (!strcmp(url.scheme, "http") && !mcp_url_is_loopback(&url)) {
        doctor_found(&d, DOCTOR_BAD, "URL", "plain http: clients refuse it but for loopback; use https");
    }
    if (doctor_door(&d)) {
        doctor_preflight(&d, "MCP endpoint", d.url);
        if (doctor_metadata(&d)) {
            doctor_clients(&d);
        }
        doctor_call(&d);
    }
    if (ctl->json) {
        puts(mcp_json_text(d.pool, d.findings));
    }
    else {
        printf("%d fine, %d to note, %d failed\n", d.counts[DOCTOR_FINE], d.counts[DOCTOR_NOTE], d.counts[DOCTOR_BAD]);
    }
    json_decref(d.findings);
    return d.counts[DOCTOR_BAD] ? MCPCTL_FOUND : MCPCTL_OK;
}
