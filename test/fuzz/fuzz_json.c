/* SPDX-License-Identifier: Apache-2.0 */
/* JSON documents: registrations, provider metadata, id_tokens. What is taken can be written and read again. */

#include "fuzz.h"

#include "mcp_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    json_t *json = mcp_json_parse(p, (const char *)data, size, 8192);
    const char *name;
    json_t *value;

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
