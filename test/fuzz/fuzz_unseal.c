/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed values and access tokens: nothing opens that we did not seal. The input is tried as text, as a raw record, and as
 * what a sealed JSON and a sealed access token hold, which an older release or a stolen key might have made. */

#include "fuzz.h"

#include "mcp_grant.h"
#include "mcp_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    const mcp_keyring_t *ring = fuzz_ring();
    char *text = fuzz_string(p, data, size);
    mcp_access_token_t token;
    unsigned char hash[16] = { 0 }, *plain;
    apr_size_t len;
    json_t *json = NULL;

    for (int i = 0; i < MCP_PURPOSE_COUNT; i++) {
        REQUIRE(mcp_unseal(p, ring, (mcp_purpose_e)i, text, &plain, &len) != APR_SUCCESS);
    }
    REQUIRE(mcp_unseal_raw(p, ring, MCP_PURPOSE_STORE, "x", 1, data, size, &plain, &len) != APR_SUCCESS);
    REQUIRE(mcp_access_token_open(p, ring, text, 0, hash, &token) != APR_SUCCESS);
    REQUIRE(mcp_unseal_json(p, ring, MCP_PURPOSE_FORM, text, 0, &json) == APR_EINVAL);

    text = mcp_seal(p, ring, MCP_PURPOSE_FORM, data, size);
    if (mcp_unseal_json(p, ring, MCP_PURPOSE_FORM, text, apr_time_from_sec(1000), &json) != APR_EINVAL) {
        REQUIRE(json_is_object(json));
    }
    text = mcp_seal(p, ring, MCP_PURPOSE_ACCESS, data, size);
    if (mcp_access_token_open(p, ring, text, 0, hash, &token) == APR_SUCCESS) {
        REQUIRE(size == 45 && data[0] == 1 && token.expires > 0);
    }
    apr_pool_destroy(p);
    return 0;
}
