// SPDX-License-Identifier: Apache-2.0
// Client state as the functions host makes it: base64url(AES-256-GCM("clientId|instanceId")). It names a session to
// the instance that issued it and tells anyone else nothing. It is no proof of who the client is: whoever has it is in.

import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from 'node:crypto';

const NONCE = 12;
const TAG = 16;

export class ClientState {
    #key = randomBytes(32);
    instanceId = randomUUID().replaceAll('-', '');

    create() {
        return randomUUID().replaceAll('-', '');
    }

    seal(clientId) {
        const nonce = randomBytes(NONCE);
        const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
        const body = Buffer.concat([cipher.update(`${clientId}|${this.instanceId}`), cipher.final()]);
        return Buffer.concat([nonce, body, cipher.getAuthTag()]).toString('base64url');
    }

    /** @return the client id, or null when this is not a state of ours */
    open(state) {
        try {
            const bytes = Buffer.from(state, 'base64url');
            const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, NONCE));
            decipher.setAuthTag(bytes.subarray(-TAG));
            const plain = Buffer.concat([decipher.update(bytes.subarray(NONCE, -TAG)), decipher.final()]).toString();
            const [clientId, instanceId] = plain.split('|');
            return instanceId === this.instanceId ? clientId : null;
        }
        catch {
            return null;
        }
    }
}
