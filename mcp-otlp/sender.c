/* SPDX-License-Identifier: Apache-2.0 */
/* OTLP/HTTP by libcurl: one request at a time, sent again while the collector is away (OTLP, "Failures"). The
 * administrator is told once when that begins, and once when it is over. */

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include <apr_strings.h>
#include <jansson.h>

#include "mcp_json.h"
#include "mcp_util.h"
#include "otlp.h"

#define PAUSE_MIN apr_time_from_sec(1)
#define PAUSE_MAX apr_time_from_sec(30)
#define PAUSE_ASKED_MAX apr_time_from_sec(300) /* Retry-After */
#define PAUSE_HURRY apr_time_from_msec(200)
#define GIVE_UP apr_time_from_sec(300) /* a request that nobody takes must not keep all others */
#define FILE_MAX_BYTES 65536
#define ANSWER_MAX 16384
#define TOLD_MAX 200

typedef enum { STATE_GOOD,
               STATE_AWAY,
               STATE_REFUSING } state_e;

struct otlp_sender_t {
    const char *endpoint;
    CURLM *multi;
    CURL *curl;
    struct curl_slist *headers;
    apr_pool_t *pool; /* of one answer */
    char *body;       /* NULL: nothing is being sent */
    apr_size_t spans; /* in it */
    apr_time_t first_try, next_try;
    unsigned int tries;
    int flying;
    int asked; /* the answer had Retry-After */
    int hurry;
    state_e state;
    apr_size_t lost; /* spans, since that was told last */
    char answer[ANSWER_MAX + 1];
    apr_size_t answer_len;
    char detail[CURL_ERROR_SIZE];
};

/* ---- set-up ---- */

/* A file that nobody else may read. */
static const char *read_private(apr_pool_t *p, const char *path, char **text, apr_size_t *len)
{
    struct stat info;

    if (stat(path, &info) == 0 && (info.st_mode & 07)) {
        return apr_psprintf(p, "%s can be read by everybody: chmod o= it", path);
    }
    return mcp_read_file(p, path, FILE_MAX_BYTES, text, len);
}

/* `Name: value` lines; blank ones, and those that begin with #, are nothing. */
static const char *add_headers(apr_pool_t *p, otlp_sender_t *s, const char *path)
{
    char *text = NULL, *line, *state = NULL;
    const char *err = read_private(p, path, &text, NULL);

    for (line = err ? NULL : apr_strtok(text, "\r\n", &state); line; line = apr_strtok(NULL, "\r\n", &state)) {
        const char *colon = strchr(line, ':');

        if (*line == '#' || !line[strspn(line, " \t")]) {
            continue;
        }
        if (!colon || colon == line || strcspn(line, " \t") < (size_t)(colon - line) || !mcp_is_header_safe(line)) {
            return apr_pstrcat(p, path, " has a line that is not `Name: value`", NULL);
        }
        s->headers = curl_slist_append(s->headers, line);
    }
    return err;
}

/* By value, so that the files need not be readable for the user that we become. */
static const char *add_certificate(apr_pool_t *p, otlp_sender_t *s, const char *cert, const char *key)
{
    struct curl_blob blob = { .flags = CURL_BLOB_COPY };
    char *text = NULL;
    apr_size_t len = 0;
    const char *err = mcp_read_file(p, cert, FILE_MAX_BYTES, &text, &len);

    if (!err) {
        blob.data = text;
        blob.len = len;
        curl_easy_setopt(s->curl, CURLOPT_SSLCERT_BLOB, &blob);
        err = read_private(p, key, &text, &len);
    }
    if (!err) {
        blob.data = text;
        blob.len = len;
        curl_easy_setopt(s->curl, CURLOPT_SSLKEY_BLOB, &blob);
    }
    return err;
}

static size_t take_answer(char *data, size_t size, size_t n, void *baton)
{
    otlp_sender_t *s = baton;
    size_t room = ANSWER_MAX - s->answer_len;

    n *= size;
    memcpy(s->answer + s->answer_len, data, n < room ? n : room);
    s->answer_len += n < room ? n : room;
    s->answer[s->answer_len] = '\0';
    return n; /* the rest is thrown away */
}

/* libcurl knows both forms of Retry-After, but not whether it is of this answer. */
static size_t take_header(char *data, size_t size, size_t n, void *baton)
{
    static const char name[] = "retry-after:";
    otlp_sender_t *s = baton;

    if (size * n > sizeof(name) && !strncasecmp(data, name, sizeof(name) - 1)) {
        s->asked = 1;
    }
    return size * n;
}

otlp_sender_t *otlp_sender_make(apr_pool_t *p, const otlp_way_t *way, const char **err)
{
    otlp_sender_t *s = apr_pcalloc(p, sizeof(*s));

    *err = NULL;
    s->endpoint = way->endpoint;
    apr_pool_create(&s->pool, p);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || !(s->multi = curl_multi_init())
        || !(s->curl = curl_easy_init())) {
        *err = "libcurl cannot be initialized";
        return NULL;
    }
    s->headers = curl_slist_append(NULL, "Content-Type: application/json");
    s->headers = curl_slist_append(s->headers, "Expect:");
    if (way->header_file) {
        *err = add_headers(p, s, way->header_file);
    }
    if (!*err && way->cert_file) {
        *err = add_certificate(p, s, way->cert_file, way->key_file ? way->key_file : way->cert_file);
    }
    if (*err) {
        return NULL;
    }
    curl_easy_setopt(s->curl, CURLOPT_URL, way->endpoint);
    curl_easy_setopt(s->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(s->curl, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(s->curl, CURLOPT_TIMEOUT_MS, way->timeout);
    curl_easy_setopt(s->curl, CURLOPT_CONNECTTIMEOUT_MS, way->timeout < 5000 ? way->timeout : 5000L);
    curl_easy_setopt(s->curl, CURLOPT_USERAGENT, "mcp-otlp/" MCP_OTLP_VERSION);
    curl_easy_setopt(s->curl, CURLOPT_HTTPHEADER, s->headers);
    curl_easy_setopt(s->curl, CURLOPT_ERRORBUFFER, s->detail);
    curl_easy_setopt(s->curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(s->curl, CURLOPT_WRITEDATA, s);
    curl_easy_setopt(s->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(s->curl, CURLOPT_HEADERDATA, s);
    if (way->ca_file) {
        curl_easy_setopt(s->curl, CURLOPT_CAINFO, way->ca_file);
    }
    return s;
}

/* ---- what became of a request ---- */

static void forget(otlp_sender_t *s)
{
    free(s->body);
    s->body = NULL;
    s->tries = 0;
}

static void enter(otlp_sender_t *s, state_e state, const char *why)
{
    if (s->state == state) {
        return;
    }
    s->state = state;
    if (state == STATE_AWAY) {
        otlp_log("warn", "%s does not take spans: %s; trying again", s->endpoint, why);
    }
    else if (state == STATE_REFUSING) {
        otlp_log("error", "%s refuses spans, which are lost: %s", s->endpoint, why);
    }
    else {
        otlp_log("notice", "%s takes spans again; %" APR_SIZE_T_FMT " were lost", s->endpoint, s->lost);
        s->lost = 0;
    }
}

static void lose(otlp_sender_t *s, apr_size_t spans)
{
    s->lost += spans;
    forget(s);
}

static apr_time_t pause_of(otlp_sender_t *s)
{
    apr_interval_time_t pause = PAUSE_MIN << (s->tries < 5 ? s->tries : 5);
    curl_off_t asked = 0;
    apr_uint32_t random;

    if (s->hurry) {
        return PAUSE_HURRY;
    }
    if (s->asked) {
        curl_easy_getinfo(s->curl, CURLINFO_RETRY_AFTER, &asked);
    }
    if (asked > 0) {
        return asked < apr_time_sec(PAUSE_ASKED_MAX) ? apr_time_from_sec(asked) : PAUSE_ASKED_MAX;
    }
    mcp_random(&random, sizeof(random));
    pause = pause < PAUSE_MAX ? pause : PAUSE_MAX;
    return pause / 2 + pause / 2 * (random % 1000) / 1000;
}

static void try_again(otlp_sender_t *s, const char *why)
{
    apr_time_t now = apr_time_now();

    if (now - s->first_try >= GIVE_UP) {
        enter(s, STATE_AWAY, why);
        lose(s, s->spans);
        return;
    }
    s->next_try = now + pause_of(s);
    s->tries++;
    enter(s, STATE_AWAY, why);
}

/* The collector took what it wanted, and may say that this was not all (OTLP, "Partial Success"). */
static void taken(otlp_sender_t *s)
{
    json_t *answer = mcp_json_parse(s->pool, s->answer, s->answer_len, ANSWER_MAX);
    json_t *partial = json_object_get(answer, "partialSuccess");
    json_int_t rejected = mcp_json_int(partial, "rejectedSpans", 0);

    if (rejected > 0) {
        const char *why = mcp_json_str(partial, "errorMessage");

        enter(s, STATE_REFUSING, mcp_log_text(s->pool, why ? why : "no reason given"));
        lose(s, (apr_size_t)rejected < s->spans ? (apr_size_t)rejected : s->spans);
        return;
    }
    enter(s, STATE_GOOD, NULL);
    forget(s);
}

static void finish(otlp_sender_t *s, CURLcode code)
{
    long status = 0;
    const char *why;

    curl_easy_getinfo(s->curl, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(s->multi, s->curl);
    s->flying = 0;
    if (code != CURLE_OK) {
        try_again(s, mcp_log_text(s->pool, *s->detail ? s->detail : curl_easy_strerror(code)));
        return;
    }
    if (status >= 200 && status < 300) {
        taken(s);
        return;
    }
    why = apr_psprintf(s->pool, "status %ld%s%s", status, s->answer_len ? ": " : "",
                       mcp_log_text(s->pool, apr_pstrndup(s->pool, s->answer, TOLD_MAX)));
    if (status == 429 || status == 502 || status == 503 || status == 504) {
        try_again(s, why);
        return;
    }
    enter(s, STATE_REFUSING, why);
    lose(s, s->spans);
}

/* ---- sending ---- */

int otlp_sender_is_busy(const otlp_sender_t *s)
{
    return s->body != NULL;
}

void otlp_sender_send(otlp_sender_t *s, char *body, apr_size_t len, apr_size_t spans)
{
    s->body = body;
    s->spans = spans;
    s->first_try = s->next_try = apr_time_now();
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(s->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
}

static void start(otlp_sender_t *s)
{
    s->asked = 0;
    s->answer_len = 0;
    s->answer[0] = '\0';
    s->detail[0] = '\0';
    apr_pool_clear(s->pool);
    s->flying = curl_multi_add_handle(s->multi, s->curl) == CURLM_OK;
}

int otlp_sender_run(otlp_sender_t *s, int in, int wait)
{
    struct curl_waitfd extra = { .fd = in, .events = CURL_WAIT_POLLIN };
    apr_time_t now = apr_time_now();
    int running = 0, left = 0;
    CURLMsg *message;

    if (s->body && !s->flying) {
        if (now >= s->next_try) {
            start(s);
        }
        else if (apr_time_as_msec(s->next_try - now) < wait) {
            wait = (int)apr_time_as_msec(s->next_try - now) + 1;
        }
    }
    curl_multi_perform(s->multi, &running);
    while ((message = curl_multi_info_read(s->multi, &left))) {
        if (message->msg == CURLMSG_DONE) {
            finish(s, message->data.result);
            wait = 0; /* there may be more to send */
        }
    }
    curl_multi_poll(s->multi, &extra, in >= 0, wait, NULL);
    return in >= 0 && extra.revents;
}

void otlp_sender_hurry(otlp_sender_t *s)
{
    if (!s->hurry && s->body && !s->flying) {
        s->next_try = apr_time_now();
    }
    s->hurry = 1;
}

void otlp_sender_close(otlp_sender_t *s, apr_size_t unsent)
{
    apr_size_t lost = s->lost + unsent + (s->body ? s->spans : 0);

    if (s->flying) {
        curl_multi_remove_handle(s->multi, s->curl);
    }
    forget(s);
    if (lost) {
        otlp_log("error", "ending; %" APR_SIZE_T_FMT " spans were lost", lost);
    }
    curl_easy_cleanup(s->curl);
    curl_multi_cleanup(s->multi);
    curl_slist_free_all(s->headers);
    curl_global_cleanup();
}
