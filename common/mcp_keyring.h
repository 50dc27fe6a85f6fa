/* SPDX-License-Identifier: Apache-2.0 */
/* The keyring: master keys from a file, one derived AES-256 key for each purpose.
 *
 * The file has one key a line, `kid base64`, 32 bytes each; `#` starts a comment. The first key seals, all open.
 * kid is 1 to 16 characters of [A-Za-z0-9_-]. Rotation is a new first line and a graceful restart; the old line
 * stays until the longest-lived value sealed by it has expired.
 */

#ifndef MCP_KEYRING_H
#define MCP_KEYRING_H

#include <apr_pools.h>

#define MCP_KID_MAX 16

/* What a sealed value is for. Each purpose has a key of its own (HKDF-SHA256, info "mcp1 <prefix>") and a visible
 * prefix, so that none can stand in for another (T5). Append only: the order is not stored anywhere. */
typedef enum {
    MCP_PURPOSE_ACCESS,      /* mcpat: access token */
    MCP_PURPOSE_REFRESH,     /* mcprt: refresh token */
    MCP_PURPOSE_CODE,        /* mcpac: authorization code */
    MCP_PURPOSE_CLIENT,      /* mcpci: client_id of a dynamic registration */
    MCP_PURPOSE_FORM,        /* mcpcf: consent form */
    MCP_PURPOSE_TRANSACTION, /* mcptx: transaction cookie */
    MCP_PURPOSE_CONSENT,     /* mcpcc: remembered consents cookie */
    MCP_PURPOSE_LOGIN,       /* mcpls: sign-in session of our own pages */
    MCP_PURPOSE_STORE,       /* mcpst: records in the store (raw form, never text) */
    MCP_PURPOSE_SESSION,     /* mcpms: MCP session ids bound to a person */
    MCP_PURPOSE_AUDIT,       /* mcpau: the audit log's chain */
    MCP_PURPOSE_CHOICE,      /* mcpch: form to choose a provider, after consent */
    MCP_PURPOSE_ACTION,      /* mcpfa: forms of the connections and sign-out pages */
    MCP_PURPOSE_CALLBACK,    /* mcpfp: a provider's answer that was posted */
    MCP_PURPOSE_LOGO,        /* mcplg: which logo of a client a page shows */
    MCP_PURPOSE_COUNT
} mcp_purpose_e;

typedef struct mcp_keyring_t mcp_keyring_t;

/**
 * Read and derive all keys. Refuses a file that group or others can read or write, a short, weak (constant) or
 * malformed key, a double kid, and an empty file.
 * @param ring  set on success; allocated in @a p, wiped when @a p is cleared
 * @return NULL, or a message for the administrator that names the file and the mend
 */
const char *mcp_keyring_load(mcp_keyring_t **ring, const char *path, apr_pool_t *p);

/** The kid that seals now. */
const char *mcp_keyring_active_kid(const mcp_keyring_t *ring);

/** The 32-byte key of @a kid (not NUL-terminated, @a kid_len bytes) for @a purpose, or NULL if unknown. */
const unsigned char *mcp_keyring_key(const mcp_keyring_t *ring, mcp_purpose_e purpose,
                                     const char *kid, apr_size_t kid_len);

/** The visible prefix of a purpose, such as "mcpat". */
const char *mcp_purpose_prefix(mcp_purpose_e purpose);

#endif
