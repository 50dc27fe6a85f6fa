/* SPDX-License-Identifier: Apache-2.0 */
/* What httpd accepts and nobody should run: looked for in the configuration as httpd itself has read it, when
 * `mcpctl check-config` asks (httpd -t -D MCP_LINT). What configtest refuses anyway is not looked for again.
 *
 * One finding a line on standard output, fields apart by tabs:  MCPLINT error|warning FILE:LINE TEXT
 */

#ifndef MCP_LINT_H
#define MCP_LINT_H

#define MCP_LINT_DEFINE "MCP_LINT"
#define MCP_LINT_MARK "MCPLINT"

/** register_hooks duty of both modules: whichever is asked first looks. */
void mcp_lint_hook(void);

#endif
