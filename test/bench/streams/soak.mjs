// SPDX-License-Identifier: Apache-2.0
// Streams opened and closed by the hundred thousand, in every way to end, over HTTP and TLS: memory, descriptors
// and counters must stay where they are after the first fifth.

import { readdirSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { family } from '../proc.mjs';
import { helper, own, pss } from './helpers.mjs';

const PARTS = 10;
const GROWTH = 0.05; // of the memory after the first fifth, plus a little for the noise
const NOISE_KB = 4096;

const files = (pids) => pids.reduce((sum, pid) => {
    try { return sum + readdirSync(`/proc/${pid}/fd`).length; } catch { return sum; }
}, 0);

/** Open `n` streams, half of them over TLS, and end them: by the client, by the backend, broken off by the backend. */
async function round(clients, source, server, n) {
    for (const secure of [false, true]) {
        const target = { port: secure ? server.tlsPort : server.port, secure, path: '/mcp/events', token: server.bearer };
        const { open, problems } = await clients.ask('open', { ...target, n: n / 2, parallel: 50 });
        if (open !== (secure ? n : n / 2)) throw new Error(`of ${n} streams not all did open: ${JSON.stringify(problems)}`);
    }
    await source.ask('event'); // one for each
    await clients.ask('vanish', { n: Math.floor(n / 3) });
    await source.ask('end', { n: Math.floor(n / 3) });
    await source.ask('break');
    for (let i = 0; i < 200 && ((await source.ask('stats')).open > 0 || (await clients.ask('stats')).open > 0); i++) await sleep(25);
    await clients.ask('vanish');
}

/**
 * @param total  streams in all
 * @return whether everything stayed where it was
 */
export async function soak(server, source, total) {
    const clients = await helper('clients.mjs');
    const pids = () => family(server.process.pid);
    const size = Math.min(500, 2 * Math.ceil(total / PARTS / 2));
    const seen = [];
    let done = 0;

    for (let part = 1; part <= PARTS; part++) {
        for (; done < total / PARTS * part; done += size) {
            await round(clients, source, server, size);
        }
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
    const [, first] = seen; // by then every worker has served, and every process has its arenas
    const last = seen.at(-1);
    const flat = last.memory <= first.memory * (1 + GROWTH) + NOISE_KB && last.files <= first.files + 20 && last.open === 0;
    console.log(`${flat ? 'met   ' : 'MISSED'} ${last.done} streams opened and closed: ${first.memory} KB after the first fifth, ${last.memory} KB at the end`);
    return flat;
}
