/* SPDX-License-Identifier: Apache-2.0 */
/* The lint's rules about an estate: directives that are right each for itself, and wrong beside a guarded location. */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <httpd.h>

#include "mcp_lint_impl.h"

/* ---- where ---- */

const char *mcp_lint_head(const mcp_lint_t *lint, const ap_directive_t *section)
{
    const char *args = section->args ? section->args : "";
    size_t len = strlen(args);

    return apr_pstrmemdup(lint->p, args, len && args[len - 1] == '>' ? len - 1 : len);
}

const char *mcp_lint_path(const mcp_lint_t *lint, const ap_directive_t *d)
{
    for (d = d->parent; d; d = d->parent) {
        if (mcp_lint_is(d, "<Location")) {
            const char *args = mcp_lint_head(lint, d), *path = ap_getword_conf(lint->p, &args);

            return *path == '/' && !strpbrk(path, "*?[") ? path : NULL;
        }
    }
    return NULL;
}

int mcp_lint_within(const char *path, const char *base)
{
    size_t len = strlen(base);

    return !strncmp(path, base, len) && (!path[len] || path[len] == '/' || (len && base[len - 1] == '/'));
}

int mcp_lint_has(const mcp_lint_place_t *place, const char *path)
{
    return place->pattern ? !ap_regexec(place->pattern, path, 0, NULL, 0) : mcp_lint_within(path, place->path);
}

const mcp_lint_place_t *mcp_lint_guard(const mcp_lint_estate_t *e, const ap_directive_t *host, const char *path)
{
    for (int i = 0; i < e->places->nelts; i++) {
        const mcp_lint_place_t *place = &APR_ARRAY_IDX(e->places, i, mcp_lint_place_t);

        if ((!place->host || place->host == host) && mcp_lint_has(place, path)) {
            return place;
        }
    }
    return NULL;
}

const char *mcp_lint_literal(apr_pool_t *p, const char *pattern)
{
    char *out = apr_palloc(p, strlen(pattern) + 1), *o = out;

    for (pattern += *pattern == '^'; *pattern && !strchr("[](){}|^$*?", *pattern); pattern++) {
        if (*pattern == '+') {
            continue; /* once will do */
        }
        if (*pattern == '\\' && (!pattern[1] || apr_isalnum(*++pattern))) {
            break; /* a class such as \d */
        }
        *o++ = *pattern;
    }
    if (o > out && *pattern && strchr("*?{", *pattern)) {
        o--; /* may be missing */
    }
    *o = '\0';
    return out;
}

int mcp_lint_place(const mcp_lint_t *lint, const ap_directive_t *section, mcp_lint_place_t *place)
{
    const char *args, *path;
    int match;

    match = section && mcp_lint_is(section, "<LocationMatch");
    if (!section || (!match && !mcp_lint_is(section, "<Location"))) {
        return 0;
    }
    args = mcp_lint_head(lint, section);
    path = ap_getword_conf(lint->p, &args);
    if (!match && !strcmp(path, "~")) {
        path = ap_getword_conf(lint->p, &args);
        match = 1;
    }
    *place = (mcp_lint_place_t){ .d = section, .host = mcp_lint_host(section), .path = path };
    if (match) {
        place->pattern = ap_pregcomp(lint->p, path, AP_REG_EXTENDED);
        place->path = mcp_lint_literal(lint->p, path);
        return place->pattern != NULL;
    }
    return *path == '/' && !strpbrk(path, "*?[");
}

/* What AuthType MCP guards there. 0: nobody knows here. */
static int place_of(const mcp_lint_t *lint, const ap_directive_t *d, mcp_lint_place_t *place)
{
    const ap_directive_t *section;
    int known;

    for (section = d->parent; section && !ap_cstr_casecmpn(section->directive, "<If", 3); section = section->parent) {
        ;
    }
    known = mcp_lint_place(lint, section, place);
    place->d = d;
    return known;
}

/* ---- rules ---- */

/* What is the administrators' below a location that clients have tokens for. Without any Require it is told of as open. */
static void inner(const mcp_lint_estate_t *e)
{
    static const char *const handlers[] = { "mcp-admin", "mcp-metrics", "mcp-health", "server-status", "server-info" };
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "SetHandler"); d; d = mcp_lint_next(d, "SetHandler")) {
        const char *name = mcp_lint_word(e->lint, d, 0), *path = mcp_lint_path(e->lint, d);
        const mcp_lint_place_t *place = path ? mcp_lint_guard(e, mcp_lint_host(d), path) : NULL;
        int tokens = 0, own = 0;

        for (const ap_directive_t *one = place ? d->parent->first_child : NULL; one; one = one->next) {
            const char *first = mcp_lint_word(e->lint, one, 0);

            own |= mcp_lint_is(one, "AuthType") && ap_cstr_casecmp(first, "MCP");
            if (!ap_cstr_casecmpn(one->directive, "<Require", 8)) {
                own = 1; /* what is in it may be anything */
            }
            else if (mcp_lint_is(one, "Require")) {
                tokens |= !ap_cstr_casecmp(first, "valid-user") || !ap_cstr_casecmpn(first, "mcp-", 4);
                own |= ap_cstr_casecmp(first, "valid-user") && ap_cstr_casecmpn(first, "mcp-", 4);
            }
        }
        for (apr_size_t k = 0; tokens && !own && k < sizeof(handlers) / sizeof(*handlers); k++) {
            if (!ap_cstr_casecmp(name, handlers[k])) {
                mcp_lint_tell(e->lint, "error", d, "SetHandler %s below the guarded %s: it is for whoever has a token for the MCP "
                                                   "server. Give it a path of its own, with a Require of its own",
                              name, place->path);
            }
        }
    }
}

int mcp_lint_behind(const ap_directive_t *d, const ap_directive_t *first)
{
    const ap_directive_t *host = mcp_lint_host(d), *base = mcp_lint_host(first);

    if (host != base) {
        return !base;
    }
    do {
        first = mcp_lint_next(first, d->directive);
    } while (first && first != d);
    return first != NULL;
}

/* Of sections that cover a path the last one says who is asked: also <Location /> behind <Location /mcp>. */
static void overrides(const mcp_lint_estate_t *e)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "AuthType"); d; d = mcp_lint_next(d, "AuthType")) {
        const char *type = mcp_lint_word(e->lint, d, 0), *path = mcp_lint_path(e->lint, d);

        for (int i = 0; path && ap_cstr_casecmp(type, "MCP") && i < e->places->nelts; i++) {
            const mcp_lint_place_t *place = &APR_ARRAY_IDX(e->places, i, mcp_lint_place_t);

            if (!mcp_lint_behind(d, place->d)) {
                continue;
            }
            if (mcp_lint_within(place->path, path)) {
                mcp_lint_tell(e->lint, "error", d, "AuthType %s for %s stands behind AuthType MCP for %s, and so takes the guard "
                                                   "away. Put it in front",
                              type, path, place->path);
                break;
            }
        }
    }
}

/* mod_cache answers before anybody is asked who they are. */
static void caches(const mcp_lint_estate_t *e)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "CacheQuickHandler"); d; d = mcp_lint_next(d, "CacheQuickHandler")) {
        if (!ap_cstr_casecmp(mcp_lint_word(e->lint, d, 0), "off")) {
            return;
        }
    }
    for (d = mcp_lint_next(NULL, "CacheEnable"); d; d = mcp_lint_next(d, "CacheEnable")) {
        const char *path = mcp_lint_path(e->lint, d);

        path = path ? path : mcp_lint_word(e->lint, d, 1);
        for (int i = 0; i < e->places->nelts; i++) {
            const mcp_lint_place_t *place = &APR_ARRAY_IDX(e->places, i, mcp_lint_place_t);
            const ap_directive_t *except;
            int disabled = 0;

            for (except = mcp_lint_next(NULL, "CacheDisable"); except; except = mcp_lint_next(except, "CacheDisable")) {
                const ap_directive_t *section = mcp_lint_section(except);
                mcp_lint_place_t off;

                disabled |= !section ? mcp_lint_within(place->path, mcp_lint_word(e->lint, except, 0))
                                     : section == mcp_lint_section(place->d)
                                           || (mcp_lint_place(e->lint, section, &off) && mcp_lint_has(&off, place->path));
            }
            if (!disabled && (!mcp_lint_host(d) || !place->host || mcp_lint_host(d) == place->host)
                && (mcp_lint_within(place->path, path) || mcp_lint_within(path, place->path))) {
                mcp_lint_tell(e->lint, "warning", d, "CacheEnable covers the guarded %s: a cached answer is given before anybody "
                                                     "is asked for a token. Add to it: CacheDisable on",
                              place->path);
                break;
            }
        }
    }
}

/* Addresses that clients may choose themselves. */
static void addresses(const mcp_lint_estate_t *e)
{
    static const char *const trusted[] = { "RemoteIPInternalProxy", "RemoteIPInternalProxyList", "RemoteIPTrustedProxy",
                                           "RemoteIPTrustedProxyList" };
    const ap_directive_t *header = mcp_lint_next(NULL, "RemoteIPHeader");

    for (apr_size_t i = 0; i < sizeof(trusted) / sizeof(*trusted); i++) {
        if (mcp_lint_next(NULL, trusted[i])) {
            return;
        }
    }
    if (header) {
        mcp_lint_tell(e->lint, "error", header,
                      "RemoteIPHeader is believed from anybody, who thus chooses an address: past limits and Require ip. Name the "
                      "proxy in front: RemoteIPInternalProxy 192.0.2.1");
    }
}

static int is_on(const mcp_lint_estate_t *e, const char *name)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, name); d; d = mcp_lint_next(d, name)) {
        if (ap_cstr_casecmp(mcp_lint_word(e->lint, d, 0), "off")) {
            return 1;
        }
    }
    return 0;
}

/* Clients are told https, and it arrives here as plain http from the network. */
static void encryption(const mcp_lint_estate_t *e)
{
    static const char *const signs[] = { "SSLEngine", "GnuTLSEnable", "TLSEngine", "RemoteIPHeader", "RemoteIPProxyProtocol" };
    const ap_directive_t *d, *issuer = NULL;
    int open = 0;

    for (apr_size_t i = 0; i < sizeof(signs) / sizeof(*signs); i++) {
        if (is_on(e, signs[i])) {
            return;
        }
    }
    for (d = mcp_lint_next(NULL, "Listen"); d; d = mcp_lint_next(d, "Listen")) {
        const char *where = mcp_lint_word(e->lint, d, 0), *port = strrchr(where, ':');

        if (!strcmp(port ? port + 1 : where, "443") || !ap_cstr_casecmp(mcp_lint_word(e->lint, d, 1), "https")) {
            return;
        }
        open |= strncmp(where, "127.", 4) && strncmp(where, "[::1]", 5) && strncmp(where, "localhost", 9);
    }
    for (d = mcp_lint_next(NULL, "MCPIssuer"); d; d = mcp_lint_next(d, "MCPIssuer")) {
        issuer = !ap_cstr_casecmpn(mcp_lint_word(e->lint, d, 0), "https://", 8) ? d : issuer;
    }
    if (issuer && open) {
        mcp_lint_tell(e->lint, "warning", issuer, "MCPIssuer is https, and no host here speaks TLS: tokens come in unencrypted. Add "
                                                  "SSLEngine On; or, behind a proxy that does, mod_remoteip (RemoteIPHeader)");
    }
}

/* Where the relay cannot serve, each stream holds a worker. */
static void workers(const mcp_lint_estate_t *e)
{
    const ap_directive_t *d, *off = NULL, *limit = NULL;
    int async = 0, threads = 1, daemons = 1, slots = 0, all, most = 0;

    ap_mpm_query(AP_MPMQ_IS_ASYNC, &async);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &slots);
    all = daemons * (threads > 0 ? threads : 1);
    for (d = mcp_lint_next(NULL, "MCPStreamRelay"); d; d = mcp_lint_next(d, "MCPStreamRelay")) {
        off = !ap_cstr_casecmp(mcp_lint_word(e->lint, d, 0), "off") ? d : off;
    }
    for (d = mcp_lint_next(NULL, "MCPStreamLimit"); d; d = mcp_lint_next(d, "MCPStreamLimit")) {
        const char *number = mcp_lint_word(e->lint, d, 1);

        if (!ap_cstr_casecmp(mcp_lint_word(e->lint, d, 0), "server") && strspn(number, "0123456789") == strlen(number)
            && strlen(number) < 9) {
            limit = d;
            most = (int)apr_atoi64(number);
        }
    }
    if (limit && most >= all && (off || !async)) {
        mcp_lint_tell(e->lint, "warning", limit, "MCPStreamLimit server %d: each stream holds a worker here (%s), and there are %d. Set "
                                                 "MaxRequestWorkers well above it, and with it ThreadsPerChild, ThreadLimit, ServerLimit",
                      most, off ? "MCPStreamRelay Off" : "no event MPM", all);
    }
    if (async && !off && slots <= daemons) {
        mcp_lint_tell(e->lint, "warning", NULL, "ServerLimit %d is no more than MaxRequestWorkers / ThreadsPerChild: after a graceful "
                                                "restart, children that streams still hold leave no room for new ones. Set ServerLimit %d",
                      slots, 2 * daemons);
    }
}

void mcp_lint_estate(mcp_lint_t *lint)
{
    mcp_lint_estate_t e = { .lint = lint, .places = apr_array_make(lint->p, 8, sizeof(mcp_lint_place_t)) };
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "AuthType"); d; d = mcp_lint_next(d, "AuthType")) {
        mcp_lint_place_t place;

        if (ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "MCP")) {
            continue;
        }
        if (place_of(lint, d, &place)) {
            APR_ARRAY_PUSH(e.places, mcp_lint_place_t) = place;
        }
        else {
            e.unsure = 1;
        }
    }
    if (lint->any_guard) {
        inner(&e);
        overrides(&e);
        mcp_lint_ways(&e);
        caches(&e);
        workers(&e);
    }
    mcp_lint_headers(&e);
    addresses(&e);
    encryption(&e);
}
