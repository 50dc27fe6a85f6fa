/* SPDX-License-Identifier: Apache-2.0 */
/* Queries and form bodies: what is taken holds its promises, whatever the input. */

#include "fuzz.h"

#include "mcp_form.h"
#include "mcp_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    apr_array_header_t *form;
    const char *duplicate, *value;

    if (mcp_form_parse(p, (const char *)data, size, &form) == APR_SUCCESS) {
        REQUIRE(form->nelts <= MCP_FORM_MAX_FIELDS);
        duplicate = mcp_form_duplicate(form);
        REQUIRE(!duplicate || mcp_form_get(form, duplicate));
        value = mcp_form_get(form, "state");
        REQUIRE(!value || mcp_is_utf8(value));
    }
    apr_pool_destroy(p);
    return 0;
}
