/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the lint share: how to look at a directive, and how to tell of one. */

#ifndef MCP_LINT_IMPL_H
#define MCP_LINT_IMPL_H

#include <apr_pools.h>
#include <ap_regex.h>
#include <http_config.h>

typedef struct {
    apr_pool_t *p;
    int found;
    int verified;  /* somewhere SSLProxyVerify require: certificates of backends are looked at */
    int any_guard; /* somewhere AuthType MCP */
} mcp_lint_t;

/* A location, mostly one that asks for tokens. */
typedef struct {
    const ap_directive_t *d;    /* its AuthType MCP; of another section: the section */
    const ap_directive_t *host; /* NULL: the main server, so that each host has it */
    const char *path;           /* of a pattern: one that it begins with */
    const ap_regex_t *pattern;  /* NULL: it is the path and what is below */
} mcp_lint_place_t;

/* What the rules about several directives know. */
typedef struct {
    mcp_lint_t *lint;
    apr_array_header_t *places; /* mcp_lint_place_t */
    int unsure;                 /* something is guarded whose paths nobody knows here */
} mcp_lint_estate_t;

#define MCP_LINT_LEAST_TIMEOUT 30 /* seconds */

/** Print a finding. @param level  "error" or "warning"; @param d  where, NULL: nowhere in particular */
void mcp_lint_tell(mcp_lint_t *lint, const char *level, const ap_directive_t *d, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Is this the directive of that name? */
int mcp_lint_is(const ap_directive_t *d, const char *name);

/** The @a n th word of its arguments, from 0; "" where there are fewer. In the lint's pool. */
const char *mcp_lint_word(const mcp_lint_t *lint, const ap_directive_t *d, int n);

/** Rules that look at several directives of an estate together (mcp_lint_estate.c). */
void mcp_lint_estate(mcp_lint_t *lint);

/** The rest of its arguments, behind the first @a n words. */
const char *mcp_lint_rest(const mcp_lint_t *lint, const ap_directive_t *d, int n);

/** Does a directive of that name begin with this word, wherever it stands? */
int mcp_lint_somewhere(const mcp_lint_t *lint, const char *name, const char *first);

/** Seconds of a time such as 5 or 500ms; what is none counts as long enough. */
apr_int64_t mcp_lint_seconds(const char *text);

/** Rules about ways to a guarded MCP server (mcp_lint_open.c). */
void mcp_lint_ways(const mcp_lint_estate_t *e);

/** Rules about headers that httpd is told to change (mcp_lint_headers.c). */
void mcp_lint_headers(const mcp_lint_estate_t *e);

/** The rules about one directive that says what is logged (mcp_lint_logs.c). */
void mcp_lint_logs(mcp_lint_t *lint, const ap_directive_t *d);

/** The next directive of a name, wherever it stands, behind @a d; NULL: the first. NULL at the end. */
const ap_directive_t *mcp_lint_next(const ap_directive_t *d, const char *name);

/** The <VirtualHost that @a d stands in; NULL: the main server. */
const ap_directive_t *mcp_lint_host(const ap_directive_t *d);

/** The path of the <Location that @a d stands in. NULL: in none, or in one by an expression. */
const char *mcp_lint_path(const mcp_lint_t *lint, const ap_directive_t *d);

/** The section around @a d that is not a host; NULL: it is the whole host's. */
const ap_directive_t *mcp_lint_section(const ap_directive_t *d);

/** The words of a section's head, without the > at their end. */
const char *mcp_lint_head(const mcp_lint_t *lint, const ap_directive_t *section);

/** Is @a path @a base, or below it, as <Location has it? */
int mcp_lint_within(const char *path, const char *base);

/** Does a Require right in this section keep anybody out? 1 yes, 0 no, -1 there is none. */
int mcp_lint_closes(const mcp_lint_t *lint, const ap_directive_t *section);

/** What a <Location> or <LocationMatch> covers. 0: it is neither, or nobody knows here. */
int mcp_lint_place(const mcp_lint_t *lint, const ap_directive_t *section, mcp_lint_place_t *place);

/** Does it cover @a path? */
int mcp_lint_has(const mcp_lint_place_t *place, const char *path);

/** Does @a d stand behind @a first, of the same name, as sections are merged: those of a host behind those of the main server? */
int mcp_lint_behind(const ap_directive_t *d, const ap_directive_t *first);

/** What guards @a path in @a host (NULL: the main server); NULL: nothing. */
const mcp_lint_place_t *mcp_lint_guard(const mcp_lint_estate_t *e, const ap_directive_t *host, const char *path);

/** What a pattern begins with, as far as these are plain characters. */
const char *mcp_lint_literal(apr_pool_t *p, const char *pattern);

#endif
