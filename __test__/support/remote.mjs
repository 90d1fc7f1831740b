/** What happens to a remote behind the daemon's back, and whether everything reached it in the end. */

import assert from 'node:assert/strict';
import { renameSync } from 'node:fs';

import { makePair } from './git.mjs';

/** Takes a repository away, as an unmounted volume would be. */
export function goAway(repository) {
  renameSync(repository.path, `${repository.path}.away`);
}

/** Puts it back. */
export function comeBack(repository) {
  renameSync(`${repository.path}.away`, repository.path);
}

/** Somebody else's commit on top of the remote's branch, without running the remote's hooks. */
export function commitByAnother(remote, branch = 'main') {
  return remote.commit({ branch, files: { 'by-another': `${Math.random()}\n` } });
}

/** A pair whose branches have diverged since the remote was last seen. */
export function makeDiverged(t) {
  const pair = makePair(t);
  return { ...pair, theirs: commitByAnother(pair.remote), ours: pair.repo.commit() };
}

/** The remote has the tip, both repositories are sound as far as they must be, and nothing is locked. */
export function assertArrived(remote, repo) {
  assert.equal(remote.tip(), repo.tip());
  remote.fsck();
  assert.deepEqual([...remote.locks(), ...repo.locks()], []);
}
