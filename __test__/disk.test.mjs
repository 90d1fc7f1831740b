// Disks that are full, read-only or gone, here and at the remote. Real ones: each test mounts its own.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { collect, FAST_BACKOFF, once, start, startInSync, untilState } from './support/daemon.mjs';
import { freeze, makeDisk, makeMountPoint, NO_MOUNT } from './support/disk.mjs';
import { makePair, makeRemote, makeRepo } from './support/git.mjs';
import { assertArrived } from './support/remote.mjs';

/** A file that does not compress well: about 8 bytes for each number. */
function numbers(count) {
  return { numbers: Array.from({ length: count }, () => Math.random()).join('\n') };
}

/** A pair with one side on a disk of its own. */
function makePairOn(t, side) {
  const disk = makeDisk(t);
  const place = { directory: `${disk.path}/data.git` };
  const remote = makeRemote(t, side === 'remote' ? place : {});
  const repo = makeRepo(t, side === 'local' ? place : {});
  repo.git('remote', 'add', 'origin', remote.path);
  repo.commit();
  repo.git('push', '--quiet', 'origin', 'main');
  const options = { remote: 'origin', branch: 'main', repoPath: repo.path };
  return { disk, remote, repo, options: { ...options, backoff: FAST_BACKOFF } };
}

/** Keeps what a daemon warns of. */
function warnings() {
  const said = [];
  const ignore = () => {};
  const keep = (fields, message) => said.push(`${message ?? ''} ${JSON.stringify(fields)}`);
  return { said, logger: { debug: ignore, info: ignore, warn: keep, error: keep } };
}

describe("the remote's disk", { skip: NO_MOUNT }, () => {
  test('that is full is a failure of the remote, in its words, and retried until there is room', async (t) => {
    const { disk, remote, repo, options } = makePairOn(t, 'remote');
    const daemon = await startInSync(t, options);
    const before = remote.tip();
    disk.fill();
    const tip = repo.commit({ files: numbers(1000) });
    const error = await once(daemon, 'error');
    assert.deepEqual([error.kind, error.commit], ['remote-error', tip]);
    assert.match(error.err.message, /No space left on device|temporary object directory/);
    assert.match(error.hint, /disk/);
    assert.equal(remote.tip(), before);
    disk.free();
    await once(daemon, 'recovered');
    assertArrived(remote, repo);
  });

  test('that fills up during a push keeps nothing of it and has room for a smaller one', async (t) => {
    const { remote, repo, options } = makePairOn(t, 'remote');
    const daemon = await startInSync(t, options);
    collect(daemon);
    // More than fits the empty disk.
    const tip = repo.commit({ files: numbers(500_000) });
    const error = await once(daemon, 'error');
    assert.deepEqual([error.kind, error.commit], ['remote-error', tip]);
    assert.match(error.err.message, /No space left on device/);
    repo.git('update-ref', 'refs/heads/main', 'refs/heads/main~1');
    const small = repo.commit();
    await daemon.waitForPush(small);
    assertArrived(remote, repo);
  });

  test('that is read-only is a failure of the remote until it can be written again', async (t) => {
    const { disk, remote, repo, options } = makePairOn(t, 'remote');
    const daemon = await startInSync(t, options);
    disk.becomeReadOnly();
    repo.commit();
    const { kind, retryable } = await once(daemon, 'error');
    assert.deepEqual([kind, retryable], ['remote-error', true]);
    disk.becomeWritable();
    await once(daemon, 'recovered');
    assertArrived(remote, repo);
  });

  test('on which only the refs cannot be written is no lock of another push', async (t) => {
    const { remote, repo, options } = makePair(t);
    const daemon = await startInSync(t, { ...options, backoff: FAST_BACKOFF });
    const thaw = freeze(t, `${remote.path}/refs`);
    repo.commit();
    const { kind, err, hint } = await once(daemon, 'error');
    assert.equal(kind, 'remote-error');
    assert.match(err.message, /Read-only file system/);
    assert.match(hint, /disk/);
    thaw();
    await once(daemon, 'recovered');
    assertArrived(remote, repo);
  });
});

describe('the local disk', { skip: NO_MOUNT }, () => {
  for (const [what, spoil, mend] of [
    ['full', (disk) => disk.fill(), (disk) => disk.free()],
    ['read-only', (disk) => disk.becomeReadOnly(), (disk) => disk.becomeWritable()],
  ]) {
    test(`that is ${what} still pushes its commits and keeps no locks`, async (t) => {
      const { disk, remote, repo, options } = makePairOn(t, 'local');
      const before = repo.tip();
      const tip = repo.commit();
      spoil(disk);
      const { said, logger } = warnings();
      const daemon = start(t, { ...options, logger });
      const seen = collect(daemon);
      const push = await once(daemon, 'push');
      assert.deepEqual([push.commit, push.previous], [tip, before]);
      await untilState(daemon, 'in-sync');
      assert.match(said.join('\n'), /remote-tracking ref could not be updated/);
      assert.equal(repo.git('rev-parse', 'refs/remotes/origin/main'), before);
      await daemon.stop();
      assert.deepEqual(seen.names(), ['push', 'stopped']);
      assertArrived(remote, repo);

      // A restart is not misled by the remote-tracking ref that is out of date.
      const again = await startInSync(t, options);
      const later = collect(again);
      mend(disk);
      const next = repo.commit();
      await once(again, 'push', ({ commit }) => commit === next);
      assert.deepEqual(later.names(), ['push']);
      assert.equal(repo.git('rev-parse', 'refs/remotes/origin/main'), next);
      assertArrived(remote, repo);
    });
  }

  test('that is unmounted is a local failure, reported sparingly, and followed again once mounted', async (t) => {
    const { remote, repo, options } = makePair(t);
    const volume = makeMountPoint(t, repo.path);
    const daemon = await startInSync(t, {
      ...options,
      repoPath: volume.path,
      // None but the look that finds the volume again could end this wait in time.
      backoff: { base: 3_600_000, multiplier: 1, cap: 3_600_000 },
    });
    const seen = collect(daemon);
    volume.unmount();
    daemon.notifyCommit();
    const { kind, err, hint } = await once(daemon, 'error');
    assert.equal(kind, 'local');
    assert.match(err.message, new RegExp(volume.path));
    assert.match(hint, /local repository/);
    for (let round = 0; round < 5; round += 1) daemon.notifyCommit();
    volume.mount();
    daemon.notifyCommit();
    await once(daemon, 'recovered');
    assert.deepEqual(seen.names(), ['error', 'retry', 'recovered']);
    const next = repo.commit();
    await once(daemon, 'push', ({ commit }) => commit === next);
    assertArrived(remote, repo);
  });
});
