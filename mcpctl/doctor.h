/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of doctor share: how to ask, how to tell, and what was found on the way. */

#ifndef MCPCTL_DOCTOR_H
#define MCPCTL_DOCTOR_H

#include <jansson.h>

#include "http.h"
#include "mcpctl.h"

typedef enum { DOCTOR_FINE,
               DOCTOR_NOTE,
               DOCTOR_BAD } doctor_mark_e;

typedef struct {
    const mcpctl_t *ctl;
    apr_pool_t *pool;
    mcpctl_way_t way;
    const char *url;   /* of the MCP server */
    const char *token; /* to call it with, NULL: none */
    int no_register;
    const char *document; /* the URL of a client's metadata document; NULL: VS Code's */
    int no_document;
    json_t *findings;
    int counts[DOCTOR_BAD + 1];
    /* what was found on the way */
    const char *prm_url;
    const char *issuer;
    const char *authorize, *token_endpoint, *registration;
    int documents; /* clients may be known by the URL of a metadata document */
    const char *client_id;
} doctor_t;

/** Where Inspector's page comes from. */
#define DOCTOR_BROWSER "http://localhost:6274"

/** A call that each MCP server answers: initialize. */
extern const char doctor_initialize[];

/** Tell of a finding. */
void doctor_found(doctor_t *d, doctor_mark_e mark, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/** One exchange. @return 0: there is no answer, and answer->error says why */
int doctor_ask(doctor_t *d, const char *method, const char *url, const char *body, const char *const *headers,
               mcpctl_answer_t *answer);

/** A header of an answer; "" when it has none. */
const char *doctor_header(const mcpctl_answer_t *answer, const char *name);

/** The JSON object of an answer, in the pool of @a d; NULL when it is none. */
const json_t *doctor_json(doctor_t *d, const mcpctl_answer_t *answer);

/** Without a token: 401 with a challenge. 0: nothing behind it can be looked at. */
int doctor_door(doctor_t *d);

/** From the MCP server's metadata to those of its authorization server. 0: there are none. */
int doctor_metadata(doctor_t *d);

/** May a web page call this endpoint? @a url NULL: there is none. */
void doctor_preflight(doctor_t *d, const char *what, const char *url);

/** What the authorization server does with clients, up to a person's sign-in. */
void doctor_clients(doctor_t *d);

/** Up to the identity provider's answer to the gateway's request, by way of the connections page: it needs no consent. */
void doctor_sign_in(doctor_t *d);

/** With a token: does the server answer, and does its event stream begin at once? */
void doctor_call(doctor_t *d);

#endif
