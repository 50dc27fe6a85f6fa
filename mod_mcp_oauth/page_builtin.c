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
    "{{#help}}<p><bdi>{{help}}</bdi></p>{{/help}}\n"
    "{{#links}}<a href=\"{{url}}\"><bdi>{{label}}</bdi></a>\n"
    "{{/links}}\n"
    "</footer>\n"
    "{{/footer}}\n"
    "</body>\n"
    "</html>\n";

static const char consent_html[] =
    "{{#client_logo}}\n"
    "<div class=\"logo\"><img src=\"{{client_logo}}\" alt=\"\"></div>\n"
    "{{/client_logo}}\n"
    "{{#verified_host}}\n"
    "<p class=\"who\">{{t.described_by}} <strong class=\"badge\"><bdi>{{verified_host}}</bdi></strong></p>\n"
    "<p class=\"soft\">{{#client_logo}}{{t.described_note_logo}}{{/client_logo}}{{^client_logo}}{{t.described_note}}{{/client_logo}}</p>\n"
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
    "{{#optional}}<li class=\"optional\"><label><input type=\"checkbox\" name=\"{{field}}\" value=\"1\" checked><span><bdi>{{text}}</bdi></span></label></li>{{/optional}}\n"
    "{{^optional}}<li><bdi>{{text}}</bdi></li>{{/optional}}\n"
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
    "{{^connections}}<p>{{t.connections_none}}</p>{{/connections}}\n"
    "{{#connections}}\n"
    "<section class=\"connection\">\n"
    "<div class=\"named\">\n"
    "{{#client_logo}}<div class=\"logo\"><img src=\"{{client_logo}}\" alt=\"\"></div>{{/client_logo}}\n"
    "<h2><bdi>{{client}}</bdi></h2>\n"
    "</div>\n"
    "{{#host}}<p class=\"who\">{{t.described_by}} <strong class=\"badge\"><bdi>{{host}}</bdi></strong></p>{{/host}}\n"
    "{{#unverified}}<p class=\"soft\">{{t.unverified}}</p>{{/unverified}}\n"
    "<dl>\n"
    "<dt>{{t.connection_resource}}</dt><dd><bdi>{{resource}}</bdi></dd>\n"
    "{{#since}}<dt>{{t.connection_since}}</dt><dd>{{since}}</dd>{{/since}}\n"
    "{{#last_used}}<dt>{{t.connection_last_used}}</dt><dd>{{last_used}}</dd>{{/last_used}}\n"
    "</dl>\n"
    "<ul class=\"scopes\">\n"
    "{{#scopes}}<li><bdi>{{text}}</bdi></li>\n"
    "{{/scopes}}\n"
    "</ul>\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{form}}\">\n"
    "<div class=\"choice\"><button type=\"submit\" aria-label=\"{{t.disconnect_label}}\">{{t.disconnect}}</button></div>\n"
    "</form>\n"
    "</section>\n"
    "{{/connections}}\n"
    "{{#all_form}}\n"
    "<form method=\"post\" action=\"{{action}}\">\n"
    "<input type=\"hidden\" name=\"form\" value=\"{{all_form}}\">\n"
    "<div class=\"choice\"><button type=\"submit\">{{t.disconnect_all}}</button></div>\n"
    "</form>\n"
    "{{/all_form}}\n"
    "<p class=\"soft\">{{t.connections_note}}</p>\n"
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
    ":root{color-scheme:light dark;--ground:#f3f4f6;--card:#ffffff;--text:#1b1f27;--soft:#525a67;--line:#d9dde4;--accent:#1f5fbf;--note:#fff5dc;--note-line:#a86d00;--done:#e3f4e8;--done-line:#1c7a3d}@media (prefers-color-scheme:dark){:root{--ground:#121418;--card:#1c1f25;--text:#eceef2;--soft:#aab1bd;--line:#383e49;--accent:#8ab4ff;--note:#322810;--note-line:#d9a021;--done:#14301e;--done-line:#4fc27a}}*,::before,::after{box-sizing:border-box}body{margin:0 auto;max-width:36rem;padding:1.5rem 1rem 3rem;background:var(--ground);color:var(--text);font:1rem/1.55 system-ui,sans-serif;overflow-wrap:anywhere}.org{display:flex;flex-wrap:wrap;align-items:center;gap:.75rem;margin:0 .25rem 1rem;color:var(--soft);font-weight:600}.org img{max-height:2.5rem;max-width:100%}main{padding:1.75rem;background:var(--card);border:1px solid var(--line);border-radius:1rem}h1,h2,.host{text-wrap:balance}p,li{text-wrap:pretty}:lang(ja){word-break:auto-phrase}h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.3}h2{margin:1.5rem 0 .375rem;font-size:1rem;line-height:1.4}p{margin:0 0 .75rem}a{color:var(--accent)}.soft{color:var(--soft)}.who{margin-bottom:.25rem}.logo{flex:none;width:3rem;height:3rem;margin-bottom:.5rem}.logo img{display:block;width:100%;height:100%;object-fit:contain}.badge{color:var(--accent)}.host{margin-bottom:.25rem;font-size:1.1875rem;font-weight:600;line-height:1.4}.uri{color:var(--soft);font-size:.875rem}.note,.done{margin:.5rem 0 1rem;padding:.7rem .9rem;border-inline-start:.25rem solid var(--note-line);border-radius:.375rem;background:var(--note)}.done{border-color:var(--done-line);background:var(--done)}.scopes{margin:0 0 .75rem;padding:0;list-style:none}.scopes li{position:relative;padding:.3125rem 0;padding-inline-start:1.875rem}.scopes li::before{position:absolute;inset-inline-start:.25rem;content:\"\\2713\" / \"\";color:var(--accent);font-weight:700}.scopes .optional{padding-inline-start:0}.scopes .optional::before{content:none}label{display:flex;gap:.625rem;align-items:flex-start;cursor:pointer}input[type=checkbox]{flex:none;width:1.25rem;height:1.25rem;margin:.15rem 0 0;accent-color:var(--accent)}.choice,.providers{display:flex;flex-wrap:wrap;gap:.75rem;margin-top:1.5rem}.providers{flex-direction:column}button{flex:1 1 9rem;min-height:2.875rem;padding:.5rem 1rem;border:2px solid var(--soft);border-radius:.625rem;background:transparent;color:var(--text);font:inherit;font-weight:600;cursor:pointer}.providers button{flex:none;text-align:start}button:hover{border-color:var(--accent);color:var(--accent)}:focus-visible{outline:3px solid var(--accent);outline-offset:2px}code{font:inherit;font-weight:600;user-select:all}.connection{margin-top:1.5rem;padding-top:.5rem;border-top:1px solid var(--line)}.connection h2{margin:0;font-size:1.125rem}.named{display:flex;gap:.75rem;align-items:center;margin:.75rem 0 .375rem}.named .logo{margin:0}.connection .choice{margin-top:.75rem}form + p{margin-top:1rem}dl{display:grid;grid-template-columns:max-content 1fr;gap:.125rem 1rem;margin:.5rem 0 .75rem}dt{color:var(--soft)}dd{margin:0}footer{margin:1.25rem .25rem 0;color:var(--soft);font-size:.9375rem}footer p{margin-bottom:.375rem}footer a{margin-inline-end:1rem}@media (max-width:26rem){main{padding:1.25rem 1rem}dl{grid-template-columns:1fr}dd{margin-bottom:.375rem}}@media (prefers-reduced-motion:no-preference){button{transition:border-color .15s,color .15s}}@media (forced-colors:active){button:hover{border-color:Highlight}:focus-visible{outline-color:Highlight}}@media print{:root{color-scheme:light;--text:#000;--soft:#333;--accent:#000;--line:#999}body{background:none}main{border:none;padding:0}.choice,.providers{display:none}}";

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
    "described_note_logo",
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
    "error_client_document_title",
    "error_client_document_text",
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
    "connections_note",
    "connection_resource",
    "connection_since",
    "connection_last_used",
    "disconnect",
    "disconnect_label",
    "disconnect_all",
    "disconnected_all",
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
    "Its name and logo come from that site.", /* described_note_logo */
    "This application registered itself. Its name is what it calls itself and was not verified.", /* unverified */
    "It says that its home page is", /* home_page */
    "What it may do", /* scopes_heading */
    "Use {resource} on your behalf", /* scope_all */
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
    "This application cannot be looked up", /* error_client_document_title */
    "It says that it is described at a web address, which this server cannot read just now. Wait a minute, then go back to the application and connect again. If that does not help, tell your administrator the reference below.", /* error_client_document_text */
    "Too many attempts", /* error_too_many_title */
    "This application, or somebody in your network, has tried to connect too often in a short time. Wait a minute, then go back to the application and connect again.", /* error_too_many_text */
    "Access was denied", /* error_denied_title */
    "You said no, or the sign-in service did. Nothing was given to any application. You can close this window.", /* error_denied_text */
    "The sign-in service reported a problem", /* error_provider_title */
    "You could not be signed in. Go back to the application and connect again. If that does not help, ask your administrator.", /* error_provider_text */
    "How do you want to sign in?", /* chooser_title */
    "{client} asks for access to {resource}.", /* chooser_text */
    "Continue with {label}", /* continue_with */
    "(as last time)", /* chosen_last */
    "Applications with access", /* connections_title */
    "Signed in as {account}", /* signed_in_as */
    "No application that is known here has access on your behalf.", /* connections_none */
    "This list goes back to {uncertain}. An application that was given access before, and has not been used since, may be missing here and still have access.", /* connections_uncertain */
    "An application counts as used when it renews its access, which it does about once an hour while it works.", /* connections_note */
    "Access to", /* connection_resource */
    "Since", /* connection_since */
    "Last used", /* connection_last_used */
    "Take access back", /* disconnect */
    "Take access back from {client}", /* disconnect_label */
    "Take all access back", /* disconnect_all */
    "No application has access any more.", /* disconnected_all */
    "{client} has no access any more.", /* disconnected */
    "Sign out", /* sign_out */
    "Sign out?", /* signout_title */
    "Applications that have access keep it. You can take it back on the page of your connections.", /* signout_text */
    "You are signed out", /* signed_out_title */
    "You can close this window.", /* signed_out_text */
};

static const char *const ar[] = {
    "rtl", /* direction */
    "يناير", /* month_1 */
    "فبراير", /* month_2 */
    "مارس", /* month_3 */
    "أبريل", /* month_4 */
    "مايو", /* month_5 */
    "يونيو", /* month_6 */
    "يوليو", /* month_7 */
    "أغسطس", /* month_8 */
    "سبتمبر", /* month_9 */
    "أكتوبر", /* month_10 */
    "نوفمبر", /* month_11 */
    "ديسمبر", /* month_12 */
    "{day} {month} {year}", /* date */
    "يطلب {client} الوصول إلى {resource}", /* consent_title */
    "تطبيق بلا اسم", /* unnamed_client */
    "بيانات هذا التطبيق مصدرها", /* described_by */
    "اسمه هو الاسم الذي يطلقه عليه ذلك الموقع.", /* described_note */
    "اسمه وشعاره مصدرهما ذلك الموقع.", /* described_note_logo */
    "سجّل هذا التطبيق نفسه بنفسه، واسمه من اختياره ولم يتم التحقق منه.", /* unverified */
    "يذكر أن صفحته الرئيسية هي:", /* home_page */
    "ما يُسمح له به", /* scopes_heading */
    "استخدام {resource} باسمك", /* scope_all */
    "يمكنك إلغاء تحديد ما لا تريد السماح به.", /* optional_hint */
    "إلى أين تُرسل النتيجة", /* answer_heading */
    "إلى برنامج على هذا الحاسوب ({to_loopback})", /* to_loopback */
    "يستطيع أي برنامج على هذا الحاسوب أن ينتحل صفة برنامج آخر. لا تسمح بذلك إلا إذا كنت قد طلبت للتو بنفسك من تطبيق على هذا الحاسوب أن يتصل.", /* loopback_warning */
    "إلى التطبيق الذي يفتح روابط {to_scheme}: على هذا الجهاز", /* to_scheme */
    "لا تسمح بذلك إلا إذا كنت قد طلبت للتو بنفسك من ذلك التطبيق أن يتصل.", /* scheme_warning */
    "حسابك", /* account_heading */
    "إذا سمحت بذلك، فستسجّل الدخول لدى {provider}، وسيُطلب منه: {provider_scope}. لا يرى التطبيق كلمة مرورك ولا ما تخبرنا به تلك الخدمة.", /* next_step */
    "إذا سمحت بذلك، فستختار أين تسجّل الدخول. لا يرى التطبيق كلمة مرورك ولا ما تخبرنا به تلك الخدمة. ما يُطلب من كل منها:", /* next_choice */
    "هويتك", /* identity */
    "رفض", /* deny */
    "سماح", /* allow */
    "الرقم المرجعي للمسؤول:", /* reference */
    "رابط تسجيل الدخول هذا لا يعمل", /* error_bad_request_title */
    "أرسل التطبيق طلبًا لا يمكن قبوله. عُد إلى التطبيق وأعد الاتصال. إذا لم يُجدِ ذلك، فعلى مطوّري التطبيق النظر في الأمر.", /* error_bad_request_text */
    "هذا التطبيق غير معروف هنا", /* error_unknown_client_title */
    "تعذّر العثور على تسجيله. عُد إلى التطبيق واحذف هذا الخادم ثم أضفه من جديد كي يسجّل نفسه مرة أخرى.", /* error_unknown_client_text */
    "عنوان العودة غير مسجّل", /* error_redirect_title */
    "طلب التطبيق إرسال النتيجة إلى عنوان لم يسجّله. حفاظًا على سلامتك لم يُرسل إليه شيء. احذف هذا الخادم في التطبيق ثم أضفه من جديد.", /* error_redirect_text */
    "انتهت صلاحية هذه الخطوة", /* error_expired_title */
    "مضى وقت طويل، أو أن الخطوة قد أُنجزت من قبل. عُد إلى التطبيق وأعد الاتصال.", /* error_expired_text */
    "يُرجى البدء من جديد في هذا المتصفح", /* error_wrong_browser_title */
    "لم يبدأ تسجيل الدخول هذا في هذا المتصفح، أو أن ملف تعريف الارتباط الخاص به لم يعد موجودًا. عُد إلى التطبيق وأعد الاتصال. إذا أرسل إليك أحدهم رابطًا أدّى بك إلى هنا، فلا تتبعه.", /* error_wrong_browser_text */
    "لم يُرسل هذا الطلب من صفحتنا", /* error_forged_title */
    "حفاظًا على سلامتك لم يُنفَّذ أي شيء. عُد إلى التطبيق وأعد الاتصال.", /* error_forged_text */
    "لا شيء يُعرض هنا", /* error_method_title */
    "هذا العنوان خطوة من خطوات تسجيل الدخول ولا يمكن فتحه وحده. عُد إلى التطبيق وأعد الاتصال.", /* error_method_text */
    "هذا الطلب أكبر من اللازم", /* error_too_large_title */
    "أرسل التطبيق أكثر مما يمكن قبوله. عُد إلى التطبيق وأعد الاتصال.", /* error_too_large_text */
    "يُرجى المحاولة مرة أخرى بعد قليل", /* error_unavailable_title */
    "يتعذّر تسجيل الدخول في الوقت الحالي. لم يُفقد شيء: عُد إلى التطبيق وأعد الاتصال.", /* error_unavailable_text */
    "لا يمكن التحقق من هذا التطبيق", /* error_client_document_title */
    "يشير التطبيق إلى عنوان ويب يَرِد فيه وصفه، ولا يستطيع هذا الخادم قراءته في الوقت الحالي. انتظر دقيقة، ثم عُد إلى التطبيق وأعد الاتصال. إذا لم يُجدِ ذلك، فأبلغ المسؤول لديك بالمرجع أدناه.", /* error_client_document_text */
    "محاولات كثيرة جدًا", /* error_too_many_title */
    "حاول هذا التطبيق، أو شخص ما في شبكتك، الاتصال مرات كثيرة في وقت قصير. انتظر دقيقة، ثم عُد إلى التطبيق وأعد الاتصال.", /* error_too_many_text */
    "تم رفض الوصول", /* error_denied_title */
    "رفضتَ أنت أو رفضت خدمة تسجيل الدخول. لم يُعطَ أي تطبيق شيئًا. يمكنك إغلاق هذه النافذة.", /* error_denied_text */
    "أبلغت خدمة تسجيل الدخول عن مشكلة", /* error_provider_title */
    "تعذّر تسجيل دخولك. عُد إلى التطبيق وأعد الاتصال. إذا لم يُجدِ ذلك، فاسأل المسؤول لديك.", /* error_provider_text */
    "كيف تريد تسجيل الدخول؟", /* chooser_title */
    "يطلب {client} الوصول إلى {resource}.", /* chooser_text */
    "المتابعة باستخدام {label}", /* continue_with */
    "(كما في المرة السابقة)", /* chosen_last */
    "التطبيقات التي لديها حق الوصول", /* connections_title */
    "تم تسجيل الدخول باسم {account}", /* signed_in_as */
    "لا يملك أي تطبيق معروف هنا حق الوصول باسمك.", /* connections_none */
    "تعود هذه القائمة إلى {uncertain}. قد يغيب عنها تطبيق مُنح حق الوصول قبل ذلك ولم يُستخدم منذئذ، ومع ذلك يظل قادرًا على الوصول.", /* connections_uncertain */
    "يُعد التطبيق مستخدمًا عندما يجدد حق وصوله، ويفعل ذلك نحو مرة كل ساعة ما دام يعمل.", /* connections_note */
    "الوصول إلى", /* connection_resource */
    "منذ", /* connection_since */
    "آخر استخدام", /* connection_last_used */
    "سحب حق الوصول", /* disconnect */
    "سحب حق الوصول من {client}", /* disconnect_label */
    "سحب كل حقوق الوصول", /* disconnect_all */
    "لم يعد لدى أي تطبيق حق الوصول.", /* disconnected_all */
    "لم يعد لدى {client} حق الوصول.", /* disconnected */
    "تسجيل الخروج", /* sign_out */
    "هل تريد تسجيل الخروج؟", /* signout_title */
    "تحتفظ التطبيقات التي لديها حق الوصول به. يمكنك سحبه في صفحة اتصالاتك.", /* signout_text */
    "تم تسجيل خروجك", /* signed_out_title */
    "يمكنك إغلاق هذه النافذة.", /* signed_out_text */
};

static const char *const de[] = {
    "ltr", /* direction */
    "Januar", /* month_1 */
    "Februar", /* month_2 */
    "März", /* month_3 */
    "April", /* month_4 */
    "Mai", /* month_5 */
    "Juni", /* month_6 */
    "Juli", /* month_7 */
    "August", /* month_8 */
    "September", /* month_9 */
    "Oktober", /* month_10 */
    "November", /* month_11 */
    "Dezember", /* month_12 */
    "{day}. {month} {year}", /* date */
    "{client} möchte auf {resource} zugreifen", /* consent_title */
    "Eine Anwendung ohne Namen", /* unnamed_client */
    "Diese Anwendung wird beschrieben von", /* described_by */
    "Der Name der Anwendung stammt von dieser Website.", /* described_note */
    "Name und Logo der Anwendung stammen von dieser Website.", /* described_note_logo */
    "Diese Anwendung hat sich selbst registriert. Den Namen hat sie sich selbst gegeben; er wurde nicht überprüft.", /* unverified */
    "Als ihre Website gibt sie an:", /* home_page */
    "Was sie tun darf", /* scopes_heading */
    "{resource} in Ihrem Namen benutzen", /* scope_all */
    "Was Sie nicht erlauben möchten, können Sie abwählen.", /* optional_hint */
    "Wohin die Antwort geht", /* answer_heading */
    "an ein Programm auf diesem Computer ({to_loopback})", /* to_loopback */
    "Jedes Programm auf diesem Computer kann sich als ein anderes ausgeben. Erlauben Sie dies nur, wenn Sie gerade selbst eine Anwendung auf diesem Computer verbinden wollten.", /* loopback_warning */
    "an die Anwendung auf diesem Gerät, die Links mit {to_scheme}: öffnet", /* to_scheme */
    "Erlauben Sie dies nur, wenn Sie gerade selbst diese Anwendung verbinden wollten.", /* scheme_warning */
    "Ihr Konto", /* account_heading */
    "Wenn Sie zustimmen, melden Sie sich bei {provider} an. Dort wird angefragt: {provider_scope}. Die Anwendung erfährt weder Ihr Passwort noch, was dieser Dienst uns mitteilt.", /* next_step */
    "Wenn Sie zustimmen, wählen Sie, wo Sie sich anmelden. Die Anwendung erfährt weder Ihr Passwort noch, was dieser Dienst uns mitteilt. Angefragt wird jeweils:", /* next_choice */
    "wer Sie sind", /* identity */
    "Ablehnen", /* deny */
    "Erlauben", /* allow */
    "Kennung für die Administration:", /* reference */
    "Dieser Anmeldelink funktioniert nicht", /* error_bad_request_title */
    "Die Anwendung hat eine Anfrage geschickt, die nicht angenommen werden kann. Gehen Sie zu ihr zurück und stellen Sie die Verbindung erneut her. Hilft das nicht, muss der Hersteller der Anwendung nachsehen.", /* error_bad_request_text */
    "Diese Anwendung ist hier nicht bekannt", /* error_unknown_client_title */
    "Die Registrierung der Anwendung ist nicht zu finden. Gehen Sie zur Anwendung zurück, entfernen Sie diesen Server und fügen Sie ihn wieder hinzu, damit sie sich neu registriert.", /* error_unknown_client_text */
    "Die Rückadresse ist nicht registriert", /* error_redirect_title */
    "Die Anwendung wollte die Antwort an eine Adresse schicken lassen, die sie nicht registriert hat. Zu Ihrer Sicherheit wurde nichts dorthin geschickt. Entfernen Sie diesen Server in der Anwendung und fügen Sie ihn wieder hinzu.", /* error_redirect_text */
    "Dieser Schritt ist abgelaufen", /* error_expired_title */
    "Es ist zu viel Zeit vergangen, oder der Schritt wurde schon ausgeführt. Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her.", /* error_expired_text */
    "Bitte beginnen Sie in diesem Browser neu", /* error_wrong_browser_title */
    "Diese Anmeldung wurde nicht in diesem Browser begonnen, oder sein Cookie ist nicht mehr da. Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her. Hat Ihnen jemand einen Link geschickt, der hierher geführt hat, folgen Sie ihm nicht.", /* error_wrong_browser_text */
    "Diese Anfrage kam nicht von unserer Seite", /* error_forged_title */
    "Zu Ihrer Sicherheit wurde nichts getan. Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her.", /* error_forged_text */
    "Hier gibt es nichts zu sehen", /* error_method_title */
    "Diese Adresse ist ein Schritt einer Anmeldung und lässt sich nicht einzeln öffnen. Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her.", /* error_method_text */
    "Diese Anfrage ist zu groß", /* error_too_large_title */
    "Die Anwendung hat mehr geschickt, als angenommen werden kann. Gehen Sie zu ihr zurück und stellen Sie die Verbindung erneut her.", /* error_too_large_text */
    "Bitte versuchen Sie es gleich noch einmal", /* error_unavailable_title */
    "Die Anmeldung ist im Augenblick nicht möglich. Es ist nichts verloren: Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her.", /* error_unavailable_text */
    "Diese Anwendung kann nicht nachgeschlagen werden", /* error_client_document_title */
    "Sie verweist auf eine Webadresse, an der sie beschrieben ist und die dieser Server im Augenblick nicht lesen kann. Warten Sie eine Minute, gehen Sie dann zur Anwendung zurück und stellen Sie die Verbindung erneut her. Wenn das nicht hilft, nennen Sie Ihrer Administration die Referenz unten.", /* error_client_document_text */
    "Zu viele Versuche", /* error_too_many_title */
    "Diese Anwendung oder jemand in Ihrem Netz hat in kurzer Zeit zu oft versucht, sich zu verbinden. Warten Sie eine Minute, gehen Sie dann zur Anwendung zurück und stellen Sie die Verbindung erneut her.", /* error_too_many_text */
    "Der Zugriff wurde abgelehnt", /* error_denied_title */
    "Sie oder der Anmeldedienst haben abgelehnt. Keine Anwendung hat etwas erhalten. Sie können dieses Fenster schließen.", /* error_denied_text */
    "Der Anmeldedienst hat ein Problem gemeldet", /* error_provider_title */
    "Sie konnten nicht angemeldet werden. Gehen Sie zur Anwendung zurück und stellen Sie die Verbindung erneut her. Hilft das nicht, fragen Sie Ihre Administration.", /* error_provider_text */
    "Wie möchten Sie sich anmelden?", /* chooser_title */
    "{client} möchte auf {resource} zugreifen.", /* chooser_text */
    "Weiter mit {label}", /* continue_with */
    "(wie zuletzt)", /* chosen_last */
    "Anwendungen mit Zugriff", /* connections_title */
    "Angemeldet als {account}", /* signed_in_as */
    "Keine Anwendung, die hier bekannt ist, hat in Ihrem Namen Zugriff.", /* connections_none */
    "Diese Liste reicht bis {uncertain} zurück. Eine Anwendung, die davor Zugriff bekam und seitdem nicht benutzt wurde, fehlt hier vielleicht und hat weiterhin Zugriff.", /* connections_uncertain */
    "Als benutzt gilt eine Anwendung, wenn sie ihren Zugriff erneuert; das tut sie etwa einmal in der Stunde, solange sie arbeitet.", /* connections_note */
    "Zugriff auf", /* connection_resource */
    "Seit", /* connection_since */
    "Zuletzt benutzt", /* connection_last_used */
    "Zugriff entziehen", /* disconnect */
    "{client} den Zugriff entziehen", /* disconnect_label */
    "Allen Anwendungen den Zugriff entziehen", /* disconnect_all */
    "Keine Anwendung hat mehr Zugriff.", /* disconnected_all */
    "{client} hat keinen Zugriff mehr.", /* disconnected */
    "Abmelden", /* sign_out */
    "Abmelden?", /* signout_title */
    "Anwendungen, die Zugriff haben, behalten ihn. Auf der Seite Ihrer Verbindungen können Sie ihn entziehen.", /* signout_text */
    "Sie sind abgemeldet", /* signed_out_title */
    "Sie können dieses Fenster schließen.", /* signed_out_text */
};

static const char *const es[] = {
    "ltr", /* direction */
    "enero", /* month_1 */
    "febrero", /* month_2 */
    "marzo", /* month_3 */
    "abril", /* month_4 */
    "mayo", /* month_5 */
    "junio", /* month_6 */
    "julio", /* month_7 */
    "agosto", /* month_8 */
    "septiembre", /* month_9 */
    "octubre", /* month_10 */
    "noviembre", /* month_11 */
    "diciembre", /* month_12 */
    "{day} de {month} de {year}", /* date */
    "{client} solicita acceso a {resource}", /* consent_title */
    "Una aplicación sin nombre", /* unnamed_client */
    "Esta aplicación está descrita por", /* described_by */
    "Su nombre es el que le da ese sitio.", /* described_note */
    "Su nombre y su logotipo los proporciona ese sitio.", /* described_note_logo */
    "Esta aplicación se registró a sí misma. Su nombre es el que ella misma se da y no se ha verificado.", /* unverified */
    "Indica como página de inicio:", /* home_page */
    "Qué podrá hacer", /* scopes_heading */
    "Usar {resource} en su nombre", /* scope_all */
    "Puede desmarcar lo que no quiera permitir.", /* optional_hint */
    "Adónde se envía la respuesta", /* answer_heading */
    "a un programa de este equipo ({to_loopback})", /* to_loopback */
    "Cualquier programa de este equipo puede hacerse pasar por otro. Permítalo solo si acaba de pedir a una aplicación de este equipo que se conecte.", /* loopback_warning */
    "a la aplicación de este dispositivo que abre los enlaces {to_scheme}:", /* to_scheme */
    "Permítalo solo si acaba de pedir a esa aplicación que se conecte.", /* scheme_warning */
    "Su cuenta", /* account_heading */
    "Si lo permite, iniciará sesión en {provider}, donde se solicitará: {provider_scope}. La aplicación no ve su contraseña ni lo que ese servicio nos comunica.", /* next_step */
    "Si lo permite, elegirá dónde iniciar sesión. La aplicación no ve su contraseña ni lo que ese servicio nos comunica. A cada uno se le solicita:", /* next_choice */
    "su identidad", /* identity */
    "Denegar", /* deny */
    "Permitir", /* allow */
    "Referencia para el administrador:", /* reference */
    "Este enlace de inicio de sesión no funciona", /* error_bad_request_title */
    "La aplicación envió una solicitud que no se puede aceptar. Vuelva a la aplicación y conéctela de nuevo. Si eso no ayuda, los autores de la aplicación deben revisarlo.", /* error_bad_request_text */
    "Aquí no se conoce esta aplicación", /* error_unknown_client_title */
    "No se encuentra su registro. Vuelva a la aplicación, quite este servidor y añádalo otra vez para que se registre de nuevo.", /* error_unknown_client_text */
    "La dirección de retorno no está registrada", /* error_redirect_title */
    "La aplicación pidió que la respuesta se enviara a una dirección que no ha registrado. Por su seguridad, no se envió nada allí. Quite este servidor en la aplicación y añádalo otra vez.", /* error_redirect_text */
    "Este paso ha caducado", /* error_expired_title */
    "Ha pasado demasiado tiempo o el paso ya se completó. Vuelva a la aplicación y conéctela de nuevo.", /* error_expired_text */
    "Empiece de nuevo en este navegador", /* error_wrong_browser_title */
    "Este inicio de sesión no se empezó en este navegador, o su cookie ya no está. Vuelva a la aplicación y conéctela de nuevo. Si alguien le envió un enlace que conducía aquí, no lo siga.", /* error_wrong_browser_text */
    "Esta solicitud no procede de nuestra página", /* error_forged_title */
    "Por su seguridad, no se hizo nada. Vuelva a la aplicación y conéctela de nuevo.", /* error_forged_text */
    "Aquí no hay nada que ver", /* error_method_title */
    "Esta dirección es un paso de un inicio de sesión y no se puede abrir por sí sola. Vuelva a la aplicación y conéctela de nuevo.", /* error_method_text */
    "Esta solicitud es demasiado grande", /* error_too_large_title */
    "La aplicación envió más de lo que se puede aceptar. Vuelva a la aplicación y conéctela de nuevo.", /* error_too_large_text */
    "Inténtelo de nuevo en un momento", /* error_unavailable_title */
    "Ahora mismo no es posible iniciar sesión. No se ha perdido nada: vuelva a la aplicación y conéctela de nuevo.", /* error_unavailable_text */
    "No se puede consultar esta aplicación", /* error_client_document_title */
    "Indica una dirección web donde está descrita y que este servidor no puede leer ahora mismo. Espere un minuto, vuelva a la aplicación y conéctela de nuevo. Si eso no ayuda, comunique a su administrador la referencia de abajo.", /* error_client_document_text */
    "Demasiados intentos", /* error_too_many_title */
    "Esta aplicación, o alguien de su red, ha intentado conectarse demasiadas veces en poco tiempo. Espere un minuto, vuelva a la aplicación y conéctela de nuevo.", /* error_too_many_text */
    "Se denegó el acceso", /* error_denied_title */
    "Usted, o el servicio de inicio de sesión, no lo ha permitido. No se ha entregado nada a ninguna aplicación. Puede cerrar esta ventana.", /* error_denied_text */
    "El servicio de inicio de sesión informó de un problema", /* error_provider_title */
    "No se pudo iniciar su sesión. Vuelva a la aplicación y conéctela de nuevo. Si eso no ayuda, consulte a su administrador.", /* error_provider_text */
    "¿Cómo desea iniciar sesión?", /* chooser_title */
    "{client} solicita acceso a {resource}.", /* chooser_text */
    "Continuar con {label}", /* continue_with */
    "(como la última vez)", /* chosen_last */
    "Aplicaciones con acceso", /* connections_title */
    "Sesión iniciada como {account}", /* signed_in_as */
    "Ninguna aplicación conocida aquí tiene acceso en su nombre.", /* connections_none */
    "Esta lista se remonta al {uncertain}. Una aplicación que recibió acceso antes y no se ha usado desde entonces puede faltar aquí y seguir teniendo acceso.", /* connections_uncertain */
    "Una aplicación cuenta como usada cuando renueva su acceso, lo que hace más o menos una vez por hora mientras trabaja.", /* connections_note */
    "Acceso a", /* connection_resource */
    "Desde", /* connection_since */
    "Último uso", /* connection_last_used */
    "Retirar el acceso", /* disconnect */
    "Retirar el acceso a {client}", /* disconnect_label */
    "Retirar todos los accesos", /* disconnect_all */
    "Ya ninguna aplicación tiene acceso.", /* disconnected_all */
    "{client} ya no tiene acceso.", /* disconnected */
    "Cerrar sesión", /* sign_out */
    "¿Cerrar sesión?", /* signout_title */
    "Las aplicaciones que tienen acceso lo conservan. Puede retirárselo en la página de sus conexiones.", /* signout_text */
    "Sesión cerrada", /* signed_out_title */
    "Puede cerrar esta ventana.", /* signed_out_text */
};

static const char *const fr[] = {
    "ltr", /* direction */
    "janvier", /* month_1 */
    "février", /* month_2 */
    "mars", /* month_3 */
    "avril", /* month_4 */
    "mai", /* month_5 */
    "juin", /* month_6 */
    "juillet", /* month_7 */
    "août", /* month_8 */
    "septembre", /* month_9 */
    "octobre", /* month_10 */
    "novembre", /* month_11 */
    "décembre", /* month_12 */
    "{day} {month} {year}", /* date */
    "{client} demande l’accès à {resource}", /* consent_title */
    "Une application sans nom", /* unnamed_client */
    "Cette application est décrite par", /* described_by */
    "Son nom est celui que ce site lui donne.", /* described_note */
    "Son nom et son logo viennent de ce site.", /* described_note_logo */
    "Cette application s’est enregistrée elle-même. Son nom est celui qu’elle se donne ; il n’a pas été vérifié.", /* unverified */
    "Elle indique comme page d’accueil :", /* home_page */
    "Ce qu’elle pourra faire", /* scopes_heading */
    "Utiliser {resource} en votre nom", /* scope_all */
    "Vous pouvez décocher ce que vous ne souhaitez pas autoriser.", /* optional_hint */
    "Où la réponse sera envoyée", /* answer_heading */
    "à un programme de cet ordinateur ({to_loopback})", /* to_loopback */
    "N’importe quel programme de cet ordinateur peut se faire passer pour un autre. N’autorisez que si vous venez vous-même de demander à une application de cet ordinateur de se connecter.", /* loopback_warning */
    "à l’application de cet appareil qui ouvre les liens {to_scheme}:", /* to_scheme */
    "N’autorisez que si vous venez vous-même de demander à cette application de se connecter.", /* scheme_warning */
    "Votre compte", /* account_heading */
    "Si vous autorisez l’accès, vous vous connecterez chez {provider}, à qui il sera demandé : {provider_scope}. L’application ne voit ni votre mot de passe, ni ce que ce service nous communique.", /* next_step */
    "Si vous autorisez l’accès, vous choisirez où vous connecter. L’application ne voit ni votre mot de passe, ni ce que ce service nous communique. Voici ce qui est demandé à chacun :", /* next_choice */
    "votre identité", /* identity */
    "Refuser", /* deny */
    "Autoriser", /* allow */
    "Référence pour l’administrateur :", /* reference */
    "Ce lien de connexion ne fonctionne pas", /* error_bad_request_title */
    "L’application a envoyé une demande qui ne peut pas être acceptée. Revenez à l’application et connectez-la de nouveau. Si cela n’aide pas, ses auteurs doivent examiner le problème.", /* error_bad_request_text */
    "Cette application n’est pas connue ici", /* error_unknown_client_title */
    "Son enregistrement est introuvable. Revenez à l’application, supprimez-y ce serveur, puis ajoutez-le de nouveau afin qu’elle s’enregistre à nouveau.", /* error_unknown_client_text */
    "L’adresse de retour n’est pas enregistrée", /* error_redirect_title */
    "L’application a demandé que la réponse soit envoyée à une adresse qu’elle n’a pas enregistrée. Pour votre sécurité, rien n’y a été envoyé. Supprimez ce serveur dans l’application, puis ajoutez-le de nouveau.", /* error_redirect_text */
    "Cette étape a expiré", /* error_expired_title */
    "Trop de temps s’est écoulé, ou l’étape a déjà été effectuée. Revenez à l’application et connectez-la de nouveau.", /* error_expired_text */
    "Veuillez recommencer dans ce navigateur", /* error_wrong_browser_title */
    "Cette connexion n’a pas été commencée dans ce navigateur, ou son cookie a disparu. Revenez à l’application et connectez-la de nouveau. Si quelqu’un vous a envoyé un lien qui menait ici, ne le suivez pas.", /* error_wrong_browser_text */
    "Cette demande ne vient pas de notre page", /* error_forged_title */
    "Pour votre sécurité, rien n’a été fait. Revenez à l’application et connectez-la de nouveau.", /* error_forged_text */
    "Il n’y a rien à voir ici", /* error_method_title */
    "Cette adresse est une étape d’une connexion et ne peut pas être ouverte seule. Revenez à l’application et connectez-la de nouveau.", /* error_method_text */
    "Cette demande est trop volumineuse", /* error_too_large_title */
    "L’application a envoyé plus que ce qui peut être accepté. Revenez à l’application et connectez-la de nouveau.", /* error_too_large_text */
    "Veuillez réessayer dans un instant", /* error_unavailable_title */
    "La connexion est impossible pour le moment. Rien n’est perdu : revenez à l’application et connectez-la de nouveau.", /* error_unavailable_text */
    "Impossible de consulter cette application", /* error_client_document_title */
    "Elle indique une adresse web où elle est décrite, que ce serveur ne peut pas lire pour le moment. Attendez une minute, puis revenez à l’application et connectez-la de nouveau. Si cela n’aide pas, communiquez à votre administrateur la référence ci-dessous.", /* error_client_document_text */
    "Trop de tentatives", /* error_too_many_title */
    "Cette application, ou quelqu’un de votre réseau, a tenté de se connecter trop souvent en peu de temps. Attendez une minute, puis revenez à l’application et connectez-la de nouveau.", /* error_too_many_text */
    "L’accès a été refusé", /* error_denied_title */
    "Vous, ou le service de connexion, avez refusé. Rien n’a été transmis à aucune application. Vous pouvez fermer cette fenêtre.", /* error_denied_text */
    "Le service de connexion a signalé un problème", /* error_provider_title */
    "La connexion a échoué. Revenez à l’application et connectez-la de nouveau. Si cela n’aide pas, adressez-vous à votre administrateur.", /* error_provider_text */
    "Comment voulez-vous vous connecter ?", /* chooser_title */
    "{client} demande l’accès à {resource}.", /* chooser_text */
    "Continuer avec {label}", /* continue_with */
    "(comme la dernière fois)", /* chosen_last */
    "Applications ayant accès", /* connections_title */
    "Session ouverte avec le compte {account}", /* signed_in_as */
    "Aucune application connue ici n’a accès en votre nom.", /* connections_none */
    "Cette liste remonte au {uncertain}. Une application qui a reçu l’accès avant cette date et n’a pas été utilisée depuis peut manquer ici et avoir encore accès.", /* connections_uncertain */
    "Une application compte comme utilisée lorsqu’elle renouvelle son accès, ce qu’elle fait environ une fois par heure tant qu’elle travaille.", /* connections_note */
    "Accès à", /* connection_resource */
    "Depuis", /* connection_since */
    "Dernière utilisation", /* connection_last_used */
    "Retirer l’accès", /* disconnect */
    "Retirer l’accès à {client}", /* disconnect_label */
    "Retirer tous les accès", /* disconnect_all */
    "Plus aucune application n’a accès.", /* disconnected_all */
    "{client} n’a plus accès.", /* disconnected */
    "Se déconnecter", /* sign_out */
    "Se déconnecter ?", /* signout_title */
    "Les applications qui ont accès le conservent. Vous pouvez le leur retirer sur la page de vos connexions.", /* signout_text */
    "Déconnexion effectuée", /* signed_out_title */
    "Vous pouvez fermer cette fenêtre.", /* signed_out_text */
};

static const char *const ja[] = {
    "ltr", /* direction */
    "1月", /* month_1 */
    "2月", /* month_2 */
    "3月", /* month_3 */
    "4月", /* month_4 */
    "5月", /* month_5 */
    "6月", /* month_6 */
    "7月", /* month_7 */
    "8月", /* month_8 */
    "9月", /* month_9 */
    "10月", /* month_10 */
    "11月", /* month_11 */
    "12月", /* month_12 */
    "{year}年{month}{day}日", /* date */
    "{client} が {resource} へのアクセスを求めています", /* consent_title */
    "名前のないアプリケーション", /* unnamed_client */
    "このアプリケーションの情報の提供元:", /* described_by */
    "名前はそのサイトが示したものです。", /* described_note */
    "名前とロゴはそのサイトが示したものです。", /* described_note_logo */
    "このアプリケーションは自身で登録を行いました。名前は自称であり、確認されていません。", /* unverified */
    "ホームページとして次が示されています:", /* home_page */
    "許可される操作", /* scopes_heading */
    "あなたに代わって {resource} を利用する", /* scope_all */
    "許可したくないものはチェックを外せます。", /* optional_hint */
    "結果の送信先", /* answer_heading */
    "このコンピューター上のプログラム（{to_loopback}）", /* to_loopback */
    "このコンピューター上のどのプログラムも、別のプログラムを装うことができます。このコンピューターのアプリケーションを接続する操作を、たった今ご自身で行った場合にのみ許可してください。", /* loopback_warning */
    "この端末で {to_scheme}: リンクを開くアプリケーション", /* to_scheme */
    "そのアプリケーションを接続する操作を、たった今ご自身で行った場合にのみ許可してください。", /* scheme_warning */
    "あなたのアカウント", /* account_heading */
    "許可すると、{provider} でサインインします。そこでは次の情報が求められます: {provider_scope}。パスワードや、そのサービスから当方に伝えられる内容が、アプリケーションに渡ることはありません。", /* next_step */
    "許可すると、サインインする場所を選択します。パスワードや、そのサービスから当方に伝えられる内容が、アプリケーションに渡ることはありません。それぞれに求められる情報:", /* next_choice */
    "本人確認情報", /* identity */
    "拒否", /* deny */
    "許可", /* allow */
    "管理者への照会番号:", /* reference */
    "このサインインのリンクは使えません", /* error_bad_request_title */
    "アプリケーションから送られた要求を受け付けられませんでした。アプリケーションに戻り、もう一度接続してください。それでも解決しない場合は、アプリケーションの開発元による調査が必要です。", /* error_bad_request_text */
    "このアプリケーションは登録されていません", /* error_unknown_client_title */
    "登録情報が見つかりません。アプリケーションに戻り、このサーバーを削除してからもう一度追加して、登録し直してください。", /* error_unknown_client_text */
    "戻り先が登録されていません", /* error_redirect_title */
    "アプリケーションは、登録していないアドレスへ結果を送るよう求めました。安全のため、そこには何も送信していません。アプリケーションでこのサーバーを削除し、もう一度追加してください。", /* error_redirect_text */
    "この手順は期限切れです", /* error_expired_title */
    "時間が経ちすぎたか、この手順はすでに完了しています。アプリケーションに戻り、もう一度接続してください。", /* error_expired_text */
    "このブラウザーで最初からやり直してください", /* error_wrong_browser_title */
    "このサインインはこのブラウザーで始められたものではないか、Cookie が失われています。アプリケーションに戻り、もう一度接続してください。誰かから送られたリンクでここに来た場合は、そのリンクを開かないでください。", /* error_wrong_browser_text */
    "この要求は当方のページから送られたものではありません", /* error_forged_title */
    "安全のため、何も行いませんでした。アプリケーションに戻り、もう一度接続してください。", /* error_forged_text */
    "ここに表示するものはありません", /* error_method_title */
    "このアドレスはサインインの途中の手順であり、単独で開くことはできません。アプリケーションに戻り、もう一度接続してください。", /* error_method_text */
    "この要求は大きすぎます", /* error_too_large_title */
    "アプリケーションから、受け付けられる量を超えるデータが送られました。アプリケーションに戻り、もう一度接続してください。", /* error_too_large_text */
    "しばらくしてからもう一度お試しください", /* error_unavailable_title */
    "現在サインインできません。失われたものはありません。アプリケーションに戻り、もう一度接続してください。", /* error_unavailable_text */
    "このアプリケーションを確認できません", /* error_client_document_title */
    "このアプリケーションが説明の場所として示すウェブアドレスを、現在このサーバーから読み取れません。1分ほど待ってからアプリケーションに戻り、もう一度接続してください。解決しない場合は、下の参照番号を管理者に伝えてください。", /* error_client_document_text */
    "試行回数が多すぎます", /* error_too_many_title */
    "このアプリケーション、またはお使いのネットワークの誰かが、短時間に何度も接続を試みました。1分ほど待ってからアプリケーションに戻り、もう一度接続してください。", /* error_too_many_text */
    "アクセスは拒否されました", /* error_denied_title */
    "あなた、またはサインインサービスが拒否しました。どのアプリケーションにも何も渡されていません。このウィンドウは閉じてかまいません。", /* error_denied_text */
    "サインインサービスで問題が発生しました", /* error_provider_title */
    "サインインできませんでした。アプリケーションに戻り、もう一度接続してください。それでも解決しない場合は、管理者にお問い合わせください。", /* error_provider_text */
    "サインインの方法を選んでください", /* chooser_title */
    "{client} が {resource} へのアクセスを求めています。", /* chooser_text */
    "{label} で続ける", /* continue_with */
    "（前回と同じ）", /* chosen_last */
    "アクセスできるアプリケーション", /* connections_title */
    "{account} としてサインインしています", /* signed_in_as */
    "ここで把握しているアプリケーションの中に、あなたに代わってアクセスできるものはありません。", /* connections_none */
    "この一覧は {uncertain} 以降のものです。それ以前にアクセスを許可され、その後使われていないアプリケーションは、ここになくてもまだアクセスできる場合があります。", /* connections_uncertain */
    "アプリケーションは、アクセスを更新したときに使用されたものとみなされます。動作中はおよそ1時間に1回更新されます。", /* connections_note */
    "アクセス先", /* connection_resource */
    "開始日", /* connection_since */
    "最終利用日", /* connection_last_used */
    "アクセスを取り消す", /* disconnect */
    "{client} のアクセスを取り消す", /* disconnect_label */
    "すべてのアクセスを取り消す", /* disconnect_all */
    "アクセスできるアプリケーションはもうありません。", /* disconnected_all */
    "{client} はもうアクセスできません。", /* disconnected */
    "サインアウト", /* sign_out */
    "サインアウトしますか？", /* signout_title */
    "アクセスできるアプリケーションは、引き続きアクセスできます。接続のページで取り消せます。", /* signout_text */
    "サインアウトしました", /* signed_out_title */
    "このウィンドウは閉じてかまいません。", /* signed_out_text */
};

static const char *const pt[] = {
    "ltr", /* direction */
    "janeiro", /* month_1 */
    "fevereiro", /* month_2 */
    "março", /* month_3 */
    "abril", /* month_4 */
    "maio", /* month_5 */
    "junho", /* month_6 */
    "julho", /* month_7 */
    "agosto", /* month_8 */
    "setembro", /* month_9 */
    "outubro", /* month_10 */
    "novembro", /* month_11 */
    "dezembro", /* month_12 */
    "{day} de {month} de {year}", /* date */
    "{client} solicita acesso a {resource}", /* consent_title */
    "Uma aplicação sem nome", /* unnamed_client */
    "Esta aplicação é descrita por", /* described_by */
    "O nome é aquele que esse site lhe dá.", /* described_note */
    "O nome e o logótipo são fornecidos por esse site.", /* described_note_logo */
    "Esta aplicação registou-se a si própria. O nome é aquele que ela dá a si mesma e não foi verificado.", /* unverified */
    "Indica como página inicial:", /* home_page */
    "O que poderá fazer", /* scopes_heading */
    "Usar {resource} em seu nome", /* scope_all */
    "Pode desmarcar o que não quiser permitir.", /* optional_hint */
    "Para onde vai a resposta", /* answer_heading */
    "para um programa neste computador ({to_loopback})", /* to_loopback */
    "Qualquer programa neste computador pode fazer-se passar por outro. Permita apenas se acabou de pedir a uma aplicação deste computador que se ligasse.", /* loopback_warning */
    "para a aplicação deste dispositivo que abre links {to_scheme}:", /* to_scheme */
    "Permita apenas se acabou de pedir a essa aplicação que se ligasse.", /* scheme_warning */
    "A sua conta", /* account_heading */
    "Se permitir, iniciará sessão em {provider}, onde será pedido: {provider_scope}. A aplicação não vê a sua palavra-passe nem o que esse serviço nos comunica.", /* next_step */
    "Se permitir, escolherá onde iniciar sessão. A aplicação não vê a sua palavra-passe nem o que esse serviço nos comunica. A cada um é pedido:", /* next_choice */
    "a sua identidade", /* identity */
    "Recusar", /* deny */
    "Permitir", /* allow */
    "Referência para o administrador:", /* reference */
    "Este link de início de sessão não funciona", /* error_bad_request_title */
    "A aplicação enviou um pedido que não pode ser aceite. Volte à aplicação e ligue-a de novo. Se isso não ajudar, os autores da aplicação têm de verificar o problema.", /* error_bad_request_text */
    "Esta aplicação não é conhecida aqui", /* error_unknown_client_title */
    "O seu registo não foi encontrado. Volte à aplicação, remova este servidor e adicione-o novamente, para que ela se registe de novo.", /* error_unknown_client_text */
    "O endereço de retorno não está registado", /* error_redirect_title */
    "A aplicação pediu que a resposta fosse enviada para um endereço que não registou. Para sua segurança, nada foi enviado para lá. Remova este servidor na aplicação e adicione-o novamente.", /* error_redirect_text */
    "Este passo expirou", /* error_expired_title */
    "Passou demasiado tempo ou o passo já foi concluído. Volte à aplicação e ligue-a de novo.", /* error_expired_text */
    "Comece de novo neste navegador", /* error_wrong_browser_title */
    "Este início de sessão não foi começado neste navegador, ou o cookie já não existe. Volte à aplicação e ligue-a de novo. Se alguém lhe enviou um link que conduziu aqui, não o siga.", /* error_wrong_browser_text */
    "Este pedido não veio da nossa página", /* error_forged_title */
    "Para sua segurança, nada foi feito. Volte à aplicação e ligue-a de novo.", /* error_forged_text */
    "Não há nada para ver aqui", /* error_method_title */
    "Este endereço é um passo de um início de sessão e não pode ser aberto isoladamente. Volte à aplicação e ligue-a de novo.", /* error_method_text */
    "Este pedido é demasiado grande", /* error_too_large_title */
    "A aplicação enviou mais do que pode ser aceite. Volte à aplicação e ligue-a de novo.", /* error_too_large_text */
    "Tente novamente dentro de momentos", /* error_unavailable_title */
    "De momento não é possível iniciar sessão. Nada se perdeu: volte à aplicação e ligue-a de novo.", /* error_unavailable_text */
    "Não é possível consultar esta aplicação", /* error_client_document_title */
    "Ela indica um endereço Web onde está descrita e que este servidor não consegue ler de momento. Espere um minuto, volte à aplicação e ligue-a de novo. Se isso não ajudar, indique ao seu administrador a referência abaixo.", /* error_client_document_text */
    "Demasiadas tentativas", /* error_too_many_title */
    "Esta aplicação, ou alguém na sua rede, tentou ligar-se demasiadas vezes em pouco tempo. Espere um minuto, volte à aplicação e ligue-a de novo.", /* error_too_many_text */
    "O acesso foi recusado", /* error_denied_title */
    "O pedido foi recusado por si ou pelo serviço de início de sessão. Nada foi entregue a nenhuma aplicação. Pode fechar esta janela.", /* error_denied_text */
    "O serviço de início de sessão comunicou um problema", /* error_provider_title */
    "Não foi possível iniciar a sua sessão. Volte à aplicação e ligue-a de novo. Se isso não ajudar, contacte o seu administrador.", /* error_provider_text */
    "Como deseja iniciar sessão?", /* chooser_title */
    "{client} solicita acesso a {resource}.", /* chooser_text */
    "Continuar com {label}", /* continue_with */
    "(como da última vez)", /* chosen_last */
    "Aplicações com acesso", /* connections_title */
    "Sessão iniciada como {account}", /* signed_in_as */
    "Nenhuma aplicação conhecida aqui tem acesso em seu nome.", /* connections_none */
    "Esta lista remonta a {uncertain}. Uma aplicação que recebeu acesso antes e não foi usada desde então pode faltar aqui e continuar a ter acesso.", /* connections_uncertain */
    "Uma aplicação conta como usada quando renova o seu acesso, o que faz cerca de uma vez por hora enquanto trabalha.", /* connections_note */
    "Acesso a", /* connection_resource */
    "Desde", /* connection_since */
    "Última utilização", /* connection_last_used */
    "Retirar o acesso", /* disconnect */
    "Retirar o acesso a {client}", /* disconnect_label */
    "Retirar todos os acessos", /* disconnect_all */
    "Já nenhuma aplicação tem acesso.", /* disconnected_all */
    "{client} já não tem acesso.", /* disconnected */
    "Terminar sessão", /* sign_out */
    "Terminar sessão?", /* signout_title */
    "As aplicações que têm acesso mantêm-no. Pode retirá-lo na página das suas ligações.", /* signout_text */
    "A sessão foi terminada", /* signed_out_title */
    "Pode fechar esta janela.", /* signed_out_text */
};

static const char *const zh[] = {
    "ltr", /* direction */
    "1月", /* month_1 */
    "2月", /* month_2 */
    "3月", /* month_3 */
    "4月", /* month_4 */
    "5月", /* month_5 */
    "6月", /* month_6 */
    "7月", /* month_7 */
    "8月", /* month_8 */
    "9月", /* month_9 */
    "10月", /* month_10 */
    "11月", /* month_11 */
    "12月", /* month_12 */
    "{year}年{month}{day}日", /* date */
    "{client} 请求访问 {resource}", /* consent_title */
    "未命名的应用", /* unnamed_client */
    "此应用的信息来自", /* described_by */
    "应用名称由该网站提供。", /* described_note */
    "应用名称和徽标由该网站提供。", /* described_note_logo */
    "此应用是自行注册的。名称由其自行填写，未经核实。", /* unverified */
    "它声称的主页是：", /* home_page */
    "它将可以", /* scopes_heading */
    "以您的名义使用 {resource}", /* scope_all */
    "您可以取消勾选不想允许的项目。", /* optional_hint */
    "结果将发送至", /* answer_heading */
    "此计算机上的一个程序（{to_loopback}）", /* to_loopback */
    "此计算机上的任何程序都可能冒充其他程序。请仅在您刚刚亲自要求此计算机上的应用进行连接时才允许。", /* loopback_warning */
    "此设备上用于打开 {to_scheme}: 链接的应用", /* to_scheme */
    "请仅在您刚刚亲自要求该应用进行连接时才允许。", /* scheme_warning */
    "您的账户", /* account_heading */
    "如果您允许，接下来将在 {provider} 登录，并向其请求：{provider_scope}。应用不会看到您的密码，也不会看到该服务告知我们的内容。", /* next_step */
    "如果您允许，接下来将选择登录方式。应用不会看到您的密码，也不会看到该服务告知我们的内容。向各服务请求的内容：", /* next_choice */
    "您的身份", /* identity */
    "拒绝", /* deny */
    "允许", /* allow */
    "供管理员查询的编号：", /* reference */
    "此登录链接无效", /* error_bad_request_title */
    "应用发送的请求无法接受。请返回该应用并重新连接。如果问题仍然存在，需要由应用的开发者检查。", /* error_bad_request_text */
    "无法识别此应用", /* error_unknown_client_title */
    "找不到它的注册信息。请返回该应用，移除此服务器后重新添加，以便它重新注册。", /* error_unknown_client_text */
    "返回地址未注册", /* error_redirect_title */
    "应用要求将结果发送到一个它未注册的地址。为了您的安全，没有向该地址发送任何内容。请在应用中移除此服务器后重新添加。", /* error_redirect_text */
    "此步骤已过期", /* error_expired_title */
    "等待时间过长，或此步骤已经完成。请返回应用并重新连接。", /* error_expired_text */
    "请在此浏览器中重新开始", /* error_wrong_browser_title */
    "此次登录不是在此浏览器中开始的，或者其 Cookie 已丢失。请返回应用并重新连接。如果是别人发给您的链接把您带到这里，请不要打开它。", /* error_wrong_browser_text */
    "此请求并非来自我们的页面", /* error_forged_title */
    "为了您的安全，未执行任何操作。请返回应用并重新连接。", /* error_forged_text */
    "这里没有可显示的内容", /* error_method_title */
    "此地址是登录过程中的一个步骤，不能单独打开。请返回应用并重新连接。", /* error_method_text */
    "此请求过大", /* error_too_large_title */
    "应用发送的内容超出了可接受的范围。请返回应用并重新连接。", /* error_too_large_text */
    "请稍后再试", /* error_unavailable_title */
    "目前无法登录。没有丢失任何内容：请返回应用并重新连接。", /* error_unavailable_text */
    "无法查询此应用", /* error_client_document_title */
    "它指明了一个描述自身的网址，而此服务器目前无法读取该网址。请等待一分钟，然后返回应用并重新连接。如果仍无效，请将下方的参考编号告知管理员。", /* error_client_document_text */
    "尝试次数过多", /* error_too_many_title */
    "此应用或您网络中的某人在短时间内尝试连接的次数过多。请等待一分钟，然后返回应用并重新连接。", /* error_too_many_text */
    "访问已被拒绝", /* error_denied_title */
    "您或登录服务拒绝了请求。没有向任何应用提供任何内容。您可以关闭此窗口。", /* error_denied_text */
    "登录服务报告了一个问题", /* error_provider_title */
    "未能为您登录。请返回应用并重新连接。如果问题仍然存在，请联系您的管理员。", /* error_provider_text */
    "您想如何登录？", /* chooser_title */
    "{client} 请求访问 {resource}。", /* chooser_text */
    "使用 {label} 继续", /* continue_with */
    "（与上次相同）", /* chosen_last */
    "拥有访问权限的应用", /* connections_title */
    "当前登录账户：{account}", /* signed_in_as */
    "在此处已知的应用中，没有任何应用有权以您的名义访问。", /* connections_none */
    "此列表只能追溯到 {uncertain}。在此之前获得访问权限且此后未使用过的应用可能未列在此处，但仍有访问权限。", /* connections_uncertain */
    "应用更新其访问权限时即视为已使用；运行期间大约每小时更新一次。", /* connections_note */
    "访问对象", /* connection_resource */
    "开始于", /* connection_since */
    "上次使用", /* connection_last_used */
    "收回访问权限", /* disconnect */
    "收回 {client} 的访问权限", /* disconnect_label */
    "收回全部访问权限", /* disconnect_all */
    "不再有任何应用拥有访问权限。", /* disconnected_all */
    "{client} 不再拥有访问权限。", /* disconnected */
    "退出登录", /* sign_out */
    "要退出登录吗？", /* signout_title */
    "拥有访问权限的应用将保留其权限。您可以在连接页面上收回。", /* signout_text */
    "您已退出登录", /* signed_out_title */
    "您可以关闭此窗口。", /* signed_out_text */
};

const mcp_builtin_language_t mcp_builtin_languages[] = {
    { "en", en, 0 },
    { "ar", ar, 1 },
    { "de", de, 0 },
    { "es", es, 0 },
    { "fr", fr, 0 },
    { "ja", ja, 0 },
    { "pt", pt, 0 },
    { "zh", zh, 0 },
    { NULL, NULL, 0 }
};
