// SPDX-License-Identifier: Apache-2.0
// Providers in the configuration: presets, what a preset's lines do, several providers beside each other.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import * as manners from './hostile-idp/manners.mjs';
import { startHostileIdp } from './hostile-idp/idp.mjs';
import { openBrowser } from './lib/browser.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
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

// ---- several ---------------------------------------------------------------------------------------------------------

const [one, two] = [await startHostileIdp(), await startHostileIdp()];
const both = (world) => section(world, 'one', one, 'MCPProviderLabel "First & <best>"\nMCPProviderDomains one.example')
    + section(world, 'two', two, 'MCPProviderDomains *.two.example two.example');
const transactions = (world, person) => person.jar.names(world.base).filter((name) => name.startsWith('mcp_tx'));

suite('two providers', options(both), async (it, world) => {
    const client = await clientOf(world);
    const calls = () => [one.count('/token'), two.count('/token')];
    /** Someone who has said yes and is asked where to sign in. */
    const undecided = async (changes) => {
        const person = pat();
        return { person, page: await person.visit(client.authorizeUrl(changes), { choose: 'one', pause: 'choice' }) };
    };
    const press = ({ person, page }, value, changes = {}) => person.submit(page, page.form, changes, { name: 'provider', value });

    await it('the consent page names both and what they are asked for (CP-5); nothing of a sign-in exists before the choice (CP-12)', async () => {
        const person = pat();
        const consent = await person.visit(client.authorizeUrl(), { pause: 'consent' });
        assert.match(consent.text, /<bdi>First &amp; &lt;best&gt; \(127\.0\.0\.1\)<\/bdi>: openid profile[^<]*<\/li>\s*<li><bdi>127\.0\.0\.1<\/bdi>: openid/);
        const page = await person.submit(consent, consent.form, {}, consent.button);
        assert.match(page.text, /How do you want to sign in\?/);
        assert.match(page.text, /First &amp; &lt;best&gt; \(127/);
        assert.deepEqual(transactions(world, person), []);
    });

    for (const [name, idp, path] of [['one', one, '/oauth-callback'], ['two', two, '/oauth-callback/two']]) {
        await it(`${name} is chosen, signs in by its own callback, and is asked at the refresh`, async () => {
            idp.bend.answer = (answer) => ({ ...answer, expires_in: 1 });
            const person = pat();
            const answer = await client.authorize(person, {}, { choose: name });
            assert.ok(answer.code, answer.url);
            assert.equal(new URL(asked(idp).redirect_uri).pathname, path);
            assert.match(lastSignIn(world), new RegExp(`"${name}\\|person-1"`));
            const tokens = (await client.redeem(answer.code)).json();
            const before = calls();
            await sleep(1100);
            assert.equal((await client.refresh(tokens.refresh_token)).status, 200);
            assert.deepEqual(calls(), [before[0] + (idp === one), before[1] + (idp === two)]);
            // and the next time it comes first
            const again = await person.visit(client.authorizeUrl(), { choose: name, pause: 'choice' });
            assert.equal(again.form.buttons[0].value, name);
            assert.match(again.form.buttons[0].text, /\(as last time\)$/);
            assert.equal(again.form.buttons.length, 2);
            idp.reset();
        });
    }

    await it('an address of its domain as login_hint leads straight to a provider; what only looks like one does not (T26, T39)', async () => {
        for (const [hint, idp] of [['pat@one.example', one], ['pat@TWO.example', two], ['pat@a.b.two.example', two]]) {
            const before = idp.count('/authorize');
            assert.ok((await client.authorize(pat(), { login_hint: hint })).code, hint);
            assert.equal(idp.count('/authorize'), before + 1);
            assert.equal(asked(idp).login_hint, hint);
        }
        for (const hint of ['pat', '@one.example', 'pat@a.one.example', 'pat@one.example@evil', 'pat@evil@one.example', 'pat@evilone.example',
            'pat@eviltwo.example', 'pat@one.example.', 'pat@.two.example', 'pat@one.example.evil', 'pat@']) {
            const { page } = await undecided({ login_hint: hint });
            assert.match(page.text, /How do you want/, hint);
        }
    });

    await it('the choice is bound to the browser, to our page and to its step (T5)', async () => {
        const mine = await undecided();
        const other = pat();
        await other.visit(client.authorizeUrl(), { pause: 'consent' }); // has a cookie of its own
        assert.equal((await press({ ...mine, person: other }, 'one')).status, 403, 'another browser');
        assert.equal((await press({ ...mine, person: pat() }, 'one')).status, 403, 'no cookie');
        assert.equal((await press(mine, 'three')).status, 400);
        assert.equal((await press(mine, 'one|x')).status, 400);
        const cross = await mine.person.go(`${world.base}/signin`, {
            method: 'POST', body: new URLSearchParams({ form: mine.page.form.fields[0].value, provider: 'one' }).toString(),
            headers: { 'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Site': 'cross-site' },
        });
        assert.equal(cross.status, 403, 'another site');
        assert.equal((await mine.person.go(`${world.base}/signin`)).status, 405);
        // neither form stands in for the other
        const consent = await mine.person.visit(client.authorizeUrl(), { pause: 'consent' });
        const sealed = consent.form.fields.find(({ name }) => name === 'form').value;
        assert.equal((await press(mine, 'one', { form: sealed })).status, 403, 'a consent form is no choice');
        const skip = await mine.person.submit(consent, consent.form, { form: mine.page.form.fields[0].value }, consent.button);
        assert.equal(skip.status, 403, 'a choice is no consent');
        assert.deepEqual(transactions(world, mine.person), []);
        assert.equal((await press(mine, 'one')).status, 303, 'after all that the right one');
    });

    await it('mix-up: what comes to the callback of another provider, or says that it is from another issuer, is not redeemed (AS-18)', async () => {
        world.httpd.announce('MCP0243');
        for (const [name, wrong] of [['one', '/oauth-callback/two'], ['two', '/oauth-callback'], ['two', '/oauth-callback/one'],
            ['two', '/oauth-callback/twox'], ['two', '/oauth-callback/']]) {
            const person = pat();
            const url = await person.visit(client.authorizeUrl(), { choose: name, stop: (to) => new URL(to).pathname.startsWith('/oauth-callback') });
            const before = calls();
            const bent = new URL(url);
            bent.pathname = wrong;
            const answer = await person.go(bent.href);
            assert.ok(answer.status === 400 || answer.status === 404, `${wrong}: ${answer.status}`);
            assert.deepEqual(calls(), before, 'no code was redeemed anywhere');
            if (answer.status === 400) {
                assert.match(world.httpd.log(), /an answer for the sign-in at \w+ came to \/oauth-callback\S* \(mix-up\)/);
                assert.equal((await person.go(url)).status, 403, 'and the transaction is over');
            }
        }
        two.bend.callback = (params) => ({ ...params, iss: one.issuer });
        const before = calls();
        assert.equal((await client.authorize(pat(), {}, { choose: 'two' })).error, 'server_error');
        assert.deepEqual(calls(), before);
        two.bend.callback = (params) => ({ ...params, iss: two.issuer });
        assert.ok((await client.authorize(pat(), {}, { choose: 'two' })).code, 'the right issuer');
        two.reset();
    });

    await it('a provider that hangs holds up nobody at another one', async () => {
        world.httpd.announce('MCP0232');
        for (const endpoint of ['token', 'metadata']) {
            await world.httpd.graceful(); // nothing is cached
            two.bend[endpoint] = manners.silent;
            const stuck = Array.from({ length: 60 }, async () => {
                const own = Object.assign(new OAuthClient(world, { resource: client.resource }), { clientId: client.clientId });
                return own.authorize(pat(), {}, { choose: 'two' });
            });
            await sleep(300);
            const times = [];
            for (let i = 0; i < 5; i++) {
                const began = Date.now();
                assert.ok((await client.authorize(pat(), {}, { choose: 'one' })).code, `${endpoint} ${i}`);
                times.push(Date.now() - began);
            }
            assert.ok(Math.min(...times) < 1000, `${endpoint}: ${times}`);
            for (const answer of await Promise.all(stuck)) assert.equal(answer.error, 'temporarily_unavailable');
            two.reset();
        }
    });

    await it('in Chromium: a button for each, by keyboard, at 320 pixels, and without a complaint', async () => {
        const { page, complaints, close } = await openBrowser();
        try {
            await page.setViewportSize({ width: 320, height: 600 });
            await page.goto(client.authorizeUrl());
            await page.getByRole('button', { name: 'Allow' }).click();
            await page.getByRole('heading', { name: 'How do you want to sign in?' }).waitFor();
            assert.deepEqual(await page.getByRole('button').allTextContents(), ['Continue with First & <best> (127.0.0.1)', 'Continue with 127.0.0.1']);
            assert.ok((await page.getByRole('button').last().boundingBox()).width <= 320);
            const before = two.count('/authorize');
            await page.getByRole('button').last().focus();
            await page.keyboard.press('Enter', { noWaitAfter: true });
            await until(() => two.count('/authorize') === before + 1, 'the provider to be asked');
            assert.deepEqual(complaints.filter((text) => /Content Security Policy/i.test(text)), []);
        } finally { await close(); }
    });

    await it("a provider that is taken away takes its people's sessions with it, and the log says why (CP-31)", async () => {
        const session = async (name) => {
            const { code } = await client.authorize(pat(), {}, { choose: name });
            return (await client.redeem(code)).json();
        };
        const [first, second] = [await session('one'), await session('two')];
        await world.httpd.configure(site((w) => section(w, 'one', one))(world));
        await world.httpd.graceful();
        assert.equal((await client.refresh(first.refresh_token)).status, 200);
        const answer = await client.refresh(second.refresh_token);
        assert.equal(answer.status, 400);
        assert.equal(answer.json().error, 'invalid_grant');
        assert.match(world.httpd.log(), /MCP0276: "two\|person-1" signed in at a provider that is not configured any more/);
        const call = await request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${second.access_token}` } });
        assert.equal(call.status, 401);
    });
});

suite('what configtest says of providers', { ...options(() => ''), start: false }, async (it, world) => {
    const check = async (lines, more = '') => {
        await world.httpd.configure(site(() => `<MCPProvider corp>\n${lines}\n</MCPProvider>${more}`)(world));
        return world.httpd.configtest();
    };
    await it('a provider where no host has MCPOAuth On is warned of', async () => {
        const good = site(() => '<MCPProvider corp>\nMCPProviderPreset google\nMCPProviderClientID x\n</MCPProvider>')(world);
        await world.httpd.configure(good.replace('MCPOAuth On', ''));
        assert.match((await world.httpd.configtest()).output, /MCP0203: <MCPProvider corp>: no host has MCPOAuth On/);
        await world.httpd.configure(good);
        assert.doesNotMatch((await world.httpd.configtest()).output, /MCP0203/);
    });
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
        ['MCPProviderPreset google\nMCPProviderDomains a@b\nMCPProviderClientID x', /MCPProviderDomains takes domains/],
        ['MCPProviderPreset google\nMCPProviderDomains A.example\nMCPProviderClientID x', /MCPProviderDomains a.example is <MCPProvider corp>'s already/,
            '\n<MCPProvider second>\nMCPProviderPreset google\nMCPProviderDomains b.example a.example\nMCPProviderClientID x\n</MCPProvider>'],
        ['MCPProviderPreset google\nMCPProviderScope profile\nMCPProviderClientID x', /openid among them/],
    ]) {
        await it(`refuses ${lines.replaceAll('\n', ', ')}`.slice(0, 110), async () => {
            const { code, output } = await check(lines, more);
            assert.notEqual(code, 0, output);
            assert.match(output, message);
        });
    }
    await it('refuses one name for two providers in two virtual hosts, whose people would be one person', async () => {
        const host = (issuer) => `\n<VirtualHost 127.0.0.1:${world.httpd.port}>\nMCPIssuer https://other.example\nMCPResource https://other.example/mcp\nMCPOAuth On
            <MCPProvider corp>\nMCPProviderIssuer ${issuer}\nMCPProviderClientID y\n</MCPProvider>\n</VirtualHost>`;
        const same = await check('MCPProviderIssuer https://login.example\nMCPProviderClientID x', host('https://login.example'));
        assert.equal(same.code, 0, same.output);
        const other = await check('MCPProviderIssuer https://login.example\nMCPProviderClientID x', host('https://login2.example'));
        assert.notEqual(other.code, 0);
        assert.match(other.output, /<MCPProvider corp> is another provider in another virtual host/);
    });
    await it('refuses the directives outside a section', async () => {
        const { output } = await check('MCPProviderPreset google\nMCPProviderClientID x', '\nMCPProviderPreset google');
        assert.match(output, /belongs into a <MCPProvider NAME> section/);
    });
});
