/* SPDX-License-Identifier: Apache-2.0 */
/* Fetches SHA-256 and AES-256-GCM once for each child, and keeps decryption contexts warm. */

#include "mcp_crypto.h"

#include <string.h>

#include <openssl/crypto.h>

#define SETS 64 /* chosen by the key; two keys of one set only displace each other */
#define WAYS 2  /* contexts kept in a set; more are made while more are in use at the same instant */

/* Exchanged atomically; NULL: none, or in use. */
static mcp_opener_t *kept[SETS * WAYS];

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

static void opener_free(mcp_opener_t *opener)
{
    EVP_CIPHER_CTX_free(opener->ctx);
    OPENSSL_clear_free(opener, sizeof(*opener));
}

mcp_opener_t *mcp_opener_take(const unsigned char *key)
{
    mcp_opener_t **set = &kept[key[0] % SETS * WAYS];
    mcp_opener_t *opener;
    int i;

    for (i = 0; i < WAYS; i++) {
        opener = __atomic_exchange_n(&set[i], NULL, __ATOMIC_ACQ_REL);
        if (opener && !CRYPTO_memcmp(opener->key, key, sizeof(opener->key))) {
            return opener;
        }
        if (opener) {
            opener_free(opener);
        }
    }
    opener = OPENSSL_zalloc(sizeof(*opener));
    if (!opener) {
        return NULL;
    }
    memcpy(opener->key, key, sizeof(opener->key));
    opener->ctx = EVP_CIPHER_CTX_new();
    if (!opener->ctx || !EVP_DecryptInit_ex(opener->ctx, mcp_crypto_aes_256_gcm(), NULL, key, NULL)) {
        opener_free(opener);
        return NULL;
    }
    return opener;
}

void mcp_opener_give(mcp_opener_t *opener)
{
    mcp_opener_t **set = &kept[opener->key[0] % SETS * WAYS];
    int i;

    for (i = 0; i < WAYS; i++) {
        mcp_opener_t *none = NULL;

        if (__atomic_compare_exchange_n(&set[i], &none, opener, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) {
            return;
        }
    }
    opener_free(opener);
}
