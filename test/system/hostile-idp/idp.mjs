// SPDX-License-Identifier: Apache-2.0
// An OpenID provider that does as it is told, right or wrong: each answer can be bent or replaced. By itself it behaves,
// checks its client and PKCE strictly, and signs everybody in at once as the same person.
//
//   const idp = await startHostileIdp({ redirectUri });
//   idp.bend.claims = (claims) => ({ ...claims, aud: 'somebody else' });
//   idp.bend.token = drip;                       // (request, response) instead of the token endpoint
//   idp.reset();

import { createHash, createHmac, generateKeyPairSync, randomBytes, sign as signBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';

const b64 = (value) => Buffer.from(typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value)).toString('base64url');

const CURVES = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' };
const made = new Map(); // RSA keys take long to make: one for each kid and size

/** A key pair as {kid, alg, privateKey, jwk}; `jwk` is public, with kid and use but without alg, as Entra's (E1). */
export function makeKey(alg = 'RS256', { kid = randomBytes(6).toString('hex'), bits = 2048 } = {}) {
    const id = `${alg} ${kid} ${bits}`;
    if (!made.has(id)) {
        const { privateKey, publicKey } = CURVES[alg]
            ? generateKeyPairSync('ec', { namedCurve: CURVES[alg] }) : generateKeyPairSync('rsa', { modulusLength: bits });
        made.set(id, { kid, alg, privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' } });
    }
    return made.get(id);
}

/** Signature of `input` by `alg`; HS256 takes a string or buffer as its key. */
export function signature(alg, key, input) {
    const hash = `sha${alg.slice(2)}`;
    if (alg === 'none') return Buffer.alloc(0);
    if (alg.startsWith('HS')) return createHmac(hash, key).update(input).digest();
    if (alg.startsWith('ES')) return signBytes(hash, Buffer.from(input), { key, dsaEncoding: 'ieee-p1363' });
    if (alg.startsWith('PS')) return signBytes(hash, Buffer.from(input), { key, padding: 6, saltLength: Number(alg.slice(2)) / 8 });
    return signBytes(hash, Buffer.from(input), key);
}

/** A compact JWS. `payload` may be text that is no JSON, or JSON that JSON.stringify would not write. */
export function jws(header, payload, key) {
    const input = `${b64(header)}.${b64(payload)}`;
    return `${input}.${signature(header.alg, key, input).toString('base64url')}`;
}

export async function startHostileIdp({ clientId = 'gateway', clientSecret = `cs-${randomBytes(18).toString('base64url')}`, redirectUri, tls, host = '127.0.0.1' } = {}) {
    const idp = { clientId, clientSecret, requests: [], key: makeKey('RS256', { kid: 'main' }) };
    const codes = new Map();
    const refreshTokens = new Set();
    const server = (tls ? https.createServer(tls, serve) : http.createServer(serve)).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref(); // a test that forgets stop() ends all the same
    idp.issuer = `${tls ? 'https' : 'http'}://${host}:${server.address().port}`;
    idp.redirectUri = redirectUri;

    /** What is bent: discovery, keys, claims, header, answer: (value, context) => value; sign: (header, claims) => token;
     *  or the endpoint as a whole, by name: metadata, jwks, token: (request, response). */
    idp.reset = () => {
        idp.bend = {};
        idp.key = makeKey('RS256', { kid: 'main' });
        idp.published = [idp.key];
        idp.rotates = true;
    };
    idp.reset();

    const json = (response, value, status = 200) => {
        const text = typeof value === 'string' ? value : JSON.stringify(value);
        response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
        response.end(text);
    };

    const bent = (name, value, context) => (idp.bend[name] ? idp.bend[name](value, context) : value);

    function metadata(request, response) {
        json(response, bent('discovery', {
            issuer: idp.issuer,
            authorization_endpoint: `${idp.issuer}/authorize`,
            token_endpoint: `${idp.issuer}/token`,
            jwks_uri: `${idp.issuer}/jwks`,
            response_types_supported: ['code'],
            subject_types_supported: ['public'],
            id_token_signing_alg_values_supported: ['RS256'],
            scopes_supported: ['openid', 'profile', 'email', 'offline_access'],
        }));
    }

    function jwks(request, response) {
        json(response, bent('keys', { keys: idp.published.map((key) => key.jwk) }));
    }

    /** Where the provider sends the browser: the callback's URL. */
    idp.authorize = (url) => {
        const { searchParams } = new URL(url);
        const params = Object.fromEntries(searchParams);
        const code = `code-${randomBytes(16).toString('base64url')}`;
        codes.set(code, params);
        const callback = new URL(params.redirect_uri);
        for (const [name, value] of Object.entries(bent('callback', { code, state: params.state }, params))) {
            if (value !== undefined) callback.searchParams.append(name, value);
        }
        return callback.href;
    };

    function idToken(nonce) {
        const now = Math.floor(Date.now() / 1000);
        const claims = bent('claims', {
            iss: idp.issuer, aud: clientId, sub: 'person-1', nonce, iat: now, nbf: now, exp: now + 600, name: 'Pat Person',
            preferred_username: 'pat@example.com', email: 'pat@example.com', roles: ['User'], groups: ['g1', 'g2'],
        }, { nonce, now });
        const header = bent('header', { alg: idp.key.alg, kid: idp.key.kid, typ: 'JWT' });
        return idp.bend.sign ? idp.bend.sign(header, claims, { nonce, now }) : jws(header, claims, idp.key.privateKey);
    }

    /** How the client authenticated: {method, id, secret}; null when neither or both. */
    function authentication(request, form) {
        const [, basic] = request.headers.authorization?.match(/^Basic (\S+)$/) ?? [];
        if (basic && form.has('client_secret')) return null;
        if (basic) {
            const [id, secret] = Buffer.from(basic, 'base64').toString().split(':').map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
            return { method: 'client_secret_basic', id, secret };
        }
        const method = form.has('client_secret') ? 'client_secret_post' : 'none';
        return { method, id: form.get('client_id'), secret: form.get('client_secret') };
    }

    async function token(request, response, form) {
        const client = authentication(request, form);
        idp.client = client;
        if (client?.id !== clientId || (clientSecret && client.secret !== clientSecret)) {
            return json(response, { error: 'invalid_client' }, 401);
        }
        let nonce;
        if (form.get('grant_type') === 'authorization_code') {
            const params = codes.get(form.get('code'));
            const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
            if (!params || params.redirect_uri !== form.get('redirect_uri') || params.code_challenge !== challenge
                || params.code_challenge_method !== 'S256') {
                return json(response, { error: 'invalid_grant', error_description: 'the code is not good' }, 400);
            }
            codes.delete(form.get('code'));
            nonce = params.nonce;
        } else if (!refreshTokens.has(form.get('refresh_token'))) {
            return json(response, { error: 'invalid_grant', error_description: 'the refresh token is not good' }, 400);
        } else if (idp.rotates) {
            refreshTokens.delete(form.get('refresh_token'));
        }
        const answer = { token_type: 'Bearer', access_token: `at-${randomBytes(24).toString('base64url')}`, expires_in: 3600, id_token: idToken(nonce) };
        if (nonce || idp.rotates) {
            answer.refresh_token = `rt-${randomBytes(24).toString('base64url')}`;
            refreshTokens.add(answer.refresh_token);
        }
        return json(response, bent('answer', answer, { form }));
    }

    async function serve(request, response) {
        const { pathname, searchParams } = new URL(request.url, idp.issuer);
        let body = '';
        for await (const chunk of request) body += chunk;
        const form = new URLSearchParams(body);
        idp.requests.push({ path: pathname, method: request.method, headers: request.headers, query: Object.fromEntries(searchParams), form });
        response.on('error', () => {});
        if (pathname === '/authorize') {
            response.writeHead(302, { Location: idp.authorize(`${idp.issuer}${request.url}`) });
            return response.end();
        }
        const [name, behave] = pathname === '/.well-known/openid-configuration' ? ['metadata', metadata]
            : pathname === '/jwks' ? ['jwks', jwks] : pathname === '/token' ? ['token', token]
                : ['other', (_, to) => json(to, { error: 'not found' }, 404)];
        return (idp.bend[name] ?? behave)(request, response, form);
    }

    /** How often a path was asked for. */
    idp.count = (path) => idp.requests.filter((request) => request.path === path).length;
    /** The person's grant is withdrawn: no refresh token is good any more. */
    idp.forget = () => refreshTokens.clear();
    idp.stop = () => new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
    });
    /** Come back at the same port after stop(). */
    idp.again = async () => {
        server.listen(Number(new URL(idp.issuer).port), '127.0.0.1');
        await once(server, 'listening');
    };
    return idp;
}
