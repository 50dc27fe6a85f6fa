/* SPDX-License-Identifier: Apache-2.0 */
/* Runs the unit tests of the upstream side. `upstream NAME` runs one suite; CK_FORK=no keeps it in one process. */

#include "upstream.h"

#include <stdlib.h>
#include <sys/time.h>

#include <apr_general.h>
#include <httpd.h>
#include <http_config.h>

module AP_MODULE_DECLARE_DATA mcp_oauth_module; /* whose name log lines carry */

apr_pool_t *pool;
volatile apr_time_t clock_offset;

/* In place of APR's, for the program and the library alike. */
apr_time_t apr_time_now(void)
{
    struct timeval now;

    gettimeofday(&now, NULL);
    return apr_time_make(now.tv_sec, now.tv_usec) + __atomic_load_n(&clock_offset, __ATOMIC_SEQ_CST);
}

static void set_up(void)
{
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
    clock_offset = 0;
}

static void tear_down(void)
{
    apr_pool_destroy(pool);
}

TCase *unit_case(Suite *suite, const char *name)
{
    TCase *test = tcase_create(name);

    tcase_add_checked_fixture(test, set_up, tear_down);
    tcase_set_timeout(test, 30);
    suite_add_tcase(suite, test);
    return test;
}

int main(int argc, char **argv)
{
    Suite *(*const suites[])(void) = { suite_cache, suite_callback_post, suite_claims, suite_gate, suite_id_token, suite_jwks };
    SRunner *runner = srunner_create(NULL);
    int failed;

    apr_initialize();
    for (unsigned i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
        srunner_add_suite(runner, suites[i]());
    }
    srunner_run(runner, argc > 1 ? argv[1] : NULL, NULL, CK_ENV);
    failed = srunner_ntests_failed(runner);
    if (!srunner_ntests_run(runner)) {
        failed = 1; /* a misspelt suite must not look like success */
    }
    srunner_free(runner);
    apr_terminate();
    return failed != 0;
}
