// SPDX-License-Identifier: Apache-2.0
// The spans of a running gateway, as a collector gets them.

import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { Collector } from './lib/collector.mjs';
import { request } from './lib/http.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { MCP_OTLP } from './lib/otlp.mjs';
import { until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const PARENT = 'b7ad6b7169203331';
let traces = 0;
const traceId = () => `0af7651916cd43dd8448eb21${(++traces).toString(16).padStart(8, '0')}`;
const traceparent = (id, sampled = 1) => `00-${id}-${PARENT}-0${sampled}`;
const bearer = (tokens, more = {}) => ({ Authorization: `Bearer ${tokens.access_token}`, ...more });
const call = (name, more = {}) => ({ json: { jsonrpc: '2.0', id: 7, method: 'tools/call', params: { name, arguments: { password: 'hunter2' }, ...more } } });

suite('traces', {
    backend: false,
    before: async (world) => {
        world.collector = await Collector.start();
        world.headers = await world.httpd.file('conf/otlp-headers', 'X-Api-Key: key-of-the-collector\n');
        world.httpd.secret('key of the collector', 'key-of-the-collector');
    },
    site: (world) => `${defaultSite(world)}
MCPTraceExport "|${MCP_OTLP} --endpoint ${world.collector.url} --interval 0.05 --timeout 2 --queue 100 --header-file ${world.headers}" sample=0
MCPSessionCache 0
<Location /echo/denied>
    Require mcp-tool none
</Location>
<Location /metrics>
    SetHandler mcp-metrics
</Location>
`,
}, async (it, world) => {
    world.httpd.announce('AH01631', 'AH00055', /mcp-otlp/);
    const { collector } = world;
    const client = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Editor' });
    const metrics = async () => (await request(`${world.base}/metrics`)).text;
    const counted = async (outcome) => Number((await metrics()).match(new RegExp(`^mcp_trace_spans_total\\{outcome="${outcome}"\\} (\\d+)`, 'm'))?.[1] ?? 0);
    const headersAtBackend = () => new Map(world.echo.requests.at(-1).headers);
    const server = (id, more = () => true) => collector.span((span) => span.traceId === id && span.kind === 2 && more(span), `the server span of ${id}`);
    await client.register();
    let tokens = await client.signIn(world.person());

    await it('G15: a call is a span of the caller\'s trace, with store and backend below it, by the conventions for HTTP and MCP', async () => {
        const id = traceId();
        const answer = await request(`${world.base}/echo/x?secret=in-query`, {
            ...call('dump'), headers: bearer(tokens, { traceparent: traceparent(id), tracestate: 'rojo=00f067aa0ba902b7', 'MCP-Protocol-Version': '2025-06-18', 'User-Agent': 'probe/1 "ä"' }),
        });
        assert.equal(answer.status, 200);
        const span = await server(id);
        assert.equal(span.name, 'tools/call dump');
        assert.equal(span.parentSpanId, PARENT);
        assert.equal(span.traceState, 'rojo=00f067aa0ba902b7');
        assert.equal(span.error, false);
        assert.ok(span.ms > 0 && span.ms < 10_000);
        const { attributes } = span;
        for (const [name, value] of Object.entries({
            'mcp.method.name': 'tools/call', 'gen_ai.operation.name': 'execute_tool', 'gen_ai.tool.name': 'dump', 'mcp.protocol.version': '2025-06-18', 'jsonrpc.request.id': '7',
            'http.request.method': 'POST', 'http.response.status_code': 200, 'http.route': '/echo', 'url.path': '/echo/x', 'url.scheme': 'http', 'server.address': '127.0.0.1',
            'server.port': world.httpd.port, 'client.address': '127.0.0.1', 'network.protocol.version': '1.1', 'mcp_gateway.outcome': 'ok',
        })) assert.equal(attributes[name], value, name);
        assert.equal(span.resource['service.name'], 'mcp-gateway');
        const parts = collector.of(id).filter((one) => one !== span);
        assert.ok(parts.every((one) => one.parentSpanId === span.spanId && one.kind === 3 && one.begin >= span.begin), 'all below it, and not before it');
        assert.ok(parts.some(({ name }) => name === 'store get'));
        const backend = parts.find(({ name }) => name === 'POST');
        assert.equal(headersAtBackend().get('traceparent'), `00-${id}-${backend.spanId}-01`, 'the backend continues below the call of it');
        assert.equal(headersAtBackend().get('tracestate'), 'rojo=00f067aa0ba902b7');
        assert.equal(backend.attributes['server.port'], world.echo.port);
        assert.equal(backend.attributes['http.response.status_code'], 200);
        assert.equal(new Set(collector.of(id).map(({ spanId }) => spanId)).size, parts.length + 1);
        const text = JSON.stringify(collector.spans, (key, value) => typeof value === 'bigint' ? String(value) : value);
        for (const secret of ['hunter2', 'in-query', tokens.access_token, tokens.refresh_token, 'key-of-the-collector']) assert.ok(!text.includes(secret), secret);
        assert.equal(collector.requests.at(-1).headers['x-api-key'], 'key-of-the-collector');
    });

    await it('the sampled flag decides, and for traces that begin here the ratio; strangers cannot ask for spans', async () => {
        const [no, stranger, last] = [traceId(), traceId(), traceId()];
        await request(`${world.base}/echo`, { ...call('a'), headers: bearer(tokens, { traceparent: traceparent(no, 0) }) });
        assert.match(headersAtBackend().get('traceparent'), new RegExp(`^00-${no}-(?!${PARENT})[0-9a-f]{16}-00$`));
        await request(`${world.base}/echo`, { ...call('b'), headers: bearer(tokens) });
        const begun = headersAtBackend().get('traceparent');
        assert.match(begun, /-00$/, 'sample=0');
        await request(`${world.base}/echo`, { ...call('c'), headers: { traceparent: traceparent(stranger) } });
        await request(`${world.base}/echo`, { ...call('d'), headers: bearer(tokens, { traceparent: traceparent(last) }) });
        await server(last);
        for (const id of [no, stranger, begun.split('-')[1]]) assert.deepEqual(collector.of(id), []);
    });

    await it('a message\'s own _meta continues a trace where no header does, and tells the server, as the header does', async () => {
        const id = traceId();
        await request(`${world.base}/echo`, { ...call('meta', { _meta: { traceparent: traceparent(id), tracestate: 'a=b' } }), headers: bearer(tokens) });
        const span = await server(id);
        assert.equal(span.parentSpanId, PARENT);
        assert.equal(headersAtBackend().get('tracestate'), 'a=b');
        assert.equal(headersAtBackend().get('traceparent'), `00-${id}-${collector.of(id).find(({ name }) => name === 'POST').spanId}-01`);
        const body = () => JSON.parse(world.echo.requests.at(-1).body).params;
        assert.equal(body()._meta.traceparent, headersAtBackend().get('traceparent'), 'the server, which looks there first, continues below the call of it');
        assert.deepEqual(body().arguments, { password: 'hunter2' });
        const [header, other] = [traceId(), traceparent(traceId())];
        await request(`${world.base}/echo`, { ...call('both', { _meta: { traceparent: other, tracestate: 'evil\r\nX: y' } }), headers: bearer(tokens, { traceparent: traceparent(header) }) });
        await server(header);
        assert.equal(body()._meta.traceparent, other, 'another trace is not ours');
        const twice = traceparent(traceId());
        await request(`${world.base}/echo`, { ...call('twice', { arguments: { copy: twice }, _meta: { progressToken: 7, traceparent: twice } }), headers: bearer(tokens) });
        assert.deepEqual(body(), { name: 'twice', arguments: { copy: twice }, _meta: { progressToken: 7, traceparent: headersAtBackend().get('traceparent') } },
            'arguments are never touched');
        const spelled = traceparent(traceId());
        await request(`${world.base}/echo`, { body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"copy":"${spelled}"},"_meta":{"\\u0074raceparent":"${spelled}"}}}`, headers: bearer(tokens, { 'Content-Type': 'application/json' }) });
        assert.deepEqual(body(), { name: 'x', arguments: { copy: spelled }, _meta: { traceparent: spelled } }, 'nor where the name is spelled otherwise');
    });

    await it('a sampled call whose message has no trace gets one in its _meta, beside what is there; others go on byte for byte', async () => {
        const id = traceId();
        const send = async (text, more = {}) => {
            const answer = await request(`${world.base}/echo`, { body: text, headers: bearer(tokens, { 'Content-Type': 'application/json', traceparent: traceparent(id), ...more }) });
            assert.equal(answer.status, 200, answer.text);
            return world.echo.requests.at(-1).body;
        };
        const head = '{ "jsonrpc":"2.0", "id":1, "method":"tools/call", "params" : {';
        const trace = () => `"traceparent":"${headersAtBackend().get('traceparent')}"`;
        const args = '"name":"x","arguments":{"params":{"_meta":"\\"}{"},"n":[1,{}]}';
        assert.equal(await send(`${head}${args}} }`), `${head}"_meta":{${trace()}},${args}} }`);
        assert.equal(await send(`${head}${args}, "_meta": {"progressToken":"a"}}}`), `${head}${args}, "_meta": {${trace()},"progressToken":"a"}}}`);
        assert.equal(await send(`${head}${args},"_meta":{ }}}`, { 'Transfer-Encoding': 'chunked' }), `${head}${args},"_meta":{${trace()} }}}`);
        for (const text of ['{"jsonrpc":"2.0","id":1,"method":"ping"}', `[${head}${args}}}]`]) assert.equal(await send(text), text);
        const plain = `${head}${args}}}`;
        assert.equal(await send(plain, { traceparent: traceparent(traceId(), 0) }), plain);
    });

    await it('failures are told: of the backend, and of policy; batches and other methods have names of few', async () => {
        const [broken, denied, batch, get] = [traceId(), traceId(), traceId(), traceId()];
        await request(`${world.base}/echo/status/502`, { ...call('x'), headers: bearer(tokens, { traceparent: traceparent(broken) }) });
        const failed = await server(broken);
        assert.equal(failed.error, true);
        assert.equal(failed.attributes['error.type'], '502');
        assert.equal(collector.of(broken).find(({ name }) => name === 'POST').error, true);
        await request(`${world.base}/echo/denied`, { ...call('rm'), headers: bearer(tokens, { traceparent: traceparent(denied), Accept: 'application/json, text/event-stream' }) });
        const refused = await server(denied);
        assert.match(refused.attributes['mcp_gateway.outcome'], /^forbidden/);
        assert.equal(refused.error, refused.attributes['http.response.status_code'] < 400);
        assert.ok(!collector.of(denied).some(({ name }) => name === 'POST'), 'the backend was not called');
        const two = [1, 2].map((id) => ({ jsonrpc: '2.0', id, method: 'ping' }));
        await request(`${world.base}/echo`, { json: two, headers: bearer(tokens, { traceparent: traceparent(batch) }) });
        assert.equal((await server(batch)).attributes['mcp_gateway.messages'], 2);
        await request(`${world.base}/echo/x/y`, { headers: bearer(tokens, { traceparent: traceparent(get) }) });
        assert.equal((await server(get)).name, 'GET /echo');
    });

    await it('the span of an event stream ends with it', async () => {
        const id = traceId();
        const stream = await request(`${world.base}/echo/stream`, { stream: true, headers: bearer(tokens, { Accept: 'text/event-stream', traceparent: traceparent(id) }) });
        const [backend] = await until(() => world.echo.streams.size && [...world.echo.streams], 'the stream');
        backend.write('data: 1\n\n');
        const mark = traceId();
        await request(`${world.base}/echo`, { ...call('mark'), headers: bearer(tokens, { traceparent: traceparent(mark) }) });
        await server(mark);
        assert.deepEqual(collector.of(id), []);
        const closing = BigInt(Date.now()) * 1000000n;
        backend.end();
        const span = await server(id);
        stream.close();
        assert.equal(span.attributes['mcp_gateway.stream.end'], 'complete');
        assert.ok(BigInt(span.endTimeUnixNano) >= closing, 'it ends when the stream does');
        assert.ok(collector.of(id).find(({ name }) => name === 'GET').ms <= span.ms);
    });

    await it('with a collector that hangs no call waits; what has no room is dropped and counted; then spans flow again', async () => {
        const { length } = collector.requests;
        collector.answers = [{ hang: true }];
        const dropped = await counted('dropped');
        const flood = async (n) => {
            let slowest = 0;
            await Promise.all(Array.from({ length: 8 }, async () => {
                for (let i = 0; i < n / 8; i++) {
                    const begin = Date.now();
                    const answer = await request(`${world.base}/echo`, { ...call('x'.repeat(200)), headers: bearer(tokens, { traceparent: traceparent(traceId()) }) });
                    assert.equal(answer.status, 200);
                    slowest = Math.max(slowest, Date.now() - begin);
                }
            }));
            return slowest;
        };
        let slowest = 0;
        await until(async () => { slowest = Math.max(slowest, await flood(200)); return await counted('dropped') > dropped; }, 'a full pipe', 60_000);
        assert.ok(slowest < 1500, `${slowest} ms`);
        assert.ok(collector.requests.length > length);
        collector.answers = [];
        const id = traceId();
        await until(async () => {
            await request(`${world.base}/echo`, { ...call('back'), headers: bearer(tokens, { traceparent: traceparent(id) }) });
            return collector.of(id).length > 0;
        }, 'spans after the collector is back', 60_000, 500);
        collector.check();
        assert.match(world.httpd.log(), /mcp-otlp:warn\].* does not take spans/);
        assert.match(world.httpd.log(), /mcp-otlp:notice\].* takes spans again/);
    });

    await it('a graceful restart loses no span: not of before, not of a stream that lives on, not of after', async () => {
        const [before, streamed, afterwards] = [traceId(), traceId(), traceId()];
        const stream = await request(`${world.base}/echo/stream`, { stream: true, headers: bearer(tokens, { Accept: 'text/event-stream', traceparent: traceparent(streamed) }) });
        const [backend] = await until(() => world.echo.streams.size && [...world.echo.streams], 'the stream');
        await request(`${world.base}/echo`, { ...call('before'), headers: bearer(tokens, { traceparent: traceparent(before) }) });
        await world.httpd.graceful();
        tokens = await client.signIn(world.person()); // shmcb is empty after it
        await request(`${world.base}/echo`, { ...call('after'), headers: bearer(tokens, { traceparent: traceparent(afterwards) }) });
        await server(before);
        await server(afterwards);
        backend.write('data: still here\n\n');
        backend.end();
        await server(streamed);
        stream.close();
    });

    await it('httpd starts it again when it dies', async () => {
        const helper = (await Promise.all(world.httpd.children().map(async (pid) => [pid, await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')])))
            .filter(([, line]) => line.startsWith(MCP_OTLP)).map(([pid]) => pid);
        assert.equal(helper.length >= 1, true);
        for (const pid of helper) process.kill(pid, 'SIGKILL');
        world.httpd.announce('AH00106', /piped log program/);
        const id = traceId();
        await request(`${world.base}/echo`, { ...call('x'), headers: bearer(tokens, { traceparent: traceparent(id) }) });
        await collector.span((span) => span.traceId === id, 'a span, from the pipe that was kept', 20_000);
    });

    await it('requests to the authorization server have spans, with the provider\'s part; nothing of their queries', async () => {
        const { site } = world.httpd;
        await world.httpd.configure(site.replace('sample=0', 'sample=1'));
        await world.httpd.graceful();
        const other = new OAuthClient(world, { resource: `${world.base}/echo`, name: 'Other' });
        await other.register();
        await other.signIn(world.person());
        const token = await collector.span(({ name }) => name === 'POST /token');
        assert.equal(token.attributes['http.route'], '/token');
        assert.equal(token.parentSpanId, undefined, 'a trace of its own');
        const callback = await collector.span(({ name }) => name.startsWith('GET /oauth-callback'));
        const parts = collector.of(callback.traceId);
        assert.ok(parts.some(({ name }) => name === 'provider'), parts.map(({ name }) => name).join());
        assert.ok(parts.some(({ name }) => name === 'store put'), parts.map(({ name }) => name).join());
        assert.ok(!collector.spans.some(({ attributes }) => /[?&]|code=/.test(attributes['url.path'] ?? '')));
        await request(`${world.base}/echo`, { json: {} });
        const refused = await collector.span(({ attributes }) => attributes['mcp_gateway.outcome'] === 'no_token');
        assert.equal(refused.error, false, 'the client\'s fault');
        collector.check();
    });

    await it('configtest names what is wrong', async () => {
        const { site } = world.httpd;
        for (const [line, what] of [
            ['MCPTraceExport /usr/bin/otlp', /MCPTraceExport takes "\|PROGRAM/], ['MCPTraceExport "|/nowhere/mcp-otlp"', /no program that can be started/],
            ['MCPTraceExport "|/bin/true" sample=2', /sample=RATIO/], ['MCPTraceExport "|/bin/true" sample=', /sample=RATIO/], ['MCPTraceExport "|/bin/true" fast', /unknown option 'fast'/],
            ['<VirtualHost *>\nMCPTraceExport "|/bin/true"\n</VirtualHost>', /MCPTraceExport/],
        ]) {
            await world.httpd.configure(`${site.replace(/MCPTraceExport.*/, '')}\n${line}\n`);
            const { code, output } = await world.httpd.configtest();
            assert.notEqual(code, 0, line);
            assert.match(output, what);
        }
        await world.httpd.configure(site);
        await collector.close();
    });
});
