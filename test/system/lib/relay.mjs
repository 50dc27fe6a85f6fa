// SPDX-License-Identifier: Apache-2.0
// A relay on loopback that adds headers to each request and changes nothing else: it gives a client that knows nothing
// of authorization a token. Host, Origin and streams pass as they are; a side that closes closes the other.

import http from 'node:http';
import { once } from 'node:events';

/**
 * @param target  URL whose path is put before the client's: the client calls `relay.url`, which stands for it
 * @param add     {name: value}: headers to add where the client has none of that name
 */
export async function startRelay(target, add) {
    const to = new URL(target);
    const server = http.createServer((request, response) => {
        const headers = [...request.rawHeaders];
        for (const [name, value] of Object.entries(add)) {
            if (request.headers[name.toLowerCase()] === undefined) headers.push(name, value);
        }
        const outgoing = http.request({ host: to.hostname, port: to.port, method: request.method, path: request.url, headers, agent: false });
        outgoing.on('response', (answer) => {
            response.writeHead(answer.statusCode, answer.rawHeaders);
            response.flushHeaders();
            answer.on('data', (chunk) => response.write(chunk));
            answer.on('end', () => response.end());
            answer.on('error', () => response.destroy());
        });
        outgoing.on('error', () => response.destroy());
        response.on('close', () => outgoing.destroy());
        request.pipe(outgoing);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address();
    return {
        port, origin: `http://127.0.0.1:${port}`, url: `http://127.0.0.1:${port}${to.pathname}`,
        close: () => { server.closeAllConnections(); server.close(); },
    };
}
