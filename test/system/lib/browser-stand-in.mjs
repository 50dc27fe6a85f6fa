// SPDX-License-Identifier: Apache-2.0
// A program for BROWSER=: acts as the person on the URL that an application opens, and delivers the answer to it.
//
//   node browser-stand-in.mjs NAME PASSWORD URL

import { Person } from './person.mjs';

const [name, password, url] = process.argv.slice(2);
await new Person({ name, password }).visit(url, { deliver: true });
