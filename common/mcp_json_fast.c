/* SPDX-License-Identifier: Apache-2.0 */
/* JSON read by yajl's scanner into jansson's values.
 *
 * jansson's reader hands each byte through several calls, 160 instructions for it, which for a body of a kilobyte is more
 * than all else that httpd does for the request. yajl's scanner needs a dozen. What JSON is remains jansson's to say: where
 * the two could differ (\u escapes, control characters as white space, numbers that are not short integers, members
 * said twice) or where yajl finds a mistake, nothing is decided here. test/fuzz/fuzz_json.c holds one against the other.
 *
 * Making values and freeing them is then half of what is left. So what nobody may ask for (the arguments of a tool) can be
 * checked and left as text. */

#include "mcp_json_fast.h"

#ifdef HAVE_YAJL

#include <stdlib.h>
#include <string.h>

#include <yajl/yajl_parse.h>

#include "mcp_util.h"

#define DEPTH_MAX 64
#define DIGITS_MAX 18 /* always fit 64 bits */
#define FEW 16        /* members that are compared each with each */

typedef struct {
    const char *text; /* in the text that is read */
    size_t len;
} member_t;

typedef struct {
    json_t *open[DEPTH_MAX]; /* containers begun and not ended; the outermost owns all others */
    int depth;
    int depth_max;
    const char *text;
    apr_size_t len;
    int ascii; /* so that nobody need look whether it is UTF-8 */
    member_t key;
    yajl_handle yajl;

    const char *leave; /* objects that are this member are left as text */
    apr_array_header_t *left;
    int inner;            /* containers open in what is being left; 0: it is made into values */
    int first[DEPTH_MAX]; /* of each of those: where its keys begin */
    apr_array_header_t *keys;
} reader_t;

/* ---- what is made into values ---- */

/* Put @a value, which is taken over, where it belongs. */
static int add(reader_t *reader, json_t *value)
{
    json_t *parent = reader->depth ? reader->open[reader->depth - 1] : NULL;

    if (!value || !parent || reader->inner) {
        json_decref(value);
        return value && parent; /* a text that is but a string or number is not read */
    }
    if (json_is_array(parent)) {
        return !json_array_append_new(parent, value);
    }
    if (json_object_getn(parent, reader->key.text, reader->key.len)) {
        json_decref(value);
        return 0;
    }
    return !(reader->ascii ? json_object_setn_new_nocheck(parent, reader->key.text, reader->key.len, value)
                           : json_object_setn_new(parent, reader->key.text, reader->key.len, value));
}

static int begin(reader_t *reader, json_t *container)
{
    if (!container || reader->depth >= reader->depth_max) {
        json_decref(container);
        return 0;
    }
    if (reader->depth && !add(reader, container)) {
        return 0;
    }
    reader->open[reader->depth++] = container;
    return 1;
}

/* ---- what is left as text ---- */

/* Where the scanner stands: after the token that it tells of. */
static const char *here(const reader_t *reader)
{
    return reader->text + yajl_get_bytes_consumed(reader->yajl);
}

static int begin_inner(reader_t *reader)
{
    if (reader->depth + reader->inner > reader->depth_max) {
        return 0;
    }
    reader->first[reader->inner++] = reader->keys->nelts;
    return 1;
}

static int begin_left(reader_t *reader)
{
    mcp_json_left_t *left;

    if (!begin(reader, json_object())) {
        return 0;
    }
    left = apr_array_push(reader->left);
    left->stub = reader->open[reader->depth - 1];
    left->text = here(reader) - 1;
    return begin_inner(reader);
}

static int compare_members(const void *first, const void *second)
{
    const member_t *a = first;
    const member_t *b = second;

    return a->len != b->len ? (a->len < b->len ? -1 : 1) : memcmp(a->text, b->text, a->len);
}

static int distinct(member_t *members, int n)
{
    int i, j;

    if (n > FEW) {
        qsort(members, (size_t)n, sizeof(*members), compare_members);
    }
    for (i = 1; i < n; i++) {
        for (j = n > FEW ? i - 1 : 0; j < i; j++) {
            if (!compare_members(&members[i], &members[j])) {
                return 0;
            }
        }
    }
    return 1;
}

/* The innermost container ends. Returns 0 if it has a member twice. */
static int end_inner(reader_t *reader)
{
    int first = reader->first[--reader->inner];

    if (!distinct((member_t *)reader->keys->elts + first, reader->keys->nelts - first)) {
        return 0;
    }
    reader->keys->nelts = first;
    if (!reader->inner) {
        mcp_json_left_t *left = &APR_ARRAY_IDX(reader->left, reader->left->nelts - 1, mcp_json_left_t);

        left->len = (apr_size_t)(here(reader) - left->text);
        reader->depth--;
    }
    return 1;
}

/* ---- what the scanner finds ---- */

static int on_start_map(void *ctx)
{
    reader_t *reader = ctx;

    if (reader->inner) {
        return begin_inner(reader);
    }
    if (reader->leave && reader->depth && json_is_object(reader->open[reader->depth - 1])
        && reader->key.len == strlen(reader->leave) && !memcmp(reader->key.text, reader->leave, reader->key.len)) {
        return begin_left(reader);
    }
    return begin(reader, json_object());
}

static int on_start_array(void *ctx)
{
    reader_t *reader = ctx;

    return reader->inner ? begin_inner(reader) : begin(reader, json_array());
}

static int on_end(void *ctx)
{
    reader_t *reader = ctx;

    if (reader->inner) {
        return end_inner(reader);
    }
    if (reader->depth > 1) {
        reader->depth--; /* the outermost stays: it is the answer, and after it comes nothing */
    }
    return 1;
}

static int on_key(void *ctx, const unsigned char *key, size_t len)
{
    reader_t *reader = ctx;
    apr_size_t at = (apr_size_t)((const char *)key - reader->text);

    reader->key.text = (const char *)key;
    reader->key.len = len;
    if (at >= reader->len) {
        return 0; /* one with escapes lies in a buffer of yajl's, which the value will overwrite */
    }
    if (reader->inner) {
        APR_ARRAY_PUSH(reader->keys, member_t) = reader->key;
        return reader->ascii || mcp_is_utf8_bytes(reader->key.text, len);
    }
    return 1;
}

static int on_string(void *ctx, const unsigned char *string, size_t len)
{
    reader_t *reader = ctx;

    if (reader->inner) {
        return reader->ascii || mcp_is_utf8_bytes((const char *)string, len);
    }
    return add(reader, reader->ascii ? json_stringn_nocheck((const char *)string, len)
                                     : json_stringn((const char *)string, len)); /* NULL if it is not UTF-8 */
}

static int on_number(void *ctx, const char *number, size_t len)
{
    reader_t *reader = ctx;
    json_int_t value = 0;
    size_t i = *number == '-';

    if (len - i > DIGITS_MAX) {
        return 0;
    }
    for (; i < len; i++) {
        if (number[i] < '0' || number[i] > '9') {
            return add(reader, json_loadb(number, len, JSON_DECODE_ANY, NULL));
        }
        value = value * 10 + (number[i] - '0');
    }
    return reader->inner || add(reader, json_integer(*number == '-' ? -value : value));
}

static int on_boolean(void *ctx, int value)
{
    return add(ctx, json_boolean(value));
}

static int on_null(void *ctx)
{
    return add(ctx, json_null());
}

/* ---- the text as a whole ---- */

static int only_ascii(const char *text, apr_size_t len)
{
    apr_uint64_t word = 0;
    apr_uint64_t bits = 0;
    apr_size_t i;

    for (i = 0; i + sizeof(word) <= len; i += sizeof(word)) {
        memcpy(&word, text + i, sizeof(word));
        bits |= word;
    }
    for (; i < len; i++) {
        bits |= (unsigned char)text[i];
    }
    return !(bits & APR_UINT64_C(0x8080808080808080));
}

static int only_space(const char *text, apr_size_t len)
{
    while (len && strchr(" \t\r\n", *text) && *text) {
        text++;
        len--;
    }
    return !len;
}

/* Is there what yajl takes in another way than jansson? */
static int doubtful(const char *text, apr_size_t len)
{
    const char *end = text + len;
    const char *at = text;

    if (memchr(text, '\v', len) || memchr(text, '\f', len)) {
        return 1;
    }
    while ((at = memchr(at, '\\', (size_t)(end - at)))) {
        if (++at == end || *at == 'u') {
            return 1;
        }
        at++;
    }
    return 0;
}

json_t *mcp_json_read_fast(const char *text, apr_size_t len, int depth, const char *leave, apr_array_header_t *left)
{
    static const yajl_callbacks callbacks = {
        .yajl_null = on_null,
        .yajl_boolean = on_boolean,
        .yajl_number = on_number,
        .yajl_string = on_string,
        .yajl_start_map = on_start_map,
        .yajl_map_key = on_key,
        .yajl_end_map = on_end,
        .yajl_start_array = on_start_array,
        .yajl_end_array = on_end,
    };
    reader_t reader = { .text = text, .len = len, .depth_max = depth < DEPTH_MAX ? depth : DEPTH_MAX };
    yajl_handle yajl;
    apr_size_t used;
    int whole;

    if (doubtful(text, len) || !(yajl = yajl_alloc(&callbacks, NULL, &reader))) {
        return NULL;
    }
    reader.ascii = only_ascii(text, len);
    reader.yajl = yajl;
    if (leave) {
        reader.leave = leave;
        reader.left = left;
        reader.keys = apr_array_make(left->pool, FEW, sizeof(member_t));
    }
    yajl_config(yajl, yajl_allow_trailing_garbage, 1); /* yajl's own look at it lets the beginning of a string pass */
    whole = yajl_parse(yajl, (const unsigned char *)text, len) == yajl_status_ok;
    used = yajl_get_bytes_consumed(yajl);
    whole = whole && yajl_complete_parse(yajl) == yajl_status_ok && reader.depth && only_space(text + used, len - used);
    yajl_free(yajl);
    if (!whole && reader.depth) {
        json_decref(reader.open[0]);
    }
    return whole ? reader.open[0] : NULL;
}

#else

json_t *mcp_json_read_fast(const char *text, apr_size_t len, int depth, const char *leave, apr_array_header_t *left)
{
    return NULL;
}

#endif
