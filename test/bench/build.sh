# SPDX-License-Identifier: Apache-2.0
# Sourced by run and profile: build the modules as `make` does, from a copy of the sources under build/bench, so that
# neither the tree nor an installation is touched. Sets BENCH_MODULES; nothing is built when --modules is given.

bench_build()
{
    local arg root
    root=$(cd "$here/../.." && pwd)
    for arg in "$@"; do
        case $arg in
        --modules) return ;;
        esac
    done
    if [ -e /usr/bin/apt-get ]; then
        local need=
        command -v wrk >/dev/null || need="$need wrk"
        command -v memcached >/dev/null || need="$need memcached"
        command -v redis-server >/dev/null || need="$need redis-server"
        [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ] || need="$need libapache2-mod-auth-openidc"
        [ -e /usr/lib/apache2/modules/mod_oauth2.so ] || need="$need libapache2-mod-oauth2"
        if [ -n "$need" ]; then
            echo "bench: for all rows, first: apt-get install --no-install-recommends$need" >&2
        fi
    fi

    local copy=$root/build/bench
    mkdir -p "$copy"
    (cd "$root" && git ls-files -z -- configure.ac Makefile.am 'm4/*' 'common/*' 'mod_mcp_guard/*' 'mod_mcp_oauth/*' \
        'conf/*' 'test/unit/*' 'test/fuzz/*' 'test/tools/*' | xargs -0 cp -pu --parents -t "$copy")
    (
        cd "$copy"
        [ -e configure ] && [ configure -nt configure.ac ] || autoreconf -i
        [ -e Makefile ] && [ Makefile -nt configure ] && [ Makefile -nt Makefile.am ] || ./configure CFLAGS='-O2 -g'
        make -j"$(nproc)"
    ) >"$copy/bench-build.log" 2>&1 || { tail -20 "$copy/bench-build.log" >&2; exit 1; }
    BENCH_MODULES=$copy/bench-modules
    mkdir -p "$BENCH_MODULES"
    for arg in guard oauth; do
        cp -p "$copy/mod_mcp_$arg/.libs/mod_mcp_$arg.so" "$BENCH_MODULES/"
    done
}
