/* SPDX-License-Identifier: Apache-2.0 */
/* The cookie of remembered consents. The input is tried as the cookie's text, which must count as nothing, and as what is
 * inside the seal, which a release that we do not know or a stolen key might have made. */

#include "fuzz.h"

#include "mcp_consent.h"
#include "mcp_seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const mcp_consent_target_t target = { "i", "c", "https://client.example/", "https://mcp.example/mcp" };
    apr_pool_t *p = fuzz_pool();
    const mcp_keyring_t *ring = fuzz_ring();
    apr_time_t now = apr_time_from_sec(2000000000);
    mcp_consents_t *list = mcp_consents_open(p, ring, fuzz_string(p, data, size), 0), *again;
    char *text;
    int count;

    REQUIRE(mcp_consents_count(list) == 0);
    list = mcp_consents_open(p, ring, mcp_seal(p, ring, MCP_PURPOSE_CONSENT, data, size), 0);
    count = mcp_consents_count(list);
    REQUIRE(count <= MCP_CONSENT_ENTRIES && (size_t)count * 13 <= size);
    text = mcp_consents_seal(p, ring, list);
    REQUIRE(!text == !count);
    if (text) {
        REQUIRE(strlen(text) <= MCP_CONSENT_TEXT_MAX);
        again = mcp_consents_open(p, ring, text, 0);
        REQUIRE(mcp_consents_count(again) > 0 && mcp_consents_count(again) <= count);
    }
    REQUIRE(mcp_consents_drop(list, &target) <= count);
    mcp_consents_add(list, &target, "p", "s t", now);
    text = mcp_consents_seal(p, ring, list);
    REQUIRE(text && strlen(text) <= MCP_CONSENT_TEXT_MAX);
    again = mcp_consents_open(p, ring, text, now);
    REQUIRE(mcp_consents_find(again, &target, "p", "t") == now);
    REQUIRE(!mcp_consents_find(again, &target, "q", "t"));
    REQUIRE(!mcp_consents_find(again, &target, "p", "t u"));
    apr_pool_destroy(p);
    return 0;
}
