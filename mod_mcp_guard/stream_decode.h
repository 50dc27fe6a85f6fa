/* SPDX-License-Identifier: Apache-2.0 */
/* Two small automata over the bytes of an event stream, free of httpd so that tests and fuzzers link them alone: the
 * HTTP/1.1 body decoder, and the finder of event boundaries. Neither buffers anything. */

#ifndef MCP_STREAM_DECODE_H
#define MCP_STREAM_DECODE_H

#include <apr.h>

typedef enum {
    MCP_BODY_CLOSE,  /* until the backend closes (RFC 9112 section 6.3, case 8) */
    MCP_BODY_LENGTH, /* Content-Length (case 6) */
    MCP_BODY_CHUNKED /* Transfer-Encoding: chunked (case 4) */
} mcp_body_kind_e;

typedef enum {
    MCP_BODY_SIZE, /* hex digits of a chunk's size */
    MCP_BODY_EXT,  /* rest of that line */
    MCP_BODY_DATA, /* payload */
    MCP_BODY_CR,   /* end of the chunk: CR LF */
    MCP_BODY_LF,
    MCP_BODY_TRAILER, /* after the last chunk, to the empty line */
    MCP_BODY_DONE,
    MCP_BODY_BAD /* not HTTP: the stream is broken */
} mcp_body_state_e;

typedef struct {
    mcp_body_kind_e kind;
    mcp_body_state_e state;
    apr_uint64_t left;   /* of the chunk, or of the body with MCP_BODY_LENGTH */
    apr_uint32_t digits; /* of the chunk size so far */
    apr_uint32_t line;   /* bytes of the trailer line so far */
    apr_uint32_t extra;  /* bytes of extensions and trailers in all, which are bounded */
    int excess;          /* something followed the end of the body: the connection is of no more use */
} mcp_body_t;

/** Begin a body. @a length counts with MCP_BODY_LENGTH only. */
void mcp_body_init(mcp_body_t *body, mcp_body_kind_e kind, apr_uint64_t length);

/**
 * Decode in place. What follows the end of the body is dropped.
 * @return the number of payload bytes that are now at the beginning of @a buf
 */
apr_size_t mcp_body_decode(mcp_body_t *body, char *buf, apr_size_t len);

/** May the backend close now without having cut the body short? */
int mcp_body_complete(const mcp_body_t *body);

/* Where in a text/event-stream the last byte stands (WHATWG HTML section 9.2.5: lines end with CR LF, LF or CR; an empty
 * line ends an event). */
typedef struct {
    unsigned char empty;     /* nothing in the present line yet */
    unsigned char cr;        /* the last byte was CR: an LF now belongs to it */
    unsigned char was_empty; /* the line that this CR ended was empty */
    unsigned char boundary;  /* between two events, or before the first */
} mcp_boundary_t;

void mcp_boundary_init(mcp_boundary_t *b);

/** Note that @a len bytes went by. Looks at four bytes at most. */
void mcp_boundary_feed(mcp_boundary_t *b, const char *data, apr_size_t len);

#endif
