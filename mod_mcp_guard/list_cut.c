/* SPDX-License-Identifier: Apache-2.0 */
/* One message with lists of tools, prompts or resources: what the caller may not use is taken out of it. */

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <apr_hash.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "policy.h"

APLOG_USE_MODULE(mcp_guard);

#define KNOWN_MAX 4096 /* verdicts that are remembered of one answer or stream */
#define DEPTH_MAX 256  /* of a backend's JSON, which schemas may nest deeply */

/* A list in a result, and what its entries are to the rules. */
static const struct {
    const char *member;
    const char *quoted;
    mcp_rpc_target_e target;
    const char *method;
    const char *name;
} lists[] = {
    { "tools", "\"tools\"", MCP_TARGET_TOOL, "tools/call", "name" },
    { "prompts", "\"prompts\"", MCP_TARGET_PROMPT, "prompts/get", "name" },
    { "resources", "\"resources\"", MCP_TARGET_RESOURCE, "resources/read", "uri" },
    { "resourceTemplates", "\"resourceTemplates\"", MCP_TARGET_RESOURCE, "resources/read", "uriTemplate" },
};
#define LISTS (sizeof(lists) / sizeof(*lists))

struct mcp_list_cut_t {
    request_rec *r;
    const mcp_policy_conf_t *conf;
    apr_hash_t *known; /* "target:name" -> "1" or "0" */
};

static int ask(const mcp_list_cut_t *cutter, apr_size_t list, const char *name)
{
    mcp_rpc_message_t message = { .kind = MCP_RPC_REQUEST, .listed = 1 };
    mcp_visible_e visible;

    message.method = lists[list].method;
    message.target = lists[list].target;
    message.name = name;
    visible = mcp_guard_would_allow(cutter->r, &message);
    return visible == MCP_VISIBLE || (visible == MCP_NEEDS_SCOPE && cutter->conf->step_up > 0);
}

static int is_visible(mcp_list_cut_t *cutter, apr_size_t list, const json_t *entry, apr_pool_t *scratch)
{
    const char *name = json_string_value(json_object_get(entry, lists[list].name));
    const char *verdict;
    const char *key;

    if (!name || !*name) {
        return 0;
    }
    key = apr_psprintf(scratch, "%d:%s", (int)lists[list].target, name);
    verdict = apr_hash_get(cutter->known, key, APR_HASH_KEY_STRING);
    if (!verdict) {
        verdict = ask(cutter, list, name) ? "1" : "0";
        if (apr_hash_count(cutter->known) < KNOWN_MAX) {
            apr_hash_set(cutter->known, apr_pstrdup(cutter->r->pool, key), APR_HASH_KEY_STRING, verdict);
        }
    }
    return *verdict == '1';
}

/* Pins are asked each time: what a tool says of itself may change while a stream flows. */
static int pin_holds(const mcp_list_cut_t *cutter, apr_size_t list, const json_t *entry)
{
    return lists[list].target != MCP_TARGET_TOOL || !cutter->conf->pins
           || mcp_pins_see(cutter->r, cutter->conf->pins, entry);
}

/* Take the hidden entries out of one message. Returns how many. */
static int cut_message(mcp_list_cut_t *cutter, json_t *message, apr_pool_t *scratch)
{
    json_t *result = json_object_get(message, "result");
    apr_size_t list;
    int cut = 0;

    for (list = 0; list < LISTS; list++) {
        json_t *entries = json_object_get(result, lists[list].member);
        size_t i = json_array_size(entries);

        while (i-- > 0) {
            const json_t *entry = json_array_get(entries, i);

            if (!pin_holds(cutter, list, entry) || !is_visible(cutter, list, entry, scratch)) {
                json_array_remove(entries, i);
                cut++;
            }
        }
    }
    return cut;
}

/* A letter of a name may be written so; other characters are none of its business. */
static int has_escaped_letter(const char *text)
{
    while ((text = strstr(text, "\\u00")) != NULL) {
        if (text[4] >= '4' && text[4] <= '7') {
            return 1;
        }
        text += 4;
    }
    return 0;
}

int mcp_list_possible(const char *text)
{
    apr_size_t list;

    for (list = 0; list < LISTS; list++) {
        if (strstr(text, lists[list].quoted)) {
            return 1;
        }
    }
    return has_escaped_letter(text);
}

/* Reals that are integers, made integers again: ids must come back as they were sent. NULL: nothing to replace. */
static json_t *restored(json_t *value)
{
    const char *key;
    json_t *member;
    json_t *other;
    void *next;
    size_t i;

    if (json_is_real(value)) {
        double real = json_real_value(value);

        return fabs(real) < 9007199254740992.0 && real == (double)(json_int_t)real ? json_integer((json_int_t)real) : NULL;
    }
    json_object_foreach_safe (value, next, key, member) {
        other = restored(member);
        if (other) {
            json_object_set_new(value, key, other);
        }
    }
    for (i = 0; i < json_array_size(value); i++) {
        other = restored(json_array_get(value, i));
        if (other) {
            json_array_set_new(value, i, other);
        }
    }
    return NULL;
}

const char *mcp_list_cut(mcp_list_cut_t *cutter, const char *text, apr_size_t len, apr_pool_t *scratch)
{
    json_t *json;
    char *out;
    size_t i;
    int reals;
    int cut = 0;

    if (!mcp_list_possible(text)) {
        return text;
    }
    json = mcp_json_parse_wide(scratch, text, len, DEPTH_MAX, JSON_ALLOW_NUL, &reals);
    if (reals) {
        restored(json);
    }
    if (!json) {
        return NULL;
    }
    for (i = 0; json_is_array(json) && i < json_array_size(json); i++) {
        cut += cut_message(cutter, json_array_get(json, i), scratch);
    }
    cut += cut_message(cutter, json, scratch);
    if (!cut) {
        return text;
    }
    ap_log_rerror(APLOG_MARK, APLOG_DEBUG, 0, cutter->r,
                  MCP_LOG(0465) "%d entries of a list are not for this caller", cut);
    out = json_dumps(json, JSON_COMPACT);
    text = out ? apr_pstrdup(scratch, out) : NULL;
    free(out);
    return text;
}

mcp_list_cut_t *mcp_list_cut_make(request_rec *r, const mcp_policy_conf_t *conf)
{
    mcp_list_cut_t *cutter = apr_pcalloc(r->pool, sizeof(*cutter));

    cutter->r = r;
    cutter->conf = conf;
    cutter->known = apr_hash_make(r->pool);
    return cutter;
}
