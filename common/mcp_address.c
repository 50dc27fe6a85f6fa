/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses a URL of a stranger may lead us to: public unicast only.
 *
 * Works on addresses as the resolver gives them, never on text, so that no spelling of an address can slip through.
 */

#include <netinet/in.h>
#include <string.h>

#include "mcp_address.h"

typedef struct {
    unsigned char prefix[16];
    int bits;
} block_t;

/* IANA IPv4 Special-Purpose Address Registry, and multicast. */
static const block_t special4[] = {
    { { 0 }, 8 },             /* this network */
    { { 10 }, 8 },            /* private */
    { { 100, 64 }, 10 },      /* shared (carrier-grade NAT) */
    { { 127 }, 8 },           /* loopback */
    { { 169, 254 }, 16 },     /* link local: cloud metadata services */
    { { 172, 16 }, 12 },      /* private */
    { { 192, 0, 0 }, 24 },    /* IETF protocols */
    { { 192, 0, 2 }, 24 },    /* documentation */
    { { 192, 31, 196 }, 24 }, /* AS112 */
    { { 192, 52, 193 }, 24 }, /* AMT */
    { { 192, 88, 99 }, 24 },  /* 6to4 relays */
    { { 192, 168 }, 16 },     /* private */
    { { 192, 175, 48 }, 24 }, /* AS112 */
    { { 198, 18 }, 15 },      /* benchmarks */
    { { 198, 51, 100 }, 24 }, /* documentation */
    { { 203, 0, 113 }, 24 },  /* documentation */
    { { 224 }, 3 },           /* multicast, reserved, broadcast */
};

/* What is special inside 2000::/3; everything outside of that is not global unicast (loopback, v4-mapped, NAT64,
 * unique and link local, multicast, ...). */
static const block_t special6[] = {
    { { 0x20, 0x01 }, 23 },                         /* IETF protocols: Teredo, ORCHID, benchmarks, AMT, AS112 */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },             /* documentation */
    { { 0x20, 0x02 }, 16 },                         /* 6to4: an IPv4 address inside */
    { { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, /* AS112 */
    { { 0x3f, 0xff }, 20 },                         /* documentation */
};
static const block_t global6 = { { 0x20 }, 3 };

static int is_in(const unsigned char *address, const block_t *block)
{
    int whole = block->bits / 8;
    int rest = block->bits % 8;

    if (memcmp(address, block->prefix, (size_t)whole) != 0) {
        return 0;
    }
    return !rest || ((address[whole] ^ block->prefix[whole]) & (0xff << (8 - rest)) & 0xff) == 0;
}

static int is_in_any(const unsigned char *address, const block_t *blocks, size_t count)
{
    size_t i;

    for (i = 0; i < count; i++) {
        if (is_in(address, &blocks[i])) {
            return 1;
        }
    }
    return 0;
}

/* An interface identifier that holds an IPv4 address (RFC 5214 section 6.1), under whatever prefix. */
static int is_isatap(const unsigned char *a)
{
    return (a[8] & ~0x02) == 0 && a[9] == 0 && a[10] == 0x5e && a[11] == 0xfe;
}

int mcp_address_is_public(const struct sockaddr *address)
{
    const unsigned char *bytes;

    if (address->sa_family == AF_INET) {
        bytes = (const unsigned char *)&((const struct sockaddr_in *)address)->sin_addr;
        return !is_in_any(bytes, special4, sizeof(special4) / sizeof(*special4));
    }
    if (address->sa_family == AF_INET6) {
        bytes = (const unsigned char *)&((const struct sockaddr_in6 *)address)->sin6_addr;
        return is_in(bytes, &global6) && !is_isatap(bytes)
               && !is_in_any(bytes, special6, sizeof(special6) / sizeof(*special6));
    }
    return 0;
}
