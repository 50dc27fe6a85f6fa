/* SPDX-License-Identifier: Apache-2.0 */
/* Strict URLs: parse, loopback rule, redirect match, resource match, query building. */

#ifndef MCP_URL_H
#define MCP_URL_H

#include <apr_pools.h>
#include <apr_errno.h>
#include <apr_tables.h>

typedef struct {
    const char *scheme; /* lower case */
    const char *host;   /* lower case, IPv6 without brackets; "" for private-use URIs without an authority */
    int port;           /* explicit or the scheme's default; 0 when neither */
    int has_port;       /* the port was written */
    int is_ipv6;
    const char *path;     /* as written, "" when empty */
    const char *query;    /* without "?", NULL when absent */
    const char *fragment; /* without "#", NULL when absent */
    int has_userinfo;
} mcp_url_t;

#define MCP_URL_MAX 2048

/**
 * Parse an absolute URI (RFC 3986), strictly: printable ASCII only, no backslash, no white space, no control bytes,
 * valid percent-encoding, at most MCP_URL_MAX bytes. http and https need a host.
 * @return APR_SUCCESS or APR_EINVAL
 */
apr_status_t mcp_url_parse(apr_pool_t *p, const char *text, mcp_url_t *url);

/** 127.0.0.0/8, ::1 and the name localhost (RFC 8252 section 7.3; the name because real clients use it). */
int mcp_url_is_loopback(const mcp_url_t *url);

/** A path with "." or ".." segments, also percent-encoded, or with "//" or an encoded slash or backslash (T6). */
int mcp_url_has_dot_segments(const char *path);

/**
 * May this URI be registered as a redirect URI? https, http on loopback, or one of @a schemes (private use,
 * RFC 8252 section 7.1); never javascript:, data: and kin (T8); no fragment, no userinfo, no dot segments.
 * @param schemes  NULL or lower-case scheme names that the administrator allows
 * @return NULL when it may, else the reason as an error_description
 */
const char *mcp_redirect_check(apr_pool_t *p, const char *uri, const apr_array_header_t *schemes);

/**
 * Does a presented redirect URI equal a registered one? Exact string match (AS-7), except that the port may differ
 * on loopback http URIs (RFC 8252 section 7.3); localhost and the literals are not interchangeable.
 */
int mcp_redirect_match(apr_pool_t *p, const char *registered, const char *presented);

/** A redirect URI as a name for where an answer goes: without the port of a loopback http URI, which is another one each
 * time (RFC 8252 section 7.3); else as it is. */
const char *mcp_redirect_key(apr_pool_t *p, const char *uri);

/**
 * Canonical form of a resource identifier (RFC 8707): scheme and host in lower case, default port and a single
 * trailing slash dropped. NULL when it is not an http(s) URL without fragment.
 */
char *mcp_resource_canonical(apr_pool_t *p, const char *uri);

/** scheme://host[:port] of a URL, lower case, default port dropped; NULL when it has none. */
char *mcp_url_origin(apr_pool_t *p, const mcp_url_t *url);

/** Percent-encode everything but RFC 3986 unreserved characters. */
char *mcp_url_encode(apr_pool_t *p, const char *text);

/** Add name=value pairs from @a params (NULL values are skipped) to @a uri with "?" or "&" as needed. */
char *mcp_url_add_params(apr_pool_t *p, const char *uri, const apr_table_t *params);

#endif
