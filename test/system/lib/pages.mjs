// SPDX-License-Identifier: Apache-2.0
// Every page for people, from a real gateway in a real browser: for test/system/pages.test.mjs and
// test/tools/screenshots.mjs.

import { openBrowser } from './browser.mjs';
import { request } from './http.mjs';
import { OAuthClient } from './oauth.mjs';
import { png } from './picture.mjs';
import { defaultSite, openWorld, providerSection } from './world.mjs';

const SCOPES = `
MCPScope snippets "Read your snippets and save new ones"
MCPScope snippets:share "Share snippets with people outside of your team" optional
MCPScope snippets:delete "Delete snippets" optional`;

/** Pages that say that something went wrong: name -> status. */
export const ERRORS = {
    'unknown-client': 400, redirect: 400, 'wrong-browser': 403, forged: 403, method: 405, 'bad-request': 400, 'too-large': 413, 'too-many': 429,
    denied: 403, provider: 403, expired: 403, unavailable: 503,
};

/** The pages by name. */
export const VIEWS = ['consent-loopback', 'consent-web', 'consent-app', 'consent-logo', 'chooser', 'connections', 'signout', 'signed-out', ...Object.keys(ERRORS)];

/** A logo: three bars. */
const BARS = png(96, 96, { color: (x, y) => {
    const bar = [48, 28, 66][Math.floor((x - 12) / 26)];
    return x >= 12 && x < 86 && (x - 12) % 26 < 20 && y > 80 - bar && y < 80 ? [255, 255, 255] : [0, 110, 90];
} });
const STORE_DOWN = [/scache_mc/, 'MCP0140', 'MCP0141', 'MCP0147', 'MCP0148', 'MCP0201', 'MCP0238', 'MCP0242'];

/**
 * @param t        the test, or anything with after()
 * @param options  of openWorld
 * @return {world, choice, clients, browser(options) -> {page, context, complaints}, open(page, view, query) -> response,
 *          press(page, button) -> response, logOf(view) -> text}
 */
export async function openPages(t, { directives = '', before, ...options } = {}) {
    const world = await openWorld(t, {
        backend: false,
        before: async (one) => {
            await one.httpd.file('conf/reports.png', BARS);
            await before?.(one);
        },
        directives: `MCPOAuthName "Example Ltd"
MCPOAuthRedirectSchemes cursor
<MCPOAuthClient reports>
    MCPOAuthClientName "Reports"
    MCPOAuthClientLogo conf/reports.png
    MCPOAuthClientRedirectURI https://reports.example.org/callback
</MCPOAuthClient>
${SCOPES}\n${directives}`, ...options,
    });
    const clients = {};
    const scope = 'snippets snippets:share snippets:delete';
    for (const [name, redirectUri, client_name] of [
        ['consent-loopback', 'http://127.0.0.1:43110/callback', 'Desktop Helper'],
        ['consent-web', 'https://assistant.example.org/mcp/callback', 'Assistant'],
        ['consent-app', 'cursor://anysphere.cursor-mcp/oauth/callback', 'Cursor'],
    ]) {
        clients[name] = new OAuthClient(world, { redirectUri, resource: `${world.base}/mcp`, scope });
        await clients[name].register({ client_name, client_uri: 'https://assistant.example.org/' });
    }
    clients['consent-logo'] = new OAuthClient(world, { redirectUri: 'https://reports.example.org/callback', resource: `${world.base}/mcp`, scope });
    clients['consent-logo'].clientId = 'reports';
    const good = () => new URL(clients['consent-web'].authorizeUrl());
    const changed = (change) => { const url = good(); change(url.searchParams); return url.href; };
    const urls = {
        'unknown-client': () => changed((query) => query.set('client_id', 'somebody')),
        redirect: () => changed((query) => query.set('redirect_uri', 'https://elsewhere.example/')),
        'wrong-browser': () => `${world.base}/oauth-callback?state=${'x'.repeat(22)}&code=c`,
        // what the provider answered, and nothing of ours to go with it any more
        denied: () => `${world.base}/oauth-callback?state=${'x'.repeat(22)}&error=access_denied`,
        provider: () => `${world.base}/oauth-callback?state=${'x'.repeat(22)}&error=server_error`,
        method: () => `${world.base}/consent`,
        signout: () => `${world.base}/signout`,
        'bad-request': () => `${good().href}&scope=again`,
    };

    // a second gateway with two providers, for the page to choose on; its store is lost
    const choice = await openWorld(t, {
        backend: false, store: 'memcache', directives: `MCPOAuthName "Example Ltd"\n${SCOPES}`,
        site: (one) => `${defaultSite(one)}${providerSection(one).replace('demo', 'partners').replace(/\n(?=<\/MCPProvider>)/, '\nMCPProviderLabel "Partner companies"\n')}`,
    });
    clients.chooser = new OAuthClient(choice, { redirectUri: 'https://assistant.example.org/mcp/callback', name: 'Assistant' });
    await clients.chooser.register();
    choice.httpd.announce(...STORE_DOWN);
    await choice.store.stop();
    // and a third one, which takes two requests an hour
    const strict = await openWorld(t, { backend: false, provider: false, directives: `MCPOAuthName "Example Ltd"\nMCPOAuthLimit authorize 2/3600s\n${SCOPES}` });
    const hasty = new OAuthClient(strict, { redirectUri: 'https://hasty.example.org/callback', name: 'Hasty' });
    await hasty.register();

    /** Press a button of the page; the answer to its form. */
    async function press(page, button) {
        const [response] = await Promise.all([page.waitForResponse((answer) => answer.url().endsWith('/consent')), page.locator(`button[value=${button}]`).click()]);
        return response;
    }

    // clients that have access, for the page that lists them
    const person = world.person();
    await new OAuthClient(world, { resource: `${world.base}/mcp`, scope, name: 'Assistant', redirectUri: 'https://assistant.example.org/mcp/callback' }).signIn(person);
    const reports = clients['consent-logo'];
    await reports.redeem((await reports.authorize(person)).code);

    /** The page of connections, signing in at the provider when this browser has not. */
    async function openConnections(page) {
        const response = await page.goto(`${world.base}/connections`);
        const answer = await page.locator('input[type=password]').count() ? await signIn(page, world, 200) : response;
        await page.locator('.connection').first().waitFor();
        return answer;
    }

    /** Fill in the provider's form, and come to the page of connections with this status. */
    async function signIn(page, { provider }, status) {
        const [account] = provider.accounts;
        await page.locator('form input:not([type=hidden]):not([type=password])').first().fill(account.name);
        await page.locator('input[type=password]').fill(account.password);
        const [answer] = await Promise.all([
            page.waitForResponse((one) => new URL(one.url()).pathname === '/connections' && one.status() === status),
            page.getByRole('button', { name: 'Sign in' }).click(),
        ]);
        return answer;
    }

    /** Press a button that leads to a page at `path`. */
    async function follow(page, button, path) {
        const [response] = await Promise.all([page.waitForResponse((one) => new URL(one.url()).pathname === path && one.request().resourceType() === 'document'), button.click()]);
        return response;
    }

    /** Pages behind a few steps, each by what really leads there. */
    const steps = {
        connections: openConnections,
        'signed-out': async (page) => { // nobody is signed in here, so that no provider has to be told
            await page.goto(`${choice.base}/signout`);
            return follow(page, page.locator('button'), '/signout');
        },
        // access is taken back on a page that was left open after the person signed out
        expired: async (page) => {
            await openConnections(page);
            await page.context().clearCookies({ name: /mcp-login/ });
            return follow(page, page.locator('.connection button').first(), '/connections');
        },
        // a form that has grown too large
        'too-large': (page) => alter(page, 'x'.repeat(20_000)),
        forged: (page) => alter(page, 'forged'),
        'too-many': async (page) => {
            for (let i = 0; i < 3; i++) await request(hasty.authorizeUrl());
            return page.goto(hasty.authorizeUrl());
        },
        // the person signs in while the store is down
        unavailable: async (page) => {
            await page.goto(`${choice.base}/connections`);
            await page.locator('button[value=demo]').click();
            await page.locator('input[type=password]').waitFor();
            return signIn(page, choice, 503);
        },
    };
    async function alter(page, value) {
        await page.goto(clients['consent-web'].authorizeUrl());
        await page.locator('input[name=form]').evaluate((input, text) => { input.value = text; }, value);
        return press(page, 'deny');
    }

    async function open(page, view, query = {}) {
        if (steps[view]) return steps[view](page);
        const url = new URL(clients[view]?.authorizeUrl() ?? urls[view]());
        for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
        const response = await page.goto(url.href);
        return view === 'chooser' ? press(page, 'allow') : response;
    }
    /** What the log says of a page that is an error. */
    const logOf = (view) => ({ 'too-many': strict, unavailable: choice }[view] ?? world).httpd.log();

    async function browser(more = {}) {
        const opened = await openBrowser({ javaScriptEnabled: true, ...more });
        t.after(opened.close);
        return opened;
    }
    return { world, choice, clients, browser, open, press, logOf };
}
