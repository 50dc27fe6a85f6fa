/* SPDX-License-Identifier: Apache-2.0 */
/* Commands whose output we read. posix_spawn() and not fork(): of what a child of a threaded
 * process could do between fork() and exec(), next to nothing is safe, and the copy of all its
 * memory would be made for nothing. */

#include "mcp_command.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

#if defined(__GLIBC__) && defined(__GLIBC_PREREQ)
#if __GLIBC_PREREQ(2, 34)
#define HAVE_CLOSEFROM 1
#endif
#endif

/* Standard input and output of the command, and nothing else of ours. httpd and APR set FD_CLOEXEC
 * on what they open; libraries of other modules may not. */
static int arrange_files(posix_spawn_file_actions_t *files, int out)
{
    int err = posix_spawn_file_actions_addopen(files, 0, "/dev/null", O_RDONLY, 0);

    if (!err) {
        err = posix_spawn_file_actions_adddup2(files, out, 1);
    }
#ifdef HAVE_CLOSEFROM
    if (!err) {
        err = posix_spawn_file_actions_addclosefrom_np(files, 3);
    }
#endif
    return err;
}

/* The calling thread may block signals, and httpd ignores some: a command expects neither. */
static int arrange_process(posix_spawnattr_t *attributes)
{
    sigset_t none, all;
    int err;

    sigemptyset(&none);
    sigfillset(&all);
    sigdelset(&all, SIGKILL);
    sigdelset(&all, SIGSTOP);
    err = posix_spawnattr_setsigmask(attributes, &none);
    if (!err) {
        err = posix_spawnattr_setsigdefault(attributes, &all);
    }
    if (!err) {
        err = posix_spawnattr_setpgroup(attributes, 0);
    }
    return err ? err
               : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF
                                                          | POSIX_SPAWN_SETPGROUP);
}

static int spawn(const char *command, int out, pid_t *pid)
{
    char name[] = "sh", option[] = "-c";
    char *const argv[] = { name, option, (char *)command, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    int err = posix_spawn_file_actions_init(&files);

    if (err) {
        return err;
    }
    err = posix_spawnattr_init(&attributes);
    if (!err) {
        err = arrange_files(&files, out);
        if (!err) {
            err = arrange_process(&attributes);
        }
        if (!err) {
            err = posix_spawn(pid, "/bin/sh", &files, &attributes, argv, environ);
        }
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&files);
    return err;
}

/* Milliseconds until @a deadline, 0 when it has passed. */
static int left(apr_time_t deadline)
{
    apr_time_t now = apr_time_now();

    return now < deadline ? (int)apr_time_as_msec(deadline - now) + 1 : 0;
}

/* Everything that comes from @a fd until its end. NULL or why not. */
static const char *read_all(int fd, char *text, apr_size_t max, apr_time_t deadline)
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
        got = read(fd, text + len, max - len);
        if (got < 0 && errno != EINTR) {
            return "could not be read";
        }
        if (got == 0) {
            text[len] = '\0';
            return memchr(text, '\0', len) ? "printed a NUL byte"
                                           : (len == max ? "printed too much" : NULL);
        }
        len += got > 0 ? (apr_size_t)got : 0;
    }
}

/* The end of the command. NULL or why it does not count. */
static const char *wait_for(pid_t pid, const char *error, apr_time_t deadline)
{
    int status = 0;
    pid_t ended;

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
        return error;
    }
    return !WIFEXITED(status) || WEXITSTATUS(status) ? "failed" : NULL;
}

const char *mcp_command_read(const char *command, char *text, apr_size_t max,
                             apr_interval_time_t timeout)
{
    apr_time_t deadline = apr_time_now() + timeout;
    const char *error;
    int ends[2], err;
    pid_t pid = 0;

    if (pipe2(ends, O_CLOEXEC)) {
        return "could not be started";
    }
    err = spawn(command, ends[1], &pid);
    close(ends[1]);
    if (err) {
        close(ends[0]);
        return "could not be started";
    }
    error = read_all(ends[0], text, max, deadline);
    close(ends[0]);
    return wait_for(pid, error, deadline);
}
