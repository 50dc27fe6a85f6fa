// SPDX-License-Identifier: Apache-2.0
// Clients of the stream benchmark, in a process of its own: many sockets that each hold one stream.

import net from 'node:net';
import tls from 'node:tls';

const held = new Set();
let events = 0;
let bytes = 0;
let delays = [];
let ended = 0;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

function quantiles(list) {
    const sorted = Float64Array.from(list).sort();
    const at = (q) => (sorted.length ? Number(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))].toFixed(3)) : null);
    return { n: sorted.length, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

function connect({ port, secure }) {
    return secure ? tls.connect({ port, host: '127.0.0.1', rejectUnauthorized: false, servername: 'localhost' })
                  : net.connect({ port, host: '127.0.0.1' });
}

function request({ path, token, method = 'GET', body, close }) {
    return `${method} ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json, text/event-stream\r\n`
        + (token ? `Authorization: Bearer ${token}\r\n` : '')
        + (body ? `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n` : '')
        + (close ? 'Connection: close\r\n' : '') + `\r\n${body ?? ''}`;
}

/** Open one stream; resolves with the status and the delay of its first event in ms, or an error. */
function open(target) {
    return new Promise((resolve) => {
        const started = process.hrtime.bigint();
        const socket = connect(target);
        let head = '';
        let status = 0;
        const give = (result) => { clearTimeout(late); resolve(result); };
        const late = setTimeout(() => { socket.destroy(); give({ error: 'timeout' }); }, target.timeout ?? 30000);

        socket.setNoDelay?.(true);
        socket.on('error', (error) => give({ error: error.code ?? error.message }));
        socket.on('close', () => {
            if (held.delete(socket)) ended++;
            give({ error: `closed ${status}` });
        });
        socket.on(target.secure ? 'secureConnect' : 'connect', () => socket.write(request(target)));
        socket.on('data', (data) => {
            const at = process.hrtime.bigint();
            bytes += data.length;
            if (target.quick && status === 200) return;
            const text = data.toString('latin1');
            if (status === 0) {
                head += text;
                const match = /^HTTP\/1\.1 (\d+)/.exec(head);
                if (match) status = Number(match[1]);
                if (status && status !== 200) { give({ status }); socket.destroy(); return; }
            }
            for (const match of text.matchAll(/"at":"(\d+)"/g)) {
                events++;
                const delay = Number(at - BigInt(match[1])) / 1e6;
                if (!held.has(socket)) {
                    held.add(socket);
                    give({ status, first: delay, whole: Number(at - started) / 1e6 });
                }
                else {
                    delays.push(delay);
                }
            }
        });
    });
}

async function openMany({ n, parallel = 64, ...target }) {
    const firsts = [];
    const wholes = [];
    const problems = {};
    let next = 0;
    const started = Date.now();
    const one = async () => {
        while (next < n) {
            next++;
            const result = await open(target);
            if (result.status === 200) {
                firsts.push(result.first);
                wholes.push(result.whole);
            }
            else {
                const what = result.error ?? `status ${result.status}`;
                problems[what] = (problems[what] ?? 0) + 1;
            }
        }
    };
    await Promise.all(Array.from({ length: Math.min(parallel, n) }, one));
    return { open: held.size, ms: Date.now() - started, first: quantiles(firsts), whole: quantiles(wholes), problems };
}

/** One short request on a new connection; its time in ms or an error. */
function plain(target) {
    return new Promise((resolve) => {
        const started = process.hrtime.bigint();
        const socket = connect(target);
        const late = setTimeout(() => { socket.destroy(); resolve({ error: 'timeout' }); }, 10000);
        let text = '';
        socket.on('error', (error) => { clearTimeout(late); resolve({ error: error.code ?? error.message }); });
        socket.on(target.secure ? 'secureConnect' : 'connect', () => socket.write(request({ ...target, close: true })));
        socket.on('data', (data) => { text += data.toString('latin1'); });
        socket.on('close', () => {
            clearTimeout(late);
            resolve(/^HTTP\/1\.1 200/.test(text) ? { ms: Number(process.hrtime.bigint() - started) / 1e6 } : { error: text.slice(0, 12) || 'closed' });
        });
    });
}

/** A connection that is kept alive; `ask` makes one request on it and gives what plain() does. */
function keptAlive(target) {
    return new Promise((resolve, reject) => {
        const socket = connect(target);
        let got = () => {};
        socket.setNoDelay?.(true);
        socket.on('error', (error) => { reject(error); got({ error: error.code ?? error.message }); });
        socket.on('close', () => got({ error: 'closed' }));
        socket.on('data', (data) => got(/^HTTP\/1\.1 200/.test(data.toString('latin1')) ? {} : { error: data.toString('latin1', 0, 12) }));
        socket.on(target.secure ? 'secureConnect' : 'connect', () => resolve({
            socket,
            ask: () => new Promise((done) => {
                const started = process.hrtime.bigint();
                got = (result) => done({ ...result, ms: result.error ? undefined : Number(process.hrtime.bigint() - started) / 1e6 });
                socket.write(request(target));
            }),
        }));
    });
}

/** Short requests, one every `everyMs`: on new connections, or on `kept` connections in turn. */
async function plainMany({ n, everyMs = 5, kept = 0, ...target }) {
    const connections = await Promise.all(Array.from({ length: kept }, () => keptAlive(target)));
    const waiting = [];
    for (let i = 0; i < n; i++) {
        const connection = kept ? connections[i % kept] : null;
        waiting.push(connection ? connection.last = Promise.resolve(connection.last).then(connection.ask) : plain(target));
        await sleep(everyMs);
    }
    setTimeout(() => { for (const { socket } of connections) socket.destroy(); }, 5000);
    const results = await Promise.all(waiting);
    const problems = {};
    for (const { error } of results) if (error) problems[error] = (problems[error] ?? 0) + 1;
    return { ...quantiles(results.filter(({ ms }) => ms !== undefined).map(({ ms }) => ms)), problems };
}

/** Read a flat-out stream to its end: bytes a second. */
function flat(target) {
    return new Promise((resolve, reject) => {
        const socket = connect(target);
        let total = 0;
        let started = 0n;
        socket.on('error', reject);
        socket.on(target.secure ? 'secureConnect' : 'connect', () => { started = process.hrtime.bigint(); socket.write(request({ ...target, close: true })); });
        socket.on('data', (data) => { total += data.length; });
        socket.on('close', () => resolve({ bytes: total, seconds: Number(process.hrtime.bigint() - started) / 1e9 }));
    });
}

const commands = {
    open: openMany,
    plain: plainMany,
    flat,
    stats: () => {
        const result = { open: held.size, ended, events, bytes, delays: quantiles(delays) };
        events = bytes = 0;
        delays = [];
        return result;
    },
    vanish: ({ n = held.size }) => {
        let left = n;
        for (const socket of held) {
            if (left-- <= 0) break;
            held.delete(socket);
            socket.destroy();
        }
        return { at: process.hrtime.bigint().toString() };
    },
};

process.on('message', async ({ id, cmd, ...args }) => {
    try { process.send({ id, result: await commands[cmd](args) ?? null }); }
    catch (error) { process.send({ id, error: error.message }); }
});
process.on('disconnect', () => process.exit());
process.send({ ready: true });
