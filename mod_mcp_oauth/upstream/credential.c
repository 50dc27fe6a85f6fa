/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's own authentication at a provider: by secret, by a signed assertion, by somebody
 * else's, by certificate. */

#include "upstream_impl.h"
#include "provider_config.h"

#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "oauth.h"

APLOG_USE_MODULE(mcp_oauth);

#define ASSERTION_LIFETIME 300 /* seconds */
#define ASSERTION_TYPE "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
#define CERT_MAX 65536
#define EXPIRES_SOON apr_time_from_sec(14 * 86400)
#define RETRY_AFTER apr_time_from_msec(300) /* and up to as much again */

/* ---- directives ---- */

static mcp_credential_t *credential_of(cmd_parms *cmd, const char **why)
{
    mcp_provider_t *provider = mcp_provider_of(cmd, why);

    return provider ? &provider->credential : NULL;
}

const char *mcp_set_provider_client_key(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->key_ref = arg;
        why = mcp_secret_check(cmd->pool, arg);
        if (why) { /* never the argument itself: it may be the key */
            why = apr_pstrcat(cmd->pool, "MCPProviderClientKey: ", why, NULL);
        }
    }
    return why;
}

const char *mcp_set_provider_client_certificate(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->cert_file = ap_server_root_relative(cmd->pool, arg);
        if (!credential->cert_file) {
            return apr_psprintf(cmd->pool, "MCPProviderClientCertificate: \"%s\" is not a path",
                                arg);
        }
    }
    return why;
}

const char *mcp_set_provider_client_kid(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->kid = arg;
        if (!*arg || strlen(arg) > 256 || !mcp_is_header_safe(arg)) {
            return "MCPProviderClientKeyID takes 1 to 256 visible ASCII characters";
        }
    }
    return why;
}

const char *mcp_set_provider_client_alg(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->alg = arg;
        if (!mcp_list_has("PS256 PS384 PS512 RS256 RS384 RS512 ES256 ES384 ES512", arg)) {
            return "MCPProviderClientKeyAlg takes PS256, RS256, ES256 or their kin of 384 and 512 bits";
        }
    }
    return why;
}

const char *mcp_set_provider_assertion_audience(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->aud_is_issuer = !strcmp(arg, "issuer");
        if (!credential->aud_is_issuer && strcmp(arg, "token_endpoint")) {
            return "MCPProviderAssertionAudience takes token_endpoint or issuer";
        }
    }
    return why;
}

const char *mcp_set_provider_assertion(cmd_parms *cmd, void *dummy, int argc, char *const argv[])
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    return credential ? mcp_assertion_source_parse(cmd->pool, argc, argv, &credential->source)
                      : why;
}

const char *mcp_set_provider_par(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_credential_t *credential = credential_of(cmd, &why);

    if (credential) {
        credential->par = !strcmp(arg, "on")
                              ? MCP_PAR_ON
                              : (!strcmp(arg, "off") ? MCP_PAR_OFF : MCP_PAR_REQUIRED);
        if (credential->par == MCP_PAR_REQUIRED && strcmp(arg, "required")) {
            return "MCPProviderPAR takes required, on or off";
        }
    }
    return why;
}

/* ---- configuration ---- */

static int is_tls(const char *method)
{
    return method
           && (!strcmp(method, "tls_client_auth")
               || !strcmp(method, "self_signed_tls_client_auth"));
}

static const char *read_certificate(apr_pool_t *p, mcp_credential_t *credential)
{
    char *text;
    const char *why = mcp_read_file(p, credential->cert_file, CERT_MAX, &text, NULL);

    credential->cert_pem = why ? NULL : text;
    return why ? apr_pstrcat(p, "MCPProviderClientCertificate: ", why, NULL) : NULL;
}

/* Key and certificate, read and fitted together. NULL or why not. */
static const char *load_key(apr_pool_t *p, mcp_credential_t *credential)
{
    const char *why = credential->cert_file ? read_certificate(p, credential) : NULL;

    if (why || !credential->key_ref) {
        return why;
    }
    why = mcp_secret_load_pem(p, credential->key_ref, &credential->key_pem);
    if (why) {
        return apr_pstrcat(p, "MCPProviderClientKey: ", why, NULL);
    }
    why = mcp_signer_make(p, credential->key_pem, credential->alg, credential->cert_pem,
                          &credential->signer);
    return why ? apr_psprintf(p, "MCPProviderClientKey: %s %s", credential->key_ref, why) : NULL;
}

const char *mcp_credential_check(apr_pool_t *p, const mcp_provider_t *provider)
{
    const mcp_credential_t *own = &provider->credential;
    const char *method = provider->auth_method;
    int signs = method ? !strcmp(method, "private_key_jwt") : own->key_ref || own->source;

    if (!method && signs && provider->secret_ref) {
        return "two ways to authenticate are there: remove MCPProviderClientSecret, or name the way by "
               "MCPProviderAuthMethod";
    }
    if (method && !strcmp(method, "none")
        && (provider->secret_ref || own->key_ref || own->source)) {
        return "MCPProviderAuthMethod none uses no secret: remove MCPProviderClientSecret (or the key, or the "
               "assertion), or the method";
    }
    if (method && !strncmp(method, "client_secret_", 14) && !provider->secret_ref) {
        return "MCPProviderAuthMethod needs a secret: add MCPProviderClientSecret file:/path, or set "
               "MCPProviderAuthMethod none";
    }
    if (signs && !own->key_ref && !own->source) {
        return "MCPProviderAuthMethod private_key_jwt needs MCPProviderClientKey file:/path, or MCPProviderAssertion";
    }
    if (own->key_ref && own->source) {
        return "MCPProviderAssertion says that somebody else makes the assertion: remove MCPProviderClientKey or it";
    }
    if (is_tls(method) && (!own->key_ref || !own->cert_file)) {
        return apr_psprintf(
            p,
            "MCPProviderAuthMethod %s needs MCPProviderClientKey and MCPProviderClientCertificate",
            method);
    }
    if ((own->key_ref || own->source) && !signs && !is_tls(method)) {
        return apr_psprintf(
            p,
            "MCPProviderAuthMethod %s does not use MCPProviderClientKey and MCPProviderAssertion: "
            "remove them, or set MCPProviderAuthMethod private_key_jwt",
            method);
    }
    if (own->cert_file && !own->key_ref) {
        return "MCPProviderClientCertificate needs its key: add MCPProviderClientKey file:/path";
    }
    if (own->key_ref
        && !strncmp(own->key_ref,
                    "file:", 5)) { /* for configtest; commands run at the start only */
        mcp_credential_t copy = *own;

        return load_key(p, &copy);
    }
    return NULL;
}

const char *mcp_credential_load(apr_pool_t *p, mcp_credential_t *credential, server_rec *s,
                                const char *provider)
{
    const char *why = NULL;
    apr_time_t not_after;

    if (credential->source) {
        why = mcp_assertion_source_prepare(p, credential->source);
    }
    if (!why) {
        why = load_key(p, credential);
    }
    if (why || !credential->signer) {
        return why;
    }
    not_after = mcp_signer_not_after(credential->signer);
    if (not_after && not_after < apr_time_now() + EXPIRES_SOON) {
        char when[APR_RFC822_DATE_LEN];

        apr_rfc822_date(when, not_after);
        ap_log_error(APLOG_MARK, APLOG_WARNING | APLOG_STARTUP, 0, s,
                     MCP_LOG(0306) "<MCPProvider %s>: the certificate %s expires on %s", provider,
                     credential->cert_file, when);
    }
    return NULL;
}

/* ---- use ---- */

static const char *method_for(const mcp_provider_t *provider, const mcp_discovery_t *doc)
{
    if (provider->auth_method) {
        return provider->auth_method;
    }
    if (provider->credential.signer || provider->credential.source) {
        return "private_key_jwt";
    }
    return !provider->secret ? "none" : (doc->basic ? "client_secret_basic" : "client_secret_post");
}

/* What was configured; else what the provider says that it takes, the better one first; else by the
 * key. */
static const char *alg_for(const mcp_provider_t *provider, const mcp_discovery_t *doc)
{
    static const char *const order[] = { "PS256", "ES256", "RS256", "PS384", "ES384",
                                         "RS384", "PS512", "ES512", "RS512", NULL };

    for (const char *const *alg = order; !provider->credential.alg && doc->assertion_algs && *alg;
         alg++) {
        if (mcp_list_has(doc->assertion_algs, *alg)
            && mcp_signer_can(provider->credential.signer, *alg)) {
            return *alg;
        }
    }
    return mcp_signer_alg(provider->credential.signer);
}

/* RFC 7523 section 3, OpenID Connect Core 1.0 section 9. */
static const char *make_assertion(apr_pool_t *p, const mcp_provider_t *provider,
                                  const mcp_discovery_t *doc)
{
    json_t *claims = mcp_json_own(p, json_object());
    json_int_t now = apr_time_sec(apr_time_now());

    mcp_put(claims, "iss", provider->client_id);
    mcp_put(claims, "sub", provider->client_id);
    mcp_put(claims, "aud", provider->credential.aud_is_issuer ? doc->issuer : doc->token_endpoint);
    mcp_put(claims, "jti", mcp_random_b64url(p, 16));
    json_object_set_new(claims, "iat", json_integer(now));
    json_object_set_new(claims, "nbf", json_integer(now));
    json_object_set_new(claims, "exp", json_integer(now + ASSERTION_LIFETIME));
    return mcp_signer_sign(p, provider->credential.signer, alg_for(provider, doc),
                           provider->credential.kid, 1, claims);
}

static int add_assertion(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                         apr_table_t *form, const char **proof, mcp_result_t *res)
{
    const mcp_credential_t *own = &provider->credential;
    const char *assertion;

    if (own->source) {
        int rc = mcp_assertion_get(r->pool, own->source, provider->timeout, &assertion, res);

        if (rc != OK) {
            return rc;
        }
    }
    else {
        assertion = make_assertion(r->pool, provider, doc);
    }
    if (!assertion) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the gateway cannot prove who it is",
                        "the client assertion cannot be signed");
    }
    apr_table_setn(form, "client_assertion_type", ASSERTION_TYPE);
    apr_table_setn(form, "client_assertion", assertion);
    *proof = assertion;
    return OK;
}

/* The client's authentication: into @a form, the header of @a ask, or its connection. */
static int authenticate(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                        mcp_endpoint_t endpoint, apr_table_t *form, mcp_fetch_t *ask,
                        const char **proof, mcp_result_t *res)
{
    const char *method = method_for(provider, doc);

    ask->url = endpoint.plain;
    *proof = provider->secret;
    if (!strcmp(method, "client_secret_basic")) {
        /* Both parts are form-encoded first (RFC 6749 section 2.3.1). */
        ask->authorization = apr_pstrcat(
            r->pool, "Basic ",
            ap_pbase64encode(r->pool,
                             apr_pstrcat(r->pool, mcp_url_encode(r->pool, provider->client_id), ":",
                                         mcp_url_encode(r->pool, provider->secret), NULL)),
            NULL);
        return OK;
    }
    apr_table_setn(form, "client_id", provider->client_id);
    if (!strcmp(method, "client_secret_post")) {
        apr_table_setn(form, "client_secret", provider->secret);
    }
    else if (!strcmp(method, "private_key_jwt")) {
        return add_assertion(r, provider, doc, form, proof, res);
    }
    else if (is_tls(method)) {
        ask->url = endpoint.mtls ? endpoint.mtls : endpoint.plain;
        ask->client_cert = provider->credential.cert_pem;
        ask->client_key = provider->credential.key_pem;
    }
    return OK;
}

int mcp_client_post(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                    mcp_endpoint_t endpoint, const apr_table_t *params, apr_size_t max, int again,
                    mcp_fetched_t *got, const char **proof, mcp_result_t *res)
{
    for (int tries = 0;; tries++) {
        mcp_fetch_t ask = {
            .provider = provider->name,
            .ca_pem = provider->ca_pem,
            .ca_file = provider->ca_file,
            .proxy = provider->proxy,
            .max = max,
            .timeout = provider->timeout,
        };
        apr_table_t *form = apr_table_copy(r->pool, params);
        unsigned char jitter;
        int rc = authenticate(r, provider, doc, endpoint, form, &ask, proof,
                              res); /* anew: a jti is used once */

        if (rc != OK) {
            return rc;
        }
        ask.form = mcp_url_add_params(r->pool, "", form) + 1; /* without the "?" */
        rc = mcp_fetch(r->pool, &ask, got, res);
        if (rc != OK || tries
            || (got->status != HTTP_TOO_MANY_REQUESTS
                && !(again && got->status == HTTP_SERVICE_UNAVAILABLE))) {
            return rc;
        }
        mcp_random(&jitter, 1);
        apr_sleep(RETRY_AFTER + RETRY_AFTER * jitter / 256);
    }
}
