/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a message with the trace in its params._meta, where MCP servers look for it first, and nothing else of it
 * changed. Knows nothing of httpd's requests: test/fuzz runs it alone. */

#include <string.h>

#include <apr_strings.h>

#include "rpc.h"

/* What follows walks through text that mcp_rpc_parse() has read: it is an object, and well-formed. */

static const char *skip_space(const char *at)
{
    return at + strspn(at, " \t\r\n");
}

/* @a at is the opening quote. */
static const char *end_of_string(const char *at)
{
    for (at++; *at && *at != '"'; at++) {
        if (*at == '\\' && at[1]) {
            at++;
        }
    }
    return *at ? at + 1 : at;
}

static const char *end_of_value(const char *at)
{
    int depth = 0;

    do {
        if (*at == '"') {
            at = end_of_string(at);
        }
        else {
            depth += *at == '{' || *at == '[';
            depth -= *at == '}' || *at == ']';
            at++;
        }
    } while (*at && (depth > 0 || !strchr(",}] \t\r\n", *at)));
    return at;
}

/* Where in the text the value of a member begins whose name is spelled as @a name; NULL: there is none. */
static const char *value_of(const char *object, const char *name)
{
    const char *at = skip_space(object + 1);
    const char *end, *value;

    while (*at == '"') {
        end = end_of_string(at);
        value = skip_space(end);
        if (*value != ':') {
            break;
        }
        value = skip_space(value + 1);
        if ((apr_size_t)(end - at) == strlen(name) + 2 && !strncmp(at + 1, name, strlen(name))) {
            return value;
        }
        at = skip_space(end_of_value(value));
        at = *at == ',' ? skip_space(at + 1) : at;
    }
    return NULL;
}

/* The member @a name, which is there exactly if @a json is: where it stands, spelled in the plain way, as an object or text. */
static int find(const char *object, const char *name, const json_t *json, char first, const char **value)
{
    *value = value_of(object, name);
    return json ? *value && **value == first : !*value;
}

const char *mcp_rpc_with_trace(apr_pool_t *p, const mcp_rpc_t *rpc, const char *traceparent)
{
    const json_t *params = rpc->count == 1 && !rpc->batch ? rpc->messages[0].params : NULL;
    const json_t *meta = json_object_get(params, "_meta");
    const json_t *old = json_object_get(meta, "traceparent");
    const char *member = apr_psprintf(p, "\"traceparent\":\"%s\"", traceparent);
    const char *at, *in, *until;

    if (!params || !find(skip_space(rpc->body), "params", params, '{', &at) || !find(at, "_meta", meta, '{', &in)) {
        return NULL;
    }
    if (!meta) {
        in = at;
        member = apr_psprintf(p, "\"_meta\":{%s}", member);
    }
    else if (!find(in, "traceparent", old, '"', &at)) {
        return NULL;
    }
    if (old) {
        until = end_of_string(at);
        member = apr_psprintf(p, "\"%s\"", traceparent);
    }
    else {
        at = until = in + 1;
        member = *skip_space(at) == '}' ? member : apr_pstrcat(p, member, ",", NULL);
    }
    return apr_pstrcat(p, apr_pstrmemdup(p, rpc->body, (apr_size_t)(at - rpc->body)), member, until, NULL);
}
