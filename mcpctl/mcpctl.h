/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of mcpctl share: one function a command, their options, their exit codes. */

#ifndef MCPCTL_H
#define MCPCTL_H

#include <apr_pools.h>

/* Exit codes. */
#define MCPCTL_OK 0
#define MCPCTL_FOUND 1 /* it ran, and what it looked for is wrong */
#define MCPCTL_USAGE 2 /* it could not run */

/* Options that all commands have. */
typedef struct {
    apr_pool_t *pool;
    int json; /* --json: one object on standard output instead of text */
} mcpctl_t;

/** One command: its own arguments, without its name. Returns an exit code. */
typedef int mcpctl_command_fn(const mcpctl_t *ctl, int argc, const char *const *argv);

/** `mcpctl: TEXT` on standard error. Returns MCPCTL_USAGE. */
int mcpctl_complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* An option that takes a word. */
typedef struct {
    const char *name;
    const char **value;
} mcpctl_option_t;

/** If the first word is one of @a n options, take the one behind it. How many words were taken; 0: none of these. */
int mcpctl_take_option(const mcpctl_option_t *options, apr_size_t n, int argc, const char *const *argv);

/* ---- keys.c ---- */

int mcpctl_keygen(const mcpctl_t *ctl, int argc, const char *const *argv);
int mcpctl_rekey(const mcpctl_t *ctl, int argc, const char *const *argv);

/* ---- audit.c ---- */

int mcpctl_verify_audit(const mcpctl_t *ctl, int argc, const char *const *argv);

/* ---- admin.c ---- */

int mcpctl_status(const mcpctl_t *ctl, int argc, const char *const *argv);
int mcpctl_sessions(const mcpctl_t *ctl, int argc, const char *const *argv);
int mcpctl_revoke(const mcpctl_t *ctl, int argc, const char *const *argv);
int mcpctl_block_client(const mcpctl_t *ctl, int argc, const char *const *argv);

/* ---- check.c ---- */

int mcpctl_check_config(const mcpctl_t *ctl, int argc, const char *const *argv);

/* ---- doctor.c ---- */

int mcpctl_doctor(const mcpctl_t *ctl, int argc, const char *const *argv);

#endif
