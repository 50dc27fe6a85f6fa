/* SPDX-License-Identifier: Apache-2.0 */
/* Lines and fields of one event. */

#include "sse.h"

#include <string.h>

apr_size_t mcp_sse_line(const char *text, apr_size_t len)
{
    apr_size_t n = 0;

    while (n < len && text[n] != '\n' && text[n] != '\r') {
        n++;
    }
    return n;
}

/* Length of the line's end at @a text: 2 for CR LF, 0 where the text ends without one. */
static apr_size_t end_length(const char *text, apr_size_t len)
{
    return !len ? 0 : len > 1 && text[0] == '\r' && text[1] == '\n' ? 2
                                                                    : 1;
}

const char *mcp_sse_field(const char *line, apr_size_t len, const char *name, apr_size_t *value_len)
{
    apr_size_t n = strlen(name);

    if (len < n || memcmp(line, name, n) || (len > n && line[n] != ':')) {
        return NULL;
    }
    n += len > n;
    if (len > n && line[n] == ' ') {
        n++;
    }
    *value_len = len - n;
    return line + n;
}

char *mcp_sse_data(apr_pool_t *p, const char *event, apr_size_t len)
{
    char *data = NULL;
    char *out = NULL;

    while (len) {
        apr_size_t n = mcp_sse_line(event, len);
        apr_size_t end = n + end_length(event + n, len - n);
        apr_size_t value_len;
        const char *value = mcp_sse_field(event, n, "data", &value_len);

        if (value && data) {
            *out++ = '\n';
        }
        else if (value) {
            data = out = apr_palloc(p, len); /* a value is shorter than its line */
        }
        if (value) {
            memcpy(out, value, value_len);
            out += value_len;
        }
        event += end;
        len -= end;
    }
    if (data) {
        *out = '\0';
    }
    return data;
}

void mcp_sse_write(const char *event, apr_size_t len, const char *data, apr_bucket_brigade *out)
{
    int written = 0;

    while (len) {
        apr_size_t n = mcp_sse_line(event, len);
        apr_size_t end = n + end_length(event + n, len - n);
        apr_size_t value_len;

        if (!mcp_sse_field(event, n, "data", &value_len)) {
            apr_brigade_write(out, NULL, NULL, event, end);
        }
        else if (!written) {
            written = 1;
            apr_brigade_puts(out, NULL, NULL, "data: ");
            apr_brigade_puts(out, NULL, NULL, data);
            apr_brigade_write(out, NULL, NULL, event + n, end - n);
        }
        event += end;
        len -= end;
    }
}
