// SPDX-License-Identifier: Apache-2.0
// The official TypeScript SDKs, v1 and v2, as MCP clients with a real OAuthClientProvider; the browser is a Person.

import { randomBytes } from 'node:crypto';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport as SseV1 } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { Client as ClientV2, SSEClientTransport as SseV2, StreamableHTTPClientTransport as HttpV2 } from '@modelcontextprotocol/client';

/** An OAuthClientProvider as an application would write it, with everything in memory. */
export class Application {
    constructor(person, { redirectUrl = 'http://127.0.0.1:6274/oauth/callback', metadata = {} } = {}) {
        this.person = person;
        this.redirectUrl = redirectUrl;
        this.visits = [];
        this.clientMetadata = {
            client_name: 'SDK application', redirect_uris: [redirectUrl], token_endpoint_auth_method: 'none',
            grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...metadata,
        };
    }

    state() { this.lastState = randomBytes(16).toString('base64url'); return this.lastState; }
    clientInformation() { return this.client; }
    saveClientInformation(client) { this.client = client; }
    tokens() { return this.saved; }
    saveTokens(tokens) { this.saved = tokens; this.onTokens?.(tokens); }
    saveCodeVerifier(verifier) { this.verifier = verifier; }
    codeVerifier() { return this.verifier; }
    saveDiscoveryState(state) { this.discovery = state; }
    discoveryState() { return this.discovery; }

    invalidateCredentials(scope) {
        if (scope === 'all' || scope === 'tokens') this.saved = undefined;
        if (scope === 'all' || scope === 'client') this.client = undefined;
        if (scope === 'all' || scope === 'discovery') this.discovery = undefined;
    }

    /** Where an application would open a browser. */
    async redirectToAuthorization(url) {
        this.visits.push(url.href);
        this.answer = new URL(await this.person.visit(url.href)).searchParams;
        if (this.answer.get('state') !== this.lastState) throw new Error('the state came back changed');
    }
}

/** The ways to connect: name -> {make(), connects to}. */
export const KINDS = {
    'v1 Streamable HTTP': {
        path: '/mcp', client: () => new ClientV1({ name: 'v1', version: '1' }),
        transport: (url, authProvider, options) => new HttpV1(url, { authProvider, ...options }), finish: (transport, answer) => transport.finishAuth(answer.get('code')),
    },
    'v2 legacy era': {
        path: '/mcp', client: () => new ClientV2({ name: 'v2', version: '1' }, { versionNegotiation: { mode: 'legacy' } }),
        transport: (url, authProvider, options) => new HttpV2(url, { authProvider, ...options }), finish: (transport, answer) => transport.finishAuth(answer),
    },
    'v2 modern era': {
        path: '/mcp', client: () => new ClientV2({ name: 'v2', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } }),
        transport: (url, authProvider, options) => new HttpV2(url, { authProvider, ...options }), finish: (transport, answer) => transport.finishAuth(answer),
    },
    'v2 auto': {
        path: '/mcp', client: () => new ClientV2({ name: 'v2', version: '1' }, { versionNegotiation: { mode: 'auto' } }),
        transport: (url, authProvider, options) => new HttpV2(url, { authProvider, ...options }), finish: (transport, answer) => transport.finishAuth(answer),
    },
    'v1 HTTP+SSE': {
        path: '/mcp/sse', client: () => new ClientV1({ name: 'v1', version: '1' }),
        transport: (url, authProvider) => new SseV1(url, { authProvider }), finish: (transport, answer) => transport.finishAuth(answer.get('code')),
    },
    'v2 HTTP+SSE': {
        path: '/mcp/sse', client: () => new ClientV2({ name: 'v2', version: '1' }),
        transport: (url, authProvider) => new SseV2(url, { authProvider }), finish: (transport, answer) => transport.finishAuth(answer),
    },
};

/** Connect; where a person is needed, the application sends its own. Gives the connected client and its transport. */
export async function connect(kind, base, application, options = {}) {
    const { path, client: make, transport: open, finish } = KINDS[kind];
    const url = new URL(base + path);
    const first = { client: make(), transport: open(url, application, options) };
    try {
        await first.client.connect(first.transport);
        return first;
    } catch (error) {
        if (error?.constructor?.name !== 'UnauthorizedError' && !/unauthorized/i.test(error?.name ?? '')) throw error;
        if (!application.answer) throw error;
        await finish(first.transport, application.answer);
        application.answer = undefined;
        await first.client.close().catch(() => {});
    }
    const second = { client: make(), transport: open(url, application, options) };
    await second.client.connect(second.transport);
    return second;
}

export const textOf = (result) => result.content.map(({ text }) => text).join('');
