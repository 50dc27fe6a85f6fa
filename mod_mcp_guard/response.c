/* SPDX-License-Identifier: Apache-2.0 */
/* The way back: one output filter that looks at the backend's headers and steps aside. Everything
 * but a legacy event stream goes on untouched, uncopied and unbuffered (TR-4, TR-5, TR-14); that
 * one is scanned up to its endpoint event. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>

#include "guard.h"
#include "mcp_log.h"

APLOG_USE_MODULE(mcp_guard);

static ap_filter_rec_t *filter_handle;

/* The path by which mod_proxy calls the backend, from r->filename:
 * proxy:[unix:/socket|]scheme://authority/path?query */
static const char *backend_path(request_rec *r)
{
    const char *url = r->filename + sizeof("proxy:") - 1;
    const char *prefix = "";
    const char *bar;
    const char *path;

    if (!ap_cstr_casecmpn(url, "unix:", 5) && (bar = strchr(url, '|'))) {
        url = bar + 1;
    }
    path = strstr(url, "://");
    path = path ? path + 3 + strcspn(path + 3, "/?") : url;
    if (!ap_cstr_casecmpn(url, "balancer:", 9)) {
        /* The member may add a path of its own in front. */
        const char *member = apr_table_get(r->subprocess_env, "BALANCER_WORKER_NAME");

        if (member && (member = strstr(member, "://"))) {
            prefix = member + 3 + strcspn(member + 3, "/?");
        }
    }
    return apr_pstrcat(r->pool, prefix, apr_pstrmemdup(r->pool, path, strcspn(path, "?")), NULL);
}

static int is_event_stream(request_rec *r)
{
    return r->content_type && !ap_cstr_casecmpn(r->content_type, "text/event-stream", 17);
}

/* Streams must reach the client as they come, through whatever stands in front of us too. */
static void prepare_stream(request_rec *r)
{
    apr_table_setn(r->headers_out, "Cache-Control", "no-store");
    apr_table_setn(r->headers_out, "X-Accel-Buffering", "no");
    apr_table_setn(r->subprocess_env, "no-gzip", "1");
    apr_table_setn(r->subprocess_env, "no-brotli", "1");
}

/* Only a GET answer of the legacy transport has an endpoint event. Streamable HTTP's GET stream is
 * told by the session id in the backend's answer; nothing that the client sends may switch the
 * scanner off. */
static int needs_scanner(request_rec *r)
{
    return r->method_number == M_GET && r->proxyreq && r->filename
           && !strncmp(r->filename, "proxy:", 6)
           && !apr_table_get(r->headers_out, "Mcp-Session-Id");
}

/* Give up: nothing of what the backend says may go on. Once headers are out, the connection ends
 * without a last chunk. */
static apr_status_t cut(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;

    apr_brigade_cleanup(bb);
    APR_BRIGADE_INSERT_TAIL(
        bb, ap_bucket_error_create(HTTP_BAD_GATEWAY, NULL, r->pool, f->c->bucket_alloc));
    APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(f->c->bucket_alloc));
    r->connection->keepalive = AP_CONN_CLOSE;
    ap_remove_output_filter(f);
    ap_pass_brigade(f->next, bb);
    return APR_ECONNABORTED; /* so that mod_proxy drops the backend connection */
}

/* Start scanning, or explain why not. NULL: the stream cannot be read. */
static mcp_endpoint_scan_t *start_scanner(ap_filter_t *f, const mcp_guard_request_t *req)
{
    request_rec *r = f->r;
    const char *encoding = apr_table_get(r->headers_out, "Content-Encoding");
    mcp_endpoint_map_t *map;

    if (encoding && ap_cstr_casecmp(encoding, "identity")) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0450) "the backend sends an encoded event stream, whose endpoint "
                                    "event cannot be read; refusing it. Switch compression off there");
        return NULL;
    }
    map = apr_palloc(r->pool, sizeof(*map));
    map->pool = r->pool;
    map->dir = req->dir;
    map->request_path = r->uri;
    map->backend_path = backend_path(r);
    map->r = r;
    apr_table_unset(r->headers_out, "Content-Length"); /* the event may change its length */
    return mcp_endpoint_scan_make(map);
}

/* Feed one brigade through the scanner. Data goes to @a out, everything else moves there in its
 * order. */
static apr_status_t scan(mcp_endpoint_scan_t *scanner, apr_bucket_brigade *bb, apr_bucket_brigade *out)
{
    while (!APR_BRIGADE_EMPTY(bb)) {
        apr_bucket *b = APR_BRIGADE_FIRST(bb);
        const char *data;
        apr_size_t len;
        apr_status_t rv;

        if (APR_BUCKET_IS_METADATA(b)) {
            APR_BUCKET_REMOVE(b);
            APR_BRIGADE_INSERT_TAIL(out, b);
            continue;
        }
        rv = apr_bucket_read(b, &data, &len, APR_BLOCK_READ);
        if (rv == APR_SUCCESS) {
            rv = mcp_endpoint_scan_feed(scanner, data, len, out);
        }
        apr_bucket_delete(b);
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}

static apr_status_t response_filter(ap_filter_t *f, apr_bucket_brigade *bb)
{
    request_rec *r = f->r;
    apr_bucket_brigade *out;
    apr_status_t rv;

    if (!f->ctx) {
        mcp_guard_request_t *req = mcp_guard_known(r);
        int scanned = needs_scanner(r);

        mcp_session_id_show(r, req);
        if (req->cors_origin) {
            mcp_guard_clean_cors(r);
        }
        if (is_event_stream(r)) {
            prepare_stream(r);
        }
        if (!is_event_stream(r) || !scanned) {
            ap_remove_output_filter(f);
            return ap_pass_brigade(f->next, bb);
        }
        f->ctx = start_scanner(f, req);
        if (!f->ctx) {
            return cut(f, bb);
        }
    }
    out = apr_brigade_create(r->pool, f->c->bucket_alloc);
    rv = scan(f->ctx, bb, out);
    if (rv == APR_EOF) {
        /* The endpoint event went by: from here on nothing is copied. */
        APR_BRIGADE_CONCAT(out, bb);
        ap_remove_output_filter(f);
        return ap_pass_brigade(f->next, out);
    }
    if (rv != APR_SUCCESS) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0451) "the backend's endpoint event cannot be made fit for clients; "
                                    "cutting the stream");
        return cut(f, bb);
    }
    rv = ap_pass_brigade(f->next, out);
    apr_brigade_destroy(out);
    return rv;
}

void mcp_guard_insert_filter(request_rec *r)
{
    const mcp_guard_request_t *req = mcp_guard_known(r);

    if (req && req->session) {
        ap_add_output_filter_handle(filter_handle, NULL, r, r->connection);
        mcp_lists_insert(r);
    }
}

void mcp_guard_register_filter(apr_pool_t *p)
{
    filter_handle =
        ap_register_output_filter("MCP_GUARD", response_filter, NULL, AP_FTYPE_RESOURCE);
}
