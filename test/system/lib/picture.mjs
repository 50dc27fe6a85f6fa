// SPDX-License-Identifier: Apache-2.0
// Pictures for tests: PNG by hand, so that each of its parts can be wrong.

import { crc32, deflateSync } from 'node:zlib';

function chunk(type, data) {
    const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
    const out = Buffer.alloc(body.length + 8);
    out.writeUInt32BE(data.length, 0);
    body.copy(out, 4);
    out.writeUInt32BE(crc32(body), body.length + 4);
    return out;
}

/** A WebP file of one chunk alone, from one that has it among others. */
export function plainWebp(bytes) {
    for (let at = 12; at + 8 <= bytes.length;) {
        const size = bytes.readUInt32LE(at + 4), whole = 8 + size + (size & 1);
        if (/^VP8[ L]$/.test(bytes.toString('latin1', at, at + 4))) {
            const out = Buffer.concat([Buffer.from('RIFF\0\0\0\0WEBP', 'latin1'), bytes.subarray(at, at + whole)]);
            out.writeUInt32LE(out.length - 8, 4);
            return out;
        }
        at += whole;
    }
    throw new Error('no picture in it');
}

/**
 * A PNG.
 * @param color  [red, green, blue], or a function of x and y that gives it
 * @param says  width and height that its header tells, when they are not the real ones
 */
export function png(width = 64, height = width, { color = [122, 31, 143], says = [width, height], moves = false, padding = 0 } = {}) {
    const header = Buffer.alloc(13);
    header.writeUInt32BE(says[0], 0);
    header.writeUInt32BE(says[1], 4);
    header.set([8, 2], 8);
    const at = typeof color === 'function' ? color : () => color;
    const rows = [];
    for (let y = 0; y < height; y++) {
        const row = Buffer.alloc(1 + 3 * width);
        for (let x = 0; x < width; x++) row.set(at(x, y), 1 + 3 * x);
        rows.push(row);
    }
    return Buffer.concat([
        Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'), chunk('IHDR', header),
        ...(moves ? [chunk('acTL', Buffer.from([0, 0, 0, 2, 0, 0, 0, 0]))] : []),
        ...(padding ? [chunk('tEXt', Buffer.concat([Buffer.from('x\0', 'latin1'), Buffer.alloc(padding, 'x')]))] : []),
        chunk('IDAT', deflateSync(Buffer.concat(rows))), chunk('IEND', Buffer.alloc(0)),
    ]);
}
