/* SPDX-License-Identifier: Apache-2.0 */
/* The relay thread: one of each child, on epoll. It moves bytes from backends through the requests' own output filters
 * to clients, and waits for nobody.
 *
 *   NEW -> STREAM -> FLUSH -> IDLE -> WORK -> STREAM ...      a connection that is kept alive goes on here: the event
 *              \        \       \        \                   MPM of 2.4 has no way to take a suspended one back, but it
 *               `--------`-------`--------`-> LINGER -> GONE  runs timed callbacks in its workers, and one of these
 *                                                             serves the next request
 *
 * Undocumented behaviour that this stands on, each with a test in test/system/streams.test.mjs that would show a change:
 *
 *   (1) calling the core output filter with NULL writes what it holds, without waiting (event.c does the same);
 *   (2) destroying a suspended connection's pool ends it in the MPM's accounts too (event.c,
 *       decrement_connection_count, goes by cs->state);
 *   (3) process_socket() still writes to the connection after suspend_connection, and then never again; the worker's
 *       next step is to set its entry in the scoreboard (event.c, worker_thread). See may_bury();
 *   (4) a worker that runs a timed callback may process a request as it does for the MPM. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <malloc.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#endif

#include <httpd.h>
#include <ap_mpm.h>
#include <apr_portable.h>
#include <apr_thread_mutex.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

#include "mcp_log.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

#ifdef __linux__

#define FOREIGN (-1) /* state of a connection that another module suspended */
#define BUFFER_SIZE 16384
#define FAST_MAX 4096 /* always fits a send buffer that poll() calls writable */
#define EVENTS 256
#define TICK apr_time_from_msec(250)
#define GOVERN_EVERY apr_time_from_sec(1)
#define LINGER_TIME apr_time_from_sec(2) /* httpd's MAX_SECS_TO_LINGER is 30: those who read on are few here */
#define SWEEP_GUARD apr_time_from_sec(1)
#define STOP_TIME apr_time_from_msec(800) /* for polite ends when the child is told to go */
#define TRIM_AFTER 256                    /* connections buried before memory is given back to the system */

static ap_filter_rec_t *relay_handle;

static struct {
    int ep, wake;
    apr_thread_t *thread;
    apr_thread_mutex_t *mutex;
    mcp_park_t *incoming;          /* mutex */
    int stop;                      /* atomic: leave now */
    int kicked;                    /* atomic: verdicts were given */
    mcp_park_t list;               /* head of the ring of connections */
    mcp_park_t *gone;              /* to be buried */
    mcp_park_t *queue, *queue_end; /* waiting for a worker */
    int working, working_max;      /* with workers */
    unsigned count;
    unsigned buried;     /* since memory was given back */
    apr_time_t governed; /* when the rules were last asked */
    char buffer[BUFFER_SIZE];
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

/* ---- output without waiting ---- */

static int writable(int fd)
{
    struct pollfd p = { fd, POLLOUT, 0 };

    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* Below mod_ssl, above core: a FLUSH would make core wait for a slow client, and all other streams with it. */
static apr_status_t relay_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    mcp_park_t *park = f->ctx;
    apr_bucket *b, *next;
    apr_off_t len = 0;
    apr_status_t rv;
    int flush = 0;

    if (park->phase == MCP_PARK_WORK) {
        return ap_pass_brigade(f->next, bb); /* a worker's output: workers may wait */
    }
    if (park->fast && !f->c->data_in_output_filters && apr_brigade_length(bb, 0, &len) == APR_SUCCESS && len >= 0
        && len <= FAST_MAX && writable(park->fd)) {
        return ap_pass_brigade(f->next, bb); /* cannot wait, and spares core its pool for set-aside data */
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_FLUSH(b)) {
            apr_bucket_delete(b);
            flush = 1;
        }
    }
    rv = ap_pass_brigade(f->next, bb);
    if (rv == APR_SUCCESS && flush) {
        rv = park->core->frec->filter_func.out_func(park->core, NULL); /* (1) */
    }
    return rv;
}

/* ---- epoll ---- */

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

static void watch_backend(mcp_park_t *park, int on)
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

/* Set what is waited for in the present phase. */
static void arm(mcp_park_t *park)
{
    switch (park->phase) {
    case MCP_PARK_STREAM:
        watch_client(park, EPOLLRDHUP | (park->stalled ? EPOLLOUT : 0u));
        watch_backend(park, !park->stalled);
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

static apr_interval_time_t write_timeout(const mcp_park_t *park)
{
    return park->c->base_server->timeout;
}

/* ---- the end of a connection ---- */

static void to_gone(mcp_park_t *park)
{
    if (park->phase == MCP_PARK_GONE) {
        return;
    }
    park->phase = MCP_PARK_GONE;
    arm(park);
    park->next->prev = park->prev;
    park->prev->next = park->next;
    park->link = loop.gone;
    loop.gone = park;
    loop.count--;
}

static void drop_backend(mcp_park_t *park)
{
    if (park->backend.fd >= 0) {
        watch_backend(park, 0);
    }
    mcp_backend_close(&park->backend);
}

/* Log and free the request: EOR through the filters. It may outlive this call when output is still to be written. */
static void end_request(mcp_park_t *park)
{
    request_rec *r = park->s->r;

    park->s = NULL;
    ap_process_request_after_handler(r);
    park->c->cs->state = CONN_STATE_SUSPENDED; /* (2) */
}

/* The client is gone, or we are through with it: nothing more is written. */
static void abandon(mcp_park_t *park, mcp_end_e reason)
{
    park->c->aborted = 1;
    drop_backend(park);
    if (park->s) {
        mcp_stream_end(park->s, reason);
        end_request(park);
    }
    to_gone(park);
}

static void to_linger(mcp_park_t *park)
{
    shutdown(park->fd, SHUT_WR);
    park->phase = MCP_PARK_LINGER;
    park->deadline = apr_time_now() + LINGER_TIME;
    arm(park);
}

static void after_flush(mcp_park_t *park);

/* Write what core holds; go on when all of it is out. */
static void flush(mcp_park_t *park)
{
    conn_rec *c = park->c;

    if (c->aborted || park->core->frec->filter_func.out_func(park->core, NULL) != APR_SUCCESS /* (1) */
        || c->aborted) {
        abandon(park, MCP_END_CLIENT);
    }
    else if (c->data_in_output_filters) {
        park->phase = MCP_PARK_FLUSH;
        park->deadline = apr_time_now() + write_timeout(park);
        arm(park);
    }
    else {
        after_flush(park);
    }
}

static void close_politely(mcp_park_t *park)
{
    conn_rec *c = park->c;

    park->closing = 1;
    ap_prep_lingering_close(c);
    ap_shutdown_conn(c, 1); /* TLS close_notify */
    c->cs->state = CONN_STATE_SUSPENDED;
    flush(park);
}

/* ---- requests after the stream ---- */

static void *find_score(int *child, int *thread)
{
    int daemons = 0, threads = 0, i, j;
    apr_os_thread_t me = apr_os_thread_current();

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    for (i = 0; i < daemons; i++) {
        if (ap_scoreboard_image->servers[i][0].pid != getpid()) {
            continue;
        }
        for (j = 0; j < threads; j++) {
            worker_score *score = &ap_scoreboard_image->servers[i][j];

            if (score->tid == me) {
                *child = i;
                *thread = j;
                return score;
            }
        }
    }
    return NULL;
}

/* Show the worker as busy in mod_status while it serves a request for us. */
static void show_busy(mcp_park_t *park)
{
    static __thread int child, thread, known;

    if (!known) {
        known = find_score(&child, &thread) ? 1 : -1;
    }
    if (known < 0) {
        return;
    }
    if (park->sbh) {
        ap_update_sb_handle(park->sbh, child, thread);
    }
    else {
        ap_create_sb_handle(&park->sbh, park->c->pool, child, thread);
    }
    park->c->sbh = park->sbh;
}

/* In a worker of the MPM: the next request of the connection. */
static void work(void *baton)
{
    mcp_park_t *park = baton;
    conn_rec *c = park->c;
    int rc;

#if AP_HAS_THREAD_LOCAL
    c->current_thread = ap_thread_current();
#endif
    show_busy(park);
    c->cs->state = CONN_STATE_READ_REQUEST_LINE;
    rc = ap_run_process_connection(c); /* (4) */
    park->state = rc == OK || rc == DONE ? (int)c->cs->state : CONN_STATE_LINGER;
    c->sbh = NULL;
    c->cs->state = CONN_STATE_SUSPENDED;
    if (park->state == CONN_STATE_SUSPENDED && !park->s) {
        /* Some other module suspended it and is its owner now; the MPM would have forgotten it likewise. */
        ap_log_cerror(APLOG_MARK, APLOG_ERR, 0, c, MCP_LOG(0560) "connection suspended by another module");
        park->state = FOREIGN;
    }
    mcp_loop_admit(park);
}

static void next_work(void)
{
    while (loop.queue && loop.working < loop.working_max) {
        mcp_park_t *park = loop.queue;

        loop.queue = park->link;
        loop.working++;
        if (ap_mpm_register_timed_callback(0, work, park) != APR_SUCCESS) {
            loop.working--;
            park->phase = MCP_PARK_LINGER; /* the next tick abandons it */
            park->deadline = 0;
        }
    }
}

static void to_work(mcp_park_t *park)
{
    park->phase = MCP_PARK_WORK;
    arm(park);
    park->link = NULL;
    if (loop.queue) {
        loop.queue_end->link = park;
    }
    else {
        loop.queue = park;
    }
    loop.queue_end = park;
    next_work();
}

/* All output is written: what comes next for the connection? */
static void after_flush(mcp_park_t *park)
{
    conn_rec *c = park->c;

    if (park->closing) {
        to_linger(park);
    }
    else if (c->keepalive != AP_CONN_KEEPALIVE || mcp_stream_stopping(0)) {
        close_politely(park);
    }
    else if (c->data_in_input_filters) {
        to_work(park);
    }
    else {
        park->phase = MCP_PARK_IDLE;
        park->deadline = apr_time_now() + c->base_server->keep_alive_timeout;
        arm(park);
    }
}

/* ---- streams ---- */

/* The stream is over; the answer is completed, or broken off so that the client can tell. */
static void finish(mcp_park_t *park, mcp_end_e reason)
{
    conn_rec *c = park->c;
    request_rec *r = park->s->r;

    drop_backend(park);
    mcp_stream_end(park->s, reason);
    if (reason == MCP_END_BROKEN) {
        /* As ap_proxy_backend_broke(): no last chunk. */
        APR_BRIGADE_INSERT_TAIL(park->bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, c->bucket_alloc));
        APR_BRIGADE_INSERT_TAIL(park->bb, apr_bucket_eos_create(c->bucket_alloc));
        ap_pass_brigade(r->output_filters, park->bb);
        apr_brigade_cleanup(park->bb);
        c->keepalive = AP_CONN_CLOSE;
    }
    ap_finalize_request_protocol(r);
    end_request(park);
    flush(park);
}

/* Send to the client; false when the connection is gone by then. */
static int send_client(mcp_park_t *park, const char *data, apr_size_t len)
{
    conn_rec *c = park->c;
    apr_status_t rv;

    APR_BRIGADE_INSERT_TAIL(park->bb, apr_bucket_transient_create(data, len, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(park->bb, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(park->s->r->output_filters, park->bb);
    apr_brigade_cleanup(park->bb);
    if (rv != APR_SUCCESS || c->aborted) {
        abandon(park, MCP_END_CLIENT);
        return 0;
    }
    if (c->data_in_output_filters && !park->stalled) {
        /* Back-pressure: the backend is not read until the client has taken what there is. */
        park->stalled = 1;
        park->deadline = apr_time_now() + write_timeout(park);
        arm(park);
    }
    return 1;
}

/* Read the backend once. False when there is no more to read now. */
static int read_backend(mcp_park_t *park)
{
    apr_ssize_t got = mcp_backend_read(&park->backend, loop.buffer, sizeof(loop.buffer));
    apr_size_t n;

    if (got == -1) {
        return 0;
    }
    if (got <= 0) {
        finish(park, got == 0 && mcp_body_complete(&park->body) ? MCP_END_COMPLETE : MCP_END_BROKEN);
        return 0;
    }
    n = mcp_body_decode(&park->body, loop.buffer, (apr_size_t)got);
    if (n) {
        mcp_stream_pass(park->s, loop.buffer, n, apr_time_now());
        if (!send_client(park, loop.buffer, n)) {
            return 0;
        }
    }
    if (park->body.state >= MCP_BODY_DONE) {
        finish(park, park->body.state == MCP_BODY_DONE ? MCP_END_COMPLETE : MCP_END_BROKEN);
        return 0;
    }
    return !park->stalled && mcp_backend_pending(&park->backend);
}

static void on_backend(mcp_park_t *park)
{
    if (park->phase == MCP_PARK_STREAM && !park->stalled) {
        while (read_backend(park)) {
            continue; /* epoll does not tell of what OpenSSL holds already */
        }
    }
}

/* The client took what was waiting. */
static void on_writable(mcp_park_t *park)
{
    conn_rec *c = park->c;

    if (park->phase == MCP_PARK_FLUSH) {
        flush(park);
        return;
    }
    if (park->core->frec->filter_func.out_func(park->core, NULL) != APR_SUCCESS || c->aborted) { /* (1) */
        abandon(park, MCP_END_CLIENT);
    }
    else if (c->data_in_output_filters) {
        park->deadline = apr_time_now() + write_timeout(park);
    }
    else {
        park->stalled = 0;
        arm(park);
        if (mcp_backend_pending(&park->backend)) {
            on_backend(park);
        }
    }
}

static void on_idle(mcp_park_t *park)
{
    char byte;
    ssize_t n = recv(park->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0) {
        to_work(park);
    }
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        abandon(park, MCP_END_CLIENT);
    }
}

static void on_linger(mcp_park_t *park)
{
    ssize_t n;

    do {
        n = recv(park->fd, loop.buffer, sizeof(loop.buffer), MSG_DONTWAIT);
    } while (n > 0);
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        to_gone(park);
    }
}

static void on_client(mcp_park_t *park, apr_uint32_t events)
{
    switch (park->phase) {
    case MCP_PARK_STREAM:
    case MCP_PARK_FLUSH:
        if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
            abandon(park, MCP_END_CLIENT);
        }
        else if (events & EPOLLOUT) {
            on_writable(park);
        }
        break;
    case MCP_PARK_IDLE:
        on_idle(park);
        break;
    case MCP_PARK_LINGER:
        on_linger(park);
        break;
    default:
        break; /* WORK, GONE: an event of the same round that is too late */
    }
}

/* ---- admission ---- */

static void set_up(mcp_park_t *park)
{
    conn_rec *c = park->c;
    apr_os_sock_t fd;
    int size = 0;
    socklen_t len = sizeof(size);

    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    park->fd = fd;
    for (park->core = c->output_filters; park->core->next;) {
        park->core = park->core->next;
    }
    /* A send buffer that is smaller than what poll() vouches for gets no fast way. */
    park->fast = getsockopt(park->fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 && size >= 4 * FAST_MAX;
    park->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    /* With the request, for its filters point past the head of the connection's list. */
    ap_add_output_filter_handle(relay_handle, park, park->s->r, c);
}

static void begin_stream(mcp_park_t *park)
{
    mcp_backend_settle(&park->backend);
    mcp_table_park(park->s->claim);
    park->phase = MCP_PARK_STREAM;
    park->stalled = 0;
    if (park->c->data_in_output_filters) {
        park->stalled = 1;
        park->deadline = apr_time_now() + write_timeout(park);
    }
    arm(park);
    if (mcp_backend_pending(&park->backend)) {
        on_backend(park);
    }
}

static void admit(mcp_park_t *park)
{
    apr_time_t now = apr_time_now();

    if (park->phase == MCP_PARK_NEW) {
        park->parked = now;
        park->next = &loop.list;
        park->prev = loop.list.prev;
        park->prev->next = loop.list.prev = park;
        loop.count++;
        set_up(park);
        park->state = CONN_STATE_SUSPENDED;
    }
    else {
        loop.working--;
    }
    park->c->current_thread = loop.thread;
    switch (park->state) {
    case CONN_STATE_SUSPENDED:
        begin_stream(park);
        break;
    case FOREIGN:
        park->next->prev = park->prev;
        park->prev->next = park->next;
        loop.count--;
        break;
    case CONN_STATE_WRITE_COMPLETION:
    case CONN_STATE_CHECK_REQUEST_LINE_READABLE:
        flush(park);
        break;
    default:
        close_politely(park);
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
    next_work();
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

/* ---- burial ---- */

/* May the connection's memory go? The MPM's worker set c->sbh to NULL and its own private mark after our
 * suspend_connection hook (3). Its next step is to change its entry in the scoreboard, where the hook had left
 * SERVER_BUSY_LOG: any other value proves that it is out of process_socket(). Only the listener writes there too, when
 * the child is told to go gracefully, so with that value a second must have passed. */
static int may_bury(mcp_park_t *park, apr_time_t now)
{
    unsigned char status;

    if (!park->score) {
        return 1;
    }
    if (__atomic_load_n(&park->c->sbh, __ATOMIC_ACQUIRE) != NULL) {
        return 0;
    }
    status = __atomic_load_n(&park->score->status, __ATOMIC_ACQUIRE);
    if (status == SERVER_BUSY_LOG || (status == SERVER_GRACEFUL && now < park->parked + SWEEP_GUARD)) {
        return 0;
    }
    park->score = NULL;
    return 1;
}

static void bury(int by_force)
{
    mcp_park_t **at = &loop.gone;
    apr_time_t now = apr_time_now();

    while (*at) {
        mcp_park_t *park = *at;

        if (!by_force && !may_bury(park, now)) {
            at = &park->link;
            continue;
        }
        *at = park->link;
        loop.buried++;
        apr_pool_destroy(park->c->pool); /* (2); park goes with it */
    }
}

/* Connections' memory comes from many arenas: freed, it stays with the process until it is asked for. */
static void give_back_memory(unsigned before)
{
    if (loop.buried >= TRIM_AFTER && loop.buried == before) {
        loop.buried = 0;
        malloc_trim(0);
    }
}

/* ---- time ---- */

static void check_deadline(mcp_park_t *park, apr_time_t now)
{
    if (now < park->deadline) {
        return;
    }
    switch (park->phase) {
    case MCP_PARK_STREAM:
        if (park->stalled) {
            abandon(park, MCP_END_STALLED);
        }
        break;
    case MCP_PARK_FLUSH:
    case MCP_PARK_LINGER:
        abandon(park, MCP_END_STALLED);
        break;
    case MCP_PARK_IDLE:
        close_politely(park);
        break;
    default:
        break;
    }
}

static void govern(mcp_park_t *park, apr_time_t now)
{
    if (park->phase != MCP_PARK_STREAM) {
        if (park->phase == MCP_PARK_IDLE && mcp_stream_stopping(0)) {
            close_politely(park);
        }
        return;
    }
    switch (mcp_stream_tick(park->s, now)) {
    case MCP_TICK_END:
        finish(park, park->s->reason);
        break;
    case MCP_TICK_PING:
        if (!park->stalled) {
            send_client(park, MCP_PING, MCP_PING_LEN);
        }
        break;
    default:
        break;
    }
}

static void on_tick(apr_time_t now, int rules)
{
    mcp_park_t *park, *next;

    for (park = loop.list.next; park != &loop.list; park = next) {
        next = park->next;
        check_deadline(park, now);
        if (rules) {
            govern(park, now);
        }
    }
}

/* ---- the thread ---- */

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
        on_backend((mcp_park_t *)(tagged - 1));
    }
    else {
        on_client((mcp_park_t *)tagged, ev->events);
    }
}

/* The child is going at once: end what can be ended without waiting, and give up the rest. */
static void leave(void)
{
    apr_time_t until = apr_time_now() + STOP_TIME;
    mcp_park_t *park, *next;

    mcp_stream_stopping(1);
    admit_all();
    for (park = loop.list.next; park != &loop.list; park = next) {
        next = park->next;
        if (park->phase == MCP_PARK_STREAM && apr_time_now() < until) {
            finish(park, MCP_END_STOPPED);
        }
    }
    for (park = loop.list.next; park != &loop.list; park = next) {
        next = park->next;
        if (park->phase != MCP_PARK_WORK) {
            abandon(park, MCP_END_STOPPED);
        }
    }
    bury(1);
}

static void *APR_THREAD_FUNC loop_thread(apr_thread_t *thread, void *data)
{
    struct epoll_event events[EVENTS];
    apr_time_t ticked = 0;
    unsigned buried = 0;

    (void)thread;
    (void)data;
    while (!__atomic_load_n(&loop.stop, __ATOMIC_ACQUIRE)) {
        int idle = loop.count == 0 && !loop.gone && loop.buried < TRIM_AFTER;
        int n = epoll_wait(loop.ep, events, EVENTS, idle ? -1 : (int)apr_time_as_msec(TICK));
        apr_time_t now = apr_time_now();
        int kicked;
        int i;

        for (i = 0; i < n; i++) {
            dispatch(&events[i]);
        }
        admit_all();
        kicked = __atomic_exchange_n(&loop.kicked, 0, __ATOMIC_ACQ_REL);
        if (kicked || now - ticked >= TICK) {
            int rules = kicked || now - loop.governed >= GOVERN_EVERY;

            ticked = now;
            if (rules) {
                loop.governed = now;
            }
            on_tick(now, rules);
            give_back_memory(buried);
            buried = loop.buried;
        }
        bury(0);
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

    (void)data;
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
    apr_status_t rv;

    loop.thread = NULL;
    if ((!mcp_stream_global.relay_asked && !mcp_guard_in_use(s))
        || ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async) {
        return;
    }
    loop.list.next = loop.list.prev = &loop.list;
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    /* The MPM does not count a worker that runs a callback as busy: leave it most of them. */
    loop.working_max = threads > 4 ? threads / 2 : 2;
    rv = start(pchild);
    if (rv != APR_SUCCESS) {
        loop.thread = NULL;
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     MCP_LOG(0561) "cannot start the relay: event streams hold a worker each");
        return;
    }
    apr_pool_pre_cleanup_register(pchild, NULL, loop_exit);
}

void mcp_loop_register_filter(void)
{
    relay_handle = ap_register_output_filter("MCP_RELAY", relay_filter, NULL, AP_FTYPE_NETWORK - 1);
}

#else /* no epoll: streams hold a worker each */

int mcp_loop_running(void)
{
    return 0;
}

void mcp_loop_child_init(apr_pool_t *pchild, server_rec *s)
{
    (void)pchild;
    (void)s;
}

void mcp_loop_admit(mcp_park_t *park)
{
    (void)park;
}

void mcp_loop_kick(void)
{
}

void mcp_loop_register_filter(void)
{
}

#endif
