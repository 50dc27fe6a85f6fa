/* SPDX-License-Identifier: Apache-2.0 */
/* A person's tokens at the provider while a session lives: kept in the store, renewed when the session or a call needs it,
 * and used for tokens that other resources take. The records are drawn in mcp_upstream_token.h.
 *
 * A refresh token may be good for one use, and a provider may end everything when it sees a used one again. So whoever uses
 * one holds the grant's lock (mcp_lease.h), reads the record under it, and writes what came before the lock is given back:
 *
 *   threads of a process     flight.c: one goes on, the others wait without asking the store
 *   processes and hosts      lease on the grant, for as long as a call to the provider may take
 *   a failed attempt         is remembered for a few seconds: nobody waits for a dead provider in vain
 */

#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_main.h>

#include "mcp_json.h"
#include "mcp_lease.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define GLIMPSE apr_time_from_msec(150) /* for the lock, while the old token is still good */
#define PATIENCE apr_time_from_sec(5)   /* for the lock, when there is none */
#define PAUSE apr_time_from_sec(5)      /* after a provider could not answer */
#define REFUSED apr_time_from_sec(60)   /* after it said that this token is not given */
#define LIFE_UNKNOWN apr_time_from_sec(300)
#define WRITES 8
#define WRITE_PAUSE apr_time_from_msec(250)

/* ---- records ---- */

apr_status_t mcp_tokens_put(request_rec *r, const mcp_oauth_conf_t *conf,
                            const unsigned char id[MCP_ID_LEN], apr_time_t until,
                            const mcp_identity_t *tokens)
{
    apr_status_t rv = APR_EINVAL;

    if (!tokens->access_token && !tokens->refresh_token) {
        return APR_SUCCESS;
    }
    /* Too large for the store (E7): without the access token, which can be had again. */
    for (int with = 1; with >= 0 && rv == APR_EINVAL; with--) {
        json_t *json = mcp_json_own(r->pool, json_object());
        const char *text;

        mcp_put(json, "at", with ? tokens->access_token : NULL);
        mcp_put(json, "rt", tokens->refresh_token);
        mcp_put(json, "scope", tokens->scope);
        mcp_put(json, "cl", tokens->claims);
        mcp_put(json, "un", tokens->username);
        json_object_set_new(json, "exp", json_integer(apr_time_sec(tokens->expires)));
        json_object_set_new(json, "got", json_integer(apr_time_sec(tokens->obtained)));
        text = mcp_json_text(r->pool, json);
        rv = mcp_store_put(conf->store, MCP_KIND_UPSTREAM, id, MCP_ID_LEN, until, text,
                           strlen(text), r->pool);
    }
    if (rv == APR_EINVAL) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            MCP_LOG(0251) "the provider's tokens are too large for the store and are not kept");
        rv = APR_SUCCESS;
    }
    return rv;
}

apr_status_t mcp_tokens_get(request_rec *r, const mcp_oauth_conf_t *conf,
                            const unsigned char id[MCP_ID_LEN], mcp_identity_t *tokens)
{
    unsigned char *data;
    apr_status_t rv;
    apr_size_t len;
    json_t *json;

    memset(tokens, 0, sizeof(*tokens));
    rv = mcp_store_get(conf->store, MCP_KIND_UPSTREAM, id, MCP_ID_LEN, &data, &len, r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json = mcp_json_parse(r->pool, (const char *)data, len, len);
    if (!json) {
        return APR_NOTFOUND;
    }
    tokens->access_token = mcp_json_str(json, "at");
    tokens->refresh_token = mcp_json_str(json, "rt");
    tokens->scope = mcp_json_str(json, "scope");
    tokens->claims = mcp_json_str(json, "cl");
    tokens->username = mcp_json_str(json, "un");
    tokens->expires = apr_time_from_sec(mcp_json_int(json, "exp", 0));
    tokens->obtained = apr_time_from_sec(mcp_json_int(json, "got", 0));
    return APR_SUCCESS;
}

/* Marks of a few seconds: what was tried, and for which token. */
static void mark_id(const mcp_tokens_t *t, const char *kind, unsigned char out[MCP_SHA256_LEN])
{
    char text[64 + MCP_ID_LEN];
    apr_size_t len = strlen(kind);

    memcpy(text, kind, len);
    memcpy(text + len, t->id, MCP_ID_LEN);
    mcp_sha256(text, len + MCP_ID_LEN, out);
}

static int has_mark(const mcp_tokens_t *t, const char *kind)
{
    unsigned char id[MCP_SHA256_LEN], *data;
    apr_size_t len;

    mark_id(t, kind, id);
    return mcp_store_get(t->conf->store, MCP_KIND_UPSTREAM_LOCK, id, sizeof(id), &data, &len,
                         t->r->pool)
           == APR_SUCCESS;
}

static void set_mark(const mcp_tokens_t *t, const char *kind, apr_interval_time_t life)
{
    unsigned char id[MCP_SHA256_LEN];

    mark_id(t, kind, id);
    mcp_store_put(t->conf->store, MCP_KIND_UPSTREAM_LOCK, id, sizeof(id), apr_time_now() + life,
                  "1", 1, t->r->pool);
}

static int later(mcp_result_t *res, const char *log)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                    "the identity provider is not available", log);
}

/* Somebody else is at it, or has just failed: no reason to think badly of the provider. */
static int busy(mcp_result_t *res, const char *log)
{
    later(res, log);
    return HTTP_CONFLICT;
}

static int store_down(mcp_result_t *res)
{
    return later(res, "the store cannot be asked");
}

/* What was written beside a revocation, and after it. */
static int is_over(const mcp_tokens_t *t)
{
    unsigned char others[MCP_TOKEN_OTHERS_LEN];

    if (!mcp_session_is_revoked(t->r, t->conf, t->id)) {
        return 0;
    }
    mcp_token_others_id(t->id, others);
    mcp_store_remove(t->conf->store, MCP_KIND_UPSTREAM, t->id, MCP_ID_LEN, t->r->pool);
    mcp_store_remove(t->conf->store, MCP_KIND_UPSTREAM, others, sizeof(others), t->r->pool);
    return 1;
}

/* ---- one at a time ---- */

/* The caller's work is done already, by somebody else. */
typedef int done_fn(void *work, mcp_result_t *res, int *rc);
/* Call the provider. The grant's lock is held. */
typedef int call_fn(void *work, mcp_result_t *res);

/* The grant's lock among processes and hosts, and the call. */
static int with_lease(const mcp_tokens_t *t, void *work, done_fn *done, call_fn *call,
                      mcp_result_t *res)
{
    mcp_lease_t lease;
    apr_status_t rv;
    int rc = mcp_upstream_begin(t->r, t->provider, res);

    if (rc != OK) {
        return rc;
    }
    rv = mcp_lease_take_for(t->conf->store, t->id, MCP_ID_LEN, t->wait,
                            mcp_upstream_longest(t->provider), &lease, t->r->pool);
    if (rv == APR_SUCCESS) {
        if (!done(work, res, &rc)) {
            rc = call(work, res);
        }
        mcp_lease_give(&lease, t->r->pool);
    }
    else {
        rc = rv == MCP_EDOWN ? store_down(res) : busy(res, "another process is asking");
    }
    mcp_upstream_end(t->provider);
    return rc;
}

/* @param flight  what threads of this process wait for */
static int alone(const mcp_tokens_t *t, const unsigned char flight[MCP_ID_LEN], void *work,
                 done_fn *done, call_fn *call, mcp_result_t *res)
{
    apr_status_t rv = mcp_flight_board(flight, t->wait > GLIMPSE ? t->wait : 0);
    int rc;

    if (rv == APR_SUCCESS) {
        rc = with_lease(t, work, done, call, res);
        mcp_flight_land(flight);
        return rc;
    }
    if (rv == APR_EAGAIN && done(work, res, &rc)) {
        return rc;
    }
    return busy(res, rv == APR_EAGAIN ? "another thread was told so" : "another thread is asking");
}

/* ---- the person's own tokens ---- */

typedef struct {
    const mcp_tokens_t *t;
    const mcp_token_want_t *want; /* a token for something else, which is not kept here; NULL: the own one */
    apr_time_t good;
    mcp_identity_t *now; /* as stored */
    const char *before;  /* the access token when it was looked at first, "" none */
    const char *challenge;
} renewal_t;

static int read_own(renewal_t *x, mcp_result_t *res)
{
    return mcp_tokens_get(x->t->r, x->t->conf, x->t->id, x->now) == MCP_EDOWN ? store_down(res) : OK;
}

static const char *refresh_token_of(const renewal_t *x)
{
    return x->now->refresh_token ? x->now->refresh_token : x->t->refresh_token;
}

static int suffices(const renewal_t *x)
{
    const mcp_identity_t *now = x->now;
    int renewed = x->before && now->access_token && strcmp(now->access_token, x->before);

    if (!now->access_token) { /* one that was too large for the store (E7) is not to be had by asking again */
        return x->good != MCP_TOKEN_ASK && now->refresh_token && now->expires > x->good;
    }
    return x->good == MCP_TOKEN_ASK ? renewed
                                    : !now->expires || now->expires > x->good
                                          || (renewed && now->expires > apr_time_now());
}

static int own_is_done(void *work, mcp_result_t *res, int *rc)
{
    renewal_t *x = work;

    *rc = read_own(x, res);
    if (*rc == OK && !suffices(x) && is_over(x->t)) {
        *rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                       "it was taken back meanwhile");
    }
    return *rc != OK || suffices(x) || !refresh_token_of(x);
}

/* mcp_keep_fn: the provider may have spent the old refresh token, so this one must not be lost. */
static apr_status_t keep(void *baton, const mcp_identity_t *got)
{
    renewal_t *x = baton;
    const mcp_tokens_t *t = x->t;
    mcp_identity_t record = *x->now;
    apr_status_t rv = MCP_EDOWN;

    record.refresh_token = got->refresh_token;
    if (got->access_token && !x->want) {
        record.access_token = got->access_token;
        record.scope = got->scope;
        record.expires = got->expires;
        record.obtained = apr_time_now();
    }
    if (got->claims) {
        record.claims = got->claims;
        record.username = got->username;
    }
    for (int i = 0; i < WRITES && rv == MCP_EDOWN; i++) {
        if (i) {
            apr_sleep(WRITE_PAUSE);
        }
        rv = mcp_tokens_put(t->r, t->conf, t->id, t->until, &record);
    }
    if (rv == APR_SUCCESS) {
        *x->now = record;
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, t->r,
                      MCP_LOG(0253) "provider %s renewed its tokens, and the store does not take "
                                    "them",
                      t->provider->name);
    }
    return rv;
}

static int call_refresh(void *work, mcp_result_t *res)
{
    renewal_t *x = work;
    const mcp_tokens_t *t = x->t;
    mcp_identity_t got;
    int rc = mcp_upstream_refresh(t->r, t->provider, refresh_token_of(x), t->subject, NULL, keep, x,
                                  &got, res);

    x->now->challenge = got.challenge;
    if (rc == OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, t->r,
                      MCP_LOG(0254) "provider %s renewed the tokens of \"%s\"", t->provider->name,
                      mcp_log_text(t->r->pool, t->subject));
    }
    return rc;
}

int mcp_tokens_renew(const mcp_tokens_t *t, apr_time_t good, mcp_identity_t *now,
                     mcp_result_t *res)
{
    renewal_t x = { .t = t, .good = good, .now = now };
    int rc = read_own(&x, res);

    if (rc != OK || suffices(&x) || !refresh_token_of(&x)) {
        return rc;
    }
    x.before = now->access_token ? now->access_token : "";
    rc = alone(t, t->id, &x, own_is_done, call_refresh, res);
    if (rc == OK && is_over(t)) {
        rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                      "it was taken back meanwhile");
    }
    return rc;
}

/* ---- tokens for other resources ---- */

typedef struct {
    renewal_t own;
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
              ? store_down(res)
              : OK;
    if (*rc == OK && mcp_token_is_fresh(&o->held, apr_time_now())) {
        return 1;
    }
    if (*rc == OK) {
        *rc = read_own(&o->own, res);
    }
    if (*rc == OK && is_over(t)) {
        *rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                       "it was taken back meanwhile");
    }
    return *rc != OK;
}

static int call_other(void *work, mcp_result_t *res)
{
    other_t *o = work;
    const mcp_tokens_t *t = o->own.t;
    const mcp_token_want_t *want = o->own.want;
    const mcp_identity_t *own = o->own.now;
    mcp_identity_t got = { 0 };
    int rc;

    if (want->by == MCP_TOKEN_REFRESH) {
        rc = own->refresh_token ? mcp_upstream_refresh(t->r, t->provider, own->refresh_token,
                                                       t->subject, want, keep, &o->own, &got, res)
                                : mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "no refresh token",
                                           "the provider gave no refresh token");
    }
    else {
        rc = own->access_token ? mcp_upstream_exchange(t->r, t->provider, own->access_token, want,
                                                       &got, res)
                               : later(res, "there is no access token to exchange");
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
    set_mark(t, "none", t->until - apr_time_now());
}

/* The store has lost the person's tokens, or cannot be asked. */
static int lost(const mcp_tokens_t *t, apr_status_t rv)
{
    if (rv == MCP_EDOWN) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    /* The client's own refresh brings them back, unless it has shown already that nothing does. */
    return has_mark(t, "none") ? end_session(t, "the provider's access token is lost, and it gave no refresh "
                                                "token (MCPProviderScope: offline_access)")
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
    if (has_mark(t, "pause")) {
        return good ? OK : HTTP_SERVICE_UNAVAILABLE;
    }
    t->wait = good ? GLIMPSE : patience(t);
    rc = mcp_tokens_renew(t, good ? held.expires : begun, &now, &res);
    if (rc == OK) {
        if (now.access_token && (!now.expires || now.expires > apr_time_now())) {
            had->token = now.access_token;
            return OK;
        }
        if (!good && now.refresh_token) {
            ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, t->r,
                          MCP_LOG(0258) "MCPGuardUpstreamToken: the provider's access token was too "
                                        "large for the store; refusing");
            return HTTP_SERVICE_UNAVAILABLE;
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
        set_mark(t, "pause", PAUSE);
    }
    return good ? OK : HTTP_SERVICE_UNAVAILABLE;
}

static int other_token(mcp_tokens_t *t, const mcp_token_want_t *want, mcp_token_had_t *had)
{
    static const mcp_token_want_t own = { .by = MCP_TOKEN_OWN };
    const char *pause = apr_pstrcat(t->r->pool, "pause ", want->name, NULL);
    const char *no = apr_pstrcat(t->r->pool, "no ", want->name, NULL);
    mcp_identity_t mine;
    other_t o = { .own = { .t = t, .want = want, .now = &mine } };
    unsigned char flight[MCP_SHA256_LEN];
    mcp_result_t res = { 0 };
    apr_time_t begun = apr_time_now();
    apr_status_t rv = mcp_token_held(t->conf->store, t->id, want, &o.held, t->r->pool);
    int good = mcp_token_is_good(&o.held, begun), rc;

    if (rv == MCP_EDOWN) {
        return HTTP_SERVICE_UNAVAILABLE;
    }
    had->token = good ? o.held.token : NULL;
    if (mcp_token_is_fresh(&o.held, begun) || (good && (has_mark(t, pause) || has_mark(t, no)))) {
        return OK;
    }
    if (has_mark(t, no) || has_mark(t, pause)) {
        return has_mark(t, no) ? HTTP_FORBIDDEN : HTTP_SERVICE_UNAVAILABLE;
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
    t->wait = good ? GLIMPSE : patience(t);
    mark_id(t, pause, flight);
    rc = alone(t, flight, &o, other_is_done, call_other, &res);
    if ((rc == OK || rc == HTTP_UNAUTHORIZED) && is_over(t)) {
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
        set_mark(t, no, REFUSED);
        return good ? OK : HTTP_FORBIDDEN;
    }
    set_mark(t, pause, PAUSE);
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
    if (t.provider->kind == MCP_PROVIDER_HTTPD) {
        return DECLINED;
    }
    t.subject = grant.subject;
    t.until = grant.expires;
    return want->by == MCP_TOKEN_OWN ? own_token(&t, want, had) : other_token(&t, want, had);
}

void mcp_tokens_register(void)
{
    APR_REGISTER_OPTIONAL_FN(mcp_oauth_token);
}

void mcp_tokens_child_init(server_rec *s)
{
    /* As in mcp_upstream_child_init(): a child that is ended by force destroys its own pool under the feet of its threads. */
    apr_pool_t *p;
    apr_status_t rv = apr_pool_create_unmanaged_ex(&p, NULL, NULL);

    if (rv == APR_SUCCESS) {
        rv = mcp_flight_init(p);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, MCP_LOG(0257) "no locks for upstream tokens");
        exit(APEXIT_CHILDSICK);
    }
}
