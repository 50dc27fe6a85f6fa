/* SPDX-License-Identifier: Apache-2.0 */
/* What the unit tests share: a pool for each test, keyrings, and the suites. */

#ifndef MCP_UNIT_H
#define MCP_UNIT_H

#include <apr_pools.h>
#include <check.h>

#include "mcp_keyring.h"

/* Cleared after each test. */
extern apr_pool_t *pool;

/** A test case with the pool as its fixture. */
TCase *unit_case(Suite *suite, const char *name);

/** Write a file of mode 0600 below the test's own directory; returns its path. */
const char *unit_file(const char *name, const char *content);

/** A keyring with the lines of @a content. */
mcp_keyring_t *unit_ring(const char *content);

/* Two good keys, as a key file has them. */
#define KEY_1 "k1 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
#define KEY_2 "k2 ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8="

Suite *suite_address(void);
Suite *suite_audit(void);
Suite *suite_config(void);
Suite *suite_consent(void);
Suite *suite_cookie(void);
Suite *suite_counter(void);
Suite *suite_form(void);
Suite *suite_grant(void);
Suite *suite_http(void);
Suite *suite_json(void);
Suite *suite_jws(void);
Suite *suite_keyring(void);
Suite *suite_limit(void);
Suite *suite_quota(void);
Suite *suite_metrics(void);
Suite *suite_schema(void);
Suite *suite_person(void);
Suite *suite_seal(void);
Suite *suite_secret(void);
Suite *suite_sse(void);
Suite *suite_store(void);
Suite *suite_template(void);
Suite *suite_url(void);
Suite *suite_util(void);

#endif
