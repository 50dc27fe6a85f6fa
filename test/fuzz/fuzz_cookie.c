/* SPDX-License-Identifier: Apache-2.0 */
/* The Cookie header (T33): what is found stands in the header, after the name and an equals sign. */

#include "fuzz.h"

#include "mcp_cookie.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    char *header = fuzz_string(p, data, size);
    const char *value = mcp_cookie_get(p, header, "mcp-tx", 0);

    if (value) {
        REQUIRE(strstr(header, "mcp-tx="));
        REQUIRE(!*value || strstr(header, value));
        REQUIRE(!strchr(value, ';'));
    }
    value = mcp_cookie_get(p, header, "mcp-tx", 1);
    REQUIRE(!value || strstr(header, "__Host-mcp-tx="));
    apr_pool_destroy(p);
    return 0;
}
