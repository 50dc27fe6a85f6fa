// SPDX-License-Identifier: Apache-2.0
// What a stream costs, with a thousand of them: memory, delay, throughput, vanished clients, restarts. Exact figures for ten
// thousand come from test/bench/streams, whose clients and backend these are; the bounds here leave room for a busy machine,
// and lie far below what a thread for each stream costs.

import test from 'node:test';
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { helper, pss } from '../bench/streams/helpers.mjs';
import { sleep, until } from './lib/proc.mjs';
import { openStreamsWorld } from './lib/streams-world.mjs';

const STREAMS = 1000;
const MPM = `StartServers 4\nServerLimit 12\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 100\nMinSpareThreads 25\nMaxSpareThreads 100
AsyncRequestWorkerFactor 2000`;

const median = (list) => list.toSorted((a, b) => a - b)[Math.floor(list.length / 2)];

test('a thousand streams', { timeout: 240_000 }, async (t) => {
    const source = await helper('source.mjs');
    t.after(() => source.stop());
    const backend = `http://127.0.0.1:${source.port}/mcp`;
    const world = await openStreamsWorld(t, {
        httpd: { mpm: MPM },
        directives: `<Location /s/scale>
    AuthType MCP
    Require valid-user
    MCPStreamLimit person off
    ProxyPass ${backend} disablereuse=on
</Location>
<Location /bare>
    ProxyPass ${backend} disablereuse=on
</Location>`,
    });
    world.httpd.announce('AH01110'); // mod_proxy's word for a backend that breaks off, when a worker reads
    let token;
    const clients = await helper('clients.mjs');
    t.after(() => clients.stop());
    const way = (secure, path = '/s/scale/events') => ({ port: secure ? world.tlsPort : world.httpd.port, secure, path, token });
    const open = async () => (await source.ask('stats')).open;
    const memory = () => pss([world.httpd.pid, ...world.httpd.children()]);
    /** Memory when it no longer changes. */
    const settled = async () => {
        let before;
        let now = memory();
        await until(async () => {
            [before, now] = [now, memory()];
            return Math.abs(now - before) < 0.003 * now;
        }, 'memory stands still', 15_000, 700);
        return now;
    };
    const hold = async (secure) => {
        const opened = await clients.ask('open', { ...way(secure), n: STREAMS, parallel: 40 });
        assert.deepEqual([opened.open, opened.problems], [STREAMS, {}]);
        await world.counted({ Open: STREAMS, Relayed: STREAMS });
    };
    /** Nobody is connected any more. */
    const empty = async () => {
        await clients.ask('vanish');
        await source.ask('break');
        await world.counted({ Open: 0 });
    };

    /** A subtest that leaves no stream behind, even when it fails. */
    const it = (name, fn) => t.test(name, async (sub) => { sub.after(empty); await fn(); });

    for (const secure of [false, true]) {
        const name = secure ? 'TLS' : 'HTTP';
        ({ access_token: token } = (await world.signIn()).tokens); // a restart empties the store

        await it(`the first event comes as soon as through mod_proxy alone, ${name}`, async () => {
            const added = [];
            for (let i = 0; i < 100; i++) {
                const { first: bare } = await clients.ask('open', { ...way(secure, '/bare/events'), n: 1 });
                const { first: ours } = await clients.ask('open', { ...way(secure), n: 1 });
                assert.deepEqual([bare.n, ours.n], [1, 1]);
                added.push(ours.p50 - bare.p50);
                await source.ask('end');
                await clients.ask('vanish');
            }
            assert.ok(median(added) <= 1, `${median(added)} ms added`);
        });

        await it(`one stream flat out is not slower than through mod_proxy alone, ${name}`, async () => {
            const best = { bare: 0, ours: 0 };
            for (let i = 0; i < 4; i++) {
                for (const [which, path] of [['bare', '/bare/events'], ['ours', '/s/scale/events']]) {
                    const { bytes, seconds } = await clients.ask('flat', way(secure, `${path}?flat=1e8`));
                    assert.ok(bytes > 1e8);
                    best[which] = Math.max(best[which], bytes / seconds / 1e6);
                }
            }
            assert.ok(best.ours >= 0.8 * best.bare, `MB/s: ${JSON.stringify(best)}`);
        });

        await it(`memory of a stream, and given back when it has gone, ${name}`, async () => {
            await hold(secure); // what processes keep for good is there after that
            await empty();
            const before = await settled();
            await hold(secure);
            const each = (await settled() - before) / STREAMS;
            assert.ok(each <= (secure ? 70 : 40), `${each} KB`);
            assert.ok(each > 8, `${each} KB: no stream is that small`);
            await empty();
            await until(() => memory() - before < 0.1 * each * STREAMS, 'memory is given back');
        });

        await it(`all clients vanish at once: backends hear of it within a second, counters are at zero, ${name} (TR-13)`, async () => {
            await hold(secure);
            const from = performance.now();
            await clients.ask('vanish');
            await until(async () => await open() === 0, 'all backends are closed');
            const took = performance.now() - from;
            assert.ok(took <= 1000, `${took} ms`);
            await world.counted({ Open: 0, Relayed: 0 }, 1000);
        });

        await it(`a graceful restart cuts none; the old children leave when they have ended, ${name}`, async () => {
            await hold(secure);
            await clients.ask('stats');
            const old = world.httpd.children();
            const before = await clients.ask('stats');
            await world.httpd.graceful();
            await sleep(1500);
            await source.ask('event');
            let events = 0;
            await until(async () => (events += (await clients.ask('stats')).events) === STREAMS, 'an event on each stream');
            const { open: held, ended } = await clients.ask('stats');
            assert.deepEqual([held, ended, await open()], [STREAMS, before.ended, STREAMS]);
            assert.ok(old.every((pid) => existsSync(`/proc/${pid}`)), 'old children stay for their streams');
            await source.ask('end');
            await until(() => old.every((pid) => !existsSync(`/proc/${pid}`)), 'old children leave', 15_000);
            await empty();
        });
    }
});
