// SPDX-License-Identifier: Apache-2.0
// A real httpd with a ServerRoot of its own: event MPM, several processes, loopback only.

import { mkdtemp, mkdir, writeFile, readFile, rm, chmod } from 'node:fs/promises';
import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.mjs';
import { Process, freePort, reachable, sleep, until } from './proc.mjs';

export const TOP = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');

export const HTTPD = process.env.HTTPD ?? ['/usr/sbin/apache2', '/usr/sbin/httpd', '/usr/local/apache2/bin/httpd'].find(existsSync);
export const MODULES = process.env.MCP_MODULES ?? join(TOP, 'build/modules');

/** Where the distribution keeps httpd's own modules. */
const SYSTEM_MODULES = ['/usr/lib/apache2/modules', '/usr/lib64/httpd/modules', '/usr/local/apache2/modules'].find(existsSync);

const BASE = ['authn_core', 'authz_core', 'authz_user', 'authz_host', 'alias', 'dir', 'mime', 'env', 'setenvif',
    'headers', 'reqtimeout', 'deflate', 'filter', 'status', 'socache_shmcb', 'socache_memcache', 'socache_redis', 'proxy', 'proxy_http'];

/**
 * The sanitizers' builds preload their runtime into the stock httpd; MCP_ASAN_LOG, or MCP_TSAN_LOG for ThreadSanitizer, is
 * where they report.
 */
function sanitizer() {
    const lib = (name) => execFileSync('gcc', [`-print-file-name=${name}`], { encoding: 'utf8' }).trim();
    if (process.env.MCP_TSAN_LOG) {
        return {
            LD_PRELOAD: lib('libtsan.so'),
            // httpd, APR and the libraries are not built with it: what they do by intercepted functions says nothing about us
            TSAN_OPTIONS: `log_path=${process.env.MCP_TSAN_LOG}:ignore_noninstrumented_modules=1`,
        };
    }
    if (!process.env.MCP_ASAN_LOG) return {};
    return {
        LD_PRELOAD: `${lib('libasan.so')}:${lib('libubsan.so')}`,
        ASAN_OPTIONS: `detect_leaks=0:log_path=${process.env.MCP_ASAN_LOG}`,
        UBSAN_OPTIONS: `print_stacktrace=1:log_path=${process.env.MCP_ASAN_LOG}.ub`,
    };
}

/** A line of error_log: {module, level, pid, text}, or null for what is none. */
function parseLine(line) {
    const match = line.match(/^\[[^\]]+\] \[([^:\]]*):([a-z0-9]+)\] \[pid (\d+)(?::tid \d+)?\] (.*)$/);
    return match && { module: match[1], level: match[2], pid: Number(match[3]), text: match[4], line };
}

/** Whether a process has a TCP socket open that listens. */
function listens(pid) {
    const listening = new Set(['tcp', 'tcp6'].flatMap((table) => readFileSync(`/proc/net/${table}`, 'utf8').split('\n').slice(1))
        .map((line) => line.trim().split(/\s+/)).filter(([, , , state]) => state === '0A').map((fields) => `socket:[${fields[9]}]`));
    try {
        return readdirSync(`/proc/${pid}/fd`).some((fd) => {
            try { return listening.has(readlinkSync(`/proc/${pid}/fd/${fd}`)); } catch { return false; }
        });
    } catch { return false; }
}

const BAD_LEVELS = new Set(['emerg', 'alert', 'crit', 'error']);
const CRASH = /exit signal|AH00051|AH00052|Assertion|Segmentation|terminate called/;

export class Httpd {
    /**
     * @param conf     text of the site configuration, after LoadModule and the like
     * @param options  modules: further modules of the distribution; mpm: directives that replace the defaults;
     *                 mcp: which of our modules to load; env: environment; tls: speak https, with a certificate of its own;
     *                 mpmModule: event (default), worker or prefork; without: modules to leave out;
     *                 oursFirst: load ours before the distribution's
     */
    constructor(root, port, { modules = [], mpm, mcp = ['mcp_oauth', 'mcp_guard'], env = {}, tls = false,
        mpmModule = 'event', without = [], oursFirst = false } = {}) {
        this.root = root;
        this.port = port;
        this.tls = tls;
        this.base = `http${tls ? 's' : ''}://127.0.0.1:${port}`;
        this.modules = [`mpm_${mpmModule}`, ...(tls ? ['ssl'] : []), ...modules];
        this.mpm = mpm ?? 'StartServers 2\nServerLimit 6\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 100\nMinSpareThreads 50\nMaxSpareThreads 100';
        this.mcp = mcp;
        this.without = without;
        this.oursFirst = oursFirst;
        this.env = env;
        this.announced = [];
        this.secrets = new Map();
    }

    static async make(options = {}) {
        const root = await mkdtemp(join(tmpdir(), 'mcp-httpd-'));
        await chmod(root, 0o755);
        for (const name of ['logs', 'run', 'htdocs', 'conf']) await mkdir(join(root, name));
        await writeFile(join(root, 'htdocs/plain.txt'), 'plain\n');
        return new Httpd(root, options.port ?? await freePort(), options);
    }

    /** A file in the ServerRoot; returns its path. Secrets are 0600. */
    async file(name, text, mode = 0o600) {
        const path = join(this.root, name);
        await writeFile(path, text, { mode });
        return path;
    }

    /** Directives that make the server speak https. */
    async #certificate() {
        if (!this.tls) return '';
        const [key, cert] = [join(this.root, 'conf/key.pem'), join(this.root, 'conf/cert.pem')];
        if (!existsSync(cert)) {
            execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=127.0.0.1',
                '-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', key, '-out', cert], { stdio: 'ignore' });
        }
        return `SSLEngine On\nSSLCertificateFile "${cert}"\nSSLCertificateKeyFile "${key}"`;
    }

    async configure(site) {
        const user = process.getuid() === 0 ? 'User www-data\nGroup www-data' : '';
        const load = [...this.modules.slice(0, 1), ...BASE.filter((name) => !this.without.includes(name)), ...this.modules.slice(1)]
            .map((name) => `LoadModule ${name}_module ${SYSTEM_MODULES}/mod_${name}.so`);
        const ours = this.mcp.map((name) => `LoadModule ${name}_module ${MODULES}/mod_${name}.so`);
        this.site = site;
        await this.file('httpd.conf', `
ServerRoot "${this.root}"
PidFile "${this.root}/run/httpd.pid"
DefaultRuntimeDir "${this.root}/run"
Listen 127.0.0.1:${this.port}
ServerName 127.0.0.1:${this.port}
${(this.oursFirst ? [...ours, ...load] : [...load, ...ours]).join('\n')}
${user}
Mutex file:${this.root}/run
ErrorLog logs/error_log
LogLevel info ${this.mcp.map((name) => `${name}:debug`).join(' ')}
LogFormat "%h %u %t \\"%m %U %H\\" %>s %b" safe
CustomLog logs/access_log safe
DocumentRoot "${this.root}/htdocs"
TypesConfig /dev/null
Timeout 60
KeepAlive On
KeepAliveTimeout 5
GracefulShutdownTimeout 5
${this.mpm}
${await this.#certificate()}
<Directory />
    AllowOverride None
    Require all denied
</Directory>
<Directory "${this.root}/htdocs">
    Require all granted
</Directory>
${site}
`);
    }

    #args() { return ['-d', this.root, '-f', join(this.root, 'httpd.conf')]; }

    /** `apachectl configtest`: {code, output}. */
    async configtest() {
        const check = new Process(HTTPD, [...this.#args(), '-t'], { env: { ...sanitizer(), ...this.env } });
        const { code } = await check.exited;
        return { code, output: check.output };
    }

    async start({ ms = 20_000 } = {}) {
        // A process group of its own: the prefork MPM stops by signalling its whole group.
        const start = new Process(HTTPD, [...this.#args(), '-DFOREGROUND'], { env: { ...sanitizer(), ...this.env }, detached: true });
        this.process = start;
        this.stopping = false;
        await until(async () => {
            if (start.status) throw new Error(`httpd did not start\n${start.output}\n${this.log().slice(-4000)}`);
            return reachable({ host: '127.0.0.1', port: this.port });
        }, `httpd on port ${this.port}\n${start.output}`, ms);
        await this.#stamp();
        return this;
    }

    // The first request proves that a child serves, not just that the parent listens.
    async #stamp() {
        await until(async () => {
            if (this.process.status) throw new Error(`httpd ended\n${this.process.output}\n${this.log().slice(-4000)}`);
            try { return (await request(`${this.base}/plain.txt`)).status === 200; } catch { return false; }
        }, 'the first answer of httpd');
    }

    get pid() { return this.process.pid; }

    /** Process ids of the children that live now. */
    children() {
        return readdirSync('/proc').filter((name) => /^\d+$/.test(name)).map(Number).filter((pid) => {
            try { return readFileSync(`/proc/${pid}/stat`, 'utf8').replace(/^.*\) /, '').split(' ')[1] === String(this.pid); } catch { return false; }
        });
    }

    /** Graceful restart; resolves when the new generation serves, and nobody else does. */
    async graceful() {
        const before = this.log().length;
        const old = this.children();
        process.kill(this.pid, 'SIGUSR1');
        await until(() => {
            if (this.process.status) throw new Error(`httpd ended while it restarted\n${this.log().slice(-4000)}`);
            // "resuming" alone may be of the start: children serve before their parent says so
            return /Doing graceful restart[^]*resuming normal operations/.test(this.log().slice(before));
        }, 'the graceful restart', 30_000).catch((error) => { throw new Error(`${error.message}\n${this.log().slice(-4000)}`); });
        // a child of before that gets no processor goes on accepting for a while
        await until(() => !old.some(listens), 'the old children to stop listening', 30_000);
        await this.#stamp();
    }

    log() {
        try { return readFileSync(join(this.root, 'logs/error_log'), 'utf8'); } catch { return ''; }
    }

    accessLog() {
        try { return readFileSync(join(this.root, 'logs/access_log'), 'utf8'); } catch { return ''; }
    }

    /** Say that log lines of level error with this id or pattern belong to the test. */
    announce(...patterns) {
        for (const pattern of patterns) {
            this.announced.push(pattern instanceof RegExp ? pattern : new RegExp(`\\b${pattern}\\b`));
        }
    }

    /** This value must never be found in a log. */
    secret(name, value) { if (value && value.length >= 8) this.secrets.set(value, name); }

    async stop() {
        if (!this.process || this.process.status) return;
        // let the last request's log line be written
        await sleep(50);
        this.logAtStop ??= this.log();
        await this.process.stop('SIGTERM', 15_000);
    }

    /** What a test must not leave behind in the logs; throws with all of it. */
    check() {
        const wrong = [];
        const whole = this.log();
        const before = this.logAtStop ?? whole;
        for (const line of before.split('\n')) {
            const entry = parseLine(line);
            if (!entry) {
                if (CRASH.test(line) || /Sanitizer|runtime error/.test(line)) wrong.push(line);
                continue;
            }
            const bad = BAD_LEVELS.has(entry.level) || CRASH.test(entry.text);
            if (bad && !this.announced.some((pattern) => pattern.test(entry.line))) wrong.push(line);
        }
        // A stock httpd's children sometimes crash while TERM ends them, so what the log says after that is not ours to
        // judge; a sanitizer's word always is.
        for (const line of whole.slice(before.length).split('\n')) {
            if (/Sanitizer|runtime error/.test(line)) wrong.push(line);
        }
        for (const text of [whole, this.accessLog()]) {
            for (const [value, name] of this.secrets) {
                if (text.includes(value)) wrong.push(`secret in a log: ${name}`);
            }
        }
        const reports = process.env.MCP_TSAN_LOG ?? process.env.MCP_ASAN_LOG;
        if (reports) {
            const dir = dirname(reports);
            const name = reports.slice(dir.length + 1);
            for (const file of readdirSync(dir).filter((entry) => entry.startsWith(name))) {
                wrong.push(`${file}:\n${readFileSync(join(dir, file), 'utf8').slice(0, 6000)}`);
            }
        }
        if (wrong.length > 0) {
            throw new Error(`unannounced in the logs of httpd:\n${wrong.join('\n')}`);
        }
    }

    async close() {
        await this.stop();
        try {
            this.check();
        } finally {
            if (process.env.MCP_KEEP) console.error(`kept: ${this.root}`);
            else await rm(this.root, { recursive: true, force: true });
        }
    }
}
