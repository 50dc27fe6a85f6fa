/* SPDX-License-Identifier: Apache-2.0 */
/* Resources and scopes as requests ask for them: which resource a path is of, and what a scope stands for. */

#include <string.h>

#include <apr_strings.h>

#include "mcp_config.h"
#include "mcp_util.h"

#define IMPLIES_DEPTH 16

/* Length of @a path without slashes at its end, so that "/mcp/" covers what "/mcp" does. */
static apr_size_t trimmed(const char *path)
{
    apr_size_t n = strlen(path);

    while (n && path[n - 1] == '/') {
        n--;
    }
    return n;
}

const mcp_resource_t *mcp_resource_for_path(const mcp_shared_conf_t *conf, const char *path)
{
    const mcp_resource_t *best = NULL;
    apr_size_t best_len = 0;
    int i;

    for (i = 0; conf->resources && i < conf->resources->nelts; i++) {
        const mcp_resource_t *resource = &APR_ARRAY_IDX(conf->resources, i, mcp_resource_t);
        apr_size_t n = trimmed(resource->path);

        if (strncmp(path, resource->path, n) == 0 && (path[n] == '\0' || path[n] == '/')
            && (!best || n > best_len)) {
            best = resource;
            best_len = n;
        }
    }
    return best;
}

const mcp_resource_t *mcp_resource_by_uri(const mcp_shared_conf_t *conf, const char *canonical)
{
    int i;

    for (i = 0; conf->resources && i < conf->resources->nelts; i++) {
        const mcp_resource_t *resource = &APR_ARRAY_IDX(conf->resources, i, mcp_resource_t);

        if (strcmp(resource->uri, canonical) == 0) {
            return resource;
        }
    }
    return NULL;
}

const char *mcp_scope_expand(apr_pool_t *p, const mcp_shared_conf_t *conf, const char *scope)
{
    const char *all = scope;
    int depth;
    int i;

    if (!conf->scope_texts) {
        return scope;
    }
    /* Each round adds what the scopes of the round before imply; a circle adds nothing new and ends it. */
    for (depth = 0; depth < IMPLIES_DEPTH; depth++) {
        const char *before = all;

        for (i = 0; i < conf->scope_texts->nelts; i++) {
            const mcp_scope_t *entry = &APR_ARRAY_IDX(conf->scope_texts, i, mcp_scope_t);

            if (*entry->implies && mcp_list_has(all, entry->name)) {
                const char *at = entry->implies;

                while (*at) {
                    apr_size_t n = strcspn(at, " ");
                    const char *one = apr_pstrmemdup(p, at, n);

                    if (!mcp_list_has(all, one)) {
                        all = *all ? apr_pstrcat(p, all, " ", one, NULL) : one;
                    }
                    at += n;
                    at += strspn(at, " ");
                }
            }
        }
        if (all == before) {
            break;
        }
    }
    return all;
}

const char *mcp_scope_reduce(apr_pool_t *p, const mcp_shared_conf_t *conf, const char *scope)
{
    apr_array_header_t *kept = apr_array_make(p, 4, sizeof(const char *));
    char *list, *token, *last = NULL;

    if (!conf->scope_texts) {
        return scope;
    }
    list = apr_pstrdup(p, scope);
    for (token = apr_strtok(list, " ", &last); token; token = apr_strtok(NULL, " ", &last)) {
        const char *whole = apr_array_pstrcat(p, kept, ' ');
        int n = 0;

        if (mcp_list_has(mcp_scope_expand(p, conf, whole), token)) {
            continue;
        }
        whole = mcp_scope_expand(p, conf, token);
        for (int i = 0; i < kept->nelts; i++) {
            const char *one = APR_ARRAY_IDX(kept, i, const char *);

            if (!mcp_list_has(whole, one)) {
                APR_ARRAY_IDX(kept, n++, const char *) = one;
            }
        }
        kept->nelts = n;
        APR_ARRAY_PUSH(kept, const char *) = token;
    }
    return apr_array_pstrcat(p, kept, ' ');
}
