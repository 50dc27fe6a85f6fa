/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory of the stream governor, as its files see it.
 *
 *   | head | child[nchild] | key[nkey] | claim[nclaim] |
 *
 *   child   one slot a process: its counters, so that nothing is shared between writers (stream_children.c)
 *   key     count of each person and client (stream_keys.c)
 *   claim   one for each stream, owned by a process; what a dead process still owns is given back by the parent
 *
 * All of it is changed by atomic operations only: no lock that a dying process could hold. The memory is made once and
 * lives as long as the server's first process: a graceful restart changes the code, not the streams that old children
 * still hold. */

#ifndef MCP_STREAM_TABLE_H
#define MCP_STREAM_TABLE_H

#include <apr_siphash.h>

#include "stream_impl.h"

#define COUNT_BITS 24 /* of a key's word; the rest names the key */
#define COUNT_MASK ((1u << COUNT_BITS) - 1)

enum { CLAIM_FREE,
       CLAIM_ASKED,
       CLAIM_OPEN,
       CLAIM_PARKED };

typedef struct {
    apr_int64_t pid;         /* 0 = free */
    apr_uint32_t generation; /* of the configuration that it runs */
    apr_uint32_t open;
    apr_uint32_t parked;
    apr_uint64_t opened;
    apr_uint64_t bytes;
    apr_uint64_t ended[MCP_END_COUNT];
    apr_uint64_t refused[MCP_CAP_COUNT];
} __attribute__((aligned(64))) child_t;

typedef struct {
    apr_uint32_t owner; /* child slot + 1; 0 = free */
    apr_uint32_t state;
    apr_uint32_t person_word, client_word; /* index of the key's word + 1; 0 = not counted */
    apr_int64_t opened;
    apr_uint32_t kill;
    apr_uint32_t has_grant;
    unsigned char grant[MCP_ID_LEN];
} __attribute__((aligned(64))) claim_t;

typedef struct {
    apr_size_t size;
    apr_uint32_t nchild, nkey, nclaim;
    apr_uint32_t limit;                        /* MCPStreamLimit server in force */
    apr_uint32_t kills;                        /* how often claims were marked as killed */
    apr_uint32_t held;                         /* claims in use: what that limit counts */
    unsigned char hash_key[APR_SIPHASH_KSIZE]; /* random: nobody can choose a name that shares another's count */
    child_t gone;                              /* totals of processes that ended; only its counters are used */
} __attribute__((aligned(64))) head_t;

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define ADD(p, v) __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL)
#define SUB(p, v) __atomic_sub_fetch(p, v, __ATOMIC_ACQ_REL)

static inline int mcp_cas32(apr_uint32_t *at, apr_uint32_t expected, apr_uint32_t wanted)
{
    return __atomic_compare_exchange_n(at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static inline int mcp_cas64(apr_uint64_t *at, apr_uint64_t expected, apr_uint64_t wanted)
{
    return __atomic_compare_exchange_n(at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

/* The table of this process. Set up in post_config, inherited by the children. */
typedef struct {
    head_t *head; /* NULL: there is none */
    child_t *children;
    apr_uint64_t *keys;
    claim_t *claims;
    child_t *self;           /* this process's slot; NULL in the parent, and when there was none left */
    apr_uint32_t next_claim; /* where this process looks for a free one */
} mcp_table_t;

extern mcp_table_t mcp_table;

/* ---- stream_keys.c ---- */

/** Count one more of a key. Returns the index of its word + 1, or 0 when all places of its sets are taken by others. */
apr_uint32_t mcp_key_add(apr_uint64_t key);

/** Count one less; 0 does nothing. */
void mcp_key_sub(apr_uint32_t word_plus_one);

apr_uint32_t mcp_key_count(apr_uint64_t key);

#endif
