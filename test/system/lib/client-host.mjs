// SPDX-License-Identifier: Apache-2.0
// A client's own web host: where its metadata document, its keys and its logo are.

import { execFileSync } from 'node:child_process';
import { randomUUID, sign } from 'node:crypto';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { OAuthClient } from './oauth.mjs';

/** A client's web host: https on loopback, with a certificate of its own. `answers[path]` is what it says. */
export async function startHost(world) {
    const key = `${world.httpd.root}/conf/host.key`, cert = `${world.httpd.root}/conf/host.crt`;
    execFileSync('openssl', ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2',
        '-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1,DNS:app.example,DNS:*.trusted.example', '-keyout', key, '-out', cert], { stdio: 'ignore' });
    const host = { cert, asked: [], names: [], answers: {} };
    const server = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (req, res) => {
        host.asked.push(req.url);
        host.names.push(req.socket.servername);
        const { status = 200, type = 'application/json', headers = {}, body, ms = 0 } = host.answers[req.url] ?? { status: 404, body: '{}' };
        setTimeout(() => {
            res.writeHead(status, { 'Content-Type': type, ...headers });
            res.end(typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body));
        }, ms);
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    host.url = `https://localhost:${server.address().port}`;
    host.port = server.address().port;
    host.close = () => new Promise((resolve) => { server.closeAllConnections(); server.close(resolve); });
    /** Publish a document at `path`; the client_id that it is for. */
    host.publish = (path, changes = {}, answer = {}) => {
        const id = host.url + path;
        host.answers[path] = { ...answer, body: { client_id: id, client_name: 'Documented', redirect_uris: ['http://127.0.0.1/callback', 'https://app.example/cb'], ...changes } };
        return id;
    };
    return host;
}

/** A client that is known by `clientId` without registering. */
export function known(world, clientId, options) {
    const client = new OAuthClient(world, { redirectUri: 'http://127.0.0.1:4711/callback', resource: `${world.base}/echo`, ...options });
    client.clientId = clientId;
    client.authorizeUrl(); // for a verifier of its own
    return client;
}

export const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

/** An assertion of RFC 7523, signed with ES256. */
export function assertion(key, claims, header = {}) {
    const now = Math.floor(Date.now() / 1000);
    const text = `${b64({ alg: 'ES256', typ: 'JWT', kid: 'c1', ...header })}.${b64({ jti: randomUUID(), iat: now, exp: now + 60, ...claims })}`;
    return `${text}.${sign('sha256', Buffer.from(text), { key, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`;
}
