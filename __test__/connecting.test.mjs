// What happens on either side while the daemon connects is part of the push: it decides from the tip and the advertisement
// of that moment.

import assert from 'node:assert/strict';
import { describe, test } from 'node:test';

import { once, start, until, untilState } from './support/daemon.mjs';
import { makeGate, wrapReceivePack } from './support/gate.mjs';
import { makePair } from './support/git.mjs';
import { commitByAnother } from './support/remote.mjs';

async function startInSync(t) {
  const pair = makePair(t);
  const daemon = start(t, pair.options);
  await untilState(daemon, 'in-sync');
  return { ...pair, daemon };
}

async function arrives({ daemon, remote }, commit) {
  const push = await once(daemon, 'push', (event) => event.commit === commit);
  assert.equal(remote.tip(), commit);
  remote.fsck();
  return push;
}

describe('a push', () => {
  test('of a merge leaves out the side that the remote has', async (t) => {
    const site = await startInSync(t);
    const { repo, remote } = site;
    for (const branch of ['side', 'one']) repo.git('branch', branch, 'main');
    const side = repo.commit({ branch: 'side' });
    repo.git('push', '--quiet', remote.path, 'side');
    const one = repo.commit({ branch: 'one' });
    const merge = repo.git('commit-tree', '-p', one, '-p', side, '-m', 'both', `${side}^{tree}`);
    repo.git('update-ref', 'refs/heads/main', merge);
    assert.equal((await arrives(site, merge)).commits, 2);
  });

  test('sends nothing that the remote has under another name', async (t) => {
    const site = await startInSync(t);
    const { repo, remote } = site;
    repo.git('branch', 'next', 'main');
    const tip = repo.commit({ branch: 'next' });
    repo.git('push', '--quiet', remote.path, 'next');
    repo.git('update-ref', 'refs/heads/main', tip);
    assert.equal((await arrives(site, tip)).commits, 0);
  });

  test('includes a commit that lands while it connects', async (t) => {
    const site = await startInSync(t);
    const gate = makeGate(t);
    wrapReceivePack(t, site.repo, ...gate.lines);
    site.repo.commit();
    await gate.entered();
    const tip = site.repo.commit();
    gate.open();
    assert.equal((await arrives(site, tip)).commits, 2);
  });

  test('is not made when the branch is reset while it connects', async (t) => {
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
  });

  test('is not made when someone else has pushed', async (t) => {
    const site = await startInSync(t);
    const theirs = commitByAnother(site.remote);
    site.repo.commit();
    await once(site.daemon, 'error', ({ kind }) => kind === 'non-fast-forward');
    assert.equal(site.remote.tip(), theirs);
  });

  test('brings the commits of one that a hook declined', async (t) => {
    const site = await startInSync(t);
    const { repo, remote } = site;
    remote.hook('pre-receive', 'exit 1');
    repo.commit();
    await once(site.daemon, 'error', ({ kind }) => kind === 'rejected');
    const tip = repo.commit();
    remote.removeHook('pre-receive');
    assert.equal((await arrives(site, tip)).commits, 2);
  });
});
