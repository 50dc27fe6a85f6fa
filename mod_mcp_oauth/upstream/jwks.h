/* SPDX-License-Identifier: Apache-2.0 */
/* What jwks.c and id_token.c share: imported keys and the algorithms that we accept. */

#ifndef MCP_JWKS_H
#define MCP_JWKS_H

#include "id_token.h"

#include <cjose/cjose.h>

/* An accepted algorithm. Neither "none" nor HMAC can be among them: a provider's keys are public. */
typedef struct {
    const char *name;
    int kty;            /* cjose_jwk_kty_t */
    int curve;          /* of an EC key (RFC 7518 section 3.4), else CJOSE_JWK_EC_INVALID */
    apr_size_t sig_len; /* of an ECDSA signature, else 0 */
} mcp_alg_t;

typedef struct {
    const char *kid;    /* NULL when it has none */
    const char *alg;    /* NULL when it has none */
    const char *issuer; /* whose tokens it may sign, NULL when it does not say (Entra, E1) */
    cjose_jwk_t *jwk;
    cjose_jwk_kty_t kty;
    int curve;
} mcp_jwk_t;

struct mcp_jwks_t {
    mcp_jwk_t *keys;
    int count;
};

/** The algorithm called @a name if we accept it, else NULL. */
const mcp_alg_t *mcp_alg_find(const char *name);

/** May @a key verify a token with this alg and kid? Without a kid all keys of the right kind may. */
int mcp_jwk_fits(const mcp_jwk_t *key, const mcp_alg_t *alg, const char *kid);

#endif
