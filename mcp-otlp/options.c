/* SPDX-License-Identifier: Apache-2.0 */
/* mcp-otlp: the options of the command line, and the attributes of the resource that they make. */

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_util.h"
#include "otlp.h"

static void usage(FILE *out)
{
    fputs("usage: mcp-otlp --endpoint URL [OPTION]...\n\n"
          "Sends the spans on standard input (MCPTraceExport of mod_mcp) to an OpenTelemetry collector.\n\n"
          "  --endpoint URL          where to: https://HOST:4318/v1/traces\n"
          "  --header-file FILE      lines `Name: value` that go with each request, as keys do\n"
          "  --ca-file FILE          who may have signed the collector's certificate\n"
          "  --cert FILE, --key FILE our own certificate, and its key\n"
          "  --user NAME             whom to become when started as root (default nobody)\n"
          "  --service-name NAME     service.name (default mcp-gateway)\n"
          "  --attribute NAME=VALUE  another attribute of the resource; may be repeated\n"
          "  --batch N               spans of a request (default 512)\n"
          "  --interval SECONDS      how long a span may wait for others (default 1)\n"
          "  --queue N               spans that are kept while the collector is away (default 8192)\n"
          "  --timeout SECONDS       of a request (default 10)\n",
          out);
}

int otlp_complain(const char *what, const char *which)
{
    otlp_log("error", "%s%s%s", what, which ? ": " : "", which ? which : "");
    return 0;
}

/* Seconds with fractions, in @a unit parts; 0: it is none, or none that makes sense. */
static long seconds(const char *text, double max, long unit)
{
    char *end;
    double value = strtod(text, &end);

    return end != text && !*end && value > 0 && value <= max ? (long)(value * (double)unit) : 0;
}

static apr_size_t number(const char *text, long max)
{
    char *end;
    long value = strtol(text, &end, 10);

    return end != text && !*end && value > 0 && value <= max ? (apr_size_t)value : 0;
}

static void add_attribute(otlp_options_t *o, const char *name, const char *value)
{
    for (int i = 0; i < o->n; i += 2) {
        if (!strcmp(o->attributes[i], name)) {
            return; /* the administrator's comes first */
        }
    }
    o->attributes[o->n++] = name;
    o->attributes[o->n++] = value;
}

static int set_attribute(apr_pool_t *p, otlp_options_t *o, const char *text)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || !mcp_is_utf8(text) || o->n >= 2 * OTLP_ATTRIBUTES_MAX) {
        return otlp_complain("--attribute takes NAME=VALUE, at most 32 times", NULL);
    }
    add_attribute(o, apr_pstrmemdup(p, text, (apr_size_t)(equals - text)), equals + 1);
    return 1;
}

/* 1, or 0: it was said what is wrong. */
static int set_option(apr_pool_t *p, otlp_options_t *o, const char *name, const char *value)
{
    const struct {
        const char *name;
        const char **where;
    } texts[] = {
        { "endpoint", &o->way.endpoint },
        { "header-file", &o->way.header_file },
        { "ca-file", &o->way.ca_file },
        { "cert", &o->way.cert_file },
        { "key", &o->way.key_file },
        { "user", &o->user },
    };

    for (apr_size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        if (!strcmp(name, texts[i].name)) {
            *texts[i].where = value;
            return 1;
        }
    }
    if (!strcmp(name, "service-name")) {
        return set_attribute(p, o, apr_pstrcat(p, "service.name=", value, NULL));
    }
    if (!strcmp(name, "attribute")) {
        return set_attribute(p, o, value);
    }
    if (!strcmp(name, "batch")) {
        return (o->batch = number(value, 10000)) || otlp_complain("--batch takes a number from 1 to 10000", NULL);
    }
    if (!strcmp(name, "queue")) {
        return (o->queue = number(value, 1000000)) || otlp_complain("--queue takes a number from 1 to 1000000", NULL);
    }
    if (!strcmp(name, "interval")) {
        return (o->interval = seconds(value, 3600, APR_USEC_PER_SEC))
               || otlp_complain("--interval takes seconds, at most 3600", NULL);
    }
    return (o->way.timeout = seconds(value, 300, 1000)) || otlp_complain("--timeout takes seconds, at most 300", NULL);
}

static int is_plain(const char *url)
{
    return !strncmp(url, "http://", 7);
}

static int is_loopback(const char *url)
{
    const char *host = url + strlen("http://");

    return !strncmp(host, "127.", 4) || !strncmp(host, "[::1]", 5)
           || (!strncmp(host, "localhost", 9) && strspn(host + 9, ":/") > 0);
}

static int has_userinfo(const char *url)
{
    const char *host = strstr(url, "://") + 3;

    return memchr(host, '@', strcspn(host, "/?#\\")) != NULL;
}

static int check_options(const otlp_options_t *o)
{
    if (!o->way.endpoint) {
        return otlp_complain("--endpoint is missing, such as --endpoint https://collector.example.com:4318/v1/traces", NULL);
    }
    if (!is_plain(o->way.endpoint) && strncmp(o->way.endpoint, "https://", 8)) {
        return otlp_complain("--endpoint takes an https URL", o->way.endpoint);
    }
    if (has_userinfo(o->way.endpoint)) { /* every user of this host sees our arguments, and the log has them, too */
        return otlp_complain("--endpoint takes no user or password: put a line `Authorization: Basic ...` into --header-file", NULL);
    }
    if (o->way.key_file && !o->way.cert_file) {
        return otlp_complain("--key needs --cert", NULL);
    }
    if (o->way.header_file && is_plain(o->way.endpoint) && !is_loopback(o->way.endpoint)) {
        otlp_log("warn", "the headers of --header-file go to %s unencrypted", o->way.endpoint);
    }
    return 1;
}

/* What a resource must have (semantic conventions: service, host). */
static void complete_attributes(apr_pool_t *p, otlp_options_t *o)
{
    char host[256] = "";
    unsigned char id[16];

    add_attribute(o, "service.name", "mcp-gateway");
    add_attribute(o, "service.version", MCP_OTLP_VERSION);
    mcp_random(id, sizeof(id));
    id[6] = (id[6] & 0x0f) | 0x40; /* a random UUID, RFC 9562 section 5.4 */
    id[8] = (id[8] & 0x3f) | 0x80;
    add_attribute(o, "service.instance.id",
                  apr_psprintf(p, "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", id[0], id[1],
                               id[2], id[3], id[4], id[5], id[6], id[7], id[8], id[9], id[10], id[11], id[12], id[13],
                               id[14], id[15]));
    if (gethostname(host, sizeof(host) - 1) == 0 && *host && mcp_is_utf8(host)) {
        add_attribute(o, "host.name", apr_pstrdup(p, host));
    }
}

int otlp_options_read(apr_pool_t *p, otlp_options_t *o, int argc, char **argv)
{
    static const struct option known[] = {
        { "endpoint", required_argument, NULL, 'o' },
        { "header-file", required_argument, NULL, 'o' },
        { "ca-file", required_argument, NULL, 'o' },
        { "cert", required_argument, NULL, 'o' },
        { "key", required_argument, NULL, 'o' },
        { "user", required_argument, NULL, 'o' },
        { "service-name", required_argument, NULL, 'o' },
        { "attribute", required_argument, NULL, 'o' },
        { "batch", required_argument, NULL, 'o' },
        { "interval", required_argument, NULL, 'o' },
        { "queue", required_argument, NULL, 'o' },
        { "timeout", required_argument, NULL, 'o' },
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'v' },
        { NULL, 0, NULL, 0 },
    };
    int which, got;

    opterr = 0;
    while ((got = getopt_long(argc, argv, "", known, &which)) != -1) {
        if (got == 'h') {
            usage(stdout);
            return 0;
        }
        if (got == 'v') {
            puts("mcp-otlp " MCP_OTLP_VERSION);
            return 0;
        }
        if (got != 'o') {
            otlp_complain("no such option, or its value is missing", argv[optind - 1]);
            return 2;
        }
        if (!set_option(p, o, known[which].name, optarg)) {
            return 2;
        }
    }
    if (optind < argc) {
        otlp_complain("takes options only", argv[optind]);
        return 2;
    }
    if (!check_options(o)) {
        return 2;
    }
    complete_attributes(p, o);
    return -1;
}
