// SPDX-License-Identifier: Apache-2.0
// Pages as people meet them, in Chromium: readable for everybody, in their language, light and dark, narrow and by
// keyboard; and as an administrator makes them: colours, texts, templates, with mistakes refused by configtest.

import assert from 'node:assert/strict';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { ERRORS, openPages, VIEWS } from './lib/pages.mjs';

const axe = await readFile(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

/** What axe-core finds against WCAG 2.2 A and AA and its own best practices, as short lines. */
async function complaints(page) {
    await page.evaluate(axe);
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document, {
        runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    }));
    assert.ok(passes.length > 10, 'axe-core has looked');
    return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`);
}

/** Is anything wider than the window? */
const overflow = (page) => page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);

function headersOf(response) {
    const headers = response.headers();
    assert.match(headers['content-security-policy'], /^default-src 'none'; style-src 'sha256-[^']+'; (img-src http:\/\/127\.0\.0\.1:\d+\/client-logo\/; )?base-uri 'none'; frame-ancestors 'none'$/);
    assert.equal(headers['x-frame-options'], 'DENY');
    assert.equal(headers['referrer-policy'], 'no-referrer');
    assert.equal(headers['x-content-type-options'], 'nosniff');
    assert.match(headers['cache-control'], /no-store/);
    assert.match(headers['content-type'], /^text\/html; *charset=utf-8$/i);
}

test('pages in Chromium', { timeout: 300_000 }, async (t) => {
    const pages = await openPages(t);

    for (const [look, options] of Object.entries({
        'light': { viewport: { width: 1280, height: 800 } },
        'dark, 320 pixels wide': { colorScheme: 'dark', viewport: { width: 320, height: 640 } },
        'right to left, zoomed to 400 %': { locale: 'ar', viewport: { width: 320, height: 200 }, deviceScaleFactor: 4 },
    })) {
        await t.test(`each is accessible, fits and is guarded by its headers: ${look} (T35, CP-4, CP-6, CP-13)`, async () => {
            const { page, complaints: console_ } = await pages.browser(options);
            for (const view of VIEWS) {
                headersOf(await pages.open(page, view));
                assert.deepEqual(await complaints(page), [], view);
                assert.ok(await overflow(page) <= 0, `${view} scrolls sideways`);
                assert.equal(await page.locator('h1').count(), 1, view);
                assert.equal(await page.evaluate(() => document.dir), options.locale === 'ar' ? 'rtl' : 'ltr', view);
                assert.equal(await page.evaluate(() => document.documentElement.lang), options.locale ?? 'en', view);
            }
            assert.deepEqual(console_.filter((text) => /Content Security Policy|Refused/i.test(text)), []);
            if (options.locale === 'ar') {
                await pages.open(page, 'connections');
                assert.match(await page.locator('.note').innerText(), /إلى \u2068\d+ [^ \u2068]+ \d{4}\u2069/, 'a date is laid out as one');
                await pages.open(page, 'forged');
                await pages.open(page, 'consent-web');
                const [deny, allow, box, text] = await Promise.all(['button[value=deny]', 'button[value=allow]', 'input[name=s1]', 'label span'].map((of) => page.locator(of).first().boundingBox()));
                assert.ok(deny.y < allow.y || deny.x > allow.x, 'the first button is on the right, or on top');
                assert.ok(box.x > text.x, 'a check box stands to the right of its text');
            } else if (options.colorScheme === 'dark') {
                const [ground, text] = await page.evaluate(() => ['backgroundColor', 'color'].map((name) => getComputedStyle(document.body)[name].match(/\d+/g).reduce((sum, part) => sum + Number(part), 0)));
                assert.ok(ground < 150 && text > 600, `dark: ${ground} ${text}`);
            }
        });
    }

    await t.test('by keyboard alone: focus is seen at each stop, what is unticked is not granted, Deny comes before Allow', async () => {
        const { page } = await pages.browser();
        await pages.open(page, 'consent-loopback');
        const stops = [];
        for (let i = 0; i < 4; i++) {
            await page.keyboard.press('Tab');
            stops.push(await page.evaluate(() => {
                const style = getComputedStyle(document.activeElement);
                return [document.activeElement.value === '1' ? document.activeElement.name : document.activeElement.value, style.outlineStyle, parseInt(style.outlineWidth) >= 2];
            }));
            if (i === 1) await page.keyboard.press('Space');
        }
        assert.deepEqual(stops, [['s1', 'solid', true], ['s2', 'solid', true], ['deny', 'solid', true], ['allow', 'solid', true]]);
        await Promise.all([page.waitForResponse((answer) => answer.url().endsWith('/consent')), page.keyboard.press('Enter')]);
        const given = pages.world.httpd.log().split('\n').findLast((line) => line.includes('MCP0231'));
        assert.match(given, /consent given to/);
        assert.match(given, /scope="snippets snippets:share"/);
    });

    await t.test('a screen reader meets who asks, what for and where the answer goes before the buttons, and no picture', async () => {
        const { page, context } = await pages.browser();
        const cdp = await context.newCDPSession(page);
        const read = async () => {
            const { nodes } = await cdp.send('Accessibility.getFullAXTree');
            const known = new Map(nodes.map((node) => [node.nodeId, node]));
            const walk = (node) => [...(node.ignored ? [] : [`${node.role?.value}: ${node.name?.value}`]), ...(node.childIds ?? []).flatMap((id) => (known.has(id) ? walk(known.get(id)) : []))];
            return walk(nodes[0]).filter((line) => /^(heading|checkbox|button|image|link|status): /.test(line));
        };
        const scopes = ['heading: What it may do', 'checkbox: Share snippets with people outside of your team', 'checkbox: Delete snippets', 'heading: Where the answer goes'];
        await pages.open(page, 'consent-logo');
        assert.deepEqual(await read(), ['heading: Reports asks for access to Snippets', ...scopes, 'button: Deny', 'button: Allow']);
        await pages.open(page, 'consent-loopback');
        assert.deepEqual(await read(), ['heading: Desktop Helper asks for access to Snippets', ...scopes, 'button: Deny', 'button: Allow']);
        await pages.open(page, 'connections');
        const lines = await read();
        assert.deepEqual(lines.toSorted(), ['button: Sign out', 'button: Take access back from Assistant', 'button: Take access back from Reports', 'button: Take all access back',
            'heading: Applications with access', 'heading: Assistant', 'heading: Reports'], 'each button says what it is for');
        for (const name of ['Assistant', 'Reports']) assert.equal(lines.indexOf(`heading: ${name}`) + 1, lines.indexOf(`button: Take access back from ${name}`), name);
    });

    await t.test('in forced colours buttons have an edge, focus is seen at each stop, and nothing is found missing', async () => {
        const { page } = await pages.browser({ forcedColors: 'active', viewport: { width: 640, height: 900 } });
        for (const view of ['consent-loopback', 'chooser', 'connections', 'signout', 'unavailable']) {
            await pages.open(page, view);
            assert.ok(await page.evaluate(() => matchMedia('(forced-colors: active)').matches));
            assert.deepEqual(await complaints(page), [], view);
            const edges = await page.locator('button').evaluateAll((all) => all.map((button) => {
                const { borderTopStyle, borderTopWidth, borderTopColor } = getComputedStyle(button);
                return borderTopStyle === 'solid' && parseFloat(borderTopWidth) >= 2 && borderTopColor !== getComputedStyle(document.body).backgroundColor;
            }));
            assert.ok(edges.every(Boolean), view);
            const stops = await page.locator('button, a[href], input:not([type=hidden])').count();
            for (let i = 0; i < stops; i++) {
                const before = view === 'consent-loopback' && await page.screenshot();
                await page.keyboard.press('Tab');
                const style = await page.evaluate(() => {
                    const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(document.activeElement);
                    return [document.activeElement !== document.body, outlineStyle, parseFloat(outlineWidth) >= 2, outlineColor !== getComputedStyle(document.body).backgroundColor];
                });
                assert.deepEqual(style, [true, 'solid', true, true], `${view}, stop ${i}`);
                if (before) assert.ok(!before.equals(await page.screenshot()), `${view}: stop ${i} looks as before`);
            }
        }
    });

    await t.test('what is printed is dark on paper, without buttons, also of a dark page', async () => {
        const { page } = await pages.browser({ colorScheme: 'dark' });
        for (const view of ['consent-web', 'connections', 'forged']) {
            await pages.open(page, view);
            await page.emulateMedia({ media: 'print' });
            const dark = await page.locator('h1, p, dd, li').evaluateAll((all) => all.map((element) => getComputedStyle(element).color.match(/\d+/g).reduce((sum, part) => sum + Number(part), 0)));
            assert.ok(dark.length > 1 && dark.every((sum) => sum < 160), `${view}: ${dark}`);
            assert.equal(await page.locator('button:visible').count(), 0, view);
            await page.emulateMedia({ media: null });
        }
    });

    await t.test('nothing moves for those who want less motion', async () => {
        const duration = async (reducedMotion) => {
            const { page } = await pages.browser({ reducedMotion });
            await pages.open(page, 'consent-web');
            return page.locator('button').first().evaluate((button) => parseFloat(getComputedStyle(button).transitionDuration));
        };
        assert.equal(await duration('reduce'), 0);
        assert.ok(await duration('no-preference') > 0);
    });

    await t.test('the two buttons are equal, and the redirect host stands out (CP-13)', async () => {
        const { page } = await pages.browser();
        await pages.open(page, 'consent-web');
        const [deny, allow] = await page.locator('.choice button').evaluateAll((all) => all.map((button) => {
            const { width, height } = button.getBoundingClientRect();
            const { color, backgroundColor, borderColor, fontWeight } = getComputedStyle(button);
            return [Math.round(width), Math.round(height), color, backgroundColor, borderColor, fontWeight];
        }));
        assert.deepEqual(deny, allow);
        const size = (of) => page.locator(of).first().evaluate((element) => parseFloat(getComputedStyle(element).fontSize));
        assert.equal(await page.locator('.host').innerText(), 'assistant.example.org');
        assert.ok(await size('.host') > await size('p'));
        assert.equal(await page.locator('.note').count(), 1, 'unverified');
        await pages.open(page, 'consent-loopback');
        assert.equal(await page.locator('.note').count(), 2, 'and a warning for loopback');
        assert.match(await page.locator('.host').innerText(), /127\.0\.0\.1/);
    });

    await t.test('what a client calls itself stays text, wherever it stands (T9)', async () => {
        const { page } = await pages.browser();
        let dialogs = 0;
        page.on('dialog', (dialog) => { dialogs++; dialog.dismiss(); });
        for (const name of ['"><img src=x onerror=alert(1)>', "'><svg onload=alert(1)>", '</title><script>alert(1)</script>', '{{form}}{{t.allow}}{resource}', '</style><h1>x</h1>']) {
            const client = new OAuthClient(pages.world, { redirectUri: 'https://x.example/cb?a=%22%3E%3Cimg%20src=x%3E&b=\'', name });
            assert.equal((await client.register()).status, 201, name);
            await page.goto(client.authorizeUrl());
            assert.ok((await page.locator('h1').innerText()).startsWith(name), name);
            assert.ok((await page.title()).startsWith(name), name);
            assert.deepEqual(await page.evaluate(() => [document.images.length, document.scripts.length, document.querySelectorAll('h1').length, document.querySelectorAll('svg').length, document.forms.length]), [0, 0, 1, 0, 1], name);
        }
        assert.equal(dialogs, 0);
    });

    await t.test('an error page has its status, and a reference that the log has, too (CP-34)', async () => {
        const { page } = await pages.browser({ locale: 'fr' });
        const french = JSON.parse(await readFile(new URL('../../mod_mcp_oauth/messages/fr.json', import.meta.url), 'utf8'));
        for (const [view, status] of Object.entries(ERRORS)) {
            const response = await pages.open(page, view);
            assert.equal(response.status(), status, view);
            if (status === 429 || status === 503) assert.ok(Number(response.headers()['retry-after']) > 0, view);
            assert.equal(await page.locator('h1').innerText(), french[`error_${view.replaceAll('-', '_')}_title`]);
            const reference = await page.locator('code').innerText();
            assert.match(reference, /^[0-9a-f]{8}$/);
            assert.match(pages.logOf(view), new RegExp(`MCP0201: reference ${reference}: [A-Z][a-z]+ `), 'and the log is English');
        }
    });

    await t.test('the language: ui_locales, then Accept-Language, then the configured one; and it stays', async () => {
        const titles = { en: /asks for access/, de: /möchte auf/, fr: /demande l’accès/, es: /solicita acceso/, pt: /solicita acesso/, zh: /请求访问/, ja: /アクセスを求めています/, ar: /يطلب/ };
        const client = pages.clients['consent-web'];
        const ask = (accept, changes = {}) => request(client.authorizeUrl(changes), { headers: accept ? { 'Accept-Language': accept } : {} });
        for (const [language, title] of Object.entries(titles)) {
            const page = await ask(`xx, ${language}-XX;q=0.7, en;q=0.2`);
            assert.match(page.text, title, language);
            assert.match(page.text, new RegExp(`<html lang="${language}" dir="${language === 'ar' ? 'rtl' : 'ltr'}">`));
            assert.equal(page.headers['content-language'], language);
        }
        assert.match((await ask(undefined)).text, titles.en);
        assert.match((await ask('fr', { ui_locales: 'xx de-CH en' })).text, titles.de);
        assert.match((await ask('fr', { ui_locales: 'xx' })).text, titles.fr);
        assert.equal((await ask(`${'de,'.repeat(1500)}`, { ui_locales: '"><b> '.repeat(40) })).status, 200);

        // the client's wish travels with the form and with the transaction
        const { page } = await pages.browser({ locale: 'en' });
        await pages.open(page, 'consent-web', { ui_locales: 'es' });
        await page.locator('button[value=allow]').evaluate((button) => { button.value = 'neither'; });
        await Promise.all([page.waitForResponse((answer) => answer.url().endsWith('/consent')), page.locator('button[value=neither]').click()]);
        assert.equal(await page.locator('html').getAttribute('lang'), 'es');
    });
});

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 120 40"><rect width="120" height="40" rx="8" fill="#7a1f8f"/></svg>';

test('pages as an administrator makes them', { timeout: 120_000 }, async (t) => {
    const files = async (world) => {
        const at = (name) => join(world.httpd.root, name);
        await mkdir(at('pages'));
        await mkdir(at('messages'));
        await writeFile(at('logo.svg'), SVG);
        await writeFile(at('pages/notice.html'), '<p id="own" title="{{title}}">{{text}}</p>{{#reference}}<code>{{reference}}</code>{{/reference}}\n');
        await writeFile(at('messages/nl.json'), JSON.stringify({ consent_title: '{client} vraagt toegang tot {resource}', deny: 'Weigeren', allow: 'Toestaan' }));
        await writeFile(at('messages/de.json'), JSON.stringify({ allow: 'Ja, erlauben' }));
    };
    const directives = `
MCPOAuthName "Bücher & Söhne"
MCPOAuthPageLanguage nl
MCPOAuthPageLogo logo.svg
MCPOAuthPageColor accent #7a1f8f #d9a2ea
MCPOAuthPageHelp "Questions? <desk@example.com>"
MCPOAuthPageLink "Privacy" https://www.example.com/privacy
MCPOAuthPageLink "Mail" mailto:desk@example.com
MCPOAuthPageTemplates pages
MCPOAuthPageMessages messages`;
    const pages = await openPages(t, { directives, before: files });
    const { httpd } = pages.world;
    const whole = httpd.site;

    await t.test('name, logo, colours, help and links are shown, and stay accessible', async () => {
        for (const colorScheme of ['light', 'dark']) {
            const { page, complaints: console_ } = await pages.browser({ colorScheme, locale: 'sv' });
            const response = await pages.open(page, 'consent-web');
            assert.match(response.headers()['content-security-policy'], /img-src data: http:\/\/127\.0\.0\.1:\d+\/client-logo\/;/);
            assert.match(await page.locator('.org').innerText(), /Bücher & Söhne/);
            assert.ok(await page.locator('.org img').evaluate((image) => image.complete && image.naturalWidth > 0), 'the logo is drawn');
            assert.equal(await page.locator('.scopes input').first().evaluate((input) => getComputedStyle(input).accentColor), colorScheme === 'light' ? 'rgb(122, 31, 143)' : 'rgb(217, 162, 234)');
            assert.match(await page.locator('footer').innerText(), /<desk@example\.com>/);
            assert.deepEqual(await page.locator('footer a').evaluateAll((all) => all.map((a) => a.getAttribute('href'))), ['https://www.example.com/privacy', 'mailto:desk@example.com']);
            assert.match(await page.title(), /vraagt toegang tot/, 'the configured language, from a file');
            assert.equal(await page.locator('button[value=allow]').innerText(), 'Toestaan');
            assert.equal(await page.locator('h2').first().innerText(), 'What it may do', 'what the file does not have is English');
            assert.deepEqual(await complaints(page), [], colorScheme);
            assert.deepEqual(console_.filter((text) => /Content Security Policy|Refused/i.test(text)), []);
        }
    });

    await t.test('texts and templates are replaced one by one', async () => {
        const { page } = await pages.browser({ locale: 'de' });
        await pages.open(page, 'consent-web');
        assert.equal(await page.locator('button[value=allow]').innerText(), 'Ja, erlauben');
        assert.equal(await page.locator('button[value=deny]').innerText(), 'Ablehnen');
        await pages.open(page, 'unknown-client');
        assert.equal(await page.locator('#own').getAttribute('title'), 'Diese Anwendung ist hier nicht bekannt');
    });

    /** configtest with one line more, or other files. */
    async function refused(lines, expected) {
        await httpd.configure(`${whole}\n${lines}`);
        const { code, output } = await httpd.configtest();
        assert.notEqual(code, 0, `${lines} is accepted`);
        assert.match(output, expected);
    }

    await t.test('mistakes are refused by configtest, which names the file, the line and the mend', async () => {
        const template = join(httpd.root, 'pages/notice.html');
        for (const [text, expected] of [
            ['<p>\n{{txt}}</p>', /notice\.html line 2: \{\{txt\}\}: there is no such value here\. Known are:.* text reference/],
            ['<p>{{t.nothing}}</p>', /\{\{t\.nothing\}\}: there is no such message/],
            ['<p>{{t.consent_title}}</p>', /shows \{client\}, which does not exist here/],
            ['<p class={{text}}>', /without quotes/],
            ['<a href="{{text}}">x</a>', /only a whole URL of this server's/],
            ['<p>{{{text}}}</p>', /always escaped/],
            ['<script>1</script>', /script, iframe/],
            ['{{#form}}', /block \{\{#form\}\} of line 1 is not closed/],
        ]) {
            await writeFile(template, text);
            await refused('', expected);
        }
        await writeFile(template, '<p>{{text}}</p>');
        for (const [file, text, expected] of [
            ['messages/nl.json', '{"consent_title":"toegang"}', /nl\.json: "consent_title" must show \{client\}/],
            ['messages/nl.json', '{"consent_titel":"toegang"}', /"consent_titel" is no message/],
            ['messages/nl.json', '{"allow":"Ja {client}"}', /does not exist for it/],
            ['messages/nl.json', '{', /is no JSON object/],
        ]) {
            await writeFile(join(httpd.root, file), text);
            await refused('', expected);
        }
        await writeFile(join(httpd.root, 'messages/nl.json'), '{}');
        await writeFile(join(httpd.root, 'not.png'), 'GIF89a');
        await refused('MCPOAuthPageColor accent #9ec5ff #8ab4ff', /in the light theme accent \(#9ec5ff\) on card \(#ffffff\) has a contrast of 1\.\d, but people need 4\.5 to read it: take a darker accent/);
        await refused('MCPOAuthPageColor card #ffffff #777777', /in the dark theme text .* on card \(#777777\)/);
        await refused('MCPOAuthPageColor accent red blue', /such as #1f5fbf/);
        await refused('MCPOAuthPageColor colour #000000 #ffffff', /the colours are text/);
        await refused('MCPOAuthPageLogo not.png', /not\.png is neither PNG nor JPEG nor WebP nor SVG/);
        await refused('MCPOAuthPageLogo nowhere.png', /nowhere\.png cannot be read/);
        await refused('MCPOAuthPageLink x javascript:alert(1)', /must be an https: or mailto: URL/);
        await refused('MCPOAuthPageLanguage tlh', /no messages in "tlh"/);
        await writeFile(join(httpd.root, 'pages/consnt.html'), '');
        await refused('', /nothing reads .*consnt\.html/);
    });
});
