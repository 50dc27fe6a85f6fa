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

/* The format that a log writes in: its own, or that of the LogFormat with its name. A TransferLog has that of the last one
 * without a name. */
static const char *format_of(const mcp_lint_t *lint, const ap_directive_t *log)
{
    const char *name = mcp_lint_is(log, "TransferLog") ? "" : mcp_lint_word(lint, log, 1);
    const char *format = !*name || !strcmp(name, "CLF") ? "%h %l %u %t \"%r\" %>s %b" : name;

    for (const ap_directive_t *d = mcp_lint_next(NULL, "LogFormat"); d; d = mcp_lint_next(d, "LogFormat")) {
        if (!strcmp(mcp_lint_word(lint, d, 1), name)) {
            format = mcp_lint_word(lint, d, 0);
        }
    }
    return format;
}

static int is_log(const ap_directive_t *d)
{
    return mcp_lint_is(d, "CustomLog") || mcp_lint_is(d, "TransferLog");
}

/* Does this host have a log of its own? Else it writes into those of the main server. */
static int has_log(const ap_directive_t *host)
{
    for (const ap_directive_t *one = host ? host->first_child : ap_conftree; one; one = one->next) {
        if (is_log(one)) {
            return 1;
        }
    }
    return 0;
}

/* Does this log get requests of an authorization server? */
static int is_of_oauth(const mcp_lint_t *lint, const ap_directive_t *log)
{
    for (const ap_directive_t *d = mcp_lint_next(NULL, "MCPOAuth"); d; d = mcp_lint_next(d, "MCPOAuth")) {
        const ap_directive_t *host = mcp_lint_host(d);

        if (!ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "on")
            && (host == mcp_lint_host(log) || mcp_lint_is(log, "GlobalLog") || (!mcp_lint_host(log) && !has_log(host)))) {
            return 1;
        }
    }
    return 0;
}

static void queries(mcp_lint_t *lint, const ap_directive_t *log)
{
    const char *what = leak(lint->p, format_of(lint, log));

    /* with a condition behind the format, somebody thought of it */
    if (!what || *mcp_lint_word(lint, log, 2) || !is_of_oauth(lint, log)) {
        return;
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

/* What httpd tells of itself when it is asked for much, and from which trace level on it tells of headers. */
static void levels(mcp_lint_t *lint, const ap_directive_t *d)
{
    static const struct {
        const char *module;
        char from;
    } tellers[] = { { "", '4' }, { "http:", '4' }, { "http_module:", '4' }, { "http2:", '2' }, { "http2_module:", '2' } };
    const char *args = d->args ? d->args : "", *word;

    while (*(word = ap_getword_conf(lint->p, &args))) {
        for (apr_size_t i = 0; i < sizeof(tellers) / sizeof(*tellers); i++) {
            size_t len = strlen(tellers[i].module);

            if (!ap_cstr_casecmpn(word, tellers[i].module, len) && !ap_cstr_casecmpn(word + len, "trace", 5)
                && word[len + 5] >= tellers[i].from && word[len + 5] <= '8') {
                mcp_lint_tell(lint, "error", d, "LogLevel %s writes the headers of each request into the error log, and with them tokens "
                                                "and cookies. Name the module that you want to hear of: mcp_guard:debug",
                              word);
                return;
            }
        }
    }
}

void mcp_lint_logs(mcp_lint_t *lint, const ap_directive_t *d)
{
    static const char *const formats[] = { "LogFormat", "CustomLog", "GlobalLog", "ErrorLogFormat" };

    for (apr_size_t k = 0; k < sizeof(formats) / sizeof(*formats); k++) {
        if (mcp_lint_is(d, formats[k])) {
            secrets(lint, d);
        }
    }
    if ((mcp_lint_is(d, "DumpIOInput") || mcp_lint_is(d, "DumpIOOutput")) && !ap_cstr_casecmp(mcp_lint_word(lint, d, 0), "on")) {
        mcp_lint_tell(lint, "error", d, "%s writes tokens and sign-ins into the error log. Take the line out", d->directive);
    }
    else if (mcp_lint_is(d, "ForensicLog")) {
        mcp_lint_tell(lint, "error", d, "ForensicLog writes each request's headers, and with them tokens and cookies. Take the line out");
    }
    else if (mcp_lint_is(d, "LogLevel")) {
        levels(lint, d);
    }
    else if (is_log(d) || mcp_lint_is(d, "GlobalLog")) {
        queries(lint, d);
    }
}
