/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates that escape whatever they show.
 *
 *   {{name}}                 a value of the model, escaped for HTML, also within quoted attributes
 *   {{t.key}}                a message; its {placeholders} are values of the model
 *   {{#name}}...{{/name}}    once for each row of a list, or once when a value is there and not empty
 *   {{^name}}...{{/name}}    when it is not
 *   {{>content}} {{>style}}  in the frame: the page itself, and the style sheet
 *   {{! remark }}
 *
 * There is no way to put a value out unescaped. What cannot be right is refused when a template is
 * parsed, which is when httpd starts: names that the page does not have, values in places where
 * escaping does not protect (outside of quotes in a tag, in script or style, in on... attributes,
 * and in href or src unless the value is a URL of ours), and blocks that do not match.
 *
 * This is a part of the Mustache language, written here because neither Debian nor RHEL has a
 * library for it in C. Knows nothing of httpd.
 */

#ifndef MCP_TEMPLATE_H
#define MCP_TEMPLATE_H

#include <apr_pools.h>
#include <jansson.h>

#include "language.h"

#define MCP_TEMPLATE_MAX 65536 /* bytes of a template */

typedef struct mcp_template_t mcp_template_t;

/** Where output goes, piece by piece. */
typedef void mcp_template_sink_t(void *baton, const char *text, apr_size_t len);

/**
 * Parse a template.
 * @param file    its name, for what is said of it
 * @param names   the names that it may use, separated by blanks; "rows[a b]" is a list whose rows
 *                have the names a and b, "url!" a URL that may stand in href and src
 * @param partials  what may stand behind {{>: "content style" in the frame, else ""
 * @param why     set to what is wrong: file, line and mend
 * @return the template, in @a p, or NULL
 */
mcp_template_t *mcp_template_parse(apr_pool_t *p, const char *file, const char *text,
                                   const char *names, const char *partials,
                                   const mcp_messages_t *messages, const char **why);

/**
 * Put out a page: @a frame, with @a content in it.
 * @param style   trusted text for {{>style}}
 * @param common  values of all pages; only read, so that threads may share them. May be NULL
 * @param model   values of this one: strings, numbers, booleans, and arrays of objects. The names
 *                in a row must be others than those around it
 */
void mcp_template_render(const mcp_template_t *frame, const mcp_template_t *content,
                         const char *style, const json_t *common, const json_t *model,
                         const mcp_messages_t *messages, const mcp_language_t *language,
                         mcp_template_sink_t *sink, void *baton);

/** A message as plain text, its placeholders filled in from @a model; for titles, not for HTML. */
char *mcp_message_format(apr_pool_t *p, const mcp_messages_t *messages,
                         const mcp_language_t *language, int index, const json_t *model);

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
