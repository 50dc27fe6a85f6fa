/* SPDX-License-Identifier: Apache-2.0 */
/* Keys in PEM form become cjose's; cjose makes the signatures. */

#include "mcp_jws.h"

#include <string.h>

#include <apr_strings.h>
#include <cjose/cjose.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define RSA_BITS_MIN 2048 /* RFC 7518 section 3.3 */
#define RSA_BITS_MAX 8192

struct mcp_signer_t {
    cjose_jwk_t *jwk;
    int rsa;
    const char *alg;
    const char *x5t;        /* x5t#S256 */
    const char *thumbprint; /* RFC 7638 */
    const char *members;    /* JSON text: the public members, in the order of RFC 7638 */
    apr_time_t not_after;
};

/* ---- numbers ---- */

/* A number of the key as @a len bytes, big endian; as many as it takes when that is 0. NULL when it
 * has none. */
static unsigned char *number(apr_pool_t *p, const EVP_PKEY *key, const char *name, apr_size_t *len)
{
    BIGNUM *bn = NULL;
    unsigned char *bytes = NULL;

    if (EVP_PKEY_get_bn_param(key, name, &bn) == 1) {
        if (!*len) {
            *len = (apr_size_t)BN_num_bytes(bn);
        }
        bytes = apr_palloc(p, *len + 1);
        if (BN_bn2binpad(bn, bytes, (int)*len) < 0) {
            bytes = NULL;
        }
        BN_clear_free(bn);
    }
    return bytes;
}

static void clean(unsigned char *bytes, apr_size_t len)
{
    if (bytes) {
        OPENSSL_cleanse(bytes, len);
    }
}

static const char *import_rsa(apr_pool_t *p, const EVP_PKEY *key, mcp_signer_t *signer)
{
    cjose_jwk_rsa_keyspec spec = { 0 };
    int bits = EVP_PKEY_get_bits(key);
    cjose_err err;

    if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX) {
        return apr_psprintf(p, "is an RSA key of %d bits: %d to %d are needed", bits, RSA_BITS_MIN,
                            RSA_BITS_MAX);
    }
    spec.n = number(p, key, OSSL_PKEY_PARAM_RSA_N, &spec.nlen);
    spec.e = number(p, key, OSSL_PKEY_PARAM_RSA_E, &spec.elen);
    spec.d = number(p, key, OSSL_PKEY_PARAM_RSA_D, &spec.dlen);
    spec.p = number(p, key, OSSL_PKEY_PARAM_RSA_FACTOR1, &spec.plen);
    spec.q = number(p, key, OSSL_PKEY_PARAM_RSA_FACTOR2, &spec.qlen);
    spec.dp = number(p, key, OSSL_PKEY_PARAM_RSA_EXPONENT1, &spec.dplen);
    spec.dq = number(p, key, OSSL_PKEY_PARAM_RSA_EXPONENT2, &spec.dqlen);
    spec.qi = number(p, key, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, &spec.qilen);
    if (spec.n && spec.e && spec.d && spec.p && spec.q && spec.dp && spec.dq && spec.qi) {
        signer->jwk = cjose_jwk_create_RSA_spec(&spec, &err);
        signer->members = apr_psprintf(p, "{\"e\":\"%s\",\"kty\":\"RSA\",\"n\":\"%s\"}",
                                       mcp_b64url_encode(p, spec.e, spec.elen),
                                       mcp_b64url_encode(p, spec.n, spec.nlen));
    }
    clean(spec.d, spec.dlen);
    clean(spec.p, spec.plen);
    clean(spec.q, spec.qlen);
    clean(spec.dp, spec.dplen);
    clean(spec.dq, spec.dqlen);
    clean(spec.qi, spec.qilen);
    signer->rsa = 1;
    signer->alg = "PS256";
    return signer->jwk ? NULL : "is not a usable RSA key";
}

static const char *import_ec(apr_pool_t *p, const EVP_PKEY *key, mcp_signer_t *signer)
{
    static const struct {
        const char *group;
        cjose_jwk_ec_curve curve;
        apr_size_t len;
        const char *name;
        const char *alg;
    } curves[] = {
        { "prime256v1", CJOSE_JWK_EC_P_256, 32, "P-256", "ES256" },
        { "secp384r1", CJOSE_JWK_EC_P_384, 48, "P-384", "ES384" },
        { "secp521r1", CJOSE_JWK_EC_P_521, 66, "P-521", "ES512" },
    };
    char group[80] = "";
    cjose_jwk_ec_keyspec spec = { 0 };
    cjose_err err;

    EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof(group), NULL);
    for (apr_size_t i = 0; i < sizeof(curves) / sizeof(*curves); i++) {
        if (strcmp(curves[i].group, group)) {
            continue;
        }
        spec.crv = curves[i].curve;
        spec.dlen = spec.xlen = spec.ylen = curves[i].len;
        spec.d = number(p, key, OSSL_PKEY_PARAM_PRIV_KEY, &spec.dlen);
        spec.x = number(p, key, OSSL_PKEY_PARAM_EC_PUB_X, &spec.xlen);
        spec.y = number(p, key, OSSL_PKEY_PARAM_EC_PUB_Y, &spec.ylen);
        if (spec.d && spec.x && spec.y) {
            signer->jwk = cjose_jwk_create_EC_spec(&spec, &err);
            signer->members =
                apr_psprintf(p, "{\"crv\":\"%s\",\"kty\":\"EC\",\"x\":\"%s\",\"y\":\"%s\"}",
                             curves[i].name, mcp_b64url_encode(p, spec.x, spec.xlen),
                             mcp_b64url_encode(p, spec.y, spec.ylen));
        }
        clean(spec.d, spec.dlen);
        signer->alg = curves[i].alg;
        return signer->jwk ? NULL : "is not a usable EC key";
    }
    return "is on a curve that JWS does not know: P-256, P-384 and P-521 are";
}

/* ---- keys and certificates ---- */

static apr_status_t release(void *jwk)
{
    cjose_jwk_release(jwk);
    return APR_SUCCESS;
}

/* No passphrase: nobody is there to be asked. */
static int no_passphrase(char *buf, int size, int rwflag, void *baton)
{
    return 0;
}

static apr_time_t time_of(const ASN1_TIME *when)
{
    struct tm tm;
    apr_time_exp_t fields = { 0 };
    apr_time_t t = 0;

    if (ASN1_TIME_to_tm(when, &tm) == 1) {
        fields.tm_sec = tm.tm_sec;
        fields.tm_min = tm.tm_min;
        fields.tm_hour = tm.tm_hour;
        fields.tm_mday = tm.tm_mday;
        fields.tm_mon = tm.tm_mon;
        fields.tm_year = tm.tm_year;
        apr_time_exp_gmt_get(&t, &fields);
    }
    return t;
}

static const char *read_certificate(apr_pool_t *p, const char *pem, const EVP_PKEY *key,
                                    mcp_signer_t *signer)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio ? PEM_read_bio_X509(bio, NULL, no_passphrase, NULL) : NULL;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned int len = 0;
    const char *why = NULL;

    if (!cert) {
        why = "has a certificate that cannot be read";
    }
    else if (X509_check_private_key(cert, key) != 1) {
        why = "is not the key of the certificate";
    }
    else if (X509_digest(cert, EVP_sha256(), digest, &len) != 1) {
        why = "has a certificate that cannot be hashed";
    }
    else {
        signer->x5t = mcp_b64url_encode(p, digest, len);
        signer->not_after = time_of(X509_get0_notAfter(cert));
    }
    X509_free(cert);
    BIO_free(bio);
    return why;
}

const char *mcp_signer_make(apr_pool_t *p, const char *pem, const char *alg,
                            const char *certificate, const mcp_signer_t **out)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;
    mcp_signer_t *signer = apr_pcalloc(p, sizeof(*signer));
    const char *why = "is not a private key in PEM form without a passphrase";

    if (key && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        why = import_rsa(p, key, signer);
    }
    else if (key) {
        why = EVP_PKEY_get_base_id(key) == EVP_PKEY_EC ? import_ec(p, key, signer)
                                                       : "is neither RSA nor EC";
    }
    if (signer->jwk) {
        apr_pool_cleanup_register(p, signer->jwk, release, apr_pool_cleanup_null);
    }
    if (!why && certificate) {
        why = read_certificate(p, certificate, key, signer);
    }
    if (!why && alg && !mcp_signer_can(signer, alg)) {
        why = apr_psprintf(p, "cannot sign by %s", alg);
    }
    if (!why) {
        signer->alg = alg ? apr_pstrdup(p, alg) : signer->alg;
        signer->thumbprint = mcp_sha256_b64url(p, signer->members);
        *out = signer;
    }
    EVP_PKEY_free(key);
    BIO_free(bio);
    ERR_clear_error();
    return why;
}

/* ---- use ---- */

int mcp_signer_can(const mcp_signer_t *signer, const char *alg)
{
    static const char *const rsa[] = { "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", NULL };

    if (!signer->rsa) {
        return !strcmp(signer->alg, alg); /* the curve decides (RFC 7518 section 3.4) */
    }
    for (const char *const *name = rsa; *name; name++) {
        if (!strcmp(*name, alg)) {
            return 1;
        }
    }
    return 0;
}

const char *mcp_signer_alg(const mcp_signer_t *signer)
{
    return signer->alg;
}

apr_time_t mcp_signer_not_after(const mcp_signer_t *signer)
{
    return signer->not_after;
}

const char *mcp_signer_thumbprint(const mcp_signer_t *signer)
{
    return signer->thumbprint;
}

json_t *mcp_signer_jwk(apr_pool_t *p, const mcp_signer_t *signer)
{
    json_t *jwk =
        mcp_json_parse(p, signer->members, strlen(signer->members), strlen(signer->members));

    json_object_set_new(jwk, "kid", json_string(signer->thumbprint));
    json_object_set_new(jwk, "use", json_string("sig"));
    json_object_set_new(jwk, "alg", json_string(signer->alg));
    return jwk;
}

static int set(cjose_header_t *header, const char *name, const char *value)
{
    cjose_err err;

    return !value || cjose_header_set(header, name, value, &err);
}

const char *mcp_signer_sign(apr_pool_t *p, const mcp_signer_t *signer, const char *alg,
                            const char *kid, int with_certificate, const json_t *claims)
{
    const char *text = mcp_json_text(p, claims), *compact, *copy = NULL;
    cjose_jws_t *jws = NULL;
    cjose_err err;
    cjose_header_t *header = cjose_header_new(&err);

    if (header && set(header, "alg", alg ? alg : signer->alg) && set(header, "typ", "JWT")
        && set(header, "kid", kid)
        && set(header, "x5t#S256", with_certificate ? signer->x5t : NULL)) {
        jws = cjose_jws_sign(signer->jwk, header, (const uint8_t *)text, strlen(text), &err);
        if (jws && cjose_jws_export(jws, &compact, &err)) {
            copy = apr_pstrdup(p, compact);
        }
        if (jws) {
            cjose_jws_release(jws);
        }
    }
    if (header) {
        cjose_header_release(header);
    }
    ERR_clear_error(); /* what is left there would be read as that of the thread's next TLS
                          connection */
    return copy;
}
