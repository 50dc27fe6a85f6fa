// SPDX-License-Identifier: Apache-2.0
// httpd itself as the provider: whatever its modules can demand signs a person in. One gateway with a location for each:
// a form with a password file, Basic, LDAP against a real slapd, client certificates, mod_auth_openidc before an OpenID
// provider; and locations that are not protected, or only seem to be.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { Person, forms } from './lib/person.mjs';
import { Process, freePort, reachable, sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { providerSection } from './lib/world.mjs';

const run = (command, args, input) => execFileSync(command, args, { input, stdio: ['pipe', 'ignore', 'pipe'] });

/** A person whose browser asks for a password when a 401 says so, and may have a client certificate. */
class Surfer extends Person {
    constructor(account, tls) {
        super(account);
        this.agent = new https.Agent({ ...tls, rejectUnauthorized: false });
    }

    async go(url, options = {}) {
        const send = (headers) => super.go(url, { agent: String(url).startsWith('https:') ? this.agent : false, ...options, headers: { ...options.headers, ...headers } });
        const response = await send({});
        if (response.status !== 401 || !/^Basic /.test(response.headers['www-authenticate'] ?? '') || !this.account.name) return response;
        return send({ Authorization: `Basic ${Buffer.from(`${this.account.name}:${this.account.password}`).toString('base64')}` });
    }
}

const USERS = [['lena', 'Lena Lang', 'lena-pw-1234'], ['otto', 'Otto Oak', 'otto-pw-1234']];

/** A real slapd on a port of its own, with two people. */
async function startSlapd(root) {
    const dir = join(root, 'ldap');
    const conf = join(root, 'slapd.conf');
    const ldif = join(root, 'people.ldif');
    const port = await freePort();
    mkdirSync(dir);
    writeFileSync(conf, `include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
pidfile ${root}/slapd.pid
modulepath /usr/lib/ldap
moduleload back_mdb
database mdb
maxsize 10485760
suffix "dc=example,dc=com"
rootdn "cn=admin,dc=example,dc=com"
directory ${dir}
access to attrs=userPassword by anonymous auth
access to * by * read
`);
    writeFileSync(ldif, `dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
o: Example
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people
${USERS.map(([uid, name, password]) => `
dn: uid=${uid},ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: ${uid}
cn: ${name}
sn: ${name.split(' ')[1]}
mail: ${uid}@example.com
description: ldap|${uid}
userPassword: ${password}`).join('\n')}

dn: cn=writers,ou=people,dc=example,dc=com
objectClass: groupOfNames
cn: writers
member: uid=lena,ou=people,dc=example,dc=com
`);
    run('/usr/sbin/slapadd', ['-f', conf, '-l', ldif]);
    const process_ = new Process('/usr/sbin/slapd', ['-f', conf, '-h', `ldap://127.0.0.1:${port}`, '-d', '0']);
    await until(() => reachable({ host: '127.0.0.1', port }), 'slapd');
    return { url: `ldap://127.0.0.1:${port}/ou=people,dc=example,dc=com`, stop: () => process_.stop('SIGTERM') };
}

/** A CA with a certificate for Carla, and one that nobody vouches for. */
function certificates(root) {
    const path = (name) => join(root, 'conf', name);
    const make = (name, subject, ...more) => run('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes',
        '-days', '2', '-keyout', path(`${name}.key`), '-out', path(`${name}.pem`), '-subj', subject, ...more]);
    make('ca', '/CN=People CA');
    make('carla', '/CN=Carla Cert/UID=carla', '-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-addext', 'basicConstraints=CA:FALSE');
    make('mallory', '/CN=Carla Cert/UID=carla');
    const pair = (name) => ({ key: readFileSync(path(`${name}.key`)), cert: readFileSync(path(`${name}.pem`)) });
    return { ca: path('ca.pem'), carla: pair('carla'), mallory: pair('mallory') };
}

async function before(world) {
    const { root } = world.httpd;
    const passwords = join(root, 'conf/htpasswd');
    run('htpasswd', ['-cbB', '-C', '4', passwords, 'fritz', 'fritz-pw-1234']);
    run('htpasswd', ['-bB', '-C', '4', passwords, 'Frida Ü', 'frida-pw-1234']);
    chmodSync(passwords, 0o644);
    writeFileSync(join(root, 'htdocs/login.html'), '<!DOCTYPE html><title>Sign in</title><form method="post" action="">'
        + '<input name="httpd_username"><input type="password" name="httpd_password"><button>Sign in</button></form>');
    world.passwords = passwords;
    world.certificates = certificates(root);
    world.slapd = await startSlapd(root);
    for (const secret of ['fritz-pw-1234', 'lena-pw-1234', 'otto-pw-1234']) world.httpd.secret('password', secret);
}

const site = (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/echo name="Echo" scopes="snippets"
MCPOAuth On
SSLVerifyClient optional_no_ca
SSLCACertificateFile ${world.certificates.ca}
OIDCProviderMetadataURL ${world.provider.issuer}/.well-known/openid-configuration
OIDCClientID ${world.provider.clientId}
OIDCClientSecret ${world.provider.clientSecret}
OIDCRedirectURI ${world.base}/front/oauth-callback
OIDCCryptoPassphrase 0123456789abcdef0123456789abcdef
OIDCPKCEMethod S256
OIDCScope "openid profile email"
OIDCRemoteUserClaim sub
${['form', 'basic', 'ldap', 'cert', 'name', 'front', 'bare', 'granted', 'either'].map((name) => `
<MCPProvider ${name}>
    MCPProviderType httpd
    ${{ basic: 'MCPProviderMaxAge 2s', ldap: 'MCPProviderClaim email "%{reqenv:AUTHENTICATE_MAIL}"\nMCPProviderUsernameClaim email',
        cert: 'MCPProviderUser %{SSL:SSL_CLIENT_S_DN_UID}\nMCPProviderClaim name "%{SSL:SSL_CLIENT_S_DN_CN}"',
        front: 'MCPProviderClaim email "%{reqenv:OIDC_CLAIM_email}"\nMCPProviderClaim team "%{reqenv:OIDC_CLAIM_team}"' }[name] ?? ''}
</MCPProvider>`).join('')}
<Location /signin/form>
    AuthType form
    AuthName people
    AuthFormProvider file
    AuthUserFile ${world.passwords}
    Session On
    SessionCookieName session path=/;httponly;secure
    SessionCryptoPassphrase 0123456789abcdef
    ErrorDocument 401 /login.html
    Require valid-user
</Location>
<Location /signin/basic>
    AuthType Basic
    AuthName people
    AuthUserFile ${world.passwords}
    Require valid-user
</Location>
<Location /signin/ldap>
    AuthType Basic
    AuthName people
    AuthBasicProvider ldap
    AuthLDAPURL "${world.slapd.url}?uid,mail?sub"
    AuthLDAPRemoteUserAttribute uid
    Require valid-user
</Location>
<Location /signin/front>
    AuthType openid-connect
    Require valid-user
</Location>
<Location /front/oauth-callback>
    AuthType openid-connect
    Require valid-user
</Location>
<Location /signin/granted>
    AuthType Basic
    AuthName people
    AuthUserFile ${world.passwords}
    Require all granted
</Location>
<Location /signin/either>
    AuthType Basic
    AuthName people
    AuthUserFile ${world.passwords}
    <RequireAny>
        Require ip 127.0.0.1
        Require valid-user
    </RequireAny>
</Location>
<Location /echo>
    AuthType MCP
    Require valid-user
    ProxyPass ${world.echo.url}/backend
</Location>
<Location /echo/upstream>
    MCPGuardUpstreamToken X-Upstream
</Location>
<Location /echo/group>
    AuthLDAPURL "${world.slapd.url}?description?sub"
    <RequireAny>
        Require mcp-tool read_*
        <RequireAll>
            Require ldap-group cn=writers,ou=people,dc=example,dc=com
            Require mcp-tool write_*
        </RequireAll>
    </RequireAny>
</Location>
<Location /echo/certificate>
    <RequireAny>
        Require mcp-tool read_*
        <RequireAll>
            Require expr "%{SSL_CLIENT_VERIFY} == 'SUCCESS' && %{SSL_CLIENT_S_DN_UID} == 'carla'"
            Require mcp-tool write_*
        </RequireAll>
    </RequireAny>
</Location>
<Location /signin/name>
    SSLUserName SSL_CLIENT_S_DN_CN
</Location>`;

const options = {
    backend: false, before, site, issuers: (world) => [`${world.base}/front`],
    httpd: { tls: true, modules: ['auth_basic', 'authn_file', 'auth_form', 'request', 'session', 'session_cookie', 'session_crypto', 'ldap', 'authnz_ldap', 'auth_openidc'] },
};

suite('httpd as the provider', options, async (it, world) => {
    const client = new OAuthClient(world, { resource: `${world.base}/echo` });
    assert.equal((await client.register()).status, 201);
    const [fritz, lena] = [{ name: 'fritz', password: 'fritz-pw-1234' }, { name: 'lena', password: 'lena-pw-1234' }];
    const { carla, mallory } = world.certificates;
    const authorize = (account, choose, tls) => client.authorize(new Surfer(account, tls), {}, { choose });
    /** Sign in and use what comes; gives {tokens, headers: what the backend heard}. */
    const session = async (account, choose, tls) => {
        const answer = await authorize(account, choose, tls);
        assert.ok(answer.code, `${choose}: ${answer.url}\n${world.httpd.log().slice(-1500)}`);
        const response = await client.redeem(answer.code);
        assert.equal(response.status, 200, response.text);
        const tokens = response.json();
        const call = await request(`${world.base}/echo`, { json: {}, headers: { Authorization: `Bearer ${tokens.access_token}` } });
        assert.equal(call.status, 200, call.text);
        return { tokens, headers: Object.fromEntries(call.json().headers.map(([name, value]) => [name.toLowerCase(), value])) };
    };
    const refused = async (account, choose, log, tls) => {
        const mark = world.httpd.log().length;
        const answer = await authorize(account, choose, tls);
        assert.equal(answer.code, undefined, `${choose}: a code was given`);
        assert.equal(answer.error, 'server_error', answer.url);
        assert.match(world.httpd.log().slice(mark), log);
    };
    world.httpd.announce('MCP0245', 'AH01631', /AH01617|AH01618|AH01807|user .* not found|authentication failure|password mismatch/i);

    for (const [how, account, name, tls, subject, username] of [
        ['a form and a password file (mod_auth_form, mod_session_cookie)', fritz, 'form', {}, 'form|fritz', 'fritz'],
        ['Basic and a password file', fritz, 'basic', {}, 'basic|fritz', 'fritz'],
        ['LDAP (slapd)', lena, 'ldap', {}, 'ldap|lena', 'lena@example.com'],
        ['LDAP, however the name is written', { ...lena, name: 'LENA' }, 'ldap', {}, 'ldap|lena', 'lena@example.com'],
        ['a client certificate and an expression', {}, 'cert', carla, 'cert|carla', 'Carla Cert'],
        ['a client certificate and SSLUserName', {}, 'name', carla, 'name|Carla Cert', 'Carla Cert'],
    ]) {
        await it(`signs in by ${how}`, async () => {
            const { headers } = await session(account, name, tls);
            assert.equal(headers['x-mcp-subject'], subject);
            assert.equal(headers['x-mcp-username'], username);
        });
    }

    await it('prompt=none is answered at once, and nobody is asked for anything', async () => {
        const surfer = new Surfer(fritz);
        const answer = await client.authorize(surfer, { prompt: 'none' }, { choose: 'basic' });
        assert.equal(answer.error, 'consent_required', answer.url); // login_required once consent is remembered
        assert.equal(answer.code, undefined);
    });

    await it('groups of LDAP and certificates stand beside rules on tools', async () => {
        const call = async (path, tokens, tool, tls) => {
            const answer = await request(`${world.base}/echo/${path}`, {
                json: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: tool } }, agent: new https.Agent({ ...tls, rejectUnauthorized: false }),
                headers: { Authorization: `Bearer ${tokens.access_token}`, Accept: 'application/json, text/event-stream' },
            });
            return answer.json().error?.code ?? answer.status;
        };
        const lenas = (await session(lena, 'ldap')).tokens;
        const ottos = (await session({ name: 'otto', password: 'otto-pw-1234' }, 'ldap')).tokens;
        assert.deepEqual([await call('group', lenas, 'read_x'), await call('group', lenas, 'write_x')], [200, 200]);
        assert.deepEqual([await call('group', ottos, 'read_x'), await call('group', ottos, 'write_x')], [200, -32003]);
        assert.deepEqual([await call('certificate', ottos, 'write_x', carla), await call('certificate', ottos, 'read_x', {})], [200, 200]);
        assert.deepEqual([await call('certificate', ottos, 'write_x', mallory), await call('certificate', ottos, 'write_x', {})], [-32003, -32003]);
    });

    await it('signs in by mod_auth_openidc before an OpenID provider', async () => {
        const [account] = world.provider.accounts;
        const { headers } = await session(account, 'front', {});
        assert.equal(headers['x-mcp-subject'], `front|${account.sub}`);
        assert.equal(headers['x-mcp-username'], account.email);
    });

    await it('a wrong password or certificate signs nobody in', async () => {
        for (const [account, name] of [[{ ...fritz, password: 'x' }, 'basic'], [{ ...lena, password: 'otto-pw-1234' }, 'ldap'], [{ name: 'lena', password: '' }, 'ldap'],
            [{ name: 'fritz)(uid=*', password: 'x' }, 'ldap']]) {
            await assert.rejects(authorize(account, name), /answered 401/, name);
        }
        await assert.rejects(authorize({ ...fritz, password: 'x' }, 'form'), /goes round in circles/);
        await refused({}, 'cert', /MCP0245.*\/signin\/cert.*nothing in the configuration/, mallory);
        await refused({}, 'name', /MCP0245/, mallory);
        await refused({}, 'cert', /MCP0245/, {});
    });

    await it('a location that nothing protects signs nobody in, whatever the browser says (fail closed)', async () => {
        for (const name of ['bare', 'granted', 'either']) {
            await refused(fritz, name, new RegExp(`MCP0245.*/signin/${name}`));
            const person = new Surfer(fritz);
            const go = person.go.bind(person);
            person.go = (url, o = {}) => go(url, { ...o, headers: { ...o.headers, 'X-Remote-User': 'fritz', REMOTE_USER: 'fritz',
                Authorization: `Basic ${Buffer.from('fritz:fritz-pw-1234').toString('base64')}` } });
            const answer = await client.authorize(person, {}, { choose: name });
            assert.equal(answer.code, undefined, name);
        }
        await refused({}, 'bare', /MCP0245.*httpd knows no user/, carla); // a good certificate, and nobody said which part of it is the name
    });

    await it('only the browser that consented, for the provider that it chose, and once (T2, AS-18)', async () => {
        const stop = (to) => new URL(to).pathname === '/signin/basic';
        const person = new Surfer(fritz);
        const url = await person.visit(client.authorizeUrl(), { choose: 'basic', stop });
        assert.equal((await new Surfer(fritz).go(url)).status, 403, 'another browser');
        assert.equal((await new Surfer(fritz).go(`${world.base}/signin/basic`)).status, 403, 'nothing was begun');
        const done = await person.go(url);
        assert.equal(done.status, 302);
        assert.ok(new URL(done.headers.location).searchParams.get('code'));
        assert.equal((await person.go(url)).status, 403, 'again');
        const second = new URL(await person.visit(client.authorizeUrl(), { choose: 'basic', stop }));
        second.pathname = '/signin/form';
        const page = await person.go(second.href);
        const [form] = [person.read(page).form];
        const crossed = await person.submit(page, form, { httpd_username: 'fritz', httpd_password: 'fritz-pw-1234' });
        assert.equal(crossed.status, 400, 'a sign-in that was begun for another provider');
        assert.equal((await person.go(`${world.base}/signin/nobody?state=x`)).status, 404);
        assert.equal((await person.go(`${world.base}/signin/basic?state=x`, { method: 'PUT' })).status, 405);
    });

    await it('refreshes until MCPProviderMaxAge, then the person has to sign in again', async () => {
        const { tokens } = await session(fritz, 'basic', {});
        const second = await client.refresh(tokens.refresh_token);
        assert.equal(second.status, 200, second.text);
        await sleep(3100); // seconds are what grants count
        const third = await client.refresh(second.json().refresh_token);
        assert.equal(third.status, 400);
        assert.equal(third.json().error, 'invalid_grant');
        assert.match(world.httpd.log(), /MCP0277: "basic\|fritz" has to sign in again/);
        const { tokens: form } = await session(fritz, 'form', {});
        assert.equal((await client.refresh(form.refresh_token)).status, 200);
    });

    await it('a location that wants the provider\'s token is not for whom httpd signed in: 403, not a 401 that a refresh would follow without end', async () => {
        const { tokens } = await session(fritz, 'basic', {});
        const answer = await request(`${world.base}/echo/upstream`, { json: {}, headers: { Authorization: `Bearer ${tokens.access_token}` } });
        assert.equal(answer.status, 403, answer.text);
        assert.match(world.httpd.log(), /MCP0259: .*"basic\|fritz" was signed in by httpd itself/);
    });

    await it('a sign-out ends here, for httpd has no page for it, and logout tokens are nobody\'s', async () => {
        const person = new Surfer(fritz);
        const list = await person.visit(`${world.base}/connections`, { choose: 'basic', stop: (to) => to === `${world.base}/connections` });
        assert.equal((await person.go(list)).status, 200);
        const page = await person.go(`${world.base}/signout`);
        const form = forms(page.text).find(({ buttons }) => buttons.some(({ text }) => text === 'Sign out'));
        const done = await person.submit(page, form, {}, form.buttons[0]);
        assert.equal(done.status, 200, done.text);
        assert.match(done.text, /You are signed out/);
        const response = await request(`${world.base}/backchannel-logout/basic`, { method: 'POST', body: { logout_token: 'eyJhbGciOiJSUzI1NiJ9.e30.AA' } });
        assert.equal(response.status, 404, response.text);
        assert.equal(response.json().error, 'invalid_request');
    });

    await it('what an OpenID provider of that name gave once is not asked for any more', async () => {
        const rest = site(world);
        await world.httpd.configure(rest + providerSection(world));
        await world.httpd.graceful();
        const { tokens } = await session(world.provider.accounts[0], 'demo', {});
        await world.httpd.configure(`${rest}\n<MCPProvider demo>\n    MCPProviderType httpd\n</MCPProvider>`);
        await world.httpd.graceful();
        assert.equal((await client.refresh(tokens.refresh_token)).status, 200);
    });

    await it('what configtest says', async () => {
        for (const [lines, message] of [
            ['MCPProviderType httpd', null],
            ['MCPProviderType http', /MCPProviderType takes oidc, oauth2 or httpd/],
            ['MCPProviderType httpd\nMCPProviderClientID x', /MCPProviderType httpd asks no provider/],
            ['MCPProviderType httpd\nMCPProviderUser "%{nofunction:x"', /MCPProviderUser: .* is no expression/],
            ['MCPProviderType httpd\nMCPProviderClaim mcp_overage x', /takes the name of a claim/],
            ['MCPProviderType httpd\nMCPProviderMaxAge 1ms', /MCPProviderMaxAge takes/],
            ['MCPProviderIssuer https://x.example\nMCPProviderClientID x\nMCPProviderUser x', /need MCPProviderType httpd/],
        ]) {
            await world.httpd.configure(`${site(world)}\n<MCPProvider extra>\n${lines}\n</MCPProvider>`);
            const { code, output } = await world.httpd.configtest();
            assert.equal(code === 0, message === null, output);
            if (message) assert.match(output, message);
        }
    });

    await it('stops slapd', () => world.slapd.stop());
});
