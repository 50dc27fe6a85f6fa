/* SPDX-License-Identifier: Apache-2.0 */
/* Counters that hosts share: what a server may answer, and that none can make a caller wait or
 * believe nonsense. (Real memcached and redis: test/system/limits-cluster.test.mjs.) */

#include "unit.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_counter.h"

static const struct {
    const char *where;
    int good;
} places[] = {
    { "memcache:127.0.0.1:11211", 1 },
    { "redis:[::1]:6379", 1 },
    { "redis:/run/redis.sock", 1 },
    { "memcache:/run/memcached.sock", 1 },
    { "", 0 },
    { "redis", 0 },
    { "redis:", 0 },
    { "redis:host", 0 },
    { "redis::6379", 0 },
    { "redis:host:0", 0 },
    { "redis:host:65536", 0 },
    { "redis:host:6379x", 0 },
    { "shmcb:host:1", 0 },
    { "memcached:host:1", 0 },
};

START_TEST(where)
{
    ck_assert_int_eq(mcp_counter_check(pool, places[_i].where) == NULL, places[_i].good);
}
END_TEST

START_TEST(long_path)
{
    char path[200] = "redis:/";

    memset(path + 7, 'x', sizeof(path) - 8);
    ck_assert_ptr_nonnull(mcp_counter_check(pool, path));
}
END_TEST

/* A server that says the same to whatever comes. */
static const char *script;
static int listener;

static void *serve(void *unused)
{
    char buffer[1024];
    int fd;

    while ((fd = accept(listener, NULL, NULL)) >= 0) {
        while (read(fd, buffer, sizeof(buffer)) > 0 && *script) {
            if (write(fd, script, strlen(script)) < 0) {
                break;
            }
        }
        if (*script) {
            close(fd); /* else it keeps silent */
        }
    }
    return unused;
}

static mcp_counter_t *start(const char *kind, const char *says)
{
    const char *path = unit_file(apr_psprintf(pool, "counter-%d", (int)getpid()), "");
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    mcp_counter_t *counter = NULL;
    pthread_t thread;

    script = says;
    unlink(path);
    apr_cpystrn(address.sun_path, path, sizeof(address.sun_path));
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(listener, 8), 0);
    pthread_create(&thread, NULL, serve, NULL);
    ck_assert_ptr_null(mcp_counter_create(&counter, apr_pstrcat(pool, kind, ":", path, NULL),
                                          apr_time_from_msec(200), pool));
    mcp_counter_child_init(counter, pool);
    return counter;
}

static char too_long[2000];

static const struct {
    const char *kind;
    const char *says;
    int count, earlier; /* -1: down */
} answers[] = {
    { "memcache", "STORED\r\n7\r\nVALUE before 0 1\r\n5\r\nEND\r\n", 7, 5 },
    { "memcache", "NOT_STORED\r\n8  \r\nEND\r\n", 8, 0 },
    { "memcache", "NOT_STORED\r\nNOT_FOUND\r\nEND\r\n", -1, 0 },
    { "memcache", "SERVER_ERROR out of memory storing object\r\n", -1, 0 },
    { "memcache", "ERROR\r\nERROR\r\n", -1, 0 },
    { "memcache", "STORED\r\n7\r\nVALUE before 0 1\r\nx\r\nEND\r\n", -1, 0 },
    { "memcache", "", -1, 0 },
    { "memcache", too_long, -1, 0 },
    { "redis", "+OK\r\n:1\r\n$-1\r\n", 1, 0 },
    { "redis", "$-1\r\n:22\r\n$2\r\n19\r\n", 22, 19 },
    { "redis", "-NOAUTH Authentication required.\r\n-NOAUTH Authentication required.\r\n", -1, 0 },
    { "redis", "+OK\r\n-ERR value is not an integer or out of range\r\n", -1, 0 },
    { "redis", "$-1\r\n:\r\n$-1\r\n", -1, 0 },
    { "redis", "", -1, 0 },
};

START_TEST(what_servers_say)
{
    mcp_counter_t *counter;
    apr_int64_t count = 0, earlier = 0;
    apr_time_t begin;
    apr_status_t rv;

    memset(too_long, 'x', sizeof(too_long) - 1);
    counter = start(answers[_i].kind, answers[_i].says);
    begin = apr_time_now();
    rv = mcp_counter_add(counter, "key", apr_time_sec(begin) + 60, "before", &count, &earlier);
    ck_assert_int_lt(apr_time_now() - begin, apr_time_from_sec(3));
    if (answers[_i].count < 0) {
        ck_assert_int_eq(rv, MCP_COUNTER_DOWN);
        /* and it is left alone for a while */
        begin = apr_time_now();
        ck_assert_int_eq(mcp_counter_add(counter, "key", apr_time_sec(begin) + 60, "before", &count,
                                         &earlier),
                         MCP_COUNTER_DOWN);
        ck_assert_int_lt(apr_time_now() - begin, apr_time_from_msec(100));
        return;
    }
    ck_assert_int_eq(rv, APR_SUCCESS);
    ck_assert_int_eq(count, answers[_i].count);
    ck_assert_int_eq(earlier, answers[_i].earlier);
}
END_TEST

Suite *suite_counter(void)
{
    Suite *suite = suite_create("counter");
    TCase *test = unit_case(suite, "counter");

    tcase_add_loop_test(test, where, 0, (int)(sizeof(places) / sizeof(*places)));
    tcase_add_test(test, long_path);
    tcase_add_loop_test(test, what_servers_say, 0, (int)(sizeof(answers) / sizeof(*answers)));
    return suite;
}
