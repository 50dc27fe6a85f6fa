/* SPDX-License-Identifier: Apache-2.0 */
/* Rate limits (T31): their arithmetic, and that exactly as many calls pass as may, whoever competes. */

#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_limit.h"

/* All times of a test are relative to this one. */
static apr_time_t start;

static mcp_limit_table_t *make_table(apr_size_t entries)
{
    mcp_limit_table_t *table = NULL;

    ck_assert_int_eq(mcp_limit_create(&table, entries, pool), APR_SUCCESS);
    start = apr_time_now();
    return table;
}

static mcp_rate_t rate_of(const char *text)
{
    mcp_rate_t rate;

    ck_assert_ptr_null(mcp_rate_parse(text, &rate));
    return rate;
}

START_TEST(parses)
{
    mcp_rate_t rate = rate_of("100/60s");

    ck_assert_int_eq(rate.count, 100);
    ck_assert_int_eq(rate.period, apr_time_from_sec(60));
    ck_assert_int_eq(rate.burst, 100);
    rate = rate_of("600/min/20");
    ck_assert_int_eq(rate.period, apr_time_from_sec(60));
    ck_assert_int_eq(rate.burst, 20);
    rate = rate_of("10/s");
    ck_assert_int_eq(rate.period, apr_time_from_sec(1));
}
END_TEST

static const char *const wrong[] = { "", "5", "5/", "/5", "0/s", "-1/s", "5/0", "5/x",
                                     "5/s/", "5/s/0", "5/s/x", "5/s/3x", "5 /s", "5/31d", "9000000/s", "9999/s",
                                     "5/s/3/2", "1e3/s", "99999999999999999999/s" };

START_TEST(refuses)
{
    mcp_rate_t rate;

    ck_assert_ptr_nonnull(mcp_rate_parse(wrong[_i], &rate));
}
END_TEST

START_TEST(burst_then_pace)
{
    mcp_limit_table_t *table = make_table(64);
    mcp_rate_t rate = rate_of("60/60s/3");
    mcp_limit_state_t state;

    ck_assert(mcp_limit_check(table, &rate, "r", "k", start, &state));
    ck_assert_int_eq(state.remaining, 2);
    ck_assert_int_eq(state.retry, 0);
    ck_assert(mcp_limit_check(table, &rate, "r", "k", start, &state));
    ck_assert(mcp_limit_check(table, &rate, "r", "k", start, &state));
    ck_assert_int_eq(state.remaining, 0);
    ck_assert(!mcp_limit_check(table, &rate, "r", "k", start, &state));
    ck_assert_int_eq(state.remaining, 0);
    ck_assert_int_eq(state.retry, apr_time_from_sec(1));
    ck_assert_int_eq(state.reset, apr_time_from_sec(3));

    /* another key, and another rule for the same key, are not concerned */
    ck_assert(mcp_limit_check(table, &rate, "r", "other", start, NULL));
    ck_assert(mcp_limit_check(table, &rate, "other", "k", start, NULL));

    ck_assert(!mcp_limit_check(table, &rate, "r", "k", start + apr_time_from_msec(999), NULL));
    ck_assert(mcp_limit_check(table, &rate, "r", "k", start + apr_time_from_sec(1), NULL));
    ck_assert(!mcp_limit_check(table, &rate, "r", "k", start + apr_time_from_sec(1), NULL));
}
END_TEST

START_TEST(long_keys_differ_at_their_end)
{
    mcp_limit_table_t *table = make_table(64);
    mcp_rate_t rate = rate_of("1/60s");
    char a[2000], b[2000];

    memset(a, 'x', sizeof(a));
    a[sizeof(a) - 1] = '\0';
    strcpy(b, a);
    b[sizeof(b) - 2] = 'y';
    ck_assert(mcp_limit_check(table, &rate, "r", a, start, NULL));
    ck_assert(!mcp_limit_check(table, &rate, "r", a, start, NULL));
    ck_assert(mcp_limit_check(table, &rate, "r", b, start, NULL));
}
END_TEST

/* A flood of keys takes the words of those who have waited longest, and never crashes or hangs. */
START_TEST(a_full_table_forgives)
{
    mcp_limit_table_t *table = make_table(8);
    mcp_rate_t rate = rate_of("5/60s");
    int i;

    for (i = 0; i < 10000; i++) {
        ck_assert(mcp_limit_check(table, &rate, "r", apr_itoa(pool, i), start, NULL));
    }
}
END_TEST

typedef struct {
    mcp_limit_table_t *table;
    const mcp_rate_t *rate;
    int passed;
} competitor_t;

static void *compete(void *baton)
{
    competitor_t *me = baton;
    int i;

    for (i = 0; i < 1000; i++) {
        me->passed += mcp_limit_check(me->table, me->rate, "r", "k", start, NULL);
    }
    return NULL;
}

/* Four threads in each of two processes, all at one key: 1000 of 8000 calls pass, not one more or less. */
START_TEST(exact_under_contention)
{
    mcp_limit_table_t *table = make_table(1024);
    mcp_rate_t rate = rate_of("1000/day");
    competitor_t competitors[4];
    pthread_t threads[4];
    int passed = 0, theirs = 0, ends[2], i;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    for (i = 0; i < 4; i++) {
        competitors[i] = (competitor_t){ table, &rate, 0 };
        pthread_create(&threads[i], NULL, compete, &competitors[i]);
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        passed += competitors[i].passed;
    }
    if (!child) {
        _exit(write(ends[1], &passed, sizeof(passed)) == sizeof(passed) ? 0 : 1);
    }
    ck_assert_int_eq(read(ends[0], &theirs, sizeof(theirs)), sizeof(theirs));
    waitpid(child, NULL, 0);
    ck_assert_int_eq(passed + theirs, 1000);
}
END_TEST

START_TEST(address_keys)
{
    ck_assert_str_eq(mcp_limit_address_key(pool, "192.0.2.1"), "192.0.2.1");
    ck_assert_str_eq(mcp_limit_address_key(pool, "::ffff:192.0.2.1"), "192.0.2.1");
    ck_assert_str_eq(mcp_limit_address_key(pool, "2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
    ck_assert_str_eq(mcp_limit_address_key(pool, "2001:db8:1:2:ffff::"), "2001:db8:1:2::/64");
    ck_assert_str_eq(mcp_limit_address_key(pool, NULL), "");
}
END_TEST

Suite *suite_limit(void)
{
    Suite *suite = suite_create("limit");
    TCase *test = unit_case(suite, "limit");

    tcase_add_test(test, parses);
    tcase_add_loop_test(test, refuses, 0, (int)(sizeof(wrong) / sizeof(*wrong)));
    tcase_add_test(test, burst_then_pace);
    tcase_add_test(test, long_keys_differ_at_their_end);
    tcase_add_test(test, a_full_table_forgives);
    tcase_add_test(test, exact_under_contention);
    tcase_add_test(test, address_keys);
    return suite;
}
