// SPDX-License-Identifier: Apache-2.0
// The store is lost while clients are at work (design principle 4): memcached or redis killed and started anew, shmcb gone
// with a graceful restart. Nobody signs in again; what was revoked stays revoked where that is promised; the strict switch.

import assert from 'node:assert/strict';
import test from 'node:test';
import { Application, connect, textOf } from './lib/clients.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { openWorld } from './lib/world.mjs';

/** What the store's own modules and ours say while it is away. */
const OUTAGE = [/\[socache_(memcache|redis):/, 'MCP0421', /MCP01\d\d/];

/** Lose everything that the store holds. */
async function lose(world) {
    if (world.store.shared) {
        await world.store.stop('SIGKILL');
        await world.store.start();
    } else {
        await world.httpd.graceful();
    }
}

const call = (world, token) => request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${token}` } });

/** Ask until the store is used again: each process finds that out for itself. */
const settled = (ask) => until(async () => {
    const answer = await ask();
    return answer.status !== 503 && answer;
}, 'the store to be used again', 30_000, 200);

for (const store of ['memcache', 'redis', 'shmcb']) {
    test(`${store} is lost: clients of both SDKs go on without a person`, { timeout: 120_000 }, async (t) => {
        const world = await openWorld(t, { store, directives: 'MCPSessionCache 0' });
        if (world.store.shared) world.httpd.announce(...OUTAGE);
        const running = [];
        for (const kind of ['v1 Streamable HTTP', 'v2 modern era']) {
            const application = new Application(world.person());
            running.push({ kind, application, ...await connect(kind, world.base, application) });
        }
        await lose(world);
        for (const { kind, application, client } of running) {
            const before = application.saved;
            const result = await until(async () => {
                try { return await client.callTool({ name: 'hello_mcp', arguments: {} }); } catch (error) {
                    // while the store is away: 503, and to try again
                    return /503|cannot be reached|ECONN|fetch failed/i.test(String(error.message)) ? false : Promise.reject(error);
                }
            }, `${kind} to go on`, 30_000, 200);
            assert.equal(textOf(result), 'Hello I am MCPTool!');
            assert.equal(application.visits.length, 1, 'nobody was asked again');
            assert.notEqual(application.saved.access_token, before.access_token, 'a new token, not the old session');
            await client.close();
        }
    });
}

test('revoked is revoked, as long as the store lives that knows it (design principle 4)', { timeout: 120_000 }, async (t) => {
    const world = await openWorld(t, { store: 'memcache', backend: false });
    world.httpd.announce(...OUTAGE);
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const tokens = await client.signIn();
    assert.equal((await client.revoke(tokens.refresh_token)).status, 200);
    // httpd restarted as a whole is no loss: the store is another process
    await world.httpd.stop();
    await world.httpd.start();
    assert.equal((await call(world, tokens.access_token)).status, 401);
    const answer = await client.refresh(tokens.refresh_token);
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error, 'invalid_grant');
});

test('MCPOAuthRestore Off: after a loss everybody signs in again, and is told so', { timeout: 120_000 }, async (t) => {
    const world = await openWorld(t, { store: 'memcache', backend: false, directives: 'MCPOAuthRestore Off' });
    world.httpd.announce(...OUTAGE);
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    const tokens = await client.signIn();
    await lose(world);
    assert.equal((await settled(() => call(world, tokens.access_token))).status, 401);
    const answer = await settled(() => client.refresh(tokens.refresh_token));
    assert.equal(answer.status, 400);
    assert.equal(answer.json().error, 'invalid_grant');
    // each process finds out for itself that the store is back, so a sign-in may still meet one that has not
    const fresh = await until(() => client.signIn().catch((error) => (/ 503|temporarily_unavailable/.test(error.message) ? false : Promise.reject(error))), 'a sign-in', 30_000, 200);
    assert.equal((await settled(() => call(world, fresh.access_token))).status, 200);
});
