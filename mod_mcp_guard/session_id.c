/* SPDX-License-Identifier: Apache-2.0 */
/* MCP session ids, sealed for the person and client that opened the session (session_id.h). */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define HEADER "Mcp-Session-Id"
#define PREFIX "mcpms."
#define PREFIX_LEN (sizeof(PREFIX) - 1)
#define VERSION 1
#define ID_MAX 2048            /* of a backend's id; sealed it stays below LimitRequestFieldSize */
#define SHOWN_MAX 4096         /* of a sealed one */
#define STATELESS "2026-07-28" /* first revision without sessions; later ones compare greater */
#define SESSION_NOT_FOUND (-32001)

static const mcp_keyring_t *keyring; /* set in post_config, inherited by the children */

void mcp_session_id_init(const mcp_keyring_t *ring)
{
    keyring = ring;
}

/* ---- directives ---- */

void mcp_session_id_conf_init(mcp_session_id_conf_t *conf)
{
    conf->bind = -1;
    conf->params = NULL;
}

void mcp_session_id_conf_inherit(mcp_session_id_conf_t *conf, const mcp_session_id_conf_t *base)
{
    if (conf->bind < 0) {
        conf->bind = base->bind;
    }
    if (!conf->params) {
        conf->params = base->params;
    }
}

const char *mcp_set_session_binding(cmd_parms *cmd, void *dir, int flag)
{
    ((mcp_guard_dir_t *)dir)->ids.bind = flag;
    return NULL;
}

const char *mcp_set_session_param(cmd_parms *cmd, void *dir, const char *arg)
{
    mcp_session_id_conf_t *conf = &((mcp_guard_dir_t *)dir)->ids;
    apr_array_header_t *params;
    const char *c;

    if (!conf->params) {
        conf->params = apr_array_make(cmd->pool, 3, sizeof(const char *));
    }
    if (!ap_cstr_casecmp(arg, "none")) {
        return NULL;
    }
    for (c = arg; *c; c++) {
        if (!apr_isalnum(*c) && *c != '_' && *c != '-') {
            return apr_pstrcat(cmd->pool, "MCPGuardSessionParam takes names of query parameters, such as sessionId, not ",
                               arg, NULL);
        }
    }
    params = (apr_array_header_t *)conf->params;
    APR_ARRAY_PUSH(params, const char *) = arg;
    return NULL;
}

/* ---- sealing ---- */

/* For whom an id is: the associated data of its seal. */
static unsigned char *holder(apr_pool_t *p, const mcp_guard_request_t *req, apr_size_t *len)
{
    apr_size_t subject = strlen(req->session->subject) + 1;
    apr_size_t client = strlen(req->session->client) + 1;
    apr_size_t resource = strlen(req->resource->uri) + 1;
    unsigned char *text = apr_palloc(p, subject + client + resource);

    memcpy(text, req->session->subject, subject);
    memcpy(text + subject, req->session->client, client);
    memcpy(text + subject + client, req->resource->uri, resource);
    *len = subject + client + resource;
    return text;
}

static const char *seal(request_rec *r, const mcp_guard_request_t *req, const char *id, apr_size_t id_len)
{
    const char *route = apr_table_get(r->subprocess_env, "BALANCER_WORKER_ROUTE");
    apr_size_t route_len = route ? strlen(route) : 0;
    unsigned char *plain;
    unsigned char *who;
    unsigned char *raw;
    apr_size_t who_len;
    apr_size_t raw_len;

    if (!id_len || id_len > ID_MAX || route_len > 255) {
        return NULL;
    }
    plain = apr_palloc(r->pool, 2 + route_len + id_len);
    plain[0] = VERSION;
    plain[1] = (unsigned char)route_len;
    if (route_len) {
        memcpy(plain + 2, route, route_len); /* NOLINT(bugprone-not-null-terminated-result): its length stands before it */
    }
    memcpy(plain + 2 + route_len, id, id_len);
    who = holder(r->pool, req, &who_len);
    mcp_seal_raw(r->pool, keyring, MCP_PURPOSE_SESSION, who, who_len, plain, 2 + route_len + id_len, &raw, &raw_len);
    return apr_pstrcat(r->pool, PREFIX, mcp_b64url_encode(r->pool, raw, raw_len), NULL);
}

/* The backend's id; NULL: not one that this person and client was given. */
static const char *unseal(request_rec *r, const mcp_guard_request_t *req, const char *shown, const char **route)
{
    apr_size_t len = strlen(shown);
    unsigned char *who;
    unsigned char *raw;
    unsigned char *plain;
    apr_size_t who_len;
    apr_size_t raw_len;
    apr_size_t plain_len;

    if (len > SHOWN_MAX || strncmp(shown, PREFIX, PREFIX_LEN)
        || mcp_b64url_decode(r->pool, shown + PREFIX_LEN, len - PREFIX_LEN, &raw, &raw_len) != APR_SUCCESS) {
        return NULL;
    }
    who = holder(r->pool, req, &who_len);
    if (mcp_unseal_raw(r->pool, keyring, MCP_PURPOSE_SESSION, who, who_len, raw, raw_len, &plain, &plain_len)
            != APR_SUCCESS
        || plain_len < 3 || plain[0] != VERSION || plain_len <= (apr_size_t)plain[1] + 2) {
        return NULL;
    }
    if (plain[1]) {
        *route = apr_pstrmemdup(r->pool, (char *)plain + 2, plain[1]);
    }
    return apr_pstrmemdup(r->pool, (char *)plain + 2 + plain[1], plain_len - 2 - plain[1]);
}

/* A name for logs and limits: it tells sessions apart and opens none. */
static void publish(request_rec *r, const char *id)
{
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(id, strlen(id), digest);
    apr_table_setn(r->subprocess_env, "MCP_SESSION", mcp_b64url_encode(r->pool, digest, 12));
}

/* ---- what the client shows ---- */

/* Was this opened already, for the request that this one came from? Then it is the backend's id by now. */
static int opened_before(const request_rec *r, const char *id)
{
    const request_rec *from;
    int i;

    for (from = mcp_guard_came_from(r); from; from = mcp_guard_came_from(from)) {
        const mcp_guard_request_t *req = ap_get_module_config(from->request_config, &mcp_guard_module);

        for (i = 0; req && req->ids.opened && i < req->ids.opened->nelts; i++) {
            if (!strcmp(APR_ARRAY_IDX(req->ids.opened, i, const char *), id)) {
                return 1;
            }
        }
    }
    return 0;
}

static const char *open_one(request_rec *r, mcp_guard_request_t *req, const char *shown)
{
    const char *id = unseal(r, req, shown, &req->ids.route);

    if (!id) {
        if (!opened_before(r, shown)) {
            return NULL;
        }
        id = shown;
    }
    if (!req->ids.opened) {
        req->ids.opened = apr_array_make(r->pool, 2, sizeof(const char *));
    }
    APR_ARRAY_PUSH(req->ids.opened, const char *) = id;
    return id;
}

/* Does a query parameter carry a session? What backends make of a name is not ours to know: letter case, white space
 * in front, and the brackets of arrays and objects do not count. */
static int is_session_param(const mcp_session_id_conf_t *conf, const char *name)
{
    static const char *const usual[] = { "sessionId", "session_id", "azmcpcs" };
    int n = conf->params ? conf->params->nelts : (int)(sizeof(usual) / sizeof(*usual));
    int i;

    name += strspn(name, " \t\r\n\v\f+[");
    for (i = 0; i < n; i++) {
        const char *rest;

        if (mcp_name_begins(name, conf->params ? APR_ARRAY_IDX(conf->params, i, const char *) : usual[i], &rest)
            && !apr_isalnum(*rest) && *rest != '_' && *rest != '-') {
            return 1;
        }
    }
    return 0;
}

/* What becomes of the value of a session parameter; NULL: it may not pass. */
typedef const char *map_value_fn(request_rec *r, mcp_guard_request_t *req, const char *value, apr_size_t len);

/* @a query with its session parameters mapped, everything else byte for byte. NULL: one of them may not pass. */
static const char *map_query(request_rec *r, mcp_guard_request_t *req, const char *query, map_value_fn *map)
{
    const char *done = query; /* what comes before this is in out */
    const char *out = "";
    const char *at = query;

    while (*at) {
        apr_size_t len = strcspn(at, "&;"); /* some backends separate by either */
        const char *equals = memchr(at, '=', len);
        apr_size_t name_len = equals ? (apr_size_t)(equals - at) : len;

        if (is_session_param(&req->dir->ids, mcp_percent_decode(r->pool, at, name_len))) {
            const char *value = equals ? map(r, req, equals + 1, len - name_len - 1) : NULL;

            if (!value) {
                return NULL;
            }
            out = apr_pstrcat(r->pool, out, apr_pstrmemdup(r->pool, done, (apr_size_t)(equals + 1 - done)), value, NULL);
            done = at + len;
        }
        at += len + (at[len] != '\0');
    }
    return done == query ? query : apr_pstrcat(r->pool, out, done, NULL);
}

static const char *open_value(request_rec *r, mcp_guard_request_t *req, const char *value, apr_size_t len)
{
    const char *shown = mcp_percent_decode(r->pool, value, len);
    const char *id = open_one(r, req, shown);

    if (!id) {
        /* What was opened before stands as the backend wrote it, percent-encoding and all. */
        id = open_one(r, req, apr_pstrmemdup(r->pool, value, len));
    }
    if (id) {
        publish(r, id);
    }
    return id;
}

static const char *seal_value(request_rec *r, mcp_guard_request_t *req, const char *value, apr_size_t len)
{
    return seal(r, req, value, len);
}

static int refuse(request_rec *r, const mcp_guard_request_t *req, const char *what)
{
    mcp_guard_note_error(r, "unknown_session");
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0480) "%s: no session that grant %s's person and client opened; answering 404", what,
                  req->session->grant);
    return mcp_guard_rpc_error(r, HTTP_NOT_FOUND, SESSION_NOT_FOUND, "Session not found", NULL);
}

/* In a revision without sessions the header means nothing (TR-3); a client that serves both may still send it. */
static int is_stateless(request_rec *r)
{
    const char *version = apr_table_get(r->headers_in, "MCP-Protocol-Version");

    return version && strcmp(version, STATELESS) >= 0;
}

/* The query stands in r->args, or in the URL itself (nocanon, mod_rewrite). */
static int open_queries(request_rec *r, mcp_guard_request_t *req)
{
    const char *query;
    char *mark;

    if (r->args) {
        query = map_query(r, req, r->args, open_value);
        if (!query) {
            return 0;
        }
        r->args = (char *)query;
    }
    if (r->filename && !strncmp(r->filename, "proxy:", 6) && (mark = strchr(r->filename, '?'))) {
        query = map_query(r, req, mark + 1, open_value);
        if (!query) {
            return 0;
        }
        if (query != mark + 1) {
            r->filename = apr_pstrcat(
                r->pool, apr_pstrmemdup(r->pool, r->filename, (apr_size_t)(mark + 1 - r->filename)), query, NULL);
        }
    }
    return 1;
}

int mcp_session_ids_open(request_rec *r, mcp_guard_request_t *req)
{
    const char *shown = apr_table_get(r->headers_in, HEADER);

    if (!req->dir->ids.bind) {
        return OK;
    }
    if (shown) {
        const char *id = open_one(r, req, shown);

        if (id) {
            req->ids.shown = shown;
            req->ids.id = id;
            publish(r, id);
            apr_table_setn(r->headers_in, HEADER, id);
        }
        else if (is_stateless(r)) {
            apr_table_unset(r->headers_in, HEADER);
        }
        else {
            return refuse(r, req, HEADER);
        }
    }
    return open_queries(r, req) ? OK : refuse(r, req, "session parameter");
}

/* ---- what the client is shown ---- */

/* Visible ASCII (TR-11). */
static int is_session_id(const char *id)
{
    const char *c;

    for (c = id; *c > ' ' && *c < 0x7f; c++) {
        ;
    }
    return c > id && !*c;
}

void mcp_session_id_show(request_rec *r, mcp_guard_request_t *req)
{
    const char *id = apr_table_get(r->headers_out, HEADER);
    const char *shown = NULL;

    if (!id || !req->dir->ids.bind || (req->ids.shown && !strcmp(id, req->ids.shown))) {
        return; /* nothing to do, or done already: an internal redirect brings the filter twice */
    }
    if (req->ids.id && !strcmp(id, req->ids.id)) {
        shown = req->ids.shown; /* the session as the client knows it already */
    }
    else if (is_session_id(id)) {
        shown = seal(r, req, id, strlen(id));
    }
    if (!shown) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0481) "the backend's " HEADER " is longer than %d bytes or not visible ASCII; left out",
                      ID_MAX);
        apr_table_unset(r->headers_out, HEADER);
        return;
    }
    publish(r, id);
    req->ids.id = apr_pstrdup(r->pool, id);
    req->ids.shown = shown;
    apr_table_setn(r->headers_out, HEADER, shown);
}

const char *mcp_session_id_show_query(request_rec *r, mcp_guard_request_t *req, const char *query)
{
    return req->dir->ids.bind ? map_query(r, req, query, seal_value) : query;
}
