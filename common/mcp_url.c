/* SPDX-License-Identifier: Apache-2.0 */
/* Strict URLs: one parser, and the rules for redirect URIs and resources that stand on it. */

#include "mcp_url.h"

#include <string.h>
#include <strings.h>

#include <arpa/inet.h>

#include <apr_lib.h>
#include <apr_strings.h>

#define DIGITS "0123456789"
#define HEX_DIGITS "0123456789abcdefABCDEF"
#define ALPHA "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define UNRESERVED ALPHA DIGITS "-._~"

/* Schemes that a browser runs or opens by itself, or that reach beyond the client: never a redirect URI (T8). */
static const char *const never[] = {
    "javascript", "data", "vbscript", "file", "about", "blob", "filesystem", "view-source", "ftp", "ws", "wss",
    "mailto", "tel", "sms", "jar", "livescript", "mocha", "ms-its", "mhtml", "chrome", "resource", "ldap", "gopher"
};

/* Only characters of RFC 3986, and each "%" with its two digits. An encoded NUL is refused as well. */
static int chars_ok(const char *text)
{
    for (; *text; text++) {
        if (*text == '%') {
            if (!apr_isxdigit(text[1]) || !apr_isxdigit(text[2]) || (text[1] == '0' && text[2] == '0')) {
                return 0;
            }
            text += 2;
        }
        else if (!strchr(UNRESERVED ":/?#[]@!$&'()*+,;=", *text)) {
            return 0;
        }
    }
    return 1;
}

/* A registered name, or exactly four decimal numbers. Browsers take "127.1", "0x7f.1" and "2130706433" for an
 * address too, so a name whose last label is a number in any of these spellings is refused. */
static int host_ok(const char *host)
{
    apr_size_t len = strlen(host);
    const char *last = strrchr(host, '.');
    unsigned char addr[4];

    if (!len || len > 253 || strspn(host, ALPHA DIGITS "-._") != len || host[0] == '.' || host[len - 1] == '.'
        || strstr(host, "..")) {
        return 0;
    }
    last = last ? last + 1 : host;
    if (strspn(last, DIGITS) == strlen(last) || !strncmp(last, "0x", 2)) {
        return inet_pton(AF_INET, host, addr) == 1;
    }
    return 1;
}

/* 1 to 65535 without leading zeros, so that a port has one spelling; 0 when it is not. */
static int parse_port(const char *text)
{
    apr_size_t len = strlen(text);
    int port = 0;

    if (!len || len > 5 || strspn(text, DIGITS) != len || *text == '0') {
        return 0;
    }
    for (; *text; text++) {
        port = port * 10 + (*text - '0');
    }
    return port <= 65535 ? port : 0;
}

/* [userinfo "@"] host [":" port], a copy that may be cut up. */
static apr_status_t parse_authority(mcp_url_t *url, char *authority)
{
    char *at = strrchr(authority, '@');
    char *host = at ? at + 1 : authority;
    char *port;
    unsigned char addr[16];

    url->has_userinfo = at != NULL;
    for (char *c = host; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    if (*host == '[') {
        char *end = strchr(++host, ']');

        if (!end) {
            return APR_EINVAL;
        }
        *end = '\0';
        port = end[1] ? end + 1 : NULL;
        url->is_ipv6 = 1;
        if (inet_pton(AF_INET6, host, addr) != 1) {
            return APR_EINVAL;
        }
    }
    else {
        port = strchr(host, ':');
    }
    if (port) {
        if (*port != ':' || !(url->port = parse_port(port + 1))) {
            return APR_EINVAL;
        }
        *port = '\0';
        url->has_port = 1;
    }
    url->host = host;
    return url->is_ipv6 || host_ok(host) ? APR_SUCCESS : APR_EINVAL;
}

/* "http" or "https", whose URLs need a host and have a default port. */
static int is_web(const mcp_url_t *url)
{
    return !strcmp(url->scheme, "https") || !strcmp(url->scheme, "http");
}

/* End @a text at the first @a separator; what follows it, NULL when there is none. */
static const char *cut(char *text, char separator)
{
    char *found = strchr(text, separator);

    if (!found) {
        return NULL;
    }
    *found = '\0';
    return found + 1;
}

apr_status_t mcp_url_parse(apr_pool_t *p, const char *text, mcp_url_t *url)
{
    char *rest, *scheme;
    apr_size_t len;

    memset(url, 0, sizeof(*url));
    url->host = "";
    if (!text || strnlen(text, MCP_URL_MAX + 1) > MCP_URL_MAX || !chars_ok(text)) {
        return APR_EINVAL;
    }
    len = strspn(text, ALPHA DIGITS "+-.");
    if (!len || text[len] != ':' || !apr_isalpha(*text)) {
        return APR_EINVAL;
    }
    scheme = apr_pstrmemdup(p, text, len);
    for (char *c = scheme; *c; c++) {
        *c = (char)apr_tolower(*c);
    }
    url->scheme = scheme;
    rest = apr_pstrdup(p, text + len + 1);

    /* from the back: the first "#", then the first "?" before it, end what is before them */
    url->fragment = cut(rest, '#');
    url->query = cut(rest, '?');
    if (url->fragment && strchr(url->fragment, '#')) {
        return APR_EINVAL;
    }
    if (!strncmp(rest, "//", 2)) {
        len = strcspn(rest + 2, "/");
        url->path = rest + 2 + len;
        if (parse_authority(url, apr_pstrmemdup(p, rest + 2, len)) != APR_SUCCESS) {
            return APR_EINVAL;
        }
    }
    else if (is_web(url)) {
        return APR_EINVAL;
    }
    else {
        url->path = rest;
    }
    if (!url->has_port && is_web(url)) {
        url->port = url->scheme[4] ? 443 : 80;
    }
    /* RFC 3986 has brackets for addresses only, but `a[]=1` in a query is common and harmless */
    return strpbrk(url->path, "[]") ? APR_EINVAL : APR_SUCCESS;
}

int mcp_url_is_loopback(const mcp_url_t *url)
{
    unsigned char addr[16];
    static const unsigned char loopback6[16] = { [15] = 1 };

    if (url->is_ipv6) {
        return inet_pton(AF_INET6, url->host, addr) == 1 && !memcmp(addr, loopback6, sizeof(addr));
    }
    return !strcmp(url->host, "localhost") || (inet_pton(AF_INET, url->host, addr) == 1 && addr[0] == 127);
}

/* Length of a "." in plain or encoded spelling at @a s, else 0. */
static apr_size_t dot_len(const char *s)
{
    return *s == '.' ? 1 : (!strncasecmp(s, "%2e", 3) ? 3 : 0);
}

int mcp_url_has_dot_segments(const char *path)
{
    if (strstr(path, "//")) {
        return 1;
    }
    for (const char *s = path; *s; s++) {
        if (!strncasecmp(s, "%2f", 3) || !strncasecmp(s, "%5c", 3) || *s == '\\') {
            return 1;
        }
    }
    for (const char *s = path; s; s = strchr(s, '/')) {
        apr_size_t first, second;

        s += *s == '/';
        first = dot_len(s);
        second = first ? dot_len(s + first) : 0;
        if (first && (!s[first + second] || s[first + second] == '/')) {
            return 1;
        }
    }
    return 0;
}

static int in_list(const apr_array_header_t *list, const char *text)
{
    for (int i = 0; list && i < list->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(list, i, const char *), text)) {
            return 1;
        }
    }
    return 0;
}

const char *mcp_redirect_check(apr_pool_t *p, const char *uri, const apr_array_header_t *schemes)
{
    mcp_url_t url;

    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS) {
        return "redirect URI is not a valid absolute URI";
    }
    for (apr_size_t i = 0; i < sizeof(never) / sizeof(*never); i++) {
        if (!strcmp(url.scheme, never[i])) {
            return "redirect URI has a forbidden scheme";
        }
    }
    if (url.fragment) {
        return "redirect URI must not have a fragment";
    }
    if (url.has_userinfo) {
        return "redirect URI must not have user information";
    }
    if (mcp_url_has_dot_segments(url.path)) {
        return "redirect URI must not have dot segments, empty segments or encoded slashes in its path";
    }
    if (!strcmp(url.scheme, "https")) {
        return NULL;
    }
    if (!strcmp(url.scheme, "http")) {
        return mcp_url_is_loopback(&url) ? NULL : "redirect URI must be https, or http on the loopback interface";
    }
    return in_list(schemes, url.scheme) ? NULL : "redirect URI has a scheme that is not allowed here";
}

/* @a uri, an http URL, without its port. */
static const char *without_port(apr_pool_t *p, const char *uri)
{
    const char *host = uri + strlen("http://");
    const char *port = host + strcspn(host, "/?#");

    for (const char *c = host; c < port; c++) {
        if (*c == ':' && strspn(c + 1, DIGITS) == (apr_size_t)(port - c - 1)) {
            return apr_pstrcat(p, apr_pstrmemdup(p, uri, (apr_size_t)(c - uri)), port, NULL);
        }
    }
    return uri;
}

int mcp_redirect_match(apr_pool_t *p, const char *registered, const char *presented)
{
    mcp_url_t a, b;

    if (!registered || !presented) {
        return 0;
    }
    if (!strcmp(registered, presented)) {
        return 1;
    }
    return mcp_url_parse(p, registered, &a) == APR_SUCCESS && mcp_url_parse(p, presented, &b) == APR_SUCCESS
           && !strncmp(registered, "http://", 7) && !strncmp(presented, "http://", 7) && mcp_url_is_loopback(&a)
           && !b.has_userinfo && !b.fragment && !strcmp(without_port(p, registered), without_port(p, presented));
}

const char *mcp_redirect_key(apr_pool_t *p, const char *uri)
{
    mcp_url_t url;

    return mcp_url_parse(p, uri, &url) == APR_SUCCESS && !strncmp(uri, "http://", 7) && mcp_url_is_loopback(&url)
               ? without_port(p, uri)
               : uri;
}

/* ":port" where it is not the scheme's own. */
static const char *port_text(apr_pool_t *p, const mcp_url_t *url)
{
    int standard = !strcmp(url->scheme, "https") ? 443 : (!strcmp(url->scheme, "http") ? 80 : 0);

    return url->has_port && url->port != standard ? apr_psprintf(p, ":%d", url->port) : "";
}

char *mcp_url_origin(apr_pool_t *p, const mcp_url_t *url)
{
    if (!*url->host) {
        return NULL;
    }
    return apr_pstrcat(p, url->scheme, "://", url->is_ipv6 ? "[" : "", url->host, url->is_ipv6 ? "]" : "",
                       port_text(p, url), NULL);
}

char *mcp_resource_canonical(apr_pool_t *p, const char *uri)
{
    mcp_url_t url;
    apr_size_t len;

    if (mcp_url_parse(p, uri, &url) != APR_SUCCESS || !is_web(&url) || url.fragment || url.has_userinfo) {
        return NULL;
    }
    len = strlen(url.path);
    if (len && url.path[len - 1] == '/' && !url.query) {
        len--;
    }
    return apr_pstrcat(p, mcp_url_origin(p, &url), apr_pstrmemdup(p, url.path, len), url.query ? "?" : "",
                       url.query ? url.query : "", NULL);
}

char *mcp_url_encode(apr_pool_t *p, const char *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *out = apr_palloc(p, strlen(text) * 3 + 1);
    char *end = out;

    for (; *text; text++) {
        if (strchr(UNRESERVED, *text)) {
            *end++ = *text;
        }
        else {
            *end++ = '%';
            *end++ = hex[(unsigned char)*text >> 4];
            *end++ = hex[(unsigned char)*text & 15];
        }
    }
    *end = '\0';
    return out;
}

char *mcp_url_add_params(apr_pool_t *p, const char *uri, const apr_table_t *params)
{
    const apr_array_header_t *array = apr_table_elts(params);
    const apr_table_entry_t *entry = (const apr_table_entry_t *)array->elts;
    char *result = apr_pstrdup(p, uri);
    apr_size_t len = strlen(uri);
    const char *separator = !strchr(uri, '?') ? "?" : (len && strchr("?&", uri[len - 1]) ? "" : "&");

    for (int i = 0; i < array->nelts; i++) {
        if (entry[i].key && entry[i].val) {
            result = apr_pstrcat(p, result, separator, mcp_url_encode(p, entry[i].key), "=",
                                 mcp_url_encode(p, entry[i].val), NULL);
            separator = "&";
        }
    }
    return result;
}
