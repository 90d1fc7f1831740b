/** What explains the examples and the benchmark. */

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
  const [start] = sandbox
    .localize(block, {
      'data.git': path.join(sandbox.directory, 'data.git'),
      '<remote>': remote.path,
      '<token>': 'secret',
      'npm start': `exec ${scripts.start}`,
    })
    .trim()
    .split('\n');
  const cwd = path.join(ROOT, 'examples/fastify-api');
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

/** A whole run takes half an hour: its names are listed, and its options and words are those that there are. */
async function listsTheBenchmark(t, { body }) {
  const lines = body.trim().split('\n');
  const commands = lines.map((line) => line.split('#')[0].trim());
  const [list] = commands.filter((command) => command.endsWith(' --list'));
  const names = await new Sandbox(t).run(list.replace('npm run', 'npm run --silent'), {
    cwd: ROOT,
  });
  const source = readFileSync(path.join(ROOT, 'bench/main.mjs'), 'utf8');
  for (const command of commands) {
    const [, option, words] =
      /^npm run bench(?: -- --(\w+)(?: (\S+))?)?$/.exec(command) ?? assert.fail(command);
    if (option !== undefined) assert.match(source, new RegExp(`^    ${option}: \\{ type`, 'm'));
    if (option === 'minutes') assert.ok(Number(words) > 0, words);
    else for (const word of words?.split(',') ?? []) assert.ok(names.includes(word), word);
  }
}

export default [
  {
    name: 'bench/README.md',
    runs: [
      {
        title: 'its commands are those of the benchmark',
        blocks: ['sh in The benchmark'],
        run: listsTheBenchmark,
      },
    ],
  },
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
