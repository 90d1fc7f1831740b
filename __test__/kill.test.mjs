// Kills the process by SIGKILL at each point of a push and restarts it. `npm run kill` runs many rounds of the same.

import { after, before, describe, test } from 'node:test';

import { makeScope } from './support/cleanup.mjs';
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
      test(`${phase.name}, loses nothing and leaves nothing behind`, async () => {
        for (const round of ROUNDS) {
          await killAndRestart({ transport, phase, round, random: randomFrom(round) });
        }
      });
    }
  });
}
