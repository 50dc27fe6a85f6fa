// SPDX-License-Identifier: Apache-2.0
// Fragments of configuration in documents, made whole and put through `apache2 -t` and the lint of `mcpctl check-config`. A fragment that begins with a directive of
// sections is put into one (docs/directives.md says which); what it does not say of a gateway is added.

import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cpus } from 'node:os';
import { PLATFORM } from './documents-host.mjs';

const has = (text, directive) => new RegExp(`^\\s*<?${directive}\\b`, 'm').test(text);
/** The lines that `text` does not say itself. */
const lacking = (text, lines) => lines.filter(([directive]) => !has(text, directive)).map(([directive, rest]) => `${directive} ${rest}`).join('\n');

/** Lines that need no module but the usual ones. */
const USUAL = /^\s*($|#|<?\/?(MCP|Location|AuthType|Require (mcp-|valid-user)|ProxyPass|ServerName|SSL|VirtualHost|LoadModule))/;

/** What a distribution logs of hosts that have no log of their own: queries, too. */
const DISTRIBUTION = 'CustomLog /var/log/apache2/other_vhosts_access.log "%v:%p %h %l %u %t \\"%r\\" %>s %O"';

export class Fragments {
    /** @param host where it is tried; contexts: of documents.mjs */
    constructor(host, contexts) {
        this.host = host;
        this.contexts = contexts;
    }

    /** The sections around a fragment, outermost first, such as `<Location /mcp>`. */
    sections({ text, markers }) {
        if (markers.within) return markers.within.split(/(?<=>) +(?=<)/);
        const first = text.split('\n').map((line) => line.trim()).find((line) => line !== '' && !line.startsWith('#')) ?? '';
        const name = first.match(/^<?([A-Za-z]+)/)?.[1] ?? '';
        const context = this.contexts.get(name) ?? '';
        if (/^<?(Require|AuthType)/.test(first) || /^location/.test(context)) return ['<Location /mcp>'];
        return [...context.matchAll(/<(MCPProvider|MCPOAuthClient)>`?(?: with `MCPProviderType (\w+))?/g)].slice(0, 1)
            .map(([, section, type]) => `<${section} example${type ? ` ${type}` : ''}>`);
    }

    /** A whole configuration with the fragment in it. */
    whole(block) {
        let text = block.text;
        for (const section of this.sections(block).reverse()) {
            if (section.startsWith('<Location')) text = `${lacking(text, [['AuthType', 'MCP'], ['ProxyPass', 'http://127.0.0.1:7071/mcp']])}\n${/^\s*<?Require/m.test(text) ? '' : 'Require valid-user'}\n${text}`;
            const type = section.match(/^<MCPProvider example (\w+)>/)?.[1];
            if (type === 'httpd') text = `MCPProviderType httpd\n${text}`;
            else if (type === 'oauth2') text = `MCPProviderPreset github\nMCPProviderClientID gateway\nMCPProviderClientSecret file:/etc/mcp/provider-secret\n${text}`;
            else if (section.startsWith('<MCPProvider')) {
                const preset = has(text, 'MCPProviderPreset') || /Type +httpd/.test(text);
                text = `${lacking(text, [...(preset ? [] : [['MCPProviderIssuer', 'https://login.example.com']]),
                    ...(/Type +httpd|PublicClient/.test(text) ? [] : [['MCPProviderClientID', 'mcp-gateway']]),
                    ...(/Type +httpd|MCPProviderAssertion |MCPProviderClientKey |AuthMethod +none/.test(text) ? [] : [['MCPProviderClientSecret', 'file:/etc/mcp/provider-secret']])])}\n${text}`;
            }
            if (section.startsWith('<MCPOAuthClient')) text = `${lacking(text, [['MCPOAuthClientRedirectURI', 'https://reports.example.com/callback']])}\n${text}`;
            text = `${type ? '<MCPProvider example>' : section}\n${text}\n</${section.match(/^<(\w+)/)[1]}>`;
        }
        const base = lacking(text, [['MCPKeyFile', '/etc/mcp/keys'], ['MCPStore', 'shmcb']]);
        const site = lacking(text, [['MCPIssuer', 'https://mcp.example.com'],
            ['MCPResource', 'https://mcp.example.com/mcp scopes="snippets"'], ['MCPOAuth', 'On']]);
        const provider = has(text, 'MCPProvider') ? '' : '<MCPProvider corp>\nMCPProviderIssuer https://login.example.com\nMCPProviderClientID mcp-gateway\nMCPProviderClientSecret file:/etc/mcp/provider-secret\n</MCPProvider>';
        return `${base}\n${has(text, 'VirtualHost') ? '' : `${site}\n${provider}`}\n${text}`;
    }

    async #try(block, index) {
        const file = join(this.host.dir, `fragment-${index}.conf`);
        const whole = `${/<VirtualHost[^]*MCPOAuth +On/.test(block.text) ? DISTRIBUTION : ''}\n${this.whole(block)}`;
        this.host.ensure(whole);
        await writeFile(file, `${this.host.skeleton({ ours: true, all: block.text.split('\n').some((line) => !USUAL.test(line)) })}\n${whole}\n`);
        try {
            const { stdout } = await promisify(execFile)(this.host.httpd, ['-f', file, '-t', '-D', 'MCP_LINT'], { timeout: 60_000, env: { ...process.env, ...PLATFORM } });
            const found = stdout.split('\n').filter((line) => /^MCPLINT\t(error|warning)\t/.test(line));
            if (!/^MCPLINT\tdone\t/m.test(stdout)) found.push('mcpctl check-config did not look');
            return found.length === 0 ? null : `${block.where}: mcpctl check-config complains\n${found.join('\n')}\n${whole.replace(/^/mg, '    ')}`;
        } catch (error) {
            return `${block.where}: ${(error.stdout + error.stderr).replace(/^AH00112.*$/mg, '').trim()}\n${whole.replace(/^/mg, '    ')}`;
        }
    }

    /** Try each; what failed, in words. */
    async check(blocks) {
        const failed = [];
        const queue = blocks.entries();
        await Promise.all(cpus().map(async () => {
            for (const [index, block] of queue) {
                const wrong = await this.#try(block, index);
                if (wrong) failed.push(wrong);
            }
        }));
        return failed;
    }
}
