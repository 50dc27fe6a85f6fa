/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the templates share: template.c parses, template_check.c says what it refuses, template_render.c
 * puts out. */

#ifndef MCP_TEMPLATE_IMPL_H
#define MCP_TEMPLATE_IMPL_H

#include <apr_tables.h>

#include "template.h"

/* ---- what parsing makes ---- */

#define MCP_TEMPLATE_DEPTH 6 /* blocks within blocks */

typedef enum {
    MCP_NODE_TEXT,
    MCP_NODE_VALUE,
    MCP_NODE_MESSAGE,
    MCP_NODE_SECTION,  /* {{# */
    MCP_NODE_INVERTED, /* {{^ */
    MCP_NODE_CONTENT,
    MCP_NODE_STYLE
} mcp_node_e;

typedef struct {
    mcp_node_e kind;
    const char *text; /* literal text, or a name */
    apr_size_t len;   /* of literal text */
    int message;      /* index of the message */
    int end;          /* of a block: the node behind it */
} mcp_node_t;

struct mcp_template_t {
    apr_array_header_t *nodes;
};

/* ---- what parsing checks (template_check.c) ---- */

/* Place in the HTML that literal text has led to. */
typedef struct {
    enum {
        MCP_HTML_TEXT,
        MCP_HTML_TAG,
        MCP_HTML_VALUE,
        MCP_HTML_COMMENT,
        MCP_HTML_STYLE
    } place;
    char quote;         /* in a value */
    char element[16];   /* name of the element, lower case, cut */
    char attribute[16]; /* name of the attribute, lower case, cut */
    apr_size_t len;     /* bytes of the value or name so far */
    int naming;         /* the name of the tag is being read */
} mcp_html_t;

/** Go on over literal text. NULL, or what in it is refused. */
const char *mcp_html_literal(mcp_html_t *at, const char *text, apr_size_t len);

/** May a value stand here? NULL, or why not. @param is_url  it is a URL of ours */
const char *mcp_html_value(const mcp_html_t *at, int is_url);

/**
 * Look @a name up among @a names (see mcp_template_parse).
 * @param url   set when it is marked as a URL
 * @param rows  set to the names of its rows, NULL when it is no list
 */
int mcp_names_find(const char *names, const char *name, apr_size_t len, int *url,
                   const char **rows);

#endif
