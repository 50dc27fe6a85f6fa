/* SPDX-License-Identifier: Apache-2.0 */
/* The grant record and the access token: their binary forms, and the record's way in and out of the store. */

#include <string.h>

#include "mcp_grant.h"
#include "mcp_bytes.h"
#include "mcp_seal.h"
#include "mcp_upstream_token.h"

#define GRANT_VERSION 1
#define GRANT_FIXED_LEN (1 + 1 + 4 + 8 + 8 + 8)
#define GRANT_STRINGS 7
#define TOKEN_VERSION 1
#define TOKEN_LEN (1 + MCP_ID_LEN + 4 + 8 + 16)

/* Where hosts that share a store tell each other of revocations (mcp_revocation_note). It may be lost before its
 * time: whoever reads it takes a missing mark for a new one. */
static const char REVOCATION_ID[] = "revocations";
#define REVOCATION_MARK_LEN 8
#define REVOCATION_LIFETIME apr_time_from_sec(86400)

void mcp_resource_hash(const char *resource, unsigned char out[16])
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(resource, strlen(resource), digest);
    memcpy(out, digest, 16);
}

char *mcp_client_key(apr_pool_t *p, const char *client_id)
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(client_id, strlen(client_id), digest);
    return mcp_b64url_encode(p, digest, 16);
}

char *mcp_access_token_issue(apr_pool_t *p, const mcp_keyring_t *ring, const mcp_grant_t *grant,
                             apr_time_t expires)
{
    unsigned char plain[TOKEN_LEN];
    unsigned char *at = plain;

    *at++ = TOKEN_VERSION;
    memcpy(at, grant->id, MCP_ID_LEN);
    at = mcp_put_number(at + MCP_ID_LEN, grant->generation, 4);
    at = mcp_put_time(at, expires, MCP_SECONDS);
    mcp_resource_hash(grant->resource, at);
    return mcp_seal(p, ring, MCP_PURPOSE_ACCESS, plain, sizeof(plain));
}

apr_status_t mcp_access_token_open(apr_pool_t *p, const mcp_keyring_t *ring, const char *token, apr_time_t now,
                                   const unsigned char resource_hash[16], mcp_access_token_t *out)
{
    unsigned char *plain;
    apr_size_t len;
    const unsigned char *at;

    if (mcp_unseal(p, ring, MCP_PURPOSE_ACCESS, token, &plain, &len) != APR_SUCCESS || len != TOKEN_LEN
        || plain[0] != TOKEN_VERSION) {
        return APR_EINVAL;
    }
    at = plain + 1;
    memcpy(out->grant_id, at, MCP_ID_LEN);
    at += MCP_ID_LEN;
    out->generation = (apr_uint32_t)mcp_get_number(at, 4);
    out->expires = mcp_get_time(at + 4, MCP_SECONDS);
    memcpy(out->resource_hash, at + 12, 16);

    if (out->expires <= now) {
        return APR_TIMEUP;
    }
    /* Neither side is secret here: the hash of a public URI, inside an authentic token. */
    if (memcmp(out->resource_hash, resource_hash, 16) != 0) {
        return APR_EMISMATCH;
    }
    return APR_SUCCESS;
}

/* The record's strings in the order in which they are written. */
static const char **grant_string(mcp_grant_t *grant, int i)
{
    const char **const strings[GRANT_STRINGS] = {
        &grant->subject,
        &grant->client_key,
        &grant->client_name,
        &grant->scope,
        &grant->resource,
        &grant->username,
        &grant->claims,
    };

    return strings[i];
}

void mcp_grant_encode(apr_pool_t *p, const mcp_grant_t *grant, unsigned char **out, apr_size_t *len)
{
    mcp_grant_t copy = *grant;
    apr_size_t lengths[GRANT_STRINGS];
    apr_size_t total = GRANT_FIXED_LEN;
    unsigned char *at;
    int i;

    for (i = 0; i < GRANT_STRINGS; i++) {
        const char *s = *grant_string(&copy, i);

        lengths[i] = s ? strlen(s) : 0;
        if (lengths[i] > 65535) {
            lengths[i] = 65535;
        }
        total += 2 + lengths[i];
    }
    at = *out = apr_palloc(p, total);
    *len = total;

    *at++ = GRANT_VERSION;
    *at++ = grant->flags;
    at = mcp_put_number(at, grant->generation, 4);
    at = mcp_put_time(at, grant->issued, MCP_MILLISECONDS);
    at = mcp_put_time(at, grant->expires, MCP_SECONDS);
    at = mcp_put_time(at, grant->access_expires, MCP_SECONDS);
    for (i = 0; i < GRANT_STRINGS; i++) {
        *at++ = (unsigned char)(lengths[i] >> 8);
        *at++ = (unsigned char)lengths[i];
        if (lengths[i]) {
            memcpy(at, *grant_string(&copy, i), lengths[i]);
            at += lengths[i];
        }
    }
}

apr_status_t mcp_grant_decode(apr_pool_t *p, const unsigned char *data, apr_size_t len, mcp_grant_t *grant)
{
    const unsigned char *at = data;
    const unsigned char *end = data + len;
    char *text;
    int i;

    if (len < GRANT_FIXED_LEN || at[0] != GRANT_VERSION) {
        return APR_EINVAL;
    }
    grant->flags = at[1];
    grant->generation = (apr_uint32_t)mcp_get_number(at + 2, 4);
    grant->issued = mcp_get_time(at + 6, MCP_MILLISECONDS);
    grant->expires = mcp_get_time(at + 14, MCP_SECONDS);
    grant->access_expires = mcp_get_time(at + 22, MCP_SECONDS);
    at += GRANT_FIXED_LEN;

    /* One allocation holds all strings: each loses two bytes of length and gains a NUL. */
    text = apr_palloc(p, len);
    for (i = 0; i < GRANT_STRINGS; i++) {
        apr_size_t n;

        if (end - at < 2) {
            return APR_EINVAL;
        }
        n = ((apr_size_t)at[0] << 8) | at[1];
        at += 2;
        if ((apr_size_t)(end - at) < n) {
            return APR_EINVAL;
        }
        memcpy(text, at, n);
        text[n] = '\0';
        *grant_string(grant, i) = text;
        text += n + 1;
        at += n;
    }
    return at == end ? APR_SUCCESS : APR_EINVAL;
}

apr_status_t mcp_grant_put(mcp_store_t *store, const mcp_grant_t *grant, apr_pool_t *p)
{
    unsigned char *data;
    apr_size_t len;

    mcp_grant_encode(p, grant, &data, &len);
    return mcp_store_put(store, MCP_KIND_GRANT, grant->id, MCP_ID_LEN, grant->expires, data, len, p);
}

apr_status_t mcp_grant_get(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], mcp_grant_t *grant,
                           apr_pool_t *p)
{
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv;

    rv = mcp_store_get(store, MCP_KIND_GRANT, id, MCP_ID_LEN, &data, &len, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    memcpy(grant->id, id, MCP_ID_LEN);
    /* An authentic record of another version is of no use to us: as good as gone. */
    return mcp_grant_decode(p, data, len, grant) == APR_SUCCESS ? APR_SUCCESS : APR_NOTFOUND;
}

apr_status_t mcp_revocation_note(mcp_store_t *store, apr_pool_t *p)
{
    unsigned char mark[REVOCATION_MARK_LEN];

    if (!mcp_store_is_shared(store)) {
        return APR_SUCCESS;
    }
    mcp_random(mark, sizeof(mark));
    return mcp_store_put(store, MCP_KIND_EPOCH, REVOCATION_ID, sizeof(REVOCATION_ID) - 1,
                         apr_time_now() + REVOCATION_LIFETIME, mark, sizeof(mark), p);
}

apr_status_t mcp_revocation_last(mcp_store_t *store, unsigned char mark[8], apr_pool_t *p)
{
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv;

    memset(mark, 0, REVOCATION_MARK_LEN);
    rv = mcp_store_get(store, MCP_KIND_EPOCH, REVOCATION_ID, sizeof(REVOCATION_ID) - 1, &data, &len, p);
    if (rv == APR_SUCCESS && len == REVOCATION_MARK_LEN) {
        memcpy(mark, data, len);
    }
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

apr_status_t mcp_grant_revoke(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], apr_time_t until,
                              apr_pool_t *p)
{
    mcp_grant_t tombstone;
    unsigned char others[MCP_TOKEN_OTHERS_LEN];
    apr_status_t rv;
    apr_status_t removed, more;

    memset(&tombstone, 0, sizeof(tombstone));
    memcpy(tombstone.id, id, MCP_ID_LEN);
    tombstone.flags = MCP_GRANT_REVOKED;
    tombstone.issued = apr_time_now();
    tombstone.expires = until;

    rv = mcp_grant_put(store, &tombstone, p);
    if (rv == APR_EINVAL) {
        /* Nothing that could restore the grant lives any longer: plain removal is enough. */
        rv = mcp_store_remove(store, MCP_KIND_GRANT, id, MCP_ID_LEN, p);
        if (rv == APR_NOTFOUND) {
            rv = APR_SUCCESS;
        }
    }
    removed = mcp_store_remove(store, MCP_KIND_UPSTREAM, id, MCP_ID_LEN, p);
    mcp_token_others_id(id, others);
    more = mcp_store_remove(store, MCP_KIND_UPSTREAM, others, sizeof(others), p);
    removed = more == MCP_EDOWN ? more : removed;
    mcp_store_invalidate(store);
    if (rv == APR_SUCCESS) {
        rv = mcp_revocation_note(store, p);
    }
    if (rv == APR_SUCCESS && removed != APR_NOTFOUND) {
        rv = removed;
    }
    return rv;
}
