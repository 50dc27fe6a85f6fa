/* SPDX-License-Identifier: Apache-2.0 */
/* Directives that both modules understand. httpd hands a line to every module that knows its directive, so each
 * module keeps a copy of its own and needs nothing of the other. */

#ifndef MCP_CONFIG_H
#define MCP_CONFIG_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_audit.h"
#include "mcp_keyring.h"
#include "mcp_span.h"
#include "mcp_store.h"

/* A protected resource: `MCPResource URI [name="..."] [scopes="a b"]` */
typedef struct {
    const char *uri;        /* canonical (mcp_resource_canonical) */
    const char *path;       /* path of the URI, "/" at least */
    const char *name;       /* for people; defaults to the URI */
    const char *scopes;     /* scopes_supported, the minimal set (RS-5); "" when none */
    unsigned char hash[16]; /* mcp_resource_hash(uri) */
} mcp_resource_t;

/* Server-level settings that both modules share. Merged per virtual host; key file and store are global. */
typedef struct {
    const char *key_file;            /* MCPKeyFile */
    mcp_store_conf_t store;          /* MCPStore, MCPStoreTimeout */
    mcp_audit_conf_t audit;          /* MCPAuditLog */
    int ready;                       /* MCPHealthReady: MCP_READY_*, 0 for what is usual */
    mcp_span_conf_t spans;           /* MCPTraceExport */
    apr_array_header_t *signing;     /* MCPSigningKey: references, const char * */
    const char *issuer;              /* MCPIssuer: our issuer identifier, byte for byte as published */
    apr_array_header_t *resources;   /* MCPResource: mcp_resource_t */
    apr_array_header_t *scope_texts; /* MCPScope: mcp_scope_t */
    apr_array_header_t *origins;     /* MCPAllowOrigin: const char *, "*" allows all */
} mcp_shared_conf_t;

/* `MCPScope NAME "text for people" [implies="a b"] [optional]` */
typedef struct {
    const char *name;
    const char *text;
    const char *implies;
    int optional;
} mcp_scope_t;

mcp_shared_conf_t *mcp_shared_create(apr_pool_t *p);
mcp_shared_conf_t *mcp_shared_merge(apr_pool_t *p, const mcp_shared_conf_t *base, const mcp_shared_conf_t *add);

/* A common beginning of both modules' server configs, which the setters below write to. */
typedef struct {
    mcp_shared_conf_t *shared;
} mcp_server_conf_base_t;

/**
 * The command table entries, for the table of @a mod (a module *): its server config must begin with
 * mcp_server_conf_base_t's member. The module travels to the setters as cmd->info.
 */
#define MCP_SHARED_COMMANDS(mod) \
    AP_INIT_TAKE1("MCPKeyFile", mcp_set_key_file, (void *)(mod), RSRC_CONF, \
                  "file with the sealing keys, one `kid base64` a line"), \
        AP_INIT_TAKE1("MCPStore", mcp_set_store, (void *)(mod), RSRC_CONF, \
                      "shared store: shmcb[:path(size)], memcache:host:port or memcache:/socket, " \
                      "redis:host:port"), \
        AP_INIT_TAKE1("MCPStoreTimeout", mcp_set_store_timeout, (void *)(mod), RSRC_CONF, \
                      "how long the store may be silent before requests are answered 503"), \
        AP_INIT_ITERATE("MCPSigningKey", mcp_set_signing_key, (void *)(mod), RSRC_CONF, \
                        "private keys for what we sign, by reference: the first signs, all are published"), \
        AP_INIT_TAKE_ARGV("MCPAuditLog", mcp_set_audit_log, (void *)(mod), RSRC_CONF, \
                          "file, \"|program\" or syslog[:facility], then required and calls"), \
        AP_INIT_ITERATE("MCPHealthReady", mcp_set_health_ready, (void *)(mod), RSRC_CONF, \
                        "what has to be up for mcp-ready to say so: store, audit, provider"), \
        AP_INIT_TAKE_ARGV("MCPTraceExport", mcp_set_trace_export, (void *)(mod), RSRC_CONF, \
                          "\"|program\" that gets a line for each span, then sample=RATIO"), \
        AP_INIT_TAKE1("MCPIssuer", mcp_set_issuer, (void *)(mod), RSRC_CONF, \
                      "issuer identifier, an https URL"), \
        AP_INIT_TAKE_ARGV("MCPResource", mcp_set_resource, (void *)(mod), RSRC_CONF, \
                          "a protected resource: URI [name=...] [scopes=...]"), \
        AP_INIT_TAKE_ARGV("MCPScope", mcp_set_scope, (void *)(mod), RSRC_CONF, \
                          "a scope in words: NAME TEXT [implies=...] [optional]"), \
        AP_INIT_ITERATE("MCPAllowOrigin", mcp_set_allow_origin, (void *)(mod), RSRC_CONF, \
                        "browser origins that may call, or *")

/**
 * The arguments of an AP_INIT_TAKE_ARGV directive with NAME="several words", which httpd cuts at blanks, put together again
 * without the quotation marks. @return NULL, or what is wrong
 */
const char *mcp_join_quoted(apr_pool_t *p, int argc, char *const argv[], apr_array_header_t **words);

/** MCPStoreTimeout, of the main server. */
apr_interval_time_t mcp_store_timeout(const mcp_shared_conf_t *global);

const char *mcp_set_signing_key(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_key_file(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_store(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_store_timeout(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_audit_log(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *mcp_set_health_ready(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_trace_export(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *mcp_set_issuer(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_resource(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *mcp_set_scope(cmd_parms *cmd, void *dummy, int argc, char *const argv[]);
const char *mcp_set_allow_origin(cmd_parms *cmd, void *dummy, const char *arg);

/* ---- mcp_resource.c ---- */

/** The resource that @a path (decoded, r->uri) belongs to: longest path prefix at a segment boundary, or NULL. */
const mcp_resource_t *mcp_resource_for_path(const mcp_shared_conf_t *conf, const char *path);

/** The resource with this canonical URI, or NULL. */
const mcp_resource_t *mcp_resource_by_uri(const mcp_shared_conf_t *conf, const char *canonical);

/** All that @a scope stands for: itself and, transitively, what MCPScope implies (RS-11, AS-15). */
const char *mcp_scope_expand(apr_pool_t *p, const mcp_shared_conf_t *conf, const char *scope);

/**
 * @a scope without what another part of it implies, in its order; of a circle the first stays (AS-15).
 * What it stands for is the same as before: mcp_scope_expand() gives the same set.
 */
const char *mcp_scope_reduce(apr_pool_t *p, const mcp_shared_conf_t *conf, const char *scope);

/* ---- mcp_start.c ---- */

/** What both modules do in pre_config: register the mutex types. */
apr_status_t mcp_shared_pre_config(apr_pool_t *pconf);

/**
 * Does `httpd -t` ask, after which nothing starts? Only then are secrets read in check_config: a start reads them in
 * post_config, once, since exec: may be slow or have a price.
 */
int mcp_is_config_test(void);

/**
 * What both modules do in post_config with the global settings: load the keyring (once; shared like the store) and
 * open the store, the audit log, the metrics and the export of traces. Refuses a missing MCPKeyFile or MCPStore with the
 * mend in the log.
 */
apr_status_t mcp_shared_post_config(const mcp_shared_conf_t *global, mcp_keyring_t **ring, mcp_store_t **store,
                                    server_rec *s, apr_pool_t *pconf, apr_pool_t *ptemp);

/** What both modules do in child_init, where they are in use: locks, connections, crypto. */
void mcp_shared_child_init(mcp_store_t *store, apr_pool_t *pchild);

#endif
