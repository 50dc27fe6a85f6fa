// SPDX-License-Identifier: Apache-2.0
// Streams opened and closed by the hundred thousand, in every way to end, over HTTP and TLS: memory, descriptors
// and counters must stay where they are.
//
// First all workers are busy at once a few times: each keeps what it has needed once, and mod_proxy a connection for it.
// glibc's cache of freed pieces for each thread is off: it fills for as long as a hundred thousand TLS streams, up to
// 0.2 MB a thread, and hides what is looked for. After that, what counts is how much memory a stream leaves behind on average.
// The smallest piece that malloc gives away has 32 bytes: whoever forgets one for each stream is above the bar.

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { family } from '../proc.mjs';
import { helper, own, pss } from './helpers.mjs';

const PARTS = 20;
const WARM_UP = 8; // rounds
const LEAK = 16;   // bytes a stream
const NOISE_KB = 2048;
const SIZE = 500;

/** What the server's environment must have. */
export const SOAK_ENV = { GLIBC_TUNABLES: 'glibc.malloc.tcache_count=0' };

const files = (pids) => pids.reduce((sum, pid) => {
    try { return sum + readdirSync(`/proc/${pid}/fd`).length; } catch { return sum; }
}, 0);

/** Open `n` streams, half of them over TLS, and end them: by the client, by the backend, broken off by the backend. */
async function round(clients, source, server, n, parallel) {
    for (const secure of [false, true]) {
        const target = { port: secure ? server.tlsPort : server.port, secure, path: '/mcp/events', token: server.bearer };
        const { open, problems } = await clients.ask('open', { ...target, n: n / 2, parallel });
        if (open !== (secure ? n : n / 2)) throw new Error(`of ${n} streams not all did open: ${JSON.stringify(problems)}`);
    }
    await source.ask('event'); // one for each
    await clients.ask('vanish', { n: Math.floor(n / 3) });
    await source.ask('end', { n: Math.floor(n / 3) });
    await source.ask('break');
    for (let i = 0; (await source.ask('stats')).open > 0; i++) {
        if (i > 400) throw new Error('backends of streams that have ended are still connected');
        await sleep(25);
    }
    await clients.ask('vanish'); // connections that are kept alive
}

/** Median of the slopes between all pairs: single odd values do not matter (Theil and Sen). */
function slope(points) {
    const slopes = points.flatMap(([x, y], i) => points.slice(i + 1).map(([x2, y2]) => (y2 - y) / (x2 - x))).sort((a, b) => a - b);
    return slopes[Math.floor(slopes.length / 2)];
}

/**
 * @param total  streams in all, without those that warm up
 * @return whether everything stayed where it was
 */
export async function soak(server, source, total) {
    const clients = await helper('clients.mjs');
    const pids = () => family(server.process.pid);
    const seen = [];
    let done = 0;

    for (let i = 0; i < WARM_UP; i++) await round(clients, source, server, 2 * SIZE, SIZE);
    for (let part = 0; part <= PARTS; part++) {
        for (; done < total / PARTS * part; done += SIZE) await round(clients, source, server, SIZE, 50);
        let memory = Infinity;
        for (let i = 0; i < 4; i++) { // the relay gives memory back once it is quiet
            await sleep(1500);
            memory = Math.min(memory, own(pids()));
        }
        const counts = await (await fetch(`${server.base}/status?auto`)).text();
        const now = { done, memory, pss: pss(pids()), files: files(pids()), open: Number(/^MCPStreamsOpen: (\d+)$/m.exec(counts)[1]) };
        seen.push(now);
        console.log(`${String(now.done).padStart(8)} streams: ${now.memory} KB of their own, PSS ${now.pss} KB, ${now.files} descriptors, ${now.open} open`);
    }
    await clients.stop();
    const [first] = seen;
    const last = seen.at(-1);
    const left = slope(seen.map(({ done: x, memory }) => [x, memory * 1024]));
    const flat = left * last.done <= Math.max(LEAK * last.done, NOISE_KB * 1024)
        && last.files <= first.files + 20 && seen.every(({ open }) => open === 0);
    console.log(`${flat ? 'met   ' : 'MISSED'} ${last.done} streams opened and closed: ${left.toFixed(1)} bytes more a stream (at most ${LEAK}); ${first.memory} KB before, ${last.memory} KB after`);
    return flat;
}
