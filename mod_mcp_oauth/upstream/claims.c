/* SPDX-License-Identifier: Apache-2.0 */
/* Which claims of an id_token are kept, and what becomes of those that cannot be. */

#include "id_token.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define USERNAME_MAX 256
#define SUBJECT_MAX 255 /* of one claim (OpenID Connect Core section 2: sub) */
#define CLAIM_PATH_MAX 128

/* Entra and others leave a list out when it is long, and say so (E9, OpenID Connect Core 5.6.2). */
static int left_out(const json_t *claims, const char *name)
{
    return json_object_get(json_object_get(claims, "_claim_names"), name)
           || (!strcmp(name, "groups") && json_is_true(json_object_get(claims, "hasgroups")));
}

/* One step of a path: a member, or an element by its number. */
static const json_t *step(const json_t *json, const char *name)
{
    apr_size_t len = strlen(name);

    if (json_is_object(json)) {
        return json_object_get(json, name);
    }
    if (json_is_array(json) && len && len <= 4 && strspn(name, "0123456789") == len) {
        return json_array_get(json, (size_t)apr_atoi64(name));
    }
    return NULL;
}

/* RFC 6901 section 4: "~1" is a slash, and "~0" a tilde. In place. */
static void unescape(char *name)
{
    char *out = name;

    for (const char *in = name; *in; in++) {
        if (*in == '~' && (in[1] == '0' || in[1] == '1')) {
            *out++ = *++in == '0' ? '~' : '/';
        }
        else {
            *out++ = *in;
        }
    }
    *out = '\0';
}

/* A claim by name or path: the member that is called so, else a JSON pointer (RFC 6901, with a slash first), else
 * members separated by dots. NULL when there is none. */
static const json_t *claim_at(const json_t *claims, const char *path)
{
    const json_t *found = json_object_get(claims, path);
    int pointer = *path == '/';
    char name[CLAIM_PATH_MAX + 1];

    if (found || strlen(path) > CLAIM_PATH_MAX) {
        return found;
    }
    found = claims;
    for (path += pointer; found && path;) {
        const char *end = strchr(path, pointer ? '/' : '.');
        apr_size_t len = end ? (apr_size_t)(end - path) : strlen(path);

        memcpy(name, path, len);
        name[len] = '\0';
        if (pointer) {
            unescape(name);
        }
        found = step(found, name);
        path = end ? end + 1 : NULL;
    }
    return found;
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
        json_t *value = (json_t *)claim_at(claims, name);
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

/* A string or an integer as text; NULL for anything else, and for what is empty or has control characters in it. */
static const char *plain_text(apr_pool_t *p, const json_t *value)
{
    const char *text = json_string_value(value);

    if (json_is_integer(value)) { /* GitHub's id */
        return apr_psprintf(p, "%" APR_INT64_T_FMT, (apr_int64_t)json_integer_value(value));
    }
    return text && *text && !mcp_has_control(text) ? text : NULL;
}

const char *mcp_claims_subject(apr_pool_t *p, const json_t *claims, const apr_array_header_t *names, const char **why)
{
    const char *subject = NULL;

    for (int i = 0; i < (names ? names->nelts : 1); i++) {
        const char *name = names ? APR_ARRAY_IDX(names, i, const char *) : "sub";
        const char *text = plain_text(p, claim_at(claims, name));

        if (!text || strlen(text) > SUBJECT_MAX) {
            *why = apr_psprintf(p, "the claim %s, which names the person, is missing or is no plain value", name);
            return NULL;
        }
        if (names && names->nelts > 1) { /* encoded, so that two values cannot be joined to what two others are */
            text = mcp_url_encode(p, text);
        }
        subject = subject ? apr_pstrcat(p, subject, "/", text, NULL) : text;
    }
    return subject;
}

const char *mcp_claims_username(apr_pool_t *p, const json_t *claims, const char *wanted)
{
    static const char *const names[] = { "preferred_username", "email", "name", "sub" };
    const char *text = wanted ? plain_text(p, claim_at(claims, wanted)) : NULL;

    for (apr_size_t i = 0; !text && i < sizeof(names) / sizeof(*names); i++) {
        text = mcp_json_str(claims, names[i]);
    }
    return text ? shorten(p, text) : "";
}
