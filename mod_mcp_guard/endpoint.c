/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy transport's `endpoint` event: found in the stream and rewritten (F6, W14, TR-17).
 *
 * A legacy server begins its event stream with the URI to post to. It is the backend's URI, and the
 * Azure Functions host even puts the key into it that we have just injected. The client must see
 * neither:
 *
 *   event: endpoint                                              event: endpoint
 *   data: /runtime/webhooks/mcp/message?azmcpcs=s&code=KEY  ->   data: /mcp/message?azmcpcs=SEALED
 *
 * The scanner holds back one event at a time until its blank line, which is when a client would act
 * on it; so nothing is delayed, and the order of the lines, their ends (LF, CRLF, CR) and the cuts
 * between reads do not matter.
 */

#include <string.h>

#include <apr_buckets.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>

#include "guard.h"
#include "mcp_util.h"

#define EVENT_MAX 65536    /* a longer event passes; the stream is cut if it was an endpoint */
#define LINE_MAX_PASSED 64 /* what is kept of a line of such an event, to tell what field it is */
#define KEY_MIN_SEARCHED 8 /* shorter keys occur in any text */

/* ---- the URI ---- */

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

/* ---- the scanner ---- */

struct mcp_sse_t {
    const mcp_endpoint_map_t *map;
    char *held; /* this event's bytes so far; when it is overlong, this line's first bytes */
    apr_size_t held_len;
    apr_size_t room;
    apr_size_t line; /* where the present line begins in held */
    int first_line;  /* a byte order mark may precede the stream's first line */
    int skip_lf;     /* the last byte was CR: an LF now belongs to it */
    int is_endpoint; /* the last `event` line of this event said so */
    int has_fields;  /* more than comments */
    int overlong;
};

mcp_sse_t *mcp_sse_create(const mcp_endpoint_map_t *map)
{
    mcp_sse_t *sse = apr_pcalloc(map->pool, sizeof(*sse));

    sse->map = map;
    sse->room = 1024;
    sse->held = apr_palloc(map->pool, sse->room);
    sse->first_line = 1;
    return sse;
}

static void write_out(apr_bucket_brigade *out, const char *data, apr_size_t len)
{
    apr_brigade_write(out, NULL, NULL, data, len);
}

static void hold(mcp_sse_t *sse, const char *data, apr_size_t len)
{
    if (sse->held_len + len > sse->room) {
        char *larger;

        sse->room = (sse->held_len + len) * 2;
        larger = apr_palloc(sse->map->pool, sse->room);
        memcpy(larger, sse->held, sse->held_len);
        sse->held = larger;
    }
    memcpy(sse->held + sse->held_len, data, len);
    sse->held_len += len;
}

static void next_event(mcp_sse_t *sse)
{
    sse->held_len = 0;
    sse->line = 0;
    sse->is_endpoint = 0;
    sse->has_fields = 0;
    sse->overlong = 0;
}

/* The value of a line if it is field @a name: after the colon, without one space. NULL: another
 * field. */
static const char *field_value(const char *line, apr_size_t len, const char *name,
                               apr_size_t *value_len)
{
    apr_size_t n = strlen(name);

    if (len < n || memcmp(line, name, n) || (len > n && line[n] != ':')) {
        return NULL;
    }
    n += len > n;
    if (len > n && line[n] == ' ') {
        n++;
    }
    *value_len = len - n;
    return line + n;
}

/* More generous than any client should be: what only a sloppy one takes for an endpoint event is
 * one. */
static int says_endpoint(const char *value, apr_size_t len)
{
    while (len && apr_isspace(*value)) {
        value++;
        len--;
    }
    while (len && apr_isspace(value[len - 1])) {
        len--;
    }
    return len == 8 && !strncasecmp(value, "endpoint", 8);
}

/* Length of the line that begins at @a text, without its end. */
static apr_size_t line_length(const char *text, apr_size_t len)
{
    apr_size_t n = 0;

    while (n < len && text[n] != '\n' && text[n] != '\r') {
        n++;
    }
    return n;
}

/* All data lines of the held event, as a client joins them; NULL when there is none. */
static const char *event_data(const mcp_sse_t *sse)
{
    const char *data = NULL;
    apr_size_t at = 0;

    while (at < sse->held_len) {
        apr_size_t n = line_length(sse->held + at, sse->held_len - at);
        apr_size_t len;
        const char *value = field_value(sse->held + at, n, "data", &len);

        if (value) {
            data = apr_pstrcat(sse->map->pool, data ? data : "", data ? "\n" : "",
                               apr_pstrmemdup(sse->map->pool, value, len), NULL);
        }
        at += n + 1;
    }
    return data;
}

/* The held event again, line by line, with the first data line replaced and the others left out. */
static void write_endpoint(const mcp_sse_t *sse, const char *uri, apr_bucket_brigade *out)
{
    int replaced = 0;
    apr_size_t at = 0;

    while (at < sse->held_len) {
        const char *line = sse->held + at;
        apr_size_t n = line_length(line, sse->held_len - at);
        apr_size_t end = n;
        apr_size_t len;

        if (at + end < sse->held_len && line[end++] == '\r' && at + end < sse->held_len
            && line[end] == '\n') {
            end++;
        }
        if (!field_value(line, n, "data", &len)) {
            write_out(out, line, end);
        }
        else if (!replaced) {
            replaced = 1;
            write_out(out, "data: ", 6);
            write_out(out, uri, strlen(uri));
            write_out(out, line + n, end - n);
        }
        at += end;
    }
}

/* A byte order mark does not belong to the first line. Returns how much shorter the line is
 * without. */
static apr_size_t drop_mark(mcp_sse_t *sse, apr_bucket_brigade *out)
{
    if (sse->held_len < 3 || memcmp(sse->held, "\xEF\xBB\xBF", 3)) {
        return 0;
    }
    if (!sse->overlong) {
        write_out(out, sse->held, 3);
    }
    sse->held_len -= 3;
    memmove(sse->held, sse->held + 3, sse->held_len);
    return 3;
}

/* A blank line: the event is complete. */
static apr_status_t end_event(mcp_sse_t *sse, apr_bucket_brigade *out)
{
    const char *data = sse->is_endpoint && !sse->overlong ? event_data(sse) : NULL;

    if (data) {
        const char *uri = mcp_endpoint_rewrite(sse->map, data);

        if (!uri) {
            return APR_EGENERAL;
        }
        write_endpoint(sse, uri, out);
    }
    else if (!sse->overlong) {
        write_out(out, sse->held, sse->held_len);
    }
    next_event(sse);
    return data ? APR_EOF : APR_SUCCESS;
}

/* A line is complete; @a end is the length of held up to the line's end. */
static apr_status_t end_line(mcp_sse_t *sse, apr_size_t end, apr_bucket_brigade *out)
{
    const char *line;
    apr_size_t len;
    const char *value;
    apr_size_t value_len;

    if (sse->first_line) {
        sse->first_line = 0;
        end -= drop_mark(sse, out);
    }
    line = sse->held + sse->line;
    len = end - sse->line;
    if (len == 0) {
        return end_event(sse, out);
    }
    if (*line != ':') {
        sse->has_fields = 1;
        value = field_value(line, len, "event", &value_len);
        if (value) {
            sse->is_endpoint = says_endpoint(value, value_len);
        }
    }
    if (sse->overlong) {
        sse->held_len = 0;
        sse->line = 0;
        /* Part of this event went out already: it must not have been an endpoint event. */
        return sse->is_endpoint ? APR_EGENERAL : APR_SUCCESS;
    }
    if (!sse->has_fields) {
        /* Comments keep the connection alive and must flow (TR-14). */
        write_out(out, sse->held, sse->held_len);
        sse->held_len = 0;
    }
    sse->line = sse->held_len;
    return APR_SUCCESS;
}

/* Take @a len bytes of one line (its end included). */
static apr_status_t take(mcp_sse_t *sse, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    if (!sse->overlong && sse->held_len + len > EVENT_MAX) {
        if (sse->is_endpoint) {
            return APR_EGENERAL;
        }
        write_out(out, sse->held, sse->held_len);
        sse->held_len -= sse->line;
        memmove(sse->held, sse->held + sse->line, sse->held_len);
        if (sse->held_len > LINE_MAX_PASSED) {
            sse->held_len = LINE_MAX_PASSED;
        }
        sse->line = 0;
        sse->overlong = 1;
    }
    if (!sse->overlong) {
        hold(sse, data, len);
        return APR_SUCCESS;
    }
    write_out(out, data, len);
    if (sse->held_len < LINE_MAX_PASSED) {
        apr_size_t keep = LINE_MAX_PASSED - sse->held_len;

        hold(sse, data, len < keep ? len : keep);
    }
    return APR_SUCCESS;
}

apr_status_t mcp_sse_feed(mcp_sse_t *sse, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    while (len) {
        apr_size_t n = line_length(data, len);
        apr_size_t end;
        apr_status_t rv;

        if (sse->skip_lf) {
            sse->skip_lf = 0;
            if (*data == '\n') {
                /* Second half of a CRLF whose line is done: it goes where that line went. */
                if (sse->held_len && !sse->overlong) {
                    hold(sse, data, 1);
                    sse->line = sse->held_len;
                }
                else {
                    write_out(out, data, 1);
                }
                data++;
                len--;
                continue;
            }
        }
        rv = take(sse, data, n, out);
        end = sse->held_len;
        if (rv == APR_SUCCESS && n < len) {
            sse->skip_lf = data[n] == '\r';
            rv = take(sse, data + n, 1, out);
            if (rv == APR_SUCCESS) {
                rv = end_line(sse, end, out);
            }
            n++;
        }
        data += n;
        len -= n;
        if (rv == APR_EOF) {
            write_out(out, data, len);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}
