/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON on jansson: bounded, no duplicate members, tied to a pool. */

#ifndef MCP_JSON_H
#define MCP_JSON_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <jansson.h>

/**
 * Parse a JSON object of at most @a max bytes; duplicate members, NUL bytes in strings and trailing bytes are refused.
 * @return the object, released with @a p (the caller does not decref), or NULL
 */
json_t *mcp_json_parse(apr_pool_t *p, const char *text, apr_size_t len, apr_size_t max);

/**
 * Parse any JSON object or array, nested @a depth deep at most, with jansson's @a flags (JSON_REJECT_DUPLICATES...).
 * @return the value, released with @a p, or NULL
 */
json_t *mcp_json_parse_any(apr_pool_t *p, const char *text, apr_size_t len, int depth, size_t flags);

/* An object that was read and checked, but not made into values. */
typedef struct {
    const json_t *stub; /* an empty object that stands in its place */
    const char *text;   /* in the text that was read; with both braces */
    apr_size_t len;
} mcp_json_left_t;

/**
 * As mcp_json_parse_any() with JSON_REJECT_DUPLICATES, but objects that are a member called @a leave may stay text: what
 * few ask for costs less then. Their text can be parsed by mcp_json_parse_any() at the same depth and without an error.
 * @param left  of mcp_json_left_t, empty: gets those that stay; whatever is not in it was made into values
 */
json_t *mcp_json_parse_but(apr_pool_t *p, const char *text, apr_size_t len, int depth, const char *leave,
                           apr_array_header_t *left);

/**
 * As mcp_json_parse_any(), and integers beyond 64 bits, which occur in schemas, are no error: all
 * numbers become reals then.
 * @param reals  set to whether they did; may be NULL
 */
json_t *mcp_json_parse_wide(apr_pool_t *p, const char *text, apr_size_t len, int depth, size_t flags,
                            int *reals);

/** As json_equal(), but 1 and 1.0 are the same (mcp_json_parse_wide()). */
int mcp_json_same(const json_t *a, const json_t *b);

/** Hand a reference that the caller owns over to @a p. Returns @a json. */
json_t *mcp_json_own(apr_pool_t *p, json_t *json);

/** A string member without control characters, or NULL when absent, of another type or empty. */
const char *mcp_json_str(const json_t *object, const char *name);

/** An integer member (numbers as strings are accepted, E5/E6), or @a fallback; reals are cut, out of range refused. */
json_int_t mcp_json_int(const json_t *object, const char *name, json_int_t fallback);

/** Compact text of the object or array @a json in @a p; "null", which mcp_json_parse() refuses, for anything else. */
char *mcp_json_text(apr_pool_t *p, const json_t *json);

#endif
