/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents: registrations, provider metadata, id_tokens. What is taken can be written and read again. */

#include "fuzz.h"

#include "mcp_json.h"
#include "mcp_json_fast.h"

/* What the quick way takes, jansson takes, and finds the same in it. */
static void compare(const char *text, size_t size)
{
    json_t *quick = mcp_json_read_fast(text, size, 32);

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
