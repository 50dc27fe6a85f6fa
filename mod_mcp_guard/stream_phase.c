/* SPDX-License-Identifier: Apache-2.0 */
/* What happens to a connection that the relay holds, phase by phase. In the relay thread only.
 *
 *   NEW -> STREAM -> FLUSH -> IDLE -> WORK -> STREAM ...      a connection that is kept alive goes on here: the event
 *              \        \       \        \                   MPM of 2.4 has no way to take a suspended one back, but it
 *               `--------`-------`--------`-> LINGER -> GONE  runs timed callbacks in its workers, and one of these
 *                                                             serves the next request (stream_next.c) */

#ifdef __linux__

#include <errno.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <httpd.h>
#include <http_config.h>
#include <http_connection.h>
#include <http_core.h>
#include <http_protocol.h>
#include <http_request.h>

#include "stream_loop.h"

#define BUFFER_SIZE 16384
#define SWOLLEN_TIME apr_time_from_sec(2) /* how long memory is kept for the next flood */
#define LINGER_TIME apr_time_from_sec(2)  /* httpd's MAX_SECS_TO_LINGER is 30: those who read on are few here */

static char buffer[BUFFER_SIZE]; /* the relay thread's */

static apr_interval_time_t write_timeout(const mcp_park_t *park)
{
    return park->c->base_server->timeout;
}

static void drop_backend(mcp_park_t *park)
{
    if (park->backend.fd >= 0) {
        mcp_loop_watch_backend(park, 0);
    }
    mcp_backend_close(&park->backend);
}

/* Log and free the request: EOR through the filters. It may outlive this call when output is still to be written. */
static void end_request(mcp_park_t *park)
{
    request_rec *r = park->s->r;

    park->s = NULL;
    ap_process_request_after_handler(r);
    park->c->cs->state = CONN_STATE_SUSPENDED; /* H6 */
}

/* The client is gone, or we are through with it: nothing more is written. */
void mcp_phase_abandon(mcp_park_t *park, mcp_end_e reason)
{
    park->c->aborted = 1;
    drop_backend(park);
    if (park->s) {
        mcp_stream_end(park->s, reason);
        end_request(park);
    }
    mcp_memory_bury(park);
}

static void to_linger(mcp_park_t *park)
{
    shutdown(park->fd, SHUT_WR);
    park->phase = MCP_PARK_LINGER;
    park->deadline = mcp_loop_now() + LINGER_TIME;
    mcp_loop_arm(park);
}

static void after_flush(mcp_park_t *park);

/* Write what core holds; go on when all of it is out. */
void mcp_phase_flush(mcp_park_t *park)
{
    conn_rec *c = park->c;

    if (c->aborted || mcp_out_write(park) != APR_SUCCESS) {
        mcp_phase_abandon(park, MCP_END_CLIENT);
    }
    else if (c->data_in_output_filters) {
        park->phase = MCP_PARK_FLUSH;
        park->deadline = mcp_loop_now() + write_timeout(park);
        mcp_loop_arm(park);
    }
    else {
        after_flush(park);
    }
}

void mcp_phase_close(mcp_park_t *park)
{
    conn_rec *c = park->c;

    park->closing = 1;
    ap_prep_lingering_close(c);
    ap_shutdown_conn(c, 1); /* TLS close_notify */
    c->cs->state = CONN_STATE_SUSPENDED;
    mcp_phase_flush(park);
}

/* All output is written: what comes next for the connection? */
static void after_flush(mcp_park_t *park)
{
    conn_rec *c = park->c;

    if (park->closing) {
        to_linger(park);
    }
    else if (c->keepalive != AP_CONN_KEEPALIVE || mcp_stream_stopping(0)) {
        mcp_phase_close(park);
    }
    else if (c->data_in_input_filters) {
        mcp_next_request(park);
    }
    else {
        park->phase = MCP_PARK_IDLE;
        park->deadline = mcp_loop_now() + c->base_server->keep_alive_timeout;
        mcp_loop_arm(park);
    }
}

/* The stream is over; the answer is completed, or broken off so that the client can tell. */
void mcp_phase_finish(mcp_park_t *park, mcp_end_e reason)
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
    mcp_phase_flush(park);
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
        mcp_phase_abandon(park, MCP_END_CLIENT);
        return 0;
    }
    if (c->data_in_output_filters && !park->stalled) {
        /* Back-pressure: the backend is not read until the client has taken what there is. */
        park->stalled = park->swollen = 1;
        park->due = 0;
        park->deadline = mcp_loop_now() + write_timeout(park);
        mcp_loop_arm(park);
    }
    return 1;
}

/* Read the backend once. False when there is no more to read now. */
static int read_backend(mcp_park_t *park)
{
    apr_ssize_t got = mcp_backend_read(&park->backend, buffer, sizeof(buffer));
    apr_size_t n;

    if (got == -1) {
        return 0;
    }
    if (got <= 0) {
        mcp_phase_finish(park, got == 0 && mcp_body_complete(&park->body) ? MCP_END_COMPLETE : MCP_END_BROKEN);
        return 0;
    }
    n = mcp_body_decode(&park->body, buffer, (apr_size_t)got);
    if (n) {
        mcp_stream_pass(park->s, buffer, n, mcp_loop_now());
        if (!send_client(park, buffer, n)) {
            return 0;
        }
    }
    if (park->body.state >= MCP_BODY_DONE) {
        mcp_phase_finish(park, park->body.state == MCP_BODY_DONE ? MCP_END_COMPLETE : MCP_END_BROKEN);
        return 0;
    }
    return !park->stalled && mcp_backend_pending(&park->backend);
}

void mcp_phase_backend(mcp_park_t *park)
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
        mcp_phase_flush(park);
        return;
    }
    if (mcp_out_write(park) != APR_SUCCESS) {
        mcp_phase_abandon(park, MCP_END_CLIENT);
    }
    else if (c->data_in_output_filters) {
        park->deadline = mcp_loop_now() + write_timeout(park);
    }
    else {
        park->stalled = 0;
        mcp_loop_arm(park);
        if (mcp_backend_pending(&park->backend)) {
            mcp_phase_backend(park);
        }
    }
}

static void on_idle(mcp_park_t *park)
{
    char byte;
    ssize_t n = recv(park->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n > 0) {
        mcp_next_request(park);
    }
    else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        mcp_phase_abandon(park, MCP_END_CLIENT);
    }
}

static void on_linger(mcp_park_t *park)
{
    ssize_t n;

    do {
        n = recv(park->fd, buffer, sizeof(buffer), MSG_DONTWAIT);
    } while (n > 0);
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        mcp_memory_bury(park);
    }
}

void mcp_phase_client(mcp_park_t *park, apr_uint32_t events)
{
    switch (park->phase) {
    case MCP_PARK_STREAM:
    case MCP_PARK_FLUSH:
        if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
            mcp_phase_abandon(park, MCP_END_CLIENT);
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

void mcp_phase_begin(mcp_park_t *park)
{
    mcp_backend_settle(&park->backend);
    mcp_table_park(park->s->claim);
    park->phase = MCP_PARK_STREAM;
    park->head = 0;
    park->due = 0;
    park->stalled = 0;
    if (park->c->data_in_output_filters) {
        park->stalled = 1;
        park->deadline = mcp_loop_now() + write_timeout(park);
    }
    mcp_loop_arm(park);
    if (mcp_backend_pending(&park->backend)) {
        mcp_phase_backend(park);
    }
}

static void at_deadline(mcp_park_t *park)
{
    switch (park->phase) {
    case MCP_PARK_STREAM:
    case MCP_PARK_FLUSH:
    case MCP_PARK_LINGER:
        mcp_phase_abandon(park, MCP_END_STALLED);
        break;
    case MCP_PARK_IDLE:
        mcp_phase_close(park);
        break;
    default:
        break;
    }
}

/* Ask the rules of its stream. */
static void govern(mcp_park_t *park, apr_time_t now)
{
    switch (mcp_stream_tick(park->s, now)) {
    case MCP_TICK_END:
        mcp_phase_finish(park, park->s->reason);
        break;
    case MCP_TICK_PING:
        if (!park->stalled) {
            send_client(park, MCP_PING, MCP_PING_LEN);
        }
        break;
    default:
        break;
    }
    if (park->phase != MCP_PARK_STREAM) {
        return;
    }
    park->due = mcp_stream_due(park->s);
    if (park->swollen) {
        if (!park->stalled && now - park->s->heard > SWOLLEN_TIME) {
            mcp_memory_spare(park);
        }
        else if (park->due > now + SWOLLEN_TIME) {
            park->due = now + SWOLLEN_TIME;
        }
    }
}

/* What the phase itself sets an end to; FLUSH, IDLE, LINGER and a stream whose client does not read. */
static int has_deadline(const mcp_park_t *park)
{
    return park->phase == MCP_PARK_STREAM ? park->stalled
                                          : park->phase != MCP_PARK_WORK && park->phase != MCP_PARK_GONE;
}

apr_time_t mcp_phase_due(const mcp_park_t *park)
{
    apr_time_t due = park->phase == MCP_PARK_STREAM ? park->due : APR_INT64_MAX;

    return has_deadline(park) && park->deadline < due ? park->deadline : due;
}

void mcp_phase_time(mcp_park_t *park, apr_time_t now)
{
    if (has_deadline(park) && now >= park->deadline) {
        at_deadline(park);
    }
    else if (park->phase == MCP_PARK_STREAM && now >= park->due) {
        govern(park, now);
    }
}

void mcp_phase_govern(mcp_park_t *park, apr_time_t now)
{
    if (park->phase == MCP_PARK_STREAM) {
        park->due = 0;
    }
    else if (park->phase == MCP_PARK_IDLE && mcp_stream_stopping(0)) {
        park->deadline = 0;
    }
    mcp_phase_time(park, now);
}

#endif
