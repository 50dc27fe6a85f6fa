/* SPDX-License-Identifier: Apache-2.0 */
/* An answer that a provider has the browser post: what becomes of it, and for how long it counts. */

#include "upstream.h"

#include <string.h>
#include <unistd.h>

#include <apr_file_io.h>
#include <apr_strings.h>

#include "oauth.h"
#include "stub_httpd.h"

/* ---- what mod_mcp_oauth does around it ---- */

static const char *location; /* where the browser was sent */
static int refused;          /* status of an error page, 0 none */

int mcp_page_error(request_rec *r, const mcp_oauth_conf_t *conf, int status, mcp_page_e page, const char *log)
{
    refused = status;
    return OK;
}

int mcp_page_redirect(request_rec *r, const char *url)
{
    location = url;
    return OK;
}

char *mcp_clean_text(apr_pool_t *p, const char *text, apr_size_t max)
{
    return apr_pstrndup(p, text, max);
}

char *ap_os_escape_path(apr_pool_t *p, const char *path, int partial)
{
    return apr_pstrdup(p, path);
}

static mcp_oauth_conf_t *make_conf(const char *issuer_tag)
{
    mcp_oauth_conf_t *conf = apr_pcalloc(pool, sizeof(*conf));
    mcp_provider_t *provider = apr_pcalloc(pool, sizeof(*provider));
    char *path = apr_pstrdup(pool, "/tmp/mcp-unit-XXXXXX");
    apr_file_t *file;

    ck_assert_int_eq(apr_file_mktemp(&file, path, APR_FOPEN_CREATE | APR_FOPEN_WRITE | APR_FOPEN_EXCL, pool), APR_SUCCESS);
    ck_assert_int_eq(apr_file_puts(KEY_1 "\n", file), APR_SUCCESS);
    apr_file_close(file);
    ck_assert_ptr_null(mcp_keyring_load(&conf->ring, path, pool));
    unlink(path);
    provider->response_mode = "form_post";
    conf->providers = apr_array_make(pool, 1, sizeof(mcp_provider_t *));
    APR_ARRAY_PUSH(conf->providers, mcp_provider_t *) = provider;
    conf->origin = "https://gateway.example";
    conf->issuer_tag = issuer_tag;
    return conf;
}

/* What the browser carries to our own URL when @a body is posted; NULL when it is refused. */
static const char *post(request_rec *r, const mcp_oauth_conf_t *conf, const char *body)
{
    static const char begin[] = "https://gateway.example/oauth-callback?form_post=";

    location = NULL;
    refused = 0;
    r->uri = apr_pstrdup(pool, "/oauth-callback");
    r->method_number = M_POST;
    apr_table_setn(r->headers_in, "Content-Type", "application/x-www-form-urlencoded");
    stub_body = body;
    ck_assert_int_eq(mcp_callback_post(r, conf), OK);
    if (!location) {
        return NULL;
    }
    ck_assert(!strncmp(location, begin, sizeof(begin) - 1));
    return location + sizeof(begin) - 1;
}

/* ---- tests ---- */

/* It counts for one minute, and here only. */
START_TEST(a_posted_answer_counts_for_a_minute)
{
    mcp_oauth_conf_t *conf = make_conf("here"), *elsewhere = make_conf("there");
    request_rec *r = stub_request(pool);
    const char *sealed = post(r, conf, "code=c-1&state=s-1&other=x");

    ck_assert_ptr_nonnull(sealed);
    ck_assert_ptr_null(strstr(sealed, "c-1"));
    ck_assert_str_eq(mcp_callback_query(r, conf, sealed), "state=s-1&code=c-1");
    ck_assert_ptr_null(mcp_callback_query(r, elsewhere, sealed));
    clock_offset = apr_time_from_sec(57);
    ck_assert_str_eq(mcp_callback_query(r, conf, sealed), "state=s-1&code=c-1");
    clock_offset = apr_time_from_sec(61);
    ck_assert_ptr_null(mcp_callback_query(r, conf, sealed));
}
END_TEST

/* Nobody who asks for answers by GET takes one by POST. */
START_TEST(nobody_asked_for_a_posted_answer)
{
    mcp_oauth_conf_t *conf = make_conf("here");

    APR_ARRAY_IDX(conf->providers, 0, mcp_provider_t *)->response_mode = "query";
    ck_assert_ptr_null(post(stub_request(pool), conf, "code=c-1&state=s-1"));
    ck_assert_int_eq(refused, HTTP_METHOD_NOT_ALLOWED);
}
END_TEST

Suite *suite_callback_post(void)
{
    Suite *suite = suite_create("callback_post");
    TCase *test = unit_case(suite, "callback_post");

    tcase_add_test(test, a_posted_answer_counts_for_a_minute);
    tcase_add_test(test, nobody_asked_for_a_posted_answer);
    return suite;
}
