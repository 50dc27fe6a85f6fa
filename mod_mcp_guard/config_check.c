/* SPDX-License-Identifier: Apache-2.0 */
/* What is checked and completed before the first request: by configtest, and by root at start-up.
 */

#include <string.h>

#include <apr_strings.h>
#include <httpd.h>
#include <http_config.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_log.h"
#include "mcp_secret.h"
#include "mcp_signing.h"

APLOG_USE_MODULE(mcp_guard);

#define CACHE_AGE_DEFAULT apr_time_from_sec(1)

int mcp_guard_in_use(server_rec *main_server)
{
    const mcp_guard_server_t *conf =
        ap_get_module_config(main_server->module_config, &mcp_guard_module);

    return mcp_guard_collected.guarded->nelts || conf->shared->key_file;
}

static const mcp_shared_conf_t *shared_of(server_rec *s)
{
    const mcp_guard_server_t *conf = ap_get_module_config(s->module_config, &mcp_guard_module);

    return conf->shared;
}

static int is_below(const char *path, const char *prefix)
{
    apr_size_t len = strlen(prefix);

    while (len && prefix[len - 1] == '/') {
        len--;
    }
    return !strncmp(path, prefix, len) && (path[len] == '\0' || path[len] == '/');
}

/* Can a request to this location find its resource? By MCPGuardResource here or in an outer
 * section, or by path. */
static int has_resource(const mcp_guarded_place_t *guarded, const mcp_shared_conf_t *shared)
{
    int i;

    if (guarded->dir->resource || !guarded->path || mcp_resource_for_path(shared, guarded->path)) {
        return 1;
    }
    for (i = 0; i < mcp_guard_collected.resources->nelts; i++) {
        const char *outer =
            APR_ARRAY_IDX(mcp_guard_collected.resources, i, mcp_resource_ref_t *)->path;

        if (outer && is_below(guarded->path, outer)) {
            return 1;
        }
    }
    for (i = 0; i < shared->resources->nelts; i++) {
        if (is_below(APR_ARRAY_IDX(shared->resources, i, mcp_resource_t).path, guarded->path)) {
            return 1; /* at least part of it */
        }
    }
    return 0;
}

/* What every guarded location needs of its server. NULL, or what is missing and the mend. */
static const char *missing(const mcp_guarded_place_t *guarded, const mcp_shared_conf_t *global,
                           const mcp_shared_conf_t *shared, apr_pool_t *p)
{
    const char *path = guarded->path ? guarded->path : "/mcp";

    if (!global->key_file) {
        return "needs the sealing keys. Add to the main server: MCPKeyFile /etc/mcp/keys (make the "
               "file with: umask 077; echo \"k1 $(openssl rand -base64 32)\" > /etc/mcp/keys)";
    }
    if (!global->store.provider) {
        return "needs the session store. Add to the main server: MCPStore shmcb, or "
               "memcache:HOST:PORT or redis:HOST:PORT where several hosts share it";
    }
    if (!shared->issuer) {
        return "needs to know who issues tokens. Add: MCPIssuer https://mcp.example.com";
    }
    if (!shared->resources || !shared->resources->nelts) {
        return apr_psprintf(p, "needs to know what is guarded. Add: MCPResource %s%s",
                            shared->issuer, path);
    }
    if (!has_resource(guarded, shared)) {
        return apr_psprintf(p, "guards %s, which the path of no MCPResource covers. Add: "
                               "MCPResource %s%s, or MCPGuardResource with the URI of one, in this "
                               "section",
                            path, shared->issuer, path);
    }
    return NULL;
}

const char *mcp_guard_header_clash(const mcp_guard_dir_t *dir)
{
    const char *const names[] = { dir->key ? dir->key->header : "", dir->upstream_header, dir->assertion_header };
    const char *rest;

    for (int i = 0; i < 3; i++) {
        for (int j = 0; names[i] && *names[i] && j < i; j++) {
            if (names[j] && *names[j] && mcp_name_begins(names[j], names[i], &rest) && !*rest) {
                return names[j];
            }
        }
    }
    return NULL;
}

/* What a request to this place meets of the sections that choose headers: those of the main server first, each in the
 * order of the file, as httpd merges them. Of patterns nobody knows what they cover: mcp_guard_check_proxy() looks again. */
static const mcp_guard_dir_t *merged(const mcp_guarded_place_t *place, server_rec *main_server, apr_pool_t *p)
{
    const mcp_guarded_place_t *other = (const mcp_guarded_place_t *)mcp_guard_collected.headers->elts;
    const mcp_guard_dir_t *all = NULL;

    for (int own = 0; own < 2; own++) {
        server_rec *server = own ? place->server : main_server;

        for (int i = 0; i < mcp_guard_collected.headers->nelts && (!own || server != main_server); i++) {
            int covers = other[i].dir == place->dir
                         || (place->path && other[i].path && is_below(place->path, other[i].path));

            if (other[i].server == server && covers) {
                all = all ? mcp_guard_merge_dir(p, (void *)all, (void *)other[i].dir) : other[i].dir;
            }
        }
    }
    return all;
}

static int check_headers(server_rec *main_server, apr_pool_t *p)
{
    const mcp_guarded_place_t *place = (const mcp_guarded_place_t *)mcp_guard_collected.headers->elts;

    for (int i = 0; i < mcp_guard_collected.headers->nelts; i++) {
        const char *name = mcp_guard_header_clash(merged(&place[i], main_server, p));
        const char *why = mcp_guard_upstream_check(place[i].dir);

        if (name) {
            why = apr_psprintf(p, "MCPGuardBackendKey, MCPGuardUpstreamToken and MCPGuardAssertion cannot share the "
                                  "header %s, and two of them do here: give each a name of its own, or set one Off",
                               name);
        }
        if (why) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, place[i].server, MCP_LOG(0406) "%s: %s", place[i].where, why);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    return OK;
}

int mcp_guard_config_check(server_rec *main_server, apr_pool_t *ptemp)
{
    const mcp_guarded_place_t *guarded =
        (const mcp_guarded_place_t *)mcp_guard_collected.guarded->elts;
    int i;

    for (i = 0; i < mcp_guard_collected.resources->nelts; i++) {
        mcp_resource_ref_t *ref =
            APR_ARRAY_IDX(mcp_guard_collected.resources, i, mcp_resource_ref_t *);

        ref->resource = mcp_resource_by_uri(shared_of(ref->server), ref->uri);
        if (!ref->resource) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, ref->server,
                         MCP_LOG(0402) "%s: MCPGuardResource names %s, which no MCPResource "
                                       "declares. Add: MCPResource %s",
                         ref->where, ref->uri, ref->uri);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    for (i = 0; i < mcp_guard_collected.guarded->nelts; i++) {
        const char *what =
            missing(&guarded[i], shared_of(main_server), shared_of(guarded[i].server), ptemp);

        if (what) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, guarded[i].server,
                         MCP_LOG(0403) "%s: AuthType MCP %s", guarded[i].where, what);
            return HTTP_INTERNAL_SERVER_ERROR;
        }
    }
    if (mcp_guard_collected.guarded->nelts && ap_find_linked_module("mod_proxy.c") && !ap_find_linked_module("mod_proxy_http.c")
        && !ap_find_linked_module("mod_proxy_http2.c")) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, main_server,
                     MCP_LOG(0404) "mod_proxy_http is not loaded: calls that are allowed to an http:// backend end in "
                                   "500. Debian: a2enmod proxy_http; elsewhere LoadModule proxy_http_module");
    }
    return check_headers(main_server, ptemp);
}

static apr_status_t read_keys(server_rec *main_server, apr_pool_t *pconf)
{
    int i;

    for (i = 0; i < mcp_guard_collected.keys->nelts; i++) {
        mcp_backend_key_t *key = APR_ARRAY_IDX(mcp_guard_collected.keys, i, mcp_backend_key_t *);
        const char *err = NULL;
        int j;

        /* The same reference in several locations is read once: exec: may be slow. */
        for (j = 0; j < i && !key->value; j++) {
            const mcp_backend_key_t *other =
                APR_ARRAY_IDX(mcp_guard_collected.keys, j, mcp_backend_key_t *);

            if (!strcmp(other->ref, key->ref)) {
                key->value = other->value;
            }
        }
        if (!key->value) {
            err = mcp_secret_load(pconf, key->ref, &key->value);
        }
        if (err) {
            ap_log_error(APLOG_MARK, APLOG_CRIT, 0, main_server,
                         MCP_LOG(0405) "MCPGuardBackendKey %s: %s", key->header, err);
            return APR_EGENERAL;
        }
        key->len = strlen(key->value);
    }
    return APR_SUCCESS;
}

int mcp_guard_config_test(server_rec *main_server, apr_pool_t *pconf)
{
    if (!mcp_is_config_test() || !mcp_guard_in_use(main_server)) {
        return OK;
    }
    return read_keys(main_server, pconf) == APR_SUCCESS
                   && mcp_signing_open(shared_of(main_server)->signing, main_server, pconf) == APR_SUCCESS
               ? OK
               : HTTP_INTERNAL_SERVER_ERROR;
}

apr_status_t mcp_guard_config_finish(server_rec *main_server, apr_pool_t *pconf)
{
    server_rec *s;
    apr_status_t rv = read_keys(main_server, pconf);

    if (rv != APR_SUCCESS) {
        return rv;
    }
    for (s = main_server; s; s = s->next) {
        mcp_guard_server_t *conf = ap_get_module_config(s->module_config, &mcp_guard_module);

        if (conf->cache_age < 0) {
            conf->cache_age = CACHE_AGE_DEFAULT;
        }
        mcp_guard_collect_origins(pconf, conf);
        mcp_guard_collect_hosts(pconf, conf, s);
    }
    return APR_SUCCESS;
}
