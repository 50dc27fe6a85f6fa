/* SPDX-License-Identifier: Apache-2.0 */
/* The relay thread: one of each child, on epoll. It moves bytes from backends through the requests' own output filters
 * to clients, and waits for nobody. Here is its loop, what it waits for, and how connections come to it; what happens to
 * them is in stream_phase.c. The undocumented behaviour of httpd that it stands on is in docs/streams-internals.md. */

#include <errno.h>
#include <signal.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

#include <httpd.h>
#include <ap_mpm.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_log.h>

#include "mcp_log.h"
#include "stream_loop.h"

APLOG_USE_MODULE(mcp_guard);

#ifdef __linux__

#define EVENTS 256
#define FULL_ROUNDS 16                    /* how often burials may wait for events */
#define BURIAL_TICK 250                   /* milliseconds between two looks at memory that may not be freed yet */
#define SECONDS 64                        /* a connection is looked at this often at least, which costs nothing */
#define STOP_TIME apr_time_from_msec(800) /* for polite ends when the child is told to go */

static struct {
    int ep, wake;
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    mcp_park_t *incoming; /* mutex */
    int stop;             /* atomic: leave now */
    int kicked;           /* atomic: verdicts were given */
    apr_time_t now;       /* of this round */
    apr_int64_t second;   /* the last that was seen to, in seconds of the epoch */
    /* Connections by the second, modulo SECONDS, in which time may bring them something: nobody else is looked at. */
    mcp_ring_t seconds[SECONDS];
    unsigned count;
    apr_uint32_t kills; /* what mcp_table_kills() said last */
} loop;

int mcp_loop_running(void)
{
    return loop.thread != NULL;
}

static void wake(void)
{
    apr_uint64_t one = 1;

    if (write(loop.wake, &one, sizeof(one)) < 0) {
        return; /* the counter is full: the thread wakes all the same */
    }
}

static void watch_client(mcp_park_t *park, apr_uint32_t events)
{
    struct epoll_event ev;
    int op = !park->events ? EPOLL_CTL_ADD : (!events ? EPOLL_CTL_DEL : EPOLL_CTL_MOD);

    if (park->events == events) {
        return;
    }
    ev.events = events;
    ev.data.ptr = park;
    epoll_ctl(loop.ep, op, park->fd, &ev);
    park->events = events;
}

void mcp_loop_watch_backend(mcp_park_t *park, int on)
{
    struct epoll_event ev;

    if (park->reading == (unsigned)on) {
        return;
    }
    ev.events = EPOLLIN;
    ev.data.ptr = (char *)park + 1; /* odd: the backend of park */
    epoll_ctl(loop.ep, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, park->backend.fd, &ev);
    park->reading = (unsigned)on;
}

apr_time_t mcp_loop_now(void)
{
    return loop.now;
}

static void list(mcp_park_t *park)
{
    apr_time_t due = mcp_phase_due(park);
    apr_int64_t second = loop.second + SECONDS - 1;
    mcp_ring_t *ring;

    if (due < apr_time_from_sec(second)) {
        second = apr_time_sec(due) + 1; /* rounded up: it is due then */
        if (second <= loop.second) {
            second = loop.second + 1;
        }
    }
    ring = &loop.seconds[second % SECONDS];
    if (park->second == ring) {
        return;
    }
    if (park->second) {
        mcp_loop_unlist(park);
    }
    park->second = ring;
    park->links.next = ring;
    park->links.prev = ring->prev;
    park->links.prev->next = ring->prev = &park->links;
    loop.count++;
}

void mcp_loop_unlist(mcp_park_t *park)
{
    park->links.next->prev = park->links.prev;
    park->links.prev->next = park->links.next;
    park->second = NULL;
    loop.count--;
}

void mcp_loop_arm(mcp_park_t *park)
{
    list(park);
    switch (park->phase) {
    case MCP_PARK_STREAM:
        watch_client(park, EPOLLRDHUP | (park->stalled ? EPOLLOUT : 0u));
        mcp_loop_watch_backend(park, !park->stalled);
        break;
    case MCP_PARK_FLUSH:
        watch_client(park, EPOLLRDHUP | EPOLLOUT);
        break;
    case MCP_PARK_IDLE:
        watch_client(park, EPOLLRDHUP | EPOLLIN);
        break;
    case MCP_PARK_LINGER:
        watch_client(park, EPOLLIN);
        break;
    default:
        watch_client(park, 0);
        break;
    }
}

/* ---- admission ---- */

static void admit(mcp_park_t *park)
{
    if (park->phase == MCP_PARK_NEW) {
        park->parked = loop.now;
        mcp_memory_spare(park);
        park->state = CONN_STATE_SUSPENDED;
    }
    else {
        mcp_next_back();
    }
    park->c->current_thread = loop.thread;
    switch (park->state) {
    case CONN_STATE_SUSPENDED:
        mcp_phase_begin(park);
        break;
    case MCP_STATE_FOREIGN:
        mcp_loop_unlist(park);
        break;
    case CONN_STATE_WRITE_COMPLETION:
    case CONN_STATE_CHECK_REQUEST_LINE_READABLE:
        mcp_phase_flush(park);
        break;
    default:
        mcp_phase_close(park);
        break;
    }
}

static void admit_all(void)
{
    mcp_park_t *park, *next;

    apr_thread_mutex_lock(loop.mutex);
    park = loop.incoming;
    loop.incoming = NULL;
    apr_thread_mutex_unlock(loop.mutex);
    for (; park; park = next) {
        next = park->link;
        admit(park);
    }
    mcp_next_run();
}

void mcp_loop_admit(mcp_park_t *park)
{
    int first;

    apr_thread_mutex_lock(loop.mutex);
    first = loop.incoming == NULL;
    park->link = loop.incoming;
    loop.incoming = park;
    apr_thread_mutex_unlock(loop.mutex);
    if (first) {
        wake();
    }
}

/* ---- the thread ---- */

/* Let `see` look at every connection of a ring. It may end the connection. */
static void each(mcp_ring_t *ring, void (*see)(mcp_park_t *park, apr_time_t now), apr_time_t now)
{
    mcp_ring_t *at, *next;

    for (at = ring->next; at != ring; at = next) {
        mcp_park_t *park = (mcp_park_t *)at;

        next = at->next;
        see(park, now);
        if (park->second) {
            list(park);
        }
    }
}

static void each_of_all(void (*see)(mcp_park_t *park, apr_time_t now), apr_time_t now)
{
    int i;

    for (i = 0; i < SECONDS; i++) {
        each(&loop.seconds[i], see, now);
    }
}

/* The clock has gone on since `before`, a second or more. */
static void on_seconds(apr_int64_t before)
{
    apr_int64_t second = before < loop.second - SECONDS ? loop.second - SECONDS : before;

    while (++second <= loop.second) {
        each(&loop.seconds[second % SECONDS], mcp_phase_time, loop.now);
    }
    mcp_memory_trim();
}

static void on_time(int kicked)
{
    apr_int64_t before = loop.second;
    apr_uint32_t kills;

    if (!kicked && apr_time_sec(loop.now) == before) {
        return;
    }
    loop.second = apr_time_sec(loop.now);
    kills = mcp_table_kills();
    if (kicked || kills != loop.kills) {
        loop.kills = kills;
        each_of_all(mcp_phase_govern, loop.now);
    }
    on_seconds(before);
}

static void dispatch(const struct epoll_event *ev)
{
    char *tagged = ev->data.ptr;
    apr_uint64_t count;

    if (!tagged) {
        if (read(loop.wake, &count, sizeof(count)) < 0) {
            return; /* somebody was faster */
        }
    }
    else if ((apr_uintptr_t)tagged & 1) {
        mcp_phase_backend((mcp_park_t *)(tagged - 1));
    }
    else {
        mcp_phase_client((mcp_park_t *)tagged, ev->events);
    }
}

static void leave_politely(mcp_park_t *park, apr_time_t until)
{
    if (park->phase == MCP_PARK_STREAM && apr_time_now() < until) {
        mcp_phase_finish(park, MCP_END_STOPPED);
    }
}

static void leave_now(mcp_park_t *park, apr_time_t now)
{
    if (park->phase != MCP_PARK_WORK) {
        mcp_phase_abandon(park, MCP_END_STOPPED);
    }
}

/* The child is going at once: end what can be ended without waiting, and give up the rest. */
static void leave(void)
{
    apr_time_t until = apr_time_now() + STOP_TIME;

    mcp_stream_stopping(1);
    admit_all();
    each_of_all(leave_politely, until);
    each_of_all(leave_now, until);
    mcp_memory_free(1);
}

/* How long may the thread sleep, in epoll's milliseconds? */
static int patience(void)
{
    if (mcp_memory_pending()) {
        return BURIAL_TICK;
    }
    /* to the next second, or as long as nothing happens */
    return loop.count > 0 ? 1000 - (int)apr_time_as_msec(apr_time_usec(loop.now)) : -1;
}

static void *APR_THREAD_FUNC loop_thread(apr_thread_t *thread, void *data)
{
    struct epoll_event events[EVENTS];
    int full = 0;

    while (!__atomic_load_n(&loop.stop, __ATOMIC_ACQUIRE)) {
        int n = epoll_wait(loop.ep, events, EVENTS, patience());
        int i;

        loop.now = apr_time_now();
        for (i = 0; i < n; i++) {
            dispatch(&events[i]);
        }
        admit_all();
        on_time(__atomic_exchange_n(&loop.kicked, 0, __ATOMIC_ACQ_REL));
        /* When thousands leave at once, their backends hear of it first, and memory comes after. */
        if (n < EVENTS || ++full > FULL_ROUNDS) {
            full = 0;
            mcp_memory_free(0);
        }
    }
    leave();
    return NULL; /* not apr_thread_exit(): the thread's stack unwinds as sanitizers expect */
}

void mcp_loop_kick(void)
{
    if (loop.thread) {
        __atomic_store_n(&loop.kicked, 1, __ATOMIC_RELEASE);
        wake();
    }
}

static apr_status_t loop_exit(void *data)
{
    apr_status_t rv;

    __atomic_store_n(&loop.stop, 1, __ATOMIC_RELEASE);
    wake();
    apr_thread_join(&rv, loop.thread);
    loop.thread = NULL;
    return APR_SUCCESS;
}

static apr_status_t start(apr_pool_t *pchild)
{
    struct epoll_event ev;
    sigset_t all, old;
    apr_status_t rv;

    loop.ep = epoll_create1(EPOLL_CLOEXEC);
    loop.wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    ev.events = EPOLLIN;
    ev.data.ptr = NULL;
    if (loop.ep < 0 || loop.wake < 0 || epoll_ctl(loop.ep, EPOLL_CTL_ADD, loop.wake, &ev) < 0) {
        return errno;
    }
    if ((rv = apr_thread_mutex_create(&loop.mutex, APR_THREAD_MUTEX_DEFAULT, pchild)) != APR_SUCCESS) {
        return rv;
    }
    /* Signals belong to the MPM's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    rv = ap_thread_create(&loop.thread, NULL, loop_thread, NULL, pchild);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    return rv;
}

void mcp_loop_child_init(apr_pool_t *pchild, server_rec *s)
{
    int async = 0;
    int threads = 4;
    int i;
    apr_status_t rv;

    loop.thread = NULL;
    if ((!mcp_stream_global.relay_asked && !mcp_guard_in_use(s))
        || ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async) {
        return;
    }
    for (i = 0; i < SECONDS; i++) {
        loop.seconds[i].next = loop.seconds[i].prev = &loop.seconds[i];
    }
    loop.now = apr_time_now();
    loop.second = apr_time_sec(loop.now);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    mcp_next_child_init(threads);
    rv = start(pchild);
    if (rv != APR_SUCCESS) {
        loop.thread = NULL;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     MCP_LOG(0561) "cannot start the relay: event streams hold a worker each");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, loop_exit);
}

#else /* no epoll: streams hold a worker each */

int mcp_loop_running(void)
{
    return 0;
}

void mcp_loop_child_init(apr_pool_t *pchild, server_rec *s)
{
}

void mcp_loop_admit(mcp_park_t *park)
{
}

void mcp_loop_kick(void)
{
}

void mcp_out_register_filter(void)
{
}

void mcp_out_prepare(mcp_park_t *park, request_rec *r)
{
}

#endif
