/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's state on the page of mod_status, for people and, with ?auto, for machines. */

#ifndef MCP_STATUS_H
#define MCP_STATUS_H

/** register_hooks duty of both modules: whichever is asked first tells, once a page. Does nothing without mod_status. */
void mcp_status_hook(void);

#endif
