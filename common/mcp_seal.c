/* SPDX-License-Identifier: Apache-2.0 */
/* AES-256-GCM sealing, in a text form for tokens and cookies and a raw form for records. */

#include "mcp_seal.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "mcp_crypto.h"
#include "mcp_json.h"
#include "mcp_util.h"

#define NONCE_LEN 12
#define TAG_LEN 16
#define CRYPT_OVERHEAD (NONCE_LEN + TAG_LEN)
#define PLAIN_MAX (1 << 24) /* far above anything we seal; keeps lengths within int */

/* What is authenticated beside the ciphertext: prefix 0x00 kid 0x00 context. */
typedef struct {
    const char *prefix;
    const char *kid;
    apr_size_t kid_len;
    const void *context;
    apr_size_t context_len;
} aad_t;

/* Feed the associated data to a context that has key and nonce. */
static int add_aad(EVP_CIPHER_CTX *ctx, const aad_t *aad)
{
    char head[8 + MCP_KID_MAX + 2];
    apr_size_t prefix_len = strlen(aad->prefix);
    int head_len = (int)(prefix_len + aad->kid_len + 2);
    int unused;

    memcpy(head, aad->prefix, prefix_len + 1);
    memcpy(head + prefix_len + 1, aad->kid, aad->kid_len);
    head[head_len - 1] = '\0';
    return EVP_CipherUpdate(ctx, NULL, &unused, (unsigned char *)head, head_len) == 1
           && (!aad->context_len || EVP_CipherUpdate(ctx, NULL, &unused, aad->context, (int)aad->context_len) == 1);
}

/* out = nonce | ciphertext | tag. There is no safe answer to a failure of the crypto library. */
static void encrypt(const unsigned char *key, const aad_t *aad, const void *plain, apr_size_t len,
                    unsigned char *out)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    int done, rest;

    mcp_random(out, NONCE_LEN);
    if (len > PLAIN_MAX || !ctx || EVP_EncryptInit_ex(ctx, mcp_crypto_aes_256_gcm(), NULL, key, out) != 1
        || !add_aad(ctx, aad) || EVP_CipherUpdate(ctx, out + NONCE_LEN, &done, plain, (int)len) != 1
        || EVP_CipherFinal_ex(ctx, out + NONCE_LEN + done, &rest) != 1
        || EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, out + NONCE_LEN + len) != 1) {
        abort();
    }
    EVP_CIPHER_CTX_free(ctx);
}

/* The plaintext in @a p, NUL-terminated, or NULL when data, key and associated data do not belong together. */
static unsigned char *decrypt(apr_pool_t *p, const unsigned char *key, const aad_t *aad, const unsigned char *data,
                              apr_size_t len, apr_size_t *plain_len)
{
    mcp_opener_t *opener;
    unsigned char tag[TAG_LEN];
    unsigned char *plain;
    int done = 0, rest = 0, ok;

    if (len < CRYPT_OVERHEAD || len > PLAIN_MAX) {
        return NULL;
    }
    opener = mcp_opener_take(key);
    if (!opener) {
        return NULL;
    }
    *plain_len = len - CRYPT_OVERHEAD;
    plain = apr_palloc(p, *plain_len + 1);
    memcpy(tag, data + len - TAG_LEN, TAG_LEN);
    ok = EVP_DecryptInit_ex(opener->ctx, NULL, NULL, NULL, data) == 1 && add_aad(opener->ctx, aad)
         && EVP_CipherUpdate(opener->ctx, plain, &done, data + NONCE_LEN, (int)*plain_len) == 1
         && EVP_CIPHER_CTX_ctrl(opener->ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1
         && EVP_CipherFinal_ex(opener->ctx, plain + done, &rest) == 1;
    mcp_opener_give(opener);
    if (!ok) {
        OPENSSL_cleanse(plain, *plain_len); /* what came out before the tag was checked means nothing */
        return NULL;
    }
    plain[*plain_len] = '\0';
    return plain;
}

char *mcp_seal(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const void *plain, apr_size_t len)
{
    const char *kid = mcp_keyring_active_kid(ring);
    aad_t aad = { mcp_purpose_prefix(purpose), kid, strlen(kid), NULL, 0 };
    unsigned char *out = apr_palloc(p, len + CRYPT_OVERHEAD);

    encrypt(mcp_keyring_key(ring, purpose, kid, aad.kid_len), &aad, plain, len, out);
    return apr_pstrcat(p, aad.prefix, ".", kid, ".", mcp_b64url_encode(p, out, len + CRYPT_OVERHEAD), NULL);
}

apr_status_t mcp_unseal(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const char *text,
                        unsigned char **plain, apr_size_t *plain_len)
{
    const char *prefix = mcp_purpose_prefix(purpose);
    apr_size_t prefix_len = strlen(prefix), len;
    const char *kid, *dot;
    const unsigned char *key;
    unsigned char *data;
    aad_t aad = { prefix, NULL, 0, NULL, 0 };

    if (!text || strncmp(text, prefix, prefix_len) || text[prefix_len] != '.') {
        return APR_EINVAL;
    }
    kid = text + prefix_len + 1;
    dot = memchr(kid, '.', strnlen(kid, MCP_KID_MAX + 1));
    if (!dot) {
        return APR_EINVAL;
    }
    aad.kid = kid;
    aad.kid_len = (apr_size_t)(dot - kid);
    key = mcp_keyring_key(ring, purpose, kid, aad.kid_len);
    if (!key || mcp_b64url_decode(p, dot + 1, strlen(dot + 1), &data, &len) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    *plain = decrypt(p, key, &aad, data, len, plain_len);
    return *plain ? APR_SUCCESS : APR_EINVAL;
}

void mcp_seal_raw(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const void *context,
                  apr_size_t context_len, const void *plain, apr_size_t len, unsigned char **out,
                  apr_size_t *out_len)
{
    const char *kid = mcp_keyring_active_kid(ring);
    aad_t aad = { mcp_purpose_prefix(purpose), kid, strlen(kid), context, context_len };
    unsigned char *data = apr_palloc(p, 1 + aad.kid_len + len + CRYPT_OVERHEAD);

    data[0] = (unsigned char)aad.kid_len;
    memcpy(data + 1, kid, aad.kid_len);
    encrypt(mcp_keyring_key(ring, purpose, kid, aad.kid_len), &aad, plain, len, data + 1 + aad.kid_len);
    *out = data;
    *out_len = 1 + aad.kid_len + len + CRYPT_OVERHEAD;
}

apr_status_t mcp_unseal_raw(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const void *context,
                            apr_size_t context_len, const void *data_, apr_size_t len, unsigned char **plain,
                            apr_size_t *plain_len)
{
    const unsigned char *data = data_;
    aad_t aad = { mcp_purpose_prefix(purpose), NULL, 0, context, context_len };
    const unsigned char *key;

    if (!len || data[0] < 1 || data[0] > MCP_KID_MAX || len < 1 + (apr_size_t)data[0]) {
        return APR_EINVAL;
    }
    aad.kid = (const char *)data + 1;
    aad.kid_len = data[0];
    key = mcp_keyring_key(ring, purpose, aad.kid, aad.kid_len);
    if (!key) {
        return APR_EINVAL;
    }
    *plain = decrypt(p, key, &aad, data + 1 + aad.kid_len, len - 1 - aad.kid_len, plain_len);
    return *plain ? APR_SUCCESS : APR_EINVAL;
}

char *mcp_seal_json(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, json_t *object,
                    apr_time_t expires)
{
    const char *text;

    if (!expires) {
        json_object_del(object, "exp");
    }
    else if (object && json_object_set_new(object, "exp", json_integer((json_int_t)apr_time_sec(expires)))) {
        abort(); /* no memory: sealing it without its expiry would make it live for ever */
    }
    text = mcp_json_text(p, object);
    return mcp_seal(p, ring, purpose, text, strlen(text));
}

apr_status_t mcp_unseal_json(apr_pool_t *p, const mcp_keyring_t *ring, mcp_purpose_e purpose, const char *text,
                             apr_time_t now, json_t **object)
{
    unsigned char *plain;
    apr_size_t len;
    json_t *exp;

    if (mcp_unseal(p, ring, purpose, text, &plain, &len) != APR_SUCCESS) {
        return APR_EINVAL;
    }
    *object = mcp_json_parse(p, (const char *)plain, len, len);
    if (!*object) {
        return APR_EINVAL;
    }
    exp = json_object_get(*object, "exp");
    if (!exp) {
        return APR_SUCCESS; /* sealed as never expiring */
    }
    if (!json_is_integer(exp)) {
        return APR_EINVAL;
    }
    return json_integer_value(exp) > (json_int_t)apr_time_sec(now) ? APR_SUCCESS : APR_TIMEUP;
}
