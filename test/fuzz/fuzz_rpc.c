/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of JSON-RPC: what is taken says the same to a reader that lets the last of two members win. */

#include "fuzz.h"

#include <strings.h>

#include "rpc.h"

/* A careless reader's member, whatever the case of its letters; the last one wins. */
static const char *careless(json_t *object, const char *name)
{
    const char *text = NULL;
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        if (!strcasecmp(key, name)) {
            text = json_string_value(value);
        }
    }
    return text;
}

static void check(const mcp_rpc_message_t *message, json_t *json)
{
    const char *method = careless(json, "method");

    REQUIRE(!message->method == !method);
    REQUIRE(!method || !strcmp(message->method, method));
    REQUIRE((message->kind == MCP_RPC_RESPONSE) == !message->method);
    REQUIRE((message->target == MCP_TARGET_NONE) == !message->name);
    if (message->target == MCP_TARGET_TOOL) {
        const char *name = careless(json_object_get(json, "params"), "name");

        REQUIRE(name && !strcmp(name, message->name));
    }
    REQUIRE(!method || strcasecmp(method, "tools/call") || message->target == MCP_TARGET_TOOL);
    if (method) {
        json_t *arguments = json_object_get(json_object_get(json, "params"), "arguments");

        REQUIRE(arguments ? json_equal(arguments, mcp_rpc_arguments(message)) : !mcp_rpc_arguments(message));
    }
}

/* With the trace in it the text says what it said, and the trace. */
static void check_trace(apr_pool_t *p, const mcp_rpc_t *rpc, json_t *json)
{
    static const char traceparent[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const char *text = mcp_rpc_with_trace(p, rpc, traceparent);
    json_t *params = json_object_get(json, "params");
    json_t *again;

    if (text) {
        REQUIRE(params && !rpc->batch);
        if (!json_object_get(params, "_meta")) {
            json_object_set_new(params, "_meta", json_object());
        }
        json_object_set_new(json_object_get(params, "_meta"), "traceparent", json_string(traceparent));
        again = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
        REQUIRE(again && json_equal(json, again));
        json_decref(again);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    apr_pool_t *p = fuzz_pool();
    char *text = apr_pstrmemdup(p, (const char *)data, size);
    mcp_rpc_t rpc = { 0 };
    mcp_rpc_error_t err = { 0 };
    json_t *json;
    int i;

    if (mcp_rpc_parse(p, text, size, &rpc, &err)) {
        json = json_loadb(text, size, 0, NULL);
        REQUIRE(json && rpc.count > 0 && rpc.len == size);
        for (i = 0; i < rpc.count; i++) {
            check(&rpc.messages[i], rpc.batch ? json_array_get(json, (size_t)i) : json);
        }
        check_trace(p, &rpc, json);
        json_decref(json);
    }
    else {
        REQUIRE(err.status && err.code && err.message && !rpc.count);
    }
    apr_pool_destroy(p);
    return 0;
}
