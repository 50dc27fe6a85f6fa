/* SPDX-License-Identifier: Apache-2.0 */
/* Stand-ins for httpd, as far as common/ needs it, and a backend that fails on demand. */

#include "stub_httpd.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <pthread.h>
#include <string.h>

#include <apr_atomic.h>
#include <apr_buckets.h>
#include <apr_global_mutex.h>
#include <apr_strings.h>
#include <ap_mpm.h>
#include <ap_provider.h>
#include <ap_socache.h>
#include <http_core.h>
#include <http_log.h>
#include <http_protocol.h>
#include <util_filter.h>
#include <util_mutex.h>

volatile fake_mode_e fake_mode;
const char *fake_script = "";
volatile unsigned fake_calls, fake_blocked;
apr_time_t fake_expiry;
const void *fake_instance;
unsigned fake_unlocked, fake_hidden;
volatile unsigned stub_log_lines;
char stub_log_last[1024];
const char *stub_body = "";
apr_size_t stub_piece = 4096;
apr_status_t stub_body_error;
char stub_output[65536];
int stub_threads = 8;
const char *stub_bad_context;
server_rec stub_server = { .log = { .level = APLOG_TRACE8 } };

/* ---- the backend ---- */

#define SLOTS 64

struct ap_socache_instance_t {
    const char *arg;
    int needs_lock;
};

static struct {
    const void *instance;
    unsigned char id[32];
    apr_time_t expiry;
    unsigned char data[50000];
    unsigned int len;
} slots[SLOTS];

static apr_global_mutex_t *mutexes[2];
static int mutex_count;

void fake_reset(void)
{
    memset(slots, 0, sizeof(slots));
    fake_mode = FAKE_UP;
    fake_script = "";
    fake_calls = fake_blocked = fake_unlocked = fake_hidden = 0;
    mutex_count = 0;
    stub_log_lines = 0;
    stub_threads = 8;
    stub_bad_context = NULL;
}

int fake_count(void)
{
    int count = 0;

    for (int i = 0; i < SLOTS; i++) {
        count += slots[i].instance != NULL;
    }
    return count;
}

void fake_damage(int at)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].instance) {
            slots[i].data[at] ^= 1;
        }
    }
}

/* What this call meets. */
static apr_status_t meet(ap_socache_instance_t *instance)
{
    fake_mode_e mode = fake_mode;
    int held = 0;

    apr_atomic_inc32(&fake_calls);
    if (instance->needs_lock) {
        for (int i = 0; i < mutex_count; i++) {
            apr_status_t rv = apr_global_mutex_trylock(mutexes[i]);

            held += rv != APR_SUCCESS;
            if (rv == APR_SUCCESS) {
                apr_global_mutex_unlock(mutexes[i]);
            }
        }
        fake_unlocked += held != 1;
    }
    if (*fake_script) {
        mode = *fake_script == 'd' ? FAKE_DEAD : (*fake_script == 'b' ? FAKE_BROKEN : FAKE_UP);
        fake_script++;
    }
    if (mode == FAKE_SILENT) {
        apr_atomic_inc32(&fake_blocked);
        while (fake_mode == FAKE_SILENT) {
            apr_sleep(1000);
        }
        apr_atomic_dec32(&fake_blocked);
        mode = fake_mode;
    }
    return mode == FAKE_DEAD ? APR_NOTFOUND : (mode == FAKE_BROKEN ? APR_EGENERAL : APR_SUCCESS);
}

/* Real backends do one thing after the other. */
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

static int find(ap_socache_instance_t *instance, const unsigned char *id, unsigned int idlen)
{
    for (int i = 0; i < SLOTS; i++) {
        if (slots[i].instance == instance && idlen == 32 && !memcmp(slots[i].id, id, 32)) {
            return i;
        }
    }
    return -1;
}

static const char *fake_create(ap_socache_instance_t **instance, const char *arg, apr_pool_t *tmp, apr_pool_t *p)
{
    *instance = apr_pcalloc(p, sizeof(**instance));
    (*instance)->arg = arg;
    return arg && strstr(arg, "broken") ? "broken argument" : NULL;
}

static const char *fake_create_locked(ap_socache_instance_t **instance, const char *arg, apr_pool_t *tmp, apr_pool_t *p)
{
    const char *error = fake_create(instance, arg, tmp, p);

    (*instance)->needs_lock = 1;
    return error;
}

static apr_status_t fake_init(ap_socache_instance_t *instance, const char *cname, const struct ap_socache_hints *hints,
                              server_rec *s, apr_pool_t *pool)
{
    return strlen(cname) > 16 ? APR_EINVAL : APR_SUCCESS;
}

static void fake_destroy(ap_socache_instance_t *instance, server_rec *s)
{
}

static apr_status_t do_store(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id, unsigned int idlen,
                             apr_time_t expiry, unsigned char *data, unsigned int datalen, apr_pool_t *pool)
{
    int i = find(instance, id, idlen);

    if (datalen > sizeof(slots[0].data)) {
        return APR_ENOSPC;
    }
    for (int j = 0; i < 0 && j < SLOTS; j++) {
        i = slots[j].instance ? -1 : j;
    }
    slots[i].instance = fake_instance = instance;
    memcpy(slots[i].id, id, 32);
    memcpy(slots[i].data, data, datalen);
    slots[i].len = datalen;
    slots[i].expiry = fake_expiry = expiry;
    return APR_SUCCESS;
}

static apr_status_t do_retrieve(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                                unsigned int idlen, unsigned char *data, unsigned int *datalen, apr_pool_t *pool)
{
    int i = find(instance, id, idlen);

    if (i < 0) {
        *datalen = 0; /* as a provider might: the caller has to set it anew */
        return APR_NOTFOUND;
    }
    if (slots[i].len > *datalen) {
        return APR_NOTFOUND; /* shmcb's way */
    }
    memcpy(data, slots[i].data, slots[i].len);
    *datalen = slots[i].len;
    return APR_SUCCESS;
}

static apr_status_t do_remove(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                              unsigned int idlen, apr_pool_t *pool)
{
    int i = find(instance, id, idlen);

    if (i < 0) {
        return APR_NOTFOUND;
    }
    slots[i].instance = NULL;
    return APR_SUCCESS;
}

static apr_status_t fake_store(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id, unsigned int idlen,
                               apr_time_t expiry, unsigned char *data, unsigned int datalen, apr_pool_t *pool)
{
    apr_status_t rv = meet(instance);

    if (rv == APR_SUCCESS) {
        pthread_mutex_lock(&turn);
        rv = do_store(instance, s, id, idlen, expiry, data, datalen, pool);
        pthread_mutex_unlock(&turn);
    }
    return rv;
}

static apr_status_t fake_retrieve(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                                  unsigned int idlen, unsigned char *data, unsigned int *datalen, apr_pool_t *pool)
{
    apr_status_t rv = meet(instance);

    if (rv != APR_SUCCESS) {
        *datalen = 0;
        return rv;
    }
    pthread_mutex_lock(&turn);
    rv = do_retrieve(instance, s, id, idlen, data, datalen, pool);
    pthread_mutex_unlock(&turn);
    return rv;
}

static apr_status_t fake_remove(ap_socache_instance_t *instance, server_rec *s, const unsigned char *id,
                                unsigned int idlen, apr_pool_t *pool)
{
    apr_status_t rv = meet(instance);

    if (rv == APR_SUCCESS) {
        pthread_mutex_lock(&turn);
        rv = do_remove(instance, s, id, idlen, pool);
        pthread_mutex_unlock(&turn);
    }
    return rv;
}

static const ap_socache_provider_t networked = {
    "fake", 0, fake_create, fake_init, fake_destroy, fake_store, fake_retrieve, fake_remove, NULL, NULL
};
static const ap_socache_provider_t local = {
    "fake", AP_SOCACHE_FLAG_NOTMPSAFE, fake_create_locked, fake_init, fake_destroy, fake_store, fake_retrieve, fake_remove,
    NULL, NULL
};

/* ---- httpd ---- */

void *ap_lookup_provider(const char *group, const char *name, const char *version)
{
    int which = !strcmp(name, "shmcb") ? 0 : (!strcmp(name, "memcache") ? 1 : (!strcmp(name, "redis") ? 2 : -1));

    if (strcmp(group, AP_SOCACHE_PROVIDER_GROUP) || which < 0 || (fake_hidden & (1u << which))) {
        return NULL;
    }
    return (void *)(which ? &networked : &local);
}

apr_status_t ap_mutex_register(apr_pool_t *pconf, const char *type, const char *dir, apr_lockmech_e mech, apr_int32_t options)
{
    return APR_SUCCESS;
}

apr_status_t ap_global_mutex_create(apr_global_mutex_t **mutex, const char **name, const char *type, const char *instance,
                                    server_rec *s, apr_pool_t *p, apr_int32_t options)
{
    apr_status_t rv = apr_global_mutex_create(mutex, NULL, APR_LOCK_DEFAULT, p);

    mutexes[mutex_count++] = *mutex;
    return rv;
}

apr_status_t ap_mpm_query(int query, int *result)
{
    *result = stub_threads;
    return APR_SUCCESS;
}

int ap_state_query(int query)
{
    return query == AP_SQ_RUN_MODE ? AP_SQ_RM_CONFIG_TEST : AP_SQ_NOT_SUPPORTED;
}

char *ap_runtime_dir_relative(apr_pool_t *p, const char *file)
{
    return apr_pstrcat(p, "/run/httpd/", file, NULL);
}

char *ap_server_root_relative(apr_pool_t *p, const char *file)
{
    return *file == '/' ? apr_pstrdup(p, file) : apr_pstrcat(p, "/etc/httpd/", file, NULL);
}

const char *ap_check_cmd_context(cmd_parms *cmd, unsigned forbidden)
{
    return stub_bad_context;
}

apr_status_t ap_timeout_parameter_parse(const char *text, apr_interval_time_t *timeout, const char *unit)
{
    char *end;
    apr_int64_t number = apr_strtoi64(text, &end, 10);

    *timeout = !strcmp(end, "ms") ? number * 1000 : number * 1000000;
    return end != text && (!*end || !strcmp(end, "s") || !strcmp(end, "ms")) ? APR_SUCCESS : APR_EGENERAL;
}

void ap_log_error_(const char *file, int line, int module_index, int level, apr_status_t status, const server_rec *s,
                   const char *format, ...)
{
    va_list args;

    va_start(args, format);
    apr_vsnprintf(stub_log_last, sizeof(stub_log_last), format, args);
    va_end(args);
    apr_atomic_inc32(&stub_log_lines);
}

void ap_log_rerror_(const char *file, int line, int module_index, int level, apr_status_t status, const request_rec *r,
                    const char *format, ...)
{
    va_list args;

    va_start(args, format);
    apr_vsnprintf(stub_log_last, sizeof(stub_log_last), format, args);
    va_end(args);
    apr_atomic_inc32(&stub_log_lines);
}

cmd_parms *stub_cmd(apr_pool_t *p, void *config)
{
    static module stub_module = { .module_index = 0 };
    cmd_parms *cmd = apr_pcalloc(p, sizeof(*cmd));
    void **vector = apr_pcalloc(p, sizeof(*vector));

    vector[0] = config;
    cmd->pool = p;
    cmd->temp_pool = p;
    cmd->server = apr_pmemdup(p, &stub_server, sizeof(stub_server));
    cmd->server->module_config = (ap_conf_vector_t *)vector;
    cmd->info = &stub_module;
    return cmd;
}

request_rec *stub_request(apr_pool_t *p)
{
    request_rec *r = apr_pcalloc(p, sizeof(*r));

    r->pool = p;
    r->server = &stub_server;
    r->connection = apr_pcalloc(p, sizeof(*r->connection));
    r->connection->bucket_alloc = apr_bucket_alloc_create(p);
    r->headers_in = apr_table_make(p, 8);
    r->headers_out = apr_table_make(p, 8);
    r->err_headers_out = apr_table_make(p, 8);
    r->subprocess_env = apr_table_make(p, 8);
    r->notes = apr_table_make(p, 8);
    r->method_number = M_GET;
    r->status = HTTP_OK;
    *stub_output = '\0';
    stub_body = "";
    stub_body_error = APR_SUCCESS;
    return r;
}

apr_status_t ap_get_brigade(ap_filter_t *filter, apr_bucket_brigade *bb, ap_input_mode_t mode, apr_read_type_e block,
                            apr_off_t bytes)
{
    apr_size_t len = strlen(stub_body);

    if (len > stub_piece) {
        len = stub_piece;
    }
    if (!len && stub_body_error) {
        return stub_body_error;
    }
    if (len) {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_flush_create(bb->bucket_alloc));
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_transient_create(stub_body, len, bb->bucket_alloc));
    }
    else {
        APR_BRIGADE_INSERT_TAIL(bb, apr_bucket_eos_create(bb->bucket_alloc));
    }
    stub_body += len;
    return APR_SUCCESS;
}

int ap_map_http_request_error(apr_status_t rv, int status)
{
    return status;
}

int ap_discard_request_body(request_rec *r)
{
    return OK;
}

int ap_rvputs(request_rec *r, ...)
{
    va_list args;
    const char *text;

    va_start(args, r);
    while ((text = va_arg(args, const char *))) {
        ap_rwrite(text, (int)strlen(text), r);
    }
    va_end(args);
    return 0;
}

int ap_rprintf(request_rec *r, const char *format, ...)
{
    va_list args;
    const char *text;

    va_start(args, format);
    text = apr_pvsprintf(r->pool, format, args);
    va_end(args);
    return ap_rwrite(text, (int)strlen(text), r);
}

/* No programs here: piped logs are the system suite's. */
piped_log *ap_open_piped_log(apr_pool_t *p, const char *program)
{
    (void)p, (void)program;
    return NULL;
}

apr_file_t *ap_piped_log_write_fd(piped_log *log)
{
    (void)log;
    return NULL;
}

int ap_rflush(request_rec *r)
{
    (void)r;
    return 0;
}

const char *ap_run_http_scheme(const request_rec *r)
{
    (void)r;
    return "https";
}

/* Pages of status are the system suite's. */
char *ap_escape_html2(apr_pool_t *p, const char *text, int toasc)
{
    (void)toasc;
    return apr_pstrdup(p, text);
}

apr_port_t ap_run_default_port(const request_rec *r)
{
    (void)r;
    return 443;
}

int ap_rwrite(const void *data, int len, request_rec *r)
{
    size_t have = strlen(stub_output);

    memcpy(stub_output + have, data, (size_t)len);
    stub_output[have + (size_t)len] = '\0';
    return len;
}

void ap_set_content_length(request_rec *r, apr_off_t length)
{
    r->clength = length;
}

void ap_set_content_type(request_rec *r, const char *type)
{
    r->content_type = type;
}
