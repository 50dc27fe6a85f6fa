/* SPDX-License-Identifier: Apache-2.0 */
/* MCP session ids (Mcp-Session-Id, and the session parameter of the legacy endpoint event), bound to who opened the
 * session (RS-15, T20).
 *
 * To a backend an id is all that it takes: whoever knows it is in the session. So no client ever sees one. It gets the id
 * sealed, with the person, the client and the resource as associated data, and only these can have it opened again:
 *
 *   shown to the client   "mcpms." base64url( raw seal (mcp_seal.h) of | version[1]=1 | route length[1] | route | id | )
 *   associated data       subject 0x00 client key 0x00 resource URI 0x00
 *
 * Nothing is stored and nothing is looked up; every process and every host with the same MCPKeyFile opens it, and a new
 * access token of the same person and client changes nothing. The route is the balancer member that the session lives
 * on: it goes to mod_proxy_balancer as the cookie MCP_ROUTE_COOKIE, which no client can set and no backend sees.
 */

#ifndef MCP_SESSION_ID_H
#define MCP_SESSION_ID_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_keyring.h"

/* What `ProxySet stickysession=` names. The guard drops every cookie "mcp-..." of clients. */
#define MCP_ROUTE_COOKIE "mcp-route"

/* Settings of a location. */
typedef struct {
    int bind;                         /* MCPGuardSessionBinding; -1 not set: On */
    const apr_array_header_t *params; /* MCPGuardSessionParam: const char *; NULL: the usual ones */
} mcp_session_id_conf_t;

/* What a request says of its session. */
typedef struct {
    const char *shown;          /* the request's Mcp-Session-Id as the client knows it; NULL: none */
    const char *id;             /* the same as the backend knows it */
    const char *route;          /* balancer member that the session lives on; NULL: any */
    apr_array_header_t *opened; /* all ids that were opened, const char *: an internal redirect meets them again */
} mcp_session_ids_t;

#define MCP_SESSION_ID_COMMANDS \
    AP_INIT_FLAG("MCPGuardSessionBinding", mcp_set_session_binding, NULL, ACCESS_CONF, \
                 "On (default) or Off: MCP session ids are good for the person and client that opened them only"), \
        AP_INIT_ITERATE("MCPGuardSessionParam", mcp_set_session_param, NULL, ACCESS_CONF, \
                        "query parameters that carry the session of the legacy transport, or none")

const char *mcp_set_session_binding(cmd_parms *cmd, void *dir, int flag);
const char *mcp_set_session_param(cmd_parms *cmd, void *dir, const char *arg);

/** Nothing is set. */
void mcp_session_id_conf_init(mcp_session_id_conf_t *conf);

/** Take from @a base what is not set in @a conf. */
void mcp_session_id_conf_inherit(mcp_session_id_conf_t *conf, const mcp_session_id_conf_t *base);

/** post_config: the keys that seal. */
void mcp_session_id_init(const mcp_keyring_t *ring);

struct mcp_guard_request_t;

/**
 * Turn the ids that an authenticated request shows into the backend's, in header and query.
 * @return OK, or what the hook returns: an id that this person and client did not get is answered 404 "Session not
 *         found", as one that never was; with a revision without sessions (2026-07-28 on) the header is dropped (TR-3)
 */
int mcp_session_ids_open(request_rec *r, struct mcp_guard_request_t *req);

/** The way back: seal the Mcp-Session-Id of the backend's answer (TR-11). */
void mcp_session_id_show(request_rec *r, struct mcp_guard_request_t *req);

/**
 * The query of a legacy endpoint event with its session ids sealed.
 * @return NULL when one cannot be: the event must not pass
 */
const char *mcp_session_id_show_query(request_rec *r, struct mcp_guard_request_t *req, const char *query);

#endif
