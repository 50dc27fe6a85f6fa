// SPDX-License-Identifier: Apache-2.0
// Azurite, Microsoft's emulator of Azure Storage, as a child process: the blob service alone, on loopback, with an
// account key of its own that nobody else knows.

import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const CHILD = fileURLToPath(new URL('azurite-child.mjs', import.meta.url));
const ACCOUNT = 'snippets';

function freePort() {
    return new Promise((resolve, reject) => {
        const probe = net.createServer().once('error', reject);
        probe.listen(0, '127.0.0.1', () => {
            const { port } = probe.address();
            probe.close(() => resolve(port));
        });
    });
}

const START_LIMIT = 120000; // it loads a lot, and the machine may be busy

/** Resolves once something accepts connections at @p port. */
async function listening(port, child) {
    for (const deadline = Date.now() + START_LIMIT; Date.now() < deadline;) {
        if (child.exitCode !== null || child.signalCode !== null) {
            throw new Error('Azurite ended before it was ready');
        }
        const up = await new Promise((resolve) => {
            const socket = net.connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
            socket.on('connect', () => socket.destroy());
        });
        if (up) {
            return;
        }
        await sleep(100);
    }
    throw new Error(`Azurite did not begin to listen within ${START_LIMIT / 1000} seconds`);
}

/**
 * Start it on the data in @p directory, which it removes at the end when @p temporary says so, even when we are killed.
 * @return { account: { url, name, key }, ended (a promise), stop() }
 */
export async function startAzurite(directory, { temporary = false } = {}) {
    const port = await freePort();
    const key = randomBytes(64).toString('base64');
    const child = fork(CHILD, [directory, temporary ? 'temporary' : 'kept', '--blobHost', '127.0.0.1',
        '--blobPort', String(port), '--location', directory, '--silent', '--disableTelemetry', '--skipApiVersionCheck'], {
        cwd: directory,
        env: { ...process.env, AZURITE_ACCOUNTS: `${ACCOUNT}:${key}` },
        execArgv: [],
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    const ended = new Promise((resolve) => child.on('exit', resolve).on('error', resolve));
    const stop = async () => {
        const late = setTimeout(() => child.kill('SIGKILL'), 5000);
        if (temporary && child.connected) {
            child.disconnect(); // nothing has to be saved
        }
        else {
            child.kill('SIGTERM');
        }
        await ended;
        clearTimeout(late);
    };

    try {
        await listening(port, child);
    }
    catch (error) {
        await stop();
        throw error;
    }
    return { account: { url: `http://127.0.0.1:${port}/${ACCOUNT}`, name: ACCOUNT, key }, ended, stop };
}
