/* SPDX-License-Identifier: Apache-2.0 */
/* Lines on mcp-otlp's standard input. What is taken is JSON that can stand among others, with as many spans as it says. */

#include "fuzz.h"

#include "mcp_json.h"
#include "otlp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const char *err = NULL;
    int count = 0;
    char *spans = otlp_line(p, (const char *)data, size, &count, &err);

    REQUIRE(!spans == !!err);
    if (spans) {
        char *text = apr_pstrcat(p, "[", spans, ",", spans, "]", NULL);
        json_t *list = mcp_json_parse_any(p, text, strlen(text), 8, JSON_REJECT_DUPLICATES), *span;
        size_t i;

        REQUIRE(count > 0 && json_array_size(list) == 2 * (size_t)count);
        json_array_foreach (list, i, span) {
            REQUIRE(json_string_length(json_object_get(span, "traceId")) == 32);
            REQUIRE(json_string_length(json_object_get(span, "spanId")) == 16);
            REQUIRE(json_string_length(json_object_get(span, "name")) > 0);
            REQUIRE(!json_object_get(span, "attributes") || json_array_size(json_object_get(span, "attributes")) > 0);
        }
    }
    apr_pool_destroy(p);
    return 0;
}
