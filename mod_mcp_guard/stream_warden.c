/* SPDX-License-Identifier: Apache-2.0 */
/* The warden: one thread of each child that ends open streams when their grant is revoked or their token has expired.
 *
 * Asking the store for each of ten thousand streams every second would cost more than the streams. So the warden
 * watches one number: this host's invalidation counter (four times a second, in memory) and the mark that revocations
 * leave in a shared store (once a second, one look-up). Only when it changes are all grants asked for, each once, and
 * again a second later for those who slipped in on a cached session. Beside that, each grant is asked for when the
 * stream's token expires, and all of them now and then in case a mark was lost.
 *
 * It is a thread of its own because the store may block, and the relay must not. */

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <httpd.h>
#include <apr_allocator.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_store.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

#define ROUND apr_time_from_msec(250)
#define REMOTE_EVERY apr_time_from_msec(900)
#define ECHO_AFTER apr_time_from_sec(1)
#define SWEEP_EVERY apr_time_from_sec(60)
#define HANG_UP_EVERY apr_time_from_msec(10)
#define DOWN_GRACE apr_time_from_sec(5) /* how long an expired token is let live while the store cannot be asked */

typedef struct {
    unsigned char grant[MCP_ID_LEN];
    apr_uint32_t verdict;
    apr_time_t until; /* 0: could not be asked */
} answer_t;

static struct {
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    apr_thread_cond_t *cond;
    apr_pool_t *pool; /* the thread's own */
    server_rec *server;
    mcp_stream_t *first;  /* mutex */
    apr_uint32_t watched; /* mutex */
    apr_uint32_t sweeps;  /* atomic */
    apr_time_t soonest;   /* mutex; when the first grant must be asked for again */
    int stop;             /* mutex */
    int done;             /* mutex; the thread is about to end */
    apr_uint64_t local, remote;
    apr_time_t next_remote, next_sweep, echo;
} warden;

apr_uint32_t mcp_warden_sweeps(void)
{
    return __atomic_load_n(&warden.sweeps, __ATOMIC_ACQUIRE);
}

static int must_ask(const mcp_stream_t *s, apr_time_t now)
{
    return (s->due || s->expires <= now) && __atomic_load_n(&s->verdict, __ATOMIC_RELAXED) == MCP_END_NONE;
}

/* The warden must look when the stream's grant is to be asked for. With the mutex held. */
static void be_there(const mcp_stream_t *s)
{
    apr_time_t when = s->due ? 0 : s->expires;

    if (when < warden.soonest && __atomic_load_n(&s->verdict, __ATOMIC_RELAXED) == MCP_END_NONE) {
        warden.soonest = when;
    }
}

void mcp_warden_watch(mcp_stream_t *s)
{
    if (!warden.thread) {
        return;
    }
    apr_thread_mutex_lock(warden.mutex);
    if (s->sweep != mcp_warden_sweeps()) {
        s->due = 1; /* something was revoked since this request came: ask at once */
    }
    be_there(s);
    s->prev = NULL;
    s->next = warden.first;
    if (s->next) {
        s->next->prev = s;
    }
    warden.first = s;
    warden.watched++;
    s->listed = 1;
    apr_thread_mutex_unlock(warden.mutex);
}

void mcp_warden_forget(mcp_stream_t *s)
{
    apr_thread_mutex_lock(warden.mutex);
    if (s->next) {
        s->next->prev = s->prev;
    }
    *(s->prev ? &s->prev->next : &warden.first) = s->next;
    warden.watched--;
    apr_thread_mutex_unlock(warden.mutex);
    s->listed = 0;
}

static int by_grant(const void *a, const void *b)
{
    return memcmp(((const answer_t *)a)->grant, ((const answer_t *)b)->grant, MCP_ID_LEN);
}

/* Grants to ask for, each once. With the mutex held. */
static answer_t *collect(int all, apr_time_t now, apr_size_t *n)
{
    answer_t *list;
    const mcp_stream_t *s;
    apr_size_t i;
    apr_size_t kept = 0;

    *n = 0;
    if ((!all && now < warden.soonest) || (list = calloc(warden.watched + 1, sizeof(*list))) == NULL) {
        return NULL;
    }
    warden.soonest = APR_INT64_MAX;
    for (s = warden.first; s; s = s->next) {
        if (all || must_ask(s, now)) {
            memcpy(list[(*n)++].grant, s->grant, MCP_ID_LEN);
        }
        else {
            be_there(s);
        }
    }
    if (*n > 1) {
        qsort(list, *n, sizeof(*list), by_grant);
        for (i = 1; i < *n; i++) {
            if (by_grant(&list[kept], &list[i]) != 0) {
                list[++kept] = list[i];
            }
        }
        *n = kept + 1;
    }
    return list;
}

static void ask(answer_t *answer, apr_time_t now)
{
    apr_status_t rv = mcp_guard_grant_check(answer->grant, now, &answer->until, warden.pool);

    if (rv == APR_NOTFOUND) {
        answer->verdict = MCP_END_REVOKED;
    }
    else if (rv == APR_TIMEUP) {
        answer->verdict = MCP_END_EXPIRED;
    }
    else if (rv != APR_SUCCESS) {
        answer->until = 0;
    }
}

/* Tell the streams. With the mutex held. Returns how many must end. */
static int apply(answer_t *list, apr_size_t n, apr_time_t now)
{
    mcp_stream_t *s;
    int ended = 0;

    for (s = warden.first; s; s = s->next) {
        answer_t key = { 0 };
        const answer_t *answer;

        memcpy(key.grant, s->grant, MCP_ID_LEN);
        answer = bsearch(&key, list, n, sizeof(*list), by_grant);
        if (!answer) {
            be_there(s);
            continue;
        }
        if (answer->verdict != MCP_END_NONE) {
            __atomic_store_n(&s->verdict, answer->verdict, __ATOMIC_RELEASE);
            ended++;
        }
        else if (answer->until) {
            s->expires = answer->until;
            s->due = 0;
        }
        else if (s->expires + DOWN_GRACE < now) {
            __atomic_store_n(&s->verdict, MCP_END_EXPIRED, __ATOMIC_RELEASE);
            ended++;
        }
        be_there(s);
    }
    return ended;
}

static int is_revoked(const unsigned char *grant, void *baton)
{
    return mcp_guard_grant_revoked(grant, warden.pool);
}

/* Is it time to ask for all? While no stream is open, the store is left in peace: what was revoked meanwhile shows in
 * the mark as soon as there is one again. */
static int sweep_due(apr_time_t now, apr_uint32_t watched)
{
    apr_uint64_t stamp;
    int changed = 0;

    if (mcp_guard_revocations(0, &stamp, warden.pool) == APR_SUCCESS && stamp != warden.local) {
        warden.local = stamp;
        changed = 1;
    }
    if (watched && now >= warden.next_remote) {
        warden.next_remote = now + REMOTE_EVERY;
        if (mcp_guard_revocations(1, &stamp, warden.pool) == APR_SUCCESS && stamp != warden.remote) {
            warden.remote = stamp;
            changed = 1;
        }
    }
    if (changed) {
        warden.echo = now + ECHO_AFTER;
        return 1;
    }
    if ((warden.echo && now >= warden.echo) || now >= warden.next_sweep) {
        warden.echo = 0;
        return 1;
    }
    return 0;
}

static int is_stopped(void)
{
    int stop;

    apr_thread_mutex_lock(warden.mutex);
    stop = warden.stop;
    apr_thread_mutex_unlock(warden.mutex);
    return stop;
}

static void round_trip(void)
{
    apr_time_t now = apr_time_now();
    apr_uint32_t watched;
    answer_t *list;
    apr_size_t n;
    apr_size_t i;
    int ended = 0;
    int all;

    apr_thread_mutex_lock(warden.mutex);
    watched = warden.watched;
    apr_thread_mutex_unlock(warden.mutex);
    all = sweep_due(now, watched);

    apr_thread_mutex_lock(warden.mutex);
    if (all) {
        warden.next_sweep = now + SWEEP_EVERY;
        __atomic_add_fetch(&warden.sweeps, 1, __ATOMIC_ACQ_REL);
    }
    list = collect(all, now, &n);
    apr_thread_mutex_unlock(warden.mutex);

    for (i = 0; i < n && !is_stopped(); i++) {
        ask(&list[i], now);
        if (list[i].until == 0 && list[i].verdict == MCP_END_NONE) {
            warden.echo = now + ECHO_AFTER; /* the store is down: ask again, and all of them */
        }
        apr_pool_clear(warden.pool);
    }
    if (n > 0) {
        apr_thread_mutex_lock(warden.mutex);
        ended = apply(list, n, apr_time_now());
        apr_thread_mutex_unlock(warden.mutex);
    }
    free(list);
    if (all) {
        mcp_table_kill_older(is_revoked, NULL);
    }
    if (ended > 0) {
        mcp_loop_kick();
    }
}

static void *APR_THREAD_FUNC warden_thread(apr_thread_t *thread, void *data)
{
    int stop;

    do {
        apr_pool_clear(warden.pool);
        round_trip();
        apr_thread_mutex_lock(warden.mutex);
        if (!warden.stop) {
            apr_thread_cond_timedwait(warden.cond, warden.mutex, ROUND);
        }
        stop = warden.done = warden.stop;
        apr_thread_cond_signal(warden.cond);
        apr_thread_mutex_unlock(warden.mutex);
    } while (!stop);
    return NULL; /* not apr_thread_exit(): the thread's stack unwinds as sanitizers expect */
}

/* The child is going, and its memory with it. A silent store would keep the thread, and so the process, for as long as it
 * likes: what it asks is broken off, again and again, for a call that is about to connect is not seen. */
static apr_status_t warden_exit(void *data)
{
    apr_interval_time_t wait = MCP_STORE_PATIENCE;
    apr_status_t rv;

    apr_thread_mutex_lock(warden.mutex);
    warden.stop = 1;
    apr_thread_cond_signal(warden.cond);
    while (!warden.done) {
        if (apr_thread_cond_timedwait(warden.cond, warden.mutex, wait) == APR_TIMEUP) {
            mcp_guard_store_hang_up();
            wait = HANG_UP_EVERY;
        }
    }
    apr_thread_mutex_unlock(warden.mutex);
    apr_thread_join(&rv, warden.thread);
    warden.thread = NULL;
    return APR_SUCCESS;
}

/* A pool that no other thread allocates from. */
static apr_status_t own_pool(apr_pool_t **pool, apr_pool_t *parent)
{
    apr_allocator_t *allocator;
    apr_status_t rv = apr_allocator_create(&allocator);

    if (rv == APR_SUCCESS && (rv = apr_pool_create_ex(pool, parent, NULL, allocator)) == APR_SUCCESS) {
        apr_allocator_owner_set(allocator, *pool);
    }
    return rv;
}

void mcp_warden_child_init(apr_pool_t *pchild, server_rec *s)
{
    sigset_t all, old;
    apr_status_t rv;

    memset(&warden, 0, sizeof(warden));
    if (!mcp_guard_in_use(s)) {
        return;
    }
    warden.server = s;
    warden.next_sweep = apr_time_now() + SWEEP_EVERY;
    warden.soonest = APR_INT64_MAX;
    mcp_guard_revocations(0, &warden.local, pchild);
    if ((rv = own_pool(&warden.pool, pchild)) == APR_SUCCESS
        && (rv = apr_thread_mutex_create(&warden.mutex, APR_THREAD_MUTEX_DEFAULT, pchild)) == APR_SUCCESS
        && (rv = apr_thread_cond_create(&warden.cond, pchild)) == APR_SUCCESS) {
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &old);
        rv = apr_thread_create(&warden.thread, NULL, warden_thread, NULL, pchild);
        pthread_sigmask(SIG_SETMASK, &old, NULL);
    }
    if (rv != APR_SUCCESS) {
        warden.thread = NULL;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     MCP_LOG(0530) "cannot start the thread that ends revoked streams: they end when their token "
                                   "expires");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, warden_exit);
}
