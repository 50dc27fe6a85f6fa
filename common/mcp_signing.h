/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own signing keys (MCPSigningKey): the first one signs, all of them are published.
 */

#ifndef MCP_SIGNING_H
#define MCP_SIGNING_H

#include <httpd.h>

#include "mcp_jws.h"

/** Check the key of a reference as far as configtest may: a file is read, a command is not run.
 * NULL or why not. */
const char *mcp_signing_check(apr_pool_t *p, const char *ref);

/**
 * post_config duty of each module: read the keys.
 * @param refs  const char *, or NULL for none
 * @return APR_SUCCESS, or an error that is logged already
 */
apr_status_t mcp_signing_open(const apr_array_header_t *refs, server_rec *s, apr_pool_t *pconf);

/** The key that signs, NULL without any. */
const mcp_signer_t *mcp_signing_key(void);

/** All public keys as a JWK set; the caller owns the reference. */
json_t *mcp_signing_jwks(apr_pool_t *p);

#endif
