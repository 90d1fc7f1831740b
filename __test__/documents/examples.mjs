/** What explains the examples. */

import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';

import { ROOT } from '../support/child.mjs';
import { until } from '../support/daemon.mjs';
import { makePair } from '../support/git.mjs';
import { freePort } from '../support/servers.mjs';
import { Sandbox } from '../support/shell.mjs';

const hasPromtool = spawnSync('promtool', ['--version'], { timeout: 60_000 }).error === undefined;

async function checkRules(t, block) {
  const output = await new Sandbox(t).run(block, { cwd: path.join(ROOT, 'examples/prometheus') });
  assert.match(output, /SUCCESS: \d+ rules found/);
}

/** Its last line runs until it is told to end; the shell tells it, once there was an answer and a push. */
async function runByHand(t, block) {
  const { remote } = makePair(t);
  const sandbox = new Sandbox(t);
  const port = await freePort();
  // What `npm start` runs, by itself: npm does not pass signals on.
  const { scripts } = JSON.parse(
    readFileSync(path.join(ROOT, 'examples/fastify-api/package.json'), 'utf8'),
  );
  const [clone, start] = sandbox
    .localize(block, {
      'data.git': path.join(sandbox.directory, 'data.git'),
      '<remote>': remote.path,
      '<token>': 'secret',
      'npm start': `exec ${scripts.start}`,
    })
    .trim()
    .split('\n');
  const cwd = path.join(ROOT, 'examples/fastify-api');
  await sandbox.run(clone, { cwd });
  const stop = new AbortController();
  const ended = sandbox.outcome(start, { cwd, env: { PORT: String(port) }, signal: stop.signal });
  const put = () =>
    fetch(`http://127.0.0.1:${port}/proposals/talk`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ title: 'A talk', speaker: 'Somebody' }),
    }).catch(() => null);
  const response = await until('the API answers', put);
  const { commit } = await response.json();
  await until('the commit is on the remote', () => remote.tip() === commit);
  stop.abort();
  await ended;
}

export default [
  {
    name: 'examples/fastify-api/README.md',
    runs: [
      {
        title: 'its commands run the API, which pushes',
        blocks: ['sh in Example: a Fastify API whose data is a git repository'],
        run: runByHand,
      },
    ],
  },
  {
    name: 'examples/prometheus/README.md',
    runs: [
      {
        title: 'its commands check the rules',
        blocks: ['sh in Alerts and a dashboard'],
        run: checkRules,
        skip:
          !hasPromtool &&
          process.env.CI !== 'true' &&
          'promtool is missing (Debian, Ubuntu: apt install prometheus)',
      },
    ],
  },
];
