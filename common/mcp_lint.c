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
#include "mcp_lint_impl.h"
#include "mcp_url.h"

#define LINT_USERDATA "mcp-lint"
#define LEAST_TIMEOUT 30 /* seconds */

typedef void rule_fn(mcp_lint_t *lint, const ap_directive_t *d);

/* ---- telling ---- */

void mcp_lint_tell(mcp_lint_t *lint, const char *level, const ap_directive_t *d, const char *format, ...)
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

int mcp_lint_is(const ap_directive_t *d, const char *name)
{
    return !ap_cstr_casecmp(d->directive, name);
}

static apr_int64_t seconds(const char *text)
{
    apr_interval_time_t time;

    return ap_timeout_parameter_parse(text, &time, "s") == APR_SUCCESS ? apr_time_sec(time) : LEAST_TIMEOUT;
}

const char *mcp_lint_word(const mcp_lint_t *lint, const ap_directive_t *d, int n)
{
    const char *args = d->args ? d->args : "", *w;

    do {
        w = ap_getword_conf(lint->p, &args);
    } while (n-- > 0);
    return w;
}

const ap_directive_t *mcp_lint_next(const ap_directive_t *d, const char *name)
{
    do {
        if (!d) {
            d = ap_conftree;
        }
        else if (d->first_child) {
            d = d->first_child;
        }
        else {
            while (d && !d->next) {
                d = d->parent;
            }
            d = d ? d->next : NULL;
        }
    } while (d && !mcp_lint_is(d, name));
    return d;
}

apr_array_header_t *mcp_lint_all(const mcp_lint_t *lint, const char *name)
{
    apr_array_header_t *found = apr_array_make(lint->p, 8, sizeof(const ap_directive_t *));

    for (const ap_directive_t *d = mcp_lint_next(NULL, name); d; d = mcp_lint_next(d, name)) {
        APR_ARRAY_PUSH(found, const ap_directive_t *) = d;
    }
    return found;
}

const ap_directive_t *mcp_lint_host(const ap_directive_t *d)
{
    for (d = d->parent; d && !mcp_lint_is(d, "<VirtualHost"); d = d->parent) {
        ;
    }
    return d;
}

/* The first directive of this name, and with this first word unless it is NULL, beside @a d or around it. */
static const ap_directive_t *beside(const mcp_lint_t *lint, const ap_directive_t *d, const char *name, const char *first)
{
    for (const ap_directive_t *at = d->parent; at; at = at->parent) {
        for (const ap_directive_t *one = at->first_child; one; one = one->next) {
            if (mcp_lint_is(one, name) && (!first || !ap_cstr_casecmp(mcp_lint_word(lint, one, 0), first))) {
                return one;
            }
        }
    }
    return NULL;
}

/* Does a Require of the same section keep anybody out? */
static int is_closed(const mcp_lint_t *lint, const ap_directive_t *d)
{
    for (const ap_directive_t *at = d->parent; at; at = at->parent) {
        int some = 0, open = 0;

        for (const ap_directive_t *one = at->first_child; one; one = one->next) {
            if (!ap_cstr_casecmpn(one->directive, "<Require", 8)) {
                return 1; /* what is in it may be anything */
            }
            if (mcp_lint_is(one, "Require")) {
                some = 1;
                open |= !ap_cstr_casecmp(mcp_lint_word(lint, one, 0), "all") && !ap_cstr_casecmp(mcp_lint_word(lint, one, 1), "granted");
            }
        }
        if (some) {
            return !open;
        }
    }
    return 0;
}

/* ---- rules ---- */

static void handlers(mcp_lint_t *lint, const ap_directive_t *d)
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

    if (!mcp_lint_is(d, "SetHandler")) {
        return;
    }
    for (apr_size_t i = 0; i < sizeof(inner) / sizeof(*inner); i++) {
        if (!ap_cstr_casecmp(mcp_lint_word(lint, d, 0), inner[i].name) && !is_closed(lint, d)) {
            mcp_lint_tell(lint, inner[i].level, d, "SetHandler %s without a Require that keeps people out: it %s. Add, for example: "
                                                   "Require ip 127.0.0.1",
                          inner[i].name, inner[i].what);
        }
    }
}

/* 1 public, 0 not, -1 nobody knows here. */
static int is_public(mcp_lint_t *lint, const char *host)
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

static void backends(mcp_lint_t *lint, const ap_directive_t *d)
{
    const ap_directive_t *key = beside(lint, d, "MCPGuardBackendKey", NULL);
    const char *args = d->args ? d->args : "", *w;

    if (!mcp_lint_is(d, "ProxyPass") && !mcp_lint_is(d, "ProxyPassMatch") && !mcp_lint_is(d, "BalancerMember")) {
        return;
    }
    while (*(w = ap_getword_conf(lint->p, &args))) {
        mcp_url_t url;

        if (!ap_cstr_casecmpn(w, "timeout=", 8) && seconds(w + 8) < LEAST_TIMEOUT && beside(lint, d, "AuthType", "MCP")) {
            mcp_lint_tell(lint, "warning", d, "%s: tools that take longer end in 504. Make it %d or more", w, LEAST_TIMEOUT);
        }
        if (mcp_url_parse(lint->p, w, &url) != APR_SUCCESS) {
            continue;
        }
        if (key && !strcmp(url.scheme, "http") && is_public(lint, url.host) == 1) {
            mcp_lint_tell(lint, "error", d, "%s: the key of MCPGuardBackendKey and who calls go there unencrypted, over the open "
                                            "network. Write https://",
                          w);
        }
        if (key && !strcmp(url.scheme, "https") && !lint->verified && is_public(lint, url.host) != 0) {
            mcp_lint_tell(lint, "error", d, "%s: its certificate is not looked at, so whoever is in between gets the key of "
                                            "MCPGuardBackendKey. Add: SSLProxyVerify require and SSLProxyCACertificateFile",
                          w);
        }
    }
}

static void peers(mcp_lint_t *lint, const ap_directive_t *d)
{
    if ((mcp_lint_is(d, "SSLProxyCheckPeerName") || mcp_lint_is(d, "SSLProxyCheckPeerExpire")) && !ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "off")) {
        mcp_lint_tell(lint, "error", d, "%s Off: any certificate will do. Take the line out", d->directive);
    }
    if (mcp_lint_is(d, "ProxyRequests") && !ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "on")) {
        mcp_lint_tell(lint, "error", d, "ProxyRequests On makes this server a proxy for everybody. Take the line out: ProxyPass does "
                                        "not need it");
    }
}

static void origins(mcp_lint_t *lint, const ap_directive_t *d)
{
    const ap_directive_t *one;

    if (mcp_lint_is(d, "MCPAllowOrigin") && ap_strstr_c(d->args, "*")) {
        mcp_lint_tell(lint, "warning", d, "MCPAllowOrigin *: any web page may call with a token that it has. Name the origins");
    }
    if (!mcp_lint_is(d, "Header") || !ap_strstr_c(d->args, "Access-Control-Allow-Origin") || !strpbrk(d->args, "*{")) {
        return;
    }
    for (one = d->parent ? d->parent->first_child : ap_conftree; one; one = one->next) {
        if (mcp_lint_is(one, "Header") && ap_strstr_c(one->args, "Access-Control-Allow-Credentials")) {
            mcp_lint_tell(lint, "error", d, "Access-Control-Allow-Origin for everybody beside Access-Control-Allow-Credentials: any web "
                                            "page acts as the person who looks at it. MCPAllowOrigin is enough; take both lines out");
            return;
        }
    }
}

static void registration(mcp_lint_t *lint, const ap_directive_t *d)
{
    if (mcp_lint_is(d, "MCPOAuthLimit") && !ap_cstr_casecmp(mcp_lint_word(lint, d, 1), "none")) {
        mcp_lint_tell(lint, "error", d, "MCPOAuthLimit %s none: nothing holds back whoever floods it. Take the line out", mcp_lint_word(lint, d, 0));
    }
}

static void speed(mcp_lint_t *lint, const ap_directive_t *d)
{
    if (!lint->any_guard) {
        return;
    }
    if (mcp_lint_is(d, "KeepAlive") && !ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "off")) {
        mcp_lint_tell(lint, "warning", d, "KeepAlive Off: a TLS handshake for each call. Take the line out");
    }
    if ((mcp_lint_is(d, "Timeout") || mcp_lint_is(d, "ProxyTimeout")) && seconds(mcp_lint_word(lint, d, 0)) < LEAST_TIMEOUT) {
        mcp_lint_tell(lint, "warning", d, "%s %s: tools that take longer end in 504. Make it %d or more", d->directive,
                      mcp_lint_word(lint, d, 0), LEAST_TIMEOUT);
    }
}

static void files(mcp_lint_t *lint, const ap_directive_t *d)
{
    const char *path = mcp_lint_is(d, "MCPKeyFile") || mcp_lint_is(d, "MCPAuditLog") ? ap_server_root_relative(lint->p, mcp_lint_word(lint, d, 0)) : NULL;
    struct stat info;
    const char *slash;

    if (!path || *mcp_lint_word(lint, d, 0) == '|' || !strncmp(mcp_lint_word(lint, d, 0), "syslog", 6)) {
        return;
    }
    if (mcp_lint_is(d, "MCPAuditLog")) {
        if (stat(path, &info) == 0 && S_ISREG(info.st_mode) && info.st_mode & (S_IROTH | S_IWOTH)) {
            mcp_lint_tell(lint, "error", d, "%s: everybody on this host may read who did what. Mend: chmod o= %s", path, path);
        }
        return;
    }
    if (getuid() == 0 && ap_unixd_config.user_id && stat(path, &info) == 0 && info.st_uid == ap_unixd_config.user_id) {
        mcp_lint_tell(lint, "error", d, "%s belongs to %s, whom strangers talk to: httpd reads it as root. Mend: chown root %s", path,
                      ap_unixd_config.user_name, path);
    }
    slash = strrchr(path, '/');
    path = slash && slash != path ? apr_pstrmemdup(lint->p, path, (apr_size_t)(slash - path)) : "/";
    if (stat(path, &info) == 0 && info.st_mode & (S_IWGRP | S_IWOTH)) {
        mcp_lint_tell(lint, "error", d, "%s: others than its owner may put another key file there. Mend: chmod go-w %s", path, path);
    }
}

static rule_fn *const rules[] = { handlers, backends, peers, origins, registration, speed, files };

/* ---- walking ---- */

/* Does a directive of this name, wherever it stands, begin with this word? */
static int somewhere(const mcp_lint_t *lint, const char *name, const char *first)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, name); d; d = mcp_lint_next(d, name)) {
        if (!ap_cstr_casecmp(mcp_lint_word(lint, d, 0), first)) {
            return 1;
        }
    }
    return 0;
}

static void walk(mcp_lint_t *lint, const ap_directive_t *d)
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
    mcp_lint_t lint = { .p = pconf };
    void *done = NULL;

    (void)s;
    apr_pool_userdata_get(&done, LINT_USERDATA, pconf);
    if (done || !ap_exists_config_define(MCP_LINT_DEFINE)) {
        return;
    }
    apr_pool_userdata_setn("", LINT_USERDATA, NULL, pconf);
    lint.verified = somewhere(&lint, "SSLProxyVerify", "require");
    lint.any_guard = somewhere(&lint, "AuthType", "MCP");
    walk(&lint, ap_conftree);
    mcp_lint_logs(&lint);
    mcp_lint_estate(&lint);
    if (lint.any_guard && ap_find_linked_module("prefork.c")) {
        mcp_lint_tell(&lint, "warning", NULL, "the prefork MPM: each event stream holds a process of its own. Use the event MPM");
    }
    mcp_lint_tell(&lint, "done", NULL, "%d", lint.found);
    fflush(stdout);
}

void mcp_lint_hook(void)
{
    ap_hook_test_config(test_config, NULL, NULL, APR_HOOK_MIDDLE);
}
