// SPDX-License-Identifier: Apache-2.0
// The smallest OpenID provider that mod_mcp_oauth accepts: it signs one person in without asking. It exists so that a
// benchmark needs no npm package and so that sign-in flows can be measured with next to no cost at the provider.

import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto';
import http from 'node:http';

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');

function idToken(key, claims) {
    const input = `${b64({ alg: 'RS256', typ: 'JWT', kid: 'bench' })}.${b64(claims)}`;
    return `${input}.${sign('RSA-SHA256', Buffer.from(input), key).toString('base64url')}`;
}

/** Start it. @return { issuer, clientId, clientSecret, close() } */
export async function startProvider() {
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    const jwk = { ...publicKey.export({ format: 'jwk' }), kid: 'bench', use: 'sig', alg: 'RS256' };
    const provider = { clientId: 'bench', clientSecret: randomBytes(24).toString('base64url') };
    const codes = new Map();

    const json = (response, status, value) => {
        response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
        response.end(JSON.stringify(value));
    };
    const routes = {
        '/.well-known/openid-configuration': (request, response) => json(response, 200, {
            issuer: provider.issuer,
            authorization_endpoint: `${provider.issuer}/authorize`,
            token_endpoint: `${provider.issuer}/token`,
            jwks_uri: `${provider.issuer}/jwks`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: ['RS256'],
            code_challenge_methods_supported: ['S256'],
            token_endpoint_auth_methods_supported: ['client_secret_basic', 'client_secret_post'],
            authorization_response_iss_parameter_supported: true,
            scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
        }),
        '/jwks': (request, response) => json(response, 200, { keys: [jwk] }),
        '/authorize': (request, response, query) => {
            const code = randomBytes(16).toString('base64url');
            const target = new URL(query.get('redirect_uri'));
            codes.set(code, query);
            target.searchParams.set('code', code);
            target.searchParams.set('iss', provider.issuer);
            if (query.has('state')) {
                target.searchParams.set('state', query.get('state'));
            }
            response.writeHead(302, { location: target.href });
            response.end();
        },
        '/token': (request, response, query, form) => {
            const asked = codes.get(form.get('code'));
            const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
            const now = Math.floor(Date.now() / 1000);

            codes.delete(form.get('code'));
            if (!asked || (asked.has('code_challenge') && asked.get('code_challenge') !== challenge)) {
                json(response, 400, { error: 'invalid_grant' });
                return;
            }
            json(response, 200, {
                access_token: randomBytes(24).toString('base64url'),
                refresh_token: randomBytes(24).toString('base64url'),
                token_type: 'Bearer',
                expires_in: 3600,
                id_token: idToken(privateKey, {
                    iss: provider.issuer, aud: provider.clientId, sub: 'alice', iat: now, exp: now + 3600,
                    nonce: asked.get('nonce') ?? undefined, preferred_username: 'alice@example.com',
                    name: 'Alice', email: 'alice@example.com',
                }),
            });
        },
    };

    const server = http.createServer((request, response) => {
        const url = new URL(request.url, provider.issuer);
        const route = routes[url.pathname];
        let body = '';

        request.on('data', (data) => { body += data; });
        request.on('end', () => {
            if (route) {
                route(request, response, url.searchParams, new URLSearchParams(body));
            }
            else {
                json(response, 404, { error: 'not_found' });
            }
        });
    });
    await new Promise((resolve, reject) => {
        server.on('error', reject);
        server.listen(0, '127.0.0.1', resolve);
    });
    provider.issuer = `http://127.0.0.1:${server.address().port}`;
    provider.close = () => { server.closeAllConnections(); server.close(); };
    return provider;
}
