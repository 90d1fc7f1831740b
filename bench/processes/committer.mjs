/** Moves a branch along its next commits, one at a time, and tells of each. */

import { setTimeout as after } from 'node:timers/promises';

import { setTip } from '../repositories.mjs';

const { repo, chain, intervalMs } = JSON.parse(process.argv[2]);
for (const commit of chain) {
  setTip(repo, commit);
  process.stdout.write(`${commit}\n`);
  await after(intervalMs);
}
