/* SPDX-License-Identifier: Apache-2.0 */
/* The legacy transport's `endpoint` event: found in the stream, and put out with another URI (endpoint.c).
 *
 * The scanner holds back one event at a time until its blank line, which is when a client would act
 * on it; so nothing is delayed, and the order of the lines, their ends (LF, CRLF, CR) and the cuts
 * between reads do not matter.
 */

#include <string.h>

#include <apr_buckets.h>
#include <apr_lib.h>
#include <httpd.h>

#include "guard.h"
#include "sse.h"

#define EVENT_MAX 65536    /* a longer event passes; the stream is cut if it was an endpoint */
#define LINE_MAX_PASSED 64 /* what is kept of a line of such an event, to tell what field it is */

struct mcp_endpoint_scan_t {
    const mcp_endpoint_map_t *map;
    char *held; /* this event's bytes so far; when it is overlong, this line's first bytes */
    apr_size_t held_len;
    apr_size_t room;
    apr_size_t line; /* where the present line begins in held */
    int first_line;  /* a byte order mark may precede the stream's first line */
    int skip_lf;     /* the last byte was CR: an LF now belongs to it */
    int is_endpoint; /* the last `event` line of this event said so */
    int has_fields;  /* more than comments */
    int overlong;
};

mcp_endpoint_scan_t *mcp_endpoint_scan_make(const mcp_endpoint_map_t *map)
{
    mcp_endpoint_scan_t *scan = apr_pcalloc(map->pool, sizeof(*scan));

    scan->map = map;
    scan->room = 1024;
    scan->held = apr_palloc(map->pool, scan->room);
    scan->first_line = 1;
    return scan;
}

static void write_out(apr_bucket_brigade *out, const char *data, apr_size_t len)
{
    apr_brigade_write(out, NULL, NULL, data, len);
}

static void hold(mcp_endpoint_scan_t *scan, const char *data, apr_size_t len)
{
    if (scan->held_len + len > scan->room) {
        char *larger;

        scan->room = (scan->held_len + len) * 2;
        larger = apr_palloc(scan->map->pool, scan->room);
        memcpy(larger, scan->held, scan->held_len);
        scan->held = larger;
    }
    memcpy(scan->held + scan->held_len, data, len);
    scan->held_len += len;
}

static void next_event(mcp_endpoint_scan_t *scan)
{
    scan->held_len = 0;
    scan->line = 0;
    scan->is_endpoint = 0;
    scan->has_fields = 0;
    scan->overlong = 0;
}

/* More generous than any client should be: what only a sloppy one takes for an endpoint event is
 * one. */
static int says_endpoint(const char *value, apr_size_t len)
{
    while (len && apr_isspace(*value)) {
        value++;
        len--;
    }
    while (len && apr_isspace(value[len - 1])) {
        len--;
    }
    return len == 8 && !strncasecmp(value, "endpoint", 8);
}

/* A byte order mark does not belong to the first line. Returns how much shorter the line is
 * without. */
static apr_size_t drop_mark(mcp_endpoint_scan_t *scan, apr_bucket_brigade *out)
{
    if (scan->held_len < 3 || memcmp(scan->held, "\xEF\xBB\xBF", 3)) {
        return 0;
    }
    if (!scan->overlong) {
        write_out(out, scan->held, 3);
    }
    scan->held_len -= 3;
    memmove(scan->held, scan->held + 3, scan->held_len);
    return 3;
}

/* A blank line: the event is complete. */
static apr_status_t end_event(mcp_endpoint_scan_t *scan, apr_bucket_brigade *out)
{
    const char *data = scan->is_endpoint && !scan->overlong
                           ? mcp_sse_data(scan->map->pool, scan->held, scan->held_len)
                           : NULL;

    if (data) {
        const char *uri = mcp_endpoint_rewrite(scan->map, data);

        if (!uri) {
            return APR_EGENERAL;
        }
        mcp_sse_write(scan->held, scan->held_len, uri, out);
    }
    else if (!scan->overlong) {
        write_out(out, scan->held, scan->held_len);
    }
    next_event(scan);
    return data ? APR_EOF : APR_SUCCESS;
}

/* A line is complete; @a end is the length of held up to the line's end. */
static apr_status_t end_line(mcp_endpoint_scan_t *scan, apr_size_t end, apr_bucket_brigade *out)
{
    const char *line;
    apr_size_t len;
    const char *value;
    apr_size_t value_len;

    if (scan->first_line) {
        scan->first_line = 0;
        end -= drop_mark(scan, out);
    }
    line = scan->held + scan->line;
    len = end - scan->line;
    if (len == 0) {
        return end_event(scan, out);
    }
    if (*line != ':') {
        scan->has_fields = 1;
        value = mcp_sse_field(line, len, "event", &value_len);
        if (value) {
            scan->is_endpoint = says_endpoint(value, value_len);
        }
    }
    if (scan->overlong) {
        scan->held_len = 0;
        scan->line = 0;
        /* Part of this event went out already: it must not have been an endpoint event. */
        return scan->is_endpoint ? APR_EGENERAL : APR_SUCCESS;
    }
    if (!scan->has_fields) {
        /* Comments keep the connection alive and must flow (TR-14). */
        write_out(out, scan->held, scan->held_len);
        scan->held_len = 0;
    }
    scan->line = scan->held_len;
    return APR_SUCCESS;
}

/* Take @a len bytes of one line (its end included). */
static apr_status_t take(mcp_endpoint_scan_t *scan, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    if (!scan->overlong && scan->held_len + len > EVENT_MAX) {
        if (scan->is_endpoint) {
            return APR_EGENERAL;
        }
        write_out(out, scan->held, scan->held_len);
        scan->held_len -= scan->line;
        memmove(scan->held, scan->held + scan->line, scan->held_len);
        if (scan->held_len > LINE_MAX_PASSED) {
            scan->held_len = LINE_MAX_PASSED;
        }
        scan->line = 0;
        scan->overlong = 1;
    }
    if (!scan->overlong) {
        hold(scan, data, len);
        return APR_SUCCESS;
    }
    write_out(out, data, len);
    if (scan->held_len < LINE_MAX_PASSED) {
        apr_size_t keep = LINE_MAX_PASSED - scan->held_len;

        hold(scan, data, len < keep ? len : keep);
    }
    return APR_SUCCESS;
}

apr_status_t mcp_endpoint_scan_feed(mcp_endpoint_scan_t *scan, const char *data, apr_size_t len, apr_bucket_brigade *out)
{
    while (len) {
        apr_size_t n = mcp_sse_line(data, len);
        apr_size_t end;
        apr_status_t rv;

        if (scan->skip_lf) {
            scan->skip_lf = 0;
            if (*data == '\n') {
                /* Second half of a CRLF whose line is done: it goes where that line went. */
                if (scan->held_len && !scan->overlong) {
                    hold(scan, data, 1);
                    scan->line = scan->held_len;
                }
                else {
                    write_out(out, data, 1);
                }
                data++;
                len--;
                continue;
            }
        }
        rv = take(scan, data, n, out);
        end = scan->held_len;
        if (rv == APR_SUCCESS && n < len) {
            scan->skip_lf = data[n] == '\r';
            rv = take(scan, data + n, 1, out);
            if (rv == APR_SUCCESS) {
                rv = end_line(scan, end, out);
            }
            n++;
        }
        data += n;
        len -= n;
        if (rv == APR_EOF) {
            write_out(out, data, len);
        }
        if (rv != APR_SUCCESS) {
            return rv;
        }
    }
    return APR_SUCCESS;
}
