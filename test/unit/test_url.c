/* SPDX-License-Identifier: Apache-2.0 */
/* URLs, redirect URIs and resources. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_url.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

START_TEST(parses)
{
    mcp_url_t url;

    ck_assert_int_eq(mcp_url_parse(pool, "HTTPS://u@MCP.Example.com:8443/a/b?x=1#f", &url), APR_SUCCESS);
    ck_assert_str_eq(url.scheme, "https");
    ck_assert_str_eq(url.host, "mcp.example.com");
    ck_assert_int_eq(url.port, 8443);
    ck_assert(url.has_port && url.has_userinfo && !url.is_ipv6);
    ck_assert_str_eq(url.path, "/a/b");
    ck_assert_str_eq(url.query, "x=1");
    ck_assert_str_eq(url.fragment, "f");

    ck_assert_int_eq(mcp_url_parse(pool, "http://[::1]/", &url), APR_SUCCESS);
    ck_assert_str_eq(url.host, "::1");
    ck_assert(url.is_ipv6 && !url.has_port);
    ck_assert_int_eq(url.port, 80);
    ck_assert_ptr_null(url.query);
    ck_assert_ptr_null(url.fragment);

    ck_assert_int_eq(mcp_url_parse(pool, "https://h", &url), APR_SUCCESS);
    ck_assert_str_eq(url.path, "");
    ck_assert_int_eq(url.port, 443);
    ck_assert_int_eq(mcp_url_parse(pool, "https://h?q", &url), APR_SUCCESS);
    ck_assert_str_eq(url.path, "");
    ck_assert_str_eq(url.query, "q");

    /* private use: with and without an authority */
    ck_assert_int_eq(mcp_url_parse(pool, "com.example.app:/oauth2redirect/x", &url), APR_SUCCESS);
    ck_assert_str_eq(url.host, "");
    ck_assert_str_eq(url.path, "/oauth2redirect/x");
    ck_assert_int_eq(url.port, 0);
    ck_assert_int_eq(mcp_url_parse(pool, "cursor://anysphere.cursor-mcp/oauth/callback", &url), APR_SUCCESS);
    ck_assert_str_eq(url.host, "anysphere.cursor-mcp");
    ck_assert_str_eq(url.path, "/oauth/callback");

    ck_assert_int_eq(mcp_url_parse(pool, "https://h/?a[]=1", &url), APR_SUCCESS);
    ck_assert_int_eq(mcp_url_parse(pool, "https://h/#", &url), APR_SUCCESS);
    ck_assert_str_eq(url.fragment, "");
}
END_TEST

static const char *const bad[] = {
    "", "h", "/path", "//h/", ":", "://h", "1https://h/", "https", "https:", "https:/", "https://", "https:///p",
    "https:h", "http:/h", "https://?q", "https://h:", "https://h:/", "https://h:0/", "https://h:080/", "https://h:65536/",
    "https://h:99999999999/", "https://h:8a/", "https://h:-1/", "https://h:80:80/", "https://u@:80/", "https://@/",
    "https://h h/", "https://h/a b", " https://h/", "https://h/ ", "https://h/\t", "https://h/\r\nX: y", "https://h\\@e/",
    "https://h/\\e", "https://h/a\"b", "https://h/<a>", "https://h/^", "https://h/`", "https://h/{a}", "https://h/|",
    "https://h/%", "https://h/%4", "https://h/%zz", "https://h/%00", "https://h/?%0", "https://h%2f/", "https://h%41/",
    "https://caf\xc3\xa9/", "https://h/\xff", "https://h/\x7f", "https://[::1/", "https://::1/", "https://[]/",
    "https://[::1]x/", "https://[::1]:x/", "https://[fe80::1%25eth0]/", "https://[v1.x]/", "https://[1.2.3.4]/",
    "https://h/[a]", "https://h[/", "https://.h/", "https://h..x/", "https://h./", "https://h,x/", "https://h;x/",
    "https://127.1/", "https://0x7f.1/", "https://0x7f000001/", "https://2130706433/", "https://127.0.0.01/",
    "https://256.1.1.1/", "https://1.2.3.4.5/", "https://1.2.3/", "http://127.0.0.0x1/", "https://h/#a#b"
};

START_TEST(refuses)
{
    mcp_url_t url;

    ck_assert_msg(mcp_url_parse(pool, bad[_i], &url) == APR_EINVAL, "taken: %s", bad[_i]);
}
END_TEST

START_TEST(length_limit)
{
    mcp_url_t url;
    char *text = apr_palloc(pool, MCP_URL_MAX + 2);

    memset(text, 'a', MCP_URL_MAX + 1);
    memcpy(text, "https://h/", 10);
    text[MCP_URL_MAX] = '\0';
    ck_assert_int_eq(mcp_url_parse(pool, text, &url), APR_SUCCESS);
    text[MCP_URL_MAX] = 'a';
    text[MCP_URL_MAX + 1] = '\0';
    ck_assert_int_eq(mcp_url_parse(pool, text, &url), APR_EINVAL);
    ck_assert_int_eq(mcp_url_parse(pool, NULL, &url), APR_EINVAL);
}
END_TEST

static const struct {
    const char *text;
    int loopback;
} hosts[] = {
    { "http://127.0.0.1/", 1 }, { "http://127.8.9.10/", 1 }, { "http://localhost/", 1 }, { "http://LOCALHOST/", 1 }, { "http://[::1]/", 1 }, { "http://[0:0:0:0:0:0:0:1]/", 1 }, { "http://128.0.0.1/", 0 }, { "http://0.0.0.0/", 0 }, { "http://localhost.evil.com/", 0 }, { "http://xlocalhost/", 0 }, { "http://127.0.0.1.evil.com/", 0 }, { "http://[::]/", 0 }, { "http://[::ffff:127.0.0.1]/", 0 }, { "http://[::2]/", 0 }, { "app:/localhost", 0 }
};

START_TEST(loopback)
{
    mcp_url_t url;

    ck_assert_int_eq(mcp_url_parse(pool, hosts[_i].text, &url), APR_SUCCESS);
    ck_assert_msg(mcp_url_is_loopback(&url) == hosts[_i].loopback, "%s", hosts[_i].text);
}
END_TEST

/* T6 */
static const struct {
    const char *path;
    int has;
} paths[] = {
    { "", 0 }, { "/", 0 }, { "/a/b", 0 }, { "/a/.b/c..d/...", 0 }, { "/a%2eb", 0 }, { "/.well-known/x", 0 }, { "/a/", 0 }, { "/.", 1 }, { "/..", 1 }, { "/a/..", 1 }, { "/a/../b", 1 }, { "/a/./b", 1 }, { "..", 1 }, { "./a", 1 }, { "/%2e", 1 }, { "/%2E%2e/b", 1 }, { "/.%2e", 1 }, { "/%2e./x", 1 }, { "//", 1 }, { "/a//b", 1 }, { "/a%2fb", 1 }, { "/a%2Fb", 1 }, { "/a%5cb", 1 }, { "/a%5C", 1 }, { "/a\\b", 1 }, { "/ok/%2e%2e", 1 }
};

START_TEST(dot_segments)
{
    ck_assert_msg(mcp_url_has_dot_segments(paths[_i].path) == paths[_i].has, "%s", paths[_i].path);
}
END_TEST

static apr_array_header_t *schemes(void)
{
    apr_array_header_t *list = apr_array_make(pool, 2, sizeof(const char *));

    APR_ARRAY_PUSH(list, const char *) = "cursor";
    APR_ARRAY_PUSH(list, const char *) = "javascript"; /* an administrator's mistake must not open this */
    return list;
}

static const char *const good_redirects[] = {
    "https://claude.ai/api/mcp/auth_callback", "https://h:8443/cb?x=1&y", "https://h", "http://127.0.0.1:6276/oauth/callback",
    "http://localhost:3000/", "http://localhost/cb", "http://[::1]:9/cb", "cursor://anysphere.cursor-mcp/oauth/callback",
    "CURSOR://x/y", "https://localhost/cb", "https://h/?b[]=1"
};

/* T8, T12, T34 */
static const char *const bad_redirects[] = {
    "", "/cb", "//evil.com/cb", "https:evil.com", "https:\\\\evil.com", "https:/\\evil.com", "http://evil.com/cb",
    "http://10.0.0.1/cb", "http://127.0.0.1.evil.com/", "http://[::2]/", "javascript:alert(1)", "JavaScript:alert(1)",
    "java\tscript:alert(1)", " javascript:alert(1)", "javascript://x/%0aalert(1)", "data:text/html,x", "vbscript:x",
    "file:///etc/passwd", "blob:https://h/x", "about:blank", "ftp://h/", "mailto:a@b", "view-source:https://h/",
    "myapp://cb", "https://h/#", "https://h/cb#f", "https://user@h/", "https://user:pw@h/", "https://ok.com@evil.com/",
    "https://h/../cb", "https://h/a/%2e%2e/b", "https://h//cb", "https://h/cb%5c", "https://h/\r\nSet-Cookie:x",
    "https://h/\t", "cursor://x/y#f", "cursor://x/../y", "cursor", "cursor://", "https://*.example.com/", "https://h/*\"x", "https://h/a[]"
};

START_TEST(redirects_allowed)
{
    const char *uri = good_redirects[_i];

    ck_assert_msg(!mcp_redirect_check(pool, uri, schemes()), "%s", uri);
    ck_assert(mcp_redirect_match(pool, uri, uri));
}
END_TEST

START_TEST(redirects_refused)
{
    const char *why = mcp_redirect_check(pool, bad_redirects[_i], schemes());

    ck_assert_msg(why != NULL, "%s", bad_redirects[_i]);
    for (; *why; why++) {
        ck_assert(*why >= 0x20 && *why < 0x7f && *why != '"' && *why != '\\'); /* goes into error_description */
    }
}
END_TEST

START_TEST(redirect_schemes)
{
    ck_assert_ptr_nonnull(mcp_redirect_check(pool, "cursor://x/y", NULL));
    ck_assert_ptr_null(mcp_redirect_check(pool, "https://h/y", NULL));
}
END_TEST

static const struct {
    const char *registered;
    const char *presented;
    int match;
} matches[] = {
    { "https://h/cb", "https://h/cb", 1 },
    { "https://h/cb", "https://h/cb/", 0 },
    { "https://h/cb", "https://h/CB", 0 },
    { "https://h/cb", "https://H/cb", 0 },
    { "https://h/cb", "https://h:443/cb", 0 },
    { "https://h:1/cb", "https://h:2/cb", 0 },
    { "https://localhost:1/cb", "https://localhost:2/cb", 0 },
    { "https://h/cb", "https://h/cb?x=1", 0 },
    { "https://h/cb", "http://h/cb", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb", 1 },
    { "http://127.0.0.1/cb", "http://127.0.0.1:50000/cb", 1 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1/cb", 1 },
    { "http://localhost/cb", "http://localhost:5/cb", 1 },
    { "http://[::1]:1/cb", "http://[::1]:2/cb", 1 },
    { "http://[::1]/cb", "http://[::1]:2/cb", 1 },
    { "http://127.0.0.1/cb", "http://localhost:5/cb", 0 },
    { "http://localhost/cb", "http://127.0.0.1:5/cb", 0 },
    { "http://127.0.0.1/cb", "http://127.0.0.2:5/cb", 0 },
    { "http://[::1]/cb", "http://127.0.0.1:2/cb", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb/", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb?x", 0 },
    { "http://127.0.0.1:1/cb?x", "http://127.0.0.1:2/cb?x", 1 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:2/cb#f", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:0/cb", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:/cb", 0 },
    { "http://127.0.0.1:1/cb", "http://127.0.0.1:2@evil.com/cb", 0 },
    { "http://127.0.0.1:1/cb", "http://u@127.0.0.1:2/cb", 0 },
    { "http://127.0.0.1:1/cb", "HTTP://127.0.0.1:2/cb", 0 },
    { "http://127.0.0.1:1/cb", "https://127.0.0.1:2/cb", 0 },
    { "http://evil.com:1/cb", "http://evil.com:2/cb", 0 },
    { "http://127.0.0.1:1", "http://127.0.0.1:2", 1 },
    { "http://127.0.0.1:1", "http://127.0.0.1:2/", 0 },
    { "http://127.0.0.1:1?:5/", "http://127.0.0.1:2?:6/", 0 },
    { "http://127.0.0.1/a:1", "http://127.0.0.1/a:2", 0 },
    { "cursor://x:1/y", "cursor://x:2/y", 0 },
    { "app:/cb", "app:/cb", 1 },
    { "https://h/cb", "", 0 }
};

START_TEST(redirect_matching)
{
    ck_assert_msg(mcp_redirect_match(pool, matches[_i].registered, matches[_i].presented) == matches[_i].match,
                  "%s and %s", matches[_i].registered, matches[_i].presented);
}
END_TEST

START_TEST(redirect_null)
{
    ck_assert(!mcp_redirect_match(pool, NULL, NULL));
    ck_assert(!mcp_redirect_match(pool, "https://h/", NULL));
    ck_assert(!mcp_redirect_match(pool, NULL, "https://h/"));
}
END_TEST

static const struct {
    const char *uri;
    const char *canonical;
} resources[] = {
    { "https://MCP.Example.com/mcp", "https://mcp.example.com/mcp" },
    { "HTTPS://mcp.example.com/mcp/", "https://mcp.example.com/mcp" },
    { "https://mcp.example.com", "https://mcp.example.com" },
    { "https://mcp.example.com/", "https://mcp.example.com" },
    { "https://mcp.example.com:443/mcp", "https://mcp.example.com/mcp" },
    { "https://mcp.example.com:8443/mcp", "https://mcp.example.com:8443/mcp" },
    { "http://127.0.0.1:80/MCP", "http://127.0.0.1/MCP" },
    { "http://[::1]:9/x", "http://[::1]:9/x" },
    { "https://h/a?b=c", "https://h/a?b=c" },
    { "https://h/a/?b=c", "https://h/a/?b=c" },
    { "https://h/a//", "https://h/a/" },
    { "https://h/a#", NULL },
    { "https://h/a#f", NULL },
    { "https://u@h/a", NULL },
    { "urn:x:y", NULL },
    { "cursor://h/a", NULL },
    { "mcp.example.com/mcp", NULL },
    { "", NULL }
};

START_TEST(canonical)
{
    char *is = mcp_resource_canonical(pool, resources[_i].uri);

    if (!resources[_i].canonical) {
        ck_assert_ptr_null(is);
        return;
    }
    ck_assert_str_eq(is, resources[_i].canonical);
    ck_assert_str_eq(mcp_resource_canonical(pool, is), is[strlen(is) - 1] == '/' ? "https://h/a" : is);
}
END_TEST

START_TEST(origins)
{
    mcp_url_t url;

    mcp_url_parse(pool, "HTTPS://Example.com:443/x", &url);
    ck_assert_str_eq(mcp_url_origin(pool, &url), "https://example.com");
    mcp_url_parse(pool, "http://[::1]:8080/x", &url);
    ck_assert_str_eq(mcp_url_origin(pool, &url), "http://[::1]:8080");
    mcp_url_parse(pool, "http://h:443/x", &url);
    ck_assert_str_eq(mcp_url_origin(pool, &url), "http://h:443");
    mcp_url_parse(pool, "app:/x", &url);
    ck_assert_ptr_null(mcp_url_origin(pool, &url));
}
END_TEST

START_TEST(building)
{
    apr_table_t *params = apr_table_make(pool, 4);

    ck_assert_str_eq(mcp_url_encode(pool, "aZ09-._~ &=+%/?#\xc3\xa9\r\n\""), "aZ09-._~%20%26%3D%2B%25%2F%3F%23%C3%A9%0D%0A%22");
    ck_assert_str_eq(mcp_url_add_params(pool, "https://h/cb", params), "https://h/cb");
    apr_table_setn(params, "code", "a b");
    apr_table_setn(params, "state", "x&y=z");
    ck_assert_str_eq(mcp_url_add_params(pool, "https://h/cb", params), "https://h/cb?code=a%20b&state=x%26y%3Dz");
    ck_assert_str_eq(mcp_url_add_params(pool, "https://h/cb?k=v", params), "https://h/cb?k=v&code=a%20b&state=x%26y%3Dz");
    ck_assert_str_eq(mcp_url_add_params(pool, "https://h/cb?", params), "https://h/cb?code=a%20b&state=x%26y%3Dz");
    ck_assert_str_eq(mcp_url_add_params(pool, "app:/cb?a&", params), "app:/cb?a&code=a%20b&state=x%26y%3Dz");
}
END_TEST

Suite *suite_url(void)
{
    Suite *suite = suite_create("url");
    TCase *test = unit_case(suite, "url");

    tcase_add_test(test, parses);
    tcase_add_loop_test(test, refuses, 0, COUNT(bad));
    tcase_add_test(test, length_limit);
    tcase_add_loop_test(test, loopback, 0, COUNT(hosts));
    tcase_add_loop_test(test, dot_segments, 0, COUNT(paths));
    tcase_add_loop_test(test, redirects_allowed, 0, COUNT(good_redirects));
    tcase_add_loop_test(test, redirects_refused, 0, COUNT(bad_redirects));
    tcase_add_test(test, redirect_schemes);
    tcase_add_loop_test(test, redirect_matching, 0, COUNT(matches));
    tcase_add_test(test, redirect_null);
    tcase_add_loop_test(test, canonical, 0, COUNT(resources));
    tcase_add_test(test, origins);
    tcase_add_test(test, building);
    return suite;
}
