/* SPDX-License-Identifier: Apache-2.0 */
/* The key file and what is derived from it. */

#include "unit.h"

#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <openssl/hmac.h>

#include "mcp_keyring.h"

/* RFC 5869, written out a second time: extract with @a salt, expand to 32 bytes. */
static void hkdf(const void *salt, int salt_len, const void *ikm, int ikm_len, const void *info, int info_len,
                 unsigned char out[32])
{
    unsigned char prk[32], block[64 + 1];
    unsigned len = 32;

    HMAC(EVP_sha256(), salt, salt_len, ikm, (size_t)ikm_len, prk, &len);
    memcpy(block, info, (size_t)info_len);
    block[info_len] = 1;
    HMAC(EVP_sha256(), prk, 32, block, (size_t)info_len + 1, out, &len);
}

START_TEST(hkdf_of_the_test_is_right)
{
    /* RFC 5869 appendix A.1, first 32 bytes */
    static const unsigned char salt[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    static const unsigned char info[] = { 0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9 };
    static const unsigned char okm[] = {
        0x3c, 0xb2, 0x5f, 0x25, 0xfa, 0xac, 0xd5, 0x7a, 0x90, 0x43, 0x4f, 0x64, 0xd0, 0x36, 0x2f, 0x2a,
        0x2d, 0x2d, 0x0a, 0x90, 0xcf, 0x1a, 0x5a, 0x4c, 0x5d, 0xb0, 0x2d, 0x56, 0xec, 0xc4, 0xc5, 0xbf
    };
    unsigned char ikm[22], out[32];

    memset(ikm, 0x0b, sizeof(ikm));
    hkdf(salt, sizeof(salt), ikm, sizeof(ikm), info, sizeof(info), out);
    ck_assert_int_eq(memcmp(out, okm, 32), 0);
}
END_TEST

START_TEST(derives)
{
    mcp_keyring_t *ring = unit_ring(KEY_1 "\n");
    unsigned char master[32], zero[32] = { 0 }, expected[32];

    for (int i = 0; i < 32; i++) {
        master[i] = (unsigned char)i;
    }
    for (int i = 0; i < MCP_PURPOSE_COUNT; i++) {
        char *info = apr_pstrcat(pool, "mcp1 ", mcp_purpose_prefix((mcp_purpose_e)i), NULL);
        const unsigned char *key = mcp_keyring_key(ring, (mcp_purpose_e)i, "k1", 2);

        hkdf(zero, 32, master, 32, info, (int)strlen(info), expected);
        ck_assert_int_eq(memcmp(key, expected, 32), 0);
        for (int j = 0; j < i; j++) {
            ck_assert_int_ne(memcmp(key, mcp_keyring_key(ring, (mcp_purpose_e)j, "k1", 2), 32), 0);
            ck_assert_str_ne(mcp_purpose_prefix((mcp_purpose_e)i), mcp_purpose_prefix((mcp_purpose_e)j));
        }
    }
}
END_TEST

START_TEST(reads_file)
{
    mcp_keyring_t *ring = unit_ring("# keys\n\n  " KEY_2 "  # new\r\n\t" KEY_1 "\n#end");

    ck_assert_str_eq(mcp_keyring_active_kid(ring), "k2");
    ck_assert_ptr_nonnull(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "k1", 2));
    ck_assert_ptr_nonnull(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "k2", 2));
    ck_assert_ptr_null(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "k", 1));
    ck_assert_ptr_null(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "k3", 2));
    ck_assert_ptr_null(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "k11", 3));
    ck_assert_ptr_null(mcp_keyring_key(ring, MCP_PURPOSE_CODE, "", 0));
    /* without a line end, without padding, in the URL alphabet */
    ring = unit_ring("A_-9 -_-_AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8");
    ck_assert_str_eq(mcp_keyring_active_kid(ring), "A_-9");
}
END_TEST

static const struct {
    const char *content;
    const char *says;
} bad[] = {
    { "", "holds no key" },
    { "# only a comment\n\n", "holds no key" },
    { "k1\n", "line 1" },
    { "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "line 1" },
    { KEY_1 " more\n", "line 1" },
    { KEY_1 "\n" KEY_1 "\n", "twice" },
    { "\n\nk1 AAECAwQFBgcICQoLDA0ODw==\n", "line 3" },
    { "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gIQ==\n", "32 bytes" },
    { "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=\n", "32 bytes" }, /* trailing bits */
    { "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8==\n", "32 bytes" },
    { "k1 !!!!AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "32 bytes" },
    { "k1 changeme\n", "32 bytes" },
    { "k1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", "not random" },
    { "k1 YWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWE=\n", "not random" },
    { "k.1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "kid" },
    { "k1234567890123456 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "kid" },
    { "k\xc3\xa9 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", "kid" },
};

START_TEST(refuses)
{
    mcp_keyring_t *ring = NULL;
    const char *path = unit_file("bad", bad[_i].content);
    const char *error = mcp_keyring_load(&ring, path, pool);

    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(strstr(error, path));
    ck_assert_msg(strstr(error, bad[_i].says) != NULL, "%s", error);
    ck_assert_ptr_null(strstr(error, "AAECAwQF")); /* never the key itself */
    ck_assert_ptr_null(ring);
}
END_TEST

static const mode_t open_modes[] = { 0640, 0660, 0604, 0602, 0644, 0620, 0777 };

START_TEST(refuses_open_file)
{
    mcp_keyring_t *ring = NULL;
    const char *path = unit_file("open", KEY_1);
    const char *error;

    chmod(path, open_modes[_i]);
    error = mcp_keyring_load(&ring, path, pool);
    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_nonnull(strstr(error, "chmod 600"));
    chmod(path, 0400);
    ck_assert_ptr_null(mcp_keyring_load(&ring, path, pool));
}
END_TEST

START_TEST(refuses_what_is_no_file)
{
    mcp_keyring_t *ring = NULL;

    ck_assert_ptr_nonnull(mcp_keyring_load(&ring, "/nonexistent/keys", pool));
    ck_assert_ptr_nonnull(mcp_keyring_load(&ring, "/tmp", pool));
    ck_assert_ptr_nonnull(mcp_keyring_load(&ring, "/dev/null", pool));
}
END_TEST

START_TEST(bounds_the_number)
{
    mcp_keyring_t *ring = NULL;
    const char *content = "";

    for (int i = 0; i < 64; i++) {
        content = apr_psprintf(pool, "%sx%d AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", content, i);
    }
    ck_assert_ptr_null(mcp_keyring_load(&ring, unit_file("many", content), pool));
    content = apr_pstrcat(pool, content, KEY_1, NULL);
    ck_assert_ptr_nonnull(mcp_keyring_load(&ring, unit_file("many", content), pool));
}
END_TEST

Suite *suite_keyring(void)
{
    Suite *suite = suite_create("keyring");
    TCase *test = unit_case(suite, "keyring");

    tcase_add_test(test, hkdf_of_the_test_is_right);
    tcase_add_test(test, derives);
    tcase_add_test(test, reads_file);
    tcase_add_loop_test(test, refuses, 0, sizeof(bad) / sizeof(*bad));
    tcase_add_loop_test(test, refuses_open_file, 0, sizeof(open_modes) / sizeof(*open_modes));
    tcase_add_test(test, refuses_what_is_no_file);
    tcase_add_test(test, bounds_the_number);
    return suite;
}
