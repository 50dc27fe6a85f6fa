// SPDX-License-Identifier: Apache-2.0
// A stand-in for GitHub as an OAuth 2.0 provider, with its ways: no discovery, no id_token, form-encoded answers unless JSON
// is asked for, errors with status 200, numbers as ids, and nobody without a User-Agent.

import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';

export async function startGitHub() {
    const github = { clientId: 'Iv1.0123456789abcdef', clientSecret: `gh-${randomBytes(20).toString('hex')}`, requests: [], bend: {},
        user: { login: 'octocat', id: 583231, node_id: 'MDQ6VXNlcjU4MzIzMQ==', name: 'The Octocat', email: null, company: '@github', site_admin: false, plan: { name: 'pro' } } };
    const codes = new Map();
    const tokens = new Set();
    const server = http.createServer(serve).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    github.base = `http://127.0.0.1:${server.address().port}`;

    /** As GitHub answers at /login/oauth/access_token: 200 whatever happens, JSON only for those who accept it. */
    function say(request, response, value) {
        const json = request.headers.accept?.includes('application/json');
        response.writeHead(200, { 'Content-Type': `${json ? 'application/json' : 'application/x-www-form-urlencoded'}; charset=utf-8` });
        response.end(json ? JSON.stringify(value) : new URLSearchParams(value).toString());
    }

    function token(request, response, form) {
        if (form.get('client_id') !== github.clientId || form.get('client_secret') !== github.clientSecret) {
            return say(request, response, { error: 'incorrect_client_credentials', error_description: 'The client_id and/or client_secret passed are incorrect.' });
        }
        const asked = codes.get(form.get('code'));
        codes.delete(form.get('code'));
        const challenge = createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url');
        if (!asked || challenge !== asked.code_challenge || form.get('redirect_uri') !== asked.redirect_uri) {
            return say(request, response, { error: 'bad_verification_code', error_description: 'The code passed is incorrect or expired.' });
        }
        const value = `gho_${randomBytes(18).toString('hex')}`;
        tokens.add(value);
        return say(request, response, { access_token: value, scope: asked.scope ?? '', token_type: 'bearer' });
    }

    function user(request, response) {
        const [, value] = request.headers.authorization?.match(/^(?:Bearer|token) (\S+)$/i) ?? [];
        const known = tokens.has(value);
        response.writeHead(known ? 200 : 401, { 'Content-Type': 'application/json; charset=utf-8' });
        response.end(JSON.stringify(known ? github.user : { message: 'Bad credentials', status: '401' }));
    }

    async function serve(request, response) {
        const { pathname, searchParams } = new URL(request.url, github.base);
        let body = '';
        for await (const chunk of request) body += chunk;
        const form = new URLSearchParams(body);
        github.requests.push({ path: pathname, headers: request.headers, query: Object.fromEntries(searchParams), form });
        response.on('error', () => {});
        if (!request.headers['user-agent']) {
            response.writeHead(403, { 'Content-Type': 'text/plain' });
            return response.end('Request forbidden by administrative rules. Please make sure your request has a User-Agent header.');
        }
        if (pathname === '/login/oauth/authorize') {
            const code = randomBytes(10).toString('hex');
            codes.set(code, Object.fromEntries(searchParams));
            const back = new URL(searchParams.get('redirect_uri'));
            for (const [name, value] of Object.entries({ code: github.bend.code ?? code, state: searchParams.get('state'), ...github.bend.callback })) back.searchParams.set(name, value);
            response.writeHead(302, { Location: back.href });
            return response.end();
        }
        const [name, behave] = pathname === '/login/oauth/access_token' ? ['token', token] : pathname === '/user' ? ['user', user]
            : ['other', (_, to) => { to.writeHead(404); to.end(); }];
        return (github.bend[name] ?? behave)(request, response, form);
    }

    /** Its <MCPProvider>. @param secret  the file of clientSecret; @param lines  further ones */
    github.section = (secret, lines = '') => `<MCPProvider github>
    MCPProviderPreset github
    MCPProviderAuthorizationEndpoint ${github.base}/login/oauth/authorize
    MCPProviderTokenEndpoint ${github.base}/login/oauth/access_token
    MCPProviderUserinfoEndpoint ${github.base}/user
    MCPProviderClientID ${github.clientId}
    MCPProviderClientSecret file:${secret}
    MCPProviderTimeout 2s
    ${lines}
</MCPProvider>`;
    github.last = (path) => github.requests.findLast((request) => request.path === path);
    return github;
}
