/* SPDX-License-Identifier: Apache-2.0 */
/* Texts for people in several languages, and the choice of the language. */

#include "language.h"

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_util.h"

#define TAG_MAX 35       /* RFC 5646 section 4.4.1 */
#define MESSAGE_MAX 1000 /* bytes of a text */
#define WISHES_MAX 32    /* of a request: whoever sends more gets less */
#define PLACEHOLDER_MAX 24

int mcp_message_find(const mcp_messages_t *messages, const char *key, apr_size_t len)
{
    for (int i = 0; i < messages->count; i++) {
        if (strlen(messages->keys[i]) == len && !strncmp(messages->keys[i], key, len)) {
            return i;
        }
    }
    return -1;
}

static const mcp_language_t *language_at(const mcp_messages_t *messages, int i)
{
    return &APR_ARRAY_IDX(messages->languages, i, mcp_language_t);
}

const char *mcp_message_text(const mcp_messages_t *messages, const mcp_language_t *language,
                             int index)
{
    const char *text = language->texts[index];

    return text ? text : language_at(messages, 0)->texts[index];
}

const char *mcp_message_placeholder(const char *text, const char **name, apr_size_t *len,
                                    const char **rest)
{
    const char *open = text;

    while ((open = strchr(open, '{'))) {
        apr_size_t n = strspn(open + 1, "abcdefghijklmnopqrstuvwxyz_");

        if (n && n <= PLACEHOLDER_MAX && open[n + 1] == '}') {
            *name = open + 1;
            *len = n;
            *rest = open + n + 2;
            return open;
        }
        open++;
    }
    return NULL;
}

/* ---- the choice ---- */

const mcp_language_t *mcp_language_find(const mcp_messages_t *messages, const char *code,
                                        apr_size_t len)
{
    for (int i = 0; i < messages->languages->nelts; i++) {
        const mcp_language_t *language = language_at(messages, i);

        if (strlen(language->id) == len && !strncasecmp(language->id, code, len)) {
            return language;
        }
    }
    return NULL;
}

/* RFC 4647 section 3.4: the range itself, then without its last subtags one by one. */
static const mcp_language_t *look_up(const mcp_messages_t *messages, const char *range,
                                     apr_size_t len)
{
    while (len && len <= TAG_MAX) {
        const mcp_language_t *language = mcp_language_find(messages, range, len);

        if (language) {
            return language;
        }
        while (len && range[len - 1] != '-') {
            len--;
        }
        len -= len > 0;
        if (len > 2 && range[len - 2] == '-') {
            len -= 2; /* a single letter in front of what was cut says nothing by itself */
        }
    }
    return NULL;
}

/* q of an Accept-Language member in thousandths, from behind its range; what is malformed is 0. */
static int quality(const char *text, apr_size_t len)
{
    int value = 0, factor = 100;

    while (len && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    if (!len) {
        return 1000;
    }
    if (*text != ';') {
        return 0;
    }
    do {
        text++;
        len--;
    } while (len && (*text == ' ' || *text == '\t'));
    if (len < 3 || (*text != 'q' && *text != 'Q') || text[1] != '='
        || (text[2] != '0' && text[2] != '1')) {
        return 0;
    }
    value = (text[2] - '0') * 1000;
    for (apr_size_t i = 4; text[3] == '.' && i < len && apr_isdigit(text[i]) && factor; i++) {
        value += (text[i] - '0') * factor;
        factor /= 10;
    }
    return value > 1000 ? 1000 : value;
}

static const mcp_language_t *from_accept(const mcp_messages_t *messages, const char *accept)
{
    const mcp_language_t *best = NULL;
    int best_quality = 0;

    for (int i = 0; *accept && i < WISHES_MAX; i++) {
        apr_size_t len = strcspn(accept, ","), range;
        const mcp_language_t *language;
        const char *member = accept;
        int q;

        accept += len + (accept[len] == ',');
        while (len && (*member == ' ' || *member == '\t')) {
            member++;
            len--;
        }
        range = strcspn(member, ";, \t");
        range = range > len ? len : range;
        q = quality(member + range, len - range);
        language = q > best_quality ? look_up(messages, member, range) : NULL;
        if (language) {
            best = language;
            best_quality = q;
        }
    }
    return best;
}

const mcp_language_t *mcp_language_choose(const mcp_messages_t *messages, const char *locales,
                                          const char *accept)
{
    const mcp_language_t *language = NULL;

    for (int i = 0; locales && *locales && !language && i < WISHES_MAX; i++) {
        apr_size_t len = strcspn(locales, " ");

        language = look_up(messages, locales, len);
        locales += len + strspn(locales + len, " ");
    }
    if (!language && accept) {
        language = from_accept(messages, accept);
    }
    return language ? language : language_at(messages, messages->fallback);
}

/* ---- message files ---- */

/* Does every placeholder of @a text exist in @a other? NULL, or the first that does not. */
static const char *placeholder_missing(apr_pool_t *p, const char *text, const char *other)
{
    const char *name, *found;
    apr_size_t len, n;

    while (mcp_message_placeholder(text, &name, &len, &text)) {
        const char *rest = other;
        int there = 0;

        while (!there && mcp_message_placeholder(rest, &found, &n, &rest)) {
            there = n == len && !strncmp(found, name, len);
        }
        if (!there) {
            return apr_pstrmemdup(p, name, len);
        }
    }
    return NULL;
}

static const char *check_text(apr_pool_t *p, const char *key, const char *text, const char *english)
{
    const char *name = placeholder_missing(p, english, text);

    if (!*text || strlen(text) > MESSAGE_MAX) {
        return apr_psprintf(p, "\"%s\" must have 1 to %d bytes", key, MESSAGE_MAX);
    }
    if (name) {
        return apr_psprintf(p, "\"%s\" must show {%s}, as it does in English", key, name);
    }
    name = placeholder_missing(p, text, english);
    if (name) {
        return apr_psprintf(p, "\"%s\" shows {%s}, which does not exist for it: take it out", key,
                            name);
    }
    if (!strcmp(key, "direction") && strcmp(text, "ltr") && strcmp(text, "rtl")) {
        return "\"direction\" must be \"ltr\" or \"rtl\"";
    }
    return NULL;
}

static int is_tag(const char *code)
{
    apr_size_t len = strlen(code);

    return len >= 2 && len <= TAG_MAX && apr_isalpha(code[0]) && apr_isalpha(code[1])
           && strspn(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-") == len
           && code[len - 1] != '-' && !strstr(code, "--");
}

const char *mcp_messages_add(apr_pool_t *p, mcp_messages_t *messages, const char *code,
                             const json_t *texts, const char *file)
{
    const mcp_language_t *english = language_at(messages, 0);
    const mcp_language_t *old = mcp_language_find(messages, code, strlen(code));
    int direction = mcp_message_find(messages, "direction", strlen("direction"));
    const char **all, *key, *why;
    mcp_language_t *language;
    const json_t *value;

    if (!is_tag(code)) {
        return apr_psprintf(p, "%s: a message file is named by its language, such as de.json or "
                               "pt-BR.json",
                            file);
    }
    all = apr_pcalloc(p, messages->count * sizeof(*all));
    if (old) {
        memcpy(all, old->texts, messages->count * sizeof(*all));
    }
    json_object_foreach ((json_t *)texts, key, value) {
        int index = mcp_message_find(messages, key, strlen(key));

        if (index < 0) {
            return apr_psprintf(p, "%s: \"%s\" is no message: see the keys of messages/en.json",
                                file, mcp_log_text(p, key));
        }
        if (!json_is_string(value)) {
            return apr_psprintf(p, "%s: \"%s\" must be a string", file, key);
        }
        why = check_text(p, key, json_string_value(value), english->texts[index]);
        if (why) {
            return apr_psprintf(p, "%s: %s", file, why);
        }
        all[index] = apr_pstrdup(p, json_string_value(value));
    }
    language = old ? (mcp_language_t *)old : apr_array_push(messages->languages);
    language->id = old ? old->id : apr_pstrdup(p, code);
    language->texts = all;
    language->rtl = direction >= 0 && all[direction] && !strcmp(all[direction], "rtl");
    return NULL;
}
