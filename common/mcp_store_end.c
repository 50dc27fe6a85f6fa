/* SPDX-License-Identifier: Apache-2.0 */
/* The store at the end of a process: calls that a silent backend holds are broken off. apr_memcache and apr_redis own the
 * connections and have no time limit, but what a connection is can be seen from outside, and shutdown() wakes who waits on
 * it without closing it under anybody's feet. */

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "mcp_store_impl.h"

#define GAP 1024 /* so many descriptors in a row that are not open: there are no more */

typedef union {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} address_t;

/* By port alone: the name may lead to another address by now. Whoever else is at that port of another host loses a
 * connection that was about to end with the process. */
static int leads_there(const mcp_store_t *store, const address_t *peer)
{
    switch (peer->any.sa_family) {
    case AF_INET:
        return store->port && peer->v4.sin_port == htons(store->port);
    case AF_INET6:
        return store->port && peer->v6.sin6_port == htons(store->port);
    case AF_UNIX:
        return store->path && !strncmp(peer->local.sun_path, store->path, sizeof(peer->local.sun_path));
    default:
        return 0;
    }
}

void mcp_store_hang_up(const mcp_store_t *store)
{
    int missing = 0;

    for (int fd = 3; store->networked && missing < GAP; fd++) {
        address_t peer;
        socklen_t len = sizeof(peer);

        memset(&peer, 0, sizeof(peer));
        if (getpeername(fd, &peer.any, &len) < 0) {
            missing = errno == EBADF ? missing + 1 : 0;
            continue;
        }
        missing = 0;
        if (leads_there(store, &peer)) {
            shutdown(fd, SHUT_RDWR);
        }
    }
}
