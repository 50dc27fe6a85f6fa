/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered consents: what people at one browser have allowed, as the sealed cookie that the browser keeps (CP-1, CP-3).
 *
 *   cookie   text form of mcp_seal.h, purpose mcpcc; inside:
 *   | version[1]=1 | salt[8] | entry, the newest first ... |
 *
 *   entry    integers big endian
 *   | head[1] | target[8] | consented at[4], seconds | person[6] * | scope[4] x n * |
 *   head     bits 0-5: n; bit 6: person as in the entry before; bit 7: scopes as in the entry before; * then left out
 *
 * Target, person and scopes are the first bytes of SHA-256(salt, letter, text, 0x00, text, ...). The salt never leaves the
 * seal, so nobody can look for a client whose hash meets another one's, and short hashes do. One person's entry with the
 * usual scopes takes 13 bytes: a hundred clients are 1,800 characters (T10).
 */

#ifndef MCP_CONSENT_H
#define MCP_CONSENT_H

#include <apr_pools.h>
#include <apr_time.h>

#include "mcp_keyring.h"

/* Characters of the cookie's value at most; the oldest entries go. With the transactions of open tabs and the other cookies
 * of ours it stays below the 8190 bytes that httpd takes for a header line. */
#define MCP_CONSENT_TEXT_MAX 2800

/* Entries that are kept at most, and scopes of an entry: what asks for more is not remembered. */
#define MCP_CONSENT_ENTRIES 120
#define MCP_CONSENT_SCOPES 63

/* To what a consent is bound, beside person and scopes. All of it has to be the same again. */
typedef struct {
    const char *issuer;       /* tag of the issuer */
    const char *client_key;   /* mcp_client_key() */
    const char *redirect_uri; /* as mcp_redirect_key() gives it */
    const char *resource;     /* canonical URI */
} mcp_consent_target_t;

typedef struct mcp_consents_t mcp_consents_t;

/**
 * The consents of a browser.
 * @param text  value of its cookie; NULL, what is not ours, is altered, or too long counts as none at all
 * @param oldest  what was consented before this time is forgotten
 * @return never NULL; in @a p
 */
mcp_consents_t *mcp_consents_open(apr_pool_t *p, const mcp_keyring_t *ring, const char *text, apr_time_t oldest);

/**
 * Does a consent cover all of @a scope, a valid scope list, at this target?
 * @param subject  whose, or NULL: anybody's who used this browser
 * @return when it was given, or 0 for none
 */
apr_time_t mcp_consents_find(const mcp_consents_t *list, const mcp_consent_target_t *target, const char *subject,
                             const char *scope);

/** Remember; what the same person consented to before at this target is replaced. */
void mcp_consents_add(mcp_consents_t *list, const mcp_consent_target_t *target, const char *subject, const char *scope,
                      apr_time_t now);

/** Forget what anybody consented to at this target. Returns how many entries went. */
int mcp_consents_drop(mcp_consents_t *list, const mcp_consent_target_t *target);

int mcp_consents_count(const mcp_consents_t *list);

/** The cookie's new value, MCP_CONSENT_TEXT_MAX characters at most, or NULL when there is nothing to remember. */
char *mcp_consents_seal(apr_pool_t *p, const mcp_keyring_t *ring, const mcp_consents_t *list);

#endif
