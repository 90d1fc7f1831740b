// The pack that is made while the connection is: used where nothing unexpected has happened on either side, and made
// again, from what the remote says, where something has.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { once, start, until, untilState } from './support/daemon.mjs';
import { makeGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { commitByAnother } from './support/remote.mjs';

/** A daemon in sync, and for each push whether its pack was begun before the connection was there. */
async function startInSync(t) {
  const pair = makePair(t);
  const guessed = [];
  const ignore = () => {};
  const logger = {
    debug: (fields, message) => {
      if (message === 'the steps of an attempt') guessed.push(fields.guessed_ms !== undefined);
    },
    info: ignore,
    warn: ignore,
    error: ignore,
  };
  const daemon = start(t, { ...pair.options, logger });
  await untilState(daemon, 'in-sync');
  return { ...pair, daemon, guessed };
}

async function arrives({ daemon, remote }, commit) {
  const push = await once(daemon, 'push', (event) => event.commit === commit);
  assert.equal(remote.tip(), commit);
  remote.fsck();
  return push;
}

describe('the pack that is made while connecting', () => {
  test('is sent if the branch has moved on by a few commits', async (t) => {
    const site = await startInSync(t);
    await arrives(site, site.repo.commit());
    await arrives(site, site.repo.commit());
    assert.deepEqual(site.guessed, [true, true]);
  });

  test('is not sent for a merge, of which the remote may have a side', async (t) => {
    const site = await startInSync(t);
    const { repo, remote } = site;
    for (const branch of ['side', 'one']) repo.git('branch', branch, 'main');
    const side = repo.commit({ branch: 'side' });
    repo.git('push', '--quiet', remote.path, 'side');
    const one = repo.commit({ branch: 'one' });
    const merge = repo.git('commit-tree', '-p', one, '-p', side, '-m', 'both', `${side}^{tree}`);
    repo.git('update-ref', 'refs/heads/main', merge);
    assert.equal((await arrives(site, merge)).commits, 2);
    assert.deepEqual(site.guessed, [false]);
  });

  test('is not sent if the remote has some of it under another name', async (t) => {
    const site = await startInSync(t);
    const { repo, remote } = site;
    repo.git('branch', 'next', 'main');
    const tip = repo.commit({ branch: 'next' });
    repo.git('push', '--quiet', remote.path, 'next');
    repo.git('update-ref', 'refs/heads/main', tip);
    assert.equal((await arrives(site, tip)).commits, 0);
    assert.deepEqual(site.guessed, [false]);
  });

  test('is not sent if the branch moves on meanwhile', async (t) => {
    const site = await startInSync(t);
    const gate = makeGate(t);
    wrapReceivePack(t, site.repo, ...gate.lines);
    site.repo.commit();
    await gate.entered();
    const tip = site.repo.commit();
    gate.open();
    assert.equal((await arrives(site, tip)).commits, 2);
    assert.deepEqual(site.guessed, [false]);
  });

  test('is not sent if the branch is rewound meanwhile', async (t) => {
    const site = await startInSync(t);
    const gate = makeGate(t);
    wrapReceivePack(t, site.repo, ...gate.lines);
    const before = site.repo.tip();
    site.repo.commit();
    await gate.entered();
    site.repo.git('update-ref', 'refs/heads/main', before);
    gate.open();
    await until('all to be in sync', () => {
      const { state, localCommit } = site.daemon.status();
      return state === 'in-sync' && localCommit === before;
    });
    assert.equal(site.remote.tip(), before);
    assert.deepEqual(site.guessed, []);
  });

  test('is not sent if another client has pushed', async (t) => {
    const site = await startInSync(t);
    const theirs = commitByAnother(site.remote);
    site.repo.commit();
    await once(site.daemon, 'error', ({ kind }) => kind === 'non-fast-forward');
    assert.equal(site.remote.tip(), theirs);
    assert.deepEqual(site.guessed, []);
  });

  test('is made only once after a failure, and the commits are pushed all the same', async (t) => {
    const site = await startInSync(t);
    const { repo, remote, guessed } = site;
    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    await once(site.daemon, 'error', ({ kind }) => kind === 'rejected');
    const tip = repo.commit();
    const failed = guessed.length;
    remote.removeHook('pre-receive');
    await arrives(site, tip);
    assert.deepEqual([guessed[0], guessed.slice(1, failed).includes(true)], [true, false]);
    assert.equal(guessed.at(-1), false);
    await arrives(site, repo.commit());
    assert.equal(guessed.at(-1), true);
  });
});
