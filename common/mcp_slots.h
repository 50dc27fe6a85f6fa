/* SPDX-License-Identifier: Apache-2.0 */
/* Places in shared memory: how many calls of a key are under way at once, across the processes of a
 * host.
 *
 *   | head | word[words] | claim[claims] |
 *
 *   word    tag of the key[40] | how many[24], in sets of 8; another key's when it is 0
 *   claim   pid[32] | index of the word + 1[32]: one for each place that is taken, so that the
 *           places of a process that died are given back by its parent; 0 = free, and a pid alone
 *           is about to take a place
 *
 * All of it is changed by compare-and-swap: no lock that a dying process could hold. What a process
 * had counted but not yet written into its claim when it died is found by an audit.
 */

#ifndef MCP_SLOTS_H
#define MCP_SLOTS_H

#include <sys/types.h>

#include <apr_pools.h>
#include <apr_errno.h>

typedef struct mcp_slots_t mcp_slots_t;

#define MCP_SLOT_REFUSED (-1) /* so many are under way already */
#define MCP_SLOT_FULL (-2)    /* the table is full */

/**
 * Make a table in anonymous shared memory, in the parent of all processes that will use it.
 * @param places  how many can be taken in all, rounded up to a power of two; 24 bytes each
 */
apr_status_t mcp_slots_create(mcp_slots_t **slots, apr_uint32_t places, apr_pool_t *p);

/**
 * Take one of @a limit places of @a key under @a rule.
 * @param taken  how many are taken now, this one included
 * @return the place, for mcp_slots_give(), or MCP_SLOT_REFUSED or MCP_SLOT_FULL
 */
apr_int32_t mcp_slots_take(mcp_slots_t *slots, apr_uint32_t limit, const char *rule,
                           const char *key, pid_t pid, apr_uint32_t *taken);

/** Give the place back. */
void mcp_slots_give(mcp_slots_t *slots, apr_int32_t place);

/** A process has ended: give back what it held. Returns how many. */
apr_uint32_t mcp_slots_gone(mcp_slots_t *slots, pid_t pid);

/**
 * Compare all counts with the claims. To be called a second or more apart: a difference that two
 * calls see unchanged is no step in progress, and is put right.
 * @return how many differences are left to look at again
 */
int mcp_slots_audit(mcp_slots_t *slots);

#endif
