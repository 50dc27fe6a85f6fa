/* SPDX-License-Identifier: Apache-2.0 */
/* The directives of a <MCPProvider> section, each checked where it is written. */

#include "provider_config.h"

#include <apr_cstr.h>
#include <apr_file_io.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "id_token.h"
#include "mcp_secret.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "upstream_impl.h"

APLOG_USE_MODULE(mcp_oauth);

#define CA_MAX (4 * 1024 * 1024)
#define LABEL_MAX 60

/* A value that goes into headers and forms: visible ASCII, bounded. */
static const char *plain_text(cmd_parms *cmd, const char *arg, apr_size_t max)
{
    if (!*arg || strlen(arg) > max || !mcp_is_header_safe(arg)) {
        return apr_psprintf(cmd->pool, "%s takes 1 to %" APR_SIZE_T_FMT " visible ASCII characters",
                            cmd->cmd->name, max);
    }
    return NULL;
}

const char *mcp_set_provider_preset(cmd_parms *cmd, void *dummy, const char *name, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider && provider->preset) {
        return "MCPProviderPreset is there twice";
    }
    if (provider) {
        provider->preset = name; /* its directives came before this one: provider_section.c */
    }
    return why;
}

const char *mcp_set_provider_type(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    if (!strcmp(arg, "oidc")) {
        provider->kind = MCP_PROVIDER_OIDC;
    }
    else if (!strcmp(arg, "oauth2")) {
        provider->kind = MCP_PROVIDER_OAUTH2;
    }
    else if (!strcmp(arg, "httpd")) {
        provider->kind = MCP_PROVIDER_HTTPD;
    }
    else {
        return "MCPProviderType takes oidc, oauth2 or httpd";
    }
    return NULL;
}

/* A URL of a provider without discovery. */
static const char *endpoint(cmd_parms *cmd, const char *arg, const char **url)
{
    if (!mcp_upstream_url_ok(cmd->pool, arg, 1)) {
        return apr_psprintf(cmd->pool,
                            "%s takes an https URL without fragment (http only on "
                            "loopback): \"%s\" is none",
                            cmd->cmd->name, arg);
    }
    *url = arg;
    return NULL;
}

const char *mcp_set_provider_authorization(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    return provider ? endpoint(cmd, arg, &provider->authorization_endpoint) : why;
}

const char *mcp_set_provider_token(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    return provider ? endpoint(cmd, arg, &provider->token_endpoint) : why;
}

const char *mcp_set_provider_userinfo(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    return provider ? endpoint(cmd, arg, &provider->userinfo_endpoint) : why;
}

/* An expression with a text as its value. NULL with *why set. */
static ap_expr_info_t *text_expression(cmd_parms *cmd, const char *arg, const char **why)
{
    const char *err = NULL;
    ap_expr_info_t *expr = ap_expr_parse_cmd(cmd, arg, AP_EXPR_FLAG_STRING_RESULT, &err, NULL);

    if (err) {
        *why = apr_psprintf(cmd->pool, "%s: \"%s\" is no expression: %s", cmd->cmd->name, arg, err);
        return NULL;
    }
    return expr;
}

const char *mcp_set_provider_user(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        provider->user = text_expression(cmd, arg, &why);
    }
    return why;
}

const char *mcp_set_provider_claim(cmd_parms *cmd, void *dummy, const char *name, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);
    mcp_httpd_claim_t *claim;

    if (!provider) {
        return why;
    }
    why = plain_text(cmd, name, 128);
    if (why) {
        return why;
    }
    if (strpbrk(name, "\"\\") || !strcmp(name, MCP_CLAIMS_OVERAGE)) {
        return apr_psprintf(cmd->pool, "MCPProviderClaim takes the name of a claim; \"%s\" is none",
                            name);
    }
    if (!provider->httpd_claims) {
        provider->httpd_claims = apr_array_make(cmd->pool, 4, sizeof(mcp_httpd_claim_t));
    }
    claim = apr_array_push(provider->httpd_claims);
    claim->name = name;
    claim->value = text_expression(cmd, arg, &why);
    return why;
}

const char *mcp_set_provider_max_age(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    if (!strcmp(arg, "none")) {
        provider->max_age = 0;
        return NULL;
    }
    if (ap_timeout_parameter_parse(arg, &provider->max_age, "s") != APR_SUCCESS
        || provider->max_age < apr_time_from_sec(2)
        || provider->max_age > apr_time_from_sec(366 * 86400)) {
        return "MCPProviderMaxAge takes a duration of up to 8784h, or none";
    }
    return NULL;
}

const char *mcp_set_provider_label(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        apr_size_t len = strlen(arg);

        if (!len || len > LABEL_MAX || !mcp_is_utf8(arg)) {
            return apr_psprintf(cmd->pool,
                                "MCPProviderLabel takes a name for people, 1 to %d bytes of UTF-8",
                                LABEL_MAX);
        }
        provider->label = arg;
    }
    return why;
}

const char *mcp_set_provider_domains(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);
    const char *name = strncmp(arg, "*.", 2) ? arg : arg + 2;
    apr_size_t len = strlen(name);

    if (!provider) {
        return why;
    }
    if (!len || len > 253 || name[0] == '.' || name[len - 1] == '.'
        || strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-")
               != len) {
        return apr_psprintf(cmd->pool,
                            "MCPProviderDomains takes domains such as example.com or "
                            "*.example.com: \"%s\" is none",
                            arg);
    }
    if (!provider->domains) {
        provider->domains = apr_array_make(cmd->pool, 4, sizeof(const char *));
    }
    APR_ARRAY_PUSH(provider->domains, const char *) = arg;
    return NULL;
}

const char *mcp_set_provider_issuer(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);
    mcp_url_t url;

    if (!provider) {
        return why;
    }
    if (!mcp_upstream_url_ok(cmd->pool, arg, 1)
        || mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || url.query) {
        return apr_psprintf(
            cmd->pool,
            "MCPProviderIssuer takes the provider's issuer, an https URL without query and "
            "fragment (http only on loopback): \"%s\" is none",
            arg);
    }
    if (strstr(arg, "/.well-known/")) {
        return apr_psprintf(
            cmd->pool,
            "MCPProviderIssuer takes the issuer, not the address of its metadata: write "
            "%.*s",
            (int)(strstr(arg, "/.well-known/") - arg), arg);
    }
    provider->issuer = arg;
    return NULL;
}

const char *mcp_set_provider_client_id(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        why = plain_text(cmd, arg, 512);
        provider->client_id = arg;
    }
    return why;
}

const char *mcp_set_provider_client_secret(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        why = mcp_secret_check(cmd->pool, arg);
        provider->secret_ref = arg;
        if (why) { /* never the argument itself: it may be the secret */
            why = apr_pstrcat(cmd->pool, "MCPProviderClientSecret: ", why, NULL);
        }
    }
    return why;
}

const char *mcp_set_provider_auth_method(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider
        && !mcp_list_has("client_secret_basic client_secret_post private_key_jwt tls_client_auth "
                         "self_signed_tls_client_auth none",
                         arg)) {
        return "MCPProviderAuthMethod takes client_secret_basic, client_secret_post, "
               "private_key_jwt, tls_client_auth, self_signed_tls_client_auth or none";
    }
    if (provider) {
        provider->auth_method = arg;
    }
    return why;
}

const char *mcp_set_provider_scope(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    if (!mcp_scope_valid(arg)) {
        return "MCPProviderScope takes scopes separated by single spaces, in quotation marks";
    }
    provider->scope = arg;
    provider->scope_set = 1;
    return NULL;
}

/* Parameters that this module sets itself, or that would change what it relies on. */
static const char *const own_params[] = {
    "response_type",
    "response_mode",
    "client_id",
    "redirect_uri",
    "scope",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "request",
    "request_uri",
    "code",
    "code_verifier",
    "grant_type",
    "client_secret",
    "client_assertion",
    "client_assertion_type",
    "id_token_hint",
    "registration",
    "login_hint",
};

const char *mcp_set_provider_auth_param(cmd_parms *cmd, void *dummy, const char *name,
                                        const char *value)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    for (apr_size_t i = 0; i < sizeof(own_params) / sizeof(*own_params); i++) {
        if (!apr_cstr_casecmp(own_params[i], name)) {
            return apr_psprintf(cmd->pool,
                                "MCPProviderAuthParam does not take %s: the gateway sets it itself",
                                name);
        }
    }
    why = plain_text(cmd, name, 64);
    if (!why && value && *value) {
        why = plain_text(cmd, value, 1024);
    }
    if (!why && value && *value) {
        apr_table_setn(provider->auth_params, name, value);
    }
    else if (!why) { /* without a value: what a preset adds is left out */
        apr_table_unset(provider->auth_params, name);
    }
    return why;
}

/* Add the name of a claim to a list. */
static const char *add_claim(cmd_parms *cmd, apr_array_header_t **list, const char *arg)
{
    const char *why = plain_text(cmd, arg, 128);

    if (why || strpbrk(arg, "\"\\") || !strcmp(arg, MCP_CLAIMS_OVERAGE)) {
        return apr_psprintf(cmd->pool, "%s takes names of claims; \"%s\" is none", cmd->cmd->name,
                            arg);
    }
    if (!*list) {
        *list = apr_array_make(cmd->pool, 8, sizeof(const char *));
    }
    APR_ARRAY_PUSH(*list, const char *) = arg;
    return NULL;
}

const char *mcp_set_provider_claims(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    why = add_claim(cmd, &provider->claims, arg);
    if (!why && mcp_claims_names_size(provider->claims) > MCP_CLAIM_NAMES_MAX) {
        return apr_psprintf(cmd->pool,
                            "MCPProviderClaims names too many claims: %d bytes of names at most",
                            MCP_CLAIM_NAMES_MAX);
    }
    return why;
}

const char *mcp_set_provider_subject(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    return provider ? add_claim(cmd, &provider->subject_claims, arg) : why;
}

const char *mcp_set_provider_username(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider) {
        why = plain_text(cmd, arg, 128);
        provider->username_claim = arg;
    }
    return why;
}

const char *mcp_set_provider_proxy(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);
    mcp_url_t url;

    if (!provider) {
        return why;
    }
    if (mcp_url_parse(cmd->pool, arg, &url) != APR_SUCCESS || strcmp(url.scheme, "http")
        || url.query || url.fragment || url.has_userinfo || (*url.path && strcmp(url.path, "/"))) {
        return "MCPProviderProxy takes the URL of an HTTP proxy, such as http://proxy.example.com:3128";
    }
    provider->proxy = arg;
    return NULL;
}

const char *mcp_provider_read_ca(apr_pool_t *p, const char *path, const char **pem)
{
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len;
    char reason[120], *text;
    apr_status_t rv = apr_file_open(&file, path, APR_FOPEN_READ, APR_FPROT_OS_DEFAULT, p);

    if (rv == APR_SUCCESS) {
        rv = apr_file_info_get(&info, APR_FINFO_SIZE, file);
    }
    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "MCPProviderCAFile: cannot read %s: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    if (info.size > CA_MAX) {
        return apr_psprintf(p, "MCPProviderCAFile: %s is larger than %d bytes", path, CA_MAX);
    }
    text = apr_palloc(p, (apr_size_t)info.size + 1);
    rv = apr_file_read_full(file, text, (apr_size_t)info.size, &len);
    apr_file_close(file);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_EOF(rv)) {
        return apr_psprintf(p, "MCPProviderCAFile: cannot read %s: %s", path,
                            apr_strerror(rv, reason, sizeof(reason)));
    }
    text[len] = '\0';
    if (!strstr(text, "-----BEGIN CERTIFICATE-----")) {
        return apr_psprintf(p, "MCPProviderCAFile: %s holds no certificate in PEM form", path);
    }
    *pem = text;
    return NULL;
}

const char *mcp_set_provider_ca_file(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why, *pem;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (!provider) {
        return why;
    }
    provider->ca_file = ap_server_root_relative(cmd->pool, arg);
    if (!provider->ca_file) {
        return apr_psprintf(cmd->pool, "MCPProviderCAFile: \"%s\" is not a path", arg);
    }
    return mcp_provider_read_ca(cmd->pool, provider->ca_file, &pem);
}

const char *mcp_set_provider_timeout(cmd_parms *cmd, void *dummy, const char *arg)
{
    const char *why;
    mcp_provider_t *provider = mcp_provider_of(cmd, &why);

    if (provider
        && (ap_timeout_parameter_parse(arg, &provider->timeout, "s") != APR_SUCCESS
            || provider->timeout < apr_time_from_sec(1)
            || provider->timeout > apr_time_from_sec(60))) {
        return "MCPProviderTimeout takes a duration from 1s to 60s";
    }
    return why;
}
