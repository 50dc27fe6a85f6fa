/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log: target, chain head in shared memory, writing under one lock. */

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_global_mutex.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <util_mutex.h>

#include "mcp_audit.h"
#include "mcp_audit_chain.h"
#include "mcp_log.h"
#include "mcp_pipe.h"
#include "mcp_syslog.h"
#include "mcp_util.h"

/* The name carries the layout's version: both modules must be of one release. */
#define AUDIT_USERDATA "mcp-audit/1"
#define AUDIT_MUTEX "mcp-audit"
#define MAC_SIZE (MCP_B64URL_LEN(MCP_AUDIT_MAC_LEN) + 1)
#define PIPE_WAIT_MS 200 /* for a program or daemon that is busy; under the lock, so all other writers wait too: once */
#define RETRY_INTERVAL APR_USEC_PER_SEC

typedef struct {
    mcp_audit_head_t head; /* guarded by the mutex, as all up to `writing` */
    apr_uint64_t untold;   /* lines lost since the last one that was written */
    apr_uint32_t writing;  /* a process is between writing a line and saying so */
    apr_uint32_t failing;  /* read and written without the mutex, as all that follow */
    apr_uint64_t written;
    apr_uint64_t lost;
    apr_uint64_t next_try; /* apr_time_t */
} shared_t;

typedef struct {
    const mcp_audit_conf_t *conf;
    const mcp_keyring_t *ring;
    server_rec *s;
    apr_global_mutex_t *mutex;
    shared_t *shared;
    int fd; /* -1: syslog */
    int is_pipe;
    mcp_syslog_t syslog;
    int child_ready;
    char *left; /* the mac that the configuration before left for this file, of the process pool; empty: none */
} audit_t;

/* This module's view of it: each module has a copy of this library of its own. Set before the fork. */
static audit_t *audit;

/* ---- configuration ---- */

const char *mcp_audit_parse(cmd_parms *cmd, mcp_audit_conf_t *conf, int argc, char *const argv[])
{
    const char *why = NULL;
    mcp_syslog_t log;
    int is_syslog;

    if (argc < 1 || !*argv[0]) {
        return "MCPAuditLog: takes a file, \"|program\" or syslog[:facility], then required and calls";
    }
    is_syslog = mcp_syslog_parse(cmd->pool, argv[0], &log, &why);
    if (why) {
        return apr_pstrcat(cmd->pool, "MCPAuditLog: ", why, NULL);
    }
    conf->target = argv[0];
    if (*argv[0] == '|' && !mcp_pipe_program(argv[0])) {
        return "MCPAuditLog: name a program after the |";
    }
    if (*argv[0] != '|' && !is_syslog) {
        conf->target = ap_server_root_relative(cmd->pool, argv[0]);
        if (!conf->target) {
            return apr_pstrcat(cmd->pool, "MCPAuditLog: invalid path ", argv[0], NULL);
        }
    }
    conf->required = conf->calls = 0;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "required")) {
            conf->required = 1;
        }
        else if (!strcmp(argv[i], "calls")) {
            conf->calls = 1;
        }
        else {
            return apr_psprintf(cmd->pool, "MCPAuditLog: unknown option '%s'; known are required and calls", argv[i]);
        }
    }
    return NULL;
}

apr_status_t mcp_audit_pre_config(apr_pool_t *pconf)
{
    audit = NULL; /* of the configuration before */
    return ap_mutex_register(pconf, AUDIT_MUTEX, NULL, APR_LOCK_DEFAULT, 0);
}

/* ---- writing ---- */

/* The mac of the last whole line that the file holds; NULL: none. */
static const char *last_mac(apr_pool_t *p, int fd)
{
    char text[2 * MCP_AUDIT_LINE_MAX];
    off_t end = lseek(fd, 0, SEEK_END);
    off_t from = end > (off_t)sizeof(text) ? end - (off_t)sizeof(text) : 0;
    ssize_t n = end > 0 ? pread(fd, text, sizeof(text), from) : 0;
    const char *begin;

    while (n > 0 && text[n - 1] != '\n') {
        n--; /* a line that was cut off by a crash */
    }
    if (n-- <= 0) {
        return NULL;
    }
    begin = text + n;
    while (begin > text && begin[-1] != '\n') {
        begin--;
    }
    return mcp_audit_line_mac(p, begin, (apr_size_t)(text + n - begin));
}

/* Was the file cut off within a line? Then the next one must not be glued to it. */
static int ends_within_line(int fd)
{
    off_t end = lseek(fd, 0, SEEK_END);
    char last = '\n';

    return end > 0 && pread(fd, &last, 1, end - 1) == 1 && last != '\n';
}

static apr_status_t write_file(int fd, const char *line, apr_size_t len)
{
    ssize_t n;

    do {
        n = write(fd, line, len);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len) {
        return APR_SUCCESS;
    }
    if (n > 0) {
        /* The disk is full: take the piece back, if nothing of another server came behind it. */
        off_t end = lseek(fd, 0, SEEK_END);
        char piece[MCP_AUDIT_LINE_MAX];

        if (end >= n && pread(fd, piece, (size_t)n, end - n) == n && !memcmp(piece, line, (size_t)n)
            && ftruncate(fd, end - n) != 0) {
            return errno;
        }
        return APR_ENOSPC;
    }
    return errno;
}

/* A pipe takes a line in one piece or not at all: MCP_AUDIT_LINE_MAX is PIPE_BUF, and it does not block. */
static apr_status_t write_pipe(int fd, const char *line, apr_size_t len, int wait_ms)
{
    struct pollfd ready = { .fd = fd, .events = POLLOUT };

    for (int tries = 0; tries < 3; tries++) {
        if (write(fd, line, len) == (ssize_t)len) {
            return APR_SUCCESS;
        }
        if (errno != EAGAIN && errno != EINTR) {
            return errno;
        }
        if (poll(&ready, 1, wait_ms) == 0) {
            return APR_TIMEUP;
        }
    }
    return APR_TIMEUP;
}

static apr_status_t emit(audit_t *a, const char *line, apr_size_t len)
{
    /* Whoever reads is known to be stuck: with a wait for each line, five requests a second would be all that pass. */
    int wait_ms = __atomic_load_n(&a->shared->failing, __ATOMIC_RELAXED) ? 0 : PIPE_WAIT_MS;

    if (a->fd < 0) {
        return mcp_syslog_send(&a->syslog, line, len - 1, wait_ms);
    }
    return a->is_pipe ? write_pipe(a->fd, line, len, wait_ms) : write_file(a->fd, line, len);
}

/* With the lock held: the line after the head, which moves only once the line is out. */
static apr_status_t append(audit_t *a, const char *fields)
{
    mcp_audit_head_t next = a->shared->head;
    char line[MCP_AUDIT_LINE_MAX];
    apr_size_t len = mcp_audit_line(&next, a->ring, apr_time_now(), fields, line);
    apr_status_t rv;

    if (!len) {
        return APR_ENOSPC;
    }
    __atomic_store_n(&a->shared->writing, 1, __ATOMIC_RELAXED);
    rv = emit(a, line, len);
    if (rv == APR_SUCCESS) {
        a->shared->head = next;
        __atomic_add_fetch(&a->shared->written, 1, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&a->shared->writing, 0, __ATOMIC_RELAXED);
    return rv;
}

/* A chain that nobody can continue with certainty is ended by the begin of another. */
static apr_status_t begin_chain(audit_t *a, const char *why, apr_pool_t *p)
{
    const char *after = a->fd >= 0 && !a->is_pipe ? last_mac(p, a->fd) : NULL;

    if (!after && a->left && *a->left) {
        after = a->left;
    }
    mcp_audit_head_init(&a->shared->head);
    return append(a, apr_psprintf(p, "\"event\":\"audit.begin\",\"reason\":\"%s\",\"pid\":%" APR_PID_T_FMT "%s%s%s", why,
                                  getpid(), after ? ",\"after\":\"" : "", after ? after : "", after ? "\"" : ""));
}

static apr_status_t write_locked(audit_t *a, const char *fields)
{
    apr_status_t rv = APR_SUCCESS;
    apr_pool_t *p;

    if (__atomic_load_n(&a->shared->writing, __ATOMIC_RELAXED)) { /* a process died there */
        apr_pool_create(&p, NULL);
        if (a->fd >= 0 && !a->is_pipe && ends_within_line(a->fd)) {
            rv = write_file(a->fd, "\n", 1);
        }
        rv = rv == APR_SUCCESS ? begin_chain(a, "a writer died", p) : rv;
        apr_pool_destroy(p);
    }
    if (rv == APR_SUCCESS && a->shared->untold) {
        char lost[64];

        apr_snprintf(lost, sizeof(lost), "\"event\":\"audit.lost\",\"lost\":%" APR_UINT64_T_FMT, a->shared->untold);
        rv = append(a, lost);
        if (rv == APR_SUCCESS) {
            a->shared->untold = 0;
        }
    }
    rv = rv == APR_SUCCESS && fields ? append(a, fields) : rv;
    if (rv != APR_SUCCESS && fields) {
        a->shared->untold++;
        __atomic_add_fetch(&a->shared->lost, 1, __ATOMIC_RELAXED);
    }
    return rv;
}

/* Say it once when it begins to fail, and once when it is over. */
static void note_state(const audit_t *a, apr_status_t rv)
{
    apr_uint32_t failing = rv != APR_SUCCESS;

    if (__atomic_exchange_n(&a->shared->failing, failing, __ATOMIC_RELAXED) == failing) {
        return;
    }
    if (failing) {
        __atomic_store_n(&a->shared->next_try, (apr_uint64_t)(apr_time_now() + RETRY_INTERVAL), __ATOMIC_RELAXED);
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, a->s, MCP_LOG(0160) "MCPAuditLog %s: lines are being lost%s",
                     a->conf->target, a->conf->required ? "; requests are refused until it can be written" : "");
    }
    else {
        ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, a->s, MCP_LOG(0161) "MCPAuditLog %s: lines are written again",
                     a->conf->target);
    }
}

/* NULL @a fields: only what is still to be said. */
static apr_status_t write_line(audit_t *a, const char *fields)
{
    apr_status_t rv = apr_global_mutex_lock(a->mutex);

    if (rv == APR_SUCCESS) {
        rv = write_locked(a, fields);
        apr_global_mutex_unlock(a->mutex);
    }
    note_state(a, rv);
    return rv;
}

apr_status_t mcp_audit_write(const char *fields)
{
    return audit ? write_line(audit, fields) : APR_SUCCESS;
}

int mcp_audit_is_ready(void)
{
    apr_uint64_t now, next;

    if (!audit || !audit->conf->required || !__atomic_load_n(&audit->shared->failing, __ATOMIC_RELAXED)) {
        return 1;
    }
    now = (apr_uint64_t)apr_time_now();
    next = __atomic_load_n(&audit->shared->next_try, __ATOMIC_RELAXED);
    return now >= next
           && __atomic_compare_exchange_n(&audit->shared->next_try, &next, now + RETRY_INTERVAL, 0, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED)
           && write_line(audit, NULL) == APR_SUCCESS;
}

int mcp_audit_is_on(void)
{
    return audit != NULL;
}

int mcp_audit_wants_calls(void)
{
    return audit && audit->conf->calls;
}

int mcp_audit_state(mcp_audit_state_t *state)
{
    if (!audit) {
        return 0;
    }
    state->written = __atomic_load_n(&audit->shared->written, __ATOMIC_RELAXED);
    state->lost = __atomic_load_n(&audit->shared->lost, __ATOMIC_RELAXED);
    state->failing = __atomic_load_n(&audit->shared->failing, __ATOMIC_RELAXED) != 0;
    return 1;
}

/* ---- start-up ---- */

static apr_status_t close_fd(void *fd)
{
    close(*(int *)fd);
    return APR_SUCCESS;
}

static apr_status_t close_syslog(void *data)
{
    mcp_syslog_t *log = data;

    if (log->fd >= 0) {
        close(log->fd);
    }
    return APR_SUCCESS;
}

static apr_status_t open_target(audit_t *a, apr_pool_t *pconf)
{
    const char *target = a->conf->target, *why;
    struct stat info;

    a->fd = -1;
    if (mcp_syslog_parse(pconf, target, &a->syslog, &why)) {
        apr_pool_cleanup_register(pconf, &a->syslog, close_syslog, apr_pool_cleanup_null);
        return APR_SUCCESS;
    }
    if (*target == '|') {
        a->is_pipe = 1;
        return mcp_pipe_open(target, pconf, &a->fd);
    }
    a->fd = open(target, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    if (a->fd < 0) {
        return errno;
    }
    apr_pool_cleanup_register(pconf, &a->fd, close_fd, apr_pool_cleanup_null);
    if (fstat(a->fd, &info) < 0) {
        return errno;
    }
    a->is_pipe = S_ISFIFO(info.st_mode);
    return S_ISREG(info.st_mode) || a->is_pipe || S_ISCHR(info.st_mode) ? APR_SUCCESS : APR_EINVAL;
}

/* A file that is renamed and begun anew at a graceful restart loses its last line, so that is left to the next one. */
static apr_status_t leave_mac(void *data)
{
    const audit_t *a = data;
    const char *mac;
    apr_pool_t *p;

    apr_pool_create(&p, NULL);
    mac = last_mac(p, a->fd);
    if (mac) {
        apr_cpystrn(a->left, mac, MAC_SIZE);
    }
    apr_pool_destroy(p);
    return APR_SUCCESS;
}

static void keep_mac(audit_t *a, apr_pool_t *pconf)
{
    const char *key = apr_pstrcat(pconf, AUDIT_USERDATA, ":", a->conf->target, NULL);
    apr_pool_t *process = a->s->process->pool;
    void *left = NULL;

    apr_pool_userdata_get(&left, key, process);
    if (!left) {
        left = apr_pcalloc(process, MAC_SIZE);
        apr_pool_userdata_set(left, key, NULL, process);
    }
    a->left = left;
    apr_pool_cleanup_register(pconf, a, leave_mac, apr_pool_cleanup_null);
}

static apr_status_t create(audit_t *a, apr_pool_t *pconf)
{
    apr_status_t rv = open_target(a, pconf);
    apr_shm_t *shm;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = ap_global_mutex_create(&a->mutex, NULL, AUDIT_MUTEX, NULL, a->s, pconf, 0);
    if (rv == APR_SUCCESS) {
        rv = apr_shm_create(&shm, sizeof(*a->shared), NULL, pconf);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    a->shared = apr_shm_baseaddr_get(shm);
    memset(a->shared, 0, sizeof(*a->shared));
    if (a->fd >= 0 && !a->is_pipe) {
        keep_mac(a, pconf);
    }
    if (a->fd >= 0 && !a->is_pipe && ends_within_line(a->fd)) {
        rv = write_file(a->fd, "\n", 1);
    }
    return rv == APR_SUCCESS ? begin_chain(a, "start", pconf) : rv;
}

apr_status_t mcp_audit_open(const mcp_audit_conf_t *conf, const mcp_keyring_t *ring, server_rec *s, apr_pool_t *pconf)
{
    void *found = NULL;
    apr_status_t rv;
    audit_t *a;

    audit = NULL;
    if (!conf->target) {
        return APR_SUCCESS;
    }
    apr_pool_userdata_get(&found, AUDIT_USERDATA, pconf);
    if (!found) {
        found = a = apr_pcalloc(pconf, sizeof(*a));
        a->conf = conf;
        a->ring = ring;
        a->s = s;
        rv = create(a, pconf);
        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_EMERG, rv, s, MCP_LOG(0162) "MCPAuditLog %s cannot be opened or written",
                         conf->target);
            return rv;
        }
        apr_pool_userdata_setn(a, AUDIT_USERDATA, NULL, pconf);
    }
    audit = found;
    return APR_SUCCESS;
}

void mcp_audit_child_init(apr_pool_t *pchild)
{
    apr_status_t rv;

    if (!audit || audit->child_ready) {
        return;
    }
    audit->child_ready = 1;
    rv = apr_global_mutex_child_init(&audit->mutex, apr_global_mutex_lockfile(audit->mutex), pchild);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, audit->s, MCP_LOG(0163) "the audit log's lock cannot be attached");
    }
}
