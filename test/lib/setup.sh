# SPDX-License-Identifier: Apache-2.0
# Bash functions that ./quickstart and test/run share: bring in what is missing, and build. Source it; needs MCP_TOP.
#
#   mcp_packages GROUP...   Debian packages: base, memcache, redis, test, bench, screenshots, lint, packages
#   mcp_node                npm packages of the lock file; sets NODE to the pinned Node 22
#   mcp_build               the two modules, out of tree in $MCP_BUILD; sets MCP_MODULES to a directory with both DSOs
#   mcp_httpd               sets HTTPD (the program) and HTTPD_USER (whom it becomes when root starts it; else empty)
#
# Each is a quick no-op when there is nothing to do. All of them return non-zero after saying what went wrong.

: "${MCP_TOP:?set MCP_TOP to the top of the source tree}"
MCP_BUILD=${MCP_BUILD:-$MCP_TOP/build}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

mcp_say() { printf '%s\n' "$*" >&2; }
mcp_fail() { mcp_say "error: $*"; return 1; }

# Run a long step quietly; show the end of its output when it fails.
mcp_step() {
    local what=$1 log status
    shift
    log=$(mktemp) || return 1
    mcp_say "$what ..."
    "$@" > "$log" 2>&1 < /dev/null
    status=$?
    if [ $status -ne 0 ]; then
        tail -n "${MCP_LOG_LINES:-40}" "$log" >&2
        mcp_say "error: failed: $what"
    fi
    rm -f "$log"
    return $status
}

# One process at a time may install or build; others wait for it. The lock goes away with the file descriptor.
mcp_locked() {
    mkdir -p "$MCP_BUILD" || return 1
    (
        flock 9 || exit 1
        "$@" 9>&-
    ) 9> "$MCP_BUILD/.lock"
}

# ---- Debian packages -------------------------------------------------------------------------------------------------

# package, then what proves that it, or another one that serves as well, is there:
# a command, a pkg-config module (pc:), or a file (/...)
mcp_package_table() {
    case $1 in
    base)
        cat <<'TABLE'
apache2-bin                  apache2
apache2-dev                  apxs
libjansson-dev               pc:jansson
libyajl-dev                  pc:yajl
libcurl4-openssl-dev         pc:libcurl
libcjose-dev                 pc:cjose
libssl-dev                   pc:libcrypto
pkg-config                   pkg-config
autoconf                     autoreconf
automake                     automake
libtool                      libtoolize
make                         make
gcc                          gcc
libc6-dev                    /usr/include/stdio.h
nodejs                       node
npm                          npm
ca-certificates              /etc/ssl/certs/ca-certificates.crt
curl                         curl
openssl                      openssl
procps                       ps
TABLE
        ;;
    memcache) echo 'memcached memcached' ;;
    redis) echo 'redis-server redis-server' ;;
    test)
        mcp_package_table memcache
        mcp_package_table redis
        cat <<'TABLE'
check                        pc:check
chromium                     chromium
clang                        clang
slapd                        slapd
ldap-utils                   ldapadd
apache2-utils                htpasswd
rsyslog                      rsyslogd
prometheus                   promtool
iproute2                     ip
jq                           jq
util-linux                   unshare
libapache2-mod-auth-openidc  /usr/lib/apache2/modules/mod_auth_openidc.so
TABLE
        ;;
    bench)
        mcp_package_table memcache
        mcp_package_table redis
        cat <<'TABLE'
wrk                          wrk
libapache2-mod-auth-openidc  /usr/lib/apache2/modules/mod_auth_openidc.so
libapache2-mod-oauth2        /usr/lib/apache2/modules/mod_oauth2.so
TABLE
        ;;
    # what test/tools/screenshots.mjs shows Chinese and Japanese in; no test looks at letters
    screenshots)
        cat <<'TABLE'
chromium                     chromium
fonts-noto-cjk               /usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc
TABLE
        ;;
    lint)
        cat <<'TABLE'
clang-format                 clang-format
clang-tidy                   clang-tidy
cppcheck                     cppcheck
shellcheck                   shellcheck
TABLE
        ;;
    packages)
        cat <<'TABLE'
build-essential              dpkg-buildpackage
debhelper                    dh
iproute2                     ip
check                        pc:check
lintian                      lintian
mmdebstrap                   mmdebstrap
pebble                       pebble
rpm                          rpmbuild
systemd                      systemd-analyze
util-linux                   unshare
TABLE
        ;;
    *) mcp_fail "no group of packages is called $1" ;;
    esac
}

mcp_is_there() {
    case $1 in
    pc:*) command -v pkg-config > /dev/null && pkg-config --exists "${1#pc:}" ;;
    /*) [ -e "$1" ] ;;
    apache2) command -v apache2 > /dev/null || command -v httpd > /dev/null ;;
    *) command -v "$1" > /dev/null ;;
    esac
}

# apt-get without questions, and as root. The package `apache2` is never wanted: it would start the system's httpd.
mcp_apt() {
    local root=()
    [ "$(id -u)" -eq 0 ] || root=(sudo)
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 \
        apt-get -q -y -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 "$@"
}

mcp_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Packages of servers start a system service when they are configured, and at each boot after that. Ours are started by
# hand, on ports of our own, so neither is wanted: policy-rc.d says no for as long as we install.
mcp_apt_install() {
    local policy=/usr/sbin/policy-rc.d made=0 status unit units=()

    if [ ! -e $policy ] && printf '#!/bin/sh\nexit 101\n' | mcp_root tee $policy > /dev/null; then
        mcp_root chmod 755 $policy
        made=1
    fi
    mcp_apt install --no-install-recommends "$@"
    status=$?
    [ $made -eq 0 ] || mcp_root rm -f $policy
    if [ $status -eq 0 ] && [ -d /run/systemd/system ]; then
        for unit in memcached redis-server slapd rsyslog prometheus; do
            case " $* " in *" $unit "*) units+=("$unit") ;; esac
        done
        [ ${#units[@]} -eq 0 ] || mcp_root systemctl disable --now "${units[@]}" || true
    fi
    return $status
}

# Sets the array missing.
mcp_missing() {
    local group package probe
    missing=()
    for group in "$@"; do
        while read -r package probe; do
            mcp_is_there "$probe" || missing+=("$package")
        done < <(mcp_package_table "$group")
    done
}

# Is anything of these groups missing? If so, get sudo's password now, while there is a terminal to ask on.
mcp_packages_ask() {
    local missing
    mcp_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    command -v apt-get > /dev/null ||
        mcp_fail "please install these first (Debian's names): ${missing[*]}" || return 1
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo > /dev/null ||
            mcp_fail "missing: ${missing[*]}. Run me as root once, or install sudo." || return 1
        sudo -v || mcp_fail "missing: ${missing[*]}. Installing them needs root." || return 1
    fi
}

mcp_packages() {
    local missing
    mcp_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    mcp_packages_ask "$@" || return 1
    mcp_step "installing ${missing[*]}" mcp_locked mcp_packages_install "$@" || return 1
    hash -r
    mcp_missing "$@"
    [ ${#missing[@]} -eq 0 ] || mcp_fail "still missing after the installation: ${missing[*]}"
}

# Under the lock: another process may have brought in all of it meanwhile.
mcp_packages_install() {
    local missing
    mcp_missing "$@"
    [ ${#missing[@]} -gt 0 ] || return 0
    mcp_apt update || echo 'apt-get update failed; trying with the lists that are there'
    mcp_apt_install "${missing[@]}"
}

# ---- npm packages ----------------------------------------------------------------------------------------------------

mcp_node() {
    mcp_locked mcp_node_locked && mcp_paths
}

# What mcp_node and mcp_build set, for a shell that left the work to another one.
mcp_paths() {
    NODE=$MCP_TOP/node_modules/node-linux-$(mcp_node_arch)/bin/node
    MCP_MODULES=$MCP_BUILD/modules
    export NODE MCP_MODULES
}

mcp_node_arch() {
    case $(uname -m) in
    aarch64 | arm64) echo arm64 ;;
    *) echo x64 ;;
    esac
}

mcp_node_locked() {
    local stamp=$MCP_TOP/node_modules/.mcp-lock node
    node=$MCP_TOP/node_modules/node-linux-$(mcp_node_arch)/bin/node

    ! cmp -s "$MCP_TOP/package-lock.json" "$stamp" || return 0
    (cd "$MCP_TOP" && mcp_step 'installing npm packages' npm ci --no-progress --loglevel=error) || return 1
    "$node" --version > /dev/null ||
        mcp_fail "$node does not run: the lock file has Node for Linux on x64 and arm64 only" || return 1
    cp "$MCP_TOP/package-lock.json" "$stamp"
}

# ---- build -----------------------------------------------------------------------------------------------------------

mcp_build() {
    mcp_locked mcp_build_locked && mcp_paths
}

mcp_build_locked() {
    local name

    if [ -e "$MCP_TOP/config.status" ]; then
        mcp_fail 'this tree is configured in place; run `make distclean` in it, I build in build/' || return 1
    fi
    if [ ! "$MCP_TOP/configure" -nt "$MCP_TOP/configure.ac" ] || [ ! "$MCP_TOP/Makefile.in" -nt "$MCP_TOP/Makefile.am" ]; then
        (cd "$MCP_TOP" && mcp_step 'generating configure' autoreconf -i) || return 1
    fi
    if [ ! "$MCP_BUILD/config.status" -nt "$MCP_TOP/configure" ]; then
        (cd "$MCP_BUILD" && mcp_step 'configuring' "$MCP_TOP/configure") || return 1
    fi
    mcp_step 'building' make -C "$MCP_BUILD" -j"$(nproc)" || return 1
    mkdir -p "$MCP_BUILD/modules" || return 1
    for name in mcp_oauth mcp_guard; do
        ln -sfn "../mod_$name/.libs/mod_$name.so" "$MCP_BUILD/modules/mod_$name.so"
        [ -e "$MCP_BUILD/modules/mod_$name.so" ] || mcp_fail "make did not bring mod_$name.so" || return 1
    done
}

# ---- httpd -----------------------------------------------------------------------------------------------------------

mcp_httpd() {
    local user
    HTTPD=$(command -v apache2 || command -v httpd) || mcp_fail 'no httpd on this machine' || return 1
    HTTPD_USER=
    if [ "$(id -u)" -eq 0 ]; then
        for user in www-data apache daemon nobody; do
            if id "$user" > /dev/null 2>&1; then
                HTTPD_USER=$user
                break
            fi
        done
    fi
    export HTTPD HTTPD_USER
}
