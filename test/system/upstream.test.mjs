// SPDX-License-Identifier: Apache-2.0
// The upstream side against an identity provider that is wrong, hostile, slow or gone. What it says reaches the log, and
// neither the person nor the client.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { jws, makeKey, signature, startHostileIdp } from './hostile-idp/idp.mjs';
import * as manners from './hostile-idp/manners.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person } from './lib/person.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';

const b64 = (text) => Buffer.from(text).toString('base64url');
const ERRORS = ['MCP0243', 'MCP0232'];

/** One child, so that a cache is known to be warm or cold. */
const ONE_CHILD = { mpm: 'StartServers 1\nServerLimit 4\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 25\nMinSpareThreads 1\nMaxSpareThreads 25' };

/** A site whose only provider is `idp`; `lines` go into its section. */
function siteOf(idp, lines = 'MCPProviderTimeout 2s') {
    return (world) => {
        const secret = join(world.httpd.root, 'conf/idp-secret');
        writeFileSync(secret, `${idp.clientSecret ?? 'none'}\n`, { mode: 0o600 });
        world.httpd.secret('client secret at the provider', idp.clientSecret);
        world.httpd.announced.length || world.httpd.announce(...ERRORS);
        return `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
MCPOAuthAccessLifetime 5s
<MCPProvider hostile>
    MCPProviderIssuer ${idp.issuer}
    MCPProviderClientID ${idp.clientId}
    ${idp.clientSecret ? `MCPProviderClientSecret file:${secret}` : ''}
    ${lines}
</MCPProvider>
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>`;
    };
}

const options = (idp, lines) => ({ provider: false, backend: false, httpd: ONE_CHILD, site: siteOf(idp, lines) });

/** Sign-ins through the gateway: attempt() gives {code or error, log, ms}. */
async function signIns(world) {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    assert.equal((await client.register()).status, 201);
    const attempt = async (stop) => {
        const mark = world.httpd.log().length;
        const began = Date.now();
        const answer = await client.authorize(new Person({ name: 'pat', password: 'x' }), {}, stop ? { stop } : {});
        return { ...answer, client, ms: Date.now() - began, log: world.httpd.log().slice(mark) };
    };
    const believed = async (what) => {
        const answer = await attempt();
        assert.ok(answer.code, `${what}: ${answer.url}\n${answer.log}`);
        return answer;
    };
    /** The sign-in fails with `error` for the client, whose text is ours; the log says why. */
    const refused = async (log, error = 'server_error') => {
        const answer = await attempt();
        assert.equal(answer.code, undefined, 'a code was given');
        assert.equal(answer.error, error, answer.log);
        assert.match(answer.error_description, /^the identity provider /);
        assert.match(answer.log, log);
        return answer;
    };
    return { client, attempt, believed, refused };
}

/** Children that have nothing cached. */
async function fresh(world) {
    const [before] = world.httpd.children();
    await world.httpd.graceful();
    await until(() => { const now = world.httpd.children(); return now.length === 1 && now[0] !== before; }, 'the new child alone');
}

const main = await startHostileIdp();

suite('id_token', options(main), async (it, world) => {
    const idp = main;
    const { believed, refused } = await signIns(world);
    const now = () => Math.floor(Date.now() / 1000);
    const rs = makeKey('RS256', { kid: 'main' });
    const other = makeKey('RS256', { kid: 'other' });

    const good = {
        'as it is': () => {},
        'with aud as a list of one': () => { idp.bend.claims = (c) => ({ ...c, aud: [c.aud] }); },
        'with several aud and the right azp': () => { idp.bend.claims = (c) => ({ ...c, aud: ['api', c.aud], azp: c.aud }); },
        'with fractional times': () => { idp.bend.claims = (c) => ({ ...c, exp: c.exp + 0.5, iat: c.iat + 0.25 }); },
        'with clocks four minutes apart (E9)': () => { idp.bend.claims = (c) => ({ ...c, exp: now() - 240, iat: now() + 240, nbf: now() + 240 }); },
        'without nbf': () => { idp.bend.claims = (c) => ({ ...c, nbf: undefined }); },
        'with unknown claims of any shape (E6)': () => { idp.bend.claims = (c) => ({ ...c, name: { a: [1] }, groups: 7, x: null, '\u0001': 'ctl', email: 'a\nb' }); },
        'with 2000 groups': () => { idp.bend.claims = (c) => ({ ...c, groups: Array.from({ length: 2000 }, (_, i) => `group-${i}`) }); },
        'with groups overage (E9)': () => { idp.bend.claims = (c) => ({ ...c, groups: undefined, _claim_names: { groups: 'src1' }, _claim_sources: { src1: { endpoint: 'https://x' } } }); },
        'without typ': () => { idp.bend.header = ({ typ, ...h }) => h; },
        'without kid among several keys': () => {
            idp.published = [other, makeKey('ES256', { kid: 'e' }), idp.key];
            idp.bend.header = ({ kid, ...h }) => h;
        },
        'among keys for other purposes': () => {
            idp.bend.keys = (set) => ({ keys: [{ kty: 'oct', k: 'AAAA', kid: 'main' }, { ...other.jwk, kid: 'main', use: 'enc' },
                { ...other.jwk, kid: 'main', alg: 'RSA-OAEP' }, { kty: 'OKP', crv: 'Ed25519', x: 'AA', kid: 'main' }, 7, null, {}, ...set.keys] });
        },
        'by a key that names its alg and operations': () => { idp.bend.keys = (set) => ({ keys: [{ ...set.keys[0], alg: 'RS256', key_ops: ['verify'] }] }); },
    };
    for (const alg of ['RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512']) {
        good[`by ${alg}`] = () => {
            idp.key = alg.startsWith('ES') ? makeKey(alg, { kid: alg }) : rs;
            idp.published = [idp.key];
            idp.bend.header = (h) => ({ ...h, alg });
        };
    }
    let dirty = false; // the child has other keys than the usual one
    const otherKeys = () => Boolean(idp.bend.keys) || idp.published.length > 1 || idp.published[0] !== rs;
    for (const [name, bend] of Object.entries(good)) {
        await it(`${name} is believed`, async () => {
            idp.reset();
            bend();
            if (otherKeys() || dirty) await fresh(world);
            dirty = otherKeys();
            await believed(name);
        });
    }

    const claims = (change) => () => { idp.bend.claims = (c) => ({ ...c, ...(typeof change === 'function' ? change(c) : change) }); };
    const header = (change) => () => { idp.bend.header = (h) => ({ ...h, ...change }); };
    const raw = (change) => () => { idp.bend.sign = (h, c) => jws(h, change(JSON.stringify(c)), rs.privateKey); };
    const bad = {
        'of another issuer (T36)': [claims({ iss: 'https://evil.example' }), /iss is not the provider's/],
        'of an issuer with a slash (T36)': [claims((c) => ({ iss: `${c.iss}/` })), /iss is not/],
        'without iss (T36)': [claims({ iss: undefined }), /iss is not/],
        'for another client (T36)': [claims({ aud: 'other' }), /aud does not name/],
        'for a client that begins alike (T36)': [claims((c) => ({ aud: `${c.aud}2` })), /aud does not name/],
        'without aud (T36)': [claims({ aud: undefined }), /aud does not name/],
        'for nobody (T36)': [claims({ aud: [] }), /aud does not name/],
        'with aud that is no text (T36)': [claims((c) => ({ aud: [c.aud, 7] })), /aud is malformed/],
        'with several aud and no azp': [claims((c) => ({ aud: [c.aud, 'api'] })), /no azp/],
        'with the azp of another client': [claims({ azp: 'other' }), /azp is not/],
        'with azp that is no text': [claims((c) => ({ azp: [c.aud] })), /azp is not/],
        'with another nonce': [claims({ nonce: 'AAAAAAAAAAAAAAAAAAAAAA' }), /nonce is not/],
        'with a prefix of the nonce': [claims((c) => ({ nonce: c.nonce?.slice(0, -1) })), /nonce is not/],
        'without nonce': [claims({ nonce: undefined }), /nonce is not/],
        'that has expired': [claims({ exp: now() - 400 }), /expired \d+ s ago/],
        'without exp': [claims({ exp: undefined }), /exp is missing/],
        'with exp as text': [claims((c) => ({ exp: String(c.exp) })), /exp is missing or malformed/],
        'with exp 1e300 (T49)': [raw((c) => c.replace(/"exp":\d+/, '"exp":1e300')), /exp is missing or malformed/],
        'with exp 2^63 (T49)': [raw((c) => c.replace(/"exp":\d+/, '"exp":9223372036854775808')), /claims are malformed/],
        'with exp 2^63-1 (T49)': [raw((c) => c.replace(/"exp":\d+/, '"exp":9223372036854775807')), /exp is missing or malformed/],
        'with exp -1 (T49)': [claims({ exp: -1 }), /exp is missing or malformed/],
        'with exp null': [claims({ exp: null }), /exp is missing or malformed/],
        'without iat': [claims({ iat: undefined }), /iat is missing/],
        'from the future': [claims({ iat: now() + 1000 }), /in the future/],
        'that is not valid yet': [claims({ nbf: now() + 1000 }), /in the future/],
        'with nbf 1e300 (T49)': [raw((c) => c.replace(/"nbf":\d+/, '"nbf":1e300')), /nbf is malformed/],
        'without sub': [claims({ sub: undefined }), /sub is missing/],
        'with an empty sub': [claims({ sub: '' }), /sub is missing/],
        'with sub that is no text': [claims({ sub: 42 }), /sub is missing/],
        'with a line end in sub': [claims({ sub: 'a\r\nb' }), /sub is missing/],
        'with a long sub': [claims({ sub: 'x'.repeat(256) }), /sub is missing/],
        'with sub twice': [raw((c) => c.replace('{', '{"sub":"admin",')), /claims are malformed/],
        'that holds a list': [raw((c) => `[${c}]`), /claims are malformed/],
        'that holds no JSON': [raw(() => 'hello'), /claims are malformed/],
        'that is nested deeply': [raw((c) => c.replace('{', `{"x":${'['.repeat(5000)}${']'.repeat(5000)},`)), /claims are malformed/],
        'with alg none': [() => { idp.bend.sign = (h, c) => jws({ ...h, alg: 'none' }, c); }, /alg is not accepted: "none"/],
        'with alg None and a signature': [header({ alg: 'None' }), /alg is not accepted/, true],
        'with alg HS256 by the client secret': [() => { idp.bend.sign = (h, c) => jws({ ...h, alg: 'HS256' }, c, idp.clientSecret); }, /alg is not accepted: "HS256"/],
        'with alg HS256 by the public key in PEM': [() => { idp.bend.sign = (h, c) => jws({ ...h, alg: 'HS256' }, c, rs.publicKey.export({ type: 'spki', format: 'pem' })); }, /alg is not accepted: "HS256"/],
        'with alg HS256 by an oct key that is published': [() => {
            idp.bend.keys = (set) => ({ keys: [...set.keys, { kty: 'oct', kid: 'h', k: b64('s3cr3t-s3cr3t-s3cr3t-s3cr3t-1234') }] });
            idp.bend.sign = (h, c) => jws({ ...h, alg: 'HS256', kid: 'h' }, c, 's3cr3t-s3cr3t-s3cr3t-s3cr3t-1234');
        }, /alg is not accepted/],
        'without alg': [header({ alg: undefined }), /alg is not accepted/, true],
        'with alg as a list': [header({ alg: ['RS256'] }), /alg is not accepted/, true],
        'by another key under the same kid': [() => { idp.bend.sign = (h, c) => jws(h, c, other.privateKey); }, /signature is wrong/],
        'by a key that is in its own header': [() => { idp.bend.sign = (h, c) => jws({ ...h, jwk: other.jwk, jku: `${idp.issuer}/other`, x5u: `${idp.issuer}/other` }, c, other.privateKey); }, /signature is wrong/],
        'by an unknown key': [() => { idp.bend.sign = (h, c) => jws({ ...h, kid: 'new' }, c, other.privateKey); }, /no key of the provider fits/],
        'by an unknown key without kid': [() => { idp.bend.sign = ({ kid, ...h }, c) => jws(h, c, other.privateKey); }, /no key of the provider fits/],
        'with a kid that is no text': [header({ kid: { a: 1 } }), /kid is malformed/],
        'whose key is of another type': [() => { idp.bend.sign = (h, c) => jws({ ...h, alg: 'ES256' }, c, makeKey('ES256', { kid: 'e' }).privateKey); }, /no key of the provider fits/],
        'whose key is for another alg': [() => { idp.bend.keys = (s) => ({ keys: [{ ...s.keys[0], alg: 'RS512' }] }); }, /no key of the provider fits/],
        'whose key is for encryption': [() => { idp.bend.keys = (s) => ({ keys: [{ ...s.keys[0], use: 'enc' }, other.jwk] }); }, /no key of the provider fits/],
        'whose curve is another': [() => {
            idp.key = makeKey('ES384', { kid: 'curve' });
            idp.published = [idp.key];
            idp.bend.sign = (h, c) => jws({ ...h, alg: 'ES256' }, c, idp.key.privateKey);
        }, /signature is malformed/],
        'whose curve is another, with a signature of the right length': [() => {
            idp.key = makeKey('ES384', { kid: 'curve' });
            idp.published = [idp.key];
            idp.bend.sign = (h, c) => jws({ ...h, alg: 'ES256' }, c, makeKey('ES256', { kid: 'e' }).privateKey);
        }, /no key of the provider fits/],
        'whose key has 1024 bits': [() => {
            idp.key = makeKey('RS256', { kid: 'short', bits: 1024 });
            idp.published = [idp.key, other];
        }, /no key of the provider fits/],
        'without signature': [() => { idp.bend.sign = (h, c) => jws(h, c, rs.privateKey).replace(/[^.]*$/, ''); }, /signature is malformed/],
        'with a cut signature': [() => { idp.bend.sign = (h, c) => jws(h, c, rs.privateKey).slice(0, -8); }, /signature is (wrong|malformed)/],
        'with other claims than were signed': [() => {
            idp.bend.sign = (h, c) => { const [a, , s] = jws(h, c, rs.privateKey).split('.'); return `${a}.${b64(JSON.stringify({ ...c, sub: 'admin' }))}.${s}`; };
        }, /signature is wrong/],
        'with crit': [header({ crit: ['exp'], exp: 1 }), /has crit/],
        'with b64 false': [header({ crit: ['b64'], b64: false }), /has crit/],
        'of type at+jwt': [header({ typ: 'at+jwt' }), /no id_token, but of type "at\+jwt"/],
        'of type logout+jwt': [header({ typ: 'application/logout+JWT' }), /no id_token/],
        'with alg twice': [() => {
            idp.bend.sign = (h, c) => {
                const input = `${b64(`{"alg":"RS256","kid":"main","alg":"RS256"}`)}.${b64(JSON.stringify(c))}`;
                return `${input}.${signature('RS256', rs.privateKey, input).toString('base64url')}`;
            };
        }, /header is malformed/],
        'that is encrypted': [() => { idp.bend.sign = () => [b64('{"alg":"RSA-OAEP","enc":"A128GCM"}'), 'a', 'b', 'c', 'd'].join('.'); }, /not a compact JWS/],
        'that is no token': [() => { idp.bend.sign = () => 'hello'; }, /not a compact JWS/],
        'that is dots': [() => { idp.bend.sign = () => '..'; }, /header is malformed/],
        'with base64 that ended cjose and with it the process': [() => { idp.bend.sign = (h, c) => jws(h, c, rs.privateKey).replace(/\..*\./, '.AAAAA===.'); }, /claims are malformed/],
        'with padding': [() => { idp.bend.sign = (h, c) => jws(h, c, rs.privateKey).replace('.', '==.'); }, /header is malformed/],
        'of 100 KB': [claims({ x: 'y'.repeat(100_000) }), /token is too large/],
        'that is no text': [() => { idp.bend.answer = (a) => ({ ...a, id_token: { a: 1 } }); }, /no id_token came/],
        'that did not come': [() => { idp.bend.answer = ({ id_token: _, ...a }) => a; }, /no id_token came: MCPProviderScope/],
    };
    for (const [name, [bend, log, byRs256]] of Object.entries(bad)) {
        await it(`${name} is not believed`, async () => {
            idp.reset();
            bend();
            if (byRs256) {
                const { header: change } = idp.bend;
                idp.bend.sign = (h, c) => {
                    const input = `${b64(JSON.stringify(change({ ...h, alg: 'RS256' })))}.${b64(JSON.stringify(c))}`;
                    return `${input}.${signature('RS256', rs.privateKey, input).toString('base64url')}`;
                };
                delete idp.bend.header;
            }
            // what bends the keys needs a child that has none
            if (otherKeys() || dirty) await fresh(world);
            dirty = otherKeys();
            await refused(log);
        });
    }

    await it('after all that the right one is believed', async () => {
        idp.reset();
        await fresh(world);
        await believed('the right one');
    });
});

suite('token endpoint of the provider', options(main), async (it, world) => {
    const idp = main;
    const { attempt, believed, refused } = await signIns(world);
    const answer = (change) => () => { idp.bend.answer = (a) => ({ ...a, ...change }); };

    for (const [name, bend] of Object.entries({
        'expires_in as text (E6)': answer({ expires_in: '3599' }),
        'no expires_in': answer({ expires_in: undefined }),
        'expires_in of nonsense': answer({ expires_in: 'soon' }),
        'expires_in 1e300 (T49)': () => { idp.bend.answer = (a) => JSON.stringify(a).replace('3600', '1e300'); },
        'token_type in another case (E6)': answer({ token_type: 'bEARER' }),
        'no refresh token': answer({ refresh_token: undefined }),
        'unknown members (E6)': answer({ ext_expires_in: 1, client_info: 'eyJ', foci: { a: 1 } }),
        'an access token of 12 KB (E7)': answer({ access_token: `at-${'a'.repeat(12_000)}` }),
        'an access token of 100 KB': answer({ access_token: `at-${'a'.repeat(100_000)}` }),
    })) {
        await it(`${name} is taken`, async () => {
            idp.reset();
            bend();
            await believed(name);
        });
    }

    for (const [name, [bend, log, error]] of Object.entries({
        'no access_token': [answer({ access_token: undefined }), /no access_token/],
        'an access_token with a line end': [answer({ access_token: 'a\r\nX: y' }), /no access_token/],
        'token_type DPoP': [answer({ token_type: 'DPoP' }), /token_type is "DPoP"/],
        'no token_type': [answer({ token_type: undefined }), /token_type is ""/],
        'a member twice': [() => { idp.bend.answer = (a) => JSON.stringify(a).replace('{', '{"id_token":"x",'); }, /not a JSON object/],
        'a list': [() => { idp.bend.token = manners.says([]); }, /not a JSON object/],
        'HTML': [() => { idp.bend.token = manners.says('<html>', 200, { 'Content-Type': 'text/html' }); }, /not a JSON object/],
        'nothing': [() => { idp.bend.token = manners.says(''); }, /not a JSON object/],
        '200 with an error inside': [() => { idp.bend.token = manners.says({ error: 'bad_verification_code' }); }, /error="bad_verification_code"/],
        'invalid_client': [() => { idp.bend.token = manners.says({ error: 'invalid_client' }, 401); }, /error="invalid_client"; check MCPProviderClientID/],
        'invalid_grant': [() => { idp.bend.token = manners.says({ error: 'invalid_grant' }, 400); }, /error="invalid_grant"/],
        'access_denied': [() => { idp.bend.token = manners.says({ error: 'access_denied' }, 403); }, /error="access_denied"/, 'access_denied'],
        '500': [() => { idp.bend.token = manners.says('oops', 500); }, /answered 500/, 'temporarily_unavailable'],
        '429': [() => { idp.bend.token = manners.says({}, 429); }, /answered 429/, 'temporarily_unavailable'],
        'a redirect (302)': [() => { idp.bend.token = manners.says('', 302, { Location: '/other' }); }, /answered 302/],
        'a redirect (307)': [() => { idp.bend.token = manners.says('', 307, { Location: '/other' }); }, /answered 307/],
        'a redirect to a file': [() => { idp.bend.token = manners.says('', 301, { Location: 'file:///etc/passwd' }); }, /answered 301/],
        'half of a JSON text (truncated)': [() => { idp.bend.token = manners.truncated; }, /transfer closed|end of response|Transferred a partial/i, 'temporarily_unavailable'],
        'a byte now and then': [() => { idp.bend.token = manners.drip; }, /timed? ?out/i, 'temporarily_unavailable'],
        'silence': [() => { idp.bend.token = manners.silent; }, /timed? ?out/i, 'temporarily_unavailable'],
        'bytes without end': [() => { idp.bend.token = manners.endless; }, /larger than 262144 bytes/],
        'a body that announces a terabyte': [() => { idp.bend.token = manners.huge; }, /timed? ?out|larger than/i, 'temporarily_unavailable'],
        'header lines without end': [() => { idp.bend.token = manners.headers; }, /larger than 65536 bytes/],
        'a gzip bomb (T37)': [() => { idp.bend.token = manners.bomb; }, /not a JSON object/],
        'no HTTP': [() => { idp.bend.token = manners.garbage; }, /token: /, 'temporarily_unavailable'],
        'a closed connection': [() => { idp.bend.token = manners.hangUp; }, /token: /, 'temporarily_unavailable'],
    })) {
        await it(`${name} is refused, in time`, async () => {
            idp.reset();
            bend();
            const others = idp.count('/other');
            const { ms } = await refused(log, error);
            assert.ok(ms < 8000, `took ${ms} ms`); // a machine may be busy; without limits it would be for ever
            assert.equal(idp.count('/other'), others, 'a redirect was followed');
        });
    }

    await it("an error's text stays in the log, with Entra's code and correlation id (E11)", async () => {
        idp.reset();
        idp.bend.token = manners.says({
            error: 'invalid_grant', suberror: 'bad_token', error_codes: [70008], correlation_id: '2a1c9e3b-0000-4000-8000-5d6e7f8a9b0c',
            error_description: 'AADSTS70008: The provided authorization code has expired.\r\nTrace ID: 1\nInjected line',
        }, 400);
        const { url, log } = await refused(/AADSTS70008.*suberror="bad_token".*correlation_id="2a1c9e3b-0000-4000-8000-5d6e7f8a9b0c"/);
        assert.doesNotMatch(decodeURIComponent(url), /AADSTS|2a1c9e3b|bad_token/);
        assert.doesNotMatch(log, /^Injected|\\r\\n/m);
    });

    await it('an error that repeats the code or the secret is withheld (T45)', async () => {
        for (const secret of ['code', 'code_verifier', 'secret']) {
            idp.reset();
            let value;
            idp.bend.token = (request_, response, form) => {
                value = secret === 'secret' ? idp.clientSecret : form.get(secret);
                manners.says({ error: 'invalid_request', error_description: `what is ${value}?` }, 400)(request_, response);
            };
            const { log } = await refused(/error="invalid_request"/);
            assert.ok(value.length > 20);
            assert.ok(!log.includes(value), `${secret} in the log`);
        }
    });

    await it('a refused code gets no second try, and the right secret is sent in the Authorization header only', async () => {
        idp.reset();
        const before = idp.count('/token');
        await believed('basic');
        assert.equal(idp.count('/token'), before + 1);
        const last = idp.requests.findLast(({ path }) => path === '/token');
        assert.equal(idp.client.method, 'client_secret_basic');
        assert.equal(last.form.get('client_secret'), null);
        assert.equal(last.form.get('resource'), null);
        assert.match(last.form.get('code_verifier'), /^[\w-]{43,128}$/);
        assert.equal(last.headers['accept-encoding'], undefined);
        assert.equal(last.headers.cookie, undefined);
    });

    await it('iss of the callback is compared when it comes, and missed when it was promised (RFC 9207, T43)', async () => {
        idp.reset();
        for (const iss of ['https://evil.example', '', `${idp.issuer}/`]) {
            idp.bend.callback = (params) => ({ ...params, iss });
            const before = idp.count('/token');
            await refused(/iss of the callback is another issuer/);
            assert.equal(idp.count('/token'), before, 'the code was sent all the same');
        }
        idp.bend.callback = (params) => ({ ...params, iss: idp.issuer });
        await believed('the right iss');
        idp.reset();
        idp.bend.discovery = (doc) => ({ ...doc, authorization_response_iss_parameter_supported: true });
        await fresh(world);
        await refused(/promises one/);
        idp.bend.callback = (params) => ({ ...params, iss: idp.issuer });
        await believed('the promised iss');
        idp.reset();
        await fresh(world);
    });

    await it('a slow provider takes a part of the threads, and who comes too late is told at once', async () => {
        idp.reset();
        await believed('warm');
        let calls = 0;
        let most = 0;
        idp.bend.token = (request_, response) => {
            calls += 1;
            most = Math.max(most, calls);
            response.on('close', () => { calls -= 1; });
        };
        const began = Date.now();
        const all = Array.from({ length: 40 }, () => attempt()); // of 25 threads
        await sleep(600);
        for (let i = 0; i < 5; i++) {
            const asked = Date.now();
            assert.equal((await request(`${world.base}/plain.txt`)).status, 200);
            assert.ok(Date.now() - asked < 1500, 'other requests wait for the provider');
        }
        const answers = await Promise.all(all);
        assert.ok(most >= 2 && most <= 25 / 4, `${most} calls at the same time`);
        assert.ok(answers.every(({ error }) => error === 'temporarily_unavailable'));
        const waiting = answers.filter(({ log }) => /too many calls/.test(log));
        assert.ok(waiting.length > 0);
        assert.ok(Date.now() - began < 20_000, `took ${Date.now() - began} ms`);
        idp.reset();
        await believed('quick again');
    });
});

suite('metadata and keys of the provider', options(main), async (it, world) => {
    const idp = main;
    const { believed, refused } = await signIns(world);
    const doc = (change) => () => { idp.bend.discovery = (d) => ({ ...d, ...(typeof change === 'function' ? change(d) : change) }); };
    const whole = (behave) => () => { idp.bend.metadata = behave; };

    for (const [name, [bend, log, error]] of Object.entries({
        'of another issuer': [doc({ issuer: 'https://evil.example' }), /the provider calls itself "https:\/\/evil.example": set MCPProviderIssuer/],
        'of an issuer with a slash': [doc((d) => ({ issuer: `${d.issuer}/` })), /calls itself/],
        'without issuer': [doc({ issuer: undefined }), /has no issuer/],
        'without token_endpoint': [doc({ token_endpoint: undefined }), /has no token_endpoint/],
        'without jwks_uri': [doc({ jwks_uri: undefined }), /has no jwks_uri/],
        'with a javascript: endpoint (T18)': [doc({ authorization_endpoint: 'javascript:alert(1)//' }), /authorization_endpoint is not an https URL/],
        'with a file: endpoint (T18, CP-17)': [doc({ jwks_uri: 'file:///etc/passwd' }), /jwks_uri is not an https URL/],
        'with http to somewhere else (CP-17)': [doc({ token_endpoint: 'http://169.254.169.254/latest/meta-data' }), /token_endpoint is not an https URL/],
        'with a name that only looks like loopback (CP-17)': [doc({ token_endpoint: 'http://127.0.0.1.evil.example/' }), /token_endpoint is not an https URL/],
        'with a user name in an endpoint': [doc({ authorization_endpoint: 'https://login@evil.example/' }), /authorization_endpoint is not/],
        'with a line end in an endpoint': [doc({ authorization_endpoint: 'https://login.example/\r\nSet-Cookie: a=b' }), /has no authorization_endpoint/],
        'with an endpoint that is no text': [doc({ token_endpoint: ['https://a/'] }), /has no token_endpoint/],
        '404': [whole(manners.says('', 404)), /answered 404; check MCPProviderIssuer/],
        'a redirect': [whole(manners.says('', 301, { Location: '/other' })), /answered 301; redirects are not followed/],
        'a list': [whole(manners.says([])), /is not a JSON object/],
        'a member twice': [() => { idp.bend.discovery = (d) => JSON.stringify(d).replace('{', '{"issuer":"x",'); }, /is not a JSON object/],
        'a gzip bomb (T37)': [whole(manners.bomb), /larger than|is not a JSON object/],
        'bytes without end': [whole(manners.endless), /larger than 131072/],
        'half of it': [whole(manners.truncated), /openid-configuration: /, 'temporarily_unavailable'],
        'a byte now and then': [whole(manners.drip), /timed? ?out/i, 'temporarily_unavailable'],
        '503': [whole(manners.says('', 503)), /answered 503/, 'temporarily_unavailable'],
    })) {
        await it(`metadata: ${name} is refused`, async () => {
            idp.reset();
            bend();
            await fresh(world);
            const others = idp.count('/other');
            await refused(log, error);
            assert.equal(idp.count('/other'), others);
        });
    }

    for (const [name, [bend, log, error]] of Object.entries({
        'none': [() => { idp.bend.keys = () => ({ keys: [] }); }, /holds no key/],
        'no set': [() => { idp.bend.keys = () => ({}); }, /is not a JWK set/],
        'a key and no list': [() => { idp.bend.keys = () => ({ keys: idp.key.jwk }); }, /not a list/],
        '2000 of them': [() => { idp.bend.keys = (s) => ({ keys: Array(2000).fill(s.keys[0]) }); }, /not a list of a sane size/],
        'broken ones': [() => { idp.bend.keys = () => ({ keys: [{ kty: 'RSA', n: '!!', e: 'AQAB' }, { kty: 'RSA', n: '' }, { kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }, { kty: 'EC', crv: 'P-999' }] }); }, /holds no key/],
        'base64 that ended cjose and with it the process': [() => { idp.bend.keys = (s) => ({ keys: [{ ...s.keys[0], n: 'AAAAA===' }] }); }, /holds no key/],
        '404': [() => { idp.bend.jwks = manners.says('', 404); }, /jwks answered 404/],
        'bytes without end': [() => { idp.bend.jwks = manners.endless; }, /larger than 1048576/],
        'silence': [() => { idp.bend.jwks = manners.silent; }, /timed? ?out/i, 'temporarily_unavailable'],
    })) {
        await it(`keys: ${name} is refused`, async () => {
            idp.reset();
            bend();
            await fresh(world);
            await refused(log, error);
        });
    }

    await it('both are fetched once by many at the same time, and then kept', async () => {
        idp.reset();
        let asked = 0;
        idp.bend.metadata = async (request_, response) => {
            asked += 1;
            await sleep(300);
            delete idp.bend.metadata;
            manners.says({
                issuer: idp.issuer, authorization_endpoint: `${idp.issuer}/authorize`, token_endpoint: `${idp.issuer}/token`, jwks_uri: `${idp.issuer}/jwks`,
            })(request_, response);
        };
        await fresh(world);
        const keys = idp.count('/jwks');
        await Promise.all(Array.from({ length: 5 }, () => believed('one of many')));
        assert.equal(asked, 1);
        assert.equal(idp.count('/jwks'), keys + 1);
        const before = idp.count('/.well-known/openid-configuration');
        await believed('a later one');
        assert.equal(idp.count('/.well-known/openid-configuration'), before);
        assert.equal(idp.count('/jwks'), keys + 1);
    });

    await it('a new key is fetched when a token needs it; an unknown one does not make us ask again and again (T50)', async () => {
        idp.reset();
        await fresh(world);
        await believed('the old key');
        idp.key = makeKey('RS256', { kid: 'next' });
        idp.published.push(idp.key);
        const before = idp.count('/jwks');
        await believed('the new key');
        assert.equal(idp.count('/jwks'), before + 1);
        idp.key = makeKey('RS256', { kid: 'unpublished' });
        for (let i = 0; i < 3; i++) await refused(/no key of the provider fits/);
        assert.equal(idp.count('/jwks'), before + 1);
        idp.reset();
        await believed('the old key still');
    });

    await it('a provider that is gone is told at once, and found again', async () => {
        idp.reset();
        await fresh(world);
        await idp.stop();
        const first = await refused(/connect|refused/i, 'temporarily_unavailable');
        assert.ok(first.ms < 4000);
        await idp.again();
        await until(async () => { try { await believed('back'); return true; } catch { return false; } }, 'the provider to be found again', 8000, 300);
    });

    await it('a provider that does not know offline_access is not asked for it (Google), nor for anything that it merely offers', async () => {
        idp.reset();
        const asked = () => idp.requests.findLast(({ path }) => path === '/authorize').query;
        idp.bend.discovery = (d) => ({ ...d, scopes_supported: ['openid', 'email', 'profile', 'payments'] });
        await fresh(world);
        await believed('three scopes');
        assert.equal(asked().scope, 'openid profile email');
        idp.bend.discovery = (d) => ({ ...d, scopes_supported: undefined });
        await fresh(world);
        await believed('all scopes');
        assert.equal(asked().scope, 'openid profile email offline_access');
        assert.equal(asked().resource, undefined);
        assert.equal(asked().code_challenge_method, 'S256');
        idp.reset();
    });
});

suite('refresh at the provider', options(main), async (it, world) => {
    const idp = main;
    const { client, believed } = await signIns(world);
    const short = () => { idp.bend.answer = (a) => ({ ...a, expires_in: 1 }); };
    const tokenCalls = () => idp.requests.filter(({ path, form }) => path === '/token' && form.get('grant_type') === 'refresh_token');

    /** Sign in so that the provider's own token has run out by the time that refresh() is called. */
    async function session() {
        idp.reset();
        short();
        const { code } = await believed('sign-in');
        const tokens = (await client.redeem(code)).json();
        await sleep(1100);
        return { ...tokens, refresh: () => client.refresh(tokens.refresh_token) };
    }

    await it('asks with the newest refresh token, and keeps the new one (E10, CP-32)', async () => {
        const first = await session();
        const before = tokenCalls().length;
        const second = await first.refresh();
        assert.equal(second.status, 200, second.text);
        assert.equal(tokenCalls().length, before + 1);
        await sleep(1100);
        const third = await client.refresh(second.json().refresh_token);
        assert.equal(third.status, 200, third.text);
        const sent = tokenCalls().slice(-2).map(({ form }) => form.get('refresh_token'));
        assert.notEqual(sent[0], sent[1]);
        for (const { form } of tokenCalls()) {
            assert.equal(form.get('resource'), null, 'E12');
            assert.equal(form.get('scope'), null);
            world.httpd.secret('refresh token of the provider', form.get('refresh_token'));
        }
    });

    await it('goes on with the old refresh token where no new one comes (E10)', async () => {
        const first = await session();
        idp.rotates = false;
        const second = (await first.refresh()).json();
        await sleep(1100);
        const third = await client.refresh(second.refresh_token);
        assert.equal(third.status, 200, third.text);
        const sent = tokenCalls().slice(-2).map(({ form }) => form.get('refresh_token'));
        assert.equal(sent[0], sent[1]);
    });

    for (const [name, body, status] of [
        ['invalid_grant', { error: 'invalid_grant', error_description: 'AADSTS700082: inactive' }, 400],
        ['interaction_required (E11)', { error: 'interaction_required', suberror: 'basic_action' }, 400],
    ]) {
        await it(`ends the session when the provider says ${name} (CP-30, CP-31)`, async () => {
            const { refresh, access_token: access } = await session();
            idp.bend.token = manners.says(body, status);
            const response = await refresh();
            assert.equal(response.status, 400);
            assert.equal(response.json().error, 'invalid_grant');
            assert.doesNotMatch(response.text, /AADSTS|suberror|interaction/);
            const call = await request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${access}` } });
            assert.equal(call.status, 401);
        });
    }

    for (const [name, bend] of [
        ['is down', () => { idp.bend.token = manners.says('', 503); }],
        ['is silent', () => { idp.bend.token = manners.silent; }],
        ['refuses the gateway itself', () => { idp.bend.token = manners.says({ error: 'invalid_client' }, 401); }],
    ]) {
        await it(`does not end a running session when the provider ${name}`, async () => {
            const { refresh } = await session();
            bend();
            const second = await refresh();
            assert.equal(second.status, 200, second.text);
            idp.reset();
            assert.equal((await client.refresh(second.json().refresh_token)).status, 200);
        });
    }

    await it('believes no id_token of another person, or by another key', async () => {
        const logged = (mark) => world.httpd.log().slice(mark);
        for (const [bend, why] of [
            [() => { idp.bend.claims = (c) => ({ ...c, sub: 'person-2', nonce: undefined }); }, /MCP0272.*sub is another person's/],
            [() => { idp.bend.sign = (h, c) => jws(h, c, makeKey('RS256', { kid: 'other' }).privateKey); }, /MCP0272.*signature is wrong/],
        ]) {
            const { refresh } = await session();
            const mark = world.httpd.log().length;
            bend();
            await refresh();
            assert.match(logged(mark), why);
        }
        idp.reset();
    });
});

// A proxy that nobody has asked for: it must see nothing.
const proxied = [];
const trap = http.createServer((request_, response) => { proxied.push(request_.url); response.end(); });
trap.on('connect', (request_, socket) => { proxied.push(request_.url); socket.destroy(); });
trap.listen(0, '127.0.0.1');
await once(trap, 'listening');
trap.unref();
const proxy = `http://127.0.0.1:${trap.address().port}`;
const env = { http_proxy: proxy, HTTP_PROXY: proxy, https_proxy: proxy, all_proxy: proxy, ALL_PROXY: proxy };

const SECRET = 'a+b c%d:é/ü"\\?&=';
const lastAuthorize = (idp) => idp.requests.findLast(({ path }) => path === '/authorize').query;
for (const [name, { discovery, ...start }, lines, check] of [
    ['client_secret_post', {}, 'MCPProviderAuthMethod client_secret_post', (idp) => assert.equal(idp.client.method, 'client_secret_post')],
    ['client_secret_post where the metadata offers no basic', { discovery: { token_endpoint_auth_methods_supported: ['private_key_jwt', 'client_secret_post'] } }, '',
        (idp) => assert.equal(idp.client.method, 'client_secret_post')],
    ['client_secret_basic with every character (RFC 6749 2.3.1)', { clientSecret: SECRET, clientId: 'id:with/odd+chars' }, 'MCPProviderAuthMethod client_secret_basic',
        (idp) => assert.equal(idp.client.method, 'client_secret_basic')],
    ['client_secret_post with every character', { clientSecret: SECRET }, 'MCPProviderAuthMethod client_secret_post',
        (idp) => assert.equal(idp.client.secret, SECRET)],
    ['a public client', { clientSecret: null }, '', (idp) => assert.equal(idp.client.method, 'none')],
    ['a public client with scopes of its own', { clientSecret: null }, 'MCPProviderAuthMethod none\nMCPProviderScope "openid api://x/y"',
        (idp) => assert.equal(lastAuthorize(idp).scope, 'openid api://x/y')],
]) {
    const idp = await startHostileIdp(start);
    if (discovery) idp.bend.discovery = (doc) => ({ ...doc, ...discovery });
    suite(name, { ...options(idp, lines), httpd: { ...ONE_CHILD, env } }, async (it, world) => {
        const { believed } = await signIns(world);
        await it('signs in, and past the proxies of the environment', async () => {
            await believed(name);
            check(idp);
            assert.deepEqual(proxied, []);
        });
    });
}

// ---- TLS -------------------------------------------------------------------------------------------------------------

const dir = mkdtempSync(join(tmpdir(), 'mcp-tls-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const path = (name) => join(dir, name);
const openssl = (...args) => execFileSync('openssl', args, { stdio: ['ignore', 'ignore', 'pipe'] });

/** A CA, and a certificate of it for `names`. */
function certify(name, names, ...extra) {
    openssl('req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path(`${name}-ca.key`),
        '-out', path(`${name}-ca.pem`), '-subj', `/CN=${name} CA`, '-days', '2');
    openssl('req', '-x509', '-CA', path(`${name}-ca.pem`), '-CAkey', path(`${name}-ca.key`), '-newkey', 'ec', '-pkeyopt',
        'ec_paramgen_curve:P-256', '-nodes', '-keyout', path(`${name}.key`), '-out', path(`${name}.pem`), '-subj', '/CN=idp',
        '-addext', `subjectAltName=${names}`, '-addext', 'basicConstraints=CA:FALSE', ...(extra.length ? extra : ['-days', '2']));
    chmodSync(path(`${name}-ca.pem`), 0o600); // the child's user cannot read it, and need not
    return { key: readFileSync(path(`${name}.key`)), cert: readFileSync(path(`${name}.pem`)) };
}

chmodSync(dir, 0o700);
certify('other', 'IP:127.0.0.1');
for (const [name, names, ca, expected] of [
    ['by the CA that is named', 'IP:127.0.0.1', 'right', null],
    ['by another CA than is named', 'IP:127.0.0.1', 'other', /certificate.*MCPProviderCAFile/],
    ['by a CA that nobody named', 'IP:127.0.0.1', null, /certificate.*MCPProviderCAFile/],
    ['for another name', 'DNS:evil.example,IP:127.0.0.2', 'right', /does not match|no alternative certificate/i],
]) {
    const label = name.replaceAll(' ', '-');
    const idp = await startHostileIdp({ tls: certify(label, names) });
    const lines = ca ? `MCPProviderCAFile ${path(`${ca === 'right' ? label : ca}-ca.pem`)}` : '';
    suite(`a provider on https with a certificate ${name}`, options(idp, lines), async (it, world) => {
        const { attempt, refused } = await signIns(world);
        await it(expected ? 'is not trusted' : 'is trusted', async () => {
            if (expected) {
                await refused(expected);
                assert.equal(idp.requests.length, 0);
                return;
            }
            const person = new Person({ name: 'pat', password: 'x' });
            const client = new OAuthClient(world, { resource: `${world.base}/echo` });
            await client.register();
            const url = await person.visit(client.authorizeUrl(), { stop: (to) => to.startsWith('https:') });
            const answer = await person.visit(idp.authorize(url));
            assert.ok(new URL(answer).searchParams.get('code'), answer);
            // metadata that leads from https to http is not followed
            idp.bend.discovery = (doc) => ({ ...doc, token_endpoint: doc.token_endpoint.replace('https:', 'http:') });
            await fresh(world);
            await refused(/token_endpoint is not an https URL/);
            assert.ok(attempt);
        });
    });
}

// ---- configuration ---------------------------------------------------------------------------------------------------

suite('<MCPProvider> is checked by configtest, which names the mend', { ...options(main), start: false }, async (it, world) => {
    const secret = join(world.httpd.root, 'conf/idp-secret');
    const good = { Issuer: 'https://login.example', ClientID: 'abc', ClientSecret: `file:${secret}` };
    const test_ = async (changes = {}, { name = 'corp', more = '', outside = '' } = {}) => {
        const lines = Object.entries({ ...good, ...changes }).filter(([, value]) => value !== undefined)
            .map(([key, value]) => `MCPProvider${key} ${value}`).join('\n');
        await world.httpd.configure(`
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo
MCPOAuth On
<MCPProvider ${name}>
${lines}
</MCPProvider>
${more}
${outside}`);
        return world.httpd.configtest();
    };
    await it('takes what is right', async () => {
        for (const changes of [{}, { AuthMethod: 'client_secret_post' }, { Scope: '"openid api://a/b"' }, { Timeout: '2s' }, { Timeout: 5 },
            { Claims: 'name groups https://example.com/claim' }, { CAFile: path('other-ca.pem') }, { ClientSecret: undefined },
            { ClientSecret: undefined, AuthMethod: 'none' }, { ClientSecret: 'env:HOME' }, { ClientSecret: '"exec:echo x"' }, { Issuer: 'http://[::1]:99/x' }]) {
            const { code, output } = await test_(changes);
            assert.equal(code, 0, `${JSON.stringify(changes)}: ${output}`);
        }
    });
    writeFileSync(path('open'), 'x\n', { mode: 0o644 });
    writeFileSync(path('no.pem'), 'hello\n');
    for (const [changes, extra, message] of [
        [{ Issuer: undefined }, {}, /<MCPProvider corp>: no issuer is set: add MCPProviderIssuer/],
        [{ Issuer: 'http://login.example' }, {}, /MCPProviderIssuer takes .* https URL/],
        [{ Issuer: 'login.example' }, {}, /MCPProviderIssuer takes/],
        [{ Issuer: 'https://u@login.example' }, {}, /MCPProviderIssuer takes/],
        [{ Issuer: 'https://login.example/?a=b' }, {}, /MCPProviderIssuer takes/],
        [{ Issuer: 'https://login.example/x/.well-known/openid-configuration' }, {}, /write https:\/\/login\.example\/x/],
        [{ ClientID: undefined }, {}, /no client is set: add MCPProviderClientID/],
        [{ ClientID: '"a b\u0007"' }, {}, /MCPProviderClientID takes/],
        [{ ClientSecret: 'hunter2-hunter2' }, {}, /MCPProviderClientSecret: a secret is given by reference/],
        [{ ClientSecret: 'file:/nowhere' }, {}, /\/nowhere/],
        [{ ClientSecret: `file:${path('open')}` }, {}, /chmod 600/],
        [{ AuthMethod: 'private' }, {}, /MCPProviderAuthMethod takes/],
        [{ AuthMethod: 'none' }, {}, /uses no secret: remove/],
        [{ AuthMethod: 'client_secret_post', ClientSecret: undefined }, {}, /needs a secret: add MCPProviderClientSecret/],
        [{ Scope: 'profile' }, {}, /openid among them/],
        [{ Scope: '"openid  x"' }, {}, /MCPProviderScope takes/],
        [{ Claims: 'mcp_overage' }, {}, /MCPProviderClaims takes names/],
        [{ Claims: Array.from({ length: 100 }, (_, i) => `claim-${i}`).join(' ') }, {}, /too many claims/],
        [{ CAFile: '/nowhere.pem' }, {}, /MCPProviderCAFile: cannot read/],
        [{ CAFile: path('no.pem') }, {}, /holds no certificate/],
        [{ Timeout: '500ms' }, {}, /MCPProviderTimeout takes a duration/],
        [{ Timeout: '5min' }, {}, /MCPProviderTimeout takes a duration/],
        [{}, { name: '' }, /takes one name/],
        [{}, { name: 'a b' }, /takes one name/],
        [{}, { name: 'a|b' }, /takes one name/],
        [{}, { more: '<MCPProvider corp>\nMCPProviderIssuer https://x.example\nMCPProviderClientID y\n</MCPProvider>' }, /is there twice/],
        [{}, { outside: 'MCPProviderClientID x' }, /MCPProviderClientID belongs into a <MCPProvider NAME> section/],
        [{}, { more: '<Location /x>\n<MCPProvider z>\n</MCPProvider>\n</Location>' }, /MCPProvider.*not allowed|cannot occur/],
    ]) {
        await it(`refuses ${JSON.stringify(changes)} ${JSON.stringify(extra)}`.slice(0, 120), async () => {
            const { code, output } = await test_(changes, extra);
            assert.notEqual(code, 0);
            assert.match(output, message);
            assert.ok(!output.includes('hunter2'), 'a secret was printed');
        });
    }
});
