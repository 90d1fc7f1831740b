// The loss of a pod, once in each mode. `npm run drill` rehearses it many times.

import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';

import { makeScope } from './support/cleanup.mjs';
import { MODES, rehearse } from './support/drill.mjs';
import { randomFrom } from './support/random.mjs';
import { missing, startSshd } from './support/servers.mjs';

describe('a pod that is lost with its volume', { skip: missing.ssh }, () => {
  const scope = makeScope();
  let server;
  before(async () => {
    server = await startSshd(scope);
  });

  after(() => scope.end());

  for (const mode of MODES) {
    test(`loses no write that was confirmed, in the mode ${mode}`, async () => {
      const { answered, broken, rpo } = await rehearse(server, mode, randomFrom(1));
      assert.deepEqual(broken, []);
      assert.ok(answered > 0 && rpo.length > 0);
    });
  }
});
