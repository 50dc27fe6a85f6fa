// SPDX-License-Identifier: Apache-2.0
// Between node:http and the web-standard Request and Response that the SDK speaks.

const BODY_MAX = 4 * 1024 * 1024;

/** Headers of every event stream of the functions host. */
export const STREAM_HEADERS = {
    'Content-Type': 'text/event-stream',
    'Cache-Control': 'no-cache,no-store',
    Connection: 'keep-alive',
    'Content-Encoding': 'identity',
};

export class TooLarge extends Error {}

export async function readBody(request) {
    const chunks = [];
    let size = 0;
    for await (const chunk of request) {
        size += chunk.length;
        if (size > BODY_MAX) {
            throw new TooLarge();
        }
        chunks.push(chunk);
    }
    return Buffer.concat(chunks);
}

/** @param signal aborts when the client goes away */
export function toWebRequest(request, url, body, signal) {
    const headers = new Headers();
    for (let i = 0; i < request.rawHeaders.length; i += 2) {
        headers.append(request.rawHeaders[i], request.rawHeaders[i + 1]);
    }
    return new Request(url, { method: request.method, headers, body, signal });
}

/** Send @p answer, event by event; when the client goes away its stream is cancelled. */
export async function sendWebResponse(response, answer, extra = {}) {
    const stream = answer.headers.get('content-type')?.startsWith('text/event-stream');
    response.writeHead(answer.status, {
        ...Object.fromEntries(answer.headers),
        ...(stream ? lowerCased(STREAM_HEADERS) : {}),
        ...lowerCased(extra),
    });
    if (!answer.body) {
        response.end();
        return;
    }
    response.flushHeaders();

    const reader = answer.body.getReader();
    response.on('close', () => reader.cancel().catch(() => {}));
    try {
        for (;;) {
            const { done, value } = await reader.read();
            if (done || response.destroyed) {
                break;
            }
            if (!response.write(value)) {
                await new Promise((resolve) => response.once('drain', resolve).once('close', resolve));
            }
        }
    }
    catch {
        // the exchange was given up, by the client or by the server
    }
    response.end();
}

const lowerCased = (headers) =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));

export function sendJson(response, status, value) {
    const body = JSON.stringify(value);
    response.writeHead(status, {
        'content-type': 'application/json; charset=utf-8',
        'content-length': Buffer.byteLength(body),
    });
    response.end(body);
}

export const sendRpcError = (response, status, message, code = -32000) =>
    sendJson(response, status, { jsonrpc: '2.0', error: { code, message }, id: null });
