// SPDX-License-Identifier: Apache-2.0
// What happens when parts die, hang or come back, under load: clients keep their tokens, plain requests are served, and
// everything recovers by itself.

import assert from 'node:assert/strict';
import { createServer } from 'node:net';
import { once } from 'node:events';
import test from 'node:test';
import { events, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep, until } from './lib/proc.mjs';
import { openWorld, providerSection } from './lib/world.mjs';

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

/** What the store's own modules and ours say while it is away. */
const OUTAGE = [/\[socache_(memcache|redis):/, 'MCP0421', /MCP01\d\d/];

/** Requests without pause until stop(), or the end of the test: what they were answered, and how long the slowest took. */
function load(t, url, { headers = {}, workers = 4, json } = {}) {
    const result = { statuses: new Map(), slowest: 0, bad: [], failed: 0, wrong: [] };
    let going = true;
    const all = Array.from({ length: workers }, async () => {
        while (going) {
            const begin = performance.now();
            try {
                const response = await request(url, { headers, json, ms: 15_000 });
                result.statuses.set(response.status, (result.statuses.get(response.status) ?? 0) + 1);
                if (response.status === 503 && response.headers['retry-after'] === undefined) result.bad.push('503 without Retry-After');
                if (![200, 503].includes(response.status)) result.bad.push(`${response.status} ${response.text.slice(0, 200)}`);
            } catch (error) {
                result.failed += 1;
                result.bad.push(error.message);
            }
            result.slowest = Math.max(result.slowest, performance.now() - begin);
            await sleep(2);
        }
    });
    t.after(() => { going = false; });
    return { result, stop: async () => { going = false; await Promise.all(all); return result; } };
}

const mix = ({ statuses }) => JSON.stringify(Object.fromEntries(statuses));

/** Each process finds out for itself that the store is back: wait until all of them have. None may say anything but 503. */
async function everywhere(world, token) {
    const wrong = new Set();
    await until(async () => {
        const answers = await Promise.all(Array.from({ length: 40 }, () => request(`${world.base}/echo`, { json: {}, headers: bearer(token) })));
        for (const { status } of answers) if (status !== 200 && status !== 503) wrong.add(status);
        return answers.every(({ status }) => status === 200);
    }, 'every process to use the store again', 30_000, 250);
    assert.deepEqual([...wrong], []);
}

for (const kind of ['memcache', 'memcache-socket', 'redis']) {
    test(`${kind} dies under load (kill -9)`, { timeout: 180_000 }, async (t) => {
        const world = await openWorld(t, { backend: false, store: kind, directives: 'MCPSessionCache 0' });
        world.httpd.announce(...OUTAGE);
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        const guarded = load(t, `${world.base}/echo`, { json: {}, headers: bearer(tokens.access_token) });
        const plain = load(t, `${world.base}/plain.txt`, { workers: 2 });
        await sleep(500);
        await world.store.stop('SIGKILL');
        await sleep(3000);
        const now = await request(`${world.base}/echo`, { json: {}, headers: bearer(tokens.access_token) });
        assert.equal(now.status, 503);
        assert.ok(Number(now.headers['retry-after']) > 0);

        await t.test('the token endpoint says 503 and to try again, the consent page still comes', async () => {
            const refused = await client.refresh(tokens.refresh_token);
            assert.equal(refused.status, 503);
            assert.ok(Number(refused.headers['retry-after']) > 0);
            assert.equal(refused.json().error, 'temporarily_unavailable');
            assert.equal((await world.person().go(client.authorizeUrl())).status, 200);
            const garbage = await request(`${world.base}/echo`, { json: {}, headers: bearer('garbage') });
            assert.equal(garbage.status, 401, 'garbage is garbage, with or without a store');
        });
        const [a, b] = [await guarded.stop(), await plain.stop()];
        assert.deepEqual(a.bad, [], mix(a));
        assert.ok(a.statuses.get(200) > 10 && a.statuses.get(503) > 10, mix(a));
        assert.deepEqual([...b.statuses.keys()], [200]);
        assert.deepEqual(b.bad, []);
        assert.ok(b.slowest < 3000, `a plain request took ${b.slowest} ms`);

        await t.test('comes back empty: a refresh restores the session without a person and without registering again (principle 4, W7)', async () => {
            await world.store.start();
            const response = await until(async () => {
                const answer = await client.refresh(tokens.refresh_token);
                return answer.status !== 503 && answer;
            }, 'the store to be used again', 20_000, 250);
            assert.equal(response.status, 200, response.text);
            const restored = response.json();
            await everywhere(world, restored.access_token);
        });

        await t.test('and what was revoked in the new store stays revoked', async () => {
            const second = await client.signIn();
            assert.equal((await client.revoke(second.refresh_token)).status, 200);
            const answer = await client.refresh(second.refresh_token);
            assert.equal(answer.status, 400);
            assert.equal(answer.json().error, 'invalid_grant');
        });
    });

    test(`${kind} hangs under load (SIGSTOP)`, { timeout: 180_000 }, async (t) => {
        const world = await openWorld(t, { backend: false, store: kind, directives: 'MCPSessionCache 0\nMCPStoreTimeout 500ms' });
        world.httpd.announce(...OUTAGE);
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const { access_token: token } = await client.signIn();
        const guarded = load(t, `${world.base}/echo`, { json: {}, headers: bearer(token), workers: 24 });
        const plain = load(t, `${world.base}/plain.txt`, { workers: 4 });
        await sleep(500);
        world.store.process.signal('SIGSTOP');
        await sleep(4000);
        // a fresh request is answered at once: the breaker is open
        const begin = performance.now();
        const now = await request(`${world.base}/echo`, { json: {}, headers: bearer(token) });
        assert.equal(now.status, 503);
        assert.ok(performance.now() - begin < 2500, `503 took ${performance.now() - begin} ms`);
        const b = await plain.stop();
        assert.deepEqual([...b.statuses.keys()], [200]);
        assert.deepEqual(b.bad, []);
        assert.ok(b.slowest < 3000, `a plain request took ${b.slowest} ms`);
        assert.ok(b.statuses.get(200) > 200);
        world.store.process.signal('SIGCONT');
        await everywhere(world, token);
        const a = await guarded.stop();
        const bad = a.bad.filter((what) => !/no answer within/.test(what));
        assert.deepEqual(bad, [], mix(a));
        assert.ok(a.statuses.get(503) > 10, mix(a));
        assert.equal(a.statuses.get(401), undefined);
        const after = load(t, `${world.base}/echo`, { json: {}, headers: bearer(token), workers: 8 });
        await sleep(1500);
        const c = await after.stop();
        assert.deepEqual([...c.statuses.keys()], [200], mix(c));
    });
}

test('memcache hangs, and httpd is restarted gracefully: children whose work is done do not wait for it', { timeout: 60_000 }, async (t) => {
    const world = await openWorld(t, { backend: false, store: 'memcache', directives: 'MCPSessionCache 0' });
    world.httpd.announce(...OUTAGE);
    const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/echo` }).signIn();
    const streams = await Promise.all(Array.from({ length: 8 }, () => request(`${world.base}/echo/stream`, { headers: { ...bearer(token), Accept: 'text/event-stream' }, stream: true })));
    assert.ok(streams.every(({ status }) => status === 200));
    world.store.process.signal('SIGSTOP');
    await sleep(1500); // each warden asks once a second
    streams.forEach(({ close }) => close());
    const before = world.httpd.children();
    await world.httpd.graceful();
    await until(() => !before.some((pid) => world.httpd.children().includes(pid)), 'the children of before to end', 5000);
});

const PREFORK = 'StartServers 6\nServerLimit 12\nMaxRequestWorkers 12\nMinSpareServers 4\nMaxSpareServers 8';
for (const [kind, mpmModule, mpm] of [['memcache', 'event'], ['memcache-socket', 'worker'], ['redis', 'prefork', PREFORK]]) {
    test(`${kind} hangs, and httpd (${mpmModule}) is stopped: no process waits for it, though workers and the streams' warden do`, { timeout: 60_000 }, async (t) => {
        const silent = createServer(() => {}).listen(0, '127.0.0.1');
        await once(silent, 'listening');
        t.after(() => silent.close());
        const world = await openWorld(t, {
            backend: false, store: kind, httpd: { mpmModule, mpm },
            directives: `MCPSessionCache 0\n<Location /silent>\nMCPStreamRelay On\nProxyPass http://127.0.0.1:${silent.address().port}\n</Location>`,
        });
        world.httpd.announce(...OUTAGE);
        const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/echo` }).signIn();
        const streams = await Promise.all(Array.from({ length: 4 }, () => request(`${world.base}/echo/stream`, { headers: { ...bearer(token), Accept: 'text/event-stream' }, stream: true })));
        assert.deepEqual(streams.map(({ status }) => status), [200, 200, 200, 200]);
        world.store.process.signal('SIGSTOP');
        request(`${world.base}/silent`).catch(() => {}); // a backend's silence is not waited for either
        for (let i = 0; i < 6; i++) request(`${world.base}/echo`, { json: {}, headers: bearer(token) }).catch(() => {}); // they hold workers
        await sleep(1500); // each warden asks once a second
        await world.httpd.stop();
        assert.doesNotMatch(world.httpd.log(), /still did not exit/);
    });
}

test('a person whom the provider honours no more is not restored', { timeout: 120_000 }, async (t) => {
    const world = await openWorld(t, { backend: false, store: 'memcache' });
    world.httpd.announce(...OUTAGE);
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const tokens = await client.signIn(world.person(world.provider.accounts[1]));
    await world.store.stop('SIGKILL');
    world.provider.disable(world.provider.accounts[1].login);
    await world.store.start();
    const answer = await until(async () => {
        const response = await client.refresh(tokens.refresh_token);
        return response.status !== 503 && response;
    }, 'an answer', 20_000, 250);
    assert.equal(answer.status, 400, answer.text);
    assert.equal(answer.json().error, 'invalid_grant');
});

for (const kind of ['shmcb', 'memcache']) {
    test(`graceful restart with an open stream, on ${kind}`, { timeout: 120_000 }, async (t) => {
        const world = await openWorld(t, { backend: false, store: kind });
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        const open = async () => {
            const response = await request(`${world.base}/echo/stream`, { headers: { ...bearer(tokens.access_token), Accept: 'text/event-stream' }, stream: true });
            assert.equal(response.status, 200);
            return response;
        };
        const response = await open();
        const incoming = events(response.raw);
        const [backend] = await until(() => world.echo.streams.size && [...world.echo.streams], 'the stream at the backend');
        backend.write('data: before\n\n');
        assert.equal((await incoming.next()).value.data, 'before');
        const plain = load(t, `${world.base}/plain.txt`, { workers: 2 });
        await world.httpd.graceful();
        for (const text of ['after', 'after that']) {
            backend.write(`data: ${text}\n\n`);
            assert.equal((await incoming.next()).value.data, text);
            await sleep(300);
        }
        const b = await plain.stop();
        assert.deepEqual([...b.statuses.keys()], [200], mix(b));
        assert.deepEqual(b.bad, []);
        const status = (await request(`${world.base}/echo`, { json: {}, headers: bearer(tokens.access_token) })).status;
        if (kind === 'memcache') {
            assert.equal(status, 200, 'a shared store outlives the restart');
        } else {
            // shmcb is gone after a restart (craft finding 6): the session comes back by a refresh, without a person
            assert.ok([200, 401].includes(status));
            const restored = await client.refresh(tokens.refresh_token);
            assert.equal(restored.status, 200, restored.text);
            assert.equal((await request(`${world.base}/echo`, { json: {}, headers: bearer(restored.json().access_token) })).status, 200);
        }
        backend.end('data: end\n\n');
        assert.equal((await incoming.next()).value.data, 'end');
        assert.equal((await incoming.next()).done, true);
    });
}

test('an identity provider that is gone, hangs or talks nonsense costs a bounded time and is told to the client (CP-34, T50)', { timeout: 120_000 }, async (t) => {
    const silent = createServer(() => {});
    const nonsense = createServer((socket) => { socket.on('error', () => {}); socket.once('data', () => socket.end('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"a": [1}')); });
    const endless = createServer((socket) => {
        socket.on('error', () => {});
        socket.once('data', () => { socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{'); const feed = setInterval(() => socket.write(' '.repeat(65536)), 1); socket.once('close', () => clearInterval(feed)); });
    });
    const redirect = createServer((socket) => { socket.on('error', () => {}); socket.once('data', () => socket.end('HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n')); });
    const servers = { silent, nonsense, endless, redirect };
    for (const server of Object.values(servers)) { server.listen(0, '127.0.0.1'); await once(server, 'listening'); }
    t.after(() => Object.values(servers).forEach((server) => server.close()));
    const issuers = { gone: 'http://127.0.0.1:1', ...Object.fromEntries(Object.entries(servers).map(([name, server]) => [name, `http://127.0.0.1:${server.address().port}`])) };
    for (const [what, issuer] of Object.entries(issuers)) {
        await t.test(what, async (u) => {
            const world = await openWorld(u, {
                backend: false,
                site: (w) => { w.provider.issuer = issuer; w.provider.directives = 'MCPProviderTimeout 1s'; return `
MCPKeyFile ${w.keyFile}
MCPStore shmcb
MCPIssuer ${w.base}
MCPResource ${w.base}/mcp
MCPOAuth On
${providerSection(w)}`; },
            });
            world.httpd.announce(/MCP0[23]\d\d/);
            const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb' });
            await client.register();
            const begin = performance.now();
            const answer = await client.authorize(world.person());
            assert.match(answer.error, /^(server_error|temporarily_unavailable)$/);
            assert.equal(answer.state, client.state);
            assert.ok(performance.now() - begin < 5000, `${performance.now() - begin} ms`);
            const plain = await request(`${world.base}/plain.txt`);
            assert.equal(plain.status, 200);
        });
    }
});
