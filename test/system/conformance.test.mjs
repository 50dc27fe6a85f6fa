// SPDX-License-Identifier: Apache-2.0
// The official conformance suite. `server` mode through the gateway must give, scenario by scenario, what it gives at the
// backend itself, for both requirement sets; only the protection against DNS rebinding must pass at the gateway whatever
// the backend does. `authorization` mode must pass.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'node:test';
import { startEverything } from './lib/everything.mjs';
import { TOP } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Process, freePort } from './lib/proc.mjs';
import { startRelay } from './lib/relay.mjs';
import { FUNCTION_KEY, openWorld, providerSection } from './lib/world.mjs';

const SUITE = join(TOP, 'node_modules/.bin/conformance');
const SETS = ['2025-11-25', '2026-07-28'];

/** Run the suite; scenario -> sorted list of `check id: status`. */
async function conformance(...args) {
    const out = await mkdtemp(join(tmpdir(), 'mcp-conformance-'));
    const suite = new Process(process.execPath, [SUITE, ...args, '-o', out], { cwd: out });
    await suite.done({ code: null, ms: 240_000 });
    const results = {};
    for (const entry of await readdir(out)) {
        const scenario = entry.replace(/^(server|authorization)-/, '').replace(/-\d{4}-\d\d-\d\dT.*$/, '');
        const checks = JSON.parse(await readFile(join(out, entry, 'checks.json'), 'utf8'));
        results[scenario] = checks.map(({ id, status }) => `${id}: ${status}`).sort();
    }
    await rm(out, { recursive: true });
    assert.ok(Object.keys(results).length > 0, suite.output);
    return { results, output: suite.output, code: suite.status.code };
}

const passes = (checks) => checks.every((check) => !/: (FAILURE|WARNING)$/.test(check));

test('server mode', { timeout: 900_000 }, async (t) => {
    const everything = await startEverything();
    t.after(() => everything.close());
    const relays = {};
    const world = await openWorld(t, {
        site: (w) => `
MCPKeyFile ${w.keyFile}
MCPStore shmcb
MCPIssuer ${w.base}
MCPResource ${w.base}/mcp scopes="snippets"
MCPResource ${w.base}/everything scopes="snippets"
MCPAllowOrigin ${relays.snippets.origin} ${relays.everything.origin}
MCPOAuth On
${providerSection(w)}
<Location /mcp>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey x-functions-key file:${w.functionKeyFile}
    ProxyPass ${w.backend.url}
</Location>
<Location /everything>
    AuthType MCP
    Require valid-user
    ProxyPass ${everything.url}
</Location>`,
        // the relays' ports go into the configuration, so they come first
        before: async (w) => {
            const headers = relays.headers = { snippets: {}, everything: {} };
            relays.snippets = await startRelay(`${w.base}/mcp`, headers.snippets);
            relays.everything = await startRelay(`${w.base}/everything`, headers.everything);
        },
    });
    t.after(() => { relays.snippets.close(); relays.everything.close(); });
    for (const name of ['snippets', 'everything']) {
        const client = new OAuthClient(world, { resource: `${world.base}/${name === 'snippets' ? 'mcp' : name}` });
        const { access_token: token } = await client.signIn();
        relays.headers[name].Authorization = `Bearer ${token}`;
    }
    const direct = {
        snippets: await startRelay(world.backend.url, { 'x-functions-key': FUNCTION_KEY }),
        everything: await startRelay(everything.url, {}),
    };
    t.after(() => { direct.snippets.close(); direct.everything.close(); });

    for (const name of ['everything', 'snippets']) {
        for (const set of SETS) {
            await t.test(`${name}, requirements of ${set} (TR-19)`, { timeout: 400_000 }, async (u) => {
                const [plain, guarded] = await Promise.all([
                    conformance('server', '--url', direct[name].url, '--requirements', set),
                    conformance('server', '--url', relays[name].url, '--requirements', set),
                ]);
                assert.deepEqual(Object.keys(guarded.results).sort(), Object.keys(plain.results).sort());
                let passed = 0;
                for (const [scenario, checks] of Object.entries(plain.results)) {
                    if (passes(checks)) passed += 1;
                    await u.test(scenario, () => {
                        if (scenario === 'dns-rebinding-protection') assert.ok(passes(guarded.results[scenario]), guarded.results[scenario].join('\n'));
                        else assert.deepEqual(guarded.results[scenario], checks);
                    });
                }
                u.diagnostic(`${passed} of ${Object.keys(plain.results).length} scenarios pass at the backend itself`);
                // else equality would prove little
                if (name === 'everything') assert.ok(passed > 25, `only ${passed} pass directly\n${plain.output.slice(-3000)}`);
            });
        }
    }
});

const SECRET = randomBytes(24).toString('base64url');
const DOCUMENT = 'https://client.example/metadata';

/** What stands in the configuration for clients that do not register. */
async function known(world) {
    const document = await world.httpd.file('conf/document.json', JSON.stringify({
        client_id: DOCUMENT, client_name: 'Conformance, documented', redirect_uris: ['http://127.0.0.1/callback'],
    }), 0o644);
    world.options.directives = `MCPOAuthClientMetadataFile ${DOCUMENT} ${document}
<MCPOAuthClient configured>
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
</MCPOAuthClient>`;
}

// the suite sends a secret only where clients without one are not served at all
const CONFIDENTIAL = `MCPOAuthRegistration off
MCPOAuthClientMetadata Off
<MCPOAuthClient confidential>
    MCPOAuthClientRedirectURI http://127.0.0.1/callback
    MCPOAuthClientSecretHash ${createHash('sha256').update(SECRET).digest('hex')}
</MCPOAuthClient>`;

/** Authorization mode: each check must be a success, but for those of `warned`, which are a SHOULD. */
async function authorization(t, world, port, args, warned = []) {
    const out = await mkdtemp(join(tmpdir(), 'mcp-conformance-'));
    t.after(() => rm(out, { recursive: true, force: true }));
    const suite = new Process(process.execPath, [SUITE, 'authorization', '--url', world.base, ...args,
        '--resource', `${world.base}/mcp`, '--port', String(port), '-o', out], { cwd: out });
    const [url] = await suite.says(new RegExp(`${world.base}/authorize\\?\\S+`), 30_000);
    await world.person().visit(url, { deliver: true });
    await suite.done({ code: null, ms: 60_000 });
    const checks = [];
    const entries = await readdir(out);
    for (const entry of entries) {
        for (const { id, status, errorMessage } of JSON.parse(await readFile(join(out, entry, 'checks.json'), 'utf8'))) {
            if (!(status === 'WARNING' && warned.includes(id))) checks.push(`${id}: ${status} ${errorMessage ?? ''}`.trim());
        }
    }
    assert.equal(entries.length, 2, suite.output);
    assert.ok(checks.length > 1 && checks.every((check) => /: SUCCESS$/.test(check)), checks.join('\n'));
    assert.equal(suite.status.code, 0, suite.output);
}

test('authorization mode passes (AS-1, AS-2, AS-12, AS-20)', { timeout: 300_000 }, async (t) => {
    const world = await openWorld(t, { backend: false, before: known });
    const clients = {
        'a client that registered': async (redirectUri) => {
            const client = new OAuthClient(world, { redirectUri });
            await client.register();
            return client.clientId;
        },
        'a client with a metadata document': () => DOCUMENT,
        'a configured public client': () => 'configured',
    };
    for (const [name, make] of Object.entries(clients)) {
        await t.test(`for ${name}`, { timeout: 120_000 }, async (u) => {
            const port = await freePort();
            await authorization(u, world, port, ['--client-id', await make(`http://127.0.0.1:${port}/callback`)]);
        });
    }
    await t.test('for a configured confidential client', { timeout: 120_000 }, async (u) => {
        const closed = await openWorld(u, { backend: false, directives: CONFIDENTIAL });
        await authorization(u, closed, await freePort(), ['--client-id', 'confidential', '--client-secret', SECRET], ['authorization-server-metadata-cimd']);
    });
});
