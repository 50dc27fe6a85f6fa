/* SPDX-License-Identifier: Apache-2.0 */
/* Directives about pages. */

#include "oauth.h"
#include "page_build.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_url.h"
#include "mcp_util.h"

#define TEXT_MAX 300 /* bytes of a text that is shown at the foot of each page */
#define LINKS_MAX 6

static mcp_page_conf_t *page_of(cmd_parms *cmd)
{
    mcp_oauth_conf_t *conf = ap_get_module_config(cmd->server->module_config, &mcp_oauth_module);

    return conf->page;
}

mcp_page_conf_t *mcp_page_conf_create(apr_pool_t *p)
{
    return apr_pcalloc(p, sizeof(mcp_page_conf_t));
}

mcp_page_conf_t *mcp_page_conf_merge(apr_pool_t *p, const mcp_page_conf_t *base,
                                     const mcp_page_conf_t *add)
{
    mcp_page_conf_t *page = apr_palloc(p, sizeof(*page));

    page->language = add->language ? add->language : base->language;
    page->logo = add->logo ? add->logo : base->logo;
    page->colors = add->colors ? add->colors : base->colors;
    page->help = add->help ? add->help : base->help;
    page->links = add->links ? add->links : base->links;
    page->templates = add->templates ? add->templates : base->templates;
    page->messages = add->messages ? add->messages : base->messages;
    return page;
}

const char *mcp_set_page_language(cmd_parms *cmd, void *dummy, const char *arg)
{
    page_of(cmd)->language = arg;
    return NULL;
}

static const char *set_path(cmd_parms *cmd, const char *arg, const char **path)
{
    *path = ap_server_root_relative(cmd->pool, arg);
    return *path ? NULL : apr_psprintf(cmd->pool, "%s: \"%s\" is no path", cmd->cmd->name, arg);
}

const char *mcp_set_page_logo(cmd_parms *cmd, void *dummy, const char *arg)
{
    return set_path(cmd, arg, &page_of(cmd)->logo);
}

const char *mcp_set_page_templates(cmd_parms *cmd, void *dummy, const char *arg)
{
    return set_path(cmd, arg, &page_of(cmd)->templates);
}

const char *mcp_set_page_messages(cmd_parms *cmd, void *dummy, const char *arg)
{
    return set_path(cmd, arg, &page_of(cmd)->messages);
}

static int is_color(const char *text)
{
    return strlen(text) == 7 && *text == '#' && strspn(text + 1, "0123456789abcdefABCDEF") == 6;
}

const char *mcp_set_page_color(cmd_parms *cmd, void *dummy, const char *name, const char *light,
                               const char *dark)
{
    mcp_page_conf_t *page = page_of(cmd);
    mcp_page_color_t *color;

    if (!mcp_page_color_known(name)) {
        return "MCPOAuthPageColor: the colours are text, soft, accent, ground, card, note and done";
    }
    if (!is_color(light) || !is_color(dark)) {
        return "MCPOAuthPageColor takes two colours, for the light and for the dark theme, such as "
               "#1f5fbf #8ab4ff";
    }
    if (!page->colors) {
        page->colors = apr_array_make(cmd->pool, 4, sizeof(mcp_page_color_t));
    }
    color = apr_array_push(page->colors);
    color->name = name;
    color->light = light;
    color->dark = dark;
    return NULL;
}

static const char *check_text(cmd_parms *cmd, const char *text)
{
    return *text && strlen(text) <= TEXT_MAX && mcp_is_utf8(text)
               ? NULL
               : apr_psprintf(cmd->pool, "%s takes a text of 1 to %d bytes in UTF-8",
                              cmd->cmd->name, TEXT_MAX);
}

const char *mcp_set_page_help(cmd_parms *cmd, void *dummy, const char *arg)
{
    page_of(cmd)->help = arg;
    return check_text(cmd, arg);
}

/* https and mailto only: nothing that runs in the page. */
static int is_link(apr_pool_t *p, const char *url)
{
    mcp_url_t parsed;

    if (!strncmp(url, "mailto:", 7)) {
        return url[7] && mcp_is_header_safe(url) && !strpbrk(url, " \"<>");
    }
    return mcp_url_parse(p, url, &parsed) == APR_SUCCESS && !strcmp(parsed.scheme, "https")
           && !parsed.has_userinfo;
}

const char *mcp_set_page_link(cmd_parms *cmd, void *dummy, const char *label, const char *url)
{
    mcp_page_conf_t *page = page_of(cmd);
    mcp_page_link_t *link;

    if (!is_link(cmd->pool, url)) {
        return apr_psprintf(cmd->pool, "MCPOAuthPageLink: \"%s\" must be an https: or mailto: URL",
                            url);
    }
    if (!page->links) {
        page->links = apr_array_make(cmd->pool, 2, sizeof(mcp_page_link_t));
    }
    if (page->links->nelts == LINKS_MAX) {
        return apr_psprintf(cmd->pool, "more than %d MCPOAuthPageLink", LINKS_MAX);
    }
    link = apr_array_push(page->links);
    link->label = label;
    link->url = url;
    return check_text(cmd, label);
}
