// SPDX-License-Identifier: Apache-2.0
// A real Chromium through the same sign-in, with and without a live session at the provider, back to a loopback
// listener, an https URL's stand-in and a private-use URI: the trap of form-action (field lessons 17) and of Referer.

import assert from 'node:assert/strict';
import http from 'node:http';
import { once } from 'node:events';
import test from 'node:test';
import { CHROMIUM, openBrowser as launch } from './lib/browser.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { openWorld } from './lib/world.mjs';

/** A browser that ends with the test `t`. */
async function openBrowser(t, options) {
    const browser = await launch(options);
    t.after(browser.close);
    return browser;
}

/** An application's listener for the answer: a real one, on loopback. */
async function listener(t) {
    const seen = [];
    const server = http.createServer((request, response) => {
        seen.push({ url: request.url, headers: request.headers });
        response.writeHead(200, { 'Content-Type': 'text/html' });
        response.end('<title>arrived</title><p>You may close this window.');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.after(() => { server.closeAllConnections(); server.close(); });
    return { seen, uri: `http://127.0.0.1:${server.address().port}/callback`, arrived: (n = 1) => until(() => seen.filter(({ url }) => url.startsWith('/callback')).length >= n, 'the answer to arrive') };
}

async function signIn(page, account) {
    await page.locator('input[type=password]').waitFor();
    await page.locator('form input:not([type=hidden]):not([type=password])').first().fill(account.name);
    await page.locator('input[type=password]').fill(account.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
}

test('in Chromium', { timeout: 300_000 }, async (t) => {
    assert.ok(CHROMIUM, 'chromium is installed');
    const world = await openWorld(t, { backend: false, directives: 'MCPOAuthRedirectSchemes cursor' });
    const [account] = world.provider.accounts;

    await t.test('consent, sign-in and back to a loopback listener; then again with a live session: no form in between', async (u) => {
        const { page, complaints } = await openBrowser(u);
        const app = await listener(u);
        const client = new OAuthClient(world, { redirectUri: app.uri, resource: `${world.base}/echo` });
        await client.register();

        await page.goto(client.authorizeUrl());
        assert.match(await page.title(), /test client/);
        await page.getByRole('button', { name: 'Allow' }).click();
        await signIn(page, account);
        await app.arrived();
        const answer = new URL(app.seen[0].url, app.uri).searchParams;
        assert.equal(answer.get('state'), client.state);
        assert.equal(answer.get('iss'), world.base);
        assert.equal(app.seen[0].headers.referer, undefined, 'no Referer carries our URLs away');
        assert.equal((await client.redeem(answer.get('code'))).status, 200);

        // the whole chain of redirects hangs on the consent form now: POST /consent -> provider -> callback -> application
        await page.goto(client.authorizeUrl());
        await page.getByRole('button', { name: 'Allow' }).click();
        await app.arrived(2);
        const second = new URL(app.seen.filter(({ url }) => url.startsWith('/callback'))[1].url, app.uri).searchParams;
        assert.equal(second.get('state'), client.state);
        assert.equal((await client.redeem(second.get('code'))).status, 200);
        assert.deepEqual(complaints.filter((text) => /Content Security Policy|Refused/i.test(text)), []);
    });

    await t.test('deny comes back to the application', async (u) => {
        const { page } = await openBrowser(u);
        const app = await listener(u);
        const client = new OAuthClient(world, { redirectUri: app.uri });
        await client.register();
        await page.goto(client.authorizeUrl());
        await page.getByRole('button', { name: 'Deny' }).click();
        await app.arrived();
        assert.equal(new URL(app.seen[0].url, app.uri).searchParams.get('error'), 'access_denied');
    });

    await t.test('a private-use URI is what the browser is sent to, also with a live session', async (u) => {
        const { context, page: first, complaints } = await openBrowser(u);
        const client = new OAuthClient(world, { redirectUri: 'cursor://anysphere.cursor-mcp/oauth/callback' });
        assert.equal((await client.register()).status, 201);
        const sent = [];
        for (const live of [false, true]) {
            // a tab of its own: where the last navigation led to no page, its end may still come and stop the next one
            const page = live ? await context.newPage() : first;
            page.on('response', (response) => { const to = response.headers().location; if (to?.startsWith('cursor:')) sent.push(to); });
            await page.goto(client.authorizeUrl());
            await page.getByRole('button', { name: 'Allow' }).click();
            if (!live) await signIn(page, account);
            await until(() => sent.length > Number(live), 'the redirect to the application', 30_000)
                .catch(async (error) => { throw new Error(`${error.message}; ${page.url()}\n${await page.content()}\n${world.httpd.log().slice(-3000)}`); });
        }
        for (const to of sent) assert.ok(new URL(to).searchParams.get('code'));
        assert.deepEqual(complaints.filter((text) => /Content Security Policy/i.test(text)), []);
    });

    await t.test('two tabs at once both arrive (W6)', async (u) => {
        const { context, page } = await openBrowser(u);
        const app = await listener(u);
        const [a, b] = [new OAuthClient(world, { redirectUri: app.uri }), new OAuthClient(world, { redirectUri: app.uri })];
        await a.register();
        await b.register();
        const other = await context.newPage();
        await page.goto(a.authorizeUrl());
        await other.goto(b.authorizeUrl());
        await page.getByRole('button', { name: 'Allow' }).click();
        await page.locator('input[type=password]').waitFor();
        await other.getByRole('button', { name: 'Allow' }).click();
        await signIn(other, account);
        await app.arrived(1);
        await signIn(page, account);
        await app.arrived(2);
        const states = app.seen.filter(({ url }) => url.startsWith('/callback')).map(({ url }) => new URL(url, app.uri).searchParams.get('state'));
        assert.deepEqual(states.sort(), [a.state, b.state].sort());
    });

    await t.test('another site can neither frame the page nor post its form', async (u) => {
        const { page } = await openBrowser(u, { javaScriptEnabled: true });
        const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb' });
        await client.register();
        let body = '';
        const evil = http.createServer((request, response) => { response.writeHead(200, { 'Content-Type': 'text/html' }); response.end(body); });
        evil.listen(0, '127.0.0.2');
        await once(evil, 'listening');
        u.after(() => { evil.closeAllConnections(); evil.close(); });
        const site = `http://127.0.0.2:${evil.address().port}/`;

        body = `<iframe src="${client.authorizeUrl().replaceAll('&', '&amp;')}" width=800 height=600></iframe>`;
        await page.goto(site, { waitUntil: 'load' });
        const frame = page.frames()[1];
        assert.equal(await frame.getByRole('button', { name: 'Allow' }).count().catch(() => 0), 0, 'not framed');

        // the victim has opened the page herself, so her browser has our cookie; the attacker has a form of his own
        await page.goto(client.authorizeUrl());
        const attacker = await world.person().visit(client.authorizeUrl(), { pause: 'consent' });
        body = `<form method=post action="${world.base}/consent">${attacker.form.fields.map(({ name, value }) => `<input type=hidden name="${name}" value="${value}">`).join('')}<input name=decision value=allow><button>win</button></form>`;
        await page.goto(site);
        const [response] = await Promise.all([page.waitForResponse(`${world.base}/consent`), page.getByRole('button', { name: 'win' }).click()]);
        assert.equal(response.status(), 403);
    });
});

test('in Chromium, on https', { timeout: 120_000 }, async (t) => {
    const world = await openWorld(t, { backend: false, httpd: { tls: true } });
    const [account] = world.provider.accounts;

    await t.test('consent, sign-in and back to a loopback listener, twice: __Host- cookies and redirects from https to http', async (u) => {
        const { context, page, complaints } = await openBrowser(u, { ignoreHTTPSErrors: true });
        const app = await listener(u);
        const client = new OAuthClient(world, { redirectUri: app.uri, resource: `${world.base}/echo` });
        await client.register();
        for (const time of [1, 2]) {
            await page.goto(client.authorizeUrl());
            await page.getByRole('button', { name: 'Allow' }).click();
            if (time === 1) {
                const cookies = (await context.cookies(world.base)).filter(({ name }) => /mcp/.test(name));
                assert.equal(cookies.length, 2);
                for (const { name, secure, httpOnly, sameSite } of cookies) assert.deepEqual([name.startsWith('__Host-'), secure, httpOnly, sameSite], [true, true, true, 'Lax']);
                await signIn(page, account);
            }
            await app.arrived(time);
            const answer = new URL(app.seen.filter(({ url }) => url.startsWith('/callback')).at(-1).url, app.uri).searchParams;
            assert.equal(answer.get('state'), client.state);
            assert.equal((await client.redeem(answer.get('code'))).status, 200);
        }
        assert.deepEqual(complaints.filter((text) => /Content Security Policy|Refused/i.test(text)), []);
    });
});
