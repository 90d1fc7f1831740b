// Kills the process by SIGKILL at each point of a push and restarts it. `npm run kill` runs many rounds of the same.

import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';

import { makeScope } from './support/cleanup.mjs';
import { collect, once, startInSync } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';
import { killAndRestart, PHASES, TRANSPORTS } from './support/kill.mjs';
import { randomFrom } from './support/random.mjs';

/** One in which the old push goes on after the new one, and one in which both go on together. */
const ROUNDS = [0, 1];
/** Most of a round is waiting. */
const CONCURRENCY = 3;

for (const { name, missing, open } of TRANSPORTS) {
  describe(`a host killed by SIGKILL, over ${name}`, {
    skip: missing,
    concurrency: CONCURRENCY,
  }, () => {
    const scope = makeScope();
    let transport;
    before(async () => {
      transport = await open(scope);
    });

    after(() => scope.end());

    for (const phase of PHASES) {
      test(`${phase.name}, loses nothing and leaves nothing`, async () => {
        for (const round of ROUNDS) {
          await killAndRestart({ transport, phase, round, random: randomFrom(round) });
        }
      });
    }
  });
}

describe('a host killed while it wrote a ref', () => {
  test('leaves a lock that does not stop the next one from pushing', async (t) => {
    const { repo, remote, options } = makePair(t);
    const folder = path.join(repo.path, 'refs/remotes/origin');
    mkdirSync(folder, { recursive: true });
    writeFileSync(path.join(folder, 'main.lock'), '');
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    for (let times = 0; times < 2; times += 1) {
      const commit = repo.commit();
      await once(daemon, 'push', (push) => push.commit === commit);
      assert.equal(remote.tip(), commit);
    }
    assert.deepEqual(seen.of('error'), []);
  });
});
