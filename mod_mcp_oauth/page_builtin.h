/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in pages and messages, which page_builtin.c holds. */

#ifndef MCP_PAGE_BUILTIN_H
#define MCP_PAGE_BUILTIN_H

typedef struct {
    const char *name; /* of the file, such as consent.html */
    const char *text;
} mcp_builtin_page_t;

typedef struct {
    const char *id;
    const char *const *texts; /* in the order of the keys; NULL: as in English */
    int rtl;
} mcp_builtin_language_t;

extern const mcp_builtin_page_t mcp_builtin_pages[];         /* ends with a NULL name */
extern const char *const mcp_builtin_keys[];                 /* ends with NULL */
extern const mcp_builtin_language_t mcp_builtin_languages[]; /* English first; NULL id ends */

#endif
