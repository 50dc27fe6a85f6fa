// SPDX-License-Identifier: Apache-2.0
// A small MCP server without sessions that tells what reached it: lists of tools, prompts and resources, and calls that
// answer their own name. It answers in JSON, below .../sse-answers in event streams, and speaks the legacy transport at
// .../sse and .../message.

import http from 'node:http';
import { once } from 'node:events';
import { sleep } from './proc.mjs';

const schema = { type: 'object', properties: { path: { type: 'string' }, n: { type: 'integer', maximum: 18446744073709551615 } } };

export const pinFile = (names) => JSON.stringify({ tools: names.map((name) => ({ name, description: `Does ${name}`, inputSchema: JSON.parse(JSON.stringify(schema)) })) });

export async function startLister() {
    const backend = {
        called: [], streams: new Set(), describe: (name) => `Does ${name}`,
        tools: ['read_file', 'read_mail', 'write_file', 'delete_all'], prompts: ['greet', 'hidden_prompt'],
        resources: ['file:///public/a', 'file:///private/b'], templates: ['file:///public/{name}', 'file:///private/{name}'],
    };
    const result = ({ method, params }) => ({
        'tools/list': () => ({ tools: backend.tools.map((name) => ({ name, description: backend.describe(name), inputSchema: schema })) }),
        'prompts/list': () => ({ prompts: backend.prompts.map((name) => ({ name })) }),
        'resources/list': () => ({ resources: backend.resources.map((uri) => ({ uri, name: uri })) }),
        'resources/templates/list': () => ({ resourceTemplates: backend.templates.map((uriTemplate) => ({ uriTemplate, name: uriTemplate })) }),
        initialize: () => ({ protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'lister', version: '1' } }),
    }[method] ?? (() => ({ content: [{ type: 'text', text: `called ${params?.name ?? method}` }] })))();
    const answer = (message) => (message.id === undefined || !message.method ? [] : [{ jsonrpc: '2.0', id: message.id, result: result(message) }]);
    const server = http.createServer(async (request, response) => {
        let body = '';
        for await (const chunk of request) body += chunk;
        const { pathname } = new URL(request.url, 'http://x');
        if (request.method === 'GET') {
            response.writeHead(200, { 'Content-Type': 'text/event-stream' });
            response.write('event: endpoint\ndata: message?sessionId=1\n\n');
            backend.streams.add(response);
            response.once('close', () => backend.streams.delete(response));
            return;
        }
        const message = body ? JSON.parse(body) : {};
        backend.called.push(message);
        const answers = [message].flat().flatMap(answer);
        const json = JSON.stringify(Array.isArray(message) ? answers : answers[0]);
        if (answers.length === 0) {
            response.writeHead(202).end();
        } else if (pathname.endsWith('/message')) {
            const pieces = backend.pieces ?? [json]; // in packets of their own
            response.writeHead(202).end();
            backend.writing = true;
            for (const stream of backend.streams) {
                stream.write('event: message\ndata: ');
                for (const piece of pieces.slice(0, -1)) {
                    stream.write(piece);
                    await sleep(20);
                }
                stream.write(`${pieces.at(-1)}\n\n`);
            }
            backend.writing = false;
        } else if (pathname.endsWith('/sse-answers')) {
            response.writeHead(200, { 'Content-Type': 'text/event-stream' });
            const text = `: soon\n\nevent: message\r\nid: 7\r\ndata: ${json.slice(0, 20)}`;
            response.write(text);
            await sleep(20);
            response.write(`${json.slice(20)}\r\n\r\n`);
            await sleep(backend.linger ?? 0);
            response.end('data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"last"}}\n\n');
        } else {
            response.writeHead(200, { 'Content-Type': backend.type ?? 'application/json', ...backend.headers });
            response.end(backend.raw ?? json);
        }
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    backend.url = `http://127.0.0.1:${server.address().port}`;
    backend.close = () => { server.closeAllConnections(); server.close(); };
    return backend;
}
