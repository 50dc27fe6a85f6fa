/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures that come from elsewhere: what one is, by its bytes alone. Nothing is decoded: no more than
 * a type, a size and whether it moves is wanted, and these stand in the headers of each format. */

#include "image.h"

#include <string.h>

typedef struct {
    unsigned width;
    unsigned height;
    int moves;
} picture_t;

static const char png_mark[] = "\x89PNG\r\n\x1a\n";

static unsigned big(const unsigned char *s, int bytes)
{
    unsigned n = 0;

    for (int i = 0; i < bytes; i++) {
        n = n << 8 | s[i];
    }
    return n;
}

static unsigned little(const unsigned char *s, int bytes)
{
    unsigned n = 0;

    for (int i = bytes - 1; i >= 0; i--) {
        n = n << 8 | s[i];
    }
    return n;
}

/* PNG, third edition: a mark, then chunks (length[4] type[4] data crc[4]), IHDR first; acTL before the
 * first IDAT makes it move. */
static int read_png(const unsigned char *data, apr_size_t len, picture_t *out)
{
    apr_size_t at = 8;

    if (len < 8 + 8 + 13 || big(data + 8, 4) != 13 || memcmp(data + 12, "IHDR", 4)) {
        return 0;
    }
    out->width = big(data + 16, 4);
    out->height = big(data + 20, 4);
    while (len - at >= 12) {
        apr_size_t size = big(data + at, 4);

        if (!memcmp(data + at + 4, "IDAT", 4)) {
            return 1;
        }
        if (!memcmp(data + at + 4, "acTL", 4)) {
            out->moves = 1;
        }
        if (size > len - at - 12) {
            return 0;
        }
        at += 12 + size;
    }
    return 0;
}

/* A frame header (SOFn), and not one of the tables that have numbers among them (ISO/IEC 10918-1, B.1.1.3). */
static int is_frame(unsigned char marker)
{
    return marker >= 0xc0 && marker <= 0xcf && marker != 0xc4 && marker != 0xc8 && marker != 0xcc;
}

/* JPEG: segments (0xff marker length[2] data) up to the frame header, which has the size. */
static int read_jpeg(const unsigned char *data, apr_size_t len, picture_t *out)
{
    apr_size_t at = 2;

    while (len - at >= 4) {
        unsigned char marker = data[at + 1];
        apr_size_t size;

        if (data[at] != 0xff) {
            return 0;
        }
        if (marker == 0xff) { /* a fill byte */
            at++;
            continue;
        }
        size = big(data + at + 2, 2);
        if (marker < 0xc0 || (marker >= 0xd0 && marker <= 0xda) || size < 2 || size > len - at - 2) {
            return 0; /* pixels, or nothing that may stand here */
        }
        if (is_frame(marker)) {
            if (size < 7) {
                return 0;
            }
            out->height = big(data + at + 5, 2);
            out->width = big(data + at + 7, 2);
            return 1;
        }
        at += 2 + size;
    }
    return 0;
}

/* WebP (RFC 9649): a RIFF file whose first chunk says which of three kinds it is. */
static int read_webp(const unsigned char *data, apr_size_t len, picture_t *out)
{
    const unsigned char *chunk = data + 20;

    if (len < 30) {
        return 0;
    }
    if (!memcmp(data + 12, "VP8X", 4)) {
        out->moves = (chunk[0] & 0x02) != 0;
        out->width = 1 + little(chunk + 4, 3);
        out->height = 1 + little(chunk + 7, 3);
        return 1;
    }
    if (!memcmp(data + 12, "VP8L", 4) && chunk[0] == 0x2f) {
        unsigned bits = little(chunk + 1, 4);

        out->width = 1 + (bits & 0x3fff);
        out->height = 1 + (bits >> 14 & 0x3fff);
        return 1;
    }
    if (!memcmp(data + 12, "VP8 ", 4) && !memcmp(chunk + 3, "\x9d\x01\x2a", 3)) {
        out->width = little(chunk + 6, 2) & 0x3fff;
        out->height = little(chunk + 8, 2) & 0x3fff;
        return 1;
    }
    return 0;
}

static const struct {
    const char *type;
    int (*read)(const unsigned char *data, apr_size_t len, picture_t *out);
} kinds[] = {
    { "image/png", read_png },
    { "image/jpeg", read_jpeg },
    { "image/webp", read_webp },
};

/* Index in kinds, or -1. */
static int kind_of(const char *data, apr_size_t len)
{
    if (len >= 8 && !memcmp(data, png_mark, 8)) {
        return 0;
    }
    if (len >= 3 && !memcmp(data, "\xff\xd8\xff", 3)) {
        return 1;
    }
    if (len >= 12 && !memcmp(data, "RIFF", 4) && !memcmp(data + 8, "WEBP", 4)) {
        return 2;
    }
    return -1;
}

const char *mcp_image_type(const char *data, apr_size_t len)
{
    int kind = kind_of(data, len);

    return kind < 0 ? NULL : kinds[kind].type;
}

const char *mcp_image_check(const char *data, apr_size_t len, const char **type)
{
    int kind = kind_of(data, len);
    picture_t picture = { 0 };

    if (kind < 0) {
        return "is neither PNG nor JPEG nor WebP";
    }
    if (!kinds[kind].read((const unsigned char *)data, len, &picture)) {
        return "is damaged: its header cannot be read";
    }
    if (!picture.width || !picture.height || picture.width > MCP_IMAGE_SIDE
        || picture.height > MCP_IMAGE_SIDE) {
        return "is larger than 1024 by 1024 pixels";
    }
    if (picture.moves) {
        return "moves: take a still picture";
    }
    *type = kinds[kind].type;
    return NULL;
}
