/* SPDX-License-Identifier: Apache-2.0 */
/* Directives that both modules understand. */

#include "unit.h"

#include <string.h>
#include <sys/stat.h>

#include <apr_strings.h>

#include "mcp_config.h"
#include "mcp_grant.h"
#include "stub_httpd.h"

static mcp_shared_conf_t *conf;
static cmd_parms *cmd;

static void begin(void)
{
    mcp_server_conf_base_t *base = apr_pcalloc(pool, sizeof(*base));

    fake_reset();
    base->shared = conf = mcp_shared_create(pool);
    cmd = stub_cmd(pool, base);
}

static const char *resource(const char *a, const char *b, const char *c)
{
    char *argv[] = { (char *)a, (char *)b, (char *)c };

    return mcp_set_resource(cmd, NULL, c ? 3 : (b ? 2 : (a ? 1 : 0)), argv);
}

static const char *scope(const char *a, const char *b, const char *c, const char *d)
{
    char *argv[] = { (char *)a, (char *)b, (char *)c, (char *)d };

    return mcp_set_scope(cmd, NULL, d ? 4 : (c ? 3 : (b ? 2 : 1)), argv);
}

static const struct {
    const char *issuer;
    int ok;
} issuers[] = {
    { "https://mcp.example.com", 1 }, { "https://mcp.example.com/tenant", 1 }, { "http://127.0.0.1:8080", 1 }, { "http://localhost:8080", 1 }, { "http://[::1]:8080", 1 }, { "https://mcp.example.com/", 0 }, { "http://mcp.example.com", 0 }, { "mcp.example.com", 0 }, { "https://mcp.example.com?x", 0 }, { "https://mcp.example.com#x", 0 }, { "https://u@h", 0 }, { "https://h/a/../b", 0 }, { "ftp://h", 0 }, { "", 0 }, { "https://h/a//b", 0 }, { "https://h\n", 0 }
};

START_TEST(issuer)
{
    const char *error;

    begin();
    error = mcp_set_issuer(cmd, NULL, issuers[_i].issuer);
    ck_assert_msg((error == NULL) == issuers[_i].ok, "%s: %s", issuers[_i].issuer, error);
    if (issuers[_i].ok) {
        ck_assert_str_eq(conf->issuer, issuers[_i].issuer); /* AS-3: byte for byte */
    }
}
END_TEST

START_TEST(resources)
{
    const mcp_resource_t *r;
    unsigned char hash[16];

    begin();
    ck_assert_ptr_null(resource("https://MCP.example.com/mcp/", "name=Snippets", "scopes=a b"));
    ck_assert_ptr_null(resource("https://mcp.example.com/mcp/admin", NULL, NULL));
    r = &APR_ARRAY_IDX(conf->resources, 0, mcp_resource_t);
    ck_assert_str_eq(r->uri, "https://mcp.example.com/mcp");
    ck_assert_str_eq(r->name, "Snippets");
    ck_assert_str_eq(r->scopes, "a b");
    mcp_resource_hash("https://mcp.example.com/mcp", hash);
    ck_assert_int_eq(memcmp(r->hash, hash, 16), 0);
    ck_assert_str_eq(APR_ARRAY_IDX(conf->resources, 1, mcp_resource_t).name, "https://mcp.example.com/mcp/admin");

    ck_assert_ptr_eq(mcp_resource_for_path(conf, "/mcp"), r);
    ck_assert_ptr_eq(mcp_resource_for_path(conf, "/mcp/"), r);
    ck_assert_ptr_eq(mcp_resource_for_path(conf, "/mcp/sse"), r);
    ck_assert_ptr_eq(mcp_resource_for_path(conf, "/mcp/administrator"), r);
    ck_assert_ptr_eq(mcp_resource_for_path(conf, "/mcp/admin/x"), &APR_ARRAY_IDX(conf->resources, 1, mcp_resource_t));
    ck_assert_ptr_null(mcp_resource_for_path(conf, "/mcpx"));
    ck_assert_ptr_null(mcp_resource_for_path(conf, "/"));
    ck_assert_ptr_null(mcp_resource_for_path(conf, ""));
    ck_assert_ptr_eq(mcp_resource_by_uri(conf, "https://mcp.example.com/mcp"), r);
    ck_assert_ptr_null(mcp_resource_by_uri(conf, "https://mcp.example.com/mcp/"));
    ck_assert_ptr_null(mcp_resource_by_uri(mcp_shared_create(pool), "https://h"));
    ck_assert_ptr_null(mcp_resource_for_path(mcp_shared_create(pool), "/"));
}
END_TEST

START_TEST(resource_at_the_root)
{
    begin();
    ck_assert_ptr_null(resource("https://h/", NULL, NULL));
    ck_assert_ptr_nonnull(mcp_resource_for_path(conf, "/"));
    ck_assert_ptr_nonnull(mcp_resource_for_path(conf, "/any/thing"));
}
END_TEST

START_TEST(resource_mistakes)
{
    begin();
    ck_assert_ptr_nonnull(resource(NULL, NULL, NULL));
    ck_assert_ptr_nonnull(resource("http://h/mcp", NULL, NULL));
    ck_assert_ptr_nonnull(resource("https://h/mcp#x", NULL, NULL));
    ck_assert_ptr_nonnull(resource("https://h/m%20cp", NULL, NULL));
    ck_assert_ptr_nonnull(resource("https://h/mcp", "nmae=x", NULL));
    ck_assert_ptr_nonnull(resource("https://h/mcp", "name=caf\xe9", NULL));
    ck_assert_ptr_nonnull(resource("https://h/mcp", "scopes=a  b", NULL));
    ck_assert_ptr_nonnull(resource("https://h/mcp", "scopes=a offline_access", NULL)); /* RS-5 */
    ck_assert_ptr_null(conf->resources);
    ck_assert_ptr_null(resource("https://h/mcp", NULL, NULL));
    ck_assert_ptr_nonnull(resource("HTTPS://H/mcp/", NULL, NULL)); /* the same one again */
}
END_TEST

/* AS-15, RS-11 */
START_TEST(scopes)
{
    begin();
    ck_assert_str_eq(mcp_scope_expand(pool, conf, "admin"), "admin");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "read admin"), "read admin");
    ck_assert_ptr_null(scope("admin", "Everything", "implies=write", NULL));
    ck_assert_ptr_null(scope("write", "Change", "implies=read list", "optional"));
    ck_assert_ptr_null(scope("read", "See", NULL, NULL));
    ck_assert_ptr_null(scope("list", "List", "implies=write", NULL)); /* a circle ends */
    ck_assert_str_eq(mcp_scope_expand(pool, conf, "admin"), "admin write read list");
    ck_assert_str_eq(mcp_scope_expand(pool, conf, "read"), "read");
    ck_assert_str_eq(mcp_scope_expand(pool, conf, "list"), "list write read");
    ck_assert_str_eq(mcp_scope_expand(pool, conf, "unknown"), "unknown");
    ck_assert_str_eq(mcp_scope_expand(pool, conf, ""), "");

    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "read admin other"), "admin other");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "admin read"), "admin");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "other read"), "other read");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "write list read"), "write"); /* the circle's first */
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "list write read"), "list");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "read list admin"), "admin");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, "read"), "read");
    ck_assert_str_eq(mcp_scope_reduce(pool, conf, ""), "");

    ck_assert_ptr_nonnull(scope("read", "Again", NULL, NULL));
    ck_assert_ptr_nonnull(scope("a b", "Two", NULL, NULL));
    ck_assert_ptr_nonnull(scope("", "None", NULL, NULL));
    ck_assert_ptr_nonnull(scope("x", "caf\xe9", NULL, NULL));
    ck_assert_ptr_nonnull(scope("x", "X", "implied=y", NULL));
    ck_assert_ptr_nonnull(scope("x", NULL, NULL, NULL));
}
END_TEST

START_TEST(origins)
{
    begin();
    ck_assert_ptr_null(mcp_set_allow_origin(cmd, NULL, "HTTPS://App.example.com:443"));
    ck_assert_ptr_null(mcp_set_allow_origin(cmd, NULL, "*"));
    ck_assert_str_eq(APR_ARRAY_IDX(conf->origins, 0, const char *), "https://app.example.com");
    ck_assert_ptr_nonnull(mcp_set_allow_origin(cmd, NULL, "https://app.example.com/"));
    ck_assert_ptr_nonnull(mcp_set_allow_origin(cmd, NULL, "app.example.com"));
    ck_assert_ptr_nonnull(mcp_set_allow_origin(cmd, NULL, "null"));
    ck_assert_ptr_nonnull(mcp_set_allow_origin(cmd, NULL, "https://*.example.com"));
}
END_TEST

START_TEST(globals)
{
    const char *path = unit_file("keys", KEY_1);
    mcp_keyring_t *ring = NULL, *again = NULL;
    mcp_store_t *store = NULL, *same = NULL;

    begin();
    ck_assert_ptr_null(mcp_set_key_file(cmd, NULL, path));
    ck_assert_int_ne(mcp_shared_post_config(conf, &ring, &store, &stub_server, pool, pool), APR_SUCCESS);
    ck_assert_ptr_nonnull(strstr(stub_log_last, "MCPStore"));
    ck_assert_ptr_null(mcp_set_store(cmd, NULL, "shmcb"));
    ck_assert_ptr_null(mcp_set_store_timeout(cmd, NULL, "200ms"));
    ck_assert_int_eq(conf->store.timeout, apr_time_from_msec(200));
    ck_assert_int_eq(mcp_shared_post_config(conf, &ring, &store, &stub_server, pool, pool), APR_SUCCESS);
    ck_assert_int_eq(mcp_shared_post_config(conf, &again, &same, &stub_server, pool, pool), APR_SUCCESS);
    ck_assert_ptr_eq(ring, again);
    ck_assert_ptr_eq(store, same);

    conf->key_file = NULL;
    ck_assert_int_ne(mcp_shared_post_config(conf, &ring, &store, &stub_server, pool, pool), APR_SUCCESS);
    ck_assert_ptr_nonnull(strstr(stub_log_last, "MCPKeyFile"));

    ck_assert_ptr_nonnull(mcp_set_key_file(cmd, NULL, "/nonexistent"));
    chmod(path, 0644);
    ck_assert_ptr_nonnull(strstr(mcp_set_key_file(cmd, NULL, path), "chmod 600"));
    ck_assert_ptr_nonnull(mcp_set_store(cmd, NULL, "dbm"));
    ck_assert_ptr_nonnull(mcp_set_store_timeout(cmd, NULL, "1ms"));
    ck_assert_ptr_nonnull(mcp_set_store_timeout(cmd, NULL, "1000"));
    ck_assert_ptr_nonnull(mcp_set_store_timeout(cmd, NULL, "soon"));
    stub_bad_context = "not here";
    ck_assert_str_eq(mcp_set_key_file(cmd, NULL, path), "not here");
    ck_assert_str_eq(mcp_set_store(cmd, NULL, "shmcb"), "not here");
    ck_assert_str_eq(mcp_set_store_timeout(cmd, NULL, "1s"), "not here");
}
END_TEST

START_TEST(merging)
{
    mcp_shared_conf_t *base, *vhost, *merged;

    begin();
    base = conf;
    mcp_set_issuer(cmd, NULL, "https://a");
    resource("https://a/mcp", NULL, NULL);
    mcp_set_store(cmd, NULL, "shmcb");
    begin();
    vhost = conf;
    merged = mcp_shared_merge(pool, base, vhost);
    ck_assert_str_eq(merged->issuer, "https://a");
    ck_assert_ptr_eq(merged->resources, base->resources);
    mcp_set_issuer(cmd, NULL, "https://b");
    resource("https://b/mcp", NULL, NULL);
    merged = mcp_shared_merge(pool, base, vhost);
    ck_assert_str_eq(merged->issuer, "https://b");
    ck_assert_int_eq(merged->resources->nelts, 1); /* a host's resources are its own (T48) */
    ck_assert_str_eq(merged->store.provider, "shmcb");
}
END_TEST

Suite *suite_config(void)
{
    Suite *suite = suite_create("config");
    TCase *test = unit_case(suite, "config");

    tcase_add_loop_test(test, issuer, 0, sizeof(issuers) / sizeof(*issuers));
    tcase_add_test(test, resources);
    tcase_add_test(test, resource_at_the_root);
    tcase_add_test(test, resource_mistakes);
    tcase_add_test(test, scopes);
    tcase_add_test(test, origins);
    tcase_add_test(test, globals);
    tcase_add_test(test, merging);
    return suite;
}
