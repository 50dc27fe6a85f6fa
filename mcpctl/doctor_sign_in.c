/* SPDX-License-Identifier: Apache-2.0 */
/* doctor's look at the sign-in: does the identity provider take the gateway's request? */

#include <string.h>

#include <apr_strings.h>

#include "doctor.h"
#include "mcp_form.h"
#include "mcp_url.h"

#define WHAT "sign-in"

/* As a browser comes whose person typed the address. */
static const char *const headers[] = { "Accept: text/html", "Sec-Fetch-Site: none", "Sec-Fetch-Mode: navigate",
                                       "Sec-Fetch-Dest: document", NULL };

/* Where an answer sends the browser to, NULL: nowhere. */
static const char *target(const mcpctl_answer_t *answer)
{
    return answer->status >= 300 && answer->status < 400 ? apr_table_get(answer->headers, "Location") : NULL;
}

static const char *query_value(apr_pool_t *p, const char *url, const char *name)
{
    const char *query = strchr(url, '?');
    apr_array_header_t *form;

    return query && mcp_form_parse(p, query + 1, strcspn(query + 1, "#"), &form) == APR_SUCCESS
               ? mcp_form_get(form, name)
               : NULL;
}

/* Entra ID answers 200 whatever it thinks of a request; its page has the code: AADSTS50011. */
static const char *aadsts(apr_pool_t *p, const char *body)
{
    const char *code = strstr(body, "AADSTS");
    size_t digits = code ? strspn(code + 6, "0123456789") : 0;

    return digits ? apr_pstrmemdup(p, code, 6 + digits) : NULL;
}

/* MCPProviderType httpd: a location of the gateway's host, which has to ask who it is. */
static void own_sign_in(doctor_t *d, const char *url)
{
    const char *place = apr_pstrmemdup(d->pool, url, strcspn(url, "?"));
    mcpctl_answer_t answer;

    if (!doctor_ask(d, NULL, url, NULL, headers, &answer)) {
        doctor_found(d, DOCTOR_BAD, WHAT, "%s: %s", place, answer.error);
    }
    else if (answer.status >= 400 && answer.status != 401) {
        doctor_found(d, DOCTOR_BAD, WHAT,
                     "%s got %ld: nobody can sign in there; the error log says why (MCP0245: nothing protects it)", place,
                     answer.status);
    }
    else {
        doctor_found(d, DOCTOR_FINE, WHAT, "people sign in at %s", place);
    }
}

/* What the provider makes of the request at @a url. */
static void provider(doctor_t *d, const char *url)
{
    const char *redirect = query_value(d->pool, url, "redirect_uri"), *client = query_value(d->pool, url, "client_id");
    const char *origin, *code, *next;
    mcpctl_answer_t answer;
    mcp_url_t parts;

    if (mcp_url_parse(d->pool, url, &parts) != APR_SUCCESS) {
        doctor_found(d, DOCTOR_BAD, WHAT, "people are sent to %s, which is no URL", url);
        return;
    }
    origin = mcp_url_origin(d->pool, &parts);
    redirect = redirect ? redirect : apr_pstrcat(d->pool, d->issuer, "/oauth-callback", NULL); /* was pushed: PAR */
    if (!doctor_ask(d, NULL, url, NULL, headers, &answer)) {
        doctor_found(d, DOCTOR_NOTE, WHAT, "people are sent to %s, which this host does not reach: %s", origin, answer.error);
        return;
    }
    next = target(&answer);
    code = next ? query_value(d->pool, next, "error") : aadsts(d->pool, answer.body);
    if (answer.status >= 400 || code) {
        doctor_found(d, DOCTOR_BAD, WHAT,
                     "%s refuses the gateway's request (%s): register the redirect URI %s for the client %s there, letter "
                     "for letter, or mend MCPProviderClientID",
                     origin, code ? code : apr_psprintf(d->pool, "%ld", answer.status), redirect, client ? client : "-");
        return;
    }
    doctor_found(d, DOCTOR_FINE, WHAT, "%s takes the gateway's request; redirect URI %s", origin, redirect);
}

void doctor_sign_in(doctor_t *d)
{
    const char *url = apr_pstrcat(d->pool, d->issuer, "/connections", NULL);
    const char *base = apr_pstrcat(d->pool, d->issuer, "/", NULL), *own = apr_pstrcat(d->pool, base, "signin/", NULL);
    const char *next = url;
    mcpctl_answer_t answer = { 0 };

    /* the page may lead to another one of the gateway, which says what is wrong; what names a client is for a provider */
    for (int i = 0; next && i < 3 && !strncmp(next, base, strlen(base)) && strncmp(next, own, strlen(own))
                    && !query_value(d->pool, next, "client_id");
         i++) {
        if (!doctor_ask(d, NULL, next, NULL, headers, &answer)) {
            doctor_found(d, DOCTOR_BAD, WHAT, "%s", answer.error);
            return;
        }
        next = target(&answer);
    }
    if (next && !strncmp(next, own, strlen(own))) {
        own_sign_in(d, next);
    }
    else if (next) {
        provider(d, next);
    }
    else if (answer.status >= 500) {
        doctor_found(d, DOCTOR_BAD, WHAT,
                     "cannot begin (%ld): the identity provider is not reached, or its metadata do not fit; MCP0232 in the "
                     "error log says what",
                     answer.status);
    }
    else if (answer.status == 200) {
        doctor_found(d, DOCTOR_NOTE, WHAT, "people choose among several providers, which were not asked");
    }
    else {
        doctor_found(d, DOCTOR_NOTE, WHAT, "not tried: no connections page at %s (%ld)", url, answer.status);
    }
}
