// SPDX-License-Identifier: Apache-2.0
// The guard's edges: odd endpoint events, odd ways to the backend, internal redirects, the guard without mod_mcp_oauth.

import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import test from 'node:test';
import { gzipSync } from 'node:zlib';
import { challenge, headerLines, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { freePort, sleep } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { FUNCTION_KEY, openWorld, providerSection } from './lib/world.mjs';

const KEY = FUNCTION_KEY;
const bearer = (token, headers = {}) => ({ Authorization: `Bearer ${token}`, ...headers });

/** A backend that answers what the test put into `next`: {status, headers, pieces, pause, end}. */
async function scripted() {
    const backend = { next: {}, seen: [] };
    const server = http.createServer(async (incoming, response) => {
        backend.seen.push({ method: incoming.method, url: incoming.url, raw: incoming.rawHeaders, headers: incoming.headers });
        incoming.resume();
        const { status = 200, headers = { 'Content-Type': 'text/event-stream' }, pieces = [], pause = 5, end = 'end' } = backend.next;
        response.writeHead(status, headers);
        response.flushHeaders();
        for (const piece of pieces) { response.write(piece); await sleep(pause); }
        if (end === 'end') response.end();
        else if (end === 'destroy') response.destroy();
        backend.open = response;
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    backend.host = `127.0.0.1:${server.address().port}`;
    backend.url = `http://${backend.host}`;
    backend.close = () => { server.closeAllConnections(); server.close(); };
    return backend;
}

/** All bytes of an answer, also of one that is broken off: {status, headers, raw, whole}. */
async function collect(url, options) {
    const response = await request(url, { ...options, stream: true });
    let raw = '';
    response.raw.on('data', (chunk) => { raw += chunk; });
    const whole = await new Promise((resolve) => {
        response.raw.once('end', () => resolve(response.raw.complete));
        response.raw.once('aborted', () => resolve(false));
        response.raw.once('error', () => resolve(false));
    });
    return { status: response.status, headers: response.headers, rawHeaders: response.rawHeaders, raw, whole };
}

const backend = await scripted();
test.after(() => backend.close());

const site = (rest) => (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/ name="All" scopes="snippets"
MCPOAuth On
${providerSection(world)}
${rest(world)}
`;

const location = (world, path, lines, key = true) => `
<Location ${path}>
    AuthType MCP
    Require valid-user
    ${key ? `MCPGuardBackendKey x-functions-key file:${world.functionKeyFile}` : ''}
    ${lines}
</Location>`;

suite('odd endpoint events', {
    backend: false,
    site: site((world) => location(world, '/legacy', `ProxyPass ${backend.url}/runtime/webhooks/mcp`)
        + location(world, '/short', `ProxyPass ${backend.url}/`)
        + location(world, '/mapped', `MCPGuardBackendPath /app\nProxyPass ${backend.url}/front`)),
}, async (it, world) => {
    const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/` }).signIn();
    const get = async (next, { path = '/legacy/sse', headers = {}, method = 'GET' } = {}) => {
        backend.next = next;
        const answer = await collect(`${world.base}${path}`, { method, headers: bearer(token, { Accept: 'text/event-stream', ...headers }) });
        if (method === 'GET') {
            assert.ok(!answer.raw.includes(KEY), 'the key is not in it');
            assert.ok(!decodeURIComponent(answer.raw.replace(/%(?![0-9a-f]{2})/gi, '%25')).includes(KEY), 'not even encoded');
        }
        return answer;
    };
    /** How a client reads the first endpoint event. */
    const endpoint = (raw, path = '/legacy/sse') => {
        for (const block of raw.replace(/^\uFEFF/, '').split(/(?:\r\n|\r(?!\n)|\n){2}/)) {
            const fields = block.split(/\r\n|\r|\n/).map((line) => line.match(/^([^:]*):? ?(.*)$/));
            if (fields.findLast(([, name]) => name === 'event')?.[2] !== 'endpoint') continue;
            const url = new URL(fields.filter(([, name]) => name === 'data').map(([, , value]) => value).join('\n'), `${world.base}${path}`);
            assert.equal(url.origin, world.base);
            return url.pathname + url.search;
        }
        return null;
    };

    for (const [what, text, expected] of [
        ['a byte order mark, data first', `\uFEFFdata: message?x=1&code=${KEY}\nevent: endpoint\n\n`, '/legacy/message?x=1'],
        ['CR line ends', `event: endpoint\rdata: message?x=1&code=${KEY}\r\r`, '/legacy/message?x=1'],
        ['CR LF line ends', `event: endpoint\r\ndata: message?x=1&code=${KEY}\r\n\r\n`, '/legacy/message?x=1'],
        ['data in several lines', `event: endpoint\ndata: mess\ndata: age?x=1&co\ndata: de=${KEY}\n\n`, '/legacy/message?x=1'],
        ['an event type said twice', `event: message\ndata: message?x=1&code=${KEY}\nevent: endpoint\n\n`, '/legacy/message?x=1'],
        ['another host', `event: endpoint\ndata: https://internal.example/runtime/webhooks/mcp/message?x=1&code=${KEY}\n\n`, '/legacy/message?x=1'],
        ['another host without scheme', `event: endpoint\ndata: //internal.example/runtime/webhooks/mcp/message?code=${KEY}\n\n`, '/legacy/message'],
        ['backslashes', `event: endpoint\ndata: \\\\internal.example\\runtime\\webhooks\\mcp\\message?code=${KEY}\n\n`, '/legacy/message'],
        ['dot segments', `event: endpoint\ndata: ../mcp/./sub/../message?x=1&code=${KEY}\n\n`, '/legacy/message?x=1'],
        ['the query alone', `event: endpoint\ndata: ?x=1&code=${KEY}\n\n`, '/legacy/sse?x=1'],
        ['the key under another name', `event: endpoint\ndata: message?x=1&k=${KEY}\n\n`, '/legacy/message?x=1'],
        ['the header\'s name', `event: endpoint\ndata: message?X_Functions_Key=abc&x=1\n\n`, '/legacy/message?x=1'],
        ['a fragment', `event: endpoint\ndata: message?x=1#code=${KEY}\n\n`, '/legacy/message?x=1'],
        ['after another event', `event: message\ndata: {}\n\nid: 7\nretry: 10\n\nevent: endpoint\ndata: message?x=1&code=${KEY}\n\n`, '/legacy/message?x=1'],
        ['after a very long event', `data: ${'x'.repeat(100_000)}\n\nevent: endpoint\ndata: message?x=1&code=${KEY}\n\n`, '/legacy/message?x=1'],
    ]) {
        await it(`${what} (F6, W14, TR-17)`, async () => {
            const steps = text.length > 10_000 ? [text.length, 8191] : [text.length, 1, 7];
            for (const step of steps) {
                const pieces = [];
                for (let i = 0; i < text.length; i += step) pieces.push(text.slice(i, i + step));
                const { raw, status, whole } = await get({ pieces, pause: 1 });
                assert.equal(status, 200);
                assert.equal(endpoint(raw), expected, JSON.stringify(raw.slice(-200)));
                assert.ok(whole);
            }
        });
    }

    await it('other mappings: ProxyPass to the root, and MCPGuardBackendPath', async () => {
        const short = await get({ pieces: [`event: endpoint\ndata: /messages?code=${KEY}&s=1\n\n`] }, { path: '/short/sse' });
        assert.equal(endpoint(short.raw, '/short/sse'), '/short/messages?s=1');
        const aware = await get({ pieces: ['event: endpoint\ndata: /short/messages?s=1\n\n'] }, { path: '/short/sse' });
        assert.equal(endpoint(aware.raw, '/short/sse'), '/short/messages?s=1', 'a backend that knows our prefix');
        const mapped = await get({ pieces: ['event: endpoint\ndata: /app/messages?s=1\n\n'] }, { path: '/mapped/events' });
        assert.equal(endpoint(mapped.raw, '/mapped/events'), '/mapped/messages?s=1');
    });

    for (const [what, next] of [
        ['a script', { pieces: ['event: endpoint\ndata: javascript:alert(1)\n\n'] }],
        ['the key in the path', { pieces: [`event: endpoint\ndata: ${KEY}/message\n\n`] }],
        ['a space', { pieces: ['event: endpoint\ndata: mess age\n\n'] }],
        ['one too long to hold', { pieces: [`data: ${'x'.repeat(80_000)}\ndata: ?code=\nevent: endpoint\n\n`] }],
        ['compressed', { headers: { 'Content-Type': 'text/event-stream', 'Content-Encoding': 'gzip' }, pieces: [gzipSync(`event: endpoint\ndata: message?code=${KEY}\n\n`)] }],
    ]) {
        await it(`what cannot be made fit for clients is cut: ${what}`, async () => {
            world.httpd.announce('MCP0450', 'MCP0451');
            const { raw, status, whole } = await get(next);
            assert.ok(status === 502 || !whole, `${status} ${whole}`);
            assert.equal(endpoint(raw), null);
        });
    }

    await it('half an event at the end of the stream is not delivered', async () => {
        world.httpd.announce('AH01110'); // mod_proxy_http says that the backend broke off
        const { raw } = await get({ pieces: [`: hello\n\nevent: endpoint\ndata: message?code=${KEY}`] });
        assert.equal(raw, ': hello\n\n');
        const broken = await get({ pieces: [`event: endpoint\ndata: message?code=${KEY}\n`], end: 'destroy' });
        assert.ok(!broken.raw.includes('message'));
    });

    await it('nothing that the client sends switches the scanner off', async () => {
        for (const headers of [{ 'Mcp-Session-Id': 'x', 'MCP-Protocol-Version': '2026-07-28' }, { 'Last-Event-ID': '1' }, { Accept: '*/*' }, { 'Accept-Encoding': 'gzip' }]) {
            const { raw } = await get({ pieces: [`event: endpoint\ndata: message?x=1&code=${KEY}\n\n`] }, { headers });
            assert.equal(endpoint(raw), '/legacy/message?x=1');
            assert.equal(backend.seen.at(-1).headers['accept-encoding'], undefined);
        }
    });

    await it('Streamable HTTP passes byte for byte, on GET and POST, with what looks like an endpoint event in it (TR-3, TR-4)', async () => {
        const text = ': x\n\nevent: message\ndata: {"a":1}\n\nevent: endpoint\ndata: /runtime/webhooks/mcp/x\n\nid: 9\ndata: unfinished';
        const headers = { 'Content-Type': 'text/event-stream', 'Mcp-Session-Id': 's' };
        assert.equal((await get({ headers, pieces: [text] })).raw, text);
        assert.equal((await get({ pieces: [text] }, { method: 'POST' })).raw, text);
    });

    await it('streams are marked for whatever stands in front (TR-14, TR-18)', async () => {
        const { headers } = await get({ pieces: ['data: 1\n\n'], headers: { 'Content-Type': 'text/event-stream; charset=utf-8', 'Cache-Control': 'max-age=60' } });
        assert.equal(headers['cache-control'], 'no-store');
        assert.equal(headers['x-accel-buffering'], 'no');
    });

    await it('a stream with a length: the event may change it', async () => {
        const text = `event: endpoint\ndata: message?x=1&code=${KEY}\n\nevent: message\ndata: {}\n\n`;
        const { raw, whole } = await get({ headers: { 'Content-Type': 'text/event-stream', 'Content-Length': text.length }, pieces: [text] });
        assert.ok(whole);
        assert.ok(raw.endsWith('event: message\ndata: {}\n\n'));
    });
});

test('a scope that would not count is refused by configtest, a guarded section without Require is warned of', async (t) => {
    const world = await openWorld(t, { backend: false, provider: false, start: false, httpd: { mcp: ['mcp_guard'] } });
    const verdict = async (lines) => {
        await world.httpd.configure(`MCPKeyFile ${world.keyFile}\nMCPStore shmcb\nMCPIssuer ${world.base}\nMCPResource ${world.base}/mcp\n<Location /mcp>\nAuthType MCP\n${lines}\n</Location>`);
        return world.httpd.configtest();
    };
    for (const lines of ['Require valid-user\nRequire mcp-scope a', 'Require mcp-scope a b\nRequire valid-user', '<RequireAny>\nRequire mcp-scope a\nRequire valid-user\n</RequireAny>', 'Require all granted\nRequire mcp-scope a']) {
        const { code, output } = await verdict(lines);
        assert.notEqual(code, 0, lines);
        assert.match(output, /mcp-scope.*<RequireAll>/);
    }
    for (const lines of ['Require mcp-scope a', 'Require mcp-scope "a b"', '<RequireAll>\nRequire valid-user\nRequire mcp-scope a\n</RequireAll>', 'Require mcp-scope a\nRequire mcp-scope b']) {
        const { code, output } = await verdict(lines);
        assert.equal(code, 0, output);
        assert.doesNotMatch(output, /MCP0401/);
    }
    assert.match((await verdict('')).output, /MCP0401.*without Require.*Require valid-user/);
    // in a virtual host, too, whose log level is not known yet when its lines are read
    await world.httpd.configure(`MCPKeyFile ${world.keyFile}\nMCPStore shmcb\n<VirtualHost *>\nServerName mcp.example.com\nMCPIssuer ${world.base}\nMCPResource ${world.base}/mcp\n<Location /mcp>\nAuthType MCP\n</Location>\n</VirtualHost>`);
    assert.match((await world.httpd.configtest()).output, /MCP0401.*without Require.*Require valid-user/);
    const silent = await openWorld(t, { backend: false, provider: false, start: false, httpd: { mcp: ['mcp_guard'], without: ['proxy_http'] } });
    await silent.httpd.configure(`MCPKeyFile ${silent.keyFile}\nMCPStore shmcb\nMCPIssuer ${silent.base}\nMCPResource ${silent.base}/mcp\n<Location /mcp>\nAuthType MCP\nRequire valid-user\n</Location>`);
    assert.match((await silent.httpd.configtest()).output, /MCP0404.*a2enmod proxy_http/);
    assert.doesNotMatch((await verdict('Require valid-user')).output, /MCP0404/);
    for (const lines of ['Require mcp-scope', 'Require mcp-scope a"b']) assert.notEqual((await verdict(lines)).code, 0, lines);
});

const oddPort = await freePort();

suite('ways to the backend', {
    backend: false,
    httpd: { modules: ['rewrite', 'proxy_balancer', 'lbmethod_byrequests', 'slotmem_shm', 'access_compat', 'include'] },
    site: site((world) => [
        location(world, '/balanced', 'ProxyPass balancer://good/below'),
        `<Proxy balancer://good>\nBalancerMember ${world.echo.url}/member\n</Proxy>`,
        location(world, '/nocanon', `ProxyPass ${world.echo.url}/raw nocanon`),
        location(world, '/handler', `SetHandler "proxy:${world.echo.url}/handled"`),
        location(world, '/fcgi', 'SetHandler "proxy:fcgi://127.0.0.1:1/"'),
        location(world, '/quiet', `MCPGuardIdentityHeaders Off\nProxyPass ${world.echo.url}/quiet`),
        location(world, '/basic', `RequestHeader set Authorization "Basic YTpi"\nProxyPass ${world.echo.url}/basic`),
        location(world, '/keyed', `MCPGuardBackendKey Authorization file:${world.functionKeyFile}\nProxyPass ${world.echo.url}/keyed`, false),
        location(world, '/underscored', `MCPGuardBackendKey X_Api_Key file:${world.functionKeyFile}\nProxyPass ${world.echo.url}/underscored`, false),
        location(world, '/any', `Satisfy any\nOrder allow,deny\nAllow from all\nProxyPass ${world.echo.url}/any`),
        location(world, '/from', 'RewriteEngine On\nRewriteRule ^.*$ /to [L]'),
        location(world, '/cors', `ProxyPass ${backend.url}/cors`),
        `ProxyPass /to ${world.echo.url}/to`,
        location(world, '/to', ''),
        'Alias /pages ${SRVROOT}/htdocs',
        `Header always set X-Site yes`,
        'ErrorDocument 404 /to/missing',
    ].join('\n').replaceAll('${SRVROOT}', world.httpd.root)),
}, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/`, name: ' Zoë %41 ' });
    const { access_token: token } = await client.signIn();
    const ask = async (path, headers = {}, options = {}) => {
        const response = await request(`${world.base}${path}`, { json: {}, headers: bearer(token, headers), ...options });
        assert.equal(response.status, 200, response.text);
        return response.json();
    };
    const values = (seen, name) => seen.headers.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value);

    await it('a balancer, raw URLs and SetHandler carry key and identity and no secret of the client', async () => {
        for (const [path, url] of [['/balanced/x?code=1&a=%31', '/member/below/x?a=%31'], ['/nocanon/x%20y?code=1&a=1', '/raw/x%20y?a=1'], ['/nocanon/x?code=1', '/raw/x']]) {
            const seen = await ask(path);
            assert.equal(seen.url, url);
            assert.deepEqual(values(seen, 'x-functions-key'), [KEY]);
            assert.equal(values(seen, 'x-mcp-subject').length, 1);
            assert.deepEqual(values(seen, 'authorization'), []);
        }
        const handled = await ask('/handler/x?code=1&a=1');
        assert.match(handled.url, /^\/handled/);
        assert.doesNotMatch(handled.url, /code=/);
        assert.deepEqual(values(handled, 'x-functions-key'), [KEY]);
    });

    await it('a handler that injection does not reach is refused', async () => {
        world.httpd.announce('MCP0440');
        assert.equal((await request(`${world.base}/fcgi/x`, { json: {}, headers: bearer(token) })).status, 500);
    });

    await it('identity can be switched off; spoofs are scrubbed all the same', async () => {
        const seen = await ask('/quiet', { 'X-MCP-Subject': 'mallory', X_MCP_Scope: 'all' });
        assert.ok(!seen.headers.some(([name]) => /^x.mcp/i.test(name)));
        assert.deepEqual(values(seen, 'x-functions-key'), [KEY]);
    });

    await it('an administrator\'s own Authorization for the backend passes, the client\'s token never does', async () => {
        assert.deepEqual(values(await ask('/basic'), 'authorization'), ['Basic YTpi']);
        assert.deepEqual(values(await ask('/keyed'), 'authorization'), [KEY]);
        const seen = await ask('/underscored', { 'X-Api-Key': 'mallory', 'x_api_key': 'mallory', 'x-functions-key': 'mallory' });
        assert.deepEqual(seen.headers.filter(([name]) => /api.key/i.test(name)), [['X_Api_Key', KEY]]);
        assert.ok(!JSON.stringify(seen).includes('mallory'));
    });

    await it('names that are not plain ASCII arrive percent-encoded (T11, T38)', async () => {
        const [value] = values(await ask('/keyed'), 'x-mcp-client-name');
        assert.match(value, /^[\x21-\x7e][\x20-\x7e]*[\x21-\x7e]$/);
        assert.equal(decodeURIComponent(value).trim(), 'Zoë %41');
    });

    await it('Satisfy any lets nobody in without a session', async () => {
        assert.equal((await request(`${world.base}/any`, { json: {} })).status, 401);
        assert.equal((await ask('/any')).url, '/any');
    });

    await it('an internal redirect keeps the session, and an error document leaks nothing', async () => {
        assert.equal((await request(`${world.base}/from`, { json: {} })).status, 401);
        const seen = await ask('/from');
        assert.equal(seen.url, '/to');
        assert.deepEqual(values(seen, 'authorization'), []);
        assert.equal(values(seen, 'x-mcp-subject').length, 1);
        const before = world.echo.requests.length;
        const missing = await request(`${world.base}/not-there`);
        assert.ok([401, 404].includes(missing.status), `${missing.status}`);
        assert.equal(world.echo.requests.length, before);
    });

    await it('our own answers carry what Header always sets', async () => {
        assert.equal((await request(`${world.base}/keyed`, { json: {} })).headers['x-site'], 'yes');
    });

    await it('the backend\'s CORS headers give way to ours', async () => {
        backend.next = { headers: { 'Content-Type': 'application/json', 'Access-Control-Allow-Origin': '*', 'Access-Control-Allow-Credentials': 'true', 'Access-Control-Expose-Headers': 'X-Mine' }, pieces: ['{}'] };
        const response = await request(`${world.base}/cors`, { json: {}, headers: bearer(token, { Origin: world.base }) });
        assert.equal(response.status, 200);
        assert.deepEqual(headerLines(response, 'access-control-allow-origin'), [world.base]);
        assert.deepEqual(headerLines(response, 'access-control-allow-credentials'), []);
        assert.match(headerLines(response, 'access-control-expose-headers').join(), /WWW-Authenticate.*X-Mine/);
    });
});

suite('a balancer with a member that injection does not reach', {
    backend: false,
    httpd: { modules: ['proxy_balancer', 'proxy_ajp', 'lbmethod_byrequests', 'slotmem_shm'] },
    site: site((world) => location(world, '/balanced', 'ProxyPass balancer://odd/')
        + `\n<Proxy balancer://odd>\nBalancerMember ${world.echo.url}\nBalancerMember ajp://127.0.0.1:${oddPort}\n</Proxy>`),
}, async (it, world) => {
    const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/` }).signIn();
    await it('is refused as a whole', async () => {
        world.httpd.announce('MCP0440');
        assert.equal((await request(`${world.base}/balanced`, { json: {}, headers: bearer(token) })).status, 500);
    });
});

suite('the guard without mod_mcp_oauth', {
    backend: false,
    provider: false,
    httpd: { mcp: ['mcp_guard'] },
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer https://login.example.com
MCPResource ${world.base}/mcp scopes="snippets"
MCPResource ${world.base}/other
<Location />
    AuthType MCP
    Require valid-user
    MCPGuardResource ${world.base}/mcp
    ProxyPass ${world.echo.url}/
</Location>
<Location /plain.txt>
    AuthType None
    Require all granted
    ProxyPass !
</Location>
<Location /open>
    AuthType None
    Require all granted
</Location>
`,
}, async (it, world) => {
    await it('challenges, and answers for its resources below a guarded root too', async () => {
        const response = await request(`${world.base}/anything`, { json: {} });
        assert.equal(response.status, 401);
        assert.equal(challenge(response).resource_metadata, `${world.base}/.well-known/oauth-protected-resource/mcp`);
        for (const [path, resource] of [['/.well-known/oauth-protected-resource/mcp', 'mcp'], ['/.well-known/oauth-protected-resource', 'mcp'], ['/mcp/.well-known/oauth-protected-resource', 'mcp'],
            ['/.well-known/oauth-protected-resource/other', 'other'], ['/.well-known/oauth-protected-resource/other/sse', 'other']]) {
            const metadata = await request(`${world.base}${path}`, { headers: { Origin: 'https://anyone.example' } });
            assert.equal(metadata.status, 200, path);
            assert.equal(metadata.json().resource, `${world.base}/${resource}`, path);
            assert.deepEqual(metadata.json().authorization_servers, ['https://login.example.com']);
        }
        assert.equal((await request(`${world.base}/.well-known/oauth-protected-resource/unknown`)).status, 404);
        assert.equal((await request(`${world.base}/.well-known/oauth-protected-resource/mcp`, { json: {} })).status, 405);
        assert.equal(world.echo.requests.length, 0);
    });

    await it('where AuthType None lets everybody in, nobody can claim to be somebody (T24, T47)', async () => {
        const response = await request(`${world.base}/open`, { json: {}, headers: { 'X-MCP-Subject': 'mallory', X_MCP_Scope: 'mallory', 'x-functions-key': 'mallory', 'X-Mine': 'yes', Authorization: 'Bearer x' } });
        assert.equal(response.status, 200);
        assert.ok(!response.text.includes('mallory'));
        assert.match(response.text, /X-Mine/);
    });
});
