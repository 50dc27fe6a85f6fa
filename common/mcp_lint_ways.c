/* SPDX-License-Identifier: Apache-2.0 */
/* Ways from paths of hosts to backends: ProxyPass, ProxyPassMatch, RewriteRule with P, SetHandler proxy:, members of balancers,
 * and what hosts inherit. Which of several is taken, and where it ends. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>

#include "mcp_lint_ways.h"

/* ---- what there is ---- */

static void add(const mcp_lint_ways_t *w, const mcp_lint_way_t *way)
{
    const char *name = way->target, *rest;
    int expanded = 0;

    if (ap_cstr_casecmpn(name, "balancer://", 11)) {
        APR_ARRAY_PUSH(w->ways, mcp_lint_way_t) = *way;
        return;
    }
    rest = name + 11 + strcspn(name + 11, "/$");
    name = apr_pstrmemdup(w->p, name, (apr_size_t)(rest - name));
    for (const ap_directive_t *d = mcp_lint_next(NULL, "BalancerMember"); d; d = mcp_lint_next(d, "BalancerMember")) {
        const ap_directive_t *section = mcp_lint_section(d);
        const char *args = section ? mcp_lint_head(w->e->lint, section) : "", *balancer;
        mcp_lint_way_t member = *way;

        balancer = section ? ap_getword_conf(w->p, &args) : mcp_lint_word(w->e->lint, d, 0);
        if ((mcp_lint_host(d) && mcp_lint_host(d) != way->host) || ap_cstr_casecmpn(balancer, name, strlen(name))
            || strspn(balancer + strlen(name), "/") != strlen(balancer + strlen(name))) {
            continue;
        }
        member.at = d;
        member.target = apr_pstrcat(w->p, mcp_lint_word(w->e->lint, d, section ? 0 : 1), rest, NULL);
        APR_ARRAY_PUSH(w->ways, mcp_lint_way_t) = member;
        expanded = 1;
    }
    if (!expanded) {
        APR_ARRAY_PUSH(w->ways, mcp_lint_way_t) = *way;
    }
}

/* ProxyPass and ProxyPassMatch. In a section they take its path, or pattern. */
static void passes(const mcp_lint_ways_t *w, const char *name, int match)
{
    for (const ap_directive_t *d = mcp_lint_next(NULL, name); d; d = mcp_lint_next(d, name)) {
        const ap_directive_t *section = mcp_lint_section(d);
        const char *args = section ? mcp_lint_head(w->e->lint, section) : d->args, *first = ap_getword_conf(w->p, &args);
        int tilde = section && mcp_lint_is(section, "<Location") && !strcmp(first, "~");
        mcp_lint_way_t way = { .d = d, .at = d, .host = mcp_lint_host(d), .rank = section ? MCP_LINT_SECTION : MCP_LINT_HOST };

        way.target = mcp_lint_word(w->e->lint, d, section ? 0 : 1);
        first = tilde ? ap_getword_conf(w->p, &args) : first;
        if (match || tilde || (section && mcp_lint_is(section, "<LocationMatch"))) {
            way.pattern = ap_pregcomp(w->p, first, AP_REG_EXTENDED);
            way.written = first;
        }
        else if (*first == '/' && !strpbrk(first, "*?[")) {
            way.path = first;
        }
        if (way.pattern || way.path) {
            add(w, &way);
        }
    }
}

/* RewriteRule with P among its flags, of a host whose RewriteEngine is on. */
static void rewrites(const mcp_lint_ways_t *w)
{
    for (const ap_directive_t *d = mcp_lint_next(NULL, "RewriteRule"); d; d = mcp_lint_next(d, "RewriteRule")) {
        const ap_directive_t *one = d->parent ? d->parent->first_child : ap_conftree;
        const char *flags = mcp_lint_word(w->e->lint, d, 2);
        mcp_lint_way_t way = { .d = d, .at = d, .host = mcp_lint_host(d), .rank = MCP_LINT_REWRITE, .whole = 1 };
        int on = 0, proxy = 0, icase = 0, before = 1;

        for (char *last, *flag = apr_strtok(apr_pstrdup(w->p, flags), "[], ", &last); flag; flag = apr_strtok(NULL, "[], ", &last)) {
            proxy |= !ap_cstr_casecmp(flag, "P") || !ap_cstr_casecmp(flag, "proxy");
            icase |= !ap_cstr_casecmp(flag, "NC") || !ap_cstr_casecmp(flag, "nocase");
        }
        for (; one; one = one->next) {
            if (mcp_lint_is(one, "RewriteEngine")) {
                on = !ap_cstr_casecmp(mcp_lint_word(w->e->lint, one, 0), "on");
            }
            before &= one != d;
            if (before && mcp_lint_is(one, "RewriteCond")) {
                way.asked = 1;
            }
            else if (before && mcp_lint_is(one, "RewriteRule")) {
                way.asked = 0; /* the conditions were that one's */
            }
        }
        way.written = mcp_lint_word(w->e->lint, d, 0);
        way.target = mcp_lint_word(w->e->lint, d, 1);
        way.target = apr_pstrmemdup(w->p, way.target, strcspn(way.target, "?"));
        if (on && proxy && !mcp_lint_section(d) && *way.written != '!' && !strchr(way.target, '%') && !strstr(way.target, "${")) {
            way.pattern = ap_pregcomp(w->p, way.written, AP_REG_EXTENDED | (icase ? AP_REG_ICASE : 0));
        }
        if (way.pattern) {
            add(w, &way);
        }
    }
}

/* SetHandler proxy:URL, which puts the path of the file behind the URL. */
static void handlers(const mcp_lint_ways_t *w)
{
    for (const ap_directive_t *d = mcp_lint_next(NULL, "SetHandler"); d; d = mcp_lint_next(d, "SetHandler")) {
        const char *name = mcp_lint_word(w->e->lint, d, 0);
        mcp_lint_way_t way = { .d = d, .at = d, .host = mcp_lint_host(d), .rank = MCP_LINT_SECTION, .whole = 1 };

        way.path = mcp_lint_section(d) ? mcp_lint_path(w->e->lint, d) : "/";
        way.target = name + 6;
        if (!ap_cstr_casecmpn(name, "proxy:", 6) && way.path) {
            add(w, &way);
        }
    }
}

/* ---- hosts ---- */

/* The main server gets what comes in by an address that no host has. */
static int main_is_reached(const mcp_lint_t *lint)
{
    const ap_directive_t *listen, *host;

    for (listen = mcp_lint_next(NULL, "Listen"); listen; listen = mcp_lint_next(listen, "Listen")) {
        const char *where = mcp_lint_word(lint, listen, 0), *port = strrchr(where, ':');
        int taken = 0;

        port = port ? port + 1 : where;
        for (host = mcp_lint_next(NULL, "<VirtualHost"); host; host = mcp_lint_next(host, "<VirtualHost")) {
            const char *args = mcp_lint_head(lint, host), *address;

            while (*(address = ap_getword_conf(lint->p, &args))) {
                const char *colon = strrchr(address, ':');
                size_t len = colon ? (size_t)(colon - address) : strlen(address);

                if (colon && colon[1] != '*' && strcmp(colon + 1, port)) {
                    continue;
                }
                taken |= !strncmp(address, "*", len) || !ap_cstr_casecmpn(address, "_default_", len)
                         || (!strncmp(address, where, len) && where[len] == ':');
            }
        }
        if (!taken) {
            return 1;
        }
    }
    return 0;
}

/* Does this host take over what the main server passes on? */
static int inherits(const mcp_lint_t *lint, const ap_directive_t *host)
{
    const ap_directive_t *const levels[] = { host->first_child, ap_conftree };

    for (int i = 0; i < 2; i++) {
        for (const ap_directive_t *one = levels[i]; one; one = one->next) {
            if (mcp_lint_is(one, "ProxyPassInherit")) {
                return ap_cstr_casecmp(mcp_lint_word(lint, one, 0), "off");
            }
        }
    }
    return 1;
}

int mcp_lint_way_serves(const mcp_lint_ways_t *w, const ap_directive_t *host, const mcp_lint_way_t *way)
{
    return way->host == host
           || (!way->host && (way->rank == MCP_LINT_SECTION || (way->rank == MCP_LINT_HOST && inherits(w->e->lint, host))));
}

/* ---- where a path leads to ---- */

/* Where @a way takes @a path to; NULL: not its path. */
const char *mcp_lint_way_end(apr_pool_t *p, const mcp_lint_way_t *way, const char *path)
{
    ap_regmatch_t match[AP_MAX_REG_MATCH];
    const char *url;

    if (way->path) {
        return !mcp_lint_within(path, way->path)   ? NULL
               : way->whole || *way->target == '!' ? way->target
                                                   : apr_pstrcat(p, way->target, path + strlen(way->path), NULL);
    }
    if (!way->pattern || ap_regexec(way->pattern, path, AP_MAX_REG_MATCH, match, 0)) {
        return NULL;
    }
    url = ap_pregsub(p, way->target, path, AP_MAX_REG_MATCH, match);
    /* without a $1 ProxyPassMatch puts the whole path behind */
    return url && !way->whole && *url != '!' && !strcmp(url, way->target) ? apr_pstrcat(p, url, path, NULL) : url;
}

/* Is @a way the one that a request for @a path to @a host takes? */
int mcp_lint_way_taken(const mcp_lint_ways_t *w, apr_pool_t *p, const ap_directive_t *host, const char *path, const mcp_lint_way_t *way)
{
    const mcp_lint_way_t *best = NULL;

    for (int own = 1; own >= 0; own--) { /* a host's ways stand in front of those of the main server */
        for (int i = 0; i < w->ways->nelts; i++) {
            const mcp_lint_way_t *one = &APR_ARRAY_IDX(w->ways, i, mcp_lint_way_t);

            if ((one->host == host) == own && mcp_lint_way_serves(w, host, one) && (one == way || !one->asked) && mcp_lint_way_end(p, one, path)
                && (!best || one->rank < best->rank || (own && one->rank == MCP_LINT_SECTION && best->rank == MCP_LINT_SECTION))) {
                best = one;
            }
        }
    }
    return best && best->d == way->d; /* any member of its balancer */
}

static void find_goals(const mcp_lint_ways_t *w)
{
    for (int h = 0; h < w->hosts->nelts; h++) {
        const ap_directive_t *host = APR_ARRAY_IDX(w->hosts, h, const ap_directive_t *);

        for (int i = 0; i < w->ways->nelts; i++) {
            const mcp_lint_way_t *way = &APR_ARRAY_IDX(w->ways, i, mcp_lint_way_t);
            mcp_lint_goal_t goal = { .way = way, .host = host, .path = way->path };

            if (!mcp_lint_way_serves(w, host, way) || *way->target == '!') {
                continue;
            }
            if (way->path && mcp_lint_guard(w->e, host, way->path)) {
                goal.url = way->target;
                APR_ARRAY_PUSH(w->goals, mcp_lint_goal_t) = goal;
                continue;
            }
            for (int k = 0; k < w->e->places->nelts; k++) {
                goal.path = APR_ARRAY_IDX(w->e->places, k, mcp_lint_place_t).path;
                goal.url = mcp_lint_guard(w->e, host, goal.path) ? mcp_lint_way_end(w->p, way, goal.path) : NULL;
                if (goal.url && mcp_lint_way_taken(w, w->p, host, goal.path, way)) {
                    APR_ARRAY_PUSH(w->goals, mcp_lint_goal_t) = goal;
                }
            }
        }
    }
}

void mcp_lint_ways_find(mcp_lint_ways_t *w)
{
    const ap_directive_t *d;

    w->ways = apr_array_make(w->p, 16, sizeof(mcp_lint_way_t));
    w->hosts = apr_array_make(w->p, 8, sizeof(const ap_directive_t *));
    w->goals = apr_array_make(w->p, 8, sizeof(mcp_lint_goal_t));
    passes(w, "ProxyPass", 0);
    passes(w, "ProxyPassMatch", 1);
    rewrites(w);
    handlers(w);
    if (main_is_reached(w->e->lint)) {
        APR_ARRAY_PUSH(w->hosts, const ap_directive_t *) = NULL;
    }
    for (d = mcp_lint_next(NULL, "<VirtualHost"); d; d = mcp_lint_next(d, "<VirtualHost")) {
        APR_ARRAY_PUSH(w->hosts, const ap_directive_t *) = d;
    }
    find_goals(w);
}
