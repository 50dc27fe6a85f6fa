// SPDX-License-Identifier: Apache-2.0
// What governs event streams: keep-alive, ages, limits, expiry and revocation, on the relay and with a worker each; and
// that counts come right whatever dies.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { openStreamsWorld, MPM, secondNode } from './lib/streams-world.mjs';
import { sleep, until } from './lib/sse.mjs';
import { request } from './lib/http.mjs';

const BOTH = ['relay', 'worker'];
const both = (locations) => Object.fromEntries(Object.entries(locations).flatMap(([name, text]) => [
    [`relay-${name}`, text], [`worker-${name}`, `${text}\nMCPStreamRelay Off`],
]));

/** Open a stream and send its headers. */
async function begun(world, way, token, options = {}) {
    const stream = await world.stream(way, token, options);
    stream.call.begin(options.how ?? 'chunked', options);
    await stream.answer.headers_in;
    return stream;
}

const since = (from) => (Date.now() - from) / 1000;

test('keep-alive, ages', { timeout: 240_000 }, async (t) => {
    const world = await openStreamsWorld(t, {
        locations: both({
            ping: 'MCPStreamKeepAlive 1s\nMCPGuardSessionBinding Off', idle: 'MCPStreamIdle 3s\nMCPStreamKeepAlive 1s', age: 'MCPStreamMaxAge 3s', off: 'MCPStreamKeepAlive off',
        }),
    });
    const { access_token: token } = (await world.signIn()).tokens;

    await Promise.all(BOTH.map(async (way) => {
        await t.test(`${way}: a silent stream gets comments, never inside an event`, async () => {
            const { client, answer, call } = await begun(world, `${way}-ping`, token, { headers: { 'Mcp-Session-Id': 'x' } });
            await answer.has(/^:\n\n$/, 3500);
            call.write('data: {"half":');
            await answer.has('"half":');
            const before = answer.text;
            await sleep(3000);
            assert.equal(answer.text, before, 'nothing comes in between');
            call.write('1}\n');
            await sleep(1600);
            assert.equal(answer.text, `${before}1}\n`, 'a line is not an event yet');
            call.write('\n');
            await answer.has(/"half":1}\n\n:\n\n$/, 3500);
            for (let i = 0; i < 6; i++) {
                await sleep(400);
                call.event(i);
            }
            await answer.has('data: 5');
            assert.match(answer.text, /data: 0\n\ndata: 1\n\ndata: 2\n\ndata: 3\n\ndata: 4\n\ndata: 5\n\n/, 'no comment while events come');
            call.write('data: a\r\n\r');
            await sleep(1600);
            assert.doesNotMatch(answer.text, /a\r\n\r:/, 'half a line end is no boundary');
            call.write('\n');
            await answer.has(/a\r\n\r\n:\n\n/, 3500);
            call.end();
            assert.equal(await answer.done, 'complete');
            client.close();
        });

        await t.test(`${way}: comments in spite of a Content-Length; none in what the backend encoded, none when off`, async () => {
            const sized = await begun(world, `${way}-ping`, token, { how: 'length', length: 22 });
            assert.equal(sized.answer.headers['content-length'], undefined);
            await sized.answer.has(/^:\n\n/, 3500);
            sized.call.write('data: 1\n\ndata: 12345\n\n');
            await sized.answer.done;
            assert.equal(sized.answer.text.replaceAll(':\n\n', ''), 'data: 1\n\ndata: 12345\n\n');
            const packed = await begun(world, `${way}-ping`, token, { body: '{}', headers: {}, });
            const encoded = await world.stream(`${way}-ping`, token, { body: '{}' });
            encoded.call.begin('chunked', { headers: { 'Content-Encoding': 'gzip' } });
            await encoded.answer.headers_in;
            const off = await begun(world, `${way}-off`, token);
            await packed.answer.has(/^:\n\n/, 3500);
            await sleep(1500);
            assert.equal(encoded.answer.text, '');
            assert.equal(off.answer.text, '');
            for (const { client } of [sized, packed, encoded, off]) client.close();
        });

        await t.test(`${way}: a backend that is silent too long ends politely; comments do not count, events do`, async () => {
            const from = Date.now();
            const { client, answer, call } = await begun(world, `${way}-idle`, token);
            await sleep(1500);
            call.event('here');
            assert.equal(await answer.done, 'complete');
            assert.ok(since(from) > 4.2 && since(from) < 7.5, `${since(from)} s`);
            assert.match(answer.text, /^(:\n\n)?data: here\n\n(:\n\n)+$/);
            await call.closed;
            client.close();
        });

        await t.test(`${way}: maximum age, a little early, at the end of an event`, async () => {
            const from = Date.now();
            const { client, answer, call } = await begun(world, `${way}-age`, token);
            const other = await begun(world, `${way}-age`, token);
            const timer = setInterval(() => call.event('tick'), 50);
            await sleep(1000);
            other.call.write('data: never ended');
            assert.equal(await answer.done, 'complete');
            clearInterval(timer);
            assert.ok(since(from) > 2.6 && since(from) < 5, `${since(from)} s`);
            assert.match(answer.text, /tick\n\n$/);
            assert.equal(await other.answer.done, 'complete');
            assert.ok(since(from) > 4.6 && since(from) < 7.5, `an event that is never ended holds it up for two seconds: ${since(from)} s`);
            client.close();
            other.client.close();
        });
    }));

    await world.it(t, 'the counters name the reasons, and so does mod_status for people', async () => {
        const counts = await world.counted({ Open: 0 });
        assert.equal(counts['Ended-idle'], 2);
        assert.equal(counts['Ended-max-age'], 4);
        const page = (await request(`${world.base}/status`)).text;
        assert.match(page, /<h2>MCP event streams<\/h2>/);
        assert.match(page, /ended: max-age<\/td><td>4</);
        assert.ok(counts.Bytes > 100);
    });
});

test('limits', { timeout: 240_000 }, async (t) => {
    const world = await openStreamsWorld(t, {
        directives: 'MCPStreamLimit server 9',
        locations: both({ person: 'MCPStreamLimit person 2', client: 'MCPStreamLimit client 3', free: '' }),
    });
    const [alice, bob] = await Promise.all([world.signIn(), world.signIn(world.person(world.provider.accounts[1]))]);
    const a = alice.tokens.access_token;
    const b = bob.tokens.access_token;
    const url = (way) => `${world.base}/s/${way}/events`;
    const ask = (way, token, options = {}) => request(url(way), {
        headers: { Authorization: `Bearer ${token}`, Accept: 'application/json, text/event-stream', ...options.headers }, ...options.rest,
    });

    for (const way of BOTH) {
        await world.it(t, `${way}: a person holds so many, another person is not touched, a place becomes free again`, async () => {
            const held = [await begun(world, `${way}-person`, a), await begun(world, `${way}-person`, a)];
            const calls = world.sse.calls.size;
            const refused = await ask(`${way}-person`, a);
            assert.equal(refused.status, 429);
            assert.ok(Number(refused.headers['retry-after']) > 0);
            assert.match(refused.headers['content-type'], /^application\/json/);
            assert.match(refused.json().error.message, /too many open event streams for this person/);
            const post = await ask(`${way}-person`, a, { rest: { json: { jsonrpc: '2.0', id: 1, method: 'tools/call' } } });
            assert.equal(post.status, 429, 'before a tool has run');
            assert.equal(world.sse.calls.size, calls, 'the backend was not asked');
            held.push(await begun(world, `${way}-person`, b));
            held.shift().client.close();
            await world.counted({ Open: 2 });
            held.push(await begun(world, `${way}-person`, a));
            for (const { client } of held) client.close();
            await world.counted({ Open: 0 });
        });

        await world.it(t, `${way}: a client, whoever uses it`, async () => {
            const held = [await begun(world, `${way}-client`, a), await begun(world, `${way}-client`, a), await begun(world, `${way}-client`, a)];
            const refused = await ask(`${way}-client`, a);
            assert.equal(refused.status, 429);
            assert.match(refused.json().error.message, /for this client/);
            held.push(await begun(world, `${way}-client`, b));
            for (const { client } of held) client.close();
            await world.counted({ Open: 0 });
        });

        await world.it(t, `${way}: the whole server: 503 and when to come again; plain answers go on`, async () => {
            const held = [];
            for (let i = 0; i < 9; i++) held.push(await begun(world, `${way}-free`, i % 2 ? a : b));
            const refused = await ask(`${way}-free`, a);
            assert.equal(refused.status, 503);
            assert.ok(Number(refused.headers['retry-after']) > 0);
            const plain = await request(`${world.base}/s/${way}-free/plain`, { headers: { Authorization: `Bearer ${a}` } });
            assert.equal(plain.text, 'plain\n');
            for (const { client } of held) client.close();
            await world.counted({ Open: 0 });
        });
    }

    await world.it(t, 'refusals are counted', async () => {
        const counts = await world.counts();
        assert.equal(counts['Refused-person'], 4);
        assert.equal(counts['Refused-client'], 2);
        assert.equal(counts['Refused-server'], 2);
    });

    await world.it(t, 'an answer that is no stream gives its place back', async () => {
        for (let i = 0; i < 12; i++) {
            const { answer, call, client } = await world.stream('relay-person', a, { body: '{}' });
            call.begin('length', { length: 2, type: 'application/json' });
            call.write('{}');
            assert.equal(await answer.done, 'complete');
            client.close();
        }
    });

    await world.it(t, 'many at once: exactly as many as allowed', async () => {
        const answers = await Promise.all(Array.from({ length: 30 }, async () => {
            const { Client } = await import('./lib/sse.mjs');
            const client = new Client(world.httpd.port);
            const answer = client.send('/s/relay-person/events?id=crowd', { headers: { Authorization: `Bearer ${a}` } });
            world.sse.onCall = (call, called) => { if (called.searchParams.get('id') === 'crowd') call.begin(); };
            await answer.headers_in;
            return { client, status: answer.status };
        }));
        world.sse.onCall = undefined;
        assert.equal(answers.filter(({ status }) => status === 200).length, 2);
        assert.equal(answers.filter(({ status }) => status === 429).length, 28);
        for (const { client } of answers) client.close();
        await world.counted({ Open: 0 });
    });
});

test('limit of a child', { timeout: 120_000 }, async (t) => {
    const world = await openStreamsWorld(t, {
        directives: 'MCPStreamLimit child 3',
        httpd: { mpm: MPM.replace('StartServers 2', 'StartServers 1').replace('ServerLimit 6', 'ServerLimit 1').replace('MaxRequestWorkers 40', 'MaxRequestWorkers 10').replace('MaxSpareThreads 40', 'MaxSpareThreads 10').replace('MinSpareThreads 20', 'MinSpareThreads 5') },
    });
    const { access_token: token } = (await world.signIn()).tokens;
    const held = [];
    for (let i = 0; i < 3; i++) held.push(await begun(world, 'relay', token));
    await world.counted({ Relayed: 3 });
    const refused = await request(`${world.base}/s/relay/events`, { headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' } });
    assert.equal(refused.status, 503);
    assert.match(refused.json().error.message, /as many event streams as it may/);
    // What a tool has worked for is never refused: it keeps its worker instead.
    const post = await begun(world, 'relay', token, { body: '{}' });
    await sleep(600);
    assert.equal((await world.counts()).Relayed, 3);
    post.call.event('done');
    post.call.end();
    assert.equal(await post.answer.done, 'complete');
    held.shift().client.close();
    await world.counted({ Relayed: 2 });
    held.push(await begun(world, 'relay', token));
    for (const { client } of [...held, post]) client.close();
    await world.counted({ Open: 0, Relayed: 0 });
});

for (const store of ['shmcb', 'memcache']) {
    test(`expiry and revocation, ${store}`, { timeout: 240_000 }, async (t) => {
        const world = await openStreamsWorld(t, { store, directives: 'MCPOAuthAccessLifetime 5s' });
        const node2 = store === 'memcache' ? await secondNode(t, world) : null;

        await world.it(t, 'a stream ends when its token expires, unless the session was refreshed', async () => {
            const [stays, goes] = [await world.signIn(), await world.signIn(world.person(world.provider.accounts[1]))];
            const from = Date.now();
            const streams = [];
            for (const way of ['relay', 'worker', 'tls']) {
                streams.push({ way, who: 'goes', ...await begun(world, way, goes.tokens.access_token) });
                streams.push({ way, who: 'stays', ...await begun(world, way, stays.tokens.access_token) });
            }
            await sleep(3000);
            const refreshed = await stays.refresh(stays.tokens.refresh_token);
            assert.equal(refreshed.status, 200);
            for (const { who, way, answer, client } of streams) {
                if (who === 'stays') continue;
                assert.equal(await answer.done, 'complete', way);
                assert.ok(since(from) < 7.6, `${way}: within two seconds of the expiry: ${since(from)}`);
                client.close();
            }
            assert.ok(since(from) > 4);
            await sleep(Math.max(0, 7000 - (Date.now() - from)));
            for (const { who, way, answer, call } of streams) {
                if (who === 'goes') continue;
                call.event('still here');
                await answer.has('still here');
                assert.equal(answer.how, undefined, `${way}: lives on by the new token`);
            }
            for (const { who, way, answer, client } of streams) {
                if (who === 'goes') continue;
                assert.equal(await answer.done, 'complete', way);
                client.close();
            }
            assert.ok(since(from) < 3 + 5 + 3.5, `and ends with it: ${since(from)}`);
            assert.equal((await world.counted({ Open: 0 }))['Ended-expired'], 6);
        });

        await world.it(t, 'revocation ends the streams of that grant within two seconds, on every node', async () => {
            const [one, two] = [await world.signIn(), await world.signIn(world.person(world.provider.accounts[1]))];
            const streams = [];
            for (const way of ['relay', 'worker']) {
                streams.push(await begun(world, way, one.tokens.access_token));
                if (node2) streams.push(await begun(world, way, one.tokens.access_token, { port: node2.port }));
            }
            const other = await begun(world, 'relay', two.tokens.access_token);
            await sleep(300);
            const from = Date.now();
            assert.equal((await one.revoke(one.tokens.refresh_token)).status, 200);
            for (const { answer, call } of streams) {
                assert.equal(await answer.done, 'complete');
                assert.ok(since(from) < 2, `${since(from)} s`);
                await call.closed;
            }
            assert.equal(other.answer.how, undefined, 'another person goes on');
            const late = await request(`${world.base}/s/relay/events`, { headers: { Authorization: `Bearer ${one.tokens.access_token}`, Accept: 'text/event-stream' } });
            assert.equal(late.status, 401);
            for (const { client } of [...streams, other]) client.close();
            await world.counted({ Open: 0 });
        });

        await world.it(t, 'a stream whose answer was still to come when the grant was revoked ends at once', async () => {
            const one = await world.signIn();
            const streams = [await world.stream('relay', one.tokens.access_token), await world.stream('worker', one.tokens.access_token)];
            assert.equal((await one.revoke(one.tokens.refresh_token)).status, 200);
            await sleep(1200);
            const from = Date.now();
            for (const { call } of streams) call.begin();
            for (const { answer, client } of streams) {
                assert.equal(await answer.done, 'complete');
                assert.ok(since(from) < 2, `${since(from)} s`);
                client.close();
            }
        });
    });
}

test('counts never leak, whatever dies', { timeout: 240_000 }, async (t) => {
    const world = await openStreamsWorld(t, { locations: { person: 'MCPStreamLimit person 6' } });
    const { access_token: token } = (await world.signIn()).tokens;

    await world.it(t, 'a child that is killed gives back what it held', async () => {
        for (let round = 0; round < 3; round++) {
            const held = [];
            for (let i = 0; i < 6; i++) held.push(await begun(world, i % 3 ? 'person' : 'person', token));
            await world.counted({ Open: 6 });
            world.httpd.announce('AH00052', 'AH00051');
            for (const pid of world.httpd.children()) process.kill(pid, 'SIGKILL');
            await Promise.all(held.map(({ answer }) => answer.done));
            for (const { client } of held) client.close();
            await until(async () => { try { return (await world.counts()).Open === 0; } catch { return false; } }, 'counters at zero', 15_000);
        }
        const counts = await world.counts();
        assert.equal(counts['Ended-lost'], 18);
        const held = [];
        for (let i = 0; i < 6; i++) held.push(await begun(world, 'person', token));
        const refused = await request(`${world.base}/s/person/events`, { headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' } });
        assert.equal(refused.status, 429, 'exactly six, as before');
        for (const { client } of held) client.close();
        await world.counted({ Open: 0 });
    });

    await world.it(t, 'a backend that dies, clients that go at once', async () => {
        const held = [];
        for (let i = 0; i < 6; i++) held.push(await begun(world, 'person', token));
        for (const socket of world.sse.open) socket.destroy();
        await Promise.all(held.map(({ answer }) => answer.done));
        for (const { client } of held) client.close();
        await world.counted({ Open: 0, Relayed: 0 });
        assert.equal((await world.counts())['Ended-broken'], 6);
    });
});

test('restarts', { timeout: 240_000 }, async (t) => {
    const world = await openStreamsWorld(t, { store: 'memcache', httpd: { mpm: `${MPM}\nGracefulShutdownTimeout 0` } });
    const { access_token: token } = (await world.signIn()).tokens;
    const open = async (n) => {
        const held = [];
        for (let i = 0; i < n; i++) held.push(await begun(world, i % 10 === 9 ? 'worker' : i % 10 === 8 ? 'tls' : 'relay', token, { secure: i % 2 === 1 }));
        return held;
    };

    await world.it(t, 'graceful: no stream is cut, the new generation serves, old children leave when their streams end', async () => {
        const held = await open(60);
        const old = world.httpd.children();
        await world.httpd.graceful();
        const more = await open(10);
        assert.equal((await world.counts()).Open, 70, 'both generations are counted');
        await sleep(1500);
        for (const { call } of [...held, ...more]) call.event('after the restart');
        for (const { answer } of [...held, ...more]) await answer.has('after the restart');
        assert.ok(old.some((pid) => readdirSync('/proc').includes(String(pid))), 'old children stay for their streams');
        for (const { call } of held) call.end();
        for (const { answer } of held) assert.equal(await answer.done, 'complete');
        await until(() => old.every((pid) => !readdirSync('/proc').includes(String(pid))), 'old children leave', 15_000);
        for (const { answer } of more) assert.equal(answer.how, undefined);
        for (const { client } of [...held, ...more]) client.close();
        await world.counted({ Open: 0, Relayed: 0 });
    });

    await world.it(t, 'a kept-alive connection after a stream does not hold an old child', async () => {
        const held = await open(8);
        for (const { call } of held) call.end();
        for (const { answer } of held) assert.equal(await answer.done, 'complete');
        const old = world.httpd.children();
        await world.httpd.graceful();
        await until(() => old.every((pid) => !readdirSync('/proc').includes(String(pid))), 'old children leave', 10_000);
        for (const { client } of held) client.close();
    });

    await world.it(t, 'stop: clients hear an end, everything is logged', async () => {
        const held = (await open(20)).filter((_, i) => i % 10 < 9);
        await world.httpd.stop();
        for (const { answer } of held) await answer.done;
        const relayed = held.length;
        await until(() => (world.httpd.log().match(/MCP0522: stream ended: (stopped|client)/g) ?? []).length >= relayed, 'each stream has its line');
        for (const { client } of held) client.close();
    });
});

test('shmcb is lost by a restart, but not the power to revoke', { timeout: 120_000 }, async (t) => {
    const world = await openStreamsWorld(t, { store: 'shmcb' });
    const [one, two] = [await world.signIn(), await world.signIn(world.person(world.provider.accounts[1]))];
    const held = [];
    for (const way of BOTH) held.push(await begun(world, way, one.tokens.access_token));
    const other = await begun(world, 'relay', two.tokens.access_token);
    await world.httpd.graceful();
    await sleep(1500);
    for (const { answer } of [...held, other]) assert.equal(answer.how, undefined, 'streams of the old generation live');
    const restored = await one.refresh(one.tokens.refresh_token);
    assert.equal(restored.status, 200);
    const more = await begun(world, 'relay', restored.json().access_token);
    const from = Date.now();
    assert.equal((await one.revoke(restored.json().refresh_token)).status, 200);
    for (const { answer } of [...held, more]) {
        assert.equal(await answer.done, 'complete');
        assert.ok(since(from) < 2.5, `${since(from)} s`);
    }
    assert.equal(other.answer.how, undefined);
    for (const { client } of [...held, more, other]) client.close();
    await world.counted({ Open: 0 });
});

test('drain', { timeout: 120_000 }, async (t) => {
    const world = await openStreamsWorld(t, { directives: 'MCPStreamDrain 3s' });
    const { access_token: token } = (await world.signIn()).tokens;
    const held = [];
    for (let i = 0; i < 30; i++) held.push(await begun(world, i % 10 === 9 ? 'worker' : 'relay', token, { secure: i % 2 === 1 }));
    const old = world.httpd.children();
    const from = Date.now();
    await world.httpd.graceful();
    const ends = await Promise.all(held.map(async ({ answer }) => { assert.equal(await answer.done, 'complete'); return since(from); }));
    assert.ok(Math.max(...ends) < 6, `all within the time: ${Math.max(...ends)}`);
    assert.ok(Math.max(...ends) - Math.min(...ends) > 0.8, 'not all at once');
    await until(() => old.every((pid) => !readdirSync('/proc').includes(String(pid))), 'old children leave', 10_000);
    for (const { client } of held) client.close();
    assert.equal((await world.counted({ Open: 0 }))['Ended-drained'], 30);
});

for (const [mpm, settings] of [
    ['worker', MPM.replace(/AsyncRequestWorkerFactor.*/, '')],
    ['prefork', 'StartServers 8\nServerLimit 20\nMaxRequestWorkers 20\nMinSpareServers 4\nMaxSpareServers 20'],
]) {
    test(`the ${mpm} MPM holds a worker for each stream, by the same rules`, { timeout: 120_000 }, async (t) => {
        const world = await openStreamsWorld(t, {
            httpd: { mpmModule: mpm, mpm: settings },
            locations: { ping: 'MCPStreamKeepAlive 1s', person: 'MCPStreamLimit person 2' },
        });
        const one = await world.signIn();
        const token = one.tokens.access_token;
        assert.match(world.httpd.log(), new RegExp(`MCP0515: the ${mpm} MPM holds a worker for each event stream`, 'i'));
        for (const way of ['relay', 'tls', 'balancer']) {
            const { client, answer, call } = await begun(world, way, token, { secure: way === 'tls' });
            await sleep(300);
            call.event('event');
            await answer.has('event\n\n');
            assert.equal((await world.counts()).Relayed, 0);
            const from = Date.now();
            client.close();
            await call.closed;
            assert.ok(since(from) < 1);
        }
        const ping = await begun(world, 'ping', token);
        await ping.answer.has(/^:\n\n$/, 3500);
        const held = [await begun(world, 'person', token)];
        const refused = await request(`${world.base}/s/person/events`, { headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' } });
        assert.equal(refused.status, 429);
        const from = Date.now();
        await one.revoke(one.tokens.refresh_token);
        for (const { answer, client } of [ping, ...held]) {
            assert.equal(await answer.done, 'complete');
            client.close();
        }
        assert.ok(since(from) < 2);
        await world.counted({ Open: 0 });
    });
}

test('HTTP/2 to the client', { timeout: 120_000 }, async (t) => {
    const http2 = await import('node:http2');
    const world = await openStreamsWorld(t, {
        httpd: { modules: ['http2'], mpm: MPM.replace('ThreadsPerChild 10', 'ThreadsPerChild 30').replace('MaxRequestWorkers 40', 'MaxRequestWorkers 120').replace('MaxSpareThreads 40', 'MaxSpareThreads 120') },
        directives: 'H2MaxWorkers 60', vhost: 'Protocols h2 http/1.1',
        locations: { ping: 'MCPStreamKeepAlive 1s' },
    });
    const one = await world.signIn();
    const headers = { authorization: `Bearer ${one.tokens.access_token}`, accept: 'text/event-stream' };
    const session = http2.connect(`https://localhost:${world.tlsPort}`, { rejectUnauthorized: false, lookup: (_, __, cb) => cb(null, [{ address: '127.0.0.1', family: 4 }]) });
    t.after(() => session.destroy());
    session.on('error', () => {});
    assert.match(world.httpd.log(), /MCP0510: Protocols h2: .*set Protocols http\/1\.1/, 'said at start');
    const open = async (path, id) => {
        const stream = session.request({ ':path': `${path}?id=${id}`, ...headers });
        const state = { stream, text: '', headers: null };
        stream.setEncoding('utf8');
        stream.on('response', (h) => { state.headers = h; });
        stream.on('data', (data) => { state.text += data; });
        stream.on('error', () => {});
        stream.on('close', () => { state.closed = true; });
        state.call = await world.sse.call(id);
        state.call.begin();
        await until(() => state.headers, 'headers');
        assert.equal(state.headers[':status'], 200);
        return state;
    };

    await world.it(t, 'events and comments come at once, a reset stream frees the backend', async () => {
        const a = await open('/s/ping/events', 'h2-a');
        a.call.event('hello');
        await until(() => a.text.includes('hello\n\n'), 'the event', 1000);
        await until(() => a.text.includes(':\n\n'), 'a comment', 3500);
        const from = Date.now();
        a.stream.close(http2.constants.NGHTTP2_CANCEL);
        await a.call.closed;
        assert.ok(since(from) < 1.2, `${since(from)} s`);
        await world.counted({ Open: 0 });
    });

    await world.it(t, 'two hundred streams on one connection: most wait, as start-up says; nobody else does, and nothing is left', async () => {
        const crowded = http2.connect(`https://localhost:${world.tlsPort}`, { rejectUnauthorized: false, lookup: (_, __, cb) => cb(null, [{ address: '127.0.0.1', family: 4 }]) });
        crowded.on('error', () => {});
        let answered = 0;
        world.sse.onCall = (call, url) => { if (url.searchParams.get('id')?.startsWith('crowd')) call.begin(); };
        for (let i = 0; i < 200; i++) {
            const stream = crowded.request({ ':path': `/s/relay/events?id=crowd-${i}`, ...headers });
            stream.on('response', (h) => { answered += h[':status'] === 200; });
            stream.on('error', () => {});
        }
        await until(() => answered >= 3, 'some are answered');
        for (let i = 0; i < 5; i++) {
            const from = Date.now();
            const other = await request(`${world.base}/s/relay/plain`, { headers: { Authorization: headers.authorization } });
            assert.equal(other.status, 200);
            assert.ok(since(from) < 2, `${since(from)} s`);
        }
        assert.equal((await world.counts()).Open, answered);
        crowded.destroy();
        await world.counted({ Open: 0 });
        world.sse.onCall = undefined;
    });

    await world.it(t, 'a vanished connection frees all of its streams, revocation ends them', async () => {
        const held = [];
        for (let i = 0; i < 3; i++) held.push(await open('/s/relay/events', `h2-${i}`)); // mod_http2 answers few more at a time
        assert.equal((await world.counts()).Relayed, 0, 'with a worker each');
        const from = Date.now();
        await one.revoke(one.tokens.refresh_token);
        await until(() => held.every(({ closed }) => closed), 'streams end', 3000);
        assert.ok(since(from) < 2.2, `${since(from)} s`);
        await world.counted({ Open: 0 });
    });
});

test('start-up says which directive to set', { timeout: 120_000 }, async (t) => {
    const messages = async (mpm, directives = '') => {
        const world = await openStreamsWorld(t, { start: false, httpd: { mpm }, directives });
        const { code, output } = await world.httpd.configtest();
        return { code, output };
    };
    const plain = 'StartServers 2\nServerLimit 6\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 150\nMinSpareThreads 25\nMaxSpareThreads 75';
    let found = await messages(plain);
    assert.equal(found.code, 0);
    assert.match(found.output, /MCP0513: AsyncRequestWorkerFactor 2: event streams are held to 50 a child, 300 in all, .*set AsyncRequestWorkerFactor 2000/);
    assert.match(found.output, /MCP0511: MaxSpareThreads 75: .*set MaxSpareThreads 150/);
    found = await messages(plain.replace('MaxSpareThreads 75', 'MaxSpareThreads 150\nAsyncRequestWorkerFactor 2000\nMaxConnectionsPerChild 1000'));
    assert.doesNotMatch(found.output, /MCP0513|MCP0511/);
    assert.match(found.output, /MCP0512: .*set MaxConnectionsPerChild 0/);
    for (const [directives, what] of [
        ['MCPStreamKeepAlive soon', /MCPStreamKeepAlive wants a time/], ['MCPStreamMaxAge 10ms', /MCPStreamMaxAge wants a time/],
        ['MCPStreamLimit person many', /MCPStreamLimit person wants a number/], ['MCPStreamLimit planet 3', /knows person, client, server and child/],
        ['MCPStreamLimit person 0', /wants a number from 1/], ['<Location /x>\nMCPStreamLimit server 3\n</Location>', /cannot occur within|not allowed/],
        ['<Location /x>\nMCPStreamDrain 3s\n</Location>', /cannot occur within|not allowed/],
    ]) {
        found = await messages(plain, directives);
        assert.notEqual(found.code, 0, directives);
        assert.match(found.output, what);
    }
});
