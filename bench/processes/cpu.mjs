/** The processor time of this process and of all the children that it has waited for, over a number of pushes. */

import { readFileSync } from 'node:fs';
import { setTimeout as after } from 'node:timers/promises';

import { DaemonPeer } from '../peers/daemon.mjs';
import { GitPushPeer } from '../peers/git-push.mjs';

const { who, repo, chain, readyMs } = JSON.parse(process.argv[2]);
/** `_SC_CLK_TCK`, which is this on every Linux that Node runs on. */
const TICK_MS = 10;

function childrenMs() {
  const stat = readFileSync('/proc/self/stat', 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[13]) + Number(fields[14])) * TICK_MS;
}

function ownMs() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

const isOurs = who === 'daemon';
const peer = await (isOurs ? DaemonPeer : GitPushPeer).start({ repo });
await after(readyMs);
const before = ownMs();
for (const commit of chain) {
  await peer.push(commit);
  if (isOurs) await after(readyMs);
}
await peer.stop();
const own = ownMs() - before;
// `git push` is a child altogether: what this process does to spawn it is not counted.
process.stdout.write(JSON.stringify({ ownMs: isOurs ? own : 0, childrenMs: childrenMs() }));
