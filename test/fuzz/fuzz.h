/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets share. Each target is a libFuzzer binary (`make fuzz`) and, linked with replay.c, a program that
 * runs its seeds in `make check`. */

#ifndef MCP_FUZZ_H
#define MCP_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_general.h>
#include <apr_pools.h>
#include <apr_strings.h>

#include "mcp_keyring.h"

/* A broken promise ends the program, so that the fuzzer and `make check` both see it. */
#define REQUIRE(condition) \
    do { \
        if (!(condition)) { \
            abort(); \
        } \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline void fuzz_pool_init(void)
{
    static int initialized;

    if (!initialized) {
        apr_initialize();
        initialized = 1;
    }
}

/* A pool without a parent, so that a sanitizer sees each block of it. */
static inline apr_pool_t *fuzz_pool(void)
{
    apr_pool_t *p = NULL;

    fuzz_pool_init();
    apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    return p;
}

/* The input as a string: it ends at the first NUL. */
static inline char *fuzz_string(apr_pool_t *p, const uint8_t *data, size_t size)
{
    return apr_pstrmemdup(p, (const char *)data, size);
}

/* A keyring that lives as long as the program. */
static inline mcp_keyring_t *fuzz_ring(void)
{
    static const char key[] = "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n";
    static mcp_keyring_t *ring;
    apr_pool_t *forever;
    char path[] = "/tmp/mcp-fuzz-XXXXXX";
    int fd;

    if (!ring) {
        fd = mkstemp(path);
        REQUIRE(fd >= 0 && write(fd, key, strlen(key)) == (ssize_t)strlen(key));
        close(fd);
        fuzz_pool_init();
        apr_pool_create(&forever, NULL);
        REQUIRE(!mcp_keyring_load(&ring, path, forever));
        unlink(path);
    }
    return ring;
}

#endif
