/* SPDX-License-Identifier: Apache-2.0 */
/* What a client says of itself when it registers (RFC 7591), read and judged.
 *
 * Decisions, where the RFC leaves them to the server (section 2: it may replace what a client asks
 * for):
 *  - Every client is public: token_endpoint_auth_method is "none" in the answer whatever was asked
 *    for, and no secret is ever made. A secret that anybody can fetch without authentication would
 *    prove nothing; PKCE and rotation protect codes and refresh tokens.
 *  - A redirect URI with a private-use scheme that is not allowed here is left out if others
 *    remain, since clients register URIs for several of their editions at once (field-lessons 2);
 *    the answer shows what was registered. Any other unacceptable URI (malformed, javascript: and
 *    kin, plain http to a host, fragment, dot segments) refuses the whole registration, for it is a
 *    mistake or an attack.
 *  - application_type is taken as said and not used to restrict redirect URIs (AS-13 is a MAY, and
 *    clients err on it).
 *  - grant_types always come back as both that we serve: clients that see no refresh_token there
 *    refuse to go on.
 *  - Unknown members are ignored.
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_url.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define URI_MAX 512 /* bytes of client_uri */

/* A string member: NULL when absent, null or empty. *bad is set when it is something else or has
 * control bytes. */
static const char *text_member(const json_t *body, const char *name, int *bad)
{
    const json_t *value = json_object_get(body, name);

    if (!value || json_is_null(value) || (json_is_string(value) && !json_string_length(value))) {
        return NULL;
    }
    if (!mcp_json_str(body, name)) {
        *bad = 1;
        return NULL;
    }
    return json_string_value(value);
}

/* Does the array member @a name, if it is there, hold @a wanted? 1 also when it is absent. */
static int offers(const json_t *body, const char *name, const char *wanted)
{
    const json_t *array = json_object_get(body, name), *item;
    size_t i;

    if (!array || json_is_null(array)) {
        return 1;
    }
    json_array_foreach (array, i, item) {
        if (json_is_string(item) && !strcmp(json_string_value(item), wanted)) {
            return 1;
        }
    }
    return json_is_array(array) && !json_array_size(array);
}

/* Is @a uri well-formed, with nothing wrong but a private-use scheme that the administrator did not
 * list? */
static int only_scheme_unlisted(apr_pool_t *p, const char *uri)
{
    apr_array_header_t *own = apr_array_make(p, 1, sizeof(const char *));
    mcp_url_t url;

    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return 0;
    }
    APR_ARRAY_PUSH(own, const char *) = url.scheme;
    return mcp_redirect_check(p, uri, own) == NULL;
}

static int take_redirects(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                          mcp_client_t *client, mcp_result_t *res)
{
    const json_t *uris = json_object_get(body, "redirect_uris"), *item;
    const char *why = NULL;
    size_t i;

    if (!json_is_array(uris) || !json_array_size(uris)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri",
                        "redirect_uris must be a list of URIs", NULL);
    }
    if (json_array_size(uris) > MCP_REDIRECTS_MAX) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", "too many redirect_uris",
                        NULL);
    }
    client->redirect_uris =
        apr_array_make(r->pool, (int)json_array_size(uris), sizeof(const char *));
    json_array_foreach (uris, i, item) {
        const char *uri = json_string_value(item);

        if (!uri || strlen(uri) != json_string_length(item)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri",
                            "a redirect URI is not a string", NULL);
        }
        why = mcp_redirect_admitted(r->pool, conf, uri);
        if (!why) {
            APR_ARRAY_PUSH(client->redirect_uris, const char *) = uri;
        }
        else if (!only_scheme_unlisted(r->pool, uri)) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", why,
                            mcp_log_text(r->pool, uri));
        }
        else {
            ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                          MCP_LOG(0211) "left out, not in MCPOAuthRedirectSchemes: %s",
                          mcp_log_text(r->pool, uri));
        }
    }
    if (!client->redirect_uris->nelts) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_redirect_uri", why,
                        "no redirect URI is left");
    }
    return OK;
}

/* URIs that a client tells about itself: web pages or nothing (T17). */
static int check_uris(apr_pool_t *p, const json_t *body, mcp_result_t *res)
{
    static const char *const names[] = { "client_uri", "logo_uri", "policy_uri", "tos_uri",
                                         "jwks_uri" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        int bad = 0;
        const char *uri = text_member(body, names[i], &bad);
        mcp_url_t url;

        if (bad
            || (uri
                && (mcp_url_parse(p, uri, &url) != APR_SUCCESS
                    || (strcmp(url.scheme, "https") && strcmp(url.scheme, "http"))
                    || url.has_userinfo))) {
            return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                            apr_pstrcat(p, names[i], " must be an http or https URL", NULL), NULL);
        }
    }
    return OK;
}

/* The member that names the client: the plain one, else the English one, else the first in any
 * language (RFC 7591 section 2.2: "client_name#ja"). One is kept, since a client_id carries its
 * registration. */
static const char *name_member(const json_t *body)
{
    const char *key, *found = "client_name";
    json_t *value;

    if (json_object_get(body, found)) {
        return found;
    }
    json_object_foreach ((json_t *)body, key, value) {
        if (!strncmp(key, "client_name#en", 14)) {
            return key;
        }
        if (!strncmp(key, "client_name#", 12) && !strchr(found, '#')) {
            found = key;
        }
    }
    return found;
}

int mcp_registration_read(request_rec *r, const mcp_oauth_conf_t *conf, const json_t *body,
                          mcp_client_t *client, mcp_result_t *res)
{
    const char *name, *uri;
    int bad = 0, rv;

    name = text_member(body, name_member(body), &bad);
    if (bad || (name && strlen(name) > 4 * MCP_CLIENT_NAME_MAX)) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "client_name must be a short text without control characters", NULL);
    }
    client->name = name ? mcp_clean_text(r->pool, name, MCP_CLIENT_NAME_MAX) : "";
    if (!offers(body, "grant_types", "authorization_code")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "grant_types must hold authorization_code", NULL);
    }
    if (!offers(body, "response_types", "code")) {
        return mcp_fail(res, HTTP_BAD_REQUEST, "invalid_client_metadata",
                        "response_types must hold code", NULL);
    }
    rv = check_uris(r->pool, body, res);
    if (rv != OK) {
        return rv;
    }
    uri = mcp_json_str(body, "client_uri");
    client->uri = uri && strlen(uri) <= URI_MAX ? uri : NULL;
    return take_redirects(r, conf, body, client, res);
}
