// SPDX-License-Identifier: Apache-2.0
// The authorization server, endpoint by endpoint, as clients and attackers use it.

import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { connect } from 'node:net';
import { ASSERTION, assertion, known, startHost } from './lib/client-host.mjs';
import { altered, challenge, request, headerLines, volley } from './lib/http.mjs';
import { OAuthClient, pkce } from './lib/oauth.mjs';
import { forms, unescapeHtml } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

/** Is this token honoured at the resource? The status of a call. */
const call = async (world, token, path = '/echo') =>
    (await request(`${world.base}${path}`, { json: {}, headers: { Authorization: `Bearer ${token}` } })).status;

const error = (response) => response.json().error;
const challengeUrl = (response) => challenge(response).resource_metadata;

/** How many records a redis store holds. */
function redisKeys(port) {
    return new Promise((resolve, reject) => {
        const socket = connect(port, '127.0.0.1', () => socket.write('DBSIZE\r\n'));
        socket.once('data', (data) => { socket.destroy(); resolve(Number(String(data).match(/^:(\d+)/)[1])); });
        socket.once('error', reject);
    });
}

suite('metadata', { backend: false }, async (it, world) => {
    const { base } = world;

    await it('is found in every place, with the issuer byte for byte (AS-2, AS-3, AS-4, AS-10, T18, AS-16)', async () => {
        const places = ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration',
            '/.well-known/oauth-authorization-server/mcp', '/mcp/.well-known/openid-configuration'];
        for (const place of places) {
            const response = await request(base + place, { headers: { Host: 'evil.example' } });
            assert.equal(response.status, 200, place);
            assert.match(response.headers['content-type'], /^application\/json/);
            assert.equal(response.headers['access-control-allow-origin'], '*');
            assert.doesNotMatch(response.text, /evil\.example/);
            const metadata = response.json();
            assert.equal(metadata.issuer, base);
            assert.equal(metadata.authorization_endpoint, `${base}/authorize`);
            assert.equal(metadata.token_endpoint, `${base}/token`);
            assert.equal(metadata.registration_endpoint, `${base}/register`);
            assert.equal(metadata.revocation_endpoint, `${base}/revoke`);
            assert.deepEqual(metadata.response_types_supported, ['code']);
            assert.deepEqual(metadata.code_challenge_methods_supported, ['S256']);
            assert.deepEqual(metadata.token_endpoint_auth_methods_supported, ['none', 'private_key_jwt']);
            assert.deepEqual(metadata.grant_types_supported, ['authorization_code', 'refresh_token']);
            assert.equal(metadata.authorization_response_iss_parameter_supported, true);
            assert.ok(!metadata.scopes_supported.includes('offline_access'), 'AS-16');
        }
    });

    await it('a form that names nothing of ours is a 4xx in JSON or not ours at all, never a 5xx (AS-5)', async () => {
        for (const place of ['/.well-known/oauth-authorization-server/other', '/x/.well-known/openid-configuration',
            '/.well-known/oauth-protected-resource/other', '/.well-known/oauth-authorization-serverx']) {
            const response = await request(base + place);
            assert.equal(response.status, 404, place);
        }
    });

    await it('of the protected resource is found in every place (RS-1, RS-2, RS-3, RS-5)', async () => {
        for (const [place, resource] of [['/.well-known/oauth-protected-resource', '/mcp'],
            ['/.well-known/oauth-protected-resource/mcp', '/mcp'], ['/.well-known/oauth-protected-resource/echo', '/echo'],
            ['/.well-known/oauth-protected-resource/mcp/sse', '/mcp']]) {
            const response = await request(base + place, { headers: { Host: 'evil.example' } });
            assert.equal(response.status, 200, place);
            assert.equal(response.headers['access-control-allow-origin'], '*');
            const metadata = response.json();
            assert.equal(metadata.resource, base + resource);
            assert.deepEqual(metadata.authorization_servers, [base]);
            assert.deepEqual(metadata.scopes_supported, ['snippets']);
            assert.deepEqual(metadata.bearer_methods_supported, ['header']);
        }
    });

    await it('a client of 2025-03-26 that reads no metadata signs in by the default endpoints at the origin (AS-19)', async () => {
        const post = (path, body) => request(base + path, body);
        const registered = await post('/register', { json: { redirect_uris: ['http://127.0.0.1:4711/cb'], client_name: 'old' } });
        assert.equal(registered.status, 201, registered.text);
        const { client_id: id } = registered.json();
        const { verifier, challenge: code_challenge } = pkce();
        const url = new URL('/authorize', base);
        url.search = new URLSearchParams({ response_type: 'code', client_id: id, redirect_uri: 'http://127.0.0.1:4711/cb', code_challenge, code_challenge_method: 'S256', state: 's' });
        const answer = new URL(await world.person().visit(url.href)).searchParams;
        assert.equal(answer.get('state'), 's');
        const response = await post('/token', { body: { grant_type: 'authorization_code', code: answer.get('code'), client_id: id, redirect_uri: 'http://127.0.0.1:4711/cb', code_verifier: verifier } });
        assert.equal(response.status, 200, response.text);
        // it named no resource: what it got is for the first one, and for that only
        assert.equal(await call(world, response.json().access_token, '/mcp'), 200);
        assert.equal(await call(world, response.json().access_token, '/echo'), 401);
    });

    await it('errors are JSON that web pages may read, on every endpoint for machines (field lesson 18)', async () => {
        for (const [path, options, status] of [
            ['/register', { json: {} }, 400], ['/register', {}, 405], ['/token', { body: {} }, 400], ['/token', {}, 405],
            ['/token', { body: { grant_type: 'refresh_token', refresh_token: 'x', client_id: 'x' } }, 401],
            ['/revoke', { body: { token: 'x' } }, 401], ['/revoke', {}, 405], ['/jwks', { body: {} }, 405],
            ['/.well-known/openid-configuration/x', {}, 404], ['/.well-known/oauth-protected-resource/x', {}, 404],
        ]) {
            const response = await request(base + path, { ...options, headers: { Origin: 'https://inspector.example' } });
            assert.equal(response.status, status, `${path}: ${response.text}`);
            assert.match(response.headers['content-type'], /^application\/json/, path);
            assert.equal(response.headers['access-control-allow-origin'], '*', path);
            assert.equal(response.headers['access-control-allow-credentials'], undefined, path);
            assert.match(response.headers['access-control-expose-headers'], /WWW-Authenticate/i, path);
            assert.ok(error(response), path);
        }
    });

    await it('pages are no place for scripts of other origins: no CORS at /authorize and /consent', async () => {
        for (const path of ['/authorize', '/consent']) {
            const response = await request(base + path, { method: 'OPTIONS', headers: { Origin: 'https://inspector.example', 'Access-Control-Request-Method': 'POST' } });
            assert.equal(response.status, 405, path);
            assert.equal(response.headers['access-control-allow-origin'], undefined, path);
        }
    });

    await it('schemes of known applications are admitted unless the administrator says otherwise (field lesson 2)', async () => {
        const uris = ['cursor', 'vscode', 'vscode-insiders', 'windsurf', 'claude'].map((scheme) => `${scheme}://some.app/callback`);
        const response = await request(`${base}/register`, { json: { redirect_uris: uris } });
        assert.equal(response.status, 201, response.text);
        assert.deepEqual(response.json().redirect_uris, uris);
        assert.equal((await request(`${base}/register`, { json: { redirect_uris: ['other://some.app/callback'] } })).status, 400);
    });

    await it('answers preflights with what browser clients send (W19, TR-20), HEAD, and refuses other methods', async () => {
        for (const place of ['/.well-known/oauth-authorization-server', '/.well-known/openid-configuration', '/mcp/.well-known/openid-configuration',
            '/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp', '/jwks', '/register', '/token', '/revoke']) {
            const preflight = await request(base + place, {
                method: 'OPTIONS',
                headers: { Origin: 'https://inspector.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'mcp-protocol-version' },
            });
            assert.equal(preflight.status, 204, place);
            assert.equal(preflight.headers['access-control-allow-origin'], '*');
            assert.match(preflight.headers['access-control-allow-headers'], /MCP-Protocol-Version/i);
            assert.match(preflight.headers['access-control-allow-methods'], /register|token|revoke/.test(place) ? /POST/ : /GET/);
        }
        assert.equal((await request(`${base}/.well-known/oauth-authorization-server`, { method: 'HEAD' })).status, 200);
        for (const place of ['/.well-known/oauth-authorization-server', '/.well-known/oauth-protected-resource']) {
            assert.equal((await request(base + place, { body: {} })).status, 405, place);
        }
        assert.equal((await request(`${base}/register`)).status, 405);
        assert.equal((await request(`${base}/token`)).status, 405);
    });
});

suite('metadata of an issuer with a path', {
    backend: false,
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}/tenant
MCPResource ${world.base}/tenant/mcp
MCPOAuth On
<MCPProvider demo>
    MCPProviderIssuer ${world.provider.issuer}
    MCPProviderClientID gateway
    MCPProviderClientSecret file:${world.secretFile}
</MCPProvider>`,
}, async (it, world) => {
    await it('is found at the inserted and the appended forms (AS-5)', async () => {
        for (const place of ['/.well-known/oauth-authorization-server/tenant', '/.well-known/openid-configuration/tenant',
            '/tenant/.well-known/openid-configuration', '/tenant/.well-known/oauth-authorization-server']) {
            const response = await request(world.base + place);
            assert.equal(response.status, 200, place);
            assert.equal(response.json().issuer, `${world.base}/tenant`);
            assert.equal(response.json().token_endpoint, `${world.base}/tenant/token`);
        }
        const prm = await request(`${world.base}/.well-known/oauth-protected-resource/tenant/mcp`);
        assert.equal(prm.json().resource, `${world.base}/tenant/mcp`);
        assert.deepEqual(prm.json().authorization_servers, [`${world.base}/tenant`]);
    });

    await it('and its endpoints are below that path only; who drops the path finds them by the metadata at the root (AS-19)', async () => {
        const json = { redirect_uris: ['http://127.0.0.1/cb'] };
        assert.equal((await request(`${world.base}/tenant/register`, { json })).status, 201);
        for (const path of ['/register', '/token', '/authorize']) {
            assert.equal((await request(world.base + path, { method: path === '/authorize' ? 'GET' : 'POST' })).status, 404, path);
        }
        const root = (await request(`${world.base}/.well-known/oauth-authorization-server`)).json();
        assert.equal(root.issuer, `${world.base}/tenant`);
        assert.equal(root.registration_endpoint, `${world.base}/tenant/register`);
    });
});

suite('registration', { backend: false, directives: 'MCPOAuthRedirectSchemes cursor vscode' }, async (it, world) => {
    const register = (json) => request(`${world.base}/register`, { json });

    await it('gives a client_id and no secret (W28, AS-12)', async () => {
        const response = await register({
            client_name: 'Näme', redirect_uris: ['http://127.0.0.1:7777/cb', 'https://client.example/cb'],
            token_endpoint_auth_method: 'client_secret_post', application_type: 'native', scope: 'snippets made-up',
            software_id: 'x', unknown: { a: 1 },
        });
        assert.equal(response.status, 201);
        assert.match(response.headers['cache-control'], /no-store/);
        assert.equal(response.headers['access-control-allow-origin'], '*');
        const client = response.json();
        assert.equal(client.token_endpoint_auth_method, 'none');
        assert.equal(client.client_secret, undefined);
        assert.equal(client.client_secret_expires_at ?? 0, 0);
        assert.equal(client.client_name, 'Näme');
        assert.deepEqual(client.redirect_uris, ['http://127.0.0.1:7777/cb', 'https://client.example/cb']);
        assert.deepEqual(client.grant_types, ['authorization_code', 'refresh_token']);
        assert.ok(client.client_id_issued_at > 1.7e9);
        assert.doesNotMatch(client.client_id, /^https?:/, 'AS-26');
        assert.ok(client.client_id.length < 2000);
    });

    await it('application_type is given back and refuses nothing: each redirect URI is judged by itself (AS-13)', async () => {
        const registered = async (type, uri) => (await register({ redirect_uris: [uri], application_type: type })).json();
        for (const type of ['native', 'web']) {
            for (const uri of ['http://127.0.0.1:7777/cb', 'https://client.example/cb', 'cursor://x/cb']) {
                const client = await registered(type, uri);
                assert.equal(client.application_type, type);
                assert.deepEqual(client.redirect_uris, [uri]);
            }
        }
        for (const type of ['desktop', '', null, 7, { a: 1 }]) assert.equal((await registered(type, 'http://127.0.0.1/cb')).application_type, undefined);
    });

    await it('a name in some language is better than none (RFC 7591 section 2.2, AS-12)', async () => {
        const named = async (names) => (await register({ redirect_uris: ['http://127.0.0.1/cb'], ...names })).json().client_name;
        assert.equal(await named({ 'client_name#ja': '名前', client_name: 'Plain' }), 'Plain');
        assert.equal(await named({ 'client_name#ja': '名前', 'client_name#en-GB': 'English' }), 'English');
        assert.equal(await named({ 'client_name#ja': '名前', 'client_name#fr': 'Nom' }), '名前');
        const bad = await register({ redirect_uris: ['http://127.0.0.1/cb'], 'client_name#ja': 7 });
        assert.equal(bad.status, 400);
        assert.equal(bad.json().error, 'invalid_client_metadata');
    });

    for (const uri of [
        'javascript:alert(1)', 'JaVaScRiPt:alert(1)', ' javascript:alert(1)', 'java\tscript:alert(1)', 'data:text/html,x',
        'vbscript:x', 'file:///etc/passwd', 'about:blank', 'blob:https://a/b', // T8
        'http://client.example/cb', 'http://localhost.evil.example/cb', 'http://127.0.0.1.evil.example/cb', // AS-6
        'http://127.0.0.1@evil.example/cb', 'https://user:pass@client.example/cb', 'https://client.example/cb#frag',
        'https://client.example/../evil', 'https://client.example/a/%2e%2e/b', 'https://client.example//evil', // T6
        'https://client.example/a\\..\\b', 'https:\\\\evil.example/', 'https:///evil.example', '//evil.example/cb', // T34
        '/cb', 'cb', '', 'https://', 'https://client.example/\r\nSet-Cookie: a=b', 'https://client.example/a b',
        'https://cli\u0000ent.example/', 'https://клиент.example/cb', 'https://*.example/cb\u007f', 'ftp://client.example/cb',
        `https://client.example/${'a'.repeat(3000)}`, 'https://client.example:99999/cb', 'https://[::1/cb', 42, null, ['https://a/b'], {},
    ]) {
        await it(`refuses the redirect URI ${JSON.stringify(uri).slice(0, 70)} (AS-6, AS-8, T6, T8, T34, W8)`, async () => {
            for (const uris of [[uri], ['https://good.example/cb', uri]]) {
                const response = await register({ redirect_uris: uris });
                assert.equal(response.status, 400, response.text);
                // a NUL makes the whole body invalid JSON to us
                assert.match(error(response), String(uri).includes('\0') ? /^invalid_client_metadata$/ : /^invalid_redirect_uri$/);
            }
        });
    }

    for (const uri of ['https://claude.ai/api/mcp/auth_callback', 'http://localhost/cb', 'http://localhost:3118/callback?x=1',
        'http://127.0.0.1:6274/oauth/callback', 'http://[::1]:8080/cb', 'cursor://anysphere.cursor-mcp/oauth/callback',
        'vscode://ms/callback', 'https://client.example']) {
        await it(`takes the redirect URI ${uri}`, async () => {
            const response = await register({ redirect_uris: [uri] });
            assert.equal(response.status, 201, response.text);
            assert.deepEqual(response.json().redirect_uris, [uri]);
        });
    }

    await it('leaves a private scheme out that is not listed, when others remain (field lesson 2)', async () => {
        const response = await register({ redirect_uris: ['https://good.example/cb', 'windsurf://x/cb'] });
        assert.equal(response.status, 201);
        assert.deepEqual(response.json().redirect_uris, ['https://good.example/cb']);
        assert.equal((await register({ redirect_uris: ['windsurf://x/cb'] })).status, 400);
    });

    for (const [what, options] of Object.entries({
        'no body': { method: 'POST' }, 'no JSON': { body: 'redirect_uris=x', headers: { 'Content-Type': 'application/json' } },
        'a list': { json: [] }, 'a number': { json: 1 }, null: { json: null }, 'an empty object': { json: {} },
        'redirect_uris as text': { json: { redirect_uris: 'https://a.example/' } }, 'no redirect URI': { json: { redirect_uris: [] } },
        'a member twice': { body: '{"redirect_uris":["https://a.example/"],"redirect_uris":["https://b.example/"]}', headers: { 'Content-Type': 'application/json' } },
        'deep nesting': { body: '['.repeat(5000), headers: { 'Content-Type': 'application/json' } },
        'a name that is no text': { json: { redirect_uris: ['https://a.example/'], client_name: { a: 1 } } },
        'a control character in the name': { json: { redirect_uris: ['https://a.example/'], client_name: 'a\u0007b' } },
        'a data: logo (T17)': { json: { redirect_uris: ['https://a.example/'], logo_uri: 'data:image/png;base64,AAAA' } },
        'a javascript: home page': { json: { redirect_uris: ['https://a.example/'], client_uri: 'javascript:alert(1)' } },
        'a form': { body: { redirect_uris: 'https://a.example/' } },
        'invalid UTF-8': { body: Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]), headers: { 'Content-Type': 'application/json' } },
        'a hundred redirect URIs': { json: { redirect_uris: Array.from({ length: 100 }, (_, i) => `https://a.example/${i}`) } },
    })) {
        await it(`refuses ${what} in RFC 7591's shape (W16, T17)`, async () => {
            const response = await request(`${world.base}/register`, options);
            assert.equal(response.status, 400, response.text);
            assert.match(error(response), /^invalid_(client_metadata|redirect_uri)$/);
        });
    }

    await it('refuses a large body with 413 (W18)', async () => {
        const response = await register({ redirect_uris: ['https://a.example/'], client_name: 'x'.repeat(200_000) });
        assert.equal(response.status, 413);
    });
});

let host;

suite('nothing before sign-in writes to the store', {
    backend: false, store: 'redis',
    before: async (world) => {
        host = await startHost(world);
        world.options.directives = `MCPOAuthClientMetadataCAFile ${host.cert}`;
    },
}, async (it, world) => {
    await it('registrations, consent pages and refused answers leave no record', async () => {
        const before = await redisKeys(world.store.port);
        for (let i = 0; i < 20; i++) {
            const client = new OAuthClient(world);
            await client.register();
            const person = world.person();
            const page = await person.visit(client.authorizeUrl(), { pause: 'consent' });
            await person.submit(page, page.form, {}, page.form.buttons.find((b) => /deny/i.test(b.text)));
            await client.token({ grant_type: 'authorization_code', client_id: client.clientId, code: 'x', code_verifier: 'x'.repeat(43) });
            await client.refresh('mcprt.k1.AAAA');
            await client.revoke('mcprt.k1.AAAA');
        }
        // approved, but the provider's form not filled in
        const client = new OAuthClient(world);
        await client.register();
        await world.person().visit(client.authorizeUrl(), { pause: 'sign-in' });
        assert.equal(await redisKeys(world.store.port), before);
    });

    await it('nor does a client that proves itself by a key which it made, and has nothing that a person gave', async () => {
        const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' });
        const jwks = { keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'c1', alg: 'ES256', use: 'sig' }] };
        const before = await redisKeys(world.store.port);
        for (const path of ['/one.json', '/two.json']) {
            const id = host.publish(path, { token_endpoint_auth_method: 'private_key_jwt', jwks });
            const client = known(world, id);
            const proof = () => ({ client_assertion_type: ASSERTION, client_assertion: assertion(pair.privateKey, { iss: id, sub: id, aud: world.base }) });
            for (const answer of [await client.refresh('mcprt.k1.AAAA', proof()), await client.redeem('mcpac.k1.AAAA', proof())]) {
                assert.equal(answer.json().error, 'invalid_grant', answer.text); // it was proved
            }
            assert.equal((await client.revoke('mcpat.k1.AAAA', proof())).status, 200);
        }
        assert.equal(await redisKeys(world.store.port), before);
        await host.close();
    });
});

/** All keys and values of a redis store, as one text. */
function redisDump(port) {
    return new Promise((resolve, reject) => {
        let text = '';
        const ask = `local out = '' for _, k in ipairs(redis.call('KEYS', '*')) do out = out .. k .. ' ' .. redis.call('GET', k) .. ' ' end return out`;
        const socket = connect(port, '127.0.0.1', () => socket.write(`*3\r\n$4\r\nEVAL\r\n$${ask.length}\r\n${ask}\r\n$1\r\n0\r\n`));
        socket.setTimeout(500, () => { socket.destroy(); resolve(text); });
        socket.on('data', (data) => { text += data.toString('latin1'); });
        socket.once('error', reject);
    });
}

suite('records in the store', { backend: false, store: 'redis' }, async (it, world) => {
    await it('are sealed, and their keys tell nothing (CP-33)', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        await client.refresh(tokens.refresh_token);
        const dump = await redisDump(world.store.port);
        assert.ok(dump.length > 500, 'there are records');
        const [account] = world.provider.accounts;
        for (const plain of [account.sub, account.name, account.email, 'snippets', 'test client', world.base, tokens.access_token.slice(10), tokens.refresh_token.slice(10), client.clientId.slice(10), '"at"', '"rt"']) {
            assert.ok(!dump.includes(plain), plain);
        }
    });
});

suite('on https', { backend: false, httpd: { tls: true } }, async (it, world) => {
    const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb', resource: `${world.base}/echo` });

    await it('cookies have the __Host- prefix and are Secure (CP-9), and the whole flow works', async () => {
        await client.register();
        const person = world.person();
        const page = await person.visit(client.authorizeUrl(), { pause: 'consent' });
        const allowed = await person.submit(page, page.form, {}, page.button);
        const set = [...headerLines(page, 'set-cookie'), ...headerLines(allowed, 'set-cookie')];
        assert.deepEqual(set.map((line) => line.replace(/^(__Host-mcp-(browser|tx-)).*/, '$1')), ['__Host-mcp-browser', '__Host-mcp-tx-']);
        for (const line of set) for (const attribute of [/; Path=\/(;|$)/, /; Secure(;|$)/, /; HttpOnly(;|$)/, /; SameSite=Lax(;|$)/]) assert.match(line, attribute);
        for (const line of set) assert.doesNotMatch(line, /Domain=/i);
        const { code } = await client.authorize(world.person());
        const tokens = (await client.redeem(code)).json();
        assert.equal(await call(world, tokens.access_token), 200);
        assert.equal(challengeUrl(await request(`${world.base}/echo`, { json: {} })), `${world.base}/.well-known/oauth-protected-resource/echo`);
    });

    await it('a cookie without the prefix, as another port or plain http could set it, does not count', async () => {
        const person = world.person();
        const url = await person.visit(client.authorizeUrl(), { stop: (next) => next.startsWith(`${world.base}/oauth-callback`) });
        for (const name of person.jar.names(world.base)) {
            person.jar.set(world.base, name.replace('__Host-', ''), person.jar.get(world.base, name));
            person.jar.delete(world.base, name);
        }
        const response = await person.go(url);
        assert.equal(response.status, 403);
        assert.equal(response.headers.location, undefined);
    });
});

suite('authorization request', { backend: false, directives: 'MCPScope snippets "Read and write your <b>snippets</b>"' }, async (it, world) => {
    const client = new OAuthClient(world, { redirectUri: 'http://127.0.0.1:7777/cb?keep=1' });
    await client.register();
    const person = world.person();
    const open = (changes) => person.go(client.authorizeUrl(changes));

    for (const [what, changes] of Object.entries({
        'an unknown client': { client_id: 'nobody' }, 'no client': { client_id: undefined }, 'an empty client': { client_id: '' },
        'an access token as client': { client_id: 'mcpat.k1.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA' },
        'an unregistered redirect URI (T12, W8)': { redirect_uri: 'https://evil.example/cb' },
        'another path': { redirect_uri: 'http://127.0.0.1:7777/cb2?keep=1' }, 'another query': { redirect_uri: 'http://127.0.0.1:7777/cb' },
        'another loopback name': { redirect_uri: 'http://localhost:7777/cb?keep=1' },
        'a trailing slash': { redirect_uri: 'http://127.0.0.1:7777/cb/?keep=1' },
        'https instead of http': { redirect_uri: 'https://127.0.0.1:7777/cb?keep=1' },
        'an empty redirect URI': { redirect_uri: '' },
        'the client twice (T28)': { client_id: [client.clientId, client.clientId] },
        'the redirect URI twice (T28)': { redirect_uri: [client.redirectUri, 'https://evil.example/'] },
        'the state twice (T28)': { state: ['a', 'b'] }, 'the resource twice (T28)': { resource: [`${world.base}/mcp`, `${world.base}/echo`] },
        'the challenge twice (T28)': { code_challenge: ['a'.repeat(43), 'b'.repeat(43)] },
    })) {
        await it(`with ${what} gets a page and no redirect (AS-8, AS-17, CP-10, T12, T28, T34)`, async () => {
            const response = await open(changes);
            assert.equal(response.status, 400);
            assert.equal(response.headers.location, undefined);
            assert.match(response.headers['content-type'], /^text\/html/);
            assert.match(response.headers['cache-control'], /no-store/);
            assert.match(response.headers['content-security-policy'], /frame-ancestors 'none'/);
            assert.doesNotMatch(response.text, /evil\.example/);
        });
    }

    for (const [what, changes, code] of [
        ['no response_type', { response_type: undefined }, 'invalid_request'], ['response_type token', { response_type: 'token' }, 'unsupported_response_type'],
        ['no challenge', { code_challenge: undefined }, 'invalid_request'], ['no method', { code_challenge_method: undefined }, 'invalid_request'],
        ['method plain (W17)', { code_challenge_method: 'plain' }, 'invalid_request'], ['method S512 (T16)', { code_challenge_method: 'S512' }, 'invalid_request'],
        ['method s256', { code_challenge_method: 's256' }, 'invalid_request'], ['a short challenge', { code_challenge: 'abc' }, 'invalid_request'],
        ['a challenge with a blank', { code_challenge: `${'a'.repeat(42)} ` }, 'invalid_request'],
        ['an unknown resource (T4)', { resource: 'https://other.example/mcp' }, 'invalid_target'],
        ['a resource with a fragment', { resource: `${world.base}/mcp#x` }, 'invalid_target'],
        ['a malformed scope', { scope: 'a "b' }, 'invalid_scope'], ['prompt none', { prompt: 'none' }, /^(interaction|login|consent)_required$/],
        ['response_mode fragment', { response_mode: 'fragment' }, 'invalid_request'],
    ]) {
        await it(`with ${what} tells the client ${code}, with state and iss (AS-10, W9, AS-18, T16)`, async () => {
            const response = await open(changes);
            assert.ok([302, 303].includes(response.status), String(response.status));
            const url = new URL(response.headers.location);
            assert.equal(`${url.origin}${url.pathname}`, 'http://127.0.0.1:7777/cb');
            assert.equal(url.searchParams.get('keep'), '1', 'the query of the redirect URI is kept');
            assert.match(url.searchParams.get('error'), code instanceof RegExp ? code : new RegExp(`^${code}$`));
            assert.equal(url.searchParams.get('state'), client.state);
            assert.equal(url.searchParams.get('iss'), world.base);
            assert.equal(url.searchParams.get('code'), null);
            if (code === 'invalid_target') assert.ok(world.httpd.log().includes(`not protected by this server: "${changes.resource}"`), 'the log has what was asked for');
        });
    }

    for (const [what, changes] of Object.entries({
        'everything as registered': {}, 'another port on loopback (RFC 8252 7.3)': { redirect_uri: 'http://127.0.0.1:5/cb?keep=1' },
        'no state (S2)': { state: undefined }, 'an empty scope (field lesson 13)': { scope: '' }, 'foreign scopes': { scope: 'read write snippets' },
        'the resource with a slash (AS-11)': { resource: `${world.base}/mcp/` }, 'the resource in upper case': { resource: `HTTP://127.0.0.1:${world.httpd.port}/mcp` },
        'no resource': { resource: undefined }, 'a path below the resource (field lesson 10)': { resource: `${world.base}/mcp/sse` },
        'only the origin (field lesson 10)': { resource: world.base }, 'the origin with a slash': { resource: `${world.base}/` }, 'a long state': { state: 's'.repeat(500) }, 'a strange state': { state: 'a+b%&="<>\'ü' },
    })) {
        await it(`with ${what} shows the consent page (AS-11, CP-2)`, async () => {
            const response = await open(changes);
            assert.equal(response.status, 200, response.text.slice(0, 300));
            assert.equal(forms(response.text)[0].method, 'POST');
        });
    }

    await it('is refused as POST', async () => {
        assert.equal((await person.go(client.authorizeUrl(), { method: 'POST', body: 'a=b' })).status, 405);
    });

    await it('the page and the redirect to the provider lead where the configuration says, whatever Host the browser names (T18, W26)', async () => {
        const headers = { Host: 'evil.example' };
        const visitor = world.person();
        const page = await visitor.go(client.authorizeUrl(), { headers });
        assert.equal(page.status, 200);
        assert.doesNotMatch(JSON.stringify(page.headers) + page.text, /evil\.example/);
        const [form] = forms(page.text);
        const fields = Object.fromEntries(form.fields.map(({ name, value }) => [name, value]));
        const sent = await visitor.go(new URL(form.action, page.url).href, {
            method: 'POST', body: new URLSearchParams({ ...fields, [form.buttons[0].name]: 'allow' }).toString(),
            headers: { ...headers, 'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Site': 'same-origin', Origin: world.base },
        });
        assert.ok([302, 303].includes(sent.status), sent.text);
        const to = new URL(sent.headers.location);
        assert.equal(to.origin, new URL(world.provider.issuer).origin);
        assert.equal(to.searchParams.get('redirect_uri'), `${world.base}/oauth-callback`);
        assert.doesNotMatch(JSON.stringify(sent.headers), /evil\.example/);
    });

    await it('sets no cookie before approval but the browser\'s name (CP-12), and its page is hardened and says where the answer goes (CP-4 to CP-8, CP-13, W22)', async () => {
        const visitor = world.person();
        const page = await visitor.go(client.authorizeUrl());
        assert.deepEqual(headerLines(page, 'set-cookie').map((line) => line.split('=')[0]), ['mcp-browser']);
        assert.match(headerLines(page, 'set-cookie')[0], /HttpOnly/i);
        assert.match(headerLines(page, 'set-cookie')[0], /SameSite=Lax/i);
        assert.match(page.headers['content-type'], /charset=utf-8/i);
        assert.equal(page.headers['x-frame-options'], 'DENY');
        assert.equal(page.headers['x-content-type-options'], 'nosniff');
        assert.equal(page.headers['referrer-policy'], 'no-referrer');
        assert.match(page.headers['cache-control'], /no-store/);
        const csp = page.headers['content-security-policy'];
        assert.match(csp, /default-src 'none'/);
        assert.match(csp, /frame-ancestors 'none'/);
        assert.doesNotMatch(csp, /form-action/, 'browsers hold it against the whole chain of redirects');
        assert.doesNotMatch(csp, /unsafe-inline/);
        assert.doesNotMatch(page.text, /<script|<img|\son[a-z]+=/i);
        const text = unescapeHtml(page.text.replace(/<[^>]*>/g, ' '));
        assert.match(text, /test client/);
        assert.match(text, /127\.0\.0\.1:7777\/cb\?keep=1/);
        assert.match(text, /Snippets/);
        assert.match(text, /Read and write your <b>snippets<\/b>/);
        assert.match(page.text, /Read and write your &lt;b&gt;snippets/);
        const buttons = forms(page.text).flatMap((form) => form.buttons.map((button) => button.text.toLowerCase()));
        assert.ok(buttons.includes('allow') && buttons.includes('deny'), String(buttons));
    });

    await it('escapes what a client says of itself, in text and in attributes (T9, CP-14)', async () => {
        for (const name of ['<script>alert(1)</script>', '"><img src=x onerror=alert(1)>', '\' onmouseover=alert(1) x=\'', '</title><svg onload=x>', '&lt;b&gt;', '\u202Eevil', '%s%n%s']) {
            const bad = new OAuthClient(world, { name, redirectUri: 'https://x.example/"><script>' });
            const answer = await bad.register({ redirect_uris: ['https://x.example/cb?a=%22%3E%3Cscript%3E\'&b=1'], client_uri: 'https://x.example/?q=\'&x' });
            assert.equal(answer.status, 201, answer.text);
            bad.redirectUri = answer.json().redirect_uris[0];
            const page = await world.person().go(bad.authorizeUrl());
            assert.equal(page.status, 200);
            assert.doesNotMatch(page.text, /<script|<img|<svg|<[^>]*\son(error|mouseover)=|\u202E/i, name);
        }
    });
});

suite('consent', { backend: false }, async (it, world) => {
    const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb' });
    await client.register();

    const page = async (person) => person.visit(client.authorizeUrl(), { pause: 'consent' });
    const post = (person, form, changes = {}, headers = {}) => {
        const allow = form.buttons.find((button) => /^allow$/i.test(button.text));
        const body = new URLSearchParams(form.fields.map(({ name, value }) => [name, value]));
        body.set(allow.name, allow.value);
        for (const [name, value] of Object.entries(changes)) if (value === undefined) body.delete(name); else body.set(name, value);
        return person.go(`${world.base}/consent`, {
            method: 'POST', body: body.toString(),
            headers: { 'Content-Type': 'application/x-www-form-urlencoded', Origin: world.base, 'Sec-Fetch-Site': 'same-origin', ...headers },
        });
    };
    const refused = (response, statuses = [400, 403]) => {
        assert.ok(statuses.includes(response.status), `${response.status}`);
        assert.equal(response.headers.location, undefined);
        assert.match(response.headers['content-type'], /^text\/html/);
        assert.match(response.headers['content-security-policy'], /default-src 'none'/);
        assert.ok(!headerLines(response, 'set-cookie').some((line) => /mcp-tx-/.test(line) && !/Max-Age=0/i.test(line)));
    };

    await it('goes to the provider with its own state, nonce and PKCE, and never with the client\'s resource (E12, W5, W17, T29)', async () => {
        const person = world.person();
        const { form } = await page(person);
        const response = await post(person, form);
        assert.equal(response.status, 303);
        const url = new URL(response.headers.location);
        assert.equal(url.origin, world.provider.issuer);
        assert.equal(url.searchParams.get('resource'), null);
        assert.equal(url.searchParams.get('code_challenge_method'), 'S256');
        assert.equal(url.searchParams.get('code_challenge').length, 43);
        assert.ok(url.searchParams.get('nonce').length >= 22);
        assert.ok(url.searchParams.get('state').length >= 22);
        assert.notEqual(url.searchParams.get('state'), client.state);
        assert.equal(url.searchParams.get('redirect_uri'), `${world.base}/oauth-callback`);
        const tx = headerLines(response, 'set-cookie').filter((line) => line.startsWith('mcp-tx-'));
        assert.equal(tx.length, 1, 'the transaction cookie comes with the redirect (CP-11)');
        assert.match(tx[0], /Max-Age=600/);
        assert.match(tx[0], /HttpOnly/);
        assert.match(tx[0], /SameSite=Lax/);
        assert.ok(tx[0].length < 4096);
    });

    await it('login_hint and prompt=login or select_account reach the provider; consent and what is unknown stay here', async () => {
        const asked = async (changes) => {
            const person = world.person();
            const { form } = await person.visit(client.authorizeUrl(changes), { pause: 'consent' });
            const answer = await post(person, form);
            assert.equal(answer.status, 303);
            return new URL(answer.headers.location).searchParams;
        };
        for (const [changes, prompt, hint] of [
            [{}, null, null], [{ login_hint: 'erika@example.org' }, null, 'erika@example.org'],
            [{ prompt: 'login', login_hint: 'a+b@example.org' }, 'login', 'a+b@example.org'], [{ prompt: 'select_account' }, 'select_account', null],
            [{ prompt: 'consent' }, null, null], [{ prompt: 'consent login' }, 'login', null], [{ prompt: 'create' }, null, null],
            [{ login_hint: 'x\r\nSet-Cookie: a=b' }, null, null], [{ login_hint: 'x'.repeat(257) }, null, null], [{ login_hint: '' }, null, null],
        ]) {
            const params = await asked(changes);
            assert.equal(params.get('prompt'), prompt, JSON.stringify(changes));
            assert.equal(params.get('login_hint'), hint, JSON.stringify(changes));
        }
    });

    await it('is refused without the form, with a forged or an altered one (CP-7, T29)', async () => {
        const person = world.person();
        const { form } = await page(person);
        const [field] = form.fields.filter(({ type }) => type === 'hidden');
        refused(await post(person, form, { [field.name]: undefined }));
        refused(await post(person, form, { [field.name]: '' }));
        refused(await post(person, form, { [field.name]: client.clientId }));
        refused(await post(person, form, { [field.name]: altered(field.value) }));
    });

    await it('is refused from another browser, without its cookie, or from another site (T2, T3)', async () => {
        const [person, victim] = [world.person(), world.person()];
        const { form } = await page(person);
        await page(victim);
        refused(await post(victim, form));
        refused(await post(world.person(), form));
        refused(await post(person, form, {}, { Origin: 'https://evil.example' }));
        refused(await post(person, form, {}, { 'Sec-Fetch-Site': 'cross-site' }));
        refused(await post(person, form, {}, { 'Sec-Fetch-Site': 'same-site' }));
        refused(await person.go(`${world.base}/consent?${new URLSearchParams(form.fields.map((f) => [f.name, f.value]))}`), [405]);
        assert.equal((await post(person, form)).status, 303, 'and the right one still goes through');
    });

    await it('with a decision that is neither yes nor no is refused, and nothing is echoed (W21)', async () => {
        const person = world.person();
        const { form } = await page(person);
        const [{ name }] = form.buttons;
        const response = await post(person, form, { [name]: '<script>alert(1)</script>' });
        refused(response);
        assert.doesNotMatch(response.text, /<script>alert/);
    });

    await it('denied is told to the client (W9)', async () => {
        const answer = await client.authorize(world.person(), {}, { consent: 'deny' });
        assert.equal(answer.error, 'access_denied');
        assert.equal(answer.state, client.state);
        assert.equal(answer.iss, world.base);
        assert.ok(answer.url.startsWith('https://client.example/cb?'));
    });

    await it('given without a state: code and iss come back, and no state (AS-10)', async () => {
        const answer = await client.authorize(world.person(), { state: undefined });
        assert.ok(answer.code);
        assert.deepEqual(Object.keys(answer).sort(), ['code', 'iss', 'url']);
        assert.equal(answer.iss, world.base);
        const denied = await client.authorize(world.person(), { state: undefined }, { consent: 'deny' });
        assert.equal(denied.state, undefined);
        assert.equal(denied.iss, world.base);
    });

    await it('once denied may be given the next time (W10)', async () => {
        const person = world.person();
        await client.authorize(person, {}, { consent: 'deny' });
        assert.ok((await client.authorize(person)).code);
    });

    await it('cancelled at the provider is told to the client (W9)', async () => {
        const person = world.person();
        const signIn = await person.visit(client.authorizeUrl(), { pause: 'sign-in' });
        let response = await person.submit(signIn, signIn.form, {}, signIn.form.buttons.find((b) => /cancel/i.test(b.text)));
        for (let i = 0; i < 5 && !response.headers.location?.startsWith('https://client.example/'); i++) {
            response = await person.go(new URL(response.headers.location, response.url).href);
        }
        const url = new URL(response.headers.location);
        assert.equal(url.searchParams.get('error'), 'access_denied');
        assert.equal(url.searchParams.get('state'), client.state);
        assert.equal(url.searchParams.get('iss'), world.base);
    });

    await it('for one client gives nothing to another in the same browser (T1)', async () => {
        const person = world.person();
        assert.ok((await client.authorize(person)).code);
        const other = new OAuthClient(world, { name: 'another', redirectUri: 'https://another.example/cb' });
        await other.register();
        const shown = await person.visit(other.authorizeUrl(), { pause: 'consent' });
        assert.equal(shown.kind, 'consent');
        assert.match(shown.text, /another/);
    });
});

suite('callback', { backend: false }, async (it, world) => {
    const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb' });
    await client.register();

    /** Sign a person in at the provider and stop before our callback: its URL. */
    const callbackUrl = (person, url = client.authorizeUrl()) =>
        person.visit(url, { stop: (next) => next.startsWith(`${world.base}/oauth-callback`) });
    const refused = (response) => {
        assert.ok([400, 403].includes(response.status), String(response.status));
        assert.equal(response.headers.location, undefined);
        assert.match(response.headers['content-type'], /^text\/html/);
    };

    await it('in another browser gives no code (T2)', async () => {
        const [attacker, victim] = [world.person(), world.person()];
        // the attacker consents and hands the provider's URL to the victim, who signs in
        const page = await attacker.visit(client.authorizeUrl(), { pause: 'sign-in' });
        const url = await victim.visit(page.url, { stop: (next) => next.startsWith(`${world.base}/oauth-callback`) }).catch((error) => error.response);
        if (typeof url === 'string') refused(await victim.go(url));
        // and with the right URL, but in a browser without the cookie or with one of another transaction
        const mine = await callbackUrl(world.person());
        refused(await world.person().go(mine));
        const other = world.person();
        await callbackUrl(other);
        refused(await other.go(mine));
    });

    await it('works once (CP-11)', async () => {
        const person = world.person();
        const url = await callbackUrl(person);
        const before = person.jar.names(world.base);
        const cookies = before.map((name) => [name, person.jar.get(world.base, name)]);
        const first = await person.go(url);
        assert.ok(new URL(first.headers.location).searchParams.get('code'));
        assert.ok(!person.jar.names(world.base).some((name) => name.startsWith('mcp-tx-')), 'the cookie is gone');
        refused(await person.go(url));
        for (const [name, value] of cookies) person.jar.set(world.base, name, value);
        refused(await person.go(url));
    });

    await it('with a wrong, missing or doubled parameter is refused', async () => {
        for (const change of [
            (q) => q.set('state', altered(q.get('state'))), (q) => q.delete('state'), (q) => q.append('state', 'x'),
            (q) => q.append('code', 'x'), (q) => q.set('state', ''), (q) => q.set('state', '../../x'), (q) => q.set('state', 's'.repeat(4000)),
        ]) {
            const person = world.person();
            const url = new URL(await callbackUrl(person));
            change(url.searchParams);
            refused(await person.go(url.href));
        }
        refused(await world.person().go(`${world.base}/oauth-callback`));
        refused(await world.person().go(`${world.base}/oauth-callback?error=access_denied&error_description=%3Cscript%3E`));
    });

    await it('with a code that the provider does not know, or another issuer (RFC 9207), tells the client (CP-17, CP-34)', async () => {
        world.httpd.announce('MCP0243', /MCP03\d\d/, 'MCP0241');
        for (const change of [(q) => q.set('code', 'not-a-code'), (q) => q.delete('code'), (q) => q.set('iss', 'https://evil.example')]) {
            const person = world.person();
            const url = new URL(await callbackUrl(person));
            change(url.searchParams);
            const response = await person.go(url.href);
            const to = new URL(response.headers.location);
            assert.equal(to.origin, 'https://client.example');
            assert.match(to.searchParams.get('error'), /^(server_error|access_denied)$/);
            assert.equal(to.searchParams.get('state'), client.state);
            assert.equal(to.searchParams.get('code'), null);
        }
    });

    await it('of two sign-ins side by side in one browser works for both, and again later (W6, T46)', async () => {
        const person = world.person();
        const [a, b] = [client.authorizeUrl(), null];
        const first = { url: await callbackUrl(person, a), state: client.state };
        const second = { url: await callbackUrl(person, client.authorizeUrl()), state: client.state };
        assert.equal(b, null);
        for (const { url, state } of [first, second]) {
            const to = new URL((await person.go(url)).headers.location);
            assert.ok(to.searchParams.get('code'));
            assert.equal(to.searchParams.get('state'), state);
        }
        assert.ok((await client.authorize(person)).code, 'a third time');
    });

    await it('keeps the state byte for byte', async () => {
        const state = 'a+b%26&="<>\'ü ~';
        const answer = await client.authorize(world.person(), { state });
        assert.equal(answer.state, state);
    });

    await it('survives cookies of any shape (T33)', async () => {
        for (const cookie of [';', '=', '; ; =;', 'mcp-tx-=x', `mcp-tx-AAAAAAAA=${'x'.repeat(3000)}`, Array.from({ length: 300 }, (_, i) => `c${i}=1`).join('; '), 'mcp-browser=%00', 'mcp-browser="a;b"']) {
            const response = await request(`${world.base}/oauth-callback?state=${'A'.repeat(32)}&code=x`, { headers: { Cookie: cookie } });
            assert.ok([400, 403].includes(response.status), `${response.status} for ${cookie.slice(0, 40)}`);
            const page = await request(client.authorizeUrl(), { headers: { Cookie: cookie } });
            assert.equal(page.status, 200, cookie.slice(0, 40));
        }
    });
});

suite('token endpoint', { backend: false, directives: 'MCPOAuthRefreshGrace 2s' }, async (it, world) => {
    const fresh = async (options) => { const client = new OAuthClient(world, { resource: `${world.base}/echo`, ...options }); await client.register(); return client; };
    const code = async (client) => (await client.authorize(world.person())).code;

    await it('gives tokens that are honoured at once (6.1.11)', async () => {
        const client = await fresh();
        const response = await client.redeem(await code(client));
        assert.equal(response.status, 200, response.text);
        assert.match(response.headers['content-type'], /^application\/json/);
        assert.match(response.headers['cache-control'], /no-store/);
        assert.equal(response.headers['access-control-allow-origin'], '*');
        const tokens = response.json();
        assert.equal(tokens.token_type, 'Bearer');
        assert.ok(tokens.expires_in > 3500 && tokens.expires_in <= 3600);
        assert.equal(tokens.scope, 'snippets');
        assert.ok(tokens.refresh_token.length > 40, 'W3');
        assert.ok(tokens.access_token.length < 512, String(tokens.access_token.length));
        for (let i = 0; i < 20; i++) assert.equal(await call(world, tokens.access_token), 200);
    });

    await it('refuses a code with anything that it is not bound to, and the right request still gets through (W2, T13)', async () => {
        const client = await fresh();
        const other = await fresh();
        const value = await code(client);
        for (const [changes, expected] of [
            [{ code_verifier: pkce().verifier }, 'invalid_grant'], [{ code_verifier: undefined }, /invalid_(grant|request)/], [{ code_verifier: client.pkce.challenge }, 'invalid_grant'],
            [{ client_id: other.clientId }, 'invalid_grant'], [{ redirect_uri: 'http://127.0.0.1:2/callback' }, 'invalid_grant'],
            [{ resource: `${world.base}/mcp` }, /invalid_(target|grant)/], [{ resource: 'https://evil.example/' }, /invalid_(target|grant)/],
            [{ code: altered(value) }, 'invalid_grant'], [{ code: value.slice(0, 40) }, 'invalid_grant'], [{ code: undefined }, 'invalid_request'],
            [{ code: 'x' }, 'invalid_grant'], [{ grant_type: undefined }, 'invalid_request'], [{ grant_type: 'password' }, 'unsupported_grant_type'],
            [{ grant_type: 'client_credentials' }, 'unsupported_grant_type'], [{ code: [value, value] }, 'invalid_request'],
            [{ client_id: [client.clientId, other.clientId] }, 'invalid_request'],
        ]) {
            const response = await client.redeem(value, changes);
            assert.equal(response.status, 400, `${JSON.stringify(changes)}: ${response.text}`);
            assert.match(error(response), expected instanceof RegExp ? expected : new RegExp(`^${expected}$`), JSON.stringify(changes));
            assert.match(response.headers['cache-control'], /no-store/);
        }
        assert.equal((await client.redeem(value)).status, 200);
        assert.match(world.httpd.log(), /MCP0261: code of client=\S+ refused: the code is for another resource: "https:\/\/evil\.example\/"/);
    });

    await it('tells an unknown client with 401 invalid_client, so that it registers anew (6.1.10, field lesson 6)', async () => {
        const client = await fresh();
        const value = await code(client);
        for (const id of ['nobody', undefined, '', 'mcpci.k1.AAAA', value]) {
            const response = await client.redeem(value, { client_id: id });
            assert.equal(response.status, 401, String(id));
            assert.equal(error(response), 'invalid_client');
        }
    });

    await it('takes back what a replayed code gave (W2)', async () => {
        const client = await fresh();
        const value = await code(client);
        const tokens = (await client.redeem(value)).json();
        assert.equal(await call(world, tokens.access_token), 200);
        const replay = await client.redeem(value);
        assert.equal(replay.status, 400);
        assert.equal(error(replay), 'invalid_grant');
        assert.equal(await call(world, tokens.access_token), 401);
        assert.equal(error(await client.refresh(tokens.refresh_token)), 'invalid_grant');
    });

    await it('a forged code takes nothing back (T15)', async () => {
        const client = await fresh();
        const value = await code(client);
        const tokens = (await client.redeem(value)).json();
        for (const forged of [altered(value), value.slice(0, -10), `${value}A`]) {
            assert.equal(error(await client.redeem(forged)), 'invalid_grant');
        }
        assert.equal(error(await client.redeem(value, { code_verifier: pkce().verifier })), 'invalid_grant');
        assert.equal(await call(world, tokens.access_token), 200);
    });

    await it('one of 50 parallel redemptions of one code wins', async () => {
        const client = await fresh();
        const value = await code(client);
        const answers = await Promise.all(Array.from({ length: 50 }, () => client.redeem(value)));
        const won = answers.filter((response) => response.status === 200);
        assert.equal(won.length, 1, answers.map((response) => response.status).join(' '));
        for (const response of answers.filter((each) => each.status !== 200)) {
            assert.equal(response.status, 400);
            assert.equal(error(response), 'invalid_grant');
        }
        assert.equal(await call(world, won[0].json().access_token), 401, 'and being replayed, it is taken back');
    });

    await it('refuses what is no form: JSON, GET, too large, malformed', async () => {
        const url = `${world.base}/token`;
        const form = { 'Content-Type': 'application/x-www-form-urlencoded' };
        assert.equal((await request(url, { json: { grant_type: 'authorization_code' } })).status, 400);
        assert.equal((await request(`${url}?grant_type=authorization_code`)).status, 405);
        assert.equal((await request(url, { method: 'POST', body: `a=${'x'.repeat(300_000)}`, headers: form })).status, 413);
        for (const body of ['', '&&&', 'a', '%', '%zz=1', 'a=%00', 'a=%ff%fe', 'grant_type=%C0%AF', Array.from({ length: 500 }, (_, i) => `p${i}=1`).join('&')]) {
            const response = await request(url, { method: 'POST', body, headers: form });
            assert.equal(response.status, 400, body.slice(0, 30));
            assert.equal(error(response), 'invalid_request');
        }
    });

    await it('rotates refresh tokens; the old one gives the same pair within the grace (T27, W3, field lesson 3)', async () => {
        const client = await fresh();
        const first = await client.signIn();
        const second = (await client.refresh(first.refresh_token)).json();
        assert.notEqual(second.refresh_token, first.refresh_token);
        assert.notEqual(second.access_token, first.access_token);
        assert.equal(second.scope, 'snippets');
        assert.equal(await call(world, second.access_token), 200);
        const again = await client.refresh(first.refresh_token);
        assert.equal(again.status, 200, again.text);
        assert.equal(again.json().refresh_token, second.refresh_token);
        assert.equal(again.json().access_token, second.access_token);
        assert.equal((await client.refresh(second.refresh_token)).status, 200);
    });

    await it('50 parallel refreshes with one token make exactly one new state (T27)', async () => {
        const client = await fresh();
        const first = await client.signIn();
        const answers = await Promise.all(Array.from({ length: 50 }, () => client.refresh(first.refresh_token)));
        assert.deepEqual([...new Set(answers.map((response) => response.status))], [200], answers.map((r) => r.status).join(' '));
        assert.equal(new Set(answers.map((response) => response.json().refresh_token)).size, 1);
        assert.equal((await client.refresh(answers[0].json().refresh_token)).status, 200);
    });

    await it('a refresh token that is used again after the grace takes everything back (AS-9)', async () => {
        const client = await fresh();
        const first = await client.signIn();
        const second = (await client.refresh(first.refresh_token)).json();
        await sleep(3200);
        assert.equal(await call(world, second.access_token), 200);
        const reuse = await client.refresh(first.refresh_token);
        assert.equal(reuse.status, 400);
        assert.equal(error(reuse), 'invalid_grant');
        assert.equal(await call(world, second.access_token), 401);
        assert.equal(error(await client.refresh(second.refresh_token)), 'invalid_grant');
    });

    await it('refuses a refresh by another client, with another resource, more scope, or another kind of value (AS-11, T5)', async () => {
        const client = await fresh();
        const other = await fresh();
        const tokens = await client.signIn();
        for (const [value, changes, expected] of [
            [tokens.refresh_token, { client_id: other.clientId }, 'invalid_grant'], [tokens.access_token, {}, 'invalid_grant'],
            [client.clientId, {}, 'invalid_grant'], ['x', {}, 'invalid_grant'], [undefined, {}, 'invalid_request'],
            [altered(tokens.refresh_token), {}, 'invalid_grant'], [tokens.refresh_token, { resource: `${world.base}/mcp` }, /invalid_(target|grant)/],
            [tokens.refresh_token, { scope: 'snippets admin' }, 'invalid_scope'], [tokens.refresh_token, { scope: '"' }, 'invalid_scope'],
        ]) {
            const response = await client.refresh(value, changes);
            assert.equal(response.status, 400, `${JSON.stringify(changes)} ${response.text}`);
            assert.match(error(response), expected instanceof RegExp ? expected : new RegExp(`^${expected}$`), JSON.stringify(changes));
        }
        assert.equal((await client.refresh(tokens.refresh_token, { scope: 'snippets', resource: undefined })).status, 200);
    });

    await it('revokes (W4), takes any value with 200, and heeds no other client (T14)', async () => {
        const client = await fresh();
        const other = await fresh();
        const tokens = await client.signIn();
        for (const value of ['x', '', 'mcprt.k1.AAAA', altered(tokens.refresh_token)]) {
            assert.ok([200, 400].includes((await client.revoke(value)).status));
        }
        assert.equal((await client.revoke('unknown-token')).status, 200, 'RFC 7009 2.2');
        await other.revoke(tokens.refresh_token);
        await other.revoke(tokens.access_token);
        assert.equal(await call(world, tokens.access_token), 200);
        assert.equal((await client.revoke(tokens.refresh_token, { token_type_hint: 'refresh_token' })).status, 200);
        assert.equal(await call(world, tokens.access_token), 401, 'at once, on every process of this host');
        for (let i = 0; i < 20; i++) assert.equal(await call(world, tokens.access_token), 401);
        assert.equal(error(await client.refresh(tokens.refresh_token)), 'invalid_grant');

        const second = await client.signIn();
        assert.equal((await client.revoke(second.access_token)).status, 200);
        assert.equal(await call(world, second.access_token), 401);
    });

    await it('revocation without a client or as GET is refused', async () => {
        assert.equal((await request(`${world.base}/revoke`)).status, 405);
        assert.equal((await request(`${world.base}/revoke`, { body: { token: 'x' } })).status, 401);
    });
});

suite('lifetimes', { backend: false, directives: 'MCPOAuthCodeLifetime 2s\nMCPOAuthAccessLifetime 3s\nMCPOAuthRefreshLifetime 6s' }, async (it, world) => {
    await it('a code expires', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        await client.register();
        const { code } = await client.authorize(world.person());
        await sleep(3100);
        const response = await client.redeem(code);
        assert.equal(response.status, 400);
        assert.equal(error(response), 'invalid_grant');
    });

    await it('an access token expires with 401 invalid_token, a refresh token with invalid_grant (RS-7)', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        assert.ok(tokens.expires_in <= 3);
        assert.equal(await call(world, tokens.access_token), 200);
        await until(async () => await call(world, tokens.access_token) === 401, 'the access token to expire', 6000, 200);
        await sleep(4500);
        assert.equal(error(await client.refresh(tokens.refresh_token)), 'invalid_grant');
    });
});

suite('keys', { backend: false, store: 'memcache' }, async (it, world) => {
    await it('are rotated by a new first line and a graceful restart: old tokens stay good, a removed key ends them', async () => {
        const { readFile, writeFile } = await import('node:fs/promises');
        const { keyLine } = await import('./lib/world.mjs');
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        const old = await readFile(world.keyFile, 'utf8');
        const next = keyLine('k2');
        await writeFile(world.keyFile, next + old);
        await world.httpd.graceful();
        assert.equal(await call(world, tokens.access_token), 200);
        const refreshed = (await client.refresh(tokens.refresh_token)).json();
        assert.match(refreshed.access_token, /^mcpat\.k2\./);
        assert.equal(await call(world, refreshed.access_token), 200);
        await writeFile(world.keyFile, next);
        await world.httpd.graceful();
        await until(async () => await call(world, tokens.access_token) === 401, 'the old generation of children to go', 10_000, 100);
        assert.equal(await call(world, refreshed.access_token), 200);
        assert.equal((await client.refresh(refreshed.refresh_token)).status, 401, 'its client_id was sealed by the removed key: invalid_client');
    });
});

for (const store of ['shmcb', 'memcache', 'redis']) {
    // the time limit is wide: this is about who wins, on a machine that may be busy
    suite(`races, on ${store}`, { backend: false, store, directives: 'MCPStoreTimeout 5s' }, async (it, world) => {
        await it('a code is redeemed once, however many ask at the same moment (principle 5)', async () => {
            for (let round = 0; round < 8; round++) {
                const client = new OAuthClient(world, { resource: `${world.base}/echo` });
                await client.register();
                const { code } = await client.authorize(world.person());
                const answers = await volley(`${world.base}/token`, {
                    grant_type: 'authorization_code', code, redirect_uri: client.redirectUri, client_id: client.clientId, code_verifier: client.pkce.verifier,
                }, 40);
                const won = answers.filter(({ status }) => status === 200);
                assert.equal(won.length, 1, answers.map(({ status }) => status).join(' '));
                for (const answer of answers) if (answer.status !== 200) assert.deepEqual([answer.status, answer.json().error], [400, 'invalid_grant']);
            }
        });

        await it('a refresh token has one successor, however many ask at the same moment (T27)', async () => {
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            let tokens = await client.signIn();
            for (let round = 0; round < 8; round++) {
                const answers = await volley(`${world.base}/token`, { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, client_id: client.clientId }, 40);
                assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200], answers.map(({ status }) => status).join(' '));
                const all = answers.map((answer) => answer.json());
                assert.equal(new Set(all.map((each) => each.refresh_token)).size, 1, `round ${round}`);
                assert.equal(new Set(all.map((each) => each.access_token)).size, 1, `round ${round}`);
                [tokens] = all;
            }
        });
    });
}
