/* SPDX-License-Identifier: Apache-2.0 */
/* Grant records: what decodes encodes to the same bytes, unless a string holds a NUL. */

#include "fuzz.h"

#include "mcp_grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    mcp_grant_t grant;
    unsigned char *again;
    apr_size_t len;

    memset(&grant, 0, sizeof(grant));
    if (mcp_grant_decode(p, data, size, &grant) == APR_SUCCESS) {
        REQUIRE(grant.subject && grant.client_key && grant.client_name && grant.scope && grant.resource && grant.username
                && grant.claims);
        REQUIRE(grant.issued >= 0 && grant.expires >= 0 && grant.access_expires >= 0);
        mcp_grant_encode(p, &grant, &again, &len);
        REQUIRE(len <= size);
        REQUIRE(mcp_grant_decode(p, again, len, &grant) == APR_SUCCESS);
    }
    apr_pool_destroy(p);
    return 0;
}
