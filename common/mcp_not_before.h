/* SPDX-License-Identifier: Apache-2.0 */
/* Not-before marks: what a person, a client, or a person to a client was granted before a certain time is no longer
 * honoured, whether anybody knows of it or not.
 *
 *   MCP_KIND_BLOCK, under "nb" and letter, subject and client key as far as they are meant
 *   | time[8], milliseconds, big endian |
 *
 * They are asked for where tokens are issued: at redemption, at refresh, and before a remembered consent is honoured. For
 * tokens that live, the guard asks too, but only about grants that are older than the latest mark of all, which each
 * process reads from the store once a second:
 *
 *   MCP_KIND_BLOCK, under "nb*"
 *   | time[8] |
 *
 * Of a session at a provider that has ended there is one too, for the codes of sign-ins in it that nobody has redeemed yet:
 *
 *   MCP_KIND_BLOCK, under "nb", provider and short hash of the session
 *   | time[8] |
 */

#ifndef MCP_NOT_BEFORE_H
#define MCP_NOT_BEFORE_H

#include "mcp_grant.h"
#include "mcp_store.h"

/**
 * Set a mark, and tell guards and open streams of this host and the others; one that is later already stays.
 * @param subject  whose grants, NULL: everybody's
 * @param client_key  to which client, NULL: to all; one of the two is given
 * @param when  what was granted until then is no longer honoured
 * @param until  how long the mark is needed: the end of the longest-lived thing that was granted before
 * @return APR_SUCCESS, APR_EINVAL (neither given, or @a until has passed), MCP_EDOWN
 */
apr_status_t mcp_not_before_set(mcp_store_t *store, const char *subject, const char *client_key,
                                apr_time_t when, apr_time_t until, apr_pool_t *p);

/**
 * The latest mark that concerns this person and client.
 * @param when  0: there is none
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_not_before_get(mcp_store_t *store, const char *subject, const char *client_key,
                                apr_time_t *when, apr_pool_t *p);

/**
 * Set and read the mark of a session at a provider. Asked for at redemption alone; guards are not told, for what was
 * redeemed is in the person index.
 * @param sid  short hash of the session, as text
 */
apr_status_t mcp_not_before_set_session(mcp_store_t *store, const char *provider, const char *sid, apr_time_t when,
                                        apr_time_t until, apr_pool_t *p);
apr_status_t mcp_not_before_get_session(mcp_store_t *store, const char *provider, const char *sid, apr_time_t *when,
                                        apr_pool_t *p);

/**
 * Does a mark put an end to this grant? Costs nothing while no mark is later than the grant, but for one look at the
 * store a second.
 * @return APR_SUCCESS: no; APR_EACCES: yes; MCP_EDOWN
 */
apr_status_t mcp_not_before_bars(mcp_store_t *store, const mcp_grant_t *grant, apr_time_t now, apr_pool_t *p);

/**
 * Read a grant, and tell whether it was taken back: by itself (its tombstone) or by a mark.
 * @return APR_SUCCESS: it was not; whether it has expired is the caller's to see. APR_EACCES: it was. APR_NOTFOUND,
 *         MCP_EDOWN
 */
apr_status_t mcp_grant_standing(mcp_store_t *store, const unsigned char id[MCP_ID_LEN], apr_time_t now,
                                mcp_grant_t *grant, apr_pool_t *p);

#endif
