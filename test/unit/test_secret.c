/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets by reference. */

#include "unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <apr_time.h>

#include "mcp_secret.h"

static const char *load(const char *ref)
{
    const char *value = NULL, *error = mcp_secret_load(pool, ref, &value);

    ck_assert((error == NULL) == (value != NULL));
    return value;
}

static const char *file_ref(const char *content)
{
    return apr_pstrcat(pool, "file:", unit_file("secret", content), NULL);
}

START_TEST(files)
{
    const char *ref = file_ref("s3cret value\r\n\n");

    ck_assert_ptr_null(mcp_secret_check(pool, ref));
    ck_assert_str_eq(load(ref), "s3cret value");
    ck_assert_str_eq(load(file_ref("no line end")), "no line end");
    ck_assert_str_eq(load(file_ref("caf\xc3\xa9")), "caf\xc3\xa9");
    ck_assert_ptr_null(load(file_ref("")));
    ck_assert_ptr_null(load(file_ref("\n")));
    ck_assert_ptr_null(load(file_ref("two\nlines\n")));
    ck_assert_ptr_null(load(file_ref("tab\there")));
    ck_assert_ptr_null(load("file:/nonexistent/secret"));
    ck_assert_ptr_null(load("file:/tmp"));
    ck_assert_ptr_null(load("file:relative"));

    ref = file_ref("hidden");
    chmod(ref + 5, 0644);
    ck_assert_ptr_nonnull(strstr(mcp_secret_check(pool, ref), "chmod 600"));
    ck_assert_ptr_null(load(ref));
}
END_TEST

START_TEST(large_files)
{
    char *text = apr_pcalloc(pool, MCP_SECRET_MAX + 2);

    memset(text, 'x', MCP_SECRET_MAX);
    ck_assert_str_eq(load(file_ref(text)), text);
    text[MCP_SECRET_MAX] = 'x';
    ck_assert_ptr_null(load(file_ref(text)));
}
END_TEST

START_TEST(environment)
{
    setenv("MCP_UNIT_SECRET", "from the environment", 1);
    ck_assert_ptr_null(mcp_secret_check(pool, "env:MCP_UNIT_SECRET"));
    ck_assert_str_eq(load("env:MCP_UNIT_SECRET"), "from the environment");
    unsetenv("MCP_UNIT_SECRET");
    ck_assert_ptr_null(load("env:MCP_UNIT_SECRET"));
}
END_TEST

START_TEST(commands)
{
    const char *value;

    ck_assert_ptr_null(mcp_secret_check(pool, "exec:echo x"));
    ck_assert_str_eq(load("exec:echo one; true"), "one");
    ck_assert_str_eq(load("exec:printf '%s' a b | tr b c"), "ac");
    ck_assert_ptr_null(load("exec:echo x; exit 3"));
    ck_assert_ptr_null(load("exec:kill -9 $$"));
    ck_assert_ptr_null(load("exec:true"));
    ck_assert_ptr_null(load("exec:printf 'a\\0b'"));
    ck_assert_ptr_null(load("exec:head -c 70000 /dev/zero | tr '\\0' x"));
    ck_assert_ptr_null(load("exec:/nonexistent/command"));
    /* its input is empty, not ours */
    ck_assert_str_eq(load("exec:cat; echo end"), "end");
    /* the message names the reference and never what the command printed */
    ck_assert_ptr_null(strstr(mcp_secret_load(pool, "exec:printf '%s' hun ter2; exit 1", &value), "hunter2"));
}
END_TEST

/* Everything that the command started ends with it. */
START_TEST(command_that_hangs)
{
    apr_time_t begun = apr_time_now();
    const char *pid_file = unit_file("pid", "");
    char text[32] = "";
    FILE *file;
    int gone = 0;

    ck_assert_ptr_null(load(apr_psprintf(pool, "exec:sleep 59 & echo $! > %s; echo x; wait", pid_file)));
    ck_assert(apr_time_now() - begun < apr_time_from_sec(30));
    ck_assert(apr_time_now() - begun > apr_time_from_sec(9));
    file = fopen(pid_file, "r");
    ck_assert(file && fgets(text, sizeof(text), file));
    fclose(file);
    for (int i = 0; i < 100 && !gone; i++) { /* whoever inherits it may take a moment to see its end */
        char path[64], state[256] = "";

        apr_snprintf(path, sizeof(path), "/proc/%d/stat", atoi(text));
        file = fopen(path, "r");
        gone = !file || !fgets(state, sizeof(state), file) || strstr(state, ") Z ");
        if (file) {
            fclose(file);
        }
        apr_sleep(10000);
    }
    ck_assert(gone);
}
END_TEST

static const char *const bad[] = {
    "", "secret", "file", "file:", "env:", "exec:", "env:A=B", "FILE:/x", "http://h/secret", "file:etc/x"
};

START_TEST(refuses)
{
    const char *error = mcp_secret_check(pool, bad[_i]);

    ck_assert_ptr_nonnull(error);
    ck_assert_ptr_null(load(bad[_i]));
    /* somebody who wrote the secret itself must not find it in the log */
    ck_assert(strcmp(bad[_i], "secret") || !strstr(error, "'secret'"));
}
END_TEST

Suite *suite_secret(void)
{
    Suite *suite = suite_create("secret");
    TCase *test = unit_case(suite, "secret");
    TCase *slow = unit_case(suite, "secret slow");

    tcase_add_test(test, files);
    tcase_add_test(test, large_files);
    tcase_add_test(test, environment);
    tcase_add_test(slow, commands);
    tcase_add_loop_test(test, refuses, 0, sizeof(bad) / sizeof(*bad));
    tcase_set_timeout(slow, 60);
    tcase_add_test(slow, command_that_hangs);
    return suite;
}
