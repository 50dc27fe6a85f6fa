// SPDX-License-Identifier: Apache-2.0
// The legacy HTTP+SSE transport (2024-11-05) as the functions host serves it: GET .../sse opens a stream whose first
// event names the endpoint for messages, POST .../message?azmcpcs=STATE is answered 202 and replied to on the stream.
//
// The endpoint event repeats the function key that the request came with. That is how the real host behaves, and it
// hands the gateway's key to the client unless the gateway takes it out.

import { parseJSONRPCMessage } from '@modelcontextprotocol/server';

import { STREAM_HEADERS, readBody, sendJson } from './web.mjs';

const PING_INTERVAL = 25000;

/** A transport of the SDK whose outbound half is one event stream. */
class EventStreamTransport {
    constructor(response, endpoint) {
        this.response = response;
        this.endpoint = endpoint;
    }

    async start() {
        this.response.writeHead(200, STREAM_HEADERS);
        this.response.write(`event: endpoint\ndata: ${this.endpoint}\n\n`);
        this.response.on('close', () => this.onclose?.());
    }

    async send(message) {
        this.response.write(`event: message\ndata: ${JSON.stringify(message)}\n\n`);
    }

    async close() {
        this.response.end();
    }
}

/**
 * @param options.absoluteEndpoint name the message endpoint by an absolute URL of this host
 *                                 (the host's useAbsoluteUriForEndpoint)
 */
export function legacySse(factory, state, { absoluteEndpoint = false, pingInterval = PING_INTERVAL } = {}) {
    const sessions = new Map();

    function endpoint(request, url, clientId, key) {
        const relative = `message?azmcpcs=${state.seal(clientId)}${key ? `&code=${key}` : ''}`;
        if (!absoluteEndpoint) {
            return relative;
        }
        return `http://${request.headers.host}${url.pathname.replace(/\/[^/]*$/, '/')}${relative}`;
    }

    async function open(request, response, url, key) {
        const clientId = state.create();
        const transport = new EventStreamTransport(response, endpoint(request, url, clientId, key));
        const server = factory();

        sessions.set(clientId, transport);
        await server.connect(transport);
        const ping = setInterval(() => server.server.ping().catch(() => {}), pingInterval);
        response.on('close', () => {
            clearInterval(ping);
            sessions.delete(clientId);
            server.close().catch(() => {});
        });
    }

    async function message(request, response, url) {
        const refuse = (text) => sendJson(response, 400, text);
        const connect = 'Please connect to the /sse endpoint to initiate your session.';

        if (!url.searchParams.get('azmcpcs')) {
            return refuse(`Missing service context. ${connect}`);
        }
        const clientId = state.open(url.searchParams.get('azmcpcs'));
        if (!clientId) {
            return refuse(`Invalid client state. ${connect}`);
        }
        let parsed;
        try {
            parsed = parseJSONRPCMessage(JSON.parse(await readBody(request)));
        }
        catch {
            return refuse('No message in request body.');
        }
        const session = sessions.get(clientId);
        if (!session) {
            return refuse(`No active session for client '${clientId}' and instance '${state.instanceId}'. ${connect}`);
        }
        response.writeHead(202, { 'content-type': 'text/plain' });
        response.end('Accepted');
        session.onmessage?.(parsed);
    }

    return { open, message };
}
