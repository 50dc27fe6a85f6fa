// SPDX-License-Identifier: Apache-2.0
// Pictures of every page, from a real gateway in Chromium: light, dark, narrow, right to left, in Chinese and Japanese, in
// forced colours, and as printed. Look at them after each change of pages/ or messages/.
//
//   node test/tools/screenshots.mjs [DIRECTORY]        into DIRECTORY (default: build/screenshots)
//   node test/tools/screenshots.mjs --docs             those of docs/consent.md, into docs/images

import { existsSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { openPages, VIEWS } from '../system/lib/pages.mjs';

const documents = process.argv[2] === '--docs';
const directory = documents ? 'docs/images' : process.argv[2] ?? 'build/screenshots';
/** What docs/consent.md shows. */
const SHOWN = ['consent-loopback-light', 'consent-web-dark', 'consent-web-rtl-dark-narrow', 'unknown-client-german', 'chooser-light', 'consent-logo-light', 'connections-japanese-narrow'];
/** Without it Chinese and Japanese would be boxes. */
const FONT = '/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc';
const ends = [];
const looks = {
    light: {},
    dark: { colorScheme: 'dark' },
    narrow: { viewport: { width: 320, height: 640 } },
    german: { locale: 'de' },
    rtl: { locale: 'ar' },
    'rtl-dark-narrow': { locale: 'ar', colorScheme: 'dark', viewport: { width: 320, height: 640 } },
    chinese: { locale: 'zh' },
    'japanese-narrow': { locale: 'ja', viewport: { width: 320, height: 640 } },
    'forced-colors': { forcedColors: 'active' },
    print: { media: 'print' },
};

if (!existsSync(FONT)) {
    console.error('no font for Chinese and Japanese: apt-get install fonts-noto-cjk, or: MCP_TOP=$PWD bash -c ". test/lib/setup.sh; mcp_packages screenshots"');
    process.exit(1);
}
await mkdir(directory, { recursive: true });
try {
    const pages = await openPages({ after: (end) => ends.push(end) });
    for (const [look, options] of Object.entries(looks)) {
        const { media, ...rest } = options;
        const { page } = await pages.browser({ viewport: { width: 640, height: 320 }, ...rest });
        for (const view of VIEWS) {
            if (documents && !SHOWN.includes(`${view}-${look}`)) continue;
            await pages.open(page, view);
            await page.emulateMedia({ media: media ?? null }); // in print there are no buttons, which lead to the page
            await page.screenshot({ path: join(directory, `${view}-${look}.png`), fullPage: true });
            await page.emulateMedia({ media: null });
        }
    }
} finally {
    for (const end of ends.reverse()) await end();
}
console.log(directory);
process.exit(0);
