/* SPDX-License-Identifier: Apache-2.0 */
/* Runs all unit tests. `unit NAME` runs one suite; CK_FORK=no keeps it in one process, for a debugger. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_general.h>
#include <apr_strings.h>

apr_pool_t *pool;

static char directory[] = "/tmp/mcp-unit-XXXXXX";

static void set_up(void)
{
    /* a pool of its own, not a child of another, so that a sanitizer sees what outlives it */
    apr_pool_create_unmanaged_ex(&pool, NULL, NULL);
}

static void tear_down(void)
{
    apr_pool_destroy(pool);
}

TCase *unit_case(Suite *suite, const char *name)
{
    TCase *test = tcase_create(name);

    tcase_add_checked_fixture(test, set_up, tear_down);
    suite_add_tcase(suite, test);
    return test;
}

const char *unit_file(const char *name, const char *content)
{
    const char *path = apr_pstrcat(pool, directory, "/", name, NULL);
    apr_file_t *file;

    ck_assert_int_eq(apr_file_open(&file, path, APR_FOPEN_WRITE | APR_FOPEN_CREATE | APR_FOPEN_TRUNCATE,
                                   APR_FPROT_UREAD | APR_FPROT_UWRITE, pool),
                     APR_SUCCESS);
    ck_assert_int_eq(apr_file_write_full(file, content, strlen(content), NULL), APR_SUCCESS);
    apr_file_close(file);
    chmod(path, 0600);
    return path;
}

mcp_keyring_t *unit_ring(const char *content)
{
    mcp_keyring_t *ring = NULL;

    ck_assert_ptr_null(mcp_keyring_load(&ring, unit_file("ring", content), pool));
    return ring;
}

static void remove_directory(void)
{
    apr_pool_t *p;
    apr_dir_t *dir;
    apr_finfo_t entry;

    apr_pool_create(&p, NULL);
    if (apr_dir_open(&dir, directory, p) == APR_SUCCESS) {
        while (apr_dir_read(&entry, APR_FINFO_NAME, dir) == APR_SUCCESS) {
            unlink(apr_pstrcat(p, directory, "/", entry.name, NULL));
        }
        apr_dir_close(dir);
        rmdir(directory);
    }
    apr_pool_destroy(p);
}

int main(int argc, char **argv)
{
    Suite *(*const suites[])(void) = {
        suite_address, suite_audit, suite_config, suite_consent, suite_cookie, suite_counter,
        suite_form, suite_grant, suite_http, suite_json, suite_jws, suite_keyring, suite_limit, suite_metrics,
        suite_person, suite_quota, suite_schema, suite_seal, suite_secret, suite_sse, suite_store,
        suite_template, suite_url, suite_util
    };
    SRunner *runner = srunner_create(NULL);
    int failed;

    apr_initialize();
    if (!mkdtemp(directory)) {
        return 1;
    }
    for (unsigned i = 0; i < sizeof(suites) / sizeof(*suites); i++) {
        srunner_add_suite(runner, suites[i]());
    }
    srunner_run(runner, argc > 1 ? argv[1] : NULL, NULL, CK_ENV);
    failed = srunner_ntests_failed(runner);
    if (!srunner_ntests_run(runner)) {
        failed = 1; /* a misspelt suite must not look like success */
    }
    srunner_free(runner);
    remove_directory();
    apr_terminate();
    return failed != 0;
}
