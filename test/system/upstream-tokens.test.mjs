// SPDX-License-Identifier: Apache-2.0
// The person's tokens at the provider while a session lives: renewed in place and once for two gateways that share a store,
// against oidc-provider that rotates refresh tokens and ends everything when it sees a used one again; and tokens for other
// resources, by a token exchange that is registered there as a grant type.

import assert from 'node:assert/strict';
import { startProvider } from './lib/demo.mjs';
import { challenge, request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

const EXCHANGE = 'urn:ietf:params:oauth:grant-type:token-exchange';
const TYPE = 'urn:ietf:params:oauth:token-type:access_token';
const SECRET = 'a-secret-of-the-client';

const locations = (world) => `
<Location /echo>
    AuthType MCP
    Require valid-user
    MCPGuardUpstreamToken Authorization
    ProxyPass ${world.echo.url}/backend
</Location>`;

const common = (world) => `
MCPKeyFile ${world.keyFile}
MCPStore ${world.store.directive}
MCPSessionCache 0
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPAllowHost *`;

const site = (world, more = '') => `${common(world)}
MCPOAuth On
<MCPProvider demo>
    MCPProviderIssuer ${world.provider.issuer}
    MCPProviderClientID gateway
    MCPProviderClientSecret file:${world.secret}
    MCPProviderTimeout 1500ms
</MCPProvider>
${locations(world)}
<Location /echo/exchanged>
    MCPGuardUpstreamToken X-Backend-Token by=exchange audience=urn:backend scope=read
</Location>
${more}`;

/** RFC 8693 at the provider, as far as a gateway uses it. */
function registerExchange(world, provider) {
    provider.registerGrantType(EXCHANGE, async (ctx) => {
        const { params, client } = ctx.oidc;
        const refuse = (error, description) => { ctx.status = 400; ctx.body = { error, error_description: description }; };
        const subject = params.subject_token_type === TYPE ? await provider.AccessToken.find(params.subject_token) : undefined;
        if (!subject || subject.clientId !== client.clientId) return refuse('invalid_request', `subject_token ${params.subject_token}`);
        if (params.audience !== 'urn:backend') return refuse('invalid_target', 'unknown audience');
        if (world.refuse) return refuse('invalid_target', world.refuse);
        const token = new provider.AccessToken({ accountId: subject.accountId, client, grantId: subject.grantId, gty: EXCHANGE, scope: params.scope });
        const value = await token.save();
        world.httpd.secret('exchanged token', value);
        ctx.body = { access_token: value, issued_token_type: TYPE, token_type: 'Bearer', expires_in: world.life, scope: params.scope };
        return undefined;
    }, ['subject_token', 'subject_token_type', 'requested_token_type', 'audience', 'resource', 'scope']);
}

/** Around the token endpoint: who asks is counted, may be held up, or finds nobody in. */
async function tokenEndpoint(world, ctx, next) {
    await world.hold?.(ctx);
    if (ctx.req.socket.destroyed) return; // whoever asked has died: nothing was done
    if (world.down) { ctx.status = 503; ctx.body = {}; } else await next();
    if (world.plain) delete ctx.body.refresh_token;
    await world.done?.(ctx);
    world.calls.push({ status: ctx.status, grant: ctx.oidc?.params?.grant_type });
    for (const token of [ctx.body?.access_token, ctx.body?.refresh_token]) world.httpd.secret('token of the provider', token);
}

suite('two gateways, one store, and a provider that detects replay', {
    provider: false, backend: false, store: 'memcache', site,
    before: async (world) => {
        world.life = 3600;
        world.calls = [];
        world.secret = await world.httpd.file('conf/secret', `${SECRET}\n`);
        world.provider = await startProvider(world, {
            clientSecret: SECRET, client: { grant_types: ['authorization_code', 'refresh_token', EXCHANGE] },
            configure: (c) => ({
                ...c, rotateRefreshToken: () => true, ttl: { ...c.ttl, AccessToken: () => world.life },
            }),
            prepare: (provider) => {
                world.idp = provider;
                registerExchange(world, provider);
                provider.use((ctx, next) => (ctx.path === '/token' ? tokenEndpoint(world, ctx, next) : next()));
            },
        });
    },
}, async (it, world) => {
    const other = await Httpd.make();
    try {
        await other.configure(site(world));
        await other.start();
        const nodes = [world.httpd, other];
        for (const node of nodes) node.announce('MCP0256', 'MCP0252', 'MCP0272', /exit signal Killed/);
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        let tokens, killed;
        const call = (node = 0, path = '', token = tokens.access_token) => request(`${nodes[node].base}/echo${path}`, { json: {}, headers: { Authorization: `Bearer ${token}` } });
        const header = (answer, name) => answer.json().headers.find(([key]) => key.toLowerCase() === name)?.[1];
        const given = (answer) => header(answer, 'authorization')?.slice(7);
        /** Calls at the token endpoint since `mark`. */
        const asked = (mark, grant = 'refresh_token') => world.calls.slice(mark).filter((each) => each.grant === grant || each.status === 503);
        const session = async (life) => {
            Object.assign(world, { life, down: false, refuse: undefined, hold: undefined, done: undefined, plain: false });
            tokens = await client.signIn();
            world.life = 3600;
            return world.calls.length;
        };
        const many = (n, path) => Promise.all(Array.from({ length: n }, (_, i) => call(i % 2, path)));

        await it('many calls on both gateways, when the token has expired, are one refresh: again and again, over restarts, beside the client\'s own refresh (E10, G18, CP-31, CP-32)', async () => {
            let mark = await session(1);
            for (let round = 0; round < 3; round++) {
                await sleep(2100);
                world.life = round < 2 ? 2 : 3600; // long enough for a loaded machine to use the new one
                const answers = await many(24);
                assert.deepEqual(answers.map(({ status }) => status), Array(24).fill(200), answers.find(({ status }) => status !== 200)?.text);
                assert.equal(new Set(answers.map(given)).size, 1, 'one new token for all');
                assert.ok(await world.idp.AccessToken.find(given(answers[0])), 'a token of the provider');
                assert.deepEqual(asked(mark).map(({ status }) => status), [200], `round ${round}`);
                mark = world.calls.length;
                if (round === 0) { await other.stop(); await other.start(); }
            }
            mark = await session(1);
            await sleep(1100);
            const [refreshed, ...answers] = await Promise.all([client.refresh(tokens.refresh_token), ...Array.from({ length: 20 }, (_, i) => call(i % 2))]);
            assert.equal(refreshed.status, 200, refreshed.text);
            assert.deepEqual(answers.map(({ status }) => status), Array(20).fill(200));
            assert.deepEqual(asked(mark).map(({ status }) => status), [200]);
        });

        await it('ahead of its end, by one call; a provider that is away leaves the old token in use, and none is 503 at once (CP-34)', async () => {
            const mark = await session(8); // renewed in its last two seconds
            const [before] = [given(await call())];
            assert.equal(asked(mark).length, 0);
            await sleep(6100);
            world.down = true;
            assert.equal(given(await call()), before);
            assert.equal(asked(mark).length, 1);
            await sleep(1950);
            const refused = await many(10);
            assert.deepEqual(refused.map(({ status }) => status), Array(10).fill(503));
            assert.ok(Number(refused[0].headers['retry-after']) > 0);
            assert.equal(asked(mark).length, 1, 'a provider that is away was asked by everybody');
            world.down = false;
            const answer = await until(async () => { const got = await call(); return got.status === 200 && got; }, 'the provider to be asked again', 15_000, 200);
            assert.notEqual(given(answer), before);
            assert.deepEqual(asked(mark).map(({ status }) => status), [503, 200]);
        });

        await it('a child that is killed in the middle of a refresh loses nothing (CP-32); what dies with it after the provider has answered is told as the end of the session: never 500, and no loop (CP-30)', async () => {
            /** The next call of the token endpoint: {ctx, release()}, once it is where `when` says. */
            const holding = (when) => new Promise((resolve) => {
                world[when] = (ctx) => { world[when] = undefined; return new Promise((release) => { resolve({ ctx, release }); }); };
            });
            const sessions = [];
            for (let i = 0; i < 3; i++) { await session(1); sessions.push(tokens); }
            const [before, after, own] = sessions;
            await sleep(1100);
            const use = ({ access_token: token }, node) => call(node, '', token);
            const gone = [];
            // one is killed while the provider has not begun, one when it has given new tokens, and one of these asks for the client
            let waiting = holding('hold');
            gone.push(use(before, 0).catch(() => 'lost'));
            const first = await waiting;
            const mark = world.calls.length;
            const others = [];
            for (const begin of [() => use(after, 0), () => client.refresh(own.refresh_token)]) {
                waiting = holding('done');
                gone.push(begin().catch(() => 'lost'));
                others.push(await waiting);
            }
            for (const pid of world.httpd.children()) process.kill(pid, 'SIGKILL');
            assert.deepEqual(await Promise.all(gone), ['lost', 'lost', 'lost']);
            for (const { ctx, release } of [first, ...others]) {
                await until(() => ctx.req.socket.destroyed, 'the provider to see it');
                release();
            }
            killed = own; // looked at below, when its turn is over
            const answers = async (one) => {
                const seen = [];
                const last = await until(async () => { const answer = await use(one, 1); seen.push(answer.status); return answer.status !== 503 && answer; }, 'the other gateway to take over', 20_000, 200);
                assert.equal(seen[0], 503, 'another one asked while that one might still be at it');
                return last;
            };
            const [fine, over] = await Promise.all([answers(before), answers(after)]);
            assert.equal(fine.status, 200);
            assert.equal((await until(() => use(before, 0).catch(() => false), 'new children')).status, 200);
            // one refresh for it; and one more for the other, which the provider takes for a replay
            assert.deepEqual(world.calls.slice(mark).filter(({ grant }) => grant === 'refresh_token').map(({ status }) => status).sort(), [200, 200, 200, 400]);
            assert.equal(over.status, 401);
            assert.equal(challenge(over).error, 'invalid_token');
            const again = await client.refresh(after.refresh_token);
            assert.deepEqual([again.status, again.json().error], [400, 'invalid_grant']);
        });

        await it('a token for another resource by exchange: one call for many on both gateways, cached, and ended with the grant (G18)', async () => {
            let mark = await session(3600);
            const answers = await many(24, '/exchanged');
            assert.deepEqual(answers.map(({ status }) => status), Array(24).fill(200), answers.find(({ status }) => status !== 200)?.text);
            const [token, ...more] = new Set(answers.map((answer) => header(answer, 'x-backend-token')));
            assert.equal(more.length, 0);
            assert.equal(header(answers[0], 'authorization'), undefined, 'the own token went along');
            assert.equal((await world.idp.AccessToken.find(token)).gty, EXCHANGE);
            assert.equal(asked(mark, EXCHANGE).length, 1);
            assert.notEqual(given(await call()), token);
            // when both have run out, each is asked for once
            mark = await session(1);
            world.life = 1;
            await call(0, '/exchanged');
            await sleep(1100);
            world.life = 3600;
            mark = world.calls.length;
            const again = await many(20, '/exchanged');
            assert.deepEqual(again.map(({ status }) => status), Array(20).fill(200));
            assert.deepEqual(world.calls.slice(mark).map(({ grant }) => grant), ['refresh_token', EXCHANGE]);
            assert.equal((await client.revoke(tokens.refresh_token)).status, 200);
            assert.equal((await call(1, '/exchanged')).status, 401);
        });

        await it('a token that is not given is 403, and not asked for by each call; an absent provider is 503 (CP-34)', async () => {
            const mark = await session(3600);
            world.refuse = 'not for this person';
            world.down = true;
            const away = await call(0, '/exchanged');
            assert.equal(away.status, 503);
            assert.ok(Number(away.headers['retry-after']) > 0);
            world.down = false;
            assert.equal((await call(1, '/exchanged')).status, 503, 'for a few seconds nobody asks');
            await until(async () => (await call(0, '/exchanged')).status === 403, 'the refusal, after the pause', 15_000, 200);
            assert.equal((await call(1, '/exchanged')).status, 403);
            // twice, for the first was tried again; then the refusal; then whether the person is still welcome
            assert.deepEqual(world.calls.slice(mark).map(({ status, grant }) => [status, grant]),
                [[503, undefined], [503, undefined], [400, EXCHANGE], [200, 'refresh_token']]);
            assert.equal((await call()).status, 200, 'the session lives');
            world.refuse = undefined;
        });

        await it('invalid_grant ends the session on both gateways: 401, and the client has to sign in (CP-30, CP-31)', async () => {
            await session(1);
            world.provider.disable(world.provider.accounts[0].login);
            await sleep(1100);
            const before = world.echo.requests.length;
            const [first] = await many(10).then((answers) => answers.filter(({ status }) => status === 401));
            assert.equal(challenge(first).error, 'invalid_token');
            assert.ok(challenge(first).resource_metadata);
            for (const node of [0, 1]) assert.equal((await call(node)).status, 401);
            assert.equal(world.echo.requests.length, before, 'the backend was called');
            const answer = await client.refresh(tokens.refresh_token);
            assert.equal(answer.status, 400);
            assert.equal(answer.json().error, 'invalid_grant');
            world.provider.enable(world.provider.accounts[0].login);
        });

        await it('a host that guards only: 401 when it has expired, and the client\'s refresh brings a new one (CP-31)', async () => {
            const guard = await Httpd.make({ mcp: ['mcp_guard'] });
            try {
                await guard.configure(common(world) + locations(world));
                await guard.start();
                nodes.push(guard);
                await session(1);
                await sleep(1100);
                assert.equal((await call(2)).status, 401);
                tokens = (await client.refresh(tokens.refresh_token)).json();
                assert.equal((await call(2)).status, 200);
                await guard.configure(`${common(world)}${locations(world).replace('Authorization', 'Authorization by=exchange audience=x')}`);
                const { code, output } = await guard.configtest();
                assert.notEqual(code, 0);
                assert.match(output, /by= needs mod_mcp_oauth in the same httpd/);
            } finally {
                await guard.close();
            }
        });

        await it('one header for two things is refused by configtest, in every spelling, also where sections meet (T24)', async () => {
            const key = `MCPGuardBackendKey X-Token file:${world.secret}`;
            for (const [lines, why] of [
                ['MCPGuardAssertion authorization', /cannot share the header Authorization/i],
                ['MCPGuardUpstreamToken x-token\n' + key, /cannot share the header X-Token/i],
                ['MCPGuardUpstreamToken Off\nMCPGuardAssertion X-TOKEN\n' + key.replace('X-Token', 'x_token'), /cannot share the header x.token/i],
                [`MCPGuardBackendKey authorization file:${world.secret}`, /cannot share the header Authorization/i],
                ['MCPGuardUpstreamToken X-MCP-Subject', /X-MCP-Subject has another meaning/],
                ['MCPGuardUpstreamToken X-T by=exchange', /needs audience=, resource= or scope=/],
                ['MCPGuardUpstreamToken X-T scope=a', /need by=/],
                ['MCPGuardUpstreamToken X-T by=on-behalf-of', /takes scope=/],
                ['MCPGuardUpstreamToken X-T by=refresh audience=a', /no audience=/],
                ['MCPGuardUpstreamToken X-T by=magic', /by=refresh, by=on-behalf-of or by=exchange/],
            ]) {
                await other.configure(site(world, `<Location /echo/deeper>\n${lines}\n</Location>`));
                const { code, output } = await other.configtest();
                assert.notEqual(code, 0, lines);
                assert.match(output, why, lines);
            }
            await other.configure(site(world, '<Location /echo/deeper>\nMCPGuardUpstreamToken Off\nMCPGuardAssertion Authorization\n</Location>'));
            const { code, output } = await other.configtest();
            assert.equal(code, 0, output);
            // and where only the request shows that sections meet
            other.announce('MCP0441');
            await other.configure(site(world, `<LocationMatch "^/echo/d">\nMCPGuardBackendKey Authorization file:${world.secret}\n</LocationMatch>`));
            await other.graceful();
            await session(3600);
            assert.equal((await call(1)).status, 200);
            assert.equal((await call(1, '/deeper')).status, 500);
        });

        await it('a client whose own refresh was killed after the provider had answered hears 503 for a while, and then to sign in again: no 500, and no loop (CP-30)', async () => {
            const seen = new Set();
            const answer = await until(async () => { const got = await client.refresh(killed.refresh_token); seen.add(got.status); return got.status !== 503 && got; }, 'the turn of the dead to be over', 40_000, 200);
            assert.deepEqual([answer.status, answer.json().error], [400, 'invalid_grant']);
            assert.equal((await call(1, '', killed.access_token)).status, 401);
            assert.deepEqual([...seen].filter((status) => status !== 503), [400]);
        });

        await it('a provider that gives no refresh token: its token lasts as long as the session, and once it is lost the person is asked, not the client again and again (CP-30, CP-31)', async () => {
            nodes.forEach((node) => node.announce(/MCP01\d\d/, 'MCP0421', /socache_memcache/));
            await session(3600);
            world.plain = true;
            tokens = await client.signIn();
            assert.equal((await call()).status, 200);
            await world.store.stop();
            await world.store.start();
            const restored = await until(async () => { const got = await client.refresh(tokens.refresh_token); return got.status !== 503 && got; }, 'the store', 20_000, 200);
            assert.equal(restored.status, 200, restored.text);
            tokens = restored.json();
            const without = await until(async () => { const got = await call(); return got.status !== 503 && got; }, 'the store', 20_000, 200);
            assert.equal(without.status, 401);
            const over = await until(async () => { const got = await client.refresh(tokens.refresh_token); return got.status !== 503 && got; }, 'the store', 20_000, 200);
            assert.equal(over.status, 400, 'the client would go on for ever');
            assert.equal(over.json().error, 'invalid_grant');
            await world.httpd.configure(site(world, 'MCPOAuthAccessLifetime 5s\nMCPOAuthRefreshLifetime 6s'));
            await world.httpd.graceful();
            tokens = await until(() => client.signIn().catch(() => false), 'a sign-in');
            for (let i = 0; i < 2; i++) {
                await sleep(3200);
                const answer = await client.refresh(tokens.refresh_token);
                assert.equal(answer.status, 200, answer.text);
                tokens = answer.json();
            }
            const answer = await call();
            assert.equal(answer.status, 200, 'later than the first life of the session');
            assert.ok(await world.idp.AccessToken.find(given(answer)));
        });
    } finally {
        await other.close();
    }
});
