// SPDX-License-Identifier: Apache-2.0
// The computer of somebody who runs an application: a home directory, and a browser that signs that person in.

import { chmod, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { TOP } from './httpd.mjs';

/** {env: what an application gets, visits(): the URLs that it opened in the browser, one after the other} */
export async function desktopOf(world, home, account = world.provider.accounts[0]) {
    const visited = join(home, 'visited');
    // as browsers do, it does not keep the application waiting
    const program = `#!/bin/sh\necho "$1" >> '${visited}'\n'${process.execPath}' '${join(TOP, 'test/system/lib/browser-stand-in.mjs')}' '${account.name}' '${account.password}' "$@" > /dev/null 2>&1 &\n`;
    for (const name of ['browser', 'xdg-open']) {
        await writeFile(join(home, name), program);
        await chmod(join(home, name), 0o755);
    }
    return {
        // without a display no desktop's own way to open a browser is looked for
        env: { HOME: home, BROWSER: join(home, 'browser'), PATH: `${home}:${process.env.PATH}`, DISPLAY: '' },
        visits: async () => (await readFile(visited, 'utf8').catch(() => '')).split('\n').filter(Boolean).map((url) => new URL(url)),
    };
}
