/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of mod_mcp_oauth share: its configuration, the objects that travel through a
 * sign-in, and one function for each endpoint.
 *
 * Nothing is stored before a person has signed in (design principle 1). Until then an authorization
 * request travels as sealed JSON, each stage under a purpose of its own, so that no stage can stand
 * in for another (T5):
 *
 *   GET /authorize        checked            consent form, MCP_PURPOSE_FORM, bound to a cookie
 *   POST /consent         person said yes    choice, MCP_PURPOSE_CHOICE, with several providers
 *   POST /signin          provider is known  transaction, MCP_PURPOSE_TRANSACTION, in a cookie
 *   GET /oauth-callback   person is known    code, MCP_PURPOSE_CODE, with its record MCP_KIND_CODE
 *                         or, when she has yet to consent: consent form with MCP_KIND_PARKED
 *   POST /token           client has proved  grant, ticket, upstream tokens stored; two tokens
 *
 * The files, in the order in which a sign-in comes by:
 *
 *   mod_mcp_oauth.c   hooks, and which path leads where    start.c, config.c   start-up, directives
 *   metadata.c        where clients look first             client*.c, regist*.c   who they are (clients.h)
 *   authorize.c       the request, checked                 authz.c    as it travels, and the answer to it
 *   consent*.c        the person is asked                  remember.c, browser.c   what her browser keeps of it
 *   sign_in*.c        to the provider (upstream/)          callback*.c, challenge.c   and back
 *   code.c            who it is: a code                    token.c, refresh*.c, revoke.c   what a client does with tokens
 *   session.c         grants, as all of these write them   upstream_tokens.c, backend_tokens.c, flight.c   the provider's tokens
 *
 * Beside it: page*.c, template*.c, language.c, image.c (page.h) what people see; connections.c, signout.c, login.c,
 * backchannel.c, person.c (connections.h) what they gave, and take back; admin.c mcpctl's other end.
 */

#ifndef MCP_OAUTH_H
#define MCP_OAUTH_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_config.h"
#include "mcp_event.h"
#include "mcp_grant.h"
#include "mcp_result.h"
#include "clients.h"
#include "page.h"
#include "upstream/upstream.h"

extern module AP_MODULE_DECLARE_DATA mcp_oauth_module;

/* ---- configuration (config.c) ---- */

typedef struct mcp_oauth_conf_t {
    mcp_shared_conf_t *shared;            /* first: mcp_server_conf_base_t */
    int enabled;                          /* MCPOAuth On|Off */
    apr_array_header_t *providers;        /* <MCPProvider>: mcp_provider_t * */
    mcp_provider_t *section;              /* the <MCPProvider> that is being read */
    apr_array_header_t *schemes;          /* MCPOAuthRedirectSchemes: private-use schemes, const char * */
    apr_array_header_t *blocked;          /* MCPOAuthBlockClient: client keys, const char * */
    apr_interval_time_t access_lifetime;  /* MCPOAuthAccessLifetime, default 1 h */
    apr_interval_time_t refresh_lifetime; /* MCPOAuthRefreshLifetime, default 30 d */
    apr_interval_time_t code_lifetime;    /* MCPOAuthCodeLifetime, default 60 s */
    apr_interval_time_t grace;            /* MCPOAuthRefreshGrace, default 30 s */
    int restore;                          /* MCPOAuthRestore: refresh tokens outlive the loss of the store */
    apr_interval_time_t remember;         /* MCPConsentRemember, default 30 d; 0: off */
    int remember_native;                  /* of applications on the person's device, too */
    const char *name;                     /* MCPOAuthName: the organisation's name on pages */
    mcp_page_conf_t *page;                /* page_config.c: looks, texts and languages of pages */
    mcp_clients_conf_t *clients;          /* clients.c: metadata documents, known clients, registration, limits */

    /* filled in by mcp_oauth_finish() */
    const char *base_url;  /* issuer without a trailing slash; all endpoint URLs begin with it */
    const char *base_path; /* path of the issuer, "" at the root */
    const char *origin;    /* scheme://host[:port] of the issuer */
    const mcp_pages_t *pages;
    const char *issuer_tag; /* short hash of the issuer, in every sealed value */
    const char *scopes;     /* scopes of all resources, for the metadata */
    int secure;             /* the issuer is https */
    mcp_keyring_t *ring;
    mcp_store_t *store;
} mcp_oauth_conf_t;

extern const command_rec mcp_oauth_commands[];
void *mcp_oauth_create(apr_pool_t *p, server_rec *s);
void *mcp_oauth_merge(apr_pool_t *p, void *base, void *add);

/** Check a server's settings and fill in what is derived from them. NULL, or what to mend. */
const char *mcp_oauth_finish(apr_pool_t *p, mcp_oauth_conf_t *conf);

/**
 * Do two hosts that share a store mean the same provider by the same name? The name is part of each person's subject, so
 * that otherwise two people would be one. NULL, or what to mend.
 */
const char *mcp_oauth_same_names(apr_pool_t *p, const mcp_oauth_conf_t *a,
                                 const mcp_oauth_conf_t *b);

/** The configuration of the request's virtual host. */
mcp_oauth_conf_t *mcp_oauth_conf(request_rec *r);

/** The <MCPProvider> called @a name (which may be followed by "|", as in a subject), or NULL. */
const mcp_provider_t *mcp_provider_by_name(const mcp_oauth_conf_t *conf, const char *name);

/** The <MCPProvider> that is called exactly @a name (may be NULL), or NULL. */
const mcp_provider_t *mcp_provider_exactly(const mcp_oauth_conf_t *conf, const char *name);

/**
 * The resource that a client means by @a uri (AS-11): its canonical URI, with or without a trailing
 * slash, a path below it, or only its origin; the first one when @a uri is NULL.
 * @return NULL when it names none of ours: invalid_target (RFC 8707 section 2)
 */
const mcp_resource_t *mcp_oauth_resource(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                         const char *uri);

/** Fail with invalid_target (RFC 8707 section 2); what the client named as @a uri goes to the log. */
int mcp_oauth_fail_target(apr_pool_t *p, mcp_result_t *res, const char *description, const char *uri);

/**
 * Narrow a requested scope to what may be asked for at @a resource: its own scopes and the MCPScope
 * names that no other resource claims. A request without a scope, or with none that we know, gets
 * the resource's own set, which the person sees on the consent page.
 */
const char *mcp_oauth_narrow(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                             const mcp_resource_t *resource, const char *requested);

/** A string member of a JSON object, left out when @a value is NULL. */
static inline void mcp_put(json_t *json, const char *name, const char *value)
{
    if (value) {
        json_object_set_new(json, name, json_string(value));
    }
}

/** What a result has for the log. */
static inline const char *mcp_detail(const mcp_result_t *res)
{
    const char *detail = res->log ? res->log : res->description;

    return detail ? detail : "-";
}

/* What PKCE allows (RFC 7636 section 4.1). */
#define MCP_PKCE_CHARS MCP_B64URL_CHARS ".~"

/* ---- start-up (start.c) ---- */

/** pre_config hook. */
int mcp_oauth_pre_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp);

/** check_config hook. Also run by configtest, so that what is missing is named before a restart. */
int mcp_oauth_check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);

/** post_config hook. */
int mcp_oauth_post_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *main_server);

/** child_init hook. */
void mcp_oauth_child_init(apr_pool_t *pchild, server_rec *main_server);

/** child_stopping hook. */
void mcp_oauth_child_stopping(apr_pool_t *pchild, int graceful);

/* ---- clients (client.c) ---- */

#define MCP_CLIENT_NAME_MAX 100 /* bytes of a client's name that are kept */
#define MCP_CLIENT_ID_MAX 4096  /* characters of a client_id: it has to fit into a request line */
#define MCP_REDIRECTS_MAX 20    /* redirect URIs of one client */

/** Seal a registration. @return the client_id, or NULL when it would be longer than
 * MCP_CLIENT_ID_MAX */
char *mcp_client_seal(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_client_t *client);

/**
 * The client behind a client_id, wherever it comes from: sealed, the URL of a metadata document, or configured.
 * @return OK; 401 invalid_client: not ours, another issuer's, or blocked by the administrator; 503
 *         temporarily_unavailable: its document cannot be fetched now
 */
int mcp_client_open(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *client_id,
                    mcp_client_t *client, mcp_result_t *res);

/** May clients that nobody configured have this redirect URI here? NULL, or why not. */
const char *mcp_redirect_admitted(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *uri);

/** Is @a uri, or a loopback variant of it, registered for the client, and still allowed? (AS-7,
 * T12) */
int mcp_client_redirect_ok(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_client_t *client,
                           const char *uri);

/** Text of a stranger for people: control and bidirectional-override characters out, blanks joined,
 * @a max bytes. */
char *mcp_clean_text(apr_pool_t *p, const char *text, apr_size_t max);

/* ---- what a client registers as (registration.c) ---- */

/**
 * What a client says of itself when it registers, as far as it is kept: strings
 * belong to @a body or the request. OK, or 400 with RFC 7591's error in @a res.
 */
int mcp_registration_read(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                          mcp_client_t *client, mcp_result_t *res);

/* ---- what a client proves (client_auth.c) ---- */

/** The client of a token or revocation request, authenticated by the method that it has. */
int mcp_client_authenticate(request_rec *r, const mcp_oauth_conf_t *conf,
                            const apr_array_header_t *form, mcp_client_t *client,
                            mcp_result_t *res);

/* ---- an authorization request on its way (authz.c) ---- */

typedef struct {
    const char *client_key;
    const char *client_name;
    const char *redirect_uri; /* as presented, port included */
    const char *state;        /* NULL when the client sent none */
    const char *challenge;    /* PKCE, S256 */
    const char *resource;     /* canonical */
    const char *scope;        /* narrowed */
    const char *prompt;       /* NULL, or what the provider shall do; none: nobody is asked anything */
    const char *login_hint;   /* NULL or for the provider */
    int page;                 /* a page of ours and no client: it gets a session instead of a code (login.c) */
    const char *locale;       /* language of our pages that ui_locales chose, NULL when none */
    int client_source;        /* mcp_client_source_e, and what else the consent page says of it */
    const char *client_host;
    const char *client_uri;
    const char *client_logo; /* logo_uri of its document, NULL when none is shown */
    int remember;            /* the client is one to which consent may be remembered */
    int silent;              /* somebody's remembered consent took the place of the page */
} mcp_authz_t;

/** May no page be shown (prompt=none)? */
static inline int mcp_authz_no_page(const mcp_authz_t *authz)
{
    return authz->prompt && !strcmp(authz->prompt, "none");
}

#define MCP_STATE_MAX 2048 /* bytes of a client's state */
#define MCP_AUTHZ_MAX 2480 /* bytes of the JSON form: with the rest it has to fit into the transaction cookie */

/** JSON form, with the issuer's tag; the caller owns the reference. */
json_t *mcp_authz_json(const mcp_oauth_conf_t *conf, const mcp_authz_t *authz);

/** Back from JSON that was sealed by us. 1, or 0 when it is another issuer's or incomplete. */
int mcp_authz_read(const mcp_oauth_conf_t *conf, const json_t *json, mcp_authz_t *authz);

/** Answer the client with an error (a redirect, AS-10: iss also here). Returns OK. */
int mcp_authz_error(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                    const char *error, const char *description);

/** Answer the client with a code (a redirect). Returns OK. */
int mcp_authz_code(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                   const char *code);

/* ---- grants and tokens (session.c) ---- */

/* A refresh token, opened. `scope` is what the person granted; the grant's record may hold less
 * (narrowed). */
typedef struct {
    mcp_grant_t grant;            /* expires: of the refresh token */
    unsigned char epoch[8];       /* of the store that held the grant when the token was made */
    const char *upstream_refresh; /* NULL when the provider gave none */
    const char *sid;              /* short hash of the provider's session, NULL when it named none */
    const char *sub;              /* short hash of its sub, NULL when the subject says it */
    const mcp_client_t *client;   /* who asks now; NULL: the index keeps what it knows of it */
} mcp_refresh_t;

/** Open a refresh token of this issuer. APR_SUCCESS, APR_EINVAL, or APR_TIMEUP (expired). */
apr_status_t mcp_refresh_open(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *token,
                              mcp_refresh_t *out);

/**
 * Write a grant with its ticket and upstream tokens, and make the answer of the token endpoint.
 * @param token  what goes into the refresh token; token->grant.scope is the whole granted scope
 * @param scope  scope of the access token: the same, or narrowed
 * @param upstream  tokens of the provider to keep, or NULL to leave the stored ones alone
 * @param answer  set to the JSON answer; released with the request
 * @return APR_SUCCESS, MCP_EDOWN; APR_EGENERAL: revoked meanwhile; APR_EACCES: of a time that a
 *         not-before mark has put an end to
 */
apr_status_t mcp_session_issue(request_rec *r, const mcp_oauth_conf_t *conf, mcp_refresh_t *token,
                               const char *scope, const mcp_identity_t *upstream, json_t **answer);

/**
 * Revoke a grant so that neither a refresh nor a redemption that runs at the same time can bring it
 * back. Everything in this module that takes a grant back calls this.
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_session_revoke(request_rec *r, const mcp_oauth_conf_t *conf,
                                const unsigned char id[MCP_ID_LEN], const char *why);

/** The same for a caller that drops it from the person index itself, as one does for many. */
apr_status_t mcp_session_revoke_listed(request_rec *r, const mcp_oauth_conf_t *conf,
                                       const unsigned char id[MCP_ID_LEN], const char *why);

/** Was this grant taken back a short while ago? What was written since has to be removed again. */
int mcp_session_is_revoked(request_rec *r, const mcp_oauth_conf_t *conf,
                           const unsigned char id[MCP_ID_LEN]);

/** Store id of a ticket and a successor: grant id, generation big endian. */
#define MCP_TICKET_LEN (MCP_ID_LEN + 4)
void mcp_ticket_id(const unsigned char id[MCP_ID_LEN], apr_uint32_t generation,
                   unsigned char out[MCP_TICKET_LEN]);

/* ---- forms of our pages (page_form.c) ---- */

/** Seal @a json for a form of ours, for this browser. */
char *mcp_page_form_seal(request_rec *r, const mcp_oauth_conf_t *conf, mcp_purpose_e purpose,
                         json_t *json);

/**
 * Read, authenticate and open a form that was posted; its sealed part is the field "form".
 * @param what  what the form is, for the log
 * @return OK, or the page is sent and DONE returned
 */
int mcp_page_form_open(request_rec *r, const mcp_oauth_conf_t *conf, mcp_purpose_e purpose,
                       const char *what, apr_array_header_t **form, json_t **json);

/* ---- browser and transaction cookies (browser.c) ---- */

/** Set a cookie of ours (mcp_cookie.h). 1, or 0 when it is too long. */
int mcp_browser_set_cookie(request_rec *r, const mcp_oauth_conf_t *conf, const char *name,
                           const char *value, int max_age);

/** The browser's random name from its cookie, or a new one, for which the cookie is set. */
const char *mcp_browser_ensure(request_rec *r, const mcp_oauth_conf_t *conf);

/** The browser's random name, NULL when it has none. */
const char *mcp_browser_get(request_rec *r, const mcp_oauth_conf_t *conf);

/** Hash of a browser's name, as sealed values carry it. */
const char *mcp_browser_tag(apr_pool_t *p, const char *browser);

/**
 * Set the transaction cookie for @a state, and drop the oldest ones of this browser so that the
 * Cookie header stays below httpd's limit. 1, or 0 when the value is too long.
 */
int mcp_tx_set(request_rec *r, const mcp_oauth_conf_t *conf, const char *state, const char *sealed);

/** The transaction cookie for @a state, or NULL. */
const char *mcp_tx_get(request_rec *r, const mcp_oauth_conf_t *conf, const char *state);

/** Delete it. */
void mcp_tx_clear(request_rec *r, const mcp_oauth_conf_t *conf, const char *state);

#define MCP_TX_STATE_LEN 22 /* our state at the provider: 128 random bits */
#define MCP_CONSENT_LIFETIME apr_time_from_sec(15 * 60)
#define MCP_TX_LIFETIME apr_time_from_sec(10 * 60)

/* ---- endpoints: one function each; they answer whatever comes and return OK ---- */

int mcp_metadata_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_jwks_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_register_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_authorize_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_consent_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_choice_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_httpd_sign_in_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_callback_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_token_handler(request_rec *r, mcp_oauth_conf_t *conf);
int mcp_revoke_handler(request_rec *r, mcp_oauth_conf_t *conf);

/* ---- metadata (metadata.c) ---- */

/** Does @a path (r->uri) name an authorization server metadata document in any form that clients
 * probe (AS-5)? */
int mcp_metadata_match(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *path, int *openid,
                       int *known);

/* ---- administration (admin.c) ---- */

/** handler hook: what mcpctl talks to. DECLINED for other handlers than "mcp-admin". */
int mcp_admin_handler(request_rec *r);

/* ---- the consent page (consent_page.c) ---- */

/**
 * The consent page for a checked request.
 * @param account  who is signed in, for people to read; NULL as long as that is not known
 * @param parked  id under which what the sign-in brought waits for the answer, or NULL
 */
int mcp_consent_page(request_rec *r, mcp_oauth_conf_t *conf, const mcp_client_t *client,
                     const mcp_authz_t *authz, const char *account, const char *parked);

/** What MCPScope says of the scope called @a name, or NULL. */
const mcp_scope_t *mcp_scope_text(const mcp_oauth_conf_t *conf, const char *name);

/** The scopes of a list in words, for pages: [{"text":, "name":, "optional":, "field": "s0"}] */
json_t *mcp_scopes_model(const mcp_oauth_conf_t *conf, apr_pool_t *p, const char *scopes);

/* ---- the way to a provider (sign_in.c) ---- */

/** The person said yes: go to the provider, or show the page to choose one. */
int mcp_sign_in(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz);

/** Once more to the same provider, with the claims challenge that it answered a sign-in with (E11). */
int mcp_sign_in_again(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                      const mcp_authz_t *authz, const char *claims);

/** What people are told a provider is: its label, and the host of its issuer. */
const char *mcp_provider_title(apr_pool_t *p, const mcp_provider_t *provider);

/**
 * Where a provider sends people back to, below base_url. One path for each, so that an answer can
 * only be taken for that of the provider that was asked (mix-up, RFC 9700 section 4.4.2).
 */
const char *mcp_provider_callback(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                  const mcp_provider_t *provider);

/* ---- the way back (callback.c, callback_post.c) ---- */

/* A sign-in that is under way: what its cookie holds. */
typedef struct {
    mcp_authz_t authz;
    mcp_upstream_request_t sent;
    const mcp_provider_t *provider;
    const char *error; /* what the provider answered instead of a code, NULL when it did not */
    int again;         /* after a challenge of the provider: there is no third attempt */
} mcp_transaction_t;

/**
 * The transaction that the state and this browser's cookie agree on, and whose provider's callback
 * this is. It can be used once.
 * @return OK, or the answer is sent and DONE returned
 */
int mcp_transaction_find(request_rec *r, const mcp_oauth_conf_t *conf, const char *state,
                         mcp_transaction_t *tx);

/** The person is known: a code for the client. Returns OK. */
int mcp_signed_in(request_rec *r, mcp_oauth_conf_t *conf, const mcp_transaction_t *tx,
                  const mcp_identity_t *who);

/** POST of a provider's answer; a part of mcp_callback_handler(). */
int mcp_callback_post(request_rec *r, const mcp_oauth_conf_t *conf);

/** The query that mcp_callback_post() has sealed, NULL when it does not open or is too old. */
const char *mcp_callback_query(request_rec *r, const mcp_oauth_conf_t *conf, const char *sealed);

/* ---- a person is known (code.c) ---- */

/**
 * Answer the client with a code, or show the person the consent page when the way here was opened by
 * a remembered consent that is not hers (W11). Whoever has signed a person in ends here. Returns OK.
 */
int mcp_sign_in_done(request_rec *r, mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                     const mcp_identity_t *who);

/** The answer to that page. @a parked is from the sealed form. Returns OK. */
int mcp_parked_answer(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                      const char *parked, int allowed);

/* ---- remembered consent (remember.c) ---- */

/** May consent to this client, when the answer goes to @a redirect_uri, be remembered at all? */
int mcp_remember_client(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_client_t *client,
                        const char *redirect_uri);

/** Has anybody who used this browser consented to all of this, and is this a navigation of the
 * person's own (T3)? */
int mcp_remembered(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz);

/** Has @a subject, at this browser? */
int mcp_remembered_by(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                      const char *subject);

/** Remember what @a subject has allowed, in the browser that is answered. */
void mcp_remember(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                  const char *subject);

/** Somebody said no: whatever was remembered for this client, redirect URI and resource goes. */
void mcp_remember_denial(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz);

/** Forget all, at sign-out. */
void mcp_consent_forget(request_rec *r, const mcp_oauth_conf_t *conf);

/* ---- tokens (token.c, refresh.c) ---- */

/** Body of a POST of a form to a machine endpoint, parsed; OK, or the JSON error is sent and DONE
 * returned. */
int mcp_machine_form(request_rec *r, const char *methods, apr_array_header_t **form);

/** grant_type=refresh_token; the client is authenticated. */
int mcp_refresh_grant(request_rec *r, mcp_oauth_conf_t *conf, const apr_array_header_t *form,
                      const mcp_client_t *client);

#endif
