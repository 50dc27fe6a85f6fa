/* SPDX-License-Identifier: Apache-2.0 */
/* What is checked while a template is parsed: that a name exists, and that a value stands where
 * escaping protects it (T9). Not a parser of HTML: it follows tags, quotes and comments, which is
 * what decides about that. */

#include "template_impl.h"

#include <string.h>

#include <apr_lib.h>

/* Attributes whose value is a URL, which escaping does not make harmless (javascript:). */
static int is_url_attribute(const char *name)
{
    static const char *const names[] = { "href", "src", "action", "formaction", "poster",
                                         "background", "xlink:href", "data", "cite", "ping",
                                         "srcset", "srcdoc", "manifest", "content" };

    for (apr_size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (!strcmp(names[i], name)) {
            return 1;
        }
    }
    return 0;
}

static void push(char *name, apr_size_t size, char c)
{
    apr_size_t len = strlen(name);

    if (len + 1 < size) {
        name[len] = (char)apr_tolower(c);
        name[len + 1] = '\0';
    }
}

static const char *attribute_refused(const char *name)
{
    if (!strncmp(name, "on", 2)) {
        return "on... attributes are scripts, which these pages do without";
    }
    if (!strcmp(name, "style")) {
        return "the browser ignores style attributes here: put the rule into style.css";
    }
    return NULL;
}

/* One character within a tag, outside of a value. */
static const char *in_tag(mcp_html_t *at, char c)
{
    const char *why = NULL;

    if (c == '>') {
        at->place = !strcmp(at->element, "style") ? MCP_HTML_STYLE : MCP_HTML_TEXT;
    }
    else if (at->naming && ((!apr_isspace(c) && c != '/') || !*at->element)) { /* or the slash of an end tag */
        push(at->element, sizeof(at->element), c);
        return NULL;
    }
    else if (c == '"' || c == '\'') {
        at->place = MCP_HTML_VALUE;
        at->quote = c;
        at->len = 0;
        return NULL;
    }
    else if (c == '=') {
        why = attribute_refused(at->attribute);
        at->len = 0; /* what follows is no part of the name */
        return why;
    }
    else if (apr_isspace(c) || c == '/') {
        at->len = 0;
    }
    else {
        if (!at->len) {
            *at->attribute = '\0';
        }
        at->len++;
        push(at->attribute, sizeof(at->attribute), c);
    }
    if (at->naming) {
        at->naming = 0;
        *at->attribute = '\0';
        at->len = 0;
        if (!strcmp(at->element, "script") || !strcmp(at->element, "iframe") || !strcmp(at->element, "object")
            || !strcmp(at->element, "embed") || !strcmp(at->element, "base")) {
            return "script, iframe, object, embed and base are not allowed: the browser refuses "
                   "them on these pages";
        }
    }
    return NULL;
}

const char *mcp_html_literal(mcp_html_t *at, const char *text, apr_size_t len)
{
    const char *why;

    for (apr_size_t i = 0; i < len; i++) {
        apr_size_t left = len - i;

        switch (at->place) {
        case MCP_HTML_TEXT:
            if (left >= 4 && !strncmp(text + i, "<!--", 4)) {
                at->place = MCP_HTML_COMMENT;
            }
            else if (left >= 2 && text[i] == '<'
                     && (apr_isalpha(text[i + 1]) || text[i + 1] == '/' || text[i + 1] == '!')) {
                at->place = MCP_HTML_TAG;
                at->naming = 1;
                *at->element = '\0';
            }
            else if (text[i] == '<') {
                return "a < that begins no tag: write &lt;";
            }
            break;
        case MCP_HTML_TAG:
            why = in_tag(at, text[i]);
            if (why) {
                return why;
            }
            break;
        case MCP_HTML_VALUE:
            if (text[i] == at->quote) {
                at->place = MCP_HTML_TAG;
                at->quote = '\0';
                at->len = 0;
            }
            else {
                at->len++;
            }
            break;
        case MCP_HTML_COMMENT:
            if (left >= 3 && !strncmp(text + i, "-->", 3)) {
                at->place = MCP_HTML_TEXT;
                i += 2;
            }
            break;
        case MCP_HTML_STYLE:
            if (text[i] == '<') {
                at->place = MCP_HTML_TEXT;
                i--;
            }
            break;
        }
    }
    return NULL;
}

const char *mcp_html_value(const mcp_html_t *at, int is_url)
{
    switch (at->place) {
    case MCP_HTML_TAG:
        return "it stands in a tag without quotes: write name=\"{{...}}\"";
    case MCP_HTML_STYLE:
        return "values cannot stand in a style sheet";
    case MCP_HTML_COMMENT:
        return "values cannot stand in a comment";
    case MCP_HTML_VALUE:
        if (is_url_attribute(at->attribute) && (!is_url || at->len)) {
            return "in an attribute that holds a URL only a whole URL of this server's may stand";
        }
        break;
    case MCP_HTML_TEXT:
        break;
    }
    return NULL;
}

int mcp_names_find(const char *names, const char *name, apr_size_t len, int *url,
                   const char **rows)
{
    int depth = 0;

    *url = 0;
    *rows = NULL;
    for (const char *s = names; *s && !(depth == 0 && *s == ']');) {
        apr_size_t n;

        if (*s == ' ') {
            s++;
            continue;
        }
        if (*s == '[' || *s == ']') {
            depth += *s == '[' ? 1 : -1;
            s++;
            continue;
        }
        n = strcspn(s, " []!");
        if (depth == 0 && n == len && !strncmp(s, name, len)) {
            *url = s[n] == '!';
            *rows = s[n] == '[' ? s + n + 1 : NULL;
            return 1;
        }
        s += n + (s[n] == '!');
    }
    return 0;
}
