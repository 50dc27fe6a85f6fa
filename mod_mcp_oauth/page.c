/* SPDX-License-Identifier: Apache-2.0 */
/* Pages for people: the frame with its style, the security headers, escaping, error pages,
 * redirects.
 *
 * Everything is emitted in the handler phase (T35). No script, no image, nothing from elsewhere.
 */

#include "oauth.h"

#include <apr_base64.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_http.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* One style for all pages. Colours have a contrast of 4.5 or more on their ground, light and dark
 * (WCAG 2.2 AA). */
static const char style[] =
    ":root{color-scheme:light "
    "dark;--bg:#f4f5f7;--card:#fff;--text:#1d2129;--soft:#545b68;--line:#d8dce3;"
    "--note:#fff6e0;--noteline:#b27a00;--accent:#1f5fbf}"
    "@media(prefers-color-scheme:dark){:root{--bg:#14161a;--card:#1e2127;--text:#eceef2;--soft:#"
    "aab1bd;"
    "--line:#3a404b;--note:#33290f;--noteline:#d9a021;--accent:#8ab4ff}}"
    "*{box-sizing:border-box}"
    "body{margin:0;background:var(--bg);color:var(--text);font:1rem/1.5 system-ui,sans-serif}"
    "main{max-width:34rem;margin:0 auto;padding:1.5rem 1rem}"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:.75rem;padding:1.5rem;"
    "overflow-wrap:anywhere}"
    ".org{margin:0 0 .75rem;color:var(--soft)}"
    "h1{font-size:1.375rem;line-height:1.3;margin:0 0 1rem}"
    "h2{font-size:1rem;margin:1.25rem 0 .25rem}"
    "p{margin:0 0 .75rem}"
    "ul{margin:.25rem 0 .75rem;padding-left:1.25rem}"
    "input{width:1.25rem;height:1.25rem;margin:0 .25rem 0 "
    "0;vertical-align:-.2rem;accent-color:var(--accent)}"
    "li{margin:.25rem 0}"
    ".soft{color:var(--soft)}"
    ".host{font-size:1.125rem;font-weight:600}"
    ".note{background:var(--note);border-left:.25rem solid var(--noteline);padding:.6rem "
    ".8rem;margin:0 0 .9rem;"
    "border-radius:.25rem}"
    ".choice{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}"
    "button{flex:1 1 9rem;min-height:2.75rem;padding:.5rem "
    "1rem;font:inherit;font-weight:600;color:var(--text);"
    "background:transparent;border:2px solid var(--soft);border-radius:.5rem;cursor:pointer}"
    "button:hover{border-color:var(--accent);color:var(--accent)}"
    ":focus-visible{outline:3px solid var(--accent);outline-offset:2px}"
    "code{font:inherit;font-weight:600}";

typedef struct {
    const char *title;
    const char *text;
} page_text_t;

static const page_text_t texts[MCP_PAGE_COUNT] = {
    [MCP_PAGE_BAD_REQUEST] = { "This sign-in link does not work",
                               "The application sent a request that cannot be accepted. Go back to "
                               "it and connect again. If that does not "
                               "help, its makers have to look into it." },
    [MCP_PAGE_UNKNOWN_CLIENT] = { "This application is not known here",
                                  "Its registration cannot be found. Go back to the application, "
                                  "remove this server, and add it again, so that "
                                  "it registers anew." },
    [MCP_PAGE_REDIRECT] = { "The way back is not registered",
                            "The application asked for the answer to be sent to an address that it "
                            "has not registered. For your safety "
                            "nothing was sent there. Remove this server in the application and add "
                            "it again." },
    [MCP_PAGE_EXPIRED] = { "This step has expired",
                           "Too much time has passed, or the step was done already. Go back to the "
                           "application and connect again." },
    [MCP_PAGE_WRONG_BROWSER] = { "Please start again in this browser",
                                 "This sign-in was not begun in this browser, or its cookie is "
                                 "gone. Go back to the application and connect "
                                 "again. If somebody sent you a link that led here, do not follow "
                                 "it." },
    [MCP_PAGE_FORGED] = { "This request was not sent by our page",
                          "For your safety nothing was done. Go back to the application and "
                          "connect again." },
    [MCP_PAGE_METHOD] = { "There is nothing to see here",
                          "This address is one step of a sign-in and cannot be opened by itself. "
                          "Go back to the application and connect "
                          "again." },
    [MCP_PAGE_TOO_LARGE] = { "This request is too large",
                             "The application sent more than can be accepted. Go back to it and "
                             "connect again." },
    [MCP_PAGE_UNAVAILABLE] = { "Please try again in a moment",
                               "The sign-in cannot be done just now. Nothing is lost: go back to "
                               "the application and connect again." },
};

const char *mcp_html(apr_pool_t *p, const char *text)
{
    apr_size_t extra = 0;
    char *out, *o;

    for (const char *s = text; *s; s++) {
        extra += strchr("&<>\"'", *s) ? 5 : 0;
    }
    if (!extra) {
        return text;
    }
    o = out = apr_palloc(p, strlen(text) + extra + 1);
    for (; *text; text++) {
        const char *entity;

        switch (*text) {
        case '&':
            entity = "&amp;";
            break;
        case '<':
            entity = "&lt;";
            break;
        case '>':
            entity = "&gt;";
            break;
        case '"':
            entity = "&quot;";
            break;
        case '\'':
            entity = "&#39;";
            break;
        default:
            *o++ = *text;
            continue;
        }
        o = apr_cpystrn(o, entity, 7);
    }
    *o = '\0';
    return out;
}

/* The style is allowed by its hash, so that no other can be slipped in. */
static const char *content_security_policy(apr_pool_t *p)
{
    unsigned char hash[MCP_SHA256_LEN];
    char b64[64];

    mcp_sha256(style, sizeof(style) - 1, hash);
    apr_base64_encode_binary(b64, hash, sizeof(hash));
    /* No form-action: browsers check it against the whole chain of redirects after the form,
     * identity provider and the client's private-use URI included, and would break the last hop
     * (field-lessons 17). The form is protected by what is sealed into it. */
    return apr_pstrcat(p, "default-src 'none'; style-src 'sha256-", b64,
                       "'; base-uri 'none'; frame-ancestors 'none'", NULL);
}

static void page_headers(request_rec *r)
{
    mcp_no_store(r);
    apr_table_setn(r->headers_out, "Referrer-Policy",
                   "no-referrer"); /* codes, long URLs (431): no Referer at all */
    apr_table_setn(r->headers_out, "X-Content-Type-Options", "nosniff");
    apr_table_setn(r->headers_out, "X-Frame-Options", "DENY");
}

void mcp_page_begin(request_rec *r, const mcp_oauth_conf_t *conf, int status, const char *title)
{
    r->status = status;
    page_headers(r);
    apr_table_setn(r->headers_out, "Content-Security-Policy", content_security_policy(r->pool));
    ap_set_content_type(r, "text/html; charset=utf-8");
    ap_rvputs(r,
              "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
              "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
              "<meta name=\"robots\" content=\"noindex\">\n<title>",
              mcp_html(r->pool, title), "</title>\n<style>", style,
              "</style>\n</head>\n<body>\n<main>\n"
              "<div class=\"card\">\n<p class=\"org\">",
              mcp_html(r->pool, conf->name), "</p>\n<h1>", mcp_html(r->pool, title), "</h1>\n",
              NULL);
}

int mcp_page_end(request_rec *r)
{
    ap_rputs("</div>\n</main>\n</body>\n</html>\n", r);
    return OK;
}

int mcp_page_error(request_rec *r, const mcp_oauth_conf_t *conf, int status, mcp_page_e page,
                   const char *log)
{
    unsigned char random[4];
    char ref[9];

    mcp_random(random, sizeof(random));
    apr_snprintf(ref, sizeof(ref), "%02x%02x%02x%02x", random[0], random[1], random[2], random[3]);
    ap_log_rerror(APLOG_MARK, status >= 500 ? APLOG_ERR : APLOG_WARNING, 0, r,
                  MCP_LOG(0201) "reference %s: %s: %s", ref, texts[page].title, log ? log : "-");
    if (status == HTTP_SERVICE_UNAVAILABLE) {
        apr_table_setn(r->headers_out, "Retry-After", MCP_STORE_RETRY_AFTER);
    }
    mcp_page_begin(r, conf, status, texts[page].title);
    ap_rvputs(r, "<p>", texts[page].text,
              "</p>\n<p class=\"soft\">Reference for the administrator: <code>", ref,
              "</code></p>\n", NULL);
    return mcp_page_end(r);
}

int mcp_page_redirect(request_rec *r, const char *url)
{
    r->status = r->method_number == M_POST ? HTTP_SEE_OTHER : HTTP_MOVED_TEMPORARILY;
    page_headers(r);
    apr_table_setn(r->headers_out, "Location", url);
    ap_set_content_type(r, "text/plain; charset=utf-8");
    return OK;
}
