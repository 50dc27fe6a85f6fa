/* SPDX-License-Identifier: Apache-2.0 */
/* How many streams each person and client holds: words in shared memory, found by the key's hash.
 *
 *   | 40 bits of the key's hash | 24 bits count |     in sets of KEY_WAYS words */

#include <string.h>

#include "stream_table.h"

#define KEY_WAYS 8 /* one cache line */
#define KEY_SETS_TRIED 4

apr_uint64_t mcp_table_key(const char *kind, const char *text)
{
    unsigned char hash_key[APR_SIPHASH_KSIZE];
    apr_uint64_t key;

    memcpy(hash_key, mcp_table.head->hash_key, sizeof(hash_key));
    hash_key[0] ^= (unsigned char)*kind; /* each kind has a hash of its own */
    key = apr_siphash24(text, strlen(text), hash_key);
    return key ? key : 1;
}

static apr_uint64_t *key_set(apr_uint64_t key, apr_uint32_t attempt)
{
    apr_uint32_t sets = mcp_table.head->nkey / KEY_WAYS;

    return mcp_table.keys + ((apr_uint32_t)((key + attempt) & (sets - 1))) * KEY_WAYS;
}

/* The upper 40 bits name the key within its set (the set comes from the lower bits). */
static apr_uint64_t key_tag(apr_uint64_t key)
{
    apr_uint64_t tag = key & ~(apr_uint64_t)COUNT_MASK;

    return tag ? tag : (apr_uint64_t)COUNT_MASK + 1;
}

apr_uint32_t mcp_key_count(apr_uint64_t key)
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

apr_uint32_t mcp_key_add(apr_uint64_t key)
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
                if (mcp_cas64(&set[w], word, tag | ((word & COUNT_MASK) + 1))) {
                    return (apr_uint32_t)(set + w - mcp_table.keys) + 1;
                }
                again = 1; /* somebody was faster: look again from the start */
            }
        }
    } while (again);
    return 0;
}

void mcp_key_sub(apr_uint32_t word_plus_one)
{
    apr_uint64_t *at;
    apr_uint64_t word;

    if (word_plus_one == 0) {
        return;
    }
    at = mcp_table.keys + (word_plus_one - 1);
    do {
        word = LOAD(at);
    } while ((word & COUNT_MASK) != 0 && !mcp_cas64(at, word, word - 1)); /* 0 leaves the tag: free for the next */
}
