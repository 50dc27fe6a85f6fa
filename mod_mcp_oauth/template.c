/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates: parsed once into a flat list of nodes, and put out from there. */

#include "template.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define DEPTH_MAX 6 /* blocks within blocks */

typedef enum {
    NODE_TEXT,
    NODE_VALUE,
    NODE_MESSAGE,
    NODE_SECTION,  /* {{# */
    NODE_INVERTED, /* {{^ */
    NODE_CONTENT,
    NODE_STYLE
} node_e;

typedef struct {
    node_e kind;
    const char *text; /* literal text, or a name */
    apr_size_t len;   /* of literal text */
    int message;      /* index of the message */
    int end;          /* of a block: the node behind it */
} node_t;

struct mcp_template_t {
    apr_array_header_t *nodes;
};

/* ---- parsing ---- */

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
    block_t blocks[DEPTH_MAX + 1]; /* the first stands for the template itself */
    int depth;
    int line;
    mcp_html_t at;
} parser_t;

static node_t *add(parser_t *parser, node_e kind, const char *text, apr_size_t len)
{
    node_t *node = apr_array_push(parser->nodes);

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
    add(parser, NODE_MESSAGE, NULL, 0)->message = index;
    parser->at.len++;
    return NULL;
}

static const char *parse_open(parser_t *parser, node_e kind, const char *name, apr_size_t len)
{
    const char *rows;
    block_t *block;
    int url;

    if (!find_name(parser, name, len, &url, &rows)) {
        return unknown(parser, name, len);
    }
    if (parser->depth == DEPTH_MAX) {
        return complain(parser, "too many blocks within blocks", name, len);
    }
    block = &parser->blocks[++parser->depth];
    block->name = apr_pstrmemdup(parser->p, name, len);
    block->names = kind == NODE_SECTION && rows ? rows : "";
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
    APR_ARRAY_IDX(parser->nodes, block->node, node_t).end = parser->nodes->nelts;
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
    add(parser, is_style ? NODE_STYLE : NODE_CONTENT, NULL, 0);
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
        return parse_open(parser, NODE_SECTION, inner, len);
    case '^':
        return parse_open(parser, NODE_INVERTED, inner, len);
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
    add(parser, NODE_VALUE, name, 0);
    parser->at.len++;
    return NULL;
}

static const char *parse_literal(parser_t *parser, const char *text, apr_size_t len)
{
    const char *why;

    if (!len) {
        return NULL;
    }
    add(parser, NODE_TEXT, text, len);
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
    parser.nodes = apr_array_make(p, 64, sizeof(node_t));
    parser.blocks[0].names = names;
    *why = parse(&parser, text);
    template->nodes = parser.nodes;
    return *why ? NULL : template;
}

/* ---- putting out ---- */

typedef struct {
    const mcp_template_t *content;
    const char *style;
    const mcp_messages_t *messages;
    const mcp_language_t *language;
    mcp_template_sink_t *sink;
    void *baton;
    const json_t *stack[2 * DEPTH_MAX + 3]; /* the model, and the rows that are being shown */
    int depth;
} output_t;

static void put_escaped(output_t *out, const char *text, apr_size_t len)
{
    for (const char *end = text + len; text < end; text++) {
        const char *entity;
        apr_size_t n = 0;

        while (text + n < end && !strchr("&<>\"'", text[n])) {
            n++;
        }
        if (n) {
            out->sink(out->baton, text, n);
            text += n - 1;
            continue;
        }
        switch (*text) {
        case '&':
            entity = "&amp;";
            break;
        case '<':
            entity = "&lt;";
            break;
        case '>':
            entity = "&gt;";
            break;
        case '"':
            entity = "&quot;";
            break;
        default:
            entity = "&#39;";
            break;
        }
        out->sink(out->baton, entity, strlen(entity));
    }
}

#define NAME_MAX_LEN 32 /* bytes of a name; longer ones are not found */

/* In the row that is being shown, in those around it, in the model: names are distinct. */
static const json_t *find_value(const output_t *out, const char *name, apr_size_t len)
{
    char key[NAME_MAX_LEN + 1];

    if (len > NAME_MAX_LEN) {
        return NULL;
    }
    apr_cpystrn(key, name, len + 1);
    for (int i = out->depth; i >= 0; i--) {
        const json_t *value = json_object_get(out->stack[i], key);

        if (value) {
            return value;
        }
    }
    return NULL;
}

/* A value as text; a number is written into @a number. */
static const char *value_text(const json_t *value, char number[24])
{
    if (json_is_integer(value)) {
        apr_snprintf(number, 24, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
        return number;
    }
    return json_is_string(value) ? json_string_value(value) : "";
}

static int is_there(const json_t *value)
{
    return json_is_array(value)    ? json_array_size(value) > 0
           : json_is_string(value) ? *json_string_value(value) != '\0'
                                   : value && !json_is_null(value) && !json_is_false(value);
}

static int is_ascii(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text >= 0x80) {
            return 0;
        }
    }
    return 1;
}

/* A message: its text, and its values, which stand in isolates where they could disturb the order
 * of what is around them (Unicode TR 9: FSI and PDI), as a name in another script does. */
static void put_message(output_t *out, int index,
                        void (*put)(output_t *out, const char *text, apr_size_t len))
{
    const char *text = mcp_message_text(out->messages, out->language, index), *open, *name, *rest;
    apr_size_t len;
    char number[24];

    while ((open = mcp_message_placeholder(text, &name, &len, &rest))) {
        const char *value = value_text(find_value(out, name, len), number);
        int isolated = out->language->rtl || !is_ascii(value);

        put(out, text, open - text);
        put(out, "\xE2\x81\xA8", isolated ? 3 : 0);
        put(out, value, strlen(value));
        put(out, "\xE2\x81\xA9", isolated ? 3 : 0);
        text = rest;
    }
    put(out, text, strlen(text));
}

static void put_nodes(output_t *out, const mcp_template_t *template, int from, int to);

static void put_section(output_t *out, const mcp_template_t *template, int at, const node_t *node)
{
    const json_t *value = find_value(out, node->text, strlen(node->text)), *row;
    size_t i;

    if (!is_there(value)) {
        return;
    }
    if (!json_is_array(value)) {
        put_nodes(out, template, at + 1, node->end);
        return;
    }
    out->depth++;
    for (i = 0; i < json_array_size(value); i++) {
        row = json_array_get(value, i);
        out->stack[out->depth] = row;
        put_nodes(out, template, at + 1, node->end);
    }
    out->depth--;
}

static void put_nodes(output_t *out, const mcp_template_t *template, int from, int to)
{
    const char *text;
    char number[24];

    for (int i = from; i < to; i++) {
        const node_t *node = &APR_ARRAY_IDX(template->nodes, i, node_t);

        switch (node->kind) {
        case NODE_TEXT:
            out->sink(out->baton, node->text, node->len);
            break;
        case NODE_VALUE:
            text = value_text(find_value(out, node->text, strlen(node->text)), number);
            put_escaped(out, text, strlen(text));
            break;
        case NODE_MESSAGE:
            put_message(out, node->message, put_escaped);
            break;
        case NODE_SECTION:
            put_section(out, template, i, node);
            i = node->end - 1;
            break;
        case NODE_INVERTED:
            if (!is_there(find_value(out, node->text, strlen(node->text)))) {
                put_nodes(out, template, i + 1, node->end);
            }
            i = node->end - 1;
            break;
        case NODE_CONTENT:
            put_nodes(out, out->content, 0, out->content->nodes->nelts);
            break;
        case NODE_STYLE:
            out->sink(out->baton, out->style, strlen(out->style));
            break;
        }
    }
}

void mcp_template_render(const mcp_template_t *frame, const mcp_template_t *content,
                         const char *style, const json_t *common, const json_t *model,
                         const mcp_messages_t *messages, const mcp_language_t *language,
                         mcp_template_sink_t *sink, void *baton)
{
    output_t out = { 0 };

    out.content = content;
    out.style = style;
    out.messages = messages;
    out.language = language;
    out.sink = sink;
    out.baton = baton;
    out.stack[0] = common;
    out.stack[1] = model;
    out.depth = 1;
    put_nodes(&out, frame, 0, frame->nodes->nelts);
}

/* ---- a message as plain text ---- */

typedef struct {
    apr_pool_t *p;
    char *text;
} plain_t;

static void append(void *baton, const char *text, apr_size_t len)
{
    plain_t *plain = baton;

    plain->text = apr_pstrcat(plain->p, plain->text, apr_pstrmemdup(plain->p, text, len), NULL);
}

static void put_plain(output_t *out, const char *text, apr_size_t len)
{
    out->sink(out->baton, text, len);
}

char *mcp_message_format(apr_pool_t *p, const mcp_messages_t *messages,
                         const mcp_language_t *language, int index, const json_t *model)
{
    plain_t plain = { p, apr_pstrdup(p, "") };
    output_t out = { 0 };

    out.messages = messages;
    out.language = language;
    out.sink = append;
    out.baton = &plain;
    out.stack[0] = model;
    put_message(&out, index, put_plain);
    return plain.text;
}
