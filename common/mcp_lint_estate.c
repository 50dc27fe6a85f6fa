/* SPDX-License-Identifier: Apache-2.0 */
/* The lint's rules about an estate: directives that are right each for itself, and wrong beside a guarded location. */

#include <string.h>

#include <apr_strings.h>
#include <ap_mpm.h>
#include <httpd.h>

#include "mcp_lint_impl.h"

/* A location that asks for tokens. */
typedef struct {
    const ap_directive_t *host; /* NULL: the main server, so that each host has it */
    const char *path;
} place_t;

/* A ProxyPass. */
typedef struct {
    const ap_directive_t *d, *host;
    const char *path, *target;
} route_t;

typedef struct {
    mcp_lint_t *lint;
    apr_array_header_t *places; /* place_t */
    int unsure;                 /* something is guarded whose path is no plain one */
} estate_t;

/* ---- where ---- */

/* The path of the <Location that @a d stands in; NULL: in none, or in one by an expression. */
static const char *path_of(const mcp_lint_t *lint, const ap_directive_t *d)
{
    for (d = d->parent; d; d = d->parent) {
        if (mcp_lint_is(d, "<Location")) {
            const char *args = d->args, *path;

            args = apr_pstrmemdup(lint->p, args, strcspn(args, ">"));
            path = ap_getword_conf(lint->p, &args);
            return *path == '/' && !strpbrk(path, "*?[") ? path : NULL;
        }
    }
    return NULL;
}

/* Is @a path @a base, or below it, as <Location has it? */
static int is_within(const char *path, const char *base)
{
    size_t len = strlen(base);

    return !strncmp(path, base, len) && (!path[len] || path[len] == '/' || (len && base[len - 1] == '/'));
}

static const place_t *guard_of(const estate_t *e, const ap_directive_t *host, const char *path)
{
    for (int i = 0; i < e->places->nelts; i++) {
        const place_t *place = &APR_ARRAY_IDX(e->places, i, place_t);

        if ((!place->host || place->host == host) && is_within(path, place->path)) {
            return place;
        }
    }
    return NULL;
}

/* ---- rules ---- */

/* What is the administrators' below a location that clients have tokens for. Without any Require it is told of as open. */
static void inner(const estate_t *e)
{
    static const char *const handlers[] = { "mcp-admin", "mcp-metrics", "mcp-health", "server-status", "server-info" };
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "SetHandler"); d; d = mcp_lint_next(d, "SetHandler")) {
        const char *name = mcp_lint_word(e->lint, d, 0), *path = path_of(e->lint, d);
        const place_t *place = path ? guard_of(e, mcp_lint_host(d), path) : NULL;
        int tokens = 0, own = 0;

        for (const ap_directive_t *one = d->parent->first_child; path && one; one = one->next) {
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
        for (apr_size_t k = 0; place && tokens && !own && k < sizeof(handlers) / sizeof(*handlers); k++) {
            if (!ap_cstr_casecmp(name, handlers[k])) {
                mcp_lint_tell(e->lint, "error", d, "SetHandler %s below the guarded %s: it is for whoever has a token for the MCP "
                                                   "server. Give it a path of its own, with a Require of its own",
                              name, place->path);
            }
        }
    }
}

static apr_array_header_t *routes(const estate_t *e)
{
    apr_array_header_t *found = apr_array_make(e->lint->p, 8, sizeof(route_t));
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "ProxyPass"); d; d = mcp_lint_next(d, "ProxyPass")) {
        const char *path = path_of(e->lint, d);
        route_t route = { .d = d, .host = mcp_lint_host(d), .path = path ? path : mcp_lint_word(e->lint, d, 0) };

        route.target = mcp_lint_word(e->lint, d, path ? 0 : 1);
        if (*route.path == '/' && strstr(route.target, "://")) {
            APR_ARRAY_PUSH(found, route_t) = route;
        }
    }
    return found;
}

/* The same MCP server by a second way, on which nobody is asked for a token. */
static void second_ways(const estate_t *e)
{
    apr_array_header_t *all = routes(e);

    for (int i = 0; !e->unsure && i < all->nelts; i++) {
        const route_t *open = &APR_ARRAY_IDX(all, i, route_t);
        size_t len = strlen(open->target);

        for (int k = 0; k < all->nelts && !guard_of(e, open->host, open->path); k++) {
            const route_t *to = &APR_ARRAY_IDX(all, k, route_t);
            const char *reached;

            if (!guard_of(e, to->host, to->path) || !is_within(to->target, open->target)) {
                continue;
            }
            reached = apr_pstrcat(e->lint->p, open->path, to->target + len, NULL);
            if (!guard_of(e, open->host, reached)) {
                mcp_lint_tell(e->lint, open->host == to->host ? "error" : "warning", open->d,
                              "%s leads to %s without a token, which %s guards. Take it out, or guard it, too", reached, to->target,
                              to->path);
                break;
            }
        }
    }
}

/* mod_cache answers before anybody is asked who they are. */
static void caches(const estate_t *e)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "CacheQuickHandler"); d; d = mcp_lint_next(d, "CacheQuickHandler")) {
        if (!ap_cstr_casecmp(mcp_lint_word(e->lint, d, 0), "off")) {
            return;
        }
    }
    for (d = mcp_lint_next(NULL, "CacheEnable"); d; d = mcp_lint_next(d, "CacheEnable")) {
        const char *path = path_of(e->lint, d);

        path = path ? path : mcp_lint_word(e->lint, d, 1);
        for (int i = 0; i < e->places->nelts; i++) {
            const place_t *place = &APR_ARRAY_IDX(e->places, i, place_t);
            const ap_directive_t *except;
            int disabled = 0;

            for (except = mcp_lint_next(NULL, "CacheDisable"); except; except = mcp_lint_next(except, "CacheDisable")) {
                const char *off = path_of(e->lint, except);

                disabled |= is_within(place->path, off ? off : mcp_lint_word(e->lint, except, 0));
            }
            if (!disabled && (!mcp_lint_host(d) || !place->host || mcp_lint_host(d) == place->host)
                && (is_within(place->path, path) || is_within(path, place->path))) {
                mcp_lint_tell(e->lint, "warning", d, "CacheEnable covers the guarded %s: a cached answer is given before anybody "
                                                     "is asked for a token. Add to it: CacheDisable on",
                              place->path);
                break;
            }
        }
    }
}

/* Addresses that clients may choose themselves. */
static void addresses(const estate_t *e)
{
    static const char *const trusted[] = { "RemoteIPInternalProxy", "RemoteIPInternalProxyList", "RemoteIPTrustedProxy",
                                           "RemoteIPTrustedProxyList" };
    apr_array_header_t *headers = mcp_lint_all(e->lint, "RemoteIPHeader");

    for (apr_size_t i = 0; i < sizeof(trusted) / sizeof(*trusted); i++) {
        if (mcp_lint_all(e->lint, trusted[i])->nelts) {
            return;
        }
    }
    if (headers->nelts) {
        mcp_lint_tell(e->lint, "error", APR_ARRAY_IDX(headers, 0, const ap_directive_t *),
                      "RemoteIPHeader is believed from anybody, who thus chooses an address: past limits and Require ip. Name the "
                      "proxy in front: RemoteIPInternalProxy 192.0.2.1");
    }
}

static int is_on(const estate_t *e, const char *name)
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
static void encryption(const estate_t *e)
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
static void workers(const estate_t *e)
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
    estate_t e = { .lint = lint, .places = apr_array_make(lint->p, 8, sizeof(place_t)) };
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "AuthType"); d; d = mcp_lint_next(d, "AuthType")) {
        place_t place = { .host = mcp_lint_host(d), .path = path_of(lint, d) };

        if (ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "MCP")) {
            continue;
        }
        if (place.path) {
            APR_ARRAY_PUSH(e.places, place_t) = place;
        }
        e.unsure |= !place.path;
    }
    if (lint->any_guard) {
        inner(&e);
        second_ways(&e);
        caches(&e);
        workers(&e);
    }
    addresses(&e);
    encryption(&e);
}
