/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the upstream side share among themselves.
 *
 *   provider_section.c, provider_set.c, presets.c   directives (provider_config.h)
 *   provider.c   post_config, child_init
 *   signin.c     a person's sign-in: the way to the provider, and the code that comes back
 *   renew.c      refresh, and tokens for other resources
 *   logout.c     logout tokens, and where a person signs out at the provider
 *   token_call.c the token endpoint: answers, errors
 *   userinfo.c   who it is, where a provider of OAuth 2.0 alone has no id_token
 *   par.c        pushed authorization requests
 *   tenant.c     providers that stand for many tenants (Entra ID)
 *   credential.c client authentication: directives, secrets, assertions, certificates
 *   assertion_source.c   assertions that somebody else makes for us
 *   discovery.c  the provider's metadata
 *   jwks.c, id_token.c, claims.c   keys, tokens, claims; they know no request (id_token.h)
 *   cache.c      documents of a provider, fetched by one thread for all
 *   fetch.c      libcurl
 *   gate.c       how many threads may wait for a provider
 */

#ifndef MCP_UPSTREAM_IMPL_H
#define MCP_UPSTREAM_IMPL_H

#include "upstream.h"

#include "id_token.h"

/* ---- gate.c ---- */

typedef struct mcp_gate_t mcp_gate_t;

/** At most @a limit threads inside, and as many waiting. */
apr_status_t mcp_gate_create(mcp_gate_t **gate, int limit, apr_pool_t *p);

/** Go in, or wait for @a wait at most. APR_SUCCESS (mcp_gate_leave() must follow) or APR_TIMEUP. */
apr_status_t mcp_gate_enter(mcp_gate_t *gate, apr_interval_time_t wait);

void mcp_gate_leave(mcp_gate_t *gate);

/* ---- fetch.c ---- */

typedef struct {
    const char *url;           /* https, or http on loopback: nothing else is ever connected to */
    const char *provider;      /* whose health the outcome tells of (mcp_health.h), NULL: nobody's */
    const char *ca_pem;        /* certificates to trust instead of the system's, NULL: the system's */
    const char *ca_file;       /* the file that they are from, for a libcurl before 7.77 (RHEL 9) */
    const char *proxy;         /* URL of an egress proxy, NULL: none */
    int strangers;             /* the URL is a stranger's: connect to public addresses only (AS-25) */
    const char *accept;        /* media types; NULL: application/json */
    const char *form;          /* body of a POST (application/x-www-form-urlencoded); NULL: GET */
    const char *authorization; /* value of that header, NULL when none */
    const char *header;        /* another line of the header, NULL when none */
    const char *client_cert;   /* PEM text of our certificate and key, NULL: none */
    const char *client_key;
    apr_size_t max;              /* a longer body fails the call */
    apr_interval_time_t timeout; /* for the whole call */
} mcp_fetch_t;

typedef struct {
    int status;
    const char *body; /* NUL-terminated after len bytes */
    apr_size_t len;
    const char *content_type;  /* NULL when none */
    const char *cache_control; /* NULL when none */
} mcp_fetched_t;

/** curl_global_init for as long as @a pconf lives. */
apr_status_t mcp_fetch_global_init(apr_pool_t *pconf);

/** The child's pool of connections, at most @a idle of them kept. @a p lives as long as the process. */
apr_status_t mcp_fetch_child_init(apr_pool_t *p, int idle);

/**
 * One HTTP call. Redirects are not followed, proxies of the environment not used, content never decompressed.
 * @return OK when there is an answer, whatever its status; HTTP_SERVICE_UNAVAILABLE (no connection, too slow) or
 *         HTTP_BAD_GATEWAY (TLS not to be trusted, answer too large) with @a res filled
 */
int mcp_fetch(apr_pool_t *p, const mcp_fetch_t *ask, mcp_fetched_t *got, mcp_result_t *res);

/* ---- cache.c ---- */

typedef struct mcp_cache_t mcp_cache_t;

/**
 * Make something lasting of a fetched text. Allocates in @a p, which lives as long as the result is used.
 * @return the result, or NULL with *why set for the log
 */
typedef const void *mcp_parse_fn(apr_pool_t *p, const mcp_provider_t *provider, const char *text, apr_size_t len,
                                 const char **why);

/** @param what  name of the document, for the log */
apr_status_t mcp_cache_create(mcp_cache_t **cache, const char *what, mcp_parse_fn *parse, apr_size_t max,
                              apr_interval_time_t keep, server_rec *s, apr_pool_t *p);

/**
 * The document at @a url. Fetched by one thread while the others wait, or go on with the old one when there is one.
 * A document older than MCP_CACHE_FRESH is fetched anew; while that fails, the old one serves up to the cache's limit.
 * @param seen  NULL, or a document of this cache that does not suffice: another one is wanted (throttled)
 * @param doc  set on OK; valid until @a p is cleared
 * @return OK; HTTP_NOT_FOUND when @a seen is the best there is; 502 or 503 with @a res filled
 */
int mcp_cache_get(mcp_cache_t *cache, const mcp_provider_t *provider, const char *url, const void *seen,
                  const void **doc, mcp_result_t *res, apr_pool_t *p);

/** Would mcp_cache_get() answer without a call to the provider? */
int mcp_cache_is_fresh(mcp_cache_t *cache);

#define MCP_UPSTREAM_ENTER_WAIT apr_time_from_sec(2) /* at each of the two gates: the provider's and that of all */
#define MCP_CACHE_FRESH apr_time_from_sec(3600)
#define MCP_CACHE_REFETCH apr_time_from_sec(30) /* between two fetches for the sake of an unknown key */

/* ---- discovery.c ---- */

/* OpenID Connect Discovery 1.0 section 3, as far as we use it. */
typedef struct {
    const char *issuer; /* as it calls itself; may hold MCP_TENANT_MARK */
    const char *authorization_endpoint;
    const char *token_endpoint;
    const char *jwks_uri;
    const char *scopes;               /* scopes_supported, NULL when not told */
    const char *end_session_endpoint; /* OpenID Connect RP-Initiated Logout 1.0; NULL when none */
    const char *par_endpoint;         /* pushed_authorization_request_endpoint (RFC 9126), NULL when none */
    int par_required;                 /* require_pushed_authorization_requests */
    const char *mtls_token_endpoint;  /* mtls_endpoint_aliases (RFC 8705 section 5), or the same as without */
    const char *mtls_par_endpoint;
    const char *assertion_algs; /* token_endpoint_auth_signing_alg_values_supported as a list, NULL when not told */
    int iss_parameter;          /* authorization_response_iss_parameter_supported (RFC 9207) */
    int basic;                  /* client_secret_basic is taken at the token endpoint */
} mcp_discovery_t;

mcp_parse_fn mcp_discovery_parse;

/** Where the metadata of a provider with discovery is. */
const char *mcp_discovery_url(apr_pool_t *p, const mcp_provider_t *provider);

/** The provider's metadata, for a caller who has entered (mcp_upstream_enter). As mcp_cache_get. */
int mcp_discover(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t **doc, mcp_result_t *res);

/** The same for one who has not: enters only where the metadata have to be fetched. */
int mcp_discover_or_enter(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t **doc, mcp_result_t *res);

/**
 * May we connect to, or send a browser to, this URL of a provider? https; http only on loopback, and only where
 * @a loopback allows (a provider that is configured there itself); no user information, no fragment (T18, CP-17).
 */
int mcp_upstream_url_ok(apr_pool_t *p, const char *url, int loopback);

/* ---- signin.c ---- */

/**
 * Verify a token with the provider's keys, fetched anew when none fits. The caller has entered (mcp_upstream_enter).
 * @return OK, or 502 or 503 with @a res filled
 */
int mcp_upstream_verify(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc, const char *token,
                        const mcp_id_token_expected_t *expected, json_t **claims, mcp_result_t *res);

/** Who the person is, by @a claims; @a subject, if not NULL, must be the same one. OK, or 502 with @a res filled. */
int mcp_upstream_describe(apr_pool_t *p, const mcp_provider_t *provider, const json_t *claims, const char *subject,
                          mcp_identity_t *identity, mcp_result_t *res);

/* ---- credential.c ---- */

/* One of our endpoints at the provider, with and without a client certificate. */
typedef struct {
    const char *plain;
    const char *mtls;
} mcp_endpoint_t;

/**
 * POST a form to an endpoint of the provider, with the client's authentication. 429 is tried once more, and so is 503
 * where @a again says that it does no harm.
 * @param params  the parameters, without those of the client
 * @param proof  set to the secret or assertion that was sent, NULL when none: no log line may repeat it
 * @return OK when there is an answer, whatever its status; else as mcp_fetch()
 */
int mcp_client_post(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                    mcp_endpoint_t endpoint, const apr_table_t *params, apr_size_t max, int again,
                    mcp_fetched_t *got, const char **proof, mcp_result_t *res);

/* ---- tenant.c ---- */

/** Does the provider's own issuer fit the configured one: the same, or the same for many tenants? */
int mcp_tenant_issuer_ok(apr_pool_t *p, const mcp_provider_t *provider, const char *issuer);

/** Is @a issuer the one that metadata names, or one of those that it stands for? */
int mcp_tenant_issuer_fits(apr_pool_t *p, const char *template, const char *issuer);

/** May people of this tenant sign in? */
int mcp_tenant_allowed(const mcp_provider_t *provider, const char *tid);

/** The scope of calls to the token endpoint, NULL: none is sent. */
const char *mcp_token_scope(apr_pool_t *p, const mcp_provider_t *provider);

/* ---- par.c ---- */

/** Are authorization requests pushed, because the provider or MCPProviderPAR wants that? */
int mcp_pushes(const mcp_provider_t *provider, const mcp_discovery_t *doc);

/**
 * Push the parameters of an authorization request (RFC 9126).
 * @param params  replaced by what the browser is to carry instead
 * @return OK, or a status with @a res filled
 */
int mcp_push_request(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                     apr_table_t **params, mcp_result_t *res);

/* ---- token_call.c ---- */

/**
 * An error answer of an endpoint in our terms; its text is for the log only.
 * @param secrets  NULL-terminated, and @a proof: what no log line may repeat
 * @return the status that is set in @a res
 */
int mcp_provider_refusal(apr_pool_t *p, const char *url, const mcp_fetched_t *got, const json_t *json,
                         const char *const *secrets, const char *proof, mcp_result_t *res);

/* A successful answer of the token endpoint (RFC 6749 section 5.1, OpenID Connect Core 3.1.3.3). */
typedef struct {
    const char *access_token;
    const char *refresh_token; /* NULL when none */
    const char *id_token;      /* NULL when none */
    const char *scope;         /* NULL when none */
    const char *issued_type;   /* issued_token_type of an exchange (RFC 8693 section 2.2.1), NULL when none */
    apr_time_t expires;        /* 0 unknown */
    const char *refusal;       /* its error code, as the endpoint has it; NULL when it did not refuse */
    const char *challenge;     /* of a refusal: its `claims`, for another authorization request (E11); NULL when none */
} mcp_token_answer_t;

/**
 * Call the token endpoint. @a params are the grant's; client authentication is added.
 * @param again  a grant that is not spent by being tried twice: a code, but never a refresh token that may rotate
 * @param secrets  NULL-terminated: values of @a params that no log line may repeat
 * @return OK; HTTP_UNAUTHORIZED invalid_grant: the provider does not honour the grant (any more); 502 or 503
 */
int mcp_token_call(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                   const apr_table_t *params, int again, const char *const *secrets,
                   mcp_token_answer_t *answer, mcp_result_t *res);

/** The tokens of an answer. */
void mcp_token_answer_keep(const mcp_token_answer_t *answer, mcp_identity_t *identity);

/* ---- userinfo.c ---- */

/** What the provider says of the person who has @a access_token. @return OK, 403, 502 or 503 */
int mcp_userinfo(request_rec *r, const mcp_provider_t *provider, const char *access_token,
                 json_t **claims, mcp_result_t *res);

/* ---- provider.c ---- */

/* What a child keeps of a provider. */
typedef struct mcp_provider_state_t {
    mcp_gate_t *gate; /* of this provider */
    mcp_gate_t *all;  /* of all providers together */
    mcp_cache_t *discovery;
    mcp_cache_t *keys;
} mcp_provider_state_t;

/** May this thread call the provider now? OK (mcp_upstream_leave() must follow) or 503. */
int mcp_upstream_enter(const mcp_provider_t *provider, mcp_result_t *res);
void mcp_upstream_leave(const mcp_provider_t *provider);

#endif
