// SPDX-License-Identifier: Apache-2.0
// As a new administrator: docs/install.md and docs/first-server.md are done on a bare Debian, each command and each file as they
// stand there; a client of the official SDK connects from outside, is seen and taken back by mcpctl, and the audit log is proven.
// Then deploy/deploy makes another bare Debian a gateway. Run by test/tools/packages:
//
//   MCP_ROOT_ONE=DIR MCP_ROOT_TWO=DIR MCP_DEB=FILE node --test test/tools/first-server.mjs
//
// in a network and mount namespace of its own.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join, resolve } from 'node:path';
import test, { after, before } from 'node:test';
import { ACCOUNTS } from '../../examples/demo-idp/accounts.mjs';
import { Application, connect, textOf } from '../system/lib/clients.mjs';
import { Person } from '../system/lib/person.mjs';
import { reachable, until } from '../system/lib/proc.mjs';
import { Internet, Machine } from './machine.mjs';

const TOP = resolve(import.meta.dirname, '../..');
const DEB = process.env.MCP_DEB;
const KEY = 'what-the-mcp-server-demands';
const MCP = 'https://mcp.example.com';
const AUDIT = '/var/log/apache2/mcp-audit.jsonl';

let net;
before(async () => { net = await Internet.start(mkdtempSync(join(tmpdir(), 'mcp-internet-'))); });
after(async () => { await net.stop(); rmSync(net.dir, { recursive: true, force: true }); });

/** A document's sections: {title: [{language, text, file}]}; file where the line before names one. */
function sections(name) {
    const found = {};
    for (const part of readFileSync(join(TOP, 'docs', name), 'utf8').split(/^## /m).slice(1)) {
        found[part.split('\n')[0]] = [...part.matchAll(/(?:^`([^`\n]+)`:\n\n)?^```(\w+)\n([\s\S]*?)^```/gm)]
            .map(([, file, language, text]) => ({ file, language, text }));
    }
    return found;
}

/** Someone at a computer elsewhere. */
function newClient() {
    const account = { ...ACCOUNTS[0], name: ACCOUNTS[0].login };
    const application = new Application(new Person(account));
    return { application, connect: () => connect('v2 auto', MCP, application) };
}

const callTool = async ({ client }) => textOf(await client.callTool({ name: 'hello_mcp', arguments: {} }));
const refused = (error) => { assert.match(`${error.name} ${error.message}`, /unauthorized|401|invalid_grant/i); return true; };

const machineOf = async (t, root, key = KEY) => {
    const machine = await Machine.boot(root, net);
    t.after(() => machine.stop());
    await machine.startBackend(key);
    return machine;
};

test('a new administrator follows docs/first-server.md on a bare Debian', { timeout: 300_000 }, async (t) => {
    const root = process.env.MCP_ROOT_ONE;
    const install = sections('install.md')['From the package'];
    const steps = sections('first-server.md');
    const of = (title) => { const blocks = steps[title]; assert.ok(blocks?.length, title); return blocks; };
    const done = new Set();
    const machine = await machineOf(t, root);
    /** Do what a section says; secrets are what is typed into its commands. */
    const follow = async (title, typed = []) => {
        done.add(title);
        let said = '';
        for (const { language, file, text } of of(title)) {
            if (file) machine.write(file, text);
            else if (language === 'sh') {
                // a command that reads what is pasted is one by itself
                const parts = text.includes('/dev/stdin') ? text.trim().split('\n') : [text];
                for (const part of parts) said += await machine.sh(part, part.includes('/dev/stdin') ? { input: `${typed.shift()}\n` } : {});
            } else assert.fail(`${title}: what is to be done with ${language}?`);
        }
        return said;
    };

    await t.test('the package is installed and enabled by the commands of install.md', async () => {
        cpSync(DEB, join(root, 'root', basename(DEB)));
        // from what lies in its cache: a package that needs more than it says, or more than was fetched, fails here
        await machine.sh(`apt() { apt-get -q -y --no-install-recommends "$@"; }\n${install[0].text}`);
        await machine.sh(`test "$(stat -c %a /etc/mcp/keys)" = 600; mcpctl --version; /usr/libexec/mcp-otlp --version; test -s /usr/share/doc/libapache2-mod-mcp/conf/mcp-example.conf; test -s /usr/share/doc/libapache2-mod-mcp/monitoring/grafana-dashboard.json
            grep -q '^Mutex pthread mcp-store' /etc/apache2/mods-enabled/mcp_oauth.conf`);
    });

    await t.test('configured and started as the page says, httpd gets a certificate and doctor finds nothing wrong', async () => {
        await follow('1. Install', [net.clientSecret, KEY]);
        await follow('2. Configure');
        await follow('3. Start');
        const doctor = () => machine.try('mcpctl', 'doctor', `${MCP}/mcp`);
        // a graceful restart takes its moment
        await until(async () => (await doctor()).code === 0, 'the certificate to be in use', 15_000, 250).catch(() => {});
        assert.match(await follow('4. Look'), /0 failed/);
    });

    const someone = newClient();
    let session;
    await t.test('a client of the official SDK connects from outside and calls a tool', async () => {
        done.add('5. Connect');
        session = await someone.connect();
        assert.match(await callTool(session), /hello/i);
        assert.equal(someone.application.visits.length, 1);
    });

    await t.test('mcpctl lists the session and takes it back; the client is refused and cannot renew', async () => {
        const said = await follow('6. See it, and take it back');
        assert.match(said, /SDK application/);
        assert.match(said, /^1 grants/m);
        const { application } = someone;
        application.redirectToAuthorization = () => { throw new Error('unauthorized: it would need the person again'); };
        await assert.rejects(callTool(session), refused);
        assert.equal((await fetch(`${MCP}/mcp`, { method: 'POST', headers: { 'Content-Type': 'application/json' }, body: '{}' })).status, 401);
        await session.client.close().catch(() => {});
    });

    await t.test('the audit log tells all of it and is whole; a changed line is found', async () => {
        const said = await follow('7. Read the audit log');
        assert.match(said, / whole; 0 more/);
        const events = machine.read(AUDIT).trim().split('\n').map((line) => JSON.parse(line));
        for (const event of ['client.registration', 'consent', 'sign_in', 'token.issue', 'mcp.call', 'admin']) {
            assert.ok(events.some((line) => line.event === event), event);
        }
        assert.equal(events.find((line) => line.event === 'admin').username ?? 'admin', 'admin');
        machine.write('root/forged', machine.read(AUDIT).replace('"event":"consent"', '"event":"absent_"'));
        const { code, out } = await machine.try('mcpctl', 'verify-audit', '--key-file', '/etc/mcp/keys', '/root/forged');
        assert.equal(code, 1, out);
    });

    await t.test('nothing of the page was left out, and no log has a secret', async () => {
        for (const [title, blocks] of Object.entries(steps)) assert.ok(blocks.length === 0 || done.has(title), `not run: ${title}`);
        const logs = readdirSync(join(root, 'var/log/apache2')).map((name) => machine.read(`var/log/apache2/${name}`)).join('\n');
        const { saved } = someone.application;
        for (const secret of [net.clientSecret, KEY, ...[saved?.access_token, saved?.refresh_token].filter(Boolean)]) assert.ok(!logs.includes(secret));
    });

    await t.test('removed, it leaves httpd running and the keys to their owner', async () => {
        await machine.sh('a2dissite -q mcp; apt-get -q -y remove libapache2-mod-mcp; test ! -e /usr/lib/apache2/modules/mod_mcp_oauth.so; test -s /etc/mcp/keys; apache2ctl configtest');
    });
});

/** Of a state: without the time of a directory in which something came and went. */
const withoutTimes = (text) => text.replace(/ [\d.]+$/gm, '');

/** The settings of the example, with these instead. */
function settings(changes) {
    let text = readFileSync(join(TOP, 'deploy/settings.example'), 'utf8');
    for (const [name, value] of Object.entries(changes)) {
        const line = new RegExp(`^${name}=.*$`, 'm');
        assert.match(text, line);
        text = text.replace(line, `${name}=${value}`);
    }
    return text;
}

test('deploy/deploy makes a host of a bare Debian, once and for all', { timeout: 420_000 }, async (t) => {
    const root = process.env.MCP_ROOT_TWO;
    let machine = await machineOf(t, root);
    const own = {
        MCP_PACKAGE: `/root/${basename(DEB)}`, MCP_PROVIDER: 'oidc', MCP_PROVIDER_ISSUER: 'https://login.example.com', MCP_CLIENT_ID: 'mcp-gateway',
        MCP_TLS: 'own', MCP_CERTIFICATE: '/etc/ssl/mcp.pem', MCP_CERTIFICATE_KEY: '/etc/ssl/private/mcp.key',
    };
    cpSync(join(TOP, 'deploy'), join(root, 'root/deploy'), { recursive: true });
    cpSync(DEB, join(root, 'root', basename(DEB)));
    const { key, cert } = net.certificate('mcp.example.com');
    machine.write('etc/ssl/mcp.pem', cert);
    machine.write('etc/ssl/private/mcp.key', key, 0o600);
    const set = (changes) => machine.write('root/deploy/settings', settings({ ...own, ...changes }), 0o600);
    const deploy = (...args) => machine.try('deploy/deploy', ...args);
    const good = async (...args) => { const { code, out } = await deploy(...args); assert.equal(code, 0, `${out}\n${machine.log()}`); return out; };
    /** Everything below these directories, with what it holds. */
    const state = () => machine.sh("find /etc /root /var/backups /var/log /usr -xdev ! -name .session ! -path '*/deploy/settings' -printf '%p %y %m %u %g %s %T@\\n' | sort");

    await t.test('what is wrong with the settings is said, with the mend, before anything is touched', async () => {
        const before = await state();
        const cases = [
            [{ MCP_TLS: 'maybe' }, /settings:\d+: MCP_TLS cannot be "maybe"/], [{ MCP_HOST: 'mcp.example.com" Include /etc/passwd' }, /MCP_HOST cannot be/],
            [{ MCP_CLIENT_ID: '' }, /MCP_CLIENT_ID is not set/], [{ MCP_TLS: 'acme' }, /MCP_ACME_AGREE is not yes\nmend: /],
            [{ MCP_CERTIFICATE_KEY: '/root/mcp.key' }, /httpd will not see \/root\/mcp\.key\nmend: +put it below \/etc/], [{}, /\/etc\/mcp\/provider-secret, the gateway's client secret, is not there\nmend: .*install -Dm 600/],
        ];
        for (const [changes, message] of cases) {
            set(changes);
            const { code, out } = await deploy();
            assert.equal(code, 1, out);
            assert.match(out, message);
        }
        machine.write('root/deploy/settings', 'MCP_HOTS=x\n');
        assert.match((await deploy()).out, /settings:1: there is no setting MCP_HOTS/);
        set({});
        await machine.sh('install -Dm 644 /dev/stdin /etc/mcp/provider-secret', { input: net.clientSecret });
        assert.match((await deploy()).out, /provider-secret may be read by others \(mode 644\)\nmend: +chmod 600/);
        await machine.sh('rm -r /etc/mcp'); // as it was
        assert.match((await machine.try('unshare', '--mount', 'sh', '-c', 'mount -t tmpfs tmpfs /run/systemd && deploy/deploy')).out, /systemd does not run here\nmend: .*--no-systemd/);
        assert.equal(withoutTimes(await state()), withoutTimes(before));
    });

    await t.test('--check tells all and touches nothing', async () => {
        // the secrets, as the page says
        const commands = sections('deploy.md')['From an empty machine'].find(({ language }) => language === 'sh').text.trim().split('\n');
        assert.deepEqual(commands.splice(3), ['deploy/deploy --check', 'deploy/deploy']);
        for (const [i, input] of [undefined, net.clientSecret, KEY].entries()) await machine.sh(commands[i], input ? { input: `${input}\n` } : {});
        const before = await state();
        const { code, out } = await deploy('--check');
        assert.equal(code, 3, out);
        for (const what of ['install apache2 ', 'make the key file', 'write /etc/systemd/system/mcp-memcached.service', 'write /etc/mcp/firewall.nft',
            'enable module mcp_guard', 'write /etc/apache2/sites-available/mcp.conf', 'write /etc/logrotate.d/mcp']) assert.ok(out.includes(`would ${what}`), `${what}: ${out}`);
        assert.equal(await state(), before);
    });

    const someone = newClient();
    let session;
    await t.test('the host is made, doctor is content, and a client of the official SDK works', async () => {
        const out = await good();
        assert.match(out, /^\d+ fine, \d+ to note, 0 failed$/m);
        session = await someone.connect();
        assert.match(await callTool(session), /hello/i);
    });

    await t.test('a second run changes nothing', async () => {
        const before = await state();
        assert.match(await good(), /^nothing to do$/m);
        assert.match(await good('--check'), /^nothing to do$/m);
        const logs = (text) => text.split('\n').filter((line) => !/^\/var\/log\/|^\/var\/log /.test(line)).join('\n');
        assert.equal(logs(await state()), logs(before));
    });

    await t.test('httpd runs hardened, with room for streams; sessions are on a socket for it alone', async () => {
        const shown = await machine.sh('systemctl show apache2 -p ProtectSystem -p LimitNOFILE -p NoNewPrivileges; stat -c "%a %U:%G" /run/mcp-memcached /run/mcp-memcached/socket; ss -ltnH 2> /dev/null || cat /proc/net/tcp');
        for (const line of ['ProtectSystem=strict', 'LimitNOFILE=32768', 'NoNewPrivileges=yes', '750 memcache:www-data', '660 memcache:www-data']) assert.ok(shown.includes(line), `${line}: ${shown}`);
        assert.doesNotMatch(shown, /:11211|:2BCB/i, 'a memcached on a port');
        assert.match(await machine.sh('MCPCTL_URL=http://127.0.0.1:8098/mcp-admin mcpctl status --netrc'), /^store {2}up$/m);
        assert.match(await machine.sh('curl -sS http://127.0.0.1:8098/metrics'), /^mcp_requests_total\{outcome="ok"\} [1-9]/m);
        await assert.rejects(fetch('http://mcp.example.com:8098/metrics'));
    });

    await t.test('nobody but httpd reaches the MCP server, from here or from outside', async () => {
        const from = async (user) => (await machine.try('setpriv', `--reuid=${user}`, '--clear-groups', 'curl', '-s', '-o', '/dev/null', '-m', '5', 'http://127.0.0.1:7071/')).code;
        assert.equal(await from('www-data'), 0);
        for (const user of ['nobody', 'root']) assert.equal(await from(user), 7, user);
        // a careless server, which listens for the world
        const careless = machine.inNetwork(process.execPath, ['-e', 'require("net").createServer().listen(7071, "192.0.2.10", () => console.log("ready"))']);
        t.after(() => careless.stop());
        await careless.says(/ready/);
        const outside = { host: 'mcp.example.com', port: 7071 };
        assert.equal(await reachable(outside), false);
        await machine.sh('systemctl stop mcp-firewall');
        assert.equal(await reachable(outside), true, 'it is the firewall that keeps others out');
        assert.match(await good(), /^start mcp-firewall$/m);
        assert.equal(await reachable(outside), false);
        // the rules for a server on another host, and those that docs/deploy.md shows for that host, are at least good ones
        const elsewhere = await machine.sh(`CHECK=no SYSTEMD=yes; cd deploy; . lib/common.sh; . lib/settings.sh; . lib/files.sh; read_settings settings
            MCP_BACKEND=http://10.0.0.9:8080/mcp; check_settings; firewall > ~/rules; nft -c -f ~/rules; cat ~/rules; rm ~/rules`);
        assert.match(elsewhere, /ip daddr 10\.0\.0\.9 tcp dport 8080 meta skuid != "www-data" reject/);
        const there = readFileSync(join(TOP, 'docs/deploy.md'), 'utf8').match(/^```text\n(table [\s\S]*?)^```/m)[1];
        await machine.sh('nft -c -f -', { input: there });
    });

    await t.test('what an administrator wrote is kept before it is replaced; a configuration that httpd refuses is not started', async () => {
        await machine.sh('echo "# mine" >> /etc/apache2/sites-available/mcp.conf');
        const out = await good();
        const kept = out.match(/replace \S+mcp\.conf \(the old one: (\S+)\)/)?.[1];
        assert.ok(kept, out);
        assert.match(machine.read(kept), /# mine/);
        assert.doesNotMatch(machine.read('etc/apache2/sites-available/mcp.conf'), /# mine/);
        await machine.sh('echo Nonsense > /etc/apache2/conf-enabled/nonsense.conf');
        const { code, out: said } = await deploy();
        assert.equal(code, 1);
        assert.match(said, /Nonsense[\s\S]*mend: +httpd goes on as it was/);
        assert.match(await callTool(session), /hello/i);
        await machine.sh('rm /etc/apache2/conf-enabled/nonsense.conf');
    });

    await t.test('the audit log is rotated, and its chain goes on over the files', async () => {
        await machine.sh('logrotate --force /etc/logrotate.d/mcp');
        await until(() => machine.read(AUDIT).includes('"seq":1,'), 'the reload');
        assert.match(await callTool(session), /hello/i);
        const verify = 'mcpctl verify-audit --key-file /etc/mcp/keys';
        assert.match(await machine.sh(`${verify} ${AUDIT}-* ${AUDIT}`), / whole;/);
        const { code, out } = await machine.try('sh', '-c', `${verify} ${AUDIT}`);
        assert.equal(code, 1, `a file that was taken away is missed: ${out}`);
    });

    await t.test('after a boot all of it is there again, and nobody has to sign in anew', async () => {
        const visits = someone.application.visits.length;
        await machine.stop();
        machine = await machineOf(t, root);
        assert.match(await callTool(await someone.connect()), /hello/i);
        assert.equal(someone.application.visits.length, visits);
        assert.match(await good(), /^nothing to do$/m);
    });

    await t.test('MCP_TLS=acme: httpd gets its certificate itself', async () => {
        set({ MCP_TLS: 'acme', MCP_ACME_AGREE: 'yes', MCP_CERTIFICATE: '', MCP_CERTIFICATE_KEY: '' });
        assert.match(await good(), /^get a certificate for mcp\.example\.com$/m);
        const issuer = await machine.sh('openssl s_client -connect mcp.example.com:443 -servername mcp.example.com < /dev/null 2> /dev/null | openssl x509 -noout -issuer');
        assert.match(issuer, /Pebble/);
        assert.match(await good(), /^nothing to do$/m);
    });

    await t.test('deploy/entra prints what docs/deploy.md shows', async () => {
        const out = await machine.sh('deploy/entra --settings deploy/settings.example');
        const shown = sections('deploy.md')['Entra ID'].find(({ language }) => language === 'console').text;
        assert.equal(shown, `$ deploy/entra --settings deploy/settings.example\n${out}`);
        execFileSync('bash', ['-n'], { input: await machine.sh('deploy/entra --assigned-only --secret /root/s --settings deploy/settings.example') });
    });

    await t.test('--no-systemd starts the daemons by hand, and says what that means', async () => {
        await machine.sh('systemctl stop apache2 mcp-memcached');
        const out = await good('--no-systemd');
        assert.match(out, /^start memcached on /m);
        assert.match(out, /^note: nothing starts these daemons at the next boot$/m);
        assert.match(await callTool(await newClient().connect()), /hello/i);
        assert.match(await good('--no-systemd'), /^nothing to do$/m);
    });
});
