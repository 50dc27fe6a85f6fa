/* SPDX-License-Identifier: Apache-2.0 */
/* The cache of a provider's documents, and the gate, with the network taken away. */

#include "upstream.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "stub_httpd.h"
#include "upstream/upstream_impl.h"

#define URL "https://login.example/doc"
#define KEEP apr_time_from_sec(7200)
#define READERS 8

/* ---- in place of fetch.c ---- */

static struct {
    int result; /* OK or what mcp_fetch() returns */
    int status;
    const char *body;
    apr_interval_time_t takes;
    apr_interval_time_t timeout; /* that the last call was given */
    int calls;
    int inside;
    int most; /* calls at the same time */
} net;

int mcp_fetch(apr_pool_t *p, const mcp_fetch_t *ask, mcp_fetched_t *got, mcp_result_t *res)
{
    int inside = __atomic_add_fetch(&net.inside, 1, __ATOMIC_SEQ_CST);

    net.most = inside > net.most ? inside : net.most;
    __atomic_add_fetch(&net.calls, 1, __ATOMIC_SEQ_CST);
    net.timeout = ask->timeout;
    for (apr_interval_time_t spent = 0; spent < __atomic_load_n(&net.takes, __ATOMIC_SEQ_CST); spent += 5000) {
        apr_sleep(5000);
    }
    __atomic_sub_fetch(&net.inside, 1, __ATOMIC_SEQ_CST);
    if (net.result != OK) {
        return mcp_fail(res, net.result, "temporarily_unavailable", "down", "connection refused");
    }
    got->status = net.status;
    got->body = apr_pstrdup(p, __atomic_load_n(&net.body, __ATOMIC_SEQ_CST));
    got->len = strlen(got->body);
    return OK;
}

/* ---- the document under test is its own text ---- */

static int live; /* documents that are not freed yet */

static apr_status_t gone(void *data)
{
    memset(data, 'x', strlen(data)); /* who still reads it sees that */
    __atomic_sub_fetch(&live, 1, __ATOMIC_SEQ_CST);
    return APR_SUCCESS;
}

static const void *parse(apr_pool_t *p, const mcp_provider_t *provider, const char *text, apr_size_t len,
                         const char **why)
{
    char *doc = apr_pstrmemdup(p, text, len);

    if (!strcmp(text, "bad")) {
        *why = apr_pstrdup(p, "is bad");
        return NULL;
    }
    __atomic_add_fetch(&live, 1, __ATOMIC_SEQ_CST);
    apr_pool_cleanup_register(p, doc, gone, apr_pool_cleanup_null);
    return doc;
}

static mcp_provider_t provider = { .name = "corp", .timeout = 10 * APR_USEC_PER_SEC };

static mcp_cache_t *make(void)
{
    mcp_cache_t *cache;

    memset(&net, 0, sizeof(net));
    net.status = 200;
    net.body = "one";
    live = 0;
    provider.timeout = apr_time_from_sec(10);
    ck_assert_int_eq(mcp_cache_create(&cache, "metadata", parse, 1000, KEEP, &stub_server, pool), APR_SUCCESS);
    return cache;
}

static int get_at(mcp_cache_t *cache, const char *url, const void *seen, const char **doc, mcp_result_t *res)
{
    const void *found = NULL;
    int rc;

    memset(res, 0, sizeof(*res));
    rc = mcp_cache_get(cache, &provider, url, seen, &found, res, pool);
    *doc = found;
    return rc;
}

/* The document as text, or the status of the failure. */
static const char *get(mcp_cache_t *cache)
{
    mcp_result_t res;
    const char *doc;
    int rc = get_at(cache, URL, NULL, &doc, &res);

    return rc == OK ? doc : apr_itoa(pool, rc);
}

START_TEST(fetched_once)
{
    mcp_cache_t *cache = make();

    ck_assert(!mcp_cache_is_fresh(cache));
    ck_assert_str_eq(get(cache), "one");
    ck_assert_int_eq(net.timeout, provider.timeout);
    net.body = "two";
    ck_assert_str_eq(get(cache), "one");
    ck_assert(mcp_cache_is_fresh(cache));
    ck_assert_int_eq(net.calls, 1);
}
END_TEST

START_TEST(renewed_when_old)
{
    mcp_cache_t *cache = make();
    const char *old = get(cache);

    net.body = "two";
    clock_offset = MCP_CACHE_FRESH;
    ck_assert(!mcp_cache_is_fresh(cache));
    ck_assert_str_eq(get(cache), "two");
    ck_assert_int_le(net.timeout, apr_time_from_sec(3)); /* somebody waits for it who need not */
    ck_assert_int_eq(net.calls, 2);
    ck_assert_str_eq(old, "one"); /* still held by this reader */
    ck_assert_int_eq(live, 2);
}
END_TEST

START_TEST(serves_while_the_provider_is_down)
{
    mcp_cache_t *cache = make();

    get(cache);
    net.result = HTTP_SERVICE_UNAVAILABLE;
    clock_offset = MCP_CACHE_FRESH;
    ck_assert_str_eq(get(cache), "one");
    ck_assert_str_eq(get(cache), "one");
    ck_assert_int_eq(net.calls, 2); /* not asked again by each request */
    clock_offset += apr_time_from_sec(31);
    ck_assert_str_eq(get(cache), "one");
    ck_assert_int_eq(net.calls, 3);
    clock_offset = KEEP; /* but not for ever */
    ck_assert_str_eq(get(cache), "503");
    net.result = OK;
    net.body = "two";
    clock_offset += apr_time_from_sec(31);
    ck_assert_str_eq(get(cache), "two");
}
END_TEST

START_TEST(failures_are_remembered_for_a_moment)
{
    mcp_cache_t *cache = make();
    mcp_result_t res;
    const char *doc;

    net.status = 404;
    ck_assert_int_eq(get_at(cache, URL, NULL, &doc, &res), HTTP_BAD_GATEWAY);
    ck_assert_str_eq(res.error, "server_error");
    ck_assert_ptr_nonnull(strstr(res.log, "404; check MCPProviderIssuer"));
    ck_assert_str_eq(get(cache), "502");
    ck_assert_int_eq(net.calls, 1);
    for (int i = 0; i < 20; i++) { /* longer and longer, up to five seconds */
        clock_offset += apr_time_from_sec(5) + 1;
        ck_assert_str_eq(get(cache), "502");
        ck_assert_int_eq(net.calls, i + 2);
    }
    net.status = 200;
    clock_offset += apr_time_from_sec(5) + 1;
    ck_assert_str_eq(get(cache), "one");
}
END_TEST

START_TEST(what_the_provider_says)
{
    static const struct {
        int status, expected;
        const char *body, *log;
    } answers[] = {
        { 200, HTTP_BAD_GATEWAY, "bad", "is bad" },
        { 301, HTTP_BAD_GATEWAY, "", "redirects are not followed" },
        { 204, HTTP_BAD_GATEWAY, "", "answered 204" },
        { 500, HTTP_SERVICE_UNAVAILABLE, "", "answered 500" },
        { 429, HTTP_SERVICE_UNAVAILABLE, "", "answered 429" },
    };
    mcp_cache_t *cache = make();
    mcp_result_t res;
    const char *doc;

    net.status = answers[_i].status;
    net.body = answers[_i].body;
    for (int i = 0; i < 2; i++) { /* also to who comes after */
        ck_assert_int_eq(get_at(cache, URL, NULL, &doc, &res), answers[_i].expected);
        ck_assert_int_eq(res.status, answers[_i].expected);
        ck_assert_ptr_nonnull(strstr(res.log, answers[_i].log));
    }
    ck_assert_int_eq(net.calls, 1);
    ck_assert_int_eq(live, 0);
}
END_TEST

START_TEST(another_address)
{
    mcp_cache_t *cache = make();
    mcp_result_t res;
    const char *doc;

    get(cache);
    net.body = "elsewhere";
    ck_assert_int_eq(get_at(cache, "https://login.example/other", NULL, &doc, &res), OK);
    ck_assert_str_eq(doc, "elsewhere");
    ck_assert_int_eq(net.calls, 2);
}
END_TEST

START_TEST(another_one_is_wanted)
{
    mcp_cache_t *cache = make();
    const char *first = get(cache), *second, *third;
    mcp_result_t res;

    net.body = "two";
    ck_assert_int_eq(get_at(cache, URL, first, &second, &res), OK);
    ck_assert_str_eq(second, "two");
    /* somebody else who saw only the first gets the second without a call */
    ck_assert_int_eq(get_at(cache, URL, first, &third, &res), OK);
    ck_assert_str_eq(third, "two");
    ck_assert_int_eq(net.calls, 2);
    /* and who saw the second has to wait (T50) */
    ck_assert_int_eq(get_at(cache, URL, second, &third, &res), HTTP_NOT_FOUND);
    ck_assert_int_eq(net.calls, 2);
    clock_offset = MCP_CACHE_REFETCH;
    net.body = "three";
    ck_assert_int_eq(get_at(cache, URL, second, &third, &res), OK);
    ck_assert_str_eq(third, "three");
    ck_assert_str_eq(first, "one");
    /* a provider that is down does not take away what is there */
    clock_offset *= 2;
    net.result = HTTP_SERVICE_UNAVAILABLE;
    ck_assert_int_ne(get_at(cache, URL, third, &second, &res), OK);
    ck_assert_str_eq(get(cache), "three");
}
END_TEST

START_TEST(freed_with_the_last_reader)
{
    mcp_cache_t *cache = make();
    apr_pool_t *request, *test = pool;

    apr_pool_create_unmanaged_ex(&request, NULL, NULL);
    pool = request;
    get(cache);
    net.body = "two";
    clock_offset = MCP_CACHE_FRESH;
    get(cache);
    pool = test;
    ck_assert_int_eq(live, 2);
    apr_pool_destroy(request);
    ck_assert_int_eq(live, 1); /* the cache's own */
}
END_TEST

/* ---- threads ---- */

static mcp_cache_t *shared;
static int stop, wrong, answered, finished;

static void *APR_THREAD_FUNC reader(apr_thread_t *thread, void *data)
{
    apr_pool_t *p;

    do {
        mcp_result_t res = { 0 };
        const void *doc = NULL;

        apr_pool_create_unmanaged_ex(&p, NULL, NULL);
        if (mcp_cache_get(shared, &provider, URL, NULL, &doc, &res, p) == OK) {
            __atomic_add_fetch(&answered, 1, __ATOMIC_SEQ_CST);
            if (strcmp(doc, "one") && strcmp(doc, "two")) {
                __atomic_add_fetch(&wrong, 1, __ATOMIC_SEQ_CST);
            }
        }
        apr_pool_destroy(p);
    } while (data && !__atomic_load_n(&stop, __ATOMIC_SEQ_CST));
    __atomic_add_fetch(&finished, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

static void start_readers(apr_thread_t **threads, void *data)
{
    stop = wrong = answered = finished = 0;
    for (int i = 0; i < READERS; i++) {
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, reader, data, pool), APR_SUCCESS);
    }
}

static void join_readers(apr_thread_t **threads)
{
    apr_status_t rv;

    for (int i = 0; i < READERS; i++) {
        apr_thread_join(&rv, threads[i]);
    }
}

START_TEST(one_fetches_for_all)
{
    apr_thread_t *threads[READERS];

    shared = make();
    net.takes = apr_time_from_msec(100);
    start_readers(threads, NULL);
    join_readers(threads);
    ck_assert_int_eq(net.calls, 1);
    ck_assert_int_eq(answered, READERS);
}
END_TEST

START_TEST(who_waits_waits_no_longer_than_the_timeout)
{
    apr_thread_t *threads[READERS];

    shared = make();
    provider.timeout = apr_time_from_msec(100);
    net.takes = apr_time_from_sec(60);
    start_readers(threads, NULL);
    for (int i = 0; i < 10000 && __atomic_load_n(&finished, __ATOMIC_SEQ_CST) < READERS - 1; i++) {
        apr_sleep(1000);
    }
    ck_assert_int_eq(__atomic_load_n(&finished, __ATOMIC_SEQ_CST), READERS - 1);
    ck_assert_int_eq(__atomic_load_n(&answered, __ATOMIC_SEQ_CST), 0);
    ck_assert_int_eq(__atomic_load_n(&net.calls, __ATOMIC_SEQ_CST), 1);
    __atomic_store_n(&net.takes, 0, __ATOMIC_SEQ_CST); /* the one that fetches ends as well */
    join_readers(threads);
    ck_assert_int_eq(answered, 1);
}
END_TEST

/* Readers all the while that documents are exchanged: a sanitizer sees what is read too late. */
START_TEST(exchanged_under_readers)
{
    apr_thread_t *threads[READERS];

    shared = make();
    start_readers(threads, &stop);
    for (int i = 0; i < 300; i++) {
        __atomic_store_n(&net.body, i & 1 ? "one" : "two", __ATOMIC_SEQ_CST);
        __atomic_add_fetch(&clock_offset, MCP_CACHE_FRESH, __ATOMIC_SEQ_CST);
        apr_sleep(1000);
    }
    __atomic_store_n(&stop, 1, __ATOMIC_SEQ_CST);
    join_readers(threads);
    ck_assert_int_eq(wrong, 0);
    ck_assert_int_gt(net.calls, 100);
    ck_assert_int_eq(net.most, 1);
    ck_assert_int_eq(live, 1);
}
END_TEST

Suite *suite_cache(void)
{
    Suite *suite = suite_create("cache");
    TCase *test = unit_case(suite, "cache");

    tcase_add_test(test, fetched_once);
    tcase_add_test(test, renewed_when_old);
    tcase_add_test(test, serves_while_the_provider_is_down);
    tcase_add_test(test, failures_are_remembered_for_a_moment);
    tcase_add_loop_test(test, what_the_provider_says, 0, 5);
    tcase_add_test(test, another_address);
    tcase_add_test(test, another_one_is_wanted);
    tcase_add_test(test, freed_with_the_last_reader);
    tcase_add_test(test, one_fetches_for_all);
    tcase_add_test(test, who_waits_waits_no_longer_than_the_timeout);
    tcase_add_test(test, exchanged_under_readers);
    return suite;
}

/* ---- gate ---- */

static mcp_gate_t *gate;
static int entered, turned_away, opened;
static apr_thread_t *visitors[64];
static int visitor_count;

static void *APR_THREAD_FUNC visitor(apr_thread_t *thread, void *wait)
{
    if (mcp_gate_enter(gate, *(apr_interval_time_t *)wait) == APR_SUCCESS) {
        __atomic_add_fetch(&entered, 1, __ATOMIC_SEQ_CST);
        while (!__atomic_load_n(&opened, __ATOMIC_SEQ_CST)) {
            apr_sleep(1000);
        }
        mcp_gate_leave(gate);
    }
    else {
        __atomic_add_fetch(&turned_away, 1, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void visit(int count, apr_interval_time_t *wait)
{
    while (count--) {
        ck_assert_int_eq(apr_thread_create(&visitors[visitor_count++], NULL, visitor, wait, pool), APR_SUCCESS);
    }
}

/* Until so many are in and turned away: nothing here depends on how fast threads run. */
static void expect(int in, int away)
{
    for (int i = 0; i < 10000; i++) {
        if (__atomic_load_n(&entered, __ATOMIC_SEQ_CST) == in
            && __atomic_load_n(&turned_away, __ATOMIC_SEQ_CST) == away) {
            return;
        }
        apr_sleep(1000);
    }
    ck_abort_msg("%d in, %d turned away instead of %d and %d", entered, turned_away, in, away);
}

START_TEST(limits)
{
    apr_interval_time_t no = 0, little = apr_time_from_msec(20), enough = apr_time_from_sec(60);
    apr_status_t rv;

    entered = turned_away = opened = visitor_count = 0;
    ck_assert_int_eq(mcp_gate_create(&gate, 4, pool), APR_SUCCESS);
    visit(4, &no);
    expect(4, 0);
    visit(1, &no);
    expect(4, 1);
    visit(2, &little); /* wait, in vain */
    expect(4, 3);
    visit(26, &enough); /* as many wait as may be inside; the others are turned away at once */
    expect(4, 25);
    __atomic_store_n(&opened, 1, __ATOMIC_SEQ_CST);
    expect(8, 25);
    while (visitor_count) {
        apr_thread_join(&rv, visitors[--visitor_count]);
    }
    __atomic_store_n(&opened, 0, __ATOMIC_SEQ_CST); /* and nothing is left behind: all of it once more */
    visit(4, &no);
    expect(12, 25);
    visit(10, &enough);
    expect(12, 31);
    __atomic_store_n(&opened, 1, __ATOMIC_SEQ_CST);
    expect(16, 31);
    while (visitor_count) {
        apr_thread_join(&rv, visitors[--visitor_count]);
    }
}
END_TEST

Suite *suite_gate(void)
{
    Suite *suite = suite_create("gate");

    tcase_add_test(unit_case(suite, "gate"), limits);
    return suite;
}
