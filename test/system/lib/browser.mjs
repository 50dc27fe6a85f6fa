// SPDX-License-Identifier: Apache-2.0
// A real Chromium with an empty profile of its own.

import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'];

/** {context, page, complaints: what the console says, close()}; without JavaScript unless asked for. */
export async function openBrowser({ javaScriptEnabled = false, ...more } = {}) {
    const profile = await mkdtemp(join(tmpdir(), 'mcp-chromium-'));
    const context = await chromium.launchPersistentContext(profile, { executablePath: CHROMIUM, args: FLAGS, headless: true, javaScriptEnabled, ...more });
    const page = context.pages()[0] ?? await context.newPage();
    const complaints = [];
    context.on('console', (message) => { if (['error', 'warning'].includes(message.type())) complaints.push(message.text()); });
    const close = async () => {
        await context.close();
        await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    };
    return { context, page, complaints, close };
}
