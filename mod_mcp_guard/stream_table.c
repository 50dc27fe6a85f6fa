/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory of the stream governor: making it, and the claims of streams. stream_table.h draws it. */

#include <string.h>

#include <httpd.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <ap_mpm.h>

#include "mcp_log.h"
#include "stream_table.h"

APLOG_USE_MODULE(mcp_guard);

#define TABLE_KEY "mcp-streams-3" /* another layout gets another name */
#define STREAMS_DEFAULT 16384
#define STREAMS_MAX 1000000
#define TABLE_ALIGN 64

mcp_table_t mcp_table;

static const char *const end_names[MCP_END_COUNT] = {
    "none",
    "complete",
    "broken",
    "client",
    "stalled",
    "idle",
    "max-age",
    "expired",
    "revoked",
    "drained",
    "stopped",
    "lost",
};
static const char *const cap_names[MCP_CAP_COUNT] = { "none", "person", "client", "server", "child" };

const char *mcp_end_name(mcp_end_e reason)
{
    return end_names[reason];
}

const char *mcp_cap_name(mcp_cap_e cap)
{
    return cap_names[cap];
}

/* ---- making it ---- */

static apr_uint32_t power_of_two(apr_uint32_t at_least)
{
    apr_uint32_t n = 64;

    while (n < at_least) {
        n *= 2;
    }
    return n;
}

static void locate(void *base)
{
    mcp_table.head = base;
    mcp_table.children = (child_t *)(mcp_table.head + 1);
    mcp_table.keys = (apr_uint64_t *)(mcp_table.children + mcp_table.head->nchild);
    mcp_table.claims = (claim_t *)(mcp_table.keys + mcp_table.head->nkey);
}

static apr_status_t table_make(server_rec *s, apr_uint32_t streams)
{
    apr_pool_t *p = s->process->pool;
    apr_shm_t *shm;
    head_t plan;
    char *base;
    apr_status_t rv;
    int daemons = 0;

    memset(&plan, 0, sizeof(plan));
    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    plan.nchild = (apr_uint32_t)(daemons > 0 ? daemons : 1) + 8;
    plan.nclaim = power_of_two(2 * streams); /* half full at most, so that a free place is found at once */
    plan.nkey = power_of_two(4 * streams);
    mcp_random(plan.hash_key, sizeof(plan.hash_key));
    plan.size = sizeof(head_t) + plan.nchild * sizeof(child_t) + plan.nkey * sizeof(apr_uint64_t)
                + plan.nclaim * sizeof(claim_t);
    rv = apr_shm_create(&shm, plan.size + TABLE_ALIGN, NULL, p);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s,
                     MCP_LOG(0501) "cannot make %" APR_SIZE_T_FMT " bytes of shared memory for %u streams", plan.size,
                     streams);
        return rv;
    }
    base = (char *)(((apr_uintptr_t)apr_shm_baseaddr_get(shm) + TABLE_ALIGN - 1)
                    & ~(apr_uintptr_t)(TABLE_ALIGN - 1));
    memcpy(base, &plan, sizeof(plan)); /* the rest is fresh pages, all zero */
    locate(base);
    /* Not _setn: the key's text lies in this DSO, which is unloaded before the pool is asked again at a restart. */
    return apr_pool_userdata_set(mcp_table.head, TABLE_KEY, NULL, p);
}

apr_status_t mcp_table_open(server_rec *s, apr_pool_t *ptemp)
{
    apr_uint32_t wanted = mcp_stream_global.server > 0 ? (apr_uint32_t)mcp_stream_global.server : STREAMS_DEFAULT;
    void *base = NULL;
    apr_status_t rv = APR_SUCCESS;

    if (wanted > STREAMS_MAX) {
        wanted = STREAMS_MAX;
    }
    apr_pool_userdata_get(&base, TABLE_KEY, s->process->pool);
    if (base) {
        locate(base);
    }
    else {
        rv = table_make(s, wanted);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    if (wanted > mcp_table.head->nclaim / 2) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     MCP_LOG(0502) "MCPStreamLimit server %u needs a full restart: the table made at start holds %u "
                                   "streams, which is the limit until then",
                     wanted, mcp_table.head->nclaim / 2);
        wanted = mcp_table.head->nclaim / 2;
    }
    STORE(&mcp_table.head->limit, wanted);
    return APR_SUCCESS;
}

/* ---- claims ---- */

static claim_t *claim_free(void)
{
    apr_uint32_t owner = (apr_uint32_t)(mcp_table.self - mcp_table.children) + 1;
    apr_uint32_t mask = mcp_table.head->nclaim - 1;
    apr_uint32_t i;

    for (i = 0; i <= mask; i++) {
        claim_t *claim = &mcp_table.claims[__atomic_fetch_add(&mcp_table.next_claim, 1, __ATOMIC_RELAXED) & mask];

        if (LOAD(&claim->owner) == 0 && mcp_cas32(&claim->owner, 0, owner)) {
            return claim;
        }
    }
    return NULL;
}

/* Count the claim for a key; false when the key is at its limit. */
static int claim_key(apr_uint64_t key, int limit, apr_uint32_t *word)
{
    *word = key ? mcp_key_add(key) : 0;
    if (*word && limit > 0 && mcp_key_count(key) > (apr_uint32_t)limit) {
        mcp_key_sub(*word);
        *word = 0;
        return 0;
    }
    return 1;
}

mcp_claim_t mcp_table_claim(apr_uint64_t person, int person_limit, apr_uint64_t client, int client_limit,
                            const unsigned char *grant, mcp_cap_e *cap)
{
    claim_t *claim;

    *cap = MCP_CAP_NONE;
    if (!mcp_table.head || !mcp_table.self) {
        return MCP_CLAIM_NONE; /* no table: streams run, uncounted */
    }
    if (ADD(&mcp_table.head->held, 1) > LOAD(&mcp_table.head->limit) || (claim = claim_free()) == NULL) {
        SUB(&mcp_table.head->held, 1);
        *cap = MCP_CAP_SERVER;
        return MCP_CLAIM_NONE;
    }
    claim->opened = 0;
    claim->has_grant = grant != NULL;
    if (grant) {
        memcpy(claim->grant, grant, MCP_ID_LEN);
    }
    STORE(&claim->kill, 0);
    STORE(&claim->state, CLAIM_ASKED);
    if (!claim_key(person, person_limit, &claim->person_word)) {
        *cap = MCP_CAP_PERSON;
    }
    else if (!claim_key(client, client_limit, &claim->client_word)) {
        *cap = MCP_CAP_CLIENT;
    }
    if (*cap != MCP_CAP_NONE) {
        mcp_table_release((mcp_claim_t)(claim - mcp_table.claims), MCP_END_NONE);
        return MCP_CLAIM_NONE;
    }
    return (mcp_claim_t)(claim - mcp_table.claims);
}

void mcp_table_begin(mcp_claim_t claim, apr_time_t now)
{
    if (claim >= 0) {
        STORE(&mcp_table.claims[claim].opened, now);
        STORE(&mcp_table.claims[claim].state, CLAIM_OPEN);
        ADD(&mcp_table.self->open, 1);
        ADD(&mcp_table.self->opened, 1);
    }
}

void mcp_table_park(mcp_claim_t claim)
{
    if (claim >= 0) {
        STORE(&mcp_table.claims[claim].state, CLAIM_PARKED);
        ADD(&mcp_table.self->parked, 1);
    }
}

void mcp_table_release(mcp_claim_t claim, mcp_end_e reason)
{
    claim_t *c;
    apr_uint32_t state;

    if (claim < 0) {
        return;
    }
    c = &mcp_table.claims[claim];
    state = LOAD(&c->state);
    if (state >= CLAIM_OPEN) {
        SUB(&mcp_table.self->open, 1);
        ADD(&mcp_table.self->ended[reason], 1);
    }
    if (state == CLAIM_PARKED) {
        SUB(&mcp_table.self->parked, 1);
    }
    STORE(&c->state, CLAIM_FREE);
    mcp_key_sub(c->person_word);
    mcp_key_sub(c->client_word);
    c->person_word = c->client_word = 0;
    SUB(&mcp_table.head->held, 1);
    STORE(&c->owner, 0);
}

void mcp_table_count_bytes(apr_size_t n)
{
    if (mcp_table.self) {
        ADD(&mcp_table.self->bytes, n);
    }
}

void mcp_table_count_refused(mcp_cap_e cap)
{
    if (mcp_table.self) {
        ADD(&mcp_table.self->refused[cap], 1);
    }
}

int mcp_table_killed(mcp_claim_t claim)
{
    return claim >= 0 && LOAD(&mcp_table.claims[claim].kill);
}

int mcp_table_kill_older(int (*revoked)(const unsigned char *grant, void *baton), void *baton)
{
    apr_uint32_t i;
    int n = 0;

    for (i = 0; mcp_table.self && i < mcp_table.head->nclaim; i++) {
        claim_t *c = &mcp_table.claims[i];
        apr_uint32_t owner = LOAD(&c->owner);
        unsigned char grant[MCP_ID_LEN];

        if (owner == 0 || owner > mcp_table.head->nchild || LOAD(&c->state) < CLAIM_OPEN || !c->has_grant
            || LOAD(&c->kill) || LOAD(&mcp_table.children[owner - 1].generation) == mcp_table.self->generation) {
            continue;
        }
        memcpy(grant, c->grant, sizeof(grant));
        /* The place may have changed hands while its grant was asked for; a grant of the same name is as dead. */
        if (revoked(grant, baton) && LOAD(&c->owner) == owner && !memcmp(grant, c->grant, sizeof(grant))) {
            STORE(&c->kill, 1);
            n++;
        }
    }
    if (n > 0) {
        ADD(&mcp_table.head->kills, 1);
    }
    return n;
}

apr_uint32_t mcp_table_kills(void)
{
    return mcp_table.head ? LOAD(&mcp_table.head->kills) : 0;
}

apr_uint32_t mcp_table_parked_here(void)
{
    return mcp_table.self ? LOAD(&mcp_table.self->parked) : 0;
}
