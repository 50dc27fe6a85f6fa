// SPDX-License-Identifier: Apache-2.0
// Limits: counted exactly whoever calls at once, by whom they should be, and told to clients so that they can wait.

import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { challenge, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const bearer = (token, headers = {}) => ({ Authorization: `Bearer ${token}`, ...headers });

suite('rate limits', {
    backend: false,
    httpd: { mpm: 'StartServers 6\nServerLimit 6\nThreadLimit 6\nThreadsPerChild 6\nMaxRequestWorkers 36\nMinSpareThreads 36\nMaxSpareThreads 36' },
    echo: 'MCPLimit outer 1000/h',
    directives: `
MCPAllowOrigin https://app.example
LogFormat "%P|%>s|%{MCP_ERROR}e|%{MCP_LIMIT}e|%U" limits
CustomLog logs/limits_log limits
`,
    site: (world) => `${defaultSite(world)}
<Location /echo/person>
    MCPLimit calls 20/h
    MCPLimit outer off
</Location>
<Location /echo/other>
    MCPLimit calls 20/h
    MCPLimit outer off
</Location>
<Location /echo/client>
    MCPLimit by-client 3/h key=client
</Location>
<Location /echo/session>
    MCPLimit by-session 2/h key=session
</Location>
<Location /echo/address>
    MCPLimit by-address 5/h key=address
    MCPLimitHeaders Off
</Location>
<Location /echo/expr>
    MCPLimit by-tenant 2/h "key=expr:%{HTTP:X-Tenant}" "if=%{REQUEST_METHOD} == 'POST'"
</Location>
<Location /echo/soon>
    MCPLimit soon 2/2s/1
</Location>
<Location /echo/denied>
    MCPLimit refused 2/h
    Require mcp-scope admin
</Location>
<Location /echo/tools>
    MCPLimit exports 2/h tool=export_*,dump
    MCPLimit each-tool 3/h key=person,tool
</Location>
<Location /echo/all>
    MCPLimit everybody 3/h key=all
</Location>
MCPQuotaFile conf/quotas
<Location /echo/quota>
    MCPLimit outer off
    MCPQuota daily 20/day
    MCPQuota monthly 30/month key=all
</Location>
<Location /echo/busy>
    MCPLimit outer off
    MCPConcurrency busy 3
    MCPQuota spared 100/month
</Location>
<Location /echo/busy-all>
    MCPConcurrency busy-all 1 key=all
</Location>
<Location /echo/busy-tools>
    MCPConcurrency busy-tools 2 key=all tool=slow_*
</Location>
`,
}, async (it, world) => {
    world.httpd.announce('AH01631', 'AH10159', 'AH00484'); // Require says no; all workers are busy with the volley
    const resource = `${world.base}/echo`;
    const [first, second] = world.provider.accounts;
    const client = new OAuthClient(world, { resource });
    const tokens = await client.signIn(world.person(first));
    const otherClient = await new OAuthClient(world, { resource, name: 'other' }).signIn(world.person(first));
    const call = (path, token, { headers = {}, method = 'POST' } = {}) => request(`${world.base}/echo/${path}`, {
        method, json: method === 'POST' ? { jsonrpc: '2.0', id: 1, method: 'ping' } : undefined, headers: token ? bearer(token, headers) : headers,
    });
    const statuses = async (n, path, token, options) => {
        const all = [];
        for (let i = 0; i < n; i++) all.push((await call(path, token, options)).status);
        return all;
    };

    await it('20 of 120 calls at once pass, in whatever process they end up (G2, G3)', async () => {
        const answers = await Promise.all(Array.from({ length: 120 }, () => call('person', tokens.access_token)));
        const passed = answers.filter(({ status }) => status === 200);
        assert.equal(passed.length, 20);
        assert.equal(answers.filter(({ status }) => status === 429).length, 100);
        assert.deepEqual(passed.map(({ headers }) => Number(headers.ratelimit.match(/;r=(\d+);/)[1])).sort((a, b) => a - b), Array.from({ length: 20 }, (_, i) => i), 'each was told another rest');
        const log = await readFile(join(world.httpd.root, 'logs/limits_log'), 'utf8');
        const processes = new Set(log.split('\n').filter((line) => line.includes('|/echo/person')).map((line) => line.split('|')[0]));
        assert.ok(processes.size >= 2, `${processes.size} processes`);
    });

    await it('429 says what, why and when, as JSON-RPC and in RateLimit headers, and asks for no sign-in (G2, G25)', async () => {
        const before = world.echo.requests.length;
        const response = await call('person', tokens.access_token, { headers: { Origin: 'https://app.example' } });
        assert.equal(response.status, 429);
        const wait = Number(response.headers['retry-after']);
        assert.ok(wait >= 1 && wait <= 180, response.headers['retry-after']);
        assert.equal(response.headers['ratelimit-policy'], '"calls";q=20;w=3600');
        assert.equal(response.headers.ratelimit, `"calls";r=0;t=${wait}`);
        assert.match(response.headers['content-type'], /^application\/json/);
        assert.deepEqual(response.json(), {
            jsonrpc: '2.0', id: null, error: { code: -32000, message: `Too many calls: limit calls is 20/h; try again in ${wait} s`, data: { limit: 'calls', retryAfter: wait } },
        });
        assert.equal(challenge(response), null);
        assert.match(response.headers['access-control-expose-headers'], /RateLimit, RateLimit-Policy/);
        assert.match(response.headers['access-control-expose-headers'], /Retry-After/);
        assert.equal(world.echo.requests.length, before, 'the backend heard of it');
        const line = await until(async () => (await readFile(join(world.httpd.root, 'logs/limits_log'), 'utf8')).split('\n').findLast((each) => each.includes('|429|')), 'the log line');
        assert.match(line, /\|429\|rate_limited\|calls\|/);
    });

    await it('a limit of one name is one count, wherever it stands', async () => {
        assert.equal((await call('other', tokens.access_token)).status, 429);
    });

    await it('neither a new token, nor another client, nor a graceful restart is a way around (T20)', async () => {
        const refreshed = (await client.refresh(tokens.refresh_token)).json();
        assert.equal((await call('person', refreshed.access_token)).status, 429);
        assert.equal((await call('person', otherClient.access_token)).status, 429);
        await world.httpd.graceful();
        const again = (await client.refresh(refreshed.refresh_token)).json(); // shmcb forgot the session
        assert.equal((await call('person', again.access_token)).status, 429);
        tokens.access_token = again.access_token;
    });

    await it('each person has a count, and so has each client, session or value of an expression', async () => {
        const theirs = await new OAuthClient(world, { resource }).signIn(world.person(second));
        assert.deepEqual(await statuses(2, 'person', theirs.access_token), [200, 200]);
        assert.deepEqual(await statuses(4, 'client', tokens.access_token), [200, 200, 200, 429]);
        assert.deepEqual(await statuses(1, 'client', theirs.access_token), [200]);
        assert.deepEqual(await statuses(3, 'session', tokens.access_token), [200, 200, 429]);
        const id = (await call('other/x', theirs.access_token)).headers['mcp-session-id'];
        assert.deepEqual(await statuses(3, 'session', theirs.access_token, { headers: { 'Mcp-Session-Id': id } }), [200, 200, 429]);
        assert.deepEqual(await statuses(1, 'session', theirs.access_token), [200]);
        assert.deepEqual(await statuses(3, 'expr', tokens.access_token, { headers: { 'X-Tenant': 'a' } }), [200, 200, 429]);
        assert.deepEqual(await statuses(1, 'expr', theirs.access_token, { headers: { 'X-Tenant': 'a' } }), [429]);
        assert.deepEqual(await statuses(2, 'expr', tokens.access_token, { headers: { 'X-Tenant': 'b' } }), [200, 200]);
        assert.deepEqual(await statuses(3, 'expr', tokens.access_token, { method: 'GET', headers: { 'X-Tenant': 'a' } }), [200, 200, 200], 'if= does not count it');
        assert.deepEqual([...await statuses(2, 'all', tokens.access_token), ...await statuses(2, 'all', theirs.access_token)], [200, 200, 200, 429]);
    });

    await it('all limits that count are told, and the backend\'s answer stays as it is', async () => {
        const response = await call('session', tokens.access_token);
        assert.equal(response.status, 429);
        const { headers, status } = await call('soon', tokens.access_token);
        assert.equal(status, 200);
        assert.equal(headers['ratelimit-policy'], '"outer";q=1000;w=3600, "soon";q=1;w=1');
        assert.match(headers.ratelimit, /"soon";r=0;t=1/);
        assert.match(headers.ratelimit, /"outer";r=9\d\d;t=\d+/);
    });

    await it('who waits as long as told may call again', async () => {
        const refused = await until(async () => { const response = await call('soon', tokens.access_token); return response.status === 429 && response; }, 'a refusal', 5000, 1);
        assert.equal(refused.headers['retry-after'], '1');
        await new Promise((done) => setTimeout(done, 1050));
        assert.equal((await call('soon', tokens.access_token)).status, 200);
    });

    await it('what is counted by address counts guessed tokens too, and tells nothing where headers are off (T31)', async () => {
        assert.deepEqual(await statuses(4, 'address', 'guess'), [401, 401, 401, 401]);
        const last = await call('address', tokens.access_token);
        assert.equal(last.status, 200);
        assert.equal(last.headers.ratelimit, undefined);
        assert.deepEqual(await statuses(2, 'address', 'guess'), [429, 429]);
        const refused = await call('address', tokens.access_token, { headers: { 'X-Forwarded-For': '192.0.2.1' } });
        assert.equal(refused.status, 429);
        assert.ok(refused.headers['retry-after']);
    });

    await it('tools have limits of their own, in batches too and in any letter case (G2, TR-15)', async () => {
        const tool = (name) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name } });
        const send = (json) => request(`${world.base}/echo/tools`, { json, headers: bearer(tokens.access_token) });
        const outcome = async (json) => (await send(json)).status;
        assert.equal(await outcome(tool('export_a')), 200);
        assert.equal(await outcome(tool('EXPORT_B')), 200);
        const refused = await send(tool('dump'));
        assert.equal(refused.status, 429);
        assert.equal(refused.json().error.data.limit, 'exports');
        assert.match(refused.headers['ratelimit-policy'], /"exports";q=2;w=3600/);
        assert.equal(await outcome([tool('x'), tool('X'), tool('x')]), 200);
        assert.equal(await outcome(tool('x')), 429, 'a batch counted each of its calls');
        assert.equal(await outcome(tool('y')), 200, 'another tool has a count of its own');
        const before = world.echo.requests.length;
        assert.equal(await outcome([tool('y'), tool('y'), tool('y')]), 429);
        assert.equal(world.echo.requests.length, before, 'nothing of the batch reached the backend');
        for (let i = 0; i < 5; i++) assert.equal(await outcome({ jsonrpc: '2.0', id: 1, method: 'ping' }), 200, 'what is no call does not count');
    });

    await it('a refusal of a tool names the calls that it answers (G2)', async () => {
        const tool = (id) => ({ jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'dump' } });
        const send = (json) => request(`${world.base}/echo/tools`, { json, headers: bearer(tokens.access_token) });
        const one = await send(tool('seven'));
        assert.equal(one.status, 429);
        assert.equal(one.json().id, 'seven');
        assert.equal(one.json().error.data.limit, 'exports');
        const batch = await send([tool(1), { jsonrpc: '2.0', method: 'notifications/initialized' }, tool(2)]);
        assert.equal(batch.status, 429);
        assert.deepEqual(batch.json().map(({ id, error }) => [id, error.code, error.data.limit]), [[1, -32000, 'exports'], [2, -32000, 'exports']]);
    });

    await it('20 of 60 calls at once pass a quota, and it outlives graceful restart, stop, kill and another number (G4)', async () => {
        let { access_token: token, refresh_token: refreshToken } = await client.signIn(world.person(first));
        const renew = async () => { const next = (await client.refresh(refreshToken)).json(); token = next.access_token; refreshToken = next.refresh_token; };
        const answers = await Promise.all(Array.from({ length: 60 }, () => call('quota', token)));
        assert.equal(answers.filter(({ status }) => status === 200).length, 20);
        const refused = answers.find(({ status }) => status === 429);
        const midnight = Math.ceil((Math.floor(Date.now() / 86_400_000) + 1) * 86_400 - Date.now() / 1000);
        assert.ok(Math.abs(Number(refused.headers['retry-after']) - midnight) <= 30, `${refused.headers['retry-after']}, and ${midnight} s to midnight`);
        assert.match(refused.headers['ratelimit-policy'], /"daily";q=20;w=86400/);
        assert.match(refused.headers.ratelimit, /"daily";r=0;t=\d+/);
        assert.equal(refused.json().error.data.limit, 'daily');
        await world.httpd.graceful();
        await renew();
        assert.equal((await call('quota', token)).status, 429, 'after a graceful restart');
        await world.httpd.stop();
        await world.httpd.start();
        await renew();
        assert.equal((await call('quota', token)).status, 429, 'after stop and start');
        const children = world.httpd.children();
        process.kill(world.httpd.pid, 'SIGKILL');
        for (const pid of children) process.kill(pid, 'SIGKILL');
        await world.httpd.process.exited;
        await world.httpd.configure(world.httpd.site.replace('20/day', '23/day'));
        await world.httpd.start();
        await renew();
        const more = await statuses(4, 'quota', token);
        assert.deepEqual(more, [200, 200, 200, 429], 'three more of 23 after SIGKILL');
        const theirs = await new OAuthClient(world, { resource }).signIn(world.person(second));
        const rest = await statuses(8, 'quota', theirs.access_token);
        assert.deepEqual(rest, [200, 200, 200, 200, 200, 200, 200, 429], '30 of everybody in a month, and what daily refused did not count');
        tokens.access_token = token;
    });

    await it('a damaged file of quotas is put aside, said, and keeps nobody from starting', async () => {
        world.httpd.announce('MCP0494');
        await world.httpd.stop();
        await writeFile(join(world.httpd.root, 'conf/quotas'), 'not a file of quotas');
        await world.httpd.start();
        assert.match(world.httpd.log(), /MCP0494: MCPQuotaFile .*quotas is no file of quotas, or is damaged: it is .*quotas\.bad now/);
        assert.equal(await readFile(join(world.httpd.root, 'conf/quotas.bad'), 'utf8'), 'not a file of quotas');
        Object.assign(tokens, await client.signIn(world.person(first)));
        assert.equal((await call('quota', tokens.access_token)).status, 200);
    });

    await it('as many calls as may are under way at once, and a place is free again however a call ends (G5)', async () => {
        const body = { jsonrpc: '2.0', id: 7, method: 'ping' };
        const open = (path, json = body) => {
            const abort = new AbortController();
            const done = fetch(`${world.base}/echo/${path}/stream`, { method: 'POST', body: JSON.stringify(json), signal: abort.signal,
                headers: bearer(tokens.access_token, { 'Content-Type': 'application/json', Accept: 'application/json, text/event-stream' }) });
            done.catch(() => {});
            return { abort, done };
        };
        const opened = async (path, n, json) => {
            const all = Array.from({ length: n }, () => open(path, json));
            const answers = await Promise.all(all.map(({ done }) => done));
            return { all, answers };
        };
        const frees = (path, json = body) => until(async () => (await request(`${world.base}/echo/${path}`, { json, headers: bearer(tokens.access_token) })).status === 200, `a place in ${path}`, 10_000, 20);

        const { all, answers } = await opened('busy', 12);
        const held = all.filter((_, i) => answers[i].status === 200);
        assert.equal(held.length, 3, 'three of twelve');
        const refused = answers.filter(({ status }) => status === 429);
        assert.equal(refused.length, 9);
        assert.equal(refused[0].headers.get('retry-after'), '1');
        assert.match((await refused[0].json()).error.message, /^Too many calls at once: limit busy is 3; try again in 1 s$/);
        assert.match((await call('busy', tokens.access_token)).headers.ratelimit ?? 'none', /none/, 'what is refused here has cost no quota');
        assert.equal((await request(`${world.base}/echo/busy`, { headers: bearer(tokens.access_token) })).status, 200, 'GET is no call');

        held[0].abort.abort(); // the client goes away
        await frees('busy');
        const again = open('busy');
        assert.equal((await again.done).status, 200);
        assert.equal((await call('busy', tokens.access_token)).status, 429);
        for (const stream of world.echo.streams) stream.end(); // the backend ends
        await frees('busy');

        const { all: three, answers: theirs } = await opened('busy', 3);
        assert.deepEqual(theirs.map(({ status }) => status), [200, 200, 200]);
        assert.equal((await call('busy', tokens.access_token)).status, 429);
        world.httpd.announce('AH00052');
        for (const pid of world.httpd.children()) process.kill(pid, 'SIGKILL'); // the processes die
        await frees('busy');
        Object.assign(tokens, await client.signIn(world.person(first)));
        const { answers: fresh, all: last } = await opened('busy', 4);
        assert.equal(fresh.filter(({ status }) => status === 200).length, 3, 'all three are there again, and not more');
        for (const { abort } of [...three, ...last]) abort.abort();

        const everybody = open('busy-all');
        assert.equal((await everybody.done).status, 200);
        const full = await call('busy-all', tokens.access_token);
        assert.equal(full.status, 503);
        assert.equal(full.headers['retry-after'], '1');
        everybody.abort.abort();
        await frees('busy-all');

        const slow = { jsonrpc: '2.0', id: 9, method: 'tools/call', params: { name: 'slow_a' } };
        const tool = open('busy-tools', slow);
        assert.equal((await tool.done).status, 200);
        const batch = await request(`${world.base}/echo/busy-tools`, { json: [slow, { ...slow, id: 10 }], headers: bearer(tokens.access_token) });
        assert.equal(batch.status, 503, 'a batch takes a place for each call');
        assert.deepEqual(batch.json().map(({ id }) => id), [9, 10]);
        assert.equal((await request(`${world.base}/echo/busy-tools`, { json: slow, headers: bearer(tokens.access_token) })).status, 200, 'and has given back what it had');
        assert.equal((await call('busy-tools', tokens.access_token)).status, 200, 'other calls do not count');
        tool.abort.abort();
    });

    await it('what Require refuses counts', async () => {
        assert.deepEqual(await statuses(3, 'denied', tokens.access_token), [403, 403, 429]);
    });

    await it('configtest names what is wrong, and the mend', async () => {
        const site = world.httpd.site;
        for (const [line, message, without] of [
            ['MCPLimit calls', /MCPLimit takes a name and a rate, such as: MCPLimit calls 60\/min key=person/],
            ['MCPLimit calls 60', /MCPLimit calls takes COUNT\/PERIOD/],
            ['MCPLimit "a b" 60/min', /takes a name of 1 to 32/],
            ['MCPLimit calls 60/min key=colour', /not by colour/],
            ['MCPLimit calls 60/min burst=3', /knows key=, tool=, if= and cluster after the rate, not burst=3/],
            ['MCPLimit calls 60/min "if=%{"', /MCPLimit: if=/],
            ['MCPLimit outer 60/min', /MCPLimit outer: a limit of this name stands twice/],
            ['MCPQuota outer 60/day', /MCPQuota outer: a limit of this name stands twice/],
            ['MCPQuota calls 60/min', /MCPQuota calls takes COUNT\/hour, \/day, \/week or \/month/],
            ['MCPConcurrency calls', /MCPConcurrency takes a name and a count, such as: MCPConcurrency at-once 4/],
            ['MCPConcurrency calls 0', /takes how many calls may be under way at once, from 1 to 60000/],
            ['MCPConcurrency calls 3 cluster', /MCPConcurrency knows key=, tool=, if= after the count, not cluster/],
            ['MCPLimit calls 60/min cluster', /needs a store that all hosts share. Add to the main server: MCPLimitStore memcache:HOST:PORT/],
            ['MCPLimit calls 60/min/3 cluster', /leave the burst out/],
            ['MCPLimit calls 60/1500ms cluster', /takes a period of whole seconds/],
            ['</Location>\nMCPLimitStore redis\n<Location /x>', /MCPLimitStore takes memcache:HOST:PORT or redis:HOST:PORT/],
            ['</Location>\nMCPLimitStore redis:h:1 open\n<Location /x>', /takes local or closed last/],
            ['</Location>\nMCPQuotaFile nowhere/quotas\n<Location /x>', /there is no such directory. Make it with: install -d -m 700 .*nowhere/, /^MCPQuotaFile conf\/quotas$/m],
            ['', /MCPQuota needs a file in which counts outlive restarts. Add to the main server: MCPQuotaFile/, /^MCPQuotaFile conf\/quotas$/m],
        ].map(([line, message, without = /^$/]) => [line, message, without])) {
            await world.httpd.configure(site.replace(without, '').replace('MCPLimit outer 1000/h', `MCPLimit outer 1000/h\n${line}`));
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, line);
            assert.match(output, message);
        }
        await world.httpd.configure(site);
    });
});
