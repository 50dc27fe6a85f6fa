/* SPDX-License-Identifier: Apache-2.0 */
/* A token of the person at the identity provider for a backend that asks for one: her own, or one for another resource. Only
 * where a location says so (MCPGuardUpstreamToken) is that record of the session read; the token goes to the backend alone,
 * never to a client.
 *
 * One that is about to expire is renewed by mod_mcp_oauth, which alone knows the provider (mcp_upstream_token.h). Where that
 * module is not loaded, as on a host that guards only, the client hears 401 when it has expired, refreshes where the
 * authorization server is, and that renews the upstream token along with its own. */

#include "guard.h"

#include <apr_strings.h>
#include <http_config.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_guard);

static mcp_store_t *store;                                 /* set in post_config, inherited by the children */
static APR_OPTIONAL_FN_TYPE(mcp_oauth_token) * from_oauth; /* the same; NULL: mod_mcp_oauth is not there */

void mcp_guard_upstream_init(mcp_store_t *shared_store)
{
    store = shared_store;
    from_oauth = APR_RETRIEVE_OPTIONAL_FN(mcp_oauth_token);
}

const char *mcp_guard_header_name(cmd_parms *cmd, const char *name)
{
    static const char token[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-";
    static const char *const taken[] = {
        "Host", "Connection", "Content-Length", "Transfer-Encoding",
        "Cookie", "Mcp-Session-Id", "Upgrade", "Expect",
        "TE", "Trailer", "X-MCP-Subject", "X-MCP-Username", "X-MCP-Client", "X-MCP-Client-Name", "X-MCP-Scope"
    };

    if (!*name || strlen(name) > 64 || strspn(name, token) != strlen(name)) {
        return apr_psprintf(cmd->pool, "%s takes the name of a header, or Off: \"%s\" is none",
                            cmd->cmd->name, name);
    }
    for (apr_size_t i = 0; i < sizeof(taken) / sizeof(*taken); i++) {
        if (!ap_cstr_casecmp(name, taken[i])) {
            return apr_psprintf(
                cmd->pool, "%s: %s has another meaning; use Authorization, or a name of your own",
                cmd->cmd->name, name);
        }
    }
    return NULL;
}

/* A value that goes into a form: visible ASCII and single blanks. */
static int is_plain(const char *value, apr_size_t max)
{
    return *value && strlen(value) <= max && mcp_is_header_safe(value);
}

static const char *set_option(cmd_parms *cmd, mcp_token_want_t *want, const char *option)
{
    const char *const name = cmd->cmd->name, *value = strchr(option, '=');

    value = value ? value + 1 : "";
    if (!strcmp(option, "by=refresh")) {
        want->by = MCP_TOKEN_REFRESH;
    }
    else if (!strcmp(option, "by=on-behalf-of")) {
        want->by = MCP_TOKEN_ON_BEHALF_OF;
    }
    else if (!strcmp(option, "by=exchange")) {
        want->by = MCP_TOKEN_EXCHANGE;
    }
    else if (!strncmp(option, "scope=", 6) && is_plain(value, 2048) && mcp_scope_valid(value)) {
        want->scope = value;
    }
    else if (!strncmp(option, "resource=", 9) && is_plain(value, 2048) && strchr(value, ':')) {
        want->resource = value;
    }
    else if (!strncmp(option, "audience=", 9) && is_plain(value, 2048)) {
        want->audience = value;
    }
    else {
        return apr_psprintf(cmd->pool,
                            "%s takes a header, then by=refresh, by=on-behalf-of or by=exchange, and "
                            "scope=\"...\", resource=URI or audience=...; not \"%s\"",
                            name, option);
    }
    return NULL;
}

/* What a way of having a token needs, and does not know. */
static const char *check_want(const mcp_token_want_t *want)
{
    switch (want->by) {
    case MCP_TOKEN_OWN:
        return want->scope || want->resource || want->audience
                   ? "scope=, resource= and audience= need by=: refresh, on-behalf-of or exchange"
                   : NULL;
    case MCP_TOKEN_REFRESH:
        return want->audience                  ? "by=refresh takes scope= and resource=, no audience="
               : want->scope || want->resource ? NULL
                                               : "by=refresh needs scope= or resource=";
    case MCP_TOKEN_ON_BEHALF_OF:
        return want->resource || want->audience || !want->scope
                   ? "by=on-behalf-of takes scope=, as api://backend/.default, and nothing else"
                   : NULL;
    case MCP_TOKEN_EXCHANGE:
        break;
    }
    return want->scope || want->resource || want->audience
               ? NULL
               : "by=exchange needs audience=, resource= or scope=";
}

const char *mcp_set_guard_upstream_token(cmd_parms *cmd, void *config, int argc, char *const argv[])
{
    mcp_guard_dir_t *dir = config;
    mcp_token_want_t *want = apr_pcalloc(cmd->pool, sizeof(*want));
    apr_array_header_t *words;
    const char *why = mcp_join_quoted(cmd->pool, argc, argv, &words), *header;

    if (why) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", why, NULL);
    }
    if (!words->nelts) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, " takes a header, or Off", NULL);
    }
    header = APR_ARRAY_IDX(words, 0, const char *);
    why = mcp_guard_header_name(cmd, header);
    for (int i = 1; i < words->nelts && !why; i++) {
        why = set_option(cmd, want, APR_ARRAY_IDX(words, i, const char *));
    }
    if (why) {
        return why;
    }
    why = check_want(want);
    if (why) {
        return apr_pstrcat(cmd->pool, cmd->cmd->name, ": ", why, NULL);
    }
    mcp_token_name(cmd->pool, want);
    dir->upstream_header = ap_cstr_casecmp(header, "off") ? header : "";
    dir->upstream_want = want;
    mcp_guard_note_header(cmd, dir);
    return NULL;
}

const char *mcp_guard_upstream_check(const mcp_guard_dir_t *dir)
{
    return dir->upstream_header && *dir->upstream_header && dir->upstream_want->by != MCP_TOKEN_OWN
                   && !ap_find_linked_module("mod_mcp_oauth.c")
               ? "MCPGuardUpstreamToken with by= needs mod_mcp_oauth in the same httpd, with MCPOAuth On and the "
                 "<MCPProvider> that people sign in at. Add: LoadModule mcp_oauth_module modules/mod_mcp_oauth.so"
               : NULL;
}

/* ---- requests ---- */

/* The client is to refresh, or to sign in again: mod_mcp_oauth renews what is missing here. */
static int ask_to_refresh(request_rec *r, mcp_guard_request_t *req, const char *why)
{
    ap_log_rerror(APLOG_MARK, APLOG_INFO, 0, r,
                  MCP_LOG(0475) "upstream token of \"%s\": %s; the client is asked to "
                                "refresh",
                  mcp_log_text(r->pool, req->session->subject), why);
    mcp_guard_note_error(r, "upstream_token");
    return mcp_guard_challenge(r, req, HTTP_UNAUTHORIZED, "invalid_token",
                               "The sign-in at the identity provider has to be renewed", NULL);
}

static int unavailable(request_rec *r)
{
    mcp_guard_note_error(r, "upstream_token");
    return mcp_guard_unavailable(r, "The backend needs a token that is not available");
}

static int give(request_rec *r, mcp_guard_request_t *req, const char *token)
{
    if (!token || !mcp_is_header_safe(token)) {
        ap_log_rerror(
            APLOG_MARK, APLOG_ERR, 0, r,
            MCP_LOG(
                0476) "MCPGuardUpstreamToken: the provider's access token was too large for the store, "
                      "or is none for a header; refusing");
        return unavailable(r);
    }
    req->upstream_token = token;
    return DECLINED;
}

/* What mod_mcp_oauth said, for the client. */
static int answer(request_rec *r, mcp_guard_request_t *req, int rc, const mcp_token_had_t *had)
{
    switch (rc) {
    case OK:
        return give(r, req, had->token);
    case HTTP_UNAUTHORIZED:
        if (had->challenge) {
            req->claims_challenge =
                mcp_b64url_encode(r->pool, had->challenge, strlen(had->challenge));
        }
        return ask_to_refresh(r, req, "the provider gives no other one");
    case HTTP_FORBIDDEN:
        mcp_guard_note_error(r, "upstream_token");
        return mcp_guard_forbidden(r);
    default:
        return unavailable(r);
    }
}

int mcp_guard_upstream_token(request_rec *r)
{
    mcp_guard_request_t *req = mcp_guard_known(r);
    const mcp_token_want_t *want;
    mcp_token_held_t held;
    mcp_token_had_t had;
    apr_time_t now;
    apr_status_t rv;
    int rc;

    if (!req || !req->session || !req->dir->upstream_header || !*req->dir->upstream_header) {
        return DECLINED;
    }
    want = req->dir->upstream_want;
    rv = mcp_token_held(store, req->session->grant_id, want, &held, r->pool);
    if (rv == MCP_EDOWN) {
        return mcp_guard_store_down(r);
    }
    now = apr_time_now();
    if (mcp_token_is_fresh(&held, now)) {
        return give(r, req, held.token);
    }
    rc = from_oauth ? from_oauth(r, req->session->grant_id, want, &had) : DECLINED;
    if (rc != DECLINED) {
        return answer(r, req, rc, &had);
    }
    if (mcp_token_is_good(&held, now)) {
        return give(r, req, held.token);
    }
    if (want->by != MCP_TOKEN_OWN) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0478) "MCPGuardUpstreamToken with by=: the provider of \"%s\" is not "
                                    "configured in this httpd (<MCPProvider>, MCPOAuth On); refusing",
                      mcp_log_text(r->pool, req->session->subject));
        return unavailable(r);
    }
    return rv == APR_SUCCESS && held.expires && held.expires <= now
               ? ask_to_refresh(r, req, "it has expired")
           : rv == APR_SUCCESS ? give(r, req, NULL)
                               : ask_to_refresh(r, req, "the store does not have it");
}
