// SPDX-License-Identifier: Apache-2.0
// What load balancers and administrators ask of a running gateway: is it alive, may traffic come, what is wrong; and the
// gateway's part of mod_status.

import assert from 'node:assert/strict';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const places = `
<Location /live>
    SetHandler mcp-live
</Location>
<Location /ready>
    SetHandler mcp-ready
</Location>
<Location /health>
    SetHandler mcp-health
</Location>
<Location /metrics>
    SetHandler mcp-metrics
</Location>
<IfModule status_module>
    ExtendedStatus On
    <Location /server-status>
        SetHandler server-status
    </Location>
</IfModule>
`;

suite('health and status', {
    backend: false,
    store: 'memcache',
    directives: 'MCPAuditLog logs/audit.log\nMCPStoreTimeout 200ms',
    site: (world) => `${defaultSite(world)}${places}`,
}, async (it, world) => {
    // memcached is taken away
    world.httpd.announce('MCP0147', 'MCP0140', 'MCP0141', /AH0102|memcache/);
    const ask = async (path, options) => {
        const answer = await request(world.base + path, options);
        return { status: answer.status, text: answer.text, headers: answer.headers, ...(answer.text.startsWith('{') ? { json: JSON.parse(answer.text) } : {}) };
    };
    const metric = async (name) => Number((await ask('/metrics')).text.match(new RegExp(`^${name.replaceAll(/[{}"]/g, '\\$&')} (\\S+)$`, 'm'))?.[1]);
    const ready = (what) => until(async () => (await ask('/ready')).json.status === what, `mcp-ready to say ${what}`);

    await it('says that it lives and that it is ready, in one word; the reasons only at mcp-health', async () => {
        const live = await ask('/live');
        assert.equal(live.status, 200);
        assert.deepEqual(live.json, { status: 'live' });
        const one = await ask('/ready');
        assert.equal(one.status, 200);
        assert.deepEqual(one.json, { status: 'ready' });
        assert.match(one.headers['cache-control'], /no-store/);
        const all = await ask('/health');
        assert.equal(all.status, 200);
        assert.equal(all.json.status, 'ready');
        assert.deepEqual(Object.keys(all.json.checks).sort(), ['audit', 'keys', 'providers', 'store']);
        assert.deepEqual(all.json.checks.keys, { status: 'up', kid: 'k1' });
        assert.equal(all.json.checks.store.status, 'up');
        assert.equal(all.json.checks.providers.demo.status, 'up', 'it was asked, since nobody had been before');
        assert.equal(all.json.checks.audit.status, 'up');
        assert.equal((await ask('/ready', { method: 'HEAD' })).status, 200);
        assert.equal((await ask('/ready', { method: 'POST', json: {} })).status, 405);
    });

    await it('puts no load on the provider, and little on the store, however often it is asked', async () => {
        const [provider, store] = [await metric('mcp_provider_seconds_count'), await metric('mcp_store_seconds_count')];
        const begin = Date.now();
        for (let i = 0; i < 10; i++) await Promise.all(Array.from({ length: 10 }, () => ask('/ready')));
        const seconds = (Date.now() - begin) / 1000;
        assert.equal(await metric('mcp_provider_seconds_count') - provider, 0, 'calls of the provider');
        const asked = await metric('mcp_store_seconds_count') - store;
        assert.ok(asked <= 2 + seconds, `${asked} calls of the store in ${seconds} s`);
    });

    await it('mod_status tells the same to people and to machines, and what was counted', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Ed<b>itor' });
        await client.register();
        const tokens = await client.signIn(world.person());
        assert.equal((await request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${tokens.access_token}` } })).status, 200);
        const { text } = await ask('/server-status?auto');
        const lines = new Map(text.split('\n').filter((line) => line.startsWith('MCP')).map((line) => line.split(': ')));
        assert.equal(lines.get('MCPKey'), 'k1');
        assert.equal(lines.get('MCPStore'), 'up');
        assert.equal(lines.get('MCPStoreFailures'), '0');
        assert.equal(lines.get('MCPProvider-demo'), 'up');
        assert.equal(lines.get('MCPAudit'), 'up');
        assert.equal(lines.get('MCPAuditLost'), '0');
        assert.equal(lines.get('MCPEvents-token.issue-ok'), '1');
        assert.ok(Number(lines.get('MCPCalls-ok')) >= 1, text);
        assert.equal(lines.get('MCPStreamsOpen'), '0', 'event streams have lines of their own');
        assert.equal(text.match(/^MCPKey: /mg).length, 1, 'once, though both modules are there');
        const page = (await ask('/server-status')).text;
        assert.match(page, /<h2>MCP gateway<\/h2>/);
        assert.match(page, /<tr><td>session store<\/td><td>up for \d+ s, 0 failures<\/td><\/tr>/);
        assert.match(page, /<tr><td>events, token\.issue: ok<\/td><td>1<\/td><\/tr>/);
    });

    await it('is not ready while the store is down or silent, but lives; and is ready again after it', async () => {
        world.store.process.signal('SIGSTOP');
        await ready('unready');
        const begin = Date.now();
        assert.equal((await ask('/live')).status, 200);
        assert.ok(Date.now() - begin < 1000, 'it does not wait for the store');
        assert.equal((await ask('/ready')).status, 503);
        world.store.process.signal('SIGCONT');
        await ready('ready');
        await world.store.stop();
        await ready('unready');
        const { status, json, text } = await ask('/health');
        assert.equal(status, 503);
        assert.equal(json.checks.store.status, 'down');
        assert.ok(json.checks.store.failures > 0 && json.checks.store.since > 1e9);
        assert.ok(!text.includes(world.keyFile) && !text.includes(String(world.store.port)), 'no inner parts');
        assert.equal(await metric('mcp_store_up'), 0);
        assert.ok(await metric('mcp_store_failures_total') > 0);
        await world.store.start();
        await ready('ready');
        assert.equal(await metric('mcp_store_up'), 1);
        assert.equal(await metric('mcp_key_info{kid="k1"}'), 1);
        assert.equal(await metric('mcp_provider_up{provider="demo"}'), 1);
    });
});

suite('health of a gateway whose provider is down', {
    backend: false,
    provider: false,
    httpd: { without: ['status'] },
    site: (world) => `${world.healthReady ?? ''}\n${defaultSite(world)}${places}`,
}, async (it, world) => {
    const ask = async (path) => { const answer = await request(world.base + path); return { status: answer.status, json: JSON.parse(answer.text) }; };

    await it('goes on: sessions live without the provider, so it is degraded and not unready', async () => {
        const answer = await ask('/ready');
        assert.equal(answer.status, 200);
        assert.deepEqual(answer.json, { status: 'degraded' });
        assert.equal((await ask('/health')).json.checks.providers.demo.status, 'down');
        assert.equal((await ask('/health')).json.checks.audit, undefined, 'there is no audit log');
    });

    await it('is unready where MCPHealthReady wants the provider', async () => {
        await world.httpd.configure(`MCPHealthReady store provider\n${defaultSite(world)}${places}`);
        await world.httpd.graceful();
        const answer = await until(async () => { const got = await ask('/ready'); return got.status === 503 && got; }, 'unready');
        assert.deepEqual(answer.json, { status: 'unready' });
        assert.equal((await ask('/live')).status, 200);
    });

    await it('configtest refuses a word that MCPHealthReady does not know, and a place inside a virtual host', async () => {
        for (const [line, why] of [['MCPHealthReady store weather', /'weather' is not one of store, audit and provider/],
            ['<VirtualHost *:1>\nMCPHealthReady store\n</VirtualHost>', /MCPHealthReady cannot occur within <VirtualHost>/]]) {
            await world.httpd.configure(`${line}\n${defaultSite(world)}`);
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0);
            assert.match(output, why);
        }
    });
});

suite('health of a guard alone', {
    backend: false,
    provider: false,
    httpd: { mcp: ['mcp_guard'] },
    site: (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>${places}`,
}, async (it, world) => {
    await it('tells of the store and of no provider; mod_status too', async () => {
        const answer = await request(`${world.base}/health`);
        assert.equal(answer.status, 200);
        assert.deepEqual(Object.keys(JSON.parse(answer.text).checks).sort(), ['keys', 'store']);
        assert.match((await request(`${world.base}/server-status?auto`)).text, /^MCPStore: up$/m);
    });
});
