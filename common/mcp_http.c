/* SPDX-License-Identifier: Apache-2.0 */
/* Glue to httpd's request_rec: bodies in, JSON and errors out, CORS, protected resource metadata. */

#include <string.h>

#include <apr_strings.h>
#include <apr_lib.h>
#include <httpd.h>
#include <http_core.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_url.h"

#define PRM_WELL_KNOWN "/.well-known/oauth-protected-resource"

int mcp_read_body(request_rec *r, apr_size_t max, char **body, apr_size_t *len)
{
    apr_bucket_brigade *bb = apr_brigade_create(r->pool, r->connection->bucket_alloc);
    apr_size_t have = 0;
    apr_size_t room = 4096 < max ? 4096 : max;
    char *buf = apr_palloc(r->pool, room + 1);
    int eos = 0;

    while (!eos) {
        apr_bucket *b;
        apr_status_t rv = ap_get_brigade(r->input_filters, bb, AP_MODE_READBYTES, APR_BLOCK_READ, HUGE_STRING_LEN);

        if (rv != APR_SUCCESS) {
            return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
        }
        for (b = APR_BRIGADE_FIRST(bb); b != APR_BRIGADE_SENTINEL(bb) && !eos; b = APR_BUCKET_NEXT(b)) {
            const char *data;
            apr_size_t n;

            if (APR_BUCKET_IS_EOS(b)) {
                eos = 1;
                break;
            }
            if (APR_BUCKET_IS_METADATA(b)) {
                continue;
            }
            rv = apr_bucket_read(b, &data, &n, APR_BLOCK_READ);
            if (rv != APR_SUCCESS) {
                return ap_map_http_request_error(rv, HTTP_BAD_REQUEST);
            }
            if (n > max - have) {
                return HTTP_REQUEST_ENTITY_TOO_LARGE;
            }
            if (have + n > room) {
                char *larger;

                room = have + n > room * 2 ? have + n : room * 2;
                larger = apr_palloc(r->pool, room + 1);
                memcpy(larger, buf, have);
                buf = larger;
            }
            memcpy(buf + have, data, n);
            have += n;
        }
        apr_brigade_cleanup(bb);
    }
    buf[have] = '\0';
    *body = buf;
    *len = have;
    return OK;
}

int mcp_content_type_is(request_rec *r, const char *type)
{
    const char *given = apr_table_get(r->headers_in, "Content-Type");
    apr_size_t len = strlen(type);

    if (!given || strncasecmp(given, type, len) != 0) {
        return 0;
    }
    given += len;
    while (*given == ' ' || *given == '\t') {
        given++;
    }
    return *given == '\0' || *given == ';';
}

/* err_headers_out goes out with every status, unlike headers_out, which an error drops. */
void mcp_no_store(request_rec *r)
{
    apr_table_setn(r->err_headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->err_headers_out, "Pragma", "no-cache");
}

int mcp_send_json(request_rec *r, int status, json_t *json)
{
    const char *text;
    apr_size_t len;

    if (!json) {
        /* json_pack() found text that is not UTF-8: configuration and protocol text is checked before it comes here */
        json = json_pack("{s:s}", "error", "server_error");
        status = HTTP_INTERNAL_SERVER_ERROR;
    }
    text = mcp_json_text(r->pool, json);
    len = strlen(text);
    json_decref(json);
    r->status = status;
    r->status_line = NULL;
    ap_set_content_type(r, "application/json");
    ap_set_content_length(r, (apr_off_t)len);
    apr_table_setn(r->err_headers_out, "X-Content-Type-Options", "nosniff");
    /* What is left of a request body would be read as the next request. */
    if (ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    if (!r->header_only) {
        ap_rwrite(text, (int)len, r);
    }
    return OK;
}

int mcp_send_oauth_error(request_rec *r, int status, const char *error, const char *description)
{
    json_t *json = json_pack("{s:s}", "error", error);

    if (description) {
        json_object_set_new(json, "error_description", json_string(description));
    }
    mcp_no_store(r);
    return mcp_send_json(r, status, json);
}

int mcp_send_unavailable(request_rec *r, const char *description)
{
    apr_table_setn(r->err_headers_out, "Retry-After", MCP_STORE_RETRY_AFTER);
    return mcp_send_oauth_error(r, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", description);
}

int mcp_send_store_down(request_rec *r)
{
    return mcp_send_unavailable(r, "The session store cannot be reached; try again shortly");
}

int mcp_cors_public(request_rec *r, const char *methods)
{
    /* Only browsers send Origin, and nothing here depends on a cookie, so any origin may read the answer. */
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Origin", "*");
    apr_table_setn(r->err_headers_out, "Access-Control-Expose-Headers", MCP_CORS_EXPOSE_HEADERS);
    if (r->method_number != M_OPTIONS) {
        return DECLINED;
    }
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Methods", methods);
    apr_table_setn(r->err_headers_out, "Access-Control-Allow-Headers", MCP_CORS_ALLOW_HEADERS);
    apr_table_setn(r->err_headers_out, "Access-Control-Max-Age", "86400");
    apr_table_setn(r->err_headers_out, "Allow", methods);
    if (ap_discard_request_body(r) != OK) {
        r->connection->keepalive = AP_CONN_CLOSE;
    }
    r->status = HTTP_NO_CONTENT;
    r->status_line = NULL;
    return OK;
}

typedef struct {
    const char *value;
    int count;
} once_t;

static int count_header(void *baton, const char *key, const char *value)
{
    once_t *once = baton;

    if (once->count++ == 0) {
        once->value = value;
    }
    return 1;
}

const char *mcp_header_once(request_rec *r, const char *name, int *duplicate)
{
    once_t once = { NULL, 0 };

    apr_table_do(count_header, &once, r->headers_in, name, NULL);
    *duplicate = once.count > 1;
    return once.value;
}

json_t *mcp_prm_document(const mcp_shared_conf_t *conf, const mcp_resource_t *resource)
{
    json_t *doc = json_pack("{s:s, s:[s], s:[s], s:s}", "resource", resource->uri, "authorization_servers",
                            conf->issuer, "bearer_methods_supported", "header", "resource_name",
                            resource->name);

    if (doc && resource->scopes && *resource->scopes) {
        json_t *list = json_array();
        const char *at = resource->scopes;

        while (*at) {
            apr_size_t n = strcspn(at, " ");

            json_array_append_new(list, json_stringn(at, n));
            at += n;
            at += strspn(at, " ");
        }
        json_object_set_new(doc, "scopes_supported", list);
    }
    return doc;
}

char *mcp_prm_url(apr_pool_t *p, const mcp_resource_t *resource)
{
    /* The canonical URI is scheme://authority[path]; the well-known path goes between the two. */
    const char *authority = strstr(resource->uri, "://") + 3;
    const char *path = strchr(authority, '/');
    apr_size_t origin_len = path ? (apr_size_t)(path - resource->uri) : strlen(resource->uri);

    return apr_pstrcat(p, apr_pstrmemdup(p, resource->uri, origin_len), PRM_WELL_KNOWN, path ? path : "", NULL);
}

/* "/a/b/" and "/a/b" name the same resource; "/" and "" its root. */
static int same_path(const char *a, const char *b)
{
    apr_size_t la = strlen(a);
    apr_size_t lb = strlen(b);

    while (la && a[la - 1] == '/') {
        la--;
    }
    while (lb && b[lb - 1] == '/') {
        lb--;
    }
    return la == lb && memcmp(a, b, la) == 0;
}

int mcp_prm_match(request_rec *r, const mcp_shared_conf_t *conf, const mcp_resource_t **resource)
{
    const apr_size_t len = sizeof(PRM_WELL_KNOWN) - 1;
    const mcp_resource_t *list;
    const char *path;
    const char *appended;
    int i;

    *resource = NULL;
    if (!conf->issuer || !conf->resources || !conf->resources->nelts || !r->uri) {
        return 0;
    }
    list = (const mcp_resource_t *)conf->resources->elts;

    appended = strstr(r->uri, PRM_WELL_KNOWN);
    if (!appended || (appended[len] != '\0' && appended[len] != '/')) {
        return 0;
    }
    if (appended == r->uri) {
        path = r->uri + len;
    }
    else if (appended[len] == '\0' || same_path(appended + len, "")) {
        /* Some clients append the well-known path to the resource's own (field-lessons 11). */
        path = apr_pstrmemdup(r->pool, r->uri, (apr_size_t)(appended - r->uri));
    }
    else {
        return 0;
    }

    if (same_path(path, "")) {
        /* The root form cannot say which: the resource at the root if there is one, else the first. */
        *resource = &list[0];
    }
    for (i = 0; i < conf->resources->nelts; i++) {
        if (same_path(path, list[i].path)) {
            *resource = &list[i];
            return 1;
        }
    }
    if (appended != r->uri) {
        return 0; /* not below any of our resources: somebody else's URL */
    }
    if (!*resource) {
        /* A path below a resource, such as /mcp/sse, is that resource's (RS-3: the SDK accepts a path prefix). */
        *resource = mcp_resource_for_path(conf, path);
    }
    return 1;
}

int mcp_prm_answer(request_rec *r, const mcp_shared_conf_t *conf, const mcp_resource_t *resource)
{
    if (mcp_cors_public(r, "GET, HEAD, OPTIONS") == OK) {
        return OK;
    }
    if (r->method_number != M_GET) {
        apr_table_setn(r->err_headers_out, "Allow", "GET, HEAD, OPTIONS");
        return mcp_send_oauth_error(r, HTTP_METHOD_NOT_ALLOWED, "invalid_request", "Use GET");
    }
    if (!resource) {
        return mcp_send_oauth_error(r, HTTP_NOT_FOUND, "not_found", "No protected resource has this path");
    }
    apr_table_setn(r->headers_out, "Cache-Control", "public, max-age=300");
    return mcp_send_json(r, HTTP_OK, mcp_prm_document(conf, resource));
}
