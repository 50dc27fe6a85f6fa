/* SPDX-License-Identifier: Apache-2.0 */
/* Who calls: the bearer token, opened and checked before anything is looked up, then the session,
 * from this process's cache or from the store (design principles 2 and 3). */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <http_request.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_not_before.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define TOKEN_MAX 4096 /* far above what we issue, below LimitRequestFieldSize */

typedef enum {
    BEARER_OK,
    BEARER_NONE,     /* no token was sent this way */
    BEARER_REPEATED, /* more than one Authorization header */
    BEARER_MALFORMED
} bearer_e;

/* Set in post_config, inherited by the children, never written after. */
static mcp_keyring_t *keyring;
static mcp_store_t *store;

void mcp_guard_authn_init(mcp_keyring_t *ring, mcp_store_t *shared_store)
{
    keyring = ring;
    store = shared_store;
    mcp_session_id_init(ring);
}

void mcp_guard_child_init(apr_pool_t *pchild)
{
    if (store) {
        mcp_shared_child_init(store, pchild);
        mcp_session_cache_init(pchild);
    }
}

/* token68 of RFC 7235 section 2.1 */
static int is_token68(const char *text, apr_size_t len)
{
    apr_size_t i = 0;

    while (i < len && (apr_isalnum(text[i]) || strchr("-._~+/", text[i]))) {
        i++;
    }
    if (i == 0) {
        return 0;
    }
    while (i < len && text[i] == '=') {
        i++;
    }
    return i == len;
}

/* The token comes from the one Authorization header and from nowhere else, never from the query
 * (RS-8). */
static bearer_e find_bearer(request_rec *r, const char **token, apr_size_t *token_len)
{
    int duplicate = 0;
    const char *value = mcp_header_once(r, "Authorization", &duplicate);
    apr_size_t len;

    if (!value) {
        return BEARER_NONE;
    }
    if (duplicate) {
        return BEARER_REPEATED;
    }
    if (ap_cstr_casecmpn(value, "Bearer", 6) || (value[6] != ' ' && value[6] != '\0')) {
        return BEARER_NONE;
    }
    value += 6;
    while (*value == ' ') {
        value++;
    }
    len = strlen(value);
    while (len && (value[len - 1] == ' ' || value[len - 1] == '\t')) {
        len--;
    }
    /* httpd joins repeated headers with a comma, which token68 does not have. */
    if (memchr(value, ',', len)) {
        return BEARER_REPEATED;
    }
    if (!len || len > TOKEN_MAX) {
        return BEARER_MALFORMED;
    }
    *token = value[len] ? apr_pstrmemdup(r->pool, value, len) : value;
    *token_len = len;
    return BEARER_OK;
}

static int refuse_token(request_rec *r, mcp_guard_request_t *req, const char *reason,
                        const char *description)
{
    mcp_guard_note_error(r, reason);
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0420) "token refused: %s", reason);
    return mcp_guard_challenge(r, req, HTTP_UNAUTHORIZED, "invalid_token", description, NULL);
}

static int refuse_malformed(request_rec *r, mcp_guard_request_t *req)
{
    return refuse_token(r, req, "malformed", "The access token is malformed");
}

static int refuse_bearer(request_rec *r, mcp_guard_request_t *req, bearer_e bearer)
{
    switch (bearer) {
    case BEARER_NONE:
        mcp_guard_note_error(r, "no_token");
        return mcp_guard_challenge(r, req, HTTP_UNAUTHORIZED, NULL, "Authorization required", NULL);
    case BEARER_REPEATED:
        mcp_guard_note_error(r, "repeated_authorization");
        return mcp_guard_challenge(r, req, HTTP_BAD_REQUEST, "invalid_request",
                                   "Send the token once, in one Authorization header", NULL);
    default:
        return refuse_malformed(r, req);
    }
}

/* The session behind an authentic token. NULL: *status is what the hook returns. */
static const mcp_session_t *look_up(request_rec *r, mcp_guard_request_t *req,
                                    const mcp_access_token_t *token, apr_time_t now, int *status)
{
    mcp_grant_t grant;
    apr_status_t rv = mcp_grant_standing(store, token->grant_id, now, &grant, r->pool);

    if (rv == MCP_EDOWN) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0421) "the store cannot be asked; answering 503");
        *status = mcp_guard_store_down(r);
        return NULL;
    }
    if (rv != APR_SUCCESS) {
        *status = refuse_token(r, req, rv == APR_EACCES ? "revoked" : "no_session",
                               "The access token was revoked or its session has ended");
        return NULL;
    }
    if (grant.expires <= now) {
        *status = refuse_token(r, req, "session_expired", "The session has ended");
        return NULL;
    }
    if (strcmp(grant.resource, req->resource->uri)) {
        *status = refuse_token(r, req, "audience", "The access token is for another resource");
        return NULL;
    }
    return mcp_session_make(r->pool, &grant, token);
}

/* Open the token, then find its session. NULL: *status is what the hook returns. */
static const mcp_session_t *verify(request_rec *r, mcp_guard_request_t *req, const char *text,
                                   apr_size_t len, int *status)
{
    const mcp_guard_server_t *conf =
        ap_get_module_config(r->server->module_config, &mcp_guard_module);
    apr_uint32_t generation = mcp_store_generation(store);
    apr_time_t now = apr_time_now();
    unsigned char digest[MCP_SHA256_LEN];
    const mcp_session_t *session;
    mcp_access_token_t token;
    apr_status_t rv;

    if (conf->cache_age > 0) {
        mcp_sha256(text, len, digest);
        session = mcp_session_cache_get(r->pool, digest, now, conf->cache_age, generation);
        if (session && session->expires > now
            && !memcmp(session->resource_hash, req->resource->hash,
                       sizeof(session->resource_hash))) {
            return session;
        }
    }
    if (!is_token68(text, len)) {
        *status = refuse_malformed(r, req);
        return NULL;
    }
    rv = mcp_access_token_open(r->pool, keyring, text, now, req->resource->hash, &token);
    if (rv != APR_SUCCESS) {
        *status = APR_STATUS_IS_TIMEUP(rv)
                      ? refuse_token(r, req, "expired", "The access token has expired")
                  : rv == APR_EMISMATCH
                      ? refuse_token(r, req, "audience", "The access token is for another resource")
                      : refuse_token(r, req, "invalid", "The access token is not valid");
        return NULL;
    }
    session = look_up(r, req, &token, now, status);
    if (session && conf->cache_age > 0) {
        mcp_session_cache_put(digest, now, generation, session);
    }
    return session;
}

const mcp_resource_t *mcp_guard_resource(request_rec *r, const mcp_guard_dir_t *dir)
{
    const mcp_guard_server_t *conf;

    if (dir->resource) {
        return dir->resource->resource;
    }
    conf = ap_get_module_config(r->server->module_config, &mcp_guard_module);
    return mcp_resource_for_path(conf->shared, r->uri);
}

/* Is there any variable that begins with MCP_ already? */
static int has_ours(const apr_table_t *env)
{
    const apr_array_header_t *entries = apr_table_elts(env);
    int i;

    for (i = 0; i < entries->nelts; i++) {
        const char *key = APR_ARRAY_IDX(entries, i, apr_table_entry_t).key;

        if ((key[0] | 0x20) == 'm' && !ap_cstr_casecmpn(key, "MCP_", 4)) {
            return 1;
        }
    }
    return 0;
}

/* r->user, r->ap_auth_type and the environment (MCP_SUBJECT...) from the session. */
static void publish(request_rec *r, const mcp_session_t *session)
{
    apr_table_t *env = r->subprocess_env;
    /* Names that begin alike make each replacement search through all before it: add where there is
     * nothing to replace. */
    void (*put)(apr_table_t *, const char *, const char *) =
        has_ours(env) ? apr_table_setn : apr_table_addn;

    r->user = (char *)session->subject;
    r->ap_auth_type = (char *)"MCP";
    put(env, "MCP_SUBJECT", session->subject);
    put(env, "MCP_USERNAME", session->username);
    put(env, "MCP_CLIENT", session->client);
    put(env, "MCP_CLIENT_NAME", session->client_name);
    put(env, "MCP_SCOPE", session->scope);
    put(env, "MCP_GRANT", session->grant);
}

const mcp_session_t *mcp_guard_inherited(request_rec *r, const mcp_resource_t *resource)
{
    const request_rec *from;

    for (from = mcp_guard_came_from(r); from; from = mcp_guard_came_from(from)) {
        const mcp_guard_request_t *req =
            ap_get_module_config(from->request_config, &mcp_guard_module);

        if (req && req->session && resource
            && !memcmp(req->session->resource_hash, resource->hash, sizeof(resource->hash))) {
            return req->session;
        }
    }
    return NULL;
}

int mcp_guard_authenticate(request_rec *r, mcp_guard_request_t *req)
{
    const char *token = NULL;
    apr_size_t len = 0;
    bearer_e bearer;
    int status = HTTP_UNAUTHORIZED;

    req->resource = mcp_guard_resource(r, req->dir);
    if (!req->resource || !keyring || !store) {
        ap_log_rerror(APLOG_MARK, APLOG_CRIT, 0, r,
                      MCP_LOG(0422) "AuthType MCP for %s, but %s; refusing", r->uri,
                      req->resource
                          ? "MCPKeyFile and MCPStore are missing"
                          : "no MCPResource covers this path and there is no MCPGuardResource");
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    /* A subrequest or internal redirect carries the same token, or none: it was scrubbed. */
    req->session = mcp_guard_inherited(r, req->resource);
    if (!req->session) {
        bearer = find_bearer(r, &token, &len);
        if (bearer != BEARER_OK) {
            return refuse_bearer(r, req, bearer);
        }
        req->session = verify(r, req, token, len, &status);
    }
    if (!req->session) {
        return status;
    }
    publish(r, req->session);
    return mcp_session_ids_open(r, req);
}

int mcp_guard_check_authn(request_rec *r)
{
    const mcp_guard_dir_t *dir = mcp_guard_guarded(r);
    mcp_guard_request_t *req;

    if (!dir) {
        return DECLINED;
    }
    req = mcp_guard_request(r);
    req->dir = dir;
    return mcp_guard_authenticate(r, req);
}
