/* SPDX-License-Identifier: Apache-2.0 */
/* Directives of the stream governor, and what is checked at start: the event MPM's settings decide how many streams a
 * server holds, and its defaults are made for web pages. Each message names the directive to set. */

#include <sys/resource.h>

#include <httpd.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <http_config.h>
#include <http_core.h>
#include <http_log.h>

#include "guard.h"
#include "mcp_log.h"
#include "stream_impl.h"

APLOG_USE_MODULE(mcp_guard);

#define KEEPALIVE_DEFAULT apr_time_from_sec(25)
#define PERSON_DEFAULT 200
#define CHILD_WISHED 10000 /* nobody needs to be told that a child could hold more than this */
#define FACTOR_DEFAULT 2   /* event.c: DEFAULT_WORKER_FACTOR */
#define FDS_RESERVED 64    /* logs, listeners, epoll, stores */

mcp_stream_global_t mcp_stream_global = { -1, -1, 0, 0, 0 };

void mcp_stream_config_begin(void)
{
    static const mcp_stream_global_t fresh = { -1, -1, 0, 0, 0 };

    mcp_stream_global = fresh;
}

void mcp_stream_conf_init(mcp_stream_conf_t *conf)
{
    conf->relay = -1;
    conf->keepalive = conf->idle = conf->max_age = -1;
    conf->person = conf->client = -1;
}

void mcp_stream_conf_inherit(mcp_stream_conf_t *conf, const mcp_stream_conf_t *base)
{
    if (conf->relay < 0) {
        conf->relay = base->relay;
    }
    if (conf->keepalive < 0) {
        conf->keepalive = base->keepalive;
    }
    if (conf->idle < 0) {
        conf->idle = base->idle;
    }
    if (conf->max_age < 0) {
        conf->max_age = base->max_age;
    }
    if (conf->person < 0) {
        conf->person = base->person;
    }
    if (conf->client < 0) {
        conf->client = base->client;
    }
}

apr_interval_time_t mcp_stream_keepalive(const mcp_stream_conf_t *conf)
{
    return conf->keepalive < 0 ? KEEPALIVE_DEFAULT : conf->keepalive;
}

int mcp_stream_limit_person(const mcp_stream_conf_t *conf)
{
    return conf->person < 0 ? PERSON_DEFAULT : conf->person;
}

/* ---- directives ---- */

static const char *set_time(cmd_parms *cmd, apr_interval_time_t *to, const char *arg)
{
    if (!ap_cstr_casecmp(arg, "off")) {
        *to = 0;
        return NULL;
    }
    if (ap_timeout_parameter_parse(arg, to, "s") != APR_SUCCESS || *to < apr_time_from_sec(1)) {
        return apr_psprintf(cmd->pool, "%s wants a time of at least a second, such as 30s or 15min, or off; not \"%s\"",
                            cmd->cmd->name, arg);
    }
    return NULL;
}

const char *mcp_set_stream_relay(cmd_parms *cmd, void *dir, int flag)
{
    mcp_guard_stream_conf(dir)->relay = flag;
    if (flag) {
        mcp_stream_global.relay_asked = 1;
    }
    return NULL;
}

const char *mcp_set_stream_keepalive(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_time(cmd, &mcp_guard_stream_conf(dir)->keepalive, arg);
}

const char *mcp_set_stream_idle(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_time(cmd, &mcp_guard_stream_conf(dir)->idle, arg);
}

const char *mcp_set_stream_max_age(cmd_parms *cmd, void *dir, const char *arg)
{
    return set_time(cmd, &mcp_guard_stream_conf(dir)->max_age, arg);
}

const char *mcp_set_stream_drain(cmd_parms *cmd, void *dir, const char *arg)
{
    const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

    return err ? err : set_time(cmd, &mcp_stream_global.drain, arg);
}

const char *mcp_set_stream_limit(cmd_parms *cmd, void *dir, const char *what, const char *arg)
{
    mcp_stream_conf_t *conf = mcp_guard_stream_conf(dir);
    char *end;
    apr_int64_t n = apr_strtoi64(arg, &end, 10);

    if (!ap_cstr_casecmp(arg, "off")) {
        n = 0;
    }
    else if (end == arg || *end || n < 1 || n > 1000000) {
        return apr_psprintf(cmd->pool, "MCPStreamLimit %s wants a number from 1 to 1000000, or off; not \"%s\"", what,
                            arg);
    }
    if (!ap_cstr_casecmp(what, "person")) {
        conf->person = (int)n;
    }
    else if (!ap_cstr_casecmp(what, "client")) {
        conf->client = (int)n;
    }
    else if (!ap_cstr_casecmp(what, "server") || !ap_cstr_casecmp(what, "child")) {
        const char *err = ap_check_cmd_context(cmd, GLOBAL_ONLY);

        if (err) {
            return err;
        }
        *(ap_cstr_casecmp(what, "child") ? &mcp_stream_global.server : &mcp_stream_global.child) = (int)n;
    }
    else {
        return apr_psprintf(cmd->pool, "MCPStreamLimit knows person, client, server and child; not \"%s\"", what);
    }
    return NULL;
}

/* ---- checks at start ---- */

/* The first argument of a directive at the top of the configuration, or NULL. */
static const char *directive(const char *name)
{
    const ap_directive_t *d;
    const char *value = NULL;

    for (d = ap_conftree; d; d = d->next) {
        if (!ap_cstr_casecmp(d->directive, name)) {
            value = d->args; /* the last one counts */
        }
    }
    return value;
}

static double number(const char *name, double missing)
{
    const char *text = directive(name);

    return text ? strtod(text, NULL) : missing;
}

/* What the descriptors allow: two for each stream, and some for the rest. */
static int cap_by_files(int threads)
{
    struct rlimit files;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur == RLIM_INFINITY) {
        return CHILD_WISHED;
    }
    if (files.rlim_cur > 4 * CHILD_WISHED) {
        return CHILD_WISHED;
    }
    return ((int)files.rlim_cur - 4 * threads - FDS_RESERVED) / 2;
}

/* A child accepts only while its connections, relayed streams among them, are fewer than ThreadsPerChild + idle workers
 * * AsyncRequestWorkerFactor (event.c, connections_above_limit). The relay stops where half of the workers, idle, are
 * enough to accept, so that plain requests go on. */
static int cap_by_factor(int threads, double factor)
{
    int half = (threads + 1) / 2;
    double cap = threads + half * factor - 1;

    return cap > CHILD_WISHED ? CHILD_WISHED : (int)cap;
}

/* Has this host a guarded location, of its own or of the main server? */
static int serves_mcp(const server_rec *s, const server_rec *main_server)
{
    const apr_array_header_t *guarded = mcp_guard_collected.guarded;

    for (int i = 0; i < guarded->nelts; i++) {
        const server_rec *host = APR_ARRAY_IDX(guarded, i, mcp_guarded_place_t).server;

        if (host == s || host == main_server) {
            return 1;
        }
    }
    return 0;
}

static void check_http2(server_rec *main_server)
{
    for (server_rec *s = main_server; s; s = s->next) {
        const core_server_config *core = ap_get_core_module_config(s->module_config);
        int i;

        for (i = 0; serves_mcp(s, main_server) && core->protocols && i < core->protocols->nelts; i++) {
            const char *protocol = APR_ARRAY_IDX(core->protocols, i, const char *);

            if (protocol[0] == 'h' && protocol[1] == '2') {
                ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                             MCP_LOG(0510) "Protocols %s: mod_http2 answers few event streams of a connection at a "
                                           "time and each holds a worker; set Protocols http/1.1 on hosts that serve "
                                           "MCP (%s)",
                             protocol, s->server_hostname ? s->server_hostname : "server");
                break;
            }
        }
    }
}

static void check_spare(server_rec *s, int daemons, int threads)
{
    int spare = 0;
    int most = daemons * threads;

    ap_mpm_query(AP_MPMQ_MAX_SPARE_THREADS, &spare);
    if (spare > 0 && spare < most) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     MCP_LOG(0511) "MaxSpareThreads %d: children full of event streams look idle and would be retired "
                                   "while their streams live on; set MaxSpareThreads %d, as MaxRequestWorkers",
                     spare, most);
    }
    if (number("MaxConnectionsPerChild", number("MaxRequestsPerChild", 0)) > 0) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     MCP_LOG(0512) "MaxConnectionsPerChild retires children, which then stay until their last event "
                                   "stream ends; set MaxConnectionsPerChild 0");
    }
}

static void check_capacity(server_rec *s, int daemons, int threads)
{
    double factor = number("AsyncRequestWorkerFactor", FACTOR_DEFAULT);
    int by_files = cap_by_files(threads);
    int by_factor = cap_by_factor(threads, factor);
    int wished = mcp_stream_global.child > 0 ? mcp_stream_global.child : CHILD_WISHED;
    int cap = wished;

    if (by_files < cap) {
        cap = by_files;
    }
    if (by_factor < cap) {
        cap = by_factor;
    }
    mcp_stream_global.child_cap = cap < 1 ? 1 : cap;

    if (by_factor < wished && by_factor <= by_files) {
        ap_log_error(APLOG_MARK, APLOG_WARNING, 0, s,
                     MCP_LOG(0513) "AsyncRequestWorkerFactor %g: event streams are held to %d a child, %d in all, for "
                                   "beyond that the server would accept nothing; set AsyncRequestWorkerFactor 2000",
                     factor, cap, cap * daemons);
    }
    else if (by_files < wished) {
        ap_log_error(APLOG_MARK, mcp_stream_global.child > 0 ? APLOG_WARNING : APLOG_NOTICE, 0, s,
                     MCP_LOG(0514) "open files: event streams are held to %d a child, %d in all; raise ulimit -n "
                                   "(LimitNOFILE) for more",
                     cap, cap * daemons);
    }
}

static int check_config(apr_pool_t *pconf, apr_pool_t *plog, apr_pool_t *ptemp, server_rec *s)
{
    int async = 0;
    int threads = 1;
    int daemons = 1;

    if (!mcp_stream_global.relay_asked && !mcp_guard_in_use(s)) {
        return OK;
    }
    check_http2(s);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &threads);
    ap_mpm_query(AP_MPMQ_MAX_DAEMONS, &daemons);
    if (ap_mpm_query(AP_MPMQ_IS_ASYNC, &async) != APR_SUCCESS || !async) {
        ap_log_error(APLOG_MARK, mcp_stream_global.relay_asked ? APLOG_WARNING : APLOG_NOTICE, 0, s,
                     MCP_LOG(0515) "the %s MPM holds a worker for each event stream, %d in all; load mpm_event to "
                                   "relay them",
                     ap_show_mpm(), daemons * (threads > 0 ? threads : 1));
        return OK;
    }
    check_spare(s, daemons, threads);
    check_capacity(s, daemons, threads);
    return OK;
}

void mcp_stream_config_hooks(apr_pool_t *p)
{
    ap_hook_check_config(check_config, NULL, NULL, APR_HOOK_LAST);
}
