/* SPDX-License-Identifier: Apache-2.0 */
/* Verified sessions, kept for a moment in each process (MCPSessionCache): a look-up is what costs
 * the guard most.
 *
 *   SETS sets of WAYS slots; the token's SHA-256 chooses the set; each of STRIPES mutexes guards
 *   SETS / STRIPES sets
 *
 *   slot | token digest[32] | verified at | store generation | -> session block (malloc) |
 *
 * A hit needs the same digest, an age within the limit, and the store's generation: that counter
 * moves with each revocation on this host, so such a session is looked up again at once. Tokens
 * themselves are not kept. Nothing grows: a full set gives up its oldest slot, and over-large
 * sessions are not kept at all.
 */

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "guard.h"
#include "mcp_util.h"

#define SETS 1024
#define WAYS 4
#define STRIPES 64
#define SESSION_MAX 4096 /* bytes of one block */

typedef struct {
    unsigned char digest[MCP_SHA256_LEN];
    apr_time_t verified;     /* 0: empty slot */
    apr_uint32_t generation; /* of the store before the look-up */
    mcp_session_t *session;
    apr_size_t room; /* allocated bytes */
} slot_t;

static struct {
    slot_t *slots; /* NULL: no cache */
    apr_thread_mutex_t *mutexes[STRIPES];
} cache;

static apr_status_t forget_cache(void *data)
{
    int i;

    for (i = 0; cache.slots && i < SETS * WAYS; i++) {
        free(cache.slots[i].session);
    }
    free(cache.slots);
    cache.slots = NULL;
    return APR_SUCCESS;
}

void mcp_session_cache_init(apr_pool_t *pchild)
{
    int i;

    for (i = 0; i < STRIPES; i++) {
        if (apr_thread_mutex_create(&cache.mutexes[i], APR_THREAD_MUTEX_DEFAULT, pchild)
            != APR_SUCCESS) {
            return; /* it works without, only slower */
        }
    }
    cache.slots = calloc(SETS * WAYS, sizeof(slot_t));
    apr_pool_cleanup_register(pchild, NULL, forget_cache, apr_pool_cleanup_null);
}

static const char **session_strings(mcp_session_t *session)
{
    return &session->subject;
}

/* Copy a block: its strings move with it. */
static void copy_session(void *to, const mcp_session_t *from)
{
    mcp_session_t *copy = to;
    const char **strings;
    int i;

    memcpy(copy, from, from->size);
    strings = session_strings(copy);
    for (i = 0; i < MCP_SESSION_STRINGS; i++) {
        strings[i] = (const char *)copy + (strings[i] - (const char *)from);
    }
}

static slot_t *find_set(const unsigned char digest[MCP_SHA256_LEN], apr_thread_mutex_t **mutex)
{
    unsigned set = ((unsigned)digest[0] << 8 | digest[1]) % SETS;

    *mutex = cache.mutexes[set % STRIPES];
    return &cache.slots[set * WAYS];
}

const mcp_session_t *mcp_session_cache_get(apr_pool_t *p,
                                           const unsigned char digest[MCP_SHA256_LEN],
                                           apr_time_t now, apr_interval_time_t age,
                                           apr_uint32_t generation)
{
    apr_thread_mutex_t *mutex;
    mcp_session_t *found = NULL;
    slot_t *slot;
    int i;

    if (!cache.slots || age <= 0) {
        return NULL;
    }
    slot = find_set(digest, &mutex);
    apr_thread_mutex_lock(mutex);
    for (i = 0; i < WAYS; i++, slot++) {
        if (memcmp(slot->digest, digest, MCP_SHA256_LEN) || !slot->verified) {
            continue;
        }
        /* A clock that was set back must not keep a session alive. */
        if (slot->generation == generation && now >= slot->verified && now - slot->verified < age) {
            found = apr_palloc(p, slot->session->size);
            copy_session(found, slot->session);
        }
        break;
    }
    apr_thread_mutex_unlock(mutex);
    return found;
}

void mcp_session_cache_put(const unsigned char digest[MCP_SHA256_LEN], apr_time_t now,
                           apr_uint32_t generation, const mcp_session_t *session)
{
    apr_thread_mutex_t *mutex;
    slot_t *set;
    slot_t *slot;
    int i;

    if (!cache.slots || session->size > SESSION_MAX) {
        return;
    }
    set = find_set(digest, &mutex);
    apr_thread_mutex_lock(mutex);
    slot = set;
    for (i = 0; i < WAYS; i++) {
        if (!memcmp(set[i].digest, digest, MCP_SHA256_LEN)) {
            slot = &set[i];
            break;
        }
        if (set[i].verified < slot->verified) {
            slot = &set[i];
        }
    }
    if (slot->room < session->size) {
        free(slot->session);
        slot->session = malloc(session->size);
        slot->room = slot->session ? session->size : 0;
        slot->verified = 0;
    }
    if (slot->session) {
        copy_session(slot->session, session);
        memcpy(slot->digest, digest, MCP_SHA256_LEN);
        slot->generation = generation;
        slot->verified = now;
    }
    apr_thread_mutex_unlock(mutex);
}

const mcp_session_t *mcp_session_make(apr_pool_t *p, const mcp_grant_t *grant,
                                      const mcp_access_token_t *token)
{
    const char *texts[MCP_SESSION_STRINGS];
    apr_size_t lengths[MCP_SESSION_STRINGS];
    apr_size_t size = sizeof(mcp_session_t);
    mcp_session_t *session;
    const char *id;
    char *at;
    int i;

    texts[0] = grant->subject;
    texts[1] = grant->username;
    texts[2] = grant->client_key;
    texts[3] = grant->client_name;
    texts[4] = grant->scope;
    texts[5] = mcp_header_text(p, grant->subject);
    texts[6] = mcp_header_text(p, grant->username);
    texts[7] = mcp_header_text(p, grant->client_name);
    texts[8] = grant->claims;
    for (i = 0; i < MCP_SESSION_STRINGS; i++) {
        if (!texts[i]) {
            texts[i] = "";
        }
        lengths[i] = strlen(texts[i]) + 1;
        size += lengths[i];
    }
    session = apr_palloc(p, size);
    session->size = size;
    session->expires = token->expires < grant->expires ? token->expires : grant->expires;
    memcpy(session->resource_hash, token->resource_hash, sizeof(session->resource_hash));
    memcpy(session->grant_id, token->grant_id, MCP_ID_LEN);
    id = mcp_b64url_encode(p, token->grant_id, MCP_ID_LEN);
    apr_cpystrn(session->grant, id, sizeof(session->grant));
    at = (char *)(session + 1);
    for (i = 0; i < MCP_SESSION_STRINGS; i++) {
        session_strings(session)[i] = memcpy(at, texts[i], lengths[i]);
        at += lengths[i];
    }
    return session;
}
