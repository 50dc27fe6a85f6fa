/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches SHA-256 and AES-256-GCM once for each child. */

#include "mcp_crypto.h"

/* Written while the child has one thread, never after. Never freed: a fetch only counts a reference to what the library
 * keeps anyway, and threads may still be at work when the child's pool goes. */
static EVP_MD *sha256;
static EVP_CIPHER *aes_256_gcm;

void mcp_crypto_child_init(void)
{
    if (!sha256) {
        sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    }
    if (!aes_256_gcm) {
        aes_256_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
    }
}

const EVP_MD *mcp_crypto_sha256(void)
{
    return sha256 ? sha256 : EVP_sha256();
}

const EVP_CIPHER *mcp_crypto_aes_256_gcm(void)
{
    return aes_256_gcm ? aes_256_gcm : EVP_aes_256_gcm();
}
