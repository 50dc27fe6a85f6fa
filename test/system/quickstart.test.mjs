// SPDX-License-Identifier: Apache-2.0
// ./quickstart as a person uses it: start, connect with the printed account, Ctrl-C, and nothing is left.

import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import test from 'node:test';
import { Application, connect, textOf } from './lib/clients.mjs';
import { HTTPD, TOP } from './lib/httpd.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { Person } from './lib/person.mjs';
import { Process, freePort, reachable, until } from './lib/proc.mjs';

/** Processes below `root`, however deep. */
function descendants(root) {
    const parents = new Map();
    for (const name of readdirSync('/proc')) {
        if (!/^\d+$/.test(name)) continue;
        try {
            const [, , ppid] = readFileSync(`/proc/${name}/stat`, 'utf8').match(/^\d+ \(.*\) (\S) (\d+)/s);
            parents.set(Number(name), Number(ppid));
        } catch { /* gone */ }
    }
    const found = [];
    for (const pid of parents.keys()) {
        for (let at = pid; at > 1; at = parents.get(at)) if (parents.get(at) === root) { found.push(pid); break; }
    }
    return found;
}

const temporary = () => readdirSync(tmpdir()).filter((name) => /^mcp-(quickstart|snippets)/.test(name));

for (const store of ['shmcb', 'memcache', 'redis']) {
    for (const signal of store === 'shmcb' ? ['SIGINT', 'SIGTERM'] : ['SIGINT']) {
        test(`quickstart --store ${store}, ended by ${signal}`, { timeout: 300_000 }, async (t) => {
            const port = await freePort();
            const before = temporary();
            const quickstart = new Process(join(TOP, 'quickstart'), ['--port', String(port), ...(store === 'shmcb' ? [] : ['--store', store])], { cwd: tmpdir() });
            t.after(() => quickstart.stop());
            await quickstart.says(/^ready: \S+$/m, 240_000);
            const [, name, password] = quickstart.stdout.match(/^account: (\S+) (\S+)$/m);
            const [, url] = quickstart.stdout.match(/^ready: (\S+)$/m);
            assert.equal(url, `http://127.0.0.1:${port}/mcp`);
            const [, logs] = quickstart.stdout.match(/^ +logs +(\S+)$/m);
            const linted = await mcpctl('check-config', '--httpd', HTTPD, '--', '-f', join(dirname(logs), 'httpd/httpd.conf'));
            assert.equal(linted.out, '0 errors, 0 warnings\n', linted.err);
            for (const kind of ['v2 modern era', 'v1 HTTP+SSE']) {
                const { client } = await connect(kind, `http://127.0.0.1:${port}`, new Application(new Person({ name, password })));
                assert.equal(textOf(await client.callTool({ name: 'hello_mcp', arguments: {} })), 'Hello I am MCPTool!');
                await client.close();
            }
            const children = descendants(quickstart.pid);
            assert.ok(children.length >= 4, 'gateway, provider and backend are its own');
            quickstart.signal(signal);
            const late = setTimeout(() => quickstart.signal('SIGKILL'), 30_000);
            await quickstart.exited;
            clearTimeout(late);
            await until(() => children.every((pid) => { try { process.kill(pid, 0); return readFileSync(`/proc/${pid}/stat`, 'utf8').includes(') Z '); } catch { return true; } }), 'its processes to be gone', 5000);
            assert.equal(await reachable({ host: '127.0.0.1', port }), false);
            assert.deepEqual(temporary().filter((entry) => !before.includes(entry)), [], 'nothing left in the temporary directory');
        });
    }
}

test('quickstart says what is wrong', { timeout: 60_000 }, async () => {
    for (const args of [['--port'], ['--port', 'x'], ['--port', '70000'], ['--store', 'files'], ['--what']]) {
        const quickstart = new Process(join(TOP, 'quickstart'), args);
        const { code } = await quickstart.exited;
        assert.equal(code, 2, args.join(' '));
        assert.notEqual(quickstart.stderr, '');
    }
});
