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

#include "mcp_lint.h"
#include "mcp_lint_impl.h"

#define LINT_USERDATA "mcp-lint"

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

apr_int64_t mcp_lint_seconds(const char *text)
{
    apr_interval_time_t time;

    return ap_timeout_parameter_parse(text, &time, "s") == APR_SUCCESS ? apr_time_sec(time) : MCP_LINT_LEAST_TIMEOUT;
}

const char *mcp_lint_word(const mcp_lint_t *lint, const ap_directive_t *d, int n)
{
    const char *args = d->args ? d->args : "", *w;

    do {
        w = ap_getword_conf(lint->p, &args);
    } while (n-- > 0);
    return w;
}

const char *mcp_lint_rest(const mcp_lint_t *lint, const ap_directive_t *d, int n)
{
    const char *args = d->args ? d->args : "";

    while (n-- > 0) {
        ap_getword_conf(lint->p, &args);
    }
    return args;
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

int mcp_lint_somewhere(const mcp_lint_t *lint, const char *name, const char *first)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, name); d; d = mcp_lint_next(d, name)) {
        if (!ap_cstr_casecmp(mcp_lint_word(lint, d, 0), first)) {
            return 1;
        }
    }
    return 0;
}

const ap_directive_t *mcp_lint_host(const ap_directive_t *d)
{
    for (d = d->parent; d && !mcp_lint_is(d, "<VirtualHost"); d = d->parent) {
        ;
    }
    return d;
}

const ap_directive_t *mcp_lint_section(const ap_directive_t *d)
{
    d = d->parent;
    return d && !mcp_lint_is(d, "<VirtualHost") ? d : NULL;
}

int mcp_lint_closes(const mcp_lint_t *lint, const ap_directive_t *section)
{
    int some = 0, open = 0;

    for (const ap_directive_t *one = section->first_child; one; one = one->next) {
        const char *first = mcp_lint_word(lint, one, 0);

        if (!ap_cstr_casecmpn(one->directive, "<Require", 8) || mcp_lint_is(one, "Deny")) {
            return 1; /* what is in it may be anything */
        }
        if (mcp_lint_is(one, "Require")) {
            some = 1;
            open |= !ap_cstr_casecmp(first, "all") && !ap_cstr_casecmp(mcp_lint_word(lint, one, 1), "granted");
        }
    }
    return some ? !open : -1;
}

/* Does a Require of the same section, or of one around it, keep anybody out? */
static int is_closed(const mcp_lint_t *lint, const ap_directive_t *d)
{
    for (const ap_directive_t *at = d->parent; at; at = at->parent) {
        int closes = mcp_lint_closes(lint, at);

        if (closes >= 0) {
            return closes;
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
    if ((mcp_lint_is(d, "Timeout") || mcp_lint_is(d, "ProxyTimeout")) && mcp_lint_seconds(mcp_lint_word(lint, d, 0)) < MCP_LINT_LEAST_TIMEOUT) {
        mcp_lint_tell(lint, "warning", d, "%s %s: tools that take longer end in 504. Make it %d or more", d->directive,
                      mcp_lint_word(lint, d, 0), MCP_LINT_LEAST_TIMEOUT);
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

/* Does httpd serve files from a directory above @a path? Which one. */
static const char *served_from(const mcp_lint_t *lint, const char *path)
{
    static const char *const names[] = { "DocumentRoot", "Alias", "ScriptAlias" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (const ap_directive_t *d = mcp_lint_next(NULL, names[i]); d; d = mcp_lint_next(d, names[i])) {
            const char *dir = mcp_lint_word(lint, d, i < 1 || !*mcp_lint_word(lint, d, 1) ? 0 : 1);

            dir = ap_server_root_relative(lint->p, dir);
            if (dir && mcp_lint_within(path, dir)) {
                return dir;
            }
        }
    }
    return NULL;
}

/* Keys, secrets and the audit log, where browsers find them. */
static void published(mcp_lint_t *lint, const ap_directive_t *d)
{
    const char *args = d->args ? d->args : "", *word, *path, *dir;
    int whole = mcp_lint_is(d, "MCPKeyFile") || mcp_lint_is(d, "MCPAuditLog");

    if (ap_cstr_casecmpn(d->directive, "MCP", 3)) {
        return;
    }
    while (*(word = ap_getword_conf(lint->p, &args))) {
        path = !strncmp(word, "file:", 5) ? word + 5 : whole && *word != '|' && strncmp(word, "syslog", 6) ? word
                                                                                                           : NULL;
        path = path ? ap_server_root_relative(lint->p, path) : NULL;
        dir = path ? served_from(lint, path) : NULL;
        if (dir) {
            mcp_lint_tell(lint, "error", d, "%s lies below %s, which httpd serves files from. Put it elsewhere, such as /etc/mcp", path, dir);
        }
        whole = 0; /* what follows are options */
    }
}

static rule_fn *const rules[] = { handlers, peers, origins, registration, speed, files, published, mcp_lint_logs };

/* ---- walking ---- */

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
    lint.verified = mcp_lint_somewhere(&lint, "SSLProxyVerify", "require");
    lint.any_guard = mcp_lint_somewhere(&lint, "AuthType", "MCP");
    walk(&lint, ap_conftree);
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
