/* SPDX-License-Identifier: Apache-2.0 */
/* Which claims of an id_token are kept, and what becomes of those that cannot be. */

#include "id_token.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"

#define USERNAME_MAX 256

/* Entra and others leave a list out when it is long, and say so (E9, OpenID Connect Core 5.6.2). */
static int left_out(const json_t *claims, const char *name)
{
    return json_object_get(json_object_get(claims, "_claim_names"), name)
           || (!strcmp(name, "groups") && json_is_true(json_object_get(claims, "hasgroups")));
}

/* A value that a policy can be written on. */
static int is_plain(const json_t *value)
{
    if (!json_is_array(value)) {
        return json_is_string(value) || json_is_number(value) || json_is_boolean(value);
    }
    for (size_t i = 0; i < json_array_size(value); i++) {
        if (!json_is_string(json_array_get(value, i)) && !json_is_number(json_array_get(value, i))) {
            return 0;
        }
    }
    return 1;
}

apr_size_t mcp_claims_names_size(const apr_array_header_t *names)
{
    apr_size_t size = sizeof(",\"" MCP_CLAIMS_OVERAGE "\":[]{}");

    for (int i = 0; i < names->nelts; i++) {
        size += strlen(APR_ARRAY_IDX(names, i, const char *)) + 3;
    }
    return size;
}

char *mcp_claims_filter(apr_pool_t *p, const json_t *claims, const apr_array_header_t *names, apr_size_t max)
{
    apr_size_t reserve = mcp_claims_names_size(names), used = 0;
    json_t *kept = mcp_json_own(p, json_object()), *missing = mcp_json_own(p, json_array());

    for (int i = 0; i < names->nelts; i++) {
        const char *name = APR_ARRAY_IDX(names, i, const char *);
        json_t *value = json_object_get(claims, name);
        apr_size_t size;

        if (!strcmp(name, MCP_CLAIMS_OVERAGE)) {
            continue;
        }
        if (left_out(claims, name)) {
            json_array_append_new(missing, json_string(name));
            continue;
        }
        if (!value || !is_plain(value)) {
            continue;
        }
        size = strlen(name) + 4 + json_dumpb(value, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
        if (used + size + reserve > max) {
            json_array_append_new(missing, json_string(name));
            continue;
        }
        used += size;
        json_object_set(kept, name, value);
    }
    if (json_array_size(missing)) {
        json_object_set(kept, MCP_CLAIMS_OVERAGE, missing);
    }
    return mcp_json_text(p, kept);
}

/* At most USERNAME_MAX bytes, and no half character: jansson has checked that it is UTF-8. */
static const char *shorten(apr_pool_t *p, const char *text)
{
    apr_size_t len = strlen(text);

    if (len > USERNAME_MAX) {
        len = USERNAME_MAX;
        while (((unsigned char)text[len] & 0xc0) == 0x80) {
            len--;
        }
    }
    return apr_pstrmemdup(p, text, len);
}

const char *mcp_claims_username(apr_pool_t *p, const json_t *claims)
{
    static const char *const names[] = { "preferred_username", "email", "name", "sub" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *text = mcp_json_str(claims, names[i]);

        if (text) {
            return shorten(p, text);
        }
    }
    return "";
}
