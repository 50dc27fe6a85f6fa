/* SPDX-License-Identifier: Apache-2.0 */
/* Grants as this module writes them: token pairs, the ticket that makes a refresh token usable
 * once, and taking all of it back.
 *
 *   refresh token, inside the seal (purpose mcprt)
 *   { "i": issuer tag, "g": grant id, "n": generation, "ck": client key, "cn": client name,
 *     "sub":, "un": user name, "cl": claims, "res": resource, "sc": granted scope,
 *     "iat": consented at, "ms": and milliseconds, "ep": store epoch,
 *     "urt": the provider's refresh token, "sh", "oh": see mcp_refresh_t, "exp": }
 *   It is whole: after a loss of the store the grant is made anew from it (design principle 4).
 *
 *   record             id                     payload
 *   MCP_KIND_GRANT     grant id               see mcp_grant.h
 *   MCP_KIND_TICKET    grant id | generation  "1": this generation is still unused
 *   MCP_KIND_UPSTREAM  grant id               see mcp_upstream_token.h
 *   MCP_KIND_BLOCK     grant id               "1": taken back just now, see mcp_session_revoke()
 */

#include "oauth.h"

#include "connections.h"
#include "upstream_tokens.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* A mark of a revocation has to outlast any request that runs at the same time. */
#define REVOCATION_MARK apr_time_from_sec(600)

void mcp_ticket_id(const unsigned char id[MCP_ID_LEN], apr_uint32_t generation,
                   unsigned char out[MCP_TICKET_LEN])
{
    memcpy(out, id, MCP_ID_LEN);
    for (int i = 0; i < 4; i++) {
        out[MCP_ID_LEN + i] = (unsigned char)(generation >> (24 - 8 * i));
    }
}

/* ---- refresh tokens ---- */

static const char *seal_refresh(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                const mcp_refresh_t *token)
{
    const mcp_grant_t *grant = &token->grant;
    json_t *json = mcp_json_own(p, json_object());

    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "g", mcp_b64url_encode(p, grant->id, MCP_ID_LEN));
    json_object_set_new(json, "n", json_integer(grant->generation));
    mcp_put(json, "ck", grant->client_key);
    mcp_put(json, "cn", grant->client_name);
    mcp_put(json, "sub", grant->subject);
    mcp_put(json, "un", grant->username);
    mcp_put(json, "cl", grant->claims);
    mcp_put(json, "res", grant->resource);
    mcp_put(json, "sc", grant->scope);
    json_object_set_new(json, "iat", json_integer(apr_time_sec(grant->issued)));
    json_object_set_new(json, "ms", json_integer(apr_time_msec(grant->issued)));
    mcp_put(json, "sh", token->sid);
    mcp_put(json, "oh", token->sub);
    mcp_put(json, "ep", mcp_b64url_encode(p, token->epoch, sizeof(token->epoch)));
    mcp_put(json, "urt", token->upstream_refresh);
    return mcp_seal_json(p, conf->ring, MCP_PURPOSE_REFRESH, json, grant->expires);
}

static const char *text_or_empty(const json_t *json, const char *name)
{
    const char *text = mcp_json_str(json, name);

    return text ? text : "";
}

apr_status_t mcp_refresh_open(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *token,
                              mcp_refresh_t *out)
{
    mcp_grant_t *grant = &out->grant;
    const char *tag;
    apr_status_t rv;
    json_t *json;

    memset(out, 0, sizeof(*out));
    rv = mcp_unseal_json(p, conf->ring, MCP_PURPOSE_REFRESH, token, apr_time_now(), &json);
    if (rv != APR_SUCCESS && !APR_STATUS_IS_TIMEUP(rv)) {
        return APR_EINVAL;
    }
    tag = mcp_json_str(json, "i");
    if (!tag || strcmp(tag, conf->issuer_tag)
        || !mcp_b64url_read(p, mcp_json_str(json, "g"), grant->id, MCP_ID_LEN)
        || !mcp_b64url_read(p, mcp_json_str(json, "ep"), out->epoch, sizeof(out->epoch))) {
        return APR_EINVAL;
    }
    grant->generation = (apr_uint32_t)mcp_json_int(json, "n", 0);
    grant->issued = apr_time_from_sec(mcp_json_int(json, "iat", 0))
                    + apr_time_from_msec(mcp_json_int(json, "ms", 0));
    grant->expires = apr_time_from_sec(mcp_json_int(json, "exp", 0));
    grant->client_key = text_or_empty(json, "ck");
    grant->client_name = text_or_empty(json, "cn");
    grant->subject = text_or_empty(json, "sub");
    grant->username = text_or_empty(json, "un");
    grant->claims = text_or_empty(json, "cl");
    grant->resource = text_or_empty(json, "res");
    grant->scope = text_or_empty(json, "sc");
    out->upstream_refresh = mcp_json_str(json, "urt");
    out->sid = mcp_json_str(json, "sh");
    out->sub = mcp_json_str(json, "oh");
    return rv;
}

/* ---- issuing ---- */

int mcp_session_is_revoked(request_rec *r, const mcp_oauth_conf_t *conf,
                           const unsigned char id[MCP_ID_LEN])
{
    unsigned char *data;
    apr_size_t len;

    return mcp_store_get(conf->store, MCP_KIND_BLOCK, id, MCP_ID_LEN, &data, &len, r->pool)
           == APR_SUCCESS;
}

static json_t *token_answer(request_rec *r, const mcp_oauth_conf_t *conf,
                            const mcp_refresh_t *token, const mcp_grant_t *record, apr_time_t now)
{
    apr_time_t expires = record->access_expires;
    json_t *json = mcp_json_own(r->pool, json_object());

    mcp_put(json, "access_token", mcp_access_token_issue(r->pool, conf->ring, record, expires));
    mcp_put(json, "token_type", "Bearer");
    json_object_set_new(json, "expires_in", json_integer(apr_time_sec(expires - now)));
    mcp_put(json, "refresh_token", seal_refresh(r->pool, conf, token));
    mcp_put(json, "scope", *record->scope ? record->scope : NULL); /* granted, not asked for */
    return json;
}

apr_status_t mcp_session_issue(request_rec *r, const mcp_oauth_conf_t *conf, mcp_refresh_t *token,
                               const char *scope, const mcp_identity_t *upstream, json_t **answer)
{
    unsigned char ticket[MCP_TICKET_LEN];
    apr_time_t now = apr_time_now();
    mcp_grant_t record;
    apr_status_t rv;

    token->grant.expires = now + conf->refresh_lifetime;
    record = token->grant;
    record.scope = scope;
    record.access_expires = now + conf->access_lifetime;
    if (record.access_expires > record.expires) {
        record.access_expires = record.expires;
    }
    rv = mcp_store_epoch(conf->store, token->epoch, r->pool);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    mcp_ticket_id(record.id, record.generation, ticket);
    rv = mcp_store_put(conf->store, MCP_KIND_TICKET, ticket, sizeof(ticket), record.expires, "1", 1,
                       r->pool);
    if (rv == APR_SUCCESS) {
        rv = mcp_grant_put(conf->store, &record, r->pool);
    }
    if (rv == APR_SUCCESS && upstream) {
        rv = mcp_tokens_put(r, conf, record.id, record.expires, upstream);
    }
    if (rv != APR_SUCCESS) {
        return rv;
    }
    *answer = token_answer(r, conf, token, &record, now);
    mcp_person_noted(r, conf, token, &record);
    /* A revocation that ran beside this left its mark before it wrote its tombstone: either the
     * mark is seen here, or the tombstone has just replaced what was written above. */
    if (mcp_session_is_revoked(r, conf, record.id)) {
        mcp_session_revoke(r, conf, record.id, "it was taken back while tokens were issued");
        return APR_EGENERAL;
    }
    /* The same for all that was taken back at once: whoever does that leaves the mark before it
     * reads the index, which was written above. */
    rv = mcp_person_barred(r, conf, token);
    if (rv == APR_EACCES) {
        mcp_session_revoke(r, conf, record.id, "all that was granted before was taken back");
    }
    return rv;
}

/* ---- taking back ---- */

/* As mcp_session_revoke(); *subject is set when the person index may list the grant. */
static apr_status_t take_back(request_rec *r, const mcp_oauth_conf_t *conf,
                              const unsigned char id[MCP_ID_LEN], const char *why,
                              const char **subject)
{
    apr_time_t now = apr_time_now();
    unsigned char ticket[MCP_TICKET_LEN];
    mcp_grant_t grant;
    apr_status_t rv;

    *subject = NULL;
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, MCP_LOG(0252) "grant %s revoked: %s",
                  mcp_mask(r->pool, mcp_b64url_encode(r->pool, id, MCP_ID_LEN)), why);
    mcp_event(r, MCP_EVENT_REVOCATION,
              &(mcp_event_t){ .outcome = "ok", .detail = why, .grant = id });
    rv = mcp_store_put(conf->store, MCP_KIND_BLOCK, id, MCP_ID_LEN, now + REVOCATION_MARK, "1", 1,
                       r->pool);
    if (rv == MCP_EDOWN) {
        return rv;
    }
    if (mcp_grant_get(conf->store, id, &grant, r->pool) == APR_SUCCESS) {
        mcp_ticket_id(id, grant.generation, ticket);
        mcp_store_remove(conf->store, MCP_KIND_TICKET, ticket, sizeof(ticket), r->pool);
        *subject = grant.flags & MCP_GRANT_REVOKED ? NULL : grant.subject;
    }
    return mcp_grant_revoke(conf->store, id, now + conf->refresh_lifetime, r->pool);
}

apr_status_t mcp_session_revoke_listed(request_rec *r, const mcp_oauth_conf_t *conf,
                                       const unsigned char id[MCP_ID_LEN], const char *why)
{
    const char *subject;

    return take_back(r, conf, id, why, &subject);
}

apr_status_t mcp_session_revoke(request_rec *r, const mcp_oauth_conf_t *conf,
                                const unsigned char id[MCP_ID_LEN], const char *why)
{
    const char *subject;
    apr_status_t rv = take_back(r, conf, id, why, &subject);

    if (rv == APR_SUCCESS && subject) {
        mcp_person_forgotten(r, conf, subject, (const unsigned char(*)[MCP_ID_LEN])id, 1);
    }
    return rv;
}
