/* SPDX-License-Identifier: Apache-2.0 */
/* application/x-www-form-urlencoded, strictly. */

#include "mcp_form.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_util.h"

typedef struct {
    const char *name;
    const char *value;
} field_t;

/* Decode "+" and percent-encoding; NULL when malformed. */
static char *decode(apr_pool_t *p, const char *text, apr_size_t len)
{
    char *value = apr_palloc(p, len + 1);
    char *out = value;

    for (apr_size_t i = 0; i < len; i++) {
        char c = text[i];

        if (c == '+') {
            c = ' ';
        }
        else if (c == '%') {
            int high = len - i > 2 ? mcp_hex_value(text[i + 1]) : -1;
            int low = len - i > 2 ? mcp_hex_value(text[i + 2]) : -1;

            if (high < 0 || low < 0) {
                return NULL;
            }
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (!c) {
            return NULL;
        }
        *out++ = c;
    }
    *out = '\0';
    return mcp_is_utf8(value) ? value : NULL;
}

apr_status_t mcp_form_parse(apr_pool_t *p, const char *text, apr_size_t len, apr_array_header_t **out)
{
    apr_array_header_t *form = apr_array_make(p, 8, sizeof(field_t));
    const char *end = text + len;

    while (text < end) {
        const char *amp = memchr(text, '&', (apr_size_t)(end - text));
        const char *stop = amp ? amp : end;
        const char *equals = memchr(text, '=', (apr_size_t)(stop - text));

        if (stop > text) {
            const char *name_end = equals ? equals : stop;
            const char *value = equals ? equals + 1 : stop;
            field_t field;

            field.name = decode(p, text, (apr_size_t)(name_end - text));
            field.value = decode(p, value, (apr_size_t)(stop - value));
            if (!field.name || !field.value || form->nelts == MCP_FORM_MAX_FIELDS) {
                return APR_EINVAL;
            }
            APR_ARRAY_PUSH(form, field_t) = field;
        }
        text = stop + 1;
    }
    *out = form;
    return APR_SUCCESS;
}

const char *mcp_form_get(const apr_array_header_t *form, const char *name)
{
    for (int i = 0; i < form->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(form, i, field_t).name, name)) {
            return APR_ARRAY_IDX(form, i, field_t).value;
        }
    }
    return NULL;
}

const char *mcp_form_duplicate(const apr_array_header_t *form)
{
    for (int i = 1; i < form->nelts; i++) {
        const char *name = APR_ARRAY_IDX(form, i, field_t).name;

        for (int j = 0; j < i; j++) {
            if (!strcmp(APR_ARRAY_IDX(form, j, field_t).name, name)) {
                return name;
            }
        }
    }
    return NULL;
}
