/* SPDX-License-Identifier: Apache-2.0 */
/* mcp-otlp: sends the spans that MCPTraceExport writes to its standard input to an OpenTelemetry collector.
 *
 *   main.c    privileges, and the loop: read while there is room, send what has waited long enough
 *   options.c the command line
 *   line.c    a line of input -> spans in the JSON mapping of OTLP
 *   queue.c   what waits to be sent, bounded
 *   sender.c  one request at a time by libcurl; when to try again, and what to tell the administrator
 */

#ifndef MCP_OTLP_H
#define MCP_OTLP_H

#include <stddef.h>

#include <apr_pools.h>
#include <apr_time.h>
#include <curl/curl.h>

#define OTLP_LINE_MAX 65536        /* bytes of a line; what we write ourselves is far shorter */
#define OTLP_BATCH_BYTES (4 << 20) /* of a request; collectors take 20 MiB, or 4 */

/* ---- line.c ---- */

/**
 * The spans of a line as elements of the array `spans`, with commas between them.
 * @param count  set to how many
 * @param err    set to what is wrong with the line when NULL is returned; a literal
 * @return text in @a p
 */
char *otlp_line(apr_pool_t *p, const char *text, apr_size_t len, int *count, const char **err);

/**
 * What stands before and behind the spans in a request.
 * @param attributes  of the resource: NULL-terminated pairs of name and value
 */
void otlp_envelope(apr_pool_t *p, const char *const *attributes, const char *version, const char **head,
                   const char **tail);

/* ---- queue.c ---- */

typedef struct otlp_queue_t otlp_queue_t;

/** @param max_spans, max_bytes  it is full beyond either */
otlp_queue_t *otlp_queue_make(apr_pool_t *p, apr_size_t max_spans, apr_size_t max_bytes);

/** Add the text of otlp_line(), which is copied. */
void otlp_queue_add(otlp_queue_t *queue, const char *text, int count, apr_time_t now);

int otlp_queue_is_full(const otlp_queue_t *queue);
apr_size_t otlp_queue_spans(const otlp_queue_t *queue);

/** When the oldest came; 0: there is none. */
apr_time_t otlp_queue_oldest(const otlp_queue_t *queue);

/**
 * Take up to @a max_spans out (at least one line).
 * @return malloc()ed text: @a head, spans, @a tail; *count is set to the number of spans
 */
char *otlp_queue_take(otlp_queue_t *queue, apr_size_t max_spans, const char *head, const char *tail, apr_size_t *len,
                      apr_size_t *count);

/* ---- sender.c ---- */

typedef struct {
    const char *endpoint;
    const char *ca_file;
    const char *header_file;
    const char *cert_file;
    const char *key_file;
    long timeout; /* milliseconds */
} otlp_way_t;

typedef struct otlp_sender_t otlp_sender_t;

/** Read all files, while privileges last. NULL: *err is set. */
otlp_sender_t *otlp_sender_make(apr_pool_t *p, const otlp_way_t *way, const char **err);

/** Is a request on its way, or one waiting to be sent again? */
int otlp_sender_is_busy(const otlp_sender_t *sender);

/** Send a body of otlp_queue_take(), which is taken over. Only while it is not busy. */
void otlp_sender_send(otlp_sender_t *sender, char *body, apr_size_t len, apr_size_t spans);

/**
 * Go on sending, and wait for something to happen.
 * @param in    also wait for this descriptor to be readable; -1: for none
 * @param wait  milliseconds at most
 * @return 1 when @a in is readable, or at its end
 */
int otlp_sender_run(otlp_sender_t *sender, int in, int wait);

/** The end is near: what waits to be sent again is sent now, and then after short pauses only. */
void otlp_sender_hurry(otlp_sender_t *sender);

/** Say what was lost; what is on its way is given up. */
void otlp_sender_close(otlp_sender_t *sender, apr_size_t unsent);

/* ---- options.c ---- */

#define OTLP_ATTRIBUTES_MAX 32

typedef struct {
    otlp_way_t way;
    const char *user;
    const char *attributes[2 * (OTLP_ATTRIBUTES_MAX + 5) + 2]; /* NULL-terminated pairs */
    int n;                                                     /* pointers in it */
    apr_size_t batch;
    apr_size_t queue;
    apr_interval_time_t interval;
} otlp_options_t;

/**
 * Read the command line into @a o, which has the defaults, and complete the attributes of the resource.
 * @return -1: go on; else the exit code, after what is wrong, or the help, was written
 */
int otlp_options_read(apr_pool_t *p, otlp_options_t *o, int argc, char **argv);

/** Log what is wrong, and with what unless @a which is NULL. Always 0. */
int otlp_complain(const char *what, const char *which);

/* ---- main.c ---- */

/** A line for the error log of httpd, which standard error is. */
void otlp_log(const char *level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
