/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies of our own pages.
 *
 * On an https issuer each name gets the prefix "__Host-" and the Secure attribute (CP-9). On a loopback http issuer
 * (quickstart, tests) it gets neither, since browsers differ on what they accept there.
 */

#ifndef MCP_COOKIE_H
#define MCP_COOKIE_H

#include <apr_pools.h>

#define MCP_COOKIE_MAX 3800 /* name, value and attributes; browsers drop more than 4096 */

/** The value of cookie @a name in the Cookie header @a header, or NULL. Several of one name: the first. */
char *mcp_cookie_get(apr_pool_t *p, const char *header, const char *name, int secure);

/** The same, but NULL when the name comes more than once: for a value that only one party could have set. */
char *mcp_cookie_once(apr_pool_t *p, const char *header, const char *name, int secure);

/**
 * A Set-Cookie value: Path=/; HttpOnly; SameSite=Lax, with Secure and the prefix when @a secure.
 * @param max_age  seconds; 0 deletes the cookie, negative makes it a session cookie
 * @return NULL when it would be longer than MCP_COOKIE_MAX
 */
char *mcp_cookie_set(apr_pool_t *p, const char *name, const char *value, int max_age, int secure);

#endif
