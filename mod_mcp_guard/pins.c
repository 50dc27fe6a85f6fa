/* SPDX-License-Identifier: Apache-2.0 */
/* MCPToolPins: what an administrator has read and agreed to. The description and schema of each tool are kept in a file,
 * and each list of tools that goes by is held against it: a server, or whoever took it over, that changes what a tool
 * says of itself steers the model that reads it (tool poisoning).
 *
 * Shared memory, made in post_config, tells all processes which tools have changed:
 *
 *   | state of pin 0 [4] | pin 1 [4] ... | strangers: UNPINNED_MAX hashes [8] |      for each file
 */

#include <string.h>

#include <apr_hash.h>
#include <apr_shm.h>
#include <apr_strings.h>
#include <httpd.h>
#include <http_core.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_schema.h"
#include "mcp_util.h"
#include "policy.h"

APLOG_USE_MODULE(mcp_guard);

#define FILE_MAX (4 * 1024 * 1024)
#define DEPTH_MAX 256
#define UNPINNED_MAX 64 /* tools without a pin that are reported, of each file */

typedef struct {
    json_t *entry;
    int index;
} pin_t;

struct mcp_pins_t {
    const char *file;
    int enforce;
    int arguments;         /* hold calls against the pinned inputSchema */
    apr_hash_t *tools;     /* name -> pin_t */
    apr_uint32_t *changed; /* by index; NULL before post_config */
    apr_uint64_t *unpinned;
};

static apr_array_header_t *all; /* mcp_pins_t *, of this reading of the configuration */

void mcp_pins_begin(apr_pool_t *pconf)
{
    all = apr_array_make(pconf, 2, sizeof(mcp_pins_t *));
}

/* ---- the file ---- */

/* The list in what `tools/list` answered: the answer itself, or its result. */
static json_t *find_tools(json_t *json)
{
    json_t *result = json_object_get(json, "result");
    json_t *tools = json_object_get(result ? result : json, "tools");

    return json_is_array(tools) ? tools : NULL;
}

static const char *add_pins(apr_pool_t *p, mcp_pins_t *pins, json_t *tools)
{
    size_t i;

    for (i = 0; i < json_array_size(tools); i++) {
        json_t *entry = json_array_get(tools, i);
        const char *name = mcp_json_str(entry, "name");
        pin_t *pin = apr_palloc(p, sizeof(*pin));

        if (!name || apr_hash_get(pins->tools, name, APR_HASH_KEY_STRING)) {
            return "each tool needs a name of its own";
        }
        pin->entry = entry;
        pin->index = (int)i;
        apr_hash_set(pins->tools, name, APR_HASH_KEY_STRING, pin);
    }
    return NULL;
}

static const char *read_pins(cmd_parms *cmd, mcp_pins_t *pins)
{
    json_t *json;
    json_t *tools;
    char *text = NULL;
    const char *err = mcp_read_file(cmd->temp_pool, pins->file, FILE_MAX, &text, NULL);

    if (err || !text) {
        return err;
    }
    json = mcp_json_parse_wide(cmd->pool, text, strlen(text), DEPTH_MAX, JSON_REJECT_DUPLICATES, NULL);
    tools = find_tools(json);
    err = tools ? add_pins(cmd->pool, pins, tools) : "is not what tools/list answers: {\"tools\":[...]}";
    return err ? apr_pstrcat(cmd->pool, pins->file, " ", err, NULL) : NULL;
}

const char *mcp_set_tool_pins(cmd_parms *cmd, void *dir, const char *arg, const char *mode, const char *more)
{
    mcp_policy_conf_t *conf = &((mcp_guard_dir_t *)dir)->policy;
    mcp_pins_t *pins = apr_pcalloc(cmd->pool, sizeof(*pins));
    const char *const words[] = { mode, more };
    const char *err;
    int i;

    pins->file = ap_server_root_relative(cmd->pool, arg);
    pins->tools = apr_hash_make(cmd->pool);
    for (i = 0; i < 2 && words[i]; i++) {
        if (!ap_cstr_casecmp(words[i], "arguments")) {
            pins->arguments = 1;
        }
        else if (!ap_cstr_casecmp(words[i], "enforce")) {
            pins->enforce = 1;
        }
        else if (ap_cstr_casecmp(words[i], "report")) {
            return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes a file, report or enforce, and arguments, not ", words[i],
                               NULL);
        }
    }
    err = pins->file ? read_pins(cmd, pins) : "takes the path of a file";
    if (err) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", err, NULL);
    }
    conf->pins = pins;
    conf->hides = conf->wanted = 1;
    APR_ARRAY_PUSH(all, mcp_pins_t *) = pins;
    return NULL;
}

/* ---- arguments ---- */

/* What an administrator should know of schemas that are not checked to the last word. */
static void report_unchecked(server_rec *s, const mcp_pins_t *pins, apr_pool_t *ptemp)
{
    apr_hash_index_t *i;

    for (i = apr_hash_first(ptemp, pins->tools); i; i = apr_hash_next(i)) {
        const pin_t *pin = apr_hash_this_val(i);
        const char *what = mcp_schema_unchecked(ptemp, json_object_get(pin->entry, "inputSchema"));

        if (*what) {
            ap_log_error(APLOG_MARK, APLOG_NOTICE, 0, s,
                         MCP_LOG(0474) "MCPToolPins %s: of the inputSchema of tool '%s' this is not checked: %s",
                         pins->file, mcp_log_text(ptemp, apr_hash_this_key(i)), mcp_log_text(ptemp, what));
        }
    }
}

void mcp_pins_check_config(server_rec *s, apr_pool_t *ptemp)
{
    int i;

    /* The first of two readings at start-up is thrown away; configtest reads once. */
    if (ap_state_query(AP_SQ_MAIN_STATE) == AP_SQ_MS_CREATE_PRE_CONFIG
        && ap_state_query(AP_SQ_RUN_MODE) != AP_SQ_RM_CONFIG_TEST) {
        return;
    }
    for (i = 0; i < all->nelts; i++) {
        const mcp_pins_t *pins = APR_ARRAY_IDX(all, i, mcp_pins_t *);

        if (pins->arguments) {
            report_unchecked(s, pins, ptemp);
        }
    }
}

const char *mcp_pins_bad_arguments(apr_pool_t *p, const mcp_pins_t *pins, const mcp_rpc_message_t *message)
{
    const pin_t *pin = NULL;
    mcp_schema_error_t err;
    const json_t *arguments;
    json_t *none;
    int fits;

    if (pins && pins->arguments && message && message->target == MCP_TARGET_TOOL) {
        pin = apr_hash_get(pins->tools, message->name, APR_HASH_KEY_STRING);
    }
    if (!pin) {
        return NULL;
    }
    none = json_object(); /* without arguments is with none */
    arguments = mcp_rpc_arguments(message);
    fits = mcp_schema_check(p, json_object_get(pin->entry, "inputSchema"), arguments ? arguments : none, &err);
    json_decref(none);
    return fits ? NULL
                : apr_psprintf(p, "Invalid arguments for tool %s: %s %s", message->name, *err.path ? err.path : "they",
                               err.what);
}

apr_status_t mcp_pins_open(apr_pool_t *pconf)
{
    apr_size_t size = 0;
    apr_shm_t *shm;
    apr_status_t rv;
    char *at;
    int i;

    for (i = 0; i < all->nelts; i++) {
        size += (UNPINNED_MAX + apr_hash_count(APR_ARRAY_IDX(all, i, mcp_pins_t *)->tools)) * sizeof(apr_uint64_t);
    }
    if (!size) {
        return APR_SUCCESS;
    }
    rv = apr_shm_create(&shm, size, NULL, pconf);
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, NULL, MCP_LOG(0470) "no shared memory for MCPToolPins");
        return rv;
    }
    at = apr_shm_baseaddr_get(shm);
    memset(at, 0, size);
    for (i = 0; i < all->nelts; i++) {
        mcp_pins_t *pins = APR_ARRAY_IDX(all, i, mcp_pins_t *);

        pins->unpinned = (apr_uint64_t *)at;
        at += UNPINNED_MAX * sizeof(apr_uint64_t);
        pins->changed = (apr_uint32_t *)at;
        at += apr_hash_count(pins->tools) * sizeof(apr_uint64_t);
    }
    return APR_SUCCESS;
}

/* ---- lists that go by ---- */

/* What a model reads of a tool. */
static const char *difference(const json_t *pinned, const json_t *entry)
{
    static const char *const members[] = { "description", "inputSchema", "title", "outputSchema", "annotations" };
    apr_size_t i;

    for (i = 0; i < sizeof(members) / sizeof(*members); i++) {
        json_t *was = json_object_get(pinned, members[i]);
        json_t *is = json_object_get(entry, members[i]);

        if (was != is && !mcp_json_same(was, is)) {
            return members[i];
        }
    }
    return NULL;
}

/* A tool that nobody has agreed to: reported once. */
static void report_unpinned(request_rec *r, const mcp_pins_t *pins, const char *name)
{
    unsigned char digest[MCP_SHA256_LEN];
    apr_uint64_t hash;
    int i;

    mcp_sha256(name, strlen(name), digest);
    memcpy(&hash, digest, sizeof(hash));
    for (i = 0; pins->unpinned && i < UNPINNED_MAX; i++) {
        apr_uint64_t none = 0;

        if (__atomic_compare_exchange_n(&pins->unpinned[i], &none, hash, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r, MCP_LOG(0471) "tool '%s' has no pin in %s%s",
                          mcp_log_text(r->pool, name), pins->file, pins->enforce ? "; it is hidden" : "");
            return;
        }
        if (none == hash) {
            return;
        }
    }
}

int mcp_pins_see(request_rec *r, const mcp_pins_t *pins, const json_t *entry)
{
    const char *name = json_string_value(json_object_get(entry, "name"));
    const pin_t *pin = name ? apr_hash_get(pins->tools, name, APR_HASH_KEY_STRING) : NULL;
    const char *what;
    apr_uint32_t was;

    if (!pin) {
        if (name) {
            report_unpinned(r, pins, name);
        }
        return !pins->enforce;
    }
    what = difference(pin->entry, entry);
    if (pins->changed) {
        was = __atomic_exchange_n(&pins->changed[pin->index], what != NULL, __ATOMIC_ACQ_REL);
        if (what && !was) {
            ap_log_rerror(APLOG_MARK, APLOG_WARNING, 0, r,
                          MCP_LOG(0472) "tool '%s' is not what %s says: its %s changed%s. Read it, and pin it anew if you agree",
                          mcp_log_text(r->pool, name), pins->file, what, pins->enforce ? "; it is refused" : "");
        }
        else if (!what && was) {
            ap_log_rerror(APLOG_MARK, APLOG_NOTICE, 0, r, MCP_LOG(0473) "tool '%s' is again what %s says",
                          mcp_log_text(r->pool, name), pins->file);
        }
    }
    return !what || !pins->enforce;
}

int mcp_pins_allow(const mcp_pins_t *pins, const mcp_rpc_message_t *message)
{
    const pin_t *pin;

    if (!pins || !pins->enforce || !message || message->target != MCP_TARGET_TOOL) {
        return 1;
    }
    pin = apr_hash_get(pins->tools, message->name, APR_HASH_KEY_STRING);
    return pin && !(pins->changed && __atomic_load_n(&pins->changed[pin->index], __ATOMIC_ACQUIRE));
}
