/* SPDX-License-Identifier: Apache-2.0 */
/* mcp-otlp: options, privileges, and the loop that reads lines and has them sent. */

#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* setresuid() */
#endif

#include <errno.h>
#include <getopt.h>
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

#include "mcp_util.h"
#include "otlp.h"

#define ATTRIBUTES_MAX 32
#define WAIT_MS 1000                    /* and then look at the clock, and whether a signal came */
#define LAST_FLUSH apr_time_from_sec(5) /* from the end of input to ours */
#define COMPLAIN_EVERY apr_time_from_sec(60)
#define QUEUE_BYTES (16 << 20)

typedef struct {
    otlp_way_t way;
    const char *user;
    const char *attributes[2 * (ATTRIBUTES_MAX + 5) + 2]; /* NULL-terminated pairs */
    int n;                                                /* pointers in it */
    apr_size_t batch;
    apr_size_t queue;
    apr_interval_time_t interval;
} options_t;

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

/* ---- options ---- */

static void usage(FILE *out)
{
    fputs("usage: mcp-otlp --endpoint URL [OPTION]...\n\n"
          "Sends the spans on standard input (MCPTraceExport of mod_mcp) to an OpenTelemetry collector.\n\n"
          "  --endpoint URL          where to: https://HOST:4318/v1/traces\n"
          "  --header-file FILE      lines `Name: value` that go with each request, as keys do\n"
          "  --ca-file FILE          who may have signed the collector's certificate\n"
          "  --cert FILE, --key FILE our own certificate, and its key\n"
          "  --user NAME             whom to become when started as root (default nobody)\n"
          "  --service-name NAME     service.name (default mcp-gateway)\n"
          "  --attribute NAME=VALUE  another attribute of the resource; may be repeated\n"
          "  --batch N               spans of a request (default 512)\n"
          "  --interval SECONDS      how long a span may wait for others (default 1)\n"
          "  --queue N               spans that are kept while the collector is away (default 8192)\n"
          "  --timeout SECONDS       of a request (default 10)\n",
          out);
}

static int complain(const char *what, const char *which)
{
    otlp_log("error", "%s%s%s", what, which ? ": " : "", which ? which : "");
    return 0;
}

/* Seconds with fractions, in @a unit parts; 0: it is none, or none that makes sense. */
static long seconds(const char *text, double max, long unit)
{
    char *end;
    double value = strtod(text, &end);

    return end != text && !*end && value > 0 && value <= max ? (long)(value * (double)unit) : 0;
}

static apr_size_t number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    return end != text && !*end && value > 0 && value <= max ? (apr_size_t)value : 0;
}

static void add_attribute(options_t *o, const char *name, const char *value)
{
    for (int i = 0; i < o->n; i += 2) {
        if (!strcmp(o->attributes[i], name)) {
            return; /* the administrator's comes first */
        }
    }
    o->attributes[o->n++] = name;
    o->attributes[o->n++] = value;
}

static int set_attribute(apr_pool_t *p, options_t *o, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || !mcp_is_utf8(text) || o->n >= 2 * ATTRIBUTES_MAX) {
        return complain("--attribute takes NAME=VALUE, at most 32 times", NULL);
    }
    add_attribute(o, apr_pstrmemdup(p, text, (apr_size_t)(equals - text)), equals + 1);
    return 1;
}

/* 1, or 0: it was said what is wrong. */
static int set_option(apr_pool_t *p, options_t *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **where;
    } texts[] = {
        { "endpoint", &o->way.endpoint },
        { "header-file", &o->way.header_file },
        { "ca-file", &o->way.ca_file },
        { "cert", &o->way.cert_file },
        { "key", &o->way.key_file },
        { "user", &o->user },
    };

    for (apr_size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (!strcmp(name, texts[i].name)) {
            *texts[i].where = value;
            return 1;
        }
    }
    if (!strcmp(name, "service-name")) {
        return set_attribute(p, o, apr_pstrcat(p, "service.name=", value, NULL));
    }
    if (!strcmp(name, "attribute")) {
        return set_attribute(p, o, value);
    }
    if (!strcmp(name, "batch")) {
        return (o->batch = number(value, 10000)) || complain("--batch takes a number from 1 to 10000", NULL);
    }
    if (!strcmp(name, "queue")) {
        return (o->queue = number(value, 1000000)) || complain("--queue takes a number from 1 to 1000000", NULL);
    }
    if (!strcmp(name, "interval")) {
        return (o->interval = seconds(value, 3600, APR_USEC_PER_SEC))
               || complain("--interval takes seconds, at most 3600", NULL);
    }
    return (o->way.timeout = seconds(value, 300, 1000)) || complain("--timeout takes seconds, at most 300", NULL);
}

static int is_plain(const char *url)
{
    return !strncmp(url, "http://", 7);
}

static int is_loopback(const char *url)
{
    const char *host = url + strlen("http://");

    return !strncmp(host, "127.", 4) || !strncmp(host, "[::1]", 5)
           || (!strncmp(host, "localhost", 9) && strspn(host + 9, ":/") > 0);
}

static int has_userinfo(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return memchr(host, '@', strcspn(host, "/?#\\")) != NULL;
}

static int check_options(const options_t *o)
{
    if (!o->way.endpoint) {
        return complain("--endpoint is missing, such as --endpoint https://collector.example.com:4318/v1/traces", NULL);
    }
    if (!is_plain(o->way.endpoint) && strncmp(o->way.endpoint, "https://", 8)) {
        return complain("--endpoint takes an https URL", o->way.endpoint);
    }
    if (has_userinfo(o->way.endpoint)) { /* every user of this host sees our arguments, and the log has them, too */
        return complain("--endpoint takes no user or password: put a line `Authorization: Basic ...` into --header-file", NULL);
    }
    if (o->way.key_file && !o->way.cert_file) {
        return complain("--key needs --cert", NULL);
    }
    if (o->way.header_file && is_plain(o->way.endpoint) && !is_loopback(o->way.endpoint)) {
        otlp_log("warn", "the headers of --header-file go to %s unencrypted", o->way.endpoint);
    }
    return 1;
}

/* -1: go on, else the exit code. */
static int read_options(apr_pool_t *p, options_t *o, int argc, char **argv)
{
    static const struct option known[] = {
        { "endpoint", required_argument, NULL, 'o' },
        { "header-file", required_argument, NULL, 'o' },
        { "ca-file", required_argument, NULL, 'o' },
        { "cert", required_argument, NULL, 'o' },
        { "key", required_argument, NULL, 'o' },
        { "user", required_argument, NULL, 'o' },
        { "service-name", required_argument, NULL, 'o' },
        { "attribute", required_argument, NULL, 'o' },
        { "batch", required_argument, NULL, 'o' },
        { "interval", required_argument, NULL, 'o' },
        { "queue", required_argument, NULL, 'o' },
        { "timeout", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    int which, got;

    opterr = 0;
    while ((got = getopt_long(argc, argv, "", known, &which)) != -1) {
        if (got == 'h') {
            usage(stdout);
            return 0;
        }
        if (got == 'v') {
            puts("mcp-otlp " MCP_OTLP_VERSION);
            return 0;
        }
        if (got != 'o') {
            complain("no such option, or its value is missing", argv[optind - 1]);
            return 2;
        }
        if (!set_option(p, o, known[which].name, optarg)) {
            return 2;
        }
    }
    if (optind < argc) {
        complain("takes options only", argv[optind]);
        return 2;
    }
    return check_options(o) ? -1 : 2;
}

/* What a resource must have (semantic conventions: service, host). */
static void complete_attributes(apr_pool_t *p, options_t *o)
{
    char host[256] = "";
    unsigned char id[16];

    add_attribute(o, "service.name", "mcp-gateway");
    add_attribute(o, "service.version", MCP_OTLP_VERSION);
    mcp_random(id, sizeof(id));
    id[6] = (id[6] & 0x0f) | 0x40; /* a random UUID, RFC 9562 section 5.4 */
    id[8] = (id[8] & 0x3f) | 0x80;
    add_attribute(o, "service.instance.id",
                  apr_psprintf(p, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
                               id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
                               id[14], id[15]));
    if (gethostname(host, sizeof(host) - 1) == 0 && *host && mcp_is_utf8(host)) {
        add_attribute(o, "host.name", apr_pstrdup(p, host));
    }
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
        return complain("--user: there is no such user", user);
    }
    if (initgroups(user, entry->pw_gid) != 0 || setresgid(entry->pw_gid, entry->pw_gid, entry->pw_gid) != 0
        || setresuid(entry->pw_uid, entry->pw_uid, entry->pw_uid) != 0) {
        return complain("--user: cannot become it", strerror(errno));
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

static void on_signal(int number_)
{
    (void)number_;
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
static int due(const options_t *o, const otlp_queue_t *queue, int closing, apr_time_t now)
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

static void run(const options_t *o, input_t *in, otlp_sender_t *sender, const char *head, const char *tail)
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
    options_t o = { .user = "nobody", .batch = 512, .queue = 8192, .interval = APR_USEC_PER_SEC };
    const char *head, *tail, *err;
    otlp_sender_t *sender;
    input_t *in;
    apr_pool_t *p;
    int code;

    o.way.timeout = 10000;
    apr_app_initialize(&argc, (const char *const **)&argv, NULL);
    apr_pool_create(&p, NULL);
    code = read_options(p, &o, argc, argv);
    if (code >= 0) {
        return code;
    }
    complete_attributes(p, &o);
    sender = otlp_sender_make(p, &o.way, &err);
    if (!sender) {
        complain(err, NULL);
        return 1;
    }
    if (!become(o.user)) {
        return 1;
    }
    if (o.way.ca_file && access(o.way.ca_file, R_OK) != 0) {
        complain("--ca-file cannot be read by the user that this runs as", o.way.ca_file);
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
