// SPDX-License-Identifier: Apache-2.0
// Processes of the stream benchmark that are told what to do, and what httpd's processes cost.

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Start one of this directory's programs; `ask(cmd, args)` gives its answer. */
export async function helper(name) {
    const child = fork(fileURLToPath(new URL(name, import.meta.url)), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const waiting = new Map();
    let id = 0;
    const [hello] = await once(child, 'message');

    child.on('message', ({ id: which, result, error }) => {
        const { resolve, reject } = waiting.get(which);
        waiting.delete(which);
        if (error) reject(new Error(`${name}: ${error}`));
        else resolve(result);
    });
    child.on('exit', () => { for (const { reject } of waiting.values()) reject(new Error(`${name} ended`)); });
    return {
        ...hello,
        ask: (cmd, args = {}) => new Promise((resolve, reject) => {
            waiting.set(++id, { resolve, reject });
            child.send({ id, cmd, ...args });
        }),
        stop: async () => {
            if (child.exitCode === null && !child.killed) {
                const gone = once(child, 'exit');
                child.disconnect();
                await gone;
            }
        },
    };
}

/** Memory of these processes in KB, pages that they share counted once between them (PSS). */
export function pss(pids) {
    return pids.reduce((sum, pid) => {
        try { return sum + Number(/^Pss: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]); }
        catch { return sum; }
    }, 0);
}

/** Memory of these processes in KB that is their own, without what is shared by purpose, such as the table of streams. */
export function own(pids) {
    return pids.reduce((sum, pid) => {
        try { return sum + Number(/^Pss_Anon: +(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8'))[1]); }
        catch { return sum; }
    }, 0);
}

/** Threads of these processes. */
export function threads(pids) {
    return pids.reduce((sum, pid) => {
        try { return sum + Number(/^Threads:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]); }
        catch { return sum; }
    }, 0);
}
