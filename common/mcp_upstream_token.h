/* SPDX-License-Identifier: Apache-2.0 */
/* A person's tokens at the identity provider, as both modules know them: the records, which mod_mcp_guard reads, and the
 * function by which it asks mod_mcp_oauth, which alone knows the provider, for a newer one. Where that module is not
 * loaded, the function is not there, and what the records hold is all there is.
 *
 *   record                 id               payload
 *   MCP_KIND_UPSTREAM      grant id         { "at":, "rt":, "exp":, "got":, "scope":, "cl":, "un": }
 *                          the person's own: access and refresh token; when the access token ends and when it came; claims
 *                          and user name as of the last refresh that brought some
 *   MCP_KIND_UPSTREAM      grant id | "+"   { NAME: { "at":, "exp":, "got": }... }
 *                          for other resources, by mcp_token_want_t.name
 *
 * Both end with the grant (mcp_grant_revoke).
 */

#ifndef MCP_UPSTREAM_TOKEN_H
#define MCP_UPSTREAM_TOKEN_H

#include <httpd.h>
#include <apr_optional.h>

#include "mcp_store.h"
#include "mcp_util.h"

/* How a token comes about. */
typedef enum {
    MCP_TOKEN_OWN,          /* the one that the sign-in brought */
    MCP_TOKEN_REFRESH,      /* by the refresh token, with another scope or resource (RFC 6749 section 6, RFC 8707) */
    MCP_TOKEN_ON_BEHALF_OF, /* by the own one, as Entra ID wants it: jwt-bearer, requested_token_use=on_behalf_of */
    MCP_TOKEN_EXCHANGE      /* by the own one, token exchange (RFC 8693) */
} mcp_token_by_e;

#define MCP_TOKEN_NAME_LEN 22

/* Which token a backend wants. */
typedef struct {
    mcp_token_by_e by;
    const char *scope; /* these three: NULL is not sent */
    const char *resource;
    const char *audience;
    char name[MCP_TOKEN_NAME_LEN + 1]; /* by which it is kept: a hash of all the above */
} mcp_token_want_t;

typedef struct {
    const char *token;   /* NULL when there is none */
    apr_time_t expires;  /* 0 unknown */
    apr_time_t obtained; /* 0 unknown */
} mcp_token_held_t;

/** Set want->name. */
void mcp_token_name(apr_pool_t *p, mcp_token_want_t *want);

/**
 * The token of a grant that the store holds, whether it is still good or not.
 * @return APR_SUCCESS (held->token may be NULL), APR_NOTFOUND or MCP_EDOWN
 */
apr_status_t mcp_token_held(mcp_store_t *store, const unsigned char grant_id[MCP_ID_LEN],
                            const mcp_token_want_t *want, mcp_token_held_t *held, apr_pool_t *p);

/** Will it serve for a while yet, so that nobody need think of renewing it? */
int mcp_token_is_fresh(const mcp_token_held_t *held, apr_time_t now);

/** Is it good now? */
int mcp_token_is_good(const mcp_token_held_t *held, apr_time_t now);

/** Id of the record of tokens for other resources. */
#define MCP_TOKEN_OTHERS_LEN (MCP_ID_LEN + 1)
void mcp_token_others_id(const unsigned char grant_id[MCP_ID_LEN],
                         unsigned char id[MCP_TOKEN_OTHERS_LEN]);

/* What the function has besides a token. */
typedef struct {
    const char *token;     /* set on OK; in r->pool */
    const char *challenge; /* of HTTP_UNAUTHORIZED: the provider's claims challenge, NULL when there is none */
} mcp_token_had_t;

/**
 * A token that is good now, from the provider where need be: once for all threads, processes and hosts of the store.
 * @return OK; DECLINED: the person's provider is not configured in this server; HTTP_UNAUTHORIZED: the session is over,
 *         and has been ended; HTTP_FORBIDDEN: the provider does not give this token; HTTP_SERVICE_UNAVAILABLE: later
 */
APR_DECLARE_OPTIONAL_FN(int, mcp_oauth_token,
                        (request_rec * r, const unsigned char *grant_id,
                         const mcp_token_want_t *want, mcp_token_had_t *had));

#endif
