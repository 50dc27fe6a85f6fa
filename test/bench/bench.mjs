// SPDX-License-Identifier: Apache-2.0
// Throughput, CPU and latency of the guard against bare mod_proxy and against Debian's bearer-token modules.
//
// All configurations run at the same time, each in an httpd of its own, and are measured in turn, round after round,
// with bare mod_proxy twice in each round. A ratio is always to the bare mod_proxy of the same round, so that a machine
// that becomes faster or slower moves both sides; what is reported is the median over the rounds. "httpd CPU" is what the
// processes of httpd used a request; "all CPU" has wrk, the backend and the store with it, and its inverse is what the
// ratio of requests/s must be near while all CPUs are busy: it tells a disturbed run.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, chmodSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { CONFIGURATIONS, startGateway } from './gateways.mjs';
import { startProvider } from './idp.mjs';
import { accepts, anonymousKb, cpuSeconds, family, freePort, machineSeconds, start, stopAll, wrk } from './proc.mjs';
import { probe, signIn } from './signin.mjs';
import { startStores } from './stores.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
export const CALL = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call',
    params: { name: 'hello_mcp', arguments: {} } });

/** The call with arguments that make its body `bytes` long, as text in several members. */
export function callOf(bytes) {
    const call = JSON.parse(CALL);
    for (let i = 0; JSON.stringify(call).length < bytes - 100; i++) {
        call.params.arguments[`part${i}`] = 'x'.repeat(64);
    }
    call.params.arguments.rest = '';
    call.params.arguments.rest = 'y'.repeat(Math.max(0, bytes - JSON.stringify(call).length));
    return JSON.stringify(call);
}

/** A signal ends this run: what fails from now on is no news. */
export const interrupted = { yes: false };

/** Directories, backend, provider, stores and the httpds of the wanted configurations. */
export async function setUp({ ours, only, wrap, prepare }) {
    const dir = mkdtempSync(path.join(os.tmpdir(), 'mcp-bench-'));

    // on a signal, too, nothing stays behind
    for (const signal of ['SIGINT', 'SIGTERM']) {
        process.on(signal, () => {
            interrupted.yes = true;
            stopAll().then(() => {
                rmSync(dir, { recursive: true, force: true });
                process.exit(130);
            });
        });
    }
    const httpd = ['/usr/sbin/apache2', '/usr/sbin/httpd'].find(existsSync);
    const modules = { ours, httpd: execFileSync('apxs', ['-q', 'LIBEXECDIR'], { encoding: 'utf8' }).trim() };

    chmodSync(dir, 0o755);
    const missing = (each) => (each.ours && !ours) || (each.module && !existsSync(`${modules.httpd}/${each.module}`));
    const chosen = CONFIGURATIONS.filter((each) => !only || only.includes(each.name));
    for (const each of chosen.filter(missing)) {
        console.error(`skipped: ${each.name} (${each.ours ? 'no build of our modules' : `${each.module} not installed`})`);
    }
    const wanted = chosen.filter((each) => !missing(each));

    execFileSync('cc', ['-D_GNU_SOURCE', '-O2', '-o', `${dir}/backend`, `${here}/backend.c`]);
    const backend = await freePort();
    const backendProcess = start('backend', `${dir}/backend`, [String(backend)]);
    await accepts(backend, backendProcess);

    const provider = await startProvider();
    const stores = await startStores(new Set(wanted.map((each) => each.store)), `${dir}/stores`);
    const context = { dir, httpd, modules, backend, backendPid: backendProcess.pid, provider, stores, extra: prepare?.(dir) ?? '' };
    const gateways = [];
    for (const each of wanted) {
        gateways.push(await startGateway(each, context, wrap));
    }
    return { ...context, gateways };
}

/** Get each guarded configuration its token, and prove that it guards: nothing is measured that lets anyone in. */
export async function admit(gateways, body) {
    for (const gateway of gateways) {
        if (gateway.ours) {
            gateway.bearer = (await signIn(gateway.base, gateway.url)).access_token;
        }
        else if (gateway.token) {
            gateway.bearer = gateway.token();
        }
        const status = await probe(gateway.url, gateway.bearer, body);
        if (status !== 200) {
            throw new Error(`${gateway.name} answers ${status}, see ${gateway.dir}/error.log`);
        }
        if (gateway.bearer) {
            for (const token of [undefined, `${gateway.bearer.slice(0, -6)}AAAAAA`]) {
                const refused = await probe(gateway.url, token, body);
                if (refused !== 401) {
                    throw new Error(`${gateway.name} answers ${refused} to ${token ? 'a forged token' : 'no token'}`);
                }
            }
        }
    }
}

/** CPU seconds of this process itself. */
function ownSeconds() {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1e6;
}

async function measureOnce(gateway, options) {
    const machine = machineSeconds() - ownSeconds();
    const began = performance.now();
    const pids = family(gateway.process.pid);
    const before = cpuSeconds(pids);
    const othersBefore = cpuSeconds(gateway.others);
    const result = await wrk(gateway.url, { ...options, token: gateway.bearer, script: `${here}/report.lua` });
    const cpu = cpuSeconds(pids) - before;
    const others = cpuSeconds(gateway.others) - othersBefore + result.cpu;

    if (result.errors > 0 || result.requests === 0) {
        throw new Error(`${gateway.name}: ${result.errors} errors in ${result.requests} requests`);
    }
    if (family(gateway.process.pid).join() !== pids.join()) {
        throw new Error(`${gateway.name}: httpd's children changed, see ${gateway.dir}/error.log`);
    }
    const each = 1e6 / result.requests;
    const capacity = (performance.now() - began) / 1000 * os.cpus().length;
    const foreign = (machineSeconds() - ownSeconds() - machine - cpu - others) / capacity;
    gateway.requests = (gateway.requests ?? 0) + result.requests;
    return { foreign, rate: result.requests / result.seconds, cpu: cpu * each, all: (cpu + others) * each,
        p50: result.p50, p99: result.p99 };
}

/** Does the rest of the machine rest, just now? */
async function isQuiet() {
    const before = machineSeconds();
    await sleep(300);
    return (machineSeconds() - before) / (0.3 * os.cpus().length) < 0.1;
}

/**
 * Measure, and with --patient wait for a quiet moment before and again after others have disturbed it; the least
 * disturbed result counts when patience ends.
 */
async function measure(gateway, options) {
    const until = Date.now() + (options.patience ?? 0) * 1000;
    let best;

    do {
        while (Date.now() < until && !await isQuiet()) {
            await sleep(200);
        }
        const result = await measureOnce(gateway, options);
        if (!best || result.foreign < best.foreign) {
            best = result;
        }
    } while (best.foreign > 0.04 && Date.now() < until);
    return best;
}

/** The order of a round: bare first and in the middle, the others rotated so that each takes each place. */
function order(gateways, round) {
    const bare = gateways.filter((each) => each.name.startsWith('bare'));
    const rest = gateways.filter((each) => !each.name.startsWith('bare'));
    const shift = rest.length ? round % rest.length : 0;
    const turned = [...rest.slice(shift), ...rest.slice(0, shift)];
    const half = Math.ceil(turned.length / 2);

    if (round % 2) {
        turned.reverse();
        bare.reverse();
    }
    return [bare[0], ...turned.slice(0, half), ...bare.slice(1), ...turned.slice(half)];
}

function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    const middle = sorted.length >> 1;
    return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const FIGURES = ['rate', 'cpu', 'all', 'p50', 'p99'];

/** Median, minimum and maximum of each figure and of its ratio to the same round's bare mod_proxy. */
function summarize(gateways, rounds) {
    return gateways.map((gateway) => {
        const row = { name: gateway.name, title: gateway.title, key: gateway.key };
        for (const figure of FIGURES) {
            const values = rounds.map((round) => round[gateway.name][figure]);
            const ratios = rounds.map((round) => {
                // the control row is compared with the first instance alone, everything else with both
                const bare = Object.keys(round).filter((name) => (gateway.name.startsWith('bare')
                    ? name === 'bare' : name.startsWith('bare')));
                return round[gateway.name][figure] / (bare.reduce((sum, name) => sum + round[name][figure], 0) / bare.length);
            });
            row[figure] = { value: median(values), ratio: median(ratios), min: Math.min(...ratios), max: Math.max(...ratios) };
        }
        return row;
    });
}

function table(rows) {
    const titles = { rate: 'requests/s', cpu: 'httpd CPU us', all: 'all CPU us', p50: 'p50 us', p99: 'p99 us' };
    const cell = (figure) => `${figure.value.toFixed(figure.value < 1000 ? 1 : 0).padStart(7)} `
        + `${figure.ratio.toFixed(3)} (${figure.min.toFixed(2)}-${figure.max.toFixed(2)})`;
    const lines = [['configuration', ...FIGURES.map((figure) => titles[figure])],
        ...rows.map((row) => [row.title, ...FIGURES.map((figure) => cell(row[figure]))])];
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)));
    return lines.map((line) => line.map((text, column) => text.padEnd(widths[column])).join('  ').trimEnd()).join('\n');
}

export function parseArgs(argv) {
    const options = { rounds: 12, seconds: 2, connections: 16, body: undefined };
    const number = (name, text) => {
        if (!/^[1-9][0-9]{0,3}$/.test(text ?? '')) {
            throw new Error(`${name} wants a number`);
        }
        return Number(text);
    };
    for (let i = 0; i < argv.length; i++) {
        switch (argv[i]) {
        case '--quick': options.rounds = 1; options.seconds = 1; break;
        case '--rounds': options.rounds = number(argv[i], argv[++i]); break;
        case '--seconds': options.seconds = number(argv[i], argv[++i]); break;
        case '--connections': options.connections = number(argv[i], argv[++i]); break;
        case '--requests': options.requests = number(argv[i], argv[++i]); break;
        case '--post': options.body = CALL; break;
        case '--body': options.body = callOf(Number(argv[++i])); break;
        case '--only': options.only = ['bare', ...(argv[++i] ?? '').split(',')]; break;
        case '--modules': options.ours = path.resolve(argv[++i] ?? ''); break;
        case '--json': options.json = argv[++i]; break;
        case '--patient': options.patience = number(argv[i], argv[++i]); break;
        case '--keep': options.keep = true; break;
        default: throw new Error(`unknown option ${argv[i]}`);
        }
    }
    return options;
}

async function main() {
    const options = parseArgs(process.argv.slice(2));
    const bed = await setUp(options);
    const { gateways, dir, provider } = bed;
    const rounds = [];

    try {
        await admit(gateways, options.body);
        for (const gateway of gateways) {
            // threads, connections to the backend and to the store: all of it exists before anything counts
            await wrk(gateway.url, { ...options, seconds: 1, token: gateway.bearer, script: `${here}/report.lua` });
        }
        for (const gateway of gateways) {
            gateway.memory = anonymousKb(family(gateway.process.pid));
        }
        const began = Date.now();
        for (let i = 0; i < options.rounds; i++) {
            const round = {};
            for (const gateway of order(gateways, i)) {
                round[gateway.name] = await measure(gateway, options);
            }
            rounds.push(round);
            process.stderr.write(`round ${i + 1}/${options.rounds}, ${Math.round((Date.now() - began) / 1000)} s\r`);
        }
        process.stderr.write('\n');
        for (const gateway of gateways) {
            gateway.growth = anonymousKb(family(gateway.process.pid)) - gateway.memory;
        }
    }
    catch (error) {
        options.keep = !interrupted.yes;
        throw error;
    }
    finally {
        provider.close();
        await stopAll();
        if (options.keep) {
            console.error(`kept: ${dir}`);
        }
        else {
            rmSync(dir, { recursive: true, force: true });
        }
    }

    const rows = summarize(gateways, rounds);
    console.log(`${options.rounds} rounds of ${options.seconds} s, wrk -t2 -c${options.connections}, `
        + `${options.body ? `POST of ${options.body.length} bytes` : 'GET'}, ${os.cpus().length} CPUs; `
        + 'median, ratio to bare mod_proxy of the same round (lowest-highest)\n');
    console.log(table(rows));
    console.log(`\nmemory of httpd's processes after the warm-up, KB: ${gateways.map((each) =>
        `${each.name} +${each.growth} in ${each.requests} requests`).join(', ')}`);
    const foreign = rounds.flatMap((round) => Object.values(round).map((each) => each.foreign));
    console.log(`\nCPU used by others during the measurements: ${(100 * median(foreign)).toFixed(1)} % (median), `
        + `${(100 * Math.max(...foreign)).toFixed(1)} % (most); figures are good below 5 %`);
    if (options.json) {
        writeFileSync(options.json, `${JSON.stringify({ options, rows, rounds }, null, 2)}\n`);
    }
    const keyed = rows.filter((row) => row.key);
    const last = [...keyed.filter((row) => !row.key.endsWith('_nocache')).filter((row) => row.key.startsWith('guard')),
        ...keyed.filter((row) => row.key.endsWith('_nocache')), ...keyed.filter((row) => !row.key.startsWith('guard'))];
    console.log(`\n${last.map((row) => `${row.key}=${row.rate.ratio.toFixed(3)}`).join(' ')}`);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
    main().catch(async (error) => {
        if (interrupted.yes) {
            return;
        }
        console.error(`bench: ${error.message}`);
        await stopAll();
        process.exit(1);
    });
}
