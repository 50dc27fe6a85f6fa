// SPDX-License-Identifier: Apache-2.0
// Event streams byte by byte: a backend whose answers the test writes itself, and a client that sees what came.

import net from 'node:net';
import tls from 'node:tls';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { request } from './http.mjs';
import { run, sleep, until } from './proc.mjs';

/** A certificate for 127.0.0.1 and localhost: {key, cert} file names. */
export async function certificate(httpd) {
    const key = `${httpd.root}/conf/tls.key`;
    const cert = `${httpd.root}/conf/tls.crt`;
    await run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1', '-addext', 'basicConstraints=critical,CA:FALSE',
        '-keyout', key, '-out', cert]);
    return { key, cert };
}

/** One request that reached the backend. */
class Call {
    constructor(socket, head, body) {
        this.socket = socket;
        const [line, ...rest] = head.split('\r\n');
        [this.method, this.url] = line.split(' ');
        this.headers = Object.fromEntries(rest.map((text) => [text.slice(0, text.indexOf(':')).toLowerCase(), text.slice(text.indexOf(':') + 1).trim()]));
        this.body = body;
        this.at = Date.now();
        this.closed = new Promise((resolve) => {
            const done = () => { this.closedAt ??= Date.now(); resolve(this.closedAt); };
            if (socket.destroyed) done();
            socket.once('close', done);
            socket.once('end', done);
        });
    }

    /**
     * Send the headers. @param how  chunked, length (then `length` counts) or close
     */
    begin(how = 'chunked', { length, headers = {}, status = '200 OK', type = 'text/event-stream' } = {}) {
        this.how = how;
        const all = { 'Content-Type': type, ...headers };
        if (how === 'chunked') all['Transfer-Encoding'] = 'chunked';
        if (how === 'length') all['Content-Length'] = length;
        if (how === 'close') all.Connection = 'close';
        this.raw(`HTTP/1.1 ${status}\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n`);
        return this;
    }

    raw(bytes) { return this.socket.destroyed ? false : this.socket.write(bytes); }

    /** Payload, framed as `begin` said; in chunks of `size` bytes. */
    write(text, size = Infinity) {
        const data = Buffer.from(text);
        if (this.how !== 'chunked') return this.raw(data);
        let last = true;
        for (let at = 0; at < data.length; at += size) {
            const part = data.subarray(at, Math.min(data.length, at + size));
            last = this.raw(Buffer.concat([Buffer.from(`${part.length.toString(16)}\r\n`), part, Buffer.from('\r\n')]));
        }
        return last;
    }

    event(data) { return this.write(`data: ${data}\n\n`); }

    end() {
        if (this.how === 'chunked') this.raw('0\r\n\r\n');
        if (this.how === 'close') this.socket.end();
    }

    /** Break off. */
    die() { this.socket.destroy(); }
}

/** Start the backend; with {key, cert} it speaks TLS. `await backend.call(id)` is the request with ?id=ID. */
export async function startSse(certs) {
    const backend = { calls: new Map(), connections: 0, open: new Set() };
    const onSocket = (socket) => {
        let buffer = Buffer.alloc(0);
        backend.connections++;
        backend.open.add(socket);
        socket.setNoDelay(true);
        socket.on('error', () => {});
        socket.on('close', () => backend.open.delete(socket));
        socket.on('data', (data) => {
            buffer = Buffer.concat([buffer, data]);
            for (;;) {
                const end = buffer.indexOf('\r\n\r\n');
                if (end < 0) return;
                const head = buffer.subarray(0, end).toString('latin1');
                const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0);
                if (buffer.length < end + 4 + length) return;
                const call = new Call(socket, head, buffer.subarray(end + 4, end + 4 + length).toString());
                buffer = buffer.subarray(end + 4 + length);
                const url = new URL(call.url, 'http://x');
                backend.calls.set(url.searchParams.get('id') ?? call.url, call);
                if (url.pathname.endsWith('/plain')) call.raw('HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nplain\n');
                backend.onCall?.(call, url);
            }
        });
    };
    const server = certs
        ? tls.createServer({ key: readFileSync(certs.key), cert: readFileSync(certs.cert) }, onSocket)
        : net.createServer(onSocket);
    server.listen({ port: 0, host: '127.0.0.1', backlog: 2048 });
    await once(server, 'listening');
    backend.port = server.address().port;
    backend.url = `${certs ? 'https' : 'http'}://${certs ? 'localhost' : '127.0.0.1'}:${backend.port}`;
    backend.call = (id) => until(() => backend.calls.get(id), `request ${id} at the backend`);
    backend.close = async () => {
        for (const socket of backend.open) socket.destroy();
        server.close();
    };
    return backend;
}

/** One answer as it comes in. */
class Answer {
    constructor() {
        this.body = Buffer.alloc(0);
        this.size = 0;
        this.pieces = [];
        this.done = new Promise((resolve) => { this.finish = (how) => { this.how ??= how; resolve(this.how); }; });
    }

    /** Payload so far. */
    get text() { return this.whole().toString(); }

    whole() {
        if (this.pieces.length > 0) {
            this.body = Buffer.concat([this.body, ...this.pieces]);
            this.pieces = [];
        }
        return this.body;
    }

    add(data) {
        this.size += data.length;
        if (!this.discard) this.pieces.push(data);
    }

    /** Wait until the payload holds this text or pattern. */
    has(what, ms = 5000) {
        return until(() => (what instanceof RegExp ? what.test(this.text) : this.text.includes(what)), `${what} in ${JSON.stringify(this.text.slice(-200))}`, ms, 5);
    }
}

/** A connection of a client. */
export class Client {
    constructor(port, { secure = false, host = '127.0.0.1' } = {}) {
        this.socket = secure ? tls.connect({ port, host, servername: 'localhost', rejectUnauthorized: false }) : net.connect({ port, host });
        this.ready = once(this.socket, secure ? 'secureConnect' : 'connect');
        this.ready.catch(() => {});
        this.socket.setNoDelay(true);
        this.buffer = Buffer.alloc(0);
        this.queue = [];
        this.closed = new Promise((resolve) => {
            this.socket.once('close', () => { this.over(); resolve(Date.now()); });
        });
        this.socket.on('error', (error) => { this.error = error; });
        this.socket.on('end', () => this.over());
        this.socket.on('data', (data) => this.take(data));
    }

    /** Send one request; the Answer it will get. */
    send(path, { method, headers = {}, body } = {}) {
        const answer = new Answer();
        const all = { Host: '127.0.0.1', Accept: 'application/json, text/event-stream', ...headers };
        if (body !== undefined) {
            all['Content-Type'] ??= 'application/json';
            all['Content-Length'] = Buffer.byteLength(body);
        }
        answer.method = method ?? (body === undefined ? 'GET' : 'POST');
        answer.headers_in = new Promise((resolve) => { answer.onHead = resolve; });
        this.queue.push(answer);
        this.ready.then(() => this.socket.write(`${answer.method} ${path} HTTP/1.1\r\n${Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body ?? ''}`), () => {});
        return answer;
    }

    take(data) {
        this.buffer = this.buffer.length > 0 ? Buffer.concat([this.buffer, data]) : data;
        while (this.queue.length > 0 && this.step(this.queue[0])) continue;
    }

    // One step of parsing; false when more is needed.
    step(answer) {
        if (answer.status === undefined) {
            const end = this.buffer.indexOf('\r\n\r\n');
            if (end < 0) return false;
            const [line, ...rest] = this.buffer.subarray(0, end).toString('latin1').split('\r\n');
            answer.status = Number(line.split(' ')[1]);
            answer.headers = {};
            for (const text of rest) {
                const name = text.slice(0, text.indexOf(':')).toLowerCase();
                const value = text.slice(text.indexOf(':') + 1).trim();
                answer.headers[name] = name in answer.headers ? `${answer.headers[name]}, ${value}` : value;
            }
            this.buffer = this.buffer.subarray(end + 4);
            answer.left = answer.headers['content-length'] === undefined ? -1 : Number(answer.headers['content-length']);
            answer.chunked = /chunked/.test(answer.headers['transfer-encoding'] ?? '');
            answer.onHead(answer);
        }
        if (answer.chunked) return this.chunk(answer);
        if (answer.left < 0) {
            answer.add(this.buffer);
            this.buffer = Buffer.alloc(0);
            return false;
        }
        const n = Math.min(answer.left, this.buffer.length);
        answer.add(this.buffer.subarray(0, n));
        answer.left -= n;
        this.buffer = this.buffer.subarray(n);
        return answer.left === 0 && this.complete(answer);
    }

    chunk(answer) {
        if (answer.chunk > 0) {
            const n = Math.min(answer.chunk, this.buffer.length);
            answer.add(this.buffer.subarray(0, n));
            this.buffer = this.buffer.subarray(n);
            answer.chunk -= n;
            if (answer.chunk > 0) return false;
            answer.chunk = -1; // the line end after it
        }
        const end = this.buffer.indexOf('\r\n');
        if (end < 0) return false;
        const line = this.buffer.subarray(0, end).toString('latin1');
        this.buffer = this.buffer.subarray(end + 2);
        if (answer.chunk === -1) {
            answer.chunk = undefined;
            return true;
        }
        if (answer.last) return line !== '' || this.complete(answer);
        answer.chunk = parseInt(line, 16);
        if (answer.chunk === 0) {
            answer.last = true;
            answer.chunk = undefined;
        }
        return true;
    }

    complete(answer) {
        this.queue.shift();
        answer.finish('complete');
        return true;
    }

    over() {
        for (const answer of this.queue.splice(0)) {
            answer.finish(answer.status !== undefined && !answer.chunked && answer.left < 0 ? 'complete' : 'cut');
            answer.onHead(answer);
        }
    }

    close() { this.socket.destroy(); }
}

let serial = 0;

/**
 * Open a stream through the gateway: {client, answer, call} once the request is at the backend.
 * @param options  port, secure, backend; path, headers, method, body; client to use its connection again
 */
export async function openStream({ port, secure, backend, path, client, ...options }) {
    const id = `${++serial}-${randomUUID().slice(0, 8)}`;
    const connection = client ?? new Client(port, { secure });
    const answer = connection.send(`${path}${path.includes('?') ? '&' : '?'}id=${id}`, options);
    const call = await backend.call(id);
    return { client: connection, answer, call, id };
}

/** The numbers of mod_status: MCPStreamsOpen and so on, as {Open: 1, ...}. */
export async function streamCounts(base) {
    const { text } = await request(`${base}/status?auto`);
    return Object.fromEntries([...text.matchAll(/^MCPStreams([A-Za-z-]+): (\d+)$/gm)].map(([, name, value]) => [name, Number(value)]));
}

export { sleep, until };
