// SPDX-License-Identifier: Apache-2.0
// An OTLP/HTTP receiver that takes nothing but what the official schema allows: bodies are decoded by the code that
// protobufjs made from opentelemetry-proto, and have to come out of it as they went in.

import assert from 'node:assert/strict';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { createRequire } from 'node:module';
import { until } from './proc.mjs';

const schema = createRequire(import.meta.url)('otlp-schema/build/src/generated/root.js').opentelemetry.proto;
const Export = schema.collector.trace.v1.ExportTraceServiceRequest;
const IDS = { traceId: 32, spanId: 16, parentSpanId: 16 };

// OTLP's own deviations from the JSON mapping of protobuf: ids are hexadecimal, enumerations are numbers, keys are in
// lowerCamelCase. As protobufjs wants them: base64.
function toProtobuf(value, key) {
    if (key in IDS) {
        assert.match(value, new RegExp(`^[0-9a-f]{${IDS[key]}}$`), key);
        return Buffer.from(value, 'hex').toString('base64');
    }
    if (Array.isArray(value)) return value.map((one) => toProtobuf(one));
    if (value === null || typeof value !== 'object') {
        assert.ok(!['kind', 'code'].includes(key) || Number.isInteger(value), `${key} is a number`);
        assert.ok(!/UnixNano$|^intValue$/.test(key) || /^-?\d+$/.test(value) && typeof value === 'string', `${key} is a string of digits`);
        return value;
    }
    return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, toProtobuf(one, name)]));
}

/** The spans of a body, flattened: {traceId, spanId, parentSpanId, name, kind, ms, error, attributes, resource}. Throws when it is not OTLP. */
export function decode(text) {
    const given = toProtobuf(JSON.parse(text));
    const message = Export.fromObject(given);
    assert.equal(Export.verify(message), null);
    // through the wire format, and back: what the schema does not know is lost on the way
    const back = Export.toObject(Export.decode(Export.encode(message).finish()), { longs: String, bytes: String, json: true });
    assert.deepEqual(back, given, 'nothing but what the schema has');
    const attributes = (list = []) => {
        assert.equal(new Set(list.map(({ key }) => key)).size, list.length, 'no attribute twice');
        return Object.fromEntries(list.map(({ key, value }) => [key, value.stringValue ?? value.boolValue ?? Number(value.intValue)]));
    };
    return JSON.parse(text).resourceSpans.flatMap(({ resource, scopeSpans }) => scopeSpans.flatMap(({ spans }) => spans.map((span) => ({
        ...span,
        begin: BigInt(span.startTimeUnixNano),
        ms: Number(BigInt(span.endTimeUnixNano) - BigInt(span.startTimeUnixNano)) / 1e6,
        error: span.status?.code === 2,
        attributes: attributes(span.attributes),
        resource: attributes(resource.attributes),
    }))));
}

export class Collector {
    /** @param options  port (else a free one), tls: {cert, key, ca} files, ca for client certificates */
    static async start({ port = 0, tls } = {}) {
        const collector = new Collector();
        const serve = (request, response) => collector.#serve(request, response);
        collector.server = tls
            ? https.createServer({ cert: readFileSync(tls.cert), key: readFileSync(tls.key), ...(tls.ca && { ca: readFileSync(tls.ca), requestCert: true, rejectUnauthorized: true }) }, serve)
            : http.createServer(serve);
        collector.server.keepAliveTimeout = 60_000;
        collector.server.listen(port, '127.0.0.1');
        await once(collector.server, 'listening');
        collector.port = collector.server.address().port;
        collector.url = `http${tls ? 's' : ''}://127.0.0.1:${collector.port}/v1/traces`;
        return collector;
    }

    spans = [];
    requests = []; // {status, headers, spans, at}
    errors = [];
    /** What the next requests are answered: {status, headers, body, hang}; the last one stays. Empty: 200. */
    answers = [];

    async #serve(request, response) {
        let text = '';
        for await (const chunk of request.setEncoding('utf8')) text += chunk;
        const answer = (this.answers.length > 1 ? this.answers.shift() : this.answers[0]) ?? {};
        const seen = { status: answer.hang ? 0 : answer.status ?? 200, headers: request.headers, url: request.url, method: request.method, spans: [], at: Date.now() };
        try {
            assert.equal(request.method, 'POST');
            assert.equal(request.headers['content-type'], 'application/json');
            seen.spans = decode(text);
        } catch (error) {
            this.errors.push(error);
            seen.status = 400;
        }
        this.requests.push(seen);
        if (answer.hang) return;
        if (seen.status === 200) this.spans.push(...seen.spans);
        response.writeHead(seen.status, { 'Content-Type': 'application/json', ...answer.headers });
        response.end(JSON.stringify(answer.body ?? {}));
    }

    /** The first span that `test` likes, once it is there. */
    async span(test, what = 'the span', ms) {
        const found = await until(() => this.spans.find(test) ?? this.errors.length > 0, what, ms);
        this.check();
        return found;
    }

    /** Spans of a trace. */
    of(traceId) { return this.spans.filter((span) => span.traceId === traceId); }

    check() { if (this.errors.length > 0) throw this.errors[0]; }

    async close() {
        this.server.closeAllConnections();
        await new Promise((done) => this.server.close(done));
    }
}
