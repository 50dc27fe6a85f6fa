/* SPDX-License-Identifier: Apache-2.0 */
/* Strict JSON on jansson, by a quick way where there is one. */

#include "mcp_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>

#include "mcp_json_fast.h"
#include "mcp_util.h"

/* jansson recurses, 2048 levels deep at most, which a small thread stack does not hold. No protocol needs more. */
#define DEPTH_MAX 32

/* Is the text, valid or not, nested more deeply than @a max? */
static int too_deep(const char *text, apr_size_t len, int max)
{
    int depth = 0, in_string = 0;

    for (apr_size_t i = 0; i < len; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\') {
                i++;
            }
            else if (c == '"') {
                in_string = 0;
            }
        }
        else if (c == '"') {
            in_string = 1;
        }
        else if ((c == '{' || c == '[') && ++depth > max) {
            return 1;
        }
        else if (c == '}' || c == ']') {
            depth--;
        }
    }
    return 0;
}

static json_t *read_slowly(const char *text, apr_size_t len, int depth, size_t flags)
{
    return too_deep(text, len, depth) ? NULL : json_loadb(text, len, flags, NULL);
}

static json_t *read_json(const char *text, apr_size_t len, int depth, size_t flags)
{
    const size_t lenient = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL; /* the quick way takes neither of both */
    json_t *json = flags & ~lenient ? NULL : mcp_json_read_fast(text, len, depth, NULL, NULL);

    return json ? json : read_slowly(text, len, depth, flags);
}

json_t *mcp_json_parse(apr_pool_t *p, const char *text, apr_size_t len, apr_size_t max)
{
    json_t *json;

    if (!text || len > max) {
        return NULL;
    }
    json = read_json(text, len, DEPTH_MAX, JSON_REJECT_DUPLICATES);
    if (json && !json_is_object(json)) {
        json_decref(json);
        json = NULL;
    }
    return json ? mcp_json_own(p, json) : NULL;
}

json_t *mcp_json_parse_any(apr_pool_t *p, const char *text, apr_size_t len, int depth, size_t flags)
{
    return mcp_json_own(p, read_json(text, len, depth, flags));
}

json_t *mcp_json_parse_but(apr_pool_t *p, const char *text, apr_size_t len, int depth, const char *leave,
                           apr_array_header_t *left)
{
    json_t *json = mcp_json_read_fast(text, len, depth, leave, left);

    if (!json) {
        apr_array_clear(left);
        json = read_slowly(text, len, depth, JSON_REJECT_DUPLICATES);
    }
    return mcp_json_own(p, json);
}

json_t *mcp_json_parse_wide(apr_pool_t *p, const char *text, apr_size_t len, int depth, size_t flags, int *reals)
{
    json_t *json = mcp_json_parse_any(p, text, len, depth, flags);
    int again = !json;

    if (again) {
        json = mcp_json_parse_any(p, text, len, depth, flags | JSON_DECODE_INT_AS_REAL);
    }
    if (reals) {
        *reals = again;
    }
    return json;
}

int mcp_json_same(const json_t *a, const json_t *b)
{
    const char *key;
    json_t *value;
    size_t i;

    if (json_is_number(a) && json_is_number(b) && !(json_is_integer(a) && json_is_integer(b))) {
        return json_number_value(a) == json_number_value(b);
    }
    if (json_is_array(a) && json_is_array(b) && json_array_size(a) == json_array_size(b)) {
        for (i = 0; i < json_array_size(a); i++) {
            if (!mcp_json_same(json_array_get(a, i), json_array_get(b, i))) {
                return 0;
            }
        }
        return 1;
    }
    if (json_is_object(a) && json_is_object(b) && json_object_size(a) == json_object_size(b)) {
        json_object_foreach ((json_t *)a, key, value) {
            json_t *other = json_object_get(b, key);

            if (!other || !mcp_json_same(value, other)) {
                return 0;
            }
        }
        return 1;
    }
    return a && b && json_equal((json_t *)a, (json_t *)b);
}

static apr_status_t decref(void *json)
{
    json_decref(json);
    return APR_SUCCESS;
}

json_t *mcp_json_own(apr_pool_t *p, json_t *json)
{
    if (json) {
        apr_pool_cleanup_register(p, json, decref, apr_pool_cleanup_null);
    }
    return json;
}

const char *mcp_json_str(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && *text && !mcp_has_control(text) ? text : NULL;
}

json_int_t mcp_json_int(const json_t *object, const char *name, json_int_t fallback)
{
    const json_t *value = json_object_get(object, name);

    if (json_is_integer(value)) {
        return json_integer_value(value);
    }
    if (json_is_real(value)) {
        double real = json_real_value(value);

        /* 2^53: beyond it a double holds no exact integers; 1e300 must not become some time (T49) */
        return fabs(real) <= 9007199254740992.0 ? (json_int_t)real : fallback;
    }
    if (json_is_string(value)) {
        const char *text = json_string_value(value);
        char *end;
        long long number;

        if (!*text || strspn(text, "-0123456789") != strlen(text)) {
            return fallback;
        }
        errno = 0;
        number = strtoll(text, &end, 10);
        return errno || *end ? fallback : (json_int_t)number;
    }
    return fallback;
}

char *mcp_json_text(apr_pool_t *p, const json_t *json)
{
    apr_size_t len = json_dumpb(json, NULL, 0, JSON_COMPACT);
    char *text = apr_palloc(p, len + 1);

    if (!len || json_dumpb(json, text, len, JSON_COMPACT) != len) {
        return apr_pstrdup(p, "null"); /* what json_pack() refused to build: nothing that reads it will take it */
    }
    text[len] = '\0';
    return text;
}
