/* SPDX-License-Identifier: Apache-2.0 */
/* Small helpers that everything else stands on: base64url, hashes, random bytes, constant-time compare, masks. */

#ifndef MCP_UTIL_H
#define MCP_UTIL_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_time.h>

#define MCP_SHA256_LEN 32
#define MCP_ID_LEN 16 /* bytes of a grant, code or transaction id: 128 random bits */

/** The alphabet of base64url (RFC 4648 section 5), in the order of its values. */
#define MCP_B64URL_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

/** Encode @a len bytes as unpadded base64url (RFC 4648 section 5), NUL-terminated, in @a p. */
char *mcp_b64url_encode(apr_pool_t *p, const void *data, apr_size_t len);

/** The same into @a out, of MCP_B64URL_LEN(len) + 1 bytes, where there is no pool. */
void mcp_b64url_write(char *out, const void *data, apr_size_t len);
#define MCP_B64URL_LEN(len) ((4 * (len) + 2) / 3)

/**
 * Decode unpadded base64url. Strict: padding, white space, other alphabets, an impossible length and
 * non-zero trailing bits are refused, so that one value has exactly one spelling.
 * @return APR_SUCCESS or APR_EINVAL; *out is allocated in @a p and NUL-terminated after *out_len bytes.
 */
apr_status_t mcp_b64url_decode(apr_pool_t *p, const char *text, apr_size_t len,
                               unsigned char **out, apr_size_t *out_len);

/** Decode @a text if it stands for exactly @a len bytes, into @a out. 1, or 0 also for NULL. As strict as the other. */
int mcp_b64url_read(apr_pool_t *p, const char *text, void *out, apr_size_t len);

/** SHA-256 of @a data into @a out. Failure of the crypto library aborts the process: there is no safe answer. */
void mcp_sha256(const void *data, apr_size_t len, unsigned char out[MCP_SHA256_LEN]);

/** base64url(SHA-256(text)): PKCE's S256 (RFC 7636 section 4.2) and our short names for long values. */
char *mcp_sha256_b64url(apr_pool_t *p, const char *text);

/** Fill @a buf from the CSPRNG. Failure is fatal (T42): aborts the process. */
void mcp_random(void *buf, apr_size_t len);

/** A fresh random value of @a bytes bytes as base64url. 32 bytes give 43 characters (RFC 7636 verifier). */
char *mcp_random_b64url(apr_pool_t *p, apr_size_t bytes);

/** Constant-time comparison of two strings; only their lengths leak. NULL equals nothing. */
int mcp_secret_equal(const char *a, const char *b);

/** First four characters and the length: the only form in which a secret may appear in a log (T45). */
const char *mcp_mask(apr_pool_t *p, const char *secret);

/** Text for a log line: at most 128 characters; control bytes, quotes and backslashes replaced, sealed values cut (T45). */
const char *mcp_log_text(apr_pool_t *p, const char *text);

/** True when every byte is visible ASCII or space, and none is CR, LF or NUL (header injection). */
int mcp_is_header_safe(const char *value);

/** True when @a text holds a control character of ASCII. */
int mcp_has_control(const char *text);

/** True when @a text is well-formed UTF-8 (RFC 3629): no overlong forms, no surrogates. */
int mcp_is_utf8(const char *text);

/** The same of @a len bytes. */
int mcp_is_utf8_bytes(const char *text, apr_size_t len);

/** What a hexadecimal digit stands for, -1 for other characters. */
static inline int mcp_hex_value(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/** True if the space-separated list @a list contains the token @a item (OAuth scope lists, case-sensitive). */
int mcp_list_has(const char *list, const char *item);

/** Those tokens of @a want that are also in @a have, in the order of @a want, each once. "" when none. */
const char *mcp_list_intersect(apr_pool_t *p, const char *want, const char *have);

/** True if @a scope is a valid scope list: RFC 6749 section 3.3 tokens separated by single spaces, or "". */
int mcp_scope_valid(const char *scope);

/** Why a file of ours cannot be opened, in words; of a refusal also what to do, as root is refused nothing by itself. */
const char *mcp_file_error(apr_pool_t *p, apr_status_t rv);

/**
 * Read a regular file of at most @a max bytes; *text is NUL-terminated, in @a p.
 * @param len  its length without the NUL, or NULL for whoever needs none
 * @return NULL, or what is wrong, the file's name included
 */
const char *mcp_read_file(apr_pool_t *p, const char *path, apr_size_t max, char **text, apr_size_t *len);

#endif
