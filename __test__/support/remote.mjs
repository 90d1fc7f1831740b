/** Outside changes to a remote, and the check that everything has reached it. */

import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';

import { makePair } from './git.mjs';

/** Moves a repository away, as if its volume were unmounted. */
export function goAway(repository) {
  renameSync(repository.path, `${repository.path}.away`);
}

/** Moves it back. */
export function comeBack(repository) {
  renameSync(`${repository.path}.away`, repository.path);
}

/** Another client's commit on top of the remote's branch, without running its hooks. */
export function commitByAnother(remote, branch = 'main') {
  return remote.commit({ branch, files: { 'by-another': `${Math.random()}\n` } });
}

/** A pair whose branches have diverged since the remote was last seen. */
export function makeDiverged(t) {
  const pair = makePair(t);
  return { ...pair, theirs: commitByAnother(pair.remote), ours: pair.repo.commit() };
}

/** Asserts that the remote has the tip and is sound, and that neither repository has a lock. */
export function assertArrived(remote, repo) {
  assert.equal(remote.tip(), repo.tip());
  remote.fsck();
  assert.deepEqual([...remote.locks(), ...repo.locks()], []);
}
