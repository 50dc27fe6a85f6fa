// SPDX-License-Identifier: Apache-2.0
// The host of the documents: /etc, /var/log, /var/lib, /run, home and network are its own (docs.test.mjs sees to the namespaces),
// the names of the documents lead to it, and a CA of its own is trusted. On it run what README.md wants: an identity provider at
// login.example.com, the snippets app on port 7071, memcached on a unix socket, and httpd with the modules.

import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { startProvider } from '../../../examples/demo-idp/provider.mjs';
import { TOP } from '../../lib/documents.mjs';
import { MODULES } from './httpd.mjs';
import { request } from './http.mjs';
import { OAuthClient } from './oauth.mjs';
import { Person } from './person.mjs';
import { Process, reachable, until } from './proc.mjs';

const BASE = 'https://mcp.example.com';
const CONF = '/etc/apache2/apache2.conf';
const SYSTEM = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules', '/usr/local/apache2/modules'].find(existsSync);
const NAMES = ['mcp.example.com', 'node1.example.com', 'node2.example.com', 'cache.example.com'];
/** What README.md needs, and whatever the documents show beside it. */
const NEEDED = ['mpm_event', 'unixd', 'log_config', 'authn_core', 'authn_file', 'auth_basic', 'authz_core', 'authz_user', 'authz_host', 'alias', 'headers', 'status',
    'proxy', 'proxy_http', 'reqtimeout', 'socache_shmcb', 'socache_memcache', 'socache_redis', 'ssl', 'setenvif', 'env'];
const MORE = ['remoteip', 'auth_form', 'request', 'session', 'session_cookie', 'session_crypto', 'ldap', 'authnz_ldap', 'authz_dbd', 'dbd',
    'slotmem_shm', 'proxy_balancer', 'lbmethod_byrequests', 'proxy_hcheck', 'watchdog', 'auth_openidc', 'rewrite', 'md', 'http2', 'info', 'dir', 'deflate'];
const FILES = ['provider-secret', 'function-key', 'entra-secret', 'search-key', 'okta-secret', 'registration-token', 'tickets-key', 'session-secret'];
const EXAMPLES = { grant: /lOaJv0rZSk2s3cXW1Qm4Jg/g, client: /rX7wq6yJq0mD1b2c3d4e5f/g, person: /\b(?:corp|entra)\|9c1f0e/g };

/** A picture of one pixel. */
const PIXEL = Buffer.from('iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==', 'base64');

const sh = (command, ...args) => execFileSync(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });

/** What the platform tells a process that documents speak of: a pod of AKS. */
export const PLATFORM = { AZURE_FEDERATED_TOKEN_FILE: '/etc/mcp/azure-token', AZURE_CLIENT_ID: 'gateway', AZURE_TENANT_ID: 'tenant' };

export class DocumentsHost {
    static async make() {
        const host = new DocumentsHost();
        host.dir = mkdtempSync(join(tmpdir(), 'mcp-documents-'));
        sh('chmod', '755', host.dir);
        host.httpd = process.env.HTTPD ?? ['/usr/sbin/apache2', '/usr/sbin/httpd'].find(existsSync);
        try {
            host.mounts();
            host.files();
            host.programs();
            await host.servers();
        } catch (error) {
            await host.close();
            throw error;
        }
        return host;
    }

    /** Directories of our own in the places of the system's. */
    mounts() {
        const own = (path, like) => {
            const to = join(this.dir, path.replaceAll('/', '_'));
            if (like) sh('cp', '-a', path, to);
            else mkdirSync(to, { mode: 0o755 });
            sh('mount', '--bind', to, path);
        };
        own('/etc', true);
        for (const path of ['/var/log', '/var/lib', '/run', '/root', '/srv', '/usr/libexec', '/usr/local/sbin']) own(path);
        sh('ip', 'link', 'set', 'lo', 'up');
        appendFileSync('/etc/hosts', `\n127.0.0.2 login.example.com\n127.0.0.1 ${NAMES.join(' ')}\n`);
        for (const path of ['/etc/mcp', '/etc/mcp/pages', '/etc/mcp/messages', '/var/lib/mcp', '/run/search']) mkdirSync(path, { mode: 0o755 });
        for (const path of ['/var/log/apache2', '/run/apache2', '/run/memcached', '/etc/apache2/modules']) mkdirSync(path, { recursive: true, mode: 0o755 });
        sh('chmod', '755', '/var/log/apache2');
    }

    files() {
        const secret = (name, text) => writeFileSync(`/etc/mcp/${name}`, text, { mode: 0o600 });
        for (const name of [...FILES, basename(PLATFORM.AZURE_FEDERATED_TOKEN_FILE)]) secret(name, `${randomBytes(18).toString('hex')}\n`);
        secret('keys', `k1 ${randomBytes(32).toString('base64')}\n`);
        this.passwords();
        const openssl = (...args) => sh('openssl', ...args);
        openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=mcp.example.com', '-keyout', '/etc/mcp/cert.key', '-out', '/etc/mcp/cert.pem',
            '-addext', `subjectAltName=${[...NAMES, 'login.example.com', 'localhost'].map((name) => `DNS:${name}`).join(',')}`);
        for (const name of ['gateway.pem', 'entra.key', 'signing.pem', 'client.key']) sh('cp', '/etc/mcp/cert.key', `/etc/mcp/${name}`);
        appendFileSync('/etc/mcp/gateway.pem', readFileSync('/etc/mcp/cert.pem'));
        for (const name of ['entra.pem', 'client.pem', 'corp-ca.pem', 'people-ca.pem', 'backend-ca.pem', 'egress-ca.pem', 'administrators-ca.pem']) sh('cp', '/etc/mcp/cert.pem', `/etc/mcp/${name}`);
        appendFileSync('/etc/ssl/certs/ca-certificates.crt', readFileSync('/etc/mcp/cert.pem'));
        for (const [cert, key] of [['/etc/ssl/certs/mcp.example.com.pem', '/etc/ssl/private/mcp.example.com.key']]) {
            mkdirSync(dirname(key), { recursive: true });
            sh('cp', '/etc/mcp/cert.pem', cert);
            sh('cp', '/etc/mcp/cert.key', key);
        }
        writeFileSync('/etc/mcp/logo.svg', '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>');
        writeFileSync('/etc/mcp/claude.json', '{"client_id": "https://claude.ai/oauth/client.json", "redirect_uris": ["https://claude.ai/cb"], "client_name": "Claude"}');
        writeFileSync('/etc/mcp/reports-jwks.json', '{"keys":[{"kty":"EC","crv":"P-256","kid":"r","x":"MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4","y":"4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}]}');
        writeFileSync('/etc/mcp/snippets-tools.json', '{"tools": [{"name": "get_snippet", "inputSchema": {"type": "object"}}]}');
        sh('cp', '-a', '/etc/mcp', join(this.dir, 'secrets'));
        writeFileSync('/root/.netrc', 'machine mcp.example.com login admin password let-me-in\n', { mode: 0o600 });
    }

    /** Not in /etc/mcp, which is root's alone: httpd's user reads it. */
    passwords() { sh('htpasswd', '-cbB', '/etc/apache2/mcp-administrators', 'admin', 'let-me-in'); }

    /** Programs that documents name and that are no packages of this machine. */
    programs() {
        mkdirSync(join(this.dir, 'bin'));
        const script = (name, text) => writeFileSync(join(this.dir, 'bin', name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });
        symlinkSync(join(dirname(MODULES), 'mcpctl/mcpctl'), join(this.dir, 'bin/mcpctl'));
        symlinkSync(join(dirname(MODULES), 'mcp-otlp/mcp-otlp'), '/usr/libexec/mcp-otlp');
        writeFileSync('/usr/local/sbin/provider-secret', '#!/bin/sh\nprintf secret\n', { mode: 0o755 });
        // the package with apachectl would start a httpd; what it does is this, and here it also waits
        script('apachectl', `log=/var/log/apache2/error.log
case $1 in
configtest) exec ${this.httpd} -f ${CONF} -t ;;
graceful | restart)
    before=$(grep -sc 'resuming normal' $log)
    ${this.httpd} -f ${CONF} -k $1 || exit 1
    for i in $(seq 200); do [ $(grep -sc 'resuming normal' $log) -gt $before ] && exit 0; sleep 0.1; done
    exit 1 ;;
*) exit 2 ;;
esac`);
        for (const name of readdirSync(SYSTEM)) symlinkSync(join(SYSTEM, name), join('/etc/apache2/modules', name));
        for (const name of ['mod_mcp_oauth.so', 'mod_mcp_guard.so']) symlinkSync(join(MODULES, name), join('/etc/apache2/modules', name));
    }

    /** Files that a configuration names and nobody made: something of their kind. */
    ensure(text) {
        for (const [path] of text.matchAll(/\/(?:etc\/mcp|var\/lib|etc\/letsencrypt)\/[\w./-]*\w/g)) {
            if (existsSync(path)) continue;
            mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
            if (path.startsWith('/var/lib')) continue; // theirs to make
            if (/\.(pem|key|crt)$/.test(path)) sh('cp', /key/.test(path) ? '/etc/mcp/cert.key' : '/etc/mcp/cert.pem', path);
            else if (path.endsWith('.png')) writeFileSync(path, PIXEL, { mode: 0o600 });
            else writeFileSync(path, path.endsWith('.json') ? '{}\n' : `${randomBytes(18).toString('hex')}\n`, { mode: 0o600 });
        }
    }

    async servers() {
        this.secret = readFileSync('/etc/mcp/provider-secret', 'utf8').trim();
        this.provider = await startProvider({ port: 443, host: '127.0.0.2', issuer: 'https://login.example.com', clientId: 'mcp-gateway', clientSecret: this.secret,
            redirectUris: [`${BASE}/oauth-callback`], tls: { key: readFileSync('/etc/mcp/cert.key'), cert: readFileSync('/etc/mcp/cert.pem') } });
        sh('chown', 'www-data', '/run/memcached');
        this.memcached = new Process('memcached', ['-u', 'www-data', '-s', '/run/memcached/memcached.sock', '-a', '0700']);
        this.backend = new Process(process.execPath, [join(TOP, 'examples/functions-snippets/main.mjs'), '--port', '7071', '--key-file', '/etc/mcp/function-key']);
        await this.backend.says(/^ready: /m, 60_000);
        await until(() => reachable({ path: '/run/memcached/memcached.sock' }), 'memcached to listen');
    }

    /** What stands in front of any configuration here, as the distribution's own would. */
    skeleton({ ours = false, all = false } = {}) {
        const modules = [...NEEDED, ...(all ? MORE : [])].filter((name) => existsSync(join(SYSTEM, `mod_${name}.so`)));
        return `ServerRoot /etc/apache2
ServerName mcp.example.com
Listen 127.0.0.1:443 https
PidFile /run/apache2/apache2.pid
DefaultRuntimeDir /run/apache2
ErrorLog /var/log/apache2/error.log
LogLevel ${ours ? 'warn mcp_oauth:info mcp_guard:info' : 'info'}
Define APACHE_LOG_DIR /var/log/apache2
User www-data
Group www-data
StartServers 2
ThreadsPerChild 16
MaxRequestWorkers 64
MaxSpareThreads 64
AsyncRequestWorkerFactor 2000
${modules.map((name) => `LoadModule ${name}_module modules/mod_${name}.so`).join('\n')}
${ours ? 'LoadModule mcp_oauth_module modules/mod_mcp_oauth.so\nLoadModule mcp_guard_module modules/mod_mcp_guard.so' : ''}
`;
    }

    async start(site) {
        writeFileSync(CONF, this.skeleton() + site);
        this.server = new Process(this.httpd, ['-f', CONF, '-DFOREGROUND'], { detached: true });
        await until(() => {
            if (this.server.status) throw new Error(`httpd did not start\n${this.server.output}\n${this.log()}`);
            return reachable({ host: '127.0.0.1', port: 443 });
        }, 'httpd');
    }

    /** The gateway that commands are tried at: README.md's, with what the documents say for administrators beside it. */
    async use(site) {
        this.site = site.replace('</VirtualHost>', `
    <Location /mcp-admin>
        SetHandler mcp-admin
        AuthType Basic
        AuthName "administrators"
        AuthUserFile /etc/apache2/mcp-administrators
        Require valid-user
    </Location>
    <Location /metrics>
        SetHandler mcp-metrics
        Require local
    </Location>
    <Location /server-status>
        SetHandler server-status
        Require local
    </Location>
</VirtualHost>
MCPAuditLog /var/log/apache2/mcp-audit.log required calls
MCPSessionCache 0
`);
        await this.prepare();
        // an audit log of some days, rotated as docs/audit.md says
        await this.signIn();
        renameSync('/var/log/apache2/mcp-audit.log', '/var/log/apache2/mcp-audit.log.1');
        // and what syslog would have made of it
        writeFileSync('/var/log/mcp.log', readFileSync('/var/log/apache2/mcp-audit.log.1', 'utf8').replace(/^(?=.)/gm, 'Nov 27 07:30:00 gateway mcp-audit[1]: '));
        this.touched = true;
        await this.prepare();
    }

    log() { return existsSync('/var/log/apache2/error.log') ? readFileSync('/var/log/apache2/error.log', 'utf8') : ''; }

    /** Before a document: configuration, secrets and passwords as they were, whatever the last document did to them. */
    async prepare() {
        this.environment = '';
        this.passwords();
        for (const name of readdirSync(join(this.dir, 'secrets'))) if (name !== 'keys') sh('cp', '-a', join(this.dir, 'secrets', name), '/etc/mcp/');
        this.cwd = mkdtempSync(join(this.dir, 'cwd-'));
        if (readFileSync(CONF, 'utf8') === this.skeleton() + this.site && !this.touched) return;
        writeFileSync(CONF, this.skeleton() + this.site);
        await promisify(execFile)(join(this.dir, 'bin/apachectl'), ['graceful']);
        this.touched = false;
    }

    /** A person signs in with a new client: its tokens. */
    async signIn() {
        const [account] = this.provider.accounts;
        const client = new OAuthClient({ base: BASE, httpd: { secret() {} } }, { name: 'VS Code', resource: `${BASE}/mcp` });
        return client.signIn(new Person({ ...account, name: account.login }));
    }

    call(tokens, json) {
        return request(`${BASE}/mcp`, { json, headers: { Authorization: `Bearer ${tokens.access_token}`, Accept: 'application/json, text/event-stream' } });
    }

    /** The ids that documents have as examples, of a session that lives now. */
    async examples(text) {
        if (!Object.values(EXAMPLES).some((pattern) => new RegExp(pattern.source).test(text))) return text;
        await this.call(await this.signIn(), { jsonrpc: '2.0', id: 1, method: 'tools/list' });
        const line = readFileSync('/var/log/apache2/mcp-audit.log', 'utf8').trim().split('\n').map((one) => JSON.parse(one)).findLast((one) => one.event === 'token.issue');
        return Object.entries(EXAMPLES).reduce((now, [name, pattern]) => now.replace(pattern, line[name]), text);
    }

    /** Run a block; what is wrong, or null. In a console block `$ ` begins a command, and what follows is its output. */
    async run(block) {
        const text = await this.examples(block.text);
        const steps = [];
        if (block.language === 'console') {
            for (const line of text.trimEnd().split('\n')) {
                if (line.startsWith('$ ')) steps.push({ command: line.slice(2), output: [] });
                else if (steps.at(-1)?.command.endsWith('\\')) steps.at(-1).command += `\n${line}`;
                else if (steps.length === 0) return `begins with no command: ${line}`;
                else steps.at(-1).output.push(line);
            }
        } else {
            steps.push({ command: text, output: [] });
        }
        this.touched = true;
        // a file that is to be made new is not there yet
        const made = [...text.matchAll(/keygen (\/\S+)/g)].map(([, file]) => file).filter((file) => existsSync(file) && !text.includes(`mv ${file}`));
        for (const file of made) renameSync(file, `${file}.before`);
        try {
            return await this.#steps(block, steps);
        } finally {
            for (const file of made) renameSync(`${file}.before`, file);
        }
    }

    async #steps(block, steps) {
        for (const { command, output } of steps) {
            const script = `${this.environment}\n${command}`;
            const said = await this.#shell(script);
            // a console shows what went wrong, too
            if (said.code !== 0 && (block.language === 'sh' || output.length === 0)) return `ended with ${said.code}\n${said.text}\n${this.log().split('\n').slice(-6).join('\n')}`;
            const lines = said.text.split('\n');
            let from = 0;
            for (const want of output) {
                const at = lines.findIndex((line, index) => index >= from && likeness(want).test(line));
                if (at < 0) return `"${want}" is not in what "${command}" says:\n${said.text}`;
                from = at + 1;
            }
            this.environment += command.split('\n').filter((line) => /^(export )?[A-Z_]+=\S*$|^umask /.test(line)).map((line) => `\n${line}`).join('');
        }
        return null;
    }

    #shell(script) {
        return new Promise((done) => {
            const child = execFile('bash', ['--norc', '-euo', 'pipefail', '-c', script], { cwd: this.cwd, timeout: 60_000,
                env: { PATH: `${join(this.dir, 'bin')}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`, HOME: '/root', LC_ALL: 'C.UTF-8' } },
            (error, stdout, stderr) => done({ code: error ? error.code ?? -1 : 0, text: stdout + stderr }));
            child.stdin.on('error', () => {}); // a command that reads nothing is over before
            child.stdin.end('what-is-typed-in\n');
        });
    }

    async close() {
        if (this.server) await this.server.stop();
        for (const process of [this.backend, this.memcached]) await process?.stop();
        await this.provider?.close();
        process.chdir('/');
        // the mounts end with the namespace; what lies below is removed by its own name
        for (const path of ['/etc', '/var/log', '/var/lib', '/run', '/root', '/srv', '/usr/libexec']) try { sh('umount', '-l', path); } catch { /* was not mounted */ }
        rmSync(this.dir, { recursive: true, force: true });
    }
}

/** A line of output as documents show it: `…` is anything, and ids, numbers and times are others each time. */
function likeness(line) {
    const escape = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const parts = line.trimEnd().split(/(…|\.\.\.|[\w-]{14,}|\d+)/);
    return new RegExp(`^${parts.map((part, index) => (index % 2 === 0 ? escape(part).replace(/ +/g, ' +') : part === '…' || part === '...' ? '.*' : '[\\w-]+')).join('')}$`);
}
