/* SPDX-License-Identifier: Apache-2.0 */
/* Lines of MCPTraceExport as spans of OTLP. mcp-otlp.8 describes the lines. Whatever is not as described is refused:
 * a collector that gets one wrong span refuses all that came with it. */

#include <stdint.h>
#include <string.h>

#include <apr_strings.h>
#include <jansson.h>

#include "mcp_json.h"
#include "otlp.h"

#define DEPTH 5
#define ATTRIBUTES_MAX 64
#define PARTS_MAX 64
#define TIME_MAX (INT64_MAX / 1000)
#define STATUS_ERROR 2
#define KIND_INTERNAL 1
#define KIND_CONSUMER 5

/* ids of @a len lower-case hex digits, not all zero */
static const char *id_of(const json_t *span, const char *name, size_t len)
{
    const char *id = json_string_value(json_object_get(span, name));

    return id && strlen(id) == len && strspn(id, "0123456789abcdef") == len && strspn(id, "0") < len ? id : NULL;
}

static int time_of(const json_t *span, const char *name, json_int_t *time)
{
    const json_t *value = json_object_get(span, name);

    *time = json_integer_value(value);
    return json_is_integer(value) && *time > 0 && *time <= TIME_MAX;
}

/* fixed64 is a string in JSON; microseconds are what we count. */
static json_t *nanoseconds(json_int_t time)
{
    return json_sprintf("%" JSON_INTEGER_FORMAT "000", time);
}

/* A KeyValue; NULL: of a type that spans of ours have none of. */
static json_t *attribute(const char *name, const json_t *value)
{
    if (json_is_string(value)) {
        return json_pack("{s:s, s:{s:s}}", "key", name, "value", "stringValue", json_string_value(value));
    }
    if (json_is_integer(value)) {
        /* int64 is a string, too */
        return json_pack("{s:s, s:{s:o}}", "key", name, "value", "intValue",
                         json_sprintf("%" JSON_INTEGER_FORMAT, json_integer_value(value)));
    }
    if (json_is_boolean(value)) {
        return json_pack("{s:s, s:{s:b}}", "key", name, "value", "boolValue", json_is_true(value));
    }
    return NULL;
}

/* The array of attributes; NULL: *err is set. */
static json_t *attributes_of(json_t *span, const char **err)
{
    json_t *attributes = json_object_get(span, "attributes"), *list, *value;
    const char *name;

    if (attributes && (!json_is_object(attributes) || json_object_size(attributes) > ATTRIBUTES_MAX)) {
        *err = "attributes are no object, or too many";
        return NULL;
    }
    list = json_array();
    json_object_foreach (attributes, name, value) {
        if (!*name || json_array_append_new(list, attribute(name, value)) != 0) {
            *err = "an attribute is no string, integer or boolean";
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* One span of OTLP; NULL: *err is set. */
static json_t *span_of(json_t *in, const char *trace, const char *parent, const char *state, const char **err)
{
    const char *id = id_of(in, "span", 16);
    const char *name = json_string_value(json_object_get(in, "name"));
    const json_t *failed = json_object_get(in, "failed");
    json_int_t kind = json_integer_value(json_object_get(in, "kind")), begin, end;
    json_t *attributes, *out;

    if (!id || !name || !*name) {
        *err = "no span id, or no name";
        return NULL;
    }
    if (kind < KIND_INTERNAL || kind > KIND_CONSUMER || (failed && !json_is_boolean(failed))) {
        *err = "kind or failed is none";
        return NULL;
    }
    if (!time_of(in, "begin", &begin) || !time_of(in, "end", &end) || end < begin) {
        *err = "no begin, no end, or they are the wrong way round";
        return NULL;
    }
    attributes = attributes_of(in, err);
    if (!attributes) {
        return NULL;
    }
    out = json_pack("{s:s, s:s, s:s, s:I, s:o, s:o}", "traceId", trace, "spanId", id, "name", name, "kind", kind,
                    "startTimeUnixNano", nanoseconds(begin), "endTimeUnixNano", nanoseconds(end));
    if (json_array_size(attributes)) {
        json_object_set(out, "attributes", attributes);
    }
    json_decref(attributes);
    if (parent) {
        json_object_set_new(out, "parentSpanId", json_string(parent));
    }
    if (state) {
        json_object_set_new(out, "traceState", json_string(state));
    }
    if (json_is_true(failed)) {
        json_object_set_new(out, "status", json_pack("{s:i}", "code", STATUS_ERROR));
    }
    return out;
}

static json_t *spans_of(json_t *in, const char **err)
{
    const char *trace = id_of(in, "trace", 32), *id = id_of(in, "span", 16);
    const char *parent = id_of(in, "parent", 16), *state = json_string_value(json_object_get(in, "state"));
    json_t *parts = json_object_get(in, "parts"), *list = json_array(), *span, *part;
    size_t i;

    if (!trace || (json_object_get(in, "parent") && !parent) || (json_object_get(in, "state") && !state)) {
        *err = "no trace id, or a parent or state that is none";
    }
    else if (parts && (!json_is_array(parts) || json_array_size(parts) > PARTS_MAX)) {
        *err = "parts are no array, or too many";
    }
    else if (json_array_append_new(list, span_of(in, trace, parent, state, err)) == 0) {
        json_array_foreach (parts, i, part) {
            span = json_is_object(part) ? span_of(part, trace, id, state, err) : NULL;
            if (!span) {
                *err = *err ? *err : "a part is no object";
                break;
            }
            json_array_append_new(list, span);
        }
    }
    if (*err) {
        json_decref(list);
        return NULL;
    }
    return list;
}

char *otlp_line(apr_pool_t *p, const char *text, apr_size_t len, int *count, const char **err)
{
    json_t *in = len <= OTLP_LINE_MAX ? mcp_json_parse_any(p, text, len, DEPTH, JSON_REJECT_DUPLICATES) : NULL;
    json_t *spans;
    char *out;

    *err = NULL;
    if (!json_is_object(in)) {
        *err = "not an object of JSON";
        return NULL;
    }
    spans = spans_of(in, err);
    if (!spans) {
        return NULL;
    }
    mcp_json_own(p, spans);
    *count = (int)json_array_size(spans);
    out = mcp_json_text(p, spans) + 1; /* without the brackets */
    out[strlen(out) - 1] = '\0';
    return out;
}

void otlp_envelope(apr_pool_t *p, const char *const *attributes, const char *version, const char **head,
                   const char **tail)
{
    json_t *list = mcp_json_own(p, json_array());
    json_t *scope = mcp_json_own(p, json_pack("{s:s, s:s}", "name", "mod_mcp", "version", version));

    for (; attributes[0]; attributes += 2) {
        json_t *value = json_string(attributes[1]);

        json_array_append_new(list, attribute(attributes[0], value));
        json_decref(value);
    }
    *head = apr_pstrcat(p, "{\"resourceSpans\":[{\"resource\":{\"attributes\":", mcp_json_text(p, list),
                        "},\"scopeSpans\":[{\"scope\":", mcp_json_text(p, scope), ",\"spans\":[", NULL);
    *tail = "]}]}]}";
}
