/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmark's backend: one thread, one static JSON answer, keep-alive; as cheap and as steady as can be.
 *
 * Use: backend PORT. GET, or POST with Content-Length; anything else closes the connection. */

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX_FD 4096
#define BUF_LEN 262144

#define BODY "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"content\":[{\"type\":\"text\",\"text\":\"Hello I am MCP Tool!\"}]}}"

static struct {
    size_t len;
    char buf[BUF_LEN];
} *conns[MAX_FD];

static char answer[512];
static size_t answer_len;

/* Length of the first complete request in buf, 0 while it is incomplete, -1 when it is not for us. */
static long request_len(const char *buf, size_t len)
{
    const char *end = memmem(buf, len, "\r\n\r\n", 4);
    const char *line;
    long body = 0;

    if (!end) {
        return len < BUF_LEN ? 0 : -1;
    }
    for (line = memmem(buf, len, "\r\n", 2); line < end; line = memmem(line + 2, len - (line + 2 - buf), "\r\n", 2)) {
        if (!strncasecmp(line + 2, "Content-Length:", 15)) {
            body = strtol(line + 17, NULL, 10);
        }
        else if (!strncasecmp(line + 2, "Transfer-Encoding:", 18)) {
            return -1;
        }
    }
    end += 4;
    if (body < 0 || body > BUF_LEN - (end - buf)) {
        return -1;
    }
    return (size_t)(end - buf + body) <= len ? end - buf + body : 0;
}

static void drop(int fd)
{
    close(fd);
    free(conns[fd]);
    conns[fd] = NULL;
}

static void on_readable(int fd)
{
    ssize_t n = read(fd, conns[fd]->buf + conns[fd]->len, BUF_LEN - conns[fd]->len);
    long used;

    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            drop(fd);
        }
        return;
    }
    conns[fd]->len += (size_t)n;
    while ((used = request_len(conns[fd]->buf, conns[fd]->len)) > 0) {
        if (write(fd, answer, answer_len) != (ssize_t)answer_len) {
            used = -1;
            break;
        }
        conns[fd]->len -= (size_t)used;
        memmove(conns[fd]->buf, conns[fd]->buf + used, conns[fd]->len);
    }
    if (used < 0) {
        drop(fd);
    }
}

static void on_connection(int listener, int epoll)
{
    int one = 1;
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (fd < 0) {
        return;
    }
    if (fd >= MAX_FD || !(conns[fd] = calloc(1, sizeof(*conns[fd])))) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
}

int main(int argc, char **argv)
{
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    int epoll = epoll_create1(0);
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = listener};
    struct epoll_event events[64];
    int one = 1;

    if (argc != 2) {
        fprintf(stderr, "use: backend PORT\n");
        return 2;
    }
    addr.sin_port = htons((unsigned short)atoi(argv[1]));
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(listener, (struct sockaddr *)&addr, sizeof(addr)) || listen(listener, 512)) {
        perror("backend");
        return 1;
    }
    answer_len = (size_t)snprintf(answer, sizeof(answer),
                                  "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                                  "Content-Length: %zu\r\n\r\n%s",
                                  strlen(BODY), BODY);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &ev);
    for (;;) {
        int i;
        int n = epoll_wait(epoll, events, 64, -1);

        for (i = 0; i < n; i++) {
            if (events[i].data.fd == listener) {
                on_connection(listener, epoll);
            }
            else {
                on_readable(events[i].data.fd);
            }
        }
    }
}
