/* SPDX-License-Identifier: Apache-2.0 */
/* check-config: what httpd's own configuration test says, and then what the modules find unsafe in it (mcp_lint.h). */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>
#include <jansson.h>

#include "mcp_lint.h"
#include "mcpctl.h"

#define NOT_STARTED 127

typedef struct {
    int json;
    int done; /* the modules have looked */
    int errors, warnings;
    json_t *findings, *messages;
} check_t;

/* The program with -t and our -D, its output and errors in one pipe. The pipe's end to read from, or -1. */
static int start(apr_pool_t *p, const char *program, int argc, const char *const *argv, pid_t *pid)
{
    const char **args = apr_pcalloc(p, sizeof(*args) * (size_t)(argc + 5));
    int ends[2], n = 0;

    args[n++] = program;
    args[n++] = "-t";
    args[n++] = "-D";
    args[n++] = MCP_LINT_DEFINE;
    for (int i = 0; i < argc; i++) {
        args[n++] = argv[i];
    }
    if (pipe(ends) < 0) {
        return -1;
    }
    *pid = fork();
    if (*pid == 0) {
        dup2(ends[1], STDOUT_FILENO);
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        close(ends[1]);
        execvp(program, (char *const *)args);
        _exit(NOT_STARTED);
    }
    close(ends[1]);
    if (*pid < 0) {
        close(ends[0]);
        return -1;
    }
    return ends[0];
}

/* What the modules themselves warn of in a configuration test: the text behind `[mcp_guard:warn] [pid 1:tid 2] `, or NULL. */
static const char *warning_of(const char *line)
{
    const char *text = strstr(line, "[mcp_guard:warn] ");

    text = text ? text : strstr(line, "[mcp_oauth:warn] ");
    text = text ? strstr(text, "] MCP0") : NULL;
    return text ? text + 2 : NULL;
}

/* A line of the lint, or a warning of the modules, is a finding, any other one httpd's. */
static void take(check_t *check, char *line)
{
    const char *level = NULL, *where = NULL, *text;
    char *last;

    line[strcspn(line, "\n")] = '\0';
    if ((text = warning_of(line))) {
        level = "warning";
        where = "-";
    }
    if (!strncmp(line, MCP_LINT_MARK "\t", sizeof(MCP_LINT_MARK))) {
        level = apr_strtok(line + sizeof(MCP_LINT_MARK), "\t", &last);
        where = level ? apr_strtok(NULL, "\t", &last) : NULL;
        text = where ? apr_strtok(NULL, "\t", &last) : NULL;
    }
    if (!text) {
        json_array_append_new(check->messages, json_string(line)); /* NULL, hence left out, where it is no UTF-8 */
        if (strcmp(line, "Syntax OK")) {
            fprintf(stderr, "%s\n", line);
        }
        return;
    }
    if (!strcmp(level, "done")) {
        check->done = 1;
        return;
    }
    check->errors += !strcmp(level, "error");
    check->warnings += strcmp(level, "error") != 0;
    json_array_append_new(check->findings, json_pack("{s:s, s:s, s:s}", "level", level, "where", where, "text", text));
    if (!check->json) {
        printf("%s: %s: %s\n", where, level, text);
    }
}

/* httpd under the names that distributions give it; apachectl knows their environment. */
static const char *find_httpd(apr_pool_t *p)
{
    static const char *const names[] = { "apache2ctl", "apachectl", "httpd", "apache2" };
    const char *path = getenv("PATH");

    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        char *dirs = apr_pstrcat(p, path ? path : "", ":/usr/sbin:/usr/local/sbin:/usr/local/apache2/bin", NULL), *last;

        for (char *dir = apr_strtok(dirs, ":", &last); dir; dir = apr_strtok(NULL, ":", &last)) {
            const char *program = apr_pstrcat(p, dir, "/", names[i], NULL);

            if (*dir == '/' && access(program, X_OK) == 0) {
                return program;
            }
        }
    }
    return NULL;
}

static int tell(const mcpctl_t *ctl, check_t *check, int status, int strict)
{
    int passed = WIFEXITED(status) && WEXITSTATUS(status) == 0;

    if (passed && !check->done) {
        return mcpctl_complain("the configuration is fine with httpd, but loads neither mod_mcp_oauth nor mod_mcp_guard of "
                               "this release: nothing was looked at");
    }
    if (ctl->json) {
        json_t *all = json_pack("{s:b, s:O, s:O}", "configtest", passed, "messages", check->messages, "findings",
                                check->findings);

        json_dumpf(all, stdout, JSON_COMPACT);
        putchar('\n');
        json_decref(all);
    }
    else if (!passed) {
        puts("httpd's configuration test fails; mend that first");
    }
    else {
        printf("%d errors, %d warnings\n", check->errors, check->warnings);
    }
    return !passed || check->errors || (strict && check->warnings) ? MCPCTL_FOUND : MCPCTL_OK;
}

int mcpctl_check_config(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    const char *program = NULL;
    check_t check = { .json = ctl->json, .findings = json_array(), .messages = json_array() };
    int strict = 0, fd, status = 0, n, code;
    const mcpctl_option_t options[] = { { "--httpd", &program } };
    char *line = NULL;
    size_t room = 0;
    FILE *output;
    pid_t pid;

    for (; argc && strcmp(*argv, "--"); argc -= n, argv += n) {
        n = mcpctl_take_option(options, 1, argc, argv);
        if (!n && !strcmp(*argv, "--strict")) {
            strict = n = 1;
        }
        if (!n) {
            return mcpctl_complain("check-config does not know %s; what is httpd's goes behind --", *argv);
        }
    }
    if (argc) {
        argc--, argv++;
    }
    program = program ? program : find_httpd(ctl->pool);
    if (!program) {
        return mcpctl_complain("no httpd is found; name it with --httpd PROGRAM");
    }
    fd = start(ctl->pool, program, argc, argv, &pid);
    output = fd < 0 ? NULL : fdopen(fd, "r");
    if (!output) {
        return mcpctl_complain("%s cannot be run: %s", program, strerror(errno));
    }
    while (getline(&line, &room, output) > 0) {
        take(&check, line);
    }
    free(line);
    fclose(output);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        ;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == NOT_STARTED) {
        code = mcpctl_complain("%s cannot be run", program);
    }
    else {
        code = tell(ctl, &check, status, strict);
    }
    json_decref(check.findings);
    json_decref(check.messages);
    return code;
}
