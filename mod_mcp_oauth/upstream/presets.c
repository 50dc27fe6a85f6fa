/* SPDX-License-Identifier: Apache-2.0 */
/* Presets: what is known of the products that people sign in with, as directives. */

#include "provider_config.h"

#include <apr_cstr.h>
#include <apr_strings.h>

/* Another preset is another table here and a line in presets[]. Nothing but directives: all of it can be written by hand,
 * and what is, prevails. */

/* One directive, as an administrator would write it. "{}" stands for what follows the preset's name; the line is left out
 * where nothing does. */
typedef struct {
    const char *directive;
    const char *args;
} line_t;

/* What is known of a product. */
typedef struct {
    const char *name;
    const char *argument; /* what MCPProviderPreset takes after the name, for messages; NULL: nothing */
    const line_t *lines;  /* ends with a NULL directive */
} preset_t;

/* No offline_access: Google gives a refresh token for access_type=offline, and only when it has
 * asked the person. */
static const line_t google[] = {
    { "MCPProviderLabel", "Google" },
    { "MCPProviderIssuer", "https://accounts.google.com" },
    { "MCPProviderScope", "\"openid profile email\"" },
    { "MCPProviderAuthParam", "access_type offline" },
    { "MCPProviderAuthParam", "prompt consent" },
    { "MCPProviderUsernameClaim", "email" },
    { "MCPProviderClaims", "name email email_verified hd" },
    { NULL, NULL },
};

static const line_t okta[] = {
    { "MCPProviderLabel", "Okta" },
    { "MCPProviderIssuer", "https://{}" },
    { "MCPProviderScope", "\"openid profile email offline_access\"" },
    { "MCPProviderClaims", "name email preferred_username groups" },
    { NULL, NULL },
};

/* The issuer ends with a slash; names of claims of one's own are URLs and have to be named by hand.
 */
static const line_t auth0[] = {
    { "MCPProviderLabel", "Auth0" },
    { "MCPProviderIssuer", "https://{}/" },
    { "MCPProviderScope", "\"openid profile email offline_access\"" },
    { "MCPProviderUsernameClaim", "email" },
    { "MCPProviderClaims", "name email email_verified nickname" },
    { NULL, NULL },
};

/* The scope is our default, of which only that is asked for which the realm offers. */
static const line_t keycloak[] = {
    { "MCPProviderLabel", "Keycloak" },
    { "MCPProviderIssuer", "https://{}" },
    { "MCPProviderClaims", "name email preferred_username groups realm_access.roles" },
    { NULL, NULL },
};

static const line_t entra[] = {
    { "MCPProviderLabel", "Microsoft" },
    { "MCPProviderIssuer", "https://login.microsoftonline.com/{}/v2.0" },
    { "MCPProviderAllowTenant", "{}" },
    { "MCPProviderSubjectClaim", "tid oid" },
    { "MCPProviderTokenScope", "one-resource" },
    { "MCPProviderScope", "\"openid profile email offline_access\"" },
    { "MCPProviderClaims", "oid tid name preferred_username roles groups" },
    { NULL, NULL },
};

/* OAuth 2.0 alone. A login can be given up and taken by somebody else, the number never is. */
static const line_t github[] = {
    { "MCPProviderType", "oauth2" },
    { "MCPProviderLabel", "GitHub" },
    { "MCPProviderIssuer", "https://github.com/login/oauth" },
    { "MCPProviderAuthorizationEndpoint", "https://github.com/login/oauth/authorize" },
    { "MCPProviderTokenEndpoint", "https://github.com/login/oauth/access_token" },
    { "MCPProviderUserinfoEndpoint", "https://api.github.com/user" },
    { "MCPProviderScope", "read:user" },
    { "MCPProviderSubjectClaim", "id" },
    { "MCPProviderUsernameClaim", "login" },
    { "MCPProviderClaims", "login name email company" },
    { NULL, NULL },
};

static const preset_t presets[] = {
    { "entra", "the tenant's id or domain, common, organizations or consumers", entra },
    { "google", NULL, google },
    { "okta", "a host such as example.okta.com, or example.okta.com/oauth2/default", okta },
    { "auth0", "a host such as example.eu.auth0.com", auth0 },
    { "keycloak", "host and realm, such as sso.example.com/realms/corp", keycloak },
    { "github", NULL, github },
};

#define PRESETS (sizeof(presets) / sizeof(*presets))

/* The preset called @a name, in any letter case, or NULL. */
static const preset_t *find(const char *name)
{
    for (apr_size_t i = 0; i < PRESETS; i++) {
        if (!apr_cstr_casecmp(presets[i].name, name)) {
            return &presets[i];
        }
    }
    return NULL;
}

/* All names, for a message. */
static const char *names_of_all(apr_pool_t *p)
{
    const char *names = presets[0].name;

    for (apr_size_t i = 1; i < PRESETS; i++) {
        names = apr_pstrcat(p, names, i + 1 < PRESETS ? ", " : " or ", presets[i].name, NULL);
    }
    return names;
}

/* Parts of host names and paths, so that nothing in it is special to the configuration's syntax. */
static int argument_ok(const char *arg)
{
    apr_size_t len = strlen(arg);

    return len >= 1 && len <= 255 && arg[0] != '/' && arg[len - 1] != '/'
           && strspn(arg, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_~:/")
                  == len
           && !strstr(arg, "://");
}

/* A directive at the place of @a preset, or NULL for one that needs the argument that is not there.
 */
static ap_directive_t *one_line(apr_pool_t *p, const ap_directive_t *preset,
                                const line_t *line, const char *arg)
{
    const char *hole = strstr(line->args, "{}");
    ap_directive_t *made;

    if (hole && !arg) {
        return NULL;
    }
    made = apr_pcalloc(p, sizeof(*made));
    made->directive = line->directive;
    made->args =
        hole ? apr_pstrcat(p, apr_pstrmemdup(p, line->args, (apr_size_t)(hole - line->args)), arg,
                           hole + 2, NULL)
             : line->args;
    made->filename = preset->filename;
    made->line_num = preset->line_num;
    made->parent = preset->parent;
    return made;
}

const char *mcp_preset_lines(apr_pool_t *p, const ap_directive_t *directive, ap_directive_t **lines)
{
    const char *args = directive->args, *name = ap_getword_conf(p, &args),
               *arg = ap_getword_conf(p, &args);
    const preset_t *preset = find(name);

    *lines = NULL;
    if (!preset) {
        return apr_psprintf(p, "MCPProviderPreset knows %s, and no \"%s\"", names_of_all(p),
                            name);
    }
    if (!*arg) {
        arg = NULL;
    }
    if (arg && !preset->argument) {
        return apr_psprintf(p, "MCPProviderPreset %s takes nothing after the name", preset->name);
    }
    if (arg && !argument_ok(arg)) {
        return apr_psprintf(
            p, "MCPProviderPreset %s takes %s: \"%s\" is none; no scheme, and no slash at the end",
            preset->name, preset->argument, arg);
    }
    for (const line_t *line = preset->lines; line->directive; line++) {
        ap_directive_t *made = one_line(p, directive, line, arg);

        if (made) {
            *lines = made;
            lines = &made->next;
        }
    }
    return NULL;
}
