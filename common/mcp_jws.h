/* SPDX-License-Identifier: Apache-2.0 */
/* JWTs that we sign ourselves (RFC 7515, RFC 7519), by cjose: assertions to providers and to
 * backends. */

#ifndef MCP_JWS_H
#define MCP_JWS_H

#include <apr_pools.h>
#include <apr_time.h>
#include <jansson.h>

/* A private key that is ready to sign. Immutable once made, so threads share it. */
typedef struct mcp_signer_t mcp_signer_t;

/**
 * Make a signer of a private key in PEM form: RSA of 2048 to 8192 bits, or EC on P-256, P-384 or
 * P-521.
 * @param alg  NULL: by the key, PS256 or ES256, ES384, ES512; else one that fits the key
 * @param certificate  NULL, or PEM text whose first certificate is the key's
 * @param signer  set in @a p
 * @return NULL, or why not: words that follow the name of the key
 */
const char *mcp_signer_make(apr_pool_t *p, const char *key, const char *alg,
                            const char *certificate, const mcp_signer_t **signer);

/** Can it sign by @a alg? */
int mcp_signer_can(const mcp_signer_t *signer, const char *alg);

/** The algorithm that it signs by. */
const char *mcp_signer_alg(const mcp_signer_t *signer);

/** When the certificate expires, 0 without one. */
apr_time_t mcp_signer_not_after(const mcp_signer_t *signer);

/** The thumbprint of the public key (RFC 7638) in base64url. */
const char *mcp_signer_thumbprint(const mcp_signer_t *signer);

/** The public key as a JWK with use, alg and the thumbprint as its kid; released with @a p. */
json_t *mcp_signer_jwk(apr_pool_t *p, const mcp_signer_t *signer);

/**
 * Sign @a claims.
 * @param alg  NULL: that of the signer
 * @param kid  NULL: none in the header
 * @param with_certificate  x5t#S256 in the header, when there is a certificate
 * @return the compact form in @a p, NULL when the library fails
 */
const char *mcp_signer_sign(apr_pool_t *p, const mcp_signer_t *signer, const char *alg,
                            const char *kid, int with_certificate, const json_t *claims);

#endif
