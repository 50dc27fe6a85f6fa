// SPDX-License-Identifier: Apache-2.0
// The relay under many threads at once, and however httpd.conf orders the modules. Short, for ThreadSanitizer goes through
// it too (test/run tsan:streams-relay).

import test from 'node:test';
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { MPM, openStreamsWorld } from './lib/streams-world.mjs';
import { request } from './lib/http.mjs';

/** Open a stream and send its headers. */
async function begun(world, way, token, options = {}) {
    const stream = await world.stream(way, token, options);
    stream.call.begin();
    await stream.answer.headers_in;
    return stream;
}

for (const oursFirst of [true, false]) {
    test(`the guard loaded ${oursFirst ? 'before' : 'after'} mod_proxy: relay, limits and end are the same (TR-13)`, { timeout: 120_000 }, async (t) => {
        const world = await openStreamsWorld(t, { httpd: { oursFirst }, locations: { two: 'MCPStreamLimit person 2' } });
        const { access_token: token } = (await world.signIn()).tokens;
        const held = [await begun(world, 'two', token), await begun(world, 'two', token, { secure: true })];
        await world.counted({ Open: 2, Relayed: 2 });
        const refused = await request(`${world.base}/s/two/events?id=none`, { headers: { Authorization: `Bearer ${token}`, Accept: 'text/event-stream' } });
        assert.equal(refused.status, 429, 'not mod_proxy but the limit answers');
        assert.match(refused.json().error.message, /too many open event streams for this person/);
        held[0].call.event('one');
        await held[0].answer.has('data: one\n\n');
        const from = Date.now();
        held[0].client.close();
        assert.ok(await held[0].call.closed - from < 2000);
        held[1].call.end();
        assert.equal(await held[1].answer.done, 'complete');
        held[1].client.close();
        await world.counted({ Open: 0, Relayed: 0, 'Ended-client': 1, 'Ended-complete': 1 });
    });
}

/** Descriptors of all children. */
const files = (world) => world.httpd.children().reduce((sum, pid) => sum + readdirSync(`/proc/${pid}/fd`).length, 0);

test('streams that open and close by the hundred, in every way to end: nothing is left', { timeout: 300_000 }, async (t) => {
    const world = await openStreamsWorld(t, { locations: { age: 'MCPStreamMaxAge 1s\nMCPStreamKeepAlive 1s' },
        httpd: { mpm: MPM.replace('StartServers 2', 'StartServers 4') } }); // no child comes or goes meanwhile
    world.httpd.announce('AH10159'); // all children run, as they should
    world.httpd.announce('AH01110'); // mod_proxy's word for a backend that breaks off, when a worker reads
    const client = await world.signIn();
    const { access_token: token } = client.tokens;
    const round = async (n) => {
        const one = async (i) => {
            const way = ['relay', 'tls', 'relay', 'worker'][i % 4];
            const stream = await begun(world, way, token, { secure: i % 3 === 0 });
            stream.call.event(i);
            await stream.answer.has(`data: ${i}\n\n`);
            if (i % 5 === 0) stream.client.close();
            else if (i % 5 === 1) stream.call.socket?.destroy();
            else stream.call.end();
            await Promise.race([stream.answer.done, stream.client.closed]);
            stream.client.close();
        };
        for (let i = 0; i < n; i += 20) await Promise.all(Array.from({ length: 20 }, (_, k) => one(i + k)));
        await world.counted({ Open: 0, Relayed: 0 }, 10_000);
    };
    const n = process.env.MCP_TSAN_LOG ? 100 : 400;
    await round(n); // what is kept for good is there now
    const before = files(world);
    await round(n);
    const after = files(world);
    assert.ok(after <= before + 20, `descriptors ${before} to ${after}`);
    // the warden's verdicts, the loop's ends and the workers' at the same moment
    const held = await Promise.all(Array.from({ length: 30 }, (_, i) => begun(world, ['relay', 'age', 'worker'][i % 3], token)));
    assert.equal((await client.revoke(client.tokens.refresh_token)).status, 200);
    for (const { answer } of held) assert.equal(await answer.done, 'complete');
    await world.counted({ Open: 0, Relayed: 0 });
});
