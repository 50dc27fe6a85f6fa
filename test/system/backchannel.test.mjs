// SPDX-License-Identifier: Apache-2.0
// The identity provider signs a person out: by oidc-provider itself, on both nodes of a gateway, and by a provider that
// lies. Beside it, what the person index has to stand: many sign-ins of one person at once, at two nodes.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { jws, makeKey, startHostileIdp } from './hostile-idp/idp.mjs';
import { request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const call = (base, token) => request(`${base}/echo`, { json: {}, headers: { Authorization: `Bearer ${token}` } });
const at = (client, base) => Object.assign(Object.create(Object.getPrototypeOf(client)), client, { base });
const EVENT = 'http://schemas.openid.net/event/backchannel-logout';

const idp = (world) => ({ client: {
    backchannel_logout_uri: `${world.base}/backchannel-logout/demo`,
    post_logout_redirect_uris: [`${world.base}/signout`],
} });

/** Sign out at oidc-provider, as its own page does it. */
async function signOutAtProvider(world, person) {
    const page = await person.go(`${world.provider.issuer}/session/end`);
    assert.equal(page.status, 200, page.text);
    const action = page.text.match(/action="([^"]+)"/)[1];
    const xsrf = page.text.match(/name="xsrf" value="([^"]+)"/)[1];
    return person.go(new URL(action, page.url).href, { method: 'POST', body: new URLSearchParams({ xsrf, logout: 'yes' }).toString(),
        headers: { 'Content-Type': 'application/x-www-form-urlencoded' } });
}

suite('a provider that signs people out', { backend: false, store: 'memcache', directives: 'MCPSessionCache 0', idp }, async (it, world) => {
    const second = await Httpd.make();
    try {
        await second.configure(defaultSite(world));
        await second.start();
        const nodes = [world.base, second.base];
        const [, other] = world.provider.accounts;

        await it('oidc-provider\'s own logout ends every grant of the person, on both nodes, and nobody else\'s', async () => {
            const person = world.person();
            const clients = ['one', 'two'].map((name) => new OAuthClient(world, { resource: `${world.base}/echo`, name }));
            for (const client of clients) await client.signIn(person);
            const bystander = new OAuthClient(world, { resource: `${world.base}/echo` });
            await bystander.signIn(world.person(other));
            for (const client of clients) {
                for (const base of nodes) assert.equal((await call(base, client.tokens.access_token)).status, 200);
            }
            const { code } = await clients[0].authorize(person); // in flight, not redeemed yet
            await signOutAtProvider(world, person);
            await until(() => /grants of .*taken back: the provider signed the person out/.test(world.httpd.log()), 'the logout to arrive');
            for (const client of clients) {
                for (const base of nodes) assert.equal((await call(base, client.tokens.access_token)).status, 401, base);
                const refused = await at(client, second.base).refresh(client.tokens.refresh_token);
                assert.equal(refused.status, 400);
                assert.equal(refused.json().error, 'invalid_grant');
            }
            const late = await clients[0].redeem(code);
            assert.equal(late.status, 400, 'what was granted before, and not redeemed yet, is over, too');
            assert.equal(late.json().error, 'invalid_grant');
            for (const base of nodes) assert.equal((await call(base, bystander.tokens.access_token)).status, 200);
            // and a new sign-in is a new one, in the same second
            const again = new OAuthClient(world, { resource: `${world.base}/echo` });
            const tokens = await again.signIn(person);
            assert.equal((await again.refresh(tokens.refresh_token)).status, 200);
        });

        await it('twenty sign-ins of one person at once, at both nodes: the index loses none of them', async () => {
            const person = world.person(other);
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            await client.register();
            const codes = [];
            for (let i = 0; i < 20; i++) {
                const one = at(client, world.base);
                codes.push({ one, code: (await one.authorize(person)).code });
            }
            const answers = await Promise.all(codes.map(({ one, code }, i) => at(one, nodes[i % 2]).redeem(code)));
            assert.deepEqual(answers.map(({ status }) => status), Array(20).fill(200));
            const tokens = answers.map((answer) => answer.json());
            assert.doesNotMatch(world.httpd.log() + second.log(), /MCP0281/, 'each was noted');
            // all of them end with one word of the provider, which only the index can have told
            await signOutAtProvider(world, person);
            await until(() => [...world.httpd.log().matchAll(/MCP0283: (\d+) grants/g)].some(([, n]) => Number(n) >= 20), 'the logout to arrive');
            for (const { access_token: token } of tokens) assert.equal((await call(second.base, token)).status, 401);
        });
    } finally {
        await second.close();
    }
});

/** A site whose provider is the stand-in that can sign what it likes. */
function siteOf(stand) {
    return (world) => {
        const secret = join(world.httpd.root, 'conf/idp-secret');
        writeFileSync(secret, `${stand.clientSecret}\n`, { mode: 0o600 });
        return `
MCPKeyFile ${world.keyFile}
MCPStore ${world.store.directive}
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
MCPSessionCache 0
<MCPProvider stand>
    MCPProviderIssuer ${stand.issuer}
    MCPProviderClientID ${stand.clientId}
    MCPProviderClientSecret file:${secret}
</MCPProvider>
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>`;
    };
}

const stand = await startHostileIdp();
suite('logout tokens that lie', { backend: false, provider: false, store: 'memcache', site: siteOf(stand) }, async (it, world) => {
    const now = () => Math.floor(Date.now() / 1000);
    const right = () => ({
        iss: stand.issuer, aud: stand.clientId, iat: now(), exp: now() + 120, jti: randomBytes(8).toString('hex'),
        sub: 'pat', events: { [EVENT]: {} },
    });
    const sign = (claims, header = {}, key = stand.key.privateKey) => jws({ alg: 'RS256', kid: stand.key.kid, typ: 'logout+jwt', ...header }, claims, key);
    const send = (token, { path = '/backchannel-logout/stand', ...options } = {}) => request(`${world.base}${path}`, { method: 'POST', body: { logout_token: token }, ...options });
    const signIn = async (sid, sub = 'pat') => {
        stand.bend.claims = (claims) => ({ ...claims, sub, ...(sid ? { sid } : {}) });
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        await client.signIn(world.person({ name: 'pat', password: '-' }));
        return client;
    };
    const lives = async (client) => (await call(world.base, client.tokens.access_token)).status === 200;

    await it('each of them is refused with 400 and JSON, and takes nothing back', async () => {
        const client = await signIn();
        const lies = {
            'alg none': jws({ alg: 'none', typ: 'logout+jwt' }, right()),
            'HS256 with the public key': sign(right(), { alg: 'HS256' }, JSON.stringify(stand.key.jwk)),
            'a key of somebody else': sign(right(), {}, makeKey('RS256', { kid: 'stranger' }).privateKey),
            'another issuer': sign({ ...right(), iss: 'https://elsewhere.example' }),
            'another audience': sign({ ...right(), aud: 'another' }),
            'no events': sign({ ...right(), events: undefined }),
            'another event': sign({ ...right(), events: { 'http://example/other': {} } }),
            'a nonce': sign({ ...right(), nonce: 'n' }),
            'no jti': sign({ ...right(), jti: undefined }),
            'no iat': sign({ ...right(), iat: undefined }),
            'expired': sign({ ...right(), iat: now() - 900, exp: now() - 800 }),
            'issued long ago': sign({ ...right(), iat: now() - 8000 }),
            'neither sub nor sid': sign({ ...right(), sub: undefined }),
            'an access token\'s type': sign(right(), { typ: 'at+jwt' }),
            'no JWS': 'hello',
            'empty': '',
            'large': `${'a'.repeat(70_000)}`,
        };
        for (const [name, token] of Object.entries(lies)) {
            const answer = await send(token);
            assert.ok([400, 413].includes(answer.status), `${name}: ${answer.status}`);
            assert.match(answer.headers['content-type'], /json/, name);
            assert.match(answer.headers['cache-control'], /no-store/, name);
            assert.ok(answer.json().error, name);
            assert.ok(await lives(client), name);
        }
        const good = sign(right());
        for (const [name, answer] of Object.entries({
            'GET': await request(`${world.base}/backchannel-logout/stand?logout_token=${good}`),
            'JSON': await request(`${world.base}/backchannel-logout/stand`, { json: { logout_token: good } }),
            'twice': await request(`${world.base}/backchannel-logout/stand`, { method: 'POST', body: `logout_token=${good}&logout_token=${good}`, headers: { 'Content-Type': 'application/x-www-form-urlencoded' } }),
            'another provider': await send(good, { path: '/backchannel-logout/nobody' }),
            'a longer name': await send(good, { path: '/backchannel-logout/stand%7Cpat' }),
        })) {
            assert.ok([400, 404, 405].includes(answer.status), `${name}: ${answer.status}`);
        }
        assert.ok(await lives(client));
    });

    await it('the truth is done once: 200, then its jti is used up', async () => {
        const client = await signIn();
        const token = sign(right(), { typ: 'JWT' });
        assert.equal((await send(token)).status, 200);
        assert.ok(!await lives(client));
        const next = await signIn();
        assert.equal((await send(token)).status, 400, 'a replay');
        assert.ok(await lives(next), 'does not end what began after it');
        assert.equal((await send(sign({ ...right(), sub: 'nobody we know' }))).status, 200);
        assert.ok(await lives(next));
    });

    await it('a token with a session alone ends the grants of that session alone, also after a refresh', async () => {
        const [one, two] = [await signIn('session-1'), await signIn('session-2')];
        one.tokens = (await one.refresh(one.tokens.refresh_token)).json();
        assert.equal((await send(sign({ ...right(), sub: undefined, sid: 'session-3' }))).status, 200);
        assert.ok(await lives(one) && await lives(two));
        assert.equal((await send(sign({ ...right(), sub: undefined, sid: 'session-1' }))).status, 200);
        assert.ok(!await lives(one));
        assert.ok(await lives(two));
        assert.equal((await two.refresh(two.tokens.refresh_token)).status, 200);
    });

    await it('nor does a code of that session count any more, whether the session was known here before or not', async () => {
        const client = await signIn('session-4');
        const begin = async (sid) => {
            stand.bend.claims = (claims) => ({ ...claims, sub: 'pat', sid });
            const one = Object.assign(Object.create(Object.getPrototypeOf(client)), client);
            return { one, code: (await one.authorize(world.person({ name: 'pat', password: '-' }))).code };
        };
        const begun = [];
        for (const sid of ['session-4', 'session-5', 'session-6']) begun.push(await begin(sid));
        for (const sid of ['session-4', 'session-5']) assert.equal((await send(sign({ ...right(), sub: undefined, sid }))).status, 200);
        const answers = [];
        for (const { one, code } of begun) answers.push(await one.redeem(code));
        assert.deepEqual(answers.map(({ status, text }) => (status === 200 ? status : JSON.parse(text).error)), ['invalid_grant', 'invalid_grant', 200]);
        const late = await begin('session-4'); // as nobody signs in to a session that has ended, a later one of that name is another
        assert.equal((await late.one.redeem(late.code)).status, 200);
    });

    await it('while the store is down nothing is called done, and the same token can be sent again', async () => {
        await signIn();
        const token = sign(right());
        world.httpd.announce(/scache_mc/, 'MCP0140', 'MCP0141', 'MCP0147', 'MCP0148', 'MCP0421');
        await world.store.stop();
        const answer = await send(token);
        assert.equal(answer.status, 400);
        assert.equal(answer.json().error, 'temporarily_unavailable');
        await world.store.start();
        await until(async () => (await send(token)).status === 200, 'the logout to be taken', 15_000);
        let again; // another process may not know yet that the store is back
        await until(async () => {
            again = await send(token);
            return again.status === 200 || again.json().error !== 'temporarily_unavailable';
        }, 'an answer of another process', 15_000);
        assert.equal(again.json().error, 'invalid_request', 'and now it is used up');
    });
});
