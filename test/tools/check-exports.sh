#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Each module exports its module structure and nothing else, and leaves none of our own symbols undefined.
set -u
status=0
for name in mcp_oauth mcp_guard; do
    so=mod_$name/.libs/mod_$name.so
    [ -f "$so" ] || { echo "$so is missing"; status=1; continue; }
    # libgcov and the sanitizers add symbols of their own to instrumented builds
    exported=$(nm -D --defined-only "$so" | awk '{ print $NF }' | grep -vE '^(__(asan|ubsan|odr_asan|gcov|tsan)|_(init|fini|edata|end)$|__bss_start)')
    [ "$exported" = "${name}_module" ] || { echo "$so exports:" $exported; status=1; }
    undefined=$(nm -D --undefined-only "$so" | awk '{ print $NF }' | grep '^mcp_')
    [ -z "$undefined" ] || { echo "$so lacks:" $undefined; status=1; }
done
exit $status
