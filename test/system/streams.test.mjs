// SPDX-License-Identifier: Apache-2.0
// Event streams through the gateway, byte by byte: on the relay and with a worker each, over HTTP and TLS, from every kind
// of backend. Where a test guards an undocumented behaviour of httpd that the relay stands on, it names the place.

import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { openStreamsWorld } from './lib/streams-world.mjs';
import { Client, sleep, until } from './lib/sse.mjs';

const hash = (data) => createHash('sha256').update(data).digest('hex');
const ms = async (promise) => { const from = Date.now(); await promise; return Date.now() - from; };

/** Events with everything that a stream may hold, and odd line ends. */
const SAMPLE = 'retry: 2000\n\nid: 1\nevent: message\ndata: {"jsonrpc":"2.0"}\n\n: comment\n\nid: 2\r\ndata: ünï\r\ndata: zwei\r\n\r\n'
    + `data: ${'long '.repeat(9000)}\n\nid: 3\ndata:\n\n`;

const WAYS = [
    ['relay', false], ['relay', true], ['tls', false], ['tls', true], ['balancer', false], ['worker', false], ['worker', true],
];

/** Ten clients that do not read, before a backend that floods them; another stream must not feel them. */
async function slowReaders(world, token) {
    const slow = [];
    for (let i = 0; i < 10; i++) {
        const stream = await world.stream('relay', token, { secure: i % 2 === 1 });
        stream.call.begin();
        await stream.answer.headers_in;
        stream.client.socket.pause();
        slow.push(stream);
    }
    await sleep(300);
    for (const { call } of slow) for (let i = 0; i < 100; i++) call.event('x'.repeat(60_000));
    const { client, answer, call } = await world.stream('relay', token);
    call.begin();
    await answer.headers_in;
    for (let i = 0; i < 20; i++) {
        await sleep(50);
        call.event(`tick ${i}`);
        assert.ok(await ms(answer.has(`tick ${i}\n`)) < 400);
    }
    for (const stream of [...slow, { client }]) stream.client.close();
    await world.counted({ Open: 0, Relayed: 0 });
}

test('every way', { timeout: 600_000 }, async (t) => {
    const world = await openStreamsWorld(t);
    const { access_token: token } = (await world.signIn()).tokens;
    const children = () => world.httpd.children();
    const fds = () => children().reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);

    for (const [way, secure] of WAYS) {
        const relayed = way !== 'worker';
        const name = `${way}${secure ? ' over TLS' : ''}`;
        const open = (options = {}) => world.stream(way, token, { secure, ...options });

        await world.it(t, `${name}: bytes pass as they are, however the backend frames them`, async () => {
            for (const [how, size] of [['chunked'], ['chunked', 7], ['chunked', 1000], ['length'], ['close']]) {
                const { client, answer, call } = await open();
                call.begin(how, { length: Buffer.byteLength(SAMPLE) });
                await answer.headers_in;
                assert.equal(answer.status, 200);
                await sleep(60);
                call.write(SAMPLE, size);
                call.end();
                assert.equal(await answer.done, 'complete', `${how} ${size ?? ''}`);
                assert.equal(answer.text, SAMPLE, `${how} ${size ?? ''}`);
                client.close();
            }
        });

        await world.it(t, `${name}: events come when they are sent, headers say that nobody may hold them back (TR-14)`, async () => {
            const { client, answer, call } = await open({ headers: { 'Last-Event-ID': '41', 'Accept-Encoding': 'gzip, br' } });
            assert.equal(call.headers['last-event-id'], '41');
            call.begin('chunked', { headers: { 'Cache-Control': 'no-cache', 'Mcp-Session-Id': 'abc' } });
            assert.ok(await ms(answer.headers_in) < 500);
            assert.equal(answer.headers['x-accel-buffering'], 'no');
            assert.match(answer.headers['cache-control'], /no-store/);
            assert.equal(answer.headers['content-encoding'], undefined);
            assert.match(answer.headers['mcp-session-id'], /^mcpms\./);
            for (let i = 0; i < 5; i++) {
                await sleep(120);
                call.write(`id: ${i}\ndata: event ${i}\n\n`);
                assert.ok(await ms(answer.has(`event ${i}\n\n`)) < 500);
            }
            const counts = await world.counts();
            assert.equal(counts.Open, 1);
            assert.equal(counts.Relayed, relayed ? 1 : 0);
            client.close();
            await call.closed;
            await world.counted({ Open: 0, Relayed: 0 });
        });

        await world.it(t, `${name}: a client that goes away frees the backend at once, though the stream is silent (TR-13)`, async () => {
            const { client, answer, call } = await open();
            call.begin();
            await answer.headers_in;
            await sleep(400);
            const from = Date.now();
            client.close();
            assert.ok(await call.closed - from < 1000, 'within a second');
            await world.counted({ Open: 0, Relayed: 0 });
        });

        await world.it(t, `${name}: a client that goes away before the backend answers cancels the request (TR-13)`, async () => {
            const { client, call } = await open({ body: '{}' });
            await sleep(300);
            const from = Date.now();
            client.close();
            assert.ok(await call.closed - from < 1000, 'within a second');
            await until(() => /POST \/s\/\w+\/events \S+ 499 /.test(world.httpd.accessLog()), 'the log says 499');
        });

        await world.it(t, `${name}: a broken backend is not a finished answer`, async () => {
            for (const how of ['chunked', 'length']) {
                const { client, answer, call } = await open();
                call.begin(how, { length: 1000 });
                await answer.headers_in;
                call.event('one');
                await answer.has('one');
                await sleep(350);
                call.die();
                world.httpd.announce('AH01110'); // mod_proxy's word for it, when a worker reads
                assert.equal(await answer.done, 'cut');
                client.close();
            }
            const { client, answer, call } = await open();
            call.begin();
            await answer.headers_in;
            call.event('one');
            await answer.has('one');
            await sleep(350);
            call.raw('zz\r\nnot a chunk\r\n');
            world.httpd.announce('AH01590', 'AH02961');
            assert.equal(await answer.done, 'cut');
            client.close();
        });

        await world.it(t, `${name}: the connection serves on after a stream, also what was sent meanwhile`, async () => {
            const client = new Client(secure ? world.tlsPort : world.httpd.port, { secure });
            const headers = { Authorization: `Bearer ${token}` };
            for (let round = 0; round < 3; round++) {
                const { answer, call } = await open({ client, body: round % 2 ? '{}' : undefined });
                call.begin();
                await answer.headers_in;
                await sleep(round === 2 ? 0 : 350);
                call.event(`round ${round}`);
                await answer.has(`round ${round}`);
                const early = client.send(`/s/${way}/plain`, { headers });
                await sleep(50);
                assert.equal(early.status, undefined, 'waits for its turn');
                call.end();
                assert.equal(await answer.done, 'complete');
                assert.equal(await early.done, 'complete');
                assert.equal(early.text, 'plain\n');
                const later = client.send(`/s/${way}/plain`, { headers });
                assert.equal(await later.done, 'complete');
            }
            const big = client.send(`/s/${way}/events`, { headers: { ...headers, Connection: 'close' } });
            const call = await until(() => world[way === 'tls' ? 'tlsSse' : 'sse'].calls.get('/events'), 'the last request');
            call.begin();
            await big.headers_in;
            await sleep(300);
            call.event('bye');
            call.end();
            assert.equal(await big.done, 'complete');
            assert.ok(await ms(client.closed) < 1500, 'closed as it was asked');
            (way === 'tls' ? world.tlsSse : world.sse).calls.delete('/events');
        });

        await world.it(t, `${name}: back-pressure reaches the backend; twenty-five megabytes arrive whole`, async () => {
            const block = randomBytes(48 * 1024).toString('base64');
            const count = 400;
            const { client, answer, call } = await open();
            const digest = createHash('sha256');
            const rss = () => children().reduce((sum, pid) => sum + Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0), 0);

            call.begin();
            await answer.headers_in;
            await sleep(350);
            client.socket.pause();
            const before = rss();
            for (let i = 0; i < count; i++) {
                const text = `data: ${i}-${block}\n\n`;
                digest.update(text);
                call.write(text);
            }
            await sleep(2000);
            assert.ok(call.socket.writableLength > 1024 * 1024, 'the backend cannot get rid of its bytes');
            // A sanitizer keeps what was freed.
            assert.ok(rss() - before < (process.env.MCP_ASAN_LOG || process.env.MCP_TSAN_LOG ? 100 : 6) * 1024, `httpd does not grow: ${rss() - before} KB`);
            assert.equal((await world.counts()).Open, 1);
            client.socket.resume();
            await until(() => answer.size >= count * 65536, 'all of it', 30_000);
            call.end();
            assert.equal(await answer.done, 'complete');
            assert.equal(hash(answer.whole()), digest.digest('hex'));
            client.close();
        });
    }

    await world.it(t, 'a slow reader holds up nobody else', () => slowReaders(world, token));

    await world.it(t, 'nothing is left: descriptors, counters, connections of the backend', async () => {
        await world.counted({ Open: 0, Relayed: 0 });
        const before = await until(() => { const n = fds(); return n; }, 'descriptors');
        for (let i = 0; i < 30; i++) {
            const streams = await Promise.all(['relay', 'worker', 'tls', 'balancer'].map((way) => world.stream(way, token, { secure: i % 2 === 1 })));
            for (const { call } of streams) call.begin();
            await Promise.all(streams.map(({ answer }) => answer.headers_in));
            streams[i % 4].call.die();
            streams[(i + 1) % 4].call.end();
            for (const { client } of streams) client.close();
        }
        await world.counted({ Open: 0, Relayed: 0 });
        await until(() => fds() <= before + 12, `descriptors: ${before}, now ${fds()}`, 8000);
        world.httpd.announce('AH01110');
    });

    await world.it(t, 'POST answers: short ones stay with their worker, subscriptions go to the relay at once', async () => {
        const opened = (await world.counts()).Opened;
        const connections = world.sse.connections;
        const client = new Client(world.httpd.port);
        for (let i = 0; i < 5; i++) {
            const { answer, call } = await world.stream('relay', token, { client, body: '{}' });
            call.begin();
            await answer.headers_in;
            await sleep(20);
            call.event('result');
            call.end();
            assert.equal(await answer.done, 'complete');
        }
        assert.ok(world.sse.connections - connections <= 2, 'the backend connection is used again');
        const { answer, call } = await world.stream('relay', token, { body: '{}', headers: { 'Mcp-Method': 'subscriptions/listen' } });
        call.begin();
        await answer.headers_in;
        await until(async () => (await world.counts()).Relayed === 1, 'on the relay', 200, 5);
        call.end();
        await answer.done;
        assert.equal((await world.counts()).Opened - opened, 6);
    });

    await world.it(t, 'an answer that is no stream is left alone', async () => {
        const { answer, call, client } = await world.stream('relay', token, { body: '{}' });
        call.begin('length', { length: 13, type: 'application/json' });
        call.write('{"result":{}}');
        assert.equal(await answer.done, 'complete');
        assert.equal(answer.headers['x-accel-buffering'], undefined);
        const error = await world.stream('relay', token, { client });
        error.call.begin('length', { length: 2, status: '404 Not Found' });
        error.call.write('no');
        assert.equal(await error.answer.done, 'complete');
        assert.equal(error.answer.status, 404);
        const head = await world.stream('relay', token, { client, method: 'HEAD' });
        head.call.begin('length', { length: 5 });
        await head.answer.headers_in;
        assert.equal(head.answer.status, 200);
        client.close();
        await world.counted({ Open: 0 });
    });
});

test('filters between', { timeout: 120_000 }, async (t) => {
    const world = await openStreamsWorld(t, {
        httpd: { without: ['reqtimeout'] }, // so that core is the only filter of a plain connection
        locations: {
            deflate: 'SetOutputFilter DEFLATE', brotli: 'SetOutputFilter BROTLI_COMPRESS', bytype: 'AddOutputFilterByType DEFLATE text/event-stream',
            buffer: 'SetOutputFilter BUFFER', substitute: 'SetOutputFilter SUBSTITUTE\nSubstitute "s/secret/public/n"',
            ratelimit: 'SetOutputFilter RATE_LIMIT\nSetEnv rate-limit 400',
        },
    });
    const { access_token: token } = (await world.signIn()).tokens;

    for (const [name, relayed] of [['deflate', 1], ['brotli', 1], ['bytype', 1], ['buffer', 1], ['substitute', 1], ['ratelimit', 0]]) {
        await world.it(t, `${name} does not hold events back${relayed ? '' : '; it may sleep, so the stream keeps its worker'}`, async () => {
            const { client, answer, call } = await world.stream(name, token, { headers: { 'Accept-Encoding': 'gzip, br' } });
            call.begin();
            await answer.headers_in;
            assert.equal(answer.headers['content-encoding'], undefined);
            for (let i = 0; i < 4; i++) {
                await sleep(150);
                call.write(`data: secret ${i}\n\n`);
                assert.ok(await ms(answer.has(`${name === 'substitute' ? 'public' : 'secret'} ${i}\n\n`)) < 600);
            }
            assert.equal((await world.counts()).Relayed, relayed);
            call.end();
            assert.equal(await answer.done, 'complete');
            client.close();
            await world.counted({ Open: 0 });
        });
    }

    await world.it(t, 'a slow reader holds up nobody else, where core is the only filter of a connection', () => slowReaders(world, token));
});
