/* SPDX-License-Identifier: Apache-2.0 */
/* Places in shared memory, and how a dead process's come back. */

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "mcp_limit.h"
#include "mcp_slots.h"
#include "mcp_util.h"

#define WAYS 8
#define SETS_TRIED 4
#define COUNT_BITS 24
#define COUNT_MASK ((UINT64_C(1) << COUNT_BITS) - 1)

struct mcp_slots_t {
    uint64_t *words;
    uint64_t *claims;
    uint32_t places; /* claims; a power of two */
    uint32_t sets;   /* of words; a power of two */
    uint32_t *next;  /* shared: where to look for a free claim */
    uint64_t *seen;  /* the auditor's, by word */
    unsigned char secret[MCP_LIMIT_SECRET_LEN];
};

#define LOAD(p) __atomic_load_n(p, __ATOMIC_ACQUIRE)
#define STORE(p, v) __atomic_store_n(p, v, __ATOMIC_RELEASE)

static int cas(uint64_t *at, uint64_t expected, uint64_t wanted)
{
    return __atomic_compare_exchange_n(at, &expected, wanted, 0, __ATOMIC_SEQ_CST,
                                       __ATOMIC_ACQUIRE);
}

apr_status_t mcp_slots_create(mcp_slots_t **out, apr_uint32_t places, apr_pool_t *p)
{
    mcp_slots_t *slots = apr_pcalloc(p, sizeof(*slots));
    apr_size_t words;
    char *at;

    slots->places = 64;
    while (slots->places < places) {
        slots->places *= 2;
    }
    words = (apr_size_t)slots->places * 2; /* half full at most, so that a key finds a word */
    slots->sets = (uint32_t)(words / WAYS);
    at = mmap(NULL, 64 + (words + slots->places) * sizeof(uint64_t), PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) {
        return errno;
    }
    slots->next = (uint32_t *)at;
    slots->words = (uint64_t *)(at + 64);
    slots->claims = slots->words + words;
    mcp_random(slots->secret, sizeof(slots->secret));
    *out = slots;
    return APR_SUCCESS;
}

/* ---- counts ---- */

static uint64_t *set_of(const mcp_slots_t *slots, uint64_t hash, int attempt)
{
    return slots->words + ((hash + (uint64_t)attempt) & (slots->sets - 1)) * WAYS;
}

/* The word of this key, else the first one that nobody uses, with what was seen in it. NULL: all
 * are in use. */
static uint64_t *find_word(const mcp_slots_t *slots, uint64_t hash, uint64_t tag, uint64_t *seen)
{
    uint64_t *empty = NULL;
    int i, w;

    for (i = 0; i < SETS_TRIED; i++) {
        uint64_t *set = set_of(slots, hash, i);

        for (w = 0; w < WAYS; w++) {
            uint64_t word = LOAD(&set[w]);

            if ((word & COUNT_MASK) && (word & ~COUNT_MASK) == tag) {
                *seen = word;
                return &set[w];
            }
            if (!empty && !(word & COUNT_MASK)) {
                empty = &set[w];
                *seen = word;
            }
        }
    }
    return empty;
}

/* All that is under way. Two processes that begin at once may rarely have picked two free words. */
static uint64_t under_way(const mcp_slots_t *slots, uint64_t hash, uint64_t tag)
{
    uint64_t n = 0;
    int i, w;

    for (i = 0; i < SETS_TRIED; i++) {
        const uint64_t *set = set_of(slots, hash, i);

        for (w = 0; w < WAYS; w++) {
            uint64_t word = __atomic_load_n(&set[w], __ATOMIC_SEQ_CST);

            n += (word & ~COUNT_MASK) == tag ? word & COUNT_MASK : 0;
        }
    }
    return n;
}

static void count_down(uint64_t *word)
{
    uint64_t was;

    do {
        was = LOAD(word);
    } while ((was & COUNT_MASK) && !cas(word, was, was - 1));
}

/* ---- claims ---- */

static uint64_t *free_claim(mcp_slots_t *slots, pid_t pid)
{
    uint32_t mask = slots->places - 1;
    uint32_t i;

    for (i = 0; i <= mask; i++) {
        uint64_t *claim =
            &slots->claims[__atomic_fetch_add(slots->next, 1, __ATOMIC_RELAXED) & mask];

        if (!LOAD(claim) && cas(claim, 0, (uint64_t)(uint32_t)pid << 32)) {
            return claim;
        }
    }
    return NULL;
}

apr_int32_t mcp_slots_take(mcp_slots_t *slots, apr_uint32_t limit, const char *rule,
                           const char *key, pid_t pid, apr_uint32_t *taken)
{
    uint64_t hash = mcp_limit_hash(slots->secret, rule, key);
    uint64_t tag = hash & ~COUNT_MASK;
    uint64_t *claim = free_claim(slots, pid);
    uint64_t *word;
    uint64_t seen;

    *taken = limit;
    if (!claim) {
        return MCP_SLOT_FULL;
    }
    if (!tag) {
        tag = COUNT_MASK + 1;
    }
    do {
        seen = 0;
        word = find_word(slots, hash, tag, &seen);
        if (!word || (seen & COUNT_MASK) >= limit) {
            STORE(claim, 0);
            return word ? MCP_SLOT_REFUSED : MCP_SLOT_FULL;
        }
    } while (!cas(word, seen, tag | ((seen & COUNT_MASK) + 1)));
    STORE(claim, ((uint64_t)(uint32_t)pid << 32) | (uint64_t)(word - slots->words + 1));
    if (under_way(slots, hash, tag) > limit) {
        mcp_slots_give(slots, (apr_int32_t)(claim - slots->claims));
        return MCP_SLOT_REFUSED;
    }
    *taken = (apr_uint32_t)(seen & COUNT_MASK) + 1;
    return (apr_int32_t)(claim - slots->claims);
}

/* Free the claim first: who dies between the two leaves a count too high, which the audit finds,
 * and never one too low. */
static void give(mcp_slots_t *slots, uint64_t *claim)
{
    uint32_t word = (uint32_t)LOAD(claim);

    STORE(claim, 0);
    if (word > 0 && word <= slots->sets * WAYS) {
        count_down(&slots->words[word - 1]);
    }
}

void mcp_slots_give(mcp_slots_t *slots, apr_int32_t place)
{
    if (place >= 0 && (uint32_t)place < slots->places) {
        give(slots, &slots->claims[place]);
    }
}

apr_uint32_t mcp_slots_gone(mcp_slots_t *slots, pid_t pid)
{
    apr_uint32_t n = 0;
    uint32_t i;

    for (i = 0; i < slots->places; i++) {
        if (LOAD(&slots->claims[i]) >> 32 == (uint32_t)pid) {
            give(slots, &slots->claims[i]);
            n++;
        }
    }
    return n;
}

int mcp_slots_audit(mcp_slots_t *slots)
{
    uint32_t words = slots->sets * WAYS;
    uint32_t *truth = calloc(words, sizeof(*truth));
    int open_questions = 0;
    uint32_t i;

    if (!slots->seen) {
        slots->seen = calloc(words, sizeof(*slots->seen));
    }
    if (!truth || !slots->seen) {
        free(truth);
        return 0;
    }
    for (i = 0; i < slots->places; i++) {
        uint32_t word = (uint32_t)LOAD(&slots->claims[i]);

        if (word > 0 && word <= words) {
            truth[word - 1]++;
        }
    }
    for (i = 0; i < words; i++) {
        uint64_t word = LOAD(&slots->words[i]);

        if ((word & COUNT_MASK) != truth[i]
            && (slots->seen[i] != word
                || !cas(&slots->words[i], word, (word & ~COUNT_MASK) | truth[i]))) {
            slots->seen[i] = word;
            open_questions++;
        }
        else {
            slots->seen[i] = 0;
        }
    }
    free(truth);
    return open_questions;
}
