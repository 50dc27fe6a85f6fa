// SPDX-License-Identifier: Apache-2.0
// mcpctl as it was built, run as an administrator runs it.

import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

const MCPCTL = join(dirname(process.env.MCP_MODULES), 'mcpctl/mcpctl');

/** Run it; {code, out, err}, whatever the exit code. A first argument that is an object is added to its environment. */
export async function mcpctl(...args) {
    const env = { ...process.env, ...(typeof args[0] === 'object' ? args.shift() : {}) };
    try {
        const { stdout, stderr } = await promisify(execFile)(MCPCTL, args, { timeout: 60_000, env });
        return { code: 0, out: stdout, err: stderr };
    } catch (error) {
        if (typeof error.code !== 'number') throw error;
        return { code: error.code, out: error.stdout, err: error.stderr };
    }
}
