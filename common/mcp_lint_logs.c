/* SPDX-License-Identifier: Apache-2.0 */
/* The lint's rules about logs: what would write tokens, codes or sign-ins into one. */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>

#include "mcp_lint_impl.h"

/* What lets people in, as long as it is valid: in no log, of no host. */
static void secrets(mcp_lint_t *lint, const ap_directive_t *d)
{
    static const char *const secret[] = { "{Authorization}i", "{Cookie}i", "{Set-Cookie}o", "{Proxy-Authorization}i" };

    for (apr_size_t i = 0; i < sizeof(secret) / sizeof(*secret); i++) {
        if (ap_strcasestr(d->args, secret[i])) {
            mcp_lint_tell(lint, "error", d, "%%%s writes what lets people in into a log. Take it out", secret[i]);
        }
    }
}

/* What of a format writes the query of a request, or where an answer leads to; NULL: nothing does. */
static const char *leak(apr_pool_t *p, const char *format)
{
    while ((format = strchr(format, '%'))) {
        const char *begin = format++;

        format += strspn(format, "!<>,0123456789");
        if (*format == '{') {
            const char *end = strchr(format, '}');

            if (!end) {
                return NULL;
            }
            if (end[1] == 'o' && !ap_cstr_casecmpn(format, "{Location}", 10)) {
                return "%{Location}o";
            }
            format = end + 1;
        }
        else if (*format == 'r' || *format == 'q') {
            return apr_pstrmemdup(p, begin, (apr_size_t)(format - begin) + 1);
        }
        format += *format != '\0';
    }
    return NULL;
}

/* The format that a CustomLog writes in: its own, or that of the LogFormat with its name. */
static const char *format_of(const mcp_lint_t *lint, const ap_directive_t *log)
{
    const char *format = mcp_lint_word(lint, log, 1);
    apr_array_header_t *formats = mcp_lint_all(lint, "LogFormat");

    for (int i = 0; i < formats->nelts; i++) {
        const ap_directive_t *one = APR_ARRAY_IDX(formats, i, const ap_directive_t *);

        if (*format && !strcmp(mcp_lint_word(lint, one, 1), format)) {
            return mcp_lint_word(lint, one, 0);
        }
    }
    return format;
}

/* Does this log get requests of an authorization server? Those of the main server are for hosts without any of their own. */
static int is_of_oauth(const mcp_lint_t *lint, const ap_directive_t *log, const apr_array_header_t *logs)
{
    apr_array_header_t *hosts = mcp_lint_all(lint, "MCPOAuth");

    for (int i = 0; i < hosts->nelts; i++) {
        const ap_directive_t *oauth = APR_ARRAY_IDX(hosts, i, const ap_directive_t *), *host = mcp_lint_host(oauth);
        int own = 0;

        if (ap_cstr_casecmp(mcp_lint_word(lint, oauth, 0), "on")) {
            continue;
        }
        if (host == mcp_lint_host(log) || mcp_lint_is(log, "GlobalLog")) {
            return 1;
        }
        for (int k = 0; k < logs->nelts; k++) {
            own |= mcp_lint_host(APR_ARRAY_IDX(logs, k, const ap_directive_t *)) == host;
        }
        if (!own && !mcp_lint_host(log)) {
            return 1;
        }
    }
    return 0;
}

static void queries(mcp_lint_t *lint, const char *name)
{
    apr_array_header_t *logs = mcp_lint_all(lint, name);

    for (int i = 0; i < logs->nelts; i++) {
        const ap_directive_t *log = APR_ARRAY_IDX(logs, i, const ap_directive_t *);
        const char *what = leak(lint->p, format_of(lint, log));

        /* with a condition behind the format, somebody thought of it */
        if (!what || *mcp_lint_word(lint, log, 2) || !is_of_oauth(lint, log, logs)) {
            continue;
        }
        if (*what == '%' && what[1] == '{') {
            mcp_lint_tell(lint, "warning", log, "its format has %s: the codes that clients are sent away with. Take it out", what);
        }
        else {
            mcp_lint_tell(lint, "warning", log, "its format has %s, which writes queries: the codes and states that the provider "
                                                "sends people back with. Write %s instead",
                          what, what[strlen(what) - 1] == 'r' ? "%m %U %H" : "%U alone");
        }
    }
}

void mcp_lint_logs(mcp_lint_t *lint)
{
    static const char *const formats[] = { "LogFormat", "CustomLog", "GlobalLog", "ErrorLogFormat" };
    apr_array_header_t *found = mcp_lint_all(lint, "DumpIOInput");

    for (int i = 0; i < found->nelts; i++) {
        const ap_directive_t *d = APR_ARRAY_IDX(found, i, const ap_directive_t *);

        if (!ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "on")) {
            mcp_lint_tell(lint, "error", d, "DumpIOInput writes tokens and sign-ins into the error log. Take the line out");
        }
    }
    found = mcp_lint_all(lint, "ForensicLog");
    for (int i = 0; i < found->nelts; i++) {
        mcp_lint_tell(lint, "error", APR_ARRAY_IDX(found, i, const ap_directive_t *),
                      "ForensicLog writes each request's headers, and with them tokens and cookies. Take the line out");
    }
    for (apr_size_t k = 0; k < sizeof(formats) / sizeof(*formats); k++) {
        found = mcp_lint_all(lint, formats[k]);
        for (int i = 0; i < found->nelts; i++) {
            secrets(lint, APR_ARRAY_IDX(found, i, const ap_directive_t *));
        }
    }
    queries(lint, "CustomLog");
    queries(lint, "GlobalLog");
}
