// SPDX-License-Identifier: Apache-2.0
// The inner side of docs.test.mjs: a gateway that is what README.md says, at https://mcp.example.com, and the blocks of all
// documents, tried there.

import assert from 'node:assert/strict';
import test from 'node:test';
import { DOCUMENTS, contexts, readDocument } from '../../lib/documents.mjs';
import { Fragments } from './documents-conf.mjs';
import { DocumentsHost } from './documents-host.mjs';

const documents = DOCUMENTS.map(readDocument);
const blocks = documents.flatMap((document) => document.blocks);
const runs = (block) => !block.markers['run by'] && !block.markers['not run'];

test('documents', { timeout: 600_000 }, async (t) => {
    const host = await DocumentsHost.make();
    t.after(() => host.close());

    const fragments = new Fragments(host, contexts());
    await t.test('each configuration block passes httpd\'s configuration test', async () => {
        const all = blocks.filter((block) => block.language === 'apache' && runs(block));
        assert.ok(all.length > 100, `only ${all.length} blocks: is this out of date?`);
        const failed = await fragments.check(all);
        console.log(`${all.length} configuration blocks`);
        assert.equal(failed.length, 0, failed.join('\n\n'));
    });

    await t.test('README.md alone makes a gateway that people sign in at, and its tools answer', async () => {
        const whole = documents[0].blocks.filter((block) => block.language === 'apache').map((block) => block.text).join('\n');
        await host.start(whole);
        const tokens = await host.signIn();
        const answer = await host.call(tokens, { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'hello_mcp', arguments: {} } });
        assert.equal(answer.status, 200, answer.text);
        assert.match(answer.text, /Hello I am MCPTool!/);
        await host.use(whole.replace(/^MCPStore .*$/m, 'MCPStore memcache:/run/memcached/memcached.sock')); // a restart of the rest must lose nobody
    });

    for (const document of documents) {
        const commands = document.blocks.filter((block) => ['sh', 'console'].includes(block.language) && runs(block));
        if (commands.length === 0) continue;
        await t.test(`${document.name}: ${commands.length} blocks of commands`, async () => {
            const failed = [];
            await host.prepare();
            for (const block of commands) {
                const wrong = await host.run(block);
                if (wrong) failed.push(`${block.where}: ${wrong}\n${block.text}`);
            }
            assert.equal(failed.length, 0, failed.join('\n\n'));
        });
    }
});
