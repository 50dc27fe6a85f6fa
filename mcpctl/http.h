/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange by libcurl, with all that doctor wants to know of it. */

#ifndef MCPCTL_HTTP_H
#define MCPCTL_HTTP_H

#include <apr_pools.h>
#include <apr_tables.h>

#define MCPCTL_BODY_MAX (4 * 1024 * 1024)

/* How to get there; the same for all exchanges of a run. */
typedef struct {
    const char *ca_file;     /* NULL: the system's */
    const char *unix_socket; /* NULL: none */
    const char *cert, *key;  /* client certificate, NULL: none */
    int netrc;               /* user and password from ~/.netrc */
    long timeout;            /* seconds for each exchange */
} mcpctl_way_t;

typedef struct {
    const char *method; /* NULL: GET */
    const char *url;
    const char *body;           /* NULL: none */
    const char *const *headers; /* "Name: value"..., NULL-terminated; NULL: none */
} mcpctl_ask_t;

typedef struct {
    const char *error; /* NULL, or why there is no answer, in libcurl's words */
    long status;
    long version;         /* 11, 20...: of HTTP */
    apr_table_t *headers; /* of the last answer */
    const char *body;     /* NUL-terminated */
    apr_size_t len;
    double first_byte; /* seconds until the answer began */
} mcpctl_answer_t;

/** Ask; redirects are not followed. The answer lives in @a p. Returns answer->error. */
const char *mcpctl_http(apr_pool_t *p, const mcpctl_way_t *way, const mcpctl_ask_t *ask, mcpctl_answer_t *answer);

/** Options of the way: --cacert F, --unix-socket F, --cert F, --key F, --netrc. How many words were taken; 0: none of ours. */
int mcpctl_way_option(mcpctl_way_t *way, int argc, const char *const *argv);

#endif
