/* SPDX-License-Identifier: Apache-2.0 */
/* Client ID Metadata Documents: a client_id that is the https URL of what the client says about
 * itself (AS-20 to AS-27; draft-ietf-oauth-client-id-metadata-document). */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

int mcp_host_listed(const apr_array_header_t *hosts, const char *host)
{
    apr_size_t len = strlen(host);

    for (int i = 0; hosts && i < hosts->nelts; i++) {
        const char *entry = APR_ARRAY_IDX(hosts, i, const char *);
        apr_size_t tail = strlen(entry) - 1; /* of "*.example.com": ".example.com" */

        if (!strcmp(entry, host)
            || (!strncmp(entry, "*.", 2) && len > tail && !strcmp(host + len - tail, entry + 1))) {
            return 1;
        }
    }
    return 0;
}

static int refuse(mcp_result_t *res, const char *why, const char *log)
{
    return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client", why, log);
}

/* Is the URL one that a client_id may be (AS-22)? */
static int check_url(apr_pool_t *p, const char *client_id, mcp_url_t *url, mcp_result_t *res)
{
    if (mcp_url_parse(p, client_id, url) != APR_SUCCESS || strcmp(url->scheme, "https")
        || url->has_userinfo || url->fragment || !*url->path || !strcmp(url->path, "/")
        || mcp_url_has_dot_segments(url->path)) {
        return refuse(res,
                      "client_id is not the URL of a metadata document: https with a path, "
                      "without dot segments, fragment and user information",
                      NULL);
    }
    return OK;
}

/* Does the administrator trust what that host says of its clients (AS-27)? */
static int check_host(apr_pool_t *p, const mcp_clients_conf_t *conf, const char *host,
                      mcp_result_t *res)
{
    return !conf->metadata_hosts || mcp_host_listed(conf->metadata_hosts, host)
               ? OK
               : refuse(res, "clients of that host are not admitted here",
                        apr_psprintf(p, "%s is not in MCPOAuthClientMetadataHosts", host));
}

static const char *pinned(const mcp_clients_conf_t *conf, const char *url)
{
    for (int i = 0; conf->pinned && i < conf->pinned->nelts; i++) {
        const mcp_pinned_t *pin = &APR_ARRAY_IDX(conf->pinned, i, mcp_pinned_t);

        if (!strcmp(pin->url, url)) {
            return pin->text;
        }
    }
    return NULL;
}

/* How the client proves itself at the token endpoint (AS-24): by nothing or by its own key, never
 * by a shared secret. */
static int take_auth(apr_pool_t *p, const json_t *doc, mcp_client_t *client, mcp_result_t *res)
{
    const char *method = mcp_json_str(doc, "token_endpoint_auth_method");
    mcp_url_t url;

    if (json_object_get(doc, "client_secret") || json_object_get(doc, "client_secret_expires_at")
        || (method && strcmp(method, "none") && strcmp(method, "private_key_jwt"))) {
        return refuse(res,
                      "a metadata document must not name a client secret; "
                      "token_endpoint_auth_method may be none or private_key_jwt",
                      NULL);
    }
    client->auth_method = method ? method : "none";
    client->jwks_uri = mcp_json_str(doc, "jwks_uri");
    if (strcmp(client->auth_method, "private_key_jwt") || json_object_get(doc, "jwks")) {
        return OK;
    }
    /* Keys that came in the clear would prove whoever sits on the way. */
    if (mcp_url_parse(p, client->jwks_uri, &url) != APR_SUCCESS || strcmp(url.scheme, "https")
        || url.has_userinfo || url.fragment) {
        return refuse(res, "private_key_jwt needs jwks, or an https URL as jwks_uri, in the metadata document",
                      NULL);
    }
    return OK;
}

static int take_redirects(apr_pool_t *p, const mcp_oauth_conf_t *conf, const json_t *doc,
                          mcp_client_t *client, mcp_result_t *res)
{
    const json_t *uris = json_object_get(doc, "redirect_uris");
    size_t size = json_array_size(uris);

    if (!size || size > MCP_REDIRECTS_MAX) {
        return refuse(res, "the metadata document needs redirect_uris", NULL);
    }
    client->redirect_uris = apr_array_make(p, (int)size, sizeof(const char *));
    for (size_t i = 0; i < size; i++) {
        const char *uri = json_string_value(json_array_get(uris, i));

        /* One that we would not admit is passed over: it cannot be asked for, and the others are
         * still good. */
        if (uri && !mcp_redirect_check(p, uri, conf->schemes)) {
            APR_ARRAY_PUSH(client->redirect_uris, const char *) = uri;
        }
    }
    return client->redirect_uris->nelts
               ? OK
               : refuse(res, "no redirect URI of the metadata document is admitted", NULL);
}

/* The document's logo_uri, if logos are shown here and those of its host are; one that is not good is as
 * none: it is no reason to refuse the client. */
static const char *logo_uri(apr_pool_t *p, const mcp_clients_conf_t *conf, const json_t *doc,
                            int reviewed)
{
    const char *uri = mcp_json_str(doc, "logo_uri");
    mcp_url_t url;

    if (conf->metadata_logos != 1 || !uri || strlen(uri) > MCP_LOGO_URI_MAX
        || mcp_url_parse(p, uri, &url) != APR_SUCCESS || strcmp(url.scheme, "https")
        || url.has_userinfo || url.fragment) {
        return NULL;
    }
    return reviewed || !conf->metadata_hosts || mcp_host_listed(conf->metadata_hosts, url.host)
               ? uri
               : NULL;
}

/* What the document says, if it is good. */
static int read_document(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *client_id,
                         const char *text, int reviewed, mcp_client_t *client, mcp_result_t *res)
{
    const json_t *doc = mcp_json_parse(p, text, strlen(text), MCP_METADATA_MAX);
    const char *id = doc ? mcp_json_str(doc, "client_id") : NULL, *name;
    int rc;

    if (!id || strcmp(id, client_id)) { /* AS-21 */
        return refuse(res, "client_id in the metadata document differs from its URL", NULL);
    }
    name = mcp_json_str(doc, "client_name");
    if (!name) {
        return refuse(res, "the metadata document needs client_name", NULL);
    }
    client->source = MCP_CLIENT_METADATA;
    client->name = mcp_clean_text(p, name, MCP_CLIENT_NAME_MAX);
    client->uri = mcp_json_str(doc, "client_uri");
    client->logo_uri = logo_uri(p, conf->clients, doc, reviewed);
    if (json_object_get(doc, "jwks")) {
        client->jwks = mcp_json_text(p, json_object_get(doc, "jwks"));
    }
    rc = take_auth(p, doc, client, res);
    return rc == OK ? take_redirects(p, conf, doc, client, res) : rc;
}

int mcp_client_from_metadata(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *client_id,
                             mcp_client_t *client, mcp_result_t *res)
{
    const char *copy = pinned(conf->clients, client_id), *text = copy;
    mcp_url_t url;
    int rc;

    if (!conf->clients->metadata && !copy) {
        return refuse(res,
                      "client_id is a URL, and metadata documents of clients are not used here",
                      NULL);
    }
    rc = check_url(p, client_id, &url, res);
    if (rc == OK && !copy) { /* a copy was reviewed, wherever it comes from */
        rc = check_host(p, conf->clients, url.host, res);
    }
    if (rc == OK && !copy) {
        rc = mcp_client_document(p, conf, client_id, MCP_METADATA_MAX, 0, &text, res);
    }
    if (rc != OK) {
        return rc;
    }
    client->host = url.host;
    rc = read_document(p, conf, client_id, text, copy != NULL, client, res);
    if (rc != OK && !copy) {
        mcp_client_document_drop(client_id);
    }
    return rc;
}
