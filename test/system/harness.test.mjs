// SPDX-License-Identifier: Apache-2.0
// The harness itself: it must be able to fail, or nothing that it says counts.

import test from 'node:test';
import assert from 'node:assert/strict';
import { Httpd } from './lib/httpd.mjs';
import { forms } from './lib/person.mjs';
import { request, challenge } from './lib/http.mjs';
import { startEcho } from './lib/echo.mjs';
import { startStore, STORES } from './lib/stores.mjs';
import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tmpdir } from 'node:os';

test('an unannounced error in error_log fails the check, an announced one does not', async (t) => {
    const httpd = await Httpd.make({ mcp: [] });
    t.after(() => httpd.close());
    await httpd.configure('ProxyPass /gone http://127.0.0.1:1/');
    await httpd.start();
    assert.equal((await request(`${httpd.base}/gone`)).status, 503);
    assert.throws(() => httpd.check(), /AH00957|AH01114/);
    httpd.announce('AH00957', 'AH01114');
    httpd.check();
});

test('a crash, a sanitizer report and a leaked secret fail the check (RS-13, T45, W12)', async (t) => {
    const httpd = await Httpd.make({ mcp: [] });
    t.after(async () => { await httpd.stop(); await rm(httpd.root, { recursive: true, force: true }); });
    await httpd.configure('');
    await httpd.start();
    httpd.check();
    const [child] = httpd.children();
    process.kill(child, 'SIGSEGV');
    for (let i = 0; i < 100 && !/exit signal/.test(httpd.log()); i++) await new Promise((done) => setTimeout(done, 50));
    assert.throws(() => httpd.check(), /exit signal Segmentation fault/);
    httpd.announce(/exit signal Segmentation fault/);
    httpd.check();
    httpd.secret('a key', 'abcdefgh12345678');
    await appendFile(join(httpd.root, 'logs/error_log'), '[x] [mcp_guard:debug] [pid 1:tid 1] token abcdefgh12345678\n');
    assert.throws(() => httpd.check(), /secret in a log: a key/);
});

test('forms are read as a browser reads them', () => {
    const [form] = forms(`<form action="/c?a=1&amp;b=2" method=post><input type=hidden name=x value="a&quot;&lt;b>">
        <input type="checkbox" name="no"><input name=who><button name="d" value="allow">Allow</button></form>`);
    assert.deepEqual(form, {
        method: 'POST', action: '/c?a=1&b=2',
        fields: [{ name: 'x', value: 'a"<b>', type: 'hidden' }, { name: 'who', value: '', type: 'text' }],
        buttons: [{ name: 'd', value: 'allow', text: 'Allow' }],
    });
});

test('a challenge is read, and a doubled parameter is an error', () => {
    const response = { rawHeaders: ['WWW-Authenticate', 'Bearer resource_metadata="http://x/y", scope="a b"'] };
    assert.deepEqual(challenge(response), { scheme: 'Bearer', lines: 1, resource_metadata: 'http://x/y', scope: 'a b' });
    assert.throws(() => challenge({ rawHeaders: ['www-authenticate', 'Bearer a="1", a="2"'] }), /twice/);
});

test('the echo backend shows each header line', async (t) => {
    const echo = await startEcho();
    t.after(() => echo.close());
    const seen = (await request(`${echo.url}/a`, { headers: { 'X-Two': ['1', '2'], X_Under: 'u' } })).json();
    assert.deepEqual(seen.headers.filter(([name]) => /^x/i.test(name)), [['X-Two', '1'], ['X-Two', '2'], ['X_Under', 'u']]);
});

for (const kind of [...STORES, 'memcache-socket']) {
    test(`store ${kind} starts and ends`, async () => {
        const store = await startStore(kind, tmpdir());
        await store.stop('SIGTERM');
    });
}
