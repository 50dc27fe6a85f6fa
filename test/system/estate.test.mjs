// SPDX-License-Identifier: Apache-2.0
// An estate of more than one gateway: virtual hosts with issuers of their own, an issuer with a path in a host that has an
// application (docs/existing-host.md), several resources behind one issuer, and keys that are rotated while everybody works.

import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { challenge, request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite, keyLine, providerSection } from './lib/world.mjs';

const bearer = (token) => ({ Authorization: `Bearer ${token}` });
const call = (url, token) => request(url, { json: {}, headers: bearer(token) });

/** The second virtual host: another name of this machine, and an issuer with a path. */
const tenantOrigin = (world) => `http://localhost:${world.httpd.port}`;
const tenantIssuer = (world) => `${tenantOrigin(world)}/tenant`;

/** A client of the issuer with a path. */
function tenantClient(world, options) {
    const client = new OAuthClient(world, { resource: `${tenantOrigin(world)}/mcp`, ...options });
    client.base = tenantIssuer(world);
    return client;
}

function site(world) {
    const location = (path) => `
<Location ${path}>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}${path}
</Location>`;
    return `
MCPKeyFile ${world.keyFile}
MCPStore ${world.store.directive}
<VirtualHost *>
    ServerName 127.0.0.1
    MCPIssuer ${world.base}
    MCPResource ${world.base}/mcp name="One" scopes="snippets"
    MCPResource ${world.base}/mcp/deeper name="Deeper" scopes="deeper"
    MCPResource ${world.base}/other name="Other" scopes="other"
    MCPScope deeper "Go deeper"
    MCPScope other "Do something else"
    MCPOAuth On
    ${providerSection(world)}
    ${['/mcp', '/other'].map(location).join('')}
</VirtualHost>
<VirtualHost *>
    ServerName localhost
    MCPIssuer ${tenantIssuer(world)}
    MCPResource ${tenantOrigin(world)}/mcp name="Tenant" scopes="snippets"
    MCPOAuth On
    ${providerSection(world)}
    RewriteEngine On
    RewriteRule ^/mcp(/|$) - [END]
    RewriteRule ^/rewritten/(.*)$ ${world.echo.url}/by-rule/$1 [P]
    <Location />
        AuthType Basic
        AuthName "staff"
        AuthUserFile ${world.staff}
        Require valid-user
    </Location>
    <LocationMatch "^/(tenant|\\.well-known/(oauth-protected-resource|oauth-authorization-server|openid-configuration))(/|$)">
        AuthType None
        Require all granted
    </LocationMatch>
    ${location('/mcp')}
    <Location /mcp-health>
        ProxyPass !
        SetHandler mcp-health
        AuthType None
        Require all granted
    </Location>
    ProxyPass / ${world.echo.url}/application/
</VirtualHost>`;
}

const STAFF = { Authorization: `Basic ${Buffer.from('joe:secret').toString('base64')}` };

suite('virtual hosts with issuers of their own', {
    backend: false, site, issuers: (world) => [tenantIssuer(world)],
    httpd: { modules: ['auth_basic', 'authn_file', 'rewrite'] },
    before: async (world) => { world.staff = await world.httpd.file('conf/staff', `joe:{SHA}${createHash('sha1').update('secret').digest('base64')}\n`, 0o644); },
}, async (it, world) => {
    await it('an issuer with a path is found in every form, and byte for byte (AS-2, AS-3, AS-4, T18)', async () => {
        for (const place of ['/.well-known/oauth-authorization-server/tenant', '/.well-known/openid-configuration/tenant',
            '/tenant/.well-known/openid-configuration', '/tenant/.well-known/oauth-authorization-server']) {
            const response = await request(tenantOrigin(world) + place);
            assert.equal(response.status, 200, place);
            const metadata = response.json();
            assert.equal(metadata.issuer, tenantIssuer(world), place);
            for (const endpoint of ['authorization', 'token', 'registration', 'revocation']) {
                assert.ok(metadata[`${endpoint}_endpoint`].startsWith(`${tenantIssuer(world)}/`), `${endpoint} at ${place}`);
            }
        }
        // the other host has no such tenant, and answers for itself alone
        assert.equal((await request(`${world.base}/.well-known/oauth-authorization-server/tenant`)).status, 404);
        assert.equal((await request(`${world.base}/.well-known/oauth-authorization-server`)).json().issuer, world.base);
    });

    await it('each resource has metadata of its own, in every form, and says which issuer serves it (RS-1, RS-2, RS-3)', async () => {
        const cases = [[world.base, '/mcp', world.base, ['snippets']], [world.base, '/mcp/deeper', world.base, ['deeper']],
            [world.base, '/other', world.base, ['other']], [tenantOrigin(world), '/mcp', tenantIssuer(world), ['snippets']]];
        for (const [origin, path, issuer, scopes] of cases) {
            const refused = await request(origin + path, { json: {} });
            assert.equal(refused.status, 401);
            const place = challenge(refused).resource_metadata;
            assert.equal(place, `${origin}/.well-known/oauth-protected-resource${path}`);
            const metadata = (await request(place)).json();
            assert.equal(metadata.resource, origin + path);
            assert.deepEqual(metadata.authorization_servers, [issuer]);
            assert.deepEqual(metadata.scopes_supported, scopes);
        }
    });

    let one, tenant;
    await it('a person signs in at either, and each token works at its own resource alone (RS-4, T4)', async () => {
        one = new OAuthClient(world, { resource: `${world.base}/mcp` });
        tenant = tenantClient(world);
        const [a, b] = [await one.signIn(), await tenant.signIn()];
        assert.equal((await call(`${world.base}/mcp`, a.access_token)).status, 200);
        assert.equal((await call(`${tenantOrigin(world)}/mcp`, b.access_token)).status, 200);
        for (const [url, token] of [[`${tenantOrigin(world)}/mcp`, a], [`${world.base}/mcp`, b],
            [`${world.base}/mcp/deeper`, a], [`${world.base}/other`, a]]) {
            const answer = await call(url, token.access_token);
            assert.equal(answer.status, 401, url);
            assert.equal(challenge(answer).error, 'invalid_token');
        }
    });

    await it('the application of such a host keeps its password, and every address that is not the gateway\'s', async () => {
        const app = (path, headers) => request(tenantOrigin(world) + path, { headers });
        for (const path of ['/', '/token', '/register', '/authorize', '/connections', '/mcpx', '/.well-known/security.txt']) {
            assert.equal((await app(path)).status, 401, path);
            const answer = await app(path, STAFF);
            assert.equal(answer.status, 200, path);
            assert.equal(answer.json().url, `/application${path}`);
        }
        assert.equal((await app('/rewritten/x', STAFF)).json().url, '/by-rule/x');
        // its password opens nothing of the gateway, whose pages of handlers are not sent to the application
        assert.match((await app('/mcp', STAFF)).headers['www-authenticate'], /^Bearer /);
        assert.equal((await call(`${tenantOrigin(world)}/mcp`, tenant.tokens.access_token)).json().url, '/mcp');
        assert.ok((await app('/mcp-health')).json().checks.store);
    });

    await it('nothing that one issuer sealed is known to the other (T5)', async () => {
        const stranger = tenantClient(world);
        stranger.clientId = one.clientId;
        const page = await world.person().go(stranger.authorizeUrl());
        assert.equal(page.status, 400);
        assert.match(page.headers['content-type'], /html/);
        for (const answer of [await stranger.refresh(one.tokens.refresh_token),
            await tenantClientWithId(tenant).refresh(one.tokens.refresh_token)]) {
            assert.ok([400, 401].includes(answer.status), answer.text);
            assert.match(answer.json().error, /^invalid_(client|grant)$/);
        }
        // a code of the one at the other's token endpoint
        const { code } = await one.authorize(world.person());
        assert.ok(code);
        const redeemed = await tenant.redeem(code, { code_verifier: one.pkce.verifier });
        assert.equal(redeemed.status, 400);
        assert.equal(redeemed.json().error, 'invalid_grant');
        // and the real client loses nothing by that
        assert.equal((await one.redeem(code)).status, 200);
    });

    await it('a file below the document root with an endpoint\'s name is never served in its place (T35)', async () => {
        for (const name of ['authorize', 'consent', 'token', 'register', 'revoke', 'oauth-callback']) {
            await world.httpd.file(`htdocs/${name}`, 'bytes that nobody may see', 0o644);
            for (const method of ['GET', 'POST', 'OPTIONS', 'PUT']) {
                const answer = await request(`${world.base}/${name}`, { method });
                assert.ok(answer.status >= 200 && answer.status < 500, `${method} ${name}: ${answer.status}`);
                assert.doesNotMatch(answer.text, /nobody may see/, `${method} ${name}`);
            }
        }
    });

    await it('revoking at one leaves the other alone (T14)', async () => {
        const foreign = await request(`${tenantIssuer(world)}/revoke`, { method: 'POST', body: { token: one.tokens.refresh_token, client_id: tenant.clientId } });
        assert.equal(foreign.status, 200, 'RFC 7009: an unknown token is no error');
        assert.equal((await call(`${world.base}/mcp`, one.tokens.access_token)).status, 200);
        assert.equal((await call(`${tenantOrigin(world)}/mcp`, tenant.tokens.access_token)).status, 200);
    });
});

/** The same client, so that a test may change what it sends without touching it. */
function tenantClientWithId(client) {
    return Object.assign(Object.create(Object.getPrototypeOf(client)), client);
}

suite('keys are rotated under load', { backend: false, store: 'memcache' }, async (it, world) => {
    const resource = `${world.base}/echo`;
    const old = new OAuthClient(world, { resource });
    const atWork = await Promise.all([1, 2].map(async (n) => {
        const client = new OAuthClient(world, { resource, name: `worker ${n}` });
        await client.signIn();
        return client;
    }));
    await old.signIn();

    /** One client that calls and refreshes until told to stop; what was not 200. */
    async function work(client, until) {
        const bad = [];
        let calls = 0, refreshes = 0;
        while (!until.stop) {
            const answer = await call(resource, client.tokens.access_token).catch((error) => ({ status: error.message, text: '' }));
            if (answer.status !== 200) bad.push(`call: ${answer.status} ${answer.text}`);
            if (++calls % 10 === 0) {
                const fresh = await client.refresh(client.tokens.refresh_token).catch((error) => ({ status: error.message, text: '' }));
                if (fresh.status !== 200) bad.push(`refresh: ${fresh.status} ${fresh.text}`);
                else client.tokens = fresh.json();
                refreshes++;
            }
        }
        return { bad, calls, refreshes };
    }

    await it('a new first key, then the old one gone: no request fails (design principle 6)', async () => {
        const signal = { stop: false };
        const running = atWork.map((client) => work(client, signal));
        const first = await readFile(world.keyFile, 'utf8');
        const second = keyLine('k2');
        await sleep(300);
        await writeFile(world.keyFile, first + second); // every node learns to open it
        await world.httpd.graceful();
        await sleep(300);
        await writeFile(world.keyFile, second + first); // and seals with it
        await world.httpd.graceful();
        await sleep(1000);
        signal.stop = true;
        for (const { bad, calls, refreshes } of await Promise.all(running)) {
            assert.deepEqual(bad, []);
            assert.ok(calls > 20 && refreshes > 1, `${calls} calls, ${refreshes} refreshes`);
        }
        for (const client of atWork) assert.match(client.tokens.access_token, /\.k2\./, 'sealed with the new key by now');
    });

    await it('what was sealed before goes on: registration, access token, refresh token', async () => {
        assert.match(old.clientId, /\.k1\./);
        assert.equal((await call(resource, old.tokens.access_token)).status, 200);
        const { code } = await old.authorize(world.person());
        assert.equal((await old.redeem(code)).status, 200);
        const fresh = await old.refresh(old.tokens.refresh_token);
        assert.equal(fresh.status, 200);
        old.tokens = fresh.json();
        assert.match(old.tokens.refresh_token, /\.k2\./);
    });

    await it('without the old key its registrations and tokens are unknown, in the protocol\'s shape, and the new ones go on', async () => {
        const lines = (await readFile(world.keyFile, 'utf8')).split('\n');
        await writeFile(world.keyFile, `${lines[0]}\n`);
        await world.httpd.graceful();
        assert.equal((await call(resource, atWork[0].tokens.access_token)).status, 200);
        const gone = await old.refresh(old.tokens.refresh_token);
        assert.equal(gone.status, 401);
        assert.equal(gone.json().error, 'invalid_client');
    });
});

suite('two nodes of one gateway, on one memcached', { backend: false, store: 'memcache', directives: 'MCPSessionCache 0' }, async (it, world) => {
    // the second node: another httpd with the same key file and the same issuer, as behind a balancer
    const second = await Httpd.make();
    try {
        await second.configure(defaultSite(world));
        await second.start();
        const nodes = [world.base, second.base];
        const at = (client, base) => Object.assign(Object.create(Object.getPrototypeOf(client)), client, { base });

        await it('50 parallel refreshes with one token, on both: one new pair, the same for all (T27)', async () => {
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            const { refresh_token: old } = await client.signIn();
            const answers = await Promise.all(Array.from({ length: 50 }, (_, i) => at(client, nodes[i % 2]).refresh(old)));
            assert.deepEqual([...new Set(answers.map(({ status }) => status))], [200]);
            assert.equal(new Set(answers.map((answer) => answer.json().refresh_token)).size, 1);
            const { access_token: token } = answers[0].json();
            for (const base of nodes) assert.equal((await call(`${base}/echo`, token)).status, 200, base);
        });

        await it('a sign-in that began at one node ends at the other (design principle 1)', async () => {
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            await client.register();
            const { code } = await client.authorize(world.person());
            const answer = await at(client, second.base).redeem(code);
            assert.equal(answer.status, 200, answer.text);
            assert.equal((await client.redeem(code)).status, 400, 'and the code is used up at both');
        });

        await it('what is revoked at one is refused at the other on the next call', async () => {
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            const tokens = await client.signIn();
            for (const base of nodes) assert.equal((await call(`${base}/echo`, tokens.access_token)).status, 200, base);
            assert.equal((await at(client, second.base).revoke(tokens.refresh_token)).status, 200);
            for (const base of nodes) assert.equal((await call(`${base}/echo`, tokens.access_token)).status, 401, base);
            assert.equal((await client.refresh(tokens.refresh_token)).json().error, 'invalid_grant');
        });
    } finally {
        await second.close();
    }
});
