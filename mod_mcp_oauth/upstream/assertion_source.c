/* SPDX-License-Identifier: Apache-2.0 */
/* Client assertions that somebody else makes (RFC 7523 section 2.2), so that the gateway has no
 * secret at all: Azure's managed identities, a token file that the platform renews, a command.
 * Never logged, kept in the memory of the child until shortly before they expire; a file is read
 * anew each time.
 *
 *   managed-identity  a virtual machine's metadata service, or App Service's, Functions' and
 *                     Container Apps' endpoint, of which IDENTITY_ENDPOINT and IDENTITY_HEADER
 *                     tell (E5)
 *   workload-identity the file that AZURE_FEDERATED_TOKEN_FILE names (Kubernetes)
 *   file:, exec:      any other
 */

#include "upstream_impl.h"

#include <stdlib.h>

#include <apr_file_io.h>
#include <apr_strings.h>
#include <apr_thread_cond.h>
#include <apr_thread_mutex.h>

#include "mcp_command.h"
#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define ASSERTION_MAX 16384
#define ANSWER_MAX 65536
#define AHEAD \
    apr_time_from_sec(300) /* a new one is asked for this long before the old one expires, */
#define AT_LEAST \
    apr_time_from_sec(30)                  /* which serves until then; less of each where its life is short */
#define UNKNOWN_LIFE apr_time_from_sec(60) /* of one that does not tell when it expires */
#define AGAIN apr_time_from_sec(1)         /* a failure is remembered for this long */
#define AGAIN_AHEAD apr_time_from_sec(30)  /* and this long while the old one serves */
#define BACK_OFF apr_time_from_msec(200)   /* first pause between attempts, then doubled */
#define IMDS "http://169.254.169.254/metadata/identity/oauth2/token"
#define EXCHANGE "api://AzureADTokenExchange"

typedef enum { FROM_MANAGED_IDENTITY,
               FROM_WORKLOAD_IDENTITY,
               FROM_FILE,
               FROM_COMMAND } kind_e;

struct mcp_assertion_source_t {
    kind_e kind;
    const char *what;     /* path or command */
    const char *endpoint; /* of the metadata service, where the configuration names it */
    apr_table_t *params;  /* of the request there */
    const char *url;      /* all of it, after prepare */
    const char *header;   /* and the header that it wants */

    /* of this child */
    apr_thread_mutex_t *lock;
    apr_thread_cond_t *done;
    int busy; /* one thread is fetching */
    char text[ASSERTION_MAX + 1];
    apr_time_t fresh_until;
    apr_time_t usable_until; /* 0: there is none */
    apr_time_t not_before;   /* no other attempt before, after a failure */
    int status;              /* of the last attempt */
    char log[300];
};

/* ---- configuration ---- */

static const char *parse_identity(apr_pool_t *p, int argc, char *const argv[],
                                  mcp_assertion_source_t *source)
{
    static const char *const names[] = { "client_id", "object_id", "mi_res_id", "resource",
                                         "endpoint" };
    int identities = 0;

    source->params = apr_table_make(p, 4);
    apr_table_setn(source->params, "resource", EXCHANGE);
    for (int i = 1; i < argc; i++) {
        const char *value = strchr(argv[i], '=');
        apr_size_t known = 0, len = value ? (apr_size_t)(value - argv[i]) : 0;

        while (known < 5
               && (!len || strlen(names[known]) != len || strncmp(names[known], argv[i], len))) {
            known++;
        }
        if (known == 5 || !value[1] || strlen(value) > 512 || !mcp_is_header_safe(value)) {
            return apr_psprintf(
                p,
                "MCPProviderAssertion managed-identity takes client_id=, object_id= or mi_res_id=, "
                "resource= and endpoint=, not \"%s\"",
                argv[i]);
        }
        if (known == 4) {
            source->endpoint = value + 1;
            if (!mcp_upstream_url_ok(p, source->endpoint, 1)) {
                return "MCPProviderAssertion: endpoint= takes an https URL (http only on loopback)";
            }
            continue;
        }
        identities += known < 3;
        apr_table_setn(source->params, names[known], value + 1);
    }
    return identities > 1
               ? "MCPProviderAssertion: one of client_id=, object_id= and mi_res_id= names the identity"
               : NULL;
}

const char *mcp_assertion_source_parse(apr_pool_t *p, int argc, char *const argv[],
                                       mcp_assertion_source_t **out)
{
    mcp_assertion_source_t *source = apr_pcalloc(p, sizeof(*source));

    *out = source;
    if (argc >= 1 && !strcmp(argv[0], "managed-identity")) {
        source->kind = FROM_MANAGED_IDENTITY;
        return parse_identity(p, argc, argv, source);
    }
    if (argc == 1 && !strcmp(argv[0], "workload-identity")) {
        source->kind = FROM_WORKLOAD_IDENTITY;
        return NULL;
    }
    if (argc == 1 && !strncmp(argv[0], "file:/", 6)) {
        source->kind = FROM_FILE;
        source->what = argv[0] + 5;
        return NULL;
    }
    if (argc == 1 && !strncmp(argv[0], "exec:", 5) && argv[0][5]) {
        source->kind = FROM_COMMAND;
        source->what = argv[0] + 5;
        return NULL;
    }
    return "MCPProviderAssertion takes managed-identity with its options, workload-identity, file:/path or "
           "\"exec:command\"";
}

const char *mcp_assertion_source_prepare(apr_pool_t *p, mcp_assertion_source_t *source)
{
    const char *endpoint = getenv("IDENTITY_ENDPOINT"), *header = getenv("IDENTITY_HEADER");

    if (source->kind == FROM_WORKLOAD_IDENTITY) {
        source->what = apr_pstrdup(p, getenv("AZURE_FEDERATED_TOKEN_FILE"));
        return source->what && *source->what == '/'
                   ? NULL
                   : "MCPProviderAssertion workload-identity: the environment variable AZURE_FEDERATED_TOKEN_FILE "
                     "does not name a file";
    }
    if (source->kind != FROM_MANAGED_IDENTITY) {
        return NULL;
    }
    if (source->endpoint || !endpoint || !*endpoint) {
        apr_table_setn(source->params, "api-version", "2018-02-01");
        source->url =
            mcp_url_add_params(p, source->endpoint ? source->endpoint : IMDS, source->params);
        source->header = "Metadata: true";
        return NULL;
    }
    if (!header || !*header || !mcp_is_header_safe(header) || !mcp_is_header_safe(endpoint)
        || (strncmp(endpoint, "http://", 7) && strncmp(endpoint, "https://", 8))) {
        return "MCPProviderAssertion managed-identity: IDENTITY_ENDPOINT is set, but IDENTITY_HEADER is not as on App "
               "Service; name the endpoint by endpoint= if it is another one";
    }
    apr_table_setn(source->params, "api-version", "2019-08-01");
    source->url = mcp_url_add_params(p, endpoint, source->params);
    source->header = apr_pstrcat(p, "X-IDENTITY-HEADER: ", header, NULL);
    return NULL;
}

apr_status_t mcp_assertion_source_start(mcp_assertion_source_t *source, apr_pool_t *p)
{
    apr_status_t rv = apr_thread_mutex_create(&source->lock, APR_THREAD_MUTEX_DEFAULT, p);

    return rv == APR_SUCCESS ? apr_thread_cond_create(&source->done, p) : rv;
}

/* ---- sources ---- */

static int unusable(mcp_result_t *res, const char *log)
{
    return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the gateway cannot prove who it is",
                    log);
}

static int later(mcp_result_t *res, const char *log)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                    "the gateway cannot prove who it is", log);
}

/* Cut blanks off the end, and see that it has the form of a JWT: it goes into a form as it is. */
static int take(mcp_result_t *res, char *text, const char *where, apr_pool_t *p)
{
    static const char jwt[] = MCP_B64URL_CHARS ".";
    apr_size_t len = strlen(text);

    while (len && strchr(" \r\n\t", text[len - 1])) {
        text[--len] = '\0';
    }
    if (!len || strspn(text, jwt) != len) {
        return unusable(res, apr_psprintf(p, "the assertion from %s is not a JWT", where));
    }
    return OK;
}

static int from_file(apr_pool_t *p, const char *path, char *text, mcp_result_t *res)
{
    char reason[120];
    apr_file_t *file;
    apr_finfo_t info;
    apr_size_t len = 0;
    apr_status_t rv = apr_stat(&info, path, APR_FINFO_TYPE,
                               p); /* first: opening a pipe would wait for its writer */

    if (rv == APR_SUCCESS && info.filetype != APR_REG) {
        return unusable(res,
                        apr_psprintf(p, "MCPProviderAssertion: %s is not a regular file", path));
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_open(&file, path, APR_FOPEN_READ | APR_FOPEN_BINARY, APR_FPROT_OS_DEFAULT, p);
    }
    if (rv == APR_SUCCESS) {
        rv = apr_file_read_full(file, text, ASSERTION_MAX, &len);
        apr_file_close(file);
        rv = APR_STATUS_IS_EOF(rv) ? APR_SUCCESS : rv;
    }
    if (rv != APR_SUCCESS) {
        return later(res, apr_psprintf(p, "MCPProviderAssertion: cannot read %s: %s", path,
                                       apr_strerror(rv, reason, sizeof(reason))));
    }
    text[len] = '\0';
    if (len == ASSERTION_MAX || memchr(text, '\0', len)) {
        return unusable(res,
                        apr_psprintf(p, "MCPProviderAssertion: %s is too large, or no text", path));
    }
    return take(res, text, path, p);
}

/* When a JWT expires, as it says itself; nobody relies on it but we, for keeping it. 0 when it does
 * not tell. */
static apr_time_t expiry_of(apr_pool_t *p, const char *jwt)
{
    const char *payload = strchr(jwt, '.'), *end = payload ? strchr(payload + 1, '.') : NULL;
    unsigned char *text;
    apr_size_t len;
    json_t *json;
    json_int_t exp;

    if (!end
        || mcp_b64url_decode(p, payload + 1, (apr_size_t)(end - payload - 1), &text, &len)
               != APR_SUCCESS
        || !(json = mcp_json_parse(p, (const char *)text, len, len))) {
        return 0;
    }
    exp = mcp_json_int(json, "exp", 0);
    return exp > 0 && exp < 253402300799 ? apr_time_from_sec(exp) : 0;
}

static int from_command(apr_pool_t *p, const mcp_assertion_source_t *source,
                        apr_interval_time_t timeout, char *text, apr_time_t *expires,
                        mcp_result_t *res)
{
    const char *why = mcp_command_read(source->what, text, ASSERTION_MAX, timeout);
    int rc;

    if (why) {
        return later(res, apr_psprintf(p, "MCPProviderAssertion: exec:%s: the command %s",
                                       source->what, why));
    }
    rc = take(res, text, "exec:", p);
    *expires = rc == OK ? expiry_of(p, text) : 0;
    return rc;
}

/* ---- managed identities ---- */

/* The metadata service asks for another attempt with these: 404 and 410 while it is being updated,
 * 429, 5xx. */
static int is_passing(int status)
{
    return status == HTTP_NOT_FOUND || status == HTTP_GONE || status == HTTP_TOO_MANY_REQUESTS
           || status >= 500;
}

static const char *complaint(apr_pool_t *p, const mcp_assertion_source_t *source,
                             const mcp_fetched_t *got)
{
    const json_t *json = mcp_json_parse(p, got->body, got->len, ANSWER_MAX);
    const char *error = json ? mcp_json_str(json, "error") : NULL;
    const char *text = json ? mcp_json_str(json, "error_description") : NULL;

    if (json && !text) { /* App Service */
        text = mcp_json_str(json, "message");
    }
    return apr_psprintf(p, "%s answered %d %s %s", source->url, got->status,
                        error ? mcp_log_text(p, error) : "", text ? mcp_log_text(p, text) : "");
}

/* expires_on and expires_in, numbers or numbers as strings (E5). */
static apr_time_t answer_expiry(const json_t *json)
{
    apr_time_t now = apr_time_now();
    json_int_t on = mcp_json_int(json, "expires_on", 0), in = mcp_json_int(json, "expires_in", 0);

    if (on > apr_time_sec(now) && on < 253402300799) {
        return apr_time_from_sec(on);
    }
    return in > 0 && in < 10 * 366 * 86400 ? now + apr_time_from_sec(in) : 0;
}

static int read_identity(apr_pool_t *p, const mcp_assertion_source_t *source,
                         const mcp_fetched_t *got, char *text, apr_time_t *expires,
                         mcp_result_t *res)
{
    const json_t *json = mcp_json_parse(p, got->body, got->len, ANSWER_MAX);
    const char *token = json ? mcp_json_str(json, "access_token") : NULL;

    if (!token || strlen(token) > ASSERTION_MAX) {
        return unusable(res,
                        apr_psprintf(p, "%s: the answer has no usable access_token", source->url));
    }
    apr_cpystrn(text, token, ASSERTION_MAX + 1);
    *expires = answer_expiry(json);
    return take(res, text, source->url, p);
}

static int from_identity(apr_pool_t *p, const mcp_assertion_source_t *source,
                         apr_interval_time_t timeout, char *text, apr_time_t *expires,
                         mcp_result_t *res)
{
    apr_time_t deadline = apr_time_now() + timeout;
    apr_interval_time_t pause = BACK_OFF;
    int rc;

    for (;;) {
        mcp_fetch_t ask = { .url = source->url, .header = source->header, .max = ANSWER_MAX };
        mcp_fetched_t got = { 0 };
        apr_time_t now = apr_time_now();
        unsigned char jitter;

        ask.timeout =
            now + BACK_OFF < deadline ? deadline - now : BACK_OFF; /* 0 would be no limit */
        memset(res, 0, sizeof(*res));
        rc = mcp_fetch(p, &ask, &got, res);
        if (rc == OK && got.status == HTTP_OK) {
            return read_identity(p, source, &got, text, expires, res);
        }
        if (rc == OK) {
            rc = is_passing(got.status) ? later(res, complaint(p, source, &got))
                                        : unusable(res, complaint(p, source, &got));
        }
        mcp_random(&jitter, 1);
        pause += jitter * 400; /* up to a tenth of a second */
        if (rc != HTTP_SERVICE_UNAVAILABLE || apr_time_now() + pause + BACK_OFF >= deadline) {
            return rc;
        }
        apr_sleep(pause);
        pause *= 2;
    }
}

/* ---- one thread for all ---- */

/* The caller's turn; the lock is held before and after, but not during the call. */
static void renew(apr_pool_t *p, mcp_assertion_source_t *source, apr_interval_time_t timeout)
{
    char *text = apr_palloc(p, ASSERTION_MAX + 1);
    mcp_result_t res = { 0 };
    apr_time_t expires = 0, now;
    int rc;

    source->busy = 1;
    apr_thread_mutex_unlock(source->lock);
    rc = source->kind == FROM_COMMAND ? from_command(p, source, timeout, text, &expires, &res)
                                      : from_identity(p, source, timeout, text, &expires, &res);
    apr_thread_mutex_lock(source->lock);
    source->busy = 0;
    now = apr_time_now();
    expires = expires ? expires : now + UNKNOWN_LIFE;
    if (rc == OK && expires <= now) {
        rc = unusable(
            &res, "MCPProviderAssertion: the assertion has expired already; is the clock right?");
    }
    if (rc == OK) {
        apr_interval_time_t life = expires - now;

        apr_cpystrn(source->text, text, sizeof(source->text));
        source->fresh_until = expires - (life / 2 < AHEAD ? life / 2 : AHEAD);
        source->usable_until = expires - (life / 4 < AT_LEAST ? life / 4 : AT_LEAST);
        source->not_before = 0;
    }
    else {
        apr_cpystrn(source->log, res.log ? res.log : "", sizeof(source->log));
        source->not_before = now + (now + AGAIN_AHEAD < source->usable_until ? AGAIN_AHEAD : AGAIN);
    }
    source->status = rc;
    apr_thread_cond_broadcast(source->done);
}

int mcp_assertion_get(apr_pool_t *p, mcp_assertion_source_t *source, apr_interval_time_t timeout,
                      const char **text, mcp_result_t *res)
{
    apr_time_t deadline = apr_time_now() + timeout;
    char *found = apr_palloc(p, ASSERTION_MAX + 1);
    int rc = OK, tried = 0;

    *text = NULL;
    if (source->kind == FROM_FILE || source->kind == FROM_WORKLOAD_IDENTITY) {
        rc = from_file(p, source->what, found, res);
        *text = found;
        return rc;
    }
    apr_thread_mutex_lock(source->lock);
    while (!*text && rc == OK) {
        apr_time_t now = apr_time_now();

        if (now < source->usable_until
            && (tried || source->busy || now < source->not_before || now < source->fresh_until)) {
            apr_cpystrn(found, source->text, ASSERTION_MAX + 1);
            *text = found;
        }
        else if (source->busy && now < deadline) {
            apr_thread_cond_timedwait(source->done, source->lock, deadline - now);
        }
        else if (source->busy || tried || now < source->not_before) {
            rc = source->status == HTTP_BAD_GATEWAY ? unusable(res, apr_pstrdup(p, source->log))
                                                    : later(res, apr_pstrdup(p, source->log));
        }
        else {
            renew(p, source, timeout);
            tried = 1;
        }
    }
    apr_thread_mutex_unlock(source->lock);
    return rc;
}
