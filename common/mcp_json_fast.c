/* SPDX-License-Identifier: Apache-2.0 */
/* JSON read by yajl's scanner into jansson's values.
 *
 * jansson's reader hands each byte through several calls, 160 instructions for it, which for a body of a kilobyte is more
 * than all else that httpd does for the request. yajl's scanner needs a dozen. What JSON is remains jansson's to say: where
 * the two could differ (\u escapes, control characters as white space, numbers that are not short integers, members
 * said twice) or where yajl finds a mistake, nothing is decided here. test/fuzz/fuzz_json.c holds one against the other. */

#include "mcp_json_fast.h"

#ifdef HAVE_YAJL

#include <string.h>

#include <yajl/yajl_parse.h>

#define DEPTH_MAX 64
#define DIGITS_MAX 18 /* always fit 64 bits */

typedef struct {
    json_t *open[DEPTH_MAX]; /* containers begun and not ended; the outermost owns all others */
    int depth;
    int depth_max;
    const char *text;
    apr_size_t len;
    int ascii;       /* so that nobody need look whether it is UTF-8 */
    const char *key; /* in text */
    size_t key_len;
} reader_t;

/* Put @a value, which is taken over, where it belongs. */
static int add(reader_t *reader, json_t *value)
{
    json_t *parent = reader->depth ? reader->open[reader->depth - 1] : NULL;

    if (!value || !parent) {
        json_decref(value); /* a text that is but a string or number */
        return 0;
    }
    if (json_is_array(parent)) {
        return !json_array_append_new(parent, value);
    }
    if (json_object_getn(parent, reader->key, reader->key_len)) {
        json_decref(value);
        return 0;
    }
    return !(reader->ascii ? json_object_setn_new_nocheck(parent, reader->key, reader->key_len, value)
                           : json_object_setn_new(parent, reader->key, reader->key_len, value));
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

static int on_start_map(void *ctx)
{
    return begin(ctx, json_object());
}

static int on_start_array(void *ctx)
{
    return begin(ctx, json_array());
}

static int on_end(void *ctx)
{
    reader_t *reader = ctx;

    if (reader->depth > 1) {
        reader->depth--; /* the outermost stays: it is the answer, and after it comes nothing */
    }
    return 1;
}

static int on_key(void *ctx, const unsigned char *key, size_t len)
{
    reader_t *reader = ctx;
    apr_size_t at = (apr_size_t)((const char *)key - reader->text);

    reader->key = (const char *)key;
    reader->key_len = len;
    return at < reader->len; /* one with escapes lies in a buffer of yajl's, which the value will overwrite */
}

static int on_string(void *ctx, const unsigned char *string, size_t len)
{
    reader_t *reader = ctx;

    return add(reader, reader->ascii ? json_stringn_nocheck((const char *)string, len)
                                     : json_stringn((const char *)string, len)); /* NULL if it is not UTF-8 */
}

static int on_number(void *ctx, const char *number, size_t len)
{
    json_int_t value = 0;
    size_t i = *number == '-';

    if (len - i > DIGITS_MAX) {
        return 0;
    }
    for (; i < len; i++) {
        if (number[i] < '0' || number[i] > '9') {
            return add(ctx, json_loadb(number, len, JSON_DECODE_ANY, NULL));
        }
        value = value * 10 + (number[i] - '0');
    }
    return add(ctx, json_integer(*number == '-' ? -value : value));
}

static int on_boolean(void *ctx, int value)
{
    return add(ctx, json_boolean(value));
}

static int on_null(void *ctx)
{
    return add(ctx, json_null());
}

static int only_ascii(const char *text, apr_size_t len)
{
    unsigned char bits = 0;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        bits |= (unsigned char)text[i];
    }
    return bits < 0x80;
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

json_t *mcp_json_read_fast(const char *text, apr_size_t len, int depth)
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

json_t *mcp_json_read_fast(const char *text, apr_size_t len, int depth)
{
    (void)text;
    (void)len;
    (void)depth;
    return NULL;
}

#endif
