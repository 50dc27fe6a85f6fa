/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of mod_mcp_guard share: configuration, session, what is known of a request.
 *
 * A request to a guarded location (AuthType MCP) goes through these files in this order:
 *
 *   header_parser     host.c          Host against the allow-list
 *                     origin.c        Origin against the allow-list, CORS preflight
 *   access_checker    limit.c         rates, quotas, calls at once: those by address
 *   check_authn       authn.c         bearer -> seal, expiry, audience -> session_cache.c -> store
 *                     session_id.c    MCP session ids, bound to person and client; shown on the way back
 *   auth_checker      rpc.c           the body, where a rule asks for it: read, checked, put back
 *                     limit.c         all other limits
 *                     authz.c         Require, 403 insufficient_scope
 *   fixups            authz.c         nobody without a session
 *                     inject.c        scrub what no client may say
 *                     upstream_token.c, assertion.c   what the backend is to be given
 *                     calls.c         trace
 *   proxy's fixups    inject.c        backend key, identity, tokens
 *   output filters    response.c      CORS, event streams, the legacy endpoint event (endpoint.c, endpoint_scan.c)
 *                     lists.c         lists, cut down to what the caller may use (policy.h)
 *   log_transaction   calls.c         audit log, metrics and trace (spans.c) of each call
 */

#ifndef MCP_GUARD_H
#define MCP_GUARD_H

#include <httpd.h>
#include <http_config.h>
#include <jansson.h>

#include "mcp_config.h"
#include "limit.h"
#include "mcp_grant.h"
#include "mcp_upstream_token.h"
#include "policy.h"
#include "rpc.h"
#include "session_id.h"
#include "stream.h"

extern module AP_MODULE_DECLARE_DATA mcp_guard_module;

#define MCP_GUARD_PRM_HANDLER "mcp-guard-prm"
#define MCP_GUARD_OAUTH_HANDLER "mcp-oauth" /* mod_mcp_oauth marks its own requests so */

typedef struct {
    mcp_shared_conf_t *shared;     /* first: mcp_server_conf_base_t */
    apr_interval_time_t cache_age; /* MCPSessionCache; -1 = not set */
    apr_array_header_t *origins;   /* post_config: MCPAllowOrigin and our own, const char * */
    int any_origin;                /* post_config: MCPAllowOrigin * */
    apr_array_header_t *hosts;     /* MCPAllowHost, post_config: and our own; NULL: not checked */
} mcp_guard_server_t;

/* MCPGuardBackendKey: one object for each line, whose value post_config reads as root. */
typedef struct {
    const char *header; /* header that carries the key to the backend */
    const char *ref;    /* file:, env: or exec: */
    const char *value;  /* NULL before post_config */
    apr_size_t len;     /* of value */
} mcp_backend_key_t;

/* MCPGuardResource: tied to the MCPResource of the same URI in post_config. */
typedef struct {
    const char *uri;                /* canonical */
    server_rec *server;             /* where the line stands */
    const char *path;               /* of its <Location>; NULL when it is a pattern */
    const char *where;              /* file and line, for messages */
    const mcp_resource_t *resource; /* NULL before post_config */
} mcp_resource_ref_t;

typedef enum {
    MCP_GUARDED_UNSET = -1, /* no AuthType here: inherit */
    MCP_GUARDED_NO,
    MCP_GUARDED_YES,
    MCP_GUARDED_ASK /* AuthType is an expression: ask httpd for each request */
} mcp_guarded_e;

typedef struct {
    mcp_guarded_e guarded;                 /* what AuthType says */
    mcp_resource_ref_t *resource;          /* MCPGuardResource; NULL: by path */
    mcp_backend_key_t *key;                /* MCPGuardBackendKey; NULL: none */
    const char *backend_path;              /* MCPGuardBackendPath; NULL: from the proxied URL */
    const char *backend_location;          /* path of the location that MCPGuardBackendPath stands in */
    const char *scopes;                    /* what the Require mcp-scope here name; NULL: none */
    const char *upstream_header;           /* MCPGuardUpstreamToken; NULL: not set, "": off */
    const mcp_token_want_t *upstream_want; /* and which token */
    const char *assertion_header;          /* MCPGuardAssertion; NULL: not set, "": off */
    const char *assertion_audience;        /* NULL: the resource */
    int header_clash;                      /* merged: two of the above in one header */
    int identity;                          /* MCPGuardIdentityHeaders; -1 = not set, which is On */
    mcp_session_id_conf_t ids;             /* MCPGuardSession... */
    mcp_limit_conf_t limits;               /* MCPLimit... */
    mcp_stream_conf_t stream;              /* MCPStream... */
    mcp_policy_conf_t policy;              /* rules about what is called (policy.h) */
} mcp_guard_dir_t;

/* A verified session, ready to use: what the cache keeps and a request carries. One block: the
 * strings lie behind the structure, so that a copy is one memcpy and a shift of pointers
 * (session_cache.c). */
typedef struct {
    apr_size_t size;                 /* of the block */
    apr_time_t expires;              /* the token's or the grant's end, whichever comes first */
    unsigned char resource_hash[16]; /* audience of the token */
    unsigned char grant_id[MCP_ID_LEN];
    char grant[24]; /* the same for logs and the environment, base64url */
    const char *subject;
    const char *username;
    const char *client; /* client key */
    const char *client_name;
    const char *scope;
    const char *subject_header; /* the same, fit for a header (inject.c) */
    const char *username_header;
    const char *client_name_header;
    const char *claims; /* JSON object with what the provider says, for policy */
} mcp_session_t;

#define MCP_SESSION_STRINGS 9 /* pointers at the end of mcp_session_t, from subject on */

/* What the guard knows about a request. Made for guarded requests and for our metadata only. */
typedef struct mcp_guard_request_t {
    const mcp_guard_dir_t *dir;
    const mcp_resource_t *resource;   /* the protected resource that is called */
    const mcp_session_t *session;     /* NULL until authenticated */
    const char *cors_origin;          /* allowed Origin: the answer carries CORS headers */
    const char *refused_scopes;       /* what the Require mcp-scope lines asked for that said no */
    const char *own_handler;          /* public endpoint of ours, that needs no session */
    const mcp_resource_t *metadata;   /* whose metadata is asked for; NULL: unknown (404) */
    const char *scopes;               /* the session's, with all that they imply; NULL: not asked yet */
    const char *refused_rule;         /* what about the message said no, for logs; NULL: something else */
    const mcp_rpc_t *rpc;             /* NULL: messages are not read here (yet) */
    const mcp_rpc_message_t *message; /* that Require is asked about; NULL: none */
    const char *upstream_token;       /* the person's at the provider, where the location wants it */
    const char *assertion;            /* our own about this call, where the location wants it */
    const char *claims_challenge;     /* what the provider wants of the person, for the challenge; base64url */
    int deciding;                     /* inside the nested run of auth_checker (authz.c) */
    int decided;                      /* Require was asked about all messages, and said yes */
    mcp_session_ids_t ids;            /* of the MCP session that the request belongs to */
    apr_interval_time_t guarded;      /* what the guard took, until the backend was asked; 0: it was not */
    int counted;                      /* by limits, and when: bits of moment_e (limit.c) */
} mcp_guard_request_t;

/* ---- mod_mcp_guard.c ---- */

/** The request's record, made when missing. */
mcp_guard_request_t *mcp_guard_request(request_rec *r);

/** The record if there is one, else NULL. */
mcp_guard_request_t *mcp_guard_known(request_rec *r);

/** The request that this one came from, by an internal redirect or as a subrequest; NULL: a client sent it. */
const request_rec *mcp_guard_came_from(const request_rec *r);

/* ---- config.c ---- */

extern const command_rec mcp_guard_commands[];

/* A place with AuthType MCP. */
typedef struct {
    server_rec *server;
    const char *path; /* of its <Location>; NULL when it is a pattern, or none */
    const char *where;
    const mcp_guard_dir_t *dir;
} mcp_guarded_place_t;

/* What setters collect across all locations; made anew for each reading of the configuration. */
typedef struct {
    apr_array_header_t *keys;      /* mcp_backend_key_t * */
    apr_array_header_t *resources; /* mcp_resource_ref_t * */
    apr_array_header_t *guarded;   /* mcp_guarded_place_t */
    apr_array_header_t *headers;   /* the same, where something is given to the backend in a header of a chosen name */
    int odd_balancers;             /* some member speaks what proxy's fixups hook does not see */
} mcp_guard_collected_t;

extern mcp_guard_collected_t mcp_guard_collected;

void *mcp_guard_create_dir(apr_pool_t *p, char *path);
void *mcp_guard_merge_dir(apr_pool_t *p, void *base, void *add);
void *mcp_guard_create_server(apr_pool_t *p, server_rec *s);
void *mcp_guard_merge_server(apr_pool_t *p, void *base, void *add);

/** Start anew what setters collect: the configuration is read twice at start-up. */
void mcp_guard_config_begin(apr_pool_t *pconf);

/** Note that the section of @a cmd chooses a header. */
void mcp_guard_note_header(cmd_parms *cmd, const mcp_guard_dir_t *dir);

/** Note for challenges that @a scopes are asked for by a Require in the section of @a cmd. */
void mcp_guard_note_scopes(cmd_parms *cmd, const char *scopes);

/** Per-directory configuration if this request must have a session, else NULL. */
const mcp_guard_dir_t *mcp_guard_guarded(request_rec *r);

/* ---- config_check.c ---- */

/** The header that two directives of @a dir choose, in any spelling that backends take for the same; NULL: none. */
const char *mcp_guard_header_clash(const mcp_guard_dir_t *dir);

/** check_config, which configtest runs too: what guarded locations need. OK or an HTTP status. */
int mcp_guard_config_check(server_rec *main_server, apr_pool_t *ptemp);

/**
 * Under configtest: read the secrets, too, which start-up would stumble over. In pconf, as backend keys stay in what was
 * configured. OK or an HTTP status; errors are logged.
 */
int mcp_guard_config_test(server_rec *main_server, apr_pool_t *pconf);

/** Read backend keys, tie MCPGuardResource to MCPResource, complete origins. Errors are logged. */
apr_status_t mcp_guard_config_finish(server_rec *main_server, apr_pool_t *pconf);

/* ---- upstream_token.c ---- */

void mcp_guard_upstream_init(mcp_store_t *store);
const char *mcp_set_guard_upstream_token(cmd_parms *cmd, void *config, int argc, char *const argv[]);

/** Does a section want tokens that mod_mcp_oauth alone can have made? Then what is missing, with the mend; else NULL. */
const char *mcp_guard_upstream_check(const mcp_guard_dir_t *dir);

/** May the backend get something under this header? NULL, or why not. */
const char *mcp_guard_header_name(cmd_parms *cmd, const char *name);

/** fixups: the person's upstream access token for inject.c. DECLINED, or the refusal is answered. */
int mcp_guard_upstream_token(request_rec *r);

/* ---- assertion.c ---- */

const char *mcp_set_guard_assertion(cmd_parms *cmd, void *config, const char *header, const char *audience);

/** fixups: a signed assertion for inject.c. DECLINED, or the refusal is answered. */
int mcp_guard_assertion(request_rec *r);

/* ---- answer.c ---- */

/** Remember for the access log (MCP_ERROR) why a request was refused. */
void mcp_guard_note_error(request_rec *r, const char *reason);

/**
 * 401, 403 or 400 as JSON, with the challenge of RFC 6750 and RFC 9728 (RS-2, RS-4, RS-7, RS-10).
 * @param error   error code; NULL when no token was sent (RFC 6750 section 3.1)
 * @param scopes  for the scope parameter; NULL: what this location and resource want
 * @return DONE (answered), or @a status in a subrequest
 */
int mcp_guard_challenge(request_rec *r, mcp_guard_request_t *req, int status, const char *error,
                        const char *description, const char *scopes);

/** 503 + Retry-After: the store cannot be asked. Returns DONE or the status. */
int mcp_guard_store_down(request_rec *r);

/** 503 + Retry-After for another reason. Returns DONE or the status. */
int mcp_guard_unavailable(request_rec *r, const char *description);

/** 403 without a challenge: the caller is known, and no scope would help. DONE or the status. */
int mcp_guard_forbidden(request_rec *r);

/** Answer with JSON, whose reference is taken over. Returns DONE, or @a status in a subrequest. */
int mcp_guard_send(request_rec *r, int status, json_t *json);

/** 403 with a JSON-RPC error that has no id, as TR-1 wants for a refused Origin. DONE. */
int mcp_guard_origin_refused(request_rec *r);

/**
 * A JSON-RPC error without an id under an HTTP status, as MCP servers answer what concerns the HTTP request.
 * @param data  the error's data, or NULL; the reference is taken over
 * @return DONE, or @a status in a subrequest
 */
int mcp_guard_rpc_error(request_rec *r, int status, int code, const char *message, json_t *data);

/** An empty 204 with what err_headers_out holds. Returns DONE. */
int mcp_guard_no_content(request_rec *r);

/* ---- origin.c ---- */

/** header_parser: Origin against the allow-list (TR-1, T19), preflights, CORS headers. */
int mcp_guard_check_origin(request_rec *r);

/** Drop the backend's CORS headers from headers_out: ours are in err_headers_out already. */
void mcp_guard_clean_cors(request_rec *r);

/** Complete @a conf with our own origins (issuer, resources). */
void mcp_guard_collect_origins(apr_pool_t *p, mcp_guard_server_t *conf);

/* ---- host.c ---- */

const char *mcp_set_allow_host(cmd_parms *cmd, void *dir, const char *arg);

/** post_config: what of our own names to add, and whether to check at all. */
void mcp_guard_collect_hosts(apr_pool_t *p, mcp_guard_server_t *conf, const server_rec *s);

/** header_parser: Host against the allow-list (T19). */
int mcp_guard_check_host(request_rec *r);

/* ---- authn.c ---- */

/** post_config: what authentication works with. */
void mcp_guard_authn_init(mcp_keyring_t *ring, mcp_store_t *store);

/** child_init: connections and locks of the store. */
void mcp_guard_child_init(apr_pool_t *pchild);

/** Verify the bearer token and set session, user and environment. OK, or what the hook returns. */
int mcp_guard_authenticate(request_rec *r, mcp_guard_request_t *req);

/** check_authn hook. */
int mcp_guard_check_authn(request_rec *r);

/** The session of the request that this one came from, if it was verified for the same resource. */
const mcp_session_t *mcp_guard_inherited(request_rec *r, const mcp_resource_t *resource);

/** The resource that the request calls: MCPGuardResource, or by path. NULL: misconfigured. */
const mcp_resource_t *mcp_guard_resource(request_rec *r, const mcp_guard_dir_t *dir);

/* ---- authz.c ---- */

void mcp_guard_register_authz(apr_pool_t *p);

/** Is there a Require beside this one that lets in everybody who is known, so that this one would not count? */
int mcp_require_is_optional(const ap_directive_t *require);

/** The session's scopes with all that MCPScope implies. */
const char *mcp_guard_scopes(request_rec *r, mcp_guard_request_t *req);

typedef enum {
    MCP_VISIBLE,     /* may be called */
    MCP_NEEDS_SCOPE, /* might be, with more scopes */
    MCP_HIDDEN
} mcp_visible_e;

/** What would all of Require and MCPToolScope say if this message came? Nothing is logged or answered. */
mcp_visible_e mcp_guard_would_allow(request_rec *r, const mcp_rpc_message_t *message);

/** Is this one of our public endpoints? To be asked after translate_name. */
int mcp_guard_is_public(request_rec *r);

/** access_checker_ex: our public endpoints need nobody's permission under a guarded location. */
int mcp_guard_access_ex(request_rec *r);

/** force_authn: authenticate even where Require alone would let everybody in. */
int mcp_guard_force_authn(request_rec *r);

/** auth_checker: all of Require, with 403 instead of 401 for a person who is known (RS-10). */
int mcp_guard_check_authz(request_rec *r);

/** fixups, first: whoever comes here without a session is authenticated now or refused. */
int mcp_guard_assert_session(request_rec *r);

/* ---- spans.c ---- */

/** Export the span of a call that is over. @a outcome: as in the audit log. */
void mcp_guard_span(request_rec *r, const mcp_guard_request_t *req, const char *outcome);

/* ---- session_cache.c ---- */

/** child_init: make this process's cache. */
void mcp_session_cache_init(apr_pool_t *pchild);

/**
 * The session of a token that was verified less than @a age ago in the store's present generation.
 * @param digest  SHA-256 of the token
 * @return a copy in @a p, or NULL
 */
const mcp_session_t *mcp_session_cache_get(apr_pool_t *p,
                                           const unsigned char digest[MCP_SHA256_LEN],
                                           apr_time_t now, apr_interval_time_t age,
                                           apr_uint32_t generation);

/** Keep a copy of @a session. @a generation is the store's before the session was read from it. */
void mcp_session_cache_put(const unsigned char digest[MCP_SHA256_LEN], apr_time_t now,
                           apr_uint32_t generation, const mcp_session_t *session);

/** Build a session from the grant and its token. */
const mcp_session_t *mcp_session_make(apr_pool_t *p, const mcp_grant_t *grant,
                                      const mcp_access_token_t *token);

/* ---- inject.c ---- */

/**
 * Text made fit for a header: bytes that are not printable ASCII, "%", and spaces at either end
 * become %XX of their UTF-8 bytes, so that decodeURIComponent() and its kin give the text back.
 */
const char *mcp_header_text(apr_pool_t *p, const char *text);

/** fixups, before mod_proxy's: remove what no client may say to a backend. */
int mcp_guard_scrub(request_rec *r);

/** fixups, last: refuse to hand the request to a backend that injection does not reach. */
int mcp_guard_check_proxy(request_rec *r);

/** mod_proxy's optional hook fixups: key and identity, after the Connection header was obeyed. */
int mcp_guard_inject(request_rec *r);

/**
 * Does @a name begin with @a pattern, as backends compare names that turn headers into variables: "-", "_" and other
 * punctuation are one, and so are upper and lower case (T24)? *rest is what follows.
 */
int mcp_name_begins(const char *name, const char *pattern, const char **rest);

/** Percent-decoding for comparisons: invalid sequences stay as they are. */
char *mcp_percent_decode(apr_pool_t *p, const char *text, apr_size_t len);

/**
 * Remove what no client may send and no client may see from a query: `code`, x-functions-key, the
 * configured key's name, and whatever carries the key itself. Returns @a query itself when there
 * was none, NULL when nothing is left.
 */
const char *mcp_guard_clean_query(apr_pool_t *p, const mcp_guard_dir_t *dir, const char *query);

/* ---- rpc.c, further to rpc.h ---- */

void mcp_rpc_register_filter(apr_pool_t *p);

/* ---- calls.c ---- */

void mcp_calls_register_hooks(apr_pool_t *p);

/* ---- response.c ---- */

void mcp_guard_register_filter(apr_pool_t *p);

/** insert_filter hook. */
void mcp_guard_insert_filter(request_rec *r);

/* ---- endpoint.c ---- */

typedef struct {
    apr_pool_t *pool;
    const mcp_guard_dir_t *dir;
    const char *request_path; /* as the client called it: /mcp/sse */
    const char *backend_path; /* as the backend was called: /runtime/webhooks/mcp/sse */
    request_rec *r;           /* whose session ids are sealed (session_id.c); NULL: they pass as they are */
} mcp_endpoint_map_t;

/**
 * The endpoint event's URI as the client must see it: a path of the gateway, no secrets (F6, W14).
 * @param uri  relative, absolute path or absolute URI, as the backend wrote it
 * @return NULL when it must not pass (the key is still in it)
 */
const char *mcp_endpoint_rewrite(const mcp_endpoint_map_t *map, const char *uri);

/* ---- endpoint_scan.c ---- */

typedef struct mcp_endpoint_scan_t mcp_endpoint_scan_t;

/**
 * A scanner that finds the first endpoint event, however the stream is cut into reads. What it
 * holds of an unfinished event when the stream ends is dropped, as clients do with it.
 */
mcp_endpoint_scan_t *mcp_endpoint_scan_make(const mcp_endpoint_map_t *map);

/**
 * Feed bytes; what may go on to the client is added to @a out.
 * @return APR_SUCCESS: go on; APR_EOF: the endpoint event went by, the rest needs no scanning (and
 *         what is left of @a data is in @a out); APR_EGENERAL: the stream must be cut
 */
apr_status_t mcp_endpoint_scan_feed(mcp_endpoint_scan_t *scan, const char *data, apr_size_t len,
                                    apr_bucket_brigade *out);

/* ---- stream_guard.c, and the governor behind it: stream.h ---- */

/** post_config: what open streams are checked with. */
void mcp_guard_streams_init(mcp_store_t *shared_store);

#endif
