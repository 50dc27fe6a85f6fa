/* SPDX-License-Identifier: Apache-2.0 */
/* Templates, messages and looks: put together and checked when httpd starts. */

#include "oauth.h"
#include "page_build.h"

#include <apr_base64.h>
#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "page_builtin.h"

#define COMMON "lang title org logo! footer help links[label url!] "

/* The names that each template may use: see page.h. */
static const struct {
    const char *file;
    const char *names;
} views[MCP_VIEW_COUNT] = {
    [MCP_VIEW_CONSENT] = { "consent.html",
                           COMMON "client client_url verified_host unverified resource "
                                  "scopes[text name optional field] no_scopes any_optional "
                                  "to_host to_loopback to_scheme redirect account "
                                  "provider provider_scope several providers[label scope] "
                                  "action! form" },
    [MCP_VIEW_NOTICE] = { "notice.html", COMMON "text reference action! form button "
                                                "link_url! link_label" },
    [MCP_VIEW_CONNECTIONS] = { "connections.html",
                               COMMON "account done uncertain connections[client host resource "
                                      "since last_used scopes[text] form] "
                                      "action! signout_action! signout_form" },
    [MCP_VIEW_CHOOSER] = { "chooser.html",
                           COMMON "client resource providers[name label last] action! form" },
};

static const char *built_in(const char *file)
{
    const mcp_builtin_page_t *page = mcp_builtin_pages;

    while (page->name && strcmp(page->name, file)) {
        page++;
    }
    return page->text;
}

static void load_messages(apr_pool_t *p, mcp_messages_t *messages)
{
    messages->keys = mcp_builtin_keys;
    while (mcp_builtin_keys[messages->count]) {
        messages->count++;
    }
    messages->languages = apr_array_make(p, 10, sizeof(mcp_language_t));
    for (const mcp_builtin_language_t *b = mcp_builtin_languages; b->id; b++) {
        mcp_language_t *language = apr_array_push(messages->languages);

        language->id = b->id;
        language->texts = b->texts;
        language->rtl = b->rtl;
    }
}

/* The style is allowed by its hash, so that no other can be slipped in. */
static const char *content_security_policy(apr_pool_t *p, const char *style)
{
    unsigned char hash[MCP_SHA256_LEN];
    char b64[64];

    mcp_sha256(style, strlen(style), hash);
    apr_base64_encode_binary(b64, hash, sizeof(hash));
    /* No form-action: browsers check it against the whole chain of redirects after the form,
     * identity provider and the client's private-use URI included, and would break the last hop
     * (field-lessons 17). The form is protected by what is sealed into it. */
    return apr_pstrcat(p, "default-src 'none'; style-src 'sha256-", b64,
                       "'; base-uri 'none'; frame-ancestors 'none'", NULL);
}

const char *mcp_pages_build(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_pages_t **out)
{
    mcp_pages_t *pages = apr_pcalloc(p, sizeof(*pages));
    json_t *common = mcp_json_own(p, json_object());
    const char *why;

    load_messages(p, &pages->messages);
    pages->style = built_in("style.css");
    pages->policy = content_security_policy(p, pages->style);
    pages->frame = mcp_template_parse(p, "frame.html", built_in("frame.html"), COMMON,
                                      "content style", &pages->messages, &why);
    for (int i = 0; i < MCP_VIEW_COUNT && !why; i++) {
        pages->views[i] = mcp_template_parse(p, views[i].file, built_in(views[i].file),
                                             views[i].names, "", &pages->messages, &why);
    }
    if (why) {
        return why;
    }
    if (!mcp_is_utf8(conf->name)) {
        return "MCPOAuthName is not UTF-8: write it so";
    }
    mcp_put(common, "org", conf->name);
    pages->common = common;
    *out = pages;
    return NULL;
}
