/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's chain: writing the next line, and verifying what was written. */

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <apr_escape.h>
#include <apr_strings.h>
#include <jansson.h>

#include "mcp_audit_chain.h"
#include "mcp_json.h"
#include "mcp_util.h"

#define MAC_TEXT_LEN MCP_B64URL_LEN(MCP_AUDIT_MAC_LEN)
#define RECENT 1024 /* lines that old processes can have written between a new chain's look at the file and its begin */
#define MAC_MEMBER ",\"mac\":\""
#define MAC_MEMBER_LEN (sizeof(MAC_MEMBER) - 1)
/* What follows the text that the mac covers: member, value, quotation mark, brace. */
#define TAIL_LEN (MAC_MEMBER_LEN + MAC_TEXT_LEN + 2)

void mcp_audit_head_init(mcp_audit_head_t *head)
{
    unsigned char name[MCP_AUDIT_CHAIN_NAME_LEN / 2];

    memset(head, 0, sizeof(*head));
    mcp_random(name, sizeof(name));
    apr_escape_hex(head->chain, name, sizeof(name), 0, NULL);
}

static void mac_of(const unsigned char *key, const unsigned char prev[MCP_AUDIT_MAC_LEN], const char *text,
                   apr_size_t len, unsigned char mac[MCP_AUDIT_MAC_LEN])
{
    /* The text is hashed first, so that both parts fit into one call. */
    unsigned char parts[MCP_AUDIT_MAC_LEN + MCP_SHA256_LEN];

    memcpy(parts, prev, MCP_AUDIT_MAC_LEN);
    mcp_sha256(text, len, parts + MCP_AUDIT_MAC_LEN);
    if (!HMAC(EVP_sha256(), key, 32, parts, sizeof(parts), mac, NULL)) {
        abort(); /* no safe answer, as in mcp_sha256() */
    }
}

apr_size_t mcp_audit_line(mcp_audit_head_t *head, const mcp_keyring_t *ring, apr_time_t now, const char *fields,
                          char *line)
{
    const char *kid = mcp_keyring_active_kid(ring);
    char mac[MAC_TEXT_LEN + 1];
    apr_time_exp_t t;
    apr_size_t len;
    int n;

    apr_time_exp_gmt(&t, now);
    /* room for the tail and the newline */
    n = apr_snprintf(line, MCP_AUDIT_LINE_MAX - TAIL_LEN - 1,
                     "{\"time\":\"%04d-%02d-%02dT%02d:%02d:%02d.%06dZ\",\"chain\":\"%s\",\"seq\":%" APR_UINT64_T_FMT
                     ",\"kid\":\"%s\",%s",
                     t.tm_year + 1900, t.tm_mon + 1, t.tm_mday, t.tm_hour, t.tm_min, t.tm_sec, (int)t.tm_usec,
                     head->chain, head->seq + 1, kid, fields);
    if (n < 0 || n >= (int)(MCP_AUDIT_LINE_MAX - TAIL_LEN - 2)) {
        return 0; /* apr_snprintf() may have cut it */
    }
    len = (apr_size_t)n;
    mac_of(mcp_keyring_key(ring, MCP_PURPOSE_AUDIT, kid, strlen(kid)), head->mac, line, len, head->mac);
    mcp_b64url_write(mac, head->mac, sizeof(head->mac));
    head->seq++;
    memcpy(line + len, MAC_MEMBER, sizeof(MAC_MEMBER));
    memcpy(line + len + MAC_MEMBER_LEN, mac, sizeof(mac));
    line[len + TAIL_LEN - 2] = '"';
    line[len + TAIL_LEN - 1] = '}';
    line[len + TAIL_LEN] = '\n';
    return len + TAIL_LEN + 1;
}

/* ---- verification ---- */

struct mcp_audit_verify_t {
    apr_pool_t *pool;
    const mcp_keyring_t *ring;
    int partial;
    mcp_audit_fault_fn *fault;
    void *baton;
    apr_hash_t *heads;                     /* name of a chain -> mcp_audit_head_t */
    char recent[RECENT][MAC_TEXT_LEN + 1]; /* the latest macs: what a new chain can say that it follows */
    mcp_audit_report_t report;
};

mcp_audit_verify_t *mcp_audit_verify_begin(apr_pool_t *p, const mcp_keyring_t *ring, int partial,
                                           mcp_audit_fault_fn *fault, void *baton)
{
    mcp_audit_verify_t *verify = apr_pcalloc(p, sizeof(*verify));

    verify->pool = p;
    verify->ring = ring;
    verify->partial = partial;
    verify->fault = fault;
    verify->baton = baton;
    verify->heads = apr_hash_make(p);
    return verify;
}

static void fault(mcp_audit_verify_t *verify, const char *what)
{
    verify->report.faults++;
    verify->fault(verify->baton, verify->report.lines, what);
}

const char *mcp_audit_line_mac(apr_pool_t *p, const char *line, apr_size_t len)
{
    const char *tail = line + len - TAIL_LEN;

    if (len < TAIL_LEN + 2 || memcmp(tail, MAC_MEMBER, MAC_MEMBER_LEN) || memcmp(line + len - 2, "\"}", 2)) {
        return NULL;
    }
    return apr_pstrmemdup(p, tail + MAC_MEMBER_LEN, MAC_TEXT_LEN);
}

static int is_recent(const mcp_audit_verify_t *verify, const char *mac)
{
    for (int i = 0; i < RECENT; i++) {
        if (!strcmp(verify->recent[i], mac)) {
            return 1;
        }
    }
    return 0;
}

/* The head of the chain that a line belongs to, or NULL when it cannot be followed. */
static mcp_audit_head_t *head_of(mcp_audit_verify_t *verify, const char *chain, apr_uint64_t seq, const char *after)
{
    mcp_audit_head_t *head = apr_hash_get(verify->heads, chain, APR_HASH_KEY_STRING);

    if (head) {
        return head;
    }
    if (seq == 1) {
        if (after && !is_recent(verify, after) && !(verify->partial && verify->report.lines == 1)) {
            fault(verify, "the lines that this chain says it follows are missing");
        }
        head = apr_pcalloc(verify->pool, sizeof(*head));
        apr_cpystrn(head->chain, chain, sizeof(head->chain));
        apr_hash_set(verify->heads, head->chain, APR_HASH_KEY_STRING, head);
        verify->report.chains++;
    }
    return head;
}

/* A line whose predecessor was removed on purpose: its mac cannot be proven, those after it can. */
static mcp_audit_head_t *adopt(mcp_audit_verify_t *verify, const char *chain, apr_uint64_t seq)
{
    mcp_audit_head_t *head = apr_pcalloc(verify->pool, sizeof(*head));

    apr_cpystrn(head->chain, chain, sizeof(head->chain));
    head->seq = seq;
    apr_hash_set(verify->heads, head->chain, APR_HASH_KEY_STRING, head);
    return head;
}

static void check(mcp_audit_verify_t *verify, apr_pool_t *p, const char *line, apr_size_t len, const char *mac_member)
{
    unsigned char mac[MCP_AUDIT_MAC_LEN], expected[MCP_AUDIT_MAC_LEN];
    const json_t *json = mcp_json_parse(p, line, len, MCP_AUDIT_LINE_MAX);
    const char *chain, *kid;
    const unsigned char *key;
    mcp_audit_head_t *head;
    apr_uint64_t seq;

    if (!json || !mcp_b64url_read(p, mac_member, mac, sizeof(mac))) {
        fault(verify, "this is no line of ours");
        return;
    }
    chain = mcp_json_str(json, "chain");
    kid = mcp_json_str(json, "kid");
    seq = (apr_uint64_t)mcp_json_int(json, "seq", 0);
    if (!chain || strlen(chain) != MCP_AUDIT_CHAIN_NAME_LEN || !kid || !seq) {
        fault(verify, "this is no line of ours");
        return;
    }
    key = mcp_keyring_key(verify->ring, MCP_PURPOSE_AUDIT, kid, strlen(kid));
    if (!key) {
        fault(verify, apr_psprintf(p, "key %s is not in the key file", kid));
        return;
    }
    head = head_of(verify, chain, seq, mcp_json_str(json, "after"));
    if (!head) {
        head = adopt(verify, chain, seq);
        if (!verify->partial) {
            fault(verify, "the lines before this one in its chain are missing");
        }
    }
    else {
        if (seq != head->seq + 1) {
            fault(verify, apr_psprintf(p,
                                       "line %" APR_UINT64_T_FMT " of chain %s follows line %" APR_UINT64_T_FMT
                                       ": lines were removed, repeated or moved",
                                       seq, chain, head->seq));
        }
        mac_of(key, head->mac, line, len - TAIL_LEN, expected);
        if (CRYPTO_memcmp(mac, expected, sizeof(mac)) && seq == head->seq + 1) {
            fault(verify, "this line was changed, or one before it");
        }
        head->seq = seq;
    }
    memcpy(head->mac, mac, sizeof(mac));
    verify->report.lost += (apr_uint64_t)mcp_json_int(json, "lost", 0);
    apr_cpystrn(verify->recent[verify->report.lines % RECENT], mac_member, MAC_TEXT_LEN + 1);
}

void mcp_audit_verify_line(mcp_audit_verify_t *verify, const char *line, apr_size_t len)
{
    apr_pool_t *p;
    const char *mac;

    verify->report.lines++;
    apr_pool_create(&p, verify->pool);
    mac = mcp_audit_line_mac(p, line, len);
    if (mac) {
        check(verify, p, line, len, mac);
    }
    else {
        fault(verify, "this is no line of ours");
    }
    apr_pool_destroy(p);
}

const mcp_audit_report_t *mcp_audit_verify_end(const mcp_audit_verify_t *verify)
{
    return &verify->report;
}
