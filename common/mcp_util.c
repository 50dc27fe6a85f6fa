/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers that everything else stands on. */

#include "mcp_util.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include "mcp_crypto.h"

static const char b64url_alphabet[] = MCP_B64URL_CHARS;

void mcp_b64url_write(char *out, const void *data, apr_size_t len)
{
    const unsigned char *in = data;

    for (; len >= 3; len -= 3, in += 3) {
        *out++ = b64url_alphabet[in[0] >> 2];
        *out++ = b64url_alphabet[(in[0] & 3) << 4 | in[1] >> 4];
        *out++ = b64url_alphabet[(in[1] & 15) << 2 | in[2] >> 6];
        *out++ = b64url_alphabet[in[2] & 63];
    }
    if (len) {
        unsigned second = len == 2 ? in[1] : 0;

        *out++ = b64url_alphabet[in[0] >> 2];
        *out++ = b64url_alphabet[(in[0] & 3) << 4 | second >> 4];
        if (len == 2) {
            *out++ = b64url_alphabet[(second & 15) << 2];
        }
    }
    *out = '\0';
}

char *mcp_b64url_encode(apr_pool_t *p, const void *data, apr_size_t len)
{
    char *text = apr_palloc(p, MCP_B64URL_LEN(len) + 1);

    mcp_b64url_write(text, data, len);
    return text;
}

/* Value of each ASCII character in base64url, -1 for those that are not of it. A table, because each request decodes a
 * token. */
/* clang-format off */
static const signed char b64url_values[128] = {
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
    -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 62, -1, -1,
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, -1, -1, -1, -1, -1, -1,
    -1,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14,
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, -1, -1, -1, -1, 63,
    -1, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40,
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, -1, -1, -1, -1, -1,
};
/* clang-format on */

apr_status_t mcp_b64url_decode(apr_pool_t *p, const char *text, apr_size_t len, unsigned char **out,
                               apr_size_t *out_len)
{
    apr_uint32_t bits = 0;
    int count = 0;
    unsigned char *data, *end;

    if (len % 4 == 1) {
        return APR_EINVAL;
    }
    data = end = apr_palloc(p, len / 4 * 3 + 3);
    for (apr_size_t i = 0; i < len; i++) {
        int value = (text[i] & 0x80) ? -1 : b64url_values[(unsigned char)text[i]];

        if (value < 0) {
            return APR_EINVAL;
        }
        bits = (bits << 6 | (apr_uint32_t)value) & 0xffffff;
        count += 6;
        if (count >= 8) {
            count -= 8;
            *end++ = (unsigned char)(bits >> count);
        }
    }
    if (bits & ((1u << count) - 1)) {
        return APR_EINVAL; /* non-zero trailing bits: a second spelling of the same bytes */
    }
    *end = '\0';
    *out = data;
    *out_len = (apr_size_t)(end - data);
    return APR_SUCCESS;
}

int mcp_b64url_read(apr_pool_t *p, const char *text, void *out, apr_size_t len)
{
    unsigned char *bytes;
    apr_size_t got;

    if (!text || mcp_b64url_decode(p, text, strlen(text), &bytes, &got) != APR_SUCCESS || got != len) {
        return 0;
    }
    memcpy(out, bytes, len);
    return 1;
}

void mcp_sha256(const void *data, apr_size_t len, unsigned char out[MCP_SHA256_LEN])
{
    if (!EVP_Digest(data, len, out, NULL, mcp_crypto_sha256(), NULL)) {
        abort();
    }
}

char *mcp_sha256_b64url(apr_pool_t *p, const char *text)
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(text, strlen(text), digest);
    return mcp_b64url_encode(p, digest, sizeof(digest));
}

void mcp_random(void *buf, apr_size_t len)
{
    if (len > INT_MAX || RAND_bytes(buf, (int)len) != 1) {
        abort();
    }
}

char *mcp_random_b64url(apr_pool_t *p, apr_size_t bytes)
{
    unsigned char *raw = apr_palloc(p, bytes ? bytes : 1);
    char *text;

    mcp_random(raw, bytes);
    text = mcp_b64url_encode(p, raw, bytes);
    OPENSSL_cleanse(raw, bytes);
    return text;
}

int mcp_secret_equal(const char *a, const char *b)
{
    apr_size_t len;

    if (!a || !b) {
        return 0;
    }
    len = strlen(a);
    return len == strlen(b) && CRYPTO_memcmp(a, b, len) == 0;
}

const char *mcp_mask(apr_pool_t *p, const char *secret)
{
    apr_size_t len;

    if (!secret) {
        return "(none)";
    }
    len = strlen(secret);
    /* of a short secret, four characters would be most of it */
    return len < 16 ? apr_psprintf(p, "***(%" APR_SIZE_T_FMT ")", len)
                    : apr_psprintf(p, "%s...(%" APR_SIZE_T_FMT ")",
                                   mcp_log_text(p, apr_pstrmemdup(p, secret, 4)), len);
}

/* What is sealed here, wherever a confused client puts it, keeps its purpose and the id of its key: "mcpat.k1...". */
static void cut_sealed(char *text)
{
    for (char *at = text; (at = strstr(at, "mcp")); at += 3) {
        char *kid = at + strspn(at, "abcdefghijklmnopqrstuvwxyz");
        char *value = kid - at == 5 && *kid == '.' ? kid + 1 + strspn(kid + 1, b64url_alphabet) : kid;
        char *end = *value == '.' ? value + 1 + strspn(value + 1, b64url_alphabet) : value;

        if (value > kid && end - value > 3) {
            memcpy(value, "...", 3);
            memmove(value + 3, end, strlen(end) + 1);
        }
    }
}

const char *mcp_log_text(apr_pool_t *p, const char *text)
{
    char *copy;

    if (!text) {
        return "(none)";
    }
    copy = apr_pstrmemdup(p, text, strnlen(text, 128));
    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c > 0x7e || *c == '"' || *c == '\'' || *c == '\\') {
            *c = '?';
        }
    }
    cut_sealed(copy);
    return copy;
}

int mcp_is_header_safe(const char *value)
{
    for (; *value; value++) {
        if (*value < 0x20 || *value > 0x7e) {
            return 0;
        }
    }
    return 1;
}

int mcp_has_control(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < ' ' || *text == 0x7f) {
            return 1;
        }
    }
    return 0;
}

static int in_range(unsigned char c, unsigned char low, unsigned char high)
{
    return c >= low && c <= high;
}

/* Bytes of the character at @a s, 0 when it is malformed: RFC 3629 section 4, so no overlong forms, no surrogates. */
static apr_size_t utf8_len(const unsigned char *s, apr_size_t left)
{
    if (s[0] < 0x80) {
        return 1;
    }
    if (in_range(s[0], 0xc2, 0xdf)) {
        return left > 1 && in_range(s[1], 0x80, 0xbf) ? 2 : 0;
    }
    if (in_range(s[0], 0xe0, 0xef)) {
        return left > 2 && in_range(s[1], s[0] == 0xe0 ? 0xa0 : 0x80, s[0] == 0xed ? 0x9f : 0xbf)
                       && in_range(s[2], 0x80, 0xbf)
                   ? 3
                   : 0;
    }
    if (in_range(s[0], 0xf0, 0xf4)) {
        return left > 3 && in_range(s[1], s[0] == 0xf0 ? 0x90 : 0x80, s[0] == 0xf4 ? 0x8f : 0xbf)
                       && in_range(s[2], 0x80, 0xbf) && in_range(s[3], 0x80, 0xbf)
                   ? 4
                   : 0;
    }
    return 0;
}

int mcp_is_utf8_bytes(const char *text, apr_size_t len)
{
    const unsigned char *s = (const unsigned char *)text;
    const unsigned char *end = s + len;

    while (s < end) {
        apr_size_t n = utf8_len(s, (apr_size_t)(end - s));

        if (!n) {
            return 0;
        }
        s += n;
    }
    return 1;
}

int mcp_is_utf8(const char *text)
{
    return mcp_is_utf8_bytes(text, strlen(text));
}

/* The next token of a space-separated list; *len is 0 at the end. */
static const char *next_token(const char *list, apr_size_t *len)
{
    list += strspn(list, " ");
    *len = strcspn(list, " ");
    return list;
}

static int list_has(const char *list, const char *item, apr_size_t item_len)
{
    apr_size_t len;

    for (list = next_token(list, &len); len; list = next_token(list + len, &len)) {
        if (len == item_len && !memcmp(list, item, len)) {
            return 1;
        }
    }
    return 0;
}

int mcp_list_has(const char *list, const char *item)
{
    return list && item && *item && list_has(list, item, strlen(item));
}

const char *mcp_list_intersect(apr_pool_t *p, const char *want, const char *have)
{
    char *result, *end;
    apr_size_t len;

    if (!want || !have) {
        return "";
    }
    result = end = apr_palloc(p, strlen(want) + 1);
    *end = '\0';
    for (want = next_token(want, &len); len; want = next_token(want + len, &len)) {
        if (list_has(have, want, len) && !list_has(result, want, len)) {
            if (end != result) {
                *end++ = ' ';
            }
            memcpy(end, want, len);
            end += len;
            *end = '\0';
        }
    }
    return result;
}

int mcp_scope_valid(const char *scope)
{
    int in_token = 0;

    if (!*scope) {
        return 1;
    }
    for (; *scope; scope++) {
        if (*scope == ' ') {
            if (!in_token) {
                return 0;
            }
            in_token = 0;
        }
        else if (*scope < 0x21 || *scope > 0x7e || *scope == '"' || *scope == '\\') {
            return 0; /* scope-token = 1*( %x21 / %x23-5B / %x5D-7E ) */
        }
        else {
            in_token = 1;
        }
    }
    return in_token;
}

const char *mcp_file_error(apr_pool_t *p, apr_status_t rv)
{
    char reason[120];

    return apr_pstrcat(p, apr_strerror(rv, reason, sizeof(reason)),
                       !APR_STATUS_IS_EACCES(rv) ? ""
                       : geteuid()               ? " (this is not root, who reads it when httpd starts)"
                                                 : " (to root, so SELinux, AppArmor or systemd refuses it: docs/install.md)",
                       NULL);
}

const char *mcp_read_file(apr_pool_t *p, const char *path, apr_size_t max, char **text, apr_size_t *len)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t got = 0;
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE, p); /* first: opening a pipe would wait for its writer */

    *text = NULL;
    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        return apr_psprintf(p, "%s is no regular file", path);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_OS_DEFAULT, p);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "%s cannot be read: %pm", path, &rv);
    }
    *text = apr_palloc(p, max + 2);
    rv = apr_file_read_full(file, *text, max + 1, &got);
    apr_file_close(file);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return apr_psprintf(p, "%s cannot be read: %pm", path, &rv);
    }
    if (got > max) {
        return apr_psprintf(p, "%s is larger than %" APR_SIZE_T_FMT " bytes", path, max);
    }
    (*text)[got] = '\0';
    if (len) {
        *len = got;
    }
    return NULL;
}
