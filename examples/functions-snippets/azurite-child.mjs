// SPDX-License-Identifier: Apache-2.0
// Azurite's blob service in a process that ends with its parent, however that ends: the channel between them closes.
//
//   (forked) azurite-child.mjs DIRECTORY [temporary] AZURITE-OPTION...

import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';

const [, , directory, temporary] = process.argv;

process.on('disconnect', () => {
    if (temporary === 'temporary') {
        rmSync(directory, { recursive: true, force: true });
    }
    process.exit(0);
});
process.argv.splice(2, 2);
createRequire(import.meta.url)('azurite/dist/src/blob/main.js');
