/* SPDX-License-Identifier: Apache-2.0 */
/* Whose turn it is to answer for a generation of a refresh token, when several present it at once, or when the one whose
 * turn it was has died. It is told by records in the store (drawn in refresh.c), for all processes and hosts. */

#include "refresh_turn.h"

#include <string.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define SAFETY apr_time_from_sec(2)   /* of a turn, what the writes at its end may take */
#define SETTLE apr_time_from_msec(50) /* longer than two writes to the store take */
#define CLAIM_LIFETIME apr_time_from_sec(3)

static apr_status_t put_successor(const mcp_turn_t *x, json_t *answer, apr_time_t until)
{
    json_t *json = mcp_json_own(x->r->pool, json_object());
    const char *text;

    json_object_set_new(json, "t", json_integer(apr_time_sec(apr_time_now())));
    if (answer) {
        json_object_set(json, "a", answer);
    }
    text = mcp_json_text(x->r->pool, json);
    return mcp_store_put(x->conf->store, MCP_KIND_SUCCESSOR, x->ticket, MCP_TICKET_LEN, until, text,
                         strlen(text), x->r->pool);
}

static void drop_successor(const mcp_turn_t *x)
{
    mcp_store_remove(x->conf->store, MCP_KIND_SUCCESSOR, x->ticket, MCP_TICKET_LEN, x->r->pool);
}

apr_status_t mcp_turn_begin(mcp_turn_t *x, apr_interval_time_t longest)
{
    apr_time_t until = apr_time_now() + longest + SAFETY;

    x->turn_ends = until - SAFETY;
    return put_successor(x, NULL, until);
}

int mcp_turn_holds(const mcp_turn_t *x)
{
    return apr_time_now() < x->turn_ends;
}

void mcp_turn_end(const mcp_turn_t *x, json_t *answer)
{
    if (answer && x->conf->grace) {
        put_successor(x, answer, apr_time_now() + x->conf->grace);
    }
    else {
        drop_successor(x);
    }
}

void mcp_turn_give_back(const mcp_turn_t *x)
{
    if (mcp_turn_holds(x)) { /* else it is somebody else's */
        mcp_store_put(x->conf->store, MCP_KIND_TICKET, x->ticket, MCP_TICKET_LEN,
                      x->token.grant.expires, "1", 1, x->r->pool);
        drop_successor(x);
    }
}

mcp_successor_e mcp_turn_successor(const mcp_turn_t *x, json_t **answer)
{
    json_t *json;
    unsigned char *data;
    apr_status_t rv;
    apr_size_t len;
    json_int_t age, left;

    rv = mcp_store_get(x->conf->store, MCP_KIND_SUCCESSOR, x->ticket, MCP_TICKET_LEN, &data, &len,
                       x->r->pool);
    if (rv != APR_SUCCESS) {
        return rv == MCP_EDOWN ? MCP_SUCCESSOR_DOWN : MCP_SUCCESSOR_NONE;
    }
    json = mcp_json_parse(x->r->pool, (const char *)data, len, len);
    *answer = json ? json_object_get(json, "a") : NULL;
    if (!json_is_object(*answer)) {
        return MCP_SUCCESSOR_PENDING;
    }
    age = apr_time_sec(apr_time_now()) - mcp_json_int(json, "t", 0);
    left = mcp_json_int(*answer, "expires_in", 0) - age;
    json_object_set_new(*answer, "expires_in", json_integer(left > 0 ? left : 0));
    return MCP_SUCCESSOR_READY;
}

/*
 * Where no ticket is there to be removed, one of several callers is chosen by who writes last.
 * Nobody writes once a mark is there, so after the writes have settled each of the writers reads
 * the same one, and it is one's own. The mark's short life lets others try if the chosen one dies;
 * the pending successor keeps them off while it lives.
 */
int mcp_turn_claim(const mcp_turn_t *x)
{
    unsigned char mark[MCP_ID_LEN], *data;
    apr_size_t len;
    json_t *answer;

    if (mcp_store_get(x->conf->store, MCP_KIND_UPSTREAM_LOCK, x->ticket, MCP_TICKET_LEN, &data,
                      &len, x->r->pool)
        != APR_NOTFOUND) {
        return 0;
    }
    mcp_random(mark, sizeof(mark));
    if (mcp_store_put(x->conf->store, MCP_KIND_UPSTREAM_LOCK, x->ticket, MCP_TICKET_LEN,
                      apr_time_now() + CLAIM_LIFETIME, mark, sizeof(mark), x->r->pool)
        != APR_SUCCESS) {
        return 0;
    }
    apr_sleep(SETTLE);
    return mcp_turn_successor(x, &answer) == MCP_SUCCESSOR_NONE
           && mcp_store_get(x->conf->store, MCP_KIND_UPSTREAM_LOCK, x->ticket, MCP_TICKET_LEN,
                            &data, &len, x->r->pool)
                  == APR_SUCCESS
           && len == sizeof(mark) && !memcmp(data, mark, sizeof(mark));
}

mcp_verdict_e mcp_turn_judge(const mcp_turn_t *x, int waited_out)
{
    unsigned char epoch[8];
    mcp_grant_t current;
    json_t *answer;
    apr_status_t rv = mcp_grant_get(x->conf->store, x->token.grant.id, &current, x->r->pool);

    if (rv == MCP_EDOWN) {
        return MCP_VERDICT_DOWN;
    }
    /* The winner may have written its first mark between the caller's look and this one. */
    if (mcp_turn_successor(x, &answer) != MCP_SUCCESSOR_NONE) {
        return MCP_VERDICT_WAIT;
    }
    if (rv != APR_SUCCESS) {
        if (mcp_store_epoch(x->conf->store, epoch, x->r->pool) != APR_SUCCESS) {
            return MCP_VERDICT_DOWN;
        }
        return memcmp(epoch, x->token.epoch, sizeof(epoch)) ? MCP_VERDICT_LOST : MCP_VERDICT_REVOKED;
    }
    if (current.flags & MCP_GRANT_REVOKED) {
        return MCP_VERDICT_REVOKED;
    }
    if (current.generation > x->token.grant.generation) {
        return MCP_VERDICT_REUSE;
    }
    return waited_out ? MCP_VERDICT_DEAD_WINNER : MCP_VERDICT_WAIT;
}
