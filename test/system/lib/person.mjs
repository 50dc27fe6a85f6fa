// SPDX-License-Identifier: Apache-2.0
// A person without a browser: a cookie jar, redirects, and forms that are really filled in and posted.

import { request, headerLines } from './http.mjs';

const ENTITIES = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

export function unescapeHtml(text) {
    return text.replace(/&(?:#(\d+)|#x([0-9a-f]+)|([a-z]+));/gi, (all, decimal, hex, name) => {
        if (decimal) return String.fromCodePoint(Number(decimal));
        if (hex) return String.fromCodePoint(parseInt(hex, 16));
        return ENTITIES[name.toLowerCase()] ?? all;
    });
}

function attributes(text) {
    const result = {};
    for (const [, name, double, single, bare] of text.matchAll(/([^\s=/>"']+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
        result[name.toLowerCase()] = unescapeHtml(double ?? single ?? bare ?? '');
    }
    return result;
}

/** The forms of a page: {method, action, fields: [{name, value, type}], buttons: [{name, value, text}]}. */
export function forms(html) {
    const found = [];
    for (const [, head, inner] of html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)) {
        const form = attributes(head);
        const fields = [];
        const buttons = [];
        for (const [, tag, attrs, text] of inner.matchAll(/<(input|button|textarea)\b((?:"[^"]*"|'[^']*'|[^>"'])*)>(?:([^<]*)<\/\1>)?/gi)) {
            const a = attributes(attrs);
            const type = (a.type ?? (tag.toLowerCase() === 'button' ? 'submit' : 'text')).toLowerCase();
            if (type === 'submit' || type === 'image') {
                buttons.push({ name: a.name, value: a.value ?? '', text: unescapeHtml(text ?? a.value ?? '').trim() });
            } else if ((type !== 'checkbox' && type !== 'radio') || 'checked' in a) {
                fields.push({ name: a.name, value: a.value ?? unescapeHtml(text ?? ''), type });
            }
        }
        found.push({ method: (form.method ?? 'get').toUpperCase(), action: form.action ?? '', fields, buttons });
    }
    return found;
}

/** Cookies by origin's host and port, path ignored (all of ours are Path=/), secure not enforced: loopback. */
export class CookieJar {
    #jar = new Map();

    take(url, response) {
        const host = new URL(url).host;
        const cookies = this.#jar.get(host) ?? new Map();
        for (const line of headerLines(response, 'set-cookie')) {
            const [pair, ...rest] = line.split(';');
            const [name, ...value] = pair.split('=');
            const attrs = Object.fromEntries(rest.map((item) => {
                const [key, ...more] = item.trim().split('=');
                return [key.toLowerCase(), more.join('=')];
            }));
            const gone = attrs['max-age'] === '0' || (attrs.expires && Date.parse(attrs.expires) < Date.now());
            if (gone) cookies.delete(name.trim());
            else cookies.set(name.trim(), value.join('='));
        }
        this.#jar.set(host, cookies);
    }

    header(url) {
        const cookies = this.#jar.get(new URL(url).host);
        return cookies?.size ? [...cookies].map(([name, value]) => `${name}=${value}`).join('; ') : undefined;
    }

    names(url) { return [...(this.#jar.get(new URL(url).host)?.keys() ?? [])]; }
    get(url, name) { return this.#jar.get(new URL(url).host)?.get(name); }
    set(url, name, value) {
        const host = new URL(url).host;
        if (!this.#jar.has(host)) this.#jar.set(host, new Map());
        this.#jar.get(host).set(name, value);
    }
    delete(url, name) { this.#jar.get(new URL(url).host)?.delete(name); }
    forget(url) { this.#jar.delete(new URL(url).host); }
}

/** Where providers send people back to: an answer there is not the client's. */
const OUR_CALLBACK = /\/oauth-callback(\/[\w-]+)?$/;

const ALLOW = /^(allow|approve|accept|authorize|yes)\b/i;
const DENY = /^(deny|cancel|refuse|reject|no)\b/i;

export class Person {
    /** @param account {name, password}: what is typed into a sign-in form */
    constructor(account) {
        this.account = account;
        this.jar = new CookieJar();
        this.trace = [];
    }

    /** One request with this person's cookies, as a browser's navigation would send it; redirects are not followed. */
    async go(url, options = {}) {
        const headers = {
            Accept: 'text/html,application/xhtml+xml,*/*;q=0.8', 'User-Agent': 'Mozilla/5.0 (person)',
            'Sec-Fetch-Mode': 'navigate', 'Sec-Fetch-Dest': 'document', 'Sec-Fetch-Site': 'none',
            ...options.headers,
        };
        const cookie = this.jar.header(url);
        if (cookie) headers.Cookie = cookie;
        const { pathname, searchParams } = new URL(url);
        if (OUR_CALLBACK.test(pathname)) this.onSecret?.("provider's code", searchParams.get('code'));
        const response = await request(url, { ...options, headers });
        this.jar.take(url, response);
        this.trace.push({ method: options.method ?? (options.body ? 'POST' : 'GET'), url: String(url), status: response.status });
        return response;
    }

    /** Post a form of a page as a browser would: hidden fields as they are, `values` typed in, `button` pressed. */
    submit(page, form, values = {}, button) {
        const body = new URLSearchParams();
        for (const { name, value } of form.fields) {
            if (name) body.append(name, values[name] ?? value);
        }
        if (button?.name) body.append(button.name, button.value);
        const target = new URL(form.action || page.url, page.url);
        if (form.method !== 'POST') {
            target.search = body.toString();
            return this.go(target.href, { headers: { 'Sec-Fetch-Site': 'same-origin', Referer: page.url } });
        }
        return this.go(target.href, {
            method: 'POST', body: body.toString(),
            headers: {
                'Content-Type': 'application/x-www-form-urlencoded', 'Sec-Fetch-Site': 'same-origin',
                Origin: new URL(page.url).origin,
            },
        });
    }

    /** Find the form and button of a page that this person would use: {form, button, values, kind}. */
    read(page, { consent = 'allow', choose } = {}) {
        const all = forms(page.text);
        for (const form of choose ? all : []) {
            const button = form.buttons.find(({ name, value }) => name === 'provider' && value === choose);
            if (button) return { kind: 'choice', form, button, values: {} };
        }
        for (const form of all) {
            const password = form.fields.find((field) => field.type === 'password');
            if (password) {
                const login = form.fields.find((field) => ['text', 'email'].includes(field.type));
                return {
                    kind: 'sign-in', form, button: form.buttons[0],
                    values: { [login.name]: this.account.name, [password.name]: this.account.password },
                };
            }
        }
        const wanted = consent === 'allow' ? ALLOW : DENY;
        for (const form of all) {
            const button = form.buttons.find(({ text, value }) => wanted.test(text) || wanted.test(value));
            if (button) return { kind: 'consent', form, button, values: {} };
        }
        return null;
    }

    /**
     * Open a URL and do what the pages ask until `stop(url)` says that a redirect leads to the client.
     * @param options  stop: predicate, default: any non-gateway redirect with code= or error=; consent: allow|deny;
     *                 deliver: also open the last URL; pause: 'consent' | 'sign-in' | 'choice': give that
     *                 page back instead; choose: which provider, where a page asks
     * @return the URL that the person was sent to, or with pause the page
     */
    async visit(url, { stop = isAnswer, consent = 'allow', choose, deliver = false, pause, max = 25 } = {}) {
        let response = await this.go(url);
        for (let step = 0; step < max; step++) {
            if ([301, 302, 303, 307, 308].includes(response.status)) {
                const next = new URL(response.headers.location, response.url).href;
                if (stop(next)) {
                    if (deliver) await this.go(next);
                    return next;
                }
                response = await this.go(next);
                continue;
            }
            // a sign-in form may come with 401 where no header asks the browser itself
            const form = response.status === 401 && !response.headers['www-authenticate'];
            if (response.status !== 200 && !form) return this.fail(`answered ${response.status}`, response);
            const found = this.read(response, { consent, choose });
            if (!found) return this.fail('has nothing to press', response);
            if (found.kind === pause) return { ...response, ...found };
            response = await this.submit(response, found.form, found.values, found.button);
        }
        return this.fail('goes round in circles', response);
    }

    fail(why, response) {
        const error = new Error(`${response.url} ${why}\n${this.trace.map((t) => `  ${t.method} ${t.url} ${t.status}`).join('\n')}\n${response.text.slice(0, 2000)}`);
        error.response = response;
        throw error;
    }
}

/** Is this redirect the authorization response to a client? Ours and the provider's own paths are not. */
export function isAnswer(url) {
    const { searchParams, pathname, protocol } = new URL(url);
    if (protocol !== 'http:' && protocol !== 'https:') return true;
    return (searchParams.has('code') || searchParams.has('error')) && !OUR_CALLBACK.test(pathname);
}
