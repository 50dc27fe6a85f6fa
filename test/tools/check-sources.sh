#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Rules for the sources that a compiler does not know.
set -u
: "${srcdir:=.}"
cd "$srcdir" || exit 1
found=$(mktemp) || exit 1
trap 'rm -f "$found"' EXIT
complain() { # TEXT, lines on stdin
    sed "s|^|$1: |" >> "$found"
}

modules=$(find common mod_mcp_oauth mod_mcp_guard mcpctl mcp-otlp -name '*.[ch]')
tests=$(find test/unit test/fuzz test/bench -name '*.[ch]' 2> /dev/null)
scripts=$(find test/tools test/fuzz test/lib -type f \( -name '*.sh' -o -path 'test/tools/*' \) 2> /dev/null)

# Licence, and one sentence of purpose in C files.
for file in $modules $tests $scripts configure.ac Makefile.am; do
    head -3 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || echo "$file"
done | complain 'no SPDX line at the top'
for file in $modules; do
    sed -n 2p "$file" | grep -q '^/\* [A-Za-z<"]' || echo "$file"
done | complain 'no purpose in the second line'

# Secrets are compared in constant time (T40). The names are those that secrets have in this tree.
grep -nE '(str(n)?(case)?cmp|memcmp|apr_strnatcmp|ap_cstr_casecmp)[a-z]* *\([^;]*(secret|verifier|nonce|csrf|password|->code\b|\btag\b|\bsignature\b|hmac)' \
    $modules | grep -vE 'mcp_secret_equal|"client_secret_|secret_ref|issuer_tag|client_secret_|"secret|auth_method' |
    complain 'compares a secret with strcmp or memcmp (use mcp_secret_equal or CRYPTO_memcmp)'

# What has a safe counterpart here.
grep -nE '\b(sprintf|strcpy|strcat|gets|strtok|atoi|atol|tmpnam|system|popen|rand|random|srand|setuid|localtime|gmtime)\(' $modules |
    grep -vE 'apr_|mcp_random' | complain 'a function that has a safer counterpart'
# JSON only through jansson's strict flags, in one place.
grep -nE '\bjson_load(s|b|f|_file|_callback)?\(' $modules | grep -v '^common/mcp_json\(_fast\)\?\.[ch]:' |
    complain 'parses JSON beside mcp_json_parse()'
# URLs come from the configuration, never from the request (design principle 7). host.c only compares.
grep -nE 'ap_construct_url|ap_get_server_name\b|ap_construct_server|headers_in, *"Host"|r->hostname' $modules |
    grep -v '^mod_mcp_guard/host.c:' |
    complain 'builds on the Host header'
# The crypto library is reached by common/ and the upstream side alone; stream_tls.c moves bytes through TLS.
grep -lE '<openssl/' $modules | grep -vE '^(common|mcpctl|mod_mcp_oauth/upstream)/|^mod_mcp_guard/stream_tls.c' | complain 'uses OpenSSL directly'

grep -nE '	' $modules $tests | complain 'a tab'
grep -nE ' +$' $modules $tests | complain 'blanks at the end of the line'

# Every source is in the Makefile, or it would be missing from the tarball.
for file in $modules; do
    grep -qF "$file" Makefile.am || echo "$file"
done | complain 'not in Makefile.am'

# Undocumented behaviour of httpd is named in one place, and each has a test.
internals=docs/streams-internals.md
for id in $(grep -ohE '\bH[0-9]+\b' mod_mcp_guard/stream*.[ch] | sort -u); do
    grep -q "^| $id | " $internals || echo "$id"
done | complain "not in $internals"
sed -n 's/^| \(H[0-9]*\) .*| `\([^`]*\)` (\([a-z-]*\).*/\1|\2|\3/p' $internals | while IFS='|' read -r id title file; do
    grep -qF "$title" "test/system/$file.test.mjs" || echo "$id"
    grep -qE "\b$id\b" mod_mcp_guard/stream*.[ch] || echo "$id"
done | complain "the test, or the place in the code, that $internals names is not there"
[ "$(sed -n 's/^| H[0-9]* .*` ([a-z-]*.*/x/p' $internals | wc -l)" -eq "$(grep -c '^| H[0-9]' $internals)" ] ||
    echo $internals | complain 'a row without a test'

cat "$found"
[ ! -s "$found" ]
