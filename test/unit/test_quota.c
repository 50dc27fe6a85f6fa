/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas: windows of the calendar, counts that outlive whoever counted, and files that are none;
 * places of calls at once. */

#include "unit.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_errno.h>
#include <apr_strings.h>

#include "mcp_quota.h"
#include "mcp_slots.h"

#define ENTRIES 1024

/* ---- the calendar ---- */

static const struct {
    mcp_calendar_e unit;
    apr_int64_t now, start, end;
} windows[] = {
    { MCP_CALENDAR_HOUR, 1798771199, 1798768800, 1798772400 },
    { MCP_CALENDAR_DAY, 1798761599, 1798675200, 1798761600 },   /* 2026-12-31T23:59:59 */
    { MCP_CALENDAR_DAY, 1798761600, 1798761600, 1798848000 },   /* 2027-01-01 */
    { MCP_CALENDAR_WEEK, 1798761599, 1798416000, 1799020800 },  /* Monday 2026-12-28 to 2027-01-04 */
    { MCP_CALENDAR_WEEK, 1798416000, 1798416000, 1799020800 },  /* Monday itself */
    { MCP_CALENDAR_WEEK, 1798415999, 1797811200, 1798416000 },  /* the Sunday before */
    { MCP_CALENDAR_MONTH, 1798761599, 1796083200, 1798761600 }, /* December 2026 */
    { MCP_CALENDAR_MONTH, 1803859199, 1801440000, 1803859200 }, /* February 2027, 28 days */
    { MCP_CALENDAR_MONTH, 1835481599, 1832976000, 1835481600 }, /* February 2028, 29 days */
    { MCP_CALENDAR_MONTH, 1805000000, 1803859200, 1806537600 }, /* March 2027 */
    { MCP_CALENDAR_MONTH, 1806537600, 1806537600, 1809129600 }, /* April 2027, 30 days */
};

START_TEST(calendar)
{
    apr_time_t start, end;

    mcp_calendar_window(windows[_i].unit, apr_time_from_sec(windows[_i].now) + 999999, &start,
                        &end);
    ck_assert_int_eq(start, apr_time_from_sec(windows[_i].start));
    ck_assert_int_eq(end, apr_time_from_sec(windows[_i].end));
}
END_TEST

static const char *const wrong[] = { "",
                                     "5",
                                     "5/",
                                     "0/day",
                                     "-1/day",
                                     "5/year",
                                     "5/days",
                                     "5/day/3",
                                     "5/7d",
                                     "10000001/day",
                                     "99999999999999999999/day",
                                     "x/day",
                                     "5 /day" };

START_TEST(parses)
{
    apr_uint32_t count;
    mcp_calendar_e unit;

    ck_assert_ptr_nonnull(mcp_quota_parse(wrong[_i], &count, &unit));
    ck_assert_ptr_null(mcp_quota_parse("10000000/month", &count, &unit));
    ck_assert_int_eq(count, 10000000);
    ck_assert_int_eq(unit, MCP_CALENDAR_MONTH);
}
END_TEST

/* ---- counting ---- */

static mcp_quota_origin_e origin;
static apr_status_t why;

static mcp_quota_table_t *open_at(const char *path)
{
    mcp_quota_table_t *table = NULL;

    ck_assert_int_eq(mcp_quota_open(&table, path, ENTRIES, &origin, &why, pool), APR_SUCCESS);
    return table;
}

static int check_at(mcp_quota_table_t *table, apr_uint32_t quota, apr_int64_t now,
                    mcp_limit_state_t *state)
{
    return mcp_quota_check(table, quota, MCP_CALENDAR_DAY, "r", "k", apr_time_from_sec(now), state);
}

#define NOON (1798761600 + 43200)

START_TEST(counts_by_windows)
{
    mcp_quota_table_t *table = open_at(NULL);
    mcp_limit_state_t state;

    ck_assert_int_eq(origin, MCP_QUOTA_MEMORY);
    ck_assert(check_at(table, 2, NOON, &state));
    ck_assert_int_eq(state.remaining, 1);
    ck_assert_int_eq(state.quota, 2);
    ck_assert_int_eq(state.window, apr_time_from_sec(86400));
    ck_assert_int_eq(state.reset, apr_time_from_sec(43200));
    ck_assert(check_at(table, 2, NOON, &state));
    ck_assert(!check_at(table, 2, NOON + 43199, &state));
    ck_assert_int_eq(state.retry, apr_time_from_sec(1));
    ck_assert_int_eq(state.remaining, 0);
    /* others are not concerned */
    ck_assert(
        mcp_quota_check(table, 2, MCP_CALENDAR_DAY, "r", "other", apr_time_from_sec(NOON), &state));
    ck_assert(
        mcp_quota_check(table, 2, MCP_CALENDAR_DAY, "other", "k", apr_time_from_sec(NOON), &state));
    /* a larger quota of the same name goes on where the smaller one was */
    ck_assert(check_at(table, 3, NOON, &state));
    ck_assert(!check_at(table, 3, NOON, &state));
    /* a new day */
    ck_assert(check_at(table, 2, NOON + 43200, &state));
    ck_assert_int_eq(state.remaining, 1);
    ck_assert_int_eq(mcp_quota_displaced(table), 0);
}
END_TEST

/* Words come round again after 65536 hours: what is older than a month is no count of a running
 * window. */
START_TEST(old_words_are_free)
{
    mcp_quota_table_t *table = NULL;
    mcp_limit_state_t state;
    int i;

    ck_assert_int_eq(mcp_quota_open(&table, NULL, 8, &origin, &why, pool), APR_SUCCESS);
    for (i = 0; i < 100; i++) {
        ck_assert(mcp_quota_check(table, 5, MCP_CALENDAR_HOUR, "r", apr_itoa(pool, i),
                                  apr_time_from_sec((apr_int64_t)NOON + i * 7200), &state));
    }
    ck_assert_int_eq(mcp_quota_displaced(table), 0);
    for (i = 0; i < 9; i++) {
        ck_assert(mcp_quota_check(table, 5, MCP_CALENDAR_DAY, "x", apr_itoa(pool, i),
                                  apr_time_from_sec(NOON + 864000), &state));
    }
    ck_assert_int_eq(mcp_quota_displaced(table), 1);
}
END_TEST

/* In a process of its own, which is killed behind its last count. */
static void count_and_die(const char *path, apr_uint32_t n)
{
    pid_t child = fork();
    int status = 0;

    if (!child) {
        mcp_quota_table_t *table = open_at(path);
        mcp_limit_state_t state;

        while (n-- > 0) {
            if (!check_at(table, 10, NOON, &state)) {
                _exit(9);
            }
        }
        raise(SIGKILL);
    }
    waitpid(child, &status, 0);
    ck_assert(WIFSIGNALED(status));
}

START_TEST(outlives_whoever_counted)
{
    const char *path = apr_pstrcat(pool, unit_file("quota-dir", ""), "-quotas", NULL);
    mcp_quota_table_t *table;
    mcp_limit_state_t state;
    struct stat info;

    count_and_die(path, 4);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_int_eq(info.st_mode & 0777, 0600);
    count_and_die(path, 5);
    table = open_at(path);
    ck_assert_int_eq(origin, MCP_QUOTA_FOUND);
    ck_assert(check_at(table, 10, NOON, &state));
    ck_assert(!check_at(table, 10, NOON, &state));
}
END_TEST

/* What is no file of ours is put aside, and everything begins anew. */
START_TEST(damaged_files)
{
    const char *path = apr_pstrcat(pool, unit_file("quota-dir", ""), "-bad", NULL);
    struct stat info;
    mcp_limit_state_t state;
    int fd;

    count_and_die(path, 10);
    ck_assert_int_eq(stat(path, &info), 0);
    fd = open(path, O_RDWR);
    switch (_i) {
    case 0:
        ck_assert_int_eq(ftruncate(fd, info.st_size - 8), 0);
        break;
    case 1:
        ck_assert_int_eq(ftruncate(fd, info.st_size + 8), 0);
        break;
    case 2: /* another secret */
        ck_assert_int_eq(pwrite(fd, "x", 1, 20), 1);
        break;
    case 3:
        ck_assert_int_eq(pwrite(fd, "#!/bin/sh", 9, 0), 9);
        break;
    default:
        ck_assert_int_eq(ftruncate(fd, 0), 0);
        break;
    }
    close(fd);
    ck_assert(check_at(open_at(path), 10, NOON, &state));
    ck_assert_int_eq(origin, MCP_QUOTA_BAD);
    ck_assert_int_eq(state.remaining, 9);
    ck_assert_int_eq(stat(apr_pstrcat(pool, path, ".bad", NULL), &info), 0);
    unlink(apr_pstrcat(pool, path, ".bad", NULL));
    unlink(path);
}
END_TEST

/* A link, a directory, no directory: memory serves, and the reason is told. */
START_TEST(unusable_files)
{
    const char *target = unit_file("quota-target", "precious");
    const char *link_path = apr_pstrcat(pool, target, "-link", NULL);
    mcp_limit_state_t state;

    ck_assert_int_eq(symlink(target, link_path), 0);
    ck_assert(check_at(open_at(link_path), 1, NOON, &state));
    ck_assert_int_eq(origin, MCP_QUOTA_MEMORY);
    ck_assert_int_ne(why, APR_SUCCESS);
    unlink(link_path);
    ck_assert(check_at(open_at("/nowhere/at/all"), 1, NOON, &state));
    ck_assert_int_eq(origin, MCP_QUOTA_MEMORY);
    ck_assert(APR_STATUS_IS_ENOENT(why));
}
END_TEST

START_TEST(one_httpd_at_a_time)
{
    const char *path = apr_pstrcat(pool, unit_file("quota-dir", ""), "-locked", NULL);
    int ends[2];
    pid_t child;
    char c;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    if (!child) {
        open_at(path);
        _exit(write(ends[1], "x", 1) == 1 && pause());
    }
    ck_assert_int_eq(read(ends[0], &c, 1), 1);
    open_at(path);
    ck_assert_int_eq(origin, MCP_QUOTA_MEMORY);
    ck_assert_int_eq(why, APR_EBUSY);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    open_at(path);
    ck_assert_int_eq(origin, MCP_QUOTA_FOUND);
}
END_TEST

/* ---- both under contention: four threads in each of two processes ---- */

typedef struct {
    int (*once)(void *);
    void *what;
    int rounds;
    int passed;
} competitor_t;

static void *compete(void *baton)
{
    competitor_t *me = baton;
    int i;

    for (i = 0; i < me->rounds; i++) {
        me->passed += me->once(me->what);
    }
    return NULL;
}

static int passed_of_8000(int (*once)(void *), void *what)
{
    competitor_t competitors[4];
    pthread_t threads[4];
    int passed = 0, theirs = 0, ends[2], i;
    pid_t child;

    ck_assert_int_eq(pipe(ends), 0);
    child = fork();
    for (i = 0; i < 4; i++) {
        competitors[i] = (competitor_t){ once, what, 1000, 0 };
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
    return passed + theirs;
}

static int quota_once(void *table)
{
    mcp_limit_state_t state;

    return mcp_quota_check(table, 1000, MCP_CALENDAR_MONTH, "r", "k", apr_time_from_sec(NOON),
                           &state);
}

START_TEST(quotas_are_exact)
{
    ck_assert_int_eq(passed_of_8000(quota_once, open_at(NULL)), 1000);
}
END_TEST

/* ---- places ---- */

static mcp_slots_t *make_slots(apr_uint32_t places)
{
    mcp_slots_t *slots = NULL;

    ck_assert_int_eq(mcp_slots_create(&slots, places, pool), APR_SUCCESS);
    return slots;
}

static apr_int32_t take(mcp_slots_t *slots, apr_uint32_t limit, const char *key)
{
    apr_uint32_t taken;

    return mcp_slots_take(slots, limit, "r", key, getpid(), &taken);
}

START_TEST(places_come_back)
{
    mcp_slots_t *slots = make_slots(64);
    apr_int32_t first = take(slots, 2, "k");
    apr_uint32_t taken;

    ck_assert_int_ge(first, 0);
    ck_assert_int_ge(mcp_slots_take(slots, 2, "r", "k", getpid(), &taken), 0);
    ck_assert_int_eq(taken, 2);
    ck_assert_int_eq(take(slots, 2, "k"), MCP_SLOT_REFUSED);
    ck_assert_int_ge(take(slots, 2, "other"), 0);
    ck_assert_int_ge(mcp_slots_take(slots, 2, "other", "k", getpid(), &taken), 0);
    mcp_slots_give(slots, first);
    mcp_slots_give(slots, first); /* twice is once */
    ck_assert_int_ge(take(slots, 2, "k"), 0);
    ck_assert_int_eq(take(slots, 2, "k"), MCP_SLOT_REFUSED);
    ck_assert_int_eq(mcp_slots_gone(slots, getpid()), 4);
    ck_assert_int_ge(take(slots, 1, "k"), 0);
}
END_TEST

START_TEST(a_full_table_refuses)
{
    mcp_slots_t *slots = make_slots(64);
    int i;

    for (i = 0; i < 64; i++) {
        ck_assert_int_ge(take(slots, 1, apr_itoa(pool, i)), 0);
    }
    ck_assert_int_eq(take(slots, 1, "one more"), MCP_SLOT_FULL);
}
END_TEST

static int slot_once(void *slots)
{
    return take(slots, 1000, "k") >= 0;
}

START_TEST(places_are_exact)
{
    ck_assert_int_eq(passed_of_8000(slot_once, make_slots(4096)), 1000);
}
END_TEST

static int slot_forever(void *slots)
{
    apr_int32_t place = take(slots, 3, "k");

    mcp_slots_give(slots, place);
    return 0;
}

/* Processes are killed in the middle of taking and giving: all places are there again. */
START_TEST(nothing_is_lost_with_a_process)
{
    mcp_slots_t *slots = make_slots(64);
    apr_int32_t places[3];
    int round, i;

    for (round = 0; round < 60; round++) {
        pid_t child = fork();

        if (!child) {
            competitor_t competitor = { slot_forever, slots, 1 << 30, 0 };
            pthread_t thread;

            for (i = 0; i < 2; i++) {
                pthread_create(&thread, NULL, compete, &competitor);
            }
            compete(&competitor);
        }
        usleep(1000 + round * 37);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        mcp_slots_gone(slots, child);
    }
    for (i = 0; i < 3 && mcp_slots_audit(slots) > 0; i++) {
        ;
    }
    ck_assert_int_eq(mcp_slots_audit(slots), 0);
    for (i = 0; i < 3; i++) {
        places[i] = take(slots, 3, "k");
        ck_assert_int_ge(places[i], 0);
    }
    ck_assert_int_eq(take(slots, 3, "k"), MCP_SLOT_REFUSED);
}
END_TEST

Suite *suite_quota(void)
{
    Suite *suite = suite_create("quota");
    TCase *test = unit_case(suite, "quota");

    tcase_set_timeout(test, 30);
    tcase_add_loop_test(test, calendar, 0, (int)(sizeof(windows) / sizeof(*windows)));
    tcase_add_loop_test(test, parses, 0, (int)(sizeof(wrong) / sizeof(*wrong)));
    tcase_add_test(test, counts_by_windows);
    tcase_add_test(test, old_words_are_free);
    tcase_add_test(test, outlives_whoever_counted);
    tcase_add_loop_test(test, damaged_files, 0, 5);
    tcase_add_test(test, unusable_files);
    tcase_add_test(test, one_httpd_at_a_time);
    tcase_add_test(test, quotas_are_exact);
    tcase_add_test(test, places_come_back);
    tcase_add_test(test, a_full_table_refuses);
    tcase_add_test(test, places_are_exact);
    tcase_add_test(test, nothing_is_lost_with_a_process);
    return suite;
}
