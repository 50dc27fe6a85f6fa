/* SPDX-License-Identifier: Apache-2.0 */
/* Templates, messages and looks: put together and checked when httpd starts. */

#include "oauth.h"
#include "page_build.h"

#include <apr_base64.h>
#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "page_builtin.h"

#define MESSAGES_MAX 131072 /* bytes of a message file */

#define COMMON "lang title org logo! footer help links[label url!] "

/* The names that each template may use: see page.h. */
static const struct {
    const char *file;
    const char *names;
} views[MCP_VIEW_COUNT] = {
    [MCP_VIEW_CONSENT] = { "consent.html",
                           COMMON "client client_url client_logo! verified_host unverified resource "
                                  "scopes[text name optional field] no_scopes any_optional "
                                  "to_host to_loopback to_scheme redirect account "
                                  "provider provider_scope several providers[label scope] "
                                  "action! form" },
    [MCP_VIEW_NOTICE] = { "notice.html", COMMON "text reference action! form button "
                                                "link_url! link_label" },
    [MCP_VIEW_CONNECTIONS] = { "connections.html",
                               COMMON "account done uncertain connections[client host client_logo! unverified "
                                      "resource since last_used scopes[text] form] "
                                      "action! all_form signout_action! signout_form" },
    [MCP_VIEW_CHOOSER] = { "chooser.html",
                           COMMON "client resource providers[name label last] action! form" },
};

/* The names of a directory's files. One that is not wanted is a mistake of the administrator's. */
static const char *list_files(apr_pool_t *p, const char *path, const char *what,
                              int (*wanted)(const char *name), apr_array_header_t **names)
{
    apr_finfo_t entry;
    apr_dir_t *dir;
    char buf[120];
    apr_status_t rv = apr_dir_open(&dir, path, p);

    if (rv != APR_SUCCESS) {
        return apr_psprintf(p, "%s: %s cannot be read: %s", what, path,
                            apr_strerror(rv, buf, sizeof(buf)));
    }
    *names = apr_array_make(p, 8, sizeof(const char *));
    while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
        if (*entry.name == '.') {
            continue;
        }
        if (!wanted(entry.name)) {
            apr_dir_close(dir);
            return apr_psprintf(p, "%s: nothing reads %s/%s: rename it, or take it away", what,
                                path, entry.name);
        }
        APR_ARRAY_PUSH(*names, const char *) = apr_pstrdup(p, entry.name);
    }
    apr_dir_close(dir);
    return NULL;
}

static int is_message_file(const char *name)
{
    apr_size_t len = strlen(name);

    return len > 5 && !strcmp(name + len - 5, ".json");
}

static const char *built_in(const char *file)
{
    const mcp_builtin_page_t *page = mcp_builtin_pages;

    while (page->name && strcmp(page->name, file)) {
        page++;
    }
    return page->text;
}

static int is_template_file(const char *name)
{
    return built_in(name) != NULL;
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

/* MCPOAuthPageMessages and MCPOAuthPageLanguage */
static const char *add_messages(apr_pool_t *p, const mcp_page_conf_t *page,
                                mcp_messages_t *messages)
{
    apr_array_header_t *names = NULL;
    const char *why = NULL;

    if (page->messages) {
        why = list_files(p, page->messages, "MCPOAuthPageMessages", is_message_file, &names);
    }
    for (int i = 0; !why && names && i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        const char *path = apr_pstrcat(p, page->messages, "/", name, NULL);
        apr_size_t len = 0;
        json_t *json;
        char *text;

        why = mcp_read_file(p, path, MESSAGES_MAX, &text, &len);
        if (!why && text) {
            json = mcp_json_parse(p, text, len, MESSAGES_MAX);
            why = json ? mcp_messages_add(p, messages,
                                          apr_pstrmemdup(p, name, strlen(name) - 5), json, path)
                       : apr_psprintf(p, "%s is no JSON object with each member once", path);
        }
    }
    if (!why && page->language) {
        const mcp_language_t *language =
            mcp_language_find(messages, page->language, strlen(page->language));

        if (!language) {
            return apr_psprintf(p, "MCPOAuthPageLanguage: there are no messages in \"%s\": add "
                                   "%s.json to MCPOAuthPageMessages",
                                page->language, page->language);
        }
        messages->fallback = (int)(language - (mcp_language_t *)messages->languages->elts);
    }
    return why;
}

/* A template's text: the administrator's, or else the built-in one. */
static const char *find_text(apr_pool_t *p, const mcp_page_conf_t *page, const char **file,
                             const char **text)
{
    const char *path, *why;
    apr_finfo_t info;
    apr_size_t len = 0;
    char *own;

    *text = built_in(*file);
    if (!page->templates) {
        return NULL;
    }
    path = apr_pstrcat(p, page->templates, "/", *file, NULL);
    if (APR_STATUS_IS_ENOENT(apr_stat(&info, path, APR_FINFO_TYPE, p))) {
        return NULL;
    }
    *file = path;
    why = mcp_read_file(p, path, MCP_TEMPLATE_MAX, &own, &len);
    if (why || !own) {
        return why;
    }
    if (!len) {
        return apr_psprintf(p, "%s is empty", path);
    }
    *text = own;
    return strlen(own) == len && mcp_is_utf8(own) ? NULL
                                                  : apr_psprintf(p, "%s is not UTF-8", path);
}

static const char *load_template(apr_pool_t *p, const mcp_page_conf_t *page, const char *file,
                                 const char *names, const char *partials, mcp_pages_t *pages,
                                 const mcp_template_t **template)
{
    const char *text, *why = find_text(p, page, &file, &text);

    if (!why) {
        *template =
            mcp_template_parse(p, file, text, names, partials, &pages->messages, &why);
    }
    return why;
}

static const char *load_style(apr_pool_t *p, const mcp_page_conf_t *page, mcp_pages_t *pages)
{
    const char *file = "style.css", *text, *why = find_text(p, page, &file, &text);

    if (why) {
        return why;
    }
    if (strchr(text, '<')) {
        return apr_psprintf(p, "%s: a < cannot stand in a style sheet: write \\3c", file);
    }
    pages->style = apr_pstrcat(p, text, mcp_page_color_rules(p, page), NULL);
    return mcp_page_color_check(p, page);
}

static const char *load_templates(apr_pool_t *p, const mcp_page_conf_t *page, mcp_pages_t *pages)
{
    apr_array_header_t *found;
    const char *why = page->templates ? list_files(p, page->templates, "MCPOAuthPageTemplates",
                                                   is_template_file, &found)
                                      : NULL;

    if (!why) {
        why = load_template(p, page, "frame.html", COMMON, "content style", pages, &pages->frame);
    }
    for (int i = 0; i < MCP_VIEW_COUNT && !why; i++) {
        why = load_template(p, page, views[i].file, views[i].names, "", pages, &pages->views[i]);
    }
    return why ? why : load_style(p, page, pages);
}

/* The values of all pages. */
static const char *load_common(apr_pool_t *p, const mcp_oauth_conf_t *conf, json_t *common)
{
    const mcp_page_conf_t *page = conf->page;
    json_t *links = json_array();
    const char *logo = NULL, *why;

    json_object_set_new(common, "links", links);
    if (!mcp_is_utf8(conf->name)) {
        return "MCPOAuthName is not UTF-8: write it so";
    }
    mcp_put(common, "org", conf->name);
    if (page->logo) {
        why = mcp_page_image(p, page->logo, &logo);
        if (why) {
            return apr_pstrcat(p, "MCPOAuthPageLogo: ", why, NULL);
        }
        mcp_put(common, "logo", logo);
    }
    mcp_put(common, "help", page->help);
    for (int i = 0; page->links && i < page->links->nelts; i++) {
        const mcp_page_link_t *link = &APR_ARRAY_IDX(page->links, i, mcp_page_link_t);
        json_t *row = json_object();

        mcp_put(row, "label", link->label);
        mcp_put(row, "url", link->url);
        json_array_append_new(links, row);
    }
    json_object_set_new(common, "footer", json_boolean(page->help || page->links));
    return NULL;
}

/* Where clients' logos are, as a source of the policy (CSP 3, section 2.3.1), in which these two part. */
static const char *logo_source(apr_pool_t *p, const mcp_oauth_conf_t *conf)
{
    const char *source = conf->origin;

    for (const char *s = conf->base_path; *s; s++) {
        source = apr_psprintf(p, *s == ';' || *s == ',' ? "%s%%%02X" : "%s%c", source, *s);
    }
    return apr_pstrcat(p, source, MCP_CLIENT_LOGO_PATH, NULL);
}

/* The style is allowed by its hash, so that no other can be slipped in. */
static const char *content_security_policy(apr_pool_t *p, const mcp_oauth_conf_t *conf,
                                           const char *style)
{
    const char *images = apr_pstrcat(p, conf->page->logo ? " data:" : "",
                                     mcp_client_logos(conf->clients) ? " " : "",
                                     mcp_client_logos(conf->clients) ? logo_source(p, conf) : "",
                                     NULL);
    unsigned char hash[MCP_SHA256_LEN];
    char b64[64];

    mcp_sha256(style, strlen(style), hash);
    apr_base64_encode_binary(b64, hash, sizeof(hash));
    /* No form-action: browsers check it against the whole chain of redirects after the form,
     * identity provider and the client's private-use URI included, and would break the last hop
     * (field-lessons 17). The form is protected by what is sealed into it. */
    return apr_pstrcat(p, "default-src 'none'; style-src 'sha256-", b64, "'; ",
                       *images ? "img-src" : "", images, *images ? "; " : "",
                       "base-uri 'none'; frame-ancestors 'none'", NULL);
}

const char *mcp_pages_build(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_pages_t **out)
{
    mcp_pages_t *pages = apr_pcalloc(p, sizeof(*pages));
    json_t *common = mcp_json_own(p, json_object());
    const char *why;

    load_messages(p, &pages->messages);
    why = add_messages(p, conf->page, &pages->messages);
    why = why ? why : load_templates(p, conf->page, pages);
    why = why ? why : load_common(p, conf, common);
    if (why) {
        return why;
    }
    pages->policy = content_security_policy(p, conf, pages->style);
    pages->common = common;
    *out = pages;
    return NULL;
}
