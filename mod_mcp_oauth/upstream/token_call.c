/* SPDX-License-Identifier: Apache-2.0 */
/* The provider's token endpoint (RFC 6749 sections 3.2 and 5). */

#include "upstream_impl.h"

#include <apr_cstr.h>
#include <apr_strings.h>

#include "mcp_json.h"
#include "mcp_util.h"

#define ANSWER_MAX 262144
#define SECONDS_MAX (10 * 366 * 86400)

/* Does @a text repeat something that must not be logged? */
static int repeats(const char *text, const char *const *secrets, const char *own)
{
    if (own && strstr(text, own)) {
        return 1;
    }
    for (; *secrets; secrets++) {
        if (strlen(*secrets) >= 8 && strstr(text, *secrets)) {
            return 1;
        }
    }
    return 0;
}

/* A member for the log: " name=value", "" when absent or when it repeats a secret. */
static const char *detail(apr_pool_t *p, const json_t *json, const char *name, const char *const *secrets,
                          const char *own)
{
    const char *text = json_string_value(json_object_get(json, name));

    if (!text || !*text || repeats(text, secrets, own)) {
        return "";
    }
    return apr_psprintf(p, " %s=\"%s\"", name, mcp_log_text(p, text));
}

/* What an error answer says, for the log only: Entra's code stands at the beginning of its description, and the ids
 * that its support asks for are members of their own (E11). */
static const char *describe(apr_pool_t *p, const char *url, int status, const json_t *json,
                            const char *const *secrets, const char *own)
{
    static const char *const names[] = { "error", "error_description", "suberror", "correlation_id", "trace_id" };
    const char *text = apr_psprintf(p, "%s answered %d", url, status);

    for (apr_size_t i = 0; json && i < sizeof(names) / sizeof(*names); i++) {
        text = apr_pstrcat(p, text, detail(p, json, names[i], secrets, own), NULL);
    }
    return text;
}

static int in(const char *word, const char *const *list)
{
    for (; word && *list; list++) {
        if (!strcmp(*list, word)) {
            return 1;
        }
    }
    return 0;
}

/* An error of the endpoint in our terms. */
static int refused(const mcp_fetched_t *got, const char *error, const char *log, apr_pool_t *p, mcp_result_t *res)
{
    /* The person has to sign in again, or is not let in: a refresh is over, a sign-in did not succeed. */
    static const char *const over[] = { "invalid_grant", "bad_verification_code", "bad_refresh_token", "interaction_required", "login_required",
                                        "consent_required", "access_denied", NULL };
    /* GitHub has words of its own */
    static const char *const grant[] = { "invalid_grant", "bad_verification_code",
                                         "bad_refresh_token", NULL };
    static const char *const setup[] = { "invalid_client", "incorrect_client_credentials", "redirect_uri_mismatch", "unauthorized_client", "invalid_scope",
                                         "unsupported_grant_type", NULL };

    if (in(error, over)) {
        return mcp_fail(res, HTTP_UNAUTHORIZED, in(error, grant) ? "invalid_grant" : "access_denied",
                        "the identity provider does not honour the sign-in", log);
    }
    if (got->status >= 500 || got->status == HTTP_TOO_MANY_REQUESTS
        || (error && !strcmp(error, "temporarily_unavailable"))) {
        return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable",
                        "the identity provider is not available", log);
    }
    if (in(error, setup)) {
        log = apr_pstrcat(p, log, "; check MCPProviderClientID, MCPProviderClientSecret (or key, or assertion), "
                                  "MCPProviderAuthMethod and MCPProviderScope against the provider's registration",
                          NULL);
    }
    return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider reported an error", log);
}

static int malformed(apr_pool_t *p, const char *url, const char *what, mcp_result_t *res)
{
    return mcp_fail(res, HTTP_BAD_GATEWAY, "server_error", "the identity provider's answer is not usable",
                    apr_psprintf(p, "%s: %s", url, what));
}

static int read_answer(apr_pool_t *p, const char *url, const json_t *json, mcp_token_answer_t *answer,
                       mcp_result_t *res)
{
    const char *type = mcp_json_str(json, "token_type");
    json_int_t seconds = mcp_json_int(json, "expires_in", 0); /* a number, or one as a string (E6) */

    answer->access_token = mcp_json_str(json, "access_token");
    answer->refresh_token = mcp_json_str(json, "refresh_token");
    answer->id_token = mcp_json_str(json, "id_token");
    answer->scope = mcp_json_str(json, "scope");
    answer->issued_type = mcp_json_str(json, "issued_token_type");
    if (!answer->access_token) {
        return malformed(p, url, "the answer has no access_token", res);
    }
    if (!type || apr_cstr_casecmp(type, "Bearer")) {
        return malformed(p, url,
                         apr_psprintf(p, "token_type is \"%s\" and not Bearer", type ? mcp_log_text(p, type) : ""),
                         res);
    }
    if (seconds > 0) {
        answer->expires = apr_time_now() + apr_time_from_sec(seconds < SECONDS_MAX ? seconds : SECONDS_MAX);
    }
    return OK;
}

void mcp_token_answer_keep(const mcp_token_answer_t *answer, mcp_identity_t *identity)
{
    identity->access_token = answer->access_token;
    identity->refresh_token = answer->refresh_token;
    identity->scope = answer->scope;
    identity->expires = answer->expires;
    identity->obtained = apr_time_now();
}

int mcp_provider_refusal(apr_pool_t *p, const char *url, const mcp_fetched_t *got, const json_t *json,
                         const char *const *secrets, const char *proof, mcp_result_t *res)
{
    return refused(got, json ? mcp_json_str(json, "error") : NULL,
                   describe(p, url, got->status, json, secrets, proof), p, res);
}

int mcp_token_call(request_rec *r, const mcp_provider_t *provider, const mcp_discovery_t *doc,
                   const apr_table_t *params, int again, const char *const *secrets,
                   mcp_token_answer_t *answer, mcp_result_t *res)
{
    mcp_endpoint_t endpoint = { doc->token_endpoint, doc->mtls_token_endpoint };
    const char *proof = NULL;
    mcp_fetched_t got = { 0 };
    const json_t *json;
    int rc = mcp_client_post(r, provider, doc, endpoint, params, ANSWER_MAX, again, &got, &proof, res);

    if (rc != OK) {
        return rc;
    }
    json = mcp_json_parse(r->pool, got.body, got.len, ANSWER_MAX);
    if (got.status != HTTP_OK || (json && mcp_json_str(json, "error"))) { /* some say 200 with an error inside */
        answer->refusal = json ? mcp_json_str(json, "error") : NULL;
        answer->challenge = json ? mcp_json_str(json, "claims") : NULL;
        return mcp_provider_refusal(r->pool, endpoint.plain, &got, json, secrets, proof, res);
    }
    if (!json) {
        return malformed(r->pool, endpoint.plain, "the answer is not a JSON object", res);
    }
    return read_answer(r->pool, endpoint.plain, json, answer, res);
}
