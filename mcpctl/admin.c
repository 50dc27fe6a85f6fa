/* SPDX-License-Identifier: Apache-2.0 */
/* Commands that talk to the administration location of a running gateway. */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <jansson.h>

#include "http.h"
#include "mcp_json.h"
#include "mcpctl.h"

#define JSON_MAX (4 * 1024 * 1024)

typedef struct {
    const mcpctl_t *ctl;
    mcpctl_way_t way;
    const char *url; /* of the location, without a slash at the end */
    const char *person, *client, *grant, *before;
} admin_t;

static const char *trim_slash(apr_pool_t *p, const char *url)
{
    size_t len = strlen(url);

    while (len && url[len - 1] == '/') {
        len--;
    }
    return apr_pstrmemdup(p, url, len);
}

/* The options that all of these commands have. 1, or 0 with the reason told. */
static int read_options(admin_t *admin, const char *command, int argc, const char *const *argv)
{
    const mcpctl_option_t options[] = {
        { "--url", &admin->url },
        { "--person", &admin->person },
        { "--client", &admin->client },
        { "--grant", &admin->grant },
        { "--before", &admin->before },
    };
    int n;

    admin->url = getenv("MCPCTL_URL");
    for (; argc; argc -= n, argv += n) {
        n = mcpctl_way_option(&admin->way, argc, argv);
        n = n ? n : mcpctl_take_option(options, sizeof(options) / sizeof(*options), argc, argv);
        if (!n) {
            mcpctl_complain("%s does not know %s, or it lacks a value", command, *argv);
            return 0;
        }
    }
    if (admin->person && !strchr(admin->person, '|')) {
        mcpctl_complain("--person %s: a person is PROVIDER|ID, as `person` in the audit log, and not a user name", admin->person);
        return 0;
    }
    if (!admin->url) {
        mcpctl_complain("%s needs --url URL (or MCPCTL_URL): the location with `SetHandler mcp-admin`", command);
        return 0;
    }
    admin->url = trim_slash(admin->ctl->pool, admin->url);
    return 1;
}

/* The answer's object, or NULL with the reason told. */
static json_t *talk(const admin_t *admin, const char *path, const json_t *body)
{
    static const char *const headers[] = { "Content-Type: application/json", "Accept: application/json", NULL };
    apr_pool_t *p = admin->ctl->pool;
    mcpctl_ask_t ask = { .headers = headers };
    mcpctl_answer_t answer;
    const char *why;
    json_t *json;

    ask.url = apr_pstrcat(p, admin->url, "/", path, NULL);
    ask.body = body ? mcp_json_text(p, body) : NULL;
    if (mcpctl_http(p, &admin->way, &ask, &answer)) {
        mcpctl_complain("%s: %s", ask.url, answer.error);
        return NULL;
    }
    json = mcp_json_parse(p, answer.body, answer.len, JSON_MAX);
    if (answer.status == 200 && json) {
        return json;
    }
    why = json ? mcp_json_str(json, "error_description") : NULL;
    mcpctl_complain("%s: %ld %s", ask.url, answer.status,
                    why                                            ? why
                    : answer.status == 401 || answer.status == 403 ? "you may not; see --netrc, --cert, --unix-socket"
                                                                   : "is this the location with `SetHandler mcp-admin`? Where the virtual "
                                                                     "host has a ProxyPass /, write `ProxyPass !` into it");
    return NULL;
}

/* As JSON if that is wanted: 1. */
static int print_json(const admin_t *admin, const json_t *json)
{
    if (admin->ctl->json) {
        puts(mcp_json_text(admin->ctl->pool, json));
    }
    return admin->ctl->json;
}

/* Text of strangers for a terminal: no control characters, ASCII. */
static const char *plain(apr_pool_t *p, const json_t *json, const char *name)
{
    const char *text = json_string_value(json_object_get(json, name));
    char *copy = apr_pstrdup(p, text ? text : "-");

    for (char *c = copy; *c; c++) {
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f) {
            *c = '?';
        }
    }
    return copy;
}

static const char *date(apr_pool_t *p, const json_t *json, const char *name)
{
    apr_time_t t = apr_time_from_sec(mcp_json_int(json, name, 0));
    char *text;

    if (!t) {
        return "-";
    }
    text = apr_palloc(p, APR_RFC822_DATE_LEN);
    apr_rfc822_date(text, t);
    return text;
}

/* Seconds since 1970 or YYYY-MM-DD[THH:MM[:SS]]Z; 0: neither. */
static apr_time_t parse_time(const char *text)
{
    struct tm tm = { 0 };
    const char *end;
    char *rest;
    long long seconds = strtoll(text, &rest, 10);

    if (!*rest && seconds > 0) {
        return apr_time_from_sec(seconds);
    }
    end = strptime(text, "%Y-%m-%d", &tm);
    if (end && *end == 'T') {
        const char *time = end + 1;

        end = strptime(time, "%H:%M:%S", &tm);
        end = end ? end : strptime(time, "%H:%M", &tm);
    }
    return end && (!*end || !strcmp(end, "Z")) ? apr_time_from_sec(timegm(&tm)) : 0;
}

int mcpctl_status(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    admin_t admin = { .ctl = ctl };
    const json_t *json, *audit;
    int up;

    if (!read_options(&admin, "status", argc, argv) || !(json = talk(&admin, "status", NULL))) {
        return MCPCTL_USAGE;
    }
    audit = json_object_get(json, "audit");
    up = !strcmp(plain(ctl->pool, json, "store"), "up")
         && (!audit || !strcmp(plain(ctl->pool, audit, "state"), "up"));
    if (!print_json(&admin, json)) {
        printf("issuer %s\nkey    %s\nstore  %s\n", plain(ctl->pool, json, "issuer"), plain(ctl->pool, json, "key"),
               plain(ctl->pool, json, "store"));
        if (audit) {
            printf("audit  %s, %" JSON_INTEGER_FORMAT " lines, %" JSON_INTEGER_FORMAT " lost\n",
                   plain(ctl->pool, audit, "state"), mcp_json_int(audit, "written", 0), mcp_json_int(audit, "lost", 0));
        }
    }
    return up ? MCPCTL_OK : MCPCTL_FOUND;
}

static void print_session(const admin_t *admin, const json_t *one)
{
    apr_pool_t *p = admin->ctl->pool;

    printf("grant %s\n  client   %s \"%s\"\n  resource %s\n  scope    %s\n  given    %s\n  used     %s\n  ends     %s\n",
           plain(p, one, "grant"), plain(p, one, "client"), plain(p, one, "client_name"), plain(p, one, "resource"),
           plain(p, one, "scope"), date(p, one, "issued"), date(p, one, "used"), date(p, one, "expires"));
}

int mcpctl_sessions(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    admin_t admin = { .ctl = ctl };
    const json_t *json, *list;
    const char *query;
    size_t i;
    json_t *one;

    if (!read_options(&admin, "sessions", argc, argv)) {
        return MCPCTL_USAGE;
    }
    if (!admin.person == !admin.grant) {
        return mcpctl_complain("sessions takes --person SUBJECT [--client KEY], or --grant ID");
    }
    query = admin.grant ? apr_pstrcat(ctl->pool, "sessions?grant=", apr_pescape_urlencoded(ctl->pool, admin.grant), NULL)
                        : apr_pstrcat(ctl->pool, "sessions?person=", apr_pescape_urlencoded(ctl->pool, admin.person),
                                      admin.client ? "&client=" : "",
                                      admin.client ? apr_pescape_urlencoded(ctl->pool, admin.client) : "", NULL);
    json = talk(&admin, query, NULL);
    if (!json) {
        return MCPCTL_USAGE;
    }
    if (print_json(&admin, json)) {
        return MCPCTL_OK;
    }
    if (admin.grant) {
        print_session(&admin, json);
        printf("  person   %s\n  %s\n", plain(ctl->pool, json, "person"),
               json_is_true(json_object_get(json, "revoked")) ? "revoked" : "lives");
        return MCPCTL_OK;
    }
    list = json_object_get(json, "sessions");
    json_array_foreach (list, i, one) {
        print_session(&admin, one);
    }
    printf("%zu sessions; the store knows of this person since %s\n", json_array_size(list),
           date(ctl->pool, json, "known_since"));
    if (json_object_get(json, "incomplete_since")) {
        puts("the list is not complete: older ones had to give way, and come back when they are refreshed");
    }
    return MCPCTL_OK;
}

int mcpctl_revoke(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    admin_t admin = { .ctl = ctl };
    json_t *body = mcp_json_own(ctl->pool, json_object());
    const json_t *json;

    if (!read_options(&admin, "revoke", argc, argv)) {
        return MCPCTL_USAGE;
    }
    if (!admin.person && !admin.client && !admin.grant) {
        return mcpctl_complain("revoke takes --grant ID, or --person SUBJECT and/or --client KEY, and --before TIME");
    }
    if (admin.before) {
        apr_time_t before = parse_time(admin.before);

        if (!before) {
            return mcpctl_complain("--before takes a time such as 2026-11-27T09:30Z (UTC), or seconds since 1970");
        }
        json_object_set_new(body, "before", json_integer(apr_time_sec(before)));
    }
    json_object_set_new(body, "person", admin.person ? json_string(admin.person) : NULL);
    json_object_set_new(body, "client", admin.client ? json_string(admin.client) : NULL);
    json_object_set_new(body, "grant", admin.grant ? json_string(admin.grant) : NULL);
    json = talk(&admin, "revoke", body);
    if (!json) {
        return MCPCTL_USAGE;
    }
    if (!print_json(&admin, json)) {
        if (admin.client && !admin.person) {
            puts("what this client was given is not honoured any more, on all hosts");
        }
        else {
            printf("%" JSON_INTEGER_FORMAT " grants revoked; their calls and open streams end on all hosts\n",
                   mcp_json_int(json, "revoked", 0));
        }
    }
    return MCPCTL_OK;
}

int mcpctl_block_client(const mcpctl_t *ctl, int argc, const char *const *argv)
{
    admin_t admin = { .ctl = ctl };
    json_t *body = mcp_json_own(ctl->pool, json_object());
    const json_t *json;

    if (!read_options(&admin, "block-client", argc, argv)) {
        return MCPCTL_USAGE;
    }
    if (!admin.client) {
        return mcpctl_complain("block-client takes --client KEY, as the logs and `mcpctl sessions` name it");
    }
    json_object_set_new(body, "client", json_string(admin.client));
    json = talk(&admin, "block-client", body);
    if (!json) {
        return MCPCTL_USAGE;
    }
    if (!print_json(&admin, json)) {
        printf("blocked until %s; for longer, MCPOAuthBlockClient %s\n", date(ctl->pool, json, "blocked_until"),
               admin.client);
    }
    return MCPCTL_OK;
}
