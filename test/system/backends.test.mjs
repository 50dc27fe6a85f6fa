// SPDX-License-Identifier: Apache-2.0
// Several MCP servers behind one gateway: balanced with sessions that stay where they are, by location with a key each,
// behind mutual TLS and unix sockets.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { chmod, readFile } from 'node:fs/promises';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { startEverything } from './lib/everything.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { providerSection } from './lib/world.mjs';

const bearer = (token, headers = {}) => ({ Authorization: `Bearer ${token}`, ...headers });
const ACCEPT = { Accept: 'application/json, text/event-stream' };
const INITIALIZE = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'test', version: '1' } } };

const head = (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPOAuth On
${providerSection(world)}
`;

suite('two MCP servers behind a balancer', {
    backend: false,
    httpd: { modules: ['proxy_balancer', 'slotmem_shm', 'lbmethod_byrequests', 'proxy_hcheck'] },
    before: async (world) => {
        world.servers = { a: await startEverything(), b: await startEverything() };
    },
    site: (world) => `
${head(world)}
MCPResource ${world.base}/mcp
<Proxy balancer://mcp>
    BalancerMember ${new URL(world.servers.a.url).origin} route=a retry=1 hcmethod=TCP hcinterval=1
    BalancerMember ${new URL(world.servers.b.url).origin} route=b retry=1 hcmethod=TCP hcinterval=1
    ProxySet stickysession=mcp-route
</Proxy>
<Location /mcp>
    AuthType MCP
    Require valid-user
    ProxyPass balancer://mcp/mcp
</Location>
`,
}, async (it, world) => {
    world.httpd.announce('AH00957', 'AH01114', 'AH03324', 'AH00959', 'AH01102', 'AH10258'); // mod_proxy about the one that is killed
    const { access_token: token } = await new OAuthClient(world).signIn();
    const call = (id, json, headers = {}) => request(`${world.base}/mcp`, {
        json, headers: bearer(token, { ...ACCEPT, ...(id ? { 'Mcp-Session-Id': id, 'MCP-Protocol-Version': '2025-11-25' } : {}), ...headers }),
    });
    const ping = (id, headers) => call(id, { jsonrpc: '2.0', id: 2, method: 'ping' }, headers);
    const open = async () => {
        const response = await call(null, INITIALIZE);
        assert.equal(response.status, 200, response.text);
        return response.headers['mcp-session-id'];
    };
    const of = {};

    await it('a session stays with the server that opened it, whatever its client says (TR-11)', async () => {
        const ids = [];
        for (let i = 0; i < 6; i++) {
            const before = world.servers.a.sessions.size;
            const id = await open();
            ids.push(id);
            of[world.servers.a.sessions.size > before ? 'a' : 'b'] ??= id;
        }
        assert.ok(of.a && of.b, 'both servers have sessions');
        for (let round = 0; round < 4; round++) {
            for (const id of ids) {
                for (const headers of [{}, { Cookie: 'mcp-route=.a' }, { Cookie: 'mcp-route=.b; x=1' }]) {
                    const response = await ping(id, headers);
                    assert.equal(response.status, 200, response.text);
                }
            }
        }
        assert.equal((await request(`${world.base}/mcp?mcp-route=.b`, { json: { jsonrpc: '2.0', id: 2, method: 'ping' }, headers: bearer(token, { ...ACCEPT, 'Mcp-Session-Id': of.a }) })).status, 200);
    });

    await it('when its server dies, its session is unknown, a new one opens, and the others\' go on (TR-11)', async () => {
        world.servers.a.close();
        for (let i = 0; i < 4; i++) assert.equal((await ping(of.b)).status, 200);
        const lost = await until(async () => { const response = await ping(of.a); return response.status === 404 && response; }, '404 for a session of the dead server', 15_000, 100);
        assert.equal(lost.json().error.code, -32001, 'so that clients begin anew');
        for (let i = 0; i < 4; i++) assert.equal((await ping(await open())).status, 200);
        for (let i = 0; i < 4; i++) assert.equal((await ping(of.b)).status, 200);
    });
    world.servers.b.close();
});

/** A server that tells what reached it. */
async function listen(server, where) {
    server.on('request', (incoming, response) => {
        response.writeHead(200, { 'Content-Type': 'application/json' });
        response.end(JSON.stringify({ url: incoming.url, headers: incoming.headers, peer: incoming.socket.getPeerCertificate?.().subject?.CN }));
    });
    server.listen(where);
    await once(server, 'listening');
    return server;
}

function certificates(dir) {
    const openssl = (...args) => execFileSync('openssl', args, { cwd: dir, stdio: 'ignore' });
    openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test CA', '-keyout', 'ca.key', '-out', 'ca.crt');
    for (const [name, subject] of [['server', '/CN=127.0.0.1'], ['gateway', '/CN=the gateway']]) {
        openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', subject, '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', `${name}.key`, '-out', `${name}.csr`);
        openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.crt', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-copy_extensions', 'copy', '-out', `${name}.crt`);
    }
}

suite('MCP servers by location', {
    backend: false,
    httpd: { modules: ['ssl'] },
    before: async (world) => {
        const dir = join(world.httpd.root, 'conf');
        certificates(dir);
        const read = (name) => readFile(join(dir, name));
        world.machine = await world.httpd.file('conf/gateway.pem', `${await read('gateway.crt')}${await read('gateway.key')}`);
        world.socket = join(world.httpd.root, 'run/mcp.sock');
        world.servers = [
            await listen(https.createServer({ key: await read('server.key'), cert: await read('server.crt'), ca: await read('ca.crt'), requestCert: true, rejectUnauthorized: true }), { port: 0, host: '127.0.0.1' }),
            await listen(http.createServer(), world.socket),
        ];
        await chmod(world.socket, 0o777);
        world.keys = [await world.httpd.file('conf/key-tls', 'key-of-the-tls-server\n'), await world.httpd.file('conf/key-socket', 'key-of-the-socket-server\n')];
    },
    site: (world) => `
${head(world)}
MCPResource ${world.base}/tools
SSLProxyEngine On
SSLProxyCACertificateFile ${world.httpd.root}/conf/ca.crt
SSLProxyMachineCertificateFile ${world.machine}
SSLProxyVerify require
<Location /tools/tls>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey X-Api-Key file:${world.keys[0]}
    ProxyPass https://127.0.0.1:${world.servers[0].address().port}/
</Location>
<Location /tools/socket>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey X-Other-Key file:${world.keys[1]}
    ProxyPass unix:${world.socket}|http://localhost/
</Location>
`,
}, async (it, world) => {
    const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/tools` }).signIn();
    const ask = async (path, headers) => {
        const response = await request(`${world.base}${path}`, { json: {}, headers: bearer(token, headers) });
        assert.equal(response.status, 200, response.text);
        return response.json();
    };

    await it('mutual TLS: the gateway shows its certificate and gives identity and key (G24)', async () => {
        const seen = await ask('/tools/tls');
        assert.equal(seen.peer, 'the gateway');
        assert.equal(seen.headers['x-api-key'], 'key-of-the-tls-server');
        assert.ok(seen.headers['x-mcp-subject']);
        assert.equal(seen.headers.authorization, undefined);
    });

    await it('a unix socket: identity and key as well (G24)', async () => {
        const seen = await ask('/tools/socket');
        assert.equal(seen.headers['x-other-key'], 'key-of-the-socket-server');
        assert.ok(seen.headers['x-mcp-subject']);
        assert.equal(seen.headers.authorization, undefined);
    });

    await it('each location gives its own key and no other (G24, T21)', async () => {
        assert.equal((await ask('/tools/tls', { 'X-Other-Key': 'x', 'X-Api-Key': 'mine' })).headers['x-api-key'], 'key-of-the-tls-server');
        assert.equal((await ask('/tools/tls')).headers['x-other-key'], undefined);
        assert.equal((await ask('/tools/socket')).headers['x-api-key'], undefined);
        assert.equal((await ask('/tools/socket', { 'X_Other_Key': 'mine' })).headers['x-other-key'], 'key-of-the-socket-server');
    });
    for (const server of world.servers) { server.closeAllConnections(); server.close(); }
});
