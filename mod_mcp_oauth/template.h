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

/* What a page is made of. */
typedef struct {
    const mcp_template_t *frame;
    const mcp_template_t *content; /* for {{>content}} */
    const char *style;             /* trusted text for {{>style}} */
    const json_t *common;          /* values of all pages; only read, so that threads may share them. May be NULL */
    const json_t *model;           /* values of this one: strings, numbers, booleans, and arrays of objects. The names in a
                                      row must be others than those around it */
    const mcp_messages_t *messages;
    const mcp_language_t *language;
} mcp_template_page_t;

/** Put out a page: its frame, with the content in it. */
void mcp_template_render(const mcp_template_page_t *page, mcp_template_sink_t *sink, void *baton);

/** A message as plain text, its placeholders filled in from @a model; for titles, not for HTML. */
char *mcp_message_format(apr_pool_t *p, const mcp_messages_t *messages,
                         const mcp_language_t *language, int index, const json_t *model);

#endif
