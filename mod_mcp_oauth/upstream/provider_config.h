/* SPDX-License-Identifier: Apache-2.0 */
/* <MCPProvider> sections: their directives, and the presets that write some of them. */

#ifndef MCP_PROVIDER_CONFIG_H
#define MCP_PROVIDER_CONFIG_H

#include <httpd.h>
#include <http_config.h>

#include "upstream.h"

/* ---- presets.c ---- */

/**
 * The directives of a preset, to be walked before those that were written.
 * @param preset  the MCPProviderPreset directive; errors in the preset's lines are reported at its
 * place
 * @param lines  set to the first directive, NULL when there is none
 * @return NULL, or what is wrong with the directive
 */
const char *mcp_preset_lines(apr_pool_t *p, const ap_directive_t *preset, ap_directive_t **lines);

/* ---- provider_section.c ---- */

const char *mcp_provider_section(cmd_parms *cmd, void *dummy, const char *args);

/** The section that a directive stands in, or NULL with *why set. */
mcp_provider_t *mcp_provider_of(cmd_parms *cmd, const char **why);

/* ---- tenant.c ---- */

const char *mcp_set_provider_token_scope(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_response_mode(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_allow_tenant(cmd_parms *cmd, void *dummy, const char *arg);

/** What of tenants and scopes in a section does not fit together. NULL, or what to mend. */
const char *mcp_tenants_check(apr_pool_t *p, const mcp_provider_t *provider);

/* ---- provider_set.c ---- */

/** The PEM text of a CA file. NULL or why not. */
const char *mcp_provider_read_ca(apr_pool_t *p, const char *path, const char **pem);

const char *mcp_set_provider_preset(cmd_parms *cmd, void *dummy, const char *name, const char *arg);
const char *mcp_set_provider_type(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_authorization(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_token(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_userinfo(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_user(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_claim(cmd_parms *cmd, void *dummy, const char *name, const char *arg);
const char *mcp_set_provider_max_age(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_label(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_domains(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_issuer(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_client_id(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_client_secret(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_auth_method(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_scope(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_auth_param(cmd_parms *cmd, void *dummy, const char *name,
                                        const char *value);
const char *mcp_set_provider_claims(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_subject(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_username(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_proxy(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_ca_file(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_provider_timeout(cmd_parms *cmd, void *dummy, const char *arg);

/* A part of mod_mcp_oauth's command table. */
#define MCP_PROVIDER_COMMANDS(mod) \
    AP_INIT_RAW_ARGS("<MCPProvider", mcp_provider_section, (void *)(mod), RSRC_CONF, \
                     "section: where people sign in"), \
        AP_INIT_TAKE12("MCPProviderPreset", mcp_set_provider_preset, (void *)(mod), RSRC_CONF, \
                       "product whose settings are known, and its host or tenant"), \
        AP_INIT_TAKE1("MCPProviderType", mcp_set_provider_type, (void *)(mod), RSRC_CONF, \
                      "oidc, or httpd: its own authentication"), \
        AP_INIT_TAKE1("MCPProviderAuthorizationEndpoint", mcp_set_provider_authorization, \
                      (void *)(mod), RSRC_CONF, "URL, of a provider without discovery"), \
        AP_INIT_TAKE1("MCPProviderTokenEndpoint", mcp_set_provider_token, (void *)(mod), \
                      RSRC_CONF, "URL, of a provider without discovery"), \
        AP_INIT_TAKE1("MCPProviderUserinfoEndpoint", mcp_set_provider_userinfo, (void *)(mod), \
                      RSRC_CONF, "URL, of a provider without discovery"), \
        AP_INIT_TAKE1("MCPProviderUser", mcp_set_provider_user, (void *)(mod), RSRC_CONF, \
                      "expression that names the person, instead of httpd's user"), \
        AP_INIT_TAKE2("MCPProviderClaim", mcp_set_provider_claim, (void *)(mod), RSRC_CONF, \
                      "claim, and the expression that has its value"), \
        AP_INIT_TAKE1("MCPProviderMaxAge", mcp_set_provider_max_age, (void *)(mod), RSRC_CONF, \
                      "after how long people have to sign in again"), \
        AP_INIT_TAKE1("MCPProviderLabel", mcp_set_provider_label, (void *)(mod), RSRC_CONF, \
                      "what people know the provider by"), \
        AP_INIT_ITERATE("MCPProviderDomains", mcp_set_provider_domains, (void *)(mod), RSRC_CONF, \
                        "mail domains whose people sign in there"), \
        AP_INIT_TAKE1("MCPProviderIssuer", mcp_set_provider_issuer, (void *)(mod), RSRC_CONF, \
                      "issuer URL of the provider"), \
        AP_INIT_TAKE1("MCPProviderClientID", mcp_set_provider_client_id, (void *)(mod), RSRC_CONF, \
                      "client_id of this gateway at the provider"), \
        AP_INIT_TAKE1("MCPProviderClientSecret", mcp_set_provider_client_secret, (void *)(mod), \
                      RSRC_CONF, "its secret by reference: file:, env: or exec:"), \
        AP_INIT_TAKE1("MCPProviderAuthMethod", mcp_set_provider_auth_method, (void *)(mod), \
                      RSRC_CONF, "client_secret_basic, client_secret_post, private_key_jwt, " \
                                 "tls_client_auth, self_signed_tls_client_auth or none"), \
        AP_INIT_TAKE1("MCPProviderScope", mcp_set_provider_scope, (void *)(mod), RSRC_CONF, \
                      "scopes asked of the provider"), \
        AP_INIT_TAKE1("MCPProviderTokenScope", mcp_set_provider_token_scope, (void *)(mod), RSRC_CONF, \
                      "scopes for the token endpoint: none, one-resource, or scopes"), \
        AP_INIT_TAKE1("MCPProviderResponseMode", mcp_set_provider_response_mode, (void *)(mod), \
                      RSRC_CONF, "how the provider answers: query or form_post"), \
        AP_INIT_ITERATE("MCPProviderAllowTenant", mcp_set_provider_allow_tenant, (void *)(mod), \
                        RSRC_CONF, "tenants whose people may sign in, or any"), \
        AP_INIT_TAKE12("MCPProviderAuthParam", mcp_set_provider_auth_param, (void *)(mod), \
                       RSRC_CONF, "parameter that is added to the authorization request"), \
        AP_INIT_ITERATE("MCPProviderClaims", mcp_set_provider_claims, (void *)(mod), RSRC_CONF, \
                        "claims to keep"), \
        AP_INIT_ITERATE("MCPProviderSubjectClaim", mcp_set_provider_subject, (void *)(mod), \
                        RSRC_CONF, "claims that together name a person for ever, default sub"), \
        AP_INIT_TAKE1("MCPProviderUsernameClaim", mcp_set_provider_username, (void *)(mod), \
                      RSRC_CONF, "claim that holds a person's name for people"), \
        AP_INIT_TAKE1("MCPProviderProxy", mcp_set_provider_proxy, (void *)(mod), RSRC_CONF, \
                      "HTTP proxy by which the provider is reached"), \
        AP_INIT_TAKE1("MCPProviderCAFile", mcp_set_provider_ca_file, (void *)(mod), RSRC_CONF, \
                      "PEM file of the CA that vouches for the provider"), \
        AP_INIT_TAKE1("MCPProviderTimeout", mcp_set_provider_timeout, (void *)(mod), RSRC_CONF, \
                      "limit for each call to the provider")

#endif
