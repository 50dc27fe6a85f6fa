// SPDX-License-Identifier: Apache-2.0
// The shared stores, each started for real.

import { join } from 'node:path';
import { chmod } from 'node:fs/promises';
import { Process, freePort, reachable, until } from './proc.mjs';

export const STORES = ['shmcb', 'memcache', 'redis'];

/**
 * Start a store: shmcb (nothing to start), memcache (TCP), memcache-socket, redis.
 * @param dir   for sockets and files; the httpd user must be able to enter it
 * @param port  to start again at the same place
 * @return {kind, directive, process, stop(), restart(), port}
 */
export async function startStore(kind, dir, port) {
    if (kind === 'shmcb') return { kind, directive: 'shmcb', shared: false, process: null, stop() {} };
    const store = { kind, shared: true };
    if (kind !== 'memcache-socket') store.port = port ?? await freePort();

    store.start = async () => {
        if (kind === 'redis') {
            store.directive = `redis:127.0.0.1:${store.port}`;
            store.process = new Process('redis-server', ['--port', String(store.port), '--bind', '127.0.0.1',
                '--save', '', '--appendonly', 'no', '--dir', dir]);
            await until(() => reachable({ host: '127.0.0.1', port: store.port }), 'redis-server to listen');
        } else if (kind === 'memcache') {
            store.directive = `memcache:127.0.0.1:${store.port}`;
            store.process = new Process('memcached', ['-u', 'nobody', '-l', '127.0.0.1', '-p', String(store.port), '-U', '0']);
            await until(() => reachable({ host: '127.0.0.1', port: store.port }), 'memcached to listen');
        } else if (kind === 'memcache-socket') {
            const path = join(dir, 'memcached.sock');
            store.directive = `memcache:${path}`;
            store.process = new Process('memcached', ['-u', process.getuid() === 0 ? 'root' : 'nobody', '-s', path, '-a', '0777']);
            await until(() => reachable({ path }), 'memcached to listen');
            await chmod(path, 0o777);
        } else {
            throw new Error(`no store is called ${kind}`);
        }
    };
    store.stop = (signal = 'SIGKILL') => store.process.stop(signal);
    await store.start();
    return store;
}
