// SPDX-License-Identifier: Apache-2.0
// mcpctl check-config: what httpd accepts and nobody should run is found, each rule once; a good configuration is left alone.

import assert from 'node:assert/strict';
import { chmod, chown, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { request } from './lib/http.mjs';
import { mcpctl } from './lib/mcpctl.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const HTTPD = process.env.HTTPD ?? '/usr/sbin/apache2';

suite('check-config', {
    backend: false,
    provider: false,
    start: false,
    httpd: {
        modules: ['ssl', 'dumpio', 'cache', 'remoteip', 'log_forensic', 'http2', 'auth_basic', 'authn_file', 'rewrite', 'slotmem_shm', 'proxy_balancer', 'lbmethod_byrequests'],
        mpm: 'ServerLimit 6\nThreadLimit 64\nThreadsPerChild 25\nMaxRequestWorkers 100\nMaxSpareThreads 100\nAsyncRequestWorkerFactor 2000',
    },
}, async (it, world) => {
    const check = async (site, options = []) => {
        await world.httpd.configure(site);
        return mcpctl(...options.filter((one) => one === '--json'), 'check-config', ...options.filter((one) => one !== '--json'),
            '--httpd', HTTPD, '--', '-d', world.httpd.root, '-f', join(world.httpd.root, 'httpd.conf'));
    };
    const location = (lines) => `<Location /inner>\n${lines}\n</Location>`;
    const backend = (url, more = '') => `<Location /far>\nAuthType MCP\nRequire valid-user\nMCPGuardResource ${world.base}/echo\nMCPGuardBackendKey x-key file:${world.functionKeyFile}\nProxyPass ${url}\n</Location>\n${more}`;

    await it('has nothing to say of the configuration that the documents give', async () => {
        const { code, out, err } = await check(`MCPAuditLog logs/audit.log\n${defaultSite(world)}\n${location('SetHandler mcp-admin\nRequire ip 127.0.0.1')}
${location('SetHandler mcp-ready\nRequire all granted').replace('/inner', '/ready')}`);
        assert.equal(code, 0, out + err);
        assert.equal(out, '0 errors, 0 warnings\n');
    });

    await it('has nothing to say of an estate beside it that is in order', async () => {
        const { out, err } = await check(`<Location />
AuthType None
Require all granted
</Location>
${defaultSite(world)}
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 192.0.2.1
CacheEnable disk /
<Location /mcp>
CacheDisable on
</Location>
<Location /echo>
CacheDisable on
</Location>
Listen 0.0.0.0:2
ProxyPass /app/ http://127.0.0.1:3/
ProxyPass /echo/part ${world.echo.url}/backend
LogFormat "%h \\"%r\\" %{Referer}i" other
CustomLog logs/some other env=!secret
ProxyPass /half/mcp !
ProxyPass /half/backend !
ProxyPass /half/ ${world.echo.url}/
ProxyPass /health ${world.echo.url}/health
<Location /all>
AuthType MCP
Require valid-user
MCPGuardResource ${world.base}/echo
CacheDisable on
ProxyPass http://127.0.0.1:5/
</Location>
ProxyPass /alive http://127.0.0.1:5/alive
<Location /ops/>
Require ip 127.0.0.1
ProxyPass ${world.echo.url}/
</Location>
ProxyPassMatch ^/files/(.*)$ http://127.0.0.1:3/$1
RewriteEngine On
RewriteRule ^/old/(.*)$ http://127.0.0.1:3/$1 [P]
RewriteCond %{HTTP:Upgrade} websocket
RewriteRule ^/ws/(.*)$ ${world.echo.url}/$1 [P]
RewriteRule ^/raw/(.*)$ ${world.echo.url}/$1
<Location /app2>
SetHandler proxy:http://127.0.0.1:3
Header set Content-Security-Policy "default-src 'self'"
RequestHeader set X-MCP-Tenant one
</Location>
<Proxy balancer://app>
BalancerMember http://127.0.0.1:3 timeout=5
</Proxy>
ProxyPass /app3 balancer://app/app3 timeout=5
<Proxy balancer://mcp>
BalancerMember http://127.0.0.1:4
</Proxy>
<LocationMatch ^/+m/[a-z]+>
CacheDisable on
AuthType MCP
Require valid-user
MCPGuardResource ${world.base}/echo
</LocationMatch>
ProxyPass /m/x balancer://mcp/m/x timeout=5
<Location /echo/people>
AuthType Basic
AuthName people
AuthUserFile conf/people
Require valid-user
</Location>
Header always set Strict-Transport-Security "max-age=1"
LogLevel warn core:trace8 http:trace3 mcp_guard:trace8
${location('SetHandler server-status\nRequire ip 127.0.0.1').replace('/inner', '/echo/status')}
<VirtualHost 127.0.0.1:3>
MCPOAuth Off
TransferLog logs/transfer
CustomLog logs/other other
MCPStreamLimit person 1000
</VirtualHost>`);
        assert.equal(out, '0 errors, 0 warnings\n', out + err);
    });

    const cases = [
        ['an open administration location', 'error', location('SetHandler mcp-admin'), /SetHandler mcp-admin without a Require .*Add, for example/],
        ['one that is open by its Require', 'error', location('SetHandler "mcp-admin"\nRequire all granted'), /SetHandler mcp-admin/],
        ['open metrics', 'warning', location('SetHandler mcp-metrics'), /SetHandler mcp-metrics/],
        ['open reasons', 'warning', location('SetHandler mcp-health'), /SetHandler mcp-health/],
        ['a key over plain http to the open network', 'error', () => backend('http://1.1.1.1/mcp'), /1\.1\.1\.1.*unencrypted/],
        ['a key to whoever shows a certificate', 'error', () => backend('https://1.1.1.1/mcp', 'SSLProxyEngine On'), /certificate is not looked at/],
        ['peers that may be anybody', 'error', () => backend('https://1.1.1.1/mcp', 'SSLProxyEngine On\nSSLProxyVerify require\nSSLProxyCheckPeerName Off'), /SSLProxyCheckPeerName Off/],
        ['an open proxy', 'error', 'ProxyRequests On', /ProxyRequests On/],
        ['any web page', 'warning', 'MCPAllowOrigin *', /MCPAllowOrigin \*/],
        ['any web page with cookies', 'error', 'Header always set Access-Control-Allow-Origin "*"\nHeader always set Access-Control-Allow-Credentials true', /Access-Control-Allow-Credentials/],
        ['tokens in the access log', 'error', 'LogFormat "%h %{Authorization}i" mine', /%\{Authorization\}i writes/],
        ['tokens in the error log', 'error', 'DumpIOInput On', /DumpIOInput/],
        ['all headers in a log', 'error', 'ForensicLog logs/forensic', /ForensicLog writes .*Take the line out/],
        ['queries in the access log', 'warning', 'LogFormat "%h \\"%r\\"" mine\nCustomLog logs/mine mine', /its format has %r, .*Write %m %U %H instead/],
        ['queries by another letter', 'warning', 'CustomLog logs/mine "%h %{Referer}i %U%<q"', /its format has %<q, /],
        ['codes of redirects', 'warning', 'CustomLog logs/mine "%h %{Location}o"', /%\{Location\}o: the codes/],
        ['an inner page for whoever has a token', 'error', '<Location /echo/status>\nSetHandler server-status\nRequire valid-user\n</Location>', /below the guarded \/echo: .*a path of its own/],
        ['a second way to an MCP server', 'error', () => `ProxyPass /raw/ ${world.echo.url}/`, /^\/raw\/mcp leads to http:\S+ without a token, which \/mcp guards/],
        ['a second way by a pattern', 'error', () => `ProxyPassMatch ^/raw/(.*)$ ${world.echo.url}/$1`, /^\/raw\/mcp leads to http:\S+\/mcp without a token, which \/mcp guards/],
        ['a second way by a pattern without groups', 'error', () => `ProxyPassMatch ^/mcpx?$ ${world.echo.url}/mcp`, /^\/mcpx leads to/],
        ['a second way by mod_rewrite', 'error', () => `RewriteEngine On\nRewriteRule ^/raw/(.*)$ ${world.echo.url}/$1 [P,L]`, /^\/raw\/mcp leads to http:\S+\/mcp without/],
        ['a pattern that has no beginning', 'error', () => `RewriteEngine On\nRewriteRule /mcp(/.*)?$ ${world.echo.url}/mcp$1 [P]`, /^\/x\/mcp leads to \S+\/mcp without a token, too: the pattern takes more than the guarded \/mcp\. Write it as \^\/mcp\(/],
        ['a pattern that has no end', 'error', () => `RewriteEngine On\nRewriteRule ^/mcp ${world.echo.url}/mcp [P]`, /^\/mcpx leads to .*the pattern takes more/],
        ['a pattern that takes other letters', 'error', () => `RewriteEngine On\nRewriteRule ^/mcp$ ${world.echo.url}/mcp [P,NC]`, /^\/MCP leads to .*the pattern takes more/],
        ['a second way by a handler', 'error', () => `<Location /raw>\nSetHandler "proxy:${world.echo.url}/mcp"\n</Location>`, /^\/raw leads to/],
        ['a second way by a member of a balancer', 'error', () => `<Proxy balancer://b>\nBalancerMember ${world.echo.url}\n</Proxy>\nProxyPass /raw/ balancer://b/`, /^\/raw\/mcp leads to/],
        ['a second way by another name of the host', 'error', () => `ProxyPass /raw/ ${world.echo.url.replace('127.0.0.1', 'LOCALHOST')}/`, /^\/raw\/mcp leads to/],
        ['a second way to a part of an MCP server', 'error', () => `ProxyPass /sse ${world.echo.url}/mcp/sse`, /^\/sse leads to/],
        ['a second way in another host', 'warning', () => `<VirtualHost 127.0.0.1:3>\nProxyPass /raw/ ${world.echo.url}/\n</VirtualHost>`, /^\/raw\/mcp leads to/],
        ['a way that a host inherits without its guard', 'warning', () => `ProxyPass /v http://127.0.0.1:3/v\n<VirtualHost 127.0.0.1:4>\n<Location /v>\nAuthType MCP\nRequire valid-user\nMCPGuardResource ${world.base}/echo\n</Location>\n</VirtualHost>`, /^\/v leads to http:\/\/127\.0\.0\.1:3\/v without a token/],
        ['another AuthType that covers the guard\'s', 'error', '<Location />\nAuthType None\nRequire all granted\n</Location>', /AuthType None for \/ stands behind AuthType MCP for \/mcp.*Put it in front/],
        ['a part that asks nobody', 'warning', '<Location /echo/open>\nAuthType None\nRequire all granted\n</Location>', /AuthType None for \/echo\/open, below the guarded \/echo: it leads to http:\S+\/backend\/open without a token/],
        ['a key to a member of a balancer over the open network', 'error', () => backend('balancer://far/mcp', '<Proxy balancer://far>\nBalancerMember http://1.1.1.1\n</Proxy>'), /^http:\/\/1\.1\.1\.1\/mcp: what MCPGuardBackendKey gives .*unencrypted/],
        ['a member of a balancer that has no time', 'warning', () => backend('balancer://far/mcp', '<Proxy balancer://far>\nBalancerMember http://127.0.0.1:3 timeout=5\n</Proxy>'), /^timeout=5: tools/],
        ['no time for tools', 'warning', () => backend('http://127.0.0.1:3/mcp timeout=5'), /^timeout=5: tools/],
        ['a lost challenge', 'error', 'Header always unset WWW-Authenticate', /Header always unset WWW-Authenticate for \/mcp: .*Take the line out/],
        ['a consent page that is somebody else\'s', 'warning', 'Header set Content-Security-Policy "default-src *"', /the consent page loses its own/],
        ['tokens in caches', 'error', 'Header always set Cache-Control "max-age=60"', /answers with tokens lose their no-store/],
        ['a header that is the guard\'s', 'warning', 'RequestHeader set X-MCP-Tenant one', /RequestHeader set X-MCP-Tenant: .*Give it another name/],
        ['a token that is gone before the guard', 'error', 'RequestHeader unset Authorization early', /never sees a token/],
        ['queries in a log of the old kind', 'warning', 'TransferLog logs/transfer', /its format has %r/],
        ['queries in a log of a built-in format', 'warning', 'CustomLog logs/transfer CLF', /its format has %r/],
        ['answers in the error log', 'error', 'DumpIOOutput On', /DumpIOOutput writes/],
        ['headers in the error log', 'error', 'LogLevel warn http:trace5', /LogLevel http:trace5 writes the headers .*mcp_guard:debug/],
        ['keys where browsers find them', 'error', () => `Alias /k ${world.keyFile}`, /conf\/keys lies below \S+, which httpd serves files from/],
        ['a cache in front of the guard', 'warning', 'CacheEnable disk /echo', /CacheEnable covers the guarded \/echo: .*CacheDisable on/],
        ['addresses that anybody chooses', 'error', 'RemoteIPHeader X-Forwarded-For', /RemoteIPHeader is believed .*RemoteIPInternalProxy/],
        ['https that nobody speaks', 'warning', 'MCPIssuer https://mcp.example.com\nListen 0.0.0.0:2', /no host here speaks TLS.*SSLEngine On/],
        ['more streams than workers', 'warning', 'MCPStreamRelay Off\nMCPStreamLimit server 100', /MCPStreamLimit server 100: .*\(MCPStreamRelay Off\), and there are 100\. Set MaxRequestWorkers/],
        ['no room after a graceful restart', 'warning', 'ServerLimit 4', /ServerLimit 4 is no more .*Set ServerLimit 8/],
        ['HTTP/2 in front of streams', 'warning', 'Protocols h2c http/1.1', /^MCP0510: Protocols h2c: .*set Protocols http\/1\.1 .*\(127\.0\.0\.1\)/],
        ['children that are sent away', 'warning', 'MaxSpareThreads 75', /^MCP0511: MaxSpareThreads 75: .*set MaxSpareThreads 100/],
        ['endless registration', 'error', 'MCPOAuthLimit register none', /MCPOAuthLimit register none/],
        ['short backends', 'warning', 'ProxyTimeout 5', /ProxyTimeout 5/],
        ['no keep-alive', 'warning', 'KeepAlive Off', /KeepAlive Off/],
    ];
    for (const [what, level, lines, pattern] of cases) {
        await it(`finds ${what}`, async () => {
            const text = typeof lines === 'function' ? lines() : lines;
            const { code, out } = await check(`${defaultSite(world)}\n${text}`, ['--json']);
            const { configtest, findings } = JSON.parse(out);
            assert.ok(configtest);
            assert.equal(findings.length, 1, out);
            assert.equal(findings[0].level, level);
            assert.match(findings[0].text, pattern);
            assert.match(findings[0].where, /^(MCP0|ServerLimit)/.test(findings[0].text) ? /^-$/ : /httpd\.conf:\d+$/);
            assert.equal(code, level === 'error' ? 1 : 0);
        });
    }

    await it('what it says is open is open: each path that it names answers without a token', async () => {
        const { echo, base } = world;
        const guarded = (path) => `<Location ${path}>\nAuthType MCP\nRequire valid-user\nMCPGuardResource ${base}/echo\n</Location>`;
        const { out } = await check(`${defaultSite(world)}
LogLevel info http:trace4
RewriteEngine On
RewriteRule ^/rewritten/(.*)$ ${echo.url}/$1 [P]
RewriteRule ^/loose ${echo.url}/loose [P]
RewriteRule /floating$ ${echo.url}/floating [P]
RewriteRule ^/letters$ ${echo.url}/letters [P,NC]
${['loose', 'floating', 'letters'].map((name) => guarded(`/${name}`)).join('\n')}
ProxyPassMatch ^/matched/(.*)$ ${echo.url}/$1
ProxyPass /part ${echo.url}/mcp/part
<Location /handled>
SetHandler proxy:${echo.url}/mcp
</Location>
<Proxy balancer://some>
BalancerMember ${echo.url}
</Proxy>
ProxyPass /balanced/ balancer://some/
<Location /echo/open>
AuthType None
Require all granted
</Location>`, ['--json']);
        const texts = JSON.parse(out).findings.map(({ text }) => text);
        const paths = texts.map((text) => text.match(/(\/\S*?)(?:, below the guarded \S+: it)? leads to http/)?.[1]).filter(Boolean);
        assert.deepEqual(paths.toSorted(), ['/LETTERS', '/balanced/mcp', '/echo/open', '/handled', '/loosex', '/matched/mcp', '/part', '/rewritten/mcp', '/x/floating'], out);
        assert.equal(texts.length, paths.length + 1, out);
        await world.httpd.start();
        try {
            for (const path of paths) {
                const seen = echo.requests.length;
                const answer = await request(base + path, { headers: { Authorization: 'Bearer let-me-see' } });
                assert.equal(answer.status, 200, path);
                assert.ok(echo.requests.length > seen, `${path} reaches the server`);
            }
            for (const path of ['/mcp', '/loose', '/floating', '/letters', '/echo']) assert.equal((await request(base + path)).status, 401, path);
            assert.match(texts.find((text) => text.startsWith('LogLevel')), /http:trace4 writes the headers/);
            assert.match(world.httpd.log(), /Authorization: Bearer let-me-see/);
        } finally {
            await world.httpd.stop();
        }
    });

    await it('finds files that others may read or change', async () => {
        await writeFile(join(world.httpd.root, 'logs/audit.log'), '');
        await chmod(join(world.httpd.root, 'logs/audit.log'), 0o644);
        await chmod(join(world.httpd.root, 'conf'), 0o777);
        const root = process.getuid() === 0;
        if (root) await chown(world.keyFile, 33, 33); // www-data
        const { code, out } = await check(`MCPAuditLog logs/audit.log\n${defaultSite(world)}`);
        assert.equal(code, 1);
        assert.match(out, /audit\.log: everybody on this host may read .*chmod o=/);
        assert.match(out, /conf: others than its owner may put another key file there\. Mend: chmod go-w/);
        if (root) assert.match(out, /conf\/keys belongs to www-data.*chown root/);
        assert.match(out, new RegExp(`^${root ? 3 : 2} errors, 0 warnings$`, 'm'));
        await chmod(join(world.httpd.root, 'conf'), 0o755);
        await chmod(join(world.httpd.root, 'logs/audit.log'), 0o640);
        if (root) await chown(world.keyFile, 0, 0);
    });

    await it('--strict counts warnings; httpd itself may be asked for more', async () => {
        const { code, out } = await check(`${defaultSite(world)}\nKeepAlive Off`, ['--strict']);
        assert.equal(code, 1);
        assert.match(out, /httpd\.conf:\d+: warning: KeepAlive Off.*\n0 errors, 1 warnings\n$/);
    });

    await it('what httpd refuses comes through as it is; what cannot be looked at is told', async () => {
        const bad = await check(`${defaultSite(world)}\nMCPHealthReady weather`);
        assert.equal(bad.code, 1);
        assert.match(bad.err, /'weather' is not one of/);
        assert.match(bad.out, /configuration test fails/);
        assert.equal(JSON.parse((await check(`${defaultSite(world)}\nMCPHealthReady weather`, ['--json'])).out).configtest, false);
        assert.equal((await mcpctl('check-config', '--httpd', '/no/such/program')).code, 2);
        assert.equal((await mcpctl('check-config', '--nonsense')).code, 2);
        await writeFile(join(world.httpd.root, 'none.conf'), `ServerRoot "${world.httpd.root}"\nServerName x\nListen 127.0.0.1:1\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\n`);
        const none = await mcpctl('check-config', '--httpd', HTTPD, '--', '-f', join(world.httpd.root, 'none.conf'));
        assert.equal(none.code, 2);
        assert.match(none.err, /neither mod_mcp_oauth nor mod_mcp_guard/);
    });
});
