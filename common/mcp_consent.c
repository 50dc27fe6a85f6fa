/* SPDX-License-Identifier: Apache-2.0 */
/* The cookie of remembered consents: hashes of what was allowed, packed and sealed. */

#include "mcp_consent.h"

#include <string.h>

#include <apr_strings.h>
#include <apr_tables.h>

#include "mcp_bytes.h"
#include "mcp_seal.h"
#include "mcp_util.h"

#define VERSION 1
#define SALT_LEN 8
#define TARGET_LEN 8
#define TIME_LEN 4
#define PERSON_LEN 6
#define SCOPE_LEN 4
#define SAME_PERSON 0x40
#define SAME_SCOPES 0x80
#define COUNT_MASK 0x3f

typedef struct {
    unsigned char target[TARGET_LEN];
    unsigned char person[PERSON_LEN];
    apr_uint32_t when; /* seconds */
    int count;
    unsigned char scopes[MCP_CONSENT_SCOPES][SCOPE_LEN];
} entry_t;

struct mcp_consents_t {
    apr_pool_t *pool;
    unsigned char salt[SALT_LEN];
    apr_array_header_t *entries; /* entry_t, the newest first */
};

/* ---- hashes ---- */

/* The first @a len bytes of SHA-256(salt, kind, each text with its NUL). */
static void hash(const mcp_consents_t *list, char kind, const char *const *texts, int n, unsigned char *out,
                 apr_size_t len)
{
    unsigned char digest[MCP_SHA256_LEN], *data, *at;
    apr_size_t size = SALT_LEN + 1;

    for (int i = 0; i < n; i++) {
        size += strlen(texts[i]) + 1;
    }
    data = apr_palloc(list->pool, size);
    memcpy(data, list->salt, SALT_LEN);
    data[SALT_LEN] = (unsigned char)kind;
    at = data + SALT_LEN + 1;
    for (int i = 0; i < n; i++) {
        apr_size_t text_len = strlen(texts[i]) + 1;

        memcpy(at, texts[i], text_len);
        at += text_len;
    }
    mcp_sha256(data, size, digest);
    memcpy(out, digest, len);
}

static void target_hash(const mcp_consents_t *list, const mcp_consent_target_t *target, unsigned char out[TARGET_LEN])
{
    const char *const texts[] = { target->issuer, target->client_key, target->redirect_uri, target->resource };

    hash(list, 't', texts, 4, out, TARGET_LEN);
}

static void person_hash(const mcp_consents_t *list, const char *subject, unsigned char out[PERSON_LEN])
{
    hash(list, 'p', &subject, 1, out, PERSON_LEN);
}

/* Hashes of the scopes of a list, sorted, so that sets can be compared, and each once. How many, or -1 for too many. */
static int scope_hashes(const mcp_consents_t *list, const char *scope, unsigned char out[][SCOPE_LEN])
{
    char *rest = apr_pstrdup(list->pool, scope), *token, *last = NULL;
    int n = 0;

    for (token = apr_strtok(rest, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        const char *text = token;
        unsigned char one[SCOPE_LEN];
        int at = 0;

        hash(list, 's', &text, 1, one, SCOPE_LEN);
        while (at < n && memcmp(out[at], one, SCOPE_LEN) < 0) {
            at++;
        }
        if (at < n && !memcmp(out[at], one, SCOPE_LEN)) {
            continue;
        }
        if (n == MCP_CONSENT_SCOPES) {
            return -1;
        }
        memmove(out[at + 1], out[at], (apr_size_t)(n - at) * SCOPE_LEN);
        memcpy(out[at], one, SCOPE_LEN);
        n++;
    }
    return n;
}

/* ---- reading ---- */

/* One entry from *at, which is advanced. 1, or 0 when it is malformed. */
static int read_entry(const unsigned char **at, const unsigned char *end, const entry_t *before, entry_t *entry)
{
    unsigned char head;

    if (end - *at < 1 + TARGET_LEN + TIME_LEN) {
        return 0;
    }
    head = *(*at)++;
    memcpy(entry->target, *at, TARGET_LEN);
    *at += TARGET_LEN;
    entry->when = (apr_uint32_t)mcp_get_number(*at, TIME_LEN);
    *at += TIME_LEN;
    entry->count = head & COUNT_MASK;
    if (head & SAME_PERSON) {
        if (!before) {
            return 0;
        }
        memcpy(entry->person, before->person, PERSON_LEN);
    }
    else {
        if (end - *at < PERSON_LEN) {
            return 0;
        }
        memcpy(entry->person, *at, PERSON_LEN);
        *at += PERSON_LEN;
    }
    if (head & SAME_SCOPES) {
        if (!before || entry->count != before->count) {
            return 0;
        }
        memcpy(entry->scopes, before->scopes, sizeof(entry->scopes));
    }
    else {
        if (end - *at < entry->count * SCOPE_LEN) {
            return 0;
        }
        memcpy(entry->scopes, *at, (apr_size_t)entry->count * SCOPE_LEN);
        *at += entry->count * SCOPE_LEN;
    }
    return 1;
}

/* All or nothing: what we sealed is well-formed, so anything else is of a release that we do not know. */
static int read_all(mcp_consents_t *list, const unsigned char *data, apr_size_t len)
{
    const unsigned char *at = data + 1 + SALT_LEN, *end = data + len;
    entry_t before = { 0 };

    if (len < 1 + SALT_LEN || data[0] != VERSION) {
        return 0;
    }
    memcpy(list->salt, data + 1, SALT_LEN);
    while (at < end) {
        entry_t *entry = apr_array_push(list->entries);

        if (list->entries->nelts > MCP_CONSENT_ENTRIES
            || !read_entry(&at, end, list->entries->nelts > 1 ? &before : NULL, entry)) {
            return 0;
        }
        before = *entry; /* the array may move when it grows */
    }
    return 1;
}

static void remove_entry(mcp_consents_t *list, int i)
{
    entry_t *entries = (entry_t *)list->entries->elts;

    list->entries->nelts--;
    memmove(entries + i, entries + i + 1, (apr_size_t)(list->entries->nelts - i) * sizeof(entry_t));
}

mcp_consents_t *mcp_consents_open(apr_pool_t *p, const mcp_keyring_t *ring, const char *text, apr_time_t oldest)
{
    mcp_consents_t *list = apr_pcalloc(p, sizeof(*list));
    unsigned char *data;
    apr_size_t len;

    list->pool = p;
    list->entries = apr_array_make(p, 8, sizeof(entry_t));
    if (!text || strnlen(text, MCP_CONSENT_TEXT_MAX + 1) > MCP_CONSENT_TEXT_MAX
        || mcp_unseal(p, ring, MCP_PURPOSE_CONSENT, text, &data, &len) != APR_SUCCESS || !read_all(list, data, len)) {
        apr_array_clear(list->entries);
        mcp_random(list->salt, SALT_LEN);
    }
    for (int i = list->entries->nelts - 1; i >= 0; i--) {
        if (apr_time_from_sec(APR_ARRAY_IDX(list->entries, i, entry_t).when) < oldest) {
            remove_entry(list, i);
        }
    }
    return list;
}

/* ---- asking ---- */

/* Are all of the @a n hashes of @a want among those of the entry? Both are sorted. */
static int covers(const entry_t *entry, unsigned char want[][SCOPE_LEN], int n)
{
    int have = 0;

    for (int i = 0; i < n; i++, have++) {
        while (have < entry->count && memcmp(entry->scopes[have], want[i], SCOPE_LEN) < 0) {
            have++;
        }
        if (have == entry->count || memcmp(entry->scopes[have], want[i], SCOPE_LEN)) {
            return 0;
        }
    }
    return 1;
}

apr_time_t mcp_consents_find(const mcp_consents_t *list, const mcp_consent_target_t *target, const char *subject,
                             const char *scope)
{
    unsigned char wanted[TARGET_LEN], person[PERSON_LEN], scopes[MCP_CONSENT_SCOPES][SCOPE_LEN];
    int n;

    if (!list->entries->nelts) {
        return 0;
    }
    n = scope_hashes(list, scope, scopes);
    target_hash(list, target, wanted);
    if (subject) {
        person_hash(list, subject, person);
    }
    for (int i = 0; n >= 0 && i < list->entries->nelts; i++) {
        const entry_t *entry = &APR_ARRAY_IDX(list->entries, i, entry_t);

        if (!memcmp(entry->target, wanted, TARGET_LEN) && (!subject || !memcmp(entry->person, person, PERSON_LEN))
            && covers(entry, scopes, n)) {
            return apr_time_from_sec(entry->when);
        }
    }
    return 0;
}

int mcp_consents_count(const mcp_consents_t *list)
{
    return list->entries->nelts;
}

/* ---- changing ---- */

/* Entries of a target, of one person or of all. */
static int drop(mcp_consents_t *list, const unsigned char target[TARGET_LEN], const unsigned char *person)
{
    int dropped = 0;

    for (int i = list->entries->nelts - 1; i >= 0; i--) {
        const entry_t *entry = &APR_ARRAY_IDX(list->entries, i, entry_t);

        if (!memcmp(entry->target, target, TARGET_LEN) && (!person || !memcmp(entry->person, person, PERSON_LEN))) {
            remove_entry(list, i);
            dropped++;
        }
    }
    return dropped;
}

int mcp_consents_drop(mcp_consents_t *list, const mcp_consent_target_t *target)
{
    unsigned char wanted[TARGET_LEN];

    target_hash(list, target, wanted);
    return drop(list, wanted, NULL);
}

void mcp_consents_add(mcp_consents_t *list, const mcp_consent_target_t *target, const char *subject, const char *scope,
                      apr_time_t now)
{
    unsigned char scopes[MCP_CONSENT_SCOPES][SCOPE_LEN];
    entry_t entry, *entries;

    memset(&entry, 0, sizeof(entry));
    target_hash(list, target, entry.target);
    person_hash(list, subject, entry.person);
    entry.when = (apr_uint32_t)apr_time_sec(now);
    drop(list, entry.target, entry.person);
    entry.count = scope_hashes(list, scope, scopes);
    if (entry.count < 0) {
        return;
    }
    memcpy(entry.scopes, scopes, (apr_size_t)entry.count * SCOPE_LEN);
    apr_array_push(list->entries);
    entries = (entry_t *)list->entries->elts;
    memmove(entries + 1, entries, (apr_size_t)(list->entries->nelts - 1) * sizeof(entry_t));
    entries[0] = entry;
    if (list->entries->nelts > MCP_CONSENT_ENTRIES) {
        list->entries->nelts = MCP_CONSENT_ENTRIES;
    }
}

/* ---- writing ---- */

/* Write one entry at @a at; the bytes that it takes. */
static apr_size_t write_entry(unsigned char *at, const entry_t *entry, const entry_t *before)
{
    unsigned char *start = at;
    int same_person = before && !memcmp(entry->person, before->person, PERSON_LEN);
    int same_scopes = before && entry->count == before->count
                      && !memcmp(entry->scopes, before->scopes, (apr_size_t)entry->count * SCOPE_LEN);

    *at++ = (unsigned char)(entry->count | (same_person ? SAME_PERSON : 0) | (same_scopes ? SAME_SCOPES : 0));
    memcpy(at, entry->target, TARGET_LEN);
    at += TARGET_LEN;
    at = mcp_put_number(at, entry->when, TIME_LEN);
    if (!same_person) {
        memcpy(at, entry->person, PERSON_LEN);
        at += PERSON_LEN;
    }
    if (!same_scopes) {
        memcpy(at, entry->scopes, (apr_size_t)entry->count * SCOPE_LEN);
        at += entry->count * SCOPE_LEN;
    }
    return (apr_size_t)(at - start);
}

#define ENTRY_MAX (1 + TARGET_LEN + TIME_LEN + PERSON_LEN + MCP_CONSENT_SCOPES * SCOPE_LEN)

/* Bytes that fit into the seal: three for four characters, less what prefix, dots, kid, nonce and tag take. */
#define PLAIN_MAX (MCP_CONSENT_TEXT_MAX / 4 * 3 - (8 + MCP_KID_MAX + 12 + 16))

char *mcp_consents_seal(apr_pool_t *p, const mcp_keyring_t *ring, const mcp_consents_t *list)
{
    unsigned char data[PLAIN_MAX + ENTRY_MAX];
    apr_size_t len = 1 + SALT_LEN;
    const entry_t *before = NULL;

    if (!list->entries->nelts) {
        return NULL;
    }
    data[0] = VERSION;
    memcpy(data + 1, list->salt, SALT_LEN);
    for (int i = 0; i < list->entries->nelts; i++) {
        const entry_t *entry = &APR_ARRAY_IDX(list->entries, i, entry_t);
        apr_size_t more = write_entry(data + len, entry, before);

        if (len + more > PLAIN_MAX) {
            break; /* the rest is older */
        }
        len += more;
        before = entry;
    }
    return mcp_seal(p, ring, MCP_PURPOSE_CONSENT, data, len);
}
