/* SPDX-License-Identifier: Apache-2.0 */
/* Shared memory of the stream governor: who holds streams, and how many there are.
 *
 *   | head | child[nchild] | key[nkey] | claim[nclaim] |
 *
 *   child   one slot a process: its counters, so that nothing is shared between writers
 *   key     count of each person and client: | 40 bits of the key's hash | 24 bits count |, sets of KEY_WAYS words
 *   claim   one for each stream, owned by a process; what a dead process still owns is given back by the parent
 *
 * All of it is changed by atomic operations only: no lock that a dying process could hold. What a process had counted
 * but not yet written into its claim when it died is found by an audit (mcp_table_audit). The memory is made once and
 * lives as long as the server's first process: a graceful restart changes the code, not the streams that old children
 * still hold.
 */

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <httpd.h>
#include <apr_shm.h>
#include <apr_siphash.h>
#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>
#include <mpm_common.h>
#include <ap_mpm.h>

#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);
#include "mcp_log.h"

#define TABLE_KEY "mcp-streams-1" /* another layout gets another name */
#define STREAMS_DEFAULT 16384
#define STREAMS_MAX 1000000
#define TABLE_ALIGN 64
#define KEY_WAYS 8 /* one cache line */
#define KEY_SETS_TRIED 4
#define COUNT_BITS 24
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
    apr_uint64_t person, client;           /* keys */
    apr_int64_t opened;
    apr_uint32_t kill;
    apr_uint32_t has_grant;
    unsigned char grant[MCP_ID_LEN];
} __attribute__((aligned(64))) claim_t;

typedef struct {
    apr_size_t size;
    apr_uint32_t nchild, nkey, nclaim;
    apr_uint32_t limit;                        /* MCPStreamLimit server in force */
    apr_uint32_t held;                         /* claims in use: what that limit counts */
    unsigned char hash_key[APR_SIPHASH_KSIZE]; /* random: nobody can choose a name that shares another's count */
    child_t gone;                              /* totals of processes that ended; only its counters are used */
} __attribute__((aligned(64))) head_t;

static head_t *head;
static child_t *children;
static apr_uint64_t *keys;
static claim_t *claims;
static child_t *self; /* this process's slot; NULL in the parent, and when there was none left */
static apr_uint32_t next_claim;

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
    "killed",
    "drained",
    "stopped",
    "lost",
};
static const char *const cap_names[MCP_CAP_COUNT] = { "none", "person", "client", "server", "child" };

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)
#define ADD(p, v) __atomic_add_fetch(p, v, __ATOMIC_ACQ_REL)
#define SUB(p, v) __atomic_sub_fetch(p, v, __ATOMIC_ACQ_REL)

const char *mcp_end_name(mcp_end_e reason)
{
    return end_names[reason];
}

const char *mcp_cap_name(mcp_cap_e cap)
{
    return cap_names[cap];
}

static int cas32(apr_uint32_t *at, apr_uint32_t expected, apr_uint32_t wanted)
{
    return __atomic_compare_exchange_n(at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
}

static int cas64(apr_uint64_t *at, apr_uint64_t expected, apr_uint64_t wanted)
{
    return __atomic_compare_exchange_n(at, &expected, wanted, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
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
    head = base;
    children = (child_t *)(head + 1);
    keys = (apr_uint64_t *)(children + head->nchild);
    claims = (claim_t *)(keys + head->nkey);
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
    return apr_pool_userdata_set(head, TABLE_KEY, NULL, p);
}

apr_status_t mcp_table_open(server_rec *s, apr_pool_t *ptemp)
{
    apr_uint32_t wanted = mcp_stream_global.server > 0 ? (apr_uint32_t)mcp_stream_global.server : STREAMS_DEFAULT;
    void *base = NULL;
    apr_status_t rv = APR_SUCCESS;

    (void)ptemp;
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
    if (wanted > head->nclaim / 2) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     MCP_LOG(0502) "MCPStreamLimit server %u needs a full restart: the table made at start holds %u "
                                   "streams, which is the limit until then",
                     wanted, head->nclaim / 2);
        wanted = head->nclaim / 2;
    }
    STORE(&head->limit, wanted);
    return APR_SUCCESS;
}

/* ---- key counts ---- */

apr_uint64_t mcp_table_key(const char *kind, const char *text)
{
    unsigned char hash_key[APR_SIPHASH_KSIZE];
    apr_uint64_t key;

    memcpy(hash_key, head->hash_key, sizeof(hash_key));
    hash_key[0] ^= (unsigned char)*kind; /* each kind has a hash of its own */
    key = apr_siphash24(text, strlen(text), hash_key);
    return key ? key : 1;
}

static apr_uint64_t *key_set(apr_uint64_t key, apr_uint32_t attempt)
{
    apr_uint32_t sets = head->nkey / KEY_WAYS;

    return keys + ((apr_uint32_t)((key + attempt) & (sets - 1))) * KEY_WAYS;
}

/* The upper 40 bits name the key within its set (the set comes from the lower bits). */
static apr_uint64_t key_tag(apr_uint64_t key)
{
    apr_uint64_t tag = key & ~(apr_uint64_t)COUNT_MASK;

    return tag ? tag : (apr_uint64_t)COUNT_MASK + 1;
}

static apr_uint32_t key_count(apr_uint64_t key)
{
    apr_uint64_t tag = key_tag(key);
    apr_uint32_t count = 0;
    apr_uint32_t i;
    int w;

    for (i = 0; i < KEY_SETS_TRIED; i++) {
        apr_uint64_t *set = key_set(key, i);

        for (w = 0; w < KEY_WAYS; w++) {
            apr_uint64_t word = LOAD(&set[w]);

            if ((word & ~(apr_uint64_t)COUNT_MASK) == tag) {
                count += (apr_uint32_t)(word & COUNT_MASK);
            }
        }
    }
    return count;
}

/* Count one more; the index of the word + 1, or 0 when all places of its sets are taken by others. */
static apr_uint32_t key_add(apr_uint64_t key)
{
    apr_uint64_t tag = key_tag(key);
    int again;

    do {
        apr_uint32_t i;

        again = 0;
        for (i = 0; i < 2 * KEY_SETS_TRIED; i++) { /* first round: our own word; second: a free one */
            apr_uint64_t *set = key_set(key, i % KEY_SETS_TRIED);
            int w;

            for (w = 0; w < KEY_WAYS; w++) {
                apr_uint64_t word = LOAD(&set[w]);
                int ours = (word & ~(apr_uint64_t)COUNT_MASK) == tag;

                if (i < KEY_SETS_TRIED ? !ours : (word & COUNT_MASK) != 0) {
                    continue;
                }
                if (cas64(&set[w], word, tag | ((word & COUNT_MASK) + 1))) {
                    return (apr_uint32_t)(set + w - keys) + 1;
                }
                again = 1; /* somebody was faster: look again from the start */
            }
        }
    } while (again);
    return 0;
}

static void key_sub(apr_uint32_t word_plus_one)
{
    apr_uint64_t *at;
    apr_uint64_t word;

    if (word_plus_one == 0) {
        return;
    }
    at = keys + (word_plus_one - 1);
    do {
        word = LOAD(at);
    } while ((word & COUNT_MASK) != 0 && !cas64(at, word, word - 1)); /* 0 leaves the tag: free for the next */
}

/* ---- processes ---- */

static void fold(child_t *slot)
{
    int i;

    ADD(&head->gone.opened, LOAD(&slot->opened));
    ADD(&head->gone.bytes, LOAD(&slot->bytes));
    for (i = 0; i < MCP_END_COUNT; i++) {
        ADD(&head->gone.ended[i], LOAD(&slot->ended[i]));
    }
    for (i = 0; i < MCP_CAP_COUNT; i++) {
        ADD(&head->gone.refused[i], LOAD(&slot->refused[i]));
    }
    memset((char *)slot + offsetof(child_t, open), 0, sizeof(*slot) - offsetof(child_t, open));
}

/* Undo what a dead process's claim did. */
static void reclaim(claim_t *claim)
{
    if (LOAD(&claim->state) >= CLAIM_OPEN) {
        ADD(&head->gone.ended[MCP_END_LOST], 1);
    }
    key_sub(claim->person_word);
    key_sub(claim->client_word);
    claim->person_word = claim->client_word = 0;
    STORE(&claim->state, CLAIM_FREE);
    SUB(&head->held, 1);
    STORE(&claim->owner, 0);
}

static void clear_slot(child_t *slot)
{
    apr_uint32_t owner = (apr_uint32_t)(slot - children) + 1;
    apr_uint32_t i;

    for (i = 0; i < head->nclaim; i++) {
        if (LOAD(&claims[i].owner) == owner) {
            reclaim(&claims[i]);
        }
    }
    fold(slot);
    STORE(&slot->pid, 0);
}

void mcp_table_child_gone(pid_t pid)
{
    apr_uint32_t i;

    for (i = 0; head && i < head->nchild; i++) {
        if (LOAD(&children[i].pid) == pid) {
            clear_slot(&children[i]);
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

int mcp_table_audit(apr_pool_t *pconf)
{
    static apr_uint64_t *seen; /* by word; the last one is head->held's */
    apr_uint32_t *truth;
    apr_uint32_t held = 0;
    apr_uint32_t i;
    int open_questions = 0;

    if (!head || (truth = calloc(head->nkey, sizeof(*truth))) == NULL) {
        return 0;
    }
    if (!seen) {
        seen = apr_pcalloc(pconf, (head->nkey + 1) * sizeof(*seen));
    }
    for (i = 0; i < head->nclaim; i++) {
        apr_uint32_t words[2];
        int k;

        held += LOAD(&claims[i].owner) != 0;
        words[0] = LOAD(&claims[i].person_word);
        words[1] = LOAD(&claims[i].client_word);
        for (k = 0; k < 2; k++) {
            if (words[k] > 0 && words[k] <= head->nkey) {
                truth[words[k] - 1]++;
            }
        }
    }
    for (i = 0; i < head->nkey; i++) {
        apr_uint64_t word = LOAD(&keys[i]);

        if ((word & COUNT_MASK) == truth[i]) {
            seen[i] = 0;
        }
        else if (!differs(&seen[i], word) || !cas64(&keys[i], word, (word & ~(apr_uint64_t)COUNT_MASK) | truth[i])) {
            open_questions++;
        }
    }
    i = LOAD(&head->held);
    if (i == held) {
        seen[head->nkey] = 0;
    }
    else if (!differs(&seen[head->nkey], ((apr_uint64_t)held << 32) | i) || !cas32(&head->held, i, held)) {
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

    self = NULL;
    ap_mpm_query(AP_MPMQ_GENERATION, &generation);
    for (i = 0; head && i < head->nchild && !self; i++) {
        apr_int64_t none = 0;

        if (__atomic_compare_exchange_n(&children[i].pid, &none, pid, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            self = &children[i];
            STORE(&self->generation, (apr_uint32_t)generation);
        }
    }
    next_claim = (apr_uint32_t)pid * 2654435761u; /* processes begin to look at different places */
}

/* ---- claims ---- */

static claim_t *claim_free(void)
{
    apr_uint32_t owner = (apr_uint32_t)(self - children) + 1;
    apr_uint32_t mask = head->nclaim - 1;
    apr_uint32_t i;

    for (i = 0; i <= mask; i++) {
        claim_t *claim = &claims[__atomic_fetch_add(&next_claim, 1, __ATOMIC_RELAXED) & mask];

        if (LOAD(&claim->owner) == 0 && cas32(&claim->owner, 0, owner)) {
            return claim;
        }
    }
    return NULL;
}

/* Count the claim for a key; false when the key is at its limit. */
static int claim_key(apr_uint64_t key, int limit, apr_uint32_t *word)
{
    *word = key ? key_add(key) : 0;
    if (*word && limit > 0 && key_count(key) > (apr_uint32_t)limit) {
        key_sub(*word);
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
    if (!head || !self) {
        return MCP_CLAIM_NONE; /* no table: streams run, uncounted */
    }
    if (ADD(&head->held, 1) > LOAD(&head->limit) || (claim = claim_free()) == NULL) {
        SUB(&head->held, 1);
        *cap = MCP_CAP_SERVER;
        return MCP_CLAIM_NONE;
    }
    claim->person = person;
    claim->client = client;
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
        mcp_table_release((mcp_claim_t)(claim - claims), MCP_END_NONE);
        return MCP_CLAIM_NONE;
    }
    return (mcp_claim_t)(claim - claims);
}

void mcp_table_begin(mcp_claim_t claim, apr_time_t now)
{
    if (claim >= 0) {
        STORE(&claims[claim].opened, now);
        STORE(&claims[claim].state, CLAIM_OPEN);
        ADD(&self->open, 1);
        ADD(&self->opened, 1);
    }
}

void mcp_table_park(mcp_claim_t claim)
{
    if (claim >= 0) {
        STORE(&claims[claim].state, CLAIM_PARKED);
        ADD(&self->parked, 1);
    }
}

void mcp_table_release(mcp_claim_t claim, mcp_end_e reason)
{
    claim_t *c;
    apr_uint32_t state;

    if (claim < 0) {
        return;
    }
    c = &claims[claim];
    state = LOAD(&c->state);
    if (state >= CLAIM_OPEN) {
        SUB(&self->open, 1);
        ADD(&self->ended[reason], 1);
    }
    if (state == CLAIM_PARKED) {
        SUB(&self->parked, 1);
    }
    STORE(&c->state, CLAIM_FREE);
    key_sub(c->person_word);
    key_sub(c->client_word);
    c->person_word = c->client_word = 0;
    SUB(&head->held, 1);
    STORE(&c->owner, 0);
}

void mcp_table_count_bytes(apr_size_t n)
{
    if (self) {
        ADD(&self->bytes, n);
    }
}

void mcp_table_count_refused(mcp_cap_e cap)
{
    if (self) {
        ADD(&self->refused[cap], 1);
    }
}

int mcp_table_killed(mcp_claim_t claim)
{
    return claim >= 0 && LOAD(&claims[claim].kill);
}

int mcp_table_kill(apr_uint64_t person, apr_uint64_t client)
{
    apr_uint32_t i;
    int n = 0;

    for (i = 0; head && i < head->nclaim; i++) {
        claim_t *c = &claims[i];

        if (LOAD(&c->state) >= CLAIM_OPEN && (!person || c->person == person) && (!client || c->client == client)) {
            STORE(&c->kill, 1);
            n++;
        }
    }
    return n;
}

int mcp_table_kill_older(int (*revoked)(const unsigned char *grant, void *baton), void *baton)
{
    apr_uint32_t i;
    int n = 0;

    for (i = 0; self && i < head->nclaim; i++) {
        claim_t *c = &claims[i];
        apr_uint32_t owner = LOAD(&c->owner);
        unsigned char grant[MCP_ID_LEN];

        if (owner == 0 || owner > head->nchild || LOAD(&c->state) < CLAIM_OPEN || !c->has_grant || LOAD(&c->kill)
            || LOAD(&children[owner - 1].generation) == self->generation) {
            continue;
        }
        memcpy(grant, c->grant, sizeof(grant));
        /* The place may have changed hands while its grant was asked for; a grant of the same name is as dead. */
        if (revoked(grant, baton) && LOAD(&c->owner) == owner && !memcmp(grant, c->grant, sizeof(grant))) {
            STORE(&c->kill, 1);
            n++;
        }
    }
    return n;
}

apr_uint32_t mcp_table_parked_here(void)
{
    return self ? LOAD(&self->parked) : 0;
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
    if (!head) {
        return 0;
    }
    add_slot(totals, &head->gone);
    for (i = 0; i < head->nchild; i++) {
        if (LOAD(&children[i].pid)) {
            add_slot(totals, &children[i]);
            totals->children++;
        }
    }
    for (i = 0; i < head->nclaim; i++) {
        apr_time_t opened = LOAD(&claims[i].state) >= CLAIM_OPEN ? LOAD(&claims[i].opened) : 0;

        if (opened && (totals->oldest == 0 || opened < totals->oldest)) {
            totals->oldest = opened;
        }
    }
    totals->capacity = head->nclaim;
    totals->limit = LOAD(&head->limit);
    return 1;
}
