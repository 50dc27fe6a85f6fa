/* SPDX-License-Identifier: Apache-2.0 */
/* Claims challenges that come while a session lives (E11): the provider wants more of the person, as another factor,
 * before it gives a token. The session is ended then, and what was asked for waits here for the sign-in that follows: no
 * MCP client could carry it there.
 *
 *   MCP_KIND_PARKED "claims" | SHA-256(subject)   { "c": the challenge, "d": asked for at a sign-in since }
 */

#include "upstream_tokens.h"

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define PREFIX "claims"
#define ID_LEN (sizeof(PREFIX) - 1 + MCP_SHA256_LEN)
#define WAITS apr_time_from_sec(86400)
#define ANSWERED apr_time_from_sec(600) /* for so long the same challenge means that a sign-in does not help */

static void make_id(const char *subject, unsigned char id[ID_LEN])
{
    memcpy(id, PREFIX, sizeof(PREFIX) - 1);
    mcp_sha256(subject, strlen(subject), id + sizeof(PREFIX) - 1);
}

static const json_t *read_one(request_rec *r, const mcp_oauth_conf_t *conf,
                              const unsigned char id[ID_LEN])
{
    unsigned char *data;
    apr_size_t len;

    return mcp_store_get(conf->store, MCP_KIND_PARKED, id, ID_LEN, &data, &len, r->pool)
                   == APR_SUCCESS
               ? mcp_json_parse(r->pool, (const char *)data, len, len)
               : NULL;
}

static apr_status_t write_one(request_rec *r, const mcp_oauth_conf_t *conf,
                              const unsigned char id[ID_LEN], const char *claims, int done)
{
    json_t *json = mcp_json_own(r->pool, json_object());
    const char *text;

    mcp_put(json, "c", claims);
    json_object_set_new(json, "d", json_integer(done));
    text = mcp_json_text(r->pool, json);
    return mcp_store_put(conf->store, MCP_KIND_PARKED, id, ID_LEN,
                         apr_time_now() + (done ? ANSWERED : WAITS), text, strlen(text), r->pool);
}

int mcp_challenge_note(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject,
                       const char *claims)
{
    unsigned char id[ID_LEN];
    const json_t *json;
    const char *before;

    if (strlen(claims) > MCP_CHALLENGE_MAX) {
        return 0;
    }
    make_id(subject, id);
    json = read_one(r, conf, id);
    before = json ? mcp_json_str(json, "c") : NULL;
    if (before && mcp_json_int(json, "d", 0) && !strcmp(before, claims)) {
        return 0;
    }
    return write_one(r, conf, id, claims, 0) == APR_SUCCESS;
}

const char *mcp_challenge_due(request_rec *r, const mcp_oauth_conf_t *conf, const char *subject)
{
    unsigned char id[ID_LEN];
    const json_t *json;
    const char *claims;

    make_id(subject, id);
    json = read_one(r, conf, id);
    claims = json ? mcp_json_str(json, "c") : NULL;
    if (!claims || mcp_json_int(json, "d", 0) || write_one(r, conf, id, claims, 1) != APR_SUCCESS) {
        return NULL;
    }
    return claims;
}
