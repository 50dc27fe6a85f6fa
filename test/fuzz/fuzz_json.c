/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents: registrations, provider metadata, id_tokens. What is taken can be written and read again. */

#include "fuzz.h"

#include "mcp_json.h"
#include "mcp_json_fast.h"

/* Put what was left of @a json into its place. */
static json_t *whole(apr_pool_t *p, json_t *json, const apr_array_header_t *left)
{
    const char *key;
    json_t *value;
    size_t i;

    for (i = 0; i < (size_t)left->nelts; i++) {
        const mcp_json_left_t *one = &APR_ARRAY_IDX(left, (int)i, mcp_json_left_t);

        if (one->stub == json) {
            return json_incref(mcp_json_parse_any(p, one->text, one->len, 32, JSON_REJECT_DUPLICATES));
        }
    }
    if (json_is_object(json)) {
        json_t *copy = json_object();

        json_object_foreach (json, key, value) {
            json_object_set_new(copy, key, whole(p, value, left));
        }
        return copy;
    }
    if (json_is_array(json)) {
        json_t *copy = json_array();

        json_array_foreach (json, i, value) {
            json_array_append_new(copy, whole(p, value, left));
        }
        return copy;
    }
    return json_incref(json);
}

/* What is left as text is taken or refused as ever, and can be read later. */
static void compare_left(apr_pool_t *p, const char *text, size_t size)
{
    apr_array_header_t *left = apr_array_make(p, 1, sizeof(mcp_json_left_t));
    json_t *outline = mcp_json_parse_but(p, text, size, 32, "a", left);
    json_t *json = mcp_json_parse_any(p, text, size, 32, JSON_REJECT_DUPLICATES);

    REQUIRE(!outline == !json);
    if (json) {
        json_t *again = whole(p, outline, left);

        REQUIRE(again && json_equal(json, again));
        json_decref(again);
    }
}

/* What the quick way takes, jansson takes, and finds the same in it. */
static void compare(const char *text, size_t size)
{
    json_t *quick = mcp_json_read_fast(text, size, 32, NULL, NULL);

    if (quick) {
        json_t *json = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
        char *a = json_dumps(quick, 0);
        char *b = json_dumps(json, 0);

        REQUIRE(json && json_equal(json, quick) && a && b && !strcmp(a, b));
        free(a);
        free(b);
        json_decref(json);
        json_decref(quick);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    json_t *json = mcp_json_parse(p, (const char *)data, size, 8192);
    const char *name;
    json_t *value;

    compare((const char *)data, size);
    compare_left(p, (const char *)data, size);
    if (json) {
        char *text = mcp_json_text(p, json);
        json_t *again = mcp_json_parse(p, text, strlen(text), strlen(text));

        REQUIRE(size <= 8192 && again && json_equal(json, again));
        json_object_foreach (json, name, value) {
            const char *string = mcp_json_str(json, name);

            REQUIRE(!string || (*string && !strpbrk(string, "\r\n\t")));
            mcp_json_int(json, name, 0);
        }
    }
    apr_pool_destroy(p);
    return 0;
}
