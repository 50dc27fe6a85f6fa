# SPDX-License-Identifier: Apache-2.0
# Sourced by run and profile: packages and a build of the modules, unless --modules DIR names one. Sets the array `given`,
# the option for the programs in JavaScript.

bench_setup()
{
    local arg
    given=()
    for arg in "$@"; do
        [ "$arg" != --modules ] || return 0
    done
    MCP_TOP=$(cd "$here/../.." && pwd)
    . "$MCP_TOP/test/lib/setup.sh"
    mcp_packages base bench || exit 1
    mcp_build || exit 1
    given=(--modules "$MCP_MODULES")
}
