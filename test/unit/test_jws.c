/* SPDX-License-Identifier: Apache-2.0 */
/* JWTs that we sign: which keys are taken, what stands in the header, and that the published key verifies them. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include <apr_strings.h>
#include <cjose/cjose.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "mcp_json.h"
#include "mcp_jws.h"
#include "mcp_util.h"

/* "RSA" of so many bits, or the name of a curve; or what is neither */
static EVP_PKEY *make_key(const char *kind, size_t bits)
{
    EVP_PKEY *key;

    if (!strcmp(kind, "RSA")) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", bits);
    }
    else if (!strcmp(kind, "ED25519")) {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    }
    else {
        key = EVP_PKEY_Q_keygen(NULL, NULL, "EC", kind);
    }
    ck_assert_ptr_nonnull(key);
    return key;
}

static const char *text_of(BIO *bio)
{
    char *data;
    long len = BIO_get_mem_data(bio, &data);
    const char *text = apr_pstrmemdup(pool, data, (apr_size_t)len);

    BIO_free(bio);
    return text;
}

static const char *pem_of(EVP_PKEY *key, const char *passphrase)
{
    BIO *bio = BIO_new(BIO_s_mem());

    ck_assert(PEM_write_bio_PrivateKey(bio, key, passphrase ? EVP_aes_128_cbc() : NULL, (const unsigned char *)passphrase,
                                       passphrase ? (int)strlen(passphrase) : 0, NULL, NULL));
    return text_of(bio);
}

/* PEM of a new key */
static const char *new_key(const char *kind, size_t bits)
{
    EVP_PKEY *key = make_key(kind, bits);
    const char *pem = pem_of(key, NULL);

    EVP_PKEY_free(key);
    return pem;
}

static const char *certificate_of(EVP_PKEY *key, long seconds, unsigned char digest[32])
{
    X509 *cert = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());

    X509_gmtime_adj(X509_getm_notBefore(cert), 0);
    X509_gmtime_adj(X509_getm_notAfter(cert), seconds);
    X509_set_pubkey(cert, key);
    ck_assert(X509_sign(cert, key, EVP_sha256()));
    ck_assert(PEM_write_bio_X509(bio, cert));
    ck_assert(X509_digest(cert, EVP_sha256(), digest, NULL));
    X509_free(cert);
    return text_of(bio);
}

static json_t *claims(void)
{
    return mcp_json_own(pool, json_pack("{s:s, s:i}", "sub", "Zo\xc3\xab", "exp", 1234567890));
}

/* The header of @a token, which the public key of @a signer must verify, or must not. */
static json_t *header_of(const char *token, const mcp_signer_t *signer, int verifies)
{
    const char *jwk_text = mcp_json_text(pool, mcp_signer_jwk(pool, signer));
    cjose_err err;
    cjose_jwk_t *jwk = cjose_jwk_import(jwk_text, strlen(jwk_text), &err);
    cjose_jws_t *jws = cjose_jws_import(token, strlen(token), &err);
    uint8_t *plain = NULL;
    size_t len = 0;
    json_t *header;

    ck_assert_ptr_nonnull(jwk);
    ck_assert_ptr_nonnull(jws);
    ck_assert_int_eq(cjose_jws_verify(jws, jwk, &err), verifies);
    if (verifies) {
        ck_assert(cjose_jws_get_plaintext(jws, &plain, &len, &err));
        ck_assert_str_eq(apr_pstrmemdup(pool, (const char *)plain, len), mcp_json_text(pool, claims()));
    }
    header = json_deep_copy((json_t *)cjose_jws_get_protected(jws));
    cjose_jws_release(jws);
    cjose_jwk_release(jwk);
    return mcp_json_own(pool, header);
}

static const struct {
    const char *kind;
    const char *alg; /* asked for */
    const char *used;
    const char *not_by;
} good[] = {
    { "RSA", NULL, "PS256", "ES256" },
    { "RSA", "RS256", "RS256", "none" },
    { "RSA", "RS512", "RS512", "HS256" },
    { "RSA", "PS384", "PS384", "ES384" },
    { "P-256", NULL, "ES256", "ES384" },
    { "P-384", NULL, "ES384", "ES256" },
    { "P-521", NULL, "ES512", "RS256" },
    { "P-256", "ES256", "ES256", "PS256" },
};

START_TEST(signs)
{
    const char *pem = new_key(good[_i].kind, 2048);
    const mcp_signer_t *signer = NULL, *other = NULL;
    const char *token;
    char *sorted;
    json_t *header, *jwk;

    ck_assert_ptr_null(mcp_signer_make(pool, pem, good[_i].alg, NULL, &signer));
    ck_assert_ptr_null(mcp_signer_make(pool, new_key(good[_i].kind, 2048), good[_i].alg, NULL, &other));
    ck_assert_str_eq(mcp_signer_alg(signer), good[_i].used);
    ck_assert(mcp_signer_can(signer, good[_i].used));
    ck_assert(!mcp_signer_can(signer, good[_i].not_by));
    ck_assert(mcp_signer_not_after(signer) == 0);

    token = mcp_signer_sign(pool, signer, NULL, "the-key", 1, claims());
    header = header_of(token, signer, 1);
    ck_assert_str_eq(mcp_json_str(header, "alg"), good[_i].used);
    ck_assert_str_eq(mcp_json_str(header, "typ"), "JWT");
    ck_assert_str_eq(mcp_json_str(header, "kid"), "the-key");
    ck_assert_int_eq(json_object_size(header), 3);
    header_of(token, other, 0);
    header = header_of(mcp_signer_sign(pool, signer, NULL, NULL, 0, claims()), signer, 1);
    ck_assert_ptr_null(json_object_get(header, "kid"));

    /* RFC 7638: the hash of the members that make the key, in order of the alphabet, and of no other */
    jwk = mcp_signer_jwk(pool, signer);
    ck_assert_str_eq(mcp_json_str(jwk, "kid"), mcp_signer_thumbprint(signer));
    ck_assert_str_eq(mcp_json_str(jwk, "use"), "sig");
    ck_assert_str_eq(mcp_json_str(jwk, "alg"), good[_i].used);
    ck_assert_ptr_null(json_object_get(jwk, "d"));
    json_object_del(jwk, "kid");
    json_object_del(jwk, "use");
    json_object_del(jwk, "alg");
    sorted = json_dumps(jwk, JSON_COMPACT | JSON_SORT_KEYS);
    ck_assert_str_eq(mcp_sha256_b64url(pool, sorted), mcp_signer_thumbprint(signer));
    free(sorted);
}
END_TEST

START_TEST(names_its_certificate)
{
    EVP_PKEY *key = make_key("P-256", 0), *other = make_key("P-256", 0);
    unsigned char digest[32], unused[32];
    const char *certificate = certificate_of(key, 3600, digest);
    const char *foreign = certificate_of(other, 3600, unused);
    const mcp_signer_t *signer = NULL;
    apr_time_t left;
    json_t *header;

    ck_assert_ptr_null(mcp_signer_make(pool, pem_of(key, NULL), NULL, certificate, &signer));
    left = mcp_signer_not_after(signer) - apr_time_now();
    ck_assert(left > apr_time_from_sec(3500) && left <= apr_time_from_sec(3600));
    header = header_of(mcp_signer_sign(pool, signer, NULL, NULL, 1, claims()), signer, 1);
    ck_assert_str_eq(mcp_json_str(header, "x5t#S256"), mcp_b64url_encode(pool, digest, sizeof(digest)));
    header = header_of(mcp_signer_sign(pool, signer, NULL, NULL, 0, claims()), signer, 1);
    ck_assert_ptr_null(json_object_get(header, "x5t#S256"));

    ck_assert_str_eq(mcp_signer_make(pool, pem_of(key, NULL), NULL, foreign, &signer), "is not the key of the certificate");
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, pem_of(key, NULL), NULL, "nonsense", &signer), "cannot be read"));
    EVP_PKEY_free(key);
    EVP_PKEY_free(other);
}
END_TEST

START_TEST(refuses)
{
    const mcp_signer_t *signer = NULL;
    EVP_PKEY *key = make_key("P-256", 0);
    const char *locked = pem_of(key, "passphrase");

    EVP_PKEY_free(key);
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, new_key("RSA", 1024), NULL, NULL, &signer), "1024 bits: 2048"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, new_key("ED25519", 0), NULL, NULL, &signer), "neither RSA nor EC"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, new_key("secp256k1", 0), NULL, NULL, &signer), "curve"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, locked, NULL, NULL, &signer), "passphrase"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, "", NULL, NULL, &signer), "PEM"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, new_key("P-256", 0), "RS256", NULL, &signer), "cannot sign by RS256"));
    ck_assert_ptr_nonnull(strstr(mcp_signer_make(pool, new_key("RSA", 2048), "none", NULL, &signer), "cannot sign by none"));
    ck_assert_ptr_null(signer);
}
END_TEST

Suite *suite_jws(void)
{
    Suite *suite = suite_create("jws");
    TCase *test = unit_case(suite, "jws");

    tcase_set_timeout(test, 60); /* RSA keys take their time */
    tcase_add_loop_test(test, signs, 0, sizeof(good) / sizeof(*good));
    tcase_add_test(test, names_its_certificate);
    tcase_add_test(test, refuses);
    return suite;
}
