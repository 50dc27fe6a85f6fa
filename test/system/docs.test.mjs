// SPDX-License-Identifier: Apache-2.0
// What the documents say to type is typed: each apache block goes through httpd's configuration test, each sh and console block
// is run, word for word. They name mcp.example.com, login.example.com, /etc/mcp and port 443; so all of it happens in a mount and
// a network namespace of its own, where these are ours. Needs root (or sudo), as the packages' test does.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

if (process.env.MCP_DOCS_INSIDE) {
    await import('./lib/documents-inside.mjs');
} else {
    const unshare = ['unshare', '--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc',
        'env', ...Object.entries({ ...process.env, MCP_DOCS_INSIDE: '1' }).map(([name, value]) => `${name}=${value}`),
        process.execPath, fileURLToPath(import.meta.url)];
    const [command, ...args] = process.getuid() === 0 ? unshare : ['sudo', ...unshare];
    const { status, error } = spawnSync(command, args, { stdio: 'inherit' });
    if (error) throw error;
    process.exit(status ?? 1);
}
