// SPDX-License-Identifier: Apache-2.0
// Who may sign in at the demo identity provider. The passwords are no secret: never use this provider for anything real.

export const TENANT = '8a6f1c3e-52d4-4b7e-9c1f-3d0a7be6f211';

const GROUP = {
    engineering: '3c1d6a0e-7f5b-4c9a-8e2d-1b4f6a9c0d35',
    writers: '9b2e4d7f-0a6c-4f1e-b3d8-5c7a1e9f2b46',
    guests: 'e5f7a9b1-2c4d-4e6f-8a0b-7d9c1e3f5a68',
};

/** Claims as Entra ID words them: oid and tid name the person, sub is of use to one client only. */
export const ACCOUNTS = [
    {
        login: 'alice',
        password: 'wonderland-7',
        sub: 'J4pXo2vCw8rQ0mYk1sTzB6nHd3LfGa5e',
        oid: '0b6c7a52-19f4-4c1b-8d57-6a3e9f20c4d1',
        name: 'Alice Liddell',
        email: 'alice@example.com',
        roles: ['Snippets.Admin', 'Snippets.User'],
        groups: [GROUP.engineering, GROUP.writers],
    },
    {
        login: 'bob',
        password: 'builder-12',
        sub: 'q7ZrU9cEw1hNf4JxK0bMt5yVs2DgLpA8',
        oid: '5d8e1f63-4a7b-4e92-b0c6-2f9d7a18e5b4',
        name: 'Bob Baumeister',
        email: 'bob@example.com',
        roles: ['Snippets.User'],
        groups: [GROUP.engineering],
    },
    {
        login: 'carol',
        password: 'christmas-24',
        sub: 'Tn3GkY6wPz0vQe8RaB1uXj5HsMf9LdC2',
        oid: 'a1f4c7e9-83b2-4d56-9e0a-7c5b3d1f8264',
        name: 'Carol Ødegård',
        email: 'carol@example.com',
        roles: [],
        groups: [GROUP.guests],
    },
];

/** The claims of @p account, all scopes together; the provider picks those of the granted scopes. */
export function claimsOf(account) {
    return {
        sub: account.sub,
        oid: account.oid,
        tid: TENANT,
        ver: '2.0',
        name: account.name,
        preferred_username: account.email,
        email: account.email,
        roles: account.roles,
        groups: account.groups,
    };
}
