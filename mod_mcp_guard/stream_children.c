/* SPDX-License-Identifier: Apache-2.0 */
/* The processes that hold streams: their slots in shared memory, the totals over them, and what becomes of the claims of
 * one that died. What it had counted but not yet written into its claim is found by an audit (mcp_table_audit). */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <httpd.h>
#include <ap_mpm.h>

#include "stream_table.h"

static void fold(child_t *slot)
{
    int i;

    ADD(&mcp_table.head->gone.opened, LOAD(&slot->opened));
    ADD(&mcp_table.head->gone.bytes, LOAD(&slot->bytes));
    for (i = 0; i < MCP_END_COUNT; i++) {
        ADD(&mcp_table.head->gone.ended[i], LOAD(&slot->ended[i]));
    }
    for (i = 0; i < MCP_CAP_COUNT; i++) {
        ADD(&mcp_table.head->gone.refused[i], LOAD(&slot->refused[i]));
    }
    memset((char *)slot + offsetof(child_t, open), 0, sizeof(*slot) - offsetof(child_t, open));
}

/* Undo what a dead process's claim did. */
static void reclaim(claim_t *claim)
{
    if (LOAD(&claim->state) >= CLAIM_OPEN) {
        ADD(&mcp_table.head->gone.ended[MCP_END_LOST], 1);
    }
    mcp_key_sub(claim->person_word);
    mcp_key_sub(claim->client_word);
    claim->person_word = claim->client_word = 0;
    STORE(&claim->state, CLAIM_FREE);
    SUB(&mcp_table.head->held, 1);
    STORE(&claim->owner, 0);
}

static void clear_slot(child_t *slot)
{
    apr_uint32_t owner = (apr_uint32_t)(slot - mcp_table.children) + 1;
    apr_uint32_t i;

    for (i = 0; i < mcp_table.head->nclaim; i++) {
        if (LOAD(&mcp_table.claims[i].owner) == owner) {
            reclaim(&mcp_table.claims[i]);
        }
    }
    fold(slot);
    STORE(&slot->pid, 0);
}

void mcp_table_child_gone(pid_t pid)
{
    apr_uint32_t i;

    for (i = 0; mcp_table.head && i < mcp_table.head->nchild; i++) {
        if (LOAD(&mcp_table.children[i].pid) == pid) {
            clear_slot(&mcp_table.children[i]);
        }
    }
}

/* Compare one count with what the claims say. A difference that two audits see unchanged, a second or more apart, is
 * no step in progress: a process died in the middle of one. */
static int differs(apr_uint64_t *seen, apr_uint64_t now)
{
    int twice = *seen == now;

    *seen = now;
    return twice;
}

static apr_uint64_t *seen; /* by word; the last one is head->held's. In pconf */

/* Where the C library never unloads a module, as musl's, it lives on with its pointers. */
static apr_status_t forget_seen(void *dummy)
{
    seen = NULL;
    return APR_SUCCESS;
}

int mcp_table_audit(apr_pool_t *pconf)
{
    apr_uint32_t *truth;
    apr_uint32_t held = 0;
    apr_uint32_t i;
    int open_questions = 0;

    if (!mcp_table.head || (truth = calloc(mcp_table.head->nkey, sizeof(*truth))) == NULL) {
        return 0;
    }
    if (!seen) {
        seen = apr_pcalloc(pconf, (mcp_table.head->nkey + 1) * sizeof(*seen));
        apr_pool_cleanup_register(pconf, NULL, forget_seen, apr_pool_cleanup_null);
    }
    for (i = 0; i < mcp_table.head->nclaim; i++) {
        apr_uint32_t words[2];
        int k;

        held += LOAD(&mcp_table.claims[i].owner) != 0;
        words[0] = LOAD(&mcp_table.claims[i].person_word);
        words[1] = LOAD(&mcp_table.claims[i].client_word);
        for (k = 0; k < 2; k++) {
            if (words[k] > 0 && words[k] <= mcp_table.head->nkey) {
                truth[words[k] - 1]++;
            }
        }
    }
    for (i = 0; i < mcp_table.head->nkey; i++) {
        apr_uint64_t word = LOAD(&mcp_table.keys[i]);

        if ((word & COUNT_MASK) == truth[i]) {
            seen[i] = 0;
        }
        else if (!differs(&seen[i], word)
                 || !mcp_cas64(&mcp_table.keys[i], word, (word & ~(apr_uint64_t)COUNT_MASK) | truth[i])) {
            open_questions++;
        }
    }
    i = LOAD(&mcp_table.head->held);
    if (i == held) {
        seen[mcp_table.head->nkey] = 0;
    }
    else if (!differs(&seen[mcp_table.head->nkey], ((apr_uint64_t)held << 32) | i)
             || !mcp_cas32(&mcp_table.head->held, i, held)) {
        open_questions++;
    }
    free(truth);
    return open_questions;
}

void mcp_table_child_init(void)
{
    apr_int64_t pid = getpid();
    int generation = 0;
    apr_uint32_t i;

    mcp_table.self = NULL;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    for (i = 0; mcp_table.head && i < mcp_table.head->nchild && !mcp_table.self; i++) {
        apr_int64_t none = 0;

        if (__atomic_compare_exchange_n(&mcp_table.children[i].pid, &none, pid, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            mcp_table.self = &mcp_table.children[i];
            STORE(&mcp_table.self->generation, (apr_uint32_t)generation);
        }
    }
    mcp_table.next_claim = (apr_uint32_t)pid * 2654435761u; /* processes begin to look at different places */
}

static void add_slot(mcp_stream_totals_t *totals, child_t *slot)
{
    int i;

    totals->open += LOAD(&slot->open);
    totals->parked += LOAD(&slot->parked);
    totals->opened += LOAD(&slot->opened);
    totals->bytes += LOAD(&slot->bytes);
    for (i = 0; i < MCP_END_COUNT; i++) {
        totals->ended[i] += LOAD(&slot->ended[i]);
    }
    for (i = 0; i < MCP_CAP_COUNT; i++) {
        totals->refused[i] += LOAD(&slot->refused[i]);
    }
}

int mcp_table_totals(mcp_stream_totals_t *totals)
{
    apr_uint32_t i;

    memset(totals, 0, sizeof(*totals));
    if (!mcp_table.head) {
        return 0;
    }
    add_slot(totals, &mcp_table.head->gone);
    for (i = 0; i < mcp_table.head->nchild; i++) {
        if (LOAD(&mcp_table.children[i].pid)) {
            add_slot(totals, &mcp_table.children[i]);
            totals->children++;
        }
    }
    for (i = 0; i < mcp_table.head->nclaim; i++) {
        apr_time_t opened = LOAD(&mcp_table.claims[i].state) >= CLAIM_OPEN ? LOAD(&mcp_table.claims[i].opened) : 0;

        if (opened && (totals->oldest == 0 || opened < totals->oldest)) {
            totals->oldest = opened;
        }
    }
    totals->capacity = mcp_table.head->nclaim;
    totals->limit = LOAD(&mcp_table.head->limit);
    return 1;
}
