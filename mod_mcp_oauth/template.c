/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates, parsed once into a flat list of nodes. */

#include "template_impl.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

/* A block that is open: its rows add names. */
typedef struct {
    const char *name;
    const char *names; /* "" when it adds none */
    int node;
    int line;
    mcp_html_t at;
} block_t;

typedef struct {
    apr_pool_t *p;
    const char *file;
    const char *partials;
    const mcp_messages_t *messages;
    apr_array_header_t *nodes;
    block_t blocks[MCP_TEMPLATE_DEPTH + 1]; /* the first stands for the template itself */
    int depth;
    int line;
    mcp_html_t at;
} parser_t;

static mcp_node_t *add(parser_t *parser, mcp_node_e kind, const char *text, apr_size_t len)
{
    mcp_node_t *node = apr_array_push(parser->nodes);

    memset(node, 0, sizeof(*node));
    node->kind = kind;
    node->text = text;
    node->len = len;
    return node;
}

static const char *complain(parser_t *parser, const char *what, const char *name, apr_size_t len)
{
    return name ? apr_psprintf(parser->p, "%s line %d: {{%.*s}}: %s", parser->file, parser->line,
                               len > 64 ? 64 : (int)len, name, what)
                : apr_psprintf(parser->p, "%s line %d: %s", parser->file, parser->line, what);
}

/* Is there a value called so here? The names of all open blocks count. */
static int find_name(const parser_t *parser, const char *name, apr_size_t len, int *url,
                     const char **rows)
{
    for (int i = parser->depth; i >= 0; i--) {
        if (mcp_names_find(parser->blocks[i].names, name, len, url, rows)) {
            return 1;
        }
    }
    return 0;
}

/* "known here: a b c", for an unknown name */
static const char *unknown(parser_t *parser, const char *name, apr_size_t len)
{
    const char *known = "";

    for (int i = parser->depth; i >= 0; i--) {
        const char *names = parser->blocks[i].names;
        int depth = 0;

        for (const char *s = names; *s && !(depth == 0 && *s == ']'); s++) {
            apr_size_t n = strcspn(s, " []!");

            depth += *s == '[' ? 1 : *s == ']' ? -1
                                               : 0;
            if (n) {
                known = depth ? known : apr_psprintf(parser->p, "%s %.*s", known, (int)n, s);
                s += n - 1;
            }
        }
    }
    return complain(parser, apr_pstrcat(parser->p, "there is no such value here. Known are:", known, NULL),
                    name, len);
}

static const char *parse_message(parser_t *parser, const char *inner, apr_size_t len)
{
    int index = mcp_message_find(parser->messages, inner + 2, len - 2), url;
    const char *why, *text, *name, *rows;
    apr_size_t n;

    if (index < 0) {
        return complain(parser, "there is no such message: see the keys of messages/en.json", inner,
                        len);
    }
    why = mcp_html_value(&parser->at, 0);
    if (why) {
        return complain(parser, why, inner, len);
    }
    text = mcp_message_text(parser->messages,
                            &APR_ARRAY_IDX(parser->messages->languages, 0, mcp_language_t), index);
    while (mcp_message_placeholder(text, &name, &n, &text)) {
        if (!find_name(parser, name, n, &url, &rows)) {
            return complain(parser,
                            apr_psprintf(parser->p,
                                         "this message shows {%.*s}, which does not exist here: "
                                         "move it to where it does",
                                         (int)n, name),
                            inner, len);
        }
    }
    add(parser, MCP_NODE_MESSAGE, NULL, 0)->message = index;
    parser->at.len++;
    return NULL;
}

static const char *parse_open(parser_t *parser, mcp_node_e kind, const char *name, apr_size_t len)
{
    const char *rows;
    block_t *block;
    int url;

    if (!find_name(parser, name, len, &url, &rows)) {
        return unknown(parser, name, len);
    }
    if (parser->depth == MCP_TEMPLATE_DEPTH) {
        return complain(parser, "too many blocks within blocks", name, len);
    }
    block = &parser->blocks[++parser->depth];
    block->name = apr_pstrmemdup(parser->p, name, len);
    block->names = kind == MCP_NODE_SECTION && rows ? rows : "";
    block->node = parser->nodes->nelts;
    block->line = parser->line;
    block->at = parser->at;
    add(parser, kind, block->name, 0);
    return NULL;
}

static const char *parse_close(parser_t *parser, const char *name, apr_size_t len)
{
    block_t *block = &parser->blocks[parser->depth];

    if (!parser->depth || strlen(block->name) != len || strncmp(block->name, name, len)) {
        return complain(parser,
                        parser->depth ? apr_psprintf(parser->p, "{{/%s}} is awaited here, for the block of "
                                                                "line %d",
                                                     block->name, block->line)
                                      : "no block is open here",
                        name, len);
    }
    if (block->at.place != parser->at.place || block->at.quote != parser->at.quote) {
        return complain(parser,
                        "the block ends in another place than it began: open and close tags and "
                        "quotes within the block",
                        name, len);
    }
    APR_ARRAY_IDX(parser->nodes, block->node, mcp_node_t).end = parser->nodes->nelts;
    parser->depth--;
    return NULL;
}

static const char *parse_partial(parser_t *parser, const char *name, apr_size_t len)
{
    int url, is_style = len == 5 && !strncmp(name, "style", 5);
    const char *rows;

    if (!mcp_names_find(parser->partials, name, len, &url, &rows)) {
        return complain(parser, "only {{>content}} and {{>style}} exist, in frame.html", name, len);
    }
    if (is_style != (parser->at.place == MCP_HTML_STYLE)
        || (!is_style && parser->at.place != MCP_HTML_TEXT)) {
        return complain(parser, "{{>style}} stands in <style>...</style>, {{>content}} in the body",
                        name, len);
    }
    add(parser, is_style ? MCP_NODE_STYLE : MCP_NODE_CONTENT, NULL, 0);
    return NULL;
}

/* What stands between the braces. */
static const char *parse_tag(parser_t *parser, const char *inner, apr_size_t len)
{
    const char *why, *rows, *name;
    char sign = '\0';
    int url;

    while (len && apr_isspace(*inner)) {
        inner++;
        len--;
    }
    while (len && apr_isspace(inner[len - 1])) {
        len--;
    }
    if (len && strchr("#^/>!&{", *inner)) {
        sign = *inner++;
        len--;
    }
    for (; sign && sign != '!' && len && apr_isspace(*inner); inner++) {
        len--;
    }
    switch (sign) {
    case '!':
        return NULL;
    case '#':
        return parse_open(parser, MCP_NODE_SECTION, inner, len);
    case '^':
        return parse_open(parser, MCP_NODE_INVERTED, inner, len);
    case '/':
        return parse_close(parser, inner, len);
    case '>':
        return parse_partial(parser, inner, len);
    case '&':
    case '{':
        return complain(parser, "values are always escaped: write {{name}}", inner, len);
    default:
        break;
    }
    if (len > 2 && !strncmp(inner, "t.", 2)) {
        return parse_message(parser, inner, len);
    }
    if (!find_name(parser, inner, len, &url, &rows)) {
        return unknown(parser, inner, len);
    }
    why = rows ? "this is a list: use {{#name}}...{{/name}}" : mcp_html_value(&parser->at, url);
    if (why) {
        return complain(parser, why, inner, len);
    }
    name = apr_pstrmemdup(parser->p, inner, len);
    add(parser, MCP_NODE_VALUE, name, 0);
    parser->at.len++;
    return NULL;
}

static const char *parse_literal(parser_t *parser, const char *text, apr_size_t len)
{
    const char *why;

    if (!len) {
        return NULL;
    }
    add(parser, MCP_NODE_TEXT, text, len);
    why = mcp_html_literal(&parser->at, text, len);
    for (apr_size_t i = 0; i < len; i++) {
        parser->line += text[i] == '\n';
    }
    return why ? complain(parser, why, NULL, 0) : NULL;
}

static const char *parse(parser_t *parser, const char *text)
{
    const char *why;

    for (;;) {
        const char *open = strstr(text, "{{"), *close;

        why = parse_literal(parser, text, open ? (apr_size_t)(open - text) : strlen(text));
        if (why || !open) {
            break;
        }
        close = strstr(open + 2, "}}");
        if (!close) {
            return complain(parser, "{{ without }}", NULL, 0);
        }
        why = parse_tag(parser, open + 2, close - open - 2);
        if (why) {
            return why;
        }
        for (const char *s = open; s < close; s++) {
            parser->line += *s == '\n';
        }
        text = close + 2;
    }
    if (!why && parser->depth) {
        why = complain(parser, apr_psprintf(parser->p, "the block {{#%s}} of line %d is not closed", parser->blocks[parser->depth].name, parser->blocks[parser->depth].line),
                       NULL, 0);
    }
    if (!why && parser->at.place != MCP_HTML_TEXT) {
        why = complain(parser, "a tag, quote or comment is not closed", NULL, 0);
    }
    return why;
}

mcp_template_t *mcp_template_parse(apr_pool_t *p, const char *file, const char *text,
                                   const char *names, const char *partials,
                                   const mcp_messages_t *messages, const char **why)
{
    mcp_template_t *template = apr_palloc(p, sizeof(*template));
    parser_t parser = { 0 };

    parser.p = p;
    parser.file = file;
    parser.partials = partials;
    parser.messages = messages;
    parser.line = 1;
    parser.nodes = apr_array_make(p, 64, sizeof(mcp_node_t));
    parser.blocks[0].names = names;
    *why = parse(&parser, text);
    template->nodes = parser.nodes;
    return *why ? NULL : template;
}
