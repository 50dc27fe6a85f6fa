/* SPDX-License-Identifier: Apache-2.0 */
/* Log ids: every line that we log has an id of its own, MCPnnnn, unique in the tree (test/tools/check-log-ids).
 *
 *   MCP01xx common   MCP02xx mod_mcp_oauth   MCP03xx its upstream side   MCP04xx mod_mcp_guard   MCP05xx streams
 *
 * Use:  ap_log_rerror(APLOG_MARK, APLOG_ERR, rv, r, MCP_LOG(0101) "cannot open %s", path);
 */

#ifndef MCP_LOG_H
#define MCP_LOG_H

#define MCP_LOG(id) "MCP" #id ": "

#endif
