// SPDX-License-Identifier: Apache-2.0
// mod_mcp_oauth/page_builtin.c holds what lies in mod_mcp_oauth/pages/ and mod_mcp_oauth/messages/, so that the module
// builds without a generator. Checks that it is current and the messages are whole; with --write, makes it anew.

import { readFile, readdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const OAUTH = new URL('../../mod_mcp_oauth/', import.meta.url);
const OUTPUT = new URL('page_builtin.c', OAUTH);
const ENGLISH = 'en';
const PAGES = ['frame.html', 'consent.html', 'notice.html', 'connections.html', 'chooser.html', 'style.css'];
const problems = [];

const quote = (text) => `"${text.replace(/["\\]/g, '\\$&').replace(/\?(?=\?)/g, '?""').replace(/\n/g, '\\n')}"`;
/** One C literal a line of the file. */
const lines = (text) => text.split(/(?<=\n)/).map((line) => `    ${quote(line)}`).join('\n');
const placeholders = (text) => [...new Set([...text.matchAll(/\{([a-z_]+)\}/g)].map(([, name]) => name))].sort().join(' ');

/** A style sheet as it is sent: without indentation, comments and most line ends. */
const squeeze = (css) => css.replace(/\/\*[\s\S]*?\*\//g, '').replace(/\s*\n\s*/g, '\n').replace(/\s*([{};,])\s*/g, '$1')
    .replace(/: /g, ':').replace(/;}/g, '}').trim();

const names = (await readdir(new URL('messages/', OAUTH))).filter((name) => name.endsWith('.json')).map((name) => name.slice(0, -5));
names.sort((a, b) => (b === ENGLISH) - (a === ENGLISH) || a.localeCompare(b));
const messages = new Map();
for (const name of names) messages.set(name, JSON.parse(await readFile(new URL(`messages/${name}.json`, OAUTH), 'utf8')));

const english = messages.get(ENGLISH);
const keys = Object.keys(english);
for (const [name, texts] of messages) {
    for (const key of keys) {
        if (texts[key] === undefined) problems.push(`messages/${name}.json lacks "${key}"`);
        else if (placeholders(texts[key]) !== placeholders(english[key])) problems.push(`messages/${name}.json: "${key}" has other placeholders than English`);
    }
    for (const key of Object.keys(texts)) if (english[key] === undefined) problems.push(`messages/${name}.json: English has no "${key}"`);
}

let output = `/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in pages and messages. Made by test/tools/pages.mjs --write from pages/ and messages/: edit those. */

#include "page_builtin.h"

#include <stddef.h>

/* clang-format off */

`;
for (const page of PAGES) {
    const text = await readFile(new URL(`pages/${page}`, OAUTH), 'utf8');
    output += `static const char ${page.replace('.', '_')}[] =\n${lines(page.endsWith('.css') ? squeeze(text) : text)};\n\n`;
}
output += `const mcp_builtin_page_t mcp_builtin_pages[] = {\n${PAGES.map((page) => `    { "${page}", ${page.replace('.', '_')} },\n`).join('')}    { NULL, NULL }\n};\n\n`;
output += `const char *const mcp_builtin_keys[] = {\n${keys.map((key) => `    "${key}",\n`).join('')}    NULL\n};\n\n`;
for (const [name, texts] of messages) {
    output += `static const char *const ${name.toLowerCase().replaceAll('-', '_')}[] = {\n${keys.map((key) => `    ${texts[key] === undefined ? 'NULL' : quote(texts[key])}, /* ${key} */\n`).join('')}};\n\n`;
}
output += `const mcp_builtin_language_t mcp_builtin_languages[] = {\n${names.map((name) => `    { "${name}", ${name.toLowerCase().replaceAll('-', '_')}, ${Number(messages.get(name).direction === 'rtl')} },\n`).join('')}    { NULL, NULL, 0 }\n};\n`;

if (process.argv.includes('--write')) await writeFile(OUTPUT, output);
else if (await readFile(OUTPUT, 'utf8').catch(() => '') !== output) problems.push('page_builtin.c is not what pages/ and messages/ give: run node test/tools/pages.mjs --write');
for (const problem of problems) console.error(problem);
console.log(`${fileURLToPath(OUTPUT)}: ${PAGES.length} pages, ${keys.length} messages, ${names.length} languages`);
process.exitCode = Number(problems.length > 0);
