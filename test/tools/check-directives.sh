#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# docs/directives.md and conf/mcp-reference.conf name exactly the directives that the modules register, and the manual
# gives each a syntax, a default, a context and an example.
set -u
: "${srcdir:=.}"
cd "$srcdir" || exit 1
dir=$(mktemp -d) || exit 1
trap 'rm -rf "$dir"' EXIT
status=0

# AP_INIT_xxx("Name": the name may stand on the next line, behind the parenthesis. Only names of ours: the guard also
# listens to some of httpd's own directives.
cat common/*.[ch] mod_mcp_*/*.[ch] mod_mcp_*/*/*.[ch] 2> /dev/null | tr '\n' ' ' | tr -d '\\' |
    grep -oE 'AP_INIT_[A-Z0-9_]+\( *"<?MCP[A-Za-z]+"' | grep -oE 'MCP[A-Za-z]+' | sort -u > "$dir/registered"
if [ "$(wc -l < "$dir/registered")" -lt 30 ]; then
    echo "only $(wc -l < "$dir/registered") directives found in the sources: is this check out of date?"
    status=1
fi

grep -E '^### <?MCP' docs/directives.md | grep -oE 'MCP[A-Za-z]+' | sort > "$dir/manual"
sort -u "$dir/manual" | diff "$dir/manual" - > /dev/null || { echo 'docs/directives.md names one twice'; status=1; }
grep -oE '^# *<?MCP[A-Z][A-Za-z]+ ' conf/mcp-reference.conf | grep -E '^#( {4,})?<?MCP' | grep -oE 'MCP[A-Za-z]+' |
    sort -u > "$dir/reference"
for file in manual reference; do
    if ! diff "$dir/registered" "$dir/$file" > "$dir/diff"; then
        echo "the $file and the command tables differ (< registered, > described):"
        grep '^[<>]' "$dir/diff"
        status=1
    fi
done

# Each section of the manual: syntax with the name, default, context, and an example that uses it.
awk '
    function finish() {
        if (name == "") return
        if (text !~ "Syntax: `<?" name)  { print name ": no syntax in docs/directives.md"; bad = 1 }
        if (text !~ /Default: /)         { print name ": no default in docs/directives.md"; bad = 1 }
        if (text !~ /Context: /)         { print name ": no context in docs/directives.md"; bad = 1 }
        if (example !~ "(^|\n) *<?" name) { print name ": no example in docs/directives.md"; bad = 1 }
    }
    /^#/ && !code     { finish(); name = ""; text = example = "" }
    /^### <?MCP/      { name = $2; sub(/^</, "", name) }
    /^```/            { code = !code; next }
    code              { example = example "\n" $0 }
    !code             { text = text "\n" $0 }
    END               { finish(); exit bad }
' docs/directives.md || status=1

# and the table of contents leads to each
while read -r name; do
    anchor=$(echo "$name" | tr '[:upper:]' '[:lower:]')
    grep -q "\[$name\](#$anchor)" docs/directives.md || { echo "$name is not in the table at the top"; status=1; }
done < "$dir/registered"
exit $status
