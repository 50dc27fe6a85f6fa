// SPDX-License-Identifier: Apache-2.0
// A provider of OAuth 2.0 alone: the preset github against a stand-in with GitHub's ways, honest and hostile.

import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as manners from './hostile-idp/manners.mjs';
import { request } from './lib/http.mjs';
import { startGitHub } from './lib/github.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person } from './lib/person.mjs';
import { suite } from './lib/suite.mjs';

const github = await startGitHub();

const site = (lines = '') => (world) => {
    const secret = join(world.httpd.root, 'conf/github-secret');
    writeFileSync(secret, `${github.clientSecret}\n`, { mode: 0o600 });
    world.httpd.secret('client secret', github.clientSecret);
    return `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
${github.section(secret, lines)}
<Location /echo>
    AuthType MCP
    Require mcp-claim login octocat
    ProxyPass ${world.echo.url}/backend
</Location>`;
};

suite('GitHub', { provider: false, backend: false, site: site() }, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    assert.equal((await client.register()).status, 201);
    const attempt = () => client.authorize(new Person({ name: 'octocat', password: 'x' }));
    world.httpd.announce('MCP0243');

    await it('signs in: the number is the subject, the login the name, and claims are kept', async () => {
        const answer = await attempt();
        assert.ok(answer.code, `${answer.url}\n${world.httpd.log().slice(-1500)}`);
        const tokens = await client.redeem(answer.code);
        assert.equal(tokens.status, 200, tokens.text);
        const call = await request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${tokens.json().access_token}` } });
        assert.equal(call.status, 200, call.text);
        const heard = Object.fromEntries(call.json().headers.map(([name, value]) => [name.toLowerCase(), value]));
        assert.equal(heard['x-mcp-subject'], 'github|583231');
        assert.equal(heard['x-mcp-username'], 'octocat');
        const { query } = github.last('/login/oauth/authorize');
        assert.equal(query.scope, 'read:user');
        assert.equal(query.code_challenge_method, 'S256');
        assert.equal(query.nonce, undefined);
        assert.equal(query.resource, undefined);
        // there is nothing to refresh with at GitHub: the grant goes on without it
        const asked = github.requests.length;
        assert.equal((await client.refresh(tokens.json().refresh_token)).status, 200);
        assert.equal(github.requests.length, asked);
        world.httpd.secret('access token of the provider', github.last('/user').headers.authorization.slice(7));
    });

    for (const [name, bend, log, error = 'server_error'] of [
        ['an error with status 200', { code: 'deadbeef' }, /error="bad_verification_code"/],
        ['a token endpoint that sends its answer as a form', { token: (q, r) => { r.writeHead(200); r.end('access_token=gho_x&token_type=bearer'); } }, /not a JSON object/],
        ['a token that the API does not take', { token: manners.says({ access_token: 'gho_nothing', token_type: 'bearer' }) }, /\/user answered 401/],
        ['a page instead of a person', { user: manners.says('<html>hello', 200, { 'Content-Type': 'text/html' }) }, /\/user: the answer is not a JSON object/],
        ['a list instead of a person', { user: manners.says('[{"id":1}]') }, /not a JSON object/],
        ['a redirect', { user: manners.says('', 302, { Location: `${github.base}/user?x` }) }, /\/user answered 302/],
        ['an endless person', { user: manners.endless }, /larger than/],
        ['a huge person', { user: manners.huge }, /larger than|too slow|Timeout|timed out/i, 'any'],
        ['a compressed bomb', { user: manners.bomb }, /not a JSON object|larger than/],
        ['silence', { user: manners.silent }, /timed? ?out/i, 'temporarily_unavailable'],
        ['a dripping answer', { user: manners.drip }, /timed? ?out/i, 'temporarily_unavailable'],
        ['an API that is down', { user: manners.says({ message: 'down' }, 502) }, /answered 502/, 'temporarily_unavailable'],
        ['a rate limit', { user: manners.says({ message: 'slow down' }, 429) }, /answered 429/, 'temporarily_unavailable'],
        ['a person without an id', { user: manners.says({ login: 'octocat' }) }, /the claim id, which names the person, is missing/],
        ['a person whose id is no whole number', { user: manners.says('{"login":"octocat","id":1e300}') }, /the claim id|not a JSON object/],
        ['a person whose id is an object', { user: manners.says({ login: 'octocat', id: { a: 1 } }) }, /the claim id/],
        ['another issuer in the callback (AS-18)', { callback: { iss: 'https://evil.example' } }, /iss of the callback is another issuer/],
    ]) {
        await it(`believes nobody after ${name}`, async () => {
            github.bend = bend;
            const mark = world.httpd.log().length;
            const began = Date.now();
            const answer = await attempt();
            github.bend = {};
            assert.equal(answer.code, undefined);
            if (error !== 'any') assert.equal(answer.error, error, answer.url);
            assert.match(world.httpd.log().slice(mark), log);
            assert.ok(Date.now() - began < 6000);
        });
    }

    await it('sends no logout tokens: it has no keys, and nobody is asked for them', async () => {
        const asked = github.requests.length;
        const response = await request(`${world.base}/backchannel-logout/github`, { method: 'POST', body: { logout_token: 'eyJhbGciOiJSUzI1NiJ9.e30.AA' } });
        assert.equal(response.status, 404, response.text);
        assert.equal(response.json().error, 'invalid_request');
        assert.equal(github.requests.length, asked);
    });

    await it('after all that signs in again', async () => assert.ok((await attempt()).code));

    await it('configtest', async () => {
        for (const [lines, message] of [['', null], ['MCPProviderTokenEndpoint http://github.example/x', /MCPProviderTokenEndpoint takes an https URL/], ['MCPProviderType oidc', /endpoints are discovered/]]) {
            await world.httpd.configure(site(lines)(world));
            const { code, output } = await world.httpd.configtest();
            assert.equal(code === 0, message === null, output);
            if (message) assert.match(output, message);
        }
    });
});
