/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of mod_mcp_oauth share: its configuration, and one function for each endpoint. */

#ifndef MCP_OAUTH_H
#define MCP_OAUTH_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_config.h"
#include "mcp_grant.h"
#include "mcp_result.h"
#include "upstream/upstream.h"

extern module AP_MODULE_DECLARE_DATA mcp_oauth_module;

typedef struct {
    mcp_shared_conf_t *shared;           /* first: mcp_server_conf_base_t */
    int enabled;                         /* MCPOAuth On|Off */
    apr_array_header_t *providers;       /* <MCPProvider>: mcp_provider_t * */
    mcp_provider_t *section;             /* the <MCPProvider> that is being read */
    apr_array_header_t *schemes;         /* MCPOAuthRedirectSchemes: private-use schemes, const char * */
    apr_interval_time_t access_lifetime; /* MCPOAuthAccessLifetime, default 1 h */
    apr_interval_time_t refresh_lifetime; /* MCPOAuthRefreshLifetime, default 30 d */
    apr_interval_time_t code_lifetime;   /* MCPOAuthCodeLifetime, default 60 s */
    apr_interval_time_t grace;           /* MCPOAuthRefreshGrace, default 30 s */
    const char *name;                    /* MCPOAuthName: the organisation's name on pages */
    const char *base_path;               /* path of the issuer, "" at the root; filled in post_config */
    mcp_keyring_t *ring;                 /* filled in post_config */
    mcp_store_t *store;                  /* filled in post_config */
} mcp_oauth_conf_t;

#endif
