/* SPDX-License-Identifier: Apache-2.0 */
/* Headers that repeat what the body says: MCP-Protocol-Version, Mcp-Method, Mcp-Name. Whoever routes by them must be
 * able to trust them, and a backend that believes them must not do something else than what was allowed (TR-6 to
 * TR-8). Mcp-Param-* are the backend's, which knows the tool's schema (TR-9). */

#include <string.h>

#include <apr_base64.h>
#include <apr_lib.h>
#include <apr_strings.h>
#include <httpd.h>

#include "mcp_http.h"
#include "rpc.h"

#define MODERN "2026-07-28" /* the first revision that has them */
#define VERSION_MEMBER "io.modelcontextprotocol/protocolVersion"
#define SENTINEL "=?base64?"
#define SENTINEL_END "?="

static int mismatch(mcp_rpc_error_t *err, const char *message)
{
    err->status = HTTP_BAD_REQUEST;
    err->code = MCP_RPC_HEADER_MISMATCH;
    err->message = message;
    return 0;
}

/* Revisions are dates: later ones keep the rule until somebody reads this again. */
static int is_modern(const char *version)
{
    int i;

    for (i = 0; version && i < 10; i++) {
        if (i == 4 || i == 7 ? version[i] != '-' : !apr_isdigit(version[i])) {
            return 0;
        }
    }
    return version && !version[10] && strcmp(version, MODERN) >= 0;
}

/* Text that fits no header comes as =?base64?...?= (TR-7). NULL: it cannot be decoded. */
static const char *decode(apr_pool_t *p, const char *value)
{
    apr_size_t len = strlen(value);
    apr_size_t head = sizeof(SENTINEL) - 1;
    apr_size_t tail = sizeof(SENTINEL_END) - 1;
    apr_size_t n;
    char *code;
    char *text;
    char *again;

    if (len < head + tail || strncmp(value, SENTINEL, head) || strcmp(value + len - tail, SENTINEL_END)) {
        return value;
    }
    code = apr_pstrmemdup(p, value + head, len - head - tail);
    text = apr_palloc(p, (apr_size_t)apr_base64_decode_len(code) + 1);
    n = (apr_size_t)apr_base64_decode(text, code);
    text[n] = '\0';
    /* One value has one spelling: what the decoder skipped or stopped at would show here. */
    again = apr_palloc(p, (apr_size_t)apr_base64_encode_len((int)n) + 1);
    apr_base64_encode(again, text, (int)n);
    return strlen(text) == n && !strcmp(again, code) ? text : NULL;
}

static int check_version(const mcp_rpc_message_t *message, const char *header, mcp_rpc_error_t *err)
{
    const json_t *said = json_object_get(json_object_get(message->params, "_meta"), VERSION_MEMBER);

    if (said && !(json_is_string(said) && header && !strcmp(json_string_value(said), header))) {
        return mismatch(err, "MCP-Protocol-Version is not what the body says");
    }
    return 1;
}

/* What Mcp-Name repeats: only of the calls that fetch something, not of those that are about it. */
static const char *repeated_name(const mcp_rpc_message_t *message)
{
    return message->target != MCP_TARGET_NONE
                   && (!strcmp(message->method, "tools/call") || !strcmp(message->method, "prompts/get")
                       || !strcmp(message->method, "resources/read"))
               ? message->name
               : NULL;
}

int mcp_rpc_headers_match(request_rec *r, const mcp_rpc_t *rpc, mcp_rpc_error_t *err)
{
    const mcp_rpc_message_t *message = rpc->messages;
    int twice[3] = { 0, 0, 0 };
    const char *version = mcp_header_once(r, "MCP-Protocol-Version", &twice[0]);
    const char *method = mcp_header_once(r, "Mcp-Method", &twice[1]);
    const char *name = mcp_header_once(r, "Mcp-Name", &twice[2]);
    const char *expected;
    int modern = is_modern(version);

    err->id = rpc->batch ? NULL : message->id;
    if (twice[0] || twice[1] || twice[2]) {
        return mismatch(err, "a header of MCP was sent more than once");
    }
    if (rpc->batch) {
        return modern || method || name ? mismatch(err, "this revision knows no batches") : 1;
    }
    if (!check_version(message, version, err)) {
        return 0;
    }
    modern = modern && message->kind == MCP_RPC_REQUEST;
    if (modern ? !method : method && !message->method) {
        return mismatch(err, modern ? "Mcp-Method is missing" : "Mcp-Method names a method, the body none");
    }
    if (method && strcmp(method, message->method)) {
        return mismatch(err, "Mcp-Method is not the method of the body");
    }
    expected = message->method ? repeated_name(message) : NULL;
    if (modern && expected && !name) {
        return mismatch(err, "Mcp-Name is missing");
    }
    if (name) {
        name = decode(r->pool, name);
        if (!name || (expected && strcmp(name, expected))) {
            return mismatch(err, "Mcp-Name is not what the body names");
        }
    }
    return 1;
}
