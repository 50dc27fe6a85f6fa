/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for people in several languages, and the choice of the language. Knows nothing of httpd. */

#ifndef MCP_LANGUAGE_H
#define MCP_LANGUAGE_H

#include <apr_pools.h>
#include <apr_tables.h>
#include <jansson.h>

/* One language. Texts are in the order of the keys; one that is NULL is taken from English. */
typedef struct {
    const char *id; /* BCP 47, such as "de" or "zh-Hant" */
    const char *const *texts;
    int rtl; /* written from right to left */
} mcp_language_t;

/* All languages that pages can be shown in; the first is English, which has every text. */
typedef struct {
    const char *const *keys;
    int count;
    apr_array_header_t *languages; /* mcp_language_t */
    int fallback;                  /* index of the language for those who ask for none of ours */
} mcp_messages_t;

/** Index of a message, -1 when there is none called @a key (@a len bytes). */
int mcp_message_find(const mcp_messages_t *messages, const char *key, apr_size_t len);

/** Text of the message with this index, in @a language or else in English, with its placeholders. */
const char *mcp_message_text(const mcp_messages_t *messages, const mcp_language_t *language,
                             int index);

/**
 * The next `{placeholder}` of @a text.
 * @param name, len  set to what stands between the braces
 * @param rest       set to what follows it
 * @return the text before it ends here: a pointer to its opening brace, or NULL when none is left
 */
const char *mcp_message_placeholder(const char *text, const char **name, apr_size_t *len,
                                    const char **rest);

/**
 * Choose a language (RFC 4647 section 3.4, lookup): the first of @a locales (OpenID's ui_locales:
 * tags between blanks, the most wanted first) that is there, else the best of @a accept
 * (Accept-Language, RFC 9110 section 12.5.4), else the configured one. Both may be NULL and come
 * from strangers.
 */
const mcp_language_t *mcp_language_choose(const mcp_messages_t *messages, const char *locales,
                                          const char *accept);

/** The language with exactly this code, letter case apart, or NULL. */
const mcp_language_t *mcp_language_find(const mcp_messages_t *messages, const char *code,
                                        apr_size_t len);

/**
 * Take over a message file of an administrator, a JSON object of strings: a new language, or texts
 * that replace those of a language that is there.
 * @param file  for what is said of it
 * @return NULL, or what to mend: an unknown key, a text without a placeholder that English has, or
 *         with one that it has not
 */
const char *mcp_messages_add(apr_pool_t *p, mcp_messages_t *messages, const char *code,
                             const json_t *texts, const char *file);

#endif
