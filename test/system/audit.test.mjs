// SPDX-License-Identifier: Apache-2.0
// The audit log and the metrics of a running gateway, as an administrator and an auditor use them.

import assert from 'node:assert/strict';
import { chmod, readFile, rename, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Process, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite, keyLine } from './lib/world.mjs';

const read = async (path) => (await readFile(path, 'utf8')).trimEnd().split('\n').map((line) => JSON.parse(line));
const rpc = (method, params, headers) => ({ json: { jsonrpc: '2.0', id: 7, method, params }, headers });
const bearer = (tokens, more = {}) => ({ Authorization: `Bearer ${tokens.access_token}`, ...more });

suite('audit log and metrics', {
    backend: false,
    directives: 'MCPAuditLog logs/audit.log required calls',
    site: (world) => `${defaultSite(world)}
<Location /echo/denied>
    Require mcp-tool none
</Location>
<Location /metrics>
    SetHandler mcp-metrics
</Location>
`,
}, async (it, world) => {
    world.httpd.announce('AH01631');
    const log = join(world.httpd.root, 'logs/audit.log');
    const lines = () => read(log);
    const verify = (...args) => mcpctl('verify-audit', '--key-file', world.keyFile, ...args);
    const metrics = async () => (await request(`${world.base}/metrics`)).text;
    const last = async (event) => until(async () => (await lines()).findLast((line) => line.event === event), event);
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Ed\u202eitor "x"\\' });
    let tokens;

    await it('tells of registration, consent, sign-in and tokens, each with who and what', async () => {
        await client.register();
        tokens = await client.signIn(world.person());
        const all = await lines();
        const kinds = all.map((line) => `${line.event}:${line.outcome}`);
        for (const kind of ['client.registration:ok', 'consent:ok', 'sign_in:ok', 'token.issue:ok']) assert.ok(kinds.includes(kind), `${kind} in ${kinds}`);
        const issued = all.find((line) => line.event === 'token.issue');
        assert.match(issued.person, /^[a-z]+\|/);
        assert.equal(issued.resource, `${world.base}/echo`);
        assert.match(issued.grant, /^[\w-]{22}$/);
        assert.equal(issued.address, '127.0.0.1');
        assert.match(issued.time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
        assert.match(issued.trace_id, /^[0-9a-f]{32}$/);
        assert.equal(all.find((line) => line.event === 'sign_in').person, issued.person);
        assert.equal(all.find((line) => line.event === 'consent').client, issued.client);
    });

    await it('tells of each call what it was, who made it and how it ended (G15, G16)', async () => {
        const session = 'a-session-of-mine';
        await request(`${world.base}/echo`, rpc('initialize', { protocolVersion: '2025-06-18', clientInfo: { name: 'probe', version: '1.2' } }, bearer(tokens)));
        assert.equal((await last('mcp.call')).agent, 'probe/1.2');
        await request(`${world.base}/echo/x`, rpc('tools/call', { name: 'dump', arguments: { password: 'hunter2' } },
            bearer(tokens, { 'MCP-Protocol-Version': '2025-06-18', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })));
        const call = await until(async () => (await lines()).find((line) => line.target === 'dump'), 'the call');
        assert.equal(call.method, 'tools/call');
        assert.equal(call.outcome, 'ok');
        assert.equal(call.status, 200);
        assert.equal(call.protocol, '2025-06-18');
        assert.equal(call.trace_id, '0af7651916cd43dd8448eb211c80319c');
        assert.ok(call.duration_us > 0);
        assert.match(new Map(world.echo.requests.at(-1).headers).get('traceparent'), /^00-0af7651916cd43dd8448eb211c80319c-(?!b7ad6b7169203331)[0-9a-f]{16}-01$/, 'the backend continues the trace');
        await request(`${world.base}/echo/denied`, rpc('tools/call', { name: 'rm' }, bearer(tokens)));
        const denied = await until(async () => (await lines()).find((line) => line.target === 'rm'), 'the denied call');
        assert.match(denied.outcome, /^forbidden/);
        await request(`${world.base}/echo`, { json: {} });
        assert.equal((await until(async () => (await lines()).find((line) => line.outcome === 'no_token'), 'the stranger')).person, undefined);
        const text = await readFile(log, 'utf8');
        assert.doesNotMatch(text, /hunter2/, 'arguments are not written');
        assert.ok(!text.includes(session) && !text.includes(tokens.access_token) && !text.includes(tokens.refresh_token));
    });

    await it('tells of renewal, reuse and revocation', async () => {
        const renewed = (await client.refresh(tokens.refresh_token)).json();
        assert.equal((await last('token.refresh')).outcome, 'ok');
        const again = await client.refresh(renewed.refresh_token);
        tokens = again.json();
        await request(`${world.base}/revoke`, { method: 'POST', body: { token: tokens.refresh_token, client_id: client.clientId } });
        const revoked = await last('grant.revocation');
        assert.match(revoked.detail, /gave the refresh token back/);
        assert.equal(revoked.grant, (await lines()).find((line) => line.event === 'token.issue').grant);
        const refused = await client.refresh(tokens.refresh_token);
        assert.equal(refused.status, 400);
        await until(async () => (await lines()).some((line) => line.event === 'token.refresh' && line.outcome === 'invalid_grant'), 'the refusal');
    });

    await it('is whole, across a graceful restart too, and shows every change', async () => {
        await world.httpd.graceful();
        tokens = await client.signIn(world.person());
        assert.ok(new Set((await lines()).map((line) => line.chain)).size >= 2, 'a chain for each configuration');
        const good = await verify(log);
        assert.equal(good.code, 0, good.out + good.err);
        assert.match(good.out, /lines in \d+ chains, whole; 0 more/);
        const text = await readFile(log, 'utf8');
        const copy = join(world.httpd.root, 'logs/copy.log');
        for (const [what, changed] of [
            ['a changed outcome', text.replace('"outcome":"ok"', '"outcome":"no"')],
            ['a removed line', text.split('\n').filter((_, i) => i !== 3).join('\n')],
            ['a line put in', text.replace('\n', `\n${text.split('\n')[2]}\n`)],
        ]) {
            await writeFile(copy, changed);
            const bad = await verify('--partial', copy);
            assert.equal(bad.code, 1, what);
            assert.match(bad.out, /copy\.log:\d+: /);
        }
        await writeFile(copy, keyLine('k1'));
        await chmod(copy, 0o600);
        assert.equal((await mcpctl('verify-audit', '--key-file', copy, log)).code, 1, 'with another key');
        const json = await mcpctl('--json', 'verify-audit', '--key-file', world.keyFile, log);
        assert.equal(JSON.parse(json.out).faults, 0);
    });

    await it('metrics count what happened, for Prometheus', async () => {
        const text = await metrics();
        assert.match(text, /^mcp_events_total\{event="token\.issue",outcome="ok"\} [1-9]/m);
        const before = Number(text.match(/^mcp_tool_calls_total\{tool="dump",outcome="ok"\} (\d+)/m)?.[1] ?? 0);
        for (let i = 0; i < 3; i++) await request(`${world.base}/echo/x`, rpc('tools/call', { name: 'dump' }, bearer(tokens)));
        const after = await until(async () => (await metrics()).match(new RegExp(`^mcp_tool_calls_total\\{tool="dump",outcome="ok"\\} ${before + 3}$`, 'm')) && metrics(), 'three more calls');
        assert.match(after, /^mcp_requests_total\{outcome="ok"\} [1-9]/m);
        assert.match(after, /^mcp_guard_seconds_count [1-9]/m);
        assert.match(after, /^mcp_store_seconds_bucket\{le="\+Inf"\} [1-9]/m);
        assert.match(after, /^mcp_provider_seconds_count [1-9]/m);
        assert.match(after, /^mcp_streams_open 0$/m);
        assert.match(after, /^mcp_audit_failing 0$/m);
        assert.equal((await request(`${world.base}/metrics`, { method: 'POST', json: {} })).status, 405);
    });

    await it('mcpctl says what it needs, and never harms a key file', async () => {
        assert.equal((await mcpctl()).code, 2);
        assert.equal((await mcpctl('--help')).code, 0);
        assert.equal((await mcpctl('nonsense')).code, 2);
        const help = (await mcpctl('--help')).out;
        const [man, completion] = await Promise.all(['mcpctl.1', 'mcpctl.bash'].map((name) => readFile(new URL(`../../mcpctl/${name}`, import.meta.url), 'utf8')));
        const page = man.replaceAll('\\-', '-').replaceAll(/\\f[BIR]/g, '');
        const commands = [...help.matchAll(/^ {2}mcpctl ([a-z-]+)(.*)$/gm)];
        assert.ok(commands.length >= 8, help);
        for (const [, name, usage] of commands) {
            assert.match(page, new RegExp(`^\\.BI? ${name}\\b`, 'm'), `${name} is in the manual`);
            assert.match(completion, new RegExp(`--version.* ${name}\\b`), `${name} is completed`);
            for (const option of usage.match(/--[a-z-]+/g) ?? []) {
                assert.ok(page.includes(option) && completion.includes(option), `${option} of ${name}`);
            }
        }
        assert.equal((await mcpctl('verify-audit', log)).code, 2);
        const keys = join(world.httpd.root, 'conf/made-keys');
        assert.equal((await mcpctl('keygen', keys, 'first')).code, 0);
        const made = await readFile(keys, 'utf8');
        assert.match(made, /^first [\w+/]{43}=\n$/);
        assert.equal((await mcpctl('keygen', keys)).code, 2, 'it does not overwrite');
        assert.equal(await readFile(keys, 'utf8'), made);
        assert.equal((await mcpctl('rekey', keys, 'second')).code, 0);
        assert.match(await readFile(keys, 'utf8'), new RegExp(`^second [\\w+/]{43}=\\n${made.replace(/[+]/g, '\\+')}$`));
        assert.equal((await mcpctl('rekey', keys, 'first')).code, 2, 'a name that is there already');
        assert.equal((await mcpctl('rekey', keys, 'no good name')).code, 2);
        world.httpd.secret('a made key', made.split(' ')[1].trim());
    });

    await it('renamed and begun anew at a graceful restart, its chain goes on from file to file', async () => {
        const old = `${log}.1`;
        await rename(log, old);
        await world.httpd.graceful();
        await client.signIn(world.person());
        const both = await verify(old, log);
        assert.equal(both.code, 0, both.out + both.err);
        const alone = await verify(log);
        assert.equal(alone.code, 1);
        assert.match(alone.out, /the lines that this chain says it follows are missing/);
        assert.equal((await verify('--partial', log)).code, 0);
    });
});

suite('an audit log that must be written', {
    backend: false,
    directives: 'MCPAuditLog /dev/full required calls',
    start: false,
}, async (it, world) => {
    await it('keeps the server from starting when it cannot be written at all', async () => {
        world.httpd.announce('MCP0162', 'AH00020');
        await assert.rejects(world.httpd.start({ ms: 3000 }));
        assert.match(await readFile(join(world.httpd.root, 'logs/error_log'), 'utf8'), /MCPAuditLog \/dev\/full cannot be opened or written/);
    });
});

suite('an audit log to a program', {
    backend: false,
    before: async (world) => {
        world.collected = join(world.httpd.root, 'logs/collected');
        await world.httpd.file('conf/collect', `#!/bin/sh\nexec cat >> ${world.collected}\n`);
        await chmod(join(world.httpd.root, 'conf/collect'), 0o755);
    },
    site: (world) => `MCPAuditLog "|${join(world.httpd.root, 'conf/collect')}" required\n${defaultSite(world)}`,
}, async (it, world) => {
    await it('gets whole lines of one chain', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        await client.signIn(world.person());
        const all = await until(async () => {
            const found = await read(world.collected).catch(() => []);
            return found.some((line) => line.event === 'token.issue') && found;
        }, 'the lines');
        assert.ok(!all.some((line) => line.event === 'mcp.call'), 'calls were not asked for');
        assert.equal((await mcpctl('verify-audit', '--key-file', world.keyFile, world.collected)).code, 0);
    });
});

/** rsyslogd at a socket of its own. */
async function startRsyslog(world) {
    const conf = await world.httpd.file('conf/rsyslog.conf', `
module(load="imuxsock" SysSock.Use="off")
input(type="imuxsock" Socket="${world.socket}")
template(name="ours" type="string" string="%msg:2:$%\\n")
template(name="usual" type="string" string="%timegenerated% %hostname% %syslogtag%%msg%\\n")
if $syslogfacility-text == "local3" and $programname == "mcp-audit" then {
    action(type="omfile" file="${world.collected}" template="ours")
    action(type="omfile" file="${world.collected}.usual" template="usual")
}
`);
    const daemon = new Process('rsyslogd', ['-n', '-f', conf, '-i', join(world.httpd.root, 'run/rsyslog.pid')]);
    await until(async () => {
        if (daemon.status) throw new Error(`rsyslogd did not start\n${daemon.output}`);
        return (await stat(world.socket).catch(() => null))?.isSocket();
    }, 'the socket of rsyslogd');
    return daemon;
}

suite('an audit log to syslog', {
    backend: false,
    before: async (world) => {
        world.socket = join(world.httpd.root, 'run/log.sock');
        world.collected = join(world.httpd.root, 'logs/collected');
        world.rsyslog = await startRsyslog(world);
    },
    site: (world) => `MCPAuditLog syslog:local3:${world.socket} required calls
${defaultSite(world)}
<Location /ready>
    SetHandler mcp-ready
</Location>
<Location /metrics>
    SetHandler mcp-metrics
</Location>`,
}, async (it, world) => {
    world.httpd.announce('MCP0160');
    const verify = (...args) => mcpctl('verify-audit', '--key-file', world.keyFile, ...args);
    const collected = async (event) => until(async () => {
        const found = await read(world.collected).catch(() => []);
        return found.some((line) => line.event === event) && found;
    }, `${event} to come out of rsyslogd`);
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: `Long \u202e ${'x'.repeat(180)}` });
    const call = (tokens) => request(`${world.base}/echo`, rpc('tools/call', { name: 'y'.repeat(300) }, bearer(tokens)));

    await it('a real daemon gets whole lines, in order, of one chain that verifies', async () => {
        const tokens = await client.signIn(world.person());
        await Promise.all(Array.from({ length: 40 }, () => call(tokens)));
        const all = await until(async () => { const found = await collected('mcp.call'); return found.filter((line) => line.event === 'mcp.call').length >= 40 && found; }, 'all calls');
        assert.deepEqual(all.map((line) => line.seq), all.map((_, i) => all[0].seq + i));
        const { code, out } = await verify(world.collected);
        assert.equal(code, 0, out);
        assert.match(out, /^\d+ lines in 1 chains, whole/);
        // as docs/audit.md extracts them from an ordinary log file
        const usual = await readFile(`${world.collected}.usual`, 'utf8');
        assert.match(usual, / mcp-audit\[\d+\]: \{"time"/);
        await world.httpd.file('logs/extracted', usual.replaceAll(/^.* mcp-audit\[\d*\]: /gm, ''));
        assert.equal((await verify(join(world.httpd.root, 'logs/extracted'))).code, 0);
    });

    await it('a daemon that is gone is told of, refuses what must be audited, and is found again', async () => {
        await world.rsyslog.stop();
        const status = async () => (await request(`${world.base}/register`, { json: { redirect_uris: ['http://127.0.0.1/cb'] } })).status;
        await until(async () => await status() === 503, 'what must be audited to be refused');
        assert.equal((await request(`${world.base}/ready`)).status, 503);
        assert.match((await request(`${world.base}/metrics`)).text, /^mcp_audit_failing 1$/m);
        world.rsyslog = await startRsyslog(world);
        await until(async () => await status() === 201, 'it to be taken again');
        const all = await collected('audit.lost');
        assert.ok(all.find((line) => line.event === 'audit.lost').lost >= 1);
        const { code, out } = await verify(world.collected);
        assert.equal(code, 0, out);
        assert.equal((await request(`${world.base}/ready`)).status, 200);
    });

    await it('a daemon that does not read keeps nobody waiting for long', async () => {
        world.rsyslog.signal('SIGSTOP');
        const begin = Date.now();
        const post = () => request(`${world.base}/register`, { json: { redirect_uris: ['http://127.0.0.1/cb'] } });
        // the socket's queue takes some lines first
        await until(async () => (await Promise.all([post(), post(), post(), post()])).some((answer) => answer.status === 503), 'its queue to be full');
        assert.ok(Date.now() - begin < 15_000, `${Date.now() - begin} ms`);
        world.rsyslog.signal('SIGCONT');
        await until(async () => (await post()).status === 201, 'it to be taken again');
        await world.rsyslog.stop();
    });
});
