// SPDX-License-Identifier: Apache-2.0
// Every endpoint, with each kind of provider, under requests that nobody sends by accident: right ones with a few things
// changed, genuine sealed values in the places of others, tokens of strangers. No 500, no hang, no ended process, nobody
// sent to a place that is not known, nothing of the request on a page unescaped, no token in the error log.
//
//   MCP_ROUND=3000 MCP_SEED=7    more of them, and others

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { chmodSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { jws } from './hostile-idp/idp.mjs';
import { startGitHub } from './lib/github.mjs';
import { altered, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person, forms } from './lib/person.mjs';
import { suite } from './lib/suite.mjs';
import { providerSection } from './lib/world.mjs';

const FORM = 'application/x-www-form-urlencoded';
const MARKUP = '"\'><script>alert(1)</script>';
const FRITZ = `Basic ${Buffer.from('fritz:fritz-pw-1234').toString('base64')}`; // whom httpd itself knows
const CALLBACK = 'http://127.0.0.1:1/callback';
const ROUND = Number(process.env.MCP_ROUND ?? 120); // requests to each endpoint of each site
const SEED = Number(process.env.MCP_SEED ?? 0);

const github = await startGitHub();
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });

const PROVIDERS = {
    demo: providerSection,
    github: (world) => `\n${github.section(`${world.httpd.root}/conf/github-secret`)}`,
    local: (world) => `
<MCPProvider local>
    MCPProviderType httpd
</MCPProvider>
<Location /signin/local>
    AuthType Basic
    AuthName people
    AuthUserFile ${world.passwords}
    Require valid-user
</Location>`,
};

const site = (names) => (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
MCPOAuthLimit all none
${names.map((name) => PROVIDERS[name](world)).join('')}
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>
<Location /echo/up>
    MCPGuardUpstreamToken X-Upstream
    MCPGuardAssertion X-Assertion
</Location>`;

/** Numbers that look random and are the same in each run (mulberry32). */
function dice(seed) {
    const next = () => {
        seed = (seed + 0x6d2b79f5) | 0;
        let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
        t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
        return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
    };
    return { below: (n) => Math.floor(next() * n), of: (list) => list[Math.floor(next() * list.length)] };
}

/** A person who knows the password of httpd's own sign-in, too. */
class Anyone extends Person {
    go(url, options = {}) {
        const basic = new URL(url).pathname === '/signin/local' ? { Authorization: FRITZ } : {};
        return super.go(url, { ...options, headers: { ...options.headers, ...basic } });
    }
}

/** Genuine values of each kind: what a registration, a page, a sign-in and its cookies give. */
async function gather(world, names) {
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, redirectUri: CALLBACK });
    assert.equal((await client.register()).status, 201);
    const person = new Anyone(world.provider.accounts[0]);
    const way = { choose: names.length > 1 ? names[0] : undefined };
    const used = await client.authorize(person, {}, way);
    assert.ok(used.code, used.url);
    const tokens = (await client.redeem(used.code)).json();
    const { code } = await client.authorize(person, {}, way);
    const { verifier } = client.pkce;
    const list = forms((await person.go(`${world.base}/connections`)).text).find(({ fields }) => fields.some(({ name }) => name === 'form'));
    const page = await person.go(client.authorizeUrl());
    const [form] = forms(page.text);
    const field = ({ fields }) => fields.find(({ name }) => name === 'form').value;
    await person.submit(page, form, {}, form.buttons.find(({ text }) => text === 'Allow')); // its step stays open
    const values = { client: client.clientId, access: tokens.access_token, refresh: tokens.refresh_token, used: used.code, code, verifier, form: field(form), ...(list && { list: field(list) }) };
    for (const name of person.jar.names(world.base)) values[`cookie ${name}`] = person.jar.get(world.base, name);
    return { client, values, cookie: person.jar.header(world.base) };
}

/** What each endpoint is meant to get. */
function rightRequests(world, names, { client, values }) {
    const logout = (provider) => jws({ alg: 'RS256', kid: 'k', typ: 'logout+jwt' }, { iss: world.provider.issuer, aud: world.provider.clientId, sub: 'x', sid: 's',
        iat: Math.floor(Date.now() / 1000), exp: Math.floor(Date.now() / 1000) + 60, jti: provider, events: { 'http://schemas.openid.net/event/backchannel-logout': {} } }, privateKey);
    const authorize = Object.fromEntries(new URL(client.authorizeUrl()).searchParams);
    const json = { client_name: 'x', redirect_uris: [CALLBACK], token_endpoint_auth_method: 'none', grant_types: ['authorization_code'] };
    return [
        { path: '/authorize', query: authorize },
        { path: '/consent', form: { form: values.form, decision: 'allow' } },
        { path: '/signin', form: { form: values.form, provider: names[0] } },
        { path: '/oauth-callback', query: { state: 'x', code: 'x', iss: world.provider.issuer } },
        { path: '/oauth-callback', form: { state: 'x', code: 'x' } },
        { path: '/token', form: { grant_type: 'authorization_code', code: values.code, client_id: client.clientId, redirect_uri: CALLBACK, code_verifier: values.verifier } },
        { path: '/token', form: { grant_type: 'refresh_token', refresh_token: values.refresh, client_id: client.clientId, scope: 'snippets' } },
        { path: '/register', json },
        { path: '/revoke', form: { token: values.refresh, client_id: client.clientId } },
        { path: '/connections', query: {} },
        { path: '/connections', form: { form: values.list ?? values.form, grant: 'x', client: 'x' } },
        { path: '/signout', form: { form: values.list ?? values.form } },
        { path: '/signout', query: { state: 'x' } },
        { path: '/echo/up', json: { jsonrpc: '2.0', id: 1, method: 'tools/list' } },
        { path: '/jwks', query: {} },
        { path: `/client-logo/${values.form}`, query: {} },
        { path: '/.well-known/oauth-authorization-server', query: {} },
        { path: '/.well-known/oauth-protected-resource/echo', query: {} },
        ...names.flatMap((name) => [
            { path: `/oauth-callback/${name}`, query: { state: 'x', code: 'x' } },
            { path: `/backchannel-logout/${name}`, form: { logout_token: logout(name) } },
            { path: `/signin/${name}`, query: { form: values.form } },
        ]),
    ];
}

/** A request with a few things changed: parameters, their places, the method, cookies and headers. */
function change(right, { pool, cookies, headers, parameters }, roll) {
    const method = roll.below(4) ? (right.query ? 'GET' : 'POST') : roll.of(['GET', 'POST', 'HEAD', 'PUT', 'DELETE', 'OPTIONS', 'PATCH']);
    const pairs = Object.entries(right.query ?? right.form ?? right.json).filter(([, value]) => value !== undefined);
    for (let changes = roll.below(4); changes > 0; changes--) {
        const at = roll.below(pairs.length + 1);
        if (at === pairs.length || roll.below(3) === 0) pairs.push([roll.of(parameters), roll.of(pool)]);
        else if (roll.below(4) === 0) pairs.splice(at, 1);
        else pairs[at] = [pairs[at][0], roll.below(3) && typeof pairs[at][1] === 'string' && pairs[at][1].length > 2 ? altered(pairs[at][1]) : roll.of(pool)];
    }
    const text = pairs.map(([name, value]) => `${encodeURIComponent(name)}=${roll.below(20) ? encodeURIComponent(value) : roll.of(['%', '%00', '%zz', '%ff', '+', '&&='])}`).join('&');
    const own = roll.of(headers);
    const cookie = roll.below(3) ? cookies[0] : roll.of(cookies);
    const sent = { ...own, ...(cookie ? { Cookie: cookie } : {}) };
    if (method === 'GET' || method === 'HEAD' || right.query) return { method, path: `${right.path}?${text}`.slice(0, 8000), headers: sent }; // longer ones are httpd's to refuse
    if (right.json) {
        return { method, path: right.path, headers: { 'Content-Type': 'application/json', ...sent },
            body: roll.below(8) ? JSON.stringify(Object.fromEntries(pairs)) : roll.of(['', '[]', '{', 'null', `{"redirect_uris":${'['.repeat(5000)}`, '{"client_name":"\\u0000"}', '"x"']) };
    }
    return { method, path: right.path, headers: { 'Content-Type': roll.below(10) ? FORM : roll.of(['application/json', 'multipart/form-data; boundary=x', 'text/plain', FORM.toUpperCase()]), ...sent }, body: text };
}

function judge(world, sent, answer) {
    const told = `${sent.method} ${sent.path.slice(0, 300)} ${JSON.stringify(sent.headers).slice(0, 300)} ${sent.body?.slice?.(0, 600) ?? ''}\n${answer.status} ${answer.text?.slice(0, 300)}`;
    assert.ok(answer.status < 500 || (answer.status === 503 && answer.headers['retry-after']), told);
    const { location } = answer.headers;
    if (location) {
        const known = [world.base, world.provider.issuer, github.base, CALLBACK];
        assert.ok(/^\/(?!\/)/.test(location) || known.includes(new URL(location).origin) || location.startsWith(CALLBACK), `${told}\n${location}`);
    }
    if (/html/.test(answer.headers['content-type'] ?? '')) {
        assert.ok(!answer.text.includes('<script>alert'), told);
        if (answer.text.startsWith('<!DOCTYPE html>')) assert.match(answer.headers['content-security-policy'] ?? '', /frame-ancestors 'none'/, told); // httpd's own pages have none
    }
}

for (const names of [['demo'], ['github'], ['local'], ['demo', 'github', 'local']]) {
    suite(`endpoints with ${names.join(', ')}`, {
        backend: false, site: site(names), httpd: { modules: ['auth_basic', 'authn_file'] },
        before: async (world) => {
            await world.httpd.file('conf/github-secret', `${github.clientSecret}\n`);
            world.passwords = join(world.httpd.root, 'conf/htpasswd');
            execFileSync('htpasswd', ['-cbB', '-C', '4', world.passwords, 'fritz', 'fritz-pw-1234'], { stdio: 'ignore' });
            chmodSync(world.passwords, 0o644);
        },
    }, async (it, world) => {
        const children = world.httpd.children();
        world.httpd.announce('MCP0201', 'MCP0243', /auth_basic:error/);
        const gathered = await gather(world, names);
        const { values, cookie } = gathered;
        const rights = rightRequests(world, names, gathered);
        const genuine = Object.values(values);
        const parts = {
            pool: [...genuine, ...genuine.map((value) => altered(value)), '', 'x', '0', '-1', '99999999999999999999', 'ü\u202e', MARKUP, 'a\r\nSet-Cookie: x=1', 'x'.repeat(6000),
                'javascript:alert(1)', 'https://evil.example/', '//evil.example', 'none', 'consent', 'login', 'xx-yy', '{}', '[[', 'e30.e30.', `${'e30.'.repeat(2)}AAAA`, 'eyJhbGciOiJub25lIn0.e30.', ...names],
            cookies: [cookie, undefined, ...genuine.map((value) => `__Host-mcp-tx=${value}`), `${cookie}; ${cookie}`, 'x', '=;=;;', `mcp=${'y'.repeat(5000)}`,
                cookie?.replace(/=[^;]{8}/g, '=AAAAAAAA')],
            headers: [{}, { 'Sec-Fetch-Site': 'same-origin', Origin: world.base }, { 'Sec-Fetch-Site': 'cross-site', Origin: 'https://evil.example' }, { Origin: 'null' },
                { Accept: 'application/json' }, { Authorization: FRITZ }, { Authorization: `Basic ${Buffer.from(`${values.client}:x`).toString('base64')}` },
                { Authorization: `Bearer ${values.access ?? 'x'}` }, { 'Accept-Language': `${MARKUP},ar;q=9` }, { Host: 'evil.example' }, { 'X-Forwarded-Host': 'evil.example', 'X-Forwarded-Proto': 'ftp' }],
            parameters: [...new Set(['lang', 'grant', 'client', 'all', 'person', 'login_hint', 'ui_locales', 'prompt', 'response_mode', 'request', 'request_uri', 'error', 'error_description',
                'client_assertion', 'client_assertion_type', 'client_secret', 'logo_uri', 'client_uri', 'jwks', MARKUP, ...rights.flatMap((right) => Object.keys(right.query ?? right.form ?? right.json))])],
        };
        const agent = new http.Agent({ keepAlive: true, maxSockets: 8 });
        const seen = new Set();
        for (const [n, right] of rights.entries()) {
            await it(`${right.query ? 'GET' : 'POST'} ${right.path.slice(0, 40)} stands changes of what is right (T9, T28, T33, T34, T45)`, async () => {
                const roll = dice(SEED + n + 1);
                const sents = Array.from({ length: ROUND }, () => change(right, parts, roll));
                await Promise.all(sents.map(async (sent) => {
                    const answer = await request(`${world.base}${sent.path}`, { ...sent, agent });
                    seen.add(answer.status);
                    judge(world, sent, answer);
                }));
            });
        }
        agent.destroy();
        await it('every process lives, and the next person is served', async () => {
            const now = world.httpd.children();
            assert.ok(children.every((pid) => now.includes(pid)), `${children} before, ${now} now`);
            for (const status of [200, 201, 302, 400, 403, 404, 405]) assert.ok(seen.has(status), `no ${status}: the requests are too tame: ${[...seen]}`);
            const client = new OAuthClient(world, { resource: `${world.base}/echo`, redirectUri: CALLBACK });
            assert.equal((await client.register()).status, 201);
            assert.equal((await request(client.authorizeUrl())).status, 200);
        });
    });
}
