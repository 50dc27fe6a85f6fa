/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP calls to a provider by libcurl: one easy handle a call, kept with its connection for the next one. */

#include "upstream_impl.h"

#include <curl/curl.h>

#include <apr_strings.h>
#include <apr_thread_mutex.h>

#include "mcp_address.h"
#include "mcp_health.h"
#include "mcp_metrics.h"
#include "mcp_span.h"
#include "mcp_url.h"

#define HEADERS_MAX 65536 /* bytes of all header lines of an answer, interim answers included */

/* Idle handles. The last one in is the first one out, so that few connections stay warm. */
static struct {
    apr_thread_mutex_t *lock;
    CURL **idle;
    int count;
    int max;
} handles;

typedef struct {
    apr_pool_t *pool;
    char *body;
    apr_size_t len;
    apr_size_t room;
    apr_size_t max;
    apr_size_t headers;
    const char *cache_control; /* of the last answer */
    int too_large;
    int forbidden; /* the name leads to an address that a stranger must not send us to */
} receiver_t;

static apr_status_t global_cleanup(void *dummy)
{
    curl_global_cleanup();
    return APR_SUCCESS;
}

apr_status_t mcp_fetch_global_init(apr_pool_t *pconf)
{
    /* Not safe beside other threads, hence here: the parent has none. */
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        return APR_EGENERAL;
    }
    apr_pool_cleanup_register(pconf, NULL, global_cleanup, apr_pool_cleanup_null);
    return APR_SUCCESS;
}

apr_status_t mcp_fetch_child_init(apr_pool_t *p, int idle)
{
    handles.idle = apr_pcalloc(p, sizeof(CURL *) * (apr_size_t)idle);
    handles.max = idle;
    handles.count = 0;
    return apr_thread_mutex_create(&handles.lock, APR_THREAD_MUTEX_DEFAULT, p);
}

static CURL *take_handle(void)
{
    CURL *curl = NULL;

    apr_thread_mutex_lock(handles.lock);
    if (handles.count) {
        curl = handles.idle[--handles.count];
    }
    apr_thread_mutex_unlock(handles.lock);
    return curl ? curl : curl_easy_init();
}

static void give_handle(CURL *curl)
{
    curl_easy_reset(curl); /* keeps connections, TLS sessions and addresses; forgets everything of this call */
    apr_thread_mutex_lock(handles.lock);
    if (handles.count < handles.max) {
        handles.idle[handles.count++] = curl;
        curl = NULL;
    }
    apr_thread_mutex_unlock(handles.lock);
    if (curl) {
        curl_easy_cleanup(curl);
    }
}

static size_t on_body(char *data, size_t size, size_t count, void *baton)
{
    receiver_t *in = baton;
    apr_size_t len = size * count;

    if (len > in->max - in->len) {
        in->too_large = 1;
        return 0;
    }
    if (in->len + len + 1 > in->room) {
        apr_size_t room = (in->len + len + 1) * 2;
        char *larger = apr_palloc(in->pool, room);

        memcpy(larger, in->body, in->len);
        in->body = larger;
        in->room = room;
    }
    memcpy(in->body + in->len, data, len);
    in->len += len;
    in->body[in->len] = '\0';
    return len;
}

static size_t on_header(char *data, size_t size, size_t count, void *baton)
{
    receiver_t *in = baton;

    static const char cache_control[] = "Cache-Control:";
    apr_size_t len = size * count, name = sizeof(cache_control) - 1;

    in->headers += len;
    if (in->headers > HEADERS_MAX) {
        in->too_large = 1;
        return 0;
    }
    if (len > name && !strncasecmp(data, cache_control, name)) {
        in->cache_control = apr_pstrmemdup(in->pool, data + name, len - name);
    }
    return len;
}

static void set_protocols(CURL *curl, const char *url)
{
    int plain = !strncmp(url, "http:", 5); /* was checked to be on loopback: mcp_upstream_url_ok() */

#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, plain ? "http" : "https");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, plain ? CURLPROTO_HTTP : CURLPROTO_HTTPS);
#endif
}

static void set_trust(CURL *curl, const mcp_fetch_t *ask)
{
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (!ask->ca_pem) {
        return;
    }
#if LIBCURL_VERSION_NUM >= 0x074d00
    {
        /* Read by the parent: the child's user need not be able to. */
        struct curl_blob blob = { (void *)ask->ca_pem, strlen(ask->ca_pem), CURL_BLOB_NOCOPY };

        curl_easy_setopt(curl, CURLOPT_CAINFO_BLOB, &blob);
    }
#else
    curl_easy_setopt(curl, CURLOPT_CAINFO, ask->ca_file);
#endif
    curl_easy_setopt(curl, CURLOPT_CAPATH, NULL); /* this CA, and none of the system's */
}

/*
 * The address that is checked is the one that is connected to, whatever the name resolves to at another time, and TLS
 * still asks for the name (AS-25).
 */
static curl_socket_t open_public_socket(void *baton, curlsocktype purpose, struct curl_sockaddr *address)
{
    receiver_t *in = baton;

    if (!mcp_address_is_public(&address->addr)) {
        in->forbidden = 1;
        return CURL_SOCKET_BAD;
    }
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

static void set_reach(CURL *curl, const mcp_fetch_t *ask, receiver_t *in)
{
    /* Neither http_proxy nor its kin. A proxy that is configured resolves names itself, and has to know what it lets
     * through. */
    curl_easy_setopt(curl, CURLOPT_PROXY, ask->proxy ? ask->proxy : "");
    curl_easy_setopt(curl, CURLOPT_NOPROXY, ""); /* nor no_proxy: what is configured holds for every host */
    if (ask->strangers) {
        /* Never over a connection that was made for somebody who may go where strangers must not. */
        curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
        curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
        if (!ask->proxy) {
            curl_easy_setopt(curl, CURLOPT_OPENSOCKETFUNCTION, open_public_socket);
            curl_easy_setopt(curl, CURLOPT_OPENSOCKETDATA, in);
        }
    }
}

/* The client's certificate and key, from memory: the child's user need not be able to read their files (RFC 8705). */
static void set_client_certificate(CURL *curl, const mcp_fetch_t *ask)
{
    struct curl_blob cert = { (void *)ask->client_cert, 0, CURL_BLOB_NOCOPY };
    struct curl_blob key = { (void *)ask->client_key, 0, CURL_BLOB_NOCOPY };

    if (!ask->client_cert || !ask->client_key) {
        return;
    }
    cert.len = strlen(ask->client_cert);
    key.len = strlen(ask->client_key);
    curl_easy_setopt(curl, CURLOPT_SSLCERT_BLOB, &cert);
    curl_easy_setopt(curl, CURLOPT_SSLKEY_BLOB, &key);
    /* Never over a connection that was made without it, or with another one: libcurl before 7.83.1 did not look at the
     * key (CVE-2022-27782). */
    curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
    curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
}

/* The list with one line more; the whole list is freed when that fails. */
static struct curl_slist *with(struct curl_slist *list, const char *line)
{
    struct curl_slist *more = curl_slist_append(list, line);

    if (!more) {
        curl_slist_free_all(list);
    }
    return more;
}

static struct curl_slist *set_headers(apr_pool_t *p, CURL *curl, const mcp_fetch_t *ask)
{
    struct curl_slist *list = with(
        NULL, apr_pstrcat(p, "Accept: ", ask->accept ? ask->accept : "application/json", NULL));

    list = list ? with(list, "Expect:") : NULL; /* curl is not to wait for a 100 Continue */
    if (list && ask->authorization) {
        list = with(list, apr_pstrcat(p, "Authorization: ", ask->authorization, NULL));
    }
    if (list && ask->header) {
        list = with(list, ask->header);
    }
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    return list;
}

static void set_options(CURL *curl, const mcp_fetch_t *ask, receiver_t *in)
{
    long timeout = (long)apr_time_as_msec(ask->timeout);

    curl_easy_setopt(curl, CURLOPT_URL, ask->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout < 5000 ? timeout : 5000L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(curl, CURLOPT_ACCEPT_ENCODING, NULL); /* no decompression, no bombs (T37) */
    curl_easy_setopt(curl, CURLOPT_MAXCONNECTS, 4L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mod_mcp");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, in);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, in);
    set_protocols(curl, ask->url);
    set_trust(curl, ask);
    set_client_certificate(curl, ask);
    set_reach(curl, ask, in);
    if (ask->form) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(ask->form));
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->form);
    }
}

static int failed(apr_pool_t *p, const mcp_fetch_t *ask, const receiver_t *in, CURLcode code, const char *detail,
                  mcp_result_t *res)
{
    const char *log;

    if (in->too_large) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                        apr_psprintf(p, "%s: the answer is larger than %" APR_SIZE_T_FMT " bytes", ask->url,
                                     in->headers > HEADERS_MAX ? (apr_size_t)HEADERS_MAX : in->max));
    }
    if (in->forbidden) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the address is not a public one",
                        apr_psprintf(p, "%s: leads to an address that is not public", ask->url));
    }
    log = apr_psprintf(p, "%s: %s%s%s", ask->url, curl_easy_strerror(code), *detail ? ": " : "", detail);
    if (code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CACERT_BADFILE) {
        return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider cannot be trusted",
                        apr_pstrcat(p, log, " (a private CA is named by MCPProviderCAFile)", NULL));
    }
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                    "the identity provider cannot be reached", log);
}

int mcp_fetch(apr_pool_t *p, const mcp_fetch_t *ask, mcp_fetched_t *got, mcp_result_t *res)
{
    char empty[1] = "";
    receiver_t in = { .pool = p, .body = empty, .max = ask->max };
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers;
    CURL *curl = take_handle();
    CURLcode code;
    apr_time_t begin;
    long status = 0;

    headers = curl ? set_headers(p, curl, ask) : NULL;
    if (!headers) {
        if (curl) {
            give_handle(curl);
        }
        return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                        "the identity provider cannot be reached", "no memory for another connection");
    }
    set_options(curl, ask, &in);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    begin = apr_time_now();
    code = curl_easy_perform(curl);
    mcp_metric_time(MCP_TIME_PROVIDER, apr_time_now() - begin);
    if (mcp_span_is_on()) {
        mcp_span_part(p, "provider", begin, code != CURLE_OK);
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
    if (code == CURLE_OK) {
        const char *type = NULL;

        curl_easy_getinfo(curl, CURLINFO_CONTENT_TYPE, &type);
        got->content_type = type ? apr_pstrdup(p, type) : NULL;
        got->cache_control = in.cache_control;
    }
    if (ask->provider) {
        mcp_health_note(mcp_health_of_provider(ask->provider), code == CURLE_OK && status < 500);
    }
    give_handle(curl);
    curl_slist_free_all(headers);
    if (code != CURLE_OK) {
        return failed(p, ask, &in, code, detail, res);
    }
    got->status = (int)status;
    got->body = in.len ? in.body : "";
    got->len = in.len;
    return OK;
}
