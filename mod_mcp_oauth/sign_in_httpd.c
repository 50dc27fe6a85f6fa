/* SPDX-License-Identifier: Apache-2.0 */
/* The sign-in at /signin/NAME: httpd itself is the provider. The administrator protects this location with
 * whatever httpd has; who comes through is known, and the transaction of this browser goes on. It
 * is not taken on trust that the location is protected (design principle 8).
 */

#include "oauth.h"

#include <apr_cstr.h>
#include <apr_strings.h>
#include <http_log.h>
#include <http_request.h>
#include <http_ssl.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"
#include "upstream/id_token.h"

APLOG_USE_MODULE(mcp_oauth);

#define USER_MAX 255

/* Has somebody vouched for the person: one of httpd's modules that was asked to, or a CA of ours? */
static int is_protected(request_rec *r)
{
    char *user = r->user;
    const char *verified;
    int required;

    r->user = NULL; /* would nobody have come through? */
    required = ap_some_authn_required(r);
    r->user = user;
    if (required) {
        return user && r->ap_auth_type && apr_cstr_casecmp(r->ap_auth_type, "MCP");
    }
    verified = ap_ssl_var_lookup(r->pool, r->server, r->connection, r, "SSL_CLIENT_VERIFY");
    return verified && !strcmp(verified, "SUCCESS");
}

static int is_plain(const char *text)
{
    return !mcp_has_control(text) && mcp_is_utf8(text);
}

/* The value of an expression, NULL when it fails. */
static const char *evaluate(request_rec *r, const ap_expr_info_t *expr)
{
    const char *err = NULL, *text = ap_expr_str_exec(r, expr, &err);

    return err ? NULL : text;
}

/* Who it is. NULL, or what is wrong for the log. */
static const char *identify(request_rec *r, const mcp_provider_t *provider, mcp_identity_t *who)
{
    const char *user = provider->user ? evaluate(r, provider->user) : r->user;
    json_t *claims = mcp_json_own(r->pool, json_object());

    if (!is_protected(r)) {
        return "nothing in the configuration makes people sign in there: its <Location> needs an "
               "AuthType and Require valid-user, or SSLVerifyClient require";
    }
    if (!user || !*user || strlen(user) > USER_MAX || !is_plain(user)) {
        return provider->user ? "MCPProviderUser gives no usable name"
                              : "httpd knows no user: set MCPProviderUser or SSLUserName";
    }
    for (int i = 0; provider->httpd_claims && i < provider->httpd_claims->nelts; i++) {
        const mcp_httpd_claim_t *claim =
            &APR_ARRAY_IDX(provider->httpd_claims, i, mcp_httpd_claim_t);
        const char *value = evaluate(r, claim->value);

        if (!value || !is_plain(value)) {
            return apr_psprintf(r->pool, "MCPProviderClaim %s gives no usable text", claim->name);
        }
        mcp_put(claims, claim->name, *value ? value : NULL);
    }
    who->subject = apr_pstrcat(r->pool, provider->name, "|", user, NULL);
    who->username = mcp_claims_username(r->pool, claims, provider->username_claim);
    if (!*who->username) {
        who->username = user;
    }
    who->claims = mcp_claims_filter(r->pool, claims, provider->claims, MCP_CLAIMS_MAX);
    return NULL;
}

/* Also for POST: a sign-in form that was posted here, to where the person wanted to go. */
int mcp_httpd_sign_in_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    const char *query = r->args ? r->args : "", *why;
    mcp_transaction_t tx = { 0 };
    mcp_identity_t who = { 0 };
    apr_array_header_t *form;

    if ((r->method_number != M_GET && r->method_number != M_POST) || r->header_only) {
        apr_table_setn(r->headers_out, "Allow", "GET, POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (mcp_form_parse(r->pool, query, strlen(query), &form) != APR_SUCCESS
        || mcp_form_duplicate(form)) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the query of the sign-in is malformed");
    }
    if (mcp_transaction_find(r, conf, mcp_form_get(form, "state"), &tx) != OK) {
        return OK;
    }
    why = identify(r, tx.provider, &who);
    if (why) {
        ap_log_rerror(APLOG_MARK, APLOG_ERR, 0, r,
                      MCP_LOG(0245) "nobody can be signed in at %s: %s", r->uri, why);
        return mcp_authz_error(r, conf, &tx.authz, "server_error",
                               "the sign-in did not tell who the person is");
    }
    return mcp_signed_in(r, conf, &tx, &who);
}
