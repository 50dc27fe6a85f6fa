// SPDX-License-Identifier: Apache-2.0
// Start the demo identity provider. Ends on SIGTERM or SIGINT.
//
//   node main.mjs --client-id ID --client-secret-file FILE --redirect-uri URI [--redirect-uri URI] [--port N]
//                 [--auth-method client_secret_basic|client_secret_post]
//
// Port 0 (the default) takes a free one; the line `ready: ISSUER` tells which.

import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

import { startProvider } from './provider.mjs';

const { values: options } = parseArgs({
    options: {
        port: { type: 'string', default: '0' },
        'client-id': { type: 'string' },
        'client-secret-file': { type: 'string' },
        'redirect-uri': { type: 'string', multiple: true },
        'auth-method': { type: 'string' },
    },
});
if (!options['client-id'] || !options['client-secret-file'] || !options['redirect-uri']) {
    console.error('need --client-id, --client-secret-file and --redirect-uri');
    process.exit(2);
}

for (const signal of ['SIGTERM', 'SIGINT']) {
    process.on(signal, () => process.exit(0));
}
try {
    const provider = await startProvider({
        port: Number(options.port),
        clientId: options['client-id'],
        clientSecret: readFileSync(options['client-secret-file'], 'utf8').trim(),
        redirectUris: options['redirect-uri'],
        authMethod: options['auth-method'],
    });
    console.log(`ready: ${provider.issuer}`);
}
catch (error) {
    console.error(error.message);
    process.exit(1);
}
