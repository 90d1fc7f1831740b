// Commits at random moments, by several writers, past several daemons: not one is missed.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { startScript } from './support/child.mjs';
import { atEnd } from './support/cleanup.mjs';
import { collect, FAST_BACKOFF, start, startInSync, until } from './support/daemon.mjs';
import { makePair } from './support/git.mjs';

const LIMIT_MS = 120_000;

/**
 * A writer: makes commits whose parent is the branch's tip, with plain git, at random moments. Where another
 * writer was faster it tries again, so that every commit that it tells of is on the branch.
 */
const WRITER = `
  const { spawnSync } = require('node:child_process');
  const git = (input, ...args) => spawnSync('git', args, { cwd: input.repo, encoding: 'utf8', timeout: 30_000 });
  const must = (run) => {
    if (run.status !== 0) throw new Error(run.stderr);
    return run.stdout.trim();
  };
  const ref = 'refs/heads/main';
  const tree = must(git(input, 'rev-parse', ref + '^{tree}'));
  for (let made = 0; made < input.commits; ) {
    const parent = must(git(input, 'rev-parse', ref));
    const message = input.name + ' ' + made + ' ' + Math.random();
    const commit = must(git(input, 'commit-tree', tree, '-p', parent, '-m', message));
    if (git(input, 'update-ref', ref, commit, parent).status !== 0) continue;
    made += 1;
    tell(commit);
    const pause = Math.random() < 0.1 ? Math.random() * 30 : 0;
    await new Promise((resolve) => setTimeout(resolve, pause));
  }
`;

const HOST = `
  const daemon = startPushDaemon(input);
  daemon.ref();
  daemon.on('push', ({ commits }) => tell({ push: commits }));
  daemon.on('error', ({ kind, err }) => tell({ error: kind, message: err.message }));
  process.once('SIGTERM', async () => tell({ stopped: await daemon.stop() }));
  tell({ ready: true });
`;

function startWriters(t, repo, count, commits) {
  return Array.from({ length: count }, (_, index) => {
    const writer = startScript(WRITER, {
      input: { repo: repo.path, commits, name: `writer ${index}` },
      limitMs: LIMIT_MS,
    });
    atEnd(t, () => writer.kill());
    return writer;
  });
}

/** All commits that the writers have told of, once they have ended. */
async function commitsOf(writers) {
  const ends = await Promise.all(writers.map(({ ended }) => ended));
  for (const { code, stderr } of ends) assert.equal(code, 0, stderr);
  return ends.flatMap(({ told }) => told);
}

function assertAllArrived(repo, remote, commits, before) {
  assert.equal(remote.tip(), repo.tip());
  const there = new Set(remote.git('rev-list', 'main').split('\n'));
  assert.deepEqual(
    commits.filter((commit) => !there.has(commit)),
    [],
  );
  assert.equal(there.size, before + commits.length);
  remote.fsck();
  repo.fsck();
  assert.deepEqual([...remote.locks(), ...repo.locks()], []);
}

describe('under load', () => {
  test('1,000 commits at random moments from two processes all arrive', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    const commits = await commitsOf(startWriters(t, repo, 2, 500));
    assert.equal(commits.length, 1000);
    await daemon.waitForPush(repo.tip(), { timeoutMs: LIMIT_MS });
    assertAllArrived(repo, remote, commits, 1);
    await daemon.stop();

    assert.deepEqual(new Set(seen.names()), new Set(['push', 'stopped']));
    const pushes = seen.of('push');
    assert.ok(pushes.length < commits.length, `${pushes.length} pushes`);
    assert.equal(
      pushes.reduce((sum, push) => sum + push.commits, 0),
      commits.length,
    );
    // Each push goes on where the one before ended.
    for (const [index, push] of pushes.entries()) {
      if (index > 0) assert.equal(push.previous, pushes[index - 1].commit);
    }
    const { totals, pendingCommits } = daemon.status();
    assert.deepEqual(
      [totals.pushes, totals.commits, totals.failures, pendingCommits],
      [pushes.length, commits.length, 0, 0],
    );
  });

  test('commits that land while daemons start and stop again and again all arrive', async (t) => {
    const { repo, remote, options } = makePair(t);
    const [writer] = startWriters(t, repo, 1, 150);
    let isWriting = true;
    writer.ended.finally(() => {
      isWriting = false;
    });
    let rounds = 0;
    const errors = [];
    while (isWriting) {
      const daemon = start(t, options);
      daemon.on('error', (error) => errors.push(error));
      const tip = repo.tip();
      await daemon.waitForPush(tip);
      assert.equal((await daemon.stop()).drained, true);
      rounds += 1;
    }
    const commits = await commitsOf([writer]);
    const last = start(t, options);
    await last.waitForPush(repo.tip());
    await last.stop();
    assert.ok(rounds > 1);
    assert.deepEqual(errors, []);
    assertAllArrived(repo, remote, commits, 1);
  });

  test('two daemons of two processes on one repository share the work without an error', async (t) => {
    const { repo, remote, options } = makePair(t);
    const hosts = [1, 2].map(() => {
      const host = startScript(HOST, {
        input: { ...options, backoff: FAST_BACKOFF },
        limitMs: LIMIT_MS,
      });
      atEnd(t, () => host.kill());
      return host;
    });
    for (const host of hosts) await host.untilTold(({ ready }) => ready);
    const commits = await commitsOf(startWriters(t, repo, 1, 200));
    await until('the remote has all', () => remote.tip() === repo.tip(), LIMIT_MS);
    for (const host of hosts) host.kill('SIGTERM');
    const told = (await Promise.all(hosts.map(({ ended }) => ended))).flatMap((end) => end.told);
    assertAllArrived(repo, remote, commits, 1);
    assert.deepEqual(
      told.filter(({ error }) => error),
      [],
    );
    assert.deepEqual(
      told.flatMap(({ stopped }) => (stopped ? [stopped] : [])),
      hosts.map(() => ({ drained: true, pendingCommits: 0 })),
    );
  });
});
