/* SPDX-License-Identifier: Apache-2.0 */
/* Clients: a dynamically registered client_id is its own registration, sealed (design principle 1).
 * It costs no storage, survives every restart, opens on every node, and stays good as long as its
 * key is in the keyring.
 *
 *   plaintext of a client_id (purpose mcpci)
 *   { "i": issuer tag, "n": name, "u": home page, "r": [redirect URIs], "t": issued at, seconds }
 */

#include "oauth.h"

#include <apr_lib.h>
#include <apr_strings.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

/* Length of a UTF-8 sequence by its first byte; 1 for a stray byte. */
static apr_size_t utf8_len(unsigned char c)
{
    return c >= 0xf0 ? 4 : (c >= 0xe0 ? 3 : (c >= 0xc0 ? 2 : 1));
}

/* Code points that change how others are shown: C1 controls, zero-width and bidirectional
 * formatting, line and paragraph separators, byte order mark, tags. With them a name can pretend to
 * be another. */
static int is_trick(const unsigned char *s, apr_size_t len)
{
    if (len == 2) {
        return (s[0] == 0xc2 && s[1] < 0xa0) || (s[0] == 0xd8 && s[1] == 0x9c);
    }
    if (len == 3) {
        return (s[0] == 0xe2 && s[1] == 0x80
                && ((s[2] >= 0x8b && s[2] <= 0x8f) || (s[2] >= 0xa8 && s[2] <= 0xae)))
               || (s[0] == 0xe2 && s[1] == 0x81 && s[2] >= 0xa0 && s[2] <= 0xaf)
               || (s[0] == 0xef && s[1] == 0xbb && s[2] == 0xbf);
    }
    return len == 4 && s[0] == 0xf3 && s[1] == 0xa0;
}

char *mcp_clean_text(apr_pool_t *p, const char *text, apr_size_t max)
{
    char *out = apr_palloc(p, max + 1), *o = out;
    const unsigned char *s = (const unsigned char *)text;
    int blank = 1; /* leading blanks go */

    while (*s) {
        apr_size_t len = utf8_len(*s);

        if (strnlen((const char *)s, len) < len) {
            break;
        }
        if (*s <= ' ' || *s == 0x7f) {
            if (!blank && (apr_size_t)(o - out) < max) {
                *o++ = ' ';
            }
            blank = 1;
        }
        else if (!is_trick(s, len)) {
            if ((apr_size_t)(o - out) + len > max) {
                break;
            }
            memcpy(o, s, len);
            o += len;
            blank = 0;
        }
        s += len;
    }
    while (o > out && o[-1] == ' ') {
        o--;
    }
    *o = '\0';
    return out;
}

char *mcp_client_seal(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_client_t *client)
{
    json_t *json = mcp_json_own(p, json_object());
    json_t *uris = json_array();
    char *id;

    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "n", client->name);
    mcp_put(json, "u", client->uri);
    for (int i = 0; i < client->redirect_uris->nelts; i++) {
        json_array_append_new(uris,
                              json_string(APR_ARRAY_IDX(client->redirect_uris, i, const char *)));
    }
    json_object_set_new(json, "r", uris);
    json_object_set_new(json, "t", json_integer(apr_time_sec(apr_time_now())));
    id = mcp_seal_json(p, conf->ring, MCP_PURPOSE_CLIENT, json, 0);
    return strlen(id) <= MCP_CLIENT_ID_MAX ? id : NULL;
}

static int is_blocked(const mcp_oauth_conf_t *conf, const char *key)
{
    for (int i = 0; conf->blocked && i < conf->blocked->nelts; i++) {
        if (!strcmp(APR_ARRAY_IDX(conf->blocked, i, const char *), key)) {
            return 1;
        }
    }
    return 0;
}

static const mcp_client_t *find_configured(const mcp_clients_conf_t *conf, const char *client_id)
{
    for (int i = 0; conf->configured && i < conf->configured->nelts; i++) {
        const mcp_client_t *client = APR_ARRAY_IDX(conf->configured, i, mcp_client_t *);

        if (!strcmp(client->id, client_id)) {
            return client;
        }
    }
    return NULL;
}

static int open_sealed(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *client_id,
                       mcp_client_t *client, mcp_result_t *res)
{
    const char *tag, *name;
    json_t *json, *uris;

    if (strlen(client_id) > MCP_CLIENT_ID_MAX
        || mcp_unseal_json(p, conf->ring, MCP_PURPOSE_CLIENT, client_id, apr_time_now(), &json)
               != APR_SUCCESS
        || !(tag = mcp_json_str(json, "i")) || strcmp(tag, conf->issuer_tag)) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client",
                        "the client is not registered here; it has to register again",
                        apr_psprintf(p, "client_id %s does not open", mcp_mask(p, client_id)));
    }
    name = mcp_json_str(json, "n");
    client->name = name ? name : "";
    client->uri = mcp_json_str(json, "u");
    client->auth_method = "none";
    uris = json_object_get(json, "r");
    client->redirect_uris = apr_array_make(p, (int)json_array_size(uris) + 1, sizeof(const char *));
    for (size_t i = 0; i < json_array_size(uris); i++) {
        APR_ARRAY_PUSH(client->redirect_uris, const char *) =
            json_string_value(json_array_get(uris, i));
    }
    return OK;
}

int mcp_client_open(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *client_id,
                    mcp_client_t *client, mcp_result_t *res)
{
    const mcp_client_t *configured;
    const char *key;
    int rc = OK;

    memset(client, 0, sizeof(*client));
    if (!client_id || !*client_id) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client", "client_id is missing", NULL);
    }
    /* Before anything is fetched for it. */
    key = mcp_client_key(p, client_id);
    if (is_blocked(conf, key)) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, "invalid_client", "the client is blocked",
                        apr_psprintf(p, "client=%s is blocked by MCPOAuthBlockClient", key));
    }
    configured = find_configured(conf->clients, client_id);
    if (configured) {
        *client = *configured;
    }
    else if (!strncmp(client_id, "https:", 6)) {
        rc = mcp_client_from_metadata(p, conf, client_id, client, res);
    }
    else {
        rc = open_sealed(p, conf, client_id, client, res);
    }
    client->id = client_id;
    client->key = key;
    return rc;
}

/* https redirect URIs may be confined to hosts that the administrator lists. */
static int host_admitted(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *uri)
{
    mcp_url_t url;

    return !conf->clients->redirect_hosts || mcp_url_parse(p, uri, &url) != APR_SUCCESS
           || strcmp(url.scheme, "https")
           || mcp_host_listed(conf->clients->redirect_hosts, url.host);
}

const char *mcp_redirect_admitted(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *uri)
{
    const char *why = mcp_redirect_check(p, uri, conf->schemes);

    return why                           ? why
           : host_admitted(p, conf, uri) ? NULL
                                         : "redirect URIs of that host are not admitted here";
}

int mcp_client_redirect_ok(apr_pool_t *p, const mcp_oauth_conf_t *conf, const mcp_client_t *client,
                           const char *uri)
{
    /* Checked at registration; checked again because the administrator may have narrowed the
     * schemes since. */
    if (client->source != MCP_CLIENT_CONFIGURED && mcp_redirect_admitted(p, conf, uri)) {
        return 0;
    }
    for (int i = 0; i < client->redirect_uris->nelts; i++) {
        if (mcp_redirect_match(p, APR_ARRAY_IDX(client->redirect_uris, i, const char *), uri)) {
            return 1;
        }
    }
    return 0;
}
