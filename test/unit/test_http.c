/* SPDX-License-Identifier: Apache-2.0 */
/* Glue to requests: bodies, answers, metadata. */

#include "unit.h"

#include <string.h>

#include <apr_strings.h>

#include "mcp_http.h"
#include "mcp_json.h"
#include "stub_httpd.h"

static mcp_shared_conf_t *sample(void)
{
    mcp_shared_conf_t *conf = mcp_shared_create(pool);
    static const mcp_resource_t resources[] = {
        { "https://h/mcp", "/mcp", "Snippets", "a b", { 0 } },
        { "https://h/other/one", "/other/one", "Other", "", { 0 } }
    };

    conf->issuer = "https://h";
    conf->resources = apr_array_make(pool, 2, sizeof(mcp_resource_t));
    APR_ARRAY_PUSH(conf->resources, mcp_resource_t) = resources[0];
    APR_ARRAY_PUSH(conf->resources, mcp_resource_t) = resources[1];
    return conf;
}

START_TEST(bodies)
{
    request_rec *r = stub_request(pool);
    char *body, *text = apr_pcalloc(pool, 10001);
    apr_size_t len;

    memset(text, 'x', 10000);
    for (stub_piece = 1; stub_piece < 20000; stub_piece = stub_piece * 7 + 3) {
        stub_body = text;
        ck_assert_int_eq(mcp_read_body(r, 10000, &body, &len), OK);
        ck_assert_uint_eq(len, 10000);
        ck_assert_str_eq(body, text);
        stub_body = text;
        ck_assert_int_eq(mcp_read_body(r, 9999, &body, &len), HTTP_REQUEST_ENTITY_TOO_LARGE);
    }
    stub_piece = 4096;
    stub_body = "";
    ck_assert_int_eq(mcp_read_body(r, 10, &body, &len), OK);
    ck_assert_str_eq(body, "");
    stub_body = "";
    ck_assert_int_eq(mcp_read_body(r, 0, &body, &len), OK);
    stub_body = "partial";
    stub_body_error = APR_TIMEUP;
    ck_assert_int_eq(mcp_read_body(r, 100, &body, &len), HTTP_BAD_REQUEST);
}
END_TEST

static const struct {
    const char *header;
    int is;
} types[] = {
    { "application/json", 1 }, { "Application/JSON", 1 }, { "application/json; charset=utf-8", 1 }, { "application/json ;x", 1 }, { "application/jsonx", 0 }, { "application/json+x", 0 }, { "text/plain", 0 }, { "", 0 }, { "application/json,text/plain", 0 }
};

START_TEST(content_types)
{
    request_rec *r = stub_request(pool);

    ck_assert(!mcp_content_type_is(r, "application/json"));
    apr_table_set(r->headers_in, "Content-Type", types[_i].header);
    ck_assert_int_eq(mcp_content_type_is(r, "application/json"), types[_i].is);
}
END_TEST

START_TEST(answers)
{
    request_rec *r = stub_request(pool);
    json_t *json;

    ck_assert_int_eq(mcp_send_oauth_error(r, 400, "invalid_grant", "Too old"), OK);
    ck_assert_int_eq(r->status, 400);
    ck_assert_str_eq(r->content_type, "application/json");
    ck_assert_str_eq(apr_table_get(r->err_headers_out, "Cache-Control"), "no-store");
    json = mcp_json_parse(pool, stub_output, strlen(stub_output), 1000);
    ck_assert_str_eq(mcp_json_str(json, "error"), "invalid_grant");
    ck_assert_str_eq(mcp_json_str(json, "error_description"), "Too old");
    ck_assert_int_eq(r->clength, (apr_off_t)strlen(stub_output));

    r = stub_request(pool);
    mcp_send_store_down(r);
    ck_assert_int_eq(r->status, 503);
    ck_assert_ptr_nonnull(apr_table_get(r->err_headers_out, "Retry-After"));

    r = stub_request(pool);
    r->header_only = 1;
    mcp_send_json(r, 200, json_pack("{s:s}", "a", "b"));
    ck_assert_str_eq(stub_output, "");
    ck_assert_int_eq(r->clength, 9);

    r = stub_request(pool);
    mcp_send_json(r, 200, json_pack("{s:s}", "a", "\xff")); /* NULL: an answer all the same */
    ck_assert_int_eq(r->status, 500);
    ck_assert_str_eq(stub_output, "{\"error\":\"server_error\"}");
}
END_TEST

START_TEST(cors)
{
    request_rec *r = stub_request(pool);

    ck_assert_int_eq(mcp_cors_public(r, "GET, OPTIONS"), DECLINED);
    ck_assert_str_eq(apr_table_get(r->err_headers_out, "Access-Control-Allow-Origin"), "*");
    ck_assert_ptr_null(apr_table_get(r->err_headers_out, "Access-Control-Allow-Credentials"));
    ck_assert_ptr_nonnull(strstr(apr_table_get(r->err_headers_out, "Access-Control-Expose-Headers"), "WWW-Authenticate"));
    r->method_number = M_OPTIONS;
    ck_assert_int_eq(mcp_cors_public(r, "GET, OPTIONS"), OK);
    ck_assert_int_eq(r->status, 204);
    ck_assert_ptr_nonnull(strstr(apr_table_get(r->err_headers_out, "Access-Control-Allow-Headers"), "MCP-Protocol-Version"));
}
END_TEST

START_TEST(headers_once)
{
    request_rec *r = stub_request(pool);
    int duplicate = -1;

    ck_assert_ptr_null(mcp_header_once(r, "Origin", &duplicate));
    ck_assert_int_eq(duplicate, 0);
    apr_table_add(r->headers_in, "origin", "https://a");
    ck_assert_str_eq(mcp_header_once(r, "Origin", &duplicate), "https://a");
    ck_assert_int_eq(duplicate, 0);
    apr_table_add(r->headers_in, "ORIGIN", "https://b");
    mcp_header_once(r, "Origin", &duplicate);
    ck_assert_int_eq(duplicate, 1); /* T19 */
}
END_TEST

START_TEST(metadata)
{
    mcp_shared_conf_t *conf = sample();
    const mcp_resource_t *r = &APR_ARRAY_IDX(conf->resources, 0, mcp_resource_t);
    json_t *doc = mcp_json_own(pool, mcp_prm_document(conf, r));
    mcp_resource_t root = { "https://h:8443", "/", "Root", "", { 0 } };

    ck_assert_str_eq(mcp_json_text(pool, doc), "{\"resource\":\"https://h/mcp\",\"authorization_servers\":[\"https://h\"],"
                                               "\"bearer_methods_supported\":[\"header\"],\"resource_name\":\"Snippets\","
                                               "\"scopes_supported\":[\"a\",\"b\"]}");
    doc = mcp_json_own(pool, mcp_prm_document(conf, r + 1));
    ck_assert_ptr_null(json_object_get(doc, "scopes_supported"));
    /* RFC 9728 section 3.1 */
    ck_assert_str_eq(mcp_prm_url(pool, r), "https://h/.well-known/oauth-protected-resource/mcp");
    ck_assert_str_eq(mcp_prm_url(pool, &root), "https://h:8443/.well-known/oauth-protected-resource");
}
END_TEST

#define WELL_KNOWN "/.well-known/oauth-protected-resource"

static const struct {
    const char *uri;
    int ours;
    int which; /* -1: none, answer 404 */
} metadata_paths[] = {
    { WELL_KNOWN, 1, 0 }, { WELL_KNOWN "/", 1, 0 }, { WELL_KNOWN "/mcp", 1, 0 }, { WELL_KNOWN "/mcp/", 1, 0 }, { WELL_KNOWN "/mcp/sse", 1, 0 }, { WELL_KNOWN "/other/one", 1, 1 }, { WELL_KNOWN "/other", 1, -1 }, { WELL_KNOWN "/mcpx", 1, -1 }, { "/mcp" WELL_KNOWN, 1, 0 }, { "/other/one" WELL_KNOWN "/", 1, 1 }, { "/elsewhere" WELL_KNOWN, 0, -1 }, { "/mcp" WELL_KNOWN "/x", 0, -1 }, { WELL_KNOWN "x", 0, -1 }, { "/mcp", 0, -1 }, { "/.well-known", 0, -1 }, { "", 0, -1 }, { WELL_KNOWN WELL_KNOWN, 1, -1 }
};

START_TEST(metadata_match)
{
    mcp_shared_conf_t *conf = sample();
    const mcp_resource_t *found = (void *)1;
    request_rec *r = stub_request(pool);

    r->uri = (char *)metadata_paths[_i].uri;
    ck_assert_int_eq(mcp_prm_match(r, conf, &found), metadata_paths[_i].ours);
    if (metadata_paths[_i].which < 0) {
        ck_assert_ptr_null(found);
    }
    else {
        ck_assert_ptr_eq(found, &APR_ARRAY_IDX(conf->resources, metadata_paths[_i].which, mcp_resource_t));
    }
    conf->issuer = NULL;
    ck_assert_int_eq(mcp_prm_match(r, conf, &found), 0); /* nothing to tell without an issuer */
}
END_TEST

START_TEST(metadata_answer)
{
    mcp_shared_conf_t *conf = sample();
    request_rec *r = stub_request(pool);

    ck_assert_int_eq(mcp_prm_answer(r, conf, &APR_ARRAY_IDX(conf->resources, 0, mcp_resource_t)), OK);
    ck_assert_int_eq(r->status, 200);
    ck_assert_ptr_nonnull(strstr(stub_output, "\"resource\":\"https://h/mcp\""));
    r = stub_request(pool);
    mcp_prm_answer(r, conf, NULL);
    ck_assert_int_eq(r->status, 404);
    ck_assert_int_eq(*stub_output, '{'); /* mcp-spec 6.1: JSON, or SDKs fail to parse it */
    r = stub_request(pool);
    r->method_number = M_POST;
    mcp_prm_answer(r, conf, NULL);
    ck_assert_int_eq(r->status, 405);
    ck_assert_ptr_nonnull(apr_table_get(r->err_headers_out, "Allow"));
    r = stub_request(pool);
    r->method_number = M_OPTIONS;
    mcp_prm_answer(r, conf, NULL);
    ck_assert_int_eq(r->status, 204);
}
END_TEST

Suite *suite_http(void)
{
    Suite *suite = suite_create("http");
    TCase *test = unit_case(suite, "http");

    tcase_add_test(test, bodies);
    tcase_add_loop_test(test, content_types, 0, sizeof(types) / sizeof(*types));
    tcase_add_test(test, answers);
    tcase_add_test(test, cors);
    tcase_add_test(test, headers_once);
    tcase_add_test(test, metadata);
    tcase_add_loop_test(test, metadata_match, 0, sizeof(metadata_paths) / sizeof(*metadata_paths));
    tcase_add_test(test, metadata_answer);
    return suite;
}
