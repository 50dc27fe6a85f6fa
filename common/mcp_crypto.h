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

/* A decryption context that knows its key, kept from one use to the next: making one and expanding the key costs more
 * than opening a token. Whoever takes it has it alone. */
typedef struct {
    unsigned char key[32];
    EVP_CIPHER_CTX *ctx; /* set the nonce by EVP_DecryptInit_ex(ctx, NULL, NULL, NULL, nonce) */
} mcp_opener_t;

/** For AES-256-GCM with this 32-byte key; NULL when the library fails. Give it back. */
mcp_opener_t *mcp_opener_take(const unsigned char *key);

/** Keep it for the next caller, in whatever state it is. */
void mcp_opener_give(mcp_opener_t *opener);

#endif
