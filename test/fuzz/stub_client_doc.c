/* SPDX-License-Identifier: Apache-2.0 */
/* Documents of clients without a network: there is none but what the configuration holds. */

#include "oauth.h"

module AP_MODULE_DECLARE_DATA mcp_oauth_module; /* for its log level */

int mcp_client_document(apr_pool_t *p, const struct mcp_oauth_conf_t *conf, const char *url,
                        apr_size_t max, apr_interval_time_t newer, const char **text,
                        mcp_result_t *res)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", "no network", NULL);
}

void mcp_client_document_drop(const char *url)
{
}
