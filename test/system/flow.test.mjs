// SPDX-License-Identifier: Apache-2.0
// The whole way through, with real clients and each of the stores: discovery, registration, consent, sign-in, tools,
// refresh, revocation.

import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { Application, connect, KINDS, textOf } from './lib/clients.mjs';
import { desktopOf } from './lib/desktop.mjs';
import { altered, request } from './lib/http.mjs';
import { TOP } from './lib/httpd.mjs';
import { Process } from './lib/proc.mjs';
import { FUNCTION_KEY, openWorld } from './lib/world.mjs';

for (const store of ['shmcb', 'memcache', 'memcache-socket', 'redis']) {
    test(`on ${store}`, { timeout: 300_000 }, async (t) => {
        const world = await openWorld(t, { store });
        for (const kind of Object.keys(KINDS)) {
            await t.test(kind, { timeout: 60_000 }, () => whole(world, kind));
        }
        await t.test('Inspector', { timeout: 180_000 }, () => inspector(world));
        await t.test('the backend got what it may, and the client what it may (CP-15, RS-9)', () => record(world));
    });
}

async function whole(world, kind) {
    const application = new Application(world.person());
    application.onTokens = ({ access_token: access, refresh_token: refresh }) => {
        world.httpd.secret('access token', access);
        world.httpd.secret('refresh token', refresh);
    };
    const name = `snippet of ${kind}`.replaceAll(/[^\w ]/g, ' ');
    const { client, transport } = await connect(kind, world.base, application);
    assert.equal(application.visits.length, 1, 'the person was needed once');
    assert.equal(new URL(application.visits[0]).searchParams.get('resource'), `${world.base}/mcp`);

    const { tools } = await client.listTools();
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['get_snippet', 'hello_mcp', 'save_snippet']);
    assert.equal(textOf(await client.callTool({ name: 'hello_mcp', arguments: {} })), 'Hello I am MCPTool!');
    const content = `content of ${kind} ${Math.random()} – ü`;
    assert.equal(textOf(await client.callTool({ name: 'save_snippet', arguments: { snippetname: name, snippet: content } })), `Snippet '${content}' saved successfully`);
    assert.equal(textOf(await client.callTool({ name: 'get_snippet', arguments: { snippetname: name } })), content);

    // refresh: the SDK does it by itself when its access token is refused
    const before = application.saved;
    await client.close();
    application.saved = { ...before, access_token: altered(before.access_token) };
    const again = await connect(kind, world.base, application);
    assert.equal(application.visits.length, 1, 'and not again');
    assert.notEqual(application.saved.refresh_token, before.refresh_token, 'rotated');
    assert.equal(textOf(await again.client.callTool({ name: 'get_snippet', arguments: { snippetname: name } })), content);

    // revocation, as RFC 7009 has it and the metadata announces it
    const metadata = await (await fetch(`${world.base}/.well-known/oauth-authorization-server`)).json();
    const revoked = await request(metadata.revocation_endpoint, { body: { token: application.saved.refresh_token, client_id: application.client.client_id } });
    assert.equal(revoked.status, 200);
    const call = await request(`${world.base}/mcp`, {
        json: { jsonrpc: '2.0', id: 1, method: 'tools/list' },
        headers: { Authorization: `Bearer ${application.saved.access_token}`, Accept: 'application/json, text/event-stream' },
    });
    assert.equal(call.status, 401);
    await again.client.close();
    void transport;

    // the next connection needs the person again, who is still signed in at the provider
    const third = await connect(kind, world.base, application);
    assert.equal(application.visits.length, 2);
    assert.equal((await third.client.listTools()).tools.length, 3);
    await third.client.close();
}

/** Inspector's CLI, whose browser is a program of ours that acts as the person. */
async function inspector(world) {
    const home = join(world.httpd.root, 'inspector');
    await mkdir(home);
    const { env: desktop } = await desktopOf(world, home);
    const env = {
        ...desktop, MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file', MCP_CATALOG_PATH: join(home, 'mcp.json'),
    };
    const inspect = (...args) => inspectAt('/mcp', 'http', ...args);
    const inspectAt = async (path, transport, ...args) => {
        const cli = new Process(process.execPath, [join(TOP, 'node_modules/.bin/mcp-inspector'), '--cli', '--server-url', world.base + path,
            '--transport', transport, '--format', 'json', '-q', ...args], { env });
        await cli.done({ ms: 90_000 });
        return JSON.parse(cli.stdout.trim().split('\n').at(-1)).result;
    };
    const { tools } = await inspect('--method', 'tools/list');
    assert.deepEqual(tools.map((tool) => tool.name).sort(), ['get_snippet', 'hello_mcp', 'save_snippet']);
    const saved = await inspect('--method', 'tools/call', '--tool-name', 'save_snippet', '--tool-arg', 'snippetname=inspected', 'snippet=by Inspector', '--stored-auth-only');
    assert.equal(textOf(saved), "Snippet 'by Inspector' saved successfully");
    const modern = await inspect('--method', 'tools/call', '--tool-name', 'get_snippet', '--tool-arg', 'snippetname=inspected', '--stored-auth-only', '--protocol-era', 'modern');
    assert.equal(textOf(modern), 'by Inspector');

    // a new sign-in beside what is stored; whether Inspector takes the old one back (RFC 7009) it decides by itself
    assert.equal((await inspect('--method', 'tools/list', '--relogin')).tools.length, 3);

    const legacy = await inspectAt('/mcp/sse', 'sse', '--method', 'tools/call', '--tool-name', 'get_snippet', '--tool-arg', 'snippetname=inspected');
    assert.equal(textOf(legacy), 'by Inspector');
}

/** What all of the above left in the function app's record. */
async function record(world) {
    const seen = await world.recorded();
    assert.ok(seen.length > 20);
    for (const { url, headers } of seen) {
        assert.equal(headers.authorization, undefined, 'RS-9');
        assert.equal(headers['x-functions-key'], FUNCTION_KEY);
        assert.ok(headers['x-mcp-subject'], 'W13');
        assert.doesNotMatch(url, /code=/, 'the key is in the header only');
    }
    const legacy = seen.filter(({ url }) => url.includes('/message?'));
    assert.ok(legacy.length > 4, 'legacy messages found their way');
}
