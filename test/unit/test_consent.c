/* SPDX-License-Identifier: Apache-2.0 */
/* Remembered consents: what counts as the same, what fits, and what is no cookie of ours. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_consent.h"
#include "mcp_seal.h"
#include "mcp_url.h"

#define NOW apr_time_from_sec(1800000000)
#define DAY apr_time_from_sec(86400)

static const mcp_consent_target_t target = { "issuer", "client", "https://client.example/cb", "https://mcp.example/mcp" };

static mcp_consents_t *empty(void)
{
    return mcp_consents_open(pool, unit_ring(KEY_1), NULL, 0);
}

/* Through the cookie and back. */
static mcp_consents_t *again(const mcp_consents_t *list)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    char *text = mcp_consents_seal(pool, ring, list);

    ck_assert_uint_le(strlen(text), MCP_CONSENT_TEXT_MAX);
    return mcp_consents_open(pool, ring, text, 0);
}

/* CP-1, CP-9, T3, W11: another person, client, redirect URI, resource or issuer is another consent. */
START_TEST(is_bound_to_all_of_it)
{
    mcp_consents_t *list = empty();
    mcp_consent_target_t other;

    mcp_consents_add(list, &target, "idp|ann", "a b", NOW);
    list = again(list);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a b"), NOW);
    ck_assert_int_eq(mcp_consents_find(list, &target, NULL, "a b"), NOW);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|bob", "a b"), 0);
    ck_assert_int_eq(mcp_consents_find(list, &target, "", "a b"), 0);
    other = target;
    other.issuer = "other";
    ck_assert_int_eq(mcp_consents_find(list, &other, NULL, "a b"), 0);
    other = target;
    other.client_key = "other";
    ck_assert_int_eq(mcp_consents_find(list, &other, NULL, "a b"), 0);
    other = target;
    other.redirect_uri = "https://client.example/cb/";
    ck_assert_int_eq(mcp_consents_find(list, &other, NULL, "a b"), 0);
    other = target;
    other.resource = "https://mcp.example/other";
    ck_assert_int_eq(mcp_consents_find(list, &other, NULL, "a b"), 0);
    /* the same characters, cut elsewhere */
    other = target;
    other.issuer = "issuercl";
    other.client_key = "ient";
    ck_assert_int_eq(mcp_consents_find(list, &other, NULL, "a b"), 0);
}
END_TEST

/* Asked again only when something grows. */
START_TEST(less_is_covered_and_more_is_not)
{
    static const char *const covered[] = { "", "a", "b", "c", "a b", "b a", "c b a", "a a a" };
    static const char *const grown[] = { "d", "a d", "a b c d", "A", "ab", "a,b" };
    mcp_consents_t *list = empty();

    mcp_consents_add(list, &target, "idp|ann", "c a b", NOW);
    list = again(list);
    for (unsigned i = 0; i < sizeof(covered) / sizeof(*covered); i++) {
        ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", covered[i]), NOW);
    }
    for (unsigned i = 0; i < sizeof(grown) / sizeof(*grown); i++) {
        ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", grown[i]), 0);
    }
}
END_TEST

START_TEST(a_new_answer_replaces_the_old_one)
{
    mcp_consents_t *list = empty();

    mcp_consents_add(list, &target, "idp|ann", "a b", NOW);
    mcp_consents_add(list, &target, "idp|bob", "a b", NOW);
    mcp_consents_add(list, &target, "idp|ann", "a", NOW + DAY);
    ck_assert_int_eq(mcp_consents_count(list), 2);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a b"), 0);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a"), NOW + DAY);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|bob", "a b"), NOW);
}
END_TEST

START_TEST(forgets)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    mcp_consents_t *list = empty();
    mcp_consent_target_t other = target;
    char *text;

    other.client_key = "other";
    mcp_consents_add(list, &target, "idp|ann", "a", NOW);
    mcp_consents_add(list, &target, "idp|bob", "a", NOW + DAY);
    mcp_consents_add(list, &other, "idp|ann", "a", NOW + DAY);
    text = mcp_consents_seal(pool, ring, list);
    /* by age */
    ck_assert_int_eq(mcp_consents_count(mcp_consents_open(pool, ring, text, NOW)), 3);
    list = mcp_consents_open(pool, ring, text, NOW + 1);
    ck_assert_int_eq(mcp_consents_count(list), 2);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a"), 0);
    /* what was denied: anybody's at this target, and no other */
    list = mcp_consents_open(pool, ring, text, 0);
    ck_assert_int_eq(mcp_consents_drop(list, &target), 2);
    ck_assert_int_eq(mcp_consents_drop(list, &target), 0);
    ck_assert_int_eq(mcp_consents_find(list, &other, "idp|ann", "a"), NOW + DAY);
    ck_assert_int_eq(mcp_consents_drop(list, &other), 1);
    ck_assert_ptr_null(mcp_consents_seal(pool, ring, list));
}
END_TEST

static void add_many(mcp_consents_t *list, int n, int people, const char *const *scopes, int sets)
{
    for (int i = 0; i < n; i++) {
        mcp_consent_target_t one = target;

        one.client_key = apr_psprintf(pool, "client %d", i);
        mcp_consents_add(list, &one, apr_psprintf(pool, "idp|%d", i % people), scopes[i % sets], NOW + apr_time_from_sec(i));
    }
}

static int remembered(const mcp_consents_t *list, int i, int people, const char *scope)
{
    mcp_consent_target_t one = target;

    one.client_key = apr_psprintf(pool, "client %d", i);
    return mcp_consents_find(list, &one, apr_psprintf(pool, "idp|%d", i % people), scope) == NOW + apr_time_from_sec(i);
}

/* T10: a hundred clients of a person fit, all of them */
START_TEST(a_hundred_clients_fit)
{
    const char *const scopes[] = { "mcp:read mcp:write files.read" };
    mcp_consents_t *list = empty();

    add_many(list, 100, 1, scopes, 1);
    ck_assert_uint_lt(strlen(mcp_consents_seal(pool, unit_ring(KEY_1), list)), 2000);
    list = again(list);
    ck_assert_int_eq(mcp_consents_count(list), 100);
    for (int i = 0; i < 100; i++) {
        ck_assert(remembered(list, i, 1, scopes[0]));
    }
}
END_TEST

/* T10: whatever there is to remember, the newest stay and the cookie stays small; the longest kid is no exception */
START_TEST(the_newest_stay)
{
    const char *const scopes[] = { "a b c d e f g", "h", "i j k l m n o p q", "", "a" };
    mcp_keyring_t *ring = unit_ring("abcdefghijklmnop AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=");
    mcp_consents_t *list = empty(), *back;
    char *text;
    int kept;

    add_many(list, 1000, 3, scopes, 5);
    ck_assert_int_eq(mcp_consents_count(list), MCP_CONSENT_ENTRIES);
    text = mcp_consents_seal(pool, ring, list);
    ck_assert_uint_le(strlen(text), MCP_CONSENT_TEXT_MAX);
    ck_assert_uint_gt(strlen(text), MCP_CONSENT_TEXT_MAX - 100); /* and the room is used */
    back = mcp_consents_open(pool, ring, text, 0);
    kept = mcp_consents_count(back);
    ck_assert_int_gt(kept, 50);
    for (int i = 1000 - kept; i < 1000; i++) {
        ck_assert(remembered(back, i, 3, scopes[i % 5]));
    }
    ck_assert(!remembered(back, 999 - kept, 3, ""));
}
END_TEST

/* 63 scopes are remembered, more are not, and nothing is mistaken for them */
START_TEST(many_scopes)
{
    const char *scope = "s0";
    mcp_consents_t *list = empty();

    for (int i = 1; i < MCP_CONSENT_SCOPES; i++) {
        scope = apr_psprintf(pool, "%s s%d", scope, i);
    }
    mcp_consents_add(list, &target, "idp|ann", scope, NOW);
    list = again(list);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", scope), NOW);
    scope = apr_pstrcat(pool, scope, " one-more", NULL);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", scope), 0);
    mcp_consents_add(list, &target, "idp|ann", scope, NOW);
    ck_assert_int_eq(mcp_consents_count(list), 0);
}
END_TEST

/* The old key opens, the new one seals. */
START_TEST(keys_rotate)
{
    mcp_consents_t *list = empty();
    char *text;

    mcp_consents_add(list, &target, "idp|ann", "a", NOW);
    text = mcp_consents_seal(pool, unit_ring(KEY_1), list);
    list = mcp_consents_open(pool, unit_ring(KEY_2 "\n" KEY_1), text, 0);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a"), NOW);
    text = mcp_consents_seal(pool, unit_ring(KEY_2 "\n" KEY_1), list);
    list = mcp_consents_open(pool, unit_ring(KEY_2), text, 0);
    ck_assert_int_eq(mcp_consents_find(list, &target, "idp|ann", "a"), NOW);
    ck_assert_int_eq(mcp_consents_count(mcp_consents_open(pool, unit_ring(KEY_1), text, 0)), 0);
}
END_TEST

/* Anything else than what was sealed counts as nothing, and what follows can be remembered. */
START_TEST(garbage_is_nothing)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    mcp_consents_t *list = empty();
    unsigned char *plain;
    char *text;
    apr_size_t len;

    mcp_consents_add(list, &target, "idp|ann", "a b", NOW);
    mcp_consents_add(list, &target, "idp|bob", "a b", NOW);
    text = mcp_consents_seal(pool, ring, list);
    ck_assert_int_eq(mcp_unseal(pool, ring, MCP_PURPOSE_CONSENT, text, &plain, &len), APR_SUCCESS);
    /* altered, or cut off, as text */
    for (apr_size_t i = 0; i < strlen(text); i++) {
        char *bad = apr_pstrdup(pool, text);

        ck_assert_int_eq(mcp_consents_count(mcp_consents_open(pool, ring, apr_pstrndup(pool, text, i), 0)), 0);
        bad[i] = bad[i] == 'A' ? 'B' : 'A';
        ck_assert_int_eq(mcp_consents_count(mcp_consents_open(pool, ring, bad, 0)), 0);
    }
    ck_assert_int_eq(mcp_consents_count(mcp_consents_open(pool, ring, "", 0)), 0);
    ck_assert_int_eq(mcp_consents_count(mcp_consents_open(
                         pool, ring, apr_pstrcat(pool, text, apr_psprintf(pool, "%04000d", 0), NULL), 0)),
                     0);
    /* cut off inside, as a release that we do not know might seal: whole entries or none */
    for (apr_size_t i = 0; i < len; i++) {
        int n = mcp_consents_count(
            mcp_consents_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_CONSENT, plain, i), 0));

        ck_assert_int_eq(n, i == 9 + 27 ? 1 : 0);
    }
    plain[0] = 2;
    ck_assert_int_eq(mcp_consents_count(
                         mcp_consents_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_CONSENT, plain, len), 0)),
                     0);
    /* T5: another sealed value of ours */
    plain[0] = 1;
    list = mcp_consents_open(pool, ring, mcp_seal(pool, ring, MCP_PURPOSE_TRANSACTION, plain, len), 0);
    ck_assert_int_eq(mcp_consents_count(list), 0);
    mcp_consents_add(list, &target, "idp|ann", "a", NOW);
    ck_assert_int_eq(mcp_consents_find(again(list), &target, "idp|ann", "a"), NOW);
}
END_TEST

/* Nobody can tell from outside whose or for what, nor compare two browsers. */
START_TEST(two_browsers_share_nothing)
{
    mcp_keyring_t *ring = unit_ring(KEY_1);
    mcp_consents_t *one = empty(), *two = empty();
    unsigned char *a, *b;
    apr_size_t len;

    mcp_consents_add(one, &target, "idp|ann", "a", NOW);
    mcp_consents_add(two, &target, "idp|ann", "a", NOW);
    ck_assert_int_eq(mcp_unseal(pool, ring, MCP_PURPOSE_CONSENT, mcp_consents_seal(pool, ring, one), &a, &len), APR_SUCCESS);
    ck_assert_int_eq(mcp_unseal(pool, ring, MCP_PURPOSE_CONSENT, mcp_consents_seal(pool, ring, two), &b, &len), APR_SUCCESS);
    ck_assert_uint_eq(len, 9 + 23);
    ck_assert_int_ne(memcmp(a + 1, b + 1, 8), 0);
    ck_assert_int_ne(memcmp(a + 10, b + 10, 8), 0);
}
END_TEST

/* RFC 8252 section 7.3: the port of a loopback URI is another one each time. */
START_TEST(redirect_keys)
{
    ck_assert_str_eq(mcp_redirect_key(pool, "http://127.0.0.1:4321/cb?a=:1"), "http://127.0.0.1/cb?a=:1");
    ck_assert_str_eq(mcp_redirect_key(pool, "http://localhost:4321"), "http://localhost");
    ck_assert_str_eq(mcp_redirect_key(pool, "http://[::1]:4321/cb"), "http://[::1]/cb");
    ck_assert_str_eq(mcp_redirect_key(pool, "https://127.0.0.1:4321/cb"), "https://127.0.0.1:4321/cb");
    ck_assert_str_eq(mcp_redirect_key(pool, "https://client.example:4321/cb"), "https://client.example:4321/cb");
    ck_assert_str_eq(mcp_redirect_key(pool, "cursor://x:1/cb"), "cursor://x:1/cb");
    ck_assert_str_eq(mcp_redirect_key(pool, "no uri"), "no uri");
}
END_TEST

Suite *suite_consent(void)
{
    Suite *suite = suite_create("consent");
    TCase *test = unit_case(suite, "consent");

    tcase_add_test(test, is_bound_to_all_of_it);
    tcase_add_test(test, less_is_covered_and_more_is_not);
    tcase_add_test(test, a_new_answer_replaces_the_old_one);
    tcase_add_test(test, forgets);
    tcase_add_test(test, a_hundred_clients_fit);
    tcase_add_test(test, the_newest_stay);
    tcase_add_test(test, many_scopes);
    tcase_add_test(test, keys_rotate);
    tcase_add_test(test, garbage_is_nothing);
    tcase_add_test(test, two_browsers_share_nothing);
    tcase_add_test(test, redirect_keys);
    return suite;
}
