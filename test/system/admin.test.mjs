// SPDX-License-Identifier: Apache-2.0
// The administration location and mcpctl: an administrator sees what people gave away, and takes it back.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

suite('administration', {
    backend: false,
    httpd: { modules: ['auth_basic', 'authn_file'] },
    before: (world) => world.httpd.file('conf/passwords', `admin:{SHA}${createHash('sha1').update('let-me-in').digest('base64')}\n`, 0o644),
    directives: 'MCPAuditLog logs/audit.log\nMCPSessionCache 0',
    site: (world) => `${defaultSite(world)}
<Location /admin>
    SetHandler mcp-admin
    AuthType Basic
    AuthName "administrators"
    AuthUserFile "${join(world.httpd.root, 'conf/passwords')}"
    Require user admin
</Location>
`,
}, async (it, world) => {
    const url = `${world.base}/admin`;
    const resource = `${world.base}/echo`;
    const authorization = { Authorization: `Basic ${Buffer.from('admin:let-me-in').toString('base64')}` };
    // credentials as curl and mcpctl find them: in the home directory's .netrc
    await world.httpd.file('.netrc', 'machine 127.0.0.1 login admin password let-me-in\n');
    const admin = (...args) => mcpctl({ HOME: world.httpd.root, MCPCTL_URL: url }, ...args);
    const lists = async (person) => JSON.parse((await admin('--json', 'sessions', '--netrc', '--person', person)).out).sessions;
    const call = async (tokens) => (await request(resource, { json: {}, headers: { Authorization: `Bearer ${tokens.access_token}` } })).status;
    const [ada, bob] = world.provider.accounts;
    const client = new OAuthClient(world, { resource, name: 'Editor \u202e' });
    await client.register();
    const other = new OAuthClient(world, { resource, name: 'Other' });
    await other.register();
    let tokens = await client.signIn(world.person(ada));
    const otherTokens = await other.signIn(world.person(ada));
    const bobs = await client.signIn(world.person(bob));
    const audit = async () => (await readFile(join(world.httpd.root, 'logs/audit.log'), 'utf8')).trim().split('\n').map((line) => JSON.parse(line));
    const issued = (await audit()).filter((line) => line.event === 'token.issue');
    const [first, second, third] = issued;

    await it('is closed to whoever httpd does not let in', async () => {
        for (const path of ['/status', '/sessions?person=x', '/revoke']) assert.equal((await request(url + path)).status, 401, path);
        const refused = await mcpctl('status', '--url', url);
        assert.equal(refused.code, 2);
        assert.match(refused.err, /401 you may not/);
    });

    await it('tells the state of keys, store and audit log', async () => {
        const { code, out } = await admin('status', '--netrc');
        assert.equal(code, 0);
        assert.match(out, /^key {4}k1$/m);
        assert.match(out, /^store {2}up$/m);
        assert.match(out, /^audit {2}up, \d+ lines, 0 lost$/m);
    });

    await it('lists what a person gave, and only that', async () => {
        const mine = await lists(first.person);
        assert.deepEqual(new Set(mine.map((one) => one.grant)), new Set([first.grant, second.grant]));
        assert.deepEqual((await lists(third.person)).map((one) => one.grant), [third.grant]);
        const { out } = await admin('sessions', '--netrc', '--person', first.person, '--client', first.client);
        assert.match(out, new RegExp(`^grant ${first.grant}$`, 'm'));
        assert.ok(!out.includes(second.grant));
        assert.match(out, /^[\x20-\x7e\n]*$/, 'a stranger writes to the terminal');
        assert.match((await admin('sessions', '--netrc', '--grant', third.grant)).out, /lives/);
        assert.equal((await admin('sessions', '--netrc', '--grant', 'AAAAAAAAAAAAAAAAAAAAAA')).code, 2);
        assert.deepEqual(await lists('nobody|x'), []);
    });

    await it('takes one grant back; the next call is refused, others go on', async () => {
        assert.equal(await call(tokens), 200);
        assert.equal((await admin('revoke', '--netrc', '--grant', first.grant)).code, 0);
        assert.equal(await call(tokens), 401);
        assert.equal(await call(tokens), 401);
        assert.equal((await client.refresh(tokens.refresh_token)).status, 400);
        assert.equal(await call(otherTokens), 200);
        assert.equal(await call(bobs), 200);
        const line = (await audit()).findLast((each) => each.event === 'admin');
        assert.equal(line.detail, 'revoke');
        assert.equal(line.grant, first.grant);
    });

    await it('takes back all that a person gave before a time, and nothing after it', async () => {
        const past = Math.floor(Date.now() / 1000) - 3600;
        const none = await admin('revoke', '--netrc', '--person', first.person, '--before', String(past));
        assert.match(none.out, /^0 grants/, none.err);
        assert.equal(await call(otherTokens), 200);
        assert.match((await admin('revoke', '--netrc', '--person', first.person)).out, /^1 grants/);
        assert.equal(await call(otherTokens), 401);
        assert.equal((await other.refresh(otherTokens.refresh_token)).status, 400);
        assert.equal(await call(bobs), 200);
        tokens = await until(async () => client.signIn(world.person(ada)), 'a new sign-in'); // the person may come again
        assert.equal(await call(tokens), 200);
    });

    await it('takes back what a client was given: it cannot renew', async () => {
        assert.equal((await admin('revoke', '--netrc', '--client', third.client)).code, 0);
        assert.equal(await call(bobs), 401, 'and its access token ends at once');
        assert.equal((await client.refresh(bobs.refresh_token)).status, 400);
    });

    await it('blocks a client: nothing is given to it any more', async () => {
        const latest = (await audit()).findLast((line) => line.event === 'token.issue').client; // each sign-in registers anew
        const { code, out } = await admin('block-client', '--netrc', '--client', latest);
        assert.equal(code, 0);
        assert.equal((await client.refresh(tokens.refresh_token)).status, 400);
        assert.match(out, /MCPOAuthBlockClient/);
        const { code: authorizationCode } = await client.authorize(world.person(bob));
        if (authorizationCode) {
            const answer = await client.redeem(authorizationCode);
            assert.equal(answer.status, 400, answer.text);
            assert.equal(answer.json().error, 'invalid_grant');
        }
        assert.ok(await new OAuthClient(world, { resource, name: 'Third' }).signIn(world.person(bob)), 'others are not touched');
    });

    await it('refuses what is malformed, in JSON, and what another site could send', async () => {
        const post = (path, options) => request(`${url}${path}`, { method: 'POST', headers: authorization, ...options });
        assert.equal((await post('/revoke', { body: { person: first.person } })).status, 415, 'a form');
        assert.equal((await post('/revoke', { json: {} })).status, 400);
        assert.equal((await post('/revoke', { json: { grant: '../..' } })).status, 400);
        assert.equal((await post('/revoke', { json: { person: 'a|b', before: 99999999999 } })).status, 400);
        assert.equal((await post('/revoke', { json: { person: 'a|b', before: 18446744073710 } })).status, 400, 'in microseconds more than 2^64');
        assert.equal((await post('/status', { json: {} })).status, 405);
        assert.equal((await request(`${url}/revoke`, { headers: authorization })).status, 405);
        assert.equal((await request(`${url}/nothing`, { headers: authorization })).status, 404);
        assert.equal((await admin('revoke', '--netrc')).code, 2);
        assert.equal((await admin('revoke', '--netrc', '--person', 'a|b', '--before', 'yesterday')).code, 2);
    });
});
