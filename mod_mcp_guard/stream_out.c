/* SPDX-License-Identifier: Apache-2.0 */
/* Output of the relay thread: an output filter below mod_ssl that sees to it that nothing is ever waited for. */

#ifdef __linux__

#include <poll.h>
#include <sys/socket.h>

#include <httpd.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>
#include <http_request.h>

#include "stream_loop.h"

#define FAST_MAX 4096 /* always fits a send buffer that poll() calls writable */

static ap_filter_rec_t *relay_handle;

static int writable(int fd)
{
    struct pollfd p = { fd, POLLOUT, 0 };

    return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* Write what core holds, without waiting: H5 of docs/streams-internals.md. */
apr_status_t mcp_out_write(mcp_park_t *park)
{
    apr_status_t rv = park->core->frec->filter_func.out_func(park->core, NULL);

    return park->c->aborted ? APR_ECONNABORTED : rv;
}

static int has_flush(const apr_bucket_brigade *bb)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        if (APR_BUCKET_IS_FLUSH(b)) {
            return 1;
        }
    }
    return 0;
}

/* Let core write the data now: it sets aside what comes without a FLUSH, in a pool that the connection then has for
 * good. mod_ssl sends the FLUSH in a brigade of its own, when there is nothing left to do. */
static apr_status_t pass_at_once(ap_filter_t *f, apr_bucket_brigade *bb, int has_data)
{
    if (has_data && !has_flush(bb)) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(f->c->bucket_alloc));
    }
    else if (!has_data && APR_BUCKET_IS_FLUSH(APR_BRIGADE_FIRST(bb)) && !f->c->data_in_output_filters) {
        apr_bucket_delete(APR_BRIGADE_FIRST(bb));
    }
    return APR_BRIGADE_EMPTY(bb) ? APR_SUCCESS : ap_pass_brigade(f->next, bb);
}

/* In a worker, which may wait. */
static apr_status_t worker_output(ap_filter_t *f, mcp_park_t *park, apr_bucket_brigade *bb, apr_off_t len)
{
    const apr_bucket *b;

    for (b = APR_BRIGADE_FIRST(bb); park->head && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        park->head = !AP_BUCKET_IS_EOR(b); /* the stream ended in the worker */
    }
    return park->head && !APR_BRIGADE_EMPTY(bb) ? pass_at_once(f, bb, len != 0) : ap_pass_brigade(f->next, bb);
}

/* Below mod_ssl, above core: a FLUSH would make core wait for a slow client, and all other streams with it. */
static apr_status_t relay_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    mcp_park_t *park = f->ctx;
    apr_bucket *b, *next;
    apr_off_t len = 0;
    apr_status_t rv;
    int flush = 0;

    if (apr_brigade_length(bb, 0, &len) != APR_SUCCESS) {
        len = -1;
    }
    if (park->phase == MCP_PARK_NEW || park->phase == MCP_PARK_WORK) {
        return worker_output(f, park, bb, len);
    }
    if (park->fast && !f->c->data_in_output_filters && len > 0 && len <= FAST_MAX && writable(park->fd)) {
        return pass_at_once(f, bb, 1); /* cannot wait */
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_FLUSH(b)) {
            apr_bucket_delete(b);
            flush = 1;
        }
    }
    rv = APR_BRIGADE_EMPTY(bb) ? APR_SUCCESS : ap_pass_brigade(f->next, bb);
    if (rv == APR_SUCCESS && flush && f->c->data_in_output_filters) {
        rv = park->core->frec->filter_func.out_func(park->core, NULL); /* H5 */
    }
    return rv;
}

void mcp_out_prepare(mcp_park_t *park, request_rec *r)
{
    conn_rec *c = park->c;
    apr_os_sock_t fd;
    int size = 0;
    socklen_t len = sizeof(size);

    park->head = 1;
    if (park->core) {
        return; /* it had a stream before */
    }
    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    park->fd = fd;
    for (park->core = c->output_filters; park->core->next;) {
        park->core = park->core->next;
    }
    /* A send buffer that is smaller than what poll() vouches for gets no fast way. */
    park->fast = getsockopt(park->fd, SOL_SOCKET, SO_SNDBUF, &size, &len) == 0 && size >= 4 * FAST_MAX;
    park->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    /* With the request, for its filters point past the head of the connection's list. */
    ap_add_output_filter_handle(relay_handle, park, r, c);
}

void mcp_out_register_filter(void)
{
    relay_handle = ap_register_output_filter("MCP_RELAY", relay_filter, NULL, AP_FTYPE_NETWORK - 1);
}

#endif
