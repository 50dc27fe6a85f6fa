// SPDX-License-Identifier: Apache-2.0
// Backend of the stream benchmark, in a process of its own: event streams over plain HTTP/1.1, chunked by hand so that
// ten thousand cost little. Told by messages what to do: {id, cmd, ...} in, {id, result} out.
//
//   GET /any              an event stream; its first event and every further one carry the time of sending
//   GET /any?flat=N       N bytes of events as fast as they are taken
//   POST /any?events=K    K events, 10 ms apart, then the end
//   GET /plain            a short answer of another kind

import { createServer } from 'node:net';

const streams = new Set();
const counts = { opened: 0, closed: 0, events: 0 };
let order = [];
let next = 0;
let timer = null;

const HEAD = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nMcp-Session-Id: bench\r\nTransfer-Encoding: chunked\r\n\r\n';
const LAST = '0\r\n\r\n';
const chunk = (text) => `${Buffer.byteLength(text).toString(16)}\r\n${text}\r\n`;
const now = () => process.hrtime.bigint().toString();
const event = () => chunk(`event: message\ndata: {"jsonrpc":"2.0","method":"notifications/tick","params":{"at":"${now()}"}}\n\n`);

function flat(socket, bytes) {
    const block = chunk(`data: ${'x'.repeat(16000)}\n\n`);
    let left = bytes;
    const go = () => {
        while (left > 0 && !socket.destroyed) {
            left -= 16008;
            if (!socket.write(block)) {
                socket.once('drain', go);
                return;
            }
        }
        if (!socket.destroyed) socket.end(LAST);
    };
    socket.write(HEAD);
    go();
}

function answer(socket, line) {
    const [method, target] = line.split(' ');
    const url = new URL(target, 'http://backend');

    if (url.pathname.endsWith('/plain')) {
        socket.write('HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n{"result":true}');
        return;
    }
    if (url.searchParams.has('flat')) {
        flat(socket, Number(url.searchParams.get('flat')));
        return;
    }
    if (method === 'POST') {
        let left = Number(url.searchParams.get('events') ?? 1);
        const step = () => {
            if (socket.destroyed) return;
            if (left-- > 0) {
                socket.write(event());
                setTimeout(step, 10);
            }
            else {
                socket.write(LAST);
            }
        };
        socket.write(HEAD);
        step();
        return;
    }
    socket.write(HEAD + event());
    counts.opened++;
    streams.add(socket);
    socket.once('close', () => { streams.delete(socket); counts.closed++; });
}

const server = createServer({ noDelay: true }, (socket) => {
    let head = '';
    let skip = 0;
    socket.on('error', () => {});
    socket.on('data', (data) => {
        let text = data.toString('latin1');
        if (skip > 0) {
            const n = Math.min(skip, text.length);
            skip -= n;
            text = text.slice(n);
        }
        head += text;
        for (;;) {
            const end = head.indexOf('\r\n\r\n');
            if (end < 0) return;
            const request = head.slice(0, end);
            const length = Number(/^content-length: *(\d+)/im.exec(request)?.[1] ?? 0);
            head = head.slice(end + 4);
            skip = Math.max(0, length - head.length);
            head = head.slice(length);
            answer(socket, request.slice(0, request.indexOf('\r\n')));
        }
    });
});

/** Send `rate` events a second, spread evenly over all streams. */
function setRate(rate) {
    clearInterval(timer);
    order = []; // streams of an earlier run would be owed events that nobody gets
    next = 0;
    if (rate <= 0) return;
    let owed = 0;
    let last = process.hrtime.bigint();
    timer = setInterval(() => {
        const at = process.hrtime.bigint();
        owed += Number(at - last) / 1e9 * rate;
        last = at;
        for (; owed >= 1; owed--) {
            if (next >= order.length) {
                order = [...streams];
                next = 0;
                if (order.length === 0) { owed = 0; return; }
            }
            const socket = order[next++];
            if (!socket.destroyed) {
                socket.write(event());
                counts.events++;
            }
        }
    }, 5);
}

const commands = {
    rate: ({ rate }) => setRate(rate),
    stats: () => ({ open: streams.size, ...counts }),
    event: () => { for (const socket of streams) socket.write(event()); },
    end: ({ n = streams.size }) => { for (const socket of [...streams].slice(0, n)) socket.end(LAST); },
    break: () => { for (const socket of streams) socket.destroy(); },
};

process.on('message', ({ id, cmd, ...args }) => process.send({ id, result: commands[cmd](args) ?? null }));
process.on('disconnect', () => process.exit());
server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, () => process.send({ port: server.address().port }));
