/* SPDX-License-Identifier: Apache-2.0 */
/* doctor at the endpoints: what a web page may call, how clients become known, the consent page, tokens, a call. */

#include <string.h>

#include <apr_strings.h>

#include "doctor.h"
#include "mcp_json.h"
#include "mcp_url.h"

/* What current VS Code presents as its client_id. */
#define VSCODE_DOCUMENT "https://vscode.dev/oauth/client-metadata.json"

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

void doctor_preflight(doctor_t *d, const char *what, const char *url)
{
    static const char *const headers[] = { "Origin: " DOCTOR_BROWSER, "Access-Control-Request-Method: POST",
                                           "Access-Control-Request-Headers: authorization,content-type,"
                                           "mcp-protocol-version",
                                           NULL };
    mcpctl_answer_t answer;

    if (!url) {
        return;
    }
    if (!doctor_ask(d, "OPTIONS", url, NULL, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, what, "preflight: %s", answer.error);
        return;
    }
    if (answer.status >= 400 || !*doctor_header(&answer, "Access-Control-Allow-Origin")) {
        doctor_found(d, DOCTOR_NOTE, what, "a web page at %s may not call it (preflight got %ld): Inspector in a browser needs "
                                           "MCPAllowOrigin %s",
                     DOCTOR_BROWSER, answer.status, DOCTOR_BROWSER);
    }
    else {
        doctor_found(d, DOCTOR_FINE, what, "preflight of a browser client passes");
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

        if (!doctor_ask(d, NULL, d->registration, mcp_json_text(d->pool, mcp_json_own(d->pool, body)), headers, &answer)) {
            doctor_found(d, DOCTOR_BAD, "registration", "%s", answer.error);
            return;
        }
        json = doctor_json(d, &answer);
        if (answer.status == 201 && json && mcp_json_str(json, "client_id")) {
            doctor_found(d, DOCTOR_FINE, "registration", "%s can register (%s)", clients[i].client, clients[i].redirect_uri);
            d->client_id = i ? d->client_id : mcp_json_str(json, "client_id");
        }
        else if (answer.status == 401 || answer.status == 403) {
            doctor_found(d, DOCTOR_NOTE, "registration", "clients may not register themselves here (MCPOAuthRegistration)");
            return;
        }
        else {
            const char *why = json ? mcp_json_str(json, "error_description") : NULL;

            doctor_found(d, DOCTOR_NOTE, "registration", "%s cannot register with %s: %ld %s; see MCPOAuthRedirectSchemes and "
                                                         "MCPOAuthRedirectHosts",
                         clients[i].client, clients[i].redirect_uri, answer.status, why ? why : "");
        }
    }
}

/* Is a client known by the URL of its metadata document? A program that asks for no redirect URI is told so in JSON: the client
 * is not known, its document cannot be had now, or, once it was read, that the request is not complete. Nothing is stored. */
static void check_document(doctor_t *d)
{
    static const char *const headers[] = { "Accept: application/json", NULL };
    const char *url = d->document ? d->document : VSCODE_DOCUMENT, *error, *description;
    /* that a host of somebody else does not answer may be its own fault */
    doctor_mark_e mark = d->document ? DOCTOR_BAD : DOCTOR_NOTE;
    mcpctl_answer_t answer;
    const json_t *json;

    if (!d->documents && (d->document || d->registration)) {
        doctor_found(d, d->document ? DOCTOR_BAD : DOCTOR_FINE, "metadata documents",
                     "not taken here (MCPOAuthClientMetadata): Claude Code, Codex and VS Code have to register");
    }
    if (!d->documents || d->no_document || !d->authorize) {
        return;
    }
    if (!doctor_ask(d, NULL, apr_pstrcat(d->pool, d->authorize, "?client_id=", mcp_url_encode(d->pool, url), NULL), NULL, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, "metadata documents", "%s", answer.error);
        return;
    }
    json = doctor_json(d, &answer);
    error = json ? mcp_json_str(json, "error") : NULL;
    error = error ? error : "";
    description = json ? mcp_json_str(json, "error_description") : NULL;
    description = description ? description : "";
    if ((answer.status >= 300 && answer.status < 400) || !strcmp(error, "invalid_request")) {
        doctor_found(d, DOCTOR_FINE, "metadata documents", "taken: the gateway has read %s", url);
    }
    else if (answer.status == 503) {
        doctor_found(d, mark, "metadata documents",
                     "the gateway cannot fetch %s now: \"%s\". Claude Code, Codex and VS Code present such a document and do not get "
                     "in. Give it MCPOAuthClientMetadataProxy or MCPOAuthClientMetadataFile; or MCPOAuthClientMetadata Off, so that "
                     "they register",
                     url, description);
    }
    else if (!strcmp(error, "invalid_client")) {
        doctor_found(d, mark, "metadata documents",
                     "the gateway refuses %s: \"%s\". The document is not good, or its host is not in MCPOAuthClientMetadataHosts; "
                     "the error log says which",
                     url, description);
    }
    else {
        doctor_found(d, DOCTOR_NOTE, "metadata documents", "a client_id that is %s got %ld %s: nobody knows whether the gateway can fetch it",
                     url, answer.status, error);
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
    if (!doctor_ask(d, NULL, url, NULL, NULL, &answer)) {
        doctor_found(d, DOCTOR_BAD, "consent page", "%s", answer.error);
    }
    else if (answer.status == 200 && !strncmp(doctor_header(&answer, "Content-Type"), "text/html", 9)) {
        doctor_found(d, DOCTOR_FINE, "consent page", "is shown");
        if (!strstr(doctor_header(&answer, "Content-Security-Policy"), "frame-ancestors 'none'")) {
            doctor_found(d, DOCTOR_BAD, "consent page", "it can be framed: does something remove Content-Security-Policy?");
        }
    }
    else {
        doctor_found(d, DOCTOR_BAD, "consent page", "got %ld %s instead of a page", answer.status, doctor_header(&answer, "Location"));
    }
}

static void check_token_endpoint(doctor_t *d)
{
    static const char *const headers[] = { "Content-Type: application/x-www-form-urlencoded", NULL };
    mcpctl_answer_t answer;

    if (!d->token_endpoint) {
        return;
    }
    if (!doctor_ask(d, NULL, d->token_endpoint, "grant_type=authorization_code&code=none&client_id=none", headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, "token endpoint", "%s", answer.error);
    }
    else if (answer.status >= 500 || !doctor_json(d, &answer)) {
        doctor_found(d, DOCTOR_BAD, "token endpoint", "a bad request got %ld as %s instead of an error in JSON", answer.status,
                     doctor_header(&answer, "Content-Type"));
    }
    else {
        doctor_found(d, DOCTOR_FINE, "token endpoint", "refuses in JSON what it must");
    }
}

void doctor_clients(doctor_t *d)
{
    doctor_preflight(d, "token endpoint", d->token_endpoint);
    doctor_preflight(d, "registration", d->registration);
    check_registration(d);
    check_document(d);
    check_consent(d);
    doctor_sign_in(d);
    check_token_endpoint(d);
}

void doctor_call(doctor_t *d)
{
    const char *authorization = d->token ? apr_pstrcat(d->pool, "Authorization: Bearer ", d->token, NULL) : NULL;
    const char *const headers[] = { "Content-Type: application/json", "Accept: application/json, text/event-stream",
                                    authorization, NULL };
    mcpctl_answer_t answer;

    if (!authorization) {
        doctor_found(d, DOCTOR_NOTE, "call", "not tried: give a token with --token-file");
        return;
    }
    if (!doctor_ask(d, NULL, d->url, doctor_initialize, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, "call", "%s", answer.error);
    }
    else if (answer.status != 200) {
        doctor_found(d, DOCTOR_BAD, "call", "initialize with the token got %ld; see the error log", answer.status);
    }
    else {
        doctor_found(d, DOCTOR_FINE, "call", "initialize answered as %s after %.0f ms", doctor_header(&answer, "Content-Type"),
                     1000 * answer.first_byte);
        if (*doctor_header(&answer, "Content-Encoding")) {
            doctor_found(d, DOCTOR_BAD, "call", "the answer is compressed (%s): event streams will stall; exclude this location from "
                                                "DEFLATE and BROTLI",
                         doctor_header(&answer, "Content-Encoding"));
        }
    }
}
