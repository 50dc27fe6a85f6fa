// SPDX-License-Identifier: Apache-2.0
// Every page for people, from a real gateway in a real browser: for test/system/pages.test.mjs and
// test/tools/screenshots.mjs.

import { openBrowser } from './browser.mjs';
import { OAuthClient } from './oauth.mjs';
import { defaultSite, openWorld, providerSection } from './world.mjs';

const SCOPES = `
MCPScope snippets "Read your snippets and save new ones"
MCPScope snippets:share "Share snippets with people outside of your team" optional
MCPScope snippets:delete "Delete snippets" optional`;

/** The pages by name. */
export const VIEWS = ['consent-loopback', 'consent-web', 'consent-app', 'unknown-client', 'redirect', 'wrong-browser', 'forged', 'method', 'bad-request', 'chooser', 'connections'];

/**
 * @param t        the test, or anything with after()
 * @param options  of openWorld
 * @return {world, choice, clients, browser(options) -> {page, context, complaints}, open(page, view, query) -> response}
 */
export async function openPages(t, { directives = '', ...options } = {}) {
    const world = await openWorld(t, {
        backend: false,
        directives: `MCPOAuthName "Example Ltd"\nMCPOAuthRedirectSchemes cursor\n${SCOPES}\n${directives}`, ...options,
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
    const good = () => new URL(clients['consent-web'].authorizeUrl());
    const changed = (change) => { const url = good(); change(url.searchParams); return url.href; };
    const urls = {
        'unknown-client': () => changed((query) => query.set('client_id', 'somebody')),
        redirect: () => changed((query) => query.set('redirect_uri', 'https://elsewhere.example/')),
        'wrong-browser': () => `${world.base}/oauth-callback?state=${'x'.repeat(22)}&code=c`,
        method: () => `${world.base}/consent`,
        'bad-request': () => `${good().href}&scope=again`,
    };

    // a second gateway with two providers, for the page to choose on
    const choice = await openWorld(t, {
        backend: false, directives: `MCPOAuthName "Example Ltd"\n${SCOPES}`,
        site: (one) => `${defaultSite(one)}${providerSection(one).replace('demo', 'partners').replace(/\n(?=<\/MCPProvider>)/, '\nMCPProviderLabel "Partner companies"\n')}`,
    });
    clients.chooser = new OAuthClient(choice, { redirectUri: 'https://assistant.example.org/mcp/callback', name: 'Assistant' });
    await clients.chooser.register();

    /** Press a button of the page; the answer to its form. */
    async function press(page, button) {
        const [response] = await Promise.all([page.waitForResponse((answer) => answer.url().endsWith('/consent')), page.locator(`button[value=${button}]`).click()]);
        return response;
    }

    // a client that has access, for the page that lists them
    await new OAuthClient(world, { resource: `${world.base}/mcp`, scope, name: 'Assistant', redirectUri: 'https://assistant.example.org/mcp/callback' }).signIn(world.person());

    /** The page of connections, signing in at the provider when this browser has not. */
    async function openConnections(page) {
        const response = await page.goto(`${world.base}/connections`);
        const password = page.locator('input[type=password]');
        if (await password.count() === 0) return response;
        const [account] = world.provider.accounts;
        await page.locator('form input:not([type=hidden]):not([type=password])').first().fill(account.name);
        await password.fill(account.password);
        const [answer] = await Promise.all([
            page.waitForResponse((one) => new URL(one.url()).pathname === '/connections' && one.status() === 200),
            page.getByRole('button', { name: 'Sign in' }).click(),
        ]);
        await page.locator('.connection').first().waitFor();
        return answer;
    }

    async function open(page, view, query = {}) {
        if (view === 'connections') return openConnections(page);
        const begin = view === 'forged' ? 'consent-web' : view;
        const url = new URL(clients[begin]?.authorizeUrl() ?? urls[begin]());
        for (const [name, value] of Object.entries(query)) url.searchParams.set(name, value);
        const response = await page.goto(url.href);
        if (view === 'chooser') return press(page, 'allow');
        if (view !== 'forged') return response;
        await page.locator('input[name=form]').evaluate((input) => { input.value = 'forged'; });
        return press(page, 'deny');
    }

    async function browser(more = {}) {
        const opened = await openBrowser({ javaScriptEnabled: true, ...more });
        t.after(opened.close);
        return opened;
    }
    return { world, choice, clients, browser, open, press };
}
