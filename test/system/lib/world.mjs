// SPDX-License-Identifier: Apache-2.0
// Everything that a test of the gateway needs, started for real: identity provider, backends, store, httpd with both
// modules. `await openWorld(t, {...})` in a test or suite; its end is registered there, and what httpd logged is checked.

import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { startEcho } from './echo.mjs';
import { Httpd } from './httpd.mjs';
import { Person } from './person.mjs';
import { startBackend, startProvider } from './demo.mjs';
import { startStore } from './stores.mjs';

export const FUNCTION_KEY = `fk-${randomBytes(18).toString('base64url')}`;

/** A key line for MCPKeyFile. */
export const keyLine = (kid) => `${kid} ${randomBytes(32).toString('base64')}\n`;

export class World {
    /**
     * @param options
     *   store      shmcb (default), memcache, memcache-socket, redis
     *   backend    start the snippets app (default true); the echo backend is always there, at /echo
     *   provider   start the demo identity provider (default true); idp: a function (world) => further options of it
     *   issuers    a function (world) => […]: issuers beside `base` that the provider sends people back to
     *   directives further lines at server level; echo: further lines in <Location /echo>; mcp: in <Location /mcp>
     *   before     async (world) => …: what has to be there before the configuration is written
     *   site       a function (world) => text instead of the whole default site
     *   httpd      options of Httpd
     */
    static async start(options = {}) {
        const world = new World();
        world.options = options;
        try {
            world.httpd = await Httpd.make(options.httpd);
            world.base = world.httpd.base;
            world.echo = await startEcho();
            world.store = await startStore(options.store ?? 'shmcb', world.httpd.root, options.storePort);
            if (options.provider !== false) world.provider = await startProvider(world, options.idp?.(world));
            if (options.backend !== false) world.backend = await startBackend(world, FUNCTION_KEY);
            await world.files();
            await options.before?.(world);
            await world.httpd.configure((options.site ?? defaultSite)(world));
            if (options.start !== false) await world.httpd.start();
        } catch (error) {
            await world.close().catch(() => {});
            throw error;
        }
        return world;
    }

    async files() {
        this.keyFile = await this.httpd.file('conf/keys', keyLine('k1'));
        this.secretFile = await this.httpd.file('conf/provider-secret', `${this.provider?.clientSecret ?? 'none-at-all'}\n`);
        this.functionKeyFile = await this.httpd.file('conf/function-key', `${FUNCTION_KEY}\n`);
        this.httpd.secret('function key', FUNCTION_KEY);
        this.httpd.secret('client secret of the provider', this.provider?.clientSecret);
        this.httpd.secret('sealing key', (await readFile(this.keyFile, 'utf8')).split(' ')[1].trim());
    }

    /** A new person with the demo account (or another one of the provider's). */
    person(account = this.provider.accounts[0]) {
        return Object.assign(new Person(account), { onSecret: (name, value) => this.httpd.secret(name, value) });
    }

    /** What the snippets app was asked, request by request: {method, url, headers}. */
    async recorded() {
        const text = await readFile(this.backend.record, 'utf8').catch(() => '');
        return text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    }

    async close() {
        const errors = [];
        const attempt = async (step) => { try { await step(); } catch (error) { errors.push(error); } };
        await attempt(() => this.httpd?.stop());
        await attempt(() => this.provider?.stop());
        await attempt(() => this.backend?.stop());
        await attempt(() => this.echo?.close());
        await attempt(() => this.store?.stop());
        await attempt(() => this.httpd?.close());
        if (errors.length > 0) throw errors[0];
    }
}

/** Start a world that ends with the test or suite `t` (anything with after()). */
export async function openWorld(t, options) {
    const world = await World.start(options);
    t.after(() => world.close());
    return world;
}

export function providerSection(world) {
    return `
<MCPProvider demo>
    MCPProviderIssuer ${world.provider?.issuer ?? 'http://127.0.0.1:9'}
    MCPProviderClientID ${world.provider?.clientId ?? 'none'}
    MCPProviderClientSecret file:${world.secretFile}
    ${world.provider?.directives ?? ''}
</MCPProvider>`;
}

/** The smallest configuration of the README, plus a second resource (/echo) with a scope rule of its own. */
export function defaultSite(world) {
    const { base, options } = world;
    return `
MCPKeyFile ${world.keyFile}
MCPStore ${world.store.directive}
MCPIssuer ${base}
MCPResource ${base}/mcp name="Snippets" scopes="snippets"
MCPResource ${base}/echo name="Echo" scopes="snippets"
MCPOAuth On
${options.directives ?? ''}
${providerSection(world)}
<Location /mcp>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey x-functions-key file:${world.functionKeyFile}
    ${options.mcp ?? ''}
    ProxyPass ${world.backend?.url ?? `${world.echo.url}/mcp`}
</Location>
<Location /echo>
    AuthType MCP
    Require valid-user
    MCPGuardBackendKey x-functions-key file:${world.functionKeyFile}
    ${options.echo ?? ''}
    ProxyPass ${world.echo.url}/backend
</Location>
`;
}

