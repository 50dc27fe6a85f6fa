// SPDX-License-Identifier: Apache-2.0
// A real sign-in through mod_mcp_oauth by script: register, authorize, consent, provider, callback, token.

import { createHash, randomBytes } from 'node:crypto';
import http from 'node:http';

const REDIRECT = 'http://127.0.0.1:33418/callback';

/** One request, no redirect followed, with a cookie jar (name -> value) for our own host. */
function send(url, { method = 'GET', type, body, jar, agent } = {}) {
    return new Promise((resolve, reject) => {
        const headers = {};
        if (type) {
            headers['content-type'] = type;
            headers['content-length'] = Buffer.byteLength(body);
        }
        if (jar?.size) {
            headers.cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
        }
        if (method === 'POST' && jar) {
            headers.origin = new URL(url).origin;
        }
        const request = http.request(url, { method, headers, agent }, (response) => {
            let text = '';
            response.setEncoding('utf8');
            response.on('data', (data) => { text += data; });
            response.on('end', () => {
                for (const cookie of response.headers['set-cookie'] ?? []) {
                    const [pair, ...attributes] = cookie.split(';');
                    const at = pair.indexOf('=');
                    if (attributes.some((attribute) => /^\s*max-age=0$/i.test(attribute))) {
                        jar?.delete(pair.slice(0, at));
                    }
                    else {
                        jar?.set(pair.slice(0, at), pair.slice(at + 1));
                    }
                }
                resolve({ status: response.statusCode, headers: response.headers, text, url });
            });
        });
        request.on('error', reject);
        request.end(body);
    });
}

function expect(response, statuses, what) {
    if (!statuses.includes(response.status)) {
        throw new Error(`${what}: ${response.status} from ${response.url}\n${response.text.slice(0, 2000)}`);
    }
    return response;
}

const unescape = (text) => text.replace(/&(amp|lt|gt|quot|#39|#x27);/g, (all, name) =>
    ({ amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'", '#x27': "'" })[name]);

/** The consent form as a browser would send it when the person presses the button called "allow". */
function consentForm(html, base) {
    const form = /<form\b([^>]*)>([\s\S]*?)<\/form>/i.exec(html);
    const attribute = (tag, name) => {
        const found = new RegExp(`\\b${name}\\s*=\\s*(?:"([^"]*)"|'([^']*)')`, 'i').exec(tag);
        return found ? unescape(found[1] ?? found[2]) : undefined;
    };
    const fields = new URLSearchParams();

    if (!form) {
        throw new Error(`no form on the consent page\n${html.slice(0, 2000)}`);
    }
    for (const [tag] of form[2].matchAll(/<(?:input|button)\b[^>]*>/gi)) {
        const name = attribute(tag, 'name');
        const value = attribute(tag, 'value') ?? '';
        const kind = (attribute(tag, 'type') ?? '').toLowerCase();
        const chosen = kind === 'hidden' || (kind === 'checkbox' && /\schecked\b/i.test(tag))
            || (/^<button/i.test(tag) && value === 'allow');
        if (name && chosen) {
            fields.append(name, value);
        }
    }
    return { action: new URL(attribute(form[1], 'action') ?? '', base).href, fields };
}

/** Sign in at the gateway `base` for `resource` and give the token answer. */
export async function signIn(base, resource, agent) {
    const jar = new Map();
    const verifier = randomBytes(32).toString('base64url');
    const state = randomBytes(12).toString('base64url');

    const registered = expect(await send(`${base}/register`, {
        method: 'POST', type: 'application/json', agent,
        body: JSON.stringify({ client_name: 'Benchmark', redirect_uris: [REDIRECT],
            token_endpoint_auth_method: 'none', grant_types: ['authorization_code', 'refresh_token'],
            response_types: ['code'] }),
    }), [200, 201], 'register');
    const clientId = JSON.parse(registered.text).client_id;

    const authorize = new URL(`${base}/authorize`);
    authorize.search = new URLSearchParams({
        response_type: 'code', client_id: clientId, redirect_uri: REDIRECT, state, resource, scope: 'snippets',
        code_challenge: createHash('sha256').update(verifier).digest('base64url'), code_challenge_method: 'S256',
    });
    const page = expect(await send(authorize.href, { jar, agent }), [200], 'authorize');
    const { action, fields } = consentForm(page.text, authorize.href);

    const approved = expect(await send(action, {
        method: 'POST', type: 'application/x-www-form-urlencoded', body: fields.toString(), jar, agent,
    }), [302, 303], 'consent');
    const provider = expect(await send(approved.headers.location), [302, 303], 'provider');
    const back = expect(await send(provider.headers.location, { jar, agent }), [302, 303], 'callback');

    const answer = new URL(back.headers.location);
    if (!answer.href.startsWith(REDIRECT) || answer.searchParams.get('state') !== state) {
        throw new Error(`callback went to ${answer.href}`);
    }
    const token = expect(await send(`${base}/token`, {
        method: 'POST', type: 'application/x-www-form-urlencoded', agent,
        body: new URLSearchParams({ grant_type: 'authorization_code', code: answer.searchParams.get('code') ?? '',
            redirect_uri: REDIRECT, client_id: clientId, code_verifier: verifier, resource }).toString(),
    }), [200], 'token');
    return JSON.parse(token.text);
}

/** The status that a request gets with a token, or without one. */
export async function probe(url, token, body) {
    return new Promise((resolve, reject) => {
        const headers = token ? { authorization: `Bearer ${token}` } : {};
        if (body) {
            Object.assign(headers, { 'content-type': 'application/json',
                accept: 'application/json, text/event-stream', 'content-length': Buffer.byteLength(body) });
        }
        const request = http.request(url, { method: body ? 'POST' : 'GET', headers }, (response) => {
            response.resume();
            response.on('end', () => resolve(response.statusCode));
        });
        request.on('error', reject);
        request.end(body);
    });
}
