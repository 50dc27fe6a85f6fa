/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets by reference: read once, in the parent, wiped with their pool. */

#include "mcp_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_time.h>
#include <openssl/crypto.h>

#define EXEC_SECONDS 10

typedef struct {
    char *text;
    apr_size_t len;
} wipe_t;

static apr_status_t wipe(void *data)
{
    OPENSSL_cleanse(((wipe_t *)data)->text, ((wipe_t *)data)->len);
    return APR_SUCCESS;
}

/* A buffer that is wiped when @a p is cleared. */
static char *wiped_buffer(apr_pool_t *p, apr_size_t len)
{
    wipe_t *buffer = apr_palloc(p, sizeof(*buffer));

    buffer->text = apr_pcalloc(p, len);
    buffer->len = len;
    apr_pool_cleanup_register(p, buffer, wipe, apr_pool_cleanup_null);
    return buffer->text;
}

/* May this file hold a secret? NULL or why not. */
static const char *check_file(apr_pool_t *p, const char *path, const apr_finfo_t *info)
{
    if (info->filetype != APR_REG) {
        return apr_psprintf(p, "secret file %s is not a regular file", path);
    }
    if (info->protection & (APR_FPROT_GREAD | APR_FPROT_GWRITE | APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
        return apr_psprintf(p, "secret file %s can be read or written by others than its owner: chmod 600 %s",
                            path, path);
    }
    if (info->size > MCP_SECRET_MAX) {
        return apr_psprintf(p, "secret file %s is larger than %d bytes", path, MCP_SECRET_MAX);
    }
    return NULL;
}

const char *mcp_secret_check(apr_pool_t *p, const char *ref)
{
    apr_finfo_t info;
    apr_status_t rv;
    char reason[120];

    if (!strncmp(ref, "file:/", 6)) {
        rv = apr_stat(&info, ref + 5, APR_FINFO_SIZE | APR_FINFO_PROT | APR_FINFO_TYPE, p);
        if (rv != APR_SUCCESS) {
            return apr_psprintf(p, "secret file %s: %s", ref + 5, apr_strerror(rv, reason, sizeof(reason)));
        }
        return check_file(p, ref + 5, &info);
    }
    if (!strncmp(ref, "file:", 5)) {
        return "write file: with an absolute path, as in file:/etc/mcp/secret";
    }
    if ((!strncmp(ref, "env:", 4) && ref[4] && !strchr(ref, '=')) || (!strncmp(ref, "exec:", 5) && ref[5])) {
        return NULL;
    }
    return "a secret is given by reference: file:/path, env:NAME or exec:command";
}

/* Cut the line ends off, and refuse what no header and no form could carry. */
static const char *finish(apr_pool_t *p, const char *ref, char *text, const char **value)
{
    apr_size_t len = strlen(text);

    while (len && (text[len - 1] == '\n' || text[len - 1] == '\r')) {
        text[--len] = '\0';
    }
    if (!len) {
        return apr_psprintf(p, "%s gives an empty secret", ref);
    }
    for (const unsigned char *c = (const unsigned char *)text; *c; c++) {
        if (*c < 0x20 || *c == 0x7f) {
            return apr_psprintf(p, "%s gives a secret with control characters or several lines", ref);
        }
    }
    *value = text;
    return NULL;
}

static const char *load_file(apr_pool_t *p, const char *path, char *text)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len = 0;
    char reason[120];
    const char *error;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "cannot open secret file %s: %s", path, apr_strerror(rv, reason, sizeof(reason)));
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_PROT | APR_FINFO_TYPE, file);
    error = rv == APR_SUCCESS ? check_file(p, path, &info) : "cannot examine the secret file";
    if (!error) {
        rv = apr_file_read_full(file, text, MCP_SECRET_MAX, &len);
        if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
            error = apr_psprintf(p, "cannot read secret file %s: %s", path,
                                 apr_strerror(rv, reason, sizeof(reason)));
        }
        else if (memchr(text, '\0', len)) {
            error = apr_psprintf(p, "secret file %s holds a NUL byte", path);
        }
    }
    apr_file_close(file);
    return error;
}

/* Start `/bin/sh -c command` in a process group of its own, so that all of it can be ended; its output comes from
 * *out. Plain fork: post_config runs in the parent, which has no threads. */
static pid_t start(const char *command, int *out)
{
    int ends[2];
    pid_t pid;

    if (pipe(ends)) {
        return -1;
    }
    pid = fork();
    if (pid == 0) {
        int null = open("/dev/null", O_RDONLY);

        setpgid(0, 0);
        dup2(null, 0);
        dup2(ends[1], 1);
        if (ends[0] > 2) {
            close(ends[0]);
        }
        if (ends[1] > 2) {
            close(ends[1]);
        }
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return -1;
    }
    setpgid(pid, pid); /* in both processes: whichever runs first */
    *out = ends[0];
    return pid;
}

/* Milliseconds until @a deadline, 0 when it has passed. */
static int left(apr_time_t deadline)
{
    apr_time_t now = apr_time_now();

    return now < deadline ? (int)apr_time_as_msec(deadline - now) + 1 : 0;
}

/* Everything that comes from @a fd until its end. NULL or why not. */
static const char *read_all(int fd, char *text, apr_time_t deadline)
{
    apr_size_t len = 0;

    for (;;) {
        struct pollfd poller = { fd, POLLIN, 0 };
        int ready = poll(&poller, 1, left(deadline));
        ssize_t got;

        if (ready < 0 && errno == EINTR) {
            continue;
        }
        if (ready <= 0) {
            return "did not end in time";
        }
        got = read(fd, text + len, MCP_SECRET_MAX - len);
        if (got < 0 && errno != EINTR) {
            return "could not be read";
        }
        if (got == 0) {
            return memchr(text, '\0', len) ? "printed a NUL byte" : (len == MCP_SECRET_MAX ? "printed too much" : NULL);
        }
        len += got > 0 ? (apr_size_t)got : 0;
    }
}

static const char *load_exec(apr_pool_t *p, const char *ref, char *text)
{
    apr_time_t deadline = apr_time_now() + apr_time_from_sec(EXEC_SECONDS);
    int out = -1, status = 0;
    pid_t pid = start(ref + 5, &out), ended;
    const char *error;

    if (pid < 0) {
        return apr_psprintf(p, "cannot start %s", ref);
    }
    error = read_all(out, text, deadline);
    close(out);
    while (!error && (ended = waitpid(pid, &status, WNOHANG)) != pid) {
        if (ended < 0 && errno != EINTR) {
            error = "could not be waited for";
        }
        else if (!left(deadline)) {
            error = "did not end in time";
        }
        else {
            apr_sleep(5000);
        }
    }
    if (error) {
        kill(-pid, SIGKILL);
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        error = "failed";
    }
    return error ? apr_psprintf(p, "%s: the command %s", ref, error) : NULL;
}

const char *mcp_secret_load(apr_pool_t *p, const char *ref, const char **value)
{
    const char *error = mcp_secret_check(p, ref);
    const char *env;
    char *text;

    if (error) {
        return error;
    }
    text = wiped_buffer(p, MCP_SECRET_MAX + 1);
    if (!strncmp(ref, "file:", 5)) {
        error = load_file(p, ref + 5, text);
    }
    else if (!strncmp(ref, "exec:", 5)) {
        error = load_exec(p, ref, text);
    }
    else if (!(env = getenv(ref + 4))) {
        error = apr_psprintf(p, "environment variable %s is not set", ref + 4);
    }
    else {
        apr_cpystrn(text, env, MCP_SECRET_MAX + 1);
    }
    return error ? error : finish(p, ref, text, value);
}
