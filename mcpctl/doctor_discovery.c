/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's way to the authorization server: the challenge, and the metadata in every place where clients look. */

#include <stdlib.h>
#include <string.h>

#include <apr_date.h>
#include <apr_strings.h>

#include "doctor.h"
#include "mcp_json.h"
#include "mcp_url.h"

#define CLOCK_SKEW_MAX 60 /* seconds */

/* ---- the door ---- */

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
    apr_time_t theirs = apr_date_parse_http(doctor_header(answer, "Date"));
    long skew = theirs ? (long)apr_time_sec(theirs - apr_time_now()) : 0;

    if (labs(skew) > CLOCK_SKEW_MAX) {
        doctor_found(d, DOCTOR_BAD, "clock", "the server's clock is %ld s off this one: tokens will seem expired or not yet valid; "
                                             "run a time service on both",
                     skew);
    }
    else {
        doctor_found(d, DOCTOR_FINE, "clock", "within %d s", CLOCK_SKEW_MAX);
    }
}

int doctor_door(doctor_t *d)
{
    static const char *const headers[] = { "Content-Type: application/json",
                                           "Accept: application/json, text/event-stream", NULL };
    const char *challenge;
    mcpctl_answer_t answer;

    if (!doctor_ask(d, NULL, d->url, doctor_initialize, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, "connection", "%s; check name, address, firewall and the server's certificate", answer.error);
        return 0;
    }
    doctor_found(d, DOCTOR_FINE, "connection", "answered by HTTP/%s", answer.version == 20 ? "2" : "1.1");
    check_clock(d, &answer);
    challenge = doctor_header(&answer, "WWW-Authenticate");
    if (answer.status >= 300 && answer.status < 400) {
        doctor_found(d, DOCTOR_BAD, "challenge", "the server redirects to %s; clients do not follow: give them the final URL",
                     doctor_header(&answer, "Location"));
        return 0;
    }
    if (answer.status != 401) {
        doctor_found(d, DOCTOR_BAD, "challenge", "a call without a token got %ld instead of 401; are AuthType MCP and a Require set for "
                                                 "this path? The error log says more",
                     answer.status);
        return answer.status == 200;
    }
    if (strncmp(challenge, "Bearer", 6)) {
        doctor_found(d, DOCTOR_BAD, "challenge", "401 without a Bearer challenge: clients will not know how to sign in. It is not the "
                                                 "guard's: is AuthType MCP set for this path?");
        return 1;
    }
    d->prm_url = challenge_param(d->pool, challenge, "resource_metadata");
    if (d->prm_url) {
        doctor_found(d, DOCTOR_FINE, "challenge", "401 with resource_metadata");
    }
    else {
        doctor_found(d, DOCTOR_NOTE, "challenge", "no resource_metadata: clients before 2025-11-25 have to guess its place");
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
    const char *allowed = doctor_header(answer, "Access-Control-Allow-Origin");

    if (strcmp(allowed, "*") && strcmp(allowed, DOCTOR_BROWSER)) {
        doctor_found(d, DOCTOR_NOTE, what, "not readable from a web page at %s (no Access-Control-Allow-Origin): Inspector in a "
                                           "browser needs MCPAllowOrigin %s",
                     DOCTOR_BROWSER, DOCTOR_BROWSER);
    }
}

static const json_t *get_json(doctor_t *d, const char *what, const char *url)
{
    static const char *const headers[] = { "Accept: application/json", "Origin: " DOCTOR_BROWSER, NULL };
    mcpctl_answer_t answer;
    const json_t *json;

    if (!url || !doctor_ask(d, NULL, url, NULL, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, what, "%s: %s", url ? url : "no URL", url ? answer.error : "it cannot be built");
        return NULL;
    }
    if (answer.status == 401 || answer.status == 403) {
        doctor_found(d, DOCTOR_BAD, what,
                     "%s got %ld: something protects it, which everybody must reach. Exempt the gateway's own addresses: "
                     "AuthType None, Require all granted (docs/existing-host.md)",
                     url, answer.status);
    }
    if (answer.status != 200) {
        return NULL;
    }
    json = doctor_json(d, &answer);
    if (!json) {
        doctor_found(d, DOCTOR_BAD, what, "%s answers %s where JSON is expected; is MCPOAuth On missing in this virtual "
                                          "host, or does a proxy in front catch /.well-known/?",
                     url,
                     doctor_header(&answer, "Content-Type"));
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
            doctor_found(d, DOCTOR_BAD, "resource metadata", "the challenge names %s, which gives none", d->prm_url);
        }
    }
    if (inserted && (!d->prm_url || strcmp(inserted, d->prm_url))) {
        const json_t *other = get_json(d, "resource metadata", inserted);

        if (!other) {
            doctor_found(d, DOCTOR_NOTE, "resource metadata", "nothing at %s, where clients look that ignore the challenge", inserted);
        }
        json = json ? json : other;
    }
    if (!json && root) {
        json = get_json(d, "resource metadata", root);
    }
    if (!json) {
        doctor_found(d, DOCTOR_BAD, "resource metadata", "there is none: clients cannot find the authorization server");
        return 0;
    }
    resource = mcp_json_str(json, "resource");
    if (!resource || strncmp(d->url, resource, strlen(resource))) {
        doctor_found(d, DOCTOR_BAD, "resource metadata",
                     "its resource is %s, which is not what people enter (%s): clients refuse that. Name the URL that clients "
                     "use in MCPResource",
                     resource ? resource : "missing", d->url);
    }
    else {
        doctor_found(d, DOCTOR_FINE, "resource metadata", "resource is %s", resource);
    }
    d->issuer = json_string_value(json_array_get(json_object_get(json, "authorization_servers"), 0));
    if (!d->issuer) {
        doctor_found(d, DOCTOR_BAD, "resource metadata", "it names no authorization server");
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
        doctor_found(d, DOCTOR_BAD, "server metadata", "S256 is not in code_challenge_methods_supported: clients refuse to go on");
    }
    d->authorize = mcp_json_str(json, "authorization_endpoint");
    d->token_endpoint = mcp_json_str(json, "token_endpoint");
    d->registration = mcp_json_str(json, "registration_endpoint");
    if (!d->authorize || !d->token_endpoint) {
        doctor_found(d, DOCTOR_BAD, "server metadata", "authorization_endpoint or token_endpoint is missing");
    }
    d->documents = json_is_true(json_object_get(json, "client_id_metadata_document_supported"));
    if (!d->registration && !d->documents) {
        doctor_found(d, DOCTOR_NOTE, "server metadata", "clients can neither register themselves nor use metadata documents: each one "
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
            doctor_found(d, i ? DOCTOR_NOTE : DOCTOR_BAD, "server metadata", "nothing at %s (%s)", places[i].url ? places[i].url : "-",
                         places[i].who);
            continue;
        }
        issuer = mcp_json_str(json, "issuer");
        if (!issuer || strcmp(issuer, d->issuer)) {
            doctor_found(d, DOCTOR_BAD, "server metadata",
                         "issuer at %s is \"%s\", but the resource names \"%s\": clients compare byte for byte; make "
                         "MCPIssuer the same everywhere, slash at the end included",
                         places[i].url, issuer ? issuer : "", d->issuer);
        }
        first = first ? first : json;
    }
    if (!first) {
        return 0;
    }
    doctor_found(d, DOCTOR_FINE, "server metadata", "issuer is %s", d->issuer);
    check_server_members(d, first);
    return 1;
}

int doctor_metadata(doctor_t *d)
{
    return check_resource(d) && check_server(d);
}
