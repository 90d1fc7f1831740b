/**
 * Many daemons in this process: its threads, descriptors, memory and processor time, and how long the daemons take to
 * start, to push a commit in each repository, and to stop.
 */

import { createRequire } from 'node:module';
import { setTimeout as after } from 'node:timers/promises';

import {
  children,
  daemonThreads,
  inotifyDescriptors,
  residentBytes,
} from '../../__test__/support/proc.mjs';
import { setTip } from '../repositories.mjs';

const { repos, commit, idleMs } = JSON.parse(process.argv[2]);
/** Threads without work end after 10 seconds, and so does the garbage of the start. */
const SETTLE_MS = 12_000;
const SAMPLE_MS = 20;

const { startPushDaemon } = createRequire(import.meta.url)('../../index.js');

const start = (repoPath) => startPushDaemon({ remote: 'origin', branch: 'main', repoPath });

async function inSync(daemons) {
  for (const daemon of daemons) {
    while (daemon.status().state !== 'in-sync') await after(5);
  }
}

async function settledBytes() {
  await after(SETTLE_MS);
  globalThis.gc();
  await after(100);
  return residentBytes();
}

async function timed(work) {
  const before = performance.now();
  await work();
  return performance.now() - before;
}

const most = { threads: 0, inotify: 0, children: 0 };
const sampling = setInterval(() => {
  most.threads = Math.max(most.threads, daemonThreads().length);
  most.inotify = Math.max(most.inotify, inotifyDescriptors().length);
  most.children = Math.max(most.children, children().length);
}, SAMPLE_MS);

const daemons = repos.slice(0, 1).map(start);
await inSync(daemons);
const ofFirst = await settledBytes();

const startMs = await timed(() => daemons.push(...repos.slice(1).map(start)));
const inSyncMs = await timed(() => inSync(daemons));
const bytesEach = ((await settledBytes()) - ofFirst) / (repos.length - 1);
clearInterval(sampling);

const idle = process.cpuUsage();
const idleTookMs = await timed(() => after(idleMs));
const { user, system } = process.cpuUsage(idle);
const idlePercent = (user + system) / 10 / idleTookMs;
const idleThreads = daemonThreads().length;

const pushed = daemons.map((daemon) => new Promise((resolve) => daemon.once('push', resolve)));
const pushMs = await timed(async () => {
  for (const repo of repos) setTip(repo, commit);
  await Promise.all(pushed);
});
most.threads = Math.max(most.threads, daemonThreads().length);
const bytesEachAfterPush = ((await settledBytes()) - ofFirst) / (repos.length - 1);
const stopMs = await timed(() => Promise.all(daemons.map((daemon) => daemon.stop())));

process.stdout.write(
  JSON.stringify({
    ...{ ...most, idleThreads, bytesEach, bytesEachAfterPush, idlePercent },
    ...{ startMs, inSyncMs, pushMs, stopMs, left: daemonThreads().length },
  }),
);
