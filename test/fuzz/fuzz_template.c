/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates (T9) and the choice of a language. First line: Accept-Language. Second: a value. The rest: a template.
 * Whatever template is accepted, a value puts out as many characters that mean something in HTML as "x" does: none. */

#include "fuzz.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "page_builtin.h"
#include "template.h"

/* Characters that mean something in HTML, apart from the ampersands of references. */
static void count(void *baton, const char *text, apr_size_t len)
{
    unsigned *found = baton;

    for (apr_size_t i = 0; i < len; i++) {
        *found += text[i] && strchr("<>\"'", text[i]) != NULL;
    }
}

static json_t *model_of(apr_pool_t *p, const char *value)
{
    json_t *rows = json_array(), *row = json_object(), *deep = json_array(), *leaf = json_object();
    json_t *model = mcp_json_own(p, json_object());

    json_object_set_new(model, "client", json_string_nocheck(value));
    json_object_set_new(model, "url", json_string_nocheck(value));
    json_object_set_new(row, "text", json_string_nocheck(value));
    json_object_set_new(leaf, "leaf", json_integer(7));
    json_array_append_new(deep, leaf);
    json_object_set_new(row, "deep", deep);
    json_array_append_new(rows, row);
    json_object_set_new(model, "rows", rows);
    return model;
}

static char *next_line(char **text)
{
    char *line = *text, *end = strchr(line, '\n');

    *text = end ? end + 1 : line + strlen(line);
    if (end) {
        *end = '\0';
    }
    return line;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    char *text = fuzz_string(p, data, size), *accept = next_line(&text), *value = next_line(&text);
    const mcp_language_t *language;
    mcp_messages_t messages = { 0 };
    mcp_template_t *template;
    const char *why = NULL;
    unsigned harmless = 0, found = 0;

    messages.keys = mcp_builtin_keys;
    while (mcp_builtin_keys[messages.count]) {
        messages.count++;
    }
    messages.languages = apr_array_make(p, 10, sizeof(mcp_language_t));
    for (const mcp_builtin_language_t *b = mcp_builtin_languages; b->id; b++) {
        mcp_language_t *one = apr_array_push(messages.languages);

        one->id = b->id;
        one->texts = b->texts;
        one->rtl = b->rtl;
    }
    language = mcp_language_choose(&messages, accept, accept);
    REQUIRE(language && mcp_language_find(&messages, language->id, strlen(language->id)));

    template = mcp_template_parse(p, "template", text, "client resource url! rows[text deep[leaf]]",
                                  "", &messages, &why);
    REQUIRE(!template == (why != NULL));
    if (template && *value) {
        mcp_template_page_t page = {
            .frame = template, .content = template, .style = "", .messages = &messages, .language = language
        };

        page.model = model_of(p, "x");
        mcp_template_render(&page, count, &harmless);
        page.model = model_of(p, value);
        mcp_template_render(&page, count, &found);
        REQUIRE(found == harmless);
    }
    apr_pool_destroy(p);
    return 0;
}
