/* SPDX-License-Identifier: Apache-2.0 */
/* What a person gave to clients, seen and taken back as a whole: by the person (connections page), by the identity
 * provider (back-channel logout), and by an administrator.
 *
 *   person.c        the person index and not-before marks, as the flows use them
 *   connections.c   GET and POST /connections
 *   signout.c       GET and POST /signout
 *   login.c         the sign-in of our own pages, and their forms
 *   backchannel.c   POST /backchannel-logout/PROVIDER
 */

#ifndef MCP_CONNECTIONS_H
#define MCP_CONNECTIONS_H

#include "oauth.h"

#include "mcp_not_before.h"
#include "mcp_person.h"

/* ---- endpoints ---- */

#define MCP_BACKCHANNEL_PATH "/backchannel-logout/" /* the provider's name follows */

int mcp_connections_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_signout_handler(request_rec *r, mcp_oauth_conf_t *conf);

int mcp_backchannel_handler(request_rec *r, mcp_oauth_conf_t *conf);

/* ---- who is signed in to our own pages (login.c) ---- */

typedef struct {
    const char *subject; /* NULL: nobody */
    const char *username;
    apr_time_t at; /* when she signed in */
} mcp_login_t;

/**
 * Who is signed in in this browser.
 * @return APR_SUCCESS; APR_NOTFOUND: nobody, or that session was ended; MCP_EDOWN: that cannot be known now. In
 *         the latter two, *login tells who it was, where it is known.
 */
apr_status_t mcp_login_get(request_rec *r, const mcp_oauth_conf_t *conf, mcp_login_t *login);

void mcp_login_set(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login);
void mcp_login_clear(request_rec *r, const mcp_oauth_conf_t *conf);

/** Send the person to sign in for our page at @a path. What goes wrong comes back there as `error`. Returns OK. */
int mcp_login_begin(request_rec *r, mcp_oauth_conf_t *conf, const char *path);

/** She did: authz->page. Returns OK. */
int mcp_login_done(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                   const mcp_identity_t *who);

/* ---- where tokens are issued (person.c) ---- */

/**
 * Note in the person index what mcp_session_issue() has written. Never fails a sign-in: what cannot be noted is logged,
 * and noted at the next refresh.
 */
void mcp_person_noted(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_refresh_t *token,
                      const mcp_grant_t *record);

/** Drop @a n grants of @a subject from the index. What cannot be dropped is logged; readers check each grant anyway. */
void mcp_person_forgotten(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                          const unsigned char (*grants)[MCP_ID_LEN], int n);

/**
 * Is what was granted of a time that a not-before mark has put an end to, or, when its code is redeemed, of a session at
 * the provider that has ended? APR_SUCCESS: no; APR_EACCES: yes; MCP_EDOWN
 */
apr_status_t mcp_person_barred(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_refresh_t *token);

/** Short hash of the provider's session, and of its sub where the subject is another (mcp_refresh_t); NULL: none. */
const char *mcp_person_sid(apr_pool_t *p, const mcp_identity_t *who);
const char *mcp_person_sub(apr_pool_t *p, const mcp_identity_t *who);

/* ---- seen and taken back (person.c) ---- */

/**
 * What a person has given and not taken back: the entries of the index whose grants live.
 * @param out  entries empty when there is none; since 0 when the store has no record of the person
 * @return APR_SUCCESS, or MCP_EDOWN: it cannot be known now
 */
apr_status_t mcp_person_list(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                             mcp_person_t *out);

/**
 * Take back what a person gave until now: a not-before mark, then every grant that the index knows, with its upstream
 * tokens, open streams and cached sessions on all hosts. What the index does not know is refused by the mark.
 * @param client_key  of this client only, or NULL: of all
 * @param sid  NULL, or of this session at the provider only, as mcp_sid_hash() has it: then the mark is
 *             mcp_person_session_ended()'s, for codes alone
 * @param before  what was given until then; 0: now
 * @param why  for the log
 * @param count  how many grants were revoked; may be NULL
 * @return APR_SUCCESS or MCP_EDOWN: part of it may have been done, and may be done again
 */
apr_status_t mcp_person_revoke(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                               const char *client_key, const unsigned char *sid, apr_time_t before,
                               const char *why, int *count);

/**
 * A session at a provider has ended: codes of sign-ins in it are redeemed no more.
 * @param sid  as mcp_person_sid() has it
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_person_session_ended(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                                      const char *sid);

/**
 * No longer honour what anybody gave to a client until @a before (0: now): tokens, codes and remembered consents are
 * refused on all hosts, and open streams end. As mcp_person_revoke.
 */
apr_status_t mcp_client_revoke(request_rec *r, const mcp_oauth_conf_t *conf, const char *client_key,
                               apr_time_t before, const char *why);

#endif
