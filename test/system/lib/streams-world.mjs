// SPDX-License-Identifier: Apache-2.0
// The gateway of the stream tests: one guarded resource with a location for each way a stream can go, over HTTP and TLS.

import { openWorld, providerSection } from './world.mjs';
import { OAuthClient } from './oauth.mjs';
import { certificate, openStream, startSse, streamCounts } from './sse.mjs';
import { freePort, until } from './proc.mjs';

export const MPM = `StartServers 2\nServerLimit 6\nThreadLimit 64\nThreadsPerChild 10\nMaxRequestWorkers 40
MinSpareThreads 20\nMaxSpareThreads 40\nAsyncRequestWorkerFactor 2000`;

const MODULES = ['ssl', 'proxy_balancer', 'slotmem_shm', 'lbmethod_byrequests', 'substitute', 'buffer', 'brotli', 'ratelimit'];

/**
 * @param options  directives: at server level; locations: {name: directives} besides relay, worker, tls and balancer;
 *                 httpd: options of Httpd; store
 */
export async function openStreamsWorld(t, { directives = '', locations = {}, httpd = {}, vhost = '', ...options } = {}) {
    const tlsPort = await freePort();
    const world = await openWorld(t, {
        backend: false,
        ...options,
        httpd: { mpm: MPM, ...httpd, modules: [...MODULES, ...(httpd.modules ?? [])] },
        before: async (w) => {
            w.certs = await certificate(w.httpd);
            w.sse = await startSse();
            w.tlsSse = await startSse(w.certs);
        },
        site: (w) => site(w, tlsPort, directives, locations, vhost),
    });
    t.after(async () => { await world.sse.close(); await world.tlsSse.close(); });
    world.tlsPort = tlsPort;
    world.resource = `${world.base}/s`;
    world.signIn = async (person = world.person()) => {
        const client = new OAuthClient(world, { resource: world.resource });
        await client.signIn(person);
        return client;
    };
    world.counts = () => streamCounts(world.base);
    /** Wait until the counters say so. */
    world.counted = (wanted, ms = 5000) => until(async () => {
        const counts = await world.counts();
        return Object.entries(wanted).every(([name, value]) => counts[name] === value) && counts;
    }, `counters ${JSON.stringify(wanted)}`, ms).catch(async (error) => {
        throw new Error(`${error.message}; they are ${JSON.stringify(await world.counts())}`);
    });
    const clients = new Set();
    /** Open a stream at /s/<way>. */
    world.stream = async (way, token, { secure = false, query = '', headers = {}, ...rest } = {}) => {
        const stream = await openStream({
            port: secure ? tlsPort : world.httpd.port, secure, path: `/s/${way}/events${query}`,
            backend: way === 'tls' ? world.tlsSse : world.sse,
            headers: { ...(token ? { Authorization: `Bearer ${token}` } : {}), ...headers }, ...rest,
        });
        clients.add(stream.client);
        return stream;
    };
    /** A subtest that leaves no stream behind, even when it fails. */
    world.it = (parent, name, fn) => parent.test(name, async (sub) => {
        try {
            await fn(sub);
        } finally {
            for (const client of clients) client.close();
            clients.clear();
        }
    });
    return world;
}

function site(world, tlsPort, directives, locations, vhost) {
    const { base, sse, tlsSse, certs } = world;
    const all = {
        relay: '', worker: 'MCPStreamRelay Off', tls: '', balancer: '', ...locations,
    };
    const backend = (name) => (name === 'tls' ? tlsSse.url : name === 'balancer' ? 'balancer://sse' : sse.url);
    return `
Listen 127.0.0.1:${tlsPort}
MCPKeyFile ${world.keyFile}
MCPStore ${world.store.directive}
MCPIssuer ${base}
MCPResource ${base}/s name="Streams" scopes="snippets"
MCPOAuth On
${directives}
${providerSection(world)}
SSLProxyEngine On
SSLProxyCACertificateFile ${certs.cert}
<Proxy balancer://sse>
    BalancerMember ${sse.url}
</Proxy>
<Location /status>
    SetHandler server-status
    Require local
</Location>
${Object.entries(all).map(([name, text]) => `<Location /s/${name}>
    AuthType MCP
    Require valid-user
    ${text}
    ProxyPass ${backend(name)}
</Location>`).join('\n')}
<Location /open>
    MCPStreamRelay On
    ProxyPass ${sse.url}
</Location>
<VirtualHost 127.0.0.1:${tlsPort}>
    SSLEngine On
    SSLCertificateFile ${certs.cert}
    SSLCertificateKeyFile ${certs.key}
    ${vhost}
</VirtualHost>
`;
}

/** Another httpd with the same configuration, keys and store, as a second host would be. */
export async function secondNode(t, world) {
    const { Httpd } = await import('./httpd.mjs');
    const node = await Httpd.make({ ...world.options.httpd });
    const tlsPort = await freePort();
    await node.configure(world.httpd.site.replaceAll(`127.0.0.1:${world.tlsPort}`, `127.0.0.1:${tlsPort}`));
    await node.start();
    t.after(() => node.close());
    return node;
}
