// SPDX-License-Identifier: Apache-2.0
// The configurations under test: one httpd each, alike in all but the guard before the same backend.

import { createHmac, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';

import { accepts, freePort, start } from './proc.mjs';

const BACKEND_PATH = '/runtime/webhooks/mcp';
const JWT_SECRET = 'benchmark-secret-of-at-least-32-bytes';

/** A JWT that the two comparison modules verify locally. */
function jwt() {
    const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const now = Math.floor(Date.now() / 1000);
    const input = `${b64({ alg: 'HS256', typ: 'JWT', kid: 'bench' })}.${b64({
        iss: 'https://login.example.com', sub: 'alice', aud: 'https://mcp.example.com/mcp',
        client_id: 'bench', scope: 'snippets', iat: now, exp: now + 86400, jti: 'bench-1',
    })}`;
    return `${input}.${createHmac('sha256', JWT_SECRET).update(input).digest('base64url')}`;
}

/** What all of them share. */
function common(work, port, modules, single) {
    const load = (name, dir = modules.httpd) => `LoadModule ${name}_module ${dir}/mod_${name}.so`;
    return `
ServerRoot "${work.dir}"
DefaultRuntimeDir "${work.dir}"
PidFile "${work.dir}/httpd.pid"
ErrorLog "${work.dir}/error.log"
LogLevel warn
ServerName 127.0.0.1
Listen 127.0.0.1:${port}
${process.getuid() === 0 ? 'User www-data\nGroup www-data' : ''}
${load('mpm_event')}
${['authn_core', 'authz_core', 'authz_user', 'headers', 'proxy', 'proxy_http', 'socache_shmcb', 'socache_memcache',
        'socache_redis'].map((name) => load(name)).join('\n')}
ServerLimit ${single ? 1 : 2}
StartServers ${single ? 1 : 2}
ThreadLimit 32
ThreadsPerChild 32
MinSpareThreads 1
MaxSpareThreads 64
MaxRequestWorkers ${single ? 32 : 64}
MaxConnectionsPerChild 0
KeepAlive On
MaxKeepAliveRequests 0
KeepAliveTimeout 60
Timeout 60
`;
}

/* Rules as a site would write them: a list of names, a condition on an argument that the benchmark's call has not, and a
 * table of scopes. */
const POLICY = `Require mcp-tool get_* list_* search_files hello_mcp
    Require mcp-tool write_file /path=/srv/*
    MCPToolScope hello_mcp snippets
    MCPToolScope delete_* admin`;

/** Limits that count each call and never refuse one: the most that MCPLimit takes. */
const LIMITS = `Require valid-user
    MCPLimit floods 8000/s/1000000 key=address
    MCPLimit calls 8000/s/1000000 key=person,client`;

/** A span of each call, to a program that takes them as fast as they come: the gateway's own part. */
const TRACED = 'MCPTraceExport "|/usr/bin/wc -c"';

function guard(store, cache, rules = 'Require valid-user', more = '') {
    return (context) => {
        const { modules, work, port, backend, provider } = context;
        const base = `http://127.0.0.1:${port}`;

        writeFileSync(`${work.dir}/keys`, `bench ${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
        writeFileSync(`${work.dir}/backend-key`, 'backend-key-of-the-benchmark\n', { mode: 0o600 });
        writeFileSync(`${work.dir}/client-secret`, `${provider.clientSecret}\n`, { mode: 0o600 });
        return `
LoadModule mcp_oauth_module ${modules.ours}/mod_mcp_oauth.so
LoadModule mcp_guard_module ${modules.ours}/mod_mcp_guard.so
MCPKeyFile ${work.dir}/keys
MCPStore ${store === 'shmcb' ? 'shmcb' : `${store}:${context.stores[store].arg}`}
${cache ? '' : 'MCPSessionCache 0'}
MCPIssuer ${base}
MCPResource ${base}/mcp name="Snippets" scopes="snippets"
MCPOAuth On
MCPOAuthLimit all none
${more}
MCPOAuthAccessLifetime 12h
<MCPProvider bench>
    MCPProviderIssuer ${provider.issuer}
    MCPProviderClientID ${provider.clientId}
    MCPProviderClientSecret file:${work.dir}/client-secret
</MCPProvider>
<Location /mcp>
    AuthType MCP
    ${rules}
    MCPGuardBackendKey x-functions-key file:${work.dir}/backend-key
    ProxyPass http://127.0.0.1:${backend}${BACKEND_PATH}
</Location>
`;
    };
}

function bare({ backend }) {
    return `
<Location /mcp>
    Require all granted
    ProxyPass http://127.0.0.1:${backend}${BACKEND_PATH}
</Location>
`;
}

function authOpenidc({ modules, backend }) {
    return `
LoadModule auth_openidc_module ${modules.httpd}/mod_auth_openidc.so
OIDCCryptoPassphrase benchmark-passphrase
OIDCOAuthVerifySharedKeys plain#bench#${JWT_SECRET}
<Location /mcp>
    AuthType oauth20
    Require valid-user
    ProxyPass http://127.0.0.1:${backend}${BACKEND_PATH}
</Location>
`;
}

function oauth2({ modules, backend }) {
    return `
LoadModule oauth2_module ${modules.httpd}/mod_oauth2.so
<Location /mcp>
    AuthType oauth2
    OAuth2TokenVerify plain ${JWT_SECRET} kid=bench&verify.iat=skip
    Require valid-user
    ProxyPass http://127.0.0.1:${backend}${BACKEND_PATH}
</Location>
`;
}

/** All configurations, in the order of the report. `key` is the name in the last line. */
export const CONFIGURATIONS = [
    { name: 'bare', title: 'bare mod_proxy', conf: bare },
    { name: 'bare_again', title: 'bare mod_proxy, second instance', conf: bare },
    ...['shmcb', 'memcache', 'redis'].flatMap((store) => [
        { name: `guard_${store}`, title: `mod_mcp_guard, ${store}`, key: `guard_ratio_${store}`, store,
            ours: true, conf: guard(store, true) },
        { name: `guard_${store}_nocache`, title: `mod_mcp_guard, ${store}, session cache off`,
            key: `guard_ratio_${store}_nocache`, store, ours: true, conf: guard(store, false) },
    ]),
    // says something with --body 1024 or --post only: nothing is read of a GET
    { name: 'guard_policy', title: 'mod_mcp_guard, shmcb, policy on tools', key: 'guard_ratio_policy', store: 'shmcb', ours: true,
        conf: guard('shmcb', true, POLICY) },
    { name: 'guard_limits', title: 'mod_mcp_guard, shmcb, two rate limits', key: 'guard_ratio_limits', store: 'shmcb', ours: true,
        conf: guard('shmcb', true, LIMITS) },
    { name: 'guard_traced', title: 'mod_mcp_guard, shmcb, all calls traced', key: 'guard_ratio_traced', store: 'shmcb', ours: true,
        conf: guard('shmcb', true, 'Require valid-user', TRACED) },
    { name: 'mod_auth_openidc', title: 'mod_auth_openidc, local JWT', key: 'mod_auth_openidc', token: jwt,
        module: 'mod_auth_openidc.so', conf: authOpenidc },
    { name: 'mod_oauth2', title: 'mod_oauth2, local JWT', key: 'mod_oauth2', token: jwt,
        module: 'mod_oauth2.so', conf: oauth2 },
];

/** Write a configuration and start its httpd. `wrap` puts a program such as valgrind before it; implies -X. */
export async function startGateway(configuration, context, wrap = []) {
    const dir = path.join(context.dir, configuration.name);
    const port = await freePort();
    const work = { dir };

    mkdirSync(dir, { recursive: true, mode: 0o755 });
    chmodSync(dir, 0o755);
    writeFileSync(`${dir}/httpd.conf`, common(work, port, context.modules, wrap.length > 0)
        + context.extra + configuration.conf({ ...context, work, port }), { mode: 0o644 });

    if (wrap.length) {
        mkdirSync(`${dir}/profile`);
        chmodSync(`${dir}/profile`, 0o777); // the dump is written after httpd has given up root
    }
    const httpd = [context.httpd, '-d', dir, '-f', `${dir}/httpd.conf`];
    const command = wrap.length ? [...wrap, ...httpd, '-X'] : [...httpd, '-DFOREGROUND'];
    const gateway = {
        ...configuration, dir, port, others: [context.backendPid, context.stores[configuration.store]?.pid].filter(Boolean), base: `http://127.0.0.1:${port}`, url: `http://127.0.0.1:${port}/mcp`,
        process: start(configuration.name, command[0], command.slice(1), { cwd: dir }),
    };
    try {
        await accepts(port, gateway.process, wrap.length ? 120000 : 15000);
    }
    catch (error) {
        const log = existsSync(`${dir}/error.log`) ? `see ${dir}/error.log` : '';
        throw new Error(`${error.message} ${log}`);
    }
    return gateway;
}
