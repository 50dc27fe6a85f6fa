/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's connection, taken from under mod_proxy.
 *
 * mod_proxy closes its connection when the handler returns. A duplicate of the descriptor keeps the TCP connection, and
 * a reference on OpenSSL's SSL object keeps its TLS session; mod_ssl's optional hook pre_handshake tells us the object.
 * The undocumented behaviour that this stands on (H9 to H11) is in docs/streams-internals.md. */

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <httpd.h>
#include <apr_optional_hooks.h>
#include <apr_portable.h>
#include <http_config.h>
#include <http_core.h>

#include "stream_impl.h"

/* mod_ssl_openssl.h is not installed everywhere: the hook's declaration, as there. */
typedef int ssl_HOOK_pre_handshake_t(conn_rec *c, SSL *ssl, int is_proxy);

#define SSL_NOTE "mcp-stream-ssl" /* in the backend connection's pool */

static int remember_ssl(conn_rec *c, SSL *ssl, int is_proxy)
{
    if (is_proxy) {
        apr_pool_userdata_setn(ssl, SSL_NOTE, NULL, c->pool);
    }
    return OK;
}

void mcp_backend_hooks(apr_pool_t *p)
{
    APR_OPTIONAL_HOOK(ssl, pre_handshake, remember_ssl, NULL, NULL, APR_HOOK_MIDDLE);
}

int mcp_backend_takeable(conn_rec *origin)
{
    const ap_filter_t *f;
    void *ssl = NULL;

    apr_pool_userdata_get(&ssl, SSL_NOTE, origin->pool);
    for (f = origin->input_filters; f; f = f->next) {
        const char *name = f->frec->name;

        if (strcmp(name, "core_in") && strcmp(name, "log_input_output") && strcmp(name, "mcp_stream_wait")
            && !(ssl && !strcmp(name, "ssl/tls filter"))) {
            return 0;
        }
    }
    return 1;
}

apr_uint64_t mcp_backend_progress(conn_rec *origin)
{
    void *ssl = NULL;

    apr_pool_userdata_get(&ssl, SSL_NOTE, origin->pool);
    return ssl ? BIO_number_read(SSL_get_rbio(ssl)) : 0;
}

apr_status_t mcp_backend_take(mcp_backend_t *backend, conn_rec *origin)
{
    apr_os_sock_t fd;
    void *ssl = NULL;
    int on = 1;
    int idle = 60;

    apr_os_sock_get(&fd, ap_get_conn_socket(origin));
    backend->ssl = NULL;
    backend->settled = 0;
    backend->fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (backend->fd < 0 || fcntl(backend->fd, F_SETFL, fcntl(backend->fd, F_GETFL) | O_NONBLOCK) < 0) {
        apr_status_t rv = errno;

        mcp_backend_close(backend);
        return rv;
    }
    /* A backend whose machine died says nothing: the kernel finds out. */
    setsockopt(backend->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
#ifdef TCP_KEEPIDLE
    setsockopt(backend->fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle)); /* EOPNOTSUPP on unix sockets */
#endif
    apr_pool_userdata_get(&ssl, SSL_NOTE, origin->pool);
    if (ssl) {
        SSL_up_ref(ssl); /* H10 */
        backend->ssl = ssl;
        origin->aborted = 1; /* H9 */
    }
    return APR_SUCCESS;
}

void mcp_backend_settle(mcp_backend_t *backend)
{
    BIO *bio;

    if (!backend->ssl) {
        return;
    }
    /* mod_ssl's BIOs stand on filters that are gone by now; freeing them touches nothing of those. */
    SSL_set_app_data(backend->ssl, NULL);
    SSL_set_options(backend->ssl, SSL_OP_NO_RENEGOTIATION);
    SSL_set_mode(backend->ssl, SSL_MODE_AUTO_RETRY);
    SSL_set_shutdown(backend->ssl, 0);
    bio = BIO_new_socket(backend->fd, BIO_NOCLOSE);
    if (!bio) {
        mcp_backend_close(backend);
        return;
    }
    SSL_set_bio(backend->ssl, bio, bio);
    backend->settled = 1;
}

static apr_ssize_t read_plain(int fd, char *buf, apr_size_t len)
{
    ssize_t got;

    do {
        got = recv(fd, buf, len, 0);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return errno == EAGAIN || errno == EWOULDBLOCK ? -1 : -2;
    }
    return got;
}

apr_ssize_t mcp_backend_read(mcp_backend_t *backend, char *buf, apr_size_t len)
{
    int got;

    if (backend->fd < 0) {
        return -2;
    }
    if (!backend->ssl) {
        return read_plain(backend->fd, buf, len);
    }
    ERR_clear_error();
    got = SSL_read(backend->ssl, buf, (int)len);
    if (got > 0) {
        return got;
    }
    switch (SSL_get_error(backend->ssl, got)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE: /* an answer to a key update does not fit: it goes out with the next one */
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0; /* close_notify: a true end, unlike a bare FIN */
    default:
        return -2;
    }
}

int mcp_backend_pending(const mcp_backend_t *backend)
{
    return backend->ssl && SSL_pending(backend->ssl) > 0;
}

void mcp_backend_close(mcp_backend_t *backend)
{
    if (backend->ssl) {
        if (backend->settled && !SSL_in_init(backend->ssl)) {
            ERR_clear_error();
            SSL_shutdown(backend->ssl); /* close_notify if it fits; never waits */
        }
        SSL_free(backend->ssl);
        backend->ssl = NULL;
    }
    if (backend->fd >= 0) {
        close(backend->fd);
        backend->fd = -1;
    }
}
