/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: its chain is whole whoever writes, shows every change, and says what could not be written. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <syslog.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_audit.h"
#include "mcp_audit_chain.h"
#include "mcp_event.h"
#include "mcp_json.h"
#include "mcp_span.h"
#include "mcp_syslog.h"
#include "mcp_trace.h"
#include "stub_httpd.h"

static const char *last_fault;
static mcp_keyring_t *ring;

static void note(void *baton, apr_uint64_t line, const char *what)
{
    (void)baton, (void)line;
    last_fault = apr_pstrdup(pool, what);
}

static const mcp_audit_report_t *verify(const char *text, int partial)
{
    mcp_audit_verify_t *v = mcp_audit_verify_begin(pool, ring, partial, note, NULL);

    last_fault = "";
    for (const char *end; (end = strchr(text, '\n')); text = end + 1) {
        mcp_audit_verify_line(v, text, (apr_size_t)(end - text));
    }
    return mcp_audit_verify_end(v);
}

/* A chain of @a n lines. */
static char *chain(int n)
{
    mcp_audit_head_t head;
    char line[MCP_AUDIT_LINE_MAX];
    char *text = apr_pstrdup(pool, "");

    mcp_audit_head_init(&head);
    for (int i = 0; i < n; i++) {
        apr_size_t len = mcp_audit_line(&head, ring, apr_time_now(), apr_psprintf(pool, "\"event\":\"e%d\"", i), line);

        ck_assert_uint_gt(len, 0);
        text = apr_pstrcat(pool, text, apr_pstrmemdup(pool, line, len), NULL);
    }
    return text;
}

static char *without_line(char *text, int n)
{
    char *begin = text, *end;

    while (n--) {
        begin = strchr(begin, '\n') + 1;
    }
    end = strchr(begin, '\n') + 1;
    return apr_pstrcat(pool, apr_pstrmemdup(pool, text, (apr_size_t)(begin - text)), end, NULL);
}

START_TEST(a_chain_holds)
{
    const mcp_audit_report_t *report;

    ring = unit_ring(KEY_1 "\n" KEY_2 "\n");
    report = verify(chain(5), 0);
    ck_assert_uint_eq(report->faults, 0);
    ck_assert_uint_eq(report->lines, 5);
    ck_assert_uint_eq(report->chains, 1);
}
END_TEST

START_TEST(every_byte_counts)
{
    char *text;

    ring = unit_ring(KEY_1 "\n");
    text = chain(3);
    for (apr_size_t i = 0; text[i]; i++) {
        char *copy = apr_pstrdup(pool, text);

        if (copy[i] == '\n') {
            continue;
        }
        copy[i] ^= 1;
        if (copy[i] == '\n') {
            continue;
        }
        ck_assert_msg(verify(copy, 0)->faults > 0, "byte %d was changed unseen", (int)i);
    }
}
END_TEST

START_TEST(removed_and_moved_lines_show)
{
    char *text, *other;

    ring = unit_ring(KEY_1 "\n");
    text = chain(4);
    ck_assert_uint_gt(verify(without_line(text, 1), 0)->faults, 0);
    ck_assert_uint_gt(verify(without_line(text, 0), 0)->faults, 0);
    /* the oldest may be gone on purpose, one in the middle may not */
    ck_assert_uint_eq(verify(without_line(text, 0), 1)->faults, 0);
    ck_assert_uint_gt(verify(without_line(text, 2), 1)->faults, 0);
    ck_assert_uint_gt(verify(apr_pstrcat(pool, text, strchr(text, '\n') + 1, NULL), 0)->faults, 0);
    /* two chains may interleave, as they do while old processes end */
    other = chain(2);
    text = apr_pstrcat(pool, apr_pstrmemdup(pool, text, (apr_size_t)(strchr(text, '\n') + 1 - text)), other,
                       strchr(text, '\n') + 1, NULL);
    ck_assert_uint_eq(verify(text, 0)->faults, 0);
    /* another key cannot continue it */
    ring = unit_ring("k1 QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl8=\n");
    ck_assert_uint_gt(verify(text, 0)->faults, 0);
}
END_TEST

START_TEST(long_lines_are_refused)
{
    mcp_audit_head_t head;
    char line[MCP_AUDIT_LINE_MAX];
    char *fields = apr_palloc(pool, MCP_AUDIT_LINE_MAX + 1);
    apr_size_t len = 0;

    ring = unit_ring(KEY_1 "\n");
    mcp_audit_head_init(&head);
    for (int n = MCP_AUDIT_LINE_MAX - 300; n < MCP_AUDIT_LINE_MAX; n++) {
        apr_uint64_t seq = head.seq;

        memset(fields, 'x', (size_t)n);
        fields[n] = '\0';
        len = mcp_audit_line(&head, ring, apr_time_now(), fields, line);
        ck_assert_uint_le(len, MCP_AUDIT_LINE_MAX);
        ck_assert_uint_eq(head.seq, seq + (len > 0));
    }
    ck_assert_uint_eq(len, 0);
}
END_TEST

/* ---- the file ---- */

static mcp_audit_conf_t conf;

static const char *open_log(const char *name, const char *content)
{
    static process_rec process;

    if (!process.pool) { /* outlives the configurations */
        process.pool = pool;
        stub_server.process = &process;
    }
    conf.target = unit_file(name, content);
    conf.calls = 1;
    if (!ring) {
        ring = unit_ring(KEY_1 "\n");
    }
    mcp_audit_pre_config(pool);
    ck_assert_int_eq(mcp_audit_open(&conf, ring, &stub_server, pool), APR_SUCCESS);
    mcp_audit_child_init(pool);
    return conf.target;
}

static char *content_of(const char *path)
{
    apr_file_t *file;
    apr_finfo_t info;
    char *text;

    ck_assert_int_eq(apr_file_open(&file, path, APR_READ, 0, pool), APR_SUCCESS);
    apr_file_info_get(&info, APR_FINFO_SIZE, file);
    text = apr_pcalloc(pool, (apr_size_t)info.size + 1);
    apr_file_read_full(file, text, (apr_size_t)info.size, NULL);
    return text;
}

static int lines_of(const char *text)
{
    int n = 0;

    for (; (text = strchr(text, '\n')); text++) {
        n++;
    }
    return n;
}

START_TEST(processes_share_a_chain)
{
    const char *path = open_log("audit-shared", "");
    const mcp_audit_report_t *report;
    int i;

    for (i = 0; i < 4; i++) {
        if (!fork()) {
            for (int n = 0; n < 250; n++) {
                mcp_audit_write(apr_psprintf(pool, "\"event\":\"x\",\"n\":%d", n));
            }
            _exit(0);
        }
    }
    while (i--) {
        wait(NULL);
    }
    report = verify(content_of(path), 0);
    ck_assert_msg(report->faults == 0, "%s", last_fault);
    ck_assert_uint_eq(report->lines, 1001);
    ck_assert_uint_eq(report->chains, 1);
}
END_TEST

START_TEST(a_restart_follows_on)
{
    const char *path = open_log("audit-restart", "");
    char *text;
    apr_pool_t *first = pool, *second;

    mcp_audit_write("\"event\":\"x\"");
    apr_pool_create(&second, pool);
    pool = second; /* a new configuration */
    ck_assert_int_eq(mcp_audit_pre_config(pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_audit_open(&conf, ring, &stub_server, pool), APR_SUCCESS);
    mcp_audit_write("\"event\":\"y\"");
    pool = first;
    text = content_of(path);
    ck_assert_msg(verify(text, 0)->faults == 0, "%s", last_fault);
    ck_assert_int_eq(lines_of(text), 4);
    /* the chain before cannot be taken away, nor its end */
    ck_assert_uint_gt(verify(without_line(without_line(text, 0), 0), 0)->faults, 0);
    ck_assert_uint_gt(verify(without_line(text, 1), 0)->faults, 0);
}
END_TEST

/* Rotation: the file is renamed, and the next configuration begins another one. */
START_TEST(a_renamed_file_is_followed)
{
    const char *path = apr_pstrdup(pool, open_log("audit-renamed", ""));
    const char *old = apr_pstrcat(pool, path, ".1", NULL), *fresh;
    apr_pool_t *process = pool;

    for (int i = 0; i < 2; i++) { /* the configuration that leaves, and the one that takes */
        apr_pool_create(&pool, process);
        ck_assert_int_eq(mcp_audit_pre_config(pool), APR_SUCCESS);
        ck_assert_int_eq(mcp_audit_open(&conf, ring, &stub_server, pool), APR_SUCCESS);
        mcp_audit_write("\"event\":\"x\"");
        if (!i) {
            ck_assert_int_eq(rename(path, old), 0);
        }
        apr_pool_destroy(pool);
        pool = process;
    }
    fresh = content_of(path);
    ck_assert_int_eq(lines_of(fresh), 2);
    ck_assert_msg(verify(apr_pstrcat(pool, content_of(old), fresh, NULL), 0)->faults == 0, "%s", last_fault);
    ck_assert_uint_gt(verify(fresh, 0)->faults, 0); /* the old file cannot be taken away */
    ck_assert_uint_eq(verify(fresh, 1)->faults, 0);
}
END_TEST

/* A crash may leave half a line behind. */
START_TEST(a_torn_line_is_shut_off)
{
    const char *path = open_log("audit-torn", "{\"time\":\"2026");
    char *text = content_of(path);

    ck_assert_uint_eq(verify(text, 0)->faults, 1); /* the torn one, told, and no other */
    ck_assert_int_eq(lines_of(text), 2);
}
END_TEST

/* A full disk: the file must not grow beyond a limit. Lines are lost, counted, and the chain goes on whole. */
START_TEST(a_full_disk_is_told)
{
    struct rlimit old, limit;
    mcp_audit_state_t state;
    const char *path;
    struct stat info;
    int refused = 0;

    conf.required = 1;
    path = open_log("audit-full", "");
    ck_assert_int_eq(stat(path, &info), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = (rlim_t)info.st_size + 1000; /* within a line: the piece is taken back */
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int i = 0; i < 20; i++) {
        refused += mcp_audit_write(apr_psprintf(pool, "\"event\":\"x\",\"n\":%d", i)) != APR_SUCCESS;
    }
    ck_assert_int_gt(refused, 10);
    ck_assert(mcp_audit_state(&state));
    ck_assert_int_eq(state.failing, 1);
    ck_assert_uint_eq(state.lost, (unsigned)refused);
    ck_assert(!mcp_audit_is_ready());
    setrlimit(RLIMIT_FSIZE, &old);
    usleep(1100000);
    ck_assert(mcp_audit_is_ready());
    ck_assert(mcp_audit_is_ready());
    ck_assert_int_eq(mcp_audit_write("\"event\":\"after\""), APR_SUCCESS);
    ck_assert_msg(verify(content_of(path), 0)->faults == 0, "%s", last_fault);
    ck_assert_uint_eq(verify(content_of(path), 0)->lost, (unsigned)refused);
    conf.required = 0;
}
END_TEST

/* A program or daemon that is there and does not read costs one wait, and not one for each line. */
START_TEST(a_stuck_reader_costs_once)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    const char *path = unit_file("stuck.sock", "");
    int daemon = socket(AF_UNIX, SOCK_DGRAM, 0), refused = 0;
    apr_time_t begun = 0;
    mcp_audit_state_t state;

    unlink(path);
    apr_cpystrn(address.sun_path, path, sizeof(address.sun_path));
    ck_assert_int_eq(bind(daemon, (struct sockaddr *)&address, sizeof(address)), 0);
    ring = ring ? ring : unit_ring(KEY_1 "\n");
    conf.target = apr_psprintf(pool, "syslog:local0:%s", path);
    mcp_audit_pre_config(pool);
    ck_assert_int_eq(mcp_audit_open(&conf, ring, &stub_server, pool), APR_SUCCESS);
    mcp_audit_child_init(pool);
    for (int i = 0; i < 10000 && refused < 50; i++) {
        refused += mcp_audit_write("\"event\":\"x\"") != APR_SUCCESS;
        begun = refused == 1 && !begun ? apr_time_now() : begun;
    }
    ck_assert_int_eq(refused, 50);
    ck_assert_int_lt(apr_time_as_msec(apr_time_now() - begun), 2000); /* 49 waits would be ten seconds */
    for (char text[4096]; recv(daemon, text, sizeof(text), MSG_DONTWAIT) > 0;) {
    }
    ck_assert_int_eq(mcp_audit_write("\"event\":\"after\""), APR_SUCCESS);
    ck_assert(mcp_audit_state(&state));
    ck_assert_uint_eq(state.lost, 50);
    ck_assert_int_eq(state.failing, 0);
    close(daemon);
}
END_TEST

/* ---- what a line says ---- */

START_TEST(fields_are_bounded_and_plain)
{
    request_rec *r = stub_request(pool);
    char *huge = apr_palloc(pool, 5001);
    unsigned char grant[MCP_ID_LEN] = { 1 };
    mcp_event_t event = { .outcome = "ok", .grant = grant };
    const char *fields;

    memset(huge, '"', 5000);
    huge[5000] = '\0';
    event.detail = event.person = event.username = event.client = event.client_name = event.resource = huge;
    event.scope = event.provider = event.method = event.target = event.protocol = event.agent = huge;
    event.session = "secret-session";
    r->server = &stub_server;
    fields = mcp_event_fields(r, MCP_EVENT_CALL, &event);
    ck_assert_uint_lt(strlen(fields), MCP_AUDIT_LINE_MAX * 2);
    ck_assert_ptr_null(strstr(fields, "secret-session"));
    event.detail = event.person = event.username = event.client = event.resource = NULL;
    event.scope = event.provider = event.method = event.target = event.protocol = event.agent = NULL;
    event.client_name = "a\xe2\x80\xae"
                        "b\n\x1b[31m\xff";
    fields = mcp_event_fields(r, MCP_EVENT_CALL, &event);
    for (const char *c = fields; *c; c++) {
        ck_assert(*c >= 0x20 && *c < 0x7f);
    }
    ck_assert_ptr_nonnull(mcp_json_parse(pool, apr_psprintf(pool, "{%s}", fields), strlen(fields) + 2, 10000));
}
END_TEST

static const struct {
    const char *header;
    int ok;
    int sampled;
} traces[] = {
    { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 1, 1 },
    { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", 1, 0 },
    { "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future-brings", 1, 1 },
    { "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-x", 0, 0 },
    { "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x", 0, 0 },
    { "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", 0, 0 },
    { "00-00000000000000000000000000000000-b7ad6b7169203331-01", 0, 0 },
    { "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", 0, 0 },
    { "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", 0, 0 },
    { "00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", 0, 0 },
    { "", 0, 0 },
};

START_TEST(syslog_targets)
{
    const char *why = NULL;
    mcp_syslog_t log;

    ck_assert_int_eq(mcp_syslog_parse(pool, "syslog", &log, &why), 1);
    ck_assert_int_eq(log.facility, LOG_AUTHPRIV);
    ck_assert_str_eq(log.path, "/dev/log");
    ck_assert_int_eq(mcp_syslog_parse(pool, "syslog:local3:/run/a.sock", &log, &why), 1);
    ck_assert_int_eq(log.facility, LOG_LOCAL3);
    ck_assert_str_eq(log.path, "/run/a.sock");
    ck_assert_int_eq(mcp_syslog_parse(pool, "logs/syslog", &log, &why), 0);
    ck_assert_int_eq(mcp_syslog_parse(pool, "syslogs", &log, &why), 0);
    ck_assert_ptr_null(why);
    ck_assert_int_eq(mcp_syslog_parse(pool, "syslog:kern", &log, &why), 0);
    ck_assert_str_eq(why, "syslog: takes auth, authpriv, daemon, user or local0 to local7");
    why = NULL;
    ck_assert_int_eq(mcp_syslog_parse(pool, "syslog:user:run/a", &log, &why), 0);
    ck_assert_ptr_nonnull(why);
    why = NULL;
    ck_assert_int_eq(mcp_syslog_parse(pool, apr_psprintf(pool, "syslog:user:/%0200d", 0), &log, &why), 0);
    ck_assert_ptr_nonnull(why);
}
END_TEST

/* Some daemons listen at a stream: records end with a NUL there. */
START_TEST(syslog_by_stream)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    mcp_syslog_t log = { .facility = LOG_LOCAL0, .fd = -1, .path = unit_file("stream.sock", "") };
    char got[256];
    ssize_t n;
    int daemon = socket(AF_UNIX, SOCK_STREAM, 0), peer;

    unlink(log.path);
    apr_cpystrn(address.sun_path, log.path, sizeof(address.sun_path));
    ck_assert_int_eq(bind(daemon, (struct sockaddr *)&address, sizeof(address)), 0);
    ck_assert_int_eq(listen(daemon, 1), 0);
    ck_assert_int_eq(mcp_syslog_send(&log, "{}", 2, 100), APR_SUCCESS);
    peer = accept(daemon, NULL, NULL);
    n = read(peer, got, sizeof(got));
    ck_assert_int_gt(n, 20);
    ck_assert_mem_eq(got, "<134>", 5);
    ck_assert_mem_eq(got + n - 6, "]: {}", 6); /* and the NUL */
    close(peer);
    close(daemon);
    unlink(log.path);
    for (int i = 0; i < 2; i++) { /* what the kernel still took may go with the daemon, then it is told */
        if (mcp_syslog_send(&log, "{}", 2, 100) != APR_SUCCESS) {
            return;
        }
    }
    ck_abort_msg("a daemon that is gone was not noticed");
}
END_TEST

START_TEST(traceparents)
{
    char id[MCP_TRACE_ID_LEN + 1], parent[MCP_SPAN_ID_LEN + 1];
    int sampled = 0;

    ck_assert_int_eq(mcp_trace_parse(traces[_i].header, id, parent, &sampled), traces[_i].ok);
    if (traces[_i].ok) {
        ck_assert_str_eq(parent, "b7ad6b7169203331");
        ck_assert_str_eq(id, "0af7651916cd43dd8448eb211c80319c");
        ck_assert_int_eq(sampled, traces[_i].sampled);
    }
}
END_TEST

/* With a pool of its own, as requests have: a trace belongs to that. */
static request_rec *request_of_its_own(void)
{
    apr_pool_t *p;

    apr_pool_create(&p, pool);
    return stub_request(p);
}

START_TEST(a_trace_is_continued_or_begun)
{
    request_rec *r = request_of_its_own();
    const char *sent;

    apr_table_setn(r->headers_in, "traceparent", traces[0].header);
    ck_assert_str_eq(mcp_trace_id(r), "0af7651916cd43dd8448eb211c80319c");
    sent = apr_table_get(r->headers_in, "traceparent");
    ck_assert_int_eq(strncmp(sent, traces[0].header, 36), 0);
    ck_assert_int_ne(strncmp(sent + 36, traces[0].header + 36, 16), 0);
    ck_assert_str_eq(sent + 52, "-01");
    ck_assert_ptr_eq(mcp_trace_id(r), mcp_trace_id(r));

    r = request_of_its_own();
    apr_table_setn(r->headers_in, "traceparent", "nonsense");
    apr_table_setn(r->headers_in, "tracestate", "a=b");
    ck_assert_uint_eq(strlen(mcp_trace_id(r)), 32);
    ck_assert_ptr_null(apr_table_get(r->headers_in, "tracestate"));
}
END_TEST

/* Of a request with all that a stranger can put into it. */
static const json_t *span_of(mcp_trace_t *trace, const char *text)
{
    mcp_span_line_t line;
    json_t *json;
    apr_size_t len;

    mcp_span_begin(&line, trace, text, 1000, 1);
    mcp_span_backend(&line, trace, text, 2000, text, 443, 502, 1);
    mcp_span_attributes(&line);
    for (int i = 0; i < 64; i++) {
        mcp_span_text(&line, apr_psprintf(pool, "a%d", i), text);
        mcp_span_number(&line, apr_psprintf(pool, "n%d", i), APR_INT64_MIN);
    }
    len = mcp_span_end(&line);
    ck_assert_uint_gt(len, 0);
    ck_assert_uint_le(len, MCP_SPAN_LINE_MAX);
    ck_assert_int_eq(line.text[len - 1], '\n');
    ck_assert_ptr_null(memchr(line.text, '\n', len - 1));
    json = mcp_json_parse_any(pool, line.text, len, 8, JSON_REJECT_DUPLICATES);
    ck_assert_ptr_nonnull(json);
    return json;
}

START_TEST(lines_of_spans_are_json_that_fits)
{
    mcp_trace_part_t parts[MCP_TRACE_PARTS];
    mcp_trace_t trace = { .id = "0af7651916cd43dd8448eb211c80319c",
                          .span = "fffffffffffffffe",
                          .backend = "b7ad6b7169203331",
                          .parent = "b7ad6b7169203332",
                          .parts = MCP_TRACE_PARTS,
                          .part = parts };
    char worst[2000];
    const json_t *span;

    for (int i = 0; i < MCP_TRACE_PARTS; i++) {
        parts[i] = (mcp_trace_part_t){ .name = "store remove", .begin = APR_INT64_MAX / 2, .end = 1, .failed = 1 };
    }
    memset(worst, '"', sizeof(worst) - 1);
    worst[sizeof(worst) - 1] = '\0';
    trace.state = apr_pstrmemdup(pool, worst, 256);
    span = span_of(&trace, worst);
    ck_assert_uint_eq(json_string_length(json_object_get(span, "name")), 256);
    ck_assert_uint_eq(json_array_size(json_object_get(span, "parts")), MCP_TRACE_PARTS + 1);
    ck_assert_uint_gt(json_object_size(json_object_get(span, "attributes")), 0);
    for (size_t i = 0; i < MCP_TRACE_PARTS; i++) { /* all ids differ, also where they overflow */
        const char *id = mcp_json_str(json_array_get(json_object_get(span, "parts"), i), "span");

        ck_assert_uint_eq(strlen(id), 16);
        ck_assert_str_ne(id, trace.span);
        ck_assert_uint_lt(strspn(id, "0"), 16);
    }
    /* no part of a character, no byte that is none, no control character */
    for (int i = 0; i < 4; i++) {
        memset(worst, 'x', 252);
        for (int n = 252 + i; n < 400; n += 3) {
            memcpy(worst + n, "\xe2\x82\xac\0", 4);
        }
        span_of(&trace, worst);
    }
    trace.state = NULL;
    trace.parts = 0;
    ck_assert_str_eq(mcp_json_str(span_of(&trace, "a\nb\x7f\xff\x1b"), "name"), "a?b???");
    ck_assert_ptr_null(json_object_get(span_of(&trace, ""), "name"));
}
END_TEST

START_TEST(traces_are_drawn_by_the_ratio)
{
    int drawn = 0;

    mcp_trace_set_ratio(0.25);
    for (int i = 0; i < 4000; i++) {
        request_rec *r = request_of_its_own();

        drawn += mcp_trace(r)->sampled;
        ck_assert_int_eq(mcp_trace(r)->sampled, mcp_trace_is_drawn(mcp_trace_id(r), MCP_TRACE_ID_LEN));
    }
    ck_assert_int_gt(drawn, 800);
    ck_assert_int_lt(drawn, 1200);
    mcp_trace_set_ratio(1);
    ck_assert_int_eq(mcp_trace_is_drawn("ffffffffffffffff", MCP_SPAN_ID_LEN), 1);
    mcp_trace_set_ratio(0);
    ck_assert_int_eq(mcp_trace_is_drawn("0000000000000000", MCP_SPAN_ID_LEN), 0);
}
END_TEST

START_TEST(a_trace_may_be_that_of_a_message)
{
    request_rec *r = request_of_its_own();
    const mcp_trace_t *trace = mcp_trace(r);
    char span[MCP_SPAN_ID_LEN + 1];

    apr_cpystrn(span, trace->span, sizeof(span));
    mcp_trace_adopt(r, "nonsense", "a=b");
    ck_assert_str_eq(trace->parent, "");
    ck_assert_ptr_null(apr_table_get(r->headers_in, "tracestate"));
    mcp_trace_adopt(r, traces[0].header, "a=b\r\nX: y");
    ck_assert_str_eq(trace->id, "0af7651916cd43dd8448eb211c80319c");
    ck_assert_str_eq(trace->parent, "b7ad6b7169203331");
    ck_assert_str_eq(trace->span, span);
    ck_assert_int_eq(trace->sampled, 1);
    ck_assert_ptr_null(apr_table_get(r->headers_in, "tracestate"));
    ck_assert_str_eq(apr_table_get(r->headers_in, "traceparent"),
                     apr_pstrcat(pool, "00-0af7651916cd43dd8448eb211c80319c-", trace->backend, "-01", NULL));
    mcp_trace_adopt(r, "00-11111111111111111111111111111111-2222222222222222-00", NULL);
    ck_assert_str_eq(trace->id, "0af7651916cd43dd8448eb211c80319c");
}
END_TEST

Suite *suite_audit(void)
{
    Suite *suite = suite_create("audit");
    TCase *test = unit_case(suite, "audit");

    tcase_add_test(test, a_chain_holds);
    tcase_add_test(test, every_byte_counts);
    tcase_add_test(test, removed_and_moved_lines_show);
    tcase_add_test(test, long_lines_are_refused);
    tcase_add_test(test, processes_share_a_chain);
    tcase_add_test(test, a_restart_follows_on);
    tcase_add_test(test, a_renamed_file_is_followed);
    tcase_add_test(test, a_torn_line_is_shut_off);
    tcase_add_test(test, a_full_disk_is_told);
    tcase_add_test(test, a_stuck_reader_costs_once);
    tcase_add_test(test, fields_are_bounded_and_plain);
    tcase_add_test(test, syslog_targets);
    tcase_add_test(test, syslog_by_stream);
    tcase_add_loop_test(test, traceparents, 0, (int)(sizeof(traces) / sizeof(*traces)));
    tcase_add_test(test, a_trace_is_continued_or_begun);
    tcase_add_test(test, a_trace_may_be_that_of_a_message);
    tcase_add_test(test, traces_are_drawn_by_the_ratio);
    tcase_add_test(test, lines_of_spans_are_json_that_fits);
    return suite;
}
