/* SPDX-License-Identifier: Apache-2.0 */
/* The grant: what a person gave a client, as the small record that the guard reads on each request, and the access
 * token that points to it.
 *
 *   access token, inside the seal (purpose mcpat), 45 bytes
 *   | version[1]=1 | grant id[16] | generation[4] | expires[8] seconds | SHA-256(resource)[0..15] |
 *
 *   grant record, payload in the store; integers big endian, str = length[2] bytes
 *   | version[1]=1 | flags[1] | generation[4] | issued[8] ms | expires[8] s | access expires[8] s |
 *   | str subject | str client_key | str client_name | str scope | str resource | str username | str claims |
 */

#ifndef MCP_GRANT_H
#define MCP_GRANT_H

#include "mcp_store.h"
#include "mcp_util.h"

#define MCP_GRANT_REVOKED 0x01 /* a tombstone: this grant was taken back and must not be restored */

/* Longest encoded grant: str fields are cut off by their writers; claims are bounded by MCP_CLAIMS_MAX. */
#define MCP_CLAIMS_MAX 2048

/* The member of the kept claims that names those that were left out (mod_mcp_oauth/upstream/id_token.h). */
#define MCP_CLAIMS_OVERAGE "mcp_overage"

typedef struct {
    unsigned char id[MCP_ID_LEN];
    unsigned char flags;
    apr_uint32_t generation;   /* counts refreshes; a refresh token of an older generation is a replay */
    apr_time_t issued;         /* when the person consented */
    apr_time_t expires;        /* end of the whole grant */
    apr_time_t access_expires; /* end of its newest access token, by which open streams live on; 0 = unknown */
    const char *subject;       /* stable id at the provider; "provider|sub" */
    const char *client_key;    /* mcp_client_key(client_id): short, stable name of the client */
    const char *client_name;   /* as the client calls itself; untrusted text */
    const char *scope;         /* granted scopes, space-separated */
    const char *resource;      /* canonical URI of the protected resource */
    const char *username;      /* preferred name for people and logs, may be "" */
    const char *claims;        /* JSON object with the identity claims kept for policy, "{}" when none */
} mcp_grant_t;

typedef struct {
    unsigned char grant_id[MCP_ID_LEN];
    apr_uint32_t generation;
    apr_time_t expires;
    unsigned char resource_hash[16];
} mcp_access_token_t;

/** Seal an access token for @a grant that expires at @a expires. Under 512 bytes. */
char *mcp_access_token_issue(apr_pool_t *p, const mcp_keyring_t *ring, const mcp_grant_t *grant,
                             apr_time_t expires);

/**
 * Open an access token and check expiry and audience before anything is looked up (design principle 2).
 * @param resource_hash  mcp_resource_hash() of the resource that is being called
 * @return APR_SUCCESS; APR_EINVAL (not ours); APR_TIMEUP (expired); APR_EMISMATCH (another audience, RS-6)
 */
apr_status_t mcp_access_token_open(apr_pool_t *p, const mcp_keyring_t *ring, const char *token, apr_time_t now,
                                   const unsigned char resource_hash[16], mcp_access_token_t *out);

/** First 16 bytes of SHA-256 of a canonical resource URI. */
void mcp_resource_hash(const char *resource, unsigned char out[16]);

/** Short stable name of a client: base64url of the first 16 bytes of SHA-256(client_id), 22 characters. */
char *mcp_client_key(apr_pool_t *p, const char *client_id);

/** Encode; *out in @a p. Never fails: over-long strings are cut at 65535 bytes. */
void mcp_grant_encode(apr_pool_t *p, const mcp_grant_t *grant, unsigned char **out, apr_size_t *len);

/** Decode; strings point into @a data, which must outlive the grant (they are NUL-terminated copies in @a p). */
apr_status_t mcp_grant_decode(apr_pool_t *p, const unsigned char *data, apr_size_t len, mcp_grant_t *grant);

/** Write the record under grant->id until grant->expires. As mcp_store_put. */
apr_status_t mcp_grant_put(mcp_store_t *store, const mcp_grant_t *grant, apr_pool_t *p);

/** Read it. A tombstone reads as APR_SUCCESS with MCP_GRANT_REVOKED in flags. As mcp_store_get. */
apr_status_t mcp_grant_get(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], mcp_grant_t *grant,
                           apr_pool_t *p);

/**
 * Take a grant back: a tombstone until @a until (the end of its refresh token), upstream tokens removed, cached
 * sessions of this host invalidated, other hosts told (mcp_revocation_note).
 */
apr_status_t mcp_grant_revoke(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], apr_time_t until,
                              apr_pool_t *p);

/**
 * Tell the other hosts that something was taken back: a random mark in a shared store, beside mcp_store_invalidate(),
 * which tells this host. mcp_grant_revoke() does both; so must whatever else takes rights back. As mcp_store_put.
 */
apr_status_t mcp_revocation_note(mcp_store_t *store, apr_pool_t *p);

/** The mark of the last revocation of any host; zeros when there is none. APR_SUCCESS or MCP_EDOWN. */
apr_status_t mcp_revocation_last(mcp_store_t *store, unsigned char mark[8], apr_pool_t *p);

#endif
