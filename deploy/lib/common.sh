# SPDX-License-Identifier: Apache-2.0
# What each step of deploy/deploy is made of. A step says what should be; what is so already is left alone.

CHANGES=0
BACKUPS=/var/backups/mcp-deploy/$(date -u +%Y%m%dT%H%M%SZ)
HTTPD_NEEDS= # nothing, reload or restart

say() { printf '%s\n' "$*"; }

# die WHAT MEND
die() {
    printf 'error: %s\n' "$1" >&2
    [ -z "${2:-}" ] || printf 'mend:  %s\n' "$2" >&2
    exit 1
}

# Tell of a change; false where nothing may be done.
change() {
    CHANGES=$((CHANGES + 1))
    if [ "$CHECK" = yes ]; then
        say "would $*"
        return 1
    fi
    say "$*"
}

# run COMMAND...: quiet, unless it fails
run() {
    local log
    log=$(mktemp)
    if ! "$@" > "$log" 2>&1 < /dev/null; then
        tail -n 30 "$log" >&2
        rm -f "$log"
        die "failed: $*" "${MEND:-see above}"
    fi
    rm -f "$log"
}

needs() {
    [ "$HTTPD_NEEDS" = restart ] || HTTPD_NEEDS=$1
}

# put PATH MODE OWNER:GROUP: what comes on standard input becomes this file. What stood there before is kept below $BACKUPS.
# True where the file has changed, or would.
put() {
    local path=$1 mode=$2 owner=$3 new
    new=$(mktemp)
    cat > "$new"
    if [ -e "$path" ] && cmp -s "$new" "$path"; then
        rm -f "$new"
        [ "$(stat -c '%a %U:%G' "$path")" = "$mode $owner" ] && return 1
        ! change "set mode and owner of $path: $mode $owner" || { chown "$owner" "$path" && chmod "$mode" "$path"; }
        return 0
    fi
    if [ -e "$path" ]; then
        if [ "$CHECK" = yes ]; then diff -u --label "$path" --label "$path, new" "$path" "$new" || true; fi
        if change "replace $path (the old one: $BACKUPS$path)"; then
            # a copy of a file with secrets has to be as closed as the file
            (umask 077 && mkdir -p "$BACKUPS${path%/*}")
            cp -a "$path" "$BACKUPS$path"
        fi
    else
        change "write $path" || true
    fi
    if [ "$CHECK" = no ]; then
        [ -d "${path%/*}" ] || install -d -m 755 "${path%/*}"
        chmod "$mode" "$new" && chown "$owner" "$new"
        # in the same directory first, so that nobody ever reads half of it
        mv "$new" "$path.deploy-new" && mv "$path.deploy-new" "$path"
    fi
    rm -f "$new"
}

# directory PATH MODE OWNER:GROUP
directory() {
    [ ! -d "$1" ] || [ "$(stat -c '%a %U:%G' "$1")" != "$2 $3" ] || return 0
    ! change "make directory $1 ($2 $3)" || install -d -m "$2" -o "${3%:*}" -g "${3#*:}" "$1"
}

# newer FILE: is this package newer than what is installed?
newer() {
    local have
    have=$(dpkg-query -W -f '${Version}' "$(dpkg-deb -f "$1" Package)") && dpkg --compare-versions "$(dpkg-deb -f "$1" Version)" gt "$have"
}

is_installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2> /dev/null)" = 'ii ' ]; }

# packages NAME-OR-FILE...: those that are missing
packages() {
    local name missing=()
    for name in "$@"; do
        case $name in
        /*) if ! is_installed "$(dpkg-deb -f "$name" Package)" || newer "$name"; then missing+=("$name"); fi ;;
        *) is_installed "$name" || missing+=("$name") ;;
        esac
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    needs restart
    change "install ${missing[*]}" || return 0
    apt-get -q update > /dev/null 2>&1 || say 'note: the lists of packages could not be renewed; going on with those that are there'
    MEND='apt-get said why, above' run env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "${missing[@]}"
}

# ---- services: by systemd, or by hand where there is none ----------------------------------------------------------------

# service_up NAME [restart]: enabled, and running; anew with restart
service_up() {
    local name=$1 anew=${2:-}
    [ "$SYSTEMD" = yes ] || return 0
    if [ "$(systemctl is-enabled "$name" 2> /dev/null)" != enabled ]; then
        ! change "enable $name" || run systemctl enable "$name"
    fi
    if [ -n "$anew" ] || ! systemctl -q is-active "$name"; then
        ! change "start $name" || MEND="journalctl -u $name says why" run systemctl restart "$name"
    fi
}
