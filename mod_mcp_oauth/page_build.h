/* SPDX-License-Identifier: Apache-2.0 */
/* What is configured about pages, what page_build.c makes of it, and page.c shows. */

#ifndef MCP_PAGE_BUILD_H
#define MCP_PAGE_BUILD_H

#include <apr_tables.h>

#include "page.h"
#include "template.h"

/* MCPOAuthPageColor */
typedef struct {
    const char *name;
    const char *light; /* #rrggbb */
    const char *dark;
} mcp_page_color_t;

/* MCPOAuthPageLink */
typedef struct {
    const char *label;
    const char *url;
} mcp_page_link_t;

/* Each member is inherited by itself. */
struct mcp_page_conf_t {
    const char *language;       /* MCPOAuthPageLanguage */
    const char *logo;           /* MCPOAuthPageLogo: path */
    apr_array_header_t *colors; /* MCPOAuthPageColor: mcp_page_color_t */
    const char *help;           /* MCPOAuthPageHelp */
    apr_array_header_t *links;  /* MCPOAuthPageLink: mcp_page_link_t */
    const char *templates;      /* MCPOAuthPageTemplates: directory */
    const char *messages;       /* MCPOAuthPageMessages: directory */
};

struct mcp_pages_t {
    mcp_messages_t messages;
    const mcp_template_t *frame;
    const mcp_template_t *views[MCP_VIEW_COUNT];
    const char *style;
    const char *policy;   /* Content-Security-Policy */
    const json_t *common; /* org, logo, help, links, footer */
};

/* ---- looks (page_brand.c) ---- */

/** Is @a name a colour that can be set? */
int mcp_page_color_known(const char *name);

/** The rules that set the configured colours; "" when there are none. */
const char *mcp_page_color_rules(apr_pool_t *p, const mcp_page_conf_t *page);

/** Can people read text in these colours, light and dark (WCAG 2.2, 1.4.3)? NULL, or what to mend. */
const char *mcp_page_color_check(apr_pool_t *p, const mcp_page_conf_t *page);

/** An image file as a data: URL. NULL, or what to mend. */
const char *mcp_page_image(apr_pool_t *p, const char *path, const char **url);

#endif
