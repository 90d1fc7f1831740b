/** Many commits that the remote lacks, in one push; and how much memory that takes at its peak. */

import { atMost, summarizeAll } from '../measure.mjs';
import { HttpsFloor, ProgramFloor } from '../peers/floor.mjs';
import { GitPushPeer } from '../peers/git-push.mjs';
import { makeShape } from '../repositories.mjs';
import { shuffled, summarize } from '../statistics.mjs';
import { measureIn } from './processes.mjs';

const PEAK_LIMIT_MB = 32;
const FIRST_PEAK_LIMIT_MB = 64;
/** A push of so many commits takes seconds, and varies less than one of a few. */
const MANY = 10_000;
const FIRST = 12_000;

/** Measures the push of all commits of a shape, each time from copies of its own. */
async function measure(context, { transport, shape, repetitions, limit, peakLimit }) {
  const tip = shape.chain[shape.chain.length - 1];
  const Floor = transport === 'https' ? HttpsFloor : ProgramFloor;
  const peaks = [];
  const by = {
    async daemon(place) {
      const { took, peakBytes } = await measureIn('backlog', { repo: place.repo, tip });
      taken.daemon.push(took);
      peaks.push(peakBytes / 2 ** 20);
    },
    async 'git push'(place) {
      const peer = await GitPushPeer.start(place);
      taken['git push'].push(await peer.push(tip));
    },
    async floor(place) {
      const floor = await Floor.start(place, context);
      taken.floor.push(await floor.push(tip));
      await floor.stop();
    },
  };
  // The floor records a push that starts from a commit.
  if (shape.isFirst) delete by.floor;
  const taken = Object.fromEntries(Object.keys(by).map((name) => [name, []]));
  for (let index = 0; index < repetitions; index += 1) {
    for (const name of shuffled(Object.keys(by))) {
      const scope = context.scope();
      try {
        await by[name](await context.places.make(scope, transport, shape));
      } finally {
        await scope.end();
      }
    }
  }
  const medians = summarizeAll(taken);
  const peak = summarize(peaks);
  const ratio = medians.daemon.median / medians['git push'].median;
  return {
    medians,
    details: { 'peak growth, MB': peak },
    checks: [
      atMost('of git push', ratio, limit, '×'),
      atMost('peak growth', peak.median, peakLimit, 'MB'),
    ],
  };
}

/** `packed`: the new objects lie in a pack, as after `git gc`, in the place of loose ones, as they were written. */
const makeBacklog = (commits, limit, { transport = 'local', packed = false, isQuick, quick }) => ({
  name: `backlog-${commits}-${packed ? 'packed' : 'loose'}-${transport}`,
  title: `backlog of ${commits} commits, ${packed ? 'packed' : 'loose'}, ${transport}`,
  needs: transport,
  isQuick,
  async run(context) {
    return measure(context, {
      transport,
      shape: makeShape(context.run, { files: 1_000, layout: 'sharded', commits, packed }),
      repetitions: context.iterations(commits < MANY ? 30 : 10, quick),
      limit,
      peakLimit: PEAK_LIMIT_MB,
    });
  },
});

/** The first push of a history that `git gc` has packed, to a remote without refs. */
const makeFirst = (transport, { isQuick }) => ({
  name: `first-push-${FIRST}-${transport}`,
  title: `first push of ${FIRST} packed commits, ${transport}`,
  needs: transport,
  isQuick,
  async run(context) {
    const of = { files: 1_000, layout: 'sharded', commits: FIRST - 1, packed: true, isFirst: true };
    return measure(context, {
      transport,
      shape: makeShape(context.run, of),
      repetitions: context.iterations(10, 2),
      limit: 1,
      peakLimit: FIRST_PEAK_LIMIT_MB,
    });
  },
});

export const backlog = [
  makeBacklog(100, 0.6, { isQuick: true, quick: 5 }),
  makeBacklog(MANY, 0.5, { isQuick: false, quick: 2 }),
  ...['local', 'ssh', 'https'].flatMap((transport) => {
    const isQuick = transport === 'local';
    return [
      makeBacklog(100, 0.95, { transport, packed: true, isQuick: false, quick: 5 }),
      makeBacklog(MANY, 0.9, { transport, packed: true, isQuick, quick: 2 }),
      makeFirst(transport, { isQuick: false }),
    ];
  }),
];
