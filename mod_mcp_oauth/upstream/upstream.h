/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream side: identity providers as the authorization server's flows see them. */

#ifndef MCP_UPSTREAM_H
#define MCP_UPSTREAM_H

#include <httpd.h>
#include <http_config.h>
#include <ap_expr.h>
#include <jansson.h>

#include "credential.h"
#include "mcp_result.h"
#include "mcp_upstream_token.h"

/* Who signs people in, and how. */
typedef enum {
    MCP_PROVIDER_OIDC,   /* OpenID Connect: discovery, id_token */
    MCP_PROVIDER_OAUTH2, /* OAuth 2.0 alone: endpoints by directive, the person from an endpoint */
    MCP_PROVIDER_HTTPD,  /* whatever httpd's own modules demand at ISSUER/signin/NAME */
} mcp_provider_kind_e;

/* MCPProviderClaim: a claim that httpd knows. */
typedef struct {
    const char *name;
    ap_expr_info_t *value;
} mcp_httpd_claim_t;

/* One <MCPProvider NAME> section. Secrets are references until mcp_upstream_post_config() reads them. */
typedef struct mcp_provider_t {
    const char *name;                   /* section's name; part of the subject */
    mcp_provider_kind_e kind;           /* MCPProviderType */
    ap_expr_info_t *user;               /* MCPProviderUser: of MCP_PROVIDER_HTTPD; NULL: r->user */
    apr_array_header_t *httpd_claims;   /* MCPProviderClaim: mcp_httpd_claim_t; NULL none */
    apr_interval_time_t max_age;        /* MCPProviderMaxAge: of a sign-in, however often it is refreshed; 0 no limit */
    const char *preset;                 /* MCPProviderPreset, NULL when none */
    const char *label;                  /* MCPProviderLabel: for people; default the issuer's host */
    const char *issuer;                 /* MCPProviderIssuer: discovery is at issuer + /.well-known/openid-configuration */
    const char *authorization_endpoint; /* of MCP_PROVIDER_OAUTH2 */
    const char *token_endpoint;
    const char *userinfo_endpoint;
    const char *client_id;              /* MCPProviderClientID */
    const char *secret_ref;             /* MCPProviderClientSecret: file:, env:, exec:; NULL for a public client */
    const char *secret;                 /* the value, after post_config */
    const char *auth_method;            /* MCPProviderAuthMethod; NULL: by key or assertion, else by metadata (credential.c) */
    mcp_credential_t credential;        /* keys, certificates, assertions */
    const char *scope;                  /* MCPProviderScope: default "openid profile email offline_access" */
    int scope_set;                      /* it was written: asked for as it stands, whatever the provider's metadata says */
    const char *token_scope;            /* MCPProviderTokenScope: NULL none, "one-resource", or scopes */
    const char *response_mode;          /* MCPProviderResponseMode; NULL: not said */
    apr_array_header_t *tenants;        /* MCPProviderAllowTenant: const char *, NULL: the issuer is one */
    int any_tenant;                     /* MCPProviderAllowTenant any */
    apr_table_t *auth_params;           /* MCPProviderAuthParam: added to the authorization request */
    apr_array_header_t *claims;         /* MCPProviderClaims: names or paths of claims kept for policy (const char *) */
    apr_array_header_t *subject_claims; /* MCPProviderSubjectClaim; NULL: sub */
    const char *username_claim;         /* MCPProviderUsernameClaim; NULL: preferred_username, else email, else name */
    apr_array_header_t *domains;        /* MCPProviderDomains: of login hints; NULL none (const char *) */
    const char *proxy;                  /* MCPProviderProxy: NULL none */
    const char *ca_file;                /* MCPProviderCAFile: PEM, instead of the system's */
    const char *ca_pem;                 /* its content, after post_config */
    apr_interval_time_t timeout;        /* MCPProviderTimeout: for each call, default 10 s */
    apr_array_header_t *preset_claims;  /* of the preset, while the section is read */
    apr_array_header_t *preset_subject; /* the same */
    int ready;                          /* secrets, keys and certificates have been read */
    struct mcp_provider_state_t *state; /* caches and limits of this child, after child_init */
} mcp_provider_t;

/* What a person's sign-in, or a refresh of it, brought. All in the pool of the request. */
typedef struct {
    const char *subject;       /* "provider|sub": stable, never reassigned */
    const char *username;      /* for people: MCPProviderUsernameClaim */
    const char *claims;        /* JSON object text with the kept claims; see MCP_CLAIMS_OVERAGE in id_token.h */
    const char *sub;           /* sub as the provider has it, by which a back-channel logout names the person */
    const char *sid;           /* the provider's session, NULL when it named none */
    const char *access_token;  /* upstream; NULL when none */
    const char *refresh_token; /* upstream; NULL when none */
    const char *scope;         /* upstream's, may be NULL */
    apr_time_t expires;        /* of the upstream access token; 0 unknown */
    apr_time_t obtained;       /* when it came; 0 unknown */
    const char *challenge;     /* of a sign-in that failed: what another one has to ask for (claims, E11) */
} mcp_identity_t;

/* What a logout token says (OpenID Connect Back-Channel Logout 1.0). */
typedef struct {
    const char *subject; /* as mcp_identity_t has it, NULL where the token's claims do not tell */
    const char *sub;     /* NULL when it names a session only */
    const char *sid;     /* NULL when it names a person only */
    const char *jti;
} mcp_logout_t;

/* What goes into an authorization request at the provider. */
typedef struct {
    const char *redirect_uri; /* our callback */
    const char *state;
    const char *nonce;
    const char *code_verifier; /* 43 characters or more; S256 is sent */
    const char *prompt;        /* NULL, or to be passed on: login, select_account, consent, none */
    const char *login_hint;    /* NULL or to be passed on */
    const char *claims;        /* NULL, or a challenge's (OpenID Connect Core 5.5) */
} mcp_upstream_request_t;

/** Read what sections name by reference or as files, once for each section; for configtest as well. Errors are logged. */
apr_status_t mcp_upstream_read_secrets(const apr_array_header_t *providers, server_rec *s, apr_pool_t *pconf);

/** pre_config/post_config duty: curl_global_init once, secrets read, sections checked. Errors are logged. */
apr_status_t mcp_upstream_post_config(apr_array_header_t *providers, server_rec *s, apr_pool_t *pconf);

/** child_init duty: curl handle pool, discovery and JWKS caches, cap on concurrent upstream calls. */
void mcp_upstream_child_init(apr_pool_t *pchild, server_rec *s);

/** Ask the provider that is this part of mcp_health.h for its metadata, so that its health is known. */
void mcp_upstream_probe(request_rec *r, int part);

/**
 * Build the provider's authorization URL (discovery is fetched or taken from the cache).
 * @return OK, or a status with @a res filled: 503 provider unreachable, or too many calls under way; 502 provider
 *         broken, not to be trusted, or not set up for us
 */
int mcp_upstream_authorize_url(request_rec *r, const mcp_provider_t *provider, const mcp_upstream_request_t *in,
                               char **url, mcp_result_t *res);

/**
 * Redeem the provider's code: token request with PKCE and client authentication; the id_token verified with cjose
 * against the JWKS: signature, alg from an allow-list that never holds "none" or HMAC, iss, aud (and azp), exp, nbf,
 * iat, nonce. @a iss_param is the callback's iss parameter or NULL (RFC 9207: compared when present or advertised).
 * @return OK and *identity, or a status with @a res filled: 400 invalid_grant for a code that the provider does not
 *         honour, 403 access_denied where the person may not, else 502 or 503 as above
 */
int mcp_upstream_redeem(request_rec *r, const mcp_provider_t *provider, const mcp_upstream_request_t *sent,
                        const char *code, const char *iss_param, mcp_identity_t *identity, mcp_result_t *res);

/**
 * Before the two that follow, for they are made under a lock: wait until this thread may call the provider, and have its
 * metadata. @return OK (mcp_upstream_end() must follow), or 502 or 503 with @a res filled
 */
int mcp_upstream_begin(request_rec *r, const mcp_provider_t *provider, mcp_result_t *res);
void mcp_upstream_end(const mcp_provider_t *provider);

/** How long mcp_upstream_begin() may take at most. */
apr_interval_time_t mcp_upstream_longest_begin(const mcp_provider_t *provider);

/** How long one call of the token endpoint may take at most, with all that belongs to it. */
apr_interval_time_t mcp_upstream_longest(const mcp_provider_t *provider);

/**
 * Keeps what the provider has given, before anything else can fail. Called with the refresh token alone as long as there
 * is an id_token to be verified.
 */
typedef apr_status_t mcp_keep_fn(void *baton, const mcp_identity_t *tokens);

/**
 * Refresh at the provider. On success identity holds the new tokens (the old refresh token when none came), and the
 * claims of a new id_token or NULL subject/claims when none came; a new id_token must keep iss and sub.
 * @param want  NULL: the same again; else the scope and resource of the access token that is wanted
 * @return OK; HTTP_UNAUTHORIZED when the provider does not honour the grant (for the sake of @a want: does not give it);
 *         identity->challenge is its claims challenge then, if there is one; else 502 or 503
 */
int mcp_upstream_refresh(request_rec *r, const mcp_provider_t *provider, const char *refresh_token,
                         const char *subject, const mcp_token_want_t *want, mcp_keep_fn *keep, void *baton,
                         mcp_identity_t *identity, mcp_result_t *res);

/**
 * Have the provider make another access token of @a token: on behalf of the person (Entra ID), or by token exchange
 * (RFC 8693). As mcp_upstream_refresh().
 */
int mcp_upstream_exchange(request_rec *r, const mcp_provider_t *provider, const char *token,
                          const mcp_token_want_t *want, mcp_identity_t *identity, mcp_result_t *res);

/**
 * Verify a logout token with the provider's keys (OpenID Connect Back-Channel Logout 1.0 section 2.6); whether its jti
 * came before is the caller's to see.
 * @return OK and *out, or a status with @a res filled: 502 not to be believed, or provider broken; 503 unreachable
 */
int mcp_upstream_logout_token(request_rec *r, const mcp_provider_t *provider, const char *token, mcp_logout_t *out,
                              mcp_result_t *res);

/**
 * Where a person signs out at the provider (OpenID Connect RP-Initiated Logout 1.0). No id_token is kept for it: the
 * provider knows us by client_id, and asks the person itself.
 * @param back  where it sends the person afterwards, as registered there
 * @param state  to be given back
 * @return OK; HTTP_NOT_FOUND: it has no such place; 502 or 503 as above
 */
int mcp_upstream_end_session_url(request_rec *r, const mcp_provider_t *provider, const char *back, const char *state,
                                 char **url, mcp_result_t *res);

#endif
