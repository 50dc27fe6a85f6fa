// SPDX-License-Identifier: Apache-2.0
// mcp-remote, by which clients that speak stdio only come to the gateway: the program itself, as they start it.

import assert from 'node:assert/strict';
import { mkdir, readFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { textOf } from './lib/clients.mjs';
import { desktopOf } from './lib/desktop.mjs';
import { request } from './lib/http.mjs';
import { TOP } from './lib/httpd.mjs';
import { suite } from './lib/suite.mjs';
import { keyLine } from './lib/world.mjs';

// it renews what lasts less than a minute before each call
suite('mcp-remote', { directives: 'MCPOAuthAccessLifetime 30s' }, async (it, world) => {
    const home = join(world.httpd.root, 'mcp-remote');
    await mkdir(home);
    const { env, visits } = await desktopOf(world, home);
    const directory = join(home, '.mcp-auth/mcp-remote-v1');
    /** What it keeps: the path of one of its files. */
    const path = async (end) => join(directory, (await readdir(directory)).find((name) => name.endsWith(end)));
    const kept = async (end) => JSON.parse(await readFile(await path(end), 'utf8'));
    let client, said;
    const open = async () => {
        const transport = new StdioClientTransport({
            command: process.execPath, args: [join(TOP, 'node_modules/mcp-remote/dist/proxy.js'), `${world.base}/mcp`], env, stderr: 'pipe',
        });
        said = '';
        transport.stderr.on('data', (text) => { said += text; });
        client = new Client({ name: 'stdio', version: '1' });
        await client.connect(transport).catch((error) => { throw new Error(`${error.message}\n${said}`); });
    };
    const call = async () => textOf(await client.callTool({ name: 'hello_mcp', arguments: {} }, undefined, { timeout: 20_000 }).catch((error) => { throw new Error(`${error.message}\n${said}`); }));
    const revoke = async () => {
        const { refresh_token: token } = await kept('_tokens.json');
        const { client_id: id } = await kept('_client_info.json');
        assert.equal((await request(`${world.base}/revoke`, { body: { token, client_id: id } })).status, 200);
    };

    await it('a first start registers, opens the browser once, and tools can be listed and called', async () => {
        await open();
        assert.deepEqual((await client.listTools()).tools.map(({ name }) => name).sort(), ['get_snippet', 'hello_mcp', 'save_snippet']);
        assert.equal(await call(), 'Hello I am MCPTool!');
        const [visit, ...more] = await visits();
        assert.equal(more.length, 0);
        assert.equal(visit.searchParams.get('resource'), `${world.base}/mcp`);
        assert.equal(visit.searchParams.get('code_challenge_method'), 'S256');
        assert.equal(visit.searchParams.get('client_id'), (await kept('_client_info.json')).client_id);
    });

    await it('tokens that end soon are renewed without the person', async () => {
        const before = await kept('_tokens.json');
        assert.equal(await call(), 'Hello I am MCPTool!');
        const after = await kept('_tokens.json');
        assert.notEqual(after.access_token, before.access_token);
        assert.notEqual(after.refresh_token, before.refresh_token);
        assert.equal((await visits()).length, 1);
    });

    await it('access that was taken back while it runs: the person is asked again within the same call', async () => {
        await revoke();
        assert.equal(await call(), 'Hello I am MCPTool!', said);
        const [first, second, ...more] = await visits();
        assert.equal(more.length, 0, JSON.stringify({more, said}));
        assert.equal(second.searchParams.get('client_id'), first.searchParams.get('client_id'), 'the registration is kept');
        await client.close();
    });

    await it('a second start uses what the first one kept', async () => {
        await open();
        assert.equal(await call(), 'Hello I am MCPTool!');
        assert.equal((await visits()).length, 2);
        await client.close();
    });

    await it('a registration that is not known any more, since the keys are others: it registers anew by itself', async () => {
        const { client_id: old } = await kept('_client_info.json');
        const key = keyLine('k2');
        world.httpd.secret('sealing key', key.split(' ')[1].trim());
        await writeFile(world.keyFile, key);
        await world.httpd.graceful();
        await open();
        assert.equal(await call(), 'Hello I am MCPTool!');
        const opened = await visits();
        assert.equal(opened.length, 3, 'no page with an error was opened');
        assert.notEqual(opened[2].searchParams.get('client_id'), old);
        await client.close();
        // without tokens it asks about its id before it opens the browser
        opened[1].searchParams.set('client_id', old);
        const refused = await request(opened[1].href, { headers: { Accept: 'application/json' } });
        assert.equal(refused.status, 400);
        assert.equal(refused.json().error, 'invalid_client');
        assert.match((await request(opened[1].href)).headers['content-type'], /^text\/html/, 'a browser gets a page');
    });
});
