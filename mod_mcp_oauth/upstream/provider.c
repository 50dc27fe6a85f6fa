/* SPDX-License-Identifier: Apache-2.0 */
/* Providers at work: secrets read by the parent, caches and gates of a child. */

#include "upstream_impl.h"

#include <ap_mpm.h>
#include <apr_strings.h>
#include <http_core.h>
#include <http_log.h>

#include "mcp_health.h"
#include "mcp_log.h"
#include "mcp_secret.h"
#include "provider_config.h"

APLOG_USE_MODULE(mcp_oauth);

#define PROBE_TIMEOUT apr_time_from_sec(3)
#define DISCOVERY_MAX 131072
#define JWKS_MAX 1048576
#define KEYS_KEPT apr_time_from_sec(24 * 3600) /* a key that was withdrawn must not serve for ever */
#define DISCOVERY_KEPT apr_time_from_sec(30 * 24 * 3600)

/* All sections of the configuration, for child_init: mcp_provider_t *. In pconf, hence gone with it. */
static apr_array_header_t *all_providers;

static apr_status_t forget_providers(void *dummy)
{
    all_providers = NULL;
    return APR_SUCCESS;
}

static apr_status_t complain(server_rec *s, const mcp_provider_t *provider, const char *why)
{
    ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, 0, s, MCP_LOG(0303) "<MCPProvider %s>: %s", provider->name,
                 why);
    return APR_EGENERAL;
}

apr_status_t mcp_upstream_read_secrets(const apr_array_header_t *providers, server_rec *s, apr_pool_t *pconf)
{
    for (int i = 0; i < providers->nelts; i++) {
        mcp_provider_t *provider = APR_ARRAY_IDX(providers, i, mcp_provider_t *);
        const char *why = NULL;

        if (provider->ready) {
            continue;
        }
        if (provider->secret_ref) {
            why = mcp_secret_load(pconf, provider->secret_ref, &provider->secret);
            why = why ? apr_pstrcat(pconf, "MCPProviderClientSecret: ", why, NULL) : NULL;
        }
        if (!why) {
            why = mcp_credential_load(pconf, &provider->credential, s, provider->name);
        }
        if (!why && provider->ca_file) {
            why = mcp_provider_read_ca(pconf, provider->ca_file, &provider->ca_pem);
        }
        if (why) {
            return complain(s, provider, why);
        }
        provider->ready = 1;
    }
    return APR_SUCCESS;
}

apr_status_t mcp_upstream_post_config(apr_array_header_t *providers, server_rec *s, apr_pool_t *pconf)
{
    if (!all_providers) {
        apr_status_t rv = mcp_fetch_global_init(pconf);

        if (rv != APR_SUCCESS) {
            ap_log_error(APLOG_MARK, APLOG_CRIT | APLOG_STARTUP, rv, s, MCP_LOG(0304) "libcurl does not start");
            return rv;
        }
        all_providers = apr_array_make(pconf, 4, sizeof(mcp_provider_t *));
        apr_pool_cleanup_register(pconf, NULL, forget_providers, apr_pool_cleanup_null);
    }
    if (mcp_upstream_read_secrets(providers, s, pconf) != APR_SUCCESS) {
        return APR_EGENERAL;
    }
    for (int i = 0; i < providers->nelts; i++) {
        mcp_provider_t *provider = APR_ARRAY_IDX(providers, i, mcp_provider_t *);
        int known = 0;

        for (int k = 0; k < all_providers->nelts; k++) {
            known |= APR_ARRAY_IDX(all_providers, k, mcp_provider_t *) == provider;
        }
        if (known) {
            continue;
        }
        APR_ARRAY_PUSH(all_providers, mcp_provider_t *) = provider;
        if (provider->kind != MCP_PROVIDER_HTTPD) { /* that one is this server itself */
            mcp_health_add_provider(provider->name);
        }
    }
    return APR_SUCCESS;
}

void mcp_upstream_probe(request_rec *r, int part)
{
    for (int i = 0; all_providers && i < all_providers->nelts; i++) {
        const mcp_provider_t *provider = APR_ARRAY_IDX(all_providers, i, mcp_provider_t *);
        mcp_fetch_t ask = {
            .provider = provider->name,
            .ca_pem = provider->ca_pem,
            .ca_file = provider->ca_file,
            .proxy = provider->proxy,
            .max = DISCOVERY_MAX,
            .timeout = provider->timeout < PROBE_TIMEOUT ? provider->timeout : PROBE_TIMEOUT,
        };
        mcp_fetched_t got;
        mcp_result_t res;

        if (mcp_health_of_provider(provider->name) != part) {
            continue;
        }
        if (provider->kind == MCP_PROVIDER_OIDC) {
            ask.url = mcp_discovery_url(r->pool, provider);
            mcp_fetch(r->pool, &ask, &got, &res); /* notes what it sees */
        }
        return; /* plain OAuth has nothing that may be asked without a person: its sign-ins tell */
    }
}

static const void *parse_keys(apr_pool_t *p, const mcp_provider_t *provider, const char *text, apr_size_t len,
                              const char **why)
{
    return mcp_jwks_parse(p, text, len, why);
}

static int between(int low, int value, int high)
{
    return value < low ? low : (value > high ? high : value);
}

static apr_status_t make_state(mcp_provider_t *provider, mcp_gate_t *all, int limit, server_rec *s, apr_pool_t *p)
{
    mcp_provider_state_t *state = apr_pcalloc(p, sizeof(*state));
    apr_status_t rv = mcp_gate_create(&state->gate, limit, p);

    state->all = all;
    if (rv == APR_SUCCESS) {
        rv = mcp_cache_create(&state->discovery, "metadata", mcp_discovery_parse, DISCOVERY_MAX, DISCOVERY_KEPT, s,
                              p);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_cache_create(&state->keys, "keys", parse_keys, JWKS_MAX, KEYS_KEPT, s, p);
    }
    if (rv == APR_SUCCESS && provider->credential.source) {
        rv = mcp_assertion_source_start(provider->credential.source, p);
    }
    provider->state = state;
    return rv;
}

void mcp_upstream_child_init(apr_pool_t *pchild, server_rec *s)
{
    int threads = 0, limit, total;
    mcp_gate_t *all = NULL;
    apr_status_t rv;
    apr_pool_t *p;

    /* A pool that is never destroyed: a child that is ended by force destroys its own under the feet of its threads. */
    rv = apr_pool_create_unmanaged_ex(&p, NULL, NULL);
    if (ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads) != APR_SUCCESS || threads < 1) {
        threads = 1;
    }
    /* Of the threads of a child, one provider holds a quarter at most and all of them a half. */
    limit = between(2, threads / 4, 32);
    total = between(2, threads / 2, 64);
    if (rv == APR_SUCCESS) {
        rv = mcp_fetch_child_init(p, total);
    }
    if (rv == APR_SUCCESS) {
        rv = mcp_gate_create(&all, total, p);
    }
    for (int i = 0; rv == APR_SUCCESS && all_providers && i < all_providers->nelts; i++) {
        rv = make_state(APR_ARRAY_IDX(all_providers, i, mcp_provider_t *), all, limit, s, p);
    }
    if (rv != APR_SUCCESS) {
        ap_log_error(APLOG_MARK, APLOG_CRIT, rv, s, MCP_LOG(0305) "the upstream side cannot start");
        exit(APEXIT_CHILDSICK);
    }
}

static int full(const mcp_provider_t *provider, mcp_result_t *res)
{
    return mcp_fail(res, HTTP_SERVICE_UNAVAILABLE, "temporarily_unavailable", "the identity provider is too slow",
                    "too many calls to the provider are under way: it is slow or does not answer");
}

int mcp_upstream_enter(const mcp_provider_t *provider, mcp_result_t *res)
{
    if (mcp_gate_enter(provider->state->gate, MCP_UPSTREAM_ENTER_WAIT) != APR_SUCCESS) {
        return full(provider, res);
    }
    if (mcp_gate_enter(provider->state->all, MCP_UPSTREAM_ENTER_WAIT) != APR_SUCCESS) {
        mcp_gate_leave(provider->state->gate);
        return full(provider, res);
    }
    return OK;
}

void mcp_upstream_leave(const mcp_provider_t *provider)
{
    mcp_gate_leave(provider->state->all);
    mcp_gate_leave(provider->state->gate);
}
