// SPDX-License-Identifier: Apache-2.0
// Microsoft Entra ID, as far as a stand-in can be it: how the gateway proves who it is, with a certificate and without any
// secret, and what else no other provider asks for.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { decodeJwt, decodeProtectedHeader } from 'jose';
import { startEntra, aadsts } from './lib/entra.mjs';
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

const ERRORS = ['MCP0243', 'MCP0232', 'MCP0272'];
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

    await it('managed identity by the metadata service (E5): asked once, and told which identity', async () => {
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
