/* SPDX-License-Identifier: Apache-2.0 */
/* What happened, said once: a line of the audit log, and a count for the metrics.
 *
 * Nothing in an event is secret: no token, code, key or argument of a tool. Texts of strangers are cut.
 */

#ifndef MCP_EVENT_H
#define MCP_EVENT_H

#include <httpd.h>

#include "mcp_grant.h"

/* Append only; mcp_event.c has the names. */
typedef enum {
    MCP_EVENT_REGISTRATION, /* a client registered itself, or was refused */
    MCP_EVENT_CONSENT,      /* granted, remembered, denied */
    MCP_EVENT_SIGN_IN,      /* at the identity provider */
    MCP_EVENT_TOKEN,        /* a code was redeemed, or refused */
    MCP_EVENT_REFRESH,      /* tokens were renewed, or refused */
    MCP_EVENT_REUSE,        /* a code or refresh token came again, and its grant was revoked */
    MCP_EVENT_REVOCATION,   /* a grant was taken back; detail says by whom or why */
    MCP_EVENT_CALL,         /* a call to an MCP server */
    MCP_EVENT_LOGOUT,       /* the provider ended a person's session, or a person signed out */
    MCP_EVENT_ADMIN,        /* an administrator's act */
    MCP_EVENT_COUNT
} mcp_event_e;

typedef struct {
    const char *outcome; /* "ok", or an error code of RFC 6749 and the like; never free text */
    const char *detail;  /* why, in words of ours */
    const char *person;  /* subject, "provider|sub" */
    const char *username;
    const char *client;         /* client key */
    const char *client_name;    /* text of a stranger */
    const unsigned char *grant; /* MCP_ID_LEN bytes */
    const char *resource;
    const char *scope;
    const char *provider;
    /* of calls (reference gateway G16) */
    const char *method;           /* of JSON-RPC */
    const char *target;           /* tool, prompt or URI of a resource */
    const char *session;          /* MCP session, as the client knows it: only a hash of it is written */
    const char *protocol;         /* MCP-Protocol-Version */
    const char *agent;            /* clientInfo: name/version */
    int status;                   /* of HTTP; 0: none yet */
    apr_interval_time_t duration; /* 0: unknown */
} mcp_event_t;

/** Write and count an event. @return APR_SUCCESS, or why the audit log lost it */
apr_status_t mcp_event(request_rec *r, mcp_event_e type, const mcp_event_t *event);

/** The same for what happens to a grant. @a outcome NULL: "ok". */
apr_status_t mcp_event_grant(request_rec *r, mcp_event_e type, const char *outcome, const char *detail,
                             const mcp_grant_t *grant);

/** What tells the calls of one MCP session, which is a capability, from others: a hash of its id. NULL: none. */
const char *mcp_event_session(apr_pool_t *p, const char *session);

/** Members of the line of an event, without braces, in the request's pool; for tests. */
const char *mcp_event_fields(request_rec *r, mcp_event_e type, const mcp_event_t *event);

#endif
