/* SPDX-License-Identifier: Apache-2.0 */
/* Output of the relay thread: an output filter below mod_ssl that sees to it that nothing is ever waited for. */

#ifdef __linux__

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>
#include <http_request.h>

#include "stream_loop.h"

#define PIECES 16 /* buckets written at once; an event has three */

static ap_filter_rec_t *relay_handle;
static APR_OPTIONAL_FN_TYPE(ap_logio_add_bytes_out) * count_out; /* mod_logio's, if it is there */

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
static apr_status_t worker_output(ap_filter_t *f, mcp_park_t *park, apr_bucket_brigade *bb)
{
    const apr_bucket *b;
    apr_off_t len;

    for (b = APR_BRIGADE_FIRST(bb); park->head && b != APR_BRIGADE_SENTINEL(bb); b = APR_BUCKET_NEXT(b)) {
        park->head = !AP_BUCKET_IS_EOR(b); /* the stream ended in the worker */
    }
    if (!park->head || APR_BRIGADE_EMPTY(bb)) {
        return ap_pass_brigade(f->next, bb);
    }
    return pass_at_once(f, bb, apr_brigade_length(bb, 0, &len) != APR_SUCCESS || len != 0);
}

/* The brigade's data up to its first metadata. */
static int pieces(apr_bucket_brigade *bb, struct iovec *piece)
{
    apr_bucket *b;
    int n = 0;

    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb) && n < PIECES && !APR_BUCKET_IS_METADATA(b);
         b = APR_BUCKET_NEXT(b)) {
        const char *data;
        apr_size_t len;

        if (apr_bucket_read(b, &data, &len, APR_NONBLOCK_READ) != APR_SUCCESS) {
            break;
        }
        if (len > 0) {
            piece[n].iov_base = (void *)data;
            piece[n++].iov_len = len;
        }
    }
    return n;
}

static void drop(apr_bucket_brigade *bb, apr_size_t len)
{
    while (len > 0) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);

        if (b->length > len) {
            apr_bucket_split(b, len);
        }
        len -= b->length;
        apr_bucket_delete(b);
    }
}

/* While core holds nothing: give the kernel what it takes now. Core's own way to write at once would wait for a client
 * whose buffer is full. */
static apr_status_t send_now(ap_filter_t *f, const mcp_park_t *park, apr_bucket_brigade *bb)
{
    struct iovec piece[PIECES];
    struct msghdr message;
    ssize_t sent;

    memset(&message, 0, sizeof(message));
    message.msg_iov = piece;
    message.msg_iovlen = (size_t)pieces(bb, piece);
    if (message.msg_iovlen == 0) {
        return APR_SUCCESS;
    }
    sent = sendmsg(park->fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
        drop(bb, (apr_size_t)sent);
        if (count_out) {
            count_out(f->c, sent);
        }
    }
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) {
        f->c->aborted = 1; /* as core does it */
        return APR_ECONNABORTED;
    }
    return APR_SUCCESS;
}

/* Below mod_ssl, above core: a FLUSH would make core wait for a slow client, and all other streams with it. */
static apr_status_t relay_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    mcp_park_t *park = f->ctx;
    apr_status_t rv = APR_SUCCESS;
    apr_bucket *b, *next;
    int flush = 0;

    if (park->phase == MCP_PARK_NEW || park->phase == MCP_PARK_WORK) {
        return worker_output(f, park, bb);
    }
    if (!f->c->data_in_output_filters) {
        rv = send_now(f, park, bb);
    }
    for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb); b = next) {
        next = APR_BUCKET_NEXT(b);
        if (APR_BUCKET_IS_FLUSH(b)) {
            apr_bucket_delete(b);
            flush = 1;
        }
    }
    if (rv == APR_SUCCESS && !APR_BRIGADE_EMPTY(bb)) {
        rv = ap_pass_brigade(f->next, bb);
    }
    if (rv == APR_SUCCESS && flush && f->c->data_in_output_filters) {
        rv = park->core->frec->filter_func.out_func(park->core, NULL); /* H5 */
    }
    return rv;
}

void mcp_out_prepare(mcp_park_t *park, request_rec *r)
{
    conn_rec *c = park->c;
    apr_os_sock_t fd;

    park->head = 1;
    if (park->core) {
        return; /* it had a stream before */
    }
    apr_os_sock_get(&fd, ap_get_conn_socket(c));
    park->fd = fd;
    for (park->core = c->output_filters; park->core->next;) {
        park->core = park->core->next;
    }
    park->bb = apr_brigade_create(c->pool, c->bucket_alloc);
    /* With the request, for its filters point past the head of the connection's list. */
    ap_add_output_filter_handle(relay_handle, park, r, c);
}

static void find_logio(void)
{
    count_out = APR_RETRIEVE_OPTIONAL_FN(ap_logio_add_bytes_out);
}

void mcp_out_register_filter(void)
{
    ap_hook_optional_fn_retrieve(find_logio, NULL, NULL, APR_HOOK_MIDDLE);
    relay_handle = ap_register_output_filter("MCP_RELAY", relay_filter, NULL, AP_FTYPE_NETWORK - 1);
}

#endif
