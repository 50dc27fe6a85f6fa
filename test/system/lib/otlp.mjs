// SPDX-License-Identifier: Apache-2.0
// mcp-otlp as it was built.

import { dirname, join } from 'node:path';
import { Process } from './proc.mjs';

export const MCP_OTLP = join(dirname(process.env.MCP_MODULES), 'mcp-otlp/mcp-otlp');

/** A process of it, with standard input open: `feed()` writes lines to it. */
export class Otlp extends Process {
    constructor(...args) {
        super(MCP_OTLP, args, { input: null });
        this.child.stdin.on('error', () => {});
    }

    feed(...lines) { return this.child.stdin.write(lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')); }
}

let count = 0;
/** A span as MCPTraceExport writes it. */
export const span = (more = {}) => ({
    trace: '0af7651916cd43dd8448eb211c80319c', span: (++count).toString(16).padStart(16, '0'), name: `span ${count}`, kind: 2, begin: 1764225000000000, end: 1764225000001000, ...more,
});
