/* SPDX-License-Identifier: Apache-2.0 */
/* The signing keys of this process: read in the parent, never changed after it forks. */

#include "mcp_signing.h"

#include <string.h>

#include <apr_strings.h>
#include <http_log.h>

#include "mcp_log.h"
#include "mcp_secret.h"

static apr_array_header_t *signers; /* const mcp_signer_t *; in pconf, gone with it */

static const char *load(apr_pool_t *p, const char *ref, const mcp_signer_t **signer)
{
    const char *pem, *why = mcp_secret_load_pem(p, ref, &pem);

    if (why) {
        return why;
    }
    why = mcp_signer_make(p, pem, NULL, NULL, signer);
    return why ? apr_psprintf(p, "%s %s", ref, why) : NULL;
}

const char *mcp_signing_check(apr_pool_t *p, const char *ref)
{
    const mcp_signer_t *signer;

    if (!strncmp(ref, "file:", 5)) {
        return load(p, ref, &signer);
    }
    return mcp_secret_check(p, ref);
}

static apr_status_t forget(void *dummy)
{
    signers = NULL;
    return APR_SUCCESS;
}

apr_status_t mcp_signing_open(const apr_array_header_t *refs, server_rec *s, apr_pool_t *pconf)
{
    signers = apr_array_make(pconf, 2, sizeof(const mcp_signer_t *));
    apr_pool_cleanup_register(pconf, NULL, forget, apr_pool_cleanup_null);
    for (int i = 0; refs && i < refs->nelts; i++) {
        const mcp_signer_t *signer;
        const char *why = load(pconf, APR_ARRAY_IDX(refs, i, const char *), &signer);

        if (why) {
            ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, 0, s,
                         MCP_LOG(0195) "MCPSigningKey: %s", why);
            return APR_EGENERAL;
        }
        APR_ARRAY_PUSH(signers, const mcp_signer_t *) = signer;
    }
    return APR_SUCCESS;
}

const mcp_signer_t *mcp_signing_key(void)
{
    return signers && signers->nelts ? APR_ARRAY_IDX(signers, 0, const mcp_signer_t *) : NULL;
}

json_t *mcp_signing_jwks(apr_pool_t *p)
{
    json_t *set = json_object(), *keys = json_array();

    for (int i = 0; signers && i < signers->nelts; i++) {
        json_array_append(keys, mcp_signer_jwk(p, APR_ARRAY_IDX(signers, i, const mcp_signer_t *)));
    }
    json_object_set_new(set, "keys", keys);
    return set;
}
