/* SPDX-License-Identifier: Apache-2.0 */
/* Pages for people: language, security headers, error pages with a reference, redirects.
 *
 * Everything is emitted in the handler phase (T35). No script, nothing from elsewhere.
 */

#include "oauth.h"
#include "page_build.h"

#include <apr_escape.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

#define LOCALES_NOTE "mcp-ui-locales"

/* Messages of each page, and the error code that a program gets instead of it (RFC 6749 section 5.2). */
static const struct {
    const char *name;
    const char *code;
} errors[MCP_PAGE_COUNT] = {
    [MCP_PAGE_BAD_REQUEST] = { "bad_request", "invalid_request" },
    [MCP_PAGE_UNKNOWN_CLIENT] = { "unknown_client", "invalid_client" },
    [MCP_PAGE_REDIRECT] = { "redirect", "invalid_request" },
    [MCP_PAGE_EXPIRED] = { "expired", "invalid_request" },
    [MCP_PAGE_WRONG_BROWSER] = { "wrong_browser", "access_denied" },
    [MCP_PAGE_FORGED] = { "forged", "access_denied" },
    [MCP_PAGE_METHOD] = { "method", "invalid_request" },
    [MCP_PAGE_TOO_LARGE] = { "too_large", "invalid_request" },
    [MCP_PAGE_UNAVAILABLE] = { "unavailable", "temporarily_unavailable" },
    [MCP_PAGE_CLIENT_DOCUMENT] = { "client_document", "temporarily_unavailable" },
    [MCP_PAGE_TOO_MANY] = { "too_many", "temporarily_unavailable" },
    [MCP_PAGE_DENIED] = { "denied", "access_denied" },
    [MCP_PAGE_PROVIDER] = { "provider", "server_error" },
};

void mcp_page_locales(request_rec *r, const char *locales)
{
    if (locales && *locales) {
        apr_table_setn(r->notes, LOCALES_NOTE, locales);
    }
}

const mcp_language_t *mcp_page_language(request_rec *r, const mcp_oauth_conf_t *conf)
{
    return mcp_language_choose(&conf->pages->messages, apr_table_get(r->notes, LOCALES_NOTE),
                               apr_table_get(r->headers_in, "Accept-Language"));
}

static const char *text_in(apr_pool_t *p, const mcp_messages_t *messages,
                           const mcp_language_t *language, const char *key, const json_t *model)
{
    int index = mcp_message_find(messages, key, strlen(key));

    /* a key that does not exist is a mistake in this module, which a unit test finds */
    return index < 0 ? key : mcp_message_format(p, messages, language, index, model);
}

const char *mcp_page_text(request_rec *r, const mcp_oauth_conf_t *conf, const char *key,
                          const json_t *model)
{
    return text_in(r->pool, &conf->pages->messages, mcp_page_language(r, conf), key, model);
}

/* Without the isolates around the values of a message (template.h): the parts of a date are our own words, and a
 * text of nothing but isolates has no direction, so that within another message it would be laid out from
 * left to right also in Arabic (Unicode TR 9, rule P2). */
static const char *without_isolates(apr_pool_t *p, const char *text)
{
    char *out = apr_pstrdup(p, text), *to = out;

    for (const char *from = text; *from;) {
        if (!strncmp(from, "\xE2\x81\xA8", 3) || !strncmp(from, "\xE2\x81\xA9", 3)) {
            from += 3;
            continue;
        }
        *to++ = *from++;
    }
    *to = '\0';
    return out;
}

const char *mcp_page_date(request_rec *r, const mcp_oauth_conf_t *conf, apr_time_t when)
{
    const char *text, *month;
    apr_time_exp_t t;
    json_t *model;

    apr_time_exp_gmt(&t, when);
    month = mcp_page_text(r, conf, apr_psprintf(r->pool, "month_%d", t.tm_mon + 1), NULL);
    model = json_pack("{s:i, s:s, s:i}", "day", t.tm_mday, "month", month, "year",
                      1900 + t.tm_year);
    text = mcp_page_text(r, conf, "date", model);
    json_decref(model);
    return without_isolates(r->pool, text);
}

static void page_headers(request_rec *r)
{
    mcp_no_store(r);
    apr_table_setn(r->headers_out, "Referrer-Policy",
                   "no-referrer"); /* codes, long URLs (431): no Referer at all */
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "X-Frame-Options", "DENY");
}

static void put(void *r, const char *text, apr_size_t len)
{
    ap_rwrite(text, (int)len, r);
}

int mcp_page_send(request_rec *r, const mcp_oauth_conf_t *conf, int status, mcp_view_e view,
                  json_t *model)
{
    const mcp_pages_t *pages = conf->pages;
    const mcp_language_t *language = mcp_page_language(r, conf);
    mcp_template_page_t page = {
        .frame = pages->frame,
        .content = pages->views[view],
        .style = pages->style,
        .common = pages->common,
        .model = model,
        .messages = &pages->messages,
        .language = language,
    };

    r->status = status;
    page_headers(r);
    apr_table_setn(r->headers_out, "Content-Security-Policy", pages->policy);
    apr_table_setn(r->headers_out, "Content-Language", language->id);
    ap_set_content_type(r, "text/html; charset=utf-8");
    mcp_put(model, "lang", language->id);
    mcp_template_render(&page, put, r);
    json_decref(model);
    return OK;
}

int mcp_page_notice(request_rec *r, const mcp_oauth_conf_t *conf, const char *title,
                    const char *text)
{
    json_t *model = json_object();

    mcp_put(model, "title", mcp_page_text(r, conf, title, NULL));
    mcp_put(model, "text", mcp_page_text(r, conf, text, NULL));
    return mcp_page_send(r, conf, HTTP_OK, MCP_VIEW_NOTICE, model);
}

/* Whoever wants JSON and no HTML is a program. mcp-remote asks so before it opens a browser with an id that it has
 * kept, and registers anew where that is no longer known. */
static int is_program(request_rec *r)
{
    const char *accept = apr_table_get(r->headers_in, "Accept");

    return accept && ap_strstr_c(accept, "application/json") && !ap_strstr_c(accept, "text/html");
}

int mcp_page_error(request_rec *r, const mcp_oauth_conf_t *conf, int status, mcp_page_e page,
                   const char *log)
{
    const mcp_messages_t *messages = &conf->pages->messages;
    const char *title = apr_psprintf(r->pool, "error_%s_title", errors[page].name);
    const char *plain =
        text_in(r->pool, messages, &APR_ARRAY_IDX(messages->languages, 0, mcp_language_t), title, NULL);
    json_t *model;
    unsigned char random[4];
    char ref[9];

    mcp_random(random, sizeof(random));
    apr_escape_hex(ref, random, sizeof(random), 0, NULL);
    ap_log_rerror(APLOG_MARK, status >= 500 ? APLOG_ERR : APLOG_WARNING, 0, r,
                  MCP_LOG(0201) "reference %s: %s: %s", ref, plain, log ? log : "-");
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", MCP_STORE_RETRY_AFTER);
    }
    if (is_program(r)) {
        return mcp_send_oauth_error(r, status, errors[page].code,
                                    apr_psprintf(r->pool, "%s (reference %s)", plain, ref));
    }
    model = json_object();
    mcp_put(model, "title", mcp_page_text(r, conf, title, NULL));
    mcp_put(model, "text",
            mcp_page_text(r, conf, apr_psprintf(r->pool, "error_%s_text", errors[page].name), NULL));
    mcp_put(model, "reference", ref);
    return mcp_page_send(r, conf, status, MCP_VIEW_NOTICE, model);
}

int mcp_page_redirect(request_rec *r, const char *url)
{
    r->status = r->method_number == M_POST ? HTTP_SEE_OTHER : HTTP_MOVED_TEMPORARILY;
    page_headers(r);
    apr_table_setn(r->headers_out, "Location", url);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    return OK;
}
