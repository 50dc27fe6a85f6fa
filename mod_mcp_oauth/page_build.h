/* SPDX-License-Identifier: Apache-2.0 */
/* What page_build.c makes and page.c shows. */

#ifndef MCP_PAGE_BUILD_H
#define MCP_PAGE_BUILD_H

#include "page.h"
#include "template.h"

struct mcp_pages_t {
    mcp_messages_t messages;
    const mcp_template_t *frame;
    const mcp_template_t *views[MCP_VIEW_COUNT];
    const char *style;
    const char *policy;   /* Content-Security-Policy */
    const json_t *common; /* org, logo, help, links */
};

#endif
