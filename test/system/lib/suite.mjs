// SPDX-License-Identifier: Apache-2.0
// A suite around one world: its subtests run one after the other, and the suite fails when httpd's logs say more than
// was announced.

import test from 'node:test';
import { openWorld } from './world.mjs';

/**
 * @param define  async (it, world): `it(name, fn)` adds and awaits a subtest
 */
export function suite(name, options, define) {
    test(name, { timeout: 900_000 }, async (t) => {
        const world = await openWorld(t, options);
        await define((title, fn) => t.test(title, { timeout: 120_000 }, fn), world);
    });
}
