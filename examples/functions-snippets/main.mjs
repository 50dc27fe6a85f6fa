// SPDX-License-Identifier: Apache-2.0
// Start the snippets function app with its storage emulator. Ends on SIGTERM or SIGINT, and takes the emulator along.
//
//   node main.mjs --key-file FILE [--port N] [--data DIRECTORY] [--record FILE] [--absolute-endpoint]
//
// The key may also come in the environment variable FUNCTION_KEY. Port 0 (the default) takes a free one; the line
// `ready: URL` tells which. Without --data the snippets are gone afterwards.

import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';

import { BASE_PATH, snippetsApp } from './app.mjs';
import { startAzurite } from './azurite.mjs';
import { openSnippets } from './snippets.mjs';

const { values: options } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        'key-file': { type: 'string' },
        data: { type: 'string' },
        record: { type: 'string' },
        'absolute-endpoint': { type: 'boolean', default: false },
    },
});
const key = options['key-file'] ? readFileSync(options['key-file'], 'utf8').trim() : process.env.FUNCTION_KEY;
if (!key) {
    console.error('no function key: give --key-file FILE, or FUNCTION_KEY in the environment');
    process.exit(2);
}

const data = options.data ?? mkdtempSync(path.join(os.tmpdir(), 'mcp-snippets-'));
mkdirSync(data, { recursive: true });

let azurite;
let server;
let ending;

/** Stop what runs, in reverse order, once. */
function end(status) {
    ending ??= (async () => {
        server?.close();
        server?.closeAllConnections();
        await azurite?.stop();
        if (!options.data) {
            rmSync(data, { recursive: true, force: true });
        }
        process.exit(status);
    })();
}

process.on('SIGTERM', () => end(0));
process.on('SIGINT', () => end(0));
try {
    azurite = await startAzurite(data, { temporary: !options.data });
    azurite.ended.then(() => {
        if (!ending) {
            console.error('the storage emulator ended');
            end(1);
        }
    });
    server = snippetsApp({ key, snippets: await openSnippets(azurite.account), record: options.record,
        absoluteEndpoint: options['absolute-endpoint'] });
    server.on('error', (error) => {
        console.error(error.message);
        end(1);
    });
    server.listen(Number(options.port), '127.0.0.1', () => {
        console.log(`ready: http://127.0.0.1:${server.address().port}${BASE_PATH}`);
    });
}
catch (error) {
    if (!ending) {
        console.error(error.message);
        end(1);
    }
}
