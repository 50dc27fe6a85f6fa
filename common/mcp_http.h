/* SPDX-License-Identifier: Apache-2.0 */
/* Glue to httpd's request_rec that both modules need: bodies in, JSON and errors out, CORS, protected resource
 * metadata. */

#ifndef MCP_HTTP_H
#define MCP_HTTP_H

#include <httpd.h>
#include <jansson.h>

#include "mcp_config.h"

/**
 * Read the whole request body, @a max bytes at most.
 * @return OK, HTTP_REQUEST_ENTITY_TOO_LARGE, or what reading failed with (HTTP_BAD_REQUEST, HTTP_REQUEST_TIME_OUT)
 */
int mcp_read_body(request_rec *r, apr_size_t max, char **body, apr_size_t *len);

/** Does the request's media type equal @a type, parameters ignored? */
int mcp_content_type_is(request_rec *r, const char *type);

/** Cache-Control: no-store (and Pragma) on whatever is answered, errors included (RFC 6749 section 5.1). */
void mcp_no_store(request_rec *r);

/** Answer @a status with a JSON body. Takes over the caller's reference. Returns OK (the answer is complete). */
int mcp_send_json(request_rec *r, int status, json_t *json);

/** RFC 6749 section 5.2 error object, no-store. Returns OK. */
int mcp_send_oauth_error(request_rec *r, int status, const char *error, const char *description);

/** 503 with Retry-After and an OAuth error temporarily_unavailable. Returns OK. */
int mcp_send_unavailable(request_rec *r, const char *description);

/** The same where it is the store that is down. Returns OK. */
int mcp_send_store_down(request_rec *r);

/**
 * CORS headers for metadata, registration and token endpoints, that hold nothing by cookie: any origin. For an
 * OPTIONS preflight also the methods and headers, and the empty 204.
 * @param methods  such as "GET, OPTIONS"
 * @return OK when this was a preflight and is answered, DECLINED otherwise
 */
int mcp_cors_public(request_rec *r, const char *methods);

/* What browser clients send, and what they must be able to read (field-lessons 18). */
#define MCP_CORS_ALLOW_HEADERS \
    "Authorization, Content-Type, Accept, MCP-Protocol-Version, Mcp-Session-Id, Mcp-Method, Mcp-Name, " \
    "Last-Event-ID"
#define MCP_CORS_EXPOSE_HEADERS \
    "WWW-Authenticate, Mcp-Session-Id, MCP-Protocol-Version, Retry-After, RateLimit, RateLimit-Policy"

/** The only value of a request header: NULL when absent; *duplicate set when it came more than once. */
const char *mcp_header_once(request_rec *r, const char *name, int *duplicate);

/** RFC 9728 document for @a resource; the caller owns the reference. */
json_t *mcp_prm_document(const mcp_shared_conf_t *conf, const mcp_resource_t *resource);

/** URL of the metadata of @a resource: well-known path inserted before the resource's path (RFC 9728 section 3). */
char *mcp_prm_url(apr_pool_t *p, const mcp_resource_t *resource);

/**
 * If the request asks for protected resource metadata, find the resource: the one at the inserted path, or at the root
 * form the first resource of this host. *resource is NULL for a path that names none (answer 404 as JSON).
 * @return 1 when the path is ours to answer
 */
int mcp_prm_match(request_rec *r, const mcp_shared_conf_t *conf, const mcp_resource_t **resource);

/** Answer a request that mcp_prm_match() recognised. Returns OK or an HTTP status. */
int mcp_prm_answer(request_rec *r, const mcp_shared_conf_t *conf, const mcp_resource_t *resource);

#endif
