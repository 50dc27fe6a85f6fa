// SPDX-License-Identifier: Apache-2.0
// Bad manners of an HTTP server, each a (request, response) for idp.bend: what no client may hang on, grow by or follow.

import { gzipSync } from 'node:zlib';

const HEAD = { 'Content-Type': 'application/json' };

/** Any text or object with any status and headers. */
export const says = (body, status = 200, headers = {}) => (request, response) => {
    response.writeHead(status, { ...HEAD, ...headers });
    response.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
};

/** Takes the request and never answers. */
export const silent = () => {};

/** Headers at once, then a byte now and then, for ever. */
export function drip(request, response) {
    response.writeHead(200, HEAD);
    response.write('{"a":"');
    const timer = setInterval(() => response.write('x'), 100);
    response.on('close', () => clearInterval(timer));
}

/** As many bytes as are taken, without a Content-Length. */
export function endless(request, response) {
    response.writeHead(200, HEAD);
    response.write('{"a":"');
    const chunk = 'x'.repeat(65536);
    const more = () => { while (!response.destroyed && response.write(chunk)); };
    response.on('drain', more);
    more();
}

/** Announces a body that would not fit into any memory. */
export function huge(request, response) {
    response.writeHead(200, { ...HEAD, 'Content-Length': String(2 ** 40) });
    response.write('{"a":"');
}

/** Header lines without end. */
export function headers(request, response) {
    const { socket } = response;
    socket.write('HTTP/1.1 200 OK\r\n');
    const more = () => { while (!socket.destroyed && socket.write(`X-Filler: ${'y'.repeat(4000)}\r\n`)); };
    socket.on('drain', more);
    more();
}

const BOMB = gzipSync(Buffer.concat([Buffer.from('{"a":"'), Buffer.alloc(3e7, 'a'), Buffer.from('"}')]));

/** 30 MB of a JSON string in 30 KB of gzip. */
export function bomb(request, response) {
    response.writeHead(200, { ...HEAD, 'Content-Encoding': 'gzip', 'Content-Length': BOMB.length });
    response.end(BOMB);
}

/** A JSON text that breaks off where the Content-Length promises more, and the connection with it. */
export function truncated(request, response) {
    response.writeHead(200, { ...HEAD, 'Content-Length': '1000' });
    response.write('{"access_token":"at-1","token_type":"Bea');
    setTimeout(() => response.destroy(), 20);
}

/** Closes the connection without a word. */
export const hangUp = (request, response) => response.socket.destroy();

/** No HTTP at all. */
export function garbage(request, response) {
    response.socket.end('SSH-2.0-OpenSSH_9.2\r\n\0\0\0\x14');
}
