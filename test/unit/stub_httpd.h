/* SPDX-License-Identifier: Apache-2.0 */
/* Those functions of httpd that common/ calls, for programs without httpd; and a socache backend that can be made to
 * fail in each way that memcached and redis do. */

#ifndef MCP_STUB_HTTPD_H
#define MCP_STUB_HTTPD_H

#include <httpd.h>
#include <http_config.h>

/* How the backend answers when the script is empty. */
typedef enum {
    FAKE_UP,
    FAKE_DEAD,   /* as apr_memcache with a server that is marked dead: APR_NOTFOUND to everything */
    FAKE_BROKEN, /* connection lost: APR_EGENERAL */
    FAKE_SILENT  /* SIGSTOP: calls block until fake_mode changes */
} fake_mode_e;

extern volatile fake_mode_e fake_mode;

/* One character a call, consumed from the front: u(p), d(ead), b(roken); see fake_mode_e. */
extern const char *fake_script;

extern volatile unsigned fake_calls;   /* calls that reached the backend */
extern volatile unsigned fake_blocked; /* calls that are blocked in it now */
extern apr_time_t fake_expiry;         /* of the last record that was stored */
extern const void *fake_instance;      /* where it went */
extern unsigned fake_unlocked;         /* calls to a backend that needs a lock, made without it */
extern unsigned fake_hidden;           /* providers that are not loaded: bit 0 shmcb, 1 memcache, 2 redis */

/** Forget all records and go back to FAKE_UP. */
void fake_reset(void);

/** Number of live records. */
int fake_count(void);

/** Overwrite the only record's byte @a i, as somebody with access to the backend could. */
void fake_damage(int i);

/* Log lines so far, and the last one. */
extern volatile unsigned stub_log_lines;
extern char stub_log_last[1024];

/* Body of the request that ap_get_brigade() hands out, in pieces of this size; stub_body_error when it breaks off. */
extern const char *stub_body;
extern apr_size_t stub_piece;
extern apr_status_t stub_body_error;

/* What was written by ap_rwrite() and its like. */
extern char stub_output[65536];

extern int stub_threads;             /* ThreadsPerChild */
extern const char *stub_bad_context; /* what ap_check_cmd_context() answers */
extern server_rec stub_server;

/** cmd_parms for directive setters of a module whose server config is @a config. */
cmd_parms *stub_cmd(apr_pool_t *p, void *config);

/** A request with empty header tables. */
request_rec *stub_request(apr_pool_t *p);

#endif
