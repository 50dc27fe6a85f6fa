/* SPDX-License-Identifier: Apache-2.0 */
/* The administration location: what mcpctl talks to. Off unless a location says `SetHandler mcp-admin`, and protected by
 * whatever httpd has (Require): this file asks nobody who they are.
 *
 *   GET  …/status                              keys, store, audit log
 *   GET  …/sessions?person=SUBJECT[&client=]   what a person gave to clients
 *   GET  …/sessions?grant=ID                   one grant
 *   POST …/revoke        { person, client, grant, before }    take back; one of the first three at least
 *   POST …/block-client  { client }            nothing is given to this client any more, nor honoured
 *
 * POSTs are JSON with that media type, which no form of another site can send (CSRF).
 */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define BODY_MAX 8192
/* A block outlives every grant; memcached and redis keep records for 30 days at most (craft finding 4). */
#define BLOCK_TIME apr_time_from_sec(30 * 24 * 3600)

static int answer(request_rec *r, json_t *json)
{
    mcp_no_store(r);
    return mcp_send_json(r, HTTP_OK, json);
}

static void put_time(json_t *json, const char *name, apr_time_t t)
{
    if (t) {
        json_object_set_new(json, name, json_integer(apr_time_sec(t)));
    }
}

/* ---- what is there ---- */

static int tell_status(request_rec *r, mcp_oauth_conf_t *conf)
{
    json_t *json = json_object();
    mcp_audit_state_t audit;
    unsigned char epoch[8];

    mcp_put(json, "issuer", conf->shared->issuer);
    mcp_put(json, "key", mcp_keyring_active_kid(conf->ring));
    mcp_put(json, "store",
            mcp_store_epoch(conf->store, epoch, r->pool) == APR_SUCCESS ? "up" : "down");
    json_object_set_new(json, "store_is_shared", json_boolean(mcp_store_is_shared(conf->store)));
    if (mcp_audit_state(&audit)) {
        json_object_set_new(json, "audit",
                            json_pack("{s:s, s:I, s:I}", "state", audit.failing ? "failing" : "up",
                                      "written", (json_int_t)audit.written, "lost",
                                      (json_int_t)audit.lost));
    }
    return answer(r, json);
}

static json_t *session_json(apr_pool_t *p, const unsigned char grant[MCP_ID_LEN],
                            const char *client_key, const char *client_name, const char *scope,
                            const char *resource)
{
    json_t *json = json_object();

    mcp_put(json, "grant", mcp_b64url_encode(p, grant, MCP_ID_LEN));
    mcp_put(json, "client", client_key);
    mcp_put(json, "client_name", client_name);
    mcp_put(json, "scope", scope);
    mcp_put(json, "resource", resource);
    return json;
}

static int one_grant(request_rec *r, mcp_oauth_conf_t *conf, const char *text)
{
    unsigned char id[MCP_ID_LEN];
    mcp_grant_t grant;
    apr_status_t rv;
    json_t *json;

    if (!mcp_b64url_read(r->pool, text, id, sizeof(id))) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "this is no grant id");
    }
    rv = mcp_grant_get(conf->store, id, &grant, r->pool);
    if (rv == MCP_EDOWN) {
        return mcp_send_store_down(r);
    }
    if (rv != APR_SUCCESS) {
        return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "not_found", "no such grant lives");
    }
    json = session_json(r->pool, id, grant.client_key, grant.client_name, grant.scope,
                        grant.resource);
    mcp_put(json, "person", grant.subject);
    json_object_set_new(json, "revoked", json_boolean(grant.flags & MCP_GRANT_REVOKED));
    put_time(json, "issued", grant.issued);
    put_time(json, "expires", grant.expires);
    return answer(r, json);
}

static int sessions(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *person, *client;
    apr_array_header_t *form;
    mcp_person_t list;
    json_t *json, *all;

    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS
        || mcp_form_duplicate(form)) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "the query is malformed");
    }
    if (mcp_form_get(form, "grant")) {
        return one_grant(r, conf, mcp_form_get(form, "grant"));
    }
    person = mcp_form_get(form, "person");
    client = mcp_form_get(form, "client");
    if (!person || !*person) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                    "person or grant is missing; a person is a subject, provider|sub");
    }
    if (mcp_person_list(r, conf, person, &list) != APR_SUCCESS) {
        return mcp_send_store_down(r);
    }
    all = json_array();
    for (int i = 0; i < list.entries->nelts; i++) {
        const mcp_person_entry_t *entry = &APR_ARRAY_IDX(list.entries, i, mcp_person_entry_t);
        json_t *one;

        if (client && strcmp(client, entry->client_key)) {
            continue;
        }
        one = session_json(r->pool, entry->grant, entry->client_key, entry->client_name,
                           entry->scope, entry->resource);
        put_time(one, "issued", entry->issued);
        put_time(one, "used", entry->used);
        put_time(one, "expires", entry->expires);
        json_array_append_new(all, one);
    }
    json = json_object();
    mcp_put(json, "person", person);
    /* of what was before, the index knows nothing */
    put_time(json, "known_since", list.since);
    put_time(json, "incomplete_since", list.dropped);
    json_object_set_new(json, "sessions", all);
    return answer(r, json);
}

/* ---- acts ---- */

static void tell(request_rec *r, const char *act, const char *person, const char *client,
                 const unsigned char *grant)
{
    mcp_event_t event = { .outcome = "ok", .detail = act, .person = person, .client = client };

    event.grant = grant;
    event.username = r->user; /* who did it */
    mcp_event(r, MCP_EVENT_ADMIN, &event);
    ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r,
                  MCP_LOG(0296) "administrator %s: %s person=\"%s\" client=%s",
                  r->user ? mcp_log_text(r->pool, r->user) : "-", act,
                  person ? mcp_log_text(r->pool, person) : "-",
                  client ? mcp_log_text(r->pool, client) : "-");
}

static int read_json(request_rec *r, json_t **json)
{
    apr_size_t len;
    char *body;

    if (!mcp_content_type_is(r, "application/json")) {
        mcp_send_oauth_error(r, HTTP_UNSUPPORTED_MEDIA_TYPE, "invalid_request", "send application/json");
        return DONE;
    }
    if (mcp_read_body(r, BODY_MAX, &body, &len) != OK
        || !(*json = mcp_json_parse(r->pool, body, len, BODY_MAX))) {
        mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "the body is no JSON object");
        return DONE;
    }
    return OK;
}

static int take_back(request_rec *r, mcp_oauth_conf_t *conf, const json_t *json)
{
    const char *person = mcp_json_str(json, "person"), *client = mcp_json_str(json, "client");
    const char *grant = mcp_json_str(json, "grant");
    json_int_t seconds = mcp_json_int(json, "before", 0);
    apr_time_t before;
    unsigned char id[MCP_ID_LEN];
    apr_status_t rv;
    int count = 0;

    if (!person && !client && !grant) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request",
                                    "person, client or grant is missing");
    }
    if (seconds < 0 || seconds > apr_time_sec(apr_time_now())) { /* in seconds: a huge number must not become some time */
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "before is in the future");
    }
    before = apr_time_from_sec(seconds);
    if (grant && (person || client || before || !mcp_b64url_read(r->pool, grant, id, sizeof(id)))) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "a grant stands alone");
    }
    if (grant) {
        rv = mcp_session_revoke(r, conf, id, "an administrator took it back");
        count = rv == APR_SUCCESS;
    }
    else if (person) {
        rv = mcp_person_revoke(r, conf, person, client, NULL, before,
                               "an administrator took it back", &count);
    }
    else {
        rv = mcp_client_revoke(r, conf, client, before, "an administrator took it back");
    }
    if (rv != APR_SUCCESS) {
        return mcp_send_store_down(r);
    }
    tell(r, "revoke", person, client, grant ? id : NULL);
    return answer(r, json_pack("{s:i}", "revoked", count));
}

static int block_client(request_rec *r, mcp_oauth_conf_t *conf, const json_t *json)
{
    const char *client = mcp_json_str(json, "client");
    apr_time_t until = apr_time_now() + BLOCK_TIME;

    if (!client) {
        return mcp_send_oauth_error(r, HTTP_BAD_REQUEST, "invalid_request", "client is missing");
    }
    /* What is granted before a time that is still to come is refused too. */
    if (mcp_not_before_set(conf->store, NULL, client, until, until, r->pool) != APR_SUCCESS) {
        return mcp_send_store_down(r);
    }
    tell(r, "block-client", NULL, client, NULL);
    json_t *out = json_object();
    put_time(out, "blocked_until", until);
    return answer(r, out);
}

int mcp_admin_handler(request_rec *r)
{
    static const struct {
        const char *name;
        int (*get)(request_rec *r, mcp_oauth_conf_t *conf);
        int (*post)(request_rec *r, mcp_oauth_conf_t *conf, const json_t *json);
    } acts[] = {
        { "status", tell_status, NULL },
        { "sessions", sessions, NULL },
        { "revoke", NULL, take_back },
        { "block-client", NULL, block_client },
    };
    mcp_oauth_conf_t *conf = mcp_oauth_conf(r);
    const char *name;
    json_t *json;

    if (!r->handler || strcmp(r->handler, "mcp-admin")) {
        return DECLINED;
    }
    if (!conf->enabled || !conf->store) {
        return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "not_found", "no authorization server runs on this host");
    }
    if (!mcp_audit_is_ready()) {
        return mcp_send_unavailable(r, "the audit log cannot be written");
    }
    name = strrchr(r->uri, '/');
    for (apr_size_t i = 0; name && i < sizeof(acts) / sizeof(*acts); i++) {
        if (strcmp(name + 1, acts[i].name)) {
            continue;
        }
        if (r->method_number == M_GET && acts[i].get) {
            return acts[i].get(r, conf);
        }
        if (r->method_number == M_POST && acts[i].post) {
            return read_json(r, &json) == OK ? acts[i].post(r, conf, json) : OK;
        }
        apr_table_setn(r->headers_out, "Allow", acts[i].get ? "GET" : "POST");
        return mcp_send_oauth_error(r, HTTP_METHOD_NOT_ALLOWED, "invalid_request", "another method is needed");
    }
    return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "not_found",
                                "known are status, sessions, revoke and block-client");
}
