/* SPDX-License-Identifier: Apache-2.0 */
/* URLs: a redirect URI that is let through is one that a browser takes to where we think, and the port is all that may
 * differ. The input is two lines: what was registered and what is presented. */

#include "fuzz.h"

#include "mcp_url.h"

static void check_one(apr_pool_t *p, const char *uri)
{
    apr_array_header_t *schemes = apr_array_make(p, 1, sizeof(const char *));
    const char *canonical = mcp_resource_canonical(p, uri);
    mcp_url_t url;

    APR_ARRAY_PUSH(schemes, const char *) = "cursor";
    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        REQUIRE(!canonical && mcp_redirect_check(p, uri, schemes));
        return;
    }
    REQUIRE(!strpbrk(uri, "\\ \t\r\n\"<>"));
    REQUIRE(!url.has_port || (url.port > 0 && url.port < 65536));
    REQUIRE(mcp_redirect_match(p, uri, uri));
    mcp_url_origin(p, &url);
    if (!mcp_redirect_check(p, uri, schemes)) {
        REQUIRE(!url.fragment && !url.has_userinfo && !mcp_url_has_dot_segments(url.path));
        REQUIRE(!strcmp(url.scheme, "https") || !strcmp(url.scheme, "cursor")
                || (!strcmp(url.scheme, "http") && mcp_url_is_loopback(&url)));
    }
    if (canonical) {
        mcp_url_t again;

        REQUIRE(mcp_url_parse(p, canonical, &again) == APR_SUCCESS);
        REQUIRE(!strcmp(again.host, url.host) && again.port == url.port);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    char *a = fuzz_string(p, data, size);
    char *b = strchr(a, '\n');
    mcp_url_t one, two;

    if (b) {
        *b++ = '\0';
        if (mcp_redirect_match(p, a, b) && strcmp(a, b)) {
            REQUIRE(mcp_url_parse(p, a, &one) == APR_SUCCESS && mcp_url_parse(p, b, &two) == APR_SUCCESS);
            REQUIRE(!strcmp(one.scheme, "http") && !strcmp(two.scheme, "http") && !strcmp(one.host, two.host)
                    && mcp_url_is_loopback(&two) && !strcmp(one.path, two.path) && !two.has_userinfo && !two.fragment);
        }
        check_one(p, b);
    }
    check_one(p, a);
    apr_pool_destroy(p);
    return 0;
}
