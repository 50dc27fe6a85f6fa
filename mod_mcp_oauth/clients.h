/* SPDX-License-Identifier: Apache-2.0 */
/* Where clients come from besides registration: their metadata documents, and the configuration;
 * and what limits the endpoints that anybody may call. */

#ifndef MCP_CLIENTS_H
#define MCP_CLIENTS_H

#include <httpd.h>
#include <http_config.h>

#include "mcp_limit.h"
#include "mcp_result.h"

struct mcp_oauth_conf_t;

typedef enum {
    MCP_CLIENT_REGISTERED, /* by RFC 7591: its client_id is its registration, sealed */
    MCP_CLIENT_METADATA,   /* its client_id is the https URL of its metadata document */
    MCP_CLIENT_CONFIGURED  /* <MCPOAuthClient> */
} mcp_client_source_e;

/* A picture that may be shown (image.h). */
typedef struct {
    const char *data;
    apr_size_t len;
    const char *type;
} mcp_picture_t;

/* A client, wherever it comes from. */
typedef struct {
    mcp_client_source_e source;
    const char *id;                    /* as presented */
    const char *key;                   /* mcp_client_key(id) */
    const char *name;                  /* for people, cleaned; a claim unless configured; "" when none */
    const char *uri;                   /* its home page, untrusted; NULL when none */
    const char *host;                  /* of a metadata document: who vouches for it, else NULL */
    apr_array_header_t *redirect_uris; /* const char * */
    const char *auth_method;           /* none, client_secret_basic or private_key_jwt */
    const char *secret_hash;           /* lower-case hex SHA-256 of its secret, NULL when none */
    const char *jwks;                  /* JWK set as JSON text, NULL when none */
    const char *jwks_uri;              /* or where it is, NULL when nowhere */
    const mcp_picture_t *logo;         /* MCPOAuthClientLogo, NULL when none */
    const char *logo_uri;              /* where its document says that its logo is; NULL: none to show */
} mcp_client_t;

/* An administrator's reviewed copy of a client's metadata document. */
typedef struct {
    const char *url;
    const char *text;
} mcp_pinned_t;

typedef enum {
    MCP_LIMIT_REGISTER,
    MCP_LIMIT_AUTHORIZE,
    MCP_LIMIT_TOKEN,
    MCP_LIMIT_COUNT
} mcp_limit_e;

/* Each member is inherited by itself. */
typedef struct {
    int metadata;                       /* MCPOAuthClientMetadata On|Off, -1 unset */
    apr_array_header_t *metadata_hosts; /* MCPOAuthClientMetadataHosts: const char *,
                                           "*.example.com" too; NULL: all */
    const char *metadata_ca_file;       /* MCPOAuthClientMetadataCAFile */
    const char *metadata_ca_pem;        /* its content */
    const char *metadata_proxy;         /* MCPOAuthClientMetadataProxy */
    int metadata_logos;                 /* MCPOAuthClientMetadataLogos On|Off, -1 unset */
    apr_array_header_t *pinned;         /* MCPOAuthClientMetadataFile: mcp_pinned_t */
    apr_array_header_t *configured;     /* <MCPOAuthClient>: mcp_client_t * */
    mcp_client_t *section;              /* the one that is being read */
    int registration;                   /* MCPOAuthRegistration: mcp_registration_e, -1 unset */
    const char *registration_ref;       /* its token, by reference */
    const char *registration_token;
    apr_array_header_t *redirect_hosts; /* MCPOAuthRedirectHosts: const char *; NULL: all */
    mcp_rate_t rate[MCP_LIMIT_COUNT];   /* MCPOAuthLimit; period 0: none, count 0: unset */
    apr_array_header_t *shared_ranges;  /* MCPOAuthLimitShared: apr_ipsubnet_t *: many people
                                           behind few addresses */
} mcp_clients_conf_t;

typedef enum {
    MCP_REGISTRATION_OPEN,
    MCP_REGISTRATION_TOKEN,
    MCP_REGISTRATION_OFF
} mcp_registration_e;

mcp_clients_conf_t *mcp_clients_create(apr_pool_t *p);
mcp_clients_conf_t *mcp_clients_merge(apr_pool_t *p, const mcp_clients_conf_t *base,
                                      const mcp_clients_conf_t *add);

/** Check what was configured, for configtest. NULL, or what to mend. */
const char *mcp_clients_check(apr_pool_t *p, const mcp_clients_conf_t *conf);

/** Is one <MCPOAuthClient> complete? NULL, or what to mend. */
const char *mcp_client_check(apr_pool_t *p, const mcp_client_t *client);

/** Read the secret that MCPOAuthRegistration names, once; for configtest as well. Errors are logged. */
apr_status_t mcp_clients_read_secrets(mcp_clients_conf_t *conf, server_rec *s, apr_pool_t *pconf);

/** post_config duty: defaults, the secret that is named, and the limits. Errors are logged. */
apr_status_t mcp_clients_post_config(mcp_clients_conf_t *conf, server_rec *s, apr_pool_t *pconf);

/** child_init duty: the caches of documents and logos. */
void mcp_clients_child_init(apr_pool_t *pchild);

/* ---- limits (client_limit.c) ---- */

/** post_config duty: default rates, and the one table of all hosts. Errors are logged. */
apr_status_t mcp_clients_limit_post_config(mcp_clients_conf_t *conf, server_rec *s,
                                           apr_pool_t *pconf);

/**
 * Count a call of an endpoint by the caller's address alone (ten times the rate, unless the address
 * is of a shared range) or, with @a what, by address and what it asks for, so that people behind
 * one address do not pay for each other (field-lessons 22).
 * @return OK, or 429 with Retry-After set; the caller sends the body
 */
int mcp_clients_limit(request_rec *r, const struct mcp_oauth_conf_t *conf, mcp_limit_e which,
                      const char *what);

/* ---- documents of clients (client_doc.c) ---- */

#define MCP_METADATA_MAX 5120 /* bytes of a metadata document (AS-26) */
#define MCP_CLIENT_JWKS_MAX 65536

/**
 * A document at a client's URL: from this child's cache, or fetched under the rules for strangers'
 * URLs (AS-23, AS-25).
 * @param newer  fetch anew unless what is cached is younger than this; 0: as the headers of the
 * answer allowed
 * @return OK and *text in @a p; 503 temporarily_unavailable when it cannot be had now; 401
 * invalid_client when the answer is no document
 */
int mcp_client_document(apr_pool_t *p, const struct mcp_oauth_conf_t *conf, const char *url,
                        apr_size_t max, apr_interval_time_t newer, const char **text,
                        mcp_result_t *res);

/** Forget the document at @a url: it turned out not to be good (AS-23: invalid documents are not
 * cached). */
void mcp_client_document_drop(const char *url);

/** child_init duty: their cache. */
void mcp_client_documents_child_init(apr_pool_t *pchild);

/* ---- metadata documents (client_metadata.c) ---- */

/** The client whose client_id is the URL of its metadata document (AS-20 to AS-27). OK, or a status
 * with @a res. */
int mcp_client_from_metadata(apr_pool_t *p, const struct mcp_oauth_conf_t *conf,
                             const char *client_id, mcp_client_t *client, mcp_result_t *res);

/** Does @a host equal an entry of @a hosts, or end with one that begins with "*."? (T39: at a dot
 * only) */
int mcp_host_listed(const apr_array_header_t *hosts, const char *host);

/* ---- logos of clients (client_logo.c) ---- */

#define MCP_LOGO_MAX 131072                  /* bytes of a logo */
#define MCP_LOGO_URI_MAX 255                 /* and of the URL that a document names */
#define MCP_CLIENT_LOGO_PATH "/client-logo/" /* which one, sealed, follows */

int mcp_client_logo_handler(request_rec *r, struct mcp_oauth_conf_t *conf);

/** child_init duty: their cache. */
void mcp_client_logos_child_init(apr_pool_t *pchild);

/** Read and check the file of MCPOAuthClientLogo. NULL, or what to mend. */
const char *mcp_client_logo_read(apr_pool_t *p, const char *path, const mcp_picture_t **logo);

/** Is there any client whose logo may be shown? */
int mcp_client_logos(const mcp_clients_conf_t *conf);

/**
 * The URL of ours by which a page of this request shows a client's logo; good as long as its form is.
 * @param source    mcp_client_source_e: a client that registered itself has none
 * @param logo_uri  what its metadata document names, or NULL
 * @return NULL when there is none to show
 */
const char *mcp_client_logo_url(request_rec *r, const struct mcp_oauth_conf_t *conf, int source,
                                const char *key, const char *logo_uri);

/* ---- directives (client_config.c, client_limit.c) ---- */

#define MCP_CLIENT_COMMANDS \
    AP_INIT_FLAG("MCPOAuthClientMetadata", mcp_set_client_metadata, NULL, RSRC_CONF, \
                 "Off: no client is known by the URL of its metadata document"), \
        AP_INIT_ITERATE("MCPOAuthClientMetadataHosts", mcp_set_metadata_hosts, NULL, RSRC_CONF, \
                        "hosts whose metadata documents are taken, default any"), \
        AP_INIT_TAKE1("MCPOAuthClientMetadataCAFile", mcp_set_metadata_ca_file, NULL, RSRC_CONF, \
                      "PEM file of the CA that vouches for those hosts"), \
        AP_INIT_TAKE1("MCPOAuthClientMetadataProxy", mcp_set_metadata_proxy, NULL, RSRC_CONF, \
                      "egress proxy for metadata documents, http://HOST:PORT"), \
        AP_INIT_FLAG("MCPOAuthClientMetadataLogos", mcp_set_metadata_logos, NULL, RSRC_CONF, \
                     "On: logos that metadata documents name are fetched and shown"), \
        AP_INIT_TAKE2("MCPOAuthClientMetadataFile", mcp_set_metadata_file, NULL, RSRC_CONF, \
                      "URL and file: a reviewed copy of a metadata document"), \
        AP_INIT_RAW_ARGS("<MCPOAuthClient", mcp_client_section, NULL, RSRC_CONF, \
                         "section: a client that is known beforehand"), \
        AP_INIT_TAKE1("MCPOAuthClientName", mcp_set_client_name, NULL, RSRC_CONF, \
                      "its name for people"), \
        AP_INIT_TAKE1("MCPOAuthClientLogo", mcp_set_client_logo, NULL, RSRC_CONF, \
                      "file of its logo: PNG, JPEG or WebP"), \
        AP_INIT_ITERATE("MCPOAuthClientRedirectURI", mcp_set_client_redirect, NULL, RSRC_CONF, \
                        "its redirect URIs"), \
        AP_INIT_TAKE1("MCPOAuthClientSecretHash", mcp_set_client_secret_hash, NULL, RSRC_CONF, \
                      "SHA-256 of its secret in hex"), \
        AP_INIT_TAKE1("MCPOAuthClientJWKS", mcp_set_client_jwks, NULL, RSRC_CONF, \
                      "its public keys: file of a JWK set, or https URL"), \
        AP_INIT_TAKE12("MCPOAuthRegistration", mcp_set_registration, NULL, RSRC_CONF, \
                       "open, off, or token with a reference to the initial access token"), \
        AP_INIT_ITERATE("MCPOAuthRedirectHosts", mcp_set_redirect_hosts, NULL, RSRC_CONF, \
                        "hosts that https redirect URIs may name, default any"), \
        AP_INIT_TAKE2("MCPOAuthLimit", mcp_set_limit, NULL, RSRC_CONF, \
                      "register, authorize, token or all, and a rate such as 300/min, or none"), \
        AP_INIT_ITERATE("MCPOAuthLimitShared", mcp_set_limit_shared, NULL, RSRC_CONF, \
                        "address ranges behind which many people are")

const char *mcp_set_client_metadata(cmd_parms *cmd, void *dummy, int on);
const char *mcp_set_metadata_hosts(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_metadata_ca_file(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_metadata_proxy(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_metadata_logos(cmd_parms *cmd, void *dummy, int on);
const char *mcp_set_metadata_file(cmd_parms *cmd, void *dummy, const char *url, const char *file);
const char *mcp_client_section(cmd_parms *cmd, void *dummy, const char *args);
const char *mcp_set_client_name(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_client_logo(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_client_redirect(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_client_secret_hash(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_client_jwks(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_registration(cmd_parms *cmd, void *dummy, const char *mode, const char *ref);
const char *mcp_set_redirect_hosts(cmd_parms *cmd, void *dummy, const char *arg);
const char *mcp_set_limit(cmd_parms *cmd, void *dummy, const char *which, const char *rate);
const char *mcp_set_limit_shared(cmd_parms *cmd, void *dummy, const char *arg);

#endif
