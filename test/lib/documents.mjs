// SPDX-License-Identifier: Apache-2.0
// The documents, taken apart: fenced blocks with their markers, headings, links. What the checks of documents share.
//
// A block may have markers, HTML comments on the lines above it that no reader sees:
//
//   <!-- within: <Location /mcp> -->     apache: the section that the fragment stands in, where its directives do not tell
//   <!-- run by: FILE -->                sh: the part of the suite that runs these very lines
//   <!-- not run: REASON -->             exempted; how many are is printed, and there is a limit
//
// A document whose first paragraphs say that the suite runs it (`FILE`) needs no `run by` for its commands.

import { globSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

export const TOP = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
export const DOCUMENTS = ['README.md', ...globSync('docs/*.md', { cwd: TOP }).sort()];
/** More exemptions than this are a habit. */
export const MAX_EXEMPTIONS = 14;

const MARKER = /^<!-- (within|run by|not run): (.+?) -->$/;

/** {name, text, lines, blocks: [{where, language, text, markers, heading}], headings, prose}: prose is text without blocks. */
export function readDocument(name) {
    const text = readFileSync(join(TOP, name), 'utf8');
    const lines = text.split('\n');
    const blocks = [];
    const headings = [];
    const prose = [];
    let block = null;
    let markers = {};
    lines.forEach((line, index) => {
        const fence = line.match(/^( *)(```+)(.*)$/);
        if (fence && !block) {
            block = { document: name, where: `${name}:${index + 1}`, language: fence[3].trim(), text: '', markers, heading: headings.at(-1)?.text ?? '', fence: fence[2] };
        } else if (fence && fence[2] === block.fence && fence[3] === '') {
            blocks.push(block);
            block = null;
            markers = {};
        } else if (block) {
            block.text += `${line}\n`;
        } else {
            prose.push({ line, number: index + 1 });
            const marker = line.match(MARKER);
            const heading = line.match(/^#{1,6} +(.+?) *$/);
            if (marker) markers[marker[1]] = marker[2];
            else if (line.trim() !== '') markers = {};
            if (heading) headings.push({ text: heading[1], slug: slug(heading[1]) });
        }
    });
    const whole = text.split(/^## /m)[0].match(/\bsuite\b[^`]*\(`(test\/[^`]+)`\)/)?.[1];
    for (const one of blocks) if (whole && /^(sh|console)$/.test(one.language) && !one.markers['not run']) one.markers['run by'] ??= whole;
    if (block) throw new Error(`${block.where}: this block does not end`);
    return { name, text, lines, blocks, headings, prose };
}

/** The anchor that GitHub gives a heading. */
export function slug(heading) {
    return heading.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '').toLowerCase().replace(/[^\p{L}\p{N}\s_-]/gu, '').trim().replace(/\s/g, '-');
}

/** Links of a document that lead to a file of ours: [{target, where}]. */
export function links(document) {
    return document.prose.flatMap(({ line, number }) => [...line.replace(/`[^`]*`/g, '').matchAll(/\]\(([^)\s]+)\)/g)]
        .map(([, target]) => ({ target, where: `${document.name}:${number}` }))
        .filter(({ target }) => !/^[a-z][a-z0-9+.-]*:/i.test(target)));
}

/** Where each directive may stand, by docs/directives.md: name => text of `Context:`. */
export function contexts() {
    const found = new Map();
    for (const part of readFileSync(join(TOP, 'docs/directives.md'), 'utf8').split(/^### /m).slice(1)) {
        const context = part.match(/Context:\s+([\s\S]*?)\n\n/);
        if (context) found.set(part.match(/^\S+/)[0], context[1].replace(/\s+/g, ' '));
    }
    return found;
}
