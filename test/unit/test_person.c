/* SPDX-License-Identifier: Apache-2.0 */
/* The person index: its form, its bounds, its lock among many writers; and not-before marks. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "mcp_lease.h"
#include "mcp_not_before.h"
#include "mcp_person.h"
#include "stub_httpd.h"

#define NOW apr_time_from_sec(1700000000)
#define HOUR apr_time_from_sec(3600)

static mcp_store_t *open_store(const char *value)
{
    mcp_store_conf_t conf = { 0 };
    mcp_store_t *store = NULL;

    fake_reset();
    ck_assert_ptr_null(mcp_store_parse(&conf, value, stub_cmd(pool, NULL)));
    conf.timeout = apr_time_from_sec(5);
    ck_assert_int_eq(mcp_store_open(&store, &conf, unit_ring(KEY_1), &stub_server, pool, pool),
                     APR_SUCCESS);
    mcp_store_child_init(store, pool);
    return store;
}

static mcp_person_entry_t sample(int n)
{
    mcp_person_entry_t entry = { .source = 2,
                                 .issued = NOW + apr_time_from_msec(7),
                                 .used = NOW + n,
                                 .expires = NOW + HOUR,
                                 .client_key = "0123456789abcdefghijkl",
                                 .client_name = "Client \xc3\xa9",
                                 .host = "app.example.com",
                                 .scope = "a b",
                                 .resource = "https://mcp.example.com/mcp" };

    entry.grant[0] = (unsigned char)(n >> 8);
    entry.grant[1] = (unsigned char)n;
    entry.sid[0] = 9;
    return entry;
}

static mcp_person_t empty(void)
{
    mcp_person_t person = { .since = NOW,
                            .entries = apr_array_make(pool, 4, sizeof(mcp_person_entry_t)) };

    return person;
}

static mcp_person_t again(mcp_person_t *person, apr_time_t now)
{
    mcp_person_t out;
    unsigned char *data;
    apr_size_t len;

    mcp_person_encode(pool, person, now, &data, &len);
    ck_assert_uint_le(len, MCP_PERSON_BYTES);
    ck_assert_int_eq(mcp_person_decode(pool, data, len, &out), APR_SUCCESS);
    return out;
}

#define ENTRY(person, i) (&APR_ARRAY_IDX((person).entries, i, mcp_person_entry_t))

START_TEST(round_trip)
{
    mcp_person_t person = empty(), out;
    mcp_person_entry_t one = sample(1), two = sample(2);
    unsigned char *data;
    apr_size_t len;

    two.client_name = two.host = two.scope = "";
    one.logo = "https://app.example.com/logo.png";
    mcp_person_merge(&person, &one);
    mcp_person_merge(&person, &two);
    out = again(&person, NOW);
    ck_assert_int_eq(out.since, NOW);
    ck_assert_int_eq(out.dropped, 0);
    ck_assert_int_eq(out.entries->nelts, 2);
    ck_assert_int_eq(ENTRY(out, 0)->issued, one.issued);
    ck_assert_int_eq(ENTRY(out, 0)->expires, one.expires);
    ck_assert_int_eq(ENTRY(out, 0)->source, 2);
    ck_assert_int_eq(ENTRY(out, 0)->sid[0], 9);
    ck_assert_str_eq(ENTRY(out, 0)->client_name, one.client_name);
    ck_assert_str_eq(ENTRY(out, 0)->host, "app.example.com");
    ck_assert_str_eq(ENTRY(out, 0)->logo, one.logo);
    ck_assert_str_eq(ENTRY(out, 1)->logo, "");
    ck_assert_str_eq(ENTRY(out, 1)->scope, "");
    ck_assert_str_eq(ENTRY(out, 1)->resource, one.resource);

    /* cut anywhere, or with more behind it: not ours, and nothing half-read comes out */
    mcp_person_encode(pool, &person, NOW, &data, &len);
    for (apr_size_t n = 0; n < len; n++) {
        unsigned char *exact = apr_pmemdup(pool, data, n ? n : 1);

        ck_assert_int_eq(mcp_person_decode(pool, exact, n, &out), APR_EINVAL);
        ck_assert_int_eq(out.entries->nelts, 0);
    }
    data = memcpy(apr_palloc(pool, len + 1), data, len);
    ck_assert_int_eq(mcp_person_decode(pool, data, len + 1, &out), APR_EINVAL);
    for (int version = 0; version < 256; version += version == 1 ? 2 : 1) { /* 1 has other entries */
        data[0] = (unsigned char)version;
        ck_assert_int_eq(mcp_person_decode(pool, data, version == 2 ? len : len + 1, &out),
                         version == 2 ? APR_SUCCESS : APR_EINVAL);
    }
}
END_TEST

/* What was written before logos were: an entry is two bytes shorter, for it lacks the last string. */
START_TEST(version_1)
{
    mcp_person_t person = empty(), out;
    mcp_person_entry_t one = sample(1);
    unsigned char *data;
    apr_size_t len;

    mcp_person_merge(&person, &one);
    mcp_person_encode(pool, &person, NOW, &data, &len);
    data[0] = 1;
    ck_assert_int_eq(mcp_person_decode(pool, data, len, &out), APR_EINVAL);
    ck_assert_int_eq(mcp_person_decode(pool, data, len - 2, &out), APR_SUCCESS);
    ck_assert_int_eq(out.entries->nelts, 1);
    ck_assert_str_eq(ENTRY(out, 0)->resource, one.resource);
    ck_assert_str_eq(ENTRY(out, 0)->logo, "");
}
END_TEST

/* The one that ended goes first, then what was used the longest ago; the record says that it did. */
START_TEST(bounds)
{
    mcp_person_t person = empty(), out;
    mcp_person_entry_t entry = sample(7777);

    entry.expires = NOW + 1;
    mcp_person_merge(&person, &entry);
    for (int i = 0; i < MCP_PERSON_ENTRIES; i++) {
        entry = sample(i);
        entry.used = NOW + apr_time_from_sec(i == 40 ? 1 : i + 10);
        mcp_person_merge(&person, &entry);
    }
    out = again(&person, NOW + 2);
    ck_assert_int_eq(out.entries->nelts, MCP_PERSON_ENTRIES);
    ck_assert_int_eq(out.dropped, 0);

    entry = sample(200);
    entry.used = NOW + HOUR;
    mcp_person_merge(&person, &entry);
    out = again(&person, NOW + apr_time_from_sec(5));
    ck_assert_int_eq(out.entries->nelts, MCP_PERSON_ENTRIES);
    ck_assert_int_eq(out.dropped, NOW + apr_time_from_sec(5));
    for (int i = 0; i < out.entries->nelts; i++) {
        ck_assert_int_ne(ENTRY(out, i)->grant[1], 40);
    }
}
END_TEST

/* Texts of strangers: cut, at a character, and the record never outgrows the store's limit. */
START_TEST(long_texts)
{
    mcp_person_t person = empty(), out;
    char *text = apr_palloc(pool, 5000);

    memset(text, 'x', 4999);
    text[4999] = '\0';
    memcpy(text + 99, "\xc3\xa9", 2);
    for (int i = 0; i < MCP_PERSON_ENTRIES; i++) {
        mcp_person_entry_t entry = sample(i);

        entry.used = NOW + apr_time_from_sec(i);
        entry.client_name = entry.host = entry.scope = entry.resource = text;
        mcp_person_merge(&person, &entry);
    }
    out = again(&person, NOW);
    ck_assert_int_gt(out.entries->nelts, 5);
    ck_assert_int_lt(out.entries->nelts, MCP_PERSON_ENTRIES);
    ck_assert_int_eq(out.dropped, NOW);
    ck_assert_uint_eq(strlen(ENTRY(out, 0)->client_name), 99);
    for (int i = 0; i < out.entries->nelts; i++) { /* the newest stayed */
        ck_assert_int_ge(ENTRY(out, i)->grant[1], MCP_PERSON_ENTRIES - out.entries->nelts);
    }
}
END_TEST

/* A refresh renews what is there: the time of consent stays, as do sid and host when they are not known any more. */
START_TEST(merge)
{
    mcp_person_t person = empty();
    mcp_person_entry_t first = sample(1), later = sample(1);

    mcp_person_merge(&person, &first);
    later.issued = later.used = NOW + HOUR;
    later.expires = NOW + 2 * HOUR;
    later.source = 0;
    later.host = "";
    later.sid[0] = 0;
    later.scope = "a";
    mcp_person_merge(&person, &later);
    ck_assert_int_eq(person.entries->nelts, 1);
    ck_assert_int_eq(ENTRY(person, 0)->issued, first.issued);
    ck_assert_int_eq(ENTRY(person, 0)->used, NOW + HOUR);
    ck_assert_int_eq(ENTRY(person, 0)->expires, NOW + 2 * HOUR);
    ck_assert_int_eq(ENTRY(person, 0)->sid[0], 9);
    ck_assert_str_eq(ENTRY(person, 0)->host, "app.example.com");
    ck_assert_str_eq(ENTRY(person, 0)->scope, "a");
    mcp_person_merge(&person, &first); /* an older write that comes later */
    ck_assert_int_eq(ENTRY(person, 0)->used, NOW + HOUR);
    ck_assert_int_eq(ENTRY(person, 0)->expires, NOW + 2 * HOUR);
}
END_TEST

static mcp_person_entry_t living(int n)
{
    mcp_person_entry_t entry = sample(n);

    entry.issued = entry.used = apr_time_now();
    entry.expires = apr_time_now() + HOUR;
    return entry;
}

START_TEST(in_the_store)
{
    mcp_store_t *store = open_store("memcache:h");
    mcp_person_entry_t one = living(1), two = living(2), ended = living(3);
    mcp_person_t person;
    unsigned calls;

    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_NOTFOUND);
    ck_assert_int_eq(person.entries->nelts, 0);
    ended.expires = apr_time_now() + apr_time_from_msec(5);
    ck_assert_int_eq(mcp_person_note(store, "idp|a", &ended, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_person_note(store, "idp|a", &one, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_person_note(store, "idp|b", &two, pool), APR_SUCCESS);
    apr_sleep(apr_time_from_msec(10));
    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(person.entries->nelts, 1);
    ck_assert_int_eq(ENTRY(person, 0)->grant[1], 1);
    ck_assert_int_le(apr_time_now() - person.since, HOUR);

    /* a client that refreshes all the time costs one look */
    calls = fake_calls;
    one.used += apr_time_from_sec(20);
    ck_assert_int_eq(mcp_person_note(store, "idp|a", &one, pool), APR_SUCCESS);
    ck_assert_uint_eq(fake_calls, calls + 1);
    one.used += MCP_PERSON_TOUCH;
    ck_assert_int_eq(mcp_person_note(store, "idp|a", &one, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_time_as_msec(ENTRY(person, 0)->used), apr_time_as_msec(one.used));

    ck_assert_int_eq(mcp_person_drop(store, "idp|a", (const unsigned char(*)[MCP_ID_LEN])two.grant,
                                     1, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(person.entries->nelts, 1);
    ck_assert_int_eq(mcp_person_drop(store, "idp|a", (const unsigned char(*)[MCP_ID_LEN])one.grant,
                                     1, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(person.entries->nelts, 0);
    ck_assert_int_eq(mcp_person_get(store, "idp|b", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(person.entries->nelts, 1);

    fake_mode = FAKE_BROKEN;
    ck_assert_int_eq(mcp_person_get(store, "idp|b", &person, pool), MCP_EDOWN);
    ck_assert_int_eq(mcp_person_note(store, "idp|b", &one, pool), MCP_EDOWN);
    ck_assert_int_eq(mcp_person_drop(store, "idp|b", (const unsigned char(*)[MCP_ID_LEN])one.grant,
                                     1, pool),
                     MCP_EDOWN);
}
END_TEST

START_TEST(aliases)
{
    mcp_store_t *store = open_store("shmcb");
    const char *subject = NULL;

    ck_assert_int_eq(mcp_person_alias_put(store, "idp", "sid", "s", "idp|a", apr_time_now() + HOUR,
                                          pool),
                     APR_SUCCESS);
    ck_assert_int_eq(mcp_person_alias_get(store, "idp", "sid", "s", &subject, pool), APR_SUCCESS);
    ck_assert_str_eq(subject, "idp|a");
    ck_assert_int_eq(mcp_person_alias_get(store, "idp", "sub", "s", &subject, pool), APR_NOTFOUND);
    ck_assert_int_eq(mcp_person_alias_get(store, "other", "sid", "s", &subject, pool),
                     APR_NOTFOUND);
}
END_TEST

#define WRITERS 8
#define EACH 5

typedef struct {
    mcp_store_t *store;
    int n;
    int failed;
} writer_t;

static void *APR_THREAD_FUNC write_some(apr_thread_t *thread, void *data)
{
    writer_t *writer = data;
    apr_pool_t *own;

    apr_pool_create_unmanaged_ex(&own, NULL, NULL);
    for (int i = 0; i < EACH; i++) {
        mcp_person_entry_t entry = living(writer->n * 100 + i);

        writer->failed += mcp_person_note(writer->store, "idp|a", &entry, own) != APR_SUCCESS;
    }
    apr_pool_destroy(own);
    return NULL;
}

/* Parallel writers, from the first one on, when no lock was ever made: nobody's entry is lost. */
START_TEST(many_writers)
{
    mcp_store_t *store = open_store(_i ? "memcache:h" : "shmcb");
    apr_thread_t *threads[WRITERS];
    writer_t writers[WRITERS];
    mcp_person_t person;
    apr_status_t rv;

    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (writer_t){ .store = store, .n = i };
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, write_some, &writers[i], pool),
                         APR_SUCCESS);
    }
    for (int i = 0; i < WRITERS; i++) {
        apr_thread_join(&rv, threads[i]);
        ck_assert_int_eq(writers[i].failed, 0);
    }
    ck_assert_int_eq(mcp_person_get(store, "idp|a", &person, pool), APR_SUCCESS);
    ck_assert_int_eq(person.entries->nelts, WRITERS * EACH);
}
END_TEST

START_TEST(lease)
{
    mcp_store_t *store = open_store("shmcb");
    mcp_lease_t one, two;
    apr_time_t begun;

    ck_assert_int_eq(mcp_lease_take(store, "x", 1, apr_time_from_sec(1), &one, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_lease_holds(&one), 1);
    begun = apr_time_now();
    ck_assert_int_eq(mcp_lease_take(store, "x", 1, apr_time_from_msec(100), &two, pool),
                     APR_TIMEUP);
    ck_assert_int_lt(apr_time_now() - begun, apr_time_from_sec(2));
    ck_assert_int_eq(mcp_lease_take(store, "y", 1, 0, &two, pool),
                     APR_TIMEUP); /* not at the first look */
    ck_assert_int_eq(mcp_lease_take(store, "y", 1, apr_time_from_sec(1), &two, pool), APR_SUCCESS);
    mcp_lease_give(&one, pool);
    ck_assert_int_eq(mcp_lease_take(store, "x", 1, 0, &one, pool), APR_SUCCESS);
    /* its holder dies: after a while it is there for others, and the dead one knows that it must not write */
    ck_assert_int_eq(mcp_lease_take(store, "x", 1, apr_time_from_sec(6), &two, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_lease_holds(&one), 0);
    ck_assert_int_eq(mcp_lease_holds(&two), 1);
    mcp_lease_give(&one, pool); /* nothing that the living one would lose */
    ck_assert_int_eq(mcp_lease_take(store, "x", 1, apr_time_from_msec(50), &one, pool), APR_TIMEUP);
    mcp_lease_give(&two, pool);

    fake_mode = FAKE_BROKEN;
    ck_assert_int_eq(mcp_lease_take(store, "x", 1, apr_time_from_sec(1), &one, pool), MCP_EDOWN);
}
END_TEST

/* What guards do: no question costs a call of the store until a mark is later than a grant. */
START_TEST(not_before_bars)
{
    mcp_store_t *store = open_store("memcache:h");
    apr_time_t now = apr_time_from_msec(apr_time_as_msec(apr_time_now()));
    mcp_grant_t grant = { .subject = "idp|a", .client_key = "c", .issued = now };
    unsigned calls;

    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now, pool), APR_SUCCESS);
    calls = fake_calls;
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 1000, pool), APR_SUCCESS);
    ck_assert_uint_eq(fake_calls, calls);
    /* a mark of this host is felt at once, another's within a second */
    ck_assert_int_eq(mcp_not_before_set(store, NULL, "c", now + 1000, now + HOUR, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 2000, pool), APR_EACCES);
    grant.client_key = "d";
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 2000, pool), APR_SUCCESS);
    grant.client_key = "c";
    grant.issued = now + 2000;
    calls = fake_calls;
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 3000, pool), APR_SUCCESS);
    ck_assert_uint_eq(fake_calls, calls);
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 2 * APR_USEC_PER_SEC, pool), APR_SUCCESS);
    ck_assert_uint_gt(fake_calls, calls);
    /* a block is a mark that lies far ahead: it ends what was granted before, and costs nobody else's later calls */
    ck_assert_int_eq(mcp_not_before_set(store, NULL, "b", now + 700 * HOUR, now + 700 * HOUR, pool), APR_SUCCESS);
    grant.issued = now + apr_time_from_sec(120);
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 3 * APR_USEC_PER_SEC, pool), APR_SUCCESS);
    calls = fake_calls;
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 3 * APR_USEC_PER_SEC, pool), APR_SUCCESS);
    ck_assert_uint_eq(fake_calls, calls);
    grant.client_key = "b";
    grant.issued = now;
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 3 * APR_USEC_PER_SEC, pool), APR_EACCES);
    fake_mode = FAKE_BROKEN;
    ck_assert_int_eq(mcp_not_before_bars(store, &grant, now + 9 * APR_USEC_PER_SEC, pool), MCP_EDOWN);
}
END_TEST

START_TEST(not_before)
{
    mcp_store_t *store = open_store("memcache:h");
    apr_time_t now = apr_time_from_msec(apr_time_as_msec(apr_time_now())), until = now + HOUR,
               when = 1;

    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "c", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, 0);
    ck_assert_int_eq(mcp_not_before_set(store, NULL, NULL, now, until, pool), APR_EINVAL);
    ck_assert_int_eq(mcp_not_before_set(store, "idp|a", "c", now, until, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "c", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, now);
    /* an earlier one does not take it back */
    ck_assert_int_eq(mcp_not_before_set(store, "idp|a", "c", now - HOUR, until, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "c", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, now);
    for (int i = 0; i < 3; i++) { /* another client's, another person's */
        static const char *const others[][2] = { { "idp|a", "d" },
                                                 { "idp|b", "c" },
                                                 { "idp|a\n", "c" } };

        ck_assert_int_eq(mcp_not_before_get(store, others[i][0], others[i][1], &when, pool),
                         APR_SUCCESS);
        ck_assert_int_eq(when, 0);
    }
    ck_assert_int_eq(mcp_not_before_set(store, "idp|a", NULL, now + 5000, until, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "d", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, now + 5000);
    ck_assert_int_eq(mcp_not_before_set(store, NULL, "c", now + 9000, until, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "c", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, now + 9000);
    ck_assert_int_eq(mcp_not_before_get(store, "idp|b", "c", &when, pool), APR_SUCCESS);
    ck_assert_int_eq(when, now + 9000);
    fake_mode = FAKE_BROKEN;
    ck_assert_int_eq(mcp_not_before_get(store, "idp|a", "c", &when, pool), MCP_EDOWN);
    ck_assert_int_eq(mcp_not_before_set(store, "idp|a", "c", now + HOUR, until, pool), MCP_EDOWN);
}
END_TEST

Suite *suite_person(void)
{
    Suite *suite = suite_create("person");
    TCase *test = unit_case(suite, "person");

    tcase_set_timeout(test, 60);
    tcase_add_test(test, round_trip);
    tcase_add_test(test, version_1);
    tcase_add_test(test, bounds);
    tcase_add_test(test, long_texts);
    tcase_add_test(test, merge);
    tcase_add_test(test, in_the_store);
    tcase_add_test(test, aliases);
    tcase_add_loop_test(test, many_writers, 0, 2);
    tcase_add_test(test, lease);
    tcase_add_test(test, not_before);
    tcase_add_test(test, not_before_bars);
    return suite;
}
