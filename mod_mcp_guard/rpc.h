/* SPDX-License-Identifier: Apache-2.0 */
/* What a request says in JSON-RPC: its body, read once, checked, and handed on to mod_proxy as it came.
 *
 * A body is read only where something of the location asks for it (mcp_rpc_want(), MCPValidate), once the caller is
 * authenticated, and before Require is asked: rpc.c reads and replays, rpc_parse.c checks the text, rpc_headers.c
 * compares the headers that repeat it. */

#ifndef MCP_RPC_H
#define MCP_RPC_H

#include <httpd.h>
#include <http_config.h>
#include <jansson.h>

typedef enum {
    MCP_RPC_REQUEST,
    MCP_RPC_NOTIFICATION,
    MCP_RPC_RESPONSE
} mcp_rpc_kind_e;

/* What a message is about, where that has a name of its own. */
typedef enum {
    MCP_TARGET_NONE,
    MCP_TARGET_TOOL,
    MCP_TARGET_RESOURCE,
    MCP_TARGET_PROMPT
} mcp_rpc_target_e;

typedef struct mcp_rpc_arguments_t mcp_rpc_arguments_t;

typedef struct {
    mcp_rpc_kind_e kind;
    const char *method; /* NULL: a response */
    mcp_rpc_target_e target;
    const char *name; /* tool, prompt, or URI of a resource; NULL exactly when target is NONE */
    json_t *id;       /* string or integer; NULL: none */
    json_t *params;   /* object; NULL: none. Its arguments: by mcp_rpc_arguments() */
    mcp_rpc_arguments_t *arguments;
    int listed; /* not sent: an entry of a list, asked for as if somebody called it (lists.c) */
} mcp_rpc_message_t;

typedef struct {
    const mcp_rpc_message_t *messages;
    int count;        /* 0: no body (GET, DELETE...) */
    int batch;        /* an array of 2025-03-26, even of one message */
    const char *body; /* NULL: none; followed by a NUL */
    apr_size_t len;
} mcp_rpc_t;

/* What is wrong with a body. */
typedef struct {
    int status; /* of HTTP */
    int code;   /* of JSON-RPC */
    const char *message;
    const json_t *id; /* of the message; NULL: unknown */
} mcp_rpc_error_t;

#define MCP_RPC_PARSE_ERROR (-32700)
#define MCP_RPC_INVALID_REQUEST (-32600)
#define MCP_RPC_INVALID_PARAMS (-32602)
#define MCP_RPC_INTERNAL_ERROR (-32603)
#define MCP_RPC_FORBIDDEN (-32003)
#define MCP_RPC_HEADER_MISMATCH (-32020)

/* ---- rpc.c ---- */

/**
 * The messages of a request, from check_authz on (so in fixups and handlers, and in Require).
 * @return NULL where the location reads none
 */
const mcp_rpc_t *mcp_rpc_of(request_rec *r);

/** Give the handler @a body, text with NUL at its end that lives as long as @a r, instead of the one that was read. */
void mcp_rpc_put_body(request_rec *r, const char *body);

/** The message that Require is being asked about now; NULL: none, or a request without a body. */
const mcp_rpc_message_t *mcp_rpc_message(request_rec *r);

/**
 * Read and check the body, and put it back for the handler. Only after authentication: called by authz.c.
 * @return OK, or what the hook returns: the refusal was sent
 */
int mcp_rpc_read(request_rec *r);

/**
 * Answer with a JSON-RPC error, one for each request of a batch. @a status is of HTTP; whoever listens to Streamable
 * HTTP shows a person what is said with 200 and the id of the request, other clients need an error of HTTP.
 * @param id  NULL: without
 * @return DONE, or @a status in a subrequest
 */
int mcp_rpc_refuse(request_rec *r, int status, int code, const char *message, const json_t *id);

/**
 * Answer with a JSON-RPC error for each request of the messages, where they were read; else with one that has id null.
 * @param data  the errors' data, or NULL; the reference is taken over
 * @return DONE, or @a status in a subrequest
 */
int mcp_rpc_answer(request_rec *r, int status, int code, const char *message, json_t *data);

/** The same for the messages of this request, with 200 where the client will show it, else 403. */
int mcp_rpc_forbid(request_rec *r, int code, const char *message);

/* ---- rpc_parse.c ---- */

/** Check the text of a body. Returns 1, or 0 with *err set. Everything lives in @a p. */
int mcp_rpc_parse(apr_pool_t *p, const char *text, apr_size_t len, mcp_rpc_t *rpc, mcp_rpc_error_t *err);

/** params.arguments, which is read when it is first asked for; lives as long as the message. NULL: none. */
json_t *mcp_rpc_arguments(const mcp_rpc_message_t *message);

/** Would a careless reader of JSON take @a key for @a known: the same but for case, or for letters that fold to it? */
int mcp_rpc_alike(const char *key, const char *known);

/* ---- rpc_headers.c ---- */

/** MCP-Protocol-Version, Mcp-Method and Mcp-Name against the body (TR-6 to TR-8). Returns 1, or 0 with *err set. */
int mcp_rpc_headers_match(request_rec *r, const mcp_rpc_t *rpc, mcp_rpc_error_t *err);

/* ---- rpc_trace.c ---- */

/**
 * The text of a message with @a traceparent in its params._meta.
 * @return text in @a p; NULL: it is not one message with params, or what is there is spelled in some other way
 */
const char *mcp_rpc_with_trace(apr_pool_t *p, const mcp_rpc_t *rpc, const char *traceparent);

#endif
