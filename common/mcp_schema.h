/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded part of JSON Schema: enough to hold arguments of tools against, and nothing that can be
 * made to run for long.
 *
 * Checked are type, enum, const, properties, required, additionalProperties, items, minItems,
 * maxItems, minLength, maxLength (in code points), minimum, maximum, exclusiveMinimum and
 * exclusiveMaximum (as numbers), and true and false as schemas. All else says nothing here: $ref,
 * anyOf and its kin, and pattern, since httpd's regular expressions have no limit of time.
 * mcp_schema_unchecked() names what of a schema that is.
 */

#ifndef MCP_SCHEMA_H
#define MCP_SCHEMA_H

#include <apr_pools.h>
#include <jansson.h>

/* What is wrong with a value. */
typedef struct {
    const char *path; /* JSON pointer to it, "" for the whole */
    const char *what; /* such as "must be a string" */
} mcp_schema_error_t;

/**
 * Does @a value fulfil @a schema, as far as that is checked? Both nest as deeply as their parser
 * let them, which bounds the recursion.
 * @param value  NULL: not there, which is an error where something is required of it
 * @return 1, or 0 with *err set, in @a p
 */
int mcp_schema_check(apr_pool_t *p, const json_t *schema, const json_t *value,
                     mcp_schema_error_t *err);

/**
 * The keywords of a schema that are not checked, with where they stand: "/properties/a pattern,
 * ...". What only describes (title, default...) is not among them.
 * @return "" when all of it is checked
 */
const char *mcp_schema_unchecked(apr_pool_t *p, const json_t *schema);

#endif
