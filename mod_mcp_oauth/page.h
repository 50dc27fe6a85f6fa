/* SPDX-License-Identifier: Apache-2.0 */
/* Pages for people: what each shows, and how it is sent.
 *
 * A page is a view (a template of pages/ or the administrator's, in a frame that all share) with a
 * model, a JSON object. Whatever a model holds may come from strangers: templates escape it. Texts
 * are messages of messages/LANGUAGE.json in the person's language; the log stays English.
 *
 * To add a text: into messages/en.json and the other languages, then test/tools/pages.mjs --write.
 * To add a value: into the names of its view (page_build.c) and into the comment below.
 */

#ifndef MCP_PAGE_H
#define MCP_PAGE_H

#include <httpd.h>
#include <http_config.h>
#include <jansson.h>

#include "language.h"

struct mcp_oauth_conf_t;

/* What directives say about pages (page_config.c). */
typedef struct mcp_page_conf_t mcp_page_conf_t;

/*
 * The views, and what their models hold. Absent, false, "" and [] are the same: not shown. "title"
 * is the heading of each.
 *
 * MCP_VIEW_CONSENT      consent_page.c
 *   client, client_url, client_logo (URL of ours), verified_host (who vouches for the name), unverified, resource,
 *   scopes [text, name, optional, field], no_scopes, any_optional,
 *   to_host, to_loopback or to_scheme (where the answer goes), redirect (the whole URI),
 *   account (when the person is known), provider, provider_scope, or with several of them
 *   several, providers [label, scope],
 *   action (where the form is posted), form (its sealed value). Buttons: decision=deny|allow
 *
 * MCP_VIEW_NOTICE       something went wrong, is done, or has to be confirmed
 *   text, reference;
 *   action, form, button: a form with one button;
 *   link_url (of ours), link_label
 *
 * MCP_VIEW_CONNECTIONS  which clients have access
 *   account, done (a sentence about what has just been done), uncertain (a date: of what was
 *   before it the list may lack some), connections [client, host (who vouches for it), client_logo (URL of ours), unverified,
 *   resource, since, last_used (texts, such as mcp_page_date gives), scopes [text], form (names the
 *   connection, sealed)], action (where each form is posted), all_form (takes all back),
 *   signout_action, signout_form
 *
 * MCP_VIEW_CHOOSER      where to sign in
 *   client, resource, providers [name, label, last (chosen the last time)], action, form. Buttons: provider=NAME
 */
typedef enum {
    MCP_VIEW_CONSENT,
    MCP_VIEW_NOTICE,
    MCP_VIEW_CONNECTIONS,
    MCP_VIEW_CHOOSER,
    MCP_VIEW_COUNT
} mcp_view_e;

/* What a page has to tell a person that something went wrong: messages error_NAME_title and _text. */
typedef enum {
    MCP_PAGE_BAD_REQUEST,     /* the client's request is malformed */
    MCP_PAGE_UNKNOWN_CLIENT,  /* client_id does not open */
    MCP_PAGE_REDIRECT,        /* redirect_uri is not registered */
    MCP_PAGE_EXPIRED,         /* consent form or transaction is too old or used */
    MCP_PAGE_WRONG_BROWSER,   /* this browser did not begin this sign-in */
    MCP_PAGE_FORGED,          /* the form did not come from our page */
    MCP_PAGE_METHOD,          /* wrong method */
    MCP_PAGE_TOO_LARGE,       /* more than we read */
    MCP_PAGE_UNAVAILABLE,     /* store or provider is down */
    MCP_PAGE_CLIENT_DOCUMENT, /* a client's metadata document cannot be had now */
    MCP_PAGE_TOO_MANY,        /* a limit is reached */
    /* these two where no client can be told, which else hears it by a redirect (RFC 6749 section
     * 4.1.2.1): the transaction is gone, or the sign-in was for a page of ours */
    MCP_PAGE_DENIED,   /* the person, or the provider, said no */
    MCP_PAGE_PROVIDER, /* the provider reported an error */
    MCP_PAGE_COUNT
} mcp_page_e;

/* Templates, messages and looks of a server, made when httpd starts and only read from then on. */
typedef struct mcp_pages_t mcp_pages_t;

/** Parse and check all of it (configtest does so, too). NULL, or what to mend. */
const char *mcp_pages_build(apr_pool_t *p, const struct mcp_oauth_conf_t *conf,
                            const mcp_pages_t **pages);

/** Remember what languages the client asked for (ui_locales; NULL: none) for the pages of this
 * request. */
void mcp_page_locales(request_rec *r, const char *locales);

/** The language of this request's pages: mcp_page_locales(), else Accept-Language, else configured. */
const mcp_language_t *mcp_page_language(request_rec *r, const struct mcp_oauth_conf_t *conf);

/**
 * Message @a key in the language of this request, as plain text for a model.
 * @param model  values for its placeholders, or NULL
 */
const char *mcp_page_text(request_rec *r, const struct mcp_oauth_conf_t *conf, const char *key,
                          const json_t *model);

/** A date for people in the language of this request, such as 27 November 2026 (UTC). */
const char *mcp_page_date(request_rec *r, const struct mcp_oauth_conf_t *conf, apr_time_t when);

/**
 * Send a page with the headers that all have (no framing, no Referer, no store, no script).
 * @param model  its values; takes over the caller's reference
 * @return OK
 */
int mcp_page_send(request_rec *r, const struct mcp_oauth_conf_t *conf, int status,
                  mcp_view_e view, json_t *model);

/** A notice with a title and a text by message key. Returns OK. */
int mcp_page_notice(request_rec *r, const struct mcp_oauth_conf_t *conf, const char *title,
                    const char *text);

/** A whole error page, or an error in JSON for who accepts that and no HTML, with a reference id that is found in the
 *  log beside @a log. Returns OK. */
int mcp_page_error(request_rec *r, const struct mcp_oauth_conf_t *conf, int status,
                   mcp_page_e page, const char *log);

/** 303 to @a url, after a GET 302, with the headers of our pages. Returns OK. */
int mcp_page_redirect(request_rec *r, const char *url);

/* ---- directives (page_config.c) ---- */

mcp_page_conf_t *mcp_page_conf_create(apr_pool_t *p);
mcp_page_conf_t *mcp_page_conf_merge(apr_pool_t *p, const mcp_page_conf_t *base,
                                     const mcp_page_conf_t *add);

#define MCP_PAGE_COMMANDS \
    AP_INIT_TAKE1("MCPOAuthPageLanguage", mcp_set_page_language, NULL, RSRC_CONF, \
                  "language of pages for those who ask for none that is there, default en"), \
        AP_INIT_TAKE1("MCPOAuthPageLogo", mcp_set_page_logo, NULL, RSRC_CONF, \
                      "file of the organisation's logo: PNG, JPEG, WebP or SVG"), \
        AP_INIT_TAKE3("MCPOAuthPageColor", mcp_set_page_color, NULL, RSRC_CONF, \
                      "a colour of the pages: NAME, and #rrggbb for the light and the dark theme"), \
        AP_INIT_TAKE1("MCPOAuthPageHelp", mcp_set_page_help, NULL, RSRC_CONF, \
                      "text at the foot of the pages: whom to ask"), \
        AP_INIT_TAKE2("MCPOAuthPageLink", mcp_set_page_link, NULL, RSRC_CONF, \
                      "a link at the foot of the pages: text and URL"), \
        AP_INIT_TAKE1("MCPOAuthPageTemplates", mcp_set_page_templates, NULL, RSRC_CONF, \
                      "directory of templates that replace the built-in ones"), \
        AP_INIT_TAKE1("MCPOAuthPageMessages", mcp_set_page_messages, NULL, RSRC_CONF, \
                      "directory of message files, LANGUAGE.json")

const char *mcp_set_page_language(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_page_logo(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_page_color(cmd_parms *cmd, void *dummy, const char *name, const char *light,
                               const char *dark);
const char *mcp_set_page_help(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_page_link(cmd_parms *cmd, void *dummy, const char *label, const char *url);
const char *mcp_set_page_templates(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_page_messages(cmd_parms *cmd, void *dummy, const char *arg);

#endif
