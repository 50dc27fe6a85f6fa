/* SPDX-License-Identifier: Apache-2.0 */
/* The person index and not-before marks, as the flows use them. */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* ---- where tokens are issued ---- */

static const char *short_hash(apr_pool_t *p, const char *text)
{
    unsigned char hash[MCP_SID_LEN];

    mcp_sid_hash(text, hash);
    return mcp_b64url_encode(p, hash, sizeof(hash));
}

const char *mcp_person_sid(apr_pool_t *p, const mcp_identity_t *who)
{
    return who->sid ? short_hash(p, who->sid) : NULL;
}

const char *mcp_person_sub(apr_pool_t *p, const mcp_identity_t *who)
{
    const char *bar = who->subject ? strchr(who->subject, '|') : NULL;

    return who->sub && bar && strcmp(bar + 1, who->sub) ? short_hash(p, who->sub) : NULL;
}

/* By which other names the provider may speak of the person. Written each time, for they live as long as the grant. */
static apr_status_t put_aliases(request_rec *r, const mcp_oauth_conf_t *conf,
                                const mcp_refresh_t *token, apr_time_t expires)
{
    const mcp_provider_t *provider = mcp_provider_by_name(conf, token->grant.subject);
    apr_status_t rv = APR_SUCCESS;

    if (provider && token->sid) {
        rv = mcp_person_alias_put(conf->store, provider->name, "sid", token->sid,
                                  token->grant.subject, expires, r->pool);
    }
    if (provider && token->sub && rv == APR_SUCCESS) {
        rv = mcp_person_alias_put(conf->store, provider->name, "sub", token->sub,
                                  token->grant.subject, expires, r->pool);
    }
    return rv;
}

void mcp_person_noted(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_refresh_t *token,
                      const mcp_grant_t *record)
{
    mcp_person_entry_t entry = {
        .issued = record->issued,
        .used = apr_time_now(),
        .expires = record->expires,
        .client_key = record->client_key,
        .client_name = record->client_name,
        .host = "",
        .logo = "",
        .scope =
            token->grant.scope, /* what was granted, whatever this access token was narrowed to */
        .resource = record->resource,
    };
    apr_status_t rv;

    memcpy(entry.grant, record->id, MCP_ID_LEN);
    mcp_b64url_read(r->pool, token->sid, entry.sid, MCP_SID_LEN); /* else zeros: none */
    if (token->client) {
        entry.source = (int)token->client->source + 1; /* 0: not known */
        entry.host = token->client->host ? token->client->host : "";
        entry.logo = token->client->logo_uri ? token->client->logo_uri : "";
    }
    rv = mcp_person_note(conf->store, record->subject, &entry, r->pool);
    if (rv == APR_SUCCESS) {
        rv = put_aliases(r, conf, token, record->expires);
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_WARNING, 0, r,
            MCP_LOG(
                0281) "the grant of client=%s to \"%s\" could not be noted in the person index (%s); it "
                      "will be at its next refresh",
            record->client_key, mcp_log_text(r->pool, record->subject),
            rv == MCP_EDOWN ? "the store is down" : "others were writing");
    }
}

void mcp_person_forgotten(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                          const unsigned char (*grants)[MCP_ID_LEN], int n)
{
    apr_status_t rv = mcp_person_drop(conf->store, subject, grants, n, r->pool);

    if (rv != APR_SUCCESS) {
        ap_log_rerror(
            APLOG_MARK, APLOG_INFO, 0, r,
            MCP_LOG(0282) "the person index still lists %d grants of \"%s\" that were revoked", n,
            mcp_log_text(r->pool, subject));
    }
}

apr_status_t mcp_person_barred(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_refresh_t *token)
{
    const mcp_grant_t *grant = &token->grant;
    const mcp_provider_t *provider = mcp_provider_by_name(conf, grant->subject);
    apr_time_t mark;
    apr_status_t rv =
        mcp_not_before_get(conf->store, grant->subject, grant->client_key, &mark, r->pool);

    /* From the first refresh on the index has it. */
    if (rv == APR_SUCCESS && grant->issued > mark && grant->generation == 1 && provider && token->sid) {
        rv = mcp_not_before_get_session(conf->store, provider->name, token->sid, &mark, r->pool);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    return mark && grant->issued <= mark ? APR_EACCES : APR_SUCCESS;
}

apr_status_t mcp_person_session_ended(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_provider_t *provider,
                                      const char *sid)
{
    apr_time_t now = apr_time_now();
    /* A sign-in may wait for consent, and then its code for the client. */
    apr_time_t until = now + MCP_CONSENT_LIFETIME + conf->code_lifetime + apr_time_from_sec(60);

    return mcp_not_before_set_session(conf->store, provider->name, sid, now, until, r->pool) == APR_SUCCESS
               ? APR_SUCCESS
               : MCP_EDOWN;
}

/* ---- seen ---- */

apr_status_t mcp_person_list(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                             mcp_person_t *out)
{
    apr_array_header_t *living = apr_array_make(r->pool, 8, sizeof(mcp_person_entry_t));
    apr_status_t rv = mcp_person_get(conf->store, subject, out, r->pool);

    if (rv == MCP_EDOWN) {
        return rv;
    }
    for (int i = 0; i < out->entries->nelts; i++) {
        const mcp_person_entry_t *entry = &APR_ARRAY_IDX(out->entries, i, mcp_person_entry_t);
        mcp_grant_t grant;

        rv = mcp_grant_get(conf->store, entry->grant, &grant, r->pool);
        if (rv == MCP_EDOWN) {
            return rv;
        }
        /* The id is ours alone, so that the subject agrees as long as nobody mixes up two stores. */
        if (rv == APR_SUCCESS && !(grant.flags & MCP_GRANT_REVOKED)
            && !strcmp(grant.subject, subject)) {
            APR_ARRAY_PUSH(living, mcp_person_entry_t) = *entry;
        }
    }
    out->entries = living;
    return APR_SUCCESS;
}

/* ---- taken back ---- */

/* Until when a mark is needed: no token, code or remembered consent of before outlives it, unless the
 * backend drops it after 30 days. */
static apr_time_t mark_life(const mcp_oauth_conf_t *conf, apr_time_t now)
{
    apr_interval_time_t life = conf->refresh_lifetime;

    life = conf->access_lifetime > life ? conf->access_lifetime : life;
    life = conf->remember > life ? conf->remember : life;
    return now + life + apr_time_from_sec(600);
}

static int is_meant(const mcp_person_entry_t *entry, const char *client_key,
                    const unsigned char *sid, apr_time_t before)
{
    return (!client_key || !strcmp(entry->client_key, client_key))
           && (!sid || !memcmp(entry->sid, sid, MCP_SID_LEN))
           && apr_time_as_msec(entry->issued) <= apr_time_as_msec(before);
}

apr_status_t mcp_person_revoke(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                               const char *client_key, const unsigned char *sid, apr_time_t before,
                               const char *why, int *count)
{
    apr_time_t now = apr_time_now();
    unsigned char(*done)[MCP_ID_LEN];
    mcp_person_t person = { 0 };
    apr_status_t rv = APR_SUCCESS;
    int n = 0;

    before = before && before < now ? before : now;
    if (!sid) {
        rv = mcp_not_before_set(conf->store, subject, client_key, before, mark_life(conf, now),
                                r->pool);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_person_get(conf->store, subject, &person, r->pool);
    }
    if ((rv != APR_SUCCESS && rv != APR_NOTFOUND) || !person.entries) {
        return MCP_EDOWN;
    }
    done = apr_palloc(r->pool, sizeof(*done) * (apr_size_t)(person.entries->nelts + 1));
    for (int i = 0; i < person.entries->nelts; i++) {
        const mcp_person_entry_t *entry = &APR_ARRAY_IDX(person.entries, i, mcp_person_entry_t);

        if (is_meant(entry, client_key, sid, before)) {
            rv = mcp_session_revoke_listed(r, conf, entry->grant, why);
            if (rv == MCP_EDOWN) {
                return rv;
            }
            memcpy(done[n++], entry->grant, MCP_ID_LEN);
        }
    }
    if (n) {
        mcp_person_forgotten(r, conf, subject, (const unsigned char(*)[MCP_ID_LEN])done, n);
    }
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                  MCP_LOG(0283) "%d grants of \"%s\" to %s%s taken back: %s", n,
                  mcp_log_text(r->pool, subject), client_key ? "client=" : "all clients",
                  client_key ? client_key : "", why);
    if (count) {
        *count = n;
    }
    return APR_SUCCESS;
}

apr_status_t mcp_client_revoke(request_rec *r, const mcp_oauth_conf_t *conf, const char *client_key,
                               apr_time_t before, const char *why)
{
    apr_time_t now = apr_time_now();
    apr_status_t rv;

    before = before && before < now ? before : now;
    rv = mcp_not_before_set(conf->store, NULL, client_key, before, mark_life(conf, now), r->pool);
    if (rv == APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                      MCP_LOG(0284) "all grants to client=%s taken back: %s", client_key, why);
    }
    return rv == APR_SUCCESS ? rv : MCP_EDOWN;
}
