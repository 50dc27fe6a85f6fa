// SPDX-License-Identifier: Apache-2.0
// mcpctl doctor: finds nothing wrong with a good gateway, and names what is wrong with each of several bad ones.

import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import test from 'node:test';
import { startHost } from './lib/client-host.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { suite } from './lib/suite.mjs';
import { openWorld } from './lib/world.mjs';

/** The gateway as somebody's proxy, location or firewall spoils it: `spoil({url, status, headers, body})` changes answers. */
async function spoiled(world, spoil) {
    const server = http.createServer(async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const answer = await new Promise((resolve, reject) => {
            const { host, ...headers } = request.headers;
            const ask = http.request(world.base + request.url, { method: request.method, headers }, async (got) => {
                let text = '';
                for await (const chunk of got) text += chunk;
                resolve({ url: request.url, method: request.method, status: got.statusCode, headers: { ...got.headers }, body: text });
            });
            ask.on('error', reject).end(body);
        });
        delete answer.headers['transfer-encoding'];
        delete answer.headers['content-length'];
        const own = `http://127.0.0.1:${server.address().port}`;
        for (const name of Object.keys(answer.headers)) answer.headers[name] = String(answer.headers[name]).replaceAll(world.base, own);
        answer.body = answer.body.replaceAll(world.base, own);
        spoil(answer, own);
        response.writeHead(answer.status, answer.headers);
        response.end(answer.body);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { base: `http://127.0.0.1:${server.address().port}`, close: () => new Promise((done) => { server.close(done); server.closeAllConnections(); }) };
}

const isWellKnown = (answer, name) => answer.url.startsWith(`/.well-known/${name}`);
const asJson = (answer, change) => { const json = JSON.parse(answer.body); change(json); answer.body = JSON.stringify(json); };

const VSCODE = 'https://vscode.dev/oauth/client-metadata.json';
let host;

suite('doctor', {
    backend: false,
    before: async (world) => {
        host = await startHost(world);
        const copy = await world.httpd.file('conf/vscode.json', JSON.stringify({ client_id: VSCODE, client_name: 'VS Code', redirect_uris: ['http://127.0.0.1:33418/', 'https://vscode.dev/redirect'] }));
        world.options.directives = `MCPAllowOrigin http://localhost:6274\nMCPOAuthClientMetadataCAFile ${host.cert}\nMCPOAuthClientMetadataFile ${VSCODE} ${copy}`;
    },
}, async (it, world) => {
    const resource = `${world.base}/echo`;

    await it('finds nothing wrong with a good gateway, with a token and without', async () => {
        const plain = await mcpctl('doctor', resource);
        assert.equal(plain.code, 0, plain.out + plain.err);
        assert.doesNotMatch(plain.out, /^FAIL/m);
        for (const what of ['challenge', 'resource metadata', 'server metadata', 'registration', 'metadata documents', 'consent page', 'sign-in', 'token endpoint']) {
            assert.match(plain.out, new RegExp(`^ok {4}${what}: `, 'm'));
        }
        assert.match(plain.out, /Cursor can register/);
        assert.match(plain.out, new RegExp(`sign-in: http.* takes the gateway's request; redirect URI ${world.base}/oauth-callback$`, 'm'));
        const tokens = await new OAuthClient(world, { resource }).signIn(world.person());
        const file = await world.httpd.file('conf/token', `${tokens.access_token}\n`);
        const json = await mcpctl('--json', 'doctor', '--token-file', file, '--no-register', resource);
        const findings = JSON.parse(json.out);
        assert.ok(findings.some(({ check, result }) => check === 'call' && result === 'ok'), json.out);
        assert.ok(!json.out.includes(tokens.access_token));
    });

    const faults = [
        ['no server', null, /^FAIL {2}connection: .*check name/m],
        ['a path that is not guarded', (a) => { if (a.url === '/echo' && a.method === 'POST') Object.assign(a, { status: 200, headers: {}, body: '{}' }); }, /^FAIL {2}challenge: .*AuthType MCP/m],
        ['a redirect', (a) => { if (a.url === '/echo') Object.assign(a, { status: 301, headers: { location: '/echo/' } }); }, /^FAIL {2}challenge: the server redirects to \/echo\//m],
        ['a lost challenge', (a) => { delete a.headers['www-authenticate']; }, /^FAIL {2}challenge: 401 without a Bearer challenge/m],
        ['an issuer with a slash', (a) => { if (isWellKnown(a, 'oauth-authorization-server')) asJson(a, (json) => { json.issuer += '/'; }); }, /^FAIL {2}server metadata: issuer .*byte for byte/m],
        ['another resource', (a) => { if (isWellKnown(a, 'oauth-protected-resource')) asJson(a, (json) => { json.resource = 'https://other.example/mcp'; }); }, /^FAIL {2}resource metadata: its resource is https:\/\/other\.example\/mcp/m],
        ['HTML for metadata', (a) => { if (isWellKnown(a, '')) Object.assign(a, { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }); }, /^FAIL {2}resource metadata: .*catch \/\.well-known\//m],
        ['no PKCE', (a) => { if (isWellKnown(a, 'oauth-authorization-server')) asJson(a, (json) => { delete json.code_challenge_methods_supported; }); }, /^FAIL {2}server metadata: S256/m],
        ['lost CORS headers', (a) => { for (const name of Object.keys(a.headers)) if (name.startsWith('access-control')) delete a.headers[name]; }, /^note {2}MCP endpoint: .*MCPAllowOrigin/m],
        ['a page that can be framed', (a) => { delete a.headers['content-security-policy']; }, /^FAIL {2}consent page: it can be framed/m],
        ['a clock that is wrong', (a) => { a.headers.date = new Date(Date.now() - 3_600_000).toUTCString(); }, /^FAIL {2}clock: .*-3[56]\d\d s off/m],
        ['an error page of somebody', (a) => { if (a.url === '/token') Object.assign(a, { status: 502, headers: { 'content-type': 'text/html' }, body: '<html>' }); }, /^FAIL {2}token endpoint: .*502/m],
    ];
    /** Another redirect URI than the provider knows: it is the real provider that refuses. */
    const elsewhere = (location) => { const url = new URL(location); url.searchParams.set('redirect_uri', 'https://other.example/oauth-callback'); return url.href; };
    const connections = (a) => a.url === '/connections';
    faults.push(
        ['a redirect URI that the provider does not know', (a) => { if (connections(a)) a.headers.location = elsewhere(a.headers.location); }, /^FAIL {2}sign-in: http\S+ refuses the gateway's request \(400\): register the redirect URI https:\/\/other\.example\/oauth-callback for the client \S+ there/m],
        ['a page of Entra ID that refuses with 200', (a, own) => {
            if (connections(a)) a.headers.location = `${own}/entra?redirect_uri=x&client_id=y`;
            if (a.url.startsWith('/entra')) Object.assign(a, { status: 200, headers: {}, body: '<script>{"x":"AADSTS50011: The redirect URI"}</script>' });
        }, /^FAIL {2}sign-in: .*\(AADSTS50011\).* x for the client y/m],
        ['a provider that is not reached', (a) => { if (connections(a)) a.headers.location = 'http://127.0.0.1:1/auth?client_id=a'; }, /^note {2}sign-in: people are sent to http:\/\/127\.0\.0\.1:1, which this host does not reach/m],
        ['a sign-in that cannot begin', (a) => { if (connections(a)) Object.assign(a, { status: 503, headers: {}, body: '' }); }, /^FAIL {2}sign-in: cannot begin \(503\).*MCP0232/m],
        ['a sign-in location of httpd that fails', (a, own) => {
            if (connections(a)) a.headers.location = `${own}/signin/people?state=s`;
            if (a.url.startsWith('/signin/')) Object.assign(a, { status: 500, headers: {}, body: '' });
        }, /^FAIL {2}sign-in: \S+\/signin\/people got 500/m],
        ['metadata behind a password', (a) => { if (isWellKnown(a, '')) Object.assign(a, { status: 401, headers: { 'www-authenticate': 'Basic realm="x"' }, body: '' }); }, /^FAIL {2}resource metadata: \S+ got 401: something protects it.*AuthType None/m],
    );
    for (const [what, spoil, expected] of faults) {
        await it(`names the fault: ${what}`, async () => {
            const gateway = spoil ? await spoiled(world, spoil) : { base: 'http://127.0.0.1:1', close() {} };
            try {
                const { code, out, err } = await mcpctl('doctor', `${gateway.base}/echo`);
                assert.match(out, expected, out + err);
                if (/FAIL/.test(expected.source)) assert.equal(code, 1);
            } finally { await gateway.close(); }
        });
    }

    /** What it says of metadata documents: {code, text: the line}. */
    const documents = async (base, ...options) => {
        const { code, out, err } = await mcpctl('doctor', '--no-register', ...options, `${base}/echo`);
        return { code, text: out.match(/^.* metadata documents: .*$/m)?.[0] ?? out + err };
    };

    await it('tells whether the gateway can fetch a client\'s metadata document, and nobody is asked to sign in', async () => {
        for (const redirects of [['http://127.0.0.1/callback'], ['http://127.0.0.1/callback', 'https://app.example/cb']]) {
            const id = host.publish(`/doctor-${redirects.length}.json`, { redirect_uris: redirects });
            const asked = host.asked.length;
            assert.deepEqual(await documents(world.base, '--document', id), { code: 0, text: `ok    metadata documents: taken: the gateway has read ${id}` });
            assert.deepEqual(host.asked.slice(asked), [`/doctor-${redirects.length}.json`]);
        }
        world.httpd.announce('MCP0201');
        const gone = await documents(world.base, '--document', 'https://localhost:1/client.json');
        assert.equal(gone.code, 1, gone.text);
        const [, reference] = gone.text.match(/^FAIL {2}metadata documents: the gateway cannot fetch https:\/\/localhost:1\/client\.json now: ".*reference ([0-9a-f]+)\)"\. .*MCPOAuthClientMetadataProxy .*MCPOAuthClientMetadata Off/);
        assert.match(world.httpd.log(), new RegExp(`reference ${reference}: .*localhost:1/client\\.json`), 'and the error log says why');
        const bad = await documents(world.base, '--document', host.publish('/other.json', { client_id: 'https://evil.example/x' }));
        assert.equal(bad.code, 1);
        assert.match(bad.text, /^FAIL {2}metadata documents: the gateway refuses \S+other\.json: ".*MCPOAuthClientMetadataHosts/);
    });

    await it('metadata documents: what is not named is a note, what is not taken is told, and left out what is asked for', async () => {
        const answers = [
            [(a) => { if (a.url.startsWith('/authorize')) Object.assign(a, { status: 503, headers: { 'content-type': 'application/json' }, body: '{"error":"temporarily_unavailable"}' }); }, [], 0, /^note {2}metadata documents: the gateway cannot fetch https:\/\/vscode\.dev/],
            [(a) => { if (a.url.startsWith('/authorize')) Object.assign(a, { status: 200, headers: { 'content-type': 'text/html' }, body: '<html>' }); }, [], 0, /^note {2}metadata documents: .* got 200 : nobody knows/],
            [(a) => { if (isWellKnown(a, 'o')) asJson(a, (json) => { delete json.client_id_metadata_document_supported; }); }, [], 0, /^ok {4}metadata documents: not taken here \(MCPOAuthClientMetadata\): .* register/],
            [(a) => { if (isWellKnown(a, 'o')) asJson(a, (json) => { delete json.client_id_metadata_document_supported; }); }, ['--document', VSCODE], 1, /^FAIL {2}metadata documents: not taken here/],
            [() => {}, ['--no-document'], 0, /fine, .* failed/],
        ];
        for (const [spoil, options, code, expected] of answers) {
            const gateway = await spoiled(world, spoil);
            try {
                const got = await documents(gateway.base, ...options);
                assert.match(got.text, expected);
                assert.equal(got.code, code, got.text);
            } finally { await gateway.close(); }
        }
    });

    await it('says how it is used', async () => {
        assert.equal((await mcpctl('doctor', '--document', 'http://app.example/client.json', resource)).code, 2);
        assert.equal((await mcpctl('doctor')).code, 2);
        assert.equal((await mcpctl('doctor', 'not a url')).code, 2);
        assert.equal((await mcpctl('doctor', '--nonsense', resource)).code, 2);
    });
    await host.close();
});

test('doctor names a provider that is down', async (t) => {
    const world = await openWorld(t, { backend: false, provider: false });
    world.httpd.announce('MCP0201', 'MCP0232');
    const { code, out } = await mcpctl('doctor', `${world.base}/echo`);
    assert.equal(code, 1, out);
    assert.match(out, /^FAIL {2}sign-in: cannot begin \(503\): the identity provider is not reached.*MCP0232/m);
});
