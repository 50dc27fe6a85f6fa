/* SPDX-License-Identifier: Apache-2.0 */
/* Forms of our pages: what they carry is sealed for one step and one browser (CP-7, T29). */

#include "oauth.h"

#include <apr_strings.h>

#include "mcp_form.h"
#include "mcp_http.h"
#include "mcp_json.h"
#include "mcp_seal.h"
#include "mcp_util.h"

#define BODY_MAX 16384

char *mcp_page_form_seal(request_rec *r, const mcp_oauth_conf_t *conf, mcp_purpose_e purpose,
                         json_t *json)
{
    mcp_put(json, "b", mcp_browser_tag(r->pool, mcp_browser_ensure(r, conf)));
    return mcp_seal_json(r->pool, conf->ring, purpose, json, apr_time_now() + MCP_CONSENT_LIFETIME);
}

/*
 * Did a page of ours send this? Sec-Fetch-Site tells, where browsers send it; Origin only confirms,
 * and is "null" for forms of a page with Referrer-Policy: no-referrer, hence for ours. What really
 * protects is the sealed form and the SameSite cookie that it is bound to.
 */
static int is_same_origin(request_rec *r, const mcp_oauth_conf_t *conf, const char **why)
{
    int twice = 0;
    const char *site = mcp_header_once(r, "Sec-Fetch-Site", &twice);
    const char *origin = twice ? NULL : mcp_header_once(r, "Origin", &twice);

    *why = "Origin or Sec-Fetch-Site";
    if (twice || (site && strcmp(site, "same-origin") && strcmp(site, "none"))) {
        return 0;
    }
    return !origin || !strcmp(origin, "null") || !strcmp(origin, conf->origin);
}

int mcp_page_form_open(request_rec *r, const mcp_oauth_conf_t *conf, mcp_purpose_e purpose,
                       const char *what, apr_array_header_t **form, json_t **json)
{
    const char *why, *browser = mcp_browser_get(r, conf), *tag;
    apr_status_t rv;
    apr_size_t len;
    char *body;
    int rc;

    if (mcp_clients_limit(r, conf, MCP_LIMIT_AUTHORIZE, NULL)) { /* a form may be sent again and again */
        mcp_page_error(r, conf, HTTP_TOO_MANY_REQUESTS, MCP_PAGE_TOO_MANY, "too many requests");
        return DONE;
    }
    if (!is_same_origin(r, conf, &why)) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_FORGED, why);
        return DONE;
    }
    rc = mcp_content_type_is(r, "application/x-www-form-urlencoded")
             ? mcp_read_body(r, BODY_MAX, &body, &len)
             : HTTP_BAD_REQUEST;
    if (rc != OK) {
        mcp_page_error(r, conf, rc,
                       rc == HTTP_REQUEST_ENTITY_TOO_LARGE ? MCP_PAGE_TOO_LARGE
                                                           : MCP_PAGE_BAD_REQUEST,
                       apr_pstrcat(r->pool, "body of the ", what, NULL));
        return DONE;
    }
    if (mcp_form_parse(r->pool, body, len, form) != APR_SUCCESS
        || mcp_form_duplicate(*form)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                       apr_psprintf(r->pool, "the %s is malformed", what));
        return DONE;
    }
    rv = mcp_form_get(*form, "form")
             ? mcp_unseal_json(r->pool, conf->ring, purpose, mcp_form_get(*form, "form"),
                               apr_time_now(), json)
             : APR_EINVAL;
    if (APR_STATUS_IS_TIMEUP(rv)) {
        mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
                       apr_psprintf(r->pool, "the %s has expired", what));
        return DONE;
    }
    if (rv != APR_SUCCESS) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_FORGED,
                       apr_psprintf(r->pool, "the %s does not open", what));
        return DONE;
    }
    tag = mcp_json_str(*json, "b");
    if (!browser || !mcp_secret_equal(tag, mcp_browser_tag(r->pool, browser))) {
        mcp_page_error(r, conf, HTTP_FORBIDDEN, MCP_PAGE_WRONG_BROWSER,
                       browser ? apr_psprintf(r->pool, "the %s was made for another browser", what)
                               : "the browser's cookie is missing");
        return DONE;
    }
    return OK;
}
