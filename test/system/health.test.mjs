// SPDX-License-Identifier: Apache-2.0
// What load balancers and administrators ask of a running gateway: is it alive, may traffic come, what is wrong; and the
// gateway's part of mod_status.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { TOP } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { run, until } from './lib/proc.mjs';
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
    directives: 'MCPAuditLog logs/audit.log calls\nMCPStoreTimeout 200ms',
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
        const message = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'dump' } };
        assert.equal((await request(`${world.base}/echo`, { json: message, headers: { Authorization: `Bearer ${tokens.access_token}` } })).status, 200);
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

    await it('its metrics are as Prometheus wants them, and dashboard and alerts use no others', async () => {
        const { text } = await ask('/metrics');
        await run('promtool', ['check', 'metrics'], { input: text });
        const samples = new Map(); // name => the labels that it has
        for (const [, name, labels] of text.matchAll(/^(mcp_[a-z_]+)(\{.*\})? [\d.e+-]+$/gm)) {
            samples.set(name, new Set([...(samples.get(name) ?? []), ...[...(labels ?? '').matchAll(/(\w+)="/g)].map(([, label]) => label)]));
        }
        const families = [...text.matchAll(/^# TYPE (\w+) /gm)].map(([, name]) => name);
        for (const name of ['mcp_trace_spans_total']) { // what needs more than this gateway has: the family alone
            assert.ok(families.includes(name));
            samples.set(name, samples.get(name) ?? new Set(['outcome']));
        }
        const added = ['instance', 'job']; // by the scraper
        const known = new Set([...added, ...[...samples.values()].flatMap((labels) => [...labels])]);
        const events = await readFile(join(TOP, 'common/mcp_event.c'), 'utf8');

        const dashboard = JSON.parse(await readFile(join(TOP, 'monitoring/grafana-dashboard.json'), 'utf8'));
        const shown = [...dashboard.panels.flatMap((panel) => (panel.targets ?? []).map((target) => target.expr)), ...dashboard.annotations.list.map((one) => one.expr)];
        assert.ok(shown.length > 25);
        const alerts = await readFile(join(TOP, 'monitoring/alerts.yml'), 'utf8');
        const watched = [...alerts.matchAll(/^ {8}expr: (.*(?:\n {10}.*)*)/gm)].map(([, expr]) => expr);
        assert.equal(watched.length, alerts.match(/- alert:/g).length);
        const used = new Set();
        for (const expr of [...shown, ...watched]) {
            for (const [, name, , selector] of expr.matchAll(/\b(mcp_[a-z_]+)(\{([^}]*)\})?/g)) {
                assert.ok(samples.has(name), `${name} is not in what the gateway tells: ${expr}`);
                used.add(name.replace(/_(bucket|sum|count)$/, ''));
                for (const [, label, value] of (selector ?? '').matchAll(/(\w+)(?:=~|!~|!=|=)"([^"]*)"/g)) {
                    assert.ok(added.includes(label) || samples.get(name).has(label), `${name} has no label ${label}`);
                    if (label === 'event') for (const event of value.replaceAll('[.]', '.').split('|')) assert.ok(events.includes(`"${event}"`), `there is no event ${event}`);
                }
            }
            for (const [, labels] of expr.matchAll(/\bby \(([^)]*)\)/g)) {
                for (const label of labels.split(/, */)) assert.ok(known.has(label), `no metric has the label ${label}`);
            }
        }
        assert.deepEqual(families.filter((name) => !used.has(name)), [], 'and each is used');

        // Grafana's variables stand for something
        const rules = shown.map((expr, i) => `  - record: dashboard:${i}\n    expr: ${JSON.stringify(expr.replaceAll('$__rate_interval', '5m').replaceAll('$instance', '.*'))}`);
        assert.ok(!rules.join('').includes('$'), 'no variable is left');
        const file = await world.httpd.file('conf/dashboard-rules.yml', `groups:\n- name: dashboard\n  rules:\n${rules.join('\n')}\n`);
        await run('promtool', ['check', 'rules', file, join(TOP, 'monitoring/alerts.yml')]);
        await run('promtool', ['test', 'rules', join(TOP, 'monitoring/alerts-test.yml')]);
        const tests = await readFile(join(TOP, 'monitoring/alerts-test.yml'), 'utf8');
        for (const [, name] of alerts.matchAll(/- alert: (\w+)/g)) assert.match(tests, new RegExp(`alertname: ${name}, exp_alerts: \\[\\{`), `${name} is tested`);
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
