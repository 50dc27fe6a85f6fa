/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the lint share: how to look at a directive, and how to tell of one. */

#ifndef MCP_LINT_IMPL_H
#define MCP_LINT_IMPL_H

#include <apr_pools.h>
#include <http_config.h>

typedef struct {
    apr_pool_t *p;
    int found;
    int verified;  /* somewhere SSLProxyVerify require: certificates of backends are looked at */
    int any_guard; /* somewhere AuthType MCP */
} mcp_lint_t;

/** Print a finding. @param level  "error" or "warning"; @param d  where, NULL: nowhere in particular */
void mcp_lint_tell(mcp_lint_t *lint, const char *level, const ap_directive_t *d, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** Is this the directive of that name? */
int mcp_lint_is(const ap_directive_t *d, const char *name);

/** The @a n th word of its arguments, from 0; "" where there are fewer. In the lint's pool. */
const char *mcp_lint_word(const mcp_lint_t *lint, const ap_directive_t *d, int n);

/** Rules that look at several directives of an estate together (mcp_lint_estate.c). */
void mcp_lint_estate(mcp_lint_t *lint);

/** Rules about what is logged (mcp_lint_logs.c). */
void mcp_lint_logs(mcp_lint_t *lint);

/** All directives of a name, wherever they stand: const ap_directive_t *. */
apr_array_header_t *mcp_lint_all(const mcp_lint_t *lint, const char *name);

/** The next directive of a name, wherever it stands, behind @a d; NULL: the first. NULL at the end. */
const ap_directive_t *mcp_lint_next(const ap_directive_t *d, const char *name);

/** The <VirtualHost that @a d stands in; NULL: the main server. */
const ap_directive_t *mcp_lint_host(const ap_directive_t *d);

#endif
