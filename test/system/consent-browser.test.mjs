// SPDX-License-Identifier: Apache-2.0
// Remembered consent in Chromium: two people, two browsers, two clients, and what only a browser decides: whose
// navigation it was, and what may be framed.

import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import test from 'node:test';
import { CHROMIUM, openBrowser } from './lib/browser.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { openWorld } from './lib/world.mjs';

/** Another site, or a client's page: whatever `body(request)` says. {origin, seen, body} */
async function site(t, host = '127.0.0.1') {
    const self = { seen: [], answer: () => [200, {}, '<title>arrived</title>'] };
    const server = http.createServer((request, response) => {
        self.seen.push(request.url);
        const [status, headers, text] = self.answer(request);
        response.writeHead(status, { 'Content-Type': 'text/html', ...headers });
        response.end(text);
    });
    server.listen(0, host);
    await once(server, 'listening');
    t.after(() => { server.closeAllConnections(); server.close(); });
    self.origin = `http://${host}:${server.address().port}`;
    self.answers = () => self.seen.filter((url) => url.startsWith('/callback?')).map((url) => Object.fromEntries(new URL(url, self.origin).searchParams));
    return self;
}

test('remembered consent in Chromium', { timeout: 300_000 }, async (t) => {
    assert.ok(CHROMIUM, 'chromium is installed');
    const world = await openWorld(t, { backend: false, httpd: { tls: true }, directives: 'MCPConsentRemember 1h native' });
    const [alice, bob] = world.provider.accounts;
    const app = await site(t);
    const make = async (name) => {
        const client = new OAuthClient(world, { name, redirectUri: `${app.origin}/callback`, resource: `${world.base}/echo` });
        await client.register();
        return client;
    };
    const [one, two] = [await make('Client One'), await make('Client Two')];
    const options = { ignoreHTTPSErrors: true };
    const [first, second] = [await openBrowser(options), await openBrowser(options)];
    t.after(() => Promise.all([first.close(), second.close()]));

    /** Open a client's request by hand, or from `start`, and do what the pages ask; gives what was shown. */
    async function connect({ page }, client, account, { changes = {}, start, press = 'Allow' } = {}) {
        const before = app.answers().length;
        const shown = [];
        const url = client.authorizeUrl(changes);
        await (start ? start(page, url) : page.goto(url));
        for (;;) {
            const allow = page.getByRole('button', { name: press, exact: true });
            const password = page.locator('input[type=password]');
            const step = await until(async () => {
                if (app.answers().length > before) return 'arrived';
                if (await allow.count().catch(() => 0)) return 'consent';
                return (await password.count().catch(() => 0)) ? 'sign-in' : null;
            }, 'a page or the answer');
            if (step === 'arrived') return { shown: shown.join(' '), answer: app.answers().at(-1), text: shown.text };
            shown.push(step);
            const leaves = page.waitForEvent('framenavigated');
            if (step === 'consent') {
                shown.text = await page.locator('body').innerText();
                await allow.click();
            } else {
                await page.locator('form input:not([type=hidden]):not([type=password])').first().fill(account.name);
                await password.fill(account.password);
                await page.getByRole('button', { name: 'Sign in' }).click();
            }
            await leaves;
        }
    }
    /** Somebody else sits down: signed out at the provider. */
    const handOver = async ({ context }) => {
        for (const { name, domain, path } of await context.cookies(world.provider.issuer)) if (!/mcp/.test(name)) await context.clearCookies({ name, domain, path });
    };

    await t.test('two clients, two browsers: each is asked for once in each (T1, CP-1)', async () => {
        assert.equal((await connect(first, one, alice)).shown, 'consent sign-in');
        const again = await connect(first, one, alice);
        assert.equal(again.shown, '');
        assert.equal(again.answer.state, one.state);
        assert.equal((await one.redeem(again.answer.code)).status, 200);
        const other = await connect(first, two, alice);
        assert.equal(other.shown, 'consent');
        assert.match(other.text, /Client Two/);
        assert.equal((await connect(second, one, alice)).shown, 'consent sign-in');
        assert.equal((await connect(first, one, alice, { changes: { prompt: 'consent' } })).shown, 'consent');
    });

    await t.test('another person at the browser is asked by name, and may say no (W11)', async () => {
        await handOver(first);
        const asked = await connect(first, one, bob);
        assert.equal(asked.shown, 'sign-in consent');
        assert.match(asked.text, /bob@example\.com/);
        assert.ok(asked.answer.code);
        assert.equal((await connect(first, one, bob)).shown, '');
        const no = await connect(first, two, bob, { press: 'Deny' });
        assert.deepEqual([no.shown, no.answer.error], ['consent', 'access_denied']);
        assert.equal((await connect(first, two, bob)).shown, 'consent', 'it does not stick');
        await handOver(first);
        assert.equal((await connect(first, one, alice)).shown, 'sign-in', 'and the first is still known');
    });

    await t.test('a link, a form or a script on another site leads to the page, whatever is remembered (T3)', async (u) => {
        const evil = await site(u, '127.0.0.2');
        const lead = (html) => async (page, url) => {
            evil.answer = () => [200, {}, html(url.replaceAll('&', '&amp;'))];
            await page.goto(evil.origin);
            await page.locator('#go').click();
        };
        assert.equal((await connect(first, one, alice)).shown, '', 'it is remembered');
        assert.equal((await connect(first, one, alice, { start: lead((url) => `<a id=go href="${url}">go</a>`) })).shown, 'consent');
        assert.equal((await connect(first, one, alice, { start: lead((url) => `<a id=go rel=noreferrer href="${url}">go</a>`) })).shown, 'consent');
        // the same site by its own redirect after a link
        assert.equal((await connect(first, one, alice, { start: async (page, url) => {
            evil.answer = ({ url: path }) => (path === '/go' ? [302, { Location: url }, ''] : [200, {}, '<a id=go href=/go>go</a>']);
            await page.goto(evil.origin);
            await page.locator('#go').click();
        } })).shown, 'consent');
    });

    // What T3 cannot see, for the browser does not tell: an address that the person opened herself, or a program on her
    // device for her, and that redirects here. The code goes to the client's own redirect URI all the same.
    await t.test('an address that was typed and redirects here looks like her own navigation', async (u) => {
        const evil = await site(u, '127.0.0.2');
        const walked = await connect(first, one, alice, { start: async (page, url) => {
            evil.answer = () => [302, { Location: url }, ''];
            await page.goto(evil.origin);
        } });
        assert.ok(walked.answer.code);
        assert.equal(walked.answer.state, one.state);
        assert.equal(walked.answer.iss, world.base, 'by which the client sees who answered (RFC 9207)');
    });

    await t.test('a frame on another site gets neither the page nor a code (T34, CP-8, T3)', async (u) => {
        const evil = await site(u, '127.0.0.2');
        for (const prompt of [undefined, 'none']) {
            const before = app.seen.length;
            evil.answer = () => [200, {}, `<iframe src="${one.authorizeUrl({ prompt }).replaceAll('&', '&amp;')}" width=800 height=600></iframe>`];
            await first.page.goto(evil.origin, { waitUntil: 'load' });
            for (const frame of first.page.frames().slice(1)) assert.equal(await frame.getByRole('button').count().catch(() => 0), 0);
            const told = app.answers().slice(before).filter(({ code }) => code);
            assert.deepEqual(told, []);
        }
    });

    await t.test('two tabs with two clients at once, answered crosswise, each arrive at their own (CP-7, W6)', async () => {
        await handOver(second);
        const tabs = [second.page, await second.context.newPage()];
        const before = app.answers().length;
        await tabs[0].goto(one.authorizeUrl({ prompt: 'consent' }));
        await tabs[1].goto(two.authorizeUrl({ prompt: 'consent' }));
        const states = [one.state, two.state];
        for (const i of [1, 0]) {
            await tabs[i].getByRole('button', { name: 'Allow', exact: true }).click();
            await tabs[i].locator('input[type=password]').waitFor();
        }
        for (const i of [0, 1]) {
            await tabs[i].locator('form input:not([type=hidden]):not([type=password])').first().fill(alice.name);
            await tabs[i].locator('input[type=password]').fill(alice.password);
            await tabs[i].getByRole('button', { name: 'Sign in' }).click();
            await until(() => app.answers().length > before + i, 'the answer');
            assert.equal(app.answers().at(-1).state, states[i]);
        }
        assert.ok(app.answers().slice(before).every(({ code }) => code));
    });
});
