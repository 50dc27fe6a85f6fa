/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures that come from elsewhere: what one is, by its bytes alone. Knows nothing of httpd. */

#ifndef MCP_IMAGE_H
#define MCP_IMAGE_H

#include <apr.h>

#define MCP_IMAGE_SIDE 1024 /* pixels, the longer side: a small file can unfold to gigabytes */

/** image/png, image/jpeg or image/webp by the first bytes; NULL for all else, and so for SVG. */
const char *mcp_image_type(const char *data, apr_size_t len);

/**
 * May this picture be shown to people? It has to be PNG, JPEG or WebP, at most MCP_IMAGE_SIDE wide and
 * high as it says itself, which is what browsers believe, too, and one that does not move.
 * @param type  set on success
 * @return NULL, or why not
 */
const char *mcp_image_check(const char *data, apr_size_t len, const char **type);

#endif
