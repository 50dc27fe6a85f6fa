// SPDX-License-Identifier: Apache-2.0
// A backend that can do what the conformance suite asks of a server: tools of every kind of content, progress, logging,
// sampling, elicitation, resources, prompts, completion, input_required. Sessions with the v1 SDK for the revisions up
// to 2025-11-25, the v2 SDK's handler for 2026-07-28. It stands for "an MCP server" behind the gateway.

import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import http from 'node:http';
import { once } from 'node:events';
import { Server as LegacyServer } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import * as types from '@modelcontextprotocol/sdk/types.js';
import { CLIENT_CAPABILITIES_META_KEY, McpServer, MissingRequiredClientCapabilityError, ProtocolError, ResourceTemplate, createMcpHandler, fromJsonSchema, isLegacyRequest } from '@modelcontextprotocol/server';
import { readBody, sendWebResponse, toWebRequest } from '../../../examples/functions-snippets/web.mjs';
import { sleep } from './proc.mjs';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA=';
const text = (value) => ({ content: [{ type: 'text', text: value }] });
const object = (properties = {}, required = Object.keys(properties)) => ({ type: 'object', properties, ...(required.length ? { required } : {}) });
const string = { type: 'string' };

/** Tools of both eras: name -> [input schema, (args, ctx) => result]; ctx has progress(n), log(text). */
const TOOLS = {
    test_simple_text: [object(), () => text('This is a simple text response for testing.')],
    test_image_content: [object(), () => ({ content: [{ type: 'image', data: PNG, mimeType: 'image/png' }] })],
    test_audio_content: [object(), () => ({ content: [{ type: 'audio', data: WAV, mimeType: 'audio/wav' }] })],
    test_embedded_resource: [object(), () => ({ content: [{ type: 'resource', resource: { uri: 'test://embedded-resource', mimeType: 'text/plain', text: 'This is an embedded resource content.' } }] })],
    test_multiple_content_types: [object(), () => ({
        content: [{ type: 'text', text: 'Multiple content types test:' }, { type: 'image', data: PNG, mimeType: 'image/png' },
            { type: 'resource', resource: { uri: 'test://mixed-content-resource', mimeType: 'application/json', text: '{"test":"data","value":123}' } }],
    })],
    test_tool_with_logging: [object(), async (args, ctx) => {
        for (const step of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) { await ctx.log(step); await sleep(50); }
        return text('logged');
    }],
    test_error_handling: [object(), () => ({ ...text('This tool intentionally returns an error for testing'), isError: true })],
    test_tool_with_progress: [object(), async (args, ctx) => {
        for (const progress of [0, 50, 100]) { await ctx.progress(progress, 100); await sleep(50); }
        return text('done');
    }],
};

/** Tools that ask the client back, as sessions do it. */
const ASKING = {
    test_sampling: [object({ prompt: string }), async ({ prompt }, ctx) => {
        const answer = await ctx.ask({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: { type: 'text', text: prompt } }], maxTokens: 100 } }, types.CreateMessageResultSchema);
        return text(`LLM response: ${answer.content.text}`);
    }],
    test_elicitation: [object({ message: string }), elicits((args) => ({ message: args.message, requestedSchema: object({ username: string, email: string }) }), 'User response')],
    test_elicitation_sep1034_defaults: [object(), elicits(() => ({
        message: 'defaults', requestedSchema: object({
            name: { type: 'string', default: 'John Doe' }, age: { type: 'integer', default: 30 }, score: { type: 'number', default: 95.5 },
            status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' }, verified: { type: 'boolean', default: true },
        }, []),
    }), 'Elicitation completed')],
    test_elicitation_sep1330_enums: [object(), elicits(() => ({
        message: 'enums', requestedSchema: object({
            untitledSingle: { type: 'string', enum: ['option1', 'option2', 'option3'] },
            titledSingle: { type: 'string', oneOf: [['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']].map(([value, title]) => ({ const: value, title })) },
            legacyEnum: { type: 'string', enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
            untitledMulti: { type: 'array', items: { type: 'string', enum: ['option1', 'option2', 'option3'] } },
            titledMulti: { type: 'array', items: { anyOf: [['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']].map(([value, title]) => ({ const: value, title })) } },
        }, []),
    }), 'Elicitation completed')],
};

function elicits(params, says) {
    return async (args, ctx) => {
        const { action, content } = await ctx.ask({ method: 'elicitation/create', params: params(args) }, types.ElicitResultSchema);
        return text(`${says}: action=${action}, content=${JSON.stringify(content ?? {})}`);
    };
}

const RESOURCES = {
    'test://static-text': ['Static text', { mimeType: 'text/plain', text: 'This is the content of the static text resource.' }],
    'test://static-binary': ['Static binary', { mimeType: 'image/png', blob: PNG }],
    'test://watched-resource': ['Watched', { mimeType: 'text/plain', text: 'watched' }],
};
const templated = (id) => JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
const user = (content) => ({ role: 'user', content });

/** Prompts: name -> [argument names, (args) => messages]. */
const PROMPTS = {
    test_simple_prompt: [[], () => [user({ type: 'text', text: 'This is a simple prompt for testing.' })]],
    test_prompt_with_arguments: [['arg1', 'arg2'], ({ arg1, arg2 }) => [user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })]],
    test_prompt_with_embedded_resource: [['resourceUri'], ({ resourceUri }) => [
        user({ type: 'resource', resource: { uri: resourceUri, mimeType: 'text/plain', text: 'Embedded resource content for testing.' } }),
        user({ type: 'text', text: 'Please process the embedded resource above.' })]],
    test_prompt_with_image: [[], () => [user({ type: 'image', data: PNG, mimeType: 'image/png' }), user({ type: 'text', text: 'Please analyze the image above.' })]],
};

function legacyServer() {
    const server = new LegacyServer({ name: 'everything', version: '1' }, { capabilities: { tools: {}, resources: { subscribe: true }, prompts: {}, completions: {}, logging: {} } });
    const tools = { ...TOOLS, ...ASKING };
    const on = (schema, handler) => server.setRequestHandler(schema, handler);
    on(types.ListToolsRequestSchema, () => ({ tools: Object.entries(tools).map(([name, [inputSchema]]) => ({ name, description: name, inputSchema })) }));
    on(types.CallToolRequestSchema, ({ params }, extra) => {
        const tool = tools[params.name];
        if (!tool) throw new types.McpError(types.ErrorCode.InvalidParams, `Unknown tool ${params.name}`);
        const token = params._meta?.progressToken;
        return tool[1](params.arguments ?? {}, {
            progress: (progress, total) => token !== undefined && extra.sendNotification({ method: 'notifications/progress', params: { progressToken: token, progress, total } }),
            log: (data) => extra.sendNotification({ method: 'notifications/message', params: { level: 'info', data } }),
            ask: (question, schema) => extra.sendRequest(question, schema),
        });
    });
    on(types.ListResourcesRequestSchema, () => ({ resources: Object.entries(RESOURCES).map(([uri, [name, { mimeType }]]) => ({ uri, name, description: name, mimeType })) }));
    on(types.ListResourceTemplatesRequestSchema, () => ({ resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'Template', description: 'Template', mimeType: 'application/json' }] }));
    on(types.ReadResourceRequestSchema, ({ params: { uri } }) => {
        const id = uri.match(/^test:\/\/template\/([^/]+)\/data$/)?.[1];
        if (id) return { contents: [{ uri, mimeType: 'application/json', text: templated(id) }] };
        if (!RESOURCES[uri]) throw new types.McpError(-32002, 'Resource not found', { uri });
        return { contents: [{ uri, ...RESOURCES[uri][1] }] };
    });
    on(types.SubscribeRequestSchema, () => ({}));
    on(types.UnsubscribeRequestSchema, () => ({}));
    on(types.ListPromptsRequestSchema, () => ({ prompts: Object.entries(PROMPTS).map(([name, [args]]) => ({ name, description: name, arguments: args.map((each) => ({ name: each, required: true })) })) }));
    on(types.GetPromptRequestSchema, ({ params }) => ({ messages: PROMPTS[params.name][1](params.arguments ?? {}) }));
    on(types.CompleteRequestSchema, () => ({ completion: { values: ['paris', 'park', 'party'], total: 3, hasMore: false } }));
    on(types.SetLevelRequestSchema, () => ({}));
    return server;
}

const stateKey = randomBytes(32);
const sealState = (value) => `${value}.${createHmac('sha256', stateKey).update(value).digest('base64url')}`;

function openState(state) {
    const value = String(state).split('.')[0];
    if (sealState(value) !== state) throw new ProtocolError(-32602, 'requestState was altered');
    return value;
}

const elicit = (message, properties) => ({ method: 'elicitation/create', params: { mode: 'form', message, requestedSchema: object(properties) } });
const sample = (question, maxTokens) => ({ method: 'sampling/createMessage', params: { messages: [user({ type: 'text', text: question })], maxTokens } });

function modernServer(notify) {
    const server = new McpServer({ name: 'everything', version: '1' }, { capabilities: { completions: {}, logging: {} } });
    for (const [name, [schema, run]] of Object.entries(TOOLS)) {
        server.registerTool(name, { description: name, inputSchema: fromJsonSchema(schema) }, (args, ctx) => {
            const token = ctx.mcpReq._meta?.progressToken;
            return run(args, {
                progress: (progress, total) => token !== undefined && ctx.mcpReq.notify({ method: 'notifications/progress', params: { progressToken: token, progress, total } }),
                log: (data) => ctx.mcpReq.log?.('info', data),
            });
        });
    }
    server.registerTool('test_custom_header', {
        description: 'A parameter that is mirrored in a header.',
        inputSchema: fromJsonSchema(object({ region: { type: 'string', 'x-mcp-header': 'Region' } }, [])),
    }, ({ region }) => text(`region ${region}`));
    diagnostics(server, notify);
    const whoAreYou = { user_name: elicit('What is your name?', { name: string }) };
    const roots = { client_roots: { method: 'roots/list', params: {} } };
    asking(server, 'test_input_required_result_elicitation', [whoAreYou], ({ user_name: { content } }) => text(`Hello, ${content.name}!`));
    asking(server, 'test_input_required_result_sampling', [{ capital_question: sample('What is the capital of France?', 100) }], (answers) => text(JSON.stringify(answers.capital_question.content)));
    asking(server, 'test_input_required_result_list_roots', [roots], (answers) => text(JSON.stringify(answers.client_roots.roots)));
    asking(server, 'test_input_required_result_request_state', [{ confirm: elicit('Please confirm', { ok: { type: 'boolean' } }) }], (answers, state) => text(state ? 'state-ok' : 'no state'));
    asking(server, 'test_input_required_result_tampered_state', [{ confirm: elicit('Please confirm', { ok: { type: 'boolean' } }) }], () => text('state-ok'));
    asking(server, 'test_input_required_result_multiple_inputs', [{ ...whoAreYou, greeting: sample('Generate a greeting', 50), ...roots }], () => text('all there'));
    asking(server, 'test_input_required_result_multi_round', [{ step1: elicit('Step 1: What is your name?', { name: string }) }, { step2: elicit('Step 2: What is your favorite color?', { color: string }) }], () => text('done'));
    server.registerPrompt('test_input_required_result_prompt', { description: 'asks first' }, (...given) => converse(given.at(-1), [{ user_context: elicit('What context should the prompt use?', { context: string }) }],
        (answers) => ({ messages: [user({ type: 'text', text: JSON.stringify(answers.user_context.content) })] })));
    server.server.setRequestHandler('completion/complete', () => ({ completion: { values: ['paris', 'park', 'party'], total: 3, hasMore: false } }));
    for (const [uri, [name, content]] of Object.entries(RESOURCES)) {
        server.registerResource(name, uri, { description: name, mimeType: content.mimeType }, () => ({ contents: [{ uri, ...content }] }));
    }
    server.registerResource('Template', new ResourceTemplate('test://template/{id}/data', { list: undefined }), { description: 'Template', mimeType: 'application/json' },
        (uri, { id }) => ({ contents: [{ uri: uri.href, mimeType: 'application/json', text: templated(id) }] }));
    for (const [name, [args, messages]] of Object.entries(PROMPTS)) {
        server.registerPrompt(name, { description: name, ...(args.length ? { argsSchema: fromJsonSchema(object(Object.fromEntries(args.map((each) => [each, string])))) } : {}) }, (given) => ({ messages: messages(given ?? {}) }));
    }
    return server;
}

/** What the suite looks into the server with: declared capabilities, subscriptions, what may be on a stream. */
function diagnostics(server, notify) {
    const tool = (name, run) => server.registerTool(name, { description: name, inputSchema: fromJsonSchema(object()) }, (args, ctx) => run(ctx.mcpReq._meta?.[CLIENT_CAPABILITIES_META_KEY] ?? {}, ctx));
    tool('test_trigger_tool_change', () => { notify.toolsChanged(); return text('changed'); });
    tool('test_trigger_prompt_change', () => { notify.promptsChanged(); return text('changed'); });
    tool('test_logging_tool', async (capabilities, ctx) => { await ctx.mcpReq.log?.('info', 'logged'); return text('logged'); });
    tool('test_missing_capability', ({ sampling }) => {
        if (!sampling) throw new MissingRequiredClientCapabilityError({ requiredCapabilities: { sampling: {} } });
        return text('there');
    });
    tool('test_streaming_elicitation', () => ({ resultType: 'input_required', inputRequests: { user_name: elicit('What is your name?', { name: string }) } }));
    tool('test_input_required_result_capabilities', ({ sampling, elicitation }) => ({
        resultType: 'input_required',
        inputRequests: { ...(sampling ? { a: sample('Hello', 10) } : {}), ...(elicitation ? { b: elicit('Hello', { name: string }) } : {}) },
    }));
}

/**
 * A tool of 2026-07-28 that asks by input_required, round after round, and again where an answer is missing. How far it
 * came is in its state, which is sealed.
 */
function asking(server, name, rounds, finish) {
    server.registerTool(name, { description: name, inputSchema: fromJsonSchema(object()) }, (args, ctx) => converse(ctx, rounds, finish));
}

function converse(ctx, rounds, finish) {
    const answers = ctx.mcpReq.inputResponses ?? {};
    const given = ctx.mcpReq.requestState;
    const state = typeof given === 'function' ? given() : given;
    let round = state === undefined ? 0 : Number(openState(state));
    const complete = (wanted) => Object.keys(wanted).every((key) => answers[key]);
    if (complete(rounds[round])) {
        try {
            if (round + 1 === rounds.length) return finish(answers, state);
            round += 1;
        } catch { /* not what was asked for: ask again */ }
    }
    return { resultType: 'input_required', inputRequests: rounds[round], requestState: sealState(String(round)) };
}

/** Start it: {url, sessions, close()}. */
export async function startEverything() {
    const sessions = new Map();
    const modern = createMcpHandler(() => modernServer(modern.notify), { keepAliveMs: 0 });

    async function legacy(request, response, parsed) {
        const id = request.headers['mcp-session-id'];
        if (id && !sessions.has(id)) {
            response.writeHead(404, { 'content-type': 'application/json' });
            return response.end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32001, message: 'Session not found' } }));
        }
        let transport = sessions.get(id);
        if (!transport) {
            transport = new StreamableHTTPServerTransport({ sessionIdGenerator: randomUUID, onsessioninitialized: (session) => sessions.set(session, transport), onsessionclosed: (session) => sessions.delete(session) });
            await legacyServer().connect(transport);
        }
        return transport.handleRequest(request, response, parsed);
    }

    async function handle(request, response) {
        if (request.method !== 'POST') return legacy(request, response);
        const url = new URL(request.url, 'http://127.0.0.1');
        const gone = new AbortController();
        response.on('close', () => gone.abort());
        const body = await readBody(request);
        let parsed;
        try { parsed = JSON.parse(body); } catch { /* the transport says so */ }
        const web = toWebRequest(request, url, body, gone.signal);
        if (parsed === undefined || await isLegacyRequest(web, parsed)) return legacy(request, response, parsed);
        return sendWebResponse(response, await modern.fetch(web, { parsedBody: parsed }));
    }

    const server = http.createServer((request, response) => {
        handle(request, response).catch((error) => { console.error(error); if (!response.headersSent) response.writeHead(500); response.end(); });
    });
    server.keepAliveTimeout = 60_000;
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return { url: `http://127.0.0.1:${server.address().port}/mcp`, sessions, close: () => { server.closeAllConnections(); server.close(); } };
}
