/* SPDX-License-Identifier: Apache-2.0 */
/* Logos of clients: people see our own copy and never the client's server (CP-14, AS-26).
 *
 * A page names a logo by a URL of ours. What the logo is, stands in it sealed (purpose mcplg), so that
 * nobody can have us fetch or show what no client has named:
 *   { "i": issuer tag, "ck": client key of <MCPOAuthClient>, or "u": logo_uri of a document, "exp": }
 * A document's logo is fetched when the browser asks for the picture: the page waits for nothing. The copy
 * lies in this child's cache, and so does for a while that there is none to be had.
 */

#include "client_fetch.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "image.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_seal.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define PLACES 32
#define CALLS 2 /* of this child at once: people wait for the page, not for its picture */
#define WAIT apr_time_from_sec(1)
#define MISSING apr_time_from_sec(300) /* how long a logo that cannot be had is not asked for */
#define ACCEPT "image/png, image/jpeg, image/webp"

static mcp_client_cache_t *cache;

void mcp_client_logos_child_init(apr_pool_t *pchild)
{
    cache = mcp_client_cache_create(PLACES, CALLS, pchild);
}

/* ---- what is configured ---- */

const char *mcp_client_logo_read(apr_pool_t *p, const char *path, const mcp_picture_t **logo)
{
    mcp_picture_t *picture = apr_pcalloc(p, sizeof(*picture));
    const char *why;
    char *data = NULL;

    why = mcp_read_file(p, path, MCP_LOGO_MAX, &data, &picture->len);
    if (why || !data) {
        return why;
    }
    picture->data = data;
    why = mcp_image_check(data, picture->len, &picture->type);
    if (why) {
        return apr_pstrcat(p, path, " ", why, NULL);
    }
    *logo = picture;
    return NULL;
}

int mcp_client_logos(const mcp_clients_conf_t *conf)
{
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        if (APR_ARRAY_IDX(conf->configured, i, mcp_client_t *)->logo) {
            return 1;
        }
    }
    return conf->metadata_logos == 1;
}

/* The logo of the <MCPOAuthClient> with this key, or NULL. */
static const mcp_picture_t *configured_logo(const mcp_clients_conf_t *conf, const char *key)
{
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        const mcp_client_t *client = APR_ARRAY_IDX(conf->configured, i, mcp_client_t *);

        if (!strcmp(client->key, key)) {
            return client->logo;
        }
    }
    return NULL;
}

const char *mcp_client_logo_url(request_rec *r, const mcp_oauth_conf_t *conf, int source,
                                const char *key, const char *logo_uri)
{
    json_t *json;

    if (source == MCP_CLIENT_CONFIGURED ? !configured_logo(conf->clients, key)
        : source == MCP_CLIENT_METADATA ? conf->clients->metadata_logos != 1 || !logo_uri || !*logo_uri
                                        : 1) {
        return NULL; /* nobody vouches for a client that registered itself */
    }
    json = mcp_json_own(r->pool, json_object());
    mcp_put(json, "i", conf->issuer_tag);
    if (source == MCP_CLIENT_CONFIGURED) {
        mcp_put(json, "ck", key);
    }
    else {
        mcp_put(json, "u", logo_uri);
    }
    return apr_pstrcat(r->pool, conf->base_url, MCP_CLIENT_LOGO_PATH,
                       mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_LOGO, json,
                                     apr_time_now() + MCP_CONSENT_LIFETIME),
                       NULL);
}

/* ---- the copy ---- */

/* Fetch the logo at @a url. NULL and *copy filled, or why there is none. *asked: was its host? */
static const char *fetch(request_rec *r, const mcp_oauth_conf_t *conf, const char *url,
                         mcp_client_copy_t *copy, int *asked)
{
    mcp_fetched_t got = { 0 };
    mcp_result_t res = { 0 };
    const char *why;
    int rc = mcp_client_fetch(r->pool, conf, cache, url, ACCEPT, MCP_LOGO_MAX, WAIT, &got, &res);

    *asked = rc != HTTP_TOO_MANY_REQUESTS;
    if (rc != OK) {
        return mcp_detail(&res);
    }
    if (got.status != HTTP_OK) {
        return apr_psprintf(r->pool, "%s answered %d", url, got.status);
    }
    /* by its bytes: what the header calls it does not count */
    why = mcp_image_check(got.body, got.len, &copy->type);
    if (why) {
        return apr_psprintf(r->pool, "%s %s", url, why);
    }
    copy->data = got.body;
    copy->len = got.len;
    copy->expires = apr_time_now() + mcp_client_age(r->pool, got.cache_control);
    return NULL;
}

/* The logo at a document's logo_uri: 1 and *copy filled, or 0. */
static int find(request_rec *r, const mcp_oauth_conf_t *conf, const char *url,
                mcp_client_copy_t *copy)
{
    apr_time_t now = apr_time_now();
    const char *why;
    int asked;

    if (mcp_client_cache_get(cache, r->pool, url, copy) && copy->expires > now) {
        return copy->data != NULL;
    }
    memset(copy, 0, sizeof(*copy));
    copy->expires = now + MISSING;
    why = fetch(r, conf, url, copy, &asked);
    if (why) {
        ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0294) "a client's logo is not shown: %s",
                      mcp_log_text(r->pool, why));
    }
    if (asked) { /* else anybody with a slow host could have the logos of others missing */
        copy->fetched = now;
        mcp_client_cache_put(cache, url, copy);
    }
    return copy->data != NULL;
}

/* ---- the answer ---- */

/* A picture and nothing else, for our own pages and for nobody else's. */
static int answer(request_rec *r, const mcp_picture_t *picture)
{
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "Content-Security-Policy", "default-src 'none'; sandbox");
    apr_table_setn(r->headers_out, "Cross-Origin-Resource-Policy", "same-origin");
    apr_table_setn(r->headers_out, "Referrer-Policy", "no-referrer");
    if (!picture) {
        mcp_no_store(r);
        r->status = HTTP_NOT_FOUND;
        ap_set_content_type(r, "text/plain; charset=utf-8");
        ap_rputs("There is no such logo.\n", r);
        return OK;
    }
    apr_table_setn(r->headers_out, "Cache-Control", "private, max-age=300");
    ap_set_content_type(r, picture->type);
    ap_set_content_length(r, (apr_off_t)picture->len);
    ap_rwrite(picture->data, (int)picture->len, r);
    return OK;
}

/* Does a page of ours ask for a picture, as far as the browser tells? */
static int is_for_a_page(request_rec *r)
{
    int twice = 0;
    const char *site = mcp_header_once(r, "Sec-Fetch-Site", &twice);
    const char *dest = mcp_header_once(r, "Sec-Fetch-Dest", &twice);

    return (!site || !strcmp(site, "same-origin")) && (!dest || !strcmp(dest, "image"));
}

int mcp_client_logo_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *sealed = r->uri + strlen(conf->base_path) + strlen(MCP_CLIENT_LOGO_PATH);
    const char *tag, *key, *url;
    mcp_client_copy_t copy;
    mcp_picture_t picture;
    json_t *json;

    if (r->method_number != M_GET) {
        apr_table_setn(r->headers_out, "Allow", "GET, HEAD");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (!is_for_a_page(r)
        || mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_LOGO, sealed, apr_time_now(), &json)
               != APR_SUCCESS
        || !(tag = mcp_json_str(json, "i")) || strcmp(tag, conf->issuer_tag)) {
        return answer(r, NULL);
    }
    key = mcp_json_str(json, "ck");
    if (key) {
        return answer(r, configured_logo(conf->clients, key));
    }
    url = mcp_json_str(json, "u");
    if (!url || conf->clients->metadata_logos != 1 || !find(r, conf, url, &copy)) {
        return answer(r, NULL);
    }
    picture.data = copy.data;
    picture.len = copy.len;
    picture.type = copy.type;
    return answer(r, &picture);
}
