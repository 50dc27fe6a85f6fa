/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates and messages, put out with the values of a model. */

#include "template_impl.h"

#include <string.h>

#include <apr_strings.h>

typedef struct {
    const mcp_template_t *content;
    const char *style;
    const mcp_messages_t *messages;
    const mcp_language_t *language;
    mcp_template_sink_t *sink;
    void *baton;
    const json_t *stack[2 * MCP_TEMPLATE_DEPTH + 3]; /* the model, and the rows that are being shown */
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

static void put_section(output_t *out, const mcp_template_t *template, int at, const mcp_node_t *node)
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
        const mcp_node_t *node = &APR_ARRAY_IDX(template->nodes, i, mcp_node_t);

        switch (node->kind) {
        case MCP_NODE_TEXT:
            out->sink(out->baton, node->text, node->len);
            break;
        case MCP_NODE_VALUE:
            text = value_text(find_value(out, node->text, strlen(node->text)), number);
            put_escaped(out, text, strlen(text));
            break;
        case MCP_NODE_MESSAGE:
            put_message(out, node->message, put_escaped);
            break;
        case MCP_NODE_SECTION:
            put_section(out, template, i, node);
            i = node->end - 1;
            break;
        case MCP_NODE_INVERTED:
            if (!is_there(find_value(out, node->text, strlen(node->text)))) {
                put_nodes(out, template, i + 1, node->end);
            }
            i = node->end - 1;
            break;
        case MCP_NODE_CONTENT:
            put_nodes(out, out->content, 0, out->content->nodes->nelts);
            break;
        case MCP_NODE_STYLE:
            out->sink(out->baton, out->style, strlen(out->style));
            break;
        }
    }
}

void mcp_template_render(const mcp_template_page_t *page, mcp_template_sink_t *sink, void *baton)
{
    output_t out = { 0 };

    out.content = page->content;
    out.style = page->style;
    out.messages = page->messages;
    out.language = page->language;
    out.sink = sink;
    out.baton = baton;
    out.stack[0] = page->common;
    out.stack[1] = page->model;
    out.depth = 1;
    put_nodes(&out, page->frame, 0, page->frame->nodes->nelts);
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
