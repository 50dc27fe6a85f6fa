// SPDX-License-Identifier: Apache-2.0
// Remembered consent: what it is bound to, when it is used, and who is asked all the same. Two people, two browsers,
// two clients, over plain HTTP; in Chromium what only a browser decides (Sec-Fetch-Site, frames).

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { altered, headerLines, request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { forms, isAnswer } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite, keyLine } from './lib/world.mjs';

const COOKIE = '__Host-mcp-consent';

/**
 * Follow what a request leads to: {pages: [{kind, at, text}], answer, url} or, with `pause`, {pages, page}; {pages, response}
 * where there is nothing to press.
 */
async function walk(person, url, { press = 'allow', pause, headers = {}, untick } = {}) {
    const pages = [];
    let response = await person.go(url, { headers });
    for (let step = 0; step < 20; step++) {
        if (response.headers.location) {
            const next = new URL(response.headers.location, response.url).href;
            if (isAnswer(next)) return { pages, url: next, answer: Object.fromEntries(new URL(next).searchParams) };
            response = await person.go(next);
            continue;
        }
        const found = response.status === 200 ? person.read(response, { consent: press }) : null;
        if (!found) return { pages, response };
        pages.push({ kind: found.kind, at: new URL(response.url).pathname, text: response.text });
        if (found.kind === pause) return { pages, page: { ...response, ...found } };
        if (untick) found.form.fields = found.form.fields.filter(({ name }) => name !== untick);
        response = await person.submit(response, found.form, found.values, found.button);
    }
    throw new Error('goes round in circles');
}

/** Where the consent page was shown: '/authorize', '/oauth-callback', or nothing. */
const asked = ({ pages }) => pages.filter(({ kind }) => kind === 'consent').map(({ at }) => at).join(' ');

/** A browser that somebody else uses now: signed out at the provider, signed in there by another name. */
function handOver(world, person, account) {
    person.jar.forget(world.provider.issuer);
    person.account = account;
}

/** A navigation whose every header the test says. */
const bare = (person, url, headers) => request(url, { headers: { Cookie: person.jar.header(url), ...headers } });
const OWN = { 'Sec-Fetch-Site': 'none', 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' };

suite('consent is remembered', {
    backend: false, store: 'memcache', httpd: { tls: true },
    directives: 'MCPScope snippets "Read snippets"\nMCPScope extra "Write snippets" optional',
}, async (it, world) => {
    const { base } = world;
    const [alice, bob] = world.provider.accounts;
    const make = async (options = {}) => {
        const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb', resource: `${base}/echo`, ...options });
        await client.register();
        return client;
    };
    const client = await make();
    const go = (person, options = {}, changes = {}, by = client) => walk(person, by.authorizeUrl(changes), options);
    const ann = world.person(alice);

    /** Who the backend hears that a code is for. */
    const owner = async (code, by = client) => {
        const tokens = (await by.redeem(code)).json();
        const seen = (await request(`${base}/echo`, { json: {}, headers: { Authorization: `Bearer ${tokens.access_token}` } })).json();
        return { scope: tokens.scope, subject: seen.headers.find(([name]) => /^x-mcp-(subject|user)/i.test(name))?.[1] };
    };
    const gone = (response) => {
        assert.ok([400, 403].includes(response.status), String(response.status));
        assert.equal(response.headers.location, undefined);
    };

    await it('and set only after the sign-in that follows it, sealed and with every attribute (CP-3, CP-9, CP-12)', async () => {
        const { page } = await go(ann, { pause: 'sign-in' });
        assert.ok(!ann.jar.names(base).includes(COOKIE), 'not before the person is known');
        let response = await ann.submit(page, page.form, page.values, page.button);
        while (!isAnswer(new URL(response.headers.location, response.url).href)) response = await ann.go(new URL(response.headers.location, response.url).href);
        const [line] = headerLines(response, 'set-cookie').filter((text) => text.startsWith(`${COOKIE}=`));
        assert.match(line, /^__Host-mcp-consent=mcpcc\.k1\.[\w-]+; Path=\/; HttpOnly; SameSite=Lax; Secure; Max-Age=2592000$/);
    });

    await it('the same is not asked again, and leads to the same person (CP-1, CP-2)', async () => {
        const again = await go(ann);
        assert.equal(again.pages.length, 0, 'neither consent nor sign-in');
        assert.equal(again.answer.state, client.state);
        const { subject, scope } = await owner(again.answer.code);
        assert.equal(scope, 'snippets');
        assert.match(subject, new RegExp(alice.sub));
        await until(() => /MCP0237.*remembered consent of/.test(world.httpd.log()), 'the log line');
    });

    await it('a navigation that is not the person\'s own is asked again (T3)', async () => {
        for (const headers of [
            { ...OWN, 'Sec-Fetch-Site': 'cross-site' }, { ...OWN, 'Sec-Fetch-Site': 'same-site' }, { ...OWN, 'Sec-Fetch-Site': 'None' },
            { ...OWN, 'Sec-Fetch-Site': '' }, { ...OWN, 'Sec-Fetch-Site': ['none', 'none'] }, { ...OWN, 'Sec-Fetch-Site': 'cross-site, none' },
            { ...OWN, 'Sec-Fetch-Mode': 'no-cors' }, { ...OWN, 'Sec-Fetch-Dest': 'iframe' }, { ...OWN, 'Sec-Fetch-Dest': 'empty' },
            { ...OWN, 'Sec-Purpose': 'prefetch' }, { ...OWN, 'Sec-Purpose': 'prefetch;prerender' }, { ...OWN, Purpose: 'prefetch' },
            {}, { 'Sec-Fetch-Site': 'none' }, { 'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document' },
        ]) {
            const response = await bare(ann, client.authorizeUrl(), headers);
            assert.equal(response.status, 200, JSON.stringify(headers));
            assert.equal(ann.read(response).kind, 'consent');
            assert.deepEqual(headerLines(response, 'set-cookie'), [], 'and nothing is begun');
        }
        assert.match(world.httpd.log(), /MCP0233/);
        for (const site of ['none', 'same-origin']) {
            const response = await bare(ann, client.authorizeUrl(), { ...OWN, 'Sec-Fetch-Site': site });
            assert.equal(response.status, 302, site);
            assert.ok(response.headers.location.startsWith(world.provider.issuer));
        }
        const head = await request(client.authorizeUrl(), { method: 'HEAD', headers: { Cookie: ann.jar.header(base), ...OWN } });
        assert.equal(head.status, 200, 'HEAD begins nothing');
        assert.deepEqual(headerLines(head, 'set-cookie'), []);
    });

    await it('another client, redirect URI or resource is asked for itself (T1, T3, CP-1, CP-10)', async () => {
        const other = await make({ name: 'another' });
        const first = await go(ann, { pause: 'consent' }, {}, other);
        assert.equal(asked(first), '/authorize');
        assert.match(first.page.text, /another/);
        const two = new OAuthClient(world, { redirectUri: 'https://client.example/cb', resource: `${base}/echo` });
        await two.register({ redirect_uris: ['https://client.example/cb', 'https://client.example/cb2'] });
        assert.equal(asked(await go(ann, {}, {}, two)), '/authorize');
        assert.equal(asked(await go(ann, {}, {}, two)), '');
        assert.equal(asked(await go(ann, {}, { redirect_uri: 'https://client.example/cb2' }, two)), '/authorize');
        assert.equal(asked(await go(ann, {}, { resource: `${base}/mcp` }, two)), '/authorize');
        assert.equal(asked(await go(ann, {}, {}, two)), '', 'and the first is still known');
    });

    await it('more scopes are asked for, fewer are not, and what was unticked was not given (T3)', async () => {
        const grow = await make({ name: 'grows' });
        const scopes = async (scope, options) => { const walked = await go(ann, options, { scope }, grow); return [asked(walked), (await owner(walked.answer.code, grow)).scope]; };
        assert.deepEqual(await scopes('snippets'), ['/authorize', 'snippets']);
        assert.deepEqual(await scopes('snippets extra'), ['/authorize', 'snippets extra']);
        assert.deepEqual(await scopes('extra snippets'), ['', 'extra snippets']);
        assert.deepEqual(await scopes('extra'), ['', 'extra']);
        const less = await make({ name: 'less' });
        const { answer } = await go(ann, { untick: 's1' }, { scope: 'snippets extra' }, less);
        assert.equal((await owner(answer.code, less)).scope, 'snippets');
        assert.equal(asked(await go(ann, {}, { scope: 'snippets' }, less)), '');
        assert.equal(asked(await go(ann, { pause: 'consent' }, { scope: 'snippets extra' }, less)), '/authorize');
    });

    await it('prompt: consent asks, login and select_account go to the provider, none asks nobody', async () => {
        assert.equal(asked(await go(ann, {}, { prompt: 'consent' })), '/authorize');
        assert.equal(asked(await go(ann, {}, { prompt: 'login consent' })), '/authorize');
        for (const prompt of ['login', 'select_account', 'select_account login']) {
            const response = await bare(ann, client.authorizeUrl({ prompt }), OWN);
            assert.equal(new URL(response.headers.location).searchParams.get('prompt'), prompt.split(' ').at(-1), prompt);
        }
        const silent = await go(ann, {}, { prompt: 'none' });
        assert.equal(silent.pages.length, 0);
        assert.ok(silent.answer.code);
        assert.equal((await go(ann, {}, { prompt: 'none login' })).answer.error, 'invalid_request');
        const told = async (person, changes, headers) => {
            const { pages, answer } = await go(person, { headers }, { prompt: 'none', ...changes });
            assert.equal(pages.length, 0);
            assert.equal(answer.iss, base);
            assert.equal(answer.state, client.state);
            return answer.error;
        };
        assert.equal(await told(ann, { scope: 'snippets extra' }), 'consent_required');
        assert.equal(await told(ann, {}, { 'Sec-Fetch-Site': 'cross-site' }), 'consent_required');
        assert.equal(await told(world.person(alice), {}), 'consent_required');
        const jar = world.person(alice);
        jar.jar.set(base, COOKIE, ann.jar.get(base, COOKIE));
        assert.equal(await told(jar, {}), 'login_required', 'what the provider says');
        handOver(world, jar, bob);
        await go(jar, {}, {}, await make({ name: 'signs in' }));
        assert.equal(await told(jar, {}), 'consent_required', 'another person');
    });

    await it('another person at the same browser is asked when it is known who it is, and nothing is given before (W11, CP-1, CP-7)', async () => {
        const shared = world.person(alice);
        await go(shared);
        handOver(world, shared, bob);
        const first = await go(shared, { pause: 'consent' });
        assert.deepEqual(first.pages.map(({ kind, at }) => `${kind} ${at.replace(/\/signin\/.*/, '')}`), ['sign-in ', 'consent /oauth-callback']);
        assert.match(first.page.text, /bob@example\.com/, 'the account is shown');
        assert.match(first.page.text, /client\.example/);
        assert.equal(first.page.headers['x-frame-options'], 'DENY');
        assert.match(world.httpd.log(), /MCP0236/);
        const response = await shared.submit(first.page, first.page.form, {}, first.page.button);
        assert.equal(response.status, 303);
        const { subject } = await owner(new URL(response.headers.location).searchParams.get('code'));
        assert.match(subject, new RegExp(bob.sub));
        gone(await shared.submit(first.page, first.page.form, {}, first.page.button));
        assert.equal(asked(await go(shared)), '', 'both are known to this browser now');
        handOver(world, shared, alice);
        assert.equal(asked(await go(shared)), '');
    });

    await it('what a client says of itself is escaped on the page after the sign-in, too (T9, T35)', async () => {
        const hostile = await make({ name: '"><img src=x onerror=alert(1)>\'</title><script>alert(1)</script>', redirectUri: "https://client.example/cb?a='%22%3E%3Cscript%3E" });
        const shared = world.person(alice);
        await go(shared, {}, {}, hostile);
        handOver(world, shared, bob);
        const { page } = await go(shared, { pause: 'consent' }, {}, hostile);
        assert.ok(page.url.startsWith(`${base}/oauth-callback`));
        assert.doesNotMatch(page.text, /<script|<img|<[^>]*\son[a-z]+=/i);
        assert.match(page.text, /&lt;img src=x onerror=alert\(1\)&gt;/);
        for (const [header, value] of [['content-security-policy', /default-src 'none'.*frame-ancestors 'none'/], ['referrer-policy', /^no-referrer$/], ['cache-control', /no-store/]]) assert.match(page.headers[header], value);
        assert.equal((page.text.match(/<html/g) ?? []).length, 1, 'one page and nothing beside it');
    });

    await it('a denial is told, removes what is remembered, and does not stick (W10)', async () => {
        const shared = world.person(alice);
        await go(shared);
        handOver(world, shared, bob);
        const denied = await go(shared, { press: 'deny' });
        assert.equal(asked(denied), '/oauth-callback');
        assert.equal(denied.answer.error, 'access_denied');
        assert.equal(denied.answer.code, undefined);
        assert.equal(asked(await go(shared, { press: 'deny' })), '/authorize');
        assert.equal(asked(await go(shared)), '/authorize');
        assert.equal(asked(await go(shared)), '');
        assert.equal((await go(shared, { press: 'deny' }, { prompt: 'consent' })).answer.error, 'access_denied');
        assert.equal(asked(await go(shared, { pause: 'consent' })), '/authorize', 'a denial before the sign-in counts as well');
    });

    await it('the form of a waiting sign-in is of this browser, this page and one answer (T2, T29, CP-7)', async () => {
        const shared = world.person(alice);
        await go(shared);
        handOver(world, shared, bob);
        const { page } = await go(shared, { pause: 'consent' });
        const thief = world.person(bob);
        await thief.go(client.authorizeUrl());
        gone(await thief.submit(page, page.form, {}, page.button));
        const [field] = page.form.fields;
        for (const value of [altered(field.value), '', field.value.replace('mcpcf', 'mcptx')]) {
            gone(await shared.submit(page, { ...page.form, fields: [{ ...field, value }] }, {}, page.button));
        }
        const answers = await Promise.all([1, 2, 3, 4].map(() => shared.submit(page, page.form, {}, page.button)));
        assert.equal(answers.filter(({ headers }) => headers.location?.includes('code=')).length, 1, 'one of four at once');
    });

    await it('two tabs with two clients at once: each form gives its own client\'s code, crosswise answered, too (T1, CP-7)', async () => {
        const [a, b] = [await make({ name: 'tab a', redirectUri: 'https://a.example/cb' }), await make({ name: 'tab b', redirectUri: 'https://b.example/cb' })];
        const shared = world.person(alice);
        const first = await go(shared, { pause: 'consent' }, {}, a);
        const second = await go(shared, { pause: 'consent' }, {}, b);
        const finish = async ({ page }) => {
            let response = await shared.submit(page, page.form, {}, page.button);
            for (;;) {
                const next = new URL(response.headers.location ?? response.url, response.url).href;
                if (isAnswer(next)) return new URL(next);
                response = response.headers.location ? await shared.go(next) : await (async () => { const found = shared.read(response); return shared.submit(response, found.form, found.values, found.button); })();
            }
        };
        for (const [tab, by] of [[second, b], [first, a]]) {
            const url = await finish(tab);
            assert.equal(url.origin, new URL(by.redirectUri).origin);
            assert.equal(url.searchParams.get('state'), by.state);
        }
        assert.equal(asked(await go(shared, {}, {}, a)), '');
        assert.equal(asked(await go(shared, {}, {}, b)), '');
    });

    await it('a remembered consent opens the callback to this browser alone (T2, CP-11)', async () => {
        const response = await bare(ann, client.authorizeUrl(), OWN);
        assert.ok(headerLines(response, 'set-cookie').some((line) => /^__Host-mcp-tx-/.test(line)));
        ann.jar.take(base, response);
        let next = response.headers.location;
        for (let i = 0; i < 6 && !next.startsWith(`${base}/oauth-callback`); i++) next = new URL((await ann.go(next)).headers.location, next).href;
        gone(await world.person(alice).go(next));
    });

    await it('nothing that is no registered redirect URI is answered, remembered or not (T34, T12)', async () => {
        for (const uri of [
            'https://evil.example/cb', '//evil.example/cb', '/\\evil.example', 'https:\\\\evil.example', 'https://client.example/cb/', 'https://client.example/cb?x',
            'https://client.example/cb#x', 'https://client.example/\tcb', 'https://client.example/cb\r\nLocation: https://evil.example', 'https://client.example@evil.example/cb',
            'https://client.example/../cb', 'https://client.example/%2e%2e/cb', 'https://client.example:444/cb', 'http://client.example/cb', 'https://CLIENT.example/cb',
            'https://client.example.evil.example/cb', 'javascript:alert(1)', 'https://client.example/cb https://evil.example/', '',
        ]) {
            for (const prompt of [undefined, 'none', 'consent']) {
                const response = await bare(ann, client.authorizeUrl({ redirect_uri: uri, prompt }), OWN);
                assert.equal(response.status, 400, JSON.stringify(uri));
                assert.equal(response.headers.location, undefined);
                assert.doesNotMatch(response.text, /evil\.example/);
            }
        }
    });

    await it('a cookie that is altered, cut off, doubled, huge or of another kind counts as none (T33)', async () => {
        const good = ann.jar.get(base, COOKIE);
        const tx = headerLines(await bare(ann, client.authorizeUrl(), OWN), 'set-cookie').map((line) => line.split(/[=;]/)[1]).find((value) => value.startsWith('mcptx'));
        const status = async (cookie) => (await request(client.authorizeUrl(), { headers: { ...OWN, Cookie: cookie } })).status;
        assert.equal(await status(`${COOKIE}=${good}`), 302);
        for (const cookie of [
            `${COOKIE}=${good.slice(0, -1)}`, `${COOKIE}=${good.slice(0, 20)}`, `${COOKIE}=`, COOKIE, `${COOKIE}=${good}A`, `${COOKIE}=${altered(good)}`,
            `${COOKIE}=${good}; ${COOKIE}=${good}`, `${COOKIE}=${good}; ${COOKIE}=x`, `mcp-consent=${good}`, `${COOKIE}=${tx}`, `${COOKIE}=${good.replace('mcpcc', 'mcpcf')}`,
            `${COOKIE}=${'A'.repeat(7000)}`, `${COOKIE}=mcpcc.k1.${'A'.repeat(2700)}`, `${COOKIE}=%00`, `${COOKIE}="`,
        ]) assert.equal(await status(cookie), 200, cookie.slice(0, 60));
        // somebody else's cookie opens the way to the provider, and no further
        const thief = world.person(bob);
        thief.jar.set(base, COOKIE, good);
        assert.equal(asked(await go(thief, { pause: 'consent' })), '/oauth-callback');
    });

    await it('access that was taken back at one browser is asked for again at another that remembers it (W11)', async () => {
        const [desk, phone] = [world.person(alice), world.person(alice)];
        const taken = await make({ name: 'Taken back' });
        for (const person of [desk, phone]) {
            const { answer } = await go(person, {}, {}, taken);
            assert.equal((await taken.redeem(answer.code)).status, 200);
        }
        assert.equal(asked(await go(phone, {}, {}, taken)), '');
        const { response } = await walk(desk, `${base}/connections`);
        const section = response.text.split('<section class="connection">').find((text) => /<h2>(<bdi>)?Taken back/.test(text));
        const [form] = forms(section);
        const done = await desk.submit(response, form, {}, form.buttons[0]);
        assert.ok([200, 303].includes(done.status), String(done.status));
        assert.equal(asked(await go(phone, {}, {}, taken)), '/oauth-callback');
        await sleep(1000); // what was given counts by seconds
        await go(phone, {}, { prompt: 'consent' }, taken);
        assert.equal(asked(await go(phone, {}, {}, taken)), '', 'and what she gives now counts again');
    });

    await it('tabs left behind never make more cookies than httpd takes, whatever others are there (T10, T46)', async () => {
        const shared = world.person(alice);
        await go(shared);
        shared.jar.set(base, 'of-another-application', 'x'.repeat(4500));
        for (let tab = 0; tab < 5; tab++) {
            const { page } = await go(shared, { pause: 'sign-in' }, { state: 's'.repeat(300), prompt: 'login' });
            assert.ok(page, 'the sign-in is reached');
            assert.ok(shared.jar.header(base).length < 8190 - 'Cookie: '.length, String(shared.jar.header(base).length));
        }
        assert.ok((await go(shared, {}, { state: 's'.repeat(300) })).answer.code);
    });

    await it('the second step may be another node\'s (design principle 1)', async () => {
        const second = await Httpd.make({ tls: true });
        try {
            await second.configure(defaultSite(world));
            await second.start();
            const shared = world.person(alice);
            await go(shared);
            handOver(world, shared, bob);
            const { page } = await go(shared, { pause: 'consent' });
            const body = new URLSearchParams([...page.form.fields.map(({ name, value }) => [name, value]), [page.button.name, page.button.value]]);
            const answer = await request(`${second.base}/consent`, { method: 'POST', body: body.toString(), headers: {
                'Content-Type': 'application/x-www-form-urlencoded', Cookie: shared.jar.header(base), Origin: base, 'Sec-Fetch-Site': 'same-origin' } });
            assert.equal(answer.status, 303, answer.text);
            assert.match((await owner(new URL(answer.headers.location).searchParams.get('code'))).subject, new RegExp(bob.sub));
            gone(await shared.submit(page, page.form, {}, page.button));
            // and what was remembered at one is known at the other
            shared.jar.take(base, answer);
            assert.equal((await request(client.authorizeUrl().replace(base, second.base), { headers: { ...OWN, Cookie: shared.jar.header(base) } })).status, 302);
        } finally {
            await second.close();
        }
    });

    await it('an older key still opens it; what is written is sealed by the newest', async () => {
        await writeFile(world.keyFile, keyLine('k2') + await readFile(world.keyFile, 'utf8'));
        await world.httpd.graceful();
        assert.equal(asked(await go(ann)), '');
        assert.match(ann.jar.get(base, COOKIE), /^mcpcc\.k1\./);
        await go(ann, {}, {}, await make({ name: 'newest key' }));
        assert.match(ann.jar.get(base, COOKIE), /^mcpcc\.k2\./);
        assert.equal(asked(await go(ann)), '');
    });

    await it('a store that is away when the answer comes: the client is told, and no code is lost in it (CP-34)', async () => {
        const shared = world.person(alice);
        await go(shared);
        handOver(world, shared, bob);
        const denied = await go(shared, { pause: 'consent' });
        const allowed = await go(shared, { pause: 'consent' });
        world.httpd.announce('MCP0242', /MCP01\d\d/, /socache_memcache:/);
        await world.store.stop();
        const answer = async ({ page }, button) => new URL((await shared.submit(page, page.form, {}, button)).headers.location).searchParams.get('error');
        assert.equal(await answer(allowed, allowed.page.button), 'temporarily_unavailable');
        assert.equal(await answer(denied, denied.page.form.buttons.find(({ value }) => value === 'deny')), 'access_denied');
    });
});

suite('consent to applications on the device', { backend: false, directives: 'MCPOAuthRedirectSchemes cursor' }, async (it, world) => {
    await it('is asked for each time, whatever was allowed before (RFC 8252 section 8.6)', async () => {
        for (const redirectUri of ['http://127.0.0.1:7777/cb', 'http://localhost:7777/cb', 'http://[::1]:7777/cb', 'https://localhost/cb', 'cursor://x/cb']) {
            const client = new OAuthClient(world, { redirectUri });
            await client.register();
            const person = world.person();
            for (let time = 0; time < 2; time++) assert.equal(asked(await walk(person, client.authorizeUrl())), '/authorize', redirectUri);
            assert.ok(!person.jar.names(world.base).includes('mcp-consent'));
        }
    });
});

suite('MCPConsentRemember 4s native', { backend: false, directives: 'MCPConsentRemember 4s native\nMCPOAuthRedirectSchemes cursor' }, async (it, world) => {
    await it('remembers those, too, on another port as well, and forgets after its time', async () => {
        const person = world.person();
        const [loopback, scheme] = ['http://127.0.0.1:7777/cb', 'cursor://x/cb'].map((redirectUri) => new OAuthClient(world, { redirectUri }));
        await loopback.register();
        await scheme.register();
        assert.equal(asked(await walk(person, loopback.authorizeUrl())), '/authorize');
        assert.equal(asked(await walk(person, loopback.authorizeUrl({ redirect_uri: 'http://127.0.0.1:8888/cb' }))), '');
        const from = Date.now();
        assert.equal(asked(await walk(person, scheme.authorizeUrl())), '/authorize');
        assert.equal(asked(await walk(person, scheme.authorizeUrl())), '');
        const kept = person.jar.get(world.base, 'mcp-consent');
        await sleep(Math.max(0, 5100 - (Date.now() - from)));
        person.jar.set(world.base, 'mcp-consent', kept); // a browser that does not heed Max-Age
        assert.equal(asked(await walk(person, scheme.authorizeUrl())), '/authorize');
    });
});

suite('MCPConsentRemember Off', { backend: false, directives: 'MCPConsentRemember Off' }, async (it, world) => {
    await it('remembers nothing; and configtest says what else it takes', async () => {
        const client = new OAuthClient(world, { redirectUri: 'https://client.example/cb' });
        await client.register();
        const person = world.person();
        for (let time = 0; time < 2; time++) assert.equal(asked(await walk(person, client.authorizeUrl())), '/authorize');
        assert.ok(!person.jar.names(world.base).includes('mcp-consent'));
        for (const wrong of ['0', '400d', '1s', '9000h', 'Off native', '90d all', '']) {
            await world.httpd.configure(defaultSite(world).replace('MCPConsentRemember Off', `MCPConsentRemember ${wrong}`));
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, wrong);
            assert.match(output, /MCPConsentRemember takes/, wrong);
        }
    });
});
