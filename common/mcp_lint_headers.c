/* SPDX-License-Identifier: Apache-2.0 */
/* The lint's rules about mod_headers: what takes away from our answers, or from what the guard gives, that somebody needs. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>

#include "mcp_lint_impl.h"

/* A Header or RequestHeader, taken apart. */
typedef struct {
    const ap_directive_t *d;
    int always;
    const char *action, *name, *rest;
} change_t;

static change_t change_of(const mcp_lint_t *lint, const ap_directive_t *d)
{
    change_t change = { .d = d };
    const char *first = mcp_lint_word(lint, d, 0);
    apr_size_t len;
    int n;

    change.always = !ap_cstr_casecmp(first, "always");
    n = change.always || !ap_cstr_casecmp(first, "onsuccess");
    change.action = mcp_lint_word(lint, d, n);
    change.name = mcp_lint_word(lint, d, n + 1);
    change.rest = mcp_lint_rest(lint, d, n + 2);
    len = strlen(change.name);
    if (len && change.name[len - 1] == ':') {
        change.name = apr_pstrmemdup(lint->p, change.name, len - 1);
    }
    return change;
}

/* Does it put something else in the place of what was there? */
static int replaces(const change_t *change)
{
    return !ap_cstr_casecmp(change->action, "unset") || !ap_cstr_casecmp(change->action, "set")
           || !ap_cstr_casecmpn(change->action, "edit", 4);
}

/* Somebody thought of when. */
static int is_conditional(const change_t *change)
{
    return ap_strstr_c(change->rest, "env=") || ap_strstr_c(change->rest, "expr=");
}

/* Does it reach a guarded path? NULL: no, or nobody knows here. */
static const char *guarded(const mcp_lint_estate_t *e, const ap_directive_t *d)
{
    const char *path = mcp_lint_path(e->lint, d);
    const ap_directive_t *host = mcp_lint_host(d);

    for (int i = 0; (path || !mcp_lint_section(d)) && i < e->places->nelts; i++) {
        const mcp_lint_place_t *place = &APR_ARRAY_IDX(e->places, i, mcp_lint_place_t);

        if ((!host || !place->host || host == place->host)
            && (!path || mcp_lint_within(place->path, path) || mcp_lint_within(path, place->path))) {
            return place->path;
        }
    }
    return NULL;
}

/* Does it reach the endpoints of an authorization server? */
static int is_of_oauth(const mcp_lint_estate_t *e, const ap_directive_t *d)
{
    const ap_directive_t *oauth, *host = mcp_lint_host(d);
    const char *path = mcp_lint_path(e->lint, d);

    for (oauth = mcp_lint_next(NULL, "MCPOAuth"); oauth; oauth = mcp_lint_next(oauth, "MCPOAuth")) {
        if (!ap_cstr_casecmp(mcp_lint_word(e->lint, oauth, 0), "on")
            && (!host || !mcp_lint_host(oauth) || host == mcp_lint_host(oauth))) {
            return path ? !strcmp(path, "/") : !mcp_lint_section(d);
        }
    }
    return 0;
}

static void answers(const mcp_lint_estate_t *e, const change_t *change)
{
    const char *path;

    if (!replaces(change) || is_conditional(change)) {
        return;
    }
    if (change->always && !ap_cstr_casecmp(change->name, "WWW-Authenticate") && (path = guarded(e, change->d))) {
        mcp_lint_tell(e->lint, "error", change->d, "Header always %s WWW-Authenticate for %s: it tells clients where people sign in, "
                                                   "and they get no further without. Take the line out",
                      change->action, path);
    }
    if (!change->always && !ap_cstr_casecmp(change->name, "Content-Security-Policy") && is_of_oauth(e, change->d)) {
        mcp_lint_tell(e->lint, "warning", change->d, "Header %s Content-Security-Policy: the consent page loses its own, which lets "
                                                     "nobody frame it. Put the line into a <Location> of what it is for",
                      change->action);
    }
    if (change->always && !ap_cstr_casecmp(change->name, "Cache-Control") && !ap_strcasestr(change->rest, "no-store")
        && is_of_oauth(e, change->d)) {
        mcp_lint_tell(e->lint, "error", change->d, "Header always %s Cache-Control: answers with tokens lose their no-store, and caches "
                                                   "may keep them. Put the line into a <Location> of what it is for",
                      change->action);
    }
}

static void requests(const mcp_lint_estate_t *e, const change_t *change)
{
    const char *path = guarded(e, change->d);
    int early = ap_strcasestr(change->rest, "early") != NULL;

    if (path && !ap_cstr_casecmpn(change->name, "X-MCP-", 6) && ap_cstr_casecmp(change->action, "unset")) {
        mcp_lint_tell(e->lint, "warning", change->d, "RequestHeader %s %s: names that begin with X-MCP- are the guard's own, and what "
                                                     "else they say never reaches the MCP server of %s. Give it another name",
                      change->action, change->name, path);
    }
    if (path && early && replaces(change) && !ap_cstr_casecmp(change->name, "Authorization")) {
        mcp_lint_tell(e->lint, "error", change->d, "RequestHeader %s Authorization, early: the guard of %s never sees a token. Take out "
                                                   "early",
                      change->action, path);
    }
}

void mcp_lint_headers(const mcp_lint_estate_t *e)
{
    const ap_directive_t *d;

    for (d = mcp_lint_next(NULL, "Header"); d; d = mcp_lint_next(d, "Header")) {
        change_t change = change_of(e->lint, d);

        answers(e, &change);
    }
    for (d = mcp_lint_next(NULL, "RequestHeader"); d; d = mcp_lint_next(d, "RequestHeader")) {
        change_t change = change_of(e->lint, d);

        requests(e, &change);
    }
}
