// SPDX-License-Identifier: Apache-2.0
// Sessions of MCP: whose they are, whatever token, process or host a call comes by, and however the id is written.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { altered, events, headerLines, request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

const bearer = (token, headers = {}) => ({ Authorization: `Bearer ${token}`, ...headers });
const seenIds = (seen) => seen.headers.filter(([name]) => /^mcp[^a-z0-9]session[^a-z0-9]id$/i.test(name)).map(([, value]) => value);

suite('MCP sessions', {
    backend: false, store: 'memcache',
    directives: 'LogFormat "%{MCP_SUBJECT}e\\t%{MCP_USERNAME}e\\t%{MCP_CLIENT}e\\t%{MCP_CLIENT_NAME}e\\t%{MCP_SCOPE}e\\t%{MCP_GRANT}e\\t%{MCP_SESSION}e\\t%{MCP_ERROR}e" who\nCustomLog logs/who_log who',
    echo: 'Header set X-Who "expr=%{reqenv:MCP_CLIENT_NAME} of %{reqenv:MCP_SESSION}"',
}, async (it, world) => {
    const url = `${world.base}/echo`;
    const [first, second] = world.provider.accounts;
    const holder = new OAuthClient(world, { resource: url });
    const tokens = await holder.signIn(world.person(first));
    const otherPerson = await new OAuthClient(world, { resource: url }).signIn(world.person(second));
    const sameClient = Object.assign(new OAuthClient(world, { resource: url }), { clientId: holder.clientId });
    const { code } = await sameClient.authorize(world.person(second));
    const otherPersonSameClient = (await sameClient.redeem(code)).json();
    const otherClient = await new OAuthClient(world, { resource: url, name: 'another client' }).signIn(world.person(first));

    const call = (token, id, { headers = {}, path = '', base = url, ...rest } = {}) => request(`${base}${path}`, {
        json: rest.method && rest.method !== 'POST' ? undefined : { jsonrpc: '2.0', id: 1, method: 'ping' },
        headers: bearer(token, { ...(id === undefined ? {} : { 'Mcp-Session-Id': id }), ...headers }), ...rest,
    });
    const expectUnknown = (response, what) => {
        assert.equal(response.status, 404, `${what}: ${response.status}`);
        assert.match(response.headers['content-type'], /^application\/json/);
        assert.deepEqual(response.json(), { jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } }, what);
        assert.equal(response.headers['www-authenticate'], undefined, 'nobody needs to sign in again');
    };
    /** None of these calls may reach the backend. */
    const unheard = async (calls) => {
        const before = world.echo.requests.length;
        await calls();
        assert.equal(world.echo.requests.length, before, 'the backend heard of it');
    };

    const opened = await call(tokens.access_token);
    const id = opened.headers['mcp-session-id'];

    await it('a client sees a sealed id in visible ASCII, the backend its own (TR-11, RS-15, T20)', async () => {
        assert.deepEqual(headerLines(opened, 'mcp-session-id').length, 1);
        assert.match(id, /^mcpms\.[A-Za-z0-9_-]+$/);
        assert.ok(!Buffer.from(id.slice(6), 'base64url').includes('echo-session'));
        for (const method of ['POST', 'GET', 'DELETE']) {
            const response = await call(tokens.access_token, id, { method });
            assert.equal(response.status, 200, method);
            assert.deepEqual(seenIds(response.json()), ['echo-session'], method);
            assert.equal(response.headers['mcp-session-id'], id, 'the client keeps the id that it has');
        }
    });

    await it('another person, another client, and both in one cannot use it: it is unknown to them (T20)', async () => {
        await unheard(async () => {
            for (const [what, { access_token: token }] of Object.entries({ otherPerson, otherPersonSameClient, otherClient })) {
                for (const method of ['POST', 'GET', 'DELETE']) {
                    expectUnknown(await call(token, id, { method }), `${what} ${method}`);
                }
            }
        });
    });

    await it('neither guessed nor altered nor doubled nor borrowed from another resource (T20, T5)', async () => {
        const elsewhere = new OAuthClient(world, { resource: `${world.base}/mcp` });
        const there = await elsewhere.signIn(world.person(first));
        await unheard(async () => {
            for (const wrong of ['echo-session', '', 'x', 'mcpms.', 'mcpms.AAAA', `${id}A`, id.slice(0, -1), id.slice(6), altered(id),
                id.toUpperCase(), [id, id], [id, 'echo-session'], ['echo-session', id], `${id}, echo-session`, tokens.access_token, 'x'.repeat(5000), `mcpms.${'A'.repeat(5000)}`]) {
                expectUnknown(await call(tokens.access_token, wrong), String(wrong).slice(0, 40));
            }
            expectUnknown(await call(there.access_token, id, { base: `${world.base}/mcp` }), 'another resource');
        });
    });

    await it('no other spelling of the header passes it by (T24)', async () => {
        for (const name of ['Mcp_Session_Id', 'MCP_SESSION_ID', 'Mcp-Session_Id', 'mcp.session.id']) {
            assert.deepEqual(seenIds((await call(tokens.access_token, undefined, { headers: { [name]: 'echo-session' } })).json()), [], name);
            assert.deepEqual(seenIds((await call(tokens.access_token, id, { headers: { [name]: 'theirs' } })).json()), ['echo-session'], name);
        }
    });

    await it('survives a token refresh: it was never bound to the token\'s bytes (T20)', async () => {
        const refreshed = (await holder.refresh(tokens.refresh_token)).json();
        assert.notEqual(refreshed.access_token, tokens.access_token);
        const response = await call(refreshed.access_token, id);
        assert.deepEqual(seenIds(response.json()), ['echo-session']);
        tokens.access_token = refreshed.access_token;
    });

    await it('is good in every process, after a restart, and on another host with the same keys', async () => {
        await world.httpd.graceful();
        for (let i = 0; i < 10; i++) assert.deepEqual(seenIds((await call(tokens.access_token, id)).json()), ['echo-session']);
        const node = await Httpd.make();
        try {
            await node.configure(world.httpd.site);
            await node.start();
            assert.deepEqual(seenIds((await call(tokens.access_token, id, { base: `${node.base}/echo` })).json()), ['echo-session']);
            expectUnknown(await call(otherPerson.access_token, id, { base: `${node.base}/echo` }), 'another person there');
        } finally {
            await node.close();
        }
    });

    await it('a revision without sessions ignores what it does not know, and never passes another\'s id on (TR-3)', async () => {
        for (const [shown, passed] of [[id, ['echo-session']], ['echo-session', []], ['garbage', []]]) {
            const response = await call(tokens.access_token, shown, { headers: { 'MCP-Protocol-Version': '2026-07-28' } });
            assert.equal(response.status, 200);
            assert.deepEqual(seenIds(response.json()), passed, shown);
        }
        const theirs = await call(otherPerson.access_token, id, { headers: { 'MCP-Protocol-Version': '2026-07-28' } });
        assert.deepEqual(seenIds(theirs.json()), []);
        expectUnknown(await call(otherPerson.access_token, id, { headers: { 'MCP-Protocol-Version': '2025-11-25' } }), 'with sessions');
    });

    const endpointOf = async (token, endpoint) => {
        world.echo.endpoint = endpoint;
        const stream = await request(`${url}/sse`, { method: 'GET', headers: bearer(token, { Accept: 'text/event-stream' }), stream: true });
        const { value } = await events(stream.raw).next();
        stream.close();
        await until(() => world.echo.streams.size === 0, 'the stream to end');
        assert.equal(value.event, 'endpoint');
        return value.data;
    };
    const post = (token, path) => request(new URL(path, `${url}/sse`), { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: bearer(token) });

    await it('the legacy endpoint event names a session of this person and client only (F7, TR-17, T20)', async () => {
        for (const [endpoint, raw] of [['message?azmcpcs=abc', 'abc'], ['/backend/message?x=1&sessionId=0b5c-%2F+1&y=2', '0b5c-%2F+1'], ['message?session_id=ab.c', 'ab.c']]) {
            const shown = await endpointOf(tokens.access_token, endpoint);
            const [, name, sealed] = shown.match(/[?&](azmcpcs|sessionId|session_id)=(mcpms\.[A-Za-z0-9_-]+)(?:&|$)/);
            assert.ok(!shown.includes(raw), shown);
            const response = await post(tokens.access_token, shown);
            assert.equal(response.status, 200, shown);
            assert.equal(response.json().url, endpoint.replace(/^(?:\/backend\/)?/, '/backend/'), 'byte for byte as the backend wrote it');
            const path = shown.slice(0, shown.indexOf('?'));
            await unheard(async () => {
                for (const { access_token: token } of [otherPerson, otherPersonSameClient, otherClient]) expectUnknown(await post(token, shown), shown);
                for (const query of [`${name}=${raw}`, `${name.toUpperCase()}=${raw}`, `${name}=`, name, `${name}=${sealed}&${name}=${raw}`, `${name}=${raw}&${name}=${sealed}`, `a=1;${name}=${raw}`,
                    `${name}[]=${raw}`, `${name}%5B0%5D=${raw}`, `[${name}]=${raw}`, `%20${name}=${raw}`, `+${name}=${raw}`, `${[...name].map((c) => `%${c.charCodeAt(0).toString(16)}`).join('')}=${raw}`, `${name}%00x=${raw}`]) {
                    expectUnknown(await post(tokens.access_token, `${path}?${query}`), query);
                }
            });
        }
        assert.equal((await post(tokens.access_token, '/echo/message?sessionIdentity=1&my_session_id=2&x=mcpms')).json().url, '/backend/message?sessionIdentity=1&my_session_id=2&x=mcpms', 'other parameters pass');
    });

    await it('the access log can name person, client, grant and session, and never the id (G15, G16)', async () => {
        const log = async () => (await readFile(join(world.httpd.root, 'logs/who_log'), 'utf8')).trim().split('\n').at(-1).split('\t');
        assert.equal((await call(tokens.access_token, id)).status, 200);
        assert.match((await call(tokens.access_token, id)).headers['x-who'], /^test client of [\w-]{16}$/, 'expressions can, too');
        const session = await until(async () => { const line = await log(); return line[6] !== '-' && line; }, 'the log line');
        assert.ok(session[0].endsWith(first.sub), session[0]);
        assert.match(session[2], /^[\w-]{22}$/);
        assert.equal(session[3], 'test client');
        assert.equal(session[4], 'snippets');
        assert.match(session[5], /^[\w-]{22}$/);
        assert.match(session[6], /^[\w-]{16}$/);
        assert.ok(!session.join('|').includes('echo-session'));
        assert.equal((await call(otherPerson.access_token, id)).status, 404);
        const refused = await until(async () => { const line = await log(); return line[7] !== '-' && line; }, 'the log line');
        assert.equal(refused[7], 'unknown_session');
        assert.equal(refused[6], '-');
    });
});

suite('MCP sessions, left to the backend', { backend: false, echo: 'MCPGuardSessionBinding Off' }, async (it, world) => {
    await it('with MCPGuardSessionBinding Off ids pass as they are', async () => {
        const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/echo` }).signIn();
        const response = await request(`${world.base}/echo?sessionId=1`, { json: {}, headers: bearer(token, { 'Mcp-Session-Id': 'mine' }) });
        assert.equal(response.headers['mcp-session-id'], 'echo-session');
        assert.deepEqual(seenIds(response.json()), ['mine']);
        assert.equal(response.json().url, '/backend?sessionId=1');
    });
});

suite('MCP sessions, parameters by name', { backend: false, echo: 'MCPGuardSessionParam conversation' }, async (it, world) => {
    await it('MCPGuardSessionParam names the parameters that are bound', async () => {
        const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/echo` }).signIn();
        const ask = (query) => request(`${world.base}/echo?${query}`, { json: {}, headers: bearer(token) });
        assert.equal((await ask('sessionId=1')).status, 200);
        assert.equal((await ask('conversation=1')).status, 404);
    });

    await it('what is none is refused by configtest, with the mend', async () => {
        await world.httpd.configure(world.httpd.site.replace('MCPGuardSessionParam conversation', 'MCPGuardSessionParam a=b'));
        const { code, output } = await world.httpd.configtest();
        assert.notEqual(code, 0);
        assert.match(output, /MCPGuardSessionParam takes names of query parameters, such as sessionId, not a=b/);
    });
});
