/* SPDX-License-Identifier: Apache-2.0 */
/* verify-audit: is every line of an audit log as it was written, and where it was? */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mcp_audit_chain.h"
#include "mcp_keyring.h"
#include "mcpctl.h"

#define FAULTS_SHOWN 100

typedef struct {
    const char *file;
    apr_uint64_t before; /* lines of the files before this one */
    int shown;
    int json;
} place_t;

static void show(void *baton, apr_uint64_t line, const char *what)
{
    place_t *place = baton;

    if (place->shown++ < FAULTS_SHOWN) {
        fprintf(place->json ? stderr : stdout, "%s:%" APR_UINT64_T_FMT ": %s\n", place->file, line - place->before,
                what);
    }
}

/* 1, or 0 with the reason told. */
static int read_file(mcp_audit_verify_t *verify, const char *path)
{
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;
    char *line = NULL;
    size_t room = 0;
    ssize_t n;
    int ok;

    if (!file) {
        mcpctl_complain("%s: %s", path, strerror(errno));
        return 0;
    }
    while ((n = getline(&line, &room, file)) > 0) {
        mcp_audit_verify_line(verify, line, (apr_size_t)(line[n - 1] == '\n' ? n - 1 : n));
    }
    ok = !ferror(file);
    if (!ok) {
        mcpctl_complain("%s: %s", path, strerror(errno));
    }
    free(line);
    if (file != stdin) {
        fclose(file);
    }
    return ok;
}

int mcpctl_verify_audit(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    const char *key_file = NULL, *err;
    const mcp_audit_report_t *report;
    place_t place = { .json = ctl->json };
    mcp_audit_verify_t *verify;
    mcp_keyring_t *ring;
    int partial = 0;

    for (; argc && !strncmp(*argv, "--", 2); argc--, argv++) {
        if (!strcmp(*argv, "--partial")) {
            partial = 1;
        }
        else if (!strcmp(*argv, "--key-file") && argc > 1) {
            key_file = argv[1];
            argc--, argv++;
        }
        else {
            return mcpctl_complain("verify-audit does not know %s", *argv);
        }
    }
    if (!key_file || !argc) {
        return mcpctl_complain("verify-audit takes --key-file FILE and the log's files, the oldest first");
    }
    err = mcp_keyring_load(&ring, key_file, ctl->pool);
    if (err) {
        return mcpctl_complain("%s", err);
    }
    verify = mcp_audit_verify_begin(ctl->pool, ring, partial, show, &place);
    report = mcp_audit_verify_end(verify);
    for (; argc; argc--, argv++) {
        place.file = *argv;
        place.before = report->lines;
        if (!read_file(verify, *argv)) {
            return MCPCTL_USAGE;
        }
    }
    if (!report->lines) {
        return mcpctl_complain("there is no line in it");
    }
    if (ctl->json) {
        printf("{\"lines\":%" APR_UINT64_T_FMT ",\"chains\":%" APR_UINT64_T_FMT ",\"lost\":%" APR_UINT64_T_FMT
               ",\"faults\":%" APR_UINT64_T_FMT "}\n",
               report->lines, report->chains, report->lost, report->faults);
    }
    else {
        printf("%" APR_UINT64_T_FMT " lines in %" APR_UINT64_T_FMT " chains, %s; %" APR_UINT64_T_FMT
               " more could not be written, as the log itself says\n",
               report->lines, report->chains, report->faults ? "NOT whole" : "whole", report->lost);
    }
    return report->faults ? MCPCTL_FOUND : MCPCTL_OK;
}
