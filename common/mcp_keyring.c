/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the key file and derives one AES-256 key a purpose from each master key. */

#include "mcp_keyring.h"

#include <stdlib.h>
#include <string.h>

#include <apr_file_io.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "mcp_util.h"

#define MASTER_LEN 32
#define KEY_FILE_MAX 65536
#define KEYS_MAX 64

static const char *const prefixes[MCP_PURPOSE_COUNT] = {
    "mcpat", "mcprt", "mcpac", "mcpci", "mcpcf", "mcptx", "mcpcc", "mcpls", "mcpst", "mcpms", "mcpau", "mcpch", "mcpfa",
    "mcpfp", "mcplg"
};

typedef struct {
    char kid[MCP_KID_MAX + 1];
    apr_size_t kid_len;
    unsigned char keys[MCP_PURPOSE_COUNT][32];
} mcp_key_t;

struct mcp_keyring_t {
    int count;
    mcp_key_t keys[KEYS_MAX];
};

static apr_status_t wipe(void *ring)
{
    OPENSSL_cleanse(ring, sizeof(mcp_keyring_t));
    return APR_SUCCESS;
}

/* HKDF-SHA256 (RFC 5869) without salt: the master key is uniformly random. */
static int derive(const unsigned char *master, mcp_purpose_e purpose, unsigned char out[32])
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
    char digest[] = "SHA256";
    char info[16];
    OSSL_PARAM params[4];
    int ok;

    apr_snprintf(info, sizeof(info), "mcp1 %s", prefixes[purpose]);
    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0);
    params[1] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)master, MASTER_LEN);
    params[2] = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, strlen(info));
    params[3] = OSSL_PARAM_construct_end();
    ok = ctx && EVP_KDF_derive(ctx, out, 32, params) > 0;
    EVP_KDF_CTX_free(ctx);
    EVP_KDF_free(kdf);
    return ok;
}

/* Standard or URL-safe base64 of exactly 32 bytes, with or without its padding. */
static int decode_master(apr_pool_t *p, const char *text, unsigned char master[MASTER_LEN])
{
    char *copy = apr_pstrdup(p, text);
    apr_size_t len = strlen(copy), raw_len;
    unsigned char *raw;
    int ok = 0;

    if (len == 44 && copy[43] == '=') {
        len = 43;
    }
    for (apr_size_t i = 0; i < len; i++) {
        copy[i] = copy[i] == '+' ? '-' : (copy[i] == '/' ? '_' : copy[i]);
    }
    if (mcp_b64url_decode(p, copy, len, &raw, &raw_len) == APR_SUCCESS) {
        if (raw_len == MASTER_LEN) {
            memcpy(master, raw, MASTER_LEN);
            ok = 1;
        }
        OPENSSL_cleanse(raw, raw_len);
    }
    OPENSSL_cleanse(copy, strlen(copy));
    return ok;
}

/* A key of few different bytes was typed, not drawn: chance gives 32 bytes fewer than 8 values once in 10^24. */
static int is_weak(const unsigned char master[MASTER_LEN])
{
    unsigned char seen[256] = { 0 };
    int distinct = 0;

    for (int i = 0; i < MASTER_LEN; i++) {
        distinct += !seen[master[i]];
        seen[master[i]] = 1;
    }
    return distinct < 8;
}

static int kid_valid(const char *kid)
{
    apr_size_t len = strlen(kid);

    return len >= 1 && len <= MCP_KID_MAX
           && strspn(kid, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-") == len;
}

/* One line, without comment and white space around. Messages name the line's number, never its content. */
static const char *add_key(mcp_keyring_t *ring, char *line, int number, const char *path, apr_pool_t *p)
{
    char *state;
    const char *kid = apr_strtok(line, " \t", &state);
    const char *text = apr_strtok(NULL, " \t", &state);
    unsigned char master[MASTER_LEN];
    mcp_key_t *key = &ring->keys[ring->count];
    const char *error = NULL;

    if (!text || apr_strtok(NULL, " \t", &state)) {
        return apr_psprintf(p, "%s line %d: write `kid base64`, as in: k1 $(openssl rand -base64 32)", path,
                            number);
    }
    if (!kid_valid(kid)) {
        return apr_psprintf(p, "%s line %d: a kid is 1 to %d characters of A-Z a-z 0-9 _ -", path, number,
                            MCP_KID_MAX);
    }
    if (mcp_keyring_key(ring, MCP_PURPOSE_ACCESS, kid, strlen(kid))) {
        return apr_psprintf(p, "%s line %d: kid %s is there twice", path, number, kid);
    }
    if (ring->count == KEYS_MAX) {
        return apr_psprintf(p, "%s: more than %d keys; remove the oldest ones", path, KEYS_MAX);
    }
    if (!decode_master(p, text, master)) {
        error = "is not 32 bytes in base64; make one with: openssl rand -base64 32";
    }
    else if (is_weak(master)) {
        error = "is not random; make one with: openssl rand -base64 32";
    }
    for (int i = 0; !error && i < MCP_PURPOSE_COUNT; i++) {
        if (!derive(master, (mcp_purpose_e)i, key->keys[i])) {
            error = "cannot be used: the crypto library has no HKDF-SHA256";
        }
    }
    OPENSSL_cleanse(master, sizeof(master));
    if (error) {
        return apr_psprintf(p, "%s line %d: the key %s", path, number, error);
    }
    key->kid_len = strlen(kid);
    memcpy(key->kid, kid, key->kid_len + 1);
    ring->count++;
    return NULL;
}

/* The file's text, only if nobody but its owner can touch it. The open file is asked, so that it is the one read. */
static const char *read_private(const char *path, char **text, apr_size_t *len, apr_pool_t *p)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_status_t rv;
    char reason[120];
    const char *error = NULL;

    rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "cannot open key file %s: %s", path, mcp_file_error(p, rv));
    }
    rv = apr_file_info_get(&info, APR_FINFO_SIZE | APR_FINFO_PROT | APR_FINFO_TYPE, file);
    if ((rv != APR_SUCCESS && rv != APR_INCOMPLETE) || info.filetype != APR_REG) {
        error = apr_psprintf(p, "key file %s is not a regular file", path);
    }
    else if (info.protection & (APR_FPROT_GREAD | APR_FPROT_GWRITE | APR_FPROT_WREAD | APR_FPROT_WWRITE)) {
        error = apr_psprintf(p, "key file %s can be read or written by others than its owner: chmod 600 %s", path,
                             path);
    }
    else if (info.size > KEY_FILE_MAX) {
        error = apr_psprintf(p, "key file %s is larger than %d bytes", path, KEY_FILE_MAX);
    }
    else {
        *text = apr_pcalloc(p, (apr_size_t)info.size + 1);
        *len = 0;
        rv = apr_file_read_full(file, *text, (apr_size_t)info.size, len);
        if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
            error = apr_psprintf(p, "cannot read key file %s: %s", path,
                                 apr_strerror(rv, reason, sizeof(reason)));
        }
    }
    apr_file_close(file);
    return error;
}

const char *mcp_keyring_load(mcp_keyring_t **out, const char *path, apr_pool_t *p)
{
    mcp_keyring_t *ring = apr_pcalloc(p, sizeof(*ring));
    char *text = NULL, *line, *next;
    apr_size_t len = 0;
    int number = 0;
    const char *error;

    apr_pool_cleanup_register(p, ring, wipe, apr_pool_cleanup_null);
    error = read_private(path, &text, &len, p);
    for (line = text; !error && line && *line; line = next) {
        char *end = line + strcspn(line, "\r\n");

        next = *end ? end + 1 : end;
        number += *end != '\r'; /* CR LF ends one line, not two */
        *end = '\0';
        line[strcspn(line, "#")] = '\0';
        if (line[strspn(line, " \t")]) {
            error = add_key(ring, line, number, path, p);
        }
    }
    if (text) {
        OPENSSL_cleanse(text, len);
    }
    if (!error && !ring->count) {
        error = apr_psprintf(p, "key file %s holds no key: echo \"k1 $(openssl rand -base64 32)\" > %s", path,
                             path);
    }
    if (error) {
        apr_pool_cleanup_run(p, ring, wipe);
        return error;
    }
    *out = ring;
    return NULL;
}

const char *mcp_keyring_active_kid(const mcp_keyring_t *ring)
{
    return ring->keys[0].kid;
}

const unsigned char *mcp_keyring_key(const mcp_keyring_t *ring, mcp_purpose_e purpose, const char *kid,
                                     apr_size_t kid_len)
{
    for (int i = 0; i < ring->count; i++) {
        if (ring->keys[i].kid_len == kid_len && !memcmp(ring->keys[i].kid, kid, kid_len)) {
            return ring->keys[i].keys[purpose];
        }
    }
    return NULL;
}

const char *mcp_purpose_prefix(mcp_purpose_e purpose)
{
    return prefixes[purpose];
}
