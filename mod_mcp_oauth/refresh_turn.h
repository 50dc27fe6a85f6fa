/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is to answer for a generation of a refresh token (drawn in refresh.c). */

#ifndef MCP_REFRESH_TURN_H
#define MCP_REFRESH_TURN_H

#include "oauth.h"

/* One use of a refresh token. */
typedef struct {
    request_rec *r;
    mcp_oauth_conf_t *conf;
    mcp_refresh_t token;
    const char *scope;                    /* of the new access token */
    unsigned char ticket[MCP_TICKET_LEN]; /* of the presented generation */
    apr_time_t turn_ends;                 /* when others may take it for granted that the winner died */
} mcp_turn_t;

typedef enum { MCP_SUCCESSOR_NONE,
               MCP_SUCCESSOR_PENDING,
               MCP_SUCCESSOR_READY,
               MCP_SUCCESSOR_DOWN } mcp_successor_e;

/* What the missing ticket means, as far as it can be told now. */
typedef enum {
    MCP_VERDICT_WAIT,
    MCP_VERDICT_REUSE,
    MCP_VERDICT_REVOKED,
    MCP_VERDICT_LOST,
    MCP_VERDICT_DEAD_WINNER,
    MCP_VERDICT_DOWN
} mcp_verdict_e;

/**
 * The caller has won: the others wait for its answer, until @a longest is over.
 * @return APR_SUCCESS; MCP_EDOWN: nobody knows of it, give it back
 */
apr_status_t mcp_turn_begin(mcp_turn_t *turn, apr_interval_time_t longest);

/** Is there still time to answer? Who was held up longer than was said must not: somebody else may be at it. */
int mcp_turn_holds(const mcp_turn_t *turn);

/** Leave @a answer for those who present the same generation within the grace time; NULL leaves none. */
void mcp_turn_end(const mcp_turn_t *turn, json_t *answer);

/** Undo it, so that the client can try again. */
void mcp_turn_give_back(const mcp_turn_t *turn);

/** What another call has left; its expires_in is what is left of it now. */
mcp_successor_e mcp_turn_successor(const mcp_turn_t *turn, json_t **answer);

/** Nobody has answered for this generation yet: why? @a waited_out: long enough for any that lives. */
mcp_verdict_e mcp_turn_judge(const mcp_turn_t *turn, int waited_out);

/** Take the place of a winner that is not there any more. 1 for one of several callers. */
int mcp_turn_claim(const mcp_turn_t *turn);

#endif
