/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures of strangers (CP-14): whatever is taken has a type, and the size that its header tells is bearable. Each byte
 * that is read is of the input: it lies in a block of exactly its length. */

#include "fuzz.h"

#include "image.h"

static unsigned number(const uint8_t *s, int bytes, int little)
{
    unsigned n = 0;

    for (int i = 0; i < bytes; i++) {
        n |= (unsigned)s[i] << 8 * (little ? i : bytes - 1 - i);
    }
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = malloc(size ? size : 1);
    const char *type = NULL, *why;

    REQUIRE(exact);
    memcpy(exact, data, size);
    why = mcp_image_check(exact, size, &type);
    REQUIRE(!why == (type != NULL));
    REQUIRE(!type || (mcp_image_type(exact, size) && !strcmp(type, mcp_image_type(exact, size))));
    if (type && !strcmp(type, "image/png")) {
        REQUIRE(number(data + 16, 4, 0) - 1 < MCP_IMAGE_SIDE && number(data + 20, 4, 0) - 1 < MCP_IMAGE_SIDE);
    }
    if (type && !strcmp(type, "image/webp") && !memcmp(data + 12, "VP8X", 4)) {
        REQUIRE(number(data + 24, 3, 1) < MCP_IMAGE_SIDE && number(data + 27, 3, 1) < MCP_IMAGE_SIDE);
        REQUIRE(!(data[20] & 2));
    }
    free(exact);
    return 0;
}
