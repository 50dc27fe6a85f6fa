/* SPDX-License-Identifier: Apache-2.0 */
/* POST /consent: the answer to the consent page (consent_page.c, which also draws its form).
 * Nothing of the provider's sign-in exists before the answer is yes (CP-7, CP-8, CP-12).
 */

#include "oauth.h"

#include <apr_strings.h>
#include <http_log.h>
#include <http_protocol.h>

#include "mcp_form.h"
#include "mcp_json.h"
#include "mcp_log.h"
#include "mcp_util.h"

APLOG_USE_MODULE(mcp_oauth);

/* The scopes that stay: those that cannot be unticked, and the optional ones that are ticked. */
static const char *granted_scope(apr_pool_t *p, const mcp_oauth_conf_t *conf, const char *scopes,
                                 const apr_array_header_t *form)
{
    char *list = apr_pstrdup(p, scopes), *token, *last = NULL;
    const char *granted = "";
    int i = 0;

    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last), i++) {
        const mcp_scope_t *scope = mcp_scope_text(conf, token);

        if (!scope || !scope->optional || mcp_form_get(form, apr_psprintf(p, "s%d", i))) {
            granted = *granted ? apr_pstrcat(p, granted, " ", token, NULL) : token;
        }
    }
    return granted;
}

int mcp_consent_handler(request_rec *r, mcp_oauth_conf_t *conf)
{
    apr_array_header_t *form;
    const char *decision, *parked;
    mcp_authz_t authz;
    json_t *json;
    int allowed;

    if (r->method_number != M_POST) {
        apr_table_setn(r->headers_out, "Allow", "POST");
        return mcp_page_error(r, conf, HTTP_METHOD_NOT_ALLOWED, MCP_PAGE_METHOD, r->method);
    }
    if (mcp_page_form_open(r, conf, MCP_PURPOSE_FORM, "consent form", &form, &json) != OK) {
        return OK;
    }
    decision = mcp_form_get(form, "decision");
    if (!mcp_authz_read(conf, json, &authz) || !mcp_resource_by_uri(conf->shared, authz.resource)) {
        return mcp_page_error(
            r, conf, HTTP_BAD_REQUEST, MCP_PAGE_EXPIRED,
            "the consent form is another server's, or the configuration has changed");
    }
    mcp_page_locales(r, authz.locale);
    allowed = decision && !strcmp(decision, "allow");
    if (!allowed && (!decision || strcmp(decision, "deny"))) {
        return mcp_page_error(r, conf, HTTP_BAD_REQUEST, MCP_PAGE_BAD_REQUEST,
                              "neither allowed nor denied");
    }
    authz.scope = granted_scope(r->pool, conf, authz.scope, form);
    ap_log_rerror(
        APLOG_MARK, APLOG_INFO, 0, r, MCP_LOG(0231) "consent %s client=%s resource=%s scope=\"%s\"",
        allowed ? "given to" : "denied to", authz.client_key, authz.resource, authz.scope);
    mcp_event(r, MCP_EVENT_CONSENT,
              &(mcp_event_t){ .outcome = allowed ? "ok" : "access_denied",
                              .client = authz.client_key,
                              .client_name = authz.client_name,
                              .resource = authz.resource,
                              .scope = authz.scope,
                              .target = authz.redirect_uri });
    parked = mcp_json_str(json, "pk");
    if (parked) {
        return mcp_parked_answer(r, conf, &authz, parked, allowed);
    }
    if (!allowed) {
        mcp_remember_denial(r, conf, &authz);
        return mcp_authz_error(r, conf, &authz, "access_denied", "the person denied access");
    }
    return mcp_sign_in(r, conf, &authz);
}
