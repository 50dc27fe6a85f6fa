/* SPDX-License-Identifier: Apache-2.0 */
/* The algorithms of mcp_sha256() and mcp_seal(), fetched once for each child.
 *
 * OpenSSL 3 looks EVP_sha256() and EVP_aes_256_gcm() up in its providers on each use, which costs as much as the work
 * itself on inputs of our size. The fetch waits for child_init, so that it obeys whatever mod_ssl made of the library
 * in post_config (SSLFIPS). Before that, and in programs that never call it, the look-up on each use remains.
 */

#ifndef MCP_CRYPTO_H
#define MCP_CRYPTO_H

#include <openssl/evp.h>

/** child_init duty of each module, since each has a copy of this library of its own. */
void mcp_crypto_child_init(void);

const EVP_MD *mcp_crypto_sha256(void);
const EVP_CIPHER *mcp_crypto_aes_256_gcm(void);

#endif
