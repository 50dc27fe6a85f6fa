// SPDX-License-Identifier: Apache-2.0
// Providers in the configuration: presets, what a preset's lines do, several providers beside each other.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { startHostileIdp } from './hostile-idp/idp.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person } from './lib/person.mjs';
import { suite } from './lib/suite.mjs';

/** A <MCPProvider> section for `idp`; `lines` come first, as a preset may. */
function section(world, name, idp, lines = '') {
    const secret = join(world.httpd.root, `conf/secret-${name}`);
    writeFileSync(secret, `${idp.clientSecret}\n`, { mode: 0o600 });
    world.httpd.secret(`client secret at ${name}`, idp.clientSecret);
    return `
<MCPProvider ${name}>
${lines}
    MCPProviderIssuer ${idp.issuer}
    MCPProviderClientID ${idp.clientId}
    MCPProviderClientSecret file:${secret}
    MCPProviderTimeout 2s
</MCPProvider>`;
}

const site = (sections) => (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
${sections(world)}
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>`;

const options = (sections, more = {}) => ({ provider: false, backend: false, site: site(sections), ...more });

/** A registered client of the gateway. */
async function clientOf(world) {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    assert.equal((await client.register()).status, 201);
    return client;
}

const pat = () => new Person({ name: 'pat', password: 'x' });
const asked = (idp) => idp.requests.findLast(({ path }) => path === '/authorize').query;
const lastSignIn = (world) => world.httpd.log().match(/MCP0244: "[^"]*" signed in/g)?.at(-1) ?? '';

// ---- presets ---------------------------------------------------------------------------------------------------------

const plain = await startHostileIdp();
plain.bend.claims = (claims) => ({
    ...claims, tid: 'tenant/1', oid: 'a b', n: 42, realm_access: { roles: ['admin', 'user'] }, 'https://x.example/roles': ['r1'],
});

for (const [name, lines, expected] of [
    ['google', 'MCPProviderPreset google', { access_type: 'offline', prompt: 'consent', scope: 'openid profile email' }],
    ['google, of which something is written by hand', 'MCPProviderScope openid\nMCPProviderAuthParam access_type\nMCPProviderPreset google',
        { access_type: undefined, prompt: 'consent', scope: 'openid' }],
    ['okta with its host, and the issuer written by hand', 'MCPProviderPreset Okta example.okta.com', { scope: 'openid profile email offline_access' }],
    ['no preset, and the same by hand',
        'MCPProviderScope "openid profile email"\nMCPProviderAuthParam access_type offline\nMCPProviderAuthParam prompt consent\nMCPProviderAuthParam hd example.com',
        { access_type: 'offline', prompt: 'consent', scope: 'openid profile email', hd: 'example.com' }],
]) {
    suite(`preset: ${name}`, options((world) => section(world, 'corp', plain, lines)), async (it, world) => {
        const client = await clientOf(world);
        await it('asks as it should, and the client can add a prompt but take none away', async () => {
            assert.ok((await client.authorize(pat())).code);
            const query = asked(plain);
            for (const [key, value] of Object.entries(expected)) assert.equal(query[key], value, key);
            assert.ok((await client.authorize(pat(), { prompt: 'select_account' })).code);
            assert.equal(asked(plain).prompt, expected.prompt ? 'select_account consent' : 'select_account');
        });
    });
}

// An HTTP proxy that really forwards, and counts.
const proxied = [];
const proxy = http.createServer((request, response) => {
    proxied.push(request.url);
    const onward = http.request(request.url, { method: request.method, headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
}).listen(0, '127.0.0.1');
await once(proxy, 'listening');
proxy.unref();

suite('claims by path, and an egress proxy', options((world) => section(world, 'corp', plain, `
    MCPProviderSubjectClaim tid oid
    MCPProviderUsernameClaim email
    MCPProviderClaims realm_access.roles https://x.example/roles /realm_access/roles/1 n
    MCPProviderProxy http://127.0.0.1:${proxy.address().port}`), { httpd: { env: { no_proxy: '*', NO_PROXY: '127.0.0.1' } } }), async (it, world) => {
    const client = await clientOf(world);
    await it('the subject is made of the claims that are named, so that no two people share one', async () => {
        assert.ok((await client.authorize(pat())).code);
        assert.match(lastSignIn(world), /"corp\|tenant%2F1\/a%20b"/);
    });
    await it('every call goes through the proxy', () => {
        for (const path of ['/.well-known/openid-configuration', '/token', '/jwks']) {
            assert.ok(proxied.includes(`${plain.issuer}${path}`), path);
        }
    });
    await it('a sign-in without a claim of the subject fails', async () => {
        world.httpd.announce('MCP0243');
        for (const oid of [undefined, '', { a: 1 }, 1.5, true, ['x'], 'x'.repeat(256)]) {
            plain.bend.claims = (claims) => ({ ...claims, tid: 't', oid });
            const answer = await client.authorize(pat());
            assert.equal(answer.error, 'server_error', JSON.stringify(oid));
        }
        assert.match(world.httpd.log(), /identity refused: the claim oid, which names the person, is missing/);
        plain.bend.claims = (claims) => ({ ...claims, tid: 't', oid: 7 });
        assert.ok((await client.authorize(pat())).code, 'a number is taken');
        assert.match(lastSignIn(world), /"corp\|t\/7"/);
    });
});

suite('what configtest says of providers', { ...options(() => ''), start: false }, async (it, world) => {
    const check = async (lines, more = '') => {
        await world.httpd.configure(site(() => `<MCPProvider corp>\n${lines}\n</MCPProvider>${more}`)(world));
        return world.httpd.configtest();
    };
    await it('every preset is complete with what stands after its name, and a client', async () => {
        for (const preset of ['google', 'GOOGLE', 'okta example.okta.com', 'okta example.okta.com/oauth2/default', 'auth0 a.eu.auth0.com',
            'keycloak sso.example.com:8443/realms/corp', 'entra 11111111-2222-3333-4444-555555555555']) {
            const { code, output } = await check(`MCPProviderPreset ${preset}\nMCPProviderClientID x`);
            assert.equal(code, 0, output);
        }
    });
    for (const [lines, message, more] of [
        ['MCPProviderPreset gogle\nMCPProviderClientID x', /MCPProviderPreset knows entra, google, .* and no "gogle"/],
        ['MCPProviderPreset google x\nMCPProviderClientID x', /google takes nothing after the name/],
        ['MCPProviderPreset okta\nMCPProviderClientID x', /no issuer is set/],
        ['MCPProviderPreset okta https://example.okta.com\nMCPProviderClientID x', /okta takes a host such as .* no scheme/],
        ['MCPProviderPreset okta "a b"\nMCPProviderClientID x', /okta takes a host such as/],
        ['MCPProviderPreset google\nMCPProviderPreset google\nMCPProviderClientID x', /is there twice/],
        ['MCPProviderPreset google\nMCPProviderAuthParam State x\nMCPProviderClientID x', /does not take State/],
        ['MCPProviderPreset google\nMCPProviderAuthParam "a\tb" x\nMCPProviderClientID x', /MCPProviderAuthParam takes/],
        ['MCPProviderPreset google\nMCPProviderSubjectClaim "a\\"b"\nMCPProviderClientID x', /MCPProviderSubjectClaim takes names/],
        ['MCPProviderPreset google\nMCPProviderProxy socks5://x\nMCPProviderClientID x', /MCPProviderProxy takes/],
        ['MCPProviderPreset google\nMCPProviderLabel ""\nMCPProviderClientID x', /MCPProviderLabel takes/],
        ['MCPProviderPreset google\nMCPProviderClientID x', /<MCPProvider corp> is there twice/, '\n<MCPProvider corp>\nMCPProviderPreset google\nMCPProviderClientID x\n</MCPProvider>'],
        ['MCPProviderPreset google\nMCPProviderScope profile\nMCPProviderClientID x', /openid among them/],
    ]) {
        await it(`refuses ${lines.replaceAll('\n', ', ')}`.slice(0, 110), async () => {
            const { code, output } = await check(lines, more);
            assert.notEqual(code, 0, output);
            assert.match(output, message);
        });
    }
    await it('refuses the directives outside a section', async () => {
        const { output } = await check('MCPProviderPreset google\nMCPProviderClientID x', '\nMCPProviderPreset google');
        assert.match(output, /belongs into a <MCPProvider NAME> section/);
    });
});
