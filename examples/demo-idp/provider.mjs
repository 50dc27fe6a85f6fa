// SPDX-License-Identifier: Apache-2.0
// The demo identity provider: oidc-provider with a sign-in form of its own, accounts in memory, and the manners of
// Entra ID where they matter to a broker: identity claims in the id_token, refresh tokens for the scope offline_access
// without a word about consent, PKCE, RS256 keys without `alg`.

import { generateKeyPairSync, randomBytes, timingSafeEqual, createHash } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';

import Provider from 'oidc-provider';

import { ACCOUNTS, claimsOf } from './accounts.mjs';
import { PAGE_HEADERS, errorPage, signInPage } from './page.mjs';

const HOUR = 3600;
const DAY = 24 * HOUR;

const digest = (text) => createHash('sha256').update(String(text)).digest();
const same = (a, b) => timingSafeEqual(digest(a), digest(b));

function configuration({ client, find }) {
    const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
    return {
        clients: [client],
        jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: randomBytes(8).toString('hex') }] },
        cookies: { keys: [randomBytes(24).toString('base64url')] },
        conformIdTokenClaims: false,
        responseTypes: ['code'],
        scopes: ['openid', 'profile', 'email', 'offline_access'],
        claims: {
            openid: ['sub', 'ver', 'roles', 'groups'],
            profile: ['name', 'preferred_username', 'oid', 'tid'],
            email: ['email'],
        },
        pkce: { required: () => true },
        features: { devInteractions: { enabled: false }, revocation: { enabled: true }, backchannelLogout: { enabled: true } },
        interactions: { url: (ctx, interaction) => `/signin/${interaction.uid}` },
        // its own fetch refuses loopback addresses, where all of this demo is
        fetch: (url, options) => fetch(url, { ...options, dispatcher: undefined }),
        findAccount: (ctx, id) => {
            const account = find((each) => each.sub === id);
            return account && { accountId: id, claims: () => claimsOf(account) };
        },
        renderError: (ctx, out) => {
            ctx.set(PAGE_HEADERS);
            ctx.body = errorPage(out.error, out.error_description);
        },
        ttl: {
            AccessToken: HOUR, AuthorizationCode: 60, IdToken: HOUR, Grant: 90 * DAY, Interaction: HOUR,
            RefreshToken: 90 * DAY, Session: DAY,
        },
    };
}

/** oidc-provider gives offline_access only along with prompt=consent; Entra ID does not ask for that. */
async function offlineWithoutPrompt(ctx, next) {
    const { scope, prompt } = ctx.query;
    const prompts = typeof prompt === 'string' ? prompt.split(' ') : [];

    if (ctx.path === '/auth' && typeof scope === 'string' && scope.split(' ').includes('offline_access')
        && !prompts.includes('none') && !prompts.includes('consent')) {
        ctx.query = { ...ctx.query, prompt: [...prompts, 'consent'].join(' ') };
    }
    await next();
}

/** The pages at /signin/UID: a form where a person is needed, and straight on where only consent is asked for. */
function interactions(provider, find, client) {
    async function show(request, response, error, login) {
        const { uid, params } = await provider.interactionDetails(request, response);
        response.writeHead(error ? 401 : 200, PAGE_HEADERS);
        response.end(signInPage({ uid, client: client.client_name, hint: login ?? params.login_hint, error }));
    }

    async function grantAll(request, response, details) {
        const grant = new provider.Grant({ accountId: details.session.accountId, clientId: details.params.client_id });
        grant.addOIDCScope(details.params.scope);
        const consent = { grantId: await grant.save() };
        await provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
    }

    async function signIn(request, response) {
        const form = new URLSearchParams(await body(request));

        if (form.get('action') === 'cancel') {
            return provider.interactionFinished(request, response,
                { error: 'access_denied', error_description: 'The person cancelled the sign-in.' });
        }
        const login = form.get('login') ?? '';
        const account = find((each) => each.login === login.trim().toLowerCase() || each.email === login.trim());
        if (!account || !same(account.password, form.get('password') ?? '')) {
            return show(request, response, 'User name or password is wrong.', login);
        }
        return provider.interactionFinished(request, response, { login: { accountId: account.sub } });
    }

    return async (request, response) => {
        const details = await provider.interactionDetails(request, response);
        if (details.prompt.name === 'consent') {
            return grantAll(request, response, details);
        }
        return request.method === 'POST' ? signIn(request, response) : show(request, response);
    };
}

async function body(request) {
    let text = '';
    for await (const chunk of request) {
        text += chunk;
        if (text.length > 65536) {
            throw new Error('form too large');
        }
    }
    return text;
}

/**
 * Start it.
 * @param options.port          0 takes a free one
 * @param options.clientId, clientSecret, redirectUris   its one client, the gateway
 * @param options.client        further metadata of it, such as backchannel_logout_uri; undefined takes a member away
 * @param options.authMethod    how the client authenticates: client_secret_basic (default) or client_secret_post
 * @param options.configure     (configuration of oidc-provider) => another one
 * @param options.prepare       (provider of oidc-provider) => nothing: further grant types and middleware
 * @param options.tls           key and certificate (options of https): speak https
 * @param options.host, issuer  the address to listen on (127.0.0.1), and the issuer where it is not that with the port
 * @return { issuer, accounts, handle(request, response), disable(login), enable(login), close() }; a disabled account can neither sign in nor
 *         have its tokens refreshed
 */
export async function startProvider({ port = 0, clientId, clientSecret, redirectUris, authMethod = 'client_secret_basic',
    accounts = ACCOUNTS, client: metadata = {}, configure = (same) => same, prepare, tls,
    host = '127.0.0.1', issuer: named }) {
    const disabled = new Set();
    const find = (is) => accounts.find((each) => !disabled.has(each.login) && is(each));
    const client = {
        client_id: clientId,
        client_secret: clientSecret,
        client_name: 'mod_mcp gateway',
        redirect_uris: redirectUris,
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: authMethod,
        ...metadata,
    };
    for (const name of Object.keys(client)) {
        if (client[name] === undefined) {
            delete client[name];
        }
    }

    // the issuer's URL has the port in it, so the port has to be known before there is a provider
    let handle = (request, response) => response.writeHead(503).end();
    const answer = (request, response) => handle(request, response);
    const server = tls ? https.createServer(tls, answer) : http.createServer(answer);
    await new Promise((resolve, reject) => server.once('error', reject).listen(port, host, resolve));

    const issuer = named ?? `${tls ? 'https' : 'http'}://${host}:${server.address().port}`;
    const provider = new Provider(issuer, configure(configuration({ client, find })));
    provider.use(offlineWithoutPrompt);
    prepare?.(provider);
    const signIn = interactions(provider, find, client);
    const callback = provider.callback();

    handle = (request, response) => {
        if (!/^\/signin\/[\w-]+$/.test(request.url)) {
            return callback(request, response);
        }
        return signIn(request, response).catch((error) => {
            response.writeHead(error.statusCode ?? error.status ?? 500, PAGE_HEADERS);
            response.end(errorPage('This sign-in is over.', 'It took too long, or it was finished in another window. '
                + 'Go back to your application and begin again.'));
        });
    };
    return {
        issuer,
        accounts,
        handle: answer,
        disable: (login) => disabled.add(login),
        enable: (login) => disabled.delete(login),
        close: () => new Promise((resolve) => {
            server.close(resolve);
            server.closeAllConnections();
        }),
    };
}
