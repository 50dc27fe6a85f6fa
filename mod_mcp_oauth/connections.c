/* SPDX-License-Identifier: Apache-2.0 */
/* The connections page: a signed-in person sees which applications have access in her name, and takes it back.
 *
 * Forms (purpose mcpfa, sealed for this browser) carry
 *   { "k": "connections", "sub": whose page it was, "ck": client key, or absent for all, "cn": name }
 * and what has been done, as the redirect carries it, for the same browser
 *   { "k": "done", "b": browser tag, "cn": name, or absent for all }
 */

#include "connections.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define PATH "/connections"
#define DONE_LIFETIME apr_time_from_sec(60)

/* ---- the list ---- */

/* The client's row, made when this is its first grant. */
static json_t *row_of(json_t *rows, const mcp_person_entry_t *entry)
{
    json_t *row;
    size_t i;

    json_array_foreach (rows, i, row) {
        if (!strcmp(json_string_value(json_object_get(row, "ck")), entry->client_key)) {
            return row;
        }
    }
    row = json_object();
    mcp_put(row, "ck", entry->client_key);
    json_object_set_new(row, "resources", json_array());
    mcp_put(row, "scope_list", "");
    json_array_append_new(rows, row);
    return row;
}

static void add_text(json_t *list, const char *text)
{
    json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        if (!strcmp(json_string_value(item), text)) {
            return;
        }
    }
    json_array_append_new(list, json_string(text));
}

/* One of the client's grants: the earliest consent, the latest use, all that any of them allows. */
static void add_entry(request_rec *r, const mcp_oauth_conf_t *conf, json_t *row,
                      const mcp_person_entry_t *entry)
{
    const mcp_resource_t *resource = mcp_resource_by_uri(conf->shared, entry->resource);
    json_int_t since = json_integer_value(json_object_get(row, "since_ms")),
               used = json_integer_value(json_object_get(row, "used_ms"));
    const char *scopes = json_string_value(json_object_get(row, "scope_list"));
    char *list = apr_pstrdup(r->pool, entry->scope), *token, *last = NULL;

    if (!since || since > apr_time_as_msec(entry->issued)) {
        json_object_set_new(row, "since_ms", json_integer(apr_time_as_msec(entry->issued)));
    }
    if (used <= apr_time_as_msec(entry->used)) { /* the newest one tells what the client is */
        json_object_set_new(row, "used_ms", json_integer(apr_time_as_msec(entry->used)));
        mcp_put(row, "client",
                *entry->client_name ? entry->client_name
                                    : mcp_page_text(r, conf, "unnamed_client", NULL));
        mcp_put(row, "host", entry->host);
        mcp_put(row, "client_logo",
                mcp_client_logo_url(r, conf, entry->source - 1, entry->client_key, entry->logo));
        json_object_set_new(row, "unverified",
                            json_boolean(entry->source == MCP_CLIENT_REGISTERED + 1));
    }
    add_text(json_object_get(row, "resources"), resource ? resource->name : entry->resource);
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        if (!mcp_list_has(scopes, token)) {
            scopes = *scopes ? apr_pstrcat(r->pool, scopes, " ", token, NULL)
                             : apr_pstrdup(r->pool, token);
        }
    }
    json_object_set_new(row, "scope_list", json_string(scopes));
}

static const char *joined(apr_pool_t *p, const json_t *list)
{
    const char *text = "";

    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *item = json_string_value(json_array_get(list, i));

        text = i ? apr_pstrcat(p, text, ", ", item, NULL) : item;
    }
    return text;
}

static char *seal_form(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login,
                       const char *client_key, const char *client_name)
{
    json_t *json = mcp_json_own(r->pool, json_object());

    mcp_put(json, "k", "connections");
    mcp_put(json, "sub", login->subject);
    mcp_put(json, "ck", client_key);
    mcp_put(json, "cn", client_name);
    return mcp_page_form_seal(r, conf, MCP_PURPOSE_ACTION, json);
}

/* What the page shows of a row. */
static void finish_row(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login,
                       json_t *row)
{
    apr_time_t since = apr_time_from_msec(json_integer_value(json_object_get(row, "since_ms"))),
               used = apr_time_from_msec(json_integer_value(json_object_get(row, "used_ms")));

    mcp_put(row, "resource", joined(r->pool, json_object_get(row, "resources")));
    mcp_put(row, "since", mcp_page_date(r, conf, since));
    mcp_put(row, "last_used", mcp_page_date(r, conf, used));
    json_object_set_new(row, "scopes",
                        mcp_scopes_model(conf, r->pool,
                                         json_string_value(json_object_get(row, "scope_list"))));
    mcp_put(row, "form",
            seal_form(r, conf, login, json_string_value(json_object_get(row, "ck")),
                      json_string_value(json_object_get(row, "client"))));
}

static int by_use(const void *a, const void *b)
{
    const mcp_person_entry_t *x = a, *y = b;

    return x->used > y->used ? -1 : x->used < y->used;
}

static json_t *rows_of(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login,
                       const mcp_person_t *person)
{
    json_t *rows = json_array(), *row;
    size_t i;

    qsort(person->entries->elts, (size_t)person->entries->nelts, sizeof(mcp_person_entry_t),
          by_use);
    for (int k = 0; k < person->entries->nelts; k++) {
        const mcp_person_entry_t *entry = &APR_ARRAY_IDX(person->entries, k, mcp_person_entry_t);

        add_entry(r, conf, row_of(rows, entry), entry);
    }
    json_array_foreach (rows, i, row) {
        finish_row(r, conf, login, row);
    }
    return rows;
}

/* What has just been done, as the redirect after it carries it: nobody else can put a text there, not even one that
 * is about her own application, whose name she chose. */
static const char *done_text(request_rec *r, const mcp_oauth_conf_t *conf, const char *sealed)
{
    const char *browser = mcp_browser_get(r, conf);
    json_t *json, *model;
    const char *name, *text;

    if (!sealed || !browser
        || mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_ACTION, sealed, apr_time_now(), &json)
               != APR_SUCCESS
        || !(name = mcp_json_str(json, "k")) || strcmp(name, "done")
        || !mcp_secret_equal(mcp_json_str(json, "b"), mcp_browser_tag(r->pool, browser))) {
        return NULL;
    }
    name = mcp_json_str(json, "cn");
    if (!name) {
        return mcp_page_text(r, conf, "disconnected_all", NULL);
    }
    model = mcp_json_own(r->pool, json_object());
    mcp_put(model, "client", name);
    text = mcp_page_text(r, conf, "disconnected", model);
    return text;
}

static int list_page(request_rec *r, const mcp_oauth_conf_t *conf, const mcp_login_t *login,
                     const char *done)
{
    json_t *model, *signout;
    mcp_person_t person;
    apr_time_t since = 0, now = apr_time_now();

    if (mcp_person_list(r, conf, login->subject, &person) != APR_SUCCESS
        || mcp_store_since(conf->store, &since, r->pool) != APR_SUCCESS) {
        return mcp_page_error(r, conf, HTTP_SERVICE_UNAVAILABLE, MCP_PAGE_UNAVAILABLE,
                              "the store is down: who has access cannot be known now");
    }
    model = json_object();
    mcp_put(model, "title", mcp_page_text(r, conf, "connections_title", NULL));
    mcp_put(model, "account", login->username);
    mcp_put(model, "done", done_text(r, conf, done));
    /* Of what was given before the store began, and may still be in force, it can know nothing. */
    if (person.dropped || since > now - conf->refresh_lifetime) {
        if (person.dropped > since) {
            since = person.dropped;
        }
        mcp_put(model, "uncertain", mcp_page_date(r, conf, since));
    }
    json_object_set_new(model, "connections", rows_of(r, conf, login, &person));
    mcp_put(model, "action", apr_pstrcat(r->pool, conf->base_url, PATH, NULL));
    if (person.entries->nelts) {
        mcp_put(model, "all_form", seal_form(r, conf, login, NULL, NULL));
    }
    signout = mcp_json_own(r->pool, json_object());
    mcp_put(signout, "k", "signout");
    mcp_put(model, "signout_action", apr_pstrcat(r->pool, conf->base_url, "/signout", NULL));
    mcp_put(model, "signout_form", mcp_page_form_seal(r, conf, MCP_PURPOSE_ACTION, signout));
    return mcp_page_send(r, conf, HTTP_OK, MCP_VIEW_CONNECTIONS, model);
}

/* ---- requests ---- */

/* The sign-in for this page did not succeed. */
static int sign_in_failed(request_rec *r, const mcp_oauth_conf_t *conf, const char *error)
{
    const char *log =
        apr_psprintf(r->pool, "sign-in to the page ended with %s", mcp_log_text(r->pool, error));

    if (!strcmp(error, "access_denied")) {
        return mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_DENIED, log);
    }
    return mcp_page_error(r, conf, HTTP_SERVICE_UNAVAILABLE,
                          !strcmp(error, "temporarily_unavailable") ? MCP_PAGE_UNAVAILABLE
                                                                    : MCP_PAGE_PROVIDER,
                          log);
}

static int show(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *error;
    apr_array_header_t *form;
    mcp_login_t login;
    apr_status_t rv;

    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the query is malformed");
    }
    mcp_page_locales(r, mcp_form_get(form, "ui_locales"));
    error = mcp_form_get(form, "error");
    if (error) {
        return sign_in_failed(r, conf, error);
    }
    rv = mcp_login_get(r, conf, &login);
    if (rv == MCP_EDOWN) {
        return mcp_page_error(r, conf, HTTP_SERVICE_UNAVAILABLE, MCP_PAGE_UNAVAILABLE,
                              "the store is down: who has access cannot be known now");
    }
    if (rv == APR_SUCCESS) {
        return list_page(r, conf, &login, mcp_form_get(form, "done"));
    }
    if (mcp_clients_limit(r, conf, MCP_LIMIT_AUTHORIZE, NULL)) {
        return mcp_page_error(r, conf, HTTP_TOO_MANY_REQUESTS, MCP_PAGE_TOO_MANY,
                              "too many requests");
    }
    return mcp_login_begin(r, conf, PATH);
}

static int take_back(request_rec *r, mcp_oauth_conf_t *conf)
{
    json_t *json, *done = mcp_json_own(r->pool, json_object());
    const char *client_key, *subject, *kind;
    apr_array_header_t *form;
    mcp_login_t login;
    apr_status_t rv;

    if (mcp_page_form_open(r, conf, MCP_PURPOSE_ACTION, "form of the connections page", &form,
                           &json)
        != OK) {
        return OK;
    }
    kind = mcp_json_str(json, "k");
    subject = mcp_json_str(json, "sub");
    rv = mcp_login_get(r, conf, &login);
    if (rv == APR_NOTFOUND || (rv == APR_SUCCESS && (!subject || strcmp(subject, login.subject)))
        || !kind || strcmp(kind, "connections")) {
        return mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_EXPIRED,
                              "the person is not signed in any more, or another one is");
    }
    client_key = mcp_json_str(json, "ck");
    if (rv == APR_SUCCESS) {
        rv = mcp_person_revoke(r, conf, subject, client_key, NULL, 0, "by the person", NULL);
    }
    if (rv != APR_SUCCESS) {
        return mcp_page_error(r, conf, HTTP_SERVICE_UNAVAILABLE, MCP_PAGE_UNAVAILABLE,
                              "the store is down: access may not have been taken back");
    }
    if (!client_key) { /* the mark has ended this session, too, which the person did not ask for */
        login.at = apr_time_now() + apr_time_from_msec(2);
        mcp_login_set(r, conf, &login);
    }
    /* The mark may not live as long as a remembered consent. */
    mcp_consent_forget(r, conf);
    mcp_put(done, "k", "done");
    mcp_put(done, "b", mcp_browser_tag(r->pool, mcp_browser_ensure(r, conf)));
    mcp_put(done, "cn", mcp_json_str(json, "cn"));
    return mcp_page_redirect(r, apr_pstrcat(r->pool, conf->base_url, PATH "?done=",
                                            mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_ACTION,
                                                          done, apr_time_now() + DONE_LIFETIME),
                                            NULL));
}

int mcp_connections_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    switch (r->method_number) {
    case M_GET:
        return show(r, conf);
    case M_POST:
        return take_back(r, conf);
    default:
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD, POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
}
