/* SPDX-License-Identifier: Apache-2.0 */
/* The person index: which clients a person gave access, as one bounded record a person.
 *
 *   MCP_KIND_INDEX, under the subject ("provider|sub"); times in milliseconds, integers big endian, str = length[2] bytes
 *   | version[1]=2 | since[8] | dropped[8] | count[2] | entry ... |
 *
 *   entry
 *   | grant id[16] | sid[8] | source[1] | issued[8] | used[8] | expires[8] |
 *   | str client key | str client name | str host | str scope | str resource | str logo |
 *   (version 1 had no logo)
 *
 * It is written when a grant is issued, touched at a refresh, and an entry goes when its grant does. It is an index and
 * no authority: who has access is decided by the grants alone. An entry can be missing (the record was full, pushed out,
 * or could not be written in time) and comes back at the grant's next refresh; mcp_not_before.h reaches what is missing.
 */

#ifndef MCP_PERSON_H
#define MCP_PERSON_H

#include <apr_tables.h>

#include "mcp_store.h"
#include "mcp_util.h"

#define MCP_PERSON_ENTRIES 100 /* grants of one person that are kept */
#define MCP_PERSON_BYTES \
    (24 * 1024) /* and bytes of the record; what was used the longest ago gives way */
#define MCP_PERSON_TOUCH \
    apr_time_from_sec(300) /* "last used" is that exact: a refresh storm writes nothing */
#define MCP_SID_LEN 8

typedef struct {
    unsigned char grant[MCP_ID_LEN];
    unsigned char
        sid[MCP_SID_LEN]; /* mcp_sid_hash() of the provider's session, zeros when it named none */
    int source;           /* where the client's metadata come from: the caller's numbering, 0 to 255 */
    apr_time_t issued;    /* when the person signed in and consented */
    apr_time_t used;      /* last issue or refresh of a token */
    apr_time_t expires;   /* end of the grant unless it is refreshed */
    const char *client_key;
    const char *client_name; /* untrusted text */
    const char *host;        /* who vouches for the client, "" when nobody */
    const char *logo;        /* where its document says that its logo is, "" when nowhere */
    const char *scope;
    const char *resource;
} mcp_person_entry_t;

typedef struct {
    apr_time_t since;            /* when the record was begun: of what was before, it knows nothing */
    apr_time_t dropped;          /* when an entry had to give way for the last time; 0: never */
    apr_array_header_t *entries; /* mcp_person_entry_t, in no order */
} mcp_person_t;

/** First bytes of SHA-256 of a provider's session id. */
void mcp_sid_hash(const char *sid, unsigned char out[MCP_SID_LEN]);

/**
 * Encode, within the bounds: entries that ended before @a now go, then those that were used the longest ago. Long texts
 * are cut.
 */
void mcp_person_encode(apr_pool_t *p, mcp_person_t *person, apr_time_t now, unsigned char **out,
                       apr_size_t *len);

/** Decode; everything is copied to @a p. APR_SUCCESS or APR_EINVAL. */
apr_status_t mcp_person_decode(apr_pool_t *p, const unsigned char *data, apr_size_t len,
                               mcp_person_t *person);

/** Add an entry, or renew the one of the same grant: the time of consent, sid, host, logo and source stay when not known anew. */
void mcp_person_merge(mcp_person_t *person, const mcp_person_entry_t *entry);

/**
 * The grants of a person, those that have ended left out.
 * @return APR_SUCCESS; APR_NOTFOUND: the store knows of none (out is empty); MCP_EDOWN
 */
apr_status_t mcp_person_get(mcp_store_t *store, const char *subject, mcp_person_t *out,
                            apr_pool_t *p);

/**
 * Note a grant that was issued or refreshed. Waits for other writers for two seconds at most.
 * @return APR_SUCCESS, APR_TIMEUP (others were writing all the time), MCP_EDOWN
 */
apr_status_t mcp_person_note(mcp_store_t *store, const char *subject,
                             const mcp_person_entry_t *entry, apr_pool_t *p);

/** Drop the entries of @a n grants. As mcp_person_note. */
apr_status_t mcp_person_drop(mcp_store_t *store, const char *subject,
                             const unsigned char (*grants)[MCP_ID_LEN], int n, apr_pool_t *p);

/** Remember that the provider @a provider knows @a subject by another name (@a kind: "sub" or "sid"), for back-channel
 *  logout. As mcp_store_put. */
apr_status_t mcp_person_alias_put(mcp_store_t *store, const char *provider, const char *kind,
                                  const char *name, const char *subject, apr_time_t expires,
                                  apr_pool_t *p);

/** The subject behind an alias. As mcp_store_get. */
apr_status_t mcp_person_alias_get(mcp_store_t *store, const char *provider, const char *kind,
                                  const char *name, const char **subject, apr_pool_t *p);

#endif
