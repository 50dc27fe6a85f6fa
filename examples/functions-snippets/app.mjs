// SPDX-License-Identifier: Apache-2.0
// The function app's HTTP face: the MCP endpoints of the Azure Functions host, with its manners.
//
//   POST /runtime/webhooks/mcp          Streamable HTTP, 2025-03-26 to 2026-07-28; always answers with an event stream
//   GET  /runtime/webhooks/mcp/sse      legacy HTTP+SSE
//   POST /runtime/webhooks/mcp/message  its messages
//
// All of them demand the function key, in the header x-functions-key or as ?code=.

import { createHash, timingSafeEqual } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import http from 'node:http';

import { createMcpHandler, isLegacyRequest } from '@modelcontextprotocol/server';

import { legacySse } from './sse.mjs';
import { ClientState } from './state.mjs';
import { serverFactory } from './tools.mjs';
import { TooLarge, readBody, sendRpcError, sendWebResponse, toWebRequest } from './web.mjs';

export const BASE_PATH = '/runtime/webhooks/mcp';

const digest = (value) => createHash('sha256').update(value).digest();

function streamable(factory, state) {
    const handler = createMcpHandler(factory, { responseMode: 'sse', keepAliveMs: 0 });
    const accepts = (request, type) => (request.headers.accept ?? '').split(',')
        .some((range) => range.split(';')[0].trim().toLowerCase() === type);

    return async (request, response, url) => {
        if (request.method !== 'POST') {
            response.writeHead(405, { allow: 'POST' });
            return response.end();
        }
        if (!accepts(request, 'application/json') || !accepts(request, 'text/event-stream')) {
            return sendRpcError(response, 406,
                'Not Acceptable: Client must accept both application/json and text/event-stream');
        }

        const gone = new AbortController();
        response.on('close', () => gone.abort());
        const body = await readBody(request);
        let parsedBody;
        try {
            parsedBody = JSON.parse(body);
        }
        catch {
            return sendRpcError(response, 400,
                'Bad Request: The POST body did not contain a valid JSON-RPC message.');
        }
        const webRequest = toWebRequest(request, url, body, gone.signal);
        const extra = {};
        if (await isLegacyRequest(webRequest, parsedBody)) {
            const session = request.headers['mcp-session-id'];
            if (session && !state.open(session)) {
                return sendRpcError(response, 400, 'Invalid client state.');
            }
            if ([parsedBody].flat().some((message) => message?.method === 'initialize')) {
                extra['Mcp-Session-Id'] = state.seal(state.create());
            }
        }
        const answer = await handler.fetch(webRequest, { parsedBody });
        await sendWebResponse(response, answer, answer.ok ? extra : {});
    };
}

/**
 * @param options.key       the function key that callers must show
 * @param options.snippets  the store (openSnippets)
 * @param options.record    a file that gets one JSON line for each request, headers included: for tests
 * @return a server that does not listen yet
 */
export function snippetsApp({ key, snippets, record, ...sseOptions }) {
    const factory = serverFactory(snippets);
    const state = new ClientState();
    const post = streamable(factory, state);
    const sse = legacySse(factory, state, sseOptions);
    const wanted = digest(key);

    async function handle(request, response) {
        const url = new URL(request.url, `http://${request.headers.host ?? 'localhost'}`);
        const given = request.headers['x-functions-key'] || url.searchParams.get('code') || '';

        if (record) {
            appendFileSync(record, `${JSON.stringify({ method: request.method, url: request.url,
                headers: request.headers })}\n`);
        }
        if (!timingSafeEqual(digest(given), wanted)) {
            response.writeHead(401);
            return response.end();
        }
        switch (url.pathname.replace(/\/$/, '')) {
        case BASE_PATH:
            return post(request, response, url);
        case `${BASE_PATH}/sse`:
            if (request.method !== 'GET') {
                response.writeHead(405, { allow: 'GET' });
                return response.end();
            }
            return sse.open(request, response, url, given);
        case `${BASE_PATH}/message`:
            if (request.method !== 'POST') {
                response.writeHead(405, { allow: 'POST' });
                return response.end();
            }
            return sse.message(request, response, url);
        default:
            response.writeHead(404);
            return response.end();
        }
    }

    const server = http.createServer((request, response) => {
        handle(request, response).catch((error) => {
            if (!(error instanceof TooLarge)) {
                console.error(error);
            }
            if (response.headersSent) {
                response.destroy();
                return;
            }
            sendRpcError(response, error instanceof TooLarge ? 413 : 500,
                error instanceof TooLarge ? 'Payload Too Large' : 'Internal error', -32603);
        });
    });

    // A proxy keeps connections for reuse: never close one just when it is being used again.
    server.keepAliveTimeout = 300000;
    return server;
}
