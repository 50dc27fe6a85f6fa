/* SPDX-License-Identifier: Apache-2.0 */
/* Access tokens and the grant record. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_grant.h"
#include "mcp_seal.h"

#define NOW apr_time_from_sec(1000000)

static mcp_grant_t sample(void)
{
    mcp_grant_t grant = {
        .flags = 0, .generation = 0x01020304, .issued = apr_time_from_sec(1700000000), .expires = apr_time_from_sec(1800000000), .access_expires = apr_time_from_sec(1700003600), .subject = "corp|abc", .client_key = "key", .client_name = "Client \xc3\xa9", .scope = "a b", .resource = "https://mcp.example.com/mcp", .username = "ann", .claims = "{\"roles\":[\"x\"]}"
    };

    for (int i = 0; i < MCP_ID_LEN; i++) {
        grant.id[i] = (unsigned char)(0xf0 + i);
    }
    return grant;
}

START_TEST(token_round_trip)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    mcp_grant_t grant = sample();
    mcp_access_token_t token;
    unsigned char hash[16], other[16];
    char *text = mcp_access_token_issue(pool, ring, &grant, NOW);

    mcp_resource_hash(grant.resource, hash);
    mcp_resource_hash("https://mcp.example.com/other", other);
    ck_assert_uint_lt(strlen(text), 512);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, text, NOW - 1, hash, &token), APR_SUCCESS);
    ck_assert_int_eq(memcmp(token.grant_id, grant.id, MCP_ID_LEN), 0);
    ck_assert_uint_eq(token.generation, grant.generation);
    ck_assert_int_eq(token.expires, NOW);
    ck_assert_int_eq(memcmp(token.resource_hash, hash, 16), 0);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, text, NOW, hash, &token), APR_TIMEUP);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, text, NOW - 1, other, &token), APR_EMISMATCH); /* RS-6, T4 */
    text[strlen(text) - 1] ^= 1;
    ck_assert_int_eq(mcp_access_token_open(pool, ring, text, NOW - 1, hash, &token), APR_EINVAL);
}
END_TEST

/* T5 and what an old or foreign release might seal */
START_TEST(token_refuses)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    mcp_access_token_t token;
    unsigned char hash[16] = { 0 }, plain[46] = { 1 };

    for (apr_size_t len = 0; len <= sizeof(plain); len++) {
        char *text = mcp_seal(pool, ring, MCP_PURPOSE_ACCESS, plain, len);

        ck_assert_int_eq(mcp_access_token_open(pool, ring, text, 0, hash, &token), len == 45 ? APR_TIMEUP : APR_EINVAL);
    }
    plain[0] = 2;
    ck_assert_int_eq(mcp_access_token_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_ACCESS, plain, 45), 0, hash, &token),
                     APR_EINVAL);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_REFRESH, plain, 45), 0, hash,
                                           &token),
                     APR_EINVAL);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, "", 0, hash, &token), APR_EINVAL);
    ck_assert_int_eq(mcp_access_token_open(pool, ring, NULL, 0, hash, &token), APR_EINVAL);
    /* an expiry that overflows microseconds must not wrap into the past or future of another sign */
    memset(plain + 1 + 16 + 4, 0xff, 8);
    plain[0] = 1;
    ck_assert_int_eq(mcp_access_token_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_ACCESS, plain, 45), NOW, hash,
                                           &token),
                     APR_SUCCESS);
    ck_assert(token.expires > NOW);
}
END_TEST

START_TEST(record_round_trip)
{
    mcp_grant_t grant = sample(), back;
    unsigned char *data;
    apr_size_t len;

    memset(&back, 0, sizeof(back));
    mcp_grant_encode(pool, &grant, &data, &len);
    ck_assert_int_eq(mcp_grant_decode(pool, data, len, &back), APR_SUCCESS);
    ck_assert_uint_eq(back.generation, grant.generation);
    ck_assert_int_eq(back.issued, grant.issued);
    ck_assert_int_eq(back.expires, grant.expires);
    ck_assert_int_eq(back.access_expires, grant.access_expires);
    ck_assert_str_eq(back.subject, grant.subject);
    ck_assert_str_eq(back.client_key, grant.client_key);
    ck_assert_str_eq(back.client_name, grant.client_name);
    ck_assert_str_eq(back.scope, grant.scope);
    ck_assert_str_eq(back.resource, grant.resource);
    ck_assert_str_eq(back.username, grant.username);
    ck_assert_str_eq(back.claims, grant.claims);

    memset(&grant, 0, sizeof(grant)); /* a tombstone has no strings */
    grant.flags = MCP_GRANT_REVOKED;
    mcp_grant_encode(pool, &grant, &data, &len);
    ck_assert_int_eq(mcp_grant_decode(pool, data, len, &back), APR_SUCCESS);
    ck_assert_uint_eq(back.flags, MCP_GRANT_REVOKED);
    ck_assert_str_eq(back.claims, "");
}
END_TEST

START_TEST(record_layout)
{
    mcp_grant_t grant = sample();
    unsigned char *data;
    apr_size_t len;

    mcp_grant_encode(pool, &grant, &data, &len);
    /* version, flags, generation, then issued, as documented: an older release must read what a newer one wrote */
    ck_assert_int_eq(memcmp(data, "\x01\x00\x01\x02\x03\x04\x00\x00\x01\x8b\xcf\xe5\x68\x00", 14), 0);
    ck_assert_int_eq(memcmp(data + 30, "\x00\x08"
                                       "corp|abc\x00\x03key",
                            15),
                     0);
}
END_TEST

START_TEST(record_refuses_every_cut)
{
    mcp_grant_t grant = sample(), back;
    unsigned char *data;
    apr_size_t len;

    mcp_grant_encode(pool, &grant, &data, &len);
    for (apr_size_t n = 0; n < len; n++) {
        unsigned char *exact = malloc(n ? n : 1); /* a sanitizer sees each byte that is read beyond */

        memcpy(exact, data, n);
        ck_assert_int_eq(mcp_grant_decode(pool, exact, n, &back), APR_EINVAL);
        free(exact);
    }
    data[0] = 2;
    ck_assert_int_eq(mcp_grant_decode(pool, data, len, &back), APR_EINVAL);
    data[0] = 1;
    data[30] = 0xff; /* a length far beyond the end */
    ck_assert_int_eq(mcp_grant_decode(pool, data, len, &back), APR_EINVAL);
}
END_TEST

START_TEST(record_cuts_long_strings)
{
    mcp_grant_t grant = sample(), back;
    unsigned char *data;
    apr_size_t len;
    char *text = apr_pcalloc(pool, 70001);

    memset(text, 'x', 70000);
    grant.client_name = text;
    mcp_grant_encode(pool, &grant, &data, &len);
    ck_assert_int_eq(mcp_grant_decode(pool, data, len, &back), APR_SUCCESS);
    ck_assert_uint_eq(strlen(back.client_name), 65535);
    ck_assert_str_eq(back.scope, "a b");
}
END_TEST

START_TEST(names)
{
    ck_assert_uint_eq(strlen(mcp_client_key(pool, "client")), 22);
    ck_assert_str_eq(mcp_client_key(pool, "client"), mcp_client_key(pool, "client"));
    ck_assert_str_ne(mcp_client_key(pool, "client"), mcp_client_key(pool, "client2"));
    /* the first 16 bytes of SHA-256("abc") */
    ck_assert_str_eq(mcp_client_key(pool, "abc"), "ungWv48Bz-pBQUDeXa4iIw");
}
END_TEST

Suite *suite_grant(void)
{
    Suite *suite = suite_create("grant");
    TCase *test = unit_case(suite, "grant");

    tcase_add_test(test, token_round_trip);
    tcase_add_test(test, token_refuses);
    tcase_add_test(test, record_round_trip);
    tcase_add_test(test, record_layout);
    tcase_add_test(test, record_refuses_every_cut);
    tcase_add_test(test, record_cuts_long_strings);
    tcase_add_test(test, names);
    return suite;
}
