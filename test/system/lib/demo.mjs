// SPDX-License-Identifier: Apache-2.0
// The demo parts of examples/: the identity provider in this process, so that a test can disable an account, and the
// snippets function app as a child.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { startProvider as startDemoProvider } from '../../../examples/demo-idp/provider.mjs';
import { TOP } from './httpd.mjs';
import { Process } from './proc.mjs';

/** The demo identity provider, with the world's gateway as its client: {issuer, accounts, disable(), enable(), stop()}. */
export async function startProvider(world, options = {}) {
    const clientId = 'gateway';
    const clientSecret = `cs-${randomBytes(18).toString('base64url')}`;
    const provider = await startDemoProvider({
        clientId, clientSecret, redirectUris: [world.base, ...(world.options.issuers?.(world) ?? [])].map((issuer) => `${issuer}/oauth-callback`), ...options,
    });
    return {
        ...provider, clientId, clientSecret,
        accounts: provider.accounts.map((account) => ({ ...account, name: account.login })),
        stop: () => provider.close(),
    };
}

/** The snippets app: {url, record, stop()}. */
export async function startBackend(world, key, args = []) {
    const keyFile = await world.httpd.file('conf/backend-key', `${key}\n`);
    const record = join(world.httpd.root, 'backend.jsonl');
    const app = new Process(process.execPath, [join(TOP, 'examples/functions-snippets/main.mjs'),
        '--key-file', keyFile, '--record', record, ...args]);
    const [, url] = await app.says(/^ready: (\S+)/m, 60_000).catch(async (error) => { await app.stop(); throw error; });
    return { url, record, process: app, stop: () => app.stop('SIGTERM') };
}
