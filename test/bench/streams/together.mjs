// SPDX-License-Identifier: Apache-2.0
// CPU an event and memory a stream of all servers at the same time, on one source: what other programs do to the machine
// meets all of them alike, so that the ratios hold even where times do not.

import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { family, stop } from '../proc.mjs';
import { signIn } from '../signin.mjs';
import { helper, pss } from './helpers.mjs';
import { startServer } from './servers.mjs';

const TICK_US = 10_000; // of utime and stime, with the kernel's usual 100 a second

/** [user, system] time of these processes in microseconds. */
const spent = (pids) => pids.reduce(([user, system], pid) => {
    try {
        const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ');
        return [user + Number(fields[11]) * TICK_US, system + Number(fields[12]) * TICK_US];
    }
    catch {
        return [user, system];
    }
}, [0, 0]);

const pids = (each) => family(each.running.process.pid);

async function open(server, secure, context, n) {
    const running = await startServer({ ...server, name: `${server.name}-together${secure ? '-tls' : ''}` }, context);
    const token = server.guarded ? (await signIn(running.base, `${running.base}/mcp`)).access_token : undefined;
    const clients = await helper('clients.mjs');
    const target = { port: secure ? running.tlsPort : running.port, secure, path: '/mcp/events', token };

    await clients.ask('open', { ...target, n: 200, parallel: 1 });
    await clients.ask('vanish');
    await sleep(2500);
    const each = { server, running, clients };
    const idle = pss(pids(each));
    each.open = (await clients.ask('open', { ...target, n, parallel: 50 })).open;
    await sleep(2500);
    each.memory = (pss(pids(each)) - idle) / each.open;
    return each;
}

/** @return for each server {name, title, open, memory, user, system, events, p50}; times in microseconds an event */
export async function together(servers, secure, context, { streams, rate, seconds }) {
    const all = [];
    for (const server of servers) all.push(await open(server, secure, context, streams));
    await context.source.ask('rate', { rate: rate * all.length });
    await sleep(2000);
    for (const each of all) await each.clients.ask('stats');
    const before = all.map((each) => spent(pids(each)));
    await sleep(seconds * 1000);
    const results = [];
    for (const [i, each] of all.entries()) {
        const [user, system] = spent(pids(each)).map((value, k) => value - before[i][k]);
        const { events, delays } = await each.clients.ask('stats');
        results.push({ name: each.server.name, title: each.server.title, open: each.open, memory: each.memory, user: user / events, system: system / events, events: events / seconds, p50: delays.p50 });
    }
    await context.source.ask('rate', { rate: 0 });
    for (const each of all) {
        await each.clients.stop();
        await stop(each.running.process);
    }
    return results;
}
