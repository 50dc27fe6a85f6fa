// SPDX-License-Identifier: Apache-2.0
// Processes and ports of a test: everything that is started is ended by its pid, and nothing outlives the test.

import { spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

export { sleep };

/**
 * A port that is free on 127.0.0.1 at this moment. Below those that the kernel gives to outgoing connections, of which the
 * suites beside this one make so many that one would take it before it is used.
 */
export async function freePort() {
    for (;;) {
        const port = randomInt(10240, 32768);
        const server = createServer();
        server.listen(port, '127.0.0.1');
        const free = await once(server, 'listening').then(() => true, () => false);
        if (!free) continue;
        server.close();
        await once(server, 'close');
        return port;
    }
}

/** Poll `probe` until it gives something true; fails with `what` after `ms`. */
export async function until(probe, what, ms = 10_000, step = 25) {
    const end = Date.now() + ms;
    for (;;) {
        const value = await probe();
        if (value) return value;
        if (Date.now() > end) throw new Error(`timed out after ${ms} ms: ${what}`);
        await sleep(step);
    }
}

/** Can somebody be reached there? `where` as for net.connect. */
export function reachable(where) {
    return new Promise((resolve) => {
        const socket = connect(where);
        socket.setTimeout(1000, () => socket.destroy(new Error('silent')));
        socket.once('connect', () => { socket.destroy(); resolve(true); });
        socket.once('error', () => resolve(false));
    });
}

const alive = new Set();
// TERM, not KILL, which would leave httpd's children behind
process.on('exit', () => {
    for (const child of alive) {
        try { process.kill(child.pid, 'SIGCONT'); process.kill(child.pid, 'SIGTERM'); } catch { /* gone */ }
    }
});
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130));

/** A child process whose output is kept; `stop()` ends it and waits. */
export class Process {
    constructor(command, args, { cwd, env, input, detached = false } = {}) {
        this.command = command;
        this.stdout = '';
        this.stderr = '';
        this.child = spawn(command, args, {
            cwd, detached, env: { ...process.env, ...env }, stdio: [input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
        });
        alive.add(this.child);
        this.child.stdout.setEncoding('utf8').on('data', (text) => { this.stdout += text; this.onText?.(text); });
        this.child.stderr.setEncoding('utf8').on('data', (text) => { this.stderr += text; this.onText?.(text); });
        if (input) this.child.stdin.end(input);
        else if (input === '') this.child.stdin.end();
        this.exited = new Promise((resolve) => {
            this.child.once('error', (error) => { alive.delete(this.child); this.error = error; resolve({ code: -1 }); });
            this.child.once('close', (code, signal) => { alive.delete(this.child); resolve({ code, signal }); });
        });
        this.exited.then((status) => { this.status = status; });
    }

    get pid() { return this.child.pid; }
    get output() { return this.stdout + this.stderr; }

    signal(name) { if (!this.status) process.kill(this.child.pid, name); }

    /** Wait for the end; throws with the output unless the exit code is `code` (null: any). */
    async done({ code = 0, ms = 120_000 } = {}) {
        const late = sleep(ms, 'late', { ref: false });
        const status = await Promise.race([this.exited, late]);
        if (status === 'late') {
            this.child.kill('SIGKILL');
            throw new Error(`${this.command} did not end within ${ms} ms\n${this.output}`);
        }
        if (this.error) throw this.error;
        if (code !== null && status.code !== code) {
            throw new Error(`${this.command} ended with ${status.code ?? status.signal}\n${this.output}`);
        }
        return status;
    }

    /** Wait until the output matches; gives the match. */
    async says(pattern, ms = 30_000) {
        return until(() => {
            const match = this.output.match(pattern);
            if (!match && this.status) throw new Error(`${this.command} ended before it said ${pattern}\n${this.output}`);
            return match;
        }, `${this.command} to say ${pattern}\n${this.output}`, ms);
    }

    async stop(name = 'SIGTERM', ms = 10_000) {
        if (this.status) return this.status;
        this.child.kill('SIGCONT');
        this.child.kill(name);
        const late = sleep(ms, 'late', { ref: false });
        if (await Promise.race([this.exited, late]) === 'late') {
            this.child.kill('SIGKILL');
            await this.exited;
        }
        return this.status;
    }
}

/** Run a command to its end. */
export async function run(command, args, options = {}) {
    const process = new Process(command, args, options);
    await process.done(options);
    return process;
}
