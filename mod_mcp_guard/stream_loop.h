/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the relay thread share among themselves. All of it is for that thread, except where it says so. */

#ifndef MCP_STREAM_LOOP_H
#define MCP_STREAM_LOOP_H

#include "stream_impl.h"

#define MCP_STATE_FOREIGN (-1) /* mcp_park_t.state of a connection that another module suspended */

/* ---- stream_loop.c: the thread ---- */

/** The time of the present round: events that came together came at the same time. */
apr_time_t mcp_loop_now(void);

/** Set what is waited for in the connection's present phase: descriptors, and the second to look at it next. */
void mcp_loop_arm(mcp_park_t *park);

/** Wait for the backend, or do not. */
void mcp_loop_watch_backend(mcp_park_t *park, int on);

/** Take the connection off the relay's list: it is in its last phase, or somebody else's. */
void mcp_loop_unlist(mcp_park_t *park);

/* ---- stream_out.c: output without waiting ---- */

/** Write what core holds. What is left then shows in c->data_in_output_filters. Not APR_SUCCESS: the client is gone. */
apr_status_t mcp_out_write(mcp_park_t *park);

/* ---- stream_phase.c: phases of a connection ---- */

/** Its stream begins. */
void mcp_phase_begin(mcp_park_t *park);

/** Write what is left, then go on as the connection can. */
void mcp_phase_flush(mcp_park_t *park);

/** Close it as HTTP and TLS want it. */
void mcp_phase_close(mcp_park_t *park);

/** End its stream: the answer is completed, or broken off so that the client can tell (MCP_END_BROKEN). */
void mcp_phase_finish(mcp_park_t *park, mcp_end_e reason);

/** The client is gone, or we are through with it: nothing more is written. */
void mcp_phase_abandon(mcp_park_t *park, mcp_end_e reason);

/** The backend's descriptor, or the client's, is ready. @a events are epoll's. */
void mcp_phase_backend(mcp_park_t *park);
void mcp_phase_client(mcp_park_t *park, apr_uint32_t events);

/** When must somebody look at it next, if nothing comes before? */
apr_time_t mcp_phase_due(const mcp_park_t *park);

/** See to what time brings: the phase's deadline, the rules that are due. */
void mcp_phase_time(mcp_park_t *park, apr_time_t now);

/** See to all of that now: something happened that the rules ask for at any time. */
void mcp_phase_govern(mcp_park_t *park, apr_time_t now);

/* ---- stream_next.c: requests after the stream ---- */

void mcp_next_child_init(int threads);

/** The client has sent something: a worker shall serve it. The worker brings the connection back by mcp_loop_admit(). */
void mcp_next_request(mcp_park_t *park);

/** A worker has brought one back. */
void mcp_next_back(void);

/** Give waiting connections to workers, as far as these may be asked for. */
void mcp_next_run(void);

/* ---- stream_memory.c: a connection's memory ---- */

/** Give back what the connection's allocator keeps in store. */
void mcp_memory_spare(mcp_park_t *park);

/** Nothing is done with the connection any more: its memory goes when it may. */
void mcp_memory_bury(mcp_park_t *park);

/** Free what may be freed; everything when @a by_force. */
void mcp_memory_free(int by_force);

/** Is there something that a later call must do? */
int mcp_memory_pending(void);

/** Every second: give memory back to the system after many burials, once none have come for a while. */
void mcp_memory_trim(void);

#endif
