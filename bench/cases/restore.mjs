/** Restoring a repository, beside `git clone --bare` of the same remote. */

import { spawn } from 'node:child_process';
import { rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

import { atMost } from '../measure.mjs';
import { makeShape, setTip } from '../repositories.mjs';
import { shuffled, summarize } from '../statistics.mjs';

const require = createRequire(import.meta.url);
const { restoreRepository } = require('../../index.js');

const COMMITS = 10_000;
const LIMIT_MS = 300_000;

async function cloneByGit(url, into) {
  const child = spawn('git', ['clone', '--quiet', '--bare', url, into], {
    stdio: 'ignore',
    timeout: LIMIT_MS,
  });
  const code = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', resolve);
  });
  if (code !== 0) throw new Error(`git clone exited with ${code}`);
}

/** A path is copied by links; a URL is what a server answers: a pack that is received, indexed and checked. */
const makeCase = (name, urlOf) => ({
  name: `restore-${COMMITS}-${name}`,
  title: `restoring ${COMMITS} commits, ${name}`,
  isQuick: false,
  async run(context) {
    const shape = makeShape(context.run, {
      files: 1_000,
      layout: 'sharded',
      commits: COMMITS,
      packed: true,
    });
    const place = await context.places.make(context.t, 'local', shape);
    setTip(place.repo, shape.chain[shape.chain.length - 1]);
    const url = urlOf(place.repo);
    const into = path.join(place.directory, 'clone.git');
    const by = {
      restoreRepository: () => restoreRepository({ repoPath: into, url, branch: 'main' }),
      'git clone --bare': () => cloneByGit(url, into),
    };
    const taken = Object.fromEntries(Object.keys(by).map((peer) => [peer, []]));
    for (let index = 0; index < context.iterations(15, 3); index += 1) {
      for (const peer of shuffled(Object.keys(by))) {
        const startedAt = performance.now();
        await by[peer]();
        taken[peer].push(performance.now() - startedAt);
        rmSync(into, { recursive: true });
      }
    }
    const [ours, git] = Object.values(taken).map(summarize);
    return {
      details: { 'restoreRepository, ms': ours, 'git clone --bare, ms': git },
      checks: [atMost('of git clone --bare', ours.median / git.median, 1, '×')],
    };
  },
});

export const restore = [
  makeCase('path', (repository) => repository),
  makeCase('file', (repository) => `file://${repository}`),
];
