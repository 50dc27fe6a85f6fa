// SPDX-License-Identifier: Apache-2.0
// Limits that two gateways count together in memcached (by its unix socket) and in redis: exactly, whichever of them is
// called, and what holds while that store is away.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import test from 'node:test';
import { request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep, until } from './lib/proc.mjs';
import { startStore } from './lib/stores.mjs';
import { defaultSite, openWorld } from './lib/world.mjs';

const AWAY_MS = 300; // MCPStoreTimeout

// One process a gateway: each has its own opinion of whether the store is there.
const ONE = { mpm: 'StartServers 1\nServerLimit 1\nThreadLimit 40\nThreadsPerChild 40\nMaxRequestWorkers 40\nMinSpareThreads 1\nMaxSpareThreads 40' };

const site = (world, counters, whenDown) => `${defaultSite(world)}
MCPAllowHost *
MCPStoreTimeout ${AWAY_MS}ms
MCPLimitStore ${counters.directive} ${whenDown}
<Location /echo/rate>
    MCPLimit rate 20/30d cluster
</Location>
<Location /echo/quota>
    MCPQuota quota 10/month key=person,client cluster
</Location>
<Location /echo/slide>
    MCPLimit slide 4/4s cluster
</Location>
<Location /echo/away>
    MCPLimit away 3/30d cluster
</Location>`;

/** What redis says to one command. */
const redis = (port, command) => new Promise((done, fail) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(`${command}\r\nQUIT\r\n`));
    let text = '';
    socket.on('data', (chunk) => { text += chunk; }).on('end', () => done(text)).on('error', fail);
});

for (const kind of ['memcache-socket', 'redis']) {
    test(`two gateways count in ${kind}`, { timeout: 120_000 }, async (t) => {
        let counters;
        const world = await openWorld(t, {
            store: 'redis', backend: false, httpd: ONE,
            before: async (early) => { counters = await startStore(kind, early.httpd.root); },
            site: (early) => site(early, counters, 'local'),
        });
        t.after(() => counters.stop());
        const other = await Httpd.make(ONE);
        t.after(() => other.close());
        await other.configure(site(world, counters, 'closed'));
        await other.start();
        const nodes = [world.httpd, other];
        const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/echo` })
            .signIn(world.person());
        const call = (node, path) => request(`${nodes[node].base}/echo/${path}`, {
            json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${token}` },
        });
        const statuses = async (node, n, path) => {
            const all = [];
            for (let i = 0; i < n; i++) all.push((await call(node, path)).status);
            return all;
        };
        const allowed = (answers) => answers.filter(({ status }) => status === 200);
        const restOf = ({ headers }, name) => Number(headers.ratelimit.match(`"${name}";r=(\\d+)`)[1]);

        await t.test('20 of 80 calls at once pass a rate, and 10 of 40 a quota, on both together (G2, G3)', async () => {
            for (let i = 0; i < 6; i++) assert.equal(restOf(await call(i % 2, 'rate'), 'rate'), 19 - i);
            const rate = await Promise.all(Array.from({ length: 74 }, (_, i) => call(i % 2, 'rate')));
            assert.equal(allowed(rate).length, 14);
            assert.equal(rate.filter(({ status }) => status === 429).length, 60);
            assert.deepEqual(allowed(rate).map((answer) => restOf(answer, 'rate')).sort((a, b) => a - b),
                Array.from({ length: 14 }, (_, i) => i), 'each was told another rest');
            const quota = await Promise.all(Array.from({ length: 40 }, (_, i) => call(i % 2, 'quota')));
            assert.equal(allowed(quota).length, 10);
            const refused = quota.find(({ status }) => status === 429);
            const now = new Date();
            const left = (Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1, 1) - now) / 1000;
            assert.ok(Math.abs(Number(refused.headers['retry-after']) - left) < 30, refused.headers['retry-after']);
            assert.equal(refused.json().error.data.limit, 'quota');
        });

        await t.test('neither restart of a gateway resets them', async () => {
            await other.stop();
            await other.start();
            await world.httpd.graceful();
            for (const node of [0, 1]) {
                assert.deepEqual(await statuses(node, 1, 'rate'), [429]);
                assert.deepEqual(await statuses(node, 1, 'quota'), [429]);
            }
        });

        if (kind === 'redis') {
            await t.test('what redis keeps has an end, and names nobody', async () => {
                const keys = (await redis(counters.port, 'KEYS *')).match(/^mcpl:.*$/gm);
                assert.ok(keys.length >= 2);
                for (const key of keys) {
                    assert.match(key.trim(), /^mcpl:[0-9a-f]{32}$/);
                    const ttl = Number((await redis(counters.port, `TTL ${key.trim()}`)).match(/^:(-?\d+)/)[1]);
                    assert.ok(ttl > 0 && ttl < 62 * 86_400, `${ttl}`);
                }
            });

            await t.test('a burst at the end of a window is followed by no other one at the beginning of the next', async () => {
                const phase = () => Date.now() % 4000;
                await until(() => phase() >= 2200 && phase() < 2800, 'the later half of a window', 10_000, 20);
                const burst = await Promise.all(Array.from({ length: 6 }, (_, i) => call(i % 2, 'slide')));
                assert.equal(allowed(burst).length, 4);
                await until(() => phase() < 500, 'the next window', 10_000, 20);
                const next = await call(0, 'slide');
                assert.equal(next.status, 429);
                const wait = Number(next.headers['retry-after']);
                assert.ok(wait >= 1 && wait <= 2, `${wait}`);
                await sleep(wait * 1000);
                assert.equal((await call(1, 'slide')).status, 200, 'after the time that was told');
                assert.equal((await call(1, 'slide')).status, 429);
            });
        }

        await t.test('while the store is silent, and when it is gone, one host counts by itself, and one refuses; none waits long', async () => {
            world.httpd.announce('MCP0498');
            other.announce('MCP0498');
            const back = () => until(async () => (await call(1, 'away')).status !== 503, 'the store to be asked again', 10_000, 50);
            counters.process.child.kill('SIGSTOP');
            const begin = Date.now();
            const refused = await Promise.all(Array.from({ length: 10 }, () => call(1, 'away')));
            const took = Date.now() - begin;
            assert.deepEqual(new Set(refused.map(({ status }) => status)), new Set([503]));
            assert.equal(refused[0].headers['retry-after'], '5');
            assert.equal(refused[0].json().error.data.limit, 'away');
            assert.ok(took < 6 * AWAY_MS, `${took} ms`);
            assert.deepEqual(await statuses(0, 5, 'away'), [200, 200, 200, 429, 429]);
            assert.match(world.httpd.log(), /MCP0498: MCPLimitStore .* does not answer: each host counts by itself/);
            assert.match(other.log(), /MCP0498: MCPLimitStore .* does not answer: calls that it should count are refused/);
            counters.process.child.kill('SIGCONT');
            await back();
            await counters.stop();
            assert.equal((await call(1, 'away')).status, 503);
            assert.equal((await call(0, 'rate')).status, 200, 'a count of this host alone');
            await counters.start();
            await back();
            // The other host leaves the store alone for a second; who asks first then, asks for all.
            await sleep(1100);
            await call(0, 'away');
            const all = await Promise.all(Array.from({ length: 40 }, (_, i) => call(i % 2, 'quota')));
            assert.equal(allowed(all).length, 10, 'what was forgotten is counted anew, by both');
        });
    });
}
