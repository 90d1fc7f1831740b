/** From the ref's update to the start of an attempt, as the daemon's own log tells it. */

import { atMost, WARM_UPS } from '../measure.mjs';
import { DaemonPeer } from '../peers/daemon.mjs';
import { makeShape } from '../repositories.mjs';
import { summarize } from '../statistics.mjs';

export const start = [
  {
    name: 'start',
    title: 'ref update → attempt started',
    isQuick: true,
    async run(context) {
      const updates = context.iterations(500, 60) + WARM_UPS;
      const shape = makeShape(context.run, {
        files: 1_000,
        layout: 'sharded',
        commits: 500 + WARM_UPS,
        packed: true,
      });
      const place = await context.places.make(context.t, 'local', shape);
      const peer = await DaemonPeer.start(place);
      try {
        for (const commit of shape.chain.slice(0, updates)) await peer.push(commit);
        const work = summarize(peer.steps.slice(WARM_UPS).map(({ notice }) => notice));
        const checks = [atMost('p50', work.median, 2, 'ms'), atMost('p99', work.p99, 10, 'ms')];
        return { checks, work };
      } finally {
        await peer.stop();
      }
    },
  },
];
