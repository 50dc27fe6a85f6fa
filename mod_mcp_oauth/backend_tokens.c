/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens of the provider for backends: what mod_mcp_guard asks for (mcp_upstream_token.h). The person's own one, or one for
 * another resource, made by it or by the refresh token. What comes of a failure is decided here: whether the session is over,
 * the token is not given, or it is to be tried later. */

#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define PATIENCE apr_time_from_sec(5) /* for whoever is asking, when there is no token that is good */
#define PAUSE apr_time_from_sec(5)    /* after a provider could not answer */
#define REFUSED apr_time_from_sec(60) /* after it said that this token is not given */
#define LIFE_UNKNOWN apr_time_from_sec(300)

/* ---- tokens for other resources ---- */

typedef struct {
    mcp_renewal_t own;
    mcp_token_held_t held;
    const char *challenge;
} other_t;

static apr_status_t keep_other(const other_t *o, const mcp_identity_t *got)
{
    const mcp_tokens_t *t = o->own.t;
    apr_time_t now = apr_time_now(), until = got->expires ? got->expires : now + LIFE_UNKNOWN;
    unsigned char id[MCP_TOKEN_OTHERS_LEN], *data;
    const json_t *old = NULL;
    json_t *entry;
    const char *name;
    json_t *value;
    apr_status_t rv;
    apr_size_t len;

    mcp_token_others_id(t->id, id);
    if (mcp_store_get(t->conf->store, MCP_KIND_UPSTREAM, id, sizeof(id), &data, &len, t->r->pool)
        == APR_SUCCESS) {
        old = mcp_json_parse(t->r->pool, (const char *)data, len, len);
    }
    entry = mcp_json_own(t->r->pool, json_object());
    mcp_put(entry, "at", got->access_token);
    json_object_set_new(entry, "exp", json_integer(apr_time_sec(until)));
    json_object_set_new(entry, "got", json_integer(apr_time_sec(now)));
    rv = APR_EINVAL;
    for (int with = 1; with >= 0 && rv == APR_EINVAL; with--) { /* too large: this one alone */
        json_t *json = mcp_json_own(t->r->pool, json_object());
        apr_time_t last = until;
        const char *text;

        json_object_foreach ((json_t *)(with ? old : NULL), name, value) {
            apr_time_t expires = apr_time_from_sec(mcp_json_int(value, "exp", 0));

            if (expires > now) {
                json_object_set(json, name, value);
                last = expires > last ? expires : last;
            }
        }
        json_object_set(json, o->own.want->name, entry);
        text = mcp_json_text(t->r->pool, json);
        rv = mcp_store_put(t->conf->store, MCP_KIND_UPSTREAM, id, sizeof(id),
                           last < t->until ? last : t->until, text, strlen(text), t->r->pool);
    }
    return rv;
}

static int other_is_done(void *work, mcp_result_t *res, int *rc)
{
    other_t *o = work;
    const mcp_tokens_t *t = o->own.t;

    *rc = mcp_token_held(t->conf->store, t->id, o->own.want, &o->held, t->r->pool) == MCP_EDOWN
              ? mcp_tokens_store_down(res)
              : OK;
    if (*rc == OK && mcp_token_is_fresh(&o->held, apr_time_now())) {
        return 1;
    }
    if (*rc == OK) {
        *rc = mcp_renewal_read(&o->own, res);
    }
    if (*rc == OK && mcp_tokens_over(t)) {
        *rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                       "it was taken back meanwhile");
    }
    return *rc != OK;
}

static int call_other(void *work, const mcp_lease_t *lease, mcp_result_t *res)
{
    other_t *o = work;
    const mcp_tokens_t *t = o->own.t;
    const mcp_token_want_t *want = o->own.want;
    const mcp_identity_t *own = o->own.now;
    mcp_identity_t got = { 0 };
    int rc;

    o->own.lease = lease;
    if (want->by == MCP_TOKEN_REFRESH) {
        rc = own->refresh_token ? mcp_upstream_refresh(t->r, t->provider, own->refresh_token,
                                                       t->subject, want, mcp_renewal_keep, &o->own, &got, res)
                                : mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "no refresh token",
                                           "the provider gave no refresh token");
    }
    else {
        rc = own->access_token ? mcp_upstream_exchange(t->r, t->provider, own->access_token, want,
                                                       &got, res)
                               : mcp_tokens_later(res, "there is no access token to exchange");
    }
    o->challenge = got.challenge;
    if (rc == OK) {
        o->held.token = got.access_token;
        o->held.expires = got.expires;
        if (keep_other(o, &got) != APR_SUCCESS) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, t->r,
                          MCP_LOG(0255) "a token for another resource is not kept: the store is "
                                        "away, or it is too large");
        }
    }
    return rc;
}

/* ---- what mod_mcp_guard asks ---- */

static void log_failure(const mcp_tokens_t *t, const mcp_token_want_t *want,
                        const mcp_result_t *res)
{
    const char *what = want->by == MCP_TOKEN_OWN ? NULL
                       : want->scope             ? want->scope
                       : want->resource          ? want->resource
                                                 : want->audience;

    ap_log_rerror(APLOG_MARK, res->status == HTTP_BAD_GATEWAY ? APLOG_ERR : APLOG_WARNING, 0, t->r,
                  MCP_LOG(0256) "provider %s gave no token of \"%s\"%s%s: %s", t->provider->name,
                  mcp_log_text(t->r->pool, t->subject), what ? " for " : "",
                  what ? mcp_log_text(t->r->pool, what) : "", mcp_detail(res));
}

static int end_session(const mcp_tokens_t *t, const char *why)
{
    mcp_session_revoke(t->r, t->conf, t->id, why);
    return HTTP_UNAUTHORIZED;
}

static int refused(const mcp_tokens_t *t, const char *challenge, mcp_token_had_t *had)
{
    if (challenge) {
        mcp_challenge_note(t->r, t->conf, t->subject, challenge);
        had->challenge = challenge;
    }
    return end_session(t, "the identity provider honours it no more");
}

static apr_interval_time_t patience(const mcp_tokens_t *t)
{
    return t->provider->timeout < PATIENCE ? t->provider->timeout : PATIENCE;
}

void mcp_tokens_note_none(const mcp_tokens_t *t)
{
    mcp_tokens_mark(t, "none", t->until - apr_time_now());
}

/* The store has lost the person's tokens, or cannot be asked. */
static int lost(const mcp_tokens_t *t, apr_status_t rv)
{
    if (rv == MCP_EDOWN) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    /* The client's own refresh brings them back, unless it has shown already that nothing does. */
    return mcp_tokens_marked(t, "none")
               ? end_session(t, "the provider's access token is lost, and it gave no refresh token "
                                "(MCPProviderScope: offline_access)")
               : HTTP_UNAUTHORIZED;
}

static int own_token(mcp_tokens_t *t, const mcp_token_want_t *want, mcp_token_had_t *had)
{
    apr_time_t begun = apr_time_now();
    mcp_token_held_t held;
    mcp_identity_t now;
    mcp_result_t res = { 0 };
    apr_status_t rv = mcp_token_held(t->conf->store, t->id, want, &held, t->r->pool);
    int good = mcp_token_is_good(&held, begun), rc;

    if (rv != APR_SUCCESS) {
        return lost(t, rv);
    }
    had->token = good ? held.token : NULL;
    if (mcp_token_is_fresh(&held, begun)) {
        return OK;
    }
    if (mcp_tokens_marked(t, "pause")) {
        return good ? OK : HTTP_SERVICE_UNAVAILABLE;
    }
    t->wait = good ? MCP_TOKENS_GLIMPSE : patience(t);
    rc = mcp_tokens_renew(t, good ? held.expires : begun, &now, &res);
    if (rc == OK) {
        if (now.access_token && (!now.expires || now.expires > apr_time_now())) {
            had->token = now.access_token;
            return OK;
        }
        if (!good && now.refresh_token) {
            if (!now.access_token) {
                ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, t->r,
                              MCP_LOG(0258) "MCPGuardUpstreamToken: the provider's access token was "
                                            "too large for the store; refusing");
            }
            return HTTP_SERVICE_UNAVAILABLE; /* else its life is shorter than the call that brought it */
        }
        return good ? OK
                    : end_session(t, "the provider's access token has expired, and it gave no "
                                     "refresh token (MCPProviderScope: offline_access)");
    }
    if (rc == HTTP_UNAUTHORIZED) {
        log_failure(t, want, &res);
        return refused(t, now.challenge, had);
    }
    if (rc != HTTP_CONFLICT) {
        log_failure(t, want, &res);
        mcp_tokens_mark(t, "pause", PAUSE);
    }
    return good ? OK : HTTP_SERVICE_UNAVAILABLE;
}

static int other_token(mcp_tokens_t *t, const mcp_token_want_t *want, mcp_token_had_t *had)
{
    static const mcp_token_want_t own = { .by = MCP_TOKEN_OWN };
    const char *pause = apr_pstrcat(t->r->pool, "pause ", want->name, NULL);
    const char *no = apr_pstrcat(t->r->pool, "no ", want->name, NULL);
    const char *who;
    mcp_identity_t mine;
    other_t o = { .own = { .t = t, .want = want, .now = &mine } };
    unsigned char flight[MCP_SHA256_LEN];
    mcp_result_t res = { 0 };
    apr_time_t begun = apr_time_now();
    apr_status_t rv = mcp_token_held(t->conf->store, t->id, want, &o.held, t->r->pool);
    int good = mcp_token_is_good(&o.held, begun), refused_before, rc;

    if (rv == MCP_EDOWN) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    had->token = good ? o.held.token : NULL;
    if (mcp_token_is_fresh(&o.held, begun)) {
        return OK;
    }
    refused_before = mcp_tokens_marked(t, no);
    if (refused_before || mcp_tokens_marked(t, pause)) {
        return good ? OK : refused_before ? HTTP_FORBIDDEN
                                          : HTTP_SERVICE_UNAVAILABLE;
    }
    rv = mcp_tokens_get(t->r, t->conf, t->id, &mine);
    if (rv != APR_SUCCESS) {
        return lost(t, rv);
    }
    if (want->by != MCP_TOKEN_REFRESH) {
        rc = own_token(t, &own, had);
        had->token = good ? o.held.token : NULL;
        if (rc != OK) {
            return good && rc == HTTP_SERVICE_UNAVAILABLE ? OK : rc;
        }
    }
    t->wait = good ? MCP_TOKENS_GLIMPSE : patience(t);
    who = apr_pstrcat(t->r->pool, want->name, mcp_b64url_encode(t->r->pool, t->id, MCP_ID_LEN), NULL);
    mcp_sha256(who, strlen(who), flight);
    rc = mcp_tokens_alone(t, flight, &o, other_is_done, call_other, &res);
    if ((rc == OK || rc == HTTP_UNAUTHORIZED) && mcp_tokens_over(t)) {
        return HTTP_UNAUTHORIZED;
    }
    if (rc == OK) {
        had->token = o.held.token;
        return OK;
    }
    if (rc == HTTP_CONFLICT) {
        return good ? OK : HTTP_SERVICE_UNAVAILABLE;
    }
    log_failure(t, want, &res);
    if (rc == HTTP_UNAUTHORIZED) {
        if (o.challenge && mcp_challenge_note(t->r, t->conf, t->subject, o.challenge)) {
            had->challenge = o.challenge;
            return end_session(t, "the identity provider wants another sign-in (claims challenge)");
        }
        /* Is it this token that is not given, or is it all over with the person? */
        memset(&res, 0, sizeof(res));
        if (mcp_tokens_renew(t, MCP_TOKEN_ASK, &mine, &res) == HTTP_UNAUTHORIZED) {
            return refused(t, mine.challenge, had);
        }
        mcp_tokens_mark(t, no, REFUSED);
        return good ? OK : HTTP_FORBIDDEN;
    }
    mcp_tokens_mark(t, pause, PAUSE);
    return good ? OK : HTTP_SERVICE_UNAVAILABLE;
}

/* A configuration of this server with the provider of @a subject: that of the request's host, if it has it. */
static const mcp_oauth_conf_t *conf_for(request_rec *r, const char *subject)
{
    const mcp_oauth_conf_t *conf = mcp_oauth_conf(r);

    if (conf->store && mcp_provider_by_name(conf, subject)) {
        return conf;
    }
    for (server_rec *s = ap_server_conf; s; s = s->next) {
        conf = ap_get_module_config(s->module_config, &mcp_oauth_module);
        if (conf->store && mcp_provider_by_name(conf, subject)) {
            return conf;
        }
    }
    return NULL;
}

static mcp_store_t *any_store(void)
{
    for (server_rec *s = ap_server_conf; s; s = s->next) {
        const mcp_oauth_conf_t *conf = ap_get_module_config(s->module_config, &mcp_oauth_module);

        if (conf->store) {
            return conf->store;
        }
    }
    return NULL;
}

static int mcp_oauth_token(request_rec *r, const unsigned char *grant_id,
                           const mcp_token_want_t *want, mcp_token_had_t *had)
{
    mcp_tokens_t t = { .r = r, .id = grant_id };
    mcp_store_t *store = any_store();
    mcp_grant_t grant;
    apr_status_t rv;

    memset(had, 0, sizeof(*had));
    if (!store) {
        return DECLINED;
    }
    rv = mcp_grant_get(store, grant_id, &grant, r->pool);
    if (rv != APR_SUCCESS || (grant.flags & MCP_GRANT_REVOKED)) {
        return rv == MCP_EDOWN ? HTTP_SERVICE_UNAVAILABLE : HTTP_UNAUTHORIZED;
    }
    t.conf = conf_for(r, grant.subject);
    if (!t.conf) {
        return DECLINED;
    }
    t.provider = mcp_provider_by_name(t.conf, grant.subject);
    if (t.provider->kind == MCP_PROVIDER_HTTPD) { /* with 401 the client would refresh and come again without end */
        ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                      MCP_LOG(0259) "MCPGuardUpstreamToken: \"%s\" was signed in by httpd itself, so there is no token "
                                    "of a provider; refusing",
                      mcp_log_text(r->pool, grant.subject));
        return HTTP_FORBIDDEN;
    }
    t.subject = grant.subject;
    t.until = grant.expires;
    return want->by == MCP_TOKEN_OWN ? own_token(&t, want, had) : other_token(&t, want, had);
}

void mcp_tokens_register(void)
{
    APR_REGISTER_OPTIONAL_FN(mcp_oauth_token);
}
