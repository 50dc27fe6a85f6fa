/* SPDX-License-Identifier: Apache-2.0 */
/* Output of the relay thread: an output filter below mod_ssl that sees to it that nothing is ever waited for. */

#ifdef __linux__

#include <poll.h>
#include <sys/socket.h>

#include <httpd.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>

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
        rv = park->core->frec->filter_func.out_func(park->core, NULL); /* H5 */
    }
    return rv;
}

void mcp_out_set_up(mcp_park_t *park)
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

void mcp_out_register_filter(void)
{
    relay_handle = ap_register_output_filter("MCP_RELAY", relay_filter, NULL, AP_FTYPE_NETWORK - 1);
}

#endif
