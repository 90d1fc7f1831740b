/** Many commits that the remote lacks, in one push; and how much memory that takes at its peak. */

import { atMost, summarizeAll } from '../measure.mjs';
import { ProgramFloor } from '../peers/floor.mjs';
import { GitPushPeer } from '../peers/git-push.mjs';
import { makeShape } from '../repositories.mjs';
import { shuffled, summarize } from '../statistics.mjs';
import { measureIn } from './processes.mjs';

const PEAK_LIMIT_MB = 32;
/** A push of so many commits takes seconds, and varies less than one of a few. */
const MANY = 10_000;

/** `packed`: the new objects lie in a pack, as after `git gc`, in the place of loose ones, as they were written. */
const makeBacklog = (commits, limit, { packed = false, isQuick, quick }) => ({
  name: `backlog-${commits}-${packed ? 'packed' : 'loose'}`,
  title: `backlog of ${commits} commits, ${packed ? 'packed' : 'loose'}, local`,
  isQuick,
  async run(context) {
    const shape = makeShape(context.run, { files: 1_000, layout: 'sharded', commits, packed });
    const tip = shape.chain[shape.chain.length - 1];
    const taken = { daemon: [], 'git push': [], floor: [] };
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
        const floor = await ProgramFloor.start(place, context);
        taken.floor.push(await floor.push(tip));
      },
    };
    for (let index = 0; index < context.iterations(commits < MANY ? 30 : 10, quick); index += 1) {
      for (const name of shuffled(Object.keys(by))) {
        const scope = context.scope();
        try {
          await by[name](await context.places.make(scope, 'local', shape));
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
        atMost('peak growth', peak.median, PEAK_LIMIT_MB, 'MB'),
      ],
    };
  },
});

export const backlog = [
  makeBacklog(100, 0.6, { isQuick: true, quick: 5 }),
  makeBacklog(MANY, 0.5, { isQuick: false, quick: 2 }),
  makeBacklog(100, 0.6, { packed: true, isQuick: false, quick: 5 }),
  makeBacklog(MANY, 0.5, { packed: true, isQuick: true, quick: 2 }),
];
