/* SPDX-License-Identifier: Apache-2.0 */
/* MCPToolScope: which scopes a tool needs, as a table in one place. */

#include <apr_strings.h>

#include "guard.h"
#include "policy.h"

const char *mcp_tool_scopes(apr_pool_t *p, const mcp_policy_conf_t *conf, const mcp_rpc_message_t *message)
{
    const mcp_tool_scope_t *entries;
    const char *scopes = "";
    int i;

    if (!conf->tool_scopes || !message || message->target != MCP_TARGET_TOOL) {
        return "";
    }
    entries = (const mcp_tool_scope_t *)conf->tool_scopes->elts;
    for (i = 0; i < conf->tool_scopes->nelts; i++) {
        /* Whatever its case: the backend may not care for it. */
        if (mcp_name_matches(entries[i].tool, message->name, 1)) {
            scopes = *scopes ? apr_pstrcat(p, scopes, " ", entries[i].scopes, NULL) : entries[i].scopes;
        }
    }
    return scopes;
}
