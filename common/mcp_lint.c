/* SPDX-License-Identifier: Apache-2.0 */
/* The lint of `mcpctl check-config`: rules over the tree of directives that httpd has read. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_core.h>
#include <unixd.h>

#include "mcp_address.h"
#include "mcp_lint.h"
#include "mcp_url.h"

#define LINT_USERDATA "mcp-lint"
#define LEAST_TIMEOUT 30 /* seconds */

typedef struct {
    apr_pool_t *p;
    int found;
    int verified;  /* somewhere SSLProxyVerify require: certificates of backends are looked at */
    int any_guard; /* somewhere AuthType MCP */
} lint_t;

typedef void rule_fn(lint_t *lint, const ap_directive_t *d);

/* ---- telling ---- */

static void tell(lint_t *lint, const char *level, const ap_directive_t *d, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void tell(lint_t *lint, const char *level, const ap_directive_t *d, const char *format, ...)
{
    const char *where = d ? apr_psprintf(lint->p, "%s:%d", d->filename, d->line_num) : "-";
    va_list args;
    char *text;

    va_start(args, format);
    text = apr_pvsprintf(lint->p, format, args);
    va_end(args);
    for (char *c = text; *c; c++) {
        *c = (unsigned char)*c < 0x20 || *c == 0x7f ? ' ' : *c;
    }
    printf(MCP_LINT_MARK "\t%s\t%s\t%s\n", level, where, text);
    lint->found++;
}

/* ---- the tree ---- */

static int is(const ap_directive_t *d, const char *name)
{
    return !ap_cstr_casecmp(d->directive, name);
}

static apr_int64_t seconds(const char *text)
{
    apr_interval_time_t time;

    return ap_timeout_parameter_parse(text, &time, "s") == APR_SUCCESS ? apr_time_sec(time) : LEAST_TIMEOUT;
}

static const char *word(const lint_t *lint, const ap_directive_t *d, int n)
{
    const char *args = d->args ? d->args : "", *w;

    do {
        w = ap_getword_conf(lint->p, &args);
    } while (n-- > 0);
    return w;
}

/* The first directive of this name, and with this first word unless it is NULL, beside @a d or around it. */
static const ap_directive_t *beside(const lint_t *lint, const ap_directive_t *d, const char *name, const char *first)
{
    for (const ap_directive_t *at = d->parent; at; at = at->parent) {
        for (const ap_directive_t *one = at->first_child; one; one = one->next) {
            if (is(one, name) && (!first || !ap_cstr_casecmp(word(lint, one, 0), first))) {
                return one;
            }
        }
    }
    return NULL;
}

/* Does a Require of the same section keep anybody out? */
static int is_closed(const lint_t *lint, const ap_directive_t *d)
{
    for (const ap_directive_t *at = d->parent; at; at = at->parent) {
        int some = 0, open = 0;

        for (const ap_directive_t *one = at->first_child; one; one = one->next) {
            if (!ap_cstr_casecmpn(one->directive, "<Require", 8)) {
                return 1; /* what is in it may be anything */
            }
            if (is(one, "Require")) {
                some = 1;
                open |= !ap_cstr_casecmp(word(lint, one, 0), "all") && !ap_cstr_casecmp(word(lint, one, 1), "granted");
            }
        }
        if (some) {
            return !open;
        }
    }
    return 0;
}

/* ---- rules ---- */

static void handlers(lint_t *lint, const ap_directive_t *d)
{
    static const struct {
        const char *name;
        const char *level;
        const char *what;
    } inner[] = {
        { "mcp-admin", "error", "lets anybody take back sessions and block clients" },
        { "mcp-metrics", "warning", "tells anybody which tools are used, and how much" },
        { "mcp-health", "warning", "tells anybody what is broken (mcp-ready says one word)" },
        { "server-status", "warning", "shows anybody the addresses and URLs of requests under way" },
        { "server-info", "error", "shows anybody the whole configuration" },
    };

    if (!is(d, "SetHandler")) {
        return;
    }
    for (apr_size_t i = 0; i < sizeof(inner) / sizeof(*inner); i++) {
        if (!ap_cstr_casecmp(word(lint, d, 0), inner[i].name) && !is_closed(lint, d)) {
            tell(lint, inner[i].level, d, "SetHandler %s without a Require that keeps people out: it %s. Add, for example: "
                                          "Require ip 127.0.0.1",
                 inner[i].name, inner[i].what);
        }
    }
}

/* 1 public, 0 not, -1 nobody knows here. */
static int is_public(lint_t *lint, const char *host)
{
    apr_sockaddr_t *address;

    if (apr_sockaddr_info_get(&address, host, APR_UNSPEC, 80, 0, lint->p) != APR_SUCCESS) {
        return -1;
    }
    for (; address; address = address->next) {
        if (mcp_address_is_public((const struct sockaddr *)&address->sa)) {
            return 1;
        }
    }
    return 0;
}

static void backends(lint_t *lint, const ap_directive_t *d)
{
    const ap_directive_t *key = beside(lint, d, "MCPGuardBackendKey", NULL);
    const char *args = d->args ? d->args : "", *w;

    if (!is(d, "ProxyPass") && !is(d, "ProxyPassMatch") && !is(d, "BalancerMember")) {
        return;
    }
    while (*(w = ap_getword_conf(lint->p, &args))) {
        mcp_url_t url;

        if (!ap_cstr_casecmpn(w, "timeout=", 8) && seconds(w + 8) < LEAST_TIMEOUT && beside(lint, d, "AuthType", "MCP")) {
            tell(lint, "warning", d, "%s: tools that take longer end in 504. Make it %d or more", w, LEAST_TIMEOUT);
        }
        if (mcp_url_parse(lint->p, w, &url) != APR_SUCCESS) {
            continue;
        }
        if (key && !strcmp(url.scheme, "http") && is_public(lint, url.host) == 1) {
            tell(lint, "error", d, "%s: the key of MCPGuardBackendKey and who calls go there unencrypted, over the open "
                                   "network. Write https://",
                 w);
        }
        if (key && !strcmp(url.scheme, "https") && !lint->verified && is_public(lint, url.host) != 0) {
            tell(lint, "error", d, "%s: its certificate is not looked at, so whoever is in between gets the key of "
                                   "MCPGuardBackendKey. Add: SSLProxyVerify require and SSLProxyCACertificateFile",
                 w);
        }
    }
}

static void peers(lint_t *lint, const ap_directive_t *d)
{
    if ((is(d, "SSLProxyCheckPeerName") || is(d, "SSLProxyCheckPeerExpire")) && !ap_cstr_casecmp(word(lint, d, 0), "off")) {
        tell(lint, "error", d, "%s Off: any certificate will do. Take the line out", d->directive);
    }
    if (is(d, "ProxyRequests") && !ap_cstr_casecmp(word(lint, d, 0), "on")) {
        tell(lint, "error", d, "ProxyRequests On makes this server a proxy for everybody. Take the line out: ProxyPass does "
                               "not need it");
    }
}

static void origins(lint_t *lint, const ap_directive_t *d)
{
    const ap_directive_t *one;

    if (is(d, "MCPAllowOrigin") && ap_strstr_c(d->args, "*")) {
        tell(lint, "warning", d, "MCPAllowOrigin *: any web page may call with a token that it has. Name the origins");
    }
    if (!is(d, "Header") || !ap_strstr_c(d->args, "Access-Control-Allow-Origin") || !strpbrk(d->args, "*{")) {
        return;
    }
    for (one = d->parent ? d->parent->first_child : ap_conftree; one; one = one->next) {
        if (is(one, "Header") && ap_strstr_c(one->args, "Access-Control-Allow-Credentials")) {
            tell(lint, "error", d, "Access-Control-Allow-Origin for everybody beside Access-Control-Allow-Credentials: any web "
                                   "page acts as the person who looks at it. MCPAllowOrigin is enough; take both lines out");
            return;
        }
    }
}

static void logs(lint_t *lint, const ap_directive_t *d)
{
    static const char *const secret[] = { "{Authorization}i", "{Cookie}i", "{Set-Cookie}o", "{Proxy-Authorization}i" };

    if (is(d, "DumpIOInput") && !ap_cstr_casecmp(word(lint, d, 0), "on")) {
        tell(lint, "error", d, "DumpIOInput writes tokens and sign-ins into the error log. Take the line out");
    }
    if (!is(d, "LogFormat") && !is(d, "CustomLog") && !is(d, "GlobalLog")) {
        return;
    }
    for (apr_size_t i = 0; i < sizeof(secret) / sizeof(*secret); i++) {
        if (ap_strcasestr(d->args, secret[i])) {
            tell(lint, "error", d, "%%%s writes what lets people in into a log. Take it out", secret[i]);
        }
    }
}

static void registration(lint_t *lint, const ap_directive_t *d)
{
    if (is(d, "MCPOAuthLimit") && !ap_cstr_casecmp(word(lint, d, 1), "none")) {
        tell(lint, "error", d, "MCPOAuthLimit %s none: nothing holds back whoever floods it. Take the line out", word(lint, d, 0));
    }
}

static void speed(lint_t *lint, const ap_directive_t *d)
{
    if (!lint->any_guard) {
        return;
    }
    if (is(d, "KeepAlive") && !ap_cstr_casecmp(word(lint, d, 0), "off")) {
        tell(lint, "warning", d, "KeepAlive Off: a TLS handshake for each call. Take the line out");
    }
    if ((is(d, "Timeout") || is(d, "ProxyTimeout")) && seconds(word(lint, d, 0)) < LEAST_TIMEOUT) {
        tell(lint, "warning", d, "%s %s: tools that take longer end in 504. Make it %d or more", d->directive,
             word(lint, d, 0), LEAST_TIMEOUT);
    }
}

static void files(lint_t *lint, const ap_directive_t *d)
{
    const char *path = is(d, "MCPKeyFile") || is(d, "MCPAuditLog") ? ap_server_root_relative(lint->p, word(lint, d, 0)) : NULL;
    struct stat info;
    const char *slash;

    if (!path || *word(lint, d, 0) == '|' || !strncmp(word(lint, d, 0), "syslog", 6)) {
        return;
    }
    if (is(d, "MCPAuditLog")) {
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & (S_IROTH | S_IWOTH)) {
            tell(lint, "error", d, "%s: everybody on this host may read who did what. Mend: chmod o= %s", path, path);
        }
        return;
    }
    if (getuid() == 0 && ap_unixd_config.user_id && stat(path, &info) == 0 && info.st_uid == ap_unixd_config.user_id) {
        tell(lint, "error", d, "%s belongs to %s, whom strangers talk to: httpd reads it as root. Mend: chown root %s", path,
             ap_unixd_config.user_name, path);
    }
    slash = strrchr(path, '/');
    path = slash && slash != path ? apr_pstrmemdup(lint->p, path, (apr_size_t)(slash - path)) : "/";
    if (stat(path, &info) == 0 && info.st_mode & (S_IWGRP | S_IWOTH)) {
        tell(lint, "error", d, "%s: others than its owner may put another key file there. Mend: chmod go-w %s", path, path);
    }
}

static rule_fn *const rules[] = { handlers, backends, peers, origins, logs, registration, speed, files };

/* ---- walking ---- */

static void look_ahead(lint_t *lint, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        lint->verified |= is(d, "SSLProxyVerify") && !ap_cstr_casecmp(word(lint, d, 0), "require");
        lint->any_guard |= is(d, "AuthType") && !ap_cstr_casecmp(word(lint, d, 0), "MCP");
        look_ahead(lint, d->first_child);
    }
}

static void walk(lint_t *lint, const ap_directive_t *d)
{
    for (; d; d = d->next) {
        for (apr_size_t i = 0; i < sizeof(rules) / sizeof(*rules); i++) {
            rules[i](lint, d);
        }
        walk(lint, d->first_child);
    }
}

static void test_config(apr_pool_t *pconf, server_rec *s)
{
    lint_t lint = { .p = pconf };
    void *done = NULL;

    (void)s;
    apr_pool_userdata_get(&done, LINT_USERDATA, pconf);
    if (done || !ap_exists_config_define(MCP_LINT_DEFINE)) {
        return;
    }
    apr_pool_userdata_setn("", LINT_USERDATA, NULL, pconf);
    look_ahead(&lint, ap_conftree);
    walk(&lint, ap_conftree);
    if (lint.any_guard && ap_find_linked_module("prefork.c")) {
        tell(&lint, "warning", NULL, "the prefork MPM: each event stream holds a process of its own. Use the event MPM");
    }
    tell(&lint, "done", NULL, "%d", lint.found);
    fflush(stdout);
}

void mcp_lint_hook(void)
{
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
}
