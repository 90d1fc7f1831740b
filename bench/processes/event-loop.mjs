/**
 * The event loop of a process with much memory outside of V8's heap, while another process commits and a daemon
 * pushes: how long our calls take, how late timers are, and how long the spawn of a `git push` blocks.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { createInterface } from 'node:readline';
import { setTimeout as after } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

import { startPushDaemon, untilState } from '../../__test__/support/daemon.mjs';
import { SpawningDaemon } from '../peers/spawning-daemon.mjs';

const { offHeapBytes, phases } = JSON.parse(process.argv[2]);
const COMMITTER = fileURLToPath(new URL('./committer.mjs', import.meta.url));
const PIECE_BYTES = 64 * 2 ** 20;
const TICK_MS = 1;
const INTERVAL_MS = 150;

// Filled, as untouched pages are none.
const offHeap = Array.from({ length: Math.ceil(offHeapBytes / PIECE_BYTES) }, (_, index) =>
  Buffer.alloc(PIECE_BYTES, index + 1),
);

const calls = { startPushDaemon: [], status: [], notifyCommit: [], flush: [], waitForPush: [] };
const blocked = [];
const delays = {};

function timed(name, call) {
  const startedAt = performance.now();
  const result = call();
  calls[name].push(performance.now() - startedAt);
  return result;
}

/** Has another process move the branch now and then; `onCommit` is told of each. */
async function whileCommitting({ repo, chain }, onCommit) {
  const input = JSON.stringify({ repo, chain, intervalMs: INTERVAL_MS });
  const child = spawn(process.execPath, [COMMITTER, input], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  createInterface({ input: child.stdout }).on('line', onCommit);
  // Its own start, and the spawn of it, are over with its first line.
  await once(child.stdout, 'readable');
  const histogram = monitorEventLoopDelay({ resolution: TICK_MS });
  histogram.enable();
  await once(child, 'close');
  histogram.disable();
  return histogram.percentile(99) / 1e6;
}

const [ours, theirs] = phases;
// Nobody pushes what this one commits; the branch is put back to where it was.
const quiet = await whileCommitting({ ...ours, chain: ours.chain.map(() => ours.base) }, () => {});

const daemon = timed('startPushDaemon', () =>
  startPushDaemon({ remote: 'origin', branch: 'main', repoPath: ours.repo }),
);
await untilState(daemon, 'in-sync');
delays.daemon = await whileCommitting(ours, (commit) => {
  timed('notifyCommit', () => daemon.notifyCommit(commit));
  timed('status', () => daemon.status());
  const waits = [
    timed('waitForPush', () => daemon.waitForPush(commit)),
    timed('flush', () => daemon.flush()),
  ];
  for (const wait of waits) wait.catch(() => {});
});
await daemon.flush();
await daemon.stop({ timeoutMs: 0 });

const spawning = new SpawningDaemon(theirs.repo);
spawning.on('spawned', (ms) => blocked.push(ms));
delays.spawning = await whileCommitting(theirs, (commit) => spawning.notifyCommit(commit));
while (spawning.isBusy) await after(5);

process.stdout.write(JSON.stringify({ calls, delays, blocked, quiet, held: offHeap.length }));
