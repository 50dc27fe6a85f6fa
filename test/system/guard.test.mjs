// SPDX-License-Identifier: Apache-2.0
// The guard, from outside: who gets in, with what, and what the backend and the client see.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';
import { altered, challenge, events, headerLines, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { FUNCTION_KEY, openWorld, providerSection } from './lib/world.mjs';

const bearer = (token, headers = {}) => ({ Authorization: `Bearer ${token}`, ...headers });

/** The header lines of this name that the backend saw, case and dash or underscore not told apart. */
const seenHeaders = (seen, name) => seen.headers
    .filter(([key]) => key.toLowerCase().replaceAll('_', '-') === name.toLowerCase()).map(([, value]) => value);

/** A number of memcached's `stats`. */
function memcachedStat(port, name) {
    return new Promise((resolve, reject) => {
        let text = '';
        const socket = connect(port, '127.0.0.1', () => socket.write('stats\r\n'));
        socket.on('data', (data) => {
            text += data;
            if (text.includes('END')) { socket.destroy(); resolve(Number(text.match(new RegExp(`STAT ${name} (\\d+)`))[1])); }
        });
        socket.once('error', reject);
    });
}

suite('challenges', { backend: false, directives: 'MCPAllowHost *' }, async (it, world) => {
    const url = `${world.base}/mcp`;

    await it('no token: 401, where to ask and for what, without error (RS-2, RS-4, RS-7, RS-12)', async () => {
        const response = await request(url, { json: { jsonrpc: '2.0', id: 1, method: 'ping' } });
        assert.equal(response.status, 401);
        const found = challenge(response);
        assert.equal(found.lines, 1);
        assert.equal(found.scheme, 'Bearer');
        assert.equal(found.resource_metadata, `${world.base}/.well-known/oauth-protected-resource/mcp`);
        assert.equal(found.scope, 'snippets');
        assert.equal(found.error, undefined);
        assert.match(response.headers['content-type'], /^application\/json/);
        response.json();
        assert.equal((await request(found.resource_metadata)).json().resource, `${world.base}/mcp`);
    });

    await it('says the same whatever Host the client names (T18)', async () => {
        const response = await request(url, { json: {}, headers: { Host: 'evil.example' } });
        assert.equal(challenge(response).resource_metadata, `${world.base}/.well-known/oauth-protected-resource/mcp`);
    });

    await it('each method and media type is authenticated, and the backend hears nothing (T23)', async () => {
        const before = world.echo.requests.length;
        for (const method of ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'TRACE', 'PROPFIND', 'REPORT', 'QUERY', 'MKCOL', 'LOCK', 'NOTIFY', 'PURGE']) {
            for (const path of ['/echo', '/echo/', '/echo/sub/path', '/echo/.well-known/x', '/echo?x=/.well-known/oauth-protected-resource']) {
                const response = await request(`${world.base}${path}`, { method, headers: { 'Content-Type': 'text/plain' }, body: ['GET', 'HEAD', 'TRACE'].includes(method) ? undefined : 'x' });
                assert.ok(response.status === 401 || (method === 'TRACE' && response.status === 405), `${method} ${path}: ${response.status}`);
            }
        }
        for (const type of ['text/html', 'application/xml', 'multipart/form-data; boundary=x', '']) {
            assert.equal((await request(`${world.base}/echo`, { body: 'x', headers: { 'Content-Type': type } })).status, 401);
        }
        assert.equal(world.echo.requests.length, before);
    });

    await it('no path, query or header selects a way around (T21, T25)', async () => {
        const before = world.echo.requests.length;
        for (const path of ['/echo/../echo', '//echo', '/./echo', '/echo/%2e%2e/echo', '/%65cho', '/echo;x', '/ECHO/../echo', '/echo/.well-known/oauth-authorization-server/../x',
            '/.well-known/oauth-protected-resource/../../echo', '/authorize/../echo', '/token/%2e%2e/echo']) {
            const response = await rawGet(world.httpd.port, path);
            assert.ok([400, 401, 404].includes(response), `${path}: ${response}`);
        }
        for (const headers of [{ 'X-Forwarded-User': 'alice' }, { 'X-Original-URL': '/authorize' }, { 'X-Rewrite-URL': '/token' }, { 'X-Forwarded-Uri': '/token' },
            { 'X-HTTP-Method-Override': 'OPTIONS' }, { 'X-MCP-Subject': 'alice' }, { 'User-Agent': 'kube-probe/1' }, { Cookie: 'mcp-browser=x; session=y' }]) {
            assert.equal((await request(`${world.base}/echo`, { headers })).status, 401, JSON.stringify(headers));
        }
        assert.equal(world.echo.requests.length, before);
    });
});

/** Status of a GET whose path is sent exactly as it stands. */
function rawGet(port, path, extra = '') {
    return new Promise((resolve, reject) => {
        let text = '';
        const socket = connect(port, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n${extra}\r\n`));
        socket.on('data', (data) => { text += data; });
        socket.once('end', () => resolve(Number(text.match(/^HTTP\/1\.1 (\d+)/)?.[1])));
        socket.once('error', reject);
    });
}

suite('tokens', { backend: false, store: 'memcache', directives: 'MCPSessionCache 0' }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const tokens = await client.signIn();
    const url = `${world.base}/echo`;
    const expect401 = (response, what) => {
        assert.equal(response.status, 401, `${what}: ${response.status}`);
        const found = challenge(response);
        assert.equal(found.error, 'invalid_token', what);
        assert.equal(found.resource_metadata, `${world.base}/.well-known/oauth-protected-resource/echo`);
        assert.doesNotMatch(found.error_description ?? '', /scope=|error=/, 'mcp-spec 6.1');
        assert.match(response.headers['cache-control'], /no-store/);
    };

    await it('the right one gets in, by any spelling of the scheme', async () => {
        for (const scheme of ['Bearer', 'bearer', 'BEARER']) {
            assert.equal((await request(url, { json: {}, headers: { Authorization: `${scheme} ${tokens.access_token}` } })).status, 200);
        }
    });

    await it('garbage is 401, never 500, and never asks the store (W1, W16)', async () => {
        const gets = await memcachedStat(world.store.port, 'cmd_get');
        for (const token of ['x', 'null', 'undefined', '.', '..', 'mcpat', 'mcpat.', 'mcpat..', 'mcpat.k1', 'mcpat.k1.', 'mcpat.k1.AAAA', `mcpat.k1.${'A'.repeat(90)}`, 'mcpat.k9.AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA',
            `mcpat.${'k'.repeat(200)}.AAAA`, 'A'.repeat(64), 'A'.repeat(4000), 'eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.', `${'='.repeat(20)}`, 'AAAA====', '~~~~', 'mcpat.k1.%41%41',
            tokens.access_token.toUpperCase(), tokens.access_token.slice(6), `mcprt${tokens.access_token.slice(5)}`]) {
            expect401(await request(url, { json: {}, headers: bearer(token) }), token.slice(0, 40));
        }
        assert.equal(await memcachedStat(world.store.port, 'cmd_get'), gets);
    });

    await it('one altered character anywhere is 401 (forged), and never asks the store (G8)', async () => {
        const gets = await memcachedStat(world.store.port, 'cmd_get');
        for (let i = 0; i < tokens.access_token.length; i++) {
            const response = await request(url, { json: {}, headers: bearer(altered(tokens.access_token, i)) });
            expect401(response, `character ${i}`);
        }
        for (const forged of [tokens.access_token.slice(0, -1), `${tokens.access_token}A`, `${tokens.access_token}==`, tokens.access_token + tokens.access_token]) {
            expect401(await request(url, { json: {}, headers: bearer(forged) }), forged.slice(-20));
        }
        assert.equal(await memcachedStat(world.store.port, 'cmd_get'), gets);
    });

    await it('a sealed value for another purpose is no token (T5)', async () => {
        const other = new OAuthClient(world, { resource: `${world.base}/echo` });
        await other.register();
        const { code } = await other.authorize(world.person());
        for (const value of [tokens.refresh_token, client.clientId, code]) {
            expect401(await request(url, { json: {}, headers: bearer(value) }), value.slice(0, 6));
        }
    });

    await it('a token for another resource on this host is refused (T4, RS-6)', async () => {
        const other = new OAuthClient(world, { resource: `${world.base}/mcp` });
        const { access_token: token } = await other.signIn();
        expect401(await request(url, { json: {}, headers: bearer(token) }), 'audience');
        assert.notEqual((await request(`${world.base}/mcp`, { json: {}, headers: bearer(token) })).status, 401);
    });

    await it('is taken from one Authorization header and nowhere else (RS-8)', async () => {
        const { access_token: token } = tokens;
        assert.equal((await request(`${url}?access_token=${token}`, { json: {} })).status, 401);
        assert.equal((await request(url, { body: { access_token: token } })).status, 401);
        assert.equal((await request(url, { json: {}, headers: { Cookie: `access_token=${token}` } })).status, 401);
        assert.equal((await request(url, { json: {}, headers: { 'Proxy-Authorization': `Bearer ${token}` } })).status, 401);
        assert.equal((await request(url, { json: {}, headers: { Authorization: token } })).status, 401, 'without a scheme');
        assert.equal((await request(url, { json: {}, headers: { Authorization: `Basic ${Buffer.from(`x:${token}`).toString('base64')}` } })).status, 401);
        for (const twice of [[`Bearer ${token}`, `Bearer ${token}`], [`Bearer ${token}`, 'Bearer x'], ['Bearer x', `Bearer ${token}`], [`Bearer ${token}, Bearer x`], [`Bearer ${token} x`]]) {
            const response = await request(url, { json: {}, headers: { Authorization: twice } });
            assert.ok([400, 401].includes(response.status), `${response.status}`);
        }
        assert.equal((await request(url, { json: {}, headers: { Authorization: 'Bearer' } })).status, 401);
        assert.equal((await request(url, { json: {}, headers: { Authorization: 'Bearer ' } })).status, 401);
        assert.equal((await request(url, { json: {}, headers: { Authorization: '' } })).status, 401);
    });

    await it('the session\'s absence is 401, and it is found once per request', async () => {
        const gets = await memcachedStat(world.store.port, 'cmd_get');
        const begin = Date.now();
        for (let i = 0; i < 10; i++) assert.equal((await request(url, { json: {}, headers: bearer(tokens.access_token) })).status, 200);
        const looks = await memcachedStat(world.store.port, 'cmd_get') - gets;
        // and once a second each process asks whether anything was taken back as a whole
        const marks = world.httpd.children().length * (1 + Math.ceil((Date.now() - begin) / 1000));
        assert.ok(looks >= 10 && looks <= 10 + marks, `one look-up a request (principle 3), not ${looks} for 10`);
    });
});

suite('the session cache', { backend: false, store: 'memcache', directives: 'MCPSessionCache 30s' }, async (it, world) => {
    const url = `${world.base}/echo`;

    await it('spares look-ups, and forgets a revoked session at once on this host', async () => {
        const client = new OAuthClient(world, { resource: url });
        const tokens = await client.signIn();
        const agent = { json: {}, headers: bearer(tokens.access_token) };
        for (let i = 0; i < 10; i++) assert.equal((await request(url, agent)).status, 200);
        const gets = await memcachedStat(world.store.port, 'cmd_get');
        for (let i = 0; i < 40; i++) assert.equal((await request(url, agent)).status, 200);
        const asked = await memcachedStat(world.store.port, 'cmd_get') - gets;
        assert.ok(asked <= 5, `${asked} look-ups for 40 requests of 2 to 4 processes`);
        await client.revoke(tokens.refresh_token);
        for (let i = 0; i < 40; i++) assert.equal((await request(url, agent)).status, 401);
    });

    await it('does not outlive the token, nor mix resources (T48)', async () => {
        const client = new OAuthClient(world, { resource: url });
        const { access_token: token } = await client.signIn();
        for (let i = 0; i < 10; i++) assert.equal((await request(url, { json: {}, headers: bearer(token) })).status, 200);
        for (let i = 0; i < 10; i++) assert.equal((await request(`${world.base}/mcp`, { json: {}, headers: bearer(token) })).status, 401);
    });
});

suite('what reaches the backend', { backend: false, echo: 'MCPGuardSessionBinding Off' }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Client "ö" (1)' });
    const { access_token: token } = await client.signIn();
    const ask = async (headers = {}, path = '/echo', options = {}) => {
        const response = await request(`${world.base}${path}`, { json: { a: 1 }, headers: bearer(token, headers), ...options });
        assert.equal(response.status, 200, response.text);
        return response.json();
    };

    await it('the token does not, the key and the identity do (RS-9, W13, W15, RS-16)', async () => {
        const seen = await ask();
        assert.equal(seen.method, 'POST');
        assert.equal(seen.url, '/backend');
        assert.equal(seen.body, '{"a":1}');
        assert.deepEqual(seenHeaders(seen, 'authorization'), []);
        assert.ok(!JSON.stringify(seen).includes(token.slice(8)), 'nowhere');
        assert.deepEqual(seenHeaders(seen, 'x-functions-key'), [FUNCTION_KEY]);
        const [account] = world.provider.accounts;
        assert.deepEqual(seenHeaders(seen, 'x-mcp-subject').map((s) => s.endsWith(account.sub)), [true]);
        assert.equal(seenHeaders(seen, 'x-mcp-username').length, 1);
        assert.equal(decodeURIComponent(seenHeaders(seen, 'x-mcp-client-name')[0]), 'Client "ö" (1)');
        assert.deepEqual(seenHeaders(seen, 'x-mcp-scope'), ['snippets']);
    });

    await it('what a client claims of itself does not, in any spelling (T24, craft finding 7)', async () => {
        const honest = await ask();
        for (const name of ['X-MCP-Subject', 'x-mcp-subject', 'X_MCP_Subject', 'X-MCP_Subject', 'X_MCP-SUBJECT', 'X-MCP-Username', 'X_Mcp_Scope', 'X-MCP-Client', 'X-Mcp-Admin', 'X.MCP.Subject',
            'x-functions-key', 'X_Functions_Key', 'X-FUNCTIONS_KEY']) {
            const seen = await ask({ [name]: 'mallory' });
            assert.ok(!seen.headers.some(([, value]) => value === 'mallory'), name);
            assert.deepEqual(seenHeaders(seen, 'x-mcp-subject'), seenHeaders(honest, 'x-mcp-subject'), name);
            assert.deepEqual(seenHeaders(seen, 'x-functions-key'), [FUNCTION_KEY], name);
        }
        const twice = await ask({ 'X-MCP-Subject': ['mallory', 'mallory2'] });
        assert.ok(!JSON.stringify(twice).includes('mallory'));
    });

    await it('a Connection header cannot delete what the guard says (craft finding 7)', async () => {
        const honest = await ask();
        for (const value of ['close, X-MCP-Subject', 'keep-alive, x-functions-key', 'X-Mcp-Subject, X-MCP-Username, X-MCP-Scope, X-MCP-Client', 'close, Authorization', 'x-functions-key', 'close,X-MCP-Subject,x-functions-key']) {
            const seen = await ask({ Connection: value });
            for (const name of ['x-mcp-subject', 'x-mcp-username', 'x-mcp-scope', 'x-functions-key']) {
                assert.deepEqual(seenHeaders(seen, name), seenHeaders(honest, name), `${name} with Connection: ${value}`);
            }
            assert.deepEqual(seenHeaders(seen, 'authorization'), []);
        }
    });

    await it('a key or token in the query does not, the rest of it does (F6)', async () => {
        for (const [query, rest] of [['code=evil', ''], ['azmcpcs=abc&code=evil', '?azmcpcs=abc'], ['code=evil&azmcpcs=abc', '?azmcpcs=abc'], ['a=1&code=x&b=%20&c', '?a=1&b=%20&c'],
            ['%63ode=evil', ''], ['CODE=evil&x=1', '?x=1'], ['x-functions-key=evil', ''], ['q=code', '?q=code'], ['encode=1', '?encode=1'], ['code=1&code=2', '']]) {
            const seen = await ask({}, `/echo/message?${query}`);
            assert.equal(seen.url, `/backend/message${rest}`, query);
        }
        const seen = await ask({}, `/echo?access_token=${token}&x=1`);
        assert.ok(!JSON.stringify(seen).includes(token));
    });

    await it('MCP\'s own headers do, both ways (TR-9, TR-11, TR-4, TR-12)', async () => {
        const headers = {
            'MCP-Protocol-Version': '2026-07-28', 'Mcp-Session-Id': 'abc!~', 'Mcp-Method': 'tools/call', 'Mcp-Name': '=?base64?w6k=?=', 'Mcp-Param-Region': 'eu', 'Mcp-Param-Unheard-Of': '1',
            'Last-Event-ID': '7', Accept: 'application/json, text/event-stream', 'Content-Type': 'application/json',
        };
        const response = await request(`${world.base}/echo`, { json: [], headers: bearer(token, headers) });
        assert.equal(response.headers['mcp-session-id'], 'echo-session');
        const seen = response.json();
        for (const [name, value] of Object.entries(headers)) assert.deepEqual(seenHeaders(seen, name), [value], name);
    });

    await it('our pages\' cookies do not, others do', async () => {
        assert.deepEqual(seenHeaders(await ask({ Cookie: 'a=1; mcp-browser=secret; mcp-tx-AAAAAAAA=s; __Host-mcp-browser=t; b=2' }), 'cookie'), ['a=1; b=2']);
        assert.deepEqual(seenHeaders(await ask({ Cookie: 'mcp-browser=secret' }), 'cookie'), []);
    });

    await it('statuses and bodies of the backend come back unchanged (TR-5, TR-10)', async () => {
        for (const status of [202, 400, 404, 405, 406, 409, 429, 500, 502]) {
            const response = await request(`${world.base}/echo/status/${status}`, { json: { x: status }, headers: bearer(token) });
            assert.equal(response.status, status);
            assert.equal(response.json().body, JSON.stringify({ x: status }));
            assert.equal(challenge(response), null);
        }
        for (const method of ['GET', 'PUT', 'DELETE', 'PATCH', 'OPTIONS', 'QUERY']) {
            const response = await request(`${world.base}/echo`, { method, headers: bearer(token) });
            assert.equal(response.status, 200, method);
            assert.equal(response.json().method, method);
        }
    });

    await it('a 401 of the backend comes back, and the log says that it is not the token', async () => {
        assert.equal((await request(`${world.base}/echo`, { json: {}, headers: bearer(`${token}x`) })).status, 401);
        assert.doesNotMatch(world.httpd.log(), /MCP0442/);
        assert.equal((await request(`${world.base}/echo/status/401`, { json: {}, headers: bearer(token) })).status, 401);
        assert.match(world.httpd.log(), /MCP0442: the MCP server answered 401 .*MCPGuardBackendKey/);
    });

    await it('a large body goes through, and one without a length', async () => {
        const big = JSON.stringify({ text: 'x'.repeat(600_000) });
        assert.equal((await ask({}, '/echo', { json: undefined, body: big, method: 'POST' })).body.length, big.length);
        assert.equal((await ask({ 'Transfer-Encoding': 'chunked' }, '/echo', { json: undefined, body: '{"c":1}', method: 'POST' })).body, '{"c":1}');
    });
});

suite('scopes', {
    backend: false,
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/a scopes="read write admin"
MCPScope admin "Administer" implies="write"
MCPScope write "Write" implies="read"
MCPScope extra "More" implies="read" optional
MCPOAuth On
${providerSection(world)}
<Location /a>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/a
</Location>
<Location /a/read>
    Require mcp-scope read
</Location>
<Location /a/both>
    Require mcp-scope read write
</Location>
<Location /a/admin>
    Require mcp-scope admin
</Location>
<Location /a/nobody>
    Require all denied
</Location>
<Location /a/local>
    Require ip 192.0.2.1
</Location>
`,
}, async (it, world) => {
    world.httpd.announce('AH01630', 'AH01631'); // mod_authz_core says it when Require says no
    const sign = async (scope) => {
        const client = new OAuthClient(world, { resource: `${world.base}/a`, scope });
        return client.signIn();
    };
    const status = async (token, path) => (await request(`${world.base}/a${path}`, { json: {}, headers: bearer(token) })).status;

    await it('are granted as asked and known, and returned (W23, AS-14)', async () => {
        assert.equal((await sign('read')).scope, 'read');
        assert.equal((await sign('read unknown')).scope, 'read');
    });

    await it('a scope that another one implies is not granted beside it, and counts all the same (AS-15)', async () => {
        assert.equal((await sign('read other admin')).scope, 'admin');
        assert.equal((await sign('read write')).scope, 'write');
        const client = new OAuthClient(world, { resource: `${world.base}/a`, scope: 'admin read' });
        const tokens = await client.signIn();
        assert.equal(tokens.scope, 'admin');
        // a client that takes its own request for what it has may ask for that again, for a part of it, and not for more
        const again = (await client.refresh(tokens.refresh_token, { scope: 'admin read' })).json();
        assert.equal(again.scope, 'admin');
        const less = (await client.refresh(again.refresh_token, { scope: 'read write' })).json();
        assert.equal(less.scope, 'write');
        assert.equal(await status(less.access_token, '/read'), 200);
        assert.equal(await status(less.access_token, '/admin'), 403);
        const more = await client.refresh(less.refresh_token, { scope: 'write other' });
        assert.equal(more.json().error, 'invalid_scope');
    });

    await it('a broad scope that the person leaves out does not take the narrow one with it (AS-15)', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/a`, scope: 'read extra' });
        await client.register();
        const person = world.person();
        const page = await person.visit(client.authorizeUrl(), { pause: 'consent' });
        const fields = page.form.fields.filter(({ type }) => type !== 'checkbox');
        assert.equal(fields.length, page.form.fields.length - 1);
        const answer = await person.submit(page, { ...page.form, fields }, {}, page.button);
        const url = await person.visit(answer.headers.location);
        assert.equal((await client.redeem(new URL(url).searchParams.get('code'))).json().scope, 'read');
        assert.equal((await client.signIn()).scope, 'extra');
    });

    await it('too few: 403 insufficient_scope with all that the operation wants (RS-10), 401 only without a token (RS-12)', async () => {
        const { access_token: token } = await sign('read');
        assert.equal(await status(token, ''), 200);
        assert.equal(await status(token, '/read'), 200);
        const response = await request(`${world.base}/a/both`, { json: {}, headers: bearer(token) });
        assert.equal(response.status, 403);
        const found = challenge(response);
        assert.equal(found.error, 'insufficient_scope');
        assert.deepEqual(found.scope.split(' ').sort(), ['read', 'write']);
        assert.equal(found.resource_metadata, `${world.base}/.well-known/oauth-protected-resource/a`);
        assert.match(response.headers['content-type'], /^application\/json/);
        assert.equal(challenge(await request(`${world.base}/a/admin`, { json: {}, headers: bearer(token) })).scope, 'admin');
        assert.equal((await request(`${world.base}/a/admin`, { json: {} })).status, 401);
    });

    await it('a broader scope counts for what it implies, and the backend is told what that is (RS-11)', async () => {
        const { access_token: token } = await sign('admin');
        for (const path of ['', '/read', '/both', '/admin']) assert.equal(await status(token, path), 200, path);
        assert.equal(Object.fromEntries(world.echo.requests.at(-1).headers)['X-MCP-Scope'], 'admin write read');
    });

    await it('another Require that says no is 403 without a challenge', async () => {
        const { access_token: token } = await sign('admin');
        for (const path of ['/nobody', '/local']) {
            const response = await request(`${world.base}/a${path}`, { json: {}, headers: bearer(token) });
            assert.equal(response.status, 403, path);
            assert.equal(challenge(response), null);
        }
    });

    await it('a refused call never reaches the backend', async () => {
        const { access_token: token } = await sign('read');
        const before = world.echo.requests.length;
        for (const path of ['/both', '/admin', '/nobody', '/local']) await status(token, path);
        assert.equal(world.echo.requests.length, before);
    });
});

suite('Origin', { backend: false, directives: 'MCPAllowOrigin https://app.example' }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const { access_token: token } = await client.signIn();
    const url = `${world.base}/echo`;
    const ask = (headers, options = {}) => request(url, { json: {}, headers: bearer(token, headers), ...options });

    await it('foreign, null, doubled or odd ones get 403 on every path and method (TR-1, T19, W20)', async () => {
        const before = world.echo.requests.length;
        for (const origin of ['https://evil.example', 'null', 'https://app.example.evil.example', 'https://app.example:444', 'http://app.example', 'https://app.example/', 'https://APP.example.', 'app.example', '',
            ['https://app.example', 'https://app.example'], ['https://app.example', 'https://evil.example'], 'https://app.example, https://evil.example', 'file://', 'https://evil.example#https://app.example', '*']) {
            for (const method of ['POST', 'GET', 'DELETE']) {
                for (const path of ['', '/sse', '/message?x=1']) {
                    const response = await request(url + path, { method, headers: bearer(token, { Origin: origin }) });
                    assert.equal(response.status, 403, `${method} ${path} ${origin}`);
                    assert.equal(response.headers['access-control-allow-origin'], undefined);
                }
            }
        }
        assert.equal(world.echo.requests.length, before);
    });

    await it('absent, own and allowed ones pass; browsers may read the answer (W19)', async () => {
        assert.equal((await ask({})).status, 200);
        for (const origin of [world.base, 'https://app.example', `http://localhost:${world.httpd.port}`]) {
            const response = await ask({ Origin: origin });
            assert.equal(response.status, 200, origin);
            assert.equal(response.headers['access-control-allow-origin'], origin);
            assert.match(response.headers['access-control-expose-headers'], /WWW-Authenticate/i);
            assert.match(response.headers['access-control-expose-headers'], /Mcp-Session-Id/i);
            assert.equal(headerLines(response, 'access-control-allow-origin').length, 1);
        }
    });

    await it('a preflight is answered without a token and without the backend; the 401 can be read too (G14, field lesson 18)', async () => {
        const before = world.echo.requests.length;
        const preflight = await request(url, {
            method: 'OPTIONS', headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST', 'Access-Control-Request-Headers': 'authorization, content-type, mcp-protocol-version, mcp-method, mcp-name' },
        });
        assert.equal(preflight.status, 204);
        assert.equal(preflight.headers['access-control-allow-origin'], 'https://app.example');
        for (const name of ['authorization', 'mcp-protocol-version', 'mcp-method', 'mcp-name']) assert.match(preflight.headers['access-control-allow-headers'], new RegExp(name, 'i'));
        for (const method of ['GET', 'POST', 'DELETE']) assert.match(preflight.headers['access-control-allow-methods'], new RegExp(method));
        const refused = await request(url, { method: 'OPTIONS', headers: { Origin: 'https://evil.example', 'Access-Control-Request-Method': 'POST' } });
        assert.equal(refused.status, 403);
        const plain = await request(url, { method: 'OPTIONS', headers: { Origin: 'https://app.example' } });
        assert.equal(plain.status, 401, 'OPTIONS that is no preflight is a request like others (T47)');
        const unauthorized = await request(url, { json: {}, headers: { Origin: 'https://app.example' } });
        assert.equal(unauthorized.status, 401);
        assert.equal(unauthorized.headers['access-control-allow-origin'], 'https://app.example');
        assert.match(unauthorized.headers['access-control-expose-headers'], /WWW-Authenticate/i);
        assert.equal(world.echo.requests.length, before);
    });
});

suite('the legacy endpoint event', { backend: false, echo: 'MCPGuardSessionBinding Off' }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const { access_token: token } = await client.signIn();

    /** Open /echo/sse while the backend sends these pieces of a stream; gives all that came until `count` events. */
    const stream = async (pieces, { count = 1, path = '/echo/stream' } = {}) => {
        const response = await request(`${world.base}${path}`, { headers: bearer(token, { Accept: 'text/event-stream' }), stream: true });
        assert.equal(response.status, 200);
        let raw = '';
        response.raw.on('data', (chunk) => { raw += chunk; });
        const [backend] = await until(() => world.echo.streams.size && [...world.echo.streams], 'the backend\'s stream');
        for (const piece of pieces) { backend.write(piece); await sleep(15); }
        await until(() => raw.split(/\r?\n\r?\n/).length > count || response.raw.readableEnded || response.raw.destroyed, 'the event', 3000).catch(() => {});
        response.close();
        backend.end();
        await until(() => world.echo.streams.size === 0, 'the stream to end');
        return raw;
    };
    const key = FUNCTION_KEY;

    for (const [what, text, expected] of [
        ['relative', `event: endpoint\ndata: message?azmcpcs=abc&code=${key}\n\n`, '/echo/message?azmcpcs=abc'],
        ['relative, key first', `event: endpoint\ndata: message?code=${key}&azmcpcs=abc\n\n`, '/echo/message?azmcpcs=abc'],
        ['an absolute path', `event: endpoint\ndata: /backend/message?azmcpcs=abc&code=${key}\n\n`, '/echo/message?azmcpcs=abc'],
        ['an absolute URL', () => `event: endpoint\ndata: ${world.echo.url}/backend/message?azmcpcs=abc&code=${key}\n\n`, '/echo/message?azmcpcs=abc'],
        ['CR LF lines', `event: endpoint\r\ndata: message?azmcpcs=abc&code=${key}\r\n\r\n`, '/echo/message?azmcpcs=abc'],
        ['data before event', `data: message?azmcpcs=abc&code=${key}\nevent: endpoint\n\n`, '/echo/message?azmcpcs=abc'],
        ['no blank after the colon', `event:endpoint\ndata:message?azmcpcs=abc&code=${key}\n\n`, '/echo/message?azmcpcs=abc'],
        ['after a comment', `: hello\n\nevent: endpoint\ndata: message?sessionId=1&code=${key}\n\n`, '/echo/message?sessionId=1'],
        ['the key percent-encoded', `event: endpoint\ndata: message?azmcpcs=abc&code=${[...key].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}\n\n`, '/echo/message?azmcpcs=abc'],
        ['without a key', 'event: endpoint\ndata: message?azmcpcs=abc\n\n', '/echo/message?azmcpcs=abc'],
    ]) {
        await it(`${what}: below the gateway's path and without the key, however it is cut (F6, W14, TR-17)`, async () => {
            const whole = typeof text === 'function' ? text() : text;
            const middle = Math.floor(whole.length / 2);
            for (const pieces of [[whole], [whole.slice(0, middle), whole.slice(middle)], [whole.slice(0, 3), whole.slice(3, -1), whole.slice(-1)]]) {
                const raw = await stream(pieces, { count: whole.startsWith(':') ? 2 : 1 });
                assert.ok(!raw.includes(key), 'the key is not in it');
                assert.ok(!decodeURIComponent(raw.replace(/%(?![0-9a-f]{2})/gi, '%25')).includes(key), 'not even encoded');
                const data = raw.match(/^data: ?(.*?)\r?$/m)?.[1];
                assert.ok(data, raw);
                const url = new URL(data, `${world.base}/echo/stream`);
                assert.equal(url.origin, world.base);
                assert.equal(url.pathname + url.search, expected);
            }
        });
    }

    await it('byte by byte as well', async () => {
        const raw = await stream([...`event: endpoint\ndata: message?azmcpcs=abc&code=${key}\n\n`]);
        assert.ok(!raw.includes(key));
        assert.match(raw, /azmcpcs=abc/);
    });

    await it('what follows it comes through byte for byte and at once', async () => {
        const rest = 'event: message\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n: ping\n\nid: 4\ndata: a\ndata: b\n\n';
        const raw = await stream([`event: endpoint\ndata: message?azmcpcs=abc&code=${key}\n\n`, rest], { count: 4 });
        assert.ok(raw.endsWith(rest), JSON.stringify(raw));
    });
});

suite('event streams', { backend: false }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const { access_token: token } = await client.signIn();

    await it('come event by event, unbuffered and uncompressed (G12, TR-14, F9)', async () => {
        for (const method of ['GET', 'POST']) {
            const response = await request(`${world.base}/echo/stream`, { method, headers: bearer(token, { Accept: 'text/event-stream', 'Accept-Encoding': 'gzip, br' }), stream: true });
            assert.equal(response.status, 200);
            assert.match(response.headers['content-type'], /^text\/event-stream/);
            assert.equal(response.headers['content-encoding'], undefined);
            const [backend] = await until(() => world.echo.streams.size && [...world.echo.streams], 'the stream at the backend');
            const incoming = events(response.raw);
            for (let i = 0; i < 20; i++) {
                const sent = performance.now();
                backend.write(`id: ${i}\ndata: ${i}\n\n`);
                const { value } = await incoming.next();
                assert.deepEqual(value, { event: 'message', data: String(i), id: String(i) });
                assert.ok(performance.now() - sent < 500, 'at once');
                await sleep(5);
            }
            backend.end();
            assert.equal((await incoming.next()).done, true, 'the end comes through');
        }
    });

    await it('end at the backend soon after the client went away, also silent ones (TR-13, craft finding 10)', async () => {
        const before = world.echo.closed;
        const response = await request(`${world.base}/echo/stream`, { headers: bearer(token, { Accept: 'text/event-stream' }), stream: true });
        await until(() => world.echo.streams.size === 1, 'the stream at the backend');
        response.close();
        await until(() => world.echo.closed > before, 'the backend to hear of it', 10_000);
    });
});

suite('fail-closed', {
    backend: false,
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/ name="All" scopes="snippets"
MCPOAuth On
${providerSection(world)}
${[['granted', 'Require all granted'], ['ip', 'Require ip 127.0.0.1'], ['any', '<RequireAny>\nRequire ip 127.0.0.1\nRequire valid-user\n</RequireAny>'],
        ['none', '<RequireAll>\nRequire all granted\n<RequireNone>\nRequire ip 192.0.2.1\n</RequireNone>\n</RequireAll>'], ['method', 'Require method POST GET'], ['env', 'SetEnvIf X-Let-Me-In yes letin\nRequire env letin']]
        .map(([name, require]) => `<Location /${name}>\nAuthType MCP\n${require}\nProxyPass ${world.echo.url}/${name}\n</Location>`).join('\n')}
<Location /odd>
    AuthType MCP
    Require valid-user
    ProxyPass ajp://127.0.0.1:1/
</Location>
<Location /rewritten>
    AuthType MCP
    Require valid-user
    RewriteEngine On
    RewriteRule ^.*$ ${world.echo.url}/rewritten [P]
</Location>
RewriteEngine On
RewriteRule ^/other$ /granted [PT]
# ProxyPass inside <Location> is looked up before the rewrite, this one after it
ProxyPass /granted ${world.echo.url}/granted
`,
    httpd: { modules: ['rewrite', 'proxy_ajp'] },
}, async (it, world) => {
    world.httpd.announce('AH01630'); // mod_authz_core, where Require alone says no already
    const client = new OAuthClient(world, { resource: `${world.base}/` });
    const { access_token: token } = await client.signIn();

    for (const path of ['granted', 'ip', 'any', 'none', 'method', 'env', 'other', 'rewritten']) {
        await it(`/${path}: nobody passes without a session, whatever Require says (principle 8) (TR-2)`, async () => {
            const before = world.echo.requests.length;
            for (const headers of [{}, { Authorization: 'Bearer x' }, { 'X-Let-Me-In': 'yes' }]) {
                const response = await request(`${world.base}/${path}`, { json: {}, headers });
                assert.ok([401, 403].includes(response.status), `${response.status}`);
            }
            assert.equal(world.echo.requests.length, before);
            const allowed = await request(`${world.base}/${path}`, { json: {}, headers: bearer(token, { 'X-Let-Me-In': 'yes' }) });
            assert.equal(allowed.status, 200, allowed.text);
            assert.deepEqual(seenHeaders(allowed.json(), 'authorization'), []);
            assert.equal(seenHeaders(allowed.json(), 'x-mcp-subject').length, 1);
        });
    }

    await it('a backend that the guard cannot speak to is refused (craft finding 7)', async () => {
        world.httpd.announce('MCP0440');
        assert.equal((await request(`${world.base}/odd`, { json: {}, headers: bearer(token) })).status, 500);
    });
});

test('configtest refuses what is not safe, and names the directive and the mend (AS-6, CP-16)', async (t) => {
    const world = await openWorld(t, { backend: false, provider: false, start: false });
    const good = {
        keys: `MCPKeyFile ${world.keyFile}`, store: 'MCPStore shmcb', issuer: `MCPIssuer ${world.base}`, resource: `MCPResource ${world.base}/mcp`, oauth: 'MCPOAuth On',
        provider: `<MCPProvider p>\nMCPProviderIssuer http://127.0.0.1:9\nMCPProviderClientID x\nMCPProviderClientSecret file:${world.secretFile}\n</MCPProvider>`,
        location: `<Location /mcp>\nAuthType MCP\nRequire valid-user\nMCPGuardBackendKey x-functions-key file:${world.functionKeyFile}\nProxyPass ${world.echo.url}\n</Location>`,
    };
    const verdict = async (changes) => {
        await world.httpd.configure(Object.values({ ...good, ...changes }).filter((text) => text !== undefined).join('\n'));
        return world.httpd.configtest();
    };
    const first = await verdict({});
    assert.equal(first.code, 0, first.output);
    const open = await world.httpd.file('conf/open-keys', `k1 ${Buffer.alloc(32, 7).toString('base64')}\n`, 0o644);
    const short = await world.httpd.file('conf/short-keys', 'k1 AAAA\n');
    const empty = await world.httpd.file('conf/no-keys', '# none\n');
    const weak = await world.httpd.file('conf/weak-keys', `k1 ${Buffer.alloc(32).toString('base64')}\n`);
    const double = await world.httpd.file('conf/double-keys', ['k1', 'k1'].map((kid) => `${kid} ${Buffer.from(Array.from({ length: 32 }, () => Math.floor(Math.random() * 256))).toString('base64')}\n`).join(''));
    const blank = await world.httpd.file('conf/empty-secret', '\n');
    process.env.MCP_TEST_EMPTY = '';
    t.after(() => { delete process.env.MCP_TEST_EMPTY; });
    const bad = {
        'no key file': [{ keys: undefined }, /MCPKeyFile/], 'a key file that is not there': [{ keys: 'MCPKeyFile /nowhere/keys' }, /MCPKeyFile|\/nowhere\/keys/],
        'a store that is none': [{ store: 'MCPStore postgres' }, /MCPStore/], 'memcache without a server': [{ store: 'MCPStore memcache' }, /MCPStore/],
        'no issuer': [{ issuer: undefined }, /MCPIssuer/], 'an issuer on plain http': [{ issuer: 'MCPIssuer http://mcp.example.com' }, /MCPIssuer.*https|https.*MCPIssuer/s],
        'an issuer with a query': [{ issuer: 'MCPIssuer https://mcp.example.com/?a=1' }, /MCPIssuer/], 'an issuer that is no URL': [{ issuer: 'MCPIssuer mcp.example.com' }, /MCPIssuer/],
        'no resource': [{ resource: undefined }, /MCPResource/], 'a resource that is no URL': [{ resource: 'MCPResource mcp' }, /MCPResource/],
        'an unknown word': [{ resource: `MCPResource ${world.base}/mcp colour="red"` }, /MCPResource/], 'no provider': [{ provider: undefined }, /MCPProvider/],
        'a provider without an issuer': [{ provider: '<MCPProvider p>\nMCPProviderClientID x\n</MCPProvider>' }, /MCPProviderIssuer/],
        'a provider on plain http': [{ provider: '<MCPProvider p>\nMCPProviderIssuer http://login.example.com\nMCPProviderClientID x\n</MCPProvider>' }, /MCPProviderIssuer/],
        'a secret in clear': [{ provider: '<MCPProvider p>\nMCPProviderIssuer https://login.example.com\nMCPProviderClientID x\nMCPProviderClientSecret hunter2\n</MCPProvider>' }, /file:|env:|exec:/],
        'a backend key in clear': [{ location: '<Location /mcp>\nAuthType MCP\nRequire valid-user\nMCPGuardBackendKey x-functions-key hunter2\n</Location>' }, /file:|env:|exec:/],
        'a backend key whose file is not there': [{ location: '<Location /mcp>\nAuthType MCP\nRequire valid-user\nMCPGuardBackendKey x-functions-key file:/nowhere\n</Location>' }, /\/nowhere/],
        ...Object.fromEntries([
            ['an empty file', 'file:/empty', /secret file \S+empty-secret is empty: write the secret into it/],
            ['an empty variable', 'env:MCP_TEST_EMPTY', /variable MCP_TEST_EMPTY is empty: set it where httpd is started/],
            ['a variable that is not set', 'env:MCP_TEST_NOT_SET', /variable MCP_TEST_NOT_SET is not set: set it where/],
            ['a command that prints nothing', 'exec:true', /exec:true prints nothing: it has to print the secret/],
        ].flatMap(([what, ref, mend]) => {
            const from = ref === 'file:/empty' ? `file:${blank}` : ref;
            const after = (directive) => new RegExp(`${directive}.*${mend.source}`);
            return [
                [`a backend key from ${what}`, [{ location: `<Location /mcp>\nAuthType MCP\nRequire valid-user\nMCPGuardBackendKey x-functions-key ${from}\n</Location>` }, after('MCPGuardBackendKey')]],
                [`a client secret from ${what}`, [{ provider: `<MCPProvider p>\nMCPProviderIssuer https://login.example.com\nMCPProviderClientID x\nMCPProviderClientSecret ${from}\n</MCPProvider>` }, after('<MCPProvider p>.*MCPProviderClientSecret')]],
                [`a signing key from ${what}`, [{ more: `MCPSigningKey ${from}` }, after('MCPSigningKey')]],
                [`a registration token from ${what}`, [{ more: `MCPOAuthRegistration token ${from}` }, after('MCPOAuthRegistration')]],
            ];
        })),
        'a provider\'s key that is none': [{ provider: `<MCPProvider p>\nMCPProviderIssuer https://login.example.com\nMCPProviderClientID x\nMCPProviderClientKey file:${short}\n</MCPProvider>` }, /<MCPProvider p>.*MCPProviderClientKey.*PEM/],
        'a guarded location without a resource': [{ location: '<Location /elsewhere>\nAuthType MCP\nRequire valid-user\n</Location>' }, /MCPResource/],
        'a bad lifetime': [{ more: 'MCPOAuthAccessLifetime soon' }, /MCPOAuthAccessLifetime/], 'a bad origin': [{ more: 'MCPAllowOrigin app.example' }, /MCPAllowOrigin/],
        'a bad cache time': [{ more: 'MCPSessionCache yes' }, /MCPSessionCache/], 'a dangerous scheme': [{ more: 'MCPOAuthRedirectSchemes javascript' }, /MCPOAuthRedirectSchemes/],
    };
    for (const [what, [changes, names]] of Object.entries(bad)) {
        await t.test(what, async () => {
            const { code, output } = await verdict(changes);
            assert.notEqual(code, 0, output);
            assert.match(output, names);
            assert.doesNotMatch(output, /hunter2/);
        });
    }
    // what only a start can tell, because keys are read as root
    for (const [what, file] of [['readable by all', open], ['too short', short], ['empty', empty], ['constant', weak], ['a kid twice', double]]) {
        await t.test(`a key file that is ${what}`, async () => {
            await world.httpd.configure(Object.values({ ...good, keys: `MCPKeyFile ${file}` }).join('\n'));
            const { code, output } = await world.httpd.configtest();
            if (code === 0) {
                await assert.rejects(world.httpd.start(), (error) => /MCPKeyFile|keys/.test(error.message));
                world.httpd.announce(/./);
            } else {
                assert.match(output, /keys/);
            }
        });
    }
});
