# SPDX-License-Identifier: Apache-2.0
# Reads the settings and refuses what is wrong with them, before anything is touched. The values go into the configuration of
# httpd, of systemd and of the firewall: none holds a character that means something there.

# name, default (- is empty), what it has to look like
settings_table() {
    cat <<'TABLE'
MCP_HOST                - [a-z0-9]([a-z0-9.-]*[a-z0-9])?
MCP_PATH                /mcp (/[A-Za-z0-9._~-]+)+
MCP_NAME                - [A-Za-z0-9\ .,()'_-]+
MCP_SCOPE               mcp [A-Za-z0-9._:/-]+
MCP_PACKAGE             - /[A-Za-z0-9._~+/-]+
MCP_BACKEND             - https?://[a-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?
MCP_BACKEND_KEY_HEADER  - [A-Za-z0-9-]+
MCP_BACKEND_KEY_FILE    /etc/mcp/function-key /[A-Za-z0-9._/-]+
MCP_FIREWALL            on on|off
MCP_PROVIDER            - entra|oidc
MCP_ENTRA_TENANT        - [A-Za-z0-9.-]+
MCP_PROVIDER_ISSUER     - https?://[A-Za-z0-9.:/_~-]+
MCP_CLIENT_ID           - [A-Za-z0-9._~:/-]+
MCP_CLIENT_SECRET_FILE  /etc/mcp/provider-secret /[A-Za-z0-9._/-]+
MCP_TLS                 - acme|own
MCP_ACME_AGREE          no yes|no
MCP_ACME_CONTACT        - [A-Za-z0-9._+-]+@[A-Za-z0-9.-]+
MCP_ACME_URL            - https://[A-Za-z0-9.:/_-]+
MCP_CERTIFICATE         - /[A-Za-z0-9._/-]+
MCP_CERTIFICATE_KEY     - /[A-Za-z0-9._/-]+
MCP_CA_FILE             - /[A-Za-z0-9._/-]+
MCP_STORE               local local|(memcache|redis):[A-Za-z0-9.:,-]+
MCP_STORE_MB            64 [1-9][0-9]{0,5}
MCP_AUDIT_WEEKS         104 [1-9][0-9]{0,3}
MCP_ADMIN_PORT          8098 [1-9][0-9]{0,4}
TABLE
}

# read_settings FILE: sets each name of the table
read_settings() {
    local file=$1 n=0 line name default pattern
    local -A patterns
    [ -r "$file" ] || die "there is no file $file" "cp deploy/settings.example $file, and put your values in"
    while read -r name default pattern; do
        patterns[$name]=$pattern
        [ "$default" != - ] || default=
        printf -v "$name" %s "$default"
    done < <(settings_table)
    while IFS= read -r line || [ -n "$line" ]; do
        n=$((n + 1))
        [[ $line =~ ^[[:space:]]*(#.*)?$ ]] && continue
        [[ $line =~ ^([A-Z_]+)=(.*)$ ]] || die "$file:$n: this is no NAME=VALUE" 'write it without blanks around ='
        name=${BASH_REMATCH[1]}
        [ -n "${patterns[$name]:-}" ] || die "$file:$n: there is no setting $name" 'deploy/settings.example names all'
        [ -n "${BASH_REMATCH[2]}" ] || continue
        [[ ${BASH_REMATCH[2]} =~ ^(${patterns[$name]})$ ]] || die "$file:$n: $name cannot be \"${line#*=}\"" "it has to match ${patterns[$name]}; quotes are not taken away"
        printf -v "$name" %s "${line#*=}"
    done < "$file"
}

# wants NAME WHY
wants() { [ -n "${!1}" ] || die "$1 is not set" "$2"; }

# What is still missing, or does not go together.
check_settings() {
    local port
    wants MCP_HOST 'the name that clients use'
    wants MCP_NAME 'what people read on the consent page'
    wants MCP_BACKEND 'the URL of the MCP server'
    wants MCP_PROVIDER 'entra or oidc'
    wants MCP_CLIENT_ID 'what the provider calls the gateway; deploy/entra registers it at Entra ID'
    wants MCP_TLS 'acme or own'
    case $MCP_PROVIDER in
    entra) wants MCP_ENTRA_TENANT 'the id of the tenant' ;;
    oidc) wants MCP_PROVIDER_ISSUER 'the issuer of the provider' ;;
    esac
    case $MCP_TLS in
    acme)
        wants MCP_ACME_CONTACT 'where the certificate authority writes to'
        [ "$MCP_ACME_AGREE" = yes ] ||
            die 'MCP_ACME_AGREE is not yes' 'read the terms of the certificate authority, and say yes, or use MCP_TLS=own'
        ;;
    own)
        wants MCP_CERTIFICATE 'the certificate with its chain, a PEM file'
        wants MCP_CERTIFICATE_KEY 'its key, a PEM file'
        ;;
    esac
    BACKEND_HOST=${MCP_BACKEND#*://}
    BACKEND_HOST=${BACKEND_HOST%%/*}
    case $MCP_BACKEND in
    https:*) BACKEND_PORT=443 ;;
    *) BACKEND_PORT=80 ;;
    esac
    case $BACKEND_HOST in
    *:*)
        BACKEND_PORT=${BACKEND_HOST##*:}
        BACKEND_HOST=${BACKEND_HOST%:*}
        ;;
    esac
    for port in "$BACKEND_PORT" "$MCP_ADMIN_PORT"; do
        if [ "$port" -lt 1 ] || [ "$port" -gt 65535 ]; then die "there is no port $port" 'use 1 to 65535'; fi
    done
}

backend_is_here() {
    case $BACKEND_HOST in
    127.* | localhost) return 0 ;;
    *) return 1 ;;
    esac
}

# Is this file there, and closed to others than root?
secret_file() { # PATH WHAT
    local mode
    [ -s "$1" ] || die "$1, $2, is not there" "put it there as root: install -Dm 600 /dev/stdin $1   (then the secret, and Ctrl-D)"
    mode=$(stat -c %a "$1")
    [ $((8#$mode & 8#077)) -eq 0 ] || die "$1 may be read by others (mode $mode)" "chmod 600 $1"
}

# The drop-in for systemd hides these directories from httpd.
seen_by_httpd() {
    local path
    [ "$SYSTEMD" = yes ] || return 0
    for path in "$@"; do
        path=$(readlink -m "$path")
        case $path in
        /root/* | /home/* | /run/user/* | /tmp/* | /var/tmp/*) die "httpd will not see $path" 'put it below /etc/mcp or /etc/ssl, and name that place' ;;
        esac
    done
}

check_files() {
    local key_of certificate_of
    seen_by_httpd "$MCP_CLIENT_SECRET_FILE" "$MCP_BACKEND_KEY_FILE" ${MCP_CA_FILE:+"$MCP_CA_FILE"} \
        ${MCP_CERTIFICATE:+"$MCP_CERTIFICATE"} ${MCP_CERTIFICATE_KEY:+"$MCP_CERTIFICATE_KEY"}
    [ -z "$MCP_PACKAGE" ] || [ -r "$MCP_PACKAGE" ] || die "there is no package $MCP_PACKAGE" 'see docs/install.md on how to build it'
    secret_file "$MCP_CLIENT_SECRET_FILE" "the gateway's client secret"
    [ -z "$MCP_BACKEND_KEY_HEADER" ] || secret_file "$MCP_BACKEND_KEY_FILE" "the MCP server's key"
    [ -z "$MCP_CA_FILE" ] || [ -r "$MCP_CA_FILE" ] || die "there is no file $MCP_CA_FILE (MCP_CA_FILE)" 'the CA in PEM'
    [ "$MCP_TLS" = own ] || return 0
    [ -r "$MCP_CERTIFICATE" ] || die "there is no certificate $MCP_CERTIFICATE" 'the certificate with its chain in PEM'
    secret_file "$MCP_CERTIFICATE_KEY" "the certificate's key"
    # on an empty machine openssl comes with the packages
    command -v openssl > /dev/null || return 0
    certificate_of=$(openssl x509 -in "$MCP_CERTIFICATE" -noout -pubkey 2> /dev/null) || die "$MCP_CERTIFICATE is no certificate" 'it has to be PEM'
    key_of=$(openssl pkey -in "$MCP_CERTIFICATE_KEY" -pubout 2> /dev/null < /dev/null) || die "$MCP_CERTIFICATE_KEY is no key" 'it has to be PEM, without a passphrase'
    [ "$certificate_of" = "$key_of" ] || die "$MCP_CERTIFICATE and $MCP_CERTIFICATE_KEY are not a pair" 'name the key that the certificate was made for'
    openssl x509 -in "$MCP_CERTIFICATE" -noout -checkend 0 > /dev/null || die "$MCP_CERTIFICATE has expired" 'renew it'
    openssl x509 -in "$MCP_CERTIFICATE" -noout -checkhost "$MCP_HOST" | grep -q 'does match' || die "$MCP_CERTIFICATE is not for $MCP_HOST" 'get one for that name'
}
