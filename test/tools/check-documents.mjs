#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Are the documents whole? Links and anchors lead somewhere, JSON parses, each block has a language, log ids, directives and
// metrics that are named exist in the code, README.md leads to each document, docs/security.md answers each threat and docs/
// migrating-from-api-management.md each policy. What can be run is run by test/system/docs.test.mjs.

import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { DOCUMENTS, MAX_EXEMPTIONS, TOP, links, readDocument } from '../lib/documents.mjs';

process.chdir(TOP);
const problems = [];
const documents = new Map(DOCUMENTS.map((name) => [name, readDocument(name)]));
const sources = globSync(['common/*.[ch]', 'mod_mcp_*/**/*.[ch]', 'mcpctl/*.[ch]']).map((name) => readFileSync(name, 'utf8')).join('\n');

// ---- links -------------------------------------------------------------------------------------------------------------

const led = new Set();
for (const document of documents.values()) {
    for (const { target, where } of links(document)) {
        const [path, anchor] = target.split('#');
        const file = path === '' ? document.name : normalize(join(dirname(document.name), path));
        if (document.name === 'README.md') led.add(file);
        if (!existsSync(file)) problems.push(`${where}: there is no ${file}`);
        else if (anchor !== undefined && !file.endsWith('.md')) problems.push(`${where}: an anchor into ${file}`);
        else if (anchor !== undefined) {
            const there = documents.get(file) ?? readDocument(file);
            if (!there.headings.some(({ slug }) => slug === anchor)) problems.push(`${where}: ${file} has no heading #${anchor}`);
        }
    }
}
for (const name of DOCUMENTS) {
    // the relay's notes are for packagers, and its document leads there
    if (name !== 'README.md' && !led.has(name) && name !== 'docs/streams-internals.md') problems.push(`README.md does not lead to ${name}`);
}

// ---- blocks ------------------------------------------------------------------------------------------------------------

const LANGUAGES = new Set(['apache', 'sh', 'console', 'json', 'yaml', 'nft', 'text', 'html']);
const exempted = [];
for (const { blocks } of documents.values()) {
    for (const { where, language, text, markers } of blocks) {
        if (!LANGUAGES.has(language)) problems.push(`${where}: a block of language "${language}"; there are ${[...LANGUAGES].join(', ')}`);
        if (language === 'json') {
            try { JSON.parse(text); } catch (error) { problems.push(`${where}: ${error.message}`); }
        }
        if (language === 'text' && /^\s*(\$ |#? ?(curl|apachectl|sudo) |mcpctl [a-z]|<?MCP[A-Z])/m.test(text)) problems.push(`${where}: commands or configuration that nobody runs: say apache, sh or console`);
        if (markers['run by'] && !existsSync(markers['run by'])) problems.push(`${where}: there is no ${markers['run by']}`);
        if (markers['not run']) exempted.push(`${where}: ${markers['not run']}`);
    }
}
if (exempted.length > MAX_EXEMPTIONS) problems.push(`${exempted.length} blocks are exempted, ${MAX_EXEMPTIONS} may be`);

// ---- names -------------------------------------------------------------------------------------------------------------

const words = new Set(sources.match(/\bmcp_\w+|\bMCP\w+/g));
for (const [, alert] of readFileSync(join(TOP, 'monitoring/alerts.yml'), 'utf8').matchAll(/- alert: (\w+)/g)) words.add(alert);
const ids = new Set([...sources.matchAll(/MCP_LOG\((\d{4})\)/g)].map(([, id]) => `MCP${id}`));
const directives = new Set([...sources.replace(/\\/g, '').matchAll(/AP_INIT_[A-Z0-9_]+\(\s*"<?(MCP[A-Za-z]+)"/g)].map(([, name]) => name));
if (ids.size < 50 || directives.size < 30) problems.push(`${ids.size} log ids and ${directives.size} directives in the sources: is this check out of date?`);
/** Names of other products that look like ours. */
const FOREIGN = new Set(['MCPServerName', 'mcp_extension']);
for (const { name, lines } of documents.values()) {
    lines.forEach((line, index) => {
        const where = `${name}:${index + 1}`;
        for (const [id] of line.matchAll(/\bMCP\d{4}\b/g)) if (!ids.has(id)) problems.push(`${where}: nothing logs ${id}`);
        for (const [word] of line.matchAll(/\bMCP[A-Z][A-Za-z]*[a-z][A-Za-z]*\b/g)) {
            // what is not a directive is a name that the code has, such as a line of mod_status
            if (!directives.has(word) && !FOREIGN.has(word) && !words.has(word)) problems.push(`${where}: there is no ${word}`);
        }
        for (const [, word] of line.matchAll(/`(mcp_[a-z_]+)[`{(]/g)) if (!FOREIGN.has(word) && !words.has(word)) problems.push(`${where}: there is no ${word}`);
    });
}

// ---- answers to lists ----------------------------------------------------------------------------------------------------

/** Rows of the tables of a document whose first cell is an id: id => cells. */
function rows(name, id) {
    const found = new Map();
    for (const line of documents.get(name)?.lines ?? []) {
        const cells = line.split(/(?<!\\)\|/).slice(1, -1).map((cell) => cell.trim());
        for (const one of cells[0]?.match(id) ?? []) {
            if (found.has(one)) problems.push(`${name}: ${one} is there twice`);
            found.set(one, cells);
        }
    }
    if (found.size === 0) problems.push(`${name} has no table of that kind`);
    return found;
}

const threats = readFileSync('test/tools/requirements.txt', 'utf8').split('\n').filter((line) => /^T\d/.test(line)).map((line) => line.split('|').map((part) => part.trim()));
const answers = rows('docs/security.md', /^T\d+$/g);
const proofs = rows('docs/conformance.md', /^T\d+$/g);
for (const [threat, , reason] of threats) {
    const [, , , where = '', test = ''] = answers.get(threat) ?? [];
    if (!answers.has(threat)) problems.push(`docs/security.md does not answer ${threat}`);
    else if (links({ name: 'docs/security.md', prose: [{ line: where, number: 0 }] }).length === 0 && !reason) problems.push(`docs/security.md: ${threat} does not say where in the code`);
    const named = test.split(/[,\s]+/).filter((word) => word !== '' && word !== '–');
    if (named.length === 0 && !reason) problems.push(`docs/security.md: ${threat} names no test`);
    for (const one of named) {
        if (!(proofs.get(threat)?.[2] ?? '').split('<br>').some((proof) => proof.startsWith(`${one}: `))) problems.push(`docs/security.md: ${threat} names the test "${one}", which docs/conformance.md does not have for it`);
    }
}
for (const threat of answers.keys()) if (!threats.some(([id]) => id === threat)) problems.push(`docs/security.md: nobody knows ${threat}`);

// pages that people see are called what they are called
const texts = new Set(Object.values(JSON.parse(readFileSync('mod_mcp_oauth/messages/en.json', 'utf8'))));
const person = documents.get('docs/troubleshooting.md').text.split(/^## /m).find((part) => part.startsWith('What a person sees'));
for (const [, title] of person.matchAll(/^\| "([^"]+)"/gm)) if (!texts.has(title)) problems.push(`docs/troubleshooting.md: no page says "${title}"`);

const policies = rows('docs/migrating-from-api-management.md', /\bG\d+\b/g);
for (let n = 1; n <= 26; n++) if (!policies.has(`G${n}`)) problems.push(`docs/migrating-from-api-management.md does not answer G${n}`);

for (const problem of problems) console.error(problem);
console.log(`${documents.size} documents; ${exempted.length} blocks are not run:${exempted.map((one) => `\n  ${one}`).join('')}`);
process.exit(problems.length > 0 ? 1 : 0);
