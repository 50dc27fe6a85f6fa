// SPDX-License-Identifier: Apache-2.0
// Clients that did not register: known by the URL of their metadata document, or configured; and who may register, and
// how often.

import assert from 'node:assert/strict';
import { createHash, generateKeyPairSync } from 'node:crypto';
import http from 'node:http';
import { connect } from 'node:net';
import { ASSERTION, assertion, known, startHost } from './lib/client-host.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { suite } from './lib/suite.mjs';
import { providerSection } from './lib/world.mjs';

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

/** An egress proxy that knows one address for each name: the client's host. `asked` is what it was told to connect to. */
async function startProxy(port) {
    const proxy = { asked: [] };
    const sockets = new Set();
    const server = http.createServer((req, res) => res.writeHead(405).end());
    server.on('connect', (req, socket, head) => {
        proxy.asked.push(req.url);
        const onward = connect(port, '127.0.0.1', () => {
            socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
            onward.write(head);
            onward.pipe(socket).pipe(onward);
        });
        for (const one of [socket, onward]) {
            sockets.add(one);
            one.on('error', () => {}).once('close', () => { socket.destroy(); onward.destroy(); });
        }
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${server.address().port}`;
    proxy.close = () => new Promise((resolve) => { for (const one of sockets) one.destroy(); server.close(resolve); });
    return proxy;
}

async function tokens(world, client, changes) {
    const { code } = await client.authorize(world.person());
    assert.ok(code, 'a code');
    return client.redeem(code, changes);
}

let host;
const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const jwks = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'c1', alg: 'ES256', use: 'sig' }] };

suite('client ID metadata documents', {
    backend: false,
    before: async (world) => {
        host = await startHost(world);
        await world.httpd.file('conf/client-jwks.json', JSON.stringify(jwks));
        await world.httpd.file('conf/pinned.json', JSON.stringify({ client_id: 'https://pinned.example/client', client_name: 'Pinned', redirect_uris: ['http://127.0.0.1/callback'] }));
        world.options.directives = `MCPOAuthClientMetadataCAFile ${host.cert}
MCPOAuthClientMetadataFile https://pinned.example/client ${world.httpd.root}/conf/pinned.json
<MCPOAuthClient signer>
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
    MCPOAuthClientJWKS ${world.httpd.root}/conf/client-jwks.json
</MCPOAuthClient>
<MCPOAuthClient remote-signer>
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
    MCPOAuthClientJWKS ${host.url}/signer-jwks
</MCPOAuthClient>`;
    },
}, async (it, world) => {
    await it('are advertised, and sign in as a registered client does, without registering (AS-20, AS-21, AS-27, CP-13)', async () => {
        const metadata = (await request(`${world.base}/.well-known/oauth-authorization-server`)).json();
        assert.equal(metadata.client_id_metadata_document_supported, true);
        assert.ok(metadata.token_endpoint_auth_methods_supported.includes('none'));
        const id = host.publish('/client.json');
        const client = known(world, id);
        const page = await request(client.authorizeUrl());
        assert.match(page.text, /Documented/);
        assert.match(page.text, /described by <strong[^>]*><bdi>localhost<\/bdi>/, 'AS-27, CP-13: the host that vouches');
        const response = await tokens(world, client);
        assert.equal(response.status, 200, response.text);
        assert.equal((await client.refresh(response.json().refresh_token)).status, 200);
    });

    await it('are cached by each child as long as they may be, and asked for no more (AS-21)', async () => {
        const id = host.publish('/cached.json', {}, { headers: { 'Cache-Control': 'max-age=600' } });
        for (let i = 0; i < 20; i++) assert.equal((await request(known(world, id).authorizeUrl())).status, 200);
        const asked = host.asked.filter((url) => url === '/cached.json').length;
        assert.ok(asked >= 1 && asked <= 8, `${asked} times for 20 requests`);
    });

    await it('are refused when they are not what they should be, and such answers are not cached (AS-21 to AS-24, AS-26)', async () => {
        const bad = {
            '/other-id.json': { changes: { client_id: 'https://evil.example/x' } },
            '/no-name.json': { changes: { client_name: undefined } },
            '/no-redirects.json': { changes: { redirect_uris: undefined } },
            '/script.json': { changes: { redirect_uris: ['javascript:alert(1)'] } },
            '/secret.json': { changes: { client_secret: 'x' } },
            '/basic.json': { changes: { token_endpoint_auth_method: 'client_secret_basic' } },
            '/no-keys.json': { changes: { token_endpoint_auth_method: 'private_key_jwt' } },
            '/keys-in-the-clear.json': { changes: { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: 'http://keys.example/jwks' } },
            '/html.json': { answer: { type: 'text/html' } },
            '/large.json': { changes: { padding: 'x'.repeat(5200) } },
            '/moved.json': { answer: { status: 302, headers: { Location: `${host.url}/client.json` } } },
            '/created.json': { answer: { status: 201 } },
        };
        for (const [path, { changes, answer }] of Object.entries(bad)) {
            const id = host.publish(path, changes, answer);
            const response = await request(known(world, id).authorizeUrl());
            assert.equal(response.status, 400, path);
            assert.match(response.headers['content-type'], /text\/html/);
            assert.equal(response.headers.location, undefined, `${path}: never a redirect (T12)`);
            host.publish(path);
            assert.equal((await request(known(world, id).authorizeUrl())).status, 200, `${path} mended`);
        }
        host.answers['/broken.json'] = { body: '{"client_id": ' };
        assert.equal((await request(known(world, `${host.url}/broken.json`).authorizeUrl())).status, 400);
    });

    await it('only URLs that may be one are asked for (AS-22)', async () => {
        const before = host.asked.length;
        for (const id of [`${host.url}`, `${host.url}/`, `${host.url}/a/../client.json`, `${host.url}/%2e%2e/client.json`,
            `${host.url}/client.json#x`, `https://user@localhost:${host.port}/client.json`, `http://localhost:${host.port}/client.json`,
            `HTTPS://localhost:${host.port}/client.json`]) {
            assert.equal((await request(known(world, id).authorizeUrl())).status, 400, id);
        }
        assert.equal(host.asked.length, before, 'nothing was asked');
    });

    await it('VS Code\'s way, registered and by its document: any loopback port or its web page, a URI as state, no resource at /token', async () => {
        // as in its src/vs/base/common/oauth.ts and extHostAuthentication.ts
        const metadata = (await request(`${world.base}/.well-known/oauth-authorization-server`, { headers: { Accept: 'application/json' } })).json();
        const said = {
            client_name: 'Visual Studio Code', client_uri: 'https://code.visualstudio.com', response_types: ['code'], scope: 'snippets',
            redirect_uris: ['https://insiders.vscode.dev/redirect', 'https://vscode.dev/redirect', 'http://127.0.0.1/', 'http://127.0.0.1:33418/'],
            token_endpoint_auth_method: 'none', application_type: 'native',
        };
        const resource = (await request(`${world.base}/.well-known/oauth-protected-resource/echo`)).json().resource;
        assert.equal(new URL(resource).toString(), new URL(`${world.base}/echo`).toString(), 'it compares the two as URLs');
        const registered = new OAuthClient(world, { resource });
        const kept = ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'];
        const response = await registered.register({ ...said, grant_types: metadata.grant_types_supported.filter((one) => kept.includes(one)) });
        assert.equal(response.status, 201, response.text);
        const id = host.publish('/vscode.json', { ...said, redirect_uris: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'], grant_types: kept });
        const documented = new OAuthClient(world, { resource });
        documented.clientId = id;
        for (const client of [registered, documented]) {
            for (const redirectUri of ['http://127.0.0.1:33418/', 'http://127.0.0.1:50123/', 'https://vscode.dev/redirect']) {
                client.redirectUri = redirectUri;
                const state = 'vscode://dynamicauthprovider/mcp.example/authorize?nonce=0a1b%26&windowId=1';
                const answer = await client.authorize(world.person(), { state, scope: 'snippets' });
                assert.ok(answer.url.startsWith(`${redirectUri}?`), answer.url);
                assert.equal(answer.state, state);
                assert.match(new URL(answer.url).search, /[?&]code=[A-Za-z0-9._~-]+(&|$)/, 'it takes the code as it stands in the URL');
                const redeemed = await client.redeem(answer.code, { resource: undefined });
                assert.equal(redeemed.status, 200, redeemed.text);
                const tokens = redeemed.json();
                assert.ok(tokens.expires_in > 300, 'one that expires in five minutes is renewed before each use');
                const renewed = await client.refresh(tokens.refresh_token, { resource: undefined });
                assert.equal(renewed.status, 200, renewed.text);
                const called = await request(resource, { headers: { Authorization: `Bearer ${renewed.json().access_token}` } });
                assert.equal(called.status, 200, called.text);
            }
        }
    });

    await it('another redirect URI than theirs is refused, loopback ports are free (AS-7, AS-21)', async () => {
        const id = host.publish('/client.json');
        assert.equal((await request(known(world, id, { redirectUri: 'https://evil.example/cb' }).authorizeUrl())).status, 400);
        assert.equal((await request(known(world, id, { redirectUri: 'http://127.0.0.1:9/callback' }).authorizeUrl())).status, 200);
    });

    await it('with private_key_jwt the client has to prove itself, once with each assertion (AS-24)', async () => {
        const id = host.publish('/keyed.json', { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${host.url}/jwks` });
        host.answers['/jwks'] = { body: jwks };
        const client = known(world, id);
        const claims = { iss: id, sub: id, aud: world.base };
        const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const { code } = await client.authorize(world.person());
        const now = Math.floor(Date.now() / 1000);
        const wrong = {
            'no assertion': {},
            'another key': { client_assertion: assertion(stranger.privateKey, claims) },
            'another audience': { client_assertion: assertion(pair.privateKey, { ...claims, aud: 'https://other.example' }) },
            'another subject': { client_assertion: assertion(pair.privateKey, { ...claims, sub: 'https://other.example/c' }) },
            expired: { client_assertion: assertion(pair.privateKey, { ...claims, exp: now - 400 }) },
            'too long a life': { client_assertion: assertion(pair.privateKey, { ...claims, exp: now + 86400 }) },
            'no jti': { client_assertion: assertion(pair.privateKey, { ...claims, jti: undefined }) },
            'alg none': { client_assertion: `${b64({ alg: 'none' })}.${b64({ ...claims, exp: now + 60, jti: 'x' })}.` },
        };
        for (const [name, changes] of Object.entries(wrong)) {
            const response = await client.redeem(code, { client_assertion_type: changes.client_assertion && ASSERTION, ...changes });
            assert.equal(response.status, 401, `${name}: ${response.text}`);
            assert.equal(response.json().error, 'invalid_client', name);
        }
        const good = assertion(pair.privateKey, claims);
        const response = await client.redeem(code, { client_assertion_type: ASSERTION, client_assertion: good });
        assert.equal(response.status, 200, response.text);
        const again = await client.refresh(response.json().refresh_token, { client_assertion_type: ASSERTION, client_assertion: good });
        assert.equal(again.status, 401, 'the same assertion twice');
        const next = assertion(pair.privateKey, { ...claims, aud: `${world.base}/token`, iat: undefined });
        assert.equal((await client.refresh(response.json().refresh_token, { client_assertion_type: ASSERTION, client_assertion: next })).status, 200);
        // nor twice at the same moment, whichever processes are asked
        const signer = known(world, 'signer');
        const proof = () => ({ client_assertion_type: ASSERTION, client_assertion: assertion(pair.privateKey, { iss: 'signer', sub: 'signer', aud: world.base }) });
        let { refresh_token: token } = (await tokens(world, signer, proof())).json();
        for (let round = 0; round < 6; round++) {
            const one = proof();
            const answers = await Promise.all(Array.from({ length: 12 }, () => signer.refresh(token, one)));
            const taken = answers.filter((answer) => answer.status === 200);
            assert.equal(taken.length, 1, `round ${round}`);
            for (const answer of answers) if (answer !== taken[0]) assert.equal(answer.json().error, 'invalid_client', `round ${round}`);
            token = taken[0].json().refresh_token;
        }
    });

    await it('a configured client\'s keys may be where it says (jwks_uri), with a body that is no key set refused', async () => {
        const client = known(world, 'remote-signer');
        const claims = { iss: 'remote-signer', sub: 'remote-signer', aud: world.base };
        const { code } = await client.authorize(world.person());
        const redeem = () => client.redeem(code, { client_assertion_type: ASSERTION, client_assertion: assertion(pair.privateKey, claims) });
        assert.equal((await redeem()).json().error, 'invalid_client', '404 at its jwks_uri');
        host.answers['/signer-jwks'] = { body: jwks };
        const response = await redeem();
        assert.equal(response.status, 200, response.text);
        // another client's, since what answered 200 is kept for a while
        const id = host.publish('/odd.json', { token_endpoint_auth_method: 'private_key_jwt', jwks_uri: `${host.url}/odd-jwks` });
        host.answers['/odd-jwks'] = { body: { keys: 'none' } };
        const odd = known(world, id);
        const { code: another } = await odd.authorize(world.person());
        const refused = await odd.redeem(another, { client_assertion_type: ASSERTION, client_assertion: assertion(pair.privateKey, { iss: id, sub: id, aud: world.base }) });
        assert.equal(refused.json().error, 'invalid_client', refused.text);
    });

    await it('a reviewed copy serves without the network (field lesson 16)', async () => {
        const response = await tokens(world, known(world, 'https://pinned.example/client'));
        assert.equal(response.status, 200, response.text);
    });

    await it('a host that is down is an outage, not an unknown client: the client keeps what it has', async () => {
        const id = `https://localhost:1/client.json`;
        const response = await known(world, id).redeem('x');
        assert.equal(response.status, 503, response.text);
        assert.equal(response.json().error, 'temporarily_unavailable');
    });

    await host.close();
});

suite('client ID metadata documents of strangers', {
    backend: false,
    before: async (world) => { host = await startHost(world); },
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer https://gateway.example
MCPResource https://gateway.example/mcp
MCPOAuth On
MCPOAuthClientMetadataCAFile ${host.cert}
${providerSection(world)}`,
}, async (it, world) => {
    await it('never lead to an address that is not public (AS-25, T7)', async () => {
        host.publish('/client.json');
        for (const name of ['localhost', '127.0.0.1', '127.1', '2130706433', '0x7f000001', '[::1]', '[::ffff:127.0.0.1]',
            '[64:ff9b::7f00:1]', '0.0.0.0']) {
            const id = `https://${name}:${host.port}/client.json`;
            const url = new URL(`${world.base}/authorize`);
            url.search = new URLSearchParams({ response_type: 'code', client_id: id, redirect_uri: 'http://127.0.0.1/callback',
                code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' });
            const response = await request(url.href);
            assert.ok([400, 503].includes(response.status), `${name}: ${response.status}`);
            assert.match(response.headers['content-type'], /text\/html/);
        }
        assert.deepEqual(host.asked, [], 'the host heard nothing');
    });
    await host.close();
});

let proxy;

suite('client ID metadata documents by an egress proxy, from listed hosts', {
    backend: false,
    before: async (world) => {
        host = await startHost(world);
        proxy = await startProxy(host.port);
        await world.httpd.file('conf/pinned.json', JSON.stringify({ client_id: 'https://pinned.example/client', client_name: 'Pinned', redirect_uris: ['http://127.0.0.1/callback'] }));
    },
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer https://gateway.example
MCPResource https://gateway.example/mcp
MCPOAuth On
MCPOAuthClientMetadataProxy ${proxy.url}
MCPOAuthClientMetadataHosts App.Example *.trusted.example
MCPOAuthClientMetadataFile https://pinned.example/client ${world.httpd.root}/conf/pinned.json
MCPOAuthClientMetadataCAFile ${host.cert}
${providerSection(world)}`,
}, async (it, world) => {
    const open = (id) => request(known(world, id, { resource: 'https://gateway.example/mcp' }).authorizeUrl());
    const document = (id) => {
        host.answers[new URL(id).pathname] = { body: { client_id: id, client_name: 'Documented', redirect_uris: ['http://127.0.0.1/callback'] } };
        return id;
    };

    await it('the proxy is told the name, the host is asked for it by TLS, and its certificate is checked (AS-25, field lesson 16)', async () => {
        const response = await open(document('https://app.example/one'));
        assert.equal(response.status, 200, response.text);
        assert.match(response.text, /described by <strong[^>]*><bdi>app\.example<\/bdi>/);
        assert.deepEqual(proxy.asked, ['app.example:443']);
        assert.deepEqual(host.names, ['app.example'], 'SNI');
        assert.equal((await open(document('https://a.trusted.example/two'))).status, 200);
        // a name that the wildcard of the list covers, and that of the certificate does not
        assert.equal((await open(document('https://a.b.trusted.example/three'))).status, 400);
        assert.deepEqual(host.asked, ['/one', '/two']);
    });

    await it('a host that is not listed is not asked, at a dot only (AS-27, T39)', async () => {
        const before = proxy.asked.length;
        for (const name of ['evil.example', 'nottrusted.example', 'trusted.example', 'app.example.evil.example', 'xapp.example', 'a.trusted.example.']) {
            const response = await open(document(`https://${name}/four`));
            assert.equal(response.status, 400, name);
            assert.match(response.headers['content-type'], /text\/html/);
        }
        assert.equal(proxy.asked.length, before);
    });

    await it('a reviewed copy needs no listed host', async () => {
        assert.match((await open('https://pinned.example/client')).text, /Pinned/);
    });

    await proxy.close();
    await it('a proxy that is gone is an outage', async () => {
        world.httpd.announce('MCP0201');
        const response = await open('https://app.example/five');
        assert.equal(response.status, 503);
        assert.match(response.text, /cannot be looked up/);
        assert.match(world.httpd.log(), /app\.example\/five: .*MCPOAuthClientMetadata Off/, 'the log says what may help for good');
    });
    await host.close();
});

const limited = (forwarded) => (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/mcp
MCPOAuth On
MCPOAuthLimit register 2/3600s
MCPOAuthLimit authorize 2/3600s
MCPOAuthLimit token 2/3600s
MCPOAuthLimitShared 160.79.104.0/21 2001:db8:aaaa::/48
${forwarded ? 'RemoteIPHeader X-Forwarded-For\nRemoteIPInternalProxy 127.0.0.1' : ''}
${providerSection(world)}`;

suite('limits by address', { backend: false, provider: false, httpd: { modules: ['remoteip'] }, site: limited(false) }, async (it, world) => {
    /** Statuses of `n` registrations from an address, each at an application of its own unless `one`. */
    let count = 0;
    const statuses = async (from, n, one) => {
        const all = [];
        for (let i = 0; i < n; i++) {
            const response = await request(`${world.base}/register`, {
                json: { redirect_uris: [one ?? `https://app${count++}.example/cb`] },
                headers: typeof from === 'string' ? { 'X-Forwarded-For': from } : from,
            });
            all.push(response.status);
            if (response.status === 429) assert.ok(Number(response.headers['retry-after']) >= 1);
        }
        return all;
    };
    const passed = async (...args) => (await statuses(...args)).filter((status) => status === 201).length;

    await it('what a client says of its address counts for nothing (T31)', async () => {
        let all = 0;
        for (let i = 0; i < 24; i++) all += await passed({ 'X-Forwarded-For': `198.51.100.${i}`, 'X-Real-IP': `198.51.100.${i}`, 'Forwarded': `for=198.51.100.${i}`, 'Client-IP': `198.51.100.${i}` }, 1);
        assert.equal(all, 20, 'ten times the rate, from one address');
    });

    await world.httpd.configure(limited(true)(world));
    await world.httpd.graceful();

    await it('behind a proxy that mod_remoteip trusts its word counts, and nothing before it (T31)', async () => {
        assert.equal(await passed('198.51.100.1', 22), 20);
        assert.equal(await passed('198.51.100.2', 1), 1, 'another address is not concerned');
        let all = 0;
        for (let i = 0; i < 24; i++) all += await passed(`203.0.113.${i}, 198.51.100.3`, 1);
        assert.equal(all, 20, 'only the last one is from the proxy');
    });

    await it('an IPv6 address counts as its /64, a v4-mapped one as what it is (T31)', async () => {
        let all = 0;
        for (let i = 0; i < 24; i++) all += await passed(`2001:db8:1:2:${i}:${i}::1`, 1);
        assert.equal(all, 20);
        assert.equal(await passed('2001:db8:1:3::1', 1), 1, 'the next /64');
        assert.equal(await passed('::ffff:198.51.100.1', 1), 0, 'used up as 198.51.100.1');
    });

    await it('a person beyond the limit of an application gets a page with 429 and Retry-After, and no redirect', async () => {
        const from = { 'X-Forwarded-For': '198.51.100.77' };
        const registered = await request(`${world.base}/register`, { json: { redirect_uris: ['https://app.example/cb'] }, headers: from });
        const client = known(world, registered.json().client_id, { redirectUri: 'https://app.example/cb', resource: undefined });
        const open = (headers = from) => request(client.authorizeUrl(), { headers });
        assert.deepEqual([(await open()).status, (await open()).status], [200, 200]);
        const last = await open();
        assert.equal(last.status, 429);
        assert.ok(Number(last.headers['retry-after']) >= 1);
        assert.match(last.headers['content-type'], /text\/html/);
        assert.equal(last.headers.location, undefined);
        assert.equal((await open({ 'X-Forwarded-For': '198.51.100.78' })).status, 200, 'another person');
    });

    await it('the pages\' forms, what comes back from a provider, and /revoke count by address, too: one request that was good once is not the start of endless ones (T31)', async () => {
        const post = (path, body = {}) => (headers) => request(world.base + path, { method: 'POST', body, headers });
        const ways = [post('/consent'), post('/signin'), post('/signout'), post('/connections'), post('/revoke', { token: 'x', client_id: 'x' }),
            (headers) => request(`${world.base}/oauth-callback?state=x&code=y`, { headers })];
        for (const [i, send] of ways.entries()) {
            const all = [];
            for (let k = 0; k < 21; k++) all.push(await send({ 'X-Forwarded-For': `198.51.100.${90 + i}` }));
            assert.deepEqual(all.map(({ status }) => status === 429), [...Array(20).fill(false), true], String(send));
            assert.ok(Number(all[20].headers['retry-after']) >= 1);
        }
    });

    await it('MCPOAuthLimitShared: behind a shared address each application is counted by itself alone (field lesson 22)', async () => {
        for (const address of ['160.79.104.10', '160.79.111.255', '2001:db8:aaaa:1::1']) {
            assert.equal(await passed(address, 24), 24, address);
            assert.deepEqual(await statuses(address, 3, 'https://one.example/cb'), [201, 201, 429], address);
        }
        assert.equal(await passed('160.79.112.1', 22), 20, 'the next address is not of the range');
    });
});

suite('a blocked client', { backend: false }, async (it, world) => {
    await it('MCPOAuthBlockClient: neither signs in nor refreshes, and is told as an unknown one; others go on', async () => {
        const [bad, good] = [0, 1].map(() => new OAuthClient(world, { resource: `${world.base}/echo` }));
        const [tokens, others] = [await bad.signIn(), await good.signIn()];
        const key = createHash('sha256').update(bad.clientId).digest().subarray(0, 16).toString('base64url');
        assert.match(world.httpd.log(), new RegExp(`registered client=${key} `), 'the log names it so');
        await world.httpd.configure(world.httpd.site.replace('MCPOAuth On', `MCPOAuth On\nMCPOAuthBlockClient ${key}`));
        await world.httpd.graceful();
        const page = await request(bad.authorizeUrl());
        assert.equal(page.status, 400);
        assert.match(page.headers['content-type'], /text\/html/);
        const refused = await bad.refresh(tokens.refresh_token);
        assert.equal(refused.status, 401);
        assert.equal(refused.json().error, 'invalid_client');
        assert.equal((await request(good.authorizeUrl())).status, 200);
        assert.equal((await good.refresh(others.refresh_token)).status, 200);
    });
});

const SECRET = 'correct horse battery staple';

suite('configured clients, and who may register', {
    backend: false,
    before: async (world) => {
        await world.httpd.file('conf/client-jwks.json', JSON.stringify(jwks));
        await world.httpd.file('conf/registration-token', 'letmein-1234567890\n');
        world.options.directives = `
<MCPOAuthClient desktop>
    MCPOAuthClientName "Desktop"
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
</MCPOAuthClient>
<MCPOAuthClient server>
    MCPOAuthClientRedirectURI https://app.example/cb http://127.0.0.1/callback
    MCPOAuthClientSecretHash ${createHash('sha256').update(SECRET).digest('hex')}
</MCPOAuthClient>
<MCPOAuthClient signer>
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
    MCPOAuthClientJWKS ${world.httpd.root}/conf/client-jwks.json
</MCPOAuthClient>
MCPOAuthClientMetadata Off
MCPOAuthRegistration token file:${world.httpd.root}/conf/registration-token
MCPOAuthRedirectHosts app.example *.trusted.example
MCPOAuthLimit token 20/min`;
    },
}, async (it, world) => {
    await it('only what works is advertised', async () => {
        const metadata = (await request(`${world.base}/.well-known/oauth-authorization-server`)).json();
        assert.equal(metadata.client_id_metadata_document_supported, undefined);
        assert.deepEqual(metadata.token_endpoint_auth_methods_supported, ['none', 'client_secret_basic', 'client_secret_post', 'private_key_jwt']);
        assert.equal((await request(known(world, 'https://pinned.example/client').authorizeUrl())).status, 400);
    });

    await it('a public client needs no registration', async () => {
        const client = known(world, 'desktop');
        assert.match((await request(client.authorizeUrl())).text, /Desktop asks/);
        assert.equal((await tokens(world, client)).status, 200);
    });

    await it('a confidential one its secret, by client_secret_basic or client_secret_post', async () => {
        const client = known(world, 'server');
        const { code } = await client.authorize(world.person());
        for (const changes of [{}, { client_secret: 'wrong' }, { client_secret: '' }]) {
            const response = await client.redeem(code, changes);
            assert.equal(response.status, 401);
            assert.equal(response.json().error, 'invalid_client');
        }
        const basic = (secret) => request(`${world.base}/token`, {
            body: { grant_type: 'authorization_code', code, redirect_uri: client.redirectUri, code_verifier: client.pkce.verifier },
            headers: { Authorization: `Basic ${Buffer.from(`server:${encodeURIComponent(secret)}`).toString('base64')}` },
        });
        const refused = await basic('wrong');
        assert.equal(refused.status, 401);
        assert.match(refused.headers['www-authenticate'], /^Basic/);
        const response = await basic(SECRET);
        assert.equal(response.status, 200, response.text);
        assert.equal((await client.refresh(response.json().refresh_token, { client_secret: SECRET })).status, 200);
    });

    await it('one with keys its assertion', async () => {
        const client = known(world, 'signer');
        const { code } = await client.authorize(world.person());
        const claims = { iss: 'signer', sub: 'signer', aud: world.base };
        assert.equal((await client.redeem(code)).status, 401);
        const response = await client.redeem(code, { client_id: undefined, client_assertion_type: ASSERTION, client_assertion: assertion(pair.privateKey, claims) });
        assert.equal(response.status, 200, response.text);
    });

    await it('registration needs the initial access token, and redirect hosts that are listed (AS-8, T39)', async () => {
        const register = (uris, token) => request(`${world.base}/register`, {
            json: { redirect_uris: uris }, headers: token ? { Authorization: `Bearer ${token}` } : {},
        });
        const none = await register(['https://app.example/cb']);
        assert.equal(none.status, 401);
        assert.equal(none.headers['www-authenticate'], 'Bearer');
        assert.equal((await register(['https://app.example/cb'], 'wrong')).status, 401);
        assert.equal((await register(['https://app.example/cb'], 'letmein-1234567890')).status, 201);
        assert.equal((await register(['https://a.trusted.example/cb', 'http://127.0.0.1/x'], 'letmein-1234567890')).status, 201);
        for (const uri of ['https://evil.example/cb', 'https://nottrusted.example/cb', 'https://app.example.evil/cb', 'https://xapp.example/cb']) {
            const response = await register([uri], 'letmein-1234567890');
            assert.equal(response.status, 400, uri);
            assert.equal(response.json().error, 'invalid_redirect_uri');
        }
    });

    await it('a client beyond its limit is told when to come again; another one is not concerned (field lesson 22, T31)', async () => {
        const client = known(world, 'desktop');
        let last;
        for (let i = 0; i < 25; i++) last = await client.redeem('x');
        assert.equal(last.status, 429);
        assert.ok(Number(last.headers['retry-after']) >= 1 && Number(last.headers['retry-after']) <= 60);
        assert.equal(last.json().error, 'temporarily_unavailable');
        assert.match(last.headers['cache-control'], /no-store/);
        assert.equal(last.headers['access-control-allow-origin'], '*');
        assert.equal((await known(world, 'server').redeem('x')).status, 401);
    });
});
