/** The resident memory of a process that does nothing: bare, with the addon, with idle daemons. */

import { createRequire } from 'node:module';
import { setTimeout as after } from 'node:timers/promises';

import { anonymousBytes, residentBytes } from '../../__test__/support/proc.mjs';

const { repos } = JSON.parse(process.argv[2]);
const SETTLE_MS = 300;

const daemons = [];
if (repos !== null) {
  const { startPushDaemon } = createRequire(import.meta.url)('../../index.js');
  for (const repoPath of repos) {
    daemons.push(startPushDaemon({ remote: 'origin', branch: 'main', repoPath }));
  }
  while (daemons.some((daemon) => daemon.status().state !== 'in-sync')) await after(5);
}
await after(SETTLE_MS);
globalThis.gc();
await after(SETTLE_MS);
const measured = { residentBytes: residentBytes(), anonymousBytes: anonymousBytes() };
await Promise.all(daemons.map((daemon) => daemon.stop({ timeoutMs: 0 })));
process.stdout.write(JSON.stringify(measured));
