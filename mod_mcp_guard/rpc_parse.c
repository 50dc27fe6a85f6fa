/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a body, checked so that no backend can read another message in it than we do.
 *
 * What two readers of JSON may understand differently is refused: members said twice, members that only a careless
 * reader takes for one of the protocol's ("Method", "paramſ"), members that JSON-RPC does not know, other encodings
 * than UTF-8, names and methods that only look like one another. Knows nothing of httpd's requests: test/fuzz runs it
 * alone. */

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_json.h"
#include "rpc.h"

#define DEPTH_MAX 64 /* of nesting; a schema or a document may lie in arguments */
#define BATCH_MAX 64 /* messages */
#define METHOD_MAX 128
#define ARGUMENTS "arguments"
#define NAME_MAX_LEN 4096 /* a resource's URI */

/* Methods that are about something with a name. */
static const struct {
    const char *method;
    mcp_rpc_target_e target;
    const char *member;
} targets[] = {
    { "tools/call", MCP_TARGET_TOOL, "name" },
    { "prompts/get", MCP_TARGET_PROMPT, "name" },
    { "resources/read", MCP_TARGET_RESOURCE, "uri" },
    { "resources/subscribe", MCP_TARGET_RESOURCE, "uri" },
    { "resources/unsubscribe", MCP_TARGET_RESOURCE, "uri" },
};
#define TARGETS (sizeof(targets) / sizeof(*targets))

/* The bytes of one letter of @a key as a reader that folds case takes them; 0: no ASCII letter. */
static int fold(const char *key, apr_size_t *used)
{
    *used = 1;
    if (!strncmp(key, "\xC5\xBF", 2)) {
        *used = 2; /* long s, U+017F */
        return 's';
    }
    if (!strncmp(key, "\xE2\x84\xAA", 3)) {
        *used = 3; /* the sign of Kelvin, U+212A */
        return 'k';
    }
    return (unsigned char)*key < 0x80 ? apr_tolower(*key) : 0;
}

int mcp_rpc_alike(const char *key, const char *known)
{
    apr_size_t used;

    for (; *known; known++, key += used) {
        if (!*key || fold(key, &used) != apr_tolower(*known)) {
            return 0;
        }
    }
    return !*key;
}

static int fail(mcp_rpc_error_t *err, int status, int code, const char *message)
{
    err->status = status;
    err->code = code;
    err->message = message;
    return 0;
}

static int invalid(mcp_rpc_error_t *err, const char *message)
{
    return fail(err, HTTP_BAD_REQUEST, MCP_RPC_INVALID_REQUEST, message);
}

/* JSON-RPC knows six members, and MCP's schemas let no other pass. */
static int members_known(json_t *object)
{
    static const char *const known[] = { "jsonrpc", "id", "method", "params", "result", "error" };
    const char *key;
    json_t *value;

    json_object_foreach (object, key, value) {
        apr_size_t i = 0;

        while (i < sizeof(known) / sizeof(*known) && strcmp(key, known[i])) {
            i++;
        }
        if (i == sizeof(known) / sizeof(*known)) {
            return 0;
        }
    }
    return 1;
}

/* Members of params that decide are there in one spelling only. */
static int params_plain(json_t *params)
{
    static const char *const deciding[] = { "name", "uri", "arguments", "ref", "_meta" };
    const char *key;
    json_t *value;

    json_object_foreach (params, key, value) {
        apr_size_t i;

        for (i = 0; i < sizeof(deciding) / sizeof(*deciding); i++) {
            if (strcmp(key, deciding[i]) && mcp_rpc_alike(key, deciding[i])) {
                return 0;
            }
        }
    }
    return 1;
}

/* "tools/call" and the like: letters, digits, and a little punctuation. */
static int method_valid(const char *method)
{
    apr_size_t len = strlen(method);
    apr_size_t i;

    for (i = 0; i < len; i++) {
        if (!apr_isalnum(method[i]) && !strchr("/_-.$", method[i])) {
            return 0;
        }
    }
    if (!len || len > METHOD_MAX) {
        return 0;
    }
    for (i = 0; i < TARGETS; i++) {
        if (strcmp(method, targets[i].method) && !strcasecmp(method, targets[i].method)) {
            return 0; /* a careless backend would call the tool */
        }
    }
    return 1;
}

static const char *text_member(const json_t *object, const char *name)
{
    const char *text = json_string_value(json_object_get(object, name));

    return text && *text && strlen(text) <= NAME_MAX_LEN ? text : NULL;
}

/* completion/complete is about a prompt or a resource, which its reference names. */
static int find_reference(mcp_rpc_message_t *message)
{
    json_t *ref = json_object_get(message->params, "ref");
    const char *type = text_member(ref, "type");

    if (type && !strcmp(type, "ref/prompt")) {
        message->target = MCP_TARGET_PROMPT;
        message->name = text_member(ref, "name");
    }
    else if (type && !strcmp(type, "ref/resource")) {
        message->target = MCP_TARGET_RESOURCE;
        message->name = text_member(ref, "uri");
    }
    return message->name != NULL;
}

static int find_target(mcp_rpc_message_t *message, mcp_rpc_error_t *err)
{
    apr_size_t i;

    for (i = 0; i < TARGETS; i++) {
        if (!strcmp(message->method, targets[i].method)) {
            message->target = targets[i].target;
            message->name = text_member(message->params, targets[i].member);
            if (!message->name) {
                return fail(err, HTTP_BAD_REQUEST, MCP_RPC_INVALID_PARAMS,
                            "params must name what is meant, as text");
            }
            return 1;
        }
    }
    if (!strcmp(message->method, "completion/complete") && !find_reference(message)) {
        return fail(err, HTTP_BAD_REQUEST, MCP_RPC_INVALID_PARAMS, "params.ref must name a prompt or a resource");
    }
    return 1;
}

struct mcp_rpc_arguments_t {
    apr_pool_t *pool;
    const char *text; /* not read yet; NULL: value is what it says */
    apr_size_t len;
    json_t *value;
};

/* Note where params.arguments is: in its values, or still in the text. */
static void find_arguments(apr_pool_t *p, const apr_array_header_t *left, mcp_rpc_message_t *message)
{
    json_t *value = json_object_get(message->params, ARGUMENTS);
    int i;

    if (!value) {
        return;
    }
    message->arguments = apr_pcalloc(p, sizeof(*message->arguments));
    message->arguments->pool = p;
    message->arguments->value = value;
    for (i = 0; i < left->nelts; i++) {
        const mcp_json_left_t *one = &APR_ARRAY_IDX(left, i, mcp_json_left_t);

        if (one->stub == value) {
            message->arguments->text = one->text;
            message->arguments->len = one->len;
        }
    }
}

json_t *mcp_rpc_arguments(const mcp_rpc_message_t *message)
{
    mcp_rpc_arguments_t *arguments = message->arguments;

    if (!arguments) {
        return NULL;
    }
    if (arguments->text) {
        arguments->value =
            mcp_json_parse_any(arguments->pool, arguments->text, arguments->len, DEPTH_MAX, JSON_REJECT_DUPLICATES);
        arguments->text = NULL;
        if (!arguments->value) {
            abort(); /* it could be read before, so memory is at its end; and no rule may take it for none */
        }
    }
    return arguments->value;
}

static int parse_call(json_t *object, mcp_rpc_message_t *message, mcp_rpc_error_t *err)
{
    message->kind = message->id ? MCP_RPC_REQUEST : MCP_RPC_NOTIFICATION;
    message->method = json_string_value(json_object_get(object, "method"));
    message->params = json_object_get(object, "params");
    if (!message->method || !method_valid(message->method)) {
        return invalid(err, "method must be the name of a method");
    }
    if (json_object_get(object, "result") || json_object_get(object, "error")) {
        return invalid(err, "a message is either a call or an answer");
    }
    if (message->params && (!json_is_object(message->params) || !params_plain(message->params))) {
        return invalid(err, "params must be an object, with members in their own spelling");
    }
    return find_target(message, err);
}

static int parse_message(json_t *object, mcp_rpc_message_t *message, mcp_rpc_error_t *err)
{
    const char *version = json_string_value(json_object_get(object, "jsonrpc"));

    if (!json_is_object(object) || !version || strcmp(version, "2.0")) {
        return invalid(err, "a message must be an object with \"jsonrpc\":\"2.0\"");
    }
    if (!members_known(object)) {
        return invalid(err, "a message has only the members that JSON-RPC knows");
    }
    message->id = json_object_get(object, "id");
    if (message->id && !json_is_string(message->id) && !json_is_integer(message->id)) {
        message->id = NULL;
        /* An error about something that could not be read has none (JSON-RPC 2.0 section 5). */
        if (!json_is_null(json_object_get(object, "id")) || !json_object_get(object, "error")) {
            return invalid(err, "id must be text or an integer");
        }
    }
    if (json_object_get(object, "method")) {
        return parse_call(object, message, err);
    }
    message->kind = MCP_RPC_RESPONSE;
    if (!json_object_get(object, "result") == !json_object_get(object, "error") || json_object_get(object, "params")) {
        return invalid(err, "an answer has a result or an error, a call has a method");
    }
    return 1;
}

int mcp_rpc_parse(apr_pool_t *p, const char *text, apr_size_t len, mcp_rpc_t *rpc, mcp_rpc_error_t *err)
{
    apr_array_header_t *left = apr_array_make(p, 1, sizeof(mcp_json_left_t));
    json_t *json = mcp_json_parse_but(p, text, len, DEPTH_MAX, ARGUMENTS, left);
    mcp_rpc_message_t *messages;
    size_t count = 1;
    size_t i;

    err->id = NULL;
    if (!json) {
        return fail(err, HTTP_BAD_REQUEST, MCP_RPC_PARSE_ERROR,
                    "the body is no JSON that can be read in one way only: UTF-8, no member twice, not too deep");
    }
    rpc->batch = json_is_array(json);
    if (rpc->batch) {
        count = json_array_size(json);
        if (!count || count > BATCH_MAX) {
            return invalid(err, "a batch has one to 64 messages");
        }
    }
    messages = apr_pcalloc(p, count * sizeof(*messages));
    for (i = 0; i < count; i++) {
        if (!parse_message(rpc->batch ? json_array_get(json, i) : json, &messages[i], err)) {
            err->id = rpc->batch ? NULL : messages[i].id;
            return 0;
        }
        find_arguments(p, left, &messages[i]);
    }
    rpc->messages = messages;
    rpc->count = (int)count;
    rpc->body = text;
    rpc->len = len;
    return 1;
}
