/* SPDX-License-Identifier: Apache-2.0 */
/* What waits to be sent. Whoever reads stops when it is full, so that it never grows beyond a line more. */

#include <stdlib.h>
#include <string.h>

#include "otlp.h"

typedef struct line_t {
    struct line_t *next;
    apr_time_t came;
    apr_size_t len;
    int count;
    char text[];
} line_t;

struct otlp_queue_t {
    line_t *first;
    line_t **last; /* where the next one goes */
    apr_size_t spans, max_spans;
    apr_size_t bytes, max_bytes;
};

/* What is still unsent at the end. */
static apr_status_t forget(void *data)
{
    otlp_queue_t *queue = data;

    for (line_t *next; queue->first; queue->first = next) {
        next = queue->first->next;
        free(queue->first);
    }
    return APR_SUCCESS;
}

otlp_queue_t *otlp_queue_make(apr_pool_t *p, apr_size_t max_spans, apr_size_t max_bytes)
{
    otlp_queue_t *queue = apr_pcalloc(p, sizeof(*queue));

    queue->last = &queue->first;
    queue->max_spans = max_spans;
    queue->max_bytes = max_bytes;
    apr_pool_cleanup_register(p, queue, forget, apr_pool_cleanup_null);
    return queue;
}

void otlp_queue_add(otlp_queue_t *queue, const char *text, int count, apr_time_t now)
{
    apr_size_t len = strlen(text);
    line_t *line = malloc(sizeof(*line) + len + 1);

    if (!line) {
        abort(); /* httpd starts us again */
    }
    line->next = NULL;
    line->came = now;
    line->len = len;
    line->count = count;
    memcpy(line->text, text, len + 1);
    *queue->last = line;
    queue->last = &line->next;
    queue->spans += (apr_size_t)count;
    queue->bytes += len;
}

int otlp_queue_is_full(const otlp_queue_t *queue)
{
    return queue->spans >= queue->max_spans || queue->bytes >= queue->max_bytes;
}

apr_size_t otlp_queue_spans(const otlp_queue_t *queue)
{
    return queue->spans;
}

apr_time_t otlp_queue_oldest(const otlp_queue_t *queue)
{
    return queue->first ? queue->first->came : 0;
}

char *otlp_queue_take(otlp_queue_t *queue, apr_size_t max_spans, const char *head, const char *tail, apr_size_t *len,
                      apr_size_t *count)
{
    apr_size_t bytes = 0, lines = 0, head_len = strlen(head), tail_len = strlen(tail);
    char *body, *out;

    *count = 0;
    for (const line_t *line = queue->first; line; line = line->next) {
        if (lines && (*count + (apr_size_t)line->count > max_spans || bytes + line->len > OTLP_BATCH_BYTES)) {
            break;
        }
        lines++;
        *count += (apr_size_t)line->count;
        bytes += line->len + 1;
    }
    body = out = malloc(head_len + bytes + tail_len + 1);
    if (!body) {
        abort();
    }
    memcpy(out, head, head_len);
    out += head_len;
    while (lines--) {
        line_t *line = queue->first;

        memcpy(out, line->text, line->len);
        out += line->len;
        if (lines) {
            *out++ = ',';
        }
        queue->first = line->next;
        queue->spans -= (apr_size_t)line->count;
        queue->bytes -= line->len;
        free(line);
    }
    if (!queue->first) {
        queue->last = &queue->first;
    }
    memcpy(out, tail, tail_len + 1);
    *len = (apr_size_t)(out - body) + tail_len;
    return body;
}
