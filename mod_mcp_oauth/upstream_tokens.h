/* SPDX-License-Identifier: Apache-2.0 */
/* A person's tokens at the provider while a session lives: kept, renewed, and used for others (upstream_tokens.c). */

#ifndef MCP_UPSTREAM_TOKENS_H
#define MCP_UPSTREAM_TOKENS_H

#include "oauth.h"
#include "mcp_lease.h"
#include "mcp_upstream_token.h"

/* Whose tokens, and how they are to be renewed. */
typedef struct {
    request_rec *r;
    const mcp_oauth_conf_t *conf;
    const mcp_provider_t *provider;
    const unsigned char *id; /* of the grant */
    const char *subject;
    const char *refresh_token; /* for when the store has none; NULL: none */
    apr_time_t until;          /* end of the records: that of the grant */
    apr_interval_time_t wait;  /* for somebody else who renews them just now */
} mcp_tokens_t;

/**
 * Make sure that the access token is good after @a good, by asking the provider where it is not: once for all threads,
 * processes and hosts, and what it gives is stored before anything else can fail (CP-32).
 * @param good  MCP_TOKEN_ASK asks in any case, unless somebody else did meanwhile
 * @param now   set to what is stored in the end; claims and username where a refresh has brought some
 * @return OK (*now may lack an access token, where nothing can renew it); HTTP_UNAUTHORIZED: the provider does not honour
 *         the person any more; 502 or 503 with @a res filled: it cannot say; HTTP_CONFLICT: somebody else is asking. *now
 *         is what is stored then, too
 */
int mcp_tokens_renew(const mcp_tokens_t *tokens, apr_time_t good, mcp_identity_t *now,
                     mcp_result_t *res);

#define MCP_TOKEN_ASK APR_INT64_MAX

/** How long mcp_tokens_renew() may take at most with this @a wait, as far as it is the provider that takes it. */
apr_interval_time_t mcp_tokens_longest(const mcp_provider_t *provider, apr_interval_time_t wait);

/**
 * Remember that there are no tokens and nothing that brings some: a call that needs one ends the session then, for with a
 * plain 401 the client would refresh and come again without end.
 */
void mcp_tokens_note_none(const mcp_tokens_t *tokens);

/** Write what a sign-in brought. As mcp_store_put; what is too large is left out. */
apr_status_t mcp_tokens_put(request_rec *r, const mcp_oauth_conf_t *conf,
                            const unsigned char id[MCP_ID_LEN], apr_time_t until,
                            const mcp_identity_t *tokens);

/** Read it. As mcp_store_get. */
apr_status_t mcp_tokens_get(request_rec *r, const mcp_oauth_conf_t *conf,
                            const unsigned char id[MCP_ID_LEN], mcp_identity_t *tokens);

/** child_init duty. */
void mcp_tokens_child_init(server_rec *s);

/* ---- the same, in parts, for backend_tokens.c ---- */

#define MCP_TOKENS_GLIMPSE apr_time_from_msec(150) /* wait while the old token is still good */

/* A refresh under way. */
typedef struct {
    const mcp_tokens_t *t;
    const mcp_token_want_t *want; /* a token for something else, which is not kept here; NULL: the own one */
    apr_time_t good;
    mcp_identity_t *now; /* as stored */
    const char *before;  /* the access token when it was looked at first, "" none */
    const mcp_lease_t *lease;
    int kept; /* times */
} mcp_renewal_t;

/** Read x->now. OK or 503. */
int mcp_renewal_read(mcp_renewal_t *x, mcp_result_t *res);

/** mcp_keep_fn: store what the provider has given; it may have spent the old refresh token. */
apr_status_t mcp_renewal_keep(void *renewal, const mcp_identity_t *got);

/* Is the work done already, by somebody else? Then 1, and *rc is its result. */
typedef int mcp_tokens_done_fn(void *work, mcp_result_t *res, int *rc);
/* Call the provider. The grant's lock is held. */
typedef int mcp_tokens_call_fn(void *work, const mcp_lease_t *lease, mcp_result_t *res);

/**
 * Do it once for all threads, processes and hosts.
 * @param flight  what threads of this process wait for
 * @return what the functions say; HTTP_CONFLICT: somebody else is at it, or has just failed
 */
int mcp_tokens_alone(const mcp_tokens_t *t, const unsigned char flight[MCP_ID_LEN], void *work,
                     mcp_tokens_done_fn *done, mcp_tokens_call_fn *call, mcp_result_t *res);

/** Was the grant taken back? Then what was written beside that, and after it, is removed. */
int mcp_tokens_over(const mcp_tokens_t *t);

/** A mark of a few seconds for all hosts, about what was tried and failed. @a kind is short. */
void mcp_tokens_mark(const mcp_tokens_t *t, const char *kind, apr_interval_time_t life);
int mcp_tokens_marked(const mcp_tokens_t *t, const char *kind);

/** 503. */
int mcp_tokens_later(mcp_result_t *res, const char *log);
int mcp_tokens_store_down(mcp_result_t *res);

/* ---- backend_tokens.c ---- */

/** register_hooks duty: what mod_mcp_guard asks. */
void mcp_tokens_register(void);

/* ---- challenge.c: what a person's next sign-in has to ask the provider for ---- */

#define MCP_CHALLENGE_MAX 1500 /* bytes of a provider's claims challenge that go into a URL */

/**
 * Remember a claims challenge for the person's next sign-in (E11).
 * @return 1, or 0 where another sign-in would not help: it is too long, or she has just answered it
 */
int mcp_challenge_note(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                       const char *claims);

/** What to ask for now that the person has signed in, NULL: nothing. It is told once. */
const char *mcp_challenge_due(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject);

/* ---- flight.c ---- */

/** @a p lives as long as the process. */
apr_status_t mcp_flight_init(apr_pool_t *p);

/**
 * Begin work on @a id, or wait for whoever in this process is at it.
 * @return APR_SUCCESS: begun, mcp_flight_land() must follow; APR_EAGAIN: somebody else has done it meanwhile; APR_TIMEUP
 */
apr_status_t mcp_flight_board(const unsigned char id[MCP_ID_LEN], apr_interval_time_t wait);

void mcp_flight_land(const unsigned char id[MCP_ID_LEN]);

#endif
