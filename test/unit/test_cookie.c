/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies (T33). */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_cookie.h"

START_TEST(reads)
{
    const char *header = "a=1; mcp-browser=xyz; __Host-mcp-browser=secure;b=2";

    ck_assert_str_eq(mcp_cookie_get(pool, header, "mcp-browser", 0), "xyz");
    ck_assert_str_eq(mcp_cookie_get(pool, header, "mcp-browser", 1), "secure");
    ck_assert_str_eq(mcp_cookie_get(pool, header, "a", 0), "1");
    ck_assert_str_eq(mcp_cookie_get(pool, header, "b", 0), "2");
    ck_assert_ptr_null(mcp_cookie_get(pool, header, "browser", 0));
    ck_assert_ptr_null(mcp_cookie_get(pool, header, "a", 1));
    ck_assert_ptr_null(mcp_cookie_get(pool, NULL, "a", 0));
}
END_TEST

/* A cookie without the prefix, which a sub-domain could set, never stands in for one that has it. */
START_TEST(host_prefix_is_needed)
{
    ck_assert_ptr_null(mcp_cookie_get(pool, "mcp-tx=evil", "mcp-tx", 1));
    ck_assert_ptr_null(mcp_cookie_get(pool, "__host-mcp-tx=evil", "mcp-tx", 1));
    ck_assert_ptr_null(mcp_cookie_get(pool, "x__Host-mcp-tx=evil", "mcp-tx", 1));
    ck_assert_ptr_null(mcp_cookie_get(pool, "a=__Host-mcp-tx=evil", "mcp-tx", 1));
}
END_TEST

static const char *const hostile[] = {
    "", ";", ";;;;", "=", "=;=", "a", "a;", " ; ", "mcp-t", "mcp-tx", "mcp-tx ", "mcp-txx=1", ";mcp-tx", "\"", "mcp-tx\t",
    "mcp-tx;mcp-tx"
};

START_TEST(hostile_headers)
{
    ck_assert_ptr_null(mcp_cookie_get(pool, hostile[_i], "mcp-tx", 0));
}
END_TEST

START_TEST(odd_headers)
{
    ck_assert_str_eq(mcp_cookie_get(pool, "mcp-tx=", "mcp-tx", 0), "");
    ck_assert_str_eq(mcp_cookie_get(pool, "mcp-tx==", "mcp-tx", 0), "=");
    ck_assert_str_eq(mcp_cookie_get(pool, "mcp-tx=\"q\"", "mcp-tx", 0), "q");
    ck_assert_str_eq(mcp_cookie_get(pool, "mcp-tx=\"", "mcp-tx", 0), "\"");
    ck_assert_str_eq(mcp_cookie_get(pool, "mcp-tx=1;mcp-tx=2", "mcp-tx", 0), "1");
    ck_assert_str_eq(mcp_cookie_get(pool, ";;mcp-tx=1 ;", "mcp-tx", 0), "1");
    ck_assert_str_eq(mcp_cookie_get(pool, "\tmcp-tx=1", "mcp-tx", 0), "1");
}
END_TEST

START_TEST(once)
{
    ck_assert_str_eq(mcp_cookie_once(pool, "a=1; b=2", "a", 0), "1");
    ck_assert_str_eq(mcp_cookie_once(pool, "b=2; aa=3; a=1", "a", 0), "1");
    ck_assert_str_eq(mcp_cookie_once(pool, "__Host-a=1; a=2", "a", 1), "1");
    ck_assert_ptr_null(mcp_cookie_once(pool, "a=1; b=2; a=1", "a", 0));
    ck_assert_ptr_null(mcp_cookie_once(pool, "a=1;a=", "a", 0));
    ck_assert_ptr_null(mcp_cookie_once(pool, "b=1", "a", 0));
    ck_assert_ptr_null(mcp_cookie_once(pool, NULL, "a", 0));
}
END_TEST

START_TEST(writes)
{
    ck_assert_str_eq(mcp_cookie_set(pool, "mcp-tx", "v", 600, 1),
                     "__Host-mcp-tx=v; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600");
    ck_assert_str_eq(mcp_cookie_set(pool, "mcp-tx", "v", -1, 0), "mcp-tx=v; Path=/; HttpOnly; SameSite=Lax");
    ck_assert_str_eq(mcp_cookie_set(pool, "mcp-tx", "", 0, 0),
                     "mcp-tx=; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
}
END_TEST

START_TEST(never_too_long)
{
    char *value = apr_pcalloc(pool, MCP_COOKIE_MAX + 1);
    const char *cookie;

    memset(value, 'v', MCP_COOKIE_MAX);
    ck_assert_ptr_null(mcp_cookie_set(pool, "mcp-tx", value, 600, 1));
    value[MCP_COOKIE_MAX - 100] = '\0';
    cookie = mcp_cookie_set(pool, "mcp-tx", value, 600, 1);
    ck_assert_ptr_nonnull(cookie);
    ck_assert_uint_le(strlen(cookie), MCP_COOKIE_MAX);
}
END_TEST

Suite *suite_cookie(void)
{
    Suite *suite = suite_create("cookie");
    TCase *test = unit_case(suite, "cookie");

    tcase_add_test(test, reads);
    tcase_add_test(test, host_prefix_is_needed);
    tcase_add_loop_test(test, hostile_headers, 0, sizeof(hostile) / sizeof(*hostile));
    tcase_add_test(test, odd_headers);
    tcase_add_test(test, once);
    tcase_add_test(test, writes);
    tcase_add_test(test, never_too_long);
    return suite;
}
