/* SPDX-License-Identifier: Apache-2.0 */
/* mcp-otlp: privileges, and the loop that reads lines and has them sent. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setresuid() */
#endif

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_strings.h>

#include "otlp.h"

#define WAIT_MS 1000                    /* and then look at the clock, and whether a signal came */
#define LAST_FLUSH apr_time_from_sec(5) /* from the end of input to ours */
#define COMPLAIN_EVERY apr_time_from_sec(60)
#define QUEUE_BYTES (16 << 20)

typedef struct {
    apr_pool_t *pool; /* of one line */
    otlp_queue_t *queue;
    char text[OTLP_LINE_MAX];
    apr_size_t len;
    int skipping; /* a line that is too long */
    int ended;    /* input did */
    apr_size_t bad;
    const char *why;
    apr_time_t complained;
} input_t;

static volatile sig_atomic_t flush_now;

void otlp_log(const char *level, const char *format, ...)
{
    apr_time_t now = apr_time_now();
    time_t seconds = (time_t)apr_time_sec(now);
    char date[32], text[1024];
    struct tm tm;
    va_list args;

    va_start(args, format);
    /* va_start() is just above: the analyzer loses sight of it. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    localtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%a %b %d %H:%M:%S", &tm);
    /* in the form of httpd's error log, and in one piece */
    fprintf(stderr, "[%s.%06d %d] [mcp-otlp:%s] [pid %d] %s\n", date, (int)apr_time_usec(now), 1900 + tm.tm_year, level,
            (int)getpid(), text);
}

/* ---- privileges ---- */

/* httpd starts us as root, for it has not become anybody else yet; what we read is partly of strangers. */
static int become(const char *user)
{
    const struct passwd *entry;

    if (geteuid() != 0) {
        return 1;
    }
    entry = getpwnam(user);
    if (!entry) {
        return otlp_complain("--user: there is no such user", user);
    }
    if (initgroups(user, entry->pw_gid) != 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0
        || setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
        return otlp_complain("--user: cannot become it", strerror(errno));
    }
    return 1;
}

/* ---- input ---- */

static void refuse_line(input_t *in, const char *why)
{
    apr_time_t now = apr_time_now();

    in->bad++;
    in->why = why;
    if (now - in->complained >= COMPLAIN_EVERY) {
        otlp_log("error", "%" APR_SIZE_T_FMT " lines were not understood, the last for: %s", in->bad, why);
        in->complained = now;
        in->bad = 0;
    }
}

static void take_line(input_t *in, const char *text, apr_size_t len)
{
    const char *err;
    int count;
    char *spans;

    if (in->skipping) {
        in->skipping = 0; /* its end */
        return;
    }
    spans = otlp_line(in->pool, text, len, &count, &err);
    if (spans) {
        otlp_queue_add(in->queue, spans, count, apr_time_now());
    }
    else {
        refuse_line(in, err);
    }
    apr_pool_clear(in->pool);
}

/* Take in what there is now; the lines of it, if they end, go to the queue. */
static void read_input(input_t *in)
{
    ssize_t n = read(STDIN_FILENO, in->text + in->len, sizeof(in->text) - in->len);
    char *at = in->text, *end;

    if (n <= 0) {
        if (n == 0 || (errno != EINTR && errno != EAGAIN)) {
            in->ended = 1;
            if (in->len) {
                refuse_line(in, "input ended within it");
            }
        }
        return;
    }
    in->len += (apr_size_t)n;
    while ((end = memchr(at, '\n', (size_t)(in->text + in->len - at)))) {
        take_line(in, at, (apr_size_t)(end - at));
        at = end + 1;
    }
    in->len = (apr_size_t)(in->text + in->len - at);
    memmove(in->text, at, in->len);
    if (in->len == sizeof(in->text)) {
        if (!in->skipping) {
            refuse_line(in, "it is too long");
        }
        in->skipping = 1;
        in->len = 0;
    }
}

/* Has everybody closed the pipe? To be asked while nothing is read. */
static int is_hung_up(void)
{
    struct pollfd in = { .fd = STDIN_FILENO };

    return poll(&in, 1, 0) == 1 && (in.revents & (POLLHUP | POLLERR | POLLNVAL));
}

/* ---- the loop ---- */

static void on_signal(int number)
{
    flush_now = 1;
}

/* httpd ends us by SIGTERM when it reloads, while children of before go on writing: the end is that of the input. */
static void catch_signals(void)
{
    static const int flushing[] = { SIGTERM, SIGINT }, ignored[] = { SIGPIPE, SIGHUP, SIGUSR1, SIGUSR2 };
    struct sigaction action = { .sa_handler = on_signal };

    sigemptyset(&action.sa_mask);
    for (apr_size_t i = 0; i < sizeof(flushing) / sizeof(*flushing); i++) {
        sigaction(flushing[i], &action, NULL);
    }
    action.sa_handler = SIG_IGN;
    for (apr_size_t i = 0; i < sizeof(ignored) / sizeof(*ignored); i++) {
        sigaction(ignored[i], &action, NULL);
    }
}

/* How long until what has been waiting longest is to be sent; 0: now. */
static int due(const otlp_options_t *o, const otlp_queue_t *queue, int closing, apr_time_t now)
{
    apr_time_t oldest = otlp_queue_oldest(queue), left;

    if (!oldest) {
        return WAIT_MS;
    }
    left = oldest + o->interval - now;
    /* left > interval: the clock was put back */
    if (closing || flush_now || otlp_queue_spans(queue) >= o->batch || left <= 0 || left > o->interval) {
        return 0;
    }
    return left < apr_time_from_msec(WAIT_MS) ? (int)apr_time_as_msec(left) + 1 : WAIT_MS;
}

static void run(const otlp_options_t *o, input_t *in, otlp_sender_t *sender, const char *head, const char *tail)
{
    apr_time_t deadline = 0; /* set when nobody writes any more */

    for (;;) {
        apr_time_t now = apr_time_now();
        int reading = !in->ended && !otlp_queue_is_full(in->queue), wait = WAIT_MS;

        if (!deadline && (in->ended || (!reading && is_hung_up()))) {
            deadline = now + LAST_FLUSH;
            otlp_sender_hurry(sender);
        }
        if (!otlp_sender_is_busy(sender)) {
            wait = due(o, in->queue, deadline != 0, now);
            if (wait == 0) {
                apr_size_t len, spans;
                char *body = otlp_queue_take(in->queue, o->batch, head, tail, &len, &spans);

                otlp_sender_send(sender, body, len, spans);
            }
        }
        if (!otlp_sender_is_busy(sender) && !otlp_queue_spans(in->queue)) {
            flush_now = 0;
            if (in->ended) {
                return;
            }
        }
        if (deadline && now >= deadline) {
            return;
        }
        if (otlp_sender_run(sender, reading ? STDIN_FILENO : -1, deadline && wait > 100 ? 100 : wait)) {
            read_input(in);
        }
    }
}

int main(int argc, char **argv)
{
    otlp_options_t o = { .user = "nobody", .batch = 512, .queue = 8192, .interval = APR_USEC_PER_SEC };
    const char *head, *tail, *err;
    otlp_sender_t *sender;
    input_t *in;
    apr_pool_t *p;
    int code;

    o.way.timeout = 10000;
    apr_app_initialize(&argc, (const char *const **)&argv, NULL);
    apr_pool_create(&p, NULL);
    code = otlp_options_read(p, &o, argc, argv);
    if (code >= 0) {
        return code;
    }
    sender = otlp_sender_make(p, &o.way, &err);
    if (!sender) {
        otlp_complain(err, NULL);
        return 1;
    }
    if (!become(o.user)) {
        return 1;
    }
    if (o.way.ca_file && access(o.way.ca_file, R_OK) != 0) {
        otlp_complain("--ca-file cannot be read by the user that this runs as", o.way.ca_file);
        return 1;
    }
    catch_signals();
    in = apr_pcalloc(p, sizeof(*in));
    apr_pool_create(&in->pool, p);
    in->queue = otlp_queue_make(p, o.queue, QUEUE_BYTES);
    otlp_envelope(p, o.attributes, MCP_OTLP_VERSION, &head, &tail);
    run(&o, in, sender, head, tail);
    otlp_sender_close(sender, otlp_queue_spans(in->queue));
    if (in->bad) {
        otlp_log("error", "%" APR_SIZE_T_FMT " more lines were not understood, the last for: %s", in->bad, in->why);
    }
    apr_pool_destroy(p);
    return 0;
}
