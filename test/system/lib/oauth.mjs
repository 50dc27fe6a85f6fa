// SPDX-License-Identifier: Apache-2.0
// An OAuth client in small steps, so that a test can do each of them wrong.

import { createHash, randomBytes } from 'node:crypto';
import { request } from './http.mjs';

export function pkce() {
    const verifier = randomBytes(32).toString('base64url');
    return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

export class OAuthClient {
    /** @param world of world.mjs */
    constructor(world, { redirectUri = 'http://127.0.0.1:1/callback', resource = `${world.base}/mcp`, scope, name = 'test client' } = {}) {
        Object.assign(this, { world, redirectUri, resource, scope, name });
        this.base = world.base;
    }

    /** POST /register; the answer, with client_id kept when there is one. */
    async register(metadata = {}) {
        const response = await request(`${this.base}/register`, {
            json: {
                client_name: this.name, redirect_uris: [this.redirectUri], token_endpoint_auth_method: 'none',
                grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'], ...metadata,
            },
        });
        if (response.status === 201) this.clientId = response.json().client_id;
        return response;
    }

    /** The authorization URL; parameters may be changed, or left out with undefined. */
    authorizeUrl(changes = {}) {
        this.pkce = pkce();
        this.state = randomBytes(12).toString('base64url');
        const params = {
            response_type: 'code', client_id: this.clientId, redirect_uri: this.redirectUri, state: this.state,
            code_challenge: this.pkce.challenge, code_challenge_method: 'S256', resource: this.resource, scope: this.scope,
            ...changes,
        };
        const url = new URL(`${this.base}/authorize`);
        for (const [name, value] of Object.entries(params)) {
            for (const one of [value].flat()) if (one !== undefined) url.searchParams.append(name, one);
        }
        return url.href;
    }

    /** Send a person through; gives {code, state, iss, error, url} of the answer. */
    async authorize(person, changes = {}, options = {}) {
        const url = await person.visit(this.authorizeUrl(changes), options);
        const { searchParams } = new URL(url);
        const answer = { url, ...Object.fromEntries(searchParams) };
        if (answer.code) this.world.httpd.secret('authorization code', answer.code);
        return answer;
    }

    /** POST /token with a code; the raw answer. */
    redeem(code, changes = {}) {
        return this.token({
            grant_type: 'authorization_code', code, redirect_uri: this.redirectUri, client_id: this.clientId,
            code_verifier: this.pkce.verifier, resource: this.resource, ...changes,
        });
    }

    refresh(refreshToken, changes = {}) {
        return this.token({
            grant_type: 'refresh_token', refresh_token: refreshToken, client_id: this.clientId, resource: this.resource, ...changes,
        });
    }

    async token(params) {
        const body = new URLSearchParams();
        for (const [name, value] of Object.entries(params)) {
            for (const one of [value].flat()) if (one !== undefined) body.append(name, one);
        }
        const response = await request(`${this.base}/token`, {
            method: 'POST', body: body.toString(), headers: { 'Content-Type': 'application/x-www-form-urlencoded' },
        });
        if (response.status === 200) {
            const { access_token: access, refresh_token: refresh } = response.json();
            this.world.httpd.secret('access token', access);
            this.world.httpd.secret('refresh token', refresh);
        }
        return response;
    }

    revoke(token, changes = {}) {
        return request(`${this.base}/revoke`, { method: 'POST', body: { token, client_id: this.clientId, ...changes } });
    }

    /** Registration to tokens in one go: the token response's JSON. */
    async signIn(person = this.world.person()) {
        const registered = await this.register();
        if (registered.status !== 201) throw new Error(`/register answered ${registered.status}: ${registered.text}`);
        const answer = await this.authorize(person);
        if (!answer.code) throw new Error(`no code: ${answer.url}`);
        const response = await this.redeem(answer.code);
        if (response.status !== 200) throw new Error(`/token answered ${response.status}: ${response.text}`);
        this.tokens = response.json();
        return this.tokens;
    }
}
