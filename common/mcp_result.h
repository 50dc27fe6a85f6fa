/* SPDX-License-Identifier: Apache-2.0 */
/* One small object that carries what went wrong from where a flow fails to where it answers. */

#ifndef MCP_RESULT_H
#define MCP_RESULT_H

typedef struct {
    int status;              /* HTTP status for a direct answer; OK (0) while all is well */
    const char *error;       /* RFC 6749 / 7591 / 8707 error code, NULL while all is well */
    const char *description; /* for the client or person: safe ASCII, no secret, no upstream text */
    const char *log;         /* for the administrator: detail that never leaves the log, may be NULL */
} mcp_result_t;

/** Fill @a res and return @a status, so that a flow can `return mcp_fail(res, 400, "invalid_grant", "...", log);` */
static inline int mcp_fail(mcp_result_t *res, int status, const char *error, const char *description,
                           const char *log)
{
    res->status = status;
    res->error = error;
    res->description = description;
    res->log = log;
    return status;
}

#endif
