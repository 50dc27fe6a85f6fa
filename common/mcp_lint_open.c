/* SPDX-License-Identifier: Apache-2.0 */
/* The lint's rules about ways to a guarded MCP server: those that ask nobody for a token, and what goes along the guarded ones.
 *
 * Of a pattern nobody can tell by looking which paths it takes. So paths that look promising are put through it, as httpd would,
 * and told of only where they lead to the server.
 */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>

#include "mcp_address.h"
#include "mcp_lint_ways.h"
#include "mcp_url.h"

/* ---- ways where nobody is asked ---- */

/* A URL such that two for the same are alike. */
static const char *normal(apr_pool_t *p, const char *text)
{
    mcp_url_t url;

    if (mcp_url_parse(p, text, &url) != APR_SUCCESS) {
        return text;
    }
    return apr_psprintf(p, "%s://%s:%d%s", url.scheme, mcp_url_is_loopback(&url) ? "loopback" : url.host, url.port, url.path);
}

/* Does a section that covers this path keep people out, some way or other? */
static int is_closed(const mcp_lint_ways_t *w, const ap_directive_t *host, const char *path)
{
    static const char *const names[] = { "<Location", "<LocationMatch" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (const ap_directive_t *d = mcp_lint_next(NULL, names[i]); d; d = mcp_lint_next(d, names[i])) {
            mcp_lint_place_t place;

            if (mcp_lint_closes(w->e->lint, d) == 1 && mcp_lint_place(w->e->lint, d, &place) && (!place.host || place.host == host)
                && mcp_lint_has(&place, path)) {
                return 1;
            }
        }
    }
    return 0;
}

/* Is something said about who may use a backend, wherever the way to it begins? */
static int proxies_are_closed(const mcp_lint_t *lint)
{
    static const char *const names[] = { "<Proxy", "<ProxyMatch" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (const ap_directive_t *d = mcp_lint_next(NULL, names[i]); d; d = mcp_lint_next(d, names[i])) {
            if (mcp_lint_closes(lint, d) == 1) {
                return 1;
            }
        }
    }
    return 0;
}

static int is_told(const mcp_lint_ways_t *w, const ap_directive_t *d)
{
    for (int i = 0; i < w->told->nelts; i++) {
        if (APR_ARRAY_IDX(w->told, i, const ap_directive_t *) == d) {
            return 1;
        }
    }
    APR_ARRAY_PUSH(w->told, const ap_directive_t *) = d;
    return 0;
}

/* The path of a URL, without what comes from a pattern's groups. */
static const char *url_path(apr_pool_t *p, const char *text)
{
    const char *begin = strstr(text, "://"), *path = begin ? begin + 3 : text;

    path += strcspn(path, "/$");
    return apr_pstrmemdup(p, path, strcspn(path, "$"));
}

/* Paths by which @a way may lead to @a goal. */
static void guess(apr_pool_t *p, const mcp_lint_way_t *way, const mcp_lint_goal_t *goal, const char *paths[6])
{
    const char *to = url_path(p, goal->url), *from = url_path(p, way->target), *rest = strncmp(to, from, strlen(from)) ? "" : to + strlen(from);
    const char *begin = way->pattern ? mcp_lint_literal(p, way->written) : way->path;
    char *upper = apr_pstrdup(p, goal->path);

    for (char *c = upper; *c; c++) {
        *c = apr_toupper(*c);
    }
    paths[0] = apr_pstrcat(p, begin, rest, NULL);
    paths[1] = begin;
    paths[2] = apr_pstrcat(p, "/x", goal->path, NULL); /* where it has no ^ */
    paths[3] = apr_pstrcat(p, goal->path, "x", NULL);  /* where it has neither / nor $ */
    paths[4] = upper;
    paths[5] = NULL;
}

/* A path of @a way, where nobody is asked for a token, that leads to the goal; NULL: none was found. */
static const char *open_path(const mcp_lint_ways_t *w, apr_pool_t *p, const ap_directive_t *host, const mcp_lint_way_t *way, const mcp_lint_goal_t *goal)
{
    const char *paths[6], *to = normal(p, goal->url), *root = url_path(p, goal->url);

    guess(p, way, goal, paths);
    for (int i = 0; paths[i]; i++) {
        const char *end = *paths[i] == '/' && !mcp_lint_guard(w->e, host, paths[i]) ? mcp_lint_way_end(p, way, paths[i]) : NULL;

        if (!end || !mcp_lint_within(normal(p, end), to)) {
            continue;
        }
        /* where the whole server is the goal, a part of it may be public on purpose */
        if ((!*root || !strcmp(root, "/")) && strcmp(normal(p, end), to)) {
            continue;
        }
        if (!is_closed(w, host, paths[i]) && mcp_lint_way_taken(w, p, host, paths[i], way)) {
            return paths[i];
        }
    }
    return NULL;
}

/* Is it also the way that the guard is meant for? */
static int is_meant(const mcp_lint_ways_t *w, const mcp_lint_way_t *way, const char *path)
{
    for (int k = 0; k < w->goals->nelts; k++) {
        const mcp_lint_goal_t *goal = &APR_ARRAY_IDX(w->goals, k, mcp_lint_goal_t);

        if (goal->way->d == way->d && !strcmp(goal->path, path)) {
            return 1;
        }
    }
    return 0;
}

static void tell_open(const mcp_lint_ways_t *w, const mcp_lint_way_t *way, const mcp_lint_goal_t *goal, const char *path, int here)
{
    if (way->pattern && is_meant(w, way, goal->path)) {
        mcp_lint_tell(w->e->lint, here ? "error" : "warning", way->d,
                      "%s leads to %s without a token, too: the pattern takes more than the guarded %s. Write it as "
                      "^%s(/.*)?$, or ProxyPass in the <Location>",
                      path, goal->url, goal->path, goal->path);
        return;
    }
    mcp_lint_tell(w->e->lint, here ? "error" : "warning", way->d, "%s leads to %s without a token, which %s guards. Take it out, or guard it, too",
                  path, goal->url, goal->path);
}

/* The same MCP server by a second way, on which nobody is asked for a token; @a here: of the same host, and
 * not one that inherits the other. */
static void second_ways(const mcp_lint_ways_t *w, int here)
{
    apr_pool_t *p;

    apr_pool_create(&p, w->p);
    for (int h = 0; h < w->hosts->nelts; h++) {
        const ap_directive_t *host = APR_ARRAY_IDX(w->hosts, h, const ap_directive_t *);

        for (int i = 0; i < w->ways->nelts; i++) {
            const mcp_lint_way_t *way = &APR_ARRAY_IDX(w->ways, i, mcp_lint_way_t);

            for (int k = 0; mcp_lint_way_serves(w, host, way) && !way->asked && k < w->goals->nelts; k++) {
                const mcp_lint_goal_t *goal = &APR_ARRAY_IDX(w->goals, k, mcp_lint_goal_t);
                int same = goal->host == host && goal->way->host == way->host;
                const char *path = same == here ? open_path(w, p, host, way, goal) : NULL;

                if (path && !is_told(w, way->d)) {
                    tell_open(w, way, goal, path, here);
                }
                if (path) {
                    break;
                }
            }
            apr_pool_clear(p);
        }
    }
    apr_pool_destroy(p);
}

/* A part of a guarded location where something else is asked, or nothing. */
static void exempted(const mcp_lint_ways_t *w)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "AuthType"); d; d = mcp_lint_next(d, "AuthType")) {
        const char *path = mcp_lint_path(w->e->lint, d);

        for (int k = 0; path && ap_cstr_casecmp(mcp_lint_word(w->e->lint, d, 0), "MCP") && k < w->goals->nelts; k++) {
            const mcp_lint_goal_t *goal = &APR_ARRAY_IDX(w->goals, k, mcp_lint_goal_t);
            const char *end = mcp_lint_way_end(w->p, goal->way, path);
            const mcp_lint_place_t *guard = mcp_lint_guard(w->e, goal->host, path);

            if (guard && strcmp(path, goal->path) && mcp_lint_within(path, goal->path) && end
                && (!mcp_lint_host(d) || mcp_lint_host(d) == goal->host) && mcp_lint_behind(d, guard->d)
                && mcp_lint_closes(w->e->lint, mcp_lint_section(d)) == 0
                && mcp_lint_way_taken(w, w->p, goal->host, path, goal->way)) {
                mcp_lint_tell(w->e->lint, "warning", d, "AuthType %s for %s, below the guarded %s: it leads to %s without a token. "
                                                        "Take it out, or say who may: Require",
                              mcp_lint_word(w->e->lint, d, 0), path, goal->path, end);
                break;
            }
        }
    }
}

/* ---- what goes along the guarded ways ---- */

/* 1 public, 0 not, -1 nobody knows here. */
static int is_public(apr_pool_t *p, const char *host)
{
    apr_sockaddr_t *address;

    if (apr_sockaddr_info_get(&address, host, APR_UNSPEC, 80, 0, p) != APR_SUCCESS) {
        return -1;
    }
    for (; address; address = address->next) {
        if (mcp_address_is_public((const struct sockaddr *)&address->sa)) {
            return 1;
        }
    }
    return 0;
}

/* What the guard gives to that server that nobody else may see; NULL: nothing. */
static const char *secret_of(const mcp_lint_ways_t *w, const mcp_lint_goal_t *goal)
{
    static const char *const names[] = { "MCPGuardBackendKey", "MCPGuardUpstreamToken", "MCPGuardAssertion" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        for (const ap_directive_t *d = mcp_lint_next(NULL, names[i]); d; d = mcp_lint_next(d, names[i])) {
            const char *path = mcp_lint_path(w->e->lint, d);

            if (ap_cstr_casecmp(mcp_lint_word(w->e->lint, d, 0), "off")
                && (mcp_lint_section(d) == mcp_lint_section(goal->way->d)
                        ? mcp_lint_host(d) == mcp_lint_host(goal->way->d)
                        : path && mcp_lint_within(goal->path, path) && (!mcp_lint_host(d) || mcp_lint_host(d) == goal->host))) {
                return names[i];
            }
        }
    }
    return NULL;
}

static void encryption(const mcp_lint_ways_t *w, const mcp_lint_goal_t *goal)
{
    const mcp_lint_t *lint = w->e->lint;
    const char *secret = secret_of(w, goal);
    mcp_url_t url;

    if (!secret || mcp_url_parse(w->p, goal->url, &url) != APR_SUCCESS) {
        return;
    }
    if (!strcmp(url.scheme, "http") && is_public(w->p, url.host) == 1) {
        mcp_lint_tell(w->e->lint, "error", goal->way->at, "%s: what %s gives and who calls go there unencrypted, over the open "
                                                          "network. Write https://",
                      goal->url, secret);
    }
    if (!strcmp(url.scheme, "https") && !lint->verified && is_public(w->p, url.host) != 0) {
        mcp_lint_tell(w->e->lint, "error", goal->way->at, "%s: its certificate is not looked at, so whoever is in between gets what "
                                                          "%s gives. Add: SSLProxyVerify require and SSLProxyCACertificateFile",
                      goal->url, secret);
    }
}

/* timeout= of a server. That of a balancer is another: how long to wait for a free one. */
static void timeouts(const mcp_lint_ways_t *w, const mcp_lint_goal_t *goal)
{
    const char *args = mcp_lint_rest(w->e->lint, goal->way->at, 0), *word;

    if (goal->way->at == goal->way->d && !ap_cstr_casecmpn(goal->way->target, "balancer:", 9)) {
        return;
    }
    while (*(word = ap_getword_conf(w->p, &args))) {
        if (!ap_cstr_casecmpn(word, "timeout=", 8) && mcp_lint_seconds(word + 8) < MCP_LINT_LEAST_TIMEOUT) {
            mcp_lint_tell(w->e->lint, "warning", goal->way->at, "%s: tools that take longer end in 504. Make it %d or more", word,
                          MCP_LINT_LEAST_TIMEOUT);
        }
    }
}

static void goals(const mcp_lint_ways_t *w)
{
    w->told->nelts = 0;
    for (int k = 0; k < w->goals->nelts; k++) {
        const mcp_lint_goal_t *goal = &APR_ARRAY_IDX(w->goals, k, mcp_lint_goal_t);

        if (!is_told(w, goal->way->at)) {
            encryption(w, goal);
            timeouts(w, goal);
        }
    }
}

void mcp_lint_ways(const mcp_lint_estate_t *e)
{
    mcp_lint_ways_t w = { .e = e, .p = e->lint->p, .told = apr_array_make(e->lint->p, 8, sizeof(const ap_directive_t *)) };

    mcp_lint_ways_find(&w);
    if (!e->unsure && !proxies_are_closed(e->lint)) {
        second_ways(&w, 1);
        second_ways(&w, 0);
    }
    exempted(&w);
    goals(&w);
}
