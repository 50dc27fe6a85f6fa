/* SPDX-License-Identifier: Apache-2.0 */
/* id_tokens: the provider's keys, verification by cjose, and the claims that are kept. No request, no network. */

#ifndef MCP_ID_TOKEN_H
#define MCP_ID_TOKEN_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <apr_time.h>
#include <jansson.h>

/* A provider's signing keys. Immutable once made, so threads share it. */
typedef struct mcp_jwks_t mcp_jwks_t;

#define MCP_JWKS_KEYS_MAX 100

/**
 * Read a JWK set (RFC 7517). Keys that cannot verify a signature that we accept are passed over: other types, other
 * uses, RSA below 2048 bits. Private members are never read.
 * @return NULL with *why set when it is no JWK set or has no key for us
 */
mcp_jwks_t *mcp_jwks_parse(apr_pool_t *p, const char *text, apr_size_t len, const char **why);

/** How many keys were taken. */
int mcp_jwks_count(const mcp_jwks_t *keys);

/* What a token has to say to be believed. */
typedef struct {
    const char *issuer;    /* byte for byte, after MCP_TENANT_MARK in it was replaced by the token's tid */
    int key_issuers;       /* keys that name an issuer sign for that one only (E1) */
    const char *client_id; /* audience */
    const char *nonce;     /* NULL: not looked at (a refresh) */
    const char *subject;   /* NULL: any; else it must be this one */
    int logout;            /* a logout token: of a type of its own, with the event, jti and no nonce; sub or sid */
    int assertion;         /* a client's assertion (RFC 7523): iat may be missing, and it has a type of its own */
    apr_time_t now;
} mcp_id_token_expected_t;

#define MCP_ID_TOKEN_MAX 65536
#define MCP_LOGOUT_EVENT "http://schemas.openid.net/event/backchannel-logout"
#define MCP_LOGOUT_AGE 3600          /* seconds: an older logout token is refused, so that its jti need not be kept longer */
#define MCP_TENANT_MARK "{tenantid}" /* what Entra writes into issuers that stand for many */

/** Is @a text a GUID in its usual form? */
int mcp_is_guid(const char *text);

/** @a template with MCP_TENANT_MARK replaced by @a tid; NULL when it is there and @a tid is no GUID. */
const char *mcp_tenant_issuer(apr_pool_t *p, const char *template, const char *tid);

#define MCP_ID_TOKEN_SKEW 300 /* seconds that clocks may differ */

/**
 * Verify a token (OpenID Connect Core 3.1.3.7): signature by a fitting key, alg from a fixed list that holds neither
 * "none" nor HMAC (RFC 8725 3.1, 3.2), iss, aud and azp, exp, nbf, iat, nonce, sub.
 * @param claims  set on success; released when @a p is cleared
 * @param why  set on failure: text for the log, safe to print
 * @return APR_SUCCESS; APR_NOTFOUND: signed by a key that we do not have (the caller may fetch the keys anew);
 *         APR_EINVAL: not to be believed
 */
apr_status_t mcp_id_token_verify(apr_pool_t *p, const char *token, const mcp_jwks_t *keys,
                                 const mcp_id_token_expected_t *expected, json_t **claims, const char **why);

/** The `sub` that a JWT claims, before anything is believed of it: it only says whose keys to try. NULL when it is none. */
const char *mcp_jwt_claimed_subject(apr_pool_t *p, const char *token);

/* Member of the kept claims that names the claims whose value is not there although the person has one: too large for
 * us, or left out by the provider (Entra's groups overage, E9). Whoever decides by such a claim must not read its
 * absence as "none". Never a claim of a token: one of this name is not kept. */
#define MCP_CLAIMS_OVERAGE "mcp_overage"

#define MCP_CLAIM_NAMES_MAX 600 /* bytes of all claim names together, quotes and commas included */

/**
 * The claims that are kept for policy: those called in @a names (const char *), as compact JSON text of at most
 * @a max bytes. Objects and null are not kept. What does not fit is named in MCP_CLAIMS_OVERAGE, the later
 * names first.
 */
char *mcp_claims_filter(apr_pool_t *p, const json_t *claims, const apr_array_header_t *names, apr_size_t max);

/** Bytes that @a names would take in MCP_CLAIMS_OVERAGE, at most MCP_CLAIM_NAMES_MAX for mcp_claims_filter(). */
apr_size_t mcp_claims_names_size(const apr_array_header_t *names);

/**
 * What names a person for ever: the claims called in @a names (const char *; NULL: sub), strings or integers, joined by
 * slashes and percent-encoded where there are several.
 * @return NULL with *why set when one is missing
 */
const char *mcp_claims_subject(apr_pool_t *p, const json_t *claims, const apr_array_header_t *names, const char **why);

/** @a wanted (may be NULL), else preferred_username, email, name or sub; at most 256 bytes, cut at a character. */
const char *mcp_claims_username(apr_pool_t *p, const json_t *claims, const char *wanted);

#endif
