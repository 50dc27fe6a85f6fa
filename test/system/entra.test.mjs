// SPDX-License-Identifier: Apache-2.0
// Microsoft Entra ID, as far as a stand-in can be it: how the gateway proves who it is, with a certificate and without any
// secret, and what else no other provider asks for.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createRemoteJWKSet, decodeJwt, decodeProtectedHeader, jwtVerify } from 'jose';
import { openBrowser } from './lib/browser.mjs';
import { aadsts, CONSUMERS, DOMAIN, OTHER_TENANT, startEntra, TENANT } from './lib/entra.mjs';
import { challenge, request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

/** One child, so that what it keeps is known. */
const ONE_CHILD = { mpm: 'StartServers 1\nServerLimit 4\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 25\nMinSpareThreads 1\nMaxSpareThreads 25' };

const site = (world, entra, lines) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
<MCPProvider entra>
    MCPProviderPreset entra
    MCPProviderIssuer ${entra.authority()}
    MCPProviderClientID ${entra.clientId}
    MCPProviderTimeout 4s
    ${lines}
</MCPProvider>
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>`;

/** What the suites share: a client of the gateway, sign-ins, and another configuration for the provider. */
async function gateway(world, entra) {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    assert.equal((await client.register()).status, 201);
    const attempt = async () => {
        const mark = world.httpd.log().length;
        const answer = await client.authorize(new Person({ name: 'pat', password: 'x' }));
        return { ...answer, log: world.httpd.log().slice(mark) };
    };
    return {
        client, attempt,
        /** The provider's section with other lines, in new children. */
        async configure(lines, change = {}) {
            await world.httpd.configure((change.site ?? site)(world, { ...entra, ...change }, lines));
            const [before] = world.httpd.children();
            await world.httpd.graceful();
            await until(() => { const now = world.httpd.children(); return now.length === 1 && now[0] !== before; }, 'the new child alone');
            entra.requests.length = 0;
        },
        async signsIn(what = '') {
            const answer = await attempt();
            assert.ok(answer.code, `${what} ${answer.url}\n${answer.log}`);
            return answer;
        },
        async refused(log, error = 'server_error') {
            const answer = await attempt();
            assert.equal(answer.code, undefined, 'a code was given');
            assert.equal(answer.error, error, answer.log);
            assert.match(answer.log, log);
            assert.doesNotMatch(answer.url, /AADSTS|Trace|Correlation/i);
            return answer;
        },
    };
}

const ERRORS = ['MCP0243', 'MCP0232', 'MCP0272', 'AH01631'];
const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'pipe', 'pipe'] });

// ---- the gateway's own credentials ---------------------------------------------------------------------------------

const entra = await startEntra();

suite('client authentication at Entra ID', {
    provider: false, backend: false,
    httpd: { ...ONE_CHILD, env: { IDENTITY_HEADER: entra.identityHeader } },
    site: (world) => {
        world.httpd.announce(...ERRORS);
        return site(world, entra, 'MCPProviderAuthMethod none');
    },
}, async (it, world) => {
    const { configure, signsIn, refused, client, attempt } = await gateway(world, entra);
    const conf = (name) => join(world.httpd.root, 'conf', name);
    /** A key and a self-signed certificate of it, readable by root alone. */
    const certify = (name, ...kind) => {
        openssl('req', '-x509', ...kind, '-nodes', '-keyout', conf(`${name}.key`), '-out', conf(`${name}.pem`), '-subj', `/CN=${name}`, '-days', name === 'old' ? '5' : '90');
        chmodSync(conf(`${name}.key`), 0o600);
        return readFileSync(conf(`${name}.pem`), 'utf8');
    };
    const lastToken = () => entra.asked('/token').at(-1).form;

    await it('without a secret: a public client sends its id and nothing else', async () => {
        entra.accepts = {};
        await signsIn();
        assert.equal(entra.client.method, 'none');
        assert.equal(lastToken().has('client_secret'), false);
    });

    await it('private_key_jwt: PS256, x5t#S256 of the certificate, aud the token endpoint, each one once (E4)', async () => {
        const certificate = certify('rsa', '-newkey', 'rsa:2048');
        entra.accepts = { certificate };
        await configure(`MCPProviderClientKey file:${conf('rsa.key')}\nMCPProviderClientCertificate ${conf('rsa.pem')}`);
        await signsIn();
        const assertion = lastToken().get('client_assertion');
        world.httpd.secret('client assertion', assertion);
        assert.deepEqual(decodeProtectedHeader(assertion), {
            alg: 'PS256', typ: 'JWT', 'x5t#S256': createHash('sha256').update(new X509Certificate(certificate).raw).digest('base64url'),
        });
        const claims = decodeJwt(assertion);
        assert.equal(claims.aud, entra.tokenEndpoint());
        assert.equal(claims.exp - claims.iat, 300);
        await signsIn('a second one');
        assert.notEqual(decodeJwt(lastToken().get('client_assertion')).jti, claims.jti);
        assert.equal(lastToken().get('client_id'), entra.clientId);
    });

    await it('private_key_jwt: RS256 and kid where they are asked for', async () => {
        await configure(`MCPProviderClientKey file:${conf('rsa.key')}\nMCPProviderClientCertificate ${conf('rsa.pem')}\nMCPProviderClientKeyAlg RS256\nMCPProviderClientKeyID my-key`);
        await signsIn();
        const { alg, kid } = decodeProtectedHeader(lastToken().get('client_assertion'));
        assert.deepEqual({ alg, kid }, { alg: 'RS256', kid: 'my-key' });
    });

    await it('private_key_jwt: ES256 by an EC key, aud the issuer (what Entra refuses: the log has its code)', async () => {
        certify('ec', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256');
        await configure(`MCPProviderClientKey file:${conf('ec.key')}\nMCPProviderAssertionAudience issuer`);
        await refused(/AADSTS700027.*check MCPProviderClientID, MCPProviderClientSecret \(or key, or assertion\)/);
        const assertion = lastToken().get('client_assertion');
        assert.deepEqual(decodeProtectedHeader(assertion), { alg: 'ES256', typ: 'JWT' });
        assert.equal(decodeJwt(assertion).aud, entra.authority());
    });

    await it('another attempt after 429, with another assertion; what was throttled twice is said to be so', async () => {
        await configure(`MCPProviderClientKey file:${conf('rsa.key')}\nMCPProviderClientCertificate ${conf('rsa.pem')}`);
        const busy = () => aadsts(90055, 'temporarily_unavailable', 'The tenant is throttled.', { status: 429 });
        entra.fail.token = [busy()];
        await signsIn();
        const [first, second] = entra.asked('/token').map(({ form }) => form.get('client_assertion'));
        assert.notEqual(first, second);
        entra.fail.token = [busy(), busy()];
        await refused(/AADSTS90055/, 'temporarily_unavailable');
        assert.deepEqual(entra.fail.token, []);
    });

    await it('a refresh that was answered 503 is not tried again: its token may be spent', async () => {
        entra.tokenLife = 1;
        const { code } = await signsIn();
        const tokens = (await client.redeem(code)).json();
        await sleep(1100);
        entra.requests.length = 0;
        entra.fail.token = [aadsts(90033, 'temporarily_unavailable', 'A transient error occurred.', { status: 503 })];
        const answer = await client.refresh(tokens.refresh_token);
        assert.equal(answer.status, 200, 'a running session goes on');
        assert.equal(entra.asked('/token').length, 1);
        const again = await client.refresh(answer.json().refresh_token);
        assert.equal(again.status, 200);
        assert.equal(entra.asked('/token').length, 2, 'and asks again at the next refresh');
        entra.tokenLife = undefined;
    });

    // ---- no secret at all ----

    const identity = (...options) => `MCPProviderAssertion managed-identity ${options.join(' ')}`;
    const asked = () => entra.requests.filter(({ path }) => path.startsWith('/metadata/') || path.startsWith('/msi/')).length;

    await it('managed identity by the metadata service (E5, G19): asked once, and told which identity', async () => {
        entra.accepts = { federated: true };
        entra.identityId = 'mi-client';
        await configure(identity(`endpoint=${entra.imds}`, 'client_id=mi-client'));
        await signsIn();
        await signsIn();
        assert.equal(asked(), 1);
        const { headers, query } = entra.requests.find(({ path }) => path.startsWith('/metadata/'));
        assert.equal(headers.metadata, 'true');
        assert.deepEqual(query, { 'api-version': '2018-02-01', resource: 'api://AzureADTokenExchange', client_id: 'mi-client' });
        world.httpd.secret('managed identity', lastToken().get('client_assertion'));
        assert.equal(lastToken().has('client_secret'), false);
        entra.identityId = undefined;
    });

    await it('managed identity: many at once ask once; numbers may be numbers', async () => {
        entra.stringNumbers = false;
        await configure(identity(`endpoint=${entra.imds}`));
        await Promise.all([signsIn(), signsIn(), signsIn(), signsIn()]);
        assert.equal(asked(), 1);
        entra.stringNumbers = true;
    });

    await it('managed identity: 404, 410, 429, 5xx and a lost connection are waited out', async () => {
        await configure(identity(`endpoint=${entra.imds}`));
        entra.fail.identity = [{ status: 404 }, { status: 410 }, { status: 503 }];
        await signsIn();
        assert.equal(asked(), 4);
        await configure(identity(`endpoint=${entra.imds}`));
        entra.fail.identity = [{ status: 429 }, 'hang up', { status: 500 }];
        await signsIn();
        assert.equal(asked(), 4);
    });

    await it('managed identity: one that is not there is told at once; what stays broken, in time', async () => {
        await configure(identity(`endpoint=${entra.imds}`, 'client_id=another'));
        entra.identityId = 'mi-client';
        await refused(/MCP0243.*answered 400 invalid_request Identity not found/);
        assert.equal(asked(), 1);
        entra.identityId = undefined;
        await configure(identity(`endpoint=${entra.imds}`));
        entra.fail.identity = Array(40).fill({ status: 503 });
        const began = Date.now();
        await refused(/MCP0243.*answered 503/, 'temporarily_unavailable');
        assert.ok(Date.now() - began < 9000, `${Date.now() - began} ms`);
        entra.fail.identity = [];
        await until(async () => (await attempt()).code, 'the next attempt to succeed');
    });

    await it('managed identity: a new token before the old one expires; the old one while there is none', async () => {
        entra.identityLife = 4; // fresh for 2 s, used for 3 s
        await configure(identity(`endpoint=${entra.imds}`));
        await signsIn();
        const first = lastToken().get('client_assertion');
        entra.fail.identity = [{ status: 400 }];
        await until(async () => { await signsIn(); return asked() === 2; }, 'another one to be asked for', 8000);
        assert.equal(lastToken().get('client_assertion'), first);
        entra.identityLife = 86399;
        await until(async () => { await attempt(); return lastToken().get('client_assertion') !== first; }, 'another one to be used', 8000);
        await signsIn();
    });

    await it('a federated token file is read anew each time (Kubernetes workload identity)', async () => {
        const file = conf('token');
        writeFileSync(file, `${await entra.platformToken()}\n`, { mode: 0o644 });
        await configure(`MCPProviderAssertion file:${file}`);
        await signsIn();
        const first = lastToken().get('client_assertion');
        writeFileSync(file, await entra.platformToken({ jti: 'another' }));
        await signsIn();
        assert.notEqual(lastToken().get('client_assertion'), first);
        for (const [text, log] of [['', /not a JWT/], ['a b', /not a JWT/], ['x'.repeat(20000), /too large/], [await entra.platformToken({ sub: 'system:serviceaccount:x' }), /AADSTS700213/]]) {
            writeFileSync(file, text);
            await refused(log);
        }
    });

    await it('a command makes the assertion, and what it prints is kept until it expires', async () => {
        const file = conf('token');
        writeFileSync(file, await entra.platformToken());
        await configure(`MCPProviderAssertion "exec:echo x >> ${world.httpd.root}/runs; ls -l /proc/$$/fd >> ${world.httpd.root}/fds; cat ${file}"`);
        execFileSync('sh', ['-c', `touch ${world.httpd.root}/runs ${world.httpd.root}/fds; chmod 666 ${world.httpd.root}/runs ${world.httpd.root}/fds`]);
        await Promise.all([signsIn(), signsIn(), signsIn()]);
        assert.equal(readFileSync(join(world.httpd.root, 'runs'), 'utf8'), 'x\n');
        assert.doesNotMatch(readFileSync(join(world.httpd.root, 'fds'), 'utf8'), /socket:/, 'the command has a socket of ours');
        await configure('MCPProviderAssertion "exec:exit 3"');
        await refused(/the command failed/, 'temporarily_unavailable');
        await configure('MCPProviderAssertion "exec:sleep 60"');
        const began = Date.now();
        await refused(/the command did not end in time/, 'temporarily_unavailable');
        assert.ok(Date.now() - began < 9000, `${Date.now() - began} ms`);
    });

    await it('what does not fit together is refused by configtest, with the mend', async () => {
        for (const [lines, why] of [
            ['MCPProviderAuthMethod private_key_jwt', /needs MCPProviderClientKey file:\/path, or MCPProviderAssertion/],
            ['MCPProviderAuthMethod tls_client_auth', /needs MCPProviderClientKey and MCPProviderClientCertificate/],
            [`MCPProviderAuthMethod none\nMCPProviderClientKey file:${conf('rsa.key')}`, /uses no secret/],
            [`MCPProviderClientKey file:${conf('rsa.key')}\nMCPProviderAssertion workload-identity`, /somebody else makes the assertion/],
            [`MCPProviderClientCertificate ${conf('rsa.pem')}`, /needs its key/],
            [`MCPProviderClientKey file:${conf('rsa.key')}\nMCPProviderClientCertificate ${conf('ec.pem')}`, /is not the key of the certificate/],
            [`MCPProviderClientKey file:${conf('ec.key')}\nMCPProviderClientKeyAlg PS256`, /cannot sign by PS256/],
            [`MCPProviderClientKey file:${conf('rsa.pem')}`, /MCPProviderClientKey: secret file .* chmod 600|not a private key/],
            ['MCPProviderClientKeyAlg HS256', /takes PS256, RS256, ES256/],
            ['MCPProviderAssertion managed-identity client_id=a object_id=b', /names the identity/],
            ['MCPProviderAssertion managed-identity client-id=a', /not "client-id=a"/],
            ['MCPProviderAssertion managed-identity endpoint=http://10.0.0.1/', /takes an https URL/],
            ['MCPProviderAssertion token.txt', /takes managed-identity with its options/],
            ['MCPProviderPAR yes', /takes required, on or off/],
        ]) {
            await world.httpd.configure(site(world, entra, lines));
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, `${lines}\n${output}`);
            assert.match(output, why, lines);
        }
        await world.httpd.configure(site(world, entra, 'MCPProviderAuthMethod none'));
    });
});

// App Service's variables have to be there when httpd starts.
suite('managed identity on App Service', {
    provider: false, backend: false,
    httpd: { ...ONE_CHILD, env: { IDENTITY_ENDPOINT: entra.appService, IDENTITY_HEADER: entra.identityHeader } },
    site: (world) => {
        world.httpd.announce(...ERRORS);
        return site(world, entra, 'MCPProviderAssertion managed-identity client_id=mi-client');
    },
}, async (it, world) => {
    const { signsIn } = await gateway(world, entra);
    await it('is asked by its own endpoint, header and version (E5)', async () => {
        entra.accepts = { federated: true };
        entra.requests.length = 0;
        entra.fail.identity = [{ status: 500 }];
        await signsIn();
        const [, { query, headers }] = entra.requests.filter(({ path }) => path === '/msi/token');
        assert.deepEqual(query, { 'api-version': '2019-08-01', resource: 'api://AzureADTokenExchange', client_id: 'mi-client' });
        assert.equal(headers['x-identity-header'], entra.identityHeader);
        world.httpd.secret('identity header', entra.identityHeader);
    });
});

// ---- what no other provider has ------------------------------------------------------------------------------------

suite('Entra ID', {
    provider: false, backend: false, httpd: ONE_CHILD,
    site: (world) => {
        world.httpd.announce(...ERRORS);
        entra.accepts = { secret: 'a secret with : and / and +' };
        world.httpd.secret('client secret', entra.accepts.secret);
        writeFileSync(join(world.httpd.root, 'conf/entra-secret'), entra.accepts.secret, { mode: 0o600 });
        return site(world, entra, `MCPProviderAllowTenant ${TENANT}\nMCPProviderClientSecret file:${world.httpd.root}/conf/entra-secret`);
    },
}, async (it, world) => {
    const { configure, signsIn, refused, client } = await gateway(world, entra);
    const secret = `MCPProviderClientSecret file:${world.httpd.root}/conf/entra-secret`;
    const usual = { ...entra.person };
    /** The provider's section for another authority than the tenant's own. */
    const at = (tenant, ...lines) => configure([secret, ...lines].join('\n'), { authority: () => entra.authority(tenant) });
    const signedIn = () => world.httpd.log().match(/MCP0244: "([^"]*)" signed in/g).at(-1).match(/"(.*)"/)[1];
    const scopes = () => entra.asked('/token').map(({ form }) => form.get('scope'));

    await it('the person is tid and oid, whatever sub says; roles are kept; keys have no alg (E1, E9)', async () => {
        entra.requests.length = 0;
        await signsIn();
        assert.equal(signedIn(), `entra|${TENANT}/${usual.oid}`);
        entra.person = { ...usual, oid: undefined };
        await refused(/identity refused.*oid/);
        entra.person = usual;
    });

    await it('scope at the token endpoint: OpenID\'s and one resource\'s, for the code and for each refresh; never resource (E3, E10, E12)', async () => {
        const wanted = 'openid profile offline_access api://backend/access https://graph.microsoft.com/User.Read';
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderScope "${wanted}"`);
        entra.tokenLife = 1;
        const { code } = await signsIn();
        const { query } = entra.asked('/authorize').at(-1);
        assert.equal(query.scope, wanted);
        const tokens = (await client.redeem(code)).json();
        await sleep(1100);
        assert.equal((await client.refresh(tokens.refresh_token)).status, 200);
        assert.deepEqual(scopes(), Array(2).fill('openid profile offline_access api://backend/access'));
        for (const { query: q, form } of entra.requests) assert.equal('resource' in q || form.has('resource'), false);
        // and what happens without it
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderScope "${wanted}"\nMCPProviderTokenScope none`);
        await refused(/AADSTS28000/);
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderScope "${wanted}"\nMCPProviderTokenScope "openid User.Read"`);
        await signsIn();
        assert.equal(scopes().at(-1), 'openid User.Read');
        entra.tokenLife = undefined;
    });

    await it('common and organizations: the issuer with the token\'s tenant, by a key for it, from an allowed tenant (E2)', async () => {
        await at('organizations', `MCPProviderAllowTenant ${TENANT} ${OTHER_TENANT}`);
        await signsIn();
        entra.person = { ...usual, tid: OTHER_TENANT };
        await signsIn();
        assert.ok(signedIn().includes(OTHER_TENANT));
        entra.person = { ...usual, tid: CONSUMERS };
        await refused(/tenant 9188040d.* is not among those of MCPProviderAllowTenant/, 'access_denied');
        entra.person = usual;
        for (const [name, claims, log] of [
            ['iss of another tenant than tid', (c) => ({ ...c, iss: `${entra.base}/${OTHER_TENANT}/v2.0` }), /iss is not the provider's issuer/],
            ['no tid', (c) => ({ ...c, tid: undefined }), /tid is missing or no GUID/],
            ['a tid that is a path', (c) => ({ ...c, tid: 'x/../y', iss: `${entra.base}/x/../y/v2.0` }), /tid is missing or no GUID/],
            ['the template itself', (c) => ({ ...c, iss: `${entra.base}/{tenantid}/v2.0` }), /iss is not/],
            ['a version 1 issuer', (c) => ({ ...c, iss: `https://sts.windows.net/${TENANT}/` }), /iss is not/],
        ]) {
            entra.claims = claims;
            await refused(log).catch((error) => assert.fail(`${name}: ${error}`));
        }
        entra.claims = (c) => c;
    });

    await it('a key that is for another tenant\'s tokens signs none of these (E1)', async () => {
        entra.keyIssuer = `${entra.base}/${OTHER_TENANT}/v2.0`;
        await at('common', 'MCPProviderAllowTenant any');
        await refused(/the key is not one for tokens of this issuer/);
        entra.person = { ...usual, tid: OTHER_TENANT };
        await signsIn('and those of its own');
        entra.person = usual;
        entra.keyIssuer = `${entra.base}/{tenantid}/v2.0`;
    });

    await it('consumers, and a tenant by its domain, whose issuer has the id (E1, E2)', async () => {
        await at(DOMAIN, `MCPProviderAllowTenant ${TENANT}`);
        await signsIn();
        await at('consumers', 'MCPProviderAllowTenant consumers');
        entra.person = { ...usual, tid: CONSUMERS };
        await signsIn();
        entra.person = usual;
        await at(DOMAIN, `MCPProviderAllowTenant ${OTHER_TENANT}`);
        await refused(/the provider calls itself/);
    });

    await it('a tenant that is taken out of the list loses its sessions at the next refresh', async () => {
        await at('organizations', 'MCPProviderAllowTenant any');
        entra.tokenLife = 1;
        const { code } = await signsIn();
        const tokens = (await client.redeem(code)).json();
        entra.claims = (c) => ({ ...c, tid: OTHER_TENANT, iss: `${entra.base}/${OTHER_TENANT}/v2.0` });
        await sleep(1100);
        await at('organizations', `MCPProviderAllowTenant ${TENANT}`);
        entra.tokenLife = undefined;
        const answer = await client.refresh(tokens.refresh_token);
        assert.equal(answer.status, 400, answer.text);
        assert.equal(answer.json().error, 'invalid_grant');
        entra.claims = (c) => c;
    });

    await it('AADSTS code, correlation and trace id reach the log, and nobody else (E11)', async () => {
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}`);
        for (const [code, error, text, heard] of [
            [7000222, 'invalid_client', 'The provided client secret keys for app are expired.', 'server_error'],
            [50105, 'interaction_required', 'The signed in user is not assigned to a role for the application.', 'access_denied'],
            [53003, 'interaction_required', 'Access has been blocked by Conditional Access policies.', 'access_denied'],
        ]) {
            entra.fail.token = [aadsts(code, error, text)];
            const { log } = await refused(new RegExp(`AADSTS${code}`), heard);
            assert.match(log, /correlation_id="[0-9a-f-]{36}" trace_id="[0-9a-f-]{36}"/);
        }
    });

    await it('an answer in a form that another site posts, without our cookie: sealed into our own URL (E3)', async () => {
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderResponseMode form_post`);
        const post = async (person, page, change = {}) => {
            const form = (await import('./lib/person.mjs')).forms(page.text)[0];
            const fields = Object.fromEntries(form.fields.map(({ name, value }) => [name, value]));
            world.httpd.secret("provider's code", fields.code);
            return [fields, await request(form.action, { method: 'POST', body: { ...fields, ...change }, headers: { Origin: entra.base, 'Sec-Fetch-Site': 'cross-site' } })];
        };
        /** A person who has consented and signed in: Entra's page with the form. */
        const signedInAt = async () => {
            const person = new Person({ name: 'pat', password: 'x' });
            let to = await person.visit(client.authorizeUrl(), { stop: (url) => url.startsWith(entra.base) });
            assert.equal(new URL(to).searchParams.get('response_mode'), 'form_post');
            return [person, await person.go(to)];
        };
        let [person, page] = await signedInAt();
        let [fields, answer] = await post(person, page);
        assert.equal(answer.status, 303, answer.text);
        assert.equal(answer.headers['set-cookie'], undefined);
        assert.ok(answer.headers.location.startsWith(`${world.base}/oauth-callback?form_post=`), answer.headers.location);
        assert.equal(answer.headers.location.includes(fields.code.slice(0, 40)), false, 'the code stands in the URL');
        const end = await person.go(answer.headers.location);
        assert.ok([302, 303].includes(end.status), end.text);
        assert.ok(new URL(end.headers.location).searchParams.get('code'), end.headers.location);
        // used once, and by that browser only
        assert.equal((await person.go(answer.headers.location)).status, 403);
        [person, page] = await signedInAt();
        [, answer] = await post(person, page);
        assert.equal((await new Person({ name: 'eve', password: 'x' }).go(answer.headers.location)).status, 403);
        assert.equal((await person.go(answer.headers.location.slice(0, -4))).status, 400);
        // nothing that is too large or twice there
        [person, page] = await signedInAt();
        [, answer] = await post(person, page, { code: 'x'.repeat(5000) });
        assert.equal(answer.status, 400);
        const url = `${world.base}/oauth-callback`;
        const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
        assert.equal((await request(url, { method: 'POST', headers, body: 'state=a&state=b&code=c' })).status, 400);
        assert.equal((await request(url, { method: 'POST', headers, body: `state=a&code=${'c'.repeat(40000)}` })).status, 413);
        assert.equal((await request(url, { method: 'POST', json: { state: 'a' } })).status, 400);
        // and where it is not asked for, no post is taken
        await configure(`${secret}\nMCPProviderAllowTenant ${TENANT}`);
        assert.equal((await request(url, { method: 'POST', headers, body: 'state=a&code=c' })).status, 405);
    });

    await it('a claims challenge goes back to the provider with another authorization request, once (E11)', async () => {
        const wanted = '{"access_token":{"acrs":{"essential":true,"value":"c1"}}}';
        entra.requiredClaims = wanted;
        await signsIn();
        const asked = entra.asked('/authorize').map(({ query }) => query.claims);
        assert.deepEqual(asked.slice(-2), [undefined, wanted]);
        entra.requiredClaims = undefined;
        entra.requests.length = 0;
        entra.fail.token = [1, 2].map(() => aadsts(50076, 'interaction_required', 'MFA', { claims: wanted }));
        await refused(/AADSTS50076/, 'access_denied');
        assert.equal(entra.asked('/authorize').length, 2);
    });

    await it('the person\'s upstream token goes to a backend that asks for it, and nowhere else; an expired one never, for it is renewed (G18, CP-31)', async () => {
        const lines = `${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderScope "openid profile offline_access api://backend/access"`;
        const wants = (header) => (...all) => site(...all).replace('Require valid-user', `Require valid-user\nMCPGuardUpstreamToken ${header}`);
        const call = async (token, headers = {}) => {
            const answer = await request(`${world.base}/echo`, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${token}`, ...headers } });
            const got = answer.status === 200 ? Object.groupBy(answer.json().headers, ([name]) => name.toLowerCase()) : {};
            return { answer, got: (name) => got[name.toLowerCase()]?.map(([, value]) => value) };
        };
        await configure(lines, { site: wants('Authorization') });
        entra.tokenLife = 2;
        const tokens = (await client.redeem((await signsIn()).code)).json();
        const { got } = await call(tokens.access_token);
        const [[, first]] = got('authorization').map((value) => value.match(/^Bearer (.*)$/));
        assert.deepEqual(entra.issued.get(first).scopes, ['openid', 'profile', 'offline_access', 'api://backend/access']);
        world.httpd.secret('upstream token', first);
        await sleep(2100);
        entra.tokenLife = 3600;
        const [second] = (await call(tokens.access_token)).got('authorization');
        assert.ok(entra.issued.has(second.slice(7)) && second.slice(7) !== first, 'it was renewed in place');
        world.httpd.secret('upstream token', second.slice(7));
        // under a name of its own, which no client can use in any spelling
        await configure(lines, { site: wants('X-Upstream-Token') });
        const again = (await client.redeem((await signsIn()).code)).json();
        const own = await call(again.access_token, { 'X-Upstream-Token': 'mine', 'x_upstream_token': 'mine', Connection: 'X-Upstream-Token' });
        assert.equal(own.got('authorization'), undefined);
        assert.equal(own.got('x-upstream-token').length, 1);
        assert.ok(entra.issued.has(own.got('x-upstream-token')[0]));
        assert.doesNotMatch(own.answer.text, /"mine"/);
        // and not where nobody asked for it
        await configure(lines);
        const plain = (await client.redeem((await signsIn()).code)).json();
        const text = (await call(plain.access_token)).answer.text;
        for (const token of entra.issued.keys()) assert.equal(text.includes(token), false);
        entra.tokenLife = undefined;
    });

    await it('a token for Graph by refresh, and one for another API on behalf of the person: one call each (G18, E3, E10)', async () => {
        const own = `api://${entra.clientId}/access`;
        const lines = `${secret}\nMCPProviderAllowTenant ${TENANT}\nMCPProviderScope "openid profile offline_access ${own}"`;
        const wants = (line) => (...all) => site(...all).replace('Require valid-user', `Require valid-user\nMCPGuardUpstreamToken ${line}`);
        const call = (token) => request(`${world.base}/echo`, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${token}` } });
        const given = (answer) => answer.json().headers.find(([name]) => name.toLowerCase() === 'authorization')?.[1].slice(7);
        const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
        const asked = (grant) => entra.asked('/token').filter(({ form }) => form.get('grant_type') === grant).map(({ form }) => form);

        await configure(lines, { site: wants('Authorization by=refresh scope="https://graph.microsoft.com/User.Read"') });
        let tokens = (await client.redeem((await signsIn()).code)).json();
        let answers = await Promise.all(Array.from({ length: 8 }, () => call(tokens.access_token)));
        assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200), world.httpd.log().slice(-2000));
        assert.equal(new Set(answers.map(given)).size, 1);
        assert.deepEqual(entra.issued.get(given(answers[0])).scopes, ['https://graph.microsoft.com/User.Read']);
        assert.equal(asked('refresh_token').length, 1);
        assert.equal(asked('refresh_token')[0].has('resource'), false, 'E12');
        world.httpd.secret('Graph token', given(answers[0]));

        await configure(lines, { site: wants('Authorization by=on-behalf-of scope=api://backend/.default') });
        tokens = (await client.redeem((await signsIn()).code)).json();
        answers = await Promise.all(Array.from({ length: 8 }, () => call(tokens.access_token)));
        assert.deepEqual(answers.map(({ status }) => status), Array(8).fill(200), world.httpd.log().slice(-2000));
        assert.deepEqual(entra.issued.get(given(answers[0])).scopes, ['api://backend/.default']);
        assert.equal(asked(JWT_BEARER).length, 1);
        assert.deepEqual(entra.issued.get(asked(JWT_BEARER)[0].get('assertion')).scopes.slice(-1), [own]);
        world.httpd.secret('token on behalf', given(answers[0]));

        // consent is missing: the session lives, the backend is not called, and not every call asks Entra
        tokens = (await client.redeem((await signsIn()).code)).json();
        entra.requests.length = 0;
        const before = world.echo.requests.length;
        entra.fail.token = [aadsts(65001, 'invalid_grant', 'The user or administrator has not consented to use the application.', { suberror: 'consent_required' })];
        const mark = world.httpd.log().length;
        answers = [await call(tokens.access_token), await call(tokens.access_token)];
        assert.deepEqual(answers.map(({ status }) => status), [403, 403]);
        assert.doesNotMatch(answers[0].text, /AADSTS|consent/);
        assert.match(world.httpd.log().slice(mark), /MCP0256.*api:\/\/backend\/\.default.*AADSTS65001/);
        assert.equal(asked(JWT_BEARER).length, 1);
        assert.equal(world.echo.requests.length, before);
        assert.equal((await client.refresh(tokens.refresh_token)).status, 200);
    });

    await it('a claims challenge while a session lives: 401 with the claims, and the next sign-in asks for them; one that comes again is 403 (E11, CP-34)', async () => {
        const wanted = '{"access_token":{"acrs":{"essential":true,"value":"c3"}}}';
        const call = (token) => request(`${world.base}/echo`, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${token}` } });
        const more = () => aadsts(50076, 'interaction_required', 'Multi-factor authentication is required.', { suberror: 'basic_action', claims: wanted });
        let tokens = (await client.redeem((await signsIn()).code)).json();
        entra.fail.token = [more()];
        const answer = await call(tokens.access_token);
        assert.equal(answer.status, 401);
        const { error, claims } = challenge(answer);
        assert.equal(error, 'invalid_token');
        assert.equal(Buffer.from(claims, 'base64url').toString(), wanted);
        assert.doesNotMatch(answer.text, /AADSTS/);
        assert.equal((await client.refresh(tokens.refresh_token)).status, 400, 'a refresh does not help');
        entra.requests.length = 0;
        tokens = (await client.redeem((await signsIn()).code)).json();
        assert.deepEqual(entra.asked('/authorize').map(({ query }) => query.claims), [undefined, wanted]);
        entra.fail.token = [more()];
        assert.equal((await call(tokens.access_token)).status, 403, 'once more would be a circle');
        assert.equal((await client.refresh(tokens.refresh_token)).status, 200);
        entra.requests.length = 0;
        await signsIn();
        assert.deepEqual(entra.asked('/authorize').map(({ query }) => query.claims), [undefined], 'asked for once');
    });

    await it('an upstream token is renewed ahead of its end, by whatever refresh comes then (CP-31)', async () => {
        entra.tokenLife = 30;
        const tokens = (await client.redeem((await signsIn()).code)).json();
        entra.tokenLife = 3600;
        entra.requests.length = 0;
        const next = (await client.refresh(tokens.refresh_token)).json();
        assert.equal(entra.asked('/token').length, 1);
        assert.equal((await client.refresh(next.refresh_token)).status, 200);
        assert.equal(entra.asked('/token').length, 1, 'and not asked for again while it is good');
        entra.tokenLife = undefined;
    });

    await it('groups overage is no membership of nothing (E9)', async () => {
        entra.person = { ...usual, groups: undefined, _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://graph.windows.net/x' } } };
        await world.httpd.configure(site(world, entra, `${secret}\nMCPProviderAllowTenant ${TENANT}`).replace('Require valid-user', '<RequireAll>\nRequire valid-user\nRequire not mcp-claim groups:banned\n</RequireAll>'));
        const [before] = world.httpd.children();
        await world.httpd.graceful();
        await until(() => { const now = world.httpd.children(); return now.length === 1 && now[0] !== before; }, 'the new child alone');
        const call = async () => {
            const { code } = await signsIn();
            const { access_token: token } = (await client.redeem(code)).json();
            return request(`${world.base}/echo`, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${token}` } });
        };
        assert.equal((await call()).status, 403);
        entra.person = { ...usual, groups: ['staff'] };
        assert.equal((await call()).status, 200);
        entra.person = usual;
    });

    await it('what does not fit together is refused by configtest, with the mend', async () => {
        for (const [lines, why] of [
            ['MCPProviderPreset entra common', /people of which tenants may sign in\? Add MCPProviderAllowTenant/],
            ['MCPProviderAllowTenant contoso', /takes ids of tenants/],
            ['MCPProviderScope "openid api://x/.default api://x/read"', /AADSTS70011/],
            ['MCPProviderResponseMode fragment', /takes query or form_post/],
            ['MCPProviderTokenScope "a  b"', /takes none, one-resource, or scopes/],
        ]) {
            await world.httpd.configure(site(world, entra, `${secret}\n${lines}`).replace(lines.startsWith('MCPProviderPreset') ? '    MCPProviderPreset entra\n' : '\0', ''));
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, `${lines}\n${output}`);
            assert.match(output, why, lines);
        }
        await world.httpd.configure(site(world, entra, secret));
    });
});

// ---- an assertion of our own for the backend -----------------------------------------------------------------------

suite('a backend that verifies', {
    provider: false, backend: false, httpd: ONE_CHILD,
    before: (world) => {
        for (const name of ['old', 'new']) {
            openssl('genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', join(world.httpd.root, `conf/${name}.pem`));
            chmodSync(join(world.httpd.root, `conf/${name}.pem`), 0o600);
        }
    },
    site: (world) => {
        world.httpd.announce('MCP0477');
        entra.accepts = {};
        return world.site = site(world, entra, '').replace('MCPStore', `MCPSigningKey file:${world.httpd.root}/conf/old.pem\nMCPStore`)
            .replace('Require valid-user', 'Require valid-user\nMCPGuardAssertion X-MCP-Assertion https://backend.example');
    },
}, async (it, world) => {
    const { client, signsIn } = await gateway(world, entra);
    let tokens = (await client.redeem((await signsIn()).code)).json();
    const keys = () => createRemoteJWKSet(new URL(`${world.base}/jwks`));
    const call = async (headers = {}) => {
        const answer = await request(`${world.base}/echo`, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers: { Authorization: `Bearer ${tokens.access_token}`, ...headers } });
        return answer.status === 200 ? answer.json().headers.filter(([name]) => /assertion/i.test(name)).map(([, value]) => value) : answer;
    };
    const reload = async (text) => {
        await world.httpd.configure(text);
        const [before] = world.httpd.children();
        await world.httpd.graceful();
        await until(() => { const now = world.httpd.children(); return now.length === 1 && now[0] !== before; }, 'the new child alone');
        tokens = (await client.refresh(tokens.refresh_token)).json(); // shmcb was lost with the reload
    };

    await it('gets a JWT about the person, the client and the scope, for itself, for a minute, by a key that is published', async () => {
        const [assertion, more] = await call({ 'X-MCP-Assertion': 'mine', x_mcp_assertion: 'mine' });
        assert.equal(more, undefined);
        const { payload, protectedHeader } = await jwtVerify(assertion, keys(), { issuer: world.base, audience: 'https://backend.example', algorithms: ['ES256'], typ: 'JWT' });
        assert.match(payload.sub, /^entra\|/);
        assert.equal(payload.scope, 'snippets');
        assert.equal(payload.resource, `${world.base}/echo`);
        assert.equal(payload.exp - payload.iat, 60);
        assert.equal(payload.preferred_username, 'pat@contoso.com');
        assert.ok(payload.client_id && protectedHeader.kid);
        const [other] = await call();
        assert.notEqual(decodeJwt(other).jti, payload.jti);
        const { keys: [published] } = (await request(`${world.base}/jwks`)).json();
        assert.deepEqual(Object.keys(published).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    });
    await it('a key is rotated: both are published, the first signs', async () => {
        const old = await call();
        await reload(world.site.replace('conf/old.pem', `conf/new.pem file:${world.httpd.root}/conf/old.pem`));
        const [assertion] = await call();
        assert.notEqual(decodeProtectedHeader(assertion).kid, decodeProtectedHeader(old[0]).kid);
        await jwtVerify(assertion, keys());
        await jwtVerify(old[0], keys());
    });
    await it('without a key nothing is passed on', async () => {
        await reload(world.site.replace(/MCPSigningKey .*/, ''));
        const before = world.echo.requests.length;
        assert.equal((await call()).status, 503);
        assert.equal(world.echo.requests.length, before);
    });
});

// ---- the posted answer in a real browser, which keeps SameSite cookies from other sites' posts --------------------------

const elsewhere = await startEntra({ host: 'localhost' }); // another site than 127.0.0.1

suite('form_post in Chromium', {
    provider: false, backend: false, httpd: ONE_CHILD,
    site: (world) => site(world, elsewhere, 'MCPProviderResponseMode form_post'),
}, async (it, world) => {
    const seen = [];
    const server = http.createServer((incoming, response) => {
        seen.push(incoming.url);
        response.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>arrived</title>');
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, redirectUri: `http://127.0.0.1:${server.address().port}/callback` });
    assert.equal((await client.register()).status, 201);
    for (const javaScriptEnabled of [true, false]) {
        await it(`${javaScriptEnabled ? 'by the form that sends itself' : 'by a button, without scripts'}: the cookie comes with our redirect, and the person is signed in (E3)`, async () => {
            const { page, close } = await openBrowser({ javaScriptEnabled });
            try {
                seen.length = 0;
                await page.goto(client.authorizeUrl());
                await page.getByRole('button', { name: 'Allow' }).click();
                if (!javaScriptEnabled) await page.getByRole('button', { name: 'Submit' }).click();
                await until(() => seen.some((url) => url.startsWith('/callback')), 'the answer to arrive');
                const answer = new URL(seen.find((url) => url.startsWith('/callback')), 'http://x').searchParams;
                assert.ok(answer.get('code'), String(answer));
                assert.equal((await client.redeem(answer.get('code'))).status, 200);
            } finally {
                await close();
            }
        });
    }
    server.closeAllConnections();
    server.close();
});
