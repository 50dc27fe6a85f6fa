/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/1.1 body decoder of the relay, and the finder of event boundaries. */

#include <string.h>

#include "mcp_util.h"
#include "stream_decode.h"

#define SIZE_DIGITS_MAX 15 /* 60 bits: no overflow of left, and more than any disk holds */
#define EXTRA_MAX 65536u   /* extensions and trailers of one body: more is an attack, not a protocol */

void mcp_body_init(mcp_body_t *body, mcp_body_kind_e kind, apr_uint64_t length)
{
    memset(body, 0, sizeof(*body));
    body->kind = kind;
    body->state = kind == MCP_BODY_CHUNKED ? MCP_BODY_SIZE : MCP_BODY_DATA;
    if (kind == MCP_BODY_LENGTH) {
        body->left = length;
        if (length == 0) {
            body->state = MCP_BODY_DONE;
        }
    }
}

/* One byte of a chunk's size line. */
static void size_byte(mcp_body_t *body, unsigned char ch)
{
    int digit = body->state == MCP_BODY_SIZE ? mcp_hex_value((char)ch) : -1;

    if (digit >= 0) {
        body->left = body->left * 16 + (apr_uint64_t)digit;
        if (++body->digits > SIZE_DIGITS_MAX) {
            body->state = MCP_BODY_BAD;
        }
        return;
    }
    if (body->state == MCP_BODY_SIZE) {
        /* Only an extension, white space or the line's end may follow the digits (RFC 9112 section 7.1). */
        if (body->digits == 0 || (ch != ';' && ch != ' ' && ch != '\t' && ch != '\r' && ch != '\n')) {
            body->state = MCP_BODY_BAD;
            return;
        }
        body->state = MCP_BODY_EXT;
    }
    if (ch == '\n') {
        body->digits = body->line = 0;
        body->state = body->left ? MCP_BODY_DATA : MCP_BODY_TRAILER;
    }
    else if (++body->extra > EXTRA_MAX) {
        body->state = MCP_BODY_BAD;
    }
}

static void trailer_byte(mcp_body_t *body, unsigned char ch)
{
    if (ch == '\n') {
        if (body->line == 0) {
            body->state = MCP_BODY_DONE;
        }
        body->line = 0;
    }
    else if (ch != '\r') {
        body->line++;
    }
    if (++body->extra > EXTRA_MAX) {
        body->state = MCP_BODY_BAD;
    }
}

apr_size_t mcp_body_decode(mcp_body_t *body, char *buf, apr_size_t len)
{
    apr_size_t in = 0;
    apr_size_t out = 0;

    if (body->kind == MCP_BODY_CLOSE) {
        return len;
    }
    while (in < len && body->state < MCP_BODY_DONE) {
        unsigned char ch = (unsigned char)buf[in];

        if (body->state == MCP_BODY_DATA) {
            apr_size_t n = len - in;

            if (n > body->left) {
                n = (apr_size_t)body->left;
            }
            if (in != out) {
                memmove(buf + out, buf + in, n);
            }
            in += n;
            out += n;
            body->left -= n;
            if (body->left == 0) {
                body->state = body->kind == MCP_BODY_LENGTH ? MCP_BODY_DONE : MCP_BODY_CR;
            }
            continue;
        }
        in++;
        switch (body->state) {
        case MCP_BODY_CR:
            body->state = ch == '\r' ? MCP_BODY_LF : MCP_BODY_BAD;
            break;
        case MCP_BODY_LF:
            body->state = ch == '\n' ? MCP_BODY_SIZE : MCP_BODY_BAD;
            break;
        case MCP_BODY_TRAILER:
            trailer_byte(body, ch);
            break;
        default:
            size_byte(body, ch);
            break;
        }
    }
    body->excess |= body->state == MCP_BODY_DONE && in < len;
    return out;
}

int mcp_body_complete(const mcp_body_t *body)
{
    return body->kind == MCP_BODY_CLOSE || body->state == MCP_BODY_DONE;
}

void mcp_boundary_init(mcp_boundary_t *b)
{
    memset(b, 0, sizeof(*b));
    b->empty = 1;
    b->boundary = 1;
}

static void boundary_byte(mcp_boundary_t *b, char ch)
{
    if (ch == '\n' && b->cr) {
        b->cr = 0; /* second half of CR LF: the line ended already */
        b->boundary = b->was_empty;
    }
    else if (ch == '\r') {
        /* An LF may still come, and nothing must get between the two; unless lines end with bare CRs here. */
        b->boundary = b->cr;
        b->was_empty = b->empty;
        b->cr = b->empty = 1;
    }
    else if (ch == '\n') {
        b->boundary = b->empty;
        b->empty = 1;
    }
    else {
        b->cr = b->empty = b->boundary = 0;
    }
}

void mcp_boundary_feed(mcp_boundary_t *b, const char *data, apr_size_t len)
{
    apr_size_t i = 0;

    /* The longest end of an event is CR LF CR LF: what stands before the last four bytes cannot matter. */
    if (len >= 4) {
        i = len - 4;
        memset(b, 0, sizeof(*b));
    }
    for (; i < len; i++) {
        boundary_byte(b, data[i]);
    }
}
