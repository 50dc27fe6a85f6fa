// SPDX-License-Identifier: Apache-2.0
// The provider's pages: plain HTML, no script, everything that comes from outside escaped.

const escape = (text) => String(text).replace(/[&<>"']/g, (c) => `&#${c.charCodeAt(0)};`);

const STYLE = `
    body { font: 1rem/1.5 system-ui, sans-serif; color: #1b1f24; background: #f3f4f6; margin: 0 }
    main { max-width: 24rem; margin: 10vh auto; padding: 2rem; background: #fff; border: 1px solid #c9ced6 }
    h1 { font-size: 1.4rem; margin-top: 0 }
    label { display: block; margin-top: 1rem }
    input { display: block; box-sizing: border-box; width: 100%; padding: .5rem; font: inherit; border: 1px solid #6b7280 }
    button { margin: 1.5rem .5rem 0 0; padding: .5rem 1.2rem; font: inherit; border: 1px solid #1d4ed8; cursor: pointer }
    .main { background: #1d4ed8; color: #fff }
    .other { background: #fff; color: #1d4ed8 }
    .error { color: #9f1239; font-weight: 600 }`;

function page(title, body) {
    return `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escape(title)}</title>
<style>${STYLE}
</style>
</head>
<body>
<main>
<h1>${escape(title)}</h1>
${body}
</main>
</body>
</html>
`;
}

export function signInPage({ uid, client, hint = '', error }) {
    return page('Sign in', `<p>Demo identity provider, for ${escape(client)}.</p>
${error ? `<p class="error" role="alert">${escape(error)}</p>` : ''}
<form method="post" action="/signin/${encodeURIComponent(uid)}">
<label for="login">User name</label>
<input id="login" name="login" value="${escape(hint)}" autocomplete="username" autocapitalize="none" required ${hint ? '' : 'autofocus'}>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required ${hint ? 'autofocus' : ''}>
<button class="main" name="action" value="signin">Sign in</button>
<button class="other" name="action" value="cancel" formnovalidate>Cancel</button>
</form>`);
}

export const errorPage = (error, description) => page('Sorry', `<p class="error" role="alert">${escape(error)}</p>
<p>${escape(description ?? '')}</p>`);

// No form-action: Chromium would hold it against every redirect that follows the form, up to the client's own.
export const PAGE_HEADERS = {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'",
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
};
