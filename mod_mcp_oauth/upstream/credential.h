/* SPDX-License-Identifier: Apache-2.0 */
/* How the gateway proves to a provider that it is the client that it says it is (RFC 6749
 * section 2.3, RFC 7523, RFC 8705), beyond a secret. */

#ifndef MCP_CREDENTIAL_H
#define MCP_CREDENTIAL_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_jws.h"
#include "mcp_result.h"

struct mcp_provider_t;

/* An assertion that somebody else makes for us: assertion_source.c. */
typedef struct mcp_assertion_source_t mcp_assertion_source_t;

/* When the parameters of an authorization request are pushed to the provider (RFC 9126). */
typedef enum {
    MCP_PAR_REQUIRED, /* when its metadata requires it */
    MCP_PAR_ON,
    MCP_PAR_OFF
} mcp_par_e;

/* Part of a provider's section. */
typedef struct {
    const char *key_ref;            /* MCPProviderClientKey: file:, env:, exec: */
    const char *cert_file;          /* MCPProviderClientCertificate: PEM, the chain may follow */
    const char *kid;                /* MCPProviderClientKeyID */
    const char *alg;                /* MCPProviderClientKeyAlg, NULL: by key and metadata */
    int aud_is_issuer;              /* MCPProviderAssertionAudience issuer */
    mcp_assertion_source_t *source; /* MCPProviderAssertion */
    mcp_par_e par;                  /* MCPProviderPAR */

    /* after post_config */
    const mcp_signer_t *signer; /* NULL without a key */
    const char *key_pem;
    const char *cert_pem;
} mcp_credential_t;

#define MCP_CREDENTIAL_COMMANDS(mod) \
    AP_INIT_TAKE1( \
        "MCPProviderClientKey", mcp_set_provider_client_key, (void *)(mod), RSRC_CONF, \
        "private key of this gateway at the provider, by reference: file:, env: or exec:"), \
        AP_INIT_TAKE1("MCPProviderClientCertificate", mcp_set_provider_client_certificate, \
                      (void *)(mod), RSRC_CONF, "PEM file with the certificate of that key"), \
        AP_INIT_TAKE1("MCPProviderClientKeyID", mcp_set_provider_client_kid, (void *)(mod), \
                      RSRC_CONF, "kid in the header of assertions"), \
        AP_INIT_TAKE1("MCPProviderClientKeyAlg", mcp_set_provider_client_alg, (void *)(mod), \
                      RSRC_CONF, "algorithm of assertions: PS256, RS256, ES256, ..."), \
        AP_INIT_TAKE1("MCPProviderAssertionAudience", mcp_set_provider_assertion_audience, \
                      (void *)(mod), RSRC_CONF, "aud of assertions: token_endpoint or issuer"), \
        AP_INIT_TAKE_ARGV("MCPProviderAssertion", mcp_set_provider_assertion, (void *)(mod), \
                          RSRC_CONF, \
                          "assertion that somebody else makes: managed-identity [client_id=...], " \
                          "workload-identity, file:/path or exec:command"), \
        AP_INIT_TAKE1("MCPProviderPAR", mcp_set_provider_par, (void *)(mod), RSRC_CONF, \
                      "pushed authorization requests: required, on or off")

const char *mcp_set_provider_client_key(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_client_certificate(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_client_kid(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_client_alg(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_assertion_audience(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_assertion(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *mcp_set_provider_par(cmd_parms *cmd, void *dummy, const char *arg);

/** What of a section's client authentication does not fit together. NULL, or what to mend. */
const char *mcp_credential_check(apr_pool_t *p, const struct mcp_provider_t *provider);

/** post_config duty: read key and certificate. NULL or why not. */
const char *mcp_credential_load(apr_pool_t *p, mcp_credential_t *credential, server_rec *s,
                                const char *provider);

/* ---- assertion_source.c ---- */

/** Parse MCPProviderAssertion. NULL or what to mend. */
const char *mcp_assertion_source_parse(apr_pool_t *p, int argc, char *const argv[],
                                       mcp_assertion_source_t **source);

/** post_config duty: what the environment says. NULL or why not. */
const char *mcp_assertion_source_prepare(apr_pool_t *p, mcp_assertion_source_t *source);

/** child_init duty. @a p lives as long as the process. */
apr_status_t mcp_assertion_source_start(mcp_assertion_source_t *source, apr_pool_t *p);

/**
 * The assertion: kept until shortly before it expires, and fetched by one thread for all.
 * @param text  set in @a p on OK
 * @return OK, or 503 or 502 with @a res filled
 */
int mcp_assertion_get(apr_pool_t *p, mcp_assertion_source_t *source, apr_interval_time_t timeout,
                      const char **text, mcp_result_t *res);

#endif
