#!/usr/bin/env node
// SPDX-License-Identifier: Apache-2.0
// Which test proves which requirement: docs/conformance.md, made from requirements.txt and the ids in the titles of tests.
//
//   node test/tools/conformance.mjs            fails when the document is out of date, or a requirement has neither test nor reason
//   node test/tools/conformance.mjs --write    writes it

import { globSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

process.chdir(resolve(dirname(fileURLToPath(import.meta.url)), '../..'));
const DOCUMENT = 'docs/conformance.md';
const ID = /\b(?:AS|RS|CP|TR)-\d+\b|\b[TGW]\d+\b/g;
const RANGE = /\b(?:(AS|RS|CP|TR)-|([TGW]))(\d+)(?:\.\.| to )(?:\1|\2)-?(\d+)\b/g;
const problems = [];

/** The ids that a title names, ranges ("AS-21 to AS-24") included. */
function idsOf(title) {
    const ids = new Set(title.match(ID));
    for (const [, prefix, t, from, to] of title.matchAll(RANGE)) {
        for (let n = Number(from); n <= Number(to); n++) ids.add(prefix ? `${prefix}-${n}` : `${t}${n}`);
    }
    return ids;
}

const tests = new Map();
function add(file, title) {
    for (const id of idsOf(title)) {
        if (!tests.has(id)) tests.set(id, []);
        tests.get(id).push(`${file}: ${title.replace(/\s*\((?=[^)]*\b(?:(?:AS|RS|CP|TR)-\d|[TGW]\d))[^)]*\)/g, '').replace(/\\'/g, "'")}`);
    }
}

for (const file of globSync('test/system/*.test.mjs').sort()) {
    const text = readFileSync(file, 'utf8');
    for (const [, quote, title] of text.matchAll(/\b(?:it|test|suite|t\.test|u\.test)\(\s*(['`])((?:\\.|(?!\1)[^\\])*)\1/g)) {
        if (quote) add(basename(file, '.test.mjs'), title);
    }
    // and the rows of tables of cases, which are told apart by a name with the ids in parentheses
    for (const [, title] of text.matchAll(/'([^'\n]*\((?:(?:AS|RS|CP|TR)-\d+|[TGW]\d+)[^'\n]*\))'(?=: |, [[{])/g)) add(basename(file, '.test.mjs'), title);
}
for (const file of globSync('test/unit/*.c').sort()) {
    const text = readFileSync(file, 'utf8');
    for (const [, comment, name] of text.matchAll(/\/\*((?:(?!\*\/)[\s\S])*)\*\/\s*START_TEST\((\w+)\)/g)) {
        const ids = [...idsOf(comment)];
        if (ids.length > 0) add('unit', `${basename(file, '.c')}/${name} (${ids.join(', ')})`);
    }
}

const sections = { AS: 'Authorization server', RS: 'Resource server', CP: 'Consent, and proxying to an identity provider', TR: 'Transports', T: 'Threats', W: 'Weaknesses of the reference gateway that are not repeated', G: "The reference gateway's policies" };
const rows = readFileSync('test/tools/requirements.txt', 'utf8').split('\n').filter((line) => line && !line.startsWith('#'))
    .map((line) => line.split('|').map((part) => part.trim()));
const known = new Set(rows.map(([id]) => id));
for (const id of tests.keys()) if (!known.has(id)) problems.push(`${id} is named by "${tests.get(id)[0]}" and not in requirements.txt`);

let text = `# Conformance

Which test shows which requirement. \`node test/tools/conformance.mjs --write\` makes this page from the titles of the tests and
from \`test/tools/requirements.txt\`; the suite fails when it is out of date, or when a requirement has neither a test nor a
reason. The official conformance suite runs beside it: \`./test/run conformance\`.
`;
let section = '';
for (const [id, words, reason] of rows) {
    const prefix = id.replace(/-?\d+$/, '');
    if (prefix !== section) {
        section = prefix;
        text += `\n## ${sections[prefix]}\n\n| id | requirement | test |\n|---|---|---|\n`;
    }
    const proofs = [...new Set(tests.get(id) ?? [])];
    if (proofs.length === 0 && !reason) problems.push(`${id} (${words}) has neither a test nor a reason`);
    const cell = [...proofs.map((proof) => proof.replaceAll('|', '\\|').replace(/\$\{[^}]*\}+/g, '…')), ...(reason ? [`*${reason}*`] : [])];
    text += `| ${id} | ${words} | ${cell.join('<br>')} |\n`;
}

if (process.argv.includes('--write')) writeFileSync(DOCUMENT, text);
else {
    let current = '';
    try { current = readFileSync(DOCUMENT, 'utf8'); } catch { /* then it differs */ }
    if (current !== text) problems.push(`${DOCUMENT} is out of date: node test/tools/conformance.mjs --write`);
}
for (const problem of problems) console.error(problem);
console.log(`${rows.length} requirements, ${rows.filter(([id]) => tests.has(id)).length} with tests`);
process.exit(problems.length > 0 ? 1 : 0);
