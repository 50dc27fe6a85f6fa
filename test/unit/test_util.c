/* SPDX-License-Identifier: Apache-2.0 */
/* base64url, hashes, random bytes, comparison, masks, lists. */

#include "unit.h"

#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_util.h"

/* RFC 4648 section 10, in the alphabet and without the padding of section 5 */
static const struct {
    const char *plain;
    const char *text;
} rfc4648[] = {
    { "", "" }, { "f", "Zg" }, { "fo", "Zm8" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg" }, { "fooba", "Zm9vYmE" }, { "foobar", "Zm9vYmFy" }, { "\xfb\xff\xbf", "-_-_" }
};

START_TEST(base64url_rfc4648)
{
    unsigned char *data;
    apr_size_t len;

    ck_assert_str_eq(mcp_b64url_encode(pool, rfc4648[_i].plain, strlen(rfc4648[_i].plain)), rfc4648[_i].text);
    ck_assert_int_eq(mcp_b64url_decode(pool, rfc4648[_i].text, strlen(rfc4648[_i].text), &data, &len), APR_SUCCESS);
    ck_assert_uint_eq(len, strlen(rfc4648[_i].plain));
    ck_assert_str_eq((char *)data, rfc4648[_i].plain);
}
END_TEST

/* padding, other alphabets, white space, impossible lengths, trailing bits that are not zero */
static const char *const not_base64url[] = {
    "Zg==", "Zm8=", "Zm9v\n", " Zm9v", "Zm 9v", "+/+/", "A", "AAAAA", "Zh", "Zm9", "Zm9vYh", "Z\x80", "Zm9v=", "Zm.v"
};

START_TEST(base64url_refuses)
{
    unsigned char *data;
    apr_size_t len;

    ck_assert_int_eq(mcp_b64url_decode(pool, not_base64url[_i], strlen(not_base64url[_i]), &data, &len), APR_EINVAL);
}
END_TEST

START_TEST(base64url_every_length)
{
    unsigned char raw[100], *data;
    apr_size_t len;

    mcp_random(raw, sizeof(raw));
    for (apr_size_t n = 0; n <= sizeof(raw); n++) {
        char *text = mcp_b64url_encode(pool, raw, n);

        ck_assert_int_eq(mcp_b64url_decode(pool, text, strlen(text), &data, &len), APR_SUCCESS);
        ck_assert_uint_eq(len, n);
        ck_assert_int_eq(memcmp(data, raw, n), 0);
    }
}
END_TEST

START_TEST(hashes)
{
    unsigned char digest[MCP_SHA256_LEN];

    /* FIPS 180-2 appendix B.1 */
    static const unsigned char abc[] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40, 0xde, 0x5d, 0xae, 0x22, 0x23,
        0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17, 0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad
    };

    mcp_sha256("abc", 3, digest);
    ck_assert_int_eq(memcmp(digest, abc, sizeof(abc)), 0);
    /* RFC 7636 appendix B */
    ck_assert_str_eq(mcp_sha256_b64url(pool, "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
                     "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM");
}
END_TEST

START_TEST(random_values)
{
    char *a = mcp_random_b64url(pool, 32), *b = mcp_random_b64url(pool, 32);

    ck_assert_uint_eq(strlen(a), 43); /* the least that RFC 7636 section 4.1 allows */
    ck_assert_str_ne(a, b);
    ck_assert_str_eq(mcp_random_b64url(pool, 0), "");
}
END_TEST

START_TEST(comparison)
{
    ck_assert(mcp_secret_equal("secret", "secret"));
    ck_assert(!mcp_secret_equal("secret", "secreT"));
    ck_assert(!mcp_secret_equal("secret", "secret1"));
    ck_assert(!mcp_secret_equal("secret", ""));
    ck_assert(mcp_secret_equal("", ""));
    ck_assert(!mcp_secret_equal(NULL, NULL));
    ck_assert(!mcp_secret_equal("secret", NULL));
    ck_assert(!mcp_secret_equal(NULL, "secret"));
}
END_TEST

START_TEST(masks)
{
    ck_assert_str_eq(mcp_mask(pool, "mcpat.k1.abcdefghijklmnop"), "mcpa...(25)");
    ck_assert_ptr_null(strstr(mcp_mask(pool, "hunter2"), "hunt"));
    ck_assert_str_eq(mcp_mask(pool, NULL), "(none)");
    ck_assert_ptr_null(strchr(mcp_mask(pool, "\r\n\r\nAAAAAAAAAAAAAAAA"), '\n'));

    ck_assert_str_eq(mcp_log_text(pool, "a\r\nb\"c'd\\e\x7f\xc3\xa9 f"), "a??b?c?d?e??? f");
    ck_assert_uint_eq(strlen(mcp_log_text(pool, apr_pstrcat(pool, "0123456789012345678901234567890123456789",
                                                            "0123456789012345678901234567890123456789", "0123456789012345678901234567890123456789", "0123456789",
                                                            NULL))),
                      128);
    ck_assert_str_eq(mcp_log_text(pool, NULL), "(none)");
    /* T45: what is sealed here is cut, wherever somebody puts it */
    ck_assert_str_eq(mcp_log_text(pool, "mcpat.k1.AbC-_9xyz"), "mcpat.k1...");
    ck_assert_str_eq(mcp_log_text(pool, "x=Bearer mcprt.key-2.AAAAAAAA mcpac.k1.BBBBB, mcpat"),
                     "x=Bearer mcprt.key-2... mcpac.k1..., mcpat");
    ck_assert_str_eq(mcp_log_text(pool, "https://mcp.example.com/mcp mcpat.k1 mcpctl.x.y mcpxx.."),
                     "https://mcp.example.com/mcp mcpat.k1 mcpctl.x.y mcpxx..");
}
END_TEST

START_TEST(header_safety)
{
    ck_assert(mcp_is_header_safe("plain text 1"));
    ck_assert(mcp_is_header_safe(""));
    ck_assert(!mcp_is_header_safe("a\r\nSet-Cookie: x"));
    ck_assert(!mcp_is_header_safe("a\n"));
    ck_assert(!mcp_is_header_safe("a\tb"));
    ck_assert(!mcp_is_header_safe("caf\xc3\xa9"));
    ck_assert(!mcp_is_header_safe("\x7f"));
}
END_TEST

START_TEST(lists)
{
    ck_assert(mcp_list_has("a bb ccc", "bb"));
    ck_assert(mcp_list_has("a bb ccc", "ccc"));
    ck_assert(!mcp_list_has("a bb ccc", "b"));
    ck_assert(!mcp_list_has("a bb ccc", "cc"));
    ck_assert(!mcp_list_has("a bb ccc", "A"));
    ck_assert(!mcp_list_has("a bb", ""));
    ck_assert(!mcp_list_has("a bb", "a bb"));
    ck_assert(!mcp_list_has(NULL, "a"));
    ck_assert(!mcp_list_has("", "a"));

    ck_assert_str_eq(mcp_list_intersect(pool, "c a b", "a b"), "a b");
    ck_assert_str_eq(mcp_list_intersect(pool, "a a b a", "b a"), "a b");
    ck_assert_str_eq(mcp_list_intersect(pool, "  a   b ", "b"), "b");
    ck_assert_str_eq(mcp_list_intersect(pool, "aa", "a"), "");
    ck_assert_str_eq(mcp_list_intersect(pool, "", "a"), "");
    ck_assert_str_eq(mcp_list_intersect(pool, NULL, "a"), "");
    ck_assert_str_eq(mcp_list_intersect(pool, "a", NULL), "");
}
END_TEST

START_TEST(scopes)
{
    ck_assert(mcp_scope_valid(""));
    ck_assert(mcp_scope_valid("a"));
    ck_assert(mcp_scope_valid("openid urn:x:y api://z/.default"));
    ck_assert(!mcp_scope_valid(" a"));
    ck_assert(!mcp_scope_valid("a "));
    ck_assert(!mcp_scope_valid("a  b"));
    ck_assert(!mcp_scope_valid(" "));
    ck_assert(!mcp_scope_valid("a\"b"));
    ck_assert(!mcp_scope_valid("a\\b"));
    ck_assert(!mcp_scope_valid("a\tb"));
    ck_assert(!mcp_scope_valid("caf\xc3\xa9"));
}
END_TEST

static const char *const bad_utf8[] = {
    "\x80", "\xbf", "\xc0\xaf", "\xc1\x81", "\xc3", "\xc3(", "\xe0\x80\xaf", "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",
    "\xed\xbf\xbf", "\xf0\x80\x80\xaf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xff", "a\xfe",
    "\xf0\x9f\x98"
};

START_TEST(refused_files)
{
    const char *who = geteuid() ? "not root" : "SELinux";

    ck_assert_ptr_nonnull(strstr(mcp_file_error(pool, APR_EACCES), who));
    ck_assert_ptr_null(strstr(mcp_file_error(pool, APR_ENOENT), "root"));
}
END_TEST

START_TEST(utf8_refuses)
{
    ck_assert(!mcp_is_utf8(bad_utf8[_i]));
    ck_assert(!mcp_is_utf8_bytes(bad_utf8[_i], strlen(bad_utf8[_i])));
}
END_TEST

START_TEST(utf8_accepts)
{
    ck_assert(mcp_is_utf8(""));
    ck_assert(mcp_is_utf8("plain"));
    ck_assert(mcp_is_utf8("\xc2\x80 \xdf\xbf \xe0\xa0\x80 \xed\x9f\xbf \xee\x80\x80 \xef\xbf\xbf"));
    ck_assert(mcp_is_utf8("\xf0\x90\x80\x80 \xf0\x9f\x98\x80 \xf4\x8f\xbf\xbf"));
}
END_TEST

/* What follows the text is none of it. */
START_TEST(utf8_ends)
{
    static const char four[] = "\xf0\x9f\x98\x80";
    static const char three[] = "\xe2\x82\xac";

    for (apr_size_t len = 1; len < sizeof(four); len++) {
        ck_assert_int_eq(mcp_is_utf8_bytes(four, len), len == 4);
    }
    for (apr_size_t len = 1; len < sizeof(three); len++) {
        ck_assert_int_eq(mcp_is_utf8_bytes(three, len), len == 3);
    }
    ck_assert(!mcp_is_utf8_bytes("\xc3\xa9", 1));
    ck_assert(mcp_is_utf8_bytes("\xc3\xa9", 2));
    ck_assert(mcp_is_utf8_bytes("\xff", 0));
    ck_assert(mcp_is_utf8_bytes("a\0b", 3));
}
END_TEST

START_TEST(controls)
{
    ck_assert(!mcp_has_control(""));
    ck_assert(!mcp_has_control("a ~\x80\xff"));
    ck_assert(mcp_has_control("a\nb"));
    ck_assert(mcp_has_control("\x1f"));
    ck_assert(mcp_has_control("a\x7f"));
}
END_TEST

START_TEST(hex_digits)
{
    for (int c = -128; c < 128; c++) {
        int expected = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                                    : c >= 'A' && c <= 'F'   ? c - 'A' + 10
                                                                             : -1;

        ck_assert_int_eq(mcp_hex_value((char)c), expected);
    }
}
END_TEST

Suite *suite_util(void)
{
    Suite *suite = suite_create("util");
    TCase *test = unit_case(suite, "util");

    tcase_add_loop_test(test, base64url_rfc4648, 0, sizeof(rfc4648) / sizeof(*rfc4648));
    tcase_add_loop_test(test, base64url_refuses, 0, sizeof(not_base64url) / sizeof(*not_base64url));
    tcase_add_test(test, base64url_every_length);
    tcase_add_test(test, hashes);
    tcase_add_test(test, random_values);
    tcase_add_test(test, comparison);
    tcase_add_test(test, masks);
    tcase_add_test(test, header_safety);
    tcase_add_test(test, lists);
    tcase_add_test(test, scopes);
    tcase_add_test(test, refused_files);
    tcase_add_loop_test(test, utf8_refuses, 0, sizeof(bad_utf8) / sizeof(*bad_utf8));
    tcase_add_test(test, utf8_accepts);
    tcase_add_test(test, utf8_ends);
    tcase_add_test(test, controls);
    tcase_add_test(test, hex_digits);
    return suite;
}
