/* SPDX-License-Identifier: Apache-2.0 */
/* The checked part of JSON Schema, as a table of schemas and values. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_schema.h"

static json_t *parse(const char *text)
{
    /* values stand in an array, so that any of them can be parsed */
    const char *whole = apr_psprintf(pool, "[%s]", text);
    json_t *json =
        mcp_json_parse_wide(pool, whole, strlen(whole), 64, JSON_REJECT_DUPLICATES, NULL);

    ck_assert_msg(json != NULL, "%s", text);
    return json_array_get(json, 0);
}

#define OBJECT(members) "{\"type\":\"object\"," members "}"
#define FILES \
    OBJECT( \
        "\"properties\":{\"files\":{\"type\":\"array\",\"minItems\":1,\"maxItems\":2,\"items\":" \
        "{\"type\":\"object\",\"required\":[\"a/b~c\"],\"additionalProperties\":false," \
        "\"properties\":{\"a/b~c\":{\"enum\":[1,\"x\",null]}}}}}")

static const struct {
    const char *schema;
    const char *value;
    const char *wrong; /* path and what; NULL: it fits */
} cases[] = {
    { "{}", "5", NULL },
    { "true", "5", NULL },
    { "false", "5", " is not allowed" },
    { "null", "5", NULL }, /* no schema */
    { "{\"type\":\"string\"}", "\"\"", NULL },
    { "{\"type\":\"string\"}", "5", " must be of type string" },
    { "{\"type\":\"string\"}", "null", " must be of type string" },
    { "{\"type\":\"integer\"}", "5", NULL },
    { "{\"type\":\"integer\"}", "5.0", NULL },
    { "{\"type\":\"integer\"}", "5.5", " must be of type integer" },
    { "{\"type\":\"integer\"}", "1e300", NULL },
    { "{\"type\":\"integer\"}", "\"5\"", " must be of type integer" },
    { "{\"type\":\"integer\"}", "true", " must be of type integer" },
    { "{\"type\":\"number\"}", "5.5", NULL },
    { "{\"type\":\"boolean\"}", "0", " must be of type boolean" },
    { "{\"type\":\"array\"}", "{}", " must be of type array" },
    { "{\"type\":\"object\"}", "[]", " must be of type object" },
    { "{\"type\":[\"string\",\"null\"]}", "null", NULL },
    { "{\"type\":[\"string\",\"null\"]}", "false", " must be of type string or null" },
    { "{\"type\":\"text\"}", "5", NULL }, /* not understood: not checked, and reported */
    { "{\"type\":[\"text\"]}", "5", NULL },
    { "{\"type\":5}", "5", NULL },
    { "{\"const\":5}", "5.0", NULL },
    { "{\"const\":{\"a\":[1]}}", "{\"a\":[1]}", NULL },
    { "{\"const\":{\"a\":[1]}}", "{\"a\":[1,2]}", " must be the one value that is allowed" },
    { "{\"const\":null}", "false", " must be the one value that is allowed" },
    { "{\"const\":9007199254740993}", "9007199254740992",
      " must be the one value that is allowed" },
    { "{\"enum\":[\"a\",\"b\"]}", "\"b\"", NULL },
    { "{\"enum\":[\"a\",\"b\"]}", "\"B\"", " must be one of the values that are allowed" },
    { "{\"enum\":[]}", "1", " must be one of the values that are allowed" },
    { "{\"minimum\":5}", "5", NULL },
    { "{\"minimum\":5}", "4.9", " is too small" },
    { "{\"minimum\":5}", "\"4\"", NULL }, /* says nothing of strings */
    { "{\"maximum\":5}", "6", " is too large" },
    { "{\"exclusiveMinimum\":5}", "5", " is too small" },
    { "{\"exclusiveMaximum\":5}", "5", " is too large" },
    { "{\"exclusiveMaximum\":5}", "4", NULL },
    { "{\"minimum\":-9223372036854775807}", "-9223372036854775808", " is too small" },
    { "{\"minLength\":2}", "\"\\u00e9\"", " is too short" },
    { "{\"maxLength\":2}", "\"\\u00e9\\ud83d\\ude00\"", NULL },
    { "{\"maxLength\":2}", "\"abc\"", " is too long" },
    { "{\"maxLength\":-1}", "\"abc\"", NULL },
    { "{\"minItems\":1}", "[]", " is too short" },
    { "{\"maxItems\":1}", "[1,2]", " is too long" },
    { "{\"items\":{\"type\":\"string\"}}", "[\"a\",1]", "/1 must be of type string" },
    { "{\"items\":false}", "[]", NULL },
    { "{\"items\":false}", "[0]", "/0 is not allowed" },
    { "{\"required\":[\"a\"]}", "{\"a\":null}", NULL },
    { "{\"required\":[\"a\"]}", "{\"A\":1}", "/a is missing" },
    { "{\"required\":[\"a\"]}", "[]", NULL },
    { "{\"properties\":{\"a\":false}}", "{\"a\":1}", "/a is not allowed" },
    { "{\"properties\":{\"a\":true},\"additionalProperties\":false}", "{\"a\":1}", NULL },
    { "{\"properties\":{\"a\":7},\"additionalProperties\":false}", "{\"a\":1}", NULL },
    { "{\"additionalProperties\":false}", "{\"a\":1}", "/a is not allowed" },
    { "{\"additionalProperties\":{\"type\":\"string\"}}", "{\"a\":1}",
      "/a must be of type string" },
    { "{\"additionalProperties\":false,\"patternProperties\":{\"^a\":{}}}", "{\"a\":1}", NULL },
    { FILES, "{\"files\":[{\"a/b~c\":\"x\"}]}", NULL },
    { FILES, "{\"files\":[{\"a/b~c\":1.0},{\"a/b~c\":null}]}", NULL },
    { FILES, "{\"files\":[{\"a/b~c\":2}]}",
      "/files/0/a~1b~0c must be one of the values that are allowed" },
    { FILES, "{\"files\":[{}]}", "/files/0/a~1b~0c is missing" },
    { FILES, "{\"files\":[{\"a/b~c\":1,\"d\":1}]}", "/files/0/d is not allowed" },
    { FILES, "{\"files\":[]}", "/files is too short" },
    { FILES, "[]", " must be of type object" },
};

START_TEST(checks)
{
    mcp_schema_error_t err = { NULL, NULL };
    int fits = mcp_schema_check(pool, parse(cases[_i].schema), parse(cases[_i].value), &err);

    if (!cases[_i].wrong) {
        ck_assert_msg(fits, "%s: %s is wrong: %s %s", cases[_i].schema, cases[_i].value, err.path,
                      err.what);
        return;
    }
    ck_assert_msg(!fits, "%s: %s fits", cases[_i].schema, cases[_i].value);
    ck_assert_str_eq(apr_pstrcat(pool, err.path, " ", err.what, NULL), cases[_i].wrong);
}
END_TEST

static const struct {
    const char *schema;
    const char *unchecked;
} reports[] = {
    { "{}", "" },
    { "true", "" },
    { "7", "is no schema" },
    { FILES, "" },
    { "{\"title\":\"x\",\"description\":\"y\",\"default\":1,\"$schema\":\"z\",\"$defs\":{\"a\":{"
      "\"pattern\":\"b\"}}}",
      "" },
    { "{\"pattern\":\"(a+)+$\"}", "pattern" },
    { "{\"format\":\"uri\"}", "format" },
    { "{\"type\":\"text\"}", "type" },
    { "{\"minLength\":\"2\"}", "minLength" },
    { "{\"exclusiveMinimum\":true}", "exclusiveMinimum" }, /* draft 4 */
    { "{\"items\":[{}]}", "items" },
    { "{\"properties\":{\"q\":{\"pattern\":\"x\"}}}", "/properties/q pattern" },
    { "{\"properties\":{\"q\":7}}", "/properties/q is no schema" },
    { "{\"items\":{\"anyOf\":[{}]}}", "/items anyOf" },
    { "{\"additionalProperties\":{\"$ref\":\"#\"}}", "/additionalProperties $ref" },
};

START_TEST(tells_what_is_not_checked)
{
    ck_assert_str_eq(mcp_schema_unchecked(pool, parse(reports[_i].schema)), reports[_i].unchecked);
}
END_TEST

START_TEST(bounded_report)
{
    const char *schema = "{\"properties\":{\"x\":{}";
    const char *said;
    int i;

    for (i = 0; i < 100; i++) {
        schema = apr_psprintf(pool, "%s,\"p%d\":{\"pattern\":\"a\"}", schema, i);
    }
    said = mcp_schema_unchecked(pool, parse(apr_pstrcat(pool, schema, "}}", NULL)));
    ck_assert_int_lt(strlen(said), 1000);
    ck_assert_str_eq(said + strlen(said) - 4, " ...");
}
END_TEST

START_TEST(nothing_there)
{
    mcp_schema_error_t err;

    ck_assert(!mcp_schema_check(pool, parse("{}"), NULL, &err));
    ck_assert_str_eq(err.what, "is missing");
}
END_TEST

Suite *suite_schema(void)
{
    Suite *suite = suite_create("schema");
    TCase *test = unit_case(suite, "schema");

    tcase_add_loop_test(test, checks, 0, (int)(sizeof(cases) / sizeof(*cases)));
    tcase_add_loop_test(test, tells_what_is_not_checked, 0,
                        (int)(sizeof(reports) / sizeof(*reports)));
    tcase_add_test(test, bounded_report);
    tcase_add_test(test, nothing_there);
    return suite;
}
