/* SPDX-License-Identifier: Apache-2.0 */
/* Switches callgrind by request, for test/bench/profile only: GET /callgrind?start, then /callgrind?dump.
 *
 * callgrind_control does not reach a threaded httpd whose threads all wait, so the switch is inside. */

#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>
#include <valgrind/callgrind.h>

static int callgrind_handler(request_rec *r)
{
    if (strcmp(r->uri, "/callgrind")) {
        return DECLINED;
    }
    if (r->args && !strcmp(r->args, "start")) {
        CALLGRIND_START_INSTRUMENTATION;
    }
    else if (r->args && !strcmp(r->args, "zero")) {
        CALLGRIND_ZERO_STATS;
    }
    else if (r->args && !strcmp(r->args, "dump")) {
        CALLGRIND_DUMP_STATS;
        CALLGRIND_STOP_INSTRUMENTATION;
    }
    else {
        return HTTP_NOT_FOUND;
    }
    ap_rputs("done\n", r);
    return OK;
}

static void register_hooks(apr_pool_t *p)
{
    (void)p;
    ap_hook_handler(callgrind_handler, NULL, NULL, APR_HOOK_FIRST);
}

AP_DECLARE_MODULE(bench_callgrind) = {
    STANDARD20_MODULE_STUFF,
    NULL, NULL, NULL, NULL, NULL,
    register_hooks,
#ifdef AP_MODULE_HAS_FLAGS
    AP_MODULE_FLAG_NONE
#endif
};
