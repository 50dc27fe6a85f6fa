/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed values: AES-256-GCM with purpose and kid bound as associated data.
 *
 *   text form   prefix "." kid "." base64url( nonce[12] | ciphertext | tag[16] )
 *   raw form    kid_len[1] | kid | nonce[12] | ciphertext | tag[16]          (records in the store)
 *   associated data, both forms   prefix 0x00 kid 0x00 context
 */

#ifndef MCP_SEAL_H
#define MCP_SEAL_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>
#include <jansson.h>

#include "mcp_keyring.h"

/** Seal @a len bytes with the active key; text form, NUL-terminated, in @a p. Cannot fail (T42: aborts). */
char *mcp_seal(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose,
               const void *plain, apr_size_t len);

/**
 * Open a text-form value. Any wrong prefix, unknown kid, malformed or altered text gives APR_EINVAL: one answer for
 * all, no oracle.
 * @param plain  set to the plaintext in @a p, NUL-terminated after *plain_len bytes
 */
apr_status_t mcp_unseal(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose,
                        const char *text, unsigned char **plain, apr_size_t *plain_len);

/** Raw form with @a context bound (the store key of a record). *out is in @a p. */
void mcp_seal_raw(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose,
                  const void *context, apr_size_t context_len, const void *plain, apr_size_t len,
                  unsigned char **out, apr_size_t *out_len);

/** Open the raw form; APR_EINVAL on anything that is not exactly ours. */
apr_status_t mcp_unseal_raw(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose,
                            const void *context, apr_size_t context_len,
                            const void *data, apr_size_t len,
                            unsigned char **plain, apr_size_t *plain_len);

/** Bytes that the raw form adds to a plaintext at most. */
#define MCP_SEAL_RAW_OVERHEAD (1 + MCP_KID_MAX + 12 + 16)

/**
 * Seal a JSON object with an absolute expiry: the member "exp" (seconds) is set on @a object. Compact encoding.
 * @param expires  absolute, microseconds; 0 = never expires
 */
char *mcp_seal_json(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, json_t *object,
                    apr_time_t expires);

/**
 * Open a sealed JSON object and check its expiry against @a now.
 * @param object  set on success; released when @a p is cleared, the caller does not decref
 * @return APR_SUCCESS, APR_EINVAL (not ours), APR_TIMEUP (ours, but expired; *object is set all the same)
 */
apr_status_t mcp_unseal_json(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const char *text,
                             apr_time_t now, json_t **object);

#endif
