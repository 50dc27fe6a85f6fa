// SPDX-License-Identifier: Apache-2.0
// The function app by itself, driven by the official clients of both generations and by hand: the behaviours F1-F8
// that a gateway before it has to live with.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';

import { Client as ClientV2, StreamableHTTPClientTransport as HttpV2 } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport as HttpV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';

const KEY = 'function-key-of-the-test';
const SELF = { name: 'test', version: '1' };
const withKey = { requestInit: { headers: { 'x-functions-key': KEY } } };
const dir = mkdtempSync(path.join(os.tmpdir(), 'mcp-app-test-'));
const main = fileURLToPath(new URL('main.mjs', import.meta.url));
const running = [];

async function start(...args) {
    const child = spawn(process.execPath, [main, ...args], { env: { ...process.env, FUNCTION_KEY: KEY } });
    let output = '';
    const ended = new Promise((resolve) => child.on('exit', resolve));
    running.push({ child, ended });
    return new Promise((resolve, reject) => {
        for (const stream of [child.stdout, child.stderr]) {
            stream.on('data', (data) => {
                output += data;
                const ready = /^ready: (.*)$/m.exec(output);
                if (ready) {
                    resolve({ url: ready[1], child, ended });
                }
            });
        }
        ended.then(() => reject(new Error(output)));
    });
}

let app;
before(async () => { app = await start('--data', `${dir}/data`); });
after(async () => {
    for (const { child, ended } of running) {
        child.kill();
        assert.equal(await ended, 0);
    }
    rmSync(dir, { recursive: true });
});

const call = async (client, name, args) => (await client.callTool({ name, arguments: args })).content[0].text;

async function useTools(client, name) {
    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => [tool.name, tool.description]), [
        ['hello_mcp', 'Hello world.'],
        ['get_snippet', 'Retrieve a snippet by name.'],
        ['save_snippet', 'Save a snippet with a name.'],
    ]);
    assert.equal(await call(client, 'hello_mcp', {}), 'Hello I am MCPTool!');
    assert.equal(await call(client, 'save_snippet', { snippetname: name, snippet: 'größer als 3' }),
        "Snippet 'größer als 3' saved successfully");
    assert.equal(await call(client, 'get_snippet', { snippetname: name }), 'größer als 3');
    await client.close();
}

test('SDK v1 over Streamable HTTP', async () => {
    const client = new ClientV1(SELF);
    await client.connect(new HttpV1(new URL(app.url), withKey));
    await useTools(client, 'v1');
});

test('SDK v1 over legacy SSE', async () => {
    const client = new ClientV1(SELF);
    // the messages go without the header: the key in the endpoint event is what lets them in
    const fetchWithKey = (url, init) => fetch(url, { ...init, headers: { ...Object.fromEntries(new Headers(init?.headers)),
        'x-functions-key': KEY } });
    const eventSourceInit = { fetch: fetchWithKey };
    await client.connect(new SSEClientTransport(new URL(`${app.url}/sse`), { eventSourceInit }));
    await useTools(client, 'sse');
});

for (const [mode, version] of [['legacy', '2025-11-25'], ['auto', '2026-07-28']]) {
    test(`SDK v2, ${mode} era`, async () => {
        const client = new ClientV2(SELF, { versionNegotiation: { mode } });
        await client.connect(new HttpV2(new URL(app.url), withKey));
        assert.equal(client.getNegotiatedProtocolVersion(), version);
        await useTools(client, `v2-${mode}`);
    });
}

test('F1, F2: what the tools refuse', async () => {
    const client = new ClientV1(SELF);
    await client.connect(new HttpV1(new URL(app.url), withKey));
    const cases = [
        ['get_snippet', undefined, 'No arguments provided'],
        ['save_snippet', {}, 'No arguments provided'],
        ['get_snippet', { snippetname: '' }, 'No snippet name provided'],
        ['save_snippet', { snippet: 'x' }, 'No snippet name provided'],
        ['save_snippet', { snippetname: 'x' }, 'No snippet content provided'],
        ['get_snippet', { snippetname: 'nowhere' }, "Snippet 'nowhere' not found"],
    ];
    for (const [name, args, text] of cases) {
        const result = await client.callTool({ name, arguments: args });
        assert.deepEqual([result.content[0].text, result.isError], [text, true], `${name} ${JSON.stringify(args)}`);
    }
    for (const snippetname of ['../x', 'a/b', 'a\\b', '.x', 'a..b', 'x'.repeat(129), 'a\nb', 'a%2fb']) {
        const result = await client.callTool({ name: 'save_snippet', arguments: { snippetname, snippet: 'x' } });
        assert.match(result.content[0].text, /^Invalid snippet name/, snippetname);
    }
    await client.close();
});

const post = (body, headers = {}, url = app.url) => fetch(url, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { 'x-functions-key': KEY, 'content-type': 'application/json',
        accept: 'application/json, text/event-stream', ...headers },
});
const INITIALIZE = { jsonrpc: '2.0', id: 1, method: 'initialize',
    params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: SELF } };
const PING = { jsonrpc: '2.0', id: 2, method: 'ping' };

test('F5: the function key is demanded everywhere, as header or in the query', async () => {
    for (const suffix of ['', '/sse', '/message?azmcpcs=x']) {
        for (const key of ['', 'wrong', `${KEY}x`]) {
            assert.equal((await post(PING, { 'x-functions-key': key }, app.url + suffix)).status, 401, suffix);
        }
    }
    assert.equal((await post(PING, { 'x-functions-key': '' }, `${app.url}?code=${KEY}`)).status, 200);
});

test('F8: Streamable HTTP', async () => {
    for (const method of ['GET', 'DELETE']) {
        assert.equal((await fetch(app.url, { method, headers: { 'x-functions-key': KEY } })).status, 405);
    }
    for (const accept of ['application/json', 'text/event-stream', '*/*']) {
        const response = await post(PING, { accept });
        assert.equal(response.status, 406);
        assert.deepEqual((await response.json()).error, { code: -32000,
            message: 'Not Acceptable: Client must accept both application/json and text/event-stream' });
    }
    const invalid = await post('{');
    assert.deepEqual([invalid.status, (await invalid.json()).error.code], [400, -32000]);
    assert.equal((await post({ jsonrpc: '2.0', method: 'notifications/initialized' })).status, 202);

    const response = await post(INITIALIZE);
    const session = response.headers.get('mcp-session-id');
    assert.equal(response.headers.get('content-type'), 'text/event-stream');
    assert.equal(response.headers.get('cache-control'), 'no-cache,no-store');
    assert.equal(response.headers.get('content-encoding'), 'identity');
    assert.match(session, /^[\x21-\x7e]+$/);
    assert.match(await response.text(), /^event: message\ndata: \{/);

    const known = await post(PING, { 'mcp-session-id': session });
    assert.deepEqual([known.status, known.headers.get('mcp-session-id')], [200, null]);
    for (const id of ['x', session.replace(/.(?=..$)/, (c) => (c === 'A' ? 'B' : 'A'))]) {
        const unknown = await post(PING, { 'mcp-session-id': id });
        assert.deepEqual([unknown.status, (await unknown.json()).error.message], [400, 'Invalid client state.']);
    }
});

async function openSse(url) {
    const response = await fetch(`${url}/sse`, { headers: { 'x-functions-key': KEY } });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    const event = async () => {
        while (!text.includes('\n\n')) {
            text += (await reader.read()).value;
        }
        const [first, ...rest] = text.split('\n\n');
        text = rest.join('\n\n');
        return first;
    };
    return { response, event, close: () => reader.cancel() };
}

test('F6, F7: legacy SSE', async () => {
    const sse = await openSse(app.url);
    const first = await sse.event();
    const endpoint = /^event: endpoint\ndata: (message\?azmcpcs=[\w-]+&code=(.*))$/.exec(first);
    assert.equal(endpoint?.[2], KEY, first);
    const url = new URL(endpoint[1], `${app.url}/sse`);

    const accepted = await post(PING, {}, url);
    assert.deepEqual([accepted.status, await accepted.text()], [202, 'Accepted']);
    const [type, data] = (await sse.event()).split('\ndata: ');
    assert.deepEqual([type, JSON.parse(data)], ['event: message', { jsonrpc: '2.0', id: 2, result: {} }]);

    const refused = async (query, text) => {
        const response = await post(PING, {}, `${app.url}/message${query}`);
        assert.deepEqual([response.status, await response.json()],
            [400, `${text} Please connect to the /sse endpoint to initiate your session.`]);
    };
    await refused('', 'Missing service context.');
    await refused('?azmcpcs=abc', 'Invalid client state.');
    await sse.close();
    await new Promise((resolve) => setTimeout(resolve, 200));
    const late = await post(PING, {}, url);
    assert.equal(late.status, 400);
    assert.match(await late.json(), /^No active session for client '\w+' and instance '\w+'\. Please connect/);
    assert.equal((await post(PING, {}, `${app.url}/sse`)).status, 405);
});

test('F6: the endpoint as an absolute URL of the backend; snippets go with a temporary directory', async () => {
    const other = await start('--absolute-endpoint');
    const sse = await openSse(other.url);
    assert.ok((await sse.event()).startsWith(`event: endpoint\ndata: ${other.url}/message?azmcpcs=`));
    await sse.close();
});

test('the blobs are on disk', () => {
    assert.ok(readdirSync(`${dir}/data`).some((name) => name.startsWith('__azurite')));
});
