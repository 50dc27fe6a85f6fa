/* SPDX-License-Identifier: Apache-2.0 */
/* Reading one cookie out of a Cookie header, and building Set-Cookie values. */

#include <string.h>

#include <apr_strings.h>

#include "mcp_cookie.h"

#define HOST_PREFIX "__Host-"

/* The first value at or behind *from, which is moved behind it. */
static char *next_value(apr_pool_t *p, const char **from, const char *name, int secure)
{
    const char *wanted = secure ? apr_pstrcat(p, HOST_PREFIX, name, NULL) : name;
    apr_size_t wanted_len = strlen(wanted);
    const char *at = *from;

    while (at && *at) {
        const char *end;
        apr_size_t len;

        while (*at == ' ' || *at == '\t' || *at == ';') {
            at++;
        }
        end = strchr(at, ';');
        len = end ? (apr_size_t)(end - at) : strlen(at);
        if (len > wanted_len && at[wanted_len] == '=' && memcmp(at, wanted, wanted_len) == 0) {
            const char *value = at + wanted_len + 1;
            apr_size_t n = len - wanted_len - 1;

            while (n && (value[n - 1] == ' ' || value[n - 1] == '\t')) {
                n--;
            }
            /* RFC 6265 lets a server quote the value; we never do, but an intermediary may. */
            if (n >= 2 && value[0] == '"' && value[n - 1] == '"') {
                value++;
                n -= 2;
            }
            *from = end;
            return apr_pstrmemdup(p, value, n);
        }
        at = end;
    }
    *from = NULL;
    return NULL;
}

char *mcp_cookie_get(apr_pool_t *p, const char *header, const char *name, int secure)
{
    return next_value(p, &header, name, secure);
}

char *mcp_cookie_once(apr_pool_t *p, const char *header, const char *name, int secure)
{
    char *value = next_value(p, &header, name, secure);

    return value && !next_value(p, &header, name, secure) ? value : NULL;
}

char *mcp_cookie_set(apr_pool_t *p, const char *name, const char *value, int max_age, int secure)
{
    char *cookie = apr_psprintf(p, "%s%s=%s; Path=/; HttpOnly; SameSite=Lax%s%s", secure ? HOST_PREFIX : "",
                                name, value, secure ? "; Secure" : "",
                                max_age >= 0 ? apr_psprintf(p, "; Max-Age=%d", max_age) : "");

    return strlen(cookie) <= MCP_COOKIE_MAX ? cookie : NULL;
}
