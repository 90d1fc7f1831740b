/** One-file commits by every peer: over each transport, in repositories of several sizes and shapes. */

import { atMost, interleave, summarizeAll, WARM_UPS } from '../measure.mjs';
import { DaemonPeer } from '../peers/daemon.mjs';
import { HttpsFloor, ProgramFloor } from '../peers/floor.mjs';
import { GitPushPeer } from '../peers/git-push.mjs';
import { Libgit2Peer } from '../peers/libgit2.mjs';
import { SpawningPeer } from '../peers/spawning-daemon.mjs';
import { makeShape } from '../repositories.mjs';
import { median, summarize } from '../statistics.mjs';

/** How long the next ssh connection takes to be ready, several times over. */
const READY_MS = 500;
const KEEP_MS = 30_000;

const TRANSPORTS = {
  local: { transport: 'local', keepConnectionMs: KEEP_MS, limit: 0.75, floorLimit: 1.15 },
  'ssh-kept': { transport: 'ssh', keepConnectionMs: KEEP_MS, keepsReady: true },
  'ssh-cold': { transport: 'ssh', keepConnectionMs: 0, limit: 0.97 },
  https: { transport: 'https', keepConnectionMs: KEEP_MS },
};

/** Which repositories each transport is measured with; `limit` is that of the ratio to `git push`. */
const MATRIX = [
  ['local', 1_000, 'sharded', { isQuick: true }],
  ['local', 1_000, 'flat'],
  ['local', 10_000, 'sharded'],
  ['local', 10_000, 'flat'],
  ['local', 100_000, 'sharded', { isQuick: true }],
  ['local', 100_000, 'flat', { isQuick: true }],
  ['local', 10_000, 'sharded', { branches: 300, isQuick: true }],
  ['local', 10_000, 'sharded', { branches: 3_000 }],
  ['ssh-kept', 1_000, 'sharded', { limit: 0.12, isQuick: true }],
  ['ssh-kept', 10_000, 'sharded', { limit: 0.12 }],
  ['ssh-kept', 100_000, 'sharded', { limit: 0.2 }],
  ['ssh-kept', 100_000, 'flat', { limit: 0.3 }],
  ['ssh-cold', 1_000, 'sharded', { isQuick: true }],
  ['ssh-cold', 10_000, 'sharded'],
  ['ssh-cold', 100_000, 'sharded'],
  ['ssh-cold', 100_000, 'flat'],
  ['https', 1_000, 'sharded', { limit: 0.35, isQuick: true }],
  ['https', 100_000, 'sharded', { limit: 0.5, isQuick: true }],
];

const count = (files) => (files >= 1_000_000 ? `${files / 1e6}M` : `${files / 1e3}k`);

function makeCase([by, files, layout, { branches = 0, isQuick = false, limit } = {}]) {
  const of = { limit, ...TRANSPORTS[by] };
  if (limit !== undefined) of.limit = limit;
  const more = branches > 0 ? `, ${branches} other branches` : '';
  return {
    name: `${by}-${count(files)}-${layout}${branches > 0 ? `-${branches}` : ''}`,
    title: `${by.replace('-', ' ')}, ${count(files)} ${layout}${more}`,
    isQuick,
    needs: of.transport,
    run: (context) => measure(context, of, { files, layout, branches }),
  };
}

async function measure(context, of, { files, layout, branches }) {
  const { t, places, native, iterations } = context;
  const commits = iterations(30, 6) + WARM_UPS;
  const shape = makeShape(context.run, { files, layout, branches, commits: 30 + WARM_UPS });
  const place = () => places.make(t, of.transport, shape, { keepsReady: of.keepsReady });
  const peers = {
    daemon: await DaemonPeer.start(await place(), { keepConnectionMs: of.keepConnectionMs }),
    'git push': await GitPushPeer.start(await place()),
    'spawning daemon': await SpawningPeer.start(await place()),
  };
  if (of.transport === 'local') {
    peers.libgit2 = await Libgit2Peer.start(await place(), context);
  }
  const Floor = of.transport === 'https' ? HttpsFloor : ProgramFloor;
  peers.floor = await Floor.start(await place(), { native });
  try {
    const settleMs = of.keepsReady ? { daemon: READY_MS } : {};
    const taken = await interleave(peers, shape.chain.slice(0, commits), { settleMs });
    const { steps } = peers.daemon;
    const medians = summarizeAll(taken);
    const ratio = (other) => medians.daemon.median / medians[other].median;
    const checks = [atMost('of git push', ratio('git push'), of.limit, '×')];
    if (of.floorLimit !== undefined) {
      checks.push(atMost('of the floor', ratio('floor'), of.floorLimit, '×'));
    }
    return { medians, checks, steps: mediansOf(steps.slice(WARM_UPS)) };
  } finally {
    for (const peer of Object.values(peers)) await peer.stop();
  }
}

function mediansOf(steps) {
  if (steps.length === 0) return undefined;
  return Object.fromEntries(
    Object.keys(steps[0]).map((name) => [name, median(steps.map((step) => step[name]))]),
  );
}

export const pushes = MATRIX.map(makeCase);

/** What the daemon itself does between the remote's advertisement and the whole pack. */
function makeClientCase(files, layout, { isQuick = false, limit, full = 30 } = {}) {
  return {
    name: `client-${count(files)}-${layout}`,
    title: `own client work, ${count(files)} ${layout}`,
    isQuick,
    async run(context) {
      const commits = context.iterations(full, 10) + WARM_UPS;
      const shape = makeShape(context.run, {
        files,
        layout,
        branches: 0,
        commits: full + WARM_UPS,
      });
      const place = await context.places.make(context.t, 'local', shape);
      const peer = await DaemonPeer.start(place);
      try {
        await interleave({ daemon: peer }, shape.chain.slice(0, commits));
        const work = summarize(peer.steps.slice(WARM_UPS).map(({ client }) => client));
        const checks = limit === undefined ? [] : [atMost('', work.median, limit, 'ms')];
        return { checks, work, files, layout };
      } finally {
        await peer.stop();
      }
    },
  };
}

export const clientWork = [
  makeClientCase(1_000, 'sharded', { isQuick: true }),
  makeClientCase(10_000, 'sharded'),
  makeClientCase(100_000, 'sharded', { isQuick: true, limit: 1 }),
  makeClientCase(1_000_000, 'sharded'),
  makeClientCase(1_000, 'flat', { isQuick: true }),
  makeClientCase(10_000, 'flat'),
  makeClientCase(100_000, 'flat', { isQuick: true, limit: 12 }),
  makeClientCase(1_000_000, 'flat', { full: 10 }),
];
