/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's chain: each line's code depends on all lines before it, so that none can be changed, taken out or
 * put in by whoever has no key.
 *
 *   {"time":"…","chain":"<8 hex>","seq":N,"kid":"<key id>", …fields… ,"mac":"<43 base64url>"}
 *
 *   mac = HMAC-SHA256(key of kid for MCP_PURPOSE_AUDIT, mac of the line before it in its chain | line up to ,"mac":)
 *
 * A chain is what the processes of one configuration wrote: it begins with a line of seq 1, whose predecessor is 32 zero
 * bytes, and whose "after" names the last mac that the file held then. During a graceful restart two chains interleave.
 */

#ifndef MCP_AUDIT_CHAIN_H
#define MCP_AUDIT_CHAIN_H

#include <apr_hash.h>
#include <apr_pools.h>
#include <apr_time.h>

#include "mcp_keyring.h"

#define MCP_AUDIT_MAC_LEN 32
#define MCP_AUDIT_CHAIN_NAME_LEN 8

/* A line at most, newline included: a pipe takes so much in one piece, or nothing (PIPE_BUF). */
#define MCP_AUDIT_LINE_MAX 4096

typedef struct {
    char chain[MCP_AUDIT_CHAIN_NAME_LEN + 1];
    apr_uint64_t seq;                     /* of the last line; 0 before the first */
    unsigned char mac[MCP_AUDIT_MAC_LEN]; /* of the last line */
} mcp_audit_head_t;

/** A new chain with a random name. */
void mcp_audit_head_init(mcp_audit_head_t *head);

/**
 * Write the line that follows @a head, newline included, and advance @a head.
 * @param fields  members of the object without braces, such as "event":"x"; cut off by the caller
 * @param line    room for MCP_AUDIT_LINE_MAX bytes
 * @return length of the line, or 0 when @a fields are too long (@a head is as before)
 */
apr_size_t mcp_audit_line(mcp_audit_head_t *head, const mcp_keyring_t *ring, apr_time_t now, const char *fields,
                          char *line);

/* ---- verification ---- */

typedef struct {
    apr_uint64_t lines;  /* that were read */
    apr_uint64_t chains; /* that begin in what was read */
    apr_uint64_t lost;   /* that the writers themselves say could not be written */
    apr_uint64_t faults; /* each was told to the callback */
} mcp_audit_report_t;

typedef struct mcp_audit_verify_t mcp_audit_verify_t;

/** Told of each fault: number of the line from 1, and what is wrong. */
typedef void mcp_audit_fault_fn(void *baton, apr_uint64_t line, const char *what);

/**
 * Begin a verification. Everything is in @a p.
 * @param partial  the oldest lines were removed on purpose: chains may begin in their middle
 */
mcp_audit_verify_t *mcp_audit_verify_begin(apr_pool_t *p, const mcp_keyring_t *ring, int partial,
                                           mcp_audit_fault_fn *fault, void *baton);

/** The next line, without its newline. */
void mcp_audit_verify_line(mcp_audit_verify_t *verify, const char *line, apr_size_t len);

/** What was found. */
const mcp_audit_report_t *mcp_audit_verify_end(const mcp_audit_verify_t *verify);

/** The mac of a line of ours, as text of 43 characters in @a p; NULL when it has none. */
const char *mcp_audit_line_mac(apr_pool_t *p, const char *line, apr_size_t len);

#endif
