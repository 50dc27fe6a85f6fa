/* SPDX-License-Identifier: Apache-2.0 */
/* doctor: does to a live gateway what MCP clients do until they are signed in, and says in plain words what would fail. */

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <apr_date.h>
#include <apr_strings.h>
#include <jansson.h>

#include "http.h"
#include "mcp_json.h"
#include "mcp_url.h"
#include "mcp_util.h"
#include "mcpctl.h"

#define JSON_MAX (1024 * 1024)
#define CLOCK_SKEW_MAX 60 /* seconds */

typedef enum { FINE,
               NOTE,
               BAD } mark_e;

typedef struct {
    const mcpctl_t *ctl;
    apr_pool_t *pool;
    mcpctl_way_t way;
    const char *url;   /* of the MCP server */
    const char *token; /* to call it with, NULL: none */
    int no_register;
    json_t *findings;
    int counts[BAD + 1];
    /* what was found on the way */
    const char *prm_url;
    const char *issuer;
    const char *authorize, *token_endpoint, *registration;
    const char *client_id;
} doctor_t;

/* What clients of the field send as redirect URI. */
static const struct {
    const char *client;
    const char *redirect_uri;
} clients[] = {
    { "Codex, OpenCode and the SDKs", "http://127.0.0.1:33418/callback" },
    { "Inspector, mcp-remote, Claude Code and Gemini CLI", "http://localhost:33418/oauth/callback" },
    { "VS Code", "http://127.0.0.1:33418/" },
    { "VS Code on the web", "https://vscode.dev/redirect" },
    { "Claude", "https://claude.ai/api/mcp/auth_callback" },
    { "Cursor", "cursor://anysphere.cursor-mcp/oauth/callback" },
};

/* Where Inspector's page comes from. */
#define BROWSER_ORIGIN "http://localhost:6274"

static void found(doctor_t *d, mark_e mark, const char *what, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void found(doctor_t *d, mark_e mark, const char *what, const char *format, ...)
{
    static const char *const marks[] = { "ok  ", "note", "FAIL" };
    static const char *const names[] = { "ok", "note", "fail" };
    va_list args;
    const char *text;

    va_start(args, format);
    text = apr_pvsprintf(d->pool, format, args);
    va_end(args);
    d->counts[mark]++;
    if (d->ctl->json) {
        json_array_append_new(d->findings, json_pack("{s:s, s:s, s:s}", "result", names[mark], "check", what, "text",
                                                     mcp_is_utf8(text) ? text : "(not UTF-8)"));
    }
    else {
        printf("%s  %s: %s\n", marks[mark], what, text);
    }
}

static int ask(doctor_t *d, const char *method, const char *url, const char *body, const char *const *headers,
               mcpctl_answer_t *answer)
{
    mcpctl_ask_t what = { .method = method, .url = url, .body = body, .headers = headers };

    return !mcpctl_http(d->pool, &d->way, &what, answer);
}

static const char *header(const mcpctl_answer_t *answer, const char *name)
{
    const char *value = apr_table_get(answer->headers, name);

    return value ? value : "";
}

static const json_t *json_of(doctor_t *d, const mcpctl_answer_t *answer)
{
    return strncmp(header(answer, "Content-Type"), "application/json", 16)
               ? NULL
               : mcp_json_parse(d->pool, answer->body, answer->len, JSON_MAX);
}

/* ---- the door ---- */

static const char initialize[] = "{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"initialize\",\"params\":{\"protocolVersion\":"
                                 "\"2025-06-18\",\"capabilities\":{},\"clientInfo\":{\"name\":\"mcpctl doctor\","
                                 "\"version\":\"1\"}}}";

/* A parameter of the challenge. */
static const char *challenge_param(apr_pool_t *p, const char *challenge, const char *name)
{
    const char *at = strstr(challenge, apr_pstrcat(p, name, "=\"", NULL)), *end;

    if (!at) {
        return NULL;
    }
    at += strlen(name) + 2;
    end = strchr(at, '"');
    return end ? apr_pstrmemdup(p, at, (apr_size_t)(end - at)) : NULL;
}

static void check_clock(doctor_t *d, const mcpctl_answer_t *answer)
{
    apr_time_t theirs = apr_date_parse_http(header(answer, "Date"));
    long skew = theirs ? (long)apr_time_sec(theirs - apr_time_now()) : 0;

    if (labs(skew) > CLOCK_SKEW_MAX) {
        found(d, BAD, "clock", "the server's clock is %ld s off this one: tokens will seem expired or not yet valid; "
                               "run a time service on both",
              skew);
    }
    else {
        found(d, FINE, "clock", "within %d s", CLOCK_SKEW_MAX);
    }
}

/* Without a token: 401 with a challenge. 0: nothing behind it can be looked at. */
static int check_door(doctor_t *d)
{
    static const char *const headers[] = { "Content-Type: application/json",
                                           "Accept: application/json, text/event-stream", NULL };
    const char *challenge;
    mcpctl_answer_t answer;

    if (!ask(d, NULL, d->url, initialize, headers, &answer)) {
        found(d, BAD, "connection", "%s; check name, address, firewall and the server's certificate", answer.error);
        return 0;
    }
    found(d, FINE, "connection", "answered by HTTP/%s", answer.version == 20 ? "2" : "1.1");
    check_clock(d, &answer);
    challenge = header(&answer, "WWW-Authenticate");
    if (answer.status >= 300 && answer.status < 400) {
        found(d, BAD, "challenge", "the server redirects to %s; clients do not follow: give them the final URL",
              header(&answer, "Location"));
        return 0;
    }
    if (answer.status != 401) {
        found(d, BAD, "challenge", "a call without a token got %ld instead of 401; is AuthType MCP set for this path?",
              answer.status);
        return answer.status == 200;
    }
    if (strncmp(challenge, "Bearer", 6)) {
        found(d, BAD, "challenge", "401 without a Bearer challenge: clients will not know how to sign in");
        return 1;
    }
    d->prm_url = challenge_param(d->pool, challenge, "resource_metadata");
    if (d->prm_url) {
        found(d, FINE, "challenge", "401 with resource_metadata");
    }
    else {
        found(d, NOTE, "challenge", "no resource_metadata: clients before 2025-11-25 have to guess its place");
    }
    return 1;
}

/* ---- metadata ---- */

/* The well-known URL with the path of @a url put behind it, or before it (@a appended). */
static const char *well_known(doctor_t *d, const char *url, const char *name, int appended, int at_root)
{
    const char *path;
    mcp_url_t parts;

    if (mcp_url_parse(d->pool, url, &parts) != APR_SUCCESS) {
        return NULL;
    }
    path = at_root || !strcmp(parts.path, "/") ? "" : parts.path;
    return appended ? apr_pstrcat(d->pool, mcp_url_origin(d->pool, &parts), path, "/.well-known/", name, NULL)
                    : apr_pstrcat(d->pool, mcp_url_origin(d->pool, &parts), "/.well-known/", name, path, NULL);
}

static void check_cors(doctor_t *d, const char *what, const mcpctl_answer_t *answer)
{
    const char *allowed = header(answer, "Access-Control-Allow-Origin");

    if (strcmp(allowed, "*") && strcmp(allowed, BROWSER_ORIGIN)) {
        found(d, NOTE, what, "not readable from a web page at %s (no Access-Control-Allow-Origin): Inspector in a "
                             "browser needs MCPAllowOrigin %s",
              BROWSER_ORIGIN, BROWSER_ORIGIN);
    }
}

static const json_t *get_json(doctor_t *d, const char *what, const char *url)
{
    static const char *const headers[] = { "Accept: application/json", "Origin: " BROWSER_ORIGIN, NULL };
    mcpctl_answer_t answer;
    const json_t *json;

    if (!url || !ask(d, NULL, url, NULL, headers, &answer)) {
        found(d, BAD, what, "%s: %s", url ? url : "no URL", url ? answer.error : "it cannot be built");
        return NULL;
    }
    if (answer.status != 200) {
        return NULL;
    }
    json = json_of(d, &answer);
    if (!json) {
        found(d, BAD, what, "%s answers %s where JSON is expected; does another location catch /.well-known/?", url,
              header(&answer, "Content-Type"));
        return NULL;
    }
    check_cors(d, what, &answer);
    return json;
}

static int check_resource(doctor_t *d)
{
    const char *inserted = well_known(d, d->url, "oauth-protected-resource", 0, 0);
    const char *root = well_known(d, d->url, "oauth-protected-resource", 0, 1);
    const json_t *json = NULL;
    const char *resource;

    if (d->prm_url) {
        json = get_json(d, "resource metadata", d->prm_url);
        if (!json) {
            found(d, BAD, "resource metadata", "the challenge names %s, which gives none", d->prm_url);
        }
    }
    if (inserted && (!d->prm_url || strcmp(inserted, d->prm_url))) {
        const json_t *other = get_json(d, "resource metadata", inserted);

        if (!other) {
            found(d, NOTE, "resource metadata", "nothing at %s, where clients look that ignore the challenge", inserted);
        }
        json = json ? json : other;
    }
    if (!json && root) {
        json = get_json(d, "resource metadata", root);
    }
    if (!json) {
        found(d, BAD, "resource metadata", "there is none: clients cannot find the authorization server");
        return 0;
    }
    resource = mcp_json_str(json, "resource");
    if (!resource || strncmp(d->url, resource, strlen(resource))) {
        found(d, BAD, "resource metadata",
              "its resource is %s, which is not what people enter (%s): clients refuse that. Name the URL that clients "
              "use in MCPResource",
              resource ? resource : "missing", d->url);
    }
    else {
        found(d, FINE, "resource metadata", "resource is %s", resource);
    }
    d->issuer = json_string_value(json_array_get(json_object_get(json, "authorization_servers"), 0));
    if (!d->issuer) {
        found(d, BAD, "resource metadata", "it names no authorization server");
        return 0;
    }
    return 1;
}

static void check_server_members(doctor_t *d, const json_t *json)
{
    const json_t *methods = json_object_get(json, "code_challenge_methods_supported");
    size_t i;
    json_t *one;
    int s256 = 0;

    json_array_foreach (methods, i, one) {
        s256 = s256 || (json_is_string(one) && !strcmp(json_string_value(one), "S256"));
    }
    if (!s256) {
        found(d, BAD, "server metadata", "S256 is not in code_challenge_methods_supported: clients refuse to go on");
    }
    d->authorize = mcp_json_str(json, "authorization_endpoint");
    d->token_endpoint = mcp_json_str(json, "token_endpoint");
    d->registration = mcp_json_str(json, "registration_endpoint");
    if (!d->authorize || !d->token_endpoint) {
        found(d, BAD, "server metadata", "authorization_endpoint or token_endpoint is missing");
    }
    if (!d->registration && !json_is_true(json_object_get(json, "client_id_metadata_document_supported"))) {
        found(d, NOTE, "server metadata", "clients can neither register themselves nor use metadata documents: each one "
                                          "has to be configured (MCPOAuthClient)");
    }
}

/* In the order in which the SDKs try, each of which stops at the first that answers. */
static int check_server(doctor_t *d)
{
    const struct {
        const char *who;
        const char *url;
    } places[] = {
        { "RFC 8414", well_known(d, d->issuer, "oauth-authorization-server", 0, 0) },
        { "OpenID, inserted", well_known(d, d->issuer, "openid-configuration", 0, 0) },
        { "OpenID, appended", well_known(d, d->issuer, "openid-configuration", 1, 0) },
    };
    const json_t *first = NULL;

    for (size_t i = 0; i < sizeof(places) / sizeof(*places); i++) {
        const json_t *json = get_json(d, "server metadata", places[i].url);
        const char *issuer;

        if (!json) {
            found(d, i ? NOTE : BAD, "server metadata", "nothing at %s (%s)", places[i].url ? places[i].url : "-",
                  places[i].who);
            continue;
        }
        issuer = mcp_json_str(json, "issuer");
        if (!issuer || strcmp(issuer, d->issuer)) {
            found(d, BAD, "server metadata",
                  "issuer at %s is \"%s\", but the resource names \"%s\": clients compare byte for byte; make "
                  "MCPIssuer the same everywhere, slash at the end included",
                  places[i].url, issuer ? issuer : "", d->issuer);
        }
        first = first ? first : json;
    }
    if (!first) {
        return 0;
    }
    found(d, FINE, "server metadata", "issuer is %s", d->issuer);
    check_server_members(d, first);
    return 1;
}

/* ---- endpoints ---- */

static void check_preflight(doctor_t *d, const char *what, const char *url)
{
    static const char *const headers[] = { "Origin: " BROWSER_ORIGIN, "Access-Control-Request-Method: POST",
                                           "Access-Control-Request-Headers: authorization,content-type,"
                                           "mcp-protocol-version",
                                           NULL };
    mcpctl_answer_t answer;

    if (!url) {
        return;
    }
    if (!ask(d, "OPTIONS", url, NULL, headers, &answer)) {
        found(d, BAD, what, "preflight: %s", answer.error);
        return;
    }
    if (answer.status >= 400 || !*header(&answer, "Access-Control-Allow-Origin")) {
        found(d, NOTE, what, "a web page at %s may not call it (preflight got %ld): Inspector in a browser needs "
                             "MCPAllowOrigin %s",
              BROWSER_ORIGIN, answer.status, BROWSER_ORIGIN);
    }
    else {
        found(d, FINE, what, "preflight of a browser client passes");
    }
}

static void check_registration(doctor_t *d)
{
    static const char *const headers[] = { "Content-Type: application/json", NULL };

    if (d->no_register || !d->registration) {
        return;
    }
    for (size_t i = 0; i < sizeof(clients) / sizeof(*clients); i++) {
        json_t *body = json_pack("{s:s, s:[s], s:s, s:[s,s], s:[s]}", "client_name", "mcpctl doctor", "redirect_uris",
                                 clients[i].redirect_uri, "token_endpoint_auth_method", "none", "grant_types",
                                 "authorization_code", "refresh_token", "response_types", "code");
        mcpctl_answer_t answer;
        const json_t *json;

        if (!ask(d, NULL, d->registration, mcp_json_text(d->pool, mcp_json_own(d->pool, body)), headers, &answer)) {
            found(d, BAD, "registration", "%s", answer.error);
            return;
        }
        json = json_of(d, &answer);
        if (answer.status == 201 && json && mcp_json_str(json, "client_id")) {
            found(d, FINE, "registration", "%s can register (%s)", clients[i].client, clients[i].redirect_uri);
            d->client_id = i ? d->client_id : mcp_json_str(json, "client_id");
        }
        else if (answer.status == 401 || answer.status == 403) {
            found(d, NOTE, "registration", "clients may not register themselves here (MCPOAuthRegistration)");
            return;
        }
        else {
            const char *why = json ? mcp_json_str(json, "error_description") : NULL;

            found(d, NOTE, "registration", "%s cannot register with %s: %ld %s; see MCPOAuthRedirectSchemes and "
                                           "MCPOAuthRedirectHosts",
                  clients[i].client, clients[i].redirect_uri, answer.status, why ? why : "");
        }
    }
}

/* A page for a person, not an answer to the client, and never a frame. */
static void check_consent(doctor_t *d)
{
    mcpctl_answer_t answer;
    const char *url;

    if (!d->client_id || !d->authorize) {
        return;
    }
    url = apr_pstrcat(d->pool, d->authorize, "?response_type=code&client_id=", d->client_id,
                      "&redirect_uri=http%3A%2F%2F127.0.0.1%3A33418%2Fcallback&code_challenge="
                      "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256&state=doctor",
                      NULL);
    if (!ask(d, NULL, url, NULL, NULL, &answer)) {
        found(d, BAD, "consent page", "%s", answer.error);
    }
    else if (answer.status == 200 && !strncmp(header(&answer, "Content-Type"), "text/html", 9)) {
        found(d, FINE, "consent page", "is shown");
        if (!strstr(header(&answer, "Content-Security-Policy"), "frame-ancestors 'none'")) {
            found(d, BAD, "consent page", "it can be framed: does something remove Content-Security-Policy?");
        }
    }
    else {
        found(d, BAD, "consent page", "got %ld %s instead of a page", answer.status, header(&answer, "Location"));
    }
}

static void check_token_endpoint(doctor_t *d)
{
    static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
    mcpctl_answer_t answer;

    if (!d->token_endpoint) {
        return;
    }
    if (!ask(d, NULL, d->token_endpoint, "grant_type=authorization_code&code=none&client_id=none", headers, &answer)) {
        found(d, BAD, "token endpoint", "%s", answer.error);
    }
    else if (answer.status >= 500 || !json_of(d, &answer)) {
        found(d, BAD, "token endpoint", "a bad request got %ld as %s instead of an error in JSON", answer.status,
              header(&answer, "Content-Type"));
    }
    else {
        found(d, FINE, "token endpoint", "refuses in JSON what it must");
    }
}

/* With a token: does the server answer, and does its event stream begin at once? */
static void check_call(doctor_t *d)
{
    const char *authorization = d->token ? apr_pstrcat(d->pool, "Authorization: Bearer ", d->token, NULL) : NULL;
    const char *const headers[] = { "Content-Type: application/json", "Accept: application/json, text/event-stream",
                                    authorization, NULL };
    mcpctl_answer_t answer;

    if (!authorization) {
        found(d, NOTE, "call", "not tried: give a token with --token-file");
        return;
    }
    if (!ask(d, NULL, d->url, initialize, headers, &answer)) {
        found(d, BAD, "call", "%s", answer.error);
    }
    else if (answer.status != 200) {
        found(d, BAD, "call", "initialize with the token got %ld; see the error log", answer.status);
    }
    else {
        found(d, FINE, "call", "initialize answered as %s after %.0f ms", header(&answer, "Content-Type"),
              1000 * answer.first_byte);
        if (*header(&answer, "Content-Encoding")) {
            found(d, BAD, "call", "the answer is compressed (%s): event streams will stall; exclude this location from "
                                  "DEFLATE and BROTLI",
                  header(&answer, "Content-Encoding"));
        }
    }
}

static const char *read_token(const mcpctl_t *ctl, const char *path)
{
    char line[4096];
    FILE *file = strcmp(path, "-") ? fopen(path, "re") : stdin;

    if (!file || !fgets(line, sizeof(line), file)) {
        if (file && file != stdin) {
            fclose(file);
        }
        return NULL;
    }
    if (file != stdin) {
        fclose(file);
    }
    line[strcspn(line, "\r\n")] = '\0';
    return apr_pstrdup(ctl->pool, line);
}

int mcpctl_doctor(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    doctor_t d = { .ctl = ctl, .pool = ctl->pool };
    mcp_url_t url;
    int n;

    for (; argc && !strncmp(*argv, "--", 2); argc -= n, argv += n) {
        n = mcpctl_way_option(&d.way, argc, argv);
        if (!n && !strcmp(*argv, "--no-register")) {
            d.no_register = n = 1;
        }
        else if (!n && !strcmp(*argv, "--token-file") && argc > 1) {
            n = 2;
            d.token = read_token(ctl, argv[1]);
            if (!d.token || !mcp_is_header_safe(d.token)) {
                return mcpctl_complain("%s: no token in it", argv[1]);
            }
        }
        if (!n) {
            return mcpctl_complain("doctor does not know %s", *argv);
        }
    }
    if (argc != 1 || mcp_url_parse(ctl->pool, argv[0], &url) != APR_SUCCESS) {
        return mcpctl_complain("doctor takes the URL that people give to their MCP client");
    }
    d.url = argv[0];
    d.findings = json_array();
    if (!strcmp(url.scheme, "http") && !mcp_url_is_loopback(&url)) {
        found(&d, BAD, "URL", "plain http: clients refuse it but for loopback; use https");
    }
    if (check_door(&d)) {
        check_preflight(&d, "MCP endpoint", d.url);
        if (check_resource(&d) && check_server(&d)) {
            check_preflight(&d, "token endpoint", d.token_endpoint);
            check_preflight(&d, "registration", d.registration);
            check_registration(&d);
            check_consent(&d);
            check_token_endpoint(&d);
        }
        check_call(&d);
    }
    if (ctl->json) {
        puts(mcp_json_text(d.pool, d.findings));
    }
    else {
        printf("%d fine, %d to note, %d failed\n", d.counts[FINE], d.counts[NOTE], d.counts[BAD]);
    }
    json_decref(d.findings);
    return d.counts[BAD] ? MCPCTL_FOUND : MCPCTL_OK;
}
