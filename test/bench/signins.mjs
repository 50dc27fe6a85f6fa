// SPDX-License-Identifier: Apache-2.0
// What a whole sign-in costs httpd: register, authorize, consent, callback, token. Client and provider run in this
// process and are not counted; flows per second and core are the inverse of httpd's CPU time for one.

import { rmSync } from 'node:fs';
import http from 'node:http';

import { interrupted, parseArgs, setUp } from './bench.mjs';
import { cpuSeconds, family, stopAll } from './proc.mjs';
import { signIn } from './signin.mjs';

const CONCURRENT = 8;

async function signIns(gateway, count) {
    const agents = [];
    let left = count;

    await Promise.all(Array.from({ length: CONCURRENT }, async () => {
        const agent = new http.Agent({ keepAlive: true });
        agents.push(agent);
        while (left-- > 0) {
            await signIn(gateway.base, gateway.url, agent);
        }
    }));
    agents.forEach((agent) => agent.destroy());
}

async function main() {
    const options = parseArgs(process.argv.slice(2));
    const count = options.requests ?? 1000;
    const bed = await setUp({ ...options, only: options.only ?? ['guard_shmcb', 'guard_memcache', 'guard_redis'] });

    for (const gateway of bed.gateways.filter((each) => each.ours)) {
        await signIns(gateway, 100);
        const before = cpuSeconds(family(gateway.process.pid));
        const began = performance.now();
        await signIns(gateway, count);
        const cpu = cpuSeconds(family(gateway.process.pid)) - before;
        console.log(`${gateway.store}: ${count} sign-ins in ${((performance.now() - began) / 1000).toFixed(1)} s, `
            + `httpd CPU ${(cpu * 1000 / count).toFixed(2)} ms each: ${Math.round(count / cpu)} a second and core`);
    }
    bed.provider.close();
    await stopAll();
    if (!options.keep) {
        rmSync(bed.dir, { recursive: true, force: true });
    }
}

main().catch(async (error) => {
    if (interrupted.yes) {
        return;
    }
    console.error(`signins: ${error.message}`);
    await stopAll();
    process.exit(1);
});
