// SPDX-License-Identifier: Apache-2.0
// Plain HTTP as a test needs it: no redirects followed, no header added or merged, repeated headers possible.

import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import { connect } from 'node:net';

/**
 * A token or an address that ends in one, with one character changed; never by chance the same bytes, as with 'AA' at the end.
 * @param at  which character; the default always carries bits of base64url, whatever the length
 */
export function altered(text, at = -3) {
    const i = at < 0 ? text.length + at : at;
    return text.slice(0, i) + (text[i] === 'A' ? 'B' : 'A') + text.slice(i + 1);
}

/**
 * One request.
 * @param url      absolute
 * @param options  method, headers (object, values may be arrays), body (string, Buffer or object: a form), json,
 *                 ms (limit), agent, stream (resolve at the headers; the caller reads response.raw)
 * @return {status, headers, rawHeaders, text, json()} or with stream: {status, headers, raw, close()}
 */
export function request(url, { method, headers = {}, body, json, ms = 20_000, agent = false, stream = false } = {}) {
    const all = { ...headers };
    const has = (name) => Object.keys(all).some((key) => key.toLowerCase() === name);
    if (json !== undefined) {
        body = JSON.stringify(json);
        if (!has('content-type')) all['Content-Type'] = 'application/json';
    } else if (body !== undefined && typeof body !== 'string' && !Buffer.isBuffer(body)) {
        body = new URLSearchParams(body).toString();
        if (!has('content-type')) all['Content-Type'] = 'application/x-www-form-urlencoded';
    }
    if (body !== undefined && !has('content-length') && !has('transfer-encoding')) {
        all['Content-Length'] = Buffer.byteLength(body);
    }
    return new Promise((resolve, reject) => {
        const { request: send } = String(url).startsWith('https:') ? https : http;
        // certificates are the test's own
        const outgoing = send(url, { method: method ?? (body === undefined ? 'GET' : 'POST'), headers: all, agent, rejectUnauthorized: false });
        outgoing.setTimeout(ms, () => outgoing.destroy(new Error(`no answer within ${ms} ms: ${url}`)));
        outgoing.once('error', reject);
        outgoing.once('response', (raw) => {
            const answer = { status: raw.statusCode, headers: raw.headers, rawHeaders: raw.rawHeaders, url: String(url) };
            raw.setEncoding('utf8');
            if (stream) {
                outgoing.setTimeout(0);
                outgoing.on('error', () => {});
                raw.on('error', () => {});
                resolve({ ...answer, raw, close: () => outgoing.destroy() });
                return;
            }
            let text = '';
            raw.on('data', (chunk) => { text += chunk; });
            raw.once('error', reject);
            raw.once('end', () => resolve({ ...answer, text, json: () => JSON.parse(text) }));
        });
        outgoing.end(body);
    });
}

/** Values of one header, each line of its own. */
export function headerLines(response, name) {
    const lines = [];
    for (let i = 0; i < response.rawHeaders.length; i += 2) {
        if (response.rawHeaders[i].toLowerCase() === name.toLowerCase()) lines.push(response.rawHeaders[i + 1]);
    }
    return lines;
}

/** The parameters of a `WWW-Authenticate: Bearer a="b", c="d"` challenge, or null. */
export function challenge(response) {
    const lines = headerLines(response, 'www-authenticate');
    if (lines.length === 0) return null;
    const [, scheme, rest] = lines[0].match(/^(\S+)\s*(.*)$/);
    const params = {};
    for (const [, key, quoted, bare] of rest.matchAll(/([a-zA-Z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s,]+))/g)) {
        if (key in params) throw new Error(`challenge has ${key} twice: ${lines[0]}`);
        params[key] = quoted ?? bare;
    }
    return { scheme, lines: lines.length, ...params };
}

/** Events of a text/event-stream response, as an async iterator of {event, data, id, comment}. */
export async function* events(raw) {
    let buffer = '';
    for await (const chunk of raw) {
        buffer += chunk;
        for (let end; (end = buffer.search(/\r?\n\r?\n/)) >= 0;) {
            const block = buffer.slice(0, end);
            buffer = buffer.slice(end).replace(/^\r?\n\r?\n/, '');
            const event = { event: 'message', data: undefined };
            for (const line of block.split(/\r?\n/)) {
                const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
                if (name === '') event.comment = value;
                else if (name === 'data') event.data = event.data === undefined ? value : `${event.data}\n${value}`;
                else event[name] = value;
            }
            yield event;
        }
    }
}

/**
 * The same form posted `n` times at one moment: each request is sent but for its last byte, and then all last bytes at
 * once, so that they meet in the server.
 * @return [{status, json()}]
 */
export async function volley(url, form, n) {
    const { hostname, port, pathname, host } = new URL(url);
    const body = new URLSearchParams(form).toString();
    const text = `POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
    const sockets = await Promise.all(Array.from({ length: n }, async () => {
        const socket = connect(Number(port), hostname);
        await once(socket, 'connect');
        socket.setNoDelay(true);
        socket.write(text.slice(0, -1));
        return socket;
    }));
    await new Promise((done) => setTimeout(done, 100));
    const answers = sockets.map((socket) => new Promise((resolve, reject) => {
        let answer = '';
        socket.setEncoding('utf8').on('data', (chunk) => { answer += chunk; });
        socket.once('end', () => resolve({ status: Number(answer.match(/^HTTP\/1\.1 (\d+)/)?.[1]), json: () => JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)) }));
        socket.once('error', reject);
    }));
    for (const socket of sockets) socket.write(text.slice(-1));
    return Promise.all(answers);
}
