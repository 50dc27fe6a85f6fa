/* SPDX-License-Identifier: Apache-2.0 */
/* One HTTP exchange by libcurl. */

#include <string.h>

#include <apr_strings.h>
#include <curl/curl.h>

#include "http.h"
#include "mcpctl.h"

typedef struct {
    apr_pool_t *pool;
    mcpctl_answer_t *answer;
    char *text;
    apr_size_t room;
} receiver_t;

static size_t take_body(char *data, size_t size, size_t n, void *baton)
{
    receiver_t *in = baton;
    apr_size_t len = in->answer->len;

    n *= size;
    if (n > MCPCTL_BODY_MAX - len) {
        return 0; /* ends the transfer with an error */
    }
    if (len + n + 1 > in->room) {
        char *more;

        in->room = 2 * (len + n + 1);
        more = apr_palloc(in->pool, in->room);
        if (len) {
            memcpy(more, in->text, len);
        }
        in->text = more;
    }
    memcpy(in->text + len, data, n);
    in->text[len + n] = '\0';
    in->answer->len = len + n;
    return n;
}

static size_t take_header(char *data, size_t size, size_t n, void *baton)
{
    receiver_t *in = baton;
    char *line = apr_pstrmemdup(in->pool, data, size * n), *colon = strchr(line, ':');

    if (!strncmp(line, "HTTP/", 5)) {
        apr_table_clear(in->answer->headers); /* 100 Continue came before */
    }
    else if (colon) {
        *colon++ = '\0';
        colon += strspn(colon, " \t");
        colon[strcspn(colon, "\r\n")] = '\0';
        apr_table_mergen(in->answer->headers, line, colon);
    }
    return size * n;
}

static void set_way(CURL *curl, const mcpctl_way_t *way)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, way->timeout ? way->timeout : 15L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 10L);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "mcpctl");
    curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    if (way->ca_file) {
        curl_easy_setopt(curl, CURLOPT_CAINFO, way->ca_file);
    }
    if (way->unix_socket) {
        curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, way->unix_socket);
    }
    if (way->cert) {
        curl_easy_setopt(curl, CURLOPT_SSLCERT, way->cert);
    }
    if (way->key) {
        curl_easy_setopt(curl, CURLOPT_SSLKEY, way->key);
    }
    if (way->netrc) {
        curl_easy_setopt(curl, CURLOPT_NETRC, (long)CURL_NETRC_OPTIONAL);
        curl_easy_setopt(curl, CURLOPT_HTTPAUTH, (long)CURLAUTH_ANY);
    }
}

const char *mcpctl_http(apr_pool_t *p, const mcpctl_way_t *way, const mcpctl_ask_t *ask, mcpctl_answer_t *answer)
{
    static int ready;
    receiver_t in = { .pool = p, .answer = answer };
    char detail[CURL_ERROR_SIZE] = "";
    struct curl_slist *headers = NULL;
    CURLcode code;
    CURL *curl;

    if (!ready) { /* no threads here */
        curl_global_init(CURL_GLOBAL_DEFAULT);
        ready = 1;
    }
    memset(answer, 0, sizeof(*answer));
    answer->headers = apr_table_make(p, 16);
    answer->body = "";
    curl = curl_easy_init();
    if (!curl) {
        return answer->error = "no memory";
    }
    set_way(curl, way);
    for (int i = 0; ask->headers && ask->headers[i]; i++) {
        headers = curl_slist_append(headers, ask->headers[i]);
    }
    curl_easy_setopt(curl, CURLOPT_URL, ask->url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &in);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, &in);
    if (ask->body) {
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, ask->body);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)strlen(ask->body));
    }
    if (ask->method) {
        curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, ask->method);
    }
    code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        answer->error = apr_pstrdup(p, *detail ? detail : curl_easy_strerror(code));
    }
    else {
        long version = 0;

        curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
        curl_easy_getinfo(curl, CURLINFO_HTTP_VERSION, &version);
        curl_easy_getinfo(curl, CURLINFO_STARTTRANSFER_TIME, &answer->first_byte);
        answer->version = version == CURL_HTTP_VERSION_2_0 ? 20 : 11;
        if (in.text) {
            answer->body = in.text;
        }
    }
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    return answer->error;
}

int mcpctl_way_option(mcpctl_way_t *way, int argc, const char *const *argv)
{
    const mcpctl_option_t options[] = {
        { "--cacert", &way->ca_file },
        { "--unix-socket", &way->unix_socket },
        { "--cert", &way->cert },
        { "--key", &way->key },
    };

    if (!strcmp(argv[0], "--netrc")) {
        way->netrc = 1;
        return 1;
    }
    return mcpctl_take_option(options, sizeof(options) / sizeof(*options), argc, argv);
}
