// SPDX-License-Identifier: Apache-2.0
// Instructions a request by object and by function, from callgrind on `apache2 -X`.

import { execFileSync } from 'node:child_process';
import { readFileSync, readdirSync, rmSync } from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

import { admit, CALL, callOf, interrupted, setUp } from './bench.mjs';
import { stop, stopAll } from './proc.mjs';

/** N requests one after another on one connection. */
async function drive(url, token, body, count) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    const headers = token ? { authorization: `Bearer ${token}` } : {};

    if (body) {
        Object.assign(headers, { 'content-type': 'application/json', accept: 'application/json, text/event-stream',
            'content-length': Buffer.byteLength(body) });
    }
    for (let i = 0; i < count; i++) {
        await new Promise((resolve, reject) => {
            const request = http.request(url, { agent, method: body ? 'POST' : 'GET', headers }, (response) => {
                response.resume();
                response.on('end', () => (response.statusCode === 200 ? resolve()
                    : reject(new Error(`${url} answers ${response.statusCode}`))));
            });
            request.on('error', reject);
            request.end(body);
        });
    }
    agent.destroy();
}

/** Self cost by object (library) of a callgrind file. */
function byObject(file) {
    const names = new Map();
    const cost = new Map();
    let object = '?';
    let skip = false;

    for (const line of readFileSync(file, 'latin1').split('\n')) {
        const named = /^(c?ob)=(?:(\(\d+\)) ?)?(.*)$/.exec(line);
        if (named) {
            if (named[3]) {
                names.set(named[2], named[3]);
            }
            if (named[1] === 'ob') {
                object = named[3] || names.get(named[2]);
            }
        }
        else if (line.startsWith('calls=')) {
            skip = true; // the next line is the cost inside the callee
        }
        else if (/^(?:[+-]?\d+|\*) \d+$/.test(line)) {
            if (!skip) {
                const name = path.basename(object);
                cost.set(name, (cost.get(name) ?? 0) + Number(line.split(' ')[1]));
            }
            skip = false;
        }
    }
    return [...cost].sort((a, b) => b[1] - a[1]);
}

function annotate(file, count, inclusive) {
    const text = execFileSync('callgrind_annotate', [`--inclusive=${inclusive ? 'yes' : 'no'}`, '--threshold=100', '--auto=no', file],
        { encoding: 'utf8', maxBuffer: 1 << 28 });
    const rows = [];
    for (const line of text.split('\n')) {
        const row = /^\s*([\d,]+) \([^)]*\)\s+(.*)$/.exec(line);
        if (row && !row[2].includes('PROGRAM TOTALS')) {
            const name = row[2].replace(/\[[^\]]*\/([^\]/]+)\]/, '[$1]').replace(/^.*?([^/:]*:)/, '$1');
            rows.push([Number(row[1].replaceAll(',', '')) / count, name]);
        }
    }
    return rows;
}

/** Build the module that switches callgrind; gives the line that loads it. */
function buildSwitch(dir) {
    const words = (command, ...args) => execFileSync(command, args, { encoding: 'utf8' }).split(/\s+/).filter(Boolean);
    const file = `${dir}/mod_bench_callgrind.so`;

    execFileSync('cc', ['-shared', '-fPIC', '-O2', '-o', file, ...words('apxs', '-q', 'EXTRA_CPPFLAGS'),
        `-I${words('apxs', '-q', 'INCLUDEDIR')[0]}`, ...words('pkg-config', '--cflags', 'apr-1'),
        path.join(path.dirname(fileURLToPath(import.meta.url)), 'mod_bench_callgrind.c')]);
    return `LoadModule bench_callgrind_module ${file}\n`;
}

async function profile(gateway, options) {
    const control = (word) => drive(`${gateway.base}/callgrind?${word}`, undefined, undefined, 1);
    const count = options.requests;

    await drive(gateway.url, gateway.bearer, options.body, 50);
    await control('start');
    await drive(gateway.url, gateway.bearer, options.body, 50); // translation and first-touch costs
    await control('zero');
    await drive(gateway.url, gateway.bearer, options.body, count);
    await control('dump');

    const dumps = readdirSync(`${gateway.dir}/profile`).map((name) => `${gateway.dir}/profile/${name}`);
    const file = dumps.find((name) => /^totals: [1-9]/m.test(readFileSync(name, 'latin1')));
    if (!file) {
        throw new Error('callgrind wrote no dump');
    }
    const objects = byObject(file);
    const total = objects.reduce((sum, [, cost]) => sum + cost, 0) / count;

    console.log(`\n${gateway.name}: ${Math.round(total)} instructions/request`);
    console.log(objects.slice(0, 14).map(([name, cost]) => `  ${Math.round(cost / count).toString().padStart(8)}  ${name}`)
        .join('\n'));
    if (options.functions) {
        for (const inclusive of [false, true]) {
            console.log(`  ${inclusive ? 'inclusive' : 'self'}, by function:`);
            const rows = annotate(file, count, inclusive).filter(([, name]) => !inclusive || /mcp_|mod_mcp/.test(name));
            console.log(rows.slice(0, options.functions).map(([cost, name]) =>
                `  ${Math.round(cost).toString().padStart(8)}  ${name}`).join('\n'));
        }
    }
    if (options.keep) {
        console.log(`  kept: ${file}`);
    }
    return total;
}

async function main() {
    const options = { requests: 1000, functions: 0 };
    const names = [];
    const argv = process.argv.slice(2);

    for (let i = 0; i < argv.length; i++) {
        switch (argv[i]) {
        case '--requests': options.requests = Number(argv[++i]); break;
        case '--functions': options.functions = Number(argv[++i]); break;
        case '--modules': options.ours = path.resolve(argv[++i]); break;
        case '--post': options.body = CALL; break;
        case '--body': options.body = callOf(Number(argv[++i])); break;
        case '--keep': options.keep = true; break;
        default:
            if (argv[i].startsWith('-')) {
                throw new Error(`unknown option ${argv[i]}`);
            }
            names.push(...argv[i].split(','));
        }
    }
    const only = names.length ? names : ['bare', 'guard_shmcb', 'guard_shmcb_nocache', 'guard_memcache_nocache'];
    const totals = {};
    let failed = false;

    for (const name of only) {
        // one at a time: callgrind on several at once only makes each slower
        const bed = await setUp({ ...options, only: [name], prepare: buildSwitch,
            wrap: ['valgrind', '-q', '--vgdb=no', '--tool=callgrind', '--instr-atstart=no', '--callgrind-out-file=profile/out.%p'] });
        try {
            await admit(bed.gateways, options.body);
            for (const gateway of bed.gateways) {
                totals[name] = await profile(gateway, options);
                await stop(gateway.process);
            }
        }
        catch (error) {
            if (interrupted.yes) {
                return;
            }
            console.error(`profile: ${name}: ${error.message}`);
            failed = true;
        }
        bed.provider.close();
        await stopAll();
        if (!options.keep && !failed) {
            rmSync(bed.dir, { recursive: true, force: true });
        }
    }
    if (totals.bare) {
        console.log(`\n${Object.keys(totals).map((name) => `${name}=${(totals[name] / totals.bare).toFixed(3)}`).join(' ')}`);
    }
    process.exitCode = failed ? 1 : 0;
}

main().catch(async (error) => {
    console.error(`profile: ${error.message}`);
    await stopAll();
    process.exit(1);
});
