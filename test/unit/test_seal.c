/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed values: what opens, what does not, and that the form is the documented one. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>
#include <openssl/evp.h>

#include "mcp_json.h"
#include "mcp_seal.h"
#include "mcp_util.h"

#define NOW apr_time_from_sec(1000000)

static apr_status_t opens(const mcp_keyring_t *ring, mcp_purpose_e purpose, const char *text)
{
    unsigned char *plain;
    apr_size_t len;

    return mcp_unseal(pool, ring, purpose, text, &plain, &len);
}

START_TEST(round_trip)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    unsigned char *plain;
    apr_size_t len;
    char *a = mcp_seal(pool, ring, MCP_PURPOSE_CODE, "hello\0world", 11);

    ck_assert_int_eq(strncmp(a, "mcpac.k1.", 9), 0);
    ck_assert_int_eq(mcp_unseal(pool, ring, MCP_PURPOSE_CODE, a, &plain, &len), APR_SUCCESS);
    ck_assert_uint_eq(len, 11);
    ck_assert_int_eq(memcmp(plain, "hello\0world", 12), 0);
    ck_assert_str_ne(a, mcp_seal(pool, ring, MCP_PURPOSE_CODE, "hello\0world", 11));
    a = mcp_seal(pool, ring, MCP_PURPOSE_CODE, "", 0);
    ck_assert_int_eq(mcp_unseal(pool, ring, MCP_PURPOSE_CODE, a, &plain, &len), APR_SUCCESS);
    ck_assert_uint_eq(len, 0);
}
END_TEST

/* AES-256-GCM by hand over the documented layout and associated data */
START_TEST(documented_form)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    char *text = mcp_seal(pool, ring, MCP_PURPOSE_REFRESH, "plain", 5);
    unsigned char *data, out[5];
    apr_size_t len;
    int n;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();

    ck_assert_int_eq(strncmp(text, "mcprt.k1.", 9), 0);
    ck_assert_int_eq(mcp_b64url_decode(pool, text + 9, strlen(text + 9), &data, &len), APR_SUCCESS);
    ck_assert_uint_eq(len, 12 + 5 + 16);
    ck_assert_int_eq(EVP_DecryptInit_ex(ctx, EVP_aes_256_gcm(), NULL,
                                        mcp_keyring_key(ring, MCP_PURPOSE_REFRESH, "k1", 2), data),
                     1);
    ck_assert_int_eq(EVP_DecryptUpdate(ctx, NULL, &n, (const unsigned char *)"mcprt\0k1\0", 9), 1);
    ck_assert_int_eq(EVP_DecryptUpdate(ctx, out, &n, data + 12, 5), 1);
    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, 16, data + 17);
    ck_assert_int_eq(EVP_DecryptFinal_ex(ctx, out + n, &n), 1);
    ck_assert_int_eq(memcmp(out, "plain", 5), 0);
    EVP_CIPHER_CTX_free(ctx);
}
END_TEST

/* T5: no value stands in for one of another purpose, whatever prefix it is given */
START_TEST(purposes_are_apart)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);

    for (int i = 0; i < MCP_PURPOSE_COUNT; i++) {
        char *text = mcp_seal(pool, ring, (mcp_purpose_e)i, "x", 1);

        for (int j = 0; j < MCP_PURPOSE_COUNT; j++) {
            char *other = apr_pstrcat(pool, mcp_purpose_prefix((mcp_purpose_e)j), strchr(text, '.'), NULL);

            ck_assert_int_eq(opens(ring, (mcp_purpose_e)j, text), i == j ? APR_SUCCESS : APR_EINVAL);
            ck_assert_int_eq(opens(ring, (mcp_purpose_e)j, other), i == j ? APR_SUCCESS : APR_EINVAL);
        }
    }
}
END_TEST

START_TEST(rotation)
{
    mcp_keyring_t *before = unit_ring(KEY_1), *after = unit_ring(KEY_2 "\n" KEY_1), *later = unit_ring(KEY_2);
    char *old_value = mcp_seal(pool, before, MCP_PURPOSE_ACCESS, "x", 1);
    char *new_value = mcp_seal(pool, after, MCP_PURPOSE_ACCESS, "x", 1);

    ck_assert_int_eq(strncmp(new_value, "mcpat.k2.", 9), 0);
    ck_assert_int_eq(opens(after, MCP_PURPOSE_ACCESS, old_value), APR_SUCCESS);
    ck_assert_int_eq(opens(before, MCP_PURPOSE_ACCESS, new_value), APR_EINVAL);
    ck_assert_int_eq(opens(later, MCP_PURPOSE_ACCESS, old_value), APR_EINVAL);
    ck_assert_int_eq(opens(later, MCP_PURPOSE_ACCESS, new_value), APR_SUCCESS);
    /* another key under the same name */
    ck_assert_int_eq(opens(unit_ring("k1 ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="), MCP_PURPOSE_ACCESS, old_value),
                     APR_EINVAL);
    /* the kid is bound: a value cannot be moved to another */
    ck_assert_int_eq(opens(unit_ring("k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"
                                     "k9 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
                           MCP_PURPOSE_ACCESS,
                           apr_pstrcat(pool, "mcpat.k9", old_value + 8, NULL)),
                     APR_EINVAL);
}
END_TEST

START_TEST(every_altered_character)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    char *text = mcp_seal(pool, ring, MCP_PURPOSE_ACCESS, "payload of some length", 22);

    for (apr_size_t i = 0; i < strlen(text); i++) {
        char was = text[i];

        for (const char *c = "A_.=z\n "; *c; c++) {
            if (*c != was) {
                text[i] = *c;
                ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, text), APR_EINVAL);
            }
        }
        text[i] = was;
    }
    for (apr_size_t n = 0; n < strlen(text); n++) {
        ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, apr_pstrmemdup(pool, text, n)), APR_EINVAL);
    }
    ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, apr_pstrcat(pool, text, "A", NULL)), APR_EINVAL);
    ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, apr_pstrcat(pool, text, ".", NULL)), APR_EINVAL);
    ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, text), APR_SUCCESS);
}
END_TEST

static const char *const garbage[] = {
    "", ".", "..", "mcpat", "mcpat.", "mcpat..", "mcpat.k1", "mcpat.k1.", "mcpat.k1.AAAA", "mcpat.k9.AAAA", "mcpatX.k1.AAAA",
    "mcpat.12345678901234567.AAAA", "MCPAT.k1.AAAA", "mcpat.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "mcpat.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "eyJhbGciOiJub25lIn0.e30."
};

START_TEST(refuses_garbage)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);

    ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, garbage[_i]), APR_EINVAL);
    ck_assert_int_eq(opens(ring, MCP_PURPOSE_ACCESS, NULL), APR_EINVAL);
}
END_TEST

START_TEST(raw_form)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    unsigned char *data, *plain;
    apr_size_t len, plain_len;

    mcp_seal_raw(pool, ring, MCP_PURPOSE_STORE, "context", 7, "record", 6, &data, &len);
    ck_assert_uint_eq(len, 1 + 2 + 12 + 6 + 16);
    ck_assert_uint_le(len, 6 + MCP_SEAL_RAW_OVERHEAD);
    ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_STORE, "context", 7, data, len, &plain, &plain_len), APR_SUCCESS);
    ck_assert_uint_eq(plain_len, 6);
    ck_assert_str_eq((char *)plain, "record");
    /* a record moved to another key, or read as another purpose, does not open */
    ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_STORE, "contexT", 7, data, len, &plain, &plain_len), APR_EINVAL);
    ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_STORE, "", 0, data, len, &plain, &plain_len), APR_EINVAL);
    ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_CODE, "context", 7, data, len, &plain, &plain_len), APR_EINVAL);
    for (apr_size_t i = 0; i < len; i++) {
        ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_STORE, "context", 7, data, i, &plain, &plain_len), APR_EINVAL);
        data[i] ^= 0x41;
        ck_assert_int_eq(mcp_unseal_raw(pool, ring, MCP_PURPOSE_STORE, "context", 7, data, len, &plain, &plain_len), APR_EINVAL);
        data[i] ^= 0x41;
    }
}
END_TEST

START_TEST(json_form)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    json_t *object = mcp_json_own(pool, json_pack("{s:s}", "a", "b")), *back = NULL;
    char *text = mcp_seal_json(pool, ring, MCP_PURPOSE_FORM, object, NOW);

    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_FORM, text, NOW - 1, &back), APR_SUCCESS);
    ck_assert_str_eq(mcp_json_str(back, "a"), "b");
    ck_assert_int_eq(mcp_json_int(back, "exp", 0), 1000000);
    back = NULL;
    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_FORM, text, NOW, &back), APR_TIMEUP);
    ck_assert_str_eq(mcp_json_str(back, "a"), "b");
    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_CODE, text, 0, &back), APR_EINVAL);

    /* a former exp does not survive "never expires" */
    text = mcp_seal_json(pool, ring, MCP_PURPOSE_FORM, object, 0);
    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_FORM, text, APR_INT64_MAX, &back), APR_SUCCESS);
    ck_assert_ptr_null(json_object_get(back, "exp"));
}
END_TEST

static const char *const not_our_json[] = {
    "", "null", "[]", "{\"exp\":\"1\"}", "{\"exp\":1e3}", "{\"exp\":null}", "{\"exp\":1,\"exp\":99999999999}", "{"
};

START_TEST(json_refuses)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    json_t *back = NULL;
    char *text = mcp_seal(pool, ring, MCP_PURPOSE_FORM, not_our_json[_i], strlen(not_our_json[_i]));

    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_FORM, text, 0, &back), APR_EINVAL);
    ck_assert_int_eq(mcp_unseal_json(pool, ring, MCP_PURPOSE_FORM,
                                     mcp_seal_json(pool, ring, MCP_PURPOSE_FORM, NULL, NOW), 0, &back),
                     APR_EINVAL);
}
END_TEST

Suite *suite_seal(void)
{
    Suite *suite = suite_create("seal");
    TCase *test = unit_case(suite, "seal");

    tcase_add_test(test, round_trip);
    tcase_add_test(test, documented_form);
    tcase_add_test(test, purposes_are_apart);
    tcase_add_test(test, rotation);
    tcase_add_test(test, every_altered_character);
    tcase_add_loop_test(test, refuses_garbage, 0, sizeof(garbage) / sizeof(*garbage));
    tcase_add_test(test, raw_form);
    tcase_add_test(test, json_form);
    tcase_add_loop_test(test, json_refuses, 0, sizeof(not_our_json) / sizeof(*not_our_json));
    return suite;
}
