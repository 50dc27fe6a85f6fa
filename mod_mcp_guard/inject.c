/* SPDX-License-Identifier: Apache-2.0 */
/* What goes to the backend: nothing that only we may say comes from the client, and what it needs
 * comes from us.
 *
 * Scrubbing is done in fixups, for whatever handler follows, and again in mod_proxy's own hook of
 * that name, on the copy of the headers that is sent. Injection happens only there: it runs after
 * mod_proxy has deleted the headers that the client's Connection header names, so a client cannot
 * have ours deleted.
 */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>

#include "guard.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

#define RESERVED_PREFIX "x-mcp-"
#define FUNCTIONS_KEY "x-functions-key" /* whatever the backend: no client's key passes (F6) */
#define TOKEN_PREFIX "mcpat."

/* ---- names ---- */

int mcp_name_begins(const char *name, const char *pattern, const char **rest)
{
    for (; *pattern; pattern++, name++) {
        if (apr_isalnum(*pattern) ? apr_tolower(*name) != apr_tolower(*pattern)
                                  : !*name || apr_isalnum(*name)) {
            return 0;
        }
    }
    *rest = name;
    return 1;
}

static int same_name(const char *name, const char *pattern)
{
    const char *rest;

    return mcp_name_begins(name, pattern, &rest) && !*rest;
}

/* Names that only the guard may use towards the backend. */
static int is_reserved(const mcp_guard_dir_t *dir, const char *name)
{
    const char *rest;

    /* Most headers are done with after one letter, X-Forwarded-* after three. */
    if ((*name | 0x20) == 'x' && name[1]) {
        if ((name[2] | 0x20) == 'm' ? mcp_name_begins(name, RESERVED_PREFIX, &rest)
                                    : same_name(name, FUNCTIONS_KEY)) {
            return 1;
        }
    }
    /* A session id is bound to its holder under its own name (session_id.c): no other spelling passes it by. */
    if ((*name | 0x20) == 'm' && ap_cstr_casecmp(name, "Mcp-Session-Id") && same_name(name, "Mcp-Session-Id")) {
        return 1;
    }
    if (dir->upstream_header && *dir->upstream_header && same_name(name, dir->upstream_header)) {
        return 1;
    }
    if (dir->assertion_header && *dir->assertion_header && same_name(name, dir->assertion_header)) {
        return 1;
    }
    return dir->key && ((*name ^ *dir->key->header) & ~0x20) == 0
           && same_name(name, dir->key->header);
}

/* Query parameters that carry a key: Azure Functions takes it as `code` just as well. And the one that mod_proxy_balancer
 * would take for our cookie. */
static int is_secret_param(const mcp_guard_dir_t *dir, const char *name)
{
    return same_name(name, "code") || same_name(name, FUNCTIONS_KEY) || same_name(name, MCP_ROUTE_COOKIE)
           || (dir->key && same_name(name, dir->key->header));
}

/* ---- query ---- */

char *mcp_percent_decode(apr_pool_t *p, const char *text, apr_size_t len)
{
    char *out = apr_palloc(p, len + 1);
    char *at = out;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        int high = text[i] == '%' && i + 2 < len ? mcp_hex_value(text[i + 1]) : -1;
        int low = high >= 0 ? mcp_hex_value(text[i + 2]) : -1;

        if (low >= 0) {
            *at++ = (char)(high << 4 | low);
            i += 2;
        }
        else {
            *at++ = text[i];
        }
    }
    *at = '\0';
    return out;
}

/* One name=value of a query that must not pass. */
static int is_secret_pair(apr_pool_t *p, const mcp_guard_dir_t *dir, const char *pair,
                          apr_size_t len)
{
    const char *equals = memchr(pair, '=', len);
    apr_size_t name_len = equals ? (apr_size_t)(equals - pair) : len;
    const char *name = mcp_percent_decode(p, pair, name_len);
    const char *value = equals ? mcp_percent_decode(p, equals + 1, len - name_len - 1) : "";

    if (is_secret_param(dir, name)) {
        return 1;
    }
    /* Under whatever name: the key itself, and our token, which is never accepted from the query
     * (RS-8) and must not be passed on either (RS-9). */
    return (dir->key && mcp_secret_equal(value, dir->key->value))
           || (same_name(name, "access_token")
               && !strncmp(value, TOKEN_PREFIX, sizeof(TOKEN_PREFIX) - 1));
}

const char *mcp_guard_clean_query(apr_pool_t *p, const mcp_guard_dir_t *dir, const char *query)
{
    const char *at = query;
    char *clean = NULL;
    char *end = NULL;

    for (;;) {
        apr_size_t len = strcspn(at, "&");
        const char *next = at + len;

        if (is_secret_pair(p, dir, at, len)) {
            if (!clean) {
                clean = apr_pstrdup(p, query);
                end = clean + (at - query);
                if (end > clean) {
                    end--; /* the "&" before it */
                }
            }
        }
        else if (clean) {
            if (end > clean) {
                *end++ = '&';
            }
            memcpy(end, at, len);
            end += len;
        }
        if (!*next) {
            break;
        }
        at = next + 1;
    }
    if (!clean) {
        return query;
    }
    *end = '\0';
    return *clean ? clean : NULL;
}

/* ---- headers ---- */

/* Drop our pages' cookies; NULL when none is left. */
static const char *clean_cookies(apr_pool_t *p, const char *header)
{
    const char *kept = NULL;
    const char *at = header;

    while (*at) {
        const char *name;
        const char *rest;
        apr_size_t len;

        at += strspn(at, "; \t");
        len = strcspn(at, ";");
        name = !ap_cstr_casecmpn(at, "__Host-", 7) ? at + 7 : at;
        if (len && !mcp_name_begins(name, "mcp-", &rest)) {
            const char *cookie = apr_pstrmemdup(p, at, len);

            kept = kept ? apr_pstrcat(p, kept, "; ", cookie, NULL) : cookie;
        }
        at += len;
    }
    return kept;
}

/* Drop reserved names from a Connection header: whoever obeys it later must not delete what we
 * inject. */
static const char *clean_connection(apr_pool_t *p, const mcp_guard_dir_t *dir, const char *header)
{
    const char *kept = NULL;
    const char *at = header;

    if (!ap_cstr_casecmp(header, "keep-alive") || !ap_cstr_casecmp(header, "close")) {
        return header;
    }
    while (*at) {
        const char *token;
        apr_size_t len;

        at += strspn(at, ", \t");
        len = strcspn(at, ", \t");
        token = apr_pstrmemdup(p, at, len);
        if (len && !is_reserved(dir, token)) {
            kept = kept ? apr_pstrcat(p, kept, ", ", token, NULL) : token;
        }
        at += len;
    }
    return kept;
}

static void set_or_unset(apr_table_t *headers, const char *name, const char *value)
{
    if (value) {
        apr_table_setn(headers, name, value);
    }
    else {
        apr_table_unset(headers, name);
    }
}

/* Unset every header that @a dir reserves. apr_table_unset closes the gap, so the index stays where
 * it is. */
static void unset_reserved(const mcp_guard_dir_t *dir, apr_table_t *headers)
{
    int i = 0;

    while (i < apr_table_elts(headers)->nelts) {
        const char *name = APR_ARRAY_IDX(apr_table_elts(headers), i, apr_table_entry_t).key;

        if (is_reserved(dir, name)) {
            apr_table_unset(headers, name);
        }
        else {
            i++;
        }
    }
}

/* The query as mod_proxy and mod_rewrite carry it: in r->args, or in the URL itself (nocanon). */
static void scrub_query(request_rec *r, const mcp_guard_dir_t *dir)
{
    char *mark;

    if (r->args) {
        r->args = (char *)mcp_guard_clean_query(r->pool, dir, r->args);
    }
    if (r->filename && !strncmp(r->filename, "proxy:", 6) && (mark = strchr(r->filename, '?'))) {
        const char *clean = mcp_guard_clean_query(r->pool, dir, mark + 1);

        if (clean != mark + 1) {
            r->filename = apr_pstrcat(
                r->pool, apr_pstrmemdup(r->pool, r->filename, (apr_size_t)(mark - r->filename)),
                clean ? "?" : NULL, clean, NULL);
        }
    }
}

int mcp_guard_scrub(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);
    const mcp_guard_dir_t *dir = ap_get_module_config(r->per_dir_config, &mcp_guard_module);
    const char *value;

    /* Nobody vouches for a caller whom another AuthType, or AuthType None inside a guarded
     * location, lets in: least of all the caller (T24, T47). */
    if (dir->guarded != MCP_GUARDED_UNSET) {
        unset_reserved(dir, r->headers_in);
    }
    if (!req || !req->session) {
        return DECLINED;
    }
    apr_table_unset(r->headers_in, "Authorization"); /* no token passes through (RS-9, W15) */
    if ((value = apr_table_get(r->headers_in, "Cookie"))) {
        set_or_unset(r->headers_in, "Cookie", clean_cookies(r->pool, value));
    }
    if (req->ids.route) {
        /* For mod_proxy_balancer (stickysession=mcp-route); inject() takes it away again. */
        apr_table_mergen(r->headers_in, "Cookie", apr_pstrcat(r->pool, MCP_ROUTE_COOKIE "=.", req->ids.route, NULL));
    }
    if ((value = apr_table_get(r->headers_in, "Connection"))) {
        set_or_unset(r->headers_in, "Connection", clean_connection(r->pool, req->dir, value));
    }
    scrub_query(r, req->dir);
    return DECLINED;
}

const char *mcp_header_text(apr_pool_t *p, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    apr_size_t len = text ? strlen(text) : 0;
    char *out = NULL;
    char *at = NULL;
    apr_size_t i;

    for (i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        int plain = c > ' ' && c < 0x7f && c != '%';

        if (c == ' ' && i > 0 && i + 1 < len) {
            plain = 1;
        }
        if (!plain && !out) {
            out = apr_palloc(p, len * 3 + 1);
            memcpy(out, text, i);
            at = out + i;
        }
        if (!out) {
            continue;
        }
        if (plain) {
            *at++ = (char)c;
        }
        else {
            *at++ = '%';
            *at++ = hex[c >> 4];
            *at++ = hex[c & 15];
        }
    }
    if (!out) {
        return text ? text : "";
    }
    *at = '\0';
    return out;
}

/* Where the names are free (they were scrubbed), adding spares the search. */
static void add_header(apr_table_t *headers, const char *name, const char *value)
{
    if (*value) {
        apr_table_addn(headers, name, value);
    }
}

static void give_token(request_rec *r, apr_table_t *headers, const char *name, const char *token)
{
    apr_table_setn(headers, name,
                   ap_cstr_casecmp(name, "Authorization") ? token
                                                          : apr_pstrcat(r->pool, "Bearer ", token, NULL));
}

int mcp_guard_inject(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    const mcp_session_t *session = req ? req->session : NULL;
    apr_table_t *headers = r->headers_in; /* mod_proxy's copy */
    const char *authorization;
    const char *cookies;

    if (!session) {
        return DECLINED;
    }
    unset_reserved(req->dir, headers);
    if (req->ids.route && (cookies = apr_table_get(headers, "Cookie"))) {
        set_or_unset(headers, "Cookie", clean_cookies(r->pool, cookies));
    }
    /* Whose is it? An administrator may set one by RequestHeader. */
    authorization = apr_table_get(headers, "Authorization");
    if (authorization && strstr(authorization, TOKEN_PREFIX)) {
        apr_table_unset(headers, "Authorization");
    }
    /* An answer that may be an event stream comes plain (TR-14), and the endpoint event must be
     * readable. */
    apr_table_unset(headers, "Accept-Encoding");
    if (req->dir->identity) {
        add_header(headers, "X-MCP-Subject", session->subject_header);
        add_header(headers, "X-MCP-Username", session->username_header);
        add_header(headers, "X-MCP-Client", session->client);
        add_header(headers, "X-MCP-Client-Name", session->client_name_header);
        /* with what MCPScope implies: a backend does not know the hierarchy (RS-11) */
        add_header(headers, "X-MCP-Scope", mcp_guard_scopes(r, req));
    }
    if (req->dir->key) {
        apr_table_setn(headers, req->dir->key->header, req->dir->key->value);
    }
    if (req->upstream_token) {
        give_token(r, headers, req->dir->upstream_header, req->upstream_token);
    }
    if (req->assertion) {
        give_token(r, headers, req->dir->assertion_header, req->assertion);
    }
    return OK;
}

/* ---- backends that injection does not reach ---- */

static const char *proxied_url(request_rec *r)
{
    const char *url = NULL;

    if (r->proxyreq && r->filename && !strncmp(r->filename, "proxy:", 6)) {
        url = r->filename + 6;
    }
    else if (r->handler && !strncmp(r->handler, "proxy:", 6)) {
        url = r->handler + 6;
    }
    if (url && !ap_cstr_casecmpn(url, "unix:", 5) && strchr(url, '|')) {
        url = strchr(url, '|') + 1;
    }
    return url;
}

int mcp_guard_check_proxy(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);
    const char *url;

    if (!req || !req->session || (!req->dir->key && !req->dir->identity && !req->upstream_token && !req->assertion)
        || !(url = proxied_url(r))) {
        return DECLINED;
    }
    if (req->dir->header_clash) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0441) "two of MCPGuardBackendKey, MCPGuardUpstreamToken and MCPGuardAssertion want the "
                                    "header %s here; refusing",
                      mcp_guard_header_clash(req->dir));
        return HTTP_INTERNAL_SERVER_ERROR;
    }
    if (!strncasecmp(url, "http://", 7) || !strncasecmp(url, "https://", 8)) {
        return DECLINED;
    }
    if (!strncasecmp(url, "balancer://", 11) && !mcp_guard_collected.odd_balancers) {
        return DECLINED;
    }
    ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                  MCP_LOG(0440) "key, identity and token can be given to http and https backends only, "
                                "not to %.*s; refusing. Use such a backend, or MCPGuardIdentityHeaders Off and "
                                "no MCPGuardBackendKey",
                  (int)strcspn(url, ":"), url);
    return HTTP_INTERNAL_SERVER_ERROR;
}
