/* SPDX-License-Identifier: Apache-2.0 */
/* Event streams, governed: what the rest of the guard sees of them.
 *
 * A proxied answer of type text/event-stream becomes a governed stream once its headers are read. It then goes one of
 * two ways, with the same rules for both:
 *
 *   relay   the worker hands client and backend sockets to one thread of the child (stream_relay.c, then stream_loop.c
 *           the thread, stream_phase.c a connection's life there, stream_out.c output that never waits, stream_next.c
 *           requests that follow a stream, stream_memory.c the end)
 *   worker  mod_proxy moves the bytes as ever, and the wait for the backend is cut into slices (stream_wait.c)
 *
 *   stream_config.c  directives and start-up checks     stream_table.c   shared memory: claims
 *   stream_children.c processes, totals, the dead        stream_keys.c    counts of persons and clients
 *   stream_govern.c  a stream's life and its limits     stream_warden.c  expiry and revocation of open streams
 *   stream_tls.c     TLS to the backend, taken over     stream_decode.c  body decoder, event boundaries
 *   stream_status.c  mod_status
 */

#ifndef MCP_STREAM_H
#define MCP_STREAM_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_util.h"

/* Settings of a location. */
typedef struct {
    int relay;                     /* MCPStreamRelay; -1 not set: On where AuthType MCP guards */
    apr_interval_time_t keepalive; /* MCPStreamKeepAlive; 0 off, -1 not set */
    apr_interval_time_t idle;      /* MCPStreamIdle; 0 off, -1 not set */
    apr_interval_time_t max_age;   /* MCPStreamMaxAge; 0 off, -1 not set */
    int person;                    /* MCPStreamLimit person; 0 off, -1 not set */
    int client;                    /* MCPStreamLimit client; 0 off, -1 not set */
} mcp_stream_conf_t;

/** Nothing is set. */
void mcp_stream_conf_init(mcp_stream_conf_t *conf);

/** Take from @a base what is not set in @a conf. */
void mcp_stream_conf_inherit(mcp_stream_conf_t *conf, const mcp_stream_conf_t *base);

/** The command table entries; the setters find the location's settings by mcp_guard_stream_conf(). */
#define MCP_STREAM_COMMANDS \
    AP_INIT_FLAG("MCPStreamRelay", mcp_set_stream_relay, NULL, RSRC_CONF | ACCESS_CONF, \
                 "hand event streams to the relay thread (On), or let each hold a worker (Off)"), \
        AP_INIT_TAKE1("MCPStreamKeepAlive", mcp_set_stream_keepalive, NULL, RSRC_CONF | ACCESS_CONF, \
                      "silence after which a comment is sent on an event stream, or off"), \
        AP_INIT_TAKE1("MCPStreamIdle", mcp_set_stream_idle, NULL, RSRC_CONF | ACCESS_CONF, \
                      "silence of the backend after which an event stream is ended, or off"), \
        AP_INIT_TAKE1("MCPStreamMaxAge", mcp_set_stream_max_age, NULL, RSRC_CONF | ACCESS_CONF, \
                      "age at which an event stream is ended (up to a tenth earlier), or off"), \
        AP_INIT_TAKE2("MCPStreamLimit", mcp_set_stream_limit, NULL, RSRC_CONF | ACCESS_CONF, \
                      "most open streams: person N, client N, server N or child N; N may be off"), \
        AP_INIT_TAKE1("MCPStreamDrain", mcp_set_stream_drain, NULL, RSRC_CONF, \
                      "on a graceful restart, end open streams within this time; off lets them run on")

const char *mcp_set_stream_relay(cmd_parms *cmd, void *dir, int flag);
const char *mcp_set_stream_keepalive(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_stream_idle(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_stream_max_age(cmd_parms *cmd, void *dir, const char *arg);
const char *mcp_set_stream_limit(cmd_parms *cmd, void *dir, const char *what, const char *arg);
const char *mcp_set_stream_drain(cmd_parms *cmd, void *dir, const char *arg);

/** register_hooks: all that streams need. */
void mcp_stream_register_hooks(apr_pool_t *p);

/** pre_config: forget the settings of the last reading of the configuration. */
void mcp_stream_config_begin(void);

/** Open streams and how others ended, for Prometheus. */
void mcp_stream_metrics(request_rec *r);

/* ---- what the guard provides (stream_guard.c, config_check.c) ---- */

/* Who holds a stream. Strings live as long as the request. */
typedef struct {
    const char *subject;
    const char *client; /* client key */
    unsigned char grant[MCP_ID_LEN];
    apr_time_t expires; /* of the token */
} mcp_stream_holder_t;

/** The location's settings inside the guard's per-directory configuration. */
mcp_stream_conf_t *mcp_guard_stream_conf(void *dir_conf);

/** Is this request guarded, and who made it? 1 with *holder set, or 0. */
int mcp_guard_stream_holder(request_rec *r, mcp_stream_holder_t *holder);

/**
 * Ask the store about an open stream's grant. May block, as the store may: called by the warden thread only.
 * @param until  set on success to the end of the grant's newest access token
 * @return APR_SUCCESS; APR_NOTFOUND: revoked or gone, end its streams; APR_TIMEUP: its tokens have all expired;
 *         MCP_EDOWN: cannot tell
 */
apr_status_t mcp_guard_grant_check(const unsigned char grant[MCP_ID_LEN], apr_time_t now, apr_time_t *until,
                                   apr_pool_t *p);

/** Does the store say that the grant was taken back? Being gone is not enough. May block. */
int mcp_guard_grant_revoked(const unsigned char grant[MCP_ID_LEN], apr_pool_t *p);

/**
 * A value that changes whenever something was revoked, on this host or on another that shares the store. May block.
 * @param remote  ask the store too; otherwise only this host's counter is read, which costs nothing
 * @return APR_SUCCESS or MCP_EDOWN
 */
apr_status_t mcp_guard_revocations(int remote, apr_uint64_t *stamp, apr_pool_t *p);

/** The child ends: break off what waits for the store (mcp_store_hang_up()). */
void mcp_guard_store_hang_up(void);

/** Is anything guarded, or the guard configured, so that keys and store are needed? */
int mcp_guard_in_use(server_rec *main_server);

#endif
