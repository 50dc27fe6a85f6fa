/* SPDX-License-Identifier: Apache-2.0 */
/* The quick way to read JSON, inside of mcp_json.c only. */

#ifndef MCP_JSON_FAST_H
#define MCP_JSON_FAST_H

#include "mcp_json.h"

/**
 * What json_loadb(text, len, JSON_REJECT_DUPLICATES) answers for an object or array that is nested at most @a depth
 * levels, in a fifth of the time, or NULL when that is not certain: then, and only then, jansson has to be asked. The
 * caller owns the answer.
 * @param leave  see mcp_json_parse_but(); NULL: all is made into values
 * @param left   where that was left; after NULL was returned there is no sense in it
 */
json_t *mcp_json_read_fast(const char *text, apr_size_t len, int depth, const char *leave, apr_array_header_t *left);

#endif
