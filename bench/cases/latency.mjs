/** One-file commits over a link with latency, in round trips. */

import { atMost, interleave, summarizeAll, WARM_UPS } from '../measure.mjs';
import { DaemonPeer } from '../peers/daemon.mjs';
import { GitPushPeer } from '../peers/git-push.mjs';
import { makeShape } from '../repositories.mjs';

const KEEP_MS = 60_000;
/** How many round trips the next ssh connection takes to be ready, and some. */
const READY_ROUND_TRIPS = 20;

const makeCase = (transport, delayMs, limit, isQuick) => ({
  name: `latency-${transport}-${delayMs}`,
  title: `${transport}, ${delayMs} ms in each direction`,
  needs: transport,
  isQuick,
  async run(context) {
    const { t, places, run, iterations } = context;
    const commits = iterations(20, 5) + WARM_UPS;
    const shape = makeShape(run, { files: 1_000, layout: 'sharded', commits: 20 + WARM_UPS });
    const place = () => places.make(t, transport, shape, { delayMs });
    const peers = {
      daemon: await DaemonPeer.start(await place(), { keepConnectionMs: KEEP_MS }),
      'git push': await GitPushPeer.start(await place()),
    };
    try {
      const roundTripMs = 2 * delayMs;
      const settleMs = { daemon: READY_ROUND_TRIPS * roundTripMs };
      const taken = await interleave(peers, shape.chain.slice(0, commits), { settleMs });
      const medians = summarizeAll(taken);
      const { daemon, 'git push': gitPush } = medians;
      return {
        medians,
        details: {
          'round trips': daemon.median / roundTripMs,
          'round trips of git push': gitPush.median / roundTripMs,
        },
        checks: [atMost('of git push', daemon.median / gitPush.median, limit, '×')],
      };
    } finally {
      for (const peer of Object.values(peers)) await peer.stop();
    }
  },
});

export const latency = [10, 40, 100].flatMap((delayMs) => [
  makeCase('ssh', delayMs, 0.15, delayMs === 40),
  makeCase('https', delayMs, 0.5, delayMs === 40),
]);
