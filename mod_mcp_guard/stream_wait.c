/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for a backend with both eyes open: a filter on the backend's connection that turns mod_proxy's blocking reads
 * into nonblocking ones and waits on both sockets in between. So a client that goes away is noticed at once, whether the
 * backend is still thinking or its stream is silent (TR-13), and streams that hold a worker obey the same rules as those
 * on the relay. */

#include <errno.h>
#include <poll.h>

#include <httpd.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_log.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

#ifndef POLLRDHUP
#define POLLRDHUP 0
#endif

#define SLICE_MS 250

/* What mod_proxy reads when the client left before the backend answered: it then logs the request as 499, with nothing
 * said about a broken backend, and closes the backend's connection. */
static const char *const gone_answer[] = {
    "HTTP/1.1 499 Client Closed Request\r\n",
    "Connection: close\r\n",
    "Content-Length: 0\r\n",
    "\r\n",
};
#define GONE_LINES ((int)(sizeof(gone_answer) / sizeof(*gone_answer)))

/* In the backend connection's pool and config: the filter is put there once, for mod_proxy reuses connections. */
typedef struct {
    request_rec *r; /* the client's request; NULL between requests */
    int heard;      /* the backend has said something */
    int gone_line;  /* next line of gone_answer; -1 = not in use */
} wait_t;

static ap_filter_rec_t *wait_handle;
static int stopped; /* atomic: the child ends at once */

void mcp_wait_stop(void)
{
    __atomic_store_n(&stopped, 1, __ATOMIC_RELEASE);
}

static int descriptor(apr_socket_t *socket)
{
    apr_os_sock_t fd = -1;

    if (socket) {
        apr_os_sock_get(&fd, socket);
    }
    return fd;
}

/* A comment, from the worker that holds the stream. False when the client is gone. */
static int ping(mcp_stream_t *s)
{
    conn_rec *c = s->r->connection;
    apr_status_t rv;

    if (!s->bb) {
        s->bb = apr_brigade_create(s->r->pool, c->bucket_alloc);
    }
    APR_BRIGADE_INSERT_TAIL(s->bb, apr_bucket_immortal_create(MCP_PING, MCP_PING_LEN, c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(s->bb, apr_bucket_flush_create(c->bucket_alloc));
    rv = ap_pass_brigade(s->r->output_filters, s->bb);
    apr_brigade_cleanup(s->bb);
    return rv == APR_SUCCESS && !c->aborted;
}

/* Milliseconds for one poll; @a deadline 0 is none. */
static int slice(apr_time_t now, apr_time_t deadline)
{
    apr_interval_time_t left = deadline ? deadline - now : -1;

    return left < 0 || left > apr_time_from_msec(SLICE_MS) ? SLICE_MS : (int)(apr_time_as_msec(left) + 1);
}

mcp_wait_e mcp_wait_backend(request_rec *r, mcp_stream_t *s, conn_rec *origin, apr_time_t until)
{
    conn_rec *c = r->connection;
    int flows = s && s->open;
    apr_time_t now = apr_time_now();
    apr_time_t deadline = until;
    struct pollfd fds[2];

    fds[0].fd = descriptor(ap_get_conn_socket(origin));
    fds[0].events = POLLIN;
    fds[1].fd = c->master ? -1 : descriptor(ap_get_conn_socket(c)); /* HTTP/2 marks the connection instead */
    fds[1].events = POLLRDHUP;
    if (!deadline && !flows) {
        apr_interval_time_t timeout = -1;

        apr_socket_timeout_get(ap_get_conn_socket(origin), &timeout);
        deadline = timeout >= 0 ? now + timeout : 0;
    }
    for (;;) {
        int n;

        /* The MPM has closed the client's socket then, which poll() is not told of. */
        if (c->aborted || __atomic_load_n(&stopped, __ATOMIC_ACQUIRE)) {
            return MCP_WAIT_GONE;
        }
        if (flows) {
            mcp_tick_e tick = mcp_stream_tick(s, now);

            if (tick == MCP_TICK_END) {
                return MCP_WAIT_END;
            }
            if (tick == MCP_TICK_PING && !ping(s)) {
                return MCP_WAIT_GONE;
            }
        }
        fds[0].revents = fds[1].revents = 0;
        n = poll(fds, 2, slice(now, deadline));
        now = apr_time_now();
        if (n < 0 && errno != EINTR) {
            return MCP_WAIT_TIMEOUT;
        }
        if (n > 0 && fds[1].revents) {
            c->aborted = 1;
            return MCP_WAIT_GONE;
        }
        if (n > 0 && fds[0].revents) {
            return MCP_WAIT_READABLE;
        }
        if (deadline && now >= deadline) {
            return MCP_WAIT_TIMEOUT;
        }
    }
}

static apr_status_t gone_read(wait_t *w, apr_bucket_brigade *bb, ap_input_mode_t mode)
{
    const char *line = w->gone_line < GONE_LINES ? gone_answer[w->gone_line] : NULL;

    if (!line || mode == AP_MODE_READBYTES) {
        return APR_EOF;
    }
    /* A speculative read looks whether the header line before goes on: one byte is enough to see that it does not. */
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_immortal_create(line, mode == AP_MODE_SPECULATIVE ? 1 : strlen(line),
                                                           bb->bucket_alloc));
    if (mode == AP_MODE_GETLINE) {
        w->gone_line++;
    }
    return APR_SUCCESS;
}

static apr_status_t wait_filter(ap_filter_t *f, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                                apr_off_t readbytes)
{
    wait_t *w = f->ctx;

    if (!w->r || (mode != AP_MODE_READBYTES && mode != AP_MODE_GETLINE && mode != AP_MODE_SPECULATIVE)) {
        return ap_get_brigade(f->next, bb, mode, block, readbytes);
    }
    if (w->gone_line >= 0) {
        return gone_read(w, bb, mode);
    }
    for (;;) {
        apr_uint64_t before = mcp_backend_progress(f->c);
        apr_status_t rv = ap_get_brigade(f->next, bb, mode, APR_NONBLOCK_READ, readbytes);

        if (!APR_STATUS_IS_EAGAIN(rv) && !(rv == APR_SUCCESS && APR_BRIGADE_EMPTY(bb))) {
            w->heard |= rv == APR_SUCCESS;
            return rv;
        }
        if (mcp_backend_progress(f->c) != before) {
            continue; /* H11: a TLS record without data, such as a session ticket: more may be there, and poll() not tell */
        }
        if (block == APR_NONBLOCK_READ) {
            return rv;
        }
        switch (mcp_wait_backend(w->r, mcp_stream_known(w->r), f->c, 0)) {
        case MCP_WAIT_READABLE:
            break;
        case MCP_WAIT_GONE:
            if (!w->heard) {
                ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, w->r,
                              MCP_LOG(0540) "client closed before the backend answered: backend closed");
                w->gone_line = 0;
                return gone_read(w, bb, mode);
            }
            return APR_ECONNABORTED;
        case MCP_WAIT_TIMEOUT:
            return APR_TIMEUP;
        default:
            return APR_EOF;
        }
    }
}

static apr_status_t wait_detach(void *data)
{
    wait_t *w = data;

    w->r = NULL;
    return APR_SUCCESS;
}

void mcp_wait_attach(request_rec *r, request_rec *rp)
{
    conn_rec *origin = rp->connection;
    wait_t *w = ap_get_module_config(origin->conn_config, &mcp_guard_module);

    if (!w) {
        ap_filter_t *top = origin->input_filters;

        w = apr_pcalloc(origin->pool, sizeof(*w));
        ap_set_module_config(origin->conn_config, &mcp_guard_module, w);
        ap_add_input_filter_handle(wait_handle, w, NULL, origin);
        /* H4: mod_proxy has copied the head of the list into its request already. */
        if (rp->input_filters == top) {
            rp->input_filters = origin->input_filters;
        }
        if (rp->proto_input_filters == top) {
            rp->proto_input_filters = origin->input_filters;
        }
    }
    w->r = r;
    w->heard = 0;
    w->gone_line = -1;
    apr_pool_cleanup_register(rp->pool, w, wait_detach, apr_pool_cleanup_null);
}

void mcp_wait_hooks(apr_pool_t *p)
{
    wait_handle = ap_register_input_filter("MCP_STREAM_WAIT", wait_filter, NULL, AP_FTYPE_CONNECTION);
}
