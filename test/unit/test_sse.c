/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and fields of an event, as clients read them. */

#include "unit.h"

#include <string.h>

#include "sse.h"

START_TEST(lines)
{
    ck_assert_int_eq(mcp_sse_line("", 0), 0);
    ck_assert_int_eq(mcp_sse_line("ab", 2), 2);
    ck_assert_int_eq(mcp_sse_line("ab\ncd", 5), 2);
    ck_assert_int_eq(mcp_sse_line("ab\r\n", 4), 2);
    ck_assert_int_eq(mcp_sse_line("\rab", 3), 0);
    ck_assert_int_eq(mcp_sse_line("abc\n", 2), 2);
}
END_TEST

/* WHATWG HTML section 9.2.6: one space behind the colon is no part of the value */
static const struct {
    const char *line;
    const char *value; /* of the field data; NULL: another field */
} fields[] = {
    { "data: a", "a" },
    { "data:a", "a" },
    { "data:  a", " a" },
    { "data: ", "" },
    { "data:", "" },
    { "data", "" },
    { "data:a:b", "a:b" },
    { "dat", NULL },
    { "data2: a", NULL },
    { " data: a", NULL },
    { ":data: a", NULL },
    { "Data: a", NULL },
    { "event: a", NULL },
};

START_TEST(reads_fields)
{
    apr_size_t len = 99;
    const char *value = mcp_sse_field(fields[_i].line, strlen(fields[_i].line), "data", &len);

    ck_assert_int_eq(value != NULL, fields[_i].value != NULL);
    if (value) {
        ck_assert_int_eq(len, strlen(fields[_i].value));
        ck_assert_int_eq(memcmp(value, fields[_i].value, len), 0);
    }
}
END_TEST

static const struct {
    const char *event;
    const char *data;    /* NULL: none */
    const char *written; /* with the data NEW */
} events[] = {
    { "data: a\n\n", "a", "data: NEW\n\n" },
    { "event: message\ndata: a\nid: 7\n\n", "a", "event: message\ndata: NEW\nid: 7\n\n" },
    { "data: a\ndata: b\n\n", "a\nb", "data: NEW\n\n" },
    { "data\ndata: b\n\n", "\nb", "data: NEW\n\n" },
    { "data: a\ndata\n\n", "a\n", "data: NEW\n\n" },
    { "data: a\r\nid: 1\r\ndata: b\r\n\r\n", "a\nb", "data: NEW\r\nid: 1\r\n\r\n" },
    { "data: a\rdata: b\r\r", "a\nb", "data: NEW\r\r" },
    { ": x\nevent: y\n\n", NULL, ": x\nevent: y\n\n" },
    { "data: a", "a", "data: NEW" },
    { "", NULL, "" },
};

START_TEST(takes_events_apart)
{
    const char *event = events[_i].event;
    apr_bucket_alloc_t *alloc = apr_bucket_alloc_create(pool);
    apr_bucket_brigade *out = apr_brigade_create(pool, alloc);
    const char *data = mcp_sse_data(pool, event, strlen(event));
    char *written;
    apr_size_t len;

    ck_assert_int_eq(data != NULL, events[_i].data != NULL);
    if (data) {
        ck_assert_str_eq(data, events[_i].data);
    }
    mcp_sse_write(event, strlen(event), "NEW", out);
    ck_assert_int_eq(apr_brigade_pflatten(out, &written, &len, pool), APR_SUCCESS);
    ck_assert_int_eq(len, strlen(events[_i].written));
    ck_assert_int_eq(memcmp(written, events[_i].written, len), 0);
}
END_TEST

Suite *suite_sse(void)
{
    Suite *suite = suite_create("sse");
    TCase *test = unit_case(suite, "sse");

    tcase_add_test(test, lines);
    tcase_add_loop_test(test, reads_fields, 0, sizeof(fields) / sizeof(*fields));
    tcase_add_loop_test(test, takes_events_apart, 0, sizeof(events) / sizeof(*events));
    return suite;
}
