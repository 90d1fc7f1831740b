// Outside changes to both repositories while the daemon runs: locks, maintenance, removal, damage. Pushing resumes by itself
// once they are over.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once as emitted } from 'node:events';
import fs from 'node:fs';
import path from 'node:path';
import { describe, test } from 'node:test';

import {
  collect,
  ENDLESS_BACKOFF,
  FAST_BACKOFF,
  once,
  start,
  startInSync,
  until,
  untilState,
} from './support/daemon.mjs';
import { makePair, makeRemote, makeRepo, REF_FORMAT, testOf } from './support/git.mjs';
import { assertArrived, comeBack, commitByAnother, goAway } from './support/remote.mjs';

/** The file of a loose object. */
function fileOf(repository, object) {
  return path.join(repository.path, 'objects', object.slice(0, 2), object.slice(2));
}

/** Where the value of the branch is. */
function refFile(repository) {
  return path.join(
    repository.path,
    REF_FORMAT === 'files' ? 'refs/heads/main' : 'reftable/tables.list',
  );
}

/** Overwrites a file, even a read-only one; returns a function that restores it. */
function damage(file, bytes = Buffer.from('damaged')) {
  const content = fs.readFileSync(file);
  fs.rmSync(file);
  fs.writeFileSync(file, bytes);
  return () => fs.writeFileSync(file, content);
}

describe('a lock', () => {
  testOf(
    { refs: 'files' },
    'on the local remote-tracking ref, left by a dead process, delays no push',
    async (t) => {
      const { repo, remote, options } = makePair(t);
      const lock = path.join(repo.path, 'refs/remotes/origin/main.lock');
      const daemon = await startInSync(t, options);
      const seen = collect(daemon);
      fs.writeFileSync(lock, '');
      for (let round = 0; round < 3; round += 1) {
        const tip = repo.commit();
        await once(daemon, 'push', ({ commit }) => commit === tip);
      }
      await daemon.stop();
      assert.deepEqual(seen.names(), ['push', 'push', 'push', 'stopped']);
      assert.equal(fs.existsSync(lock), true, 'it may not be stale: it is not ours to remove');
      fs.rmSync(lock);
      assertArrived(remote, repo);
    },
  );
});

describe('maintenance', () => {
  const RACE_KINDS = { here: [], 'at the remote': ['remote-error', 'remote-lock'] };

  for (const side of ['here', 'at the remote']) {
    test(`${side} during commits and pushes harms neither`, async (t) => {
      const { repo, remote, options } = makePair(t, { commits: 3 });
      const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
      const seen = collect(daemon);
      for (const maintenance of [
        ['gc', '--quiet'],
        ['pack-refs', '--all', '--prune'],
        ['repack', '-q', '-a', '-d'],
      ]) {
        const running = spawn('git', maintenance, {
          cwd: side === 'here' ? repo.path : remote.path,
          stdio: 'ignore',
          timeout: 60_000,
        });
        const closed = emitted(running, 'close');
        let isRunning = true;
        closed.then(() => {
          isRunning = false;
        });
        do {
          const tip = repo.commit();
          await once(daemon, 'push', ({ commit }) => commit === tip);
        } while (isRunning);
      }
      // A gc on the remote may remove objects that a concurrent push needs: a race of git's own, which a retry wins.
      const unexpected = seen.of('error').filter(({ kind }) => !RACE_KINDS[side].includes(kind));
      assert.deepEqual(unexpected, []);
      await untilState(daemon, 'in-sync');
      assertArrived(remote, repo);
    });
  }
});

describe('the branch', () => {
  test('deleted locally and recreated with another history is a divergence, not a push', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, divergedProbeMs: 0 });
    const seen = collect(daemon);
    const before = repo.tip();
    repo.git('update-ref', '-d', 'refs/heads/main');
    await until('the deletion is seen', () => daemon.status().localCommit === null);
    const other = repo.commit();
    const error = await once(daemon, 'error');
    assert.deepEqual(
      [error.reason, error.commit, error.remoteCommit],
      ['non-fast-forward', other, before],
    );
    // Deleted once more, there is nothing to complain of; set back, all is well.
    repo.git('update-ref', '-d', 'refs/heads/main');
    await until('it rests', () => daemon.status().state === 'in-sync');
    repo.git('update-ref', 'refs/heads/main', before);
    await until('the branch is seen', () => daemon.status().lastError === null);
    const next = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === next);
    assert.equal(seen.of('error').length, 1);
    assertArrived(remote, repo);
  });

  test('deleted locally during a backoff is left alone, and pushed once recreated', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    collect(daemon);
    goAway(remote);
    const tip = repo.commit();
    await once(daemon, 'retry');
    repo.git('update-ref', '-d', 'refs/heads/main');
    comeBack(remote);
    await untilState(daemon, 'in-sync');
    assert.notEqual(remote.tip(), null);
    repo.git('update-ref', 'refs/heads/main', tip);
    await once(daemon, 'push', ({ commit }) => commit === tip);
    assertArrived(remote, repo);
  });
});

describe('a remote', () => {
  test('replaced by an empty one receives the whole history with the next commit', async (t) => {
    const { repo, remote, options } = makePair(t, { commits: 3 });
    const daemon = await startInSync(t, options);
    const seen = collect(daemon);
    fs.rmSync(remote.path, { recursive: true });
    makeRemote(t, { directory: remote.path });
    const tip = repo.commit();
    const push = await once(daemon, 'push');
    assert.deepEqual([push.commit, push.previous, push.commits], [tip, null, 4]);
    assert.deepEqual(seen.names(), ['regressed', 'push']);
    assertArrived(remote, repo);
  });

  test('replaced by one with another history is a divergence', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, options);
    fs.rmSync(remote.path, { recursive: true });
    makeRemote(t, { directory: remote.path });
    const theirs = commitByAnother(remote);
    const ours = repo.commit();
    const { reason, commit, remoteCommit } = await once(daemon, 'error');
    assert.deepEqual([reason, commit, remoteCommit], ['non-fast-forward', ours, theirs]);
  });

  for (const [what, spoil] of [
    ['whose ref is damaged', (remote) => damage(refFile(remote))],
    // An empty list of tables is a repository without refs.
    ...(REF_FORMAT === 'files'
      ? [['whose ref is empty', (remote) => damage(refFile(remote), '')]]
      : []),
    [
      'that lost its tip',
      (remote) => {
        const file = fileOf(remote, remote.tip());
        const content = fs.readFileSync(file);
        fs.rmSync(file);
        return () => fs.writeFileSync(file, content);
      },
    ],
    ['whose tip is damaged', (remote) => damage(fileOf(remote, remote.tip()))],
    [
      'whose tree is damaged',
      (remote) => damage(fileOf(remote, remote.git('rev-parse', 'main^{tree}'))),
    ],
  ]) {
    test(`${what} fails with remote-error and receives everything once repaired`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
      const mend = spoil(remote);
      const tip = repo.commit();
      const { kind, commit, retryable, hint } = await once(daemon, 'error');
      assert.deepEqual([kind, commit, retryable], ['remote-error', tip, true]);
      assert.match(hint, /The server failed/);
      mend();
      await once(daemon, 'recovered');
      assertArrived(remote, repo);
    });
  }
});

describe('the local repository', () => {
  test('that is removed and put back is followed again without a restart', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: ENDLESS_BACKOFF });
    const seen = collect(daemon);
    goAway(repo);
    daemon.notifyCommit();
    const { kind, err } = await once(daemon, 'error');
    assert.equal(kind, 'local');
    assert.match(err.message, new RegExp(`no git repository at ${repo.path}`));
    // However often it is looked for.
    for (let round = 0; round < 20; round += 1) {
      daemon.notifyCommit();
      await new Promise(setImmediate);
    }
    comeBack(repo);
    daemon.notifyCommit();
    await once(daemon, 'recovered');
    const tip = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === tip);
    assert.deepEqual(seen.names(), ['error', 'retry', 'recovered', 'push']);
    assertArrived(remote, repo);
  });

  test('that is replaced by a fresh clone of the remote is followed again', async (t) => {
    const { repo, remote, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    collect(daemon);
    fs.rmSync(repo.path, { recursive: true });
    makeRepo(t, { directory: repo.path });
    repo.git('remote', 'add', 'origin', remote.path);
    repo.git('fetch', '--quiet', 'origin', 'main:main');
    const tip = repo.commit();
    daemon.notifyCommit();
    await until('it is there', () => remote.tip() === tip);
    await untilState(daemon, 'in-sync');
    assertArrived(remote, repo);
  });

  for (const [what, spoil, words] of [
    ['whose ref is damaged', (repo) => damage(refFile(repo)), /refs\/heads\/main/],
    ...(REF_FORMAT === 'files'
      ? [
          [
            'whose ref names a missing object',
            (repo) => damage(refFile(repo), `${'12'.repeat(repo.tip().length / 2)}\n`),
            /(12){20}/,
          ],
        ]
      : []),
    ['whose tip is damaged', (repo) => damage(fileOf(repo, repo.tip())), /./],
    [
      'whose new file is damaged',
      (repo) => damage(fileOf(repo, repo.git('rev-parse', 'main:new'))),
      /./,
    ],
  ]) {
    test(`${what} is a local failure that names the object, and the commits arrive once repaired`, async (t) => {
      const { repo, remote, options } = makePair(t);
      const tip = repo.commit({ files: { new: `${Math.random()}\n` } });
      const object = what.includes('file') ? repo.git('rev-parse', 'main:new') : tip;
      const mend = spoil(repo);
      const daemon = start(t, { ...options, backoff: FAST_BACKOFF });
      const { kind, err, hint } = await once(daemon, 'error');
      assert.equal(kind, 'local');
      assert.match(err.message, what.includes('ref') ? words : new RegExp(object));
      assert.match(hint, /git fsck/);
      mend();
      await once(daemon, 'push', ({ commit }) => commit === tip);
      await once(daemon, 'recovered');
      assertArrived(remote, repo);
    });
  }
});

/** Makes the remote refuse the next push of its branch with these words, after running `run` in a shell. */
function answerOnce(remote, words, run) {
  remote.git('config', 'receive.procReceiveRefs', 'refs/heads/main');
  const hook = remote.hook('proc-receive');
  fs.writeFileSync(
    hook,
    `#!${process.execPath}
const { execSync } = require('node:child_process');
const packet = (text) => (text.length + 4).toString(16).padStart(4, '0') + text;
let sections = 0;
process.stdin.setEncoding('latin1').on('data', (text) => {
  for (const _ of text.matchAll(/0000/g)) sections += 1;
  if (sections === 1) process.stdout.write(packet('version=1\\0') + '0000');
  if (sections < 2) return;
  execSync(${JSON.stringify(`git config --unset receive.procReceiveRefs; ${run}`)}, {
    env: { PATH: process.env.PATH, GIT_DIR: '.' },
  });
  process.stdout.write(packet('ng refs/heads/main ${words}') + '0000', () => process.exit());
});
`,
  );
}

describe('a server that refuses a push as no fast-forward', () => {
  for (const words of ['non-fast forward', 'rejected (non-fast-forward)', 'failed to lock']) {
    test(`is read again, and a lost race is no error: ${words}`, async (t) => {
      const { repo, remote, options } = makePair(t);
      answerOnce(remote, words, 'true');
      const daemon = await startInSync(t, { ...options, keepConnectionMs: 0 });
      const seen = collect(daemon);
      const tip = repo.commit();
      await once(daemon, 'push', ({ commit }) => commit === tip);
      assert.deepEqual(seen.of('error'), []);
      assertArrived(remote, repo);
    });
  }

  test("is read again, and a divergence is reported with the remote's commit", async (t) => {
    const { repo, remote, options } = makePair(t);
    const before = remote.tip();
    const theirs = commitByAnother(remote);
    remote.git('update-ref', 'refs/heads/main', before);
    answerOnce(remote, 'non-fast forward', `git update-ref refs/heads/main ${theirs}`);
    const daemon = await startInSync(t, { ...options, keepConnectionMs: 0 });
    repo.commit();
    const { kind, remoteCommit } = await once(daemon, 'error');
    assert.deepEqual([kind, remoteCommit], ['non-fast-forward', theirs]);
    assert.equal(remote.tip(), theirs);
  });
});
