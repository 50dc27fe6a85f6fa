/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a URL of a stranger may lead us to: public unicast only. */

#ifndef MCP_ADDRESS_H
#define MCP_ADDRESS_H

#include <sys/socket.h>

/**
 * Is this a public unicast address, that is none of the special-use blocks of RFC 6890 and its registries, nor one that
 * carries another address inside (AS-25, T7: v4-mapped, NAT64, 6to4, Teredo, ISATAP)?
 * @param address  AF_INET or AF_INET6; any other family is not public
 */
int mcp_address_is_public(const struct sockaddr *address);

#endif
