// SPDX-License-Identifier: Apache-2.0
// What holding event streams costs: memory, CPU, delay, and how it ends; the relay beside bare mod_proxy and nginx, in one
// run, each server by itself on the machine while it is measured.

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { startProvider } from '../idp.mjs';
import { cpuSeconds, family, stop, stopAll } from '../proc.mjs';
import { signIn } from '../signin.mjs';
import { helper, pss, threads } from './helpers.mjs';
import { SOAK_ENV, soak } from './soak.mjs';
import { SERVERS, certificate, findNginx, startServer } from './servers.mjs';
import { together } from './together.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes('--quick');
const option = (name, missing) => {
    const at = process.argv.indexOf(`--${name}`);
    return at > 0 ? process.argv[at + 1] : missing;
};
const streams = Number(option('streams', quick ? 1000 : 10000));
const rate = Number(option('rate', 1000));
const seconds = Number(option('seconds', quick ? 5 : 15));
const only = option('only')?.split(',');
const tlsToo = !process.argv.includes('--no-tls');
const modules = option('modules');
const round = (value, digits = 1) => (value === null || value === undefined ? null : Number(value.toFixed(digits)));

const dir = mkdtempSync(path.join(os.tmpdir(), 'mcp-streams-'));
chmodSync(dir, 0o755);
for (const signal of ['SIGINT', 'SIGTERM']) {
    process.on(signal, () => stopAll().then(() => { rmSync(dir, { recursive: true, force: true }); process.exit(130); }));
}

/** Processes of the server that live now. */
const pids = (server) => family(server.process.pid);

async function until(probe, ms, step = 10) {
    const from = performance.now();
    for (;;) {
        if (await probe()) return performance.now() - from;
        if (performance.now() - from > ms) return null;
        await sleep(step);
    }
}

/** First event's delay and plain latency of an unloaded server, one request after the other. */
async function unloaded(clients, target) {
    const first = await clients.ask('open', { ...target, n: 200, parallel: 1 });
    await clients.ask('vanish');
    return { first: first.first.p50, ...await plainRequests(clients, target) };
}

/** Short requests on new connections, whose handshakes are part of it with TLS, and on connections that are kept alive. */
async function plainRequests(clients, target) {
    const asked = { ...target, path: '/mcp/plain', n: 500, everyMs: 4 };
    return { plain: await clients.ask('plain', asked), kept: await clients.ask('plain', { ...asked, kept: 20 }) };
}

async function measure(server, context, secure) {
    const { source } = context;
    const clients = await helper('clients.mjs');
    const target = { port: secure ? server.tlsPort : server.port, secure, path: '/mcp/events', token: server.bearer };
    const found = {};
    const backendOpen = async () => (await source.ask('stats')).open;

    found.unloaded = await unloaded(clients, target);
    await until(async () => await backendOpen() === 0, 5000);
    await sleep(1500);
    const idle = pss(pids(server));

    const opened = await clients.ask('open', { ...target, n: streams, parallel: 100 });
    Object.assign(found, { open: opened.open, refused: streams - opened.open, problems: opened.problems, openSeconds: opened.ms / 1000 });
    await sleep(2000);
    found.memory = (pss(pids(server)) - idle) / Math.max(1, opened.open);
    found.idle = idle;
    found.threads = threads(pids(server));
    Object.assign(found, await plainRequests(clients, target));

    await source.ask('rate', { rate });
    await sleep(2000);
    await clients.ask('stats');
    const before = cpuSeconds(pids(server));
    const from = performance.now();
    await sleep(seconds * 1000);
    found.cpu = (cpuSeconds(pids(server)) - before) / ((performance.now() - from) / 1000) * 100;
    const stats = await clients.ask('stats');
    found.events = stats.events / seconds;
    found.eventDelay = stats.delays;
    found.plainWithEvents = await clients.ask('plain', { ...target, path: '/mcp/plain', n: 300, everyMs: 4 });
    await source.ask('rate', { rate: 0 });
    found.memoryAfterEvents = (pss(pids(server)) - idle) / Math.max(1, opened.open);

    const half = Math.floor(opened.open / 2);
    await clients.ask('vanish', { n: half });
    found.vanished = half;
    found.freedMs = await until(async () => await backendOpen() <= opened.open - half, 15000);
    if (server.relay) found.restart = await restart(server, clients, source);
    await clients.ask('vanish', {});
    found.freedAllMs = await until(async () => await backendOpen() === 0, 15000);
    await sleep(2500);
    found.memoryBack = (pss(pids(server)) - idle) / 1024;
    if (server.relay) found.counters = await counters(server);
    // a restart empties shmcb, and with it the session
    if (server.bearer) target.token = (await signIn(server.base, `${server.base}/mcp`)).access_token;
    const flats = [];
    for (let i = 0; i < 3; i++) {
        const { bytes, seconds: taken } = await clients.ask('flat', { ...target, path: `/mcp/events?flat=${quick ? 2e8 : 6e8}` });
        flats.push(bytes / taken / 1e6);
    }
    found.flat = flats.sort((a, b) => a - b)[1];
    await clients.stop();
    return found;
}

async function counters(server) {
    const text = await (await fetch(`${server.base}/status?auto`)).text();
    return Object.fromEntries([...text.matchAll(/^MCPStreams([A-Za-z-]+): (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
}

/** Graceful restart with what is open now. */
async function restart(server, clients, source) {
    const before = await source.ask('stats');
    const old = pids(server).slice(1);
    process.kill(server.process.pid, 'SIGUSR1');
    await sleep(3000);
    const during = await clients.ask('stats');
    const open = (await source.ask('stats')).open;
    return { open: before.open, cut: before.open - open, ended: during.ended, old: old.length };
}

function table(rows, headings) {
    const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => String(row[i] ?? '-').length)));
    const line = (cells) => cells.map((cell, i) => (i === 0 ? String(cell ?? '-').padEnd(widths[i]) : String(cell ?? '-').padStart(widths[i]))).join('  ');
    console.log(line(headings));
    for (const row of rows) console.log(line(row));
}

function report(results) {
    for (const secure of [false, true]) {
        const set = results.filter((each) => each.secure === secure);
        if (set.length === 0) continue;
        console.log(`\n${secure ? 'TLS to the client' : 'HTTP'}, ${streams} streams, ${rate} events/s`);
        table(set.map(({ title, found: f }) => [title, f.open, f.refused, f.threads, round(f.memory), round(f.memoryAfterEvents), round(f.cpu, 2),
            round(f.events, 0), f.eventDelay.p50, f.eventDelay.p99, round(f.flat, 0)]),
        ['', 'open', 'refused', 'threads', 'KB/stream', 'after events', 'CPU %', 'events/s', 'delay p50 ms', 'p99', 'flat out MB/s']);
        table(set.map(({ title, found: f }) => [title, f.unloaded.first, f.unloaded.plain.p99, f.plain.p99, f.plainWithEvents.p99, f.unloaded.kept.p99, f.kept.p99,
            Object.values({ ...f.plain.problems, ...f.kept.problems, ...f.plainWithEvents.problems }).reduce((a, b) => a + b, 0), f.vanished, round(f.freedMs, 0), round(f.memoryBack, 1),
            f.restart ? `${f.restart.cut}/${f.restart.open}` : '-', round(f.openSeconds, 1)]),
        ['', 'first event ms', 'plain p99 unloaded', 'holding', 'with events', 'kept alive unloaded', 'holding', 'failed', 'vanish', 'freed ms', 'MB kept', 'cut by restart', 'open s']);
    }
}

/** The bars of the project, each with what was measured. */
function bars(results) {
    const of = (name, secure) => results.find((each) => each.name === name && each.secure === secure)?.found;
    const lines = [];
    const bar = (what, value, ok) => lines.push(`${ok ? 'met   ' : 'MISSED'} ${what}: ${value}`);
    for (const secure of [false, true]) {
        const relay = of('relay', secure) ?? of('relay-open', secure);
        const bare = of('bare', secure);
        const t = secure ? 'TLS' : 'HTTP';
        if (!relay) continue;
        bar(`${t} streams held with 150 workers, none refused`, `${relay.open} of ${streams}`, relay.refused === 0);
        bar(`${t} plain p99 within 2x of the unloaded`, `${relay.plain.p99} ms to ${relay.unloaded.plain.p99} ms`, relay.plain.p99 <= 2 * relay.unloaded.plain.p99);
        bar(`${t} the same on connections that are kept alive`, `${relay.kept.p99} ms to ${relay.unloaded.kept.p99} ms`, relay.kept.p99 <= 2 * relay.unloaded.kept.p99);
        bar(`${t} memory a stream <= ${secure ? 64 : 36} KB`, `${round(relay.memoryAfterEvents)} KB`, relay.memoryAfterEvents <= (secure ? 64 : 36));
        if (bare) {
            // for each event that came: on a busy machine fewer come than were asked for
            const cpu = (relay.cpu / relay.events) / (bare.cpu / bare.events);
            bar(`${t} CPU for ${rate} events/s <= 0.8 of bare mod_proxy`, round(cpu, 2), cpu <= 0.8);
            bar(`${t} one stream flat out >= bare mod_proxy`, `${round(relay.flat, 0)} to ${round(bare.flat, 0)} MB/s`, relay.flat >= bare.flat);
            bar(`${t} first event's delay added to bare mod_proxy <= 1 ms`, `${round(relay.unloaded.first - bare.unloaded.first, 2)} ms`, relay.unloaded.first - bare.unloaded.first <= 1);
        }
        bar(`${t} ${relay.vanished} vanish, freed in 1 s`, `${round(relay.freedMs, 0)} ms`, relay.freedMs !== null && relay.freedMs <= 1000);
        bar(`${t} counters at zero, memory given back`, `open ${relay.counters.Open}, ${round(relay.memoryBack)} MB kept`, relay.counters.Open === 0);
        bar(`${t} graceful restart cuts none`, `${relay.restart.cut} of ${relay.restart.open}`, relay.restart.cut === 0);
    }
    console.log(`\n${lines.join('\n')}`);
    return lines.every((line) => line.startsWith('met'));
}

async function main() {
    if (!modules) throw new Error('--modules DIR is missing: where mod_mcp_guard.so is');
    execFileSync('sh', ['-c', 'ulimit -n'], { stdio: 'ignore' });
    certificate(dir);
    const source = await helper('source.mjs');
    const provider = await startProvider();
    const context = { dir, modules, streams, source, backend: source.port, provider, nginx: findNginx(option('nginx-dir', path.join(os.tmpdir(), 'mcp-nginx'))) };
    const results = [];
    const soaked = Number(option('soak', 0));
    if (soaked > 0) {
        Object.assign(process.env, SOAK_ENV);
        const running = await startServer(SERVERS.find(({ name }) => name === 'relay'), context);
        running.bearer = (await signIn(running.base, `${running.base}/mcp`)).access_token;
        const flat = await soak(running, source, soaked);
        await source.stop();
        await stopAll();
        rmSync(dir, { recursive: true, force: true });
        process.exit(flat ? 0 : 1);
    }
    if (process.argv.includes('--together')) {
        const servers = SERVERS.filter(({ name, kind }) => (only ?? ['relay', 'bare', 'nginx']).includes(name) && (kind !== 'nginx' || context.nginx));
        for (const secure of tlsToo ? [false, true] : [false]) {
            const found = await together(servers, secure, context, { streams, rate, seconds });
            const total = ({ user, system }) => user + system;
            const bare = found.find(({ name }) => name === 'bare');
            console.log(`\n${secure ? 'TLS to the client' : 'HTTP'}: all at the same time, ${streams} streams and ${rate} events/s each`);
            table(found.map((f) => [f.title, f.open, round(f.memory), round(f.events, 0), round(f.user), round(f.system), round(total(f)), bare ? round(total(f) / total(bare), 2) : '-', f.p50]),
                ['', 'open', 'KB/stream', 'events/s', 'user us/event', 'system', 'CPU', 'to mod_proxy', 'delay p50 ms']);
        }
        await source.stop();
        await stopAll();
        rmSync(dir, { recursive: true, force: true });
        process.exit(0);
    }
    for (const server of SERVERS.filter(({ name }) => !only || only.includes(name))) {
        if (server.kind === 'nginx' && !context.nginx) {
            console.error('skipped: nginx (not installed, and its package cannot be fetched)');
            continue;
        }
        for (const secure of tlsToo ? [false, true] : [false]) {
            const running = await startServer({ ...server, name: `${server.name}${secure ? '-tls' : ''}` }, context);
            if (server.guarded) running.bearer = (await signIn(running.base, `${running.base}/mcp`)).access_token;
            await sleep(1500);
            console.error(`${server.title}${secure ? ', TLS' : ''} ...`);
            try {
                results.push({ name: server.name, title: server.title, secure, found: await measure(running, context, secure) });
            }
            catch (error) {
                console.error(`${error.message}\n${running.log().slice(-2000)}`);
            }
            await stop(running.process);
        }
    }
    await source.stop();
    report(results);
    const ok = bars(results);
    const json = option('json');
    if (json) writeFileSync(json, JSON.stringify({ streams, rate, results }, null, 1));
    await stopAll();
    if (!process.argv.includes('--keep')) rmSync(dir, { recursive: true, force: true });
    process.exit(ok ? 0 : 1);
}

await main();
