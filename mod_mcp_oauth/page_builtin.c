/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in pages and messages. Made by test/tools/pages.mjs --write from pages/ and messages/: edit those. */

#include "page_builtin.h"

#include <stddef.h>

/* clang-format off */

static const char frame_html[] =
    "<!DOCTYPE html>\n"
    "<html lang=\"{{lang}}\" dir=\"{{t.direction}}\">\n"
    "<head>\n"
    "<meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
    "<meta name=\"robots\" content=\"noindex\">\n"
    "<title>{{title}}</title>\n"
    "<style>{{>style}}</style>\n"
    "</head>\n"
    "<body>\n"
    "<header class=\"org\">{{#logo}}<img src=\"{{logo}}\" alt=\"\">{{/logo}}<bdi>{{org}}</bdi></header>\n"
    "<main>\n"
    "<h1>{{title}}</h1>\n"
    "{{>content}}\n"
    "</main>\n"
    "{{#footer}}\n"
    "<footer>\n"
    "{{#help}}<p>{{help}}</p>{{/help}}\n"
    "{{#links}}<a href=\"{{url}}\">{{label}}</a>\n"
    "{{/links}}\n"
    "</footer>\n"
    "{{/footer}}\n"
    "</body>\n"
    "</html>\n";

static const char consent_html[] =
    "{{#verified_host}}\n"
    "<p class=\"who\">{{t.described_by}} <strong class=\"badge\"><bdi>{{verified_host}}</bdi></strong></p>\n"
    "<p class=\"soft\">{{t.described_note}}</p>\n"
    "{{/verified_host}}\n"
    "{{#unverified}}\n"
    "<p class=\"note\">{{t.unverified}}</p>\n"
    "{{/unverified}}\n"
    "{{#client_url}}\n"
    "<p class=\"soft\">{{t.home_page}} <bdi>{{client_url}}</bdi></p>\n"
    "{{/client_url}}\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{form}}\">\n"
    "<h2>{{t.scopes_heading}}</h2>\n"
    "<ul class=\"scopes\">\n"
    "{{#scopes}}\n"
    "{{#optional}}<li class=\"optional\"><label><input type=\"checkbox\" name=\"{{field}}\" value=\"1\" checked><span>{{text}}</span></label></li>{{/optional}}\n"
    "{{^optional}}<li>{{text}}</li>{{/optional}}\n"
    "{{/scopes}}\n"
    "{{#no_scopes}}<li>{{t.scope_all}}</li>{{/no_scopes}}\n"
    "</ul>\n"
    "{{#any_optional}}<p class=\"soft\">{{t.optional_hint}}</p>{{/any_optional}}\n"
    "<h2>{{t.answer_heading}}</h2>\n"
    "{{#to_host}}<p class=\"host\"><bdi>{{to_host}}</bdi></p>{{/to_host}}\n"
    "{{#to_loopback}}\n"
    "<p class=\"host\">{{t.to_loopback}}</p>\n"
    "<p class=\"note\">{{t.loopback_warning}}</p>\n"
    "{{/to_loopback}}\n"
    "{{#to_scheme}}\n"
    "<p class=\"host\">{{t.to_scheme}}</p>\n"
    "<p class=\"note\">{{t.scheme_warning}}</p>\n"
    "{{/to_scheme}}\n"
    "<p class=\"uri\"><bdi>{{redirect}}</bdi></p>\n"
    "{{#account}}\n"
    "<h2>{{t.account_heading}}</h2>\n"
    "<p><bdi>{{account}}</bdi></p>\n"
    "{{/account}}\n"
    "{{#provider}}<p class=\"soft\">{{t.next_step}}</p>{{/provider}}\n"
    "{{#several}}\n"
    "<p class=\"soft\">{{t.next_choice}}</p>\n"
    "<ul class=\"soft\">\n"
    "{{#providers}}<li><bdi>{{label}}</bdi>: {{scope}}</li>\n"
    "{{/providers}}\n"
    "</ul>\n"
    "{{/several}}\n"
    "<div class=\"choice\">\n"
    "<button type=\"submit\" name=\"decision\" value=\"deny\">{{t.deny}}</button>\n"
    "<button type=\"submit\" name=\"decision\" value=\"allow\">{{t.allow}}</button>\n"
    "</div>\n"
    "</form>\n";

static const char notice_html[] =
    "{{#text}}<p>{{text}}</p>{{/text}}\n"
    "{{#form}}\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{form}}\">\n"
    "<div class=\"choice\"><button type=\"submit\">{{button}}</button></div>\n"
    "</form>\n"
    "{{/form}}\n"
    "{{#link_url}}<p><a href=\"{{link_url}}\">{{link_label}}</a></p>{{/link_url}}\n"
    "{{#reference}}<p class=\"soft\">{{t.reference}} <code>{{reference}}</code></p>{{/reference}}\n";

static const char connections_html[] =
    "{{#done}}<p class=\"done\" role=\"status\">{{done}}</p>{{/done}}\n"
    "{{#account}}<p class=\"soft\">{{t.signed_in_as}}</p>{{/account}}\n"
    "{{#uncertain}}<p class=\"note\">{{t.connections_uncertain}}</p>{{/uncertain}}\n"
    "{{^connections}}{{^uncertain}}<p>{{t.connections_none}}</p>{{/uncertain}}{{/connections}}\n"
    "{{#connections}}\n"
    "<section class=\"connection\">\n"
    "<h2><bdi>{{client}}</bdi></h2>\n"
    "{{#host}}<p class=\"who\">{{t.described_by}} <strong class=\"badge\"><bdi>{{host}}</bdi></strong></p>{{/host}}\n"
    "<dl>\n"
    "<dt>{{t.connection_resource}}</dt><dd><bdi>{{resource}}</bdi></dd>\n"
    "{{#since}}<dt>{{t.connection_since}}</dt><dd>{{since}}</dd>{{/since}}\n"
    "{{#last_used}}<dt>{{t.connection_last_used}}</dt><dd>{{last_used}}</dd>{{/last_used}}\n"
    "</dl>\n"
    "<ul class=\"scopes\">\n"
    "{{#scopes}}<li>{{text}}</li>\n"
    "{{/scopes}}\n"
    "</ul>\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{form}}\">\n"
    "<div class=\"choice\"><button type=\"submit\" aria-label=\"{{t.disconnect_label}}\">{{t.disconnect}}</button></div>\n"
    "</form>\n"
    "</section>\n"
    "{{/connections}}\n"
    "{{#signout_form}}\n"
    "<form method=\"post\" action=\"{{signout_action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{signout_form}}\">\n"
    "<div class=\"choice\"><button type=\"submit\">{{t.sign_out}}</button></div>\n"
    "</form>\n"
    "{{/signout_form}}\n";

static const char chooser_html[] =
    "<p>{{t.chooser_text}}</p>\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{form}}\">\n"
    "<div class=\"providers\">\n"
    "{{#providers}}\n"
    "<button type=\"submit\" name=\"provider\" value=\"{{name}}\">{{t.continue_with}}{{#last}} {{t.chosen_last}}{{/last}}</button>\n"
    "{{/providers}}\n"
    "</div>\n"
    "</form>\n";

static const char style_css[] =
    ":root{color-scheme:light dark;--ground:#f3f4f6;--card:#ffffff;--text:#1b1f27;--soft:#525a67;--line:#d9dde4;--accent:#1f5fbf;--note:#fff5dc;--note-line:#a86d00;--done:#e3f4e8;--done-line:#1c7a3d}@media (prefers-color-scheme:dark){:root{--ground:#121418;--card:#1c1f25;--text:#eceef2;--soft:#aab1bd;--line:#383e49;--accent:#8ab4ff;--note:#322810;--note-line:#d9a021;--done:#14301e;--done-line:#4fc27a}}*,::before,::after{box-sizing:border-box}body{margin:0 auto;max-width:36rem;padding:1.5rem 1rem 3rem;background:var(--ground);color:var(--text);font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}.org{display:flex;flex-wrap:wrap;align-items:center;gap:.75rem;margin:0 .25rem 1rem;color:var(--soft);font-weight:600}.org img{max-height:2.5rem;max-width:100%}main{padding:1.75rem;background:var(--card);border:1px solid var(--line);border-radius:1rem}h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.3}h2{margin:1.5rem 0 .375rem;font-size:1rem;line-height:1.4}p{margin:0 0 .75rem}a{color:var(--accent)}.soft{color:var(--soft)}.who{margin-bottom:.25rem}.badge{color:var(--accent)}.host{margin-bottom:.25rem;font-size:1.1875rem;font-weight:600;line-height:1.4}.uri{color:var(--soft);font-size:.875rem}.note,.done{margin:.5rem 0 1rem;padding:.7rem .9rem;border-inline-start:.25rem solid var(--note-line);border-radius:.375rem;background:var(--note)}.done{border-color:var(--done-line);background:var(--done)}.scopes{margin:0 0 .75rem;padding:0;list-style:none}.scopes li{position:relative;padding:.3125rem 0;padding-inline-start:1.875rem}.scopes li::before{position:absolute;inset-inline-start:.25rem;content:\"\\2713\" / \"\";color:var(--accent);font-weight:700}.scopes .optional{padding-inline-start:0}.scopes .optional::before{content:none}label{display:flex;gap:.625rem;align-items:flex-start;cursor:pointer}input[type=checkbox]{flex:none;width:1.25rem;height:1.25rem;margin:.15rem 0 0;accent-color:var(--accent)}.choice,.providers{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}.providers{flex-direction:column}button{flex:1 1 9rem;min-height:2.875rem;padding:.5rem 1rem;border:2px solid var(--soft);border-radius:.625rem;background:transparent;color:var(--text);font:inherit;font-weight:600;cursor:pointer}.providers button{flex:none;text-align:start}button:hover{border-color:var(--accent);color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}code{font:inherit;font-weight:600;user-select:all}.connection{margin-top:1.5rem;padding-top:.5rem;border-top:1px solid var(--line)}.connection h2{margin-top:.75rem;font-size:1.125rem}.connection .choice{margin-top:.75rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.125rem 1rem;margin:.5rem 0 .75rem}dt{color:var(--soft)}dd{margin:0}footer{margin:1.25rem .25rem 0;color:var(--soft);font-size:.9375rem}footer p{margin-bottom:.375rem}footer a{margin-inline-end:1rem}@media (max-width:26rem){main{padding:1.25rem 1rem}dl{grid-template-columns:1fr}dd{margin-bottom:.375rem}}@media (prefers-reduced-motion:no-preference){button{transition:border-color .15s,color .15s}}@media (forced-colors:active){button:hover{border-color:Highlight}}@media print{body{background:none}main{border:none;padding:0}.choice,.providers{display:none}}";

const mcp_builtin_page_t mcp_builtin_pages[] = {
    { "frame.html", frame_html },
    { "consent.html", consent_html },
    { "notice.html", notice_html },
    { "connections.html", connections_html },
    { "chooser.html", chooser_html },
    { "style.css", style_css },
    { NULL, NULL }
};

const char *const mcp_builtin_keys[] = {
    "direction",
    "month_1",
    "month_2",
    "month_3",
    "month_4",
    "month_5",
    "month_6",
    "month_7",
    "month_8",
    "month_9",
    "month_10",
    "month_11",
    "month_12",
    "date",
    "consent_title",
    "unnamed_client",
    "described_by",
    "described_note",
    "unverified",
    "home_page",
    "scopes_heading",
    "scope_all",
    "optional_hint",
    "answer_heading",
    "to_loopback",
    "loopback_warning",
    "to_scheme",
    "scheme_warning",
    "account_heading",
    "next_step",
    "next_choice",
    "identity",
    "deny",
    "allow",
    "reference",
    "error_bad_request_title",
    "error_bad_request_text",
    "error_unknown_client_title",
    "error_unknown_client_text",
    "error_redirect_title",
    "error_redirect_text",
    "error_expired_title",
    "error_expired_text",
    "error_wrong_browser_title",
    "error_wrong_browser_text",
    "error_forged_title",
    "error_forged_text",
    "error_method_title",
    "error_method_text",
    "error_too_large_title",
    "error_too_large_text",
    "error_unavailable_title",
    "error_unavailable_text",
    "error_too_many_title",
    "error_too_many_text",
    "error_denied_title",
    "error_denied_text",
    "error_provider_title",
    "error_provider_text",
    "chooser_title",
    "chooser_text",
    "continue_with",
    "chosen_last",
    "connections_title",
    "signed_in_as",
    "connections_none",
    "connections_uncertain",
    "connection_resource",
    "connection_since",
    "connection_last_used",
    "disconnect",
    "disconnect_label",
    "disconnected",
    "sign_out",
    "signout_title",
    "signout_text",
    "signed_out_title",
    "signed_out_text",
    NULL
};

static const char *const en[] = {
    "ltr", /* direction */
    "January", /* month_1 */
    "February", /* month_2 */
    "March", /* month_3 */
    "April", /* month_4 */
    "May", /* month_5 */
    "June", /* month_6 */
    "July", /* month_7 */
    "August", /* month_8 */
    "September", /* month_9 */
    "October", /* month_10 */
    "November", /* month_11 */
    "December", /* month_12 */
    "{day} {month} {year}", /* date */
    "{client} asks for access to {resource}", /* consent_title */
    "An application without a name", /* unnamed_client */
    "This application is described by", /* described_by */
    "Its name is what that site calls it.", /* described_note */
    "This application registered itself. Its name is what it calls itself and was not verified.", /* unverified */
    "It says that its home page is", /* home_page */
    "What it may do", /* scopes_heading */
    "Use {resource} in your name", /* scope_all */
    "You can untick what you do not want to allow.", /* optional_hint */
    "Where the answer goes", /* answer_heading */
    "a program on this computer ({to_loopback})", /* to_loopback */
    "Any program on this computer can pretend to be another. Allow this only if you have just asked an application here to connect.", /* loopback_warning */
    "the application on this device that opens {to_scheme}: links", /* to_scheme */
    "Allow this only if you have just asked that application to connect.", /* scheme_warning */
    "Your account", /* account_heading */
    "If you allow it, you sign in at {provider}, which is asked for: {provider_scope}. The application never sees your password, nor what that service tells us.", /* next_step */
    "If you allow it, you choose where you sign in. The application never sees your password, nor what that service tells us. What each is asked for:", /* next_choice */
    "your identity", /* identity */
    "Deny", /* deny */
    "Allow", /* allow */
    "Reference for the administrator:", /* reference */
    "This sign-in link does not work", /* error_bad_request_title */
    "The application sent a request that cannot be accepted. Go back to it and connect again. If that does not help, its makers have to look into it.", /* error_bad_request_text */
    "This application is not known here", /* error_unknown_client_title */
    "Its registration cannot be found. Go back to the application, remove this server, and add it again, so that it registers anew.", /* error_unknown_client_text */
    "The way back is not registered", /* error_redirect_title */
    "The application asked for the answer to be sent to an address that it has not registered. For your safety nothing was sent there. Remove this server in the application and add it again.", /* error_redirect_text */
    "This step has expired", /* error_expired_title */
    "Too much time has passed, or the step was done already. Go back to the application and connect again.", /* error_expired_text */
    "Please start again in this browser", /* error_wrong_browser_title */
    "This sign-in was not begun in this browser, or its cookie is gone. Go back to the application and connect again. If somebody sent you a link that led here, do not follow it.", /* error_wrong_browser_text */
    "This request was not sent by our page", /* error_forged_title */
    "For your safety nothing was done. Go back to the application and connect again.", /* error_forged_text */
    "There is nothing to see here", /* error_method_title */
    "This address is one step of a sign-in and cannot be opened by itself. Go back to the application and connect again.", /* error_method_text */
    "This request is too large", /* error_too_large_title */
    "The application sent more than can be accepted. Go back to it and connect again.", /* error_too_large_text */
    "Please try again in a moment", /* error_unavailable_title */
    "The sign-in cannot be done just now. Nothing is lost: go back to the application and connect again.", /* error_unavailable_text */
    "Too many attempts", /* error_too_many_title */
    "This application, or somebody in your network, has tried to connect too often in a short time. Wait a minute, then go back to the application and connect again.", /* error_too_many_text */
    "Access was denied", /* error_denied_title */
    "Nothing was given to the application. You can close this window.", /* error_denied_text */
    "The sign-in service reported a problem", /* error_provider_title */
    "You could not be signed in. Go back to the application and connect again. If that does not help, ask your administrator.", /* error_provider_text */
    "How do you want to sign in?", /* chooser_title */
    "{client} asks for access to {resource}.", /* chooser_text */
    "Continue with {label}", /* continue_with */
    "(as last time)", /* chosen_last */
    "Applications with access", /* connections_title */
    "Signed in as {account}", /* signed_in_as */
    "No application has access in your name.", /* connections_none */
    "The list may be incomplete: what was stored here cannot be read just now, or was lost. Applications that are missing may still have access until they connect again.", /* connections_uncertain */
    "Access to", /* connection_resource */
    "Since", /* connection_since */
    "Last used", /* connection_last_used */
    "Take access back", /* disconnect */
    "Take access back from {client}", /* disconnect_label */
    "{client} has no access any more.", /* disconnected */
    "Sign out", /* sign_out */
    "Sign out?", /* signout_title */
    "Applications that have access keep it. You can take it back on the page of your connections.", /* signout_text */
    "You are signed out", /* signed_out_title */
    "You can close this window.", /* signed_out_text */
};

const mcp_builtin_language_t mcp_builtin_languages[] = {
    { "en", en, 0 },
    { NULL, NULL, 0 }
};
