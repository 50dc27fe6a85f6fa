/* SPDX-License-Identifier: Apache-2.0 */
/* The records of a person's tokens at the identity provider. */

#include "mcp_upstream_token.h"

#include <apr_strings.h>

#include "mcp_json.h"

#define AHEAD apr_time_from_sec(60) /* a token is renewed this long before it expires, if it lives long enough */
#define RECORD_MAX (32 * 1024)

void mcp_token_name(apr_pool_t *p, mcp_token_want_t *want)
{
    const char *text = apr_psprintf(p, "%d\n%s\n%s\n%s", want->by, want->scope ? want->scope : "",
                                    want->resource ? want->resource : "",
                                    want->audience ? want->audience : "");
    unsigned char digest[MCP_SHA256_LEN];

    mcp_sha256(text, strlen(text), digest);
    apr_cpystrn(want->name, mcp_b64url_encode(p, digest, 16), sizeof(want->name));
}

void mcp_token_others_id(const unsigned char grant_id[MCP_ID_LEN],
                         unsigned char id[MCP_TOKEN_OTHERS_LEN])
{
    memcpy(id, grant_id, MCP_ID_LEN);
    id[MCP_ID_LEN] = '+';
}

apr_status_t mcp_token_held(mcp_store_t *store, const unsigned char grant_id[MCP_ID_LEN],
                            const mcp_token_want_t *want, mcp_token_held_t *held, apr_pool_t *p)
{
    unsigned char id[MCP_TOKEN_OTHERS_LEN], *data;
    int own = want->by == MCP_TOKEN_OWN;
    const json_t *json;
    apr_status_t rv;
    apr_size_t len;

    memset(held, 0, sizeof(*held));
    mcp_token_others_id(grant_id, id);
    rv = mcp_store_get(store, MCP_KIND_UPSTREAM, id, own ? MCP_ID_LEN : sizeof(id), &data, &len, p);
    if (rv != APR_SUCCESS) {
        return rv;
    }
    json = mcp_json_parse(p, (const char *)data, len, RECORD_MAX);
    if (json && !own) {
        json = json_object_get(json, want->name);
    }
    if (!json) {
        return APR_NOTFOUND;
    }
    held->token = mcp_json_str(json, "at");
    held->expires = apr_time_from_sec(mcp_json_int(json, "exp", 0));
    held->obtained = apr_time_from_sec(mcp_json_int(json, "got", 0));
    return APR_SUCCESS;
}

int mcp_token_is_good(const mcp_token_held_t *held, apr_time_t now)
{
    return held->token && (!held->expires || held->expires > now);
}

int mcp_token_is_fresh(const mcp_token_held_t *held, apr_time_t now)
{
    apr_interval_time_t ahead = AHEAD;

    /* One that lives for a minute only is not renewed by each call. */
    if (held->obtained && held->obtained < held->expires
        && (held->expires - held->obtained) / 4 < ahead) {
        ahead = (held->expires - held->obtained) / 4;
    }
    return held->token && (!held->expires || held->expires > now + ahead);
}
