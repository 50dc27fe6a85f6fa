// SPDX-License-Identifier: Apache-2.0
// Limits that two gateways count together in memcached and in redis: exactly, whichever of them is called, and what holds
// while that store is away.

import assert from 'node:assert/strict';
import { connect } from 'node:net';
import { request } from './lib/http.mjs';
import { Httpd } from './lib/httpd.mjs';
import { OAuthClient } from './lib/oauth.mjs';
import { until } from './lib/proc.mjs';
import { startRelay } from './lib/relay.mjs';
import { startStore } from './lib/stores.mjs';
import { suite } from './lib/suite.mjs';
import { defaultSite } from './lib/world.mjs';

const bearer = (token) => ({ Authorization: `Bearer ${token}` });
