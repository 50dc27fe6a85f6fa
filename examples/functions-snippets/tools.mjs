// SPDX-License-Identifier: Apache-2.0
// The three tools of the snippets function app, on the official SDK. One factory serves every transport and revision.

import { McpServer, fromJsonSchema } from '@modelcontextprotocol/server';

import { SnippetNotFound, validName } from './snippets.mjs';

const string = (description) => ({ type: 'string', description });
const text = (value) => ({ content: [{ type: 'text', text: value }] });
const failure = (value) => ({ ...text(value), isError: true });

// Nothing is `required`: as in the function app, the tool itself says what it misses.
const NONE = fromJsonSchema({ type: 'object', properties: {} });
const GET = fromJsonSchema({
    type: 'object',
    properties: { snippetname: string('The name of the snippet.') },
});
const SAVE = fromJsonSchema({
    type: 'object',
    properties: {
        snippetname: string('The name of the snippet.'),
        snippet: string('The content of the snippet.'),
    },
});

/** What is wrong with the arguments, or null. */
function complaint(args, wanted) {
    if (!args || Object.keys(args).length === 0) {
        return 'No arguments provided';
    }
    if (!args.snippetname) {
        return 'No snippet name provided';
    }
    if (wanted.includes('snippet') && !args.snippet) {
        return 'No snippet content provided';
    }
    return validName(args.snippetname) ? null
        : 'Invalid snippet name: up to 128 letters, digits, blanks and . _ - are allowed, beginning with a letter or digit';
}

/** @return a factory of servers that keep their snippets in @p snippets */
export function serverFactory(snippets) {
    return () => {
        const server = new McpServer({ name: 'snippets', title: 'Snippets', version: '1.0.0' });

        server.registerTool('hello_mcp', { description: 'Hello world.', inputSchema: NONE },
            async () => text('Hello I am MCPTool!'));

        server.registerTool('get_snippet', { description: 'Retrieve a snippet by name.', inputSchema: GET }, async (args) => {
            const wrong = complaint(args, ['snippetname']);
            if (wrong) {
                return failure(wrong);
            }
            try {
                return text(await snippets.get(args.snippetname));
            }
            catch (error) {
                if (error instanceof SnippetNotFound) {
                    return failure(`Snippet '${args.snippetname}' not found`);
                }
                throw error;
            }
        });

        server.registerTool('save_snippet', { description: 'Save a snippet with a name.', inputSchema: SAVE }, async (args) => {
            const wrong = complaint(args, ['snippetname', 'snippet']);
            if (wrong) {
                return failure(wrong);
            }
            await snippets.save(args.snippetname, args.snippet);
            return text(`Snippet '${args.snippet}' saved successfully`);
        });

        return server;
    };
}
