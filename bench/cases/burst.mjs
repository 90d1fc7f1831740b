/** A thousand commits as fast as git's own ref transactions take them, from another process. */

import { spawn } from 'node:child_process';

import { within } from '../../__test__/support/daemon.mjs';
import { atMost, WARM_UPS } from '../measure.mjs';
import { DaemonPeer } from '../peers/daemon.mjs';
import { BRANCH, makeShape } from '../repositories.mjs';
import { median, summarize } from '../statistics.mjs';

const COMMITS = 1_000;
const SINGLE = 5 + WARM_UPS;
const LIMIT_MS = 120_000;

/** Moves the branch along the commits, a transaction each; resolves to when the last was done. */
function moveAlong(repo, from, commits) {
  const child = spawn('git', ['update-ref', '--stdin'], {
    cwd: repo,
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: LIMIT_MS,
  });
  let previous = from;
  const lines = commits.map((commit) => {
    const update = `start\nupdate refs/heads/${BRANCH} ${commit} ${previous}\ncommit\n`;
    previous = commit;
    return update;
  });
  return new Promise((resolve, reject) => {
    let done = 0;
    child.once('error', reject);
    child.stdout.setEncoding('utf8').on('data', (text) => {
      done += text.split('commit: ok').length - 1;
      if (done >= commits.length) resolve(performance.now());
    });
    child.once('exit', (code) => {
      if (code !== 0) reject(new Error(`git update-ref exited with ${code}`));
    });
    child.stdin.end(lines.join(''));
  });
}

async function once(context, shape, transport) {
  const place = await context.places.make(context.t, transport, shape);
  const peer = await DaemonPeer.start(place);
  try {
    const singles = [];
    for (const commit of shape.chain.slice(0, SINGLE)) singles.push(await peer.push(commit));
    const rest = shape.chain.slice(SINGLE, SINGLE + COMMITS);
    let pushes = 0;
    let inLast = 0;
    const last = rest[rest.length - 1];
    const allThere = new Promise((resolve) => {
      peer.handle.on('push', ({ commit, commits }) => {
        pushes += 1;
        inLast = commits;
        if (commit === last) resolve(performance.now());
      });
    });
    const startedAt = performance.now();
    const movedAt = await moveAlong(place.repo, shape.chain[SINGLE - 1], rest);
    const thereAt = await within(allThere, 'the end of the burst', LIMIT_MS);
    return {
      single: median(singles.slice(WARM_UPS)),
      made: movedAt - startedAt,
      after: Math.max(0, thereAt - movedAt),
      pushes,
      inLast,
    };
  } finally {
    await peer.stop();
  }
}

const makeBurst = (transport, isQuick) => ({
  name: `burst-${transport}`,
  title: `burst of ${COMMITS} commits, ${transport}`,
  isQuick,
  needs: transport,
  async run(context) {
    const shape = makeShape(context.run, {
      files: 1_000,
      layout: 'sharded',
      commits: SINGLE + COMMITS,
      packed: true,
    });
    const taken = [];
    for (let index = 0; index < context.iterations(30, 3); index += 1) {
      taken.push(await once(context, shape, transport));
    }
    const of = (read) => summarize(taken.map(read));
    const ratio = of(({ after, single }) => after / single);
    const pushes = of((burst) => burst.pushes);
    return {
      checks: [
        atMost('all there after the last, in pushes of one commit', ratio.median, 1.5, '×'),
        atMost('pushes', pushes.median, COMMITS / 20, ''),
      ],
      details: {
        'made in, ms': of(({ made }) => made),
        'all there after, ms': of(({ after }) => after),
        'one push, ms': of(({ single }) => single),
        'commits in the last push': of(({ inLast }) => inLast),
        pushes,
      },
    };
  },
});

export const burst = [makeBurst('local', true), makeBurst('ssh', false)];
