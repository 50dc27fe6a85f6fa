/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzz targets that read clients share: a configuration, and what every client that is taken must keep. */

#ifndef MCP_FUZZ_CLIENTS_H
#define MCP_FUZZ_CLIENTS_H

#include "fuzz.h"

#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "oauth.h"

/* A gateway that admits two private-use schemes and redirects to two hosts, with @a pinned as a reviewed copy. */
static inline mcp_oauth_conf_t *fuzz_conf(apr_pool_t *p, const char *url, const char *pinned)
{
    mcp_oauth_conf_t *conf = apr_pcalloc(p, sizeof(*conf));
    mcp_clients_conf_t *clients = apr_pcalloc(p, sizeof(*clients));
    mcp_pinned_t pin = { url, pinned };

    conf->clients = clients;
    conf->ring = fuzz_ring();
    conf->issuer_tag = "0123456789a";
    conf->scopes = "read write";
    conf->schemes = apr_array_make(p, 2, sizeof(const char *));
    APR_ARRAY_PUSH(conf->schemes, const char *) = "cursor";
    APR_ARRAY_PUSH(conf->schemes, const char *) = "claude";
    clients->metadata = 1;
    clients->redirect_hosts = apr_array_make(p, 2, sizeof(const char *));
    APR_ARRAY_PUSH(clients->redirect_hosts, const char *) = "app.example";
    APR_ARRAY_PUSH(clients->redirect_hosts, const char *) = "*.trusted.example";
    clients->pinned = apr_array_make(p, 1, sizeof(mcp_pinned_t));
    APR_ARRAY_PUSH(clients->pinned, mcp_pinned_t) = pin;
    return conf;
}

/* Nothing of a client can be asked for that would not be admitted, nor break a page, a log line or a header. */
static inline void fuzz_check_client(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_client_t *client)
{
    REQUIRE(client->redirect_uris->nelts > 0 && client->redirect_uris->nelts <= MCP_REDIRECTS_MAX);
    REQUIRE(strlen(client->name) <= MCP_CLIENT_NAME_MAX && !strpbrk(client->name, "\r\n\t\x7f"));
    for (int i = 0; i < client->redirect_uris->nelts; i++) {
        const char *uri = APR_ARRAY_IDX(client->redirect_uris, i, const char *);
        int admitted = !mcp_redirect_admitted(p, conf, uri);
        mcp_url_t url;

        REQUIRE(mcp_url_parse(p, uri, &url) == APR_SUCCESS && !url.fragment && !url.has_userinfo);
        REQUIRE(strcmp(url.scheme, "javascript") && strcmp(url.scheme, "data") && strcmp(url.scheme, "file"));
        REQUIRE(strcmp(url.scheme, "http") || mcp_url_is_loopback(&url));
        REQUIRE(!strpbrk(uri, "\r\n\t \\"));
        REQUIRE(mcp_client_redirect_ok(p, conf, client, uri) == admitted);
    }
    REQUIRE(!mcp_client_redirect_ok(p, conf, client, "https://evil.example/"));
}

#endif
