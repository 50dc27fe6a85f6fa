/* SPDX-License-Identifier: Apache-2.0 */
/* A person's tokens at the provider while a session lives: kept in the store, and renewed when the session or a call needs
 * it. The records are drawn in mcp_upstream_token.h.
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

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

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

static const char *mark_id(const mcp_tokens_t *t, const char *kind)
{
    return apr_pstrcat(t->r->pool, kind, " ", mcp_b64url_encode(t->r->pool, t->id, MCP_ID_LEN), NULL);
}

int mcp_tokens_marked(const mcp_tokens_t *t, const char *kind)
{
    const char *id = mark_id(t, kind);
    unsigned char *data;
    apr_size_t len;

    return mcp_store_get(t->conf->store, MCP_KIND_UPSTREAM_LOCK, id, strlen(id), &data, &len,
                         t->r->pool)
           == APR_SUCCESS;
}

void mcp_tokens_mark(const mcp_tokens_t *t, const char *kind, apr_interval_time_t life)
{
    const char *id = mark_id(t, kind);

    mcp_store_put(t->conf->store, MCP_KIND_UPSTREAM_LOCK, id, strlen(id), apr_time_now() + life,
                  "1", 1, t->r->pool);
}

int mcp_tokens_later(mcp_result_t *res, const char *log)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                    "the identity provider is not available", log);
}

/* Somebody else is at it, or has just failed: no reason to think badly of the provider. */
static int busy(mcp_result_t *res, const char *log)
{
    mcp_tokens_later(res, log);
    return HTTP_CONFLICT;
}

int mcp_tokens_store_down(mcp_result_t *res)
{
    return mcp_tokens_later(res, "the store cannot be asked");
}

/* What was written beside a revocation, and after it. */
int mcp_tokens_over(const mcp_tokens_t *t)
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

/* The grant's lock among processes and hosts, and the call. */
static int with_lease(const mcp_tokens_t *t, void *work, mcp_tokens_done_fn *done, mcp_tokens_call_fn *call,
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
            rc = call(work, &lease, res);
        }
        mcp_lease_give(&lease, t->r->pool);
    }
    else {
        rc = rv == MCP_EDOWN ? mcp_tokens_store_down(res) : busy(res, "another process is asking");
    }
    mcp_upstream_end(t->provider);
    return rc;
}

/* @param flight  what threads of this process wait for */
int mcp_tokens_alone(const mcp_tokens_t *t, const unsigned char flight[MCP_ID_LEN], void *work,
                     mcp_tokens_done_fn *done, mcp_tokens_call_fn *call, mcp_result_t *res)
{
    apr_status_t rv = mcp_flight_board(flight, t->wait > MCP_TOKENS_GLIMPSE ? t->wait : 0);
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

int mcp_renewal_read(mcp_renewal_t *x, mcp_result_t *res)
{
    return mcp_tokens_get(x->t->r, x->t->conf, x->t->id, x->now) == MCP_EDOWN ? mcp_tokens_store_down(res) : OK;
}

/* The person's refresh token; none where httpd signs people in, even if an OpenID provider of that name once gave one. */
static const char *refresh_token_of(const mcp_renewal_t *x)
{
    if (x->t->provider->kind == MCP_PROVIDER_HTTPD) {
        return NULL;
    }
    return x->now->refresh_token ? x->now->refresh_token : x->t->refresh_token;
}

static int suffices(const mcp_renewal_t *x)
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
    mcp_renewal_t *x = work;

    *rc = mcp_renewal_read(x, res);
    if (*rc == OK && !suffices(x) && mcp_tokens_over(x->t)) {
        *rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                       "it was taken back meanwhile");
    }
    return *rc != OK || suffices(x) || !refresh_token_of(x);
}

/* mcp_keep_fn: the provider may have spent the old refresh token, so this one must not be lost. */
apr_status_t mcp_renewal_keep(void *baton, const mcp_identity_t *got)
{
    mcp_renewal_t *x = baton;
    const mcp_tokens_t *t = x->t;
    mcp_identity_t record = *x->now;
    apr_status_t rv = MCP_EDOWN;

    /* What was kept before its id_token was verified may be kept whole now, unless that took so long that somebody else
     * may have renewed it since: the refresh token that came of that must stay. */
    if (x->kept++ && !mcp_lease_holds(x->lease)) {
        return APR_SUCCESS;
    }
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

static int call_refresh(void *work, const mcp_lease_t *lease, mcp_result_t *res)
{
    mcp_renewal_t *x = work;
    const mcp_tokens_t *t = x->t;
    mcp_identity_t got;
    int rc;

    x->lease = lease;
    rc = mcp_upstream_refresh(t->r, t->provider, refresh_token_of(x), t->subject, NULL, mcp_renewal_keep, x,
                              &got, res);

    x->now->challenge = got.challenge;
    if (rc == OK) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, t->r,
                      MCP_LOG(0254) "provider %s renewed the tokens of \"%s\"", t->provider->name,
                      mcp_log_text(t->r->pool, t->subject));
    }
    return rc;
}

apr_interval_time_t mcp_tokens_longest(const mcp_provider_t *provider, apr_interval_time_t wait)
{
    return mcp_upstream_longest_begin(provider) + wait + mcp_upstream_longest(provider);
}

int mcp_tokens_renew(const mcp_tokens_t *t, apr_time_t good, mcp_identity_t *now,
                     mcp_result_t *res)
{
    mcp_renewal_t x = { .t = t, .good = good, .now = now };
    int rc = mcp_renewal_read(&x, res);

    if (rc != OK || suffices(&x) || !refresh_token_of(&x)) {
        return rc;
    }
    x.before = now->access_token ? now->access_token : "";
    rc = mcp_tokens_alone(t, t->id, &x, own_is_done, call_refresh, res);
    if (rc == OK && mcp_tokens_over(t)) {
        rc = mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_grant", "the session is over",
                      "it was taken back meanwhile");
    }
    return rc;
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
