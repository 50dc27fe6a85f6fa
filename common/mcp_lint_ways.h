/* SPDX-License-Identifier: Apache-2.0 */
/* Ways from paths of hosts to backends, as the directives of httpd make them. */

#ifndef MCP_LINT_WAYS_H
#define MCP_LINT_WAYS_H

#include "mcp_lint_impl.h"

/* Who is asked first where several take a path: mod_rewrite, then what a <Location> says, then the list of the host. */
typedef enum { MCP_LINT_REWRITE,
               MCP_LINT_SECTION,
               MCP_LINT_HOST } mcp_lint_rank_e;

/* What leads from paths of a host to a backend. */
typedef struct {
    const ap_directive_t *d;    /* what makes it */
    const ap_directive_t *at;   /* where its URL stands: d, or a BalancerMember */
    const ap_directive_t *host; /* NULL: the main server */
    mcp_lint_rank_e rank;
    const char *path;          /* what it takes, and what is below; NULL: a pattern */
    const ap_regex_t *pattern; /* NULL: a path */
    const char *written;       /* the pattern */
    const char *target;        /* $1 and so on stand for what the pattern's groups took; "!": to none */
    int whole;                 /* the target is all of the URL, whatever the path */
    int asked;                 /* by a condition, which nobody understands here */
} mcp_lint_way_t;

/* A URL that a guarded path leads to. */
typedef struct {
    const mcp_lint_way_t *way;
    const ap_directive_t *host;
    const char *path, *url;
} mcp_lint_goal_t;

typedef struct {
    const mcp_lint_estate_t *e;
    apr_pool_t *p;
    apr_array_header_t *ways;  /* mcp_lint_way_t */
    apr_array_header_t *hosts; /* const ap_directive_t *: which get requests; NULL: the main server */
    apr_array_header_t *goals; /* mcp_lint_goal_t */
    apr_array_header_t *told;  /* const ap_directive_t *: once is enough */
} mcp_lint_ways_t;

/** Fill ways, hosts and goals. */
void mcp_lint_ways_find(mcp_lint_ways_t *w);

/** Is @a way one of those that requests to @a host may take? */
int mcp_lint_way_serves(const mcp_lint_ways_t *w, const ap_directive_t *host, const mcp_lint_way_t *way);

/** Where @a way takes @a path to; NULL: not its path. */
const char *mcp_lint_way_end(apr_pool_t *p, const mcp_lint_way_t *way, const char *path);

/** Is @a way the one that a request for @a path to @a host takes? */
int mcp_lint_way_taken(const mcp_lint_ways_t *w, apr_pool_t *p, const ap_directive_t *host, const char *path,
                       const mcp_lint_way_t *way);

#endif
