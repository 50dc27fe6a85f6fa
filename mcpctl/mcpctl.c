/* SPDX-License-Identifier: Apache-2.0 */
/* mcpctl: the administrator's tool. This file is the table of its commands. */

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <apr_general.h>

#include "mcpctl.h"

static const struct {
    const char *name;
    mcpctl_command_fn *run;
    const char *usage;
    const char *what;
} commands[] = {
    { "keygen", mcpctl_keygen, "FILE [KID]", "make a key file for MCPKeyFile" },
    { "rekey", mcpctl_rekey, "FILE [KID]", "put a new key on top of a key file; reload httpd gracefully after it" },
    { "verify-audit", mcpctl_verify_audit, "--key-file FILE [--partial] LOG...",
      "check that no line of an audit log was changed, removed or moved" },
    { "check-config", mcpctl_check_config, "[--strict] [--httpd PROGRAM] [-- ARGUMENTS]",
      "httpd's configuration test, and what is unsafe in what passes it" },
    { "doctor", mcpctl_doctor, "[--no-register] [--token-file FILE] [--cacert FILE] URL",
      "do to a live gateway what MCP clients do, and say what would fail" },
    { "status", mcpctl_status, "", "keys, store and audit log of a running gateway" },
    { "sessions", mcpctl_sessions, "--person SUBJECT [--client KEY] | --grant ID", "what a person gave to clients" },
    { "revoke", mcpctl_revoke, "--grant ID | [--person SUBJECT] [--client KEY] [--before TIME]",
      "take it back; calls and open streams end on all hosts" },
    { "block-client", mcpctl_block_client, "--client KEY", "give this client nothing any more, nor honour what it has" },
};

#define COMMANDS (sizeof(commands) / sizeof(*commands))

int mcpctl_complain(const char *format, ...)
{
    va_list args;

    fputs("mcpctl: ", stderr);
    va_start(args, format);
    /* va_start() is just above: the analyzer loses sight of it. NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized) */
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    return MCPCTL_USAGE;
}

int mcpctl_take_option(const mcpctl_option_t *options, apr_size_t n, int argc, const char *const *argv)
{
    for (apr_size_t i = 0; argc > 1 && i < n; i++) {
        if (!strcmp(argv[0], options[i].name)) {
            *options[i].value = argv[1];
            return 2;
        }
    }
    return 0;
}

static int usage(FILE *out, int code)
{
    fputs("usage: mcpctl [--json] COMMAND ...\n\n", out);
    for (size_t i = 0; i < COMMANDS; i++) {
        fprintf(out, "  mcpctl %s %s\n        %s\n", commands[i].name, commands[i].usage, commands[i].what);
    }
    fputs("\nstatus, sessions, revoke and block-client talk to the location with `SetHandler mcp-admin`:\n"
          "  --url URL (or MCPCTL_URL), --netrc, --cert FILE --key FILE, --cacert FILE, --unix-socket PATH\n",
          out);
    fputs("\nExit code: 0 all is well, 1 something is wrong with what was looked at, 2 it could not be done.\n", out);
    return code;
}

static int run(mcpctl_t *ctl, int argc, const char *const *argv)
{
    while (argc && !strcmp(*argv, "--json")) {
        ctl->json = 1;
        argc--, argv++;
    }
    if (!argc) {
        return usage(stderr, MCPCTL_USAGE);
    }
    if (!strcmp(*argv, "--help") || !strcmp(*argv, "-h") || !strcmp(*argv, "help")) {
        return usage(stdout, MCPCTL_OK);
    }
    if (!strcmp(*argv, "--version")) {
        puts("mcpctl " MCPCTL_VERSION);
        return MCPCTL_OK;
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (!strcmp(*argv, commands[i].name)) {
            return commands[i].run(ctl, argc - 1, argv + 1);
        }
    }
    return mcpctl_complain("no command is called %s; mcpctl --help lists them", *argv);
}

int main(int argc, const char *const *argv)
{
    mcpctl_t ctl = { 0 };
    int code;

    if (apr_initialize() != APR_SUCCESS || apr_pool_create(&ctl.pool, NULL) != APR_SUCCESS) {
        return mcpctl_complain("no memory");
    }
    code = run(&ctl, argc - 1, argv + 1);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        code = mcpctl_complain("standard output cannot be written");
    }
    apr_terminate();
    return code;
}
