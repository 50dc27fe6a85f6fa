// SPDX-License-Identifier: Apache-2.0
// Snippets as Azure blobs: container `snippets`, one blob `NAME.json` each, as the function app's bindings lay them out.

import { BlobServiceClient, StorageSharedKeyCredential } from '@azure/storage-blob';

const CONTAINER = 'snippets';
const NAME = /^[\p{L}\p{N}][\p{L}\p{N}._ -]{0,127}$/u;

export class SnippetNotFound extends Error {}

/** May @p name become part of a blob's path? It must not reach into another one. */
export function validName(name) {
    return typeof name === 'string' && NAME.test(name) && !name.includes('..');
}

/** Open (and make, if need be) the container. @param account { url, name, key } */
export async function openSnippets(account) {
    const credential = new StorageSharedKeyCredential(account.name, account.key);
    const container = new BlobServiceClient(account.url, credential).getContainerClient(CONTAINER);
    const blob = (name) => {
        if (!validName(name)) {
            throw new RangeError('invalid snippet name');
        }
        return container.getBlockBlobClient(`${name}.json`);
    };

    await container.createIfNotExists();
    return {
        async get(name) {
            try {
                return (await blob(name).downloadToBuffer()).toString('utf8');
            }
            catch (error) {
                throw error.statusCode === 404 ? new SnippetNotFound(name) : error;
            }
        },
        async save(name, content) {
            const bytes = Buffer.from(content, 'utf8');
            await blob(name).upload(bytes, bytes.length,
                { blobHTTPHeaders: { blobContentType: 'text/plain; charset=utf-8' } });
        },
    };
}
