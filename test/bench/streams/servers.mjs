// SPDX-License-Identifier: Apache-2.0
// The servers under test: our gateway with its relay, bare mod_proxy with a thread for each stream, and nginx.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { accepts, freePort, start } from '../proc.mjs';

const httpd = ['/usr/sbin/apache2', '/usr/sbin/httpd'].find(existsSync);

/** A certificate for localhost, once for all. */
export function certificate(dir) {
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj',
        '/CN=localhost', '-addext', 'basicConstraints=critical,CA:FALSE', '-keyout', `${dir}/tls.key`, '-out', `${dir}/tls.crt`], { stdio: 'ignore' });
}

function apache(context, port, tlsPort, dir, mpm, site, extra = []) {
    const system = execFileSync('apxs', ['-q', 'LIBEXECDIR'], { encoding: 'utf8' }).trim();
    const load = (name) => `LoadModule ${name}_module ${system}/mod_${name}.so`;
    return `
ServerRoot "${dir}"
DefaultRuntimeDir "${dir}"
PidFile "${dir}/httpd.pid"
ErrorLog "${dir}/error.log"
LogLevel warn
LogFormat "%h %t \\"%m %U\\" %>s %b" plain
CustomLog "${dir}/access.log" plain
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
Listen 127.0.0.1:${tlsPort}
ListenBacklog 4096
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
${['mpm_event', 'authn_core', 'authz_core', 'authz_user', 'authz_host', 'headers', 'status', 'proxy', 'proxy_http', 'ssl', 'socache_shmcb'].map(load).join('\n')}
${extra.join('\n')}
${mpm}
MaxConnectionsPerChild 0
Timeout 300
ProxyTimeout 3600
KeepAlive On
<Location /status>
    SetHandler server-status
    Require all granted
</Location>
${site}
<VirtualHost 127.0.0.1:${tlsPort}>
    SSLEngine On
    SSLCertificateFile ${context.dir}/tls.crt
    SSLCertificateKeyFile ${context.dir}/tls.key
</VirtualHost>
`;
}

/* MaxRequestWorkers 150 in children of 25, as Debian ships it; what else is set is what start-up asks for. */
const RELAY_MPM = `StartServers 6
ServerLimit 12
ThreadsPerChild 25
MaxRequestWorkers 150
MinSpareThreads 75
MaxSpareThreads 150
AsyncRequestWorkerFactor 2000`;

const threadMpm = (streams) => {
    const children = Math.max(2, Math.ceil((streams + 400) / 1000));
    return `StartServers ${children}\nServerLimit ${children + 2}\nThreadLimit 1000\nThreadsPerChild 1000
MaxRequestWorkers ${children * 1000}\nMinSpareThreads 25\nMaxSpareThreads ${children * 1000}`;
};

function relayed(guarded) {
    return (context, port, tlsPort, dir) => {
        const base = `http://127.0.0.1:${port}`;
        const ours = (name) => `LoadModule ${name}_module ${context.modules}/mod_${name}.so`;
        if (!guarded) {
            return apache(context, port, tlsPort, dir, RELAY_MPM, `<Location /mcp>
    MCPStreamRelay On
    ProxyPass http://127.0.0.1:${context.backend}/mcp
</Location>`, [ours('mcp_guard')]);
        }
        writeFileSync(`${dir}/keys`, `bench ${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
        writeFileSync(`${dir}/backend-key`, 'backend-key-of-the-benchmark\n', { mode: 0o600 });
        writeFileSync(`${dir}/client-secret`, `${context.provider.clientSecret}\n`, { mode: 0o600 });
        return apache(context, port, tlsPort, dir, RELAY_MPM, `
MCPKeyFile ${dir}/keys
MCPStore shmcb
MCPIssuer ${base}
MCPResource ${base}/mcp name="Streams" scopes="snippets"
MCPOAuth On
MCPOAuthAccessLifetime 12h
<MCPProvider bench>
    MCPProviderIssuer ${context.provider.issuer}
    MCPProviderClientID ${context.provider.clientId}
    MCPProviderClientSecret file:${dir}/client-secret
</MCPProvider>
<Location /mcp>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey x-functions-key file:${dir}/backend-key
    MCPStreamLimit person off
    MCPStreamKeepAlive off
    ProxyPass http://127.0.0.1:${context.backend}/mcp
</Location>`, [ours('mcp_oauth'), ours('mcp_guard')]);
    };
}

function bare(context, port, tlsPort, dir) {
    return apache(context, port, tlsPort, dir, threadMpm(context.streams), `<Location /mcp>
    Require all granted
    ProxyPass http://127.0.0.1:${context.backend}/mcp
</Location>`);
}

function nginx(context, port, tlsPort, dir) {
    mkdirSync(`${dir}/tmp`);
    return `
daemon off;
worker_processes 2;
pid ${dir}/nginx.pid;
error_log ${dir}/error.log warn;
worker_rlimit_nofile 30000;
${process.getuid() === 0 ? 'user www-data;' : ''}
events { worker_connections 15000; }
http {
    access_log ${dir}/access.log;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${dir}/tmp/${name};`).join('\n    ')}
    server {
        listen 127.0.0.1:${port} backlog=4096;
        listen 127.0.0.1:${tlsPort} ssl backlog=4096;
        ssl_certificate ${context.dir}/tls.crt;
        ssl_certificate_key ${context.dir}/tls.key;
        location /mcp {
            proxy_pass http://127.0.0.1:${context.backend};
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 1h;
        }
    }
}
`;
}

export const SERVERS = [
    { name: 'relay', title: 'guarded, relay', kind: 'httpd', config: relayed(true), guarded: true, relay: true },
    { name: 'relay-open', title: 'relay, no guard', kind: 'httpd', config: relayed(false), relay: true },
    { name: 'bare', title: 'bare mod_proxy', kind: 'httpd', config: bare },
    { name: 'nginx', title: 'nginx', kind: 'nginx', config: nginx },
];

/** nginx's program from Debian's package, unpacked without being installed: no service, nothing of the system changes. */
export function findNginx(cache) {
    const installed = ['/usr/sbin/nginx', '/usr/local/sbin/nginx'].find(existsSync);
    if (installed) return installed;
    const unpacked = `${cache}/usr/sbin/nginx`;
    if (existsSync(unpacked)) return unpacked;
    try {
        mkdirSync(cache, { recursive: true });
        const work = mkdtempSync(path.join(cache, 'deb-'));
        execFileSync('apt-get', ['download', 'nginx'], { cwd: work, stdio: 'ignore' });
        execFileSync('sh', ['-c', `dpkg -x ${work}/nginx_*.deb ${cache}`]);
        execFileSync(unpacked, ['-v'], { stdio: 'ignore' });
        return unpacked;
    }
    catch {
        return null;
    }
}

export async function startServer(server, context) {
    const dir = `${context.dir}/${server.name}`;
    const port = await freePort();
    const tlsPort = await freePort();

    mkdirSync(dir);
    chmodSync(dir, 0o755);
    writeFileSync(`${dir}/conf`, server.config(context, port, tlsPort, dir));
    const [program, args] = server.kind === 'nginx'
        ? [context.nginx, ['-c', `${dir}/conf`, '-p', dir, '-e', `${dir}/error.log`]]
        : [httpd, ['-f', `${dir}/conf`, '-DFOREGROUND']];
    const process_ = start(server.name, program, args, { detached: true });
    await accepts(port, process_, 20000);
    return { ...server, dir, port, tlsPort, base: `http://127.0.0.1:${port}`, process: process_, log: () => readFileSync(`${dir}/error.log`, 'utf8') };
}
