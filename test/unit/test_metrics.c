/* SPDX-License-Identifier: Apache-2.0 */
/* Metrics: counts are exact across processes, labels of strangers are bounded and cannot break the text. */

#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <apr_strings.h>

#include "mcp_metrics.h"
#include "stub_httpd.h"

static const char *text_of(void)
{
    request_rec *r = stub_request(pool);

    r->handler = "mcp-metrics";
    r->method_number = M_GET;
    ck_assert_int_eq(mcp_metrics_handler(r, NULL), OK);
    return stub_output;
}

static void begin(void)
{
    ck_assert_int_eq(mcp_metrics_open(&stub_server, pool), APR_SUCCESS);
}

START_TEST(exact_across_processes)
{
    const char *text;
    int i;

    begin();
    for (i = 0; i < 4; i++) {
        if (!fork()) {
            for (int n = 0; n < 10000; n++) {
                mcp_metric(MCP_METRIC_REQUESTS, n & 1 ? "ok" : "no_token", NULL);
            }
            _exit(0);
        }
    }
    while (i--) {
        wait(NULL);
    }
    text = text_of();
    ck_assert_ptr_nonnull(strstr(text, "mcp_requests_total{outcome=\"ok\"} 20000\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_requests_total{outcome=\"no_token\"} 20000\n"));
}
END_TEST

START_TEST(strangers_cannot_fill_it)
{
    const char *text;

    begin();
    for (int i = 0; i < 5000; i++) {
        mcp_metric(MCP_METRIC_TOOLS, apr_psprintf(pool, "tool%d", i), "ok");
    }
    mcp_metric(MCP_METRIC_EVENTS, "token.issue", "ok");
    text = text_of();
    ck_assert_ptr_nonnull(strstr(text, "mcp_tool_calls_total{tool=\"other\",outcome=\"ok\"} 4"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_events_total{event=\"token.issue\",outcome=\"ok\"} 1\n"));
    ck_assert_uint_lt(strlen(text), 40000);
}
END_TEST

START_TEST(labels_cannot_break_the_text)
{
    const char *text;

    begin();
    mcp_metric(MCP_METRIC_TOOLS, "a\"} 1\nforged{x=\"\\", "ok");
    mcp_metric(MCP_METRIC_TOOLS, "\xff", "ok");
    mcp_metric(MCP_METRIC_METHODS, "", NULL);
    text = text_of();
    ck_assert_ptr_null(strstr(text, "\nforged"));
    ck_assert_ptr_nonnull(strstr(text, "{tool=\"a\\\"} 1?forged{x=\\\"\\\\\",outcome=\"ok\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "{tool=\"?\",outcome=\"ok\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "{method=\"none\"} 1\n"));
}
END_TEST

START_TEST(histograms_add_up)
{
    const char *text;

    begin();
    mcp_metric_time(MCP_TIME_STORE, 50);
    mcp_metric_time(MCP_TIME_STORE, 51);
    mcp_metric_time(MCP_TIME_STORE, 20000000);
    mcp_metric_time(MCP_TIME_STORE, -5);
    text = text_of();
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_bucket{le=\"0.00005\"} 1\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_bucket{le=\"0.0001\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_bucket{le=\"10\"} 2\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_bucket{le=\"+Inf\"} 3\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_sum 20.000101\n"));
    ck_assert_ptr_nonnull(strstr(text, "mcp_store_seconds_count 3\n"));
}
END_TEST

Suite *suite_metrics(void)
{
    Suite *suite = suite_create("metrics");
    TCase *test = unit_case(suite, "metrics");

    tcase_add_test(test, exact_across_processes);
    tcase_add_test(test, strangers_cannot_fill_it);
    tcase_add_test(test, labels_cannot_break_the_text);
    tcase_add_test(test, histograms_add_up);
    return suite;
}
