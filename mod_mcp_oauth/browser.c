/* SPDX-License-Identifier: Apache-2.0 */
/* Cookies that tie a sign-in to one browser.
 *
 *   mcp-browser       a random name of the browser, set with the consent page. It grants nothing;
 *                     the consent form is sealed for it, so that no other one can send it (CP-7).
 *   mcp-tx-XXXXXXXX   the sealed transaction, set when the person has consented, immediately before
 *                     the redirect to the provider (CP-11, CP-12); X are the first characters
 *                     of its state, so that tabs do not overwrite each other (W6).
 */

#include "oauth.h"

#include <apr_lib.h>
#include <apr_strings.h>

#include "mcp_cookie.h"
#include "mcp_json.h"
#include "mcp_seal.h"
#include "mcp_util.h"

#define BROWSER_COOKIE "mcp-browser"
#define TX_PREFIX "mcp-tx-"
#define TX_NAME_LEN 8
#define HOST_PREFIX "__Host-"
#define BROWSER_LEN 22

/* Room for transaction cookies in the Cookie header, and for all cookies that come with them: httpd
 * refuses requests with a longer line than 8190 bytes, and a person who leaves tabs behind must not
 * lock herself out. */
#define TX_TOTAL_MAX 4600
#define COOKIES_MAX 8000

static const char *cookie_header(request_rec *r)
{
    return apr_table_get(r->headers_in, "Cookie");
}

static int is_random_name(const char *text, apr_size_t len)
{
    return strlen(text) == len && strspn(text, MCP_B64URL_CHARS) == len;
}

int mcp_browser_set_cookie(request_rec *r, const mcp_oauth_conf_t *conf, const char *name,
                           const char *value, int max_age)
{
    const char *cookie = mcp_cookie_set(r->pool, name, value, max_age, conf->secure);

    if (!cookie) {
        return 0;
    }
    apr_table_addn(r->err_headers_out, "Set-Cookie", cookie);
    return 1;
}

const char *mcp_browser_get(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *header = cookie_header(r);
    const char *name =
        header ? mcp_cookie_get(r->pool, header, BROWSER_COOKIE, conf->secure) : NULL;

    return name && is_random_name(name, BROWSER_LEN) ? name : NULL;
}

const char *mcp_browser_ensure(request_rec *r, const mcp_oauth_conf_t *conf)
{
    const char *name = mcp_browser_get(r, conf);

    if (!name) {
        name = mcp_random_b64url(r->pool, 16);
        mcp_browser_set_cookie(r, conf, BROWSER_COOKIE, name, -1);
    }
    return name;
}

const char *mcp_browser_tag(apr_pool_t *p, const char *browser)
{
    return apr_pstrmemdup(p, mcp_sha256_b64url(p, browser), 22);
}

static const char *tx_name(apr_pool_t *p, const char *state)
{
    return apr_pstrcat(p, TX_PREFIX, apr_pstrmemdup(p, state, TX_NAME_LEN), NULL);
}

typedef struct {
    const char *name; /* without the __Host- prefix */
    apr_size_t size;  /* in the Cookie header */
    json_int_t exp;   /* 0 for one that does not open or has expired */
} tx_cookie_t;

/* All transaction cookies that the browser sent. */
static apr_array_header_t *tx_cookies(request_rec *r, const mcp_oauth_conf_t *conf)
{
    apr_array_header_t *found = apr_array_make(r->pool, 4, sizeof(tx_cookie_t));
    const char *header = cookie_header(r);
    char *pair, *last = NULL;

    for (pair = header ? apr_strtok(apr_pstrdup(r->pool, header), ";", &last) : NULL; pair;
         pair = apr_strtok(NULL, ";", &last)) {
        char *value = strchr(pair, '=');
        tx_cookie_t *cookie;
        json_t *json;

        while (apr_isspace(*pair)) {
            pair++;
        }
        if (conf->secure && !strncmp(pair, HOST_PREFIX, strlen(HOST_PREFIX))) {
            pair += strlen(HOST_PREFIX);
        }
        else if (conf->secure) {
            continue;
        }
        if (!value || value <= pair || strncmp(pair, TX_PREFIX, strlen(TX_PREFIX))) {
            continue;
        }
        *value++ = '\0';
        if (!is_random_name(pair + strlen(TX_PREFIX), TX_NAME_LEN)) {
            continue;
        }
        cookie = apr_array_push(found);
        cookie->name = pair;
        cookie->size = strlen(HOST_PREFIX) + strlen(pair) + strlen(value) + 3;
        cookie->exp = mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_TRANSACTION, value,
                                      apr_time_now(), &json)
                              == APR_SUCCESS
                          ? mcp_json_int(json, "exp", 0)
                          : 0;
    }
    return found;
}

static void tx_make_room(request_rec *r, const mcp_oauth_conf_t *conf, apr_size_t size)
{
    apr_array_header_t *cookies = tx_cookies(r, conf);
    apr_size_t total = size, others = cookie_header(r) ? strlen(cookie_header(r)) : 0, room;

    for (int i = 0; i < cookies->nelts; i++) {
        apr_size_t one = APR_ARRAY_IDX(cookies, i, tx_cookie_t).size;

        total += one;
        others -= one < others ? one : others;
    }
    room = others < COOKIES_MAX - TX_TOTAL_MAX ? TX_TOTAL_MAX
           : others < COOKIES_MAX              ? COOKIES_MAX - others
                                               : 0;
    while (cookies->nelts) {
        int oldest = 0;
        tx_cookie_t *drop;

        for (int i = 1; i < cookies->nelts; i++) {
            if (APR_ARRAY_IDX(cookies, i, tx_cookie_t).exp
                < APR_ARRAY_IDX(cookies, oldest, tx_cookie_t).exp) {
                oldest = i;
            }
        }
        drop = &APR_ARRAY_IDX(cookies, oldest, tx_cookie_t);
        if (drop->exp && total <= room) {
            break;
        }
        mcp_browser_set_cookie(r, conf, drop->name, "", 0);
        total -= drop->size;
        *drop = *(tx_cookie_t *)apr_array_pop(cookies);
    }
}

int mcp_tx_set(request_rec *r, const mcp_oauth_conf_t *conf, const char *state, const char *sealed)
{
    tx_make_room(r, conf, strlen(sealed) + 32);
    return mcp_browser_set_cookie(r, conf, tx_name(r->pool, state), sealed, (int)apr_time_sec(MCP_TX_LIFETIME));
}

const char *mcp_tx_get(request_rec *r, const mcp_oauth_conf_t *conf, const char *state)
{
    const char *header = cookie_header(r);

    if (!header || !is_random_name(state, MCP_TX_STATE_LEN)) {
        return NULL;
    }
    return mcp_cookie_get(r->pool, header, tx_name(r->pool, state), conf->secure);
}

void mcp_tx_clear(request_rec *r, const mcp_oauth_conf_t *conf, const char *state)
{
    mcp_browser_set_cookie(r, conf, tx_name(r->pool, state), "", 0);
}
