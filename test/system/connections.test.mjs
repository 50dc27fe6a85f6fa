// SPDX-License-Identifier: Apache-2.0
// The connections page: two people and two clients at two nodes; what is taken back ends at once, everywhere; nobody else
// can press its buttons; what it cannot know it says. In Chromium the way that a person goes.

import assert from 'node:assert/strict';
import test from 'node:test';
import { openBrowser } from './lib/browser.mjs';
import { altered, request } from './lib/http.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { forms, unescapeHtml } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
import { openStream } from './lib/sse.mjs';
import { openStreamsWorld, secondNode } from './lib/streams-world.mjs';
import { suite } from './lib/suite.mjs';

const FORM = 'application/x-www-form-urlencoded';
const STORE_DOWN = [/scache_mc/, 'MCP0140', 'MCP0141', 'MCP0147', 'MCP0148', 'MCP0421', 'MCP0201'];

/** What post_logout_redirect_uris the gateway has at the provider. */
const idp = (world) => ({ client: { post_logout_redirect_uris: [`${world.base}/signout`] } });

/** Go to the connections page, signing in where asked. */
async function connections(world, person, path = '/connections') {
    let response = await person.go(`${world.base}${path}`);
    for (let step = 0; step < 15; step++) {
        if ([302, 303].includes(response.status)) response = await person.go(new URL(response.headers.location, response.url).href);
        else {
            const found = response.status === 200 && person.read(response);
            if (found?.kind !== 'sign-in') return response;
            response = await person.submit(response, found.form, found.values, found.button);
        }
    }
    throw new Error('goes round in circles');
}

/** The connections on a page: {client: {text, form}}, and the forms for all and to sign out. */
function listed(page) {
    const found = {};
    for (const [, section] of page.text.matchAll(/<section class="connection">([\s\S]*?)<\/section>/g)) {
        const name = unescapeHtml(section.match(/<h2>(?:<bdi>)?([^<]*)/)[1]);
        assert.ok(!(name in found), `${name} is listed once`);
        found[name] = { text: unescapeHtml(section), form: forms(section)[0] };
    }
    return found;
}
const allForm = (page) => forms(page.text).find(({ buttons }) => buttons.some(({ text }) => /^Take all/.test(text)));
const signOutForm = (page) => forms(page.text).find(({ buttons }) => buttons.some(({ text }) => text === 'Sign out'));
const press = async (person, page, form) => {
    const response = await person.submit(page, form, {}, form.buttons[0]);
    return response.status === 303 ? person.go(new URL(response.headers.location, response.url).href) : response;
};

const restart = async (node) => {
    await node.stop();
    node.logAtStop = undefined;
    await node.start();
};

test('two people, two clients, two nodes on one memcached', { timeout: 300_000 }, async (t) => {
    const world = await openStreamsWorld(t, { store: 'memcache', idp, directives: 'MCPConsentRemember 720h native\nMCPSessionCache 1s\nMCPScope snippets "Read your snippets"\n<Location /admin>\nSetHandler mcp-admin\nRequire local\n</Location>' });
    const second = await secondNode(t, world);
    const [first, other] = world.provider.accounts;
    const [ann, bob] = [world.person(first), world.person(other)];
    const at = (client, base) => Object.assign(Object.create(Object.getPrototypeOf(client)), client, { base });
    const call = (base, client) => request(`${base}/s/relay/plain`, { headers: { Authorization: `Bearer ${client.tokens.access_token}` } });
    const make = async (name, person) => {
        const client = new OAuthClient(world, { resource: world.resource, name });
        await client.signIn(person);
        return client;
    };
    const refused = async (base, client) => (await call(base, client)).status === 401;
    const spare = await make('Spare & <b>Co</b>', ann);
    const mine = await make('Notebook', ann);
    const twin = await make('Notebook two', ann);
    const theirs = await make('Notebook of Bob', bob);

    await t.test('each person sees her own clients, in words, and nobody else\'s', async () => {
        const page = await connections(world, ann);
        assert.equal(page.status, 200, page.text);
        assert.match(page.headers['cache-control'], /no-store/);
        assert.match(page.headers['content-security-policy'], /default-src 'none'/);
        assert.equal(page.headers['x-frame-options'], 'DENY');
        const found = listed(page);
        assert.deepEqual(Object.keys(found).sort(), ['Notebook', 'Notebook two', 'Spare & <b>Co</b>']);
        assert.doesNotMatch(page.text, /<b>Co/, 'a client\'s name is text (T9)');
        for (const { text } of Object.values(found)) {
            assert.match(text, /Streams/, 'the resource by its name');
            assert.match(text, /Read your snippets/, 'scopes in words');
            assert.match(text, new RegExp(String(new Date().getUTCFullYear())), 'since when, last used');
            assert.match(text, /not verified/);
        }
        assert.match(page.text, /This list goes back to/, 'what was before the store began it cannot know');
        const bobs = listed(await connections(world, bob));
        assert.deepEqual(Object.keys(bobs), ['Notebook of Bob']);
        assert.doesNotMatch(JSON.stringify(listed(await connections(world, ann))), /Bob/);
    });

    await t.test('taken back at one node: refused at both, the open stream at the other ends within two seconds', async () => {
        const stream = await openStream({
            port: second.port, path: '/s/relay/events', backend: world.sse, headers: { Authorization: `Bearer ${mine.tokens.access_token}` },
        });
        stream.call.begin();
        await stream.answer.headers_in;
        assert.equal(stream.answer.status, 200);
        const page = await connections(world, ann);
        const from = Date.now();
        const after = await press(ann, page, listed(page).Notebook.form);
        assert.match(after.text, /Notebook has no access any more/);
        const sent = (await connections(world, bob, after.url.slice(world.base.length))).text;
        assert.doesNotMatch(sent, /Notebook has no access/, 'what an application of hers is called is nothing to show to others');
        assert.deepEqual(Object.keys(listed(after)).sort(), ['Notebook two', 'Spare & <b>Co</b>']);
        await Promise.race([stream.answer.done, new Promise((_, reject) => { setTimeout(() => reject(new Error('the stream goes on')), 4000).unref(); })]);
        assert.ok(Date.now() - from < 2500, `the stream ended after ${Date.now() - from} ms`);
        stream.client.close();
        await until(() => refused(second.base, mine), 'the other node to refuse', 2500);
        assert.ok(await refused(world.base, mine));
        for (const base of [world.base, second.base]) {
            const answer = await at(mine, base).refresh(mine.tokens.refresh_token);
            assert.equal(answer.status, 400);
            assert.equal(answer.json().error, 'invalid_grant');
        }
        for (const untouched of [twin, theirs]) {
            const fresh = await untouched.refresh(untouched.tokens.refresh_token);
            assert.equal(fresh.status, 200, 'another client\'s, another person\'s');
            untouched.tokens = fresh.json();
        }
        assert.match(world.httpd.log(), /MCP0283: 1 grants of .* taken back: by the person/);
        // the same client may ask again, and gets what it asks for
        const { code } = await mine.authorize(ann);
        assert.equal((await mine.redeem(code)).status, 200);
        assert.deepEqual(Object.keys(listed(await connections(world, ann))).sort(), ['Notebook', 'Notebook two', 'Spare & <b>Co</b>']);
    });

    await t.test('mcpctl at one node, restarted in between: refused at both, the open stream at the other ends within two seconds', async () => {
        const client = await make('Editor', ann);
        const stream = await openStream({
            port: second.port, path: '/s/relay/events', backend: world.sse, headers: { Authorization: `Bearer ${client.tokens.access_token}` },
        });
        stream.call.begin();
        await stream.answer.headers_in;
        assert.equal(stream.answer.status, 200);
        await restart(world.httpd);
        assert.equal((await call(world.base, client)).status, 200, 'the keys and the store are shared');
        const [, person] = [...world.httpd.log().matchAll(/MCP0244: "([^"]+)" signed in/g)].at(-1);
        const admin = (node, ...args) => mcpctl({ MCPCTL_URL: `${node.base}/admin` }, '--json', ...args);
        const sessions = async (node) => JSON.parse((await admin(node, 'sessions', '--person', person)).out).sessions;
        const editor = (await sessions(second)).find(({ client_name: name }) => name === 'Editor');
        assert.ok(editor, 'the other node knows it');
        const from = Date.now();
        const { code, out } = await admin(world.httpd, 'revoke', '--grant', editor.grant);
        assert.equal(code, 0, out);
        assert.equal((await call(world.base, client)).status, 401, 'here at once');
        await Promise.race([stream.answer.done, new Promise((_, reject) => { setTimeout(() => reject(new Error('the stream goes on')), 4000).unref(); })]);
        assert.ok(Date.now() - from < 2500, `the stream ended after ${Date.now() - from} ms`);
        stream.client.close();
        await until(() => refused(second.base, client), 'the other node to refuse', 2500);
        await restart(second);
        for (const base of [world.base, second.base]) {
            assert.ok(await refused(base, client), 'a restart brings nothing back');
            assert.equal((await at(client, base).refresh(client.tokens.refresh_token)).status, 400);
        }
        assert.ok((await sessions(second)).every(({ grant }) => grant !== editor.grant));
        assert.equal((await theirs.refresh(theirs.tokens.refresh_token)).status, 200, 'another person\'s');
    });

    await t.test('a consent that is remembered in another browser counts no more once access was taken back', async () => {
        const phone = world.person(first);
        const client = await make('Phone', phone);
        const again = () => phone.visit(client.authorizeUrl(), { pause: 'consent' });
        assert.equal(typeof await again(), 'string', 'remembered: nobody is asked');
        const page = await connections(world, ann);
        assert.match((await press(ann, page, listed(page).Phone.form)).text, /Phone has no access any more/);
        assert.equal((await again()).kind, 'consent', 'the person is asked anew');
        await sleep(1000); // the cookie counts seconds, and what is not surely later than the mark does not count
        assert.equal(typeof await phone.visit(client.authorizeUrl()), 'string');
        assert.equal(typeof await again(), 'string', 'and remembered from then on');
    });

    await t.test('nobody else presses its buttons (CP-7)', async () => {
        const page = await connections(world, ann);
        const { form } = listed(page)['Notebook two'];
        const body = new URLSearchParams({ form: form.fields[0].value }).toString();
        const post = (person, text = body, headers = {}) => person.go(`${world.base}/connections`, { method: 'POST', body: text, headers: { 'Content-Type': FORM, 'Sec-Fetch-Site': 'same-origin', ...headers } });
        const thief = world.person(other);
        await connections(world, thief);
        const attempts = {
            'from another site': await post(ann, body, { 'Sec-Fetch-Site': 'cross-site' }),
            'from a sibling': await post(ann, body, { 'Sec-Fetch-Site': 'same-site' }),
            'of another origin': await post(ann, body, { Origin: 'https://evil.example' }),
            'without the form': await post(ann, ''),
            'with a form that was altered': await post(ann, altered(body)),
            'in another browser, by another person': await post(thief),
            'in a browser of nobody': await post(world.person(first)),
            'another page\'s form': await post(ann, new URLSearchParams({ form: signOutForm(page).fields[0].value }).toString()),
            'as text': await post(ann, body, { 'Content-Type': 'text/plain' }),
        };
        for (const [name, answer] of Object.entries(attempts)) {
            assert.ok([400, 403].includes(answer.status), `${name}: ${answer.status}`);
            assert.match(answer.headers['content-type'], /html/, name);
        }
        // this browser, but the person signed out, or another one signed in meanwhile
        const kept = ann.jar.get(world.base, 'mcp-login');
        ann.jar.delete(world.base, 'mcp-login');
        assert.equal((await post(ann)).status, 403);
        ann.jar.set(world.base, 'mcp-login', thief.jar.get(world.base, 'mcp-login'));
        assert.equal((await post(ann)).status, 403, 'another browser\'s session does not count here');
        ann.jar.set(world.base, 'mcp-login', kept);
        assert.equal((await twin.refresh(twin.tokens.refresh_token)).status, 200, 'nothing was taken back');
        assert.equal((await ann.go(`${world.base}/connections`, { method: 'PUT', body: '' })).status, 405);
        assert.equal((await ann.go(`${world.base}/connections?error=access_denied`)).status, 403, 'an error is a page, and begins nothing');
    });

    await t.test('the list survives a restart of httpd, and all of it can be taken back at once', async () => {
        await restart(world.httpd);
        const page = await connections(world, ann);
        assert.deepEqual(Object.keys(listed(page)).sort(), ['Notebook', 'Notebook two', 'Spare & <b>Co</b>']);
        const after = await press(ann, page, allForm(page));
        assert.equal(after.status, 200);
        assert.match(after.text, /No application has access any more/);
        assert.deepEqual(listed(after), {});
        assert.equal(allForm(after), undefined);
        for (const client of [spare, twin]) assert.equal((await client.refresh(client.tokens.refresh_token)).status, 400);
        assert.equal((await theirs.refresh(theirs.tokens.refresh_token)).status, 200);
        // a new sign-in goes on from there
        await make('After all', ann);
        assert.deepEqual(Object.keys(listed(await connections(world, ann))), ['After all']);
    });

    await t.test('signing out: asked first, then here, then at the provider, and back; applications keep their access', async () => {
        const client = await make('Stays', ann);
        const asked = await ann.go(`${world.base}/signout`);
        assert.equal(asked.status, 200);
        assert.ok(ann.jar.get(world.base, 'mcp-login'), 'a link alone signs nobody out');
        const form = signOutForm(asked);
        const forged = await ann.go(`${world.base}/signout`, { method: 'POST', body: new URLSearchParams({ form: form.fields[0].value }).toString(), headers: { 'Content-Type': FORM, 'Sec-Fetch-Site': 'cross-site' } });
        assert.equal(forged.status, 403);
        const response = await ann.submit(asked, form, {}, form.buttons[0]);
        assert.equal(response.status, 303);
        const target = new URL(response.headers.location);
        assert.equal(target.origin, world.provider.issuer);
        assert.equal(target.searchParams.get('post_logout_redirect_uri'), `${world.base}/signout`);
        assert.equal(ann.jar.get(world.base, 'mcp-login'), undefined);
        let page = await ann.go(target.href); // oidc-provider asks, too
        const xsrf = page.text.match(/name="xsrf" value="([^"]+)"/)[1];
        page = await ann.go(`${world.provider.issuer}/session/end/confirm`, { method: 'POST', body: new URLSearchParams({ xsrf, logout: 'yes' }).toString(), headers: { 'Content-Type': FORM } });
        assert.equal(page.status, 303);
        page = await ann.go(page.headers.location);
        assert.match(page.text, /You are signed out/);
        assert.match((await ann.go(`${world.base}/signout?state=x`)).text, /Sign out\?/, 'nobody else can say so');
        assert.equal((await client.refresh(client.tokens.refresh_token)).status, 200);
    });

    await t.test('while the store is down: an error, and never an empty list', async () => {
        await connections(world, bob);
        world.httpd.announce(...STORE_DOWN);
        second.announce(...STORE_DOWN);
        await world.store.stop();
        const page = await bob.go(`${world.base}/connections`);
        assert.equal(page.status, 503);
        assert.ok(page.headers['retry-after']);
        assert.doesNotMatch(page.text, /No application/);
        await world.store.start();
        await until(async () => (await bob.go(`${world.base}/connections`)).status === 200, 'the store to be back', 15_000);
    });
});

suite('a store that begins anew', { backend: false, idp }, async (it, world) => {
    await it('says since when it can know, and learns of the rest as it is refreshed', async () => {
        const person = world.person();
        const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Before' });
        const { refresh_token: token } = await client.signIn(person);
        assert.deepEqual(Object.keys(listed(await connections(world, person))), ['Before']);
        await world.httpd.graceful(); // shmcb goes with it
        const page = await connections(world, person);
        assert.equal(page.status, 200);
        assert.deepEqual(listed(page), {});
        assert.match(page.text, /This list goes back to \d+ \w+ \d{4}/);
        assert.match(page.text, /may be missing here and still have access/);
        assert.equal((await client.refresh(token)).status, 200);
        assert.deepEqual(Object.keys(listed(await connections(world, person))), ['Before']);
    });
});

test('in Chromium', { timeout: 120_000 }, async (t) => {
    const { openWorld } = await import('./lib/world.mjs');
    const world = await openWorld(t, { backend: false, idp });
    const [account] = world.provider.accounts;
    const { page, close } = await openBrowser();
    t.after(close);
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Paper' });
    await client.signIn(world.person());

    await page.goto(`${world.base}/connections`);
    await page.locator('form input:not([type=hidden]):not([type=password])').first().fill(account.name);
    await page.locator('input[type=password]').fill(account.password);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('heading', { name: 'Applications with access' }).waitFor();
    await page.getByRole('button', { name: 'Take access back from Paper' }).click();
    await page.getByText('Paper has no access any more.').waitFor();
    assert.equal(await page.getByRole('button', { name: /^Take access back/ }).count(), 0);
    assert.equal((await client.refresh(client.tokens.refresh_token)).status, 400);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL(`${world.provider.issuer}/**`);
});
