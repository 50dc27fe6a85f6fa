/* SPDX-License-Identifier: Apache-2.0 */
/* Page templates (T9): what they put out, and what is refused when they are parsed. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"
#include "page_builtin.h"
#include "template.h"

static const char *const keys[] = { "hello", "plain", "direction" };
static const char *const english[] = { "Hello {name} & <all>", "Good day", "ltr" };
static const char *const arabic[] = { "مرحبا {name}", NULL, "rtl" };

static mcp_messages_t messages;

static void make_messages(void)
{
    mcp_language_t *language;

    memset(&messages, 0, sizeof(messages));
    messages.keys = keys;
    messages.count = 3;
    messages.languages = apr_array_make(pool, 2, sizeof(mcp_language_t));
    language = apr_array_push(messages.languages);
    *language = (mcp_language_t){ "en", english, 0 };
    language = apr_array_push(messages.languages);
    *language = (mcp_language_t){ "ar", arabic, 1 };
}

#define NAMES "name url! flag rows[text deep[leaf]]"

static void sink(void *baton, const char *text, apr_size_t len)
{
    char **out = baton;

    *out = apr_pstrcat(pool, *out, apr_pstrmemdup(pool, text, len), NULL);
}

/* What a page shows, in the frame "[...]". */
static const char *show_in(int language, const char *text, const char *model)
{
    const char *why;
    char *out = apr_pstrdup(pool, "");
    mcp_template_page_t page = { .style = "style", .messages = &messages };

    make_messages();
    page.frame = mcp_template_parse(pool, "frame.html", "[{{>content}}]", NAMES, "content style",
                                    &messages, &why);
    ck_assert_msg(page.frame != NULL, "%s", why);
    page.content = mcp_template_parse(pool, "page.html", text, NAMES, "", &messages, &why);
    ck_assert_msg(page.content != NULL, "%s", why);
    page.model = mcp_json_parse(pool, model, strlen(model), 4096);
    page.language = &APR_ARRAY_IDX(messages.languages, language, mcp_language_t);
    mcp_template_render(&page, sink, &out);
    return out;
}

static const char *show(const char *text, const char *model)
{
    return show_in(0, text, model);
}

static const char *refused(const char *text)
{
    const char *why = NULL;

    make_messages();
    ck_assert_msg(!mcp_template_parse(pool, "page.html", text, NAMES, "", &messages, &why), "%s",
                  text);
    ck_assert_ptr_nonnull(why);
    return why;
}

START_TEST(values_are_escaped)
{
    ck_assert_str_eq(show("<p>{{name}}</p>", "{\"name\":\"<b>&\\\"'x\"}"),
                     "[<p>&lt;b&gt;&amp;&quot;&#39;x</p>]");
    ck_assert_str_eq(show("<p title=\"{{name}}\">", "{\"name\":\"\\\" onclick=\\\"x\"}"),
                     "[<p title=\"&quot; onclick=&quot;x\">]");
    ck_assert_str_eq(show("<p title='{{ name }}'>", "{\"name\":\"' x='\"}"),
                     "[<p title='&#39; x=&#39;'>]");
    /* what looks like a template in a value is a value */
    ck_assert_str_eq(show("{{name}}", "{\"name\":\"{{url}}\"}"), "[{{url}}]");
    ck_assert_str_eq(show("{{name}}|{{url}}", "{}"), "[|]");
    ck_assert_str_eq(show("{{name}}", "{\"name\":-7}"), "[-7]");
}
END_TEST

START_TEST(messages_are_escaped_and_so_are_their_values)
{
    ck_assert_str_eq(show("{{t.hello}}", "{\"name\":\"<i>\"}"),
                     "[Hello &lt;i&gt; &amp; &lt;all&gt;]");
    /* a value in another script or in a right-to-left text is isolated, a missing text English */
    ck_assert_str_eq(show("{{t.hello}}", "{\"name\":\"é\"}"),
                     "[Hello \xE2\x81\xA8é\xE2\x81\xA9 &amp; &lt;all&gt;]");
    ck_assert_str_eq(show_in(1, "{{t.hello}} {{t.plain}}", "{\"name\":\"x\"}"),
                     "[مرحبا \xE2\x81\xA8x\xE2\x81\xA9 Good day]");
    make_messages();
    ck_assert_str_eq(mcp_message_format(pool, &messages,
                                        &APR_ARRAY_IDX(messages.languages, 0, mcp_language_t), 0,
                                        mcp_json_parse(pool, "{\"name\":\"<i>\"}", 14, 100)),
                     "Hello <i> & <all>");
}
END_TEST

START_TEST(blocks)
{
    const char *rows = "{\"rows\":[{\"text\":\"a\",\"deep\":[{\"leaf\":1},{\"leaf\":2}]},"
                       "{\"text\":\"b\",\"deep\":[]}]}";

    ck_assert_str_eq(show("{{#rows}}({{text}}{{#deep}}-{{leaf}}{{/deep}}){{/rows}}", rows),
                     "[(a-1-2)(b)]");
    ck_assert_str_eq(show("{{^rows}}none{{/rows}}", rows), "[]");
    ck_assert_str_eq(show("{{^rows}}none{{/rows}}", "{\"rows\":[]}"), "[none]");
    ck_assert_str_eq(show("{{#flag}}yes{{/flag}}{{^flag}}no{{/flag}}", "{\"flag\":true}"), "[yes]");
    ck_assert_str_eq(show("{{#flag}}yes{{/flag}}{{^flag}}no{{/flag}}", "{\"flag\":false}"), "[no]");
    ck_assert_str_eq(show("{{#name}}{{name}}{{/name}}{{^name}}-{{/name}}", "{\"name\":\"\"}"),
                     "[-]");
    ck_assert_str_eq(show("<p{{#flag}} hidden{{/flag}}>{{! remark }}", "{\"flag\":true}"),
                     "[<p hidden>]");
}
END_TEST

START_TEST(names_that_do_not_exist_are_refused)
{
    const char *why = refused("<p>\n\n{{nme}}</p>");

    ck_assert_msg(strstr(why, "page.html line 3: {{nme}}") != NULL, "%s", why);
    ck_assert_msg(strstr(why, "name url flag rows") != NULL, "%s", why);
    ck_assert_ptr_null(strstr(why, "leaf"));
    refused("{{text}}"); /* only in its row */
    refused("{{#rows}}{{leaf}}{{/rows}}");
    refused("{{#nme}}{{/nme}}");
    refused("{{t.nothing}}");
    refused("{{rows}}");
    refused("{{}}");
    refused("{{name url}}");
    refused("{{>content}}");
    refused("{{>style}}");
}
END_TEST

START_TEST(values_stand_where_escaping_protects)
{
    static const char *const bad[] = {
        "<p {{name}}>", "<p class={{name}}>", "<{{name}}>", "<a href=\"{{name}}\">",
        "<a href=\"x{{url}}\">", "<a href=\"{{url}}{{url}}\">", "<a href=\"{{t.plain}}\">",
        "<img src='{{name}}'>", "<form action=\"{{name}}\">", "<p onclick=\"{{name}}\">",
        "<p ONCLICK=\"x\">", "<p style=\"{{name}}\">", "<p\nonclick = 'x'>", "<script>{{name}}</script>",
        "<script src=x></script>", "<style>{{name}}</style>", "<!-- {{name}} -->", "<iframe>",
        "<meta http-equiv=\"refresh\" content=\"{{name}}\">", "<p title=\"{{name}}>", "a < b",
        "{{{name}}}", "{{&name}}", "<a x=\"\"href=\"{{name}}\">", "<a title='x'/href='{{name}}'>",
        "<base href=\"x\">", "<p title=\"{{#flag}}\">{{/flag}}{{name}}<b a=\"\">"
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        refused(bad[i]);
    }
    show("<a href=\"{{url}}\" title=\"{{name}}\">{{name}}</a><br/><!-- x --><p data-x='{{name}}'>",
         "{}");
}
END_TEST

START_TEST(blocks_that_do_not_match_are_refused)
{
    static const char *const bad[] = {
        "{{#flag}}", "{{/flag}}", "{{#flag}}{{#name}}{{/flag}}{{/name}}", "{{#flag}}{{/name}}",
        "{{name", "<p", "<p title=\"", "<!--", "{{#flag}}<p{{/flag}}>",
        "{{#flag}}{{#flag}}{{#flag}}{{#flag}}{{#flag}}{{#flag}}{{#flag}}"
    };

    for (unsigned i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        refused(bad[i]);
    }
    ck_assert_ptr_nonnull(strstr(refused("a\n{{#flag}}\nb"), "line 2"));
}
END_TEST

/* ---- languages ---- */

static const char *chosen(const char *locales, const char *accept)
{
    mcp_messages_t all = { 0 };

    all.keys = mcp_builtin_keys;
    all.languages = apr_array_make(pool, 8, sizeof(mcp_language_t));
    for (const mcp_builtin_language_t *b = mcp_builtin_languages; b->id; b++) {
        mcp_language_t *language = apr_array_push(all.languages);

        *language = (mcp_language_t){ b->id, b->texts, b->rtl };
    }
    return mcp_language_choose(&all, locales, accept)->id;
}

START_TEST(the_language_is_chosen)
{
    static const struct {
        const char *locales, *accept, *chosen;
    } cases[] = {
        { NULL, NULL, "en" },
        { "", "", "en" },
        { "de", "fr", "de" },
        { "xx de-CH fr", NULL, "de" },
        { "xx", "fr", "fr" },
        { NULL, "de-AT-x-y, en;q=0.5", "de" },
        { NULL, "en;q=0.5, fr;q=0.8,de ; q=0.9", "de" },
        { NULL, "xx, *;q=0.1, ja;q=0.05", "ja" },
        { NULL, "ZH-hant-TW", "zh" },
        { NULL, "de;q=0, fr;q=0.001", "fr" },
        { NULL, "de;q=2, de;q=x, de;q=, de;, de;p=1, es;q=0.1", "es" },
        { NULL, "pt;q=0.3,es;q=0.3", "pt" },
        { NULL, ",,, ,ar", "ar" },
        { NULL, "dede, d, -, --, de_DE", "en" },
        { "  de", NULL, "de" },
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        ck_assert_str_eq(chosen(cases[i].locales, cases[i].accept), cases[i].chosen);
    }
    ck_assert_str_eq(chosen(NULL, "de;q=1.0000000000000000000000000001"), "de");
}
END_TEST

static const char *add(const char *id, const char *json)
{
    return mcp_messages_add(pool, &messages, id, mcp_json_parse(pool, json, strlen(json), 4096),
                            "file");
}

START_TEST(message_files_are_checked)
{
    make_messages();
    ck_assert_ptr_null(add("de", "{\"hello\":\"Hallo {name}\"}"));
    ck_assert_ptr_null(add("he", "{\"direction\":\"rtl\"}"));
    ck_assert_int_eq(mcp_language_find(&messages, "he", 2)->rtl, 1);
    ck_assert_ptr_null(add("EN", "{\"plain\":\"Hi\"}")); /* replaces one text, keeps the others */
    ck_assert_str_eq(mcp_message_text(&messages, mcp_language_find(&messages, "en", 2), 1), "Hi");
    ck_assert_str_eq(mcp_message_text(&messages, mcp_language_find(&messages, "de", 2), 1), "Hi");
    ck_assert_ptr_nonnull(strstr(add("de", "{\"helo\":\"x\"}"), "\"helo\" is no message"));
    ck_assert_ptr_nonnull(strstr(add("de", "{\"hello\":\"x\"}"), "must show {name}"));
    ck_assert_ptr_nonnull(strstr(add("de", "{\"plain\":\"{name}\"}"), "does not exist for it"));
    ck_assert_ptr_nonnull(add("de", "{\"plain\":7}"));
    ck_assert_ptr_nonnull(add("de", "{\"plain\":\"\"}"));
    ck_assert_ptr_nonnull(add("de", "{\"direction\":\"up\"}"));
    ck_assert_ptr_nonnull(add("../de", "{}"));
    ck_assert_ptr_nonnull(add("d", "{}"));
}
END_TEST

/* Each language has each text, with English's placeholders. */
START_TEST(built_in_languages_are_whole)
{
    int n = 0;

    make_messages();
    for (const mcp_builtin_language_t *b = mcp_builtin_languages; b->id; b++, n++) {
        for (int i = 0; mcp_builtin_keys[i]; i++) {
            ck_assert_msg(b->texts[i] && *b->texts[i], "%s lacks %s", b->id, mcp_builtin_keys[i]);
        }
    }
    ck_assert_int_ge(n, 8);
    ck_assert_str_eq(mcp_builtin_languages[0].id, "en");
}
END_TEST

Suite *suite_template(void)
{
    Suite *suite = suite_create("template");
    TCase *test = unit_case(suite, "template");

    tcase_add_test(test, values_are_escaped);
    tcase_add_test(test, messages_are_escaped_and_so_are_their_values);
    tcase_add_test(test, blocks);
    tcase_add_test(test, names_that_do_not_exist_are_refused);
    tcase_add_test(test, values_stand_where_escaping_protects);
    tcase_add_test(test, blocks_that_do_not_match_are_refused);
    tcase_add_test(test, the_language_is_chosen);
    tcase_add_test(test, message_files_are_checked);
    tcase_add_test(test, built_in_languages_are_whole);
    return suite;
}
