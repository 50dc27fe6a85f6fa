// SPDX-License-Identifier: Apache-2.0
// Against oidc-provider, which is strict and certified: the client authentications beyond a secret, pushed requests, and
// refresh tokens that rotate and may not be used twice.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { startProvider } from './lib/demo.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** A key and a certificate in the world's conf directory, self-signed unless `more` says otherwise. */
function certify(world, name, { kind = ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], subject = `/CN=${name}`, more = [] } = {}) {
    const conf = (suffix) => join(world.httpd.root, `conf/${name}.${suffix}`);
    openssl('req', '-x509', '-newkey', ...kind, '-nodes', '-keyout', conf('key'), '-out', conf('pem'),
        '-subj', subject, '-days', '90', ...more);
    chmodSync(conf('key'), 0o600);
    return { key: readFileSync(conf('key')), cert: readFileSync(conf('pem')), keyFile: conf('key'), certFile: conf('pem') };
}

const site = (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
<MCPProvider demo>
    MCPProviderIssuer ${world.provider.issuer}
    MCPProviderClientID ${world.clientId ?? 'gateway'}
    ${world.lines}
</MCPProvider>
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>`;

/** A world with an oidc-provider of these options; `lines` configure the gateway for it. */
const options = (prepare) => ({
    provider: false, backend: false, site,
    before: async (world) => {
        const { lines, ...provider } = await prepare(world);
        world.lines = lines;
        world.provider = await startProvider(world, provider);
    },
});

const signIn = (world) => new OAuthClient(world, { resource: `${world.base}/echo` }).signIn();

const asKey = (certificate) => ({ ...new X509Certificate(certificate).publicKey.export({ format: 'jwk' }), kid: 'g1' });

suite('private_key_jwt by ES256, with requests that must be pushed (RFC 9126)', options(async (world) => {
    const own = certify(world, 'client');
    return {
        lines: `MCPProviderClientKey file:${own.keyFile}\nMCPProviderClientKeyID g1`,
        client: { client_secret: undefined, token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', jwks: { keys: [asKey(own.cert)] } },
        configure: (c) => ({
            ...c, features: { ...c.features, pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: true } },
            clientAuthMethods: ['private_key_jwt', 'client_secret_basic'], enabledJWA: { clientAuthSigningAlgValues: ['ES256', 'PS256', 'RS256'] },
        }),
    };
}), async (it, world) => {
    await it('signs in, and the browser carries nothing but the name of the request', async () => {
        const person = world.person();
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        await client.signIn(person);
        const { url } = person.trace.find((step) => step.url.startsWith(`${world.provider.issuer}/auth?`));
        assert.deepEqual([...new URL(url).searchParams.keys()].sort(), ['client_id', 'request_uri']);
    });
});

suite('private_key_jwt by RS256 alone, where PS256 is not taken', options(async (world) => {
    const own = certify(world, 'client', { kind: ['rsa:2048'] });
    return {
        lines: `MCPProviderClientKey file:${own.keyFile}\nMCPProviderClientCertificate ${own.certFile}`,
        client: { client_secret: undefined, token_endpoint_auth_method: 'private_key_jwt', jwks: { keys: [{ ...asKey(own.cert), kid: undefined }] } },
        configure: (c) => ({ ...c, clientAuthMethods: ['private_key_jwt'], enabledJWA: { clientAuthSigningAlgValues: ['RS256'] } }),
    };
}), async (it, world) => {
    await it('signs in: the algorithm is taken from the metadata', () => signIn(world));
});

/** A certificate for `subject` by an issuing CA below a root of its own: the file has the issuing CA's behind it. */
function certifyByCa(world, name, subject) {
    const by = (ca, more = []) => ['-CA', ca.certFile, '-CAkey', ca.keyFile, ...more];
    const root = certify(world, `${name}-root`);
    const issuing = certify(world, `${name}-issuing`, { more: by(root) });
    const leaf = certify(world, name, { subject, more: by(issuing, ['-addext', 'basicConstraints=CA:FALSE']) });
    const chainFile = join(world.httpd.root, `conf/${name}-chain.pem`);
    writeFileSync(chainFile, Buffer.concat([leaf.cert, issuing.cert]));
    return { ...leaf, chainFile, root: root.cert };
}

let aliases;
suite('certificates at the alias for mTLS (RFC 8705)', options(async (world) => {
    const own = certify(world, 'client');
    const tls = certify(world, 'idp', { more: ['-addext', 'subjectAltName=IP:127.0.0.1'] });
    const byCa = certifyByCa(world, 'by-ca', '/O=Example/CN=gateway');
    aliases = { calls: [], byCa, caFile: tls.certFile };
    const server = https.createServer({ key: tls.key, cert: tls.cert, ca: byCa.root, requestCert: true, rejectUnauthorized: false }, (request, response) => {
        aliases.calls.push([request.url, request.socket.getPeerX509Certificate()?.subject]);
        world.provider.handle(request, response);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    return {
        tls: { key: tls.key, cert: tls.cert },
        lines: `MCPProviderAuthMethod self_signed_tls_client_auth\nMCPProviderCAFile ${tls.certFile}
MCPProviderClientKey file:${own.keyFile}\nMCPProviderClientCertificate ${own.certFile}`,
        client: {
            client_secret: undefined, token_endpoint_auth_method: 'self_signed_tls_client_auth',
            jwks: { keys: [{ ...asKey(own.cert), x5c: [new X509Certificate(own.cert).raw.toString('base64')] }] },
        },
        configure: (c) => ({
            ...c, clientAuthMethods: ['self_signed_tls_client_auth', 'tls_client_auth', 'client_secret_basic'],
            clients: [...c.clients, {
                ...c.clients[0], client_id: 'by-ca', jwks: undefined, token_endpoint_auth_method: 'tls_client_auth', tls_client_auth_subject_dn: 'O=Example\nCN=gateway',
            }],
            discovery: { mtls_endpoint_aliases: { token_endpoint: `https://127.0.0.1:${server.address().port}/token` } },
            features: {
                ...c.features,
                mTLS: {
                    enabled: true, selfSignedTlsClientAuth: true, tlsClientAuth: true,
                    getCertificate: (ctx) => ctx.req.socket.getPeerX509Certificate?.()?.toString(),
                    certificateAuthorized: (ctx) => ctx.req.socket.authorized,
                    certificateSubjectMatches: (ctx, property, expected) => property === 'tls_client_auth_subject_dn' && ctx.req.socket.getPeerX509Certificate().subject === expected,
                },
            },
        }),
    };
}), async (it, world) => {
    await it('self_signed_tls_client_auth signs in, by a certificate that no file of the child\'s user holds', async () => {
        await signIn(world);
        assert.deepEqual(aliases.calls, [['/token', 'CN=client']]);
    });

    await it('tls_client_auth signs in by a certificate of a CA, its chain along with it; one without the chain, or of another CA, proves nothing', async () => {
        world.httpd.announce('MCP0243');
        const others = certifyByCa(world, 'others', '/O=Example/CN=gateway');
        world.clientId = 'by-ca';
        for (const [what, key, chain, good] of [
            ['the whole chain', aliases.byCa.keyFile, aliases.byCa.chainFile, true],
            ['no chain', aliases.byCa.keyFile, aliases.byCa.certFile, false],
            ['another CA', others.keyFile, others.chainFile, false],
        ]) {
            world.lines = `MCPProviderAuthMethod tls_client_auth\nMCPProviderCAFile ${aliases.caFile}
MCPProviderClientKey file:${key}\nMCPProviderClientCertificate ${chain}`;
            await world.httpd.configure(site(world));
            await world.httpd.graceful();
            aliases.calls.length = 0;
            const mark = world.httpd.log().length;
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            await client.register();
            const { code, error } = await client.authorize(world.person());
            assert.deepEqual([Boolean(code), error], good ? [true, undefined] : [false, 'server_error'], what);
            assert.deepEqual(aliases.calls, [['/token', 'O=Example\nCN=gateway']], what);
            if (!good) assert.match(world.httpd.log().slice(mark), /MCP0243.*invalid_client/, what);
        }
    });
});

const rotating = {
    clientSecret: 'a-secret-of-the-client',
    configure: (c) => ({ ...c, rotateRefreshToken: () => true, ttl: { ...c.ttl, AccessToken: 1 } }),
};

suite('refresh tokens that rotate, and end everything when one is used twice', options(async (world) => ({
    lines: `MCPProviderClientSecret file:${await world.httpd.file('conf/rotating', `${rotating.clientSecret}\n`)}`,
    ...rotating,
})), async (it, world) => {
    await it('many refreshes at once, again and again, spend each of them once (CP-31, CP-32)', async () => {
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        let tokens = await client.signIn();
        for (let round = 0; round < 3; round++) {
            await sleep(1100);
            const answers = await Promise.all(Array.from({ length: 5 }, () => client.refresh(tokens.refresh_token)));
            assert.deepEqual(answers.map(({ status }) => status), [200, 200, 200, 200, 200], answers[0].text);
            tokens = answers[0].json();
        }
    });
    await it('a session ends when the provider disables the account (CP-30, W27)', async () => {
        world.httpd.announce('MCP0272');
        const client = new OAuthClient(world, { resource: `${world.base}/echo` });
        const tokens = await client.signIn();
        world.provider.disable(world.provider.accounts[0].login);
        await sleep(1100);
        const answer = await client.refresh(tokens.refresh_token);
        assert.equal(answer.status, 400);
        assert.equal(answer.json().error, 'invalid_grant');
        world.provider.enable(world.provider.accounts[0].login);
    });
    await it('signs in by the keys of a provider that has new ones since the last sign-in (T50)', async () => {
        const keys = async () => (await (await fetch(`${world.provider.issuer}/jwks`)).json()).keys.map(({ kid }) => kid);
        const before = await keys();
        await world.provider.stop();
        world.provider = await startProvider(world, { port: Number(new URL(world.provider.issuer).port), ...rotating });
        assert.notDeepEqual(await keys(), before);
        await signIn(world);
    });
});
