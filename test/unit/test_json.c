/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_json_fast.h"

static json_t *parse(const char *text)
{
    return mcp_json_parse(pool, text, strlen(text), 4096);
}

/* @a text repeated @a times */
static const char *repeat(const char *text, int times)
{
    const char *all = "";

    while (times--) {
        all = apr_pstrcat(pool, all, text, NULL);
    }
    return all;
}

START_TEST(reads)
{
    json_t *json = parse(" {\"a\": \"x\", \"n\": 7, \"u\": \"\\u00e9\", \"o\": {\"a\": [1, 2, \"]}\\\"{[\"]}} ");

    ck_assert_ptr_nonnull(json);
    ck_assert_str_eq(mcp_json_str(json, "a"), "x");
    ck_assert_str_eq(mcp_json_str(json, "u"), "\xc3\xa9");
    ck_assert_int_eq(mcp_json_int(json, "n", -1), 7);
    ck_assert_ptr_nonnull(parse("{}"));
}
END_TEST

static const char *const bad[] = {
    "", " ", "[]", "\"a\"", "null", "1", "{", "}", "{\"a\":1}}", "{\"a\":1} x", "{\"a\":1,}", "{a:1}", "{'a':1}",
    "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}", "{\"o\":{\"a\":1,\"a\":2}}", "{\"a\":\"\\u0000\"}",
    "{\"\\u0000\":1}", "{\"a\":\"\xff\"}", "{\"a\":\"\xc0\xaf\"}", "{\"a\":\"\\ud800\"}", "{\"a\":\"x\ny\"}",
    "{\"a\":01}", "{\"a\":+1}", "{\"a\":NaN}", "{\"a\":99999999999999999999}", "{\"a\":1e999}", "{\"a\":tru}",
    "\xef\xbb\xbf{}", "/**/{}", "{\"a\":\"\\x41\"}"
};

START_TEST(refuses)
{
    ck_assert_ptr_null(parse(bad[_i]));
}
END_TEST

#ifdef HAVE_YAJL
/* The quick way takes what clients send every day; where it takes a text, it finds what jansson does. */
static const char *const everyday[] = {
    "{}",
    "[]",
    " [ 1 , -2 , true , false , null , \"\\n\\\"\\\\\\/\" ] ",
    "[0,-0,123456789012345678,-1.5e3,0.1]",
    "[[],{},[{}]]",
    "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"a\",\"arguments\":{\"gr\xc3\xbc\xc3\x9f\":\"\xe2\x82\xac\"}}}",
};

START_TEST(quick)
{
    json_t *json = json_loads(everyday[_i], JSON_REJECT_DUPLICATES, NULL);
    json_t *fast = mcp_json_read_fast(everyday[_i], strlen(everyday[_i]), 32, NULL, NULL);

    ck_assert_ptr_nonnull(fast);
    ck_assert_str_eq(mcp_json_text(pool, fast), mcp_json_text(pool, json));
    json_decref(fast);
    json_decref(json);
}
END_TEST

START_TEST(quick_leaves)
{
    static const char *const left[] = { "[\"\\u0041\"]", "[\"\\ud800\"]", "[1]\v", "\f[1]", "[1234567890123456789]", "{\"\\n\":1}",
                                        "[\"\xed\xa0\x80\"]", "[\"\xc0\xaf\"]", "{\"\xff\":1}", "7", "[1e999]", "[1] 2", "{}\"x", "{}\"x}" };
    const char *deep = apr_pstrcat(pool, repeat("[", 33), repeat("]", 33), NULL);
    apr_size_t i;

    for (i = 0; i < sizeof(left) / sizeof(*left); i++) {
        ck_assert_msg(!mcp_json_read_fast(left[i], strlen(left[i]), 32, NULL, NULL), "%s", left[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        ck_assert_msg(!mcp_json_read_fast(bad[i], strlen(bad[i]), 32, NULL, NULL) || !strcmp(bad[i], "[]"), "%s", bad[i]);
    }
    ck_assert_ptr_null(mcp_json_read_fast(deep, strlen(deep), 32, NULL, NULL));
}
END_TEST

/* Texts with objects that are a member "a", and what of them is left as text. */
static const struct {
    const char *text;
    const char *left; /* NULL: nothing */
} parts[] = {
    { "{\"a\":{}}", "{}" },
    { "{\"p\":{\"a\": {\"b\":[1,{\"b\":-2.5},[]],\"c\":null} },\"q\":1}", "{\"b\":[1,{\"b\":-2.5},[]],\"c\":null}" },
    { "[{\"a\":{\"a\":{\"a\":1}}}]", "{\"a\":{\"a\":1}}" },
    { "{\"a\":{\"\xc3\xbc\":\"\xe2\x82\xac\"}}", "{\"\xc3\xbc\":\"\xe2\x82\xac\"}" },
    { "{\"a\":[{}],\"b\":{\"b\":{}}}", NULL },
    { "{\"b\":\"a\",\"c\":{}}", NULL },
};

static json_t *parse_but(const char *text, apr_array_header_t **left)
{
    *left = apr_array_make(pool, 1, sizeof(mcp_json_left_t));
    return mcp_json_parse_but(pool, text, strlen(text), 32, "a", *left);
}

START_TEST(leaves_parts)
{
    apr_array_header_t *left;
    const mcp_json_left_t *one;

    ck_assert_ptr_nonnull(parse_but(parts[_i].text, &left));
    ck_assert_int_eq(left->nelts, parts[_i].left != NULL);
    if (parts[_i].left) {
        one = &APR_ARRAY_IDX(left, 0, mcp_json_left_t);
        ck_assert_str_eq(apr_pstrmemdup(pool, one->text, one->len), parts[_i].left);
        ck_assert_uint_eq(json_object_size(one->stub), 0);
    }
}
END_TEST

START_TEST(refuses_in_parts)
{
    static const char *const texts[] = {
        "{\"a\":{\"b\":1,\"b\":2}}", "{\"a\":{\"b\":1,\"c\":{},\"b\":2}}", "{\"a\":{\"c\":[{\"b\":1,\"b\":2}]}}",
        "{\"a\":{\"b\":1,\"\\u0062\":2}}", "{\"a\":{},\"a\":{}}", "{\"a\":{},\"a\":1}", "{\"a\":1,\"a\":{}}",
        "{\"a\":{\"b\":\"\xff\"}}", "{\"a\":{\"\xed\xa0\x80\":1}}", "{\"a\":{\"b\":\"\xc0\xaf\"}}", "{\"a\":{\"b\":1e999}}", "{\"a\":{\"b\":99999999999999999999}}",
        "{\"a\":{\"b\":01}}", "{\"a\":{\"b\"}}", "{\"a\":{\"b\":1}", "{\"a\":{\"b\":[}]}", "{\"a\":{\"b\":\"\\ud800\"}}"
    };
    const char *many = "";
    apr_array_header_t *left;
    apr_size_t i;
    int n;

    for (i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        ck_assert_msg(!parse_but(texts[i], &left), "%s", texts[i]);
    }
    for (n = 0; n < 40; n++) { /* so many that they are sorted */
        many = apr_psprintf(pool, "%s\"k%d\":%d,", many, n * 7 % 40, n);
        ck_assert_ptr_nonnull(parse_but(apr_pstrcat(pool, "{\"a\":{", many, "\"z\":0}}", NULL), &left));
        ck_assert_int_eq(left->nelts, 1);
        ck_assert_ptr_null(parse_but(apr_pstrcat(pool, "{\"a\":{", many, "\"k0\":0}}", NULL), &left));
    }
    /* as deep as the whole may be, and no deeper */
    ck_assert_ptr_nonnull(parse_but(apr_pstrcat(pool, "{\"a\":{\"b\":", repeat("[", 30), repeat("]", 30), "}}", NULL), &left));
    ck_assert_int_eq(left->nelts, 1);
    ck_assert_ptr_null(parse_but(apr_pstrcat(pool, "{\"a\":{\"b\":", repeat("[", 31), repeat("]", 31), "}}", NULL), &left));
}
END_TEST
#endif

START_TEST(limits)
{
    ck_assert_ptr_null(mcp_json_parse(pool, "{\"a\":1}", 7, 6));
    ck_assert_ptr_nonnull(mcp_json_parse(pool, "{\"a\":1}", 7, 7));
    ck_assert_ptr_null(mcp_json_parse(pool, NULL, 0, 10));
    ck_assert_ptr_nonnull(parse(apr_pstrcat(pool, "{\"a\":", repeat("[", 31), repeat("]", 31), "}", NULL)));
    ck_assert_ptr_null(parse(apr_pstrcat(pool, "{\"a\":", repeat("[", 32), repeat("]", 32), "}", NULL)));
    ck_assert_ptr_null(parse(repeat("{\"a\":", 500)));
    /* depth inside of strings is none */
    ck_assert_ptr_nonnull(parse(apr_pstrcat(pool, "{\"a\":\"", repeat("[", 100), "\\\"", repeat("{", 100), "\"}", NULL)));
}
END_TEST

START_TEST(strings)
{
    json_t *json = parse("{\"empty\":\"\",\"tab\":\"a\\tb\",\"nl\":\"a\\nb\",\"del\":\"\\u007f\",\"n\":1,\"z\":null,"
                         "\"t\":true,\"l\":[\"x\"],\"ok\":\" x \"}");

    ck_assert_ptr_null(mcp_json_str(json, "empty"));
    ck_assert_ptr_null(mcp_json_str(json, "tab"));
    ck_assert_ptr_null(mcp_json_str(json, "nl"));
    ck_assert_ptr_null(mcp_json_str(json, "del"));
    ck_assert_ptr_null(mcp_json_str(json, "n"));
    ck_assert_ptr_null(mcp_json_str(json, "z"));
    ck_assert_ptr_null(mcp_json_str(json, "t"));
    ck_assert_ptr_null(mcp_json_str(json, "l"));
    ck_assert_ptr_null(mcp_json_str(json, "absent"));
    ck_assert_ptr_null(mcp_json_str(NULL, "absent"));
    ck_assert_str_eq(mcp_json_str(json, "ok"), " x ");
}
END_TEST

/* T49, E5/E6: numbers as strings come from Entra; 1e300 must not become a time */
START_TEST(integers)
{
    json_t *json = parse("{\"a\":12,\"neg\":-3,\"s\":\"3599\",\"sneg\":\"-1\",\"real\":12.9,\"nreal\":-12.9,\"huge\":1e300,"
                         "\"nhuge\":-1e300,\"shuge\":\"99999999999999999999\",\"sx\":\"12x\",\"ss\":\" 12\",\"se\":\"\","
                         "\"sd\":\"-\",\"b\":true,\"z\":null,\"max\":9223372036854775807}");

    ck_assert_int_eq(mcp_json_int(json, "a", 99), 12);
    ck_assert_int_eq(mcp_json_int(json, "neg", 99), -3);
    ck_assert_int_eq(mcp_json_int(json, "s", 99), 3599);
    ck_assert_int_eq(mcp_json_int(json, "sneg", 99), -1);
    ck_assert_int_eq(mcp_json_int(json, "real", 99), 12);
    ck_assert_int_eq(mcp_json_int(json, "nreal", 99), -12);
    ck_assert_int_eq(mcp_json_int(json, "max", 99), INT64_MAX);
    ck_assert_int_eq(mcp_json_int(json, "huge", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "nhuge", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "shuge", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "sx", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "ss", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "se", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "sd", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "b", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "z", 99), 99);
    ck_assert_int_eq(mcp_json_int(json, "absent", 99), 99);
}
END_TEST

START_TEST(writes)
{
    const char *text = mcp_json_text(pool, parse("{ \"a\" : [ 1, \"x\\\"\" ] }"));

    ck_assert_str_eq(text, "{\"a\":[1,\"x\\\"\"]}");
    /* what json_pack() refuses to build must neither crash nor be taken for something */
    ck_assert_str_eq(mcp_json_text(pool, NULL), "null");
    ck_assert_ptr_null(parse(mcp_json_text(pool, NULL)));
}
END_TEST

Suite *suite_json(void)
{
    Suite *suite = suite_create("json");
    TCase *test = unit_case(suite, "json");

    tcase_add_test(test, reads);
    tcase_add_loop_test(test, refuses, 0, sizeof(bad) / sizeof(*bad));
#ifdef HAVE_YAJL
    tcase_add_loop_test(test, quick, 0, sizeof(everyday) / sizeof(*everyday));
    tcase_add_test(test, quick_leaves);
    tcase_add_loop_test(test, leaves_parts, 0, (int)(sizeof(parts) / sizeof(*parts)));
    tcase_add_test(test, refuses_in_parts);
#endif
    tcase_add_test(test, limits);
    tcase_add_test(test, strings);
    tcase_add_test(test, integers);
    tcase_add_test(test, writes);
    return suite;
}
