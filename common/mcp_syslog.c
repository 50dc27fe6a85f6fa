/* SPDX-License-Identifier: Apache-2.0 */
/* The syslog socket by hand: syslog(3) drops lines silently when no daemon is there, and waits without end for one that
 * does not read. */

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "mcp_syslog.h"

#define HEAD_MAX 96
#define TRIES 3

static const struct {
    const char *name;
    int facility;
} facilities[] = {
    { "auth", LOG_AUTH },
    { "authpriv", LOG_AUTHPRIV },
    { "daemon", LOG_DAEMON },
    { "user", LOG_USER },
    { "local0", LOG_LOCAL0 },
    { "local1", LOG_LOCAL1 },
    { "local2", LOG_LOCAL2 },
    { "local3", LOG_LOCAL3 },
    { "local4", LOG_LOCAL4 },
    { "local5", LOG_LOCAL5 },
    { "local6", LOG_LOCAL6 },
    { "local7", LOG_LOCAL7 },
};

int mcp_syslog_parse(apr_pool_t *p, const char *target, mcp_syslog_t *out, const char **why)
{
    const char *name = "authpriv", *colon;

    if (strncmp(target, "syslog", 6) || (target[6] && target[6] != ':')) {
        return 0;
    }
    out->path = "/dev/log";
    out->fd = -1;
    out->is_stream = 0;
    if (target[6]) {
        colon = strchr(target + 7, ':');
        name = colon ? apr_pstrmemdup(p, target + 7, (apr_size_t)(colon - target - 7)) : target + 7;
        out->path = colon ? colon + 1 : out->path;
    }
    if (*out->path != '/' || strlen(out->path) >= sizeof(((struct sockaddr_un *)0)->sun_path)) {
        *why = "the socket behind syslog:FACILITY: is an absolute path of 107 bytes at most";
        return 0;
    }
    for (apr_size_t i = 0; i < sizeof(facilities) / sizeof(*facilities); i++) {
        if (!strcmp(name, facilities[i].name)) {
            out->facility = facilities[i].facility;
            return 1;
        }
    }
    *why = "syslog: takes auth, authpriv, daemon, user or local0 to local7";
    return 0;
}

static apr_status_t connect_as(mcp_syslog_t *log, int type)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    apr_status_t rv;

    if (fd < 0) {
        return errno;
    }
    apr_cpystrn(address.sun_path, log->path, sizeof(address.sun_path));
    if (connect(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
        rv = errno;
        close(fd);
        return rv;
    }
    log->fd = fd;
    log->is_stream = type == SOCK_STREAM;
    return APR_SUCCESS;
}

/* Most daemons take datagrams; a few take a stream of records that end with a NUL. */
static apr_status_t attach(mcp_syslog_t *log)
{
    apr_status_t rv;

    if (log->fd >= 0) {
        return APR_SUCCESS;
    }
    rv = connect_as(log, SOCK_DGRAM);
    return rv == EPROTOTYPE ? connect_as(log, SOCK_STREAM) : rv;
}

static void detach(mcp_syslog_t *log)
{
    close(log->fd);
    log->fd = -1;
}

/* RFC 3164, as syslog(3) writes it. */
static int head(const mcp_syslog_t *log, char *out)
{
    apr_time_exp_t now;

    apr_time_exp_lt(&now, apr_time_now());
    return apr_snprintf(out, HEAD_MAX, "<%d>%s %2d %02d:%02d:%02d " MCP_SYSLOG_TAG "[%" APR_PID_T_FMT "]: ",
                        log->facility | LOG_INFO, apr_month_snames[now.tm_mon], now.tm_mday, now.tm_hour, now.tm_min,
                        now.tm_sec, getpid());
}

static int is_gone(int error)
{
    return error == ECONNREFUSED || error == ENOTCONN || error == ECONNRESET || error == EPIPE || error == EDESTADDRREQ;
}

apr_status_t mcp_syslog_send(mcp_syslog_t *log, const char *line, apr_size_t len, int wait_ms)
{
    char text[HEAD_MAX], end = '\0';
    struct iovec parts[3] = { { text, (size_t)head(log, text) }, { (void *)line, len }, { &end, 1 } };
    struct msghdr message = { .msg_iov = parts };
    apr_status_t rv = APR_SUCCESS;

    for (int tries = 0; tries < TRIES; tries++) {
        struct pollfd ready = { .events = POLLOUT };
        ssize_t n;

        rv = attach(log);
        if (rv != APR_SUCCESS) {
            return rv;
        }
        message.msg_iovlen = log->is_stream ? 3 : 2;
        n = sendmsg(log->fd, &message, MSG_NOSIGNAL);
        if (n == (ssize_t)(parts[0].iov_len + len + (log->is_stream ? 1 : 0))) {
            return APR_SUCCESS;
        }
        rv = n < 0 ? errno : APR_ENOSPC;
        if (n > 0 || is_gone(rv)) {
            detach(log); /* a daemon that was started anew, or a record that was cut: a connection anew */
            continue;
        }
        if (rv != EAGAIN && rv != EINTR && rv != ENOBUFS) {
            return rv;
        }
        ready.fd = log->fd;
        if (poll(&ready, 1, wait_ms) == 0) {
            return APR_TIMEUP;
        }
        rv = APR_TIMEUP;
    }
    return rv;
}
