/* SPDX-License-Identifier: Apache-2.0 */
/* The store over a backend that fails on demand: absence, outage, silence, single use. */

#include "unit.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_atomic.h>
#include <apr_strings.h>
#include <apr_thread_proc.h>

#include "mcp_breaker.h"
#include "mcp_grant.h"
#include "mcp_store.h"
#include "mcp_store_impl.h"
#include "mcp_util.h"
#include "stub_httpd.h"

#define TIMEOUT apr_time_from_msec(400)

static mcp_store_t *open_store(const char *value)
{
    mcp_store_conf_t conf = { 0 };
    mcp_store_t *store = NULL;

    fake_reset();
    ck_assert_ptr_null(mcp_store_parse(&conf, value, stub_cmd(pool, NULL)));
    conf.timeout = TIMEOUT;
    ck_assert_int_eq(mcp_store_open(&store, &conf, unit_ring(KEY_1), &stub_server, pool, pool), APR_SUCCESS);
    mcp_store_child_init(store, pool);
    mcp_store_child_init(store, pool); /* both modules call it */
    stub_log_lines = 0;
    return store;
}

static apr_status_t put(mcp_store_t *store, mcp_kind_e kind, const char *id, apr_interval_time_t ttl, const char *data)
{
    return mcp_store_put(store, kind, id, strlen(id), apr_time_now() + ttl, data, strlen(data), pool);
}

static const char *found;

static apr_status_t get(mcp_store_t *store, mcp_kind_e kind, const char *id)
{
    unsigned char *data = NULL;
    apr_size_t len = 0;
    apr_status_t rv = mcp_store_get(store, kind, id, strlen(id), &data, &len, pool);

    found = (const char *)data;
    ck_assert(rv != APR_SUCCESS || strlen(found) == len);
    return rv;
}

static apr_status_t remove_one(mcp_store_t *store, const char *id)
{
    return mcp_store_remove(store, MCP_KIND_CODE, id, strlen(id), pool);
}

#define MINUTE apr_time_from_sec(60)

static const char *const backends[] = { "shmcb", "memcache:127.0.0.1:11211", "redis:127.0.0.1" };

START_TEST(basics)
{
    mcp_store_t *store = open_store(backends[_i]);

    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_NOTFOUND);
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", MINUTE, "one"), APR_SUCCESS);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_SUCCESS);
    ck_assert_str_eq(found, "one");
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", MINUTE, "two"), APR_SUCCESS);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_SUCCESS);
    ck_assert_str_eq(found, "two");
    /* neither kind nor id can be mistaken for another */
    ck_assert_int_eq(get(store, MCP_KIND_CODE, "x"), APR_NOTFOUND);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "y"), APR_NOTFOUND);
    ck_assert_int_eq(mcp_store_remove(store, MCP_KIND_GRANT, "x", 1, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_store_remove(store, MCP_KIND_GRANT, "x", 1, pool), APR_NOTFOUND);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_NOTFOUND);
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "", MINUTE, ""), APR_SUCCESS);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, ""), APR_SUCCESS);
    ck_assert_str_eq(found, "");
    ck_assert_uint_eq(fake_unlocked, 0);
    ck_assert_int_eq(mcp_store_is_shared(store), _i != 0);
}
END_TEST

START_TEST(single_use)
{
    mcp_store_t *store = open_store(backends[_i]);
    unsigned char *data;
    apr_size_t len;

    put(store, MCP_KIND_CODE, "c", MINUTE, "code");
    ck_assert_int_eq(mcp_store_take(store, MCP_KIND_CODE, "c", 1, &data, &len, pool), APR_SUCCESS);
    ck_assert_str_eq((char *)data, "code");
    ck_assert_int_eq(mcp_store_take(store, MCP_KIND_CODE, "c", 1, &data, &len, pool), APR_NOTFOUND);
}
END_TEST

START_TEST(times)
{
    mcp_store_t *store = open_store(backends[_i]);
    apr_time_t now = apr_time_now();
    int networked = _i != 0;

    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", 0, "d"), APR_EINVAL);
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", -MINUTE, "d"), APR_EINVAL);
    /* exact inside: 1 s is over after 1 s, although no backend can count that */
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", apr_time_from_sec(1), "d"), APR_SUCCESS);
    ck_assert(fake_expiry >= now + apr_time_from_sec(2));
    /* whole seconds, cut off: the record must not vanish before its time */
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "y", MINUTE, "d"), APR_SUCCESS);
    ck_assert(apr_time_sec(fake_expiry - apr_time_now()) >= (networked ? 60 : 59));
    /* memcached takes more than 30 days for a date */
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "z", apr_time_from_sec(90 * 86400), "d"), APR_SUCCESS);
    ck_assert(fake_expiry - now < apr_time_from_sec(30 * 86400));
    ck_assert(fake_expiry - now > apr_time_from_sec(29 * 86400));
    apr_sleep(apr_time_from_msec(1100));
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_NOTFOUND);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "y"), APR_SUCCESS);
}
END_TEST

START_TEST(sizes)
{
    mcp_store_t *store = open_store(backends[_i]);
    char *large = apr_pcalloc(pool, 100 * 1024);

    memset(large, 'x', 24 * 1024);
    ck_assert_int_eq(put(store, MCP_KIND_UPSTREAM, "x", MINUTE, large), APR_SUCCESS);
    ck_assert_int_eq(get(store, MCP_KIND_UPSTREAM, "x"), APR_SUCCESS);
    ck_assert_str_eq(found, large);
    ck_assert_int_eq(put(store, MCP_KIND_GRANT, "x", MINUTE, large), APR_EINVAL);
    memset(large, 'x', 99 * 1024);
    ck_assert_int_eq(put(store, MCP_KIND_UPSTREAM, "x", MINUTE, large), APR_EINVAL);
}
END_TEST

/* Large records cannot push sessions out of a shmcb. */
START_TEST(parts)
{
    mcp_store_t *store = open_store("shmcb");
    const void *small;

    put(store, MCP_KIND_GRANT, "x", MINUTE, "d");
    small = fake_instance;
    put(store, MCP_KIND_TICKET, "x", MINUTE, "d");
    ck_assert_ptr_eq(fake_instance, small);
    put(store, MCP_KIND_UPSTREAM, "x", MINUTE, "d");
    ck_assert_ptr_ne(fake_instance, small);
    ck_assert_uint_eq(fake_unlocked, 0);
}
END_TEST

/* Somebody who can write to the backend can neither alter a record nor move one to another key. */
START_TEST(damage)
{
    mcp_store_t *store = open_store("memcache:h");

    put(store, MCP_KIND_GRANT, "x", MINUTE, "payload");
    for (int i = 0; i < 1 + 2 + 12 + 9 + 7 + 16; i++) {
        fake_damage(i);
        ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_NOTFOUND);
        fake_damage(i);
    }
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_SUCCESS);
}
END_TEST

/* Craft finding 2: an outage is never absence. */
START_TEST(outage)
{
    mcp_store_t *store = open_store("memcache:h");

    put(store, MCP_KIND_CODE, "x", MINUTE, "d");
    fake_mode = _i ? FAKE_DEAD : FAKE_BROKEN;
    ck_assert_int_eq(get(store, MCP_KIND_CODE, "x"), MCP_EDOWN);
    ck_assert_int_eq(get(store, MCP_KIND_CODE, "absent"), MCP_EDOWN);
    ck_assert_int_eq(remove_one(store, "x"), MCP_EDOWN);
    ck_assert_int_eq(put(store, MCP_KIND_CODE, "y", MINUTE, "d"), MCP_EDOWN);
    fake_mode = FAKE_UP;
    ck_assert_int_eq(get(store, MCP_KIND_CODE, "x"), APR_SUCCESS);
    ck_assert_int_eq(get(store, MCP_KIND_CODE, "absent"), APR_NOTFOUND);
    ck_assert_int_eq(remove_one(store, "x"), APR_SUCCESS);
    ck_assert_int_eq(remove_one(store, "x"), APR_NOTFOUND);
}
END_TEST

/* The server dies or comes back between the calls of one look-up: u is up, d says "not found" to all, b breaks. What is
 * there may be found or the store may be down, but it must never be called absent. */
START_TEST(no_order_of_outages_makes_a_record_absent)
{
    mcp_store_t *store = open_store("redis:h");
    int found_it = 0;

    for (int i = 0; i < 3 * 3 * 3 * 3; i++) {
        char script[5] = { "udb"[i % 3], "udb"[i / 3 % 3], "udb"[i / 9 % 3], "udb"[i / 27], '\0' };
        apr_status_t rv;

        fake_mode = FAKE_UP;
        fake_script = "";
        ck_assert_int_eq(put(store, MCP_KIND_CODE, "x", MINUTE, "d"), APR_SUCCESS);
        fake_script = script;
        rv = get(store, MCP_KIND_CODE, "x");
        if (strcmp(script, "dudu")) { /* dead, up, dead, up within a moment: apr leaves a dead server alone for 5 s */
            ck_assert_msg(rv == APR_SUCCESS || rv == MCP_EDOWN, "get %s", script);
        }
        found_it += rv == APR_SUCCESS;
        fake_script = script;
        rv = remove_one(store, "x");
        if (strcmp(script, "dudu")) {
            ck_assert_msg(rv == APR_SUCCESS || rv == MCP_EDOWN, "remove %s", script);
        }
    }
    ck_assert_int_eq(found_it, 27 + 9 / 3);
}
END_TEST

START_TEST(outage_is_logged_sparingly)
{
    mcp_store_t *store = open_store("memcache:h");

    fake_mode = FAKE_BROKEN;
    for (int i = 0; i < 1000; i++) {
        get(store, MCP_KIND_CODE, "x");
    }
    ck_assert_uint_ge(stub_log_lines, 1);
    ck_assert_uint_le(stub_log_lines, 3);
}
END_TEST

/* ---- silence: the breaker ---- */

typedef struct {
    mcp_store_t *store;
    apr_status_t rv;
    apr_time_t took;
} caller_t;

static void *APR_THREAD_FUNC call(apr_thread_t *thread, void *data)
{
    caller_t *caller = data;
    apr_time_t begun = apr_time_now();
    unsigned char *record;
    apr_size_t len;
    apr_pool_t *p;

    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    caller->rv = mcp_store_get(caller->store, MCP_KIND_GRANT, "x", 1, &record, &len, p);
    caller->took = apr_time_now() - begun;
    apr_pool_destroy(p);
    return NULL;
}

#define CALLERS 20

/* Craft finding 3: a stopped memcached costs a bounded number of threads, and all is well when it goes on. */
START_TEST(silence)
{
    mcp_store_t *store;
    caller_t callers[CALLERS];
    apr_thread_t *threads[CALLERS];
    apr_status_t rv;
    int served = 0, refused = 0;

    apr_atomic_init(pool);
    store = open_store("memcache:h"); /* 8 threads a child: 2 places */
    put(store, MCP_KIND_GRANT, "x", MINUTE, "d");
    fake_mode = FAKE_SILENT;
    for (int i = 0; i < CALLERS; i++) {
        callers[i].store = store;
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, call, &callers[i], pool), APR_SUCCESS);
    }
    apr_sleep(3 * TIMEOUT);
    ck_assert_uint_eq(fake_blocked, 2);

    /* known to be stuck by now: nobody else waits */
    for (int i = 0; i < 3; i++) {
        apr_time_t begun = apr_time_now();

        ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), MCP_EDOWN);
        ck_assert(apr_time_now() - begun < TIMEOUT * 3 / 4); /* room for a loaded machine */
    }
    fake_mode = FAKE_UP; /* SIGCONT */
    for (int i = 0; i < CALLERS; i++) {
        apr_thread_join(&rv, threads[i]);
        served += callers[i].rv == APR_SUCCESS;
        refused += callers[i].rv == MCP_EDOWN;
        ck_assert(callers[i].rv == APR_SUCCESS || callers[i].took < 3 * TIMEOUT);
    }
    ck_assert_int_eq(served, 2);
    ck_assert_int_eq(refused, CALLERS - 2);
    ck_assert_int_eq(get(store, MCP_KIND_GRANT, "x"), APR_SUCCESS);
    ck_assert_uint_le(stub_log_lines, 3);
}
END_TEST

typedef struct {
    mcp_breaker_t *breaker;
    apr_status_t rv;
} slow_t;

/* Returns: before APR 1.7.3 apr_thread_exit() destroys a pool that has the test's allocator, which has no lock. */
static void *APR_THREAD_FUNC slow_call(apr_thread_t *thread, void *data)
{
    slow_t *slow = data;

    slow->rv = mcp_breaker_enter(slow->breaker);
    if (slow->rv == APR_SUCCESS) {
        apr_sleep(TIMEOUT / 2);
        mcp_breaker_leave(slow->breaker);
    }
    return NULL;
}

/* A slow server is not a silent one: while calls come back, nobody is turned away, however long the queue. */
START_TEST(slowness)
{
    apr_thread_t *threads[8];
    slow_t calls[8];
    mcp_breaker_t *breaker;
    apr_status_t rv;

    ck_assert_int_eq(mcp_breaker_create(&breaker, 2, TIMEOUT, pool), APR_SUCCESS);
    for (int i = 0; i < 8; i++) {
        calls[i].breaker = breaker;
        ck_assert_int_eq(apr_thread_create(&threads[i], NULL, slow_call, &calls[i], pool), APR_SUCCESS);
    }
    for (int i = 0; i < 8; i++) {
        apr_thread_join(&rv, threads[i]);
    }
    for (int i = 0; i < 8; i++) { /* after all have ended: they write to this frame */
        ck_assert_int_eq(calls[i].rv, APR_SUCCESS);
    }
}
END_TEST

/* ---- the end of a process ---- */

#define PATTERN 7000 /* bytes; most of what a pool gets from its allocator at once */

/* Who is stuck in the backend may come back when the child's memory is gone, and somebody else's by now. */
START_TEST(back_after_the_end)
{
    mcp_store_t *store = open_store("memcache:h");
    caller_t caller = { .store = store };
    apr_pool_t *pchild, *next;
    apr_thread_t *thread;
    apr_status_t rv;
    char *theirs;

    apr_pool_create(&pchild, pool);
    store->child_ready = 0;
    mcp_store_child_init(store, pchild);
    fake_mode = FAKE_SILENT;
    ck_assert_int_eq(apr_thread_create(&thread, NULL, call, &caller, pool), APR_SUCCESS);
    while (fake_blocked != 1) {
        apr_sleep(1000);
    }
    apr_pool_destroy(pchild);
    apr_pool_create(&next, pool);
    theirs = apr_palloc(next, PATTERN);
    memset(theirs, 'x', PATTERN);
    fake_mode = FAKE_UP;
    apr_thread_join(&rv, thread);
    ck_assert_int_eq(caller.rv, APR_NOTFOUND);
    for (int i = 0; i < PATTERN; i++) {
        ck_assert_int_eq(theirs[i], 'x');
    }
}
END_TEST

/* A connection to a server of our own: at @a path, or at a port of its choice. *server is its end. */
static int connect_to(const char *path, int *port, int *server)
{
    struct sockaddr_un local = { .sun_family = AF_UNIX };
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct sockaddr *address = path ? (struct sockaddr *)&local : (struct sockaddr *)&v4;
    socklen_t len = path ? sizeof(local) : sizeof(v4);
    int listener = socket(address->sa_family, SOCK_STREAM, 0), fd = socket(address->sa_family, SOCK_STREAM, 0);

    if (path) {
        unlink(path);
        apr_cpystrn(local.sun_path, path, sizeof(local.sun_path));
    }
    ck_assert_int_eq(bind(listener, address, len), 0);
    ck_assert_int_eq(listen(listener, 1), 0);
    ck_assert_int_eq(getsockname(listener, address, &len), 0);
    ck_assert_int_eq(connect(fd, address, len), 0);
    *server = accept(listener, NULL, NULL);
    close(listener);
    if (port) {
        *port = ntohs(v4.sin_port);
    }
    return fd;
}

static int is_broken_off(int fd)
{
    char byte;

    return recv(fd, &byte, 1, MSG_DONTWAIT) == 0;
}

/* Connections to the store end at once, by port or by path, and no others. */
START_TEST(hanging_up)
{
    const char *path = unit_file(apr_psprintf(pool, "store-%d", (int)getpid()), "");
    const char *other_path = unit_file(apr_psprintf(pool, "other-%d", (int)getpid()), "");
    int port, other_port, ends[4];
    int by_port = connect_to(NULL, &port, &ends[0]), by_path = connect_to(path, NULL, &ends[1]);
    int others[] = { connect_to(NULL, &other_port, &ends[2]), connect_to(other_path, NULL, &ends[3]) };
    const char *const stores[] = { "shmcb", apr_psprintf(pool, "memcache:127.0.0.1:%d", port),
                                   apr_psprintf(pool, "redis:localhost:%d", port),
                                   apr_pstrcat(pool, "memcache:", path, NULL) };

    mcp_store_hang_up(open_store(stores[_i]));
    ck_assert_int_eq(is_broken_off(by_port), _i == 1 || _i == 2);
    ck_assert_int_eq(is_broken_off(by_path), _i == 3);
    ck_assert(!is_broken_off(others[0]) && !is_broken_off(others[1]));
}
END_TEST

START_TEST(usual_ports)
{
    ck_assert_int_eq(open_store(_i ? "redis:h" : "memcache:h")->port, _i ? 6379 : 11211);
}
END_TEST

/* ---- epoch, generation, sharing ---- */

START_TEST(epoch_of_a_shared_backend)
{
    mcp_store_t *store = open_store("redis:h");
    unsigned char a[8], b[8];

    ck_assert_int_eq(mcp_store_epoch(store, a, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_store_epoch(store, b, pool), APR_SUCCESS);
    ck_assert_int_eq(memcmp(a, b, 8), 0);
    fake_mode = FAKE_DEAD;
    ck_assert_int_eq(mcp_store_epoch(store, b, pool), MCP_EDOWN);
    fake_reset(); /* the server lost everything */
    ck_assert_int_eq(mcp_store_epoch(store, b, pool), APR_SUCCESS);
    ck_assert_int_ne(memcmp(a, b, 8), 0);
}
END_TEST

/* A full shmcb forgets records. It must not forget its epoch: revoked grants would come back. */
START_TEST(epoch_of_shmcb)
{
    mcp_store_t *store = open_store("shmcb");
    unsigned char a[8], b[8], zero[8] = { 0 };

    ck_assert_int_eq(mcp_store_epoch(store, a, pool), APR_SUCCESS);
    ck_assert_int_ne(memcmp(a, zero, 8), 0);
    fake_reset();
    ck_assert_int_eq(mcp_store_epoch(store, b, pool), APR_SUCCESS);
    ck_assert_int_eq(memcmp(a, b, 8), 0);
}
END_TEST

START_TEST(invalidation)
{
    mcp_store_t *store = open_store("shmcb");
    apr_uint32_t before = mcp_store_generation(store);

    mcp_store_invalidate(store);
    ck_assert_uint_ne(mcp_store_generation(store), before);
}
END_TEST

START_TEST(one_instance_for_both_modules)
{
    mcp_store_conf_t conf = { "shmcb", NULL, TIMEOUT };
    mcp_store_t *store = open_store("shmcb"), *other = NULL;

    ck_assert_int_eq(mcp_store_open(&other, &conf, unit_ring(KEY_2), &stub_server, pool, pool), APR_SUCCESS);
    ck_assert_ptr_eq(store, other);
}
END_TEST

START_TEST(revocation)
{
    mcp_store_t *store = open_store(backends[_i]);
    mcp_grant_t grant = { .subject = "s", .resource = "r", .generation = 7 }, back;
    apr_time_t until = apr_time_now() + MINUTE;
    apr_uint32_t generation = mcp_store_generation(store);
    unsigned char mark[8], later[8];

    memset(grant.id, 9, sizeof(grant.id));
    grant.expires = until;
    ck_assert_int_eq(mcp_grant_get(store, grant.id, &back, pool), APR_NOTFOUND);
    ck_assert_int_eq(mcp_grant_put(store, &grant, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_store_put(store, MCP_KIND_UPSTREAM, grant.id, MCP_ID_LEN, until, "t", 1, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_grant_get(store, grant.id, &back, pool), APR_SUCCESS);
    ck_assert_uint_eq(back.generation, 7);
    ck_assert_uint_eq(back.flags, 0);
    ck_assert_int_eq(mcp_revocation_last(store, mark, pool), APR_SUCCESS);

    ck_assert_int_eq(mcp_grant_revoke(store, grant.id, until, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_grant_get(store, grant.id, &back, pool), APR_SUCCESS);
    ck_assert_uint_eq(back.flags, MCP_GRANT_REVOKED);
    ck_assert_uint_ne(mcp_store_generation(store), generation);
    ck_assert_int_eq(mcp_store_remove(store, MCP_KIND_UPSTREAM, grant.id, MCP_ID_LEN, pool), APR_NOTFOUND);
    ck_assert_int_eq(mcp_revocation_last(store, later, pool), APR_SUCCESS);
    ck_assert_int_eq(memcmp(mark, later, 8) != 0, mcp_store_is_shared(store)); /* other hosts are told */

    /* nothing can restore it any more: no tombstone is needed */
    ck_assert_int_eq(mcp_grant_revoke(store, grant.id, apr_time_now() - 1, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_grant_get(store, grant.id, &back, pool), APR_NOTFOUND);
    if (mcp_store_is_shared(store)) {
        fake_mode = FAKE_DEAD;
        ck_assert_int_eq(mcp_grant_revoke(store, grant.id, until, pool), MCP_EDOWN);
    }
}
END_TEST

/* ---- MCPStore's argument ---- */

static const struct {
    const char *value;
    const char *says; /* NULL: fine */
} values[] = {
    { "shmcb", NULL },
    { "shmcb:", NULL },
    { "shmcb:/run/x", NULL },
    { "shmcb:/run/x(1048576)", NULL },
    { "shmcb:(1048576)", NULL },
    { "memcache:h:11211", NULL },
    { "memcache:/run/mc.sock", NULL },
    { "redis:h", NULL },
    { "shmcb:/run/x(", "size" },
    { "shmcb:/run/x()", "size" },
    { "shmcb:/run/x(12)", "size" },
    { "shmcb:/run/x(1m)", "size" },
    { "shmcb:/run/x(1048576)x", "size" },
    { "shmcb:/run/x(-1)", "size" },
    { "shmcb:/run/x(99999999999999999999)", "size" },
    { "shmcb:broken", "broken argument" },
    { "memcache", "needs a server" },
    { "memcache:", "needs a server" },
    { "redis", "needs a server" },
    { "memcache:a,b", "one server" },
    { "redis:a:1,b:2", "one server" },
    { "memcache:[::1]:11211", "IPv4" },
    { "dbm", "not known" },
    { "dbm:/run/x", "not known" },
    { "dc:UNIX:/x", "not known" },
    { "", "not known" },
    { ":", "not known" },
    { "SHMCB", "not known" },
};

START_TEST(arguments)
{
    mcp_store_conf_t conf = { 0 };
    const char *error;

    fake_reset();
    error = mcp_store_parse(&conf, values[_i].value, stub_cmd(pool, NULL));
    if (!values[_i].says) {
        ck_assert_msg(!error, "%s: %s", values[_i].value, error);
        return;
    }
    ck_assert_msg(error && strstr(error, values[_i].says), "%s: %s", values[_i].value, error);
    ck_assert_ptr_null(conf.provider);
}
END_TEST

START_TEST(missing_provider)
{
    mcp_store_conf_t conf = { 0 };
    const char *error;

    fake_reset();
    fake_hidden = 2;
    error = mcp_store_parse(&conf, "memcache:h", stub_cmd(pool, NULL));
    ck_assert_ptr_nonnull(strstr(error, "LoadModule socache_memcache_module modules/mod_socache_memcache.so"));
}
END_TEST

START_TEST(capacity_is_told_once)
{
    mcp_store_conf_t conf = { 0 };

    fake_reset();
    mcp_store_parse(&conf, "shmcb:(1048576)", stub_cmd(pool, NULL));
    mcp_store_parse(&conf, "shmcb:(1048576)", stub_cmd(pool, NULL)); /* the second module */
    ck_assert_uint_eq(stub_log_lines, 1);
    ck_assert_ptr_nonnull(strstr(stub_log_last, "sign-ins"));
}
END_TEST

Suite *suite_store(void)
{
    Suite *suite = suite_create("store");
    TCase *test = unit_case(suite, "store");

    tcase_set_timeout(test, 20);
    tcase_add_loop_test(test, basics, 0, 3);
    tcase_add_loop_test(test, single_use, 0, 3);
    tcase_add_loop_test(test, times, 0, 3);
    tcase_add_loop_test(test, sizes, 0, 3);
    tcase_add_test(test, parts);
    tcase_add_test(test, damage);
    tcase_add_loop_test(test, outage, 0, 2);
    tcase_add_test(test, no_order_of_outages_makes_a_record_absent);
    tcase_add_test(test, outage_is_logged_sparingly);
    tcase_add_test(test, silence);
    tcase_add_test(test, slowness);
    tcase_add_test(test, back_after_the_end);
    tcase_add_loop_test(test, hanging_up, 0, 4);
    tcase_add_loop_test(test, usual_ports, 0, 2);
    tcase_add_test(test, epoch_of_a_shared_backend);
    tcase_add_test(test, epoch_of_shmcb);
    tcase_add_test(test, invalidation);
    tcase_add_test(test, one_instance_for_both_modules);
    tcase_add_loop_test(test, revocation, 0, 3);
    tcase_add_loop_test(test, arguments, 0, sizeof(values) / sizeof(*values));
    tcase_add_test(test, missing_provider);
    tcase_add_test(test, capacity_is_told_once);
    return suite;
}
