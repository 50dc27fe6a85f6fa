/* SPDX-License-Identifier: Apache-2.0 */
/* Client assertions (RFC 7523): "t" and a token, or claims, which are signed here by the client's key. Who has no key makes
 * none that is believed; what is believed is by and about the client that it claims to be, for us, and not for ever. */

#include "jwt.h"

#include "mcp_json.h"

#define NOW apr_time_from_sec(1800000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    mcp_id_token_expected_t expected = { .client_id = "https://us", .now = NOW, .assertion = 1 };
    apr_pool_t *p = fuzz_pool();
    int stranger = size && *data == 't';
    const char *token, *claimed, *why = NULL;
    json_t *claims = NULL;

    if (size < 2) {
        apr_pool_destroy(p);
        return 0;
    }
    token = stranger ? fuzz_string(p, data + 1, size - 1) : fuzz_sign(p, data, size);
    claimed = mcp_jwt_claimed_subject(p, token);
    REQUIRE(!claimed || (*claimed && !strpbrk(claimed, "\r\n\t")));
    expected.issuer = expected.subject = claimed ? claimed : "nobody";
    if (mcp_id_token_verify(p, token, fuzz_published(p), &expected, &claims, &why) == APR_SUCCESS) {
        REQUIRE(!stranger && claimed);
        REQUIRE(!strcmp(mcp_json_str(claims, "iss"), claimed) && !strcmp(mcp_json_str(claims, "sub"), claimed));
        REQUIRE(mcp_json_int(claims, "exp", -1) > 1800000000 - MCP_ID_TOKEN_SKEW);
    }
    else {
        REQUIRE(why && !claims);
    }
    apr_pool_destroy(p);
    return 0;
}
