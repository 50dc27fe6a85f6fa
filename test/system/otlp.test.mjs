// SPDX-License-Identifier: Apache-2.0
// mcp-otlp alone: what it sends is OTLP, whatever the collector and its input do.

import assert from 'node:assert/strict';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { after, before } from 'node:test';
import { Collector } from './lib/collector.mjs';
import { MCP_OTLP, Otlp, span } from './lib/otlp.mjs';
import { certificate } from './lib/sse.mjs';
import { freePort, Process, sleep, until } from './lib/proc.mjs';

let root;
before(async () => { root = await mkdtemp(join(tmpdir(), 'mcp-otlp-')); await chmod(root, 0o755); });
after(() => rm(root, { recursive: true, force: true }));

/** A collector and a helper that sends there. */
async function pair(t, args = [], options) {
    const collector = await Collector.start(options);
    const otlp = new Otlp('--endpoint', collector.url, '--interval', '0.05', ...args);
    t.after(async () => {
        await otlp.stop('SIGKILL');
        await collector.close();
    });
    return { collector, otlp };
}

const rss = async (otlp) => Number((await readFile(`/proc/${otlp.pid}/status`, 'utf8')).match(/VmRSS:\s+(\d+)/)[1]);

test('a span is OTLP to the letter: ids, times, kinds, attributes of each type, parts, the resource', async (t) => {
    const { collector, otlp } = await pair(t, ['--service-name', 'edge', '--attribute', 'deployment.environment.name=test', '--attribute', 'host.name=mine']);
    otlp.feed(span({
        parent: '00f067aa0ba902b7', state: 'rojo=1', failed: true, attributes: { text: 'ä"\\', int: -7, flag: false },
        parts: [{ span: 'aaaaaaaaaaaaaaaa', name: 'store get', kind: 3, begin: 1764225000000100, end: 1764225000000200, attributes: { n: 1 } }],
    }));
    const whole = await collector.span((one) => one.parentSpanId === '00f067aa0ba902b7');
    assert.deepEqual(whole.attributes, { text: 'ä"\\', int: -7, flag: false });
    assert.equal(whole.traceState, 'rojo=1');
    assert.equal(whole.error, true);
    assert.equal(whole.ms, 1);
    assert.equal(whole.startTimeUnixNano, '1764225000000000000');
    assert.equal(whole.resource['service.name'], 'edge');
    assert.equal(whole.resource['host.name'], 'mine');
    assert.equal(whole.resource['deployment.environment.name'], 'test');
    assert.match(whole.resource['service.instance.id'], /^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
    const part = collector.spans.find((one) => one.spanId === 'aaaaaaaaaaaaaaaa');
    assert.equal(part.parentSpanId, whole.spanId);
    assert.equal(part.traceId, whole.traceId);
    assert.equal(part.error, false);
    assert.equal(collector.requests.length, 1);
    assert.match(collector.requests[0].headers['user-agent'], /^mcp-otlp\//);
});

test('what is no span does not end it, nor reaches the collector', async (t) => {
    const { collector, otlp } = await pair(t);
    const good = span();
    const bad = [
        'nonsense', '', '{}', '[]', '"x"', JSON.stringify(good).slice(0, -1), '\0'.repeat(10), `{"a":${'['.repeat(3000)}`,
        `${JSON.stringify(good)}${JSON.stringify(good)}`, 'x'.repeat(200_000), JSON.stringify(good).replace('{', '{"trace":"x",'),
        ...[{ trace: '0'.repeat(32) }, { trace: 'AF'.repeat(16) }, { span: 'short' }, { span: null }, { parent: 'x' }, { name: '' }, { name: 7 }, { kind: 9 }, { kind: '2' },
            { begin: 0 }, { begin: -1 }, { end: 1 }, { end: 9.5e18 }, { end: 1.5 }, { failed: 'no' }, { state: 5 }, { attributes: [] }, { attributes: { a: {} } }, { attributes: { a: null } },
            { attributes: { a: 1.5 } }, { attributes: { '': 1 } }, { parts: {} }, { parts: [1] }, { parts: [{}] }, { parts: Array(100).fill(span()) }].map((more) => span(more)),
    ];
    otlp.feed(...bad, good);
    otlp.child.stdin.write(Buffer.from([0xff, 0xfe, 0x0a]));
    await collector.span((one) => one.spanId === good.span);
    assert.equal(collector.spans.length, 1);
    otlp.child.stdin.end('{"cut off');
    await otlp.done();
    assert.match(otlp.stderr, /lines were not understood/);
    assert.ok(otlp.stderr.split('\n').length <= 3, 'and it does not fill the log');
    const lines = [...otlp.stderr.matchAll(/(\d+) (?:more )?lines were/g)].reduce((sum, [, n]) => sum + Number(n), 0);
    assert.equal(lines, bad.length + 2, 'each is counted');
});

test('spans go out in batches, by number or when the first has waited, and at the end at once', async (t) => {
    const { collector, otlp } = await pair(t, ['--batch', '10', '--interval', '30']);
    otlp.feed(...Array.from({ length: 25 }, () => span()));
    await until(() => collector.spans.length === 20, 'two whole batches');
    otlp.signal('SIGTERM');
    await until(() => collector.spans.length === 25, 'the rest, by SIGTERM');
    assert.equal(otlp.status, undefined, 'and it reads on, for children of httpd that are still at work');
    otlp.feed(span());
    otlp.child.stdin.end();
    await otlp.done();
    assert.deepEqual(collector.requests.map(({ spans }) => spans.length), [10, 10, 5, 1]);
    assert.equal(otlp.stderr, '');
    collector.check();
});

test('a collector that is away is told once, and once when it is back; nothing is lost that had room', async (t) => {
    const port = await freePort();
    const otlp = new Otlp('--endpoint', `http://127.0.0.1:${port}/v1/traces`, '--interval', '0.05');
    otlp.feed(...Array.from({ length: 50 }, () => span()));
    await otlp.says(/mcp-otlp:warn\].* does not take spans: .*; trying again/);
    const collector = await Collector.start({ port });
    t.after(async () => { await otlp.stop('SIGKILL'); await collector.close(); });
    await until(() => collector.spans.length === 50, 'all of them', 15_000);
    await otlp.says(/takes spans again; 0 were lost/);
    otlp.child.stdin.end();
    await otlp.done();
    assert.equal(otlp.stderr.trim().split('\n').length, 2, otlp.stderr);
});

test('429 and 503 are honoured with their Retry-After, other refusals are for good', async (t) => {
    const { collector, otlp } = await pair(t);
    collector.answers = [{ status: 429, headers: { 'Retry-After': '2' } }, { status: 503 }, {}];
    otlp.feed(span());
    await until(() => collector.spans.length === 1, 'the third try', 15_000);
    const [first, second, third] = collector.requests;
    assert.deepEqual([first, second, third].map(({ status, spans }) => [status, spans[0].spanId]), [429, 503, 200].map((status) => [status, first.spans[0].spanId]));
    assert.ok(second.at - first.at >= 1900, `${second.at - first.at} ms`);
    collector.answers = [{ status: 400, body: { message: 'no such\ntenant' } }];
    otlp.feed(span());
    await otlp.says(/refuses spans, which are lost: status 400/);
    collector.answers = [{ body: { partialSuccess: { rejectedSpans: '3', errorMessage: 'too old' } } }];
    otlp.feed(span(), span(), span(), span());
    await until(() => collector.requests.length === 5, 'accepted in part');
    collector.answers = [];
    otlp.feed(span());
    await otlp.says(/takes spans again; 4 were lost/);
    assert.equal(collector.requests.length, 6, 'what was refused is not sent again');
});

test('it never grows without bound: with a full queue it stops reading, and ends all the same', async (t) => {
    const { collector, otlp } = await pair(t, ['--queue', '1000', '--timeout', '300']);
    collector.answers = [{ hang: true }];
    otlp.feed(span());
    await until(() => collector.requests.length === 1, 'a request that hangs');
    const before = await rss(otlp);
    const flood = JSON.stringify(span({ attributes: { text: 'x'.repeat(200) } })) + '\n';
    for (let i = 0; i < 100; i++) otlp.child.stdin.write(flood.repeat(1000));
    await until(async () => {
        const unsent = otlp.child.stdin.writableLength;
        await sleep(200);
        return unsent > 0 && unsent === otlp.child.stdin.writableLength;
    }, 'it reads no more');
    // AddressSanitizer puts room around each piece, and keeps for a while what was freed; all that was sent is 41 MB
    assert.ok(await rss(otlp) - before < (process.env.MCP_ASAN_LOG ? 32_768 : 8192), `${before} KB, then ${await rss(otlp)}`);
    otlp.child.stdin.destroy();
    await otlp.done({ ms: 12_000 });
    assert.match(otlp.stderr, /ending; 1\d\d\d spans were lost/);
});

test('TLS with a CA file and a certificate of its own; headers come from a private file', async (t) => {
    await mkdir(join(root, 'conf'));
    const tls = await certificate({ root });
    await chmod(tls.cert, 0o644);
    const headers = join(root, 'headers');
    await writeFile(headers, '# keys\n\nX-Api-Key: s3cret-of-the-collector\n', { mode: 0o600 });
    const { collector, otlp } = await pair(t, ['--ca-file', tls.cert, '--cert', tls.cert, '--key', tls.key, '--header-file', headers], { tls: { ...tls, ca: tls.cert } });
    otlp.feed(span());
    await collector.span(() => true);
    assert.equal(collector.requests[0].headers['x-api-key'], 's3cret-of-the-collector');
    assert.doesNotMatch(await readFile(`/proc/${otlp.pid}/cmdline`, 'latin1'), /s3cret/);
    if (process.getuid() === 0) assert.doesNotMatch(await readFile(`/proc/${otlp.pid}/status`, 'utf8'), /^Uid:\s.*\b0\b/m, 'not as root');
    const stranger = new Otlp('--endpoint', collector.url, '--interval', '0.05', '--timeout', '1');
    stranger.feed(span());
    await stranger.says(/does not take spans: .*certificate/i);
    await stranger.stop('SIGKILL');
    await chmod(headers, 0o644);
    const open = new Process(MCP_OTLP, ['--endpoint', collector.url, '--header-file', headers]);
    await open.done({ code: 1 });
    assert.match(open.stderr, /can be read by everybody/);
});

test('wrong options are named; the manual and the help name the same', async () => {
    for (const [args, what] of [
        [[], /--endpoint is missing/], [['--endpoint', 'ftp://x'], /https URL/], [['--nonsense'], /--nonsense/], [['--endpoint'], /--endpoint/], [['--batch', '0'], /--batch takes/],
        [['--interval', 'x'], /--interval takes/], [['--queue', '-1'], /--queue takes/], [['--timeout', '1e9'], /--timeout takes/], [['--attribute', 'x'], /--attribute takes/],
        [['--endpoint', 'https://x/', 'more'], /more/], [['--endpoint', 'https://x/', '--key', '/x'], /--key needs --cert/],
        [['--endpoint', 'https://key:s3cret@x/v1/traces'], /takes no user or password(?!.*s3cret)/s], [['--endpoint', 'http://s3cret@127.0.0.1:4318'], /takes no user or password(?!.*s3cret)/s],
    ]) {
        const run = new Process(MCP_OTLP, args);
        await run.done({ code: 2 });
        assert.match(run.stderr, what);
    }
    const missing = new Process(MCP_OTLP, ['--endpoint', 'https://x/', '--header-file', '/nowhere']);
    await missing.done({ code: 1 });
    assert.match(missing.stderr, /\/nowhere/);
    const help = new Process(MCP_OTLP, ['--help']);
    await help.done();
    const options = (text) => [...new Set(text.replaceAll('\\-', '-').match(/--[a-z][a-z-]+/g))].sort();
    assert.deepEqual(options(await readFile(new URL('../../mcp-otlp/mcp-otlp.8', import.meta.url), 'utf8')), options(help.stdout));
    const version = new Process(MCP_OTLP, ['--version']);
    await version.done();
    assert.match(version.stdout, /^mcp-otlp \d/);
});
