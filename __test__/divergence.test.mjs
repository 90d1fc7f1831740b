// A remote and a local branch that have diverged: events, preserved tips, and the rule never to force.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  macrotask,
  once,
  start,
  startInSync,
  startPushDaemon,
  thrownBy,
  until,
  untilState,
} from './support/daemon.mjs';
import { countConnections, ended, gateHook, startAtGate } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import {
  assertArrived,
  comeBack,
  commitByAnother,
  goAway,
  makeDiverged,
} from './support/remote.mjs';

describe('a remote that has diverged', () => {
  test('is reported once for each new local tip, without a retry or another connection', async (t) => {
    const { repo, remote, options, theirs, ours } = makeDiverged(t);
    const connections = countConnections(t, repo);
    const daemon = start(t, { ...options, backoff: FAST_BACKOFF, divergedProbeMs: 0 });
    const seen = collect(daemon);
    const tips = [ours];
    for (let round = 0; round < 4; round += 1) {
      const tip = tips.at(-1);
      const error = await once(daemon, 'error', ({ commit }) => commit === tip);
      assert.deepEqual(
        [error.attempt, error.reason, error.kind, error.retryable, error.remoteCommit],
        [1, 'non-fast-forward', 'non-fast-forward', false, theirs],
      );
      assert.match(error.err.message, new RegExp(theirs));
      const { state, pendingCommits, nextAttemptAt, currentBackoffMs } = daemon.status();
      assert.deepEqual(
        [state, pendingCommits, nextAttemptAt, currentBackoffMs],
        ['diverged', tips.length, null, null],
      );
      daemon.notifyCommit();
      for (let turn = 0; turn < 50; turn += 1) await macrotask();
      tips.push(repo.commit());
    }
    await once(daemon, 'error', ({ commit }) => commit === tips.at(-1));
    const result = await daemon.stop();
    assert.deepEqual(result, { drained: false, pendingCommits: tips.length });
    assert.deepEqual(
      seen.of('error').map(({ commit }) => commit),
      tips,
    );
    assert.deepEqual(new Set(seen.names()), new Set(['error', 'stopped']));
    assert.equal(connections(), tips.length);
    assert.equal(remote.tip(), theirs);
  });

  test('downloads nothing', async (t) => {
    const { repo, options, theirs } = makeDiverged(t);
    await once(start(t, { ...options, divergedProbeMs: 0 }), 'error');
    assert.throws(() => repo.git('cat-file', '-e', theirs), /./);
  });

  test('resumes by itself once it is rewound, without a new commit', async (t) => {
    const { repo, remote, options, ours } = makeDiverged(t);
    const daemon = start(t, { ...options, divergedProbeMs: 20 });
    const seen = collect(daemon);
    await once(daemon, 'error');
    remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    const push = await once(daemon, 'push');
    assert.equal(push.commit, ours);
    assert.deepEqual(seen.of('error').length, 1);
    assert.deepEqual(seen.of('retry'), []);
    await untilState(daemon, 'in-sync');
    assert.equal(daemon.status().lastError, null);
    assertArrived(remote, repo);
  });

  test('resumes with the merge once it is merged into the local branch', async (t) => {
    const { repo, remote, options, theirs, ours } = makeDiverged(t);
    const daemon = start(t, { ...options, divergedProbeMs: 0 });
    const seen = collect(daemon);
    await once(daemon, 'error');
    repo.git('fetch', '--quiet', remote.path, 'main');
    const tree = repo.git('merge-tree', '--write-tree', ours, theirs);
    const merge = repo.git('commit-tree', tree, '-p', ours, '-p', theirs, '-m', 'merge');
    repo.git('update-ref', 'refs/heads/main', merge);
    const push = await once(daemon, 'push');
    assert.deepEqual([push.commit, push.previous, push.commits], [merge, theirs, 2]);
    assert.equal(seen.of('error').length, 1);
    assertArrived(remote, repo);
  });

  test('is in sync without a push once the local branch is reset to it', async (t) => {
    const { repo, remote, options, theirs } = makeDiverged(t);
    const daemon = start(t, { ...options, divergedProbeMs: 0 });
    const seen = collect(daemon);
    await once(daemon, 'error');
    repo.git('fetch', '--quiet', remote.path, 'main');
    repo.git('update-ref', 'refs/heads/main', theirs);
    await untilState(daemon, 'in-sync');
    const { pendingCommits, lastError } = daemon.status();
    assert.deepEqual([pendingCommits, lastError], [0, null]);
    assert.deepEqual(seen.of('push'), []);
    const next = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === next);
    assertArrived(remote, repo);
  });

  test('during a push keeps its commits, and the divergence is reported once', async (t) => {
    const { repo, remote, options } = makePair(t);
    const gate = gateHook(t, remote);
    const daemon = await startInSync(t, { ...options, divergedProbeMs: 0 });
    const seen = collect(daemon);
    const ours = repo.commit();
    await gate.entered();
    const theirs = commitByAnother(remote);
    gate.open();
    const error = await once(daemon, 'error');
    assert.deepEqual(
      [error.reason, error.commit, error.remoteCommit],
      ['non-fast-forward', ours, theirs],
    );
    await daemon.stop();
    assert.deepEqual(seen.names(), ['error', 'stopped']);
    assert.equal(remote.tip(), theirs);
    remote.fsck();
  });

  test('only by receiving some of our commits from elsewhere is no failure', async (t) => {
    const { repo, remote, gate, daemon, seen } = await startAtGate(t);
    const first = repo.commit();
    await gate.entered();
    remote.git('fetch', '--quiet', repo.path, 'main:main');
    const second = repo.commit();
    gate.open();
    const push = await once(daemon, 'push', ({ commit }) => commit === second);
    assert.equal(push.previous, first);
    assert.deepEqual(seen.of('error'), []);
    assertArrived(remote, repo);
  });

  test("with onDivergence 'preserve' receives each local tip on its own branch", async (t) => {
    const { repo, remote, options, theirs, ours } = makeDiverged(t);
    const daemon = start(t, { ...options, onDivergence: 'preserve', divergedProbeMs: 20 });
    const seen = collect(daemon);
    const first = await once(daemon, 'preserved');
    assert.match(first.ref, /^refs\/heads\/conflicts\/\d{8}T\d{6}Z/);
    assert.equal(first.commit, ours);
    assert.equal(remote.git('rev-parse', first.ref), ours);
    // Within the same second, and so at the same timestamp.
    const next = repo.commit();
    const second = await once(daemon, 'preserved');
    assert.equal(second.commit, next);
    assert.equal(remote.git('rev-parse', second.ref), next);
    assert.equal(remote.git('rev-parse', first.ref), ours);
    assert.deepEqual(seen.names(), ['error', 'preserved', 'error', 'preserved']);
    assert.equal(remote.tip(), theirs);
    remote.fsck();

    // A restart knows nothing of them, and finds what is kept already.
    await daemon.stop();
    const again = start(t, { ...options, onDivergence: 'preserve', divergedProbeMs: 20 });
    collect(again);
    assert.deepEqual(await once(again, 'preserved'), second);

    // It is still reconciled like any other.
    remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    await once(again, 'push', ({ commit }) => commit === next);
    assert.equal(remote.tip(), next);
    assert.equal(remote.git('for-each-ref', 'refs/heads/conflicts').split('\n').length, 2);
  });
});

describe('repeated reads of a diverged remote', () => {
  test('emit no second error', async (t) => {
    const { repo, remote, options, theirs, ours } = makeDiverged(t);
    const connections = countConnections(t, repo);
    const daemon = start(t, { ...options, backoff: FAST_BACKOFF, divergedProbeMs: 5 });
    const seen = collect(daemon);
    await until('it was looked at', () => connections() >= 20);
    assert.equal(daemon.status().state, 'diverged');
    const { commit, remoteCommit } = seen.of('error')[0];
    assert.deepEqual([commit, remoteCommit], [ours, theirs]);
    // What else somebody commits there is seen, and no news.
    const more = commitByAnother(remote);
    await until('their next commit is seen', () => daemon.status().remoteCommit === more);
    const { totals, consecutiveFailures } = daemon.status();
    assert.deepEqual([totals.failures, consecutiveFailures], [1, 1]);
    await daemon.stop();
    assert.deepEqual(seen.names(), ['error', 'stopped']);
    assert.equal(remote.tip(), more);
  });

  test('emit no error while it is away, and pushing resumes once it is reconciled', async (t) => {
    const { repo, remote, options, ours } = makeDiverged(t);
    const daemon = start(t, { ...options, divergedProbeMs: 5 });
    const seen = collect(daemon);
    await once(daemon, 'error');
    goAway(remote);
    const connections = countConnections(t, repo);
    await until('it was looked for', () => connections() >= 3);
    comeBack(remote);
    remote.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    await once(daemon, 'push', ({ commit }) => commit === ours);
    await once(daemon, 'recovered');
    assert.deepEqual(seen.names(), ['error', 'push', 'recovered']);
    assertArrived(remote, repo);
  });
});

describe('a local history that was rewritten after a push', () => {
  /** Replaces the tip, as `git commit --amend` does. */
  function amend(repo) {
    const amended = repo.git('commit-tree', 'main^{tree}', '-p', 'main~1', '-m', 'amended');
    repo.git('update-ref', 'refs/heads/main', amended);
    return amended;
  }

  test("is reported with the remote's commit and never forced", async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 2 });
    remote.git('config', 'receive.denyNonFastForwards', 'false');
    const daemon = await startInSync(t, { ...options, divergedProbeMs: 5 });
    const seen = collect(daemon);
    const pushed = repo.commit();
    await once(daemon, 'push');
    const amended = amend(repo);
    const error = await once(daemon, 'error');
    assert.deepEqual(
      [error.reason, error.commit, error.remoteCommit],
      ['non-fast-forward', amended, pushed],
    );
    const { pendingCommits, behindCommits } = daemon.status();
    assert.deepEqual([pendingCommits, behindCommits], [1, 1]);
    assert.equal(remote.tip(), pushed);
    // The operator puts back what was pushed, with the new commit on top.
    const onTop = repo.git('commit-tree', `${amended}^{tree}`, '-p', pushed, '-m', 'on top');
    repo.git('update-ref', 'refs/heads/main', onTop);
    await once(daemon, 'recovered', ({ commit }) => commit === onTop);
    assert.deepEqual(seen.names(), ['push', 'error', 'push', 'recovered']);
    assertArrived(remote, repo);
  });

  test('is reported after a restart too, without the pushed commit in the local repository', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 2 });
    const pushed = remote.tip();
    const amended = amend(repo);
    repo.git('update-ref', '-d', 'refs/remotes/origin/main');
    repo.git('gc', '--quiet', '--prune=now');
    assert.throws(() => repo.git('cat-file', '-e', pushed));
    const daemon = start(t, options);
    const { reason, remoteCommit } = await once(daemon, 'error');
    assert.deepEqual([reason, remoteCommit], ['non-fast-forward', pushed]);
    await daemon.stop();
    assert.notEqual(remote.tip(), amended);
    assert.equal(remote.tip(), pushed);
  });
});

describe("onDivergence 'preserve'", () => {
  const REFUSE_CONFLICTS =
    'case "$1" in refs/heads/conflicts/*) echo "no branches" >&2; exit 1;; esac';

  const preserve = (t, options, more) =>
    start(t, { ...options, onDivergence: 'preserve', backoff: FAST_BACKOFF, ...more });

  function conflicts(remote) {
    const listed = remote.git('for-each-ref', '--format=%(objectname)', 'refs/heads/conflicts');
    return listed.split('\n').filter(Boolean);
  }

  for (const [how, divergedProbeMs] of [
    ['at the next look', 5],
    ['without looks, by the backoff', 0],
  ]) {
    test(`that fails is reported once and repeated ${how} until the tip is preserved, once`, async (t) => {
      const { repo, remote, options, theirs, ours } = makeDiverged(t);
      remote.hook('update', REFUSE_CONFLICTS);
      const connections = countConnections(t, repo);
      const daemon = preserve(t, options, { divergedProbeMs });
      const seen = collect(daemon);
      await until('it was tried', () => connections() >= 8);
      assert.deepEqual(
        seen.of('error').map(({ kind, commit }) => [kind, commit]),
        [
          ['non-fast-forward', ours],
          ['rejected', ours],
        ],
      );
      const { state, lastError } = daemon.status();
      assert.deepEqual([state, lastError.reason], ['diverged', 'non-fast-forward']);
      remote.removeHook('update');
      const { commit, ref } = await once(daemon, 'preserved');
      assert.equal(commit, ours);
      assert.equal(remote.git('rev-parse', ref), ours);
      // The next tip is kept beside it.
      const next = repo.commit();
      await once(daemon, 'preserved', (event) => event.commit === next);
      assert.deepEqual(conflicts(remote).sort(), [ours, next].sort());
      await daemon.stop();
      const names = 'error error preserved error preserved stopped';
      assert.deepEqual(seen.names(), names.split(' '));
      assert.equal(remote.tip(), theirs);
    });
  }

  test('waits for a remote that is away', async (t) => {
    const { remote, options, ours } = makeDiverged(t);
    remote.hook('update', REFUSE_CONFLICTS);
    const daemon = preserve(t, options, { divergedProbeMs: 0 });
    const seen = collect(daemon);
    await once(daemon, 'error', ({ kind }) => kind === 'rejected');
    goAway(remote);
    fs.rmSync(path.join(`${remote.path}.away`, 'hooks/update'));
    comeBack(remote);
    await once(daemon, 'preserved');
    assert.deepEqual(conflicts(remote), [ours]);
    assert.deepEqual(seen.names(), ['error', 'error', 'preserved']);
  });

  test('that failed is attempted once more by stop()', async (t) => {
    const { remote, options, ours } = makeDiverged(t);
    remote.hook('update', REFUSE_CONFLICTS);
    const daemon = preserve(t, options, { backoff: ENDLESS_BACKOFF, divergedProbeMs: 0 });
    const seen = collect(daemon);
    await once(daemon, 'error', ({ kind }) => kind === 'rejected');
    remote.removeHook('update');
    assert.deepEqual(await daemon.stop(), { drained: false, pendingCommits: 1 });
    assert.deepEqual(seen.names(), ['error', 'error', 'preserved', 'stopped']);
    assert.deepEqual(conflicts(remote), [ours]);
  });

  for (const limit of ['idleTimeoutMs', 'attemptTimeoutMs']) {
    test(`that hangs until ${limit} does not hide the divergence`, async (t) => {
      const { remote, options, ours } = makeDiverged(t);
      const gate = gateHook(t, remote);
      const daemon = preserve(t, options, { [limit]: 1000 });
      const seen = collect(daemon);
      await once(daemon, 'error', ({ kind }) => kind === 'timeout');
      assert.deepEqual(
        seen.of('error').map(({ kind }) => kind),
        ['non-fast-forward', 'timeout'],
      );
      assert.equal(daemon.status().state, 'diverged');
      gate.open();
      await once(daemon, 'preserved');
      assert.deepEqual(conflicts(remote), [ours]);
      assert.deepEqual(seen.of('retry'), []);
    });
  }

  test('that hangs delays stop() no longer than its deadline', async (t) => {
    const { remote, options } = makeDiverged(t);
    const gate = gateHook(t, remote);
    const daemon = start(t, { ...options, onDivergence: 'preserve' });
    const hooks = await gate.entered();
    assert.deepEqual(await daemon.stop({ timeoutMs: 300 }), { drained: false, pendingCommits: 1 });
    await ended(hooks);
    assert.deepEqual(remote.locks(), []);
  });
});

describe('nothing ever forces', () => {
  test('a refspec as the branch is refused at once', (t) => {
    const { options } = makePair(t);
    for (const branch of ['+main', '+refs/heads/main', 'main:main', ':main', '^main', 'main^{}']) {
      const error = thrownBy(() => startPushDaemon({ ...options, branch }));
      assert.equal(error.code, 'ERR_PUSH_DAEMON_INVALID_OPTION', branch);
    }
  });

  for (const [setting, value] of [
    ['remote.origin.push', '+refs/heads/*:refs/heads/*'],
    ['remote.origin.push', '+refs/heads/main:refs/heads/main'],
    ['remote.origin.mirror', 'true'],
    ['remote.pushDefault', 'origin'],
    ['push.default', 'matching'],
    ['push.followTags', 'true'],
  ]) {
    test(`not even with ${setting}=${value} here and receive.denyNonFastForwards=false there`, async (t) => {
      const { repo, remote, options, theirs, ours } = makeDiverged(t);
      remote.git('config', 'receive.denyNonFastForwards', 'false');
      repo.git('config', setting, value);
      repo.git('tag', '-a', '-m', 'local', 'v1', ours);
      const extra = remote.commit({ branch: 'theirs-only' });
      const daemon = start(t, { ...options, backoff: FAST_BACKOFF, divergedProbeMs: 10 });
      await once(daemon, 'error', ({ reason }) => reason === 'non-fast-forward');
      const next = repo.commit();
      await once(daemon, 'error', ({ commit }) => commit === next);
      await assert.rejects(daemon.flush(), { kind: 'non-fast-forward' });
      await daemon.stop();
      assert.equal(remote.tip(), theirs);
      assert.equal(remote.tip('theirs-only'), extra);
      assert.equal(remote.git('tag'), '');
    });
  }
});
