// SPDX-License-Identifier: Apache-2.0
// Attempts to get a forbidden call past the policy, as a table: each is one raw request by somebody who is signed in and
// may call `allowed` and nothing else. Whatever the gateway answers, nothing with the forbidden name may reach the
// backend, and the next caller must be served.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect } from 'node:net';
import { deflateSync, gzipSync } from 'node:zlib';
import { OAuthClient } from './lib/oauth.mjs';
import { sleep, until } from './lib/proc.mjs';
import { suite } from './lib/suite.mjs';
import { providerSection } from './lib/world.mjs';

const BAD = 'forbidden';
const call = (name = BAD, more = {}) => ({ jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: {} }, ...more });
const text = (value) => (typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value));
const FORBIDDEN = text(call());
const ALLOWED = text(call('allowed'));
const utf16 = (value, swap) => { const b = Buffer.from(value, 'utf16le'); return swap ? b.swap16() : b; };

const site = (world) => `
MCPKeyFile ${world.keyFile}
MCPStore shmcb
MCPIssuer ${world.base}
MCPResource ${world.base}/ name="All" scopes="snippets"
MCPOAuth On
${providerSection(world)}
<Location /mcp>
    AuthType MCP
    MCPGuardSessionBinding Off
    Require mcp-tool allowed
    MCPMessageLimit 64k
    ProxyPass ${world.echo.url}/backend
</Location>
<Location /not>
    AuthType MCP
    <RequireAll>
        Require valid-user
        Require not mcp-tool forbidden*
        Require not mcp-tool run "/query=*drop*"
    </RequireAll>
    ProxyPass ${world.echo.url}/backend
</Location>
`;

/** Send bytes, end our side, and read until the server has closed: everything that came. */
async function exchange(port, bytes, { pieces = 1 } = {}) {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    let answer = '';
    socket.setEncoding('latin1').on('data', (chunk) => { answer += chunk; });
    socket.on('error', () => {});
    const closed = once(socket, 'close');
    await once(socket, 'connect');
    socket.setNoDelay(true);
    const data = Buffer.from(bytes, 'latin1');
    const step = Math.ceil(data.length / pieces);
    for (let i = 0; i < data.length; i += step) {
        socket.write(data.subarray(i, i + step));
        if (pieces > 1) await sleep(2);
    }
    const quick = sleep(5000).then(() => socket.destroy());
    socket.once('end', () => socket.end());
    setTimeout(() => socket.end(), 300).unref();
    await Promise.race([closed, quick]);
    socket.destroy();
    return answer;
}

suite('attacks on the policy', { backend: false, site }, async (it, world) => {
    world.httpd.announce('AH01631', 'AH00126', 'AH01630', 'AH00128', /AH0\d{4}: (Invalid|.*invalid|.*Unknown|.*refus)/i, 'proxy');
    const { access_token: token } = await new OAuthClient(world, { resource: `${world.base}/` }).signIn();
    const { port } = world.httpd;
    const host = `127.0.0.1:${port}`;

    /** One request, byte for byte. */
    const raw = ({ method = 'POST', path = '/mcp', version = 'HTTP/1.1', type = 'application/json', headers = [], body = FORBIDDEN, length, auth = true, eol = '\r\n' }) => {
        const bytes = Buffer.from(text(body)); // strings are UTF-8
        const lines = [`${method} ${path} ${version}`, `Host: ${host}`, 'Connection: close', 'Accept: application/json, text/event-stream'];
        if (auth) lines.push(`Authorization: Bearer ${token}`);
        if (type) lines.push(`Content-Type: ${type}`);
        lines.push(...headers);
        if (length !== null) lines.push(`Content-Length: ${length ?? bytes.length}`);
        return Buffer.concat([Buffer.from(lines.join(eol) + eol + eol, 'latin1'), bytes]);
    };
    const chunks = (...parts) => `${parts.map((part) => `${Buffer.byteLength(part).toString(16)}\r\n${part}\r\n`).join('')}0\r\n\r\n`;
    const chunked = (body, headers = [], more = {}) => raw({ ...more, length: null, headers: ['Transfer-Encoding: chunked', ...headers], body });
    const forbids = { path: '/not' };
    const halves = (body, at) => chunks(body.slice(0, at), body.slice(at));

    // what, bytes, options of exchange()
    const table = {
        'the plain call': [['as it is', raw({})], ['in the legacy transport', raw({ path: '/mcp/message?sessionId=1' })]],
        encodings: [
            ['UTF-8 with a byte order mark', raw({ body: `\uFEFF${FORBIDDEN}` })],
            ['UTF-16LE', raw({ body: utf16(FORBIDDEN) })], ['UTF-16BE', raw({ body: utf16(FORBIDDEN, true) })],
            ['UTF-16 with mark and charset', raw({ type: 'application/json; charset=utf-16', body: utf16(`\uFEFF${FORBIDDEN}`) })],
            ['UTF-32', raw({ type: 'application/json; charset=utf-32', body: Buffer.from([...FORBIDDEN].flatMap((c) => [c.charCodeAt(0), 0, 0, 0])) })],
            ['charset UTF-7', raw({ type: 'application/json; charset=utf-7', body: ALLOWED.replace('"allowed"', '"allowed","x":"+ACI-,+ACI-name+ACI-:+ACI-forbidden"') })],
            ['charset said twice', raw({ type: 'application/json; charset=utf-8; charset=utf-16', body: ALLOWED })],
            ['charset IBM037', raw({ type: 'application/json;charset="ibm037"', body: ALLOWED })],
            ['gzip', raw({ headers: ['Content-Encoding: gzip'], body: gzipSync(FORBIDDEN) })],
            ['deflate', raw({ headers: ['Content-Encoding: deflate'], body: deflateSync(FORBIDDEN) })],
            ['an encoding that reads as JSON too', raw({ headers: ['Content-Encoding: x-rot13'], body: ALLOWED })],
            ['two encodings', raw({ headers: ['Content-Encoding: identity', 'Content-Encoding: gzip'], body: gzipSync(FORBIDDEN) })],
            ['gzip untold', raw({ body: gzipSync(FORBIDDEN) })],
            ['escapes in the name', raw({ body: FORBIDDEN.replace('forbidden', '\\u0066orbidde\\u006e') })],
            ['escapes in the members', raw({ body: FORBIDDEN.replace('"name"', '"n\\u0061me"').replace('"method"', '"m\\u0065thod"') })],
            ['overlong UTF-8', raw({ body: Buffer.concat([Buffer.from('{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"'), Buffer.from([0xc1, 0xa6]), Buffer.from('orbidden"}}')]) })],
            ['a lone surrogate', raw({ body: FORBIDDEN.replace('forbidden', 'forbidden\\ud800') })],
            ['quoted-printable', raw({ headers: ['Content-Transfer-Encoding: quoted-printable'], body: FORBIDDEN.replace('forbidden', '=66orbidden') })],
        ],
        'members that two readers take differently': [
            ['the method twice', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call","params":{"name":"forbidden"}}' })],
            ['the name twice', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"forbidden","name":"allowed"}}' })],
            ['the name twice, once escaped', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed","n\\u0061me":"forbidden"}}' })],
            ['params twice', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed"},"params":{"name":"forbidden"}}' })],
            ...['Method', 'METHOD', 'method ', ' method', 'method\\u0000'].map((key) => [`the member "${key}"`, raw({ body: `{"jsonrpc":"2.0","id":1,"method":"ping","${key}":"tools/call","params":{"name":"forbidden"}}` })]),
            ...['Name', 'NAME', 'nAME'].map((key) => [`the member "${key}"`, raw({ body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed","${key}":"forbidden"}}` })]),
            ['a letter that folds to one of params', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed"},"param\u017f":{"name":"forbidden"}}' })],
            ['the prototype', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","__proto__":{"params":{"name":"forbidden"}}}' })],
            ['call and answer in one', raw({ body: '{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call","params":{"name":"forbidden"}}' })],
            ['NUL in the name', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed\\u0000forbidden"}}' })],
            ['raw NUL', raw({ body: '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"allowed\0forbidden"}}' })],
        ],
        'the shape of the message': [
            ['params as a list', raw({ body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: [BAD, {}] } })],
            ['the name as a list', raw({ body: call([BAD]) })], ['the name as an object', raw({ body: call({ toString: BAD }) })],
            ['no name', raw({ body: { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { tool: BAD } } })],
            ['the method as a list', raw({ body: call(BAD, { method: ['tools/call'] }) })],
            ...['Tools/Call', 'TOOLS/CALL', 'tools/call ', ' tools/call', 'tools/call\n', 'tools\\/call\\u0020', 'tools/call\u200b', '\ufefftools/call'].map((method) => [`the method ${JSON.stringify(method)}`, raw({ body: call(BAD, { method }) })]),
            ['an escaped solidus', raw({ body: FORBIDDEN.replace('tools/call', 'tools\\/call') })],
            ['no version', raw({ body: call(BAD, { jsonrpc: undefined }) })], ['version 1.0', raw({ body: call(BAD, { jsonrpc: '1.0' }) })],
            ['a notification', raw({ body: call(BAD, { id: undefined }) })], ['id null', raw({ body: call(BAD, { id: null }) })],
            ['id an object', raw({ body: call(BAD, { id: {} }) })], ['id 1.5', raw({ body: call(BAD, { id: 1.5 }) })],
            ['two messages in a row', raw({ body: `${ALLOWED}${FORBIDDEN}` })], ['two lines', raw({ body: `${ALLOWED}\n${FORBIDDEN}` })],
            ['a comment', raw({ body: `/* */${FORBIDDEN}` })], ['a comma too many', raw({ body: FORBIDDEN.replace('{}', '{"a":1,}') })],
            ['single quotes', raw({ body: FORBIDDEN.replaceAll('"', "'") })], ['NaN', raw({ body: FORBIDDEN.replace('"id":1', '"id":NaN') })],
            ['a number beyond all', raw({ body: FORBIDDEN.replace('{}', '{"a":1e999}') })], ['leading NULs', raw({ body: `\0\0${FORBIDDEN}` })],
            ['trailing NUL', raw({ body: `${FORBIDDEN}\0` })], ['a security prefix', raw({ body: `)]}',\n${FORBIDDEN}` })],
            ['a string of JSON', raw({ body: JSON.stringify(FORBIDDEN) })], ['nothing', raw({ body: '' })], ['white space', raw({ body: '  \n ' })],
            ['as deep as one can', raw({ body: `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"forbidden","arguments":${'['.repeat(25_000)}${']'.repeat(25_000)}}}` })],
            ['deep and open', raw({ body: '['.repeat(60_000) })], ['deep before the name', raw({ body: `{"a":${'{"a":'.repeat(70)}1${'}'.repeat(70)},"jsonrpc":"2.0"}` })],
            ['larger than the limit', raw({ body: FORBIDDEN.replace('{}', `{"a":"${'x'.repeat(70_000)}"}`) })],
            ['larger than the limit, in chunks', chunked(chunks(ALLOWED.slice(0, -1), ' '.repeat(70_000), '}'))],
        ],
        batches: [
            ['behind an allowed call', raw({ body: [call('allowed'), call(BAD, { id: 2 })] })], ['before one', raw({ body: [call(), call('allowed')] })],
            ['a notification in it', raw({ body: [call('allowed'), call(BAD, { id: undefined })] })], ['a batch in a batch', raw({ body: [[call()]] })],
            ['one beside an allowed one', raw({ body: [call('allowed'), [call()]] })], ['a string in it', raw({ body: [call('allowed'), FORBIDDEN] })],
            ['of one', raw({ body: [call()] })], ['of none', raw({ body: [] })], ['as an object', raw({ body: { 0: call(), length: 1 } })],
            ['of very many', raw({ body: [...Array(400).fill(call('allowed')), call()] })],
            ['with a header that names one', raw({ headers: ['Mcp-Method: tools/call', 'Mcp-Name: allowed'], body: [call('allowed'), call()] })],
        ],
        'content types': [undefined, 'text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', 'application/json, text/plain', 'application/jsonx',
            'application/json-rpc', 'application/problem+json', 'text/json', 'application/json/x', '/json', ' ', 'application/octet-stream', 'application/cbor']
            .map((type) => [String(type), raw({ type: type ?? null, body: ALLOWED })]).concat([
                ['two of them', raw({ headers: ['Content-Type: text/plain'], body: ALLOWED })],
                ['multipart', raw({ type: 'multipart/form-data; boundary=x', body: `--x\r\nContent-Type: application/json\r\n\r\n${FORBIDDEN}\r\n--x--` })],
            ]),
        'methods of HTTP': ['GET', 'HEAD', 'DELETE', 'OPTIONS', 'PUT', 'PATCH', 'TRACE', 'QUERY', 'PROPFIND', 'FOO', 'post', 'Post', 'P\tOST'].flatMap((method) => [
            [`${method} without a body`, raw({ method, body: '', length: null, type: null }), { mayPass: ['GET', 'HEAD', 'DELETE', 'OPTIONS'].includes(method) ? 1 : 0, empty: true }],
            [`${method} with a body`, raw({ method })], [`${method} in chunks`, chunked(chunks(FORBIDDEN), [], { method })],
            [`${method} that would be a POST`, raw({ method, headers: ['X-HTTP-Method-Override: POST', 'X-HTTP-Method: POST', 'X-Method-Override: POST'] })],
        ]),
        'chunks and lengths': [
            ...[1, 30, 60, 71].map((at) => [`cut at ${at}`, chunked(halves(FORBIDDEN, at))]),
            ['byte by byte', chunked(chunks(...FORBIDDEN)), { pieces: 40 }],
            ['both lengths, chunks win', raw({ headers: ['Transfer-Encoding: chunked'], body: chunks(FORBIDDEN) })],
            ['both lengths, a short one', raw({ headers: ['Transfer-Encoding: chunked'], body: chunks(FORBIDDEN), length: 4 })],
            ['two lengths', raw({ headers: ['Content-Length: 5'] })], ['the same length twice', raw({ headers: [`Content-Length: ${FORBIDDEN.length}`] })],
            ['a list of lengths', raw({ length: `${FORBIDDEN.length}, ${FORBIDDEN.length}` })],
            ...['+5', '-1', '0x50', '5 5', '99999999999999999999', '', '1e2', '٥'].map((length) => [`length "${length}"`, raw({ length })]),
            ['shorter than the body, the rest a second request', Buffer.concat([raw({ body: ALLOWED, headers: [] }).subarray(0, -ALLOWED.length), Buffer.from(ALLOWED.slice(0, 0)), raw({})])],
            ['longer than the body', raw({ length: FORBIDDEN.length + 50 })],
            ...['xchunked', 'identity', 'chunked, identity', 'identity, chunked', 'chunked, chunked', 'chunked;q=1', '\x0bchunked', 'Chunked ', '"chunked"', 'gzip, chunked', 'gzip']
                .map((te) => [`Transfer-Encoding: ${JSON.stringify(te)}`, raw({ length: null, headers: [`Transfer-Encoding: ${te}`], body: chunks(FORBIDDEN) })]),
            ['Transfer-Encoding twice', raw({ length: null, headers: ['Transfer-Encoding: identity', 'Transfer-Encoding: chunked'], body: chunks(FORBIDDEN) })],
            ['Transfer_Encoding', raw({ headers: ['Transfer_Encoding: chunked'], body: chunks(FORBIDDEN) })], ['a space before the colon', raw({ length: null, headers: ['Transfer-Encoding : chunked'], body: chunks(FORBIDDEN) })],
            ['a folded header', raw({ length: null, headers: ['Transfer-Encoding:\r\n chunked'], body: chunks(FORBIDDEN) })],
            ['chunk extensions', chunked(`${FORBIDDEN.length.toString(16)};a="b\r\n"\r\n${FORBIDDEN}\r\n0\r\n\r\n`)],
            ['a chunk of negative size', chunked(`-5\r\n${FORBIDDEN}\r\n0\r\n\r\n`)], ['of hexadecimal prefix', chunked(`0x${FORBIDDEN.length.toString(16)}\r\n${FORBIDDEN}\r\n0\r\n\r\n`)],
            ['of enormous size', chunked(`fffffffffffffffff\r\n${FORBIDDEN}\r\n0\r\n\r\n`)], ['line feeds alone', chunked(`${FORBIDDEN.length.toString(16)}\n${FORBIDDEN}\n0\n\n`)],
            ['a trailer that changes the type', chunked(`${ALLOWED.length.toString(16)}\r\n${ALLOWED.replace('allowed', 'forbidd')}\r\n0\r\nContent-Type: text/plain\r\n\r\n`, ['Trailer: Content-Type'])],
            ['no end', chunked(`${FORBIDDEN.length.toString(16)}\r\n${FORBIDDEN}\r\n`)], ['no length at all', raw({ length: null })],
            ['a second one on the same connection', Buffer.concat([Buffer.from(raw({ body: ALLOWED }).toString('latin1').replace('Connection: close', 'Connection: keep-alive'), 'latin1'), raw({})]), { mayPass: 1 }],
            ['Expect: 100-continue', raw({ headers: ['Expect: 100-continue'] })], ['another Expect', raw({ headers: ['Expect: 200-ok'] })],
        ],
        'versions of HTTP': [
            ['0.9', Buffer.from(`POST /mcp\r\n\r\n${FORBIDDEN}`)], ['0.9 with GET', Buffer.from('GET /mcp?method=tools/call&name=forbidden\r\n')],
            ...['HTTP/0.9', 'HTTP/1.0', 'HTTP/1.2', 'HTTP/2.0', 'HTTP/9.9', 'http/1.1', 'HTTP/1.1 HTTP/1.1', 'ICY'].map((version) => [version, raw({ version })]),
            ['the preface of HTTP/2', Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), raw({})])], ['line feeds alone', raw({ eol: '\n' })], ['carriage returns alone', raw({ eol: '\r' })],
            ['an upgrade to WebSocket', raw({ headers: ['Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', 'Sec-WebSocket-Version: 13'] })],
            ['an upgrade to h2c', raw({ headers: ['Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAAQAAP__'] })],
        ],
        paths: ['/MCP', '/Mcp', '/mcp/', '/mcp//', '//mcp', '/./mcp', '/x/../mcp', '/mcp/../mcp', '/%6dcp', '/m%63p', '/mcp%2f', '/mcp%2fx', '/mcp%00', '/mcp;x=1', '/mcp/;/x', '/mcp%3b', '/mcp?', '/mcp?x#y', '/mcp#', '\\mcp', '/\\mcp', '/mcp\\',
            '/mcp/%2e%2e/mcp', '/mcp/..;/mcp', '/mcp/.%00/', '/mcp%20', '/mcp%0a', '/mcp.json', '/mcp/message?sessionId=1&method=tools/call', '/%2e/mcp', '/mcp/x/y/z', '*', 'mcp']
            .map((path) => [path, raw({ path })]).concat([
                ['an absolute URI', raw({ path: `http://${host}/mcp` })], ['another host\'s', raw({ path: 'http://internal.example/mcp' })], ['with userinfo', raw({ path: `http://a:b@${host}/mcp` })],
                ['another Host', Buffer.from(raw({}).toString('latin1').replace(`Host: ${host}`, 'Host: internal.example'), 'latin1')], ['no Host', Buffer.from(raw({}).toString('latin1').replace(`Host: ${host}\r\n`, ''), 'latin1')],
                ['two Hosts', raw({ headers: ['Host: internal.example'] })], ['X-Original-URL', raw({ headers: ['X-Original-URL: /public', 'X-Rewrite-URL: /public', 'X-Forwarded-Uri: /public'] })],
            ]),
        'headers that repeat the body': [
            ['a name that is allowed', raw({ headers: ['MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: allowed'] })],
            ['the forbidden name over an allowed body', raw({ body: ALLOWED, headers: ['MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/call', 'Mcp-Name: forbidden'] })],
            ['the same in a revision without them', raw({ body: ALLOWED, headers: ['MCP-Protocol-Version: 2025-06-18', 'Mcp-Method: tools/call', 'Mcp-Name: forbidden'] })],
            ['another method', raw({ headers: ['MCP-Protocol-Version: 2026-07-28', 'Mcp-Method: tools/list'] })], ['a method for an answer', raw({ body: { jsonrpc: '2.0', id: 1, result: {} }, headers: ['Mcp-Method: tools/call', 'Mcp-Name: forbidden'] })],
            ['the name twice', raw({ body: ALLOWED, headers: ['Mcp-Name: allowed', 'Mcp-Name: forbidden'] })], ['the name in Base64', raw({ body: ALLOWED, headers: [`Mcp-Name: =?base64?${Buffer.from(BAD).toString('base64')}?=`] })],
            ['Base64 that decodes in two ways', raw({ body: ALLOWED, headers: ['Mcp-Name: =?base64?YWxsb3dlZA=Zm9yYmlkZGVu?='] })], ['a NUL in Base64', raw({ body: ALLOWED, headers: [`Mcp-Name: =?base64?${Buffer.from('allowed\0forbidden').toString('base64')}?=`] })],
            ['none where they are due', raw({ headers: ['MCP-Protocol-Version: 2026-07-28'] })], ['another revision in the body', raw({ headers: ['MCP-Protocol-Version: 2025-06-18'], body: call(BAD, { params: { name: BAD, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } } }) })],
            ['identity of one\'s own', raw({ headers: ['X-MCP-Subject: admin', 'X_MCP_Scope: all', 'X-Mcp-Method: ping'] })],
        ],
        'a rule that forbids': [
            ...['forbidden', 'forbidden_too', 'FORBIDDEN', 'Forbidden', 'forbidden ', ' forbidden', 'forbidden\t', '\u00a0forbidden', 'forbidden\u200b', 'forb\u0131dden', '\uff46orbidden'].map((name) => [JSON.stringify(name), raw({ ...forbids, body: call(name) })]),
            ['an argument', raw({ ...forbids, body: call('run', { params: { name: 'run', arguments: { query: 'drop table forbidden' } } }) })],
            ['an argument in capitals', raw({ ...forbids, body: call('run', { params: { name: 'run', arguments: { query: 'DROP forbidden' } } }) })],
            ['an argument of another spelling', raw({ ...forbids, body: call('run', { params: { name: 'run', arguments: { Query: 'drop forbidden' } } }) })],
            ['an argument in a list', raw({ ...forbids, body: call('run', { params: { name: 'run', arguments: { query: ['x', 'drop forbidden'] } } }) })],
            ['an argument in an object', raw({ ...forbids, body: call('run', { params: { name: 'run', arguments: { query: { raw: 'drop forbidden' } } } }) })],
        ],
        'without a token': ['GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'FOO'].flatMap((method) => ['application/json', 'text/plain', null].map((type) => [`${method} ${type}`, raw({ method, type, auth: false })])),
    };

    for (const [what, attempts] of Object.entries(table)) {
        await it(`${what}: ${attempts.length} attempts, none reaches the backend (T22, T23, TR-7, TR-8)`, async () => {
            for (const [how, bytes, options = {}] of attempts) {
                world.echo.requests.length = 0;
                const answer = await exchange(port, bytes, options);
                assert.ok(!/^HTTP\/1\.[01] 5(?!01|05)/.test(answer), `${how}: ${answer.slice(0, 300)}`);
                const reached = world.echo.requests.filter(({ body }) => body !== ALLOWED && !(options.empty && body === ''));
                assert.deepEqual(reached, [], `${how} reached the backend; answer: ${answer.slice(0, 200)}`);
                assert.ok(world.echo.requests.length <= (options.mayPass ?? 0), `${how}: ${answer.slice(0, 200)}`);
                assert.ok(!/"url":"\/backend/.test(answer) || options.mayPass, `${how}: an answer of the backend: ${answer.slice(0, 400)}`);
            }
            world.echo.requests.length = 0;
            const served = await exchange(port, raw({ body: ALLOWED }));
            assert.match(served, /^HTTP\/1\.1 200 /, 'and the next one is served');
            assert.equal(world.echo.requests[0]?.body, ALLOWED);
        });
    }

    await it('what is allowed goes through byte for byte, however it comes', async () => {
        const args = { deep: [[[[{ a: 1.25 }]]]], text: 'größer \u{1f600} "\\', empty: {} };
        const bodies = {
            'with white space': JSON.stringify(call('allowed'), null, 3), 'with all kinds of arguments': text(call('allowed', { params: { name: 'allowed', arguments: args, _meta: { progressToken: 'x' }, task: { ttl: 1 } } })),
            'an id of text': text(call('allowed', { id: 'a-1' })), 'a batch': text([call('allowed'), { jsonrpc: '2.0', method: 'notifications/initialized' }]),
            'an answer': text({ jsonrpc: '2.0', id: 7, result: { action: 'accept' } }), 'an answer that is an error': text({ jsonrpc: '2.0', id: 7, error: { code: -1, message: 'no' } }),
            'large': text(call('allowed', { params: { name: 'allowed', arguments: { a: 'x'.repeat(60_000) } } })), 'an unknown method': text({ jsonrpc: '2.0', id: 1, method: 'example.org/own-method' }),
        };
        for (const [what, body] of Object.entries(bodies)) {
            for (const bytes of [raw({ body }), chunked(chunks(body)), chunked(halves(body, 20)), raw({ body, headers: ['Expect: 100-continue'] }), raw({ body, type: 'application/json; charset=UTF-8', version: 'HTTP/1.0' })]) {
                world.echo.requests.length = 0;
                const answer = await exchange(port, bytes);
                await until(() => world.echo.requests.length === 1, `${what} at the backend: ${answer.slice(0, 300)}`, 3000);
                assert.equal(world.echo.requests[0].body, body, what);
            }
        }
    });

    await it('headers that are right go through, and unknown Mcp-Param-* with them (TR-6, TR-7, TR-9)', async () => {
        const odd = 'allowed';
        const modern = call(odd, { params: { name: odd, arguments: { region: 'eu' }, _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } } });
        for (const name of ['allowed', `=?base64?${Buffer.from(odd).toString('base64')}?=`, '  allowed ']) {
            world.echo.requests.length = 0;
            await exchange(port, raw({ body: modern, headers: ['mcp-protocol-version: 2026-07-28', 'MCP-METHOD: tools/call', `Mcp-Name: ${name}`, 'Mcp-Param-Region: eu', 'Mcp-Param-Unknown: =?base64?w6Q=?='] }));
            const [seen] = world.echo.requests;
            const headers = Object.fromEntries(seen.headers.map(([key, value]) => [key.toLowerCase(), value]));
            assert.equal(headers['mcp-param-region'], 'eu');
            assert.equal(headers['mcp-param-unknown'], '=?base64?w6Q=?=');
            assert.equal(headers['mcp-name'], name.trim());
        }
    });
});
