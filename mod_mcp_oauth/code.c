/* SPDX-License-Identifier: Apache-2.0 */
/* A person is known: the authorization code, or, where another person's consent had opened the way,
 * the consent page.
 *
 *   code, inside the seal (purpose mcpac)
 *   { "c": code id, "g": grant id, "ck": client key, "rh": hash of redirect URI,
 *     "cc": code challenge, "rs": resource, "i": issuer tag, "exp": }
 *
 *   its record (MCP_KIND_CODE, under the code id): what the grant will be
 *   { "sub":, "un": user name, "cl": claims, "sc": scope, "cn": client name,
 *     "iat": signed in at, "ms": and milliseconds, "sh", "oh": see mcp_refresh_t,
 *     "up": { "at":, "rt":, "exp":, "got":, "scope": } }
 *
 *   the same (MCP_KIND_PARKED, under an id that is sealed into the consent form): it waits for the
 *   person's answer, and is taken once
 */

#include "oauth.h"

#include "connections.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_event.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

static json_t *record_of(request_rec *r, const mcp_identity_t *who, const mcp_authz_t *authz)
{
    apr_time_t now = apr_time_now();
    json_t *json = mcp_json_own(r->pool, json_object()), *up = json_object();

    mcp_put(json, "sub", who->subject);
    mcp_put(json, "un", who->username);
    mcp_put(json, "cl", who->claims);
    mcp_put(json, "cn", authz->client_name);
    json_object_set_new(json, "iat", json_integer(apr_time_sec(now)));
    json_object_set_new(json, "ms", json_integer(apr_time_msec(now)));
    mcp_put(json, "sh", mcp_person_sid(r->pool, who));
    mcp_put(json, "oh", mcp_person_sub(r->pool, who));
    mcp_put(up, "at", who->access_token);
    mcp_put(up, "rt", who->refresh_token);
    mcp_put(up, "scope", who->scope);
    json_object_set_new(up, "exp", json_integer(apr_time_sec(who->expires)));
    json_object_set_new(up, "got", json_integer(apr_time_sec(who->obtained)));
    json_object_set_new(json, "up", up);
    return json;
}

/* A provider's access token can be too large for the store; the grant does without it then (E7). */
static apr_status_t put_record(request_rec *r, const mcp_oauth_conf_t *conf, mcp_kind_e kind,
                               const unsigned char id[MCP_ID_LEN], apr_time_t expires,
                               json_t *record)
{
    const char *text = mcp_json_text(r->pool, record);
    apr_status_t rv = mcp_store_put(conf->store, kind, id, MCP_ID_LEN, expires, text, strlen(text),
                                    r->pool);

    if (rv == APR_EINVAL && !json_object_del(json_object_get(record, "up"), "at")) {
        text = mcp_json_text(r->pool, record);
        rv = mcp_store_put(conf->store, kind, id, MCP_ID_LEN, expires, text, strlen(text), r->pool);
    }
    return rv;
}

static int cannot_store(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                        apr_status_t rv)
{
    ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r,
                  MCP_LOG(0242) "the sign-in for client=%s cannot be stored", authz->client_key);
    return mcp_authz_error(r, conf, authz,
                           rv == MCP_EDOWN ? "temporarily_unavailable" : "server_error",
                           "the sign-in cannot be completed just now");
}

/* Consent and person are there: the code goes to the client. */
static int give_code(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                     json_t *record)
{
    unsigned char code_id[MCP_ID_LEN], grant_id[MCP_ID_LEN];
    apr_time_t expires = apr_time_now() + conf->code_lifetime;
    apr_status_t rv;
    json_t *json;

    mcp_random(code_id, sizeof(code_id));
    mcp_random(grant_id, sizeof(grant_id));
    mcp_put(record, "sc", authz->scope);
    rv = put_record(r, conf, MCP_KIND_CODE, code_id, expires, record);
    if (rv != APR_SUCCESS) {
        return cannot_store(r, conf, authz, rv);
    }
    json = mcp_json_own(r->pool, json_object());
    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "c", mcp_b64url_encode(r->pool, code_id, MCP_ID_LEN));
    mcp_put(json, "g", mcp_b64url_encode(r->pool, grant_id, MCP_ID_LEN));
    mcp_put(json, "ck", authz->client_key);
    mcp_put(json, "rh", mcp_sha256_b64url(r->pool, authz->redirect_uri));
    mcp_put(json, "cc", authz->challenge);
    mcp_put(json, "rs", authz->resource);
    return mcp_authz_code(r, conf, authz,
                          mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_CODE, json, expires));
}

/* What is remembered is another person's, or not hers any more: she is asked, and what the sign-in
 * brought waits. */
static int ask_again(request_rec *r, mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                     const mcp_identity_t *who)
{
    unsigned char id[MCP_ID_LEN];
    mcp_client_t client = { 0 };
    apr_status_t rv;

    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0236) "\"%s\" is asked for consent to client=%s: what this browser "
                                "remembers is not this person's",
                  mcp_log_text(r->pool, who->subject), authz->client_key);
    if (mcp_authz_no_page(authz)) {
        return mcp_authz_error(r, conf, authz, "consent_required",
                               "the person has to be asked for consent");
    }
    mcp_random(id, sizeof(id));
    rv = put_record(r, conf, MCP_KIND_PARKED, id, apr_time_now() + MCP_CONSENT_LIFETIME,
                    record_of(r, who, authz));
    if (rv != APR_SUCCESS) {
        return cannot_store(r, conf, authz, rv);
    }
    client.source = (mcp_client_source_e)authz->client_source;
    client.key = authz->client_key;
    client.name = authz->client_name;
    client.host = authz->client_host;
    client.uri = authz->client_uri;
    client.logo_uri = authz->client_logo;
    return mcp_consent_page(r, conf, &client, authz, who->username,
                            mcp_b64url_encode(r->pool, id, MCP_ID_LEN));
}

int mcp_sign_in_done(request_rec *r, mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                     const mcp_identity_t *who)
{
    if (!authz->silent) { /* she has just answered the page */
        mcp_remember(r, conf, authz, who->subject);
    }
    else if (!mcp_remembered_by(r, conf, authz, who->subject)) {
        return ask_again(r, conf, authz, who);
    }
    else {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                      MCP_LOG(0237) "remembered consent of \"%s\" to client=%s resource=%s "
                                    "scope=\"%s\" is used",
                      mcp_log_text(r->pool, who->subject), authz->client_key, authz->resource,
                      authz->scope);
        mcp_event(r, MCP_EVENT_CONSENT,
                  &(mcp_event_t){ .outcome = "ok",
                                  .detail = "remembered",
                                  .person = who->subject,
                                  .username = who->username,
                                  .client = authz->client_key,
                                  .client_name = authz->client_name,
                                  .resource = authz->resource,
                                  .scope = authz->scope,
                                  .target = authz->redirect_uri });
    }
    return give_code(r, conf, authz, record_of(r, who, authz));
}

int mcp_parked_answer(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_authz_t *authz,
                      const char *parked, int allowed)
{
    unsigned char *id, *data;
    apr_size_t id_len, len;
    apr_status_t rv = mcp_b64url_decode(r->pool, parked, strlen(parked), &id, &id_len);
    json_t *record = NULL;

    if (rv == APR_SUCCESS) {
        rv = mcp_store_take(conf->store, MCP_KIND_PARKED, id, id_len, &data, &len, r->pool);
    }
    if (rv == APR_SUCCESS) {
        record = mcp_json_parse(r->pool, (const char *)data, len, len);
    }
    if (rv != MCP_EDOWN && (!record || !mcp_json_str(record, "sub"))) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
                              "the consent form was answered already");
    }
    if (!allowed) { /* what could not be taken away expires by itself */
        mcp_remember_denial(r, conf, authz);
        return mcp_authz_error(r, conf, authz, "access_denied", "the person denied access");
    }
    if (rv != APR_SUCCESS) {
        return cannot_store(r, conf, authz, rv);
    }
    mcp_remember(r, conf, authz, mcp_json_str(record, "sub"));
    return give_code(r, conf, authz, record);
}
