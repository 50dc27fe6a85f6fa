// SPDX-License-Identifier: Apache-2.0
// Logos of clients: shown from the gateway's own copy alone, of clients that somebody vouches for, and never at the
// price of the page.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import test from 'node:test';
import { openBrowser } from './lib/browser.mjs';
import { known, startHost } from './lib/client-host.mjs';
import { altered, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { unescapeHtml } from './lib/person.mjs';
import { plainWebp, png } from './lib/picture.mjs';
import { until } from './lib/proc.mjs';
import { openWorld, providerSection } from './lib/world.mjs';

const SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9"><script>alert(1)</script><rect width="9" height="9"/></svg>';
const axe = await readFile(new URL(import.meta.resolve('axe-core/axe.min.js')), 'utf8');

/** URLs of the pictures of a page. */
const pictures = (text) => [...text.matchAll(/<img [^>]*src="([^"]*)"/g)].map(([, url]) => unescapeHtml(url));

/** A picture, as bytes. */
async function get(url) {
    const response = await fetch(url);
    return { status: response.status, headers: Object.fromEntries(response.headers), body: Buffer.from(await response.arrayBuffer()) };
}

/** What real encoders make: JPEG and WebP by Chromium. */
function encode(page, type, quality) {
    return page.evaluate(([kind, how]) => {
        const canvas = document.createElement('canvas');
        canvas.width = 96;
        canvas.height = 48;
        const paint = canvas.getContext('2d');
        paint.fillStyle = '#1c7a3d';
        paint.fillRect(0, 0, 96, 48);
        return canvas.toDataURL(kind, how).split(',')[1];
    }, [type, quality]).then((text) => Buffer.from(text, 'base64'));
}

test('logos of clients', { timeout: 300_000 }, async (t) => {
    let host;
    const world = await openWorld(t, {
        backend: false, store: 'memcache',
        before: async (one) => {
            host = await startHost(one);
            await one.httpd.file('conf/reports.png', png(48));
            one.options.directives = `MCPOAuthClientMetadataCAFile ${host.cert}
MCPOAuthClientMetadataLogos On
<MCPOAuthClient reports>
    MCPOAuthClientName "Reports"
    MCPOAuthClientLogo conf/reports.png
    MCPOAuthClientRedirectURI https://reports.example.com/callback
</MCPOAuthClient>`;
        },
    });
    t.after(() => host.close());
    const browser = await openBrowser({ javaScriptEnabled: true });
    t.after(browser.close);
    const { page } = browser;
    const [jpeg, lossy, lossless] = [await encode(page, 'image/jpeg'), await encode(page, 'image/webp', 0.5), await encode(page, 'image/webp', 1)];
    const logo = `${world.base}/client-logo/`;
    const reports = known(world, 'reports', { redirectUri: 'https://reports.example.com/callback' });
    const asked = (path) => host.asked.filter((url) => url === path).length;
    let count = 0;
    /** A client with this logo: {client, path of the logo}. `answer` is what its host says. */
    function documented(answer, logoUri, changes = {}) {
        const path = `/logo-${++count}`;
        host.answers[path] = answer;
        return { path, client: known(world, host.publish(`/client-${count}`, { logo_uri: logoUri ?? host.url + path, ...changes })) };
    }
    /** Its consent page, and the logo that this shows: {page, url}. */
    async function open(client) {
        const response = await request(client.authorizeUrl());
        assert.equal(response.status, 200, response.text);
        const urls = pictures(response.text);
        assert.ok(urls.length <= 1 && urls.every((url) => url.startsWith(logo)), urls.join(' '));
        return { page: response, url: urls[0] };
    }

    await t.test('of a configured client: the administrator\'s file, from our own place, as a picture and nothing else (CP-14)', async () => {
        const { page: consent, url } = await open(reports);
        assert.ok(consent.headers['content-security-policy'].includes(`; img-src ${logo}; base-uri`), consent.headers['content-security-policy']);
        const { status, headers, body } = await get(url);
        assert.equal(status, 200);
        assert.deepEqual(body, png(48));
        assert.equal(headers['content-type'], 'image/png');
        assert.equal(headers['x-content-type-options'], 'nosniff');
        assert.equal(headers['content-security-policy'], 'default-src \'none\'; sandbox');
        assert.equal(headers['cross-origin-resource-policy'], 'same-origin');
        assert.equal(headers['cache-control'], 'private, max-age=300');
        assert.equal(headers['set-cookie'], undefined);
    });

    await t.test('of a metadata document: fetched once by each child when the picture is asked for, and called what it is (CP-14, AS-26)', async () => {
        for (const [type, bytes] of [['image/png', png(1024)], ['image/jpeg', jpeg], ['image/webp', lossy], ['image/webp', lossless], ['image/webp', plainWebp(lossy)], ['image/webp', plainWebp(lossless)]]) {
            const { client, path } = documented({ body: bytes, type: 'text/html', headers: { 'Set-Cookie': 'evil=1', 'Content-Security-Policy': 'x' } });
            const { url } = await open(client);
            assert.equal(asked(path), 0, 'the page waits for nothing');
            for (let i = 0; i < 12; i++) {
                const { status, headers, body } = await get(url);
                assert.equal(status, 200, type);
                assert.equal(headers['content-type'], type);
                assert.equal(headers['x-content-type-options'], 'nosniff');
                assert.equal(headers['content-security-policy'], 'default-src \'none\'; sandbox');
                assert.equal(headers['set-cookie'], undefined);
                assert.deepEqual(body, bytes);
            }
            assert.ok(asked(path) >= 1 && asked(path) <= 8, `${asked(path)} times for 12 pictures`);
        }
    });

    await t.test('what is no still picture of a bearable size is not shown, and not asked for again and again; the page is there all the same (CP-14)', async () => {
        const moving = Buffer.from('RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x02\0\0\0\x3f\0\0\x3f\0\0', 'latin1');
        const bad = {
            svg: { body: SVG, type: 'image/svg+xml' },
            'svg that says png': { body: SVG, type: 'image/png' },
            html: { body: '<!doctype html><script>alert(1)</script>', type: 'image/png' },
            gif: { body: Buffer.from('GIF89a\x01\0\x01\0\0\0\0;', 'latin1'), type: 'image/gif' },
            empty: { body: Buffer.alloc(0), type: 'image/png' },
            'png that is cut': { body: png(8).subarray(0, 30), type: 'image/png' },
            'too many pixels': { body: png(1025, 1), type: 'image/png' },
            'too many pixels, it says': { body: png(1, 1, { says: [60000, 60000] }), type: 'image/png' },
            'no pixels': { body: png(1, 1, { says: [0, 1] }), type: 'image/png' },
            'a moving png': { body: png(8, 8, { moves: true }), type: 'image/png' },
            'a moving webp': { body: Buffer.concat([moving, Buffer.alloc(20)]), type: 'image/webp' },
            'too many bytes': { body: png(8, 8, { padding: 132_000 }), type: 'image/png' },
            moved: { status: 302, headers: { Location: `${host.url}/logo-1` }, body: '' },
            'not found': { status: 404, body: png(8), type: 'image/png' },
            'an error': { status: 500, body: png(8), type: 'image/png' },
        };
        for (const [name, answer] of Object.entries(bad)) {
            const { client, path } = documented(answer);
            const { url } = await open(client);
            for (let i = 0; i < 12; i++) {
                const { status, headers } = await get(url);
                assert.equal(status, 404, name);
                assert.match(headers['content-type'], /^text\/plain/, name);
                assert.equal(headers['x-content-type-options'], 'nosniff', name);
            }
            assert.ok(asked(path) >= 1 && asked(path) <= 8, `${name}: ${asked(path)} times for 12 pictures`);
            assert.ok(world.httpd.log().includes('MCP0294'), name);
        }
        const gone = documented(undefined, 'https://localhost:1/logo');
        assert.equal((await get((await open(gone.client)).url)).status, 404, 'nobody there');
        for (const uri of [host.url.replace('https:', 'http:') + '/l', `data:image/png;base64,${png(1).toString('base64')}`, 'javascript:alert(1)', 'file:///etc/passwd',
            host.url.replace('//', '//user@') + '/l', `${host.url}/l#x`, `${host.url}/${'l'.repeat(300)}`, '', 7, { a: 1 }]) {
            const { client } = documented({ body: png(8) }, uri);
            assert.equal((await open(client)).url, undefined, String(uri));
        }
    });

    await t.test('of a client that registered itself: never, whatever it says (CP-14, AS-26)', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        await client.register({ logo_uri: `${host.url}/registered` });
        const { page: consent, url } = await open(client);
        assert.equal(url, undefined);
        assert.doesNotMatch(consent.text, /registered"|\/client-logo\//);
        assert.equal(asked('/registered'), 0);
    });

    await t.test('the place of logos shows what a page named, to that page, and is no proxy for anybody else', async () => {
        const { client, path } = documented({ body: png(9) });
        const { page: consent, url } = await open(client);
        const form = consent.text.match(/name="form" value="([^"]+)"/)[1];
        for (const other of [`${logo}x`, `${logo}${form}`, `${logo}${client.clientId}`, `${logo}${encodeURIComponent(`${host.url}${path}`)}`,
            `${url}x`, altered(url), `${logo}../../etc/passwd`.replace('../..', '%2e%2e'), url.replace('mcplg', 'mcpfa')]) {
            assert.equal((await get(other)).status, 404, other);
        }
        for (const headers of [{ 'Sec-Fetch-Dest': 'document' }, { 'Sec-Fetch-Site': 'cross-site', 'Sec-Fetch-Dest': 'image' }, { 'Sec-Fetch-Site': 'same-site' }, { 'Sec-Fetch-Site': 'none' }]) {
            assert.equal((await request(url, { headers })).status, 404, JSON.stringify(headers));
        }
        assert.equal(asked(path), 0, 'nothing of it led to a request');
        assert.equal((await request(url, { method: 'POST', body: 'x' })).status, 405);
        assert.equal((await request(url, { headers: { 'Sec-Fetch-Site': 'same-origin', 'Sec-Fetch-Dest': 'image' } })).status, 200);
        assert.equal((await request(url, { method: 'HEAD' })).headers['content-type'], 'image/png');
    });

    await t.test('slow hosts of others keep a logo waiting, and do not have it missing afterwards (CP-14)', async () => {
        const slow = [];
        for (let i = 0; i < 24; i++) slow.push((await open(documented({ body: png(8), ms: 2500 }).client)).url);
        const { client, path } = documented({ body: png(10) });
        const { url } = await open(client);
        const before = host.asked.length;
        const waiting = slow.map(get);
        await until(() => host.asked.length >= before + 4, 'calls of slow hosts');
        const meanwhile = await Promise.all(Array.from({ length: 16 }, () => get(url)));
        assert.ok(meanwhile.some(({ status }) => status === 404), `nobody had to wait: ${asked(path)}`);
        await Promise.all(waiting);
        for (let i = 0; i < 16; i++) assert.equal((await get(url)).status, 200);
    });

    await t.test('in Chromium they are drawn, and one that does not come leaves everything where it is', async () => {
        const places = [];
        for (const answer of [{ body: jpeg }, { body: plainWebp(lossy) }, { body: plainWebp(lossless) }, { status: 500, body: '' }, { body: SVG, type: 'image/svg+xml' }]) {
            const { client } = documented(answer);
            const loaded = page.waitForResponse((one) => one.url().startsWith(logo));
            await page.goto(client.authorizeUrl());
            await loaded;
            const drawn = await page.locator('.logo img').evaluate((image) => image.decode().then(() => image.naturalWidth, () => 0));
            assert.equal(drawn, Buffer.isBuffer(answer.body) ? 96 : 0);
            const { y } = await page.locator('button[value=allow]').boundingBox();
            places.push(y);
            assert.match(await page.locator('.who + .soft').innerText(), /name and logo/);
            await page.evaluate(axe);
            assert.deepEqual(await page.evaluate(() => globalThis.axe.run(document).then(({ violations }) => violations.map(({ id }) => id))), []);
        }
        assert.equal(new Set(places).size, 1, `the buttons move: ${places}`);
        assert.deepEqual(browser.complaints.filter((text) => /Content Security Policy|Refused/i.test(text)), []);
    });

    await t.test('and stand on the page of connections, after a restart, too; switched off, they are gone from everywhere (CP-14)', async () => {
        const person = world.person();
        const { client } = documented({ body: lossy }, undefined, { client_name: 'With a logo' });
        const { code } = await client.authorize(person);
        assert.equal((await client.redeem(code)).status, 200);
        const plain = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Registered' });
        await plain.signIn(person);
        const own = await reports.authorize(person);
        assert.equal((await reports.redeem(own.code)).status, 200);
        const connections = async () => {
            let response = await person.go(`${world.base}/connections`);
            while ([302, 303].includes(response.status)) response = await person.go(new URL(response.headers.location, response.url).href);
            return Object.fromEntries([...response.text.matchAll(/<section class="connection">([\s\S]*?)<\/section>/g)].map(([, section]) => [section.match(/<h2><bdi>([^<]*)/)[1], pictures(section)]));
        };
        const expect = async () => {
            const found = await connections();
            assert.deepEqual(Object.keys(found).sort(), ['Registered', 'Reports', 'With a logo']);
            assert.deepEqual(found.Registered, []);
            assert.deepEqual((await get(found['With a logo'][0])).body, lossy);
            assert.deepEqual((await get(found.Reports[0])).body, png(48));
            return found;
        };
        await expect();
        await world.httpd.graceful();
        const found = await expect();
        await world.httpd.configure(world.httpd.site.replace('MCPOAuthClientMetadataLogos On', 'MCPOAuthClientMetadataLogos Off'));
        await world.httpd.graceful();
        assert.deepEqual((await connections())['With a logo'], []);
        assert.equal((await get(found['With a logo'][0])).status, 404, 'nor by an older address');
        assert.equal((await open(client)).url, undefined);
    });

    await t.test('configtest refuses a file that is no such picture, and says why', async () => {
        const whole = world.httpd.site;
        await world.httpd.file('conf/logo.svg', SVG);
        await world.httpd.file('conf/huge.png', png(2000, 1));
        for (const [line, expected] of [
            ['MCPOAuthClientLogo conf/logo.svg', /MCPOAuthClientLogo: .*logo\.svg is neither PNG nor JPEG nor WebP/],
            ['MCPOAuthClientLogo conf/huge.png', /huge\.png is larger than 1024 by 1024 pixels/],
            ['MCPOAuthClientLogo conf/nowhere.png', /nowhere\.png cannot be read/],
        ]) {
            await world.httpd.configure(whole.replace('MCPOAuthClientLogo conf/reports.png', line));
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, line);
            assert.match(output, expected);
        }
        for (const [line, expected] of [
            ['MCPOAuthClientLogo conf/reports.png', /MCPOAuthClientLogo belongs into a <MCPOAuthClient> section/],
            ['MCPOAuthClientMetadata Off\nMCPOAuthClientMetadataLogos On', /MCPOAuthClientMetadataLogos has no effect while MCPOAuthClientMetadata is Off/],
        ]) {
            await world.httpd.configure(`${whole}\n${line}`);
            assert.match((await world.httpd.configtest()).output, expected);
        }
    });
});

test('logos of strangers', { timeout: 120_000 }, async (t) => {
    let host;
    const names = ['localhost', '127.0.0.1', '127.1', '2130706433', '0x7f000001', '[::1]', '[::ffff:127.0.0.1]', '[64:ff9b::7f00:1]', '0.0.0.0', '169.254.169.254'];
    const world = await openWorld(t, {
        backend: false, provider: false,
        before: async (one) => {
            host = await startHost(one);
            host.answers['/logo'] = { body: png(8) };
            for (const [i, name] of names.entries()) {
                await one.httpd.file(`conf/pinned-${i}.json`, JSON.stringify({ client_id: `https://pinned.example/${i}`, client_name: 'Pinned', logo_uri: `https://${name}:${host.port}/logo`, redirect_uris: ['http://127.0.0.1/callback'] }));
            }
        },
        site: (one) => `
MCPKeyFile ${one.keyFile}
MCPStore shmcb
MCPIssuer https://gateway.example/auth;x
MCPResource https://gateway.example/mcp
MCPOAuth On
MCPOAuthClientMetadataLogos On
MCPOAuthClientMetadataCAFile ${host.cert}
${names.map((_, i) => `MCPOAuthClientMetadataFile https://pinned.example/${i} ${join(one.httpd.root, `conf/pinned-${i}.json`)}`).join('\n')}
${providerSection(one)}`,
    });
    t.after(() => host.close());

    await t.test('never lead to an address that is not public (AS-25, T7)', async () => {
        const followed = [];
        for (const [i, name] of names.entries()) {
            const url = new URL(`${world.base}/auth;x/authorize`);
            url.search = new URLSearchParams({ response_type: 'code', client_id: `https://pinned.example/${i}`, redirect_uri: 'http://127.0.0.1/callback', code_challenge: 'x'.repeat(43), code_challenge_method: 'S256' });
            const consent = await request(url.href);
            assert.equal(consent.status, 200, name);
            assert.match(consent.headers['content-security-policy'], /img-src https:\/\/gateway\.example\/auth%3Bx\/client-logo\/; /);
            const [shown] = pictures(consent.text);
            if (!shown) continue; // no URL at all by our rules
            followed.push(name);
            assert.ok(shown.startsWith('https://gateway.example/auth;x/client-logo/'), `${name}: ${shown}`);
            assert.equal((await get(shown.replace('https://gateway.example', world.base))).status, 404, name);
        }
        assert.deepEqual(host.asked, [], 'the host heard nothing');
        for (const name of ['localhost', '127.0.0.1', '[::1]', '169.254.169.254']) assert.ok(followed.includes(name), `${name} of ${followed}`);
        assert.equal(world.httpd.log().match(/MCP0294: a client's logo is not shown: https:\S+: leads to an address that is not public/g).length, followed.length);
    });
});
