// SPDX-License-Identifier: Apache-2.0
// A Debian that is booted from a directory, with processes, a network and a systemd of its own, and the Internet around it:
// names, a certificate authority, an identity provider and an ACME authority that issues for real. The process that uses
// this has to be in a network and mount namespace of its own (unshare --net --mount), since it takes addresses and /etc/hosts.

import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import https from 'node:https';
import { dirname, join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { startProvider } from '../../examples/demo-idp/provider.mjs';
import { Process, reachable, run, until } from '../system/lib/proc.mjs';

const HERE = dirname(fileURLToPath(import.meta.url));
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

export const NAMES = { 'login.example.com': '192.0.2.1', 'acme-v02.api.letsencrypt.org': '192.0.2.2', 'mcp.example.com': '192.0.2.10' };
const HOSTS = `127.0.0.1 localhost gateway\n${Object.entries(NAMES).map(([name, address]) => `${address} ${name}\n`).join('')}`;

const ip = (...args) => execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] });

/** What is around the machine. @param dir  for its files */
export class Internet {
    static async start(dir) {
        const net = Object.assign(new Internet(), { dir });
        const hosts = net.file('hosts', HOSTS);
        execFileSync('mount', ['--bind', hosts, '/etc/hosts']);
        ip('link', 'set', 'lo', 'up');
        // one wire at a time: the machine has the other end
        ip('link', 'add', 'outside', 'type', 'bridge');
        for (const [name, address] of Object.entries(NAMES)) if (name !== 'mcp.example.com') ip('address', 'add', `${address}/24`, 'dev', 'outside');
        ip('link', 'set', 'outside', 'up');
        net.authority();
        net.trust(net.read('ca.pem'));
        const tls = (name) => net.certificate(name);
        net.clientSecret = 'what-the-provider-gave-to-the-gateway';
        net.provider = await startProvider({
            port: 443, host: NAMES['login.example.com'], issuer: 'https://login.example.com', tls: tls('login.example.com'),
            clientId: 'mcp-gateway', clientSecret: net.clientSecret, redirectUris: ['https://mcp.example.com/oauth-callback'],
        });
        await net.startAcme(tls('acme-v02.api.letsencrypt.org'));
        return net;
    }

    path(name) { return join(this.dir, name); }
    read(name) { return readFileSync(this.path(name), 'utf8'); }
    file(name, text) { writeFileSync(this.path(name), text, { mode: 0o600 }); return this.path(name); }
    openssl(...args) { execFileSync('openssl', args, { cwd: this.dir, stdio: ['ignore', 'ignore', 'pipe'] }); }

    /** From now on this process trusts it, too. */
    trust(pem) { setDefaultCACertificates([...getCACertificates('default'), pem]); }

    authority() {
        this.openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=an authority', '-keyout', 'ca.key', '-out', 'ca.pem');
    }

    /** A certificate of that authority: {key, cert}, in NAME.key and NAME.pem. */
    certificate(name) {
        this.openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', `/CN=${name}`, '-keyout', `${name}.key`, '-out', `${name}.csr`);
        this.file(`${name}.ext`, `subjectAltName=DNS:${name}\nbasicConstraints=critical,CA:FALSE\n`);
        this.openssl('x509', '-req', '-in', `${name}.csr`, '-CA', 'ca.pem', '-CAkey', 'ca.key', '-days', '2', '-extfile', `${name}.ext`, '-out', `${name}.pem`);
        return { key: this.read(`${name}.key`), cert: this.read(`${name}.pem`) };
    }

    /** Pebble, which looks at http-01 challenges like Let's Encrypt, and its directory at Let's Encrypt's place. */
    async startAcme(tls) {
        const config = {
            pebble: {
                listenAddress: '127.0.0.1:14000', managementListenAddress: '127.0.0.1:15000', httpPort: 80, tlsPort: 443,
                certificate: this.file('pebble.pem', tls.cert), privateKey: this.file('pebble.key', tls.key), ocspResponderURL: '', externalAccountBindingRequired: false,
            },
        };
        const env = { PEBBLE_VA_NOSLEEP: '1', PEBBLE_WFE_NONCEREJECT: '0', PEBBLE_AUTHZREUSE: '100' };
        this.pebble = new Process('pebble', ['-config', this.file('pebble.json', JSON.stringify(config))], { env });
        await until(() => reachable({ host: '127.0.0.1', port: 14000 }), 'pebble to listen');
        const over = (options, body) => new Promise((resolve, reject) => {
            https.request({ ca: this.read('ca.pem'), servername: 'acme-v02.api.letsencrypt.org', host: '127.0.0.1', ...options }, async (answer) => {
                const chunks = [];
                for await (const chunk of answer) chunks.push(chunk);
                resolve({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(chunks) });
            }).on('error', reject).end(body);
        });
        this.acmeRoot = (await over({ port: 15000, path: '/roots/0' })).body.toString();
        this.trust(this.acmeRoot);
        this.acme = https.createServer(tls, async (request, response) => {
            const chunks = [];
            for await (const chunk of request) chunks.push(chunk);
            const path = request.url === '/directory' ? '/dir' : request.url;
            const { status, headers, body } = await over({ port: 14000, method: request.method, path, headers: request.headers }, Buffer.concat(chunks));
            response.writeHead(status, headers).end(body);
        });
        await new Promise((resolve) => { this.acme.listen(443, NAMES['acme-v02.api.letsencrypt.org'], resolve); });
    }

    async stop() {
        await this.provider?.close();
        this.acme?.close();
        this.acme?.closeAllConnections();
        await this.pebble?.stop();
    }
}

let wires = 0;

export class Machine {
    /** Boot the root; it is mcp.example.com from then on. */
    static async boot(root, net) {
        const machine = Object.assign(new Machine(), { root, net, backends: [] });
        writeFileSync(join(root, 'etc/hosts'), HOSTS);
        writeFileSync(join(root, 'etc/hostname'), 'gateway\n');
        machine.process = new Process('unshare', ['--mount', '--net', '--pid', '--cgroup', '--ipc', '--uts', '--fork', '--kill-child',
            join(HERE, 'boot-machine'), root]);
        const child = (pid) => readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
        machine.pid = await until(() => child(machine.process.pid), 'the first process of the machine');
        const ready = () => machine.try('systemctl', 'is-system-running').then(({ out }) => /^(running|degraded)/.test(out));
        await until(ready, `the machine to boot\n${machine.process.output}`, 60_000, 100);
        const wire = `wire${++wires}`;
        ip('link', 'add', wire, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', machine.pid);
        ip('link', 'set', wire, 'master', 'outside', 'up');
        machine.wire = wire;
        const inside = (...args) => execFileSync('nsenter', ['--net', '--target', machine.pid, 'ip', ...args]);
        inside('address', 'add', `${NAMES['mcp.example.com']}/24`, 'dev', 'eth0');
        inside('link', 'set', 'eth0', 'up');
        await machine.trust('authority', net.read('ca.pem'));
        await machine.trust('acme', net.acmeRoot);
        return machine;
    }

    /** Run a program in it, whatever its end: {code, out}. */
    async try(...args) {
        const { input } = typeof args.at(-1) === 'object' ? args.pop() : {};
        // what node gives as a standard input is a socket, which /dev/stdin cannot open
        if (input !== undefined) args.unshift('sh', '-c', 'cat | "$@"', 'sh');
        const process = new Process('nsenter', ['--target', this.pid, '--mount', '--net', '--pid', '--ipc', '--uts', '--cgroup', '--root', '--',
            '/usr/bin/env', '-C', '/root', '-i', `PATH=${PATH}`, 'HOME=/root', 'TERM=dumb', 'LC_ALL=C', 'DEBIAN_FRONTEND=noninteractive', ...args], { input });
        const { code } = await process.done({ code: null, ms: 240_000 });
        return { code, out: process.output };
    }

    /** Run a shell script; fails where a command of it does. Variables that it exports are there in the next one. */
    async sh(script, options = {}) {
        const { code, out } = await this.try('bash', '-c', `set -eu\n[ ! -e ~/.session ] || . ~/.session\n${script}\nexport -p > ~/.session`, options);
        if (code !== 0) throw new Error(`ended with ${code}:\n${script}\n${out}\n${this.log()}`);
        return out;
    }

    log() {
        try { return readFileSync(join(this.root, 'var/log/apache2/error.log'), 'utf8').slice(-4000); } catch { return ''; }
    }

    write(path, text, mode = 0o644) { writeFileSync(join(this.root, path), text, { mode }); }
    read(path) { return readFileSync(join(this.root, path), 'utf8'); }

    async trust(name, pem) {
        this.write(`usr/local/share/ca-certificates/${name}.crt`, pem);
        await this.sh('update-ca-certificates > /dev/null 2>&1');
    }

    /** A program of ours that listens in the machine, on its loopback. */
    inNetwork(command, args) { return new Process('nsenter', ['--net', '--target', this.pid, '--', command, ...args]); }

    /** The MCP server at 127.0.0.1:7071. */
    async startBackend(key) {
        const app = this.inNetwork(process.execPath, [join(HERE, '../../examples/functions-snippets/main.mjs'), '--port', '7071', '--key-file', this.net.file('backend-key', `${key}\n`)]);
        this.backends.push(app);
        await app.says(/^ready: /m, 60_000);
    }

    async stop() {
        for (const app of this.backends) await app.stop();
        await this.process.stop('SIGKILL');
        await run('ip', ['link', 'delete', this.wire]).catch(() => {}); // it may have gone with its machine
    }
}
