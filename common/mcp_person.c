/* SPDX-License-Identifier: Apache-2.0 */
/* The person index: which clients a person gave access, as one bounded record a person. */

#include "mcp_person.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_bytes.h"
#include "mcp_lease.h"

#define VERSION 2
#define HEADER_LEN (1 + 8 + 8 + 2)
#define ENTRY_FIXED_LEN (MCP_ID_LEN + MCP_SID_LEN + 1 + 3 * 8)
#define STRINGS 6 /* of version 1: 5 */
#define WAIT apr_time_from_sec(2)
#define LIFE_MIN \
    apr_time_from_sec(86400) /* an empty list is kept a while: it says since when it can know */

/* Bytes that are kept of each string, in the order of entry_string(). Our own are far shorter. */
static const apr_size_t string_max[STRINGS] = { 32, 100, 255, 1024, 1024, 255 };

static const char **entry_string(mcp_person_entry_t *entry, int i)
{
    const char **const strings[STRINGS] = {
        &entry->client_key,
        &entry->client_name,
        &entry->host,
        &entry->scope,
        &entry->resource,
        &entry->logo,
    };

    return strings[i];
}

void mcp_sid_hash(const char *sid, unsigned char out[MCP_SID_LEN])
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(sid, strlen(sid), digest);
    memcpy(out, digest, MCP_SID_LEN);
}

/* ---- bounds ---- */

/* Length of a string as it is kept, cut at a character of UTF-8. */
static apr_size_t kept_len(const char *text, apr_size_t max)
{
    apr_size_t len = text ? strlen(text) : 0;

    if (len > max) {
        len = max;
        while (len && ((unsigned char)text[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return len;
}

static apr_size_t entry_size(const mcp_person_entry_t *entry)
{
    mcp_person_entry_t copy = *entry;
    apr_size_t size = ENTRY_FIXED_LEN;

    for (int i = 0; i < STRINGS; i++) {
        size += 2 + kept_len(*entry_string(&copy, i), string_max[i]);
    }
    return size;
}

static void remove_at(apr_array_header_t *entries, int i)
{
    mcp_person_entry_t *last = apr_array_pop(entries);

    if (i < entries->nelts) {
        APR_ARRAY_IDX(entries, i, mcp_person_entry_t) = *last;
    }
}

static void drop_ended(mcp_person_t *person, apr_time_t now)
{
    for (int i = person->entries->nelts - 1; i >= 0; i--) {
        if (APR_ARRAY_IDX(person->entries, i, mcp_person_entry_t).expires <= now) {
            remove_at(person->entries, i);
        }
    }
}

static void make_room(mcp_person_t *person, apr_time_t now)
{
    apr_array_header_t *entries = person->entries;
    apr_size_t size = HEADER_LEN;

    for (int i = 0; i < entries->nelts; i++) {
        size += entry_size(&APR_ARRAY_IDX(entries, i, mcp_person_entry_t));
    }
    while (entries->nelts > MCP_PERSON_ENTRIES || size > MCP_PERSON_BYTES) {
        int oldest = 0;

        for (int i = 1; i < entries->nelts; i++) {
            if (APR_ARRAY_IDX(entries, i, mcp_person_entry_t).used
                < APR_ARRAY_IDX(entries, oldest, mcp_person_entry_t).used) {
                oldest = i;
            }
        }
        size -= entry_size(&APR_ARRAY_IDX(entries, oldest, mcp_person_entry_t));
        remove_at(entries, oldest);
        person->dropped = now;
    }
}

/* ---- the record ---- */

void mcp_person_encode(apr_pool_t *p, mcp_person_t *person, apr_time_t now, unsigned char **out,
                       apr_size_t *len)
{
    apr_array_header_t *entries = person->entries;
    unsigned char *at;

    drop_ended(person, now);
    make_room(person, now);
    *len = HEADER_LEN;
    for (int i = 0; i < entries->nelts; i++) {
        *len += entry_size(&APR_ARRAY_IDX(entries, i, mcp_person_entry_t));
    }
    at = *out = apr_palloc(p, *len);
    *at++ = VERSION;
    at = mcp_put_time(at, person->since, MCP_MILLISECONDS);
    at = mcp_put_time(at, person->dropped, MCP_MILLISECONDS);
    at = mcp_put_number(at, (apr_uint64_t)entries->nelts, 2);
    for (int i = 0; i < entries->nelts; i++) {
        mcp_person_entry_t *entry = &APR_ARRAY_IDX(entries, i, mcp_person_entry_t);

        memcpy(at, entry->grant, MCP_ID_LEN);
        at += MCP_ID_LEN;
        memcpy(at, entry->sid, MCP_SID_LEN);
        at += MCP_SID_LEN;
        *at++ = (unsigned char)entry->source;
        at = mcp_put_time(at, entry->issued, MCP_MILLISECONDS);
        at = mcp_put_time(at, entry->used, MCP_MILLISECONDS);
        at = mcp_put_time(at, entry->expires, MCP_MILLISECONDS);
        for (int s = 0; s < STRINGS; s++) {
            const char *text = *entry_string(entry, s);
            apr_size_t n = kept_len(text, string_max[s]);

            at = mcp_put_number(at, n, 2);
            if (n) {
                memcpy(at, text, n);
                at += n;
            }
        }
    }
}

/* One entry at *at; the cursor moves on. 0 when it is cut off. */
static int decode_entry(apr_pool_t *p, const unsigned char **at, const unsigned char *end,
                        int strings, mcp_person_entry_t *entry)
{
    const unsigned char *c = *at;

    if (end - c < ENTRY_FIXED_LEN) {
        return 0;
    }
    memcpy(entry->grant, c, MCP_ID_LEN);
    c += MCP_ID_LEN;
    memcpy(entry->sid, c, MCP_SID_LEN);
    c += MCP_SID_LEN;
    entry->source = *c++;
    entry->issued = mcp_get_time(c, MCP_MILLISECONDS);
    entry->used = mcp_get_time(c + 8, MCP_MILLISECONDS);
    entry->expires = mcp_get_time(c + 16, MCP_MILLISECONDS);
    c += 24;
    entry->logo = "";
    for (int s = 0; s < strings; s++) {
        apr_size_t n;

        if (end - c < 2) {
            return 0;
        }
        n = (apr_size_t)mcp_get_number(c, 2);
        c += 2;
        if ((apr_size_t)(end - c) < n) {
            return 0;
        }
        *entry_string(entry, s) = apr_pstrmemdup(p, (const char *)c, n);
        c += n;
    }
    *at = c;
    return 1;
}

static void make_empty(apr_pool_t *p, mcp_person_t *person)
{
    memset(person, 0, sizeof(*person));
    person->entries = apr_array_make(p, 8, sizeof(mcp_person_entry_t));
}

apr_status_t mcp_person_decode(apr_pool_t *p, const unsigned char *data, apr_size_t len,
                               mcp_person_t *person)
{
    const unsigned char *at = data, *end = data + len;
    int count, strings;

    make_empty(p, person);
    if (len < HEADER_LEN || at[0] < 1 || at[0] > VERSION) {
        return APR_EINVAL;
    }
    strings = at[0] == 1 ? STRINGS - 1 : STRINGS;
    person->since = mcp_get_time(at + 1, MCP_MILLISECONDS);
    person->dropped = mcp_get_time(at + 9, MCP_MILLISECONDS);
    count = (int)mcp_get_number(at + 17, 2);
    at += HEADER_LEN;
    for (int i = 0; i < count; i++) {
        mcp_person_entry_t entry = { { 0 } };

        if (!decode_entry(p, &at, end, strings, &entry)) {
            make_empty(p, person);
            return APR_EINVAL;
        }
        APR_ARRAY_PUSH(person->entries, mcp_person_entry_t) = entry;
    }
    if (at != end) {
        make_empty(p, person);
        return APR_EINVAL;
    }
    return APR_SUCCESS;
}

static mcp_person_entry_t *find(const mcp_person_t *person, const unsigned char grant[MCP_ID_LEN])
{
    for (int i = 0; i < person->entries->nelts; i++) {
        mcp_person_entry_t *entry = &APR_ARRAY_IDX(person->entries, i, mcp_person_entry_t);

        if (!memcmp(entry->grant, grant, MCP_ID_LEN)) {
            return entry;
        }
    }
    return NULL;
}

void mcp_person_merge(mcp_person_t *person, const mcp_person_entry_t *entry)
{
    static const unsigned char none[MCP_SID_LEN];
    mcp_person_entry_t *old = find(person, entry->grant), kept;

    if (!old) {
        APR_ARRAY_PUSH(person->entries, mcp_person_entry_t) = *entry;
        return;
    }
    kept = *old;
    *old = *entry;
    old->issued = kept.issued;
    if (!memcmp(entry->sid, none, MCP_SID_LEN)) {
        memcpy(old->sid, kept.sid, MCP_SID_LEN);
    }
    if (!entry->source) {
        old->source = kept.source;
        old->host = kept.host;
        old->logo = kept.logo;
    }
    if (kept.used > old->used) { /* two nodes' writes may come in either order */
        old->used = kept.used;
        old->expires = kept.expires;
    }
}

/* ---- in the store ---- */

static apr_status_t read_record(mcp_store_t *store, const char *subject, mcp_person_t *out,
                                apr_pool_t *p)
{
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv =
        mcp_store_get(store, MCP_KIND_INDEX, subject, strlen(subject), &data, &len, p);

    if (rv == APR_SUCCESS && mcp_person_decode(p, data, len, out) != APR_SUCCESS) {
        rv = APR_NOTFOUND; /* of another version: begun anew */
    }
    if (rv != APR_SUCCESS) {
        make_empty(p, out);
    }
    return rv;
}

static apr_status_t write_record(mcp_store_t *store, const char *subject, mcp_person_t *person,
                                 apr_time_t now, apr_pool_t *p)
{
    apr_time_t until = now + LIFE_MIN;
    unsigned char *data;
    apr_size_t len;

    mcp_person_encode(p, person, now, &data, &len);
    for (int i = 0; i < person->entries->nelts; i++) {
        apr_time_t expires = APR_ARRAY_IDX(person->entries, i, mcp_person_entry_t).expires;

        until = expires > until ? expires : until;
    }
    return mcp_store_put(store, MCP_KIND_INDEX, subject, strlen(subject), until, data, len, p);
}

apr_status_t mcp_person_get(mcp_store_t *store, const char *subject, mcp_person_t *out,
                            apr_pool_t *p)
{
    apr_status_t rv = read_record(store, subject, out, p);

    if (rv == APR_SUCCESS) {
        drop_ended(out, apr_time_now());
    }
    return rv;
}

/* Does the record say so already, as far as anybody will ask? */
static int is_noted(const mcp_person_t *person, const mcp_person_entry_t *entry)
{
    const mcp_person_entry_t *old = find(person, entry->grant);

    return old && entry->used < old->used + MCP_PERSON_TOUCH && !strcmp(old->scope, entry->scope)
           && !strcmp(old->client_name, entry->client_name);
}

apr_status_t mcp_person_note(mcp_store_t *store, const char *subject,
                             const mcp_person_entry_t *entry, apr_pool_t *p)
{
    mcp_person_t person;
    mcp_lease_t lease;
    apr_time_t now;
    apr_status_t rv = read_record(store, subject, &person, p);

    if (rv == MCP_EDOWN || (rv == APR_SUCCESS && is_noted(&person, entry))) {
        return rv;
    }
    rv = mcp_lease_take(store, subject, strlen(subject), WAIT, &lease, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    now = apr_time_now();
    rv = read_record(store, subject, &person, p);
    if (rv != MCP_EDOWN) {
        if (!person.since) {
            person.since = now;
        }
        mcp_person_merge(&person, entry);
        rv = mcp_lease_holds(&lease) ? write_record(store, subject, &person, now, p) : APR_TIMEUP;
    }
    mcp_lease_give(&lease, p);
    return rv;
}

apr_status_t mcp_person_drop(mcp_store_t *store, const char *subject,
                             const unsigned char (*grants)[MCP_ID_LEN], int n, apr_pool_t *p)
{
    mcp_person_t person;
    mcp_lease_t lease;
    apr_status_t rv = mcp_lease_take(store, subject, strlen(subject), WAIT, &lease, p);
    int dropped = 0;

    if (rv != APR_SUCCESS) {
        return rv;
    }
    rv = read_record(store, subject, &person, p);
    for (int i = 0; rv == APR_SUCCESS && i < n; i++) {
        mcp_person_entry_t *entry = find(&person, grants[i]);

        if (entry) {
            remove_at(person.entries, (int)(entry - (mcp_person_entry_t *)person.entries->elts));
            dropped++;
        }
    }
    if (dropped) {
        rv = mcp_lease_holds(&lease) ? write_record(store, subject, &person, apr_time_now(), p)
                                     : APR_TIMEUP;
    }
    mcp_lease_give(&lease, p);
    return rv == APR_NOTFOUND ? APR_SUCCESS : rv;
}

/* ---- other names ---- */

static const char *alias_id(apr_pool_t *p, const char *provider, const char *kind, const char *name)
{
    return apr_pstrcat(p, "alias\n", kind, "\n", provider, "\n", name,
                       NULL); /* no subject has a line break */
}

apr_status_t mcp_person_alias_put(mcp_store_t *store, const char *provider, const char *kind,
                                  const char *name, const char *subject, apr_time_t expires,
                                  apr_pool_t *p)
{
    const char *id = alias_id(p, provider, kind, name);

    return mcp_store_put(store, MCP_KIND_INDEX, id, strlen(id), expires, subject, strlen(subject),
                         p);
}

apr_status_t mcp_person_alias_get(mcp_store_t *store, const char *provider, const char *kind,
                                  const char *name, const char **subject, apr_pool_t *p)
{
    const char *id = alias_id(p, provider, kind, name);
    unsigned char *data;
    apr_size_t len;
    apr_status_t rv = mcp_store_get(store, MCP_KIND_INDEX, id, strlen(id), &data, &len, p);

    if (rv == APR_SUCCESS) {
        *subject = (const char *)data;
    }
    return rv;
}
