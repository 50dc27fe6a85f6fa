/* SPDX-License-Identifier: Apache-2.0 */
/* Public addresses and all that is none (AS-25, T7). */

#include "unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "mcp_address.h"

static int is_public(const char *text)
{
    struct sockaddr_in6 six;
    struct sockaddr_in four;

    memset(&four, 0, sizeof(four));
    memset(&six, 0, sizeof(six));
    if (inet_pton(AF_INET, text, &four.sin_addr) == 1) {
        four.sin_family = AF_INET;
        return mcp_address_is_public((struct sockaddr *)&four);
    }
    ck_assert_msg(inet_pton(AF_INET6, text, &six.sin6_addr) == 1, "%s is no address", text);
    six.sin6_family = AF_INET6;
    return mcp_address_is_public((struct sockaddr *)&six);
}

static const char *const public_ones[] = {
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.167.255.255",
    "198.17.255.255",
    "198.20.0.0",
    "203.0.112.255",
    "223.255.255.255",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "2001:200::1",
    "2a00:1450:4001:80b::200e",
    "2003::1",
    "3ffe::1",
};

START_TEST(public_address)
{
    ck_assert_msg(is_public(public_ones[_i]), "%s is public", public_ones[_i]);
}
END_TEST

static const char *const special_ones[] = {
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "127.0.0.1",
    "127.255.255.255",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.31.196.1",
    "192.52.193.1",
    "192.88.99.1",
    "192.168.0.1",
    "192.175.48.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:53aa:64c::1",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:1ff:ffff::1",
    "2001:db8::1",
    "2002:a9fe:a9fe::1",
    "2002:808:808::1",
    "2620:4f:8000::1",
    "3fff::1",
    "3fff:fff::1",
    "5f00::1",
    "fc00::1",
    "fd12:3456::1",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "2606:4700::5efe:10.0.0.1",
    "2606:4700::200:5efe:127.0.0.1",
};

START_TEST(special_address)
{
    ck_assert_msg(!is_public(special_ones[_i]), "%s is not public", special_ones[_i]);
}
END_TEST

START_TEST(other_families)
{
    struct sockaddr other;

    memset(&other, 0, sizeof(other));
    other.sa_family = AF_UNIX;
    ck_assert(!mcp_address_is_public(&other));
}
END_TEST

Suite *suite_address(void)
{
    Suite *suite = suite_create("address");
    TCase *test = unit_case(suite, "address");

    tcase_add_loop_test(test, public_address, 0, (int)(sizeof(public_ones) / sizeof(*public_ones)));
    tcase_add_loop_test(test, special_address, 0, (int)(sizeof(special_ones) / sizeof(*special_ones)));
    tcase_add_test(test, other_families);
    return suite;
}
