// SPDX-License-Identifier: Apache-2.0
// Real clients on the relay: the SDKs' streams of every kind, held by no worker, cut, resumed and cancelled.

import test from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { Server as ServerV1 } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { startEverything } from './lib/everything.mjs';
import { Application, connect, textOf } from './lib/clients.mjs';
import { openStreamsWorld } from './lib/streams-world.mjs';
import { until } from './lib/proc.mjs';

/** Events by number. (The SDK's example orders those of one millisecond by chance.) */
class EventStore {
    events = [];

    async storeEvent(stream, message) { return String(this.events.push({ stream, message })); }

    async getStreamIdForEventId(id) { return this.events[Number(id) - 1]?.stream; }

    async replayEventsAfter(last, { send }) {
        const { stream } = this.events[Number(last) - 1];
        for (const [i, event] of this.events.entries()) {
            if (i >= Number(last) && event.stream === stream && Object.keys(event.message).length > 0) await send(String(i + 1), event.message);
        }
        return stream;
    }
}

/** A server of the v1 SDK: sessions that can be resumed at /mcp, the legacy transport at /mcp/sse. Its tool counts to
 *  four, and waits at two until `backend.go()`. */
async function startCounter() {
    const backend = { transports: new Map(), resumed: [], posts: 0 };
    const make = () => {
        const server = new ServerV1({ name: 'counter', version: '1' }, { capabilities: { tools: { listChanged: true } } });
        server.setRequestHandler(types.ListToolsRequestSchema, () => ({ tools: [{ name: 'count', inputSchema: { type: 'object' } }] }));
        server.setRequestHandler(types.CallToolRequestSchema, async ({ params }, extra) => {
            for (let progress = 1; progress <= 4; progress++) {
                if (progress === 3) await new Promise((resolve) => { backend.go = resolve; });
                await extra.sendNotification({ method: 'notifications/progress', params: { progressToken: params._meta.progressToken, progress, total: 4 } });
            }
            return { content: [{ type: 'text', text: 'counted' }] };
        });
        return server;
    };
    async function handle(request, response) {
        const url = new URL(request.url, 'http://x');
        if (url.pathname === '/mcp/sse') {
            const transport = new SSEServerTransport('/mcp/message', response);
            backend.legacy = make();
            backend.transports.set(transport.sessionId, transport);
            await backend.legacy.connect(transport);
            return;
        }
        if (url.pathname === '/mcp/message') {
            await backend.transports.get(url.searchParams.get('sessionId')).handlePostMessage(request, response);
            return;
        }
        if (request.headers['last-event-id']) backend.resumed.push(request.headers['last-event-id']);
        let transport = backend.transports.get(request.headers['mcp-session-id']);
        if (!transport) {
            transport = new StreamableHTTPServerTransport({
                sessionIdGenerator: randomUUID, eventStore: new EventStore(), retryInterval: 100,
                onsessioninitialized: (id) => backend.transports.set(id, transport),
            });
            backend.server = make();
            await backend.server.connect(transport);
        }
        await transport.handleRequest(request, response);
    }
    const server = http.createServer((request, response) => {
        handle(request, response).catch((error) => { console.error(error); response.destroy(); });
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    backend.url = `http://127.0.0.1:${server.address().port}`;
    backend.cut = () => server.closeAllConnections();
    backend.close = () => { server.closeAllConnections(); server.close(); };
    return backend;
}

test('clients of the SDKs do not notice the relay', { timeout: 240_000 }, async (t) => {
    const counter = await startCounter();
    const everything = await startEverything();
    t.after(() => { counter.close(); everything.close(); });
    const location = (name, url) => `<Location /s/${name}>
    AuthType MCP
    Require valid-user
    ProxyPass ${url}
</Location>`;
    const world = await openStreamsWorld(t, {
        directives: `${location('counter', counter.url)}\n${location('everything', everything.url.replace('/mcp', ''))}`,
    });
    const application = () => new Application(world.person());
    const opened = new Set();
    const open = async (kind, name) => {
        const connection = await connect(kind, `${world.base}/s/${name}`, application());
        opened.add(connection.client);
        return connection;
    };
    t.after(() => Promise.all([...opened].map((client) => client.close().catch(() => {}))));
    /** Call the tool. (`onprogress` of the SDK loses what comes together with the answer.) */
    const count = (client) => {
        const progress = [];
        client.setNotificationHandler(types.ProgressNotificationSchema, ({ params }) => { progress.push(params.progress); });
        return { progress, answer: client.callTool({ name: 'count', arguments: {}, _meta: { progressToken: 7 } }) };
    };
    const relayed = (n) => world.counted({ Relayed: n });

    await world.it(t, 'v1 Streamable HTTP: an answer that is cut in the middle is resumed by Last-Event-ID, and nothing is lost', async () => {
        const { client, transport } = await open('v1 Streamable HTTP', 'counter');
        const { progress, answer } = count(client);
        await until(() => progress.length === 2 && counter.go, 'the first half');
        await relayed(2); // this answer, and the listening GET
        world.httpd.announce('AH01110', 'AH01102', 'AH00898'); // mod_proxy may meet a connection that is being closed
        counter.cut();
        await relayed(0);
        counter.go();
        assert.equal(textOf(await answer), 'counted');
        await until(() => progress.length === 4, 'all of the progress');
        assert.deepEqual(progress, [1, 2, 3, 4], 'each once, in order');
        assert.ok(counter.resumed.length > 0, 'by Last-Event-ID');
        assert.ok((await world.counts())['Ended-broken'] >= 2);
        await transport.terminateSession();
        await client.close();
        await world.counted({ Open: 0, Relayed: 0 });
    });

    await world.it(t, 'v1 HTTP+SSE: the stream is on the relay, answers and notifications come through it (F6, TR-17)', async () => {
        const { client } = await open('v1 HTTP+SSE', 'counter');
        let changed = 0;
        client.setNotificationHandler(types.ToolListChangedNotificationSchema, () => { changed++; });
        await relayed(1);
        await counter.legacy.sendToolListChanged();
        await until(() => changed === 1, 'the notification');
        counter.go = undefined;
        const { progress, answer } = count(client);
        await until(() => counter.go && progress.length === 2, 'the first half');
        counter.go();
        assert.equal(textOf(await answer), 'counted');
        await until(() => progress.length === 4, 'all of the progress');
        assert.deepEqual(progress, [1, 2, 3, 4]);
        await client.close();
        await world.counted({ Open: 0, Relayed: 0 });
    });

    await world.it(t, 'v2 subscriptions/listen: on the relay at once, notified, cancelled by closing (TR-13)', async () => {
        const { client } = await open('v2 modern era', 'everything');
        let changed = 0;
        client.setNotificationHandler('notifications/tools/list_changed', () => { changed++; });
        const subscription = await client.listen({ toolsListChanged: true });
        await relayed(1);
        await client.callTool({ name: 'test_trigger_tool_change', arguments: {} });
        await until(() => changed === 1, 'the notification');
        await subscription.close();
        await world.counted({ Open: 0, Relayed: 0 });
        const again = await client.listen({ toolsListChanged: true });
        await relayed(1);
        await client.callTool({ name: 'test_trigger_tool_change', arguments: {} });
        await until(() => changed === 2, 'the notification');
        await again.close();
        await client.close();
        await world.counted({ Open: 0, Relayed: 0 });
    });
});
