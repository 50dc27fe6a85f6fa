// SPDX-License-Identifier: Apache-2.0
// A backend that tells what reached it: answers JSON with the request's line and raw headers, keeps a list of them, and
// can answer with event streams that the test drives.

import http from 'node:http';
import { once } from 'node:events';

/**
 * Paths below anything:
 *   .../stream        an event stream; the test writes to it by `backend.streams`
 *   .../status/NNN    that status with a JSON body
 *   .../sse           the legacy endpoint event with `backend.endpoint`, then silence
 *   else              200 and {method, url, headers: [[name, value]...], body}
 */
export async function startEcho() {
    const backend = { requests: [], streams: new Set(), endpoint: 'message?azmcpcs=abc', closed: 0 };
    const server = http.createServer(async (request, response) => {
        const headers = [];
        for (let i = 0; i < request.rawHeaders.length; i += 2) headers.push([request.rawHeaders[i], request.rawHeaders[i + 1]]);
        let body = '';
        for await (const chunk of request) body += chunk;
        const seen = { method: request.method, url: request.url, headers, body };
        backend.requests.push(seen);
        const { pathname } = new URL(request.url, 'http://x');
        const status = pathname.match(/\/status\/(\d{3})$/);
        if (pathname.endsWith('/stream') || pathname.endsWith('/sse')) {
            response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
            response.flushHeaders();
            backend.streams.add(response);
            response.once('close', () => { backend.streams.delete(response); backend.closed += 1; });
            if (pathname.endsWith('/sse')) response.write(`event: endpoint\ndata: ${backend.endpoint}\n\n`);
            return;
        }
        response.writeHead(status ? Number(status[1]) : 200, {
            'Content-Type': 'application/json', 'Mcp-Session-Id': 'echo-session', 'X-Powered-By': 'echo',
        });
        response.end(request.method === 'HEAD' ? undefined : JSON.stringify(seen));
    });
    server.keepAliveTimeout = 60_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    backend.port = server.address().port;
    backend.url = `http://127.0.0.1:${backend.port}`;
    backend.close = async () => {
        server.closeAllConnections();
        server.close();
    };
    return backend;
}
