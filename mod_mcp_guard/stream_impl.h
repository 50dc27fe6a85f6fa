/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the stream governor share among themselves. */

#ifndef MCP_STREAM_IMPL_H
#define MCP_STREAM_IMPL_H

#include <httpd.h>
#include <http_config.h>
#include <util_filter.h>
#include <scoreboard.h>

#include "stream.h"
#include "stream_decode.h"

extern module AP_MODULE_DECLARE_DATA mcp_guard_module;

typedef struct mcp_stream_t mcp_stream_t;

/* Why a stream ended. The names that people see are in stream_table.c. */
typedef enum {
    MCP_END_NONE,
    MCP_END_COMPLETE, /* the backend ended it */
    MCP_END_BROKEN,   /* the backend broke off, or spoke no HTTP */
    MCP_END_CLIENT,   /* the client went away */
    MCP_END_STALLED,  /* the client did not read for Timeout */
    MCP_END_IDLE,     /* MCPStreamIdle */
    MCP_END_MAX_AGE,  /* MCPStreamMaxAge */
    MCP_END_EXPIRED,  /* the access token expired and the session was not refreshed */
    MCP_END_REVOKED,  /* the grant was taken back, or is gone */
    MCP_END_DRAINED,  /* MCPStreamDrain */
    MCP_END_STOPPED,  /* the child was stopped */
    MCP_END_LOST,     /* the child died */
    MCP_END_COUNT
} mcp_end_e;

/* Which limit refused a stream. */
typedef enum { MCP_CAP_NONE,
               MCP_CAP_PERSON,
               MCP_CAP_CLIENT,
               MCP_CAP_SERVER,
               MCP_CAP_CHILD,
               MCP_CAP_COUNT } mcp_cap_e;

/* ---- stream_config.c ---- */

/* Settings of the whole server. */
typedef struct {
    int server;                /* MCPStreamLimit server; -1 not set */
    int child;                 /* MCPStreamLimit child; -1 not set */
    apr_interval_time_t drain; /* MCPStreamDrain */
    int relay_asked;           /* MCPStreamRelay On stands somewhere */
    int child_cap;             /* what a child may relay, after the checks; 0 before them */
} mcp_stream_global_t;

extern mcp_stream_global_t mcp_stream_global;

void mcp_stream_config_hooks(apr_pool_t *p);

/* Effective values of a location. */
apr_interval_time_t mcp_stream_keepalive(const mcp_stream_conf_t *conf);
int mcp_stream_limit_person(const mcp_stream_conf_t *conf);

/* ---- stream_table.c, stream_children.c, stream_keys.c: shared memory ---- */

/* A claim on the table: one for each stream, from before the backend is asked until the stream has ended. */
typedef apr_int32_t mcp_claim_t;
#define MCP_CLAIM_NONE (-1)

/* Numbers of the whole host. */
typedef struct {
    apr_uint32_t open;   /* streams open now */
    apr_uint32_t parked; /* of these, on relays */
    apr_uint64_t opened; /* since the start */
    apr_uint64_t ended[MCP_END_COUNT];
    apr_uint64_t refused[MCP_CAP_COUNT];
    apr_uint64_t bytes;    /* payload from backends */
    apr_time_t oldest;     /* opening time of the oldest open stream; 0 = none */
    apr_uint32_t children; /* processes that take part */
    apr_uint32_t capacity; /* claims that the table has room for */
    apr_uint32_t limit;    /* MCPStreamLimit server in force */
} mcp_stream_totals_t;

const char *mcp_end_name(mcp_end_e reason);
const char *mcp_cap_name(mcp_cap_e cap);

/** post_config: make the table, or find the one that lives since the server was started. */
apr_status_t mcp_table_open(server_rec *s, apr_pool_t *ptemp);

/** child_init. */
void mcp_table_child_init(void);

/** In the parent: a child is gone; give back what it held. */
void mcp_table_child_gone(pid_t pid);

/**
 * In the parent, after a child died: mend counts that the child left between two steps.
 * @return how many differences are still to be looked at again, a second or more later
 */
int mcp_table_audit(apr_pool_t *pconf);

/** Short stable number of a person or client, never 0. */
apr_uint64_t mcp_table_key(const char *kind, const char *text);

/**
 * Claim a place for a stream, within the limits (0 = none) of its person and client (keys; 0 = unknown).
 * @param grant  MCP_ID_LEN bytes, or NULL
 * @return the claim, or MCP_CLAIM_NONE with *cap set
 */
mcp_claim_t mcp_table_claim(apr_uint64_t person, int person_limit, apr_uint64_t client, int client_limit,
                            const unsigned char *grant, mcp_cap_e *cap);

/** The stream has begun. */
void mcp_table_begin(mcp_claim_t claim, apr_time_t now);

/** The stream went to the relay. */
void mcp_table_park(mcp_claim_t claim);

/** Give the claim back. @a reason is MCP_END_NONE when no stream came of it. */
void mcp_table_release(mcp_claim_t claim, mcp_end_e reason);

void mcp_table_count_bytes(apr_size_t n);
void mcp_table_count_refused(mcp_cap_e cap);

/** Was this stream marked by mcp_table_kill_older()? */
int mcp_table_killed(mcp_claim_t claim);

/** A number that changes when streams were marked, by any process. */
apr_uint32_t mcp_table_kills(void);

/**
 * Mark streams that children of an older configuration hold and whose grant is revoked: with shmcb those children know
 * another store than we. Returns how many.
 */
int mcp_table_kill_older(int (*revoked)(const unsigned char *grant, void *baton), void *baton);

/** Streams that this process relays now. */
apr_uint32_t mcp_table_parked_here(void);

/** 0 when there is no table. */
int mcp_table_totals(mcp_stream_totals_t *totals);

/* ---- stream_govern.c: the life of one stream ---- */

/* In r->pool. Whoever moves the stream's bytes owns it: first the worker, then the relay thread, handed over by a
 * mutex. Another thread, the warden, writes `verdict` (atomically) and, under its mutex, `expires` and `due`. */
struct mcp_stream_t {
    request_rec *r;
    const mcp_stream_conf_t *conf;
    mcp_claim_t claim;
    mcp_cap_e refused;     /* limit that refused this request before the backend was asked */
    unsigned open : 1;     /* begun and not ended */
    unsigned may_ping : 1; /* comments may be put in: not encoded by the backend, no Content-Length */
    unsigned listed : 1;   /* the warden knows it */
    unsigned has_grant : 1;
    unsigned checked : 1; /* the answer's headers were looked at */
    unsigned relay : 1;   /* goes to the relay when it must wait */
    unsigned taken : 1;   /* the backend connection was taken over */
    unsigned stays : 1;   /* decoded as for the relay, but its worker keeps it */
    unsigned patient : 1; /* had its time in the worker (an answer that may be over soon) */
    mcp_end_e reason;
    apr_uint32_t verdict; /* atomic: mcp_end_e that the warden decided */
    apr_uint32_t due;     /* the warden must ask for the grant now */
    apr_time_t expires;   /* when the warden must ask for the grant again */
    unsigned char grant[MCP_ID_LEN];
    apr_uint32_t sweep; /* the warden's count of sweeps when the request came */
    apr_uint64_t person, client;
    apr_time_t opened, heard, sent; /* heard: last bytes of the backend; sent: last bytes to the client */
    apr_time_t end_at;              /* MCPStreamMaxAge with its jitter; 0 = none */
    apr_time_t drain_at;            /* when a drain ends it; 0 = none */
    mcp_boundary_t at;
    apr_off_t bytes;
    apr_bucket_brigade *bb;    /* for comments that a worker sends */
    mcp_stream_t *next, *prev; /* the warden's list */
};

typedef enum { MCP_TICK_ON,
               MCP_TICK_PING,
               MCP_TICK_END } mcp_tick_e;

#define MCP_PING ":\n\n"
#define MCP_PING_LEN (sizeof(MCP_PING) - 1)

void mcp_stream_govern_hooks(apr_pool_t *p);

/** The settings of this request's location if its streams are governed, else NULL. */
const mcp_stream_conf_t *mcp_stream_governs(request_rec *r);

/** Does the request ask for nothing but a stream: a listening GET, or a subscription of 2026-07-28? */
int mcp_stream_wanted(request_rec *r);

/** The request's stream record; made when missing. */
mcp_stream_t *mcp_stream_make(request_rec *r, const mcp_stream_conf_t *conf);

/** The request's stream record, or NULL. */
mcp_stream_t *mcp_stream_known(request_rec *r);

/** The answer is an event stream: headers, counters, deadlines. Its headers are in r and nothing was sent yet. */
void mcp_stream_begin(mcp_stream_t *s);

/** Payload of the backend goes by. */
void mcp_stream_pass(mcp_stream_t *s, const char *data, apr_size_t len, apr_time_t now);

/** What the rules say now; with MCP_TICK_END the reason is in s->reason. Ask about once a second. */
mcp_tick_e mcp_stream_tick(mcp_stream_t *s, apr_time_t now);

/** When to ask mcp_stream_tick() next, if neither verdicts, kills nor a stop come before. */
apr_time_t mcp_stream_due(const mcp_stream_t *s);

/** Does this child go when its last connection has gone? @a now: it does from now on. */
int mcp_stream_stopping(int now);

/** The stream has ended: counters, log, and the note "mcp-stream-end" for access logs. Once; later calls do nothing. */
void mcp_stream_end(mcp_stream_t *s, mcp_end_e reason);

/* ---- stream_warden.c ---- */

void mcp_warden_child_init(apr_pool_t *pchild, server_rec *s);

/** Put a stream under the warden's eyes; s->listed is set. */
void mcp_warden_watch(mcp_stream_t *s);
void mcp_warden_forget(mcp_stream_t *s);

/** How often all grants were asked for: a stream whose request is older than the last sweep is asked for at once. */
apr_uint32_t mcp_warden_sweeps(void);

/* ---- stream_tls.c: the backend's connection, taken over ---- */

struct ssl_st;

typedef struct {
    int fd;             /* our own descriptor; -1 = none */
    struct ssl_st *ssl; /* NULL: plain */
    int settled;        /* the SSL object reads by the descriptor, not by mod_ssl's filters */
} mcp_backend_t;

void mcp_backend_hooks(apr_pool_t *p);

/** Can this backend connection be taken over? False with filters on it that we do not know. */
int mcp_backend_takeable(conn_rec *origin);

/** How many bytes its TLS session has taken from the network; 0 without TLS. */
apr_uint64_t mcp_backend_progress(conn_rec *origin);

/** Take it: mod_proxy's own closing of @a origin no longer reaches the network. */
apr_status_t mcp_backend_take(mcp_backend_t *backend, conn_rec *origin);

/** After mod_proxy closed its side, and before the first read. */
void mcp_backend_settle(mcp_backend_t *backend);

/**
 * Read without waiting.
 * @return bytes; 0 at the end; -1 nothing there now; -2 broken
 */
apr_ssize_t mcp_backend_read(mcp_backend_t *backend, char *buf, apr_size_t len);

/** Bytes that were read from the socket and not asked for yet: epoll will not tell of them. */
int mcp_backend_pending(const mcp_backend_t *backend);

void mcp_backend_close(mcp_backend_t *backend);

/* ---- stream_wait.c ---- */

typedef enum { MCP_WAIT_READABLE,
               MCP_WAIT_TIMEOUT,
               MCP_WAIT_GONE,
               MCP_WAIT_END } mcp_wait_e;

void mcp_wait_hooks(apr_pool_t *p);

/** The child ends at once: nobody waits for a backend any more. */
void mcp_wait_stop(void);

/** create_req: watch the client while @a rp's connection is read for @a r. */
void mcp_wait_attach(request_rec *r, request_rec *rp);

/**
 * Wait for the backend in slices, with the rules of @a s (NULL or not open: only the client is watched).
 * @param until  0: as long as the backend's timeout allows while the answer has not begun, else without limit
 */
mcp_wait_e mcp_wait_backend(request_rec *r, mcp_stream_t *s, conn_rec *origin, apr_time_t until);

/* ---- stream_status.c ---- */

void mcp_stream_status_hooks(apr_pool_t *p);

/* ---- the relay: stream_relay.c hands over to the relay thread (stream_loop.c, stream_out.c) ---- */

typedef enum {
    MCP_PARK_NEW,    /* the MPM's worker has not let go of it yet */
    MCP_PARK_STREAM, /* a stream flows */
    MCP_PARK_FLUSH,  /* the answer is complete; output is still to be written */
    MCP_PARK_IDLE,   /* kept alive: waits for the next request */
    MCP_PARK_WORK,   /* a worker has it for the next request */
    MCP_PARK_LINGER, /* shut down for writing; waits for the client to close */
    MCP_PARK_GONE    /* to be buried */
} mcp_park_e;

typedef struct mcp_ring_t {
    struct mcp_ring_t *next, *prev;
} mcp_ring_t;

/* A client connection that the relay holds; in c->pool. The relay thread owns it in every phase but NEW and WORK. */
typedef struct mcp_park_t {
    mcp_ring_t links;         /* first: among those that the relay looks at in the same second */
    const mcp_ring_t *second; /* their ring */
    apr_time_t due;           /* when the rules of its stream must be asked again */
    mcp_park_e phase;
    struct mcp_park_t *link; /* one of the relay's queues */
    conn_rec *c;
    mcp_stream_t *s; /* NULL between streams */
    apr_bucket_brigade *bb;
    ap_filter_t *core; /* the last output filter */
    int fd;            /* the client's */
    mcp_backend_t backend;
    mcp_body_t body;
    worker_score *score;  /* where the MPM's worker shows that it is done with the connection; else NULL */
    ap_sb_handle_t *sbh;  /* our own, for requests after the first stream */
    apr_time_t parked;    /* when it came here first */
    apr_time_t deadline;  /* of FLUSH, IDLE, LINGER and stalled streams */
    apr_uint32_t events;  /* that the client's descriptor is in the epoll set for; 0 = not in it */
    unsigned reading : 1; /* the backend's descriptor is in the epoll set */
    unsigned stalled : 1; /* output is waiting for the client: the backend is not read */
    unsigned closing : 1; /* FLUSH leads to LINGER */
    unsigned head : 1;    /* in a worker: the head of a stream's answer goes out, or what follows it */
    unsigned swollen : 1; /* output was kept for a slow client */
    int state;            /* c->cs->state with which the worker came back */
} mcp_park_t;

/** The request ends: close a backend that was taken over for it and did not come to the relay. */
void mcp_relay_drop(mcp_stream_t *s);

/** Relay of this process: does it run? */
int mcp_loop_running(void);

/** child_init. */
void mcp_loop_child_init(apr_pool_t *pchild, server_rec *s);

/** Hand a connection over (from a worker). */
void mcp_loop_admit(mcp_park_t *park);

/** Make the relay look at verdicts now. */
void mcp_loop_kick(void);

/** Register the relay's output filter. */
void mcp_out_register_filter(void);

/** A stream that may come to the relay begins (in a worker): put the relay's output filter on its connection. */
void mcp_out_prepare(mcp_park_t *park, request_rec *r);

#endif
