/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded: queries and bodies, with duplicates told apart (T28). */

#ifndef MCP_FORM_H
#define MCP_FORM_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_tables.h>

#define MCP_FORM_MAX_FIELDS 64

/**
 * Parse @a len bytes into @a form (case-sensitive names; look up with mcp_form_get). Invalid percent-encoding, NUL
 * bytes, invalid UTF-8 and more than MCP_FORM_MAX_FIELDS fields are refused. Only "&" separates (T44).
 * @return APR_SUCCESS or APR_EINVAL
 */
apr_status_t mcp_form_parse(apr_pool_t *p, const char *text, apr_size_t len, apr_array_header_t **form);

/** The one value of @a name; NULL when absent. The first when there are several: check mcp_form_duplicate first. */
const char *mcp_form_get(const apr_array_header_t *form, const char *name);

/** A name that occurs twice, or NULL. */
const char *mcp_form_duplicate(const apr_array_header_t *form);

#endif
