/* SPDX-License-Identifier: Apache-2.0 */
/* POST /oauth-callback: a provider's answer in a form that the browser posts (OAuth 2.0 Form Post
 * Response Mode).
 *
 * The form comes from the provider's site, and our cookies are SameSite=Lax: they do not come with
 * it. So the values are sealed and sent to our own URL by a 303, which is a navigation by GET and
 * has the cookies. No script, no state here, nothing that a provider's answer in the query could
 * not do: whose transaction it is decides the cookie, as always.
 *
 *   form_post=, inside the seal (purpose mcpfp)   { "f": the parameters, as a query, "exp": one
 * minute }
 */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_seal.h"
#include "mcp_url.h"
#include "mcp_util.h"

#define BODY_MAX 16384
#define QUERY_MAX 4600 /* sealed, it still fits into a request line */
#define LIFETIME apr_time_from_sec(60)
#define TEXT_MAX 300

static int is_asked_for(const mcp_oauth_conf_t *conf)
{
    for (int i = 0; conf->providers && i < conf->providers->nelts; i++) {
        const char *mode = APR_ARRAY_IDX(conf->providers, i, mcp_provider_t *)->response_mode;

        if (mode && !strcmp(mode, "form_post")) {
            return 1;
        }
    }
    return 0;
}

/* What of the form the callback reads, as a query. */
static const char *as_query(apr_pool_t *p, const apr_array_header_t *form)
{
    static const char *const names[] = { "state", "code", "iss", "error", "error_description" };
    apr_table_t *params = apr_table_make(p, 5);

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        const char *value = mcp_form_get(form, names[i]);

        if (value && *value) {
            /* the description is for the log, which does not want all of it */
            apr_table_setn(params, names[i], i == 4 ? mcp_clean_text(p, value, TEXT_MAX) : value);
        }
    }
    return apr_is_empty_table(params) ? "" : mcp_url_add_params(p, "", params) + 1;
}

int mcp_callback_post(request_rec *r, const mcp_oauth_conf_t *conf)
{
    apr_array_header_t *form;
    const char *query, *sealed;
    json_t *json;
    apr_size_t len;
    char *body;
    int rc;

    if (!is_asked_for(conf)) {
        apr_table_setn(r->headers_out, "Allow", "GET");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    rc = mcp_content_type_is(r, "application/x-www-form-urlencoded")
             ? mcp_read_body(r, BODY_MAX, &body, &len)
             : HTTP_BAD_REQUEST;
    if (rc != OK) {
        return mcp_page_error(r, conf, rc,
                              rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? MCP_PAGE_TOO_LARGE
                                                                  : MCP_PAGE_BAD_REQUEST,
                              "the body of the callback");
    }
    if (mcp_form_parse(r->pool, body, len, &form) != APR_SUCCESS
        || mcp_form_duplicate(form)) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the callback's form is malformed");
    }
    query = as_query(r->pool, form);
    if (strlen(query) > QUERY_MAX) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "the callback's values are too long to be carried on");
    }
    json = mcp_json_own(r->pool, json_object());
    mcp_put(json, "i", conf->issuer_tag);
    mcp_put(json, "f", query);
    sealed =
        mcp_seal_json(r->pool, conf->ring, MCP_PURPOSE_CALLBACK, json, apr_time_now() + LIFETIME);
    return mcp_page_redirect(r, apr_pstrcat(r->pool, conf->origin, ap_escape_uri(r->pool, r->uri),
                                            "?form_post=", sealed, NULL));
}

const char *mcp_callback_query(request_rec *r, const mcp_oauth_conf_t *conf, const char *sealed)
{
    json_t *json;
    const char *tag, *query;

    if (mcp_unseal_json(r->pool, conf->ring, MCP_PURPOSE_CALLBACK, sealed, apr_time_now(), &json)
        != APR_SUCCESS) {
        return NULL;
    }
    tag = mcp_json_str(json, "i");
    query = json_string_value(json_object_get(json, "f"));
    return tag && !strcmp(tag, conf->issuer_tag) ? query : NULL;
}
