/* SPDX-License-Identifier: Apache-2.0 */
/* Forms and queries. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mcp_form.h"

static apr_array_header_t *parse(const char *text)
{
    apr_array_header_t *form = NULL;

    return mcp_form_parse(pool, text, strlen(text), &form) == APR_SUCCESS ? form : NULL;
}

START_TEST(reads)
{
    apr_array_header_t *form = parse("a=1&b=x+y%20z&c=&d&%65=%C3%A9&a=2&&f=g=h&i=%25%2B");

    ck_assert_ptr_nonnull(form);
    ck_assert_str_eq(mcp_form_get(form, "a"), "1");
    ck_assert_str_eq(mcp_form_get(form, "b"), "x y z");
    ck_assert_str_eq(mcp_form_get(form, "c"), "");
    ck_assert_str_eq(mcp_form_get(form, "d"), "");
    ck_assert_str_eq(mcp_form_get(form, "e"), "\xc3\xa9");
    ck_assert_str_eq(mcp_form_get(form, "f"), "g=h");
    ck_assert_str_eq(mcp_form_get(form, "i"), "%+");
    ck_assert_ptr_null(mcp_form_get(form, "A"));
    ck_assert_ptr_null(mcp_form_get(form, "z"));
    ck_assert_ptr_nonnull(parse(""));
    ck_assert_int_eq(parse("")->nelts, 0);
    ck_assert_int_eq(parse("&&&")->nelts, 0);
}
END_TEST

/* T44: only "&" separates */
START_TEST(semicolon_is_data)
{
    apr_array_header_t *form = parse("a=1;b=2");

    ck_assert_str_eq(mcp_form_get(form, "a"), "1;b=2");
    ck_assert_ptr_null(mcp_form_get(form, "b"));
}
END_TEST

static const char *const bad[] = {
    "a=%", "a=%4", "a=%zz", "a=%4g", "a=%%41", "%=a", "a=%00", "a=b%00c", "a=\xff", "a=%ff", "a=%c0%af", "a=%ed%a0%80",
    "\x80=1", "a=1&b=%e2%82"
};

START_TEST(refuses)
{
    ck_assert_ptr_null(parse(bad[_i]));
}
END_TEST

START_TEST(refuses_raw_nul)
{
    apr_array_header_t *form;

    ck_assert_int_eq(mcp_form_parse(pool, "a=b\0c", 5, &form), APR_EINVAL);
}
END_TEST

/* not one byte beyond the length, which a sanitizer would see: the buffer ends in the middle of an escape */
START_TEST(stays_within_length)
{
    apr_array_header_t *form;
    const char *text = "a=%41";

    for (apr_size_t len = 0; len <= 5; len++) {
        char *exact = malloc(len ? len : 1);

        memcpy(exact, text, len);
        ck_assert_int_eq(mcp_form_parse(pool, exact, len, &form), len == 3 || len == 4 ? APR_EINVAL : APR_SUCCESS);
        free(exact);
    }
}
END_TEST

START_TEST(limits)
{
    const char *text = "a=1";

    for (int i = 1; i < MCP_FORM_MAX_FIELDS; i++) {
        text = apr_pstrcat(pool, text, "&a=1", NULL);
    }
    ck_assert_ptr_nonnull(parse(text));
    ck_assert_ptr_null(parse(apr_pstrcat(pool, text, "&a=1", NULL)));
}
END_TEST

/* T28 */
START_TEST(duplicates)
{
    ck_assert_ptr_null(mcp_form_duplicate(parse("a=1&b=1&c=1")));
    ck_assert_str_eq(mcp_form_duplicate(parse("a=1&b=1&%61=1")), "a");
    ck_assert_str_eq(mcp_form_duplicate(parse("resource=1&resource=2")), "resource");
    ck_assert_ptr_null(mcp_form_duplicate(parse("State=1&state=1")));
}
END_TEST

Suite *suite_form(void)
{
    Suite *suite = suite_create("form");
    TCase *test = unit_case(suite, "form");

    tcase_add_test(test, reads);
    tcase_add_test(test, semicolon_is_data);
    tcase_add_loop_test(test, refuses, 0, sizeof(bad) / sizeof(*bad));
    tcase_add_test(test, refuses_raw_nul);
    tcase_add_test(test, stays_within_length);
    tcase_add_test(test, limits);
    tcase_add_test(test, duplicates);
    return suite;
}
