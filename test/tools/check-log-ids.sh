#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Every log line of ours has an id, MCPnnnn, that no other has, from the range of its part of the tree (mcp_log.h).
set -u
: "${srcdir:=.}"
cd "$srcdir" || exit 1
status=0

sources=$(find common mod_mcp_oauth mod_mcp_guard -name '*.[ch]' ! -name mcp_log.h)
ids=$(grep -ohE 'MCP_LOG\([^)]*\)' $sources)
if [ "$(echo "$ids" | wc -l)" -lt 40 ]; then
    echo 'fewer than 40 log ids found: is this check out of date?'
    status=1
fi
echo "$ids" | grep -vE '^MCP_LOG\([0-9]{4}\)$' | sed 's/^/not four digits: /' | grep . && status=1
echo "$ids" | sort | uniq -d | sed 's/^/used twice: /' | grep . && status=1

range() { # RANGE FILES...
    want=$1
    shift
    grep -HoE 'MCP_LOG\([0-9]+\)' "$@" /dev/null | grep -vE "MCP_LOG\\(${want}[0-9]{2}\\)" | sed "s/^/not in $want"'xx: /' | grep . && status=1
}
range 01 common/*.c
range 02 mod_mcp_oauth/*.c
range 03 mod_mcp_oauth/upstream/*.c
range '0[45]' mod_mcp_guard/*.c

# Every call of a logging function carries an id: the statement up to its semicolon. Levels TRACE1 and below need none.
for file in $sources; do
    awk -v file="$file" '
        /ap_log_[a-z]*error *\(/ && !/define/ { start = NR; text = "" }
        start { text = text " " $0 }
        start && /;/ {
            if (text !~ /MCP_LOG\(/ && text !~ /APLOG_TRACE/) { print file ":" start ": a log line without MCP_LOG id"; bad = 1 }
            start = 0
        }
        END { exit bad }
    ' "$file" || status=1
done
exit $status
