// SPDX-License-Identifier: Apache-2.0
// Processes of the benchmark: start, watch, measure by /proc, stop by id.

import { execFileSync, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const running = new Set();
const TICKS = Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));

/** Start a program in the background; its output is kept and shown when it dies before stop(). */
export function start(name, command, args, options = {}) {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    const self = { name, pid: child.pid, output: '', expected: false };

    for (const stream of [child.stdout, child.stderr]) {
        stream.on('data', (data) => { self.output = (self.output + data).slice(-8192); });
    }
    self.ended = new Promise((resolve) => {
        child.on('error', (error) => { self.output += error.message; resolve(); });
        child.on('exit', resolve);
    });
    self.ended.then(() => {
        self.over = true;
        running.delete(self);
        if (!self.expected) {
            console.error(`${name} ended unexpectedly\n${self.output}`);
        }
    });
    self.kill = (signal) => { self.expected = true; child.kill(signal); };
    running.add(self);
    return self;
}

export async function stop(process) {
    if (!process || process.over) {
        return;
    }
    process.kill('SIGTERM');
    await Promise.race([process.ended, sleep(10000, undefined, { ref: false })]);
    if (!process.over) {
        process.kill('SIGKILL');
        await process.ended;
    }
}

export async function stopAll() {
    await Promise.all([...running].map(stop));
}

/** A TCP port of 127.0.0.1 that was free just now. */
export function freePort() {
    return new Promise((resolve, reject) => {
        const server = net.createServer();
        server.on('error', reject);
        server.listen(0, '127.0.0.1', () => {
            const { port } = server.address();
            server.close(() => resolve(port));
        });
    });
}

/** Wait until something accepts on a port (number) or unix socket (string). */
export async function accepts(where, process, ms = 10000) {
    const until = Date.now() + ms;
    const target = typeof where === 'number' ? { port: where, host: '127.0.0.1' } : { path: where };

    while (Date.now() < until) {
        if (process.over) {
            throw new Error(`${process.name} did not start: ${process.output}`);
        }
        const ok = await new Promise((resolve) => {
            const socket = net.connect(target);
            socket.on('connect', () => { socket.destroy(); resolve(true); });
            socket.on('error', () => resolve(false));
        });
        if (ok) {
            return;
        }
        await sleep(20);
    }
    throw new Error(`${process.name} does not accept connections at ${where}: ${process.output}`);
}

/** The process and its direct children. */
export function family(pid) {
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
    return [pid, ...children.split(' ').filter(Boolean).map(Number)];
}

/** CPU seconds (user and system) that these processes have used; reaped children of theirs included. */
export function cpuSeconds(pids) {
    let ticks = 0;

    for (const pid of pids) {
        // fields after the parenthesised name: state is field 3, utime stime cutime cstime are 14 to 17
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        ticks += fields.slice(11, 15).reduce((sum, value) => sum + Number(value), 0);
    }
    return ticks / TICKS;
}

/** Resident memory of these processes in KB, without what they share with files. */
export function anonymousKb(pids) {
    return pids.reduce((sum, pid) => sum
        + Number(/^RssAnon:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]), 0);
}

/** CPU seconds that anything used since the machine started, and that its host took away. */
export function machineSeconds() {
    const [user, nice, system, , , irq, softirq, steal] = readFileSync('/proc/stat', 'utf8').split('\n', 1)[0]
        .split(/\s+/).slice(1).map(Number);
    return (user + nice + system + irq + softirq + steal) / TICKS;
}

/** CPU seconds of this process's children that have ended. */
function childrenSeconds() {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return (Number(fields[13]) + Number(fields[14])) / TICKS;
}

/** Run wrk once and give its numbers; cpu is what wrk itself used. */
export async function wrk(url, { seconds, connections, token, body, script }) {
    const args = ['-t2', `-c${connections}`, `-d${seconds}s`, '--latency', '-s', script];
    if (token) {
        args.push('-H', `Authorization: Bearer ${token}`);
    }
    const before = childrenSeconds();
    const child = spawn('wrk', [...args, url], {
        stdio: ['ignore', 'pipe', 'inherit'],
        env: { ...process.env, BENCH_BODY: body ?? '' },
    });
    let output = '';
    child.stdout.on('data', (data) => { output += data; });
    await new Promise((resolve, reject) => {
        child.on('error', reject);
        child.on('close', resolve);
    });
    const line = /^BENCH (.*)$/m.exec(output);
    if (!line) {
        throw new Error(`wrk gave no result for ${url}\n${output}`);
    }
    return { ...JSON.parse(line[1]), cpu: childrenSeconds() - before };
}
