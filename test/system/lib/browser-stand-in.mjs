// SPDX-License-Identifier: Apache-2.0
// A program for BROWSER=: acts as the person on the URL that an application opens, and delivers the answer to it.
//
//   node browser-stand-in.mjs NAME PASSWORD URL

import { Person } from './person.mjs';
import { until } from './proc.mjs';

const [name, password, url] = process.argv.slice(2);
const person = new Person({ name, password });
const answer = await person.visit(url);
// people are slower than we are: some applications listen only after they have opened the browser
await until(() => person.go(answer).then(() => true, () => false), 'the application listens');
