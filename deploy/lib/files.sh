# SPDX-License-Identifier: Apache-2.0
# The files that deploy/deploy writes, each on standard output, from the settings alone: the same settings give the same bytes.

STORE_DIR=/run/mcp-memcached
AUDIT_LOG=/var/log/apache2/mcp-audit.jsonl

store_directive() {
    case $MCP_STORE in
    local) echo "memcache:$STORE_DIR/socket" ;;
    *) echo "$MCP_STORE" ;;
    esac
}

provider_lines() {
    case $MCP_PROVIDER in
    entra) echo "    MCPProviderPreset       entra $MCP_ENTRA_TENANT" ;;
    oidc) echo "    MCPProviderIssuer       $MCP_PROVIDER_ISSUER" ;;
    esac
    echo "    MCPProviderClientID     $MCP_CLIENT_ID"
    echo "    MCPProviderClientSecret file:$MCP_CLIENT_SECRET_FILE"
}

tls_server_lines() {
    [ "$MCP_TLS" = acme ] || return 0
    echo
    echo '# The certificate: mod_md gets it and renews it; what it got is used from the next reload on.'
    echo "MDomain                $MCP_HOST"
    echo 'MDCertificateAgreement accepted'
    echo "MDContactEmail         $MCP_ACME_CONTACT"
    [ -z "$MCP_ACME_URL" ] || echo "MDCertificateAuthority $MCP_ACME_URL"
    [ -z "$MCP_CA_FILE" ] || echo "MDCACertificateFile    $MCP_CA_FILE"
}

tls_host_lines() {
    echo '    SSLEngine on'
    [ "$MCP_TLS" = acme ] && return
    echo "    SSLCertificateFile    $MCP_CERTIFICATE"
    echo "    SSLCertificateKeyFile $MCP_CERTIFICATE_KEY"
}

backend_lines() {
    [ -z "$MCP_BACKEND_KEY_HEADER" ] || echo "        MCPGuardBackendKey $MCP_BACKEND_KEY_HEADER file:$MCP_BACKEND_KEY_FILE"
    echo "        ProxyPass $MCP_BACKEND timeout=3600"
}

backend_tls_lines() {
    [ "${MCP_BACKEND%%:*}" = https ] || return 0
    echo '    SSLProxyEngine on'
    echo '    SSLProxyVerify require'
    echo '    SSLProxyCACertificateFile /etc/ssl/certs/ca-certificates.crt'
}

site_conf() {
    cat <<CONF
# Written by mod_mcp's deploy/deploy, which brings it back to this: what you add belongs into another file.

MCPKeyFile  /etc/mcp/keys
MCPStore    $(store_directive)
MCPAuditLog $AUDIT_LOG required calls
MCPIssuer   https://$MCP_HOST
MCPResource https://$MCP_HOST$MCP_PATH name="$MCP_NAME" scopes="$MCP_SCOPE"
<MCPProvider main>
$(provider_lines)
</MCPProvider>

# Who called, and why a call was refused; never the query, where codes are.
LogFormat "%h %{MCP_SUBJECT}e %t \"%m %U %H\" %>s %O %D error=%{MCP_ERROR}e client=%{MCP_CLIENT}e trace=%{MCP_TRACE_ID}e" mcp
$(tls_server_lines)

<VirtualHost *:80>
    ServerName $MCP_HOST
    Redirect permanent / https://$MCP_HOST/
    ErrorLog  \${APACHE_LOG_DIR}/mcp-error.log
    CustomLog \${APACHE_LOG_DIR}/mcp-access.log mcp
</VirtualHost>

<VirtualHost *:443>
    ServerName $MCP_HOST
    Protocols http/1.1
$(tls_host_lines)
    Header always set Strict-Transport-Security "max-age=31536000"
    ErrorLog  \${APACHE_LOG_DIR}/mcp-error.log
    CustomLog \${APACHE_LOG_DIR}/mcp-access.log mcp

    # Slow or endless requests are cut; answers may take as long as they like.
    RequestReadTimeout header=10-20,MinRate=500 body=10,MinRate=500
    LimitRequestBody 4194304

    MCPOAuth On
$(backend_tls_lines)
    <Location $MCP_PATH>
        AuthType MCP
        Require mcp-scope $MCP_SCOPE
$(backend_lines)
    </Location>
</VirtualHost>

# For this machine alone: mcpctl, and Prometheus or what scrapes for it.
Listen 127.0.0.1:$MCP_ADMIN_PORT
<VirtualHost 127.0.0.1:$MCP_ADMIN_PORT>
    ServerName localhost
    ErrorLog  \${APACHE_LOG_DIR}/mcp-error.log
    CustomLog \${APACHE_LOG_DIR}/mcp-access.log mcp
    MCPOAuth On
    <Location /mcp-admin>
        SetHandler mcp-admin
        AuthType Basic
        AuthName "administrators"
        AuthUserFile /etc/apache2/mcp-administrators
        Require valid-user
    </Location>
    <Location /metrics>
        SetHandler mcp-metrics
        Require local
    </Location>
</VirtualHost>
CONF
}

# memcached for sessions: no port, a socket that httpd's group alone can use, and nothing else in reach.
store_unit() {
    cat <<UNIT
[Unit]
Description=Session store of the MCP gateway
Documentation=man:memcached(1)
Before=apache2.service

[Service]
User=memcache
Group=www-data
RuntimeDirectory=mcp-memcached
RuntimeDirectoryMode=0750
ExecStart=/usr/bin/memcached -s $STORE_DIR/socket -a 0660 -m $MCP_STORE_MB -c 4096
Restart=always
LimitNOFILE=8192
LimitCORE=0
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
PrivateNetwork=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
RestrictAddressFamilies=AF_UNIX
RestrictNamespaces=yes
RestrictRealtime=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service

[Install]
WantedBy=multi-user.target
UNIT
}

reload_httpd() {
    if [ "$SYSTEMD" = yes ]; then echo 'systemctl reload apache2'; else echo 'apache2ctl graceful'; fi
}

# Access and error log are rotated by apache2's own file, which takes *.log. The audit log stays longer. The reload begins a new
# chain, which names the last line of the old file.
rotation() {
    cat <<ROTATE
$AUDIT_LOG {
    weekly
    rotate $MCP_AUDIT_WEEKS
    dateext
    dateformat -%Y%m%d-%s
    missingok
    notifempty
    nocompress
    create 640 root adm
    sharedscripts
    postrotate
        if pgrep -x apache2 > /dev/null; then $(reload_httpd) > /dev/null; fi
    endscript
}
ROTATE
}

# What the private endpoint is in Azure: a way to the MCP server that nobody but the gateway can take.
firewall() {
    cat <<'NFT'
# Written by mod_mcp's deploy/deploy. A table of its own, beside your rules. Priority: what it refuses stays refused.
table inet mcp
delete table inet mcp
table inet mcp {
NFT
    if backend_is_here; then
        cat <<NFT
    # From outside of this machine there is no way to the MCP server,
    chain from_outside {
        type filter hook input priority filter - 5; policy accept;
        iifname != "lo" tcp dport $BACKEND_PORT drop
    }
    # and on it httpd's user is the only one who has one.
    chain from_here {
        type filter hook output priority filter - 5; policy accept;
        oifname "lo" tcp dport $BACKEND_PORT meta skuid != "www-data" reject with tcp reset
    }
NFT
    else
        cat <<NFT
    # Of this machine only httpd's user speaks to the MCP server.
    chain from_here {
        type filter hook output priority filter - 5; policy accept;
        ip daddr $BACKEND_HOST tcp dport $BACKEND_PORT meta skuid != "www-data" reject with tcp reset
    }
NFT
    fi
    echo '}'
}

# After nftables, and anew with it, which flushes all tables.
firewall_unit() {
    cat <<'UNIT'
[Unit]
Description=Nobody but httpd reaches the MCP server
Documentation=man:nft(8)
After=nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service
Before=apache2.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/nft -f /etc/mcp/firewall.nft
ExecReload=/usr/sbin/nft -f /etc/mcp/firewall.nft
ExecStop=-/usr/sbin/nft delete table inet mcp

[Install]
WantedBy=multi-user.target
UNIT
}
