// SPDX-License-Identifier: Apache-2.0
// A stand-in for Microsoft Entra ID with those of its manners that no other provider has (reference E1-E14): tenants in the
// issuer, keys without alg and with an issuer of their own, its scope rules, no `resource`, AADSTS error bodies, client
// assertions by certificate and by federated identity, form_post, groups overage, claims challenges; and the two endpoints
// that hand out a managed identity's token, with their failures.
//
//   const entra = await startEntra();
//   entra.accepts = { certificate };   // PEM of the registered certificate; or secret; or federated: true; or nothing: public
//   entra.person = { oid, tid, ... };                  // who signs in, at once
//   entra.fail.token = [aadsts(50076, 'interaction_required', 'MFA', { claims })];   // answers before the real one

import { createHash, randomBytes, randomUUID, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import { compactVerify, decodeProtectedHeader, exportJWK, generateKeyPair, SignJWT } from 'jose';

export const TENANT = '6babcaad-604b-40ac-a9d7-9fd97c0b779f';
export const OTHER_TENANT = '11111111-2222-3333-4444-555555555555';
export const CONSUMERS = '9188040d-6c67-4c5b-b112-36a304b66dad';
export const DOMAIN = 'contoso.onmicrosoft.com';
const EXCHANGE = 'api://AzureADTokenExchange';
const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const OIDC = ['openid', 'profile', 'email', 'offline_access'];

/** An error as Entra writes it: {status, body}. */
export function aadsts(code, error, text, { status = error === 'invalid_client' ? 401 : 400, ...more } = {}) {
    const [trace, correlation] = [randomUUID(), randomUUID()];
    const timestamp = new Date().toISOString().replace(/T(.*)\..*/, ' $1Z');
    return {
        status,
        body: {
            error,
            error_description: `AADSTS${code}: ${text} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
            error_codes: [code], timestamp, trace_id: trace, correlation_id: correlation,
            error_uri: `https://login.microsoftonline.com/error?code=${code}`, ...more,
        },
    };
}

/** Whose a scope is: null for OIDC's own, Graph for a short name, else all before the last slash. */
export function resourceOf(scope) {
    if (OIDC.includes(scope)) return null;
    return scope.includes('/') ? scope.slice(0, scope.lastIndexOf('/')) : 'https://graph.microsoft.com';
}

/** The rules for scopes (E3), or null. */
function scopeError(scopes, { oneResource }) {
    const resources = new Set(scopes.map(resourceOf).filter(Boolean));
    for (const resource of resources) {
        const own = scopes.filter((scope) => resourceOf(scope) === resource);
        if (own.length > 1 && own.some((scope) => scope.endsWith('/.default'))) {
            return aadsts(70011, 'invalid_scope', `The provided request must include a 'scope' input parameter. The provided value for the input parameter 'scope' is not valid. .default scope can't be combined with resource-specific scopes.`);
        }
    }
    if (oneResource && resources.size > 1) {
        return aadsts(28000, 'invalid_request', `Provided value for the input parameter scope is not valid because it contains more than one resource. Scope ${scopes.join(' ')} is not valid.`);
    }
    return null;
}

export async function startEntra({ clientId = randomUUID(), host = '127.0.0.1' } = {}) {
    const server = http.createServer((request, response) => serve(request, response).catch((error) => {
        entra.errors.push(error);
        response.writeHead(500).end();
    })).listen(0, '127.0.0.1');
    await once(server, 'listening');
    server.unref();
    const base = `http://${host}:${server.address().port}`;
    const signing = await generateKeyPair('RS256', { extractable: true });
    const platform = await generateKeyPair('RS256'); // signs managed identities' and the cluster's tokens
    const codes = new Map();
    const refreshTokens = new Map();
    const usedAssertions = new Set();
    const entra = {
        base, clientId, requests: [], errors: [], platform: [], fail: { token: [], identity: [] }, claims: (c) => c,
        person: { oid: '00000000-0000-0000-66f3-3332eca7ea81', tid: TENANT, name: 'Pat Person', preferred_username: 'pat@contoso.com', roles: ['Mcp.User'] },
        accepts: {}, keyIssuer: `${base}/{tenantid}/v2.0`, identityHeader: randomUUID(), identityLife: 86399, stringNumbers: true,
        authority: (tenant = TENANT) => `${base}/${tenant}/v2.0`,
        tokenEndpoint: (tenant = TENANT) => `${base}/${tenant}/oauth2/v2.0/token`,
        imds: `${base}/metadata/identity/oauth2/token`, appService: `${base}/msi/token`,
        requiredClaims: undefined, // a code for an authorization request without them is refused with a challenge
        asked: (path) => entra.requests.filter((request) => request.path.endsWith(path)),
        stop: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
        forget: () => refreshTokens.clear(),
    };

    const json = (response, status, body, headers = {}) => {
        const text = JSON.stringify(body);
        response.writeHead(status, { 'Content-Type': 'application/json; charset=utf-8', 'Cache-Control': 'no-store, no-cache', ...headers });
        response.end(text);
    };

    /** The GUID that a tenant's name in a URL stands for, or {tenantid}. */
    const issuerTenant = (tenant) => ({ common: '{tenantid}', organizations: '{tenantid}', consumers: CONSUMERS, [DOMAIN]: TENANT })[tenant] ?? tenant;

    function discovery(response, tenant) {
        json(response, 200, {
            token_endpoint: entra.tokenEndpoint(tenant),
            token_endpoint_auth_methods_supported: ['client_secret_post', 'private_key_jwt', 'client_secret_basic', 'self_signed_tls_client_auth'],
            jwks_uri: `${base}/${tenant}/discovery/v2.0/keys`,
            response_modes_supported: ['query', 'fragment', 'form_post'], subject_types_supported: ['pairwise'],
            id_token_signing_alg_values_supported: ['RS256'], response_types_supported: ['code', 'id_token', 'code id_token', 'id_token token'],
            scopes_supported: OIDC, issuer: `${base}/${issuerTenant(tenant)}/v2.0`, request_uri_parameter_supported: false,
            userinfo_endpoint: 'https://graph.microsoft.com/oidc/userinfo', authorization_endpoint: `${base}/${tenant}/oauth2/v2.0/authorize`,
            device_authorization_endpoint: `${base}/${tenant}/oauth2/v2.0/devicecode`, http_logout_supported: true,
            frontchannel_logout_supported: true, end_session_endpoint: `${base}/${tenant}/oauth2/v2.0/logout`,
            claims_supported: ['sub', 'iss', 'aud', 'exp', 'iat', 'nonce', 'preferred_username', 'name', 'tid', 'ver'],
            tenant_region_scope: 'EU', cloud_instance_name: 'microsoftonline.com', rbac_url: 'https://pas.windows.net',
        });
    }

    async function keys(response) {
        const { kty, n, e } = await exportJWK(signing.publicKey);
        json(response, 200, { keys: [{ kty, use: 'sig', kid: 'entra-1', x5t: 'entra-1', n, e, x5c: ['MIIC'], issuer: entra.keyIssuer }] });
    }

    // ---- /authorize ----

    function authorize(response, tenant, params) {
        const answer = (values) => {
            const all = { ...values, ...(params.state === undefined ? {} : { state: params.state }), session_state: randomUUID() };
            if (params.response_mode === 'form_post') {
                const fields = Object.entries(all).map(([name, value]) => `<input type="hidden" name="${name}" value="${value.replaceAll('"', '&quot;')}" />`).join('');
                response.writeHead(200, { 'Content-Type': 'text/html; charset=utf-8' });
                return response.end(`<html><head><title>Working...</title></head><body><form method="POST" name="hiddenform" action="${params.redirect_uri}">${fields}<noscript><p>Script is disabled. Click Submit to continue.</p><input type="submit" value="Submit" /></noscript></form><script language="javascript">document.forms[0].submit();</script></body></html>`);
            }
            const to = new URL(params.redirect_uri);
            for (const [name, value] of Object.entries(all)) to.searchParams.append(name, value);
            response.writeHead(302, { Location: to.href });
            return response.end();
        };
        const refuse = ({ body }) => answer({ error: body.error, error_description: body.error_description, error_uri: body.error_uri });
        if (params.client_id !== clientId) {
            return json(response, 400, aadsts(700016, 'unauthorized_client', `Application with identifier '${params.client_id}' was not found in the directory.`).body);
        }
        if ('resource' in params) return refuse(aadsts(9010010, 'invalid_target', `The 'resource' request parameter value is invalid or does not match the scopes requested.`));
        const scopes = (params.scope ?? '').split(' ').filter(Boolean);
        const wrong = scopeError(scopes, { oneResource: false });
        if (wrong) return refuse(wrong);
        const code = `1.${randomBytes(600).toString('base64url')}`; // as long as Entra's
        codes.set(code, { ...params, tenant, scopes });
        return answer({ code });
    }

    // ---- client authentication ----

    const bad = (code, text) => aadsts(code, 'invalid_client', text);

    async function assertionError(assertion, tenant) {
        let header;
        let claims;
        try {
            header = decodeProtectedHeader(assertion);
            claims = JSON.parse(Buffer.from(assertion.split('.')[1], 'base64url'));
        } catch { return bad(50027, 'JWT token is invalid or malformed.'); }
        const now = Date.now() / 1000;
        const { federated, certificate } = entra.accepts;
        if (federated) {
            try { await compactVerify(assertion, platform.publicKey); } catch { return bad(700027, 'Client assertion failed signature validation.'); }
            if (claims.aud !== EXCHANGE) return bad(700212, `No matching federated identity record found for presented assertion audience '${claims.aud}'.`);
            if (claims.iss !== entra.authority()) return bad(700211, `No matching federated identity record found for presented assertion issuer '${claims.iss}'.`);
            if (claims.sub !== 'managed-identity') return bad(700213, `No matching federated identity record found for presented assertion subject '${claims.sub}'.`);
        } else {
            const x509 = new X509Certificate(certificate);
            if (header['x5t#S256'] !== createHash('sha256').update(x509.raw).digest('base64url')) {
                return bad(700027, `The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The key was not found.]`);
            }
            if (header.typ !== 'JWT' || !['PS256', 'RS256'].includes(header.alg)) return bad(5002738, `Invalid JWT token. '${header.alg}' is not a supported signature algorithm.`);
            try { await compactVerify(assertion, x509.publicKey); } catch { return bad(700027, 'The certificate with identifier used to sign the client assertion is not registered on application. [Reason - The provided signature value did not match the expected signature value.]'); }
            if (claims.aud !== entra.tokenEndpoint(tenant)) return bad(700023, `Client assertion audience claim does not match Realm issuer.`);
            if (claims.iss !== clientId || claims.sub !== clientId) return bad(700021, 'Client assertion application identifier does not match \'client_id\' parameter.');
            if (!claims.jti || usedAssertions.has(claims.jti)) return bad(700024, 'Client assertion was used before.');
            usedAssertions.add(claims.jti);
            if (!(claims.iat <= now + 5) || !(claims.nbf <= now + 5) || claims.exp - claims.iat > 600) return bad(700024, 'Client assertion is not within its valid time range.');
        }
        return claims.exp > now ? null : bad(700024, 'Client assertion is not within its valid time range.');
    }

    async function clientError(request, form, tenant) {
        let id = form.get('client_id');
        let given = form.get('client_secret');
        const [, basic] = request.headers.authorization?.match(/^Basic (\S+)$/) ?? [];
        if (basic) [id, given] = Buffer.from(basic, 'base64').toString().split(':').map((part) => decodeURIComponent(part.replaceAll('+', ' ')));
        const assertion = form.get('client_assertion');
        entra.client = { id, method: assertion ? 'private_key_jwt' : basic ? 'client_secret_basic' : given ? 'client_secret_post' : 'none', assertion };
        if (id !== clientId) return aadsts(700016, 'unauthorized_client', `Application with identifier '${id}' was not found in the directory.`);
        const { secret, certificate, federated } = entra.accepts;
        if (secret) return given === secret ? null : bad(7000215, `Invalid client secret provided. Ensure the secret being sent in the request is the client secret value, not the client secret ID, for a secret added to app '${id}'.`);
        if (certificate || federated) {
            if (form.get('client_assertion_type') !== ASSERTION_TYPE || !assertion) return bad(7000218, `The request body must contain the following parameter: 'client_assertion' or 'client_secret'.`);
            return assertionError(assertion, tenant);
        }
        return given || assertion ? bad(700025, 'Client is public so neither \'client_assertion\' nor \'client_secret\' should be presented.') : null;
    }

    // ---- /token ----

    async function idToken(person, nonce, tenant) {
        const now = Math.floor(Date.now() / 1000);
        const claims = entra.claims({
            aud: clientId, iss: `${base}/${person.tid}/v2.0`, iat: now, nbf: now, exp: now + 3900, nonce, ver: '2.0', rh: '1.AXoA', uti: randomBytes(16).toString('base64url'),
            sub: createHash('sha256').update(`${person.oid} ${clientId}`).digest('base64url'), sid: randomUUID(), ...person,
        }, { nonce, tenant });
        return new SignJWT(claims).setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: 'entra-1' }).sign(signing.privateKey);
    }

    const grants = {
        async authorization_code(form, tenant) {
            const held = codes.get(form.get('code'));
            if (!held || held.redirect_uri !== form.get('redirect_uri')) return aadsts(54005, 'invalid_grant', 'OAuth2 Authorization code was already redeemed, please retry with a new valid code or use an existing refresh token.');
            codes.delete(form.get('code'));
            if (createHash('sha256').update(form.get('code_verifier') ?? '').digest('base64url') !== held.code_challenge) return aadsts(501481, 'invalid_grant', 'The Code_Verifier does not match the code_challenge supplied in the authorization request.');
            if (entra.requiredClaims && held.claims !== entra.requiredClaims) {
                return aadsts(50076, 'interaction_required', `Due to a configuration change made by your administrator, or because you moved to a new location, you must use multi-factor authentication to access '00000003-0000-0000-c000-000000000000'.`, { suberror: 'basic_action', claims: entra.requiredClaims });
            }
            return { person: entra.person, scopes: held.scopes, nonce: held.nonce, tenant };
        },
        async refresh_token(form) {
            const held = refreshTokens.get(form.get('refresh_token')); // never revoked by being used (E10)
            return held ?? aadsts(70000, 'invalid_grant', 'Provided grant is invalid or malformed.', { suberror: 'bad_token' });
        },
        async 'urn:ietf:params:oauth:grant-type:jwt-bearer'(form) {
            if (form.get('requested_token_use') !== 'on_behalf_of') return aadsts(900144, 'invalid_request', `The request body must contain the following parameter: 'requested_token_use'.`);
            // the assertion is an access token for the very application that presents it
            const held = entra.issued.get(form.get('assertion'));
            return held?.scopes.some((scope) => scope.startsWith(`api://${clientId}/`)) ? { ...held, scopes: [] } : aadsts(500131, 'invalid_grant', 'Assertion audience does not match the Client app presenting the assertion.');
        },
    };
    entra.issued = new Map();

    async function token(request, response, form, tenant) {
        const planned = entra.fail.token.shift();
        if (planned) return json(response, planned.status, planned.body, planned.headers);
        const error = await clientError(request, form, tenant)
            ?? (form.has('resource') ? aadsts(901002, 'invalid_request', `The 'resource' request parameter is not supported.`) : null);
        if (error) return json(response, error.status, error.body);
        const grant = await grants[form.get('grant_type')]?.(form, tenant) ?? aadsts(70003, 'unsupported_grant_type', 'The app requested an unsupported grant type.');
        if (grant.body) return json(response, grant.status, grant.body);
        const scopes = form.has('scope') ? form.get('scope').split(' ').filter(Boolean) : grant.scopes;
        const wrong = scopeError(scopes, { oneResource: true });
        if (wrong) return json(response, wrong.status, wrong.body);
        const access = `eyJ0eXAi.${randomBytes(1500).toString('base64url')}.x`;
        entra.issued.set(access, { ...grant, scopes });
        const answer = {
            token_type: 'Bearer', scope: scopes.filter((scope) => !OIDC.includes(scope)).join(' ') || 'email openid profile',
            expires_in: entra.tokenLife ?? 3600 + Math.floor(Math.random() * 1800), ext_expires_in: 5020, access_token: access, client_info: 'eyJ1aWQi',
        };
        if (grant.scopes.includes('offline_access')) {
            answer.refresh_token = `1.${randomBytes(900).toString('base64url')}`;
            refreshTokens.set(answer.refresh_token, { ...grant, nonce: undefined });
        }
        if (scopes.includes('openid')) answer.id_token = await idToken(grant.person, grant.nonce, tenant);
        return json(response, 200, answer);
    }

    // ---- managed identities ----

    entra.platformToken = (changes = {}, life = 86400) => {
        const now = Math.floor(Date.now() / 1000);
        return new SignJWT({ aud: EXCHANGE, iss: entra.authority(), sub: 'managed-identity', iat: now, nbf: now - 300, exp: now + life, tid: TENANT, ...changes })
            .setProtectedHeader({ typ: 'JWT', alg: 'RS256', kid: 'platform' }).sign(platform.privateKey);
    };

    async function identity(request, response, query, kind) {
        const planned = entra.fail.identity.shift();
        if (planned) return planned === 'hang up' ? response.socket.destroy() : json(response, planned.status, planned.body ?? {});
        const right = kind === 'imds'
            ? request.headers.metadata === 'true' && query['api-version'] === '2018-02-01' && !request.headers['x-forwarded-for']
            : request.headers['x-identity-header'] === entra.identityHeader && query['api-version'] === '2019-08-01';
        if (!right) return json(response, kind === 'imds' ? 400 : 401, { error: 'bad_request_102', error_description: 'Required metadata header not specified' });
        if (query.resource !== EXCHANGE) return json(response, 400, { error: 'invalid_resource', error_description: `AADSTS500011: The resource principal named ${query.resource} was not found in the tenant.` });
        if (entra.identityId && query.client_id !== entra.identityId) return json(response, 400, { error: 'invalid_request', error_description: 'Identity not found' });
        const life = entra.identityLife;
        const number = (value) => (entra.stringNumbers ? String(value) : value);
        const body = { access_token: await entra.platformToken({}, life), client_id: query.client_id, expires_on: number(Math.floor(Date.now() / 1000) + life), resource: EXCHANGE, token_type: 'Bearer' };
        if (kind === 'imds') Object.assign(body, { expires_in: number(life), ext_expires_in: number(life), not_before: number(0) });
        return json(response, 200, body);
    }

    async function serve(request, response) {
        const { pathname: path, searchParams } = new URL(request.url, base);
        let body = '';
        for await (const chunk of request) body += chunk;
        const form = new URLSearchParams(body);
        const query = Object.fromEntries(searchParams);
        entra.requests.push({ path, method: request.method, headers: request.headers, query, form });
        if (path === new URL(entra.imds).pathname) return identity(request, response, query, 'imds');
        if (path === new URL(entra.appService).pathname) return identity(request, response, query, 'app-service');
        const [, tenant, rest] = path.match(/^\/([^/]+)\/(.*)$/) ?? [];
        if (![TENANT, OTHER_TENANT, CONSUMERS, DOMAIN, 'common', 'organizations', 'consumers'].includes(tenant)) {
            const { status, body: error } = aadsts(90002, 'invalid_request', `Tenant '${tenant}' not found.`);
            return json(response, status, error);
        }
        if (rest === 'v2.0/.well-known/openid-configuration') return discovery(response, tenant);
        if (rest === 'discovery/v2.0/keys') return keys(response);
        if (rest === 'oauth2/v2.0/authorize') return authorize(response, tenant, request.method === 'POST' ? Object.fromEntries(form) : query);
        if (rest === 'oauth2/v2.0/token') return token(request, response, form, tenant);
        return json(response, 404, {});
    }
    return entra;
}
