/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy transport's `endpoint` event: its URI as the client must see it (F6, W14, TR-17).
 *
 * A legacy server begins its event stream with the URI to post to. It is the backend's URI, and the
 * Azure Functions host even puts the key into it that we have just injected. The client must see
 * neither:
 *
 *   event: endpoint                                              event: endpoint
 *   data: /runtime/webhooks/mcp/message?azmcpcs=s&code=KEY  ->   data: /mcp/message?azmcpcs=SEALED
 *
 * endpoint_scan.c finds the event in the stream.
 */

#include <string.h>

#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>

#include "guard.h"
#include "mcp_util.h"

#define KEY_MIN_SEARCHED 8 /* shorter keys occur in any text */

/* As browsers' URL parsers do: white space at the ends and line breaks inside do not count, "\" is
 * "/". NULL: control characters or spaces that no URI has. */
static char *tidy(apr_pool_t *p, const char *uri)
{
    char *out = apr_palloc(p, strlen(uri) + 1);
    char *at = out;

    for (; *uri; uri++) {
        unsigned char c = (unsigned char)*uri;

        if (c == '\t' || c == '\n' || c == '\r' || (c <= ' ' && at == out)) {
            continue;
        }
        *at++ = c == '\\' ? '/' : (char)c;
    }
    while (at > out && at[-1] == ' ') {
        at--;
    }
    *at = '\0';
    for (at = out; *at; at++) {
        if ((unsigned char)*at <= ' ' || *at == 0x7f) {
            return NULL;
        }
    }
    return out;
}

/* What follows scheme and authority. NULL: another scheme than http(s). */
static char *skip_authority(char *uri)
{
    apr_size_t n = 0;

    if (apr_isalpha(uri[0])) {
        while (apr_isalnum(uri[n]) || (uri[n] && strchr("+-.", uri[n]))) {
            n++;
        }
        if (uri[n] != ':') {
            return uri;
        }
        if (strncasecmp(uri, "http:", 5) && strncasecmp(uri, "https:", 6)) {
            return NULL;
        }
        uri += n + 1;
    }
    else if (uri[0] != '/' || uri[1] != '/') {
        return uri;
    }
    uri += strspn(uri, "/");
    return uri + strcspn(uri, "/?#");
}

/* Does @a path lie below @a prefix, at a segment boundary? */
static int is_below(const char *path, const char *prefix, apr_size_t len)
{
    return !strncmp(path, prefix, len) && (path[len] == '\0' || path[len] == '/');
}

/* Which prefix of the backend's paths stands for which of ours. The end that the paths of this very
 * request have in common was not touched by ProxyPass (or by whatever maps it): what is left of
 * both is the mapping. */
static void find_prefixes(const mcp_endpoint_map_t *map, const char **backend, const char **gateway)
{
    apr_size_t b = strlen(map->backend_path);
    apr_size_t g = strlen(map->request_path);
    apr_size_t common = 0;

    if (map->dir->backend_path) {
        *backend = map->dir->backend_path;
        *gateway = map->dir->backend_location;
    }
    else {
        while (common < b && common < g
               && map->backend_path[b - common - 1] == map->request_path[g - common - 1]) {
            common++;
        }
        while (common && map->backend_path[b - common] != '/') {
            common--;
        }
        *backend = apr_pstrmemdup(map->pool, map->backend_path, b - common);
        *gateway = apr_pstrmemdup(map->pool, map->request_path, g - common);
    }
}

static const char *map_path(const mcp_endpoint_map_t *map, const char *path)
{
    const char *backend;
    const char *gateway;
    apr_size_t b;
    apr_size_t g;

    find_prefixes(map, &backend, &gateway);
    b = strlen(backend);
    g = strlen(gateway);
    while (b && backend[b - 1] == '/') {
        b--;
    }
    while (g && gateway[g - 1] == '/') {
        g--;
    }
    /* A backend that was told of our prefix (X-Forwarded-Prefix) names our paths already. */
    if (!b && g && is_below(path, gateway, g)) {
        return path;
    }
    if (!is_below(path, backend, b)) {
        return path;
    }
    return apr_pstrcat(map->pool, apr_pstrmemdup(map->pool, gateway, g), path + b, NULL);
}

/* The path as the gateway knows it; a plain relative path stays, since the client resolves it
 * against our URL. */
static const char *gateway_path(const mcp_endpoint_map_t *map, const char *path)
{
    char *full;

    if (path[0] != '/' && path[0] && path[0] != '.' && !strstr(path, "/.") && !strstr(path, "%2")) {
        return path;
    }
    if (!path[0]) {
        return map->request_path;
    }
    if (path[0] == '/') {
        full = apr_pstrdup(map->pool, path);
    }
    else {
        const char *slash = strrchr(map->backend_path, '/');
        apr_size_t len = slash ? (apr_size_t)(slash - map->backend_path) + 1 : 0;

        full = apr_pstrcat(map->pool, len ? apr_pstrmemdup(map->pool, map->backend_path, len) : "/",
                           path, NULL);
    }
    if (!ap_normalize_path(full, AP_NORMALIZE_DECODE_UNRESERVED)) {
        return NULL;
    }
    return map_path(map, full);
}

/* The key must not be in the text, however it is written. */
static int has_key(const mcp_endpoint_map_t *map, const char *text)
{
    const mcp_backend_key_t *key = map->dir->key;

    return key && key->len >= KEY_MIN_SEARCHED
           && (strstr(text, key->value)
               || strstr(mcp_percent_decode(map->pool, text, strlen(text)), key->value));
}

const char *mcp_endpoint_rewrite(const mcp_endpoint_map_t *map, const char *uri)
{
    char *text = tidy(map->pool, uri);
    char *rest = text ? skip_authority(text) : NULL;
    const char *query = NULL;
    const char *path;
    char *mark;

    if (!rest) {
        return NULL;
    }
    if ((mark = strchr(rest, '#'))) {
        *mark = '\0';
    }
    if ((mark = strchr(rest, '?'))) {
        *mark = '\0';
        query = mcp_guard_clean_query(map->pool, map->dir, mark + 1);
        if (query && map->r && !(query = mcp_session_id_show_query(map->r, mcp_guard_known(map->r), query))) {
            return NULL;
        }
    }
    path = gateway_path(map, !*rest && rest != text ? "/" : rest);
    if (!path) {
        return NULL;
    }
    text = apr_pstrcat(map->pool, path, query ? "?" : "", query, NULL);
    return has_key(map, text) ? NULL : text;
}
