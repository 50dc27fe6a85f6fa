/* SPDX-License-Identifier: Apache-2.0 */
/* Counters in memcached or redis, on plain sockets with deadlines. */

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "mcp_counter.h"

#define IDLE_MOST 64 /* connections that a process keeps; each of its threads uses one at a time \
                      */
#define LINE_MOST 512
#define LEFT_ALONE apr_time_from_sec(1)

struct mcp_counter_t {
    int redis;
    struct sockaddr_storage address;
    socklen_t address_len;
    apr_interval_time_t timeout;
    apr_thread_mutex_t *mutex; /* of idle; NULL before child_init */
    int idle[IDLE_MOST];
    int idle_count;
    apr_int64_t down_until; /* 0: it answers */
};

/* A connection at work. */
typedef struct {
    int fd;
    apr_time_t deadline;
    char data[LINE_MOST];
    apr_size_t len; /* in data */
    apr_size_t at;  /* of it was read */
} talk_t;

/* ---- where ---- */

/* Split `kind:HOST:PORT` or `kind:/path`; port is NULL for a path. */
static const char *split(apr_pool_t *p, const char *where, int *redis, const char **host,
                         const char **port)
{
    const char *rest = strchr(where, ':');
    const char *colon;

    *redis = !strncmp(where, "redis:", 6);
    if (!rest || (!*redis && strncmp(where, "memcache:", 9))) {
        return "takes memcache:HOST:PORT or redis:HOST:PORT, or the path of a socket after "
               "memcache: or redis:";
    }
    rest++;
    *port = NULL;
    *host = rest;
    if (*rest == '/') {
        return strlen(rest) < sizeof(((struct sockaddr_un *)0)->sun_path)
                   ? NULL
                   : "names a socket with too long a path";
    }
    colon = strrchr(rest, ':');
    if (!colon || colon == rest || !colon[1] || strspn(colon + 1, "0123456789") != strlen(colon + 1)
        || apr_atoi64(colon + 1) < 1 || apr_atoi64(colon + 1) > 65535) {
        return "needs a host and a port, such as redis:10.0.0.7:6379";
    }
    *port = colon + 1;
    if (*rest == '[' && colon[-1] == ']') {
        *host = apr_pstrmemdup(p, rest + 1, (apr_size_t)(colon - rest) - 2);
    }
    else {
        *host = apr_pstrmemdup(p, rest, (apr_size_t)(colon - rest));
    }
    return NULL;
}

const char *mcp_counter_check(apr_pool_t *p, const char *where)
{
    const char *host, *port;
    int redis;

    return split(p, where, &redis, &host, &port);
}

static const char *resolve(mcp_counter_t *counter, const char *host, const char *port)
{
    struct addrinfo hints, *found;

    memset(&hints, 0, sizeof(hints));
    hints.ai_socktype = SOCK_STREAM;
    if (getaddrinfo(host, port, &hints, &found)) {
        return "names a host that is not found";
    }
    memcpy(&counter->address, found->ai_addr, found->ai_addrlen);
    counter->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

const char *mcp_counter_create(mcp_counter_t **out, const char *where, apr_interval_time_t timeout,
                               apr_pool_t *p)
{
    mcp_counter_t *counter = apr_pcalloc(p, sizeof(*counter));
    struct sockaddr_un *local = (struct sockaddr_un *)&counter->address;
    const char *host, *port;
    const char *err = split(p, where, &counter->redis, &host, &port);

    if (err) {
        return err;
    }
    counter->timeout = timeout;
    *out = counter;
    if (port) {
        return resolve(counter, host, port);
    }
    local->sun_family = AF_UNIX;
    apr_cpystrn(local->sun_path, host, sizeof(local->sun_path));
    counter->address_len = sizeof(*local);
    return NULL;
}

static apr_status_t close_idle(void *data)
{
    mcp_counter_t *counter = data;

    while (counter->idle_count > 0) {
        close(counter->idle[--counter->idle_count]);
    }
    return APR_SUCCESS;
}

void mcp_counter_child_init(mcp_counter_t *counter, apr_pool_t *pchild)
{
    if (apr_thread_mutex_create(&counter->mutex, APR_THREAD_MUTEX_DEFAULT, pchild) == APR_SUCCESS) {
        apr_pool_cleanup_register(pchild, counter, close_idle, apr_pool_cleanup_null);
    }
}

/* ---- connections ---- */

/* Wait until something can be read or written. Returns 0 when the deadline passed or the wait
 * failed. */
static int wait_for(const talk_t *talk, short what)
{
    for (;;) {
        struct pollfd pfd = { talk->fd, what, 0 };
        apr_interval_time_t left = talk->deadline - apr_time_now();
        int n;

        if (left <= 0) {
            return 0;
        }
        n = poll(&pfd, 1, (int)apr_time_as_msec(left) + 1);
        if (n > 0) {
            return 1;
        }
        if (n < 0 && errno != EINTR) {
            return 0;
        }
    }
}

static int open_connection(const mcp_counter_t *counter, talk_t *talk)
{
    int family = counter->address.ss_family;
    int error = 0;
    int one = 1;
    socklen_t len = sizeof(error);

    talk->fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (talk->fd < 0) {
        return 0;
    }
    if (family != AF_UNIX) {
        setsockopt(talk->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    if (connect(talk->fd, (const struct sockaddr *)&counter->address, counter->address_len) == 0) {
        return 1;
    }
    /* A local socket whose queue is full says EAGAIN, and cannot be waited for. */
    return errno == EINPROGRESS && wait_for(talk, POLLOUT)
           && getsockopt(talk->fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 && error == 0;
}

/* One that is kept, or -1. */
static int take_idle(mcp_counter_t *counter)
{
    int fd = -1;

    apr_thread_mutex_lock(counter->mutex);
    if (counter->idle_count > 0) {
        fd = counter->idle[--counter->idle_count];
    }
    apr_thread_mutex_unlock(counter->mutex);
    return fd;
}

static void keep(mcp_counter_t *counter, int fd)
{
    int kept = 0;

    apr_thread_mutex_lock(counter->mutex);
    if (counter->idle_count < IDLE_MOST) {
        counter->idle[counter->idle_count++] = fd;
        kept = 1;
    }
    apr_thread_mutex_unlock(counter->mutex);
    if (!kept) {
        close(fd);
    }
}

/* ---- lines ---- */

static int say(const talk_t *talk, const char *text)
{
    apr_size_t left = strlen(text);

    while (left > 0) {
        ssize_t n = send(talk->fd, text, left, MSG_NOSIGNAL);

        if (n > 0) {
            text += n;
            left -= (apr_size_t)n;
        }
        else if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            if (!wait_for(talk, POLLOUT)) {
                return 0;
            }
        }
        else if (n == 0 || errno != EINTR) {
            return 0;
        }
    }
    return 1;
}

/* The next line, without its end, valid until the next call. NULL: none came in time, or it is too
 * long. */
static char *hear(talk_t *talk)
{
    for (;;) {
        char *line = talk->data + talk->at;
        char *end = memchr(line, '\n', talk->len - talk->at);
        ssize_t n;

        if (end) {
            talk->at = (apr_size_t)(end + 1 - talk->data);
            *end = '\0';
            if (end > line && end[-1] == '\r') {
                end[-1] = '\0';
            }
            return line;
        }
        memmove(talk->data, line, talk->len - talk->at);
        talk->len -= talk->at;
        talk->at = 0;
        if (talk->len == sizeof(talk->data) || !wait_for(talk, POLLIN)) {
            return NULL;
        }
        n = recv(talk->fd, talk->data + talk->len, sizeof(talk->data) - talk->len, 0);
        if (n > 0) {
            talk->len += (apr_size_t)n;
        }
        else if (n == 0 || (errno != EINTR && errno != EAGAIN && errno != EWOULDBLOCK)) {
            return NULL;
        }
    }
}

/* A line that begins with a number (memcached leaves blanks behind what has become shorter). */
static int hear_number(talk_t *talk, const char *prefix, apr_int64_t *number)
{
    const char *line = hear(talk);
    apr_size_t n = strlen(prefix);

    if (!line || strncmp(line, prefix, n) || !(apr_isdigit(line[n]) || line[n] == '-')) {
        return 0;
    }
    *number = apr_atoi64(line + n);
    return 1;
}

/* ---- the protocols: one batch of commands, and their answers ---- */

static int memcached_add(talk_t *talk, const char *key, apr_int64_t until, const char *before,
                         apr_int64_t *count, apr_int64_t *earlier)
{
    char text[LINE_MOST];
    const char *line;

    apr_snprintf(text, sizeof(text), "add %s 0 %" APR_INT64_T_FMT " 1\r\n0\r\nincr %s 1\r\n%s%s%s",
                 key, until, key, before ? "get " : "", before ? before : "", before ? "\r\n" : "");
    if (!say(talk, text) || !(line = hear(talk))
        || (strcmp(line, "STORED") && strcmp(line, "NOT_STORED"))
        || !hear_number(talk, "", count)) {
        return 0;
    }
    if (!before) {
        return 1;
    }
    line = hear(talk);
    if (line && !strncmp(line, "VALUE ", 6)) {
        line = hear_number(talk, "", earlier) ? hear(talk) : NULL;
    }
    return line && !strcmp(line, "END");
}

static int redis_add(talk_t *talk, const char *key, apr_int64_t until, const char *before,
                     apr_int64_t *count, apr_int64_t *earlier)
{
    apr_int64_t ttl = until - apr_time_sec(apr_time_now());
    char text[LINE_MOST];
    const char *line;

    apr_snprintf(text, sizeof(text), "SET %s 0 EX %" APR_INT64_T_FMT " NX\r\nINCR %s\r\n%s%s%s",
                 key, ttl > 0 ? ttl : 1, key, before ? "GET " : "", before ? before : "",
                 before ? "\r\n" : "");
    if (!say(talk, text) || !(line = hear(talk)) || (strcmp(line, "+OK") && strcmp(line, "$-1"))
        || !hear_number(talk, ":", count)) {
        return 0;
    }
    if (!before) {
        return 1;
    }
    line = hear(talk);
    return line && (!strcmp(line, "$-1") || (*line == '$' && hear_number(talk, "", earlier)));
}

static int take_back(talk_t *talk, int redis, const char *key)
{
    char text[LINE_MOST];
    apr_int64_t number;

    apr_snprintf(text, sizeof(text), redis ? "DECR %s\r\n" : "decr %s 1\r\n", key);
    return say(talk, text) && hear_number(talk, redis ? ":" : "", &number);
}

/* ---- asking ---- */

/* May it be asked? After a failure it is left alone; then one caller tries, for all others. */
static int may_ask(mcp_counter_t *counter)
{
    apr_int64_t until = __atomic_load_n(&counter->down_until, __ATOMIC_ACQUIRE);
    apr_int64_t now;

    if (!until) {
        return 1;
    }
    now = apr_time_now();
    return now >= until
           && __atomic_compare_exchange_n(&counter->down_until, &until,
                                          now + counter->timeout + LEFT_ALONE, 0, __ATOMIC_ACQ_REL,
                                          __ATOMIC_ACQUIRE);
}

typedef struct {
    const char *key;
    apr_int64_t until; /* 0: take back */
    const char *before;
    apr_int64_t count;
    apr_int64_t earlier;
} question_t;

static int converse(const mcp_counter_t *counter, talk_t *talk, question_t *q)
{
    talk->len = talk->at = 0;
    if (!q->until) {
        return take_back(talk, counter->redis, q->key);
    }
    return counter->redis
               ? redis_add(talk, q->key, q->until, q->before, &q->count, &q->earlier)
               : memcached_add(talk, q->key, q->until, q->before, &q->count, &q->earlier);
}

static apr_status_t ask(mcp_counter_t *counter, question_t *q)
{
    talk_t talk = { .fd = -1 };
    int answered = 0;

    if (!counter->mutex || !may_ask(counter)) {
        return MCP_COUNTER_DOWN;
    }
    talk.deadline = apr_time_now() + counter->timeout;
    /* A kept connection may have died meanwhile, and all the others with it. The server may have
     * counted all the same: then the call counts twice, and never not at all. */
    while (!answered && apr_time_now() < talk.deadline && (talk.fd = take_idle(counter)) >= 0) {
        answered = converse(counter, &talk, q);
        if (!answered) {
            close(talk.fd);
        }
    }
    if (!answered) {
        answered = open_connection(counter, &talk) && converse(counter, &talk, q);
        if (!answered && talk.fd >= 0) {
            close(talk.fd);
        }
    }
    if (answered) {
        keep(counter, talk.fd);
    }
    __atomic_store_n(&counter->down_until, answered ? 0 : apr_time_now() + LEFT_ALONE,
                     __ATOMIC_RELEASE);
    return answered ? APR_SUCCESS : MCP_COUNTER_DOWN;
}

apr_status_t mcp_counter_add(mcp_counter_t *counter, const char *key, apr_int64_t until,
                             const char *before, apr_int64_t *count, apr_int64_t *earlier)
{
    question_t q = { key, until, before, 0, 0 };
    apr_status_t rv = ask(counter, &q);

    *count = q.count;
    *earlier = q.earlier;
    return rv;
}

void mcp_counter_undo(mcp_counter_t *counter, const char *key)
{
    question_t q = { key, 0, NULL, 0, 0 };

    (void)ask(counter, &q);
}
