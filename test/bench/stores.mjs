// SPDX-License-Identifier: Apache-2.0
// memcached on a unix socket and redis on a loopback port, each for one run.

import { chmodSync, mkdirSync } from 'node:fs';

import { accepts, freePort, start } from './proc.mjs';

/** Start what the wanted stores need. @return store name -> { arg: what follows `MCPStore name:`, pid } */
export async function startStores(names, dir) {
    const args = {};

    mkdirSync(dir, { recursive: true, mode: 0o755 });
    chmodSync(dir, 0o755);
    if (names.has('memcache')) {
        const socket = `${dir}/memcached.sock`;
        const user = process.getuid() === 0 ? ['-u', 'root'] : [];
        // 0777: httpd's children, which run as another user, must be able to connect
        const memcached = start('memcached', 'memcached', ['-s', socket, '-a', '0777', '-m', '64', ...user]);
        await accepts(socket, memcached);
        args.memcache = { arg: socket, pid: memcached.pid };
    }
    if (names.has('redis')) {
        const port = await freePort();
        const redis = start('redis-server', 'redis-server', ['--port', String(port), '--bind', '127.0.0.1',
            '--save', '', '--appendonly', 'no', '--dir', dir]);
        await accepts(port, redis);
        args.redis = { arg: `127.0.0.1:${port}`, pid: redis.pid };
    }
    return args;
}
